/* src/session/menu_draw.c - what the menu shows.
 * The menu is a block of lines that ends in the prompt. It takes over no screen: what a person did before stays readable
 * above it; while the menu is awake it is painted over in place, from its first line on (menu->drawn lines above the
 * prompt). It is never higher than the screen, and no line is wider, so the count of lines is always right. On a terminal
 * without sequences (TERM=dumb) nothing is painted over: each state is printed below the last one. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "session/menu_int.h"

#define PAGE_MIN	3
#define NOTE_LINES	4
#define AROUND		6	/* lines that are not rows: blank, title, hint, foot, one of a message, prompt */
#define ESCAPED_MAX	(SP_MENU_TEXT_MAX * 4 + 8)
#define MESSAGE_LINES	12

#define BOLD	"\x1b[1m"
#define DIM	"\x1b[2m"
#define PLAIN	"\x1b[0m"

/* ---- output ---- */

static void SP_PRINTF(2, 3)
menu_put(struct sp_menu *m, const char *fmt, ...)
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

/* A sequence, where the terminal knows them. */
static void
put_seq(struct sp_menu *m, const char *seq)
{
	if (!m->plain)
		menu_put(m, "%s", seq);
}

static void
put_look(struct sp_menu *m, const char *seq)
{
	if (!m->plain && m->colour)
		menu_put(m, "%s", seq);
}

