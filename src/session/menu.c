/* src/session/menu.c - see menu.h.
 * The menu prints lines and scrolls like any command; it takes over no screen, so that what it showed stays readable
 * above and nothing flickers. Only a new window size clears, because the terminal has broken the lines by then. */
#include "session/menu.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "session/lineedit.h"

_Static_assert(SP_MENU_LINE_MAX == SP_LINE_SIZE - 1 && SP_MENU_HISTORY == SP_LINE_HISTORY, "one line, two headers");

#define COLS_MAX	500
#define PAGE_MIN	3
#define AROUND		6	/* lines of a page that are not rows */
#define ESCAPED_MAX	(SP_MENU_TEXT_MAX * 4 + 8)
#define CANDIDATES	3	/* lines of completions */
#define MESSAGE_LINES	4

#define BOLD		"\x1b[1m"
#define DIM		"\x1b[2m"
#define PLAIN		"\x1b[0m"

enum menu_state { M_ASLEEP, M_LIST, M_WAIT, M_ACCOUNT };
enum menu_want { W_PAGE, W_SEARCH, W_COMPLETE, W_OPEN };

struct row {
	char	*name, *address, *remark;
	char	**accounts;
	size_t	n_accounts;
};
struct sp_menu {
	const struct sp_menu_ops *ops;
	void		*arg;
	char		title[SP_MENU_TEXT_MAX];
	uint32_t	cols, lines;
	enum menu_state	state;
	enum menu_want	want;		/* in M_WAIT */
	uint32_t	ask;		/* number of the last ask */
	char		query[SP_LINE_SIZE];	/* what the list shows */
	char		next_query[SP_LINE_SIZE];	/* what was asked for */
	uint32_t	offset, next_offset, total;
	struct row	row[SP_MENU_PAGE_MAX];
	size_t		n;
	struct row	chosen;		/* in M_ACCOUNT: name and accounts */
	char		message[SP_MENU_TEXT_MAX];
	struct sp_keys	keys;
	struct sp_line	line;
	struct sp_buf	ahead;
	struct sp_buf	*out;		/* of the current call */
	enum sp_err	err;		/* sticks for the current call */
};

/* ---- output ---- */

static void put(struct sp_menu *m, const char *fmt, ...) SP_PRINTF(2, 3);

