/* src/control/api_bulk_rows.c - what one row of users, groups, assets and accounts comes to, next to what is there.
 * Process: control, bulk lane. Each function checks with the functions of the single calls and adds to the plan; it
 * changes nothing. A row that says what is there already adds nothing. */
#include "control/api_bulk.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static const char *const states[] = { "", "active", "disabled", "expired" };
static const char *const kinds[] = { "", "stored", "same", "typed" };

static int64_t
word(const char *const *list, size_t n, const char *w)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(list[i], w) == 0)
			return (int64_t)i;
	return 0;
}

static int
bulk_same(struct sp_buf *a, struct sp_buf *b)
{
	int same = a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);

	sp_buf_release(a);
	sp_buf_release(b);
	return same;
}

#define SAME(name, x, y)	(sp_store_##name##_canonical((x), &was) == SP_OK && sp_store_##name##_canonical((y), &is) == SP_OK)
#define CANONICAL_MAX		65536

/* *ret is borrowed; NULL: not there. */
static void
bulk_list(const struct bulk_run *b, const char *key, json_t **ret)
{
	json_t *l = json_object_get(b->row.params, key);

	*ret = json_is_array(l) ? l : NULL;
}

/* A list of names, each once, no longer than a name. Refuses the row. */
static enum sp_err
list_check(struct bulk_run *b, const json_t *list, const char *key)
{
	size_t i;
	json_t *v;

	if (list == NULL)
		return json_object_get(b->row.params, key) == NULL ? SP_OK :
		    api_fail(&b->row, SP_EINVAL, "%s is not a list", key);
	json_array_foreach(list, i, v)
		if (!json_is_string(v) || *json_string_value(v) == '\0' ||
		    !sp_text_is_plain(json_string_value(v), json_string_length(v)))
			return api_fail(&b->row, SP_EINVAL, "%s is not a list of texts", key);
	return SP_OK;
}

/* ---- where it comes from ---- */

enum sp_err
bulk_origin(struct bulk_run *b, int64_t kind, struct sp_uuid *ret_id)
{
	char ext[SP_STORE_NAME_MAX + 1] = "";
	struct sp_store_origin o;
	const char *name = api_text(&b->row, kind == SP_STORE_ORIGIN_USER ? "login" : "name");
	struct sp_uuid none = { 0 };
	enum sp_err r;

	if ((r = api_str(&b->row, "external_id", 0, ext, sizeof(ext))) != SP_OK)
		return r;
	*ret_id = none;
	if (*b->o.source == '\0')
		return *ext == '\0' ? SP_OK : api_fail(&b->row, SP_EINVAL, "external_id goes with --source");
	if (*ext == '\0' && name != NULL) {	/* what has no other id is known by its name */
		if (sp_strlcpy(ext, name, sizeof(ext)) != 0)
			return api_fail(&b->row, SP_ESIZE, "the name is too long");
		json_object_set_new(b->row.params, "external_id", json_string(ext));
	}
	if ((r = bulk_once(b, "external_id", ext, &none)) != SP_OK)
		return r;
	if ((r = sp_store_origin_find(b->s, kind, b->o.source, ext, &o)) == SP_OK)
		*ret_id = o.id;
	return r == SP_ENOENT ? SP_OK : api_store(&b->row, r, ext);
}

/* Of what is found by name only: may this source have it? And remember that it is in the file. */
enum sp_err
bulk_origin_set(struct bulk_run *b, int64_t kind, const struct sp_uuid *id, int is_new, int *ret_changed)
{
	struct sp_store_origin o = { 0 };
	char text[SP_UUID_SIZE];
	const char *ext = api_text(&b->row, "external_id");
	enum sp_err r = SP_ENOENT;

	if (*b->o.source == '\0')
		return SP_OK;
	if ((r = bulk_once(b, "id", sp_uuid_text(id, text), id)) != SP_OK)
		return r;
	r = is_new ? SP_ENOENT : sp_store_origin_get(b->s, kind, id, &o);
	if (r == SP_OK && strcmp(o.source, b->o.source) != 0)
		return api_fail(&b->row, SP_EDENIED, "it comes from \"%s\", and only that changes it", o.source);
	if (r == SP_OK && strcmp(o.external_id, ext) == 0 && o.gone_us == 0)
		return SP_OK;
	if (r == SP_OK && strcmp(o.external_id, ext) != 0)
		return api_fail(&b->row, SP_EEXIST, "it is \"%s\" in that source already", o.external_id);
	if (r != SP_OK && r != SP_ENOENT)
		return api_store(&b->row, r, "its origin");
	if (r == SP_ENOENT && !is_new && !b->o.adopt)
		return api_fail(&b->row, SP_EEXIST, "it is there already and does not come from \"%s\": take it over with --adopt", b->o.source);
	o = (struct sp_store_origin){ .id = *id, .kind = kind };
	(void)sp_strlcpy(o.source, b->o.source, sizeof(o.source));
	(void)sp_strlcpy(o.external_id, ext, sizeof(o.external_id));
	*ret_changed = 1;
	return bulk_planned(b, sp_store_plan_origin(b->later, b->line, &o));
}

/* ---- users ---- */

struct key_set {
	struct bulk_run		*b;
	struct sp_store_user_key *key;	/* of the row */
	size_t			 n;
	uint8_t			*there;	/* the user has it already */
	int			 changed;
	enum sp_err		 err;
};

static int
key_there(const struct sp_store_user_key *k, void *arg)
{
	struct key_set *set = arg;

	for (size_t i = 0; i < set->n; i++)
		if (set->key[i].blob.len == k->blob.len && memcmp(set->key[i].blob.b, k->blob.b, k->blob.len) == 0) {
			set->there[i] = 1;
			return 0;
		}
	set->changed = 1;
	return (set->err = bulk_planned(set->b, sp_store_plan_user_key(set->b->plan, set->b->line, SP_STORE_DO_DELETE, k))) != SP_OK;
}

