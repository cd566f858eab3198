/* src/courier/outbox.h - what is to leave the bastion, durable before it is confirmed. One file per day (UTC) in the
 * outbox directory, one JSON line per item: {"id","created","kind","payload"}.
 * Process: courier. Invariants: (1) an item is in the files once, however often control sends it, as far back as
 * SP_OUTBOX_KNOWN items or the last two files. (2) A file is a whole number of lines: what a crash cut is removed, it was
 * never confirmed. A clock that goes back does not go back to an older file: places in the outbox only rise. (3) After a failed fsync nothing is confirmed any more: the process ends. */
#ifndef SP_COURIER_OUTBOX_H
#define SP_COURIER_OUTBOX_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define SP_OUTBOX_KNOWN	32768
#define SP_OUTBOX_NAME	24	/* "2026-09-01.jsonl" with NUL */

struct sp_outbox;
/* Takes dirfd. Reads the ids of the last two files. SP_EIO, SP_ENOMEM. */
enum sp_err	sp_outbox_open(int dirfd, struct sp_outbox **ret) SP_MUST_USE;
void		sp_outbox_free(struct sp_outbox *o);	/* NULL is fine */
/* Append; durable after sp_outbox_sync. SP_EEXIST: it is there already (perhaps not synced yet). SP_ENOSPC: nothing was
 * written. wall_us: now, names the file. */
enum sp_err	sp_outbox_append(struct sp_outbox *o, const struct sp_uuid *id, const char *kind, const char *payload,
		    int64_t created_wall_us, int64_t wall_us) SP_MUST_USE;
/* Remove files of days before the one of that name ("2026-09-01.jsonl") that are older than SP_OUTBOX_KEEP days, too; never one of
 * the last two. What was in them was delivered, by the caller's word. *ret_n (may be NULL): how many. */
#define SP_OUTBOX_KEEP	30
enum sp_err	sp_outbox_prune(struct sp_outbox *o, const char *before, int64_t wall_us, size_t *ret_n) SP_MUST_USE;
int		sp_outbox_is_dirty(const struct sp_outbox *o);	/* something is not synced yet */
int		sp_outbox_is_file(const char *name);		/* is that the name of a day's file? */
enum sp_err	sp_outbox_sync(struct sp_outbox *o) SP_MUST_USE;	/* SP_EIO: fatal, not to be retried */

#endif
