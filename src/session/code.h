/* src/session/code.h - a one-time code, asked for on the terminal of a channel and checked by the vault, for what control
 * allows only then. Process: session. Control decides whether it was right, and for how long it counts.
 * Invariants: as ask.h; the code goes to the vault alone and is wiped here; one code at a time on a channel. */
#ifndef SP_SESSION_CODE_H
#define SP_SESSION_CODE_H

#include "base/attr.h"
#include "base/err.h"

struct relay;
struct sp_code;
/* failed: NULL when the code was right, else a line for the user. Not called when the channel ends first. */
typedef void sp_code_fn(struct relay *r, const char *failed, void *arg);

/* what: "root@web1". SP_ESTATE: there is nobody to ask; SP_ENOMEM. */
enum sp_err	sp_code_start(struct relay *r, const char *what, sp_code_fn *fn, void *arg) SP_MUST_USE;
void		sp_code_cancel(struct relay *r);	/* without one: nothing */

#endif
