/* lib/term/term.c - life, size and questions of the virtual terminal. Invariants: term.h. */
#include "term/term.h"

#include <stdlib.h>
#include <string.h>

#include "term/internal.h"

static unsigned
cut(unsigned n, unsigned max)
{
	return n < 1 ? 1 : n > max ? max : n;
}

static void
tabs_default(uint8_t *tabs, unsigned cols)
{
	for (unsigned x = 0; x < cols; x++)
		tabs[x] = x % 8 == 0;
}

static void
cursor_reset(struct cursor *c)
{
	*c = (struct cursor){ .set = { 'B', 'B', 'B', 'B' } };
}

void
term_reset(struct sp_term *t, int hard)
{
	t->top = 0;
	t->bottom = t->rows - 1;
	if (!hard) {		/* DECSTR leaves screen and position */
		unsigned x = t->cur.x, y = t->cur.y;

		cursor_reset(&t->cur);
		t->cur.x = x;
		t->cur.y = y;
		t->modes = (t->modes & SP_MODE_ALT) | SP_MODE_WRAP;
		return;
	}
	cursor_reset(&t->cur);
	cursor_reset(&t->saved);
	cursor_reset(&t->saved_alt);
	t->grid = &t->main;
	t->modes = SP_MODE_WRAP;
	t->last_cp = 0;
	tabs_default(t->tabs, t->cols);
	for (unsigned y = 0; y < t->rows; y++)
		grid_erase(t, y, 0, t->cols);
}

enum sp_err
sp_term_new(unsigned cols, unsigned rows, struct sp_term **ret)
{
	struct sp_term *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return SP_ENOMEM;
	t->cols = cut(cols, SP_TERM_COLS_MAX);
	t->rows = cut(rows, SP_TERM_ROWS_MAX);
	t->grid = &t->main;
	if ((t->tabs = calloc(1, t->cols)) == NULL || grid_make(&t->main, t->cols, t->rows) != SP_OK) {
		sp_term_free(t);
		return SP_ENOMEM;
	}
	term_reset(t, 1);
	*ret = t;
	return SP_OK;
}

void
sp_term_free(struct sp_term *t)
{
	if (t == NULL)
		return;
	grid_free(&t->main);
	grid_free(&t->alt);
	free(t->cluster);
	free(t->tabs);
	free(t);
}

/* ---- the alternate screen */

void
term_alt(struct sp_term *t, int on, int clear)
{
	if (on && t->alt.row == NULL && grid_make(&t->alt, t->cols, t->rows) != SP_OK)
		return;			/* out of memory: the program draws on the main screen */
	if (!on && clear && t->grid == &t->alt)
		for (unsigned y = 0; y < t->rows; y++)
			grid_erase(t, y, 0, t->cols);
	if (!on && t->grid == &t->alt)
		grid_free(&t->alt);	/* it is cleared when it is entered again */
	t->grid = on ? &t->alt : &t->main;
	t->modes = on ? t->modes | SP_MODE_ALT : t->modes & ~(uint32_t)SP_MODE_ALT;
	if (on && clear)
		for (unsigned y = 0; y < t->rows; y++)
			grid_erase(t, y, 0, t->cols);
}

void
term_save(struct sp_term *t)
{
	*(t->grid == &t->alt ? &t->saved_alt : &t->saved) = t->cur;
}

void
term_restore(struct sp_term *t)
{
	t->cur = t->grid == &t->alt ? t->saved_alt : t->saved;
	if (t->cur.origin && t->cur.y < t->top)
		t->cur.y = t->top;
	if (t->cur.origin && t->cur.y > t->bottom)
		t->cur.y = t->bottom;
	t->modes = t->cur.origin ? t->modes | SP_MODE_ORIGIN : t->modes & ~(uint32_t)SP_MODE_ORIGIN;
}

/* ---- size */

/* Copy rows [from, ...) of a grid into a new one of another size. */
static enum sp_err
grid_resized(const struct grid *old, unsigned old_cols, unsigned old_rows, unsigned from, unsigned cols, unsigned rows,
    struct grid *ret)
{
	unsigned width = old_cols < cols ? old_cols : cols;
	struct grid g = { 0 };
	enum sp_err r;

	if (old->row == NULL) {
		*ret = g;
		return SP_OK;
	}
	if ((r = grid_make(&g, cols, rows)) != SP_OK)
		return r;
	for (unsigned y = 0; y < rows && y + from < old_rows; y++) {
		const struct row *src = &old->row[y + from];
		struct row *dst = &g.row[y];

		memcpy(dst->cell, src->cell, width * sizeof(*dst->cell));
		dst->used = src->used < width ? src->used : width;
		dst->wrapped = src->wrapped && cols == old_cols;
		if (dst->cell[width - 1].ch & SP_CELL_WIDE)
			dst->cell[width - 1].ch = ' ';
		else if (dst->cell[width - 1].ch & SP_CELL_EDGE)
			dst->cell[width - 1].ch = 0;
	}
	*ret = g;
	return SP_OK;
}

