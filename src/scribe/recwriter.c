/* src/scribe/recwriter.c - see recwriter.h.
 *
 *	lines -> frame (128 KiB, 5 min) -> zstd, one shot -> packed -> 64 KiB -> age chunk -> file, hash
 *	            `--------- every tick ---------`--> tail file A or B, in turns
 *
 * A tail file begins with the packed bytes that fill no chunk yet; the open frame's lines follow as they come. When a frame
 * was closed the other file is begun, so the one before stays whole until the new one is. */
#include "scribe/recwriter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

#define STEP_MIN	(64u * 1024)
#define STEP_MAX	(4u * 1024 * 1024)
#define SLACK		(16u * 1024)		/* of the last chunk, and of what an end says */
#define ZSTD_LEVEL	3
#define ZSTD_WINDOW	17			/* a frame */
#define ZSTD_KEEP_US	(1000ull * 1000)
#define LINE_SLACK	(SP_REC_FRAME_MAX + SP_REC_LINE_MAX)

_Static_assert(LINE_SLACK < SP_TAIL_DATA_MAX, "an open frame fits in one record of the tail");

enum sp_err
sp_fs_free(int fd, uint64_t *ret_bytes)
{
	struct statvfs v;

	if (fstatvfs(fd, &v) == -1)
		return sp_err_errno(errno);
	*ret_bytes = (uint64_t)v.f_bavail * v.f_frsize;
	return SP_OK;
}

/* What a failed write means to the recording. */
static enum sp_err
writer_err(int errnum)
{
	return errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG ? SP_ENOSPC : SP_EIO;
}

static enum sp_err
writer_pwrite(int fd, const uint8_t *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t k = pwrite(fd, p, n, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return writer_err(k == 0 ? EIO : errno);
		p += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	return SP_OK;
}

/* Own disk space up to `end`. Longer files grow in longer steps. */
static enum sp_err
writer_grow(struct sp_recwriter *w, uint64_t end)
{
	uint64_t step = w->off / 8, avail = 0, goal;
	enum sp_err r;

	if (end <= w->alloc_end)
		return SP_OK;
	step = step < STEP_MIN ? STEP_MIN : step > STEP_MAX ? STEP_MAX : step;
	goal = end + step;
	if ((r = sp_fs_free(w->fd, &avail)) != SP_OK)
		return r;
	w->low = avail < w->low_bytes;
	if (avail < w->min_free_bytes)
		return SP_ENOSPC;
	while (fallocate(w->fd, FALLOC_FL_KEEP_SIZE, (off_t)w->alloc_end, (off_t)(goal - w->alloc_end)) == -1) {
		if (errno == EINTR)
			continue;
		if (errno == EOPNOTSUPP || errno == ENOSYS) {
			w->alloc_end = UINT64_MAX;	/* no promise possible here: writes tell */
			return SP_OK;
		}
		return writer_err(errno);
	}
	w->alloc_end = goal;
	return SP_OK;
}

/* Where the file would end at most, had these lines come and were this the end. */
static uint64_t
writer_bound(const struct sp_recwriter *w, size_t more)
{
	size_t left = w->packed.len + ZSTD_compressBound(w->frame.len + more);

	return w->off + left + (left / SP_AGE_CHUNK + 2) * (SP_AGE_SEALED_CHUNK - SP_AGE_CHUNK) + SP_REC_INDEX_BYTES(w->index_n + 1) + SLACK;
}

/* ---- begin and end ---- */

static enum sp_err
writer_header(struct sp_recwriter *w, const struct sp_age_recipient *to, size_t n)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_AGE_HEADER_MAX + SP_AGE_NONCE };
	sp_auto_secret file_key = { 0 }, nonce = { 0 };
	size_t header;
	enum sp_err r;

	if ((r = sp_secret_random(SP_AGE_FILE_KEY, &file_key)) != SP_OK || (r = sp_secret_random(SP_AGE_NONCE, &nonce)) != SP_OK ||
	    (r = sp_age_header_write(&file_key, to, n, &b)) != SP_OK)
		return r;
	header = b.len;
	if ((r = sp_buf_append(&b, nonce.p, SP_AGE_NONCE)) != SP_OK || (r = sp_age_payload_key(&file_key, nonce.p, &w->key)) != SP_OK ||
	    (r = sp_tail_key(&file_key, nonce.p, &w->tail_key)) != SP_OK || (r = writer_grow(w, b.len + SLACK)) != SP_OK ||
	    (r = writer_pwrite(w->fd, b.p, b.len, 0)) != SP_OK)
		return r;
	sp_sha256(b.p, header, w->header_hash);
	sp_sha256_add(&w->payload, b.p + header, SP_AGE_NONCE);
	w->payload_bytes = SP_AGE_NONCE;
	w->off = b.len;
	w->dirty = 1;
	return SP_OK;
}

