/* lib/store/rows.c - one table of columns per kind of row, and the five operations that all kinds share.
 *
 * A row struct and its table are described once, below, field by field; reading, writing, checking bounds, listing and
 * the canonical form all walk that description. What is special to a kind (closures, registers, cycles) is a hook.
 * Invariants: (1) field[0..4] are id, version, created_us, updated_us, mac, as in SP_STORE_HEAD. (2) SQL text is made of
 * the constants here and '?' only: nothing from outside becomes part of it. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

#define MEMBER_SIZE(T, m)	sizeof(((T *)NULL)->m)
#define UUID(T, m, fl)		{ .col = #m, .type = SP_F_UUID, .flags = (fl), .off = offsetof(T, m) }
#define NUM(T, m, lo, hi)	{ .col = #m, .type = SP_F_I64, .off = offsetof(T, m), .min = (lo), .max = (hi) }
#define TIME(T, m)		NUM(T, m, 0, INT64_MAX)
#define TEXT(T, m, fl)		{ .col = #m, .type = SP_F_TEXT, .flags = (fl), .off = offsetof(T, m), .size = MEMBER_SIZE(T, m) }
#define BLOB(T, m, fl)		{ .col = #m, .type = SP_F_BLOB, .flags = (fl), .off = offsetof(T, m), .size = MEMBER_SIZE(T, m.b) }
#define HEAD(T)			UUID(T, id, SP_FF_NEEDED), NUM(T, version, 1, INT64_MAX), TIME(T, created_us), TIME(T, updated_us), BLOB(T, mac, 0)
#define HEAD_N	5
#define DAY_S	86400

#define D struct sp_store_department
static const struct sp_field department_fields[] = {
	HEAD(D), TEXT(D, name, SP_FF_NAME), UUID(D, parent_id, 0), TEXT(D, description, SP_FF_FREE)
};
#undef D
#define U struct sp_store_user
static const struct sp_field user_fields[] = {
	HEAD(U), TEXT(U, login, SP_FF_NAME | SP_FF_NOLIST), TEXT(U, full_name, 0), TEXT(U, email, 0), UUID(U, department_id, 0),
	NUM(U, role, SP_STORE_ROLE_USER, SP_STORE_ROLE_ADMIN), UUID(U, role_department_id, 0),
	NUM(U, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), TIME(U, valid_from_us), TIME(U, valid_until_us),
	NUM(U, epoch, 0, INT64_MAX), TEXT(U, password_hash, 0), NUM(U, must_change_password, 0, 1),
	{ .col = "os_uid", .type = SP_F_OPT, .off = offsetof(U, os_uid), .min = -1, .max = UINT32_MAX },
	{ .col = "last_login_us", .type = SP_F_I64, .flags = SP_FF_APART, .off = offsetof(U, last_login_us), .min = 0, .max = INT64_MAX }
};
#undef U
#define K struct sp_store_user_key
static const struct sp_field user_key_fields[] = {
	HEAD(K), UUID(K, user_id, SP_FF_NEEDED), TEXT(K, type, SP_FF_NEEDED), BLOB(K, blob, SP_FF_NEEDED),
	TEXT(K, fingerprint, SP_FF_NEEDED), TEXT(K, comment, 0), NUM(K, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED),
	NUM(K, require_touch, 0, 1), TIME(K, valid_until_us)
};
#undef K
#define T struct sp_store_totp
static const struct sp_field totp_fields[] = {
	HEAD(T), UUID(T, secret_id, 0), NUM(T, confirmed, 0, 1),
	{ .col = "last_step", .type = SP_F_I64, .flags = SP_FF_APART, .off = offsetof(T, last_step), .min = 0, .max = INT64_MAX }
};
#undef T
#define R struct sp_store_recovery
static const struct sp_field recovery_fields[] = {
	HEAD(R), UUID(R, user_id, SP_FF_NEEDED), TEXT(R, hash, SP_FF_NEEDED), TIME(R, used_us)
};
#undef R
#define G struct sp_store_group
static const struct sp_field group_fields[] = {
	HEAD(G), TEXT(G, name, SP_FF_NAME), UUID(G, department_id, 0), TEXT(G, remark, SP_FF_FREE)
};
#undef G
#define Z struct sp_store_zone
static const struct sp_field zone_fields[] = {
	HEAD(Z), TEXT(Z, name, SP_FF_NAME), UUID(Z, jump_asset_id, 0), TEXT(Z, jump_account, 0), TEXT(Z, source_address, 0),
	TEXT(Z, remark, SP_FF_FREE)
};
#undef Z
#define A struct sp_store_asset
static const struct sp_field asset_fields[] = {
	HEAD(A), TEXT(A, name, SP_FF_NAME), TEXT(A, address, SP_FF_NEEDED), NUM(A, port, 1, 65535), TEXT(A, platform, 0),
	UUID(A, department_id, 0), UUID(A, owner_id, 0), UUID(A, zone_id, 0), TEXT(A, remark, SP_FF_FREE),
	NUM(A, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), NUM(A, flags, 0, INT32_MAX), UUID(A, inner_key_secret_id, 0),
	BLOB(A, inner_key, 0)
};
#undef A
#define H struct sp_store_host_key
static const struct sp_field host_key_fields[] = {
	HEAD(H), UUID(H, asset_id, SP_FF_NEEDED), TEXT(H, type, SP_FF_NEEDED), BLOB(H, blob, SP_FF_NEEDED),
	NUM(H, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), TEXT(H, pinned_by, 0)
};
#undef H
#define AG struct sp_store_asset_group
static const struct sp_field asset_group_fields[] = {
	HEAD(AG), TEXT(AG, name, SP_FF_NAME), UUID(AG, parent_id, 0), UUID(AG, department_id, 0), TEXT(AG, remark, SP_FF_FREE)
};
#undef AG
#define C struct sp_store_account
static const struct sp_field account_fields[] = {
	HEAD(C), UUID(C, asset_id, SP_FF_NEEDED), TEXT(C, name, SP_FF_NAME | SP_FF_NOLIST), TEXT(C, login, 0),
	NUM(C, kind, SP_STORE_ACCOUNT_STORED, SP_STORE_ACCOUNT_TYPED), UUID(C, secret_id, 0), TEXT(C, auth_methods, 0),
	NUM(C, state, SP_STORE_ACTIVE, SP_STORE_EXPIRED), TEXT(C, principals, 0)
};
#undef C
#define S struct sp_store_secret
static const struct sp_field secret_fields[] = {
	HEAD(S), TEXT(S, name, 0), NUM(S, kind, SP_STORE_SECRET_PASSWORD, SP_STORE_SECRET_TOTP), NUM(S, secret_version, 0, INT64_MAX),
	NUM(S, term, 0, INT64_MAX), BLOB(S, ciphertext, 0), BLOB(S, public_blob, 0), TEXT(S, info, SP_FF_FREE), TIME(S, rotated_us)
};
#undef S
#define P struct sp_store_grant
static const struct sp_field grant_fields[] = {
	HEAD(P), NUM(P, subject_kind, SP_STORE_SUBJECT_USER, SP_STORE_SUBJECT_GROUP), UUID(P, subject_id, SP_FF_NEEDED),
	NUM(P, object_kind, SP_STORE_OBJECT_ASSET, SP_STORE_OBJECT_ASSET_GROUP), UUID(P, object_id, SP_FF_NEEDED),
	TEXT(P, accounts, SP_FF_NEEDED), NUM(P, protocols, 1, SP_STORE_P_ALL), NUM(P, effect, SP_STORE_ALLOW, SP_STORE_DENY),
	TIME(P, valid_from_us), TIME(P, valid_until_us), TEXT(P, name, 0), TEXT(P, remark, SP_FF_FREE), UUID(P, created_by, 0),
	TEXT(P, hours, 0), TEXT(P, sources, 0), NUM(P, mfa_interval_s, -1, 400 * DAY_S), NUM(P, idle_s, 0, 400 * DAY_S),
	NUM(P, max_session_s, 0, 400 * DAY_S), NUM(P, concurrent_max, 0, INT32_MAX), NUM(P, reason_required, 0, 1),
	NUM(P, agent_kinds, 0, SP_STORE_AGENT_PLATFORM | SP_STORE_AGENT_USER), NUM(P, file_direction, 0, SP_STORE_FILE_UP | SP_STORE_FILE_DOWN),
	TEXT(P, forwards, 0), NUM(P, record_mode, SP_STORE_RECORD_STRICT, SP_STORE_RECORD_BEST_EFFORT)
};
#undef P
#define E struct sp_store_session
static const struct sp_field session_fields[] = {
	UUID(E, id, SP_FF_NEEDED), UUID(E, conn_id, 0), NUM(E, state, SP_STORE_LIVE, SP_STORE_ENDED), UUID(E, user_id, 0),
	TEXT(E, user_login, 0), UUID(E, asset_id, 0), TEXT(E, asset_name, 0), TEXT(E, account, 0), TEXT(E, protocol, 0),
	TEXT(E, source, 0), TIME(E, started_us), TIME(E, ended_us), TEXT(E, end_reason, SP_FF_FREE), TEXT(E, ended_by, 0),
	TEXT(E, recording, 0), NUM(E, record_state, INT64_MIN, INT64_MAX), NUM(E, bytes_in, 0, INT64_MAX), NUM(E, bytes_out, 0, INT64_MAX),
	TEXT(E, error, SP_FF_FREE)
};
#undef E

static enum sp_err
window_check(int64_t from, int64_t until)
{
	return from != 0 && until != 0 && until <= from ? SP_EINVAL : SP_OK;
}

static enum sp_err
user_check(const void *row)
{
	const struct sp_store_user *u = row;

	return window_check(u->valid_from_us, u->valid_until_us);
}

static enum sp_err
grant_check(const void *row)
{
	const struct sp_store_grant *g = row;

	return window_check(g->valid_from_us, g->valid_until_us);
}

#define FIELDS(f, T)	.field = (f), .n = SP_NELEMS(f), .size = sizeof(T)
#define BY_NAME		.order = "name, id", .search = "lower(name || ' ' || remark)"

const struct sp_rowtype sp_rt_department = { .table = "departments", FIELDS(department_fields, struct sp_store_department),
	.order = "name, id", .search = "lower(name || ' ' || description)", .of = { "parent_id" }, .before_write = sp_department_before_write };
const struct sp_rowtype sp_rt_user = { .table = "users", FIELDS(user_fields, struct sp_store_user),
	.order = "login, id", .search = "lower(login || ' ' || full_name || ' ' || email)", .check = user_check,
	.register_in = "subjects", .register_kind = SP_STORE_SUBJECT_USER, .closure = "user_closure", .before_delete = sp_user_before_delete };
const struct sp_rowtype sp_rt_user_key = { .table = "user_keys", FIELDS(user_key_fields, struct sp_store_user_key),
	.order = "created_us, id", .search = "lower(fingerprint || ' ' || comment)", .of = { "user_id" } };
const struct sp_rowtype sp_rt_totp = { .table = "user_totp", FIELDS(totp_fields, struct sp_store_totp), .order = "id" };
const struct sp_rowtype sp_rt_recovery = { .table = "user_recovery", FIELDS(recovery_fields, struct sp_store_recovery),
	.order = "created_us, id", .of = { "user_id" } };
const struct sp_rowtype sp_rt_group = { .table = "user_groups", FIELDS(group_fields, struct sp_store_group), BY_NAME,
	.register_in = "subjects", .register_kind = SP_STORE_SUBJECT_GROUP, .before_delete = sp_group_before_delete };
const struct sp_rowtype sp_rt_zone = { .table = "zones", FIELDS(zone_fields, struct sp_store_zone), BY_NAME };
const struct sp_rowtype sp_rt_asset = { .table = "assets", FIELDS(asset_fields, struct sp_store_asset),
	.order = "name, id", .search = "lower(name || ' ' || address || ' ' || remark)", .of = { "owner_id", "zone_id" },
	.register_in = "objects", .register_kind = SP_STORE_OBJECT_ASSET, .closure = "asset_closure", .before_delete = sp_asset_before_delete };
const struct sp_rowtype sp_rt_host_key = { .table = "host_keys", FIELDS(host_key_fields, struct sp_store_host_key),
	.order = "created_us, id", .of = { "asset_id" } };
const struct sp_rowtype sp_rt_asset_group = { .table = "asset_groups", FIELDS(asset_group_fields, struct sp_store_asset_group), BY_NAME,
	.of = { "parent_id" }, .register_in = "objects", .register_kind = SP_STORE_OBJECT_ASSET_GROUP,
	.before_write = sp_asset_group_before_write, .after_write = sp_asset_group_after_write, .before_delete = sp_asset_group_before_delete };
const struct sp_rowtype sp_rt_account = { .table = "accounts", FIELDS(account_fields, struct sp_store_account),
	.order = "name, id", .search = "lower(name || ' ' || login)", .of = { "asset_id", "secret_id" } };
const struct sp_rowtype sp_rt_secret = { .table = "secrets", FIELDS(secret_fields, struct sp_store_secret),
	.order = "name, id", .search = "lower(name)" };
const struct sp_rowtype sp_rt_grant = { .table = "grants", FIELDS(grant_fields, struct sp_store_grant),
	.order = "id", .search = "lower(name || ' ' || remark)", .of = { "subject_id", "object_id" }, .check = grant_check };
const struct sp_rowtype sp_rt_session = { .table = "sessions", FIELDS(session_fields, struct sp_store_session) };

/* ---- one row: check, bind, read ---- */

