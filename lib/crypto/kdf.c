/* lib/crypto/kdf.c - see kdf.h. HKDF is written over libsodium's HMAC-SHA-256 (1.0.18 has no HKDF of its own). */
#include "crypto/kdf.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/hash.h"

#define HKDF_HASH	SP_SHA256_LEN

enum sp_err
sp_hkdf_sha256(struct sp_view ikm, struct sp_view salt, struct sp_view info, uint8_t *out, size_t n)
{
	crypto_auth_hmacsha256_state st;
	uint8_t prk[HKDF_HASH], t[HKDF_HASH];
	size_t done = 0, take;

	if (n == 0 || n > 255 * HKDF_HASH)
		return SP_ESIZE;
	sp_hmac_sha256(salt, ikm, prk);		/* an empty salt is the HMAC key of zeros that the RFC asks for */
	for (uint8_t i = 1; done < n; i++, done += take) {
		crypto_auth_hmacsha256_init(&st, prk, sizeof(prk));
		crypto_auth_hmacsha256_update(&st, t, i == 1 ? 0 : sizeof(t));
		crypto_auth_hmacsha256_update(&st, info.p, info.len);
		crypto_auth_hmacsha256_update(&st, &i, 1);
		crypto_auth_hmacsha256_final(&st, t);
		take = n - done < sizeof(t) ? n - done : sizeof(t);
		memcpy(out + done, t, take);
	}
	sodium_memzero(&st, sizeof(st));
	sodium_memzero(prk, sizeof(prk));
	sodium_memzero(t, sizeof(t));
	return SP_OK;
}

void
sp_kdf_subkey(const uint8_t key[32], const char *label, struct sp_view context, uint8_t ret[32])
{
	static const char prefix[] = "sallyport v1 ";
	uint8_t prk[HKDF_HASH], one = 1;
	crypto_auth_hmacsha256_state st;

	/* HKDF for one block of output, fed in pieces: no buffer to bound for label and context. */
	sp_hmac_sha256((struct sp_view){ 0 }, (struct sp_view){ key, 32 }, prk);
	crypto_auth_hmacsha256_init(&st, prk, sizeof(prk));
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)prefix, sizeof(prefix) - 1);
	crypto_auth_hmacsha256_update(&st, (const uint8_t *)label, strlen(label) + 1);
	crypto_auth_hmacsha256_update(&st, context.p, context.len);
	crypto_auth_hmacsha256_update(&st, &one, 1);
	crypto_auth_hmacsha256_final(&st, ret);
	sodium_memzero(&st, sizeof(st));
	sodium_memzero(prk, sizeof(prk));
}

void
sp_argon2_make(enum sp_argon2_cost cost, struct sp_argon2 *ret)
{
	static const struct { uint32_t ops; uint64_t mem_mib; } costs[] = {
		[SP_ARGON2_LIGHT]	= { 2, 64 },
		[SP_ARGON2_MODERATE]	= { 3, 256 },
		[SP_ARGON2_SENSITIVE]	= { 4, 1024 },
	};

	*ret = (struct sp_argon2){ .ops = costs[cost].ops, .mem_bytes = costs[cost].mem_mib << 20 };
	randombytes_buf(ret->salt, sizeof(ret->salt));
}

enum sp_err
sp_argon2_check(const struct sp_argon2 *a)
{
	if (a->ops < 1 || a->ops > SP_ARGON2_OPS_MAX || a->mem_bytes % 1024 != 0)
		return SP_EINVAL;
	return a->mem_bytes >= SP_ARGON2_MEM_MIN && a->mem_bytes <= SP_ARGON2_MEM_MAX ? SP_OK : SP_EINVAL;
}

