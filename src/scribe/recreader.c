/* src/scribe/recreader.c - see recreader.h.
 *
 *	age chunks -> [packed bytes of the tail] -> zstd -> lines -> [lines of the tail]
 *
 * A torn file has no last chunk: behind its whole chunks come the packed bytes that the newest fitting tail file holds, and
 * the lines of the frame that was open. */
#include "scribe/recreader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define INDEX_READ_MAX	SP_REC_INDEX_BYTES(SP_REC_INDEX_MAX)
#define TAIL_READ_MAX	((size_t)8 * 1024 * 1024)	/* bytes of a tail file that are looked at */
#define WINDOW_LOG_MAX	20				/* of a frame: a hostile one makes nobody allocate */
#define OUT_BLOCK	((size_t)64 * 1024)

struct tail {
	uint64_t	packed_off, line_off;	/* where its bytes belong */
	struct sp_buf	packed, lines;
};
struct sp_recreader {
	int		fd;
	struct sp_secret key, tail_key;
	uint64_t	payload_off, size, bytes_read;	/* size: of whole chunks and the last one */
	uint64_t	chunk_n;		/* how many are there and whole */
	int		torn;
	uint64_t	chunk;			/* number that `plain` is; UINT64_MAX: none */
	struct sp_buf	plain;
	uint64_t	packed_len;		/* plain bytes of all chunks */
	struct tail	tail;
	ZSTD_DCtx	*zstd;
	uint64_t	in_off, out_off;	/* next packed byte; lines that came out */
	struct sp_buf	lines;
	size_t		line_at;		/* what of `lines` is given out */
	int		tail_given;
	struct sp_rec_index *index;
	size_t		index_n;
	uint64_t	duration_us;
};

static enum sp_err
reader_pread(struct sp_recreader *r, int fd, uint8_t *p, size_t n, uint64_t at)
{
	while (n > 0) {
		ssize_t k = pread(fd, p, n, (off_t)at);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return k == 0 ? SP_ESHORT : SP_EIO;
		p += k;
		n -= (size_t)k;
		at += (uint64_t)k;
		r->bytes_read += (uint64_t)k;
	}
	return SP_OK;
}

/* ---- chunks ---- */

/* Bytes of chunk i as it lies in the file; 0: there is none. */
static size_t
chunk_size(const struct sp_recreader *r, uint64_t i)
{
	uint64_t at = i * SP_AGE_SEALED_CHUNK;

	return at >= r->size ? 0 : r->size - at < SP_AGE_SEALED_CHUNK ? (size_t)(r->size - at) : SP_AGE_SEALED_CHUNK;
}

static enum sp_err
chunk_load(struct sp_recreader *r, uint64_t i, int last)
{
	sp_auto(sp_buf_release) struct sp_buf sealed = { .max = SP_AGE_SEALED_CHUNK };
	size_t n = chunk_size(r, i);
	enum sp_err e;

	if (r->chunk == i)
		return SP_OK;
	if ((e = sp_buf_reserve(&sealed, n)) != SP_OK ||
	    (e = reader_pread(r, r->fd, sealed.p, n, r->payload_off + i * SP_AGE_SEALED_CHUNK)) != SP_OK)
		return e;
	sp_buf_reset(&r->plain);
	r->chunk = UINT64_MAX;
	if ((e = sp_age_open(&r->key, i, last, (struct sp_view){ sealed.p, n }, &r->plain)) == SP_OK)
		r->chunk = i;
	return e;
}

/* Find the end: the last chunk opens as the last one, or the file is torn behind a whole one. A torn file may have space
 * of zeros or half a chunk behind its last whole chunk, which is no part of it. */
static enum sp_err
chunks_measure(struct sp_recreader *r)
{
	uint64_t n = (r->size + SP_AGE_SEALED_CHUNK - 1) / SP_AGE_SEALED_CHUNK;
	enum sp_err e = SP_EAUTH;

	if (n > 0 && (e = chunk_load(r, n - 1, 1)) == SP_OK) {
		r->chunk_n = n;
		r->packed_len = (n - 1) * SP_AGE_CHUNK + r->plain.len;
		return SP_OK;
	}
	if (e != SP_EAUTH && e != SP_EINVAL && e != SP_ESIZE && e != SP_ESHORT && e != SP_EFORMAT)
		return e;
	r->torn = 1;
	n = r->size / SP_AGE_SEALED_CHUNK;
	/* A middle chunk that does not open is damage; the last whole one may be half written. */
	if (n > 0 && chunk_load(r, n - 1, 0) != SP_OK)
		n--;
	r->chunk_n = n;
	r->packed_len = n * SP_AGE_CHUNK;
	return SP_OK;
}

