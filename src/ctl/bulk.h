/* src/ctl/bulk.h - many rows on their way to control: read from a file or made otherwise, sent in pages, one act at the end. */
#ifndef SP_CTL_BULK_H
#define SP_CTL_BULK_H

#include "common/bulkcols.h"
#include "ctl/call.h"

#define CTL_BULK_FILE_MAX	((size_t)256 << 20)	/* bytes */

struct ctl_bulk {
	struct ctl			*c;
	const struct sp_bulk_kind	*kind;
	struct ctl_line			*line;
	json_t				*id;		/* of the import */
	json_t				*page;		/* rows not sent yet */
	size_t				 page_bytes, pages, rows;
	json_t				*bad;		/* [{line, reason}]: refused here already */
	size_t				 bad_n;
	int				 secrets;	/* --secrets: columns with secrets are sealed and sent */
};
/* params go to import.begin (borrowed). All show their errors. */
enum sp_err	 ctl_bulk_begin(struct ctl_bulk *b, struct ctl *c, const char *kind, json_t *params) SP_MUST_USE;
enum sp_err	 ctl_bulk_row(struct ctl_bulk *b, uint32_t line, json_t *taken) SP_MUST_USE;
enum sp_err	 ctl_bulk_file(struct ctl_bulk *b, const char *path, const char *format) SP_MUST_USE;	/* NULL: by name and content */
/* method: import.commit or sweep.commit. Shows the summary, refusals and the report; SP_EFORMAT when rows were refused. */
enum sp_err	 ctl_bulk_end(struct ctl_bulk *b, const char *method) SP_MUST_USE;
void		 ctl_bulk_release(struct ctl_bulk *b);
/* The file of the command line (FILE, --format, --secrets), from begin to end. */
enum sp_err	 ctl_bulk_run(struct ctl *c, const char *kind, const char *method) SP_MUST_USE;
enum sp_err	 ctl_bulk_read(struct ctl *c, const char *path, size_t max, struct sp_buf *ret) SP_MUST_USE;	/* "-": standard input */

#endif
