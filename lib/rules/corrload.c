/* lib/rules/corrload.c - the correlation section, and what it refers to.
 * One table says which keys each type may have. References are resolved when all files are there; a correlation may refer to
 * correlations, without a cycle and at most CORR_CHAIN_MAX deep. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "rules/corrdef.h"
#include "rules/num.h"

#define FAIL(l, line_, ...) rules_error((l)->err, SP_EFORMAT, (l)->file, line_, __VA_ARGS__)

static const struct type {
	const char	*name;
	enum corr_type	 type;
	int		 value;		/* its condition names a field */
	int		 temporal;
} types[] = {
	{ "event_count", CORR_EVENT_COUNT, 0, 0 },
	{ "value_count", CORR_VALUE_COUNT, 1, 0 },
	{ "temporal", CORR_TEMPORAL, 0, 1 },
	{ "temporal_ordered", CORR_TEMPORAL_ORDERED, 0, 1 },
	{ "value_sum", CORR_VALUE_SUM, 1, 0 },
	{ "value_avg", CORR_VALUE_AVG, 1, 0 },
	{ "value_percentile", CORR_VALUE_PERCENTILE, 1, 0 },
	{ "value_median", CORR_VALUE_PERCENTILE, 1, 0 },
	{ "ratio", CORR_RATIO, 0, 0 },
};
static const char *const cmps[] = { "gt", "gte", "lt", "lte", "eq", "neq" };

static enum sp_err
take_name(struct load *l, const struct ynode *v, const char *what, const char **ret)
{
	if (!yaml_is_scalar(v) || v->len == 0 || v->len > 512 || strlen(v->text) != v->len)
		return FAIL(l, v->line, "correlation: \"%s\" wants names", what);
	*ret = v->text;
	return SP_OK;
}

/* A name, or a list of at most max. */
static enum sp_err
take_names(struct load *l, const struct ynode *v, const char *what, const char **ret, size_t max, size_t *ret_n)
{
	enum sp_err r;

	*ret_n = 0;
	if (yaml_is_scalar(v)) {
		*ret_n = 1;
		return take_name(l, v, what, &ret[0]);
	}
	if (v->type != Y_LIST || v->n == 0 || v->n > max)
		return FAIL(l, v->line, "correlation: \"%s\" is a name or a list of at most %zu", what, max);
	for (size_t i = 0; i < v->n; i++) {
		if ((r = take_name(l, v->item[i], what, &ret[i])) != SP_OK)
			return r;
		for (size_t k = 0; k < i; k++)
			if (strcmp(ret[k], ret[i]) == 0)
				return FAIL(l, v->item[i]->line, "correlation: \"%.60s\" stands twice in \"%s\"", ret[i], what);
	}
	*ret_n = v->n;
	return SP_OK;
}

/* "90s", "15m", "24h", "7d", "2w", "1M", "1y". */
static enum sp_err
take_span(struct load *l, const struct ynode *v, const char *what, int64_t *ret)
{
	static const struct {
		char	unit;
		double	seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 }, { 'M', 2629746 }, { 'y', 31556952 } };
	size_t n = v->text != NULL ? strspn(v->text, "0123456789") : 0;

	if (n == 0 || n > 9 || v->len != n + 1)
		return FAIL(l, v->line, "\"%s\" is a number and one of s m h d w M y, such as 15m", what);
	for (size_t i = 0; i < SP_NELEMS(units); i++)
		if (units[i].unit == v->text[n]) {
			double s = strtod(v->text, NULL) * units[i].seconds;

			if (s < 1 || s > 10 * 31556952.0)
				return FAIL(l, v->line, "\"%s\" is between 1 second and 10 years", what);
			*ret = (int64_t)(s * 1e6);
			return SP_OK;
		}
	return FAIL(l, v->line, "\"%s\" is a number and one of s m h d w M y, such as 15m", what);
}