static enum sp_err
keys_add(struct key_set *set, const struct sp_store_user *u)
{
	struct sp_store_user_key other;
	enum sp_err r;

	for (size_t i = 0; i < set->n; i++) {
		if (set->there[i])
			continue;
		if ((r = sp_store_user_key_by_blob(set->b->s, set->key[i].blob.b, set->key[i].blob.len, &other)) == SP_OK)
			return api_fail(&set->b->row, SP_EEXIST, "the key %s is registered already: remove it from its user first", set->key[i].fingerprint);
		if (r != SP_ENOENT)
			return api_store(&set->b->row, r, "a key");
		if ((r = bulk_once(set->b, "key", set->key[i].fingerprint, &u->id)) != SP_OK)
			return r;
		sp_uuid_make(&set->key[i].id);
		set->changed = 1;
		if ((r = bulk_planned(set->b, sp_store_plan_user_key(set->b->later, set->b->line, SP_STORE_DO_ADD, &set->key[i]))) != SP_OK)
			return r;
	}
	return SP_OK;
}

static enum sp_err
keys_set(struct bulk_run *b, const struct sp_store_user *u, int is_new, int *ret_changed)
{
	struct key_set set = { .b = b };
	struct sp_store_query q = { .of = u->id };
	enum sp_err r;
	json_t *list;

	bulk_list(b, "keys", &list);
	if ((r = list_check(b, list, "keys")) != SP_OK || list == NULL)
		return r;
	if ((set.n = json_array_size(list)) > 100)
		return api_fail(&b->row, SP_ESIZE, "more than 100 keys");
	set.key = calloc(set.n + 1, sizeof(*set.key));
	set.there = calloc(set.n + 1, 1);
	r = set.key != NULL && set.there != NULL ? SP_OK : api_fail(&b->row, SP_ENOMEM, "out of memory");
	for (size_t i = 0; i < set.n && r == SP_OK; i++)
		r = user_key_parse(&b->row, u, json_string_value(json_array_get(list, i)), &set.key[i]);
	if (r == SP_OK && !is_new && (r = api_store(&b->row, sp_store_user_key_list(b->s, &q, key_there, &set), "keys")) == SP_OK)
		r = set.err;
	if (r == SP_OK)
		r = keys_add(&set, u);
	free(set.key);
	free(set.there);
	*ret_changed |= set.changed;
	return r;
}

/* What is as it was need not be permitted: an export of a department's administrator is his to import. */
static void
user_drop_unchanged(struct bulk_run *b, const struct sp_store_user *u)
{
	const char *scope = api_text(&b->row, "role_department");
	const json_t *uid = json_object_get(b->row.params, "os_uid");
	struct sp_store_department d = { 0 };

	if (scope != NULL && ((*scope == '\0' && sp_uuid_is_null(&u->role_department_id)) ||
	    (sp_store_department_get(b->s, &u->role_department_id, &d) == SP_OK && strcmp(d.name, scope) == 0)))
		json_object_del(b->row.params, "role_department");
	if (json_is_integer(uid) && json_integer_value(uid) == u->os_uid)
		json_object_del(b->row.params, "os_uid");
}

static enum sp_err
user_state(struct bulk_run *b, struct sp_store_user *u)
{
	const char *w = api_text(&b->row, "state");
	int64_t state = w != NULL && *w != '\0' ? word(states, SP_NELEMS(states), w) : u->state;

	if (state == 0)
		return api_fail(&b->row, SP_EINVAL, "state is active, disabled or expired");
	u->state = state;
	return SP_OK;
}

static enum sp_err
user_find(struct bulk_run *b, struct sp_store_user *u, int *ret_is_new)
{
	struct sp_uuid id = { 0 };
	char login[sizeof(u->login)];
	enum sp_err r;

	if ((r = api_str(&b->row, "login", 1, login, sizeof(login))) != SP_OK || (r = bulk_origin(b, SP_STORE_ORIGIN_USER, &id)) != SP_OK)
		return r;
	if (!sp_name_is_safe(login, SP_STORE_LOGIN_MAX))
		return api_fail(&b->row, SP_EINVAL, "a login has letters, digits, '.', '_' and '-'");
	r = !sp_uuid_is_null(&id) ? sp_store_user_get(b->s, &id, u) : sp_store_user_by_login(b->s, login, u);
	*ret_is_new = r == SP_ENOENT;
	if (r != SP_OK && r != SP_ENOENT)
		return api_store(&b->row, r, login);
	if (r == SP_OK && ((!api_is_self(&b->row, &u->id) && (r = api_scope(&b->row, b->s, &u->department_id)) != SP_OK) ||
	    (r = user_below(&b->row, b->s, u)) != SP_OK))
		return r;
	if (*ret_is_new)
		*u = (struct sp_store_user){ .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .epoch = 1, .os_uid = -1 };
	return SP_OK;
}

