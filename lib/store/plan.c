/* lib/store/plan.c - see plan.h. An operation is packed as u8 act, u8 kind, u32 line, string body; the body of a row is its
 * fields in the order of its table in rows.c. Pure memory until sp_store_plan_apply. */
#include "store/plan.h"

#include <stdlib.h>
#include <string.h>

#include "store/db.h"

#define GRANTS_AT_ONCE	128

struct sp_store_plan {
	struct sp_buf	b;
	size_t		n;
};
enum { K_USER, K_USER_KEY, K_GROUP, K_ASSET, K_ASSET_GROUP, K_ACCOUNT, K_SECRET, K_GRANT, K_ROWS,
	K_GROUP_MEMBER = K_ROWS, K_ASSET_MEMBER, K_TAG, K_ORIGIN, K_N };

#define OPS(name)														\
	static enum sp_err do_add_##name(struct sp_store *s, void *row) { return sp_store_##name##_add(s, row); }		\
	static enum sp_err do_update_##name(struct sp_store *s, void *row) { return sp_store_##name##_update(s, row); }		\
	static enum sp_err do_delete_##name(struct sp_store *s, void *row)							\
	{ struct sp_store_##name *r = row; return sp_store_##name##_delete(s, &r->id, r->version); }
OPS(user) OPS(user_key) OPS(group) OPS(asset) OPS(asset_group) OPS(account) OPS(secret) OPS(grant)

static const struct {
	const struct sp_rowtype	*t;
	enum sp_err		(*act[SP_STORE_DO_DELETE + 1])(struct sp_store *s, void *row);
} rows[K_ROWS] = {
#define KIND(k, name)	[k] = { &sp_rt_##name, { NULL, do_add_##name, do_update_##name, do_delete_##name } }
	KIND(K_USER, user), KIND(K_USER_KEY, user_key), KIND(K_GROUP, group), KIND(K_ASSET, asset),
	KIND(K_ASSET_GROUP, asset_group), KIND(K_ACCOUNT, account), KIND(K_SECRET, secret), KIND(K_GRANT, grant)
};

enum sp_err
sp_store_plan_new(struct sp_store_plan **ret)
{
	struct sp_store_plan *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return SP_ENOMEM;
	p->b.max = SP_STORE_PLAN_MAX;
	*ret = p;
	return SP_OK;
}

void
sp_store_plan_free(struct sp_store_plan *p)
{
	if (p == NULL)
		return;
	sp_buf_release(&p->b);
	free(p);
}

size_t
sp_store_plan_size(const struct sp_store_plan *p)
{
	return p->n;
}

/* ---- packing ---- */

static enum sp_err
pack_field(struct sp_buf *b, const void *row, const struct sp_field *f)
{
	const char *at = (const char *)row + f->off;
	uint32_t n;
	int64_t v;

	switch (f->type) {
	case SP_F_UUID:
		return sp_buf_append(b, at, SP_UUID_LEN);
	case SP_F_TEXT:
		return sp_buf_put_string(b, at, strnlen(at, f->size));
	case SP_F_BLOB:
		memcpy(&n, at, sizeof(n));
		return n > f->size ? SP_EINVAL : sp_buf_put_string(b, at + sizeof(n), n);
	case SP_F_I64:
	case SP_F_OPT:
		memcpy(&v, at, sizeof(v));
		return sp_buf_put_u64(b, (uint64_t)v);
	}
	return SP_EINTERNAL;
}

static enum sp_err
unpack_field(struct sp_view *v, void *row, const struct sp_field *f)
{
	char *at = (char *)row + f->off;
	struct sp_view x;
	uint64_t u;
	uint32_t n;
	enum sp_err r;

	switch (f->type) {
	case SP_F_UUID:
		if ((r = sp_view_bytes(v, SP_UUID_LEN, &x)) == SP_OK)
			memcpy(at, x.p, SP_UUID_LEN);
		return r;
	case SP_F_TEXT:
		return sp_view_cstring(v, at, f->size);
	case SP_F_BLOB:
		if ((r = sp_view_string(v, &x)) != SP_OK)
			return r;
		if (x.len > f->size)
			return SP_ESIZE;
		n = (uint32_t)x.len;
		memcpy(at, &n, sizeof(n));
		memcpy(at + sizeof(n), x.p, x.len);
		return SP_OK;
	case SP_F_I64:
	case SP_F_OPT:
		if ((r = sp_view_u64(v, &u)) == SP_OK)
			memcpy(at, &u, sizeof(u));
		return r;
	}
	return SP_EINTERNAL;
}

/* Begins an operation; *ret_mark is for op_end, which fills in the length of its body, or takes all of it back. */
static enum sp_err
op_start(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, int kind, size_t *ret_mark)
{
	size_t mark = p->b.len;
	enum sp_err r;

	if ((r = sp_buf_put_u8(&p->b, (uint8_t)act)) != SP_OK || (r = sp_buf_put_u8(&p->b, (uint8_t)kind)) != SP_OK ||
	    (r = sp_buf_put_u32(&p->b, line)) != SP_OK || (r = sp_buf_put_u32(&p->b, 0)) != SP_OK) {
		p->b.len = mark;
		return r;
	}
	*ret_mark = mark;
	return SP_OK;
}

static enum sp_err
op_done(struct sp_store_plan *p, size_t mark, enum sp_err r)
{
	size_t n = p->b.len - mark - 10;

	if (r != SP_OK) {
		p->b.len = mark;
		return r;
	}
	for (int i = 0; i < 4; i++)
		p->b.p[mark + 6 + (size_t)i] = (uint8_t)(n >> (24 - 8 * i));
	p->n++;
	return SP_OK;
}

static enum sp_err
plan_row(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, int kind, const void *row)
{
	const struct sp_rowtype *t = rows[kind].t;
	size_t mark;
	enum sp_err r;

	if (act != SP_STORE_DO_DELETE && (r = sp_row_check(t, row)) != SP_OK)
		return r;
	if ((r = op_start(p, line, act, kind, &mark)) != SP_OK)
		return r;
	for (int i = 0; i < t->n && r == SP_OK; i++)
		r = pack_field(&p->b, row, &t->field[i]);
	return op_done(p, mark, r);
}

/* A row that is to be added has its id already and gets the rest of its head from the store: it passes the check with any. */
#define ROW(name, kind)														\
	enum sp_err sp_store_plan_##name(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_##name *row) \
	{															\
		struct sp_store_##name copy = *row;										\
																\
		if (act == SP_STORE_DO_ADD)											\
			copy.version = 1;											\
		return plan_row(p, line, act, kind, &copy);									\
	}
ROW(user, K_USER) ROW(user_key, K_USER_KEY) ROW(group, K_GROUP) ROW(asset, K_ASSET) ROW(asset_group, K_ASSET_GROUP)
ROW(account, K_ACCOUNT) ROW(secret, K_SECRET) ROW(grant, K_GRANT)

static enum sp_err
plan_member(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, int kind, const struct sp_store_member *m)
{
	size_t mark;
	enum sp_err r = op_start(p, line, act, kind, &mark);

	if (r != SP_OK)
		return r;
	if ((r = sp_buf_append(&p->b, m->group_id.b, SP_UUID_LEN)) == SP_OK &&
	    (r = sp_buf_append(&p->b, m->member_id.b, SP_UUID_LEN)) == SP_OK)
		r = sp_buf_put_u8(&p->b, (uint8_t)m->kind);
	return op_done(p, mark, r);
}

enum sp_err
sp_store_plan_group_member(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_member *m)
{
	return plan_member(p, line, act, K_GROUP_MEMBER, m);
}

enum sp_err
sp_store_plan_asset_member(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_member *m)
{
	return plan_member(p, line, act, K_ASSET_MEMBER, m);
}

enum sp_err
sp_store_plan_tag(struct sp_store_plan *p, uint32_t line, const struct sp_uuid *asset_id, const char *key, const char *value)
{
	size_t mark;
	enum sp_err r = op_start(p, line, value != NULL ? SP_STORE_DO_ADD : SP_STORE_DO_DELETE, K_TAG, &mark);

	if (r != SP_OK)
		return r;
	if ((r = sp_buf_append(&p->b, asset_id->b, SP_UUID_LEN)) == SP_OK && (r = sp_buf_put_cstring(&p->b, key)) == SP_OK)
		r = sp_buf_put_cstring(&p->b, value != NULL ? value : "");
	return op_done(p, mark, r);
}

enum sp_err
sp_store_plan_origin(struct sp_store_plan *p, uint32_t line, const struct sp_store_origin *o)
{
	size_t mark;
	enum sp_err r = op_start(p, line, *o->source != '\0' ? SP_STORE_DO_ADD : SP_STORE_DO_DELETE, K_ORIGIN, &mark);

	if (r != SP_OK)
		return r;
	if ((r = sp_buf_append(&p->b, o->id.b, SP_UUID_LEN)) == SP_OK && (r = sp_buf_put_u8(&p->b, (uint8_t)o->kind)) == SP_OK &&
	    (r = sp_buf_put_u64(&p->b, (uint64_t)o->gone_us)) == SP_OK && (r = sp_buf_put_cstring(&p->b, o->source)) == SP_OK)
		r = sp_buf_put_cstring(&p->b, o->external_id);
	return op_done(p, mark, r);
}

/* ---- where objects come from ---- */

static const char *const origin_table[] = { "", "user_origins", "asset_origins" };

static enum sp_err
origin_put(struct sp_store *s, const struct sp_store_origin *o)
{
	char sql[192];
	struct sp_q q;
	enum sp_err r;

	sp_snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE id = ?", origin_table[o->kind]);
	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, &o->id);
	if ((r = sp_q_run(&q, NULL)) != SP_OK || *o->source == '\0')
		return r;
	sp_snprintf(sql, sizeof(sql), "INSERT INTO %s (id, source, external_id, gone_us) VALUES (?, ?, ?, ?)", origin_table[o->kind]);
	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, &o->id);
	sp_q_text(&q, o->source);
	sp_q_text(&q, o->external_id);
	sp_q_i64(&q, o->gone_us);
	return sp_q_run(&q, NULL);
}

