/* lib/rules/corrdef.h - inside lib/rules: a correlation as it was loaded. */
#ifndef SP_RULES_CORRDEF_H
#define SP_RULES_CORRDEF_H

#include "rules/corr.h"
#include "rules/set.h"

#define CORR_REFS_MAX	64
#define CORR_VALUES_MAX	4		/* fields that make one value */
#define CORR_NEED_MAX	1000000.0	/* a count that a condition may ask for */
#define CORR_CHAIN_MAX	10		/* correlations over correlations */

enum corr_type { CORR_EVENT_COUNT, CORR_VALUE_COUNT, CORR_TEMPORAL, CORR_TEMPORAL_ORDERED, CORR_VALUE_SUM, CORR_VALUE_AVG, CORR_VALUE_PERCENTILE,
	CORR_RATIO };
enum corr_rearm { REARM_DROP_BELOW, REARM_RESET, REARM_EVERY_EVENT };
enum corr_cmp { CORR_GT, CORR_GTE, CORR_LT, CORR_LTE, CORR_EQ, CORR_NEQ };

struct corr_ref {			/* a rule that is counted */
	const char	*name;		/* as written */
	unsigned	 line;
	uint32_t	 rule;
	const char	*group[SP_CORR_GROUP_MAX];	/* the field that stands for each of group-by in this rule */
	uint16_t	 group_field[SP_CORR_GROUP_MAX];
	const char	*value[CORR_VALUES_MAX];
	uint16_t	 value_field[CORR_VALUES_MAX];
};
struct corr_test {
	enum corr_cmp	cmp;
	double		number;
};
struct corrdef {
	enum corr_type		 type;
	struct corr_ref		*ref;
	size_t			 n_ref;
	const char		*group[SP_CORR_GROUP_MAX];
	size_t			 n_group;
	int64_t			 span_us;
	struct corr_test	 test[2];	/* all must hold */
	size_t			 n_test;
	const struct cond	*expr;		/* temporal: over refs; COND_SEL with sel in expr_sel */
	struct selection	*expr_sel;
	const char		*value[CORR_VALUES_MAX];
	size_t			 n_value;
	double			 percentile;
	size_t			 match;		/* ratio: this ref counts as matching */
	double			 above;		/* ratio: with more than so many in total */
	enum corr_rearm		 rearm;
	int64_t			 suppress_us;
	int			 at_end;	/* judged when its window ends, not on arrival */
	uint32_t		 need;		/* entries that are enough to judge a count */
	uint64_t		 digest;	/* of the definition: saved state belongs to it */
	unsigned		 line;
};

#endif
