/* src/control/factor.c - see factor.h. Process: control. */
#include "control/factor.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/netaddr.h"

#define WAIT_FIRST_US	(10 * SP_US_PER_S)
#define WAIT_MAX_US	(900 * SP_US_PER_S)
#define WINDOW_US	(3600 * SP_US_PER_S)

struct key {			/* user and source, or user alone, or user and connection */
	uint8_t	b[SP_UUID_LEN + SP_NETADDR_SIZE + 1];
	size_t	len;
};
struct proof {
	struct sp_hnode	node;
	struct key	key;
	int64_t		at_us;	/* may be before the machine's start */
};
struct used {			/* a factor's last step, or a recovery code */
	struct sp_hnode	node;
	struct key	key;
	int64_t		step;
	uint64_t	at_us;
	int		late;	/* the store is yet to hear of it */
};
struct guess {
	struct sp_hnode	node;
	struct key	key;
	uint64_t	since_us, last_us, until_us;
	unsigned	n, shared;	/* shared: how many of them the user's entry counts, too */
};

static struct key
key_source(const struct sp_uuid *user, const char *source)
{
	struct key k = { .len = SP_UUID_LEN + 1 };
	size_t n = strlen(source);

	memcpy(k.b, user->b, SP_UUID_LEN);
	k.b[SP_UUID_LEN] = 's';
	n = n < SP_NETADDR_SIZE ? n : SP_NETADDR_SIZE;
	memcpy(k.b + k.len, source, n);
	k.len += n;
	return k;
}

static struct key
key_conn(const struct sp_uuid *user, const struct sp_uuid *conn)
{
	struct key k = { .len = 2 * SP_UUID_LEN + 1 };

	memcpy(k.b, user->b, SP_UUID_LEN);
	k.b[SP_UUID_LEN] = 'c';
	memcpy(k.b + SP_UUID_LEN + 1, conn->b, SP_UUID_LEN);
	return k;
}

/* ---- proofs */

enum sp_err
factors_init(struct factors *f)
{
	enum sp_err r;

	if ((r = sp_htab_init(&f->proofs)) != SP_OK || (r = sp_htab_init(&f->guesses)) != SP_OK)
		return r;
	return sp_htab_init(&f->used);
}

static void
proof_set(struct factors *f, const struct key *k, int64_t at_us)
{
	struct sp_hnode *n = sp_htab_find(&f->proofs, k->b, k->len);
	struct proof *p;

	if (n != NULL) {
		p = sp_container(n, struct proof, node);
		p->at_us = at_us > p->at_us ? at_us : p->at_us;
		return;
	}
	if (f->proofs.n >= FACTOR_PROOFS_MAX || (p = calloc(1, sizeof(*p))) == NULL)
		return;			/* asked again */
	p->key = *k;
	p->at_us = at_us;
	if (sp_htab_insert(&f->proofs, &p->node, p->key.b, p->key.len) != SP_OK)
		free(p);
}

void
factors_proved(struct factors *f, const struct sp_uuid *user, const char *source, const struct sp_uuid *conn, uint64_t now_us)
{
	struct key s = key_source(user, source), c = key_conn(user, conn);

	proof_set(f, &s, (int64_t)now_us);
	proof_set(f, &c, (int64_t)now_us);
}

void
factors_restore(struct factors *f, const struct sp_uuid *user, const char *source, const struct sp_uuid *conn, uint64_t age_us,
    uint64_t now_us)
{
	struct key s = key_source(user, source), c = key_conn(user, conn);

	if (age_us >= FACTOR_KNOWN_S * SP_US_PER_S)
		return;
	proof_set(f, &s, (int64_t)now_us - (int64_t)age_us);
	proof_set(f, &c, (int64_t)now_us - (int64_t)age_us);
}

static int
proof_within(const struct factors *f, const struct key *k, int64_t seconds, uint64_t now_us)
{
	struct sp_hnode *n = sp_htab_find(&f->proofs, k->b, k->len);
	const struct proof *p = n != NULL ? sp_container(n, struct proof, node) : NULL;

	return p != NULL && (int64_t)now_us >= p->at_us && (int64_t)now_us - p->at_us < seconds * (int64_t)SP_US_PER_S;
}

int
factors_fresh(const struct factors *f, const struct sp_uuid *user, const char *source, const struct sp_uuid *conn,
    int64_t interval_s, uint64_t now_us)
{
	struct key s = key_source(user, source), c = key_conn(user, conn);

	if (interval_s == FACTOR_NEVER)
		return 1;
	if (interval_s == 0)
		return proof_within(f, &c, FACTOR_LONGEST_S, now_us);
	return proof_within(f, &s, interval_s, now_us) || proof_within(f, &c, interval_s, now_us);
}

