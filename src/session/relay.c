/* src/session/relay.c - one channel of the user and its counterpart at the target: requests kept in order until the target
 * is there, bytes both ways with back pressure, the end in the right order. Process: session.
 *
 * Requests: a client may wait for the answer to one request before it sends the next, and which target is meant is known
 * only at shell, exec or subsystem; so what comes before (pty-req, env) is answered at once and kept, and the answer to
 * the start itself is the target's. Answers leave in the order of the requests (slots).
 * Bytes: a packet is recorded, then written; what does not go out stays in a flow, and the sender's window grows only by
 * what went out. End: output first, then exit status, EOF, CLOSE: so a stock client returns the right exit code. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

enum { SLOT_PENDING, SLOT_OK, SLOT_FAIL };
#define NO_SLOT		0xffu

struct request {		/* for the target, once its channel is open */
	struct sp_list	link;
	char		name[SP_CHANNEL_NAME_MAX];
	int		slot;		/* -1: the user wants no answer */
	int		start;
	size_t		len;
	uint8_t		data[];
};

/* ---- answers to the user, in order */

static int
slot_new(struct relay *r, int want)
{
	unsigned i;

	if (!want)
		return -1;
	if (r->slot_n == SP_NELEMS(r->slot)) {
		relay_fail(r, "too many requests without an answer");
		return -1;
	}
	i = (r->slot_head + r->slot_n++) % SP_NELEMS(r->slot);
	r->slot[i] = SLOT_PENDING;
	return (int)i;
}

void
relay_answer(struct relay *r, int slot, int ok)
{
	if (slot < 0)
		return;
	r->slot[slot] = ok ? SLOT_OK : SLOT_FAIL;
	while (r->slot_n > 0 && r->slot[r->slot_head] != SLOT_PENDING) {
		if (r->near != NULL)
			sp_channel_reply(r->near, r->slot[r->slot_head] == SLOT_OK);
		r->slot_head = (r->slot_head + 1) % SP_NELEMS(r->slot);
		r->slot_n--;
	}
}

static void
slot_flush(struct relay *r)
{
	if (r->start_slot >= 0 && r->slot[r->start_slot] == SLOT_PENDING)
		r->slot[r->start_slot] = SLOT_OK;	/* so that the client shows the line that follows */
	r->start_slot = -1;
	for (unsigned n = r->slot_n, i = r->slot_head; n > 0; n--, i = (i + 1) % SP_NELEMS(r->slot))
		if (r->slot[i] == SLOT_PENDING)
			r->slot[i] = SLOT_FAIL;
	if (r->slot_n > 0)
		relay_answer(r, (int)r->slot_head, r->slot[r->slot_head] == SLOT_OK);
}

/* ---- requests to the target */

static void
request_send(struct relay *r, const char *name, int slot, int start, const void *data, size_t len)
{
	int want = slot >= 0 || start;

	if (want && r->due_n == SP_NELEMS(r->due)) {
		relay_answer(r, slot, 0);
		return;
	}
	if (want)
		r->due[(r->due_head + r->due_n++) % SP_NELEMS(r->due)] = slot >= 0 ? (uint8_t)slot : (uint8_t)NO_SLOT;
	sp_channel_request(r->far, name, want, data, len);
}

/* Now, or when the target's channel is open. */
static void
request_pass(struct relay *r, const char *name, int slot, int start, struct sp_view data)
{
	struct request *q;

	if (r->state == RL_RUN && r->far != NULL) {
		request_send(r, name, slot, start, data.p, data.len);
		return;
	}
	if (r->queued + data.len > SESSION_QUEUE_MAX || (q = malloc(sizeof(*q) + data.len)) == NULL) {
		relay_answer(r, slot, 0);
		relay_fail(r, "too many requests before the target is there");
		return;
	}
	(void)sp_strlcpy(q->name, name, sizeof(q->name));
	q->slot = slot;
	q->start = start;
	q->len = data.len;
	if (data.len > 0)
		memcpy(q->data, data.p, data.len);
	r->queued += data.len + sizeof(*q);
	sp_list_init(&q->link);
	sp_list_add_tail(&r->queue, &q->link);
}

static void
requests_free(struct sp_list *l)
{
	sp_list_each(it, l) {
		struct request *q = sp_container(it, struct request, link);

		sp_list_remove(&q->link);
		free(q);
	}
}

static void
queue_drop(struct relay *r)
{
	requests_free(&r->queue);
	r->queued = 0;
}

static void
queue_replay(struct relay *r)
{
	sp_list_each(it, &r->queue) {
		struct request *q = sp_container(it, struct request, link);

		sp_list_remove(&q->link);
		request_send(r, q->name, q->slot, q->start, q->data, q->len);
		free(q);
	}
	r->queued = 0;
}

