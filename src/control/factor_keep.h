/* src/control/factor_keep.h - what was shown of second factors, kept on this machine beside the store, so that a restart of
 * control forgets neither how long a code counts nor that it was used, whatever the store knows. Process: control. */
#ifndef SP_CONTROL_FACTOR_KEEP_H
#define SP_CONTROL_FACTOR_KEEP_H

#include <pthread.h>

#include "control/ctl.h"
#include "control/factor.h"
#include "control/factorlog.h"

struct keep;
enum sp_err	keep_new(struct ctl *c, struct keep **ret) SP_MUST_USE;
void		keep_free(struct keep *k);		/* what is queued is written first; NULL is fine */
/* In the loop: append a record; wall, boot and boot_us are filled in here. done follows once, in the loop, when it is on disk;
 * SP_ESTATE: the vault was never open, so there is no key; SP_EFULL. done may be NULL. */
typedef void	keep_fn(void *arg, enum sp_err err);
void		keep_put(struct keep *k, struct factorlog *r, keep_fn *done, void *arg);

/* In a lane, before its jobs: read the file once there is a key, and bring f (under mu) to what it says. Proofs count only if
 * the store still has that user, epoch and factor. */
void		keep_load(struct keep *k, struct sp_store *s, struct factors *f, pthread_mutex_t *mu);
/* In the loop: a record that the store is yet to hear of, as the file had it. 0: no more. */
int		keep_late(struct keep *k, struct factorlog *ret);

#endif
