/* src/ctl/guard.h - lets only well-formed control sequences of the target through to the emulation. libvterm 0.1.4 writes
 * behind its array of 16 parameters when a sequence has more of them, multiplies parameters without a limit, answers a
 * status request (DECRQSS) through a broken format, never ends a repetition (REP) of a character without width, and loses
 * its place on bytes of 0x80 and more inside a sequence. Pure.
 * Invariants: a sequence is held back until it is whole and leaves as ESC, at most one intermediate, final; or as CSI, at
 * most one leader, GUARD_ARGS parameters of GUARD_DIGITS digits, at most one intermediate, final; a malformed one is
 * dropped; strings (DCS, OSC, SOS, PM, APC) never leave, as nothing in them is part of the screen; a REP leaves behind an
 * ASCII character only; text and controls pass unchanged; the state goes on from one piece of the stream to the next. */
#ifndef SP_CTL_GUARD_H
#define SP_CTL_GUARD_H

#include <stddef.h>
#include <stdint.h>

#define GUARD_ARGS	14
#define GUARD_DIGITS	4	/* 9999: beyond any screen, any mode and any color */
#define GUARD_HELD	(GUARD_ARGS * (GUARD_DIGITS + 1) + 8)

struct ctl_guard {
	enum {
		GUARD_TEXT,
		GUARD_ESC,
		GUARD_ESC_FINAL,	/* behind ESC and an intermediate */
		GUARD_CSI,
		GUARD_CSI_FINAL,	/* behind the intermediate of a CSI */
		GUARD_OSC,		/* ends with BEL too */
		GUARD_STRING,
	} state;
	unsigned	args, digits;
	int		ascii;		/* the last character of the text was ASCII */
	uint8_t		held[GUARD_HELD];
	size_t		held_n;
};

/* Copy in[0..n) to out (n + GUARD_HELD bytes of room) without what must not pass; returns the bytes written. */
size_t	ctl_guard_pass(struct ctl_guard *g, const uint8_t *in, size_t n, uint8_t *out);

#endif
