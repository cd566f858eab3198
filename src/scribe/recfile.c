/* src/scribe/recfile.c - see recfile.h. Process: scribe (writing), the command line (reading). */
#include "scribe/recfile.h"

#include <string.h>

#include "crypto/aead.h"
#include "crypto/kdf.h"

#define INDEX_FRAME	0x184d2a5eu	/* a skippable frame of zstd */
#define INDEX_MAGIC	"SPINDEX1"
#define TAIL_MAGIC	"SPTAIL01"
#define TAIL_PLAIN_HEAD	9u		/* u8 type, u64 offset */

_Static_assert(SP_TAIL_DATA_MAX + TAIL_PLAIN_HEAD <= SP_AEAD_PLAIN_MAX, "a record is one sealed piece");

static void
put_le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t
get_le(const uint8_t *p, int n)
{
	uint64_t v = 0;

	for (int i = n - 1; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

/* ---- index ---- */

enum sp_err
sp_rec_index_write(struct sp_buf *b, const struct sp_rec_index *v, size_t n, uint64_t duration_us)
{
	size_t bytes = SP_REC_INDEX_BYTES(n);
	enum sp_err r;
	uint8_t *p;

	if (n > SP_REC_INDEX_MAX)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(b, bytes)) != SP_OK)
		return r;
	p = b->p + b->len;
	put_le(p, INDEX_FRAME, 4);
	put_le(p + 4, bytes - 8, 4);
	p += 8;
	for (size_t i = 0; i < n; i++, p += SP_REC_INDEX_ENTRY) {
		put_le(p, v[i].at_us, 8);
		put_le(p + 8, v[i].packed_off, 8);
		put_le(p + 16, v[i].line_off, 8);
	}
	put_le(p, duration_us, 8);
	put_le(p + 8, n, 8);
	memcpy(p + 16, INDEX_MAGIC, 8);
	b->len += bytes;
	b->p[b->len] = 0;
	return SP_OK;
}

enum sp_err
sp_rec_index_count(struct sp_view end, size_t *ret_n, uint64_t *ret_duration_us)
{
	const uint8_t *p;
	uint64_t n;

	if (end.len < SP_REC_INDEX_TAIL)
		return SP_ESHORT;
	p = end.p + end.len - SP_REC_INDEX_TAIL;
	n = get_le(p + 8, 8);
	if (memcmp(p + 16, INDEX_MAGIC, 8) != 0 || n > SP_REC_INDEX_MAX)
		return SP_EFORMAT;
	*ret_n = (size_t)n;
	*ret_duration_us = get_le(p, 8);
	return SP_OK;
}

enum sp_err
sp_rec_index_read(struct sp_view bytes, struct sp_rec_index *v, size_t n)
{
	uint64_t duration;
	const uint8_t *p;
	size_t have;
	enum sp_err r;

	if ((r = sp_rec_index_count(bytes, &have, &duration)) != SP_OK)
		return r;
	if (have != n)
		return SP_EFORMAT;
	if (bytes.len < SP_REC_INDEX_BYTES(n))
		return SP_ESHORT;
	p = bytes.p + bytes.len - SP_REC_INDEX_BYTES(n);
	if (get_le(p, 4) != INDEX_FRAME || get_le(p + 4, 4) != SP_REC_INDEX_BYTES(n) - 8)
		return SP_EFORMAT;
	p += 8;
	for (size_t i = 0; i < n; i++, p += SP_REC_INDEX_ENTRY) {
		struct sp_rec_index e = { get_le(p, 8), get_le(p + 8, 8), get_le(p + 16, 8) };

		if (i > 0 && (e.at_us < v[i - 1].at_us || e.packed_off <= v[i - 1].packed_off || e.line_off <= v[i - 1].line_off))
			return SP_EFORMAT;
		v[i] = e;
	}
	return SP_OK;
}

/* ---- tail ---- */

enum sp_err
sp_tail_key(const struct sp_secret *file_key, const uint8_t nonce[SP_AGE_NONCE], struct sp_secret *ret)
{
	static const char info[] = "sallyport recording tail v1";
	sp_auto_secret key = { 0 };
	enum sp_err r;

	if ((r = sp_secret_alloc(SP_TAIL_KEY, &key)) != SP_OK ||
	    (r = sp_hkdf_sha256(sp_secret_view(file_key), (struct sp_view){ nonce, SP_AGE_NONCE },
	    (struct sp_view){ (const uint8_t *)info, sizeof(info) - 1 }, key.p, SP_TAIL_KEY)) != SP_OK)
		return r;
	*ret = sp_secret_steal(&key);
	return SP_OK;
}

