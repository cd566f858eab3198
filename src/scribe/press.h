/* src/scribe/press.h - when the disk for recordings gets full: who goes first. Process: scribe; the parent looks, a recorder
 * obeys. Each recorder shares one page of memory with the parent and with nobody else.
 *
 *	free < SP_PRESS_LOW x reserve	every recorder takes at most SP_PRESS_STEP a tick from its session; each second the one
 *					whose files grew most is told to stop, if it grew at all
 *	free < SP_PRESS_HARD x reserve	nobody begins a session but administrators
 *	free < reserve			nobody does
 *	free < reserve / 2		recordings do not grow; their ends have their place already
 *
 * So who fills the disk is slowed and ended before another recording lacks space. */
#ifndef SP_SCRIBE_PRESS_H
#define SP_SCRIBE_PRESS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

#define SP_PRESS_LOW	4u
#define SP_PRESS_HARD	2u
#define SP_PRESS_STEP	(128u * 1024)	/* bytes of a recording in 100 ms, while the disk is low */
#define SP_PRESS_GROWN	(256u * 1024)	/* bytes in a second; less is no reason to end anybody */
#define SP_PRESS_TICK_US	250000u

/* Written by the parent, read by the recorder. */
struct sp_press {
	_Atomic uint32_t slow;		/* the disk is low */
	_Atomic uint32_t stop;		/* and this one wrote most */
};
/* A page that no later child inherits once sp_press_own() was called for it. NULL: no memory. */
struct sp_press *sp_press_new(void);
void		 sp_press_own(struct sp_press *p);	/* parent, behind the fork */
void		 sp_press_free(struct sp_press *p);	/* NULL is fine */

#endif
