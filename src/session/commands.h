/* src/session/commands.h - rules over commands, in force at a target: lines of its terminals (hold.c) and exec requests (relay.c).
 * Process: session. They come compiled from nothing but what control sent: with TARGET_REPLY, and again whenever they change; a
 * session that is cut off keeps the last ones. */
#ifndef SP_SESSION_COMMANDS_H
#define SP_SESSION_COMMANDS_H

#include "rules/command.h"
#include "sallyport.pb-c.h"

struct relay;
struct target;

#define COMMANDS_TEXT	300

/* What a message of control says about commands: place (NULL: they are not judged) and the file of rules (-1: none). Borrowed. 0:
 * they cannot be read, and nothing may run. */
int	commands_load(struct target *t, const Sallyport__CommandPlace *place, int fd);
void	commands_free(struct target *t);
/* Judge a line, or the command of an exec request. 0: commands are not judged here. */
int	commands_judge(struct relay *r, const struct sp_command_line *line, struct sp_command_verdict *ret);
/* The recorder hears of it, unless nothing was decided. how: "screen", "exec". */
void	commands_tell(struct relay *r, const struct sp_command_line *line, const struct sp_command_verdict *v, const char *how, int ran);
/* The line for the user: of a refusal, or of a warning. */
void	commands_text(const struct target *t, const struct sp_command_verdict *v, char dst[COMMANDS_TEXT]);
/* The session ends as that rule says. */
void	commands_kill(struct target *t, const struct sp_command_verdict *v);
/* May the exec request of this channel go out? 0: it was refused, and the channel or the session has ended. */
int	commands_exec(struct relay *r);

#endif
