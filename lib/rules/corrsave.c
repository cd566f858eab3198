/* lib/rules/corrsave.c - the state of correlations as bytes, over a restart.
 *	"SPCR" version u32, seed, statistics, correlations: name, digest of its definition, newest, groups: key, times, entries, stages
 * Numbers big endian. Loading trusts nothing: counts are checked against what is left of the input before anything is allocated, and
 * a damaged state loads nothing. What belongs to a correlation that is gone or changed is read over, and counted. */
#include <math.h>
#include <string.h>

#include "rules/corrstate.h"

#define MAGIC	0x53504352u
#define VERSION	1
#define STATS	6

static uint64_t *
stat(struct sp_corr_stats *s, size_t i)
{
	uint64_t *const p[STATS] = { &s->fired, &s->suppressed, &s->evicted, &s->late, &s->no_group, &s->oversize };

	return p[i];
}

static const char *
corr_name(const struct corr *k)
{
	return k->rule->info.id[0] != '\0' ? k->rule->info.id : k->rule->info.name[0] != '\0' ? k->rule->info.name : k->rule->info.title;
}

/* ---- out ---- */

static enum sp_err
put_i64(struct sp_buf *b, int64_t v)
{
	return sp_buf_put_u64(b, (uint64_t)v);
}

static enum sp_err
put_group(struct sp_buf *b, const struct corr *k, const struct group *g)
{
	uint32_t n_stages = g->stage != NULL ? (uint32_t)k->def->n_ref : 0;
	enum sp_err r;
	uint64_t bits;

	if ((r = sp_buf_put_string(b, g->key, g->key_len)) != SP_OK || (r = put_i64(b, g->start)) != SP_OK || (r = put_i64(b, g->last)) != SP_OK ||
	    (r = put_i64(b, g->quiet_until)) != SP_OK || (r = sp_buf_put_u8(b, (uint8_t)g->fired)) != SP_OK || (r = sp_buf_put_u32(b, g->n)) != SP_OK)
		return r;
	for (uint32_t i = g->head; i != NIL && r == SP_OK; i = g->e[i].next) {
		memcpy(&bits, &g->e[i].hash, 8);
		if ((r = put_i64(b, g->e[i].t)) == SP_OK && (r = sp_buf_put_u64(b, g->e[i].ref)) == SP_OK)
			r = sp_buf_put_u64(b, bits);
	}
	if (r == SP_OK)
		r = sp_buf_put_u32(b, n_stages);
	for (uint32_t i = 0; i < n_stages && r == SP_OK; i++)
		if ((r = put_i64(b, g->stage[i].start)) == SP_OK && (r = put_i64(b, g->stage[i].last)) == SP_OK)
			r = sp_buf_put_u64(b, g->stage[i].ref);
	return r;
}

static enum sp_err
put_corr(struct sp_buf *b, const struct corr *k)
{
	enum sp_err r;

	if ((r = sp_buf_put_cstring(b, corr_name(k))) != SP_OK || (r = sp_buf_put_u64(b, k->def->digest)) != SP_OK ||
	    (r = put_i64(b, k->newest)) != SP_OK || (r = sp_buf_put_u32(b, (uint32_t)k->groups.n)) != SP_OK)
		return r;
	for (struct sp_list *it = k->lru.next; it != &k->lru && r == SP_OK; it = it->next)
		r = put_group(b, k, sp_container(it, struct group, lru));
	return r;
}

enum sp_err
sp_corr_save(const struct sp_corr *c, struct sp_buf *ret)
{
	struct sp_corr_stats stats = c->stats;
	enum sp_err r;

	if ((r = sp_buf_put_u32(ret, MAGIC)) != SP_OK || (r = sp_buf_put_u32(ret, VERSION)) != SP_OK || (r = sp_buf_put_u64(ret, c->seed)) != SP_OK)
		return r;
	for (size_t i = 0; i < STATS && r == SP_OK; i++)
		r = sp_buf_put_u64(ret, *stat(&stats, i));
	if (r == SP_OK)
		r = sp_buf_put_u32(ret, (uint32_t)c->n);
	for (size_t i = 0; i < c->n && r == SP_OK; i++)
		r = put_corr(ret, &c->corr[i]);
	return r;
}

/* ---- in ---- */

/* A time, or CORR_NEVER. */
static enum sp_err
get_i64(struct sp_view *v, int64_t *ret)
{
	uint64_t u;
	enum sp_err r = sp_view_u64(v, &u);

	if (r != SP_OK)
		return r;
	if ((int64_t)u != CORR_NEVER && ((int64_t)u > CORR_TIME_LIMIT * 2 || (int64_t)u < -CORR_TIME_LIMIT))
		return SP_EFORMAT;
	*ret = (int64_t)u;
	return SP_OK;
}

/* The key has as many values as group-by, and nothing else. */
static int
key_is_whole(const struct corrdef *d, struct sp_view key)
{
	size_t at = 0;
	uint32_t n;

	for (size_t i = 0; i < d->n_group; i++) {
		if (key.len - at < 4)
			return 0;
		memcpy(&n, key.p + at, 4);
		if (key.len - at - 4 < n)
			return 0;
		at += 4 + n;
	}
	return at == key.len;
}

static enum sp_err
get_entries(struct sp_corr *c, struct corr *k, struct group *g, struct sp_view *v, uint32_t n)
{
	int64_t t, before = CORR_NEVER;
	uint64_t ref, bits;
	double d;
	enum sp_err r;

	for (uint32_t i = 0; i < n; i++) {
		if ((r = get_i64(v, &t)) != SP_OK || (r = sp_view_u64(v, &ref)) != SP_OK || (r = sp_view_u64(v, &bits)) != SP_OK)
			return r;
		memcpy(&d, &bits, 8);
		if (t == CORR_NEVER || t < before || (k != NULL && k->def->type != CORR_VALUE_COUNT && !isfinite(d)))
			return SP_EFORMAT;
		before = t;
		if (g != NULL && (r = group_add(c, k, g, t, ref, bits, d)) != SP_OK)
			return r;
	}
	return SP_OK;
}

