/* lib/store/scan.c - looking through the whole store for rows that were changed behind our back, and what an administrator
 * does about one after he has looked at it. See mac.c.
 * Process: control, in a reader lane, a page at a time; accepting and removing in the writer.
 * Parts of a scan, in order: the tables of rows, both tables of edges, settings, then both closures compared with what
 * the edges give. A cursor is text, so that it can travel to the command line and back. */
#include <stdlib.h>
#include <string.h>

#include "store/db.h"

#define EDGE_COLUMNS	"SELECT parent_id, child_id, child_kind, created_us, mac FROM "
/* Of the leaves with the next ids: pairs that the edges give and the closure has not (1), and the other way round (2). */
#define CLOSURE_DIFF(g, leaves)												\
	"WITH RECURSIVE page(id) AS (SELECT id FROM " leaves " WHERE id > ? ORDER BY id LIMIT ?),"				\
	" w(leaf, node) AS (SELECT id, id FROM page UNION SELECT w.leaf, e.parent_id FROM w JOIN " g "_edges e ON e.child_id = w.node),"	\
	" have(leaf, node) AS (SELECT c.leaf_id, c.node_id FROM page JOIN " g "_closure c ON c.leaf_id = page.id)"		\
	" SELECT 0, id, id FROM page"												\
	" UNION ALL SELECT 1, leaf, node FROM (SELECT leaf, node FROM w EXCEPT SELECT leaf, node FROM have) a"		\
	" UNION ALL SELECT 2, leaf, node FROM (SELECT leaf, node FROM have EXCEPT SELECT leaf, node FROM w) b"
#define CLOSURE_FILL(g)													\
	"WITH RECURSIVE r(leaf, id) AS (SELECT id, id FROM " g " WHERE id = ?"							\
	" UNION SELECT r.leaf, e.parent_id FROM r JOIN "

static const struct {
	const char	*edges, *closure, *page, *one, *accept, *diff, *empty, *fill;
} graphs[] = {
#define GRAPH(g, leaves) {												\
	g "_edges", g "_closure",											\
	EDGE_COLUMNS g "_edges WHERE (child_id, parent_id) > (?, ?) ORDER BY child_id, parent_id LIMIT ?",		\
	EDGE_COLUMNS g "_edges WHERE child_id = ? AND parent_id = ?",							\
	"UPDATE " g "_edges SET mac = ? WHERE child_id = ? AND parent_id = ?",						\
	CLOSURE_DIFF(g, leaves),											\
	"DELETE FROM " g "_closure WHERE leaf_id = ?",									\
	CLOSURE_FILL(leaves) g "_edges e ON e.child_id = r.id) INSERT INTO " g "_closure (leaf_id, node_id) SELECT leaf, id FROM r" }
	GRAPH("user", "users"), GRAPH("asset", "assets")
};
#define GRAPHS_N	SP_NELEMS(graphs)

struct scan {
	struct sp_store		*s;
	struct sp_store_scan	*at;
	uint32_t		 limit;
	sp_store_finding_fn	 fn;
	void			*arg;
	int			 stop;
};

/* What a page adds to the handle's findings goes to its caller alone. */
static void
scan_report(struct scan *k, size_t from)
{
	while (k->s->finding_n > from) {
		k->stop |= k->fn(&k->s->finding[k->s->finding_n - 1], k->arg);
		k->s->finding_n--;
	}
}

static enum sp_err
pair_parse(const char *text, struct sp_uuid *a, struct sp_uuid *b)
{
	char one[SP_UUID_SIZE];
	const char *slash = strchr(text, '/');

	if (slash == NULL || (size_t)(slash - text) >= sizeof(one))
		return SP_EINVAL;
	memcpy(one, text, (size_t)(slash - text));
	one[slash - text] = '\0';
	return sp_uuid_parse(one, a) == SP_OK && sp_uuid_parse(slash + 1, b) == SP_OK ? SP_OK : SP_EINVAL;
}

/* ---- a page of each sort; *ret_n: rows that it had ---- */

