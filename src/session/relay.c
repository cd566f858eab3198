/* src/session/relay.c - one channel of the user and its counterpart at the target: from its opening to the end in the right
 * order. relay_near.c is the user's side, relay_request.c requests and their answers, relay_flow.c bytes.
 * Process: session.
 *
 * End: output first, then exit status, EOF, CLOSE: so a stock client returns the right exit code. A relay is bound to a
 * target (relay_bind), asks control for its channel as soon as the target is who it should be, and runs when the channel
 * is allowed, recorded and open; from a menu, an end leads back to the menu. */
#include "session/commands.h"
#include "session/relay_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- life */

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
relay_free(struct relay *r)
{
	relay_done(r);
	sp_source_remove(r->source);
	sp_closep(&r->fd);
	relay_requests_free(&r->held);
	front_release(r);
	agent_free(r->agent);
	files_free(r);
	sp_list_remove(&r->link);
	r->s->n_relays--;
	sp_buf_release(&r->detail);
	sp_buf_release(&r->exit);
	sp_buf_release(&r->open_extra);
	sp_buf_release(&r->origin);
	free(r);
}

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
	if (a != NULL && a->err == SP_ECLOSED)
		return 0;		/* killed: the line that says by whom is on its way */
	if (a != NULL && a->err != SP_OK && a->mfa && sp_code_start(r, target_name(r->target), relay_on_code, NULL) == SP_OK)
		return 0;
	if (a == NULL || a->err != SP_OK) {
		relay_fail(r, a == NULL ? "Sallyport did not answer in time: try again" :
		    a->text[0] != '\0' ? a->text : "not allowed");
		return 0;
	}
	if (r->kind == RELAY_LOCAL && a->address[0] != '\0') {
		(void)sp_strlcpy(r->to, a->address, sizeof(r->to));
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
	if (!commands_exec(r))
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
	relay_requests_send(r);
	if (!files_start(r))
		relay_fail(r, "out of memory");
	if (r->state == RL_RUN)
		relay_pump(r);
}

/* ---- the target's side */

static void
far_opened(void *arg)
{
	relay_run(arg);
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
	relay_on_reply(arg, ok);
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
	hold_reset(&r->hold);
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

void
relay_done(struct relay *r)
{
	if (r->state == RL_DONE)
		return;
	r->state = RL_DONE;
	sp_code_cancel(r);
	sp_ask_cancel(r);
	shell_free(r);
	relay_slots_flush(r);
	relay_requests_drop(r);
	relay_unbind(r);
	sp_channel_release(r->near);
	r->near = NULL;
	for (int i = 0; i < SP_REC_STREAMS; i++)
		relay_flow_drop(&r->flow[i]);
	hold_release(&r->hold);
	session_sweep_soon(r->s);
}

void
relay_finish(struct relay *r)
{
	relay_done(r);
}

/* From a menu, an end leads back to it. */
static int
relay_to_menu(struct relay *r, const char *message)
{
	if (r->menu == NULL || r->s->ending)
		return 0;
	sp_code_cancel(r);
	sp_ask_cancel(r);
	shell_free(r);
	relay_slots_flush(r);
	relay_requests_drop(r);
	relay_unbind(r);
	for (int i = 0; i < SP_REC_STREAMS; i++) {
		struct flow *f = &r->flow[i];

		if (i == SP_REC_IN && f->len > f->off)
			sp_channel_consumed(r->near, f->len - f->off);
		relay_flow_drop(f);
		f->bytes = 0;
	}
	r->far_eof = r->far_closed = r->have_exit = r->exit_told = r->allowed = r->asked = 0;
	r->exit_code = 0;
	r->exit_name[0] = '\0';
	sp_buf_reset(&r->exit);
	r->due_n = 0;
	front_menu_again(r, message);
	return 1;
}

void
relay_menu_unbind(struct relay *r)
{
	relay_requests_drop(r);
	relay_unbind(r);
}

/* Our own words, with the exit status that ssh itself uses for its errors, or 0. */
static void
relay_say(struct relay *r, const char *text)
{
	char line[SESSION_TEXT + 32];
	const uint8_t status[4] = { 0, 0, 0, (uint8_t)r->exit_code };

	(void)sp_snprintf(line, sizeof(line), r->pty ? "\r\n%s\r\n" : "sallyport: %s\n", text);
	relay_slots_flush(r);
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
	if (r->agent == NULL && r->near_eof && in->off == in->len && !files_waiting(r) && r->far != NULL)
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
