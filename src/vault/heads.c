/* src/vault/heads.c - see heads.h.
 *
 * The file:	sallyport-heads 1
 *		last ORIGIN SIZE ROOT		(none before the first head)
 *		past ORIGIN SIZE ROOT		(any number)
 * with the root in hex. */
#include "vault/heads.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static const char heads_magic[] = "sallyport-heads 1\n";

static enum sp_err
line_put(struct sp_buf *b, const char *word, const struct sp_checkpoint *c)
{
	char hex[2 * SP_TLOG_HASH + 1];

	sp_hex(c->root.b, sizeof(c->root.b), hex);
	return sp_buf_printf(b, "%s %s %" PRIu64 " %s\n", word, c->origin, c->size, hex);
}

enum sp_err
heads_text(const struct heads *h, struct sp_buf *ret)
{
	enum sp_err r = sp_buf_append_str(ret, heads_magic);

	if (r == SP_OK && h->last.origin[0] != '\0')
		r = line_put(ret, "last", &h->last);
	for (size_t i = 0; i < h->past_n && r == SP_OK; i++)
		r = line_put(ret, "past", &h->past[i]);
	return r;
}

/* "ORIGIN SIZE ROOT" up to the end of the line. */
static enum sp_err
line_parse(const char *p, size_t n, struct sp_checkpoint *ret)
{
	const char *size = memchr(p, ' ', n), *root;
	struct sp_checkpoint c = { .size = 0 };
	char hex[2 * SP_TLOG_HASH + 1];

	if (size == NULL || size == p || (size_t)(size - p) >= sizeof(c.origin))
		return SP_EFORMAT;
	memcpy(c.origin, p, (size_t)(size - p));
	size++;
	root = memchr(size, ' ', n - (size_t)(size - p));
	if (!sp_note_name_ok(c.origin) || root == NULL || root == size || root - size > 18)
		return SP_EFORMAT;
	for (const char *d = size; d < root; d++) {
		if (*d < '0' || *d > '9')
			return SP_EFORMAT;
		c.size = c.size * 10 + (uint64_t)(*d - '0');
	}
	root++;
	if ((size_t)(p + n - root) != sizeof(hex) - 1)
		return SP_EFORMAT;
	memcpy(hex, root, sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	if (sp_hex_parse(hex, c.root.b, sizeof(c.root.b)) != SP_OK)
		return SP_EFORMAT;
	*ret = c;
	return SP_OK;
}

enum sp_err
heads_parse(const char *text, size_t len, struct heads *ret)
{
	sp_auto(sp_freep) struct heads *h = calloc(1, sizeof(*h));
	size_t at = sizeof(heads_magic) - 1;

	if (h == NULL)
		return SP_ENOMEM;
	if (len < at || memcmp(text, heads_magic, at) != 0)
		return SP_EVERSION;
	while (at < len) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t n = nl != NULL ? (size_t)(nl - text) - at : 0;
		int last = n > 5 && memcmp(text + at, "last ", 5) == 0;
		struct sp_checkpoint *c = last ? &h->last : h->past_n < HEADS_PAST_MAX ? &h->past[h->past_n] : NULL;

		if (n <= 5 || c == NULL || (!last && memcmp(text + at, "past ", 5) != 0) || (last && (c->origin[0] != '\0' || h->past_n > 0)) ||
		    line_parse(text + at + 5, n - 5, c) != SP_OK)
			return SP_EFORMAT;
		h->past_n += !last;
		at += n + 1;
	}
	if (h->past_n > 0 && h->last.origin[0] == '\0')
		return SP_EFORMAT;
	*ret = *h;
	return SP_OK;
}

static int
same(const struct sp_checkpoint *a, const struct sp_checkpoint *b)
{
	return a->size == b->size && sp_tlog_equal(&a->root, &b->root);
}

static int
grew(const struct sp_checkpoint *old, const struct heads_ask *a)
{
	if (old->size == 0 || same(old, &a->want))
		return 1;
	return a->from == old->size && sp_tlog_check_growth(&a->proof, old->size, &old->root, a->want.size, &a->want.root) == SP_OK;
}

enum sp_err
heads_grow(struct heads *h, const struct heads_ask *a, const char **why)
{
	if (h->last.origin[0] != '\0' && strcmp(h->last.origin, a->want.origin) != 0) {
		*why = "heads are signed for another origin";
		return SP_EPEER;
	}
	if (a->want.size < h->last.size) {
		*why = "more entries were signed already: the log went back";
		return SP_ESTATE;
	}
	if (a->want.size == h->last.size && h->last.size > 0 && !same(&h->last, &a->want)) {
		*why = "another root was signed for as many entries";
		return SP_EAUTH;
	}
	if (a->want.size > h->last.size && h->last.size > 0 && a->from != h->last.size) {
		*why = "the proof begins at another size than that which was signed last";
		return SP_EAGAIN;
	}
	if (!grew(&h->last, a)) {
		*why = "it did not grow out of the head that was signed last";
		return SP_EAUTH;
	}
	h->last = a->want;
	return SP_OK;
}

enum sp_err
heads_bridge(struct heads *h, const struct heads_ask *a, int *ret_grew, const char **why)
{
	int used = strcmp(h->last.origin, a->want.origin) == 0;

	for (size_t i = 0; i < h->past_n; i++)
		used |= strcmp(h->past[i].origin, a->want.origin) == 0;
	if (used) {
		*why = "this origin was used before";
		return SP_EEXIST;
	}
	if (h->last.origin[0] != '\0' && h->past_n == HEADS_PAST_MAX) {
		*why = "too many origins were left";
		return SP_EFULL;
	}
	*ret_grew = grew(&h->last, a);
	if (h->last.origin[0] != '\0')
		h->past[h->past_n++] = h->last;
	h->last = a->want;
	return SP_OK;
}

enum sp_err
heads_bridge_text(const struct sp_checkpoint *old, const struct heads_ask *a, int has_grown, const char *reason, struct sp_buf *ret)
{
	char was[2 * SP_TLOG_HASH + 1], is[2 * SP_TLOG_HASH + 1], plain[256];
	const char *origin = old->origin[0] != '\0' ? old->origin : "-";

	sp_hex(old->root.b, sizeof(old->root.b), was);
	sp_hex(a->want.root.b, sizeof(a->want.root.b), is);
	sp_escape(reason, strlen(reason), plain, sizeof(plain));
	return sp_buf_printf(ret, "sallyport.bridge/v1\nfrom %s %" PRIu64 " %s\nto %s %" PRIu64 " %s\n%s\nreason %s\n", origin, old->size, was,
	    a->want.origin, a->want.size, is, has_grown ? "contains" : "begins-anew", plain);
}