static const void *
at(const void *row, const struct sp_field *f)
{
	return (const char *)row + f->off;
}

static int64_t
number_at(const void *row, const struct sp_field *f)
{
	int64_t v;

	memcpy(&v, at(row, f), sizeof(v));
	return v;
}

static uint32_t
blob_len(const void *row, const struct sp_field *f)
{
	uint32_t n;

	memcpy(&n, at(row, f), sizeof(n));
	return n;
}

/* Line breaks and tabs aside, control characters are refused in every text. */
static int
text_is_ok(const char *p, size_t n, unsigned flags)
{
	size_t from = 0;

	if (!(flags & SP_FF_FREE))
		return sp_text_is_plain(p, n);
	for (size_t i = 0; i <= n; i++)
		if (i == n || p[i] == '\n' || p[i] == '\t') {
			if (!sp_text_is_plain(p + from, i - from))
				return 0;
			from = i + 1;
		}
	return 1;
}

static enum sp_err
text_check(const void *row, const struct sp_field *f)
{
	const char *p = at(row, f);
	size_t n = strnlen(p, f->size);

	if (n == f->size || !text_is_ok(p, n, f->flags))
		return SP_EINVAL;
	if ((f->flags & SP_FF_NEEDED) && n == 0)
		return SP_EINVAL;
	if ((f->flags & SP_FF_NAME) && !sp_name_is_ok(p, f->size - 1))
		return SP_EINVAL;
	return (f->flags & SP_FF_NOLIST) && strpbrk(p, ",*") != NULL ? SP_EINVAL : SP_OK;
}

