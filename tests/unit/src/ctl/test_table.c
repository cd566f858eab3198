/* tests/unit/src/ctl/test_table.c - layout of tables and cards: widths, CJK, narrow terminals, hostile text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "ctl/table.h"

static const struct ctl_col cols[] = {
	{ "name|login", "NAME" },
	{ "remark", "REMARK" },
	{ "n", "BYTES", CTL_FMT_BYTES, CTL_COL_RIGHT | CTL_COL_EXTRA },
	{ "at", "AGE", CTL_FMT_AGE, CTL_COL_EXTRA },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const int64_t now_us = INT64_C(1790000000) * 1000000;

static char *
layout(const char *json, unsigned width)
{
	json_t *rows = json_loads(json, 0, NULL);
	struct sp_buf b;
	char *s;

	assert_non_null(rows);
	sp_buf_init(&b, 1 << 20);
	assert_int_equal(ctl_table(cols, rows, width, now_us, &b), SP_OK);
	s = strdup(sp_buf_cstr(&b));
	sp_buf_release(&b);
	json_decref(rows);
	return s;
}

/* The widest line, in terminal columns. */
static size_t
widest(const char *s)
{
	size_t most = 0;

	while (*s != 0) {
		size_t n = strcspn(s, "\n"), w = ctl_width(s, n);

		most = w > most ? w : most;
		s += n + (s[n] == '\n');
	}
	return most;
}

static void
columns_are_aligned_and_lines_have_no_trailing_blanks(void **state)
{
	char *s = layout("[{\"name\":\"a\",\"remark\":\"x\"},{\"login\":\"longer\",\"remark\":\"y\"}]", 0);

	(void)state;
	assert_string_equal(s, "NAME    REMARK\na       x\nlonger  y\n");
	free(s);
}

static void
columns_that_no_row_fills_are_left_out(void **state)
{
	char *s = layout("[{\"name\":\"a\",\"remark\":\"\",\"n\":null}]", 0);

	(void)state;
	assert_string_equal(s, "NAME\na\n");
	free(s);
}

static void
chinese_text_takes_two_columns_for_each_character(void **state)
{
	char *s = layout("[{\"name\":\"\xe6\xb5\x8b\xe8\xaf\x95\",\"remark\":\"x\"},{\"name\":\"abcd\",\"remark\":\"y\"}]", 0);

	(void)state;
	assert_string_equal(s, "NAME  REMARK\n\xe6\xb5\x8b\xe8\xaf\x95  x\nabcd  y\n");
	free(s);
}

static void
combining_marks_take_no_column(void **state)
{
	(void)state;
	assert_int_equal(ctl_width("e\xcc\x81", 3), 1);
	assert_int_equal(ctl_width("\xed\x95\x9c", 3), 2);		/* Hangul */
	assert_int_equal(ctl_width("\xf0\x9f\x98\x80", 4), 2);		/* an emoji */
	assert_int_equal(ctl_width("\xef\xbd\xb1", 3), 1);		/* half-width katakana */
}

static void
width_table_is_sorted_and_without_overlap(void **state)
{
	uint32_t end = 0;

	(void)state;
#define RANGE(first, last, columns) \
	assert_true((first) > end && (first) <= (last) && ((columns) == 0 || (columns) == 2)); \
	end = (last);
#include "base/width.def"
#undef RANGE
}

static void
a_long_value_is_cut_with_an_ellipsis_to_fit_the_terminal(void **state)
{
	char *s = layout("[{\"name\":\"a\",\"remark\":\"0123456789012345678901234567890123456789\"}]", 30);

	(void)state;
	assert_int_equal(widest(s), 30);
	assert_non_null(strstr(s, "\xe2\x80\xa6"));
	assert_non_null(strstr(s, "NAME  REMARK"));
	free(s);
}

static void
a_wide_character_is_never_cut_in_half(void **state)
{
	/* Eleven columns are left for the remark: five characters of two, and the ellipsis. */
	char *s = layout("[{\"name\":\"abcd\",\"remark\":\"\xe6\xb5\x8b\xe6\xb5\x8b\xe6\xb5\x8b\xe6\xb5\x8b\xe6\xb5\x8b\xe6\xb5\x8b\xe6\xb5\x8b\xe6\xb5\x8b\"}]", 16);

	(void)state;
	assert_true(widest(s) <= 16);
	assert_true(sp_utf8_valid(s, strlen(s)));
	assert_non_null(strstr(s, "\xe6\xb5\x8b\xe2\x80\xa6"));
	free(s);
}

static void
extra_columns_go_first_when_the_terminal_is_narrow(void **state)
{
	const char *rows = "[{\"name\":\"abcdefgh\",\"remark\":\"ijklmnop\",\"n\":1024,\"at\":\"2026-09-21T14:00:00Z\"}]";
	char *wide = layout(rows, 60), *narrow = layout(rows, 20);

	(void)state;
	assert_non_null(strstr(wide, "1.0 KiB"));
	assert_non_null(strstr(wide, "AGE"));
	assert_string_equal(narrow, "NAME      REMARK\nabcdefgh  ijklmnop\n");
	free(wide);
	free(narrow);
}

