/* src/gate/rate.c - see rate.h.
 * Invariants: (1) t->n <= RATE_MAX. (2) A source that is forgotten because the table is full comes back with a full
 * bucket: who can use 16384 sources is not held up by a limit per source, the limits of the zygote hold him. */
#include "gate/rate.h"

#include <stdlib.h>

#include "base/clock.h"

enum sp_err
rate_init(struct rate_table *t, double per_s, double burst)
{
	enum sp_err r;

	*t = (struct rate_table){ .per_s = per_s, .burst = burst };
	sp_list_init(&t->recent);
	if ((t->slot = calloc(RATE_MAX, sizeof(t->slot[0]))) == NULL)
		return SP_ENOMEM;
	if ((r = sp_htab_init(&t->by_src)) != SP_OK) {
		free(t->slot);
		t->slot = NULL;
	}
	return r;
}

void
rate_release(struct rate_table *t)
{
	if (t->slot != NULL)
		sp_htab_release(&t->by_src);
	free(t->slot);
	t->slot = NULL;
}

void
rate_set(struct rate_table *t, double per_s, double burst)
{
	t->per_s = per_s;
	t->burst = burst;
}

static struct rate *
rate_get(struct rate_table *t, const struct gate_source *src, uint64_t now_us)
{
	struct sp_hnode *n = sp_htab_find(&t->by_src, src->b, sizeof(src->b));
	struct rate *e;

	if (n != NULL) {
		e = sp_container(n, struct rate, node);
		sp_list_remove(&e->link);
		sp_list_add_tail(&t->recent, &e->link);
		return e;
	}
	if (t->n < RATE_MAX)
		e = &t->slot[t->n++];
	else {
		e = sp_container(t->recent.next, struct rate, link);
		sp_htab_remove(&t->by_src, &e->node);
		sp_list_remove(&e->link);
	}
	*e = (struct rate){ .src = *src, .at_us = now_us, .tokens = t->burst };
	sp_list_init(&e->link);
	sp_list_add_tail(&t->recent, &e->link);
	return sp_htab_insert(&t->by_src, &e->node, e->src.b, sizeof(e->src.b)) == SP_OK ? e : NULL;
}

int
rate_take(struct rate_table *t, const struct gate_source *src, uint64_t now_us)
{
	struct rate *e = rate_get(t, src, now_us);

	if (e == NULL)
		return 1;	/* no memory for its key: others limit too */
	if (now_us > e->at_us) {
		e->tokens += (double)(now_us - e->at_us) / (double)SP_US_PER_S * t->per_s;
		e->at_us = now_us;
	}
	if (e->tokens > t->burst)
		e->tokens = t->burst;
	if (e->tokens < 1)
		return 0;
	e->tokens -= 1;
	return 1;
}
