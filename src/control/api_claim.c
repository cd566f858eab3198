/* src/control/api_claim.c - owners add their own servers: claim, list, prove, confirm, reject. The proof itself is owner.c's.
 * A claim makes the asset at once, disabled, with the claimant as owner, in his department, and with one account whose
 * password he types: names and addresses are taken from then on, and an administrator sees what he confirms. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/claim.h"
#include "control/methods.h"
#include "control/wall.h"

struct claim_rows {
	struct api_call	*c;
	struct sp_store	*s;
	int64_t		 now_us;
	size_t		 seen;
};

/* ---- claim ---- */

static int
count_row(const struct sp_store_asset_claim *cl, void *arg)
{
	(void)cl;
	return ++*(int *)arg >= CLAIMS_MAX;
}

/* A name that is the address of something would be found before that; an address with two assets is found by nobody. */
static enum sp_err
claim_place(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a)
{
	struct sp_store_asset other;
	struct sp_netaddr at;
	struct sp_config conf;
	const char *why;
	enum sp_err r;

	ctl_conf_copy(c->ctl, &conf);
	if (!sp_name_is_ok(a->name, 128))
		return api_fail(c, SP_EINVAL, "the name of an asset has no blanks at its ends, none of @ # %% : / \\ quotes, "
		    "and does not begin with - or .");
	if (strcasecmp(a->name, conf.bastion_name) == 0 || sp_netaddr_parse(a->name, &at) == SP_OK ||
	    (r = sp_store_asset_by_address(s, a->name, 0, &other)) == SP_OK || r == SP_ECONFLICT)
		return api_fail(c, SP_EINVAL, "\"%s\" is, or may be, the address of another host: choose another name", a->name);
	if (r != SP_ENOENT)
		return api_store(c, r, a->name);
	if ((why = claim_address_refused(c->ctl, s, a->address, (uint32_t)a->port)) != NULL)
		return api_fail(c, SP_EINVAL, "%s", why);
	if ((r = sp_store_asset_by_address(s, a->address, 0, &other)) == SP_OK || r == SP_ECONFLICT)
		return api_fail(c, SP_EEXIST, "there is an asset with the address %s already: ask an administrator", a->address);
	return r == SP_ENOENT ? SP_OK : api_store(c, r, a->address);
}

/* Only of his own department: what is wished for is an administrator's to give. */
static enum sp_err
claim_group(struct api_call *c, struct sp_store *s, struct sp_uuid *ret)
{
	char text[SP_STORE_NAME_MAX + 1] = "";
	struct sp_store_asset_group g;
	enum sp_err r = api_str(c, "group", 0, text, sizeof(text));

	if (r != SP_OK || *text == '\0')
		return r;
	if (sp_store_asset_group_by_name(s, text, &g) != SP_OK || sp_uuid_is_null(&g.department_id) ||
	    !sp_uuid_equal(&g.department_id, &c->caller.department_id))
		return api_fail(c, SP_ENOENT, "there is no asset group \"%s\" in your department", text);
	*ret = g.id;
	return SP_OK;
}

static enum sp_err
claim_fields(struct api_call *c, struct sp_store *s, struct sp_store_asset *a, struct sp_store_account *acc,
    struct sp_store_asset_claim *cl)
{
	struct sp_store_query q = { .of = c->caller.id };
	enum sp_err r;
	int n = 0;

	if (sp_uuid_is_null(&c->caller.id))
		return api_fail(c, SP_EINVAL, "a claim is a user's; root makes an asset with 'sallyport asset create'");
	(void)sp_strlcpy(acc->name, c->caller.login, sizeof(acc->name));
	if ((r = api_str(c, "name", 1, a->name, sizeof(a->name))) != SP_OK ||
	    (r = api_str(c, "address", 1, a->address, sizeof(a->address))) != SP_OK ||
	    (r = api_int(c, "port", 1, 65535, &a->port)) != SP_OK ||
	    (r = api_str(c, "remark", 0, a->remark, sizeof(a->remark))) != SP_OK ||
	    (r = api_str(c, "login", 0, acc->name, SP_STORE_LOGIN_MAX)) != SP_OK ||
	    (r = claim_group(c, s, &cl->group_id)) != SP_OK || (r = claim_place(c, s, a)) != SP_OK)
		return r;
	(void)sp_strlcpy(acc->login, acc->name, sizeof(acc->login));
	if ((r = sp_store_asset_claim_list(s, &q, count_row, &n)) != SP_OK)
		return api_store(c, r, "claims");
	if (n >= CLAIMS_MAX)
		return api_fail(c, SP_EFULL, "you have %d claims that nobody has decided yet: prove or withdraw one first", n);
	a->department_id = c->caller.department_id;
	a->owner_id = cl->user_id = c->caller.id;
	return SP_OK;
}