/* ---- bytes */

static void
flow_keep(struct flow *f, const uint8_t *p, size_t n, size_t recorded)
{
	if (f->off == f->len)
		f->off = f->len = 0;
	if (f->cap - f->len < n && f->off > 0 && f->len - f->off <= f->off) {
		memmove(f->p, f->p + f->off, f->len - f->off);
		f->len -= f->off;
		f->off = 0;
	}
	if (f->cap - f->len < n) {
		size_t cap = f->cap ? f->cap : 4096;
		uint8_t *q;

		while (cap - f->len < n)
			cap *= 2;
		if ((q = realloc(f->p, cap)) == NULL)
			sp_die(71, "out of memory");	/* bounded by the windows: this process is out of its limit */
		f->p = q;
		f->cap = cap;
	}
	memcpy(f->p + f->len, p, n);
	f->len += n;
	f->recorded += recorded;
}

static void
flow_drop(struct flow *f)
{
	free(f->p);
	f->p = NULL;
	f->off = f->len = f->cap = f->recorded = 0;
}

/* Give bytes to the scribe; how many may go on. Streams without a terminal are only counted beyond the limit. */
static size_t
flow_record(struct relay *r, enum sp_rec_stream dir, const uint8_t *p, size_t n)
{
	struct flow *f = &r->flow[dir];
	uint64_t max = r->target->policy->record_max_bytes;
	size_t part = n, took;

	if (max != 0 && !r->pty) {
		if (f->kept >= max)
			return n;
		if (n > max - f->kept)
			part = (size_t)(max - f->kept);
	}
	took = target_record(r->target, r->number, dir, p, part);
	f->kept += took;
	return took < part ? took : n;
}

static void
relay_push(struct relay *r, enum sp_rec_stream dir)
{
	struct flow *f = &r->flow[dir];
	struct sp_channel *dst = dir == SP_REC_IN ? r->far : r->near, *src = dir == SP_REC_IN ? r->near : r->far;
	int stream = dir == SP_REC_ERR ? SP_STREAM_ERR : SP_STREAM_OUT;
	size_t wrote;

	while (f->off < f->len && r->state == RL_RUN && dst != NULL) {
		size_t wait = f->len - f->off;

		if (f->recorded < wait)
			f->recorded += flow_record(r, dir, f->p + f->off + f->recorded, wait - f->recorded);
		if (r->state != RL_RUN || f->recorded == 0 ||
		    (wrote = sp_channel_write(dst, stream, f->p + f->off, f->recorded)) == 0)
			break;
		f->off += wrote;
		f->recorded -= wrote;
		if (src != NULL)
			sp_channel_consumed(src, wrote);
	}
	if (f->off == f->len && f->cap > 0)
		flow_drop(f);
}

/* "SSH-" from the far end of a forward: somebody wants a way around the recording. */
static int
relay_is_tunnel(struct relay *r, struct sp_view v)
{
	static const char ssh[4] = "SSH-";

	for (size_t i = 0; i < v.len && r->greeted >= 0 && r->greeted < 4; i++)
		r->greeted = v.p[i] == (uint8_t)ssh[r->greeted] ? r->greeted + 1 : -1;
	return r->greeted == 4;
}

void
relay_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v)
{
	struct flow *f = &r->flow[dir];
	struct sp_channel *dst = dir == SP_REC_IN ? r->far : r->near, *src = dir == SP_REC_IN ? r->near : r->far;
	int stream = dir == SP_REC_ERR ? SP_STREAM_ERR : SP_STREAM_OUT;
	size_t rec, wrote = 0;

	f->bytes += v.len;
	limits_activity(r, dir);
	if (r->near_closed) {
		sp_channel_consumed(src, v.len);	/* nobody reads it any more */
		return;
	}
	if (r->agent != NULL) {
		agent_bytes(r, dir, v);
		return;
	}
	if (r->kind == RELAY_LOCAL && dir == SP_REC_OUT && relay_is_tunnel(r, v)) {
		relay_fail(r, "closed: the other side of this forward speaks SSH");
		return;
	}
	if (f->off < f->len || r->state != RL_RUN || dst == NULL || r->kind == RELAY_INNER) {
		flow_keep(f, v.p, v.len, 0);
		if (r->kind == RELAY_INNER)
			forward_inner_pump(r);
		else
			relay_push(r, dir);
		return;
	}
	rec = flow_record(r, dir, v.p, v.len);
	if (r->state != RL_RUN)
		return;
	if (rec > 0 && (wrote = sp_channel_write(dst, stream, v.p, rec)) > 0)
		sp_channel_consumed(src, wrote);
	if (wrote < v.len)
		flow_keep(f, v.p + wrote, v.len - wrote, rec - wrote);
}

