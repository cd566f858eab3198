/* lib/crypto/envelope.c - see envelope.h for the format. */
#include "crypto/envelope.h"

#include <string.h>

static const char envelope_magic[] = "SPE1";

#define ENVELOPE_FIELD_MAX	32
#define ENVELOPE_WRAP		(SP_KEY_LEN + SP_AEAD_OVERHEAD)
#define ENVELOPE_AD_MAX		128

struct envelope_parts {
	uint32_t	term;
	struct sp_view	wrap, payload;
};

static enum sp_err
envelope_split(struct sp_view record, struct envelope_parts *ret)
{
	struct envelope_parts e;
	struct sp_view magic;
	enum sp_err r;

	if (record.len > SP_ENVELOPE_MAX)
		return SP_ESIZE;
	if ((r = sp_view_bytes(&record, sizeof(envelope_magic) - 1, &magic)) != SP_OK)
		return r;
	if (!sp_view_equal_str(magic, envelope_magic))
		return SP_EVERSION;
	if ((r = sp_view_u32(&record, &e.term)) != SP_OK || (r = sp_view_bytes(&record, ENVELOPE_WRAP, &e.wrap)) != SP_OK)
		return r;
	if (record.len < SP_AEAD_OVERHEAD)
		return SP_ESHORT;
	e.payload = record;
	*ret = e;
	return SP_OK;
}

/* Associated data of one part: purpose, object, version, field, and for the wrap the term. Length-prefixed, so that no
 * two different sets of values make the same bytes. */
static enum sp_err
envelope_bind(const char *purpose, const struct sp_envelope_ad *ad, const uint32_t *term, struct sp_buf *ret)
{
	enum sp_err r;

	if (!sp_name_is_safe(ad->field, ENVELOPE_FIELD_MAX))
		return SP_EINVAL;
	if ((r = sp_buf_put_cstring(ret, purpose)) != SP_OK ||
	    (r = sp_buf_append(ret, ad->object.b, sizeof(ad->object.b))) != SP_OK ||
	    (r = sp_buf_put_u32(ret, ad->version)) != SP_OK || (r = sp_buf_put_cstring(ret, ad->field)) != SP_OK)
		return r;
	return term != NULL ? sp_buf_put_u32(ret, *term) : SP_OK;
}

static enum sp_err
envelope_ads(const struct sp_envelope_ad *ad, uint32_t term, struct sp_buf *wrap, struct sp_buf *data)
{
	enum sp_err r = envelope_bind("envelope key", ad, &term, wrap);

	return r == SP_OK ? envelope_bind("envelope data", ad, NULL, data) : r;
}

static struct sp_view
envelope_view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

/* Magic, term and wrapped key. */
static enum sp_err
envelope_head(const struct sp_keyring *kr, uint32_t term, const struct sp_secret *key, struct sp_view ad,
    struct sp_buf *ret)
{
	const uint8_t *tk = sp_keyring_key(kr, term);
	enum sp_err r;

	if (tk == NULL)
		return SP_ENOENT;
	if ((r = sp_buf_append_str(ret, envelope_magic)) != SP_OK || (r = sp_buf_put_u32(ret, term)) != SP_OK)
		return r;
	return sp_aead_seal(tk, ad, sp_secret_view(key), ret);
}

enum sp_err
sp_envelope_seal(const struct sp_keyring *kr, const struct sp_envelope_ad *ad, struct sp_view plain, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf wad = { .max = ENVELOPE_AD_MAX }, dad = { .max = ENVELOPE_AD_MAX };
	uint32_t term = sp_keyring_term(kr);
	sp_auto_secret key = { 0 };
	size_t len0 = ret->len;
	enum sp_err r;

	if (plain.len > SP_ENVELOPE_PLAIN_MAX)
		return SP_ESIZE;
	if ((r = envelope_ads(ad, term, &wad, &dad)) != SP_OK || (r = sp_secret_random(SP_KEY_LEN, &key)) != SP_OK ||
	    (r = sp_buf_reserve(ret, plain.len + SP_ENVELOPE_OVERHEAD)) != SP_OK)
		return r;
	if ((r = envelope_head(kr, term, &key, envelope_view(&wad), ret)) != SP_OK ||
	    (r = sp_aead_seal(key.p, envelope_view(&dad), plain, ret)) != SP_OK)
		ret->len = len0;
	return r;
}

/* The per-secret key of a record. */
static enum sp_err
envelope_unwrap(const struct sp_keyring *kr, const struct envelope_parts *e, struct sp_view ad, struct sp_secret *ret)
{
	const uint8_t *tk = sp_keyring_key(kr, e->term);

	return tk != NULL ? sp_aead_open(tk, ad, e->wrap, ret) : SP_ENOENT;
}

enum sp_err
sp_envelope_open(const struct sp_keyring *kr, const struct sp_envelope_ad *ad, struct sp_view record,
    struct sp_secret *ret)
{
	sp_auto(sp_buf_release) struct sp_buf wad = { .max = ENVELOPE_AD_MAX }, dad = { .max = ENVELOPE_AD_MAX };
	sp_auto_secret key = { 0 };
	struct envelope_parts e;
	enum sp_err r;

	if ((r = envelope_split(record, &e)) != SP_OK || (r = envelope_ads(ad, e.term, &wad, &dad)) != SP_OK ||
	    (r = envelope_unwrap(kr, &e, envelope_view(&wad), &key)) != SP_OK)
		return r;
	return sp_aead_open(key.p, envelope_view(&dad), e.payload, ret);
}

enum sp_err
sp_envelope_rewrap(const struct sp_keyring *kr, const struct sp_envelope_ad *ad, struct sp_view record,
    struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf wad = { .max = ENVELOPE_AD_MAX }, next = { .max = ENVELOPE_AD_MAX };
	uint32_t term = sp_keyring_term(kr);
	sp_auto_secret key = { 0 };
	struct envelope_parts e;
	size_t len0 = ret->len;
	enum sp_err r;

	if ((r = envelope_split(record, &e)) != SP_OK || (r = envelope_bind("envelope key", ad, &e.term, &wad)) != SP_OK ||
	    (r = envelope_bind("envelope key", ad, &term, &next)) != SP_OK ||
	    (r = envelope_unwrap(kr, &e, envelope_view(&wad), &key)) != SP_OK)
		return r;
	if ((r = envelope_head(kr, term, &key, envelope_view(&next), ret)) != SP_OK ||
	    (r = sp_buf_append(ret, e.payload.p, e.payload.len)) != SP_OK)
		ret->len = len0;
	return r;
}

enum sp_err
sp_envelope_term(struct sp_view record, uint32_t *ret)
{
	struct envelope_parts e;
	enum sp_err r = envelope_split(record, &e);

	if (r == SP_OK)
		*ret = e.term;
	return r;
}