static void
cursor_fit(struct cursor *c, unsigned cols, unsigned rows, unsigned gone)
{
	c->y = c->y > gone ? c->y - gone : 0;
	if (c->y >= rows)
		c->y = rows - 1;
	if (c->x >= cols)
		c->x = cols - 1;
}

enum sp_err
sp_term_resize(struct sp_term *t, unsigned cols, unsigned rows)
{
	struct grid main = { 0 }, alt = { 0 };
	unsigned gone_main, gone_alt, y = t->grid == &t->alt ? t->saved.y : t->cur.y;
	uint8_t *tabs;

	cols = cut(cols, SP_TERM_COLS_MAX);
	rows = cut(rows, SP_TERM_ROWS_MAX);
	if (cols == t->cols && rows == t->rows)
		return SP_OK;
	gone_main = y >= rows ? y - rows + 1 : 0;
	gone_alt = t->grid == &t->alt && t->cur.y >= rows ? t->cur.y - rows + 1 : 0;
	if ((tabs = calloc(1, cols)) == NULL ||
	    grid_resized(&t->main, t->cols, t->rows, gone_main, cols, rows, &main) != SP_OK ||
	    grid_resized(&t->alt, t->cols, t->rows, gone_alt, cols, rows, &alt) != SP_OK) {
		free(tabs);
		grid_free(&main);
		return SP_ENOMEM;
	}
	if (t->grid == &t->main)
		for (unsigned i = 0; i < gone_main; i++)
			grid_scroll_up(t, 0, t->rows - 1, 1);	/* only for who keeps what goes */
	tabs_default(tabs, cols);
	memcpy(tabs, t->tabs, cols < t->cols ? cols : t->cols);
	free(t->tabs);
	t->tabs = tabs;
	grid_free(&t->main);
	grid_free(&t->alt);
	t->main = main;
	t->alt = alt;
	t->cols = cols;
	t->rows = rows;
	t->top = 0;
	t->bottom = rows - 1;
	cursor_fit(&t->cur, cols, rows, t->grid == &t->alt ? gone_alt : gone_main);
	cursor_fit(&t->saved, cols, rows, gone_main);
	cursor_fit(&t->saved_alt, cols, rows, gone_alt);
	return SP_OK;
}

/* ---- questions */

void
sp_term_on_gone(struct sp_term *t, sp_term_gone_fn *fn, void *arg)
{
	t->gone = fn;
	t->gone_arg = arg;
}

unsigned
sp_term_cols(const struct sp_term *t)
{
	return t->cols;
}

unsigned
sp_term_rows(const struct sp_term *t)
{
	return t->rows;
}

void
sp_term_cursor(const struct sp_term *t, unsigned *ret_row, unsigned *ret_col)
{
	*ret_row = t->cur.y;
	*ret_col = t->cur.x;
}

uint32_t
sp_term_modes(const struct sp_term *t)
{
	return t->modes;
}

uint64_t
sp_term_scrolled(const struct sp_term *t)
{
	return t->scrolled;
}

int
sp_term_in_string(const struct sp_term *t)
{
	return t->state == P_STRING || t->state == P_STRING_ESC;
}

const struct sp_term_cell *
sp_term_row(const struct sp_term *t, unsigned row)
{
	return t->grid->row[row].cell;
}

int
sp_term_wrapped(const struct sp_term *t, unsigned row)
{
	return t->grid->row[row].wrapped;
}

unsigned
sp_term_used(const struct sp_term *t, unsigned row)
{
	const struct row *r = &t->grid->row[row];
	unsigned n = r->used;

	while (n > 0 && (r->cell[n - 1].ch & ~SP_CELL_EDGE) == 0)
		n--;
	return n;
}

enum sp_err
sp_term_text(const struct sp_term *t, unsigned row, unsigned from, unsigned to, struct sp_buf *dst)
{
	const struct sp_term_cell *c = t->grid->row[row].cell;
	size_t had = dst->len;

	for (unsigned x = from; x < to && x < t->cols; x++) {
		uint32_t cp[1 + SP_TERM_COMBINE_MAX] = { ' ' };
		size_t n = cell_codepoints(t, &c[x], cp);
		uint8_t utf[4];
		enum sp_err r;

		if (c[x].ch & (SP_CELL_TAIL | SP_CELL_EDGE))
			continue;
		for (size_t i = 0; i < (n ? n : 1); i++)
			if ((r = sp_buf_append(dst, utf, utf8_put(n ? cp[i] : ' ', utf))) != SP_OK) {
				dst->len = had;
				return r;
			}
	}
	return SP_OK;
}