enum sp_err
sp_recwriter_init(struct sp_recwriter *w, int fd, const int tail_fd[2], const struct sp_age_recipient *to, size_t to_n,
    uint64_t start_us, uint64_t min_free_bytes)
{
	*w = (struct sp_recwriter){ .fd = fd, .tail_fd = { tail_fd[0], tail_fd[1] }, .start_us = start_us,
	    .min_free_bytes = min_free_bytes, .stride = 1 };
	sp_buf_init(&w->frame, LINE_SLACK);
	sp_buf_init(&w->packed, SP_AGE_CHUNK + 2 * LINE_SLACK + SP_REC_INDEX_BYTES(SP_REC_INDEX_MAX));
	sp_buf_init(&w->sealed, SP_AGE_SEALED_CHUNK);
	sp_buf_init(&w->tail, 2 * (SP_TAIL_DATA_MAX + SLACK));
	sp_sha256_begin(&w->payload);
	return writer_header(w, to, to_n);
}

void
sp_recwriter_release(struct sp_recwriter *w)
{
	sp_closep(&w->fd);
	sp_closep(&w->tail_fd[0]);
	sp_closep(&w->tail_fd[1]);
	sp_secret_release(&w->key);
	sp_secret_release(&w->tail_key);
	sp_buf_release(&w->frame);
	sp_buf_release(&w->packed);
	sp_buf_release(&w->sealed);
	sp_buf_release(&w->tail);
	ZSTD_freeCCtx(w->zstd);
	w->zstd = NULL;
	free(w->index);
	w->index = NULL;
}

uint64_t
sp_recwriter_time(const struct sp_recwriter *w, uint64_t at_us)
{
	uint64_t t = at_us > w->start_us ? at_us - w->start_us : 0;

	return t > w->last_us ? t : w->last_us;
}

int
sp_recwriter_fresh(const struct sp_recwriter *w)
{
	return w->frame.len == 0;
}

uint64_t
sp_recwriter_lines(const struct sp_recwriter *w)
{
	return w->line_off + w->frame.len;
}

/* ---- chunks ---- */

/* Seal and write the chunk at the front of `packed`. The seal is kept until it is written. */
static enum sp_err
writer_chunk(struct sp_recwriter *w, size_t n, int last)
{
	enum sp_err r;

	if (!w->chunk_sealed) {
		sp_buf_reset(&w->sealed);
		if ((r = sp_age_seal(&w->key, w->chunk_n, last, (struct sp_view){ w->packed.p, n }, &w->sealed)) != SP_OK)
			return r;
		w->chunk_sealed = 1;
	}
	if ((r = writer_pwrite(w->fd, w->sealed.p, w->sealed.len, w->off)) != SP_OK)
		return r;
	sp_sha256_add(&w->payload, w->sealed.p, w->sealed.len);
	w->payload_bytes += w->sealed.len;
	w->off += w->sealed.len;
	w->packed_off += n;
	w->chunk_n++;
	w->chunk_sealed = 0;
	w->dirty = 1;
	sp_buf_consume(&w->packed, n);
	return SP_OK;
}

