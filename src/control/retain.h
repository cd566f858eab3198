/* src/control/retain.h - how long recordings are kept: policies, what they come to, and the deletions that follow.
 * Process: control. See retain.c. */
#ifndef SP_CONTROL_RETAIN_H
#define SP_CONTROL_RETAIN_H

#include "control/api.h"

#define RETAIN_LEAST_S		(7 * 86400)	/* a policy that says nothing: size alone takes nothing younger */
#define RETAIN_POLICIES_MAX	256

struct retain_policy {
	struct sp_uuid	department;	/* null: of all that have none of their own */
	char		name[SP_STORE_NAME_MAX + 1];	/* of the department; "": all */
	int64_t		keep_s;		/* 0: no age */
	int64_t		max_bytes;	/* of all recordings that it is for; 0: no size */
	int64_t		least_s;
};
/* SP_ENOENT: there is none for exactly this department. */
enum sp_err	 retain_policy_get(struct sp_store *s, const struct sp_uuid *department, struct retain_policy *ret) SP_MUST_USE;
/* p NULL: no policy any more. In the writer. */
enum sp_err	 retain_policy_set(struct sp_store *s, const struct sp_uuid *department, const struct retain_policy *p) SP_MUST_USE;

struct retain_item {
	struct sp_uuid	id;
	uint64_t	bytes;
	int64_t		at_us;
	int		policy;		/* in retain_plan.policy */
	int		by_size;	/* else by age */
	int		fixed;		/* live, held, or too young to go by size */
};
struct retain_plan {
	struct retain_policy	*policy;
	size_t			 policy_n;
	struct retain_item	*go;	/* oldest first */
	size_t			 go_n, go_cap;
	uint64_t		 go_bytes;
	size_t			 seen, held, doubtful;	/* recordings that are there; held; whose session or hold cannot be read */
	char			 refused[320];	/* why nothing may go now, dry run or not; "" otherwise */
};
/* A worker thread with a handle that only reads. by_hand: an administrator asks, who may delete many at once;
 * accept_clock: he has looked at the clock, too. */
enum sp_err	 retain_plan_make(struct ctl *c, struct sp_store *s, int by_hand, int accept_clock, struct retain_plan **ret) SP_MUST_USE;
void		 retain_plan_free(struct retain_plan *p);
/* What a plan says of one recording: "older than 180d (policy of department x)". */
void		 retain_why(const struct retain_plan *p, const struct retain_item *i, char *dst, size_t size);
/* In the loop: delete what the plan names, a few at a time; takes it. SP_EBUSY: others are still being deleted. */
enum sp_err	 retain_go(struct ctl *c, struct retain_plan *taken, const char *actor) SP_MUST_USE;

enum sp_err	 retain_new(struct ctl *c) SP_MUST_USE;
void		 retain_free(struct ctl *c);
void		 retain_tick(struct ctl *c, uint64_t now_us);
const char	*retain_text(const struct ctl *c);	/* why nothing went last time; NULL: all is well */

/* Why it is held, into reason ("" when it is not): the setting, or the mark beside its files. recordings -1: not asked. */
#define RECORDING_REASON	257
enum sp_err	 recording_held(struct sp_store *s, int recordings, const struct sp_uuid *session, char reason[RECORDING_REASON]) SP_MUST_USE;

#endif
