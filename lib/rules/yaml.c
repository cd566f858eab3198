/* lib/rules/yaml.c - YAML as a bounded tree, on libyaml's event parser. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/num.h"
#include "rules/yaml.h"

struct loader {
	yaml_parser_t		 parser;
	struct arena		*a;
	const char		*file;
	struct sp_rules_error	*err;
	size_t			 nodes;
};

enum sp_err
rules_error(struct sp_rules_error *err, enum sp_err e, const char *file, unsigned line, const char *fmt, ...)
{
	char text[sizeof(err->why)];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	sp_escape(text, strlen(text), err->why, sizeof(err->why));
	sp_escape(file, strlen(file), err->file, sizeof(err->file));
	err->line = line;
	return e;
}

int
yaml_is_scalar(const struct ynode *n)
{
	return n->type != Y_LIST && n->type != Y_MAP;
}

const struct ynode *
yaml_get(const struct ynode *map, const char *key)
{
	if (map == NULL || map->type != Y_MAP)
		return NULL;
	for (size_t i = 0; i < map->n; i++)
		if (strcmp(map->key[i]->text, key) == 0 && strlen(key) == map->key[i]->len)
			return map->item[i];
	return NULL;
}

static const struct ynode *
path_step(const struct ynode *n, const char *p, size_t len)
{
	if (n->type == Y_MAP) {
		for (size_t i = 0; i < n->n; i++)
			if (n->key[i]->len == len && memcmp(n->key[i]->text, p, len) == 0)
				return n->item[i];
	} else if (n->type == Y_LIST && len > 0 && len < 8 && strspn(p, "0123456789") >= len) {
		size_t i = strtoul(p, NULL, 10);

		return i < n->n ? n->item[i] : NULL;
	}
	return NULL;
}

const struct ynode *
yaml_path(const struct ynode *n, const char *path)
{
	while (n != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");

		n = path_step(n, path, len);
		path += len + (path[len] == '.');
	}
	return n;
}

/* What a plain (unquoted) scalar means: YAML 1.2's null and bool, JSON's numerals; all else is text. */
static enum ytype
plain_type(const char *s, size_t n)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" }, *const bools[] = { "true", "True", "TRUE", "false", "False", "FALSE" };
	int plain;

	if (strlen(s) != n)
		return Y_TEXT;
	for (size_t i = 0; i < SP_NELEMS(nulls); i++)
		if (strcmp(s, nulls[i]) == 0)
			return Y_NULL;
	for (size_t i = 0; i < SP_NELEMS(bools); i++)
		if (strcmp(s, bools[i]) == 0)
			return Y_BOOL;
	return num_scan(s, n, &plain) == n && n < 100 ? Y_NUMBER : Y_TEXT;
}

static enum sp_err
node_new(struct loader *l, const yaml_event_t *ev, enum ytype type, struct ynode **ret)
{
	unsigned line = (unsigned)ev->start_mark.line + 1;
	struct ynode *n;

	if (++l->nodes > YAML_NODES)
		return rules_error(l->err, SP_ESIZE, l->file, line, "more than %d values in one file", YAML_NODES);
	if ((n = arena_alloc(l->a, sizeof(*n))) == NULL)
		return SP_ENOMEM;
	n->type = type;
	n->line = line;
	*ret = n;
	return SP_OK;
}

static enum sp_err
check_tag(struct loader *l, const yaml_event_t *ev, const yaml_char_t *tag, const char *ok)
{
	if (tag == NULL || strcmp((const char *)tag, ok) == 0)
		return SP_OK;
	return rules_error(l->err, SP_EFORMAT, l->file, (unsigned)ev->start_mark.line + 1, "the tag %.60s is not used in rules", (const char *)tag);
}

static enum sp_err
take_scalar(struct loader *l, const yaml_event_t *ev, struct ynode **ret)
{
	const char *s = (const char *)ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	int plain = ev->data.scalar.plain_implicit && ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	char num[NUM_TEXT_MAX];
	struct ynode *n = NULL;
	enum sp_err r;

	if ((r = check_tag(l, ev, ev->data.scalar.tag, YAML_STR_TAG)) != SP_OK || (r = node_new(l, ev, Y_TEXT, &n)) != SP_OK)
		return r;
	if (plain)
		n->type = plain_type(s, len);
	if (n->type == Y_NUMBER) {
		len = num_canonical(s, len, num);
		s = num;
	}
	if ((n->text = arena_strndup(l->a, s, len)) == NULL)
		return SP_ENOMEM;
	n->len = len;
	*ret = n;
	return SP_OK;
}