void
relay_pump(struct relay *r)
{
	if (r->kind == RELAY_INNER) {
		forward_inner_pump(r);
		return;
	}
	if (r->target != NULL && r->target->asking == r) {
		struct flow *f = &r->flow[SP_REC_IN];
		size_t n = f->len - f->off;

		if (n > 0) {
			target_typed(r->target, r, f->p + f->off, n);
			sp_channel_consumed(r->near, n);
			flow_drop(f);
		}
		return;
	}
	for (int dir = 0; dir < SP_REC_STREAMS && r->agent == NULL; dir++)
		relay_push(r, (enum sp_rec_stream)dir);
	relay_settle(r);
}

/* ---- the end */

static void
relay_record_end(struct relay *r)
{
	Sallyport__RecChannelEnd e = SALLYPORT__REC_CHANNEL_END__INIT;

	if (!r->recorded || r->target == NULL)
		return;
	r->recorded = 0;
	e.channel = r->number;
	e.bytes_in = r->flow[SP_REC_IN].bytes;
	e.bytes_out = r->flow[SP_REC_OUT].bytes;
	e.bytes_err = r->flow[SP_REC_ERR].bytes;
	e.exit_status = r->exit_code;
	e.exit_signal = r->exit_name;
	r->number = 0;
	target_scribe(r->target, SP_MSG_REC_CHANNEL_END, &e);
}

/* Let go of the target's side. */
static void
relay_unbind(struct relay *r)
{
	struct target *t = r->target;

	relay_record_end(r);
	sp_channel_release(r->far);
	r->far = NULL;
	session_forget(r->s, r);
	if (t == NULL)
		return;
	if (t->asking == r)
		t->asking = NULL;
	r->target = NULL;
	target_relay_gone(t);
}

static void
relay_done(struct relay *r)
{
	if (r->state == RL_DONE)
		return;
	r->state = RL_DONE;
	sp_code_cancel(r);
	sp_ask_cancel(r);
	shell_free(r);
	slot_flush(r);
	queue_drop(r);
	relay_unbind(r);
	sp_channel_release(r->near);
	r->near = NULL;
	for (int i = 0; i < SP_REC_STREAMS; i++)
		flow_drop(&r->flow[i]);
	session_sweep_soon(r->s);
}

void
relay_finish(struct relay *r)
{
	relay_done(r);
}

void
relay_free(struct relay *r)
{
	relay_done(r);
	sp_source_remove(r->source);
	sp_closep(&r->fd);
	requests_free(&r->held);
	front_release(r);
	agent_free(r->agent);
	sp_list_remove(&r->link);
	r->s->n_relays--;
	sp_buf_release(&r->detail);
	sp_buf_release(&r->exit);
	sp_buf_release(&r->open_extra);
	sp_buf_release(&r->origin);
	free(r);
}

/* From a menu, an end leads back to it. */
static int
relay_to_menu(struct relay *r, const char *message)
{
	if (r->menu == NULL || r->s->ending)
		return 0;
	sp_code_cancel(r);
	sp_ask_cancel(r);
	slot_flush(r);
	queue_drop(r);
	relay_unbind(r);
	for (int i = 0; i < SP_REC_STREAMS; i++) {
		struct flow *f = &r->flow[i];

		if (i == SP_REC_IN && f->len > f->off)
			sp_channel_consumed(r->near, f->len - f->off);
		flow_drop(f);
		f->bytes = f->kept = 0;
	}
	r->far_eof = r->far_closed = r->have_exit = r->exit_told = r->allowed = r->asked = 0;
	r->exit_code = 0;
	r->exit_name[0] = '\0';
	sp_buf_reset(&r->exit);
	r->due_n = 0;
	front_menu_again(r, message);
	return 1;
}

/* Our own words, with the exit status that ssh itself uses for its errors, or 0. */
static void
relay_say(struct relay *r, const char *text)
{
	char line[SESSION_TEXT + 32];
	const uint8_t status[4] = { 0, 0, 0, (uint8_t)r->exit_code };

	(void)sp_snprintf(line, sizeof(line), r->pty ? "\r\n%s\r\n" : "sallyport: %s\n", text);
	slot_flush(r);
	(void)sp_channel_write(r->near, r->pty ? SP_STREAM_OUT : SP_STREAM_ERR, line, strlen(line));
	sp_channel_request(r->near, "exit-status", 0, status, sizeof(status));
	sp_channel_eof(r->near);
}

