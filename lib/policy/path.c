/* lib/policy/path.c - see path.h for syntax and rules. Pure: no I/O, no allocation. Both kinds of stars are followed by going back
 * to the last one only, so the work is at most the length of the pattern times that of the path. */
#include "policy/path.h"

#include <string.h>

#include "base/str.h"
#include "policy/access.h"

#define RULE_MAX	1024		/* bytes of a line */

struct rule {
	int		 deny;
	uint32_t	 ways;
	struct sp_path	 pattern;
};
static const struct { const char *word; uint32_t bits; } ways[] = {
	{ "read", SP_POLICY_FILE_DOWN }, { "write", SP_POLICY_FILE_UP }, { "both", SP_POLICY_FILE_BOTH }
}, directions[] = {
	{ "down", SP_POLICY_FILE_DOWN }, { "up", SP_POLICY_FILE_UP }, { "both", SP_POLICY_FILE_BOTH }, { "none", 0 }
};

/* ---- names ---- */

static int
is_word(struct sp_path v, const char *word)
{
	return v.n == strlen(word) && memcmp(v.p, word, v.n) == 0;
}

/* The first name of a path that begins with a slash, and *v moved behind it. 0: there is none. */
static int
next_name(struct sp_path *v, struct sp_path *ret)
{
	const char *slash;

	if (v->n <= 1)
		return 0;
	slash = memchr(v->p + 1, '/', v->n - 1);
	ret->p = v->p + 1;
	ret->n = slash != NULL ? (size_t)(slash - ret->p) : v->n - 1;
	v->p += ret->n + 1;
	v->n -= ret->n + 1;
	return 1;
}

static size_t
char_len(const char *p, size_t n)
{
	size_t len = 1;

	while (len < n && len < 4 && ((unsigned char)p[len] & 0xc0) == 0x80)
		len++;
	return len;
}

static int
same(char a, char b, int fold)
{
	if (fold && a >= 'A' && a <= 'Z')
		a = (char)(a - 'A' + 'a');
	if (fold && b >= 'A' && b <= 'Z')
		b = (char)(b - 'A' + 'a');
	return a == b;
}

static int
name_fits(struct sp_path pat, struct sp_path name, int fold)
{
	size_t i = 0, k = 0, star = SIZE_MAX, mark = 0;

	while (k < name.n) {
		if (i < pat.n && pat.p[i] == '*') {
			star = i++;
			mark = k;
		} else if (i < pat.n && pat.p[i] == '?') {
			i++;
			k += char_len(name.p + k, name.n - k);
		} else if (i < pat.n && same(pat.p[pat.p[i] == '\\' && i + 1 < pat.n ? i + 1 : i], name.p[k], fold)) {
			i += pat.p[i] == '\\' && i + 1 < pat.n ? 2 : 1;
			k++;
		} else if (star != SIZE_MAX) {
			i = star + 1;
			k = ++mark;
		} else
			return 0;
	}
	while (i < pat.n && pat.p[i] == '*')
		i++;
	return i == pat.n;
}

static int
fits(struct sp_path pat, struct sp_path path, int fold)
{
	struct sp_path star = { NULL, 0 }, mark = { NULL, 0 }, p, name, at;

	for (;;) {
		int more;

		at = pat;
		more = next_name(&at, &p);
		if (more && is_word(p, "**")) {
			star = pat = at;
			mark = path;
			continue;
		}
		if (path.n <= 1) {
			if (!more)
				return 1;
			return 0;
		}
		if (more) {
			struct sp_path rest = path;

			if (next_name(&rest, &name) && name_fits(p, name, fold)) {
				pat = at;
				path = rest;
				continue;
			}
		}
		if (star.p == NULL || !next_name(&mark, &name))
			return 0;
		pat = star;
		path = mark;
	}
}

static int
ends_in_all(struct sp_path pat)
{
	return pat.n >= 3 && memcmp(pat.p + pat.n - 3, "/**", 3) == 0;
}

/* Something at or below the path may fit. */
static int
reaches(struct sp_path pat, struct sp_path path, int fold)
{
	struct sp_path p, name;

	while (next_name(&path, &name))
		if (!next_name(&pat, &p))
			return 0;
		else if (is_word(p, "**"))
			return 1;
		else if (!name_fits(p, name, fold))
			return 0;
	return 1;
}

/* ---- rules ---- */

static int
next_line(const char **s, struct sp_path *ret)
{
	if (**s == '\0')
		return 0;
	ret->p = *s;
	ret->n = strcspn(*s, "\n");
	*s += ret->n + ((*s)[ret->n] == '\n');
	return 1;
}

static int
pattern_is_good(struct sp_path pat)
{
	struct sp_path name;

	if (pat.n == 0 || pat.p[0] != '/' || !sp_text_is_plain(pat.p, pat.n))
		return 0;
	if (pat.n > 1 && pat.p[pat.n - 1] == '/')
		return 0;
	while (next_name(&pat, &name)) {
		if (name.n == 0 || is_word(name, ".") || is_word(name, "..") || name.p[name.n - 1] == '\\')
			return 0;
		if (name.n > 2 && memmem(name.p, name.n, "**", 2) != NULL)
			return 0;
	}
	return 1;
}

