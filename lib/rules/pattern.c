/* lib/rules/pattern.c - values with wildcards. Matching takes no memory; its time is bounded by length of value x pattern, since
 * between two `*` the leftmost place is always right. */
#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/fold.h"
#include "rules/pattern.h"

static const char *const dashes[] = { "-", "/", "\xe2\x80\x93", "\xe2\x80\x94", "\xe2\x80\x95" };	/* U+2013 .. U+2015 */

/* ---- codes ---- */

static enum sp_err
codes_room(struct arena *a, size_t n, struct codes *ret)
{
	if ((ret->c = arena_alloc(a, (n + 1) * sizeof(*ret->c))) == NULL)
		return SP_ENOMEM;
	ret->n = 0;
	return SP_OK;
}

enum sp_err
codes_lex(struct arena *a, const char *s, size_t n, struct codes *ret)
{
	if (codes_room(a, n, ret) != SP_OK)
		return SP_ENOMEM;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = (uint8_t)s[i];

		if (c == '\\' && i + 1 < n && strchr("*?\\", s[i + 1]) != NULL && s[i + 1] != '\0')
			ret->c[ret->n++] = (uint8_t)s[++i];
		else
			ret->c[ret->n++] = c == '*' ? CODE_ANY : c == '?' ? CODE_ONE : c;
	}
	return SP_OK;
}

enum sp_err
codes_literal(struct arena *a, const void *s, size_t n, struct codes *ret)
{
	if (codes_room(a, n, ret) != SP_OK)
		return SP_ENOMEM;
	for (size_t i = 0; i < n; i++)
		ret->c[ret->n++] = ((const uint8_t *)s)[i];
	return SP_OK;
}

int
codes_plain(const struct codes *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->c[i] > 255)
			return 0;
	return 1;
}

enum sp_err
codes_enclose(struct arena *a, struct codes *c, int front, int back)
{
	struct codes w;

	front = front && (c->n == 0 || c->c[0] != CODE_ANY);
	back = back && (c->n == 0 || c->c[c->n - 1] != CODE_ANY);
	if (codes_room(a, c->n + 2, &w) != SP_OK)
		return SP_ENOMEM;
	if (front)
		w.c[w.n++] = CODE_ANY;
	for (size_t i = 0; i < c->n; i++)
		w.c[w.n++] = c->c[i];
	if (back)
		w.c[w.n++] = CODE_ANY;
	*c = w;
	return SP_OK;
}

static int
is_word(uint16_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 0x80 && c <= 0xff);
}

/* \B[-/]\b of the specification: no word character before it, one behind it. */
enum sp_err
codes_windash(struct codes *c)
{
	for (size_t i = 0; i + 1 < c->n; i++)
		if ((c->c[i] == '-' || c->c[i] == '/') && (i == 0 || !is_word(c->c[i - 1])) && is_word(c->c[i + 1]))
			c->c[i] = CODE_DASH;
	return SP_OK;
}

static void
put16(struct codes *w, uint32_t unit, int big)
{
	w->c[w->n++] = big ? unit >> 8 & 0xff : unit & 0xff;
	w->c[w->n++] = big ? unit & 0xff : unit >> 8 & 0xff;
}

/* The code point at c[i], as its bytes stand there; 0 bytes: not UTF-8. */
static size_t
code_point(const struct codes *c, size_t i, uint32_t *ret)
{
	uint8_t b[4];
	size_t n = 0;

	for (; n < 4 && i + n < c->n && c->c[i + n] <= 255; n++)
		b[n] = (uint8_t)c->c[i + n];
	return sp_utf8_next(b, n, ret);
}

enum sp_err
codes_utf16(struct arena *a, struct codes *c, int big, int bom)
{
	struct codes w;
	uint32_t cp;

	if (codes_room(a, c->n * 2 + 2, &w) != SP_OK)
		return SP_ENOMEM;
	if (bom)
		put16(&w, 0xfeff, big);
	for (size_t i = 0, k; i < c->n; i += k) {
		if (c->c[i] > 255) {
			w.c[w.n++] = c->c[i];
			k = 1;
			continue;
		}
		if ((k = code_point(c, i, &cp)) == 0)
			return SP_EFORMAT;
		if (cp >= 0x10000) {
			put16(&w, 0xd800 + ((cp - 0x10000) >> 10), big);
			put16(&w, 0xdc00 + ((cp - 0x10000) & 0x3ff), big);
		} else {
			put16(&w, cp, big);
		}
	}
	*c = w;
	return SP_OK;
}

