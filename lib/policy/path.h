/* lib/policy/path.h - which paths of a target a grant lets files be moved at. Pure. Processes: control (when a grant is saved, and
 * for commands), session (for each request of sftp).
 *
 * A grant has rules, one a line, in order: EFFECT:WAY:PATTERN
 *	EFFECT	allow, deny
 *	WAY	read (from the target), write (on it), both
 *	PATTERN	an absolute path. * stands for any part of a name, ? for one character, ** (alone between two slashes) for any
 *		number of folders, none included: so /srv/app/ followed by ** is that folder and all below it. A backslash
 *		takes the meaning from what follows it.
 *
 * Rules:
 * (1) The first rule that fits path and way decides; what none fits is refused. A line that cannot be read refuses the rest.
 * (2) The rules of several grants unite, as directions do: a path is open when one of them opens it. Their text is in blocks,
 *     each begun by a line with the direction of that grant (up, down, both, none).
 * (3) Paths are judged as the target resolved them: absolute, without links. Any other form is refused: empty names, ".", "..",
 *     null bytes. Bytes are compared; on a path that begins with a drive (/C:/) case is ignored, and what names a file there in
 *     another way (streams, short names, trailing dots) is refused. */
#ifndef SP_POLICY_PATH_H
#define SP_POLICY_PATH_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define SP_POLICY_PATHS_SIZE	6144		/* blocks of all grants, with a NUL */
#define SP_POLICY_PATHS_EVERY	"allow:both:/**"	/* what a grant without rules says */

struct sp_path {
	const char	*p;		/* borrowed; no NUL needed */
	size_t		 n;
};

/* The rules of one grant, for when it is saved. SP_EINVAL: a line cannot be read; or none of them allows anything. "" is fine. */
enum sp_err	sp_policy_paths_check(const char *rules) SP_MUST_USE;
/*
 * Which ways (SP_POLICY_FILE_UP to write, _DOWN to read) are open, under blocks of rules:
 *   at        for this path
 *   below     for certain, for it and everything below it
 *   perhaps   for it, or something below it; for a certain answer with the other sign
 */
uint32_t	sp_policy_paths_at(const char *blocks, struct sp_path path);
uint32_t	sp_policy_paths_below(const char *blocks, struct sp_path path);
uint32_t	sp_policy_paths_perhaps(const char *blocks, struct sp_path path);

#endif
