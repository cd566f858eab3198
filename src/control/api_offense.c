/* src/control/api_offense.c - alerts and offenses: looked at, worked on, closed; a response that waits is allowed. */
#include "control/api.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/category.h"
#include "control/logtail.h"
#include "control/methods.h"
#include "control/offense.h"
#include "control/siem.h"
#include "control/wall.h"

static const char *const severities[] = { "?", "informational", "low", "medium", "high", "critical" };
static const char *const states[] = { "?", "open", "dormant", "closed" };
static const char *const response_states[] = { "?", "done", "failed", "asks", "kept" };
static const char *const reasons[] = { "resolved", "false-positive", "policy", "duplicate", "other", NULL };

static const char *
word_of(const char *const *words, size_t n, int64_t i)
{
	return words[i >= 1 && (uint64_t)i < n ? i : 0];
}
#define WORD(words, i) word_of((words), SP_NELEMS(words), (i))

static json_t *
category_json(const char *key)
{
	const struct sp_category *k = sp_category_find(key);

	return k == NULL ? json_string(key) : json_sprintf("%s / %s", k->high, k->low);
}

static json_t *
offense_object(const struct sp_store_offense *of)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:I, s:o, s:o, s:o}", "id", api_id(&of->id), "title", of->title,
	    "about", of->about, "property", of->property, "value", of->value, "category_key", of->category, "severity",
	    WORD(severities, of->severity), "state", WORD(states, of->state), "protected", (int)of->is_protected, "owner", of->owner,
	    "alerts", (json_int_t)of->alerts, "opened", api_at(of->opened_us), "last", api_at(of->last_us), "closed", api_at(of->closed_us));

	json_object_set_new(o, "category", category_json(of->category));
	if (of->state == SP_STORE_OFFENSE_CLOSED) {
		json_object_set_new(o, "closed_by", json_string(of->closed_by));
		json_object_set_new(o, "reason", json_string(of->reason));
	}
	return o;
}

/* The offense that `id` names: the whole id, or its beginning as lists show it. */
static enum sp_err
find(struct api_call *c, struct sp_store *s, struct sp_store_offense *ret)
{
	char text[SP_UUID_SIZE] = "";
	struct sp_uuid id;
	enum sp_err r;

	if ((r = api_str(c, "id", 1, text, sizeof(text))) != SP_OK)
		return r;
	if (sp_uuid_parse(text, &id) != SP_OK)
		return api_fail(c, SP_EINVAL, "\"%s\" is no id of an offense: 'offense list' shows them", text);
	if ((r = sp_store_offense_get(s, &id, ret)) == SP_ENOENT || (r == SP_OK && !api_in_scope(c, s, &ret->department_id)))
		return api_fail(c, SP_ENOENT, "there is no such offense");
	if (r != SP_OK)
		return api_store(c, r, "the offense");
	c->object = ret->id;
	(void)sp_strlcpy(c->what, ret->about, sizeof(c->what));
	return SP_OK;
}

/* ---- lists ---- */

struct listing {
	struct api_call	*c;
	struct sp_store	*s;
	int64_t		 state;		/* 0: any */
	int64_t		 limit;
	size_t		 seen;
};

static int
on_offense(const struct sp_store_offense *of, void *arg)
{
	struct listing *l = arg;

	l->seen++;
	if ((l->state == 0 || of->state == l->state) && api_in_scope(l->c, l->s, &of->department_id))
		json_array_append_new(l->c->out, offense_object(of));
	return json_array_size(l->c->out) >= (size_t)l->limit;
}

static enum sp_err
state_word(struct api_call *c, int64_t *ret)
{
	const char *t = api_text(c, "state");

	if (t == NULL)
		return SP_OK;
	for (size_t i = 1; i < SP_NELEMS(states); i++)
		if (strcmp(states[i], t) == 0) {
			*ret = (int64_t)i;
			return SP_OK;
		}
	return api_fail(c, SP_EINVAL, "state: open, dormant or closed");
}

void
offense_list(struct api_call *c, struct sp_store *s)
{
	struct listing l = { .c = c, .s = s, .limit = 1000 };
	struct sp_store_query q = { .text = api_text(c, "text") };
	enum sp_err r = SP_OK;
	size_t before;

	if (state_word(c, &l.state) != SP_OK || api_int(c, "limit", 1, API_ROWS_MAX, &l.limit) != SP_OK)
		return;
	c->out = json_array();
	do {
		before = l.seen;
		r = sp_store_offense_list(s, &q, on_offense, &l);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && l.seen - before == SP_STORE_PAGE_MAX && json_array_size(c->out) < (size_t)l.limit);
	(void)api_store(c, r, "the offenses");
}

static json_t *
alert_object(const struct sp_store_alert *a)
{
	json_t *o = json_pack("{s:o, s:o, s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:s}", "id", api_id(&a->id), "offense", api_id(&a->offense_id),
	    "rule", a->rule, "title", a->title, "entry", (json_int_t)a->entry, "property", a->property, "value", a->value, "severity",
	    WORD(severities, a->severity), "time", api_at(a->at_us), "events", a->events);

	json_object_set_new(o, "category", category_json(a->category));
	return o;
}

