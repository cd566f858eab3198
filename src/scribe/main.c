/* src/scribe/main.c - the scribe parent: forks one recorder per session, and one replay child at a time for what dead
 * recorders left. Process: scribe. Single-threaded; reads no byte of a session and no spool.
 * Invariants: (1) a child keeps only its own descriptors. (2) The parent's channel to control is used by the replay child
 * alone; the parent only holds it. (3) Every child that ends is reported to the monitor (DIED) unless it is a replay.
 * (4) A replay begins after the end of every recorder that left something, of an earlier parent's too (SCRIBE_LEFT). */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/htab.h"
#include "base/log.h"
#include "common/child.h"
#include "sallyport.pb-c.h"
#include "scribe/press.h"
#include "scribe/recwriter.h"
#include "scribe/scribe.h"
#include "scribe/segment.h"

#define FILES_N		1024
#define RESCAN_US	(30 * SP_US_PER_S)

struct recorder {
	struct sp_hnode	node;
	pid_t		pid;
	struct sp_uuid	conn, session;
	struct sp_age_recipient to[SP_AGE_RECIPIENTS_MAX];
	size_t		to_n;
	int		reserved;	/* of an administrator: may begin on a disk that is low */
	struct sp_press	*press;
	unsigned	segments;	/* that it was given files for */
	uint64_t	grown_to;	/* bytes of its files when they were looked at last; 0: not yet */
	uint32_t	keep;
	uint64_t	keep_max;
};
struct parent {
	struct sp_child	 child;
	int		 recordings, spool, control;	/* control: -1 when there is none */
	struct sp_htab	 recorders;			/* by pid */
	struct sp_sandbox_plan *box;			/* of recorders */
	pid_t		 replay;
	int		 replay_again;
	struct sp_timer	*rescan, *press;
	struct sp_chan	*ask;		/* questions of recorders (segment.h) */
	int		 ask_far;	/* what they are given of it */
	int		 press_on, low, looks;	/* looks: ticks until the recorders are compared again */
};

static void parent_replay(struct parent *p);

static void
close_all(int first, int last)
{
	if (close_range((unsigned)first, (unsigned)last, 0) == 0)
		return;
	for (int fd = first; fd <= last; fd++)	/* a kernel before 5.9 */
		close(fd);
}

/* In a child: nothing of the parent's stays open but `keep`, which move to 3, 4, ... in that order. The parent's epoll
 * set is shared: it is closed, never changed. */
static void
child_descriptors(int *keep, int n)
{
	sigset_t none;

	for (int i = 0; i < n; i++)	/* out of the way first */
		if ((keep[i] = fcntl(keep[i], F_DUPFD, FILES_N / 2)) == -1)
			_exit(71);
	close_all(3, FILES_N / 2 - 1);
	for (int i = 0; i < n; i++) {
		int fd = dup3(keep[i], 3 + i, O_CLOEXEC);

		if (fd == -1)
			_exit(71);
		keep[i] = fd;
	}
	close_all(FILES_N / 2, FILES_N - 1);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static enum sp_err
parent_report(struct parent *p, const struct recorder *r)
{
	Sallyport__Born born = SALLYPORT__BORN__INIT;
	int pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0);
	struct sp_uuid conn = r->conn, session = r->session;

	if (pidfd == -1)
		return SP_ESYS;
	born.conn_id = (ProtobufCBinaryData){ SP_UUID_LEN, conn.b };
	born.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, session.b };
	born.pid = (uint32_t)r->pid;
	born.born_us = sp_now_us();
	return sp_chan_send(p->child.monitor, SP_MSG_SCRIBE_BORN, 0, &born, &pidfd, 1);
}

