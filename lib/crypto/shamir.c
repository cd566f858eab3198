/* lib/crypto/shamir.c - see shamir.h.
 * The field is that of AES. Multiplication and inversion run the same instructions for all values: no look-up by a
 * secret index (table look-ups leaked through the cache in an earlier product: CVE-2023-25000). Indexes (x) are public. */
#include "crypto/shamir.h"

#include <sodium.h>
#include <string.h>

#include "base/str.h"

static const char share_magic[] = "sps1-";

#define SHARE_SUM	8	/* bytes of checksum */

static uint8_t
gf_mul(uint8_t a, uint8_t b)
{
	uint8_t r = 0;

	for (int i = 0; i < 8; i++) {
		r ^= (uint8_t)(-(b & 1) & a);
		a = (uint8_t)((a << 1) ^ (-(a >> 7) & 0x1b));
		b >>= 1;
	}
	return r;
}

/* a^254; 0 gives 0. */
static uint8_t
gf_inv(uint8_t a)
{
	uint8_t sq = a, r = 1;

	for (int i = 0; i < 7; i++) {
		sq = gf_mul(sq, sq);
		r = gf_mul(r, sq);
	}
	return r;
}

void
sp_share_release(struct sp_share *s)
{
	sp_secret_release(&s->data);
	*s = (struct sp_share){ 0 };
}

static void
shares_release(struct sp_share *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sp_share_release(&s[i]);
}

/* coef holds threshold rows of len bytes: row 0 is the secret, the others are random. Horner from the top. */
static void
shamir_evaluate(const uint8_t *coef, size_t len, unsigned threshold, uint8_t x, uint8_t *out)
{
	for (size_t k = 0; k < len; k++) {
		uint8_t y = 0;

		for (unsigned t = threshold; t-- > 0; )
			y = gf_mul(y, x) ^ coef[t * len + k];
		out[k] = y;
	}
}

enum sp_err
sp_shamir_split(struct sp_view secret, unsigned threshold, unsigned n, struct sp_share *ret)
{
	uint8_t set_id[SP_SHARE_SET_ID];
	sp_auto_secret coef = { 0 };
	enum sp_err r;

	if (threshold < 2 || threshold > n || n > SP_SHARES_MAX)
		return SP_EINVAL;
	if (secret.len == 0 || secret.len > SP_SHARE_DATA_MAX)
		return SP_ESIZE;
	if ((r = sp_secret_random(threshold * secret.len, &coef)) != SP_OK)
		return r;
	memcpy(coef.p, secret.p, secret.len);
	randombytes_buf(set_id, sizeof(set_id));
	for (unsigned i = 0; i < n; i++) {
		struct sp_share *s = &ret[i];

		*s = (struct sp_share){ .threshold = (uint8_t)threshold, .index = (uint8_t)(i + 1) };
		memcpy(s->set_id, set_id, sizeof(set_id));
		if ((r = sp_secret_alloc(secret.len, &s->data)) != SP_OK) {
			shares_release(ret, i);
			return r;
		}
		shamir_evaluate(coef.p, secret.len, threshold, s->index, s->data.p);
	}
	return SP_OK;
}

/* Value at x of the polynomial through the first t shares (Lagrange). */
static void
shamir_interpolate(const struct sp_share *s, size_t t, uint8_t x, uint8_t *out)
{
	size_t len = s[0].data.len;

	memset(out, 0, len);
	for (size_t i = 0; i < t; i++) {
		uint8_t num = 1, den = 1, w;

		for (size_t j = 0; j < t; j++) {
			if (j == i)
				continue;
			num = gf_mul(num, x ^ s[j].index);
			den = gf_mul(den, s[i].index ^ s[j].index);
		}
		w = gf_mul(num, gf_inv(den));
		for (size_t k = 0; k < len; k++)
			out[k] ^= gf_mul(w, s[i].data.p[k]);
	}
}

static enum sp_err
share_fault(enum sp_err r, const char *text, const char **why)
{
	if (why != NULL)
		*why = text;
	return r;
}

/* Everything that can be said without arithmetic. */
static enum sp_err
shares_check(const struct sp_share *s, size_t n, const char **why)
{
	uint8_t seen[SP_SHARES_MAX + 1] = { 0 };

	if (n == 0)
		return share_fault(SP_ESHORT, "no share was given", why);
	for (size_t i = 0; i < n; i++) {
		if (memcmp(s[i].set_id, s[0].set_id, SP_SHARE_SET_ID) != 0)
			return share_fault(SP_ECONFLICT, "the shares belong to different sets", why);
		if (s[i].threshold < 2 || s[i].index == 0 || s[i].data.len == 0 || s[i].data.len > SP_SHARE_DATA_MAX ||
		    s[i].threshold != s[0].threshold || s[i].data.len != s[0].data.len)
			return share_fault(SP_EFORMAT, "the shares of this set do not fit each other", why);
		if (seen[s[i].index])
			return share_fault(SP_EEXIST, "the same share was given twice", why);
		seen[s[i].index] = 1;
	}
	if (n < s[0].threshold)
		return share_fault(SP_ESHORT, "fewer shares than are needed", why);
	return SP_OK;
}

enum sp_err
sp_shamir_combine(const struct sp_share *s, size_t n, const char **why, struct sp_secret *ret)
{
	sp_auto_secret out = { 0 };
	enum sp_err r;

	if ((r = shares_check(s, n, why)) != SP_OK)
		return r;
	if ((r = sp_secret_alloc(s[0].data.len, &out)) != SP_OK)
		return share_fault(r, sp_err_text(r), why);
	for (size_t i = s[0].threshold; i < n; i++) {
		shamir_interpolate(s, s[0].threshold, s[i].index, out.p);
		if (!sp_ct_equal(out.p, s[i].data.p, out.len))
			return share_fault(SP_ECORRUPT, "one of the shares contradicts the others", why);
	}
	shamir_interpolate(s, s[0].threshold, 0, out.p);
	*ret = sp_secret_steal(&out);
	return SP_OK;
}

