/* src/control/witness.h - who cosigns the heads of the audit log: registered keys, the last head that each has seen, and an alarm when one stays
 * away. A file each in the audit directory, "witness-<key id>": the key, and the cosigned head if there is one. Process: control;
 * all but witness_tick and witness_json is for any thread. Invariant: the head that is kept of a witness never goes back
 * while the log has the same name. */
#ifndef SP_CONTROL_WITNESS_H
#define SP_CONTROL_WITNESS_H

#include "control/ctl.h"
#include "crypto/note.h"

#define WITNESS_MAX	16

void		 witness_load(struct ctl *c);		/* at start */
void		 witness_free(struct ctl *c);
void		 witness_tick(struct ctl *c, uint64_t now_us);
json_t		*witness_json(const struct ctl *c);
/* SP_EFORMAT: no key of a witness; SP_EEXIST; SP_EFULL; errors of the file. */
enum sp_err	 witness_add(struct ctl *c, const char *vkey) SP_MUST_USE;
enum sp_err	 witness_remove(struct ctl *c, const char *name) SP_MUST_USE;	/* SP_ENOENT */
/* A head with a cosignature. log: the key of the log. SP_ENOENT: of nobody who is registered; SP_EAUTH: a signature is wrong; SP_ESTATE: older
 * than what this witness cosigned before; SP_EFORMAT. */
enum sp_err	 witness_take(struct ctl *c, struct sp_view note, const struct sp_note_key *log) SP_MUST_USE;

#endif
