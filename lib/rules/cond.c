/* lib/rules/cond.c - the detection section: selections, and the condition over their names.
 *	or := and { "or" and }    and := not { "and" not }    not := { "not" } atom
 *	atom := "(" or ")" | ("1" | "any" | "all") "of" ("them" | PATTERN) | NAME
 * A name is whatever stands between blanks and parentheses, so names in any script work. Recursive descent, COND_DEPTH deep. */
#include <string.h>
#include <strings.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/set.h"

struct parser {
	struct load		*l;
	unsigned		 line;
	const char		*p, *end;
	const struct cond_names	*names;
	unsigned		 depth;
	struct sp_view		 tok;		/* the next token; len 0: none is left */
};

#define FAIL(ps, ...) rules_error((ps)->l->err, SP_EFORMAT, (ps)->l->file, (ps)->line, __VA_ARGS__)

static int
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
advance(struct parser *ps)
{
	while (ps->p < ps->end && is_blank(*ps->p))
		ps->p++;
	ps->tok = (struct sp_view){ (const uint8_t *)ps->p, 0 };
	if (ps->p < ps->end && (*ps->p == '(' || *ps->p == ')')) {
		ps->p++;
		ps->tok.len = 1;
		return;
	}
	while (ps->p < ps->end && !is_blank(*ps->p) && *ps->p != '(' && *ps->p != ')')
		ps->p++;
	ps->tok.len = (size_t)(ps->p - (const char *)ps->tok.p);
}

static int
is(const struct parser *ps, const char *word)
{
	return ps->tok.len == strlen(word) && strncasecmp((const char *)ps->tok.p, word, ps->tok.len) == 0;
}

/* The token, for a message. */
static const char *
shown(const struct parser *ps, char dst[64])
{
	sp_snprintf(dst, 64, "%.*s", (int)(ps->tok.len < 60 ? ps->tok.len : 60), (const char *)ps->tok.p);
	return dst;
}

const struct cond *
cond_join(struct arena *a, enum cond_op op, const struct cond *const *sub, size_t n)
{
	struct cond *c = arena_alloc(a, sizeof(*c));

	if (n == 1 && op != COND_NOT)
		return sub[0];
	if (c == NULL || (c->sub = arena_alloc(a, n * sizeof(*c->sub))) == NULL)
		return NULL;
	c->op = op;
	c->n = n;
	for (size_t i = 0; i < n; i++)
		c->sub[i] = sub[i];
	return c;
}

/* `*` any bytes; names are short. */
static int
name_fits(const char *pat, size_t n, const char *name)
{
	const char *star = memchr(pat, '*', n);

	if (star == NULL)
		return strlen(name) == n && memcmp(name, pat, n) == 0;
	if (strncmp(name, pat, (size_t)(star - pat)) != 0)
		return 0;
	name += star - pat;
	n -= (size_t)(star - pat) + 1;
	pat = star + 1;
	while (n > 0 && (star = memchr(pat, '*', n)) != NULL) {
		size_t k = (size_t)(star - pat);
		const char *at = k == 0 ? name : memmem(name, strlen(name), pat, k);

		if (at == NULL)
			return 0;
		name = at + k;
		pat = star + 1;
		n -= k + 1;
	}
	return strlen(name) >= n && memcmp(name + strlen(name) - n, pat, n) == 0;
}

