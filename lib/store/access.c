/* lib/store/access.c - what a user may touch: the hot fetch behind every decision, and the lists of menu and `access who`.
 * Process: control. The closures hold each leaf itself too, so one decision is: the user's nodes times the asset's
 * nodes, and for each pair one probe of grants(subject_id, object_id). CROSS JOIN and INDEXED BY keep SQLite to that; PostgreSQL
 * is kept to it by a subquery that it may not merge, else it would, on a plan made while grants was empty, search by the
 * object alone. So no statistics change the plan; tests ask both for it. */
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
};

static int
proof_row(const void *row, void *arg)
{
	const struct sp_store_grant *g = row;
	struct proof *p = arg;
	int ok = 1;

	if ((p->err = sp_mac_row_check(p->s, &sp_rt_grant, g)) != SP_OK)
		return 1;
	if (g->effect == SP_STORE_ALLOW &&
	    ((p->err = sp_path_proves(p->s, &p->user, &g->subject_id, &ok)) != SP_OK ||
	    (ok && (p->err = sp_path_proves(p->s, &p->asset, &g->object_id, &ok)) != SP_OK)))
		return 1;
	return ok ? p->fn(g, p->arg) : 0;
}

enum sp_err
sp_store_grants_for(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, sp_store_grant_fn fn, void *arg)
{
	struct proof p = { .s = s, .user = { .graph = SP_PATH_USERS, .leaf = user_id },
	    .asset = { .graph = SP_PATH_ASSETS, .leaf = asset_id }, .fn = fn, .arg = arg };
	struct sp_q q;
	enum sp_err r;

	if ((r = pair_sql(s)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, s->sql_grants_for, &q);
	sp_q_uuid(&q, user_id);
	sp_q_uuid(&q, asset_id);
	r = sp_row_each(&q, &sp_rt_grant, proof_row, &p);
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

enum sp_err
sp_store_tag_set(struct sp_store *s, const struct sp_uuid *asset_id, const char *key, const char *value)
{
	struct sp_q q;
	enum sp_err r;

	if (!sp_name_is_ok(key, SP_STORE_NAME_MAX) ||
	    (value != NULL && (strlen(value) > SP_STORE_NAME_MAX || !sp_text_is_plain(value, strlen(value)))))
		return SP_EINVAL;
	sp_q_open(s, SP_STORE_MAIN, value == NULL ? "DELETE FROM asset_tags WHERE asset_id = ? AND key = ?" :
	    "INSERT INTO asset_tags (asset_id, key, value) VALUES (?, ?, ?) ON CONFLICT (asset_id, key) DO UPDATE SET value = excluded.value", &q);
	sp_q_uuid(&q, asset_id);
	sp_q_text(&q, key);
	if (value != NULL)
		sp_q_text(&q, value);
	r = sp_op_single(s, SP_STORE_MAIN, &q, NULL);
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
