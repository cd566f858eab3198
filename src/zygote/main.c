/* src/zygote/main.c - forks one session process per connection.
 * Process: zygote. Single-threaded; parses configuration, host keys and texts once, so that a session costs a fork and
 * shares their pages; never reads a byte from the network (it only passes the socket on).
 * Invariants: at most max_connections children live, at most max_startups of them without a login (max_startups_source
 * per source address); a child holds its own ends and nothing of another connection; a CONN that is not taken is closed.
 * The monitor replaces this process after many forks, after a child that died by a signal, and on reload. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/log.h"
#include "base/netaddr.h"
#include "common/child.h"
#include "sallyport.pb-c.h"
#include "session/session.h"
#include "zygote/rehearse.h"

#define TEXT_MAX	((size_t)64 * 1024)	/* a host key file, banner or consent text */
#define SESSION_AS	(UINT64_C(1) << 30)	/* address space of a session, bytes */
#define SESSION_FILES	256u

struct live {
	struct sp_list	 link;
	struct sp_hnode	 by_pid;
	pid_t		 pid;
	struct sp_uuid	 conn_id;
	struct sp_netaddr source;
	int		 login_fd;	/* our end of the pipe; hang-up: somebody is logged in */
	struct sp_source *login;
};
struct zygote {
	struct sp_child	 child;
	struct sp_leg_keys *keys;
	char		*banner, *consent;
	struct sp_sandbox_plan *session_box;
	struct sp_chan	*gate;
	struct sp_list	 live;
	struct sp_htab	 pids;
	unsigned	 n_live, n_startups;
};
static struct zygote z;

/* ---- children */

static void
live_logged_in(struct live *v)
{
	if (v->login_fd < 0)
		return;
	sp_source_remove(v->login);
	sp_closep(&v->login_fd);
	z.n_startups--;
}

static void
on_login(struct sp_source *s, uint32_t events, void *arg)
{
	(void)s;
	(void)events;
	live_logged_in(arg);
}

static void
live_free(struct live *v)
{
	live_logged_in(v);
	sp_htab_remove(&z.pids, &v->by_pid);
	sp_list_remove(&v->link);
	z.n_live--;
	free(v);
}

static void
reap(pid_t pid, int status)
{
	struct sp_hnode *n = sp_htab_find(&z.pids, &pid, sizeof(pid));
	Sallyport__Died d = SALLYPORT__DIED__INIT;
	struct live *v;

	if (n == NULL)
		return;
	v = sp_container(n, struct live, by_pid);
	d.conn_id = (ProtobufCBinaryData){ SP_UUID_LEN, v->conn_id.b };
	d.pid = (uint32_t)pid;
	d.wait_status = status;
	if (sp_chan_send(z.child.monitor, SP_MSG_DIED, 0, &d, NULL, 0) != SP_OK)
		sp_warn("the end of session process %d could not be told", (int)pid);
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		sp_error("session process %d died by signal %d", (int)pid, WTERMSIG(status));
	live_free(v);
}

static void
on_signal(int signo, void *arg)
{
	int status;
	pid_t pid;

	(void)arg;
	if (signo == SIGCHLD)
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			reap(pid, status);
}

/* ---- birth */

struct ends { int monitor[2], control[2], vault[2], login[2]; };	/* [0] ours, [1] the child's */

static void
ends_close(struct ends *e, int side)
{
	sp_closep(&e->monitor[side]);
	sp_closep(&e->control[side]);
	sp_closep(&e->vault[side]);
	sp_closep(&e->login[side]);
}

