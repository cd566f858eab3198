/* tests/fault/fake.c - stands in for vault, control, zygote, session, scribe, dialer, courier and siem, so that the real monitor
 * and the real gate can be watched while these die. Its role is its name. What happens to it goes, a line each, to
 * state_dir/trace; control takes orders on its admin socket, one packet each:
 *   spawn CONN SESSION | label CONN SESSION USER (none: ended) | kill CONN SESSION|- REASON | inner CONN | lie | penalty IP
 * With state_dir/deaf sessions ignore KILL, with state_dir/chatty they write to the monitor, with state_dir/lie the zygote
 * names the monitor itself as the session that it forked. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/child.h"
#include "sallyport.pb-c.h"

static struct sp_child child;
static const char *role;
static int trace_fd = -1, state_fd = -1;
static int held[4096], n_held;	/* descriptors kept open */

static void __attribute__((format(printf, 1, 2)))
trace(const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	int n, k;

	n = snprintf(line, sizeof(line), "%s %d ", role, (int)getpid());
	va_start(ap, fmt);
	k = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	n += k;
	line[n++] = '\n';
	if (write(trace_fd, line, (size_t)n) != n)
		_exit(99);
}

static void
hold(int fd)
{
	if (n_held < 4096)
		held[n_held++] = fd;
}

static const char *
id_text(ProtobufCBinaryData b, char dst[SP_UUID_SIZE])
{
	struct sp_uuid u;

	return b.len == 16 && sp_uuid_from(b.data, b.len, &u) == SP_OK ? sp_uuid_text(&u, dst) : "-";
}

/* ---- a session, and a scribe: forked, with one channel to the monitor */

static int
flag(const char *name)
{
	return faccessat(state_fd, name, F_OK, 0) == 0;
}

static void
forked_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	char id[SP_UUID_SIZE];

	(void)c;
	(void)arg;
	if (m->id == SP_MSG_PEER) {
		trace("peer %s", sp_proc_name((enum sp_proc)((Sallyport__Peer *)m->body)->kind));
		hold(sp_steal_fd(&m->fds[0]));
	} else if (m->id == SP_MSG_SCRIBE_LINK) {
		trace("link %s", id_text(((Sallyport__ScribeLink *)m->body)->session_id, id));
		hold(sp_steal_fd(&m->fds[0]));
	} else if (m->id == SP_MSG_KILL) {
		const Sallyport__Kill *k = (const Sallyport__Kill *)m->body;

		trace("kill %s by %s: %s", id_text(k->session_id, id), k->by, k->reason);
		if (strcmp(role, "session") == 0 && !flag("deaf"))
			exit(0);
	}
}

static void
forked_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)c;
	(void)what;
	(void)arg;
	trace("monitor gone: %s", sp_err_name(why));
	exit(1);
}

static void
scribe_on_session(struct sp_source *s, uint32_t events, void *arg)
{
	(void)s;
	(void)events;
	(void)arg;
	trace("end");
	exit(0);
}

/* CALL_ASK: the table has it for a session and for the monitor, in different rows of life. */
static void
chatter(int fd)
{
	const struct {
		uint16_t	protocol, id;
		uint32_t	corr;
	} h = { SP_IPC_PROTOCOL, SP_MSG_CALL_ASK, 1 };

	(void)!write(fd, &h, sizeof(h));
}

static void SP_NORETURN
forked_run(const char *name, enum sp_proc self, int monitor, int session)
{
	struct sp_loop *l;
	struct sp_chan *c;
	struct sp_source *s;

	role = name;
	close(SP_CHILD_FD);
	if (sp_loop_new(&l) != SP_OK || sp_chan_new(monitor, self, SP_PROC_MONITOR, forked_on_msg, forked_on_close, NULL, &c) != SP_OK ||
	    sp_chan_watch(c, l) != SP_OK ||
	    (session != -1 && sp_loop_add(l, session, EPOLLIN | EPOLLHUP, scribe_on_session, NULL, &s) != SP_OK))
		_exit(98);
	trace("up");
	if (self == SP_PROC_SESSION && flag("chatty"))
		chatter(sp_chan_fd(c));
	(void)!sp_loop_run(l);
	_exit(97);
}

static pid_t
forked_start(const char *name, enum sp_proc self, int monitor, int session, int *ret_pidfd)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid == 0) {
		sigemptyset(&none);
		(void)sigprocmask(SIG_SETMASK, &none, NULL);
		forked_run(name, self, monitor, session);
	}
	*ret_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pid;
}

