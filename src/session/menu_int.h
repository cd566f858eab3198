/* src/session/menu_int.h - between menu.c (what keys mean) and menu_draw.c (what is shown). */
#ifndef SP_SESSION_MENU_INT_H
#define SP_SESSION_MENU_INT_H

#include "session/lineedit.h"
#include "session/menu.h"
#include "session/menu_rows.h"

#define MENU_MESSAGE_MAX	2048
#define MENU_PAGE_MAX		64	/* rows on one screen */

enum menu_state { M_ASLEEP, M_LOAD, M_LIST, M_WAIT, M_ACCOUNT, M_COMMAND };
enum { DIRTY_PROMPT = 1, DIRTY_BLOCK = 2 };

struct sp_menu {
	const struct sp_menu_ops *ops;
	void		*arg;
	char		title[SP_MENU_TEXT_MAX + 1];
	char		note[SP_MENU_TEXT_MAX + 1];	/* see sp_menu_note() */
	uint32_t	cols, lines;
	int		plain;		/* a terminal that knows no sequences: print, never paint */
	int		colour;		/* bold and dim */
	enum menu_state	state;
	enum sp_menu_what want;		/* in M_LOAD and M_WAIT */
	uint32_t	ask;		/* number of the last ask */
	struct menu_rows rows;		/* what is shown */
	struct menu_rows next;		/* what is being fetched */
	uint32_t	total;		/* of the list, while it comes */
	int		in_tree;
	uint32_t	group;		/* in the tree: its index + 1; 0: the top */
	char		query[SP_LINE_SIZE];	/* the search that Enter kept */
	size_t		offset;		/* of the page, in the view */
	int		selected;	/* in the view; -1: nothing */
	int		help;		/* shown instead of the list */
	uint32_t	chosen_row;	/* in M_ACCOUNT: name and accounts */
	char		chosen[SP_MENU_TEXT_MAX + 1];
	char		**account;
	size_t		account_n;
	uint32_t	star_row;
	char		message[MENU_MESSAGE_MAX];
	struct sp_keys	keys;
	struct sp_line	line;
	struct sp_buf	ahead;
	struct sp_buf	*out;		/* of the current call */
	enum sp_err	err;		/* sticks for the current call */
	unsigned	dirty;		/* what is to be drawn at the end of the call */
	size_t		drawn;		/* lines of the block above the prompt; 0: nothing of it is on the screen */
	size_t		prompt_w;	/* columns that prompt and line took, on a plain terminal */
};

/* Draw what is dirty. */
void		 menu_paint(struct sp_menu *m);
/* Leave what is on the screen there and go on below it. */
void		 menu_leave_block(struct sp_menu *m);
void		 menu_clear(struct sp_menu *m);		/* an empty screen */
size_t		 menu_page(struct sp_menu *m);	/* rows of a page */
size_t		 menu_shown(struct sp_menu *m);		/* rows that are on the screen now */
const char	*menu_filter_text(const struct sp_menu *m);	/* what is searched for now: the line as it is typed, or the kept search */

#endif
