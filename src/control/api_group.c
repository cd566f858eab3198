/* src/control/api_group.c - groups of users and groups of assets, and who is in them. */
#include "control/api.h"

#include <string.h>

#include "control/methods.h"

struct rows {
	struct sp_store	*s;
	json_t		*out;
};

/* ---- groups of users ---- */

struct members {
	struct sp_store	*s;
	json_t		*names;
};

static int
member_name(const struct sp_store_member *m, void *arg)
{
	struct members *k = arg;
	struct sp_store_user u;
	struct sp_store_group g;

	if (m->kind == SP_STORE_SUBJECT_USER && sp_store_user_get(k->s, &m->member_id, &u) == SP_OK)
		json_array_append_new(k->names, json_string(u.login));
	else if (m->kind == SP_STORE_SUBJECT_GROUP && sp_store_group_get(k->s, &m->member_id, &g) == SP_OK)
		json_array_append_new(k->names, json_pack("{s:s}", "group", g.name));
	return 0;
}

static int
member_count(const struct sp_store_member *m, void *arg)
{
	(void)m;
	++*(json_int_t *)arg;
	return 0;
}

static json_t *
group_json(struct sp_store *s, const struct sp_store_group *g)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:o}", "id", api_id(&g->id), "name", g->name, "remark", g->remark, "created",
	    api_at(g->created_us));

	api_department_name(s, &g->department_id, o);
	return o;
}

static int
group_row(const struct sp_store_group *g, void *arg)
{
	struct rows *r = arg;
	json_t *o = group_json(r->s, g);
	json_int_t n = 0;

	if (sp_store_group_members(r->s, &g->id, member_count, &n) == SP_OK)
		json_object_set_new(o, "members_n", json_integer(n));
	json_array_append_new(r->out, o);
	return 0;
}

void
group_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_group g = { 0 };

	if (api_str(c, "name", 1, g.name, sizeof(g.name)) != SP_OK || api_str(c, "remark", 0, g.remark, sizeof(g.remark)) != SP_OK ||
	    api_department(c, s, "department", &g.department_id) != SP_OK || api_scope(c, s, &g.department_id) != SP_OK ||
	    api_store(c, sp_store_group_add(s, &g), g.name) != SP_OK)
		return;
	c->object = g.id;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
	c->out = group_json(s, &g);
}

void
group_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { s, c->out = json_array() };
	struct sp_store_query q = { .department_id = c->caller.role_department_id };
	enum sp_err e;

	API_PAGES(c, q, json_array_size(c->out), e, sp_store_group_list(s, &q, group_row, &r));
	(void)api_store(c, e, "groups");
}

void
group_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_group g;
	struct members m = { s, NULL };

	if (api_group(c, s, "name", &g) != SP_OK)
		return;
	c->out = group_json(s, &g);
	m.names = json_array();
	if (api_store(c, sp_store_group_members(s, &g.id, member_name, &m), g.name) == SP_OK)
		json_object_set(c->out, "members", m.names);
	json_decref(m.names);
}

void
group_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_group g;

	if (api_group(c, s, "name", &g) != SP_OK || api_store(c, sp_store_group_delete(s, &g.id, g.version), g.name) != SP_OK)
		return;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
	c->out = group_json(s, &g);
}

static enum sp_err
group_member(struct api_call *c, struct sp_store *s, struct sp_store_group *g, struct sp_store_member *m)
{
	struct sp_store_user u;
	struct sp_store_group inside;
	enum sp_err r;

	if ((json_object_get(c->params, "user") != NULL) == (json_object_get(c->params, "group") != NULL))
		return api_fail(c, SP_EUSAGE, "name one member: user or group");
	if (json_object_get(c->params, "user") != NULL) {
		if ((r = api_user(c, s, "user", &u)) != SP_OK)
			return r;
		m->member_id = u.id;
		m->kind = SP_STORE_SUBJECT_USER;
	} else {
		if ((r = api_group(c, s, "group", &inside)) != SP_OK)
			return r;
		m->member_id = inside.id;
		m->kind = SP_STORE_SUBJECT_GROUP;
		api_more(c, "member_group", json_string(inside.name));
	}
	if ((r = api_group(c, s, "name", g)) != SP_OK)
		return r;
	m->group_id = g->id;
	(void)sp_strlcpy(c->what, g->name, sizeof(c->what));
	c->rejudge = 1;
	c->out = json_pack("{s:s}", "name", g->name);
	return SP_OK;
}

