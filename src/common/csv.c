/* src/common/csv.c - see csv.h. RFC 4180 with its section 2 taken literally, but LF alone ends a record too.
 * Process: the command line. Invariant: `at` grows with every call, whatever the text is. */
#include "common/csv.h"

#include <string.h>

#include "base/str.h"

void
sp_csv_init(struct sp_csv *r, const char *p, size_t n)
{
	*r = (struct sp_csv){ .p = p, .n = n, .line = 1 };
	if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
		r->at = 3;
}

static enum sp_err
csv_fail(struct sp_csv *r, enum sp_err e, const char *why)
{
	r->why = why;
	while (r->at < r->n && r->p[r->at] != '\n')
		r->at++;
	if (r->at < r->n) {
		r->at++;
		r->line++;
	}
	return e;
}

static int
csv_is(const struct sp_csv *r, size_t at, char c)
{
	return at < r->n && r->p[at] == c;
}

/* Bytes of the line end at `at`; 0: none there. */
static size_t
csv_eol(const struct sp_csv *r, size_t at)
{
	return csv_is(r, at, '\n') ? 1 : csv_is(r, at, '\r') && csv_is(r, at + 1, '\n') ? 2 : 0;
}

static enum sp_err
csv_take(struct sp_csv *r, struct sp_buf *text, size_t from, size_t n)
{
	if (memchr(r->p + from, 0, n) != NULL || !sp_utf8_valid(r->p + from, n))
		return csv_fail(r, SP_EFORMAT, "the text is not UTF-8");
	return sp_buf_append(text, r->p + from, n) == SP_OK ? SP_OK : csv_fail(r, SP_ESIZE, "the record is too long");
}

static enum sp_err
csv_quoted(struct sp_csv *r, struct sp_buf *text)
{
	enum sp_err e;

	for (size_t from = ++r->at; ; from = r->at) {
		while (r->at < r->n && r->p[r->at] != '"')
			r->line += r->p[r->at++] == '\n';
		if (r->at == r->n)
			return csv_fail(r, SP_EFORMAT, "a quote is never closed");
		if ((e = csv_take(r, text, from, r->at - from)) != SP_OK)
			return e;
		if (!csv_is(r, r->at + 1, '"'))
			break;
		if (sp_buf_append(text, "\"", 1) != SP_OK)
			return csv_fail(r, SP_ESIZE, "the record is too long");
		r->at += 2;
	}
	r->at++;
	return r->at == r->n || r->p[r->at] == ',' || csv_eol(r, r->at) > 0 ? SP_OK :
	    csv_fail(r, SP_EFORMAT, "text behind a closing quote");
}

static enum sp_err
csv_plain(struct sp_csv *r, struct sp_buf *text)
{
	size_t from = r->at;

	while (r->at < r->n && r->p[r->at] != ',' && csv_eol(r, r->at) == 0) {
		if (r->p[r->at] == '"')
			return csv_fail(r, SP_EFORMAT, "a quote inside a field that is not quoted");
		r->at++;
	}
	return csv_take(r, text, from, r->at - from);
}

enum sp_err
sp_csv_next(struct sp_csv *r, struct sp_csv_record *ret)
{
	enum sp_err e;

	for (size_t eol; r->at < r->n && (eol = csv_eol(r, r->at)) > 0; r->at += eol)
		r->line++;
	sp_buf_reset(&ret->text);
	ret->text.max = SP_CSV_RECORD_MAX;
	ret->n = 0;
	ret->line = r->line;
	if (r->at >= r->n)
		return SP_ENOENT;
	for (;;) {
		if (ret->n == SP_CSV_FIELDS_MAX)
			return csv_fail(r, SP_ESIZE, "too many fields");
		ret->from[ret->n++] = ret->text.len;
		e = csv_is(r, r->at, '"') ? csv_quoted(r, &ret->text) : csv_plain(r, &ret->text);
		if (e == SP_OK && sp_buf_append(&ret->text, "", 1) != SP_OK)
			e = csv_fail(r, SP_ESIZE, "the record is too long");
		if (e != SP_OK)
			return e;
		if (!csv_is(r, r->at, ','))
			break;
		r->at++;
	}
	if (r->at < r->n) {
		r->at += csv_eol(r, r->at);
		r->line++;
	}
	return SP_OK;
}

const char *
sp_csv_field(const struct sp_csv_record *rec, size_t i)
{
	return i < rec->n ? (const char *)rec->text.p + rec->from[i] : "";
}

void
sp_csv_record_release(struct sp_csv_record *rec)
{
	sp_buf_release(&rec->text);
	rec->n = 0;
}

enum sp_err
sp_csv_put(struct sp_buf *b, const char *s, int first)
{
	size_t was = b->len;
	enum sp_err r = first ? SP_OK : sp_buf_append(b, ",", 1);
	int quoted = strpbrk(s, ",\"\r\n") != NULL || (first && *s == '\0');

	if (r == SP_OK && quoted)
		r = sp_buf_append(b, "\"", 1);
	while (r == SP_OK && *s != '\0') {
		size_t n = strcspn(s, "\"");

		if ((r = sp_buf_append(b, s, n)) == SP_OK && s[n] == '"')
			r = sp_buf_append(b, "\"\"", 2);
		s += n + (s[n] == '"');
	}
	if (r == SP_OK && quoted)
		r = sp_buf_append(b, "\"", 1);
	if (r != SP_OK)
		b->len = was;
	return r;
}

enum sp_err
sp_csv_end(struct sp_buf *b)
{
	return sp_buf_append(b, "\r\n", 2);
}
