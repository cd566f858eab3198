/* src/session/menu.h - the menu that a person without a target sees: a list with numbers, a search line, a choice.
 * Process: session. Pure: no I/O, no clock, no globals; keys, sizes and answers come in, bytes for the terminal and
 * calls of sp_menu_ops go out.
 * Invariants: (1) nothing from outside (names, remarks, messages, keys) reaches the terminal unescaped. (2) At most one
 * ask is open; an answer to an older one is ignored. (3) Between choose() or quit() and the next sp_menu_start() no other
 * call is made; bytes that arrive meanwhile are kept for the target (sp_menu_take_rest), never read as menu keys.
 * (4) Memory is bounded: one page of rows, SP_MENU_LINE_MAX of line, SP_MENU_HISTORY lines, SP_MENU_AHEAD of type-ahead. */
#ifndef SP_SESSION_MENU_H
#define SP_SESSION_MENU_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_MENU_PAGE_MAX	64	/* rows that one ask wants at most */
#define SP_MENU_ACCOUNTS_MAX	64	/* accounts kept per row; a person with more types account@asset */
#define SP_MENU_TEXT_MAX	512	/* bytes kept of a name, address, remark or message */
#define SP_MENU_LINE_MAX	256	/* bytes of the line that a person types */
#define SP_MENU_HISTORY		32
#define SP_MENU_AHEAD		4096	/* bytes typed while an answer is awaited, or after a choice */
#define SP_MENU_OUT_MAX		(256u * 1024)	/* a good limit for the caller's output buffer */

struct sp_menu;
struct sp_menu_row {		/* borrowed for the call; NULL texts read as "" */
	const char	*name, *address, *remark, *group;
	const char	*const *accounts;
	size_t		 n_accounts;
};
struct sp_menu_ops {
	/*
	 * Rows offset..offset+limit-1 of what matches query ("" matches all) are wanted. Answer later with sp_menu_reply()
	 * under the same number, never inside the call. No answer is harmless: Ctrl-C stops waiting.
	 */
	void	(*ask)(void *arg, uint32_t ask, const char *query, uint32_t offset, uint32_t limit);
	/*
	 * The person chose. account is "" when the row named none: the decision may then return choices, which
	 * sp_menu_choices() puts to the person. Texts are borrowed for the call. The menu sleeps until sp_menu_start()
	 * or sp_menu_choices().
	 */
	void	(*choose)(void *arg, const char *account, const char *asset);
	void	(*quit)(void *arg);	/* q, Ctrl-D on an empty line. The menu sleeps. */
};

/* title: "sallyport" or the name of this bastion, copied. cols and rows as in the pty request; 0 reads as 80 x 24. */
enum sp_err	sp_menu_new(const struct sp_menu_ops *ops, void *arg, const char *title, uint32_t cols, uint32_t rows,
		    struct sp_menu **ret) SP_MUST_USE;
void		sp_menu_free(struct sp_menu *m);	/* NULL is fine */

/*
 * All below append to out what the terminal is to be sent (nothing, often). SP_ESIZE or SP_ENOMEM: out is full or memory
 * is short; the caller ends the connection.
 */

/* Show the menu: at first, and again when a target has ended or failed. message: one line shown above the prompt
 * ("web1: connection refused"), NULL for none. The search and the page from before are kept. */
enum sp_err	sp_menu_start(struct sp_menu *m, const char *message, struct sp_buf *out) SP_MUST_USE;
/* Bytes from the person's terminal. All are taken. */
enum sp_err	sp_menu_input(struct sp_menu *m, const void *bytes, size_t n, struct sp_buf *out) SP_MUST_USE;
/* The answer to an ask. total: how many match in all. text: shown as a message when not empty (why there are no rows). */
enum sp_err	sp_menu_reply(struct sp_menu *m, uint32_t ask, const struct sp_menu_row *rows, size_t n, uint32_t total,
		    const char *text, struct sp_buf *out) SP_MUST_USE;
/* After choose() with an empty account: the accounts among which the person must choose. */
enum sp_err	sp_menu_choices(struct sp_menu *m, const char *asset, const char *const *accounts, size_t n,
		    struct sp_buf *out) SP_MUST_USE;
/* The window has a new size. Redraws unless the menu sleeps. */
enum sp_err	sp_menu_resize(struct sp_menu *m, uint32_t cols, uint32_t rows, struct sp_buf *out) SP_MUST_USE;
/* A line for the person while the menu is on the screen (a notice of an administrator); the line being typed stays. */
enum sp_err	sp_menu_message(struct sp_menu *m, const char *text, struct sp_buf *out) SP_MUST_USE;
/* What was typed after the choice, moved to the end of dst: it belongs to the target. sp_menu_start() drops what was
 * not taken. */
enum sp_err	sp_menu_take_rest(struct sp_menu *m, struct sp_buf *dst) SP_MUST_USE;
int		sp_menu_awake(const struct sp_menu *m);		/* false between a choice or quit and the next start */

#endif
