/* src/control/shell.h - command lines over SSH: a process of its own for each (sallyport-shell), whose one way to us is a
 * channel that was made here and is bound to the user of one connection. Process: control, event loop.
 * Invariants: (1) who calls is the user who logged in on that connection; the process says nothing about it. (2) When the
 * connection ends or is killed, so does the channel, calls that are under way included: they get no answer. (3) A
 * connection has at most SHELLS_CONN at a time, and SHELLS_MINUTE in a minute. docs/adr/0013-commands-over-ssh.md. */
#ifndef SP_CONTROL_SHELL_H
#define SP_CONTROL_SHELL_H

#include "control/ctl.h"

struct shell;
void		 shell_ask(struct conn *cn, struct sp_msg *m);	/* SHELL_ASK */
void		 shell_conn_gone(struct conn *cn);		/* its shells lose their channels */
struct shell	*shell_ref(struct shell *sh);
void		 shell_unref(struct shell *sh);			/* NULL is fine */
struct sp_chan	*shell_chan(const struct shell *sh);		/* NULL: nobody waits for an answer any more */
void		 shell_call_done(struct shell *sh);

#endif
