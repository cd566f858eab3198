/* src/session/menu.c - see menu.h: what keys mean. What is shown: menu_draw.c; the list itself: menu_rows.c. */
#include "session/menu.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "session/menu_int.h"

_Static_assert(SP_MENU_LINE_MAX == SP_LINE_SIZE - 1, "one line, two headers");

#define COLS_MAX	500

/* ---- what is shown now ---- */

/* 1..total when the text is nothing but such a number, else 0. */
static uint32_t
menu_number(const char *s, size_t total)
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

/* What the line means as a search, or NULL: a command, or a number of the list. */
static const char *
line_search(const struct sp_menu *m, const char *s)
{
	static const char *const commands[] = { "n", "p", "q", "g", "r", "?", "..", "why" };
	const char *at;

	s += strspn(s, " ");
	if (*s == '/')
		return s[1] != '\0' ? s + 1 : NULL;
	for (size_t i = 0; i < SP_NELEMS(commands); i++)
		if (strcasecmp(s, commands[i]) == 0)
			return NULL;
	if (*s == '\0' || *s == '*' || *s == ':' || strncasecmp(s, "why ", 4) == 0)
		return NULL;
	/* While digits may still be a number of the list, the list must stand still. */
	if (strspn(s, "0123456789") == strlen(s) && menu_number(s, m->total + m->rows.group_n) > 0)
		return NULL;
	if ((at = strrchr(s, '@')) != NULL)
		return at[1] != '\0' ? at + 1 : NULL;
	return s;
}

const char *
menu_filter_text(const struct sp_menu *m)
{
	const char *s = m->plain ? NULL : line_search(m, m->line.text);

	return s != NULL && m->state != M_ACCOUNT && m->state != M_COMMAND ? s : m->query;
}

static void
menu_say(struct sp_menu *m, const char *text)
{
	(void)sp_strlcpy(m->message, text, sizeof(m->message));
	m->dirty |= DIRTY_BLOCK;
}

/* Bring the view up to date with line, search and place in the tree. */
static void
menu_refilter(struct sp_menu *m)
{
	const char *text = menu_filter_text(m);
	int64_t group = m->in_tree ? (int64_t)m->group : -1;

	if (m->rows.last_group == group && strcmp(m->rows.last, text) == 0)
		return;
	if (m->err == SP_OK)
		m->err = menu_rows_filter(&m->rows, text, group);
	m->offset = 0;
	m->selected = -1;
	m->help = 0;
	m->dirty |= DIRTY_BLOCK;
}

/* ---- what the person wants ---- */

static void
menu_ask(struct sp_menu *m, enum sp_menu_what what, const uint8_t *id, const char *text)
{
	if (what != SP_MENU_MORE)
		m->want = what;
	m->state = what == SP_MENU_LIST || (what == SP_MENU_MORE && m->want == SP_MENU_LIST) ? M_LOAD : M_WAIT;
	m->ask++;
	m->ops->ask(m->arg, m->ask, what, id, text);
}

static void
menu_load(struct sp_menu *m)
{
	menu_rows_release(&m->next);
	menu_ask(m, SP_MENU_LIST, NULL, "");
}

static void
menu_sleep(struct sp_menu *m)
{
	menu_leave_block(m);
	m->state = M_ASLEEP;
	m->dirty = 0;
	sp_line_set(&m->line, "");
}

static void
menu_choose(struct sp_menu *m, const char *account, const char *asset)
{
	char a[SP_MENU_TEXT_MAX + 1], b[SP_MENU_TEXT_MAX + 1];

	(void)sp_strlcpy(a, account, sizeof(a));	/* they may point into what changes below */
	(void)sp_strlcpy(b, asset, sizeof(b));
	menu_sleep(m);
	m->ops->choose(m->arg, a, b);
}

static void
accounts_release(struct sp_menu *m)
{
	for (size_t i = 0; i < m->account_n; i++)
		free(m->account[i]);
	free(m->account);
	m->account = NULL;
	m->account_n = 0;
}

