/* lib/term/track_read.c - find a typed line on the screen and read it: rows joined where they wrapped, the prompt before it
 * and a prompt at the right edge left out. */
#include <string.h>

#include "base/str.h"
#include "term/track_int.h"

static int
blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void
line_trim(struct sp_buf *b)
{
	while (b->len > 0 && blank(b->p[b->len - 1]))
		b->p[--b->len] = '\0';
}

int
line_same(struct sp_view a, struct sp_view b)
{
	size_t i = 0, j = 0;

	for (;;) {
		int gap_a = i < a.len && blank(a.p[i]), gap_b = j < b.len && blank(b.p[j]);

		while (i < a.len && blank(a.p[i]))
			i++;
		while (j < b.len && blank(b.p[j]))
			j++;
		if (i == a.len || j == b.len)
			return i == a.len && j == b.len;
		if (gap_a != gap_b || a.p[i] != b.p[j])
			return 0;
		i++;
		j++;
	}
}

int
line_begins(struct sp_view whole, struct sp_view part)
{
	while (part.len > 0 && blank(part.p[part.len - 1]))
		part.len--;
	for (size_t i = 0, j = 0;; i++, j++) {
		int gap_a = i < whole.len && blank(whole.p[i]), gap_b = j < part.len && blank(part.p[j]);

		while (i < whole.len && blank(whole.p[i]))
			i++;
		while (j < part.len && blank(part.p[j]))
			j++;
		if (j == part.len)
			return 1;
		if (i == whole.len || gap_a != gap_b || whole.p[i] != part.p[j])
			return 0;
	}
}

int
line_ends_with(struct sp_view text, struct sp_view end)
{
	while (text.len > 0 && blank(text.p[text.len - 1]))
		text.len--;
	while (end.len > 0 && blank(end.p[end.len - 1]))
		end.len--;
	if (end.len == 0 || text.len < end.len || memcmp(text.p + text.len - end.len, end.p, end.len) != 0)
		return 0;
	return text.len == end.len || blank(text.p[text.len - end.len - 1]);
}

/* ---- prompts */

int
line_prompt_known(const struct sp_track *l, const char *prompt)
{
	for (unsigned i = 0; i < PROMPTS; i++)
		if (prompt[0] != '\0' && strcmp(l->prompts[i], prompt) == 0)
			return 1;
	return 0;
}

const char *
line_prompt_of(const struct sp_track *l, const char *text)
{
	const char *best = NULL;
	size_t most = 0;

	for (unsigned i = 0; i < PROMPTS; i++) {
		size_t n = strlen(l->prompts[i]);

		if (n > most && strncmp(l->prompts[i], text, n) == 0 && text[n] != '\0') {
			best = l->prompts[i];
			most = n;
		}
	}
	return best;
}

static void
row_text(const struct sp_term *t, unsigned row, unsigned from, unsigned to, char *dst, size_t size)
{
	struct sp_buf b;

	sp_buf_init(&b, size - 1);
	dst[0] = '\0';
	if (sp_term_text(t, row, from, to, &b) == SP_OK)
		(void)sp_strlcpy(dst, sp_buf_cstr(&b), size);
	sp_buf_release(&b);
}

void
line_sides(const struct sp_track *l, char *left, size_t left_size, char *right, size_t right_size)
{
	unsigned y, x;

	sp_term_cursor(l->term, &y, &x);
	row_text(l->term, y, 0, x, left, left_size);
	row_text(l->term, y, x, sp_term_used(l->term, y), right, right_size);
	while (right[0] == ' ')
		memmove(right, right + 1, strlen(right));
}

/* ---- rows */

/* The next row belongs to the same line of text. */
static int
row_joined(const struct sp_term *t, unsigned row)
{
	return sp_term_wrapped(t, row) || sp_term_used(t, row) == sp_term_cols(t);
}

static int
row_begins(const struct sp_term *t, unsigned row, const char *prompt, unsigned *ret_col)
{
	const struct sp_term_cell *c = sp_term_row(t, row);
	char text[SP_TRACK_PROMPT_MAX];
	size_t n = strlen(prompt);
	unsigned x = 0;

	/* Columns are at most bytes, and bytes at most four times the columns: find the column where the bytes are used up. */
	for (unsigned to = (unsigned)(n / 4); to <= n && to <= sp_term_cols(t); to++) {
		if (to < sp_term_cols(t) && c[to].ch & SP_CELL_TAIL)
			continue;
		row_text(t, row, 0, to, text, sizeof(text));
		if (strcmp(text, prompt) != 0)
			continue;
		x = to;
		*ret_col = x;
		return 1;
	}
	return 0;
}

/* The editor left the last column blank, because the wide character that follows did not fit. */
static int
row_edge(const struct sp_term *t, unsigned row)
{
	unsigned used = sp_term_used(t, row), cols = sp_term_cols(t);

	if (row + 1 >= sp_term_rows(t) || (sp_term_row(t, row + 1)[0].ch & SP_CELL_WIDE) == 0)
		return 0;
	return used == cols - 1 || (used == cols && sp_term_row(t, row)[cols - 1].ch == ' ');
}

/* A right prompt that stands where it stood. */
static void
cut_right(struct sp_buf *text, const char *right)
{
	size_t n = strlen(right);

	if (n == 0)
		return;
	line_trim(text);
	if (text->len > n && memcmp(text->p + text->len - n, right, n) == 0 && blank(text->p[text->len - n - 1])) {
		text->len -= n;
		text->p[text->len] = '\0';
		line_trim(text);
	}
}

