/* lib/rules/load.c - documents of a file: detection rules, correlations, filters; and the builder that collects them.
 * The builder keeps the texts and a set that grows with each file; sp_rules_compile hands that set out, and a later compile
 * starts from the texts again. */
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/fold.h"
#include "rules/set.h"

struct file {
	char	*name, *text;
	size_t	 len;
};
struct sp_rules_builder {
	struct sp_rules_opts	 opts;
	struct arena		 a;		/* names of aliases, placeholders, wanted fields */
	struct file		*file;
	size_t			 n_files;
	struct alias		*alias;
	size_t			 n_alias;
	struct placeholder	*ph;
	size_t			 n_ph;
	const char		**want;
	size_t			 n_want;
	struct sp_rules		*set;		/* has all files in it; NULL: to be made again */
};

/* ---- one document ---- */

static enum sp_err
get_text(struct load *l, const struct ynode *doc, const char *key, int required, const char **ret)
{
	const struct ynode *v = yaml_get(doc, key);

	*ret = "";
	if (v == NULL || v->type == Y_NULL)
		return !required ? SP_OK : rules_error(l->err, SP_EFORMAT, l->file, doc->line, "\"%s\" is missing", key);
	if (!yaml_is_scalar(v) || strlen(v->text) != v->len)
		return rules_error(l->err, SP_EFORMAT, l->file, v->line, "\"%s\" must be text", key);
	*ret = v->text;
	return required && v->len == 0 ? rules_error(l->err, SP_EFORMAT, l->file, v->line, "\"%s\" is empty", key) : SP_OK;
}

static enum sp_err
load_info(struct load *l, const struct ynode *doc, struct rule *r)
{
	struct sp_rules_info *i = &r->info;
	const struct {
		const char	*key;
		const char	**to;
		int		 required;
	} texts[] = {
		{ "title", &i->title, 1 }, { "id", &i->id, 0 }, { "name", &i->name, 0 }, { "level", &i->level, 0 }, { "status", &i->status, 0 },
		{ "description", &i->description, 0 }, { "author", &i->author, 0 },
	};
	static const char *const levels[] = { "", "informational", "low", "medium", "high", "critical" };
	size_t k = 0;
	enum sp_err e;

	for (size_t t = 0; t < SP_NELEMS(texts); t++)
		if ((e = get_text(l, doc, texts[t].key, texts[t].required, texts[t].to)) != SP_OK)
			return e;
	while (k < SP_NELEMS(levels) && strcmp(levels[k], i->level) != 0)
		k++;
	if (k == SP_NELEMS(levels))
		return rules_error(l->err, SP_EFORMAT, l->file, yaml_get(doc, "level")->line,
		    "the level is informational, low, medium, high or critical, not \"%.40s\"", i->level);
	i->category = i->product = i->service = "";
	i->file = l->file;
	i->line = doc->line;
	r->doc = doc;
	return SP_OK;
}

/* What a rule makes of a field that nobody knows. */
static enum sp_err
load_unknown(struct load *l, const struct ynode *doc, struct rule *r)
{
	const struct ynode *v = yaml_path(doc, "sallyport.unknown");

	if (v == NULL)
		return SP_OK;
	r->unknown_matches = yaml_is_scalar(v) && strcmp(v->text, "match") == 0;
	return r->unknown_matches || (yaml_is_scalar(v) && strcmp(v->text, "skip") == 0) ? SP_OK :
	    rules_error(l->err, SP_EFORMAT, l->file, v->line, "\"unknown\" is match or skip");
}

static enum sp_err
triple_number(struct sp_rules *s, const struct triple *t, uint16_t *ret)
{
	void *p;

	for (size_t i = 0; i < s->n_triples; i++)
		if (strcmp(s->triple[i].part[0], t->part[0]) == 0 && strcmp(s->triple[i].part[1], t->part[1]) == 0 &&
		    strcmp(s->triple[i].part[2], t->part[2]) == 0) {
			*ret = (uint16_t)i;
			return SP_OK;
		}
	if (s->n_triples == UINT16_MAX)
		return SP_ESIZE;
	if ((p = arena_grow(&s->a, s->triple, s->n_triples, sizeof(*s->triple))) == NULL)
		return SP_ENOMEM;
	s->triple = p;
	s->triple[s->n_triples] = *t;
	*ret = (uint16_t)s->n_triples++;
	return SP_OK;
}

