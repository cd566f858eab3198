/* lib/rules/fields.c - names of fields as numbers, and the paths through an event that lead to them.
 * A dotted name is a path: "a.b" is found in {"a":{"b":1}} and in {"a.b":1}. */
#include <stdlib.h>
#include <string.h>

#include "rules/set.h"

static uint32_t
path_hash(uint32_t parent, const char *key, size_t len)
{
	uint64_t h = (uint64_t)(parent + 1) * UINT64_C(0x9e3779b97f4a7c15), w;

	for (; len >= 8; key += 8, len -= 8) {
		memcpy(&w, key, 8);
		h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	w = len;
	memcpy(&w, key, len);
	h = (h ^ w ^ (uint64_t)len << 56) * UINT64_C(0xff51afd7ed558ccd);
	return (uint32_t)(h >> 32);
}

uint32_t
path_child(const struct sp_rules *s, uint32_t parent, const char *key, size_t len)
{
	uint32_t h = path_hash(parent, key, len);

	for (uint32_t i = s->bucket[h & s->bucket_mask]; i != 0; i = s->path[i - 1].next) {
		const struct path_node *n = &s->path[i - 1];

		if (n->hash == h && n->parent == parent && n->len == len && memcmp(n->key, key, len) == 0)
			return i - 1;
	}
	return 0;
}

uint32_t
path_walk(const struct sp_rules *s, uint32_t node, const char *key, size_t len)
{
	const char *dot;

	while ((dot = memchr(key, '.', len)) != NULL) {
		if ((node = path_child(s, node, key, (size_t)(dot - key))) == 0)
			return 0;
		len -= (size_t)(dot - key) + 1;
		key = dot + 1;
	}
	return path_child(s, node, key, len);
}

static enum sp_err
rehash(struct sp_rules *s, uint32_t size)
{
	if ((s->bucket = arena_alloc(&s->a, size * sizeof(*s->bucket))) == NULL)
		return SP_ENOMEM;
	s->bucket_mask = size - 1;
	for (size_t i = 1; i < s->n_paths; i++) {
		uint32_t *b = &s->bucket[s->path[i].hash & s->bucket_mask];

		s->path[i].next = *b;
		*b = (uint32_t)i + 1;
	}
	return SP_OK;
}

static enum sp_err
path_add(struct sp_rules *s, uint32_t parent, const char *key, size_t len, uint32_t *ret)
{
	struct path_node *n;
	void *p;

	if ((*ret = path_child(s, parent, key, len)) != 0)
		return SP_OK;
	if ((p = arena_grow(&s->a, s->path, s->n_paths, sizeof(*s->path))) == NULL)
		return SP_ENOMEM;
	s->path = p;
	n = &s->path[s->n_paths];
	*n = (struct path_node){ .parent = parent, .len = (uint32_t)len, .hash = path_hash(parent, key, len) };
	if ((n->key = arena_strndup(&s->a, key, len)) == NULL)
		return SP_ENOMEM;
	n->next = s->bucket[n->hash & s->bucket_mask];
	s->bucket[n->hash & s->bucket_mask] = (uint32_t)s->n_paths + 1;
	s->path[parent].has_children = 1;
	*ret = (uint32_t)s->n_paths++;
	return s->n_paths > s->bucket_mask / 2 ? rehash(s, (s->bucket_mask + 1) * 4) : SP_OK;
}

static enum sp_err
path_bind(struct sp_rules *s, const char *path, uint16_t field)
{
	uint32_t node = 0;
	struct path_node *n;
	enum sp_err r;
	void *p;

	for (size_t len;; path += len + 1) {
		len = strcspn(path, ".");
		if ((r = path_add(s, node, path, len, &node)) != SP_OK)
			return r;
		if (path[len] == '\0')
			break;
	}
	n = &s->path[node];
	if ((p = arena_grow(&s->a, n->field, n->n_fields, sizeof(*n->field))) == NULL)
		return SP_ENOMEM;
	n->field = p;
	n->field[n->n_fields++] = field;
	return SP_OK;
}

enum sp_err
fields_init(struct sp_rules *s)
{
	if ((s->path = arena_grow(&s->a, NULL, 0, sizeof(*s->path))) == NULL)
		return SP_ENOMEM;
	s->path[0].key = "";
	s->n_paths = 1;
	return rehash(s, 256);
}

uint16_t
fields_find(const struct sp_rules *s, const char *name, size_t from)
{
	for (size_t i = from; i < s->n_fields; i++)
		if (strcmp(s->field[i].name, name) == 0)
			return (uint16_t)i;
	return FIELD_NONE;
}

/* The aliases of this name for this product: those make it a field of its own. */
static const char *
alias_product(const struct load *l, const char *name)
{
	for (size_t i = 0; i < l->n_alias; i++)
		if (l->alias[i].product != NULL && l->product != NULL && strcmp(l->alias[i].product, l->product) == 0 &&
		    strcmp(l->alias[i].name, name) == 0)
			return l->alias[i].product;
	return NULL;
}

static int
same_product(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* An existing field at the end of the path of its name: fields are many, names are looked up for each item of each rule. */
static uint16_t
find_bound(const struct sp_rules *s, const char *name, const char *product)
{
	uint32_t node = path_walk(s, 0, name, strlen(name));

	if (node == 0)
		return FIELD_NONE;
	for (size_t i = 0; i < s->path[node].n_fields; i++) {
		const struct field *f = &s->field[s->path[node].field[i]];

		if (same_product(f->product, product) && strcmp(f->name, name) == 0)
			return s->path[node].field[i];
	}
	return FIELD_NONE;
}

enum sp_err
fields_number(struct load *l, unsigned line, const char *name, uint16_t *ret)
{
	struct sp_rules *s = l->set;
	const char *product = alias_product(l, name);
	struct field *f;
	enum sp_err r;
	void *p;

	if ((*ret = find_bound(s, name, product)) != FIELD_NONE)
		return SP_OK;
	if (s->n_fields == FIELDS_MAX)
		return rules_error(l->err, SP_ESIZE, l->file, line, "more than %d different fields", FIELDS_MAX);
	if ((p = arena_grow(&s->a, s->field, s->n_fields, sizeof(*s->field))) == NULL)
		return SP_ENOMEM;
	s->field = p;
	f = &s->field[s->n_fields];
	f->product = product;
	if ((f->name = arena_strndup(&s->a, name, strlen(name))) == NULL)
		return SP_ENOMEM;
	if (product != NULL && (f->product = arena_strndup(&s->a, product, strlen(product))) == NULL)
		return SP_ENOMEM;
	*ret = (uint16_t)s->n_fields++;
	if ((r = path_bind(s, name, *ret)) != SP_OK)
		return r;
	for (size_t i = 0; i < l->n_alias; i++)
		if (strcmp(l->alias[i].name, name) == 0 && (l->alias[i].product == NULL || same_product(l->alias[i].product, product)) &&
		    (r = path_bind(s, l->alias[i].path, *ret)) != SP_OK)
			return r;
	return SP_OK;
}