/* The last chunk has a flag of its own and may not be empty, so one byte at least is kept back. */
static enum sp_err
writer_chunks(struct sp_recwriter *w)
{
	enum sp_err r = SP_OK;

	while (r == SP_OK && w->packed.len > SP_AGE_CHUNK)
		r = writer_chunk(w, SP_AGE_CHUNK, 0);
	return r;
}

/* ---- frames ---- */

/* When there are too many entries every second one goes, and half as many are made from then on. */
static enum sp_err
index_add(struct sp_recwriter *w, struct sp_rec_index e)
{
	if (w->frame_n++ % w->stride != 0)
		return SP_OK;
	if (w->index_n == SP_REC_INDEX_MAX) {
		for (size_t i = 0; i < SP_REC_INDEX_MAX / 2; i++)
			w->index[i] = w->index[2 * i];
		w->index_n = SP_REC_INDEX_MAX / 2;
		w->stride *= 2;
		if ((w->frame_n - 1) % w->stride != 0)
			return SP_OK;
	}
	if (w->index_n == w->index_cap) {
		size_t cap = w->index_cap == 0 ? 16 : w->index_cap * 2;
		struct sp_rec_index *v = reallocarray(w->index, cap, sizeof(*v));

		if (v == NULL)
			return SP_ENOMEM;
		w->index = v;
		w->index_cap = cap;
	}
	w->index[w->index_n++] = e;
	return SP_OK;
}

static enum sp_err
zstd_start(struct sp_recwriter *w)
{
	if (w->zstd != NULL)
		return SP_OK;
	if ((w->zstd = ZSTD_createCCtx()) == NULL)
		return SP_ENOMEM;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_windowLog, ZSTD_WINDOW)))
		return SP_EINTERNAL;
	return SP_OK;
}

static enum sp_err
frame_close(struct sp_recwriter *w)
{
	struct sp_rec_index e = { w->frame_us, w->packed_off + w->packed.len, w->line_off };
	size_t n, bound = ZSTD_compressBound(w->frame.len);
	enum sp_err r;

	if (w->frame.len == 0)
		return SP_OK;
	if ((r = zstd_start(w)) != SP_OK || (r = sp_buf_reserve(&w->packed, bound)) != SP_OK || (r = index_add(w, e)) != SP_OK)
		return r;
	n = ZSTD_compress2(w->zstd, w->packed.p + w->packed.len, bound, w->frame.p, w->frame.len);
	if (ZSTD_isError(n))
		return SP_EINTERNAL;
	w->packed.len += n;
	w->line_off += w->frame.len;
	sp_buf_reset(&w->frame);
	w->closed_us = w->last_us;
	return writer_chunks(w);
}

enum sp_err
sp_recwriter_room(struct sp_recwriter *w, size_t n, int last)
{
	enum sp_err r;

	if (n > SP_REC_LINE_MAX)
		return SP_ESIZE;
	if (!last && w->quota_bytes > 0 && w->off + w->packed.len > w->quota_bytes)
		return SP_EFULL;
	if (!last && (r = writer_grow(w, writer_bound(w, n + SP_REC_KEY_MAX))) != SP_OK)
		return r;
	if ((r = writer_chunks(w)) != SP_OK)	/* what a full disk held up */
		return r;
	return w->frame.len + n > SP_REC_FRAME_MAX ? frame_close(w) : SP_OK;
}

enum sp_err
sp_recwriter_put(struct sp_recwriter *w, uint64_t time_us, struct sp_view lines, int last)
{
	enum sp_err r;

	if (lines.len > SP_REC_LINE_MAX)
		return SP_ESIZE;
	if (!last && (r = writer_grow(w, writer_bound(w, lines.len))) != SP_OK)
		return r;
	if ((r = sp_buf_append(&w->frame, lines.p, lines.len)) != SP_OK)
		return r;
	if (w->frame.len == lines.len)
		w->frame_us = time_us;
	w->last_us = time_us;
	return SP_OK;
}

