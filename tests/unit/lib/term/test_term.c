/* tests/unit/lib/term/test_term.c - what streams leave on the screen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "term/term.h"

/* Each row of `screen` ends with '|'; rows that are not given are empty. 10 columns, 4 rows. */
static const struct {
	const char	*name, *in, *screen;
	unsigned	 y, x;
} rows[] = {
	{ "text", "hello\r\nyou", "hello|you|", 1, 3 },
	{ "line feed keeps the column", "ab\ncd", "ab|  cd|", 1, 4 },
	{ "wrap waits for the next character", "0123456789", "0123456789|", 0, 10 },
	{ "wrap", "0123456789ab", "0123456789|ab|", 1, 2 },
	{ "carriage return cancels a pending wrap", "0123456789\rab", "ab23456789|", 0, 2 },
	{ "scrolling", "1\r\n2\r\n3\r\n4\r\n5", "2|3|4|5|", 3, 1 },
	{ "backspace does not erase", "abc\b\bX", "aXc|", 0, 2 },
	{ "tab", "a\tb", "a       b|", 0, 9 },
	{ "position", "\x1b[2;3Hx", "|  x|", 1, 3 },
	{ "position beyond the edge", "\x1b[99;99Hx", "|||         x|", 3, 10 },
	{ "up, down, left, right", "ab\x1b[B\x1b[Dc\x1b[A\x1b[Cd", "ab d| c|", 0, 4 },
	{ "erase to the end of the line", "abcdef\x1b[3D\x1b[K", "abc|", 0, 3 },
	{ "erase to the start of the line", "abcdef\x1b[3D\x1b[1K", "    ef|", 0, 3 },
	{ "erase below", "a\r\nb\r\nc\x1b[2;1H\x1b[J", "a|", 1, 0 },
	{ "erase above", "a\r\nb\r\nc\x1b[2;1H\x1b[1J", "||c|", 1, 0 },
	{ "erase all", "a\r\nb\x1b[2J", "", 1, 1 },
	{ "insert characters", "abc\x1b[1G\x1b[2@X", "X abc|", 0, 1 },
	{ "delete characters", "abcdef\x1b[2G\x1b[2P", "adef|", 0, 1 },
	{ "insert mode", "bc\x1b[1G\x1b[4ha", "abc|", 0, 1 },
	{ "insert lines", "a\r\nb\x1b[1;1H\x1b[L", "|a|b|", 0, 0 },
	{ "delete lines", "a\r\nb\r\nc\x1b[1;1H\x1b[M", "b|c|", 0, 0 },
	{ "scroll region", "\x1b[2;3r\x1b[1;1Ha\r\nb\r\nc\r\nd", "a|c|d|", 2, 1 },
	{ "reverse feed", "a\x1bMb", " b|a|", 0, 2 },
	{ "repeat", "a\x1b[3b", "aaaa|", 0, 4 },
	{ "save and restore", "ab\x1b" "7\x1b[4;4Hx\x1b" "8c", "abc|||   x|", 0, 3 },
	{ "alternate screen comes and goes", "ab\x1b[?1049hXXXX\x1b[?1049lc", "abc|", 0, 3 },
	{ "window title is skipped", "a\x1b]0;title\ab", "ab|", 0, 2 },
	{ "DCS is skipped", "a\x1bPq#0;2;0;0;0#0~~\x1b\\b", "ab|", 0, 2 },
	{ "an OSC that never ends does not outlive its line", "a\x1b]0;oh\r\nb", "a| b|", 1, 2 },
	{ "CAN ends a sequence", "a\x1b[12\x18" "b", "ab|", 0, 2 },
	{ "reports are not answered and leave no trace", "a\x1b[6n\x1b[c\x1b[18tb", "ab|", 0, 2 },
	{ "wide", "\xe4\xb8\xad\xe6\x96\x87", "\xe4\xb8\xad\xe6\x96\x87|", 0, 4 },
	{ "wide at the edge", "012345678\xe4\xb8\xad", "012345678|\xe4\xb8\xad|", 1, 2 },
	{ "half of a wide character is none", "\xe4\xb8\xad\x1b[2Gx", " x|", 0, 2 },
	{ "combining", "e\xcc\x81x", "e\xcc\x81x|", 0, 2 },
	{ "combining marks are bounded", "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81x", "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81x|",
	  0, 2 },
	{ "bytes that are not UTF-8", "a\xff\xc3zb", "a\xef\xbf\xbd\xef\xbf\xbdzb|", 0, 5 },
	{ "overlong", "\xe0\x80\xaf", "\xef\xbf\xbd|", 0, 1 },
	{ "line drawing", "\x1b(0qx\x1b(Bq", "\xe2\x94\x80\xe2\x94\x82q|", 0, 3 },
	{ "origin mode", "\x1b[2;3r\x1b[?6h\x1b[1;1Ha\x1b[9;1Hb", "|a|b|", 2, 1 },
	{ "no autowrap", "\x1b[?7l0123456789ab", "012345678b|", 0, 10 },
	{ "full reset", "abc\x1b[?1049h\x1b[2;3rx\x1b" "cy", "y|", 0, 1 },
	{ "a huge number", "\x1b[99999999999999Ca\x1b[4294967297Ab", "         b|", 0, 10 },
};

