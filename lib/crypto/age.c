/* lib/crypto/age.c - see age.h. Labels and layout are those of the age v1 specification. */
#include "crypto/age.h"

#include <sodium.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/kdf.h"

#define AGE_TAG		crypto_aead_chacha20poly1305_ietf_ABYTES
#define AGE_BODY	(SP_AGE_FILE_KEY + AGE_TAG)	/* of an X25519 stanza */
#define AGE_B64_32	43				/* characters of 32 bytes, without padding */
#define AGE_LINE	64				/* characters of a full body line */

static const char age_version[] = "age-encryption.org/v1\n";
static const char age_label[] = "age-encryption.org/v1/X25519";
static const char age_hrp[] = "age", age_secret_hrp[] = "age-secret-key-";

_Static_assert(AGE_BODY == 32, "a wrapped file key is one short line");

static struct sp_view
age_str(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

/* ---- keys */

enum sp_err
sp_age_recipient_parse(const char *text, size_t len, struct sp_age_recipient *ret)
{
	static const uint8_t any[32] = { 8 };
	struct sp_age_recipient r;
	uint8_t shared[32];

	if (sp_bech32_decode(text, len, age_hrp, r.pk, sizeof(r.pk)) != SP_OK)
		return SP_EFORMAT;
	if (crypto_scalarmult(shared, any, r.pk) != 0)
		return SP_EINVAL;	/* of small order */
	*ret = r;
	return SP_OK;
}

enum sp_err
sp_age_recipient_text(const struct sp_age_recipient *r, char ret[SP_BECH32_SIZE])
{
	return sp_bech32_encode(age_hrp, r->pk, sizeof(r->pk), ret);
}

enum sp_err
sp_age_identity_public(const struct sp_secret *identity, struct sp_age_recipient *ret)
{
	if (identity->len != 32 || crypto_scalarmult_base(ret->pk, identity->p) != 0)
		return SP_EINVAL;
	return SP_OK;
}

enum sp_err
sp_age_identity_new(struct sp_secret *ret, struct sp_age_recipient *ret_public)
{
	sp_auto_secret id = { 0 };
	enum sp_err r = sp_secret_random(32, &id);

	if (r == SP_OK && (r = sp_age_identity_public(&id, ret_public)) == SP_OK)
		*ret = sp_secret_steal(&id);
	return r;
}

enum sp_err
sp_age_identity_parse(struct sp_view text, struct sp_secret *ret)
{
	sp_auto_secret id = { 0 };
	enum sp_err r = sp_secret_alloc(32, &id);

	if (r != SP_OK)
		return r;
	while (text.len > 0) {
		const uint8_t *nl = memchr(text.p, '\n', text.len);
		size_t line = nl != NULL ? (size_t)(nl - text.p) : text.len, n = line;

		while (n > 0 && (text.p[n - 1] == '\r' || text.p[n - 1] == ' ' || text.p[n - 1] == '\t'))
			n--;
		if (n > 0 && text.p[0] != '#') {
			if (sp_bech32_decode((const char *)text.p, n, age_secret_hrp, id.p, id.len) != SP_OK)
				return SP_EFORMAT;
			*ret = sp_secret_steal(&id);
			return SP_OK;
		}
		text.p += nl != NULL ? line + 1 : line;
		text.len -= nl != NULL ? line + 1 : line;
	}
	return SP_EFORMAT;
}

enum sp_err
sp_age_identity_text(const struct sp_secret *identity, struct sp_secret *ret)
{
	char text[SP_BECH32_SIZE];
	enum sp_err r;

	if (identity->len != 32)
		return SP_EINVAL;
	if ((r = sp_bech32_encode(age_secret_hrp, identity->p, identity->len, text)) != SP_OK)
		return r;
	for (char *p = text; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p & ~0x20);
	return sp_secret_take(text, strlen(text), ret);
}

/* ---- the header */

static enum sp_err
age_put_b64(struct sp_buf *dst, const uint8_t bytes[32])
{
	char text[sodium_base64_ENCODED_LEN(32, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)];

	sodium_bin2base64(text, sizeof(text), bytes, 32, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	return sp_buf_append(dst, text, AGE_B64_32);
}

/* Strict: no white space, no padding, no bits that a second encoding could have. */
static enum sp_err
age_get_b64(struct sp_view text, uint8_t ret[32])
{
	size_t n = 0;

	if (text.len != AGE_B64_32 || sodium_base642bin(ret, 32, (const char *)text.p, text.len, NULL, &n, NULL,
	    sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 || n != 32)
		return SP_EFORMAT;
	return SP_OK;
}

/* The key that wraps the file key between an ephemeral share and a recipient. SP_EINVAL for a share of small order. */
static enum sp_err
age_wrap_key(const uint8_t scalar[32], const uint8_t point[32], const uint8_t share[32], const uint8_t recipient[32],
    struct sp_secret *ret)
{
	sp_auto_secret shared = { 0 }, key = { 0 };
	uint8_t salt[64];
	enum sp_err r;

	if ((r = sp_secret_alloc(32, &shared)) != SP_OK || (r = sp_secret_alloc(32, &key)) != SP_OK)
		return r;
	if (crypto_scalarmult(shared.p, scalar, point) != 0)
		return SP_EINVAL;
	memcpy(salt, share, 32);
	memcpy(salt + 32, recipient, 32);
	r = sp_hkdf_sha256(sp_secret_view(&shared), (struct sp_view){ salt, sizeof(salt) }, age_str(age_label), key.p, key.len);
	if (r == SP_OK)
		*ret = sp_secret_steal(&key);
	return r;
}

static const uint8_t age_zero_nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

static enum sp_err
age_put_stanza(const struct sp_secret *file_key, const struct sp_age_recipient *to, struct sp_buf *ret)
{
	sp_auto_secret eph = { 0 }, key = { 0 };
	struct sp_age_recipient share;
	uint8_t body[AGE_BODY];
	enum sp_err r;

	if ((r = sp_age_identity_new(&eph, &share)) != SP_OK || (r = age_wrap_key(eph.p, to->pk, share.pk, to->pk, &key)) != SP_OK)
		return r;
	crypto_aead_chacha20poly1305_ietf_encrypt(body, NULL, file_key->p, file_key->len, NULL, 0, NULL, age_zero_nonce, key.p);
	if ((r = sp_buf_append_str(ret, "-> X25519 ")) != SP_OK || (r = age_put_b64(ret, share.pk)) != SP_OK ||
	    (r = sp_buf_append_str(ret, "\n")) != SP_OK || (r = age_put_b64(ret, body)) != SP_OK)
		return r;
	return sp_buf_append_str(ret, "\n");
}

static enum sp_err
age_mac(const struct sp_secret *file_key, struct sp_view head, uint8_t ret[SP_SHA256_LEN])
{
	sp_auto_secret key = { 0 };
	enum sp_err r = sp_secret_alloc(32, &key);

	if (r == SP_OK)
		r = sp_hkdf_sha256(sp_secret_view(file_key), (struct sp_view){ NULL, 0 }, age_str("header"), key.p, key.len);
	if (r == SP_OK)
		sp_hmac_sha256(sp_secret_view(&key), head, ret);
	return r;
}

enum sp_err
sp_age_header_write(const struct sp_secret *file_key, const struct sp_age_recipient *to, size_t n, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_AGE_HEADER_MAX };
	uint8_t mac[SP_SHA256_LEN];
	enum sp_err r;

	if (file_key->len != SP_AGE_FILE_KEY || n == 0)
		return SP_EINVAL;
	if (n > SP_AGE_RECIPIENTS_MAX)
		return SP_ESIZE;
	r = sp_buf_append_str(&b, age_version);
	for (size_t i = 0; i < n && r == SP_OK; i++)
		r = age_put_stanza(file_key, &to[i], &b);
	if (r != SP_OK || (r = sp_buf_append_str(&b, "---")) != SP_OK ||
	    (r = age_mac(file_key, (struct sp_view){ b.p, b.len }, mac)) != SP_OK || (r = sp_buf_append_str(&b, " ")) != SP_OK ||
	    (r = age_put_b64(&b, mac)) != SP_OK || (r = sp_buf_append_str(&b, "\n")) != SP_OK)
		return r;
	return sp_buf_append(ret, b.p, b.len);
}

/* The next line of *at, without its newline. SP_ESHORT: there is no whole one. */
static enum sp_err
age_line(struct sp_view *at, struct sp_view *ret)
{
	const uint8_t *nl = at->len > 0 ? memchr(at->p, '\n', at->len) : NULL;

	if (nl == NULL)
		return SP_ESHORT;
	*ret = (struct sp_view){ at->p, (size_t)(nl - at->p) };
	for (size_t i = 0; i < ret->len; i++)
		if (ret->p[i] < 0x20 || ret->p[i] > 0x7e)
			return SP_EFORMAT;
	at->len -= ret->len + 1;
	at->p = nl + 1;
	return SP_OK;
}

static int
age_begins(struct sp_view line, const char *s)
{
	size_t n = strlen(s);

	return line.len >= n && memcmp(line.p, s, n) == 0;
}

/* One stanza: its arguments (behind "-> ") and, of its body, the last line; lines tells how many full ones came before. */
struct age_stanza {
	struct sp_view	args, tail;
	size_t		lines;
};

static enum sp_err
age_stanza(struct sp_view first, struct sp_view *at, struct age_stanza *ret)
{
	struct sp_view line;
	enum sp_err r;

	ret->args = (struct sp_view){ first.p + 3, first.len - 3 };
	for (ret->lines = 0; (r = age_line(at, &line)) == SP_OK; ret->lines++) {
		if (line.len > AGE_LINE || age_begins(line, "->") || age_begins(line, "---"))
			return SP_EFORMAT;
		ret->tail = line;
		if (line.len < AGE_LINE)
			return SP_OK;
	}
	return r;
}

typedef enum sp_err age_stanza_fn(const struct age_stanza *s, void *arg);

/* Walk over a header; each stanza goes to fn (may be NULL). ret_mac: the text of the MAC; ret_len: bytes of the header. */
static enum sp_err
age_walk(struct sp_view bytes, age_stanza_fn *fn, void *arg, struct sp_view *ret_mac, size_t *ret_len)
{
	struct sp_view at = bytes, line;
	struct age_stanza s;
	enum sp_err r;

	if (bytes.len > SP_AGE_HEADER_MAX)
		at.len = SP_AGE_HEADER_MAX;
	if ((r = age_line(&at, &line)) != SP_OK)
		return r == SP_ESHORT && bytes.len > sizeof(age_version) ? SP_EFORMAT : r;
	if (line.len + 1 != strlen(age_version) || memcmp(line.p, age_version, line.len) != 0)
		return age_begins(line, "age-encryption.org/") ? SP_EVERSION : SP_EFORMAT;
	for (size_t n = 0; (r = age_line(&at, &line)) == SP_OK; n++) {
		if (age_begins(line, "--- ")) {
			if (n == 0)
				return SP_EFORMAT;
			*ret_mac = (struct sp_view){ line.p + 4, line.len - 4 };
			*ret_len = (size_t)(at.p - bytes.p);
			return SP_OK;
		}
		if (!age_begins(line, "-> ") || n >= SP_AGE_STANZAS_MAX)
			return n >= SP_AGE_STANZAS_MAX ? SP_ESIZE : SP_EFORMAT;
		if ((r = age_stanza(line, &at, &s)) != SP_OK || (fn != NULL && (r = fn(&s, arg)) != SP_OK))
			break;
	}
	return r == SP_ESHORT && bytes.len > SP_AGE_HEADER_MAX ? SP_ESIZE : r;
}

enum sp_err
sp_age_header_len(struct sp_view bytes, size_t *ret)
{
	struct sp_view mac;
	size_t n;
	enum sp_err r = age_walk(bytes, NULL, NULL, &mac, &n);

	if (r == SP_OK)
		*ret = n;
	return r;
}

struct age_opening {
	const struct sp_secret	*identity;
	struct sp_age_recipient	 pk;
	struct sp_secret	*ret;
	int			 found;
};

/* An X25519 stanza that is malformed spoils the file, whomever it is for; one for somebody else is passed over. */
static enum sp_err
age_try(const struct age_stanza *s, void *arg)
{
	struct age_opening *o = arg;
	uint8_t share[32], body[AGE_BODY];
	sp_auto_secret key = { 0 }, file_key = { 0 };
	enum sp_err r;

	if (!age_begins(s->args, "X25519") || (s->args.len > 6 && s->args.p[6] != ' '))
		return SP_OK;
	if (s->args.len != 7 + AGE_B64_32 || age_get_b64((struct sp_view){ s->args.p + 7, AGE_B64_32 }, share) != SP_OK ||
	    s->lines != 0 || age_get_b64(s->tail, body) != SP_OK)
		return SP_EFORMAT;
	if ((r = age_wrap_key(o->identity->p, share, share, o->pk.pk, &key)) != SP_OK)
		return r == SP_EINVAL ? SP_EFORMAT : r;
	if (o->found)
		return SP_OK;
	if ((r = sp_secret_alloc(SP_AGE_FILE_KEY, &file_key)) != SP_OK)
		return r;
	if (crypto_aead_chacha20poly1305_ietf_decrypt(file_key.p, NULL, NULL, body, sizeof(body), NULL, 0, age_zero_nonce,
	    key.p) == 0) {
		*o->ret = sp_secret_steal(&file_key);
		o->found = 1;
	}
	return SP_OK;
}

enum sp_err
sp_age_header_open(struct sp_view header, const struct sp_secret *identity, struct sp_secret *ret)
{
	sp_auto_secret file_key = { 0 };
	struct age_opening o = { .identity = identity, .ret = &file_key };
	uint8_t mac[SP_SHA256_LEN], told[SP_SHA256_LEN];
	struct sp_view text;
	size_t len;
	enum sp_err r;

	if ((r = sp_age_identity_public(identity, &o.pk)) != SP_OK || (r = age_walk(header, age_try, &o, &text, &len)) != SP_OK)
		return r;
	if (len != header.len)
		return SP_EFORMAT;
	if (!o.found)
		return SP_EDENIED;
	/* The MAC is over everything up to and with "---". */
	if ((r = age_mac(&file_key, (struct sp_view){ header.p, (size_t)(text.p - header.p) - 1 }, mac)) != SP_OK)
		return r;
	if (age_get_b64(text, told) != SP_OK)
		return SP_EFORMAT;
	if (!sp_ct_equal(mac, told, sizeof(mac)))
		return SP_EAUTH;
	*ret = sp_secret_steal(&file_key);
	return SP_OK;
}

/* ---- the payload */

enum sp_err
sp_age_payload_key(const struct sp_secret *file_key, const uint8_t nonce[SP_AGE_NONCE], struct sp_secret *ret)
{
	sp_auto_secret key = { 0 };
	enum sp_err r;

	if (file_key->len != SP_AGE_FILE_KEY)
		return SP_EINVAL;
	if ((r = sp_secret_alloc(32, &key)) != SP_OK || (r = sp_hkdf_sha256(sp_secret_view(file_key),
	    (struct sp_view){ nonce, SP_AGE_NONCE }, age_str("payload"), key.p, key.len)) != SP_OK)
		return r;
	*ret = sp_secret_steal(&key);
	return SP_OK;
}

/* 11 bytes of number, big-endian, and the flag. */
static void
age_nonce(uint64_t i, int last, uint8_t ret[12])
{
	memset(ret, 0, 12);
	for (int k = 0; k < 8; k++)
		ret[10 - k] = (uint8_t)(i >> 8 * k);
	ret[11] = last != 0;
}

enum sp_err
sp_age_seal(const struct sp_secret *key, uint64_t i, int last, struct sp_view plain, struct sp_buf *ret)
{
	uint8_t nonce[12];
	enum sp_err r;

	if (key->len != 32 || plain.len > SP_AGE_CHUNK || (!last && plain.len != SP_AGE_CHUNK) || (plain.len == 0 && i > 0))
		return SP_EINVAL;
	if ((r = sp_buf_reserve(ret, plain.len + AGE_TAG)) != SP_OK)
		return r;
	age_nonce(i, last, nonce);
	crypto_aead_chacha20poly1305_ietf_encrypt(ret->p + ret->len, NULL, plain.p, plain.len, NULL, 0, NULL, nonce, key->p);
	ret->len += plain.len + AGE_TAG;
	ret->p[ret->len] = 0;
	return SP_OK;
}

enum sp_err
sp_age_open(const struct sp_secret *key, uint64_t i, int last, struct sp_view sealed, struct sp_buf *ret)
{
	uint8_t nonce[12];
	enum sp_err r;

	if (key->len != 32)
		return SP_EINVAL;
	if (sealed.len < AGE_TAG || sealed.len > SP_AGE_SEALED_CHUNK || (!last && sealed.len != SP_AGE_SEALED_CHUNK) ||
	    (sealed.len == AGE_TAG && i > 0))
		return SP_EAUTH;
	if ((r = sp_buf_reserve(ret, sealed.len - AGE_TAG)) != SP_OK)
		return r;
	age_nonce(i, last, nonce);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(ret->p + ret->len, NULL, NULL, sealed.p, sealed.len, NULL, 0, nonce,
	    key->p) != 0)
		return SP_EAUTH;
	ret->len += sealed.len - AGE_TAG;
	ret->p[ret->len] = 0;
	return SP_OK;
}