struct kid {
	pid_t		pid;
	struct sp_uuid	id;
};
static struct kid kids[4096];
static int n_kids;

static void
on_sigchld(int signo, void *arg)
{
	int status;
	pid_t pid;

	(void)signo;
	(void)arg;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (int i = 0; i < n_kids; i++)
			if (kids[i].pid == pid) {
				Sallyport__Died d = SALLYPORT__DIED__INIT;

				d.pid = (uint32_t)pid;
				d.wait_status = status;
				if (child.self == SP_PROC_ZYGOTE)
					d.conn_id = (ProtobufCBinaryData){ 16, kids[i].id.b };
				else
					d.session_id = (ProtobufCBinaryData){ 16, kids[i].id.b };
				if (sp_chan_send(child.monitor, SP_MSG_DIED, 0, &d, NULL, 0) != SP_OK)
					exit(1);
			}
}

/* ---- zygote */

static void
zygote_on_conn(struct sp_msg *m)
{
	const Sallyport__Conn *conn = (const Sallyport__Conn *)m->body;
	Sallyport__Born b = SALLYPORT__BORN__INIT;
	int sv[3][2], fds[4];
	char id[SP_UUID_SIZE];
	pid_t pid;

	for (int i = 0; i < 3; i++)
		if (sp_chan_pair(sv[i]) != SP_OK)
			exit(96);
	pid = forked_start("session", SP_PROC_SESSION, sv[0][1], -1, &fds[0]);
	for (int i = 0; i < 3; i++) {
		close(sv[i][1]);
		fds[i + 1] = sv[i][0];
	}
	kids[n_kids].pid = pid;
	(void)!sp_uuid_from(conn->conn_id.data, conn->conn_id.len, &kids[n_kids++].id);
	trace("conn %s %s%s", id_text(conn->conn_id, id), conn->source_ip, conn->inner_token.len > 0 ? " inner" : "");
	b.conn_id = conn->conn_id;
	b.pid = (uint32_t)pid;
	if (flag("lie")) {
		close(fds[0]);
		fds[0] = (int)syscall(SYS_pidfd_open, getppid(), 0);
		b.pid = (uint32_t)getppid();
	}
	b.source_ip = conn->source_ip;
	b.source_port = conn->source_port;
	b.inner_token = conn->inner_token;
	b.born_us = sp_now_us();
	if (sp_chan_send(child.monitor, SP_MSG_BORN, 0, &b, fds, 4) != SP_OK)
		exit(95);
}

static void
scribe_on_new(struct sp_msg *m)
{
	const Sallyport__ScribeNew *n = (const Sallyport__ScribeNew *)m->body;
	Sallyport__Born b = SALLYPORT__BORN__INIT;
	int pidfd;

	b.pid = (uint32_t)forked_start("recorder", SP_PROC_SCRIBE, m->fds[2], m->fds[0], &pidfd);
	kids[n_kids].pid = (pid_t)b.pid;
	(void)!sp_uuid_from(n->session_id.data, n->session_id.len, &kids[n_kids++].id);
	b.conn_id = n->conn_id;
	b.session_id = n->session_id;
	if (sp_chan_send(child.monitor, SP_MSG_SCRIBE_BORN, 0, &b, &pidfd, 1) != SP_OK)
		exit(95);
}

/* ---- control */

static void
order_spawn(struct sp_uuid *conn, struct sp_uuid *session, const char *rest)
{
	Sallyport__ScribeSpawn b = SALLYPORT__SCRIBE_SPAWN__INIT;

	(void)rest;
	b.conn_id = (ProtobufCBinaryData){ 16, conn->b };
	b.session_id = (ProtobufCBinaryData){ 16, session->b };
	(void)!sp_chan_send(child.monitor, SP_MSG_SCRIBE_SPAWN, 0, &b, NULL, 0);
}

static void
order_label(struct sp_uuid *conn, struct sp_uuid *session, const char *rest)
{
	Sallyport__Label b = SALLYPORT__LABEL__INIT;
	char user[64], asset[] = "db1", account[] = "root", protocol[] = "shell", ip[] = "192.0.2.1";

	(void)sp_strlcpy(user, rest, sizeof(user));
	b.conn_id = (ProtobufCBinaryData){ 16, conn->b };
	b.session_id = (ProtobufCBinaryData){ 16, session->b };
	b.user = user;
	b.asset = asset;
	b.account = account;
	b.protocol = protocol;
	b.source_ip = ip;
	b.started_wall_us = sp_wall_us();
	b.ended = *rest == '\0';
	(void)!sp_chan_send(child.monitor, SP_MSG_LABEL, 0, &b, NULL, 0);
}

