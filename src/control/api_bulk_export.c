/* src/control/api_bulk_export.c - whole kinds of objects as JSON lines in a memory file, whose descriptor is the answer:
 * every column of src/common/bulkcols.c that control may show, so that importing it again changes nothing. No secrets.
 * Process: control, bulk lane. Only what the caller's department may see comes. */
#include "common/keep.h"
#include "control/api_bulk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "control/judge.h"
#include "control/methods.h"

#define EXPORT_MAX	((int64_t)1 << 30)	/* bytes */

static const char *const states[] = { "", "active", "disabled", "expired" };
static const char *const roles[] = { "", "user", "auditor", "admin" };
static const char *const account_kinds[] = { "", "stored", "same", "typed" };

struct named {			/* names of ids, looked up once */
	struct sp_hnode	node;
	struct sp_uuid	id;
	int		scope;	/* the caller may see it */
	char		name[];
};
struct export {
	struct api_call	*c;
	struct sp_store	*s;
	FILE		*f;
	struct sp_htab	 names;
	uint64_t	 n;
	int64_t		 bytes;
	enum sp_err	 err;
	json_t		*list;
};

static int
write_row(struct export *x, json_t *taken)
{
	char *text = taken != NULL ? json_dumps(taken, JSON_COMPACT) : NULL;
	size_t n = text != NULL ? strlen(text) : 0;

	json_decref(taken);
	if (text == NULL)
		x->err = SP_ENOMEM;
	else if ((x->bytes += (int64_t)n + 1) > EXPORT_MAX)
		x->err = SP_ESIZE;
	else if (fwrite(text, 1, n, x->f) != n || fputc('\n', x->f) == EOF)
		x->err = SP_EIO;
	free(text);
	x->n += x->err == SP_OK;
	return x->err != SP_OK;
}

/* ---- names ---- */

static struct named *
name_add(struct export *x, const struct sp_uuid *id, const char *name, int scope)
{
	struct named *k = calloc(1, sizeof(*k) + strlen(name) + 1);

	if (k == NULL)
		return NULL;
	k->id = *id;
	k->scope = scope;
	memcpy(k->name, name, strlen(name) + 1);
	if (sp_htab_insert(&x->names, &k->node, k->id.b, SP_UUID_LEN) != SP_OK) {
		free(k);
		return NULL;
	}
	return k;
}

enum what { DEPARTMENT, USER, GROUP, ASSET, ASSET_GROUP, ZONE };

static struct named *
name_load(struct export *x, enum what what, const struct sp_uuid *id)
{
	union {
		struct sp_store_department d; struct sp_store_user u; struct sp_store_group g; struct sp_store_asset a;
		struct sp_store_asset_group ag; struct sp_store_zone z;
	} r;
#define LOAD(get, of, text, department)	\
		return get(x->s, id, &r.of) != SP_OK ? NULL : name_add(x, id, r.of.text, api_in_scope(x->c, x->s, department))

	switch (what) {
	case DEPARTMENT:
		LOAD(sp_store_department_get, d, name, id);
	case USER:
		LOAD(sp_store_user_get, u, login, &r.u.department_id);
	case GROUP:
		LOAD(sp_store_group_get, g, name, &r.g.department_id);
	case ASSET:
		LOAD(sp_store_asset_get, a, name, &r.a.department_id);
	case ASSET_GROUP:
		LOAD(sp_store_asset_group_get, ag, name, &r.ag.department_id);
	case ZONE:
		LOAD(sp_store_zone_get, z, name, id);
	}
	return NULL;
}

static const char *
name_of(struct export *x, enum what what, const struct sp_uuid *id, int *ret_scope)
{
	struct sp_hnode *n = sp_uuid_is_null(id) ? NULL : sp_htab_find(&x->names, id->b, SP_UUID_LEN);
	struct named *k = n != NULL ? sp_container(n, struct named, node) : sp_uuid_is_null(id) ? NULL : name_load(x, what, id);

	if (ret_scope != NULL)
		*ret_scope = k != NULL && k->scope;
	return k != NULL ? k->name : "";
}

static json_t *
time_text(int64_t at_us)
{
	return at_us == 0 ? json_string("") : api_at(at_us);
}

static json_t *
split(const char *text)
{
	json_t *a = json_array();

	for (const char *p = text, *e; *p; p = *e ? e + 1 : e) {
		e = strchrnul(p, ',');
		json_array_append_new(a, json_stringn(p, (size_t)(e - p)));
	}
	return a;
}

/* ---- users ---- */

static int
key_line(const struct sp_store_user_key *k, void *arg)
{
	struct export *x = arg;

	json_array_append_new(x->list, api_pubkey(k->blob.b, k->blob.len, *k->comment ? k->comment : NULL));
	return 0;
}