enum sp_err
load_source(struct load *l, const struct ynode *ls, int required, struct rule *r)
{
	static const char *const keys[] = { "category", "product", "service" };
	const char **to[] = { &r->info.category, &r->info.product, &r->info.service };
	struct triple t = { { "", "", "" } };
	unsigned given = 0;
	enum sp_err e;

	if (ls == NULL && required)
		return rules_error(l->err, SP_EFORMAT, l->file, r->info.line, "\"logsource\" is missing");
	if (ls != NULL && ls->type != Y_MAP)
		return rules_error(l->err, SP_EFORMAT, l->file, ls->line, "\"logsource\" must be a mapping");
	for (size_t i = 0; ls != NULL && i < 3; i++) {
		uint8_t *folded;
		size_t n;

		if ((e = get_text(l, ls, keys[i], 0, to[i])) != SP_OK)
			return e;
		n = strlen(*to[i]);
		given += n > 0;
		if ((folded = arena_alloc(&l->set->a, FOLD_ROOM(n) + 1)) == NULL)
			return SP_ENOMEM;
		sp_fold(*to[i], n, folded);
		t.part[i] = (const char *)folded;
	}
	if (ls != NULL && given == 0)
		return rules_error(l->err, SP_EFORMAT, l->file, ls->line, "\"logsource\" names no category, product or service");
	if ((e = triple_number(l->set, &t, &r->triple)) == SP_ESIZE)
		return rules_error(l->err, SP_ESIZE, l->file, r->info.line, "too many different log sources");
	l->product = t.part[1];
	return e;
}

/* All that the rule gives, the event has. */
int
source_covers(const struct sp_rules *s, const struct triple *rule, const char *const part[3])
{
	for (size_t i = 0; i < 3; i++)
		if (rule->part[i][0] != '\0' && (part[i] == NULL || strcmp(rule->part[i], part[i]) != 0))
			return 0;
	return 1;
}

static enum sp_err
add_rule(struct arena *a, struct rule ***list, size_t *n, struct rule *r)
{
	void *p = arena_grow(a, *list, *n, sizeof(**list));

	if (p == NULL)
		return SP_ENOMEM;
	*list = p;
	(*list)[(*n)++] = r;
	return SP_OK;
}

static enum sp_err
load_detection(struct load *l, const struct ynode *det, struct rule *r)
{
	enum sp_err e;

	r->info.kind = SP_RULES_DETECTION;
	if ((e = load_source(l, yaml_get(r->doc, "logsource"), 1, r)) != SP_OK || (e = load_unknown(l, r->doc, r)) != SP_OK ||
	    (e = detection_load(l, det, &r->det)) != SP_OK)
		return e;
	return add_rule(&l->set->a, &l->set->rule, &l->set->n, r);
}

static enum sp_err
load_filter(struct load *l, const struct ynode *filter, struct rule *r)
{
	enum sp_err e;

	r->info.kind = SP_RULES_FILTER;
	if ((e = load_source(l, yaml_get(r->doc, "logsource"), 0, r)) != SP_OK || (e = detection_load(l, filter, &r->det)) != SP_OK)
		return e;
	return add_rule(&l->set->a, &l->set->filter, &l->set->n_filters, r);
}

enum sp_err
load_document(struct load *l, const struct ynode *doc)
{
	const struct ynode *det = yaml_get(doc, "detection"), *filter = yaml_get(doc, "filter"), *corr = yaml_get(doc, "correlation");
	struct rule *r = arena_alloc(&l->set->a, sizeof(*r));
	enum sp_err e;

	if (r == NULL)
		return SP_ENOMEM;
	if (doc->type != Y_MAP)
		return rules_error(l->err, SP_EFORMAT, l->file, doc->line, "a rule must be a mapping");
	if ((det != NULL) + (filter != NULL) + (corr != NULL) != 1)
		return rules_error(l->err, SP_EFORMAT, l->file, doc->line, "a rule has exactly one of \"detection\", \"correlation\" and \"filter\"");
	if (yaml_get(doc, "action") != NULL)
		return rules_error(l->err, SP_EFORMAT, l->file, yaml_get(doc, "action")->line, "\"action\" (rule collections) is no longer Sigma");
	if (l->set->n + l->set->n_filters >= SP_RULES_N_MAX)
		return rules_error(l->err, SP_ESIZE, l->file, doc->line, "more than %d rules", SP_RULES_N_MAX);
	l->product = NULL;
	if ((e = load_info(l, doc, r)) != SP_OK)
		return e;
	if (corr != NULL)
		return corr_load(l, corr, r);
	return det != NULL ? load_detection(l, det, r) : load_filter(l, filter, r);
}

/* ---- the set ---- */