/* Plain bytes from packed offset `at` on, at most to the end of their chunk or of the tail. Empty: no more. */
static enum sp_err
packed_view(struct sp_recreader *r, uint64_t at, struct sp_view *ret)
{
	const struct tail *t = &r->tail;
	enum sp_err e;

	*ret = (struct sp_view){ NULL, 0 };
	if (at < r->packed_len) {
		uint64_t i = at / SP_AGE_CHUNK;
		size_t skip = (size_t)(at % SP_AGE_CHUNK);

		if ((e = chunk_load(r, i, !r->torn && i == r->chunk_n - 1)) != SP_OK)
			return e;
		*ret = (struct sp_view){ r->plain.p + skip, r->plain.len - skip };
	} else if (r->torn && at >= t->packed_off && at < t->packed_off + t->packed.len) {
		size_t skip = (size_t)(at - t->packed_off);

		*ret = (struct sp_view){ t->packed.p + skip, t->packed.len - skip };
	}
	return SP_OK;
}

/* ---- tail ---- */

static void
tail_release(struct tail *t)
{
	sp_buf_release(&t->packed);
	sp_buf_release(&t->lines);
}

/* Records up to the first that is cut or wrong: it was being written when the recorder died. */
static enum sp_err
tail_records(struct sp_recreader *r, struct sp_view v, uint64_t generation, struct tail *t)
{
	sp_auto_secret plain = { 0 };
	uint64_t number, before = 0;
	struct sp_tail rec;
	int n = 0;
	enum sp_err e;

	sp_buf_init(&t->packed, TAIL_READ_MAX);
	sp_buf_init(&t->lines, TAIL_READ_MAX);
	t->packed_off = t->line_off = UINT64_MAX;
	for (; (e = sp_tail_next(&r->tail_key, generation, &v, &number, &plain, &rec)) == SP_OK; n++, before = number) {
		struct sp_buf *b = rec.type == SP_TAIL_PACKED ? &t->packed : &t->lines;
		uint64_t *off = rec.type == SP_TAIL_PACKED ? &t->packed_off : &t->line_off;

		if ((n > 0 && number != before + 1) || (*off != UINT64_MAX && rec.off != *off + b->len))
			return SP_ECORRUPT;	/* a record was taken out or put elsewhere */
		if (*off == UINT64_MAX)
			*off = rec.off;
		if ((e = sp_buf_append(b, rec.data.p, rec.data.len)) != SP_OK)
			return e;
	}
	if (n == 0)
		return e == SP_ENOMEM ? e : SP_ENOENT;
	if (e == SP_EAUTH && v.len > SP_TAIL_RECORD_HEAD + SP_TAIL_DATA_MAX)
		return SP_ECORRUPT;
	return SP_OK;
}

static enum sp_err
tail_load(struct sp_recreader *r, int fd, struct tail *t, uint64_t *ret_generation)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = TAIL_READ_MAX };
	struct sp_view v;
	struct stat st;
	enum sp_err e;

	if (fd < 0 || fstat(fd, &st) == -1 || st.st_size < (off_t)SP_TAIL_HEAD)
		return SP_ENOENT;
	if ((uint64_t)st.st_size > TAIL_READ_MAX)
		return SP_ESIZE;
	if ((e = sp_buf_reserve(&b, (size_t)st.st_size)) != SP_OK || (e = reader_pread(r, fd, b.p, (size_t)st.st_size, 0)) != SP_OK)
		return e;
	v = (struct sp_view){ b.p, (size_t)st.st_size };
	if ((e = sp_tail_read_head(&v, ret_generation)) != SP_OK)
		return e;
	return tail_records(r, v, *ret_generation, t);
}

/* Whether the tail goes on where the chunks end. */
static int
tail_fits(const struct sp_recreader *r, const struct tail *t)
{
	return t->packed_off == UINT64_MAX || t->packed_off <= r->packed_len;
}

static enum sp_err
tails_choose(struct sp_recreader *r, const int fd[2])
{
	uint64_t best = 0, generation = 0;
	enum sp_err worst = SP_OK;

	for (int i = 0; i < 2; i++) {
		struct tail t = { 0 };
		enum sp_err e = tail_load(r, fd[i], &t, &generation);

		if (e == SP_OK && generation > best && tail_fits(r, &t)) {
			tail_release(&r->tail);
			r->tail = t;
			best = generation;
		} else {
			tail_release(&t);
			if (e == SP_ENOMEM || e == SP_EIO || e == SP_ECORRUPT)
				worst = e;
		}
	}
	return best > 0 ? SP_OK : worst;
}

