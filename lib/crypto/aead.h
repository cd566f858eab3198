/* lib/crypto/aead.h - authenticated encryption of small records, committed to its key.
 * Sealed form: nonce(24) || commitment(32) || ciphertext || tag(16).
 * From the 32-byte key and the random nonce, BLAKE2b-512 (keyed, personalised) makes an encryption key and a
 * commitment; the payload is XChaCha20-Poly1305-IETF under that key and nonce. XChaCha20-Poly1305 alone does not
 * commit: one ciphertext may open under two keys, which lets whoever tries several keys be used as an oracle. The
 * commitment is compared, in constant time, before anything is decrypted.
 * Nonces are random and 192 bits wide: no counter to keep. */
#ifndef SP_CRYPTO_AEAD_H
#define SP_CRYPTO_AEAD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crypto/secret.h"

#define SP_AEAD_KEY		32
#define SP_AEAD_OVERHEAD	(24 + 32 + 16)
#define SP_AEAD_PLAIN_MAX	((size_t)512 * 1024)	/* bytes */

/* Append the sealed form of `plain` to *ret (initialised by the caller; unchanged on failure).
 *   ad   borrowed; authenticated, not stored
 * SP_ESIZE: plain above SP_AEAD_PLAIN_MAX or ret full. SP_ENOMEM. */
enum sp_err	sp_aead_seal(const uint8_t key[SP_AEAD_KEY], struct sp_view ad, struct sp_view plain,
		    struct sp_buf *ret) SP_MUST_USE;
/* SP_EAUTH: wrong key, wrong ad or changed bytes (which one is not told). SP_ESHORT, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_aead_open(const uint8_t key[SP_AEAD_KEY], struct sp_view ad, struct sp_view sealed,
		    struct sp_secret *ret) SP_MUST_USE;

#endif