static void
put(struct sp_menu *m, const char *fmt, ...)
{
	char text[ESCAPED_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0 && m->err == SP_OK)
		m->err = sp_buf_append(m->out, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Marks pile up over a character: more than two on one are no writing, and cover the lines above. */
static void
drop_marks(char *s)
{
	size_t n = strlen(s), to = 0, marks = 0;

	for (size_t i = 0, k; i < n; i += k) {
		uint32_t cp = 0;

		k = sp_utf8_next((const uint8_t *)s + i, n - i, &cp);
		k = k > 0 ? k : 1;
		marks = cp >= 0x300 && sp_char_width(cp) == 0 ? marks + 1 : 0;
		if (marks <= 2) {
			memmove(s + to, s + i, k);
			to += k;
		}
	}
	s[to] = '\0';
}

/* Text from outside: escaped, at most `cols` columns, ".." where it is cut; filled up to `cols` when pad is set. */
static void
put_text(struct sp_menu *m, const char *s, size_t cols, int pad)
{
	char safe[ESCAPED_MAX];
	size_t n, fit, used;

	(void)sp_escape(s, strlen(s), safe, sizeof(safe));
	drop_marks(safe);
	n = strlen(safe);
	fit = sp_text_fit(safe, n, cols, &used);
	if (fit < n && cols >= 4) {
		fit = sp_text_fit(safe, n, cols - 2, &used);
		put(m, "%.*s..", (int)fit, safe);
		used += 2;
	} else {
		put(m, "%.*s", (int)fit, safe);
	}
	if (pad && used < cols)
		put(m, "%*s", (int)(cols - used), "");
}

static const char *
menu_prompt(const struct sp_menu *m)
{
	if (m->cols < 30)
		return "> ";
	return m->state == M_ACCOUNT ? "Account> " : "Number or search> ";
}

static void
put_prompt(struct sp_menu *m)
{
	if (m->err == SP_OK && (m->state == M_LIST || m->state == M_ACCOUNT))
		m->err = sp_line_draw(&m->line, menu_prompt(m), m->cols, m->out);
}

/* Whole words on at most MESSAGE_LINES lines; a word that is wider than the screen is broken. */
static void
put_message(struct sp_menu *m)
{
	char safe[ESCAPED_MAX];
	const char *p = safe;

	if (m->message[0] == '\0')
		return;
	(void)sp_escape(m->message, strlen(m->message), safe, sizeof(safe));
	drop_marks(safe);
	m->message[0] = '\0';
	for (int i = 1; *p != '\0'; i++) {
		size_t n = strlen(p), used, fit = sp_text_fit(p, n, m->cols - 1, &used), k = fit;

		if (i == MESSAGE_LINES || fit == n || fit == 0) {
			put(m, "%.*s%s\r\n", (int)(fit < n ? sp_text_fit(p, n, m->cols - 3, &used) : n), p, fit < n ? ".." : "");
			return;
		}
		while (k > 0 && p[k] != ' ')
			k--;
		k = k > 0 ? k : fit;
		put(m, "%.*s\r\n", (int)k, p);
		for (p += k; *p == ' '; p++)
			;
	}
}

/* ---- the list ---- */

static uint32_t
menu_page(const struct sp_menu *m)
{
	uint32_t n = m->lines > AROUND + PAGE_MIN ? m->lines - AROUND : PAGE_MIN;

	return n > SP_MENU_PAGE_MAX ? SP_MENU_PAGE_MAX : n;
}

static void
row_release(struct row *r)
{
	for (size_t i = 0; i < r->n_accounts; i++)
		free(r->accounts[i]);
	free(r->accounts);
	free(r->name);
	free(r->address);
	free(r->remark);
	*r = (struct row){ 0 };
}

static char *
text_copy(const char *s)
{
	return strndup(s != NULL ? s : "", SP_MENU_TEXT_MAX);
}

static enum sp_err
row_accounts(struct row *r, const char *const *accounts, size_t n)
{
	if (n > SP_MENU_ACCOUNTS_MAX)
		n = SP_MENU_ACCOUNTS_MAX;
	if (n > 0 && (r->accounts = calloc(n, sizeof(*r->accounts))) == NULL)
		return SP_ENOMEM;
	for (; r->n_accounts < n; r->n_accounts++)
		if ((r->accounts[r->n_accounts] = text_copy(accounts[r->n_accounts])) == NULL)
			return SP_ENOMEM;
	return SP_OK;
}

static enum sp_err
row_set(struct row *r, const struct sp_menu_row *from)
{
	row_release(r);
	r->name = text_copy(from->name);
	r->address = text_copy(from->address);
	r->remark = text_copy(from->remark);
	if (r->name == NULL || r->address == NULL || r->remark == NULL)
		return SP_ENOMEM;
	return row_accounts(r, from->accounts, from->n_accounts);
}

static size_t
safe_width(const char *s)
{
	char safe[ESCAPED_MAX];

	(void)sp_escape(s, strlen(s), safe, sizeof(safe));
	return sp_text_width(safe, strlen(safe));
}

struct columns {
	int	digits;
	size_t	name, address, accounts, remark;	/* 0: not shown */
};

static void
row_accounts_text(const struct row *r, char *dst, size_t n)
{
	dst[0] = '\0';
	for (size_t i = 0; i < r->n_accounts && strlen(dst) + 4 < n; i++) {
		size_t at = strlen(dst);

		(void)sp_snprintf(dst + at, n - at, "%s%s", i > 0 ? "," : "", r->accounts[i]);
	}
}

static size_t
at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Names matter most, then addresses, then who one is there, then remarks; what has no room is left out. */
static struct columns
menu_columns(const struct sp_menu *m, size_t n)
{
	struct columns c = { .digits = 2 };
	size_t left, name = 0, address = 0, accounts = 0;
	char text[SP_MENU_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		row_accounts_text(&m->row[i], text, sizeof(text));
		name = safe_width(m->row[i].name) > name ? safe_width(m->row[i].name) : name;
		address = safe_width(m->row[i].address) > address ? safe_width(m->row[i].address) : address;
		accounts = safe_width(text) > accounts ? safe_width(text) : accounts;
	}
	for (uint64_t k = 100; k <= m->offset + n; k *= 10)
		c.digits++;
	left = m->cols > (uint32_t)c.digits + 3 ? m->cols - (uint32_t)c.digits - 3 : 1;
	c.name = at_most(name, left < 24 ? left : left * 2 / 5 > 16 ? left * 2 / 5 : 16);
	left -= at_most(left, c.name + 2);
	if (left >= 7 && address > 0)
		c.address = at_most(address, left < 20 ? left : 18);
	left -= at_most(left, c.address > 0 ? c.address + 2 : 0);
	if (left >= 24 && accounts > 0)
		c.accounts = at_most(accounts, 16);
	left -= at_most(left, c.accounts > 0 ? c.accounts + 2 : 0);
	c.remark = left >= 8 ? left : 0;
	return c;
}

static void
put_row(struct sp_menu *m, const struct columns *c, size_t i)
{
	const struct row *r = &m->row[i];
	char accounts[SP_MENU_TEXT_MAX];

	row_accounts_text(r, accounts, sizeof(accounts));
	put(m, "%*llu  ", c->digits, (unsigned long long)m->offset + i + 1);
	put_text(m, r->name, c->name, c->address + c->accounts + c->remark > 0);
	if (c->address > 0) {
		put(m, "  ");
		put_text(m, r->address, c->address, c->accounts + c->remark > 0);
	}
	if (c->accounts > 0) {
		put(m, "  ");
		put_text(m, accounts, c->accounts, c->remark > 0 && r->remark[0] != '\0');
	}
	if (c->remark > 0 && r->remark[0] != '\0') {
		put(m, "  ");
		put_text(m, r->remark, c->remark, 0);
	}
	put(m, "\r\n");
}

static void
put_title(struct sp_menu *m)
{
	char text[SP_MENU_TEXT_MAX + SP_LINE_SIZE + 16];

	if (m->query[0] != '\0')
		(void)sp_snprintf(text, sizeof(text), "%s: \"%s\"", m->title, m->query);
	else
		(void)sp_snprintf(text, sizeof(text), "%s", m->title);
	put(m, "\r\n" BOLD);
	put_text(m, text, m->cols - 1, 0);
	put(m, PLAIN "\r\n");
}

static void
put_foot(struct sp_menu *m, size_t n)
{
	char text[160];

	if (m->total == 0 && m->query[0] != '\0')
		(void)sp_snprintf(text, sizeof(text), "Nothing matches. Enter shows everything, ? helps.");
	else if (m->total == 0)
		(void)sp_snprintf(text, sizeof(text), "No server is open to you. Ask your administrator. q quits.");
	else
		(void)sp_snprintf(text, sizeof(text), "%llu-%llu of %u   Enter or n: next, p: previous, ?: help, q: quit",
		    (unsigned long long)m->offset + 1, (unsigned long long)m->offset + n, m->total);
	if (m->total > 0 && strlen(text) >= m->cols)
		(void)sp_snprintf(text, sizeof(text), "%llu-%llu of %u   ?: help, q: quit",
		    (unsigned long long)m->offset + 1, (unsigned long long)m->offset + n, m->total);
	put(m, DIM);
	put_text(m, text, m->total == 0 ? (size_t)m->cols * 2 : m->cols - 1, 0);
	put(m, PLAIN "\r\n");
}

static void
put_list(struct sp_menu *m)
{
	size_t n = at_most(m->n, menu_page(m));
	struct columns c = menu_columns(m, n);

	put_title(m);
	for (size_t i = 0; i < n; i++)
		put_row(m, &c, i);
	put_foot(m, n);
	put_message(m);
	put_prompt(m);
}

static void
put_accounts(struct sp_menu *m)
{
	put(m, "\r\n" BOLD);
	put_text(m, m->chosen.name, m->cols - 1, 0);
	put(m, PLAIN "\r\n");
	for (size_t i = 0; i < m->chosen.n_accounts; i++) {
		put(m, "%2zu  ", i + 1);
		put_text(m, m->chosen.accounts[i], m->cols > 8 ? m->cols - 6 : 4, 0);
		put(m, "\r\n");
	}
	put(m, DIM);
	put_text(m, "Number or name of the account; Enter goes back", m->cols - 1, 0);
	put(m, PLAIN "\r\n");
	put_message(m);
	put_prompt(m);
}

static void
put_screen(struct sp_menu *m)
{
	if (m->state == M_ACCOUNT)
		put_accounts(m);
	else
		put_list(m);
}

static void
menu_say(struct sp_menu *m, const char *text)
{
	(void)sp_strlcpy(m->message, text, sizeof(m->message));
	put_message(m);
	put_prompt(m);
}

static void
put_help(struct sp_menu *m)
{
	static const char *const wide[] = {
		"  a number        opens that server",
		"  text            searches names, addresses and remarks; Tab completes a name",
		"  account@server  opens it as that account",
		"  Enter, n, p     next page, previous page",
		"  /text           searches for what would be a number or a command; / shows everything",
		"  Ctrl-C          drops the line, the wait or the search",
		"  q, Ctrl-D       quits",
	};
	static const char *const narrow[] = {
		"number: open that server",
		"text: search; Tab completes a name",
		"account@server: open it so",
		"Enter, n, p: turn pages",
		"/text: search for 12, n, q...; /: all",
		"Ctrl-C: drop line, wait or search",
		"q, Ctrl-D: quit",
	};

	for (size_t i = 0; i < SP_NELEMS(wide); i++)
		put(m, "%s\r\n", m->cols >= 88 ? wide[i] : narrow[i]);
	put_prompt(m);
}

/* ---- what the person wants ---- */

static void
menu_ask(struct sp_menu *m, enum menu_want want, const char *query, uint32_t offset, uint32_t limit)
{
	if (query != m->next_query)
		(void)sp_strlcpy(m->next_query, query, sizeof(m->next_query));
	m->next_offset = offset;
	m->want = want;
	m->state = M_WAIT;
	m->ask++;
	m->ops->ask(m->arg, m->ask, m->next_query, offset, limit);
}

static void
menu_sleep(struct sp_menu *m)
{
	m->state = M_ASLEEP;
	sp_line_set(&m->line, "");
}

static void
menu_choose(struct sp_menu *m, const char *account, const char *asset)
{
	char a[SP_MENU_TEXT_MAX + 1], b[SP_MENU_TEXT_MAX + 1];

	(void)sp_strlcpy(a, account, sizeof(a));	/* they may point into what is released below */
	(void)sp_strlcpy(b, asset, sizeof(b));
	menu_sleep(m);
	row_release(&m->chosen);
	m->ops->choose(m->arg, a, b);
}

static enum sp_err
menu_accounts(struct sp_menu *m, const char *asset, const char *const *accounts, size_t n)
{
	struct row r = { .name = text_copy(asset) };

	if (r.name == NULL || row_accounts(&r, accounts, n) != SP_OK) {
		row_release(&r);
		return SP_ENOMEM;
	}
	row_release(&m->chosen);
	m->chosen = r;
	m->state = M_ACCOUNT;
	return SP_OK;
}

static void
menu_open(struct sp_menu *m, const struct row *r)
{
	if (r->n_accounts <= 1) {
		menu_choose(m, r->n_accounts == 1 ? r->accounts[0] : "", r->name);
		return;
	}
	if (menu_accounts(m, r->name, (const char *const *)r->accounts, r->n_accounts) != SP_OK)
		m->err = SP_ENOMEM;
	else
		put_accounts(m);
}

static void
menu_turn(struct sp_menu *m, int back)
{
	uint32_t page = menu_page(m), shown = (uint32_t)at_most(m->n, page), to;

	if (back)
		to = m->offset > page ? m->offset - page : 0;
	else
		to = (uint64_t)m->offset + shown < m->total ? m->offset + shown : 0;
	if (m->total == 0)
		m->query[0] = '\0';	/* an empty result: everything again */
	menu_ask(m, W_PAGE, m->query, to, page);
}

/* 1..total when the text is nothing but such a number, else 0. */
static uint32_t
menu_number(const char *s, uint32_t total)
{
	uint64_t v = 0;

	if (*s == '\0')
		return 0;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || (v = v * 10 + (uint64_t)(*s - '0')) > total)
			return 0;
	}
	return (uint32_t)v;
}

