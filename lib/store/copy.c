/* lib/store/copy.c - a whole part of the store in a new SQLite file, as it was at one moment: for the snapshot that
 * logins go on from when the store is away, and for backups. SQLite copies its pages; from PostgreSQL every table is read
 * in one REPEATABLE READ transaction, through a cursor, and written by the columns that the new file has.
 * Process: control, in a thread and with a handle of its own.
 * Invariants: (1) the source is only read. (2) A column or table that the other schema lacks fails the copy. (3) The file
 * is complete and closed when SP_OK is given; otherwise what lies in the directory is to be thrown away. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "store/copy.h"

#define COPY_PAGE	1000	/* rows of one FETCH */

enum sp_err
sp_copy_columns(struct sp_store *dst, enum sp_store_part part, struct sp_copy_table *t)
{
	sp_auto_q q;
	char type[32];
	enum sp_err r;

	t->n = 0;
	sp_q_open(dst, part, "SELECT name, type FROM pragma_table_info(?) ORDER BY cid", &q);
	sp_q_text(&q, t->name);
	while ((r = sp_q_step(&q)) == SP_OK) {
		if (t->n == SP_COPY_COLS_MAX)
			return SP_ESIZE;
		if ((r = sp_q_get_text(&q, 0, t->col[t->n], sizeof(t->col[0]))) != SP_OK ||
		    (r = sp_q_get_text(&q, 1, type, sizeof(type))) != SP_OK)
			return r;
		t->type[t->n++] = type[0];
	}
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_copy_list(const struct sp_copy_table *t, struct sp_buf *b)
{
	enum sp_err r = SP_OK;

	for (int i = 0; i < t->n && r == SP_OK; i++)
		r = sp_buf_printf(b, "%s%s", i > 0 ? ", " : "", t->col[i]);
	return r;
}

enum sp_err
sp_copy_insert_sql(const struct sp_copy_table *t, struct sp_buf *b)
{
	enum sp_err r = sp_buf_printf(b, "INSERT INTO %s (", t->name);

	if (r == SP_OK && (r = sp_copy_list(t, b)) == SP_OK)
		r = sp_buf_append_str(b, ") VALUES (");
	for (int i = 0; i < t->n && r == SP_OK; i++)
		r = sp_buf_append_str(b, i > 0 ? ", ?" : "?");
	return r == SP_OK ? sp_buf_append_str(b, ")") : r;
}

enum sp_err
sp_copy_row(struct sp_q *from, struct sp_store *dst, enum sp_store_part part, const struct sp_copy_table *t, const char *sql)
{
	const struct sp_store_driver *d = from->s->drv;
	struct sp_q q;
	size_t len;

	sp_q_open(dst, part, sql, &q);
	for (int i = 0; i < t->n; i++) {
		const void *p;

		if (d->is_null(from->st, i) && t->type[i] == 'I') {
			sp_q_opt(&q, -1);
		} else if (d->is_null(from->st, i) && t->type[i] == 'B') {
			sp_q_blob(&q, NULL, 0);
		} else if (d->is_null(from->st, i)) {
			q.err = q.err == SP_OK ? dst->drv->bind_text(q.st, q.n++, NULL, 0) : q.err;
		} else if (t->type[i] == 'I') {
			sp_q_i64(&q, sp_q_get_i64(from, i));
		} else {
			p = sp_q_get_bytes(from, i, &len);
			if (t->type[i] == 'B')
				sp_q_blob(&q, p, len);
			else if (q.err == SP_OK)
				q.err = dst->drv->bind_text(q.st, q.n++, p, len);
		}
	}
	return sp_q_run(&q, NULL);
}

/* One page of the cursor; *ret_n rows. */
static enum sp_err
copy_page(struct sp_store *src, struct sp_store *dst, enum sp_store_part part, const struct sp_copy_table *t, const char *sql,
    int *ret_n)
{
	char fetch[128];
	sp_auto_q q;
	enum sp_err r;

	*ret_n = 0;
	sp_snprintf(fetch, sizeof(fetch), "FETCH %d FROM copy_%s", COPY_PAGE, t->name);
	sp_q_open(src, part, fetch, &q);
	while ((r = sp_q_step(&q)) == SP_OK) {
		if ((r = sp_copy_row(&q, dst, part, t, sql)) != SP_OK)
			return r;
		++*ret_n;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
copy_table(struct sp_store *src, struct sp_store *dst, enum sp_store_part part, struct sp_copy_table *t)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_COPY_SQL_MAX }, cursor = { .max = SP_COPY_SQL_MAX };
	enum sp_err r;
	int n = COPY_PAGE;

	if ((r = sp_copy_columns(dst, part, t)) != SP_OK || (r = sp_copy_insert_sql(t, &sql)) != SP_OK ||
	    (r = sp_buf_printf(&cursor, "DECLARE copy_%s NO SCROLL CURSOR FOR SELECT ", t->name)) != SP_OK ||
	    (r = sp_copy_list(t, &cursor)) != SP_OK || (r = sp_buf_printf(&cursor, " FROM %s", t->name)) != SP_OK ||
	    (r = src->drv->exec(src, part, sp_buf_cstr(&cursor))) != SP_OK)
		return r;
	while (r == SP_OK && n == COPY_PAGE)
		r = copy_page(src, dst, part, t, sp_buf_cstr(&sql), &n);
	return r;
}

enum sp_err
sp_copy_tables(struct sp_store *lite, enum sp_store_part part, struct sp_copy_table *t,
    enum sp_err (*fn)(void *arg, enum sp_store_part part, struct sp_copy_table *t), void *arg)
{
	sp_auto_q q = { 0 };
	enum sp_err r;

	sp_q_open(lite, part, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
	    " AND name NOT LIKE 'schema%' ORDER BY name", &q);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_text(&q, 0, t->name, sizeof(t->name))) != SP_OK || (r = fn(arg, part, t)) != SP_OK)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