struct alerts {
	struct listing	l;
	json_t		*out;
	struct sp_uuid	 offense;	/* of the last alert, for which in_scope was found */
	int		 in_scope;
};

static int
on_alert(const struct sp_store_alert *a, void *arg)
{
	struct alerts *k = arg;
	struct sp_store_offense of;

	k->l.seen++;
	if (!sp_uuid_equal(&k->offense, &a->offense_id)) {
		k->offense = a->offense_id;
		k->in_scope = sp_store_offense_get(k->l.s, &a->offense_id, &of) == SP_OK && api_in_scope(k->l.c, k->l.s, &of.department_id);
	}
	if (k->in_scope)
		json_array_append_new(k->out, alert_object(a));
	return json_array_size(k->out) >= (size_t)k->l.limit;
}

void
alert_list(struct api_call *c, struct sp_store *s)
{
	struct alerts k = { .l = { .c = c, .s = s, .limit = 1000 } };
	struct sp_store_query q = { .text = api_text(c, "text") };
	size_t before;
	enum sp_err r;

	if (api_int(c, "limit", 1, API_ROWS_MAX, &k.l.limit) != SP_OK)
		return;
	c->out = k.out = json_array();
	do {
		before = k.l.seen;
		r = sp_store_alert_list(s, &q, on_alert, &k);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && k.l.seen - before == SP_STORE_PAGE_MAX && json_array_size(c->out) < (size_t)k.l.limit);
	(void)api_store(c, r, "the alerts");
}

/* ---- one offense, with everything that belongs to it ---- */

static int
add_alert(const struct sp_store_alert *a, void *arg)
{
	json_array_append_new(arg, alert_object(a));
	return 0;
}

static int
add_note(const struct sp_store_offense_note *n, void *arg)
{
	json_array_append_new(arg, json_pack("{s:o, s:s, s:s}", "time", api_at(n->created_us), "by", n->author, "text", n->text));
	return 0;
}

static int
add_response(const struct sp_store_response *r, void *arg)
{
	json_array_append_new(arg, json_pack("{s:o, s:s, s:s, s:s, s:o, s:s}", "id", api_id(&r->id), "action", r->action, "target", r->target,
	    "state", WORD(response_states, r->state), "time", api_at(r->done_us), "text", r->text));
	return 0;
}

/* The entries that the alerts counted, as the log has them: commands, targets, times. */
static void
add_events(struct api_call *c, json_t *alerts, json_t *out)
{
	struct logtail tail;
	size_t i;
	json_t *a;

	if (logtail_init(&tail, audit_dirfd(c->ctl->audit)) != SP_OK)
		return;
	json_array_foreach(alerts, i, a) {
		const char *p = json_string_value(json_object_get(a, "events"));

		while (p != NULL && *p != '\0' && json_array_size(out) < SP_STORE_PAGE_MAX) {
			char *end;
			uint64_t seq = strtoull(p, &end, 10);
			json_t *e = NULL;

			if (end != p && seq <= audit_durable(c->ctl->audit) && logtail_get(&tail, seq, &e) == SP_OK)
				json_array_append_new(out, e);
			p = *end == ',' ? end + 1 : NULL;
		}
	}
	logtail_release(&tail);
}

void
offense_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_offense of;
	struct sp_store_query q = { 0 };
	json_t *alerts = json_array(), *notes = json_array(), *done = json_array(), *events = json_array();
	enum sp_err r = find(c, s, &of);

	q.of = of.id;
	if (r == SP_OK && (r = sp_store_alert_list(s, &q, add_alert, alerts)) == SP_OK &&
	    (r = sp_store_offense_note_list(s, &q, add_note, notes)) == SP_OK &&
	    (r = sp_store_response_list(s, &q, add_response, done)) == SP_OK) {
		add_events(c, alerts, events);
		c->out = offense_object(&of);
		json_object_set(c->out, "alert_rows", alerts);
		json_object_set(c->out, "notes", notes);
		json_object_set(c->out, "responses", done);
		json_object_set(c->out, "events", events);
	} else if (c->err == SP_OK) {
		(void)api_store(c, r, "the offense");
	}
	json_decref(alerts);
	json_decref(notes);
	json_decref(done);
	json_decref(events);
}

void
offense_categories(struct api_call *c, struct sp_store *s)
{
	const struct sp_category *k;

	(void)s;
	c->out = json_array();
	for (unsigned i = 0; (k = sp_category_at(i)) != NULL; i++)
		json_array_append_new(c->out, json_pack("{s:s, s:s, s:s, s:s, s:s}", "key", k->key, "high", k->high, "low", k->low,
		    "high_zh", k->high_zh, "low_zh", k->low_zh));
}

/* ---- changes ---- */

