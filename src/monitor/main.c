/* src/monitor/main.c - sallyport-monitor: starts all other processes, hands out descriptors, re-attaches, kills.
 * It reads configuration, signals, its children and monitor.sock; never a byte that came from a network.
 *
 *   SIGHUP            read the configuration again; a bad one is refused with file:line and the old one stays
 *   SIGUSR2           the programs on disk take over, live sessions go on (upgrade.c)
 *   SIGTERM           stop: no new connections, live ones may end within `drain`, then they are ended
 *   SIGTERM again, SIGINT   end live ones now
 */
#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "common/copydest.h"
#include "monitor/state.h"

#define STOP_SCRIBES_US	(3 * SP_US_PER_S)	/* for scribes to write their end after their session was killed */
#define STOP_CHILD_US	(5 * SP_US_PER_S)	/* for a child between SHUTDOWN and SIGKILL */
#define STOP_POLL_US	(20 * SP_US_PER_MS)
#define FILES_WANTED	262144			/* four descriptors for each connection, and some */

static struct mon mon;

static enum sp_log_level
main_level(const char *s)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };

	for (unsigned i = 0; i < SP_NELEMS(names); i++)
		if (strcmp(names[i], s) == 0)
			return (enum sp_log_level)i;
	return SP_LOG_INFO;
}

/* ---- configuration */

