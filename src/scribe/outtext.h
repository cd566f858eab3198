/* src/scribe/outtext.h - the first 64 KiB of what a command printed, as text: drawn on a terminal of its own (lib/term), so that no
 * sequence is left in it. Process: scribe. Only where a grant keeps output in clear (common/keep.h).
 * Invariants: (1) the text is UTF-8 of printable characters and line feeds. (2) At most SP_OUTTEXT_RAW bytes are drawn and
 * SP_OUTTEXT_MAX bytes kept; what is beyond is counted, and said. */
#ifndef SP_SCRIBE_OUTTEXT_H
#define SP_SCRIBE_OUTTEXT_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"

#define SP_OUTTEXT_MAX	65536u
#define SP_OUTTEXT_RAW	(1024u * 1024)

struct sp_outtext;

/* cols, rows: of the terminal that the command printed to; 0: none (a line feed alone begins a line). SP_ENOMEM. */
enum sp_err	sp_outtext_new(unsigned cols, unsigned rows, struct sp_outtext **ret) SP_MUST_USE;
void		sp_outtext_free(struct sp_outtext *o);		/* NULL is fine */
void		sp_outtext_feed(struct sp_outtext *o, struct sp_view v);
/* It is over. *ret_text: borrowed, until free. prompts: one of which may stand at its end and is not the command's; NULL: none.
 * *ret_bytes: that it printed; *ret_cut: more than the text holds. */
enum sp_err	sp_outtext_end(struct sp_outtext *o, const char *const prompts[2], const char **ret_text, uint64_t *ret_bytes, int *ret_cut) SP_MUST_USE;

#endif