void
sp_rules_free(struct sp_rules *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n_re; i++)
		regex_free(s->re[i]);
	if (s->db != NULL)
		s->ops->free(s->db);
	arena_release(&s->a);
	free(s);
}

static enum sp_err
set_add(struct sp_rules_builder *b, struct load *l, const struct file *f)
{
	size_t n = l->set->n, n_filters = l->set->n_filters, docs_n = 0;
	const struct ynode **docs = NULL;
	enum sp_err r;

	if ((l->file = arena_strndup(&l->set->a, f->name, strlen(f->name))) == NULL)
		return SP_ENOMEM;
	r = yaml_parse(&l->set->a, l->file, f->text, f->len, &docs, &docs_n, l->err);
	if (r == SP_OK && docs_n == 0)
		r = rules_error(l->err, SP_EFORMAT, l->file, 0, "there is no rule in it");
	for (size_t i = 0; i < docs_n && r == SP_OK; i++)
		r = load_document(l, docs[i]);
	if (r != SP_OK) {	/* nothing of that file is kept but memory */
		l->set->n = n;
		l->set->n_filters = n_filters;
	}
	return r;
}

static struct load
loader(struct sp_rules_builder *b, struct sp_rules_error *err)
{
	return (struct load){ .set = b->set, .file = "", .err = err, .alias = b->alias, .n_alias = b->n_alias, .ph = b->ph, .n_ph = b->n_ph };
}

/* A set with all files in it. */
static enum sp_err
set_make(struct sp_rules_builder *b, struct sp_rules_error *err)
{
	struct load l;
	enum sp_err r;

	if (b->set != NULL)
		return SP_OK;
	if ((b->set = calloc(1, sizeof(*b->set))) == NULL)
		return SP_ENOMEM;
	l = loader(b, err);
	r = fields_init(b->set);
	for (size_t i = 0; i < b->n_files && r == SP_OK; i++)
		r = set_add(b, &l, &b->file[i]);
	if (r != SP_OK) {
		sp_rules_free(b->set);
		b->set = NULL;
	}
	return r;
}

/* ---- the builder ---- */

enum sp_err
sp_rules_builder_new(const struct sp_rules_opts *opts, struct sp_rules_builder **ret)
{
	struct sp_rules_builder *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return SP_ENOMEM;
	if (opts != NULL)
		b->opts = *opts;
	*ret = b;
	return SP_OK;
}

void
sp_rules_builder_free(struct sp_rules_builder *b)
{
	if (b == NULL)
		return;
	for (size_t i = 0; i < b->n_files; i++) {
		free(b->file[i].name);
		free(b->file[i].text);
	}
	free(b->file);
	sp_rules_free(b->set);
	arena_release(&b->a);
	free(b);
}

/* What was loaded was loaded without this: load it again. */
static void
forget_set(struct sp_rules_builder *b)
{
	sp_rules_free(b->set);
	b->set = NULL;
}

enum sp_err
sp_rules_builder_placeholder(struct sp_rules_builder *b, const char *name, const char *const *value, size_t n)
{
	struct placeholder ph = { .n = n };
	void *p = arena_grow(&b->a, b->ph, b->n_ph, sizeof(*b->ph));

	if (p == NULL || (ph.name = arena_strndup(&b->a, name, strlen(name))) == NULL || (ph.value = arena_alloc(&b->a, (n + 1) * sizeof(*ph.value))) == NULL)
		return SP_ENOMEM;
	b->ph = p;
	for (size_t i = 0; i < n; i++)
		if ((ph.value[i] = arena_strndup(&b->a, value[i], strlen(value[i]))) == NULL)
			return SP_ENOMEM;
	for (size_t i = 0; i < b->n_ph; i++)
		if (strcmp(b->ph[i].name, name) == 0)
			return SP_EEXIST;
	b->ph[b->n_ph++] = ph;
	forget_set(b);
	return SP_OK;
}

enum sp_err
sp_rules_builder_alias(struct sp_rules_builder *b, const char *product, const char *name, const char *path)
{
	struct alias al = { 0 };
	void *p = arena_grow(&b->a, b->alias, b->n_alias, sizeof(*b->alias));
	size_t n = product != NULL ? strlen(product) : 0;
	uint8_t *folded = arena_alloc(&b->a, FOLD_ROOM(n) + 1);

	if (p == NULL || folded == NULL || (al.name = arena_strndup(&b->a, name, strlen(name))) == NULL ||
	    (al.path = arena_strndup(&b->a, path, strlen(path))) == NULL)
		return SP_ENOMEM;
	if (product != NULL) {
		sp_fold(product, n, folded);
		al.product = (const char *)folded;
	}
	b->alias = p;
	b->alias[b->n_alias++] = al;
	forget_set(b);
	return SP_OK;
}

