/* lib/store/menu.c - the lists around an access decision: what a person's menu shows, what he marked in it, and who comes
 * to an asset. Process: control. Every query begins at one leaf (a user, an asset) and goes on by index; CROSS JOIN keeps
 * SQLite to that order. */
#include <string.h>

#include "store/db.h"

/* Assets with an allow grant in its window, each once. */
#define REACHED	"(SELECT DISTINCT c.leaf_id AS id FROM user_closure u CROSS JOIN grants g CROSS JOIN asset_closure c"	\
		" WHERE u.leaf_id = ? AND g.subject_id = u.node_id AND g.effect = 1 AND g.valid_from_us <= ?"		\
		" AND (g.valid_until_us = 0 OR g.valid_until_us > ?) AND c.node_id = g.object_id) r"

static void
reached_open(struct sp_store *s, const char *sql, const struct sp_uuid *user_id, int64_t now_us, struct sp_q *ret)
{
	sp_q_open(s, SP_STORE_MAIN, sql, ret);
	sp_q_uuid(ret, user_id);
	sp_q_i64(ret, now_us);
	sp_q_i64(ret, now_us);
}

/* A text column, NUL-terminated in dst: both drivers give bytes that end somewhere. */
static enum sp_err
text_col(struct sp_q *q, int col, char *dst, size_t size, const char **ret)
{
	enum sp_err r = sp_q_get_text(q, col, dst, size);

	*ret = dst;
	return r;
}

enum sp_err
sp_store_reach_rows(struct sp_store *s, const struct sp_uuid *user_id, int64_t now_us, sp_store_reach_fn fn, void *arg)
{
	char name[SP_STORE_NAME_MAX + 1], address[SP_STORE_ADDR_MAX + 1], remark[SP_STORE_TEXT_MAX + 1], account[SP_STORE_NAME_MAX + 1];
	struct sp_store_reach_row row;
	sp_auto_q q;
	enum sp_err r;

	reached_open(s, "SELECT t.id, t.name, t.address, t.remark, a.name FROM " REACHED
	    " CROSS JOIN assets t CROSS JOIN accounts a WHERE t.id = r.id AND t.state = 1 AND a.asset_id = t.id AND a.state = 1",
	    user_id, now_us, &q);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &row.asset_id)) != SP_OK ||
		    (r = text_col(&q, 1, name, sizeof(name), &row.name)) != SP_OK ||
		    (r = text_col(&q, 2, address, sizeof(address), &row.address)) != SP_OK ||
		    (r = text_col(&q, 3, remark, sizeof(remark), &row.remark)) != SP_OK ||
		    (r = text_col(&q, 4, account, sizeof(account), &row.account)) != SP_OK || fn(&row, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
each_pair(struct sp_q *q, sp_store_pair_fn fn, void *arg)
{
	struct sp_uuid a, b;
	enum sp_err r;

	while ((r = sp_q_step(q)) == SP_OK)
		if ((r = sp_q_get_uuid(q, 0, &a)) != SP_OK || (r = sp_q_get_uuid(q, 1, &b)) != SP_OK || fn(&a, &b, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_reach_places(struct sp_store *s, const struct sp_uuid *user_id, int64_t now_us, sp_store_pair_fn fn, void *arg)
{
	sp_auto_q q;

	reached_open(s, "SELECT e.child_id, e.parent_id FROM " REACHED " CROSS JOIN asset_edges e WHERE e.child_id = r.id",
	    user_id, now_us, &q);
	return each_pair(&q, fn, arg);
}

/* ---- favourites ---- */

enum sp_err
sp_store_favourite_set(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *asset_id, int on)
{
	struct sp_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, on ? "INSERT INTO favourites (user_id, asset_id, created_us) VALUES (?, ?, ?)"
	    " ON CONFLICT (user_id, asset_id) DO NOTHING" : "DELETE FROM favourites WHERE user_id = ? AND asset_id = ?", &q);
	sp_q_uuid(&q, user_id);
	sp_q_uuid(&q, asset_id);
	if (on)
		sp_q_i64(&q, sp_store_now(s));
	r = sp_op_single(s, SP_STORE_MAIN, &q, NULL);
	return r == SP_ESTATE && !s->tx_bad[SP_STORE_MAIN] ? SP_ENOENT : r;
}

enum sp_err
sp_store_favourites(struct sp_store *s, const struct sp_uuid *user_id, sp_store_id_fn fn, void *arg)
{
	sp_auto_q q;
	struct sp_uuid id;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT asset_id FROM favourites WHERE user_id = ? ORDER BY asset_id", &q);
	sp_q_uuid(&q, user_id);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &id)) != SP_OK || fn(&id, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

/* ---- who comes to an asset ---- */

enum sp_err
sp_store_ways_to_asset(struct sp_store *s, const struct sp_uuid *asset_id, sp_store_way_fn fn, void *arg)
{
	sp_auto_q q;
	struct sp_store_way w;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT t.id, g.id, t.login FROM asset_closure a CROSS JOIN grants g CROSS JOIN user_closure u"
	    " CROSS JOIN users t WHERE a.leaf_id = ? AND g.object_id = a.node_id AND u.node_id = g.subject_id AND t.id = u.leaf_id"
	    " ORDER BY t.login, g.id", &q);
	sp_q_uuid(&q, asset_id);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_q_get_uuid(&q, 0, &w.user_id)) != SP_OK || (r = sp_q_get_uuid(&q, 1, &w.grant_id)) != SP_OK ||
		    (r = sp_q_get_text(&q, 2, w.login, sizeof(w.login))) != SP_OK || fn(&w, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}
