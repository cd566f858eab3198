/* src/monitor/conns_live.c - what a session process and a scribe process have in common: watched until it ends, and its end
 * told to control, once (GONE). Process: monitor.
 *
 * An end is seen on the pidfd, whoever the parent is; the exit status comes from the parent's DIED, or from waiting ourselves.
 *
 * Invariants: (1) GONE is made once per process. (2) A pidfd is only kept after the kernel said that it belongs to the pid
 * that was named, and that pid is none of the monitor's own children: else a zygote that was taken over could have the
 * monitor kill the vault. (3) A session or scribe that says anything on its monitor channel, which is one-way, is killed. */
#include "monitor/conns.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define STATUS_WAIT_US	(500 * SP_US_PER_MS)	/* for DIED after the pidfd said that it is over */
#define GONE_KEEP_US	(5 * SP_US_PER_S)	/* a control that died has not read what is younger */
#define GONE_MAX	16384u

/* ---- GONE: sent at once when control is there, kept a while in case that instance dies with it unread */

void
gone_free(struct mon *m, struct gone *g)
{
	sp_list_remove(&g->link);
	m->n_gone--;
	free(g);
}

void
gone_send(struct mon *m, struct gone *g)
{
	if (mon_tell(m, SP_PROC_CONTROL, SP_MSG_GONE, &g->msg, NULL, 0) == SP_OK)
		g->sent = 1;
}

void
gone_prune(struct mon *m)
{
	uint64_t now = sp_now_us();

	sp_list_each(it, &m->gone) {
		struct gone *g = sp_container(it, struct gone, link);

		if ((g->sent && now - g->made_us > GONE_KEEP_US) || m->n_gone >= GONE_MAX)
			gone_free(m, g);
	}
}

struct gone *
gone_make(struct mon *m, const struct sp_uuid *conn_id, const struct sp_uuid *session_id, const char *reason, const char *by)
{
	struct gone *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return NULL;
	sallyport__gone__init(&g->msg);
	g->made_us = sp_now_us();
	g->conn_id = *conn_id;
	g->msg.conn_id = mon_id_bytes(&g->conn_id);
	if (session_id != NULL) {
		g->session_id = *session_id;
		g->msg.session_id = mon_id_bytes(&g->session_id);
	}
	(void)sp_strlcpy(g->reason, reason, sizeof(g->reason));
	(void)sp_strlcpy(g->by, by, sizeof(g->by));
	g->msg.kill_reason = g->reason;
	g->msg.kill_by = g->by;
	sp_list_add_tail(&m->gone, &g->link);
	m->n_gone++;
	return g;
}

static void
gone_tell(struct live *l, const struct sp_uuid *conn_id, const struct sp_uuid *session_id)
{
	struct gone *g;

	gone_prune(l->m);
	if (!l->known || (g = gone_make(l->m, conn_id, session_id, l->reason, l->by)) == NULL)
		return;		/* control never heard of it, or reconciles later from what is attached */
	g->msg.pid = (uint32_t)l->pid;
	g->msg.wait_status = l->wait_status;
	g->msg.killed = l->killed;
	gone_send(l->m, g);
}

/* ---- the process */

void
live_signal_kill(struct live *l)
{
	if (l->pidfd != -1)
		(void)syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0);
}

void
live_release(struct live *l)
{
	sp_source_remove(l->source);
	l->source = NULL;
	sp_chan_free(l->chan);
	l->chan = NULL;
	sp_timer_free(l->late);
	l->late = NULL;
	sp_closep(&l->pidfd);
}

/* A scribe that ended well has written the end of its session; control may not be there to say so. */
static void
scribe_forget_label(const struct scribe *s)
{
	struct label *b = s->conn != NULL && s->l.wait_status == 0 ? label_find(s->conn, &s->l.id) : NULL;

	if (b != NULL)
		label_free(s->conn, b);
}

/* A recorder whose parent is no more ended: what it left in the spool is for the parent that is there now, which cannot see that.
 * One that is not there looks at all of the spool when it has started. */
static void
scribe_tell_parent(struct scribe *s)
{
	Sallyport__Died d = SALLYPORT__DIED__INIT;

	if (s->told)
		return;
	d.conn_id = mon_id_bytes(&s->conn_id);
	d.session_id = mon_id_bytes(&s->l.id);
	d.pid = (uint32_t)s->l.pid;
	d.wait_status = s->l.wait_status;
	(void)!mon_tell(s->l.m, SP_PROC_SCRIBE, SP_MSG_SCRIBE_LEFT, &d, NULL, 0);
}