static enum sp_err
parse_of(struct parser *ps, enum cond_op op, const struct cond **ret)
{
	const struct cond **sub = NULL;
	int them, pattern;
	size_t n = 0;
	void *p;
	char what[64];

	advance(ps);
	if (!is(ps, "of"))
		return FAIL(ps, "condition: \"of\" is expected, not \"%s\"", shown(ps, what));
	advance(ps);
	if (ps->tok.len == 0 || is(ps, "(") || is(ps, ")"))
		return FAIL(ps, "condition: \"them\" or a name with * is expected behind \"of\"");
	them = is(ps, "them");
	pattern = memchr(ps->tok.p, '*', ps->tok.len) != NULL;
	for (size_t i = 0; ps->names->name(ps->names->arg, i) != NULL; i++) {
		const char *name = ps->names->name(ps->names->arg, i);

		if (!them && !name_fits((const char *)ps->tok.p, ps->tok.len, name))
			continue;
		if (name[0] == '_' && (them || pattern))
			continue;	/* never chosen by a pattern */
		if ((p = arena_grow(&ps->l->set->a, sub, n, sizeof(*sub))) == NULL)
			return SP_ENOMEM;
		sub = p;
		if ((sub[n++] = ps->names->find(ps->names->arg, name, strlen(name))) == NULL)
			return SP_ENOMEM;
	}
	if (n == 0)
		return FAIL(ps, "condition: no selection has a name like \"%s\"", shown(ps, what));
	advance(ps);
	return (*ret = cond_join(&ps->l->set->a, op, sub, n)) == NULL ? SP_ENOMEM : SP_OK;
}

static enum sp_err	parse_or(struct parser *ps, const struct cond **ret);

/* "1 of", "any of", "all of", "2 of": only if "of" follows, so that selections may be called "all" or "1". */
static int
of_follows(const struct parser *ps)
{
	struct parser look = *ps;

	advance(&look);
	return is(&look, "of");
}

static enum sp_err
parse_atom(struct parser *ps, const struct cond **ret)
{
	enum sp_err r;
	char what[64];

	if (ps->tok.len == 0)
		return FAIL(ps, "condition: it ends where a name is expected");
	if (is(ps, "(")) {
		advance(ps);
		if ((r = parse_or(ps, ret)) != SP_OK)
			return r;
		if (!is(ps, ")"))
			return FAIL(ps, "condition: a ) is missing before \"%s\"", shown(ps, what));
		advance(ps);
		return SP_OK;
	}
	if (is(ps, ")"))
		return FAIL(ps, "condition: a name is expected before )");
	if (memchr(ps->tok.p, '|', ps->tok.len) != NULL)
		return FAIL(ps, "condition: aggregations behind | are no longer Sigma: write a correlation");
	if (!ps->names->no_patterns && of_follows(ps)) {
		if (is(ps, "1") || is(ps, "any"))
			return parse_of(ps, COND_OR, ret);
		if (is(ps, "all"))
			return parse_of(ps, COND_AND, ret);
		return FAIL(ps, "condition: only 1, any or all stand before \"of\", not \"%s\"", shown(ps, what));
	}
	if ((*ret = ps->names->find(ps->names->arg, (const char *)ps->tok.p, ps->tok.len)) == NULL)
		return FAIL(ps, "condition: there is nothing called \"%s\"", shown(ps, what));
	advance(ps);
	return SP_OK;
}

static enum sp_err
parse_not(struct parser *ps, const struct cond **ret)
{
	const struct cond *c = NULL;
	unsigned nots = 0;
	enum sp_err r;

	if (++ps->depth > COND_DEPTH)
		return FAIL(ps, "condition: nested deeper than %d levels", COND_DEPTH);
	for (; is(ps, "not"); advance(ps))
		nots++;
	if ((r = parse_atom(ps, &c)) != SP_OK)
		return r;
	if (nots % 2 == 1 && (c = cond_join(&ps->l->set->a, COND_NOT, &c, 1)) == NULL)
		return SP_ENOMEM;
	ps->depth--;
	*ret = c;
	return SP_OK;
}

static enum sp_err
parse_row(struct parser *ps, enum cond_op op, const char *word, enum sp_err (*next)(struct parser *, const struct cond **),
    const struct cond **ret)
{
	const struct cond **sub = NULL, *c = NULL;
	enum sp_err r;
	size_t n = 0;
	void *p;

	for (;; advance(ps)) {
		if ((r = next(ps, &c)) != SP_OK)
			return r;
		if ((p = arena_grow(&ps->l->set->a, sub, n, sizeof(*sub))) == NULL)
			return SP_ENOMEM;
		sub = p;
		sub[n++] = c;
		if (!is(ps, word))
			break;
	}
	return (*ret = cond_join(&ps->l->set->a, op, sub, n)) == NULL ? SP_ENOMEM : SP_OK;
}

