/* lib/crypto/age.h - the age v1 file format (C2SP age.md) with X25519 recipients: written for auditors, who read it with
 * stock age. Pure: bytes in, bytes out; the caller does the I/O.
 *
 * A file is header || nonce(16) || chunks. The header wraps a random file key for each recipient and ends with a MAC under
 * that key, so who holds no identity cannot change it; header and payload are apart, so a header can be made anew for other
 * recipients while every byte of the payload, and each hash over it, stays. A chunk is 64 KiB of plain text under
 * ChaCha20-Poly1305 with its number and a last-chunk flag in the nonce: a cut or reordered file does not open.
 * The writer keeps no key that opens the file after it has wiped the file key and the payload key. */
#ifndef SP_CRYPTO_AGE_H
#define SP_CRYPTO_AGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crypto/bech32.h"
#include "crypto/secret.h"

#define SP_AGE_FILE_KEY		16
#define SP_AGE_NONCE		16
#define SP_AGE_CHUNK		((size_t)65536)		/* plain text bytes; only the last may have fewer */
#define SP_AGE_SEALED_CHUNK	(SP_AGE_CHUNK + 16)
#define SP_AGE_RECIPIENTS_MAX	20			/* written; what age itself accepts is more */
#define SP_AGE_HEADER_MAX	((size_t)32 * 1024)	/* bytes read or written */
#define SP_AGE_STANZAS_MAX	64			/* looked at when reading */

struct sp_age_recipient {
	uint8_t	pk[32];
};

/* "age1..." SP_EFORMAT: not such a text; SP_EINVAL: a key that would give everyone the same secret. */
enum sp_err	sp_age_recipient_parse(const char *text, size_t len, struct sp_age_recipient *ret) SP_MUST_USE;
enum sp_err	sp_age_recipient_text(const struct sp_age_recipient *r, char ret[SP_BECH32_SIZE]) SP_MUST_USE;
/* A new key pair. The identity is 32 bytes. */
enum sp_err	sp_age_identity_new(struct sp_secret *ret, struct sp_age_recipient *ret_public) SP_MUST_USE;
/* The first "AGE-SECRET-KEY-1..." line of a key file; empty lines and "#" comments are passed over. SP_EFORMAT. */
enum sp_err	sp_age_identity_parse(struct sp_view text, struct sp_secret *ret) SP_MUST_USE;
/* The line that sp_age_identity_parse reads, without a newline. */
enum sp_err	sp_age_identity_text(const struct sp_secret *identity, struct sp_secret *ret) SP_MUST_USE;
enum sp_err	sp_age_identity_public(const struct sp_secret *identity, struct sp_age_recipient *ret) SP_MUST_USE;

/* Append a header for 1..SP_AGE_RECIPIENTS_MAX recipients. file_key: SP_AGE_FILE_KEY random bytes, never used for another
 * file. Also makes a header anew for an existing file key. SP_EINVAL, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_age_header_write(const struct sp_secret *file_key, const struct sp_age_recipient *to, size_t n,
		    struct sp_buf *ret) SP_MUST_USE;
/* Length of the header at the start of `bytes`. SP_ESHORT: it goes on behind them; SP_EFORMAT; SP_ESIZE: above
 * SP_AGE_HEADER_MAX; SP_EVERSION: another version. */
enum sp_err	sp_age_header_len(struct sp_view bytes, size_t *ret) SP_MUST_USE;
/* The file key, if one of the stanzas is for this identity and the MAC is right. header: exactly that many bytes.
 * SP_EDENIED: not encrypted to this identity. SP_EAUTH: changed. SP_EFORMAT, SP_ESIZE, SP_ENOMEM. */
enum sp_err	sp_age_header_open(struct sp_view header, const struct sp_secret *identity, struct sp_secret *ret) SP_MUST_USE;

/* The key of the chunks, from the file key and the 16 random bytes behind the header. */
enum sp_err	sp_age_payload_key(const struct sp_secret *file_key, const uint8_t nonce[SP_AGE_NONCE], struct sp_secret *ret)
		    SP_MUST_USE;
/* Append chunk number i. Every chunk but the last has exactly SP_AGE_CHUNK bytes; the last may be empty only as number 0.
 * SP_EINVAL, SP_ENOMEM, SP_ESIZE. */
enum sp_err	sp_age_seal(const struct sp_secret *payload_key, uint64_t i, int last, struct sp_view plain, struct sp_buf *ret)
		    SP_MUST_USE;
/* Append the plain text of a chunk. SP_EAUTH: changed, of another place, or not (or indeed) the last. */
enum sp_err	sp_age_open(const struct sp_secret *payload_key, uint64_t i, int last, struct sp_view sealed, struct sp_buf *ret)
		    SP_MUST_USE;

#endif
