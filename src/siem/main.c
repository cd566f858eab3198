/* src/siem/main.c - sallyport-siem: judges the entries of the audit log in order, raises alerts to control. It has no network, no
 * store, and acts on nothing itself.
 *
 *	SIEM_ASK(after) -> SIEM_EVENTS -> rules -> SIEM_ALERT -> control writes it, with what follows -> SIEM_TAKEN -> SIEM_ASK ...
 *
 * What was counted is on disk together with the number of the last entry that it counted; a restart judges what came since again and
 * raises the same alerts again, which control knows by rule, entry and value. So an alert is neither lost nor doubled.
 * Invariants: (1) what is saved never counts an entry whose alerts control did not take. (2) One question is open at a time; alerts
 * that a dead control did not take are said again to the next. (3) Entries are asked for by rules of one generation. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/child.h"
#include "sallyport.pb-c.h"
#include "siem/alertq.h"
#include "siem/judge.h"
#include "siem/memory.h"

#define SAVE_US		(SP_US_PER_S)
#define SIEM_FILES	64

struct siem {
	struct sp_child	 child;
	struct sp_chan	*control;
	struct judge	*judge;
	struct sp_timer	*save;
	struct alertq	 alerts;
	struct sp_buf	 counts;	/* read at the start, for the first rules */
	int		 dirfd, is_first, is_loading, is_asked;
	uint64_t	 upto, saved;	/* entries judged; on disk */
	uint64_t	 generation, next_generation;	/* of the rules in force; being loaded */
	uint64_t	 number;	/* of the last alert */
	char		 wrong[256];	/* a rule that does not load */
};

/* ---- to control ---- */

static void
siem_say(struct siem *s)
{
	Sallyport__SiemState m = SALLYPORT__SIEM_STATE__INIT;
	struct sp_corr_stats st;

	if (s->control == NULL)
		return;
	judge_stats(s->judge, &st);
	m.judged = s->upto;
	m.groups = st.groups;
	m.memory = st.memory;
	m.evicted = st.evicted;
	m.text = s->wrong;
	if (sp_chan_send(s->control, SP_MSG_SIEM_STATE, 0, &m, NULL, 0) != SP_OK)
		sp_debug("control does not take a state");
}

static void
siem_ask(struct siem *s)
{
	Sallyport__SiemAsk m = SALLYPORT__SIEM_ASK__INIT;

	if (s->control == NULL || s->is_asked || s->is_loading || !alertq_is_empty(&s->alerts))
		return;
	m.after = s->upto;
	m.first = s->is_first;
	m.generation = s->generation;
	if (sp_chan_send(s->control, SP_MSG_SIEM_ASK, 0, &m, NULL, 0) != SP_OK)
		sp_die(71, "control does not take a question");
	s->is_asked = 1;
}

static void
alert_send(struct siem *s, const struct open_alert *a)
{
	Sallyport__SiemAlert *m = sallyport__siem_alert__unpack(NULL, a->len, a->packed);

	if (m == NULL)
		sp_die(71, "out of memory");
	if (sp_chan_send(s->control, SP_MSG_SIEM_ALERT, 0, m, NULL, 0) != SP_OK)
		sp_die(71, "control does not take an alert");	/* started again, it judges these entries again */
	sallyport__siem_alert__free_unpacked(m, NULL);
}

static void
alerts_send(struct siem *s)
{
	const struct open_alert *a;

	while (s->control != NULL && (a = alertq_next(&s->alerts)) != NULL)
		alert_send(s, a);
}

static void
on_alert(const struct judge_alert *j, void *arg)
{
	struct siem *s = arg;
	Sallyport__SiemAlert m = SALLYPORT__SIEM_ALERT__INIT;
	char *property[JUDGE_PROPERTIES], *value[JUDGE_PROPERTIES];
	struct open_alert *a;

	for (size_t i = 0; i < j->n; i++) {
		property[i] = (char *)(uintptr_t)j->property[i];
		value[i] = (char *)(uintptr_t)j->value[i];
	}
	m.number = ++s->number;
	m.rule = (char *)(uintptr_t)j->rule;
	m.line = j->line;
	m.entry = j->entry;
	m.at_us = j->at_us;
	m.property = property;
	m.value = value;
	m.n_property = m.n_value = j->n;
	m.events = (uint64_t *)(uintptr_t)j->events;
	m.n_events = j->n_events;
	if ((a = alertq_add(&s->alerts, m.number, sallyport__siem_alert__get_packed_size(&m))) == NULL)
		sp_die(71, "out of memory");
	(void)sallyport__siem_alert__pack(&m, a->packed);
	alerts_send(s);
}

static void
alert_taken(struct siem *s, uint64_t number)
{
	alertq_taken(&s->alerts, number);
	alerts_send(s);
	siem_ask(s);
}

/* ---- rules ---- */

static void
rule_wrong(struct siem *s, const struct sp_rules_error *e)
{
	sp_snprintf(s->wrong, sizeof(s->wrong), "%s:%u: %s", e->file, e->line, e->why);
	sp_error("a rule is not in force: %s", s->wrong);
}

static void
rules_ready(struct siem *s)
{
	struct sp_rules_error e = { 0 };
	size_t dropped = 0, lost = 0;
	enum sp_err r = judge_ready(s->judge, &e, &dropped);

	s->is_loading = 0;
	s->generation = s->next_generation;
	if (r != SP_OK)
		rule_wrong(s, &e);
	else if (s->counts.len > 0 && (r = judge_load(s->judge, s->counts.p, s->counts.len, &lost)) != SP_OK)
		sp_error("what was counted before the restart cannot be used: %s", sp_err_text(r));
	sp_buf_release(&s->counts);
	if (dropped + lost > 0)
		sp_info("rules changed: %zu counts were dropped", dropped + lost);
	siem_say(s);
	s->is_asked = 0;
	siem_ask(s);
}