static enum sp_err
ends_make(struct ends *e)
{
	enum sp_err r;

	*e = (struct ends){ { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if ((r = sp_chan_pair(e->monitor)) == SP_OK && (r = sp_chan_pair(e->control)) == SP_OK &&
	    (r = sp_chan_pair(e->vault)) == SP_OK && pipe2(e->login, O_CLOEXEC) == -1)
		r = sp_err_errno(errno);
	if (r != SP_OK) {
		ends_close(e, 0);
		ends_close(e, 1);
	}
	return r;
}

/* Everything but these and standard error goes: the epoll instance, the monitor, the gate, other people's pipes. */
static void
close_others(const int *keep, size_t n)
{
	unsigned from = 3;

	for (;;) {
		unsigned next = ~0u;

		for (size_t i = 0; i < n; i++)
			if ((unsigned)keep[i] >= from && (unsigned)keep[i] < next)
				next = (unsigned)keep[i];
		if (next == ~0u)
			break;
		if (next > from)
			(void)close_range(from, next - 1, 0);
		from = next + 1;
	}
	(void)close_range(from, ~0u, 0);
}

static void SP_NORETURN
child_main(struct ends *e, int fd, const Sallyport__Conn *c)
{
	int keep[] = { fd, e->monitor[1], e->control[1], e->vault[1], e->login[1] };
	struct session_birth b = { .conf = &z.child.conf, .keys = z.keys, .banner = z.banner, .consent = z.consent,
	    .inner = c->inner_token.len > 0, .fd = fd, .monitor = e->monitor[1], .control = e->control[1],
	    .vault = e->vault[1], .login_pipe = e->login[1] };
	const char *step;
	sigset_t none;

	close_others(keep, SP_NELEMS(keep));
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_NAME, "sp-session");
	sp_log_init("session", SP_LOG_INFO);
	if (sp_uuid_from(c->conn_id.data, c->conn_id.len, &b.conn_id) != SP_OK)
		_exit(70);
	(void)sp_snprintf(b.source, sizeof(b.source), "%s", c->source_ip);
	if (sp_sandbox_enter_plan(z.session_box, &step) != SP_OK) {
		sp_error("cannot enter the sandbox: %s", step);
		_exit(71);
	}
	_exit(session_main(&b));
}

static int
live_new(pid_t pid, const Sallyport__Conn *c, const struct sp_netaddr *source, int login_fd)
{
	struct live *v = calloc(1, sizeof(*v));

	if (v == NULL) {
		close(login_fd);
		return -1;
	}
	v->pid = pid;
	v->source = *source;
	v->login_fd = login_fd;
	(void)!sp_uuid_from(c->conn_id.data, c->conn_id.len, &v->conn_id);
	sp_list_init(&v->link);
	if (sp_htab_insert(&z.pids, &v->by_pid, &v->pid, sizeof(v->pid)) != SP_OK) {
		close(login_fd);
		free(v);
		return -1;
	}
	sp_list_add_tail(&z.live, &v->link);
	z.n_live++;
	z.n_startups++;
	if (sp_loop_add(z.child.loop, login_fd, 0, on_login, v, &v->login) != SP_OK)
		live_logged_in(v);
	return 0;
}

static void
tell_birth(pid_t pid, const Sallyport__Conn *c, struct ends *e)
{
	Sallyport__Born b = SALLYPORT__BORN__INIT;
	int fds[4];

	b.conn_id = c->conn_id;
	b.pid = (uint32_t)pid;
	b.source_ip = c->source_ip;
	b.source_port = c->source_port;
	b.local_ip = c->local_ip;
	b.local_port = c->local_port;
	b.inner_token = c->inner_token;
	b.born_us = sp_now_us();
	fds[0] = (int)syscall(SYS_pidfd_open, pid, 0);
	fds[1] = sp_steal_fd(&e->monitor[0]);
	fds[2] = sp_steal_fd(&e->control[0]);
	fds[3] = sp_steal_fd(&e->vault[0]);
	if (fds[0] == -1 || sp_chan_send(z.child.monitor, SP_MSG_BORN, 0, &b, fds, 4) != SP_OK) {
		for (int i = 0; i < 4; i++)
			sp_closep(&fds[i]);	/* the child sees its channels closed and ends */
		sp_error("session process %d could not be announced", (int)pid);
	}
}

/* Why this connection is not taken; NULL if it is. */
static const char *
over_limit(const struct sp_netaddr *source, int inner)
{
	unsigned same = 0;

	if (z.n_live >= (unsigned)z.child.conf.max_connections)
		return "max_connections";
	if (inner)
		return NULL;		/* its user is logged in, on the outer connection */
	if (z.n_startups >= (unsigned)z.child.conf.max_startups)
		return "max_startups";
	sp_list_each(it, &z.live) {
		const struct live *v = sp_container(it, struct live, link);

		if (v->login_fd >= 0 && sp_netaddr_same_host(&v->source, source))
			same++;
	}
	return same >= (unsigned)z.child.conf.max_startups_source ? "max_startups_source" : NULL;
}

static void
on_conn(struct sp_msg *m)
{
	const Sallyport__Conn *c = (const Sallyport__Conn *)m->body;
	struct sp_netaddr source = { 0 };
	const char *limit;
	struct ends e;
	pid_t pid;

	if (c->conn_id.len != SP_UUID_LEN)
		return;			/* the descriptor is closed by who called us */
	if (sp_netaddr_parse(c->source_ip, &source) != SP_OK)
		source = (struct sp_netaddr){ 0 };
	if ((limit = over_limit(&source, c->inner_token.len > 0)) != NULL) {
		sp_warn("connection from %s refused: %s", c->source_ip, limit);
		return;
	}
	if (ends_make(&e) != SP_OK) {
		sp_error("no descriptors for a connection from %s", c->source_ip);
		return;
	}
	if ((pid = fork()) == 0)
		child_main(&e, m->fds[0], c);
	ends_close(&e, 1);
	if (pid == -1) {
		ends_close(&e, 0);
		sp_error("cannot fork for a connection from %s", c->source_ip);
		return;
	}
	if (live_new(pid, c, &source, sp_steal_fd(&e.login[0])) != 0)
		sp_error("out of memory: a session is not counted");
	tell_birth(pid, c, &e);
}

/* ---- peers */

static void
on_gate(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	(void)c;
	(void)arg;
	if (m->id == SP_MSG_CONN)
		on_conn(m);
}

static void
on_gate_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	(void)arg;
	if (why != SP_ECLOSED)
		sp_error("bad message %s from the gate: %s", what, sp_err_text(why));
	sp_chan_free(c);
	z.gate = NULL;
}