static void
recorder_child(struct parent *p, const struct recorder *r, const int *fds)
{
	struct sp_scribe_birth b = { .session = r->session, .box = p->box,
	    .reserve_bytes = (uint64_t)p->child.conf.reserve_mb * 1024 * 1024, .reserved = r->reserved, .press = r->press,
	    .quota_bytes = (uint64_t)p->child.conf.record_quota_mb * 1024 * 1024,
	    .segment_bytes = (uint64_t)p->child.conf.record_segment_mb * 1024 * 1024, .segment_us = p->child.conf.record_segment_time };
	int keep[SP_SCRIBE_KEPT_FDS] = { fds[0], fds[1], fds[2], p->recordings, p->spool, p->ask_far };

	memcpy(b.to, r->to, sizeof(b.to));
	b.to_n = r->to_n;
	b.keep = r->keep;
	b.keep_max = r->keep_max;
	child_descriptors(keep, SP_SCRIBE_KEPT_FDS);
	b.session_fd = keep[0];
	b.control_fd = keep[1];
	b.monitor_fd = keep[2];
	b.recordings = keep[3];
	b.spool = keep[4];
	b.ask = keep[5];
	sp_scribe_main(&b);
}

/* Public keys of 32 bytes, one behind the other. */
static enum sp_err
recipients_take(const ProtobufCBinaryData *b, struct recorder *r)
{
	r->to_n = b->len / sizeof(r->to[0].pk);
	if (b->len % sizeof(r->to[0].pk) != 0 || r->to_n > SP_AGE_RECIPIENTS_MAX)
		return SP_EFORMAT;
	for (size_t i = 0; i < r->to_n; i++)
		memcpy(r->to[i].pk, b->data + i * sizeof(r->to[0].pk), sizeof(r->to[0].pk));
	return SP_OK;
}

/* ---- a further segment (segment.h) ---- */

struct asking {
	const struct sp_uuid	*session;
	struct recorder		*r;
};

static void
asking_one(struct sp_hnode *n, void *arg)
{
	struct recorder *r = sp_container(n, struct recorder, node);
	struct asking *a = arg;

	if (sp_uuid_equal(&r->session, a->session))
		a->r = r;
}

static void
parent_on_ask(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	const Sallyport__RecSegment *q = (const Sallyport__RecSegment *)m->body;
	struct parent *p = arg;
	struct sp_scribe_files f;
	struct sp_uuid session;
	struct asking a = { &session, NULL };
	enum sp_err r;

	(void)c;
	if (m->id != SP_MSG_REC_SEGMENT || sp_uuid_from(q->session_id.data, q->session_id.len, &session) != SP_OK)
		return;
	sp_htab_each(&p->recorders, asking_one, &a);
	if (a.r == NULL || q->segment != a.r->segments + 1 || q->segment > SP_REC_SEGMENTS_MAX ||
	    !sp_segment_is_file(p->recordings, &session, a.r->segments, m->fds[1])) {
		sp_error("a recorder asked for a segment that is not its next one");
		return;
	}
	if ((r = sp_scribe_files(p->recordings, &session, q->segment, (uint64_t)p->child.conf.reserve_mb * 1024 * 1024, &f)) == SP_OK)
		a.r->segments++;
	sp_segment_answer(sp_steal_fd(&m->fds[0]), q->segment, r, &f);
}

/* A recorder said something that none says: nobody gets further segments until the next start. */
static void
parent_on_ask_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct parent *p = arg;

	sp_error("bad message %s from a recorder: %s: recordings stay in the segment that they have", what, sp_err_text(why));
	sp_chan_free(c);
	p->ask = NULL;
}

static enum sp_err
parent_ask_open(struct parent *p)
{
	int sv[2];
	enum sp_err r;

	if ((r = sp_chan_pair(sv)) != SP_OK)
		return r;
	p->ask_far = sv[1];
	if ((r = sp_chan_new(sv[0], SP_PROC_SCRIBE, SP_PROC_SCRIBE, parent_on_ask, parent_on_ask_close, p, &p->ask)) != SP_OK)
		return r;
	return sp_chan_watch(p->ask, p->child.loop);
}

