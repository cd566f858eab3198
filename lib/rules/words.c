/* lib/rules/words.c - the commands of a command line: simple and compound ones, redirections, here-documents.
 *
 * Recursive descent over one text (words_lex.c reads its words). Where shells differ, the reading that finds more commands is taken. */
#include "rules/words_lex.h"

#include <stdlib.h>
#include <string.h>

#include "base/attr.h"

/* ---- here-documents */

static void
here_add(struct lex *x, uint32_t cmd, const struct lex_word *w, int strip)
{
	size_t n = x->l->part_len - w->from;
	uint32_t off = cmdline_text(x->l, x->l->part + w->from, n);

	if (off == SP_CMDLINE_NONE || x->heres == LEX_HERE_MAX)
		lex_cut(x->l);
	else
		x->here[x->heres++] = (struct lex_here){ cmd, off, (uint32_t)n, (w->flags & SP_CMDWORD_QUOTED) != 0, strip };
}

static void
here_body(struct lex *x, const struct lex_here *h, size_t from, size_t to)
{
	struct lex y = { .l = x->l, .p = x->p + from, .n = to - from, .depth = x->depth, .flags = x->flags, .user = x->user,
	    .user_len = x->user_len };
	struct lex_word w = { x->l->part_len, 0, 0, 0 };
	uint32_t reader = h->cmd != SP_CMDLINE_NONE ? cmdline_reader(x->l, h->cmd) : SP_CMDLINE_NONE;
	unsigned was = x->l->flags & SP_CMDLINE_INCOMPLETE;

	if (reader != SP_CMDLINE_NONE)
		cmdline_inner(x->l, x->p + from, to - from, x->depth, x->flags | SP_CMD_GIVEN, x->l->cmd[reader].user,
		    x->l->cmd[reader].user_len);
	else if (!h->quoted) {
		lex_read_double(&y, &w, 0);
		lex_drop(x, &w);
		x->l->flags = (x->l->flags & ~(unsigned)SP_CMDLINE_INCOMPLETE) | was;
	}
}

/* The cursor is behind a line end: the bodies of the here-documents of that line. */
static void
read_heres(struct lex *x)
{
	for (size_t k = 0; k < x->heres; k++) {
		const struct lex_here *h = &x->here[k];
		size_t from = x->i, to = x->n, line = x->i;
		int found = 0;

		while (!found && line < x->n) {
			const char *nl = memchr(x->p + line, '\n', x->n - line);
			size_t end = nl != NULL ? (size_t)(nl - x->p) : x->n, s = line;

			while (h->strip && s < end && x->p[s] == '\t')
				s++;
			if (end - s == h->delim_len && memcmp(x->p + s, x->l->text + h->delim, end - s) == 0) {
				found = 1;
				to = line;
			}
			line = nl != NULL ? end + 1 : x->n;
		}
		here_body(x, h, from, to);
		x->i = found ? line : x->n;
		if (!found)
			x->l->flags |= SP_CMDLINE_INCOMPLETE;
	}
	x->heres = 0;
}

/* ---- commands */

struct cmd {				/* a simple command being read */
	uint32_t	first, last, here_cmd;
	int		named;
};

static void
add_word(struct lex *x, struct cmd *c, uint32_t w)
{
	if (w == SP_CMDLINE_NONE)
		return;
	if (c->first == SP_CMDLINE_NONE)
		c->first = w;
	else
		x->l->word[c->last].next = w;
	c->last = w;
}