static struct sp_term *
term(unsigned cols, unsigned n_rows)
{
	struct sp_term *t;

	assert_int_equal(sp_term_new(cols, n_rows, &t), SP_OK);
	return t;
}

static void
text(const struct sp_term *t, struct sp_buf *b)
{
	unsigned last = sp_term_rows(t);

	sp_buf_init(b, 1 << 20);
	while (last > 0 && sp_term_used(t, last - 1) == 0)
		last--;
	for (unsigned y = 0; y < last; y++) {
		assert_int_equal(sp_term_text(t, y, 0, sp_term_used(t, y), b), SP_OK);
		assert_int_equal(sp_buf_append_str(b, "|"), SP_OK);
	}
}

static void
streams_leave_what_the_table_says(void **state)
{
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_term *t = term(10, 4);
		struct sp_buf b;
		unsigned y, x;

		sp_term_write(t, rows[i].in, strlen(rows[i].in));
		text(t, &b);
		sp_term_cursor(t, &y, &x);
		if (strcmp(sp_buf_cstr(&b), rows[i].screen) != 0 || y != rows[i].y || x != rows[i].x)
			fail_msg("%s: \"%s\" cursor %u,%u", rows[i].name, sp_buf_cstr(&b), y, x);
		sp_buf_release(&b);
		sp_term_free(t);
	}
}

static void
wrapped_rows_are_known(void **state)
{
	struct sp_term *t = term(4, 4);

	sp_term_write(t, "abcdef\r\ngh", 10);
	assert_true(sp_term_wrapped(t, 0));
	assert_false(sp_term_wrapped(t, 1));
	assert_false(sp_term_wrapped(t, 2));
	sp_term_write(t, "\x1b[1;2H\x1b[K", 9);
	assert_false(sp_term_wrapped(t, 0));
	sp_term_free(t);
}

static void
sizes_are_cut_to_the_limits(void **state)
{
	struct sp_term *t = term(0, 4000000000u);

	assert_int_equal(sp_term_cols(t), 1);
	assert_int_equal(sp_term_rows(t), SP_TERM_ROWS_MAX);
	assert_int_equal(sp_term_resize(t, 70000, 0), SP_OK);
	assert_int_equal(sp_term_cols(t), SP_TERM_COLS_MAX);
	assert_int_equal(sp_term_rows(t), 1);
	sp_term_free(t);
}

static void
a_lower_screen_loses_rows_at_the_top(void **state)
{
	struct sp_term *t = term(10, 4);
	struct sp_buf b;
	unsigned y, x;

	sp_term_write(t, "1\r\n2\r\n3\r\n4", 10);
	assert_int_equal(sp_term_resize(t, 10, 2), SP_OK);
	text(t, &b);
	assert_string_equal(sp_buf_cstr(&b), "3|4|");
	sp_term_cursor(t, &y, &x);
	assert_int_equal(y, 1);
	assert_int_equal(sp_term_scrolled(t), 2);
	sp_buf_release(&b);
	sp_term_free(t);
}

static void
remember_gone(struct sp_term *t, uint64_t row, void *arg)
{
	struct sp_buf *b = arg;

	assert_int_equal(sp_buf_printf(b, "%u:", (unsigned)row), SP_OK);
	assert_int_equal(sp_term_text(t, 0, 0, sp_term_used(t, 0), b), SP_OK);
}

static void
rows_that_scroll_away_are_shown_once(void **state)
{
	struct sp_term *t = term(10, 3);
	struct sp_buf b;

	sp_buf_init(&b, 4096);
	sp_term_on_gone(t, remember_gone, &b);
	sp_term_write(t, "a\r\nb\r\nc\r\nd\x1b[2S", 14);
	assert_string_equal(sp_buf_cstr(&b), "0:a1:b2:c");
	sp_term_write(t, "\x1b[?1049h\n\n\n\n\n\n", 14);	/* the alternate screen keeps nothing */
	assert_string_equal(sp_buf_cstr(&b), "0:a1:b2:c");
	sp_buf_release(&b);
	sp_term_free(t);
}

