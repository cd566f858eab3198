/* src/scribe/outtext.c - see outtext.h. */
#include "scribe/outtext.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "term/term.h"

#define NO_TERMINAL_ROWS	2u
#define ROW_MAX			(SP_TERM_COLS_MAX * 16u)
#define UNKNOWN			"\xef\xbf\xbd"	/* U+FFFD */

struct sp_outtext {
	struct sp_term	*term;
	struct sp_buf	 text, row;
	uint64_t	 bytes;
	int		 cut;
	enum sp_err	 err;
};

/* Append what of the row fits. Characters that could act on a terminal are shown as U+FFFD. */
static void
row_take(struct sp_outtext *o, unsigned y)
{
	sp_buf_reset(&o->row);
	if (o->err != SP_OK || o->cut || (o->err = sp_term_text(o->term, y, 0, sp_term_used(o->term, y), &o->row)) != SP_OK)
		return;
	while (o->row.len > 0 && o->row.p[o->row.len - 1] == ' ' && !sp_term_wrapped(o->term, y))
		o->row.len--;
	for (size_t i = 0, n; i < o->row.len && !o->cut && o->err == SP_OK; i += n) {
		uint32_t cp;
		struct sp_view c = { o->row.p + i, n = sp_utf8_next(o->row.p + i, o->row.len - i, &cp) };

		if (n == 0)
			n = c.len = 1;
		if (!sp_text_is_plain((const char *)c.p, c.len))
			c = (struct sp_view){ (const uint8_t *)UNKNOWN, sizeof(UNKNOWN) - 1 };
		if (o->text.len + c.len >= SP_OUTTEXT_MAX)
			o->cut = 1;
		else
			o->err = sp_buf_append(&o->text, c.p, c.len);
	}
	if (o->err == SP_OK && !o->cut && !sp_term_wrapped(o->term, y))
		o->err = sp_buf_put_u8(&o->text, '\n');
}

static void
on_gone(struct sp_term *t, uint64_t number, void *arg)
{
	(void)t;
	(void)number;
	row_take(arg, 0);
}

enum sp_err
sp_outtext_new(unsigned cols, unsigned rows, struct sp_outtext **ret)
{
	struct sp_outtext *o = calloc(1, sizeof(*o));
	enum sp_err r;

	if (o == NULL)
		return SP_ENOMEM;
	if ((r = sp_term_new(cols > 0 ? cols : SP_TERM_COLS_MAX, cols > 0 ? rows : NO_TERMINAL_ROWS, &o->term)) != SP_OK) {
		free(o);
		return r;
	}
	sp_buf_init(&o->text, SP_OUTTEXT_MAX);
	sp_buf_init(&o->row, ROW_MAX);
	sp_term_on_gone(o->term, on_gone, o);
	if (cols == 0)
		sp_term_write(o->term, "\033[20h", 5);
	*ret = o;
	return SP_OK;
}

void
sp_outtext_free(struct sp_outtext *o)
{
	if (o == NULL)
		return;
	sp_term_free(o->term);
	sp_buf_release(&o->text);
	sp_buf_release(&o->row);
	free(o);
}

void
sp_outtext_feed(struct sp_outtext *o, struct sp_view v)
{
	size_t n = o->bytes >= SP_OUTTEXT_RAW ? 0 : SP_OUTTEXT_RAW - o->bytes < v.len ? (size_t)(SP_OUTTEXT_RAW - o->bytes) : v.len;

	if (n > 0 && !o->cut && o->err == SP_OK)
		sp_term_write(o->term, v.p, n);
	o->bytes += v.len;
}

enum sp_err
sp_outtext_end(struct sp_outtext *o, const char *const prompts[2], const char **ret_text, uint64_t *ret_bytes, int *ret_cut)
{
	unsigned last = 0;

	for (unsigned y = 0; y < sp_term_rows(o->term); y++)
		if (sp_term_used(o->term, y) > 0)
			last = y + 1;
	for (unsigned y = 0; y < last; y++)
		row_take(o, y);
	if (o->err != SP_OK)
		return o->err;
	while (o->text.len > 0 && o->text.p[o->text.len - 1] == '\n')
		o->text.len--;
	for (int i = 0; i < 2 && prompts != NULL; i++) {
		size_t n = strlen(prompts[i]);

		while (n > 0 && prompts[i][n - 1] == ' ')
			n--;
		if (n > 0 && o->text.len >= n && memcmp(o->text.p + o->text.len - n, prompts[i], n) == 0) {
			o->text.len -= n;
			break;
		}
	}
	while (o->text.len > 0 && o->text.p[o->text.len - 1] == '\n')
		o->text.len--;
	if (o->text.len > 0)
		o->text.p[o->text.len] = 0;
	*ret_text = o->text.len > 0 ? (const char *)o->text.p : "";
	*ret_bytes = o->bytes;
	*ret_cut = o->cut || o->bytes > SP_OUTTEXT_RAW;
	return SP_OK;
}