static void
put_end(struct sp_menu *m)
{
	put_seq(m, "\x1b[K");
	menu_put(m, "\r\n");
	m->drawn++;
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

static size_t
safe_text(const char *s, char safe[ESCAPED_MAX])
{
	size_t n = strlen(s);

	/* Beyond this nothing is shown anyway. */
	(void)sp_escape(s, n > SP_MENU_TEXT_MAX ? SP_MENU_TEXT_MAX : n, safe, ESCAPED_MAX);
	drop_marks(safe);
	return strlen(safe);
}

/* Text from outside: escaped, at most `cols` columns, ".." where it is cut; filled up to `cols` when pad is set. */
static void
put_text(struct sp_menu *m, const char *s, size_t cols, int pad)
{
	char safe[ESCAPED_MAX];
	size_t n = safe_text(s, safe), used, fit = sp_text_fit(safe, n, cols, &used);

	if (fit < n && cols >= 4) {
		fit = sp_text_fit(safe, n, cols - 2, &used);
		menu_put(m, "%.*s..", (int)fit, safe);
		used += 2;
	} else {
		menu_put(m, "%.*s", (int)fit, safe);
	}
	if (pad && used < cols)
		menu_put(m, "%*s", (int)(cols - used), "");
}

static size_t
safe_width(const char *s)
{
	char safe[ESCAPED_MAX];
	size_t n = safe_text(s, safe);

	return sp_text_width(safe, n);
}

static size_t
at_most(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* ---- the message: whole words, line breaks of ours; a word that is wider than the screen is broken ---- */

struct wrap {
	const char	*p;	/* of safe */
	char		safe[ESCAPED_MAX];
	const char	*rest;	/* of the message, behind this paragraph; NULL: none */
};

static int
wrap_next_paragraph(struct wrap *w)
{
	char line[SP_MENU_TEXT_MAX + 1];
	size_t n;

	if (w->rest == NULL)
		return 0;
	n = strcspn(w->rest, "\n");
	(void)sp_snprintf(line, sizeof(line), "%.*s", (int)n, w->rest);
	w->rest = w->rest[n] == '\n' ? w->rest + n + 1 : NULL;
	(void)safe_text(line, w->safe);
	w->p = w->safe;
	return 1;
}

/* Bytes of the next line at w->p, which is then moved behind it. */
static size_t
wrap_line(struct wrap *w, size_t cols, const char **ret)
{
	size_t n = strlen(w->p), used, fit = sp_text_fit(w->p, n, cols, &used), k = fit;

	*ret = w->p;
	if (fit == n || fit == 0) {
		w->p += n;
		return fit;
	}
	while (k > 0 && w->p[k] != ' ')
		k--;
	k = k > 0 ? k : fit;
	for (w->p += k; *w->p == ' '; w->p++)
		;
	return k;
}

/* How many lines it takes; they are put out as well when `put` is set. */
static size_t
text_lines(struct sp_menu *m, const char *text, size_t max, int put)
{
	struct wrap w = { .rest = text[0] != '\0' ? text : NULL };
	size_t lines = 0;
	const char *p;

	while (lines < max && wrap_next_paragraph(&w))
		do {
			size_t n = wrap_line(&w, m->cols - 1, &p);

			if (put) {
				menu_put(m, "%.*s", (int)n, p);
				put_end(m);
			}
			lines++;
		} while (lines < max && *w.p != '\0');
	return lines;
}

static size_t
message_lines(struct sp_menu *m, int put)
{
	size_t max = m->lines > PAGE_MIN + 5 ? m->lines - PAGE_MIN - 4 : 1;

	return text_lines(m, m->message, at_most(max, MESSAGE_LINES), put);
}

/* In what state the bastion is: below the title, where there is room. */
static size_t
note_lines(struct sp_menu *m, int put)
{
	return m->lines > AROUND + NOTE_LINES + PAGE_MIN ? text_lines(m, m->note, NOTE_LINES, put) : 0;
}

/* ---- the list ---- */

size_t
menu_page(struct sp_menu *m)
{
	size_t n = m->lines > AROUND + PAGE_MIN ? m->lines - AROUND - note_lines(m, 0) : m->lines > 4 ? at_most(m->lines - 4, PAGE_MIN) : 1;

	return at_most(n, MENU_PAGE_MAX);
}

/* Rows of the whole list, even while it comes. */
static size_t
menu_view_n(const struct sp_menu *m)
{
	return m->state == M_LOAD && !m->in_tree && *menu_filter_text(m) == '\0' && m->total > m->rows.view_n ? m->total :
	    m->rows.view_n;
}

/* A long message takes rows away. */
size_t
menu_shown(struct sp_menu *m)
{
	size_t message = message_lines(m, 0), page = menu_page(m), left = m->rows.view_n - at_most(m->offset, m->rows.view_n);

	if (message > 1 && page > PAGE_MIN)
		page = page + 1 > message + PAGE_MIN ? page + 1 - message : PAGE_MIN;
	return at_most(page, left);
}

struct columns {
	int	digits;
	size_t	name, address, accounts, remark;	/* 0: not shown */
};

static void
accounts_text(const struct menu_row_text *t, char *dst, size_t n)
{
	dst[0] = '\0';
	for (size_t i = 0; i < t->n_accounts && strlen(dst) + 4 < n; i++) {
		size_t at = strlen(dst);

		(void)sp_snprintf(dst + at, n - at, "%s%s", i > 0 ? "," : "", menu_rows_account(t, i));
	}
}

static const char *
group_name(const struct sp_menu *m, int32_t item)
{
	return (const char *)m->rows.text.p + m->rows.group[~item].name;
}

/* Names matter most, then addresses, then who one is there, then remarks; what has no room is left out. */
static struct columns
menu_columns(const struct sp_menu *m, size_t n)
{
	struct columns c = { .digits = 2 };
	size_t left, name = 0, address = 0, accounts = 0, w;
	char text[SP_MENU_TEXT_MAX];

	for (size_t i = 0; i < n; i++) {
		int32_t item = m->rows.view[m->offset + i];
		struct menu_row_text t;

		if (item < 0)
			continue;
		t = menu_rows_text(&m->rows, (size_t)item);
		accounts_text(&t, text, sizeof(text));
		name = (w = safe_width(t.name)) > name ? w : name;
		address = (w = safe_width(t.address)) > address ? w : address;
		accounts = (w = safe_width(text)) > accounts ? w : accounts;
	}
	for (uint64_t k = 100; k <= m->offset + n; k *= 10)
		c.digits++;
	left = m->cols > (uint32_t)c.digits + 4 ? m->cols - (uint32_t)c.digits - 4 : 1;
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
put_group(struct sp_menu *m, int32_t item, size_t cols)
{
	char text[SP_MENU_TEXT_MAX], count[32];
	size_t room;

	(void)sp_snprintf(count, sizeof(count), "/  (%u)", m->rows.group[~item].count);
	room = cols > strlen(count) + 4 ? cols - strlen(count) : 4;
	(void)sp_snprintf(text, sizeof(text), "%s", group_name(m, item));
	put_text(m, text, room, 0);
	menu_put(m, "%s", count);
}

static void
put_row(struct sp_menu *m, const struct columns *c, size_t at)
{
	int32_t item = m->rows.view[at];
	int sel = m->selected == (int)at;
	char accounts[SP_MENU_TEXT_MAX];
	const struct menu_row *row;
	struct menu_row_text t;

	if (sel)
		put_look(m, BOLD);
	menu_put(m, "%c%*llu", sel ? '>' : ' ', c->digits, (unsigned long long)at + 1);
	if (item < 0) {
		menu_put(m, "  ");
		put_group(m, item, m->cols > (uint32_t)c->digits + 5 ? m->cols - (uint32_t)c->digits - 4 : 1);
	} else {
		row = &m->rows.row[item];
		t = menu_rows_text(&m->rows, (size_t)item);
		menu_put(m, "%c ", row->favourite ? '*' : row->recent > 0 ? '+' : ' ');
		accounts_text(&t, accounts, sizeof(accounts));
		put_text(m, t.name, c->name, c->address + c->accounts + c->remark > 0);
		if (c->address > 0) {
			menu_put(m, "  ");
			put_text(m, t.address, c->address, c->accounts + c->remark > 0);
		}
		if (c->accounts > 0) {
			menu_put(m, "  ");
			put_text(m, accounts, c->accounts, c->remark > 0 && *t.remark != '\0');
		}
		if (c->remark > 0 && *t.remark != '\0') {
			menu_put(m, "  ");
			put_text(m, t.remark, c->remark, 0);
		}
	}
	if (sel)
		put_look(m, PLAIN);
	put_end(m);
}

/* "sallyport / production / web: "text"" */
static void
put_title(struct sp_menu *m)
{
	char text[SP_MENU_TEXT_MAX * 2];
	uint32_t path[64], g = m->group;
	size_t n = 0, at;

	for (; m->in_tree && g != 0 && n < SP_NELEMS(path); g = m->rows.group[g - 1].parent)
		path[n++] = g;
	(void)sp_snprintf(text, sizeof(text), "%s", m->title);
	if (m->in_tree && n == 0)
		(void)sp_snprintf(text, sizeof(text), "%s / groups", m->title);
	while (n-- > 0) {
		at = strlen(text);
		(void)sp_snprintf(text + at, sizeof(text) - at, " / %s", (const char *)m->rows.text.p + m->rows.group[path[n] - 1].name);
	}
	at = strlen(text);
	if (*menu_filter_text(m) != '\0')
		(void)sp_snprintf(text + at, sizeof(text) - at, ": \"%s\"", menu_filter_text(m));
	put_look(m, BOLD);
	put_text(m, text, m->cols - 1, 0);
	put_look(m, PLAIN);
	put_end(m);
}

static void
put_dim(struct sp_menu *m, const char *text)
{
	put_look(m, DIM);
	put_text(m, text, m->cols - 1, 0);
	put_look(m, PLAIN);
	put_end(m);
}

/* The longest of these that fits. */
static void
put_fitting(struct sp_menu *m, const char *const *text, size_t n)
{
	size_t i = 0;

	while (i + 1 < n && strlen(text[i]) >= m->cols)
		i++;
	put_dim(m, text[i]);
}

static void
put_hint(struct sp_menu *m)
{
	static const char *const list[] = {
		"Type a number, or part of a name, address or remark, then Enter. ? shows more.",
		"Type a number or part of a name, Enter.", "Number or name, Enter."
	};
	static const char *const tree[] = {
		"Type a number to open a group or a server; .. goes up, g leaves the groups.", "Number opens; .. goes up, g leaves."
	};

	if (m->in_tree)
		put_fitting(m, tree, SP_NELEMS(tree));
	else
		put_fitting(m, list, SP_NELEMS(list));
}

static void
put_foot(struct sp_menu *m, size_t n)
{
	char range[96], text[3][200];
	const char *const fitting[] = { text[0], text[1], text[2] };
	unsigned long long total = menu_view_n(m);

	if (m->state == M_LOAD && m->rows.n == 0) {
		put_dim(m, "Looking up your servers...");
		return;
	}
	if (total == 0 && *menu_filter_text(m) != '\0') {
		static const char *const nothing[] = { "Nothing matches. Ctrl-C shows everything; \"why NAME\" says why one is not here.",
		    "Nothing matches. Ctrl-C: all, ?: help" };

		put_fitting(m, nothing, SP_NELEMS(nothing));
		return;
	}
	if (total == 0) {
		static const char *const none[] = { "No server is open to you. Ask your administrator. q quits.",
		    "Nothing here yet: ask your admin." };

		if (m->cols > strlen(none[0]))
			put_dim(m, none[0]);
		else {		/* this has to be read in full, however narrow the screen */
			put_dim(m, "No server is open to you.");
			put_dim(m, "Ask your administrator. q quits.");
		}
		return;
	}
	if (n == 0)
		(void)sp_snprintf(range, sizeof(range), "0 of %llu", total);
	else
		(void)sp_snprintf(range, sizeof(range), "%llu-%llu of %llu", (unsigned long long)m->offset + 1,
		    (unsigned long long)m->offset + n, total);
	(void)sp_snprintf(text[0], sizeof(text[0]), "%s   Enter or n: next, p: previous, g: groups, ?: help, q: quit", range);
	(void)sp_snprintf(text[1], sizeof(text[1]), "%s   ?: help, q: quit", range);
	(void)sp_snprintf(text[2], sizeof(text[2]), "%s", range);
	put_fitting(m, fitting, SP_NELEMS(fitting));
}

static void
put_help(struct sp_menu *m)
{
	static const char *const wide[] = {
		"  a number        opens that server; arrow keys and Enter do, too",
		"  text            searches names, addresses, remarks as you type; Tab completes",
		"                  Enter opens it when one is left, or has just that name",
		"  account@server  opens it as that account",
		"  Enter, n, p     next page, previous page",
		"  *3, *name       puts a star on a server or takes it off: they come first,",
		"                  then the last used (+)",
		"  g               groups as a tree; .. goes up, g again leaves it",
		"  why name        why a server is not here, or not open",
		"  /text           searches for what would be a number or a command; / shows everything",
		"  :command        of Sallyport itself, for example :key list or :session list; :help",
		"  r               looks up the list again",
		"  Ctrl-C          drops the line, the wait or the search",
		"  q, Ctrl-D       quits",
	};
	static const char *const narrow[] = {
		"number, arrows: open that server",
		"text: search; Tab completes",
		"account@server: open it so",
		"Enter, n, p: turn pages",
		"*3, *name: star on or off",
		"g: groups; .. goes up",
		"why name: why is it not here",
		"/text: search for 12, n, q...; /: all",
		":command: as ssh bastion -- command",
		"r: look up again",
		"Ctrl-C: drop line, wait or search",
		"q, Ctrl-D: quit",
	};
	const char *const *text = m->cols >= 80 ? wide : narrow;
	size_t n = m->cols >= 80 ? SP_NELEMS(wide) : SP_NELEMS(narrow), room = m->lines > 4 ? m->lines - 3 : 1;

	for (size_t i = 0; i < n && i < room; i++) {
		put_text(m, text[i], m->cols - 1, 0);
		put_end(m);
	}
}

static void
put_list(struct sp_menu *m)
{
	struct columns c;
	size_t n = menu_shown(m);

	put_title(m);
	(void)note_lines(m, 1);
	if (m->lines > AROUND + PAGE_MIN)
		put_hint(m);
	c = menu_columns(m, n);
	for (size_t i = 0; i < n; i++)
		put_row(m, &c, m->offset + i);
	put_foot(m, n);
}

static void
put_accounts(struct sp_menu *m)
{
	char text[SP_MENU_TEXT_MAX + 64];
	size_t max = m->lines > AROUND + PAGE_MIN ? m->lines - AROUND : PAGE_MIN;

	(void)sp_snprintf(text, sizeof(text), "%s: as whom?", m->chosen);
	put_look(m, BOLD);
	put_text(m, text, m->cols - 1, 0);
	put_look(m, PLAIN);
	put_end(m);
	for (size_t i = 0; i < m->account_n && i < max; i++) {
		menu_put(m, " %2zu  ", i + 1);
		put_text(m, m->account[i], m->cols > 7 ? m->cols - 7 : 1, 0);
		put_end(m);
	}
	put_dim(m, m->account_n > max ? "More by name. Enter: back to the list" : "Enter: back to the list");
}

/* ---- painting ---- */

static const char *
menu_prompt(const struct sp_menu *m)
{
	if (m->cols < 30)
		return "> ";
	return m->state == M_ACCOUNT ? "Account> " : m->state == M_COMMAND ? "Command (Enter: menu)> " : "Number or search> ";
}

/* Only CR, blanks and backspaces. */
static void
put_prompt_plain(struct sp_menu *m)
{
	const char *prompt = menu_prompt(m);
	size_t room = m->cols > strlen(prompt) + 3 ? m->cols - strlen(prompt) - 1 : 2, used, fit, w, back;

	fit = sp_text_fit(m->line.text, m->line.len, room, &used);
	w = strlen(prompt) + used;
	menu_put(m, "\r%s%.*s", prompt, (int)fit, m->line.text);
	if (m->prompt_w > w)
		menu_put(m, "%*s", (int)(m->prompt_w - w), "");
	back = m->prompt_w > w ? m->prompt_w - w : 0;
	back += m->line.cur < fit ? used - sp_text_width(m->line.text, m->line.cur) : 0;
	for (; back > 0; back--)
		menu_put(m, "\b");
	m->prompt_w = w;
}

static void
put_prompt(struct sp_menu *m)
{
	if (m->err != SP_OK)
		return;
	if (m->plain)
		put_prompt_plain(m);
	else
		m->err = sp_line_draw(&m->line, menu_prompt(m), m->cols, m->out);
}

static void
put_block(struct sp_menu *m)
{
	if (m->drawn > 0 && !m->plain)
		menu_put(m, "\r\x1b[%zuA", m->drawn);
	else
		menu_put(m, "\r\n");
	m->drawn = 0;
	m->prompt_w = 0;
	if (m->state == M_ACCOUNT)
		put_accounts(m);
	else if (m->help)
		put_help(m);
	else
		put_list(m);
	(void)message_lines(m, 1);
	put_seq(m, "\x1b[J");
}

void
menu_paint(struct sp_menu *m)
{
	if (m->dirty == 0 || m->state == M_ASLEEP)
		return;
	if ((m->dirty & DIRTY_BLOCK) && m->state != M_COMMAND)
		put_block(m);
	else if ((m->dirty & DIRTY_BLOCK) && m->message[0] != '\0') {	/* between a command and the next one there is no list */
		menu_leave_block(m);
		(void)message_lines(m, 1);
		m->message[0] = '\0';
	}
	put_prompt(m);
	m->dirty = 0;
}

void
menu_leave_block(struct sp_menu *m)
{
	menu_put(m, "\r\n");
	m->drawn = 0;
	m->prompt_w = 0;
}

void
menu_clear(struct sp_menu *m)
{
	put_seq(m, "\x1b[2J\x1b[H");
	m->drawn = 0;
	m->dirty |= DIRTY_BLOCK;
}
