/* src/common/csv.h - comma-separated values, RFC 4180: read a text that is in memory, write records. Pure.
 * Read: CRLF or LF, quoted fields with line breaks and doubled quotes, a byte order mark at the start is passed over,
 * records that are empty lines are passed over. Refused with a reason and the line: bytes that are not UTF-8, NUL, a
 * quote inside an unquoted field, text behind a closing quote, a quote that never closes, a record or a count of fields
 * beyond the bounds. */
#ifndef SP_COMMON_CSV_H
#define SP_COMMON_CSV_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_CSV_FIELDS_MAX	64
#define SP_CSV_RECORD_MAX	65536	/* bytes of one record's fields */

struct sp_csv {
	const char	*p;		/* borrowed */
	size_t		 n, at;
	uint32_t	 line;		/* where the next record begins, from 1 */
	const char	*why;		/* after SP_EFORMAT, SP_ESIZE: a constant text */
};
/* Fields of one record; text stays until the next read. Zeroed is empty; released by sp_csv_record_release. */
struct sp_csv_record {
	struct sp_buf	 text;
	size_t		 from[SP_CSV_FIELDS_MAX];	/* offsets of NUL-terminated fields in text */
	size_t		 n;
	uint32_t	 line;		/* of its first byte */
};

void		 sp_csv_init(struct sp_csv *r, const char *p, size_t n);
/* SP_ENOENT: no more. SP_EFORMAT, SP_ESIZE: r->why, ret->line; the reader stands behind that line and may go on. */
enum sp_err	 sp_csv_next(struct sp_csv *r, struct sp_csv_record *ret) SP_MUST_USE;
const char	*sp_csv_field(const struct sp_csv_record *rec, size_t i);	/* "" beyond the last */
void		 sp_csv_record_release(struct sp_csv_record *rec);
/* Append one field, with a comma before it unless `first`; quoted where it must be. Then sp_csv_end: CRLF. */
enum sp_err	 sp_csv_put(struct sp_buf *b, const char *s, int first) SP_MUST_USE;
enum sp_err	 sp_csv_end(struct sp_buf *b) SP_MUST_USE;

#endif
