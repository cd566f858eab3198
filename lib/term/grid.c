/* lib/term/grid.c - the cells of a screen and what writing, scrolling and erasing do to them.
 * Invariants: those of term.h; and cells at row.used and beyond are zero, so that clearing a row costs what is on it. */
#include <stdlib.h>
#include <string.h>

#include "base/width.h"
#include "term/internal.h"

enum sp_err
grid_make(struct grid *g, unsigned cols, unsigned rows)
{
	struct row *row = calloc(rows, sizeof(*row));
	struct sp_term_cell *cells = calloc((size_t)cols * rows, sizeof(*cells));

	if (row == NULL || cells == NULL) {
		free(row);
		free(cells);
		return SP_ENOMEM;
	}
	for (unsigned y = 0; y < rows; y++)
		row[y].cell = cells + (size_t)y * cols;
	g->row = row;
	g->cells = cells;
	return SP_OK;
}

void
grid_free(struct grid *g)
{
	free(g->row);
	free(g->cells);
	*g = (struct grid){ 0 };
}

/* ---- characters with marks */

size_t
cell_codepoints(const struct sp_term *t, const struct sp_term_cell *c, uint32_t dst[1 + SP_TERM_COMBINE_MAX])
{
	size_t n = 0;

	if ((c->ch & SP_CELL_CLUSTER) == 0) {
		dst[0] = c->ch & SP_CELL_CP;
		return dst[0] != 0;
	}
	for (const struct cluster *k = &t->cluster[c->ch & SP_CELL_CP]; n < SP_NELEMS(k->cp) && k->cp[n] != 0; n++)
		dst[n] = k->cp[n];
	return n;
}

static void
clusters_move(struct sp_term *t, struct grid *g, struct cluster *to, unsigned *n)
{
	for (unsigned y = 0; g->row != NULL && y < t->rows; y++)
		for (unsigned x = 0; x < g->row[y].used; x++) {
			uint32_t *ch = &g->row[y].cell[x].ch;

			if ((*ch & SP_CELL_CLUSTER) == 0)
				continue;
			to[*n] = t->cluster[*ch & SP_CELL_CP];
			*ch = (*ch & ~SP_CELL_CP) | *n;
			(*n)++;
		}
}

/* Room for one more: what no cell uses any longer goes first. False: there is none. */
static int
cluster_room(struct sp_term *t)
{
	unsigned cap, n = 0;
	struct cluster *c;

	if (t->cluster_n < t->cluster_cap)
		return 1;
	if (t->cluster_cap < 64 || t->cluster_cap < SP_TERM_CLUSTERS_MAX) {
		cap = t->cluster_cap ? t->cluster_cap * 2 : 64;
		if ((c = realloc(t->cluster, cap * sizeof(*c))) == NULL)
			return 0;
		t->cluster = c;
		t->cluster_cap = cap;
		return 1;
	}
	/* Each cluster is used by one cell at most (grid_put gives every cell its own), so they all fit. */
	if ((c = calloc(t->cluster_cap, sizeof(*c))) == NULL)
		return 0;
	clusters_move(t, &t->main, c, &n);
	clusters_move(t, &t->alt, c, &n);
	free(t->cluster);
	t->cluster = c;
	t->cluster_n = n;
	return n < t->cluster_cap - t->cluster_cap / 4;	/* a nearly full table would be swept again and again */
}

static void
cell_combine(struct sp_term *t, struct sp_term_cell *c, uint32_t mark)
{
	struct cluster *k;
	unsigned n = 0;

	if ((c->ch & SP_CELL_CP) == 0 && (c->ch & SP_CELL_CLUSTER) == 0)
		return;
	if ((c->ch & SP_CELL_CLUSTER) == 0) {
		if (!cluster_room(t))
			return;
		k = &t->cluster[t->cluster_n];
		*k = (struct cluster){ { c->ch & SP_CELL_CP } };
		c->ch = (c->ch & ~SP_CELL_CP) | SP_CELL_CLUSTER | t->cluster_n++;
	}
	k = &t->cluster[c->ch & SP_CELL_CP];
	while (n < SP_NELEMS(k->cp) && k->cp[n] != 0)
		n++;
	if (n < SP_NELEMS(k->cp))
		k->cp[n] = mark;
}

