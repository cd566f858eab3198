/* src/control/siem.c - siem's side of control: the audit log in order to it, the detections, its alerts. Process: control; files and
 * rows are read in the reading lane.
 *
 *	SIEM_ASK(after, generation) -> the rules, if it has others -> durable entries behind `after` -> SIEM_EVENTS
 *	SIEM_ALERT -> offense_take() -> SIEM_TAKEN
 *
 * Invariants: (1) only durable entries are judged. (2) One batch is on its way; siem asks for the next when all its alerts are taken.
 * (3) While siem is away entries wait in the log: nothing is lost, and nothing here waits for it. (4) In quarantine nothing is judged. */
#include "control/siem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/detect.h"
#include "control/logtail.h"
#include "control/offense.h"
#include "control/quarantine.h"

#define SIEM_PAGE	64u			/* entries of a batch */
#define SIEM_BYTES	((size_t)150 * 1024)	/* of a batch */
#define SIEM_ALERTS	4096			/* that wait to be taken */
#define SIEM_LOOK_US	(10 * SP_US_PER_S)	/* for detections that another control changed */
#define SIEM_AGAIN_US	(2 * SP_US_PER_S)	/* after a failure */
#define SIEM_LATE_US	(60 * SP_US_PER_S)	/* without a word of it that doctor complains about */

struct waiting {			/* an alert that is not taken yet */
	struct sp_list	link;
	uint64_t	number;
	unsigned	round;
	struct alert	a;
};
struct siem {
	struct ctl		*ctl;
	struct sp_chan		*chan;		/* NULL: it is away */
	unsigned		 round;		/* which siem: what an older one said is not answered */
	/* entries */
	struct ctl_job		 job;
	struct logtail		 tail;
	int			 is_asked, is_running;
	unsigned		 asked_n, job_n;
	uint64_t		 after, from, head, upto, not_before_us;
	struct { uint64_t seq; char *entry; } got[SIEM_PAGE];
	size_t			 got_n;
	/* rules */
	struct ctl_job		 load;
	int			 is_loading, load_again, has_said_wrong;
	struct detect_set	*set, *next;	/* NULL before the first load; of the job */
	uint64_t		 has, look_us;	/* generation that siem was sent */
	uint64_t		 load_known;	/* of the job: generation of `set`; 0: none */
	char			 wrong[512], load_wrong[512];
	/* alerts, in order */
	struct sp_list		 alerts;
	size_t			 alerts_n;
	int			 is_taking;
	/* what it said */
	uint64_t		 judged, groups, memory, evicted, said_us;
	char			 text[256];
};

static void	alert_next(struct siem *s);

static void
siem_send(struct siem *s, uint16_t id, const void *body)
{
	if (s->chan != NULL && sp_chan_send(s->chan, id, 0, body, NULL, 0) != SP_OK)
		sp_warn("siem does not take a message: it asks again once it was started anew");
}

/* ---- rules ---- */

static void
load_work(struct ctl_job *j, struct sp_store *st)
{
	struct siem *s = sp_container(j, struct siem, load);

	s->load_wrong[0] = '\0';
	j->err = detect_load(st, NULL, s->load_known, &s->next, s->load_wrong, sizeof(s->load_wrong));
}

static void
rules_send(struct siem *s)
{
	size_t n = detect_n(s->set);

	s->has = detect_generation(s->set);
	for (size_t i = 0; i < (n > 0 ? n : 1); i++) {
		Sallyport__SiemRule m = SALLYPORT__SIEM_RULE__INIT;

		m.generation = s->has;
		m.name = ctl_str(n > 0 ? detect_name(s->set, i) : "");
		m.text = ctl_str(n > 0 ? detect_text(s->set, i) : "");
		m.last = i + 1 >= n;
		siem_send(s, SP_MSG_SIEM_RULE, &m);
	}
}

static void
load_done(struct ctl_job *j)
{
	struct siem *s = sp_container(j, struct siem, load);

	s->is_loading = 0;
	if (j->err == SP_OK) {
		if (s->next != NULL) {		/* else nothing has changed */
			detect_free(s->set);
			s->set = s->next;
			s->next = NULL;
		}
		s->wrong[0] = '\0';
		s->has_said_wrong = 0;
		if (s->has != detect_generation(s->set) && s->chan != NULL)
			rules_send(s);
	} else if (j->err == SP_EFORMAT) {
		(void)sp_strlcpy(s->wrong, s->load_wrong, sizeof(s->wrong));
		if (!s->has_said_wrong)
			sp_error("the detections in the store do not load, those before them stay in force: %s", s->wrong);
		s->has_said_wrong = 1;
	}
	if (s->load_again) {
		s->load_again = 0;
		siem_reload(s->ctl);
	}
}

