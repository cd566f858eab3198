/* src/common/logdir.c - see logdir.h. */
#include "common/logdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "common/entry.h"

#define READ_CHUNK	((size_t)256 * 1024)

enum sp_err
logdir_file(int dirfd, const char *path, size_t max, struct sp_buf *ret)
{
	sp_auto(sp_closep) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	enum sp_err r;

	sp_buf_reset(ret);
	if (fd == -1 || fstat(fd, &st) == -1)
		return sp_err_errno(errno);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(ret, (size_t)st.st_size + 1)) != SP_OK)
		return r;
	while (ret->len < (size_t)st.st_size) {
		ssize_t n = read(fd, ret->p + ret->len, (size_t)st.st_size - ret->len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return sp_err_errno(errno);
		if (n == 0)
			break;
		ret->len += (size_t)n;
	}
	ret->p[ret->len] = '\0';
	return SP_OK;
}

/* ---- tiles ---- */

void
logdir_init(struct logdir *d, int fd, uint64_t size)
{
	*d = (struct logdir){ .fd = fd, .size = size };
	for (size_t i = 0; i < SP_NELEMS(d->bytes); i++)
		sp_buf_init(&d->bytes[i], SP_TLOG_TILE_BYTES + 1);
}

void
logdir_release(struct logdir *d)
{
	for (size_t i = 0; i < SP_NELEMS(d->bytes); i++)
		sp_buf_release(&d->bytes[i]);
}

/* Cut what was read to the first `width` hashes or entries. */
static enum sp_err
tile_cut(const struct sp_tlog_tile *t, struct sp_buf *b)
{
	struct sp_view at = { b->p, b->len }, entry;

	if (t->level != SP_TLOG_ENTRIES) {
		if (b->len < (size_t)t->width * SP_TLOG_HASH)
			return SP_ECORRUPT;
		b->len = (size_t)t->width * SP_TLOG_HASH;
		return SP_OK;
	}
	for (unsigned i = 0; i < t->width; i++)
		if (sp_tlog_bundle_get(&at, &entry) != SP_OK)
			return SP_ECORRUPT;
	b->len -= at.len;
	return SP_OK;
}