/* The text of the file, given; NULL with why. A missing file at the default path reads as empty. */
static char *
conf_read(const struct mon *m, char *why, size_t n)
{
	sp_auto(sp_freep) char *text = calloc(1, SP_CONF_FILE + 2);
	sp_auto(sp_closep) int fd = open(m->conf_path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t k = 0;

	if (text == NULL) {
		sp_snprintf(why, n, "out of memory");
		return NULL;
	}
	if (fd == -1 && errno == ENOENT && m->conf_optional)
		return sp_steal(&text);
	while (fd != -1 && len <= SP_CONF_FILE && (k = read(fd, text + len, SP_CONF_FILE + 1 - len)) > 0)
		len += (size_t)k;
	if (fd == -1 || k == -1) {
		sp_snprintf(why, n, "%s: %s", m->conf_path, strerror(errno));
		return NULL;
	}
	if (len > SP_CONF_FILE || memchr(text, '\0', len) != NULL) {
		sp_snprintf(why, n, "%s: is not a text of at most %d bytes", m->conf_path, SP_CONF_FILE);
		return NULL;
	}
	return sp_steal(&text);
}

/* Nobody would notice that a text which people must be shown is not. */
static enum sp_err
conf_file(const struct mon *m, const char *text, const char *key, const char *path, char *why, size_t n)
{
	struct stat st;
	const char *what = NULL;

	if (*path == '\0')
		return SP_OK;
	if (access(path, R_OK) == -1 || stat(path, &st) == -1)
		what = strerror(errno);
	else if (!S_ISREG(st.st_mode))
		what = "it is not a file";
	if (what == NULL)
		return SP_OK;
	sp_snprintf(why, n, "%s:%zu: %s: cannot read %s: %s", m->conf_path, sp_conf_line_of(text, strlen(text), key, 0), key, path, what);
	return SP_ENOENT;
}

static enum sp_err
conf_load(const struct mon *m, struct sp_config *ret, char **ret_text, char *why, size_t n)
{
	sp_auto(sp_freep) char *text = conf_read(m, why, n);
	enum sp_err r;

	if (text == NULL)
		return SP_ENOENT;
	if ((r = sp_config_parse(m->conf_path, text, strlen(text), ret, why, n)) != SP_OK ||
	    (r = conf_file(m, text, "banner", ret->banner, why, n)) != SP_OK ||
	    (r = conf_file(m, text, "consent", ret->consent, why, n)) != SP_OK)
		return r;
	/* A zone that the C library does not find would silently be UTC. */
	if (ret->time_zone[0] != '\0') {
		char file[SP_CONF_TEXT + 32];

		sp_snprintf(file, sizeof(file), "/usr/share/zoneinfo/%s", ret->time_zone);
		if (strstr(ret->time_zone, "..") != NULL || access(file, R_OK) == -1) {
			sp_snprintf(why, n, "%s:%zu: time_zone: there is no %s: name a zone below /usr/share/zoneinfo (package tzdata)",
			    m->conf_path, sp_conf_line_of(text, strlen(text), "time_zone", 0), file);
			return SP_EINVAL;
		}
	}
	*ret_text = sp_steal(&text);
	return SP_OK;
}

/* What only a restart can change, because files and sockets under the old name are in use. */
static int
list_is_same(const struct sp_conf_list *a, const struct sp_conf_list *b)
{
	for (size_t i = 0; i < a->n && a->n == b->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return 0;
	return a->n == b->n;
}

static int
conf_is_fixed(const struct mon *m, const struct sp_config *c, const char *text, char *why, size_t n)
{
	const struct {
		const char	*key;
		int		 same;
	} fixed[] = {
		{ "state_dir", strcmp(m->conf.state_dir, c->state_dir) == 0 }, { "run_dir", strcmp(m->conf.run_dir, c->run_dir) == 0 },
		{ "store", list_is_same(&m->conf.store, &c->store) }, { "store_far", list_is_same(&m->conf.store_far, &c->store_far) },
		{ "store_timeout", m->conf.store_timeout == c->store_timeout }, { "time_zone", strcmp(m->conf.time_zone, c->time_zone) == 0 },
	};

	for (size_t i = 0; i < SP_NELEMS(fixed); i++)
		if (!fixed[i].same) {
			sp_snprintf(why, n, "%s:%zu: %s changes only with a restart", m->conf_path,
			    sp_conf_line_of(text, strlen(text), fixed[i].key, 0), fixed[i].key);
			return 1;
		}
	return 0;
}

static enum sp_err
conf_apply(struct mon *m, char *why, size_t n)
{
	sp_auto(sp_freep) struct sp_config *c = calloc(1, sizeof(*c));
	char *text = NULL;
	enum sp_err r;
	int same;

	if (c == NULL)
		return SP_ENOMEM;
	if ((r = conf_load(m, c, &text, why, n)) != SP_OK)
		return r;
	same = mon_listen_same(&m->conf, c);
	if (conf_is_fixed(m, c, text, why, n) || (!same && mon_listen_open(m, c, text, why, n) != SP_OK)) {
		free(text);
		return SP_ESTATE;
	}
	m->conf = *c;
	free(m->conf_text);
	m->conf_text = text;
	sp_log_init("monitor", main_level(m->conf.log_level));
	mon_procs_reload(m);
	mon_proc_renew(m, SP_PROC_ZYGOTE);	/* host keys, banner, consent text: sessions begin with what it holds */
	if (!same)
		mon_proc_renew(m, SP_PROC_GATE);	/* takes the new sockets; waiting connections stay queued */
	return SP_OK;
}

static void
on_hup(struct mon *m)
{
	char why[512] = "out of memory";

	if (m->phase != MON_RUN)
		return;
	mon_notify_reloading();
	if (conf_apply(m, why, sizeof(why)) == SP_OK)
		sp_info("configuration read again from %s", m->conf_path);
	else
		sp_error("configuration refused, the old one stays: %s", why);
	mon_notify_ready();
}

/* ---- orderly stop */

static void	stop_step(struct mon *m);

static void
stop_enter(struct mon *m, enum mon_phase phase, uint64_t for_us)
{
	m->phase = phase;
	sp_timer_in(m->phase_timer, for_us);
}

static void
stop_cut(struct mon *m)
{
	if (mon_conns_n(m) > 0)
		sp_info("ending %zu connections", mon_conns_n(m));
	mon_conns_kill_all(m, "Sallyport is stopping", "system");
	stop_enter(m, MON_CUT, (uint64_t)m->conf.kill_after_ms * SP_US_PER_MS + STOP_SCRIBES_US);
	stop_step(m);
}

static void
stop_children(struct mon *m)
{
	stop_enter(m, MON_STOP, STOP_CHILD_US);
	for (int i = 0; i < SP_PROC_N; i++)
		mon_proc_shutdown(m, (enum sp_proc)i, 0);
	if (mon_procs_alive(m) == 0)
		sp_loop_stop(m->loop);
}

/* Called whenever something ended: is this phase over before its time? */
static void
stop_step(struct mon *m)
{
	if (m->phase == MON_DRAIN && mon_conns_n(m) == 0)
		stop_cut(m);
	else if (m->phase == MON_CUT && mon_conns_n(m) == 0 && mon_scribes_n(m) == 0)
		stop_children(m);
	else if (m->phase == MON_STOP && mon_procs_alive(m) == 0)
		sp_loop_stop(m->loop);
}

void
mon_ended(struct mon *m)
{
	stop_step(m);
}

static void
stop_on_timer(struct sp_timer *t, void *arg)
{
	struct mon *m = arg;

	(void)t;
	if (m->phase == MON_DRAIN)
		stop_cut(m);
	else if (m->phase == MON_CUT)
		stop_children(m);
	else if (m->phase == MON_STOP) {
		sp_warn("%d processes did not stop in time: killed", mon_procs_alive(m));
		mon_procs_kill(m);
	}
}

static void
on_term(struct mon *m, int at_once)
{
	char rest[64];

	mon_upgrade_step(m);
	if (m->phase == MON_RUN) {
		mon_notify("STOPPING=1");
		mon_proc_shutdown(m, SP_PROC_GATE, m->conf.drain);
		mon_listen_close(m);
	}
	if (m->phase == MON_DRAIN || (m->phase == MON_RUN && at_once))
		stop_cut(m);
	else if (m->phase == MON_RUN) {
		sp_snprintf(rest, sizeof(rest), "%llu s", (unsigned long long)(m->conf.drain / SP_US_PER_S));
		sp_info("stopping: %zu connections may end within %s", mon_conns_n(m), rest);
		stop_enter(m, MON_DRAIN, m->conf.drain);
		stop_step(m);
	}
}

/* ---- signals */

/* Children, and whoever lost its parent and became ours. Processes under watch by pidfd learn their status here too. */
static void
on_chld(struct mon *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!mon_upgrade_reaped(m, pid, status) && !mon_procs_reaped(m, pid, status) && !mon_shells_reaped(m, pid, status))
			(void)mon_conns_reaped(m, pid, status);
	stop_step(m);
}

static void
on_signal(int signo, void *arg)
{
	struct mon *m = arg;

	if (signo == SIGCHLD)
		on_chld(m);
	else if (signo == SIGHUP)
		on_hup(m);
	else if (signo == SIGUSR2)
		mon_upgrade(m);
	else
		on_term(m, signo == SIGINT);
}

/* ---- start */

void
mon_announce(struct mon *m)
{
	if (m->announced)
		return;
	m->announced = 1;
	sp_info("Sallyport %s is ready on %s", SP_VERSION, m->conf.listen.n > 0 ? m->conf.listen.v[0] : "no address");
	mon_notify_ready();
}

/* Sessions lose their parents when a zygote dies; no process of ours gains rights; no core holds a host key. */
static void
main_harden(void)
{
	const struct rlimit none = { 0, 0 };
	struct rlimit rl;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 ||
	    setrlimit(RLIMIT_CORE, &none) == -1)
		sp_die(71, "cannot harden the monitor: %s", strerror(errno));
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		if (geteuid() == 0 && rl.rlim_max < FILES_WANTED)
			rl.rlim_max = FILES_WANTED;
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	signal(SIGPIPE, SIG_IGN);
	umask(022);	/* children have 077 */
}

