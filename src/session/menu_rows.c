/* src/session/menu_rows.c - see menu_rows.h. */
#include "session/menu_rows.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define WORDS_MAX	8
#define DEPTH_MAX	64

void
menu_rows_init(struct menu_rows *r)
{
	*r = (struct menu_rows){ .last_group = -2 };
	sp_buf_init(&r->text, SP_MENU_TEXT_TOTAL);
}

void
menu_rows_release(struct menu_rows *r)
{
	sp_buf_release(&r->text);
	free(r->row);
	free(r->group);
	free(r->place);
	free(r->by_id);
	free(r->view);
	free(r->mark);
	menu_rows_init(r);
}

static int
grow(void *array, size_t *cap, size_t n, size_t size)
{
	size_t more = *cap > 0 ? *cap * 2 : 128;
	void *p;

	if (n < *cap)
		return 1;
	memcpy(&p, array, sizeof(p));
	if ((p = realloc(p, more * size)) == NULL)
		return 0;
	memcpy(array, &p, sizeof(p));
	*cap = more;
	return 1;
}

/* One text with its NUL, cut between characters. */
static enum sp_err
put_text(struct menu_rows *r, const char *s, size_t max)
{
	size_t n = 0, len = s != NULL ? strlen(s) : 0;

	while (n < len) {
		uint32_t cp;
		size_t k = sp_utf8_next((const uint8_t *)s + n, len - n, &cp);

		k = k > 0 ? k : 1;
		if (n + k > max)
			break;
		n += k;
	}
	if (n > 0) {
		enum sp_err e = sp_buf_append(&r->text, s, n);

		if (e != SP_OK)
			return e;
	}
	return sp_buf_append(&r->text, "", 1);
}

enum sp_err
menu_rows_add(struct menu_rows *r, const uint8_t id[16], const char *name, const char *address, const char *remark,
    const char *const *accounts, size_t n_accounts, int favourite, unsigned recent)
{
	struct menu_row w = { .at = (uint32_t)r->text.len, .favourite = favourite != 0, .recent = recent > 255 ? 255 : (uint8_t)recent };
	enum sp_err e;

	if (r->n >= SP_MENU_ROWS_MAX || r->text.len > SP_MENU_TEXT_TOTAL - 32768) {
		r->cut = 1;
		return SP_OK;
	}
	if (!grow(&r->row, &r->cap, r->n, sizeof(*r->row)))
		return SP_ENOMEM;
	memcpy(w.id, id, sizeof(w.id));
	if ((e = put_text(r, name, 255)) != SP_OK)
		return e;
	w.address = (uint16_t)(r->text.len - w.at);
	if ((e = put_text(r, address, 255)) != SP_OK)
		return e;
	w.remark = (uint16_t)(r->text.len - w.at);
	if ((e = put_text(r, remark, 1023)) != SP_OK)
		return e;
	w.accounts = (uint16_t)(r->text.len - w.at);
	for (; w.n_accounts < n_accounts && w.n_accounts < 64; w.n_accounts++)
		if ((e = put_text(r, accounts[w.n_accounts], 255)) != SP_OK)
			return e;
	r->row[r->n++] = w;
	r->last_group = -2;
	return SP_OK;
}

struct menu_row_text
menu_rows_text(const struct menu_rows *r, size_t row)
{
	const struct menu_row *w = &r->row[row];
	const char *p = (const char *)r->text.p + w->at;

	return (struct menu_row_text){ p, p + w->address, p + w->remark, p + w->accounts, w->n_accounts };
}

const char *
menu_rows_account(const struct menu_row_text *t, size_t i)
{
	const char *p = t->accounts;

	while (i-- > 0)
		p += strlen(p) + 1;
	return p;
}

int
menu_rows_find(const struct menu_rows *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp((const char *)r->text.p + r->row[i].at, name) == 0)
			return (int)i;
	return -1;
}

/* ---- groups ---- */

void
menu_rows_drop_groups(struct menu_rows *r)
{
	r->group_n = r->place_n = 0;
	r->have_groups = 0;
	r->last_group = -2;
	free(r->by_id);
	r->by_id = NULL;
}