struct copying {
	struct sp_store	*src, *dst;
};

static enum sp_err
copy_one(void *arg, enum sp_store_part part, struct sp_copy_table *t)
{
	const struct copying *c = arg;

	return copy_table(c->src, c->dst, part, t);
}

static enum sp_err
copy_tables(struct sp_store *src, struct sp_store *dst, enum sp_store_part part)
{
	sp_auto(sp_freep) struct sp_copy_table *t = calloc(1, sizeof(*t));
	struct copying c = { src, dst };

	return t == NULL ? SP_ENOMEM : sp_copy_tables(dst, part, t, copy_one, &c);
}

static enum sp_err
copy_logical(struct sp_store *src, struct sp_store *dst, int parts)
{
	enum sp_err r = sp_store_begin(src, SP_STORE_MAIN);

	if (r == SP_OK)
		r = src->drv->exec(src, SP_STORE_MAIN, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
	for (int p = 0; p < 2 && r == SP_OK; p++) {
		enum sp_store_part part = (enum sp_store_part)p;

		if ((parts & (1 << p)) == 0)
			continue;
		/* Parents may come after their children; the source keeps the references. */
		if ((r = dst->drv->exec(dst, part, "PRAGMA foreign_keys=OFF; PRAGMA synchronous=FULL;")) != SP_OK ||
		    (r = sp_store_begin(dst, part)) != SP_OK)
			break;
		r = sp_store_end(dst, copy_tables(src, dst, part));
	}
	sp_store_rollback(src);
	return r;
}

enum sp_err
sp_store_copy(struct sp_store *s, const char *dir, int parts)
{
	sp_auto(sp_store_closep) struct sp_store *dst = NULL;
	char url[1100];
	enum sp_err r, back;

	if (s->batch)
		return SP_ESTATE;
	if (s->drv->copy != NULL)
		return s->drv->copy(s, dir, parts);
	if (sp_snprintf(url, sizeof(url), "sqlite:%s", dir) != 0)
		return SP_EINVAL;
	if ((r = s->drv->ready(s)) != SP_OK || (r = sp_store_open(url, NULL, &dst)) != SP_OK ||
	    (r = sp_store_migrate(dst)) != SP_OK || (r = s->drv->slow(s, 1)) != SP_OK)
		return r;
	r = copy_logical(s, dst, parts);
	back = s->drv->slow(s, 0);
	return r != SP_OK ? r : back;
}

/* ---- is it still there ---- */

enum sp_err
sp_store_check(struct sp_store *s)
{
	static const char *const sql[] = { "SELECT max(version) FROM schema_main", "SELECT max(version) FROM schema_evidence" };
	enum sp_err r = s->drv->check != NULL ? s->drv->check(s) : SP_OK;

	for (int p = 0; p < s->drv->parts && r == SP_OK; p++) {
		struct sp_q q;
		int64_t v;

		sp_q_open(s, (enum sp_store_part)p, sql[p], &q);
		r = sp_q_number(&q, &v);
		if (r == SP_ENOENT)
			r = SP_ECORRUPT;
	}
	return r;
}

enum sp_err
sp_store_verify(struct sp_store *s)
{
	enum sp_err r = sp_store_check(s);

	for (int p = 0; p < 2 && r == SP_OK && s->drv->parts == 2; p++) {
		sp_auto_q q;
		char text[256] = "";

		sp_q_open(s, (enum sp_store_part)p, "PRAGMA quick_check(1)", &q);
		if ((r = sp_q_step(&q)) == SP_OK && (sp_q_get_text(&q, 0, text, sizeof(text)) != SP_OK || strcmp(text, "ok") != 0))
			r = sp_store_fail(s, SP_ECORRUPT, *text ? text : "the database is damaged");
	}
	return r;
}

enum sp_err
sp_store_trouble(struct sp_store *s)
{
	enum sp_err r = s->trouble;

	s->trouble = SP_OK;
	return r;
}
