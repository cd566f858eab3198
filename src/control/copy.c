/* src/control/copy.c - hands the audit log on to the courier, for collectors outside. Process: control; files and rows are read in
 * the reading lane.
 *
 *	COPY_ASK(dest, after) -> durable entries behind `after` -> COPY_BATCH; with nothing new the question stays open
 *
 * The log itself is the spool: the courier keeps the number of the last entry that each collector has, and asks from there on. So
 * a collector that is away for a week costs nothing but its place, and nothing here ever waits for one.
 * Invariants: (1) only durable entries leave. (2) One batch per collector is on its way; the courier asks for the next. (3) An
 * entry too long for one message leaves without its details, and says so. */
#include "control/copy.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/copydest.h"
#include "control/logtail.h"
#include "control/quarantine.h"

#define COPY_PAGE	64u			/* entries of a batch */
#define COPY_BYTES	((size_t)120 * 1024)	/* of a batch; one entry is not longer either */
#define COPY_CONTEXT	((size_t)16 * 1024)
#define COPY_AGAIN_US	(2 * SP_US_PER_S)	/* after a failure */
#define COPY_TRIES	8			/* looks for the row of a session that the index does not have yet */

struct copied {
	uint64_t	 seq;
	char		*entry, *context;	/* owned; context may be NULL */
};
struct copy {				/* one collector */
	struct ctl_job	 job;
	struct copies	*all;
	int		 used, is_asked, is_running, wants_context;
	uint32_t	 corr;			/* of the question */
	unsigned	 asked_n;		/* questions so far: a job answers the one that it was started for */
	unsigned	 job_n;
	char		 name[SP_COPY_NAME];
	uint64_t	 asked_after, after;	/* of the question, and what to begin behind for it */
	uint64_t	 from, head;		/* of the job: behind, and durable when it was started */
	uint64_t	 not_before_us;
	unsigned	 tries;
	struct logtail	 tail;
	struct copied	 got[COPY_PAGE];	/* of the job */
	size_t		 got_n;
	uint64_t	 upto;
	/* what the courier said */
	int		 is_known, is_away;
	uint64_t	 confirmed;
	char		 text[256];
	uint64_t	 behind_since_us;	/* boottime since when it is not up to date without having moved; 0: it is */
	int		 late;			/* the alarm was raised */
	uint64_t	 target;		/* the log's end when it last stood still: with that it is there again */
};
struct copies {
	struct ctl	*ctl;
	int		 dirfd;			/* of the audit log; owned */
	struct copy	 of[SP_COPY_DESTS];
};

/* ---- the worker: entries and what belongs to them ---- */

static void
copy_drop(struct copy *p)
{
	for (size_t i = 0; i < p->got_n; i++) {
		free(p->got[i].entry);
		free(p->got[i].context);
	}
	p->got_n = 0;
}

/* As it stands in the log, or without details where it would not fit. */
static char *
entry_text(json_t *o)
{
	char *s = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	size_t n = s != NULL ? strlen(s) : 0;

	if (n <= COPY_BYTES)
		return s;
	free(s);
	json_object_set_new(o, "more", json_pack("{s:I}", "left_out_bytes", (json_int_t)n));
	s = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	return s;
}

static int
id_of(const json_t *o, const char *key, struct sp_uuid *ret)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && sp_uuid_parse(s, ret) == SP_OK;
}

static void
add_user(json_t *ctx, const char *key, const struct sp_store_user *u)
{
	json_object_set_new(ctx, key, json_pack("{s:s, s:s}", "login", u->login, "name", u->full_name));
}

static void
add_session(json_t *ctx, const struct sp_store_session *r)
{
	char user[SP_UUID_SIZE], asset[SP_UUID_SIZE], from[SP_RFC3339_SIZE];

	json_object_set_new(ctx, "session", json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "user_id",
	    sp_uuid_text(&r->user_id, user), "user", r->user_login, "asset_id", sp_uuid_text(&r->asset_id, asset), "asset", r->asset_name,
	    "account", r->account, "protocol", r->protocol, "source", r->source, "error", r->error, "started",
	    sp_rfc3339(r->started_us, from, sizeof(from)), "bytes_in", (json_int_t)r->bytes_in, "bytes_out", (json_int_t)r->bytes_out));
}

/* What the form of another product wants to know beside the entry: names of people, addresses, the session's beginning.
 * SP_EAGAIN: the index is about to get the session's row. */
