/* src/monitor/proc.c - the children: start, first message, socketpairs to their neighbours, restart. Process: monitor.
 * Invariants: (1) a child has a channel exactly while it has a pid. (2) Every start gives both ends of every edge anew.
 * (3) A child that misbehaves on its channel is killed and started again like one that died. (4) Never gives up: the
 * pause between repeated deaths grows to 5 s and stays there. */
#include "monitor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/child.h"
#include "sallyport.pb-c.h"

#define PROC_STEADY_US	(30 * SP_US_PER_S)	/* a child that lived so long died for a new reason */
#define PROC_PAUSE_US	(100 * SP_US_PER_MS)	/* after the second death in a row; doubles */
#define PROC_PAUSE_MAX_US (5 * SP_US_PER_S)
#define PROC_RENEW_US	(5 * SP_US_PER_S)	/* for a child that is replaced, between SHUTDOWN and SIGKILL */
#define PROC_FDS	4			/* most descriptors that a started program gets */
#define PROC_DRAIN	64			/* reads of a dead child's last words */

/* Who is started, in this order: a process is up before those that ask it. */
static const enum sp_proc procs[] = { SP_PROC_VAULT, SP_PROC_CONTROL, SP_PROC_DIALER, SP_PROC_COURIER, SP_PROC_SIEM, SP_PROC_SCRIBE,
	SP_PROC_ZYGOTE, SP_PROC_GATE };
/* Who has a socketpair with whom for life. Sessions and scribes get theirs in conns.c. */
static const enum sp_proc edges[][2] = {
	{ SP_PROC_CONTROL, SP_PROC_VAULT }, { SP_PROC_CONTROL, SP_PROC_GATE }, { SP_PROC_CONTROL, SP_PROC_DIALER },
	{ SP_PROC_CONTROL, SP_PROC_COURIER }, { SP_PROC_CONTROL, SP_PROC_SCRIBE }, { SP_PROC_CONTROL, SP_PROC_SIEM },
	{ SP_PROC_GATE, SP_PROC_ZYGOTE },
};

static void	proc_start(struct mon_proc *p);

const char *
mon_status_text(int st, char *dst, size_t size)
{
	if (WIFSIGNALED(st) && WTERMSIG(st) == SIGSYS)
		sp_snprintf(dst, size, "made a system call outside its sandbox");
	else if (WIFSIGNALED(st))
		sp_snprintf(dst, size, "killed by signal %d (%s)", WTERMSIG(st), strsignal(WTERMSIG(st)));
	else
		sp_snprintf(dst, size, "exit status %d", WEXITSTATUS(st));
	return dst;
}

enum sp_err
mon_tell(struct mon *m, enum sp_proc what, uint16_t id, const void *body, int *fds, int nfds)
{
	struct sp_chan *c = m->proc[what].chan;

	if (c != NULL)
		return sp_chan_send(c, id, 0, body, fds, nfds);
	for (int i = 0; i < nfds; i++)
		sp_closep(&fds[i]);
	return SP_ECLOSED;
}

/* Look where it was installed, beside us, and in the folders of a build tree. */
int
mon_exe_find(const struct mon *m, enum sp_proc what, char *dst, size_t size)
{

	for (int i = 0; i < m->n_libexec; i++)
		for (size_t k = 0; k < 3; k++) {
			struct stat st;
			int cut = k == 0 ? sp_snprintf(dst, size, "%s/%s", m->libexec[i], sp_proc_exe(what)) :
			    sp_snprintf(dst, size, k == 1 ? "%s/%s/%s" : "%s/../%s/%s", m->libexec[i], sp_proc_name(what),
			        sp_proc_exe(what));

			if (!cut && access(dst, X_OK) == 0 && stat(dst, &st) == 0 && S_ISREG(st.st_mode))
				return 0;
		}
	return -1;
}

