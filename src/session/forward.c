/* src/session/forward.c - forwards (-L, -D, -R, X11, agent) and connections inside this one (-J). Process: session.
 * Invariants: a forward goes only where control said, to the address that control resolved and checked; a target opens
 * only channels that the user asked for and control allowed; a direct-tcpip on a connection that has no target is never
 * a blind tunnel: its other end is a session process of its own. */
#include "session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define FORWARDS_MAX	16u
#define INNER_READ	(32u * 1024)

struct remote {			/* one tcpip-forward */
	struct sp_list	 link;
	struct target	*target;
	char		 addr[256];
	uint32_t	 port, bound;	/* as asked; 0 was replaced by the target: bound */
	int		 allowed, sent, active;
	struct answer	*answer;	/* owed to the user; NULL when not or no more */
};
struct answer {			/* to one global request of the user, in order */
	struct sp_list	link;
	int		done, ok, want_reply;
	uint32_t	port;
	int		with_port;
};
struct awaited {		/* one global request to a target */
	struct sp_list	 link;
	struct remote	*remote;	/* NULL: keep-alive, cancel, or no longer of interest */
};

/* ---- answers to the user's global requests */

static void
answers_flush(struct session *s)
{
	sp_list_each(it, &s->globals) {
		struct answer *a = sp_container(it, struct answer, link);
		uint8_t port[4] = { 0, 0, (uint8_t)(a->port >> 8), (uint8_t)a->port };

		if (!a->done)
			return;
		sp_list_remove(&a->link);
		if (a->want_reply)
			sp_conn_reply(s->conn, a->ok, port, a->with_port ? sizeof(port) : 0);
		free(a);
	}
}

static struct answer *
answer_new(struct session *s, int want_reply)
{
	struct answer *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		session_end(s, "out of memory");
		return NULL;
	}
	a->want_reply = want_reply;
	sp_list_init(&a->link);
	sp_list_add_tail(&s->globals, &a->link);
	return a;
}

static void
answer_set(struct session *s, struct answer *a, int ok)
{
	if (a == NULL)
		return;
	a->done = 1;
	a->ok = ok;
	answers_flush(s);
}

/* ---- global requests to a target */

static void
forward_send(struct target *t, const char *name, struct remote *m)
{
	struct awaited *w = calloc(1, sizeof(*w));
	struct sp_buf b;

	if (w == NULL)
		return;
	w->remote = m;
	sp_list_init(&w->link);
	sp_list_add_tail(&t->awaited, &w->link);
	sp_buf_init(&b, 512);
	if (m == NULL || (sp_buf_put_cstring(&b, m->addr) == SP_OK && sp_buf_put_u32(&b, m->port) == SP_OK))
		sp_conn_global(t->conn, name, 1, b.p, b.len);
	sp_buf_release(&b);
}

void
forward_keepalive(struct target *t)
{
	forward_send(t, "keepalive@openssh.com", NULL);
}

static void
remote_free(struct remote *m)
{
	sp_list_each(it, &m->target->awaited) {
		struct awaited *w = sp_container(it, struct awaited, link);

		if (w->remote == m)
			w->remote = NULL;
	}
	session_forget(m->target->s, m);
	sp_list_remove(&m->link);
	answer_set(m->target->s, m->answer, 0);
	free(m);
}

void
forward_global_reply(struct target *t, int ok, struct sp_view data)
{
	struct awaited *w;
	struct remote *m;

	if (sp_list_empty(&t->awaited))
		return;
	t->unheard = 0;
	w = sp_container(t->awaited.next, struct awaited, link);
	sp_list_remove(&w->link);
	m = w->remote;
	free(w);
	if (m == NULL)
		return;
	if (!ok) {
		remote_free(m);
		return;
	}
	m->active = 1;
	m->bound = m->port;
	if (m->port == 0 && (sp_view_u32(&data, &m->bound) != SP_OK || m->bound > 65535))
		m->bound = 0;
	if (m->answer != NULL) {
		m->answer->with_port = m->port == 0;
		m->answer->port = m->bound;
	}
	answer_set(t->s, m->answer, 1);
	m->answer = NULL;
}

static void
remote_go_on(struct remote *m)
{
	if (m->target->state != TG_UP || !m->allowed || m->sent)
		return;
	m->sent = 1;
	forward_send(m->target, "tcpip-forward", m);
}