/* ---- erasing */

/* Cells [from, to) will change: a wide character that is only half inside loses its other half. */
static void
row_split(struct row *r, unsigned cols, unsigned from, unsigned to)
{
	if (from < cols && r->cell[from].ch & SP_CELL_TAIL && from > 0)
		r->cell[from - 1].ch = r->cell[from].ch = ' ';
	if (to < cols && to > 0 && r->cell[to].ch & SP_CELL_TAIL)
		r->cell[to - 1].ch = r->cell[to].ch = ' ';
}

static void
row_fill(struct row *r, unsigned from, unsigned to, uint32_t bg)
{
	if ((bg & SP_CELL_KIND) == 0) {
		if (from < r->used)
			memset(r->cell + from, 0, ((to < r->used ? to : r->used) - from) * sizeof(*r->cell));
		if (to >= r->used && from < r->used)
			r->used = from;
		return;
	}
	for (unsigned x = from; x < to; x++)
		r->cell[x] = (struct sp_term_cell){ .bg = bg & (SP_CELL_KIND | SP_CELL_RGB) };
	if (r->used < to)
		r->used = to;
}

void
grid_erase(struct sp_term *t, unsigned y, unsigned from, unsigned to)
{
	struct row *r = &t->grid->row[y];

	if (to > t->cols)
		to = t->cols;
	if (from >= to)
		return;
	row_split(r, t->cols, from, to);
	row_fill(r, from, to, t->cur.pen.bg);
	if (to == t->cols)
		r->wrapped = 0;
}

/* ---- scrolling */

static void
rows_gone(struct sp_term *t, unsigned n)
{
	for (unsigned y = 0; y < n; y++, t->scrolled++)
		if (t->gone != NULL) {
			struct row first = t->grid->row[0];

			/* The callback reads row 0; rows move only afterwards. */
			t->grid->row[0] = t->grid->row[y];
			t->gone(t, t->scrolled, t->gone_arg);
			t->grid->row[0] = first;
		}
}

void
grid_scroll_up(struct sp_term *t, unsigned top, unsigned bottom, unsigned n)
{
	struct row *row = t->grid->row;
	unsigned height = bottom - top + 1;

	if (n > height)
		n = height;
	if (n == 0)
		return;
	if (top == 0 && t->grid == &t->main)
		rows_gone(t, n);
	for (unsigned i = 0; i < n; i++) {	/* one at a time: no second array, and n is nearly always 1 */
		struct row first = row[top];

		memmove(row + top, row + top + 1, (height - 1) * sizeof(*row));
		row[bottom] = first;
		row_fill(&row[bottom], 0, t->cols, t->cur.pen.bg);
		row[bottom].wrapped = 0;
	}
}

void
grid_scroll_down(struct sp_term *t, unsigned top, unsigned bottom, unsigned n)
{
	struct row *row = t->grid->row;
	unsigned height = bottom - top + 1;

	if (n > height)
		n = height;
	for (unsigned i = 0; i < n; i++) {
		struct row last = row[bottom];

		memmove(row + top + 1, row + top, (height - 1) * sizeof(*row));
		row[top] = last;
		row_fill(&row[top], 0, t->cols, t->cur.pen.bg);
		row[top].wrapped = 0;
	}
	if (n > 0)
		row[bottom].wrapped = 0;
}

void
grid_line_feed(struct sp_term *t)
{
	if (t->cur.y == t->bottom)
		grid_scroll_up(t, t->top, t->bottom, 1);
	else if (t->cur.y + 1 < t->rows)
		t->cur.y++;
}

void
grid_reverse_feed(struct sp_term *t)
{
	if (t->cur.y == t->top)
		grid_scroll_down(t, t->top, t->bottom, 1);
	else if (t->cur.y > 0)
		t->cur.y--;
}

/* ---- moving cells within a row */

void
grid_insert(struct sp_term *t, unsigned n)
{
	struct row *r = &t->grid->row[t->cur.y];
	unsigned x = t->cur.x < t->cols ? t->cur.x : t->cols - 1, left = t->cols - x;

	if (n > left)
		n = left;
	if (n == 0)
		return;
	row_split(r, t->cols, x, t->cols - n);
	memmove(r->cell + x + n, r->cell + x, (left - n) * sizeof(*r->cell));
	r->used = t->cols;
	row_fill(r, x, x + n, t->cur.pen.bg);
	r->used = t->cols;
	r->wrapped = 0;
}

