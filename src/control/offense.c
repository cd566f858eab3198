/* src/control/offense.c - what follows when a rule fired. Process: control; the writing in the writer lane, the cutting in the loop.
 *
 *	alert -> one transaction: alert, offense, responses, the user's row; one entry of the audit log -> commit -> sessions end -> taken
 *
 * Alerts are known by rule, entry and value, so one that comes again changes nothing. Disabling somebody and ending his sessions
 * is one act: his row with a new epoch is committed first, so that no login and no channel is granted any more, then what is live
 * ends; should control die in between, the epoch ends it when it is attached again.
 * It is no weapon: protected users and the last administrator are never disabled by a rule, and not more than siem_disables in an
 * hour; beyond that the response asks (offense respond). With the store away the sessions end at once, the row follows.
 * Invariants: (1) one alert at a time, in order. (2) Nothing is committed before its entry is durable. */
#include "control/offense.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/judge.h"
#include "control/quarantine.h"
#include "control/wall.h"

#define AGAIN_US	(2 * SP_US_PER_S)
#define LOOK_US		(15 * SP_US_PER_S)	/* for offenses that nothing is added to any more */
#define LOOK_N		200
#define HOUR_US		(3600 * (int64_t)SP_US_PER_S)

struct offenses {
	struct ctl		*ctl;
	/* the alert that is being taken */
	struct ctl_job		 job;
	struct alert		 alert;
	void			(*taken)(void *arg);
	void			*arg;
	int			 is_taking, was_cut;
	uint64_t		 again_us;	/* boottime; 0: not waiting */
	int64_t			 disables;	/* allowed in an hour, of the configuration */
	struct sp_uuid		 user;		/* (worker, then loop) whose epoch was raised, to... */
	int64_t			 epoch;		/* 0: nobody's */
	/* time */
	struct ctl_job		 look;
	int			 is_looking;
	uint64_t		 look_us;
	int64_t			 dormant_us, close_us;
};

/* ---- responses (worker) ---- */

struct admins {
	struct sp_store		*s;
	const struct sp_uuid	*but;
	int			 others;
};

static int
count_admin(const struct sp_store_user *u, void *arg)
{
	struct admins *a = arg;
	struct sp_store_user good;

	a->others += sp_uuid_is_null(&u->role_department_id) && !sp_uuid_equal(&u->id, a->but) &&
	    judge_user_refused(u, ctl_wall_us()) == NULL && sp_store_user_get(a->s, &u->id, &good) == SP_OK;
	return a->others > 0;
}

/* Is this the only one left who can mend things? */
static enum sp_err
is_last_admin(struct sp_store *s, const struct sp_store_user *u, int *ret)
{
	struct admins a = { s, &u->id, 0 };
	enum sp_err r = SP_OK;

	*ret = 0;
	if (u->role != SP_STORE_ROLE_ADMIN || !sp_uuid_is_null(&u->role_department_id))
		return SP_OK;
	if ((r = sp_store_users_of_role(s, SP_STORE_ROLE_ADMIN, count_admin, &a)) == SP_OK)
		*ret = a.others == 0;
	return r;
}

/* What is done to the user's row; *ret_why: why it is not done, NULL: it was. */
static enum sp_err
user_respond(struct sp_store *s, struct sp_store_user *u, const char *action, const char **ret_why)
{
	int last = 0;
	enum sp_err r;

	*ret_why = NULL;
	if (strcmp(action, "disable") == 0) {
		if ((r = is_last_admin(s, u, &last)) != SP_OK)
			return r;
		if (last) {
			*ret_why = "the last administrator is never disabled by a rule";
			return SP_OK;
		}
		u->state = SP_STORE_DISABLED;
	}
	u->epoch++;
	return sp_store_user_update(s, u);
}

