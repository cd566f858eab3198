/* tests/unit/lib/base/test_buf.c - the growable buffer and the reader over bytes from outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void
never_grows_beyond_its_limit_and_a_failed_append_changes_nothing(void **state)
{
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 8);
	assert_int_equal(sp_buf_append(&b, "12345", 5), SP_OK);
	assert_int_not_equal(sp_buf_append(&b, "6789", 4), SP_OK);
	assert_int_equal(b.len, 5);
	assert_string_equal(sp_buf_cstr(&b), "12345");
	assert_int_not_equal(sp_buf_append(&b, "x", SIZE_MAX), SP_OK);
	assert_int_not_equal(sp_buf_printf(&b, "%s", "toolong"), SP_OK);
	assert_int_equal(b.len, 5);
	assert_int_equal(sp_buf_append(&b, "678", 3), SP_OK);
	sp_buf_release(&b);
	sp_buf_release(&b);
}

static void
consuming_drops_from_the_front(void **state)
{
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 64);
	assert_int_equal(sp_buf_append_str(&b, "abcdef"), SP_OK);
	sp_buf_consume(&b, 2);
	assert_string_equal(sp_buf_cstr(&b), "cdef");
	sp_buf_consume(&b, 4);
	assert_int_equal(b.len, 0);
	assert_string_equal(sp_buf_cstr(&b), "");
	sp_buf_release(&b);
}

static void
what_was_put_is_read_back(void **state)
{
	struct sp_buf b;
	struct sp_view v, s;
	uint8_t u8;
	uint32_t u32;
	uint64_t u64;
	char text[8];

	(void)state;
	sp_buf_init(&b, 256);
	assert_int_equal(sp_buf_put_u8(&b, 7), SP_OK);
	assert_int_equal(sp_buf_put_u32(&b, 0xdeadbeef), SP_OK);
	assert_int_equal(sp_buf_put_u64(&b, UINT64_C(0x0102030405060708)), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, "hello"), SP_OK);
	assert_int_equal(sp_buf_put_string(&b, "a\0b", 3), SP_OK);
	assert_memory_equal(b.p, "\x07\xde\xad\xbe\xef\x01\x02", 7);	/* big endian, RFC 4251 */
	v = (struct sp_view){ b.p, b.len };
	assert_int_equal(sp_view_u8(&v, &u8), SP_OK);
	assert_int_equal(sp_view_u32(&v, &u32), SP_OK);
	assert_int_equal(sp_view_u64(&v, &u64), SP_OK);
	assert_true(u8 == 7 && u32 == 0xdeadbeef && u64 == UINT64_C(0x0102030405060708));
	assert_int_equal(sp_view_cstring(&v, text, sizeof(text)), SP_OK);
	assert_string_equal(text, "hello");
	assert_int_equal(sp_view_string(&v, &s), SP_OK);
	assert_int_equal(s.len, 3);
	assert_int_equal(v.len, 0);
	sp_buf_release(&b);
}

static void
a_failed_read_consumes_nothing(void **state)
{
	static const uint8_t cut[] = { 0, 0, 0, 9, 'a', 'b' }, nul[] = { 0, 0, 0, 2, 'a', 0 }, huge[] = { 0xff, 0xff, 0xff, 0xff };
	struct sp_view v = { cut, sizeof(cut) }, s = { NULL, 77 };
	uint64_t u64 = 5;
	char text[2] = "z";

	(void)state;
	assert_int_not_equal(sp_view_string(&v, &s), SP_OK);
	assert_int_equal(v.len, sizeof(cut));
	assert_int_equal(s.len, 77);
	assert_int_not_equal(sp_view_u64(&v, &u64), SP_OK);
	assert_int_equal(u64, 5);
	v = (struct sp_view){ nul, sizeof(nul) };
	assert_int_equal(sp_view_cstring(&v, text, 8), SP_EFORMAT);
	assert_int_equal(v.len, sizeof(nul));
	v = (struct sp_view){ huge, sizeof(huge) };
	assert_int_not_equal(sp_view_string(&v, &s), SP_OK);
	assert_int_equal(v.len, sizeof(huge));
	assert_int_not_equal(sp_view_bytes(&v, 5, &s), SP_OK);
	v = (struct sp_view){ (const uint8_t *)"\0\0\0\2ab", 6 };
	assert_int_equal(sp_view_cstring(&v, text, sizeof(text)), SP_ESIZE);
	assert_int_equal(v.len, 6);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_grows_beyond_its_limit_and_a_failed_append_changes_nothing),
		cmocka_unit_test(consuming_drops_from_the_front),
		cmocka_unit_test(what_was_put_is_read_back),
		cmocka_unit_test(a_failed_read_consumes_nothing),
	};

	return cmocka_run_group_tests_name("base_buf", tests, NULL, NULL);
}