static void
menu_accounts(struct sp_menu *m, const char *asset, const char *const *accounts, size_t n)
{
	accounts_release(m);
	(void)sp_strlcpy(m->chosen, asset, sizeof(m->chosen));
	n = n > SP_MENU_ACCOUNTS_MAX ? SP_MENU_ACCOUNTS_MAX : n;
	if ((m->account = calloc(n + 1, sizeof(*m->account))) == NULL)
		m->err = SP_ENOMEM;
	for (; m->err == SP_OK && m->account_n < n; m->account_n++)
		if ((m->account[m->account_n] = strndup(accounts[m->account_n], SP_MENU_TEXT_MAX)) == NULL) {
			m->err = SP_ENOMEM;
			return;
		}
	sp_line_set(&m->line, "");
	m->state = M_ACCOUNT;
	m->dirty |= DIRTY_BLOCK;
}

static void
menu_open_row(struct sp_menu *m, size_t row)
{
	struct menu_row_text t = menu_rows_text(&m->rows, row);
	const char *name[SP_MENU_ACCOUNTS_MAX];
	size_t n = 0;

	if (t.n_accounts <= 1) {
		menu_choose(m, t.n_accounts == 1 ? menu_rows_account(&t, 0) : "", t.name);
		return;
	}
	for (; n < t.n_accounts && n < SP_MENU_ACCOUNTS_MAX; n++)
		name[n] = menu_rows_account(&t, n);
	menu_accounts(m, t.name, name, n);
}

/* A server is opened, a group entered. */
static void
menu_open(struct sp_menu *m, size_t at)
{
	int32_t item = m->rows.view[at];

	if (item >= 0) {
		menu_open_row(m, (size_t)item);
		return;
	}
	m->group = (uint32_t)~item + 1;
	m->query[0] = '\0';
	menu_refilter(m);
}

static void
menu_turn(struct sp_menu *m, int back)
{
	size_t page = menu_page(m), shown = menu_shown(m);

	if (back)
		m->offset = m->offset > page ? m->offset - page : 0;
	else
		m->offset = m->offset + shown < m->rows.view_n ? m->offset + shown : 0;
	m->selected = -1;
	if (m->rows.view_n == 0 && m->query[0] != '\0')
		m->query[0] = '\0';	/* an empty result: everything again */
	m->dirty |= DIRTY_BLOCK;
	menu_refilter(m);
}

