/* src/ctl/guard.c - see guard.h. */
#include "ctl/guard.h"

#define ESC 0x1b

/* Inside a sequence: 1 to pass the byte on. */
static int
guard_csi(struct ctl_guard *g, uint8_t c)
{
	if (c >= '0' && c <= '9')
		return ++g->digits <= GUARD_DIGITS;
	if (c == ';' || c == ':') {
		g->digits = g->args + 1 < GUARD_ARGS ? 0 : GUARD_DIGITS;	/* digits of a dropped one go too */
		return ++g->args < GUARD_ARGS;
	}
	if (c >= 0x40 && c != 0x7f)	/* the end; bytes of 0x80 and more end one too, and begin text */
		g->state = GUARD_TEXT;
	return 1;
}

/* The byte behind an ESC that is held back. Returns the bytes written: none for the start of a string. */
static size_t
guard_esc(struct ctl_guard *g, uint8_t c, uint8_t *out)
{
	if (c < 0x20 || c == 0x7f) {	/* a control inside a sequence acts at once */
		out[0] = c;
		return 1;
	}
	if (c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_') {
		g->state = c == ']' ? GUARD_OSC : GUARD_STRING;
		return 0;
	}
	g->state = c == '[' ? GUARD_CSI : c < 0x30 ? GUARD_INTERMEDIATE : GUARD_TEXT;
	g->args = g->digits = 0;
	out[0] = ESC;
	out[1] = c;
	return 2;
}

/* What begins a string or a CSI in other emulations than ours must not do so behind an intermediate in ours. */
static uint8_t
guard_final(struct ctl_guard *g, uint8_t c)
{
	if (c < 0x30 || c == 0x7f)
		return c;
	g->state = GUARD_TEXT;
	return c == '[' || c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_' ? 'B' : c;
}

size_t
ctl_guard_pass(struct ctl_guard *g, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = in[i];

		if (c == ESC) {			/* ends whatever it stands in; ST is ESC and a backslash */
			g->state = GUARD_ESC;
			continue;
		}
		switch (g->state) {
		case GUARD_TEXT:
			out[used++] = c;
			break;
		case GUARD_ESC:
			used += guard_esc(g, c, out + used);
			break;
		case GUARD_INTERMEDIATE:
			out[used++] = guard_final(g, c);
			break;
		case GUARD_CSI:
			if (guard_csi(g, c))
				out[used++] = c;
			break;
		case GUARD_OSC:
		case GUARD_STRING:
			if (c == 0x18 || c == 0x1a || (c == 0x07 && g->state == GUARD_OSC))
				g->state = GUARD_TEXT;
			break;
		}
	}
	return used;
}
