/* lib/rules/corrgroup.c - the entries of one group of a correlation: a list by time, in one array.
 * A count needs no more entries than its condition asks for: whether 3 events lie in a window is known from the newest 3, whether
 * 1,000 different values do from the 1,000 last seen. So the memory of counts is bounded by the rule, not by the stream. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rules/corrstate.h"

/* ---- groups ---- */

static void
account(struct sp_corr *c, struct group *g, size_t bytes)
{
	c->stats.memory = c->stats.memory - g->memory + bytes;
	g->memory = bytes;
}

static size_t
weight(const struct corr *k, const struct group *g)
{
	return sizeof(*g) + g->key_len + 64 + g->cap * sizeof(*g->e) + g->n_buckets * sizeof(*g->bucket) +
	    (g->sorted != NULL ? g->cap * sizeof(*g->sorted) : 0) + (g->stage != NULL ? k->def->n_ref * sizeof(*g->stage) : 0);
}

void
group_free(struct sp_corr *c, struct corr *k, struct group *g)
{
	account(c, g, 0);
	c->stats.groups--;
	sp_htab_remove(&k->groups, &g->node);
	sp_list_remove(&g->lru);
	sp_list_remove(&g->window);
	free(g->e);
	free(g->bucket);
	free(g->sorted);
	free(g->stage);
	free(g);
}

static void
evict_one(struct sp_corr *c, struct corr *k)
{
	struct group *g = sp_container(k->lru.next, struct group, lru);

	if (sp_list_empty(&k->lru) || g->busy)
		return;
	c->stats.evicted++;
	group_free(c, k, g);
}

struct group *
group_get(struct sp_corr *c, struct corr *k, const uint8_t *key, size_t len)
{
	struct sp_hnode *h = sp_htab_find(&k->groups, key, len);
	struct group *g;

	if (h != NULL) {
		g = sp_container(h, struct group, node);
		sp_list_remove(&g->lru);
		sp_list_add_tail(&k->lru, &g->lru);
		return g;
	}
	if (k->groups.n >= c->limit.groups)
		evict_one(c, k);
	if ((g = calloc(1, sizeof(*g) + len)) == NULL)
		return NULL;
	memcpy(g->key, key, len);
	g->key_len = len;
	g->last = g->quiet_until = g->start = CORR_NEVER;
	g->head = g->tail = g->free = NIL;
	sp_list_init(&g->window);
	if (sp_htab_insert(&k->groups, &g->node, g->key, len) != SP_OK) {
		free(g);
		return NULL;
	}
	sp_list_add_tail(&k->lru, &g->lru);
	c->stats.groups++;
	account(c, g, weight(k, g));
	return g;
}

/* The group untouched longest, of the correlation whose such group is oldest. */
void
corr_make_room(struct sp_corr *c)
{
	while (c->stats.memory > c->limit.memory) {
		struct corr *oldest = NULL;
		int64_t at = 0;
		uint64_t before = c->stats.memory;

		for (size_t i = 0; i < c->n; i++) {
			struct group *g = sp_container(c->corr[i].lru.next, struct group, lru);

			if (sp_list_empty(&c->corr[i].lru) || g->busy || (oldest != NULL && g->last >= at))
				continue;
			at = g->last;
			oldest = &c->corr[i];
		}
		if (oldest != NULL)
			evict_one(c, oldest);
		if (c->stats.memory == before)
			return;
	}
}

void
window_place(struct corr *k, struct group *g)
{
	struct sp_list *at = k->windows.prev;

	sp_list_remove(&g->window);
	while (at != &k->windows && sp_container(at, struct group, window)->start > g->start)
		at = at->prev;
	sp_list_add_tail(at->next, &g->window);	/* behind `at` */
}

/* ---- entries ---- */

static uint32_t *
bucket_of(struct group *g, uint64_t hash)
{
	return &g->bucket[hash & (g->n_buckets - 1)];
}

static void
hash_remove(struct group *g, uint32_t i)
{
	uint32_t *p = bucket_of(g, g->e[i].hash);

	while (*p != i)
		p = &g->e[*p].chain;
	*p = g->e[i].chain;
}

static uint32_t
hash_find(struct group *g, uint64_t hash)
{
	uint32_t i = g->n_buckets > 0 ? *bucket_of(g, hash) : NIL;

	while (i != NIL && g->e[i].hash != hash)
		i = g->e[i].chain;
	return i;
}

static void
unlink_entry(struct group *g, uint32_t i)
{
	struct entry *e = &g->e[i];

	if (e->prev != NIL)
		g->e[e->prev].next = e->next;
	else
		g->head = e->next;
	if (e->next != NIL)
		g->e[e->next].prev = e->prev;
	else
		g->tail = e->prev;
}

static void
link_entry(struct group *g, uint32_t i)
{
	struct entry *e = &g->e[i];
	uint32_t at = g->tail;

	while (at != NIL && g->e[at].t > e->t)	/* late events are few, and not very late */
		at = g->e[at].prev;
	e->prev = at;
	e->next = at != NIL ? g->e[at].next : g->head;
	if (e->next != NIL)
		g->e[e->next].prev = i;
	else
		g->tail = i;
	if (at != NIL)
		g->e[at].next = i;
	else
		g->head = i;
}