void
siem_reload(struct ctl *c)
{
	struct siem *s = c->siem;

	s->look_us = sp_now_us() + SIEM_LOOK_US;
	if (s->is_loading) {
		s->load_again = 1;
		return;
	}
	s->is_loading = 1;
	s->load_known = s->set != NULL ? detect_generation(s->set) : 0;
	ctl_job_run(c, CTL_READ, &s->load);
}

/* ---- entries ---- */

static void
got_drop(struct siem *s)
{
	for (size_t i = 0; i < s->got_n; i++)
		free(s->got[i].entry);
	s->got_n = 0;
}

/* An entry too long for a message is judged without its details. */
static char *
entry_text(json_t *o)
{
	char *t = json_dumps(o, JSON_COMPACT);

	if (t == NULL || strlen(t) <= SIEM_BYTES)
		return t;
	free(t);
	json_object_del(o, "more");
	return json_dumps(o, JSON_COMPACT);
}

static enum sp_err
read_one(struct siem *s, uint64_t seq, size_t *bytes)
{
	json_t *o = NULL;
	enum sp_err r = logtail_get(&s->tail, seq, &o);
	char *t;

	if (r != SP_OK)
		return r;
	t = entry_text(o);
	json_decref(o);
	if (t == NULL)
		return SP_ENOMEM;
	if (s->got_n > 0 && *bytes + strlen(t) > SIEM_BYTES) {
		free(t);
		return SP_EFULL;
	}
	*bytes += strlen(t);
	s->got[s->got_n].seq = seq;
	s->got[s->got_n++].entry = t;
	return SP_OK;
}

static void
read_work(struct ctl_job *j, struct sp_store *st)
{
	struct siem *s = sp_container(j, struct siem, job);
	size_t bytes = 0;
	enum sp_err r = SP_OK;

	(void)st;
	s->upto = s->from;
	for (uint64_t seq = s->from + 1; seq <= s->head && s->got_n < SIEM_PAGE && r == SP_OK; seq++)
		if ((r = read_one(s, seq, &bytes)) == SP_OK)
			s->upto = seq;
	j->err = s->got_n > 0 ? SP_OK : r;
}

static void
events_send(struct siem *s, uint64_t after, uint64_t upto)
{
	Sallyport__CopyBatch m = SALLYPORT__COPY_BATCH__INIT;
	Sallyport__CopyEntry e[SIEM_PAGE], *list[SIEM_PAGE];

	for (size_t i = 0; i < s->got_n; i++) {
		sallyport__copy_entry__init(&e[i]);
		e[i].seq = s->got[i].seq;
		e[i].entry = ctl_bytes(s->got[i].entry, strlen(s->got[i].entry));
		list[i] = &e[i];
	}
	m.after = after;
	m.upto = upto;
	m.n_entries = s->got_n;
	m.entries = list;
	s->is_asked = 0;
	siem_send(s, SP_MSG_SIEM_EVENTS, &m);
}

static void
read_done(struct ctl_job *j)
{
	struct siem *s = sp_container(j, struct siem, job);

	s->is_running = 0;
	if (s->job_n == s->asked_n && s->is_asked) {
		if (j->err == SP_OK) {
			events_send(s, s->from, s->upto);
		} else {
			s->not_before_us = sp_now_us() + SIEM_AGAIN_US;
			sp_warn("entries cannot be read for siem: %s", sp_err_text(j->err));
		}
	}
	got_drop(s);
}

void
siem_grown(struct ctl *c)
{
	struct siem *s = c->siem;
	uint64_t head;

	if (s == NULL || s->chan == NULL || !s->is_asked || s->is_running || c->stopping || quarantine_is(c) ||
	    sp_now_us() < s->not_before_us || (head = audit_durable(c->audit)) <= s->after)
		return;
	s->from = s->after;
	s->head = head;
	s->is_running = 1;
	s->job_n = s->asked_n;
	ctl_job_run(c, CTL_READ, &s->job);
}

