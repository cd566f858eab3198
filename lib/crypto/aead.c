/* lib/crypto/aead.c - see aead.h for the format. */
#include "crypto/aead.h"

#include <sodium.h>
#include <string.h>

#define AEAD_NONCE	crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define AEAD_TAG	crypto_aead_xchacha20poly1305_ietf_ABYTES
#define AEAD_COMMIT	32

_Static_assert(AEAD_NONCE + AEAD_COMMIT + AEAD_TAG == SP_AEAD_OVERHEAD, "overhead");
_Static_assert(SP_AEAD_KEY == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key size");

struct aead_keys {
	uint8_t	enc[SP_AEAD_KEY];
	uint8_t	commit[AEAD_COMMIT];
};
_Static_assert(sizeof(struct aead_keys) == crypto_generichash_blake2b_BYTES_MAX, "one BLAKE2b-512 output");

/* One keyed hash of the nonce gives both; finding two keys with one commitment is finding a collision. */
static void
aead_derive(const uint8_t key[SP_AEAD_KEY], const uint8_t nonce[AEAD_NONCE], struct aead_keys *ret)
{
	static const uint8_t personal[crypto_generichash_blake2b_PERSONALBYTES] = "sallyport aead1";
	static const uint8_t salt[crypto_generichash_blake2b_SALTBYTES];
	uint8_t out[sizeof(*ret)];

	/* Fails only for lengths out of range, which are constants here. */
	if (crypto_generichash_blake2b_salt_personal(out, sizeof(out), nonce, AEAD_NONCE, key, SP_AEAD_KEY, salt,
	    personal) != 0)
		sodium_misuse();
	memcpy(ret, out, sizeof(*ret));
	sodium_memzero(out, sizeof(out));
}

enum sp_err
sp_aead_seal(const uint8_t key[SP_AEAD_KEY], struct sp_view ad, struct sp_view plain, struct sp_buf *ret)
{
	struct aead_keys k;
	uint8_t *out;
	enum sp_err r;

	if (plain.len > SP_AEAD_PLAIN_MAX)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(ret, plain.len + SP_AEAD_OVERHEAD)) != SP_OK)
		return r;
	out = ret->p + ret->len;
	randombytes_buf(out, AEAD_NONCE);
	aead_derive(key, out, &k);
	memcpy(out + AEAD_NONCE, k.commit, AEAD_COMMIT);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + AEAD_NONCE + AEAD_COMMIT, NULL, plain.p, plain.len, ad.p, ad.len,
	    NULL, out, k.enc);
	sodium_memzero(&k, sizeof(k));
	ret->len += plain.len + SP_AEAD_OVERHEAD;
	ret->p[ret->len] = 0;
	return SP_OK;
}

enum sp_err
sp_aead_open(const uint8_t key[SP_AEAD_KEY], struct sp_view ad, struct sp_view sealed, struct sp_secret *ret)
{
	sp_auto_secret plain = { 0 };
	const uint8_t *body;
	struct aead_keys k;
	enum sp_err r;

	if (sealed.len < SP_AEAD_OVERHEAD)
		return SP_ESHORT;
	if (sealed.len > SP_AEAD_PLAIN_MAX + SP_AEAD_OVERHEAD)
		return SP_ESIZE;
	body = sealed.p + AEAD_NONCE + AEAD_COMMIT;
	aead_derive(key, sealed.p, &k);
	r = SP_EAUTH;
	if (sp_ct_equal(k.commit, sealed.p + AEAD_NONCE, AEAD_COMMIT) &&
	    (r = sp_secret_alloc(sealed.len - SP_AEAD_OVERHEAD, &plain)) == SP_OK &&
	    crypto_aead_xchacha20poly1305_ietf_decrypt(plain.p, NULL, NULL, body, plain.len + AEAD_TAG, ad.p, ad.len,
	    sealed.p, k.enc) != 0)
		r = SP_EAUTH;
	sodium_memzero(&k, sizeof(k));
	if (r == SP_OK)
		*ret = sp_secret_steal(&plain);
	return r;
}
