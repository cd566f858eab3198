/* src/session/relay_near.c - the user's side of a channel: what it asks for, types and ends. Process: session.
 * Requests come from a table; one that is not in it is refused, and so is one that the state does not allow. What reaches
 * the target goes through relay_request() and relay_bytes(); a question on the terminal, a command line of ours and the
 * menu have the keys before it. */
#include "session/relay_int.h"

#include <string.h>

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
		relay_flow_drop(&r->flow[i]);
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

/* ---- requests */

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
			relay_request(r, "env", -1, 0, data);
		relay_answer(r, slot, 1);
	} else if (strcmp(name, "SALLYPORT_TARGET") == 0) {
		r->wanted = sp_view_cstring(&v, value, sizeof(value)) == SP_OK &&
		    sp_target_parse(value, strlen(value), SP_TARGET_PLACE, &why, &r->want) == SP_OK;
		relay_answer(r, slot, r->wanted);
	} else if (strcmp(name, "SALLYPORT_REASON") == 0) {
		relay_answer(r, slot, sp_view_cstring(&v, r->reason, sizeof(r->reason)) == SP_OK);
	} else if (target_env_allowed(r->s, name)) {
		relay_request(r, "env", -1, 0, data);
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
	relay_request(r, "pty-req", -1, 0, data);
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
		relay_request(r, "window-change", -1, 0, data);
	relay_answer(r, slot, 1);
}

/* signal, break: to the program, when there is one. */
static void
near_signal(struct relay *r, const char *name, struct sp_view data, int slot)
{
	if (!r->started || r->shell != NULL || r->state == RL_MENU || data.len > 256)
		relay_answer(r, slot, 0);
	else
		relay_request(r, name, slot, 0, data);
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
	relay_request(r, name, -1, 0, data);
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
	int slot = relay_slot(r, want_reply);

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
