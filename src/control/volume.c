/* src/control/volume.c - how much the connections of one user may append to the audit log. Process: control, event loop.
 *
 * Every channel that a user opens, every target and inner connection that he asks for is an entry, allowed or refused, with
 * up to 60 KiB of his own words. A token bucket for each user, over all his connections, bounds what one may write: an
 * allowed opening needs its entry on disk, so beyond the bucket it is refused, and the refusals become one line each
 * VOLUME_SAY_US ("N more of channel.open"). What a granted session goes on to cause (START, END, the use of a credential,
 * events of its recorder, the end of its connection) is always written: it was paid for by the request before it.
 * Invariants: (1) who cannot be counted is refused. (2) A user is in the table once, and only while his bucket is not full
 * or something of him is not said yet: the table is bounded by who is logged in. */
#include "control/volume.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/store.h"

#define SWEEP_US	SP_US_PER_S

struct volume_user {
	struct sp_hnode	node;
	struct sp_uuid	id;
	char		login[SP_STORE_LOGIN_MAX + 1];
	double		tokens;
	uint64_t	at_us;			/* when tokens was right */
	uint64_t	since_us;		/* the first that was not written; 0: none */
	uint64_t	more[VOLUME_KINDS];
};

static const char *const names[VOLUME_KINDS] = { "channel.open", "session.request", "inner.request", "agent.request" };

const char *
volume_kind_name(enum volume_kind kind)
{
	return names[kind];
}

enum sp_err
volume_init(struct volume *v, double per_s, double burst)
{
	*v = (struct volume){ .per_s = per_s, .burst = burst };
	return sp_htab_init(&v->users);
}

static void
user_drop(struct volume *v, struct volume_user *u)
{
	sp_htab_remove(&v->users, &u->node);
	free(u);
}

static void
user_drop_one(struct sp_hnode *n, void *arg)
{
	user_drop(arg, sp_container(n, struct volume_user, node));
}

void
volume_release(struct volume *v)
{
	sp_htab_each(&v->users, user_drop_one, v);
	sp_htab_release(&v->users);
}

void
volume_set(struct volume *v, double per_s, double burst)
{
	v->per_s = per_s;
	v->burst = burst;
}

static void
user_refill(const struct volume *v, struct volume_user *u, uint64_t now_us)
{
	if (now_us > u->at_us) {
		u->tokens += (double)(now_us - u->at_us) / (double)SP_US_PER_S * v->per_s;
		u->at_us = now_us;
	}
	if (u->tokens > v->burst)
		u->tokens = v->burst;
}

static struct volume_user *
user_get(struct volume *v, const struct sp_uuid *id, const char *login, uint64_t now_us)
{
	struct sp_hnode *n = sp_htab_find(&v->users, id->b, sizeof(id->b));
	struct volume_user *u;

	if (n != NULL)
		return sp_container(n, struct volume_user, node);
	if ((u = calloc(1, sizeof(*u))) == NULL)
		return NULL;
	*u = (struct volume_user){ .id = *id, .tokens = v->burst, .at_us = now_us };
	(void)sp_strlcpy(u->login, login, sizeof(u->login));
	if (sp_htab_insert(&v->users, &u->node, u->id.b, sizeof(u->id.b)) != SP_OK) {
		free(u);
		return NULL;
	}
	return u;
}

int
volume_take(struct volume *v, const struct sp_uuid *user, const char *login, enum volume_kind kind, size_t bytes,
    uint64_t now_us)
{
	struct volume_user *u = user_get(v, user, login, now_us);
	double cost = 1 + (double)(bytes / VOLUME_UNIT);

	if (u == NULL)
		return 0;
	user_refill(v, u, now_us);
	if (cost > v->burst)
		cost = v->burst;	/* a bucket smaller than one long command would never let it through */
	if (u->tokens >= cost) {
		u->tokens -= cost;
		return 1;
	}
	if (u->since_us == 0)
		u->since_us = now_us;
	u->more[kind]++;
	return 0;
}

struct sweep {
	struct volume	*v;
	uint64_t	 now_us;
	volume_fn	*fn;
	void		*arg;
};

static void
sweep_one(struct sp_hnode *n, void *arg)
{
	const struct sweep *s = arg;
	struct volume_user *u = sp_container(n, struct volume_user, node);

	if (u->since_us != 0 && s->now_us >= u->since_us + VOLUME_SAY_US) {
		for (int k = 0; k < VOLUME_KINDS; k++)
			if (u->more[k] > 0)
				s->fn(&u->id, u->login, (enum volume_kind)k, u->more[k], s->arg);
		memset(u->more, 0, sizeof(u->more));
		u->since_us = 0;
	}
	user_refill(s->v, u, s->now_us);
	if (u->since_us == 0 && u->tokens >= s->v->burst)
		user_drop(s->v, u);
}

void
volume_tick(struct volume *v, uint64_t now_us, volume_fn *fn, void *arg)
{
	struct sweep s = { v, now_us, fn, arg };

	if (now_us < v->sweep_us)
		return;
	v->sweep_us = now_us + SWEEP_US;
	sp_htab_each(&v->users, sweep_one, &s);
}
