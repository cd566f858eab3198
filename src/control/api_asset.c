/* src/control/api_asset.c - assets and their pinned host keys. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "control/claim.h"
#include "control/methods.h"
#include "control/zone.h"
#include "crypto/hash.h"
#include "wire/sshkey.h"

static const char *const states[] = { "", "active", "disabled", "expired" };

struct rows {
	struct sp_store	*s;
	json_t		*out;
	int		 whole;
};

static int
tag_add(const char *key, const char *value, void *arg)
{
	char t[SP_STORE_TEXT_MAX + 1];

	sp_snprintf(t, sizeof(t), *value ? "%s=%s" : "%s", key, value);
	json_array_append_new(arg, json_string(t));
	return 0;
}

static int
group_add(const struct sp_store_asset_group *g, void *arg)
{
	json_array_append_new(arg, json_string(g->name));
	return 0;
}

static json_t *
asset_json(struct sp_store *s, const struct sp_store_asset *a, int whole)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:I, s:s, s:s, s:s, s:o}", "id", api_id(&a->id), "name", a->name, "address",
	    a->address, "port", (json_int_t)a->port, "platform", a->platform, "remark", a->remark, "state",
	    states[a->state & 3], "created", api_at(a->created_us));
	struct sp_store_zone z;
	json_t *tags, *groups;
	struct sp_store_user owner;

	api_department_name(s, &a->department_id, o);
	if (!sp_uuid_is_null(&a->owner_id) && sp_store_user_get(s, &a->owner_id, &owner) == SP_OK)
		json_object_set_new(o, "owner", json_string(owner.login));
	if (!sp_uuid_is_null(&a->zone_id) && sp_store_zone_get(s, &a->zone_id, &z) == SP_OK)
		json_object_set_new(o, "zone", json_string(z.name));
	if (!whole)
		return o;
	tags = json_array();
	groups = json_array();
	if (sp_store_tags(s, &a->id, tag_add, tags) == SP_OK)
		json_object_set(o, "tags", tags);
	if (sp_store_groups_of_asset(s, &a->id, group_add, groups) == SP_OK)
		json_object_set(o, "groups", groups);
	json_decref(tags);
	json_decref(groups);
	return o;
}

static int
asset_row(const struct sp_store_asset *a, void *arg)
{
	struct rows *r = arg;

	json_array_append_new(r->out, asset_json(r->s, a, 0));
	return 0;
}

/* Whoever names an address in a zone reaches it with the credential of that zone's jump server. */
static enum sp_err
asset_zone(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a)
{
	struct sp_store_zone z;
	struct sp_store_asset by;
	char why[600] = "";
	enum sp_err r;

	if (sp_uuid_is_null(&a->zone_id) || (json_object_get(c->params, "zone") == NULL &&
	    json_object_get(c->params, "address") == NULL && json_object_get(c->params, "port") == NULL))
		return SP_OK;
	if ((r = sp_store_zone_get(s, &a->zone_id, &z)) != SP_OK)
		return api_store(c, r, "the zone");
	if (sp_uuid_is_null(&z.jump_asset_id))
		return SP_OK;
	if ((r = sp_store_asset_get(s, &z.jump_asset_id, &by)) != SP_OK)
		return api_store(c, r, "the jump server of the zone");
	if (!api_in_scope(c, s, &by.department_id))
		return api_fail(c, SP_EACCES, "the jump server of zone %s belongs to another department than the one that you administer", z.name);
	r = zone_check_asset(s, &z.id, &a->id, why, sizeof(why));
	return r == SP_OK ? r : api_fail(c, r, "%s", *why ? why : sp_err_text(r));
}

