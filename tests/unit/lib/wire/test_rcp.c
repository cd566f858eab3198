/* tests/unit/lib/wire/test_rcp.c - what scp says, and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "wire/rcp.h"

/* A conversation: ">" the source, "<" the sink; expected: what is decoded, a letter each. */
static const struct {
	const char *name, *expect;
	enum sp_err err;
	struct { const char *bytes; size_t n; char who; } say[12];
} rows[] = {
#define S(x)	{ x, sizeof(x) - 1, '>' }
#define R(x)	{ x, sizeof(x) - 1, '<' }
	{ "a file", "rFrBsr", SP_OK, { R("\0"), S("C0644 5 name\n"), R("\0"), S("hello\0"), R("\0") } },
	{ "an empty file", "rFrsr", SP_OK, { R("\0"), S("C0644 0 name\n"), R("\0"), S("\0"), R("\0") } },
	{ "times and a directory", "rTrDrFrsrUr", SP_OK, { R("\0"), S("T1 0 2 0\n"), R("\0"), S("D0755 0 d\n"), R("\0"), S("C0600 0 e\n"),
	  R("\0"), S("\0"), R("\0"), S("E\n"), R("\0") } },
	{ "a file that the sink does not want", "rFxFrBsr", SP_OK, { R("\0"), S("C0644 2 a\n"), R("\1no\n"), S("C0644 2 b\n"), R("\0"),
	  S("ab\0"), R("\0") } },
	{ "an error between files, and one behind the contents", "rmFrBer", SP_OK, { R("\0"), S("\1scp: x: gone\n"), S("C0644 1 a\n"), R("\0"),
	  S("a\1short\n"), R("\0") } },
	{ "an answer before it is asked for", "rFrBsx", SP_OK, { R("\0"), R("\0"), R("\1later\n"), S("C0644 1 a\n"), S("b\0"), S("") } },
	{ "bytes before the answer", "rF", SP_EFORMAT, { R("\0"), S("C0644 5 name\nhello") } },
	{ "a source that does not wait for the start", "", SP_EFORMAT, { S("C0644 5 name\n") } },
	{ "a shell's prompt", "", SP_EFORMAT, { R("$ ") } },
	{ "a name with a slash", "r", SP_EFORMAT, { R("\0"), S("C0644 5 ../name\n") } },
	{ "two dots", "r", SP_EFORMAT, { R("\0"), S("D0755 0 ..\n") } },
	{ "no name", "r", SP_EFORMAT, { R("\0"), S("C0644 5 \n") } },
	{ "a size that is none", "r", SP_EFORMAT, { R("\0"), S("C0644 9999999999999999999 a\n") } },
	{ "the end of a directory that never began", "r", SP_EFORMAT, { R("\0"), S("E\n") } },
	{ "an unknown line", "r", SP_EFORMAT, { R("\0"), S("X\n") } },
	{ "a NUL in a name", "r", SP_EFORMAT, { R("\0"), S("C0644 1 a\0b\n") } },
};

static void
feed(struct sp_rcp *f, enum sp_rcp_side side, struct sp_view v, char *out, enum sp_err *err)
{
	static const char letters[] = { [SP_RCP_FILE] = 'F', [SP_RCP_DIR] = 'D', [SP_RCP_UP] = 'U', [SP_RCP_TIMES] = 'T',
	    [SP_RCP_BYTES] = 'B', [SP_RCP_STATUS] = 's', [SP_RCP_MESSAGE] = 'm', [SP_RCP_REPLY] = 'r' };
	struct sp_rcp_item it;

	while ((*err = sp_rcp_next(f, side, &v, &it)) == SP_OK && it.what != SP_RCP_MORE) {
		size_t n = strlen(out);
		char c = it.what == SP_RCP_REPLY && !it.ok ? 'x' : it.what == SP_RCP_STATUS && !it.ok ? 'e' : letters[it.what];

		if (c == 'B' && n > 0 && out[n - 1] == 'B')
			continue;
		assert_true(n < 60);
		out[n] = c;
		out[n + 1] = '\0';
	}
}

static void
decodes_conversations_in_any_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		for (size_t piece = 1; piece < 40; piece += 13) {
			char out[64] = "";
			enum sp_err err = SP_OK;
			struct sp_rcp f;

			sp_rcp_init(&f);
			for (size_t k = 0; k < SP_NELEMS(rows[i].say) && rows[i].say[k].bytes != NULL && err == SP_OK; k++) {
				enum sp_rcp_side side = rows[i].say[k].who == '>' ? SP_RCP_SOURCE : SP_RCP_SINK;
				size_t n = rows[i].say[k].n, at = 0;

				do {
					struct sp_view v = { (const uint8_t *)rows[i].say[k].bytes + at, n - at < piece ? n - at : piece };

					feed(&f, side, v, out, &err);
					at += piece;
				} while (at < n && err == SP_OK);
			}
			if (err != rows[i].err || strcmp(out, rows[i].expect) != 0)
				fail_msg("%s, pieces of %zu: %s, %s", rows[i].name, piece, out, sp_err_name(err));
			sp_rcp_release(&f);
		}
}

static void
gives_names_sizes_and_offsets_beyond_4_gib(void **state)
{
	static uint8_t block[1 << 20];
	struct sp_rcp f;
	struct sp_rcp_item it;
	struct sp_view v = { (const uint8_t *)"\0", 1 };
	uint64_t seen = 0;

	(void)state;
	sp_rcp_init(&f);
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SINK, &v, &it), SP_OK);
	v = (struct sp_view){ (const uint8_t *)"C0644 4294967299 big file\n", 26 };
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SOURCE, &v, &it), SP_OK);
	assert_int_equal(it.what, SP_RCP_FILE);
	assert_true(it.size == 4294967299u && it.mode == 0644 && sp_view_equal_str(it.name, "big file"));
	v = (struct sp_view){ (const uint8_t *)"\0", 1 };
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SINK, &v, &it), SP_OK);
	while (seen < 4294967299u) {
		v = (struct sp_view){ block, sizeof(block) };
		assert_int_equal(sp_rcp_next(&f, SP_RCP_SOURCE, &v, &it), SP_OK);
		assert_int_equal(it.what, SP_RCP_BYTES);
		assert_true(it.offset == seen);
		seen += it.bytes.len;
	}
	assert_true(seen == 4294967299u);
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SOURCE, &v, &it), SP_OK);
	assert_true(it.what == SP_RCP_STATUS && it.ok);
	sp_rcp_release(&f);
}

static void
bounds_a_line(void **state)
{
	static uint8_t line[SP_RCP_LINE_MAX + 2];
	struct sp_rcp f;
	struct sp_rcp_item it;
	struct sp_view v = { (const uint8_t *)"\0", 1 };

	(void)state;
	memset(line, 'C', sizeof(line));
	sp_rcp_init(&f);
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SINK, &v, &it), SP_OK);
	v = (struct sp_view){ line, sizeof(line) };
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SOURCE, &v, &it), SP_ESIZE);
	v = (struct sp_view){ (const uint8_t *)"E\n", 2 };
	assert_int_equal(sp_rcp_next(&f, SP_RCP_SOURCE, &v, &it), SP_ESIZE);	/* and it stays the end */
	sp_rcp_release(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_conversations_in_any_pieces),
		cmocka_unit_test(gives_names_sizes_and_offsets_beyond_4_gib),
		cmocka_unit_test(bounds_a_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