static enum sp_err
base64_cut(struct arena *a, const struct codes *c, unsigned pad, size_t skip, size_t drop, struct codes *ret)
{
	uint8_t *raw = arena_alloc(a, c->n + pad + 1);
	struct sp_buf b;
	enum sp_err r;

	if (raw == NULL)
		return SP_ENOMEM;
	memset(raw, ' ', pad);
	for (size_t i = 0; i < c->n; i++)
		raw[pad + i] = (uint8_t)c->c[i];
	sp_buf_init(&b, (c->n + pad + 4) * 2);
	if ((r = sp_base64(&b, raw, c->n + pad)) == SP_OK) {
		if (b.len < skip + drop)
			skip = drop = 0;
		r = codes_literal(a, b.p + skip, b.len - skip - drop, ret);
	}
	sp_buf_release(&b);
	return r;
}

enum sp_err
codes_base64(struct arena *a, struct codes *c)
{
	return base64_cut(a, c, 0, 0, 0, c);
}

/* The part of base64(offset other bytes + value + anything) that depends on the value alone. */
enum sp_err
codes_base64_offset(struct arena *a, const struct codes *c, unsigned offset, struct codes *ret)
{
	static const size_t skip[] = { 0, 2, 3 }, drop[] = { 0, 3, 2 };

	return base64_cut(a, c, offset, skip[offset], drop[(c->n + offset) % 3], ret);
}

/* ---- compiling ---- */

static int
add_literal(struct arena *a, const struct codes *c, size_t from, size_t to, int cased, struct pat_elem *e)
{
	size_t n = to - from;
	uint8_t *raw = arena_alloc(a, n + 1), *folded;

	if (raw == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		raw[i] = (uint8_t)c->c[from + i];
	*e = (struct pat_elem){ 0, (uint32_t)n, raw };
	if (cased)
		return 1;
	if ((folded = arena_alloc(a, FOLD_ROOM(n))) == NULL)
		return 0;
	e->len = (uint32_t)sp_fold(raw, n, folded);
	e->p = folded;
	return 1;
}

/* One segment: codes from..to without CODE_ANY. */
static int
make_seg(struct arena *a, const struct codes *c, size_t from, size_t to, int cased, struct pat_seg *ret)
{
	struct pat_elem *e = arena_alloc(a, (to - from + 1) * sizeof(*e));
	size_t n = 0;

	if (e == NULL)
		return 0;
	for (size_t i = from; i < to;) {
		size_t k = i;

		if (c->c[i] > 255) {
			e[n++].kind = c->c[i++];
			continue;
		}
		while (k < to && c->c[k] <= 255)
			k++;
		if (!add_literal(a, c, i, k, cased, &e[n++]))
			return 0;
		i = k;
	}
	*ret = (struct pat_seg){ e, n };
	return 1;
}

static void
choose_op(struct pattern *p)
{
	const struct pat_seg *s = p->seg;

	p->op = PAT_GLOB;
	if (p->n_seg == 0) {
		p->op = p->free_front ? PAT_ANY : PAT_EQ;	/* "" is equal to the empty text */
		p->p = (const uint8_t *)"";
		return;
	}
	if (p->n_seg != 1 || s->n != 1 || s->elem[0].kind != 0)
		return;
	p->op = p->free_front ? (p->free_back ? PAT_CONTAINS : PAT_SUFFIX) : (p->free_back ? PAT_PREFIX : PAT_EQ);
	p->p = s->elem[0].p;
	p->n = s->elem[0].len;
}

enum sp_err
pattern_make(struct arena *a, const struct codes *c, int cased, struct pattern *ret)
{
	struct pattern p = { 0 };
	struct pat_seg *seg = NULL;
	size_t from = 0;

	p.free_front = c->n > 0 && c->c[0] == CODE_ANY;
	p.free_back = c->n > 0 && c->c[c->n - 1] == CODE_ANY;
	for (size_t i = 0; i <= c->n; i++) {
		if (i < c->n && c->c[i] != CODE_ANY)
			continue;
		if (i > from) {
			if ((seg = arena_grow(a, seg, p.n_seg, sizeof(*seg))) == NULL || !make_seg(a, c, from, i, cased, &seg[p.n_seg]))
				return SP_ENOMEM;
			p.n_seg++;
		}
		from = i + 1;
	}
	p.seg = seg;
	choose_op(&p);
	*ret = p;
	return SP_OK;
}

/* ---- matching ---- */

static size_t
char_len(const uint8_t *s, size_t n)
{
	uint32_t c;
	size_t k = *s < 0x80 ? 1 : sp_utf8_next(s, n, &c);

	return k == 0 ? 1 : k;
}

static size_t
dash_len(const uint8_t *s, size_t n)
{
	for (size_t i = 0; i < SP_NELEMS(dashes); i++) {
		size_t k = strlen(dashes[i]);

		if (k <= n && memcmp(s, dashes[i], k) == 0)
			return k;
	}
	return 0;
}

/* Bytes that the segment takes at s; SIZE_MAX: it does not match there. */
static size_t
seg_at(const struct pat_seg *g, const uint8_t *s, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < g->n; i++) {
		const struct pat_elem *e = &g->elem[i];
		size_t k;

		if (e->kind == 0) {
			if (e->len > n - at || memcmp(s + at, e->p, e->len) != 0)
				return SIZE_MAX;
			at += e->len;
			continue;
		}
		if (at == n)
			return SIZE_MAX;
		k = e->kind == CODE_ONE ? char_len(s + at, n - at) : dash_len(s + at, n - at);
		if (k == 0)
			return SIZE_MAX;
		at += k;
	}
	return at;
}

