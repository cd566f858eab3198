/* lib/rules/corr.c - correlations: what is counted over events that rules matched.
 *
 * The window is (t - timespan, t] in event time, where t is the newest event of the group; it slides, and is judged when an event
 * arrives. A condition that is true of few events (lt, lte, eq, neq) is trivially true at the start of a window, so it is judged
 * once, when the window that began with the group's first event ends; the next event begins another.
 *
 * After firing a group is quiet until the condition no longer holds (rearm: drop_below), or starts counting from zero (reset), or
 * fires with every event (every_event); `suppress` keeps it quiet for a time in any case.
 *
 * A correlation that fires is an event of those that refer to it, at once: their fields are its group-by, and then the fields of
 * the event that made it fire. They form no cycle and no long chain (corrload.c), so the recursion is bounded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rules/corrstate.h"
#include "rules/num.h"

#define GROUPS_DEFAULT	100000
#define ENTRIES_DEFAULT	65536
#define MEMORY_DEFAULT	((uint64_t)512 << 20)
#define LATE_DEFAULT	(INT64_C(300) * 1000000)
#define SWEEP		4		/* stale groups that one event looks at */

/* What is being counted: an event, or a correlation that fired. */
struct happening {
	int64_t				 t;
	uint64_t			 ref;
	int				 is_fire;
	const struct sp_corr_group	*group;		/* of the correlation that fired */
	size_t				 n_groups;
};
struct values {				/* of one field of the happening */
	struct sp_view	v[CORR_COMBINE];
	size_t		n;
};

static enum sp_err	count(struct sp_corr *c, struct corr *k, uint32_t ref, const struct happening *h);

/* ---- fields ---- */

static void
values_of(const struct sp_corr *c, const struct happening *h, const char *name, uint16_t field, struct values *ret)
{
	const struct sp_rules_scratch *s = c->scratch;

	ret->n = 0;
	for (size_t i = 0; i < h->n_groups; i++)
		if (strcmp(h->group[i].name, name) == 0) {
			ret->v[0] = h->group[i].value;
			ret->n = 1;
			return;
		}
	if (s == NULL)
		return;
	for (uint32_t i = slot_of(s, field)->first; i != 0 && ret->n < CORR_COMBINE; i = s->value[i - 1].next)
		ret->v[ret->n++] = (struct sp_view){ (const uint8_t *)value_text(s, &s->value[i - 1]), s->value[i - 1].len };
}

static size_t
key_put(uint8_t *key, size_t at, struct sp_view v)
{
	uint32_t n = (uint32_t)v.len;

	if (v.len > CORR_KEY_MAX || at + 4 + v.len > CORR_KEY_MAX)
		return SIZE_MAX;
	memcpy(key + at, &n, 4);
	if (n > 0)
		memcpy(key + at + 4, v.p, n);
	return at + 4 + n;
}

static void
key_split(const struct corrdef *d, const struct group *g, struct sp_corr_group *ret)
{
	size_t at = 0;

	for (size_t i = 0; i < d->n_group; i++) {
		uint32_t n;

		memcpy(&n, g->key + at, 4);
		ret[i] = (struct sp_corr_group){ d->group[i], { g->key + at + 4, n } };
		at += 4 + n;
	}
}

/* A keyed hash of 64 bits: the seed is random, so nobody who writes events can aim for a collision. */
static uint64_t
value_hash(uint64_t h, struct sp_view v)
{
	const uint64_t m = UINT64_C(0x9fb21c651e98df25);
	uint64_t w;
	size_t i = 0;

	h ^= v.len * UINT64_C(0xff51afd7ed558ccd);
	for (; v.len - i >= 8; i += 8) {
		memcpy(&w, v.p + i, 8);
		h = (h ^ w) * m;
		h ^= h >> 29 ^ h >> 47;
	}
	w = 0;
	if (v.len > i)
		memcpy(&w, v.p + i, v.len - i);
	h = (h ^ w ^ UINT64_C(0x8000000000000000)) * m;
	h ^= h >> 32;
	h *= UINT64_C(0xff51afd7ed558ccd);
	return h ^ h >> 29;
}

/* ---- judging ---- */

static int
seen(const struct corr *k, const struct group *g, size_t ref)
{
	return g->stage != NULL && g->stage[ref].start != CORR_NEVER && g->stage[ref].start > g->last - k->def->span_us;
}

