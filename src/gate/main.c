/* src/gate/main.c - sallyport-gate: accepts SSH connections, drops those of refused or too eager sources, passes the
 * others to the zygote as descriptors. It reads no byte of any of them.
 * Invariants: (1) at most GATE_WAITING sockets wait for a zygote, none longer than GATE_WAIT_US; beyond that accepting
 * pauses and the kernel's queue holds them. (2) A dropped connection gets no byte: who scans learns nothing. (3) At most
 * one socket is on its way to the zygote, and a duplicate is kept until the zygote has read it: one that dies with it
 * unread loses no connection, and none is handed out twice. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/netaddr.h"
#include "base/str.h"
#include "common/child.h"
#include "gate/penalty.h"
#include "gate/rate.h"
#include "sallyport.pb-c.h"

#define GATE_BATCH	32			/* accepts for each wake-up of one socket */
#define GATE_WAITING	256u
#define GATE_WAIT_US	(2 * SP_US_PER_S)
#define GATE_PAUSE_US	(100 * SP_US_PER_MS)	/* out of descriptors, or too many waiting */
#define GATE_SAY_US	(60 * SP_US_PER_S)	/* between two lines about dropped connections */
#define GATE_LOOK_US	(1 * SP_US_PER_MS)	/* between two looks whether the zygote read what it was sent */
#define GATE_LOOK_MAX_US (20 * SP_US_PER_MS)
#define GATE_FILES	4096

struct waiting {
	int			 fd;
	struct sp_netaddr	 from, to;
	uint64_t		 at_us;
};
struct gate {
	struct sp_child		 child;
	struct sp_source	*listener[SP_MSG_FDS];
	int			 listen_fd[SP_MSG_FDS];
	int			 n_listen;
	int			 paused, leaving;
	struct sp_chan		*zygote, *control;
	struct waiting		 waiting[GATE_WAITING];	/* a ring */
	size_t			 head, n_waiting;
	struct waiting		 sent;		/* on its way; fd is the duplicate that is kept, or -1 */
	uint64_t		 look_us;
	int			 stuck;		/* the socket did not take it: nobody is there any more */
	struct penalty_table	 penalties;
	struct rate_table	 rates;
	struct sp_timer		*tick;		/* armed while paused, or while something waits */
	uint64_t		 said_us;
	unsigned		 dropped;
};

static struct gate gate;

static void
gate_drop(struct gate *g, int fd, uint64_t now)
{
	close(fd);
	g->dropped++;
	if (g->said_us != 0 && now - g->said_us < GATE_SAY_US)
		return;
	sp_info("dropped %u connections of refused or too eager sources", g->dropped);
	g->said_us = now;
	g->dropped = 0;
}

/* ---- towards the zygote */

static void
gate_send(struct gate *g, struct waiting *w)
{
	Sallyport__Conn c = SALLYPORT__CONN__INIT;
	char from[SP_NETADDR_SIZE], to[SP_NETADDR_SIZE];
	struct sp_uuid id;
	int fd = fcntl(w->fd, F_DUPFD_CLOEXEC, 3);

	g->sent = *w;
	g->look_us = GATE_LOOK_US;
	sp_uuid_make(&id);
	c.conn_id = (ProtobufCBinaryData){ sizeof(id.b), id.b };
	c.source_ip = sp_netaddr_text(&w->from, from);
	c.source_port = w->from.port;
	c.local_ip = sp_netaddr_text(&w->to, to);
	c.local_port = w->to.port;
	c.accepted_us = w->at_us;
	if (fd != -1 && sp_chan_send(g->zygote, SP_MSG_CONN, 0, &c, &fd, 1) == SP_OK) {
		g->stuck = sp_chan_queued(g->zygote) > 0;	/* it was empty */
		sp_timer_in(g->tick, g->look_us);
		return;
	}
	sp_warn("a connection found no zygote");
	sp_closep(&g->sent.fd);
}

/* The zygote is there, and has read all that it was sent. */
static int
gate_can_send(struct gate *g)
{
	int unread = 1;

	if (g->zygote == NULL)
		return 0;
	if (g->sent.fd != -1 && sp_chan_queued(g->zygote) == 0 && ioctl(sp_chan_fd(g->zygote), TIOCOUTQ, &unread) == 0 &&
	    unread == 0)
		sp_closep(&g->sent.fd);
	return g->sent.fd == -1;
}

