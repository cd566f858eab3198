/* lib/crypto/hash.c - see hash.h. */
#include "crypto/hash.h"

#include <sodium.h>

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
