/* src/control/leftover.c - events that recorders left behind when they ended while control was away: a replay child of the
 * scribe parent sends them over the parent's own channel. Process: control, event loop.
 * Invariants: (1) one message is read at a time, and none while the session that the last one belongs to is being looked
 * up. (2) What is in the audit log already, and an END for a session that control has ended itself, are acknowledged and
 * dropped. (3) What cannot be looked up is not acknowledged: it stays in the spool and comes again. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct leftover {
	struct ctl		*ctl;
	struct sp_chan		*chan;		/* NULL while there is no scribe parent */
	struct sp_source	*source;
	struct target		*t;		/* whose events come at present; a reference */
	Sallyport__Event	*held;		/* until t is looked up */
};

static void
leftover_ack(struct leftover *l)
{
	Sallyport__EventAck a = SALLYPORT__EVENT_ACK__INIT;

	if (l->chan == NULL || l->t == NULL)
		return;
	a.session_id = ctl_uuid_bytes(&l->t->row.id);
	a.seq = (uint64_t)l->t->seq_durable;
	if (sp_chan_send(l->chan, SP_MSG_EVENT_ACK, 0, &a, NULL, 0) != SP_OK)
		sp_warn("a replay does not take its acknowledgements");
}

static void
leftover_take(struct leftover *l, const Sallyport__Event *e)
{
	struct target *t = l->t;

	if (e->seq > (uint64_t)t->seq_seen && t->ended && t->scribe == NULL && strcmp(e->kind, "end") == 0) {
		/* Control's own END stands; nobody else is left to say anything. */
		t->seq_seen = (int64_t)e->seq;
		t->seq_durable = t->seq_seen;
	}
	if (e->seq > (uint64_t)t->seq_seen)
		event_take(t, e);
	else if (t->seq_durable >= (int64_t)e->seq) {
		leftover_ack(l);
		target_forget(t);
	}
}

static void
leftover_drop(struct leftover *l)
{
	if (l->held != NULL)
		sallyport__event__free_unpacked(l->held, NULL);
	l->held = NULL;
}

static void
leftover_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	const Sallyport__Event *e = (Sallyport__Event *)m->body;
	struct leftover *l = arg;
	struct sp_uuid id;
	int fresh = 0;

	(void)chan;
	if (m->id != SP_MSG_EVENT || ctl_uuid_of(&e->session_id, &id) != SP_OK || e->seq == 0 || e->seq > INT64_MAX) {
		sp_warn("a replayed event that makes no sense is dropped");
		return;
	}
	if (l->t == NULL || !sp_uuid_equal(&l->t->row.id, &id)) {
		struct target *t = target_find(l->ctl, &id);

		fresh = t == NULL;
		if (fresh && (t = target_new(l->ctl, &id)) == NULL)
			return;
		target_unref(l->t);
		l->t = target_ref(t);
	}
	if (fresh)
		event_load(l->t);
	if (fresh && !l->t->loading)
		return;		/* no memory */
	if (!l->t->loading) {
		leftover_take(l, e);
		return;
	}
	leftover_drop(l);
	l->held = (Sallyport__Event *)(void *)protobuf_c_message_unpack(&sallyport__event__descriptor, NULL, m->raw_len, m->raw);
	if (l->source != NULL)
		sp_source_events(l->source, 0);
}

static void
leftover_close(struct leftover *l)
{
	sp_source_remove(l->source);
	l->source = NULL;
	sp_chan_free(l->chan);
	l->chan = NULL;
	leftover_drop(l);
}

static void
leftover_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	(void)chan;
	(void)arg;
	if (why != SP_ECLOSED)
		sp_error("bad message %s from a replay: %s", what, sp_err_text(why));
}

static void
leftover_on_io(struct sp_source *s, uint32_t events, void *arg)
{
	struct leftover *l = arg;

	if (sp_chan_wait(l->chan, 0) == SP_ECLOSED || (l->held != NULL && (events & (EPOLLHUP | EPOLLERR)))) {
		leftover_close(l);
		return;
	}
	if (l->held == NULL)
		sp_source_events(s, EPOLLIN | (sp_chan_want_write(l->chan) ? (uint32_t)EPOLLOUT : 0));
}

void
leftover_loaded(struct target *t, int known)
{
	struct leftover *l = t->ctl->leftover;

	if (l == NULL || l->t != t || l->held == NULL)
		return;
	if (known)
		leftover_take(l, l->held);
	leftover_drop(l);
	if (l->source != NULL)
		sp_source_events(l->source, EPOLLIN);
}

void
leftover_durable(struct target *t)
{
	struct leftover *l = t->ctl->leftover;

	if (l != NULL && l->t == t && t->scribe == NULL)
		leftover_ack(l);
}

void
leftover_peer(struct ctl *c, int fd)
{
	struct leftover *l = c->leftover;

	if (l == NULL && (l = c->leftover = calloc(1, sizeof(*l))) == NULL) {
		sp_closep(&fd);
		return;
	}
	l->ctl = c;
	leftover_close(l);
	if (sp_chan_new(fd, SP_PROC_CONTROL, SP_PROC_SCRIBE, leftover_on_msg, leftover_on_close, l, &l->chan) != SP_OK) {
		l->chan = NULL;
		sp_error("no memory for the recorders' leftovers");
	} else if (sp_loop_add(c->child.loop, sp_chan_fd(l->chan), EPOLLIN, leftover_on_io, l, &l->source) != SP_OK) {
		l->source = NULL;
		leftover_close(l);
	}
}

void
leftover_free(struct ctl *c)
{
	struct leftover *l = c->leftover;

	if (l == NULL)
		return;
	leftover_close(l);
	target_unref(l->t);
	free(l);
	c->leftover = NULL;
}
