/* src/control/loghead.h - the heads of the audit log: the vault signs them, and what it refuses to sign ends in containment.
 * Process: control, event loop, but for what says otherwise. Files in the audit directory, besides those of src/common/logdir.h:
 *	key		what verifiers are given, as the vault said it last
 *	restored	this log came out of a backup: nothing is signed until a new origin was chosen (quarantine release)
 *	bridge		a ceremony that the vault has not signed yet: the new origin and the reason, a line each
 *	bridge-*.note	signed bridges from one origin to the next
 * Invariants: (1) at most one question for a signature is open. (2) Containment ends by a new origin only, or by a restart. */
#ifndef SP_CONTROL_LOGHEAD_H
#define SP_CONTROL_LOGHEAD_H

#include "control/ctl.h"

enum sp_err	 loghead_new(struct ctl *c) SP_MUST_USE;	/* before the audit log is opened */
void		 loghead_start(struct ctl *c);			/* after it was */
void		 loghead_free(struct ctl *c);
void		 loghead_grown(void *ctl);			/* the tree has a new head, or a head was signed */
void		 loghead_tick(struct ctl *c, uint64_t now_us);
/* Why new sessions and changes are refused; NULL: they are not. For people; any thread. */
const char	*loghead_contained(const struct ctl *c);
/* May this method be called in containment? Any thread. */
int		 loghead_allows(const char *method);
/* Go on under a new origin, with a bridge that the vault signs. SP_ESTATE: no log to go on with; errors of the file. */
enum sp_err	 loghead_new_origin(struct ctl *c, const char *reason) SP_MUST_USE;
int		 loghead_is_restored(const struct ctl *c);
/* {origin, key?, entries, size?, signed?, contained?, lag_s?} */
json_t		*loghead_json(struct ctl *c);

#endif