static enum sp_err
user_write(struct bulk_run *b, struct sp_store_user *u, const struct sp_store_user *before, int is_new, int *ret_changed)
{
	struct sp_buf was = { .max = CANONICAL_MAX }, is = { .max = CANONICAL_MAX };
	const char *reason = "your account was changed";

	if (is_new)
		return bulk_planned(b, sp_store_plan_user(b->plan, b->line, SP_STORE_DO_ADD, u));
	if (!SAME(user, before, u)) {
		(void)!bulk_same(&was, &is);
		return bulk_refuse(b, SP_EINVAL, "a value is not allowed");
	}
	if (bulk_same(&was, &is))
		return SP_OK;
	*ret_changed = 1;
	if (strcmp(before->login, u->login) != 0) {
		enum sp_err r;
		int was_n, is_n;

		if ((r = user_permissions(b->s, before->login, 0, &was_n)) != SP_OK || (r = user_permissions(b->s, u->login, 0, &is_n)) != SP_OK)
			return api_store(&b->row, r, "permissions");
		if (was_n + is_n > 0)
			return bulk_refuse(b, SP_ESTATE, "\"%s\" becomes \"%s\", and one of them has permissions (may_reveal, may_replay): root takes "
			    "them away first ('sallyport settings set may_....LOGIN \"\"')", before->login, u->login);
	}
	if (user_loses(before, u) || (u->state != before->state && u->state != SP_STORE_ACTIVE)) {
		enum sp_err r;

		u->epoch++;
		if (u->state != SP_STORE_ACTIVE)
			reason = "your account was disabled";
		if ((r = bulk_epoch_add(b, u, reason)) != SP_OK)
			return r;
	}
	return bulk_planned(b, sp_store_plan_user(b->plan, b->line, SP_STORE_DO_UPDATE, u));
}

/* Neither here nor in this file may there be one that differs only in case. */
static enum sp_err
login_is_new(struct bulk_run *b, const struct sp_store_user *u)
{
	char folded[sizeof(u->login)];
	size_t i;
	enum sp_err r;

	for (i = 0; u->login[i] != '\0'; i++)
		folded[i] = (char)(u->login[i] >= 'A' && u->login[i] <= 'Z' ? u->login[i] + 32 : u->login[i]);
	folded[i] = '\0';
	if ((r = user_login_free(&b->row, b->s, u->login)) != SP_OK)
		return r;
	return bulk_once(b, "login in any case", folded, &u->id);
}

enum sp_err
bulk_user(struct bulk_run *b)
{
	struct sp_store_user u, before;
	int is_new = 0, changed = 0;
	enum sp_err r;

	if ((r = user_find(b, &u, &is_new)) != SP_OK)
		return r;
	before = u;
	user_drop_unchanged(b, &u);
	if ((r = user_fields(&b->row, b->s, &u)) != SP_OK || (r = user_state(b, &u)) != SP_OK ||
	    (r = api_scope(&b->row, b->s, &u.department_id)) != SP_OK)
		return r;
	if (api_is_self(&b->row, &u.id) && (u.role != before.role || u.state != before.state))
		return api_fail(&b->row, SP_EDENIED, "nobody changes his own role or state");
	memset(u.login, 0, sizeof(u.login));
	if ((r = api_str(&b->row, "login", 1, u.login, sizeof(u.login))) != SP_OK)
		return r;
	if (is_new) {
		sp_uuid_make(&u.id);
		u.version = 1;
	}
	if ((is_new || strcmp(u.login, before.login) != 0) && (r = login_is_new(b, &u)) != SP_OK)
		return r;
	if ((r = bulk_once(b, "login", u.login, &u.id)) != SP_OK || (r = user_write(b, &u, &before, is_new, &changed)) != SP_OK ||
	    (r = keys_set(b, &u, is_new, &changed)) != SP_OK || (r = bulk_origin_set(b, SP_STORE_ORIGIN_USER, &u.id, is_new, &changed)) != SP_OK)
		return r;
	bulk_did(b, is_new ? BULK_CREATED : changed ? BULK_CHANGED : BULK_UNCHANGED, u.login);
	return SP_OK;
}

/* ---- members: what a list says against what is there ---- */

struct member_set {
	struct bulk_run	*b;
	struct sp_uuid	 have[1024], want[1024];
	size_t		 have_n, want_n;
	int64_t		 kind;			/* of members; 0: any */
};

static enum sp_err
member_want(struct member_set *m, const struct sp_uuid *id, const char *name)
{
	for (size_t i = 0; i < m->want_n; i++)
		if (sp_uuid_equal(&m->want[i], id))
			return api_fail(&m->b->row, SP_EINVAL, "\"%.200s\" is named twice", name);
	if (m->want_n == SP_NELEMS(m->want))
		return api_fail(&m->b->row, SP_ESIZE, "more than %zu members in one row", SP_NELEMS(m->want));
	m->want[m->want_n++] = *id;
	return SP_OK;
}

static int
member_have_id(const struct sp_uuid *id, void *arg)
{
	struct member_set *m = arg;

	if (m->have_n < SP_NELEMS(m->have))
		m->have[m->have_n++] = *id;
	return m->have_n == SP_NELEMS(m->have);
}

static int
member_have(const struct sp_store_member *x, void *arg)
{
	struct member_set *m = arg;

	return x->kind == m->kind ? member_have_id(&x->member_id, arg) : 0;
}

static int
among(const struct sp_uuid *list, size_t n, const struct sp_uuid *id)
{
	for (size_t i = 0; i < n; i++)
		if (sp_uuid_equal(&list[i], id))
			return 1;
	return 0;
}

typedef enum sp_err plan_member_fn(struct sp_store_plan *p, uint32_t line, enum sp_store_act act, const struct sp_store_member *m);

