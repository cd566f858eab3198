/* src/scribe/recfile.c - see recfile.h. Process: scribe (watching), the command line (reading). */
#include "scribe/recfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scribe/crc32c.h"

#define READ_BLOCK	(64u * 1024)

static void
put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t
get_le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void
sp_rec_prefix(uint8_t dst[SP_REC_PREFIX])
{
	memset(dst, 0, SP_REC_PREFIX);
	memcpy(dst, SP_REC_MAGIC, 8);
	put_le32(dst + 8, SP_REC_VERSION);
}

enum sp_err
sp_rec_read_prefix(struct sp_view *v, struct sp_view *ret_rest)
{
	if (v->len < SP_REC_PREFIX)
		return SP_ESHORT;
	if (memcmp(v->p, SP_REC_MAGIC, 8) != 0)
		return SP_EFORMAT;
	if (get_le32(v->p + 8) != SP_REC_VERSION || get_le32(v->p + 12) != 0)
		return SP_EVERSION;
	*ret_rest = (struct sp_view){ v->p + SP_REC_PREFIX, v->len - SP_REC_PREFIX };
	return SP_OK;
}

void
sp_rec_encode(const struct sp_rec *r, uint8_t head[SP_REC_HEAD], uint8_t crc[SP_REC_CRC])
{
	uint32_t c;

	put_le32(head, (uint32_t)r->data.len);
	head[4] = r->type;
	head[5] = r->stream;
	head[6] = head[7] = 0;
	put_le32(head + 8, r->channel);
	put_le32(head + 12, (uint32_t)r->delta_us);
	put_le32(head + 16, (uint32_t)(r->delta_us >> 32));
	c = sp_crc32c(0, head, SP_REC_HEAD);
	put_le32(crc, r->data.len > 0 ? sp_crc32c(c, r->data.p, r->data.len) : c);
}

enum sp_err
sp_rec_peek(struct sp_view v, size_t *ret_len, uint8_t *ret_type, uint32_t *ret_channel)
{
	if (v.len < SP_REC_HEAD)
		return SP_ESHORT;
	if (get_le32(v.p) > SP_REC_PAYLOAD_MAX)
		return SP_ESIZE;
	*ret_len = get_le32(v.p);
	*ret_type = v.p[4];
	*ret_channel = get_le32(v.p + 8);
	return SP_OK;
}

enum sp_err
sp_rec_next(struct sp_view *v, struct sp_rec *ret)
{
	const uint8_t *p = v->p;
	uint32_t channel;
	uint8_t type;
	size_t len;
	enum sp_err r;

	if ((r = sp_rec_peek(*v, &len, &type, &channel)) != SP_OK)
		return r;
	if (v->len - SP_REC_HEAD < len + SP_REC_CRC)
		return SP_ESHORT;
	if (sp_crc32c(0, p, SP_REC_HEAD + len) != get_le32(p + SP_REC_HEAD + len))
		return SP_ECORRUPT;
	*ret = (struct sp_rec){ .type = type, .stream = p[5], .channel = channel,
	    .delta_us = get_le32(p + 12) | (uint64_t)get_le32(p + 16) << 32, .data = { p + SP_REC_HEAD, len } };
	v->p += SP_REC_HEAD + len + SP_REC_CRC;
	v->len -= SP_REC_HEAD + len + SP_REC_CRC;
	return SP_OK;
}

struct sp_recreader {
	int		fd;
	uint64_t	read_off;	/* of the file: where the buffer ends */
	int		eof;
	uint8_t		*buf;
	size_t		cap;
	struct sp_view	rest;		/* what of buf is not consumed yet */
};

/* Make at least `want` bytes available unless the file ends before. */
static enum sp_err
reader_fill(struct sp_recreader *r, size_t want)
{
	if (want > r->cap || r->buf == NULL) {
		size_t cap = want > READ_BLOCK ? want : READ_BLOCK;
		uint8_t *p = malloc(cap);

		if (p == NULL)
			return SP_ENOMEM;
		if (r->rest.len > 0)
			memcpy(p, r->rest.p, r->rest.len);
		free(r->buf);
		r->buf = p;
		r->cap = cap;
	} else if (r->rest.len > 0) {
		memmove(r->buf, r->rest.p, r->rest.len);
	}
	r->rest.p = r->buf;
	while (r->rest.len < want && !r->eof) {
		ssize_t n = pread(r->fd, r->buf + r->rest.len, r->cap - r->rest.len, (off_t)r->read_off);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return SP_EIO;
		r->eof = n == 0;
		r->read_off += (uint64_t)n;
		r->rest.len += (size_t)n;
	}
	return SP_OK;
}

enum sp_err
sp_recreader_new(int fd, struct sp_recreader **ret)
{
	struct sp_recreader *r = calloc(1, sizeof(*r));
	enum sp_err e;

	if (r == NULL)
		return SP_ENOMEM;
	r->fd = fd;
	if ((e = reader_fill(r, SP_REC_PREFIX)) != SP_OK || (e = sp_rec_read_prefix(&r->rest, &r->rest)) != SP_OK) {
		sp_recreader_free(r);
		return e;
	}
	*ret = r;
	return SP_OK;
}

enum sp_err
sp_recreader_next(struct sp_recreader *r, struct sp_rec *ret)
{
	uint32_t channel;
	uint8_t type;
	size_t len;
	enum sp_err e = SP_OK;

	r->eof = 0;	/* the file may have grown: a live recording can be followed */
	if (r->rest.len < SP_REC_HEAD)
		e = reader_fill(r, SP_REC_HEAD);
	if (e != SP_OK)
		return e;
	if (r->rest.len == 0)
		return SP_ENOENT;
	if ((e = sp_rec_peek(r->rest, &len, &type, &channel)) != SP_OK)
		return e;
	if (r->rest.len < SP_REC_HEAD + len + SP_REC_CRC &&
	    (e = reader_fill(r, SP_REC_HEAD + len + SP_REC_CRC)) != SP_OK)
		return e;
	return sp_rec_next(&r->rest, ret);
}

uint64_t
sp_recreader_offset(const struct sp_recreader *r)
{
	return r->read_off - r->rest.len;
}

void
sp_recreader_free(struct sp_recreader *r)
{
	if (r == NULL)
		return;
	free(r->buf);
	free(r);
}
