/* lib/term/parse.c - bytes into characters and control sequences (ECMA-48, with the state machine of the DEC terminals).
 *
 * The fast path takes runs of printable ASCII eight bytes at a time. Control strings (OSC, DCS, APC, PM, SOS) are skipped;
 * one that does not end is given up at the next line feed or after SP_TERM_STRING_MAX bytes, so that a printed introducer
 * cannot blind who reads the screen. C1 controls are ignored: in UTF-8 they are no controls for most terminals. */
#include <string.h>

#include "term/internal.h"

#define REPLACEMENT	0xfffdu

#define FLOOD_MIN	64u	/* bytes: fewer are not worth a look */

/* Length of the run of bytes 0x20..0x7e at p. */
static size_t
printable_run(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (n - i >= 8) {
		uint64_t w, low, del;

		memcpy(&w, p + i, 8);
		low = (w - 0x2020202020202020u) & ~w;			/* top bit of each byte below 0x20 */
		del = w ^ 0x7f7f7f7f7f7f7f7fu;
		del = (del - 0x0101010101010101u) & ~del;		/* ... of each 0x7f */
		if ((low | del | w) & 0x8080808080808080u)
			break;
		i += 8;
	}
	while (i < n && p[i] >= 0x20 && p[i] < 0x7f)
		i++;
	return i;
}

static void
utf_put(struct sp_term *t, uint32_t cp)
{
	if (cp >= 0x80 && cp < 0xa0)
		return;
	if (cp < t->utf_min || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		cp = REPLACEMENT;
	grid_put(t, cp);
}

/* One byte >= 0x80, or the byte that breaks an unfinished character (then false: it is still to be looked at). */
static int
utf_byte(struct sp_term *t, uint8_t b)
{
	static const uint32_t min[] = { 0, 0x80, 0x800, 0x10000 };

	if (t->utf_need > 0 && (b & 0xc0) == 0x80) {
		t->utf_cp = t->utf_cp << 6 | (b & 0x3f);
		if (--t->utf_need == 0)
			utf_put(t, t->utf_cp);
		return 1;
	}
	if (t->utf_need > 0) {
		t->utf_need = 0;
		grid_put(t, REPLACEMENT);
		return 0;
	}
	if (b >= 0xc2 && b < 0xf5) {
		t->utf_need = b >= 0xf0 ? 3 : b >= 0xe0 ? 2 : 1;
		t->utf_cp = b & (0x3fu >> t->utf_need);
		t->utf_min = min[t->utf_need];
	} else
		grid_put(t, REPLACEMENT);
	return 1;
}

static void
ground_tab(struct sp_term *t)
{
	if (t->cur.x >= t->cols)
		return;
	do
		t->cur.x++;
	while (t->cur.x < t->cols && !t->tabs[t->cur.x]);
	if (t->cur.x >= t->cols)
		t->cur.x = t->cols - 1;
}

static void
control(struct sp_term *t, uint8_t b)
{
	if (b != 0x1b)
		t->last_cp = 0;		/* REP repeats only what was written just before it */
	switch (b) {
	case '\b':
		if (t->cur.x >= t->cols)
			t->cur.x = t->cols - 1;
		if (t->cur.x > 0)
			t->cur.x--;
		break;
	case '\t':
		ground_tab(t);
		break;
	case '\n':
	case '\v':
	case '\f':
		grid_line_feed(t);
		if ((t->modes & SP_MODE_NEWLINE) == 0) {
			if (t->cur.x >= t->cols)
				t->cur.x = t->cols - 1;
			break;
		}
		/* fallthrough */
	case '\r':
		t->cur.x = 0;
		break;
	case 0x0e:
		t->cur.shift = 1;
		break;
	case 0x0f:
		t->cur.shift = 0;
		break;
	case 0x18:
	case 0x1a:
		t->state = P_GROUND;
		break;
	case 0x1b:
		t->state = P_ESC;
		t->inter = 0;
		break;
	default:
		break;
	}
}

static void
esc_byte(struct sp_term *t, uint8_t b)
{
	if (b < 0x20) {
		control(t, b);
		return;
	}
	if (b < 0x30) {
		t->inter = t->inter == 0 ? b : 0xff;
		t->state = P_ESC_INTER;
		return;
	}
	t->state = P_GROUND;
	if (t->inter != 0) {
		esc_run(t, b);
		return;
	}
	switch (b) {
	case '[':
		t->state = P_CSI;
		t->priv = 0;
		t->param_n = 0;
		t->param_colon = 0;
		memset(t->param, 0, sizeof(t->param));
		break;
	case ']':
	case 'P':
	case 'X':
	case '^':
	case '_':
		t->state = P_STRING;
		t->string_n = 0;
		break;
	default:
		esc_run(t, b);
		break;
	}
}

static void
csi_digit(struct sp_term *t, uint8_t b)
{
	unsigned *p;

	if (t->param_n == 0)
		t->param_n = 1;
	if (t->param_n > PARAMS_MAX)
		return;
	p = &t->param[t->param_n - 1];
	*p = *p * 10 + (b - '0');
	if (*p > PARAM_LIMIT)
		*p = PARAM_LIMIT;
}

static void
csi_byte(struct sp_term *t, uint8_t b)
{
	if (b < 0x20) {
		control(t, b);
	} else if (b >= 0x40 && b < 0x7f) {
		int skip = t->state == P_CSI_SKIP;

		t->state = P_GROUND;
		if (!skip)
			csi_run(t, b);
	} else if (b >= '0' && b <= '9') {
		csi_digit(t, b);
	} else if (b == ';' || b == ':') {
		if (t->param_n == 0)
			t->param_n = 1;
		if (t->param_n <= PARAMS_MAX)
			t->param_n++;
		if (b == ':' && t->param_n <= PARAMS_MAX)
			t->param_colon |= (uint16_t)(1u << (t->param_n - 1));
	} else if (b >= '<' && b <= '?' && t->param_n == 0 && t->priv == 0) {
		t->priv = b;
	} else if (b >= 0x20 && b < 0x30) {
		t->inter = t->inter == 0 ? b : 0xff;
	} else if (b < 0x7f) {
		t->state = P_CSI_SKIP;
	}
}

/* Skip the inside of a control string, fast. */
static size_t
string_bytes(struct sp_term *t, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (t->state == P_STRING_ESC) {		/* whatever follows ESC ends the string; a backslash is its own */
			t->state = P_ESC;
			t->inter = 0;
			if (p[i] != '\\')
				return i;
			t->state = P_GROUND;
			return i + 1;
		}
		if (p[i] == 0x1b)
			t->state = P_STRING_ESC;
		else if (p[i] == '\a' || p[i] == 0x18 || p[i] == 0x1a || ++t->string_n > SP_TERM_STRING_MAX) {
			t->state = P_GROUND;
			return i + 1;
		} else if (p[i] == '\n') {
			t->state = P_GROUND;
			return i;
		}
	}
	return n;
}

