/* lib/store/ops.c - add, get, update, delete and list, which all kinds of rows share, and the typed functions of store.h.
 * They walk the descriptions in rows.c; each row is written with its MAC, and is refused when it is read without (mac.c).
 * Invariant: SQL text is made of constants and '?' only: nothing from outside becomes part of it. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

#define HEAD_N	SP_ROW_HEAD_N
#define GONE_MAX	((size_t)16 << 20)	/* bytes of grants that go with a row and are told of */

static void
row_freep(void *p)
{
	sp_freep(p);
}

/* ---- add ---- */

static enum sp_err
insert_sql(struct sp_buf *b, const struct sp_rowtype *t, int rows)
{
	enum sp_err r;

	if ((r = sp_buf_printf(b, "INSERT INTO %s (", t->table)) != SP_OK || (r = sp_row_columns(b, t, "")) != SP_OK ||
	    (r = sp_buf_append_str(b, ") VALUES ")) != SP_OK)
		return r;
	for (int row = 0; row < rows; row++)
		for (int i = 0; i < t->n; i++)
			if ((r = sp_buf_append_str(b, i > 0 ? ", ?" : row > 0 ? ", (?" : "(?")) != SP_OK ||
			    (i == t->n - 1 && (r = sp_buf_append_str(b, ")")) != SP_OK))
				return r;
	return SP_OK;
}

/* Insert `n` rows that lie `size` apart, with insert_sql's text for as many. A row that they name and that is not
 * there: SP_ENOENT. */
static enum sp_err
insert_with(struct sp_store *s, const struct sp_rowtype *t, const struct sp_buf *sql, const void *rows, int n)
{
	struct sp_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(sql), &q);
	for (int i = 0; i < n; i++)
		sp_row_bind(&q, t, (const char *)rows + (size_t)i * t->size, 0, 0);
	r = sp_q_run(&q, NULL);
	return r == SP_ESTATE && !s->tx_bad[SP_STORE_MAIN] ? SP_ENOENT : r;
}

static enum sp_err
insert_row(struct sp_store *s, const struct sp_rowtype *t, const void *row)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	enum sp_err r = insert_sql(&sql, t, 1);

	return r != SP_OK ? r : insert_with(s, t, &sql, row, 1);
}

static enum sp_err
register_row(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id)
{
	char sql[128];
	struct sp_q q;

	if (t->register_in == NULL)
		return SP_OK;
	sp_snprintf(sql, sizeof(sql), "INSERT INTO %s (id, kind) VALUES (?, ?)", t->register_in);
	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, id);
	sp_q_i64(&q, t->register_kind);
	return sp_q_run(&q, NULL);
}

static enum sp_err
add_to_closure(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id)
{
	char sql[128];
	struct sp_q q;

	if (t->closure == NULL)
		return SP_OK;
	sp_snprintf(sql, sizeof(sql), "INSERT INTO %s (leaf_id, node_id) VALUES (?, ?)", t->closure);
	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, id);
	sp_q_uuid(&q, id);
	return sp_q_run(&q, NULL);
}

static enum sp_err
add_body(struct sp_store *s, const struct sp_rowtype *t, const void *row)
{
	enum sp_err r;

	if ((r = register_row(s, t, row)) != SP_OK)
		return r;
	if (t->before_write != NULL && (r = t->before_write(s, row, 1)) != SP_OK)
		return r;
	if ((r = insert_row(s, t, row)) != SP_OK || (r = add_to_closure(s, t, row)) != SP_OK)
		return r;
	return t->after_write != NULL ? t->after_write(s, row, 1) : SP_OK;
}

static void
head_fill(struct sp_row_head *h, int64_t now)
{
	if (sp_uuid_is_null(&h->id))
		sp_uuid_make(&h->id);
	h->version = 1;
	h->created_us = h->updated_us = now;
}

static enum sp_err
row_add(struct sp_store *s, const struct sp_rowtype *t, void *row)
{
	sp_auto(row_freep) void *copy = malloc(t->size);
	enum sp_err r;

	if (copy == NULL)
		return SP_ENOMEM;
	memcpy(copy, row, t->size);
	head_fill(copy, sp_store_now(s));
	if ((r = sp_row_check(t, copy)) != SP_OK || (r = sp_mac_row_make(s, t, copy)) != SP_OK || (r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, add_body(s, t, copy))) == SP_OK) {
		memcpy(row, copy, t->size);
		sp_change_row(s, t, NULL, copy);
	}
	return r;
}

