/* src/ctl/table.c - see table.h. */
#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define TABLE_TEXT_MAX	((size_t)1 << 30)	/* bytes of text of one table */
#define TABLE_COLS_MAX	32
#define TABLE_GAP	2			/* blanks between columns */
#define TABLE_CUT_MIN	8			/* a column is never cut below this, nor below its title */
#define TABLE_CARD_ROOM	16			/* columns that a value in a card has at least */
#define TRY(expr)	do { enum sp_err try__r = (expr); if (try__r != SP_OK) return try__r; } while (0)

struct table_cell {
	size_t	off, len, width;	/* in table.text */
};
struct table {
	const struct ctl_col	*col[TABLE_COLS_MAX];	/* in use */
	size_t			 col_width[TABLE_COLS_MAX];
	size_t			 n_cols, n_rows;
	struct table_cell	*cell;			/* n_rows x n_cols */
	struct sp_buf		 text;
};

static void
table_release(struct table *t)
{
	free(t->cell);
	sp_buf_release(&t->text);
}

/* The member that a column shows: the first of "a|b" that is there and not null. */
static const json_t *
table_get(const json_t *row, const char *key)
{
	char name[64];

	for (;;) {
		size_t n = strcspn(key, "|");
		const json_t *v;

		if (n < sizeof(name)) {
			memcpy(name, key, n);
			name[n] = 0;
			if ((v = json_object_get(row, name)) != NULL && !json_is_null(v))
				return v;
		}
		if (key[n] == 0)
			return NULL;
		key += n + 1;
	}
}

static int
table_names(const struct ctl_col *cols, const char *key)
{
	size_t n = strlen(key);

	for (; cols != NULL && cols->title != NULL; cols++)
		for (const char *k = cols->key; ; k++) {
			size_t m = strcspn(k, "|");

			if (m == n && memcmp(k, key, n) == 0)
				return 1;
			if (*(k += m) == 0)
				break;
		}
	return 0;
}

static int
table_is_empty(const json_t *v)
{
	return v == NULL || json_is_null(v) || (json_is_string(v) && json_string_length(v) == 0) ||
	    (json_is_array(v) && json_array_size(v) == 0);
}

static enum sp_err
value_escaped(struct sp_buf *b, const char *s, size_t n)
{
	size_t room = n * 4 + 8;

	TRY(sp_buf_reserve(b, room));
	sp_escape(s, n, (char *)b->p + b->len, room);
	b->len += strlen((char *)b->p + b->len);
	return SP_OK;
}

static enum sp_err
value_age(struct sp_buf *b, int64_t us, int64_t now_us)
{
	static const struct { int64_t s; char unit; } units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	int64_t s = (now_us - us) / (int64_t)SP_US_PER_S;
	const char *sign = s < 0 ? "in " : "";

	s = s < 0 ? -s : s;
	for (size_t i = 0; i < SP_NELEMS(units); i++)
		if (s >= units[i].s)
			return sp_buf_printf(b, "%s%lld%c", sign, (long long)(s / units[i].s), units[i].unit);
	return sp_buf_append_str(b, "0s");
}

static enum sp_err
value_time(struct sp_buf *b, const json_t *v, enum ctl_fmt fmt, int card, int64_t now_us)
{
	char text[SP_RFC3339_SIZE];
	int64_t us;

	if (!json_is_string(v) || sp_rfc3339_parse(json_string_value(v), &us) != SP_OK)
		return ctl_value(v, CTL_FMT_TEXT, card, now_us, b);
	if (fmt == CTL_FMT_AGE && !card)
		return value_age(b, us, now_us);
	sp_rfc3339(us, text, sizeof(text));
	if (strlen(text) < 19)
		return sp_buf_append_str(b, text);
	text[10] = ' ';
	text[19] = 'Z';		/* seconds are enough for people */
	return sp_buf_append(b, text, 20);
}

static enum sp_err
value_bytes(struct sp_buf *b, json_int_t n)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double d = (double)n;
	size_t u = 0;

	for (; d >= 1024 && u + 1 < SP_NELEMS(units); u++)
		d /= 1024;
	return u == 0 ? sp_buf_printf(b, "%lld B", (long long)n) : sp_buf_printf(b, "%.1f %s", d, units[u]);
}

