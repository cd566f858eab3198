/* src/ctl/bulk.c - see bulk.h. Cells become JSON by the table of columns; what is malformed is refused here with its line and
 * counted with what control refuses. Secrets are sealed to the vault before they leave this program. */
#include "ctl/bulk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "common/csv.h"
#include "common/sealkind.h"
#include "ctl/secret.h"

#define PAGE_BYTES	(64 * 1024)
#define COMMIT_WAIT_MS	(15 * 60 * 1000)	/* judging half a million rows takes its time */

enum sp_err
ctl_bulk_read(struct ctl *c, const char *path, size_t max, struct sp_buf *ret)
{
	sp_auto(sp_closep) int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd == -1)
		return ctl_fail(c, errno == EACCES ? SP_EACCES : SP_ENOENT, "%s: %s: name a readable file", path, strerror(errno));
	ret->max = max + 1;
	do {
		if (sp_buf_reserve(ret, 65536) != SP_OK && sp_buf_reserve(ret, 1) != SP_OK)
			return ctl_fail(c, SP_ESIZE, "%s: is longer than %zu MiB: split it", path, max >> 20);
		n = read(fd, ret->p + ret->len, ret->cap - ret->len);
		if (n > 0)
			ret->len += (size_t)n;
	} while (n > 0 || (n == -1 && errno == EINTR));
	return n == 0 ? SP_OK : ctl_fail(c, SP_EIO, "%s: %s", path, strerror(errno));
}

static enum sp_err
bulk_bad(struct ctl_bulk *b, uint32_t line, const char *reason)
{
	if (b->bad_n++ < SP_BULK_REFUSED_MAX)
		json_array_append_new(b->bad, json_pack("{s:I, s:s}", "line", (json_int_t)line, "reason", reason));
	return SP_OK;
}

