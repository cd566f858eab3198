/* src/control/event.c - what the scribes report goes to the audit log first and is acknowledged when it is durable; then
 * to the index. And END: from the scribe, or from control when no scribe is left to write it.
 * Process: control, event loop.
 * Invariants: (1) an event of (session, seq) gets into the audit log once, however often a scribe sends it. (2) EVENT_ACK
 * names a seq only when it and all before it are durable. (3) A scribe speaks for the session of its descriptor only. */
#include "control/ctl.h"
#include "control/filelog.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/command.h"

struct event_arg {
	struct target	*t;
	int64_t		 seq;
	int64_t		 at_us, channel;
	uint64_t	 log_seq;	/* number of its entry */
	char		 kind[64 + 1];
	json_t		*body;
};
struct event_index {
	struct ctl_job		 job;
	struct sp_store_event	 e;
	char			*whole;		/* of a command: its body, however long; NULL */
	uint8_t			 payload[];
};

static void
event_ack(struct target *t)
{
	Sallyport__EventAck a = SALLYPORT__EVENT_ACK__INIT;

	if (t->scribe == NULL)
		return;
	a.session_id = ctl_uuid_bytes(&t->row.id);
	a.seq = (uint64_t)t->seq_durable;
	if (sp_chan_send(t->scribe, SP_MSG_EVENT_ACK, 0, &a, NULL, 0) != SP_OK)
		sp_warn("a scribe does not take its acknowledgements");
}

/* ---- the index ---- */

static void
event_index_work(struct ctl_job *j, struct sp_store *s)
{
	struct event_index *i = sp_container(j, struct event_index, job);

	j->err = filelog_event_put(s, &i->e);
	if (j->err == SP_OK && i->whole != NULL)
		j->err = command_index(s, &i->e.session_id, i->e.kind, i->e.at_us, i->whole, strlen(i->whole));
}

static void
event_index_done(struct ctl_job *j)
{
	if (j->err != SP_OK && j->err != SP_ECLOSED)
		sp_error("an event could not be written to the index: %s", sp_err_text(j->err));
	free(sp_container(j, struct event_index, job)->whole);
	free(sp_container(j, struct event_index, job));
}

static void
event_to_index(const struct event_arg *a, struct ctl *c)
{
	char *text = json_dumps(a->body, JSON_COMPACT | JSON_SORT_KEYS);
	size_t n = text != NULL ? strlen(text) : 0;
	struct event_index *i = calloc(1, sizeof(*i) + 64 + n);

	if (i != NULL && text != NULL) {
		if (n > SP_STORE_PAYLOAD_MAX) {	/* the audit log has it whole */
			(void)sp_snprintf((char *)i->payload, 64, "{\"bytes\":%zu,\"cut\":true}", n);
			n = strlen((char *)i->payload);
		} else {
			memcpy(i->payload, text, n);
		}
		i->e = (struct sp_store_event){ .session_id = a->t->row.id, .seq = a->seq, .at_us = a->at_us,
		    .channel = a->channel, .payload = i->payload, .payload_len = (uint32_t)n };
		(void)sp_strlcpy(i->e.kind, a->kind, sizeof(i->e.kind));
		i->job.work = event_index_work;
		i->job.done = event_index_done;
		i->job.bytes = sizeof(*i) + 64 + 2 * n;
		if (command_kind(a->kind))
			i->whole = sp_steal(&text);
		ctl_job_run(c, CTL_INDEX, &i->job);
	} else {
		free(i);
	}
	free(text);
}

/* ---- START and END in the row ---- */

static void
row_text(char *dst, size_t size, const json_t *body, const char *key)
{
	const char *s = json_string_value(json_object_get(body, key));

	if (s != NULL)
		sp_escape(s, strlen(s), dst, size);
}

static void
event_apply(struct event_arg *a)
{
	struct target *t = a->t;
	struct sp_store_session *r = &t->row;

	if (strcmp(a->kind, "start") == 0) {
		row_text(r->recording, sizeof(r->recording), a->body, "recording");
		target_index(t);
	} else if (strcmp(a->kind, "end") == 0) {
		int first = !t->ended;

		r->record_state = (int64_t)a->log_seq;
		row_text(r->recording, sizeof(r->recording), a->body, "recording");
		r->bytes_in = json_integer_value(json_object_get(a->body, "bytes_in"));
		r->bytes_out = json_integer_value(json_object_get(a->body, "bytes_out")) +
		    json_integer_value(json_object_get(a->body, "bytes_err"));
		if (first) {
			row_text(r->end_reason, sizeof(r->end_reason), a->body, "reason");
			row_text(r->ended_by, sizeof(r->ended_by), a->body, "by");
			r->ended_us = a->at_us;
			r->state = SP_STORE_ENDED;
			t->ended = 1;
			t->lost_at_us = 0;
		}
		target_index(t);
		if (first)
			target_label(t);
	}
}