static enum sp_err
value_compact(struct sp_buf *b, const json_t *v)
{
	char *s = json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY);
	enum sp_err r = s == NULL ? SP_ENOMEM : value_escaped(b, s, strlen(s));

	free(s);
	return r;
}

static enum sp_err
value_list(struct sp_buf *b, const json_t *list, int card, int64_t now_us)
{
	size_t i;
	json_t *v;

	json_array_foreach(list, i, v) {
		if (i > 0)
			TRY(sp_buf_append_str(b, ", "));
		TRY(json_is_object(v) || json_is_array(v) ? value_compact(b, v) :
		    ctl_value(v, CTL_FMT_TEXT, card, now_us, b));
	}
	return SP_OK;
}

enum sp_err
ctl_value(const json_t *v, enum ctl_fmt fmt, int card, int64_t now_us, struct sp_buf *ret)
{
	if (v == NULL)
		return SP_OK;
	if ((fmt == CTL_FMT_TIME || fmt == CTL_FMT_AGE) && json_is_string(v))
		return value_time(ret, v, fmt, card, now_us);
	switch (json_typeof(v)) {
	case JSON_STRING:
		return value_escaped(ret, json_string_value(v), json_string_length(v));
	case JSON_INTEGER:
		return fmt == CTL_FMT_BYTES ? value_bytes(ret, json_integer_value(v)) :
		    sp_buf_printf(ret, "%lld", (long long)json_integer_value(v));
	case JSON_REAL:
		return sp_buf_printf(ret, "%g", json_real_value(v));
	case JSON_TRUE:
		return sp_buf_append_str(ret, "yes");
	case JSON_FALSE:
		return sp_buf_append_str(ret, "no");
	case JSON_ARRAY:
		return value_list(ret, v, card, now_us);
	case JSON_OBJECT:
		return value_compact(ret, v);
	case JSON_NULL:
		break;
	}
	return SP_OK;
}

/* Which columns have anything to show. */
static void
table_choose(struct table *t, const struct ctl_col *cols, const json_t *rows)
{
	for (; cols->title != NULL && t->n_cols < TABLE_COLS_MAX; cols++) {
		size_t i = 0, n = json_array_size(rows);

		if (cols->flags & CTL_COL_CARD)
			continue;
		while (i < n && table_is_empty(table_get(json_array_get(rows, i), cols->key)))
			i++;
		if (i < n)
			t->col[t->n_cols++] = cols;
	}
}

static enum sp_err
table_fill(struct table *t, const json_t *rows, int64_t now_us)
{
	t->n_rows = json_array_size(rows);
	if ((t->cell = calloc(t->n_rows * t->n_cols + 1, sizeof(*t->cell))) == NULL)
		return SP_ENOMEM;
	for (size_t j = 0; j < t->n_cols; j++)
		t->col_width[j] = ctl_width(t->col[j]->title, strlen(t->col[j]->title));
	for (size_t i = 0; i < t->n_rows; i++)
		for (size_t j = 0; j < t->n_cols; j++) {
			struct table_cell *c = &t->cell[i * t->n_cols + j];

			c->off = t->text.len;
			TRY(ctl_value(table_get(json_array_get(rows, i), t->col[j]->key), t->col[j]->fmt, 0, now_us,
			    &t->text));
			c->len = t->text.len - c->off;
			c->width = ctl_width((char *)t->text.p + c->off, c->len);
			if (c->width > t->col_width[j])
				t->col_width[j] = c->width;
		}
	return SP_OK;
}

static size_t
table_total(const struct table *t, const int *hide)
{
	size_t sum = 0;

	for (size_t j = 0; j < t->n_cols; j++)
		if (!hide[j])
			sum += t->col_width[j] + (sum > 0 ? TABLE_GAP : 0);
	return sum;
}

/* Narrowest useful width of a column. */
static size_t
table_least(const struct table *t, size_t j)
{
	size_t title = ctl_width(t->col[j]->title, strlen(t->col[j]->title));
	size_t least = title > TABLE_CUT_MIN ? title : TABLE_CUT_MIN;

	return (t->col[j]->flags & CTL_COL_WHOLE) || t->col_width[j] < least ? t->col_width[j] : least;
}

/* Make the table fit: narrow the widest columns first, and before that leave out the extra ones, the last first.
 * Returns 0 when there is no way. */