static enum sp_err
field_check(const void *row, const struct sp_field *f)
{
	int64_t v;

	switch (f->type) {
	case SP_F_UUID:
		return (f->flags & SP_FF_NEEDED) && sp_uuid_is_null(at(row, f)) ? SP_EINVAL : SP_OK;
	case SP_F_TEXT:
		return text_check(row, f);
	case SP_F_BLOB:
		return blob_len(row, f) > f->size || ((f->flags & SP_FF_NEEDED) && blob_len(row, f) == 0) ? SP_EINVAL : SP_OK;
	case SP_F_I64:
	case SP_F_OPT:
		v = number_at(row, f);
		return v < f->min || v > f->max ? SP_EINVAL : SP_OK;
	}
	return SP_EINTERNAL;
}

enum sp_err
sp_row_check(const struct sp_rowtype *t, const void *row)
{
	enum sp_err r;

	for (int i = 0; i < t->n; i++)
		if ((r = field_check(row, &t->field[i])) != SP_OK)
			return r;
	return t->check != NULL ? t->check(row) : SP_OK;
}

static void
field_bind(struct sp_q *q, const void *row, const struct sp_field *f)
{
	switch (f->type) {
	case SP_F_UUID:
		sp_q_uuid(q, at(row, f));
		break;
	case SP_F_TEXT:
		sp_q_text(q, at(row, f));
		break;
	case SP_F_BLOB:
		sp_q_blob(q, blob_len(row, f) == 0 ? NULL : (const char *)at(row, f) + sizeof(uint32_t), blob_len(row, f));
		break;
	case SP_F_I64:
		sp_q_i64(q, number_at(row, f));
		break;
	case SP_F_OPT:
		sp_q_opt(q, number_at(row, f));
		break;
	}
}

