/* src/scribe/echo.h - which of the typed bytes may be kept: only what the target printed again. What is typed while echo is
 * off (a password) is counted, not kept. Process: scribe. Pure: no I/O; the caller brings the time.
 *
 * The target's terminal settings cannot be seen from here, so what decides is what comes back: a run of printable bytes
 * is kept when all of them came back, in order, before the line that its Enter ends was answered by a new line, or within
 * SP_ECHO_SETTLE_US without an Enter. Keys that print nothing (Enter, control characters, escape sequences of cursor and
 * function keys) are always kept. Errs on the side of not keeping: keys that steer a full-screen program do not come back.
 * Invariants: at most SP_ECHO_MAX bytes wait; decisions come in the order of typing. */
#ifndef SP_SCRIBE_ECHO_H
#define SP_SCRIBE_ECHO_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define SP_ECHO_MAX		4096u
#define SP_ECHO_SETTLE_US	(2000ull * 1000)

/* keep: these bytes belong into the recording; else only how many they were. */
typedef void sp_echo_fn(void *arg, int keep, struct sp_view bytes);

struct sp_echo {
	uint8_t		byte[SP_ECHO_MAX];
	uint8_t		silent[SP_ECHO_MAX];	/* prints nothing by itself */
	uint64_t	since_us[2];		/* when the first and the last waiting byte were typed */
	size_t		n, matched;		/* waiting; of these, from the front, came back or are silent */
	int		escape;			/* inside a sequence of a key: 1 behind ESC, 2 behind its introducer */
	sp_echo_fn	*fn;
	void		*arg;
};
void	sp_echo_init(struct sp_echo *e, sp_echo_fn *fn, void *arg);
void	sp_echo_typed(struct sp_echo *e, struct sp_view v, uint64_t now_us);
void	sp_echo_printed(struct sp_echo *e, struct sp_view v);
void	sp_echo_settle(struct sp_echo *e, uint64_t now_us);	/* now and then */
void	sp_echo_end(struct sp_echo *e);				/* decide about everything */

#endif
