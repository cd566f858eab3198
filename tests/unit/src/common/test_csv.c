/* tests/unit/src/common/test_csv.c - RFC 4180, read and written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/csv.h"

static void
next(struct sp_csv *r, struct sp_csv_record *rec, uint32_t line, size_t n, const char *const *want)
{
	assert_int_equal(sp_csv_next(r, rec), SP_OK);
	assert_int_equal(rec->line, line);
	assert_int_equal(rec->n, n);
	for (size_t i = 0; i < n; i++)
		assert_string_equal(sp_csv_field(rec, i), want[i]);
	assert_string_equal(sp_csv_field(rec, n), "");
}

static void
quotes_line_breaks_marks_and_both_line_ends_are_read(void **state)
{
	static const char text[] = "\xef\xbb\xbf" "name,remark\r\n\"a \"\"b\"\"\",\"two\r\nlines, one comma\"\n\r\n,x\nlast,";
	struct sp_csv_record rec = { 0 };
	struct sp_csv r;

	(void)state;
	sp_csv_init(&r, text, sizeof(text) - 1);
	next(&r, &rec, 1, 2, (const char *const[]){ "name", "remark" });
	next(&r, &rec, 2, 2, (const char *const[]){ "a \"b\"", "two\r\nlines, one comma" });
	next(&r, &rec, 5, 2, (const char *const[]){ "", "x" });
	next(&r, &rec, 6, 2, (const char *const[]){ "last", "" });
	assert_int_equal(sp_csv_next(&r, &rec), SP_ENOENT);
	sp_csv_record_release(&rec);
}

static void
what_is_malformed_is_refused_with_its_line_and_reading_goes_on(void **state)
{
	static const char text[] = "a\"b,c\n\"x\"y\nok,1\nbad\xff,2\nok,2\nn\0ul,3\n\"open,\n";
	static const struct { uint32_t line; const char *why; } bad[] = {
		{ 1, "a quote inside a field that is not quoted" }, { 2, "text behind a closing quote" }, { 0, NULL },
		{ 4, "the text is not UTF-8" }, { 0, NULL }, { 6, "the text is not UTF-8" }, { 7, "a quote is never closed" }
	};
	struct sp_csv_record rec = { 0 };
	struct sp_csv r;

	(void)state;
	sp_csv_init(&r, text, sizeof(text) - 1);
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		enum sp_err e = sp_csv_next(&r, &rec);

		assert_int_equal(e, bad[i].why == NULL ? SP_OK : SP_EFORMAT);
		if (bad[i].why != NULL) {
			assert_int_equal(rec.line, bad[i].line);
			assert_string_equal(r.why, bad[i].why);
		}
	}
	assert_int_equal(sp_csv_next(&r, &rec), SP_ENOENT);
	sp_csv_record_release(&rec);
}

static void
fields_and_records_are_bounded(void **state)
{
	static char text[SP_CSV_RECORD_MAX + 3];
	struct sp_csv_record rec = { 0 };
	struct sp_csv r;

	(void)state;
	memset(text, 'x', sizeof(text));
	sp_csv_init(&r, text, sizeof(text));
	assert_int_equal(sp_csv_next(&r, &rec), SP_ESIZE);
	memset(text, ',', SP_CSV_FIELDS_MAX);
	sp_csv_init(&r, text, SP_CSV_FIELDS_MAX);
	assert_int_equal(sp_csv_next(&r, &rec), SP_ESIZE);
	sp_csv_init(&r, text, SP_CSV_FIELDS_MAX - 1);
	assert_int_equal(sp_csv_next(&r, &rec), SP_OK);
	assert_int_equal(rec.n, SP_CSV_FIELDS_MAX);
	sp_csv_record_release(&rec);
}

static void
what_is_written_is_quoted_only_where_it_must_be(void **state)
{
	struct sp_buf b = { .max = 256 };

	(void)state;
	assert_int_equal(sp_csv_put(&b, "plain text", 1), SP_OK);
	assert_int_equal(sp_csv_put(&b, "a \"b\", c", 0), SP_OK);
	assert_int_equal(sp_csv_put(&b, "", 0), SP_OK);
	assert_int_equal(sp_csv_put(&b, "two\nlines", 0), SP_OK);
	assert_int_equal(sp_csv_end(&b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "plain text,\"a \"\"b\"\", c\",,\"two\nlines\"\r\n");
	sp_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quotes_line_breaks_marks_and_both_line_ends_are_read),
		cmocka_unit_test(what_is_malformed_is_refused_with_its_line_and_reading_goes_on),
		cmocka_unit_test(fields_and_records_are_bounded),
		cmocka_unit_test(what_is_written_is_quoted_only_where_it_must_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