static enum sp_err
parse_and(struct parser *ps, const struct cond **ret)
{
	return parse_row(ps, COND_AND, "and", parse_not, ret);
}

static enum sp_err
parse_or(struct parser *ps, const struct cond **ret)
{
	return parse_row(ps, COND_OR, "or", parse_and, ret);
}

enum sp_err
cond_parse(struct load *l, unsigned line, const char *text, size_t len, const struct cond_names *names, const struct cond **ret)
{
	struct parser ps = { .l = l, .line = line, .p = text, .end = text + len, .names = names };
	const struct cond *c = NULL;
	enum sp_err r;
	char what[64];

	if (len > COND_MAX)
		return rules_error(l->err, SP_ESIZE, l->file, line, "condition: longer than %zu KiB", COND_MAX >> 10);
	if (memchr(text, '\0', len) != NULL)
		return FAIL(&ps, "condition: a NUL in it");
	advance(&ps);
	if ((r = parse_or(&ps, &c)) != SP_OK)
		return r;
	if (ps.tok.len > 0)
		return FAIL(&ps, "condition: \"and\" or \"or\" is expected before \"%s\"", shown(&ps, what));
	*ret = c;
	return SP_OK;
}

/* ---- selections ---- */

static const struct cond *
item_cond(struct load *l, const struct item *item)
{
	struct cond *c = arena_alloc(&l->set->a, sizeof(*c));

	if (c != NULL)
		*c = (struct cond){ .op = COND_ITEM, .item = item };
	return c;
}

/* A mapping: all of its items. */
static enum sp_err
load_map(struct load *l, const struct ynode *map, const struct cond **ret)
{
	const struct cond **sub = arena_alloc(&l->set->a, (map->n + 1) * sizeof(*sub));
	struct item *item;
	enum sp_err r;

	if (sub == NULL)
		return SP_ENOMEM;
	if (map->n == 0)
		return rules_error(l->err, SP_EFORMAT, l->file, map->line, "a selection is empty");
	for (size_t i = 0; i < map->n; i++) {
		if ((r = item_load(l, map->key[i], map->item[i], &item)) != SP_OK)
			return r;
		if ((sub[i] = item_cond(l, item)) == NULL)
			return SP_ENOMEM;
	}
	return (*ret = cond_join(&l->set->a, COND_AND, sub, map->n)) == NULL ? SP_ENOMEM : SP_OK;
}

/* A list: mappings and keywords, any of them. */
static enum sp_err
load_list(struct load *l, const struct ynode *list, const struct cond **ret)
{
	const struct cond **sub = arena_alloc(&l->set->a, (list->n + 1) * sizeof(*sub));
	struct ynode words = { .type = Y_LIST, .line = list->line };
	struct item *item;
	enum sp_err r;
	size_t n = 0;

	if (sub == NULL || (words.item = arena_alloc(&l->set->a, (list->n + 1) * sizeof(*words.item))) == NULL)
		return SP_ENOMEM;
	if (list->n == 0)
		return rules_error(l->err, SP_EFORMAT, l->file, list->line, "a selection is empty");
	for (size_t i = 0; i < list->n; i++) {
		const struct ynode *v = list->item[i];

		if (v->type == Y_LIST)
			return rules_error(l->err, SP_EFORMAT, l->file, v->line, "a list in a list: a selection is a mapping, a list of mappings or a list of keywords");
		if (v->type != Y_MAP)
			words.item[words.n++] = v;
		else if ((r = load_map(l, v, &sub[n++])) != SP_OK)
			return r;
	}
	if (words.n > 0) {
		if ((r = item_keywords(l, &words, &item)) != SP_OK)
			return r;
		if ((sub[n++] = item_cond(l, item)) == NULL)
			return SP_ENOMEM;
	}
	return (*ret = cond_join(&l->set->a, COND_OR, sub, n)) == NULL ? SP_ENOMEM : SP_OK;
}