/* The text stays as it is, for a successor. */
static void
main_libexec(struct mon *m, const char *arg)
{
	if ((m->libexec_text = arg) == NULL)
		return;
	for (char *p = strdup(arg); p != NULL && *p != '\0' && m->n_libexec < MON_LIBEXEC;) {
		char *colon = strchr(p, ':');

		if (colon != NULL)
			*colon++ = '\0';
		m->libexec[m->n_libexec++] = p;
		p = colon;
	}
}

static void
main_usage(void)
{
	fputs("usage: sallyport-monitor [-t] [-f CONFIG] [-l LIBEXECDIR[:LIBEXECDIR...]]\n"
	    "  -f  configuration (default " SP_CONFIG_PATH_DEFAULT ")\n"
	    "  -l  where the other processes are (default: beside this one)\n"
	    "  -t  only check the configuration\n"
	    "SIGHUP reads the configuration again, SIGUSR2 starts the programs on disk under live sessions.\n", stderr);
	exit(64);
}

struct options {
	int	test;
	int	state_fd;	/* -R, from a monitor whose place we take; -1: none */
};

static struct options
main_options(struct mon *m, int argc, char **argv)
{
	struct options o = { .state_fd = -1 };
	int ch;

	m->conf_path = SP_CONFIG_PATH_DEFAULT;
	m->conf_optional = 1;
	while ((ch = getopt(argc, argv, "f:l:tR:")) != -1)
		if (ch == 'f') {
			m->conf_path = optarg;
			m->conf_optional = 0;
		} else if (ch == 'l')
			main_libexec(m, optarg);
		else if (ch == 't')
			o.test = 1;
		else if (ch == 'R' && optarg[0] >= '0' && optarg[0] <= '9')
			o.state_fd = (int)strtol(optarg, NULL, 10);
		else
			main_usage();
	if (optind != argc)
		main_usage();
	return o;
}

static void
main_own_path(struct mon *m)
{
	ssize_t n = readlink("/proc/self/exe", m->exe, sizeof(m->exe) - 1);

	if (n <= 0)
		sp_die(71, "cannot find my own program: %s", strerror(errno));
	m->exe[n] = '\0';
}