static void
on_ask(struct siem *s, const Sallyport__SiemAsk *m)
{
	uint64_t head = audit_durable(s->ctl->audit);

	s->asked_n++;
	s->is_asked = 0;
	if (s->set == NULL) {			/* it is asked again when they are there */
		s->has = 0;
		return;
	}
	if (m->generation != detect_generation(s->set)) {
		rules_send(s);
		return;
	}
	s->is_asked = 1;
	s->after = m->after;
	if (m->first || m->after > head) {
		/* It begins with what happens now: nobody is disabled for what was long ago. */
		if (!m->first)
			sp_warn("siem judged up to entry %" PRIu64 ", the log has %" PRIu64 ": it was put back", m->after, head);
		s->after = head;
		if (m->first)
			events_send(s, head, head);
		return;
	}
	siem_grown(s->ctl);
}

/* ---- alerts ---- */

static void
alert_drop(struct siem *s, struct waiting *w)
{
	sp_list_remove(&w->link);
	s->alerts_n--;
	free(w);
}

static void
alert_taken(void *arg)
{
	struct siem *s = arg;
	struct waiting *w = sp_container(s->alerts.next, struct waiting, link);
	Sallyport__SiemTaken m = SALLYPORT__SIEM_TAKEN__INIT;

	m.number = w->number;
	if (w->round == s->round)
		siem_send(s, SP_MSG_SIEM_TAKEN, &m);
	alert_drop(s, w);
	s->is_taking = 0;
	alert_next(s);
}

static void
alert_next(struct siem *s)
{
	if (s->is_taking || sp_list_empty(&s->alerts))
		return;
	s->is_taking = 1;
	offense_take(s->ctl, &sp_container(s->alerts.next, struct waiting, link)->a, alert_taken, s);
}

static void
events_text(const Sallyport__SiemAlert *m, char *dst, size_t size)
{
	size_t n = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < m->n_events && n + 24 < size; i++) {
		char one[24];

		sp_snprintf(one, sizeof(one), "%s%" PRIu64, i > 0 ? "," : "", m->events[i]);
		n += sp_strlcpy(dst + n, one, size - n) == 0 ? strlen(one) : 0;
	}
}

/* Alerts are known by this, entry and value: two rules of one detection are two. */
static void
alert_name(struct alert *a, unsigned line)
{
	char name[SP_STORE_NAME_MAX - 11];

	if (a->rule.nth == 0)
		return;
	sp_escape(a->name, strlen(a->name), name, sizeof(name));
	sp_snprintf(a->name, sizeof(a->name), "%s:%u", name, line);
}

static void
alert_about(const Sallyport__SiemAlert *m, struct alert *a)
{
	size_t at = 0;

	for (size_t i = 0; i < m->n_property; i++)
		if (a->rule.property[0] != '\0' && strcmp(m->property[i], a->rule.property) == 0)
			at = i;
	if (m->n_property == 0) {
		(void)sp_strlcpy(a->property, "rule", sizeof(a->property));
		(void)sp_strlcpy(a->value, a->name, sizeof(a->value));
		return;
	}
	sp_escape(m->property[at], strlen(m->property[at]), a->property, sizeof(a->property));
	sp_escape(m->value[at], strlen(m->value[at]), a->value, sizeof(a->value));
	if (a->value[0] == '\0')
		(void)sp_strlcpy(a->value, "(none)", sizeof(a->value));
}

static void
on_alert(struct siem *s, const Sallyport__SiemAlert *m)
{
	struct waiting *w;

	if (m->n_property != m->n_value || m->entry == 0 || m->entry > INT64_MAX || s->alerts_n == SIEM_ALERTS) {
		sp_error("siem sent a false alert: it is not listened to until it is started anew");
		sp_chan_free(s->chan);
		s->chan = NULL;
		return;
	}
	if ((w = calloc(1, sizeof(*w))) == NULL)
		sp_die(71, "out of memory");
	w->number = m->number;
	w->round = s->round;
	w->a.entry = (int64_t)m->entry;
	w->a.at_us = m->at_us > 0 ? m->at_us : 0;
	(void)sp_strlcpy(w->a.name, m->rule, sizeof(w->a.name));
	events_text(m, w->a.events, sizeof(w->a.events));
	sp_list_add_tail(&s->alerts, &w->link);
	s->alerts_n++;
	if (s->set == NULL || detect_rule(s->set, m->rule, m->line, &w->a.rule) != SP_OK) {
		Sallyport__SiemTaken t = SALLYPORT__SIEM_TAKEN__INIT;

		sp_info("an alert of %s came when that rule had gone already", w->a.name);
		t.number = w->number;
		alert_drop(s, w);
		siem_send(s, SP_MSG_SIEM_TAKEN, &t);
		return;
	}
	alert_name(&w->a, m->line);
	alert_about(m, &w->a);
	alert_next(s);
}