static enum sp_err
context_of(struct copy *p, struct sp_store *s, const json_t *o, char **ret)
{
	sp_auto(sp_freep) struct sp_store_user *u = calloc(1, sizeof(*u));
	sp_auto(sp_freep) struct sp_store_asset *a = calloc(1, sizeof(*a));
	sp_auto(sp_freep) struct sp_store_session *row = calloc(1, sizeof(*row));
	const char *actor = json_string_value(json_object_get(o, "actor"));
	const char *kind = json_string_value(json_object_get(o, "kind"));
	struct sp_uuid id;
	json_t *ctx = json_object();

	if (u == NULL || a == NULL || row == NULL || ctx == NULL) {
		json_decref(ctx);
		return SP_ENOMEM;
	}
	if (id_of(o, "session", &id) && sp_store_session_get(s, &id, row) == SP_OK) {
		add_session(ctx, row);
	} else if (kind != NULL && strcmp(kind, "session.end") == 0 && p->tries < COPY_TRIES) {
		json_decref(ctx);
		return SP_EAGAIN;
	}
	if (id_of(o, "user_id", &id) && sp_store_user_get(s, &id, u) == SP_OK)
		add_user(ctx, "user", u);
	if (actor != NULL && sp_store_user_by_login(s, actor, u) == SP_OK)
		add_user(ctx, "actor", u);
	if (id_of(o, "asset_id", &id) && sp_store_asset_get(s, &id, a) == SP_OK)
		json_object_set_new(ctx, "asset", json_pack("{s:s, s:s}", "name", a->name, "address", a->address));
	*ret = json_object_size(ctx) > 0 ? json_dumps(ctx, JSON_COMPACT) : NULL;
	json_decref(ctx);
	if (*ret != NULL && strlen(*ret) > COPY_CONTEXT) {
		free(*ret);
		*ret = NULL;
	}
	return SP_OK;
}

static enum sp_err
copy_one(struct copy *p, struct sp_store *s, uint64_t seq, size_t *bytes)
{
	struct copied *e = &p->got[p->got_n];
	json_t *o = NULL;
	size_t n;
	enum sp_err r = logtail_get(&p->tail, seq, &o);

	if (r != SP_OK)
		return r;
	*e = (struct copied){ .seq = seq };
	if (p->wants_context && (r = context_of(p, s, o, &e->context)) != SP_OK) {
		json_decref(o);
		return r;
	}
	e->entry = entry_text(o);
	json_decref(o);
	n = (e->entry != NULL ? strlen(e->entry) : 0) + (e->context != NULL ? strlen(e->context) : 0);
	r = e->entry == NULL ? SP_ENOMEM : n + *bytes > COPY_BYTES && p->got_n > 0 ? SP_EFULL : SP_OK;
	if (r != SP_OK) {
		free(e->entry);
		free(e->context);
		return r;
	}
	*bytes += n;
	p->got_n++;
	return SP_OK;
}

static void
copy_work(struct ctl_job *j, struct sp_store *s)
{
	struct copy *p = sp_container(j, struct copy, job);
	size_t bytes = 0;
	enum sp_err r = SP_OK;

	p->upto = p->from;
	for (uint64_t seq = p->from + 1; seq <= p->head && p->got_n < COPY_PAGE && r == SP_OK; seq++)
		if ((r = copy_one(p, s, seq, &bytes)) == SP_OK)
			p->upto = seq;
	j->err = p->got_n > 0 || r == SP_EFULL ? SP_OK : r;
}

/* ---- to the courier ---- */

static void
copy_send(struct copy *p)
{
	Sallyport__CopyBatch m = SALLYPORT__COPY_BATCH__INIT;
	Sallyport__CopyEntry e[COPY_PAGE], *list[COPY_PAGE];
	struct ctl *c = p->all->ctl;

	for (size_t i = 0; i < p->got_n; i++) {
		const struct copied *g = &p->got[i];

		sallyport__copy_entry__init(&e[i]);
		e[i].seq = g->seq;
		e[i].entry = ctl_bytes(g->entry, strlen(g->entry));
		if (g->context != NULL)
			e[i].context = ctl_bytes(g->context, strlen(g->context));
		list[i] = &e[i];
	}
	m.dest = p->name;
	m.after = p->from;
	m.upto = p->upto;
	m.n_entries = p->got_n;
	m.entries = list;
	/* A courier that does not take it asks again when it is there again. */
	if (c->courier == NULL || sp_chan_send(c->courier, SP_MSG_COPY_BATCH, p->corr, &m, NULL, 0) != SP_OK)
		sp_warn("the courier does not take entries for %s: it will ask again", p->name);
}