static enum sp_err
origin_read(struct sp_q *q, int64_t kind, struct sp_store_origin *ret)
{
	struct sp_store_origin o = { .kind = kind };
	enum sp_err r;

	if ((r = sp_q_get_uuid(q, 0, &o.id)) != SP_OK || (r = sp_q_get_text(q, 1, o.source, sizeof(o.source))) != SP_OK ||
	    (r = sp_q_get_text(q, 2, o.external_id, sizeof(o.external_id))) != SP_OK)
		return r;
	o.gone_us = sp_q_get_i64(q, 3);
	*ret = o;
	return SP_OK;
}

static enum sp_err
origin_open(struct sp_store *s, int64_t kind, const char *where, struct sp_q *ret)
{
	char sql[192];

	if (kind != SP_STORE_ORIGIN_USER && kind != SP_STORE_ORIGIN_ASSET)
		return SP_EINVAL;
	sp_snprintf(sql, sizeof(sql), "SELECT id, source, external_id, gone_us FROM %s%s", origin_table[kind], where);
	sp_q_open(s, SP_STORE_MAIN, sql, ret);
	return SP_OK;
}

enum sp_err
sp_store_origin_get(struct sp_store *s, int64_t kind, const struct sp_uuid *id, struct sp_store_origin *ret)
{
	sp_auto_q q = { 0 };
	enum sp_err r = origin_open(s, kind, " WHERE id = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_uuid(&q, id);
	return (r = sp_q_step(&q)) != SP_OK ? r : origin_read(&q, kind, ret);
}

enum sp_err
sp_store_origin_find(struct sp_store *s, int64_t kind, const char *source, const char *external_id, struct sp_store_origin *ret)
{
	sp_auto_q q = { 0 };
	enum sp_err r = origin_open(s, kind, " WHERE source = ? AND external_id = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_text(&q, source);
	sp_q_text(&q, external_id);
	return (r = sp_q_step(&q)) != SP_OK ? r : origin_read(&q, kind, ret);
}

enum sp_err
sp_store_origins(struct sp_store *s, int64_t kind, const char *source, sp_store_origin_fn fn, void *arg)
{
	sp_auto_q q = { 0 };
	struct sp_store_origin o;
	enum sp_err r = origin_open(s, kind, *source != '\0' ? " WHERE source = ? ORDER BY id" : " ORDER BY id", &q);

	if (r != SP_OK)
		return r;
	if (*source != '\0')
		sp_q_text(&q, source);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = origin_read(&q, kind, &o)) != SP_OK || fn(&o, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
parents(struct sp_store *s, const char *sql, const struct sp_uuid *child, sp_store_id_fn fn, void *arg)
{
	sp_auto_q q = { 0 };
	struct sp_uuid id;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, child);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &id)) != SP_OK || fn(&id, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_asset_parents(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_id_fn fn, void *arg)
{
	return parents(s, "SELECT parent_id FROM asset_edges WHERE child_id = ? ORDER BY parent_id", asset_id, fn, arg);
}

enum sp_err
sp_store_user_parents(struct sp_store *s, const struct sp_uuid *user_id, sp_store_id_fn fn, void *arg)
{
	return parents(s, "SELECT parent_id FROM user_edges WHERE child_id = ? ORDER BY parent_id", user_id, fn, arg);
}

/* ---- doing it ---- */

union any_row {
	struct sp_store_user		user;
	struct sp_store_user_key	user_key;
	struct sp_store_group		group;
	struct sp_store_asset		asset;
	struct sp_store_asset_group	asset_group;
	struct sp_store_account		account;
	struct sp_store_secret		secret;
	struct sp_store_grant		grant;
};
struct applying {
	struct sp_store		*s;
	union any_row		*row;
	struct sp_store_grant	*grants;	/* to be added together */
	uint32_t		*lines;		/* theirs */
	size_t			 n;
	uint32_t		 line;
};

static enum sp_err
grants_flush(struct applying *a)
{
	size_t bad = 0, n = a->n;
	enum sp_err r;

	a->n = 0;
	if (n == 0)
		return SP_OK;
	if ((r = sp_store_grant_add_many(a->s, a->grants, n, &bad)) != SP_OK)
		a->line = a->lines[bad < n ? bad : 0];
	return r;
}

static enum sp_err
apply_row(struct applying *a, int act, int kind, struct sp_view body)
{
	const struct sp_rowtype *t = rows[kind].t;
	void *into = a->row;
	enum sp_err r = SP_OK;
	int many = kind == K_GRANT && act == SP_STORE_DO_ADD;

	if (many)
		into = &a->grants[a->n];
	memset(into, 0, t->size);
	for (int i = 0; i < t->n && r == SP_OK; i++)
		r = unpack_field(&body, into, &t->field[i]);
	if (r != SP_OK || !many)
		return r != SP_OK ? r : rows[kind].act[act](a->s, into);
	a->lines[a->n++] = a->line;
	return a->n == GRANTS_AT_ONCE ? grants_flush(a) : SP_OK;
}

static enum sp_err
apply_member(struct applying *a, int act, int kind, struct sp_view body)
{
	struct sp_store_member m = { 0 };
	struct sp_view g, x;
	uint8_t k;

	if (sp_view_bytes(&body, SP_UUID_LEN, &g) != SP_OK || sp_view_bytes(&body, SP_UUID_LEN, &x) != SP_OK || sp_view_u8(&body, &k) != SP_OK)
		return SP_EINTERNAL;
	memcpy(m.group_id.b, g.p, SP_UUID_LEN);
	memcpy(m.member_id.b, x.p, SP_UUID_LEN);
	m.kind = k;
	if (act == SP_STORE_DO_ADD)
		return kind == K_GROUP_MEMBER ? sp_store_group_member_add(a->s, &m) : sp_store_asset_member_add(a->s, &m);
	return kind == K_GROUP_MEMBER ? sp_store_group_member_delete(a->s, &m.group_id, &m.member_id) :
	    sp_store_asset_member_delete(a->s, &m.group_id, &m.member_id);
}

static enum sp_err
apply_tag(struct applying *a, int act, struct sp_view body)
{
	char key[SP_STORE_NAME_MAX + 1], value[SP_STORE_TEXT_MAX + 1];
	struct sp_uuid id;
	struct sp_view v;

	if (sp_view_bytes(&body, SP_UUID_LEN, &v) != SP_OK || sp_view_cstring(&body, key, sizeof(key)) != SP_OK ||
	    sp_view_cstring(&body, value, sizeof(value)) != SP_OK)
		return SP_EINVAL;
	memcpy(id.b, v.p, SP_UUID_LEN);
	return sp_store_tag_set(a->s, &id, key, act == SP_STORE_DO_ADD ? value : NULL);
}

static enum sp_err
apply_origin(struct applying *a, struct sp_view body)
{
	struct sp_store_origin o = { 0 };
	struct sp_view v;
	uint8_t kind;
	uint64_t gone;

	if (sp_view_bytes(&body, SP_UUID_LEN, &v) != SP_OK || sp_view_u8(&body, &kind) != SP_OK || kind < 1 || kind > 2 ||
	    sp_view_u64(&body, &gone) != SP_OK ||
	    sp_view_cstring(&body, o.source, sizeof(o.source)) != SP_OK ||
	    sp_view_cstring(&body, o.external_id, sizeof(o.external_id)) != SP_OK)
		return SP_EINVAL;
	memcpy(o.id.b, v.p, SP_UUID_LEN);
	o.kind = kind;
	o.gone_us = (int64_t)gone;
	return origin_put(a->s, &o);
}

static enum sp_err
apply_one(struct applying *a, int act, int kind, struct sp_view body)
{
	enum sp_err r;

	if ((kind != K_GRANT || act != SP_STORE_DO_ADD) && a->n > 0) {
		uint32_t line = a->line;

		if ((r = grants_flush(a)) != SP_OK)
			return r;
		a->line = line;
	}
	if (kind < K_ROWS)
		return apply_row(a, act, kind, body);
	return kind == K_TAG ? apply_tag(a, act, body) : kind == K_ORIGIN ? apply_origin(a, body) : apply_member(a, act, kind, body);
}

enum sp_err
sp_store_plan_apply(struct sp_store *s, const struct sp_store_plan *p, uint32_t *ret_line)
{
	struct sp_view v = { p->b.p, p->b.len }, body;
	struct applying a = { .s = s, .row = malloc(sizeof(*a.row)), .grants = calloc(GRANTS_AT_ONCE, sizeof(*a.grants)),
	    .lines = calloc(GRANTS_AT_ONCE, sizeof(*a.lines)) };
	enum sp_err r = a.row != NULL && a.grants != NULL && a.lines != NULL ? SP_OK : SP_ENOMEM;

	while (r == SP_OK && v.len > 0) {
		uint8_t act, kind;

		if (sp_view_u8(&v, &act) != SP_OK || sp_view_u8(&v, &kind) != SP_OK || sp_view_u32(&v, &a.line) != SP_OK ||
		    sp_view_string(&v, &body) != SP_OK || act < SP_STORE_DO_ADD || act > SP_STORE_DO_DELETE || kind >= K_N)
			r = SP_EINTERNAL;
		else
			r = apply_one(&a, act, kind, body);
	}
	if (r == SP_OK)
		r = grants_flush(&a);
	if (r != SP_OK)
		*ret_line = a.line;
	if (a.row != NULL)
		explicit_bzero(a.row, sizeof(*a.row));
	free(a.row);
	free(a.grants);
	free(a.lines);
	return r;
}

/* ---- whole tables ---- */

static void
row_freep(void *p)
{
	sp_freep(p);
}

/* Each row is checked: what is exported is imported elsewhere, with good MACs. */
static enum sp_err
every(struct sp_store *s, const struct sp_rowtype *t, sp_row_fn fn, void *arg)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	sp_auto(row_freep) void *row = malloc(t->size);
	sp_auto_q q = { 0 };
	enum sp_err r;

	if (row == NULL)
		return SP_ENOMEM;
	if ((r = sp_buf_append_str(&sql, "SELECT ")) != SP_OK || (r = sp_row_columns(&sql, t, "")) != SP_OK ||
	    (r = sp_buf_printf(&sql, " FROM %s ORDER BY %s", t->table, t->order)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_row_read(&q, t, row)) != SP_OK || (r = sp_mac_row_check(s, t, row)) != SP_OK || fn(row, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

#define EVERY(name)														\
	struct name##_every { sp_store_##name##_fn fn; void *arg; };								\
	static int name##_every(const void *row, void *arg) { struct name##_every *e = arg; return e->fn(row, e->arg); }	\
	enum sp_err sp_store_every_##name(struct sp_store *s, sp_store_##name##_fn fn, void *arg)				\
	{ return every(s, &sp_rt_##name, name##_every, &(struct name##_every){ fn, arg }); }
EVERY(user) EVERY(group) EVERY(asset) EVERY(asset_group) EVERY(account) EVERY(grant)
