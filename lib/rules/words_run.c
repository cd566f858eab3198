/* lib/rules/words_run.c - the name of a command, and what it is given to run: one table of commands that run commands.
 * Invariant: each step is one level deeper, and SP_CMDLINE_DEPTH_MAX ends it. */
#include <string.h>

#include "base/attr.h"
#include "rules/words_int.h"

static const char *const system_dirs[] = { "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin" };

enum run {
	RUN_ARGS,	/* the rest of the words are a command */
	RUN_SHELL,	/* -c TEXT, a script, or standard input */
	RUN_TEXT,	/* the rest of the words, joined by blanks, are a text */
	RUN_OPTION,	/* the argument of -c is a text */
	RUN_FIRST,	/* the first word is a text */
	RUN_VALUES,	/* NAME=TEXT in every word */
	RUN_FIND	/* -exec ... ; */
};
struct runner {
	const char	*name;
	enum run	 run;
	const char	*valued;	/* letters of options that take a value in the next word */
	const char	*longs;		/* long options that do, separated by blanks */
	int		 skip;		/* words between the options and the command */
	unsigned	 flags;
	const char	*user;		/* who it runs as without a word about it; NULL: the same */
	char		 user_opt;	/* letter of the option that says who */
};
#define ASSIGN	(1u << 8)		/* NAME=value may stand before the command */
static const struct runner runners[] = {
	{ "sudo", RUN_ARGS, "CDghpRrTtUu", "user group host prompt chdir chroot role type other-user close-from command-timeout", 0, ASSIGN, "root", 'u' },
	{ "doas", RUN_ARGS, "Cu", "", 0, 0, "root", 'u' },
	{ "pkexec", RUN_ARGS, "", "user", 0, 0, "root", 0 },
	{ "runuser", RUN_OPTION, "cgGsuw", "command group supp-group shell user", 0, 0, "root", 'u' },
	{ "su", RUN_OPTION, "cgGsw", "command group supp-group shell", 0, 0, "root", 0 },
	{ "env", RUN_ARGS, "uC", "unset chdir", 0, ASSIGN, NULL, 0 },
	{ "nohup", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "setsid", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "nice", RUN_ARGS, "n", "adjustment", 0, 0, NULL, 0 },
	{ "ionice", RUN_ARGS, "cn", "class classdata", 0, 0, NULL, 0 },
	{ "chrt", RUN_ARGS, "TPD", "", 1, 0, NULL, 0 },
	{ "taskset", RUN_ARGS, "", "", 1, 0, NULL, 0 },
	{ "time", RUN_ARGS, "fo", "format output", 0, 0, NULL, 0 },
	{ "timeout", RUN_ARGS, "ks", "kill-after signal", 1, 0, NULL, 0 },
	{ "stdbuf", RUN_ARGS, "ioe", "input output error", 0, 0, NULL, 0 },
	{ "unshare", RUN_ARGS, "RwSG", "root wd setuid setgid", 0, 0, NULL, 0 },
	{ "nsenter", RUN_ARGS, "tSGW", "target setuid setgid", 0, 0, NULL, 0 },
	{ "chroot", RUN_ARGS, "", "", 1, 0, NULL, 0 },
	{ "systemd-run", RUN_ARGS, "pEtuMH", "unit property setenv uid gid slice description machine host", 0, 0, NULL, 0 },
	{ "setpriv", RUN_ARGS, "", "reuid regid groups", 0, 0, NULL, 0 },
	{ "strace", RUN_ARGS, "abeEIoOpPSuX", "", 0, 0, NULL, 0 },
	{ "busybox", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "toybox", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "xargs", RUN_ARGS, "aEdILnPs", "arg-file delimiter max-args max-procs max-lines max-chars", 0, SP_CMD_MORE, NULL, 0 },
	{ "parallel", RUN_ARGS, "jaIn", "jobs arg-file", 0, SP_CMD_MORE, NULL, 0 },
	{ "exec", RUN_ARGS, "a", "", 0, 0, NULL, 0 },
	{ "command", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "builtin", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "noglob", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "nocorrect", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "-", RUN_ARGS, "", "", 0, 0, NULL, 0 },
	{ "flock", RUN_ARGS, "wE", "timeout wait conflict-exit-code", 1, 0, NULL, 0 },
	{ "sh", RUN_SHELL, "oO", "rcfile init-file", 0, 0, NULL, 0 },
	{ "bash", RUN_SHELL, "oO", "rcfile init-file", 0, 0, NULL, 0 },
	{ "rbash", RUN_SHELL, "oO", "rcfile init-file", 0, 0, NULL, 0 },
	{ "dash", RUN_SHELL, "o", "", 0, 0, NULL, 0 },
	{ "ash", RUN_SHELL, "o", "", 0, 0, NULL, 0 },
	{ "zsh", RUN_SHELL, "o", "", 0, 0, NULL, 0 },
	{ "ksh", RUN_SHELL, "o", "", 0, 0, NULL, 0 },
	{ "mksh", RUN_SHELL, "o", "", 0, 0, NULL, 0 },
	{ "fish", RUN_SHELL, "C", "init-command", 0, 0, NULL, 0 },
	{ "eval", RUN_TEXT, "", "", 0, 0, NULL, 0 },
	{ "watch", RUN_TEXT, "n", "interval", 0, 0, NULL, 0 },
	{ "ssh", RUN_TEXT, "BbcDEeFIiJLlmOopQRSWw", "", 1, SP_CMD_ELSEWHERE, NULL, 0 },
	{ "script", RUN_OPTION, "cEIBTOo", "command", 0, 0, NULL, 0 },
	{ "trap", RUN_FIRST, "", "", 0, 0, NULL, 0 },
	{ "alias", RUN_VALUES, "", "", 0, 0, NULL, 0 },
	{ "find", RUN_FIND, "", "", 0, 0, NULL, 0 }
};