/* ---- get, update, delete ---- */

enum sp_err
sp_row_by(struct sp_store *s, const struct sp_rowtype *t, const char *where, struct sp_q *ret)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	enum sp_err r;

	if ((r = sp_buf_append_str(&sql, "SELECT ")) != SP_OK || (r = sp_row_columns(&sql, t, "")) != SP_OK ||
	    (r = sp_buf_printf(&sql, " FROM %s WHERE %s", t->table, where)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), ret);
	return SP_OK;
}

static enum sp_err
row_get(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, void *ret)
{
	struct sp_q q;
	enum sp_err r;

	if ((r = sp_row_by(s, t, "id = ?", &q)) != SP_OK)
		return r;
	sp_q_uuid(&q, id);
	return sp_row_first(&q, t, ret);
}

/* Nothing was changed: is the row gone, or did somebody else change it first? */
static enum sp_err
why_unchanged(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id)
{
	char sql[128];
	struct sp_q q;
	int64_t one;
	enum sp_err r;

	sp_snprintf(sql, sizeof(sql), "SELECT 1 FROM %s WHERE id = ?", t->table);
	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, id);
	r = sp_q_number(&q, &one);
	return r == SP_OK ? SP_ECONFLICT : r;
}

static enum sp_err
update_sql(struct sp_buf *b, const struct sp_rowtype *t)
{
	enum sp_err r;

	if ((r = sp_buf_printf(b, "UPDATE %s SET version = version + 1, updated_us = ?", t->table)) != SP_OK)
		return r;
	for (int i = HEAD_N - 1; i < t->n; i++)
		if (!(t->field[i].flags & SP_FF_APART) && (r = sp_buf_printf(b, ", %s = ?", t->field[i].col)) != SP_OK)
			return r;
	return sp_buf_append_str(b, " WHERE id = ? AND version = ?");
}

/* row has the new version already; version is the one that was read. */
static enum sp_err
update_body(struct sp_store *s, const struct sp_rowtype *t, const void *row, int64_t version)
{
	const struct sp_row_head *h = row;
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_q q;
	uint64_t changed = 0;
	enum sp_err r;

	if ((r = update_sql(&sql, t)) != SP_OK)
		return r;
	if (t->before_write != NULL && (r = t->before_write(s, row, 0)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
	sp_q_i64(&q, h->updated_us);
	sp_row_bind(&q, t, row, HEAD_N - 1, SP_FF_APART);
	sp_q_uuid(&q, &h->id);
	sp_q_i64(&q, version);
	r = sp_q_run(&q, &changed);
	if (r == SP_OK && changed == 0)
		r = why_unchanged(s, t, &h->id);
	else if (r == SP_ESTATE && !s->tx_bad[SP_STORE_MAIN])
		r = SP_ENOENT;
	if (r == SP_OK && t->after_write != NULL)
		r = t->after_write(s, row, 0);
	return r;
}

/* A column that only its own operation writes is not the caller's to state: the row is written with what is stored. */
static enum sp_err
keep_apart(struct sp_store *s, const struct sp_rowtype *t, void *row)
{
	struct sp_store_totp old;
	enum sp_err r;

	if (t != &sp_rt_totp || s->mac_mode != SP_STORE_MAC_ON)
		return SP_OK;
	if ((r = sp_store_totp_get(s, row, &old)) == SP_OK)
		((struct sp_store_totp *)row)->last_step = old.last_step;
	return r;
}

/* For who observes: the row as it is now. *ret: owned; NULL without observer. */
static enum sp_err
row_before(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, void **ret)
{
	enum sp_err r;

	*ret = NULL;
	if (s->on_change == NULL)
		return SP_OK;
	if ((*ret = malloc(t->size)) == NULL)
		return SP_ENOMEM;
	/* One that was changed behind our back is refused by its MAC, but may be removed: nothing of it is to be told. */
	if ((r = row_get(s, t, id, *ret)) != SP_OK)
		sp_freep(ret);
	return r == SP_ENOENT || r == SP_ETAMPERED || r == SP_ESEALED ? SP_OK : r;
}

static enum sp_err
update_checked(struct sp_store *s, const struct sp_rowtype *t, void *row, int64_t version)
{
	enum sp_err r;

	if ((r = keep_apart(s, t, row)) != SP_OK || (r = sp_mac_row_make(s, t, row)) != SP_OK)
		return r;
	return update_body(s, t, row, version);
}

static enum sp_err
row_update(struct sp_store *s, const struct sp_rowtype *t, void *row)
{
	sp_auto(row_freep) void *copy = malloc(t->size), *before = NULL;
	struct sp_row_head *h = copy;
	int64_t version;
	enum sp_err r;

	if (copy == NULL)
		return SP_ENOMEM;
	memcpy(copy, row, t->size);
	if ((r = sp_row_check(t, copy)) != SP_OK)
		return r;
	version = h->version++;
	h->updated_us = sp_store_now(s);
	if ((r = row_before(s, t, &h->id, &before)) != SP_OK || (r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, update_checked(s, t, copy, version))) == SP_OK) {
		memcpy(row, copy, t->size);
		if (before != NULL)
			sp_change_row(s, t, before, copy);
	}
	return r;
}

static enum sp_err
delete_by_id(struct sp_store *s, const char *table, const struct sp_uuid *id, int64_t version, uint64_t *ret)
{
	char sql[128];
	struct sp_q q;

	sp_snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE id = ?%s", table, version == SP_STORE_ANY_VERSION ? "" : " AND version = ?");
	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, id);
	if (version != SP_STORE_ANY_VERSION)
		sp_q_i64(&q, version);
	return sp_q_run(&q, ret);
}