enum sp_err
sp_argon2id(struct sp_view passphrase, const struct sp_argon2 *a, struct sp_secret *ret)
{
	struct sp_secret key = { 0 };
	enum sp_err r;

	_Static_assert(SP_ARGON2_SALT == crypto_pwhash_argon2id_SALTBYTES, "salt size");
	if (passphrase.len == 0 || passphrase.len > SP_PASSWORD_MAX)
		return SP_ESIZE;
	if ((r = sp_argon2_check(a)) != SP_OK || (r = sp_secret_alloc(32, &key)) != SP_OK)
		return r;
	if (crypto_pwhash_argon2id(key.p, key.len, (const char *)passphrase.p, passphrase.len, a->salt, a->ops,
	    a->mem_bytes, crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
		sp_secret_release(&key);
		return SP_ENOMEM;	/* the only way to fail with checked parameters */
	}
	*ret = key;
	return SP_OK;
}

enum sp_err
sp_pwhash_make(struct sp_view password, char ret[SP_PWHASH_SIZE])
{
	char text[crypto_pwhash_argon2id_STRBYTES];

	_Static_assert(SP_PWHASH_SIZE == crypto_pwhash_argon2id_STRBYTES, "hash text size");
	if (password.len > SP_PASSWORD_MAX)
		return SP_ESIZE;
	if (crypto_pwhash_argon2id_str(text, password.len > 0 ? (const char *)password.p : "", password.len,
	    crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE, crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE) != 0)
		return SP_ENOMEM;
	memcpy(ret, text, sizeof(text));
	return SP_OK;
}

/* Read a decimal of 1..max after `name` and step over `end`; 0 when it is anything else. */
static uint64_t
pwhash_number(const char **s, const char *name, char end, uint64_t max)
{
	size_t n = strlen(name);
	uint64_t v = 0;
	const char *p;

	if (strncmp(*s, name, n) != 0)
		return 0;
	for (p = *s + n; *p >= '0' && *p <= '9' && v <= max; p++)
		v = v * 10 + (uint64_t)(*p - '0');
	if (*p != end || v > max)
		return 0;
	*s = p + 1;
	return v;
}

/* "$argon2id$v=19$m=KIB,t=OPS,p=1$salt$hash", with the costs within our limits. */
static int
pwhash_is_ours(const char *s)
{
	static const char head[] = "$argon2id$v=19$";

	if (strnlen(s, SP_PWHASH_SIZE) >= SP_PWHASH_SIZE || strncmp(s, head, sizeof(head) - 1) != 0)
		return 0;
	s += sizeof(head) - 1;
	return pwhash_number(&s, "m=", ',', SP_PWHASH_MEM_MAX / 1024) != 0 &&
	    pwhash_number(&s, "t=", ',', SP_PWHASH_OPS_MAX) != 0 && pwhash_number(&s, "p=", '$', 1) == 1;
}

enum sp_err
sp_pwhash_verify(const char *stored, struct sp_view password)
{
	if (!pwhash_is_ours(stored))
		return SP_ECORRUPT;
	if (password.len > SP_PASSWORD_MAX)
		return SP_ESIZE;
	/* libsodium gives the same -1 for a wrong password and for failed memory: both are a refusal. */
	return crypto_pwhash_argon2id_str_verify(stored, password.len > 0 ? (const char *)password.p : "", password.len) == 0
	    ? SP_OK : SP_EAUTH;
}

enum sp_err
sp_pwhash_verify_nobody(struct sp_view password)
{
	static const uint8_t salt[crypto_pwhash_argon2id_SALTBYTES];
	uint8_t out[32];
	int rc;

	/* Same algorithm and costs as a real verification; an overlong password takes no time there either. */
	if (password.len > SP_PASSWORD_MAX)
		return SP_EAUTH;
	rc = crypto_pwhash_argon2id(out, sizeof(out), password.len > 0 ? (const char *)password.p : "", password.len, salt,
	    crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE, crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE,
	    crypto_pwhash_argon2id_ALG_ARGON2ID13);
	sodium_memzero(out, sizeof(out));
	return rc == 0 ? SP_EAUTH : SP_ENOMEM;
}
