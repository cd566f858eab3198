/* src/control/menu_list.c - see menu_list.h.
 *
 * Judging ten thousand assets one by one would be ten thousand fetches. Instead: the user's grants once; for each the
 * assets that it is about, as pairs (asset, grant), sorted by asset; the active accounts of all of them by one query,
 * sorted the same way; then both are walked side by side, and lib/policy judges each account with the grants of its
 * asset: the same rows, the same function as at a login to it. Most assets come by the same grants, so an answer is
 * remembered by (grants, account name). */
#include "control/menu_list.h"

#include <stdlib.h>
#include <string.h>

#include "control/judge.h"

#define ROWS_MAX	(MENU_LIST_MAX * 4)
#define MEMO		1024	/* remembered answers; a power of two */
#define RECENT_ROWS	200	/* sessions that are looked at for the last ones used */

struct pair {
	struct sp_uuid	asset;
	uint32_t	grant;
};
struct found {			/* an account on an asset */
	struct sp_uuid	asset;
	uint32_t	name, address, remark, account;
};
struct memo {
	uint32_t	first, n, account;	/* grants of pair[first..]; n 0: empty */
	int		allowed;
};
struct work {
	struct sp_store		*s;
	struct menu_list	*l;
	int64_t			 now_us;
	struct judge_grants	 g;
	struct { struct sp_uuid id; int64_t kind; } *object;	/* of each grant */
	size_t			 object_n, object_cap;
	struct pair		*pair;
	size_t			 pair_n, pair_cap;
	uint32_t		 grant;			/* whose assets come now */
	struct found		*found;
	size_t			 found_n, found_cap;
	struct sp_policy_grant	*some;			/* room for the grants of one asset */
	struct sp_policy_decision *d;
	struct memo		*memo;
	enum sp_err		 err;
};

static void
work_release(struct work *w)
{
	judge_grants_release(&w->g);
	free(w->object);
	free(w->pair);
	free(w->found);
	free(w->some);
	free(w->d);
	free(w->memo);
}

/* One more element, or w->err. */
static int
grow(enum sp_err *err, void *array, size_t *cap, size_t n, size_t size, size_t max)
{
	void *p;
	size_t more = *cap > 0 ? *cap * 2 : 64;

	if (n < *cap)
		return 1;
	memcpy(&p, array, sizeof(p));
	if (n >= max || (p = realloc(p, more * size)) == NULL) {
		*err = n >= max ? SP_ESIZE : SP_ENOMEM;
		return 0;
	}
	memcpy(array, &p, sizeof(p));
	*cap = more;
	return 1;
}

static uint32_t
text_put(struct work *w, const char *s)
{
	size_t at = w->l->text.len;
	enum sp_err r = sp_buf_append(&w->l->text, s, strlen(s) + 1);

	if (r != SP_OK && w->err == SP_OK)
		w->err = r;
	return (uint32_t)at;
}

/* ---- grants and the assets that they are about ---- */

static int
on_grant(const struct sp_store_grant *row, void *arg)
{
	struct work *w = arg;

	/* Out of its window it neither allows nor denies. */
	if ((row->valid_from_us != 0 && w->now_us < row->valid_from_us) || (row->valid_until_us != 0 && w->now_us >= row->valid_until_us))
		return 0;
	if (!grow(&w->err, &w->object, &w->object_cap, w->object_n, sizeof(*w->object), JUDGE_GRANTS_MAX))
		return 1;
	w->object[w->object_n].id = row->object_id;
	w->object[w->object_n++].kind = row->object_kind;
	return judge_grants_add(row, &w->g);
}

static int
on_asset(const struct sp_uuid *id, void *arg)
{
	struct work *w = arg;

	if (!grow(&w->err, &w->pair, &w->pair_cap, w->pair_n, sizeof(*w->pair), MENU_LIST_PAIRS_MAX))
		return 1;
	w->pair[w->pair_n++] = (struct pair){ *id, w->grant };
	return 0;
}

static enum sp_err
load_pairs(struct work *w, const struct sp_uuid *user_id)
{
	enum sp_err r = sp_store_grants_of_user(w->s, user_id, on_grant, w);

	if (r == SP_OK)
		r = w->err != SP_OK ? w->err : w->g.err;
	for (size_t i = 0; i < w->g.n && r == SP_OK; i++) {
		w->grant = (uint32_t)i;
		if (w->object[i].kind == SP_STORE_OBJECT_ASSET)
			(void)on_asset(&w->object[i].id, w);
		else
			r = sp_store_assets_of_group(w->s, &w->object[i].id, on_asset, w);
		if (r == SP_OK)
			r = w->err;
	}
	return r;
}