enum sp_err
menu_rows_add_group(struct menu_rows *r, uint32_t id, uint32_t parent, const char *name)
{
	struct menu_group g = { .parent = parent, .name = (uint32_t)r->text.len };
	enum sp_err e;

	if (id != r->group_n + 1 || r->group_n >= SP_MENU_GROUPS_MAX)
		return SP_OK;		/* out of order or too many: not shown */
	if (!grow(&r->group, &r->group_cap, r->group_n, sizeof(g)))
		return SP_ENOMEM;
	if ((e = put_text(r, name, 255)) != SP_OK)
		return e;
	r->group[r->group_n++] = g;
	return SP_OK;
}

static int
by_id(const void *a, const void *b, void *arg)
{
	const struct menu_rows *r = arg;

	return memcmp(r->row[*(const uint32_t *)a].id, r->row[*(const uint32_t *)b].id, 16);
}

static int
row_by_id(const struct menu_rows *r, const uint8_t id[16])
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = memcmp(id, r->row[r->by_id[mid]].id, 16);

		if (c == 0)
			return (int)r->by_id[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -1;
}

enum sp_err
menu_rows_add_place(struct menu_rows *r, const uint8_t id[16], const uint32_t *groups, size_t n)
{
	int row;

	if (r->by_id == NULL) {
		if ((r->by_id = calloc(r->n + 1, sizeof(*r->by_id))) == NULL)
			return SP_ENOMEM;
		for (size_t i = 0; i < r->n; i++)
			r->by_id[i] = (uint32_t)i;
		qsort_r(r->by_id, r->n, sizeof(*r->by_id), by_id, r);
	}
	if ((row = row_by_id(r, id)) < 0)
		return SP_OK;		/* granted after the list was made */
	for (size_t i = 0; i < n && r->place_n < SP_MENU_PLACES_MAX; i++) {
		if (groups[i] == 0 || groups[i] > r->group_n)
			continue;
		if (!grow(&r->place, &r->place_cap, r->place_n, sizeof(*r->place)))
			return SP_ENOMEM;
		r->place[r->place_n++] = (struct menu_place){ (uint32_t)row, groups[i] - 1 };
	}
	return SP_OK;
}

static int
by_place(const void *a, const void *b)
{
	const struct menu_place *x = a, *y = b;

	return x->row != y->row ? (x->row > y->row) - (x->row < y->row) : (x->group > y->group) - (x->group < y->group);
}

/* Each row counts once in every group above it: a group remembers the last row that counted. */
enum sp_err
menu_rows_groups_done(struct menu_rows *r)
{
	uint32_t *seen = calloc(r->group_n + 1, sizeof(*seen));

	if (seen == NULL)
		return SP_ENOMEM;
	for (size_t i = 0; i < r->group_n; i++)
		if (r->group[i].parent > r->group_n || r->group[i].parent == i + 1)
			r->group[i].parent = 0;
	if (r->place_n > 0)
		qsort(r->place, r->place_n, sizeof(*r->place), by_place);
	for (size_t i = 0; i < r->place_n; i++) {
		uint32_t g = r->place[i].group + 1;

		for (int depth = 0; g != 0 && depth < DEPTH_MAX && seen[g - 1] != r->place[i].row + 1; depth++) {
			seen[g - 1] = r->place[i].row + 1;
			r->group[g - 1].count++;
			g = r->group[g - 1].parent;
		}
	}
	free(seen);
	r->have_groups = 1;
	r->last_group = -2;
	return SP_OK;
}

static int
is_below(const struct menu_rows *r, uint32_t group, uint32_t top)
{
	for (int depth = 0; group != 0 && depth < DEPTH_MAX; depth++) {
		if (group == top)
			return 1;
		group = r->group[group - 1].parent;
	}
	return 0;
}

/* ---- the filter ---- */