/* ---- open ---- */

static enum sp_err
reader_header(struct sp_recreader *r, const struct sp_secret *identity, const struct sp_secret *given)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_AGE_HEADER_MAX + SP_AGE_NONCE };
	sp_auto_secret file_key = { 0 };
	struct stat st;
	size_t n, len;
	enum sp_err e;

	if (fstat(r->fd, &st) == -1)
		return SP_EIO;
	n = (uint64_t)st.st_size < b.max ? (size_t)st.st_size : b.max;
	if (n > 4096 && (e = sp_buf_reserve(&b, 4096)) != SP_OK)
		return e;
	if ((e = sp_buf_reserve(&b, n)) != SP_OK || (e = reader_pread(r, r->fd, b.p, n < 4096 ? n : 4096, 0)) != SP_OK)
		return e;
	b.len = n < 4096 ? n : 4096;
	if (sp_age_header_len((struct sp_view){ b.p, b.len }, &len) == SP_ESHORT && n > 4096) {
		if ((e = reader_pread(r, r->fd, b.p + 4096, n - 4096, 4096)) != SP_OK)
			return e;
		b.len = n;
	}
	if ((e = sp_age_header_len((struct sp_view){ b.p, b.len }, &len)) != SP_OK)
		return e;
	if (b.len - len < SP_AGE_NONCE) {
		if ((uint64_t)st.st_size < len + SP_AGE_NONCE)
			return SP_ESHORT;
		if ((e = reader_pread(r, r->fd, b.p + len, SP_AGE_NONCE, len)) != SP_OK)
			return e;
	}
	if (given == NULL && (e = sp_age_header_open((struct sp_view){ b.p, len }, identity, &file_key)) != SP_OK)
		return e;
	given = given != NULL ? given : &file_key;
	if ((e = sp_age_payload_key(given, b.p + len, &r->key)) != SP_OK || (e = sp_tail_key(given, b.p + len, &r->tail_key)) != SP_OK)
		return e;
	r->payload_off = len + SP_AGE_NONCE;
	r->size = (uint64_t)st.st_size - r->payload_off;
	return SP_OK;
}

static enum sp_err
index_load(struct sp_recreader *r)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = INDEX_READ_MAX + SP_AGE_CHUNK };
	uint64_t from = r->packed_len > INDEX_READ_MAX ? r->packed_len - INDEX_READ_MAX : 0;
	struct sp_view v;
	size_t n;
	enum sp_err e;

	for (uint64_t at = from; at < r->packed_len; at += v.len)
		if ((e = packed_view(r, at, &v)) != SP_OK || (e = sp_buf_append(&b, v.p, v.len)) != SP_OK)
			return e;
	v = (struct sp_view){ b.p, b.len };
	if ((e = sp_rec_index_count(v, &n, &r->duration_us)) != SP_OK)
		return SP_OK;	/* a file without an index can be read all the same */
	if ((r->index = calloc(n + 1, sizeof(*r->index))) == NULL)
		return SP_ENOMEM;
	if ((e = sp_rec_index_read(v, r->index, n)) != SP_OK)
		return SP_ECORRUPT;
	r->index_n = n;
	return SP_OK;
}

static enum sp_err
reader_new(int fd, const int tail_fd[2], const struct sp_secret *identity, const struct sp_secret *file_key, struct sp_recreader **ret)
{
	struct sp_recreader *r = calloc(1, sizeof(*r));
	enum sp_err e;

	if (r == NULL)
		return SP_ENOMEM;
	r->fd = fd;
	r->chunk = UINT64_MAX;
	sp_buf_init(&r->plain, SP_AGE_CHUNK);
	sp_buf_init(&r->lines, SP_REC_LINE_MAX + 2 * OUT_BLOCK + TAIL_READ_MAX);
	r->zstd = ZSTD_createDCtx();
	if (r->zstd == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, WINDOW_LOG_MAX)))
		e = SP_ENOMEM;
	else if ((e = reader_header(r, identity, file_key)) == SP_OK && (e = chunks_measure(r)) == SP_OK)
		e = r->torn ? tails_choose(r, tail_fd) : index_load(r);
	if (e != SP_OK) {
		sp_recreader_free(r);
		return e;
	}
	*ret = r;
	return SP_OK;
}

