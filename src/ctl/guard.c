/* src/ctl/guard.c - see guard.h. States err on the side of "inside a sequence": that only limits separators and digits. */
#include "ctl/guard.h"

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

size_t
ctl_guard_pass(struct ctl_guard *g, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = in[i];
		int pass = 1;

		if (c == 0x1b) {
			g->state = GUARD_ESC;
		} else if (g->state == GUARD_ESC) {
			if (c == '[') {
				g->state = GUARD_CSI;
				g->args = g->digits = 0;
			} else if (c >= 0x30 && c != 0x7f) {
				g->state = GUARD_TEXT;	/* controls and intermediates leave it open */
			}
		} else if (g->state == GUARD_CSI) {
			pass = guard_csi(g, c);
		}
		if (pass)
			out[used++] = c;
	}
	return used;
}
