/* src/control/mfa.h - one-time codes: is one wanted, checking one, once. Process: control.
 * The code itself never comes here: the session hands it to the vault under the id of a check, the vault answers which
 * step it belongs to, and a step (or a recovery code) is used up, in the store and in a file of this machine (factor_keep.h),
 * before anybody is told that it was right. While the store takes no writes, the file and what the store can be read of say
 * whether a code was used, and the store hears of it later. */
#ifndef SP_CONTROL_MFA_H
#define SP_CONTROL_MFA_H

#include "control/ctl.h"

struct mfa_check;
/* asked: the vault knows the check; the code may go there. done: refused is NULL when the code was right, else why, for
 * the log (static text). Exactly one done follows, unless control ends; asked comes before it, or not at all. */
struct mfa_ops {
	void	(*asked)(void *arg, const struct sp_uuid *check_id);
	void	(*done)(void *arg, const char *refused);
};
enum sp_err	mfa_new(struct ctl *c) SP_MUST_USE;
void		mfa_free(struct ctl *c);
void		mfa_load(struct ctl *c, struct sp_store *s);	/* in a lane, before its jobs: what was shown before this start */
void		mfa_tick(struct ctl *c, uint64_t now_us);
void		mfa_vault_result(struct ctl *c, const Sallyport__CodeResult *r);
/* Check a code of this user on this connection. May call done at once. */
void		mfa_check(struct conn *cn, const struct sp_uuid *user_id, const char *login, const struct mfa_ops *ops, void *arg);
/* Does a grant with this interval want a code from this connection's user now? */
int		mfa_wanted(const struct conn *cn, const struct sp_uuid *user_id, int64_t interval_s);
/* What the user had shown counts no more. */
void		mfa_forget(struct ctl *c, const struct sp_uuid *user_id);
/* Worker: has the user a confirmed second factor? */
enum sp_err	mfa_enrolled(struct sp_store *s, const struct sp_uuid *user_id, int *ret) SP_MUST_USE;
/* Worker, in a transaction: use up a step, or a recovery code. SP_EDENIED: was used, or is none. *ret_left: recovery
 * codes that remain, -1 for a step. *ret_id (may be NULL): which recovery code it was. */
enum sp_err	mfa_use(struct sp_store *s, const struct sp_uuid *user_id, int64_t step, const struct sp_view *hash,
		    int *ret_left, struct sp_uuid *ret_id) SP_MUST_USE;
/* One line for a person whose way in has no place to ask: of `asset`, which is escaped. */
void		mfa_text(const struct ctl *c, const char *asset, int is_enrolled, char *dst, size_t size);
/* Any thread: may a code of this user be tried from there (an address, or "uid N")? Counts it; _back takes that back:
 * it was right, or never looked at. SP_EBUSY, SP_EFULL. */
enum sp_err	mfa_guess(struct ctl *c, const struct sp_uuid *user_id, const char *source) SP_MUST_USE;
void		mfa_guess_back(struct ctl *c, const struct sp_uuid *user_id, const char *source, int right);
void		mfa_ask(struct conn *cn, uint32_t corr, const Sallyport__MfaAsk *q);	/* MFA_ASK */

#endif