static int
expr_holds(const struct corr *k, const struct group *g, const struct cond *x)
{
	if (x->op == COND_SEL)
		return seen(k, g, (size_t)(x->sel - k->def->expr_sel));
	if (x->op == COND_NOT)
		return !expr_holds(k, g, x->sub[0]);
	for (size_t i = 0; i < x->n; i++)
		if (expr_holds(k, g, x->sub[i]) == (x->op == COND_OR))
			return x->op == COND_OR;
	return x->op == COND_AND;
}

/* What the group comes to; NAN: there is nothing to judge. */
static double
group_value(const struct corr *k, const struct group *g)
{
	const struct corrdef *d = k->def;
	double n = 0;

	switch (d->type) {
	case CORR_EVENT_COUNT: case CORR_VALUE_COUNT:
		return g->n;
	case CORR_TEMPORAL:
		for (size_t i = 0; i < d->n_ref; i++)
			n += seen(k, g, i);
		return n;
	case CORR_TEMPORAL_ORDERED:
		return seen(k, g, d->n_ref - 1) ? (double)d->n_ref : 0;
	case CORR_VALUE_SUM:
		return g->n == 0 ? NAN : (double)g->sum;
	case CORR_VALUE_AVG:
		return g->n == 0 ? NAN : (double)(g->sum / g->n);
	case CORR_VALUE_PERCENTILE:
		return g->n == 0 ? NAN : group_percentile(g, d->percentile);
	case CORR_RATIO:
		return g->n <= d->above ? NAN : (double)(g->sum / g->n);
	}
	return NAN;
}

static int
test_holds(const struct corr_test *t, double v)
{
	switch (t->cmp) {
	case CORR_GT:
		return v > t->number;
	case CORR_GTE:
		return v >= t->number;
	case CORR_LT:
		return v < t->number;
	case CORR_LTE:
		return v <= t->number;
	case CORR_EQ:
		return v == t->number;
	case CORR_NEQ:
		break;
	}
	return v != t->number;
}

static int
holds(const struct corr *k, const struct group *g, double *ret_value)
{
	*ret_value = group_value(k, g);
	if (k->def->expr != NULL)
		return expr_holds(k, g, k->def->expr);
	if (isnan(*ret_value))
		return 0;
	for (size_t i = 0; i < k->def->n_test; i++)
		if (!test_holds(&k->def->test[i], *ret_value))
			return 0;
	return 1;
}

/* ---- firing ---- */

static int
by_time(const void *a, const void *b)
{
	const struct stage *x = a, *y = b;

	return (x->last > y->last) - (x->last < y->last);
}

/* The newest references, oldest first. */
static size_t
collect_events(const struct corr *k, const struct group *g, uint64_t ret[SP_CORR_EVENTS_MAX])
{
	struct stage order[CORR_REFS_MAX];
	size_t n = 0, k2 = 0;

	if (g->stage != NULL) {
		for (size_t i = 0; i < k->def->n_ref; i++)
			if (seen(k, g, i))
				order[k2++] = g->stage[i];
		qsort(order, k2, sizeof(*order), by_time);
		for (size_t i = 0; i < k2; i++)
			if (n == 0 || ret[n - 1] != order[i].ref)
				ret[n++] = order[i].ref;
		return n;
	}
	for (uint32_t i = g->tail; i != NIL && n < SP_CORR_EVENTS_MAX; i = g->e[i].prev)
		ret[n++] = g->e[i].ref;
	for (size_t i = 0; i < n / 2; i++) {
		uint64_t t = ret[i];

		ret[i] = ret[n - 1 - i];
		ret[n - 1 - i] = t;
	}
	return n;
}