static enum sp_err
get_stages(struct sp_corr *c, struct corr *k, struct group *g, struct sp_view *v)
{
	struct stage s;
	uint32_t n;
	enum sp_err r;

	if ((r = sp_view_u32(v, &n)) != SP_OK)
		return r;
	if (n > CORR_REFS_MAX || (k != NULL && n != 0 && n != k->def->n_ref))
		return SP_EFORMAT;
	if (g != NULL && n > 0 && (r = group_stages(c, k, g)) != SP_OK)
		return r;
	for (uint32_t i = 0; i < n; i++) {
		if ((r = get_i64(v, &s.start)) != SP_OK || (r = get_i64(v, &s.last)) != SP_OK || (r = sp_view_u64(v, &s.ref)) != SP_OK)
			return r;
		if (g != NULL)
			g->stage[i] = s;
	}
	return SP_OK;
}

/* k NULL: read over it. */
static enum sp_err
get_group(struct sp_corr *c, struct corr *k, struct sp_view *v)
{
	struct group head = { 0 }, *g = NULL;
	struct sp_view key;
	uint8_t fired;
	uint32_t n;
	enum sp_err r;

	if ((r = sp_view_string(v, &key)) != SP_OK || (r = get_i64(v, &head.start)) != SP_OK || (r = get_i64(v, &head.last)) != SP_OK ||
	    (r = get_i64(v, &head.quiet_until)) != SP_OK || (r = sp_view_u8(v, &fired)) != SP_OK || (r = sp_view_u32(v, &n)) != SP_OK)
		return r;
	if (key.len > CORR_KEY_MAX || fired > 1 || n > v->len / 24)
		return SP_EFORMAT;
	if (k != NULL) {
		if (!key_is_whole(k->def, key) || sp_htab_find(&k->groups, key.p, key.len) != NULL)
			return SP_EFORMAT;
		if ((g = group_get(c, k, key.p, key.len)) == NULL)
			return SP_ENOMEM;
		g->busy = 1;
		g->start = head.start;
		g->last = head.last;
		g->quiet_until = head.quiet_until;
		g->fired = fired;
		if (k->def->at_end && g->start != CORR_NEVER)
			window_place(k, g);
	}
	if ((r = get_entries(c, k, g, v, n)) == SP_OK)
		r = get_stages(c, k, g, v);
	if (g != NULL)
		g->busy = 0;
	return r;
}

static struct corr *
find_corr(struct sp_corr *c, struct sp_view name, uint64_t digest)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->corr[i].def->digest == digest && sp_view_equal_str(name, corr_name(&c->corr[i])))
			return &c->corr[i];
	return NULL;
}

static enum sp_err
get_corr(struct sp_corr *c, struct sp_view *v, size_t *dropped)
{
	struct sp_view name;
	struct corr *k;
	uint64_t digest;
	int64_t newest;
	uint32_t n;
	enum sp_err r;

	if ((r = sp_view_string(v, &name)) != SP_OK || (r = sp_view_u64(v, &digest)) != SP_OK || (r = get_i64(v, &newest)) != SP_OK ||
	    (r = sp_view_u32(v, &n)) != SP_OK)
		return r;
	k = find_corr(c, name, digest);
	if (k != NULL && k->groups.n > 0)
		return SP_EFORMAT;	/* the same one twice */
	if (k != NULL)
		k->newest = newest;
	*dropped += k == NULL;
	for (uint32_t i = 0; i < n && r == SP_OK; i++)
		r = get_group(c, k, v);
	return r;
}

static enum sp_err
get_all(struct sp_corr *c, struct sp_view *v, size_t *dropped)
{
	struct sp_corr_stats stats = { 0 };
	uint32_t magic, version, n;
	enum sp_err r;

	if ((r = sp_view_u32(v, &magic)) != SP_OK || (r = sp_view_u32(v, &version)) != SP_OK)
		return r;
	if (magic != MAGIC)
		return SP_EFORMAT;
	if (version != VERSION)
		return SP_EVERSION;
	if ((r = sp_view_u64(v, &c->seed)) != SP_OK)
		return r;
	for (size_t i = 0; i < STATS && r == SP_OK; i++)
		r = sp_view_u64(v, stat(&stats, i));
	if (r != SP_OK || (r = sp_view_u32(v, &n)) != SP_OK)
		return r;
	for (uint32_t i = 0; i < n && r == SP_OK; i++)
		r = get_corr(c, v, dropped);
	if (r == SP_OK && v->len > 0)
		return SP_EFORMAT;
	for (size_t i = 0; i < STATS; i++)
		*stat(&c->stats, i) += *stat(&stats, i);
	return r;
}

enum sp_err
sp_corr_load(struct sp_corr *c, const void *p, size_t len, size_t *ret_dropped)
{
	struct sp_view v = { p, len };
	uint64_t seed = c->seed;
	size_t dropped = 0;
	enum sp_err r = get_all(c, &v, &dropped);

	if (r == SP_OK) {
		*ret_dropped = dropped;
		return SP_OK;
	}
	c->seed = seed;
	for (size_t i = 0; i < c->n; i++) {
		while (!sp_list_empty(&c->corr[i].lru))
			group_free(c, &c->corr[i], sp_container(c->corr[i].lru.next, struct group, lru));
		c->corr[i].newest = CORR_NEVER;
	}
	return r == SP_ESHORT ? SP_EFORMAT : r;
}