static void
event_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct event_arg *a = arg;
	struct target *t = a->t;

	(void)err;	/* an entry that finds no room stays queued: it is never answered with an error */
	a->log_seq = seq;
	if (a->seq > t->seq_durable)
		t->seq_durable = a->seq;
	event_apply(a);
	event_to_index(a, t->ctl);
	event_ack(t);
	leftover_durable(t);
	if (a->seq == 1)
		lease_retry(t->ctl);
	target_forget(t);
	target_unref(t);
	json_decref(a->body);
	free(a);
}

static void
scribe_misbehaved(struct target *t, const char *what)
{
	struct audit_entry e = { .kind = "scribe.misbehaved", .result = "failed", .text = what, .session = &t->row.id,
	    .conn = &t->row.conn_id };

	sp_warn("a scribe misbehaved: %s", what);
	audit_append(t->ctl->audit, &e, NULL, NULL);
	sp_chan_free(t->scribe);
	t->scribe = NULL;
	if (t->conn != NULL)
		conn_kill(t->conn, t, "recording failed", "system");
	if (!t->ended && t->lost_at_us == 0) {
		t->lost_at_us = sp_now_us() + CTL_LOST_US;
		(void)sp_strlcpy(t->lost_reason, "recording failed", sizeof(t->lost_reason));
	}
}

static const char *
event_text(const json_t *body, const char *key)
{
	const char *s = json_string_value(json_object_get(body, key));

	return s != NULL ? s : "";
}

/* What command rules made of a line: "command.refused", "command.alert", "command.warned", or "command.shadow" when it only would have
 * been. The text begins with the action, which alarms look at. */
static void
event_judged(const json_t *body, char *kind, size_t kind_size, char *text, size_t text_size)
{
	const char *action = event_text(body, "action"), *rule = event_text(body, "rule");

	(void)sp_strlcpy(kind, json_is_true(json_object_get(body, "shadow")) ? "command.shadow" :
	    json_is_true(json_object_get(body, "refused")) ? "command.refused" : strcmp(action, "alert") == 0 ? "command.alert" :
	    "command.warned", kind_size);
	(void)sp_snprintf(text, text_size, "%s%s: %s (%s)%s", json_is_true(json_object_get(body, "ran")) ? "ran all the same, " : "", action,
	    event_text(body, "word"), *rule ? rule : "no rule allows it", json_is_true(json_object_get(body, "certain")) ? "" : ", uncertain");
}

void
event_take(struct target *t, const Sallyport__Event *m)
{
	struct event_arg *a;
	json_t *more, *body = json_loadb((const char *)m->body.data, m->body.len, JSON_REJECT_DUPLICATES, NULL);
	char kind[80] = "session.event", text[512] = "";
	struct audit_entry e;

	if (!json_is_object(body) || !sp_name_is_safe(m->kind, 64) || m->seq > INT64_MAX ||
	    (a = calloc(1, sizeof(*a))) == NULL) {
		json_decref(body);
		scribe_misbehaved(t, "a malformed event");
		return;
	}
	*a = (struct event_arg){ .t = target_ref(t), .seq = (int64_t)m->seq, .at_us = m->wall_us, .channel = -1, .body = body };
	(void)sp_strlcpy(a->kind, m->kind, sizeof(a->kind));
	if (json_is_integer(json_object_get(body, "channel")))
		a->channel = json_integer_value(json_object_get(body, "channel"));
	if (strcmp(m->kind, "start") == 0 || strcmp(m->kind, "end") == 0)
		sp_snprintf(kind, sizeof(kind), "session.%s", m->kind);
	else if (strcmp(m->kind, "file") == 0) {
		(void)sp_strlcpy(kind, "file", sizeof(kind));
		(void)sp_snprintf(text, sizeof(text), "%s %s%s%s: %s", event_text(body, "op"), event_text(body, "path"),
		    *event_text(body, "to") ? " to " : "", event_text(body, "to"), event_text(body, "result"));
	}
	else if (strcmp(m->kind, "command-judged") == 0)
		event_judged(body, kind, sizeof(kind), text, sizeof(text));
	more = json_pack("{s:s, s:I, s:I, s:I, s:O}", "event", a->kind, "seq", (json_int_t)m->seq, "wall_us",
	    (json_int_t)m->wall_us, "mono_us", (json_int_t)m->mono_us, "body", body);
	json_object_set_new(more, "account_name", json_string(t->row.account));
	json_object_set_new(more, "asset_name", json_string(t->row.asset_name));
	e = (struct audit_entry){ .kind = kind, .actor = t->row.user_login, .result = strcmp(kind, "command.refused") == 0 ? "refused" : "ok", .source = t->row.source,
	    .session = &t->row.id, .conn = &t->row.conn_id, .user = &t->row.user_id, .asset = &t->row.asset_id,
	    .text = *text ? text : json_string_value(json_object_get(body, "reason")), .more = more };
	t->seq_seen = (int64_t)m->seq;
	audit_append(t->ctl->audit, &e, event_durable, a);
	json_decref(more);
}