void
grid_delete(struct sp_term *t, unsigned n)
{
	struct row *r = &t->grid->row[t->cur.y];
	unsigned x = t->cur.x < t->cols ? t->cur.x : t->cols - 1, left = t->cols - x;

	if (n > left)
		n = left;
	if (n == 0)
		return;
	row_split(r, t->cols, x, x + n);
	if (r->cell[t->cols - 1].ch & SP_CELL_EDGE)	/* an edge is one in the last column only */
		r->cell[t->cols - 1].ch = 0;
	memmove(r->cell + x, r->cell + x + n, (left - n) * sizeof(*r->cell));
	r->used = t->cols;
	row_fill(r, t->cols - n, t->cols, t->cur.pen.bg);
	r->wrapped = 0;
}

/* ---- writing */

/* A pending wrap happens now. */
static void
put_wrap(struct sp_term *t)
{
	if (t->cur.x < t->cols)
		return;
	if ((t->modes & SP_MODE_WRAP) == 0) {
		t->cur.x = t->cols - 1;
		return;
	}
	t->grid->row[t->cur.y].wrapped = 1;
	t->cur.x = 0;
	grid_line_feed(t);
}

void
grid_ascii(struct sp_term *t, const uint8_t *p, size_t n)
{
	while (n > 0) {
		struct sp_term_cell *c;
		struct row *r;
		size_t run;

		put_wrap(t);
		r = &t->grid->row[t->cur.y];
		run = t->cols - t->cur.x;
		if (run > n)
			run = n;
		row_split(r, t->cols, t->cur.x, t->cur.x + (unsigned)run);
		c = r->cell + t->cur.x;
		for (size_t i = 0; i < run; i++) {
			c[i].ch = p[i];
			c[i].fg = t->cur.pen.fg;
			c[i].bg = t->cur.pen.bg;
		}
		p += run;
		n -= run;
		t->cur.x += (unsigned)run;
		if (r->used < t->cur.x)
			r->used = t->cur.x;
	}
	t->last_cp = p[-1];
}

/* The cell that a mark written now belongs to; NULL: none. */
static struct sp_term_cell *
put_last(struct sp_term *t)
{
	struct row *r = &t->grid->row[t->cur.y];
	unsigned x = t->cur.x;

	if (x == 0)
		return NULL;
	x--;
	if (r->cell[x].ch & SP_CELL_TAIL && x > 0)
		x--;
	return &r->cell[x];
}

void
grid_put(struct sp_term *t, uint32_t cp)
{
	unsigned w = cp >= 0x200b && cp <= 0x200f ? 0 : sp_width(cp);
	struct sp_term_cell *last;
	struct row *r;

	if (w == 0) {
		if ((last = put_last(t)) != NULL)
			cell_combine(t, last, cp);
		return;
	}
	if (w > t->cols)
		return;
	put_wrap(t);
	if (t->cur.x + w > t->cols) {		/* only one column is left for a wide character */
		r = &t->grid->row[t->cur.y];
		if ((t->modes & SP_MODE_WRAP) == 0)
			return;
		row_split(r, t->cols, t->cur.x, t->cols);
		r->cell[t->cur.x] = (struct sp_term_cell){ .ch = SP_CELL_EDGE };
		r->used = t->cols;
		t->cur.x = t->cols;
		put_wrap(t);
	}
	if (t->modes & SP_MODE_INSERT)
		grid_insert(t, w);
	r = &t->grid->row[t->cur.y];
	row_split(r, t->cols, t->cur.x, t->cur.x + w);
	r->cell[t->cur.x] = (struct sp_term_cell){ cp | (w == 2 ? SP_CELL_WIDE : 0), t->cur.pen.fg, t->cur.pen.bg };
	if (w == 2)
		r->cell[t->cur.x + 1] = (struct sp_term_cell){ SP_CELL_TAIL, t->cur.pen.fg, t->cur.pen.bg };
	t->cur.x += w;
	if (r->used < t->cur.x)
		r->used = t->cur.x;
	t->last_cp = cp;
}
