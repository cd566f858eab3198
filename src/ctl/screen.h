/* src/ctl/screen.h - a target's terminal as cells, and those cells as bytes for a watcher's terminal. Pure: no I/O.
 * Invariants: what is written to the watcher is made of our own cursor positions and attributes and of printable
 * characters; no byte of the target is copied, so no escape sequence of it can arrive. Answers that the emulation would
 * send to the target (device queries) are dropped. Size is bounded (CTL_SCREEN_COLS, _ROWS). */
#ifndef SP_CTL_SCREEN_H
#define SP_CTL_SCREEN_H

#include "base/buf.h"

#define CTL_SCREEN_COLS	1000
#define CTL_SCREEN_ROWS	500

struct ctl_screen;
enum sp_err	ctl_screen_new(unsigned cols, unsigned rows, struct ctl_screen **ret) SP_MUST_USE;
void		ctl_screen_free(struct ctl_screen *s);		/* NULL is fine */
void		ctl_screen_feed(struct ctl_screen *s, const void *bytes, size_t n);
void		ctl_screen_resize(struct ctl_screen *s, unsigned cols, unsigned rows);	/* cut to the limits */
unsigned	ctl_screen_cols(const struct ctl_screen *s);
unsigned	ctl_screen_rows(const struct ctl_screen *s);
/* Append what brings a terminal of view_cols x view_rows up to date: the rows that changed since the last call, the cursor. */
enum sp_err	ctl_screen_draw(struct ctl_screen *s, unsigned view_cols, unsigned view_rows, struct sp_buf *ret) SP_MUST_USE;
void		ctl_screen_forget(struct ctl_screen *s);	/* the next draw paints everything */
/* Append every row whose text changed since the last call, as plain lines: for output that is no terminal. */
enum sp_err	ctl_screen_text(struct ctl_screen *s, struct sp_buf *ret) SP_MUST_USE;

#endif
