/* src/control/audit.c - see audit.h: the queue, the writing thread, the reserve. Files are read in audit_read.c.
 *
 * The loop (or a worker) formats an entry and queues it under the lock, where it gets its number. The thread takes the
 * whole queue, writes it with as few calls as fit, calls fdatasync once, and hands the waiters back. While it syncs,
 * the next batch gathers: the busier the process, the more entries share a sync.
 *
 * The reserve is a file of `reserve_bytes` with its blocks allocated. When a write meets a full disk the file is given
 * up and the write is made again: ENDs and administration go on, new sessions are refused (audit_space_low) until there
 * is room for a new reserve. */
#include "control/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "common/entry.h"
#include "common/logdir.h"
#include "control/audit_read.h"
#include "control/logtree.h"

#define AUDIT_RESERVE	"reserve"
#define AUDIT_LIST_WAIT_S 2
#define AUDIT_OVER	(1u * 1024 * 1024)	/* a segment grows over its size by this much before a batch is cut in two */
#define AUDIT_CHECK_US	(2 * SP_US_PER_S)	/* between looks at the free space */

struct item {
	struct sp_list	 link;
	uint64_t	 seq;
	audit_fn	*durable;
	void		*arg;
	struct waiter	*waiter;	/* a worker thread that waits; NULL: none */
	int		 watched;
	enum sp_err	 err;
	size_t		 len;
	char		 line[];
};
struct waiter {
	int		done;
	enum sp_err	err;
};
struct audit {
	int			 dirfd, fd, evfd;
	uint64_t		 seg_bytes;	/* thread only, like fd */
	int			 unsynced;	/* thread only: fd has lines of this batch */
	pthread_t		 namer;		/* thread only: syncs the directory with a new segment's name */
	int			 naming;	/* thread only: it runs */
	char			 boot[33];
	pthread_t		 thread;
	int			 running;
	pthread_mutex_t		 mu;
	pthread_cond_t		 work, waiters;
	struct sp_list		 todo, finished;	/* under mu */
	uint64_t		 next_seq, written_seq;	/* under mu; written: durable up to and with it */
	int			 closing, rotated;	/* under mu */
	_Atomic int		 low, rotate;
	_Atomic uint64_t	 reserve_bytes;
	int			 reserved;		/* thread only */
	uint64_t		 looked_us;		/* thread only; when the disk was last looked at */
	struct sp_source	*source;
	struct tree		*tree;
	char			 damage[320];
	audit_scan_fn		*scan;			/* while it opens */
	uint64_t		 scanned;		/* number of the last entry that was scanned */
	void			(*on_rotated)(void *);
	void			*arg;
	int			(*want)(const struct audit_entry *);
	audit_scan_fn		*seen;
	void			*seen_arg;
	void			(*on_durable)(void *);
	void			*durable_arg;
};

static void
add_text(json_t *o, const char *key, const char *s, size_t max)
{
	char buf[AUDIT_TEXT_MAX + 8];

	if (s == NULL || *s == '\0')
		return;
	/* Escaped as for a log line: no control character or broken UTF-8 of a user gets into the evidence as such. */
	sp_escape(s, strlen(s), buf, max + 1);
	json_object_set_new(o, key, json_string(buf));
}

static void
add_id(json_t *o, const char *key, const struct sp_uuid *u)
{
	char t[SP_UUID_SIZE];

	if (u != NULL && !sp_uuid_is_null(u))
		json_object_set_new(o, key, json_string(sp_uuid_text(u, t)));
}

/* Everything but the number, which the queue gives. */
static json_t *
entry_json(const struct audit *a, const struct audit_entry *e)
{
	char t[SP_RFC3339_SIZE];
	json_t *o = json_object();

	json_object_set_new(o, "boot", json_string(a->boot));
	json_object_set_new(o, "mono_us", json_integer((json_int_t)sp_now_us()));
	json_object_set_new(o, "wall", json_string(sp_rfc3339(sp_wall_us(), t, sizeof(t))));
	add_text(o, "kind", e->kind, 64);
	add_text(o, "actor", e->actor, 256);
	add_text(o, "result", e->result, 16);
	add_text(o, "source", e->source, 64);
	add_text(o, "text", e->text, AUDIT_TEXT_MAX);
	add_id(o, "conn", e->conn);
	add_id(o, "session", e->session);
	add_id(o, "user_id", e->user);
	add_id(o, "asset_id", e->asset);
	add_id(o, "account_id", e->account);
	add_id(o, "object_id", e->object);
	if (e->more != NULL)
		json_object_set(o, "more", e->more);
	return o;
}

