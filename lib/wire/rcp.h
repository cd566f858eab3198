/* lib/wire/rcp.h - the protocol of `scp -t` and `scp -f` (rcp), both directions of one stream, decoded beside it. Pure.
 *
 * The source sends lines (C file, D directory, E end of it, T times, or an error) and the bytes of files; the sink answers
 * each with 0, or 1 or 2 and a line. The source waits for the answer: so a stream that is really this protocol is a strict
 * turn-taking, and what is not is an error. A sink that answers too early is answered for later, as a source reads it.
 * Invariants: at most SP_RCP_LINE_MAX bytes are kept; contents are handed out as they come. After an error the stream is
 * not decoded further. */
#ifndef SP_WIRE_RCP_H
#define SP_WIRE_RCP_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

#define SP_RCP_LINE_MAX		8192
#define SP_RCP_DEPTH_MAX	256	/* directories in directories */

enum sp_rcp_side { SP_RCP_SOURCE, SP_RCP_SINK };
enum sp_rcp_what {
	SP_RCP_MORE,		/* everything was taken; bytes are wanted */
	SP_RCP_FILE,		/* name, mode, size: contents follow if the answer is good */
	SP_RCP_DIR, SP_RCP_UP,	/* into a directory (name, mode), and out of it */
	SP_RCP_TIMES,
	SP_RCP_BYTES,		/* contents of the file, from offset */
	SP_RCP_STATUS,		/* the source's word behind the contents: ok or text */
	SP_RCP_MESSAGE,		/* an error of the source between files: text */
	SP_RCP_REPLY		/* of the sink: ok or text; to: what it answers, MORE for the start */
};
struct sp_rcp_item {
	enum sp_rcp_what what, to;
	struct sp_view	 name, text, bytes;	/* borrowed until the next call */
	uint32_t	 mode;
	uint64_t	 size, offset;
	int		 ok;
};
struct sp_rcp {
	enum { SP_RCP_LINE, SP_RCP_WAIT, SP_RCP_DATA, SP_RCP_AFTER } state;	/* of the source */
	enum sp_rcp_what asked;		/* WAIT: what the answer is to */
	uint64_t	 left, offset;	/* DATA */
	unsigned	 depth;
	uint32_t	 early;		/* answers before they were asked for: bits, the oldest lowest */
	unsigned	 early_n;
	struct sp_buf	 line[2];
	int		 given[2];
	enum sp_err	 broken;
};

void		sp_rcp_init(struct sp_rcp *s);
void		sp_rcp_release(struct sp_rcp *s);
/* The next item of this side. *in moves on. SP_EFORMAT, SP_ESIZE, SP_ENOMEM: the end. */
enum sp_err	sp_rcp_next(struct sp_rcp *s, enum sp_rcp_side side, struct sp_view *in, struct sp_rcp_item *ret) SP_MUST_USE;

#endif
