/* lib/crypto/hash.h - SHA-256 and HMAC-SHA-256, in the shapes that lib/wire and row MACs want. Pure. */
#ifndef SP_CRYPTO_HASH_H
#define SP_CRYPTO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SP_SHA256_LEN	32

/* FIPS 180-4. Fits sp_sha256_fn of wire/sshkey.h. */
void	sp_sha256(const void *p, size_t n, uint8_t ret[SP_SHA256_LEN]);
/* The same over pieces. A value: copy it to read the hash so far and go on. */
struct sp_sha256 {
	uint64_t	state[16];
};
void	sp_sha256_begin(struct sp_sha256 *h);
void	sp_sha256_add(struct sp_sha256 *h, const void *p, size_t n);
void	sp_sha256_now(const struct sp_sha256 *h, uint8_t ret[SP_SHA256_LEN]);	/* of everything so far; h goes on */
/* RFC 2104 with SHA-256; any key length. */
void	sp_hmac_sha256(struct sp_view key, struct sp_view data, uint8_t ret[SP_SHA256_LEN]);
/* The same over n parts, one behind the other. */
void	sp_hmac_sha256_parts(struct sp_view key, const struct sp_view *part, size_t n, uint8_t ret[SP_SHA256_LEN]);

#endif