static void
copy_done(struct ctl_job *j)
{
	struct copy *p = sp_container(j, struct copy, job);

	p->is_running = 0;
	if (p->job_n != p->asked_n) {
		p->tries = 0;		/* asked again meanwhile: from another place */
	} else if (j->err == SP_OK && p->is_asked) {
		p->is_asked = 0;
		p->tries = 0;
		copy_send(p);
	} else if (p->is_asked) {
		p->tries += j->err == SP_EAGAIN;
		p->not_before_us = j->err == SP_EAGAIN ? 0 : sp_now_us() + COPY_AGAIN_US;
		if (j->err != SP_EAGAIN)
			sp_warn("entries for %s cannot be read now: %s", p->name, sp_err_text(j->err));
	}
	copy_drop(p);
}

static struct copy *
copy_find(struct copies *a, const char *name)
{
	for (size_t i = 0; i < SP_COPY_DESTS; i++)
		if (a->of[i].used && strcmp(a->of[i].name, name) == 0)
			return &a->of[i];
	return NULL;
}

/* The collectors of the configuration in force, each in a slot; one that is no longer named loses its slot once it is idle. */
static void
copy_match(struct ctl *c)
{
	struct copies *a = c->copies;
	struct sp_copy_dest d[SP_COPY_DESTS];
	size_t n = sp_copy_dests(&c->child.conf, d);

	for (size_t i = 0; i < SP_COPY_DESTS; i++) {
		struct copy *p = &a->of[i];
		int named = 0;

		for (size_t k = 0; k < n; k++)
			named |= p->used && strcmp(p->name, d[k].name) == 0;
		if (p->used && !named && !p->is_running) {
			logtail_release(&p->tail);
			p->used = 0;
		}
	}
	for (size_t k = 0; k < n; k++) {
		struct copy *p = copy_find(a, d[k].name);

		for (size_t i = 0; i < SP_COPY_DESTS && p == NULL; i++) {
			if (a->of[i].used)
				continue;
			p = &a->of[i];
			*p = (struct copy){ .all = a, .job = { .work = copy_work, .done = copy_done }, .wants_context = d[k].jumpserver };
			(void)sp_strlcpy(p->name, d[k].name, sizeof(p->name));
			p->used = logtail_init(&p->tail, a->dirfd) == SP_OK;
		}
	}
}

void
copy_ask(struct ctl *c, uint32_t corr, const Sallyport__CopyAsk *m)
{
	struct copy *p;
	uint64_t head = audit_durable(c->audit);

	copy_match(c);
	if ((p = copy_find(c->copies, m->dest)) == NULL)
		return;		/* a configuration that is not ours yet: the courier asks again */
	p->corr = corr;
	if (p->is_asked && p->asked_after == m->after)
		return;		/* the same question, repeated: what is on its way is the answer */
	p->asked_after = p->after = m->after;
	if (m->first && strcmp(c->child.conf.syslog_from, "now") == 0)
		p->after = head;
	if (m->after > head) {
		sp_warn("%s has entries up to %llu, the log has %llu: it was put back, and is sent anew from its beginning", p->name,
		    (unsigned long long)m->after, (unsigned long long)head);
		p->after = 0;
	}
	p->is_asked = 1;
	p->asked_n++;
	p->not_before_us = 0;
	copy_tick(c, sp_now_us());
}

void
copy_state(struct ctl *c, const Sallyport__CopyState *m)
{
	struct copy *p;

	copy_match(c);
	if ((p = copy_find(c->copies, m->dest)) == NULL)
		return;		/* as above: it is said again */
	if (!p->is_known || m->confirmed != p->confirmed)
		p->behind_since_us = 0;		/* it moves */
	p->is_known = 1;
	p->confirmed = m->confirmed;
	p->is_away = m->away;
	sp_escape(m->text, strlen(m->text), p->text, sizeof(p->text));
}

void
copy_peer(struct ctl *c)
{
	for (size_t i = 0; i < SP_COPY_DESTS; i++)
		c->copies->of[i].is_asked = 0;
}

/* ---- lag ---- */

static uint64_t
copy_behind(const struct copy *p, uint64_t head)
{
	return p->is_known && head > p->confirmed ? head - p->confirmed : 0;
}

