/* lib/store/access.c - what a user may touch: the hot fetch behind every decision, and the lists of menu and `access who`.
 * Process: control. The closures hold each leaf itself too, so one decision is: the user's nodes times the asset's
 * nodes, and for each pair one probe of grants(subject_id, object_id). CROSS JOIN and INDEXED BY keep SQLite to that; PostgreSQL
 * is kept to it by a subquery that it may not merge, else it would, on a plan made while grants was empty, search by the
 * object alone. So no statistics change the plan; tests ask both for it.
 * SQLite, where a question costs little and a probe as much, goes a quicker way (quick_body): it reads what both sides are
 * in, looks in memory for the pairs of groups that have a grant (groups.c), and probes for the pairs with a leaf only. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

struct grant_call {
	sp_store_grant_fn	 fn;
	void			*arg;
};

static int
grant_call(const void *row, void *arg)
{
	struct grant_call *c = arg;

	return c->fn(row, c->arg);
}

static enum sp_err
grants_sql(struct sp_buf *b, const char *from)
{
	enum sp_err r;

	if ((r = sp_buf_append_str(b, "SELECT ")) != SP_OK || (r = sp_row_columns(b, &sp_rt_grant, "g.")) != SP_OK)
		return r;
	return sp_buf_printf(b, " FROM %s ORDER BY g.id", from);
}

/* Plain joins of closures with constant leaves: each side is at most some dozens of rows. */
#define FROM_PAIR	"user_closure u CROSS JOIN asset_closure a CROSS JOIN grants g INDEXED BY grants_pair"			\
			" WHERE u.leaf_id = ? AND a.leaf_id = ? AND g.subject_id = u.node_id AND g.object_id = a.node_id"
#define FROM_PAIR_FENCED "user_closure u CROSS JOIN asset_closure a CROSS JOIN LATERAL (SELECT * FROM grants p"			\
			" WHERE p.subject_id = u.node_id AND p.object_id = a.node_id OFFSET 0) g"				\
			" WHERE u.leaf_id = ? AND a.leaf_id = ?"
#define FROM_USER	"user_closure u CROSS JOIN grants g WHERE u.leaf_id = ? AND g.subject_id = u.node_id"
#define FROM_ASSET	"asset_closure a CROSS JOIN grants g WHERE a.leaf_id = ? AND g.object_id = a.node_id"

static enum sp_err
pair_sql(struct sp_store *s)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_STORE_SQL_MAX };
	enum sp_err r;

	if (s->sql_grants_for != NULL)
		return SP_OK;
	if ((r = grants_sql(&b, s->drv->lateral ? FROM_PAIR_FENCED : FROM_PAIR)) != SP_OK)
		return r;
	return (s->sql_grants_for = strdup(sp_buf_cstr(&b))) != NULL ? SP_OK : SP_ENOMEM;
}

/* What the closures bring is a claim. A grant whose MAC is wrong ends the decision: it may have been a deny. One that no
 * good edge leads to does not allow; it still denies. */
struct proof {
	struct sp_store		*s;
	struct sp_path		 user, asset;
	sp_store_grant_fn	 fn;
	void			*arg;
	enum sp_err		 err;
	int			 called, stop;	/* fn was; fn, or an error, wants no more */
};

static int
proof_checked(const struct sp_store_grant *g, struct proof *p)
{
	int ok = 1;

	p->stop = 1;
	if (g->effect == SP_STORE_ALLOW &&
	    ((p->err = sp_path_proves(p->s, &p->user, &g->subject_id, &ok)) != SP_OK ||
	    (ok && (p->err = sp_path_proves(p->s, &p->asset, &g->object_id, &ok)) != SP_OK)))
		return 1;
	p->called |= ok;
	p->stop = ok && p->fn(g, p->arg) != 0;
	return p->stop;
}

static int
proof_row(const void *row, void *arg)
{
	struct proof *p = arg;

	if ((p->err = sp_mac_row_check(p->s, &sp_rt_grant, row)) == SP_OK)
		return proof_checked(row, p);
	p->stop = 1;
	return 1;
}