/* `around` is the group with wanted members (is_group), or the member with wanted groups. */
static enum sp_err
members_plan(struct member_set *m, const struct sp_uuid *around, int is_group, int64_t kind, plan_member_fn *plan, int *ret_changed)
{
	struct bulk_run *b = m->b;

	if (m->have_n == SP_NELEMS(m->have))
		return api_fail(&b->row, SP_ESIZE, "it has more members than one row can hold (%zu): change them one by one", SP_NELEMS(m->have));
	for (int add = 0; add < 2; add++) {
		const struct sp_uuid *from = add ? m->want : m->have, *other = add ? m->have : m->want;
		size_t n = add ? m->want_n : m->have_n, other_n = add ? m->have_n : m->want_n;

		for (size_t i = 0; i < n; i++) {
			struct sp_store_member x = { .kind = kind, .group_id = is_group ? *around : from[i],
			    .member_id = is_group ? from[i] : *around };
			enum sp_err r;

			if (among(other, other_n, &from[i]))
				continue;
			*ret_changed = 1;
			if ((r = bulk_planned(b, plan(b->later, b->line, add ? SP_STORE_DO_ADD : SP_STORE_DO_DELETE, &x))) != SP_OK)
				return r;
		}
	}
	return SP_OK;
}

/* ---- groups ---- */

/* Groups of the same file may name each other: their ids are given before. */
enum sp_err
bulk_groups_start(struct bulk_run *b, const json_t *row)
{
	const char *name = json_string_value(json_object_get(row, "name")), *kind = json_string_value(json_object_get(row, "kind"));
	int of_assets = kind != NULL && strcmp(kind, "assets") == 0;
	struct sp_store_group g;
	struct sp_store_asset_group ag;
	struct sp_uuid id;
	enum sp_err r;

	if (name == NULL || !sp_name_is_ok(name, SP_STORE_NAME_MAX))
		return SP_OK;		/* refused when it is its turn */
	r = of_assets ? sp_store_asset_group_by_name(b->s, name, &ag) : sp_store_group_by_name(b->s, name, &g);
	if (r != SP_ENOENT || bulk_find(b, of_assets ? "new-assets" : "new-users", name, NULL, NULL))
		return r == SP_ENOENT ? SP_OK : r;
	sp_uuid_make(&id);
	return bulk_once(b, of_assets ? "new-assets" : "new-users", name, &id);
}

static enum sp_err
user_members(struct bulk_run *b, const struct sp_uuid *group, int is_new, int *ret_changed)
{
	struct member_set *m = calloc(1, sizeof(*m));
	enum sp_err r = m != NULL ? SP_OK : api_fail(&b->row, SP_ENOMEM, "out of memory");

	for (int64_t kind = SP_STORE_SUBJECT_USER; kind <= SP_STORE_SUBJECT_GROUP && r == SP_OK; kind++) {
		const char *key = kind == SP_STORE_SUBJECT_USER ? "members" : "member_groups";
		json_t *list, *v;
		size_t i;

		*m = (struct member_set){ .b = b, .kind = kind };
		bulk_list(b, key, &list);
		if ((r = list_check(b, list, key)) != SP_OK || list == NULL)
			continue;
		if (!is_new && (r = api_store(&b->row, sp_store_group_members(b->s, group, member_have, m), "members")) != SP_OK)
			break;
		json_array_foreach(list, i, v) {
			const char *name = json_string_value(v);
			struct sp_store_user u = { 0 };
			struct sp_store_group g = { 0 };
			struct sp_uuid id = { 0 };

			if (kind == SP_STORE_SUBJECT_USER) {
				if (sp_store_user_by_login(b->s, name, &u) != SP_OK)
					r = api_fail(&b->row, SP_ENOENT, "there is no user \"%.200s\"", name);
				else if (!among(m->have, m->have_n, &u.id))
					r = api_scope(&b->row, b->s, &u.department_id);
				id = u.id;
			} else if (sp_store_group_by_name(b->s, name, &g) == SP_OK) {
				if (!among(m->have, m->have_n, &g.id))
					r = api_scope(&b->row, b->s, &g.department_id);
				id = g.id;
			} else if (!bulk_find(b, "new-users", name, &id, NULL)) {
				r = api_fail(&b->row, SP_ENOENT, "there is no group \"%.200s\"", name);
			}
			if (r != SP_OK || (r = member_want(m, &id, name)) != SP_OK)
				break;
		}
		if (r == SP_OK)
			r = members_plan(m, group, 1, kind, sp_store_plan_group_member, ret_changed);
	}
	free(m);
	return r;
}

static enum sp_err
group_of_users(struct bulk_run *b, const char *name)
{
	struct sp_buf was = { .max = CANONICAL_MAX }, is = { .max = CANONICAL_MAX };
	struct sp_store_group g = { 0 }, before;
	int is_new, changed = 0;
	enum sp_err r = sp_store_group_by_name(b->s, name, &g);

	if (r != SP_OK && r != SP_ENOENT)
		return api_store(&b->row, r, name);
	if ((is_new = r == SP_ENOENT)) {
		g = (struct sp_store_group){ .version = 1 };
		(void)sp_strlcpy(g.name, name, sizeof(g.name));
		if (!bulk_find(b, "new-users", name, &g.id, NULL))
			return api_fail(&b->row, SP_EINVAL, "that is not a name for a group");
	} else if ((r = api_scope(&b->row, b->s, &g.department_id)) != SP_OK) {
		return r;
	}
	before = g;
	if ((r = api_str(&b->row, "remark", 0, g.remark, sizeof(g.remark))) != SP_OK ||
	    (r = api_department(&b->row, b->s, "department", &g.department_id)) != SP_OK || (r = api_scope(&b->row, b->s, &g.department_id)) != SP_OK)
		return r;
	if (api_text(&b->row, "parent") != NULL && *api_text(&b->row, "parent") != '\0')
		return api_fail(&b->row, SP_EINVAL, "a group of users has members, not a parent");
	if (is_new) {
		r = sp_store_plan_group(b->plan, b->line, SP_STORE_DO_ADD, &g);
	} else if (!SAME(group, &before, &g)) {
		r = SP_EINVAL;
	} else if (!bulk_same(&was, &is)) {
		changed = 1;
		r = sp_store_plan_group(b->plan, b->line, SP_STORE_DO_UPDATE, &g);
	}
	sp_buf_release(&was);
	sp_buf_release(&is);
	if ((r = bulk_planned(b, r)) != SP_OK || (r = user_members(b, &g.id, is_new, &changed)) != SP_OK)
		return r;
	bulk_did(b, is_new ? BULK_CREATED : changed ? BULK_CHANGED : BULK_UNCHANGED, name);
	return SP_OK;
}

