/* tests/unit/src/ctl/test_screen.c - what a watcher's terminal receives when the target is hostile; stream frames. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "ctl/frames.h"
#include "ctl/guard.h"
#include "ctl/screen.h"

static struct ctl_screen *
screen(unsigned cols, unsigned rows)
{
	struct ctl_screen *s = NULL;

	assert_int_equal(ctl_screen_new(cols, rows, &s), SP_OK);
	return s;
}

static void
feed(struct ctl_screen *s, const char *text)
{
	ctl_screen_feed(s, text, strlen(text));
}

/* Every escape sequence in b must be one of ours: CSI H, J, K, m with digits, ?25h and ?25l. */
static void
assert_only_our_sequences(const struct sp_buf *b)
{
	const char *p = sp_buf_cstr(b);

	assert_int_equal(strlen(p), b->len);
	while (*p != 0) {
		uint32_t cp = 0;
		size_t n;

		if (*p != '\033') {
			n = sp_utf8_next((const uint8_t *)p, strlen(p), &cp);
			assert_true(n > 0 && cp >= 0x20 && !(cp >= 0x7f && cp < 0xa0));
			assert_true(sp_text_is_plain(p, n));
			p += n;
			continue;
		}
		assert_int_equal(p[1], '[');
		p += 2;
		if (*p == '?') {
			assert_true(strncmp(p, "?25h", 4) == 0 || strncmp(p, "?25l", 4) == 0);
			p += 4;
			continue;
		}
		p += strspn(p, "0123456789;");
		assert_true(*p == 'H' || *p == 'J' || *p == 'K' || *p == 'm');
		p++;
	}
}

static char *
drawn(struct ctl_screen *s, unsigned cols, unsigned rows)
{
	struct sp_buf b;
	char *text;

	sp_buf_init(&b, 1 << 22);
	assert_int_equal(ctl_screen_draw(s, cols, rows, &b), SP_OK);
	assert_only_our_sequences(&b);
	text = strdup(sp_buf_cstr(&b));
	sp_buf_release(&b);
	return text;
}

static void
no_escape_sequence_of_the_target_reaches_the_watcher(void **state)
{
	static const char *const hostile[] = {
		"\033]0;owned\007", "\033]2;owned\033\\", "\033]52;c;ZXZpbA==\007", "\033]8;;http://evil/\033\\link\033]8;;\033\\",
		"\033P$q\"p\033\\", "\033P1;2|17/6f776e6564\033\\", "\033[c", "\033[>c", "\033[6n", "\033[5n", "\033[21t", "\033[18t",
		"\033[?1000h\033[?1002h\033[?1003h\033[?1006h", "\033[?2004h", "\033[?1049h", "\033[5i\033[4i", "\033[0q", "\033#8",
		"\033_Gf=100;AAAA\033\\", "\033^privacy\033\\", "\033X string\033\\", "\033]1337;File=:AAAA\007", "\033]4;1;?\007",
		"\033]10;?\007", "\033c", "\033[!p", "\033[20l\033[12h", "\033[2;5r", "\x9b" "31m", "\x9d" "0;owned\x9c", "\xc2\x9b" "31m",
		"\xc2\x9d" "0;owned\xc2\x9c", "\xe2\x80\xae" "evil", "\xef\xbb\xbf", "\xf3\xa0\x81\x81", "\xff\xfe\xfd", "\xed\xa0\x80",
		"\007\005\016\017", "\033[38;2;1;2;3;4;5;6m", "\033[99999999999999999999;1H", "\033[;;;;;;;;;;;;;;;;;;;;;;m", "\033[8;9999;9999t",
		"\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17;18;19;20;21;22;23;24;25;26;27;28;29;30;31;32;33m", "\033[:::::::::::::::::::::::::::::::m",
		"\033[2147483648C", "\033[4294967295@", "\033[2147483647X", "\033[2147483647b", "\033[4294967295L", "\033[2147483647;2147483647H",
		"\033[2147483647S", "\033[2147483647T", "\033[2147483647P", "\033[\177;\177;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;m"
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(hostile); i++) {
		struct ctl_screen *s = screen(80, 24);
		char *text;

		feed(s, "before ");
		feed(s, hostile[i]);
		feed(s, "\033\\ after");
		text = drawn(s, 80, 24);
		assert_null(strstr(text, "]52"));
		assert_null(strstr(text, "?1000"));
		assert_null(strstr(text, "1337"));
		free(text);
		ctl_screen_free(s);
	}
}

