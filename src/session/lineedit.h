/* src/session/lineedit.h - keys from a terminal, one line of text, and the widths of characters.
 * Process: session. Pure. Invariants: (1) the line is plain UTF-8 (no control character, no bidi override) of at most
 * SP_LINE_SIZE - 1 bytes, and the cursor never stands inside a character or between it and its combining marks.
 * (2) Escape sequences are consumed whole, however they are split; unknown ones are dropped. */
#ifndef SP_SESSION_LINEEDIT_H
#define SP_SESSION_LINEEDIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

#define SP_LINE_SIZE	257

/* Columns of a character on a terminal: 0 (combining), 1 or 2 (East Asian wide, emoji). Unicode 15, UAX #11. */
int	sp_char_width(uint32_t cp);
/* Columns of plain UTF-8; bytes that are not UTF-8 count 1. */
size_t	sp_text_width(const char *s, size_t n);
/* The longest prefix of s of at most `cols` columns, in whole characters with their marks; its columns in *ret_cols. */
size_t	sp_text_fit(const char *s, size_t n, size_t cols, size_t *ret_cols);

enum sp_key {
	SP_KEY_NONE,		/* more bytes are needed, or nothing that means anything */
	SP_KEY_CHAR, SP_KEY_ENTER, SP_KEY_TAB, SP_KEY_BACKSPACE, SP_KEY_DELETE, SP_KEY_LEFT, SP_KEY_RIGHT, SP_KEY_UP,
	SP_KEY_DOWN, SP_KEY_HOME, SP_KEY_END, SP_KEY_CANCEL, SP_KEY_EOF, SP_KEY_KILL_LINE, SP_KEY_KILL_WORD,
	SP_KEY_KILL_REST, SP_KEY_REDRAW, SP_KEY_PAGE_UP, SP_KEY_PAGE_DOWN
};
struct sp_keys {
	int		state;
	uint8_t		ch[4];		/* the character, for SP_KEY_CHAR */
	size_t		ch_len, ch_want;
	unsigned	param;
	int		after_cr;
};
enum sp_key	sp_keys_feed(struct sp_keys *k, uint8_t byte);	/* starts zeroed */

struct sp_line {
	char	text[SP_LINE_SIZE];
	size_t	len, cur;
};
void	sp_line_release(struct sp_line *l);		/* starts zeroed; safe twice */
void	sp_line_set(struct sp_line *l, const char *s);	/* cut to what fits and is plain; the cursor at the end */
int	sp_line_insert(struct sp_line *l, const uint8_t *ch, size_t n);	/* returns 0 when refused */
/* Editing keys. Returns 1 if the line or cursor changed. */
int	sp_line_key(struct sp_line *l, enum sp_key key);
/* Draw at the beginning of the current terminal line: prompt, as much of the text as fits in cols with the cursor in
 * it, nothing behind, the cursor where it belongs. */
enum sp_err	sp_line_draw(const struct sp_line *l, const char *prompt, size_t cols, struct sp_buf *out) SP_MUST_USE;

#endif