static void
relay_stop(struct relay *r, const char *text, int status)
{
	char safe[SESSION_TEXT];

	if (r->state == RL_DONE)
		return;
	(void)sp_escape(text, strlen(text), safe, sizeof(safe));
	if (r->state != RL_RUN && r->state != RL_MENU && relay_to_menu(r, safe))
		return;
	r->exit_code = status;
	if (r->near != NULL && r->kind == RELAY_SESSION)
		relay_say(r, safe);
	else if (r->near != NULL && !sp_channel_is_open(r->near) && r->kind != RELAY_REMOTE) {
		sp_channel_refuse(r->near, SP_OPEN_PROHIBITED, safe);
		r->near = NULL;
	}
	relay_done(r);
}

void
relay_fail(struct relay *r, const char *text)
{
	relay_stop(r, text, SESSION_EXIT_FAIL);
}

void
relay_conclude(struct relay *r, const char *text)
{
	relay_stop(r, text, 0);
}

void
relay_show(struct relay *r, const char *line)
{
	char text[SESSION_TEXT * 2 + 8];

	if (r->near == NULL || r->state == RL_DONE)
		return;
	if (r->state == RL_MENU) {
		front_menu_message(r, line);
		return;
	}
	(void)sp_snprintf(text, sizeof(text), "\r\n%s\r\n", line);
	(void)sp_channel_write(r->near, SP_STREAM_OUT, text, strlen(text));
	sp_ask_redraw(r);
}

/* What has become possible: ends travel only behind the bytes before them. */
void
relay_settle(struct relay *r)
{
	const struct flow *in = &r->flow[SP_REC_IN], *out = &r->flow[SP_REC_OUT], *err = &r->flow[SP_REC_ERR];

	if (r->state != RL_RUN)
		return;
	if (r->agent != NULL)
		agent_pump(r);
	if (r->agent != NULL && r->near == NULL) {	/* the platform's: nobody else has to be told */
		if (r->far_eof || r->far_closed)
			relay_done(r);
		return;
	}
	if (r->agent == NULL && r->near_eof && in->off == in->len && r->far != NULL)
		sp_channel_eof(r->far);
	if (out->off < out->len || err->off < err->len || r->near == NULL)
		return;
	if (r->far_closed && !r->near_closed && relay_to_menu(r, NULL))
		return;
	if (r->have_exit && !r->exit_told && r->menu == NULL) {	/* the end of a target is not the end of a menu */
		r->exit_told = 1;
		sp_channel_request(r->near, r->exit_signal ? "exit-signal" : "exit-status", 0, r->exit.p, r->exit.len);
	}
	if ((r->far_eof || r->far_closed) && r->menu == NULL)
		sp_channel_eof(r->near);
	if (r->far_closed)
		relay_done(r);
}

/* ---- the target's side */

static void
far_opened(void *arg)
{
	relay_run(arg);
}

void
relay_run(struct relay *r)
{
	r->state = RL_RUN;
	if (strcmp(r->type, "agent") == 0 && !agent_start(r)) {
		relay_fail(r, "out of memory");
		return;
	}
	if (r->kind == RELAY_SESSION)
		agent_offer(r);
	if (r->kind == RELAY_LOCAL)
		sp_channel_accept(r->near);
	else if (r->kind == RELAY_REMOTE)
		sp_channel_accept(r->far);
	queue_replay(r);
	relay_pump(r);
}

static void
far_refused(void *arg, uint32_t code, const char *text)
{
	struct relay *r = arg;
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "%s refused the channel: %s", r->target->asset, text[0] != '\0' ? text :
	    code == SP_OPEN_PROHIBITED ? "prohibited" : code == SP_OPEN_CONNECT_FAILED ? "connect failed" : "failed");
	relay_fail(r, line);
}

static void
far_data(void *arg, int stream, struct sp_view v)
{
	relay_bytes(arg, stream == SP_STREAM_ERR ? SP_REC_ERR : SP_REC_OUT, v);
}

static void
far_eof(void *arg)
{
	struct relay *r = arg;

	r->far_eof = 1;
	relay_settle(r);
}

static void
far_closed(void *arg)
{
	struct relay *r = arg;

	r->far_closed = 1;
	if (r->state != RL_RUN)
		relay_fail(r, "the target closed the channel");
	else
		relay_settle(r);
}

static void
far_take_exit(struct relay *r, const char *name, struct sp_view data)
{
	struct sp_view v = data;
	uint32_t status;

	if (r->have_exit)
		return;
	r->exit_signal = strcmp(name, "exit-signal") == 0;
	if (r->exit_signal ? sp_view_cstring(&v, r->exit_name, sizeof(r->exit_name)) != SP_OK :
	    sp_view_u32(&v, &status) != SP_OK)
		return;
	if (!r->exit_signal)
		r->exit_code = (int32_t)status;
	if (data.len <= 4096 && sp_buf_append(&r->exit, data.p, data.len) == SP_OK)
		r->have_exit = 1;
	relay_settle(r);
}