/* ---- names */

static const char *
word_text(const struct sp_cmdline *l, uint32_t w)
{
	return l->text + l->word[w].off;
}

/* A path without //, /. and /.., in place; absolute. */
static size_t
path_plain(char *p, size_t n)
{
	size_t out = 0, i = 0;

	while (i < n) {
		size_t from;

		while (i < n && p[i] == '/')
			i++;
		from = i;
		while (i < n && p[i] != '/')
			i++;
		if (i == from || (i - from == 1 && p[from] == '.'))
			continue;
		if (i - from == 2 && p[from] == '.' && p[from + 1] == '.') {
			while (out > 0 && p[--out] != '/')
				;
			continue;
		}
		p[out++] = '/';
		memmove(p + out, p + from, i - from);
		out += i - from;
	}
	return out;
}

/* The name that the first word stands for, as a part of the text. */
static void
name_of(struct sp_cmdline *l, uint32_t w, uint32_t *ret_off, uint32_t *ret_len)
{
	const struct sp_cmdword *word = &l->word[w];
	uint32_t off = word->off, len = word->len, copy;
	const char *s = l->text + off;
	size_t n, dir;

	*ret_off = off;
	*ret_len = len;
	if (len > 1 && s[0] == '=' && !(word->flags & SP_CMDWORD_QUOTED)) {	/* zsh: =su is the path of su */
		*ret_off = off + 1;
		*ret_len = len - 1;
		return;
	}
	if (len == 0 || s[0] != '/' || (copy = cmdline_text(l, s, len)) == SP_CMDLINE_NONE)
		return;
	n = path_plain(l->text + copy, len);
	l->text[copy + n] = '\0';
	*ret_off = copy;
	*ret_len = (uint32_t)n;
	for (dir = n; dir > 0 && l->text[copy + dir - 1] != '/'; dir--)
		;
	if (dir < 2)
		return;
	for (size_t k = 0; k < SP_NELEMS(system_dirs); k++)
		if (strlen(system_dirs[k]) == dir - 1 && memcmp(system_dirs[k], l->text + copy, dir - 1) == 0) {
			*ret_off = copy + (uint32_t)dir;
			*ret_len = (uint32_t)(n - dir);
			return;
		}
}

