/* lib/crypto/sealbox.h - a secret sealed to a public key by someone who can then no longer read it: client to vault
 * (new secrets), vault to client (reveals). control carries these bytes and cannot open them.
 * libsodium crypto_box_seal (X25519, XSalsa20-Poly1305, ephemeral sender key) over
 *   "SPB1" || string kind || object id(16) || string secret
 * The context (kind, id) is checked on opening, so a blob made for one object is of no use for another. */
#ifndef SP_CRYPTO_SEALBOX_H
#define SP_CRYPTO_SEALBOX_H

#include <stdint.h>

#include "base/str.h"
#include "crypto/secret.h"

#define SP_SEALBOX_KEY		32
#define SP_SEALBOX_PLAIN_MAX	((size_t)256 * 1024)
#define SP_SEALBOX_OVERHEAD	(48 + 4 + 4 + 32 + 16 + 4)	/* at most */
#define SP_SEALBOX_MAX		(SP_SEALBOX_PLAIN_MAX + SP_SEALBOX_OVERHEAD)

/* kind: 1..32 bytes of [A-Za-z0-9._-], such as "account.password" or "reveal"; borrowed. */
struct sp_seal_context {
	const char	*kind;
	struct sp_uuid	 id;
};

enum sp_err	sp_sealbox_keypair(uint8_t ret_pk[SP_SEALBOX_KEY], struct sp_secret *ret_sk) SP_MUST_USE;
/* Append to *ret (initialised by the caller). SP_EINVAL (kind, weak public key), SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_sealbox_seal(const uint8_t pk[SP_SEALBOX_KEY], const struct sp_seal_context *ctx, struct sp_view plain,
		    struct sp_buf *ret) SP_MUST_USE;
/* SP_EAUTH: not for this key, changed, or made for another context. SP_ESHORT, SP_ESIZE, SP_EINVAL, SP_ENOMEM. */
enum sp_err	sp_sealbox_open(const uint8_t pk[SP_SEALBOX_KEY], const struct sp_secret *sk,
		    const struct sp_seal_context *ctx, struct sp_view sealed, struct sp_secret *ret) SP_MUST_USE;

#endif