static void
far_request(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct relay *r = arg;

	if (strcmp(name, "exit-status") == 0 || strcmp(name, "exit-signal") == 0)
		far_take_exit(r, name, data);
	else if (strcmp(name, "eow@openssh.com") == 0 && r->state == RL_RUN && r->near != NULL && r->menu == NULL &&
	    strstr(sp_leg_peer_version(r->s->leg), "OpenSSH") != NULL)
		sp_channel_request(r->near, name, 0, NULL, 0);
	if (want_reply && r->far != NULL)
		sp_channel_reply(r->far, 0);
}

static void
far_reply(void *arg, int ok)
{
	struct relay *r = arg;
	uint8_t slot;

	if (r->due_n == 0)
		return;
	slot = r->due[r->due_head];
	r->due_head = (r->due_head + 1) % SP_NELEMS(r->due);
	r->due_n--;
	/* The start is the first request that waits for an answer. */
	if (r->started == 1) {
		r->started = 2;
		if (!ok) {
			relay_fail(r, "the target refused to start this");
			return;
		}
		r->start_slot = -1;
		if (slot != NO_SLOT)
			relay_answer(r, slot, ok);
		limits_started(r);
		agent_tell(r);
		return;
	}
	if (slot != NO_SLOT)
		relay_answer(r, slot, ok);
}

static void
far_writable(void *arg)
{
	struct relay *r = arg;

	relay_push(r, SP_REC_IN);
	relay_settle(r);
}

const struct sp_channel_ops relay_far_ops = {
	far_opened, far_refused, far_data, far_eof, far_closed, far_request, far_reply, far_writable
};

/* ---- from NEW to RUN */

void
relay_bind(struct relay *r, struct target *t)
{
	r->target = t;
	t->n_relays++;
	r->state = RL_WAIT;
	if (t->host_ok)
		relay_target_up(r);
}

void
relay_resolve(struct relay *r, const struct sp_target *want, const char *form, const char *protocol, int lasting)
{
	struct target *t;

	if (r->s->ending || (t = target_get(r->s, want, form, protocol, lasting, r->reason)) == NULL)
		relay_fail(r, "too many targets on one connection");
	else
		relay_bind(r, t);
}

static void
relay_on_code(struct relay *r, const char *failed, void *arg)
{
	(void)arg;
	if (failed != NULL) {
		relay_fail(r, failed);
		return;
	}
	r->state = RL_WAIT;		/* ask for the channel once more */
	r->asked = 0;
	relay_target_up(r);
}

static int
relay_on_allowed(struct session *s, struct sp_msg *m, void *arg)
{
	struct relay *r = arg;
	const Sallyport__ChannelReply *a = m != NULL ? (const Sallyport__ChannelReply *)m->body : NULL;
	struct sp_buf *x = &r->open_extra;

	(void)s;
	if (a != NULL && a->err != SP_OK && a->mfa && sp_code_start(r, target_name(r->target), relay_on_code, NULL) == SP_OK)
		return 0;
	if (a == NULL || a->err != SP_OK) {
		relay_fail(r, a == NULL ? "Sallyport did not answer in time: try again" :
		    a->text[0] != '\0' ? a->text : "not allowed");
		return 0;
	}
	if (r->kind == RELAY_LOCAL && a->address[0] != '\0') {
		/* To the address that was checked, not to a name that may resolve to another one there. */
		sp_buf_reset(x);
		if (sp_buf_put_cstring(x, a->address) != SP_OK || sp_buf_put_u32(x, a->port) != SP_OK ||
		    sp_buf_append(x, r->origin.p, r->origin.len) != SP_OK) {
			relay_fail(r, "out of memory");
			return 0;
		}
	}
	r->allowed = 1;
	relay_go_on(r);
	return 0;
}

/* The target is who it should be: ask control for this channel. */
void
relay_target_up(struct relay *r)
{
	Sallyport__ChannelAsk q = SALLYPORT__CHANNEL_ASK__INIT;

	if (r->state != RL_WAIT || r->asked)
		return;
	r->state = RL_ASK;
	r->asked = 1;
	r->number = ++r->target->numbers;
	q.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, r->target->id.b };
	q.channel = r->number;
	q.type = r->type;
	q.detail = (char *)(uintptr_t)sp_buf_cstr(&r->detail);
	q.pty = r->pty;
	q.cols = r->cols;
	q.rows = r->rows;
	q.term = r->term;
	session_ask(r->s, SP_PROC_CONTROL, SP_MSG_CHANNEL_ASK, &q, -1, r->s->conf->control_wait, relay_on_allowed, r);
}

