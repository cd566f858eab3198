/* lib/store/member.c - groups in groups and assets in a tree of groups, and the closures that make a decision cheap.
 *
 * Two graphs of the same shape, each with a table of edges (child is directly in parent) and a closure (leaf is in
 * node, through whatever; a leaf is in itself). The closure is changed in the transaction that changes an edge:
 *
 *	link H below G		every leaf of H gets every node above H			grow(H)
 *	unlink H from G		every leaf of H loses every node above H; the edge	shrink(H), delete, regrow(H)
 *				goes; what is still reachable is put back
 *
 * "Leaves of H" are the closure rows with node H; they stay in place during the change because H is never above itself.
 * Invariants: (1) no cycles; (2) at most SP_STORE_DEPTH_MAX levels; (3) closure(leaf) = {leaf} and all that edges reach.
 * Changes of one graph exclude each other: SQLite has one writer; PostgreSQL takes an advisory lock. */
#include <string.h>

#include "store/db.h"

struct graph {
	const char	*grow, *shrink, *regrow;
	const char	*height, *depth;	/* most levels above ?, most levels of groups below ? */
	const char	*is_above;	/* is ? (2nd) above ? (1st) */
	const char	*table, *link, *unlink, *unlink_all, *members;
};

#define UP(g)	"WITH RECURSIVE up(id) AS (SELECT parent_id FROM " g "_edges WHERE child_id = ?" \
		" UNION SELECT e.parent_id FROM " g "_edges e JOIN up ON e.child_id = up.id) "
#define LEVELS(g, from, to, group)												\
	"WITH RECURSIVE w(id, d) AS (SELECT " to ", 1 FROM " g "_edges WHERE " from " = ?" group			\
	" UNION SELECT e." to ", w.d + 1 FROM " g "_edges e JOIN w ON e." from " = w.id" group " WHERE w.d < 64)"	\
	" SELECT coalesce(max(d), 0) FROM w"
#define GRAPH(g) {													\
	.grow = UP(g) "INSERT INTO " g "_closure (leaf_id, node_id) SELECT c.leaf_id, up.id FROM " g "_closure c"	\
	    " CROSS JOIN up WHERE c.node_id = ? ON CONFLICT DO NOTHING",						\
	.shrink = UP(g) "DELETE FROM " g "_closure WHERE node_id IN (SELECT id FROM up)"				\
	    " AND leaf_id IN (SELECT leaf_id FROM " g "_closure WHERE node_id = ?)",					\
	.regrow = "WITH RECURSIVE r(leaf, id) AS (SELECT leaf_id, leaf_id FROM " g "_closure WHERE node_id = ?"		\
	    " UNION SELECT r.leaf, e.parent_id FROM r JOIN " g "_edges e ON e.child_id = r.id)"				\
	    " INSERT INTO " g "_closure (leaf_id, node_id) SELECT leaf, id FROM r WHERE 1 = 1 ON CONFLICT DO NOTHING",	\
	.height = LEVELS(g, "child_id", "parent_id", ""),								\
	.depth = LEVELS(g, "parent_id", "child_id", " AND child_kind = 2"),						\
	.is_above = UP(g) "SELECT 1 FROM up WHERE id = ?",								\
	.table = g "_edges",												\
	.link = "INSERT INTO " g "_edges (child_id, parent_id, child_kind, created_us, mac) VALUES (?, ?, ?, ?, ?)",	\
	.unlink = "DELETE FROM " g "_edges WHERE child_id = ? AND parent_id = ?",					\
	.unlink_all = "DELETE FROM " g "_edges WHERE child_id = ? OR parent_id = ?",					\
	.members = "SELECT parent_id, child_id, child_kind, created_us, mac FROM " g "_edges WHERE parent_id = ?"	\
	    " ORDER BY child_kind, child_id"										\
}

_Static_assert(SP_STORE_SUBJECT_GROUP == 2 && SP_STORE_OBJECT_ASSET_GROUP == 2, "child_kind = 2 above means a group");
static const struct graph users = GRAPH("user"), assets = GRAPH("asset");

static enum sp_err
run_ids(struct sp_store *s, const char *sql, const struct sp_uuid *a, const struct sp_uuid *b, uint64_t *ret)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, a);
	if (b != NULL)
		sp_q_uuid(&q, b);
	return sp_q_run(&q, ret);
}

