/* src/control/api_access.c - why may somebody, or not: the same judgement as a login to a target, with all its reasons. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/judge.h"
#include "control/methods.h"

#define REASONS_MAX	64

static json_t *
reasons_json(const struct sp_policy_input *in, const struct sp_policy_reason *r, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++) {
		struct sp_buf b;

		sp_buf_init(&b, 4096);
		if (sp_policy_reason_text(in, &r[i], &b) == SP_OK)
			json_array_append_new(a, json_string(sp_buf_cstr(&b)));
		sp_buf_release(&b);
	}
	return a;
}

static void
explain(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, const struct sp_store_asset *a,
    const char *account, uint32_t wanted)
{
	sp_auto(judge_grants_release) struct judge_grants g = { 0 };
	struct sp_policy_decision *d = malloc(sizeof(*d));
	struct sp_policy_reason reason[REASONS_MAX];
	struct sp_store_account row;
	struct sp_policy_input in;
	char protocols[SP_POLICY_PROTOCOLS_SIZE];
	int account_is;			/* 0: missing, 1: disabled, 2: usable */
	size_t n = 0;
	enum sp_err r;

	if (d == NULL || (r = judge_grants_load(s, &u->id, &a->id, &g)) != SP_OK) {
		(void)api_fail(c, d == NULL ? SP_ENOMEM : r, "the grants cannot be read");
		free(d);
		return;
	}
	judge_input(u, a, NULL, u->epoch, sp_wall_us(), &g, &in);
	if (c->conn != NULL)
		in.source = c->conn->source;
	in.account = account;
	in.wanted = wanted;
	sp_policy_access(&in, d, reason, SP_NELEMS(reason), &n);
	/* A grant may name accounts that are not there: it allows nothing before they are. */
	account_is = sp_store_account_by_name(s, &a->id, account, &row) == SP_OK ? 1 + (row.state == SP_STORE_ACTIVE) : 0;
	c->out = json_pack("{s:b, s:s, s:s, s:s, s:s}", "allowed", d->allowed && account_is == 2, "user", u->login, "asset", a->name, "account",
	    account, "protocols", sp_policy_protocols_text(d->protocols, protocols));
	json_object_set_new(c->out, "reasons", reasons_json(&in, reason, n < REASONS_MAX ? n : REASONS_MAX));
	if (d->grant >= 0) {
		const struct sp_policy_grant *by = &g.g[d->grant];

		json_object_set_new(c->out, "grant", by->name != NULL && *by->name ? json_string(by->name) : api_id(&by->id));
		json_object_set_new(c->out, "grant_id", api_id(&by->id));
	}
	if (account_is < 2)
		json_array_append_new(json_object_get(c->out, "reasons"), json_string(account_is == 0 ?
		    "the asset has no account of that name" : "the account is disabled"));
	if (d->until_us != 0)
		json_object_set_new(c->out, "until", api_at(d->until_us));
	free(d);
}

/* For oneself everybody may ask; about others auditors. A user asking about an asset that he cannot see learns nothing. */
void
access_explain(struct api_call *c, struct sp_store *s)
{
	char login[SP_STORE_LOGIN_MAX + 1] = "", account[SP_STORE_NAME_MAX + 1] = "", protocol[32] = "";
	struct sp_store_user u;
	struct sp_store_asset a;
	uint32_t wanted = SP_POLICY_SHELL;

	if (api_str(c, "user", 1, login, sizeof(login)) != SP_OK || api_str(c, "account", 1, account, sizeof(account)) != SP_OK ||
	    api_str(c, "protocol", 0, protocol, sizeof(protocol)) != SP_OK)
		return;
	if (*protocol != '\0' && (wanted = judge_protocol(protocol)) == 0) {
		(void)api_fail(c, SP_EINVAL, "there is no protocol \"%s\"", protocol);
		return;
	}
	if (c->role < SP_STORE_ROLE_AUDITOR) {
		sp_auto(judge_grants_release) struct judge_grants g = { 0 };
		struct sp_policy_input in;

		if (strcmp(login, c->caller.login) != 0) {
			(void)api_fail(c, SP_EACCES, "you may ask for yourself only");
			return;
		}
		u = c->caller;
		if (api_text(c, "asset") == NULL || judge_asset(s, api_text(c, "asset"), &a) != SP_OK ||
		    judge_grants_load(s, &u.id, &a.id, &g) != SP_OK) {
			(void)api_fail(c, SP_ENOENT, "no such asset, or you have no access to it");
			return;
		}
		judge_input(&u, &a, NULL, u.epoch, sp_wall_us(), &g, &in);
		if (!judge_may_see(&in)) {
			(void)api_fail(c, SP_ENOENT, "no such asset, or you have no access to it");
			return;
		}
	} else if (api_user(c, s, "user", &u) != SP_OK || api_asset(c, s, "asset", &a) != SP_OK) {
		return;
	}
	explain(c, s, &u, &a, account, wanted);
}