/* ---- a disk that gets full (press.h) ---- */

static void
press_later(struct parent *p)
{
	if (!p->press_on && p->recorders.n > 0)
		sp_timer_in(p->press, SP_PRESS_TICK_US);
	p->press_on = p->recorders.n > 0;
}

struct press_look {
	struct parent	*p;
	struct recorder	*most;
	uint64_t	 grown;		/* of the most */
};

/* How much its files grew since the last look. */
static void
press_look_one(struct sp_hnode *n, void *arg)
{
	struct recorder *r = sp_container(n, struct recorder, node);
	struct press_look *l = arg;
	char path[SP_REC_PATH];
	struct stat st;
	uint64_t was = r->grown_to;

	sp_rec_segment_path(&r->session, r->segments, SP_REC_AGE, path);
	if (r->press == NULL || fstatat(l->p->recordings, path, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	r->grown_to = (uint64_t)st.st_size;
	sp_rec_kept_path(&r->session, path);
	if (r->keep != 0 && fstatat(l->p->recordings, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
		r->grown_to += (uint64_t)st.st_size;
	if (was != 0 && r->grown_to > was && r->grown_to - was > l->grown && !atomic_load(&r->press->stop)) {
		l->most = r;
		l->grown = r->grown_to - was;
	}
}

static void
press_slow_one(struct sp_hnode *n, void *arg)
{
	struct recorder *r = sp_container(n, struct recorder, node);
	const struct parent *p = arg;

	r->grown_to = 0;
	if (r->press != NULL) {
		atomic_store(&r->press->slow, (uint32_t)p->low);
		if (!p->low)
			atomic_store(&r->press->stop, 0);
	}
}

static void
press_stop_most(struct parent *p)
{
	struct press_look l = { .p = p };
	char id[SP_UUID_SIZE];

	sp_htab_each(&p->recorders, press_look_one, &l);
	if (l.most == NULL || l.grown < SP_PRESS_GROWN)
		return;
	sp_warn("the disk for recordings is nearly full: session %s writes most (%llu KiB in the last second) and ends",
	    sp_uuid_text(&l.most->session, id), (unsigned long long)(l.grown >> 10));
	atomic_store(&l.most->press->stop, 1);
}

static void
parent_on_press(struct sp_timer *t, void *arg)
{
	struct parent *p = arg;
	uint64_t avail = UINT64_MAX, low = (uint64_t)p->child.conf.reserve_mb * 1024 * 1024 * SP_PRESS_LOW;
	int was = p->low;

	(void)t;
	p->press_on = 0;
	if (sp_fs_free(p->recordings, &avail) == SP_OK)
		p->low = avail < low;
	if (p->low != was) {
		sp_warn("the disk for recordings has %s %llu MiB left", p->low ? "less than" : "again more than", (unsigned long long)(low >> 20));
		sp_htab_each(&p->recorders, press_slow_one, p);
		p->looks = 0;
	}
	if (p->low && --p->looks < 0) {
		p->looks = (int)(SP_US_PER_S / SP_PRESS_TICK_US) - 1;
		press_stop_most(p);
	}
	press_later(p);
}

static void
parent_new(struct parent *p, struct sp_msg *m)
{
	const Sallyport__ScribeNew *n = (const Sallyport__ScribeNew *)m->body;
	struct recorder *r = calloc(1, sizeof(*r));

	if (r == NULL || sp_uuid_from(n->session_id.data, n->session_id.len, &r->session) != SP_OK ||
	    sp_uuid_from(n->conn_id.data, n->conn_id.len, &r->conn) != SP_OK || recipients_take(&n->recipients, r) != SP_OK) {
		sp_error("cannot start a recorder: bad request");
		free(r);
		return;		/* the sockets close: the session reads that there is no recorder */
	}
	r->reserved = n->reserved;
	r->segments = 1;
	if ((r->press = sp_press_new()) != NULL)
		atomic_store(&r->press->slow, (uint32_t)p->low);
	r->keep = n->keep;
	r->keep_max = n->keep_max;
	if ((r->pid = fork()) == 0)
		recorder_child(p, r, m->fds);
	sp_press_own(r->press);
	press_later(p);
	if (r->pid == -1 || sp_htab_insert(&p->recorders, &r->node, &r->pid, sizeof(r->pid)) != SP_OK) {
		sp_error("cannot start a recorder: no process");
		free(r);
		return;
	}
	if (parent_report(p, r) != SP_OK)
		sp_error("cannot report a recorder to the monitor");
}

static int
file_is_empty(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

/* Remove what a recorder left empty; the rest is for a replay child. */
static void
parent_clean(struct parent *p, const struct recorder *r)
{
	char id[SP_UUID_SIZE], path[SP_REC_PATH];
	struct stat st;

	for (unsigned n = 1; n <= r->segments; n++)
		for (int i = 0; i < SP_REC_FILES; i++) {
			sp_rec_segment_path(&r->session, n, (enum sp_rec_file)i, path);
			if (file_is_empty(p->recordings, path))
				(void)unlinkat(p->recordings, path, 0);
		}
	sp_rec_kept_path(&r->session, path);
	if (file_is_empty(p->recordings, path))
		(void)unlinkat(p->recordings, path, 0);
	(void)sp_uuid_text(&r->session, id);
	if (file_is_empty(p->spool, id))
		(void)unlinkat(p->spool, id, 0);
	else if (fstatat(p->spool, id, &st, AT_SYMLINK_NOFOLLOW) == 0)
		parent_replay(p);
}

/* A recorder that is not our child has ended: the monitor says so. */
static void
parent_left(struct parent *p, const Sallyport__Died *d)
{
	struct recorder r = { .pid = (pid_t)d->pid };

	if (sp_uuid_from(d->session_id.data, d->session_id.len, &r.session) == SP_OK)
		parent_clean(p, &r);
}

static void
parent_died(struct parent *p, struct recorder *r, int status)
{
	Sallyport__Died died = SALLYPORT__DIED__INIT;

	sp_htab_remove(&p->recorders, &r->node);
	parent_clean(p, r);
	died.conn_id = (ProtobufCBinaryData){ SP_UUID_LEN, r->conn.b };
	died.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, r->session.b };
	died.pid = (uint32_t)r->pid;
	died.wait_status = status;
	if (sp_chan_send(p->child.monitor, SP_MSG_DIED, 0, &died, NULL, 0) != SP_OK)
		sp_error("cannot report the end of a recorder");
	if (WIFSIGNALED(status))
		sp_warn("recorder %d died of signal %d", (int)r->pid, WTERMSIG(status));
	sp_press_free(r->press);
	free(r);
}

static void
parent_on_signal(int signo, void *arg)
{
	struct parent *p = arg;
	int status;

	(void)signo;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		struct sp_hnode *n = sp_htab_find(&p->recorders, &pid, sizeof(pid));

		if (n != NULL) {
			parent_died(p, sp_container(n, struct recorder, node), status);
		} else if (pid == p->replay) {
			p->replay = 0;
			if (p->replay_again)
				parent_replay(p);
			else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
				sp_timer_in(p->rescan, RESCAN_US);
		}
	}
}

/* Files in the spool: each living recorder has one, too. */
static size_t
parent_spools(struct parent *p)
{
	size_t n = 0;
	int fd = openat(p->spool, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct sp_uuid id;

	if (d == NULL) {
		sp_closep(&fd);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		n += sp_uuid_parse(e->d_name, &id) == SP_OK;
	closedir(d);
	return n;
}

static void
parent_replay(struct parent *p)
{
	int keep[3];

	p->replay_again = p->replay != 0;
	if (p->replay != 0 || p->control < 0)
		return;
	keep[0] = p->control;
	keep[1] = p->recordings;
	keep[2] = p->spool;
	if ((p->replay = fork()) == 0) {
		child_descriptors(keep, 3);
		sp_replay_main(keep[0], keep[1], keep[2]);
	}
	if (p->replay == -1) {
		p->replay = 0;
		sp_timer_in(p->rescan, RESCAN_US);
	}
}

static void
parent_on_rescan(struct sp_timer *t, void *arg)
{
	struct parent *p = arg;

	(void)t;
	if (parent_spools(p) > p->recorders.n)
		parent_replay(p);
}

static void
parent_on_peer(struct sp_child *c, const Sallyport__Peer *peer, int fd)
{
	struct parent *p = c->arg;

	if (peer->kind != SP_PROC_CONTROL) {
		close(fd);
		return;
	}
	sp_closep(&p->control);
	p->control = fd;
	if (p->replay != 0 || parent_spools(p) > 0)
		parent_replay(p);
}

static void
parent_on_message(struct sp_child *c, struct sp_msg *m)
{
	if (m->id == SP_MSG_SCRIBE_NEW)
		parent_new(c->arg, m);
	else if (m->id == SP_MSG_SCRIBE_LEFT)
		parent_left(c->arg, (const Sallyport__Died *)m->body);
}

/* The absolute path of a directory that the monitor opened, for the sandbox. */
static void
dir_path(int fd, char *dst, size_t size)
{
	char link[64];
	ssize_t n;

	(void)sp_snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if ((n = readlink(link, dst, size - 1)) <= 0)
		sp_die(71, "cannot name an inherited directory");
	dst[n] = '\0';
}

static void
parent_sandbox(struct parent *p)
{
	static char recordings[4096], spool[4096];
	static const char *rw[] = { recordings, spool, NULL };
	static const char *const none[] = { NULL };
	const struct sp_sandbox box = { .may = SP_MAY_FORK | SP_MAY_FILES | SP_MAY_THREADS,
	    .user = sp_proc_user(SP_PROC_SCRIBE), .rw = rw, .ro = none, .files_n = FILES_N };

	dir_path(p->recordings, recordings, sizeof(recordings));
	dir_path(p->spool, spool, sizeof(spool));
	sp_child_ready(&p->child, &box);
}

int
main(void)
{
	static const struct sp_child_ops ops = { .peer = parent_on_peer, .message = parent_on_message };
	static const int signals[] = { SIGCHLD, -1 };
	static struct parent p;

	p.control = -1;
	sp_child_init(&p.child, SP_PROC_SCRIBE, &ops, &p);
	p.recordings = sp_child_take_fd(&p.child, "recordings");
	p.spool = sp_child_take_fd(&p.child, "spool");
	if (p.recordings < 0 || p.spool < 0)
		sp_die(78, "the monitor gave no directory for recordings or spool");
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)umask(007);	/* control reads recordings, and deletes them by policy: its group is that of the directory */
	if (sp_crypto_init() != SP_OK || sp_htab_init(&p.recorders) != SP_OK || sp_timer_new(p.child.loop, parent_on_rescan, &p, &p.rescan) != SP_OK ||
	    sp_timer_new(p.child.loop, parent_on_press, &p, &p.press) != SP_OK ||
	    sp_loop_signals(p.child.loop, signals, parent_on_signal, &p) != SP_OK)
		sp_die(71, "cannot start");
	if (parent_ask_open(&p) != SP_OK)
		sp_die(71, "cannot make a socket for recorders");
	if (sp_scribe_plan(&p.box) != SP_OK)
		sp_die(71, "cannot prepare the sandbox of recorders");
	(void)malloc_trim(0);
	parent_sandbox(&p);
	sp_timer_in(p.rescan, RESCAN_US);
	return sp_child_run(&p.child);
}
