/* lib/store/groups.c - what is between groups, kept in memory by a handle: the groups above each group that good edges
 * prove, which asset groups each group of users has grants on, and such grants as were read and checked. A user in 20 groups
 * and an asset below 10 levels are 200 pairs to look for; most have no grant, and this says so without asking the database.
 * Process: control, in readers. What a user or an asset is directly in, and its grants, are read each time (access.c).
 * SQLite only (access.c). Kept while group_stamp stays: who writes such rows through lib/store changes it in the same transaction, in whatever process,
 * and it is read in one read transaction with the decision. For who writes past it all is forgotten after MAX_AGE_US: until
 * then such a one removes or spoils a membership among groups in vain, and gives nobody anything, as he has no MAC.
 * Invariants: (1) nothing is kept that was read in a transaction that writes, which may be rolled back. (2) A way over an
 * edge whose MAC is wrong is not kept. (3) At most ITEMS_MAX ids are kept; then all is forgotten. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/db.h"

#define MAX_AGE_US	((uint64_t)SP_US_PER_S)
#define ITEMS_MAX	500000
#define PAIRS_MAX	4096	/* of one group */
#define ROWS_MAX	1024	/* grants kept whole, some 11 KiB each */

struct group {
	struct sp_hnode		 node;
	struct sp_uuid		 id;
	struct sp_uuid		*above;		/* itself first */
	size_t			 above_n;
	struct sp_group_pair	*pair;		/* by object */
	size_t			 pair_n;
	int			 has_pairs;	/* pair[] was read */
};
struct sp_groups {
	struct sp_htab	graph[2];
	int64_t		stamp;
	uint64_t	since_us;
	size_t		items, rows;
};

static void
group_forget(struct sp_hnode *n, void *arg)
{
	struct group *g = sp_container(n, struct group, node);

	sp_htab_remove(arg, n);
	free(g->above);
	for (size_t i = 0; i < g->pair_n; i++)
		free(g->pair[i].row);
	free(g->pair);
	free(g);
}

void
sp_groups_forget(struct sp_store *s)
{
	struct sp_groups *c = s->groups;

	if (c == NULL)
		return;
	for (int i = 0; i < 2; i++)
		sp_htab_each(&c->graph[i], group_forget, &c->graph[i]);
	c->items = c->rows = 0;
}

void
sp_groups_release(struct sp_store *s)
{
	sp_groups_forget(s);
	for (int i = 0; i < 2 && s->groups != NULL; i++)
		sp_htab_release(&s->groups->graph[i]);
	free(s->groups);
	s->groups = NULL;
}

static enum sp_err
groups_new(struct sp_store *s)
{
	struct sp_groups *c = calloc(1, sizeof(*c));
	enum sp_err r = c != NULL ? SP_OK : SP_ENOMEM;

	for (int i = 0; i < 2 && r == SP_OK; i++)
		r = sp_htab_init(&c->graph[i]);
	if (r != SP_OK && c != NULL)
		sp_htab_release(&c->graph[0]);
	if (r != SP_OK) {
		free(c);
		return r;
	}
	s->groups = c;
	return SP_OK;
}

