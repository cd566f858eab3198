/* tests/unit/lib/base/test_str.c - text from outside, and small encodings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

static const char *
esc(const char *s, size_t n)
{
	static char dst[128];

	return sp_escape(s, n, dst, sizeof(dst));
}

static void
escapes_what_could_forge_a_line_or_drive_a_terminal(void **state)
{
	(void)state;
	assert_string_equal(esc("plain", 5), "plain");
	assert_string_equal(esc("\xe4\xb8\xad", 3), "\xe4\xb8\xad");		/* Chinese stays */
	assert_null(strchr(esc("a\nb", 3), '\n'));
	assert_null(strchr(esc("\033[2J", 4), '\033'));
	assert_string_equal(esc("\\", 1), "\\\\");
	assert_string_equal(esc("\xff", 1), "\\xff");
	assert_null(strstr(esc("\xe2\x80\xae", 3), "\xe2\x80\xae"));	/* right-to-left override */
	assert_null(strstr(esc("\xc2\x9b", 2), "\xc2\x9b"));		/* C1 CSI */
	assert_string_equal(esc("a\0b", 3), "a\\x00b");
}

static void
an_escaped_text_never_overruns_and_stays_terminated(void **state)
{
	char dst[16];

	(void)state;
	for (size_t size = 1; size <= sizeof(dst); size++) {
		memset(dst, 'Z', sizeof(dst));
		sp_escape("\001\002\003\004\005\006\007", 7, dst, size);
		assert_true(memchr(dst, '\0', size) != NULL);
		for (size_t i = size; i < sizeof(dst); i++)
			assert_int_equal(dst[i], 'Z');
	}
}