static int
table_squeeze(struct table *t, int *hide, size_t width)
{
	size_t total;

	for (;;) {
		size_t least = 0, drop = t->n_cols;

		for (size_t j = 0; j < t->n_cols; j++) {
			if (hide[j])
				continue;
			least += table_least(t, j) + (least > 0 ? TABLE_GAP : 0);
			if (t->col[j]->flags & CTL_COL_EXTRA)
				drop = j;
		}
		if (least <= width)
			break;
		if (drop == t->n_cols)
			return 0;
		hide[drop] = 1;
	}
	while ((total = table_total(t, hide)) > width) {
		size_t widest = t->n_cols;

		for (size_t j = 0; j < t->n_cols; j++)
			if (!hide[j] && t->col_width[j] > table_least(t, j) &&
			    (widest == t->n_cols || t->col_width[j] > t->col_width[widest]))
				widest = j;
		if (widest == t->n_cols)
			return 0;
		t->col_width[widest]--;
	}
	return 1;
}

static enum sp_err
table_pad(struct sp_buf *b, size_t n)
{
	for (; n > 0; n--)
		TRY(sp_buf_put_u8(b, ' '));
	return SP_OK;
}

/* One cell, cut with an ellipsis where it must be; the last cell of a line has no blanks behind it. */
static enum sp_err
table_cell(struct sp_buf *b, const char *s, size_t len, size_t text_width, size_t width, unsigned flags, int last)
{
	size_t used = text_width;
	int cut = text_width > width;

	if (cut) {
		len = ctl_width_fit(s, len, width - 1, &used);
		used++;		/* the ellipsis */
	}
	if ((flags & CTL_COL_RIGHT) && used < width)
		TRY(table_pad(b, width - used));
	TRY(sp_buf_append(b, s, len));
	if (cut)
		TRY(sp_buf_append_str(b, "\xe2\x80\xa6"));
	if (last)
		return SP_OK;
	return table_pad(b, TABLE_GAP + ((flags & CTL_COL_RIGHT) || used > width ? 0 : width - used));
}

static enum sp_err
table_print(const struct table *t, const int *hide, struct sp_buf *ret)
{
	size_t last = 0;

	for (size_t j = 0; j < t->n_cols; j++)
		if (!hide[j])
			last = j;
	for (size_t j = 0; j < t->n_cols; j++) {
		size_t n = strlen(t->col[j]->title);

		if (!hide[j])
			TRY(table_cell(ret, t->col[j]->title, n, ctl_width(t->col[j]->title, n), t->col_width[j],
			    t->col[j]->flags, j == last));
	}
	TRY(sp_buf_put_u8(ret, '\n'));
	for (size_t i = 0; i < t->n_rows; i++) {
		for (size_t j = 0; j < t->n_cols; j++) {
			const struct table_cell *c = &t->cell[i * t->n_cols + j];

			if (!hide[j])
				TRY(table_cell(ret, (char *)t->text.p + c->off, c->len, c->width, t->col_width[j],
				    t->col[j]->flags, j == last));
		}
		TRY(sp_buf_put_u8(ret, '\n'));
	}
	return SP_OK;
}

enum sp_err
ctl_table(const struct ctl_col *cols, const json_t *rows, unsigned width, int64_t now_us, struct sp_buf *ret)
{
	sp_auto(table_release) struct table t = { .text.max = TABLE_TEXT_MAX };
	int hide[TABLE_COLS_MAX] = { 0 };

	table_choose(&t, cols, rows);
	if (t.n_cols == 0)
		return SP_OK;
	TRY(table_fill(&t, rows, now_us));
	if (width == 0 || table_total(&t, hide) <= width || table_squeeze(&t, hide, width))
		return table_print(&t, hide, ret);
	for (size_t i = 0; i < t.n_rows; i++) {
		if (i > 0)
			TRY(sp_buf_put_u8(ret, '\n'));
		TRY(ctl_card(cols, json_array_get(rows, i), width, now_us, ret));
	}
	return SP_OK;
}

/* "bytes_in" as "Bytes in". */
static void
card_title(const char *key, char *dst, size_t size)
{
	char raw[64];

	(void)sp_strlcpy(raw, key, sizeof(raw));
	for (char *p = raw; *p != 0; p++)
		if (*p == '_')
			*p = ' ';
	if (raw[0] >= 'a' && raw[0] <= 'z')
		raw[0] = (char)(raw[0] - 'a' + 'A');
	sp_escape(raw, strlen(raw), dst, size);
}