enum sp_err
ctl_bulk_begin(struct ctl_bulk *b, struct ctl *c, const char *kind, json_t *params)
{
	ctl_auto_json *body = NULL;

	*b = (struct ctl_bulk){ .c = c, .kind = sp_bulk_kind(kind), .page = json_array(), .bad = json_array() };
	if (b->kind == NULL || b->page == NULL || b->bad == NULL || json_object_set_new(params, "kind", json_string(kind)) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	CTL_TRY(ctl_line_open(c, &b->line));
	CTL_TRY(ctl_line_call(c, b->line, "import.begin", params, c->timeout_ms, &body));
	b->id = json_incref(json_object_get(body, "import"));
	return b->id != NULL ? SP_OK : ctl_fail(c, SP_EFORMAT, "control sent an answer that does not fit: restart sallyport after its upgrade");
}

void
ctl_bulk_release(struct ctl_bulk *b)
{
	ctl_line_free(b->line);
	json_decref(b->id);
	json_decref(b->page);
	json_decref(b->bad);
	*b = (struct ctl_bulk){ 0 };
}

static enum sp_err
bulk_send(struct ctl_bulk *b)
{
	ctl_auto_json *params = json_pack("{s:O, s:I, s:O}", "import", b->id, "page", (json_int_t)b->pages, "rows", b->page), *body = NULL;

	if (params == NULL)
		return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	if (json_array_size(b->page) == 0)
		return SP_OK;
	CTL_TRY(ctl_line_call(b->c, b->line, "import.rows", params, b->c->timeout_ms, &body));
	b->pages++;
	b->page_bytes = 0;
	return json_array_clear(b->page) == 0 ? SP_OK : ctl_fail(b->c, SP_ENOMEM, "out of memory");
}

/* A secret of the row leaves it, sealed, in a call of its own. */
static enum sp_err
bulk_secret(struct ctl_bulk *b, uint32_t line, json_t *row, const char *column, const char *kind, const char *seal_kind)
{
	json_t *v = json_object_get(row, column);
	const char *text = json_string_value(v);
	ctl_auto_json *params = NULL, *body = NULL;
	sp_auto_secret plain = { 0 };
	json_t *sealed = NULL;

	if (v == NULL)
		return SP_OK;
	if (text == NULL || *text == '\0') {
		json_object_del(row, column);
		return SP_OK;
	}
	if (!b->secrets)
		return bulk_bad(b, line, "the file has a secret: say --secrets to seal and send it");
	if (sp_secret_alloc(strlen(text) + 1, &plain) != SP_OK)
		return ctl_fail(b->c, SP_ENOMEM, "cannot lock memory for a secret: raise the limit of locked memory (ulimit -l)");
	plain.len = strlen(text);
	memcpy(plain.p, text, plain.len);
	json_object_del(row, column);
	CTL_TRY(ctl_seal(b->c, seal_kind, &plain, &sealed));
	if ((params = json_pack("{s:O, s:I, s:s, s:o}", "import", b->id, "line", (json_int_t)line, "kind", kind, "sealed", sealed)) == NULL)
		return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	return ctl_line_call(b->c, b->line, "import.secret", params, b->c->timeout_ms, &body);
}

enum sp_err
ctl_bulk_row(struct ctl_bulk *b, uint32_t line, json_t *taken)
{
	ctl_auto_json *row = taken;
	size_t n;

	if (row == NULL)
		return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	if (++b->rows > SP_BULK_ROWS_MAX)
		return ctl_fail(b->c, SP_ESIZE, "more than %d rows: split the file", SP_BULK_ROWS_MAX);
	if (strcmp(b->kind->name, "accounts") == 0) {
		CTL_TRY(bulk_secret(b, line, row, "password", "password", SP_SEAL_ACCOUNT "password"));
		CTL_TRY(bulk_secret(b, line, row, "key", "ssh-key", SP_SEAL_ACCOUNT "ssh-key"));
	}
	n = json_dumpb(row, NULL, 0, JSON_COMPACT);
	if (n > SP_BULK_ROW_MAX - 64)
		return bulk_bad(b, line, "the row is too long");
	if (b->page_bytes + n > PAGE_BYTES)
		CTL_TRY(bulk_send(b));
	b->page_bytes += n + 16;
	if (json_array_append_new(b->page, json_pack("[I, O]", (json_int_t)line, row)) != 0)
		return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	return SP_OK;
}

/* ---- CSV ---- */

static json_t *
cell_list(const char *cell)
{
	json_t *a = json_array();
	const char *ends = strchr(cell, '\n') != NULL ? "\r\n" : ";";

	for (const char *p = cell; a != NULL && *p != '\0'; p += p[strcspn(p, ends)] != '\0' ? strcspn(p, ends) + 1 : strlen(p)) {
		size_t n = strcspn(p, ends);
		const char *from = p;

		while (n > 0 && *from == ' ')
			from++, n--;
		while (n > 0 && from[n - 1] == ' ')
			n--;
		if (n > 0)
			json_array_append_new(a, json_stringn(from, n));
	}
	return a;
}

/* NULL with *ret_why NULL: the cell says nothing. */
static json_t *
cell_value(enum sp_bulk_type type, const char *cell, const char **ret_why)
{
	char *end;
	long long n;

	switch (type) {
	case SP_BULK_TEXT:
	case SP_BULK_SECRET:
		return json_string(cell);
	case SP_BULK_LIST:
		return cell_list(cell);
	case SP_BULK_INT:
		if (*cell == '\0')
			return NULL;
		errno = 0;
		n = strtoll(cell, &end, 10);
		if (errno == 0 && end != cell && *end == '\0')
			return json_integer(n);
		*ret_why = "is not a number";
		return NULL;
	}
	return NULL;
}

static enum sp_err
csv_row(struct ctl_bulk *b, const struct sp_csv_record *rec, const struct sp_bulk_col *const *col, size_t cols)
{
	ctl_auto_json *row = json_object();
	char why[128];

	if (row == NULL)
		return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	if (rec->n != cols) {
		sp_snprintf(why, sizeof(why), "%zu fields, where the first line has %zu", rec->n, cols);
		return bulk_bad(b, rec->line, why);
	}
	for (size_t i = 0; i < cols; i++) {
		const char *wrong = NULL;
		json_t *v = cell_value(col[i]->type, sp_csv_field(rec, i), &wrong);

		if (wrong != NULL) {
			sp_snprintf(why, sizeof(why), "%s %s", col[i]->name, wrong);
			return bulk_bad(b, rec->line, why);
		}
		if (v != NULL && json_object_set_new(row, col[i]->name, v) != 0)
			return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	}
	return ctl_bulk_row(b, rec->line, sp_steal(&row));
}

static enum sp_err
csv_head(struct ctl_bulk *b, const char *path, const struct sp_csv_record *rec, const struct sp_bulk_col **col)
{
	for (size_t i = 0; i < rec->n; i++) {
		if ((col[i] = sp_bulk_col(b->kind, sp_csv_field(rec, i))) == NULL)
			return ctl_fail(b->c, SP_EFORMAT, "%s: line %u: there is no column \"%s\": see 'sallyport help'", path, rec->line,
			    sp_csv_field(rec, i));
		for (size_t k = 0; k < i; k++)
			if (col[k] == col[i])
				return ctl_fail(b->c, SP_EFORMAT, "%s: line %u: the column \"%s\" is there twice", path, rec->line, col[i]->name);
	}
	return SP_OK;
}

static enum sp_err
bulk_csv(struct ctl_bulk *b, const char *path, const struct sp_buf *text)
{
	sp_auto(sp_csv_record_release) struct sp_csv_record rec = { 0 };
	const struct sp_bulk_col *col[SP_CSV_FIELDS_MAX];
	struct sp_csv r;
	size_t cols;
	enum sp_err e;

	sp_csv_init(&r, (const char *)text->p, text->len);
	if ((e = sp_csv_next(&r, &rec)) == SP_ENOENT)
		return ctl_fail(b->c, SP_ESHORT, "%s: is empty: the first line names the columns", path);
	if (e != SP_OK)
		return ctl_fail(b->c, e, "%s: line %u: %s", path, rec.line, r.why);
	CTL_TRY(csv_head(b, path, &rec, col));
	cols = rec.n;
	while ((e = sp_csv_next(&r, &rec)) != SP_ENOENT)
		CTL_TRY(e == SP_OK ? csv_row(b, &rec, col, cols) : bulk_bad(b, rec.line, r.why));
	return SP_OK;
}

/* ---- JSON lines ---- */

static enum sp_err
bulk_jsonl(struct ctl_bulk *b, const struct sp_buf *text)
{
	const char *p = (const char *)text->p, *end = p + text->len;
	uint32_t line = 1;

	for (; p < end; line++) {
		const char *e = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((e != NULL ? e : end) - p);
		ctl_auto_json *row = NULL;

		if (n > 0 && strspn(p, " \t\r") < n) {
			row = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL);
			CTL_TRY(json_is_object(row) ? ctl_bulk_row(b, line, sp_steal(&row)) : bulk_bad(b, line, "not a JSON object"));
		}
		p += n + (e != NULL);
	}
	return SP_OK;
}

