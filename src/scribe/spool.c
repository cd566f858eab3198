/* src/scribe/spool.c - see spool.h.
 * The file is written from its beginning again whenever everything in it is acknowledged: it is not cut, so the disk
 * space stays ours. The head keeps the last number from before that, so that a dead scribe's END gets the next one. A
 * record is { u32 length, packed Event, u32 CRC-32C }; a zero length follows the last one. Older records behind it cannot
 * be mistaken for newer ones: their numbers do not go on from the last. */
#include "scribe/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "sallyport.pb-c.h"
#include "scribe/crc32c.h"

#define MAGIC		"SPSPOOL1"
#define BASE_OFF	(8u + SP_UUID_LEN)
#define HEAD		(BASE_OFF + 8u)
#define EVENT_MAX	(192u * 1024)
#define FRAME		8u		/* length and checksum */
#define QUEUE_SHORT	(256u * 1024)

static enum sp_err
spool_write(struct sp_spool *s, const void *p, size_t n, uint64_t at)
{
	const uint8_t *b = p;

	while (n > 0) {
		ssize_t k = pwrite(s->fd, b, n, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return k == -1 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) ? SP_ENOSPC : SP_EIO;
		b += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	s->dirty = 1;
	return SP_OK;
}

static enum sp_err
spool_read(const struct sp_spool *s, void *p, size_t n, uint64_t at)
{
	uint8_t *b = p;

	while (n > 0) {
		ssize_t k = pread(s->fd, b, n, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k == -1)
			return SP_EIO;
		if (k == 0)
			return SP_ESHORT;
		b += k;
		n -= (size_t)k;
		at += (uint64_t)k;
	}
	return SP_OK;
}

/* The lock goes with the open file: it ends with the process that holds it. */
static enum sp_err
spool_lock(int fd)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return SP_OK;
	return errno == EAGAIN || errno == EACCES ? SP_EBUSY : sp_err_errno(errno);
}

static enum sp_err
spool_begin(struct sp_spool *s)
{
	uint8_t head[HEAD] = { 0 };
	int e = posix_fallocate(s->fd, 0, SP_SPOOL_KEEP);

	if (e != 0 && e != EOPNOTSUPP && e != EINVAL)
		return e == ENOSPC || e == EDQUOT || e == EFBIG ? SP_ENOSPC : SP_EIO;
	memcpy(head, MAGIC, 8);
	memcpy(head + 8, s->session.b, SP_UUID_LEN);
	s->write_off = s->send_off = HEAD;
	return spool_write(s, head, sizeof(head), 0);
}

enum sp_err
sp_spool_create(int dirfd, const struct sp_uuid *session, struct sp_spool *ret)
{
	struct sp_spool s = { .fd = -1, .session = *session };
	char name[SP_UUID_SIZE];
	enum sp_err r;

	s.fd = openat(dirfd, sp_uuid_text(session, name), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s.fd == -1)
		return sp_err_errno(errno);
	if ((r = spool_lock(s.fd)) != SP_OK || (r = spool_begin(&s)) != SP_OK) {
		(void)unlinkat(dirfd, name, 0);
		sp_spool_release(&s);
		return r;
	}
	*ret = s;
	return SP_OK;
}

/* Read and check the record at `at`. ev is to be freed by the caller. SP_ENOENT: no record follows. */
static enum sp_err
spool_get(const struct sp_spool *s, uint64_t at, Sallyport__Event **ret_ev, uint64_t *ret_next)
{
	sp_auto(sp_freep) uint8_t *p = NULL;
	Sallyport__Event *ev;
	uint32_t len, crc;

	if (spool_read(s, &len, sizeof(len), at) != SP_OK || len == 0 || len > EVENT_MAX)
		return SP_ENOENT;
	if ((p = malloc(len)) == NULL)
		return SP_ENOMEM;
	if (spool_read(s, p, len, at + sizeof(len)) != SP_OK ||
	    spool_read(s, &crc, sizeof(crc), at + sizeof(len) + len) != SP_OK || sp_crc32c(0, p, len) != crc ||
	    (ev = sallyport__event__unpack(NULL, len, p)) == NULL)
		return SP_ENOENT;
	*ret_ev = ev;
	*ret_next = at + FRAME + len;
	return SP_OK;
}

/* Find the last event. */
static enum sp_err
spool_scan(struct sp_spool *s)
{
	uint64_t at = HEAD, next;
	Sallyport__Event *ev;
	enum sp_err r;

	while ((r = spool_get(s, at, &ev, &next)) == SP_OK) {
		int good = ev->session_id.len == SP_UUID_LEN && memcmp(ev->session_id.data, s->session.b, SP_UUID_LEN) == 0 &&
		    ev->seq == s->last_seq + 1;

		if (good) {
			s->last_seq = ev->seq;
			(void)sp_strlcpy(s->last_kind, ev->kind, sizeof(s->last_kind));
			at = next;
		}
		sallyport__event__free_unpacked(ev, NULL);
		if (!good)
			break;
	}
	s->write_off = at;
	s->send_off = HEAD;
	return r == SP_ENOMEM ? r : SP_OK;
}