/* The process is over and its status is known, or will not be. */
static void
live_end(struct live *l)
{
	struct mon *m = l->m;

	if (l->is_scribe) {
		struct scribe *s = live_scribe(l);

		gone_tell(l, &s->conn_id, &l->id);
		scribe_tell_parent(s);
		scribe_forget_label(s);
		scribe_free(s);
	} else {
		gone_tell(l, &l->id, NULL);
		conn_free(live_conn(l));
	}
	mon_ended(m);
}

static void
live_on_late(struct sp_timer *t, void *arg)
{
	(void)t;
	live_end(arg);
}

/* Nobody watches its pidfd any more. If it is our child we reap it here; else its parent says DIED in a moment. */
static void
live_over(struct live *l)
{
	int status;

	l->over = 1;
	if (waitpid(l->pid, &status, WNOHANG) == l->pid)
		l->wait_status = status;
	if (l->wait_status != STATUS_UNKNOWN || sp_timer_new(l->m->loop, live_on_late, l, &l->late) != SP_OK)
		live_end(l);
	else
		sp_timer_in(l->late, STATUS_WAIT_US);
}

/* The pidfd is readable: the process ended. */
static void
live_on_over(struct sp_source *s, uint32_t events, void *arg)
{
	struct live *l = arg;

	(void)s;
	(void)events;
	sp_source_remove(l->source);
	l->source = NULL;
	live_over(l);
}

void
live_status(struct live *l, int status)
{
	if (l->wait_status == STATUS_UNKNOWN)
		l->wait_status = status;
	if (l->over)
		live_end(l);
}

static void
live_on_msg(struct sp_chan *c, struct sp_msg *msg, void *arg)
{
	struct live *l = arg;

	(void)c;
	sp_error("%s %d wrote %s on its one-way channel: killed", l->is_scribe ? "scribe" : "session", (int)l->pid,
	    sp_msg_spec(msg->id)->name);
	live_signal_kill(l);
}

static void
live_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct live *l = arg;

	if (l->chan == c)
		l->chan = NULL;
	sp_chan_free(c);
	if (l->is_scribe)
		live_scribe(l)->finished = 1;
	if (why == SP_ECLOSED)
		return;
	sp_error("%s %d sent a bad message %s: %s; killed", l->is_scribe ? "scribe" : "session", (int)l->pid, what,
	    sp_err_text(why));
	live_signal_kill(l);
}

enum sp_err
live_resume(struct live *l)
{
	enum sp_err r;

	if (l->pidfd == -1)
		return SP_OK;	/* a scribe that is not born yet */
	if (!l->over)
		return sp_loop_add(l->m->loop, l->pidfd, EPOLLIN, live_on_over, l, &l->source);
	if ((r = sp_timer_new(l->m->loop, live_on_late, l, &l->late)) == SP_OK)
		sp_timer_in(l->late, STATUS_WAIT_US);
	return r;
}

/* "Pid:" in fdinfo exists for pidfds only, and names the process. */
static int
pidfd_is(int pidfd, pid_t pid)
{
	char path[64], line[128];
	FILE *f;
	long got = -2;		/* no such line: not a pidfd */

	sp_snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, "Pid:", 4) == 0)
			got = strtol(line + 4, NULL, 10);
	fclose(f);
	return got == (long)pid || got == -1;	/* -1: it ended meanwhile */
}

enum sp_err
live_watch(struct live *l, struct mon *m, uint32_t pid, int *pidfd)
{
	for (int i = 0; i < SP_PROC_N; i++)
		if (m->proc[i].pid == (pid_t)pid)
			return SP_EINVAL;
	if (pid < 2 || pid > INT32_MAX || (pid_t)pid == getpid() || !pidfd_is(*pidfd, (pid_t)pid))
		return SP_EINVAL;
	l->pid = (pid_t)pid;
	l->pidfd = sp_steal_fd(pidfd);
	return sp_loop_add(m->loop, l->pidfd, EPOLLIN, live_on_over, l, &l->source);
}

enum sp_err
live_open(struct live *l, int *fd, enum sp_proc peer)
{
	enum sp_err r = sp_chan_new(sp_steal_fd(fd), SP_PROC_MONITOR, peer, live_on_msg, live_on_close, l, &l->chan);

	return r == SP_OK ? sp_chan_watch(l->chan, l->m->loop) : r;
}

void
live_tell_peer(struct live *l, enum sp_proc kind, int *fd)
{
	Sallyport__Peer p = SALLYPORT__PEER__INIT;

	p.kind = kind;
	p.pid = (uint32_t)l->m->proc[kind].pid;
	if (l->chan == NULL)
		sp_closep(fd);
	else if (sp_chan_send(l->chan, SP_MSG_PEER, 0, &p, fd, 1) != SP_OK)
		sp_warn("%s %d does not take its new channel", l->is_scribe ? "scribe" : "session", (int)l->pid);
}
