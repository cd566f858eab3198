/* lib/term/dump.c - a key frame: the escape sequences that paint a screen onto a terminal of the same size. Only sequences
 * that this terminal itself understands are written, so a dump read back gives the same screen (tested and fuzzed). */
#include <string.h>

#include "term/internal.h"

size_t
utf8_put(uint32_t cp, uint8_t dst[4])
{
	if (cp < 0x80) {
		dst[0] = (uint8_t)cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (uint8_t)(0xc0 | cp >> 6);
		dst[1] = (uint8_t)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (uint8_t)(0xe0 | cp >> 12);
		dst[1] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
		dst[2] = (uint8_t)(0x80 | (cp & 0x3f));
		return 3;
	}
	dst[0] = (uint8_t)(0xf0 | cp >> 18);
	dst[1] = (uint8_t)(0x80 | (cp >> 12 & 0x3f));
	dst[2] = (uint8_t)(0x80 | (cp >> 6 & 0x3f));
	dst[3] = (uint8_t)(0x80 | (cp & 0x3f));
	return 4;
}

static const struct {
	uint32_t	bit;
	int		in_bg;
	const char	*code;
} sgr_codes[] = {
	{ SP_CELL_BOLD, 0, ";1" }, { SP_CELL_DIM, 0, ";2" }, { SP_CELL_ITALIC, 0, ";3" }, { SP_CELL_UNDERLINE, 0, ";4" },
	{ SP_CELL_BLINK, 0, ";5" }, { SP_CELL_REVERSE, 0, ";7" }, { SP_CELL_CONCEAL, 1, ";8" }, { SP_CELL_STRIKE, 1, ";9" },
};

static enum sp_err
dump_colour(struct sp_buf *b, uint32_t field, int base)
{
	unsigned n = field & 0xff;

	switch (field & SP_CELL_KIND) {
	case SP_CELL_INDEXED:
		if (n < 16)
			return sp_buf_printf(b, ";%u", (unsigned)base + (n < 8 ? n : n - 8 + 60));
		return sp_buf_printf(b, ";%d;5;%u", base + 8, n);
	case SP_CELL_DIRECT:
		return sp_buf_printf(b, ";%d;2;%u;%u;%u", base + 8, field >> 16 & 0xff, field >> 8 & 0xff, n);
	default:
		return SP_OK;
	}
}

static enum sp_err
dump_pen(struct sp_buf *b, struct pen pen)
{
	enum sp_err r = sp_buf_append_str(b, "\x1b[0");

	for (size_t i = 0; i < SP_NELEMS(sgr_codes) && r == SP_OK; i++)
		if ((sgr_codes[i].in_bg ? pen.bg : pen.fg) & sgr_codes[i].bit)
			r = sp_buf_append_str(b, sgr_codes[i].code);
	if (r != SP_OK || (r = dump_colour(b, pen.fg, 30)) != SP_OK || (r = dump_colour(b, pen.bg, 40)) != SP_OK)
		return r;
	return sp_buf_append_str(b, "m");
}

static enum sp_err
dump_cell(const struct sp_term *t, const struct sp_term_cell *c, struct sp_buf *b)
{
	uint32_t cp[1 + SP_TERM_COMBINE_MAX];
	size_t n = cell_codepoints(t, c, cp);
	enum sp_err r = SP_OK;
	uint8_t utf[4];

	for (size_t i = 0; i < n && r == SP_OK; i++)
		r = sp_buf_append(b, utf, utf8_put(cp[i], utf));
	return r;
}

/* One row, from the cursor at its first column. flows: the next row follows by itself, so this one ends at its last column. */
static enum sp_err
dump_row(const struct sp_term *t, const struct row *row, int flows, struct pen *pen, struct sp_buf *b)
{
	enum sp_err r = SP_OK;
	unsigned skip = 0;

	for (unsigned x = 0; x < row->used && r == SP_OK; x++) {
		const struct sp_term_cell *c = &row->cell[x];

		if (c->ch & SP_CELL_TAIL || (c->ch & SP_CELL_EDGE && !flows))
			continue;
		if (c->ch == 0 && c->bg == 0) {
			skip++;
			continue;
		}
		if (skip > 0)
			r = sp_buf_printf(b, "\x1b[%uG", x + 1);
		skip = 0;
		if (c->ch & SP_CELL_EDGE)	/* the wide character that follows makes it again */
			continue;
		if (r == SP_OK && (c->fg != pen->fg || c->bg != pen->bg)) {
			*pen = (struct pen){ c->fg, c->bg };
			r = dump_pen(b, *pen);
		}
		if (r != SP_OK)
			break;
		if (c->ch != 0)
			r = dump_cell(t, c, b);
		else if ((r = sp_buf_append_str(b, "\x1b[X")) == SP_OK && x + 1 < t->cols)
			r = sp_buf_append_str(b, "\x1b[C");
	}
	return r;
}

/* Whether writing `next` right behind `row` wraps by itself. */
static int
dump_flows(const struct sp_term *t, const struct row *row, const struct row *next)
{
	uint32_t last = row->cell[t->cols - 1].ch;

	if (!row->wrapped || next->cell[0].ch == 0)
		return 0;
	return last & SP_CELL_EDGE ? (next->cell[0].ch & SP_CELL_WIDE) != 0 : last != 0;
}