static enum sp_err
delete_body(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, int64_t version)
{
	uint64_t gone = 0;
	enum sp_err r;

	if (t->before_delete != NULL && (r = t->before_delete(s, id)) != SP_OK)
		return r;
	if ((r = delete_by_id(s, t->table, id, version, &gone)) != SP_OK)
		return r;
	if (gone == 0)
		return why_unchanged(s, t, id);
	return t->register_in != NULL ? delete_by_id(s, t->register_in, id, SP_STORE_ANY_VERSION, &gone) : SP_OK;
}

static int
grant_going(const void *row, void *arg)
{
	return sp_buf_append(arg, row, sizeof(struct sp_store_grant)) != SP_OK;	/* beyond GONE_MAX: not told */
}

/* For who observes: the grants that are deleted with a row. */
static enum sp_err
grants_going(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, struct sp_buf *ret)
{
	struct sp_q q;
	enum sp_err r;

	if (s->on_change == NULL || t->register_in == NULL)
		return SP_OK;
	if ((r = sp_row_by(s, &sp_rt_grant, "subject_id = ? OR object_id = ?", &q)) != SP_OK)
		return r;
	sp_q_uuid(&q, id);
	sp_q_uuid(&q, id);
	r = sp_row_each(&q, &sp_rt_grant, grant_going, ret);
	return r == SP_ETAMPERED || r == SP_ESEALED ? SP_OK : r;
}

enum sp_err
sp_row_delete(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, int64_t version)
{
	sp_auto(row_freep) void *before = NULL;
	sp_auto(sp_buf_release) struct sp_buf gone = { .max = GONE_MAX };
	enum sp_err r;

	if ((r = row_before(s, t, id, &before)) != SP_OK || (r = grants_going(s, t, id, &gone)) != SP_OK ||
	    (r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, delete_body(s, t, id, version))) != SP_OK)
		return r;
	if (before != NULL)
		sp_change_row(s, t, before, NULL);
	for (size_t at = 0; at + sizeof(struct sp_store_grant) <= gone.len; at += sizeof(struct sp_store_grant)) {
		struct sp_store_grant g;

		memcpy(&g, gone.p + at, sizeof(g));
		sp_change_row(s, &sp_rt_grant, &g, NULL);
	}
	return SP_OK;
}

/* ---- lists ---- */

uint32_t
sp_page_limit(uint32_t limit)
{
	return limit == 0 || limit > SP_STORE_PAGE_MAX ? SP_STORE_PAGE_MAX : limit;
}

