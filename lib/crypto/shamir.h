/* lib/crypto/shamir.h - split a secret into n shares of which any `threshold` give it back (Shamir 1979, bytewise over
 * GF(2^8) modulo x^8+x^4+x^3+x+1). Arithmetic is without tables and without secret branches.
 *
 * Text of a share, one line, what a person keeps on paper:
 *   sps1-<threshold>-<index>-<set id, 16 hex>-<data, hex>-<checksum, 16 hex>
 * in lower case. The checksum (first 64 bits of BLAKE2b-256 of all before it) finds typing errors; it does not prove who made the share:
 * key slots do that by opening a committed record with the result.
 * A checksum over a share tells nothing about the secret that a holder of the share would not know. */
#ifndef SP_CRYPTO_SHAMIR_H
#define SP_CRYPTO_SHAMIR_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/secret.h"

#define SP_SHARES_MAX		255
#define SP_SHARE_SET_ID		8
#define SP_SHARE_DATA_MAX	64	/* bytes of the secret that is split: 1..64 */
#define SP_SHARE_TEXT_SIZE	256	/* text with NUL never exceeds this */

struct sp_share {
	uint8_t		 set_id[SP_SHARE_SET_ID];	/* random, the same in all shares of a split */
	uint8_t		 threshold;			/* 2..255 */
	uint8_t		 index;				/* 1..255, the x coordinate */
	struct sp_secret data;
};

void		sp_share_release(struct sp_share *s);	/* safe on zeroed memory and twice */
/* Split into n shares, ret[0..n-1], each to be released. SP_EINVAL unless 2 <= threshold <= n <= 255; SP_ESIZE unless
 * the secret has 1..SP_SHARE_DATA_MAX bytes; SP_ENOMEM. On failure nothing is left in ret. */
enum sp_err	sp_shamir_split(struct sp_view secret, unsigned threshold, unsigned n, struct sp_share *ret) SP_MUST_USE;
/* Put shares together. All given shares must agree, those beyond the threshold too. Errors, each with a sentence for
 * people in *why (static; why may be NULL):
 *   SP_ESHORT     fewer shares than the threshold (or none)
 *   SP_ECONFLICT  shares of different sets
 *   SP_EEXIST     the same share twice
 *   SP_EFORMAT    shares of one set that differ in threshold or length, or bad fields
 *   SP_ECORRUPT   more shares than needed, and one of them contradicts the others
 *   SP_ENOMEM */
enum sp_err	sp_shamir_combine(const struct sp_share *shares, size_t n, const char **why, struct sp_secret *ret)
		    SP_MUST_USE;

/* The text of a share; the secret holds a NUL-terminated string, len without the NUL. */
enum sp_err	sp_share_format(const struct sp_share *s, struct sp_secret *ret) SP_MUST_USE;
/* Strict inverse; no blanks around it. SP_EFORMAT: not a share. SP_EVERSION: another share format.
 * SP_ECORRUPT: the checksum says that it was mistyped. why as above. */
enum sp_err	sp_share_parse(const char *text, size_t n, const char **why, struct sp_share *ret) SP_MUST_USE;

#endif
