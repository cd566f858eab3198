/* src/session/menu.h - the menu that a person without a target sees: a list with numbers that is searched as one types,
 * favourites and the last used first, groups as a tree, a choice. Process: session. Pure: no I/O, no clock, no globals;
 * keys, sizes and answers come in, bytes for the terminal and calls of sp_menu_ops go out.
 * Invariants: (1) nothing from outside (names, remarks, messages, keys) reaches the terminal unescaped. (2) At most one
 * ask is open; an answer to an older one is ignored. (3) Between choose(), command() or quit() and the next sp_menu_start() or sp_menu_said() no other
 * call is made; bytes that arrive meanwhile are kept for the target (sp_menu_take_rest), never read as menu keys.
 * (4) Memory is bounded: the list (menu_rows.h) and the one that replaces it, SP_MENU_LINE_MAX of line, SP_MENU_AHEAD of
 * type-ahead. */
#ifndef SP_SESSION_MENU_H
#define SP_SESSION_MENU_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_MENU_ACCOUNTS_MAX	64	/* accounts kept per row; a person with more types account@asset */
#define SP_MENU_TEXT_MAX	512	/* bytes shown of a name, address, remark or line of a message */
#define SP_MENU_LINE_MAX	256	/* bytes of the line that a person types */
#define SP_MENU_AHEAD		4096	/* bytes typed while an answer is awaited, or after a choice */
#define SP_MENU_OUT_MAX		(256u * 1024)	/* a good limit for the caller's output buffer */

struct sp_menu;
/* What is asked: the list, the next part of the answer that is coming, the groups, a star put or taken off, why. */
enum sp_menu_what { SP_MENU_LIST, SP_MENU_MORE, SP_MENU_GROUPS, SP_MENU_STAR, SP_MENU_UNSTAR, SP_MENU_WHY };
struct sp_menu_row {		/* borrowed for the call; NULL texts read as "" */
	const uint8_t	*id;	/* 16 bytes */
	const char	*name, *address, *remark;
	const char	*const *accounts;
	size_t		 n_accounts;
	int		 favourite;
	unsigned	 recent;	/* 1: the last one used; 0: none of the last */
};
struct sp_menu_ops {
	/* Answer later with sp_menu_reply() under the same number, never inside the call. No answer is harmless: Ctrl-C stops
	 * waiting. id: of the asset, for STAR and UNSTAR; text: for WHY. Both borrowed. */
	void	(*ask)(void *arg, uint32_t ask, enum sp_menu_what what, const uint8_t *id, const char *text);
	/*
	 * The person chose. account is "" when the row named none: the decision may then return choices, which
	 * sp_menu_choices() puts to the person. Texts are borrowed for the call. The menu sleeps until sp_menu_start()
	 * or sp_menu_choices().
	 */
	void	(*choose)(void *arg, const char *account, const char *asset);
	void	(*quit)(void *arg);	/* q, Ctrl-D on an empty line. The menu sleeps. */
	/* ":text": a command for Sallyport itself, borrowed for the call; what it prints comes between. The menu sleeps until
	 * sp_menu_said() or sp_menu_start(); keys that are given to it meanwhile wait for that. NULL: there are none here. */
	void	(*command)(void *arg, const char *text);
};

/* title: "sallyport" or the name of this bastion, copied. cols and rows as in the pty request; 0 reads as 80 x 24. */
enum sp_err	sp_menu_new(const struct sp_menu_ops *ops, void *arg, const char *title, uint32_t cols, uint32_t rows,
		    struct sp_menu **ret) SP_MUST_USE;
void		sp_menu_free(struct sp_menu *m);	/* NULL is fine */
/* What the terminal can do: term as in the pty request ("dumb" and "": no sequences at all); no_color: neither bold nor dim. */
void		sp_menu_terminal(struct sp_menu *m, const char *term, int no_color);

/*
 * All below append to out what the terminal is to be sent (nothing, often). SP_ESIZE or SP_ENOMEM: out is full or memory
 * is short; the caller ends the connection.
 */

/* Show the menu: at first, and again when a target has ended or failed. message: shown above the prompt ("web1:
 * connection refused"), NULL for none. The search and the page from before are kept; the list is asked for anew. */
enum sp_err	sp_menu_start(struct sp_menu *m, const char *message, struct sp_buf *out) SP_MUST_USE;
/* Bytes from the person's terminal. All are taken. */
enum sp_err	sp_menu_input(struct sp_menu *m, const void *bytes, size_t n, struct sp_buf *out) SP_MUST_USE;
/* A line for people below the title, from the next drawing on; "" takes it away. Copied. */
void		sp_menu_note(struct sp_menu *m, const char *note);
/* Parts of an answer, before the sp_menu_reply() that ends the part. Ignored when nobody waits for that answer. */
enum sp_err	sp_menu_row(struct sp_menu *m, uint32_t ask, const struct sp_menu_row *row) SP_MUST_USE;
enum sp_err	sp_menu_group(struct sp_menu *m, uint32_t ask, uint32_t id, uint32_t parent, const char *name) SP_MUST_USE;
enum sp_err	sp_menu_place(struct sp_menu *m, uint32_t ask, const uint8_t id[16], const uint32_t *groups, size_t n) SP_MUST_USE;
/* The answer to an ask, or a part of it. total: rows in all. more: another part is to be asked for. text: shown as a
 * message when not empty; lines are separated by '\n'. failed: there is no answer, and what was shown stays. */
enum sp_err	sp_menu_reply(struct sp_menu *m, uint32_t ask, uint32_t total, int more, const char *text, int failed,
		    struct sp_buf *out) SP_MUST_USE;
/* After choose() with an empty account: the accounts among which the person must choose. */
enum sp_err	sp_menu_choices(struct sp_menu *m, const char *asset, const char *const *accounts, size_t n,
		    struct sp_buf *out) SP_MUST_USE;
/* The command has ended: below what it printed there is a prompt for the next one; an empty line shows the list again. */
enum sp_err	sp_menu_said(struct sp_menu *m, struct sp_buf *out) SP_MUST_USE;
/* The window has a new size. Redraws unless the menu sleeps. */
enum sp_err	sp_menu_resize(struct sp_menu *m, uint32_t cols, uint32_t rows, struct sp_buf *out) SP_MUST_USE;
/* A line for the person while the menu is on the screen (a notice of an administrator); the line being typed stays. */
enum sp_err	sp_menu_message(struct sp_menu *m, const char *text, struct sp_buf *out) SP_MUST_USE;
/* What was typed after the choice, moved to the end of dst: it belongs to the target. sp_menu_start() drops what was
 * not taken. */
enum sp_err	sp_menu_take_rest(struct sp_menu *m, struct sp_buf *dst) SP_MUST_USE;
int		sp_menu_awake(const struct sp_menu *m);		/* false between a choice or quit and the next start */

#endif