/* One word as a LIKE pattern in lower case, its own wildcards escaped. */
void
sp_word_pattern(const char *p, size_t n, char *dst)
{
	size_t k = 0;

	dst[k++] = '%';
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '%' || p[i] == '_' || p[i] == '\\')
			dst[k++] = '\\';
		dst[k++] = p[i] >= 'A' && p[i] <= 'Z' ? (char)(p[i] + 32) : p[i];
	}
	dst[k++] = '%';
	dst[k] = 0;
}

static enum sp_err
words_parse(const char *text, struct sp_words *ret)
{
	size_t n;

	ret->n = 0;
	if (text == NULL)
		return SP_OK;
	if (!sp_utf8_valid(text, strlen(text)))
		return SP_EINVAL;
	for (text += strspn(text, " \t"); *text != 0; text += n, text += strspn(text, " \t")) {
		n = strcspn(text, " \t");
		if (n > SP_STORE_NAME_MAX || ret->n == SP_STORE_WORDS_MAX)
			return SP_EINVAL;
		sp_word_pattern(text, n, ret->like[ret->n++]);
	}
	return SP_OK;
}

static int
has_column(const struct sp_rowtype *t, const char *col)
{
	for (int i = 0; i < t->n; i++)
		if (strcmp(t->field[i].col, col) == 0)
			return 1;
	return 0;
}

static enum sp_err
list_sql(struct sp_buf *b, const struct sp_rowtype *t, const struct sp_store_query *q, const struct sp_words *w)
{
	enum sp_err r;

	if ((w->n > 0 && t->search == NULL) || (!sp_uuid_is_null(&q->of) && t->of[0] == NULL) ||
	    (!sp_uuid_is_null(&q->department_id) && !has_column(t, "department_id")))
		return SP_EINVAL;
	if ((r = sp_buf_append_str(b, "SELECT ")) != SP_OK || (r = sp_row_columns(b, t, "")) != SP_OK ||
	    (r = sp_buf_printf(b, " FROM %s WHERE 1 = 1", t->table)) != SP_OK)
		return r;
	if (!sp_uuid_is_null(&q->department_id) && (r = sp_buf_append_str(b, " AND department_id IN " SP_DEPARTMENTS_BELOW)) != SP_OK)
		return r;
	if (!sp_uuid_is_null(&q->of)) {
		for (int i = 0; i < 3 && t->of[i] != NULL; i++)
			if ((r = sp_buf_printf(b, "%s%s = ?", i == 0 ? " AND (" : " OR ", t->of[i])) != SP_OK)
				return r;
		if ((r = sp_buf_append_str(b, ")")) != SP_OK)
			return r;
	}
	for (int i = 0; i < w->n; i++)
		if ((r = sp_buf_printf(b, " AND %s LIKE ? ESCAPE '\\'", t->search)) != SP_OK)
			return r;
	return sp_buf_printf(b, " ORDER BY %s LIMIT ? OFFSET ?", t->order);
}

struct checked {
	struct sp_store		*s;
	const struct sp_rowtype	*t;
	sp_row_fn		 fn;
	void			*arg;
	enum sp_err		 err;
};

static int
checked_row(const void *row, void *arg)
{
	struct checked *c = arg;

	c->err = sp_mac_row_check(c->s, c->t, row);
	return c->err != SP_OK || c->fn(row, c->arg) != 0;
}

static enum sp_err
each_checked(struct sp_q *q, const struct sp_rowtype *t, sp_row_fn fn, void *arg)
{
	struct checked c = { .s = q->s, .t = t, .fn = fn, .arg = arg };
	enum sp_err r = sp_row_each(q, t, checked_row, &c);

	return r != SP_OK ? r : c.err;
}