static void
refuses_every_malformed_utf8(void **state)
{
	static const char *const bad[] = { "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xe4\xb8", "\xf0\x9f\x98", "\xfe", "a\xff" };
	static const char *const good[] = { "", "a", "\xc2\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_false(sp_utf8_valid(bad[i], strlen(bad[i])));
	for (size_t i = 0; i < SP_NELEMS(good); i++)
		assert_true(sp_utf8_valid(good[i], strlen(good[i])));
}

static void
names_that_are_safe_in_a_path_have_no_way_out_of_it(void **state)
{
	static const char *const bad[] = { "", ".", "..", "-x", ".x", "a/b", "a b", "a\n", "a;b", "a$", "\xe4\xb8\xad", "12345678901" };
	static const char *const good[] = { "a", "web-1", "a.b_c", "A9", "1234567890" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_false(sp_name_is_safe(bad[i], 10));
	for (size_t i = 0; i < SP_NELEMS(good); i++)
		assert_true(sp_name_is_safe(good[i], 10));
}

static void
names_that_people_type_have_no_separator(void **state)
{
	static const char *const bad[] = { "", " a", "a ", "-a", ".a", "a@b", "a#b", "a%b", "a:b", "a/b", "a\\b", "a\"b", "a'b",
		"a\tb", "\xff", "a\xe2\x80\xae" };
	static const char *const good[] = { "a", "web 1", "\xe7\x94\x9f\xe4\xba\xa7", "db.example" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_false(sp_name_is_ok(bad[i], 64));
	for (size_t i = 0; i < SP_NELEMS(good); i++)
		assert_true(sp_name_is_ok(good[i], 64));
	assert_false(sp_name_is_ok("abcde", 4));
}

static void
copies_and_prints_say_when_they_cut(void **state)
{
	char d[4];

	(void)state;
	assert_int_equal(sp_strlcpy(d, "abc", sizeof(d)), 0);
	assert_int_equal(sp_strlcpy(d, "abcd", sizeof(d)), -1);
	assert_string_equal(d, "abc");
	assert_int_equal(sp_snprintf(d, sizeof(d), "%d", 123), 0);
	assert_int_equal(sp_snprintf(d, sizeof(d), "%d", 1234), -1);
	assert_string_equal(d, "123");
}

static void
base64_of_rfc_4648_and_back(void **state)
{
	static const char *const v[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" } };
	struct sp_buf b;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(v); i++) {
		sp_buf_init(&b, 64);
		assert_int_equal(sp_base64(&b, v[i][0], strlen(v[i][0])), SP_OK);
		assert_string_equal(sp_buf_cstr(&b), v[i][1]);
		sp_buf_reset(&b);
		assert_int_equal(sp_base64_parse(&b, v[i][1], strlen(v[i][1])), SP_OK);
		assert_string_equal(sp_buf_cstr(&b), v[i][0]);
		sp_buf_release(&b);
	}
}

static void
base64_refuses_what_is_not_canonical(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zh==", "Zm9=", "Zg==Zg==", "Z===", "Zm9v\n", " Zm9v", "Zm-v", "====" };
	struct sp_buf b;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		sp_buf_init(&b, 64);
		assert_int_not_equal(sp_base64_parse(&b, bad[i], strlen(bad[i])), SP_OK);
		sp_buf_release(&b);
	}
}

static void
hex_takes_exactly_what_fits(void **state)
{
	uint8_t b[2] = { 7, 7 };
	char t[5];

	(void)state;
	assert_int_equal(sp_hex_parse("0aFf", b, 2), SP_OK);
	assert_int_equal(b[0], 0x0a);
	assert_int_equal(b[1], 0xff);
	sp_hex(b, 2, t);
	assert_string_equal(t, "0aff");
	assert_int_not_equal(sp_hex_parse("0aF", b, 2), SP_OK);
	assert_int_not_equal(sp_hex_parse("0aFf0", b, 2), SP_OK);
	assert_int_not_equal(sp_hex_parse("0aFg", b, 2), SP_OK);
}

static void
uuids_are_version_7_differ_and_survive_their_text(void **state)
{
	struct sp_uuid a, b, c, null = { { 0 } };
	char t[SP_UUID_SIZE];

	(void)state;
	sp_uuid_make(&a);
	sp_uuid_make(&b);
	assert_false(sp_uuid_equal(&a, &b));
	assert_int_equal(a.b[6] >> 4, 7);
	assert_int_equal(a.b[8] >> 6, 2);
	assert_true(memcmp(a.b, b.b, 6) <= 0);		/* sorts by time */
	assert_int_equal(sp_uuid_parse(sp_uuid_text(&a, t), &c), SP_OK);
	assert_true(sp_uuid_equal(&a, &c));
	assert_true(sp_uuid_is_null(&null));
	assert_false(sp_uuid_is_null(&a));
}

static void
uuid_texts_that_are_not_exact_are_refused(void **state)
{
	static const char *const bad[] = { "", "0", "0190163d-8694-739b-aea5-966c26f8ad9", "0190163d-8694-739b-aea5-966c26f8ad900",
		"0190163d08694-739b-aea5-966c26f8ad90", "0190163d-8694-739b-aea5-966c26f8ad9g", "{190163d-8694-739b-aea5-966c26f8ad90" };
	struct sp_uuid u = { { 9 } };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_not_equal(sp_uuid_parse(bad[i], &u), SP_OK);
	assert_int_equal(u.b[0], 9);
	assert_int_not_equal(sp_uuid_from("x", 1, &u), SP_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(escapes_what_could_forge_a_line_or_drive_a_terminal),
		cmocka_unit_test(an_escaped_text_never_overruns_and_stays_terminated),
		cmocka_unit_test(refuses_every_malformed_utf8),
		cmocka_unit_test(names_that_are_safe_in_a_path_have_no_way_out_of_it),
		cmocka_unit_test(names_that_people_type_have_no_separator),
		cmocka_unit_test(copies_and_prints_say_when_they_cut),
		cmocka_unit_test(base64_of_rfc_4648_and_back),
		cmocka_unit_test(base64_refuses_what_is_not_canonical),
		cmocka_unit_test(hex_takes_exactly_what_fits),
		cmocka_unit_test(uuids_are_version_7_differ_and_survive_their_text),
		cmocka_unit_test(uuid_texts_that_are_not_exact_are_refused),
	};

	return cmocka_run_group_tests_name("base_str", tests, NULL, NULL);
}
