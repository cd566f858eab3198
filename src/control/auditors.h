/* src/control/auditors.h - to whom recordings are encrypted: auditors' public keys (age v1, X25519). Process: control.
 * They stand in the setting "auditor.keys", which has a MAC like every row that gives power and which no settings.set
 * touches. A key of kind "escrow" is a recipient too, but does not count when sessions ask whether there are enough. */
#ifndef SP_CONTROL_AUDITORS_H
#define SP_CONTROL_AUDITORS_H

#include "crypto/age.h"
#include "store/store.h"

#define AUDITORS_MAX	SP_AGE_RECIPIENTS_MAX

struct auditors {
	struct sp_age_recipient key[AUDITORS_MAX];
	size_t	n, counted;		/* keys; of these, auditors' */
};
/* None yet is SP_OK with n 0. SP_ETAMPERED, SP_ECORRUPT and what the store says. */
enum sp_err	auditors_get(struct sp_store *s, struct auditors *ret) SP_MUST_USE;

#endif