static enum sp_err
group_parent(struct bulk_run *b, struct sp_store_asset_group *g, int is_new)
{
	char name[SP_STORE_NAME_MAX + 1] = "";
	struct sp_store_asset_group p = { 0 };
	enum sp_err r;

	if (api_text(&b->row, "parent") == NULL)
		return SP_OK;
	if ((r = api_str(&b->row, "parent", 0, name, sizeof(name))) != SP_OK)
		return r;
	if (*name == '\0') {
		g->parent_id = (struct sp_uuid){ 0 };
		return SP_OK;
	}
	if (sp_store_asset_group_by_name(b->s, name, &p) == SP_OK) {
		if (!sp_uuid_equal(&p.id, &g->parent_id) && (r = api_scope(&b->row, b->s, &p.department_id)) != SP_OK)
			return r;
		if (is_new)
			g->department_id = p.department_id;
	} else if (!bulk_find(b, "new-assets", name, &p.id, NULL)) {
		return api_fail(&b->row, SP_ENOENT, "there is no asset group \"%s\"", name);
	}
	g->parent_id = p.id;
	return SP_OK;
}

/* New ones are added without a parent, which may come later in the file, and hung up when all are there. */
static enum sp_err
group_of_assets(struct bulk_run *b, const char *name)
{
	struct sp_buf was = { .max = CANONICAL_MAX }, is = { .max = CANONICAL_MAX };
	struct sp_store_asset_group g = { 0 }, before;
	int is_new, changed = 0;
	enum sp_err r = sp_store_asset_group_by_name(b->s, name, &g);

	if (r != SP_OK && r != SP_ENOENT)
		return api_store(&b->row, r, name);
	if ((is_new = r == SP_ENOENT)) {
		g = (struct sp_store_asset_group){ .version = 1 };
		(void)sp_strlcpy(g.name, name, sizeof(g.name));
		if (!bulk_find(b, "new-assets", name, &g.id, NULL))
			return api_fail(&b->row, SP_EINVAL, "that is not a name for a group");
	} else if ((r = api_scope(&b->row, b->s, &g.department_id)) != SP_OK) {
		return r;
	}
	before = g;
	if ((r = api_str(&b->row, "remark", 0, g.remark, sizeof(g.remark))) != SP_OK || (r = group_parent(b, &g, is_new)) != SP_OK ||
	    (r = api_department(&b->row, b->s, "department", &g.department_id)) != SP_OK || (r = api_scope(&b->row, b->s, &g.department_id)) != SP_OK)
		return r;
	if (json_array_size(json_object_get(b->row.params, "members")) > 0 || json_array_size(json_object_get(b->row.params, "member_groups")) > 0)
		return api_fail(&b->row, SP_EINVAL, "an asset group has no list of members: assets name their groups");
	if (is_new) {
		struct sp_store_asset_group first = g;

		first.parent_id = (struct sp_uuid){ 0 };
		if ((r = sp_store_plan_asset_group(b->plan, b->line, SP_STORE_DO_ADD, &first)) == SP_OK && !sp_uuid_is_null(&g.parent_id))
			r = sp_store_plan_asset_group(b->later, b->line, SP_STORE_DO_UPDATE, &g);
	} else if (!SAME(asset_group, &before, &g)) {
		r = SP_EINVAL;
	} else if (!bulk_same(&was, &is)) {
		changed = 1;
		r = sp_store_plan_asset_group(b->later, b->line, SP_STORE_DO_UPDATE, &g);
	}
	sp_buf_release(&was);
	sp_buf_release(&is);
	if ((r = bulk_planned(b, r)) != SP_OK)
		return r;
	bulk_did(b, is_new ? BULK_CREATED : changed ? BULK_CHANGED : BULK_UNCHANGED, name);
	return SP_OK;
}

enum sp_err
bulk_group(struct bulk_run *b)
{
	char name[SP_STORE_NAME_MAX + 1], kind[16] = "users";
	struct sp_uuid none = { 0 };
	enum sp_err r;

	if ((r = api_str(&b->row, "name", 1, name, sizeof(name))) != SP_OK || (r = api_str(&b->row, "kind", 0, kind, sizeof(kind))) != SP_OK)
		return r;
	if (strcmp(kind, "users") != 0 && strcmp(kind, "assets") != 0)
		return api_fail(&b->row, SP_EINVAL, "kind is users or assets");
	if ((r = bulk_once(b, kind, name, &none)) != SP_OK)
		return r;
	return *kind == 'u' ? group_of_users(b, name) : group_of_assets(b, name);
}

/* ---- assets ---- */

struct tag_set {
	struct bulk_run	*b;
	const json_t	*list;
	const struct sp_uuid *asset;
	uint64_t	 there[2];	/* of the first 128 */
	int		 changed;
	enum sp_err	 err;
};

static void
tag_split(const char *text, char *key, size_t size, const char **ret_value)
{
	size_t n = strcspn(text, "=");

	sp_snprintf(key, size, "%.*s", (int)n, text);
	*ret_value = text[n] == '=' ? text + n + 1 : "";
}

