/* src/ctl/screen.c - see screen.h. The emulation is libvterm. */
#include "ctl/screen.h"

#include <stdlib.h>
#include <string.h>
#include <vterm.h>

#include "base/str.h"
#include "ctl/guard.h"
#include "ctl/table.h"

#define SCREEN_ROW_MAX	((size_t)CTL_SCREEN_COLS * 96)	/* bytes of one painted row */
#define SCREEN_REPLAY_MAX	((size_t)1 << 20)	/* bytes of output kept to paint a screen of another size */
#define SCREEN_LEAST	8				/* columns and rows of the emulation, at least */
#define SCREEN_UNKNOWN	"\xef\xbf\xbd"			/* U+FFFD */
#define TRY(expr)	do { enum sp_err try__r = (expr); if (try__r != SP_OK) return try__r; } while (0)

struct ctl_screen {
	VTerm		*vt;
	VTermScreen	*screen;
	struct ctl_guard guard;
	struct sp_buf	 replay;			/* the last output, as it was fed */
	struct sp_buf	 drawn[CTL_SCREEN_ROWS];	/* what the watcher's terminal shows */
	struct sp_buf	 said[CTL_SCREEN_ROWS];		/* what ctl_screen_text gave last */
	int		 cursor_visible;
	int		 fresh;				/* nothing drawn yet */
};

static unsigned
screen_clamp(unsigned n, unsigned most)
{
	return n < SCREEN_LEAST ? SCREEN_LEAST : n > most ? most : n;
}

static void
screen_drop_output(const char *s, size_t n, void *user)
{
	(void)s; (void)n; (void)user;	/* answers to device queries go nowhere: the watcher is read-only */
}

static int
screen_on_prop(VTermProp prop, VTermValue *v, void *user)
{
	struct ctl_screen *s = user;

	if (prop == VTERM_PROP_CURSORVISIBLE)
		s->cursor_visible = v->boolean;
	return 1;
}

static const VTermScreenCallbacks screen_callbacks = { .settermprop = screen_on_prop };

/* A new emulation. libvterm 0.1.4 loses its place when a screen shrinks (cursor and margins outside, then a write there),
 * so a size is for life: another size is another emulation that reads the last output again. */
static enum sp_err
screen_start(struct ctl_screen *s, unsigned cols, unsigned rows)
{
	VTerm *vt = vterm_new((int)screen_clamp(rows, CTL_SCREEN_ROWS), (int)screen_clamp(cols, CTL_SCREEN_COLS));

	if (vt == NULL)
		return SP_ENOMEM;
	if (s->vt != NULL)
		vterm_free(s->vt);
	s->vt = vt;
	s->cursor_visible = s->fresh = 1;
	vterm_set_utf8(vt, 1);
	vterm_output_set_callback(vt, screen_drop_output, s);
	s->screen = vterm_obtain_screen(vt);
	vterm_screen_set_callbacks(s->screen, &screen_callbacks, s);
	vterm_screen_enable_altscreen(s->screen, 1);
	vterm_screen_reset(s->screen, 1);
	return SP_OK;
}

enum sp_err
ctl_screen_new(unsigned cols, unsigned rows, struct ctl_screen **ret)
{
	struct ctl_screen *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return SP_ENOMEM;
	if (screen_start(s, cols, rows) != SP_OK) {
		free(s);
		return SP_ENOMEM;
	}
	sp_buf_init(&s->replay, SCREEN_REPLAY_MAX * 2);
	for (size_t i = 0; i < CTL_SCREEN_ROWS; i++) {
		sp_buf_init(&s->drawn[i], SCREEN_ROW_MAX);
		sp_buf_init(&s->said[i], SCREEN_ROW_MAX);
	}
	*ret = s;
	return SP_OK;
}

void
ctl_screen_free(struct ctl_screen *s)
{
	if (s == NULL)
		return;
	vterm_free(s->vt);
	for (size_t i = 0; i < CTL_SCREEN_ROWS; i++) {
		sp_buf_release(&s->drawn[i]);
		sp_buf_release(&s->said[i]);
	}
	sp_buf_release(&s->replay);
	free(s);
}

/* Keep what was fed: between one and two times SCREEN_REPLAY_MAX, cut at a line, where sequences rarely reach across. */
static void
screen_remember(struct ctl_screen *s, const uint8_t *p, size_t n)
{
	if (s->replay.len + n > s->replay.max) {
		size_t drop = s->replay.len - SCREEN_REPLAY_MAX;
		const uint8_t *nl = memchr(s->replay.p + drop, '\n', s->replay.len - drop);

		sp_buf_consume(&s->replay, nl != NULL ? (size_t)(nl + 1 - s->replay.p) : drop);
	}
	(void)!sp_buf_append(&s->replay, p, n);	/* without memory the next size starts empty */
}

