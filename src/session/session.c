/* src/session/session.c - see session.h: the life of the process, its channels to monitor, control and vault, and the
 * questions that are open on them. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define BYE_US		(UINT64_C(3) * SP_US_PER_S)	/* for the last words, once the user is gone */
#define LINGER_US	(UINT64_C(100) * SP_US_PER_MS)	/* below kill_after_ms */
#define UNHEARD_MAX	3				/* unanswered keep-alives */
#define ASK_LOST_US	(UINT64_C(60) * SP_US_PER_S)	/* after which an answer that nobody wants any more will not come */

struct ask {
	struct sp_list	 link;
	struct session	*s;
	enum sp_proc	 whom;
	uint16_t	 id;
	uint32_t	 corr;		/* 0: not sent yet */
	int		 again;		/* packed is there: it may be asked, once more if control's successor has to be */
	struct sp_buf	 packed;
	int		 fd;		/* goes with it, while it could not be sent; -1: none */
	ask_fn		*fn;		/* NULL: nobody wants to know */
	void		*arg;
	struct sp_timer	*timer;
};

static void
ask_free(struct ask *a)
{
	sp_list_remove(&a->link);
	sp_timer_free(a->timer);
	sp_buf_release(&a->packed);
	sp_closep(&a->fd);
	free(a);
}

static struct sp_chan *
ask_channel(struct session *s, enum sp_proc whom)
{
	return whom == SP_PROC_VAULT ? s->vault : s->control;
}

static void
ask_send(struct ask *a, const void *body)
{
	struct sp_chan *c = ask_channel(a->s, a->whom);

	a->corr = sp_chan_corr(c);
	if (a->fd >= 0)
		a->again = 0;		/* the descriptor leaves with it: not a second time */
	if (sp_chan_send(c, a->id, a->corr, body, &a->fd, a->fd >= 0) == SP_OK)
		return;
	a->corr = 0;
	sp_timer_in(a->timer, 0);
}

/* Control takes no more than SP_IPC_QUESTIONS at once. What nobody wants to know any more counts until it is answered. */
static int
ask_may_go(const struct ask *a)
{
	unsigned n = 0;

	if (ask_channel(a->s, a->whom) == NULL)
		return 0;
	sp_list_each(it, &a->s->asks) {
		const struct ask *o = sp_container(it, struct ask, link);

		n += o->whom == SP_PROC_CONTROL && o->corr != 0;
	}
	return a->whom != SP_PROC_CONTROL || n < SP_IPC_QUESTIONS;
}

/* Questions that wait for room, in their order. */
static void
asks_go(struct session *s)
{
	sp_list_each(it, &s->asks) {
		struct ask *a = sp_container(it, struct ask, link);
		ProtobufCMessage *m;

		if (a->corr != 0 || !a->again)
			continue;
		if (!ask_may_go(a))
			return;
		if ((m = protobuf_c_message_unpack(sp_msg_spec(a->id)->body, NULL, a->packed.len, a->packed.p)) == NULL)
			sp_die(71, "out of memory");
		ask_send(a, m);
		protobuf_c_message_free_unpacked(m, NULL);
	}
}

/* No answer is wanted any more; but one that control owes us keeps its place. */
static void
ask_drop(struct ask *a)
{
	if (a->whom != SP_PROC_CONTROL || a->corr == 0) {
		ask_free(a);
		return;
	}
	a->fn = NULL;
	a->arg = NULL;
	a->again = 0;
	sp_timer_in(a->timer, ASK_LOST_US);
}

static void
ask_answer(struct ask *a, struct sp_msg *m)
{
	struct session *s = a->s;

	/* fn may ask again, or forget arg: the entry leaves the list meanwhile. */
	sp_list_remove(&a->link);
	if (a->fn != NULL && a->fn(s, m, a->arg))
		sp_list_add_tail(&s->asks, &a->link);
	else
		ask_free(a);
	asks_go(s);
}

static void
ask_timeout(struct sp_timer *t, void *arg)
{
	struct ask *a = arg;
	struct session *s = a->s;
	ask_fn *fn = a->fn;
	void *fn_arg = a->arg;

	(void)t;
	if (fn == NULL) {
		ask_free(a);
	} else {
		ask_drop(a);
		(void)fn(s, NULL, fn_arg);
	}
	asks_go(s);
}