enum sp_err
sp_recreader_new(int fd, const int tail_fd[2], const struct sp_secret *identity, struct sp_recreader **ret)
{
	return reader_new(fd, tail_fd, identity, NULL, ret);
}

enum sp_err
sp_recreader_new_unwrapped(int fd, const int tail_fd[2], const struct sp_secret *file_key, struct sp_recreader **ret)
{
	return file_key->len == SP_AGE_FILE_KEY ? reader_new(fd, tail_fd, NULL, file_key, ret) : SP_EINVAL;
}

void
sp_recreader_free(struct sp_recreader *r)
{
	if (r == NULL)
		return;
	sp_secret_release(&r->key);
	sp_secret_release(&r->tail_key);
	sp_buf_release(&r->plain);
	sp_buf_release(&r->lines);
	tail_release(&r->tail);
	ZSTD_freeDCtx(r->zstd);
	free(r->index);
	free(r);
}

/* ---- lines ---- */

/* More lines out of zstd. SP_ENOENT: no packed bytes are left. */
static enum sp_err
lines_unpack(struct sp_recreader *r)
{
	ZSTD_inBuffer in = { 0 };
	ZSTD_outBuffer out = { 0 };
	struct sp_view v;
	size_t left;
	enum sp_err e;

	if ((e = packed_view(r, r->in_off, &v)) != SP_OK)
		return e;
	if (v.len == 0)
		return SP_ENOENT;
	if ((e = sp_buf_reserve(&r->lines, OUT_BLOCK)) != SP_OK)
		return e;
	in.src = v.p;
	in.size = v.len;
	out.dst = r->lines.p + r->lines.len;
	out.size = OUT_BLOCK;
	left = ZSTD_decompressStream(r->zstd, &out, &in);
	if (ZSTD_isError(left) || (in.pos == 0 && out.pos == 0))
		return SP_ECORRUPT;
	r->in_off += in.pos;
	r->out_off += out.pos;
	r->lines.len += out.pos;
	return SP_OK;
}

/* The lines of the tail that zstd has not given. */
static enum sp_err
lines_tail(struct sp_recreader *r)
{
	const struct tail *t = &r->tail;
	uint64_t skip;

	if (r->tail_given || !r->torn)
		return SP_ENOENT;
	r->tail_given = 1;
	if (t->lines.len == 0 || t->line_off + t->lines.len <= r->out_off)
		return SP_ENOENT;
	if (t->line_off > r->out_off)
		return SP_ECORRUPT;
	skip = r->out_off - t->line_off;
	r->out_off += t->lines.len - skip;
	return sp_buf_append(&r->lines, t->lines.p + skip, t->lines.len - (size_t)skip);
}

enum sp_err
sp_recreader_next(struct sp_recreader *r, struct sp_view *ret)
{
	for (size_t seen = r->line_at;;) {
		const uint8_t *nl = r->lines.len > seen ? memchr(r->lines.p + seen, '\n', r->lines.len - seen) : NULL;
		enum sp_err e;

		if (nl != NULL) {
			*ret = (struct sp_view){ r->lines.p + r->line_at, (size_t)(nl - (r->lines.p + r->line_at)) };
			r->line_at += ret->len + 1;
			return SP_OK;
		}
		sp_buf_consume(&r->lines, r->line_at);
		r->line_at = 0;
		seen = r->lines.len;
		if (seen > SP_REC_LINE_MAX)
			return SP_ESIZE;
		if ((e = lines_unpack(r)) == SP_ENOENT)
			e = lines_tail(r);
		if (e != SP_OK)
			return e;
	}
}

enum sp_err
sp_recreader_seek(struct sp_recreader *r, uint64_t at_us)
{
	size_t low = 0, high = r->index_n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (r->index[mid].at_us <= at_us)
			low = mid + 1;
		else
			high = mid;
	}
	r->in_off = low > 0 ? r->index[low - 1].packed_off : 0;
	r->out_off = low > 0 ? r->index[low - 1].line_off : 0;
	r->tail_given = 0;
	sp_buf_reset(&r->lines);
	r->line_at = 0;
	return ZSTD_isError(ZSTD_DCtx_reset(r->zstd, ZSTD_reset_session_only)) ? SP_EINTERNAL : SP_OK;
}

int
sp_recreader_is_torn(const struct sp_recreader *r)
{
	return r->torn;
}

uint64_t
sp_recreader_duration(const struct sp_recreader *r)
{
	return r->duration_us;
}

uint64_t
sp_recreader_bytes_read(const struct sp_recreader *r)
{
	return r->bytes_read;
}
