/* src/shell/words.c - see words.h. */
#include "shell/words.h"

#include <string.h>

#include "base/str.h"

#define BARE	"|&;<>()$`*?[]{}!"	/* outside of quotes */
#define FIRST	"#~"			/* at the start of a word */
#define BARE_WHY "|, &, ;, <, >, $, * and the like do nothing here: put them in quotes, and those in quotes for your own shell"

struct split {
	const char	*in, *end;
	char		*out;
	const char	*why;
};

/* 'verbatim': s->in is behind the first quote; afterwards behind the second. */
static enum sp_err
split_single(struct split *s)
{
	while (s->in < s->end && *s->in != '\'')
		*s->out++ = *s->in++;
	if (s->in == s->end) {
		s->why = "a single quote is never closed";
		return SP_EFORMAT;
	}
	s->in++;
	return SP_OK;
}

static enum sp_err
split_double(struct split *s)
{
	while (s->in < s->end && *s->in != '"') {
		if (*s->in == '$' || *s->in == '`') {
			s->why = "$ and ` do nothing here: use single quotes";
			return SP_EFORMAT;
		}
		if (*s->in == '\\' && s->in + 1 < s->end && strchr("\"\\$`", s->in[1]) != NULL)
			s->in++;
		*s->out++ = *s->in++;
	}
	if (s->in == s->end) {
		s->why = "a double quote is never closed";
		return SP_EFORMAT;
	}
	s->in++;
	return SP_OK;
}

static enum sp_err
split_piece(struct split *s, int is_first)
{
	char c = *s->in++;

	if (c == '\'')
		return split_single(s);
	if (c == '"')
		return split_double(s);
	if (c == '\\') {
		if (s->in == s->end) {
			s->why = "a backslash stands at the end";
			return SP_EFORMAT;
		}
		c = *s->in++;
	} else if (strchr(BARE, c) != NULL || (is_first && strchr(FIRST, c) != NULL)) {
		s->why = BARE_WHY;
		return SP_EFORMAT;
	}
	*s->out++ = c;
	return SP_OK;
}

static enum sp_err
split_check(const char *line, size_t n, const char **why)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 ? line[i] != '\t' : line[i] == 0x7f) {
			*why = "the command has a line break or another control character";
			return SP_EFORMAT;
		}
	if (!sp_utf8_valid(line, n)) {
		*why = "the command is not UTF-8 text";
		return SP_EFORMAT;
	}
	return SP_OK;
}

enum sp_err
shell_words(char *line, size_t n, char **argv, int *ret_argc, const char **why)
{
	struct split s = { .in = line, .end = line + n, .out = line };
	int argc = 0;
	enum sp_err r = split_check(line, n, why);

	while (r == SP_OK) {
		char *word;

		while (s.in < s.end && (*s.in == ' ' || *s.in == '\t'))
			s.in++;
		if (s.in == s.end)
			break;
		if (argc == SHELL_WORDS_N) {
			*why = "the command has too many words";
			return SP_ESIZE;
		}
		word = s.out;
		for (int first = 1; r == SP_OK && s.in < s.end && *s.in != ' ' && *s.in != '\t'; first = 0)
			r = split_piece(&s, first);
		/* What was read is at least one byte longer than what was written, but for the last word of a bare line. */
		if (s.in < s.end)
			s.in++;
		*s.out++ = '\0';
		argv[argc++] = word;
	}
	if (r != SP_OK) {
		*why = s.why != NULL ? s.why : *why;
		return r;
	}
	argv[argc] = NULL;
	*ret_argc = argc;
	return SP_OK;
}