static enum sp_err
fire(struct sp_corr *c, struct corr *k, struct group *g, int64_t when, double value)
{
	struct sp_corr_group group[SP_CORR_GROUP_MAX];
	uint64_t event[SP_CORR_EVENTS_MAX];
	struct sp_corr_fire f = { .rule = k->index, .when_us = when, .group = group, .n_groups = k->def->n_group, .value = value, .event = event };
	struct happening h = { when, 0, 1, group, k->def->n_group };
	enum sp_err r = SP_OK;

	if (g->quiet_until != CORR_NEVER && when < g->quiet_until) {
		c->stats.suppressed++;
		return SP_OK;
	}
	if (k->def->suppress_us > 0)
		g->quiet_until = when + k->def->suppress_us;
	key_split(k->def, g, group);
	f.n_events = collect_events(k, g, event);
	h.ref = f.n_events > 0 ? event[f.n_events - 1] : 0;
	c->stats.fired++;
	if (!k->rule->info.silent)
		c->fn(&f, c->arg);
	for (size_t i = 0; i < k->n_parents && r == SP_OK; i++) {
		struct corr *up = &c->corr[k->parent[i]];

		for (uint32_t ref = 0; ref < up->def->n_ref && r == SP_OK; ref++)
			if (up->def->ref[ref].rule == k->index)
				r = count(c, up, ref, &h);
	}
	return r;
}

/* ---- counting ---- */

static int64_t
window_end(const struct corr *k, const struct group *g)
{
	return g->start + k->def->span_us;
}

/* Judge and close windows that ended at or before now. */
static enum sp_err
close_windows(struct sp_corr *c, struct corr *k, int64_t now)
{
	const struct sp_rules_scratch *event = c->scratch;
	enum sp_err r = SP_OK;

	c->scratch = NULL;	/* a window that ends has no event of its own */
	while (r == SP_OK && !sp_list_empty(&k->windows)) {
		struct group *g = sp_container(k->windows.next, struct group, window);
		double value;

		if (window_end(k, g) > now)
			break;
		sp_list_remove(&g->window);
		g->busy = 1;
		if (holds(k, g, &value))
			r = fire(c, k, g, window_end(k, g), value);
		g->busy = 0;
		if (g->quiet_until != CORR_NEVER && g->quiet_until > now) {
			group_clear(c, k, g);
			g->start = CORR_NEVER;
		} else {
			group_free(c, k, g);
		}
	}
	c->scratch = event;
	return r;
}

/* Groups that hold nothing any more, those untouched longest first. */
static void
sweep(struct sp_corr *c, struct corr *k, int64_t now, size_t most)
{
	for (size_t i = 0; i < most && !sp_list_empty(&k->lru); i++) {
		struct group *g = sp_container(k->lru.next, struct group, lru);

		if (!sp_list_empty(&g->window) || g->last > now - k->def->span_us - (int64_t)c->limit.late_us ||
		    (g->quiet_until != CORR_NEVER && g->quiet_until > now))
			return;
		group_free(c, k, g);
	}
}

/* temporal_ordered, in one stage each: an event of stage i carries the start of the latest chain that reached stage i - 1. */
static void
ordered_add(struct corr *k, struct group *g, uint32_t ref, const struct happening *h)
{
	struct stage *s = g->stage;
	int64_t start = h->t;

	if (ref > 0) {
		if (s[ref - 1].start == CORR_NEVER || s[ref - 1].last > h->t || h->t - s[ref - 1].start >= k->def->span_us)
			return;
		start = s[ref - 1].start;
	}
	if (s[ref].start != CORR_NEVER && (s[ref].start > start || (s[ref].start == start && s[ref].last > h->t)))
		return;
	s[ref] = (struct stage){ start, h->t, h->ref };
}

static enum sp_err
stage_add(struct sp_corr *c, struct corr *k, struct group *g, uint32_t ref, const struct happening *h)
{
	struct stage *s;
	enum sp_err r;

	if ((r = group_stages(c, k, g)) != SP_OK)
		return r;
	s = &g->stage[ref];
	if (k->def->type == CORR_TEMPORAL_ORDERED)
		ordered_add(k, g, ref, h);
	else if (s->start == CORR_NEVER || s->start <= h->t)
		*s = (struct stage){ h->t, h->t, h->ref };
	return SP_OK;
}

/* The value that a rule's event gives. Returns 0 if it has none. */
static int
counted_value(struct sp_corr *c, struct corr *k, uint32_t ref, const struct happening *h, uint64_t *ret_hash, double *ret_v)
{
	const struct corrdef *d = k->def;
	struct values v;
	uint64_t hash = c->seed;

	for (size_t i = 0; i < d->n_value; i++) {
		values_of(c, h, d->ref[ref].value[i], d->ref[ref].value_field[i], &v);
		if (v.n == 0)
			return 0;
		hash = value_hash(hash, v.v[0]);
	}
	*ret_hash = hash;
	*ret_v = d->type == CORR_RATIO && (ref == d->match || (!h->is_fire && c->hit[d->ref[d->match].rule]));
	if (d->n_value > 0 && d->type != CORR_VALUE_COUNT)
		return num_value((const char *)v.v[0].p, v.v[0].len, ret_v) && isfinite(*ret_v);
	return 1;
}

