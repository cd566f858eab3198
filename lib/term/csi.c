/* lib/term/csi.c - what control sequences do. Source: ECMA-48, and xterm's ctlseqs for what is private. Two tables: final
 * bytes of CSI, and private modes. What is in neither is skipped: reports, window operations and whatever else would make
 * a real terminal answer do nothing here. */
#include <string.h>

#include "term/internal.h"

/* Parameter i, or what a missing or zero one means. */
static unsigned
arg(const struct sp_term *t, unsigned i, unsigned missing)
{
	return i < t->param_n && i < PARAMS_MAX && t->param[i] != 0 ? t->param[i] : missing;
}

void
term_move(struct sp_term *t, long y, long x)
{
	long top = t->cur.origin ? t->top : 0, bottom = t->cur.origin ? t->bottom : t->rows - 1;

	t->cur.y = (unsigned)(y < top ? top : y > bottom ? bottom : y);
	t->cur.x = (unsigned)(x < 0 ? 0 : x >= (long)t->cols ? (long)t->cols - 1 : x);
}

static long
column(const struct sp_term *t)
{
	return t->cur.x < t->cols ? t->cur.x : (long)t->cols - 1;
}

/* Up and down stop at the margins of the scroll region when they start inside. */
static void
move_up(struct sp_term *t, unsigned n)
{
	unsigned top = t->cur.y >= t->top ? t->top : 0;

	t->cur.x = (unsigned)column(t);
	t->cur.y = t->cur.y - top > n ? t->cur.y - n : top;
}

static void
move_down(struct sp_term *t, unsigned n)
{
	unsigned bottom = t->cur.y <= t->bottom ? t->bottom : t->rows - 1;

	t->cur.x = (unsigned)column(t);
	t->cur.y = bottom - t->cur.y > n ? t->cur.y + n : bottom;
}

static void
csi_cuu(struct sp_term *t)
{
	move_up(t, arg(t, 0, 1));
}

static void
csi_cud(struct sp_term *t)
{
	move_down(t, arg(t, 0, 1));
}

static void
csi_cuf(struct sp_term *t)
{
	term_move(t, t->cur.y, column(t) + (long)arg(t, 0, 1));
}

static void
csi_cub(struct sp_term *t)
{
	term_move(t, t->cur.y, column(t) - (long)arg(t, 0, 1));
}

static void
csi_cnl(struct sp_term *t)
{
	move_down(t, arg(t, 0, 1));
	t->cur.x = 0;
}

static void
csi_cpl(struct sp_term *t)
{
	move_up(t, arg(t, 0, 1));
	t->cur.x = 0;
}

static void
csi_cha(struct sp_term *t)
{
	term_move(t, t->cur.y, (long)arg(t, 0, 1) - 1);
}

static void
csi_cup(struct sp_term *t)
{
	term_move(t, (long)arg(t, 0, 1) - 1 + (t->cur.origin ? (long)t->top : 0), (long)arg(t, 1, 1) - 1);
}

static void
csi_vpa(struct sp_term *t)
{
	term_move(t, (long)arg(t, 0, 1) - 1 + (t->cur.origin ? (long)t->top : 0), column(t));
}

static void
csi_cht(struct sp_term *t)
{
	for (unsigned n = arg(t, 0, 1); n > 0 && t->cur.x + 1 < t->cols; n--)
		do
			t->cur.x++;
		while (t->cur.x + 1 < t->cols && !t->tabs[t->cur.x]);
}

static void
csi_cbt(struct sp_term *t)
{
	t->cur.x = (unsigned)column(t);
	for (unsigned n = arg(t, 0, 1); n > 0 && t->cur.x > 0; n--)
		do
			t->cur.x--;
		while (t->cur.x > 0 && !t->tabs[t->cur.x]);
}

static void
csi_ed(struct sp_term *t)
{
	unsigned what = arg(t, 0, 0), y0 = 0, y1 = t->rows;

	if (what == 0) {
		grid_erase(t, t->cur.y, (unsigned)column(t), t->cols);
		y0 = t->cur.y + 1;
	} else if (what == 1) {
		grid_erase(t, t->cur.y, 0, (unsigned)column(t) + 1);
		y1 = t->cur.y;
	} else if (what != 2)
		return;				/* 3: lines that were kept, there are none */
	for (unsigned y = y0; y < y1; y++)
		grid_erase(t, y, 0, t->cols);
}