static json_t *
claim_how(const struct api_call *c, const struct sp_store_asset *a, const char *account)
{
	struct sp_config conf;

	ctl_conf_copy(c->ctl, &conf);
	return json_pack("{s:s, s:s, s:s, s:o}", "name", a->name, "account", account, "path", CLAIM_PATH, "command",
	    json_sprintf("ssh -t %s %s@%s", conf.bastion_name, account, a->name));
}

void
asset_claim(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a = { .port = 22, .state = SP_STORE_DISABLED };
	struct sp_store_account acc = { .kind = SP_STORE_ACCOUNT_TYPED, .state = SP_STORE_ACTIVE };
	struct sp_store_asset_claim cl = { 0 };
	struct sp_config conf;
	char token[CLAIM_TOKEN_SIZE];

	if (claim_fields(c, s, &a, &acc, &cl) != SP_OK || api_store(c, sp_store_asset_add(s, &a), a.name) != SP_OK)
		return;
	ctl_conf_copy(c->ctl, &conf);
	claim_token_make(token);
	claim_token_hash(token, strlen(token), cl.token_hash);
	cl.expires_us = ctl_wall_us() + (int64_t)conf.claim_life;
	cl.id = acc.asset_id = a.id;
	if (api_store(c, sp_store_account_add(s, &acc), acc.name) != SP_OK ||
	    api_store(c, sp_store_asset_claim_add(s, &cl), a.name) != SP_OK)
		return;
	c->asset = a.id;
	c->account = acc.id;
	c->user = c->caller.id;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	api_more(c, "address", json_string(a.address));
	api_more(c, "port", json_integer((json_int_t)a.port));
	c->out = claim_how(c, &a, acc.name);
	json_object_set_new(c->out, "token", json_string(token));
	json_object_set_new(c->out, "expires", api_at(cl.expires_us));
}

/* ---- list, prove ---- */

static int
take_account(const struct sp_store_account *acc, void *arg)
{
	if (acc->kind != SP_STORE_ACCOUNT_TYPED || acc->state != SP_STORE_ACTIVE)
		return 0;
	*(struct sp_store_account *)arg = *acc;
	return 1;
}

static void
claim_account(struct sp_store *s, const struct sp_uuid *asset_id, struct sp_store_account *ret)
{
	struct sp_store_query q = { .of = *asset_id };

	*ret = (struct sp_store_account){ 0 };
	if (sp_store_account_list(s, &q, take_account, ret) != SP_OK)
		*ret = (struct sp_store_account){ 0 };
}

static int
claims_row(const struct sp_store_asset_claim *cl, void *arg)
{
	struct claim_rows *r = arg;
	struct sp_store_asset a;
	struct sp_store_user u;
	struct sp_store_account acc;
	struct sp_store_asset_group g;
	json_t *o;

	r->seen++;
	if (sp_store_asset_get(r->s, &cl->id, &a) != SP_OK || sp_store_user_get(r->s, &cl->user_id, &u) != SP_OK)
		return 0;
	if (!api_is_self(r->c, &cl->user_id) && (r->c->role < SP_STORE_ROLE_AUDITOR || !api_in_scope(r->c, r->s, &a.department_id)))
		return 0;
	claim_account(r->s, &a.id, &acc);
	o = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:o}", "name", a.name, "address", a.address, "port", (json_int_t)a.port,
	    "user", u.login, "account", acc.name, "state", r->now_us < cl->expires_us ? "pending" : "over", "created",
	    api_at(cl->created_us), "expires", api_at(cl->expires_us));
	api_department_name(r->s, &a.department_id, o);
	json_object_set_new(o, "group", !sp_uuid_is_null(&cl->group_id) && sp_store_asset_group_get(r->s, &cl->group_id, &g) == SP_OK ?
	    json_string(g.name) : json_null());
	json_array_append_new(r->c->out, o);
	return 0;
}

void
asset_claims(struct api_call *c, struct sp_store *s)
{
	struct claim_rows r = { c, s, ctl_wall_us(), 0 };
	struct sp_store_query q = { 0 };
	enum sp_err e;

	if (c->role < SP_STORE_ROLE_AUDITOR)
		q.of = c->caller.id;
	c->out = json_array();
	API_PAGES(c, q, r.seen, e, sp_store_asset_claim_list(s, &q, claims_row, &r));
	(void)api_store(c, e, "claims");
}

