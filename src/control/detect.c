/* src/control/detect.c - see detect.h. Process: control, worker threads; a finished set belongs to the loop.
 * Rules are compiled here to be checked and to be asked what should follow; the judging is siem's. */
#include "control/detect.h"

#include <stdlib.h>
#include <string.h>

#include "common/category.h"
#include "crypto/hash.h"

#define LEVELS		5

const char *const detect_actions[] = { "kill", "disable", "notify", NULL };

struct row {
	char	name[SP_STORE_NAME_MAX + 1];
	char	*text;
};
struct detect_set {
	struct sp_rules_builder	*builder;
	struct sp_rules		*rules;
	struct row		*row;
	size_t			 n, cap;
	uint64_t		 generation;
};
struct page {				/* of names, as the table lists them */
	size_t	n;
	char	name[SP_STORE_PAGE_MAX][SP_STORE_NAME_MAX + 1];
};

static enum sp_err
row_add(struct detect_set *d, const struct sp_store_detection *t)
{
	if (t->state != SP_STORE_ACTIVE)
		return SP_OK;
	if (d->n == DETECT_MAX)
		return SP_EFULL;
	if (d->n == d->cap) {
		size_t cap = d->cap > 0 ? 2 * d->cap : 16;
		struct row *p = reallocarray(d->row, cap, sizeof(*p));

		if (p == NULL)
			return SP_ENOMEM;
		d->row = p;
		d->cap = cap;
	}
	(void)sp_strlcpy(d->row[d->n].name, t->name, sizeof(d->row[d->n].name));
	if ((d->row[d->n].text = strdup(t->text)) == NULL)
		return SP_ENOMEM;
	d->n++;
	return SP_OK;
}

static int
on_name(const struct sp_store_detection *t, void *arg)
{
	struct page *g = arg;

	(void)sp_strlcpy(g->name[g->n++], t->name, sizeof(g->name[0]));
	return g->n == SP_STORE_PAGE_MAX;
}

/* Lists show rows as they stand; what counts is read with its MAC. One whose MAC is wrong, or that has gone, is left out. */
static enum sp_err
page_read(struct sp_store *s, struct detect_set *d, const struct page *g, const struct sp_store_detection *add)
{
	sp_auto(sp_freep) struct sp_store_detection *t = malloc(sizeof(*t));
	enum sp_err r = t != NULL ? SP_OK : SP_ENOMEM;

	for (size_t i = 0; i < g->n && r == SP_OK; i++) {
		if (add != NULL && strcmp(add->name, g->name[i]) == 0)
			continue;
		if ((r = sp_store_detection_by_name(s, g->name[i], t)) == SP_OK)
			r = row_add(d, t);
		else if (r == SP_ETAMPERED || r == SP_ENOENT)
			r = SP_OK;
	}
	return r;
}

static enum sp_err
rows_read(struct sp_store *s, struct detect_set *d, const struct sp_store_detection *add)
{
	struct sp_store_query q = { .limit = SP_STORE_PAGE_MAX };
	sp_auto(sp_freep) struct page *g = calloc(1, sizeof(*g));
	enum sp_err r = SP_OK;

	if (g == NULL)
		return SP_ENOMEM;
	do {
		g->n = 0;
		if ((r = sp_store_detection_list(s, &q, on_name, g)) == SP_OK)
			r = page_read(s, d, g, add);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && g->n == SP_STORE_PAGE_MAX);
	return r == SP_OK && add != NULL ? row_add(d, add) : r;
}

static void
generation_make(struct detect_set *d)
{
	uint8_t sum[SP_SHA256_LEN];
	struct sp_sha256 h;

	sp_sha256_begin(&h);
	for (size_t i = 0; i < d->n; i++) {
		sp_sha256_add(&h, d->row[i].name, strlen(d->row[i].name) + 1);
		sp_sha256_add(&h, d->row[i].text, strlen(d->row[i].text) + 1);
	}
	sp_sha256_now(&h, sum);
	memcpy(&d->generation, sum, sizeof(d->generation));
	d->generation |= 1;
}

/* ---- what a rule says should follow ---- */

static int
is_action(const char *word)
{
	for (size_t i = 0; detect_actions[i] != NULL; i++)
		if (strcmp(detect_actions[i], word) == 0)
			return 1;
	return 0;
}

static int64_t
severity_of(const char *level)
{
	static const char *const levels[LEVELS] = { "informational", "low", "medium", "high", "critical" };

	for (int i = 0; i < LEVELS; i++)
		if (strcmp(levels[i], level) == 0)
			return i + 1;
	return 3;
}

static enum sp_err
word_wrong(const struct sp_rules_info *in, const char *word, const char *what, char *why, size_t n)
{
	sp_snprintf(why, n, "%s:%u: \"%.64s\" is no %s", in->file, in->line, word, what);
	return SP_EFORMAT;
}

