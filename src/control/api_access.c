/* src/control/api_access.c - why may somebody, or not: the same judgement as a login to a target, with all its reasons. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/judge.h"
#include "control/methods.h"
#include "control/wall.h"
#include "control/zone.h"

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

/* The way there, or why there is none. */
static void
explain_path(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a)
{
	struct zone_path *p = NULL;
	char text[1200] = "";

	if (zone_path_load(s, &a->zone_id, &p, text, sizeof(text)) != SP_OK) {
		json_array_append_new(json_object_get(c->out, "reasons"), json_string(text));
		json_object_set_new(c->out, "allowed", json_false());
	} else if (p != NULL) {
		zone_text(p, text, sizeof(text));
		json_object_set_new(c->out, "path", json_string(text));
		free(p);
	}
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
	judge_input(u, a, NULL, u->epoch, ctl_wall_us(), &g, &in);
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
	explain_path(c, s, a);
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
		judge_input(&u, &a, NULL, u.epoch, ctl_wall_us(), &g, &in);
		if (!judge_may_see(&in)) {
			(void)api_fail(c, SP_ENOENT, "no such asset, or you have no access to it");
			return;
		}
	} else if (api_user(c, s, "user", &u) != SP_OK || api_asset(c, s, "asset", &a) != SP_OK) {
		return;
	}
	explain(c, s, &u, &a, account, wanted);
}

/* ---- who may reach an asset ----
 * Everybody who could: a grant that counts only at some hours, from some networks or from tomorrow on is shown, with that
 * condition. What is not shown: users who may not log in, accounts that are not in use, and what a deny takes away now and
 * without a condition. One row for each user and grant, in the order of logins. */

struct who_grant {
	struct sp_uuid	subject;
	char		via[SP_STORE_NAME_MAX + 1];	/* the group of users; "": the user himself */
	char		where[SP_STORE_NAME_MAX + 1];	/* the group of assets; "": the asset itself */
};
struct who_account {
	char	name[SP_STORE_NAME_MAX + 1];
};
struct who {
	struct api_call		*c;
	struct sp_store		*s;
	json_t			*out;
	const char		*only;		/* account; "": all */
	int64_t			 now_us;
	struct judge_grants	 g;
	struct who_grant	*side;		/* of each grant */
	size_t			 side_n, side_cap;
	struct who_account	*account;
	size_t			 account_n, account_cap, seen;
	size_t			*mine;		/* the grants of the user at hand */
	size_t			 mine_n;
	struct sp_uuid		 user;
	struct sp_policy_grant	*some;
	struct sp_policy_decision *d;
	enum sp_err		 err;
};

static void
who_release(struct who *w)
{
	judge_grants_release(&w->g);
	free(w->side);
	free(w->account);
	free(w->mine);
	free(w->some);
	free(w->d);
}

static int
who_grow(struct who *w, void *array, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap > 0 ? *cap * 2 : 16;
	void *p;

	if (n < *cap)
		return 1;
	memcpy(&p, array, sizeof(p));
	if ((p = realloc(p, more * size)) == NULL) {
		w->err = SP_ENOMEM;
		return 0;
	}
	memcpy(array, &p, sizeof(p));
	*cap = more;
	return 1;
}

static int
who_on_grant(const struct sp_store_grant *g, void *arg)
{
	struct who *w = arg;
	struct sp_store_group ug;
	struct sp_store_asset_group ag;
	struct who_grant side = { .subject = g->subject_id };

	if (g->valid_until_us != 0 && w->now_us >= g->valid_until_us)
		return 0;
	if (g->subject_kind == SP_STORE_SUBJECT_GROUP && sp_store_group_get(w->s, &g->subject_id, &ug) == SP_OK)
		(void)sp_strlcpy(side.via, ug.name, sizeof(side.via));
	if (g->object_kind == SP_STORE_OBJECT_ASSET_GROUP && sp_store_asset_group_get(w->s, &g->object_id, &ag) == SP_OK)
		(void)sp_strlcpy(side.where, ag.name, sizeof(side.where));
	if (!who_grow(w, &w->side, &w->side_cap, w->side_n, sizeof(*w->side)))
		return 1;
	w->side[w->side_n++] = side;
	return judge_grants_add(g, &w->g);
}

static int
who_on_account(const struct sp_store_account *a, void *arg)
{
	struct who *w = arg;

	w->seen++;
	if (a->state != SP_STORE_ACTIVE || (*w->only != '\0' && strcmp(w->only, a->name) != 0))
		return 0;
	if (!who_grow(w, &w->account, &w->account_cap, w->account_n, sizeof(*w->account)))
		return 1;
	(void)sp_strlcpy(w->account[w->account_n++].name, a->name, sizeof(w->account->name));
	return 0;
}

/* This grant of the user, with the denies of his that stand now and always. */
static size_t
who_input(struct who *w, size_t grant)
{
	size_t n = 0;

	w->some[n] = w->g.g[grant];
	w->some[n].hours = w->some[n].sources = "";
	w->some[n++].valid_from_us = 0;
	for (size_t i = 0; i < w->mine_n; i++) {
		const struct sp_policy_grant *g = &w->g.g[w->mine[i]];

		if (g->deny && *g->hours == '\0' && *g->sources == '\0')
			w->some[n++] = *g;
	}
	return n;
}

