/* tests/fuzz/fuzz_sftp.c - a conversation: blocks of u8 side (bit 0), u8 length, bytes. However the bytes are cut, the same
 * is decoded; every byte is handed out once; nothing beyond the limits is kept. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sftp.h"

#define MAX	8u

struct seen {
	uint64_t sum, bytes[2];
	enum sp_err err;
};

static void
add(struct seen *s, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		s->sum = (s->sum ^ b[i]) * 0x100000001b3u;
}

/* The same paths in the place of its own: the same request. */
static void
moved(const struct sp_sftp_item *it)
{
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, SP_SFTP_HEAD_MAX + 4);
	r = sp_sftp_put_moved(&b, it->req->op, it->wire, it->req->path, it->req->to);
	if (r != SP_EINVAL && (r != SP_OK || b.len != it->wire.len || memcmp(b.p, it->wire.p, b.len) != 0))
		abort();
	sp_buf_release(&b);
}

/* A request of one's own, beside those of the client. */
static void
own(struct sp_sftp *f, const struct sp_sftp_request *q)
{
	struct sp_buf b;

	sp_buf_init(&b, SP_SFTP_HEAD_MAX + 64);
	if (sp_sftp_ask(f, SP_SFTP_LSTAT, sp_sftp_free_ids(f, 3), q->path, &b) != SP_OK || b.len != q->path.len + 13)
		abort();
	sp_buf_release(&b);
}

static void
feed(struct sp_sftp *f, enum sp_sftp_side side, struct sp_view v, struct seen *s)
{
	struct sp_sftp_item it;

	while (s->err == SP_OK) {
		if ((s->err = sp_sftp_next(f, side, &v, &it)) == SP_EAGAIN && side == SP_SFTP_CLIENT) {
			s->err = SP_OK;
			add(s, "full", 4);
			return;		/* the rest is dropped: by both, as a packet starts here */
		}
		if (s->err != SP_OK || it.what == SP_SFTP_MORE)
			return;
		add(s, it.wire.p, it.wire.len);
		s->bytes[side] += it.wire.len;
		if (it.what == SP_SFTP_HEAD && it.req != NULL) {
			add(s, &it.req->op, sizeof(it.req->op));
			add(s, it.req->path.p, it.req->path.len);
			add(s, it.req->to.p, it.req->to.len);
			if (it.req->handle != NULL)
				add(s, it.req->handle->path.p, it.req->handle->path.len);
			if (side == SP_SFTP_CLIENT)
				moved(&it);
			if (side == SP_SFTP_CLIENT && it.req->op == SP_SFTP_REMOVE)
				sp_sftp_refuse(f);
			else if (side == SP_SFTP_CLIENT && it.req->op == SP_SFTP_READLINK)
				own(f, it.req);
		}
		if (sp_sftp_handles(f) > 2 * MAX)
			abort();
	}
}

static struct seen
run(const uint8_t *p, size_t n, size_t piece)
{
	struct seen s = { .sum = 1 };
	struct sp_sftp *f;

	if (sp_sftp_new(MAX, &f) != SP_OK)
		abort();
	while (n >= 2 && s.err == SP_OK) {
		enum sp_sftp_side side = p[0] & 1 ? SP_SFTP_SERVER : SP_SFTP_CLIENT;
		size_t len = p[1] < n - 2 ? p[1] : n - 2;

		for (size_t at = 0; at < len && s.err == SP_OK; at += piece)
			feed(f, side, (struct sp_view){ p + 2 + at, len - at < piece ? len - at : piece }, &s);
		p += 2 + len;
		n -= 2 + len;
	}
	sp_sftp_free(f);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a = run(data, size, 256), b = run(data, size, 256);

	if (a.sum != b.sum || a.err != b.err || a.bytes[0] > size || a.bytes[1] > size)
		abort();
	if (a.err == SP_OK) {	/* pieces: a full table drops other bytes, so only while it was never full */
		b = run(data, size, 1);
		if (b.err == SP_OK && a.bytes[0] == b.bytes[0] && a.bytes[1] == b.bytes[1] && a.sum != b.sum)
			abort();
	}
	return 0;
}
