/* tests/unit/lib/wire/test_asciicast.c - lines of asciicast v2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "wire/asciicast.h"

#define V(s) ((struct sp_view){ (const uint8_t *)(s), sizeof(s) - 1 })

static void
a_line_is_written_as_the_format_says(void **state)
{
	struct sp_buf b = { .max = 4096 };

	(void)state;
	assert_int_equal(sp_cast_event(&b, 1500001, 'o', V("a\r\n\033[0m\"\\\x7f\xe4\xb8\xad")), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "[1.500001, \"o\", \"a\\r\\n\\u001b[0m\\\"\\\\\x7f\xe4\xb8\xad\"]\n");
	sp_buf_release(&b);
}

static void
every_byte_below_0x80_comes_back(void **state)
{
	struct sp_buf b = { .max = 4096 }, text = { .max = 4096 };
	uint8_t all[128];
	uint64_t at;
	char code;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	assert_int_equal(sp_cast_event(&b, 0, 'x', (struct sp_view){ all, sizeof(all) }), SP_OK);
	assert_int_equal(sp_cast_read((struct sp_view){ b.p, b.len - 1 }, &at, &code, &text), SP_OK);
	assert_int_equal(text.len, sizeof(all));
	assert_memory_equal(text.p, all, sizeof(all));
	sp_buf_release(&b);
	sp_buf_release(&text);
}

static const struct {
	const char	*line;
	enum sp_err	 err;
	uint64_t	 at_us;
	const char	*text;
} lines[] = {
	{ "[0.5,\"o\",\"x\"]", SP_OK, 500000, "x" },
	{ "[ 7 , \"o\" , \"\\ud83d\\ude00\\/\" ]", SP_OK, 7000000, "\xf0\x9f\x98\x80/" },
	{ "[1.0000019, \"o\", \"\"]", SP_OK, 1000001, "" },
	{ "[1, \"o\", \"x\"", SP_EFORMAT, 0, NULL },
	{ "[1, \"o\", \"x\"] ]", SP_EFORMAT, 0, NULL },
	{ "[1, \"out\", \"x\"]", SP_EFORMAT, 0, NULL },
	{ "[-1, \"o\", \"x\"]", SP_EFORMAT, 0, NULL },
	{ "[1, \"o\", \"\\ud83d\"]", SP_EFORMAT, 0, NULL },
	{ "[1, \"o\", \"\\x41\"]", SP_EFORMAT, 0, NULL },
	{ "[1, \"o\", \"\xff\"]", SP_EFORMAT, 0, NULL },
	{ "[1, \"o\", \"\xed\xa0\x80\"]", SP_EFORMAT, 0, NULL },
	{ "[1, \"o\", \"tab\there\"]", SP_EFORMAT, 0, NULL },
	{ "[10000000000, \"o\", \"x\"]", SP_EFORMAT, 0, NULL },
	{ "", SP_EFORMAT, 0, NULL },
};

static void
reads_what_is_a_line_and_nothing_else(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct sp_buf text = { .max = 4096 };
		uint64_t at = 42;
		char code = '?';

		assert_int_equal(sp_cast_read((struct sp_view){ (const uint8_t *)lines[i].line, strlen(lines[i].line) }, &at, &code, &text),
		    lines[i].err);
		if (lines[i].err == SP_OK) {
			assert_int_equal(at, lines[i].at_us);
			assert_string_equal(sp_buf_cstr(&text), lines[i].text);
		} else {
			assert_int_equal(at, 42);
			assert_int_equal(text.len, 0);
		}
		sp_buf_release(&text);
	}
}

static void
tells_a_cut_character_from_a_wrong_one(void **state)
{
	int cut;

	(void)state;
	assert_int_equal(sp_cast_utf8((const uint8_t *)"abcdefgh\xe4\xb8", 10, &cut), 8);
	assert_true(cut);
	assert_int_equal(sp_cast_utf8((const uint8_t *)"ab\xe4z", 4, &cut), 2);
	assert_false(cut);
	assert_int_equal(sp_cast_utf8((const uint8_t *)"\xc0\x80", 2, &cut), 0);
	assert_false(cut);
	assert_int_equal(sp_cast_utf8((const uint8_t *)"\xf4\x90", 2, &cut), 0);
	assert_false(cut);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_written_as_the_format_says),
		cmocka_unit_test(every_byte_below_0x80_comes_back),
		cmocka_unit_test(reads_what_is_a_line_and_nothing_else),
		cmocka_unit_test(tells_a_cut_character_from_a_wrong_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