static enum sp_err
row_list(struct sp_store *s, const struct sp_rowtype *t, const struct sp_store_query *query, sp_row_fn fn, void *arg)
{
	static const struct sp_store_query all;
	const struct sp_store_query *f = query != NULL ? query : &all;
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_words w;
	struct sp_q q;
	enum sp_err r;

	if ((r = words_parse(f->text, &w)) != SP_OK || (r = list_sql(&sql, t, f, &w)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
	if (!sp_uuid_is_null(&f->department_id))
		sp_q_uuid(&q, &f->department_id);
	for (int i = 0; !sp_uuid_is_null(&f->of) && i < 3 && t->of[i] != NULL; i++)
		sp_q_uuid(&q, &f->of);
	for (int i = 0; i < w.n; i++)
		sp_q_text(&q, w.like[i]);
	sp_q_i64(&q, sp_page_limit(f->limit));
	sp_q_i64(&q, f->offset);
	return f->checked || t == &sp_rt_recovery ? each_checked(&q, t, fn, arg) : sp_row_each(&q, t, fn, arg);
}

/* ---- the typed functions ---- */

#define ROW(name)													\
	struct name##_call { sp_store_##name##_fn fn; void *arg; };							\
	static int name##_call(const void *row, void *arg) { struct name##_call *c = arg; return c->fn(row, c->arg); }	\
	enum sp_err sp_store_##name##_add(struct sp_store *s, struct sp_store_##name *row)				\
	{ return row_add(s, &sp_rt_##name, row); }									\
	enum sp_err sp_store_##name##_get(struct sp_store *s, const struct sp_uuid *id, struct sp_store_##name *ret)	\
	{ return row_get(s, &sp_rt_##name, id, ret); }									\
	enum sp_err sp_store_##name##_update(struct sp_store *s, struct sp_store_##name *row)				\
	{ return row_update(s, &sp_rt_##name, row); }									\
	enum sp_err sp_store_##name##_delete(struct sp_store *s, const struct sp_uuid *id, int64_t version)		\
	{ return sp_row_delete(s, &sp_rt_##name, id, version); }								\
	enum sp_err sp_store_##name##_list(struct sp_store *s, const struct sp_store_query *q, sp_store_##name##_fn fn, void *arg) \
	{ return row_list(s, &sp_rt_##name, q, name##_call, &(struct name##_call){ fn, arg }); }			\
	enum sp_err sp_store_##name##_canonical(const struct sp_store_##name *row, struct sp_buf *dst)			\
	{ return sp_row_canonical(&sp_rt_##name, row, dst); }

ROW(department) ROW(user) ROW(user_key) ROW(totp) ROW(recovery) ROW(group) ROW(zone) ROW(asset) ROW(host_key)
ROW(asset_group) ROW(asset_claim) ROW(account) ROW(secret) ROW(grant)
ROW(detection) ROW(offense) ROW(offense_note) ROW(alert) ROW(response)
ROW(rule_set) ROW(command_rule) ROW(rule_use) ROW(grant_commands)

#define BY_TEXT(name, what, where)											\
	enum sp_err sp_store_##name##_by_##what(struct sp_store *s, const char *what, struct sp_store_##name *ret)	\
	{														\
		struct sp_q q;												\
		enum sp_err r = sp_row_by(s, &sp_rt_##name, where, &q);							\
															\
		if (r != SP_OK)												\
			return r;											\
		sp_q_text(&q, what);											\
		return sp_row_first(&q, &sp_rt_##name, ret);								\
	}

BY_TEXT(department, name, "name = ?")
BY_TEXT(user, login, "login = ?")
BY_TEXT(group, name, "name = ?")
BY_TEXT(zone, name, "name = ?")
BY_TEXT(rule_set, name, "name = ?")
BY_TEXT(asset, name, "name = ?")
BY_TEXT(asset_group, name, "name = ?")
BY_TEXT(detection, name, "name = ?")

enum sp_err
sp_store_user_by_os_uid(struct sp_store *s, int64_t os_uid, struct sp_store_user *ret)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_user, "os_uid = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_i64(&q, os_uid);
	return sp_row_first(&q, &sp_rt_user, ret);
}

enum sp_err
sp_store_user_key_by_blob(struct sp_store *s, const void *blob, size_t n, struct sp_store_user_key *ret)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_user_key, "blob = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_blob(&q, blob, n);
	return sp_row_first(&q, &sp_rt_user_key, ret);
}

enum sp_err
sp_store_host_keys_by_blob(struct sp_store *s, const void *blob, size_t n, sp_store_host_key_fn fn, void *arg)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_host_key, "blob = ? ORDER BY created_us, id", &q);

	if (r != SP_OK)
		return r;
	sp_q_blob(&q, blob, n);
	return each_checked(&q, &sp_rt_host_key, host_key_call, &(struct host_key_call){ fn, arg });
}

enum sp_err
sp_store_account_by_name(struct sp_store *s, const struct sp_uuid *asset_id, const char *name, struct sp_store_account *ret)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_account, "asset_id = ? AND name = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_uuid(&q, asset_id);
	sp_q_text(&q, name);
	return sp_row_first(&q, &sp_rt_account, ret);
}

enum sp_err
sp_store_secret_by_name(struct sp_store *s, int64_t kind, const char *name, struct sp_store_secret *ret)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_secret, "kind = ? AND name = ? ORDER BY id LIMIT 1", &q);

	if (r != SP_OK)
		return r;
	sp_q_i64(&q, kind);
	sp_q_text(&q, name);
	return sp_row_first(&q, &sp_rt_secret, ret);
}

enum sp_err
sp_store_secrets_of_kind(struct sp_store *s, int64_t kind, sp_store_secret_fn fn, void *arg)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_secret, "kind = ? ORDER BY name, id", &q);

	if (r != SP_OK)
		return r;
	sp_q_i64(&q, kind);
	return sp_row_each(&q, &sp_rt_secret, secret_call, &(struct secret_call){ fn, arg });
}

enum sp_err
sp_store_secrets_below_term(struct sp_store *s, int64_t term, const struct sp_uuid *after, uint32_t limit, sp_store_id_fn fn, void *arg)
{
	struct sp_uuid id;
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT id FROM secrets WHERE term < ? AND id > ? ORDER BY id LIMIT ?", &q);
	sp_q_i64(&q, term);
	sp_q_blob(&q, after->b, sizeof(after->b));	/* the null id is below every other, not NULL */
	sp_q_i64(&q, sp_page_limit(limit));
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &id)) != SP_OK || fn(&id, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

struct first_two {
	int			n;
	struct sp_store_asset	first;
};

static int
take_two(const void *row, void *arg)
{
	struct first_two *f = arg;

	if (f->n++ == 0)
		memcpy(&f->first, row, sizeof(f->first));
	return 0;
}

enum sp_err
sp_store_asset_by_address(struct sp_store *s, const char *address, int64_t port, struct sp_store_asset *ret)
{
	struct first_two f = { 0 };
	struct sp_q q;
	enum sp_err r;

	if ((r = sp_row_by(s, &sp_rt_asset, port != 0 ? "lower(address) = lower(?) AND port = ? LIMIT 2" :
	    "lower(address) = lower(?) LIMIT 2", &q)) != SP_OK)
		return r;
	sp_q_text(&q, address);
	if (port != 0)
		sp_q_i64(&q, port);
	if ((r = sp_row_each(&q, &sp_rt_asset, take_two, &f)) != SP_OK)
		return r;
	if (f.n != 1)
		return f.n == 0 ? SP_ENOENT : SP_ECONFLICT;
	*ret = f.first;
	return SP_OK;
}

/* The ids, at most two, whose login is that one but for case. */
static enum sp_err
login_any_case(struct sp_store *s, const char *login, struct sp_uuid ret[2], int *ret_n)
{
	sp_auto_q q;
	enum sp_err r;

	*ret_n = 0;
	sp_q_open(s, SP_STORE_MAIN, "SELECT id FROM users WHERE lower(login) = lower(?) LIMIT 2", &q);
	sp_q_text(&q, login);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &ret[(*ret_n)++])) != SP_OK)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_user_by_login_any_case(struct sp_store *s, const char *login, struct sp_store_user *ret)
{
	enum sp_err r = sp_store_user_by_login(s, login, ret);
	struct sp_uuid id[2];
	int n;

	if (r != SP_ENOENT || (r = login_any_case(s, login, id, &n)) != SP_OK)
		return r;
	if (n == 2)
		return SP_ECONFLICT;
	return n == 0 ? SP_ENOENT : sp_store_user_get(s, &id[0], ret);
}

/* No login beside one that differs only in case. What is so already may be written again, as long as it keeps its login. */
enum sp_err
sp_user_before_write(struct sp_store *s, const void *row, int adding)
{
	const struct sp_store_user *u = row;
	struct sp_q q;
	int64_t one;
	enum sp_err r;

	if (!adding) {
		sp_q_open(s, SP_STORE_MAIN, "SELECT 1 FROM users WHERE id = ? AND login = ?", &q);
		sp_q_uuid(&q, &u->id);
		sp_q_text(&q, u->login);
		if ((r = sp_q_number(&q, &one)) != SP_ENOENT)
			return r;
	}
	sp_q_open(s, SP_STORE_MAIN, "SELECT 1 FROM users WHERE lower(login) = lower(?) AND id <> ? LIMIT 1", &q);
	sp_q_text(&q, u->login);
	sp_q_uuid(&q, &u->id);
	r = sp_q_number(&q, &one);
	return r == SP_ENOENT ? SP_OK : r == SP_OK ? sp_store_fail(s, SP_EEXIST, "a login that differs only in case is there") : r;
}

/* ---- secrets go with what they are for ---- */

/* Unless something else uses it still: an authority never goes so. */
static enum sp_err
secret_erase(struct sp_store *s, const struct sp_uuid *id)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, "DELETE FROM secrets WHERE id = ? AND kind <> 3 AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.secret_id = secrets.id)"
	    " AND NOT EXISTS (SELECT 1 FROM assets h WHERE h.inner_key_secret_id = secrets.id)"
	    " AND NOT EXISTS (SELECT 1 FROM user_totp t WHERE t.secret_id = secrets.id)", &q);
	sp_q_uuid(&q, id);
	return sp_q_run(&q, NULL);
}

_Static_assert(SP_STORE_SECRET_SSH_CA == 3, "kind <> 3 above means no authority");

static enum sp_err
run_id(struct sp_store *s, const char *sql, const struct sp_uuid *id)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, id);
	return sp_q_run(&q, NULL);
}

/* The row is deleted next, in the same transaction: until then it names no secret. */
enum sp_err
sp_account_before_delete(struct sp_store *s, const struct sp_uuid *id)
{
	struct sp_uuid secret;
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT secret_id FROM accounts WHERE id = ? AND secret_id IS NOT NULL", &q);
	sp_q_uuid(&q, id);
	if ((r = sp_q_step(&q)) == SP_OK)
		r = sp_q_get_uuid(&q, 0, &secret);
	sp_q_close(&q);
	if (r != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	if ((r = run_id(s, "UPDATE accounts SET secret_id = NULL WHERE id = ?", id)) != SP_OK)
		return r;
	return secret_erase(s, &secret);
}

static enum sp_err
asset_secret(struct sp_store *s, const struct sp_uuid *id, struct sp_uuid *ret)
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT inner_key_secret_id FROM assets WHERE id = ? AND inner_key_secret_id IS NOT NULL", &q);
	sp_q_uuid(&q, id);
	return (r = sp_q_step(&q)) == SP_OK ? sp_q_get_uuid(&q, 0, ret) : r;
}

static enum sp_err
account_of(struct sp_store *s, const struct sp_uuid *asset_id, struct sp_uuid *ret)
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT id FROM accounts WHERE asset_id = ? AND secret_id IS NOT NULL LIMIT 1", &q);
	sp_q_uuid(&q, asset_id);
	return (r = sp_q_step(&q)) == SP_OK ? sp_q_get_uuid(&q, 0, ret) : r;
}