/* Words from that one on, joined by blanks, as a text; arguments only. */
static uint32_t
join(struct sp_cmdline *l, uint32_t from, uint32_t *ret_len, uint8_t *ret_flags)
{
	uint32_t off = (uint32_t)l->text_len;
	size_t n = 0;

	*ret_flags = 0;
	for (uint32_t w = from; w != SP_CMDLINE_NONE; w = l->word[w].next) {
		const struct sp_cmdword *k = &l->word[w];

		if (k->kind != SP_CMDWORD_ARG && k->kind != SP_CMDWORD_NAME)
			continue;
		if (l->text_cap - l->text_len < n + k->len + 2) {
			l->flags |= SP_CMDLINE_CUT;
			break;
		}
		if (n > 0)
			l->text[off + n++] = ' ';
		memcpy(l->text + off + n, l->text + k->off, k->len);
		n += k->len;
		*ret_flags |= k->flags;
	}
	if (l->text_len >= l->text_cap) {
		*ret_len = 0;
		return 0;
	}
	l->text[off + n] = '\0';
	l->text_len += n + 1;
	*ret_len = (uint32_t)n;
	return off;
}

/* ---- what it runs */

struct given {			/* a command that runs another one, as its words are looked at */
	struct sp_cmdline	*l;
	uint32_t		 cmd;
	const struct runner	*r;
	uint32_t		 user, user_len;
	uint32_t		 text;		/* word of -c; SP_CMDLINE_NONE */
	int			 c_flag;	/* a shell's -c: its text is the first word behind the options */
	int			 shows;		/* command -v: it runs nothing */
	int			 user_said;	/* by an option or a word */
};

static uint32_t
next_arg(const struct sp_cmdline *l, uint32_t w)
{
	while (w != SP_CMDLINE_NONE && l->word[w].kind != SP_CMDWORD_ARG)
		w = l->word[w].next;
	return w;
}

static uint32_t
after(const struct sp_cmdline *l, uint32_t w)
{
	return w == SP_CMDLINE_NONE ? w : next_arg(l, l->word[w].next);
}

/* An unknown command takes the place of a text that is not known. */
static void
add_unknown(struct given *g, uint8_t flags)
{
	const struct sp_cmd *c = &g->l->cmd[g->cmd];

	(void)cmdline_command(g->l, SP_CMDLINE_NONE, c->depth + 1u, (uint8_t)(c->flags | flags | SP_CMD_GIVEN | SP_CMD_UNKNOWN),
	    g->user, g->user_len, c->pipeline);
}

static void
run_text(struct given *g, uint32_t off, uint32_t len, uint8_t word_flags)
{
	const struct sp_cmd c = g->l->cmd[g->cmd];
	uint8_t flags = (uint8_t)((c.flags & ~SP_CMD_UNKNOWN) | SP_CMD_GIVEN | (g->r->flags & 0xff));

	if (word_flags & SP_CMDWORD_UNKNOWN)
		add_unknown(g, (uint8_t)(g->r->flags & 0xff));	/* and what is known of it */
	cmdline_inner(g->l, g->l->text + off, len, c.depth, flags, g->user, g->user_len);
}

static void
run_word(struct given *g, uint32_t w)
{
	run_text(g, g->l->word[w].off, g->l->word[w].len, g->l->word[w].flags);
}

/* The words from that one on, to (not including) `end`, are a command: they are listed once more, the first as a name. */
static void
run_args(struct given *g, uint32_t from, uint32_t end)
{
	struct sp_cmdline *l = g->l;
	uint32_t first = SP_CMDLINE_NONE, last = SP_CMDLINE_NONE, cmd;
	const struct sp_cmd c = l->cmd[g->cmd];
	int named = 0;

	if (c.depth + 1u > SP_CMDLINE_DEPTH_MAX) {
		l->flags |= SP_CMDLINE_CUT;
		return;
	}
	for (uint32_t w = from; w != SP_CMDLINE_NONE && w != end; w = after(l, w)) {
		const struct sp_cmdword k = l->word[w];
		int assign = !named && (g->r->flags & ASSIGN) && memchr(l->text + k.off, '=', k.len) != NULL;
		uint32_t copy = cmdline_word(l, k.off, k.len, assign ? SP_CMDWORD_ASSIGN : named ? SP_CMDWORD_ARG : SP_CMDWORD_NAME, k.flags);

		if (copy == SP_CMDLINE_NONE)
			break;
		named |= !assign;
		if (first == SP_CMDLINE_NONE)
			first = copy;
		else
			l->word[last].next = copy;
		last = copy;
	}
	if (!named)
		return;
	cmd = cmdline_command(l, first, c.depth + 1u, (uint8_t)((c.flags & ~SP_CMD_UNKNOWN) | SP_CMD_GIVEN | (g->r->flags & 0xff)), g->user,
	    g->user_len, c.pipeline);
	if (cmd != SP_CMDLINE_NONE)
		cmdline_finish(l, cmd);
}