enum sp_err
sp_groups_fresh(struct sp_store *s)
{
	struct sp_q q;
	int64_t stamp = 0;
	uint64_t now = sp_now_us();
	enum sp_err r;

	if (s->groups == NULL && (r = groups_new(s)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, "SELECT stamp FROM group_stamp", &q);
	if ((r = sp_q_number(&q, &stamp)) != SP_OK && r != SP_ENOENT)
		return r;
	if (stamp != s->groups->stamp || now - s->groups->since_us > MAX_AGE_US || s->groups->items > ITEMS_MAX) {
		sp_groups_forget(s);
		s->groups->stamp = stamp;
		s->groups->since_us = now;
	}
	return SP_OK;
}

static enum sp_err
group_get(struct sp_store *s, enum sp_path_graph graph, const struct sp_uuid *id, struct group **ret)
{
	struct sp_hnode *n = sp_htab_find(&s->groups->graph[graph], id->b, SP_UUID_LEN);
	struct group *g;
	enum sp_err r;

	if (n != NULL) {
		*ret = sp_container(n, struct group, node);
		return SP_OK;
	}
	if ((g = calloc(1, sizeof(*g))) == NULL)
		return SP_ENOMEM;
	g->id = *id;
	if ((r = sp_htab_insert(&s->groups->graph[graph], &g->node, g->id.b, SP_UUID_LEN)) != SP_OK) {
		free(g);
		return r;
	}
	*ret = g;
	return SP_OK;
}

enum sp_err
sp_groups_above(struct sp_store *s, enum sp_path_graph graph, const struct sp_uuid *id, const struct sp_uuid **ret, size_t *ret_n)
{
	struct group *g;
	enum sp_err r;

	if ((r = group_get(s, graph, id, &g)) != SP_OK)
		return r;
	if (g->above == NULL) {
		struct sp_path p = { .graph = graph, .leaf = &g->id };

		if ((r = sp_path_walk(s, &p)) != SP_OK)
			return r;
		g->above = sp_steal(&p.node);
		g->above_n = p.n;
		s->groups->items += p.n;
	}
	*ret = g->above;
	*ret_n = g->above_n;
	return SP_OK;
}

static enum sp_err
pairs_read(struct sp_store *s, const struct sp_uuid *id, struct sp_group_pair **ret, size_t *ret_n)
{
	sp_auto_q q;
	size_t cap = 0;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, SP_GROUPS_PAIRS_SQL, &q);
	sp_q_uuid(&q, id);
	while ((r = sp_q_step(&q)) == SP_OK) {
		if (*ret_n == cap) {
			struct sp_group_pair *more;

			if (cap == PAIRS_MAX)
				return SP_ESIZE;
			cap = cap == 0 ? 16 : cap * 2;
			if ((more = realloc(*ret, cap * sizeof(*more))) == NULL)
				return SP_ENOMEM;
			*ret = more;
		}
		if ((r = sp_q_get_uuid(&q, 0, &(*ret)[*ret_n].object)) != SP_OK || (r = sp_q_get_uuid(&q, 1, &(*ret)[*ret_n].grant)) != SP_OK)
			return r;
		(*ret)[(*ret_n)++].row = NULL;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_groups_pairs(struct sp_store *s, const struct sp_uuid *id, struct sp_group_pair **ret, size_t *ret_n)
{
	struct group *g;
	enum sp_err r;

	if ((r = group_get(s, SP_PATH_USERS, id, &g)) != SP_OK)
		return r;
	if (!g->has_pairs) {
		struct sp_group_pair *pair = NULL;
		size_t n = 0;

		if ((r = pairs_read(s, id, &pair, &n)) != SP_OK) {
			free(pair);
			return r;
		}
		g->pair = pair;
		g->pair_n = n;
		g->has_pairs = 1;
		s->groups->items += n + 1;
	}
	*ret = g->pair;
	*ret_n = g->pair_n;
	return SP_OK;
}

void
sp_groups_keep(struct sp_store *s, struct sp_group_pair *pair, const struct sp_store_grant *row)
{
	if (s->groups->rows == ROWS_MAX || (pair->row = malloc(sizeof(*row))) == NULL)
		return;
	*pair->row = *row;
	s->groups->rows++;
}

/* ---- the writer's side ---- */

enum sp_err
sp_groups_changed(struct sp_store *s)
{
	struct sp_q q;
	int64_t stamp;
	enum sp_err r;

	if (s->drv->read_sql == NULL || s->tx_stamped)
		return SP_OK;
	randombytes_buf(&stamp, sizeof(stamp));
	sp_q_open(s, SP_STORE_MAIN, "INSERT INTO group_stamp (slot, stamp) VALUES (1, ?) ON CONFLICT (slot) DO UPDATE SET stamp = excluded.stamp", &q);
	sp_q_i64(&q, stamp);
	if ((r = sp_q_run(&q, NULL)) == SP_OK)
		s->tx_stamped = 1;
	return r;
}

enum sp_err
sp_grant_after_write(struct sp_store *s, const void *row, int adding)
{
	const struct sp_store_grant *g = row;

	/* What a changed one was before is not known here. */
	return !adding || (g->subject_kind == SP_STORE_SUBJECT_GROUP && g->object_kind == SP_STORE_OBJECT_ASSET_GROUP) ?
	    sp_groups_changed(s) : SP_OK;
}

enum sp_err
sp_grant_before_delete(struct sp_store *s, const struct sp_uuid *id)
{
	(void)id;
	return sp_groups_changed(s);
}