/* In the child: descriptors to SP_CHILD_FD and on, without treading on one that is still to be moved. */
static int
proc_place(const int *fds, int n)
{
	int high[PROC_FDS];

	for (int i = 0; i < n; i++)
		if (n > PROC_FDS || (high[i] = fcntl(fds[i], F_DUPFD, SP_CHILD_FD + PROC_FDS)) == -1)
			return -1;
	for (int i = 0; i < n; i++)
		if (dup2(high[i], SP_CHILD_FD + i) == -1)
			return -1;
	return 0;
}

/* In the child: only these descriptors, no controlling terminal, a clean environment. */
void
mon_exec(const char *path, const char *name, const int *fds, int nfds)
{
	static const char *const pass[] = { "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS" };
	char text[SP_NELEMS(pass)][256], lang[] = "LANG=C.UTF-8", where[] = "PATH=/usr/bin:/bin";
	char *env[SP_NELEMS(pass) + 3] = { where, lang }, *argv[] = { NULL, NULL };
	char argv0[64];
	sigset_t none;
	size_t n = 2;
	int null;

	for (size_t i = 0; i < SP_NELEMS(pass); i++) {
		const char *v = getenv(pass[i]);

		if (v != NULL && sp_snprintf(text[i], sizeof(text[i]), "%s=%s", pass[i], v) == 0)
			env[n++] = text[i];
	}
	(void)sp_strlcpy(argv0, name, sizeof(argv0));
	argv[0] = argv0;
	sigemptyset(&none);
	setsid();
	umask(077);
	if (sigprocmask(SIG_SETMASK, &none, NULL) == -1 || signal(SIGPIPE, SIG_DFL) == SIG_ERR ||
	    proc_place(fds, nfds) == -1)
		_exit(126);
	if ((null = open("/dev/null", O_RDONLY)) != -1 && null != STDIN_FILENO)
		dup2(null, STDIN_FILENO);
	close_range((unsigned)(SP_CHILD_FD + nfds), ~0u, 0);
	execve(path, argv, env);
	_exit(127);
}

static void
proc_on_ready(struct mon_proc *p, const Sallyport__Ready *ready)
{
	struct mon *m = p->m;

	p->ready = 1;
	mon_upgrade_step(m);
	sp_info("%s (pid %d): %s", sp_proc_name(p->what), (int)p->pid, ready->in_force);
	for (size_t i = 0; i < SP_NELEMS(procs); i++)
		if (!m->proc[procs[i]].ready && !m->proc[procs[i]].missing)
			return;
	mon_announce(m);
}

static void
proc_kill(struct mon_proc *p)
{
	if (p->pidfd != -1)
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
}

static void
proc_on_msg(struct sp_chan *c, struct sp_msg *msg, void *arg)
{
	struct mon_proc *p = arg;
	enum sp_err r;

	(void)c;
	if (msg->id == SP_MSG_READY) {
		proc_on_ready(p, (const Sallyport__Ready *)msg->body);
		return;
	}
	if ((r = mon_conns_message(p->m, p->what, msg)) == SP_OK)
		return;
	sp_error("%s sent a false %s (%s): it is started again", sp_proc_name(p->what), sp_msg_spec(msg->id)->name,
	    sp_err_text(r));
	proc_kill(p);
}

/* The process may outlive its channel for a moment; its death is what starts a new one. */
static void
proc_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct mon_proc *p = arg;

	if (why != SP_ECLOSED)
		sp_error("%s sent a bad message %s: %s; it is started again", sp_proc_name(p->what), what, sp_err_text(why));
	if (p->chan == c)
		p->chan = NULL;
	sp_chan_free(c);
	if (why != SP_ECLOSED)
		proc_kill(p);
}

static enum sp_err
proc_boot(struct mon_proc *p)
{
	struct mon *m = p->m;
	Sallyport__Boot b = SALLYPORT__BOOT__INIT;
	char *names[SP_MSG_FDS];
	struct mon_fds f;

	mon_boot_fds(m, p->what, &f);
	for (int i = 0; i < f.n; i++)
		names[i] = f.name[i];
	b.protocol = SP_IPC_PROTOCOL;
	b.boot_id = (ProtobufCBinaryData){ sizeof(m->boot_id.b), m->boot_id.b };
	b.config = m->conf_text;
	b.fd_names = names;
	b.n_fd_names = (size_t)f.n;
	b.run_dir = m->conf.run_dir;
	b.state_dir = m->conf.state_dir;
	b.restarted = p->ever;
	return sp_chan_send(p->chan, SP_MSG_BOOT, 0, &b, f.fd, f.n);
}

