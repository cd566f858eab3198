/* lib/policy/command.c - see command.h. One pass over the bytes; what is not named here is refused. */
#include "policy/command.h"

#include <string.h>

#include "base/str.h"

#define SCP_PATH_MAX	8192

/* One byte of a path, by where it stands. Bytes of UTF-8 beyond ASCII are as good as letters. */
static int
is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static int
is_one_of(unsigned char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static int
may_stand_bare(unsigned char c)
{
	return is_letter(c) || is_one_of(c, "_-./:,+@=~*?[]");
}

static int
may_stand_quoted(unsigned char c)
{
	return may_stand_bare(c) || is_one_of(c, " #(){}'\"");
}

static int
may_be_escaped(unsigned char c)
{
	return is_one_of(c, " #(){}[]*?'\",:=~");
}

/* The whole rest is one word that no shell takes for anything else. */
static int
is_path(const char *s, size_t n)
{
	char quote = '\0';

	if (n == 0 || n > SCP_PATH_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (quote != '\0') {
			if (c == (unsigned char)quote)
				quote = '\0';
			else if (!may_stand_quoted(c))
				return 0;
		} else if (c == '\'' || c == '"') {
			quote = (char)c;
		} else if (c == '\\') {
			if (++i == n || !may_be_escaped((unsigned char)s[i]))
				return 0;
		} else if (!may_stand_bare(c)) {
			return 0;
		}
	}
	return quote == '\0';
}

/* The word up to the next blank; s and n move behind that blank. 0: no blank follows. */
static int
next_word(const char **s, size_t *n, const char **word, size_t *len)
{
	const char *blank = memchr(*s, ' ', *n);

	if (blank == NULL)
		return 0;
	*word = *s;
	*len = (size_t)(blank - *s);
	*n -= *len + 1;
	*s = blank + 1;
	return 1;
}

int
sp_policy_command_is_scp(const char *s, size_t n)
{
	const char *word;
	size_t len;
	int halves = 0;		/* how many of -t and -f */

	if (!sp_text_is_plain(s, n) || !next_word(&s, &n, &word, &len) || len != 3 || memcmp(word, "scp", 3) != 0)
		return 0;
	while (n > 1 && s[0] == '-') {
		if (!next_word(&s, &n, &word, &len))
			return 0;		/* a path that begins with '-' comes behind "--" */
		if (len == 2 && word[1] == '-')
			break;
		for (size_t i = 1; i < len; i++) {
			if (!is_one_of((unsigned char)word[i], "dfpqrtv"))
				return 0;
			halves += word[i] == 't' || word[i] == 'f';
		}
		if (len < 2)
			return 0;
	}
	return halves == 1 && is_path(s, n);
}
