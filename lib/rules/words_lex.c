/* lib/rules/words_lex.c - the words of a command line as shells read them: quoting and substitutions.
 *
 * A word that is being read grows on the stack l->part, because a substitution inside it reads whole words of its own before it
 * goes on; finished words are copied to l->text, which never moves during a parse.
 * Invariants: (1) depth is checked at every recursion. (2) Each step consumes input, or ends its loop. */
#include "rules/words_lex.h"

#include <stdlib.h>
#include <string.h>

#define BRACE_LOOK	256	/* bytes to look ahead for {a,b} */

static void	read_dollar(struct lex *x, struct lex_word *w, int in_dq);

/* ---- building blocks */

void
lex_cut(struct sp_cmdline *l)
{
	l->flags |= SP_CMDLINE_CUT;
}

uint32_t
cmdline_text(struct sp_cmdline *l, const char *p, size_t n)
{
	uint32_t off = (uint32_t)l->text_len;

	if (l->text_cap - l->text_len < n + 1) {
		lex_cut(l);
		return SP_CMDLINE_NONE;
	}
	if (n > 0)
		memcpy(l->text + off, p, n);
	l->text[off + n] = '\0';
	l->text_len += n + 1;
	return off;
}

/* Room for one more in an array of the line; a bound or no memory: SP_CMDLINE_CUT. */
static int
room(struct sp_cmdline *l, void **v, size_t n, size_t *cap, size_t max, size_t size)
{
	size_t more = *cap > 0 ? *cap * 2 : 32;
	void *q;

	if (n < *cap)
		return 1;
	if (n >= max || (q = realloc(*v, more * size)) == NULL) {
		lex_cut(l);
		return 0;
	}
	*v = q;
	*cap = more;
	return 1;
}

uint32_t
cmdline_word(struct sp_cmdline *l, uint32_t off, uint32_t len, uint8_t kind, uint8_t flags)
{
	if (!room(l, (void **)&l->word, l->words, &l->words_cap, SP_CMDLINE_WORDS_MAX, sizeof(*l->word)))
		return SP_CMDLINE_NONE;
	l->word[l->words] = (struct sp_cmdword){ off, len, SP_CMDLINE_NONE, kind, flags };
	return (uint32_t)l->words++;
}

uint32_t
cmdline_command(struct sp_cmdline *l, uint32_t first, unsigned depth, uint8_t flags, uint32_t user, uint32_t user_len,
    uint32_t pipeline)
{
	if (!room(l, (void **)&l->cmd, l->n, &l->cap, SP_CMDLINE_COMMANDS_MAX, sizeof(*l->cmd)))
		return SP_CMDLINE_NONE;
	l->cmd[l->n] = (struct sp_cmd){ .first = first, .depth = (uint8_t)depth, .flags = flags, .user = user, .user_len = user_len,
	    .pipeline = pipeline };
	for (uint32_t w = first; w != SP_CMDLINE_NONE; w = l->word[w].next)
		l->cmd[l->n].n++;
	return (uint32_t)l->n++;
}

/* ---- the text */

int
lex_peek(const struct lex *x, size_t ahead)
{
	return x->i + ahead < x->n ? (uint8_t)x->p[x->i + ahead] : -1;
}

