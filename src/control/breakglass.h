/* src/control/breakglass.h - sealed-envelope accounts: users whose password is in two halves, in two envelopes of two people.
 * The first login opens the account: loud (audit entry, alarm), and from then it works for a stated time only; then it
 * must be sealed again, with new envelopes. Process: control.
 * Invariants: (1) whether a user is one stands in the setting breakglass.<id>, which has a MAC and which no settings.set touches.
 * (2) the opening is durable in the audit log and in the store before the login is answered. (3) such an account has no
 * key, and its password is set by sealing only. */
#ifndef SP_CONTROL_BREAKGLASS_H
#define SP_CONTROL_BREAKGLASS_H

#include "control/ctl.h"

struct breakglass {
	int64_t	expires_us;	/* of the envelopes; wall */
	int64_t	open_s;		/* how long it works once it is opened */
	int64_t	opened_us;	/* 0: sealed */
};
/* SP_ENOENT: an ordinary user. Worker. */
enum sp_err	breakglass_get(struct sp_store *s, const struct sp_uuid *user, struct breakglass *ret) SP_MUST_USE;
/* Open it, if it is not yet; *u is read anew. In the writer. SP_EDENIED: it may not log in any more. */
enum sp_err	breakglass_open(struct ctl *c, struct sp_store *s, const struct sp_uuid *conn, const char *source,
		    struct sp_store_user *u) SP_MUST_USE;

/* It was opened in the copy `from` and is still sealed in `to`: opened there too. Inside a transaction of `to`. */
enum sp_err	breakglass_carry(struct sp_store *from, struct sp_store *to, const struct sp_uuid *user) SP_MUST_USE;

#endif