static void
screen_pass(struct ctl_screen *s, struct ctl_guard *g, const uint8_t *p, size_t n, int remember)
{
	uint8_t safe[4096 + GUARD_HELD];

	for (size_t k, m; n > 0; p += k, n -= k) {
		k = n < sizeof(safe) - GUARD_HELD ? n : sizeof(safe) - GUARD_HELD;
		m = ctl_guard_pass(g, p, k, safe);
		vterm_input_write(s->vt, (const char *)safe, m);
		if (remember)
			screen_remember(s, safe, m);
	}
}

void
ctl_screen_feed(struct ctl_screen *s, const void *bytes, size_t n)
{
	screen_pass(s, &s->guard, bytes, n, 1);
}

void
ctl_screen_resize(struct ctl_screen *s, unsigned cols, unsigned rows)
{
	cols = screen_clamp(cols, CTL_SCREEN_COLS);
	rows = screen_clamp(rows, CTL_SCREEN_ROWS);
	if (cols == ctl_screen_cols(s) && rows == ctl_screen_rows(s))
		return;
	if (screen_start(s, cols, rows) == SP_OK) {
		struct ctl_guard fresh = { 0 };		/* the kept output may begin anywhere */

		screen_pass(s, &fresh, s->replay.p, s->replay.len, 0);
	}
}

unsigned
ctl_screen_cols(const struct ctl_screen *s)
{
	int rows, cols;

	vterm_get_size(s->vt, &rows, &cols);
	return (unsigned)cols;
}

unsigned
ctl_screen_rows(const struct ctl_screen *s)
{
	int rows, cols;

	vterm_get_size(s->vt, &rows, &cols);
	return (unsigned)rows;
}

void
ctl_screen_forget(struct ctl_screen *s)
{
	s->fresh = 1;
}