/* Leftmost place of the segment at or behind `at`, on a border of characters; *ret_end: where it ends. `to_end`: it must end the value. */
static int
seg_find(const struct pat_seg *g, const uint8_t *s, size_t n, size_t at, int to_end, size_t *ret_end)
{
	while (at <= n) {
		size_t k;

		if (g->elem[0].kind == 0) {
			const uint8_t *p = memmem(s + at, n - at, g->elem[0].p, g->elem[0].len);

			if (p == NULL)
				return 0;
			at = (size_t)(p - s);
		}
		k = seg_at(g, s + at, n - at);
		if (k != SIZE_MAX && (!to_end || at + k == n)) {
			*ret_end = at + k;
			return 1;
		}
		if (at == n)
			return 0;
		at += char_len(s + at, n - at);
	}
	return 0;
}

static int
glob_match(const struct pattern *p, const uint8_t *s, size_t n)
{
	size_t at = 0, i = 0;

	if (!p->free_front) {
		if ((at = seg_at(&p->seg[0], s, n)) == SIZE_MAX)
			return 0;
		i = 1;
		if (p->n_seg == 1)
			return p->free_back || at == n;
	}
	for (; i < p->n_seg; i++)
		if (!seg_find(&p->seg[i], s, n, at, i + 1 == p->n_seg && !p->free_back, &at))
			return 0;
	return 1;
}

int
pattern_match(const struct pattern *p, const uint8_t *s, size_t n)
{
	switch (p->op) {
	case PAT_ANY:
		return 1;
	case PAT_EQ:
		return n == p->n && memcmp(s, p->p, n) == 0;
	case PAT_PREFIX:
		return n >= p->n && memcmp(s, p->p, p->n) == 0;
	case PAT_SUFFIX:
		return n >= p->n && memcmp(s + n - p->n, p->p, p->n) == 0;
	case PAT_CONTAINS:
		return memmem(s, n, p->p, p->n) != NULL;
	case PAT_GLOB:
		break;
	}
	return glob_match(p, s, n);
}

int
pattern_literal(const struct pattern *p, struct sp_view *ret, int *ret_front, int *ret_back)
{
	struct sp_view best = { 0 };

	if (p->op == PAT_EQ && p->n == 0) {	/* the empty value: borders only */
		*ret = (struct sp_view){ p->p, 0 };
		*ret_front = *ret_back = 1;
		return 1;
	}
	for (size_t i = 0; i < p->n_seg; i++)
		for (size_t k = 0; k < p->seg[i].n; k++) {
			const struct pat_elem *e = &p->seg[i].elem[k];

			if (e->kind != 0 || e->len <= best.len)
				continue;
			best = (struct sp_view){ e->p, e->len };
			*ret_front = i == 0 && k == 0 && !p->free_front;
			*ret_back = i + 1 == p->n_seg && k + 1 == p->seg[i].n && !p->free_back;
		}
	if (best.len == 0)
		return 0;
	*ret = best;
	return 1;
}
