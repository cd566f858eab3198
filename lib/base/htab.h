/* lib/base/htab.h - intrusive chained hash table, keyed by bytes inside the element (SipHash-free: keys are uuids and
 * addresses that we chose or that a random seed covers). Owns its buckets, never its elements. */
#ifndef SP_BASE_HTAB_H
#define SP_BASE_HTAB_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "err.h"

struct sp_hnode {
	struct sp_hnode	*next;
	uint64_t	 hash;
	const void	*key;		/* borrowed from the element; must not change while in the table */
	size_t		 key_len;
};
struct sp_htab {
	struct sp_hnode	**bucket;
	size_t		  n_buckets, n;
	uint64_t	  seed;
};

enum sp_err	 sp_htab_init(struct sp_htab *t) SP_MUST_USE;
void		 sp_htab_release(struct sp_htab *t);
/* Element must not be in a table. SP_EEXIST if the key is there, SP_ENOMEM. */
enum sp_err	 sp_htab_insert(struct sp_htab *t, struct sp_hnode *n, const void *key, size_t key_len) SP_MUST_USE;
struct sp_hnode	*sp_htab_find(const struct sp_htab *t, const void *key, size_t key_len);
void		 sp_htab_remove(struct sp_htab *t, struct sp_hnode *n);	/* n is in t, or was never inserted (key NULL) */
/* Visit every element in no order; fn may remove the element that it is given. */
void		 sp_htab_each(struct sp_htab *t, void (*fn)(struct sp_hnode *, void *), void *arg);

#endif
