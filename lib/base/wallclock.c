/* lib/base/wallclock.c - see wallclock.h. */
#include "base/wallclock.h"

static uint64_t
since(uint64_t boot_us, uint64_t then_us)
{
	return boot_us > then_us ? boot_us - then_us : 0;
}

static int64_t
wallclock_expected(const struct sp_wallclock *w, uint64_t boot_us)
{
	return w->high_us + (int64_t)since(boot_us, w->at_us);
}

/* A mark of another boot says nothing about how long the machine was off: any later time may be right. */
static enum sp_wallclock_state
wallclock_state(const struct sp_wallclock *w)
{
	if (w->off_us < -SP_WALLCLOCK_NEAR_US)
		return SP_WALLCLOCK_BEHIND;
	return w->off_us > SP_WALLCLOCK_FAR_US && !w->was_off ? SP_WALLCLOCK_AHEAD : SP_WALLCLOCK_AGREES;
}

/* The wall clock agrees: it has the word. */
static void
wallclock_follow(struct sp_wallclock *w, uint64_t boot_us)
{
	w->was_off = 0;
	if (w->off_us > SP_WALLCLOCK_NEAR_US) {
		w->jump_us += w->off_us;
		w->jumped_us = boot_us;
	} else if (since(boot_us, w->jumped_us) >= (uint64_t)SP_WALLCLOCK_FAR_US) {
		w->jump_us = 0;
	}
	if (w->off_us > 0)
		w->high_us += w->off_us;
}

int64_t
sp_wallclock_now(struct sp_wallclock *w, int64_t wall_us, uint64_t boot_us)
{
	if (w->high_us == 0)
		sp_wallclock_accept(w, wall_us, boot_us);
	w->high_us = wallclock_expected(w, boot_us);
	w->at_us += since(boot_us, w->at_us);
	w->off_us = wall_us - w->high_us;
	if ((w->state = wallclock_state(w)) == SP_WALLCLOCK_AGREES)
		wallclock_follow(w, boot_us);
	return w->high_us;
}

int64_t
sp_wallclock_dating(const struct sp_wallclock *w, int64_t wall_us, uint64_t boot_us)
{
	int64_t expected = wallclock_expected(w, boot_us);

	if (w->state == SP_WALLCLOCK_BEHIND && wall_us >= expected - w->jump_us - SP_WALLCLOCK_NEAR_US)
		return wall_us;
	return expected;
}

void
sp_wallclock_restore(struct sp_wallclock *w, const struct sp_wallclock *mark, int same_boot)
{
	*w = *mark;
	w->state = SP_WALLCLOCK_AGREES;
	w->off_us = 0;
	if (!same_boot) {
		w->at_us = w->jumped_us = 0;
		w->was_off = 1;
	}
}

void
sp_wallclock_accept(struct sp_wallclock *w, int64_t wall_us, uint64_t boot_us)
{
	*w = (struct sp_wallclock){ .high_us = wall_us, .at_us = boot_us };
}
