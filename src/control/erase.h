/* src/control/erase.h - take back what the audit log and its index say in clear of a person, a session or single entries. Process:
 * control. Intent ("evidence.erase") durable, then the openings of their commitments are destroyed in the segments and what was made
 * of them in the index, then the result ("evidence.erased"). Leaves and tiles stay as they are: every proof holds.
 *
 * Invariants: (1) a segment is replaced as a whole by one of the same length, durable before it takes the name: whoever dies in between
 * leaves a log that verifies. (2) The segment that is being written is never touched: the call begins a new one. (3) What is to be
 * erased stands in the file erase-pending of the audit directory until all of it is: a start of control goes on with it, and no other
 * erasing begins before. (4) What an entry about an erasing says stays, but for a name: who erased, what and why cannot be erased. */
#ifndef SP_CONTROL_ERASE_H
#define SP_CONTROL_ERASE_H

#include <jansson.h>

#include "base/str.h"

#define ERASE_ENTRIES_MAX	1000

struct ctl;

/* Any thread: an erasing runs, or one failed; that one is then tried again. */
int		 erase_busy(void);
/* Loop; the intent is durable. what: {"user": id, "login"} or {"session": id} or {"entries": [n, ..]}; borrowed. SP_EBUSY: see above. */
enum sp_err	 erase_start(struct ctl *c, const json_t *what, const char *actor) SP_MUST_USE;
/* Loop, now and then: what an earlier control did not finish. */
void		 erase_tick(struct ctl *c);
/* One line (without its newline) of a segment, changed in place and to the same length, if it is one of those. *ret_n grows by the
 * values that lost their salt. Pure, but for memory. SP_EFORMAT: no line of an entry. */
enum sp_err	 erase_line(char *line, size_t n, const json_t *what, unsigned *ret_n) SP_MUST_USE;

#endif
