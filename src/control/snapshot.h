/* src/control/snapshot.h - going on when the store is away: a signed copy of the rows that logins and decisions need, in
 * <state_dir>/snapshot, made after changes and every ten minutes, used when the store cannot be opened.
 * Process: control. Everything but snapshot_in_use() and snapshot_text() belongs to the event loop. */
#ifndef SP_CONTROL_SNAPSHOT_H
#define SP_CONTROL_SNAPSHOT_H

#include "control/ctl.h"

enum sp_err	 snapshot_new(struct ctl *c) SP_MUST_USE;	/* before boot_start() */
void		 snapshot_stop(struct ctl *c);		/* waits for what runs; before the lanes end */
void		 snapshot_free(struct ctl *c);
void		 snapshot_tick(struct ctl *c, uint64_t now_us);
void		 snapshot_away(struct ctl *c);		/* the store could not be opened just now */
void		 snapshot_changed(struct ctl *c);	/* rows were changed: make a new one soon */
/* The vault's key for row MACs, or n 0 when it is sealed. A key of our own is derived from it. */
void		 snapshot_key(struct ctl *c, const void *key, size_t n);
int		 snapshot_in_use(const struct ctl *c);	/* any thread */
/* One line for people while a snapshot is in use, else "". Any thread. */
void		 snapshot_text(const struct ctl *c, char *dst, size_t size);
json_t		*snapshot_json(const struct ctl *c);
/* A line for `doctor`; returns whether all is well. */
int		 snapshot_doctor(const struct ctl *c, char *dst, size_t size);

#endif