static enum sp_err
number_of(struct sp_store *s, const char *sql, const struct sp_uuid *a, const struct sp_uuid *b, int64_t *ret)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, a);
	if (b != NULL)
		sp_q_uuid(&q, b);
	return sp_q_number(&q, ret);
}

static enum sp_err
graph_lock(struct sp_store *s)
{
	return s->drv->lock_sql != NULL ? s->drv->exec(s, SP_STORE_MAIN, s->drv->lock_sql) : SP_OK;
}

/* May child hang below parent: not itself, not something above the parent already, not too deep? */
static enum sp_err
link_check(struct sp_store *s, const struct graph *g, const struct sp_uuid *child, const struct sp_uuid *parent)
{
	int64_t above = 0, below = 0, one;
	enum sp_err r;

	if (sp_uuid_equal(child, parent))
		return sp_store_fail(s, SP_EINVAL, "a group cannot be in itself");
	if ((r = number_of(s, g->is_above, parent, child, &one)) != SP_ENOENT)
		return r == SP_OK ? sp_store_fail(s, SP_EINVAL, "this would close a circle") : r;
	if ((r = number_of(s, g->height, parent, NULL, &above)) != SP_OK || (r = number_of(s, g->depth, child, NULL, &below)) != SP_OK)
		return r;
	return above + below + 2 > SP_STORE_DEPTH_MAX ? sp_store_fail(s, SP_EINVAL, "too many levels of groups") : SP_OK;
}

static enum sp_err
link_body(struct sp_store *s, const struct graph *g, struct sp_store_member *m)
{
	struct sp_q q;
	enum sp_err r;

	if ((r = graph_lock(s)) != SP_OK || (r = link_check(s, g, &m->member_id, &m->group_id)) != SP_OK ||
	    (r = sp_mac_edge_make(s, g->table, m, &m->mac)) != SP_OK ||
	    (m->kind == SP_STORE_SUBJECT_GROUP && (r = sp_groups_changed(s)) != SP_OK))
		return r;
	sp_q_open(s, SP_STORE_MAIN, g->link, &q);
	sp_q_uuid(&q, &m->member_id);
	sp_q_uuid(&q, &m->group_id);
	sp_q_i64(&q, m->kind);
	sp_q_i64(&q, m->created_us);
	sp_q_blob(&q, m->mac.len > 0 ? m->mac.b : NULL, m->mac.len);
	if ((r = sp_q_run(&q, NULL)) != SP_OK)
		return r == SP_ESTATE && !s->tx_bad[SP_STORE_MAIN] ? SP_ENOENT : r;
	return run_ids(s, g->grow, &m->member_id, &m->member_id, NULL);
}

static enum sp_err
unlink_body(struct sp_store *s, const struct graph *g, const struct sp_uuid *parent, const struct sp_uuid *child)
{
	uint64_t gone = 0;
	enum sp_err r;

	if ((r = graph_lock(s)) != SP_OK || (r = sp_groups_changed(s)) != SP_OK || (r = run_ids(s, g->shrink, child, child, NULL)) != SP_OK ||
	    (r = run_ids(s, g->unlink, child, parent, &gone)) != SP_OK)
		return r;
	return gone == 0 ? SP_ENOENT : run_ids(s, g->regrow, child, NULL, NULL);
}

/* Take a node out of the graph before its row is deleted; its closure rows as a node go with its register row. */
static enum sp_err
cut_out(struct sp_store *s, const struct graph *g, const struct sp_uuid *id)
{
	enum sp_err r;

	if ((r = graph_lock(s)) != SP_OK || (r = sp_groups_changed(s)) != SP_OK || (r = run_ids(s, g->shrink, id, id, NULL)) != SP_OK ||
	    (r = run_ids(s, g->unlink_all, id, id, NULL)) != SP_OK)
		return r;
	return run_ids(s, g->regrow, id, NULL, NULL);
}

static void
edge_changed(struct sp_store *s, const struct graph *g, const struct sp_uuid *parent, const struct sp_uuid *child, int is_there)
{
	char id[SP_STORE_ROW_ID_SIZE];

	sp_mac_pair_text(parent, child, id);
	sp_change_value(s, g->table, id, "member", is_there ? NULL : "yes", is_there ? "yes" : NULL);
}

