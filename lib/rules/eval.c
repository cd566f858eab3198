/* lib/rules/eval.c - judge one event: route, scan, evaluate the candidates.
 * Truth has three values: a field that the caller declares unknown, and a regex that hit its limits, make an item unknown; not,
 * and, or carry that on as Kleene's logic does; what it means in the end is the rule's own `sallyport: unknown`. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "rules/event.h"
#include "rules/fold.h"
#include "rules/num.h"

enum { NO = 0, YES = 1, UNKNOWN = 2 };

/* ---- matchers ---- */

static int
in_network(const struct cidr *c, const char *p, size_t n)
{
	uint8_t addr[16];
	char text[64];
	unsigned whole = c->bits / 8, rest = c->bits % 8;

	if (n >= sizeof(text) || n == 0)
		return NO;
	memcpy(text, p, n);
	text[n] = '\0';
	if (strlen(text) != n || inet_pton(c->v6 ? AF_INET6 : AF_INET, text, addr) != 1) {
		/* an IPv4 address written as IPv6, ::ffff:10.1.2.3 */
		if (c->v6 || inet_pton(AF_INET6, text, addr) != 1 || memcmp(addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) != 0)
			return NO;
		memmove(addr, addr + 12, 4);
	}
	if (memcmp(addr, c->addr, whole) != 0)
		return NO;
	return rest == 0 || ((addr[whole] ^ c->addr[whole]) & (0xff << (8 - rest) & 0xff)) == 0;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Seconds since 1970 UTC of a time: RFC 3339, "2026-01-31 12:00:00" (UTC), or seconds or milliseconds as a number. */
static int
time_value(const char *p, size_t n, int64_t *ret)
{
	char text[48];
	int64_t us;
	double v;

	if (num_value(p, n, &v)) {
		if (v < -1e11 || v > 1e14)
			return 0;
		*ret = (int64_t)(v > 1e11 ? v / 1000 : v);
		return 1;
	}
	if (n < 10 || n + 2 > sizeof(text))
		return 0;
	memcpy(text, p, n);
	text[n] = '\0';
	if (n > 10 && text[10] == ' ')
		text[10] = 'T';
	if (sp_rfc3339_parse(text, &us) != SP_OK) {
		text[n] = 'Z';
		text[n + 1] = '\0';
		if (sp_rfc3339_parse(text, &us) != SP_OK)
			return 0;
	}
	*ret = floor_div(us, 1000000);
	return 1;
}

/* ISO 8601 week: that of the Thursday in the same week. days since 1970-01-01, which was a Thursday. */
static int
iso_week(int64_t days, const struct tm *t)
{
	int64_t weekday = (days + 3) % 7, thursday;	/* Monday 0 */
	struct tm th;
	time_t at;

	weekday += weekday < 0 ? 7 : 0;
	thursday = days - weekday + 3;
	at = (time_t)(thursday * 86400);
	if (gmtime_r(&at, &th) == NULL)
		th = *t;
	return th.tm_yday / 7 + 1;
}

static int
part_value(enum time_part part, const char *p, size_t n, double *ret)
{
	struct tm t;
	int64_t s;
	time_t at;

	if (!time_value(p, n, &s))
		return 0;
	at = (time_t)s;
	if (gmtime_r(&at, &t) == NULL)
		return 0;
	*ret = part == PART_MINUTE ? t.tm_min : part == PART_HOUR ? t.tm_hour : part == PART_DAY ? t.tm_mday :
	    part == PART_WEEK ? iso_week(floor_div(s, 86400), &t) : part == PART_MONTH ? t.tm_mon + 1 : t.tm_year + 1900;
	return 1;
}

static int
compare(enum cmp cmp, double a, double b)
{
	switch (cmp) {
	case CMP_GT:
		return a > b;
	case CMP_GTE:
		return a >= b;
	case CMP_LT:
		return a < b;
	case CMP_LTE:
		return a <= b;
	case CMP_EQ:
		break;
	}
	return a == b;
}

static int
number_match(const struct item *it, const struct matcher *m, const char *p, size_t n)
{
	double v;

	if (!(it->part != PART_NONE ? part_value(it->part, p, n, &v) : num_value(p, n, &v)))
		return NO;
	return compare(m->cmp, v, m->number);
}

static int
fieldref_match(struct sp_rules_scratch *s, const struct matcher *m, const struct value *v)
{
	const struct slot *other = slot_of(s, m->ref);

	if (other->unknown)
		return UNKNOWN;
	for (uint32_t i = other->first; i != 0; i = s->value[i - 1].next) {
		const struct value *o = &s->value[i - 1];
		struct pattern p = m->pat;

		p.p = m->cased ? (const uint8_t *)value_text(s, o) : value_fold(s, o);
		p.n = m->cased ? o->len : o->fold_len;
		if (pattern_match(&p, m->cased ? (const uint8_t *)value_text(s, v) : value_fold(s, v), m->cased ? v->len : v->fold_len))
			return YES;
	}
	return NO;
}

int
matcher_value(struct sp_rules_scratch *s, const struct item *it, const struct matcher *m, const struct value *v)
{
	int e;

	switch (m->op) {
	case M_PATTERN:
		return m->cased ? pattern_match(&m->pat, (const uint8_t *)value_text(s, v), v->len) :
		    pattern_match(&m->pat, value_fold(s, v), v->fold_len);
	case M_SET:
		return textset_has(m->set, value_fold(s, v), v->fold_len);
	case M_RE:
		e = regex_match(m->re, s->re, value_text(s, v), v->len);
		s->stats.regex_limit += e < 0;
		return e < 0 ? UNKNOWN : e;
	case M_CIDR:
		return in_network(&m->cidr, value_text(s, v), v->len);
	case M_NUMBER:
		return number_match(it, m, value_text(s, v), v->len);
	case M_FIELDREF:
		return fieldref_match(s, m, v);
	case M_NULL: case M_EXISTS:
		break;
	}
	return NO;
}

/* A matcher against a field: any of its values. */
static int
matcher_field(struct sp_rules_scratch *s, const struct item *it, const struct matcher *m, const struct slot *t)
{
	int best = NO;

	if (m->op == M_NULL)
		return t->null || (t->first == 0 && !t->present);
	if (m->op == M_EXISTS)
		return t->present == m->want;
	if (m->op == M_PATTERN && m->pat.op == PAT_ANY)	/* `*`: there, and not null; an object counts */
		return t->first != 0 || (t->present && !t->null);
	for (uint32_t i = t->first; i != 0; i = s->value[i - 1].next) {
		int e = matcher_value(s, it, m, &s->value[i - 1]);

		if (e == YES)
			return YES;
		best |= e;
	}
	return best;
}

static int
matcher_any_value(struct sp_rules_scratch *s, const struct item *it, const struct matcher *m)
{
	int best = NO;

	for (size_t i = 0; i < s->n_values; i++) {
		int e = s->value[i].flags & VALUE_FIRST ? matcher_value(s, it, m, &s->value[i]) : NO;

		if (e == YES)
			return YES;
		best |= e;
	}
	return best;
}

int
item_eval(struct sp_rules_scratch *s, const struct item *it)
{
	const struct slot *t = it->field != FIELD_NONE ? slot_of(s, it->field) : NULL;
	int unknown = 0, result = it->all ? YES : NO;

	if (t != NULL && t->unknown)
		return UNKNOWN;
	for (size_t i = 0; i < it->n; i++) {
		int e = t != NULL ? matcher_field(s, it, &it->m[i], t) : matcher_any_value(s, it, &it->m[i]);

		unknown |= e == UNKNOWN;
		if (e != UNKNOWN && e != it->all) {
			result = e;
			unknown = 0;
			break;
		}
	}
	if (unknown)
		return UNKNOWN;
	return it->negate ? !result : result;
}

int
cond_eval(struct sp_rules_scratch *s, const struct cond *c)
{
	int unknown = 0, e;

	switch (c->op) {
	case COND_SEL:
		return cond_eval(s, c->sel->cond);
	case COND_ITEM:
		return item_eval(s, c->item);
	case COND_NOT:
		e = cond_eval(s, c->sub[0]);
		return e == UNKNOWN ? UNKNOWN : !e;
	case COND_AND: case COND_OR:
		break;
	}
	for (size_t i = 0; i < c->n; i++) {
		e = cond_eval(s, c->sub[i]);
		if (e == (c->op == COND_OR ? YES : NO))
			return e;
		unknown |= e == UNKNOWN;
	}
	return unknown ? UNKNOWN : c->op == COND_AND;
}

/* ---- routes ---- */

static int
route_alloc(const struct sp_rules *set, struct route *r)
{
	r->rule = calloc(set->n + 1, 1);
	r->always = calloc(set->n + 1, sizeof(*r->always));
	r->field = calloc(set->n_fields + 1, 1);
	return r->rule != NULL && r->always != NULL && r->field != NULL;
}

static void
route_free(struct route *r)
{
	free(r->rule);
	free(r->always);
	free(r->field);
}

/* part NULL: all rules. */
static void
route_fill(const struct sp_rules *set, struct route *r, const char *const part[3])
{
	memset(r->rule, 0, set->n + 1);
	memset(r->field, 0, set->n_fields + 1);
	r->n_always = 0;
	r->keywords = 0;
	for (size_t i = 0; i < set->n; i++) {
		const struct rule *rule = set->rule[i];

		if (rule->cond == NULL || (part != NULL && !source_covers(set, &set->triple[rule->triple], part)))
			continue;
		r->rule[i] = 1;
		r->keywords |= rule->keywords;
		for (size_t k = 0; k < rule->n_fields; k++)
			r->field[rule->field[k]] = 1;
		if (rule->always || set->db == NULL)
			r->always[r->n_always++] = (uint32_t)i;
	}
	for (size_t i = 0; i < set->n_want; i++)
		r->field[set->want[i]] = 1;
}

static enum sp_err
route_find(struct sp_rules_scratch *s, const struct sp_rules_event *ev, const struct route **ret)
{
	const char *const given[3] = { ev->category, ev->product, ev->service };
	uint8_t key[3 * (FOLD_ROOM(SOURCE_MAX) + 1)];
	const char *part[3];
	struct route *r;
	size_t n = 0;

	if (ev->any_source) {
		*ret = &s->all;
		return SP_OK;
	}
	for (size_t i = 0; i < 3; i++) {
		size_t len = given[i] != NULL ? strlen(given[i]) : 0;

		if (len > SOURCE_MAX / 2)
			return SP_ESIZE;
		part[i] = (const char *)key + n;
		n += sp_fold(given[i], len, key + n);
		key[n++] = '\0';
	}
	for (size_t i = 0; i < ROUTES; i++)
		if (s->route[i].used && s->route[i].key_len == n && memcmp(s->route[i].key, key, n) == 0) {
			*ret = &s->route[i];
			return SP_OK;
		}
	r = &s->route[s->next_route];
	s->next_route = (s->next_route + 1) % ROUTES;
	route_fill(s->set, r, part);
	memcpy(r->key, key, n);
	r->key_len = n;
	r->used = 1;
	*ret = r;
	return SP_OK;
}

/* ---- one event ---- */

static void
on_literal(unsigned i, void *arg)
{
	struct sp_rules_scratch *s = arg;
	const struct posting *p = &s->set->posting[i];

	for (uint32_t k = 0; k < p->n; k++) {
		uint32_t rule = p->rule[k];

		if (!s->now->rule[rule] || s->seen[rule] == s->gen)
			continue;
		s->seen[rule] = s->gen;
		s->cand[s->n_cand++] = rule;
	}
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
judge(struct sp_rules_scratch *s, uint32_t i)
{
	const struct rule *r = s->set->rule[i];
	int e = cond_eval(s, r->cond);

	s->stats.evaluated++;
	if (e == NO || (e == UNKNOWN && !r->unknown_matches))
		return;
	s->hit_unknown[s->n_hit] = e == UNKNOWN;
	s->hit[s->n_hit++] = i;
}

static enum sp_err
judge_candidates(struct sp_rules_scratch *s)
{
	size_t k = 0;
	enum sp_err r;

	s->n_cand = 0;
	if (s->stream.n > 0 && (r = s->set->ops->scan(s->set->db, s->index, s->stream.p, s->stream.n, on_literal, s)) != SP_OK)
		return r;
	if (s->n_cand > 1)
		qsort(s->cand, s->n_cand, sizeof(*s->cand), by_number);
	for (size_t i = 0; i < s->n_cand; i++) {	/* merged with those that are always judged, in order */
		for (; k < s->now->n_always && s->now->always[k] < s->cand[i]; k++)
			judge(s, s->now->always[k]);
		judge(s, s->cand[i]);
	}
	for (; k < s->now->n_always; k++)
		judge(s, s->now->always[k]);
	return SP_OK;
}

enum sp_err
sp_rules_eval(struct sp_rules_scratch *s, const struct sp_rules_event *ev, struct sp_rules_hits *ret)
{
	enum sp_err r;

	s->n_hit = 0;
	if ((r = route_find(s, ev, &s->now)) != SP_OK || (r = event_read(s, ev)) != SP_OK)
		return r;
	s->stats.events++;
	if (s->set->db != NULL && !s->any_unknown) {
		if ((r = judge_candidates(s)) != SP_OK)
			return r;
	} else {
		for (size_t i = 0; i < s->set->n; i++)
			if (s->now->rule[i])
				judge(s, (uint32_t)i);
	}
	*ret = (struct sp_rules_hits){ s->hit, s->n_hit, s->hit_unknown };
	return SP_OK;
}

int
sp_rules_value(const struct sp_rules_scratch *s, const char *field, size_t i, struct sp_view *ret)
{
	const struct slot *t;
	uint32_t node = path_walk(s->set, 0, field, strlen(field)), at = 0;

	if (node == 0)
		return 0;
	for (size_t k = 0; k < s->set->path[node].n_fields && at == 0; k++) {
		t = slot_of(s, s->set->path[node].field[k]);
		at = t->first;
	}
	for (; at != 0 && i > 0; i--)
		at = s->value[at - 1].next;
	if (at == 0)
		return 0;
	*ret = (struct sp_view){ (const uint8_t *)value_text(s, &s->value[at - 1]), s->value[at - 1].len };
	return 1;
}

void
sp_rules_stats(const struct sp_rules_scratch *s, struct sp_rules_stats *ret)
{
	*ret = s->stats;
}

/* ---- scratch ---- */

static int
scratch_alloc(struct sp_rules_scratch *s)
{
	const struct sp_rules *set = s->set;

	s->slot = calloc(set->n_fields + 1, sizeof(*s->slot));
	s->cand = calloc(set->n + 1, sizeof(*s->cand));
	s->hit = calloc(set->n + 1, sizeof(*s->hit));
	s->hit_unknown = calloc(set->n + 1, 1);
	s->seen = calloc(set->n + 1, sizeof(*s->seen));
	for (size_t i = 0; i < ROUTES; i++)
		if (!route_alloc(set, &s->route[i]))
			return 0;
	return s->slot != NULL && s->cand != NULL && s->hit != NULL && s->hit_unknown != NULL && s->seen != NULL && route_alloc(set, &s->all);
}

enum sp_err
sp_rules_scratch_new(const struct sp_rules *set, struct sp_rules_scratch **ret)
{
	struct sp_rules_scratch *s = calloc(1, sizeof(*s));
	enum sp_err r = SP_ENOMEM;

	if (s == NULL)
		return SP_ENOMEM;
	s->set = set;
	if (!scratch_alloc(s) || (r = regex_scratch_new(&s->re)) != SP_OK ||
	    (set->db != NULL && (r = set->ops->scratch_new(set->db, &s->index)) != SP_OK)) {
		sp_rules_scratch_free(s);
		return r;
	}
	route_fill(set, &s->all, NULL);
	s->now = &s->all;
	*ret = s;
	return SP_OK;
}

void
sp_rules_scratch_free(struct sp_rules_scratch *s)
{
	if (s == NULL)
		return;
	if (s->index != NULL)
		s->set->ops->scratch_free(s->index);
	regex_scratch_free(s->re);
	for (size_t i = 0; i < ROUTES; i++)
		route_free(&s->route[i]);
	route_free(&s->all);
	free(s->slot);
	free(s->cand);
	free(s->hit);
	free(s->hit_unknown);
	free(s->seen);
	free(s->value);
	free(s->stream.p);
	free(s->text.p);
	free(s);
}