/* ---- tail ---- */

static enum sp_err
tail_add(struct sp_recwriter *w, enum sp_tail_type type, uint64_t off, struct sp_view data)
{
	struct sp_tail t = { type, off, data };

	return data.len == 0 ? SP_OK : sp_tail_seal(&w->tail_key, w->tail_generation, w->tail_number++, &t, &w->tail);
}

/* Begin the other file: closed frames first, in pieces that fit. */
static enum sp_err
tail_turn(struct sp_recwriter *w)
{
	enum sp_err r;

	w->tail_generation++;
	w->tail_off = 0;
	w->tail_frame_n = 0;
	w->tail_line_off = w->line_off;
	if (ftruncate(w->tail_fd[w->tail_generation % 2], 0) == -1)
		return SP_EIO;
	if ((r = sp_tail_head(&w->tail, w->tail_generation)) != SP_OK)
		return r;
	return tail_add(w, SP_TAIL_PACKED, w->packed_off, (struct sp_view){ w->packed.p, w->packed.len });
}

/* A tail that could not be written is begun anew by the next tick: it may be half there. */
static enum sp_err
tail_write(struct sp_recwriter *w)
{
	int turn = w->tail_generation == 0 || w->tail_line_off != w->line_off;
	enum sp_err r = SP_OK;

	if (!turn && w->tail_frame_n == w->frame.len)
		return SP_OK;
	sp_buf_reset(&w->tail);
	if (turn)
		r = tail_turn(w);
	if (r == SP_OK)
		r = tail_add(w, SP_TAIL_LINES, w->line_off + w->tail_frame_n,
		    (struct sp_view){ w->frame.p + w->tail_frame_n, w->frame.len - w->tail_frame_n });
	if (r == SP_OK)
		r = writer_pwrite(w->tail_fd[w->tail_generation % 2], w->tail.p, w->tail.len, w->tail_off);
	if (r != SP_OK) {
		w->tail_line_off = UINT64_MAX;
		return r;
	}
	w->tail_off += w->tail.len;
	w->tail_frame_n = w->frame.len;
	w->dirty = 1;
	return SP_OK;
}

enum sp_err
sp_recwriter_tick(struct sp_recwriter *w)
{
	enum sp_err r = writer_chunks(w);

	if (r == SP_OK && w->frame.len > 0 && w->last_us - w->frame_us >= SP_REC_FRAME_US)
		r = frame_close(w);
	if (r == SP_OK)
		r = tail_write(w);
	if (w->zstd != NULL && w->last_us - w->closed_us > ZSTD_KEEP_US) {
		ZSTD_freeCCtx(w->zstd);
		w->zstd = NULL;
	}
	return r;
}

enum sp_err
sp_recwriter_finish(struct sp_recwriter *w)
{
	enum sp_err r;

	if ((r = frame_close(w)) != SP_OK || (r = sp_rec_index_write(&w->packed, w->index, w->index_n, w->last_us)) != SP_OK ||
	    (r = writer_chunks(w)) != SP_OK || (r = writer_chunk(w, w->packed.len, 1)) != SP_OK)
		return r;
	/* Also cuts what a failed write left behind. */
	if (ftruncate(w->fd, (off_t)w->off) == -1)
		r = sp_err_errno(errno);
	if (fsync(w->fd) == -1)
		return SP_EIO;
	for (int i = 0; r == SP_OK && i < 2; i++)
		if (ftruncate(w->tail_fd[i], 0) == -1)
			r = SP_EIO;
	return r;
}

enum sp_err
sp_recwriter_retry(struct sp_recwriter *w)
{
	enum sp_err r = writer_grow(w, writer_bound(w, STEP_MIN));

	return r == SP_OK ? writer_chunks(w) : r;
}