static int
on_row(const struct sp_store_reach_row *row, void *arg)
{
	struct work *w = arg;
	const struct found *last;
	struct found f = { .asset = row->asset_id };

	if (w->found_n >= ROWS_MAX || w->l->text.len > MENU_LIST_TEXT_MAX - 4096) {
		w->l->cut = 1;
		return 1;
	}
	if (!grow(&w->err, &w->found, &w->found_cap, w->found_n, sizeof(f), ROWS_MAX))
		return 1;
	if (w->found_n > 0 && sp_uuid_equal(&w->found[w->found_n - 1].asset, &f.asset)) {
		last = &w->found[w->found_n - 1];
		f.name = last->name;
		f.address = last->address;
		f.remark = last->remark;
	} else {
		f.name = text_put(w, row->name);
		f.address = text_put(w, row->address);
		f.remark = text_put(w, row->remark);
	}
	f.account = text_put(w, row->account);
	w->found[w->found_n++] = f;
	return w->err != SP_OK;
}

static int
by_pair(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	int c = memcmp(x->asset.b, y->asset.b, sizeof(x->asset.b));

	return c != 0 ? c : (x->grant > y->grant) - (x->grant < y->grant);
}

static int
by_found(const void *a, const void *b, void *arg)
{
	const struct found *x = a, *y = b;
	const struct menu_list *l = arg;
	int c = memcmp(x->asset.b, y->asset.b, sizeof(x->asset.b));

	return c != 0 ? c : strcmp(menu_list_text(l, x->account), menu_list_text(l, y->account));
}

/* ---- the decisions ---- */