static void
menu_select(struct sp_menu *m, int down)
{
	size_t n = m->rows.view_n, page = menu_page(m);

	if (n == 0)
		return;
	m->message[0] = '\0';	/* it might take the row away that is selected */
	m->help = 0;
	if (m->selected < 0)
		m->selected = (int)(down ? m->offset : m->offset > 0 ? m->offset - 1 : n - 1);
	else
		m->selected = (int)(((size_t)m->selected + (down ? 1 : n - 1)) % n);
	m->offset = (size_t)m->selected / page * page;
	m->dirty |= DIRTY_BLOCK;
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

/* The row that a number, a name or the selection means; -1 with a message. */
static int
menu_row_meant(struct sp_menu *m, const char *text)
{
	uint32_t k = menu_number(text, m->rows.view_n);
	int at = k > 0 ? (int)k - 1 : *text == '\0' ? m->selected : -1, row = -1;

	if (at >= 0 && m->rows.view[at] >= 0)
		row = m->rows.view[at];
	else if (*text != '\0' && k == 0)
		row = menu_rows_find(&m->rows, text);
	if (row < 0)
		menu_say(m, *text == '\0' ? "Choose a server with the arrow keys first, or write *3 or *name." : "There is no such server in the list.");
	return row;
}

static void
menu_star(struct sp_menu *m, const char *text)
{
	int row = menu_row_meant(m, text + strspn(text, " "));

	if (row < 0)
		return;
	m->star_row = (uint32_t)row;
	menu_ask(m, m->rows.row[row].favourite ? SP_MENU_UNSTAR : SP_MENU_STAR, m->rows.row[row].id, "");
}

static void
menu_tree(struct sp_menu *m)
{
	m->query[0] = '\0';
	m->group = 0;
	m->help = 0;
	if (m->in_tree) {
		m->in_tree = 0;
		menu_refilter(m);
	} else if (m->rows.have_groups) {
		m->in_tree = 1;
		menu_refilter(m);
	} else {
		menu_rows_drop_groups(&m->rows);
		menu_ask(m, SP_MENU_GROUPS, NULL, "");
	}
}

static void
menu_up(struct sp_menu *m)
{
	m->query[0] = '\0';
	if (!m->in_tree)
		menu_say(m, "That goes up among groups: g shows them.");
	else if (m->group == 0)
		m->in_tree = 0;
	else
		m->group = m->rows.group[m->group - 1].parent;
	menu_refilter(m);
}

/* Text that is no command: one that matches is opened, several are shown. */
static void
menu_search(struct sp_menu *m, const char *text)
{
	char say[96];
	int row = menu_rows_find(&m->rows, text), selected;

	if (row >= 0) {		/* the whole name was typed: that is a choice */
		m->query[0] = '\0';
		menu_open_row(m, (size_t)row);
		return;
	}
	selected = m->plain ? -1 : m->selected;
	(void)sp_strlcpy(m->query, text, sizeof(m->query));
	if (m->err == SP_OK)
		m->err = menu_rows_filter(&m->rows, m->query, m->in_tree ? (int64_t)m->group : -1);
	if (m->err == SP_OK && (m->rows.view_n == 1 || (selected >= 0 && (size_t)selected < m->rows.view_n))) {
		m->query[0] = '\0';
		menu_open(m, m->rows.view_n == 1 ? 0 : (size_t)selected);
		return;
	}
	m->offset = 0;
	if (m->rows.view_n > 1) {
		(void)sp_snprintf(say, sizeof(say), "%zu match: type a number, or more of the name.", m->rows.view_n);
		menu_say(m, say);
	}
}

static void
menu_why(struct sp_menu *m, const char *name)
{
	menu_ask(m, SP_MENU_WHY, NULL, name + strspn(name, " "));
}

/* ":text". "why" is of this menu, and welcome here too. */
static void
menu_run(struct sp_menu *m, const char *text)
{
	text += strspn(text, " :");
	if (*text == '\0')
		menu_say(m, "Write a command behind the colon, for example :session list, or :help");
	else if (strncasecmp(text, "why ", 4) == 0)
		menu_why(m, text + 4);
	else if (m->ops->command == NULL)
		menu_say(m, "There are no commands here.");
	else {
		menu_sleep(m);
		m->ops->command(m->arg, text);
	}
}

/* At the prompt below what a command printed. */
static void
menu_next_command(struct sp_menu *m, const char *text)
{
	if (*text == '\0' || strcasecmp(text, "q") == 0) {
		m->drawn = 0;
		menu_load(m);
	} else
		menu_run(m, text);
}

static void
menu_command(struct sp_menu *m, const char *text)
{
	uint32_t k = menu_number(text, m->rows.view_n);

	if (*text == '\0' && m->selected >= 0)
		menu_open(m, (size_t)m->selected);
	else if (strcmp(text, "") == 0 || strcasecmp(text, "n") == 0)
		menu_turn(m, 0);
	else if (strcasecmp(text, "p") == 0)
		menu_turn(m, 1);
	else if (strcasecmp(text, "q") == 0)
		menu_quit(m);
	else if (strcasecmp(text, "g") == 0)
		menu_tree(m);
	else if (strcasecmp(text, "r") == 0)
		menu_load(m);
	else if (strcmp(text, "..") == 0)
		menu_up(m);
	else if (strcmp(text, "?") == 0)
		m->help = 1;
	else if (strcasecmp(text, "why") == 0)
		menu_say(m, "Write why and the name of the server, for example: why web1");
	else if (strncasecmp(text, "why ", 4) == 0)
		menu_why(m, text + 4);
	else if (*text == ':')
		menu_run(m, text);
	else if (*text == '*')
		menu_star(m, text + 1);
	else if (*text == '/') {
		(void)sp_strlcpy(m->query, text + 1, sizeof(m->query));
		menu_refilter(m);
	} else if (k > 0)
		menu_open(m, k - 1);
	else if (strchr(text, '@') != NULL)
		menu_open_path(m, text);
	else
		menu_search(m, text);
}

static void
menu_account_command(struct sp_menu *m, const char *text)
{
	uint32_t k = menu_number(text, m->account_n);

	if (*text == '\0' || strcasecmp(text, "q") == 0) {
		m->state = M_LIST;
		return;
	}
	for (size_t i = 0; k == 0 && i < m->account_n; i++)
		if (strcmp(m->account[i], text) == 0)
			k = (uint32_t)i + 1;
	if (k == 0)
		menu_say(m, "There is no such account.");
	else
		menu_choose(m, m->account[k - 1], m->chosen);
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
	menu_paint(m);			/* keys that came together with this one */
	m->message[0] = '\0';
	m->help = 0;
	m->dirty |= DIRTY_BLOCK;
	if (m->state == M_ACCOUNT || m->state == M_COMMAND) {
		sp_line_set(&m->line, "");
		if (m->state == M_COMMAND)
			menu_next_command(m, text);
		else
			menu_account_command(m, text);
		if (m->state == M_LIST)
			menu_refilter(m);
		return;
	}
	menu_command(m, text);		/* before the line goes: what it let through is what its numbers mean */
	sp_line_set(&m->line, "");
	if (m->state == M_LIST)
		menu_refilter(m);
}

/* ---- completion ---- */

/* Bytes that two texts have in common, ASCII case aside, in whole characters; at most n. */
static size_t
common_prefix(const char *a, const char *b, size_t n)
{
	size_t at = 0;

	while (at < n && b[at] != '\0') {
		uint32_t cp;
		size_t k = sp_utf8_next((const uint8_t *)a + at, n - at, &cp);

		if (k == 0 || strncasecmp(a + at, b + at, k) != 0)
			break;
		at += k;
	}
	return at;
}

struct completion {
	const char	*first;		/* NULL: none */
	size_t		 n;		/* bytes that all have in common */
};

static void
completion_add(struct completion *c, const char *text, size_t n)
{
	char other[SP_MENU_TEXT_MAX * 2 + 1];

	if (c->first == NULL) {
		*c = (struct completion){ text, n };
		return;
	}
	(void)sp_snprintf(other, sizeof(other), "%.*s", (int)n, text);
	c->n = common_prefix(c->first, other, c->n);
}

/* Names that begin so; if there are none, addresses; if there are none, words of remarks that hold it. */
static struct completion
menu_completion(const struct sp_menu *m, const char *stem)
{
	struct completion by[3] = { 0 };
	size_t len = strlen(stem);

	for (size_t i = 0; i < m->rows.n; i++) {
		struct menu_row_text t = menu_rows_text(&m->rows, i);
		const char *p;

		if (strncasecmp(t.name, stem, len) == 0)
			completion_add(&by[0], t.name, strlen(t.name));
		else if (strncasecmp(t.address, stem, len) == 0)
			completion_add(&by[1], t.address, strlen(t.address));
		else if (by[0].first == NULL && by[1].first == NULL && (p = menu_rows_search(t.remark, stem)) != NULL)
			completion_add(&by[2], p, strcspn(p + len, " ") + len);
	}
	return by[0].first != NULL ? by[0] : by[1].first != NULL ? by[1] : by[2];
}

/* The first word of a command. */
static struct completion
menu_noun(const char *stem)
{
	static const char *const nouns[] = { "access ", "account ", "asset ", "asset-group ", "audit ", "breakglass ", "ca ", "department ",
	    "doctor", "export ", "grant ", "group ", "help ", "key ", "known-hosts", "outbox ", "passwd", "quarantine ", "session ", "settings ",
	    "status", "totp ", "user ", "vault ", "whoami", "why ", "zone " };
	struct completion c = { 0 };

	for (size_t i = 0; i < SP_NELEMS(nouns); i++)
		if (strncmp(nouns[i], stem, strlen(stem)) == 0)
			completion_add(&c, nouns[i], strlen(nouns[i]));
	return c;
}

static void
menu_tab_command(struct sp_menu *m)
{
	const char *stem = m->line.text + strspn(m->line.text, " :");
	struct completion c = menu_noun(stem);
	char text[SP_LINE_SIZE + 16];

	if (*stem == '\0' || m->line.cur != m->line.len || c.first == NULL || c.n <= strlen(stem))
		return;
	(void)sp_snprintf(text, sizeof(text), "%.*s%.*s", (int)(stem - m->line.text), m->line.text, (int)c.n, c.first);
	sp_line_set(&m->line, text);
	m->dirty |= DIRTY_PROMPT;
}

/* The part that Tab completes: the server in account@server. */
static void
menu_tab(struct sp_menu *m)
{
	const char *at = strrchr(m->line.text, '@'), *stem = at != NULL ? at + 1 : m->line.text;
	char text[SP_LINE_SIZE + SP_MENU_TEXT_MAX * 2 + 1];
	struct completion c;

	if (m->state == M_COMMAND || (m->state == M_LIST && m->line.text[strspn(m->line.text, " ")] == ':')) {
		menu_tab_command(m);
		return;
	}
	if (strncasecmp(stem, "why ", 4) == 0)
		stem += 4;
	else if (*stem == '*' || *stem == '/')
		stem++;
	if (m->state != M_LIST || *stem == '\0' || m->line.cur != m->line.len)
		return;
	c = menu_completion(m, stem);
	if (c.first == NULL || c.n <= strlen(stem))
		return;
	(void)sp_snprintf(text, sizeof(text), "%.*s%.*s", (int)(stem - m->line.text), m->line.text, (int)c.n, c.first);
	sp_line_set(&m->line, text);
	m->dirty |= DIRTY_PROMPT;
	menu_refilter(m);
}

/* ---- keys ---- */

static void
menu_cancel(struct sp_menu *m)
{
	if (m->state == M_WAIT || m->state == M_LOAD) {
		m->ask++;		/* the answer will find nobody */
		m->state = M_LIST;
		menu_rows_release(&m->next);
		m->total = (uint32_t)m->rows.n;
	} else if (m->line.len > 0) {
		sp_line_set(&m->line, "");
	} else if (m->state == M_ACCOUNT) {
		m->state = M_LIST;
	} else if (m->state == M_COMMAND) {
		menu_next_command(m, "");
	} else {
		m->query[0] = '\0';
		m->selected = -1;
	}
	m->message[0] = '\0';
	m->help = 0;
	m->dirty |= DIRTY_BLOCK;
	menu_refilter(m);
}

static void
menu_edited(struct sp_menu *m)
{
	m->dirty |= DIRTY_PROMPT;
	if (m->help)
		m->dirty |= DIRTY_BLOCK;
	m->help = 0;
	if (m->state == M_LIST)
		menu_refilter(m);
}

static void
menu_char(struct sp_menu *m)
{
	struct sp_line *l = &m->line;

	if (m->keys.ch_len == 1 && m->keys.ch[0] == '*' && l->len == 0 && m->state == M_LIST && m->selected >= 0)
		menu_star(m, "");
	else if (sp_line_insert(l, m->keys.ch, m->keys.ch_len))
		menu_edited(m);
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
	case SP_KEY_UP:
	case SP_KEY_DOWN:
		if (m->state == M_LIST && !m->plain)
			menu_select(m, key == SP_KEY_DOWN);
		break;
	case SP_KEY_PAGE_UP:
	case SP_KEY_PAGE_DOWN:
		if (m->state == M_LIST)
			menu_turn(m, key == SP_KEY_PAGE_UP);
		break;
	case SP_KEY_REDRAW:
		menu_clear(m);
		break;
	case SP_KEY_EOF:
		if (m->line.len == 0 && m->state == M_LIST)
			menu_quit(m);
		else if (m->line.len == 0)
			menu_cancel(m);
		else if (sp_line_key(&m->line, SP_KEY_DELETE))
			menu_edited(m);
		break;
	default:
		if (sp_line_key(&m->line, key))
			menu_edited(m);
	}
}

