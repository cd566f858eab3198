/* lib/store/path.c - does a leaf (a user, an asset) really stand below a group? The closure says so quickly, but whoever
 * writes the database can write it too: this walks the edges, each with its MAC (mac.c), and believes nothing else.
 * One recursive statement reads every edge above the leaf; what can be reached over the good ones is then found in
 * memory. Made on the first grant of a decision that needs it, so that direct grants pay nothing. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

#define PATH_EDGES_MAX	20000	/* above one leaf */

#define EDGES_ABOVE(t)														\
	"WITH RECURSIVE r(child_id, parent_id, child_kind, created_us, mac) AS ("						\
	"SELECT child_id, parent_id, child_kind, created_us, mac FROM " t " WHERE child_id = ?"				\
	" UNION SELECT e.child_id, e.parent_id, e.child_kind, e.created_us, e.mac FROM r JOIN " t " e ON e.child_id = r.parent_id)"	\
	" SELECT parent_id, child_id, child_kind, created_us, mac FROM r"

static const struct {
	const char	*table, *closure, *sql;
} graphs[] = {
	[SP_PATH_USERS] = { "user_edges", "user_closure", EDGES_ABOVE("user_edges") },
	[SP_PATH_ASSETS] = { "asset_edges", "asset_closure", EDGES_ABOVE("asset_edges") }
};

struct edge {
	struct sp_uuid	child, parent;
	int		used;
};

void
sp_path_release(struct sp_path *p)
{
	free(p->node);
	*p = (struct sp_path){ .leaf = p->leaf, .graph = p->graph };
}

static int
path_has(const struct sp_path *p, const struct sp_uuid *node)
{
	for (size_t i = 0; i < p->n; i++)
		if (sp_uuid_equal(&p->node[i], node))
			return 1;
	return 0;
}

/* The good edges above the leaf. *ret is owned by the caller, on failure too. */
static enum sp_err
edges_read(struct sp_store *s, const struct sp_path *p, struct edge **ret, size_t *ret_n)
{
	sp_auto_q q;
	struct sp_store_member m;
	size_t cap = 0;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, graphs[p->graph].sql, &q);
	sp_q_uuid(&q, p->leaf);
	while ((r = sp_q_step(&q)) == SP_OK) {
		if ((r = sp_member_read(&q, &m)) != SP_OK)
			return r;
		if ((r = sp_mac_edge_check(s, graphs[p->graph].table, &m)) == SP_ETAMPERED)
			continue;	/* named in the findings; it leads nowhere */
		if (r != SP_OK)
			return r;
		if (*ret_n == cap) {
			struct edge *more;

			if (cap >= PATH_EDGES_MAX)
				return sp_store_fail(s, SP_ESIZE, "too many memberships above one object");
			cap = cap != 0 ? cap * 2 : 32;
			if ((more = realloc(*ret, cap * sizeof(*more))) == NULL)
				return SP_ENOMEM;
			*ret = more;
		}
		(*ret)[(*ret_n)++] = (struct edge){ m.member_id, m.group_id, 0 };
	}
	return r == SP_ENOENT ? SP_OK : r;
}

/* Breadth first: node[0] is the leaf; every edge is used at most once, so circles end. */
static enum sp_err
walk(struct sp_path *p, struct edge *e, size_t n)
{
	if ((p->node = malloc((n + 1) * sizeof(*p->node))) == NULL)
		return SP_ENOMEM;
	p->cap = n + 1;
	p->node[0] = *p->leaf;
	p->n = 1;
	for (size_t at = 0; at < p->n; at++)
		for (size_t i = 0; i < n; i++) {
			if (e[i].used || !sp_uuid_equal(&e[i].child, &p->node[at]))
				continue;
			e[i].used = 1;
			if (!path_has(p, &e[i].parent))
				p->node[p->n++] = e[i].parent;
		}
	return SP_OK;
}

enum sp_err
sp_path_walk(struct sp_store *s, struct sp_path *p)
{
	struct edge *e = NULL;
	size_t n = 0;
	enum sp_err r = edges_read(s, p, &e, &n);

	if (r == SP_OK)
		r = walk(p, e, n);
	free(e);
	return r;
}

enum sp_err
sp_path_add(struct sp_path *p, const struct sp_uuid *node, size_t n)
{
	if (p->n + n > p->cap) {
		size_t cap = (p->n + n) * 2;
		struct sp_uuid *more = realloc(p->node, cap * sizeof(*more));

		if (more == NULL)
			return SP_ENOMEM;
		p->node = more;
		p->cap = cap;
	}
	for (size_t i = 0; i < n; i++)
		if (!path_has(p, &node[i]))
			p->node[p->n++] = node[i];
	return SP_OK;
}

enum sp_err
sp_path_proves(struct sp_store *s, struct sp_path *p, const struct sp_uuid *node, int *ret)
{
	char id[SP_STORE_ROW_ID_SIZE];
	enum sp_err r;

	if (s->mac_mode != SP_STORE_MAC_ON || sp_uuid_equal(node, p->leaf)) {
		*ret = 1;
		return SP_OK;
	}
	if (p->node == NULL && (r = sp_path_walk(s, p)) != SP_OK)
		return r;
	*ret = path_has(p, node);
	if (!*ret) {
		sp_mac_pair_text(p->leaf, node, id);
		sp_mac_found(s, graphs[p->graph].closure, id, "no membership with a good MAC leads there");
	}
	return SP_OK;
}