static int
long_is_valued(const struct runner *r, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = r->longs; *p; p += strspn(p, " ")) {
		size_t k = strcspn(p, " ");

		if (k == n && memcmp(p, name, n) == 0)
			return 1;
		p += k;
	}
	return 0;
}

static void
take_user(struct given *g, uint32_t w)
{
	g->user = g->l->word[w].off;
	g->user_len = g->l->word[w].len;
	g->user_said = 1;
}

/* A long option; the last word that belongs to it. */
static uint32_t
take_long(struct given *g, uint32_t w, const char *name)
{
	uint32_t value = long_is_valued(g->r, name) ? after(g->l, w) : SP_CMDLINE_NONE;

	if (value == SP_CMDLINE_NONE)
		return w;
	if (strcmp(name, "user") == 0)
		take_user(g, value);
	else if (strcmp(name, "command") == 0)
		g->text = value;
	return value;
}

/* The value of a short option. */
static void
take_value(struct given *g, char letter, uint32_t w)
{
	if (letter == g->r->user_opt)
		take_user(g, w);
	else if (letter == 'c' && g->r->run == RUN_OPTION)
		g->text = w;
}

/* A cluster of short options; the last word that belongs to it. */
static uint32_t
take_short(struct given *g, uint32_t w)
{
	const char *s = word_text(g->l, w);
	uint32_t last = w, value;

	for (const char *p = s + 1; *p; p++) {
		if (*p == 'c' && g->r->run == RUN_SHELL && s[0] == '-')
			g->c_flag = 1;
		else if (strcmp(g->r->name, "command") == 0 && (*p == 'v' || *p == 'V'))
			g->shows = 1;
		else if (strchr(g->r->valued, *p) == NULL)
			continue;
		else if (p[1] != '\0' && g->r->run != RUN_SHELL) {	/* its value is the rest of the word */
			value = cmdline_word(g->l, g->l->word[w].off + (uint32_t)(p + 1 - s), (uint32_t)strlen(p + 1), SP_CMDWORD_ARG,
			    g->l->word[w].flags);
			if (value != SP_CMDLINE_NONE)
				take_value(g, *p, value);
			return last;
		} else if ((value = after(g->l, last)) == SP_CMDLINE_NONE)
			return last;
		else {
			take_value(g, *p, value);
			last = value;
			if (g->r->run != RUN_SHELL)
				return last;
		}
	}
	return last;
}

/* Over the options of the command, from its first argument on: the first word behind them. */
static uint32_t
take_options(struct given *g, uint32_t w)
{
	for (; w != SP_CMDLINE_NONE; w = after(g->l, w)) {
		const char *s = word_text(g->l, w);

		if (strcmp(s, "--") == 0)
			return after(g->l, w);
		if ((s[0] != '-' && !(s[0] == '+' && g->r->run == RUN_SHELL)) || s[1] == '\0') {
			if (strcmp(s, "-") == 0 && g->r->run == RUN_OPTION)
				continue;	/* su - user */
			return w;
		}
		w = s[1] == '-' ? take_long(g, w, s + 2) : take_short(g, w);
	}
	return w;
}

static void
run_find(struct given *g, uint32_t w)
{
	static const char *const execs[] = { "-exec", "-execdir", "-ok", "-okdir" };

	for (; w != SP_CMDLINE_NONE; w = after(g->l, w))
		for (size_t k = 0; k < SP_NELEMS(execs); k++)
			if (strcmp(word_text(g->l, w), execs[k]) == 0) {
				uint32_t from = after(g->l, w), end = from;

				while (end != SP_CMDLINE_NONE && strcmp(word_text(g->l, end), ";") != 0 && strcmp(word_text(g->l, end), "+") != 0)
					end = after(g->l, end);
				run_args(g, from, end);
				w = from != SP_CMDLINE_NONE ? from : w;
				break;
			}
}

static void
run_values(struct given *g, uint32_t w)
{
	for (; w != SP_CMDLINE_NONE; w = after(g->l, w)) {
		const char *eq = strchr(word_text(g->l, w), '=');

		if (eq != NULL) {
			uint32_t at = (uint32_t)(eq + 1 - g->l->text);

			run_text(g, at, g->l->word[w].off + g->l->word[w].len - at, g->l->word[w].flags);
		}
	}
}

