/* lib/rules/event.h - inside lib/rules: one event as the evaluator sees it, and the reader that makes it. */
#ifndef SP_RULES_EVENT_H
#define SP_RULES_EVENT_H

#include "rules/set.h"

#define JSON_DEPTH	64
#define ROUTES		32		/* log sources of events that are remembered */
#define SOURCE_MAX	128		/* bytes of category, product, service */

enum value_flag {
	VALUE_FIRST	= 1,		/* the first of the same text under several fields: keywords look at it once */
	VALUE_IN_TEXT	= 2,		/* its text is in scratch->text (was escaped), else borrowed from the caller */
};
struct value {
	const char	*p;		/* as it is; NULL with VALUE_IN_TEXT: see at */
	size_t		 at;		/* offset in scratch->text */
	uint32_t	 len;
	uint32_t	 fold_len;
	size_t		 fold_at;	/* offset in scratch->stream */
	uint32_t	 next;		/* of the same field, + 1; 0: the last */
	uint16_t	 field;
	uint16_t	 flags;
};
struct slot {				/* a field in this event; void when gen is another */
	uint32_t	gen;
	uint32_t	first, last;	/* values, + 1; 0: none */
	uint8_t		present, null, unknown;
};
struct bytes {				/* grows to the largest event and stays */
	uint8_t	*p;
	size_t	 n, cap;
};
struct route {				/* which rules see events of one log source */
	char		 key[3 * SOURCE_MAX + 3];
	size_t		 key_len;
	int		 used;
	uint8_t		*rule;		/* by rule: 1 */
	uint32_t	*always;	/* those without a literal */
	size_t		 n_always;
	uint8_t		*field;		/* by field: some routed rule reads it */
	int		 keywords;
};

struct sp_rules_scratch {
	const struct sp_rules	*set;
	uint32_t		 gen;
	struct slot		*slot;		/* by field */
	struct value		*value;
	size_t			 n_values, cap_values;
	struct bytes		 stream, text;
	int			 any_unknown;
	struct route		 route[ROUTES], all;
	size_t			 next_route;
	const struct route	*now;
	uint32_t		*cand, *hit;	/* rules */
	uint8_t			*hit_unknown;
	size_t			 n_cand, n_hit;
	uint32_t		*seen;		/* by rule: gen in which it became a candidate */
	void			*index;		/* scratch of the index */
	struct regex_scratch	*re;
	struct sp_rules_stats	 stats;
};

/* Read ev into s->value, s->slot, s->stream, for the fields of route s->now. */
enum sp_err	 event_read(struct sp_rules_scratch *s, const struct sp_rules_event *ev) SP_MUST_USE;
static inline const char *
value_text(const struct sp_rules_scratch *s, const struct value *v)
{
	return v->flags & VALUE_IN_TEXT ? (const char *)s->text.p + v->at : v->p;
}
static inline const uint8_t *
value_fold(const struct sp_rules_scratch *s, const struct value *v)
{
	return s->stream.p + v->fold_at;
}
static inline const struct slot *
slot_of(const struct sp_rules_scratch *s, uint16_t field)
{
	static const struct slot none;

	return s->slot[field].gen == s->gen ? &s->slot[field] : &none;
}

/* Does a condition hold? 0 no, 1 yes, 2 nobody knows (a field of it is unknown, a regex hit its limits). */
int		 cond_eval(struct sp_rules_scratch *s, const struct cond *c);
int		 item_eval(struct sp_rules_scratch *s, const struct item *it);
int		 matcher_value(struct sp_rules_scratch *s, const struct item *it, const struct matcher *m, const struct value *v);

#endif