/* The zygote died without reading it: it goes first to the next one. */
static void
gate_take_back(struct gate *g)
{
	if (g->n_waiting == GATE_WAITING) {
		sp_closep(&g->sent.fd);
		return;
	}
	g->head = (g->head + GATE_WAITING - 1) % GATE_WAITING;
	g->waiting[g->head] = g->sent;
	g->n_waiting++;
	g->sent.fd = -1;
	sp_timer_in(g->tick, GATE_PAUSE_US);
}

static void
gate_set_paused(struct gate *g, int paused)
{
	g->paused = paused;
	for (int i = 0; i < g->n_listen; i++)
		if (g->listener[i] != NULL)
			sp_source_events(g->listener[i], paused ? 0 : EPOLLIN);
}

/* Send what waits, in order; give up what waited too long; go on accepting when there is room. */
static void
gate_flush(struct gate *g)
{
	uint64_t now = sp_now_us();
	int can = gate_can_send(g);

	for (; g->n_waiting > 0; can = gate_can_send(g)) {
		struct waiting *w = &g->waiting[g->head];

		if (can)
			gate_send(g, w);
		else if (now - w->at_us >= GATE_WAIT_US)
			sp_closep(&w->fd);
		else
			break;
		g->head = (g->head + 1) % GATE_WAITING;
		g->n_waiting--;
	}
	if (g->paused && g->n_waiting < GATE_WAITING)
		gate_set_paused(g, 0);
	if (g->sent.fd != -1 && g->zygote != NULL) {
		g->look_us = g->look_us * 2 < GATE_LOOK_MAX_US ? g->look_us * 2 : GATE_LOOK_MAX_US;
		sp_timer_in(g->tick, g->look_us);
	} else if (g->n_waiting > 0)
		sp_timer_in(g->tick, GATE_PAUSE_US);
	else if (g->leaving)
		sp_loop_stop(g->child.loop);
}

static void
gate_on_tick(struct sp_timer *t, void *arg)
{
	(void)t;
	gate_flush(arg);
}

static void
gate_pass(struct gate *g, struct waiting *w)
{
	if (g->n_waiting == 0 && gate_can_send(g)) {
		gate_send(g, w);
		return;
	}
	g->waiting[(g->head + g->n_waiting++) % GATE_WAITING] = *w;
	if (g->n_waiting == GATE_WAITING)
		gate_set_paused(g, 1);
	sp_timer_in(g->tick, g->zygote != NULL ? g->look_us : GATE_PAUSE_US);
}

/* ---- from the network */

/* Half-open peers are noticed after two minutes, even when the session itself is silent. */
static void
gate_keepalive(int fd)
{
	static const struct {
		int	level, name, value;
	} opts[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 }, { IPPROTO_TCP, TCP_KEEPIDLE, 60 }, { IPPROTO_TCP, TCP_KEEPINTVL, 15 },
		{ IPPROTO_TCP, TCP_KEEPCNT, 4 }, { IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	for (size_t i = 0; i < SP_NELEMS(opts); i++)
		(void)setsockopt(fd, opts[i].level, opts[i].name, &opts[i].value, sizeof(opts[i].value));
}

static void
gate_admit(struct gate *g, int fd, const struct sockaddr_storage *from)
{
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);
	struct waiting w = { .fd = fd, .at_us = sp_now_us() };
	struct gate_source src;

	if (sp_netaddr_from_sockaddr((const struct sockaddr *)(const void *)from, &w.from) != SP_OK ||
	    getsockname(fd, (struct sockaddr *)(void *)&to, &len) == -1 ||
	    sp_netaddr_from_sockaddr((const struct sockaddr *)(const void *)&to, &w.to) != SP_OK) {
		close(fd);
		return;
	}
	gate_source_of(&w.from, &src);
	if (penalty_is_refused(&g->penalties, &src, w.at_us) || !rate_take(&g->rates, &src, w.at_us)) {
		gate_drop(g, fd, w.at_us);
		return;
	}
	gate_keepalive(fd);
	gate_pass(g, &w);
}

static void
gate_on_accept(struct sp_source *s, uint32_t events, void *arg)
{
	struct gate *g = arg;

	(void)events;
	for (int i = 0; i < GATE_BATCH && !g->paused; i++) {
		struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(from);
		int fd = accept4(sp_source_fd(s), (struct sockaddr *)(void *)&from, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd != -1)
			gate_admit(g, fd, &from);
		else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			sp_error("cannot accept: %s", strerror(errno));
			gate_set_paused(g, 1);
			sp_timer_in(g->tick, GATE_PAUSE_US);
		} else if (errno != ECONNABORTED && errno != EINTR)
			break;	/* EAGAIN, or what the network did to that one connection */
	}
}

