/* lib/crypto/tlog.c - see tlog.h. */
#include "crypto/tlog.h"

#include <limits.h>
#include <string.h>

#include "base/str.h"
#include "crypto/hash.h"
#include "crypto/secret.h"

#define TLOG_SIZE_MAX	((UINT64_C(1) << SP_TLOG_LEVELS) - 1)

/* ---- hashes */

void
sp_tlog_leaf(struct sp_view entry, struct sp_tlog_hash *ret)
{
	static const uint8_t mark = 0;
	struct sp_sha256 h;

	sp_sha256_begin(&h);
	sp_sha256_add(&h, &mark, 1);
	if (entry.len > 0)
		sp_sha256_add(&h, entry.p, entry.len);
	sp_sha256_now(&h, ret->b);
}

void
sp_tlog_node(const struct sp_tlog_hash *left, const struct sp_tlog_hash *right, struct sp_tlog_hash *ret)
{
	uint8_t b[1 + 2 * SP_TLOG_HASH];

	b[0] = 1;
	memcpy(b + 1, left->b, SP_TLOG_HASH);
	memcpy(b + 1 + SP_TLOG_HASH, right->b, SP_TLOG_HASH);
	sp_sha256(b, sizeof(b), ret->b);
}

int
sp_tlog_equal(const struct sp_tlog_hash *a, const struct sp_tlog_hash *b)
{
	return sp_ct_equal(a->b, b->b, SP_TLOG_HASH);
}

/* ---- the right edge */

enum sp_err
sp_tlog_edge_add(struct sp_tlog_edge *e, const struct sp_tlog_hash *leaf, sp_tlog_made_fn *fn, void *arg)
{
	struct sp_tlog_hash h = *leaf;
	unsigned level = 0;

	if (e->n >= TLOG_SIZE_MAX)
		return SP_EFULL;
	if (fn != NULL)
		fn(arg, 0, e->n, &h);
	/* Each trailing 1 of n is a full subtree of the same size as what is carried. */
	for (uint64_t n = e->n; n & 1; n >>= 1) {
		sp_tlog_node(&e->h[--e->k], &h, &h);
		level++;
		if (fn != NULL)
			fn(arg, level, e->n >> level, &h);
	}
	e->h[e->k++] = h;
	e->n++;
	return SP_OK;
}

void
sp_tlog_edge_root(const struct sp_tlog_edge *e, struct sp_tlog_hash *ret)
{
	struct sp_tlog_hash h;

	if (e->k == 0) {
		sp_sha256("", 0, ret->b);
		return;
	}
	h = e->h[e->k - 1];
	for (unsigned i = e->k - 1; i > 0; i--)
		sp_tlog_node(&e->h[i - 1], &h, &h);
	*ret = h;
}

enum sp_err
sp_tlog_edge_read(uint64_t n, sp_tlog_read_fn *read, void *arg, struct sp_tlog_edge *ret)
{
	struct sp_tlog_edge e = { .n = n };
	uint64_t at = 0;

	if (n > TLOG_SIZE_MAX)
		return SP_EINVAL;
	for (int level = SP_TLOG_LEVELS - 1; level >= 0; level--)
		if (n >> level & 1) {
			enum sp_err r = read(arg, (unsigned)level, at >> level, &e.h[e.k]);

			if (r != SP_OK)
				return r;
			e.k++;
			at += UINT64_C(1) << level;
		}
	*ret = e;
	return SP_OK;
}

/* ---- proofs */

/* The largest power of two below n (n > 1), as a level. */
static unsigned
tlog_split(uint64_t n)
{
	return 63 - (unsigned)__builtin_clzll(n - 1);
}

/* The root of the leaves [lo, lo + n); lo is where such a subtree can begin. */
static enum sp_err
tlog_range(uint64_t lo, uint64_t n, sp_tlog_read_fn *read, void *arg, struct sp_tlog_hash *ret)
{
	struct sp_tlog_edge e = { .n = n };

	for (int level = SP_TLOG_LEVELS - 1; level >= 0; level--)
		if (n >> level & 1) {
			enum sp_err r = read(arg, (unsigned)level, lo >> level, &e.h[e.k]);

			if (r != SP_OK)
				return r;
			e.k++;
			lo += UINT64_C(1) << level;
		}
	sp_tlog_edge_root(&e, ret);
	return SP_OK;
}

