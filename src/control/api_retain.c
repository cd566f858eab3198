/* src/control/api_retain.c - recordings: list, policies, retention by hand. Process: control. */
#include "control/api.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/methods.h"
#include "control/quarantine.h"
#include "control/recfiles.h"
#include "control/retain.h"

#define KEEP_MAX_S	(100 * 365 * (int64_t)86400)

/* A number of bytes, as "2048", "500M" or "1.5T". */
static enum sp_err
size_param(struct api_call *c, const char *key, int64_t *ret)
{
	static const char units[] = "KMGT";
	char text[32] = "", *unit;
	double v;
	size_t n;

	if (api_str(c, key, 0, text, sizeof(text)) != SP_OK || *text == '\0')
		return c->err;
	n = strspn(text, "0123456789.");
	v = strtod(text, &unit);
	if (unit == text + n && *unit != '\0' && strchr(units, *unit & ~0x20) != NULL) {
		v *= (double)(1ull << (10 * (strchr(units, *unit & ~0x20) - units + 1)));
		unit++;
	}
	if (n == 0 || *unit != '\0' || v >= 1e18)
		return api_fail(c, SP_EINVAL, "%s is a size: give 500M, 20G or 1.5T", key);
	*ret = (int64_t)v;
	return SP_OK;
}

/* ---- list ---- */

enum rec_state { REC_ANY, REC_LIVE, REC_WHOLE, REC_TORN, REC_GONE };
static const char *const rec_states[] = { "", "live", "whole", "torn", "gone" };

struct listing {
	struct api_call	*c;
	struct sp_store	*s;
	int		 recordings, held_only;
	enum rec_state	 state;
	int64_t		 larger;
	struct recday	 day;
	int64_t		 last_us;
	struct sp_uuid	 last_id;
	size_t		 seen, limit;
};

static enum rec_state
rec_state(const struct sp_store_session *r, const struct recfiles *f, int there)
{
	return !there ? REC_GONE : r->state == SP_STORE_LIVE ? REC_LIVE : f->tails > 0 ? REC_TORN : REC_WHOLE;
}

static void
list_one(struct listing *l, const struct sp_store_session *r)
{
	char reason[RECORDING_REASON];
	struct recfiles f = { .held = 0 };
	enum sp_err e = recday_find(l->recordings, &r->id, &l->day, &f);
	enum rec_state state = rec_state(r, &f, e == SP_OK);
	json_t *o;

	if (e != SP_OK && e != SP_ENOENT) {
		(void)api_fail(l->c, e, "the directory of recordings cannot be read: %s", sp_err_text(e));
		return;
	}
	/* What is gone is shown to who asks for it; what never was is not. */
	if ((state == REC_GONE && (l->state != REC_GONE || *r->recording == '\0')) || (l->state != REC_ANY && state != l->state) ||
	    (l->larger > 0 && f.bytes < (uint64_t)l->larger) || !session_in_scope(l->c, l->s, r))
		return;
	if ((e = recording_held(l->s, -1, &r->id, reason)) != SP_OK)
		(void)sp_strlcpy(reason, "the store cannot say why", sizeof(reason));
	else if (*reason == '\0' && f.held)
		(void)sp_strlcpy(reason, "the store does not know why", sizeof(reason));
	if (l->held_only && *reason == '\0')
		return;
	o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:i}", "id", api_id(&r->id), "state", rec_states[state], "user",
	    r->user_login, "account", r->account, "asset", r->asset_name, "started", api_at(r->started_us), "ended", api_at(r->ended_us),
	    "bytes", (json_int_t)f.bytes, "segments", (int)f.segments);
	json_object_set_new(o, "held", *reason != '\0' ? json_string(reason) : json_null());
	json_array_append_new(l->c->out, o);
}

static int
list_row(const struct sp_store_session *r, void *arg)
{
	struct listing *l = arg;

	l->seen++;
	l->last_us = r->started_us;
	l->last_id = r->id;
	list_one(l, r);
	return l->c->err != SP_OK || json_array_size(l->c->out) >= l->limit;
}