static enum sp_err
next_event(struct loader *l, yaml_event_t *ev)
{
	if (yaml_parser_parse(&l->parser, ev))
		return SP_OK;
	if (l->parser.error == YAML_MEMORY_ERROR)
		return SP_ENOMEM;
	return rules_error(l->err, SP_EFORMAT, l->file, (unsigned)l->parser.problem_mark.line + 1, "not YAML: %s%s%s",
	    l->parser.problem != NULL ? l->parser.problem : "cannot be read", l->parser.context != NULL ? ", " : "",
	    l->parser.context != NULL ? l->parser.context : "");
}

static enum sp_err	take_node(struct loader *, yaml_event_t *, unsigned depth, struct ynode **ret);

static enum sp_err
next_node(struct loader *l, unsigned depth, enum yaml_event_type_e end, struct ynode **ret)
{
	yaml_event_t ev;
	enum sp_err r;

	if ((r = next_event(l, &ev)) != SP_OK)
		return r;
	if (ev.type == end)
		*ret = NULL;
	else
		r = take_node(l, &ev, depth, ret);
	yaml_event_delete(&ev);
	return r;
}

static enum sp_err
add_child(struct loader *l, struct ynode *n, struct ynode *key, struct ynode *item)
{
	void *p;

	if (key != NULL) {
		if ((p = arena_grow(l->a, n->key, n->n, sizeof(*n->key))) == NULL)
			return SP_ENOMEM;
		n->key = p;
		n->key[n->n] = key;
	}
	if ((p = arena_grow(l->a, n->item, n->n, sizeof(*n->item))) == NULL)
		return SP_ENOMEM;
	n->item = p;
	n->item[n->n++] = item;
	return SP_OK;
}

static int
by_text(const void *a, const void *b)
{
	const struct ynode *x = *(const struct ynode *const *)a, *y = *(const struct ynode *const *)b;
	int c = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

static enum sp_err
check_twice(struct loader *l, const struct ynode *n)
{
	const struct ynode **sorted;
	size_t i;

	if (n->n < 2)
		return SP_OK;
	if ((sorted = malloc(n->n * sizeof(*sorted))) == NULL)
		return SP_ENOMEM;
	memcpy(sorted, n->key, n->n * sizeof(*sorted));
	qsort(sorted, n->n, sizeof(*sorted), by_text);
	for (i = 1; i < n->n && by_text(&sorted[i - 1], &sorted[i]) != 0; i++)
		;
	const struct ynode *twice = i < n->n ? sorted[i] : NULL;

	free(sorted);
	return twice == NULL ? SP_OK :
	    rules_error(l->err, SP_EFORMAT, l->file, twice->line, "the key \"%.80s\" comes twice in one mapping", twice->text);
}

static enum sp_err
take_list(struct loader *l, yaml_event_t *ev, unsigned depth, struct ynode **ret)
{
	struct ynode *n = NULL, *item;
	enum sp_err r;

	if ((r = check_tag(l, ev, ev->data.sequence_start.tag, YAML_SEQ_TAG)) != SP_OK || (r = node_new(l, ev, Y_LIST, &n)) != SP_OK)
		return r;
	while ((r = next_node(l, depth + 1, YAML_SEQUENCE_END_EVENT, &item)) == SP_OK && item != NULL)
		if ((r = add_child(l, n, NULL, item)) != SP_OK)
			return r;
	if (r == SP_OK)
		*ret = n;
	return r;
}

static enum sp_err
take_map(struct loader *l, yaml_event_t *ev, unsigned depth, struct ynode **ret)
{
	struct ynode *n = NULL, *key, *item;
	enum sp_err r;

	if ((r = check_tag(l, ev, ev->data.mapping_start.tag, YAML_MAP_TAG)) != SP_OK || (r = node_new(l, ev, Y_MAP, &n)) != SP_OK)
		return r;
	while ((r = next_node(l, depth + 1, YAML_MAPPING_END_EVENT, &key)) == SP_OK && key != NULL) {
		if (!yaml_is_scalar(key))
			return rules_error(l->err, SP_EFORMAT, l->file, key->line, "a key must be text");
		if ((r = next_node(l, depth + 1, YAML_NO_EVENT, &item)) != SP_OK || (r = add_child(l, n, key, item)) != SP_OK)
			return r;
	}
	if (r == SP_OK && (r = check_twice(l, n)) == SP_OK)
		*ret = n;
	return r;
}

static enum sp_err
take_node(struct loader *l, yaml_event_t *ev, unsigned depth, struct ynode **ret)
{
	unsigned line = (unsigned)ev->start_mark.line + 1;

	if (depth > YAML_DEPTH)
		return rules_error(l->err, SP_ESIZE, l->file, line, "nested deeper than %d levels", YAML_DEPTH);
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		return take_scalar(l, ev, ret);
	case YAML_SEQUENCE_START_EVENT:
		return take_list(l, ev, depth, ret);
	case YAML_MAPPING_START_EVENT:
		return take_map(l, ev, depth, ret);
	case YAML_ALIAS_EVENT:
		return rules_error(l->err, SP_EFORMAT, l->file, line, "aliases (*%.40s) are not accepted: write the value out",
		    (const char *)ev->data.alias.anchor);
	default:
		return rules_error(l->err, SP_EFORMAT, l->file, line, "not YAML: a value is missing");
	}
}