enum sp_err
offense_respond(struct sp_store *s, struct sp_store_user *u, struct sp_store_response *r)
{
	const char *why;
	enum sp_err e = user_respond(s, u, r->action, &why);

	if (e != SP_OK)
		return e;
	r->state = why == NULL ? SP_STORE_RESPONSE_DONE : SP_STORE_RESPONSE_KEPT;
	r->done_us = ctl_wall_us();
	(void)sp_strlcpy(r->text, why != NULL ? why : "", sizeof(r->text));
	return sp_store_response_update(s, r);
}

struct taking {				/* one alert in the store */
	struct offenses			*o;
	const struct alert		*a;
	struct sp_store			*s;
	struct sp_store_offense		 of;
	struct sp_store_alert		 row;
	struct sp_store_user		 user;
	struct sp_store_response	 resp;
	int				 has_user, is_open;	/* is_open: the offense was there before */
	json_t				*said;			/* of the responses, for the log */
	int				 notify;
};

static const char *
response_word(int64_t state)
{
	static const char *const words[] = { "?", "done", "failed", "asks", "kept" };

	return words[state >= 1 && state <= 4 ? state : 0];
}

static int
is_listed(const struct sp_conf_list *l, const char *login)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->v[i], login) == 0)
			return 1;
	return 0;
}

static int
is_protected(const struct taking *t)
{
	sp_auto(sp_freep) struct sp_config *c = malloc(sizeof(*c));

	if (c == NULL)
		return 1;
	ctl_conf_copy(t->o->ctl, c);
	return is_listed(&c->siem_protect, t->user.login);
}

/* May this be done to the user now? NULL: yes. *ret_state: what becomes of the response otherwise. */
static enum sp_err
user_withheld(struct taking *t, const char *action, int64_t *ret_state, const char **ret_why)
{
	int64_t n = 0;
	enum sp_err r = SP_OK;

	*ret_state = SP_STORE_RESPONSE_KEPT;
	*ret_why = NULL;
	if (!t->has_user) {
		*ret_state = SP_STORE_RESPONSE_FAILED;
		*ret_why = "the alert is about no user that there is";
	} else if (is_protected(t)) {
		*ret_why = "this user is protected (siem_protect)";
	} else if (strcmp(action, "disable") == 0) {
		if (t->user.state != SP_STORE_ACTIVE) {
			*ret_state = SP_STORE_RESPONSE_DONE;
			*ret_why = "was not active any more";
		} else if ((r = sp_store_responses_since(t->s, action, ctl_wall_us() - HOUR_US, &n)) == SP_OK && n >= t->o->disables) {
			*ret_state = SP_STORE_RESPONSE_ASKS;
			*ret_why = "too many users were disabled by rules within an hour (siem_disables): an administrator decides";
		}
	}
	return r;
}

static enum sp_err
respond(struct taking *t, const char *action)
{
	int64_t state = SP_STORE_RESPONSE_DONE;
	const char *why = NULL;
	enum sp_err r = SP_OK;

	if (strcmp(action, "notify") == 0)
		t->notify = 1;
	else if ((r = user_withheld(t, action, &state, &why)) == SP_OK && why == NULL &&
	    (r = user_respond(t->s, &t->user, action, &why)) == SP_OK) {
		state = why == NULL ? SP_STORE_RESPONSE_DONE : SP_STORE_RESPONSE_KEPT;
		if (why == NULL)
			t->o->epoch = t->user.epoch;
	}
	if (r != SP_OK)
		return r;
	t->resp = (struct sp_store_response){ .alert_id = t->row.id, .offense_id = t->of.id, .state = state, .done_us = ctl_wall_us() };
	(void)sp_strlcpy(t->resp.action, action, sizeof(t->resp.action));
	(void)sp_strlcpy(t->resp.target, t->of.about, sizeof(t->resp.target));
	(void)sp_strlcpy(t->resp.text, why != NULL ? why : "", sizeof(t->resp.text));
	json_array_append_new(t->said, json_pack("{s:s, s:s, s:s}", "action", action, "state", response_word(state), "text", t->resp.text));
	return sp_store_response_add(t->s, &t->resp);
}

