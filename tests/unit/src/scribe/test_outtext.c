/* tests/unit/src/scribe/test_outtext.c - what a command printed, as text without sequences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/attr.h"
#include "scribe/outtext.h"

static void
drawn_is(unsigned cols, const char *raw, const char *prompt, const char *want)
{
	struct sp_outtext *o;
	const char *text;
	uint64_t bytes;
	int cut;

	assert_int_equal(sp_outtext_new(cols, 24, &o), SP_OK);
	sp_outtext_feed(o, (struct sp_view){ (const uint8_t *)raw, strlen(raw) });
	assert_int_equal(sp_outtext_end(o, prompt != NULL ? (const char *const[2]){ "nothing# ", prompt } : NULL, &text, &bytes, &cut), SP_OK);
	assert_string_equal(text, want);
	assert_int_equal(bytes, strlen(raw));
	assert_false(cut);
	sp_outtext_free(o);
}

static void
sequences_are_drawn_and_gone(void **state)
{
	static const struct { unsigned cols; const char *raw, *prompt, *want; } rows[] = {
		{ 80, "one\r\ntwo\r\n", NULL, "one\ntwo" }, { 0, "one\ntwo\n", NULL, "one\ntwo" },
		{ 80, "\033[31mred\033[0m\033]0;title\007 \033]52;c;aGk=\007end\r\n", NULL, "red end" },
		{ 80, "10%\r50%\r100%\r\n", NULL, "100%" }, { 80, "abc\b\bX\r\n", NULL, "aXc" },
		{ 80, "\033[?1049hvim all over\033[?1049lafter\r\n", NULL, "after" },
		{ 10, "0123456789abcdef\r\n", NULL, "0123456789abcdef" }, { 80, "\xe6\x95\xb0\xe6\x8d\xae\r\n", NULL, "\xe6\x95\xb0\xe6\x8d\xae" },
		{ 80, "out\r\nme@web1:~$ ", "me@web1:~$ ", "out" }, { 80, "outme@web1:~$ ", "me@web1:~$ ", "out" }, { 80, "$ ", "$ ", "" },
		{ 0, "a\xff\x1b""b\n", NULL, "a\xef\xbf\xbd" }, { 0, "", NULL, "" },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		drawn_is(rows[i].cols, rows[i].raw, rows[i].prompt, rows[i].want);
}

static void
what_is_beyond_64_kib_is_cut_and_said(void **state)
{
	static const uint8_t line[] = "0123456789012345678901234567890123456789\n";
	struct sp_outtext *o;
	const char *text;
	uint64_t bytes;
	int cut;

	(void)state;
	assert_int_equal(sp_outtext_new(0, 0, &o), SP_OK);
	for (int i = 0; i < 100000; i++)
		sp_outtext_feed(o, (struct sp_view){ line, sizeof(line) - 1 });
	assert_int_equal(sp_outtext_end(o, NULL, &text, &bytes, &cut), SP_OK);
	assert_true(cut);
	assert_int_equal(bytes, 100000 * (sizeof(line) - 1));
	assert_in_range(strlen(text), SP_OUTTEXT_MAX - 100, SP_OUTTEXT_MAX);
	sp_outtext_free(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequences_are_drawn_and_gone), cmocka_unit_test(what_is_beyond_64_kib_is_cut_and_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
