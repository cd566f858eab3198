/* src/common/bulkcols.h - what a file for `sallyport import` may hold: kinds of rows and their columns. The command line
 * turns cells into JSON by it, control refuses keys that are not in it. Names are the JSON keys of single calls.
 * An empty cell takes the value away; a column that is not there leaves it as it is. */
#ifndef SP_COMMON_BULKCOLS_H
#define SP_COMMON_BULKCOLS_H

#include <stddef.h>

enum sp_bulk_type {
	SP_BULK_TEXT,
	SP_BULK_INT,	/* an empty cell: the column is not there */
	SP_BULK_LIST,	/* separated by ';', or by line breaks when there is one; empty: no members */
	SP_BULK_SECRET	/* sealed by the command line; never in a row that control sees, never exported */
};
struct sp_bulk_col {
	const char		*name;
	enum sp_bulk_type	 type;
};
struct sp_bulk_kind {
	const char			*name;
	const struct sp_bulk_col	*cols;
	size_t				 n;
};

#define SP_BULK_ROWS_MAX	500000		/* of one file */
#define SP_BULK_ROW_MAX		65536		/* bytes of JSON of one row */
#define SP_BULK_BYTES_MAX	((size_t)192 << 20)	/* of all rows of one file, staged */
#define SP_BULK_REFUSED_MAX	100		/* reasons that are listed; the count is whole */

const struct sp_bulk_kind	*sp_bulk_kind(const char *name);	/* NULL: none of that name */
const struct sp_bulk_col	*sp_bulk_col(const struct sp_bulk_kind *k, const char *name);

#endif