static enum sp_err
group_count(struct sp_corr *c, struct corr *k, struct group *g, uint32_t ref, const struct happening *h)
{
	const struct corrdef *d = k->def;
	uint64_t hash = 0;
	double v = 0;

	if (d->type == CORR_TEMPORAL || d->type == CORR_TEMPORAL_ORDERED)
		return stage_add(c, k, g, ref, h);
	if (!counted_value(c, k, ref, h, &hash, &v))
		return SP_OK;
	return group_add(c, k, g, h->t, h->ref, hash, v);
}

/* Judged on arrival. */
static enum sp_err
arrive(struct sp_corr *c, struct corr *k, struct group *g, uint32_t ref, const struct happening *h)
{
	double value;
	enum sp_err r;

	if (h->t > g->last)
		g->last = h->t;
	else if (h->t <= g->last - k->def->span_us) {
		c->stats.late++;
		return SP_OK;
	}
	group_expire(c, k, g, g->last - k->def->span_us);
	if (g->fired && !holds(k, g, &value))
		g->fired = 0;	/* it dropped below before this event */
	if ((r = group_count(c, k, g, ref, h)) != SP_OK)
		return r;
	if (!holds(k, g, &value)) {
		g->fired = 0;
		return SP_OK;
	}
	if (g->fired && k->def->rearm == REARM_DROP_BELOW)
		return SP_OK;
	g->fired = k->def->rearm == REARM_DROP_BELOW;
	if ((r = fire(c, k, g, g->last, value)) == SP_OK && k->def->rearm == REARM_RESET)
		group_clear(c, k, g);
	return r;
}

/* Counted now, judged when the window ends. */
static enum sp_err
gather(struct sp_corr *c, struct corr *k, struct group *g, uint32_t ref, const struct happening *h)
{
	if (g->start == CORR_NEVER) {
		g->start = h->t;
		window_place(k, g);
	} else if (h->t < g->start) {
		c->stats.late++;
		return SP_OK;
	}
	if (h->t > g->last)
		g->last = h->t;
	return group_count(c, k, g, ref, h);
}

static enum sp_err
count_in(struct sp_corr *c, struct corr *k, uint32_t ref, const struct happening *h, const uint8_t *key, size_t len)
{
	struct group *g = group_get(c, k, key, len);
	enum sp_err r;

	if (g == NULL)
		return SP_ENOMEM;
	g->busy = 1;
	r = k->def->at_end ? gather(c, k, g, ref, h) : arrive(c, k, g, ref, h);
	corr_make_room(c);
	g->busy = 0;
	return r;
}

/* Every combination of the values of group-by, from the i-th on. */
static enum sp_err
combine(struct sp_corr *c, struct corr *k, uint32_t ref, const struct happening *h, const struct values *v, size_t i, uint8_t *key,
    size_t at, size_t *left)
{
	enum sp_err r = SP_OK;

	if (i == k->def->n_group) {
		if (*left == 0) {
			c->stats.oversize++;
			return SP_OK;
		}
		(*left)--;
		return count_in(c, k, ref, h, key, at);
	}
	for (size_t n = 0; n < v[i].n && r == SP_OK; n++) {
		size_t end = key_put(key, at, v[i].v[n]);

		if (end == SIZE_MAX)
			c->stats.oversize++;
		else
			r = combine(c, k, ref, h, v, i + 1, key, end, left);
	}
	return r;
}

static enum sp_err
count(struct sp_corr *c, struct corr *k, uint32_t ref, const struct happening *h)
{
	const struct corr_ref *f = &k->def->ref[ref];
	struct values v[SP_CORR_GROUP_MAX];
	uint8_t key[CORR_KEY_MAX + 8];
	size_t left = CORR_COMBINE;
	enum sp_err r;

	if (k->newest != CORR_NEVER && h->t < k->newest - (int64_t)c->limit.late_us) {
		c->stats.late++;
		return SP_OK;
	}
	if (h->t > k->newest)
		k->newest = h->t;
	if (k->def->at_end && (r = close_windows(c, k, h->t)) != SP_OK)
		return r;
	sweep(c, k, k->newest, SWEEP);
	for (size_t i = 0; i < k->def->n_group; i++) {
		values_of(c, h, f->group[i], f->group_field[i], &v[i]);
		if (v[i].n == 0) {
			c->stats.no_group++;
			return SP_OK;
		}
	}
	return combine(c, k, ref, h, v, 0, key, 0, &left);
}