static enum sp_err
take_number(struct load *l, const struct ynode *v, const char *what, double *ret)
{
	if (!yaml_is_scalar(v) || !num_value(v->text, v->len, ret) || !isfinite(*ret))
		return FAIL(l, v->line, "correlation: \"%s\" wants a number", what);
	return SP_OK;
}

/* ---- the condition ---- */

static enum sp_err
take_test(struct load *l, struct corrdef *d, const struct ynode *key, const struct ynode *v)
{
	struct corr_test *t = &d->test[d->n_test];
	size_t i = 0;
	enum sp_err r;

	while (i < SP_NELEMS(cmps) && strcmp(cmps[i], key->text) != 0)
		i++;
	if (i == SP_NELEMS(cmps))
		return FAIL(l, key->line, "correlation: \"%.40s\" is no part of this condition", key->text);
	if (d->n_test == SP_NELEMS(d->test))
		return FAIL(l, key->line, "correlation: at most two comparisons in a condition");
	t->cmp = (enum corr_cmp)i;
	if ((r = take_number(l, v, key->text, &t->number)) != SP_OK)
		return r;
	d->n_test++;
	return SP_OK;
}

/* How many entries settle it, and when it is judged: a count that must be small can only be judged when its window ends. */
static enum sp_err
settle(struct load *l, struct corrdef *d, unsigned line)
{
	double need = 1;

	for (size_t i = 0; i < d->n_test; i++) {
		const struct corr_test *t = &d->test[i];
		double n = t->cmp == CORR_GTE ? ceil(t->number) : floor(t->number) + 1;

		d->at_end |= t->cmp != CORR_GT && t->cmp != CORR_GTE;
		need = n > need ? n : need;
		if ((d->type == CORR_EVENT_COUNT || d->type == CORR_VALUE_COUNT) && (n < 1 || n > CORR_NEED_MAX) && t->cmp <= CORR_GTE)
			return FAIL(l, line, "correlation: %s", n < 1 ? "this condition always holds" : "a count of at most 1000000 can be asked for");
		if (need > CORR_NEED_MAX && (d->type == CORR_EVENT_COUNT || d->type == CORR_VALUE_COUNT))
			return FAIL(l, line, "correlation: a count of at most 1000000 can be asked for");
	}
	d->need = need > CORR_NEED_MAX ? (uint32_t)CORR_NEED_MAX : (uint32_t)need;
	return SP_OK;
}

static const struct cond *
expr_find(void *arg, const char *name, size_t len)
{
	const struct load *l = ((void **)arg)[0];
	struct corrdef *d = ((void **)arg)[1];

	for (size_t i = 0; i < d->n_ref; i++)
		if (strlen(d->ref[i].name) == len && memcmp(d->ref[i].name, name, len) == 0) {
			struct cond *c = arena_alloc(&l->set->a, sizeof(*c));

			d->expr_sel[i].used = 1;
			if (c != NULL)
				*c = (struct cond){ .op = COND_SEL, .sel = &d->expr_sel[i] };
			return c;
		}
	return NULL;
}

static const char *
expr_name(void *arg, size_t i)
{
	return NULL;
}