static enum sp_err
dump_screen(const struct sp_term *t, const struct grid *g, struct sp_buf *b)
{
	struct pen pen = { 0 };
	enum sp_err r = SP_OK;

	int flows = 0;

	for (unsigned y = 0; y < t->rows && r == SP_OK; y++) {
		if (!flows)
			r = sp_buf_printf(b, "\x1b[%uH", y + 1);
		flows = y + 1 < t->rows && dump_flows(t, &g->row[y], &g->row[y + 1]);
		if (r == SP_OK)
			r = dump_row(t, &g->row[y], flows, &pen, b);
	}
	return r == SP_OK ? sp_buf_append_str(b, "\x1b[0m") : r;
}

static enum sp_err
dump_tabs(const struct sp_term *t, struct sp_buf *b)
{
	enum sp_err r;
	int usual = 1;

	for (unsigned x = 0; x < t->cols; x++)
		usual &= t->tabs[x] == (x % 8 == 0);
	if (usual)
		return SP_OK;
	r = sp_buf_append_str(b, "\x1b[3g");
	for (unsigned x = 0; x < t->cols && r == SP_OK; x++)
		if (t->tabs[x])
			r = sp_buf_printf(b, "\x1b[%uG\x1bH", x + 1);
	return r;
}

static const struct {
	uint32_t	mode;
	const char	*on;
} mode_codes[] = {
	{ SP_MODE_INSERT, "\x1b[4h" }, { SP_MODE_NEWLINE, "\x1b[20h" }, { SP_MODE_CURSOR_KEYS, "\x1b[?1h" },
	{ SP_MODE_KEYPAD, "\x1b=" }, { SP_MODE_REVERSE, "\x1b[?5h" }, { SP_MODE_HIDE_CURSOR, "\x1b[?25l" },
	{ SP_MODE_PASTE, "\x1b[?2004h" }, { SP_MODE_MOUSE, "\x1b[?1000h" }, { SP_MODE_MOUSE_DRAG, "\x1b[?1002h" },
	{ SP_MODE_MOUSE_ALL, "\x1b[?1003h" }, { SP_MODE_MOUSE_SGR, "\x1b[?1006h" }, { SP_MODE_FOCUS, "\x1b[?1004h" },
};

/* Position, pending wrap, attributes, character sets. margin: the top of the margins that are in force. */
static enum sp_err
dump_cursor(const struct sp_term *t, const struct cursor *c, unsigned margin, const struct grid *g, struct sp_buf *b)
{
	const struct row *row = &g->row[c->y];
	unsigned x = c->x, top = c->origin && c->y >= margin ? margin : 0;
	enum sp_err r;

	if (x == t->cols)		/* write the last character once more */
		x -= row->cell[x - 1].ch & SP_CELL_TAIL ? 2 : 1;
	if (c->origin && (r = sp_buf_append_str(b, "\x1b[?6h")) != SP_OK)
		return r;
	if ((r = sp_buf_printf(b, "\x1b[%u;%uH", c->y - top + 1, x + 1)) != SP_OK)
		return r;
	if (c->x == t->cols && row->cell[x].ch != 0 && (row->cell[x].ch & SP_CELL_EDGE) == 0 &&
	    ((r = dump_pen(b, (struct pen){ row->cell[x].fg, row->cell[x].bg })) != SP_OK ||
	    (r = dump_cell(t, &row->cell[x], b)) != SP_OK))
		return r;
	for (unsigned i = 0; i < 4; i++)
		if (c->set[i] == '0' && (r = sp_buf_printf(b, "\x1b%c0", (int)('(' + i))) != SP_OK)
			return r;
	if (c->shift && (r = sp_buf_append_str(b, "\x0e")) != SP_OK)
		return r;
	return dump_pen(b, c->pen);
}

static enum sp_err
dump_margins(const struct sp_term *t, struct sp_buf *b)
{
	enum sp_err r = SP_OK;

	if (t->top != 0 || t->bottom != t->rows - 1)
		r = sp_buf_printf(b, "\x1b[%u;%ur", t->top + 1, t->bottom + 1);
	return r;
}

enum sp_err
sp_term_dump(const struct sp_term *t, struct sp_buf *dst)
{
	size_t had = dst->len;
	enum sp_err r;

	/* CAN ends whatever was unfinished; RIS clears both screens, modes, tabs. */
	if ((r = sp_buf_append_str(dst, "\x18\x1b" "c")) != SP_OK || (r = dump_screen(t, &t->main, dst)) != SP_OK ||
	    (r = dump_tabs(t, dst)) != SP_OK)
		goto fail;
	if (t->grid == &t->alt && ((r = dump_cursor(t, &t->saved, 0, &t->main, dst)) != SP_OK ||
	    (r = sp_buf_append_str(dst, "\x1b[?1049h\x1b[?6l\x1b[0m\x1b[2J\x1b(B\x1b)B\x1b*B\x1b+B\x0f")) != SP_OK ||
	    (r = dump_screen(t, &t->alt, dst)) != SP_OK))
		goto fail;
	if ((r = dump_margins(t, dst)) != SP_OK || (r = dump_cursor(t, &t->cur, t->top, t->grid, dst)) != SP_OK)
		goto fail;
	for (size_t i = 0; i < SP_NELEMS(mode_codes) && r == SP_OK; i++)
		if (t->modes & mode_codes[i].mode)
			r = sp_buf_append_str(dst, mode_codes[i].on);
	if (r == SP_OK && (t->modes & SP_MODE_WRAP) == 0)
		r = sp_buf_append_str(dst, "\x1b[?7l");
	if (r == SP_OK)
		return SP_OK;
fail:
	dst->len = had;
	return r;
}