static void
relay_record_start(struct relay *r)
{
	Sallyport__RecChannel c = SALLYPORT__REC_CHANNEL__INIT;

	c.channel = r->number;
	c.type = r->type;
	c.detail = (char *)(uintptr_t)sp_buf_cstr(&r->detail);
	c.pty = r->pty;
	c.cols = r->cols;
	c.rows = r->rows;
	c.term = r->term;
	target_scribe(r->target, SP_MSG_REC_CHANNEL, &c);
	r->recorded = 1;
}

/* Allowed and the target is up: open the channel there. */
void
relay_go_on(struct relay *r)
{
	if (r->state != RL_ASK || !r->allowed || r->target->state != TG_UP)
		return;
	r->state = RL_OPENING;
	relay_record_start(r);
	if (r->state != RL_OPENING)
		return;			/* the scribe is gone */
	if (r->kind != RELAY_SESSION)
		forward_connect(r);
	else if (sp_channel_open(r->target->conn, "session", NULL, 0, &relay_far_ops, r, &r->far) != SP_OK)
		relay_fail(r, "too many channels to this target");
}

/* ---- the user's side */

struct relay *
relay_new(struct session *s, enum relay_kind kind, struct sp_channel *near)
{
	struct relay *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	*r = (struct relay){ .s = s, .kind = kind, .near = near, .start_slot = -1, .fd = -1 };
	sp_list_init(&r->link);
	sp_list_init(&r->queue);
	sp_list_init(&r->held);
	sp_buf_init(&r->detail, SESSION_COMMAND_MAX + 1);
	sp_buf_init(&r->exit, 4096);
	sp_buf_init(&r->open_extra, 4096);
	sp_buf_init(&r->origin, 1024);
	sp_list_add_tail(&s->relays, &r->link);
	s->n_relays++;
	return r;
}

void
relay_open(struct session *s, struct sp_channel *ch)
{
	struct relay *r = relay_new(s, RELAY_SESSION, ch);

	if (r == NULL) {
		sp_channel_refuse(ch, SP_OPEN_RESOURCES, "out of memory");
		return;
	}
	sp_channel_own(ch, &relay_near_ops, r);
	sp_channel_accept(ch);
}

static void
near_opened(void *arg)
{
	relay_run(arg);		/* a channel that the target wanted (RELAY_REMOTE) */
}

static void
near_refused(void *arg, uint32_t code, const char *text)
{
	struct relay *r = arg;

	if (r->far != NULL) {
		sp_channel_refuse(r->far, code <= SP_OPEN_RESOURCES && code > 0 ? (enum sp_open_refusal)code :
		    SP_OPEN_PROHIBITED, text);
		r->far = NULL;
	}
	relay_done(r);
}

void
relay_discard_typed(struct relay *r)
{
	struct flow *f = &r->flow[SP_REC_IN];

	if (r->near != NULL && f->len > f->off)
		sp_channel_consumed(r->near, f->len - f->off);
	flow_drop(f);
	f->bytes = 0;
}

static void
near_data(void *arg, int stream, struct sp_view v)
{
	struct relay *r = arg;
	size_t took;

	(void)stream;		/* a client has no standard error of its own */
	if (r->question != NULL) {
		took = sp_ask_input(r, v);
		if (r->near != NULL)
			sp_channel_consumed(r->near, took);
		v.p += took;
		v.len -= took;
		if (v.len == 0 || r->near == NULL)
			return;
		if (r->question != NULL) {	/* the next question: what was typed before it is not its answer */
			sp_channel_consumed(r->near, v.len);
			return;
		}
	}
	if (r->shell != NULL) {
		shell_input(r, v);
	} else if (r->state == RL_MENU) {
		sp_channel_consumed(r->near, v.len);
		front_menu_input(r, v);
	} else if (r->target != NULL && r->target->asking == r) {
		sp_channel_consumed(r->near, v.len);
		target_typed(r->target, r, v.p, v.len);
	} else
		relay_bytes(r, SP_REC_IN, v);
}

static void
near_eof(void *arg)
{
	struct relay *r = arg;

	r->near_eof = 1;
	if (r->question != NULL)
		sp_ask_give_up(r);
	if (r->state == RL_DONE)
		return;
	if (r->shell != NULL)
		shell_pump(r);
	else if (r->state == RL_MENU)
		relay_finish(r);
	else if (r->kind == RELAY_INNER)
		forward_inner_pump(r);
	else
		relay_settle(r);
}

/* A client may close when both directions have ended, before the exit status is there: CLOSE goes on to the target, and
 * ours follows the target's, so that the status still arrives. */