/* mu held: number and order are one. open: text of the openings. */
static struct item *
item_make(struct audit *a, json_t *leaf, const char *open)
{
	struct item *it = NULL;
	size_t n, m = strlen(open);
	char *s;

	json_object_set_new(leaf, "seq", json_integer((json_int_t)a->next_seq));
	s = json_dumps(leaf, JSON_COMPACT | JSON_SORT_KEYS);
	n = s != NULL ? strlen(s) : 0;
	if (s == NULL || n > ENTRY_LEAF_MAX || n + m + 2 > ENTRY_LINE_MAX || (it = malloc(sizeof(*it) + n + m + 2)) == NULL)
		sp_die(71, "an audit entry cannot be written: out of memory or too large");
	*it = (struct item){ .seq = a->next_seq++, .len = n + m + 2 };
	memcpy(it->line, s, n);
	it->line[n] = '\t';
	memcpy(it->line + n + 1, open, m);
	it->line[n + m + 1] = '\n';
	free(s);
	return it;
}

static struct item *
audit_queue(struct audit *a, const struct audit_entry *e, audit_fn *durable, void *arg, struct waiter *w)
{
	json_t *o = entry_json(a, e), *leaf = NULL, *open = NULL;
	struct item *it;
	char *text;

	if (entry_seal(o, &leaf, &open) != SP_OK || (text = json_dumps(open, JSON_COMPACT | JSON_SORT_KEYS)) == NULL)
		sp_die(71, "an audit entry cannot be written: out of memory or too large");
	pthread_mutex_lock(&a->mu);
	it = item_make(a, leaf, text);
	free(text);
	json_decref(leaf);
	json_decref(open);
	json_decref(o);
	it->durable = durable;
	it->arg = arg;
	it->waiter = w;
	it->watched = a->want != NULL && a->want(e);
	sp_list_add_tail(&a->todo, &it->link);
	pthread_cond_signal(&a->work);
	return it;	/* mu stays held */
}

uint64_t
audit_append(struct audit *a, const struct audit_entry *e, audit_fn *durable, void *arg)
{
	uint64_t seq = audit_queue(a, e, durable, arg, NULL)->seq;

	pthread_mutex_unlock(&a->mu);
	return seq;
}

enum sp_err
audit_append_wait(struct audit *a, const struct audit_entry *e)
{
	struct waiter w = { 0 };

	audit_queue(a, e, NULL, NULL, &w);
	while (!w.done)
		pthread_cond_wait(&a->waiters, &a->mu);
	pthread_mutex_unlock(&a->mu);
	return w.err;
}

/* ---- the thread ---- */

static void
reserve_drop(struct audit *a)
{
	if (a->reserved && unlinkat(a->dirfd, AUDIT_RESERVE, 0) == 0)
		sp_warn("the disk is full: the reserve is in use, new sessions are refused");
	a->reserved = 0;
	tree_hold(a->tree, 1);
	atomic_store(&a->low, 1);
}

