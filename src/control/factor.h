/* src/control/factor.h - who has shown a second factor, from where and when, and how often one was guessed at.
 * Process: control. Pure: memory only, the caller owns the clock (CLOCK_BOOTTIME, microseconds).
 * Rules: (1) One code counts for the user and the source address that gave it, as long as a grant's interval says; where
 * a grant says "every login" it counts for the connection that gave it, and for 12 h at most, so that a multiplexed
 * connection does not outlive it. (2) After FACTOR_FREE wrong codes in a row a (user, source) waits, twice as long each
 * time. (3) A user's codes are guessed at FACTOR_USER_MAX times an hour at most from all sources together that have not
 * shown a right one of his: at 3 of 10^6 codes that are right at a time, that is one in a thousand per day, and only for
 * who has the first factor. A source that has shown one is not counted with the others: nobody can shut the owner out
 * from elsewhere. (4) An attempt counts when it begins; a right code gives it back. (5) Tables are bounded; what does
 * not fit is asked again, or may not guess, or is not accepted. (6) A step is used up with all before it, and a recovery code,
 * whether a database heard of it or not. */
#ifndef SP_CONTROL_FACTOR_H
#define SP_CONTROL_FACTOR_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/htab.h"
#include "base/str.h"

#define FACTOR_NEVER		(-1)	/* interval: never asked; as SP_POLICY_MFA_NEVER */
#define FACTOR_LONGEST_S	(12 * 3600)
#define FACTOR_KNOWN_S		(24 * 3600)	/* a source with a right code counts as known that long */
#define FACTOR_FREE		4
#define FACTOR_USER_MAX		12	/* an hour */
#define FACTOR_PROOFS_MAX	20000
#define FACTOR_GUESSES_MAX	20000
#define FACTOR_USED_MAX		100000
#define FACTOR_USED_S		(24 * 3600)	/* that long a used code is known here when the store knows of it, too */

struct factors {
	struct sp_htab	proofs, guesses, used;
};
enum sp_err	factors_init(struct factors *f) SP_MUST_USE;
void		factors_release(struct factors *f);

/* A right code was given. source: an address as text. */
void		factors_proved(struct factors *f, const struct sp_uuid *user, const char *source, const struct sp_uuid *conn,
		    uint64_t now_us);
/* One that was given age_us ago, before this process began; a newer one stands. */
void		factors_restore(struct factors *f, const struct sp_uuid *user, const char *source, const struct sp_uuid *conn,
		    uint64_t age_us, uint64_t now_us);
/* Is a proof good enough for this interval (seconds; 0: every login; FACTOR_NEVER)? */
int		factors_fresh(const struct factors *f, const struct sp_uuid *user, const char *source,
		    const struct sp_uuid *conn, int64_t interval_s, uint64_t now_us);
/* The user's factor was changed or he was disabled: nothing that he showed counts any more. 1: there was something. */
int		factors_forget(struct factors *f, const struct sp_uuid *user);

/* Use up a step of a factor (recovery NULL) or a recovery code. SP_EDENIED: it was; SP_EFULL: no room. late: the store is yet to hear of it. */
enum sp_err	factors_use(struct factors *f, const struct sp_uuid *factor, int64_t step, const struct sp_uuid *recovery, int late,
		    uint64_t now_us) SP_MUST_USE;
void		factors_written(struct factors *f, const struct sp_uuid *factor, int64_t step, const struct sp_uuid *recovery);
void		factors_late(struct factors *f, const struct sp_uuid *factor, int64_t step, const struct sp_uuid *recovery);

/* May a code be tried? Counts it. SP_EBUSY: this source waits; SP_EFULL: too many for this user from unknown sources. */
enum sp_err	factors_try(struct factors *f, const struct sp_uuid *user, const char *source, uint64_t now_us) SP_MUST_USE;
/* It was not a guess after all: right, or never looked at. */
void		factors_untry(struct factors *f, const struct sp_uuid *user, const char *source, int right);
void		factors_sweep(struct factors *f, uint64_t now_us);

#endif