/* < > and their kin at the cursor. */
static void
read_redirect(struct lex *x, struct cmd *c, uint32_t cmd)
{
	int first = lex_peek(x, 0), here = 0, strip = 0, write = first != '<', read = first == '<', dup = 0;
	struct lex_word w;

	if (first == '&')
		x->i++;			/* &> and &>> */
	first = lex_peek(x, 0);
	x->i++;
	while (lex_peek(x, 0) == first && here < 2 && (first == '<' || here == 0)) {
		here++;
		x->i++;
	}
	if (first == '<' && here == 1 && lex_peek(x, 0) == '-') {
		strip = 1;
		x->i++;
	} else if (here == 0 && first == '<' && lex_peek(x, 0) == '>') {
		write = 1;
		x->i++;
	} else if (lex_peek(x, 0) == '|' && first == '>')
		x->i++;
	else if (lex_peek(x, 0) == '&') {
		dup = 1;
		x->i++;
	}
	lex_skip_blank(x, 0);
	if (!lex_read_part(x, &w)) {
		if (lex_peek(x, 0) == -1)
			x->l->flags |= SP_CMDLINE_INCOMPLETE;
		lex_drop(x, &w);
		return;
	}
	if (dup) {			/* >&2, 2>&1, >&-: no file */
		size_t n = x->l->part_len - w.from, k = 0;

		while (k < n && ((x->l->part[w.from + k] >= '0' && x->l->part[w.from + k] <= '9') || x->l->part[w.from + k] == '-'))
			k++;
		if (k == n && !(w.flags & SP_CMDWORD_UNKNOWN)) {
			lex_drop(x, &w);
			return;
		}
	}
	if (first == '<' && here == 1) {
		here_add(x, cmd, &w, strip);
		lex_drop(x, &w);
	} else if (read && write) {
		uint32_t k = lex_keep(x, &w, SP_CMDWORD_WRITE);

		add_word(x, c, k);
		if (k != SP_CMDLINE_NONE)
			add_word(x, c, cmdline_word(x->l, x->l->word[k].off, x->l->word[k].len, SP_CMDWORD_READ, x->l->word[k].flags));
	} else
		add_word(x, c, lex_keep(x, &w, here == 2 && first == '<' ? SP_CMDWORD_HERE : write ? SP_CMDWORD_WRITE : SP_CMDWORD_READ));
}

/* Digits or {name} right before < or >: the descriptor of a redirection. */
static int
is_descriptor(const struct lex *x, const struct lex_word *w)
{
	const char *s = x->l->part + w->from;
	size_t n = x->l->part_len - w->from, k = 0;

	if ((lex_peek(x, 0) != '<' && lex_peek(x, 0) != '>') || n == 0 || (w->flags & (SP_CMDWORD_QUOTED | SP_CMDWORD_UNKNOWN)))
		return 0;
	if (s[0] == '{' && s[n - 1] == '}')
		return 1;
	while (k < n && s[k] >= '0' && s[k] <= '9')
		k++;
	return k == n;
}

/* NAME=(a b c) */
static void
read_array(struct lex *x)
{
	struct lex_word w;

	x->i++;
	for (;;) {
		lex_skip_blank(x, 1);
		if (lex_peek(x, 0) == ')' || lex_peek(x, 0) == -1)
			break;
		if (!lex_read_part(x, &w) && x->i < x->n)
			x->i++;
		lex_drop(x, &w);
	}
	if (lex_peek(x, 0) == -1)
		lex_incomplete(x);
	else
		x->i++;
}

/* ---- compound commands */

static void
push(struct lex *x, char what)
{
	if (x->opens == LEX_OPEN_MAX)
		lex_cut(x->l);
	else
		x->open[x->opens++] = what;
}

static void
pop(struct lex *x, char what)
{
	if (x->opens > 0 && x->open[x->opens - 1] == what)
		x->opens--;
}

/* Patterns of a case up to their bracket, unless esac comes. */
static void
read_patterns(struct lex *x)
{
	size_t from;
	struct lex_word w;
	int any, over;

	lex_skip_blank(x, 1);
	from = x->i;
	any = lex_read_part(x, &w);
	over = any && lex_part_is(x, &w, "esac");
	lex_drop(x, &w);
	if (over || lex_peek(x, 0) == -1) {
		x->i = over ? from : x->i;
		return;
	}
	if (!any && lex_peek(x, 0) == '(')
		x->i++;
	while (lex_peek(x, 0) != ')' && lex_peek(x, 0) != -1 && lex_peek(x, 0) != '\n')
		if (!lex_skip_word(x) && lex_peek(x, 0) != ')' && x->i < x->n)
			x->i++;
	if (lex_peek(x, 0) == ')')
		x->i++;
}

/* for NAME [in WORDS], select */
static void
read_for(struct lex *x)
{
	lex_skip_blank(x, 0);
	if (lex_peek(x, 0) == '(')
		return;			/* for ((..)): read as arithmetic next */
	while (lex_skip_word(x))
		;
}

static void
read_case(struct lex *x)
{
	push(x, 'c');
	(void)lex_skip_word(x);
	lex_skip_blank(x, 1);
	(void)lex_skip_word(x);		/* in */
	read_patterns(x);
}

static void
read_test(struct lex *x)		/* [[ ... ]] */
{
	struct lex_word w;
	int c, over = 0;

	while (!over) {
		lex_skip_blank(x, 1);
		if ((c = lex_peek(x, 0)) == -1) {
			x->l->flags |= SP_CMDLINE_INCOMPLETE;
			return;
		}
		if (lex_read_part(x, &w))
			over = lex_part_is(x, &w, "]]");
		else
			x->i++;
		lex_drop(x, &w);
	}
}