enum sp_err
ctl_bulk_file(struct ctl_bulk *b, const char *path, const char *format)
{
	sp_auto(sp_buf_release) struct sp_buf text = { 0 };
	const char *dot = strrchr(path, '.');
	int json;

	CTL_TRY(ctl_bulk_read(b->c, path, CTL_BULK_FILE_MAX, &text));
	if (sp_buf_append(&text, "", 1) != SP_OK)	/* a terminator behind the text, for string functions */
		return ctl_fail(b->c, SP_ESIZE, "%s: is too long", path);
	text.len--;
	if (format != NULL)
		json = strcmp(format, "jsonl") == 0;
	else if (dot != NULL && (strcmp(dot, ".jsonl") == 0 || strcmp(dot, ".json") == 0 || strcmp(dot, ".csv") == 0))
		json = dot[1] == 'j';
	else
		json = text.len > 0 && text.p[strspn((const char *)text.p, " \t\r\n")] == '{';
	return json ? bulk_jsonl(b, &text) : bulk_csv(b, path, &text);
}

/* ---- the end ---- */

static void
bulk_refusals(struct ctl *c, const json_t *list, size_t n)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) {
		json_int_t line = json_integer_value(json_object_get(v, "line"));

		if (line > 0)
			ctl_note(c, "line %lld: %s", (long long)line, json_string_value(json_object_get(v, "reason")));
		else
			ctl_note(c, "%s", json_string_value(json_object_get(v, "reason")));
	}
	if (n > json_array_size(list))
		ctl_note(c, "and %zu more", n - json_array_size(list));
}