static void
change(struct api_call *c, struct sp_store *s, struct sp_store_offense *of)
{
	if (api_store(c, sp_store_offense_update(s, of), "the offense") == SP_OK)
		c->out = offense_object(of);
}

static enum sp_err
note_add(struct api_call *c, struct sp_store *s, const struct sp_store_offense *of, int required)
{
	struct sp_store_offense_note n = { .offense_id = of->id };
	enum sp_err r = api_str(c, "note", required, n.text, sizeof(n.text));

	if (r != SP_OK || n.text[0] == '\0')
		return r != SP_OK || !required ? r : api_fail(c, SP_EUSAGE, "note: what was found, and done");
	(void)sp_strlcpy(n.author, api_actor(c), sizeof(n.author));
	return api_store(c, sp_store_offense_note_add(s, &n), "the note");
}

void
offense_note(struct api_call *c, struct sp_store *s)
{
	struct sp_store_offense of;

	if (find(c, s, &of) == SP_OK && note_add(c, s, &of, 1) == SP_OK)
		c->out = offense_object(&of);
}

void
offense_assign(struct api_call *c, struct sp_store *s)
{
	struct sp_store_offense of;
	struct sp_store_user u;

	if (find(c, s, &of) != SP_OK || api_user(c, s, "owner", &u) != SP_OK)
		return;
	(void)sp_strlcpy(of.owner, u.login, sizeof(of.owner));
	(void)sp_strlcpy(c->what, of.about, sizeof(c->what));
	change(c, s, &of);
}

void
offense_protect(struct api_call *c, struct sp_store *s)
{
	struct sp_store_offense of;

	if (find(c, s, &of) != SP_OK)
		return;
	of.is_protected = !json_is_true(json_object_get(c->params, "off"));
	change(c, s, &of);
}

void
offense_close(struct api_call *c, struct sp_store *s)
{
	struct sp_store_offense of;
	size_t i;

	if (find(c, s, &of) != SP_OK)
		return;
	if (of.state == SP_STORE_OFFENSE_CLOSED) {
		(void)api_fail(c, SP_ESTATE, "it was closed by %s", of.closed_by);
		return;
	}
	if (api_str(c, "reason", 1, of.reason, sizeof(of.reason)) != SP_OK)
		return;
	for (i = 0; reasons[i] != NULL && strcmp(reasons[i], of.reason) != 0; i++)
		;
	if (reasons[i] == NULL) {
		(void)api_fail(c, SP_EINVAL, "reason: resolved, false-positive, policy, duplicate or other");
		return;
	}
	if (note_add(c, s, &of, 1) != SP_OK)
		return;
	of.state = SP_STORE_OFFENSE_CLOSED;
	of.closed_us = ctl_wall_us();
	(void)sp_strlcpy(of.closed_by, api_actor(c), sizeof(of.closed_by));
	/* siem reads these in the log, and counts anew. */
	api_more(c, "property", json_string(of.property));
	api_more(c, "value", json_string(of.value));
	api_more(c, "reason", json_string(of.reason));
	change(c, s, &of);
}

struct allowing {
	struct sp_uuid			 response;
	struct sp_store_response	 row;
	int				 found;
};

static int
on_asking(const struct sp_store_response *r, void *arg)
{
	struct allowing *a = arg;

	if (r->state == SP_STORE_RESPONSE_ASKS) {
		a->row = *r;
		a->found = 1;
	}
	return a->found;
}

/* What a rule would have done, had it not been too much at once. */
void
offense_allow(struct api_call *c, struct sp_store *s)
{
	struct sp_store_offense of;
	struct sp_store_query q = { 0 };
	struct allowing a = { .found = 0 };
	struct sp_store_user u;
	struct sp_uuid id;

	if (find(c, s, &of) != SP_OK)
		return;
	q.of = of.id;
	if (api_store(c, sp_store_response_list(s, &q, on_asking, &a), "the responses") != SP_OK)
		return;
	if (!a.found) {
		(void)api_fail(c, SP_ESTATE, "no response of it waits to be allowed");
		return;
	}
	if (strcmp(of.property, "user_id") != 0 || sp_uuid_parse(of.value, &id) != SP_OK ||
	    api_store(c, sp_store_user_get(s, &id, &u), of.about) != SP_OK) {
		(void)api_fail(c, SP_ENOENT, "the user that it is about is no more");
		return;
	}
	if (api_store(c, offense_respond(s, &u, &a.row), of.about) != SP_OK)
		return;
	if (a.row.state == SP_STORE_RESPONSE_DONE)
		api_epoch(c, &u, "a response of a rule was allowed");
	c->user = u.id;
	api_more(c, "action", json_string(a.row.action));
	c->out = json_pack("{s:s, s:s, s:s, s:s}", "action", a.row.action, "target", a.row.target, "state", WORD(response_states, a.row.state),
	    "text", a.row.text);
}

void
siem_status_loop(struct api_call *c)
{
	c->out = siem_json(c->ctl);
}