static void
near_closed(void *arg)
{
	struct relay *r = arg;

	if (r->state != RL_RUN || r->far == NULL || r->s->leg_gone) {
		relay_done(r);
		return;
	}
	r->near_closed = 1;
	for (int i = 0; i < SP_REC_STREAMS; i++)
		flow_drop(&r->flow[i]);
	sp_channel_close(r->far);
	relay_settle(r);
}

static void
near_writable(void *arg)
{
	struct relay *r = arg;

	if (r->shell != NULL)
		shell_pump(r);
	else if (r->state == RL_MENU)
		front_menu_pump(r);
	else
		relay_pump(r);
}

/* env name, value */
static void
near_env(struct relay *r, struct sp_view data, int slot)
{
	struct sp_view v = data;
	char name[128], value[SP_TARGET_MAX + 1];
	const char *why = NULL;

	if (sp_view_cstring(&v, name, sizeof(name)) != SP_OK || data.len > 8192 || r->started) {
		relay_answer(r, slot, 0);
	} else if (strcmp(name, "NO_COLOR") == 0) {	/* for the menu; the target has it too if that is allowed */
		r->no_color = sp_view_cstring(&v, value, sizeof(value)) != SP_OK || value[0] != '\0';
		if (target_env_allowed(r->s, name))
			request_pass(r, "env", -1, 0, data);
		relay_answer(r, slot, 1);
	} else if (strcmp(name, "SALLYPORT_TARGET") == 0) {
		r->wanted = sp_view_cstring(&v, value, sizeof(value)) == SP_OK &&
		    sp_target_parse(value, strlen(value), SP_TARGET_PLACE, &why, &r->want) == SP_OK;
		relay_answer(r, slot, r->wanted);
	} else if (strcmp(name, "SALLYPORT_REASON") == 0) {
		relay_answer(r, slot, sp_view_cstring(&v, r->reason, sizeof(r->reason)) == SP_OK);
	} else if (target_env_allowed(r->s, name)) {
		request_pass(r, "env", -1, 0, data);
		relay_answer(r, slot, 1);
	} else
		relay_answer(r, slot, 0);
}

/* pty-req term, columns, rows, pixels, modes: kept and passed on as it came. */
static void
near_pty(struct relay *r, struct sp_view data, int slot)
{
	struct sp_view v = data, modes;
	uint32_t x, y;

	if (r->started || r->pty || data.len > 4096 || sp_view_cstring(&v, r->term, sizeof(r->term)) != SP_OK ||
	    sp_view_u32(&v, &r->cols) != SP_OK || sp_view_u32(&v, &r->rows) != SP_OK || sp_view_u32(&v, &x) != SP_OK ||
	    sp_view_u32(&v, &y) != SP_OK || sp_view_string(&v, &modes) != SP_OK) {
		relay_answer(r, slot, 0);
		return;
	}
	r->pty = 1;
	request_pass(r, "pty-req", -1, 0, data);
	relay_answer(r, slot, 1);
}

static void
near_window(struct relay *r, struct sp_view data, int slot)
{
	Sallyport__RecResize z = SALLYPORT__REC_RESIZE__INIT;
	struct sp_view v = data;

	if (!r->pty || sp_view_u32(&v, &r->cols) != SP_OK || sp_view_u32(&v, &r->rows) != SP_OK) {
		relay_answer(r, slot, 0);
		return;
	}
	if (r->menu != NULL)
		front_menu_resize(r);
	if (r->state == RL_RUN) {
		z.channel = r->number;
		z.cols = r->cols;
		z.rows = r->rows;
		target_scribe(r->target, SP_MSG_REC_RESIZE, &z);
	}
	if (r->started && r->shell == NULL && r->state != RL_MENU && r->state != RL_DONE)
		request_pass(r, "window-change", -1, 0, data);
	relay_answer(r, slot, 1);
}

/* signal, break: to the program, when there is one. */
static void
near_signal(struct relay *r, const char *name, struct sp_view data, int slot)
{
	if (!r->started || r->shell != NULL || r->state == RL_MENU || data.len > 256)
		relay_answer(r, slot, 0);
	else
		request_pass(r, name, slot, 0, data);
}

/* x11-req and agent forwarding: only where the policy of a target that is known says so. */
static void
near_back_channel(struct relay *r, const char *name, struct sp_view data, int slot)
{
	int agent = strcmp(name, "x11-req") != 0;
	struct target *t;

	if (agent) {		/* whether it may be is known with the target (agent_offer) */
		r->agent_asked = 1;
		relay_answer(r, slot, !r->started);
		return;
	}
	t = r->target != NULL ? r->target : forward_target(r->s);
	if (t == NULL || r->started || data.len > 1024 || !target_allows(t, "x11")) {
		relay_answer(r, slot, 0);
		return;
	}
	t->x11 = 1;
	request_pass(r, name, -1, 0, data);
	relay_answer(r, slot, 1);
}

