/* src/scribe/strand.h - the bytes of one file in one direction: counted, and hashed in the order of their offsets. Pure.
 * Process: scribe. */
#ifndef SP_SCRIBE_STRAND_H
#define SP_SCRIBE_STRAND_H

#include "base/buf.h"
#include "base/list.h"
#include "crypto/hash.h"
#include "scribe/transfer.h"

struct sp_strand_range {
	uint64_t	from, bytes;
	uint8_t		sha256[SP_SHA256_LEN];
};
struct sp_strand {
	uint64_t	bytes;		/* in all */
	uint64_t	next;		/* offset that the hash waits for */
	int		begun;
	struct sp_sha256 hash;		/* of the range that grows */
	struct sp_strand_range now;	/* it, without its hash */
	struct sp_strand_range *range;	/* those that are done; SP_TRANSFER_RANGES */
	unsigned	n;		/* of them; those beyond: */
	uint8_t		more[SP_SHA256_LEN];	/* of their bytes, as they came */
	struct sp_list	chunks;		/* what waits, by offset */
	size_t		*waiting;	/* bytes that wait in this channel; borrowed */
};

void	sp_strand_init(struct sp_strand *s, size_t *waiting);
void	sp_strand_release(struct sp_strand *s);
void	sp_strand_at(struct sp_strand *s, uint64_t offset);	/* the first bytes that were asked for are these */
void	sp_strand_put(struct sp_strand *s, uint64_t offset, const uint8_t *p, size_t n);
void	sp_strand_end(struct sp_strand *s);	/* no more: what waits is a range of its own. s->now is in range[] then */

#endif