static void
read_function(struct lex *x)
{
	(void)lex_skip_word(x);
	lex_skip_blank(x, 0);
	if (lex_peek(x, 0) == '(' && lex_peek(x, 1) == ')')
		x->i += 2;
}

static void begin_if(struct lex *x) { push(x, 'i'); }
static void begin_loop(struct lex *x) { push(x, 'l'); }
static void begin_for(struct lex *x) { push(x, 'l'); read_for(x); }
static void begin_brace(struct lex *x) { push(x, '{'); }
static void end_if(struct lex *x) { pop(x, 'i'); }
static void end_loop(struct lex *x) { pop(x, 'l'); }
static void end_case(struct lex *x) { pop(x, 'c'); }
static void end_brace(struct lex *x) { pop(x, '{'); }
static void go_on(struct lex *x) { (void)x; }

static const struct {
	const char	*word;
	void		(*read)(struct lex *x);
} reserved[] = {
	{ "if", begin_if }, { "then", go_on }, { "elif", go_on }, { "else", go_on }, { "fi", end_if },
	{ "while", begin_loop }, { "until", begin_loop }, { "for", begin_for }, { "select", begin_for }, { "repeat", begin_loop },
	{ "do", go_on }, { "done", end_loop }, { "case", read_case }, { "esac", end_case },
	{ "{", begin_brace }, { "}", end_brace }, { "!", go_on }, { "[[", read_test }, { "function", read_function },
	{ "coproc", go_on }
};

/* A reserved word where a command may begin; 1: it was one. */
static int
read_reserved(struct lex *x, const struct lex_word *w)
{
	for (size_t k = 0; k < SP_NELEMS(reserved); k++)
		if (lex_part_is(x, w, reserved[k].word)) {
			lex_drop(x, w);
			reserved[k].read(x);
			return 1;
		}
	return 0;
}

/* A word of a simple command. 0: the command ends before it: a reserved word or the name of a function. */
static int
take_word(struct lex *x, struct cmd *c, struct lex_word *w)
{
	if (is_descriptor(x, w)) {
		lex_drop(x, w);
		return 1;
	}
	if (c->first == SP_CMDLINE_NONE && read_reserved(x, w))
		return 0;
	if (!c->named && lex_peek(x, 0) == '(' && w->eq_plain) {
		add_word(x, c, lex_keep(x, w, SP_CMDWORD_ASSIGN));
		read_array(x);
		return 1;
	}
	if (!c->named && lex_peek(x, 0) == '(' && lex_peek(x, 1) == ')') {
		lex_drop(x, w);
		x->i += 2;
		return 0;
	}
	if (!c->named && w->eq_plain) {
		add_word(x, c, lex_keep(x, w, SP_CMDWORD_ASSIGN));
		return 1;
	}
	add_word(x, c, lex_keep(x, w, c->named ? SP_CMDWORD_ARG : SP_CMDWORD_NAME));
	c->named = 1;
	return 1;
}

/* A simple command at the cursor. Its number is taken before its words are read, so that commands stand in the order of their
 * beginnings; one without words gives the number back when nothing came behind it. */
static void
read_simple(struct lex *x, uint32_t pipeline)
{
	struct sp_cmdline *l = x->l;
	struct cmd c = { SP_CMDLINE_NONE, SP_CMDLINE_NONE, SP_CMDLINE_NONE, 0 };
	uint32_t cmd = cmdline_command(l, SP_CMDLINE_NONE, x->depth, x->flags, x->user, x->user_len, pipeline);
	struct lex_word w;
	int ch;

	for (;;) {
		lex_skip_blank(x, 0);
		ch = lex_peek(x, 0);
		if (((ch == '<' || ch == '>') && lex_peek(x, 1) != '(') || (ch == '&' && lex_peek(x, 1) == '>')) {
			read_redirect(x, &c, cmd);
			continue;
		}
		if (ch == '#' || !lex_read_part(x, &w))
			break;
		if (!take_word(x, &c, &w))
			break;
	}
	if (cmd == SP_CMDLINE_NONE)
		return;
	if (c.first == SP_CMDLINE_NONE) {
		if (l->n == cmd + 1u)
			l->n--;
		return;
	}
	l->cmd[cmd].first = c.first;
	for (uint32_t k = c.first; k != SP_CMDLINE_NONE; k = l->word[k].next)
		l->cmd[cmd].n++;
	cmdline_finish(l, cmd);
}