static void
at_40_columns_rows_become_cards_when_a_table_does_not_fit(void **state)
{
	static const struct ctl_col wide[] = {
		{ "id", "ID", .flags = CTL_COL_WHOLE }, { "user", "USER" }, { "asset", "ASSET" }, { NULL }
	};
	json_t *rows = json_loads("[{\"id\":\"01890000-0000-7000-8000-000000000001\",\"user\":\"alice\",\"asset\":\"web1\"},"
	    "{\"id\":\"01890000-0000-7000-8000-000000000002\",\"user\":\"bob\",\"asset\":\"a remark that is much longer than the screen\"}]", 0, NULL);
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 1 << 16);
	assert_int_equal(ctl_table(wide, rows, 40, now_us, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b),
	    "ID:    01890000-0000-7000-8000-000000000001\nUSER:  alice\nASSET: web1\n\n"
	    "ID:    01890000-0000-7000-8000-000000000002\nUSER:  bob\nASSET: a remark that is much longer than\n       the screen\n");
	sp_buf_release(&b);
	json_decref(rows);
}

static void
every_width_from_1_to_200_gives_lines_that_fit_or_cards(void **state)
{
	const char *rows = "[{\"name\":\"\xe4\xb8\xad\xe6\x96\x87\xe5\x90\x8d\",\"remark\":\"a b c d e f g h i j k l m n\",\"n\":123456789,"
	    "\"at\":\"2026-01-01T00:00:00Z\",\"id\":\"x\"}]";

	(void)state;
	for (unsigned w = 1; w <= 200; w++) {
		char *s = layout(rows, w);

		if (widest(s) > w && (strstr(s, "NAME:") == NULL || w >= 26))
			fail_msg("width %u: %zu columns\n%s", w, widest(s), s);
		assert_true(sp_utf8_valid(s, strlen(s)));
		free(s);
	}
}

static void
hostile_text_is_escaped(void **state)
{
	char *s = layout("[{\"name\":\"\\u001b]0;owned\\u0007\",\"remark\":\"\\u202egpj.exe\\u009b31m\\nnext\"}]", 0);

	(void)state;
	for (const char *p = s; *p != 0; p++)
		assert_true(*p == '\n' || (unsigned char)*p >= 0x20);
	assert_non_null(strstr(s, "\\x1b]0;owned\\x07"));
	assert_null(strstr(s, "\xe2\x80\xae"));
	assert_null(strstr(s, "\xc2\x9b"));
	assert_non_null(strstr(s, "\\x0anext"));
	free(s);
}

static void
hostile_member_names_of_an_object_are_escaped(void **state)
{
	json_t *row = json_loads("{\"a\\u001b[2J\":\"x\"}", 0, NULL);
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 1 << 16);
	assert_int_equal(ctl_card(NULL, row, 80, now_us, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "A\\x1b[2J: x\n");
	sp_buf_release(&b);
	json_decref(row);
}

static void
a_card_shows_columns_first_and_then_everything_else(void **state)
{
	json_t *row = json_loads("{\"extra_key\":[1,2],\"id\":\"x\",\"login\":\"a\",\"n\":1536,\"at\":\"2026-01-02T03:04:05.123456Z\",\"flag\":false}", 0, NULL);
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 1 << 16);
	assert_int_equal(ctl_card(cols, row, 0, now_us, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "NAME:      a\nBYTES:     1.5 KiB\nAT:        2026-01-02 03:04:05Z\nID:        x\n"
	    "Extra key: 1, 2\nFlag:      no\n");
	sp_buf_release(&b);
	json_decref(row);
}

static void
ages_read_in_the_largest_whole_unit(void **state)
{
	static const struct { int64_t before_s; const char *text; } cases[] = {
		{ 0, "0s" }, { 59, "59s" }, { 60, "1m" }, { 3599, "59m" }, { 7200, "2h" }, { 86400 * 3, "3d" }, { -90, "in 1m" }
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(cases); i++) {
		char at[32];
		json_t *v;
		struct sp_buf b;

		time_t t = (time_t)(now_us / 1000000 - cases[i].before_s);
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%SZ", &tm);
		v = json_string(at);
		sp_buf_init(&b, 64);
		assert_int_equal(ctl_value(v, CTL_FMT_AGE, 0, now_us, &b), SP_OK);
		assert_string_equal(sp_buf_cstr(&b), cases[i].text);
		sp_buf_release(&b);
		json_decref(v);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_aligned_and_lines_have_no_trailing_blanks),
		cmocka_unit_test(columns_that_no_row_fills_are_left_out),
		cmocka_unit_test(chinese_text_takes_two_columns_for_each_character),
		cmocka_unit_test(combining_marks_take_no_column),
		cmocka_unit_test(width_table_is_sorted_and_without_overlap),
		cmocka_unit_test(a_long_value_is_cut_with_an_ellipsis_to_fit_the_terminal),
		cmocka_unit_test(a_wide_character_is_never_cut_in_half),
		cmocka_unit_test(extra_columns_go_first_when_the_terminal_is_narrow),
		cmocka_unit_test(at_40_columns_rows_become_cards_when_a_table_does_not_fit),
		cmocka_unit_test(every_width_from_1_to_200_gives_lines_that_fit_or_cards),
		cmocka_unit_test(hostile_text_is_escaped),
		cmocka_unit_test(hostile_member_names_of_an_object_are_escaped),
		cmocka_unit_test(a_card_shows_columns_first_and_then_everything_else),
		cmocka_unit_test(ages_read_in_the_largest_whole_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