/* The first 8 bytes of BLAKE2b-256, as hex. libsodium's hex has no look-ups by digit: the text of a share is secret. */
static void
share_checksum(const char *text, size_t n, char ret[2 * SHARE_SUM + 1])
{
	uint8_t sum[crypto_generichash_BYTES];

	crypto_generichash(sum, sizeof(sum), (const uint8_t *)text, n, NULL, 0);
	sodium_bin2hex(ret, 2 * SHARE_SUM + 1, sum, SHARE_SUM);
	sodium_memzero(sum, sizeof(sum));
}

enum sp_err
sp_share_format(const struct sp_share *s, struct sp_secret *ret)
{
	char set[2 * SP_SHARE_SET_ID + 1], sum[2 * SHARE_SUM + 1];
	sp_auto_secret out = { 0 };
	size_t at, hex = 2 * s->data.len;
	char *p;
	enum sp_err r;

	if (s->threshold < 2 || s->index == 0 || s->data.len == 0 || s->data.len > SP_SHARE_DATA_MAX)
		return SP_EINVAL;
	if ((r = sp_secret_alloc(SP_SHARE_TEXT_SIZE, &out)) != SP_OK)
		return r;
	p = (char *)out.p;
	sp_hex(s->set_id, sizeof(s->set_id), set);
	if (sp_snprintf(p, SP_SHARE_TEXT_SIZE, "%s%u-%u-%s-", share_magic, s->threshold, s->index, set) != 0)
		return SP_EINTERNAL;
	at = strlen(p);
	sodium_bin2hex(p + at, hex + 1, s->data.p, s->data.len);
	at += hex;
	p[at++] = '-';
	share_checksum(p, at, sum);
	memcpy(p + at, sum, sizeof(sum));
	out.len = at + sizeof(sum) - 1;
	*ret = sp_secret_steal(&out);
	return SP_OK;
}

/* Canonical decimal of 1..255 up to a dash; 0 when it is not one. */
static uint8_t
share_number(struct sp_view *v)
{
	unsigned n = 0;
	size_t i;

	for (i = 0; i < v->len && i < 3 && v->p[i] >= '0' && v->p[i] <= '9'; i++)
		n = n * 10 + (v->p[i] - '0');
	if (i == 0 || i >= v->len || v->p[i] != '-' || v->p[0] == '0' || n > 255)
		return 0;
	v->p += i + 1;
	v->len -= i + 1;
	return (uint8_t)n;
}

/* Lower-case hex of exactly n bytes from the front of v. */
static int
share_hex(struct sp_view *v, uint8_t *dst, size_t n)
{
	size_t got;

	if (v->len < 2 * n)
		return 0;
	for (size_t i = 0; i < 2 * n; i++)
		if (v->p[i] >= 'A' && v->p[i] <= 'F')
			return 0;
	if (sodium_hex2bin(dst, n, (const char *)v->p, 2 * n, NULL, &got, NULL) != 0 || got != n)
		return 0;
	v->p += 2 * n;
	v->len -= 2 * n;
	return 1;
}

static int
share_dash(struct sp_view *v)
{
	if (v->len == 0 || v->p[0] != '-')
		return 0;
	v->p++;
	v->len--;
	return 1;
}

enum sp_err
sp_share_parse(const char *text, size_t n, const char **why, struct sp_share *ret)
{
	static const char bad[] = "this is not a key share (sps1-...)";
	struct sp_view v = { (const uint8_t *)text, n };
	sp_auto(sp_share_release) struct sp_share s = { 0 };
	char sum[2 * SHARE_SUM + 1];
	size_t hex;
	enum sp_err r;

	if (n >= SP_SHARE_TEXT_SIZE || n < sizeof(share_magic) - 1 || memcmp(text, "sps", 3) != 0)
		return share_fault(SP_EFORMAT, bad, why);
	if (memcmp(text, share_magic, sizeof(share_magic) - 1) != 0)
		return share_fault(SP_EVERSION, "a key share of a format that this version does not know", why);
	v.p += sizeof(share_magic) - 1;
	v.len -= sizeof(share_magic) - 1;
	if ((s.threshold = share_number(&v)) < 2 || (s.index = share_number(&v)) == 0 ||
	    !share_hex(&v, s.set_id, sizeof(s.set_id)) || !share_dash(&v) || v.len < 2 * SHARE_SUM + 3)
		return share_fault(SP_EFORMAT, bad, why);
	hex = v.len - 2 * SHARE_SUM - 1;
	if (hex % 2 != 0 || hex > 2 * SP_SHARE_DATA_MAX)
		return share_fault(SP_EFORMAT, bad, why);
	if ((r = sp_secret_alloc(hex / 2, &s.data)) != SP_OK)
		return share_fault(r, sp_err_text(r), why);
	if (!share_hex(&v, s.data.p, hex / 2) || !share_dash(&v))
		return share_fault(SP_EFORMAT, bad, why);
	share_checksum(text, n - 2 * SHARE_SUM, sum);
	if (!sp_ct_equal(sum, v.p, 2 * SHARE_SUM))
		return share_fault(SP_ECORRUPT, "the checksum of this share is wrong: it was mistyped or damaged", why);
	*ret = s;
	s = (struct sp_share){ 0 };
	return SP_OK;
}