static void
menu_open_number(struct sp_menu *m, uint32_t k)
{
	if (k - 1 >= m->offset && k - 1 < m->offset + at_most(m->n, menu_page(m)))
		menu_open(m, &m->row[k - 1 - m->offset]);
	else
		menu_ask(m, W_OPEN, m->query, k - 1, 1);
}

static void
menu_open_path(struct sp_menu *m, const char *text)
{
	const char *at = strrchr(text, '@');
	char account[SP_LINE_SIZE];

	if (at == text || at[1] == '\0') {
		menu_say(m, "Write account@server, for example root@web1.");
		return;
	}
	(void)sp_snprintf(account, sizeof(account), "%.*s", (int)(at - text), text);
	menu_choose(m, account, at + 1);
}

static void
menu_quit(struct sp_menu *m)
{
	menu_sleep(m);
	m->ops->quit(m->arg);
}

static void
menu_command(struct sp_menu *m, const char *text)
{
	uint32_t k = menu_number(text, m->total);

	if (strcmp(text, "") == 0 || strcasecmp(text, "n") == 0)
		menu_turn(m, 0);
	else if (strcasecmp(text, "p") == 0)
		menu_turn(m, 1);
	else if (strcasecmp(text, "q") == 0)
		menu_quit(m);
	else if (strcmp(text, "?") == 0)
		put_help(m);
	else if (*text == '/')
		menu_ask(m, W_PAGE, text + 1, 0, menu_page(m));
	else if (k > 0)
		menu_open_number(m, k);
	else if (strchr(text, '@') != NULL)
		menu_open_path(m, text);
	else
		menu_ask(m, W_SEARCH, text, 0, menu_page(m));
}