/* Where v is, or would be, among the sorted values. */
static uint32_t
sorted_place(const struct group *g, double v)
{
	uint32_t lo = 0, hi = g->n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (g->sorted[mid] < v)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
drop_entry(const struct corr *k, struct group *g, uint32_t i)
{
	struct entry *e = &g->e[i];

	if (k->def->type == CORR_VALUE_COUNT) {
		hash_remove(g, i);
	} else {
		g->sum -= (long double)e->v;
		if (g->sorted != NULL) {
			uint32_t at = sorted_place(g, e->v);

			memmove(g->sorted + at, g->sorted + at + 1, (g->n - at - 1) * sizeof(*g->sorted));
		}
	}
	unlink_entry(g, i);
	e->next = g->free;
	g->free = i;
	if (--g->n == 0)
		g->sum = 0;	/* no rounding is carried on for ever */
}

void
group_expire(struct sp_corr *c, struct corr *k, struct group *g, int64_t until)
{
	while (g->head != NIL && g->e[g->head].t <= until)
		drop_entry(k, g, g->head);
}

void
group_clear(struct sp_corr *c, struct corr *k, struct group *g)
{
	while (g->head != NIL)
		drop_entry(k, g, g->head);
	for (size_t i = 0; g->stage != NULL && i < k->def->n_ref; i++)
		g->stage[i] = (struct stage){ CORR_NEVER, CORR_NEVER, 0 };
}

static int
rehash(struct group *g, uint32_t n)
{
	uint32_t *p = malloc(n * sizeof(*p));

	if (p == NULL)
		return 0;
	free(g->bucket);
	g->bucket = p;
	g->n_buckets = n;
	for (uint32_t i = 0; i < n; i++)
		p[i] = NIL;
	for (uint32_t i = g->head; i != NIL; i = g->e[i].next) {
		uint32_t *b = bucket_of(g, g->e[i].hash);

		g->e[i].chain = *b;
		*b = i;
	}
	return 1;
}

static int
grow(struct sp_corr *c, struct corr *k, struct group *g)
{
	uint32_t cap = g->cap == 0 ? 4 : g->cap * 2;
	void *p = realloc(g->e, cap * sizeof(*g->e));

	if (p == NULL)
		return 0;
	g->e = p;
	if (k->def->type == CORR_VALUE_PERCENTILE) {
		if ((p = realloc(g->sorted, cap * sizeof(*g->sorted))) == NULL)
			return 0;
		g->sorted = p;
	}
	if (k->def->type == CORR_VALUE_COUNT && !rehash(g, cap))
		return 0;
	for (uint32_t i = g->cap; i < cap; i++) {
		g->e[i].next = g->free;
		g->free = i;
	}
	g->cap = cap;
	account(c, g, weight(k, g));
	corr_make_room(c);
	return 1;
}

/* The value was seen before: only its time moves on. */
static void
seen_again(struct group *g, uint32_t i, int64_t t, uint64_t ref)
{
	if (t < g->e[i].t)
		return;
	unlink_entry(g, i);
	g->e[i].t = t;
	g->e[i].ref = ref;
	link_entry(g, i);
}

static uint32_t
most_entries(const struct sp_corr *c, const struct corrdef *d)
{
	return d->type == CORR_EVENT_COUNT || d->type == CORR_VALUE_COUNT ? d->need : c->limit.entries;
}

enum sp_err
group_add(struct sp_corr *c, struct corr *k, struct group *g, int64_t t, uint64_t ref, uint64_t hash, double v)
{
	const struct corrdef *d = k->def;
	uint32_t i;

	if (d->type == CORR_VALUE_COUNT && (i = hash_find(g, hash)) != NIL) {
		seen_again(g, i, t, ref);
		return SP_OK;
	}
	if (g->n >= most_entries(c, d)) {
		c->stats.oversize += d->type != CORR_EVENT_COUNT && d->type != CORR_VALUE_COUNT;
		if (g->e[g->head].t > t)
			return SP_OK;	/* older than all that are needed */
		drop_entry(k, g, g->head);
	}
	if (g->free == NIL && !grow(c, k, g))
		return SP_ENOMEM;
	i = g->free;
	g->free = g->e[i].next;
	g->e[i].t = t;
	g->e[i].ref = ref;
	if (d->type == CORR_VALUE_COUNT) {
		uint32_t *b = bucket_of(g, hash);

		g->e[i].hash = hash;
		g->e[i].chain = *b;
		*b = i;
	} else {
		g->e[i].v = v;
		g->sum += (long double)v;
	}
	if (g->sorted != NULL) {
		uint32_t at = sorted_place(g, v);

		memmove(g->sorted + at + 1, g->sorted + at, (g->n - at) * sizeof(*g->sorted));
		g->sorted[at] = v;
	}
	link_entry(g, i);
	g->n++;
	return SP_OK;
}

enum sp_err
group_stages(struct sp_corr *c, struct corr *k, struct group *g)
{
	if (g->stage != NULL)
		return SP_OK;
	if ((g->stage = malloc(k->def->n_ref * sizeof(*g->stage))) == NULL)
		return SP_ENOMEM;
	group_clear(c, k, g);
	account(c, g, weight(k, g));
	corr_make_room(c);
	return SP_OK;
}

/* Linear between the two nearest ranks, as spreadsheets do. n > 0. */
double
group_percentile(const struct group *g, double percent)
{
	double at = percent / 100 * (g->n - 1), low = floor(at);
	uint32_t i = (uint32_t)low;

	return i + 1 >= g->n ? g->sorted[g->n - 1] : g->sorted[i] + (g->sorted[i + 1] - g->sorted[i]) * (at - low);
}