/* The sibling subtrees on the way down to leaf `index`, turned over: a proof goes from the leaf to the root. */
static void
tlog_turn(struct sp_tlog_proof *p)
{
	for (size_t i = 0; i < p->n / 2; i++) {
		struct sp_tlog_hash h = p->h[i];

		p->h[i] = p->h[p->n - 1 - i];
		p->h[p->n - 1 - i] = h;
	}
}

enum sp_err
sp_tlog_prove(uint64_t size, uint64_t index, sp_tlog_read_fn *read, void *arg, struct sp_tlog_proof *ret)
{
	struct sp_tlog_proof p = { 0 };
	uint64_t lo = 0, n = size;

	if (index >= size || size > TLOG_SIZE_MAX)
		return SP_EINVAL;
	while (n > 1) {
		uint64_t k = UINT64_C(1) << tlog_split(n);
		int left = index - lo < k;
		enum sp_err r = tlog_range(left ? lo + k : lo, left ? n - k : k, read, arg, &p.h[p.n]);

		if (r != SP_OK)
			return r;
		p.n++;
		lo += left ? 0 : k;
		n = left ? k : n - k;
	}
	tlog_turn(&p);
	*ret = p;
	return SP_OK;
}

enum sp_err
sp_tlog_prove_growth(uint64_t from, uint64_t size, sp_tlog_read_fn *read, void *arg, struct sp_tlog_proof *ret)
{
	struct sp_tlog_proof p = { 0 };
	uint64_t lo = 0, n = size, m = from;
	enum sp_err r;

	if (from == 0 || from > size || size > TLOG_SIZE_MAX)
		return SP_EINVAL;
	/* m leaves of the old tree are in [lo, lo + n). Once they fill it, its root is the last hash, unless it is the old tree. */
	while (m < n) {
		uint64_t k = UINT64_C(1) << tlog_split(n);
		int left = m <= k;

		if ((r = tlog_range(left ? lo + k : lo, left ? n - k : k, read, arg, &p.h[p.n])) != SP_OK)
			return r;
		p.n++;
		lo += left ? 0 : k;
		m -= left ? 0 : k;
		n = left ? k : n - k;
	}
	if (lo > 0) {
		if ((r = tlog_range(lo, n, read, arg, &p.h[p.n])) != SP_OK)
			return r;
		p.n++;
	}
	tlog_turn(&p);
	*ret = p;
	return SP_OK;
}

