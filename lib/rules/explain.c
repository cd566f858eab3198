/* lib/rules/explain.c - why a rule did or did not match: its condition as a tree, with the verdict of each part and what the event has. */
#include <string.h>

#include "base/str.h"
#include "rules/event.h"

#define SHOWN_MAX	80		/* characters of a value */
#define VALUES_SHOWN	3

static const char *const verdicts[] = { "no", "yes", "unknown" };

struct out {
	struct sp_rules_scratch	*s;
	struct sp_buf		*b;
};

static enum sp_err
put_value(struct out *o, const char *p, size_t n)
{
	char text[SHOWN_MAX + 4];

	sp_escape(p, n, text, sizeof(text));
	return sp_buf_printf(o->b, "\"%s\"", text);
}

static enum sp_err
put_wanted(struct out *o, const struct item *it)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < it->n && i < VALUES_SHOWN && r == SP_OK; i++) {
		if (i > 0)
			r = sp_buf_append_str(o->b, it->all ? " and " : " or ");
		if (r == SP_OK)
			r = put_value(o, it->m[i].text, it->m[i].len);
	}
	if (r == SP_OK && it->n > VALUES_SHOWN)
		r = sp_buf_printf(o->b, " %s %zu more", it->all ? "and" : "or", it->n - VALUES_SHOWN);
	return r;
}

static enum sp_err
put_have(struct out *o, const struct item *it)
{
	const struct slot *t = it->field != FIELD_NONE ? slot_of(o->s, it->field) : NULL;
	size_t n = 0;
	enum sp_err r = SP_OK;

	if (t == NULL)
		return sp_buf_printf(o->b, "; looked for in %zu values", o->s->n_values);
	if (t->unknown)
		return sp_buf_append_str(o->b, "; nobody knows it");
	if (t->first == 0)
		return sp_buf_append_str(o->b, t->null ? "; the event has null" : t->present ? "; the event has an object or an empty list" :
		    "; the event has no such field");
	if ((r = sp_buf_append_str(o->b, "; the event has ")) != SP_OK)
		return r;
	for (uint32_t i = t->first; i != 0 && r == SP_OK; i = o->s->value[i - 1].next) {
		const struct value *v = &o->s->value[i - 1];

		if (n++ == VALUES_SHOWN)
			return sp_buf_append_str(o->b, " ...");
		if (n > 1)
			r = sp_buf_append_str(o->b, ", ");
		if (r == SP_OK)
			r = put_value(o, value_text(o->s, v), v->len);
	}
	return r;
}

static enum sp_err
put_item(struct out *o, const struct item *it)
{
	char key[SHOWN_MAX + 4];
	enum sp_err r;

	sp_escape(it->key, strlen(it->key), key, sizeof(key));
	if ((r = sp_buf_printf(o->b, "line %u: %s wants ", it->line, key[0] != '\0' ? key : "a keyword")) != SP_OK || (r = put_wanted(o, it)) != SP_OK)
		return r;
	return put_have(o, it);
}

static enum sp_err
put_cond(struct out *o, const struct cond *c, unsigned depth)
{
	static const char *const words[] = { [COND_AND] = "all of", [COND_OR] = "one of", [COND_NOT] = "not" };
	char name[SHOWN_MAX + 4];
	enum sp_err r;

	if ((r = sp_buf_printf(o->b, "%*s%-7s ", (int)depth * 2, "", verdicts[cond_eval(o->s, c)])) != SP_OK)
		return r;
	if (c->op == COND_ITEM)
		return (r = put_item(o, c->item)) != SP_OK ? r : sp_buf_append_str(o->b, "\n");
	if (c->op == COND_SEL) {
		sp_escape(c->sel->name, strlen(c->sel->name), name, sizeof(name));
		if ((r = sp_buf_printf(o->b, "%s (line %u)\n", name, c->sel->line)) != SP_OK)
			return r;
		return put_cond(o, c->sel->cond, depth + 1);
	}
	if ((r = sp_buf_printf(o->b, "%s\n", words[c->op])) != SP_OK)
		return r;
	for (size_t i = 0; i < c->n && r == SP_OK; i++)
		r = put_cond(o, c->sub[i], depth + 1);
	return r;
}

static enum sp_err
put_source(struct out *o, const struct rule *rule, int ok)
{
	const struct sp_rules_info *i = &rule->info;
	const struct {
		const char	*key, *value;
	} parts[] = { { "category", i->category }, { "product", i->product }, { "service", i->service } };
	enum sp_err r = sp_buf_printf(o->b, "%-7s log source", verdicts[ok]);
	char value[SHOWN_MAX + 4];

	for (size_t k = 0; k < 3 && r == SP_OK; k++)
		if (parts[k].value[0] != '\0') {
			sp_escape(parts[k].value, strlen(parts[k].value), value, sizeof(value));
			r = sp_buf_printf(o->b, " %s=%s", parts[k].key, value);
		}
	return r == SP_OK ? sp_buf_append_str(o->b, "\n") : r;
}

enum sp_err
sp_rules_explain(struct sp_rules_scratch *s, size_t rule, const struct sp_rules_event *ev, struct sp_buf *ret, int *ret_match)
{
	const struct rule *r = s->set->rule[rule];
	struct sp_rules_event all = *ev;
	struct sp_rules_hits hits;
	struct out o = { s, ret };
	int source = 0, verdict;
	enum sp_err e;

	if (r->cond == NULL)
		return SP_EINVAL;
	if (!ev->any_source) {
		if ((e = sp_rules_eval(s, ev, &hits)) != SP_OK)
			return e;
		source = s->now->rule[rule];
	}
	source |= ev->any_source;
	all.any_source = 1;	/* every field that some rule reads is there */
	if ((e = sp_rules_eval(s, &all, &hits)) != SP_OK)
		return e;
	verdict = cond_eval(s, r->cond);
	if ((e = put_source(&o, r, source)) != SP_OK || (e = put_cond(&o, r->cond, 0)) != SP_OK)
		return e;
	if (verdict == 2 && (e = sp_buf_printf(ret, "%-7s because of \"unknown: %s\"\n", verdicts[r->unknown_matches], r->unknown_matches ? "match" : "skip")) != SP_OK)
		return e;
	*ret_match = source && (verdict == 1 || (verdict == 2 && r->unknown_matches));
	return SP_OK;
}
