/* lib/rules/link.c - after all files are loaded: names and ids are unique, filters become part of the rules that they name, and
 * each rule knows the fields that it reads. */
#include <stdlib.h>
#include <string.h>

#include "base/htab.h"
#include "rules/set.h"

/* ---- ids and names ---- */

struct named {
	struct sp_hnode	 node;
	struct rule	*rule;
};

static enum sp_err
add_named(struct load *l, struct sp_htab *t, struct named *n, struct rule *r, const char *what, const char *key)
{
	enum sp_err e;

	if (key[0] == '\0')
		return SP_OK;
	n->rule = r;
	e = sp_htab_insert(t, &n->node, key, strlen(key));
	if (e == SP_EEXIST) {
		struct named *first = sp_container(sp_htab_find(t, key, strlen(key)), struct named, node);

		return rules_error(l->err, SP_EFORMAT, r->info.file, r->info.line, "the %s \"%.60s\" is in use already, at line %u of %.60s", what, key,
		    first->rule->info.line, first->rule->info.file);
	}
	return e;
}

static enum sp_err
check_names(struct load *l)
{
	struct sp_rules *s = l->set;
	size_t n = s->n + s->n_filters;
	struct named *ids = calloc(n * 2 + 1, sizeof(*ids));
	struct sp_htab t = { 0 };
	enum sp_err r = ids == NULL ? SP_ENOMEM : sp_htab_init(&t);

	for (size_t i = 0; i < n && r == SP_OK; i++) {
		struct rule *rule = i < s->n ? s->rule[i] : s->filter[i - s->n];

		if ((r = add_named(l, &t, &ids[i * 2], rule, "id", rule->info.id)) == SP_OK && strcmp(rule->info.id, rule->info.name) != 0)
			r = add_named(l, &t, &ids[i * 2 + 1], rule, "name", rule->info.name);
	}
	sp_htab_release(&t);
	free(ids);
	return r;
}

/* ---- filters ---- */

static int
is_called(const struct rule *r, const char *ref)
{
	return strcmp(r->info.id, ref) == 0 || strcmp(r->info.name, ref) == 0;
}

static enum sp_err
add_filter(struct load *l, const struct rule *f, struct rule *r)
{
	const struct cond *both[] = { r->cond, f->det.cond };

	r->cond = cond_join(&l->set->a, COND_AND, both, 2);
	return r->cond == NULL ? SP_ENOMEM : SP_OK;
}

/* The filter's log source has nothing that the rule's has not. */
static int
filter_covers(const struct sp_rules *s, const struct rule *f, const struct rule *r)
{
	return r->info.kind == SP_RULES_DETECTION && source_covers(s, &s->triple[f->triple], s->triple[r->triple].part);
}

static enum sp_err
filter_named(struct load *l, const struct rule *f, const struct ynode *ref)
{
	struct sp_rules *s = l->set;

	if (!yaml_is_scalar(ref) || ref->len == 0)
		return rules_error(l->err, SP_EFORMAT, f->info.file, ref->line, "filter: \"rules\" is \"any\" or a list of ids and names");
	for (size_t i = 0; i < s->n; i++) {
		if (!is_called(s->rule[i], ref->text))
			continue;
		if (!filter_covers(s, f, s->rule[i]))
			return rules_error(l->err, SP_EFORMAT, f->info.file, ref->line, "filter: the rule \"%.60s\" is of another log source", ref->text);
		return add_filter(l, f, s->rule[i]);
	}
	return rules_error(l->err, SP_EFORMAT, f->info.file, ref->line, "filter: there is no rule \"%.60s\"", ref->text);
}

static enum sp_err
apply_filter(struct load *l, const struct rule *f)
{
	const struct ynode *rules = yaml_path(f->doc, "filter.rules");
	struct sp_rules *s = l->set;
	enum sp_err r = SP_OK;

	if (rules == NULL)
		return rules_error(l->err, SP_EFORMAT, f->info.file, f->info.line, "filter: \"rules\" is missing: a list of ids and names, or \"any\"");
	if (yaml_is_scalar(rules) && strcmp(rules->text, "any") != 0)
		return filter_named(l, f, rules);
	if (rules->type == Y_LIST && rules->n > 0) {
		for (size_t i = 0; i < rules->n && r == SP_OK; i++)
			r = filter_named(l, f, rules->item[i]);
		return r;
	}
	if (rules->type == Y_MAP)
		return rules_error(l->err, SP_EFORMAT, f->info.file, rules->line, "filter: \"rules\" is \"any\" or a list of ids and names");
	for (size_t i = 0; i < s->n && r == SP_OK; i++)
		if (filter_covers(s, f, s->rule[i]))
			r = add_filter(l, f, s->rule[i]);
	return r;
}

/* ---- what a rule reads ---- */

struct reads {
	uint8_t	*bits;		/* by field */
	int	 keywords;
};

static void
collect(const struct cond *c, struct reads *r)
{
	switch (c->op) {
	case COND_SEL:
		collect(c->sel->cond, r);
		return;
	case COND_ITEM:
		if (c->item->field == FIELD_NONE)
			r->keywords = 1;
		else
			r->bits[c->item->field] = 1;
		for (size_t i = 0; i < c->item->n; i++)
			if (c->item->m[i].op == M_FIELDREF)
				r->bits[c->item->m[i].ref] = 1;
		return;
	default:
		for (size_t i = 0; i < c->n; i++)
			collect(c->sub[i], r);
	}
}

static enum sp_err
note_fields(struct sp_rules *s, struct rule *rule, uint8_t *bits)
{
	struct reads r = { bits, 0 };
	size_t n = 0;

	memset(bits, 0, s->n_fields + 1);
	collect(rule->cond, &r);
	rule->keywords = r.keywords;
	for (size_t i = 0; i < s->n_fields; i++)
		n += bits[i];
	if ((rule->field = arena_alloc(&s->a, (n + 1) * sizeof(*rule->field))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < s->n_fields; i++)
		if (bits[i])
			rule->field[rule->n_fields++] = (uint16_t)i;
	return SP_OK;
}

enum sp_err
set_link(struct load *l)
{
	struct sp_rules *s = l->set;
	uint8_t *bits;
	enum sp_err r;

	for (size_t i = 0; i < s->n; i++)
		s->rule[i]->cond = s->rule[i]->det.cond;
	if ((r = check_names(l)) != SP_OK)
		return r;
	for (size_t i = 0; i < s->n_filters && r == SP_OK; i++)
		r = apply_filter(l, s->filter[i]);
	if (r != SP_OK || (r = corr_link(l)) != SP_OK)
		return r;
	if ((bits = calloc(1, s->n_fields + 1)) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < s->n && r == SP_OK; i++)
		if (s->rule[i]->cond != NULL)
			r = note_fields(s, s->rule[i], bits);
	free(bits);
	return r;
}
