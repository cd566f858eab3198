/* lib/term/term.h - a virtual terminal: bytes of a target in, a screen out. Processes: scribe (screen of a live session,
 * command tracking), tools that render recordings. Pure: no I/O, no clock, no globals.
 *
 * The xterm subset that shells, line editors, editors, tmux and screen use (docs/adr/0014-own-terminal.md). It never
 * answers a query, keeps no title and no clipboard, and no input makes it fail: what it does not know it skips.
 * Invariants: (1) 1 <= cols <= SP_TERM_COLS_MAX, 1 <= rows <= SP_TERM_ROWS_MAX, the cursor is inside. (2) Every row has
 * exactly `cols` cells; a cell with SP_CELL_WIDE is followed by one with SP_CELL_TAIL, and only such a one is. (3) Memory
 * is bounded by the size of the screen plus SP_TERM_CLUSTERS_MAX clusters. (4) The work per byte is bounded by the size
 * of the screen. (5) A resize does not reflow: rows are cut or padded, as xterm does. */
#ifndef SP_TERM_TERM_H
#define SP_TERM_TERM_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_TERM_COLS_MAX	500u
#define SP_TERM_ROWS_MAX	500u
#define SP_TERM_COMBINE_MAX	4u		/* combining characters kept per cell; more are dropped */
#define SP_TERM_CLUSTERS_MAX	4096u		/* cells with combining characters; beyond it the marks are dropped */
#define SP_TERM_STRING_MAX	(1u << 20)	/* bytes of an unfinished OSC, DCS, APC, PM or SOS that are skipped */

/* sp_term_cell.ch: a code point, or the number of a cluster; 0: never written, or erased */
#define SP_CELL_CP		0x001fffffu
#define SP_CELL_CLUSTER		0x80000000u	/* the low bits number a cluster */
#define SP_CELL_WIDE		0x40000000u	/* the first of two columns */
#define SP_CELL_TAIL		0x20000000u	/* the second */
#define SP_CELL_EDGE		0x10000000u	/* left blank at the end of a row, because a wide character did not fit */
/* sp_term_cell.fg and .bg: colour, its kind, attributes */
#define SP_CELL_RGB		0x00ffffffu
#define SP_CELL_KIND		0x03000000u
#define SP_CELL_INDEXED		0x01000000u	/* the low 8 bits number a colour of the palette */
#define SP_CELL_DIRECT		0x02000000u	/* the low 24 bits are the colour */
#define SP_CELL_BOLD		0x04000000u	/* fg from here */
#define SP_CELL_DIM		0x08000000u
#define SP_CELL_ITALIC		0x10000000u
#define SP_CELL_UNDERLINE	0x20000000u
#define SP_CELL_BLINK		0x40000000u
#define SP_CELL_REVERSE		0x80000000u
#define SP_CELL_CONCEAL		0x04000000u	/* bg from here */
#define SP_CELL_STRIKE		0x08000000u

struct sp_term_cell {
	uint32_t	ch, fg, bg;
};

/* Modes that a program has set, for who types (bracketed paste) or draws (the rest). */
enum sp_term_mode {
	SP_MODE_WRAP		= 1 << 0,	/* DECAWM */
	SP_MODE_ORIGIN		= 1 << 1,	/* DECOM */
	SP_MODE_INSERT		= 1 << 2,	/* IRM */
	SP_MODE_NEWLINE		= 1 << 3,	/* LNM */
	SP_MODE_CURSOR_KEYS	= 1 << 4,	/* DECCKM */
	SP_MODE_KEYPAD		= 1 << 5,	/* DECPAM */
	SP_MODE_REVERSE		= 1 << 6,	/* DECSCNM */
	SP_MODE_HIDE_CURSOR	= 1 << 7,	/* DECTCEM reset */
	SP_MODE_PASTE		= 1 << 8,	/* bracketed paste */
	SP_MODE_MOUSE		= 1 << 9,	/* 1000 */
	SP_MODE_MOUSE_DRAG	= 1 << 10,	/* 1002 */
	SP_MODE_MOUSE_ALL	= 1 << 11,	/* 1003 */
	SP_MODE_MOUSE_SGR	= 1 << 12,	/* 1006 */
	SP_MODE_FOCUS		= 1 << 13,	/* 1004 */
	SP_MODE_ALT		= 1 << 14,	/* the alternate screen is shown */
};

struct sp_term;

/* A row of the main screen that scrolls away at the top; called before it is gone. row is its number since the start
 * (sp_term_scrolled). */
typedef void sp_term_gone_fn(struct sp_term *t, uint64_t row, void *arg);

/* Sizes outside the limits are cut to them. SP_ENOMEM. */
enum sp_err	sp_term_new(unsigned cols, unsigned rows, struct sp_term **ret) SP_MUST_USE;
void		sp_term_free(struct sp_term *t);	/* NULL is fine */
void		sp_term_write(struct sp_term *t, const void *data, size_t n);
/* As xterm does it: a lower screen pushes rows out at the top while the cursor would fall off. SP_ENOMEM: unchanged. */
enum sp_err	sp_term_resize(struct sp_term *t, unsigned cols, unsigned rows) SP_MUST_USE;
void		sp_term_on_gone(struct sp_term *t, sp_term_gone_fn *fn, void *arg);	/* fn NULL: nobody */

unsigned	sp_term_cols(const struct sp_term *t);
unsigned	sp_term_rows(const struct sp_term *t);
/* The cursor; *ret_col may equal the number of columns while a wrap is pending. */
void		sp_term_cursor(const struct sp_term *t, unsigned *ret_row, unsigned *ret_col);
uint32_t	sp_term_modes(const struct sp_term *t);			/* enum sp_term_mode */
uint64_t	sp_term_scrolled(const struct sp_term *t);		/* rows that have left the main screen at its top */
int		sp_term_in_string(const struct sp_term *t);		/* inside an unfinished control string */
/* The cells of a row, `cols` of them, borrowed until the next change. */
const struct sp_term_cell *sp_term_row(const struct sp_term *t, unsigned row);
int		sp_term_wrapped(const struct sp_term *t, unsigned row);	/* the text goes on in the next row by autowrap */
/* Columns of a row that were written: up to and including the last cell that is neither erased nor an edge. */
unsigned	sp_term_used(const struct sp_term *t, unsigned row);
/* The characters of cells [from, to) of a row as UTF-8; erased cells inside are blanks, nothing is added for edges and
 * second columns. SP_ENOMEM, SP_ESIZE (the buffer's limit). */
enum sp_err	sp_term_text(const struct sp_term *t, unsigned row, unsigned from, unsigned to, struct sp_buf *dst) SP_MUST_USE;
/* A key frame: escape sequences that bring a terminal of this size, whatever was on it, to this screen, cursor, attributes
 * and modes. SP_ENOMEM, SP_ESIZE. */
enum sp_err	sp_term_dump(const struct sp_term *t, struct sp_buf *dst) SP_MUST_USE;

#endif