/* ---- siem ---- */

static void
on_state(struct siem *s, const Sallyport__SiemState *m)
{
	s->judged = m->judged;
	s->groups = m->groups;
	s->memory = m->memory;
	s->evicted = m->evicted;
	s->said_us = sp_now_us();
	sp_escape(m->text, strlen(m->text), s->text, sizeof(s->text));
}

static void
on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct siem *s = arg;

	(void)chan;
	if (m->id == SP_MSG_SIEM_ASK)
		on_ask(s, (const Sallyport__SiemAsk *)m->body);
	else if (m->id == SP_MSG_SIEM_ALERT)
		on_alert(s, (const Sallyport__SiemAlert *)m->body);
	else if (m->id == SP_MSG_SIEM_STATE)
		on_state(s, (const Sallyport__SiemState *)m->body);
}

static void
on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct siem *s = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s from siem: %s", what, sp_err_text(why));
	if (s->chan == chan)
		s->chan = NULL;
	sp_chan_free(chan);
}

void
siem_peer(struct ctl *c, int fd)
{
	struct siem *s = c->siem;

	sp_chan_free(s->chan);
	s->chan = NULL;
	s->round++;
	s->asked_n++;
	s->is_asked = 0;
	s->has = 0;
	if (sp_chan_new(fd, SP_PROC_CONTROL, SP_PROC_SIEM, on_msg, on_close, s, &s->chan) != SP_OK)
		return;
	if (sp_chan_watch(s->chan, c->child.loop) != SP_OK) {
		sp_chan_free(s->chan);
		s->chan = NULL;
	}
}

void
siem_tick(struct ctl *c, uint64_t now_us)
{
	struct siem *s = c->siem;

	if (c->store_open && !c->stopping && now_us >= s->look_us)
		siem_reload(c);
	siem_grown(c);
}

json_t *
siem_json(const struct ctl *c)
{
	const struct siem *s = c->siem;
	uint64_t head = audit_durable(c->audit);

	return json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "running", s->chan != NULL, "detections",
	    (json_int_t)(s->set != NULL ? detect_n(s->set) : 0), "judged", (json_int_t)s->judged, "behind",
	    (json_int_t)(head > s->judged ? head - s->judged : 0), "groups", (json_int_t)s->groups, "evicted", (json_int_t)s->evicted,
	    "alerts_waiting", (json_int_t)s->alerts_n);
}

void
siem_doctor(const struct ctl *c, int *ret_ok, char *text, size_t n)
{
	const struct siem *s = c->siem;

	*ret_ok = 0;
	if (s->chan == NULL)
		sp_snprintf(text, n, "siem is not running: entries wait in the log and are judged when it is; see the log of the monitor");
	else if (*s->wrong != '\0' || *s->text != '\0')
		sp_snprintf(text, n, "a detection does not load: %s", *s->wrong != '\0' ? s->wrong : s->text);
	else if (s->alerts_n > 0 && s->said_us + SIEM_LATE_US < sp_now_us())
		sp_snprintf(text, n, "%zu alerts wait to be written", s->alerts_n);
	else {
		*ret_ok = 1;
		sp_snprintf(text, n, "%zu detections in force", s->set != NULL ? detect_n(s->set) : 0);
	}
}

enum sp_err
siem_new(struct ctl *c, int audit_dir)
{
	struct siem *s = calloc(1, sizeof(*s));
	enum sp_err r;

	if (s == NULL)
		return SP_ENOMEM;
	s->ctl = c;
	s->job = (struct ctl_job){ .work = read_work, .done = read_done };
	s->load = (struct ctl_job){ .work = load_work, .done = load_done };
	sp_list_init(&s->alerts);
	if ((r = logtail_init(&s->tail, audit_dir)) != SP_OK) {
		free(s);
		return r;
	}
	c->siem = s;
	return SP_OK;
}

void
siem_free(struct ctl *c)
{
	struct siem *s = c->siem;

	if (s == NULL)
		return;
	sp_chan_free(s->chan);
	got_drop(s);
	while (!sp_list_empty(&s->alerts))
		alert_drop(s, sp_container(s->alerts.next, struct waiting, link));
	detect_free(s->set);
	detect_free(s->next);
	logtail_release(&s->tail);
	free(s);
	c->siem = NULL;
}