static enum sp_err
list_params(struct listing *l, struct sp_store_session_query *q)
{
	struct api_call *c = l->c;
	struct sp_store_asset a;
	struct sp_store_user u;
	int64_t limit = 1000;
	char state[16] = "";

	if (api_str(c, "state", 0, state, sizeof(state)) != SP_OK || api_int(c, "limit", 1, API_ROWS_MAX, &limit) != SP_OK ||
	    api_time(c, "since", &q->since_us) != SP_OK || api_time(c, "until", &q->before_us) != SP_OK ||
	    size_param(c, "larger", &l->larger) != SP_OK)
		return c->err;
	for (size_t i = 0; i < SP_NELEMS(rec_states); i++)
		if (strcmp(state, rec_states[i]) == 0)
			l->state = (enum rec_state)i;
	if (*state != '\0' && l->state == REC_ANY)
		return api_fail(c, SP_EINVAL, "state is live, whole, torn or gone");
	if (json_object_get(c->params, "user") != NULL) {
		if (api_user(c, l->s, "user", &u) != SP_OK)
			return c->err;
		q->user_id = u.id;
	}
	if (json_object_get(c->params, "asset") != NULL) {
		if (api_asset(c, l->s, "asset", &a) != SP_OK)
			return c->err;
		q->asset_id = a.id;
	}
	l->held_only = json_is_true(json_object_get(c->params, "held"));
	l->limit = (size_t)limit;
	return SP_OK;
}

void
recording_list(struct api_call *c, struct sp_store *s)
{
	struct listing l = { .c = c, .s = s, .recordings = -1 };
	struct sp_store_session_query q = { .limit = SP_STORE_PAGE_MAX };
	struct sp_config conf;
	enum sp_err r;

	ctl_conf_copy(c->ctl, &conf);
	if (list_params(&l, &q) != SP_OK)
		return;
	if ((r = recfiles_dir(conf.state_dir, &l.recordings)) != SP_OK) {
		(void)api_fail(c, r, "the directory of recordings cannot be opened");
		return;
	}
	c->out = json_array();
	do {
		l.seen = 0;
		r = sp_store_session_list(s, &q, list_row, &l);
		q.before_us = l.last_us;
		q.before_id = l.last_id;
	} while (r == SP_OK && c->err == SP_OK && l.seen == SP_STORE_PAGE_MAX && json_array_size(c->out) < l.limit);
	recday_release(&l.day);
	sp_closep(&l.recordings);
	if (c->err == SP_OK)
		(void)api_store(c, r, "sessions");
}

/* ---- policies ---- */

/* `department`, or all. */
static enum sp_err
policy_department(struct api_call *c, struct sp_store *s, struct sp_uuid *ret)
{
	*ret = (struct sp_uuid){ 0 };
	if (api_department(c, s, "department", ret) == SP_OK)
		(void)sp_strlcpy(c->what, sp_uuid_is_null(ret) ? "all" : api_text(c, "department"), sizeof(c->what));
	return c->err;
}

static json_t *
policy_json(struct sp_store *s, const struct retain_policy *p)
{
	json_t *o = json_pack("{s:I, s:I, s:I}", "keep_s", (json_int_t)p->keep_s, "max_bytes", (json_int_t)p->max_bytes, "least_s",
	    (json_int_t)p->least_s);

	api_department_name(s, &p->department, o);
	return o;
}

void
recording_policy_set(struct api_call *c, struct sp_store *s)
{
	struct retain_policy p = { .least_s = RETAIN_LEAST_S };
	struct sp_uuid department;
	enum sp_err r;

	if (policy_department(c, s, &department) != SP_OK)
		return;
	if ((r = retain_policy_get(s, &department, &p)) != SP_OK && r != SP_ENOENT && r != SP_ECORRUPT) {
		(void)api_store(c, r, "the policy");
		return;
	}
	p.department = department;
	if (api_int(c, "keep_s", 0, KEEP_MAX_S, &p.keep_s) != SP_OK || api_int(c, "least_s", 0, KEEP_MAX_S, &p.least_s) != SP_OK ||
	    size_param(c, "max_size", &p.max_bytes) != SP_OK)
		return;
	if (p.keep_s == 0 && p.max_bytes == 0) {
		(void)api_fail(c, SP_EUSAGE, "a policy says how old recordings get (--keep 180d) or how much they are in all (--max-size 500G), or both; "
		    "without one they are kept for ever ('recording policy remove')");
		return;
	}
	if (api_store(c, retain_policy_set(s, &department, &p), "the policy") != SP_OK)
		return;
	c->out = policy_json(s, &p);
	api_more(c, "keep_s", json_integer(p.keep_s));
	api_more(c, "max_bytes", json_integer(p.max_bytes));
	api_more(c, "least_s", json_integer(p.least_s));
}