/* ---- the quick way ---- */

#define CLAIMS(g)													\
	"SELECT c.node_id, c.leaf_id, e.child_kind, e.created_us, e.mac FROM " g "_closure c LEFT JOIN " g "_edges e"		\
	" ON e.child_id = c.leaf_id AND e.parent_id = c.node_id WHERE c.leaf_id = ? ORDER BY c.node_id"

static const struct {
	const char	*edges, *claims;
} graphs[] = {
	[SP_PATH_USERS] = { "user_edges", CLAIMS("user") }, [SP_PATH_ASSETS] = { "asset_edges", CLAIMS("asset") }
};
enum { OF_USER, ON_ASSET, BY_ID };
static const char *const quick_from[] = {
	[OF_USER] = "asset_closure a CROSS JOIN grants g INDEXED BY grants_pair"
	    " WHERE a.leaf_id = ? AND g.subject_id = ? AND g.object_id = a.node_id",
	[ON_ASSET] = "user_closure u CROSS JOIN grants g INDEXED BY grants_object"
	    " WHERE u.leaf_id = ? AND u.node_id <> u.leaf_id AND g.object_id = ? AND g.subject_id = u.node_id",
	[BY_ID] = "grants g WHERE g.id = ?"		/* one by one: an IN makes a table of its list each time */
};

struct ids {
	struct sp_uuid	*id;
	size_t		 n, cap;
};

static enum sp_err
ids_add(struct ids *l, const struct sp_uuid *id)
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct sp_uuid *more = realloc(l->id, cap * sizeof(*more));

		if (more == NULL)
			return SP_ENOMEM;
		l->id = more;
		l->cap = cap;
	}
	l->id[l->n++] = *id;
	return SP_OK;
}

