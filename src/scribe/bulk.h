/* src/scribe/bulk.h - how much of a stream without a terminal is recorded whole. Process: scribe. Pure.
 *
 * The first `max` bytes are; beyond that a stream is as long as it stays below SP_BULK_SLOW bytes a second, and again when it
 * becomes so: a bucket of `max` bytes that fills at that rate and that every byte drains, recorded or not. What is left
 * out is counted and hashed, and nothing that the stream says has a part in it. max 0: everything is whole.
 * Invariant: every byte is either recorded, or in the counts of exactly one gap. */
#ifndef SP_SCRIBE_BULK_H
#define SP_SCRIBE_BULK_H

#include "crypto/hash.h"

#define SP_BULK_SLOW	64000u	/* bytes a second */

struct sp_bulk_gap {
	uint64_t	bytes, from, at_us;	/* left out; offset of the first one; when it began */
};
struct sp_bulk {
	uint64_t	max, at_us;
	int64_t		left;		/* bytes in the bucket; down to one second's worth below nothing */
	uint64_t	total;		/* bytes of the stream */
	struct sp_bulk_gap gap;		/* bytes > 0: they are left out just now */
	struct sp_sha256 hash;		/* of the stream; not kept with max 0 */
	struct sp_sha256 over;		/* of the stream up to the end of the gap that ended last */
};
void	sp_bulk_init(struct sp_bulk *b, uint64_t max, uint64_t now_us);
/* Of the next n bytes, n > 0: how many, from the first on, are recorded; the rest is left out. *ret_over: a gap that ended in
 * front of them (bytes 0: none did). A new one is in b->gap. p NULL: the caller adds to b->hash, behind this call, what belongs there. */
size_t	sp_bulk_take(struct sp_bulk *b, const uint8_t *p, size_t n, uint64_t now_us, struct sp_bulk_gap *ret_over);
/* True if of bytes that come now none is recorded: they are counted and hashed only. */
int	sp_bulk_counts_only(const struct sp_bulk *b, uint64_t now_us) SP_MUST_USE;

#endif