static void
who_row(struct who *w, const struct sp_store_user *u, size_t grant)
{
	const struct sp_policy_grant *g = &w->g.g[grant];
	const struct who_grant *side = &w->side[grant];
	static const struct sp_store_asset active = { .state = SP_STORE_ACTIVE };
	struct sp_policy_input in;
	char protocols[SP_POLICY_PROTOCOLS_SIZE];
	json_t *accounts = json_array(), *o;
	uint32_t open = 0;

	judge_input(u, &active, NULL, u->epoch, w->now_us, &w->g, &in);
	in.grant = w->some;
	in.n = who_input(w, grant);
	for (size_t i = 0; i < w->account_n; i++) {
		in.account = w->account[i].name;
		sp_policy_access(&in, w->d, NULL, 0, NULL);
		if (!w->d->allowed)
			continue;
		json_array_append_new(accounts, json_string(w->account[i].name));
		open |= w->d->protocols;
	}
	if (json_array_size(accounts) == 0) {
		json_decref(accounts);
		return;
	}
	o = json_pack("{s:s, s:o, s:s, s:o, s:o}", "user", u->login, "accounts", accounts, "protocols",
	    sp_policy_protocols_text(open, protocols), "grant", *g->name ? json_string(g->name) : api_id(&g->id), "grant_id", api_id(&g->id));
	json_object_set_new(o, "group", *side->via != '\0' ? json_string(side->via) : json_null());
	json_object_set_new(o, "asset_group", *side->where != '\0' ? json_string(side->where) : json_null());
	json_object_set_new(o, "valid_from", api_at(g->valid_from_us));
	json_object_set_new(o, "valid_until", api_at(g->valid_until_us));
	json_object_set_new(o, "hours", *g->hours != '\0' ? json_string(g->hours) : json_null());
	json_object_set_new(o, "sources", *g->sources != '\0' ? json_string(g->sources) : json_null());
	json_array_append_new(w->out, o);
}

static void
who_user(struct who *w)
{
	struct sp_store_user u;

	if (w->mine_n == 0)
		return;
	if ((w->err = sp_store_user_get(w->s, &w->user, &u)) == SP_OK && judge_user_refused(&u, w->now_us) == NULL)
		for (size_t i = 0; i < w->mine_n; i++)
			if (!w->g.g[w->mine[i]].deny)
				who_row(w, &u, w->mine[i]);
	if (w->err == SP_ENOENT)	/* gone meanwhile */
		w->err = SP_OK;
	w->mine_n = 0;
}

/* Grants come sorted by id from the store, and so does a user's part of the ways. */
static int
who_on_way(const struct sp_store_way *way, void *arg)
{
	struct who *w = arg;
	size_t lo = 0, hi = w->g.n;

	if (!sp_uuid_equal(&way->user_id, &w->user)) {
		who_user(w);
		w->user = way->user_id;
	}
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = memcmp(way->grant_id.b, w->g.g[mid].id.b, SP_UUID_LEN);

		if (c == 0) {
			w->mine[w->mine_n++] = mid;
			break;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return w->err != SP_OK || json_array_size(w->out) >= API_ROWS_MAX;
}

static enum sp_err
who_load(struct who *w, const struct sp_uuid *asset)
{
	struct sp_store_query q = { .of = *asset };
	enum sp_err r = sp_store_grants_of_asset(w->s, asset, who_on_grant, w);
	size_t before;

	if (r == SP_OK)
		r = w->err != SP_OK ? w->err : w->g.err;
	do {
		before = w->seen;
		if (r == SP_OK)
			r = sp_store_account_list(w->s, &q, who_on_account, w);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && w->err == SP_OK && w->seen - before == SP_STORE_PAGE_MAX);
	w->mine = calloc(w->g.n + 1, sizeof(*w->mine));
	w->some = calloc(w->g.n + 1, sizeof(*w->some));
	w->d = malloc(sizeof(*w->d));
	if (r == SP_OK)
		r = w->mine == NULL || w->some == NULL || w->d == NULL ? SP_ENOMEM : w->err;
	return r;
}

void
access_who(struct api_call *c, struct sp_store *s)
{
	sp_auto(who_release) struct who w = { .c = c, .s = s, .now_us = ctl_wall_us() };
	char only[SP_STORE_NAME_MAX + 1] = "";
	struct sp_store_asset a;
	int owner;
	enum sp_err r;

	w.out = c->out = json_array();
	w.only = only;
	if (asset_owned_or(c, s, "asset", SP_STORE_ROLE_AUDITOR, &a, &owner) != SP_OK || api_str(c, "account", 0, only, sizeof(only)) != SP_OK)
		return;
	if (a.state != SP_STORE_ACTIVE)
		return;		/* nobody reaches it */
	if ((r = who_load(&w, &a.id)) == SP_OK && (r = sp_store_ways_to_asset(s, &a.id, who_on_way, &w)) == SP_OK) {
		who_user(&w);
		r = w.err;
	}
	if (api_store(c, r, "grants") == SP_OK)
		(void)!api_bounded(c, json_array_size(w.out));
}