static int
tag_there(const char *key, const char *value, void *arg)
{
	struct tag_set *t = arg;
	char name[SP_STORE_NAME_MAX + 1];
	const char *v;
	int named = 0;

	for (size_t i = 0; i < json_array_size(t->list); i++) {
		tag_split(json_string_value(json_array_get(t->list, i)), name, sizeof(name), &v);
		if (strcmp(name, key) != 0)
			continue;
		named = 1;
		if (strcmp(v, value) == 0)
			t->there[i / 64] |= UINT64_C(1) << (i % 64);
	}
	if (named)
		return 0;
	t->changed = 1;
	return (t->err = bulk_planned(t->b, sp_store_plan_tag(t->b->later, t->b->line, t->asset, key, NULL))) != SP_OK;
}

static enum sp_err
tags_set(struct bulk_run *b, const struct sp_uuid *asset, int is_new, int *ret_changed)
{
	struct tag_set t = { .b = b, .asset = asset };
	enum sp_err r;
	json_t *list;

	bulk_list(b, "tags", &list);
	if ((r = list_check(b, list, "tags")) != SP_OK || list == NULL)
		return r;
	t.list = list;
	if (json_array_size(list) > 128)
		return api_fail(&b->row, SP_ESIZE, "more than 128 tags");
	if (!is_new && ((r = api_store(&b->row, sp_store_tags(b->s, asset, tag_there, &t), "tags")) != SP_OK || (r = t.err) != SP_OK))
		return r;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *text = json_string_value(json_array_get(list, i)), *value;
		char key[SP_STORE_NAME_MAX + 1];

		if (strlen(text) > SP_STORE_NAME_MAX)
			return api_fail(&b->row, SP_ESIZE, "a tag is too long");
		tag_split(text, key, sizeof(key), &value);
		if (*key == '\0')
			return api_fail(&b->row, SP_EINVAL, "a tag is a word or word=value");
		if (t.there[i / 64] & UINT64_C(1) << (i % 64))
			continue;
		t.changed = 1;
		if ((r = bulk_planned(b, sp_store_plan_tag(b->later, b->line, asset, key, value))) != SP_OK)
			return r;
	}
	*ret_changed |= t.changed;
	return SP_OK;
}

static enum sp_err
asset_groups_set(struct bulk_run *b, const struct sp_uuid *asset, int is_new, int *ret_changed)
{
	struct member_set *m;
	enum sp_err r;
	json_t *list, *v;
	size_t i;

	bulk_list(b, "groups", &list);
	if ((r = list_check(b, list, "groups")) != SP_OK || list == NULL)
		return r;
	if ((m = calloc(1, sizeof(*m))) == NULL)
		return api_fail(&b->row, SP_ENOMEM, "out of memory");
	m->b = b;
	if (!is_new)
		r = api_store(&b->row, sp_store_asset_parents(b->s, asset, member_have_id, m), "groups");
	json_array_foreach(list, i, v) {
		struct sp_store_asset_group g;

		if (r == SP_OK && sp_store_asset_group_by_name(b->s, json_string_value(v), &g) != SP_OK)
			r = api_fail(&b->row, SP_ENOENT, "there is no asset group \"%.200s\"", json_string_value(v));
		else if (r == SP_OK && !among(m->have, m->have_n, &g.id))
			r = api_scope(&b->row, b->s, &g.department_id);
		if (r == SP_OK)
			r = member_want(m, &g.id, g.name);
	}
	if (r == SP_OK)
		r = members_plan(m, asset, 0, SP_STORE_OBJECT_ASSET, sp_store_plan_asset_member, ret_changed);
	free(m);
	return r;
}

static enum sp_err
asset_find(struct bulk_run *b, struct sp_store_asset *a, char name[SP_STORE_NAME_MAX + 1], int *ret_is_new)
{
	struct sp_store_origin o;
	struct sp_uuid id = { 0 };
	enum sp_err r;

	if ((r = api_str(&b->row, "name", 1, name, SP_STORE_NAME_MAX + 1)) != SP_OK || (r = bulk_origin(b, SP_STORE_ORIGIN_ASSET, &id)) != SP_OK)
		return r;
	if (!sp_name_is_ok(name, 128))
		return api_fail(&b->row, SP_EINVAL, "the name of an asset has no blanks at its ends, none of @ # %% : / \\ quotes, "
		    "and does not begin with - or .");
	r = !sp_uuid_is_null(&id) ? sp_store_asset_get(b->s, &id, a) : sp_store_asset_by_name(b->s, name, a);
	*ret_is_new = r == SP_ENOENT;
	if (r != SP_OK && r != SP_ENOENT)
		return api_store(&b->row, r, name);
	if (r == SP_OK && (r = api_scope(&b->row, b->s, &a->department_id)) != SP_OK)
		return r;
	if (*ret_is_new)
		*a = (struct sp_store_asset){ .port = 22, .state = SP_STORE_ACTIVE };
	else if (a->state == SP_STORE_DISABLED && *b->o.source != '\0' && api_text(&b->row, "state") == NULL &&
	    sp_store_origin_get(b->s, SP_STORE_ORIGIN_ASSET, &a->id, &o) == SP_OK && o.gone_us != 0)
		json_object_set_new(b->row.params, "state", json_string("active"));	/* its list took it away, its list brings it back */
	return SP_OK;
}