/* Who `su - NAME` and `runuser NAME` become: the word behind the options; with -c among its arguments. */
static void
run_option(struct given *g, uint32_t w)
{
	if (g->user_said && g->text == SP_CMDLINE_NONE) {	/* runuser -u NAME COMMAND */
		run_args(g, w, SP_CMDLINE_NONE);
		return;
	}
	if (g->r->user != NULL && w != SP_CMDLINE_NONE)
		take_user(g, w);
	w = g->text == SP_CMDLINE_NONE ? after(g->l, w) : SP_CMDLINE_NONE;
	if (w != SP_CMDLINE_NONE)
		(void)take_options(g, w);	/* su root -c TEXT */
	if (g->text != SP_CMDLINE_NONE)
		run_word(g, g->text);
}

static void
run_shell(struct given *g, uint32_t w)
{
	if (!g->c_flag)
		return;
	if (w != SP_CMDLINE_NONE)
		run_word(g, w);
}

static void
run(struct given *g, uint32_t w)
{
	uint32_t off, len;
	uint8_t flags;

	for (int k = 0; k < g->r->skip; k++) {
		w = after(g->l, w);
		if (w != SP_CMDLINE_NONE && strcmp(g->r->name, "flock") == 0 && strcmp(word_text(g->l, w), "-c") == 0) {
			if ((w = after(g->l, w)) != SP_CMDLINE_NONE)
				run_word(g, w);
			return;
		}
	}
	switch (g->r->run) {
	case RUN_ARGS:
		run_args(g, w, SP_CMDLINE_NONE);
		return;
	case RUN_SHELL:
		run_shell(g, w);
		return;
	case RUN_TEXT:
		if (w == SP_CMDLINE_NONE)
			return;
		off = join(g->l, w, &len, &flags);
		run_text(g, off, len, flags);
		return;
	case RUN_OPTION:
		run_option(g, w);
		return;
	case RUN_FIRST:
		if (w != SP_CMDLINE_NONE)
			run_word(g, w);
		return;
	case RUN_VALUES:
		run_values(g, w);
		return;
	case RUN_FIND:
		run_find(g, w);
		return;
	}
}

static const struct runner *
runner_of(const struct sp_cmdline *l, const struct sp_cmd *c)
{
	for (size_t k = 0; k < SP_NELEMS(runners); k++)
		if (strlen(runners[k].name) == c->name_len && memcmp(runners[k].name, l->text + c->name, c->name_len) == 0)
			return &runners[k];
	return NULL;
}

static uint32_t
name_word(const struct sp_cmdline *l, const struct sp_cmd *c)
{
	uint32_t w = c->first;

	while (w != SP_CMDLINE_NONE && l->word[w].kind != SP_CMDWORD_NAME)
		w = l->word[w].next;
	return w;
}

static void
look_inside(struct sp_cmdline *l, uint32_t cmd, uint32_t name)
{
	const struct sp_cmd *c = &l->cmd[cmd];
	struct given g = { .l = l, .cmd = cmd, .r = runner_of(l, c), .user = c->user, .user_len = c->user_len,
	    .text = SP_CMDLINE_NONE };
	uint32_t w;

	if (g.r == NULL)
		return;
	if (g.r->user != NULL && (g.user = cmdline_text(l, g.r->user, strlen(g.r->user))) != SP_CMDLINE_NONE)
		g.user_len = (uint32_t)strlen(g.r->user);
	w = next_arg(l, l->word[name].next);
	if (g.r->run != RUN_FIND && g.r->run != RUN_VALUES && strcmp(g.r->name, "-") != 0)
		w = take_options(&g, w);
	if (!g.shows)
		run(&g, w);
}