/* The narrowest partial tile that is wider; 0: there is none. */
static unsigned
tile_wider(int dirfd, const char *path, unsigned width)
{
	char dir[SP_TLOG_PATH_SIZE];
	const char *slash = strrchr(path, '/');
	unsigned best = 0;
	struct dirent *de;
	int fd;
	DIR *d;

	(void)sp_strlcpy(dir, path, sizeof(dir));
	dir[slash - path] = '\0';
	if ((fd = openat(dirfd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return 0;
	if ((d = fdopendir(fd)) == NULL) {
		close(fd);
		return 0;
	}
	while ((de = readdir(d)) != NULL) {
		unsigned long w = strtoul(de->d_name, NULL, 10);

		if (w > width && w < SP_TLOG_TILE_WIDTH && (best == 0 || w < best))
			best = (unsigned)w;
	}
	closedir(d);
	return best;
}

enum sp_err
logdir_tile(int dirfd, const struct sp_tlog_tile *t, struct sp_buf *ret)
{
	size_t max = t->level == SP_TLOG_ENTRIES ? LOGDIR_BUNDLE_MAX : SP_TLOG_TILE_BYTES;
	struct sp_tlog_tile other = *t;
	char path[SP_TLOG_PATH_SIZE];
	enum sp_err r;

	if ((r = sp_tlog_tile_path(t, path)) != SP_OK)
		return r;
	r = logdir_file(dirfd, path, max, ret);
	if (r == SP_ENOENT && t->width < SP_TLOG_TILE_WIDTH) {
		other.width = tile_wider(dirfd, path, t->width);
		if (other.width == 0)
			other.width = SP_TLOG_TILE_WIDTH;
		if ((r = sp_tlog_tile_path(&other, path)) == SP_OK)
			r = logdir_file(dirfd, path, max, ret);
	}
	return r == SP_ESIZE ? SP_ECORRUPT : r == SP_OK ? tile_cut(t, ret) : r;
}

enum sp_err
logdir_node(void *arg, unsigned level, uint64_t index, struct sp_tlog_hash *ret)
{
	struct logdir *d = arg;
	struct sp_tlog_tile t;
	struct sp_buf *b;
	enum sp_err r = sp_tlog_tile_of(level, index, d->size, &t);

	if (r != SP_OK)
		return r;
	b = &d->bytes[t.level];
	if (b->len == 0 || d->kept[t.level].n != t.n || d->kept[t.level].width != t.width) {
		if ((r = logdir_tile(d->fd, &t, b)) != SP_OK) {
			b->len = 0;
			return r;
		}
		d->kept[t.level] = t;
	}
	return sp_tlog_tile_node(&t, (struct sp_view){ b->p, b->len }, level, index, ret);
}

enum sp_err
logdir_checkpoint(int dirfd, struct sp_buf *ret_note, struct sp_checkpoint *ret)
{
	struct sp_view text;
	enum sp_err r = logdir_file(dirfd, "checkpoint", SP_NOTE_MAX, ret_note);

	if (r == SP_OK)
		r = sp_note_text((struct sp_view){ ret_note->p, ret_note->len }, &text);
	return r == SP_OK ? sp_checkpoint_parse(text, ret) : r;
}

/* ---- segments ---- */

void
logdir_segment_name(uint64_t first_seq, char dst[LOGDIR_NAME_SIZE])
{
	(void)sp_snprintf(dst, LOGDIR_NAME_SIZE, "audit-%016llx.log", (unsigned long long)first_seq);
}

static int
name_parse(const char *s, uint64_t *ret)
{
	uint8_t b[8];
	char hex[17];

	if (strlen(s) != 26 || strncmp(s, "audit-", 6) != 0 || strcmp(s + 22, ".log") != 0)
		return 0;
	memcpy(hex, s + 6, 16);
	hex[16] = '\0';
	if (sp_hex_parse(hex, b, 8) != SP_OK)
		return 0;
	*ret = 0;
	for (int i = 0; i < 8; i++)
		*ret = *ret << 8 | b[i];
	return 1;
}

static int
seq_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

enum sp_err
logdir_segments(int dirfd, uint64_t **ret, size_t *ret_n)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	sp_auto(sp_freep) uint64_t *seq = NULL;
	size_t n = 0, cap = 0;
	struct dirent *de;

	if (d == NULL) {
		enum sp_err r = sp_err_errno(errno);

		sp_closep(&fd);
		return r;
	}
	while ((de = readdir(d)) != NULL) {
		uint64_t first, *p;

		if (!name_parse(de->d_name, &first))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			if ((p = realloc(seq, cap * sizeof(*p))) == NULL) {
				closedir(d);
				return SP_ENOMEM;
			}
			seq = p;
		}
		seq[n++] = first;
	}
	closedir(d);
	if (n > 1)
		qsort(seq, n, sizeof(*seq), seq_cmp);
	*ret = seq;
	seq = NULL;
	*ret_n = n;
	return SP_OK;
}

static enum sp_err
segment_open(struct logread *r, uint64_t first)
{
	char name[LOGDIR_NAME_SIZE];
	int fd;

	logdir_segment_name(first, name);
	if ((fd = openat(r->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return sp_err_errno(errno);
	sp_closep(&r->fd);
	r->fd = fd;
	r->first = first;
	r->buf.len = r->at = 0;
	return SP_OK;
}

enum sp_err
logread_open(struct logread *r, int dirfd, uint64_t seq)
{
	sp_auto(sp_freep) uint64_t *first = NULL;
	struct sp_view line;
	size_t n = 0;
	enum sp_err e;

	*r = (struct logread){ .dirfd = dirfd, .fd = -1 };
	sp_buf_init(&r->buf, ENTRY_LINE_MAX + 2 * READ_CHUNK);
	if ((e = logdir_segments(dirfd, &first, &n)) != SP_OK)
		return e;
	while (n > 0 && first[n - 1] > seq)
		n--;
	if (n == 0) {
		/* An empty log begins with its first segment, which may be made later. */
		r->first = r->next = 1;
		return seq == 1 ? SP_OK : SP_ENOENT;
	}
	if ((e = segment_open(r, first[n - 1])) != SP_OK)
		return e;
	for (r->next = r->first; r->next < seq; )
		if ((e = logread_next(r, &line)) != SP_OK)
			return e;
	return SP_OK;
}

/* More bytes of the open segment; SP_ENOENT at its end. */
static enum sp_err
read_more(struct logread *r)
{
	ssize_t n;
	enum sp_err e;

	if (r->at > 0) {
		memmove(r->buf.p, r->buf.p + r->at, r->buf.len - r->at);
		r->buf.len -= r->at;
		r->at = 0;
	}
	if ((e = sp_buf_reserve(&r->buf, READ_CHUNK)) != SP_OK)
		return e == SP_ESIZE ? SP_ECORRUPT : e;
	do
		n = read(r->fd, r->buf.p + r->buf.len, READ_CHUNK - 1);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return sp_err_errno(errno);
	r->buf.len += (size_t)n;
	return n > 0 ? SP_OK : SP_ENOENT;
}

enum sp_err
logread_next(struct logread *r, struct sp_view *ret)
{
	size_t seen = r->at;
	enum sp_err e;

	if (r->fd == -1 && (e = segment_open(r, r->next)) != SP_OK)
		return e;
	for (;;) {
		const uint8_t *nl = r->buf.len > seen ? memchr(r->buf.p + seen, '\n', r->buf.len - seen) : NULL;

		if (nl != NULL) {
			*ret = (struct sp_view){ r->buf.p + r->at, (size_t)(nl - (r->buf.p + r->at)) };
			r->at += ret->len + 1;
			r->next++;
			return SP_OK;
		}
		seen = r->buf.len - r->at;	/* after read_more() moved the rest to the front */
		e = read_more(r);
		if (e == SP_ENOENT && r->buf.len == 0 && r->next > r->first)
			e = segment_open(r, r->next);
		else if (e == SP_ENOENT)
			return SP_ENOENT;	/* a line that is being written, or a torn one */
		if (e != SP_OK)
			return e;
		seen = r->buf.len > seen ? seen : 0;
	}
}

void
logread_release(struct logread *r)
{
	sp_closep(&r->fd);
	sp_buf_release(&r->buf);
}
