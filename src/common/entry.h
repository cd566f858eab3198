/* src/common/entry.h - the form of one entry of the audit log. Used by control (writes) and by the command line (checks).
 *
 * A line of a segment is LEAF or LEAF TAB OPENINGS. LEAF is canonical JSON (keys sorted, no blanks, UTF-8) of at most ENTRY_LEAF_MAX
 * bytes: these bytes are the entry of the Merkle tree. What may tell of a person, and what is too long, is not in it: such a
 * member is {"commitment": HEX} or {"bytes": N, "commitment": HEX}, and too long a one that is nobody's
 * {"bytes": N, "prefix": TEXT, "sha256": HEX}. OPENINGS is an object from the member's path ("more/body/command") to
 * [salt in base64, value]; commitment = HMAC-SHA-256(salt, path, 0x00, value as canonical JSON); the sha256 is of the value as
 * canonical JSON, its salt is "". Without its salt a commitment says nothing: that is how an entry is erased. Pure. */
#ifndef SP_COMMON_ENTRY_H
#define SP_COMMON_ENTRY_H

#include <jansson.h>

#include "base/buf.h"

#define ENTRY_LEAF_MAX	((size_t)65535)		/* bytes of a leaf */
#define ENTRY_LINE_MAX	((size_t)2 << 20)	/* bytes of a line */
#define ENTRY_SALT	16
#define ENTRY_PATH_MAX	256			/* bytes of a member's path with NUL: what is deeper is in nobody's path */
#define ENTRY_DEEP	8			/* objects in each other that are looked into */
#define ENTRY_ERASED	"(erased)"		/* stands in entry_parse() for what has no opening any more */

/* The same entry with personal and overlong members replaced, and their openings ({}: none). o is borrowed and untouched. The
 * leaf of *ret fits ENTRY_LEAF_MAX with a member "seq" added. SP_ENOMEM. */
enum sp_err	entry_seal(const json_t *o, json_t **ret, json_t **ret_open) SP_MUST_USE;
/* Leaf and openings (empty: none) of a line without its newline. Borrowed. */
void		entry_split(struct sp_view line, struct sp_view *ret_leaf, struct sp_view *ret_open);
/* The entry as it was given, as far as it can be opened. NULL: not the form of an entry. */
json_t		*entry_parse(struct sp_view line);
/* Does every opening fit its commitment, and is there none without? SP_EAUTH; SP_EFORMAT: no line of an entry.
 * *ret_erased (may be NULL): how many members have no opening. */
enum sp_err	entry_check(struct sp_view line, unsigned *ret_erased) SP_MUST_USE;
/* The same of the line of entry `seq`, and that its leaf is canonical and says that number. SP_EFORMAT: it is not, or does not.
 * Few microseconds: for whoever looks at millions. */
enum sp_err	entry_verify(struct sp_view line, uint64_t seq, unsigned *ret_erased) SP_MUST_USE;
/* 1: entry_verify() says SP_OK; 0: not known. entry_fast.c */
int		entry_fast(struct sp_view line, uint64_t seq, unsigned *ret_erased);
/* Is a member of that name a person's? */
int		entry_is_personal(const char *key);

#endif
