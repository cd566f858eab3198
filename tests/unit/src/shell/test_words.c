/* tests/unit/src/shell/test_words.c - a command line as words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "shell/words.h"

static char *argv[SHELL_WORDS_N + 1];

static enum sp_err
split(const char *text, int *argc, const char **why)
{
	static char line[8192];
	size_t n = strlen(text);

	*argc = -1;
	*why = NULL;
	memcpy(line, text, n);
	line[n] = 'X';		/* there is no NUL behind what came */
	return shell_words(line, n, argv, argc, why);
}

static void
words_are_split_as_a_shell_would(void **state)
{
	static const struct {
		const char	*line;
		int		 n;
		const char	*words[4];
	} cases[] = {
		{ "", 0, { NULL } }, { " \t ", 0, { NULL } }, { "a", 1, { "a" } }, { " a  b\tc ", 3, { "a", "b", "c" } },
		{ "'a b' \"c d\"", 2, { "a b", "c d" } }, { "a'b'\"c\"d", 1, { "abcd" } }, { "'' \"\"", 2, { "", "" } },
		{ "'a\\b'", 1, { "a\\b" } }, { "\"a\\\"b\\\\c\\d\"", 1, { "a\"b\\c\\d" } }, { "a\\ b \\'", 2, { "a b", "'" } },
		{ "'|&;<>$`*?'", 1, { "|&;<>$`*?" } }, { "\"*\" \\*", 2, { "*", "*" } }, { "\"\\$x\"", 1, { "$x" } },
		{ "a#b a~b", 2, { "a#b", "a~b" } }, { "--x=y@z +8h", 2, { "--x=y@z", "+8h" } }, { "'張 三'", 1, { "張 三" } },
	};
	const char *why;
	int argc;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(cases); i++) {
		assert_int_equal(split(cases[i].line, &argc, &why), SP_OK);
		assert_int_equal(argc, cases[i].n);
		for (int k = 0; k < argc; k++)
			assert_string_equal(argv[k], cases[i].words[k]);
		assert_null(argv[argc]);
	}
}

static void
what_a_shell_would_act_on_is_refused_with_a_reason(void **state)
{
	static const char *const lines[] = { "a;b", "a|b", "a&b", "a&&b", "a>b", "a<b", "$a", "`a`", "a*", "a?", "[a", "(a)", "{a,b}", "!a",
		"#a", "~a", "\"$a\"", "\"`a`\"", "'a", "\"a", "a\\", "\"a\\", "a\nb", "'a\nb'", "a\rb", "\x1b[0m", "a\x7f", "'\x01'", "\xff", "'\xc3'" };
	const char *why;
	int argc;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(lines); i++) {
		assert_int_equal(split(lines[i], &argc, &why), SP_EFORMAT);
		assert_int_equal(argc, -1);
		assert_non_null(why);
	}
}

static void
too_many_words_are_refused(void **state)
{
	char line[2 * (SHELL_WORDS_N + 1) + 1];
	const char *why;
	int argc;

	(void)state;
	for (size_t i = 0; i < sizeof(line) - 1; i++)
		line[i] = i % 2 == 0 ? 'a' : ' ';
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(split(line, &argc, &why), SP_ESIZE);
	line[2 * SHELL_WORDS_N] = '\0';
	assert_int_equal(split(line, &argc, &why), SP_OK);
	assert_int_equal(argc, SHELL_WORDS_N);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_split_as_a_shell_would),
		cmocka_unit_test(what_a_shell_would_act_on_is_refused_with_a_reason),
		cmocka_unit_test(too_many_words_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
