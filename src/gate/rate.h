/* src/gate/rate.h - how many connections a source may make: one token bucket for each source seen lately.
 * Process: gate. Pure: the caller owns the table and the time. */
#ifndef SP_GATE_RATE_H
#define SP_GATE_RATE_H

#include "base/htab.h"
#include "base/list.h"
#include "gate/source.h"

#define RATE_MAX	16384u	/* sources */

struct rate {
	struct sp_hnode		node;
	struct sp_list		link;	/* in rate_table.recent, last used at the end */
	struct gate_source	src;
	uint64_t		at_us;
	double			tokens;
};
struct rate_table {
	struct sp_htab	 by_src;
	struct sp_list	 recent;
	struct rate	*slot;
	size_t		 n;
	double		 per_s, burst;
};

enum sp_err	rate_init(struct rate_table *t, double per_s, double burst) SP_MUST_USE;
void		rate_release(struct rate_table *t);
void		rate_set(struct rate_table *t, double per_s, double burst);	/* in force from the next connection */
/* Takes a token; 0 if there is none. */
int		rate_take(struct rate_table *t, const struct gate_source *src, uint64_t now_us);

#endif
