/* src/ctl/table.h - rows of JSON as text for people: a table aligned by display width, or one "Key: value" block per row
 * where the terminal is too narrow for a table. Pure: no I/O, no clock.
 * Invariants: every value is escaped (no control character, bidi override or broken UTF-8 reaches the output);
 * no line is wider than the width, except for values of columns marked CTL_COL_WHOLE; a column that no row fills is left out. */
#ifndef SP_CTL_TABLE_H
#define SP_CTL_TABLE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

enum ctl_fmt {
	CTL_FMT_TEXT,	/* string, number, yes/no, list joined by ", " */
	CTL_FMT_TIME,	/* RFC 3339 to seconds */
	CTL_FMT_AGE,	/* RFC 3339, shown as "3m" in a table, as time in a card */
	CTL_FMT_BYTES,	/* "1.5 MiB" */
};
enum {
	CTL_COL_EXTRA	= 1 << 0,	/* may be left out where the terminal is narrow (the last one first) */
	CTL_COL_WHOLE	= 1 << 1,	/* never cut or wrapped: keys, ids */
	CTL_COL_RIGHT	= 1 << 2,
	CTL_COL_CARD	= 1 << 3,	/* cards only */
};
struct ctl_col {
	const char	*key;		/* of the row; "a|b": the first that is there */
	const char	*title;		/* NULL ends a table of columns */
	enum ctl_fmt	 fmt;
	unsigned	 flags;
};

/* Columns on a terminal of n bytes of escaped text. */
size_t		ctl_width(const char *s, size_t n);
/* One character: 0, 1 or 2. */
unsigned	ctl_width_cp(uint32_t cp);
/* Bytes of the longest prefix of whole characters that takes at most `width` columns; *ret_width: what it takes. */
size_t		ctl_width_fit(const char *s, size_t n, size_t width, size_t *ret_width);
/* Append the value as one escaped line. card: the long form. now_us: wall clock, for ages. */
enum sp_err	ctl_value(const json_t *v, enum ctl_fmt fmt, int card, int64_t now_us, struct sp_buf *ret) SP_MUST_USE;
/* Append rows (an array of objects). width 0: unlimited. */
enum sp_err	ctl_table(const struct ctl_col *cols, const json_t *rows, unsigned width, int64_t now_us,
		    struct sp_buf *ret) SP_MUST_USE;
/* Append one object: the columns first, then every other key it has. cols may be NULL. */
enum sp_err	ctl_card(const struct ctl_col *cols, const json_t *row, unsigned width, int64_t now_us,
		    struct sp_buf *ret) SP_MUST_USE;

#endif