void
sp_row_bind(struct sp_q *q, const struct sp_rowtype *t, const void *row, int from, unsigned without_flags)
{
	for (int i = from; i < t->n; i++)
		if (!(t->field[i].flags & without_flags))
			field_bind(q, row, &t->field[i]);
}

static enum sp_err
field_read(struct sp_q *q, int col, void *row, const struct sp_field *f)
{
	char *dst = (char *)row + f->off;
	const void *p;
	int64_t v;
	uint32_t n32;
	size_t n;

	switch (f->type) {
	case SP_F_UUID:
		return sp_q_get_uuid(q, col, (struct sp_uuid *)(void *)dst);
	case SP_F_TEXT:
		return sp_q_get_text(q, col, dst, f->size);
	case SP_F_BLOB:
		p = sp_q_get_bytes(q, col, &n);
		if (n > f->size)
			return sp_store_fail(q->s, SP_ECORRUPT, "bytes beyond their bound");
		n32 = (uint32_t)n;
		memcpy(dst, &n32, sizeof(n32));
		memcpy(dst + sizeof(n32), p, n);
		return SP_OK;
	case SP_F_I64:
	case SP_F_OPT:
		v = f->type == SP_F_OPT && q->s->drv->is_null(q->st, col) ? -1 : sp_q_get_i64(q, col);
		memcpy(dst, &v, sizeof(v));
		return SP_OK;
	}
	return SP_EINTERNAL;
}