enum sp_err
bulk_asset(struct bulk_run *b)
{
	struct sp_buf was = { .max = CANONICAL_MAX }, is = { .max = CANONICAL_MAX };
	struct sp_store_asset a, before;
	char name[SP_STORE_NAME_MAX + 1];
	int is_new = 0, changed = 0;
	enum sp_err r;

	if ((r = asset_find(b, &a, name, &is_new)) != SP_OK || (r = bulk_once(b, "asset", name, &a.id)) != SP_OK)
		return r;
	before = a;
	memset(a.name, 0, sizeof(a.name));
	(void)sp_strlcpy(a.name, name, sizeof(a.name));
	if ((r = asset_fields(&b->row, b->s, &a)) != SP_OK || (r = api_scope(&b->row, b->s, &a.department_id)) != SP_OK)
		return r;
	if (*a.address == '\0')
		return api_fail(&b->row, SP_EINVAL, "address is missing");
	if (is_new) {
		sp_uuid_make(&a.id);
		a.version = 1;
		r = sp_store_plan_asset(b->plan, b->line, SP_STORE_DO_ADD, &a);
	} else if (!SAME(asset, &before, &a)) {
		r = SP_EINVAL;
	} else if (!bulk_same(&was, &is)) {
		changed = 1;
		r = sp_store_plan_asset(b->plan, b->line, SP_STORE_DO_UPDATE, &a);
	}
	sp_buf_release(&was);
	sp_buf_release(&is);
	if ((r = bulk_planned(b, r)) != SP_OK || (r = tags_set(b, &a.id, is_new, &changed)) != SP_OK ||
	    (r = asset_groups_set(b, &a.id, is_new, &changed)) != SP_OK ||
	    (r = bulk_origin_set(b, SP_STORE_ORIGIN_ASSET, &a.id, is_new, &changed)) != SP_OK)
		return r;
	bulk_did(b, is_new ? BULK_CREATED : changed ? BULK_CHANGED : BULK_UNCHANGED, name);
	return SP_OK;
}

/* ---- accounts ---- */

static enum sp_err
account_fields(struct bulk_run *b, struct sp_store_account *a, int is_new)
{
	char kind[16] = "", state[16] = "", ca[SP_STORE_NAME_MAX + 1] = "";
	int64_t k;
	enum sp_err r;

	if ((r = api_str(&b->row, "login", 0, a->login, sizeof(a->login))) != SP_OK || (r = api_str(&b->row, "kind", 0, kind, sizeof(kind))) != SP_OK ||
	    (r = api_str(&b->row, "state", 0, state, sizeof(state))) != SP_OK || (r = api_str(&b->row, "ca", 0, ca, sizeof(ca))) != SP_OK ||
	    (r = account_principals(&b->row, a)) != SP_OK)
		return r;
	if (*kind != '\0') {
		if ((k = word(kinds, SP_NELEMS(kinds), kind)) == 0)
			return api_fail(&b->row, SP_EINVAL, "kind is stored, same or typed");
		if (!is_new && k != a->kind)
			return api_fail(&b->row, SP_EINVAL, "the kind of an account does not change: delete it first");
		a->kind = k;
	}
	if (*state != '\0') {
		if (strcmp(state, "active") != 0 && strcmp(state, "disabled") != 0)
			return api_fail(&b->row, SP_EINVAL, "state is active or disabled");
		a->state = *state == 'a' ? SP_STORE_ACTIVE : SP_STORE_DISABLED;
	}
	if (*ca != '\0') {
		if (a->kind != SP_STORE_ACCOUNT_STORED)
			return api_fail(&b->row, SP_EINVAL, "only a stored account has an authority");
		if ((r = account_ca(&b->row, b->s, ca, &a->secret_id)) != SP_OK)
			return r;
	}
	if (*a->login == '\0' && a->kind == SP_STORE_ACCOUNT_STORED)
		(void)sp_strlcpy(a->login, a->name, sizeof(a->login));
	return SP_OK;
}

/* The secret of an account that is there stays: what is sealed cannot be compared, and the same file twice changes nothing. */
static enum sp_err
account_secret_of_row(struct bulk_run *b, struct sp_store_account *a, const char *asset, int is_new)
{
	struct sp_store_secret *k = malloc(sizeof(*k));
	enum sp_err r = k != NULL ? bulk_secret(b, k) : api_fail(&b->row, SP_ENOMEM, "out of memory");

	if (r == SP_OK && is_new) {
		if (a->kind != SP_STORE_ACCOUNT_STORED || !sp_uuid_is_null(&a->secret_id)) {
			r = api_fail(&b->row, SP_EINVAL, "a secret goes with a stored account without an authority");
		} else {
			sp_snprintf(k->name, sizeof(k->name), "%.100s@%.100s", a->name, asset);
			k->version = 1;
			a->secret_id = k->id;
			r = bulk_planned(b, sp_store_plan_secret(b->plan, b->line, SP_STORE_DO_ADD, k));
		}
	} else if (r == SP_ENOENT) {
		r = SP_OK;
	}
	if (k != NULL)
		explicit_bzero(k, sizeof(*k));
	free(k);
	if (r == SP_OK && a->kind == SP_STORE_ACCOUNT_STORED && sp_uuid_is_null(&a->secret_id))
		r = api_fail(&b->row, SP_EINVAL, "a stored account needs a secret: name a ca, or bring passwords or keys with --secrets");
	return r;
}