static void
copy_say(struct ctl *c, struct copy *p, const char *kind, const char *result)
{
	char text[sizeof(p->name) + sizeof(p->text) + 64];
	json_t *more = json_pack("{s:s, s:I}", "collector", p->name, "confirmed", (json_int_t)p->confirmed);
	struct audit_entry e = { .kind = kind, .actor = "system", .result = result, .text = text, .more = more };

	sp_snprintf(text, sizeof(text), "%s, at entry %llu%s%s", p->name, (unsigned long long)p->confirmed,
	    strcmp(kind, "copy.late") != 0 ? "" : ": ", strcmp(kind, "copy.late") != 0 ? "" : *p->text != '\0' ? p->text :
	    "it takes nothing");
	audit_append(c->audit, &e, NULL, NULL);
	json_decref(more);
}

/* Late is who has not moved for syslog_late with something left to take, whether it is away or does not read. It has caught up with
 * what there was when it last stood still. */
static void
copy_look(struct ctl *c, struct copy *p, uint64_t now_us, uint64_t head)
{
	uint64_t still_us;

	if (!p->is_known)
		return;
	if (copy_behind(p, head) == 0)
		p->behind_since_us = 0;
	else if (p->behind_since_us == 0)
		p->behind_since_us = now_us;
	still_us = p->behind_since_us != 0 ? now_us - p->behind_since_us : 0;
	if (p->behind_since_us != 0 && (p->is_away || still_us >= c->child.conf.syslog_late))
		p->target = head;
	if (!p->late && p->behind_since_us != 0 && still_us >= c->child.conf.syslog_late) {
		p->late = 1;
		copy_say(c, p, "copy.late", "failed");
	} else if (p->late && p->confirmed >= p->target) {
		p->late = 0;
		copy_say(c, p, "copy.caught_up", "ok");
	}
}

void
copy_tick(struct ctl *c, uint64_t now_us)
{
	uint64_t head = audit_durable(c->audit);

	for (size_t i = 0; i < SP_COPY_DESTS; i++) {
		struct copy *p = &c->copies->of[i];

		if (!p->used || c->stopping || quarantine_is(c))
			continue;
		copy_look(c, p, now_us, head);
		if (!p->is_asked || p->is_running || head <= p->after || now_us < p->not_before_us)
			continue;
		p->from = p->after;
		p->head = head;
		p->is_running = 1;
		p->job_n = p->asked_n;
		ctl_job_run(c, CTL_READ, &p->job);
	}
}

static const char *
copy_word(const struct copy *p, uint64_t behind)
{
	return !p->is_known ? "not heard of yet" : p->is_away ? "away" : behind > 0 ? "sending" : "up to date";
}

json_t *
copy_json(struct ctl *c)
{
	uint64_t head = audit_durable(c->audit);
	json_t *rows = json_array();

	copy_match(c);
	for (size_t i = 0; i < SP_COPY_DESTS; i++) {
		const struct copy *p = &c->copies->of[i];
		uint64_t behind = copy_behind(p, head);

		if (p->used)
			json_array_append_new(rows, json_pack("{s:s, s:s, s:I, s:I, s:s}", "collector", p->name, "state",
			    copy_word(p, behind), "confirmed", (json_int_t)p->confirmed, "behind", (json_int_t)behind, "text", p->text));
	}
	return rows;
}

int
copy_doctor(struct ctl *c, size_t i, int *ret_ok, char *name, size_t name_n, char *text, size_t n)
{
	const struct copy *p;
	uint64_t behind;

	if (i == 0)
		copy_match(c);
	for (size_t k = 0; k < SP_COPY_DESTS; k++) {
		p = &c->copies->of[k];
		if (!p->used || i-- > 0)
			continue;
		behind = copy_behind(p, audit_durable(c->audit));
		*ret_ok = p->is_known && !p->is_away;
		sp_snprintf(name, name_n, "copy to %s", p->name);
		sp_snprintf(text, n, "%s, %llu entries behind%s%s", copy_word(p, behind), (unsigned long long)behind,
		    *p->text != '\0' ? ": " : "", p->text);
		return 1;
	}
	return 0;
}

enum sp_err
copy_new(struct ctl *c, int audit_dir)
{
	struct copies *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return SP_ENOMEM;
	a->ctl = c;
	if ((a->dirfd = fcntl(audit_dir, F_DUPFD_CLOEXEC, 3)) == -1) {
		free(a);
		return SP_ESYS;
	}
	c->copies = a;
	copy_match(c);
	return SP_OK;
}

void
copy_free(struct ctl *c)
{
	for (size_t i = 0; c->copies != NULL && i < SP_COPY_DESTS; i++)
		if (c->copies->of[i].used) {
			copy_drop(&c->copies->of[i]);
			logtail_release(&c->copies->of[i].tail);
		}
	if (c->copies != NULL)
		sp_closep(&c->copies->dirfd);
	free(c->copies);
	c->copies = NULL;
}