/* While an offense is open, a rule may want its repeats merged only. Somebody whom a response ended is a target again once he is
 * active again. */
static int
responds(const struct taking *t)
{
	const struct detect_rule *r = &t->a->rule;

	if (!t->is_open || r->repeat != DETECT_MERGE)
		return !t->is_open || r->repeat == DETECT_ESCALATE || !t->has_user || t->user.state == SP_STORE_ACTIVE;
	return 0;
}

/* ---- the alert (worker) ---- */

static enum sp_err
offense_open(struct taking *t)
{
	const struct alert *a = t->a;
	struct sp_store_offense *of = &t->of;
	enum sp_err r = sp_store_offense_about(t->s, a->property, a->value, of);

	if (r == SP_OK) {
		t->is_open = 1;
		of->alerts++;
		of->state = SP_STORE_OFFENSE_OPEN;
		if (a->at_us > of->last_us)
			of->last_us = a->at_us;
		if (a->rule.severity > of->severity)
			of->severity = a->rule.severity;
		if (a->rule.repeat == DETECT_ESCALATE && of->severity < 5)
			of->severity++;
		return sp_store_offense_update(t->s, of);
	}
	if (r != SP_ENOENT && r != SP_ETAMPERED)	/* one that was changed is a finding, and nothing is added to it */
		return r;
	*of = (struct sp_store_offense){ .severity = a->rule.severity, .state = SP_STORE_OFFENSE_OPEN, .alerts = 1,
	    .opened_us = a->at_us, .last_us = a->at_us };
	if (t->has_user)
		of->department_id = t->user.department_id;
	(void)sp_strlcpy(of->property, a->property, sizeof(of->property));
	(void)sp_strlcpy(of->value, a->value, sizeof(of->value));
	(void)sp_strlcpy(of->about, t->has_user ? t->user.login : a->value, sizeof(of->about));
	(void)sp_strlcpy(of->title, a->rule.title, sizeof(of->title));
	(void)sp_strlcpy(of->category, a->rule.category, sizeof(of->category));
	return sp_store_offense_add(t->s, of);
}

static enum sp_err
alert_add(struct taking *t)
{
	const struct alert *a = t->a;

	t->row = (struct sp_store_alert){ .offense_id = t->of.id, .entry = a->entry, .severity = a->rule.severity, .at_us = a->at_us };
	(void)sp_strlcpy(t->row.rule, a->name, sizeof(t->row.rule));
	(void)sp_strlcpy(t->row.property, a->property, sizeof(t->row.property));
	(void)sp_strlcpy(t->row.value, a->value, sizeof(t->row.value));
	(void)sp_strlcpy(t->row.title, a->rule.title, sizeof(t->row.title));
	(void)sp_strlcpy(t->row.category, a->rule.category, sizeof(t->row.category));
	(void)sp_strlcpy(t->row.events, a->events, sizeof(t->row.events));
	return sp_store_alert_add(t->s, &t->row);
}

static enum sp_err
alert_log(struct taking *t)
{
	char text[SP_STORE_NAME_MAX * 2 + 32], offense[SP_UUID_SIZE];
	struct audit_entry e = { .kind = "alert.raised", .actor = "siem", .result = t->notify ? "notify" : "ok", .text = text,
	    .user = t->has_user ? &t->user.id : NULL, .object = &t->row.id };
	enum sp_err r;

	sp_snprintf(text, sizeof(text), "%s: %s", t->row.title, t->of.about);
	e.more = json_pack("{s:s, s:I, s:s, s:s, s:s, s:I, s:s, s:s, s:O}", "rule", t->row.rule, "entry", (json_int_t)t->row.entry, "property",
	    t->row.property, "value", t->row.value, "offense", sp_uuid_text(&t->of.id, offense), "severity", (json_int_t)t->row.severity,
	    "category", t->row.category, "events", t->row.events, "responses", t->said);
	if (e.more == NULL)
		return SP_ENOMEM;
	r = audit_append_wait(t->o->ctl->audit, &e);
	json_decref(e.more);
	return r;
}