static int
remote_on_allowed(struct session *s, struct sp_msg *msg, void *arg)
{
	struct remote *m = arg;
	const Sallyport__ChannelReply *a = msg != NULL ? (const Sallyport__ChannelReply *)msg->body : NULL;

	(void)s;
	if (a == NULL || a->err != SP_OK) {
		remote_free(m);
		return 0;
	}
	m->allowed = 1;
	remote_go_on(m);
	return 0;
}

static void
remote_ask(struct remote *m)
{
	Sallyport__ChannelAsk q = SALLYPORT__CHANNEL_ASK__INIT;
	char detail[320];

	(void)sp_snprintf(detail, sizeof(detail), "%s:%u", m->addr, (unsigned)m->port);
	q.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, m->target->id.b };
	q.channel = ++m->target->numbers;
	q.type = (char *)(uintptr_t)"forward-remote";
	q.detail = detail;
	session_ask(m->target->s, SP_PROC_CONTROL, SP_MSG_CHANNEL_ASK, &q, -1, m->target->s->conf->control_wait,
	    remote_on_allowed, m);
}

void
forward_target_up(struct target *t)
{
	sp_list_each(it, &t->forwards)
		remote_ask(sp_container(it, struct remote, link));
}

void
forward_target_gone(struct target *t)
{
	sp_list_each(it, &t->forwards)
		remote_free(sp_container(it, struct remote, link));
}

void
forward_target_free(struct target *t)
{
	forward_target_gone(t);
	sp_list_each(it, &t->awaited) {
		struct awaited *w = sp_container(it, struct awaited, link);

		sp_list_remove(&w->link);
		free(w);
	}
}

int
forward_active(const struct target *t)
{
	return !sp_list_empty(&t->forwards);
}

static void
global_forward(struct session *s, int want_reply, struct sp_view v)
{
	struct answer *a = answer_new(s, want_reply);
	struct remote *m = NULL;
	struct target *t;
	unsigned n = 0;

	if (a == NULL)
		return;
	if ((t = forward_target(s)) != NULL)
		sp_list_each(it, &t->forwards)
			n++;
	if (t == NULL || n >= FORWARDS_MAX || (m = calloc(1, sizeof(*m))) == NULL ||
	    sp_view_cstring(&v, m->addr, sizeof(m->addr)) != SP_OK || sp_view_u32(&v, &m->port) != SP_OK || m->port > 65535) {
		free(m);
		answer_set(s, a, 0);
		return;
	}
	m->target = t;
	m->answer = a;
	sp_list_init(&m->link);
	sp_list_add_tail(&t->forwards, &m->link);
	if (t->state == TG_UP)
		remote_ask(m);
}

static void
global_cancel(struct session *s, int want_reply, struct sp_view v)
{
	struct answer *a = answer_new(s, want_reply);
	char addr[256];
	uint32_t port;
	int ok = 0;

	if (a == NULL)
		return;
	if (sp_view_cstring(&v, addr, sizeof(addr)) == SP_OK && sp_view_u32(&v, &port) == SP_OK)
		sp_list_each(it, &s->targets) {
			struct target *t = sp_container(it, struct target, link);

			sp_list_each(jt, &t->forwards) {
				struct remote *m = sp_container(jt, struct remote, link);

				if (!m->active || m->bound != port || strcmp(m->addr, addr) != 0)
					continue;
				m->port = m->bound;
				forward_send(t, "cancel-tcpip-forward", m);
				remote_free(m);
				ok = 1;
			}
		}
	answer_set(s, a, ok);
}

void
forward_global(struct session *s, const char *name, int want_reply, struct sp_view data)
{
	if (strcmp(name, "tcpip-forward") == 0)
		global_forward(s, want_reply, data);
	else if (strcmp(name, "cancel-tcpip-forward") == 0)
		global_cancel(s, want_reply, data);
	else if (strcmp(name, "no-more-sessions@openssh.com") == 0 && data.len == 0) {
		s->no_more = 1;		/* login_on_open() */
		answer_set(s, answer_new(s, want_reply), 1);
	} else {
		/* A keep-alive is content with a refusal; anything else is not for us. */
		struct answer *a = answer_new(s, want_reply);

		answer_set(s, a, 0);
	}
}