enum sp_err
sp_spool_open(int dirfd, const struct sp_uuid *session, struct sp_spool *ret)
{
	struct sp_spool s = { .fd = -1, .session = *session };
	char name[SP_UUID_SIZE];
	uint8_t head[HEAD] = { 0 };
	enum sp_err r;

	s.fd = openat(dirfd, sp_uuid_text(session, name), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (s.fd == -1)
		return sp_err_errno(errno);
	if ((r = spool_lock(s.fd)) == SP_OK && (r = spool_read(&s, head, sizeof(head), 0)) != SP_OK)
		r = r == SP_ESHORT ? SP_ECORRUPT : r;
	if (r == SP_OK && (memcmp(head, MAGIC, 8) != 0 || memcmp(head + 8, session->b, SP_UUID_LEN) != 0))
		r = SP_ECORRUPT;
	memcpy(&s.last_seq, head + BASE_OFF, sizeof(s.last_seq));
	s.acked_seq = s.sent_seq = s.last_seq;
	if (r != SP_OK || (r = spool_scan(&s)) != SP_OK) {
		sp_spool_release(&s);
		return r;
	}
	*ret = s;
	return SP_OK;
}

void
sp_spool_release(struct sp_spool *s)
{
	sp_closep(&s->fd);
}

enum sp_err
sp_spool_append(struct sp_spool *s, const char *kind, int64_t wall_us, uint64_t mono_us, struct sp_view body)
{
	sp_auto(sp_freep) uint8_t *p = NULL;
	Sallyport__Event ev = SALLYPORT__EVENT__INIT;
	char kind_copy[sizeof(s->last_kind)];
	uint32_t len, crc, zero = 0;
	enum sp_err r;

	if (body.len > SP_SPOOL_BODY || sp_strlcpy(kind_copy, kind, sizeof(kind_copy)) != 0)
		return SP_ESIZE;
	ev.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, s->session.b };
	ev.seq = s->last_seq + 1;
	ev.kind = kind_copy;
	ev.wall_us = wall_us;
	ev.mono_us = mono_us;
	ev.body.len = body.len;
	memcpy(&ev.body.data, &body.p, sizeof(body.p));	/* packing does not write through it */
	len = (uint32_t)sallyport__event__get_packed_size(&ev);
	if ((p = malloc(len + FRAME + sizeof(zero))) == NULL)
		return SP_ENOMEM;
	memcpy(p, &len, sizeof(len));
	(void)sallyport__event__pack(&ev, p + sizeof(len));
	crc = sp_crc32c(0, p + sizeof(len), len);
	memcpy(p + sizeof(len) + len, &crc, sizeof(crc));
	memcpy(p + FRAME + len, &zero, sizeof(zero));
	if ((r = spool_write(s, p, len + FRAME + sizeof(zero), s->write_off)) != SP_OK)
		return r;
	s->write_off += FRAME + len;
	s->last_seq++;
	(void)sp_strlcpy(s->last_kind, kind_copy, sizeof(s->last_kind));
	return SP_OK;
}

enum sp_err
sp_spool_sync(struct sp_spool *s)
{
	if (!s->dirty)
		return SP_OK;
	s->dirty = 0;
	return fdatasync(s->fd) == 0 ? SP_OK : SP_EIO;
}

int
sp_spool_full(const struct sp_spool *s)
{
	return s->write_off > SP_SPOOL_MAX;
}

enum sp_err
sp_spool_pump(struct sp_spool *s, struct sp_chan *control)
{
	while (s->sent_seq < s->last_seq && sp_chan_queued(control) < QUEUE_SHORT) {
		Sallyport__Event *ev;
		uint64_t next;
		enum sp_err r = spool_get(s, s->send_off, &ev, &next);

		if (r != SP_OK)
			return r == SP_ENOENT ? SP_ECORRUPT : r;	/* we wrote it ourselves */
		if (ev->seq > s->acked_seq)
			r = sp_chan_send(control, SP_MSG_EVENT, 0, ev, NULL, 0);
		if (r == SP_OK) {
			s->sent_seq = ev->seq;
			s->send_off = next;
		}
		sallyport__event__free_unpacked(ev, NULL);
		if (r != SP_OK)
			return r;
	}
	return SP_OK;
}

void
sp_spool_ack(struct sp_spool *s, uint64_t seq)
{
	uint8_t base[sizeof(uint64_t) + sizeof(uint32_t)] = { 0 };

	if (seq > s->sent_seq)
		seq = s->sent_seq;
	if (seq <= s->acked_seq)
		return;
	s->acked_seq = seq;
	if (s->acked_seq != s->last_seq || strcmp(s->last_kind, "end") == 0)
		return;
	/* From the beginning again. If this write fails, what is read later is sent later: a repeat is harmless. */
	memcpy(base, &s->last_seq, sizeof(s->last_seq));
	(void)spool_write(s, base, sizeof(base), BASE_OFF);
	s->write_off = s->send_off = HEAD;
	if (lseek(s->fd, 0, SEEK_END) > (off_t)SP_SPOOL_KEEP)
		(void)!ftruncate(s->fd, SP_SPOOL_KEEP);
}

int
sp_spool_settled(const struct sp_spool *s)
{
	return s->acked_seq == s->last_seq;
}

void
sp_spool_rewind(struct sp_spool *s)
{
	s->send_off = HEAD;
	s->sent_seq = s->acked_seq;
}

void
sp_spool_finish(struct sp_spool *s)
{
	(void)!ftruncate(s->fd, 0);
	(void)fsync(s->fd);
}
