/* src/monitor/upgrade.c - SIGUSR2: the programs on disk take over from the running ones, under live sessions.
 * Process: monitor.
 *
 *  1 probe    Our state is written to a memory file, and the new sallyport-monitor is started with -t -R to read it. If it
 *             cannot (another version, a missing library, a broken file), everything stays as it is.
 *  2 execve   The state is written again, its descriptors lose close-on-exec, and we become the new program: same pid,
 *             same children, same channels; not a byte in them is lost. It restores the state and goes on.
 *  3 replace  The other processes, one after another, by their new programs. Logins are kept waiting meanwhile, not refused:
 *             the gate goes first (the listening sockets are ours: who connects waits in the kernel's queue) and comes back
 *             last; control goes second, when no login is half done, at the latest after SETTLE_US, and comes back when
 *             those that it asks are new. Sessions ask again what nobody has answered, as after a death of control.
 *
 * Sessions and their scribes go on with the program that they began with.
 * Invariants: (1) before execve nothing but close-on-exec flags is changed, and these go back if it fails. (2) Every step
 * of the replacement ends by itself or at its deadline, and leaves no child held when it is over. */
#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "monitor/state.h"

#define PROBE_US	(10 * SP_US_PER_S)
#define SETTLE_US	(5 * SP_US_PER_S)	/* for control to finish logins that are half done */
#define STEP_US		(15 * SP_US_PER_S)	/* for a child to go and its successor to be ready */
#define ARGS		10

extern char **environ;

enum step_do { STEP_HOLD, STEP_RENEW, STEP_UNHOLD };

static const struct {
	enum step_do	act;
	enum sp_proc	what;
	uint64_t	grace_us;
} steps[] = {
	{ STEP_HOLD, SP_PROC_GATE, 0 }, { STEP_HOLD, SP_PROC_CONTROL, SETTLE_US }, { STEP_RENEW, SP_PROC_VAULT, 0 },
	{ STEP_RENEW, SP_PROC_DIALER, 0 }, { STEP_RENEW, SP_PROC_COURIER, 0 }, { STEP_RENEW, SP_PROC_SIEM, 0 },
	{ STEP_RENEW, SP_PROC_SCRIBE, 0 }, { STEP_RENEW, SP_PROC_ZYGOTE, 0 }, { STEP_UNHOLD, SP_PROC_CONTROL, 0 },
	{ STEP_UNHOLD, SP_PROC_GATE, 0 },
};

static void	upgrade_begin(struct mon *m);

/* ---- become the new program */

struct args {
	char	*v[ARGS + 1];
	char	 fd[16];
};

static void
args_make(const struct mon *m, int fd, int test, struct args *a)
{
	static char self[] = "sallyport-monitor", f[] = "-f", l[] = "-l", r[] = "-R", t[] = "-t";
	size_t n = 0;

	sp_snprintf(a->fd, sizeof(a->fd), "%d", fd);
	a->v[n++] = self;
	if (!m->conf_optional) {
		a->v[n++] = f;
		a->v[n++] = (char *)(uintptr_t)m->conf_path;
	}
	if (m->libexec_text != NULL) {
		a->v[n++] = l;
		a->v[n++] = (char *)(uintptr_t)m->libexec_text;
	}
	a->v[n++] = r;
	a->v[n++] = a->fd;
	if (test)
		a->v[n++] = t;
	a->v[n] = NULL;
}

static int
fds_inherit(const struct keep *k, int inherit)
{
	for (size_t i = 0; i < k->n; i++)
		if (fcntl(k->fd[i], F_SETFD, inherit ? 0 : FD_CLOEXEC) == -1)
			return -1;
	return 0;
}

/* Does not return if it works. */
static void
upgrade_exec(struct mon *m)
{
	struct keep k = { 0 };
	struct args a;
	int fd = -1;
	enum sp_err r = state_write(m, &k, &fd);

	if (r != SP_OK)
		sp_error("upgrade refused: cannot write the state: %s", sp_err_text(r));
	else if (keep_fd(&k, fd), k.failed || fds_inherit(&k, 1) == -1)
		sp_error("upgrade refused: cannot pass descriptors on: %s", strerror(errno));
	else {
		args_make(m, fd, 0, &a);
		execve(m->exe, a.v, environ);
		sp_error("upgrade refused: cannot execute %s: %s", m->exe, strerror(errno));
	}
	(void)fds_inherit(&k, 0);
	sp_closep(&fd);
	keep_release(&k);
}

/* ---- ask it first */

static void SP_NORETURN
probe_exec(const struct mon *m, int fd)
{
	struct args a;
	sigset_t none;

	sigemptyset(&none);
	args_make(m, fd, 1, &a);
	if (fcntl(fd, F_SETFD, 0) != -1 && sigprocmask(SIG_SETMASK, &none, NULL) != -1)
		execve(m->exe, a.v, environ);
	sp_error("cannot execute %s: %s", m->exe, strerror(errno));
	_exit(127);
}

static void
upgrade_refused(struct mon *m, const char *why)
{
	sp_error("upgrade refused, everything stays as it is: %s: %s", m->exe, why);
	mon_notify_ready();
}