static int
export_user(const struct sp_store_user *u, void *arg)
{
	struct export *x = arg;
	struct sp_store_query q = { .of = u->id, .checked = 1 };
	json_t *o;

	if (!api_in_scope(x->c, x->s, &u->department_id))
		return 0;
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "login", u->login, "full_name", u->full_name, "email", u->email,
	    "department", name_of(x, DEPARTMENT, &u->department_id, NULL), "role", roles[u->role & 3], "role_department",
	    name_of(x, DEPARTMENT, &u->role_department_id, NULL), "state", states[u->state & 3], "valid_from", time_text(u->valid_from_us),
	    "valid_until", time_text(u->valid_until_us));
	if (u->os_uid >= 0)
		json_object_set_new(o, "os_uid", json_integer(u->os_uid));
	x->list = json_array();
	if ((x->err = sp_store_user_key_list(x->s, &q, key_line, x)) == SP_OK)
		json_object_set(o, "keys", x->list);
	json_decref(x->list);
	return x->err != SP_OK ? (json_decref(o), 1) : write_row(x, o);
}

/* ---- groups ---- */

struct members {
	struct export	*x;
	json_t		*users, *groups;
};

static int
member_name(const struct sp_store_member *m, void *arg)
{
	struct members *k = arg;
	int user = m->kind == SP_STORE_SUBJECT_USER;

	json_array_append_new(user ? k->users : k->groups, json_string(name_of(k->x, user ? USER : GROUP, &m->member_id, NULL)));
	return 0;
}

static int
export_group(const struct sp_store_group *g, void *arg)
{
	struct export *x = arg;
	struct members m = { x, json_array(), json_array() };
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "name", g->name, "kind", "users", "department",
	    name_of(x, DEPARTMENT, &g->department_id, NULL), "remark", g->remark, "parent", "", "members", m.users, "member_groups", m.groups);

	if (!api_in_scope(x->c, x->s, &g->department_id))
		return json_decref(o), 0;
	if ((x->err = sp_store_group_members(x->s, &g->id, member_name, &m)) != SP_OK)
		return json_decref(o), 1;
	return write_row(x, o);
}

static int
export_asset_group(const struct sp_store_asset_group *g, void *arg)
{
	struct export *x = arg;

	if (!api_in_scope(x->c, x->s, &g->department_id))
		return 0;
	return write_row(x, json_pack("{s:s, s:s, s:s, s:s, s:s, s:[], s:[]}", "name", g->name, "kind", "assets", "department",
	    name_of(x, DEPARTMENT, &g->department_id, NULL), "remark", g->remark, "parent", name_of(x, ASSET_GROUP, &g->parent_id, NULL),
	    "members", "member_groups"));
}

/* ---- assets ---- */

static int
asset_tag(const char *key, const char *value, void *arg)
{
	char t[SP_STORE_TEXT_MAX + SP_STORE_NAME_MAX + 2];

	sp_snprintf(t, sizeof(t), *value ? "%s=%s" : "%s", key, value);
	json_array_append_new(arg, json_string(t));
	return 0;
}

static int
asset_parent(const struct sp_uuid *id, void *arg)
{
	struct export *x = arg;

	json_array_append_new(x->list, json_string(name_of(x, ASSET_GROUP, id, NULL)));
	return 0;
}

static int
export_asset(const struct sp_store_asset *a, void *arg)
{
	struct export *x = arg;
	json_t *o, *tags = json_array();

	if (!api_in_scope(x->c, x->s, &a->department_id))
		return json_decref(tags), 0;
	x->list = json_array();
	o = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "name", a->name, "address", a->address, "port",
	    (json_int_t)a->port, "platform", a->platform, "department", name_of(x, DEPARTMENT, &a->department_id, NULL), "owner",
	    name_of(x, USER, &a->owner_id, NULL), "zone", name_of(x, ZONE, &a->zone_id, NULL), "remark", a->remark, "state",
	    states[a->state & 3], "groups", x->list, "tags", tags);
	if ((x->err = sp_store_asset_parents(x->s, &a->id, asset_parent, x)) != SP_OK ||
	    (x->err = sp_store_tags(x->s, &a->id, asset_tag, tags)) != SP_OK)
		return json_decref(o), 1;
	return write_row(x, o);
}

/* ---- accounts ---- */

static int
export_account(const struct sp_store_account *a, void *arg)
{
	struct export *x = arg;
	struct sp_store_secret *k;
	int scope = 0;
	const char *asset = name_of(x, ASSET, &a->asset_id, &scope), *ca = "";
	json_t *o;

	if (!scope)
		return 0;
	if ((k = malloc(sizeof(*k))) == NULL)
		return x->err = SP_ENOMEM, 1;
	if (!sp_uuid_is_null(&a->secret_id) && sp_store_secret_get(x->s, &a->secret_id, k) == SP_OK && k->kind == SP_STORE_SECRET_SSH_CA)
		ca = k->name;
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o}", "asset", asset, "name", a->name, "login", a->login, "kind",
	    account_kinds[a->kind & 3], "state", states[a->state & 3], "ca", ca, "principals", split(a->principals));
	explicit_bzero(k, sizeof(*k));
	free(k);
	return write_row(x, o);
}

/* ---- grants ---- */