void
session_ask(struct session *s, enum sp_proc whom, uint16_t id, const void *body, int fd, uint64_t wait_us, ask_fn *fn,
    void *arg)
{
	struct ask *a = calloc(1, sizeof(*a));
	size_t len = protobuf_c_message_get_packed_size(body);

	if (a == NULL || sp_timer_new(s->loop, ask_timeout, a, &a->timer) != SP_OK)
		sp_die(71, "out of memory");
	sp_list_init(&a->link);
	sp_list_add_tail(&s->asks, &a->link);
	a->s = s;
	a->whom = whom;
	a->id = id;
	a->fn = fn;
	a->arg = arg;
	a->fd = fd;
	sp_buf_init(&a->packed, SP_MSG_MAX);
	if (whom == SP_PROC_CONTROL && sp_buf_reserve(&a->packed, len + 1) == SP_OK) {
		a->packed.len = protobuf_c_message_pack(body, a->packed.p);
		a->again = 1;
	}
	sp_timer_in(a->timer, wait_us);
	if (ask_may_go(a))
		ask_send(a, body);
	else if (!a->again)
		sp_timer_in(a->timer, 0);	/* else asked when control is back or has room, or given up in time */
}

void
session_forget(struct session *s, void *arg)
{
	sp_list_each(it, &s->asks) {
		struct ask *a = sp_container(it, struct ask, link);

		if (a->arg == arg)
			ask_drop(a);
	}
}

void
session_tell(struct session *s, uint16_t id, const void *body)
{
	if (s->control != NULL && sp_chan_send(s->control, id, 0, body, NULL, 0) != SP_OK)
		sp_warn("a notice to control was lost");
}

/* Questions that were open on a channel that is no more. */
static void
asks_again(struct session *s, enum sp_proc whom)
{
	sp_list_each(it, &s->asks) {
		struct ask *a = sp_container(it, struct ask, link);

		if (a->whom != whom)
			continue;
		a->corr = 0;
		if (a->fn == NULL)
			ask_free(a);
		else if (!a->again)
			sp_timer_in(a->timer, 0);
	}
	asks_go(s);
}

static int
ask_answered(struct session *s, enum sp_proc whom, struct sp_msg *m)
{
	if (m->corr == 0)
		return 0;
	sp_list_each(it, &s->asks) {
		struct ask *a = sp_container(it, struct ask, link);

		if (a->whom == whom && a->corr == m->corr) {
			ask_answer(a, m);
			return 1;
		}
	}
	return 0;
}

/* ---- peers */

static void
session_hello(struct session *s)
{
	Sallyport__Hello h = SALLYPORT__HELLO__INIT;
	Sallyport__HelloTarget row[SESSION_TARGETS], *rows[SESSION_TARGETS];
	size_t n = 0;

	h.protocol = SP_IPC_PROTOCOL;
	h.conn_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->birth.conn_id.b };
	h.login = s->login.user;
	if (s->login.authed || s->inner) {	/* an inner connection has its identity from the start */
		h.user_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->login.user_id.b };
		h.epoch = s->login.epoch;
	}
	sp_list_each(it, &s->targets) {
		struct target *t = sp_container(it, struct target, link);

		if (t->reply == NULL || n == SESSION_TARGETS)
			continue;
		row[n] = (Sallyport__HelloTarget)SALLYPORT__HELLO_TARGET__INIT;
		row[n].session_id = (ProtobufCBinaryData){ SP_UUID_LEN, t->id.b };
		row[n].asset_id = t->reply->asset_id;
		row[n].account_id = t->reply->account_id;
		row[n].state = t->state == TG_UP ? (char *)(uintptr_t)"up" : (char *)(uintptr_t)"opening";
		rows[n] = &row[n];
		n++;
	}
	h.targets = rows;
	h.n_targets = n;
	session_tell(s, SP_MSG_HELLO, &h);
}

static void
on_control(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (ask_answered(s, SP_PROC_CONTROL, m))
		return;
	if (m->id == SP_MSG_WELCOME)
		login_welcome(s, (Sallyport__Welcome *)m->body);
	else
		(void)target_on_control(s, m);
}

static void
on_vault(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)ask_answered(arg, SP_PROC_VAULT, m);
}

/* Control or vault died: what runs goes on; the monitor will bring another channel. */
static void
on_peer_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct session *s = arg;

	if (why != SP_ECLOSED)
		sp_warn("%s sent a bad message %s: %s", sp_proc_name(sp_chan_peer(c)), what, sp_err_text(why));
	if (c == s->control) {
		s->control = NULL;
		if (!s->login.authed && why != SP_ECLOSED)
			session_end(s, "Sallyport cannot log you in at the moment");
	} else if (c == s->vault) {
		s->vault = NULL;
		asks_again(s, SP_PROC_VAULT);	/* its leases are void: nobody will answer */
	}
	sp_chan_free(c);
}

