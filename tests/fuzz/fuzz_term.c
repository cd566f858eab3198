/* tests/fuzz/fuzz_term.c - the terminal never faults and keeps its invariants; bytes one by one give the same screen as all
 * at once; a key frame read back gives the same screen. Input: columns, rows, a second size, then the stream; the size
 * changes half way. */
#include <stdlib.h>
#include <string.h>

#include "term/term.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const struct sp_term *t)
{
	unsigned y, x, cols = sp_term_cols(t), rows = sp_term_rows(t);

	sp_term_cursor(t, &y, &x);
	if (y >= rows || x > cols || cols > SP_TERM_COLS_MAX || rows > SP_TERM_ROWS_MAX)
		abort();
	for (y = 0; y < rows; y++) {
		const struct sp_term_cell *c = sp_term_row(t, y);

		for (x = 0; x < cols; x++)
			if (((c[x].ch & SP_CELL_WIDE) != 0) != (x + 1 < cols && (c[x + 1].ch & SP_CELL_TAIL) != 0))
				abort();
		if (c[0].ch & SP_CELL_TAIL)
			abort();
	}
}

static void
dump(const struct sp_term *t, struct sp_buf *b)
{
	sp_buf_init(b, 64u << 20);
	if (sp_term_dump(t, b) != SP_OK)
		abort();
}

static void
rows_equal(const struct sp_term *a, const struct sp_term *b)
{
	struct sp_buf x, y;

	sp_buf_init(&x, 64u << 20);
	sp_buf_init(&y, 64u << 20);
	for (unsigned i = 0; i < sp_term_rows(a); i++)
		if (sp_term_text(a, i, 0, sp_term_used(a, i), &x) != SP_OK || sp_buf_append_str(&x, "\n") != SP_OK ||
		    sp_term_text(b, i, 0, sp_term_used(b, i), &y) != SP_OK || sp_buf_append_str(&y, "\n") != SP_OK)
			abort();
	if (x.len != y.len || memcmp(x.p, y.p, x.len) != 0)
		abort();
	sp_buf_release(&x);
	sp_buf_release(&y);
}

static void
key_frame(const struct sp_term *t)
{
	struct sp_term *again;
	struct sp_buf a, b;

	dump(t, &a);
	if (sp_term_new(sp_term_cols(t), sp_term_rows(t), &again) != SP_OK)
		abort();
	sp_term_write(again, "\x1b[?1049h\x1b[2;3rrubbish\x1b]0;x", 26);	/* whatever was on it */
	sp_term_write(again, a.p, a.len);
	check(again);
	rows_equal(t, again);
	dump(again, &b);
	if (a.len != b.len || memcmp(a.p, b.p, a.len) != 0)
		abort();
	sp_buf_release(&a);
	sp_buf_release(&b);
	sp_term_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_term *whole, *bytes;
	struct sp_buf a, b;
	size_t half;

	if (size < 4 || size > 65536)
		return 0;
	if (sp_term_new(data[0] % 100, data[1] % 40, &whole) != SP_OK || sp_term_new(data[0] % 100, data[1] % 40, &bytes) != SP_OK)
		abort();
	half = (size - 4) / 2;
	sp_term_write(whole, data + 4, half);
	for (size_t i = 0; i < half; i++)
		sp_term_write(bytes, data + 4 + i, 1);
	check(whole);
	if (sp_term_resize(whole, data[2] % 100, data[3] % 40) != SP_OK || sp_term_resize(bytes, data[2] % 100, data[3] % 40) != SP_OK)
		abort();
	check(whole);
	sp_term_write(whole, data + 4 + half, size - 4 - half);
	for (size_t i = 4 + half; i < size; i++)
		sp_term_write(bytes, data + i, 1);
	check(whole);
	dump(whole, &a);
	dump(bytes, &b);
	if (a.len != b.len || memcmp(a.p, b.p, a.len) != 0)
		abort();
	sp_buf_release(&a);
	sp_buf_release(&b);
	key_frame(whole);
	sp_term_free(whole);
	sp_term_free(bytes);
	return 0;
}