static int
export_grant(const struct sp_store_grant *g, void *arg)
{
	struct export *x = arg;
	int user = g->subject_kind == SP_STORE_SUBJECT_USER, asset = g->object_kind == SP_STORE_OBJECT_ASSET, mine = 0, its = 0;
	const char *who = name_of(x, user ? USER : GROUP, &g->subject_id, &mine);
	const char *what = name_of(x, asset ? ASSET : ASSET_GROUP, &g->object_id, &its);
	json_t *protocols;
	char id[SP_UUID_SIZE];

	if (!mine || !its)	/* one that only looks at it could not write it */
		return 0;
	protocols = json_array();
	for (uint32_t bit = 1; bit < SP_POLICY_ALL + 1; bit <<= 1)
		if (g->protocols & bit)
			json_array_append_new(protocols, json_string(judge_protocol_word(bit)));
	return write_row(x, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:s, s:s, s:o, "
	    "s:I, s:o, s:s, s:I, s:I, s:s, s:s}", "id", sp_uuid_text(&g->id, id), "name", g->name, "effect", g->effect == SP_STORE_DENY ? "deny" : "allow", "user",
	    user ? who : "", "group", user ? "" : who, "asset", asset ? what : "", "asset_group", asset ? "" : what, "accounts",
	    split(g->accounts), "protocols", protocols, "valid_from", time_text(g->valid_from_us), "valid_until", time_text(g->valid_until_us),
	    "hours", g->hours, "sources", split(g->sources), "forward_to", split(g->forwards), "mfa_interval_s",
	    (json_int_t)g->mfa_interval_s, "idle_s", (json_int_t)g->idle_s, "max_session_s", (json_int_t)g->max_session_s,
	    "concurrent_max", (json_int_t)g->concurrent_max, "reason", grant_reason_word(g->reason_required), "reason_pattern",
	    g->reason_pattern, "agent", grant_agent_words(g->agent_kinds), "file_direction", (json_int_t)g->file_direction, "file_paths",
	    grant_paths_list(g->file_paths), "keep_files", grant_keep_word(g->keep), "keep_max_mb", (json_int_t)g->keep_max_mb, "keep_output",
	    (json_int_t)((g->keep & SP_KEEP_OUTPUT) != 0), "record_mode",
	    g->record_mode == SP_STORE_RECORD_BEST_EFFORT ? "best-effort" : "strict", "remark", g->remark));
}

/* ---- the call ---- */

static enum sp_err
every_users(struct export *x)
{
	return sp_store_every_user(x->s, export_user, x);
}

static enum sp_err
every_groups(struct export *x)
{
	enum sp_err r = sp_store_every_group(x->s, export_group, x);

	return r != SP_OK || x->err != SP_OK ? r : sp_store_every_asset_group(x->s, export_asset_group, x);
}

static enum sp_err
every_assets(struct export *x)
{
	return sp_store_every_asset(x->s, export_asset, x);
}

static enum sp_err
every_accounts(struct export *x)
{
	return sp_store_every_account(x->s, export_account, x);
}

static enum sp_err
every_grants(struct export *x)
{
	return sp_store_every_grant(x->s, export_grant, x);
}

static const struct {
	const char	*kind;
	enum sp_err	(*every)(struct export *x);
} kinds[] = {
	{ "users", every_users }, { "groups", every_groups }, { "assets", every_assets }, { "accounts", every_accounts },
	{ "grants", every_grants }
};

static void
named_free(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	free(sp_container(n, struct named, node));
}

void
export_rows(struct api_call *c, struct sp_store *s)
{
	const char *kind = api_text(c, "kind");
	struct export x = { .c = c, .s = s };
	int fd, copy;
	size_t i = 0;
	enum sp_err r;

	while (i < SP_NELEMS(kinds) && (kind == NULL || strcmp(kinds[i].kind, kind) != 0))
		i++;
	if (i == SP_NELEMS(kinds)) {
		(void)api_fail(c, SP_EINVAL, "kind is assets, users, grants, groups or accounts");
		return;
	}
	if ((r = sp_htab_init(&x.names)) != SP_OK || (fd = memfd_create("export", MFD_CLOEXEC)) == -1) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if ((copy = dup(fd)) == -1 || (x.f = fdopen(copy, "w")) == NULL) {
		sp_closep(&copy);
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	} else {
		r = kinds[i].every(&x);
		if (fclose(x.f) != 0 && x.err == SP_OK)
			x.err = SP_EIO;
		if (x.err == SP_ESIZE)
			(void)api_fail(c, x.err, "more than an export can hold");
		else if (api_store(c, r != SP_OK ? r : x.err, kind) == SP_OK && lseek(fd, 0, SEEK_SET) == 0) {
			c->fd = sp_steal_fd(&fd);
			c->out = json_pack("{s:I}", "rows", (json_int_t)x.n);
		}
	}
	sp_closep(&fd);
	sp_htab_each(&x.names, named_free, &x.names);
	sp_htab_release(&x.names);
	(void)sp_strlcpy(c->what, kind, sizeof(c->what));
}
