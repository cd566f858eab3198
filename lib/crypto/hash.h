/* lib/crypto/hash.h - SHA-256 and HMAC-SHA-256, in the shapes that lib/wire and row MACs want. Pure. */
#ifndef SP_CRYPTO_HASH_H
#define SP_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SP_SHA256_LEN	32

/* FIPS 180-4. Fits sp_sha256_fn of wire/sshkey.h. */
void	sp_sha256(const void *p, size_t n, uint8_t ret[SP_SHA256_LEN]);
/* RFC 2104 with SHA-256; any key length. */
void	sp_hmac_sha256(struct sp_view key, struct sp_view data, uint8_t ret[SP_SHA256_LEN]);

#endif