/* Cells from (row, col) to the end of the row `last`. SP_ESIZE: cut. */
static void
read_rows(const struct sp_track *l, const struct draft *d, unsigned row, unsigned col, unsigned last, struct sp_buf *text,
    int *doubt)
{
	const struct sp_term *t = l->term;

	for (unsigned y = row; y <= last; y++) {
		unsigned from = y == row ? col : 0, used = sp_term_used(t, y);

		int edge = y < last && row_edge(t, y);

		if (edge && used == sp_term_cols(t))
			used--;
		if (from < used && sp_term_text(t, y, from, used, text) != SP_OK) {
			*doubt = 1;
			return;
		}
		if (y == row)
			cut_right(text, d->right);
		if (y == last || edge || row_joined(t, y)) {
			if (y < last && (edge || !sp_term_wrapped(t, y)))
				*doubt = 1;
			continue;
		}
		while (text->len > 0 && (text->p[text->len - 1] == ' ' || text->p[text->len - 1] == '\t'))
			text->p[--text->len] = '\0';
		if (sp_buf_append_str(text, "\n") != SP_OK)
			*doubt = 1;
	}
	line_trim(text);
}

/* The first row of the line of text that the cursor is in. */
static unsigned
cursor_first(const struct sp_term *t, unsigned y)
{
	while (y > 0 && sp_term_wrapped(t, y - 1))
		y--;
	return y;
}

/* The last row of it: below the cursor, as long as rows wrap. */
static unsigned
cursor_last(const struct sp_term *t, unsigned y)
{
	while (y + 1 < sp_term_rows(t) && sp_term_wrapped(t, y))
		y++;
	return y;
}

static enum found
read_by_start(const struct sp_track *l, const struct draft *d, unsigned y, struct sp_buf *text, int *doubt)
{
	uint64_t scrolled = sp_term_scrolled(l->term);
	unsigned start = d->row >= scrolled && d->row - scrolled < sp_term_rows(l->term) ? (unsigned)(d->row - scrolled) : 0;
	unsigned first = cursor_first(l->term, y), last = cursor_last(l->term, y), col = 0;

	if (d->prompt[0] != '\0')	/* painted again, perhaps elsewhere: the nearest above the cursor is it */
		for (unsigned r = y + 1; r-- > 0;)
			if ((r == first || r == start) && row_begins(l->term, r, d->prompt, &col) &&
			    (r == first || d->row >= scrolled)) {
				read_rows(l, d, r, col, last, text, doubt);
				return FOUND_START;
			}
	if (d->row < scrolled && d->gone.len > 0 && !d->alt) {
		if (sp_buf_append(text, d->gone.p, d->gone.len) != SP_OK || d->overflow)
			*doubt = 1;
		read_rows(l, d, 0, 0, last, text, doubt);
		return FOUND_START;
	}
	if (d->prompt[0] == '\0' && d->row == scrolled + start && start <= y) {
		read_rows(l, d, start, d->col, last, text, doubt);
		return FOUND_START;
	}
	return FOUND_NOT;
}

enum found
line_read(const struct sp_track *l, const struct draft *d, struct sp_buf *text, int *ret_doubt, const char **ret_prompt)
{
	unsigned y, x, first, col = 0;
	const char *known = NULL;
	char left[SP_TRACK_PROMPT_MAX];

	sp_buf_reset(text);
	*ret_doubt = 0;
	*ret_prompt = d->prompt;
	sp_term_cursor(l->term, &y, &x);
	if (d->start_ok && read_by_start(l, d, y, text, ret_doubt) == FOUND_START)
		return FOUND_START;
	sp_buf_reset(text);
	*ret_doubt = 0;
	first = cursor_first(l->term, y);
	row_text(l->term, first, 0, SP_TRACK_PROMPT_MAX / 4 < sp_term_cols(l->term) ? SP_TRACK_PROMPT_MAX / 4 :
	    sp_term_cols(l->term), left, sizeof(left));
	if ((known = line_prompt_of(l, left)) != NULL && row_begins(l->term, first, known, &col)) {
		read_rows(l, d, first, col, cursor_last(l->term, y), text, ret_doubt);
		*ret_prompt = known;
		return FOUND_KNOWN;
	}
	read_rows(l, d, first, 0, cursor_last(l->term, y), text, ret_doubt);
	*ret_prompt = "";
	return FOUND_NOT;
}

/* ---- rows that scroll away while a line is typed */

static void
draft_gone(struct sp_term *t, struct draft *d, uint64_t row)
{
	size_t had = d->gone.len;

	if (!d->active || d->alt || row < d->row || d->overflow)
		return;
	if (sp_term_text(t, 0, row == d->row ? d->col : 0, sp_term_used(t, 0), &d->gone) != SP_OK ||
	    (!row_joined(t, 0) && sp_buf_append_str(&d->gone, "\n") != SP_OK)) {
		d->gone.len = had;
		d->overflow = 1;
	}
}

void
line_gone(struct sp_term *t, uint64_t row, void *arg)
{
	struct sp_track *l = arg;

	draft_gone(t, &l->draft, row);
	for (unsigned i = 0; i < l->pending_n; i++)
		draft_gone(t, &l->pending[i], row);
}