/* Keys wait while an answer is awaited; what was typed after a choice is not ours. */
static void
menu_feed(struct sp_menu *m)
{
	size_t i = 0;

	while (i < m->ahead.len && m->err == SP_OK && (m->state == M_LIST || m->state == M_ACCOUNT || m->state == M_COMMAND))
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
	m->colour = 1;
	m->selected = -1;
	(void)sp_strlcpy(m->title, title, sizeof(m->title));
	menu_size(m, cols, rows);
	menu_rows_init(&m->rows);
	menu_rows_init(&m->next);
	sp_buf_init(&m->ahead, SP_MENU_AHEAD);
	*ret = m;
	return SP_OK;
}

void
sp_menu_free(struct sp_menu *m)
{
	if (m == NULL)
		return;
	menu_rows_release(&m->rows);
	menu_rows_release(&m->next);
	accounts_release(m);
	sp_line_release(&m->line);
	sp_buf_release(&m->ahead);
	free(m);
}

void
sp_menu_terminal(struct sp_menu *m, const char *term, int no_color)
{
	m->plain = *term == '\0' || strcmp(term, "dumb") == 0 || strcmp(term, "unknown") == 0;
	m->colour = !no_color;
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
	if (m->err == SP_OK)
		menu_paint(m);
	m->out = NULL;
	return m->err;
}