static const struct {
	const char	*name;
	void		(*fn)(struct relay *r, const char *name, struct sp_view data, int slot);
	void		(*plain)(struct relay *r, struct sp_view data, int slot);
} near_requests[] = {
	{ "env", NULL, near_env },
	{ "pty-req", NULL, near_pty },
	{ "window-change", NULL, near_window },
	{ "shell", front_start, NULL },
	{ "exec", front_start, NULL },
	{ "subsystem", front_start, NULL },
	{ "signal", near_signal, NULL },
	{ "break", near_signal, NULL },
	{ "eow@openssh.com", near_signal, NULL },
	{ "x11-req", near_back_channel, NULL },
	{ "auth-agent-req@openssh.com", near_back_channel, NULL },
};

static void
near_request(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct relay *r = arg;
	int slot = slot_new(r, want_reply);

	if (r->state == RL_DONE)
		return;
	if (r->kind == RELAY_SESSION)
		for (size_t i = 0; i < SP_NELEMS(near_requests); i++)
			if (strcmp(near_requests[i].name, name) == 0) {
				if (near_requests[i].fn != NULL)
					near_requests[i].fn(r, name, data, slot);
				else
					near_requests[i].plain(r, data, slot);
				return;
			}
	relay_answer(r, slot, 0);		/* unknown is refused */
}

static void
near_reply(void *arg, int ok)
{
	(void)arg;	/* we ask the user's side for nothing that has an answer */
	(void)ok;
}

const struct sp_channel_ops relay_near_ops = {
	near_opened, near_refused, near_data, near_eof, near_closed, near_request, near_reply, near_writable
};

/* Shell, exec or subsystem is known: keep the request for the target, to be answered by it. */
void
relay_start(struct relay *r, const char *type, const void *detail, size_t n, int slot)
{
	struct sp_buf b;

	r->started = 1;
	r->start_slot = slot;
	(void)sp_strlcpy(r->type, type, sizeof(r->type));
	sp_buf_reset(&r->detail);
	sp_buf_init(&b, SESSION_COMMAND_MAX + 8);
	if (sp_buf_append(&r->detail, detail, n) != SP_OK ||
	    (strcmp(type, "shell") != 0 && sp_buf_put_string(&b, detail, n) != SP_OK))
		relay_fail(r, "the command is too long");
	else
		request_pass(r, type, slot, 1, (struct sp_view){ b.p, b.len });
	sp_buf_release(&b);
}

/* ---- a channel with a menu */

void
relay_menu_hold(struct relay *r)
{
	sp_list_each(it, &r->queue) {
		struct request *q = sp_container(it, struct request, link);

		sp_list_remove(&q->link);
		if (q->start)
			free(q);
		else
			sp_list_add_tail(&r->held, &q->link);
	}
	r->queued = 0;
	relay_answer(r, r->start_slot, 1);
	r->start_slot = -1;
}

void
relay_menu_early(struct relay *r)
{
	struct flow *f = &r->flow[SP_REC_IN];
	size_t n = f->len - f->off;
	uint8_t *p = f->p;
	struct sp_view v = { p != NULL ? p + f->off : NULL, n };

	f->p = NULL;
	f->off = f->len = f->cap = f->recorded = 0;
	f->bytes = 0;
	if (n > 0) {
		sp_channel_consumed(r->near, n);
		front_menu_input(r, v);
	}
	free(p);
}

/* The pty of the menu, with the size that it has by now, the environment, and a shell. */
void
relay_menu_start(struct relay *r)
{
	r->started = 1;
	r->due_n = 0;
	sp_list_each(it, &r->held) {
		struct request *q = sp_container(it, struct request, link);

		request_pass(r, q->name, -1, 0, (struct sp_view){ q->data, q->len });
	}
	if (r->pty) {
		struct sp_buf b;

		sp_buf_init(&b, 16);
		if (sp_buf_put_u32(&b, r->cols) == SP_OK && sp_buf_put_u32(&b, r->rows) == SP_OK &&
		    sp_buf_put_u32(&b, 0) == SP_OK && sp_buf_put_u32(&b, 0) == SP_OK)
			request_pass(r, "window-change", -1, 0, (struct sp_view){ b.p, b.len });
		sp_buf_release(&b);
	}
	request_pass(r, "shell", -1, 1, (struct sp_view){ NULL, 0 });
}

void
relay_menu_unbind(struct relay *r)
{
	queue_drop(r);
	relay_unbind(r);
}
