/* src/ctl/export.c - sallyport export: all assets, users, groups, accounts or grants as a file that import takes back. Never a
 * secret. Control's answer is a descriptor with JSON lines. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "common/csv.h"
#include "ctl/bulk.h"
#include "ctl/nouns.h"

static const struct ctl_opt export_args[] = {
	{ "FILE", CTL_STR, .complete = "file", .flags = CTL_OPTIONAL | CTL_LOCAL, .help = "new file (default: standard output)" },
	CTL_END
};
static const struct ctl_opt export_opts[] = {
	{ "format", CTL_STR, .value = "FORMAT", .choices = "csv|jsonl", .flags = CTL_LOCAL, .help = "default: by the file's name, else csv" },
	CTL_END
};

/* A list as a cell: elements that hold the usual separator are put on lines of their own. */
static enum sp_err
cell_of_list(const json_t *list, struct sp_buf *cell)
{
	int lines = 0;
	size_t i;
	json_t *v;
	enum sp_err r = SP_OK;

	json_array_foreach(list, i, v)
		lines |= strchr(json_string_value(v), ';') != NULL;
	json_array_foreach(list, i, v) {
		if (r == SP_OK && i > 0)
			r = sp_buf_append(cell, lines ? "\n" : ";", 1);
		if (r == SP_OK)
			r = sp_buf_append_str(cell, json_string_value(v));
	}
	return r == SP_OK && lines ? sp_buf_append(cell, "\n", 1) : r;
}

static enum sp_err
cell_of(const json_t *v, struct sp_buf *cell)
{
	if (json_is_array(v))
		return cell_of_list(v, cell);
	if (json_is_integer(v))
		return sp_buf_printf(cell, "%lld", (long long)json_integer_value(v));
	if (json_is_boolean(v))
		return sp_buf_append_str(cell, json_is_true(v) ? "yes" : "no");
	return sp_buf_append_str(cell, json_is_string(v) ? json_string_value(v) : "");
}

static int
is_shown(const struct sp_bulk_col *col)
{
	return col->type != SP_BULK_SECRET && strcmp(col->name, "external_id") != 0;
}

static enum sp_err
export_csv_row(const struct sp_bulk_kind *kind, const json_t *row, struct sp_buf *line)
{
	sp_auto(sp_buf_release) struct sp_buf cell = { .max = SP_BULK_ROW_MAX };
	int first = 1;
	enum sp_err r = SP_OK;

	sp_buf_reset(line);
	for (size_t i = 0; i < kind->n && r == SP_OK; i++) {
		if (!is_shown(&kind->cols[i]))
			continue;
		sp_buf_reset(&cell);
		if (row == NULL)
			r = sp_buf_append_str(&cell, kind->cols[i].name);
		else
			r = cell_of(json_object_get(row, kind->cols[i].name), &cell);
		if (r == SP_OK)
			r = sp_csv_put(line, sp_buf_cstr(&cell), first);
		first = 0;
	}
	return r == SP_OK ? sp_csv_end(line) : r;
}

static enum sp_err
export_write(struct ctl *c, const struct sp_bulk_kind *kind, int fd, int csv, FILE *out)
{
	sp_auto(sp_buf_release) struct sp_buf line = { .max = SP_BULK_ROW_MAX * 4 };
	FILE *in = fdopen(fd, "r");
	char *text = NULL;
	size_t cap = 0;
	ssize_t n;
	enum sp_err r = in != NULL ? SP_OK : SP_ENOMEM;

	if (in == NULL)
		sp_closep(&fd);
	if (r == SP_OK && csv && (r = export_csv_row(kind, NULL, &line)) == SP_OK)
		fwrite(line.p, 1, line.len, out);
	while (r == SP_OK && (n = getline(&text, &cap, in)) > 0) {
		ctl_auto_json *row = csv ? json_loadb(text, (size_t)n, 0, NULL) : NULL;

		if (!csv)
			fwrite(text, 1, (size_t)n, out);
		else if ((r = row != NULL ? export_csv_row(kind, row, &line) : SP_EFORMAT) == SP_OK)
			fwrite(line.p, 1, line.len, out);
	}
	free(text);
	if (in != NULL)
		fclose(in);
	return r == SP_OK ? SP_OK : ctl_fail(c, r, "the rows cannot be written as CSV: %s: use --format jsonl", sp_err_text(r));
}

static enum sp_err
export_run(struct ctl *c)
{
	const char *path = ctl_local_str(c, "FILE"), *format = ctl_local_str(c, "format"), *dot = path != NULL ? strrchr(path, '.') : NULL;
	const struct sp_bulk_kind *kind = sp_bulk_kind(c->cmd->verb);
	ctl_auto_answer a = { .fd = -1 };
	int csv = format != NULL ? strcmp(format, "csv") == 0 : dot == NULL || strcmp(dot, ".jsonl") != 0, fd;
	FILE *out = c->out;
	enum sp_err r;

	if (kind == NULL || json_object_set_new(c->params, "kind", json_string(kind->name)) != 0)
		return ctl_fail(c, SP_ENOMEM, "out of memory");
	if (ctl_ask(c, SP_PROC_CONTROL, "export.rows", c->params, c->timeout_ms > 300000 ? c->timeout_ms : 300000, &a) != SP_OK)
		return ctl_answer_fail(c, &a);
	if (a.fd == -1)
		return ctl_fail(c, SP_EFORMAT, "control sent no rows: restart sallyport after its upgrade");
	if (path != NULL && strcmp(path, "-") != 0) {
		if ((fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) == -1)
			return ctl_fail(c, errno == EEXIST ? SP_EEXIST : SP_EACCES, "%s: %s: name a new file", path, strerror(errno));
		if ((out = fdopen(fd, "w")) == NULL) {
			sp_closep(&fd);
			return ctl_fail(c, SP_ENOMEM, "out of memory");
		}
	}
	r = export_write(c, kind, sp_steal_fd(&a.fd), csv, out);
	if (out != c->out && (ferror(out) | fclose(out)) != 0 && r == SP_OK)
		r = ctl_fail(c, SP_EIO, "%s: cannot be written: is the disk full?", path);
	if (r == SP_OK && out != c->out)
		fprintf(c->out, "%lld %s written to %s.\n", (long long)json_integer_value(json_object_get(a.body, "rows")), kind->name, path);
	return r;
}

#define EXPORT(what, text)	{ what, text, .args = export_args, .opts = export_opts, .method = "export.rows", .run = export_run,	\
	.more = "What is written can be imported again, which changes nothing. Secrets are never in it." }
static const struct ctl_cmd export_cmds[] = {
	EXPORT("assets", "write all assets"),
	EXPORT("users", "write all users and their public keys"),
	EXPORT("groups", "write all groups of users and of assets"),
	EXPORT("accounts", "write all accounts, without their secrets"),
	EXPORT("grants", "write all grants"),
	{ NULL }
};
const struct ctl_noun ctl_noun_export = { "export", "all objects of a kind as a file", export_cmds };
