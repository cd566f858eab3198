/* src/control/wall.h - the wall time that control judges by (base/wallclock.h), and its durable high-water mark. */
#ifndef SP_CONTROL_WALL_H
#define SP_CONTROL_WALL_H

#include "control/ctl.h"

/* Any thread. Does not go back, over restarts neither. Until the mark could be read: the machine's clock (nothing is
 * judged then, as no row can be read either). */
int64_t		 ctl_wall_us(void);
int64_t		 ctl_wall_dating_us(void);	/* for what other machines check, see sp_wallclock_dating */
/* In a lane, with an open handle: take up the mark once, as soon as its row can be checked. */
enum sp_err	 wall_load(struct sp_store *s) SP_MUST_USE;
/* In the writer: the clock of the machine is right, says root; the mark follows it, backwards too. SP_ESTATE: not loaded. */
enum sp_err	 wall_accept(struct sp_store *s) SP_MUST_USE;
void		 wall_tick(struct ctl *c, uint64_t now_us);
/* 1: the machine's clock agrees. text: what to say of it. */
int		 wall_agrees(char *text, size_t size);

#endif
