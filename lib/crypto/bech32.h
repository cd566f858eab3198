/* lib/crypto/bech32.h - the text form of age keys (BIP 173, without its 90 character limit). Pure.
 * Constant time is not promised: identities are read once, by the person who owns them. */
#ifndef SP_CRYPTO_BECH32_H
#define SP_CRYPTO_BECH32_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define SP_BECH32_DATA_MAX	64	/* bytes of data */
#define SP_BECH32_HRP_MAX	32	/* characters of the human-readable part */
#define SP_BECH32_SIZE		(SP_BECH32_HRP_MAX + 1 + (SP_BECH32_DATA_MAX * 8 + 4) / 5 + 6 + 1)

/* hrp: lower case, 1..SP_BECH32_HRP_MAX. The text is lower case. SP_EINVAL, SP_ESIZE. */
enum sp_err	sp_bech32_encode(const char *hrp, const uint8_t *data, size_t n, char ret[SP_BECH32_SIZE]) SP_MUST_USE;
/* text must have that human-readable part and exactly n bytes of data; upper or lower case, not mixed.
 * SP_EFORMAT: not bech32, wrong checksum or another prefix. SP_ESIZE: another length. */
enum sp_err	sp_bech32_decode(const char *text, size_t len, const char *hrp, uint8_t *ret, size_t n) SP_MUST_USE;

#endif