static int
judge_one(struct work *w, struct sp_policy_input *in, uint32_t first, uint32_t n, uint32_t account)
{
	const char *name = menu_list_text(w->l, account);
	uint64_t h = UINT64_C(14695981039346656037);
	struct memo *m;

	for (uint32_t i = 0; i < n; i++)
		h = (h ^ w->pair[first + i].grant) * UINT64_C(1099511628211);
	for (const char *p = name; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(1099511628211);
	m = &w->memo[(h ^ h >> 32) & (MEMO - 1)];
	if (m->n == n && strcmp(menu_list_text(w->l, m->account), name) == 0) {
		uint32_t i = 0;

		while (i < n && w->pair[m->first + i].grant == w->pair[first + i].grant)
			i++;
		if (i == n)
			return m->allowed;
	}
	for (uint32_t i = 0; i < n; i++)
		w->some[i] = w->g.g[w->pair[first + i].grant];
	in->grant = w->some;
	in->n = n;
	in->account = name;
	sp_policy_access(in, w->d, NULL, 0, NULL);
	*m = (struct memo){ first, n, account, w->d->allowed };
	return w->d->allowed;
}

/* The accounts found[from..to) are those of one asset. */
static void
judge_asset_row(struct work *w, struct sp_policy_input *in, size_t from, size_t to, size_t *at)
{
	const struct found *f = &w->found[from];
	struct menu_list *l = w->l;
	struct menu_list_row row = { .id = f->asset, .name = f->name, .address = f->address, .remark = f->remark,
	    .account = (uint32_t)l->account_n };
	size_t first;

	while (*at < w->pair_n && memcmp(w->pair[*at].asset.b, f->asset.b, sizeof(f->asset.b)) < 0)
		(*at)++;
	for (first = *at; *at < w->pair_n && sp_uuid_equal(&w->pair[*at].asset, &f->asset); (*at)++)
		;
	for (size_t i = from; i < to && *at > first; i++) {
		if (!judge_one(w, in, (uint32_t)first, (uint32_t)(*at - first), w->found[i].account))
			continue;
		if (!grow(&w->err, &l->account, &l->account_cap, l->account_n, sizeof(*l->account), ROWS_MAX))
			return;
		l->account[l->account_n++] = w->found[i].account;
		row.account_n++;
	}
	if (row.account_n == 0)
		return;
	if (l->n >= MENU_LIST_MAX)
		l->cut = 1;
	else if (grow(&w->err, &l->row, &l->cap, l->n, sizeof(row), MENU_LIST_MAX))
		l->row[l->n++] = row;
}

static enum sp_err
judge_all(struct work *w, struct sp_policy_input *in)
{
	size_t at = 0, to;

	w->some = calloc(w->g.n + 1, sizeof(*w->some));
	w->d = malloc(sizeof(*w->d));
	w->memo = calloc(MEMO, sizeof(*w->memo));
	if (w->some == NULL || w->d == NULL || w->memo == NULL)
		return SP_ENOMEM;
	for (size_t from = 0; from < w->found_n && w->err == SP_OK; from = to) {
		for (to = from + 1; to < w->found_n && sp_uuid_equal(&w->found[to].asset, &w->found[from].asset); to++)
			;
		judge_asset_row(w, in, from, to, &at);
	}
	return w->err;
}

/* ---- favourites and the last used; the order ---- */

static int
row_by_id(const void *key, const void *row)
{
	return memcmp(key, ((const struct menu_list_row *)row)->id.b, SP_UUID_LEN);
}

static struct menu_list_row *
row_of(struct menu_list *l, const struct sp_uuid *id)
{
	return l->n > 0 ? bsearch(id->b, l->row, l->n, sizeof(*l->row), row_by_id) : NULL;	/* while they are in order of id */
}

static int
on_favourite(const struct sp_uuid *id, void *arg)
{
	struct menu_list_row *r = row_of(arg, id);

	if (r != NULL)
		r->favourite = 1;
	return 0;
}

struct recent {
	struct menu_list	*l;
	unsigned		 n;
};

static int
on_session(const struct sp_store_session *row, void *arg)
{
	struct recent *k = arg;
	struct menu_list_row *r = row_of(k->l, &row->asset_id);

	if (r != NULL && r->recent == 0)
		r->recent = ++k->n;
	return k->n == MENU_LIST_RECENT;
}

static int
by_place(const void *a, const void *b, void *arg)
{
	const struct menu_list_row *x = a, *y = b;
	unsigned i = x->favourite ? 0 : x->recent > 0 ? x->recent : MENU_LIST_RECENT + 1;
	unsigned j = y->favourite ? 0 : y->recent > 0 ? y->recent : MENU_LIST_RECENT + 1;

	return i != j ? (i > j) - (i < j) : strcmp(menu_list_text(arg, x->name), menu_list_text(arg, y->name));
}

static enum sp_err
menu_order(struct sp_store *s, const struct sp_uuid *user_id, struct menu_list *l)
{
	struct sp_store_session_query q = { .user_id = *user_id, .limit = RECENT_ROWS };
	enum sp_err r = sp_store_favourites(s, user_id, on_favourite, l);

	if (r != SP_OK)
		return r;
	/* Without the index of the evidence the list is still the list. */
	(void)!sp_store_session_list(s, &q, on_session, &(struct recent){ l, 0 });
	if (l->n > 0)
		qsort_r(l->row, l->n, sizeof(*l->row), by_place, l);
	return SP_OK;
}

enum sp_err
menu_list_load(struct sp_store *s, const struct sp_store_user *u, const struct sp_netaddr *source, int64_t login_epoch,
    int64_t now_us, struct menu_list *ret)
{
	sp_auto(work_release) struct work w = { .s = s, .l = ret, .now_us = now_us };
	static const struct sp_store_asset active = { .state = SP_STORE_ACTIVE };	/* others are not fetched */
	struct sp_policy_input in;
	enum sp_err r;

	sp_buf_init(&ret->text, MENU_LIST_TEXT_MAX);
	if ((r = load_pairs(&w, &u->id)) != SP_OK || (r = sp_store_reach_rows(s, &u->id, now_us, on_row, &w)) != SP_OK ||
	    (r = w.err) != SP_OK)
		return r;
	if (w.pair_n > 0)
		qsort(w.pair, w.pair_n, sizeof(*w.pair), by_pair);
	if (w.found_n > 0)
		qsort_r(w.found, w.found_n, sizeof(*w.found), by_found, ret);
	judge_input(u, &active, source, login_epoch, now_us, &w.g, &in);
	return (r = judge_all(&w, &in)) == SP_OK ? menu_order(s, &u->id, ret) : r;
}

void
menu_list_release(struct menu_list *l)
{
	sp_buf_release(&l->text);
	free(l->row);
	free(l->account);
	free(l->group);
	free(l->place);
	*l = (struct menu_list){ 0 };
}

/* ---- groups ---- */

struct places {
	struct menu_list	*l;
	struct sp_uuid		*id;		/* of the assets in the list, sorted */
	enum sp_err		 err;
};

static int
by_uuid(const void *a, const void *b)
{
	return memcmp(a, b, SP_UUID_LEN);
}

/* Index + 1 of a group, added when new; 0: no room. Only for what is above a group: few. */
static uint32_t
group_at(struct places *p, const struct sp_uuid *id)
{
	struct menu_list *l = p->l;

	for (size_t i = l->group_n; i > 0; i--)
		if (sp_uuid_equal(&l->group[i - 1].id, id))
			return (uint32_t)i;
	if (!grow(&p->err, &l->group, &l->group_cap, l->group_n, sizeof(*l->group), MENU_LIST_GROUPS_MAX))
		return 0;
	l->group[l->group_n++] = (struct menu_list_group){ .id = *id };
	return (uint32_t)l->group_n;
}

struct place_id {
	struct sp_uuid	asset, group;
};
struct place_ids {
	struct places	 p;
	struct place_id	*v;
	size_t		 n, cap;
};

static int
on_place(const struct sp_uuid *asset, const struct sp_uuid *group, void *arg)
{
	struct place_ids *k = arg;

	if (k->p.l->n == 0 || bsearch(asset->b, k->p.id, k->p.l->n, sizeof(*k->p.id), by_uuid) == NULL)
		return 0;
	if (!grow(&k->p.err, &k->v, &k->cap, k->n, sizeof(*k->v), MENU_LIST_PAIRS_MAX))
		return 1;
	k->v[k->n++] = (struct place_id){ *asset, *group };
	return 0;
}

static int
by_group(const void *a, const void *b)
{
	const struct place_id *x = a, *y = b;

	return memcmp(x->group.b, y->group.b, SP_UUID_LEN);
}

static int
by_asset(const void *a, const void *b)
{
	const struct menu_list_place *x = a, *y = b;

	return memcmp(x->asset_id.b, y->asset_id.b, SP_UUID_LEN);
}

/* Names, and what is above, which may be new: the array grows while it is walked. */
static enum sp_err
load_groups(struct sp_store *s, struct places *p)
{
	struct menu_list *l = p->l;

	for (size_t i = 0; i < l->group_n; i++) {
		struct sp_store_asset_group g;
		enum sp_err r = sp_store_asset_group_get(s, &l->group[i].id, &g);

		if (r != SP_OK)
			return r == SP_ENOENT ? SP_ECONFLICT : r;	/* it went while we looked */
		l->group[i].name = (uint32_t)l->text.len;
		if ((r = sp_buf_append(&l->text, g.name, strlen(g.name) + 1)) != SP_OK)
			return r;
		if (!sp_uuid_is_null(&g.parent_id)) {
			uint32_t up = group_at(p, &g.parent_id);

			if (up == 0)
				return p->err;
			l->group[i].parent = up;
		}
	}
	return SP_OK;
}

static enum sp_err
places_build(struct sp_store *s, struct place_ids *k)
{
	struct menu_list *l = k->p.l;
	uint32_t at = 0;

	if (k->n > 0)
		qsort(k->v, k->n, sizeof(*k->v), by_group);	/* so that each group is looked for once */
	for (size_t i = 0; i < k->n; i++) {
		if (i == 0 || !sp_uuid_equal(&k->v[i].group, &k->v[i - 1].group)) {
			if (!grow(&k->p.err, &l->group, &l->group_cap, l->group_n, sizeof(*l->group), MENU_LIST_GROUPS_MAX))
				return k->p.err;
			l->group[l->group_n++] = (struct menu_list_group){ .id = k->v[i].group };
			at = (uint32_t)l->group_n;
		}
		if (!grow(&k->p.err, &l->place, &l->place_cap, l->place_n, sizeof(*l->place), MENU_LIST_PAIRS_MAX))
			return k->p.err;
		l->place[l->place_n++] = (struct menu_list_place){ k->v[i].asset, at };
	}
	if (l->place_n > 0)
		qsort(l->place, l->place_n, sizeof(*l->place), by_asset);
	return load_groups(s, &k->p);
}

enum sp_err
menu_list_places(struct sp_store *s, const struct sp_uuid *user_id, int64_t now_us, struct menu_list *l)
{
	struct place_ids k = { .p = { .l = l } };
	enum sp_err r;

	if ((k.p.id = calloc(l->n + 1, sizeof(*k.p.id))) == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		k.p.id[i] = l->row[i].id;
	qsort(k.p.id, l->n, sizeof(*k.p.id), by_uuid);
	r = sp_store_reach_places(s, user_id, now_us, on_place, &k);
	if (r == SP_OK)
		r = k.p.err != SP_OK ? k.p.err : places_build(s, &k);
	free(k.p.id);
	free(k.v);
	return r;
}