static void
order_kill(struct sp_uuid *conn, struct sp_uuid *session, const char *rest)
{
	Sallyport__Kill b = SALLYPORT__KILL__INIT;
	char reason[128], by[] = "alice";

	(void)sp_strlcpy(reason, rest, sizeof(reason));
	b.conn_id = (ProtobufCBinaryData){ 16, conn->b };
	if (!sp_uuid_is_null(session))
		b.session_id = (ProtobufCBinaryData){ 16, session->b };
	b.reason = reason;
	b.by = by;
	(void)!sp_chan_send(child.monitor, SP_MSG_KILL, 0, &b, NULL, 0);
}

static void
order_inner(struct sp_uuid *conn, struct sp_uuid *session, const char *rest)
{
	Sallyport__Inner b = SALLYPORT__INNER__INIT;
	uint8_t token[16] = { 1, 2, 3 };
	char ip[] = "192.0.2.9";
	int sv[2];

	(void)session;
	(void)rest;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) == -1)
		exit(94);
	hold(sv[1]);
	b.outer_conn_id = (ProtobufCBinaryData){ 16, conn->b };
	b.inner_token = (ProtobufCBinaryData){ sizeof(token), token };
	b.source_ip = ip;
	(void)!sp_chan_send(child.monitor, SP_MSG_INNER, 0, &b, &sv[0], 1);
}

static struct sp_chan *to_gate;

static void
order_penalty(const char *ip)
{
	Sallyport__Penalty b = SALLYPORT__PENALTY__INIT;
	char source[64], why[] = "test";

	(void)sp_strlcpy(source, ip, sizeof(source));
	b.source_ip = source;
	b.for_us = 2 * SP_US_PER_S;
	b.why = why;
	if (to_gate == NULL || sp_chan_send(to_gate, SP_MSG_PENALTY, 0, &b, NULL, 0) != SP_OK)
		exit(87);
}

/* A message that the table gives to another process, past our own checks. */
static void
order_lie(struct sp_uuid *conn, struct sp_uuid *session, const char *rest)
{
	const struct {
		uint16_t	protocol, id;
		uint32_t	corr;
	} h = { SP_IPC_PROTOCOL, SP_MSG_DIED, 0 };

	(void)conn;
	(void)session;
	(void)rest;
	(void)!write(SP_CHILD_FD, &h, sizeof(h));
}

static const struct {
	const char	*name;
	void		(*fn)(struct sp_uuid *, struct sp_uuid *, const char *);
} orders[] = {
	{ "spawn", order_spawn }, { "label", order_label }, { "kill", order_kill }, { "inner", order_inner }, { "lie", order_lie },
};

static void
control_on_order(struct sp_source *s, uint32_t events, void *arg)
{
	char line[512], word[16] = "", a[64] = "", b[64] = "", rest[256] = "";
	struct sp_uuid conn = { { 0 } }, session = { { 0 } };
	ssize_t n = recv(sp_source_fd(s), line, sizeof(line) - 1, 0);

	(void)events;
	(void)arg;
	if (n <= 0) {
		int fd = sp_source_fd(s);

		sp_source_remove(s);
		close(fd);
		return;
	}
	line[n] = '\0';
	(void)!sscanf(line, "%15s %63s %63s %255[^\n]", word, a, b, rest);
	(void)!sp_uuid_parse(a, &conn);
	(void)!sp_uuid_parse(b, &session);
	if (strcmp(word, "penalty") == 0)
		order_penalty(a);
	for (size_t i = 0; i < SP_NELEMS(orders); i++)
		if (strcmp(orders[i].name, word) == 0)
			orders[i].fn(&conn, &session, rest);
}

static void
control_on_accept(struct sp_source *s, uint32_t events, void *arg)
{
	int fd = accept4(sp_source_fd(s), NULL, NULL, SOCK_CLOEXEC);
	struct sp_source *client;

	(void)events;
	(void)arg;
	if (fd != -1 && sp_loop_add(child.loop, fd, EPOLLIN, control_on_order, NULL, &client) != SP_OK)
		exit(93);
}