static size_t
ground_bytes(struct sp_term *t, const uint8_t *p, size_t n)
{
	size_t run;

	if (t->utf_need > 0 || p[0] >= 0x80)
		return (size_t)utf_byte(t, p[0]);
	if (p[0] < 0x20) {
		control(t, p[0]);
		return 1;
	}
	if (t->cur.set[t->cur.shift] == '0' || t->modes & SP_MODE_INSERT) {
		static const uint16_t graphics[] = { 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0xb0, 0xb1, 0x2424, 0x240b,
		    0x2518, 0x2510, 0x250c, 0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534,
		    0x252c, 0x2502, 0x2264, 0x2265, 0x3c0, 0x2260, 0xa3, 0xb7 };	/* 0x60..0x7e, VT100 special graphics */

		if (p[0] < 0x7f)
			grid_put(t, p[0] >= 0x60 && t->cur.set[t->cur.shift] == '0' ? graphics[p[0] - 0x60] : p[0]);
		return 1;
	}
	if ((run = printable_run(p, n)) == 0)
		return 1;			/* DEL */
	grid_ascii(t, p, run);
	return run;
}

/* ---- floods
 *
 * Of many short lines of plain text only the last screenful is ever seen: those before it are counted, not drawn. The screen is
 * the same as if they had been, for each of its rows is one that was blank when a line behind them scrolled it in (fuzz_term
 * compares with byte by byte). */

/* Bytes of whole lines at p, each "printable characters, CR LF" and shorter than the screen is wide; how many. */
static size_t
plain_lines(const struct sp_term *t, const uint8_t *p, size_t n, size_t *ret_lines)
{
	size_t at = 0;

	*ret_lines = 0;
	for (;;) {
		size_t run = printable_run(p + at, n - at);

		if (run >= t->cols || n - at - run < 2 || p[at + run] != '\r' || p[at + run + 1] != '\n')
			return at;
		at += run + 2;
		(*ret_lines)++;
	}
}

/* Bytes that need not be drawn. ret_seen: up to where the lines are plain. The cursor is at the beginning of a line. */
static size_t
flood_skip(struct sp_term *t, const uint8_t *p, size_t n, size_t *ret_seen)
{
	unsigned last = t->rows - 1, y = t->cur.y;
	size_t lines, end;

	*ret_seen = 0;
	if ((t->gone != NULL && t->grid == &t->main) || t->top != 0 || t->bottom != last || t->utf_need > 0)
		return 0;
	end = *ret_seen = plain_lines(t, p, n, &lines);
	if (lines < (size_t)t->rows + (last - y) + 1)
		return 0;
	for (unsigned i = 0; i <= t->rows; i++)		/* the end of the line before the last t->rows of them */
		end = (size_t)((const uint8_t *)memrchr(p, '\n', end) - p);
	t->cur.y = last;
	if (t->grid == &t->main)
		t->scrolled += lines - t->rows - (last - y);
	t->last_cp = 0;
	return end + 1;
}

void
sp_term_write(struct sp_term *t, const void *data, size_t n)
{
	const uint8_t *p = data, *looked = p;	/* up to there a flood was looked for */

	while (n > 0) {
		size_t took = 1;

		if (t->state == P_GROUND && t->cur.x == 0 && p >= looked && n >= FLOOD_MIN) {
			size_t seen, skip = flood_skip(t, p, n, &seen);

			looked = p + seen + 1;
			p += skip;
			n -= skip;
			if (n == 0)
				break;
		}
		switch (t->state) {
		case P_GROUND:
			took = ground_bytes(t, p, n);
			break;
		case P_ESC:
		case P_ESC_INTER:
			esc_byte(t, p[0]);
			break;
		case P_CSI:
		case P_CSI_SKIP:
			csi_byte(t, p[0]);
			break;
		case P_STRING:
		case P_STRING_ESC:
			took = string_bytes(t, p, n);
			break;
		}
		p += took;
		n -= took;
	}
}