static enum sp_err
member_add(struct sp_store *s, const struct graph *g, struct sp_store_member *m)
{
	struct sp_store_member copy = *m;
	enum sp_err r;

	copy.created_us = sp_store_now(s);
	if (sp_uuid_is_null(&m->group_id) || sp_uuid_is_null(&m->member_id) || m->mac.len > SP_STORE_MAC_MAX)
		return SP_EINVAL;
	if ((r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, link_body(s, g, &copy))) == SP_OK) {
		*m = copy;
		edge_changed(s, g, &m->group_id, &m->member_id, 1);
	}
	return r;
}

static enum sp_err
member_delete(struct sp_store *s, const struct graph *g, const struct sp_uuid *parent, const struct sp_uuid *child)
{
	enum sp_err r = sp_op_begin(s, SP_STORE_MAIN);

	if (r == SP_OK && (r = sp_op_end(s, SP_STORE_MAIN, unlink_body(s, g, parent, child))) == SP_OK)
		edge_changed(s, g, parent, child, 0);
	return r;
}

enum sp_err
sp_member_read(struct sp_q *q, struct sp_store_member *ret)
{
	struct sp_store_member m = { 0 };
	enum sp_err r;
	const void *mac;
	size_t n;

	if ((r = sp_q_get_uuid(q, 0, &m.group_id)) != SP_OK || (r = sp_q_get_uuid(q, 1, &m.member_id)) != SP_OK)
		return r;
	m.kind = sp_q_get_i64(q, 2);
	m.created_us = sp_q_get_i64(q, 3);
	mac = sp_q_get_bytes(q, 4, &n);
	if (n > SP_STORE_MAC_MAX)
		return sp_store_fail(q->s, SP_ECORRUPT, "a mac beyond its bound");
	m.mac.len = (uint32_t)n;
	memcpy(m.mac.b, mac, n);
	*ret = m;
	return SP_OK;
}

static enum sp_err
member_list(struct sp_store *s, const struct graph *g, const struct sp_uuid *group_id, sp_store_member_fn fn, void *arg)
{
	sp_auto_q q;
	struct sp_store_member m;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, g->members, &q);
	sp_q_uuid(&q, group_id);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_member_read(&q, &m)) != SP_OK || fn(&m, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_edge_delete(struct sp_store *s, int of_assets, const struct sp_uuid *parent, const struct sp_uuid *child)
{
	return member_delete(s, of_assets ? &assets : &users, parent, child);
}

enum sp_err
sp_store_group_member_add(struct sp_store *s, struct sp_store_member *m)
{
	if (m->kind != SP_STORE_SUBJECT_USER && m->kind != SP_STORE_SUBJECT_GROUP)
		return SP_EINVAL;
	return member_add(s, &users, m);
}

enum sp_err
sp_store_group_member_delete(struct sp_store *s, const struct sp_uuid *group_id, const struct sp_uuid *member_id)
{
	return member_delete(s, &users, group_id, member_id);
}

enum sp_err
sp_store_group_members(struct sp_store *s, const struct sp_uuid *group_id, sp_store_member_fn fn, void *arg)
{
	return member_list(s, &users, group_id, fn, arg);
}

enum sp_err
sp_store_asset_member_add(struct sp_store *s, struct sp_store_member *m)
{
	if (m->kind != SP_STORE_OBJECT_ASSET)
		return SP_EINVAL;	/* a group's place in the tree is its parent_id */
	return member_add(s, &assets, m);
}

/* Only assets: taking a group out of the tree this way would contradict its parent_id. */
static enum sp_err
asset_member_delete_body(struct sp_store *s, const struct sp_uuid *group_id, const struct sp_uuid *asset_id)
{
	int64_t one;
	enum sp_err r = number_of(s, "SELECT 1 FROM asset_edges WHERE child_id = ? AND parent_id = ? AND child_kind = 1",
	    asset_id, group_id, &one);

	return r != SP_OK ? r : unlink_body(s, &assets, group_id, asset_id);
}

enum sp_err
sp_store_asset_member_delete(struct sp_store *s, const struct sp_uuid *group_id, const struct sp_uuid *asset_id)
{
	enum sp_err r = sp_op_begin(s, SP_STORE_MAIN);

	if (r == SP_OK && (r = sp_op_end(s, SP_STORE_MAIN, asset_member_delete_body(s, group_id, asset_id))) == SP_OK)
		edge_changed(s, &assets, group_id, asset_id, 0);
	return r;
}

enum sp_err
sp_store_asset_members(struct sp_store *s, const struct sp_uuid *group_id, sp_store_member_fn fn, void *arg)
{
	return member_list(s, &assets, group_id, fn, arg);
}

/* ---- hooks of rows.c ---- */

static enum sp_err
asset_group_parent(struct sp_store *s, const struct sp_uuid *id, struct sp_uuid *ret)
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT parent_id FROM asset_groups WHERE id = ?", &q);
	sp_q_uuid(&q, id);
	if ((r = sp_q_step(&q)) != SP_OK)
		return r;
	return sp_q_get_uuid(&q, 0, ret);
}

