/* src/control/logtree.c - see logtree.h.
 *
 *	segment line durable (audit.c) -> leaf hash -> tiles, bundles -> fsync -> head -> [vault signs] -> checkpoint
 *
 * The tiles are written from the segments, so a crash at any point is repaired by doing it again: after a start the tree
 * begins at the entry bundle that the last signed head ends in. From there on it is computed anew from tiles and segments, and must
 * come to the signed root. Entries of the newest two segments are compared with their tiles, too; all of the log is for
 * `sallyport evidence verify --full`.
 * Partial tiles are replaced by wider ones; the one of the signed head stays until a newer head is signed. */
#include "control/logtree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "common/entry.h"
#include "common/logdir.h"

#define TILE_LEVELS	(SP_TLOG_LEVELS / SP_TLOG_TILE_BITS + 1)
#define TEMP		"tile.new"	/* of the thread */
#define TEMP_LOOP	"file.new"
#define FULL_WAIT_US	(500 * SP_US_PER_MS)	/* a disk without room: look again */

#define DONE_MAX	80			/* full tiles between two syncs of their directories */

struct part {				/* the tile of a level that is being filled */
	unsigned	n;
	uint8_t		h[SP_TLOG_TILE_BYTES];
};
struct tree {
	int			 dirfd, evfd;
	pthread_t		 thread;
	int			 running;
	pthread_mutex_t		 mu;
	pthread_cond_t		 work;
	_Atomic int		 hold;
	/* under mu */
	int			 closing, have_head, have_signed, head_changed;
	uint64_t		 upto, since_us;	/* since: when something came that is not in the tree; 0: nothing did */
	uint64_t		 prove_from;
	struct tree_head	 head;
	struct sp_checkpoint	 signed_head;
	struct sp_buf		 signed_note, note;	/* note: to be written; empty: none */
	/* thread only */
	struct sp_tlog_edge	 edge;
	struct part		 part[TILE_LEVELS];
	struct sp_buf		 bundle;		/* of the entries of part[0] */
	struct logread		 read;
	uint64_t		 flushed;		/* size that the partial tiles on disk have */
	enum sp_err		 err;			/* of a full tile that could not be written */
	int			 full_said;
	struct sp_tlog_tile	 done[DONE_MAX];	/* full tiles whose directories are not synced yet */
	size_t			 n_done;
	/* loop only */
	struct sp_source	*source;
	void			(*grown)(void *);
	void			*arg;
};

/* ---- files ---- */

static enum sp_err
sync_dir(int dirfd, const char *dir)
{
	sp_auto(sp_closep) int fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1)
		return sp_err_errno(errno);
	if (fsync(fd) == -1)
		sp_die(74, "the audit log cannot be synced: %s", strerror(errno));
	return SP_OK;
}

/* Every directory of the path, and durable, from the first that is missing. */
static enum sp_err
make_dirs(int dirfd, const char *path)
{
	char dir[SP_TLOG_PATH_SIZE], up[SP_TLOG_PATH_SIZE] = ".";

	for (const char *p = path; (p = strchr(p, '/')) != NULL; p++) {
		(void)sp_strlcpy(dir, path, sizeof(dir));
		dir[p - path] = '\0';
		if (mkdirat(dirfd, dir, 0700) == 0) {
			enum sp_err r = sync_dir(dirfd, up);

			if (r != SP_OK)
				return r;
		} else if (errno != EEXIST) {
			return sp_err_errno(errno);
		}
		(void)sp_strlcpy(up, dir, sizeof(up));
	}
	return SP_OK;
}

static enum sp_err
write_temp(int dirfd, const char *temp, const uint8_t *p, size_t n)
{
	sp_auto(sp_closep) int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	enum sp_err r;

	if (fd == -1)
		return sp_err_errno(errno);
	if ((r = sp_write_all(fd, p, n)) != SP_OK)
		return r;
	if (fsync(fd) == -1)
		sp_die(74, "the audit log cannot be synced: %s", strerror(errno));
	return SP_OK;
}

static void
dir_of(const char *path, char dst[SP_TLOG_PATH_SIZE])
{
	const char *slash = strrchr(path, '/');

	(void)sp_strlcpy(dst, slash != NULL ? path : ".", SP_TLOG_PATH_SIZE);
	if (slash != NULL)
		dst[slash - path] = '\0';
}