/* Without -l: beside the running executable, wherever that is. */
static void
main_own_dir(struct mon *m)
{
	static char self[SP_CONF_TEXT];

	if (m->n_libexec > 0)
		return;
	(void)sp_strlcpy(self, m->exe, sizeof(self));
	m->libexec[m->n_libexec++] = dirname(self);
}

static void
main_loop(struct mon *m)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGUSR2, SIGTERM, SIGINT, -1 };

	if (mon_conns_init(m) != SP_OK || sp_loop_new(&m->loop) != SP_OK ||
	    sp_timer_new(m->loop, stop_on_timer, m, &m->phase_timer) != SP_OK || mon_upgrade_init(m) != SP_OK)
		sp_die(71, "cannot start: no memory");
	if (sp_loop_signals(m->loop, signals, on_signal, m) != SP_OK)
		sp_die(71, "cannot watch signals");
}

static void
main_open(struct mon *m)
{
	char why[512] = "";

	sp_uuid_make(&m->boot_id);
	if (mon_dirs_make(m, why, sizeof(why)) != SP_OK || mon_hostkeys_make(m, why, sizeof(why)) != SP_OK ||
	    mon_listen_open(m, &m->conf, m->conf_text, why, sizeof(why)) != SP_OK || mon_ask_open(m, why, sizeof(why)) != SP_OK)
		sp_die(71, "%s", why);
}

/* ---- in the place of a running monitor */

static SallyportState__Monitor *
main_read_state(struct mon *m, int fd)
{
	SallyportState__Monitor *st = NULL;
	char why[512] = "";

	if (state_read(fd, &st, why, sizeof(why)) != SP_OK)
		sp_die(78, "cannot take over: %s", why);
	if (sp_config_parse("configuration in force", st->config, strlen(st->config), &m->conf, why, sizeof(why)) != SP_OK ||
	    (m->conf_text = strdup(st->config)) == NULL || sp_strlcpy(m->exe, st->exe, sizeof(m->exe)) != 0)
		sp_die(78, "cannot take over: %s", why);
	if (mon_dirs_make(m, why, sizeof(why)) != SP_OK || mon_hostkeys_make(m, why, sizeof(why)) != SP_OK)
		sp_die(71, "cannot take over: %s", why);
	return st;
}

static void
main_take_over(struct mon *m, SallyportState__Monitor *st)
{
	enum sp_err r = state_restore(m, st);

	if (r != SP_OK)
		sp_die(71, "cannot take over: %s", sp_err_text(r));
	sp_info("Sallyport %s takes over from %s: %zu connections go on; replacing the other processes", SP_VERSION, st->product,
	    mon_conns_n(m));
	sallyport_state__monitor__free_unpacked(st, NULL);
	mon_upgrade_children(m);
}

static void
main_read_conf(struct mon *m, int test)
{
	char why[512] = "";

	if (conf_load(m, &m->conf, &m->conf_text, why, sizeof(why)) != SP_OK)
		sp_die(78, "%s", why);
	if (test) {
		printf("%s: ok\n", m->conf_path);
		exit(0);
	}
	main_own_path(m);
}

int
main(int argc, char **argv)
{
	SallyportState__Monitor *st = NULL;
	struct mon *m = &mon;
	struct options o;

	sp_log_init("monitor", SP_LOG_INFO);
	o = main_options(m, argc, argv);
	m->admin_fd = m->ask_fd = m->state_fd = -1;
	for (int d = 0; d < MON_DIRS; d++)
		m->dir_fd[d] = -1;
	if (o.state_fd == -1)
		main_read_conf(m, o.test);
	else {
		st = main_read_state(m, o.state_fd);
		sp_closep(&o.state_fd);
		if (o.test) {
			sallyport_state__monitor__free_unpacked(st, NULL);
			return 0;
		}
	}
	if (geteuid() != 0 && !m->conf.ordinary_user_ok)
		sp_die(77, "not started as root, and ordinary_user_ok is no");
	main_own_dir(m);
	sp_log_init("monitor", main_level(m->conf.log_level));
	main_harden();
	mon_procs_init(m);
	main_loop(m);
	if (st != NULL)
		main_take_over(m, st);
	else
		main_open(m);
	mon_procs_start(m);
	on_chld(m);	/* who ended in the middle of a take-over */
	if (sp_loop_run(m->loop) != SP_OK)
		sp_die(71, "the event loop failed");
	mon_procs_release(m);
	mon_conns_release(m);
	mon_ask_close(m);
	mon_listen_close(m);
	mon_dirs_release(m);
	sp_loop_free(m->loop);
	free(m->conf_text);
	sp_info("stopped");
	return 0;
}