/* Bytes of the next line of a wrapped value: up to a blank where there is one in the second half. */
static size_t
card_break(const char *s, size_t n, size_t width)
{
	size_t used, fit = ctl_width_fit(s, n, width, &used);

	if (fit == n)
		return n;
	for (size_t i = fit; i > fit / 2; i--)
		if (s[i] == ' ')
			return i;
	return fit > 0 ? fit : 1;
}

static enum sp_err
card_line(struct sp_buf *b, const char *title, size_t title_width, const char *s, size_t n, unsigned width, unsigned flags)
{
	size_t indent = title_width + 2, w = ctl_width(title, strlen(title)), room;

	if (width == 0 || (flags & CTL_COL_WHOLE))
		room = SIZE_MAX;
	else if (width >= indent + TABLE_CARD_ROOM)
		room = width - indent;
	else
		room = TABLE_CARD_ROOM;
	TRY(sp_buf_append_str(b, title));
	TRY(sp_buf_put_u8(b, ':'));
	TRY(table_pad(b, indent - w - 1));
	for (;;) {
		size_t k = card_break(s, n, room);

		TRY(sp_buf_append(b, s, k));
		TRY(sp_buf_put_u8(b, '\n'));
		s += k;
		n -= k;
		while (n > 0 && *s == ' ')
			s++, n--;
		if (n == 0)
			return SP_OK;
		TRY(table_pad(b, indent));
	}
}

static enum sp_err
card_member(struct sp_buf *b, const char *title, size_t title_width, const json_t *v, enum ctl_fmt fmt, unsigned width,
    unsigned flags, int64_t now_us)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = TABLE_TEXT_MAX };

	TRY(ctl_value(v, fmt, 1, now_us, &text));
	return card_line(b, title, title_width, sp_buf_cstr(&text), text.len, width, flags);
}

/* Members outside the columns that are to be copied whole. */
static int
card_is_whole(const char *key)
{
	static const char *const whole[] = { "public_key", "fingerprint", "id", "key", "line" };

	for (size_t i = 0; i < SP_NELEMS(whole); i++)
		if (strcmp(key, whole[i]) == 0)
			return 1;
	return 0;
}

/* Both passes over an object: b NULL measures the titles, else prints. */
static enum sp_err
card_walk(const struct ctl_col *cols, const json_t *row, unsigned width, int64_t now_us, struct sp_buf *b,
    size_t *title_width)
{
	char title[256];
	const char *key;
	json_t *v;

	for (const struct ctl_col *c = cols; c != NULL && c->title != NULL; c++) {
		const json_t *cv = table_get(row, c->key);
		const char *name = c->title;
		size_t w;

		if (table_is_empty(cv))
			continue;
		if (c->fmt == CTL_FMT_AGE) {	/* a card has room for the time itself: "STARTED", not "AGE" */
			card_title(c->key, title, sizeof(title));
			for (char *p = title; *p != 0; p++)
				*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
			name = title;
		}
		w = strlen(name);
		if (b != NULL)
			TRY(card_member(b, name, *title_width, cv, c->fmt, width, c->flags, now_us));
		else if (w > *title_width)
			*title_width = w;
	}
	json_object_foreach((json_t *)(uintptr_t)row, key, v) {
		size_t w;

		if (table_is_empty(v) || table_names(cols, key) || json_is_object(json_array_get(v, 0)))
			continue;	/* rows within a row are for programs: --json */
		card_title(key, title, sizeof(title));
		w = ctl_width(title, strlen(title));
		if (b != NULL)
			TRY(card_member(b, title, *title_width, v, CTL_FMT_TEXT, width,
			    card_is_whole(key) ? CTL_COL_WHOLE : 0, now_us));
		else if (w > *title_width)
			*title_width = w;
	}
	return SP_OK;
}

enum sp_err
ctl_card(const struct ctl_col *cols, const json_t *row, unsigned width, int64_t now_us, struct sp_buf *ret)
{
	size_t title_width = 0;

	TRY(card_walk(cols, row, width, now_us, NULL, &title_width));
	return card_walk(cols, row, width, now_us, ret, &title_width);
}