/* temporal: "a and b and not c" over the names in `rules`, each of which must be in it. */
static enum sp_err
take_expr(struct load *l, struct corrdef *d, const struct ynode *v)
{
	void *arg[] = { l, d };
	const struct cond_names names = { expr_find, expr_name, arg, 1 };
	enum sp_err r;

	if ((d->expr_sel = arena_alloc(&l->set->a, d->n_ref * sizeof(*d->expr_sel))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < d->n_ref; i++)
		d->expr_sel[i].name = d->ref[i].name;
	if ((r = cond_parse(l, v->line, v->text, v->len, &names, &d->expr)) != SP_OK)
		return r;
	for (size_t i = 0; i < d->n_ref; i++)
		if (!d->expr_sel[i].used)
			return FAIL(l, v->line, "correlation: the condition does not say what \"%.60s\" is for", d->ref[i].name);
	return SP_OK;
}

static enum sp_err
take_condition(struct load *l, const struct type *t, struct corrdef *d, const struct ynode *v)
{
	int has_percentile = strcmp(t->name, "value_median") == 0;
	enum sp_err r = SP_OK;

	d->percentile = 50;
	if (v->type == Y_TEXT && t->type == CORR_TEMPORAL)
		return take_expr(l, d, v);
	if (v->type != Y_MAP)
		return FAIL(l, v->line, "correlation: the condition is a mapping such as \"gte: 3\"%s", t->type == CORR_TEMPORAL ? ", or text over names" : "");
	for (size_t i = 0; i < v->n && r == SP_OK; i++) {
		const struct ynode *key = v->key[i], *item = v->item[i];

		if (t->value && strcmp(key->text, "field") == 0)
			r = take_names(l, item, "field", d->value, CORR_VALUES_MAX, &d->n_value);
		else if (strcmp(t->name, "value_percentile") == 0 && strcmp(key->text, "percentile") == 0) {
			has_percentile = 1;
			r = take_number(l, item, "percentile", &d->percentile);
			if (r == SP_OK && (d->percentile < 0 || d->percentile > 100))
				r = FAIL(l, item->line, "correlation: \"percentile\" is between 0 and 100");
		} else if (t->type == CORR_RATIO && strcmp(key->text, "above") == 0)
			r = take_number(l, item, "above", &d->above);
		else
			r = take_test(l, d, key, item);
	}
	if (r != SP_OK)
		return r;
	if (d->n_test == 0)
		return FAIL(l, v->line, "correlation: the condition compares nothing: one of gt, gte, lt, lte, eq, neq is wanted");
	if (t->value && d->n_value == 0)
		return FAIL(l, v->line, "correlation: \"field\" is missing: which value?");
	if (t->type != CORR_VALUE_COUNT && d->n_value > 1)
		return FAIL(l, v->line, "correlation: only value_count takes several fields");
	if (t->type == CORR_VALUE_PERCENTILE && !has_percentile)
		return FAIL(l, v->line, "correlation: \"percentile\" is missing, from 0 to 100");
	return settle(l, d, v->line);
}

/* ---- the section ---- */

static enum sp_err
take_refs(struct load *l, const struct ynode *v, struct corrdef *d)
{
	const char *names[CORR_REFS_MAX];
	enum sp_err r;

	if ((r = take_names(l, v, "rules", names, CORR_REFS_MAX, &d->n_ref)) != SP_OK)
		return r;
	if ((d->ref = arena_alloc(&l->set->a, d->n_ref * sizeof(*d->ref))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < d->n_ref; i++) {
		d->ref[i].name = names[i];
		d->ref[i].line = v->type == Y_LIST ? v->item[i]->line : v->line;
		for (size_t k = 0; k < d->n_group; k++)
			d->ref[i].group[k] = d->group[k];
	}
	return SP_OK;
}

static enum sp_err
take_alias(struct load *l, struct corrdef *d, const struct ynode *name, const struct ynode *map)
{
	size_t g = 0;
	enum sp_err r;

	while (g < d->n_group && strcmp(d->group[g], name->text) != 0)
		g++;
	if (g == d->n_group)
		return FAIL(l, name->line, "correlation: the alias \"%.60s\" is not in group-by", name->text);
	if (map->type != Y_MAP)
		return FAIL(l, map->line, "correlation: an alias is a mapping of rules to fields");
	for (size_t i = 0; i < map->n; i++) {
		size_t k = 0;

		while (k < d->n_ref && strcmp(d->ref[k].name, map->key[i]->text) != 0)
			k++;
		if (k == d->n_ref)
			return FAIL(l, map->key[i]->line, "correlation: the alias \"%.60s\" speaks of \"%.60s\", which is not in \"rules\"", name->text, map->key[i]->text);
		if ((r = take_name(l, map->item[i], "aliases", &d->ref[k].group[g])) != SP_OK)
			return r;
	}
	return SP_OK;
}

static enum sp_err
take_aliases(struct load *l, struct corrdef *d, const struct ynode *v)
{
	enum sp_err r = SP_OK;

	if (v->type != Y_MAP)
		return FAIL(l, v->line, "correlation: \"aliases\" is a mapping");
	for (size_t i = 0; i < v->n && r == SP_OK; i++)
		r = take_alias(l, d, v->key[i], v->item[i]);
	return r;
}

static enum sp_err
check_keys(struct load *l, const struct ynode *c, const struct type *t)
{
	static const char *const keys[] = { "type", "rules", "group-by", "timespan", "condition", "aliases", "generate", "match" };

	for (size_t i = 0; i < c->n; i++) {
		size_t k = 0, n = t->type == CORR_RATIO ? SP_NELEMS(keys) : SP_NELEMS(keys) - 1;

		while (k < n && strcmp(keys[k], c->key[i]->text) != 0)
			k++;
		if (k == n)
			return FAIL(l, c->key[i]->line, "correlation: \"%.40s\" is not a key of %s", c->key[i]->text, t->name);
	}
	return SP_OK;
}

static enum sp_err
take_match(struct load *l, struct corrdef *d, const struct ynode *c)
{
	const struct ynode *v = yaml_get(c, "match");
	const char *name = NULL;
	enum sp_err r;

	if (d->type != CORR_RATIO)
		return SP_OK;
	if (v == NULL)
		return FAIL(l, c->line, "correlation: \"match\" is missing: the share of which rule?");
	if ((r = take_name(l, v, "match", &name)) != SP_OK)
		return r;
	while (d->match < d->n_ref && strcmp(d->ref[d->match].name, name) != 0)
		d->match++;
	return d->match < d->n_ref ? SP_OK : FAIL(l, v->line, "correlation: \"match\" names one of \"rules\"");
}

/* Extensions, below `sallyport`. */
static enum sp_err
take_settings(struct load *l, struct corrdef *d, const struct ynode *doc)
{
	static const char *const names[] = { "drop_below", "reset", "every_event" };
	const struct ynode *rearm = yaml_path(doc, "sallyport.rearm"), *suppress = yaml_path(doc, "sallyport.suppress");
	size_t i = 0;

	if (rearm != NULL) {
		while (i < SP_NELEMS(names) && (!yaml_is_scalar(rearm) || strcmp(names[i], rearm->text) != 0))
			i++;
		if (i == SP_NELEMS(names))
			return FAIL(l, rearm->line, "\"rearm\" is drop_below, reset or every_event");
		d->rearm = (enum corr_rearm)i;
	}
	return suppress == NULL ? SP_OK : take_span(l, suppress, "suppress", &d->suppress_us);
}

static uint64_t
digest(uint64_t h, const struct ynode *n)
{
	h = (h ^ n->type ^ n->n << 8) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < n->len; i++)
		h = (h ^ (uint8_t)n->text[i]) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < n->n; i++) {
		if (n->type == Y_MAP)
			h = digest(h, n->key[i]);
		h = digest(h, n->item[i]);
	}
	return h;
}