static enum sp_err
take_stream(struct loader *l, const struct ynode ***ret, size_t *ret_n)
{
	const struct ynode **docs = NULL;
	size_t n = 0;

	for (;;) {
		struct ynode *root;
		yaml_event_t ev;
		enum yaml_event_type_e type;
		enum sp_err r = next_event(l, &ev);

		if (r != SP_OK)
			return r;
		type = ev.type;
		if (type == YAML_STREAM_END_EVENT) {
			yaml_event_delete(&ev);
			break;
		}
		if (type != YAML_DOCUMENT_START_EVENT) {
			yaml_event_delete(&ev);
			continue;
		}
		yaml_event_delete(&ev);
		if ((r = next_node(l, 0, YAML_NO_EVENT, &root)) != SP_OK)
			return r;
		if (root->type == Y_NULL)
			continue;	/* "---" with nothing behind it */
		if (n == SP_RULES_N_MAX)
			return rules_error(l->err, SP_ESIZE, l->file, root->line, "more than %d documents", SP_RULES_N_MAX);
		void *p = arena_grow(l->a, docs, n, sizeof(*docs));

		if (p == NULL)
			return SP_ENOMEM;
		docs = p;
		docs[n++] = root;
	}
	*ret = docs;
	*ret_n = n;
	return SP_OK;
}

static enum sp_err
check_utf8(const char *file, const uint8_t *p, size_t n, struct sp_rules_error *err)
{
	unsigned line = 1;
	uint32_t c;

	for (size_t i = 0, k; i < n; i += k) {
		if ((k = p[i] < 0x80 ? 1 : sp_utf8_next(p + i, n - i, &c)) == 0)
			return rules_error(err, SP_EFORMAT, file, line, "not UTF-8");
		line += p[i] == '\n';
	}
	return SP_OK;
}

enum sp_err
yaml_parse(struct arena *a, const char *file, const void *text, size_t len, const struct ynode ***ret, size_t *ret_n,
    struct sp_rules_error *err)
{
	struct loader l = { .a = a, .file = file, .err = err };
	enum sp_err r;

	if (len > SP_RULES_FILE_MAX)
		return rules_error(err, SP_ESIZE, file, 0, "larger than %zu MiB", SP_RULES_FILE_MAX >> 20);
	if ((r = check_utf8(file, text, len, err)) != SP_OK)
		return r;
	if (!yaml_parser_initialize(&l.parser))
		return SP_ENOMEM;
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l.parser, text, len);
	r = take_stream(&l, ret, ret_n);
	yaml_parser_delete(&l.parser);
	return r;
}