static void
proc_connect(struct mon *m, enum sp_proc a, enum sp_proc b)
{
	Sallyport__Peer to_a = SALLYPORT__PEER__INIT, to_b = SALLYPORT__PEER__INIT;
	int sv[2];

	if (sp_chan_pair(sv) != SP_OK) {
		sp_error("no socketpair for %s and %s: %s", sp_proc_name(a), sp_proc_name(b), strerror(errno));
		return;
	}
	to_a.kind = b;
	to_a.pid = (uint32_t)m->proc[b].pid;
	to_b.kind = a;
	to_b.pid = (uint32_t)m->proc[a].pid;
	if (mon_tell(m, a, SP_MSG_PEER, &to_a, &sv[0], 1) != SP_OK || mon_tell(m, b, SP_MSG_PEER, &to_b, &sv[1], 1) != SP_OK)
		sp_error("cannot connect %s and %s", sp_proc_name(a), sp_proc_name(b));
	sp_closep(&sv[1]);
}

static void
proc_connect_all(struct mon_proc *p)
{
	struct mon *m = p->m;

	for (size_t i = 0; i < SP_NELEMS(edges); i++) {
		enum sp_proc a = edges[i][0], b = edges[i][1];

		if ((a == p->what || b == p->what) && m->proc[a].chan != NULL && m->proc[b].chan != NULL)
			proc_connect(m, a, b);
	}
}

static uint64_t
proc_pause_us(const struct mon_proc *p)
{
	uint64_t us = PROC_PAUSE_US;

	if (p->deaths < 2)
		return 0;
	for (unsigned i = 2; i < p->deaths && us < PROC_PAUSE_MAX_US; i++)
		us *= 2;
	return us < PROC_PAUSE_MAX_US ? us : PROC_PAUSE_MAX_US;
}

static void
proc_retry(struct mon_proc *p, const char *why)
{
	p->deaths++;
	sp_error("cannot start %s: %s", sp_proc_name(p->what), why);
	sp_timer_in(p->again, proc_pause_us(p));
}

static void
proc_started(struct mon_proc *p)
{
	sp_timer_stop(p->again);
	p->started_us = sp_now_us();
	p->ready = 0;
	p->renew = 0;
	p->missing = 0;
	if (proc_boot(p) != SP_OK) {
		sp_error("cannot boot %s", sp_proc_name(p->what));
		proc_kill(p);	/* its death starts it again */
	}
	p->ever = 1;
	proc_connect_all(p);
	mon_conns_back(p->m, p->what);
	if (p->what == SP_PROC_ZYGOTE)
		p->m->born_n = 0;
}