static enum sp_err
load_def(struct load *l, const struct ynode *c, struct corrdef *d)
{
	const struct ynode *type = yaml_get(c, "type"), *rules = yaml_get(c, "rules"), *group = yaml_get(c, "group-by"), *span = yaml_get(c, "timespan"),
	    *cond = yaml_get(c, "condition"), *aliases = yaml_get(c, "aliases");
	size_t t = 0;
	enum sp_err r;

	if (c->type != Y_MAP || type == NULL || !yaml_is_scalar(type))
		return FAIL(l, c->line, "correlation: \"type\" is missing");
	while (t < SP_NELEMS(types) && strcmp(types[t].name, type->text) != 0)
		t++;
	if (t == SP_NELEMS(types))
		return FAIL(l, type->line, "correlation: there is no type \"%.40s\"", type->text);
	d->type = types[t].type;
	if ((r = check_keys(l, c, &types[t])) != SP_OK)
		return r;
	if (rules == NULL || span == NULL)
		return FAIL(l, c->line, "correlation: \"%s\" is missing", rules == NULL ? "rules" : "timespan");
	if ((group != NULL && (r = take_names(l, group, "group-by", d->group, SP_CORR_GROUP_MAX, &d->n_group)) != SP_OK) ||
	    (r = take_refs(l, rules, d)) != SP_OK || (r = take_span(l, span, "timespan", &d->span_us)) != SP_OK ||
	    (aliases != NULL && (r = take_aliases(l, d, aliases)) != SP_OK) || (r = take_match(l, d, c)) != SP_OK)
		return r;
	if (cond != NULL)
		return take_condition(l, &types[t], d, cond);
	if (!types[t].temporal)
		return FAIL(l, c->line, "correlation: \"condition\" is missing");
	d->test[d->n_test++] = (struct corr_test){ CORR_GTE, (double)d->n_ref };
	return settle(l, d, c->line);
}