enum sp_err
asset_fields(struct api_call *c, struct sp_store *s, struct sp_store_asset *a)
{
	char zone[SP_STORE_NAME_MAX + 1] = "", state[16] = "", owner[SP_STORE_LOGIN_MAX + 1] = "";
	struct sp_store_user u = { 0 };
	struct sp_store_asset_claim claim;
	struct sp_config conf;
	struct sp_store_zone z;
	enum sp_err r;

	if ((r = api_str(c, "address", 0, a->address, sizeof(a->address))) != SP_OK ||
	    (r = api_int(c, "port", 1, 65535, &a->port)) != SP_OK ||
	    (r = api_str(c, "platform", 0, a->platform, sizeof(a->platform))) != SP_OK ||
	    (r = api_str(c, "remark", 0, a->remark, sizeof(a->remark))) != SP_OK ||
	    (r = api_department(c, s, "department", &a->department_id)) != SP_OK ||
	    (r = api_str(c, "state", 0, state, sizeof(state))) != SP_OK ||
	    (r = api_str(c, "owner", 0, owner, sizeof(owner))) != SP_OK ||
	    (r = api_str(c, "zone", 0, zone, sizeof(zone))) != SP_OK)
		return r;
	if (*a->address != '\0' && api_text(c, "address") != NULL && !sp_host_is_ok(a->address))
		return api_fail(c, SP_EINVAL, "the address is neither a host name nor an IP address");
	if (*owner != '\0' && sp_store_user_by_login(s, owner, &u) != SP_OK)
		return api_fail(c, SP_ENOENT, "there is no user \"%s\"", owner);
	if (api_text(c, "owner") != NULL)
		a->owner_id = u.id;
	if (*state != '\0') {
		if (strcmp(state, "active") != 0 && strcmp(state, "disabled") != 0)
			return api_fail(c, SP_EINVAL, "state is active or disabled");
		if (*state == 'a' && claim_pending(s, a, &claim) == SP_OK)
			return api_fail(c, SP_ESTATE, "%s is claimed by a user: 'sallyport asset confirm' or 'asset reject' decides that", a->name);
		a->state = *state == 'a' ? SP_STORE_ACTIVE : SP_STORE_DISABLED;
		c->rejudge = 1;
	}
	ctl_conf_copy(c->ctl, &conf);
	if (inner_is_bastion(&conf, a->address, (uint32_t)a->port) || strcasecmp(a->name, conf.bastion_name) == 0)
		return api_fail(c, SP_EDENIED, "the bastion itself is never an asset: name another address, port or name");
	if (*zone != '\0') {
		if ((r = sp_store_zone_by_name(s, zone, &z)) != SP_OK)
			return api_fail(c, SP_ENOENT, "there is no zone \"%s\"", zone);
		a->zone_id = z.id;
	} else if (json_object_get(c->params, "zone") != NULL) {
		a->zone_id = (struct sp_uuid){ 0 };
	}
	return asset_zone(c, s, a);
}

/* Tags and groups of the call, after the row is there. */
static enum sp_err
asset_extras(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a)
{
	size_t i;
	json_t *v;
	enum sp_err r;

	json_array_foreach(json_object_get(c->params, "tags"), i, v) {
		char key[SP_STORE_NAME_MAX + 1], *eq;
		const char *t = json_string_value(v);

		if (t == NULL || !sp_text_is_plain(t, strlen(t)) || sp_strlcpy(key, t, sizeof(key)) != 0)
			return api_fail(c, SP_EINVAL, "a tag is a word or word=value");
		if ((eq = strchr(key, '=')) != NULL)
			*eq++ = '\0';
		if ((r = api_store(c, sp_store_tag_set(s, &a->id, key, eq != NULL ? eq : ""), "the tag")) != SP_OK)
			return r;
	}
	json_array_foreach(json_object_get(c->params, "groups"), i, v) {
		struct sp_store_asset_group g;
		struct sp_store_member m = { .member_id = a->id, .kind = SP_STORE_OBJECT_ASSET };
		const char *t = json_string_value(v);

		if (t == NULL || sp_store_asset_group_by_name(s, t, &g) != SP_OK)
			return api_fail(c, SP_ENOENT, "there is no asset group \"%.200s\"", t != NULL ? t : "");
		if ((r = api_scope(c, s, &g.department_id)) != SP_OK)
			return r;
		m.group_id = g.id;
		if ((r = sp_store_asset_member_add(s, &m)) != SP_OK && r != SP_EEXIST)
			return api_store(c, r, g.name);
	}
	return SP_OK;
}

void
asset_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a = { .port = 22, .state = SP_STORE_ACTIVE };

	if (api_str(c, "name", 1, a.name, sizeof(a.name)) != SP_OK || asset_fields(c, s, &a) != SP_OK ||
	    api_scope(c, s, &a.department_id) != SP_OK)
		return;
	if (!sp_name_is_ok(a.name, 128)) {
		(void)api_fail(c, SP_EINVAL, "the name of an asset has no blanks at its ends, none of @ # %% : / \\ quotes, "
		    "and does not begin with - or .");
		return;
	}
	if (*a.address == '\0') {
		(void)api_fail(c, SP_EINVAL, "address is missing");
		return;
	}
	if (api_store(c, sp_store_asset_add(s, &a), a.name) != SP_OK)
		return;
	c->asset = a.id;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	if (asset_extras(c, s, &a) == SP_OK)
		c->out = asset_json(s, &a, 1);
}