static void
menu_account_command(struct sp_menu *m, const char *text)
{
	uint32_t k = menu_number(text, (uint32_t)m->chosen.n_accounts);

	if (*text == '\0' || strcasecmp(text, "q") == 0) {
		menu_ask(m, W_PAGE, m->query, m->offset, menu_page(m));
		return;
	}
	for (size_t i = 0; k == 0 && i < m->chosen.n_accounts; i++)
		if (strcmp(m->chosen.accounts[i], text) == 0)
			k = (uint32_t)i + 1;
	if (k == 0)
		menu_say(m, "There is no such account.");
	else
		menu_choose(m, m->chosen.accounts[k - 1], m->chosen.name);
}

static void
menu_enter(struct sp_menu *m)
{
	char text[SP_LINE_SIZE];
	size_t from = 0, to = m->line.len;

	while (from < to && m->line.text[from] == ' ')
		from++;
	while (to > from && m->line.text[to - 1] == ' ')
		to--;
	(void)sp_snprintf(text, sizeof(text), "%.*s", (int)(to - from), m->line.text + from);
	put(m, "\r\n");
	sp_line_set(&m->line, "");
	if (m->state == M_ACCOUNT) {
		menu_account_command(m, text);
		return;
	}
	if (strlen(text) > 1)
		sp_line_remember(&m->line, text);
	menu_command(m, text);
}

