/* src/vault/shares.h - shares of a Shamir slot while they come in, one per call. Process: vault. Pure.
 * Invariants: all belong to one set that the key file knows; no index twice; n < threshold between calls. */
#ifndef SP_VAULT_SHARES_H
#define SP_VAULT_SHARES_H

#include "crypto/shamir.h"
#include "crypto/slots.h"

#define SHARES_IDLE_US	(UINT64_C(600) * 1000000)	/* forgotten when nobody brings the next one */

struct shares {
	struct sp_share	*v;		/* SP_SHARES_MAX of them, or NULL */
	size_t		 n;
	unsigned	 threshold;
	uint64_t	 last_us;
};

void		shares_clear(struct shares *s);
void		shares_sweep(struct shares *s, uint64_t now_us);
/* Add one. *why gets a static sentence on failure; *ret_index the number of the share, 0 when unreadable.
 * SP_EFORMAT, SP_EVERSION, SP_ECORRUPT (mistyped), SP_ENOENT (not of this vault), SP_ECONFLICT (of another slot than
 * the first one), SP_EEXIST, SP_ENOMEM. */
enum sp_err	shares_add(struct shares *s, const struct sp_slots *file, struct sp_view text, uint64_t now_us,
		    const char **why, unsigned *ret_index) SP_MUST_USE;

#endif
