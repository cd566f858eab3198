/* src/ctl/guard.h - keeps the target's control sequences within what the emulation can take. libvterm 0.1.4 writes behind
 * its array of 16 parameters when a sequence has more of them, multiplies parameters without a limit, and answers a status
 * request (DECRQSS) through a broken format. Pure.
 * Invariants: a CSI leaves with at most GUARD_ARGS parameters of GUARD_DIGITS digits; strings (DCS, OSC, SOS, PM, APC) do
 * not leave at all, as nothing in them is part of the screen; everything else passes unchanged; the state goes on from one
 * piece of the stream to the next. */
#ifndef SP_CTL_GUARD_H
#define SP_CTL_GUARD_H

#include <stddef.h>
#include <stdint.h>

#define GUARD_ARGS	14
#define GUARD_DIGITS	4	/* 9999: beyond any screen, any mode and any color */

struct ctl_guard {
	enum {
		GUARD_TEXT,
		GUARD_ESC,		/* an ESC is held back */
		GUARD_INTERMEDIATE,	/* ESC and one or more of SP to / went out */
		GUARD_CSI,
		GUARD_OSC,		/* ends with BEL too */
		GUARD_STRING,
	} state;
	unsigned	args, digits;
};

/* Copy in[0..n) to out (n + 1 bytes of room) without what is too much; returns the bytes written. */
size_t	ctl_guard_pass(struct ctl_guard *g, const uint8_t *in, size_t n, uint8_t *out);

#endif