/* The operator at the cursor: 1 when the pipeline goes on. *after: something has to follow. */
static int
read_operator(struct lex *x, int *after)
{
	int c = lex_peek(x, 0), d = lex_peek(x, 1);

	*after = c == '|' || (c == '&' && d == '&');
	x->i += (c == d || (c == '|' && d == '&') || (c == ';' && d == '&')) ? 2 : 1;
	if (c == ';' && (d == ';' || d == '&')) {
		if (lex_peek(x, 0) == '&')
			x->i++;
		if (x->opens > 0 && x->open[x->opens - 1] == 'c')
			read_patterns(x);
	}
	return c == '|' && d != '|';
}

/* ( ... ) or (( ... )) */
static void
read_bracket(struct lex *x)
{
	struct lex_word w = { x->l->part_len, 0, 0, 0 };

	x->i++;
	if (lex_peek(x, 0) == '(') {
		x->i++;
		if (lex_is_arithmetic(x)) {
			lex_read_opaque(x, &w, '(', ')', 2);
			lex_drop(x, &w);
			return;
		}
		x->i--;
	}
	lex_read_inner(x);
}

void
lex_read_list(struct lex *x, char closer)
{
	struct sp_cmdline *l = x->l;
	uint32_t pipeline = l->pipelines++;
	size_t opens = x->opens, from = l->n;
	int after = 0, c, closed = 0;

	while (!closed) {
		size_t was = x->i;

		lex_skip_blank(x, 0);
		if ((c = lex_peek(x, 0)) == -1)
			break;
		if (c == '\n' || c == ';' || (c == '&' && lex_peek(x, 1) != '>') || c == '|') {
			int on = 0;

			if (c == '\n') {
				x->i++;
				read_heres(x);
				on = after;		/* a | at the end of a line */
			} else
				on = read_operator(x, &after);
			if (!on) {
				cmdline_pipeline(l, (uint32_t)from, pipeline);
				pipeline = l->pipelines++;
				from = l->n;
			}
			continue;
		}
		after = 0;
		if (c == '#')
			while (lex_peek(x, 0) != '\n' && lex_peek(x, 0) != -1)
				x->i++;
		else if (c == '(') {
			read_bracket(x);
		} else if (c == ')') {
			x->i++;
			closed = closer == ')';
		} else
			read_simple(x, pipeline);
		if (x->i == was)
			x->i++;			/* nothing that we know: go on behind it */
	}
	cmdline_pipeline(l, (uint32_t)from, pipeline);
	if (after || x->opens > opens || (closer != 0 && !closed) || x->heres > 0)
		l->flags |= SP_CMDLINE_INCOMPLETE;
}

void
cmdline_inner(struct sp_cmdline *l, const char *p, size_t n, unsigned depth, uint8_t flags, uint32_t user, uint32_t user_len)
{
	struct lex x = { .l = l, .p = p, .n = n, .depth = depth + 1, .flags = flags, .user = user, .user_len = user_len };

	unsigned was = l->flags & SP_CMDLINE_INCOMPLETE;

	if (depth + 1 > SP_CMDLINE_DEPTH_MAX)
		lex_cut(l);
	else
		lex_read_list(&x, 0);
	l->flags = (l->flags & ~(unsigned)SP_CMDLINE_INCOMPLETE) | was;	/* no next line goes on with it */
}

/* ---- the outside */

static int
grow(char **p, size_t *cap, size_t want)
{
	char *q;

	if (*cap >= want)
		return 1;
	if ((q = malloc(want)) == NULL)
		return 0;
	free(*p);
	*p = q;
	*cap = want;
	return 1;
}

enum sp_err
sp_cmdline_parse(struct sp_cmdline *l, const char *p, size_t n)
{
	struct lex x = { .l = l, .p = p, .n = n };

	l->n = l->words = l->text_len = l->part_len = 0;
	l->flags = 0;
	l->pipelines = 0;
	if (n > SP_CMDLINE_MAX)
		return SP_ESIZE;
	if (!grow(&l->text, &l->text_cap, 24 * n + 4096) || !grow(&l->part, &l->part_cap, 4 * n + 4096))
		return SP_ENOMEM;
	l->text[l->text_len++] = '\0';	/* 0 is no text */
	lex_read_list(&x, 0);
	for (size_t k = 0, kept = l->n; k < kept; k++) {	/* beginnings that came to nothing: `case`, `for` ... */
		if (k == 0)
			l->n = 0;
		if (l->cmd[k].n > 0 || (l->cmd[k].flags & SP_CMD_UNKNOWN))
			l->cmd[l->n++] = l->cmd[k];
	}
	return SP_OK;
}

void
sp_cmdline_release(struct sp_cmdline *l)
{
	free(l->text);
	free(l->word);
	free(l->cmd);
	free(l->part);
	*l = (struct sp_cmdline){ 0 };
}