enum sp_err
sp_menu_start(struct sp_menu *m, const char *message, struct sp_buf *out)
{
	menu_enter_call(m, out);
	sp_buf_reset(&m->ahead);
	m->keys = (struct sp_keys){ 0 };
	m->drawn = 0;
	m->dirty = 0;
	m->help = 0;
	m->selected = -1;
	sp_line_set(&m->line, "");
	(void)sp_strlcpy(m->message, message != NULL ? message : "", sizeof(m->message));
	menu_load(m);
	return menu_leave_call(m);
}

enum sp_err
sp_menu_input(struct sp_menu *m, const void *bytes, size_t n, struct sp_buf *out)
{
	const uint8_t *p = bytes;

	menu_enter_call(m, out);
	for (size_t i = 0; i < n && m->err == SP_OK; i++) {
		if ((m->state == M_WAIT || m->state == M_LOAD) && p[i] == 0x03) {
			sp_buf_reset(&m->ahead);
			menu_cancel(m);
		} else if (sp_buf_append(&m->ahead, p + i, 1) == SP_OK) {
			menu_feed(m);
		}		/* else: more typed ahead than anyone does; dropped */
	}
	return menu_leave_call(m);
}

static int
menu_awaits(const struct sp_menu *m, uint32_t ask, enum sp_menu_what want)
{
	return (m->state == M_LOAD || m->state == M_WAIT) && ask == m->ask && m->want == want;
}