static enum sp_err
user_find(struct taking *t)
{
	struct sp_uuid id;
	enum sp_err r;

	if (strcmp(t->a->property, "user_id") != 0 || sp_uuid_parse(t->a->value, &id) != SP_OK)
		return SP_OK;
	r = sp_store_user_get(t->s, &id, &t->user);
	t->has_user = r == SP_OK;
	return r == SP_ENOENT || r == SP_ETAMPERED ? SP_OK : r;
}

static enum sp_err
take_all(struct taking *t)
{
	enum sp_err r = sp_store_alert_of(t->s, t->a->name, t->a->entry, t->a->value, &t->row);

	if (r != SP_ENOENT)
		return r == SP_ETAMPERED ? SP_OK : r;		/* it was taken before; that it was changed since is a finding */
	if ((r = user_find(t)) != SP_OK || (r = offense_open(t)) != SP_OK || (r = alert_add(t)) != SP_OK)
		return r;
	if (responds(t))
		for (size_t i = 0; i < t->a->rule.actions && r == SP_OK; i++)
			r = respond(t, t->a->rule.action[i]);
	return r == SP_OK ? alert_log(t) : r;
}

static void
take_work(struct ctl_job *j, struct sp_store *s)
{
	struct offenses *o = sp_container(j, struct offenses, job);
	struct taking *t = calloc(1, sizeof(*t));
	enum sp_err r;

	o->epoch = 0;
	if (t == NULL || (t->said = json_array()) == NULL) {
		free(t);
		j->err = SP_ENOMEM;
		return;
	}
	t->o = o;
	t->a = &o->alert;
	t->s = s;
	if ((r = sp_store_begin(s, SP_STORE_MAIN)) == SP_OK)
		r = sp_store_end(s, take_all(t));
	if (r == SP_OK && o->epoch != 0)
		o->user = t->user.id;
	else
		o->epoch = 0;
	j->err = r;
	json_decref(t->said);
	free(t);
}

/* ---- in the loop ---- */

static void
cut_one(struct sp_hnode *n, void *arg)
{
	struct conn *cn = sp_container(n, struct conn, node);
	const struct offenses *o = arg;
	char id[SP_UUID_SIZE];

	if (cn->authed && !cn->dying && strcmp(sp_uuid_text(&cn->user_id, id), o->alert.value) == 0 &&
	    !is_listed(&o->ctl->child.conf.siem_protect, cn->login))
		conn_kill(cn, NULL, o->alert.rule.title, "rule");
}

/* The store takes nothing now: whoever is to be cut is cut all the same. */
static void
cut_without_store(struct offenses *o)
{
	int cuts = 0;

	for (size_t i = 0; i < o->alert.rule.actions; i++)
		cuts |= strcmp(o->alert.rule.action[i], "notify") != 0;
	if (!cuts || o->was_cut || strcmp(o->alert.property, "user_id") != 0)
		return;
	o->was_cut = 1;
	sp_htab_each(&o->ctl->conns, cut_one, o);
}

static void
take_done(struct ctl_job *j)
{
	struct offenses *o = sp_container(j, struct offenses, job);

	if (j->err != SP_OK) {
		sp_warn("an alert of %s is not in the store yet: %s", o->alert.name, sp_err_text(j->err));
		cut_without_store(o);
		o->again_us = sp_now_us() + AGAIN_US;
		return;
	}
	if (o->epoch != 0)
		conn_epoch(o->ctl, &o->user, o->epoch, o->alert.rule.title, "rule");
	o->is_taking = 0;
	o->taken(o->arg);
}

void
offense_take(struct ctl *c, const struct alert *a, void (*taken)(void *arg), void *arg)
{
	struct offenses *o = c->offenses;

	o->alert = *a;
	o->taken = taken;
	o->arg = arg;
	o->is_taking = 1;
	o->was_cut = 0;
	o->again_us = 0;
	o->disables = c->child.conf.siem_disables;
	ctl_job_run(c, CTL_WRITE, &o->job);
}