static void
scribe_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__Event *e = (Sallyport__Event *)m->body;
	struct sp_uuid id;

	(void)chan;
	if (m->id != SP_MSG_EVENT || ctl_uuid_of(&e->session_id, &id) != SP_OK || !sp_uuid_equal(&id, &t->row.id)) {
		scribe_misbehaved(t, "an event of another session");
		return;
	}
	t->scribe_seen = 1;
	if (e->seq == 0 || e->seq > (uint64_t)t->seq_seen + 1) {
		/* A hole cannot be acknowledged away: what is missing was lost on its way. */
		char text[96];
		struct audit_entry gap = { .kind = "session.gap", .result = "failed", .session = &t->row.id, .text = text };

		sp_snprintf(text, sizeof(text), "event %llu came after %lld", (unsigned long long)e->seq, (long long)t->seq_seen);
		audit_append(t->ctl->audit, &gap, NULL, NULL);
		if (e->seq == 0) {
			scribe_misbehaved(t, "an event without a number");
			return;
		}
	}
	if (e->seq <= (uint64_t)t->seq_seen) {
		if (t->seq_durable >= (int64_t)e->seq)
			event_ack(t);
		return;
	}
	event_take(t, e);
}

/* END is written in the recorder's place unless it comes in time: one that began and left in order has it in its spool. */
static void
event_lost(struct target *t)
{
	uint64_t within_us = t->scribe_well && t->seq_seen > 0 ? CTL_LEFT_US : CTL_LOST_US;

	if (t->ended)
		return;
	if (t->lost_at_us == 0)
		(void)sp_strlcpy(t->lost_reason, "recorder died", sizeof(t->lost_reason));
	if (t->lost_at_us == 0 || within_us == CTL_LEFT_US)
		t->lost_at_us = sp_now_us() + within_us;
}

/* Everything that the scribe had sent was read before this. */
static void
scribe_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct target *t = arg;
	char text[128];

	(void)chan;
	if (why != SP_ECLOSED) {
		sp_snprintf(text, sizeof(text), "message %s refused: %s", *what ? what : "(unknown)", sp_err_text(why));
		scribe_misbehaved(t, text);
		return;
	}
	sp_chan_free(t->scribe);
	t->scribe = NULL;
	if (t->scribe_gone && !t->scribe_well && !t->ended && t->seq_seen == t->seq_durable)
		event_write_end(t, "recorder died", "system");
	else
		event_lost(t);	/* its END may be on its way */
	target_forget(t);
}

/* ---- attachment ---- */

struct loading {
	struct ctl_job		 job;
	struct target		*t;
	struct sp_store_session	 row;
	int64_t			 last_seq;
	int			 known;
};

static void
loading_work(struct ctl_job *j, struct sp_store *s)
{
	struct loading *l = sp_container(j, struct loading, job);
	enum sp_err r = sp_store_session_get(s, &l->row.id, &l->row);

	l->known = r == SP_OK;
	if (r == SP_OK || r == SP_ENOENT)
		r = sp_store_event_last(s, &l->t->row.id, &l->last_seq);
	j->err = r;
}

static void
scribe_watch(struct target *t)
{
	if (t->scribe != NULL && sp_chan_watch(t->scribe, t->ctl->child.loop) != SP_OK)
		scribe_misbehaved(t, "its channel cannot be watched");
}

static void
loading_done(struct ctl_job *j)
{
	struct loading *l = sp_container(j, struct loading, job);
	struct target *t = l->t;
	int64_t tail = boot_last_seq(t->ctl, &t->row.id);

	t->loading = 0;
	if (j->err == SP_OK) {
		if (l->known && t->row.started_us == 0) {
			t->row = l->row;
			t->ended = l->row.state == SP_STORE_ENDED;
		}
		if (t->seq_seen < l->last_seq)
			t->seq_seen = t->seq_durable = l->last_seq;
		if (t->seq_seen < tail)
			t->seq_seen = t->seq_durable = tail;
		scribe_watch(t);
		leftover_loaded(t, 1);
	} else {
		/* Its events stay in the spool and come again with the next start. */
		sp_error("a scribe of an older session could not be attached: %s", sp_err_text(j->err));
		sp_chan_free(t->scribe);
		t->scribe = NULL;
		leftover_loaded(t, 0);
		target_forget(t);
	}
	target_unref(t);
	free(l);
}

