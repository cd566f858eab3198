/* src/gate/penalty.h - remember sources that misbehave before login, and for how long to refuse them.
 * Process: gate. Pure: no I/O, no clock; the caller owns the table and the time. */
#ifndef SP_GATE_PENALTY_H
#define SP_GATE_PENALTY_H

#include "base/htab.h"
#include "gate/source.h"

#define PENALTY_MAX	4096u
#define PENALTY_LONGEST_US UINT64_C(86400000000)	/* one day: a mistake must heal by itself */

struct penalty {
	struct sp_hnode		node;
	struct gate_source	src;
	uint64_t		until_us;	/* CLOCK_BOOTTIME */
};
struct penalty_table {
	struct sp_htab	 by_src;
	struct penalty	*slot;		/* PENALTY_MAX of them, the first n in use */
	size_t		 n;
};

enum sp_err	penalty_init(struct penalty_table *t) SP_MUST_USE;
void		penalty_release(struct penalty_table *t);
/* Refuse src for for_us from now on (at most PENALTY_LONGEST_US); a longer refusal that is in force stays. 0 forgives. */
void		penalty_add(struct penalty_table *t, const struct gate_source *src, uint64_t for_us, uint64_t now_us);
int		penalty_is_refused(const struct penalty_table *t, const struct gate_source *src, uint64_t now_us);

#endif