enum sp_err
sp_menu_row(struct sp_menu *m, uint32_t ask, const struct sp_menu_row *row)
{
	if (!menu_awaits(m, ask, SP_MENU_LIST))
		return SP_OK;
	return menu_rows_add(&m->next, row->id, row->name, row->address, row->remark, row->accounts, row->n_accounts,
	    row->favourite, row->recent);
}

enum sp_err
sp_menu_group(struct sp_menu *m, uint32_t ask, uint32_t id, uint32_t parent, const char *name)
{
	return menu_awaits(m, ask, SP_MENU_GROUPS) ? menu_rows_add_group(&m->rows, id, parent, name) : SP_OK;
}

enum sp_err
sp_menu_place(struct sp_menu *m, uint32_t ask, const uint8_t id[16], const uint32_t *groups, size_t n)
{
	return menu_awaits(m, ask, SP_MENU_GROUPS) ? menu_rows_add_place(&m->rows, id, groups, n) : SP_OK;
}

/* All of the new list is here: it takes the place of the old one. */
static void
menu_take_rows(struct sp_menu *m, uint32_t total)
{
	size_t offset = m->offset;

	m->total = total;
	menu_rows_release(&m->rows);
	m->rows = m->next;
	menu_rows_init(&m->next);
	m->in_tree = 0;
	m->group = 0;
	menu_refilter(m);
	m->offset = offset < m->rows.view_n ? offset : 0;
}