/* The pending asset and its claim. */
static enum sp_err
claim_named(struct api_call *c, struct sp_store *s, int64_t role, struct sp_store_asset *a, struct sp_store_asset_claim *cl,
    int *ret_owner)
{
	enum sp_err r = asset_owned_or(c, s, "name", role, a, ret_owner);

	if (r != SP_OK)
		return r;
	if ((r = claim_pending(s, a, cl)) == SP_ENOENT)
		return api_fail(c, r, "nobody claims %s now", a->name);
	return r != SP_OK ? api_store(c, r, a->name) : SP_OK;
}

void
asset_prove(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a;
	struct sp_store_asset_claim cl;
	struct sp_store_account acc;
	int owner;

	/* For the claimant alone, whatever else he may do. */
	if (claim_named(c, s, SP_STORE_ROLE_ADMIN + 1, &a, &cl, &owner) != SP_OK)
		return;
	if (ctl_wall_us() >= cl.expires_us) {
		(void)api_fail(c, SP_EEXPIRED, "the claim on %s is over: claim it anew", a.name);
		return;
	}
	claim_account(s, &a.id, &acc);
	if (*acc.name == '\0') {
		(void)api_fail(c, SP_ESTATE, "%s has no account any more whose password is typed: ask an administrator", a.name);
		return;
	}
	c->out = claim_how(c, &a, acc.name);
	json_object_set_new(c->out, "expires", api_at(cl.expires_us));
}

/* ---- the administrator's word ---- */

static enum sp_err
confirm_group(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a, const struct sp_uuid *wish)
{
	struct sp_store_member m = { .member_id = a->id, .kind = SP_STORE_OBJECT_ASSET };
	struct sp_store_asset_group g = { 0 };
	const char *text = api_text(c, "group");
	enum sp_err r = SP_OK;

	if (text != NULL && *text == '\0')
		return SP_OK;		/* in none, whatever was wished */
	if (text != NULL) {
		r = api_asset_group(c, s, "group", &g);
	} else if (!sp_uuid_is_null(wish)) {
		if ((r = sp_store_asset_group_get(s, wish, &g)) == SP_ENOENT)
			return api_fail(c, r, "the asset group that the claim names is gone: say which one with --group, or --group ''");
		r = r == SP_OK ? api_scope(c, s, &g.department_id) : api_store(c, r, a->name);
	}
	if (r != SP_OK || sp_uuid_is_null(&g.id))
		return r;
	m.group_id = g.id;
	api_more(c, "group", json_string(g.name));
	r = sp_store_asset_member_add(s, &m);
	return r == SP_EEXIST ? SP_OK : api_store(c, r, g.name);
}

void
asset_confirm(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset a;
	struct sp_store_asset_claim cl;
	enum sp_err r;

	if (api_asset(c, s, "name", &a) != SP_OK)
		return;
	if ((r = claim_pending(s, &a, &cl)) == SP_ENOENT) {
		(void)api_fail(c, r, "nobody claims %s now", a.name);
		return;
	}
	if (api_store(c, r, a.name) != SP_OK)
		return;
	if (ctl_wall_us() >= cl.expires_us) {
		(void)api_fail(c, SP_EEXPIRED, "the claim on %s is over", a.name);
		return;
	}
	if (confirm_group(c, s, &a, &cl.group_id) != SP_OK)
		return;
	a.state = SP_STORE_ACTIVE;
	if (api_store(c, sp_store_asset_update(s, &a), a.name) != SP_OK ||
	    api_store(c, sp_store_asset_claim_delete(s, &cl.id, cl.version), a.name) != SP_OK)
		return;
	c->user = cl.user_id;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	c->out = json_pack("{s:s}", "name", a.name);
}

void
asset_reject(struct api_call *c, struct sp_store *s)
{
	char reason[256] = "";
	struct sp_store_asset a;
	struct sp_store_asset_claim cl;
	int owner;

	if (claim_named(c, s, SP_STORE_ROLE_ADMIN, &a, &cl, &owner) != SP_OK || api_str(c, "reason", 0, reason, sizeof(reason)) != SP_OK ||
	    api_store(c, sp_store_asset_delete(s, &a.id, a.version), a.name) != SP_OK)
		return;
	c->user = cl.user_id;
	c->rejudge = 1;
	(void)sp_strlcpy(c->what, a.name, sizeof(c->what));
	if (*reason != '\0')
		api_more(c, "reason", json_string(reason));
	c->out = json_pack("{s:s}", "name", a.name);
}