/* ---- completion ---- */

/* The part that Tab completes: the server in account@server. */
static const char *
menu_stem(const struct sp_menu *m)
{
	const char *at = strrchr(m->line.text, '@');

	return at != NULL ? at + 1 : m->line.text;
}

static void
menu_tab(struct sp_menu *m)
{
	const char *stem = menu_stem(m);

	if (m->state != M_LIST || *stem == '\0' || *stem == '/' || m->line.cur != m->line.len)
		return;
	menu_ask(m, W_COMPLETE, stem, 0, SP_MENU_PAGE_MAX);
}

/* Bytes that two names have in common, in whole characters. */
static size_t
common_prefix(const char *a, const char *b)
{
	size_t at = 0, n = strlen(a);

	while (at < n) {
		uint32_t cp;
		size_t k = sp_utf8_next((const uint8_t *)a + at, n - at, &cp);

		if (k == 0 || strncmp(a + at, b + at, k) != 0)
			break;
		at += k;
	}
	return at;
}

static void
put_candidates(struct sp_menu *m, const char *const *name, size_t n)
{
	size_t wide = 0, per_line, i, lines = 0;

	for (i = 0; i < n; i++)
		wide = safe_width(name[i]) > wide ? safe_width(name[i]) : wide;
	wide = at_most(wide, m->cols > 4 ? m->cols - 3 : 1);
	per_line = (m->cols - 1) / (wide + 2) > 0 ? (m->cols - 1) / (wide + 2) : 1;
	put(m, "\r\n");
	for (i = 0; i < n && lines < CANDIDATES; i++) {
		int last = (i + 1) % per_line == 0 || i + 1 == n;

		put_text(m, name[i], wide, !last);
		put(m, "%s", last ? "\r\n" : "  ");
		lines += (size_t)last;
	}
	if (i < n)
		put(m, "and %zu more\r\n", n - i);
}