static void
menu_on_list(struct sp_menu *m, uint32_t total, int more, int failed)
{
	if (failed) {
		menu_rows_release(&m->next);
		m->state = M_LIST;
		return;
	}
	if (more && m->rows.n == 0 && m->next.n > 0) {
		/* The first screen is shown while the rest comes. */
		menu_rows_release(&m->rows);
		m->rows = m->next;
		m->total = total;
		menu_refilter(m);
		menu_paint(m);
		m->next = m->rows;
		menu_rows_init(&m->rows);
	}
	if (more) {
		menu_ask(m, SP_MENU_MORE, NULL, "");
		return;
	}
	menu_take_rows(m, total);
	m->state = M_LIST;
	if (m->rows.cut)
		menu_say(m, "There are more servers than a menu lists: name the others as account@server.");
}

static void
menu_on_groups(struct sp_menu *m, int more, int failed)
{
	if (!failed && more) {
		menu_ask(m, SP_MENU_MORE, NULL, "");
		return;
	}
	m->state = M_LIST;
	if (failed) {
		menu_rows_drop_groups(&m->rows);
	} else if (m->err == SP_OK && (m->err = menu_rows_groups_done(&m->rows)) == SP_OK) {
		m->in_tree = 1;
		m->group = 0;
		if (m->rows.group_n == 0)
			menu_say(m, "None of your servers is in a group. g leaves.");
	}
	menu_refilter(m);
}

static void
menu_on_star(struct sp_menu *m, const char *text, int failed)
{
	struct menu_row *row = &m->rows.row[m->star_row];
	struct menu_row_text t = menu_rows_text(&m->rows, m->star_row);
	char say[SP_MENU_TEXT_MAX];

	m->state = M_LIST;
	if (failed || (text != NULL && *text != '\0'))
		return;
	row->favourite = m->want == SP_MENU_STAR;
	(void)sp_snprintf(say, sizeof(say), row->favourite ? "%s has a star." : "%s has no star any more.", t.name);
	menu_say(m, say);
	if (!m->in_tree)
		menu_load(m);		/* in its new place */
}

enum sp_err
sp_menu_reply(struct sp_menu *m, uint32_t ask, uint32_t total, int more, const char *text, int failed, struct sp_buf *out)
{
	menu_enter_call(m, out);
	if ((m->state != M_WAIT && m->state != M_LOAD) || ask != m->ask)
		return menu_leave_call(m);
	if (text != NULL && *text != '\0')
		menu_say(m, text);
	m->dirty |= DIRTY_BLOCK;
	if (m->want == SP_MENU_LIST)
		menu_on_list(m, total, more, failed);
	else if (m->want == SP_MENU_GROUPS)
		menu_on_groups(m, more, failed);
	else if (m->want == SP_MENU_WHY)
		m->state = M_LIST;
	else
		menu_on_star(m, text, failed);
	menu_feed(m);
	return menu_leave_call(m);
}

enum sp_err
sp_menu_choices(struct sp_menu *m, const char *asset, const char *const *accounts, size_t n, struct sp_buf *out)
{
	menu_enter_call(m, out);
	m->drawn = 0;
	menu_accounts(m, asset, accounts, n);
	menu_feed(m);
	return menu_leave_call(m);
}

enum sp_err
sp_menu_said(struct sp_menu *m, struct sp_buf *out)
{
	menu_enter_call(m, out);
	m->state = M_COMMAND;
	m->drawn = 0;
	m->prompt_w = 0;
	m->message[0] = '\0';
	m->dirty |= DIRTY_PROMPT;
	menu_feed(m);
	return menu_leave_call(m);
}

enum sp_err
sp_menu_resize(struct sp_menu *m, uint32_t cols, uint32_t rows, struct sp_buf *out)
{
	menu_enter_call(m, out);
	menu_size(m, cols, rows);
	if (m->state == M_COMMAND) {
		m->dirty |= DIRTY_PROMPT;	/* what is above is being read */
	} else if (m->state != M_ASLEEP) {
		menu_clear(m);
		if (m->selected >= 0)
			m->offset = (size_t)m->selected / menu_page(m) * menu_page(m);
	}
	return menu_leave_call(m);
}

void
sp_menu_note(struct sp_menu *m, const char *note)
{
	(void)sp_strlcpy(m->note, note, sizeof(m->note));
}

enum sp_err
sp_menu_message(struct sp_menu *m, const char *text, struct sp_buf *out)
{
	menu_enter_call(m, out);
	if (m->state != M_ASLEEP)
		menu_say(m, text);
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