static void
csi_el(struct sp_term *t)
{
	unsigned what = arg(t, 0, 0), x = (unsigned)column(t);

	if (what <= 2)
		grid_erase(t, t->cur.y, what == 0 ? x : 0, what == 1 ? x + 1 : t->cols);
}

static void
csi_ech(struct sp_term *t)
{
	unsigned x = (unsigned)column(t);

	grid_erase(t, t->cur.y, x, x + arg(t, 0, 1));
}

static void
csi_ich(struct sp_term *t)
{
	grid_insert(t, arg(t, 0, 1));
}

static void
csi_dch(struct sp_term *t)
{
	grid_delete(t, arg(t, 0, 1));
}

static void
csi_il(struct sp_term *t)
{
	if (t->cur.y < t->top || t->cur.y > t->bottom)
		return;
	grid_scroll_down(t, t->cur.y, t->bottom, arg(t, 0, 1));
	t->cur.x = 0;
}

/* Deleting the first row of the screen is no scrolling: nothing leaves it for good. */
static void
csi_dl(struct sp_term *t)
{
	sp_term_gone_fn *gone = t->gone;
	uint64_t scrolled = t->scrolled;

	if (t->cur.y < t->top || t->cur.y > t->bottom)
		return;
	t->gone = NULL;
	grid_scroll_up(t, t->cur.y, t->bottom, arg(t, 0, 1));
	t->gone = gone;
	t->scrolled = scrolled;
	t->cur.x = 0;
}

static void
csi_su(struct sp_term *t)
{
	grid_scroll_up(t, t->top, t->bottom, arg(t, 0, 1));
}

static void
csi_sd(struct sp_term *t)
{
	if (t->param_n <= 1)			/* with more parameters it is mouse tracking */
		grid_scroll_down(t, t->top, t->bottom, arg(t, 0, 1));
}

static void
csi_rep(struct sp_term *t)
{
	unsigned n = arg(t, 0, 1), most = t->cols * t->rows;

	for (n = n < most ? n : most; n > 0 && t->last_cp != 0; n--)
		grid_put(t, t->last_cp);
}

static void
csi_tbc(struct sp_term *t)
{
	if (arg(t, 0, 0) == 3)
		memset(t->tabs, 0, t->cols);
	else if (arg(t, 0, 0) == 0 && t->cur.x < t->cols)
		t->tabs[t->cur.x] = 0;
}

static void
csi_stbm(struct sp_term *t)
{
	unsigned top = arg(t, 0, 1), bottom = arg(t, 1, t->rows);

	if (bottom > t->rows)
		bottom = t->rows;
	if (top >= bottom)
		return;
	t->top = top - 1;
	t->bottom = bottom - 1;
	term_move(t, t->cur.origin ? (long)t->top : 0, 0);
}

/* ---- attributes */

/* 38 and 48: ";5;n" and ";2;r;g;b", or with colons, where a colour space may precede r. Returns parameters used. */
static unsigned
sgr_colour(const struct sp_term *t, unsigned i, uint32_t *field)
{
	unsigned n = t->param_n < PARAMS_MAX ? t->param_n : PARAMS_MAX, sub = 0;
	uint32_t old = *field & ~(SP_CELL_KIND | SP_CELL_RGB);

	while (i + 1 + sub < n && t->param_colon >> (i + 1 + sub) & 1)
		sub++;
	if (i + 2 < n && t->param[i + 1] == 5) {
		*field = old | SP_CELL_INDEXED | (t->param[i + 2] & 0xff);
		return sub ? sub : 2;
	}
	if (i + 4 < n && t->param[i + 1] == 2) {
		unsigned at = sub >= 5 && i + 5 < n ? i + 3 : i + 2;

		*field = old | SP_CELL_DIRECT | (t->param[at] & 0xff) << 16 | (t->param[at + 1] & 0xff) << 8 |
		    (t->param[at + 2] & 0xff);
		return sub ? sub : 4;
	}
	return sub;
}

