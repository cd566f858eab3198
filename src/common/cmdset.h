/* src/common/cmdset.h - command rules from the messages that carry them into lib/rules/command.h. Used by session, which gets them as
 * a sealed memory file, and by control, which tries them. */
#ifndef SP_COMMON_CMDSET_H
#define SP_COMMON_CMDSET_H

#include "rules/command.h"
#include "sallyport.pb-c.h"

#define SP_CMDSET_FILE_MAX	((size_t)20 << 20)	/* bytes of such a file */

/* Compile; both borrowed for the call. place NULL: only the rules. Errors as sp_commands_add and _ready. */
enum sp_err	cmdset_make(const Sallyport__CommandRules *rules, const Sallyport__CommandPlace *place, struct sp_commands **ret) SP_MUST_USE;
/* The same from a file that nobody can change any more: SP_EFORMAT unless it is sealed so. fd -1: no rules. Borrowed. */
enum sp_err	cmdset_read(int fd, const Sallyport__CommandPlace *place, struct sp_commands **ret) SP_MUST_USE;

#endif