enum sp_err
bulk_account(struct bulk_run *b)
{
	struct sp_buf was = { .max = CANONICAL_MAX }, is = { .max = CANONICAL_MAX };
	struct sp_store_asset asset;
	struct sp_store_account a = { 0 }, before;
	char name[SP_STORE_NAME_MAX + 1], both[SP_STORE_NAME_MAX * 2 + 2];
	struct sp_uuid none = { 0 };
	int is_new, changed = 0;
	enum sp_err r;

	if ((r = api_asset(&b->row, b->s, "asset", &asset)) != SP_OK || (r = api_str(&b->row, "name", 1, name, sizeof(name))) != SP_OK)
		return r;
	sp_snprintf(both, sizeof(both), "%s@%s", name, asset.name);
	if ((r = bulk_once(b, "account", both, &none)) != SP_OK)
		return r;
	if (!sp_name_is_ok(name, 128) || strpbrk(name, ",*") != NULL)
		return api_fail(&b->row, SP_EINVAL, "\"%s\" is not a name for an account", name);
	r = sp_store_account_by_name(b->s, &asset.id, name, &a);
	if (r != SP_OK && r != SP_ENOENT)
		return api_store(&b->row, r, both);
	if ((is_new = r == SP_ENOENT)) {
		a = (struct sp_store_account){ .asset_id = asset.id, .kind = SP_STORE_ACCOUNT_STORED, .state = SP_STORE_ACTIVE, .version = 1 };
		sp_uuid_make(&a.id);
		(void)sp_strlcpy(a.name, name, sizeof(a.name));
	}
	before = a;
	if ((r = account_fields(b, &a, is_new)) != SP_OK || (r = account_secret_of_row(b, &a, asset.name, is_new)) != SP_OK)
		return r;
	if (is_new) {
		r = sp_store_plan_account(b->later, b->line, SP_STORE_DO_ADD, &a);
	} else if (!SAME(account, &before, &a)) {
		r = SP_EINVAL;
	} else if (!bulk_same(&was, &is)) {
		changed = 1;
		r = sp_store_plan_account(b->later, b->line, SP_STORE_DO_UPDATE, &a);
	}
	sp_buf_release(&was);
	sp_buf_release(&is);
	if ((r = bulk_planned(b, r)) != SP_OK)
		return r;
	bulk_did(b, is_new ? BULK_CREATED : changed ? BULK_CHANGED : BULK_UNCHANGED, both);
	return SP_OK;
}

/* ---- what its source does not list any more ---- */

struct pruning {
	struct bulk_run	*b;
	uint64_t	 all, gone;
	enum sp_err	 err;
	struct sp_uuid	 first;
};

static enum sp_err
prune_asset(struct bulk_run *b, struct sp_store_origin *o, int *ret)
{
	struct sp_store_asset a;
	enum sp_err r = sp_store_asset_get(b->s, &o->id, &a);

	if (r != SP_OK || (r = api_scope(&b->row, b->s, &a.department_id)) != SP_OK)
		return r;
	if (!b->o.erase && a.state != SP_STORE_ACTIVE)
		return SP_OK;
	*ret = 1;
	bulk_did(b, b->o.erase ? BULK_DELETED : BULK_DISABLED, a.name);
	if (b->o.erase)
		return bulk_planned(b, sp_store_plan_asset(b->plan, 0, SP_STORE_DO_DELETE, &a));
	a.state = SP_STORE_DISABLED;
	o->gone_us = sp_wall_us();
	if ((r = bulk_planned(b, sp_store_plan_asset(b->plan, 0, SP_STORE_DO_UPDATE, &a))) != SP_OK)
		return r;
	return bulk_planned(b, sp_store_plan_origin(b->later, 0, o));
}

static enum sp_err
prune_user(struct bulk_run *b, struct sp_store_origin *o, int *ret)
{
	struct sp_store_user u;
	enum sp_err r = sp_store_user_get(b->s, &o->id, &u);

	if (r != SP_OK || (r = api_scope(&b->row, b->s, &u.department_id)) != SP_OK || (r = user_below(&b->row, b->s, &u)) != SP_OK)
		return r;
	if (!b->o.erase && u.state != SP_STORE_ACTIVE)
		return SP_OK;
	if (api_is_self(&b->row, &u.id))
		return api_fail(&b->row, SP_EDENIED, "nobody disables himself: \"%s\" is not in the list", u.login);
	*ret = 1;
	bulk_did(b, b->o.erase ? BULK_DELETED : BULK_DISABLED, u.login);
	u.state = SP_STORE_DISABLED;
	u.epoch = b->o.erase ? INT64_MAX : u.epoch + 1;
	if ((r = bulk_epoch_add(b, &u, b->o.erase ? "your account was deleted" : "your account was disabled")) != SP_OK)
		return r;
	if (b->o.erase)
		return bulk_planned(b, sp_store_plan_user(b->plan, 0, SP_STORE_DO_DELETE, &u));
	o->gone_us = sp_wall_us();
	if ((r = bulk_planned(b, sp_store_plan_user(b->plan, 0, SP_STORE_DO_UPDATE, &u))) != SP_OK)
		return r;
	return bulk_planned(b, sp_store_plan_origin(b->later, 0, o));
}

static int
prune_one(const struct sp_store_origin *found, void *arg)
{
	struct pruning *p = arg;
	struct sp_store_origin o = *found;
	char id[SP_UUID_SIZE];
	int gone = 0;

	if (bulk_find(p->b, "id", sp_uuid_text(&o.id, id), NULL, NULL)) {
		p->all++;
		return 0;
	}
	p->err = o.kind == SP_STORE_ORIGIN_ASSET ? prune_asset(p->b, &o, &gone) : prune_user(p->b, &o, &gone);
	if (p->err == SP_ENOENT)
		p->err = SP_OK;
	p->gone += (uint64_t)gone;
	p->all += (uint64_t)gone;	/* those that went before do not count */
	return p->err != SP_OK;
}

enum sp_err
bulk_prune(struct bulk_run *b)
{
	struct pruning p = { .b = b };
	int users = strcmp(b->o.kind->name, "users") == 0;
	enum sp_err r;

	if (!b->o.prune)
		return SP_OK;
	b->line = 0;
	r = sp_store_origins(b->s, users ? SP_STORE_ORIGIN_USER : SP_STORE_ORIGIN_ASSET, b->o.source, prune_one, &p);
	if (r == SP_OK && (r = p.err) == SP_OK)
		r = bulk_guard(b, b->o.kind->name, p.gone, p.all);
	return r;
}
