/* lib/crypto/keyring.h - the keys of an unsealed vault, in locked memory.
 * Made by slots.h (create or open a key file), used by envelope.h and sealbox.h. One owner, one thread.
 * Invariants: 1 <= term_n <= SP_TERMS_MAX; term numbers rise strictly; the last one is current, used for new writes. */
#ifndef SP_CRYPTO_KEYRING_H
#define SP_CRYPTO_KEYRING_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/secret.h"

#define SP_TERMS_MAX	4096
#define SP_KEY_LEN	32

struct sp_keyring {
	struct sp_secret  root;		/* wraps everything below in the key file; replaced by a rekey */
	struct sp_secret  base;		/* stays for the life of the vault: row MACs, audit keys are derived from it */
	struct sp_secret  seal_sk;	/* X25519: clients seal new secrets to seal_pk */
	struct sp_secret  terms;	/* data keys, SP_KEY_LEN each, in the order of term_no */
	uint8_t		  seal_pk[SP_KEY_LEN];
	uint32_t	 *term_no;
	size_t		  term_n;
};
#define sp_auto_keyring	sp_auto(sp_keyring_release) struct sp_keyring

void		sp_keyring_release(struct sp_keyring *kr);	/* wipes; safe on zeroed memory and twice */
/* Number of the current term. */
uint32_t	sp_keyring_term(const struct sp_keyring *kr);
/* The data key of a term, borrowed; NULL if there is no such term. */
const uint8_t	*sp_keyring_key(const struct sp_keyring *kr, uint32_t term);
/* A 32-byte key for one use, named by a label; the same for the life of the vault, whatever is rotated or rekeyed. */
void		sp_keyring_derive(const struct sp_keyring *kr, const char *label, uint8_t ret[SP_KEY_LEN]);

#endif