static enum sp_err
peer_attach(struct session *s, enum sp_proc kind, int fd)
{
	struct sp_chan **slot = kind == SP_PROC_CONTROL ? &s->control : &s->vault;
	struct sp_chan *c;
	enum sp_err r;

	r = sp_chan_new(fd, SP_PROC_SESSION, kind, kind == SP_PROC_CONTROL ? on_control : on_vault, on_peer_close, s, &c);
	if (r != SP_OK)
		return r;
	if ((r = sp_chan_watch(c, s->loop)) != SP_OK) {
		sp_chan_free(c);
		return r;
	}
	sp_chan_free(*slot);
	*slot = c;
	if (kind == SP_PROC_CONTROL && !s->login.authed && !s->inner)
		sp_chan_set_state(c, SP_ST_PREAUTH);
	return SP_OK;
}

static void
on_peer(struct session *s, const Sallyport__Peer *p, int fd)
{
	if (p->kind != SP_PROC_CONTROL && p->kind != SP_PROC_VAULT) {
		sp_closep(&fd);
		return;
	}
	if (peer_attach(s, (enum sp_proc)p->kind, fd) != SP_OK)
		return;
	if (p->kind == SP_PROC_CONTROL)
		session_hello(s);
	asks_again(s, (enum sp_proc)p->kind);
}

static void
on_kill(struct session *s, const Sallyport__Kill *k)
{
	char line[SESSION_TEXT];
	struct target *t;

	if (k->session_id.len > 0) {
		if ((t = target_find(s, k->session_id.data, k->session_id.len)) != NULL)
			target_kill(t, k->by, k->reason);
		return;
	}
	sp_list_each(it, &s->targets)
		target_kill(sp_container(it, struct target, link), k->by, k->reason);
	(void)sp_snprintf(line, sizeof(line), "Terminated by %s: %s", k->by, k->reason);
	sp_list_each(jt, &s->relays)
		relay_fail(sp_container(jt, struct relay, link), line);
	session_end(s, line);
}

static void
on_monitor(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct session *s = arg;

	(void)c;
	switch (m->id) {
	case SP_MSG_SCRIBE_LINK: {
		Sallyport__ScribeLink *l = (Sallyport__ScribeLink *)m->body;

		target_on_scribe(s, l->session_id.data, l->session_id.len, sp_steal_fd(&m->fds[0]));
		break;
	}
	case SP_MSG_PEER:
		on_peer(s, (Sallyport__Peer *)m->body, sp_steal_fd(&m->fds[0]));
		break;
	case SP_MSG_KILL:
		on_kill(s, (Sallyport__Kill *)m->body);
		break;
	default:
		break;		/* SHUTDOWN: live sessions go on until they are told to end */
	}
}

/* Without the monitor nobody could kill this session: it ends. */
static void
on_monitor_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct session *s = arg;

	(void)why;
	(void)what;
	s->monitor = NULL;
	sp_chan_free(c);
	sp_list_each(it, &s->targets)
		target_end(sp_container(it, struct target, link), "sallyport stopped", "", "Sallyport was stopped");
	session_end(s, "Sallyport was stopped");
}

/* ---- end */

static void
on_bye(struct sp_timer *t, void *arg)
{
	struct session *s = arg;

	(void)t;
	s->leg_gone = 1;
	sp_list_each(it, &s->targets) {
		struct target *g = sp_container(it, struct target, link);

		target_end(g, "connection closed", "", NULL);
	}
	s->done = 1;
}

static void
on_linger(struct sp_timer *t, void *arg)
{
	struct session *s = arg;

	(void)t;
	if (s->leg != NULL)
		sp_leg_close(s->leg, s->why);
	else
		s->done = 1;
}

void
session_end(struct session *s, const char *why)
{
	if (s->ending)
		return;
	s->ending = 1;
	(void)sp_strlcpy(s->why, why, sizeof(s->why));
	/* A client that reads "disconnect" drops what it has not shown yet: the last line comes first. */
	sp_timer_in(s->linger, s->conn != NULL && sp_conn_channels(s->conn) > 0 ? LINGER_US : 0);
	sp_timer_in(s->bye, BYE_US);
	session_sweep_soon(s);
}

