/* lib/base/wallclock.h - a wall clock that never goes back: what decisions about validity windows, keys and the like go by.
 * CLOCK_BOOTTIME carries it on from the highest wall time seen, so a clock that is set back revives nothing and what is to
 * end still ends. A clock that jumps far ahead is not believed either: it would end every grant, or open one of next year.
 * Pure: no clock is read here, and no lock taken. */
#ifndef SP_BASE_WALLCLOCK_H
#define SP_BASE_WALLCLOCK_H

#include <stdint.h>

#include "base/clock.h"

#define SP_WALLCLOCK_NEAR_US	(60 * (int64_t)SP_US_PER_S)		/* further off than this is a jump, and said */
#define SP_WALLCLOCK_FAR_US	(86400 * (int64_t)SP_US_PER_S)	/* a jump ahead beyond this is not followed */

enum sp_wallclock_state { SP_WALLCLOCK_AGREES, SP_WALLCLOCK_BEHIND, SP_WALLCLOCK_AHEAD };
/* All zero: it has seen nothing, and believes the first wall time. */
struct sp_wallclock {
	int64_t		high_us;	/* wall time, at */
	uint64_t	at_us;		/* this CLOCK_BOOTTIME */
	int		was_off;	/* the mark is of another boot: how long the machine was off shows when its clock agrees */
	int64_t		jump_us;	/* what high_us owes to jumps ahead within the last day */
	uint64_t	jumped_us;	/* CLOCK_BOOTTIME of the last of them */
	enum sp_wallclock_state state;	/* when last asked */
	int64_t		off_us;		/* wall - expected, then */
};

/* The time to judge by. Never less than what was said before, except after sp_wallclock_accept. */
int64_t	sp_wallclock_now(struct sp_wallclock *w, int64_t wall_us, uint64_t boot_us);
/*
 * The time that other machines have by best knowledge, to date what they check. The same as above, but a jump ahead that
 * was undone does not count: when the wall clock is back where it would be without it, it is right. Ask after
 * sp_wallclock_now.
 */
int64_t	sp_wallclock_dating(const struct sp_wallclock *w, int64_t wall_us, uint64_t boot_us);
/* Take up the mark of an earlier process; nothing may have been asked yet. */
void	sp_wallclock_restore(struct sp_wallclock *w, const struct sp_wallclock *mark, int same_boot);
/* Somebody looked at the wall clock and says that it is right. */
void	sp_wallclock_accept(struct sp_wallclock *w, int64_t wall_us, uint64_t boot_us);

#endif
