/* src/control/rowkey.h - the key of the row MACs: from the vault to the store handles of the lanes; and what these handles
 * find, from the lanes to the audit log (whence alarm.c takes it). */
#ifndef SP_CONTROL_ROWKEY_H
#define SP_CONTROL_ROWKEY_H

#include "control/ctl.h"

/* What the vault said; the key in the message is wiped. */
void		 rowkey_state(Sallyport__VaultState *s);
int		 rowkey_known(void);	/* the vault has spoken once since we started */
/* Any thread: a key for one purpose of control's own, named by the label. SP_ESTATE: there is no key (yet). */
enum sp_err	 rowkey_derive(const char *label, uint8_t ret[32]) SP_MUST_USE;
/* In a lane, before each job: bring the handle to the state of the vault. *gen: 0 for a new handle. */
enum sp_err	 rowkey_apply(struct sp_store *s, uint64_t *gen) SP_MUST_USE;
/* In a lane, after each job: take what the handle found. */
void		 rowkey_collect(struct sp_store *s);
void		 rowkey_found(const struct sp_store_finding *f);	/* any thread */
void		 rowkey_tick(struct ctl *c, uint64_t now_us);	/* the loop: raise it */

/* The loop: what was raised and not mended since (the newest 256), for doctor; and a row that was accepted or removed. */
void		 rowkey_each(void (*fn)(const struct sp_store_finding *f, void *arg), void *arg);
void		 rowkey_mended(const char *table, const char *id);

/* The loop: a page of a look through everything was done; began_us: it was the first. Once it is done, what was raised
 * before and was not found again is forgotten: somebody has put it back. */
void		 rowkey_scan(struct ctl *c, uint64_t began_us, int done);

#endif