/* ---- the interface ---- */

static int64_t
sane_time(int64_t t)
{
	return t > CORR_TIME_LIMIT ? CORR_TIME_LIMIT : t < -CORR_TIME_LIMIT ? -CORR_TIME_LIMIT : t;
}

/* Stages are counted each, from the last to the first, so that one event does not pass through two; all else counts an event once. */
static enum sp_err
feed_corr(struct sp_corr *c, struct corr *k, const struct happening *h)
{
	int stages = k->def->type == CORR_TEMPORAL || k->def->type == CORR_TEMPORAL_ORDERED;
	enum sp_err r = SP_OK;

	for (uint32_t i = 0; i < k->def->n_ref && r == SP_OK; i++) {
		uint32_t ref = stages ? (uint32_t)k->def->n_ref - 1 - i : i;

		if (!c->hit[k->def->ref[ref].rule])
			continue;
		r = count(c, k, ref, h);
		if (!stages)
			break;
	}
	return r;
}

enum sp_err
sp_corr_feed(struct sp_corr *c, struct sp_rules_scratch *s, const struct sp_rules_hits *hits, int64_t when_us, uint64_t ref,
    sp_corr_fire_fn *fn, void *arg)
{
	struct happening h = { .t = sane_time(when_us), .ref = ref };
	enum sp_err r = SP_OK;

	memset(c->touched, 0, c->n);
	c->fn = fn;
	c->arg = arg;
	c->scratch = s;
	for (size_t i = 0; i < hits->n; i++) {
		c->hit[hits->rule[i]] = 1;
		for (uint32_t u = c->by_rule[hits->rule[i]]; u != NIL; u = c->use[u].next)
			c->touched[c->use[u].corr] = 1;
	}
	for (size_t i = 0; i < c->n && r == SP_OK; i++)
		if (c->touched[i])
			r = feed_corr(c, &c->corr[i], &h);
	for (size_t i = 0; i < hits->n; i++)
		c->hit[hits->rule[i]] = 0;
	c->scratch = NULL;
	return r;
}

enum sp_err
sp_corr_tick(struct sp_corr *c, int64_t now_us, sp_corr_fire_fn *fn, void *arg)
{
	enum sp_err r = SP_OK;

	c->fn = fn;
	c->arg = arg;
	c->scratch = NULL;
	now_us = sane_time(now_us);
	for (size_t i = 0; i < c->n && r == SP_OK; i++) {
		r = close_windows(c, &c->corr[i], now_us);
		sweep(c, &c->corr[i], now_us, SIZE_MAX);
	}
	return r;
}

int64_t
sp_corr_next_us(const struct sp_corr *c)
{
	int64_t next = INT64_MAX;

	for (size_t i = 0; i < c->n; i++) {
		const struct corr *k = &c->corr[i];

		if (!sp_list_empty(&k->windows) && window_end(k, sp_container(k->windows.next, struct group, window)) < next)
			next = window_end(k, sp_container(k->windows.next, struct group, window));
	}
	return next;
}

static int
group_is(const struct corr *k, const struct group *g, const char *name, const void *value, size_t len)
{
	struct sp_corr_group v[SP_CORR_GROUP_MAX];

	key_split(k->def, g, v);
	for (size_t i = 0; i < k->def->n_group; i++)
		if (strcmp(v[i].name, name) == 0 && v[i].value.len == len && memcmp(v[i].value.p, value, len) == 0)
			return 1;
	return 0;
}

size_t
sp_corr_forget(struct sp_corr *c, const char *rule, const char *name, const void *value, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++) {
		struct corr *k = &c->corr[i];

		if (rule != NULL && strcmp(k->rule->info.id, rule) != 0 && strcmp(k->rule->info.name, rule) != 0)
			continue;
		sp_list_each(it, &k->lru) {
			struct group *g = sp_container(it, struct group, lru);

			if (group_is(k, g, name, value, len)) {
				group_free(c, k, g);
				n++;
			}
		}
	}
	return n;
}

