/* lib/crypto/hash.c - see hash.h. Over pieces, where there are gigabytes: the functions of libcrypto that use the
 * instructions of the processor and whose state is a value; their replacement in OpenSSL 3 is an object on the heap. */
#define OPENSSL_API_COMPAT 0x10101000L
#include "crypto/hash.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

void
sp_sha256(const void *p, size_t n, uint8_t ret[SP_SHA256_LEN])
{
	crypto_hash_sha256(ret, n > 0 ? p : (const void *)"", n);
}

void
sp_hmac_sha256(struct sp_view key, struct sp_view data, uint8_t ret[SP_SHA256_LEN])
{
	crypto_auth_hmacsha256_state st;

	/* libsodium declares the key not to be NULL, also when it is empty */
	crypto_auth_hmacsha256_init(&st, key.len > 0 ? key.p : (const uint8_t *)"", key.len);
	crypto_auth_hmacsha256_update(&st, data.p, data.len);
	crypto_auth_hmacsha256_final(&st, ret);
	sodium_memzero(&st, sizeof(st));
}

_Static_assert(sizeof(struct sp_sha256) >= sizeof(SHA256_CTX), "room for the state");

void
sp_sha256_begin(struct sp_sha256 *h)
{
	SHA256_CTX s;

	(void)SHA256_Init(&s);
	*h = (struct sp_sha256){ { 0 } };
	memcpy(h->state, &s, sizeof(s));
}

void
sp_sha256_add(struct sp_sha256 *h, const void *p, size_t n)
{
	SHA256_CTX s;

	memcpy(&s, h->state, sizeof(s));
	(void)SHA256_Update(&s, p, n);
	memcpy(h->state, &s, sizeof(s));
}

void
sp_sha256_now(const struct sp_sha256 *h, uint8_t ret[SP_SHA256_LEN])
{
	SHA256_CTX s;

	memcpy(&s, h->state, sizeof(s));
	(void)SHA256_Final(ret, &s);
}
