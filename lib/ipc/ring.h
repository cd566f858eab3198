/* lib/ipc/ring.h - bytes of a bulk stream on their way from one process to another through a ring in shared memory: one copy,
 * and a wake-up now and then, in place of a message for each piece. One writer, one reader, beside a channel (chan.h) between
 * the two: what is in the ring and what went through the channel have one order, because each record says after how many
 * messages it was written.
 *
 *   reader: sp_ring_new ── descriptor in a message ──► writer: sp_ring_open
 *
 * The reader makes it, so its size cannot change (sealed); and what the writer publishes stays there when the writer dies.
 * Invariants: (1) a record is there whole or not at all. (2) Neither side believes the other: a position that cannot be is an
 * error, and the head of a record is copied before it is looked at. Its bytes lie in shared memory: a writer that lies may
 * change them at any time, so they may be hashed or copied there, but not parsed. (3) Nobody waits for good: who goes to
 * sleep says so first and looks again after that. Not thread-safe within a process. */
#ifndef SP_IPC_RING_H
#define SP_IPC_RING_H

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "ipc/recdata.h"

#define SP_RING_BYTES	((size_t)1024 * 1024)	/* of records; a power of two */

struct sp_ring_head {		/* of a record, in the ring */
	uint64_t		after;		/* messages that its writer had sent on the channel before */
	uint32_t		len;		/* 1..SP_REC_CHUNK bytes behind it */
	uint32_t		zero;
	struct sp_recdata	data;
};
_Static_assert(sizeof(struct sp_ring_head) == 32, "layout");
struct sp_ring;

/* ---- the reader */
/* ret_fd: for the writer; the caller's. */
enum sp_err	 sp_ring_new(struct sp_ring **ret, int *ret_fd) SP_MUST_USE;
/* The oldest record, without taking it. SP_EAGAIN: there is none; SP_EFORMAT: the writer lies. bytes: see (2). */
enum sp_err	 sp_ring_next(struct sp_ring *r, struct sp_ring_head *ret, struct sp_view *ret_bytes) SP_MUST_USE;
void		 sp_ring_done(struct sp_ring *r);	/* with the record that sp_ring_next() gave */
/* Ask the writer for a wake-up when there are `bytes` in the ring, heads included. 0: there are already: no wake-up comes. */
int		 sp_ring_sleep(struct sp_ring *r, size_t bytes) SP_MUST_USE;
int		 sp_ring_wanted(struct sp_ring *r);	/* 1, once: the writer waits for room, and half of it is free */

/* ---- the writer */
enum sp_err	 sp_ring_open(int fd, struct sp_ring **ret) SP_MUST_USE;	/* fd is borrowed. SP_EFORMAT: another size */
/* Write a record of 1..SP_REC_CHUNK bytes. SP_EAGAIN: no room; SP_EFORMAT: the reader lies. ret_wake: the reader sleeps, and
 * wants to be told now. */
enum sp_err	 sp_ring_put(struct sp_ring *r, uint64_t after, const struct sp_recdata *d, const uint8_t *p, size_t n,
		    int *ret_wake) SP_MUST_USE;
int		 sp_ring_await(struct sp_ring *r) SP_MUST_USE;	/* be told when there is room. 0: there is: nobody will tell */
void		 sp_ring_trim(struct sp_ring *r);	/* give its memory back, if all was read */

void		 sp_ring_free(struct sp_ring *r);	/* this side's; NULL is fine */

#endif