/* ---- channels that a target opens: a remote forward, X11, the user's agent */

static int
remote_matches(const struct target *t, struct sp_view v)
{
	char addr[256];
	uint32_t port;

	if (sp_view_cstring(&v, addr, sizeof(addr)) != SP_OK || sp_view_u32(&v, &port) != SP_OK)
		return 0;
	sp_list_each(it, &((struct target *)(uintptr_t)t)->forwards) {
		struct remote *m = sp_container(it, struct remote, link);

		if (m->active && m->bound == port && strcmp(m->addr, addr) == 0)
			return 1;
	}
	return 0;
}

void
forward_from_target(struct target *t, struct sp_channel *ch, const char *type, struct sp_view extra)
{
	struct relay *r;
	int wanted = 0;

	if (strcmp(type, "forwarded-tcpip") == 0)
		wanted = remote_matches(t, extra);
	else if (strcmp(type, "x11") == 0)
		wanted = t->x11;
	else if (strcmp(type, "auth-agent@openssh.com") == 0)
		wanted = t->agent != AGENT_NONE;
	if (!wanted || t->state != TG_UP || t->s->n_relays >= SESSION_RELAYS || extra.len > 1024 ||
	    (r = relay_new(t->s, RELAY_REMOTE, NULL)) == NULL) {
		sp_channel_refuse(ch, SP_OPEN_PROHIBITED, "not asked for");
		return;
	}
	sp_channel_own(ch, &relay_far_ops, r);
	r->far = ch;
	(void)sp_strlcpy(r->type, type[0] == 'f' ? "forwarded" : type[0] == 'x' ? "x11" : "agent", sizeof(r->type));
	if (sp_buf_append(&r->open_extra, extra.p, extra.len) != SP_OK) {
		relay_finish(r);
		return;
	}
	if (type[0] == 'a' && sp_buf_append_str(&r->detail, t->agent == AGENT_OWN ? "own" : "platform") != SP_OK) {
		relay_finish(r);
		return;
	}
	if (type[0] == 'f') {
		char addr[256] = "";
		uint32_t port = 0;

		(void)!sp_view_cstring(&extra, addr, sizeof(addr));
		(void)!sp_view_u32(&extra, &port);
		(void)!sp_buf_printf(&r->detail, "%s:%u", addr, (unsigned)port);
	}
	relay_bind(r, t);
}

/* ---- local forwards */

void
forward_connect(struct relay *r)
{
	static const char *const types[][2] = {
		{ "forwarded", "forwarded-tcpip" }, { "x11", "x11" }, { "agent", "auth-agent@openssh.com" }
	};
	enum sp_err e = SP_EINVAL;

	if (strcmp(r->type, "agent") == 0 && r->target->agent == AGENT_PLATFORM) {
		relay_run(r);		/* answered here: there is no other side */
		return;
	}
	if (r->kind == RELAY_LOCAL)
		e = sp_channel_open(r->target->conn, "direct-tcpip", r->open_extra.p, r->open_extra.len, &relay_far_ops, r,
		    &r->far);
	else
		for (size_t i = 0; i < SP_NELEMS(types); i++)
			if (strcmp(types[i][0], r->type) == 0)
				e = sp_channel_open(r->s->conn, types[i][1], r->open_extra.p, r->open_extra.len, &relay_near_ops, r,
				    &r->near);
	if (e != SP_OK)
		relay_fail(r, "too many channels");
}

static void inner_open(struct session *s, struct sp_channel *ch, const char *host, uint32_t port);

void
forward_open(struct session *s, struct sp_channel *ch, struct sp_view extra)
{
	struct sp_view v = extra;
	struct target *t;
	struct relay *r;
	char host[256];
	uint32_t port;

	if (extra.len > 1024 || sp_view_cstring(&v, host, sizeof(host)) != SP_OK || sp_view_u32(&v, &port) != SP_OK ||
	    port == 0 || port > 65535) {
		sp_channel_refuse(ch, SP_OPEN_CONNECT_FAILED, "malformed request");
		return;
	}
	if ((t = forward_target(s)) == NULL) {
		inner_open(s, ch, host, port);
		return;
	}
	if ((r = relay_new(s, RELAY_LOCAL, ch)) == NULL) {
		sp_channel_refuse(ch, SP_OPEN_RESOURCES, "out of memory");
		return;
	}
	sp_channel_own(ch, &relay_near_ops, r);
	(void)sp_strlcpy(r->type, "forward-local", sizeof(r->type));
	if (sp_buf_printf(&r->detail, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, (unsigned)port) != SP_OK ||
	    sp_buf_append(&r->origin, v.p, v.len) != SP_OK || sp_buf_append(&r->open_extra, extra.p, extra.len) != SP_OK)
		relay_fail(r, "out of memory");
	else
		relay_bind(r, t);
}

