/* src/gate/penalty.c - see penalty.h.
 * Invariants: (1) t->n <= PENALTY_MAX. (2) A source appears at most once. (3) When full, the entry nearest its deadline
 * goes first, so a flood of short refusals cannot free a long one. */
#include "gate/penalty.h"

#include <stdlib.h>

enum sp_err
penalty_init(struct penalty_table *t)
{
	enum sp_err r;

	*t = (struct penalty_table){ 0 };
	if ((t->slot = calloc(PENALTY_MAX, sizeof(t->slot[0]))) == NULL)
		return SP_ENOMEM;
	if ((r = sp_htab_init(&t->by_src)) != SP_OK) {
		free(t->slot);
		t->slot = NULL;
	}
	return r;
}

void
penalty_release(struct penalty_table *t)
{
	if (t->slot != NULL)
		sp_htab_release(&t->by_src);
	free(t->slot);
	*t = (struct penalty_table){ 0 };
}

static struct penalty *
penalty_find(const struct penalty_table *t, const struct gate_source *src)
{
	struct sp_hnode *n = sp_htab_find(&t->by_src, src->b, sizeof(src->b));

	return n == NULL ? NULL : sp_container(n, struct penalty, node);
}

/* Puts an entry into slot i, which is free. */
static int
penalty_put(struct penalty_table *t, size_t i, const struct gate_source *src, uint64_t until_us)
{
	struct penalty *p = &t->slot[i];

	*p = (struct penalty){ .src = *src, .until_us = until_us };
	return sp_htab_insert(&t->by_src, &p->node, p->src.b, sizeof(p->src.b)) == SP_OK;
}

/* Keeps the slots in use together: the last one fills the hole. */
static void
penalty_drop(struct penalty_table *t, struct penalty *p)
{
	size_t i = (size_t)(p - t->slot), last = t->n - 1;

	sp_htab_remove(&t->by_src, &p->node);
	if (i != last) {
		struct penalty moved = t->slot[last];

		sp_htab_remove(&t->by_src, &t->slot[last].node);
		(void)penalty_put(t, i, &moved.src, moved.until_us);
	}
	t->n = last;
}

static struct penalty *
penalty_nearest(const struct penalty_table *t)
{
	struct penalty *p = &t->slot[0];

	for (size_t i = 1; i < t->n; i++)
		if (t->slot[i].until_us < p->until_us)
			p = &t->slot[i];
	return p;
}

void
penalty_add(struct penalty_table *t, const struct gate_source *src, uint64_t for_us, uint64_t now_us)
{
	struct penalty *p = penalty_find(t, src);
	uint64_t until = now_us + (for_us < PENALTY_LONGEST_US ? for_us : PENALTY_LONGEST_US);

	if (for_us == 0) {
		if (p != NULL)
			penalty_drop(t, p);
		return;
	}
	if (p != NULL) {
		p->until_us = until > p->until_us ? until : p->until_us;
		return;
	}
	if (t->n == PENALTY_MAX) {
		p = penalty_nearest(t);
		if (p->until_us >= until)
			return;		/* the new one would be the first to go */
		penalty_drop(t, p);
	}
	if (penalty_put(t, t->n, src, until))
		t->n++;
}

int
penalty_is_refused(const struct penalty_table *t, const struct gate_source *src, uint64_t now_us)
{
	const struct penalty *p = penalty_find(t, src);

	return p != NULL && now_us < p->until_us;
}