enum sp_err
corr_load(struct load *l, const struct ynode *corr, struct rule *r)
{
	const struct ynode *gen = yaml_get(r->doc, "generate");
	struct corrdef *d = arena_alloc(&l->set->a, sizeof(*d));
	struct sp_rules *s = l->set;
	enum sp_err e;
	void *p;

	if (d == NULL)
		return SP_ENOMEM;
	r->info.kind = SP_RULES_CORRELATION;
	r->corr = d;
	d->line = corr->line;
	gen = gen != NULL ? gen : yaml_get(corr, "generate");
	if (gen != NULL && gen->type != Y_BOOL)
		return FAIL(l, gen->line, "\"generate\" is true or false");
	r->generate = gen != NULL && (gen->text[0] == 't' || gen->text[0] == 'T');
	if ((e = load_def(l, corr, d)) != SP_OK || (e = take_settings(l, d, r->doc)) != SP_OK)
		return e;
	if (d->type == CORR_TEMPORAL_ORDERED && (d->expr != NULL || d->n_test != 1 || d->test[0].cmp != CORR_GTE || d->test[0].number != (double)d->n_ref))
		return FAIL(l, corr->line, "correlation: temporal_ordered wants all of its rules: leave the condition out");
	if (d->at_end && (d->type == CORR_TEMPORAL || d->rearm != REARM_DROP_BELOW))
		return FAIL(l, corr->line, "correlation: %s", d->type == CORR_TEMPORAL ? "temporal takes gt, gte or text" :
		    "\"rearm\" is for gt and gte: other conditions are judged once, when their window ends");
	d->digest = digest(digest(UINT64_C(0xcbf29ce484222325), corr), yaml_get(r->doc, "sallyport") != NULL ? yaml_get(r->doc, "sallyport") : corr);
	if ((p = arena_grow(&s->a, s->rule, s->n, sizeof(*s->rule))) == NULL)
		return SP_ENOMEM;
	s->rule = p;
	s->rule[s->n++] = r;
	return SP_OK;
}

/* ---- references ---- */