enum sp_err
sp_tail_head(struct sp_buf *b, uint64_t generation)
{
	uint8_t head[SP_TAIL_HEAD];

	memcpy(head, TAIL_MAGIC, 8);
	put_le(head + 8, generation, 8);
	return sp_buf_append(b, head, sizeof(head));
}

/* What a record is bound to: its place. */
static struct sp_view
tail_place(uint8_t dst[16], uint64_t generation, uint64_t number)
{
	put_le(dst, generation, 8);
	put_le(dst + 8, number, 8);
	return (struct sp_view){ dst, 16 };
}

enum sp_err
sp_tail_seal(const struct sp_secret *key, uint64_t generation, uint64_t number, const struct sp_tail *t, struct sp_buf *b)
{
	uint8_t head[SP_TAIL_RECORD_HEAD], place[16];
	sp_auto(sp_buf_release) struct sp_buf plain = { .max = SP_AEAD_PLAIN_MAX };
	size_t was = b->len;
	enum sp_err r;

	if (t->data.len > SP_TAIL_DATA_MAX || key->len != SP_TAIL_KEY)
		return SP_ESIZE;
	put_le(head, TAIL_PLAIN_HEAD + t->data.len + SP_AEAD_OVERHEAD, 4);
	put_le(head + 4, number, 8);
	if ((r = sp_buf_reserve(&plain, TAIL_PLAIN_HEAD + t->data.len)) != SP_OK)
		return r;
	plain.p[0] = (uint8_t)t->type;
	put_le(plain.p + 1, t->off, 8);
	plain.len = TAIL_PLAIN_HEAD;
	if ((r = sp_buf_append(&plain, t->data.p, t->data.len)) == SP_OK && (r = sp_buf_append(b, head, sizeof(head))) == SP_OK)
		r = sp_aead_seal(key->p, tail_place(place, generation, number), (struct sp_view){ plain.p, plain.len }, b);
	if (r != SP_OK)
		b->len = was;
	return r;
}

enum sp_err
sp_tail_read_head(struct sp_view *v, uint64_t *ret_generation)
{
	if (v->len < SP_TAIL_HEAD)
		return SP_ESHORT;
	if (memcmp(v->p, TAIL_MAGIC, 8) != 0)
		return SP_EFORMAT;
	*ret_generation = get_le(v->p + 8, 8);
	v->p += SP_TAIL_HEAD;
	v->len -= SP_TAIL_HEAD;
	return SP_OK;
}

enum sp_err
sp_tail_next(const struct sp_secret *key, uint64_t generation, struct sp_view *v, uint64_t *ret_number, struct sp_secret *plain,
    struct sp_tail *ret)
{
	sp_auto_secret got = { 0 };
	uint8_t place[16];
	uint64_t number;
	size_t len;
	enum sp_err r;

	if (v->len < SP_TAIL_RECORD_HEAD)
		return SP_ESHORT;
	len = (size_t)get_le(v->p, 4);
	number = get_le(v->p + 4, 8);
	if (len < TAIL_PLAIN_HEAD + SP_AEAD_OVERHEAD || len > SP_TAIL_DATA_MAX + TAIL_PLAIN_HEAD + SP_AEAD_OVERHEAD)
		return SP_ESIZE;
	if (v->len - SP_TAIL_RECORD_HEAD < len)
		return SP_ESHORT;
	if ((r = sp_aead_open(key->p, tail_place(place, generation, number), (struct sp_view){ v->p + SP_TAIL_RECORD_HEAD, len },
	    &got)) != SP_OK)
		return r;
	if (got.p[0] != SP_TAIL_PACKED && got.p[0] != SP_TAIL_LINES)
		return SP_EFORMAT;
	sp_secret_move(plain, &got);
	*ret = (struct sp_tail){ (enum sp_tail_type)plain->p[0], get_le(plain->p + 1, 8),
	    { plain->p + TAIL_PLAIN_HEAD, plain->len - TAIL_PLAIN_HEAD } };
	*ret_number = number;
	v->p += SP_TAIL_RECORD_HEAD + len;
	v->len -= SP_TAIL_RECORD_HEAD + len;
	return SP_OK;
}
