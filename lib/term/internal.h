/* lib/term/internal.h - what the files of the terminal share: term.c (life, queries), grid.c (cells), parse.c (bytes),
 * csi.c (control sequences), dump.c (key frames). */
#ifndef SP_TERM_INTERNAL_H
#define SP_TERM_INTERNAL_H

#include "term/term.h"

#define PARAMS_MAX	16u
#define PARAM_LIMIT	65535u

struct row {
	struct sp_term_cell *cell;	/* cols of them */
	unsigned	used;		/* cells from here on are zero */
	int		wrapped;
};
struct grid {
	struct row	*row;		/* NULL: not made yet (the alternate screen) */
	struct sp_term_cell *cells;	/* all of them; rows point into it in any order */
};
struct pen {
	uint32_t	fg, bg;
};
struct cursor {
	unsigned	x, y;		/* x == cols: the next character wraps first */
	struct pen	pen;
	uint8_t		set[4], shift;	/* character sets G0..G3 ('B', '0', ...), the one in use */
	int		origin;
};
struct cluster {
	uint32_t	cp[1 + SP_TERM_COMBINE_MAX];	/* zero ends */
};
enum parse_state { P_GROUND, P_ESC, P_ESC_INTER, P_CSI, P_CSI_SKIP, P_STRING, P_STRING_ESC };

struct sp_term {
	unsigned	cols, rows, top, bottom;	/* scroll region, inclusive */
	struct grid	main, alt, *grid;
	struct cursor	cur, saved, saved_alt;
	uint32_t	modes;
	uint8_t		*tabs;				/* one per column */
	uint64_t	scrolled;
	uint32_t	last_cp;			/* for REP */
	struct cluster	*cluster;
	unsigned	cluster_n, cluster_cap;
	sp_term_gone_fn	*gone;
	void		*gone_arg;
	/* parser */
	enum parse_state state;
	uint8_t		inter, priv;			/* intermediate and private marker, 0: none, 0xff: several */
	unsigned	param[PARAMS_MAX], param_n;
	uint16_t	param_colon;			/* bit i: parameter i was separated from the last by a colon */
	size_t		string_n;
	uint32_t	utf_cp, utf_min;
	unsigned	utf_need;
};

/* grid.c */
enum sp_err	grid_make(struct grid *g, unsigned cols, unsigned rows) SP_MUST_USE;
void		grid_free(struct grid *g);
void		grid_erase(struct sp_term *t, unsigned y, unsigned from, unsigned to);	/* cells [from, to), with the pen's background */
void		grid_scroll_up(struct sp_term *t, unsigned top, unsigned bottom, unsigned n);
void		grid_scroll_down(struct sp_term *t, unsigned top, unsigned bottom, unsigned n);
void		grid_insert(struct sp_term *t, unsigned n);		/* blanks at the cursor */
void		grid_delete(struct sp_term *t, unsigned n);		/* cells at the cursor */
void		grid_ascii(struct sp_term *t, const uint8_t *p, size_t n);	/* printable ASCII only */
void		grid_put(struct sp_term *t, uint32_t cp);
void		grid_line_feed(struct sp_term *t);
void		grid_reverse_feed(struct sp_term *t);
size_t		cell_codepoints(const struct sp_term *t, const struct sp_term_cell *c, uint32_t dst[1 + SP_TERM_COMBINE_MAX]);
/* csi.c */
void		csi_run(struct sp_term *t, uint8_t final);
void		esc_run(struct sp_term *t, uint8_t final);
void		term_reset(struct sp_term *t, int hard);
void		term_move(struct sp_term *t, long y, long x);		/* inside the screen, origin mode respected */
/* term.c */
void		term_alt(struct sp_term *t, int on, int clear);
void		term_save(struct sp_term *t);
void		term_restore(struct sp_term *t);
/* dump.c */
size_t		utf8_put(uint32_t cp, uint8_t dst[4]);

#endif
