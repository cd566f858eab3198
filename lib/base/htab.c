/* lib/base/htab.c - see htab.h. Pure but for the seed, drawn once per table from getrandom(2). */
#include "htab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define HTAB_MIN	16

/* 64-bit mix of 8-byte words; the seed makes collisions unpredictable from outside. */
static uint64_t
htab_hash(const struct sp_htab *t, const void *key, size_t n)
{
	const uint8_t *p = key;
	uint64_t h = t->seed ^ (n * UINT64_C(0x9e3779b97f4a7c15));

	while (n > 0) {
		uint64_t w = 0;
		size_t c = n < 8 ? n : 8;

		memcpy(&w, p, c);
		h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
		p += c;
		n -= c;
	}
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

enum sp_err
sp_htab_init(struct sp_htab *t)
{
	*t = (struct sp_htab){ 0 };
	if ((t->bucket = calloc(HTAB_MIN, sizeof(*t->bucket))) == NULL)
		return SP_ENOMEM;
	t->n_buckets = HTAB_MIN;
	while (getrandom(&t->seed, sizeof(t->seed), 0) != (ssize_t)sizeof(t->seed))
		;
	return SP_OK;
}

void
sp_htab_release(struct sp_htab *t)
{
	free(t->bucket);
	*t = (struct sp_htab){ 0 };
}

struct sp_hnode *
sp_htab_find(const struct sp_htab *t, const void *key, size_t key_len)
{
	uint64_t h = htab_hash(t, key, key_len);

	for (struct sp_hnode *n = t->bucket[h & (t->n_buckets - 1)]; n != NULL; n = n->next)
		if (n->hash == h && n->key_len == key_len && memcmp(n->key, key, key_len) == 0)
			return n;
	return NULL;
}

static void
htab_grow(struct sp_htab *t)
{
	size_t m = t->n_buckets * 2;
	struct sp_hnode **b = calloc(m, sizeof(*b));

	if (b == NULL)
		return;		/* longer chains, still correct */
	for (size_t i = 0; i < t->n_buckets; i++)
		for (struct sp_hnode *n = t->bucket[i], *next; n != NULL; n = next) {
			next = n->next;
			n->next = b[n->hash & (m - 1)];
			b[n->hash & (m - 1)] = n;
		}
	free(t->bucket);
	t->bucket = b;
	t->n_buckets = m;
}

enum sp_err
sp_htab_insert(struct sp_htab *t, struct sp_hnode *n, const void *key, size_t key_len)
{
	size_t i;

	if (sp_htab_find(t, key, key_len) != NULL)
		return SP_EEXIST;
	if (t->n >= t->n_buckets)
		htab_grow(t);
	n->hash = htab_hash(t, key, key_len);
	n->key = key;
	n->key_len = key_len;
	i = n->hash & (t->n_buckets - 1);
	n->next = t->bucket[i];
	t->bucket[i] = n;
	t->n++;
	return SP_OK;
}

void
sp_htab_remove(struct sp_htab *t, struct sp_hnode *n)
{
	if (n->key == NULL)
		return;
	for (struct sp_hnode **pp = &t->bucket[n->hash & (t->n_buckets - 1)]; *pp != NULL; pp = &(*pp)->next)
		if (*pp == n) {
			*pp = n->next;
			n->next = NULL;
			n->key = NULL;
			t->n--;
			return;
		}
}

void
sp_htab_each(struct sp_htab *t, void (*fn)(struct sp_hnode *, void *), void *arg)
{
	for (size_t i = 0; i < t->n_buckets; i++)
		for (struct sp_hnode *n = t->bucket[i], *next; n != NULL; n = next) {
			next = n->next;
			fn(n, arg);
		}
}