enum sp_err
sp_row_read(struct sp_q *q, const struct sp_rowtype *t, void *row)
{
	enum sp_err r;

	memset(row, 0, t->size);
	for (int i = 0; i < t->n; i++)
		if ((r = field_read(q, i, row, &t->field[i])) != SP_OK)
			return r;
	return SP_OK;
}

static void
row_freep(void *p)
{
	sp_freep(p);
}

enum sp_err
sp_row_first(struct sp_q *q, const struct sp_rowtype *t, void *ret)
{
	sp_auto(row_freep) void *row = malloc(t->size);
	enum sp_err r = row != NULL ? sp_q_step(q) : SP_ENOMEM;

	if (r == SP_OK && (r = sp_row_read(q, t, row)) == SP_OK)
		memcpy(ret, row, t->size);
	sp_q_close(q);
	return r;
}

enum sp_err
sp_row_each(struct sp_q *q, const struct sp_rowtype *t, sp_row_fn fn, void *arg)
{
	sp_auto(row_freep) void *row = malloc(t->size);
	enum sp_err r = row != NULL ? SP_OK : SP_ENOMEM;

	while (r == SP_OK && (r = sp_q_step(q)) == SP_OK)
		if ((r = sp_row_read(q, t, row)) == SP_OK && fn(row, arg) != 0)
			break;
	sp_q_close(q);
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_row_columns(struct sp_buf *b, const struct sp_rowtype *t, const char *prefix)
{
	enum sp_err r;

	for (int i = 0; i < t->n; i++)
		if ((r = sp_buf_printf(b, "%s%s%s", i > 0 ? ", " : "", prefix, t->field[i].col)) != SP_OK)
			return r;
	return SP_OK;
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

/* The head of every row struct. */
struct head {
	SP_STORE_HEAD;
};

static void
head_fill(struct head *h, int64_t now)
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
	if ((r = sp_row_check(t, copy)) != SP_OK || (r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, add_body(s, t, copy))) == SP_OK)
		memcpy(row, copy, t->size);
	return r;
}