/* ---- ssh -J: the stream goes to another session process */

static void
inner_end(struct relay *r)
{
	if (r->near != NULL)
		sp_channel_eof(r->near);
	relay_finish(r);
}

/* Socket to user. Reads only what fits, so nothing is kept. */
static int
inner_read(struct relay *r)
{
	uint8_t buf[INNER_READ];
	size_t room;

	while (r->near != NULL && (room = sp_channel_room(r->near)) > 0) {
		ssize_t n = recv(r->fd, buf, room < sizeof(buf) ? room : sizeof(buf), MSG_DONTWAIT);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return 1;
		if (n <= 0) {
			inner_end(r);
			return 0;
		}
		(void)sp_channel_write(r->near, SP_STREAM_OUT, buf, (size_t)n);
	}
	return 1;
}

static int
inner_write(struct relay *r)
{
	struct flow *f = &r->flow[SP_REC_IN];

	while (f->off < f->len) {
		ssize_t n = send(r->fd, f->p + f->off, f->len - f->off, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			break;
		if (n == -1) {
			inner_end(r);
			return 0;
		}
		f->off += (size_t)n;
		sp_channel_consumed(r->near, (size_t)n);
	}
	if (f->off == f->len && r->near_eof)
		(void)shutdown(r->fd, SHUT_WR);
	return 1;
}

void
forward_inner_pump(struct relay *r)
{
	const struct flow *f = &r->flow[SP_REC_IN];
	uint32_t want = 0;

	if (r->state != RL_RUN || r->source == NULL || !inner_write(r) || !inner_read(r))
		return;
	if (sp_channel_room(r->near) > 0)
		want |= EPOLLIN;
	if (f->off < f->len)
		want |= EPOLLOUT;
	sp_source_events(r->source, want);
}

static void
inner_on_event(struct sp_source *src, uint32_t events, void *arg)
{
	struct relay *r = arg;

	(void)src;
	/* The other process is gone and the user does not read: nothing more will come. */
	if ((events & (EPOLLHUP | EPOLLERR)) && sp_channel_room(r->near) == 0 && sp_leg_is_closed(r->s->leg)) {
		inner_end(r);
		return;
	}
	forward_inner_pump(r);
}

static int
inner_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	struct relay *r = arg;
	const Sallyport__Result *a = m != NULL ? (const Sallyport__Result *)m->body : NULL;

	if (a == NULL || a->err != SP_OK) {
		relay_fail(r, a == NULL ? "Sallyport did not answer in time" : a->text[0] != '\0' ? a->text : "not allowed");
		return 0;
	}
	if (sp_loop_add(s->loop, r->fd, EPOLLIN, inner_on_event, r, &r->source) != SP_OK) {
		relay_fail(r, "out of memory");
		return 0;
	}
	r->state = RL_RUN;
	sp_channel_accept(r->near);
	forward_inner_pump(r);
	return 0;
}

static void
inner_open(struct session *s, struct sp_channel *ch, const char *host, uint32_t port)
{
	Sallyport__InnerAsk q = SALLYPORT__INNER_ASK__INIT;
	struct relay *r = NULL;
	int sv[2];

	if (s->inner || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == -1 ||
	    (r = relay_new(s, RELAY_INNER, ch)) == NULL) {
		sp_channel_refuse(ch, SP_OPEN_RESOURCES, "no connection inside this one");
		return;
	}
	sp_channel_own(ch, &relay_near_ops, r);
	r->fd = sv[0];
	q.asset = (char *)(uintptr_t)host;
	q.port = port;
	session_ask(s, SP_PROC_CONTROL, SP_MSG_INNER_ASK, &q, sv[1], s->conf->control_wait, inner_on_reply, r);
}