static const struct sgr_row {
	uint8_t		on, off;
	int		in_bg;
	uint32_t	bits;
} sgr_rows[] = {
	{ 1, 22, 0, SP_CELL_BOLD }, { 2, 22, 0, SP_CELL_DIM }, { 3, 23, 0, SP_CELL_ITALIC }, { 4, 24, 0, SP_CELL_UNDERLINE },
	{ 21, 24, 0, SP_CELL_UNDERLINE }, { 5, 25, 0, SP_CELL_BLINK }, { 7, 27, 0, SP_CELL_REVERSE },
	{ 8, 28, 1, SP_CELL_CONCEAL }, { 9, 29, 1, SP_CELL_STRIKE },
};

static void
sgr_attribute(struct pen *pen, unsigned p)
{
	for (size_t i = 0; i < SP_NELEMS(sgr_rows); i++) {
		uint32_t *field = sgr_rows[i].in_bg ? &pen->bg : &pen->fg;

		if (sgr_rows[i].on == p)
			*field |= sgr_rows[i].bits;
		else if (sgr_rows[i].off == p)
			*field &= ~sgr_rows[i].bits;
	}
}

static void
sgr_indexed(uint32_t *field, unsigned colour)
{
	*field = (*field & ~(SP_CELL_KIND | SP_CELL_RGB)) | SP_CELL_INDEXED | colour;
}

static void
csi_sgr(struct sp_term *t)
{
	struct pen *pen = &t->cur.pen;
	unsigned n = t->param_n < PARAMS_MAX ? t->param_n : PARAMS_MAX;

	for (unsigned i = 0; i < (n ? n : 1); i++) {
		unsigned p = n ? t->param[i] : 0;

		if (t->param_colon >> i & 1)	/* a sub-parameter (a style of underline): 4:0 is off */
			continue;
		if (p == 0)
			*pen = (struct pen){ 0 };
		else if (p == 4 && i + 1 < n && t->param_colon >> (i + 1) & 1 && t->param[i + 1] == 0)
			sgr_attribute(pen, 24);
		else if (p == 38 || p == 48)
			i += sgr_colour(t, i, p == 38 ? &pen->fg : &pen->bg);
		else if (p >= 30 && p <= 37)
			sgr_indexed(&pen->fg, p - 30);
		else if (p >= 40 && p <= 47)
			sgr_indexed(&pen->bg, p - 40);
		else if (p >= 90 && p <= 97)
			sgr_indexed(&pen->fg, p - 90 + 8);
		else if (p >= 100 && p <= 107)
			sgr_indexed(&pen->bg, p - 100 + 8);
		else if (p == 39)
			pen->fg &= ~(SP_CELL_KIND | SP_CELL_RGB);
		else if (p == 49)
			pen->bg &= ~(SP_CELL_KIND | SP_CELL_RGB);
		else
			sgr_attribute(pen, p);
	}
}

/* ---- modes */

static const struct mode_row {
	uint16_t	number;
	uint16_t	mode;
	uint8_t		priv, inverted;
} mode_rows[] = {
	{ 4, SP_MODE_INSERT, 0, 0 }, { 20, SP_MODE_NEWLINE, 0, 0 }, { 1, SP_MODE_CURSOR_KEYS, '?', 0 },
	{ 5, SP_MODE_REVERSE, '?', 0 }, { 7, SP_MODE_WRAP, '?', 0 }, { 25, SP_MODE_HIDE_CURSOR, '?', 1 },
	{ 66, SP_MODE_KEYPAD, '?', 0 }, { 1000, SP_MODE_MOUSE, '?', 0 }, { 1002, SP_MODE_MOUSE_DRAG, '?', 0 },
	{ 1003, SP_MODE_MOUSE_ALL, '?', 0 }, { 1004, SP_MODE_FOCUS, '?', 0 }, { 1006, SP_MODE_MOUSE_SGR, '?', 0 },
	{ 2004, SP_MODE_PASTE, '?', 0 },
};

