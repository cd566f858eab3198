/* lib/policy/command.h - what a command line that arrives as an exec request is, where a grant tells kinds apart.
 * Pure. Processes: control decides by it; session asks for the target under the same name. */
#ifndef SP_POLICY_COMMAND_H
#define SP_POLICY_COMMAND_H

#include <stddef.h>

/*
 * Is this the server half of scp (RCP protocol) and nothing else, whatever shell the target hands it to?
 *   scp [-dfpqrtv...]... [--] PATH
 * with one of -t and -f, once, one PATH as one word, single blanks, plain UTF-8 (no control character).
 * In PATH: letters, digits and harmless signs as they are, patterns (* ? [ ]), quotes of both kinds and a backslash before
 * a blank, quote, bracket or pattern sign. Refused even inside quotes: & | < > ; $ ` % ^ ! and a backslash, because
 * shells do not agree on what quotes keep (cmd.exe expands % and knows no single quotes, fish ends them elsewhere).
 *   s, n   borrowed
 * Returns 1 or 0. A client that has such a path speaks the sftp protocol instead (scp's default).
 */
int	sp_policy_command_is_scp(const char *s, size_t n);

#endif
