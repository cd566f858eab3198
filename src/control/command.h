/* src/control/command.h - commands of sessions: from events of their recorders into the index. Process: control, on lanes. */
#ifndef SP_CONTROL_COMMAND_H
#define SP_CONTROL_COMMAND_H

#include "store/store.h"

/* If the event tells of a command, put it into the index: "command", "command-end"; "channel" and "channel-end" of an exec
 * request. body: JSON, n bytes, whole; what is no such event is SP_OK. Repeats change nothing. */
enum sp_err	command_index(struct sp_store *s, const struct sp_uuid *session_id, const char *kind, int64_t at_us, const void *body,
		    size_t n) SP_MUST_USE;
/* Whether that function looks at events of this kind. */
int		command_kind(const char *kind);

/* "deny" ... of an action that the index holds; "": none. */
const char	*command_action_word(int64_t action);

#endif
