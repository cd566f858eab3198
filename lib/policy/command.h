/* lib/policy/command.h - what a command line that arrives as an exec request is, where a grant tells kinds apart.
 * Pure. Processes: control decides by it; session asks for the target under the same name. */
#ifndef SP_POLICY_COMMAND_H
#define SP_POLICY_COMMAND_H

#include <stddef.h>
#include <stdint.h>

/*
 * A command line that is the server half of a file transfer and nothing else, whatever shell the target hands it to:
 *   scp [-dfpqrtv...]... [--] PATH		(RCP protocol) with one of -t and -f, once
 *   rsync --server [--sender] OPTION... . PATH...	as rsync itself sends it: no option that names another file, runs something
 *						or takes arguments from the stream (-s)
 *   sftp-server				alone, by its name or a usual path
 * PATH is one word, single blanks, plain UTF-8 (no control character): letters, digits and harmless signs as they are,
 * patterns (* ? [ ]), quotes of both kinds and a backslash before a blank, quote, bracket or pattern sign. Refused even inside
 * quotes: & | < > ; $ ` % ^ ! and a backslash, because shells do not agree on what quotes keep (cmd.exe expands % and knows no
 * single quotes, fish ends them elsewhere).
 */
enum sp_policy_transfer { SP_POLICY_NO_TRANSFER, SP_POLICY_TRANSFER_SCP, SP_POLICY_TRANSFER_RSYNC, SP_POLICY_TRANSFER_SFTP };
struct sp_policy_command {
	enum sp_policy_transfer	 kind;
	uint32_t		 direction;	/* scp, rsync: SP_POLICY_FILE_UP or _DOWN */
	int			 expands;	/* the remote shell may make other paths of it: patterns, ~ */
	const char		*path;		/* scp, rsync: the rest of the line from the first path on; borrowed */
	size_t			 path_len;
};
/* s, n: borrowed. What is none of these has kind SP_POLICY_NO_TRANSFER. */
void	sp_policy_command(const char *s, size_t n, struct sp_policy_command *ret);
/* The scp of above? Returns 1 or 0. A client that has another path speaks the sftp protocol instead (scp's default). */
int	sp_policy_command_is_scp(const char *s, size_t n);
/*
 * May this command run under a grant with that file direction (SP_POLICY_FILE_*)? NULL, or why not, a sentence for the user.
 * With both directions everything may. Else a transfer has to go the right way and name its paths without patterns; scp, rsync
 * and sftp-server in any other form are refused. Other commands are not judged: who may run any command moves what he likes.
 */
const char *sp_policy_command_refused(const char *s, size_t n, uint32_t direction);
/*
 * The same under rules for paths (blocks of path.h). Which file a path of scp, rsync or git means only the target knows, and they
 * do not let it be asked: refused, but for scp in a way that the rules leave open everywhere. sftp is judged request by request.
 */
const char *sp_policy_command_unruled(const char *s, size_t n, const char *blocks);
/* Decode the quoting of one PATH, as a POSIX shell does. dst gets at most n bytes and a NUL. */
void	sp_policy_command_path(const char *s, size_t n, char *dst);

#endif