/* ---- from control, zygote, monitor */

static void
gate_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	const Sallyport__Penalty *p = (const Sallyport__Penalty *)m->body;
	struct gate *g = arg;
	struct gate_source src;
	struct sp_netaddr a;

	(void)c;
	if (m->id != SP_MSG_PENALTY)
		return;
	if (sp_netaddr_parse(p->source_ip, &a) != SP_OK) {
		sp_error("control named a source that is no address");
		return;
	}
	gate_source_of(&a, &src);
	penalty_add(&g->penalties, &src, p->for_us, sp_now_us());
	sp_info("source %s is refused for %llu s: %s", p->source_ip, (unsigned long long)(p->for_us / SP_US_PER_S), p->why);
}

/* A new one comes from the monitor. */
static void
gate_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct gate *g = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s from %s: %s", what, sp_proc_name(sp_chan_peer(c)), sp_err_text(why));
	if (g->zygote == c) {
		g->zygote = NULL;
		if (g->sent.fd != -1 && (g->stuck || strcmp(what, SP_CHAN_UNREAD) == 0))
			gate_take_back(g);
		sp_closep(&g->sent.fd);
	}
	if (g->control == c)
		g->control = NULL;
	sp_chan_free(c);
}

static void
gate_peer(struct sp_child *child, const struct Sallyport__Peer *p, int fd)
{
	struct gate *g = child->arg;
	struct sp_chan **slot = p->kind == SP_PROC_ZYGOTE ? &g->zygote : p->kind == SP_PROC_CONTROL ? &g->control : NULL;

	if (slot == NULL) {
		close(fd);
		return;
	}
	if (*slot != NULL)
		sp_chan_on_io(*slot, 1, 0);	/* how the old one ended, if it did */
	if (*slot != NULL)
		gate_on_close(*slot, SP_ECLOSED, "", g);
	if (sp_chan_new(fd, SP_PROC_GATE, (enum sp_proc)p->kind, gate_on_msg, gate_on_close, g, slot) != SP_OK ||
	    sp_chan_watch(*slot, child->loop) != SP_OK)
		sp_die(71, "cannot watch %s", sp_proc_name((enum sp_proc)p->kind));
	if (slot == &g->zygote)
		gate_flush(g);
}

/* No new connections. What waits for a zygote still goes to it, then there is nothing left to do. */
static void
gate_shutdown(struct sp_child *child, uint64_t grace_us)
{
	struct gate *g = child->arg;

	(void)grace_us;
	for (int i = 0; i < g->n_listen; i++) {
		sp_source_remove(g->listener[i]);
		g->listener[i] = NULL;
		sp_closep(&g->listen_fd[i]);
	}
	g->leaving = 1;
	gate_flush(g);
}

static void
gate_reload(struct sp_child *child)
{
	struct gate *g = child->arg;

	rate_set(&g->rates, (double)child->conf.accept_rate, (double)child->conf.accept_burst);
}

static const struct sp_child_ops gate_ops = { .peer = gate_peer, .reload = gate_reload, .shutdown = gate_shutdown };

int
main(void)
{
	const struct sp_sandbox box = { .may = SP_MAY_ACCEPT, .user = sp_proc_user(SP_PROC_GATE), .files_n = GATE_FILES };
	struct gate *g = &gate;
	char name[16];

	g->sent.fd = -1;
	sp_child_init(&g->child, SP_PROC_GATE, &gate_ops, g);
	if (penalty_init(&g->penalties) != SP_OK ||
	    rate_init(&g->rates, (double)g->child.conf.accept_rate, (double)g->child.conf.accept_burst) != SP_OK ||
	    sp_timer_new(g->child.loop, gate_on_tick, g, &g->tick) != SP_OK)
		sp_die(71, "no memory");
	for (int fd; g->n_listen < SP_MSG_FDS; g->n_listen++) {
		sp_snprintf(name, sizeof(name), "listen:%d", g->n_listen);
		if ((fd = sp_child_take_fd(&g->child, name)) == -1)
			break;
		g->listen_fd[g->n_listen] = fd;
		if (sp_loop_add(g->child.loop, fd, EPOLLIN, gate_on_accept, g, &g->listener[g->n_listen]) != SP_OK)
			sp_die(71, "cannot watch a listening socket");
	}
	sp_child_ready(&g->child, &box);
	return sp_child_run(&g->child);
}