/* What the closure says that the leaf is in, in order of ids, and the ways that good edges prove. */
static enum sp_err
claims_read(struct sp_store *s, struct sp_path *p, struct ids *claims)
{
	sp_auto_q q;
	struct sp_store_member m;
	const struct sp_uuid *above;
	size_t n;
	enum sp_err r;

	if ((r = sp_path_add(p, p->leaf, 1)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, graphs[p->graph].claims, &q);
	sp_q_uuid(&q, p->leaf);
	while ((r = sp_q_step(&q)) == SP_OK) {
		if ((r = sp_member_read(&q, &m)) != SP_OK || (r = ids_add(claims, &m.group_id)) != SP_OK)
			return r;
		if (s->mac_mode != SP_STORE_MAC_ON || s->drv->is_null(q.st, 2))
			continue;
		if ((r = sp_mac_edge_check(s, graphs[p->graph].edges, &m)) == SP_ETAMPERED)
			continue;	/* named in the findings; it leads nowhere */
		if (r != SP_OK || (r = sp_groups_above(s, p->graph, &m.group_id, &above, &n)) != SP_OK ||
		    (r = sp_path_add(p, above, n)) != SP_OK)
			return r;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

/* The first pair whose object is not before id. */
static size_t
pair_at(const struct sp_group_pair *pair, size_t n, const struct sp_uuid *id)
{
	size_t from = 0;

	while (n > 0) {
		size_t half = n / 2;

		if (memcmp(pair[from + half].object.b, id->b, SP_UUID_LEN) < 0) {
			from += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return from;
}

struct found {
	struct sp_group_pair	**pair;		/* borrowed */
	size_t			  n, cap;
};

static enum sp_err
found_add(struct found *l, struct sp_group_pair *pair)
{
	if (l->n == l->cap) {
		size_t cap = l->cap == 0 ? 64 : l->cap * 2;
		struct sp_group_pair **more = realloc(l->pair, cap * sizeof(*more));

		if (more == NULL)
			return SP_ENOMEM;
		l->pair = more;
		l->cap = cap;
	}
	l->pair[l->n++] = pair;
	return SP_OK;
}

/* Grants of a group of the user's on a group of the asset's. */
static enum sp_err
pairs_find(struct sp_store *s, const struct sp_uuid *user, const struct ids *users, const struct ids *assets, struct found *ret)
{
	struct sp_group_pair *pair;
	size_t n;
	enum sp_err r;

	for (size_t u = 0; u < users->n; u++) {
		if (sp_uuid_equal(&users->id[u], user))
			continue;
		if ((r = sp_groups_pairs(s, &users->id[u], &pair, &n)) != SP_OK)
			return r;
		for (size_t a = 0; a < assets->n && n > 0; a++)
			for (size_t i = pair_at(pair, n, &assets->id[a]); i < n && sp_uuid_equal(&pair[i].object, &assets->id[a]); i++)
				if ((r = found_add(ret, &pair[i])) != SP_OK)
					return r;
	}
	return SP_OK;
}

static enum sp_err
quick_open(struct sp_store *s, int which, struct sp_q *ret)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_STORE_SQL_MAX };
	enum sp_err r;

	if (s->sql_quick[which] == NULL) {
		if ((r = sp_buf_append_str(&b, "SELECT ")) != SP_OK || (r = sp_row_columns(&b, &sp_rt_grant, "g.")) != SP_OK ||
		    (r = sp_buf_printf(&b, " FROM %s", quick_from[which])) != SP_OK)
			return r;
		if ((s->sql_quick[which] = strdup(sp_buf_cstr(&b))) == NULL)
			return SP_ENOMEM;
	}
	sp_q_open(s, SP_STORE_MAIN, s->sql_quick[which], ret);
	return SP_OK;
}

/* Those that were read and checked before are in memory. */
static enum sp_err
grants_by_id(struct sp_store *s, const struct found *l, struct proof *p)
{
	struct sp_store_grant *row = malloc(sizeof(*row));
	struct sp_q q = { 0 };
	enum sp_err r = row != NULL ? quick_open(s, BY_ID, &q) : SP_ENOMEM;

	for (size_t i = 0; i < l->n && r == SP_OK && !p->stop; i++) {
		if (l->pair[i]->row != NULL) {
			(void)proof_checked(l->pair[i]->row, p);
			continue;
		}
		sp_q_uuid(&q, &l->pair[i]->grant);
		if ((r = sp_q_step(&q)) == SP_OK && (r = sp_row_read(&q, &sp_rt_grant, row)) == SP_OK) {
			(void)proof_row(row, p);
			if (p->err == SP_OK)
				sp_groups_keep(s, l->pair[i], row);
		}
		sp_q_again(&q);
	}
	sp_q_close(&q);
	free(row);
	return r == SP_ENOENT ? SP_ECORRUPT : r;	/* in one transaction with the list of them */
}

static enum sp_err
quick_grants(struct sp_store *s, const struct found *by_id, struct proof *p)
{
	struct sp_q q;
	enum sp_err r;

	if ((r = quick_open(s, OF_USER, &q)) != SP_OK)
		return r;
	sp_q_uuid(&q, p->asset.leaf);
	sp_q_uuid(&q, p->user.leaf);
	if ((r = sp_row_each(&q, &sp_rt_grant, proof_row, p)) != SP_OK || p->stop)
		return r;
	if ((r = quick_open(s, ON_ASSET, &q)) != SP_OK)
		return r;
	sp_q_uuid(&q, p->user.leaf);
	sp_q_uuid(&q, p->asset.leaf);
	if ((r = sp_row_each(&q, &sp_rt_grant, proof_row, p)) != SP_OK || p->stop || by_id->n == 0)
		return r;
	return grants_by_id(s, by_id, p);
}

/* In one read transaction: what is in memory, the closures and the grants are of one moment. */
static enum sp_err
quick_body(struct sp_store *s, struct proof *p)
{
	struct ids users = { 0 }, assets = { 0 };
	struct found found = { 0 };
	enum sp_err r;

	if ((r = sp_groups_fresh(s)) == SP_OK && (r = claims_read(s, &p->user, &users)) == SP_OK &&
	    (r = claims_read(s, &p->asset, &assets)) == SP_OK && (r = pairs_find(s, p->user.leaf, &users, &assets, &found)) == SP_OK)
		r = quick_grants(s, &found, p);
	free(users.id);
	free(assets.id);
	free(found.pair);
	return r;
}

static enum sp_err
plain_body(struct sp_store *s, struct proof *p)
{
	struct sp_q q;
	enum sp_err r;

	if ((r = pair_sql(s)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, s->sql_grants_for, &q);
	sp_q_uuid(&q, p->user.leaf);
	sp_q_uuid(&q, p->asset.leaf);
	return sp_row_each(&q, &sp_rt_grant, proof_row, p);
}

enum sp_err
sp_store_grants_for(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, sp_store_grant_fn fn, void *arg)
{
	struct proof p = { .s = s, .user = { .graph = SP_PATH_USERS, .leaf = user_id },
	    .asset = { .graph = SP_PATH_ASSETS, .leaf = asset_id }, .fn = fn, .arg = arg };
	enum sp_err r = SP_ESIZE;

	if (s->drv->read_sql != NULL && s->tx_depth[SP_STORE_MAIN] == 0 && (r = sp_op_begin_read(s, SP_STORE_MAIN)) == SP_OK)
		r = sp_op_end(s, SP_STORE_MAIN, quick_body(s, &p));
	if (r == SP_ESIZE && !p.called) {	/* more than is kept in memory */
		sp_path_release(&p.user);
		sp_path_release(&p.asset);
		r = plain_body(s, &p);
	}
	sp_path_release(&p.user);
	sp_path_release(&p.asset);
	return r != SP_OK ? r : p.err;
}

static enum sp_err
grants_of(struct sp_store *s, const char *from, const struct sp_uuid *id, sp_store_grant_fn fn, void *arg)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_STORE_SQL_MAX };
	struct sp_q q;
	enum sp_err r;

	if ((r = grants_sql(&b, from)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&b), &q);
	sp_q_uuid(&q, id);
	return sp_row_each(&q, &sp_rt_grant, grant_call, &(struct grant_call){ fn, arg });
}

enum sp_err
sp_store_grants_of_user(struct sp_store *s, const struct sp_uuid *user_id, sp_store_grant_fn fn, void *arg)
{
	return grants_of(s, FROM_USER, user_id, fn, arg);
}

enum sp_err
sp_store_grants_of_asset(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_grant_fn fn, void *arg)
{
	return grants_of(s, FROM_ASSET, asset_id, fn, arg);
}

/* ---- the closures, readable ---- */

static enum sp_err
groups_of(struct sp_store *s, const struct sp_rowtype *t, const char *closure, const struct sp_uuid *leaf, sp_row_fn fn, void *arg)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_q q;
	enum sp_err r;

	if ((r = sp_buf_append_str(&sql, "SELECT ")) != SP_OK || (r = sp_row_columns(&sql, t, "t.")) != SP_OK ||
	    (r = sp_buf_printf(&sql, " FROM %s c JOIN %s t ON t.id = c.node_id WHERE c.leaf_id = ? ORDER BY t.name", closure, t->table)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
	sp_q_uuid(&q, leaf);
	return sp_row_each(&q, t, fn, arg);
}

struct group_call {
	sp_store_group_fn	 fn;
	void			*arg;
};

static int
group_call(const void *row, void *arg)
{
	struct group_call *c = arg;

	return c->fn(row, c->arg);
}

struct asset_group_call {
	sp_store_asset_group_fn	 fn;
	void			*arg;
};

static int
asset_group_call(const void *row, void *arg)
{
	struct asset_group_call *c = arg;

	return c->fn(row, c->arg);
}

enum sp_err
sp_store_groups_of_user(struct sp_store *s, const struct sp_uuid *user_id, sp_store_group_fn fn, void *arg)
{
	return groups_of(s, &sp_rt_group, "user_closure", user_id, group_call, &(struct group_call){ fn, arg });
}

enum sp_err
sp_store_groups_of_asset(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_asset_group_fn fn, void *arg)
{
	return groups_of(s, &sp_rt_asset_group, "asset_closure", asset_id, asset_group_call, &(struct asset_group_call){ fn, arg });
}

static enum sp_err
leaves_of(struct sp_store *s, const char *sql, const struct sp_uuid *node, sp_store_id_fn fn, void *arg)
{
	sp_auto_q q;
	struct sp_uuid id;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, sql, &q);
	sp_q_uuid(&q, node);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &id)) != SP_OK || fn(&id, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_users_of_group(struct sp_store *s, const struct sp_uuid *group_id, sp_store_id_fn fn, void *arg)
{
	return leaves_of(s, "SELECT leaf_id FROM user_closure WHERE node_id = ? ORDER BY leaf_id", group_id, fn, arg);
}

enum sp_err
sp_store_assets_of_group(struct sp_store *s, const struct sp_uuid *group_id, sp_store_id_fn fn, void *arg)
{
	return leaves_of(s, "SELECT leaf_id FROM asset_closure WHERE node_id = ? ORDER BY leaf_id", group_id, fn, arg);
}

/* ---- tags ---- */

static enum sp_err
tag_get(struct sp_store *s, const struct sp_uuid *asset_id, const char *key, char ret[SP_STORE_NAME_MAX + 1])
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT value FROM asset_tags WHERE asset_id = ? AND key = ?", &q);
	sp_q_uuid(&q, asset_id);
	sp_q_text(&q, key);
	return (r = sp_q_step(&q)) == SP_OK ? sp_q_get_text(&q, 0, ret, SP_STORE_NAME_MAX + 1) : r;
}

enum sp_err
sp_store_tag_set(struct sp_store *s, const struct sp_uuid *asset_id, const char *key, const char *value)
{
	char was[SP_STORE_NAME_MAX + 1], id[SP_UUID_SIZE];
	struct sp_q q;
	int had;
	enum sp_err r;

	if (!sp_name_is_ok(key, SP_STORE_NAME_MAX) ||
	    (value != NULL && (strlen(value) > SP_STORE_NAME_MAX || !sp_text_is_plain(value, strlen(value)))))
		return SP_EINVAL;
	had = s->on_change != NULL && tag_get(s, asset_id, key, was) == SP_OK;
	sp_q_open(s, SP_STORE_MAIN, value == NULL ? "DELETE FROM asset_tags WHERE asset_id = ? AND key = ?" :
	    "INSERT INTO asset_tags (asset_id, key, value) VALUES (?, ?, ?) ON CONFLICT (asset_id, key) DO UPDATE SET value = excluded.value", &q);
	sp_q_uuid(&q, asset_id);
	sp_q_text(&q, key);
	if (value != NULL)
		sp_q_text(&q, value);
	if ((r = sp_op_single(s, SP_STORE_MAIN, &q, NULL)) == SP_OK && (had || value != NULL))
		sp_change_value(s, "asset_tags", sp_uuid_text(asset_id, id), key, had ? was : NULL, value);
	return r == SP_ESTATE && !s->tx_bad[SP_STORE_MAIN] ? SP_ENOENT : r;
}

enum sp_err
sp_store_tags(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_tag_fn fn, void *arg)
{
	sp_auto_q q;
	char key[SP_STORE_NAME_MAX + 1], value[SP_STORE_NAME_MAX + 1];
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT key, value FROM asset_tags WHERE asset_id = ? ORDER BY key", &q);
	sp_q_uuid(&q, asset_id);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_text(&q, 0, key, sizeof(key))) != SP_OK || (r = sp_q_get_text(&q, 1, value, sizeof(value))) != SP_OK ||
		    fn(key, value, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}