static enum sp_err
bind_field(struct load *l, unsigned line, const char *name, uint16_t *ret)
{
	struct sp_rules *s = l->set;
	enum sp_err r;
	void *p;

	if ((r = fields_number(l, line, name, ret)) != SP_OK)
		return r;
	if ((p = arena_alloc(&s->a, (s->n_want + 1) * sizeof(*s->want))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < s->n_want; i++)
		if (s->want[i] == *ret)
			return SP_OK;
	if (s->n_want > 0)
		memcpy(p, s->want, s->n_want * sizeof(*s->want));
	s->want = p;
	s->want[s->n_want++] = *ret;
	return SP_OK;
}

static enum sp_err
bind_ref(struct load *l, const struct rule *r, struct corr_ref *ref)
{
	struct sp_rules *s = l->set;
	struct corrdef *d = r->corr;
	enum sp_err e = SP_OK;

	for (ref->rule = 0; ref->rule < s->n; ref->rule++)
		if (strcmp(s->rule[ref->rule]->info.id, ref->name) == 0 || strcmp(s->rule[ref->rule]->info.name, ref->name) == 0)
			break;
	if (ref->rule == s->n)
		return rules_error(l->err, SP_EFORMAT, r->info.file, ref->line, "correlation: there is no rule \"%.80s\" (by id or name)", ref->name);
	for (const struct corr_ref *before = d->ref; before < ref; before++)
		if (before->rule == ref->rule)
			return rules_error(l->err, SP_EFORMAT, r->info.file, ref->line, "correlation: \"%.60s\" and \"%.60s\" are the same rule", before->name, ref->name);
	l->product = s->rule[ref->rule]->info.kind == SP_RULES_DETECTION ? s->triple[s->rule[ref->rule]->triple].part[1] : NULL;
	for (size_t i = 0; i < d->n_group && e == SP_OK; i++)
		e = bind_field(l, ref->line, ref->group[i], &ref->group_field[i]);
	for (size_t i = 0; i < d->n_value && e == SP_OK; i++) {
		ref->value[i] = d->value[i];
		e = bind_field(l, ref->line, d->value[i], &ref->value_field[i]);
	}
	return e;
}

/* Depth first; depth 0: not seen, UINT8_MAX: being visited. level: how many refer to it on the way here. */
static enum sp_err
visit(struct load *l, uint32_t i, unsigned level, uint8_t *depth)
{
	struct sp_rules *s = l->set;
	const struct rule *r = s->rule[i];
	unsigned deepest = 0;
	enum sp_err e;

	depth[i] = UINT8_MAX;
	for (size_t k = 0; k < r->corr->n_ref; k++) {
		uint32_t to = r->corr->ref[k].rule;

		if (s->rule[to]->corr == NULL)
			continue;
		if (depth[to] == UINT8_MAX)
			return rules_error(l->err, SP_EFORMAT, r->info.file, r->corr->ref[k].line, "correlation: \"%.80s\" refers back to itself", r->corr->ref[k].name);
		if (depth[to] == 0 && level < CORR_CHAIN_MAX && (e = visit(l, to, level + 1, depth)) != SP_OK)
			return e;
		deepest = depth[to] > deepest ? depth[to] : deepest;
	}
	if (deepest >= CORR_CHAIN_MAX || level >= CORR_CHAIN_MAX)
		return rules_error(l->err, SP_EFORMAT, r->info.file, r->corr->line, "correlation: more than %d correlations one over the other", CORR_CHAIN_MAX);
	depth[i] = (uint8_t)(deepest + 1);
	s->corr_order[s->n_corr++] = i;
	return SP_OK;
}

enum sp_err
corr_link(struct load *l)
{
	struct sp_rules *s = l->set;
	uint8_t *depth = calloc(1, s->n + 1);
	enum sp_err r = SP_OK;

	if (depth == NULL || (s->corr_order = arena_alloc(&s->a, (s->n + 1) * sizeof(*s->corr_order))) == NULL)
		r = SP_ENOMEM;
	for (size_t i = 0; i < s->n && r == SP_OK; i++) {
		struct corrdef *d = s->rule[i]->corr;

		for (size_t k = 0; d != NULL && k < d->n_ref && r == SP_OK; k++) {
			r = bind_ref(l, s->rule[i], &d->ref[k]);
			if (r == SP_OK && !s->rule[i]->generate)
				s->rule[d->ref[k].rule]->info.silent = 1;
		}
	}
	for (size_t i = 0; i < s->n && r == SP_OK; i++)		/* one that says generate is enough */
		for (size_t k = 0; s->rule[i]->generate && k < s->rule[i]->corr->n_ref; k++)
			s->rule[s->rule[i]->corr->ref[k].rule]->info.silent = 0;
	for (size_t i = 0; i < s->n && r == SP_OK; i++)
		if (s->rule[i]->corr != NULL && depth[i] == 0)
			r = visit(l, (uint32_t)i, 0, depth);
	free(depth);
	return r;
}
