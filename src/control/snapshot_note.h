/* src/control/snapshot_note.h - the signed note beside a snapshot of the store: which file, from when, until when. Pure.
 *
 *	sallyport-snapshot 1
 *	generation N		rises with every snapshot; never accepted when lower than one seen before
 *	made US			wall clock, microseconds
 *	expires US
 *	sha256 HEX		of the database file, named N.db
 *	mac HEX			HMAC-SHA-256 over all lines above
 *
 * Invariant: what parses formats to the same bytes. */
#ifndef SP_CONTROL_SNAPSHOT_NOTE_H
#define SP_CONTROL_SNAPSHOT_NOTE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "crypto/hash.h"

#define SNAPSHOT_NOTE_MAX	512	/* bytes of the text, with NUL */

struct snapshot_note {
	uint64_t	generation;
	int64_t		made_us, expires_us;
	uint8_t		sha256[SP_SHA256_LEN], mac[SP_SHA256_LEN];
};
/* Fills n->mac and the text. */
void		snapshot_note_sign(struct snapshot_note *n, const uint8_t key[SP_SHA256_LEN], char dst[SNAPSHOT_NOTE_MAX]);
enum sp_err	snapshot_note_parse(const char *text, size_t len, struct snapshot_note *ret) SP_MUST_USE;	/* SP_EFORMAT */
/* May it be used at `now_us`, when `least` is the highest generation seen? SP_EAUTH, SP_EEXPIRED, SP_ECONFLICT (an older
 * one was put back). A clock that stands before the time when it was made is SP_EEXPIRED too: it was set back. */
enum sp_err	snapshot_note_check(const struct snapshot_note *n, const uint8_t key[SP_SHA256_LEN], uint64_t least,
		    int64_t now_us) SP_MUST_USE;

#endif