enum sp_err
sp_tlog_check(const struct sp_tlog_proof *p, uint64_t size, const struct sp_tlog_hash *root, uint64_t index,
    const struct sp_tlog_hash *leaf)
{
	struct sp_tlog_hash h = *leaf;
	uint64_t at = index, last = size - 1;

	if (size == 0 || index >= size || size > TLOG_SIZE_MAX || p->n > SP_TLOG_PROOF_MAX)
		return SP_EINVAL;
	for (size_t i = 0; i < p->n; i++) {
		if (last == 0)
			return SP_EAUTH;
		if (at & 1 || at == last) {
			sp_tlog_node(&p->h[i], &h, &h);
			/* The last node of a level without a sibling goes up as it is. */
			while ((at & 1) == 0 && at != 0) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			sp_tlog_node(&h, &p->h[i], &h);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && sp_tlog_equal(&h, root) ? SP_OK : SP_EAUTH;
}

enum sp_err
sp_tlog_check_growth(const struct sp_tlog_proof *p, uint64_t from, const struct sp_tlog_hash *old, uint64_t size,
    const struct sp_tlog_hash *root)
{
	struct sp_tlog_hash was, is;
	uint64_t at = from - 1, last = size - 1;
	size_t i = 0;

	if (from == 0 || from > size || size > TLOG_SIZE_MAX || p->n > SP_TLOG_PROOF_MAX)
		return SP_EINVAL;
	if (from == size)
		return p->n == 0 && sp_tlog_equal(old, root) ? SP_OK : SP_EAUTH;
	for (; at & 1; at >>= 1)
		last >>= 1;
	if (at == 0) {			/* the old tree is itself a full subtree: it is not in the proof */
		was = is = *old;
	} else {
		if (p->n == 0)
			return SP_EAUTH;
		was = is = p->h[i++];
	}
	for (; i < p->n; i++) {
		if (last == 0)
			return SP_EAUTH;
		if (at & 1 || at == last) {
			sp_tlog_node(&p->h[i], &was, &was);
			sp_tlog_node(&p->h[i], &is, &is);
			while ((at & 1) == 0 && at != 0) {
				at >>= 1;
				last >>= 1;
			}
		} else {
			sp_tlog_node(&is, &p->h[i], &is);
		}
		at >>= 1;
		last >>= 1;
	}
	return last == 0 && sp_tlog_equal(&was, old) && sp_tlog_equal(&is, root) ? SP_OK : SP_EAUTH;
}

/* ---- tiles */

enum sp_err
sp_tlog_tile_path(const struct sp_tlog_tile *t, char ret[SP_TLOG_PATH_SIZE])
{
	char level[8] = "entries", groups[40], part[8] = "";
	size_t at = sizeof(groups) - 1;
	uint64_t n = t->n;

	if (t->width == 0 || t->width > SP_TLOG_TILE_WIDTH || (t->level != SP_TLOG_ENTRIES && t->level >= 8))
		return SP_EINVAL;
	groups[at] = '\0';
	for (int first = 1; first || n > 0; first = 0, n /= 1000) {
		char g[5];

		at -= first ? 3 : 5;
		sp_snprintf(g, sizeof(g), "%03u", (unsigned)(n % 1000));
		if (!first)
			groups[at] = 'x';
		memcpy(groups + at + !first, g, 3);
		if (!first)
			groups[at + 4] = '/';
	}
	if (t->level != SP_TLOG_ENTRIES)
		sp_snprintf(level, sizeof(level), "%u", t->level);
	if (t->width < SP_TLOG_TILE_WIDTH)
		sp_snprintf(part, sizeof(part), ".p/%u", t->width);
	sp_snprintf(ret, SP_TLOG_PATH_SIZE, "tile/%s/%s%s", level, groups + at, part);
	return SP_OK;
}

/* Decimal digits at *p, without superfluous zeros when `exact` is 0, else exactly that many. */
static int
tlog_number(const char **p, const char *end, int exact, uint64_t *ret)
{
	uint64_t v = 0;
	const char *s = *p;

	for (; s < end && *s >= '0' && *s <= '9' && s - *p < (exact ? exact : 4); s++)
		v = v * 10 + (uint64_t)(*s - '0');
	if (s == *p || (exact && s - *p != exact) || (!exact && **p == '0' && s - *p > 1))
		return 0;
	*p = s;
	*ret = v;
	return 1;
}

enum sp_err
sp_tlog_tile_parse(const char *path, size_t len, struct sp_tlog_tile *ret)
{
	struct sp_tlog_tile t = { .width = SP_TLOG_TILE_WIDTH };
	const char *p = path + 5, *end = path + len;
	char again[SP_TLOG_PATH_SIZE];
	uint64_t v;

	if (len >= SP_TLOG_PATH_SIZE || len < 10 || memcmp(path, "tile/", 5) != 0)
		return SP_EFORMAT;
	if (end - p > 8 && memcmp(p, "entries/", 8) == 0) {
		t.level = SP_TLOG_ENTRIES;
		p += 7;
	} else if (tlog_number(&p, end, 0, &v)) {
		t.level = (unsigned)v;
	} else {
		return SP_EFORMAT;
	}
	for (int more = 1; more; ) {
		if (p >= end || *p++ != '/' || p >= end)
			return SP_EFORMAT;
		more = *p == 'x';
		p += more;
		if (!tlog_number(&p, end, 3, &v) || t.n > UINT64_MAX / 1000 - 1)
			return SP_EFORMAT;
		t.n = t.n * 1000 + v;
	}
	if (p < end) {
		if (end - p < 4 || memcmp(p, ".p/", 3) != 0)
			return SP_EFORMAT;
		p += 3;
		if (!tlog_number(&p, end, 0, &v) || p != end || v == 0 || v >= SP_TLOG_TILE_WIDTH)
			return SP_EFORMAT;
		t.width = (unsigned)v;
	}
	/* Whatever spelling was not thought of above: a path is the one that we would write. */
	if (sp_tlog_tile_path(&t, again) != SP_OK || strlen(again) != len || memcmp(again, path, len) != 0)
		return SP_EFORMAT;
	*ret = t;
	return SP_OK;
}

enum sp_err
sp_tlog_tile_of(unsigned level, uint64_t index, uint64_t size, struct sp_tlog_tile *ret)
{
	struct sp_tlog_tile t;
	unsigned in = level % SP_TLOG_TILE_BITS, shift;
	uint64_t first, have;

	if (level >= SP_TLOG_LEVELS || size > TLOG_SIZE_MAX || index >= size >> level)
		return SP_EINVAL;
	t.level = level / SP_TLOG_TILE_BITS;
	shift = t.level * SP_TLOG_TILE_BITS;
	first = index << in;		/* in hashes of the tile's own level */
	t.n = first / SP_TLOG_TILE_WIDTH;
	have = (size >> shift) - t.n * SP_TLOG_TILE_WIDTH;
	t.width = have > SP_TLOG_TILE_WIDTH ? SP_TLOG_TILE_WIDTH : (unsigned)have;
	*ret = t;
	return SP_OK;
}

enum sp_err
sp_tlog_tile_node(const struct sp_tlog_tile *t, struct sp_view bytes, unsigned level, uint64_t index, struct sp_tlog_hash *ret)
{
	struct sp_tlog_edge e = { 0 };
	unsigned in = level % SP_TLOG_TILE_BITS;
	uint64_t at = index << in;
	struct sp_tlog_hash h;

	if (bytes.len != (size_t)t->width * SP_TLOG_HASH)
		return SP_EFORMAT;
	if (level >= SP_TLOG_LEVELS || level / SP_TLOG_TILE_BITS != t->level || index > UINT64_MAX >> SP_TLOG_TILE_BITS ||
	    at / SP_TLOG_TILE_WIDTH != t->n || at % SP_TLOG_TILE_WIDTH + (UINT64_C(1) << in) > t->width)
		return SP_EINVAL;
	for (unsigned i = 0; i < 1u << in; i++) {
		memcpy(h.b, bytes.p + (at % SP_TLOG_TILE_WIDTH + i) * SP_TLOG_HASH, SP_TLOG_HASH);
		if (sp_tlog_edge_add(&e, &h, NULL, NULL) != SP_OK)
			return SP_EINTERNAL;
	}
	sp_tlog_edge_root(&e, ret);
	return SP_OK;
}

/* ---- bundles */

enum sp_err
sp_tlog_bundle_put(struct sp_buf *bundle, struct sp_view entry)
{
	uint8_t len[2] = { (uint8_t)(entry.len >> 8), (uint8_t)entry.len };
	enum sp_err r;

	if (entry.len > SP_TLOG_ENTRY_MAX)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(bundle, sizeof(len) + entry.len)) != SP_OK || (r = sp_buf_append(bundle, len, sizeof(len))) != SP_OK)
		return r;
	return entry.len > 0 ? sp_buf_append(bundle, entry.p, entry.len) : SP_OK;
}

enum sp_err
sp_tlog_bundle_get(struct sp_view *at, struct sp_view *ret)
{
	size_t n;

	if (at->len < 2 || at->len - 2 < (n = (size_t)at->p[0] << 8 | at->p[1]))
		return SP_ESHORT;
	*ret = (struct sp_view){ at->p + 2, n };
	at->p += 2 + n;
	at->len -= 2 + n;
	return SP_OK;
}