void
asset_list(struct api_call *c, struct sp_store *s)
{
	struct rows r = { s, c->out = json_array(), 0 };
	char text[256] = "";
	struct sp_store_query q = { .text = text, .department_id = c->caller.role_department_id };
	enum sp_err e;

	if (api_str(c, "text", 0, text, sizeof(text)) != SP_OK)
		return;
	API_PAGES(c, q, json_array_size(c->out), e, sp_store_asset_list(s, &q, asset_row, &r));
	(void)api_store(c, e, "assets");
}

enum sp_err
asset_owned_or(struct api_call *c, struct sp_store *s, const char *key, int64_t role, struct sp_store_asset *ret, int *ret_owner)
{
	char text[SP_STORE_NAME_MAX + 1];
	struct sp_store_asset a;
	struct sp_uuid id;
	enum sp_err r = api_str(c, key, 1, text, sizeof(text));

	if (r != SP_OK)
		return r;
	if ((r = sp_store_asset_by_name(s, text, &a)) != SP_OK && sp_uuid_parse(text, &id) == SP_OK)
		r = sp_store_asset_get(s, &id, &a);
	if (r == SP_OK && api_is_self(c, &a.owner_id) && (c->role < role || !api_in_scope(c, s, &a.department_id))) {
		c->asset = a.id;
		*ret = a;
		*ret_owner = 1;
		return SP_OK;
	}
	if (c->role < role)
		return api_fail(c, SP_EACCES, "there is no asset \"%s\" of yours", text);
	*ret_owner = 0;
	return api_asset(c, s, key, ret);
}

void
asset_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a;
	int owner;

	if (asset_owned_or(c, s, "name", SP_STORE_ROLE_AUDITOR, &a, &owner) == SP_OK)
		c->out = asset_json(s, &a, 1);
}

/* An owner describes his server. Where it is, whose it is and who comes to it is for administrators. */
static enum sp_err
asset_owner_update(struct api_call *c, struct sp_store *s, struct sp_store_asset *a)
{
	static const char *const his[] = { "name", "remark", "tags" };
	const char *key;
	json_t *v;
	enum sp_err r;

	if (a->state != SP_STORE_ACTIVE)
		return api_fail(c, SP_EACCES, "%s is not enabled", a->name);
	json_object_foreach(c->params, key, v) {
		size_t i = 0;

		while (i < SP_NELEMS(his) && strcmp(his[i], key) != 0)
			i++;
		if (i == SP_NELEMS(his))
			return api_fail(c, SP_EACCES, "the owner of %s changes its remark and tags; ask an administrator for %s", a->name, key);
	}
	if ((r = api_str(c, "remark", 0, a->remark, sizeof(a->remark))) != SP_OK)
		return r;
	return api_store(c, sp_store_asset_update(s, a), a->name);
}

void
asset_update(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a;
	char why[600] = "";
	enum sp_err r;
	int owner;

	if (asset_owned_or(c, s, "name", SP_STORE_ROLE_ADMIN, &a, &owner) != SP_OK)
		return;
	if (owner ? asset_owner_update(c, s, &a) != SP_OK : asset_fields(c, s, &a) != SP_OK ||
	    api_store(c, sp_store_asset_update(s, &a), a.name) != SP_OK)
		return;
	if (asset_extras(c, s, &a) != SP_OK)
		return;
	if (json_object_get(c->params, "zone") != NULL && (r = zone_check_all(s, why, sizeof(why))) != SP_OK) {
		(void)api_fail(c, r, "%s", *why ? why : sp_err_text(r));
		return;
	}
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	c->out = asset_json(s, &a, 1);
}

void
asset_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a;

	if (api_asset(c, s, "name", &a) != SP_OK || api_store(c, sp_store_asset_delete(s, &a.id, a.version), a.name) != SP_OK)
		return;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	c->out = json_pack("{s:s}", "name", a.name);
}

/* ---- host keys ---- */

static int
hostkey_row(const struct sp_store_host_key *k, void *arg)
{
	char fp[SP_FINGERPRINT_SIZE];

	sp_sshkey_fingerprint((struct sp_view){ k->blob.b, k->blob.len }, sp_sha256, fp);
	json_array_append_new(arg, json_pack("{s:o, s:s, s:s, s:s, s:s, s:o, s:o}", "id", api_id(&k->id), "type", k->type,
	    "fingerprint", fp, "state", states[k->state & 3], "pinned_by", k->pinned_by, "created", api_at(k->created_us),
	    "line", api_pubkey(k->blob.b, k->blob.len, NULL)));
	return 0;
}

