/* lib/crypto/hash.c - see hash.h. The functions of libcrypto that use the instructions of the processor (five
 * times as fast as libsodium's) and whose state is a value; their replacement in OpenSSL 3 is an object on the heap. */
#define OPENSSL_API_COMPAT 0x10101000L
#include "crypto/hash.h"

#include <openssl/sha.h>
#include <sodium.h>
#include <string.h>

#define HASH_BLOCK	64	/* bytes; of FIPS 180-4 */

void
sp_sha256(const void *p, size_t n, uint8_t ret[SP_SHA256_LEN])
{
	SHA256_CTX s;

	(void)SHA256_Init(&s);
	if (n > 0)
		(void)SHA256_Update(&s, p, n);
	(void)SHA256_Final(ret, &s);
}

void
sp_hmac_sha256_parts(struct sp_view key, const struct sp_view *part, size_t n, uint8_t ret[SP_SHA256_LEN])
{
	uint8_t pad[HASH_BLOCK] = { 0 }, inner[SP_SHA256_LEN];
	SHA256_CTX s;

	if (key.len > HASH_BLOCK)
		sp_sha256(key.p, key.len, pad);
	else if (key.len > 0)
		memcpy(pad, key.p, key.len);
	for (size_t i = 0; i < HASH_BLOCK; i++)
		pad[i] ^= 0x36;
	(void)SHA256_Init(&s);
	(void)SHA256_Update(&s, pad, HASH_BLOCK);
	for (size_t i = 0; i < n; i++)
		if (part[i].len > 0)
			(void)SHA256_Update(&s, part[i].p, part[i].len);
	(void)SHA256_Final(inner, &s);
	for (size_t i = 0; i < HASH_BLOCK; i++)
		pad[i] ^= 0x36 ^ 0x5c;
	(void)SHA256_Init(&s);
	(void)SHA256_Update(&s, pad, HASH_BLOCK);
	(void)SHA256_Update(&s, inner, sizeof(inner));
	(void)SHA256_Final(ret, &s);
	sodium_memzero(pad, sizeof(pad));
	sodium_memzero(inner, sizeof(inner));
	sodium_memzero(&s, sizeof(s));
}

void
sp_hmac_sha256(struct sp_view key, struct sp_view data, uint8_t ret[SP_SHA256_LEN])
{
	sp_hmac_sha256_parts(key, &data, 1, ret);
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