/* Columns, attributes, modes, margins, tabs, both screens: a terminal that has seen something else shows the same. */
static void
key_frame_brings_back_the_screen(void **state)
{
	static const char in[] = "\x1b[1;31;48;5;100mred\x1b[0m \x1b[38;2;1;2;3mrgb\x1b[4;3mi\xe4\xb8\xad\x1b[0m\r\n"
	    "0123456789012345678901234567890wrap\x1b[44m\x1b[K\x1b[0m\r\ne\xcc\x81\x1b[3g\x1b[7G\x1bH\x1b[2;5r\x1b[?2004h\x1b[?25l"
	    "\x1b[3;4H\x1b[?1049h\x1b[5;20Hvim\x1b[7m\x1b(0q";
	struct sp_term *t = term(20, 6), *again = term(20, 6);
	struct sp_buf a, b;

	sp_buf_init(&a, 1 << 20);
	sp_buf_init(&b, 1 << 20);
	sp_term_write(t, in, sizeof(in) - 1);
	assert_int_equal(sp_term_dump(t, &a), SP_OK);
	sp_term_write(again, "rubbish\x1b[?1049h\x1b[4h\x1b]", 19);
	sp_term_write(again, a.p, a.len);
	for (unsigned y = 0; y < 6; y++)
		assert_memory_equal(sp_term_row(t, y), sp_term_row(again, y), 20 * sizeof(struct sp_term_cell));
	assert_int_equal(sp_term_modes(t), sp_term_modes(again));
	sp_term_write(t, "\x1b[?1049l", 8);
	sp_term_write(again, "\x1b[?1049l", 8);
	sp_buf_reset(&a);
	assert_int_equal(sp_term_dump(t, &a), SP_OK);
	assert_int_equal(sp_term_dump(again, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&a), sp_buf_cstr(&b));
	sp_buf_release(&a);
	sp_buf_release(&b);
	sp_term_free(t);
	sp_term_free(again);
}

static void
marks_do_not_run_out_over_a_long_session(void **state)
{
	struct sp_term *t = term(20, 4);
	struct sp_buf b;

	for (unsigned i = 0; i < 50 * SP_TERM_CLUSTERS_MAX; i++)
		sp_term_write(t, "\re\xcc\x81", 4);
	text(t, &b);
	assert_string_equal(sp_buf_cstr(&b), "e\xcc\x81|");
	sp_buf_release(&b);
	sp_term_free(t);
}

static void
a_control_string_is_given_up_after_its_limit(void **state)
{
	struct sp_term *t = term(10, 2);
	char *junk = malloc(SP_TERM_STRING_MAX);

	assert_non_null(junk);
	memset(junk, 'x', SP_TERM_STRING_MAX);
	sp_term_write(t, "\x1bP", 2);
	assert_true(sp_term_in_string(t));
	sp_term_write(t, junk, SP_TERM_STRING_MAX);
	assert_true(sp_term_in_string(t));
	sp_term_write(t, "xx", 2);
	assert_false(sp_term_in_string(t));
	free(junk);
	sp_term_free(t);
}

/* Lines that nobody sees are not drawn: the screen is the one of byte by byte, at every place where the cursor may be. */
static void
a_flood_leaves_the_screen_of_its_last_lines(void **state)
{
	static const char *const before[] = { "", "x", "old old\r\n", "\x1b[44ma\r\nb\x1b[K\r\n", "\x1b[?1049hz", "\x1b[2;3r", "\x1b[3;1H", "\x1b(0q\r",
	    "\x1b[2;9H", "\xe4\xb8", "\x1b[?6h\x1b[4h" };
	static char flood[8192];
	size_t n = 0;

	(void)state;
	for (unsigned i = 0; n + 16 < sizeof(flood); i++)	/* a line of full width, one in a while, is no plain one */
		n += (size_t)snprintf(flood + n, sizeof(flood) - n, "%.*s\r\n", (int)(i % 211 == 210 ? 10 : i * 7 % 10), "0123456789");
	for (size_t b = 0; b < sizeof(before) / sizeof(before[0]); b++)
		for (size_t cut = 0; cut < 90; cut++) {
			struct sp_term *a, *c;
			struct sp_buf x, y;
			unsigned ay, ax, cy, cx;

			assert_int_equal(sp_term_new(10, 4, &a), SP_OK);
			assert_int_equal(sp_term_new(10, 4, &c), SP_OK);
			sp_term_write(a, before[b], strlen(before[b]));
			sp_term_write(c, before[b], strlen(before[b]));
			sp_term_write(a, flood + cut, n - 2 * cut);
			for (size_t i = 0; i < n - 2 * cut; i++)
				sp_term_write(c, flood + cut + i, 1);
			sp_buf_init(&x, 65536);
			sp_buf_init(&y, 65536);
			assert_int_equal(sp_term_dump(a, &x), SP_OK);
			assert_int_equal(sp_term_dump(c, &y), SP_OK);
			assert_int_equal(x.len, y.len);
			assert_memory_equal(x.p, y.p, x.len);
			sp_term_cursor(a, &ay, &ax);
			sp_term_cursor(c, &cy, &cx);
			assert_true(ay == cy && ax == cx && sp_term_scrolled(a) == sp_term_scrolled(c));
			sp_buf_release(&x);
			sp_buf_release(&y);
			sp_term_free(a);
			sp_term_free(c);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_leave_what_the_table_says),
		cmocka_unit_test(wrapped_rows_are_known),
		cmocka_unit_test(sizes_are_cut_to_the_limits),
		cmocka_unit_test(a_lower_screen_loses_rows_at_the_top),
		cmocka_unit_test(rows_that_scroll_away_are_shown_once),
		cmocka_unit_test(key_frame_brings_back_the_screen),
		cmocka_unit_test(marks_do_not_run_out_over_a_long_session),
		cmocka_unit_test(a_flood_leaves_the_screen_of_its_last_lines),
		cmocka_unit_test(a_control_string_is_given_up_after_its_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