static enum sp_err
page_rows(struct scan *k, const struct sp_rowtype *t, uint32_t *ret_n)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_uuid after = { 0 }, id;
	void *row = NULL;
	sp_auto_q q;
	enum sp_err r;

	if (*k->at->after && sp_uuid_parse(k->at->after, &after) != SP_OK)
		return SP_EINVAL;
	if ((r = sp_buf_append_str(&sql, "SELECT ")) != SP_OK || (r = sp_row_columns(&sql, t, "")) != SP_OK ||
	    (r = sp_buf_printf(&sql, " FROM %s WHERE id > ? ORDER BY id LIMIT ?", t->table)) != SP_OK)
		return r;
	if ((row = malloc(t->size)) == NULL)
		return SP_ENOMEM;
	sp_q_open(k->s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
	sp_q_blob(&q, after.b, sizeof(after.b));
	sp_q_i64(&q, k->limit);
	while ((r = sp_q_step(&q)) == SP_OK) {
		size_t before = k->s->finding_n;

		if ((r = sp_q_get_uuid(&q, 0, &id)) != SP_OK)
			break;
		(void)sp_uuid_text(&id, k->at->after);
		if (sp_row_read(&q, t, row) != SP_OK)
			sp_mac_found(k->s, t->table, k->at->after, "it cannot be read: beyond the bounds of its columns");
		else if ((r = sp_mac_row_check(k->s, t, row)) != SP_OK && r != SP_ETAMPERED)
			break;
		scan_report(k, before);
		++*ret_n;
	}
	free(row);
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
page_edges(struct scan *k, size_t g, uint32_t *ret_n)
{
	struct sp_uuid child = { 0 }, parent = { 0 };
	struct sp_store_member m;
	sp_auto_q q;
	enum sp_err r;

	if (*k->at->after && pair_parse(k->at->after, &child, &parent) != SP_OK)
		return SP_EINVAL;
	sp_q_open(k->s, SP_STORE_MAIN, graphs[g].page, &q);
	sp_q_blob(&q, child.b, sizeof(child.b));
	sp_q_blob(&q, parent.b, sizeof(parent.b));
	sp_q_i64(&q, k->limit);
	while ((r = sp_q_step(&q)) == SP_OK) {
		size_t before = k->s->finding_n;

		if ((r = sp_member_read(&q, &m)) != SP_OK ||
		    ((r = sp_mac_edge_check(k->s, graphs[g].edges, &m)) != SP_OK && r != SP_ETAMPERED))
			return r;
		sp_mac_pair_text(&m.member_id, &m.group_id, k->at->after);
		scan_report(k, before);
		++*ret_n;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

/* There are a few dozens at most: one page. */
static enum sp_err
page_settings(struct scan *k)
{
	char key[SP_STORE_NAME_MAX + 1], value[SP_STORE_VALUE_MAX + 1];
	struct sp_store_mac mac = { 0 };
	const void *p;
	size_t n;
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(k->s, SP_STORE_MAIN, "SELECT key, value, mac FROM settings ORDER BY key", &q);
	while ((r = sp_q_step(&q)) == SP_OK) {
		size_t before = k->s->finding_n;

		if ((r = sp_q_get_text(&q, 0, key, sizeof(key))) != SP_OK || (r = sp_q_get_text(&q, 1, value, sizeof(value))) != SP_OK)
			return r;
		p = sp_q_get_bytes(&q, 2, &n);
		mac.len = n <= sizeof(mac.b) ? (uint32_t)n : 0;
		memcpy(mac.b, p, mac.len);
		if ((r = sp_mac_setting_check(k->s, key, value, &mac)) != SP_OK && r != SP_ETAMPERED)
			return r;
		scan_report(k, before);
		k->at->seen++;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
page_closure(struct scan *k, size_t g, uint32_t *ret_n)
{
	static const char *const what[] = { NULL, "missing: the memberships lead there", "no membership leads there" };
	struct sp_uuid after = { 0 }, leaf, node;
	char id[SP_STORE_ROW_ID_SIZE];
	sp_auto_q q;
	enum sp_err r;

	if (*k->at->after && sp_uuid_parse(k->at->after, &after) != SP_OK)
		return SP_EINVAL;
	sp_q_open(k->s, SP_STORE_MAIN, graphs[g].diff, &q);
	sp_q_blob(&q, after.b, sizeof(after.b));
	sp_q_i64(&q, k->limit);
	while ((r = sp_q_step(&q)) == SP_OK) {
		size_t before = k->s->finding_n;
		int64_t kind = sp_q_get_i64(&q, 0);

		if ((r = sp_q_get_uuid(&q, 1, &leaf)) != SP_OK || (r = sp_q_get_uuid(&q, 2, &node)) != SP_OK)
			return r;
		if (kind != 1 && kind != 2) {
			++*ret_n;
			if (memcmp(leaf.b, after.b, sizeof(after.b)) > 0)
				after = leaf;
			continue;
		}
		sp_mac_pair_text(&leaf, &node, id);
		sp_mac_found(k->s, graphs[g].closure, id, what[kind]);
		scan_report(k, before);
	}
	(void)sp_uuid_text(&after, k->at->after);
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
scan_page(struct scan *k, uint32_t *ret_n)
{
	size_t part = k->at->part;

	if (part < sp_rowtypes_n)
		return page_rows(k, sp_rowtypes[part], ret_n);
	part -= sp_rowtypes_n;
	if (part < GRAPHS_N)
		return page_edges(k, part, ret_n);
	part -= GRAPHS_N;
	if (part == 0)
		return page_settings(k);
	part--;
	return part < GRAPHS_N ? page_closure(k, part, ret_n) : SP_EINVAL;
}

enum sp_err
sp_store_rows_scan(struct sp_store *s, struct sp_store_scan *at, uint32_t limit, sp_store_finding_fn fn, void *arg)
{
	const size_t parts = sp_rowtypes_n + GRAPHS_N + 1 + GRAPHS_N;
	struct sp_store_scan next = *at;
	struct scan k = { .s = s, .at = &next, .limit = limit != 0 ? limit : SP_STORE_PAGE_MAX, .fn = fn, .arg = arg };
	struct sp_store_finding kept[SP_STORE_FINDINGS_MAX];
	size_t kept_n = sp_store_findings(s, kept);	/* what reads before found is not ours, and hides nothing */
	enum sp_err r = SP_OK;

	if (s->mac_mode != SP_STORE_MAC_ON)
		r = SP_ESTATE;
	next.seen = 0;
	while (r == SP_OK && next.part < parts && next.seen < k.limit && !k.stop) {
		uint32_t n = 0;

		if ((r = scan_page(&k, &n)) != SP_OK)
			break;
		next.seen += n;
		if (n < k.limit) {
			next.part++;
			next.after[0] = '\0';
		}
	}
	memcpy(s->finding, kept, kept_n * sizeof(kept[0]));
	s->finding_n = kept_n;
	next.done = next.part >= parts;
	if (r == SP_OK)
		*at = next;
	return r;
}

/* ---- accept, remove ---- */

static const struct sp_rowtype *
rowtype_of(const char *table)
{
	for (size_t i = 0; i < sp_rowtypes_n; i++)
		if (strcmp(sp_rowtypes[i]->table, table) == 0)
			return sp_rowtypes[i];
	return NULL;
}

struct copy {
	void	*row;
	size_t	 size;
	int	 n;
};

static int
copy_row(const void *row, void *arg)
{
	struct copy *c = arg;

	memcpy(c->row, row, c->size);
	c->n++;
	return 1;
}

static enum sp_err
accept_row(struct sp_store *s, const struct sp_rowtype *t, const struct sp_uuid *id)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct copy c = { malloc(t->size), t->size, 0 };
	char update[128];
	struct sp_row_head *h = c.row;
	struct sp_q q;
	enum sp_err r;

	if (c.row == NULL)
		return SP_ENOMEM;
	if ((r = sp_buf_append_str(&sql, "SELECT ")) == SP_OK && (r = sp_row_columns(&sql, t, "")) == SP_OK)
		r = sp_buf_printf(&sql, " FROM %s WHERE id = ?", t->table);
	if (r == SP_OK) {
		sp_q_open(s, SP_STORE_MAIN, sp_buf_cstr(&sql), &q);
		sp_q_uuid(&q, id);
		if ((r = sp_row_each(&q, t, copy_row, &c)) == SP_OK && c.n == 0)
			r = SP_ENOENT;
	}
	if (r == SP_OK && (r = sp_mac_row_make(s, t, c.row)) == SP_OK) {
		sp_snprintf(update, sizeof(update), "UPDATE %s SET mac = ? WHERE id = ?", t->table);
		sp_q_open(s, SP_STORE_MAIN, update, &q);
		sp_q_blob(&q, h->mac.b, h->mac.len);
		sp_q_uuid(&q, id);
		r = sp_q_run(&q, NULL);
	}
	free(c.row);
	return r;
}

static enum sp_err
accept_edge(struct sp_store *s, size_t g, const struct sp_uuid *child, const struct sp_uuid *parent)
{
	struct sp_store_member m;
	struct sp_store_mac mac;
	struct sp_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, graphs[g].one, &q);
	sp_q_uuid(&q, child);
	sp_q_uuid(&q, parent);
	if ((r = sp_q_step(&q)) == SP_OK)
		r = sp_member_read(&q, &m);
	sp_q_close(&q);
	if (r != SP_OK || (r = sp_groups_changed(s)) != SP_OK || (r = sp_mac_edge_make(s, graphs[g].edges, &m, &mac)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, graphs[g].accept, &q);
	sp_q_blob(&q, mac.b, mac.len);
	sp_q_uuid(&q, child);
	sp_q_uuid(&q, parent);
	return sp_q_run(&q, NULL);
}

static enum sp_err
rebuild_closure(struct sp_store *s, size_t g, const struct sp_uuid *leaf)
{
	struct sp_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, graphs[g].empty, &q);
	sp_q_uuid(&q, leaf);
	if ((r = sp_q_run(&q, NULL)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, graphs[g].fill, &q);
	sp_q_uuid(&q, leaf);
	return sp_q_run(&q, NULL);
}

static enum sp_err
setting_value(struct sp_store *s, const char *key, char dst[SP_STORE_VALUE_MAX + 1])
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT value FROM settings WHERE key = ?", &q);
	sp_q_text(&q, key);
	return (r = sp_q_step(&q)) == SP_OK ? sp_q_get_text(&q, 0, dst, SP_STORE_VALUE_MAX + 1) : r;
}

static enum sp_err
mend_setting(struct sp_store *s, const char *key, int remove)
{
	char value[SP_STORE_VALUE_MAX + 1];
	struct sp_q q;
	enum sp_err r;

	if ((r = setting_value(s, key, value)) != SP_OK)
		return r;
	if (!remove)
		return sp_store_setting_set(s, key, value);
	sp_q_open(s, SP_STORE_MAIN, "DELETE FROM settings WHERE key = ?", &q);
	sp_q_text(&q, key);
	return sp_q_run(&q, NULL);
}

static enum sp_err
mend_body(struct sp_store *s, const char *table, const char *id, int remove)
{
	const struct sp_rowtype *t = rowtype_of(table);
	struct sp_uuid a, b;

	if (t != NULL) {
		if (sp_uuid_parse(id, &a) != SP_OK)
			return SP_EINVAL;
		return remove ? sp_row_delete(s, t, &a, SP_STORE_ANY_VERSION) : accept_row(s, t, &a);
	}
	if (strcmp(table, "settings") == 0)
		return mend_setting(s, id, remove);
	if (pair_parse(id, &a, &b) != SP_OK)
		return SP_EINVAL;
	for (size_t g = 0; g < GRAPHS_N; g++) {
		if (strcmp(table, graphs[g].edges) == 0)
			return remove ? sp_store_edge_delete(s, (int)g, &b, &a) : accept_edge(s, g, &a, &b);
		if (strcmp(table, graphs[g].closure) == 0)
			return rebuild_closure(s, g, &a);
	}
	return SP_EINVAL;
}

static enum sp_err
mend(struct sp_store *s, const char *table, const char *id, int remove)
{
	enum sp_err r;

	if (s->mac_mode != SP_STORE_MAC_ON)
		return SP_ESTATE;
	if ((r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	return sp_op_end(s, SP_STORE_MAIN, mend_body(s, table, id, remove));
}

enum sp_err
sp_store_row_accept(struct sp_store *s, const char *table, const char *id)
{
	return mend(s, table, id, 0);
}

enum sp_err
sp_store_row_remove(struct sp_store *s, const char *table, const char *id)
{
	return mend(s, table, id, 1);
}

/* ---- everything ---- */

struct all {
	struct sp_store_finding	*f;
	size_t			 n, cap;
	enum sp_err		 err;
};

static int
all_add(const struct sp_store_finding *f, void *arg)
{
	struct all *a = arg;

	if (a->n == a->cap) {
		size_t cap = a->cap != 0 ? a->cap * 2 : 64;
		struct sp_store_finding *p = realloc(a->f, cap * sizeof(*p));

		if (p == NULL) {
			a->err = SP_ENOMEM;
			return 1;
		}
		a->f = p;
		a->cap = cap;
	}
	a->f[a->n++] = *f;
	return 0;
}

static enum sp_err
accept_found(struct sp_store *s, struct all *a)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < a->n && r == SP_OK; i++)
		r = mend_body(s, a->f[i].table, a->f[i].id, 0);
	return r;
}

static enum sp_err
accept_all_body(struct sp_store *s, uint64_t *ret_n)
{
	struct sp_store_scan at = { 0 };
	struct all a = { 0 };
	enum sp_err r = SP_OK;

	while (r == SP_OK && !at.done) {
		a.n = 0;
		if ((r = sp_store_rows_scan(s, &at, 0, all_add, &a)) == SP_OK)
			r = a.err != SP_OK ? a.err : accept_found(s, &a);
		*ret_n += a.n;
	}
	free(a.f);
	return r;
}

enum sp_err
sp_store_rows_accept_all(struct sp_store *s, uint64_t *ret_n)
{
	uint64_t n = 0;
	enum sp_err r;

	if (s->mac_mode != SP_STORE_MAC_ON)
		return SP_ESTATE;
	if ((r = sp_op_begin(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	if ((r = sp_op_end(s, SP_STORE_MAIN, accept_all_body(s, &n))) == SP_OK)
		*ret_n = n;
	return r;
}
