/* The index and the tail records of recordings: what they accept, and what they make of damage. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "scribe/recfile.h"

#define ok(e) assert_int_equal((e), SP_OK)

static void
an_index_reads_back_and_a_changed_one_does_not(void **state)
{
	static const struct sp_rec_index v[3] = { { 0, 0, 0 }, { 10, 100, 1000 }, { 20, 200, 3000 } };
	struct sp_rec_index got[3];
	struct sp_buf b;
	uint64_t duration;
	size_t n;

	(void)state;
	sp_buf_init(&b, 4096);
	ok(sp_buf_append_str(&b, "frames before it"));
	ok(sp_rec_index_write(&b, v, 3, 12345));
	ok(sp_rec_index_count((struct sp_view){ b.p, b.len }, &n, &duration));
	assert_int_equal(n, 3);
	assert_int_equal(duration, 12345);
	ok(sp_rec_index_read((struct sp_view){ b.p, b.len }, got, 3));
	assert_memory_equal(got, v, sizeof(v));
	assert_int_equal(sp_rec_index_read((struct sp_view){ b.p + 30, b.len - 30 }, got, 3), SP_ESHORT);
	b.p[16 + 8 + 24 + 8] = 0;	/* the second entry's place: not behind the first one's */
	assert_int_equal(sp_rec_index_read((struct sp_view){ b.p, b.len }, got, 3), SP_EFORMAT);
	b.p[b.len - 1] ^= 1;
	assert_int_equal(sp_rec_index_count((struct sp_view){ b.p, b.len }, &n, &duration), SP_EFORMAT);
	sp_buf_release(&b);
}

static void
a_tail_record_opens_at_its_place_only(void **state)
{
	struct sp_tail t = { SP_TAIL_LINES, 77, { (const uint8_t *)"[1, \"o\", \"x\"]\n", 15 } }, got;
	sp_auto_secret key = { 0 }, plain = { 0 };
	struct sp_buf b;
	struct sp_view v;
	uint64_t number;

	(void)state;
	ok(sp_secret_random(SP_TAIL_KEY, &key));
	sp_buf_init(&b, 4096);
	ok(sp_tail_seal(&key, 4, 9, &t, &b));
	v = (struct sp_view){ b.p, b.len };
	ok(sp_tail_next(&key, 4, &v, &number, &plain, &got));
	assert_int_equal(v.len, 0);
	assert_int_equal(number, 9);
	assert_int_equal(got.type, SP_TAIL_LINES);
	assert_int_equal(got.off, 77);
	assert_memory_equal(got.data.p, t.data.p, t.data.len);
	v = (struct sp_view){ b.p, b.len };
	assert_int_equal(sp_tail_next(&key, 5, &v, &number, &plain, &got), SP_EAUTH);	/* of another file */
	for (size_t n = 0; n < b.len; n++) {
		v = (struct sp_view){ b.p, n };
		assert_int_equal(sp_tail_next(&key, 4, &v, &number, &plain, &got), SP_ESHORT);
		assert_int_equal(v.len, n);
	}
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		v = (struct sp_view){ b.p, b.len };
		assert_int_not_equal(sp_tail_next(&key, 4, &v, &number, &plain, &got), SP_OK);
		b.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	sp_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_index_reads_back_and_a_changed_one_does_not),
		cmocka_unit_test(a_tail_record_opens_at_its_place_only),
	};

	ok(sp_crypto_init());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