void
session_sweep_soon(struct session *s)
{
	sp_timer_in(s->sweep, 0);
}

static int
session_quiet(const struct session *s)
{
	if (!s->leg_gone || !sp_list_empty(&s->targets))
		return 0;
	return s->control == NULL || sp_chan_queued(s->control) == 0;
}

/* Free what ended since the last round, and stop when nothing is left. */
static void
on_sweep(struct sp_timer *timer, void *arg)
{
	struct session *s = arg;

	(void)timer;
	sp_list_each(it, &s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->state == RL_DONE)
			relay_free(r);
	}
	sp_list_each(jt, &s->targets) {
		struct target *t = sp_container(jt, struct target, link);

		/* Its last messages leave before its channel does. */
		if (t->state == TG_ENDED && t->n_relays == 0 && (t->scribe == NULL || sp_chan_queued(t->scribe) == 0))
			target_free(t);
		else if (t->state == TG_ENDED)
			sp_timer_in(s->sweep, 20 * SP_US_PER_MS);
	}
	if (session_quiet(s))
		s->done = 1;
	else if (s->leg_gone)
		sp_timer_in(s->sweep, 20 * SP_US_PER_MS);
}

static void
on_grace(struct sp_timer *t, void *arg)
{
	struct session *s = arg;

	(void)t;
	if (!s->login.authed)
		session_end(s, "no login in time");
}

/* A keep-alive after every quiet period; a peer that stays silent is gone. */
static void
on_alive(struct sp_timer *t, void *arg)
{
	struct session *s = arg;
	uint64_t now = sp_now_us(), quiet;

	sp_timer_at(t, now + s->conf->keepalive);
	if (s->leg == NULL || s->conn == NULL || !s->login.authed || s->ending)
		return;
	quiet = now - sp_leg_heard_us(s->leg);
	if (quiet < s->conf->keepalive) {
		s->unheard = 0;
		sp_timer_at(t, now + s->conf->keepalive - quiet);
	} else if (++s->unheard > UNHEARD_MAX)
		session_end(s, "no answer to keep-alives");
	else
		sp_conn_global(s->conn, "keepalive@openssh.com", 1, NULL, 0);
}

static enum sp_err
session_start(struct session *s)
{
	enum sp_err r;

	if ((r = sp_loop_new(&s->loop)) != SP_OK || (r = sp_timer_new(s->loop, on_grace, s, &s->grace)) != SP_OK ||
	    (r = sp_timer_new(s->loop, on_alive, s, &s->alive)) != SP_OK ||
	    (r = sp_timer_new(s->loop, on_bye, s, &s->bye)) != SP_OK ||
	    (r = sp_timer_new(s->loop, on_linger, s, &s->linger)) != SP_OK ||
	    (r = sp_timer_new(s->loop, on_sweep, s, &s->sweep)) != SP_OK)
		return r;
	if ((r = sp_chan_new(s->birth.monitor, SP_PROC_SESSION, SP_PROC_MONITOR, on_monitor, on_monitor_close, s,
	    &s->monitor)) != SP_OK || (r = sp_chan_watch(s->monitor, s->loop)) != SP_OK ||
	    (r = peer_attach(s, SP_PROC_CONTROL, s->birth.control)) != SP_OK ||
	    (r = peer_attach(s, SP_PROC_VAULT, s->birth.vault)) != SP_OK)
		return r;
	sp_timer_in(s->grace, s->conf->login_grace);
	sp_timer_in(s->alive, s->conf->keepalive);
	session_hello(s);
	if (s->birth.inner)
		return SP_OK;		/* the host key comes with WELCOME */
	return sp_leg_server(s->loop, s->birth.keys, sp_steal_fd(&s->birth.fd), &login_leg_ops, s, &s->leg);
}

int
session_main(const struct session_birth *b)
{
	static struct session s;
	enum sp_err r;

	s.birth = *b;
	s.conf = b->conf;
	sp_list_init(&s.asks);
	sp_list_init(&s.targets);
	sp_list_init(&s.relays);
	sp_list_init(&s.globals);
	sp_list_init(&s.links);
	sp_buf_init(&s.login.password, 1024);
	if ((r = session_start(&s)) != SP_OK) {
		sp_error("session cannot start: %s", sp_err_text(r));
		return sp_err_exit(r);
	}
	for (sp_leg_flush_all(); r == SP_OK && !s.done; sp_leg_flush_all())
		r = sp_loop_once(s.loop, -1);
	return sp_err_exit(r);
}
