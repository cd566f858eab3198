/* lib/crypto/envelope.h - how a secret lies in the store: a record with its own key, wrapped by a data key (term).
 *
 *   "SPE1" || u32 term || wrapped key (104 bytes, aead.h) || payload (aead.h)
 *
 * The associated data of both parts names the object, its version and the field, so a record moved to another row,
 * field or older version does not open; that of the wrapped key names the term, too. Rotation wraps the per-secret key
 * anew and leaves the payload as it is, so it costs the same for every size and sees no plaintext. */
#ifndef SP_CRYPTO_ENVELOPE_H
#define SP_CRYPTO_ENVELOPE_H

#include <stdint.h>

#include "base/str.h"
#include "crypto/aead.h"
#include "crypto/keyring.h"

#define SP_ENVELOPE_PLAIN_MAX	((size_t)256 * 1024)	/* bytes */
#define SP_ENVELOPE_OVERHEAD	(4 + 4 + SP_KEY_LEN + 2 * SP_AEAD_OVERHEAD)
#define SP_ENVELOPE_MAX		(SP_ENVELOPE_PLAIN_MAX + SP_ENVELOPE_OVERHEAD)

/* What the record belongs to. field: 1..32 bytes of [A-Za-z0-9._-], borrowed. */
struct sp_envelope_ad {
	struct sp_uuid	 object;
	uint32_t	 version;
	const char	*field;
};

/* Append a record for `plain` under the current term to *ret (initialised by the caller; unchanged on failure).
 * SP_ESIZE, SP_EINVAL (field name), SP_ENOMEM. */
enum sp_err	sp_envelope_seal(const struct sp_keyring *kr, const struct sp_envelope_ad *ad, struct sp_view plain,
		    struct sp_buf *ret) SP_MUST_USE;
/* SP_EAUTH: changed bytes or another object, version or field. SP_ENOENT: its term is not in the keyring.
 * SP_EVERSION: not a record of this format. SP_ESHORT, SP_ESIZE, SP_EINVAL, SP_ENOMEM. */
enum sp_err	sp_envelope_open(const struct sp_keyring *kr, const struct sp_envelope_ad *ad, struct sp_view record,
		    struct sp_secret *ret) SP_MUST_USE;
/* Append to *ret the same record with its key wrapped by the current term. The payload is copied as it is; it is not
 * decrypted, hence a damaged payload is found by open, not here. Errors as for open. */
enum sp_err	sp_envelope_rewrap(const struct sp_keyring *kr, const struct sp_envelope_ad *ad, struct sp_view record,
		    struct sp_buf *ret) SP_MUST_USE;
/* Which term wraps this record. SP_ESHORT, SP_EVERSION. */
enum sp_err	sp_envelope_term(struct sp_view record, uint32_t *ret) SP_MUST_USE;

#endif