static void
menu_complete(struct sp_menu *m, const struct sp_menu_row *rows, size_t n, uint32_t total)
{
	const char *stem = menu_stem(m), *name[SP_MENU_PAGE_MAX];
	size_t found = 0, common = 0, keep = (size_t)(stem - m->line.text);
	char text[SP_LINE_SIZE + SP_MENU_TEXT_MAX];

	for (size_t i = 0; i < n; i++)
		if (rows[i].name != NULL && strncasecmp(rows[i].name, stem, strlen(stem)) == 0) {
			common = found == 0 ? strlen(rows[i].name) : at_most(common, common_prefix(name[0], rows[i].name));
			name[found++] = rows[i].name;
		}
	m->state = M_LIST;
	if (total > n) {
		(void)sp_snprintf(text, sizeof(text), "%u match: type more.", total);
		put(m, "\r\n");
		menu_say(m, text);
		return;
	}
	if (found > 0 && common >= strlen(stem) && strncmp(name[0], stem, common) != 0) {
		(void)sp_snprintf(text, sizeof(text), "%.*s%.*s", (int)keep, m->line.text, (int)common, name[0]);
		sp_line_set(&m->line, text);
	} else if (found > 1) {
		put_candidates(m, name, found);
	}
	put_prompt(m);
}

/* ---- keys ---- */

static void
menu_cancel(struct sp_menu *m)
{
	if (m->state == M_WAIT) {
		m->ask++;		/* the answer will find nobody */
		m->state = M_LIST;
		put_prompt(m);
	} else if (m->line.len > 0) {
		sp_line_set(&m->line, "");
		put_prompt(m);
	} else if (m->state == M_ACCOUNT) {
		put(m, "\r\n");
		menu_ask(m, W_PAGE, m->query, m->offset, menu_page(m));
	} else if (m->query[0] != '\0') {
		put(m, "\r\n");
		menu_ask(m, W_PAGE, "", 0, menu_page(m));
	}
}

static void
menu_char(struct sp_menu *m)
{
	struct sp_line *l = &m->line;
	int at_end = l->cur == l->len;
	size_t width;

	if (!sp_line_insert(l, m->keys.ch, m->keys.ch_len))
		return;
	width = sp_text_width(menu_prompt(m), strlen(menu_prompt(m))) + sp_text_width(l->text, l->len);
	if (at_end && width < m->cols)
		put(m, "%.*s", (int)m->keys.ch_len, (const char *)m->keys.ch);	/* the common case: no redraw */
	else
		put_prompt(m);
}

