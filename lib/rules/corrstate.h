/* lib/rules/corrstate.h - inside lib/rules: what a correlation remembers. */
#ifndef SP_RULES_CORRSTATE_H
#define SP_RULES_CORRSTATE_H

#include "base/htab.h"
#include "base/list.h"
#include "rules/corrdef.h"
#include "rules/event.h"

#define CORR_KEY_MAX	4096		/* bytes of the values of one group */
#define CORR_COMBINE	16		/* groups that one event with several values may be in */
#define CORR_NEVER	INT64_MIN
#define CORR_TIME_LIMIT	(INT64_C(1) << 60)	/* microseconds; a time beyond it is nonsense */
#define NIL		UINT32_MAX

struct entry {				/* something counted, in a list by time */
	int64_t		t;
	uint64_t	ref;
	union {
		uint64_t	hash;	/* value_count: of the value */
		double		v;	/* sum, average, percentile; ratio: 1 or 0 */
	};
	uint32_t	prev, next;	/* by time; next also links the free ones */
	uint32_t	chain;		/* value_count: in the same bucket */
};
struct stage {				/* temporal: a rule that was seen */
	int64_t		start;		/* temporal: latest time; ordered: start of the latest chain that came so far */
	int64_t		last;		/* when */
	uint64_t	ref;
};
struct group {
	struct sp_hnode	 node;
	struct sp_list	 lru;		/* by arrival, in corr->lru */
	struct sp_list	 window;	/* at_end: by end, in corr->windows */
	int64_t		 start;		/* at_end: of its window */
	int64_t		 last;		/* newest event */
	int64_t		 quiet_until;	/* suppressed before; CORR_NEVER: not */
	int		 fired;		/* and has not dropped below since */
	int		 busy;		/* somebody holds a pointer to it: not to be evicted */
	struct entry	*e;
	uint32_t	 n, cap, head, tail, free;
	uint32_t	*bucket;	/* value_count: by hash */
	uint32_t	 n_buckets;
	double		*sorted;	/* percentile: all v, ascending */
	long double	 sum;
	struct stage	*stage;
	size_t		 memory;
	size_t		 key_len;
	uint8_t		 key[];		/* for each of group-by: u32 length, bytes */
};
struct corr {				/* one correlation */
	const struct rule	*rule;
	const struct corrdef	*def;
	uint32_t		 index;
	struct sp_htab		 groups;
	struct sp_list		 lru, windows;
	int64_t			 newest;	/* time of its newest event */
	uint32_t		*parent;	/* correlations (numbers in sp_corr.corr) that count this one */
	size_t			 n_parents;
};
struct sp_corr {
	const struct sp_rules	*set;
	struct sp_corr_limits	 limit;
	struct corr		*corr;
	size_t			 n;
	uint64_t		 seed;
	uint32_t		*by_rule;	/* first in `use` of each rule, NIL: none */
	struct use {
		uint32_t	corr, next;
	}			*use;
	size_t			 n_uses;
	uint8_t			*touched;	/* by correlation: has the event for it */
	uint8_t			*hit;		/* by rule: hit by the event being fed */
	struct sp_corr_stats	 stats;
	sp_corr_fire_fn		*fn;		/* during feed and tick */
	void			*arg;
	const struct sp_rules_scratch *scratch;	/* of the event; NULL in tick */
};

/* corrgroup.c: entries of a group. */
struct group	*group_get(struct sp_corr *c, struct corr *k, const uint8_t *key, size_t len);	/* made if new; NULL: no memory */
void		 group_free(struct sp_corr *c, struct corr *k, struct group *g);
void		 group_clear(struct sp_corr *c, struct corr *k, struct group *g);	/* forget what was counted */
void		 group_expire(struct sp_corr *c, struct corr *k, struct group *g, int64_t until);	/* entries at or before until */
/* One more; keeps k->def->need (counts) or limit.entries. SP_ENOMEM. */
enum sp_err	 group_add(struct sp_corr *c, struct corr *k, struct group *g, int64_t t, uint64_t ref, uint64_t hash, double v) SP_MUST_USE;
enum sp_err	 group_stages(struct sp_corr *c, struct corr *k, struct group *g) SP_MUST_USE;	/* make room for them */
double		 group_percentile(const struct group *g, double percent);
void		 window_place(struct corr *k, struct group *g);			/* into k->windows by its end */
void		 corr_make_room(struct sp_corr *c);			/* under the limit of memory; busy groups stay */

#endif