void
event_load(struct target *t)
{
	struct loading *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return;		/* not watched: nothing is lost, it stays in the spool */
	l->t = target_ref(t);
	l->row.id = t->row.id;
	l->last_seq = -1;
	l->job.work = loading_work;
	l->job.done = loading_done;
	t->loading = 1;
	ctl_job_run(t->ctl, CTL_READ, &l->job);
}

void
event_attach_scribe(struct ctl *c, struct sp_msg *m)
{
	const Sallyport__AttachScribe *a = (Sallyport__AttachScribe *)m->body;
	struct sp_uuid id, conn_id;
	struct target *t;
	int fresh = 0;

	if (ctl_uuid_of(&a->session_id, &id) != SP_OK || ctl_uuid_of(&a->conn_id, &conn_id) != SP_OK)
		conn_id = (struct sp_uuid){ 0 };
	if (ctl_uuid_of(&a->session_id, &id) != SP_OK)
		return;
	if ((t = target_find(c, &id)) == NULL) {
		if ((t = target_new(c, &id)) == NULL)
			return;
		t->row.conn_id = conn_id;
		fresh = 1;
	}
	if (t->scribe != NULL) {
		sp_error("a second scribe for one session was refused");
		return;
	}
	if (sp_chan_new(sp_steal_fd(&m->fds[0]), SP_PROC_CONTROL, SP_PROC_SCRIBE, scribe_on_msg, scribe_on_close, t,
	    &t->scribe) != SP_OK) {
		t->scribe = NULL;
		return;
	}
	t->scribe_gone = t->scribe_well = 0;
	t->scribe_pid = a->pid;
	t->lost_at_us = 0;
	if (fresh || (a->again && t->conn == NULL))
		event_load(t);
	else if (!t->loading)
		scribe_watch(t);
}

/* ---- ends that no scribe reports ---- */

static void
end_durable(void *arg, enum sp_err err, uint64_t seq)
{
	struct target *t = arg;

	(void)err;
	if (t->row.record_state == 0)
		t->row.record_state = -(int64_t)seq;	/* no recorder said so */
	target_index(t);
	target_forget(t);
	target_unref(t);
}

void
event_write_end(struct target *t, const char *reason, const char *by)
{
	struct sp_store_session *r = &t->row;
	struct audit_entry e = { .kind = "session.end", .actor = by, .result = "ok", .text = reason, .session = &r->id,
	    .conn = &r->conn_id, .user = &r->user_id, .asset = &r->asset_id, .source = r->source };

	if (t->ended)
		return;
	/* A session that failed before it was recorded: its record says what its user read, not that no recorder is left. */
	if (r->error[0] != '\0' && strcmp(by, "system") == 0)
		e.text = reason = r->error;
	t->ended = 1;
	t->lost_at_us = 0;
	r->state = SP_STORE_ENDED;
	r->ended_us = sp_wall_us();
	(void)sp_strlcpy(r->end_reason, reason, sizeof(r->end_reason));
	(void)sp_strlcpy(r->ended_by, by, sizeof(r->ended_by));
	audit_append(t->ctl->audit, &e, end_durable, target_ref(t));
	target_label(t);
}

void
event_scribe_gone(struct target *t, const Sallyport__Gone *g)
{
	if (t->scribe_seen || t->scribe != NULL || g->wait_status != 0) {
		json_t *more = json_pack("{s:i}", "wait_status", g->wait_status);
		struct audit_entry e = { .kind = "scribe.gone", .result = g->wait_status == 0 ? "ok" : "failed",
		    .session = &t->row.id, .conn = &t->row.conn_id, .more = more };

		if (g->wait_status != 0)
			audit_append(t->ctl->audit, &e, NULL, NULL);
		json_decref(more);
	}
	t->scribe_gone = 1;
	t->scribe_well = g->wait_status == 0;
	t->scribe_pid = 0;
	if (t->scribe == NULL && t->scribe_well)
		event_lost(t);
	else if (t->scribe == NULL && !t->ended && t->seq_seen == t->seq_durable)
		event_write_end(t, g->killed && *g->kill_reason ? g->kill_reason : "recorder died",
		    g->killed && *g->kill_by ? g->kill_by : "system");
	target_forget(t);
}

void
event_session_gone(struct target *t, const Sallyport__Gone *g)
{
	if (t->ended)
		return;
	/* The scribe notices the same and writes END; this is for a scribe that cannot. */
	t->lost_at_us = sp_now_us() + CTL_LOST_US;
	(void)sp_strlcpy(t->lost_reason, g->killed && *g->kill_reason ? g->kill_reason :
	    *t->row.error ? t->row.error : "session process died", sizeof(t->lost_reason));
}