static void
upgrade_begin(struct mon *m)
{
	struct mon_upgrade *u = &m->upgrade;
	sp_auto(sp_closep) int fd = -1;
	struct keep k = { 0 };
	enum sp_err r;

	u->asked = 0;
	mon_notify_reloading();
	r = state_write(m, &k, &fd);
	keep_release(&k);
	if (r != SP_OK) {
		upgrade_refused(m, sp_err_text(r));
		return;
	}
	if ((u->probe = fork()) == 0)
		probe_exec(m, fd);
	if (u->probe == -1) {
		u->probe = 0;
		upgrade_refused(m, strerror(errno));
		return;
	}
	sp_timer_in(u->timer, PROBE_US);
}

void
mon_upgrade(struct mon *m)
{
	if (m->phase != MON_RUN)
		sp_warn("no upgrade while stopping");
	else if (m->upgrade.probe != 0 || m->upgrade.step != 0) {
		m->upgrade.asked = 1;
		sp_info("an upgrade is under way: another one follows");
	} else
		upgrade_begin(m);
}

int
mon_upgrade_reaped(struct mon *m, pid_t pid, int status)
{
	struct mon_upgrade *u = &m->upgrade;
	char text[128], why[192];

	if (pid != u->probe || pid == 0)
		return 0;
	u->probe = 0;
	sp_timer_stop(u->timer);
	if (m->phase != MON_RUN)
		return 1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		upgrade_exec(m);
		mon_notify_ready();
	} else {
		sp_snprintf(why, sizeof(why), "it does not take over (%s)", mon_status_text(status, text, sizeof(text)));
		upgrade_refused(m, why);
	}
	if (u->asked)
		upgrade_begin(m);
	return 1;
}

/* ---- replace the children */

static int
step_is_over(const struct mon *m)
{
	enum sp_proc what = steps[m->upgrade.step - 1].what;

	return steps[m->upgrade.step - 1].act == STEP_HOLD ? m->proc[what].pid == 0 : mon_proc_fresh(m, what);
}

/* It cannot be started, or dies at once: logins do not wait for it. It is tried again as ever. */
static int
step_is_lost(const struct mon *m)
{
	const struct mon_proc *p = &m->proc[steps[m->upgrade.step - 1].what];

	return sp_now_us() >= m->upgrade.deadline_us || (steps[m->upgrade.step - 1].act != STEP_HOLD && (p->missing || p->deaths > 1));
}

static void
step_begin(struct mon *m)
{
	struct mon_upgrade *u = &m->upgrade;
	enum sp_proc what = steps[u->step - 1].what;

	u->begun = 1;
	u->deadline_us = sp_now_us() + STEP_US;
	switch (steps[u->step - 1].act) {
	case STEP_HOLD:
		mon_proc_hold(m, what, steps[u->step - 1].grace_us);
		break;
	case STEP_RENEW:
		mon_proc_renew(m, what);
		break;
	case STEP_UNHOLD:
		mon_proc_unhold(m, what);
		break;
	}
}

/* A stop came in between: what is held is needed to end sessions in order. */
static void
upgrade_leave(struct mon *m)
{
	m->upgrade.step = 0;
	m->upgrade.asked = 0;
	sp_timer_stop(m->upgrade.timer);
	mon_proc_unhold(m, SP_PROC_CONTROL);
	mon_proc_unhold(m, SP_PROC_GATE);
}

static void
upgrade_done(struct mon *m)
{
	m->upgrade.step = 0;
	sp_info("upgrade to Sallyport %s is done: %zu connections went on", SP_VERSION, mon_conns_n(m));
	mon_notify_ready();
	if (m->upgrade.asked)
		upgrade_begin(m);
}

static void
upgrade_on_timer(struct sp_timer *t, void *arg)
{
	struct mon *m = arg;
	struct mon_upgrade *u = &m->upgrade;

	if (u->probe != 0) {
		sp_error("%s does not read the state in time", m->exe);
		(void)kill(u->probe, SIGKILL);	/* not reaped yet, so the number is still its own */
		return;
	}
	if (u->step == 0)
		return;
	if (m->phase != MON_RUN) {
		upgrade_leave(m);
		return;
	}
	for (;;) {
		if (!u->begun)
			step_begin(m);
		if (!step_is_over(m)) {
			if (!step_is_lost(m)) {
				sp_timer_at(t, u->deadline_us);
				return;
			}
			sp_error("upgrade: %s does not get ready, going on without it", sp_proc_name(steps[u->step - 1].what));
		}
		u->begun = 0;
		if (u->step++ == SP_NELEMS(steps))
			break;
	}
	upgrade_done(m);
}

void
mon_upgrade_step(struct mon *m)
{
	if (m->upgrade.step != 0)
		sp_timer_in(m->upgrade.timer, 0);	/* not under the feet of who calls us */
}

void
mon_upgrade_children(struct mon *m)
{
	m->upgrade.step = 1;
	m->upgrade.begun = 0;
	sp_timer_in(m->upgrade.timer, 0);
}

enum sp_err
mon_upgrade_init(struct mon *m)
{
	return sp_timer_new(m->loop, upgrade_on_timer, m, &m->upgrade.timer);
}