static void
reserve_make(struct audit *a)
{
	off_t want = (off_t)atomic_load(&a->reserve_bytes);
	int fd = openat(a->dirfd, AUDIT_RESERVE, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	int r = fd == -1 ? errno : posix_fallocate(fd, 0, want);

	if (r == 0 && ftruncate(fd, want) == -1)
		r = errno;
	sp_closep(&fd);
	if (r != 0 && r != EOPNOTSUPP)
		(void)unlinkat(a->dirfd, AUDIT_RESERVE, 0);
	a->reserved = r == 0;
	tree_hold(a->tree, !a->reserved);
	atomic_store(&a->low, r != 0);
}

/* Keep the reserve while there is room beside it; take it back once there is. */
static void
reserve_look(struct audit *a)
{
	uint64_t want = atomic_load(&a->reserve_bytes), avail;
	struct statvfs v;

	a->looked_us = sp_now_us();
	if (fstatvfs(a->dirfd, &v) == -1)
		return;
	avail = (uint64_t)v.f_bavail * v.f_frsize;
	if (!a->reserved) {
		if (avail > want + want / 4)
			reserve_make(a);
	} else {
		atomic_store(&a->low, avail < want / 8);
	}
}

/* The name of a new segment, made durable beside its first lines: whoever waits for these waits for the longer of two syncs. */
static void *
namer_thread(void *arg)
{
	const struct audit *a = arg;

	return fsync(a->dirfd) == -1 ? arg : NULL;
}

static void
namer_start(struct audit *a)
{
	a->naming = pthread_create(&a->namer, NULL, namer_thread, a) == 0;	/* signals are blocked here, and so in it */
	if (!a->naming && fsync(a->dirfd) == -1)
		sp_die(74, "the audit log cannot be synced: input/output error");
}

static void
namer_end(struct audit *a)
{
	void *failed = NULL;

	if (a->naming && (pthread_join(a->namer, &failed) != 0 || failed != NULL))
		sp_die(74, "the audit log cannot be synced: input/output error");
	a->naming = 0;
}

/* Lines of this batch, and the name of the segment that they are in. */
static void
segment_sync(struct audit *a)
{
	if (a->unsynced && fdatasync(a->fd) == -1)
		sp_die(74, "the audit log cannot be synced: input/output error");
	a->unsynced = 0;
	namer_end(a);
}

/* Its name is durable after segment_sync(). */
static enum sp_err
segment_new(struct audit *a, uint64_t first_seq)
{
	char name[LOGDIR_NAME_SIZE + 8];
	int fd;

	if (a->damage[0] != '\0')
		(void)sp_snprintf(name, sizeof(name), "contained-%016llx.log", (unsigned long long)sp_wall_us());
	else
		logdir_segment_name(first_seq, name);
	if ((fd = openat(a->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		return sp_err_errno(errno);
	sp_closep(&a->fd);
	a->fd = fd;
	a->seg_bytes = 0;
	namer_start(a);
	return SP_OK;
}

/* Write all or nothing: what a failed write left is cut off again. */
static enum sp_err
write_whole(struct audit *a, const char *p, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t w = write(a->fd, p + done, n - done);

		if (w == -1 && errno == EINTR)
			continue;
		if (w == -1) {
			enum sp_err r = sp_err_errno(errno);

			if (ftruncate(a->fd, (off_t)a->seg_bytes) == -1)
				sp_die(74, "the audit log cannot be repaired after a failed write");
			return r;
		}
		done += (size_t)w;
	}
	a->seg_bytes += n;
	a->unsynced = 1;
	return SP_OK;
}

/* A segment ends between two batches, where nothing waits for it to be synced; in the middle of one only if that is huge. */
static int
segment_is_full(const struct audit *a)
{
	if (a->seg_bytes > 0 && a->damage[0] == '\0' && atomic_exchange(&a->rotate, 0))
		return 1;
	return a->seg_bytes >= AUDIT_SEGMENT_BYTES && (!a->unsynced || a->seg_bytes >= AUDIT_SEGMENT_BYTES + AUDIT_OVER);
}

static enum sp_err
write_item(struct audit *a, struct item *it)
{
	enum sp_err r = SP_OK;

	if (a->fd == -1 || segment_is_full(a)) {
		int first = a->fd == -1;

		segment_sync(a);
		if ((r = segment_new(a, it->seq)) != SP_OK && a->reserved) {
			reserve_drop(a);
			r = segment_new(a, it->seq);
		}
		if (r == SP_OK && !first)
			a->rotated = 1;		/* read under mu after this batch */
	}
	if (r == SP_OK && (r = write_whole(a, it->line, it->len)) != SP_OK && a->reserved) {
		reserve_drop(a);
		r = write_whole(a, it->line, it->len);
	}
	/* A numbered entry that is nowhere would be a hole in the evidence. */
	if (r != SP_OK && r != SP_ENOSPC)
		sp_die(74, "the audit log cannot be written: %s", sp_err_text(r));
	return r;
}

/* Write a batch. On a disk without any room the entries that do not fit stay queued in `batch`. */
static void
write_batch(struct audit *a, struct sp_list *batch, struct sp_list *ret_written)
{
	while (!sp_list_empty(batch)) {
		struct item *it = sp_container(batch->next, struct item, link);

		if (write_item(a, it) != SP_OK)
			break;
		sp_list_remove(&it->link);
		sp_list_add_tail(ret_written, &it->link);
	}
	segment_sync(a);
}

static void
hand_back(struct audit *a, struct sp_list *done)
{
	uint64_t one = 1;

	while (!sp_list_empty(done)) {
		struct item *it = sp_container(done->next, struct item, link);

		sp_list_remove(&it->link);
		a->written_seq = it->seq;
		if (it->waiter != NULL) {
			*it->waiter = (struct waiter){ 1, it->err };
			it->waiter = NULL;	/* it may be gone as soon as mu is free */
		}
		if (it->watched || it->durable != NULL)
			sp_list_add_tail(&a->finished, &it->link);
		else
			free(it);
	}
	tree_upto(a->tree, a->written_seq);
	pthread_cond_broadcast(&a->waiters);
	if (write(a->evfd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();	/* an eventfd write fails only at 2^64 - 2 */
}

/* Wait for work; a look at the disk now and then, however busy it is. Returns with mu held, 0 when it is time to end. */
static int
wait_for_work(struct audit *a)
{
	for (;;) {
		struct timespec until;

		if (sp_now_us() - a->looked_us >= AUDIT_CHECK_US) {
			pthread_mutex_unlock(&a->mu);
			reserve_look(a);
			pthread_mutex_lock(&a->mu);
		}
		if (!sp_list_empty(&a->todo) || a->closing)
			return !sp_list_empty(&a->todo);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += AUDIT_CHECK_US / SP_US_PER_S;
		(void)pthread_cond_timedwait(&a->work, &a->mu, &until);
	}
}

static void *
audit_thread(void *arg)
{
	struct audit *a = arg;

	reserve_look(a);
	pthread_mutex_lock(&a->mu);
	while (wait_for_work(a)) {
		struct sp_list batch, written;
		int left;

		sp_list_init(&batch);
		sp_list_init(&written);
		while (!sp_list_empty(&a->todo)) {
			struct sp_list *n = a->todo.next;

			sp_list_remove(n);
			sp_list_add_tail(&batch, n);
		}
		pthread_mutex_unlock(&a->mu);
		write_batch(a, &batch, &written);
		left = !sp_list_empty(&batch);
		pthread_mutex_lock(&a->mu);
		hand_back(a, &written);
		while (!sp_list_empty(&batch)) {	/* back to the front, order kept */
			struct sp_list *n = batch.prev;

			sp_list_remove(n);
			n->next = a->todo.next;
			n->prev = &a->todo;
			a->todo.next->prev = n;
			a->todo.next = n;
		}
		if (left) {
			if (a->closing)
				break;
			pthread_mutex_unlock(&a->mu);
			usleep(200000);		/* the disk is full to the last block: the callers wait */
			pthread_mutex_lock(&a->mu);
		}
	}
	pthread_mutex_unlock(&a->mu);
	return NULL;
}

/* ---- in the loop ---- */

void
audit_watch(struct audit *a, int (*want)(const struct audit_entry *), audit_scan_fn *seen, void *arg)
{
	pthread_mutex_lock(&a->mu);
	a->want = want;
	a->seen = seen;
	a->seen_arg = arg;
	pthread_mutex_unlock(&a->mu);
}

void
audit_on_durable(struct audit *a, void (*fn)(void *), void *arg)
{
	a->on_durable = fn;
	a->durable_arg = arg;
}

static void
audit_show(struct audit *a, const struct item *it)
{
	json_t *o = entry_parse((struct sp_view){ (const uint8_t *)it->line, it->len - 1 });

	if (o != NULL)
		a->seen(o, a->seen_arg);
	json_decref(o);
}

static void
audit_deliver(struct audit *a)
{
	struct sp_list ready;
	int rotated;

	sp_list_init(&ready);
	pthread_mutex_lock(&a->mu);
	while (!sp_list_empty(&a->finished)) {
		struct sp_list *n = a->finished.next;

		sp_list_remove(n);
		sp_list_add_tail(&ready, n);
	}
	rotated = a->rotated;
	a->rotated = 0;
	pthread_mutex_unlock(&a->mu);
	while (!sp_list_empty(&ready)) {
		struct item *it = sp_container(ready.next, struct item, link);

		sp_list_remove(&it->link);
		if (it->watched && it->err == SP_OK)
			audit_show(a, it);
		if (it->durable != NULL)
			it->durable(it->arg, it->err, it->seq);
		free(it);
	}
	if (rotated && !a->closing)
		a->on_rotated(a->arg);
	if (a->on_durable != NULL && !a->closing)
		a->on_durable(a->durable_arg);
}

static void
audit_on_event(struct sp_source *s, uint32_t events, void *arg)
{
	uint64_t n;

	(void)events;
	if (read(sp_source_fd(s), &n, sizeof(n)) == (ssize_t)sizeof(n))
		audit_deliver(arg);
}

void
audit_rotate(struct audit *a)
{
	atomic_store(&a->rotate, 1);
}

uint64_t
audit_next(struct audit *a)
{
	uint64_t n;

	pthread_mutex_lock(&a->mu);
	n = a->next_seq;
	pthread_mutex_unlock(&a->mu);
	return n;
}

uint64_t
audit_durable(struct audit *a)
{
	uint64_t n;

	pthread_mutex_lock(&a->mu);
	n = a->written_seq;
	pthread_mutex_unlock(&a->mu);
	return n;
}

int
audit_space_low(const struct audit *a)
{
	return atomic_load(&a->low);
}

void
audit_set_reserve(struct audit *a, uint64_t bytes)
{
	atomic_store(&a->reserve_bytes, bytes);	/* a reserve of the old size stays until it was used */
}

enum sp_err
audit_list(struct audit *a, const struct audit_query *q, json_t *out)
{
	struct timespec until;
	uint64_t upto;

	/* What was appended before the question is part of the answer. On a disk without any room: what there is. */
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += AUDIT_LIST_WAIT_S;
	pthread_mutex_lock(&a->mu);
	upto = a->next_seq - 1;
	while (a->written_seq < upto && pthread_cond_timedwait(&a->waiters, &a->mu, &until) == 0)
		;
	pthread_mutex_unlock(&a->mu);
	return audit_read_list(a->dirfd, q, out);
}

static void
audit_on_scan(const json_t *line, void *arg)
{
	struct audit *a = arg;

	a->scanned = (uint64_t)json_integer_value(json_object_get(line, "seq"));
	a->scan(line, a->arg);
}

/* Segments, then the tree. What is damaged stays as it is: somebody has to look at it. */
static enum sp_err
audit_load(struct audit *a, struct sp_loop *l, void (*grown)(void *))
{
	char why[256] = "";
	enum sp_err r = audit_read_tail(a->dirfd, audit_on_scan, a, &a->fd, &a->seg_bytes, &a->next_seq, why, sizeof(why));

	if (r == SP_OK)
		r = tree_open(l, a->dirfd, a->next_seq, grown, a->arg, why, sizeof(why), &a->tree);
	if (r == SP_ECORRUPT) {
		(void)sp_strlcpy(a->damage, *why ? why : "it cannot be read", sizeof(a->damage));
		sp_closep(&a->fd);
		a->next_seq = a->scanned + 1;
		r = SP_OK;
	}
	return r;
}

enum sp_err
audit_open(struct sp_loop *l, int dirfd, const uint8_t boot[16], uint64_t reserve_bytes, audit_scan_fn *scan,
    void (*rotated)(void *), void (*grown)(void *), void *arg, struct audit **ret)
{
	struct audit *a = calloc(1, sizeof(*a));
	enum sp_err r;

	if (a == NULL) {
		close(dirfd);
		return SP_ENOMEM;
	}
	a->dirfd = dirfd;
	a->fd = -1;
	a->scan = scan;
	a->on_rotated = rotated;
	a->arg = arg;
	atomic_store(&a->reserve_bytes, reserve_bytes);
	sp_hex(boot, 16, a->boot);
	sp_list_init(&a->todo);
	sp_list_init(&a->finished);
	pthread_mutex_init(&a->mu, NULL);
	pthread_cond_init(&a->work, NULL);
	pthread_cond_init(&a->waiters, NULL);
	a->evfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (a->evfd == -1)
		r = SP_ESYS;
	else if ((r = audit_load(a, l, grown)) == SP_OK) {
		a->written_seq = a->next_seq - 1;
		r = sp_loop_add(l, a->evfd, EPOLLIN, audit_on_event, a, &a->source);
	}
	if (r == SP_OK) {
		sigset_t all, old;

		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		a->running = pthread_create(&a->thread, NULL, audit_thread, a) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		r = a->running ? SP_OK : SP_ESYS;
	}
	if (r != SP_OK) {
		audit_close(a);
		return r;
	}
	*ret = a;
	return SP_OK;
}

const char *
audit_damage(const struct audit *a)
{
	return a->damage[0] != '\0' ? a->damage : NULL;
}

struct tree *
audit_tree(struct audit *a)
{
	return a->tree;
}

int
audit_dirfd(const struct audit *a)
{
	return a->dirfd;
}

void
audit_close(struct audit *a)
{
	if (a == NULL)
		return;
	if (a->running) {
		pthread_mutex_lock(&a->mu);
		a->closing = 1;
		pthread_cond_signal(&a->work);
		pthread_mutex_unlock(&a->mu);
		pthread_join(a->thread, NULL);
		audit_deliver(a);
	}
	tree_close(a->tree);
	sp_list_each(it, &a->todo) {
		sp_list_remove(it);
		free(sp_container(it, struct item, link));
	}
	sp_source_remove(a->source);
	sp_closep(&a->evfd);
	sp_closep(&a->fd);
	sp_closep(&a->dirfd);
	pthread_mutex_destroy(&a->mu);
	pthread_cond_destroy(&a->work);
	pthread_cond_destroy(&a->waiters);
	free(a);
}