int
lex_is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static int
is_name(int c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static int
is_meta(int c)
{
	return c == -1 || lex_is_blank(c) || c == '\n' || c == ';' || c == '&' || c == '|' || c == '(' || c == ')' || c == '<' || c == '>';
}

void
lex_incomplete(struct lex *x)
{
	x->l->flags |= SP_CMDLINE_INCOMPLETE;
	x->i = x->n;
}

static void
put(struct lex *x, struct lex_word *w, char c)
{
	struct sp_cmdline *l = x->l;

	w->any = 1;
	if (c == '\0')
		return;
	if (l->part_len == l->part_cap)
		lex_cut(l);
	else
		l->part[l->part_len++] = c;
}

static void
put_some(struct lex *x, struct lex_word *w, size_t from)
{
	while (from < x->i)
		put(x, w, x->p[from++]);
}

/* A level deeper on the same text; 0: too deep, and the rest is left. */
static int
deeper(struct lex *x)
{
	if (x->depth < SP_CMDLINE_DEPTH_MAX) {
		x->depth++;
		return 1;
	}
	lex_cut(x->l);
	x->i = x->n;
	return 0;
}

/* Commands up to the closing bracket, one level below. */
void
lex_read_inner(struct lex *x)
{
	size_t opens = x->opens;

	if (!deeper(x))
		return;
	lex_read_list(x, ')');
	x->opens = opens;
	x->depth--;
}

/* `...`: its text is freed of one layer of backslashes and read on its own. */
static void
read_backtick(struct lex *x, struct lex_word *w)
{
	struct sp_cmdline *l = x->l;
	size_t from = x->i++, n = 0;
	char *dst = l->text + l->text_len;

	w->flags |= SP_CMDWORD_UNKNOWN;
	while (lex_peek(x, 0) != '`') {
		if (lex_peek(x, 0) == -1 || l->text_len + n + 1 >= l->text_cap) {
			if (lex_peek(x, 0) != -1)
				lex_cut(l);
			lex_incomplete(x);
			break;
		}
		if (x->p[x->i] == '\\' && (lex_peek(x, 1) == '`' || lex_peek(x, 1) == '\\' || lex_peek(x, 1) == '$'))
			x->i++;
		dst[n++] = x->p[x->i++];
	}
	dst[n] = '\0';
	l->text_len += n + 1;
	if (x->i < x->n)
		x->i++;
	put_some(x, w, from);
	cmdline_inner(l, dst, n, x->depth, x->flags, x->user, x->user_len);
}

/* Is `$((` at the cursor arithmetic, as the two closing brackets stand together? */
int
lex_is_arithmetic(const struct lex *x)
{
	size_t depth = 2;

	for (size_t i = x->i; i < x->n; i++) {
		if (x->p[i] == '(')
			depth++;
		else if (x->p[i] == ')' && --depth == 1)
			return i + 1 < x->n && x->p[i + 1] == ')';
	}
	return 0;
}

/* Up to the end of ${..}, ((..)), $[..]: what is in it is not split, but may hold substitutions. */
void
lex_read_opaque(struct lex *x, struct lex_word *w, char opener, char closer, size_t levels)
{
	size_t from = x->i;
	int c;

	if (!deeper(x))
		return;
	while (levels > 0 && (c = lex_peek(x, 0)) != -1) {
		if (c == '$' || c == '`') {
			struct lex_word inner = { x->l->part_len, 0, 0, 0 };

			if (c == '$')
				read_dollar(x, &inner, 1);
			else
				read_backtick(x, &inner);
			x->l->part_len = inner.from;
			continue;
		}
		if (c == '\\')
			x->i++;
		else if (c == opener)
			levels++;
		else if (c == closer)
			levels--;
		if (x->i < x->n)
			x->i++;
	}
	x->depth--;
	put_some(x, w, from);
	if (levels > 0)
		lex_incomplete(x);
}

static void
put_utf8(struct lex *x, struct lex_word *w, uint32_t c)
{
	if (c < 0x80)
		put(x, w, (char)c);
	else if (c < 0x800) {
		put(x, w, (char)(0xc0 | c >> 6));
		put(x, w, (char)(0x80 | (c & 0x3f)));
	} else {
		if (c < 0x10000)
			put(x, w, (char)(0xe0 | c >> 12));
		else {
			put(x, w, (char)(0xf0 | (c >> 18 & 7)));
			put(x, w, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		put(x, w, (char)(0x80 | (c >> 6 & 0x3f)));
		put(x, w, (char)(0x80 | (c & 0x3f)));
	}
}

static int
digit_of(int c, int base)
{
	int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;

	return v < base ? v : -1;
}

/* Digits of an escape at the cursor. */
static uint32_t
read_digits(struct lex *x, int base, int most)
{
	uint32_t v = 0;

	while (most-- > 0 && digit_of(lex_peek(x, 0), base) >= 0)
		v = v * (uint32_t)base + (uint32_t)digit_of((uint8_t)x->p[x->i++], base);
	return v;
}

/* $'...': the cursor is behind the quote. */
static void
read_ansi(struct lex *x, struct lex_word *w)
{
	static const char from[] = "abeEfnrtv", to[] = "\a\b\033\033\f\n\r\t\v";
	const char *at;
	int c;

	w->any = 1;
	w->flags |= SP_CMDWORD_QUOTED;
	while ((c = lex_peek(x, 0)) != '\'') {
		if (c == -1) {
			lex_incomplete(x);
			return;
		}
		x->i++;
		if (c != '\\') {
			put(x, w, (char)c);
			continue;
		}
		c = lex_peek(x, 0);
		if (c >= '0' && c <= '7') {
			put(x, w, (char)read_digits(x, 8, 3));
			continue;
		}
		if (c != -1)
			x->i++;
		if (c == 'x')
			put(x, w, (char)read_digits(x, 16, 2));
		else if (c == 'u' || c == 'U')
			put_utf8(x, w, read_digits(x, 16, c == 'u' ? 4 : 8));
		else if (c == 'c' && lex_peek(x, 0) != -1)
			put(x, w, (char)(x->p[x->i++] & 0x1f));
		else if (c > 0 && (at = strchr(from, c)) != NULL)
			put(x, w, to[at - from]);
		else if (c != -1)
			put(x, w, (char)c);
	}
	x->i++;
}

/* The cursor is on a '$'. */
static void
read_dollar(struct lex *x, struct lex_word *w, int in_dq)
{
	size_t from = x->i++;
	int c = lex_peek(x, 0);

	if (!in_dq && c == '\'') {
		x->i++;
		read_ansi(x, w);
		return;
	}
	if (!in_dq && c == '"')
		return;			/* a translated string: the quote is read next */
	if (c != '(' && c != '{' && c != '[' && !is_name(c) && (c == -1 || strchr("@*#?-$!", c) == NULL)) {
		put(x, w, '$');
		return;
	}
	w->flags |= SP_CMDWORD_UNKNOWN;
	x->i++;
	if (c == '(' && lex_peek(x, 0) == '(') {
		x->i++;
		if (lex_is_arithmetic(x)) {
			put_some(x, w, from);
			lex_read_opaque(x, w, '(', ')', 2);
			return;
		}
		x->i--;
	}
	if (c == '(') {
		lex_read_inner(x);
		put_some(x, w, from);
		return;
	}
	if (c == '{' || c == '[') {
		put_some(x, w, from);
		lex_read_opaque(x, w, (char)c, c == '{' ? '}' : ']', 1);
		return;
	}
	while (is_name(c) && !(c >= '0' && c <= '9') && is_name(lex_peek(x, 0)))
		x->i++;
	put_some(x, w, from);
}

/* Inside "...", up to the closing quote; with end 0 to the end of the text (a here-document). */
void
lex_read_double(struct lex *x, struct lex_word *w, int end)
{
	int c;

	w->any = 1;
	w->flags |= SP_CMDWORD_QUOTED;
	while ((c = lex_peek(x, 0)) != end || end == 0) {
		if (c == -1) {
			if (end != 0)
				lex_incomplete(x);
			return;
		}
		if (c == '$')
			read_dollar(x, w, 1);
		else if (c == '`')
			read_backtick(x, w);
		else if (c == '\\' && lex_peek(x, 1) != -1 && strchr("$`\"\\\n", lex_peek(x, 1)) != NULL) {
			x->i += 2;
			if (x->p[x->i - 1] != '\n')
				put(x, w, x->p[x->i - 1]);
		} else {
			if (c == '!' && end != 0 && lex_peek(x, 1) != end && !lex_is_blank(lex_peek(x, 1)) && lex_peek(x, 1) != '=' && lex_peek(x, 1) != '\n')
				w->flags |= SP_CMDWORD_UNKNOWN;		/* history, in an interactive shell */
			put(x, w, (char)c);
			x->i++;
		}
	}
	x->i++;
}

static void
read_single(struct lex *x, struct lex_word *w)
{
	w->any = 1;
	w->flags |= SP_CMDWORD_QUOTED;
	x->i++;
	while (lex_peek(x, 0) != '\'') {
		if (lex_peek(x, 0) == -1) {
			lex_incomplete(x);
			return;
		}
		put(x, w, x->p[x->i++]);
	}
	x->i++;
}

/* {a,b} and {1..3} make several words; look ahead for one. */
static int
is_brace_list(const struct lex *x)
{
	int list = 0;

	for (size_t k = 1; k < BRACE_LOOK; k++) {
		int c = lex_peek(x, k);

		if (c == -1 || lex_is_blank(c) || c == '\n')
			return 0;
		if (c == '}')
			return list;
		list |= c == ',' || (c == '.' && lex_peek(x, k + 1) == '.');
	}
	return 1;
}

static void
read_plain(struct lex *x, struct lex_word *w, int c)
{
	if (c == '*' || c == '?' || (c == '[' && !is_meta(lex_peek(x, 1))) || (c == '{' && is_brace_list(x)))
		w->flags |= SP_CMDWORD_PATTERN;
	else if (c == '!' && w->any == 0 && is_meta(lex_peek(x, 1)))
		;			/* the word ! */
	else if (c == '!' && !is_meta(lex_peek(x, 1)) && lex_peek(x, 1) != '=' && lex_peek(x, 1) != '"')
		w->flags |= SP_CMDWORD_UNKNOWN;
	else if (c == '=' && !(w->flags & SP_CMDWORD_QUOTED) && w->any && !w->eq_plain) {
		const char *s = x->l->part + w->from;
		size_t n = x->l->part_len - w->from, k = 0;

		while (k < n && is_name((uint8_t)s[k]))
			k++;
		w->eq_plain = n > 0 && !(s[0] >= '0' && s[0] <= '9') && (k == n || (k + 1 == n && s[k] == '+') || s[k] == '[');
	}
	put(x, w, (char)c);
	x->i++;
}

/* One word at the cursor; 0: there is none. It stays on the stack from w->from on. */
int
lex_read_part(struct lex *x, struct lex_word *w)
{
	int c;

	*w = (struct lex_word){ x->l->part_len, 0, 0, 0 };
	for (;;) {
		c = lex_peek(x, 0);
		if ((c == '<' || c == '>') && lex_peek(x, 1) == '(') {
			size_t from = x->i;

			x->i += 2;
			w->flags |= SP_CMDWORD_UNKNOWN;
			lex_read_inner(x);
			put_some(x, w, from);
		} else if (is_meta(c))
			return w->any;
		else if (c == '\\') {
			x->i++;
			if ((c = lex_peek(x, 0)) == -1)
				lex_incomplete(x);
			else {
				if (c != '\n') {
					put(x, w, (char)c);
					w->flags |= SP_CMDWORD_QUOTED;
				}
				x->i++;
			}
		} else if (c == '\'')
			read_single(x, w);
		else if (c == '"') {
			x->i++;
			lex_read_double(x, w, '"');
		} else if (c == '$')
			read_dollar(x, w, 0);
		else if (c == '`')
			read_backtick(x, w);
		else
			read_plain(x, w, c);
	}
}

int
lex_part_is(const struct lex *x, const struct lex_word *w, const char *s)
{
	size_t n = x->l->part_len - w->from;

	return !(w->flags & (SP_CMDWORD_QUOTED | SP_CMDWORD_UNKNOWN)) && n == strlen(s) && memcmp(x->l->part + w->from, s, n) == 0;
}

/* From the stack to the text, as a word. */
uint32_t
lex_keep(struct lex *x, const struct lex_word *w, uint8_t kind)
{
	struct sp_cmdline *l = x->l;
	size_t n = l->part_len - w->from;
	uint32_t off = cmdline_text(l, l->part + w->from, n);

	l->part_len = w->from;
	return off == SP_CMDLINE_NONE ? off : cmdline_word(l, off, (uint32_t)n, kind, w->flags);
}

void
lex_drop(struct lex *x, const struct lex_word *w)
{
	x->l->part_len = w->from;
}

void
lex_skip_blank(struct lex *x, int lines)
{
	int c;

	while (lex_is_blank(c = lex_peek(x, 0)) || (c == '\\' && lex_peek(x, 1) == '\n') || (lines && c == '\n'))
		x->i += c == '\\' ? 2 : 1;
}

/* Words that only move the cursor: of a for, a case, a [[ ]]. Their substitutions are read. */
int
lex_skip_word(struct lex *x)
{
	struct lex_word w;
	int any;

	lex_skip_blank(x, 0);
	any = lex_read_part(x, &w);
	lex_drop(x, &w);
	return any;
}