/* ---- who may reach an asset ---- */

struct who {
	struct sp_store			*s;
	json_t				*out;
	const struct sp_store_grant	*g;
	int64_t				 now_us;
};

static int
who_user(const struct sp_uuid *id, void *arg)
{
	struct who *w = arg;
	struct sp_store_user u;
	char protocols[SP_POLICY_PROTOCOLS_SIZE];

	if (sp_store_user_get(w->s, id, &u) != SP_OK || judge_user_refused(&u, w->now_us) != NULL)
		return 0;
	json_array_append_new(w->out, json_pack("{s:s, s:s, s:s, s:o, s:s, s:o}", "user", u.login, "accounts", w->g->accounts,
	    "protocols", sp_policy_protocols_text((uint32_t)w->g->protocols, protocols), "grant",
	    *w->g->name ? json_string(w->g->name) : api_id(&w->g->id), "effect",
	    w->g->effect == SP_STORE_ALLOW ? "allow" : "deny", "valid_until", api_at(w->g->valid_until_us)));
	return json_array_size(w->out) >= API_ROWS_MAX;
}

struct grants {
	struct sp_store_grant	*v;
	size_t			 n, cap;
	int			 no_memory;
};

static int
grants_keep(const struct sp_store_grant *g, void *arg)
{
	struct grants *k = arg;

	if (k->n == k->cap) {
		size_t cap = k->cap ? k->cap * 2 : 16;
		struct sp_store_grant *p = k->n >= 10000 ? NULL : realloc(k->v, cap * sizeof(*p));

		if (p == NULL) {
			k->no_memory = 1;
			return 1;
		}
		k->v = p;
		k->cap = cap;
	}
	k->v[k->n++] = *g;
	return 0;
}

void
access_who(struct api_call *c, struct sp_store *s)
{
	struct who w = { s, c->out = json_array(), NULL, sp_wall_us() };
	struct sp_store_asset a;
	struct grants k = { 0 };
	enum sp_err r = SP_OK;

	if (api_asset(c, s, "asset", &a) != SP_OK ||
	    api_store(c, sp_store_grants_of_asset(s, &a.id, grants_keep, &k), "grants") != SP_OK) {
		free(k.v);
		return;
	}
	if (k.no_memory)
		(void)api_fail(c, SP_ESIZE, "too many grants to list");
	for (size_t i = 0; i < k.n && r == SP_OK && c->err == SP_OK; i++) {
		const struct sp_store_grant *g = &k.v[i];

		if ((g->valid_until_us != 0 && w.now_us >= g->valid_until_us) || json_array_size(w.out) >= API_ROWS_MAX)
			continue;
		w.g = g;
		if (g->subject_kind == SP_STORE_SUBJECT_USER)
			who_user(&g->subject_id, &w);
		else
			r = sp_store_users_of_group(s, &g->subject_id, who_user, &w);
	}
	if (c->err == SP_OK && api_store(c, r, "grants") == SP_OK)
		(void)!api_bounded(c, json_array_size(w.out));
	free(k.v);
}