/* Those of its accounts, and the key that it shows on inner connections. */
enum sp_err
sp_asset_secrets_erase(struct sp_store *s, const struct sp_uuid *id)
{
	struct sp_uuid x;
	enum sp_err r;

	while ((r = account_of(s, id, &x)) == SP_OK)
		if ((r = sp_account_before_delete(s, &x)) != SP_OK)
			return r;
	if (r != SP_ENOENT)
		return r;
	if ((r = asset_secret(s, id, &x)) != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	if ((r = run_id(s, "UPDATE assets SET inner_key_secret_id = NULL WHERE id = ?", id)) != SP_OK)
		return r;
	return secret_erase(s, &x);
}

enum sp_err
sp_store_user_seen(struct sp_store *s, const struct sp_uuid *id, int64_t at_us)
{
	struct sp_q q;
	uint64_t changed = 0;
	enum sp_err r;

	if (at_us < 0)
		return SP_EINVAL;
	sp_q_open(s, SP_STORE_MAIN, "UPDATE users SET last_login_us = ? WHERE id = ?", &q);
	sp_q_i64(&q, at_us);
	sp_q_uuid(&q, id);
	r = sp_op_single(s, SP_STORE_MAIN, &q, &changed);
	return r == SP_OK && changed == 0 ? SP_ENOENT : r;
}

static enum sp_err
totp_step_body(struct sp_store *s, const struct sp_uuid *user_id, int64_t step)
{
	struct sp_store_totp t;
	struct sp_q q;
	uint64_t changed = 0;
	enum sp_err r;

	if ((r = sp_store_totp_get(s, user_id, &t)) != SP_OK)
		return r;
	if (step <= t.last_step)
		return SP_EDENIED;
	t.last_step = step;
	if ((r = sp_mac_row_make(s, &sp_rt_totp, &t)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, "UPDATE user_totp SET last_step = ?, mac = ? WHERE id = ? AND version = ? AND last_step < ?", &q);
	sp_q_i64(&q, step);
	sp_q_blob(&q, t.mac.len > 0 ? t.mac.b : NULL, t.mac.len);
	sp_q_uuid(&q, user_id);
	sp_q_i64(&q, t.version);
	sp_q_i64(&q, step);
	r = sp_q_run(&q, &changed);
	return r == SP_OK && changed == 0 ? SP_EDENIED : r;	/* somebody was faster: one code, one login */
}

enum sp_err
sp_store_totp_step(struct sp_store *s, const struct sp_uuid *user_id, int64_t step)
{
	enum sp_err r = sp_op_begin(s, SP_STORE_MAIN);

	return r != SP_OK ? r : sp_op_end(s, SP_STORE_MAIN, totp_step_body(s, user_id, step));
}

/* ---- many grants at once ---- */

/* The text of the statement is made once: a million rows would feel it. */
static enum sp_err
grants_insert(struct sp_store *s, const struct sp_store_grant *rows, size_t n)
{
	sp_auto(sp_buf_release) struct sp_buf many = { .max = SP_STORE_SQL_MAX };
	sp_auto(sp_buf_release) struct sp_buf one = { .max = SP_STORE_SQL_MAX };
	size_t step = (size_t)s->drv->bulk_rows, i = 0;
	enum sp_err r;

	if ((r = insert_sql(&many, &sp_rt_grant, (int)step)) != SP_OK || (r = insert_sql(&one, &sp_rt_grant, 1)) != SP_OK)
		return r;
	for (size_t k = 0; k < n; k++)
		if ((r = sp_grant_after_write(s, &rows[k], 1)) != SP_OK)
			return r;
	for (; n - i >= step; i += step)
		if ((r = insert_with(s, &sp_rt_grant, &many, rows + i, (int)step)) != SP_OK)
			return r;
	for (; i < n; i++)
		if ((r = insert_with(s, &sp_rt_grant, &one, rows + i, 1)) != SP_OK)
			return r;
	return SP_OK;
}

/* The whole at once is fast; only when it fails is the culprit looked for, one by one, in a transaction undone. */
static size_t
grants_culprit(struct sp_store *s, const struct sp_store_grant *rows, size_t n)
{
	size_t bad = 0;

	if (sp_op_begin(s, SP_STORE_MAIN) != SP_OK)
		return 0;
	for (size_t i = 0; i < n && bad == i; i++)
		bad += insert_row(s, &sp_rt_grant, rows + i) == SP_OK;
	(void)!sp_op_end(s, SP_STORE_MAIN, SP_EAGAIN);
	return bad;
}

enum sp_err
sp_store_grant_add_many(struct sp_store *s, struct sp_store_grant *rows, size_t n, size_t *bad)
{
	int64_t now = sp_store_now(s);
	enum sp_err r = SP_OK;
	size_t i;

	for (i = 0; i < n; i++) {
		head_fill((struct sp_row_head *)&rows[i], now);
		if ((r = sp_row_check(&sp_rt_grant, &rows[i])) != SP_OK || (r = sp_mac_row_make(s, &sp_rt_grant, &rows[i])) != SP_OK) {
			if (bad != NULL)
				*bad = i;
			return r;
		}
	}
	if ((r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	r = sp_op_end(s, SP_STORE_MAIN, grants_insert(s, rows, n));
	for (i = 0; i < n && r == SP_OK; i++)
		sp_change_row(s, &sp_rt_grant, NULL, &rows[i]);
	if (bad != NULL && (r == SP_EEXIST || r == SP_ENOENT || r == SP_EINVAL))
		*bad = grants_culprit(s, rows, n);
	return r;
}