/* Its contents are durable, its name is once its directory is synced. */
static enum sp_err
put_named(int dirfd, const char *temp, const char *path, const void *p, size_t n)
{
	enum sp_err r = make_dirs(dirfd, path);

	if (r != SP_OK)
		return r;
	if ((r = write_temp(dirfd, temp, p, n)) != SP_OK) {
		(void)unlinkat(dirfd, temp, 0);
		return r;
	}
	return renameat(dirfd, temp, dirfd, path) == -1 ? sp_err_errno(errno) : SP_OK;
}

static enum sp_err
put_file(int dirfd, const char *temp, const char *path, const void *p, size_t n)
{
	char dir[SP_TLOG_PATH_SIZE];
	enum sp_err r = put_named(dirfd, temp, path, p, n);

	dir_of(path, dir);
	return r == SP_OK ? sync_dir(dirfd, dir) : r;
}

enum sp_err
tree_put_file(int dirfd, const char *path, const void *p, size_t n)
{
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;		/* of TEMP_LOOP */
	enum sp_err r;

	pthread_mutex_lock(&one);
	r = put_file(dirfd, TEMP_LOOP, path, p, n);
	pthread_mutex_unlock(&one);
	return r;
}

/* Partial tiles of tile n but those two widths; with 256 the directory, too. */
static void
drop_partial(struct tree *t, unsigned level, uint64_t n, unsigned keep, unsigned keep2)
{
	struct sp_tlog_tile tile = { level, n, 1 };
	char dir[SP_TLOG_PATH_SIZE];
	struct dirent *de;
	int fd;
	DIR *d;

	if (sp_tlog_tile_path(&tile, dir) != SP_OK)
		return;
	*strrchr(dir, '/') = '\0';
	if ((fd = openat(t->dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return;
	}
	while ((de = readdir(d)) != NULL) {
		unsigned w = (unsigned)strtoul(de->d_name, NULL, 10);

		if (w != 0 && w != keep && w != keep2)
			(void)unlinkat(fd, de->d_name, 0);
	}
	closedir(d);
	if (keep == SP_TLOG_TILE_WIDTH)
		(void)unlinkat(t->dirfd, dir, AT_REMOVEDIR);
}

/* The directories of the full tiles, each once; then the partial ones are not needed any more. */
static enum sp_err
done_sync(struct tree *t)
{
	char path[SP_TLOG_PATH_SIZE], dir[SP_TLOG_PATH_SIZE], last[SP_TLOG_PATH_SIZE];
	enum sp_err r;

	/* By level: tiles of one level follow each other, so their directories do. */
	for (size_t level = 0; level <= TILE_LEVELS; level++) {
		last[0] = '\0';
		for (size_t i = 0; i < t->n_done; i++) {
			if (t->done[i].level != (level < TILE_LEVELS ? level : SP_TLOG_ENTRIES))
				continue;
			if ((r = sp_tlog_tile_path(&t->done[i], path)) != SP_OK)
				return r;
			dir_of(path, dir);
			if (strcmp(dir, last) != 0 && (r = sync_dir(t->dirfd, dir)) != SP_OK)
				return r;
			(void)sp_strlcpy(last, dir, sizeof(last));
		}
	}
	for (size_t i = 0; i < t->n_done; i++)
		drop_partial(t, t->done[i].level, t->done[i].n, SP_TLOG_TILE_WIDTH, 0);
	t->n_done = 0;
	return SP_OK;
}

/* A full one is durable after done_sync(): many share the sync of their directory. */
static enum sp_err
put_tile(struct tree *t, unsigned level, uint64_t n, unsigned width, const uint8_t *p, size_t len)
{
	struct sp_tlog_tile tile = { level, n, width };
	char path[SP_TLOG_PATH_SIZE];
	enum sp_err r = sp_tlog_tile_path(&tile, path);

	if (r != SP_OK || width < SP_TLOG_TILE_WIDTH)
		return r == SP_OK ? put_file(t->dirfd, TEMP, path, p, len) : r;
	if (t->n_done == DONE_MAX && (r = done_sync(t)) != SP_OK)
		return r;
	if ((r = put_named(t->dirfd, TEMP, path, p, len)) == SP_OK)
		t->done[t->n_done++] = tile;
	return r;
}

/* ---- growing ---- */

/* A node became whole: those on the lowest row of a tile are kept in tiles. */
static void
on_node(void *arg, unsigned level, uint64_t index, const struct sp_tlog_hash *h)
{
	struct tree *t = arg;
	unsigned l = level / SP_TLOG_TILE_BITS;
	struct part *p = &t->part[l];

	if (level % SP_TLOG_TILE_BITS != 0)
		return;
	memcpy(p->h + (size_t)p->n * SP_TLOG_HASH, h->b, SP_TLOG_HASH);
	if (++p->n < SP_TLOG_TILE_WIDTH || t->err != SP_OK)
		return;
	index /= SP_TLOG_TILE_WIDTH;
	if (l == 0)
		t->err = put_tile(t, SP_TLOG_ENTRIES, index, SP_TLOG_TILE_WIDTH, t->bundle.p, t->bundle.len);
	if (t->err == SP_OK)
		t->err = put_tile(t, l, index, SP_TLOG_TILE_WIDTH, p->h, sizeof(p->h));
	p->n = 0;
	if (l == 0)
		t->bundle.len = 0;
}

/* One entry into the tree in memory; full tiles go to the disk. */
static enum sp_err
add_next(struct tree *t)
{
	struct sp_view line, leaf, open;
	struct sp_tlog_hash h;
	enum sp_err r = logread_next(&t->read, &line);

	if (r != SP_OK)
		return r == SP_ENOENT ? SP_ECORRUPT : r;
	entry_split(line, &leaf, &open);
	if ((r = sp_tlog_bundle_put(&t->bundle, leaf)) != SP_OK)
		return r;
	sp_tlog_leaf(leaf, &h);
	if ((r = sp_tlog_edge_add(&t->edge, &h, on_node, t)) != SP_OK)
		return r;
	r = t->err;
	t->err = SP_OK;
	return r;
}

static enum sp_err
put_partials(struct tree *t)
{
	enum sp_err r = done_sync(t);

	if (r == SP_OK && t->part[0].n > 0)
		r = put_tile(t, SP_TLOG_ENTRIES, t->edge.n >> 8, t->part[0].n, t->bundle.p, t->bundle.len);
	for (unsigned l = 0; l < TILE_LEVELS && r == SP_OK; l++)
		if (t->part[l].n > 0)
			r = put_tile(t, l, t->edge.n >> (l + 1) * SP_TLOG_TILE_BITS, t->part[l].n, t->part[l].h,
			    (size_t)t->part[l].n * SP_TLOG_HASH);
	return r;
}

/* Narrower ones are not needed for any head that somebody may have been given last. */
static void
drop_partials(struct tree *t, uint64_t signed_size)
{
	for (unsigned l = 0; l < TILE_LEVELS; l++) {
		unsigned shift = (l + 1) * SP_TLOG_TILE_BITS;
		uint64_t n = shift < 64 ? t->edge.n >> shift : 0;
		unsigned was = shift < 64 && signed_size >> shift == n ? (unsigned)(signed_size >> (shift - 8) & 255) : 0;

		if (t->part[l].n == 0)
			continue;
		drop_partial(t, l, n, t->part[l].n, was);
		if (l == 0)
			drop_partial(t, SP_TLOG_ENTRIES, n, t->part[l].n, was);
	}
}

static void
wake_loop(struct tree *t)
{
	uint64_t one = 1;

	if (write(t->evfd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		abort();	/* an eventfd write fails only at 2^64 - 2 */
}

/* The tiles of edge.n are durable: tell of it. mu is not held. */
static void
publish(struct tree *t)
{
	struct tree_head h = { .size = t->edge.n };
	struct logdir d;
	enum sp_err r = SP_OK;

	sp_tlog_edge_root(&t->edge, &h.root);
	pthread_mutex_lock(&t->mu);
	h.from = t->prove_from;
	pthread_mutex_unlock(&t->mu);
	if (h.from > 0 && h.from < h.size) {
		logdir_init(&d, t->dirfd, h.size);
		r = sp_tlog_prove_growth(h.from, h.size, logdir_node, &d, &h.proof);
		logdir_release(&d);
	}
	if (r != SP_OK) {
		sp_error("the audit log's growth from entry %" PRIu64 " to %" PRIu64 " cannot be proven: %s", h.from, h.size, sp_err_text(r));
		h.from = 0;
	}
	pthread_mutex_lock(&t->mu);
	t->head = h;
	t->have_head = 1;
	pthread_mutex_unlock(&t->mu);
	wake_loop(t);
}

/* Grow up to an entry (or as far as the disk lets), make it durable, tell. */
static void
grow(struct tree *t, uint64_t upto, uint64_t signed_size)
{
	enum sp_err r = SP_OK;

	while (r == SP_OK && t->edge.n < upto)
		r = add_next(t);
	if (r == SP_OK)
		r = put_partials(t);
	if (r == SP_OK) {
		t->flushed = t->edge.n;
		t->full_said = 0;
		drop_partials(t, signed_size);
		publish(t);
		return;
	}
	if (r != SP_ENOSPC)
		sp_die(74, "the tree of the audit log cannot be written at entry %" PRIu64 ": %s", t->edge.n + 1, sp_err_text(r));
	if (!t->full_said)
		sp_warn("the disk is full: the tree of the audit log stands at entry %" PRIu64, t->flushed);
	t->full_said = 1;
}

/* ---- the start ---- */

/* The state of a tree of `size` leaves (a multiple of 256) from its tiles. */
static enum sp_err
load_at(struct tree *t, uint64_t size)
{
	struct logdir d;
	enum sp_err r;

	memset(&t->edge, 0, sizeof(t->edge));
	for (unsigned l = 0; l < TILE_LEVELS; l++)
		t->part[l].n = 0;
	t->bundle.len = 0;
	logdir_init(&d, t->dirfd, size);
	r = sp_tlog_edge_read(size, logdir_node, &d, &t->edge);
	for (unsigned l = 1; l < TILE_LEVELS && r == SP_OK && size >> l * SP_TLOG_TILE_BITS > 0; l++) {
		struct sp_tlog_tile tile = { l, size >> (l + 1) * SP_TLOG_TILE_BITS, (unsigned)(size >> l * SP_TLOG_TILE_BITS & 255) };
		struct sp_buf b;

		if (tile.width == 0)
			continue;
		sp_buf_init(&b, SP_TLOG_TILE_BYTES + 1);
		if ((r = logdir_tile(t->dirfd, &tile, &b)) == SP_OK) {
			memcpy(t->part[l].h, b.p, b.len);
			t->part[l].n = tile.width;
		}
		sp_buf_release(&b);
	}
	logdir_release(&d);
	if (r == SP_OK) {
		logread_release(&t->read);
		r = logread_open(&t->read, t->dirfd, size + 1);
	}
	return r;
}

/* After a full disk: what is in memory may be ahead of the tiles. */
static enum sp_err
reload(struct tree *t)
{
	enum sp_err r = load_at(t, t->flushed & ~(uint64_t)255);

	while (r == SP_OK && t->edge.n < t->flushed)
		r = add_next(t);
	return r;
}

static enum sp_err
compare_tail(struct tree *t, uint64_t next_seq, char *why, size_t why_size)
{
	sp_auto(sp_freep) uint64_t *seg = NULL;
	uint64_t size = t->signed_head.size, first;
	struct logread rd;
	struct logdir d;
	size_t n = 0;
	enum sp_err r = logdir_segments(t->dirfd, &seg, &n);

	if (r != SP_OK || n == 0)
		return r;
	first = seg[n > 1 ? n - 2 : 0];
	if ((r = logread_open(&rd, t->dirfd, first)) != SP_OK)
		return r;
	logdir_init(&d, t->dirfd, size);
	for (uint64_t seq = first; r == SP_OK && seq <= size && seq < next_seq; seq++) {
		struct sp_view line, leaf, open;
		struct sp_tlog_hash have, want;

		if ((r = logread_next(&rd, &line)) == SP_OK && (r = logdir_node(&d, 0, seq - 1, &want)) == SP_OK) {
			entry_split(line, &leaf, &open);
			sp_tlog_leaf(leaf, &have);
			if (!sp_tlog_equal(&have, &want))
				r = SP_EAUTH;
		}
		if (r != SP_OK) {
			sp_snprintf(why, why_size, "entry %" PRIu64 " is not what the tree has", seq);
			r = SP_ECORRUPT;
		}
	}
	logdir_release(&d);
	logread_release(&rd);
	return r;
}

/* The tree of the last signed head, computed anew. */
static enum sp_err
check_start(struct tree *t, uint64_t next_seq, char *why, size_t why_size)
{
	const struct sp_checkpoint *s = &t->signed_head;
	struct sp_tlog_hash root;
	int anew;
	enum sp_err r = logdir_checkpoint(t->dirfd, &t->signed_note, &t->signed_head);

	if (r == SP_ENOENT) {
		t->signed_head = (struct sp_checkpoint){ .size = 0 };
		return load_at(t, 0);
	}
	if (r != SP_OK) {
		sp_snprintf(why, why_size, "the file 'checkpoint' is damaged: %s", sp_err_text(r));
		return SP_ECORRUPT;
	}
	t->have_signed = 1;
	t->prove_from = s->size;
	if (next_seq <= s->size) {
		sp_snprintf(why, why_size, "the log ends with entry %" PRIu64 ", but %" PRIu64 " entries were signed", next_seq - 1, s->size);
		return SP_ECORRUPT;
	}
	/* Out of a backup there are no tiles: all of the tree is computed from the segments. */
	anew = faccessat(t->dirfd, "tile", F_OK, 0) == -1;
	r = load_at(t, anew ? 0 : s->size & ~(uint64_t)255);
	if (r != SP_OK) {
		sp_snprintf(why, why_size, "a tile of the tree of %" PRIu64 " entries is missing or cut off: %s", s->size, sp_err_text(r));
		return SP_ECORRUPT;
	}
	while (r == SP_OK && t->edge.n < s->size)
		r = add_next(t);
	sp_tlog_edge_root(&t->edge, &root);
	if (r != SP_OK || !sp_tlog_equal(&root, &s->root)) {
		sp_snprintf(why, why_size, "%" PRIu64 " entries do not come to the root that was signed for them", s->size);
		return SP_ECORRUPT;
	}
	if ((r = anew ? put_partials(t) : done_sync(t)) != SP_OK)
		return r;
	t->flushed = t->edge.n;
	return compare_tail(t, next_seq, why, why_size);
}

/* ---- the thread ---- */

static void
write_note(struct tree *t)
{
	struct sp_buf note;
	struct sp_checkpoint c;
	struct sp_view text;
	enum sp_err r;

	note = t->note;
	t->note = (struct sp_buf){ .max = SP_NOTE_MAX };
	pthread_mutex_unlock(&t->mu);
	r = put_file(t->dirfd, TEMP, "checkpoint", note.p, note.len);
	if (r == SP_OK && (r = sp_note_text((struct sp_view){ note.p, note.len }, &text)) == SP_OK)
		r = sp_checkpoint_parse(text, &c);
	if (r != SP_OK && r != SP_ENOSPC)
		sp_die(74, "the signed head of the audit log cannot be written: %s", sp_err_text(r));
	pthread_mutex_lock(&t->mu);
	if (r == SP_OK) {
		t->signed_head = c;
		t->have_signed = 1;
		t->prove_from = c.size;
		sp_buf_release(&t->signed_note);
		t->signed_note = note;
		note = (struct sp_buf){ .max = SP_NOTE_MAX };
	}
	sp_buf_release(&note);
	wake_loop(t);
}

/* mu held */
static int
is_due(struct tree *t)
{
	uint64_t now = sp_now_us();

	if (t->closing || t->note.len > 0 || t->head_changed)
		return 1;
	if (t->upto <= t->flushed) {
		t->since_us = 0;
		return 0;
	}
	if (t->since_us == 0)
		t->since_us = now;
	if (atomic_load(&t->hold))
		return 0;
	return now - t->since_us >= TREE_DELAY_US || t->upto - t->flushed >= TREE_STEP;
}

static void
tree_wait(struct tree *t)
{
	struct timespec until;

	while (!is_due(t)) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += 50 * 1000000L;
		if (until.tv_nsec >= 1000000000L) {
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		if (t->since_us != 0)
			(void)pthread_cond_timedwait(&t->work, &t->mu, &until);
		else
			(void)pthread_cond_wait(&t->work, &t->mu);
	}
}

static void *
tree_thread(void *arg)
{
	struct tree *t = arg;

	pthread_mutex_lock(&t->mu);
	for (;;) {
		uint64_t upto, signed_size;
		int again;

		tree_wait(t);
		if (t->closing)
			break;
		if (t->note.len > 0) {
			write_note(t);
			continue;
		}
		again = t->head_changed;
		t->head_changed = 0;
		upto = t->upto > t->edge.n + TREE_STEP ? t->edge.n + TREE_STEP : t->upto;
		signed_size = t->signed_head.size;
		t->since_us = 0;
		pthread_mutex_unlock(&t->mu);
		if (again && upto <= t->flushed) {
			publish(t);	/* the same head, proven from another size on */
		} else {
			if (t->edge.n != t->flushed && reload(t) != SP_OK)
				sp_die(74, "the tree of the audit log cannot be read");
			grow(t, upto, signed_size);
			if (t->full_said)
				usleep(FULL_WAIT_US);
		}
		pthread_mutex_lock(&t->mu);
	}
	pthread_mutex_unlock(&t->mu);
	return NULL;
}

/* ---- from outside ---- */

void
tree_upto(struct tree *t, uint64_t seq)
{
	if (t == NULL)
		return;
	pthread_mutex_lock(&t->mu);
	if (seq > t->upto)
		t->upto = seq;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->mu);
}

void
tree_hold(struct tree *t, int hold)
{
	if (t != NULL)
		atomic_store(&t->hold, hold);
}

int
tree_head(struct tree *t, struct tree_head *ret)
{
	int have = 0;

	if (t == NULL)
		return 0;
	pthread_mutex_lock(&t->mu);
	if ((have = t->have_head))
		*ret = t->head;
	pthread_mutex_unlock(&t->mu);
	return have;
}

void
tree_prove_from(struct tree *t, uint64_t from)
{
	pthread_mutex_lock(&t->mu);
	t->prove_from = from;
	t->head_changed = 1;
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->mu);
}

int
tree_signed(struct tree *t, struct sp_checkpoint *ret, struct sp_buf *ret_note)
{
	int have = 0;

	if (t == NULL)
		return 0;
	pthread_mutex_lock(&t->mu);
	if (t->have_signed) {
		if (ret != NULL)
			*ret = t->signed_head;
		have = ret_note == NULL || sp_buf_append(ret_note, t->signed_note.p, t->signed_note.len) == SP_OK;
	}
	pthread_mutex_unlock(&t->mu);
	return have;
}

enum sp_err
tree_put_signed(struct tree *t, struct sp_view note)
{
	enum sp_err r;

	pthread_mutex_lock(&t->mu);
	t->note.len = 0;
	r = sp_buf_append(&t->note, note.p, note.len);
	pthread_cond_signal(&t->work);
	pthread_mutex_unlock(&t->mu);
	return r;
}

static void
tree_on_event(struct sp_source *s, uint32_t events, void *arg)
{
	struct tree *t = arg;
	uint64_t n;

	(void)events;
	if (read(sp_source_fd(s), &n, sizeof(n)) == (ssize_t)sizeof(n) && t->grown != NULL)
		t->grown(t->arg);
}

static enum sp_err
tree_run(struct tree *t, struct sp_loop *l)
{
	pthread_condattr_t mono;
	sigset_t all, old;
	enum sp_err r;

	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&t->work, &mono);
	pthread_condattr_destroy(&mono);
	if (t->evfd == -1)
		return SP_ESYS;
	if ((r = sp_loop_add(l, t->evfd, EPOLLIN, tree_on_event, t, &t->source)) != SP_OK)
		return r;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	t->running = pthread_create(&t->thread, NULL, tree_thread, t) == 0;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return t->running ? SP_OK : SP_ESYS;
}

enum sp_err
tree_open(struct sp_loop *l, int dirfd, uint64_t next_seq, void (*grown)(void *), void *arg, char *why, size_t why_size, struct tree **ret)
{
	struct tree *t = calloc(1, sizeof(*t));
	enum sp_err r;

	if (t == NULL)
		return SP_ENOMEM;
	t->dirfd = dirfd;
	t->grown = grown;
	t->arg = arg;
	t->read.fd = -1;
	sp_buf_init(&t->bundle, LOGDIR_BUNDLE_MAX);
	sp_buf_init(&t->signed_note, SP_NOTE_MAX);
	sp_buf_init(&t->note, SP_NOTE_MAX);
	pthread_mutex_init(&t->mu, NULL);
	t->evfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	(void)unlinkat(dirfd, TEMP, 0);
	if ((r = check_start(t, next_seq, why, why_size)) == SP_OK) {
		t->upto = next_seq - 1;
		r = tree_run(t, l);
	}
	if (r != SP_OK) {
		tree_close(t);
		return r;
	}
	*ret = t;
	return SP_OK;
}

void
tree_close(struct tree *t)
{
	if (t == NULL)
		return;
	if (t->running) {
		pthread_mutex_lock(&t->mu);
		t->closing = 1;
		pthread_cond_signal(&t->work);
		pthread_mutex_unlock(&t->mu);
		pthread_join(t->thread, NULL);
		pthread_cond_destroy(&t->work);
	}
	sp_source_remove(t->source);
	sp_closep(&t->evfd);
	logread_release(&t->read);
	sp_buf_release(&t->bundle);
	sp_buf_release(&t->signed_note);
	sp_buf_release(&t->note);
	pthread_mutex_destroy(&t->mu);
	free(t);
}