enum sp_err
sp_rules_builder_want(struct sp_rules_builder *b, const char *field)
{
	void *p = arena_grow(&b->a, b->want, b->n_want, sizeof(*b->want));

	if (p == NULL)
		return SP_ENOMEM;
	b->want = p;
	if ((b->want[b->n_want] = arena_strndup(&b->a, field, strlen(field))) == NULL)
		return SP_ENOMEM;
	b->n_want++;
	return SP_OK;
}

static enum sp_err
keep_file(struct sp_rules_builder *b, const char *name, const void *text, size_t len)
{
	struct file *p = realloc(b->file, (b->n_files + 1) * sizeof(*p));

	if (p == NULL)
		return SP_ENOMEM;
	b->file = p;
	p += b->n_files;
	p->name = strdup(name);
	p->text = malloc(len + 1);
	p->len = len;
	if (p->name == NULL || p->text == NULL) {
		free(p->name);
		free(p->text);
		return SP_ENOMEM;
	}
	if (len > 0)
		memcpy(p->text, text, len);
	b->n_files++;
	return SP_OK;
}

enum sp_err
sp_rules_builder_add(struct sp_rules_builder *b, const char *file, const void *text, size_t len, struct sp_rules_error *err)
{
	struct load l;
	enum sp_err r;

	rules_error(err, SP_OK, file, 0, "%s", sp_err_text(SP_ENOMEM));
	if (len > SP_RULES_FILE_MAX)
		return rules_error(err, SP_ESIZE, file, 0, "larger than %zu MiB", SP_RULES_FILE_MAX >> 20);
	if ((r = set_make(b, err)) != SP_OK || (r = keep_file(b, file, text, len)) != SP_OK)
		return r;
	l = loader(b, err);
	if ((r = set_add(b, &l, &b->file[b->n_files - 1])) != SP_OK) {
		b->n_files--;
		free(b->file[b->n_files].name);
		free(b->file[b->n_files].text);
	}
	return r;
}

static enum sp_err
set_wants(struct sp_rules_builder *b, struct load *l)
{
	struct sp_rules *s = b->set;
	enum sp_err r;

	if (b->n_want > 0 && (s->want = arena_alloc(&s->a, b->n_want * sizeof(*s->want))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < b->n_want; i++)
		if ((r = fields_number(l, 0, b->want[i], &s->want[s->n_want++])) != SP_OK)
			return r;
	return SP_OK;
}

enum sp_err
sp_rules_compile(struct sp_rules_builder *b, struct sp_rules_error *err, struct sp_rules **ret)
{
	struct load l;
	enum sp_err r;

	rules_error(err, SP_OK, "", 0, "%s", sp_err_text(SP_ENOMEM));
	if ((r = set_make(b, err)) != SP_OK)
		return r;
	l = loader(b, err);
	b->set->ops = b->opts.index;
	if ((r = set_wants(b, &l)) == SP_OK && (r = set_link(&l)) == SP_OK)
		r = literals_build(b->set);
	for (size_t i = 0; i < b->set->n && r == SP_OK && b->opts.keep_base; i++)
		b->set->rule[i]->info.silent = 0;
	if (r == SP_OK)
		*ret = b->set;
	else
		sp_rules_free(b->set);
	b->set = NULL;
	return r;
}

/* ---- what was loaded ---- */

size_t
sp_rules_n(const struct sp_rules *s)
{
	return s->n;
}

const struct sp_rules_info *
sp_rules_info(const struct sp_rules *s, size_t i)
{
	return &s->rule[i]->info;
}

const char *
sp_rules_attr(const struct sp_rules *s, size_t i, const char *path)
{
	const struct ynode *v = yaml_path(s->rule[i]->doc, path);

	return v != NULL && yaml_is_scalar(v) ? v->text : NULL;
}

size_t
sp_rules_attr_n(const struct sp_rules *s, size_t i, const char *path)
{
	const struct ynode *v = yaml_path(s->rule[i]->doc, path);

	return v != NULL && v->type == Y_LIST ? v->n : 0;
}

int
sp_rules_reads(const struct sp_rules *s, size_t i, const char *field)
{
	const struct rule *r = s->rule[i];

	for (size_t k = 0; k < r->n_fields; k++)
		if (strcmp(s->field[r->field[k]].name, field) == 0)
			return 1;
	return 0;
}
