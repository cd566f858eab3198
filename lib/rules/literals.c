/* lib/rules/literals.c - which rules can match at all? For each detection rule a set of literals is found of which a matching
 * event contains at least one; all of them go into one index, and an event is scanned once.
 *
 * What is scanned is not the event but a stream made of its values: for each value that a routed rule reads
 *	1, the field's number in two bytes, the folded value, 2
 * so a literal can be tied to a field and to the value's borders: "\1FFcreate\2" is `verb: create`, "/wget\2" is
 * `Image|endswith: '/wget'`. A tie is used where the value says it (it costs nothing and is rarely found by chance).
 *
 * Soundness: lits_of() gives "every event for which this is true contains one of these"; for NOT, null, exists, numbers it knows
 * nothing. AND may choose any of its parts, OR needs all. The property test compares with the index switched off. */
#include <stdlib.h>
#include <string.h>

#include "base/htab.h"
#include "base/str.h"
#include "rules/fold.h"
#include "rules/set.h"

#define RULE_LITERALS	6000		/* of one rule; more: it is always evaluated */
#define LITERAL_MAX	48		/* bytes of a literal that are used: longer ones are cut */
#define SCORE_CAP	12

struct lits {
	struct sp_view	*v;
	size_t		 n, cap;	/* n == 0: nothing known */
};

void
stream_mark(uint16_t field, uint8_t dst[STREAM_MARK])
{
	dst[0] = STREAM_BEGIN;
	dst[1] = (uint8_t)(1 + field % 255);
	dst[2] = (uint8_t)(1 + field / 255 % 255);	/* FIELDS_MAX is below 255 * 255 */
}

static void
lits_release(struct lits *l)
{
	free(l->v);
	*l = (struct lits){ 0 };
}

static int
lits_add(struct lits *l, struct sp_view v)
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 8 : l->cap * 2;
		struct sp_view *p = realloc(l->v, cap * sizeof(*p));

		if (p == NULL)
			return 0;
		l->v = p;
		l->cap = cap;
	}
	l->v[l->n++] = v;
	return 1;
}

/* How rarely it will be found by chance: the shortest literal decides, then how many there are. */
static long
score(const struct lits *l)
{
	size_t k = SCORE_CAP;

	if (l->n == 0)
		return -1;
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].len < k)
			k = l->v[i].len;
	return (long)(k * 1000) - (long)(l->n > 900 ? 900 : l->n);
}

static void
keep_better(struct lits *best, struct lits *l)
{
	if (score(l) > score(best)) {
		struct lits t = *best;

		*best = *l;
		*l = t;
	}
	lits_release(l);
}

/* The literal of one folded text, with its ties. */
static enum sp_err
tied(struct arena *a, uint16_t field, struct sp_view v, int front, int back, struct lits *ret)
{
	uint8_t *p;
	size_t n = 0;

	if (v.len > LITERAL_MAX) {
		v.len = LITERAL_MAX;
		back = 0;
	}
	front = front && field != FIELD_NONE;
	while (!front && v.len > 0 && *v.p == '\0') {	/* Vectorscan takes a literal that begins with 0 for an empty one */
		v.p++;
		v.len--;
	}
	if (v.len + 2u * (unsigned)front + (unsigned)back < 2)
		return SP_OK;
	if ((p = arena_alloc(a, v.len + STREAM_MARK + 1)) == NULL)
		return SP_ENOMEM;
	if (front) {
		stream_mark(field, p);
		n = STREAM_MARK;
	}
	memcpy(p + n, v.p, v.len);
	n += v.len;
	if (back)
		p[n++] = STREAM_END;
	return lits_add(ret, (struct sp_view){ p, n }) ? SP_OK : SP_ENOMEM;
}

static enum sp_err
lits_pattern(struct arena *a, const struct item *it, const struct matcher *m, struct lits *ret)
{
	struct sp_view v;
	uint8_t *folded;
	int front, back;

	if (!pattern_literal(&m->pat, &v, &front, &back))
		return SP_OK;
	if (m->cased && !sp_utf8_valid(v.p, v.len))
		return SP_OK;	/* bytes that are no text fold differently beside others */
	if ((folded = arena_alloc(a, FOLD_ROOM(v.len))) == NULL)
		return SP_ENOMEM;
	v.len = sp_fold(v.p, v.len, folded);	/* of a `cased` pattern; the others are folded */
	v.p = folded;
	return tied(a, it->field, v, front, back, ret);
}

static enum sp_err
lits_regex(struct arena *a, const struct matcher *m, struct lits *ret)
{
	struct sp_view v[REGEX_LITERALS];
	size_t n = regex_literals(a, m->text, m->len, v);

	for (size_t i = 0; i < n; i++) {
		if (v[i].len < 2) {
			ret->n = 0;
			return SP_OK;
		}
		if (tied(a, FIELD_NONE, v[i], 0, 0, ret) != SP_OK)
			return SP_ENOMEM;
	}
	return SP_OK;
}

static enum sp_err
lits_set(struct arena *a, const struct item *it, const struct matcher *m, struct lits *ret)
{
	struct sp_view v;

	for (size_t i = 0; i < textset_n(m->set); i++) {
		v.len = textset_get(m->set, i, &v.p);
		if (tied(a, it->field, v, 1, 1, ret) != SP_OK)
			return SP_ENOMEM;
	}
	return SP_OK;
}