struct forget {
	struct factors		*f;
	const struct sp_uuid	*user;
	int			 had;
};

static void
forget_one(struct sp_hnode *n, void *arg)
{
	struct forget *w = arg;
	struct proof *p = sp_container(n, struct proof, node);

	if (memcmp(p->key.b, w->user->b, SP_UUID_LEN) != 0)
		return;
	sp_htab_remove(&w->f->proofs, n);
	free(p);
	w->had = 1;
}

int
factors_forget(struct factors *f, const struct sp_uuid *user)
{
	struct forget w = { f, user, 0 };

	sp_htab_each(&f->proofs, forget_one, &w);
	return w.had;
}

/* ---- what is used up */

static struct key
key_used(const struct sp_uuid *factor, const struct sp_uuid *recovery)
{
	struct key k = { .len = SP_UUID_LEN + 1 };

	memcpy(k.b, recovery != NULL ? recovery->b : factor->b, SP_UUID_LEN);
	k.b[SP_UUID_LEN] = recovery != NULL ? 'r' : 't';
	return k;
}

static struct used *
used_find(const struct factors *f, const struct key *k)
{
	struct sp_hnode *n = sp_htab_find(&f->used, k->b, k->len);

	return n != NULL ? sp_container(n, struct used, node) : NULL;
}

enum sp_err
factors_use(struct factors *f, const struct sp_uuid *factor, int64_t step, const struct sp_uuid *recovery, int late, uint64_t now_us)
{
	struct key k = key_used(factor, recovery);
	struct used *u = used_find(f, &k);
	enum sp_err r;

	if (u != NULL && (recovery != NULL || step <= u->step))
		return SP_EDENIED;
	if (u == NULL) {
		if (f->used.n >= FACTOR_USED_MAX)
			return SP_EFULL;
		if ((u = calloc(1, sizeof(*u))) == NULL)
			return SP_ENOMEM;
		u->key = k;
		if ((r = sp_htab_insert(&f->used, &u->node, u->key.b, u->key.len)) != SP_OK) {
			free(u);
			return r;
		}
	}
	u->step = step;
	u->at_us = now_us;
	u->late = late;
	return SP_OK;
}

void
factors_written(struct factors *f, const struct sp_uuid *factor, int64_t step, const struct sp_uuid *recovery)
{
	struct key k = key_used(factor, recovery);
	struct used *u = used_find(f, &k);

	if (u != NULL && (recovery != NULL || u->step <= step))
		u->late = 0;
}

void
factors_late(struct factors *f, const struct sp_uuid *factor, int64_t step, const struct sp_uuid *recovery)
{
	struct key k = key_used(factor, recovery);
	struct used *u = used_find(f, &k);

	if (u != NULL && (recovery != NULL || u->step <= step))
		u->late = 1;
}

/* ---- guesses */

/* The entry of a key, made if need be; its window starts anew when it is over. NULL: no room. */
static struct guess *
guess_get(struct factors *f, const struct key *k, uint64_t now_us)
{
	struct sp_hnode *n = sp_htab_find(&f->guesses, k->b, k->len);
	struct guess *g = n != NULL ? sp_container(n, struct guess, node) : NULL;

	if (g == NULL) {
		if (f->guesses.n >= FACTOR_GUESSES_MAX || (g = calloc(1, sizeof(*g))) == NULL)
			return NULL;
		g->key = *k;
		g->since_us = g->last_us = now_us;
		if (sp_htab_insert(&f->guesses, &g->node, g->key.b, g->key.len) != SP_OK) {
			free(g);
			return NULL;
		}
	}
	return g;
}

static void
guess_restart(struct guess *g, uint64_t from_us, uint64_t now_us)
{
	if (now_us - from_us < WINDOW_US)
		return;
	g->since_us = now_us;
	g->n = g->shared = 0;
	g->until_us = 0;
}

/* An entry that says nothing any more makes room. */
static void
guess_drop_empty(struct factors *f, struct guess *g)
{
	if (g == NULL || g->n > 0 || g->until_us != 0)
		return;
	sp_htab_remove(&f->guesses, &g->node);
	free(g);
}

static uint64_t
guess_wait(unsigned n)
{
	unsigned over = n - FACTOR_FREE;
	uint64_t us = WAIT_FIRST_US << (over < 10 ? over : 10);

	return us < WAIT_MAX_US ? us : WAIT_MAX_US;
}