static void
mode_set(struct sp_term *t, unsigned number, int on)
{
	for (size_t i = 0; i < SP_NELEMS(mode_rows); i++)
		if (mode_rows[i].number == number && mode_rows[i].priv == t->priv)
			t->modes = on != mode_rows[i].inverted ? t->modes | mode_rows[i].mode : t->modes & ~mode_rows[i].mode;
	if (t->priv != '?')
		return;
	switch (number) {
	case 6:
		t->cur.origin = on;
		t->modes = on ? t->modes | SP_MODE_ORIGIN : t->modes & ~(uint32_t)SP_MODE_ORIGIN;
		term_move(t, on ? (long)t->top : 0, 0);
		break;
	case 47:
		term_alt(t, on, 0);
		break;
	case 1047:
		term_alt(t, on, !on);
		break;
	case 1048:
		if (on)
			term_save(t);
		else
			term_restore(t);
		break;
	case 1049:
		if (on && t->grid == &t->main)
			term_save(t);
		term_alt(t, on, on);
		if (!on)
			term_restore(t);
		break;
	default:
		break;
	}
}

static void
csi_mode(struct sp_term *t, int on)
{
	if (t->priv != 0 && t->priv != '?')
		return;
	for (unsigned i = 0; i < t->param_n && i < PARAMS_MAX; i++)
		mode_set(t, t->param[i], on);
}

/* ---- the tables */

static const struct csi_row {
	uint8_t	final;
	void	(*fn)(struct sp_term *);
} csi_rows[] = {
	{ '@', csi_ich }, { 'A', csi_cuu }, { 'B', csi_cud }, { 'C', csi_cuf }, { 'D', csi_cub }, { 'E', csi_cnl },
	{ 'F', csi_cpl }, { 'G', csi_cha }, { 'H', csi_cup }, { 'I', csi_cht }, { 'J', csi_ed }, { 'K', csi_el },
	{ 'L', csi_il }, { 'M', csi_dl }, { 'P', csi_dch }, { 'S', csi_su }, { 'T', csi_sd }, { 'X', csi_ech },
	{ 'Z', csi_cbt }, { '`', csi_cha }, { 'a', csi_cuf }, { 'b', csi_rep }, { 'd', csi_vpa }, { 'e', csi_cud },
	{ 'f', csi_cup }, { 'g', csi_tbc }, { 'm', csi_sgr }, { 'r', csi_stbm }, { 's', term_save }, { 'u', term_restore },
};

void
csi_run(struct sp_term *t, uint8_t final)
{
	if (final != 'b')
		t->last_cp = 0;
	if (t->inter != 0) {
		if (t->inter == '!' && final == 'p')
			term_reset(t, 0);
		return;
	}
	if (final == 'h' || final == 'l') {
		csi_mode(t, final == 'h');
		return;
	}
	if (t->priv != 0 && !(t->priv == '?' && (final == 'J' || final == 'K')))
		return;
	for (size_t i = 0; i < SP_NELEMS(csi_rows); i++)
		if (csi_rows[i].final == final) {
			csi_rows[i].fn(t);
			return;
		}
}

static void
esc_align(struct sp_term *t)
{
	struct pen pen = t->cur.pen;

	t->cur.pen = (struct pen){ 0 };
	t->top = 0;
	t->bottom = t->rows - 1;
	for (unsigned y = 0; y < t->rows; y++) {
		t->cur.x = 0;
		t->cur.y = y;
		for (unsigned x = 0; x < t->cols; x++)
			grid_ascii(t, (const uint8_t *)"E", 1);
		t->grid->row[y].wrapped = 0;
	}
	t->cur.pen = pen;
	t->cur.x = t->cur.y = 0;
}

void
esc_run(struct sp_term *t, uint8_t final)
{
	t->last_cp = 0;
	if (t->inter >= '(' && t->inter <= '+') {
		t->cur.set[t->inter - '('] = final;
		return;
	}
	if (t->inter == '#' && final == '8')
		esc_align(t);
	if (t->inter != 0)
		return;
	switch (final) {
	case '7':
		term_save(t);
		break;
	case '8':
		term_restore(t);
		break;
	case 'D':
		grid_line_feed(t);
		break;
	case 'E':
		grid_line_feed(t);
		t->cur.x = 0;
		break;
	case 'H':
		if (t->cur.x < t->cols)
			t->tabs[t->cur.x] = 1;
		break;
	case 'M':
		grid_reverse_feed(t);
		break;
	case 'c':
		term_reset(t, 1);
		break;
	case '=':
		t->modes |= SP_MODE_KEYPAD;
		break;
	case '>':
		t->modes &= ~(uint32_t)SP_MODE_KEYPAD;
		break;
	default:
		break;
	}
}