static void
random_bytes_give_only_our_sequences(void **state)
{
	static const char *const pieces[] = { "99999999999", ";;;;;;;;", "\033[?", "r", "S", "T", "b", "X", "\033#8", "\033D", "\033M", "\033[", "\033]", "\033P", ";", "?", "h", "m", "H", "\n", "\r", "1", "99", "\xe6\xb5\x8b",
		"\xcc\x81", "a", "\t", "\b", "\033c", "\033\\", "\xc2\x85", "\xff", "\033(0", "\033[?1049h", "\033[?1049l", "L", "M", "P", "@" };
	struct ctl_screen *s = screen(40, 10);
	uint32_t x = 2463534242u;

	(void)state;
	for (int round = 0; round < 300; round++) {
		char *text;

		for (int i = 0; i < 100; i++) {
			x ^= x << 13;
			x ^= x >> 17;
			x ^= x << 5;
			feed(s, pieces[x % SP_NELEMS(pieces)]);
		}
		if (round % 37 == 0)
			ctl_screen_resize(s, x % 120, x % 50);
		text = drawn(s, 60, 20);
		free(text);
	}
	ctl_screen_free(s);
}

static void
text_and_attributes_are_drawn(void **state)
{
	struct ctl_screen *s = screen(20, 3);
	char *text;

	(void)state;
	feed(s, "\033[1;31mred\033[0m plain \xe6\xb5\x8b");
	text = drawn(s, 20, 3);
	assert_non_null(strstr(text, "\033[0;1;31mred\033[0m plain \xe6\xb5\x8b"));
	free(text);
	ctl_screen_free(s);
}

static void
only_changed_rows_are_drawn_again(void **state)
{
	struct ctl_screen *s = screen(20, 4);
	char *text;

	(void)state;
	feed(s, "one\r\ntwo\r\nthree");
	free(drawn(s, 20, 4));
	feed(s, "\033[2;1HTWO");
	text = drawn(s, 20, 4);
	assert_non_null(strstr(text, "TWO"));
	assert_null(strstr(text, "one"));
	assert_null(strstr(text, "three"));
	free(text);
	ctl_screen_free(s);
}

static void
a_smaller_watcher_sees_the_upper_left_part(void **state)
{
	struct ctl_screen *s = screen(80, 24);
	char *text;

	(void)state;
	feed(s, "0123456789abcdef\033[20;1Hbelow");
	text = drawn(s, 10, 5);
	assert_non_null(strstr(text, "0123456789\033[0m"));
	assert_null(strstr(text, "abc"));
	assert_null(strstr(text, "below"));
	assert_null(strstr(text, "\033[6;"));
	free(text);
	ctl_screen_free(s);
}

static void
hidden_and_reordering_characters_are_replaced(void **state)
{
	struct ctl_screen *s = screen(20, 2);
	char *text;

	(void)state;
	feed(s, "a\xe2\x80\xae" "b\xe2\x80\x8b" "c\xee\x80\x80" "d");
	text = drawn(s, 20, 2);
	assert_null(strstr(text, "\xe2\x80\xae"));
	assert_null(strstr(text, "\xe2\x80\x8b"));
	assert_null(strstr(text, "\xee\x80\x80"));
	free(text);
	ctl_screen_free(s);
}