static enum sp_err
rule_of(const struct detect_set *d, size_t i, struct detect_rule *ret, char *why, size_t n)
{
	static const char *const repeats[] = { [DETECT_AGAIN] = "again", [DETECT_MERGE] = "merge", [DETECT_ESCALATE] = "escalate" };
	const struct sp_rules_info *in = sp_rules_info(d->rules, i);
	const char *v = sp_rules_attr(d->rules, i, "sallyport.category");
	struct detect_rule t = { .severity = severity_of(in->level) };
	size_t k;

	sp_escape(in->title, strlen(in->title), t.title, sizeof(t.title));	/* rows and the log take one line of whole characters */
	(void)sp_strlcpy(t.category, v != NULL ? v : SP_CATEGORY_OTHER, sizeof(t.category));
	if (sp_category_find(v != NULL ? v : SP_CATEGORY_OTHER) == NULL)
		return word_wrong(in, v, "category ('sallyport offense categories' lists them)", why, n);
	if ((v = sp_rules_attr(d->rules, i, "sallyport.property")) != NULL && sp_strlcpy(t.property, v, sizeof(t.property)) != 0)
		return word_wrong(in, v, "property: it is too long", why, n);
	if ((v = sp_rules_attr(d->rules, i, "sallyport.repeat")) != NULL) {
		for (k = 0; k < SP_NELEMS(repeats) && strcmp(repeats[k], v) != 0; k++)
			;
		if (k == SP_NELEMS(repeats))
			return word_wrong(in, v, "way to take a repeat: again, merge or escalate", why, n);
		t.repeat = (enum detect_repeat)k;
	}
	t.actions = sp_rules_attr_n(d->rules, i, "sallyport.respond");
	if (t.actions > DETECT_ACTIONS)
		return word_wrong(in, "respond", "list of at most 8 responses", why, n);
	for (k = 0; k < t.actions; k++) {
		char path[64];

		sp_snprintf(path, sizeof(path), "sallyport.respond.%zu", k);
		v = sp_rules_attr(d->rules, i, path);
		if (v == NULL || !is_action(v))
			return word_wrong(in, v != NULL ? v : "", "response: kill, disable or notify", why, n);
		(void)sp_strlcpy(t.action[k], v, sizeof(t.action[k]));
	}
	*ret = t;
	return SP_OK;
}

/* ---- a set ---- */

static enum sp_err
set_compile(struct detect_set *d, char *why, size_t n)
{
	struct sp_rules_error e = { 0 };
	struct detect_rule t;
	enum sp_err r;

	if ((r = sp_rules_builder_new(NULL, &d->builder)) != SP_OK)
		return r;
	for (size_t i = 0; i < d->n && r == SP_OK; i++)
		r = sp_rules_builder_add(d->builder, d->row[i].name, d->row[i].text, strlen(d->row[i].text), &e);
	if (r == SP_OK)
		r = sp_rules_compile(d->builder, &e, &d->rules);
	if (r != SP_OK) {
		sp_snprintf(why, n, "%s:%u: %s", e.file, e.line, e.why);
		return r;
	}
	for (size_t i = 0; i < sp_rules_n(d->rules) && r == SP_OK; i++)
		r = rule_of(d, i, &t, why, n);
	return r;
}

enum sp_err
detect_load(struct sp_store *s, const struct sp_store_detection *add, uint64_t known, struct detect_set **ret, char *why, size_t n)
{
	struct detect_set *d = calloc(1, sizeof(*d));
	enum sp_err r;

	if (d == NULL)
		return SP_ENOMEM;
	if ((r = rows_read(s, d, add)) == SP_OK) {
		generation_make(d);
		if (d->generation != known && (r = set_compile(d, why, n)) == SP_OK) {
			*ret = d;
			return SP_OK;
		}
	}
	detect_free(d);
	return r;
}

void
detect_free(struct detect_set *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->n; i++)
		free(d->row[i].text);
	free(d->row);
	sp_rules_free(d->rules);
	sp_rules_builder_free(d->builder);
	free(d);
}

uint64_t
detect_generation(const struct detect_set *d)
{
	return d->generation;
}

size_t
detect_n(const struct detect_set *d)
{
	return d->n;
}

const char *
detect_name(const struct detect_set *d, size_t i)
{
	return d->row[i].name;
}

const char *
detect_text(const struct detect_set *d, size_t i)
{
	return d->row[i].text;
}

enum sp_err
detect_rule(const struct detect_set *d, const char *name, unsigned line, struct detect_rule *ret)
{
	char why[256];
	unsigned nth = 0;
	enum sp_err r;

	for (size_t i = 0; i < sp_rules_n(d->rules); i++) {
		const struct sp_rules_info *in = sp_rules_info(d->rules, i);

		if (strcmp(in->file, name) != 0)
			continue;
		if (in->line == line) {
			if ((r = rule_of(d, i, ret, why, sizeof(why))) == SP_OK)
				ret->nth = nth;
			return r;
		}
		nth += !in->silent;
	}
	return SP_ENOENT;
}