void
recording_policy_remove(struct api_call *c, struct sp_store *s)
{
	struct retain_policy p;
	struct sp_uuid department;

	if (policy_department(c, s, &department) != SP_OK)
		return;
	if (retain_policy_get(s, &department, &p) == SP_ENOENT) {
		(void)api_fail(c, SP_ENOENT, "there is no such policy");
		return;
	}
	if (api_store(c, retain_policy_set(s, &department, NULL), "the policy") == SP_OK)
		c->out = json_pack("{s:s}", "of", c->what);
}

struct policies {
	struct api_call	*c;
	struct sp_store	*s;
	json_t		*departments;	/* ids: one query at a time */
	size_t		 seen;
};

static void
policies_add(struct policies *k, const struct sp_uuid *department)
{
	struct retain_policy p;
	enum sp_err r = retain_policy_get(k->s, department, &p);

	if (r == SP_OK)
		json_array_append_new(k->c->out, policy_json(k->s, &p));
	else if (r != SP_ENOENT)
		(void)api_store(k->c, r, "the policy");
}

static int
policies_row(const struct sp_store_department *d, void *arg)
{
	struct policies *k = arg;

	k->seen++;
	json_array_append_new(k->departments, api_id(&d->id));
	return 0;
}

void
recording_policy_list(struct api_call *c, struct sp_store *s)
{
	struct policies k = { .c = c, .s = s, .departments = json_array() };
	struct sp_store_query q = { .checked = 0 };
	const struct sp_uuid none = { 0 };
	json_t *id;
	struct sp_uuid u;
	size_t i;
	enum sp_err r;

	c->out = json_array();
	do {
		k.seen = 0;
		r = sp_store_department_list(s, &q, policies_row, &k);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && k.seen == SP_STORE_PAGE_MAX && json_array_size(k.departments) < API_ROWS_MAX);
	policies_add(&k, &none);
	json_array_foreach(k.departments, i, id)
		if (c->err == SP_OK && sp_uuid_parse(json_string_value(id), &u) == SP_OK)
			policies_add(&k, &u);
	json_decref(k.departments);
	if (c->err == SP_OK)
		(void)api_store(c, r, "departments");
}

/* ---- by hand ---- */

static void
plan_release(void *plan)
{
	retain_plan_free(plan);
}

static json_t *
plan_row(struct sp_store *s, const struct retain_plan *p, const struct retain_item *i)
{
	struct sp_store_session row = { .state = 0 };
	char why[320];

	if (sp_store_session_get(s, &i->id, &row) != SP_OK)
		row = (struct sp_store_session){ .state = 0 };
	retain_why(p, i, why, sizeof(why));
	return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:I, s:s}", "id", api_id(&i->id), "user", row.user_login, "account", row.account,
	    "asset", row.asset_name, "started", api_at(row.started_us), "written", api_at(i->at_us), "bytes", (json_int_t)i->bytes, "why", why);
}

void
recording_retention(struct api_call *c, struct sp_store *s)
{
	int dry = json_is_true(json_object_get(c->params, "dry_run"));
	struct retain_plan *p;
	enum sp_err r;

	if ((r = retain_plan_make(c->ctl, s, 1, json_is_true(json_object_get(c->params, "accept_clock")), &p)) != SP_OK) {
		(void)api_store(c, r, "the recordings");
		return;
	}
	c->state = p;
	c->state_free = plan_release;
	api_more(c, "dry_run", json_boolean(dry));
	api_more(c, "recordings", json_integer((json_int_t)p->go_n));
	api_more(c, "bytes", json_integer((json_int_t)p->go_bytes));
	if (*p->refused != '\0' && !dry) {
		(void)api_fail(c, SP_ESTATE, "no recording is deleted: %s", p->refused);
		return;
	}
	c->out = json_array();
	for (size_t i = 0; i < p->go_n && i < API_ROWS_MAX; i++)
		json_array_append_new(c->out, plan_row(s, p, &p->go[i]));
}

void
recording_retention_loop(struct api_call *c)
{
	struct retain_plan *p = c->state;

	if (json_is_true(json_object_get(c->params, "dry_run")))
		return;
	c->state = NULL;
	c->state_free = NULL;
	if (retain_go(c->ctl, p, api_actor(c)) != SP_OK)
		(void)api_fail(c, SP_EBUSY, "recordings are being deleted already: ask again when that is done");
}