/* ---- time ---- */

struct idle {
	struct sp_store_offense	*row;
	size_t			 n;
};

static int
on_idle(const struct sp_store_offense *of, void *arg)
{
	struct idle *i = arg;

	i->row[i->n++] = *of;
	return i->n == LOOK_N;
}

static enum sp_err
pass_over(struct offenses *o, struct sp_store *s, int64_t from, int64_t to, int64_t before_us)
{
	struct idle idle = { calloc(LOOK_N, sizeof(*idle.row)), 0 };
	enum sp_err r;

	if (idle.row == NULL)
		return SP_ENOMEM;
	r = sp_store_offenses_idle(s, from, before_us, LOOK_N, on_idle, &idle);
	for (size_t i = 0; i < idle.n && r == SP_OK; i++) {
		struct sp_store_offense *of = &idle.row[i];
		struct audit_entry e = { .kind = "offense.close", .actor = "system", .result = "ok", .text = of->about, .object = &of->id,
		    .more = json_pack("{s:s, s:s, s:s}", "property", of->property, "value", of->value, "reason", "time") };

		of->state = to;
		if (to == SP_STORE_OFFENSE_CLOSED) {
			of->closed_us = ctl_wall_us();
			(void)sp_strlcpy(of->closed_by, "system", sizeof(of->closed_by));
			(void)sp_strlcpy(of->reason, "time", sizeof(of->reason));
			r = audit_append_wait(o->ctl->audit, &e);
		}
		json_decref(e.more);
		if (r == SP_OK)
			r = sp_store_offense_update(s, of);
	}
	free(idle.row);
	return r;
}

static void
look_work(struct ctl_job *j, struct sp_store *s)
{
	struct offenses *o = sp_container(j, struct offenses, look);
	int64_t now = ctl_wall_us();
	enum sp_err r = sp_store_begin(s, SP_STORE_MAIN);

	if (r == SP_OK) {
		if ((r = pass_over(o, s, SP_STORE_OFFENSE_OPEN, SP_STORE_OFFENSE_DORMANT, now - o->dormant_us)) == SP_OK)
			r = pass_over(o, s, SP_STORE_OFFENSE_DORMANT, SP_STORE_OFFENSE_CLOSED, now - o->close_us);
		r = sp_store_end(s, r);
	}
	j->err = r;
}

static void
look_done(struct ctl_job *j)
{
	struct offenses *o = sp_container(j, struct offenses, look);

	o->is_looking = 0;
	if (j->err != SP_OK && j->err != SP_EUNAVAIL && j->err != SP_ESEALED)
		sp_warn("offenses cannot be looked through: %s", sp_err_text(j->err));
}

void
offense_tick(struct ctl *c, uint64_t now_us)
{
	struct offenses *o = c->offenses;

	if (o->again_us != 0 && now_us >= o->again_us) {
		o->again_us = 0;
		ctl_job_run(c, CTL_WRITE, &o->job);
	}
	if (o->is_looking || now_us < o->look_us || !c->store_open || c->stopping || quarantine_is(c) || c->vault_view.sealed)
		return;
	o->look_us = now_us + LOOK_US;
	o->is_looking = 1;
	o->dormant_us = (int64_t)c->child.conf.offense_dormant;
	o->close_us = (int64_t)c->child.conf.offense_close;
	ctl_job_run(c, CTL_WRITE, &o->look);
}

enum sp_err
offense_new(struct ctl *c)
{
	struct offenses *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return SP_ENOMEM;
	o->ctl = c;
	o->job = (struct ctl_job){ .work = take_work, .done = take_done };
	o->look = (struct ctl_job){ .work = look_work, .done = look_done };
	c->offenses = o;
	return SP_OK;
}

void
offense_free(struct ctl *c)
{
	free(c->offenses);
	c->offenses = NULL;
}