static enum sp_err
lits_matcher(struct arena *a, const struct item *it, const struct matcher *m, struct lits *ret)
{
	switch (m->op) {
	case M_PATTERN:
		return lits_pattern(a, it, m, ret);
	case M_RE:
		return lits_regex(a, m, ret);
	case M_SET:
		return lits_set(a, it, m, ret);
	default:
		return SP_OK;
	}
}

/* One of the parts is true: a literal of each; all are: of the best. */
static enum sp_err
lits_merge(int any, struct lits *all, struct lits *one, int *none)
{
	enum sp_err r = SP_OK;

	if (!any) {
		keep_better(all, one);
		return SP_OK;
	}
	if (one->n == 0 || all->n + one->n > RULE_LITERALS)
		*none = 1;
	for (size_t i = 0; i < one->n && !*none && r == SP_OK; i++)
		r = lits_add(all, one->v[i]) ? SP_OK : SP_ENOMEM;
	lits_release(one);
	return r;
}

static enum sp_err
lits_of(struct arena *a, const struct cond *c, struct lits *ret)
{
	struct lits all = { 0 }, one = { 0 };
	int any, none = 0;
	enum sp_err r = SP_OK;
	size_t n;

	if (c->op == COND_SEL)
		return lits_of(a, c->sel->cond, ret);
	if (c->op == COND_NOT || (c->op == COND_ITEM && c->item->negate))
		return SP_OK;
	any = c->op == COND_OR || (c->op == COND_ITEM && !c->item->all);
	n = c->op == COND_ITEM ? c->item->n : c->n;
	for (size_t i = 0; i < n && r == SP_OK && !none; i++) {
		r = c->op == COND_ITEM ? lits_matcher(a, c->item, &c->item->m[i], &one) : lits_of(a, c->sub[i], &one);
		if (r == SP_OK)
			r = lits_merge(any, &all, &one, &none);
	}
	lits_release(&one);
	if (r != SP_OK || none) {
		lits_release(&all);
		return r;
	}
	*ret = all;
	return SP_OK;
}

/* ---- the index ---- */

struct literal {
	struct sp_hnode	 node;
	uint32_t	 i;
};
struct collector {
	struct sp_rules	*s;
	struct sp_htab	 t;
	struct sp_view	*v;		/* in the arena */
};

static enum sp_err
post(struct collector *c, struct sp_view v, uint32_t rule)
{
	struct sp_rules *s = c->s;
	struct sp_hnode *h = sp_htab_find(&c->t, v.p, v.len);
	struct literal *lit = h != NULL ? sp_container(h, struct literal, node) : NULL;
	struct posting *p;
	enum sp_err r;
	void *q;

	if (lit == NULL) {
		if ((lit = arena_alloc(&s->a, sizeof(*lit))) == NULL || (q = arena_grow(&s->a, c->v, s->n_literals, sizeof(*c->v))) == NULL)
			return SP_ENOMEM;
		c->v = q;
		if ((q = arena_grow(&s->a, s->posting, s->n_literals, sizeof(*s->posting))) == NULL)
			return SP_ENOMEM;
		s->posting = q;
		if ((r = sp_htab_insert(&c->t, &lit->node, v.p, v.len)) != SP_OK)
			return r;
		lit->i = (uint32_t)s->n_literals;
		c->v[lit->i] = v;
		s->posting[lit->i] = (struct posting){ 0 };
		s->n_literals++;
	}
	p = &s->posting[lit->i];
	if (p->n > 0 && p->rule[p->n - 1] == rule)
		return SP_OK;
	if ((q = arena_grow(&s->a, p->rule, p->n, sizeof(*p->rule))) == NULL)
		return SP_ENOMEM;
	p->rule = q;
	p->rule[p->n++] = rule;
	return SP_OK;
}

static enum sp_err
collect_rule(struct collector *c, uint32_t i)
{
	struct rule *rule = c->s->rule[i];
	struct lits l = { 0 };
	enum sp_err r;

	if (rule->cond == NULL)
		return SP_OK;
	r = lits_of(&c->s->a, rule->cond, &l);
	rule->always = l.n == 0;
	for (size_t k = 0; k < l.n && r == SP_OK; k++)
		r = post(c, l.v[k], i);
	lits_release(&l);
	return r;
}

enum sp_err
literals_build(struct sp_rules *s)
{
	struct collector c = { .s = s };
	enum sp_err r;

	if (s->ops == NULL)
		return SP_OK;
	if ((r = sp_htab_init(&c.t)) != SP_OK)
		return r;
	for (size_t i = 0; i < s->n && r == SP_OK; i++)
		r = collect_rule(&c, (uint32_t)i);
	sp_htab_release(&c.t);
	if (r != SP_OK || s->n_literals == 0)
		return r;
	r = s->ops->build(c.v, s->n_literals, &s->db);
	return r == SP_EUNAVAIL ? SP_OK : r;	/* db stays NULL: every routed rule is evaluated */
}

int
sp_rules_has_index(const struct sp_rules *s)
{
	return s->db != NULL;
}