/* Leave the old place in the tree; the new one is taken after the row is written. */
enum sp_err
sp_asset_group_before_write(struct sp_store *s, const void *row, int adding)
{
	const struct sp_store_asset_group *g = row;
	struct sp_uuid old;
	enum sp_err r;

	if (adding)
		return SP_OK;
	if ((r = graph_lock(s)) != SP_OK || (r = asset_group_parent(s, &g->id, &old)) != SP_OK)
		return r;
	if (sp_uuid_is_null(&old) || sp_uuid_equal(&old, &g->parent_id))
		return SP_OK;
	return unlink_body(s, &assets, &old, &g->id);
}

enum sp_err
sp_asset_group_after_write(struct sp_store *s, const void *row, int adding)
{
	const struct sp_store_asset_group *g = row;
	struct sp_store_member m = { .group_id = g->parent_id, .member_id = g->id, .kind = SP_STORE_OBJECT_ASSET_GROUP,
	    .created_us = sp_store_now(s) };
	int64_t one;
	enum sp_err r;

	(void)adding;
	if (sp_uuid_is_null(&g->parent_id))
		return SP_OK;
	r = number_of(s, "SELECT 1 FROM asset_edges WHERE child_id = ? AND parent_id = ?", &g->id, &g->parent_id, &one);
	return r == SP_ENOENT ? link_body(s, &assets, &m) : r;
}

enum sp_err
sp_asset_group_before_delete(struct sp_store *s, const struct sp_uuid *id)
{
	int64_t one;
	enum sp_err r = number_of(s, "SELECT 1 FROM asset_groups WHERE parent_id = ?", id, NULL, &one);

	if (r != SP_ENOENT)
		return r == SP_OK ? SP_ESTATE : r;
	return cut_out(s, &assets, id);
}

enum sp_err
sp_asset_before_delete(struct sp_store *s, const struct sp_uuid *id)
{
	int64_t one;
	enum sp_err r = number_of(s, "SELECT 1 FROM zones WHERE jump_asset_id = ?", id, NULL, &one);

	if (r != SP_ENOENT)
		return r == SP_OK ? SP_ESTATE : r;
	if ((r = sp_asset_secrets_erase(s, id)) != SP_OK)
		return r;
	return cut_out(s, &assets, id);
}

enum sp_err
sp_group_before_delete(struct sp_store *s, const struct sp_uuid *id)
{
	return cut_out(s, &users, id);
}

enum sp_err
sp_user_before_delete(struct sp_store *s, const struct sp_uuid *id)
{
	return cut_out(s, &users, id);
}

/* Departments form a tree too, without closure: refuse a parent that is below, or is, the row itself. */
enum sp_err
sp_department_before_write(struct sp_store *s, const void *row, int adding)
{
	const struct sp_store_department *d = row;
	int64_t one;
	enum sp_err r;

	if (sp_uuid_is_null(&d->parent_id))
		return SP_OK;
	if (sp_uuid_equal(&d->id, &d->parent_id))
		return SP_EINVAL;
	if (adding)
		return SP_OK;
	if ((r = graph_lock(s)) != SP_OK)
		return r;
	r = number_of(s, "WITH RECURSIVE up(id) AS (SELECT parent_id FROM departments WHERE id = ? UNION"
	    " SELECT d.parent_id FROM departments d JOIN up ON d.id = up.id) SELECT 1 FROM up WHERE id = ?", &d->parent_id, &d->id, &one);
	return r == SP_ENOENT ? SP_OK : r == SP_OK ? SP_EINVAL : r;
}