static void
sizes_are_cut_to_the_limits(void **state)
{
	struct ctl_screen *s = screen(0, 0);

	(void)state;
	assert_int_equal(ctl_screen_cols(s), 8);
	ctl_screen_resize(s, 65535, 65535);
	assert_int_equal(ctl_screen_cols(s), CTL_SCREEN_COLS);
	assert_int_equal(ctl_screen_rows(s), CTL_SCREEN_ROWS);
	free(drawn(s, 65535, 65535));
	ctl_screen_resize(s, 1, 1);
	assert_int_equal(ctl_screen_rows(s), 8);
	ctl_screen_free(s);
}

static void
plain_text_gives_each_changed_line_once(void **state)
{
	struct ctl_screen *s = screen(20, 4);
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 1 << 16);
	feed(s, "one\r\n\033[32mtwo\033[0m");
	assert_int_equal(ctl_screen_text(s, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "one\ntwo\n");
	sp_buf_reset(&b);
	feed(s, "\r\nthree");
	assert_int_equal(ctl_screen_text(s, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "three\n");
	sp_buf_release(&b);
	ctl_screen_free(s);
}

/* ---- guard */

static void
sequences_are_kept_within_what_the_emulation_takes(void **state)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "plain;;;;;;;;;;;;;;;;;;;;;;;; text 123456789", NULL }, { "\033[1;31mred\033[0m", NULL }, { "\033[?1049h", NULL },
		{ "\033[38;2;255;255;255m", NULL }, { "a\033]0;title\007b", "ab" },
		{ "a\033Pq;1\007x\033\\b", "a\033\\b" }, { "a\033_app\030b", "ab" }, { "a\033]0;x\033[1mb", "a\033[1mb" },
		{ "\033(0lqk\033(B", NULL }, { "\033 Px\033%]0;y", "x0;y" }, { "\033\r]52;c;eA==\007z", "\rz" },
		{ "x\033[3b", NULL }, { "\033[3b", "" }, { "x\xcc\x81\033[3b", "x\xcc\x81" }, { "x\033c\033[3b", "x\033c" },
		{ "\033#8\0337\0338\033M", NULL }, { "\033\033\033[1m", "\033[1m" }, { "\033[1\xffx", "\xffx" }, { "\033\xffPx", "\xffPx" }, { "\033[1\n2m", "\n\033[12m" },
		{ "\033[1?m", "m" }, { "\033[ qx", NULL }, { "\033[1 2x", "x" }, { "\033[1\0302m", "2m" },
		{ "\033[123456789C", "\033[1234C" },
		{ "\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14;15;16;17m", "\033[1;2;3;4;5;6;7;8;9;10;11;12;13;14m" },
		{ "\033[;;;;;;;;;;;;;;;;;;;;m", "\033[;;;;;;;;;;;;;m" },
		{ "\033[1\033[123456H", "\033[1234H" },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(cases); i++)
		for (size_t piece = 1; piece <= strlen(cases[i].in); piece++) {
			const char *want = cases[i].out != NULL ? cases[i].out : cases[i].in;
			size_t n = strlen(cases[i].in), used = 0;
			struct ctl_guard g = { 0 };
			uint8_t out[256 + GUARD_HELD];

			for (size_t at = 0; at < n; at += piece)
				used += ctl_guard_pass(&g, (const uint8_t *)cases[i].in + at, at + piece > n ? n - at : piece, out + used);
			assert_int_equal(used, strlen(want));
			assert_memory_equal(out, want, used);
		}
}

/* ---- frames */

struct got {
	int	n;
	char	text[64];
	unsigned cols;
	enum ctl_frame_type last;
};

static void
on_frame(const struct ctl_frame *f, void *arg)
{
	struct got *g = arg;

	g->n++;
	g->cols = f->cols;
	g->last = f->type;
	if (f->bytes.len > 0 && f->bytes.len < 16)
		memcpy(g->text + strlen(g->text), f->bytes.p, f->bytes.len);
}