/* ---- get, update, delete ---- */

static enum sp_err
row_by(struct sp_store *s, const struct sp_rowtype *t, const char *where, struct sp_q *ret)
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

	if ((r = row_by(s, t, "id = ?", &q)) != SP_OK)
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

static enum sp_err
update_body(struct sp_store *s, const struct sp_rowtype *t, const void *row, int64_t now)
{
	const struct head *h = row;
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_q q;
	uint64_t changed = 0;
	enum sp_err r;

	if ((r = update_sql(&sql, t)) != SP_OK)
		return r;
	if (t->before_write != NULL && (r = t->before_write(s, row, 0)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
	sp_q_i64(&q, now);
	sp_row_bind(&q, t, row, HEAD_N - 1, SP_FF_APART);
	sp_q_uuid(&q, &h->id);
	sp_q_i64(&q, h->version);
	r = sp_q_run(&q, &changed);
	if (r == SP_OK && changed == 0)
		r = why_unchanged(s, t, &h->id);
	else if (r == SP_ESTATE && !s->tx_bad[SP_STORE_MAIN])
		r = SP_ENOENT;
	if (r == SP_OK && t->after_write != NULL)
		r = t->after_write(s, row, 0);
	return r;
}

static enum sp_err
row_update(struct sp_store *s, const struct sp_rowtype *t, void *row)
{
	struct head *h = row;
	int64_t now = sp_store_now(s);
	enum sp_err r;

	if ((r = sp_row_check(t, row)) != SP_OK || (r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, update_body(s, t, row, now))) != SP_OK)
		return r;
	h->version++;
	h->updated_us = now;
	return SP_OK;
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

static enum sp_err
row_delete(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id, int64_t version)
{
	enum sp_err r = sp_op_begin(s, SP_STORE_MAIN);

	return r != SP_OK ? r : sp_op_end(s, SP_STORE_MAIN, delete_body(s, t, id, version));
}

/* ---- lists ---- */

uint32_t
sp_page_limit(uint32_t limit)
{
	return limit == 0 || limit > SP_STORE_PAGE_MAX ? SP_STORE_PAGE_MAX : limit;
}

/* One word as a LIKE pattern in lower case, its own wildcards escaped. */
static void
word_pattern(const char *p, size_t n, char *dst)
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

enum sp_err
sp_words_parse(const char *text, struct sp_words *ret)
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
		word_pattern(text, n, ret->like[ret->n++]);
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
	if (!sp_uuid_is_null(&q->department_id) && (r = sp_buf_append_str(b, " AND department_id = ?")) != SP_OK)
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

static enum sp_err
row_list(struct sp_store *s, const struct sp_rowtype *t, const struct sp_store_query *query, sp_row_fn fn, void *arg)
{
	static const struct sp_store_query all;
	const struct sp_store_query *f = query != NULL ? query : &all;
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_words w;
	struct sp_q q;
	enum sp_err r;

	if ((r = sp_words_parse(f->text, &w)) != SP_OK || (r = list_sql(&sql, t, f, &w)) != SP_OK)
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
	return sp_row_each(&q, t, fn, arg);
}

/* ---- canonical form ---- */

static enum sp_err
field_canonical(struct sp_buf *dst, const void *row, const struct sp_field *f)
{
	switch (f->type) {
	case SP_F_UUID:
		return sp_buf_append(dst, at(row, f), SP_UUID_LEN);
	case SP_F_TEXT:
		return sp_buf_put_cstring(dst, at(row, f));
	case SP_F_BLOB:
		return sp_buf_put_string(dst, (const char *)at(row, f) + sizeof(uint32_t), blob_len(row, f));
	case SP_F_I64:
	case SP_F_OPT:
		return sp_buf_put_u64(dst, (uint64_t)number_at(row, f));
	}
	return SP_EINTERNAL;
}

/* updated_us is left out: the store stamps it after the caller has made the mac. */
static enum sp_err
row_canonical(const struct sp_rowtype *t, const void *row, struct sp_buf *dst)
{
	enum sp_err r = sp_row_check(t, row);

	if (r != SP_OK || (r = sp_buf_put_cstring(dst, t->table)) != SP_OK)
		return r;
	for (int i = 0; i < t->n; i++)
		if (i != 2 && i != 3 && i != HEAD_N - 1 && !(t->field[i].flags & SP_FF_APART) &&
		    (r = field_canonical(dst, row, &t->field[i])) != SP_OK)
			return r;
	return SP_OK;
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
	{ return row_delete(s, &sp_rt_##name, id, version); }								\
	enum sp_err sp_store_##name##_list(struct sp_store *s, const struct sp_store_query *q, sp_store_##name##_fn fn, void *arg) \
	{ return row_list(s, &sp_rt_##name, q, name##_call, &(struct name##_call){ fn, arg }); }			\
	enum sp_err sp_store_##name##_canonical(const struct sp_store_##name *row, struct sp_buf *dst)			\
	{ return row_canonical(&sp_rt_##name, row, dst); }

ROW(department) ROW(user) ROW(user_key) ROW(totp) ROW(recovery) ROW(group) ROW(zone) ROW(asset) ROW(host_key)
ROW(asset_group) ROW(account) ROW(secret) ROW(grant)

#define BY_TEXT(name, what, where)											\
	enum sp_err sp_store_##name##_by_##what(struct sp_store *s, const char *what, struct sp_store_##name *ret)	\
	{														\
		struct sp_q q;												\
		enum sp_err r = row_by(s, &sp_rt_##name, where, &q);							\
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
BY_TEXT(asset, name, "name = ?")
BY_TEXT(asset_group, name, "name = ?")

enum sp_err
sp_store_user_by_os_uid(struct sp_store *s, int64_t os_uid, struct sp_store_user *ret)
{
	struct sp_q q;
	enum sp_err r = row_by(s, &sp_rt_user, "os_uid = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_i64(&q, os_uid);
	return sp_row_first(&q, &sp_rt_user, ret);
}

enum sp_err
sp_store_user_key_by_blob(struct sp_store *s, const void *blob, size_t n, struct sp_store_user_key *ret)
{
	struct sp_q q;
	enum sp_err r = row_by(s, &sp_rt_user_key, "blob = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_blob(&q, blob, n);
	return sp_row_first(&q, &sp_rt_user_key, ret);
}

enum sp_err
sp_store_account_by_name(struct sp_store *s, const struct sp_uuid *asset_id, const char *name, struct sp_store_account *ret)
{
	struct sp_q q;
	enum sp_err r = row_by(s, &sp_rt_account, "asset_id = ? AND name = ?", &q);

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
	enum sp_err r = row_by(s, &sp_rt_secret, "kind = ? AND name = ? ORDER BY id LIMIT 1", &q);

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
	enum sp_err r = row_by(s, &sp_rt_secret, "kind = ? ORDER BY name, id", &q);

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

	if ((r = row_by(s, &sp_rt_asset, port != 0 ? "lower(address) = lower(?) AND port = ? LIMIT 2" :
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

enum sp_err
sp_store_totp_step(struct sp_store *s, const struct sp_uuid *user_id, int64_t step)
{
	struct sp_q q;
	uint64_t changed = 0;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "UPDATE user_totp SET last_step = ? WHERE id = ? AND last_step < ?", &q);
	sp_q_i64(&q, step);
	sp_q_uuid(&q, user_id);
	sp_q_i64(&q, step);
	r = sp_op_single(s, SP_STORE_MAIN, &q, &changed);
	if (r != SP_OK || changed > 0)
		return r;
	r = why_unchanged(s, &sp_rt_totp, user_id);
	return r == SP_ECONFLICT ? SP_EDENIED : r;
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
		head_fill((struct head *)&rows[i], now);
		if ((r = sp_row_check(&sp_rt_grant, &rows[i])) != SP_OK) {
			if (bad != NULL)
				*bad = i;
			return r;
		}
	}
	if ((r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	r = sp_op_end(s, SP_STORE_MAIN, grants_insert(s, rows, n));
	if (bad != NULL && (r == SP_EEXIST || r == SP_ENOENT || r == SP_EINVAL))
		*bad = grants_culprit(s, rows, n);
	return r;
}
