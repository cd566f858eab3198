/* lib/rules/corr.h - Sigma correlations: what is counted over events that rules matched, and when it fires.
 * Life: sp_corr_new (one per stream of events) -> sp_corr_feed after each sp_rules_eval, sp_corr_tick as time passes; sp_corr_save and
 * sp_corr_load over a restart. Pure: no I/O, no clock. One thread at a time.
 * Invariants: (1) memory stays under the limits; what is given up is counted. (2) The same events in the same order give the same
 * fires, with or without a save and load between any two of them. */
#ifndef SP_RULES_CORR_H
#define SP_RULES_CORR_H

#include "rules/rules.h"

struct sp_corr;
struct sp_corr_limits {			/* 0: the default */
	uint32_t	groups;		/* per correlation (100,000); the one untouched longest is evicted and counted */
	uint32_t	entries;	/* per group that needs every value in its window: sum, average, percentile (65,536) */
	uint64_t	memory;		/* bytes of all state (512 MiB); the group untouched longest goes first */
	uint64_t	late_us;	/* how far behind the newest event one may be and still count (5 minutes) */
};
struct sp_corr_group {
	const char	*name;		/* of group-by: field or alias */
	struct sp_view	 value;
};
#define SP_CORR_GROUP_MAX	8	/* fields in group-by */
#define SP_CORR_EVENTS_MAX	64	/* references kept of the events in a window, the newest */
struct sp_corr_fire {			/* borrowed during the call */
	uint32_t			 rule;		/* index of the correlation */
	int64_t				 when_us;	/* UTC microseconds: of the event, or the end of the window */
	const struct sp_corr_group	*group;
	size_t				 n_groups;
	double				 value;		/* count, sum, share ...; counts stop at what the condition needs */
	const uint64_t			*event;		/* references as given to _feed, oldest first */
	size_t				 n_events;
};
typedef void	 sp_corr_fire_fn(const struct sp_corr_fire *f, void *arg);

/* The set must outlive it. limits borrowed; NULL: defaults. */
enum sp_err	 sp_corr_new(const struct sp_rules *r, const struct sp_corr_limits *limits, struct sp_corr **ret) SP_MUST_USE;
void		 sp_corr_free(struct sp_corr *c);
/* Take the hits of the event that s evaluated last. when_us: its own time (UTC); ref: the caller's name for it (entry number).
 * fn is called for every correlation that fires (silent ones not), before this returns; it must not call into c.
 * Give ref 0 if none. Feeding is not idempotent: the caller remembers up to which entry it fed. */
enum sp_err	 sp_corr_feed(struct sp_corr *c, struct sp_rules_scratch *s, const struct sp_rules_hits *hits, int64_t when_us,
    uint64_t ref, sp_corr_fire_fn *fn, void *arg) SP_MUST_USE;
/* Let time pass: windows end, conditions like `lt` and `eq` are judged at their end. */
enum sp_err	 sp_corr_tick(struct sp_corr *c, int64_t now_us, sp_corr_fire_fn *fn, void *arg) SP_MUST_USE;
/* When _tick has something to do next; INT64_MAX: never. */
int64_t		 sp_corr_next_us(const struct sp_corr *c);
/* Forget what was counted for groups whose field `name` has this value, in all correlations (rule NULL) or in the one of this id or
 * name: after a recovery or a closed offense, counting begins anew. Returns how many groups were dropped. */
size_t		 sp_corr_forget(struct sp_corr *c, const char *rule, const char *name, const void *value, size_t len);
/* State as bytes, and back into a fresh one. Correlations are known by id (or name) and definition: state of one that is gone
 * or changed is dropped and counted in *ret_dropped. SP_EVERSION, SP_EFORMAT (damaged: nothing is loaded), SP_ENOMEM. */
enum sp_err	 sp_corr_save(const struct sp_corr *c, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	 sp_corr_load(struct sp_corr *c, const void *p, size_t len, size_t *ret_dropped) SP_MUST_USE;
struct sp_corr_stats {
	uint64_t	groups, memory;			/* now */
	uint64_t	fired, suppressed, evicted, late, no_group, oversize;	/* since the state was made, over restarts */
};
void		 sp_corr_stats(const struct sp_corr *c, struct sp_corr_stats *ret);

#endif