static void
on_rule(struct siem *s, const Sallyport__SiemRule *m)
{
	struct sp_rules_error e = { 0 };

	if (!s->is_loading || s->next_generation != m->generation) {
		s->is_loading = 1;
		s->next_generation = m->generation;
		s->wrong[0] = '\0';
		if (judge_begin(s->judge) != SP_OK)
			sp_die(71, "out of memory");
	}
	if (*m->name != '\0' && judge_rule(s->judge, m->name, m->text, &e) != SP_OK)
		rule_wrong(s, &e);
	if (m->last)
		rules_ready(s);
}

/* ---- entries ---- */

static void
on_events(struct siem *s, const Sallyport__CopyBatch *m)
{
	if (!s->is_asked || s->is_loading || (!s->is_first && m->after != s->upto))
		return;		/* of an older question */
	s->is_asked = 0;
	s->is_first = 0;
	for (size_t i = 0; i < m->n_entries; i++) {
		const Sallyport__CopyEntry *e = m->entries[i];
		enum sp_err r = judge_entry(s->judge, e->seq, (const char *)e->entry.data, e->entry.len, on_alert, s);

		if (r == SP_ENOMEM)
			sp_die(71, "out of memory");
		if (r != SP_OK)
			sp_warn("entry %llu cannot be judged: %s", (unsigned long long)e->seq, sp_err_text(r));
	}
	s->upto = m->upto;
	siem_ask(s);
}

static void
siem_save(struct siem *s)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = MEMORY_MAX };
	enum sp_err r;

	if (s->upto == s->saved || s->is_first || s->counts.len > 0 || !alertq_is_empty(&s->alerts))
		return;
	if ((r = judge_save(s->judge, &b)) != SP_OK || (r = memory_write(s->dirfd, s->upto, &b)) != SP_OK) {
		sp_error("what the rules counted cannot be saved: %s", sp_err_text(r));
		return;
	}
	s->saved = s->upto;
}

static void
on_save(struct sp_timer *t, void *arg)
{
	struct siem *s = arg;

	if (s->upto != s->saved)
		siem_say(s);
	siem_save(s);
	sp_timer_in(t, SAVE_US);
}

/* ---- control ---- */

static void
on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct siem *s = arg;

	(void)chan;
	if (m->id == SP_MSG_SIEM_RULE)
		on_rule(s, (const Sallyport__SiemRule *)m->body);
	else if (m->id == SP_MSG_SIEM_EVENTS)
		on_events(s, (const Sallyport__CopyBatch *)m->body);
	else if (m->id == SP_MSG_SIEM_TAKEN)
		alert_taken(s, ((const Sallyport__SiemTaken *)m->body)->number);
}

static void
on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct siem *s = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s from control: %s", what, sp_err_text(why));
	if (chan == s->control)
		s->control = NULL;
	sp_chan_free(chan);
}

static void
on_peer(struct sp_child *child, const Sallyport__Peer *p, int fd)
{
	struct siem *s = child->arg;

	if (p->kind != SP_PROC_CONTROL) {
		close(fd);
		return;
	}
	sp_chan_free(s->control);
	s->control = NULL;
	s->is_asked = s->is_loading = 0;
	if (sp_chan_new(fd, SP_PROC_SIEM, SP_PROC_CONTROL, on_msg, on_close, s, &s->control) != SP_OK ||
	    sp_chan_watch(s->control, s->child.loop) != SP_OK)
		sp_die(71, "cannot talk to control");
	alertq_again(&s->alerts);
	alerts_send(s);
	siem_ask(s);
}

static void
siem_sandbox(struct siem *s)
{
	static char path[4096];
	static const char *rw[] = { path, NULL };
	static const char *const ro[] = { NULL };
	const struct sp_sandbox box = { .may = SP_MAY_FILES, .user = sp_proc_user(SP_PROC_SIEM), .rw = rw, .ro = ro,
	    .files_n = SIEM_FILES };
	char link[64];
	ssize_t n;

	(void)sp_snprintf(link, sizeof(link), "/proc/self/fd/%d", s->dirfd);
	if ((n = readlink(link, path, sizeof(path) - 1)) <= 0)
		sp_die(71, "cannot name the directory");
	path[n] = '\0';
	sp_child_ready(&s->child, &box);
}

int
main(void)
{
	static const struct sp_child_ops ops = { .peer = on_peer };
	static struct siem s;
	enum sp_err r;
	int status;

	sp_child_init(&s.child, SP_PROC_SIEM, &ops, &s);
	alertq_init(&s.alerts);
	sp_buf_init(&s.counts, MEMORY_MAX);
	if ((s.dirfd = sp_child_take_fd(&s.child, "siem")) < 0)
		sp_die(78, "the monitor gave no directory");
	if (judge_new(&s.judge) != SP_OK || sp_timer_new(s.child.loop, on_save, &s, &s.save) != SP_OK)
		sp_die(71, "cannot start");
	siem_sandbox(&s);
	if ((r = memory_read(s.dirfd, &s.upto, &s.counts)) != SP_OK) {
		if (r != SP_ENOENT)
			sp_error("what was counted before cannot be read, and counting begins anew: %s", sp_err_text(r));
		s.is_first = 1;
	}
	s.saved = s.upto;
	sp_timer_in(s.save, SAVE_US);
	status = sp_child_run(&s.child);
	siem_save(&s);
	judge_free(s.judge);
	alertq_release(&s.alerts);
	return status;
}