void
sp_corr_stats(const struct sp_corr *c, struct sp_corr_stats *ret)
{
	*ret = c->stats;
}

static enum sp_err
add_parent(struct sp_corr *c, size_t up)
{
	const struct corrdef *d = c->corr[up].def;

	for (uint32_t i = 0; i < d->n_ref; i++)
		for (size_t k = 0; k < c->n; k++) {
			void *p;

			if (c->corr[k].index != d->ref[i].rule)
				continue;	/* a rule stands in a correlation once */
			if ((p = realloc(c->corr[k].parent, (c->corr[k].n_parents + 1) * sizeof(uint32_t))) == NULL)
				return SP_ENOMEM;
			c->corr[k].parent = p;
			c->corr[k].parent[c->corr[k].n_parents++] = (uint32_t)up;
		}
	return SP_OK;
}

static void
add_uses(struct sp_corr *c, size_t i)
{
	const struct corrdef *d = c->corr[i].def;

	for (uint32_t ref = 0; ref < d->n_ref; ref++) {
		if (c->set->rule[d->ref[ref].rule]->corr != NULL)
			continue;
		c->use[c->n_uses] = (struct use){ (uint32_t)i, c->by_rule[d->ref[ref].rule] };
		c->by_rule[d->ref[ref].rule] = (uint32_t)c->n_uses++;
	}
}

static enum sp_err
corr_init(struct sp_corr *c)
{
	const struct sp_rules *s = c->set;
	size_t uses = 1;
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < s->n_corr; i++)
		uses += s->rule[s->corr_order[i]]->corr->n_ref;
	c->corr = calloc(s->n_corr + 1, sizeof(*c->corr));
	c->by_rule = calloc(s->n + 1, sizeof(*c->by_rule));
	c->use = calloc(uses, sizeof(*c->use));
	c->hit = calloc(s->n + 1, 1);
	c->touched = calloc(s->n_corr + 1, 1);
	if (c->touched == NULL || c->corr == NULL || c->by_rule == NULL || c->use == NULL || c->hit == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < s->n; i++)
		c->by_rule[i] = NIL;
	for (; c->n < s->n_corr && r == SP_OK; c->n++) {
		struct corr *k = &c->corr[c->n];

		*k = (struct corr){ .index = s->corr_order[c->n], .newest = CORR_NEVER };
		k->rule = s->rule[k->index];
		k->def = k->rule->corr;
		sp_list_init(&k->lru);
		sp_list_init(&k->windows);
		if ((r = sp_htab_init(&k->groups)) != SP_OK)
			return r;
		c->seed = k->groups.seed;
		add_uses(c, c->n);
	}
	for (size_t i = 0; i < c->n && r == SP_OK; i++)
		r = add_parent(c, i);
	return r;
}

enum sp_err
sp_corr_new(const struct sp_rules *set, const struct sp_corr_limits *limits, struct sp_corr **ret)
{
	struct sp_corr *c = calloc(1, sizeof(*c));
	enum sp_err r;

	if (c == NULL)
		return SP_ENOMEM;
	c->set = set;
	if (limits != NULL)
		c->limit = *limits;
	c->limit.groups = c->limit.groups != 0 ? c->limit.groups : GROUPS_DEFAULT;
	c->limit.entries = c->limit.entries != 0 ? c->limit.entries : ENTRIES_DEFAULT;
	c->limit.memory = c->limit.memory != 0 ? c->limit.memory : MEMORY_DEFAULT;
	c->limit.late_us = c->limit.late_us != 0 ? c->limit.late_us : (uint64_t)LATE_DEFAULT;
	if ((r = corr_init(c)) != SP_OK) {
		sp_corr_free(c);
		return r;
	}
	*ret = c;
	return SP_OK;
}

void
sp_corr_free(struct sp_corr *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->n; i++) {
		struct corr *k = &c->corr[i];

		while (!sp_list_empty(&k->lru))
			group_free(c, k, sp_container(k->lru.next, struct group, lru));
		sp_htab_release(&k->groups);
		free(k->parent);
	}
	free(c->corr);
	free(c->by_rule);
	free(c->use);
	free(c->hit);
	free(c->touched);
	free(c);
}