static void
menu_key(struct sp_menu *m, enum sp_key key)
{
	switch (key) {
	case SP_KEY_NONE:
		break;
	case SP_KEY_CHAR:
		menu_char(m);
		break;
	case SP_KEY_ENTER:
		menu_enter(m);
		break;
	case SP_KEY_TAB:
		menu_tab(m);
		break;
	case SP_KEY_CANCEL:
		menu_cancel(m);
		break;
	case SP_KEY_REDRAW:
		put(m, "\x1b[2J\x1b[H");
		put_screen(m);
		break;
	case SP_KEY_EOF:
		if (m->line.len == 0 && m->state == M_LIST) {
			put(m, "\r\n");
			menu_quit(m);
		} else if (m->line.len == 0) {
			menu_cancel(m);
		} else if (sp_line_key(&m->line, SP_KEY_DELETE)) {
			put_prompt(m);
		}
		break;
	default:
		if (sp_line_key(&m->line, key))
			put_prompt(m);
	}
}

/* Keys wait while an answer is awaited; what was typed after a choice is not ours. */
static void
menu_feed(struct sp_menu *m)
{
	size_t i = 0;

	while (i < m->ahead.len && m->err == SP_OK && (m->state == M_LIST || m->state == M_ACCOUNT))
		menu_key(m, sp_keys_feed(&m->keys, m->ahead.p[i++]));
	/* The line feed of the Enter that chose is part of it. */
	if (m->state == M_ASLEEP && m->keys.after_cr && i < m->ahead.len && m->ahead.p[i] == '\n')
		i++;
	if (i > 0)
		sp_buf_consume(&m->ahead, i);
}

/* ---- the interface ---- */

static void
menu_size(struct sp_menu *m, uint32_t cols, uint32_t rows)
{
	m->cols = cols == 0 ? 80 : cols < 10 ? 10 : cols > COLS_MAX ? COLS_MAX : cols;
	m->lines = rows == 0 ? 24 : rows;
}

enum sp_err
sp_menu_new(const struct sp_menu_ops *ops, void *arg, const char *title, uint32_t cols, uint32_t rows,
    struct sp_menu **ret)
{
	struct sp_menu *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return SP_ENOMEM;
	m->ops = ops;
	m->arg = arg;
	(void)sp_strlcpy(m->title, title, sizeof(m->title));
	menu_size(m, cols, rows);
	sp_buf_init(&m->ahead, SP_MENU_AHEAD);
	*ret = m;
	return SP_OK;
}

void
sp_menu_free(struct sp_menu *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < SP_MENU_PAGE_MAX; i++)
		row_release(&m->row[i]);
	row_release(&m->chosen);
	sp_line_release(&m->line);
	sp_buf_release(&m->ahead);
	free(m);
}

static void
menu_enter_call(struct sp_menu *m, struct sp_buf *out)
{
	m->out = out;
	m->err = SP_OK;
}

static enum sp_err
menu_leave_call(struct sp_menu *m)
{
	m->out = NULL;
	return m->err;
}

enum sp_err
sp_menu_start(struct sp_menu *m, const char *message, struct sp_buf *out)
{
	menu_enter_call(m, out);
	sp_buf_reset(&m->ahead);
	m->keys = (struct sp_keys){ 0 };
	sp_line_set(&m->line, "");
	(void)sp_strlcpy(m->message, message != NULL ? message : "", sizeof(m->message));
	menu_ask(m, W_PAGE, m->query, m->offset, menu_page(m));
	return menu_leave_call(m);
}

enum sp_err
sp_menu_input(struct sp_menu *m, const void *bytes, size_t n, struct sp_buf *out)
{
	const uint8_t *p = bytes;

	menu_enter_call(m, out);
	for (size_t i = 0; i < n && m->err == SP_OK; i++) {
		if (m->state == M_WAIT && p[i] == 0x03) {
			sp_buf_reset(&m->ahead);
			menu_cancel(m);
		} else if (sp_buf_append(&m->ahead, p + i, 1) == SP_OK) {
			menu_feed(m);
		}		/* else: more typed ahead than anyone does; dropped */
	}
	return menu_leave_call(m);
}