enum sp_err
factors_try(struct factors *f, const struct sp_uuid *user, const char *source, uint64_t now_us)
{
	struct key s = key_source(user, source), u = key_source(user, "");
	struct guess *here, *all = guess_get(f, &u, now_us);
	int known = proof_within(f, &s, FACTOR_KNOWN_S, now_us);

	if (all == NULL)
		return SP_EFULL;
	guess_restart(all, all->since_us, now_us);
	/* A place that may not try gets no entry: one user with a network of addresses would fill the table for all. */
	if (!known && all->n >= FACTOR_USER_MAX && sp_htab_find(&f->guesses, s.b, s.len) == NULL)
		return SP_EFULL;
	if ((here = guess_get(f, &s, now_us)) == NULL)
		return SP_EFULL;
	guess_restart(here, here->last_us, now_us);
	if (now_us < here->until_us)
		return SP_EBUSY;
	if (!known && all->n >= FACTOR_USER_MAX)
		return SP_EFULL;
	here->last_us = all->last_us = now_us;
	if (++here->n >= FACTOR_FREE)
		here->until_us = now_us + guess_wait(here->n);
	all->n += !known;
	here->shared += !known;
	return SP_OK;
}

void
factors_untry(struct factors *f, const struct sp_uuid *user, const char *source, int right)
{
	struct key s = key_source(user, source), u = key_source(user, "");
	struct sp_hnode *a = sp_htab_find(&f->guesses, s.b, s.len), *b = sp_htab_find(&f->guesses, u.b, u.len);
	struct guess *here = a != NULL ? sp_container(a, struct guess, node) : NULL;
	struct guess *all = b != NULL ? sp_container(b, struct guess, node) : NULL;
	unsigned back, shared;

	if (here == NULL)
		return;
	back = right ? here->n : here->n > 0;
	shared = right ? here->shared : here->shared > 0;
	if (all != NULL)
		all->n -= all->n < shared ? all->n : shared;
	here->n -= back;
	here->shared -= shared;
	here->until_us = 0;
	guess_drop_empty(f, here);
	guess_drop_empty(f, all);
}

struct sweep {
	struct factors	*f;
	uint64_t	 now_us;
};

static void
sweep_proof(struct sp_hnode *n, void *arg)
{
	const struct sweep *w = arg;
	struct proof *p = sp_container(n, struct proof, node);

	if ((int64_t)w->now_us - p->at_us < (int64_t)(FACTOR_KNOWN_S * SP_US_PER_S))
		return;
	sp_htab_remove(&w->f->proofs, n);
	free(p);
}

static void
sweep_used(struct sp_hnode *n, void *arg)
{
	const struct sweep *w = arg;
	struct used *u = sp_container(n, struct used, node);

	if (u->late || w->now_us - u->at_us < FACTOR_USED_S * SP_US_PER_S)
		return;
	sp_htab_remove(&w->f->used, n);
	free(u);
}

static void
sweep_guess(struct sp_hnode *n, void *arg)
{
	const struct sweep *w = arg;
	struct guess *g = sp_container(n, struct guess, node);

	if (w->now_us - g->last_us < WINDOW_US || w->now_us < g->until_us)
		return;
	sp_htab_remove(&w->f->guesses, n);
	free(g);
}

void
factors_sweep(struct factors *f, uint64_t now_us)
{
	struct sweep w = { f, now_us };

	sp_htab_each(&f->proofs, sweep_proof, &w);
	sp_htab_each(&f->guesses, sweep_guess, &w);
	sp_htab_each(&f->used, sweep_used, &w);
}

static void
free_proof(struct sp_hnode *n, void *arg)
{
	struct factors *f = arg;

	sp_htab_remove(&f->proofs, n);
	free(sp_container(n, struct proof, node));
}

static void
free_used(struct sp_hnode *n, void *arg)
{
	struct factors *f = arg;

	sp_htab_remove(&f->used, n);
	free(sp_container(n, struct used, node));
}

static void
free_guess(struct sp_hnode *n, void *arg)
{
	struct factors *f = arg;

	sp_htab_remove(&f->guesses, n);
	free(sp_container(n, struct guess, node));
}

void
factors_release(struct factors *f)
{
	sp_htab_each(&f->proofs, free_proof, f);
	sp_htab_each(&f->guesses, free_guess, f);
	sp_htab_each(&f->used, free_used, f);
	sp_htab_release(&f->proofs);
	sp_htab_release(&f->guesses);
	sp_htab_release(&f->used);
}