static int
rule_read(struct sp_path line, struct rule *ret)
{
	const char *a = memchr(line.p, ':', line.n), *b = a != NULL ? memchr(a + 1, ':', line.n - (size_t)(a + 1 - line.p)) : NULL;
	struct sp_path effect, way;
	struct rule r = { 0 };

	if (b == NULL || line.n > RULE_MAX)
		return 0;
	effect = (struct sp_path){ line.p, (size_t)(a - line.p) };
	way = (struct sp_path){ a + 1, (size_t)(b - a - 1) };
	r.deny = is_word(effect, "deny");
	for (size_t i = 0; i < SP_NELEMS(ways); i++)
		if (is_word(way, ways[i].word))
			r.ways = ways[i].bits;
	r.pattern = (struct sp_path){ b + 1, line.n - (size_t)(b + 1 - line.p) };
	if ((!r.deny && !is_word(effect, "allow")) || r.ways == 0 || !pattern_is_good(r.pattern))
		return 0;
	*ret = r;
	return 1;
}

enum sp_err
sp_policy_paths_check(const char *rules)
{
	struct sp_path line;
	struct rule r;
	int allows = *rules == '\0';

	while (next_line(&rules, &line)) {
		if (!rule_read(line, &r))
			return SP_EINVAL;
		allows |= !r.deny;
	}
	return allows ? SP_OK : SP_EINVAL;
}

/* ---- judging ---- */

static int
has_drive(struct sp_path v)
{
	return v.n >= 3 && v.p[2] == ':' && ((v.p[1] >= 'a' && v.p[1] <= 'z') || (v.p[1] >= 'A' && v.p[1] <= 'Z')) && (v.n == 3 || v.p[3] == '/');
}

/* Is it one that rule (3) lets be judged? */
static int
path_is_plain(struct sp_path v)
{
	int drive = has_drive(v), first = 1;
	struct sp_path name;

	if (v.n == 0 || v.p[0] != '/' || memchr(v.p, '\0', v.n) != NULL || (v.n > 1 && v.p[v.n - 1] == '/'))
		return 0;
	for (; next_name(&v, &name); first = 0) {
		if (name.n == 0 || is_word(name, ".") || is_word(name, ".."))
			return 0;
		if (drive && !first && (memchr(name.p, ':', name.n) != NULL || memchr(name.p, '~', name.n) != NULL ||
		    memchr(name.p, '\\', name.n) != NULL || name.p[name.n - 1] == '.' || name.p[name.n - 1] == ' '))
			return 0;
	}
	return 1;
}

enum question { AT, BELOW, PERHAPS };

/* What this rule says about one way: 1 open, 0 closed, -1 nothing. */
static int
rule_says(const struct rule *r, struct sp_path path, int fold, enum question ask)
{
	int all = ends_in_all(r->pattern) && fits(r->pattern, path, fold);

	switch (ask) {
	case AT:
		return fits(r->pattern, path, fold) ? !r->deny : -1;
	case BELOW:
		return r->deny ? (reaches(r->pattern, path, fold) ? 0 : -1) : all ? 1 : -1;
	default:
		return r->deny ? (all ? 0 : -1) : reaches(r->pattern, path, fold) ? 1 : -1;
	}
}

static uint32_t
judge(const char *blocks, struct sp_path path, enum question ask)
{
	uint32_t open = 0, left = 0;		/* left: ways of this block that no rule has decided */
	int fold = has_drive(path), is_direction;
	struct sp_path line;
	struct rule r;

	if (!path_is_plain(path))
		return 0;
	while (next_line(&blocks, &line)) {
		is_direction = 0;
		for (size_t i = 0; i < SP_NELEMS(directions); i++)
			if (is_word(line, directions[i].word)) {
				left = directions[i].bits;
				is_direction = 1;
			}
		if (is_direction)
			continue;
		if (!rule_read(line, &r)) {
			left = 0;
			continue;
		}
		for (uint32_t bit = 1; bit <= SP_POLICY_FILE_DOWN; bit <<= 1) {
			int says = left & r.ways & bit ? rule_says(&r, path, fold, ask) : -1;

			if (says >= 0)
				left &= ~bit;
			if (says == 1)
				open |= bit;
		}
	}
	return open;
}

uint32_t
sp_policy_paths_at(const char *blocks, struct sp_path path)
{
	return judge(blocks, path, AT);
}

uint32_t
sp_policy_paths_below(const char *blocks, struct sp_path path)
{
	return judge(blocks, path, BELOW);
}

uint32_t
sp_policy_paths_perhaps(const char *blocks, struct sp_path path)
{
	return judge(blocks, path, PERHAPS);
}