static long long
count(const json_t *sum, const char *key)
{
	return json_integer_value(json_object_get(sum, key));
}

static enum sp_err
bulk_show(struct ctl_bulk *b, const json_t *body, size_t refused)
{
	const json_t *sum = json_array_get(body, 0);
	ctl_auto_json *report = json_array();
	struct ctl *c = b->c;
	int swept = strcmp(b->kind->name, "people") == 0;
	long long changed = count(sum, "created") + count(sum, "changed") + count(sum, "disabled") + count(sum, "deleted");

	if (report == NULL)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	for (size_t i = 1; i < json_array_size(body); i++)
		json_array_append(report, json_array_get(body, i));
	if (c->json) {
		ctl_auto_json *all = json_copy(json_array_get(body, 0));

		json_object_set(all, "report", report);
		return ctl_print_json(c, all);
	}
	if (refused > 0) {
		bulk_refusals(c, json_object_get(sum, "refused"), refused);
		return SP_OK;
	}
	if (swept && json_array_size(report) > 0)
		CTL_TRY(ctl_show(c, report));
	fprintf(c->out, "%s%lld changed (%lld created, %lld updated, %lld disabled, %lld deleted), %lld as they were.\n",
	    json_is_true(json_object_get(sum, "dry_run")) ? "Nothing done; would be: " : "", changed, count(sum, "created"), count(sum, "changed"),
	    count(sum, "disabled"), count(sum, "deleted"), count(sum, "unchanged"));
	return SP_OK;
}

/* Rows that were refused here already: control is not asked to do anything, only what else it would refuse. */
static enum sp_err
bulk_merge_bad(struct ctl_bulk *b, json_t *body)
{
	json_t *sum = json_array_get(body, 0), *list = json_object_get(sum, "refused"), *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (json_array_size(b->bad) < SP_BULK_REFUSED_MAX)
			json_array_append(b->bad, v);
	json_object_set(sum, "refused", b->bad);
	return json_object_set_new(sum, "refused_n", json_integer(count(sum, "refused_n") + (json_int_t)b->bad_n)) == 0 ? SP_OK :
	    ctl_fail(b->c, SP_ENOMEM, "out of memory");
}

enum sp_err
ctl_bulk_end(struct ctl_bulk *b, const char *method)
{
	ctl_auto_json *params = json_pack("{s:O, s:b}", "import", b->id, "dry_run", b->bad_n > 0), *body = NULL;
	size_t refused;
	enum sp_err r;

	if (params == NULL)
		return ctl_fail(b->c, SP_ENOMEM, "out of memory");
	CTL_TRY(bulk_send(b));
	CTL_TRY(ctl_line_call(b->c, b->line, method, params, b->c->timeout_ms > COMMIT_WAIT_MS ? b->c->timeout_ms : COMMIT_WAIT_MS, &body));
	if (!json_is_array(body) || json_array_size(body) == 0)
		return ctl_fail(b->c, SP_EFORMAT, "control sent an answer that does not fit: restart sallyport after its upgrade");
	CTL_TRY(bulk_merge_bad(b, body));
	refused = (size_t)count(json_array_get(body, 0), "refused_n");
	if ((r = bulk_show(b, body, refused)) != SP_OK || refused == 0)
		return r;
	return ctl_fail(b->c, SP_EFORMAT, "%zu refused, nothing was done", refused);
}

enum sp_err
ctl_bulk_run(struct ctl *c, const char *kind, const char *method)
{
	sp_auto(ctl_bulk_release) struct ctl_bulk b = { 0 };

	CTL_TRY(ctl_bulk_begin(&b, c, kind, c->params));
	b.secrets = ctl_local_flag(c, "secrets");
	CTL_TRY(ctl_bulk_file(&b, ctl_local_str(c, "FILE"), ctl_local_str(c, "format")));
	return ctl_bulk_end(&b, method);
}