static enum sp_err
menu_take_rows(struct sp_menu *m, const struct sp_menu_row *rows, size_t n, uint32_t total)
{
	enum sp_err r = SP_OK;

	m->n = 0;
	for (size_t i = 0; i < n && r == SP_OK; i++)
		if ((r = row_set(&m->row[i], &rows[i])) == SP_OK)
			m->n++;
	m->total = total;
	m->offset = m->next_offset;
	(void)sp_strlcpy(m->query, m->next_query, sizeof(m->query));
	return r;
}

static void
menu_on_page(struct sp_menu *m, const struct sp_menu_row *rows, size_t n, uint32_t total)
{
	if (n == 0 && total > 0 && m->next_offset > 0) {	/* the list became shorter */
		menu_ask(m, m->want, m->next_query, 0, menu_page(m));
		return;
	}
	m->state = M_LIST;
	if ((m->err = menu_take_rows(m, rows, n, total)) != SP_OK)
		return;
	for (size_t i = 0; m->want == W_SEARCH && i < m->n; i++)
		if (strcmp(m->row[i].name, m->query) == 0) {	/* the whole name was typed: that is a choice */
			struct row *r = &m->row[i];

			m->query[0] = '\0';
			m->offset = 0;
			menu_open(m, r);
			return;
		}
	put_list(m);
}

static void
menu_on_open(struct sp_menu *m, const struct sp_menu_row *rows, size_t n)
{
	struct row r = { 0 };

	m->state = M_LIST;
	if (n == 0)
		menu_say(m, "That number is not in the list any more.");
	else if ((m->err = row_set(&r, &rows[0])) == SP_OK)
		menu_open(m, &r);
	row_release(&r);
}

enum sp_err
sp_menu_reply(struct sp_menu *m, uint32_t ask, const struct sp_menu_row *rows, size_t n, uint32_t total, const char *text,
    struct sp_buf *out)
{
	menu_enter_call(m, out);
	if (m->state != M_WAIT || ask != m->ask)
		return menu_leave_call(m);
	if (n > SP_MENU_PAGE_MAX)
		n = SP_MENU_PAGE_MAX;
	if (text != NULL && *text != '\0')
		(void)sp_strlcpy(m->message, text, sizeof(m->message));
	if (m->want == W_COMPLETE)
		menu_complete(m, rows, n, total);
	else if (m->want == W_OPEN)
		menu_on_open(m, rows, n);
	else
		menu_on_page(m, rows, n, total);
	menu_feed(m);
	return menu_leave_call(m);
}

enum sp_err
sp_menu_choices(struct sp_menu *m, const char *asset, const char *const *accounts, size_t n, struct sp_buf *out)
{
	menu_enter_call(m, out);
	if ((m->err = menu_accounts(m, asset, accounts, n)) == SP_OK) {
		put_accounts(m);
		menu_feed(m);
	}
	return menu_leave_call(m);
}

enum sp_err
sp_menu_resize(struct sp_menu *m, uint32_t cols, uint32_t rows, struct sp_buf *out)
{
	menu_enter_call(m, out);
	menu_size(m, cols, rows);
	if (m->state == M_LIST || m->state == M_ACCOUNT) {
		put(m, "\x1b[2J\x1b[H");
		if (m->state == M_LIST && m->n < menu_page(m) && m->offset + m->n < m->total)
			menu_ask(m, W_PAGE, m->query, m->offset, menu_page(m));	/* there is room for more rows */
		else
			put_screen(m);
	}
	return menu_leave_call(m);
}

enum sp_err
sp_menu_message(struct sp_menu *m, const char *text, struct sp_buf *out)
{
	menu_enter_call(m, out);
	if (m->state != M_ASLEEP) {
		put(m, "\r\x1b[K");
		(void)sp_strlcpy(m->message, text, sizeof(m->message));
		put_message(m);
		put_prompt(m);
	}
	return menu_leave_call(m);
}

enum sp_err
sp_menu_take_rest(struct sp_menu *m, struct sp_buf *dst)
{
	enum sp_err r = sp_buf_append(dst, m->ahead.p, m->ahead.len);

	if (r == SP_OK)
		sp_buf_reset(&m->ahead);
	return r;
}

int
sp_menu_awake(const struct sp_menu *m)
{
	return m->state != M_ASLEEP;
}