static int
fold(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

const char *
menu_rows_search(const char *text, const char *needle)
{
	int first = fold((unsigned char)*needle);
	size_t n = strlen(needle);

	if (n == 0)
		return text;
	for (; *text != '\0'; text++)
		if (fold((unsigned char)*text) == first && strncasecmp(text, needle, n) == 0)
			return text;
	return NULL;
}

struct words {
	char	text[257];
	char	*word[WORDS_MAX];
	int	n;
};

static void
words_of(const char *query, struct words *w)
{
	char *p = w->text;

	w->n = 0;
	(void)sp_strlcpy(w->text, query, sizeof(w->text));
	while (w->n < WORDS_MAX) {
		p += strspn(p, " ");
		if (*p == '\0')
			return;
		w->word[w->n++] = p;
		p += strcspn(p, " ");
		if (*p != '\0')
			*p++ = '\0';
	}
}

static int
row_matches(const struct menu_rows *r, size_t row, const struct words *w)
{
	struct menu_row_text t = menu_rows_text(r, row);

	for (int i = 0; i < w->n; i++)
		if (menu_rows_search(t.name, w->word[i]) == NULL && menu_rows_search(t.address, w->word[i]) == NULL &&
		    menu_rows_search(t.remark, w->word[i]) == NULL)
			return 0;
	return 1;
}

/* mark[row]: in the group, directly or (deep) below; at the top without a query: in no group at all. */
static void
mark_group(struct menu_rows *r, int64_t group, int deep)
{
	memset(r->mark, group == 0, r->n);
	if (group == 0 && deep)
		return;
	for (size_t i = 0; i < r->place_n; i++) {
		if (group == 0)
			r->mark[r->place[i].row] = 0;
		else if (r->place[i].group + 1 == group || (deep && is_below(r, r->place[i].group + 1, (uint32_t)group)))
			r->mark[r->place[i].row] = 1;
	}
}

static int
by_group_name(const void *a, const void *b, void *arg)
{
	const struct menu_rows *r = arg;

	return strcmp((const char *)r->text.p + r->group[~*(const int32_t *)a].name,
	    (const char *)r->text.p + r->group[~*(const int32_t *)b].name);
}

static void
filter_groups(struct menu_rows *r, int64_t group, const struct words *w)
{
	for (size_t i = 0; i < r->group_n; i++) {
		const char *name = (const char *)r->text.p + r->group[i].name;
		int in = w->n > 0 ? group == 0 || (is_below(r, (uint32_t)i + 1, (uint32_t)group) && (int64_t)i + 1 != group) :
		    r->group[i].parent == group;

		for (int k = 0; k < w->n && in; k++)
			in = menu_rows_search(name, w->word[k]) != NULL;
		if (in && r->group[i].count > 0)
			r->view[r->view_n++] = ~(int32_t)i;
	}
	if (r->view_n > 1)
		qsort_r(r->view, r->view_n, sizeof(*r->view), by_group_name, r);
}

static enum sp_err
filter_room(struct menu_rows *r)
{
	size_t need = r->n + r->group_n + 1;

	if (r->view_cap < need) {
		int32_t *v = realloc(r->view, need * sizeof(*v));
		uint8_t *m;

		if (v == NULL)
			return SP_ENOMEM;
		r->view = v;
		if ((m = realloc(r->mark, need)) == NULL)
			return SP_ENOMEM;
		r->mark = m;
		r->view_cap = need;
	}
	return SP_OK;
}

enum sp_err
menu_rows_filter(struct menu_rows *r, const char *query, int64_t group)
{
	size_t n = 0, last_n = strlen(r->last);
	struct words w;
	enum sp_err e;

	if (r->last_group == group && strcmp(query, r->last) == 0)
		return SP_OK;
	if ((e = filter_room(r)) != SP_OK)
		return e;
	words_of(query, &w);
	if (r->last_group == -1 && group == -1 && last_n > 0 && strncmp(query, r->last, last_n) == 0) {
		for (size_t i = 0; i < r->view_n; i++)	/* one more letter: only what was there can still be */
			if (row_matches(r, (size_t)r->view[i], &w))
				r->view[n++] = r->view[i];
		r->view_n = n;
	} else {
		r->view_n = 0;
		if (group >= 0) {
			filter_groups(r, group, &w);
			mark_group(r, group, w.n > 0);
		}
		for (size_t i = 0; i < r->n; i++)
			if ((group < 0 || r->mark[i]) && row_matches(r, i, &w))
				r->view[r->view_n++] = (int32_t)i;
	}
	(void)sp_strlcpy(r->last, query, sizeof(r->last));
	r->last_group = group;
	return SP_OK;
}
