/* src/scribe/recwriter.c - see recwriter.h. */
#include "scribe/recwriter.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#define STEP_MIN	(64u * 1024)
#define STEP_MAX	(4u * 1024 * 1024)

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

/* Write all of iov at the position, or nothing that counts. */
static enum sp_err
writer_writev(struct sp_recwriter *w, struct iovec *iov, int n)
{
	uint64_t at = w->off;

	while (n > 0) {
		ssize_t k = pwritev(w->fd, iov, n, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return writer_err(k == 0 ? EIO : errno);
		at += (uint64_t)k;
		for (; n > 0 && (size_t)k >= iov->iov_len; n--, iov++)
			k -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + k;
			iov->iov_len -= (size_t)k;
		}
	}
	w->off = at;
	w->dirty = 1;
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

enum sp_err
sp_recwriter_init(struct sp_recwriter *w, int fd, uint64_t start_us, uint64_t min_free_bytes)
{
	uint8_t prefix[SP_REC_PREFIX];
	struct iovec iov = { prefix, sizeof(prefix) };
	enum sp_err r;

	*w = (struct sp_recwriter){ .fd = fd, .start_us = start_us, .min_free_bytes = min_free_bytes };
	sp_rec_prefix(prefix);
	if ((r = writer_grow(w, SP_REC_PREFIX + SP_RECWRITER_RESERVE)) != SP_OK)
		return r;
	return writer_writev(w, &iov, 1);
}

void
sp_recwriter_release(struct sp_recwriter *w)
{
	sp_closep(&w->fd);
	free(w->buf);
	w->buf = NULL;
	w->n = 0;
}

uint64_t
sp_recwriter_end(const struct sp_recwriter *w)
{
	return w->off + w->n;
}

enum sp_err
sp_recwriter_flush(struct sp_recwriter *w)
{
	struct iovec iov = { w->buf, w->n };

	if (w->n == 0)
		return SP_OK;
	w->n = 0;	/* whether it succeeds or not: a half-written record is never continued */
	return writer_writev(w, &iov, 1);
}

static enum sp_err
writer_buffer(struct sp_recwriter *w, const struct sp_rec *r, const uint8_t *head, const uint8_t *crc)
{
	if (w->buf == NULL && (w->buf = malloc(SP_RECWRITER_BUF)) == NULL)
		return SP_ENOMEM;
	memcpy(w->buf + w->n, head, SP_REC_HEAD);
	if (r->data.len > 0)
		memcpy(w->buf + w->n + SP_REC_HEAD, r->data.p, r->data.len);
	memcpy(w->buf + w->n + SP_REC_HEAD + r->data.len, crc, SP_REC_CRC);
	w->n += SP_REC_HEAD + r->data.len + SP_REC_CRC;
	return SP_OK;
}

enum sp_err
sp_recwriter_put(struct sp_recwriter *w, struct sp_rec *r, uint64_t at_us, int last)
{
	uint8_t head[SP_REC_HEAD], crc[SP_REC_CRC];
	struct iovec iov[3] = { { head, sizeof(head) }, { NULL, r->data.len }, { crc, sizeof(crc) } };
	size_t total = SP_REC_HEAD + r->data.len + SP_REC_CRC;
	enum sp_err e;

	if (r->data.len > SP_REC_PAYLOAD_MAX)
		return SP_ESIZE;
	if (!last && (e = writer_grow(w, sp_recwriter_end(w) + total + SP_RECWRITER_RESERVE)) != SP_OK)
		return e;
	if (at_us > w->last_us)
		w->last_us = at_us;
	r->delta_us = w->last_us > w->start_us ? w->last_us - w->start_us : 0;
	sp_rec_encode(r, head, crc);
	if (total > SP_RECWRITER_BUF - w->n && (e = sp_recwriter_flush(w)) != SP_OK)
		return e;
	if (total <= SP_RECWRITER_BUF / 4)
		return writer_buffer(w, r, head, crc);
	if ((e = sp_recwriter_flush(w)) != SP_OK)
		return e;
	memcpy(&iov[1].iov_base, &r->data.p, sizeof(r->data.p));	/* pwritev(2) does not write through it */
	return writer_writev(w, iov, 3);
}

enum sp_err
sp_recwriter_finish(struct sp_recwriter *w)
{
	enum sp_err r = sp_recwriter_flush(w);

	/* Also cuts what a failed write left behind the last whole record. */
	if (ftruncate(w->fd, (off_t)w->off) == -1 && r == SP_OK)
		r = sp_err_errno(errno);
	if (fsync(w->fd) == -1)
		return SP_EIO;
	return r;
}

enum sp_err
sp_recwriter_retry(struct sp_recwriter *w)
{
	return writer_grow(w, sp_recwriter_end(w) + SP_RECWRITER_RESERVE + STEP_MIN);
}