static size_t
screen_encode(uint32_t cp, char dst[4])
{
	if (cp < 0x80) {
		dst[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (char)(0xc0 | cp >> 6);
		dst[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (char)(0xe0 | cp >> 12);
		dst[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		dst[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	if (cp > 0x10ffff)
		return 0;
	dst[0] = (char)(0xf0 | cp >> 18);
	dst[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	dst[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	dst[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}

/* Characters that have no shape of their own, or that change how their neighbours look; beyond sp_text_is_plain. */
static int
screen_is_invisible(uint32_t cp)
{
	return cp == 0xad || cp == 0x34f || cp == 0x180e || (cp >= 0x2060 && cp <= 0x206f) || (cp >= 0xfff0 && cp <= 0xfffb) ||
	    (cp >= 0xe000 && cp <= 0xf8ff) || (cp >= 0xe0000 && cp <= 0xe0fff) || cp >= 0xf0000;
}

/* The text of a cell: printable, and as wide as the cell says, else U+FFFD in each column. */
static enum sp_err
screen_cell_text(const VTermScreenCell *cell, struct sp_buf *b)
{
	unsigned width = cell->width == 2 ? 2 : 1, got = 0;
	char text[4 * VTERM_MAX_CHARS_PER_CELL];
	size_t n = 0;

	if (cell->chars[0] == 0)
		return sp_buf_put_u8(b, ' ');
	for (size_t i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell->chars[i] != 0; i++) {
		char one[4];
		size_t k = screen_encode(cell->chars[i], one);
		unsigned w = ctl_width_cp(cell->chars[i]);

		if (k == 0 || !sp_text_is_plain(one, k) || screen_is_invisible(cell->chars[i]) || (i == 0 ? w == 0 : w != 0)) {
			if (i == 0)
				got = width + 1;	/* refused */
			break;
		}
		memcpy(text + n, one, k);
		n += k;
		got += w;
	}
	if (got == width)
		return sp_buf_append(b, text, n);
	for (unsigned i = 0; i < width; i++)
		TRY(sp_buf_append_str(b, SCREEN_UNKNOWN));
	return SP_OK;
}

static enum sp_err
screen_color(struct sp_buf *b, const VTermColor *c, unsigned base)
{
	if (base == 30 ? VTERM_COLOR_IS_DEFAULT_FG(c) : VTERM_COLOR_IS_DEFAULT_BG(c))
		return SP_OK;
	if (VTERM_COLOR_IS_RGB(c))
		return sp_buf_printf(b, ";%u;2;%u;%u;%u", base + 8, c->rgb.red, c->rgb.green, c->rgb.blue);
	if (c->indexed.idx < 8)
		return sp_buf_printf(b, ";%u", base + c->indexed.idx);
	if (c->indexed.idx < 16)
		return sp_buf_printf(b, ";%u", base + 60 + c->indexed.idx - 8);
	return sp_buf_printf(b, ";%u;5;%u", base + 8, c->indexed.idx);
}

static enum sp_err
screen_attrs(struct sp_buf *b, const VTermScreenCell *c)
{
	static const char *const none = "";

	TRY(sp_buf_printf(b, "\033[0%s%s%s%s%s", c->attrs.bold ? ";1" : none, c->attrs.italic ? ";3" : none,
	    c->attrs.underline ? ";4" : none, c->attrs.reverse ? ";7" : none, c->attrs.strike ? ";9" : none));
	TRY(screen_color(b, &c->fg, 30));
	TRY(screen_color(b, &c->bg, 40));
	return sp_buf_put_u8(b, 'm');
}

static int
screen_same_attrs(const VTermScreenCell *a, const VTermScreenCell *b)
{
	return a->attrs.bold == b->attrs.bold && a->attrs.italic == b->attrs.italic &&
	    !a->attrs.underline == !b->attrs.underline && a->attrs.reverse == b->attrs.reverse &&
	    a->attrs.strike == b->attrs.strike && vterm_color_is_equal(&a->fg, &b->fg) && vterm_color_is_equal(&a->bg, &b->bg);
}

/* One row as bytes: attributes (when wanted) and text, at most `cols` columns. */
static enum sp_err
screen_row(const struct ctl_screen *s, unsigned row, unsigned cols, int attrs, struct sp_buf *b)
{
	VTermScreenCell last = { .width = 0 };
	int have_last = 0;

	for (unsigned col = 0; col < cols; ) {
		VTermScreenCell cell = { .width = 1 };

		if (!vterm_screen_get_cell(s->screen, (VTermPos){ .row = (int)row, .col = (int)col }, &cell))
			cell = (VTermScreenCell){ .width = 1 };
		if (cell.chars[0] == (uint32_t)-1) {	/* the right half of a wide character whose left half is gone */
			cell.chars[0] = 0;
			cell.width = 1;
		}
		if (cell.width == 2 && col + 2 > cols) {
			cell.chars[0] = 0;
			cell.width = 1;
		}
		if (attrs && (!have_last || !screen_same_attrs(&cell, &last)))
			TRY(screen_attrs(b, &cell));
		last = cell;
		have_last = 1;
		TRY(screen_cell_text(&cell, b));
		col += cell.width == 2 ? 2 : 1;
	}
	return SP_OK;
}

static int
screen_buf_same(const struct sp_buf *a, const struct sp_buf *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->p, b->p, a->len) == 0);
}

static enum sp_err
screen_keep(struct sp_buf *kept, const struct sp_buf *now)
{
	sp_buf_reset(kept);
	return sp_buf_append(kept, now->p, now->len);
}

enum sp_err
ctl_screen_draw(struct ctl_screen *s, unsigned view_cols, unsigned view_rows, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf row = { .max = SCREEN_ROW_MAX };
	unsigned cols = ctl_screen_cols(s), rows = ctl_screen_rows(s);
	VTermPos at;

	cols = cols < view_cols ? cols : view_cols;
	rows = rows < view_rows ? rows : view_rows;
	TRY(sp_buf_append_str(ret, s->fresh ? "\033[?25l\033[0m\033[H\033[2J" : "\033[?25l"));
	for (unsigned i = 0; i < rows; i++) {
		sp_buf_reset(&row);
		TRY(screen_row(s, i, cols, 1, &row));
		if (!s->fresh && screen_buf_same(&row, &s->drawn[i]))
			continue;
		TRY(sp_buf_printf(ret, "\033[%u;1H", i + 1));
		TRY(sp_buf_append(ret, row.p, row.len));
		TRY(sp_buf_append_str(ret, "\033[0m\033[K"));
		TRY(screen_keep(&s->drawn[i], &row));
	}
	s->fresh = 0;
	vterm_state_get_cursorpos(vterm_obtain_state(s->vt), &at);
	if (s->cursor_visible && at.row >= 0 && (unsigned)at.row < rows && at.col >= 0 && (unsigned)at.col < cols)
		TRY(sp_buf_printf(ret, "\033[%d;%dH\033[?25h", at.row + 1, at.col + 1));
	return SP_OK;
}

enum sp_err
ctl_screen_text(struct ctl_screen *s, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf row = { .max = SCREEN_ROW_MAX };
	unsigned rows = ctl_screen_rows(s), cols = ctl_screen_cols(s);

	for (unsigned i = 0; i < rows; i++) {
		sp_buf_reset(&row);
		TRY(screen_row(s, i, cols, 0, &row));
		while (row.len > 0 && row.p[row.len - 1] == ' ')
			row.len--;
		if (screen_buf_same(&row, &s->said[i]))
			continue;
		TRY(screen_keep(&s->said[i], &row));
		if (row.len == 0)
			continue;
		TRY(sp_buf_append(ret, row.p, row.len));
		TRY(sp_buf_put_u8(ret, '\n'));
	}
	return SP_OK;
}