static void
on_peer(struct sp_child *child, const Sallyport__Peer *p, int fd)
{
	struct sp_chan *c;

	if (p->kind != SP_PROC_GATE) {
		sp_closep(&fd);
		return;
	}
	if (sp_chan_new(fd, SP_PROC_ZYGOTE, SP_PROC_GATE, on_gate, on_gate_close, &z, &c) != SP_OK)
		return;
	if (sp_chan_watch(c, child->loop) != SP_OK) {
		sp_chan_free(c);
		return;
	}
	sp_chan_free(z.gate);
	z.gate = c;
}

static void
on_message(struct sp_child *child, struct sp_msg *m)
{
	(void)child;
	if (m->id == SP_MSG_CONN)
		on_conn(m);		/* a connection inside another one, from the monitor */
}

static const struct sp_child_ops ops = { .peer = on_peer, .message = on_message };

/* ---- start */

/* The whole text of a descriptor; "" when there is none. Never freed: sessions share it. */
static char *
read_text(const char *name)
{
	sp_auto(sp_closep) int fd = sp_child_take_fd(&z.child, name);
	struct sp_buf b;
	char chunk[4096];
	ssize_t n;

	sp_buf_init(&b, TEXT_MAX);
	while (fd >= 0 && (n = read(fd, chunk, sizeof(chunk))) > 0)
		if (sp_buf_append(&b, chunk, (size_t)n) != SP_OK)
			sp_die(78, "%s is too long", name);
	explicit_bzero(chunk, sizeof(chunk));
	if (sp_buf_put_u8(&b, '\0') != SP_OK)
		sp_die(71, "out of memory");
	return (char *)b.p;
}

static void
read_host_keys(void)
{
	char name[32];
	int n = 0;

	if (sp_leg_keys_new(&z.child.conf, &z.keys) != SP_OK)
		sp_die(78, "the algorithms in the configuration are not known: check kex, ciphers, macs, user_key_algorithms");
	for (int i = 0; i < SP_MSG_FDS; i++) {
		char *pem;

		(void)sp_snprintf(name, sizeof(name), "hostkey:%d", i);
		pem = read_text(name);
		if (pem[0] != '\0' && sp_leg_keys_add(z.keys, pem) == SP_OK)
			n++;
		else if (pem[0] != '\0')
			sp_error("host key %d cannot be used", i);
		explicit_bzero(pem, strlen(pem));
		free(pem);
	}
	if (n == 0)
		sp_die(78, "no host key");
}

int
main(void)
{
	static const int signals[] = { SIGCHLD, -1 };
	static const struct sp_sandbox box = { .may = SP_MAY_FORK | SP_MAY_SOCKETPAIR, .user = "sallyport-net",
	    .files_n = 65536 };
	static const struct sp_sandbox session_box = { .may = SP_MAY_SOCKETPAIR, .files_n = SESSION_FILES,
	    .memory_bytes = SESSION_AS };
	enum sp_err r;

	/* One arena: what is not touched is shared with every session. A busy session keeps the pages of its queues, a
	 * quiet one gives them back (src/session/leg.c, leg_on_quiet). */
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_TRIM_THRESHOLD, 16 * 1024 * 1024);
	(void)mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
	sp_child_init(&z.child, SP_PROC_ZYGOTE, &ops, &z);
	sp_list_init(&z.live);
	if (sp_htab_init(&z.pids) != SP_OK || sp_loop_signals(z.child.loop, signals, on_signal, NULL) != SP_OK)
		sp_die(71, "out of memory");
	read_host_keys();
	z.banner = read_text("banner");
	z.consent = read_text("consent");
	if ((r = rehearse(&z.child.conf, z.keys)) != SP_OK)
		sp_warn("a login with ourselves failed: %s", sp_err_text(r));
	if ((r = sp_sandbox_plan_new(&session_box, &z.session_box)) != SP_OK)
		sp_die(71, "cannot prepare the sandbox of sessions: %s", sp_err_text(r));
	(void)malloc_trim(0);
	sp_child_ready(&z.child, &box);
	return sp_child_run(&z.child);
}
