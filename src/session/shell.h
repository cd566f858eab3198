/* src/session/shell.h - `ssh bastion -- WORDS`: a channel whose words name no target is a command for Sallyport itself. It
 * runs in a process of its own (src/shell), which control has started; here its streams meet the channel. Process: session.
 * Invariants: (1) nothing of it is recorded, logged or shown to a target. (2) At most SHELL_LIVE run at a time on one
 * connection; others wait for their turn. (3) What is kept for a slow reader or a slow command is bounded by the window. */
#ifndef SP_SESSION_SHELL_H
#define SP_SESSION_SHELL_H

#include "base/buf.h"

struct relay;
struct shell;
/* slot: of the exec request, answered here. */
void	shell_start(struct relay *r, struct sp_view words, int slot);
void	shell_input(struct relay *r, struct sp_view v);	/* bytes of the user; consumed when they went on */
void	shell_pump(struct relay *r);			/* the user reads again, or will send no more */
void	shell_free(struct relay *r);			/* the channel ends; the command with it. Without one: nothing */

#endif