void
hostkey_list(struct api_call *c, struct sp_store *s)
{
	struct sp_store_query q = { 0 };
	struct sp_store_asset a;
	enum sp_err e;

	if (api_asset(c, s, "name", &a) != SP_OK)
		return;
	q.of = a.id;
	c->out = json_array();
	API_PAGES(c, q, json_array_size(c->out), e, sp_store_host_key_list(s, &q, hostkey_row, c->out));
	(void)api_store(c, e, a.name);
}

void
hostkey_set(struct api_call *c, struct sp_store *s)
{
	sp_auto(sp_sshkey_line_release) struct sp_sshkey_line l = { 0 };
	struct sp_store_host_key k = { .state = SP_STORE_ACTIVE };
	const char *line = api_text(c, "line"), *why = "not a public key";
	struct sp_store_asset a;
	char fp[SP_FINGERPRINT_SIZE];
	enum sp_err r;

	if (api_asset(c, s, "name", &a) != SP_OK)
		return;
	if (line == NULL || strlen(line) > SP_SSHKEY_LINE_MAX || (sp_sshkey_line_parse(line, strlen(line), &why, &l) != SP_OK &&
	    sp_sshkey_hostline_parse(line, strlen(line), &why, &l) != SP_OK) || l.blob.len > sizeof(k.blob.b)) {
		(void)api_fail(c, SP_EINVAL, "line: %s", why);
		return;
	}
	k.asset_id = a.id;
	k.blob.len = (uint32_t)l.blob.len;
	memcpy(k.blob.b, l.blob.p, l.blob.len);
	(void)sp_strlcpy(k.type, sp_sshkey_type_name(l.key.type), sizeof(k.type));
	(void)sp_strlcpy(k.pinned_by, api_actor(c), sizeof(k.pinned_by));
	sp_sshkey_fingerprint((struct sp_view){ l.blob.p, l.blob.len }, sp_sha256, fp);
	if ((r = sp_store_host_key_add(s, &k)) == SP_EEXIST) {
		(void)api_fail(c, r, "%s is pinned for %s already", fp, a.name);
		return;
	}
	if (api_store(c, r, a.name) != SP_OK)
		return;
	c->object = k.id;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	api_more(c, "fingerprint", json_string(fp));
	c->out = json_pack("{s:s, s:s}", "name", a.name, "fingerprint", fp);
}

struct removing {
	struct sp_uuid	id[64];
	size_t		n;
	const char	*which;		/* fingerprint, or "" for all */
};

static int
removing_add(const struct sp_store_host_key *k, void *arg)
{
	struct removing *r = arg;
	char fp[SP_FINGERPRINT_SIZE];

	sp_sshkey_fingerprint((struct sp_view){ k->blob.b, k->blob.len }, sp_sha256, fp);
	if (*r->which == '\0' || strcmp(fp, r->which) == 0)
		r->id[r->n++] = k->id;
	return r->n == SP_NELEMS(r->id);
}

void
hostkey_remove(struct api_call *c, struct sp_store *s)
{
	sp_auto(sp_sshkey_line_release) struct sp_sshkey_line l = { 0 };
	const char *line = api_text(c, "line"), *why;
	char fp[SP_FINGERPRINT_SIZE] = "";
	struct removing rm = { .which = fp };
	struct sp_store_query q = { 0 };
	struct sp_store_asset a;

	if (api_asset(c, s, "name", &a) != SP_OK)
		return;
	if (line != NULL && strncmp(line, "SHA256:", 7) == 0) {
		(void)sp_strlcpy(fp, line, sizeof(fp));
	} else if (line != NULL && *line != '\0') {
		if (sp_sshkey_line_parse(line, strlen(line), &why, &l) != SP_OK) {
			(void)api_fail(c, SP_EINVAL, "line: %s", why);
			return;
		}
		sp_sshkey_fingerprint((struct sp_view){ l.blob.p, l.blob.len }, sp_sha256, fp);
	}
	q.of = a.id;
	if (api_store(c, sp_store_host_key_list(s, &q, removing_add, &rm), a.name) != SP_OK)
		return;
	if (rm.n == 0) {
		(void)api_fail(c, SP_ENOENT, "%s has no such key", a.name);
		return;
	}
	for (size_t i = 0; i < rm.n; i++)
		if (api_store(c, sp_store_host_key_delete(s, &rm.id[i], SP_STORE_ANY_VERSION), a.name) != SP_OK)
			return;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	api_more(c, "removed", json_integer((json_int_t)rm.n));
	c->out = json_pack("{s:s, s:I}", "name", a.name, "removed", (json_int_t)rm.n);
}