void
cmdline_finish(struct sp_cmdline *l, uint32_t cmd)
{
	uint32_t name = name_word(l, &l->cmd[cmd]), reader, off, len;
	uint8_t flags;

	off = join(l, l->cmd[cmd].first, &len, &flags);
	l->cmd[cmd].line = off;
	l->cmd[cmd].line_len = len;
	if (name == SP_CMDLINE_NONE)
		return;
	if ((l->word[name].flags & (SP_CMDWORD_UNKNOWN | SP_CMDWORD_PATTERN)) && strcmp(word_text(l, name), "[") != 0) {
		l->cmd[cmd].flags |= SP_CMD_UNKNOWN;
		return;
	}
	name_of(l, name, &off, &len);
	l->cmd[cmd].name = off;
	l->cmd[cmd].name_len = len;
	look_inside(l, cmd, name);
	if ((reader = cmdline_reader(l, cmd)) == SP_CMDLINE_NONE)
		return;
	for (uint32_t w = l->cmd[cmd].first; w != SP_CMDLINE_NONE; w = l->word[w].next)
		if (l->word[w].kind == SP_CMDWORD_HERE)
			cmdline_inner(l, word_text(l, w), l->word[w].len, l->cmd[reader].depth, (uint8_t)(l->cmd[reader].flags | SP_CMD_GIVEN),
			    l->cmd[reader].user, l->cmd[reader].user_len);
}

/* ---- shells that read their standard input */

/* No -c and no script: `bash`, `sh -s`, `bash -x`. */
static int
is_reader(const struct sp_cmdline *l, uint32_t cmd)
{
	const struct sp_cmd *c = &l->cmd[cmd];
	struct given g = { .l = (struct sp_cmdline *)(uintptr_t)l, .cmd = cmd, .r = runner_of(l, c), .text = SP_CMDLINE_NONE };
	uint32_t w = name_word(l, c);

	if (g.r == NULL || g.r->run != RUN_SHELL || w == SP_CMDLINE_NONE)
		return 0;
	for (uint32_t k = next_arg(l, l->word[w].next); k != SP_CMDLINE_NONE; k = after(l, k))
		if (strcmp(word_text(l, k), "-s") == 0)
			return 1;
	w = take_options(&g, next_arg(l, l->word[w].next));
	return !g.c_flag && (w == SP_CMDLINE_NONE || strcmp(word_text(l, w), "/dev/stdin") == 0);
}

uint32_t
cmdline_reader(const struct sp_cmdline *l, uint32_t cmd)
{
	if (cmd >= l->n)
		return SP_CMDLINE_NONE;
	for (uint32_t k = cmd; k < l->n; k++)
		if ((k == cmd || (l->cmd[k].depth > l->cmd[cmd].depth && (l->cmd[k].flags & SP_CMD_GIVEN))) &&
		    l->cmd[k].pipeline == l->cmd[cmd].pipeline && is_reader(l, k))
			return k;
	return SP_CMDLINE_NONE;
}

static int
name_is(const struct sp_cmdline *l, const struct sp_cmd *c, const char *s)
{
	return c->name_len == strlen(s) && memcmp(l->text + c->name, s, c->name_len) == 0;
}

/* The next shell behind that command in its pipeline that reads what it prints. */
static uint32_t
reader_behind(const struct sp_cmdline *l, uint32_t cmd, uint32_t n)
{
	for (uint32_t k = cmd + 1; k < n; k++)
		if (l->cmd[k].pipeline == l->cmd[cmd].pipeline && is_reader(l, k))
			return k;
	return SP_CMDLINE_NONE;
}

/* What echo and printf of a pipeline print is read as commands when a shell comes behind them. */
void
cmdline_pipeline(struct sp_cmdline *l, uint32_t from, uint32_t pipeline)
{
	uint32_t n = (uint32_t)l->n;

	for (uint32_t k = from; k < n; k++) {
		uint32_t w, off, len, reader;
		uint8_t flags;

		if (l->cmd[k].pipeline != pipeline || (!name_is(l, &l->cmd[k], "echo") && !name_is(l, &l->cmd[k], "printf")) ||
		    (reader = reader_behind(l, k, n)) == SP_CMDLINE_NONE || (w = name_word(l, &l->cmd[k])) == SP_CMDLINE_NONE ||
		    (w = next_arg(l, l->word[w].next)) == SP_CMDLINE_NONE)
			continue;
		if (word_text(l, w)[0] == '-' && after(l, w) != SP_CMDLINE_NONE)
			w = after(l, w);		/* echo -e */
		off = join(l, w, &len, &flags);
		cmdline_inner(l, l->text + off, len, l->cmd[reader].depth, (uint8_t)(l->cmd[reader].flags | SP_CMD_GIVEN),
		    l->cmd[reader].user, l->cmd[reader].user_len);
	}
}
