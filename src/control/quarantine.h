/* src/control/quarantine.h - a node that was restored from a backup holds still until an administrator releases it: no new
 * sessions, no rotation, no scheduled work, nothing out of the old outbox.
 * Process: control. The file <state_dir>/snapshot/quarantine is the state: `sallyport restore` writes it, the release removes it. */
#ifndef SP_CONTROL_QUARANTINE_H
#define SP_CONTROL_QUARANTINE_H

#include "control/ctl.h"

void		 quarantine_load(struct ctl *c);	/* at start */
void		 quarantine_note(struct ctl *c);	/* say it in the audit log, once, after a restore */
int		 quarantine_is(const struct ctl *c);	/* any thread */
const char	*quarantine_text(const struct ctl *c);	/* one line for people; NULL: no quarantine. Loop. */
json_t		*quarantine_json(const struct ctl *c);	/* NULL: no quarantine */

#endif