static const uint8_t three_frames[] = {
	1, 0, 80, 0, 24, 0, 0, 0, 3, 0, 0, 0, 'a', 'b', 'c',
	2, 0, 120, 0, 40, 0, 0, 0, 0, 0, 0, 0,
	3, 0, 120, 0, 40, 0, 0, 0, 4, 0, 0, 0, 'd', 'o', 'n', 'e'
};

static void
frames_arrive_whole_however_the_bytes_are_cut(void **state)
{
	(void)state;
	for (size_t piece = 1; piece <= sizeof(three_frames); piece++) {
		struct got g = { 0 };
		struct ctl_frames f;

		ctl_frames_init(&f, on_frame, &g);
		for (size_t at = 0; at < sizeof(three_frames); at += piece)
			assert_int_equal(ctl_frames_feed(&f, three_frames + at,
			    at + piece > sizeof(three_frames) ? sizeof(three_frames) - at : piece), SP_OK);
		assert_int_equal(g.n, 3);
		assert_string_equal(g.text, "abcdone");
		assert_int_equal(g.cols, 120);
		assert_int_equal(g.last, CTL_FRAME_END);
		ctl_frames_release(&f);
	}
}

static void
a_malformed_frame_is_refused_for_good(void **state)
{
	static const struct { uint8_t head[12]; enum sp_err err; } bad[] = {
		{ { 0, 0, 80, 0, 24, 0, 0, 0, 0, 0, 0, 0 }, SP_EFORMAT },
		{ { 4, 0, 80, 0, 24, 0, 0, 0, 0, 0, 0, 0 }, SP_EFORMAT },
		{ { 1, 1, 80, 0, 24, 0, 0, 0, 0, 0, 0, 0 }, SP_EFORMAT },
		{ { 1, 0, 80, 0, 24, 0, 1, 0, 0, 0, 0, 0 }, SP_EFORMAT },
		{ { 1, 0, 80, 0, 24, 0, 0, 0, 1, 0, 0x80, 0 }, SP_ESIZE },
		{ { 1, 0, 80, 0, 24, 0, 0, 0, 255, 255, 255, 255 }, SP_ESIZE },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		struct got g = { 0 };
		struct ctl_frames f;

		ctl_frames_init(&f, on_frame, &g);
		assert_int_equal(ctl_frames_feed(&f, bad[i].head, 12), bad[i].err);
		assert_int_equal(ctl_frames_feed(&f, three_frames, sizeof(three_frames)), bad[i].err);
		assert_int_equal(g.n, 0);
		ctl_frames_release(&f);
	}
}

static void
the_largest_frame_passes(void **state)
{
	uint8_t head[12] = { 1, 0, 80, 0, 24, 0, 0, 0, 0, 0, 0x80, 0 };
	uint8_t *body = calloc(1, CTL_FRAME_MAX);
	struct got g = { 0 };
	struct ctl_frames f;

	(void)state;
	assert_non_null(body);
	ctl_frames_init(&f, on_frame, &g);
	assert_int_equal(ctl_frames_feed(&f, head, 12), SP_OK);
	assert_int_equal(ctl_frames_feed(&f, body, CTL_FRAME_MAX), SP_OK);
	assert_int_equal(g.n, 1);
	ctl_frames_release(&f);
	free(body);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_escape_sequence_of_the_target_reaches_the_watcher),
		cmocka_unit_test(random_bytes_give_only_our_sequences),
		cmocka_unit_test(text_and_attributes_are_drawn),
		cmocka_unit_test(only_changed_rows_are_drawn_again),
		cmocka_unit_test(a_smaller_watcher_sees_the_upper_left_part),
		cmocka_unit_test(hidden_and_reordering_characters_are_replaced),
		cmocka_unit_test(sizes_are_cut_to_the_limits),
		cmocka_unit_test(plain_text_gives_each_changed_line_once),
		cmocka_unit_test(sequences_are_kept_within_what_the_emulation_takes),
		cmocka_unit_test(frames_arrive_whole_however_the_bytes_are_cut),
		cmocka_unit_test(a_malformed_frame_is_refused_for_good),
		cmocka_unit_test(the_largest_frame_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