void
group_member_add(struct api_call *c, struct sp_store *s)
{
	struct sp_store_group g;
	struct sp_store_member m = { 0 };
	enum sp_err r;

	if (group_member(c, s, &g, &m) != SP_OK)
		return;
	if ((r = sp_store_group_member_add(s, &m)) == SP_EINVAL)
		(void)api_fail(c, r, "%s: a group cannot be in itself, and no deeper than %d levels", g.name, SP_STORE_DEPTH_MAX);
	else
		(void)api_store(c, r, g.name);
}

void
group_member_remove(struct api_call *c, struct sp_store *s)
{
	struct sp_store_group g;
	struct sp_store_member m = { 0 };

	if (group_member(c, s, &g, &m) == SP_OK)
		(void)api_store(c, sp_store_group_member_delete(s, &g.id, &m.member_id), g.name);
}

/* ---- groups of assets ---- */

static json_t *
asset_group_json(struct sp_store *s, const struct sp_store_asset_group *g)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:o}", "id", api_id(&g->id), "name", g->name, "remark", g->remark, "created",
	    api_at(g->created_us));
	struct sp_store_asset_group parent;

	api_department_name(s, &g->department_id, o);
	if (!sp_uuid_is_null(&g->parent_id) && sp_store_asset_group_get(s, &g->parent_id, &parent) == SP_OK)
		json_object_set_new(o, "parent", json_string(parent.name));
	else
		json_object_set_new(o, "parent", json_null());
	return o;
}

static int
asset_group_row(const struct sp_store_asset_group *g, void *arg)
{
	struct rows *r = arg;
	json_t *o = asset_group_json(r->s, g);
	json_int_t n = 0;

	if (sp_store_asset_members(r->s, &g->id, member_count, &n) == SP_OK)
		json_object_set_new(o, "assets_n", json_integer(n));
	json_array_append_new(r->out, o);
	return 0;
}

void
asset_group_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset_group g = { 0 }, parent;

	if (json_object_get(c->params, "parent") != NULL) {
		if (api_asset_group(c, s, "parent", &parent) != SP_OK)
			return;
		g.parent_id = parent.id;
		g.department_id = parent.department_id;
	}
	if (api_str(c, "name", 1, g.name, sizeof(g.name)) != SP_OK || api_str(c, "remark", 0, g.remark, sizeof(g.remark)) != SP_OK ||
	    api_department(c, s, "department", &g.department_id) != SP_OK || api_scope(c, s, &g.department_id) != SP_OK ||
	    api_store(c, sp_store_asset_group_add(s, &g), g.name) != SP_OK)
		return;
	c->object = g.id;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
	c->out = asset_group_json(s, &g);
}

void
asset_group_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { s, c->out = json_array() };
	struct sp_store_query q = { .department_id = c->caller.role_department_id };
	enum sp_err e;

	API_PAGES(c, q, json_array_size(c->out), e, sp_store_asset_group_list(s, &q, asset_group_row, &r));
	(void)api_store(c, e, "asset groups");
}

void
asset_group_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset_group g;

	if (api_asset_group(c, s, "name", &g) != SP_OK ||
	    api_store(c, sp_store_asset_group_delete(s, &g.id, g.version), g.name) != SP_OK)
		return;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, g.name, sizeof(c->what));
	c->out = json_pack("{s:s}", "name", g.name);
}

static enum sp_err
asset_member(struct api_call *c, struct sp_store *s, struct sp_store_asset_group *g, struct sp_store_asset *a)
{
	enum sp_err r;

	if ((r = api_asset_group(c, s, "name", g)) != SP_OK || (r = api_asset(c, s, "asset", a)) != SP_OK)
		return r;
	(void)sp_strlcpy(c->what, g->name, sizeof(c->what));
	api_more(c, "asset_name", json_string(a->name));
	c->rejudge = 1;
	c->out = json_pack("{s:s, s:s}", "name", g->name, "asset", a->name);
	return SP_OK;
}

void
asset_member_add(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset_group g;
	struct sp_store_asset a;
	struct sp_store_member m = { .kind = SP_STORE_OBJECT_ASSET };

	if (asset_member(c, s, &g, &a) != SP_OK)
		return;
	m.group_id = g.id;
	m.member_id = a.id;
	(void)api_store(c, sp_store_asset_member_add(s, &m), a.name);
}

void
asset_member_remove(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset_group g;
	struct sp_store_asset a;

	if (asset_member(c, s, &g, &a) == SP_OK)
		(void)api_store(c, sp_store_asset_member_delete(s, &g.id, &a.id), a.name);
}