static enum sp_err
load_selection(struct load *l, const struct ynode *v, const struct cond **ret)
{
	struct item *item;
	enum sp_err r;

	if (v->type == Y_MAP)
		return load_map(l, v, ret);
	if (v->type == Y_LIST)
		return load_list(l, v, ret);
	if ((r = item_keywords(l, v, &item)) != SP_OK)
		return r;
	return (*ret = item_cond(l, item)) == NULL ? SP_ENOMEM : SP_OK;
}

struct sel_names {
	struct load		*l;
	struct detection	*d;
};

static const struct cond *
sel_find(void *arg, const char *name, size_t len)
{
	struct sel_names *s = arg;

	for (size_t i = 0; i < s->d->n_sel; i++)
		if (strlen(s->d->sel[i].name) == len && memcmp(s->d->sel[i].name, name, len) == 0) {
			struct cond *c = arena_alloc(&s->l->set->a, sizeof(*c));

			s->d->sel[i].used = 1;
			if (c != NULL)
				*c = (struct cond){ .op = COND_SEL, .sel = &s->d->sel[i] };
			return c;
		}
	return NULL;
}

static const char *
sel_name(void *arg, size_t i)
{
	const struct sel_names *s = arg;

	return i < s->d->n_sel ? s->d->sel[i].name : NULL;
}

static enum sp_err
load_condition(struct load *l, const struct ynode *v, struct detection *d)
{
	struct sel_names arg = { l, d };
	const struct cond_names names = { sel_find, sel_name, &arg, 0 };
	const struct cond **sub;
	enum sp_err r;

	if (v->type == Y_TEXT || v->type == Y_NUMBER)
		return cond_parse(l, v->line, v->text, v->len, &names, &d->cond);
	if (v->type != Y_LIST || v->n == 0)
		return rules_error(l->err, SP_EFORMAT, l->file, v->line, "condition: text or a list of texts is expected");
	if ((sub = arena_alloc(&l->set->a, v->n * sizeof(*sub))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < v->n; i++) {
		if (!yaml_is_scalar(v->item[i]))
			return rules_error(l->err, SP_EFORMAT, l->file, v->item[i]->line, "condition: a list of texts is expected");
		if ((r = cond_parse(l, v->item[i]->line, v->item[i]->text, v->item[i]->len, &names, &sub[i])) != SP_OK)
			return r;
	}
	return (d->cond = cond_join(&l->set->a, COND_OR, sub, v->n)) == NULL ? SP_ENOMEM : SP_OK;
}

/* Keys of a detection (or filter) section that are no selections. */
static int
is_reserved(const char *key)
{
	return strcmp(key, "condition") == 0 || strcmp(key, "rules") == 0;
}

enum sp_err
detection_load(struct load *l, const struct ynode *det, struct detection *ret)
{
	const struct ynode *cond = yaml_get(det, "condition");
	struct detection d = { 0 };
	enum sp_err r;

	if (det->type != Y_MAP)
		return rules_error(l->err, SP_EFORMAT, l->file, det->line, "the detection must be a mapping of selections and a condition");
	if (cond == NULL)
		return rules_error(l->err, SP_EFORMAT, l->file, det->line, "the detection has no condition");
	if ((d.sel = arena_alloc(&l->set->a, (det->n + 1) * sizeof(*d.sel))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < det->n; i++) {
		struct selection *s = &d.sel[d.n_sel];

		if (is_reserved(det->key[i]->text))
			continue;
		if (strcmp(det->key[i]->text, "timeframe") == 0)
			return rules_error(l->err, SP_EFORMAT, l->file, det->key[i]->line, "timeframe is no longer Sigma: write a correlation");
		if (det->key[i]->len == 0 || strlen(det->key[i]->text) != det->key[i]->len)
			return rules_error(l->err, SP_EFORMAT, l->file, det->key[i]->line, "a selection needs a name");
		s->name = det->key[i]->text;
		s->line = det->key[i]->line;
		if ((r = load_selection(l, det->item[i], &s->cond)) != SP_OK)
			return r;
		d.n_sel++;
	}
	if ((r = load_condition(l, cond, &d)) == SP_OK)
		*ret = d;
	return r;
}