static void
control_on_message(struct sp_msg *m)
{
	char id[SP_UUID_SIZE], sid[SP_UUID_SIZE];

	if (m->id == SP_MSG_ATTACH) {
		const Sallyport__Attach *a = (const Sallyport__Attach *)m->body;

		trace("attach %s pid %u again %d%s", id_text(a->conn_id, id), a->pid, a->again, a->inner_token.len ? " inner" : "");
		hold(sp_steal_fd(&m->fds[1]));
	} else if (m->id == SP_MSG_ATTACH_SCRIBE) {
		const Sallyport__AttachScribe *a = (const Sallyport__AttachScribe *)m->body;

		trace("attach-scribe %s pid %u again %d", id_text(a->session_id, id), a->pid, a->again);
		hold(sp_steal_fd(&m->fds[0]));
	} else if (m->id == SP_MSG_GONE) {
		const Sallyport__Gone *g = (const Sallyport__Gone *)m->body;

		trace("gone %s %s status %d killed %d by '%s' reason '%s'", id_text(g->conn_id, id), id_text(g->session_id, sid),
		    g->wait_status, g->killed, g->kill_by, g->kill_reason);
	}
}

/* ---- all */

static void
zygote_gate_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)arg;
	if (m->id == SP_MSG_CONN)
		zygote_on_conn(m);
}

static void
peer_gone(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)why;
	(void)what;
	(void)arg;
	sp_chan_free(c);
}

static void
gate_gone(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	peer_gone(c, why, what, arg);
	to_gate = NULL;
}

static void
on_peer(struct sp_child *c, const Sallyport__Peer *p, int fd)
{
	struct sp_chan *chan;
	char id[SP_UUID_SIZE];

	trace("peer %s %s", sp_proc_name((enum sp_proc)p->kind), id_text(p->conn_id, id));
	if (c->self == SP_PROC_CONTROL && p->kind == SP_PROC_GATE) {
		if (sp_chan_new(fd, c->self, SP_PROC_GATE, zygote_gate_msg, gate_gone, NULL, &to_gate) != SP_OK)
			exit(86);
		return;
	}
	if (c->self != SP_PROC_ZYGOTE) {
		hold(fd);
		return;
	}
	if (sp_chan_new(fd, c->self, (enum sp_proc)p->kind, zygote_gate_msg, peer_gone, NULL, &chan) != SP_OK ||
	    sp_chan_watch(chan, c->loop) != SP_OK)
		exit(92);
}

static void
on_message(struct sp_child *c, struct sp_msg *m)
{
	if (c->self == SP_PROC_CONTROL)
		control_on_message(m);
	else if (c->self == SP_PROC_ZYGOTE && m->id == SP_MSG_CONN)
		zygote_on_conn(m);
	else if (c->self == SP_PROC_SCRIBE && m->id == SP_MSG_SCRIBE_NEW)
		scribe_on_new(m);
}

static void
on_reload(struct sp_child *c)
{
	trace("reload %s", c->conf.bastion_name);
}

static const struct sp_child_ops ops = { .peer = on_peer, .message = on_message, .reload = on_reload };

static enum sp_proc
role_of(const char *argv0)
{
	const char *base = strrchr(argv0, '/');

	base = base != NULL ? base + 1 : argv0;
	for (int i = 0; i < SP_PROC_N; i++)
		if (strcmp(sp_proc_exe((enum sp_proc)i), base) == 0)
			return (enum sp_proc)i;
	exit(91);
}

int
main(int argc, char **argv)
{
	static const int signals[] = { SIGCHLD, -1 };
	Sallyport__Ready ready = SALLYPORT__READY__INIT;
	enum sp_proc self = role_of(argc > 0 ? argv[0] : "");
	char in_force[] = "fake";
	struct sp_source *s;
	int fd;

	sp_child_init(&child, self, &ops, NULL);
	role = sp_proc_name(self);
	state_fd = open(child.conf.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	trace_fd = openat(state_fd, "trace", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	trace("boot restarted %d", child.restarted);
	if ((fd = sp_child_take_fd(&child, "admin-socket")) != -1 &&
	    sp_loop_add(child.loop, fd, EPOLLIN, control_on_accept, NULL, &s) != SP_OK)
		exit(90);
	if ((self == SP_PROC_ZYGOTE || self == SP_PROC_SCRIBE) && sp_loop_signals(child.loop, signals, on_sigchld, NULL) != SP_OK)
		exit(89);
	ready.in_force = in_force;
	if (sp_chan_send(child.monitor, SP_MSG_READY, 0, &ready, NULL, 0) != SP_OK)
		exit(88);
	return sp_child_run(&child);
}