static void
proc_start(struct mon_proc *p)
{
	char path[SP_CONF_TEXT * 2 + 128];
	int sv[2];

	if (p->pid != 0 || p->held || p->m->phase == MON_STOP)
		return;
	if (mon_exe_find(p->m, p->what, path, sizeof(path)) != 0) {
		if (!p->missing)
			sp_error("%s: no such executable in the directories given with -l", sp_proc_exe(p->what));
		p->missing = 1;
		sp_timer_in(p->again, PROC_PAUSE_MAX_US);
		return;
	}
	if (sp_chan_pair(sv) != SP_OK) {
		proc_retry(p, strerror(errno));
		return;
	}
	if ((p->pid = fork()) == 0)
		mon_exec(path, sp_proc_exe(p->what), &sv[1], 1);
	close(sv[1]);
	if (p->pid == -1) {
		p->pid = 0;
		close(sv[0]);
		proc_retry(p, strerror(errno));
		return;
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	if (sp_chan_new(sv[0], SP_PROC_MONITOR, p->what, proc_on_msg, proc_on_close, p, &p->chan) != SP_OK ||
	    sp_chan_watch(p->chan, p->m->loop) != SP_OK) {
		sp_error("cannot watch %s", sp_proc_name(p->what));
		proc_kill(p);
		return;
	}
	proc_started(p);
}

/* Time to start it again, or to end one that was asked to go and did not. */
static void
proc_on_again(struct sp_timer *t, void *arg)
{
	struct mon_proc *p = arg;

	(void)t;
	if (p->pid == 0)
		proc_start(p);
	else if (p->renew) {
		sp_warn("%s (pid %d) does not go: killed", sp_proc_name(p->what), (int)p->pid);
		proc_kill(p);
	}
}

void
mon_procs_init(struct mon *m)
{
	for (int i = 0; i < SP_PROC_N; i++)
		m->proc[i] = (struct mon_proc){ .m = m, .what = (enum sp_proc)i, .pidfd = -1 };
}

void
mon_procs_start(struct mon *m)
{
	for (size_t i = 0; i < SP_NELEMS(procs); i++) {
		struct mon_proc *p = &m->proc[procs[i]];

		if (sp_timer_new(m->loop, proc_on_again, p, &p->again) != SP_OK)
			sp_die(71, "no memory");
		if (p->pid == 0)
			proc_start(p);
		else if (p->renew)
			sp_timer_in(p->again, PROC_RENEW_US);	/* asked to go before this program took over */
	}
}

/* What it sent before it died still counts: a BORN that nobody read would be a session that nobody can kill. */
static void
proc_last_words(struct mon_proc *p)
{
	for (int i = 0; i < PROC_DRAIN && p->chan != NULL; i++)
		sp_chan_on_io(p->chan, 1, 0);
	sp_chan_free(p->chan);
	p->chan = NULL;
}

static void
proc_died(struct mon_proc *p, int status)
{
	int asked = p->renew && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	char text[128];

	proc_last_words(p);
	sp_closep(&p->pidfd);
	p->deaths = asked || sp_now_us() - p->started_us > PROC_STEADY_US ? 0 : p->deaths;
	if (!asked && p->m->phase != MON_STOP) {
		p->deaths++;
		sp_error("%s (pid %d) died: %s", sp_proc_name(p->what), (int)p->pid, mon_status_text(status, text, sizeof(text)));
	}
	p->pid = 0;
	p->ready = 0;
	mon_upgrade_step(p->m);
	if (p->held)
		return;
	/* After a SHUTDOWN for good the gate stays away. */
	if (p->m->phase == MON_STOP || (p->m->phase != MON_RUN && p->what == SP_PROC_GATE))
		return;
	if (proc_pause_us(p) == 0)
		proc_start(p);
	else
		sp_timer_in(p->again, proc_pause_us(p));
}

int
mon_procs_reaped(struct mon *m, pid_t pid, int status)
{
	for (size_t i = 0; i < SP_NELEMS(procs); i++)
		if (m->proc[procs[i]].pid == pid) {
			proc_died(&m->proc[procs[i]], status);
			return 1;
		}
	return 0;
}

int
mon_procs_alive(const struct mon *m)
{
	int n = 0;

	for (size_t i = 0; i < SP_NELEMS(procs); i++)
		n += m->proc[procs[i]].pid != 0;
	return n;
}

void
mon_proc_shutdown(struct mon *m, enum sp_proc what, uint64_t grace_us)
{
	Sallyport__Shutdown s = SALLYPORT__SHUTDOWN__INIT;

	s.grace_us = grace_us;
	if (m->proc[what].chan != NULL && mon_tell(m, what, SP_MSG_SHUTDOWN, &s, NULL, 0) != SP_OK)
		proc_kill(&m->proc[what]);
}

static void
proc_leave(struct mon_proc *p, uint64_t grace_us)
{
	if (p->pid == 0)
		return;		/* what is started next is fresh */
	p->renew = 1;
	sp_timer_in(p->again, grace_us + PROC_RENEW_US);
	mon_proc_shutdown(p->m, p->what, grace_us);
}

void
mon_proc_renew(struct mon *m, enum sp_proc what)
{
	proc_leave(&m->proc[what], 0);
}

void
mon_proc_hold(struct mon *m, enum sp_proc what, uint64_t grace_us)
{
	m->proc[what].held = 1;
	proc_leave(&m->proc[what], grace_us);
	if (m->proc[what].pid == 0)
		sp_timer_stop(m->proc[what].again);
}

void
mon_proc_unhold(struct mon *m, enum sp_proc what)
{
	if (!m->proc[what].held)
		return;
	m->proc[what].held = 0;
	if (m->phase == MON_RUN || (m->phase != MON_STOP && what != SP_PROC_GATE))
		proc_start(&m->proc[what]);	/* one that still goes is started when it is gone */
}

int
mon_proc_fresh(const struct mon *m, enum sp_proc what)
{
	return m->proc[what].pid != 0 && !m->proc[what].renew && m->proc[what].ready;
}

void
mon_procs_reload(struct mon *m)
{
	Sallyport__Reload r = SALLYPORT__RELOAD__INIT;

	r.config = m->conf_text;
	for (size_t i = 0; i < SP_NELEMS(procs); i++)
		if (m->proc[procs[i]].chan != NULL && mon_tell(m, procs[i], SP_MSG_RELOAD, &r, NULL, 0) != SP_OK)
			sp_error("%s did not take the new configuration", sp_proc_name(procs[i]));
}

void
mon_procs_kill(struct mon *m)
{
	for (size_t i = 0; i < SP_NELEMS(procs); i++)
		proc_kill(&m->proc[procs[i]]);
}

void
mon_procs_release(struct mon *m)
{
	for (size_t i = 0; i < SP_NELEMS(procs); i++) {
		sp_chan_free(m->proc[procs[i]].chan);
		m->proc[procs[i]].chan = NULL;
		sp_closep(&m->proc[procs[i]].pidfd);
		sp_timer_free(m->proc[procs[i]].again);
	}
}

/* ---- for a successor of this program */

void
procs_save(struct mon *m, struct keep *k, SallyportState__Monitor *st)
{
	if ((st->processes = keep_alloc(k, SP_NELEMS(procs), sizeof(void *))) == NULL)
		return;
	for (size_t i = 0; i < SP_NELEMS(procs); i++) {
		const struct mon_proc *p = &m->proc[procs[i]];
		SallyportState__Process *s = keep_alloc(k, 1, sizeof(*s));

		if (s == NULL)
			return;
		sallyport_state__process__init(s);
		s->what = p->what;
		s->pid = p->pid;
		s->pidfd = keep_fd(k, p->pidfd);
		s->channel = p->pid != 0 ? keep_chan(k, p->chan) : NULL;
		s->ready = p->ready;
		s->ever = p->ever;
		s->renew = p->renew;
		s->deaths = p->deaths;
		s->started_us = p->started_us;
		st->processes[st->n_processes++] = s;
	}
}

enum sp_err
procs_restore(struct mon *m, const SallyportState__Monitor *st)
{
	for (size_t i = 0; i < st->n_processes; i++) {
		const SallyportState__Process *s = st->processes[i];
		struct mon_proc *p = &m->proc[s->what];
		enum sp_err r;

		p->pid = s->pid;
		p->pidfd = state_fd(s->pidfd);
		p->ready = s->ready;
		p->ever = s->ever;
		p->renew = s->renew;
		p->deaths = s->deaths;
		p->started_us = s->started_us;
		if (s->channel == NULL)
			continue;	/* not running, or it has closed its channel and is about to end */
		if ((r = sp_chan_new(s->channel->fd, SP_PROC_MONITOR, p->what, proc_on_msg, proc_on_close, p, &p->chan)) != SP_OK ||
		    (r = sp_chan_watch(p->chan, m->loop)) != SP_OK || (r = state_waiting(s->channel, p->chan)) != SP_OK)
			return r;
	}
	return SP_OK;
}
