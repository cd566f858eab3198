/* src/ctl/guard.c - see guard.h. */
#include "ctl/guard.h"

#include <string.h>

#define ESC 0x1b

static void
guard_hold(struct ctl_guard *g, uint8_t c)
{
	if (g->held_n < GUARD_HELD)	/* the limits on parameters keep it below */
		g->held[g->held_n++] = c;
}

/* The sequence is whole: it leaves. */
static size_t
guard_release(struct ctl_guard *g, uint8_t final, uint8_t *out)
{
	guard_hold(g, final);
	memcpy(out, g->held, g->held_n);
	g->state = GUARD_TEXT;
	return g->held_n;
}

static size_t
guard_esc(struct ctl_guard *g, uint8_t c, uint8_t *out)
{
	if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_') {
		g->state = c == ']' ? GUARD_OSC : GUARD_STRING;
		return 0;
	}
	if (c == '[' || c < 0x30) {
		g->state = c == '[' ? GUARD_CSI : GUARD_ESC_FINAL;
		g->args = g->digits = 0;
		guard_hold(g, c);
		return 0;
	}
	if (c == 'c')			/* a reset forgets the last character */
		g->ascii = 0;
	return guard_release(g, c, out);
}

/* What would begin a string or a CSI is no final byte of anything that we know. */
static size_t
guard_esc_final(struct ctl_guard *g, uint8_t c, uint8_t *out)
{
	if (c >= 0x30 && c != '[' && c != ']' && c != 'P' && c != 'X' && c != '^' && c != '_')
		return guard_release(g, c, out);
	g->state = GUARD_TEXT;
	return 0;
}

static size_t
guard_csi_end(struct ctl_guard *g, uint8_t c, uint8_t *out)
{
	if (c >= 0x40 && (c != 'b' || g->ascii))
		return guard_release(g, c, out);
	g->state = GUARD_TEXT;
	return 0;
}

static size_t
guard_csi(struct ctl_guard *g, uint8_t c, uint8_t *out)
{
	if (c >= '0' && c <= '9') {
		if (g->args < GUARD_ARGS && g->digits++ < GUARD_DIGITS)
			guard_hold(g, c);
	} else if (c == ';' || c == ':') {
		g->digits = 0;
		if (++g->args < GUARD_ARGS)
			guard_hold(g, c);
	} else if (c >= 0x3c && c <= 0x3f && g->held_n == 2) {
		guard_hold(g, c);
	} else if (c < 0x30) {
		guard_hold(g, c);
		g->state = GUARD_CSI_FINAL;
	} else {
		return guard_csi_end(g, c, out);
	}
	return 0;
}

/* A byte of 0x20 to 0x7e inside a sequence. */
static size_t
guard_inside(struct ctl_guard *g, uint8_t c, uint8_t *out)
{
	switch (g->state) {
	case GUARD_ESC:
		return guard_esc(g, c, out);
	case GUARD_ESC_FINAL:
		return guard_esc_final(g, c, out);
	case GUARD_CSI:
		return guard_csi(g, c, out);
	case GUARD_CSI_FINAL:
		return guard_csi_end(g, c, out);
	default:
		return 0;
	}
}

size_t
ctl_guard_pass(struct ctl_guard *g, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = in[i];

		if (c == ESC) {			/* ends whatever it stands in; ST is ESC and a backslash */
			g->state = GUARD_ESC;
			g->held[0] = ESC;
			g->held_n = 1;
		} else if (g->state == GUARD_OSC || g->state == GUARD_STRING) {
			if (c == 0x18 || c == 0x1a || (c == 0x07 && g->state == GUARD_OSC))
				g->state = GUARD_TEXT;
		} else if (c == 0x18 || c == 0x1a) {	/* CAN and SUB end a sequence; there is nothing in them to show */
			g->state = GUARD_TEXT;
		} else if (c < 0x20) {			/* a control inside a sequence acts at once */
			out[used++] = c;
		} else if (c >= 0x7f || g->state == GUARD_TEXT) {
			g->state = GUARD_TEXT;
			g->ascii = c < 0x7f;
			out[used++] = c;
		} else {
			used += guard_inside(g, c, out + used);
		}
	}
	return used;
}
