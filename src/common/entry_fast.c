/* src/common/entry_fast.c - entry_fast(): a line in exactly the form that we write it, checked in place, without building values.
 *
 * A log has millions of lines, and all but a few are plain: ASCII or UTF-8 without unusual escapes, whole numbers, commitments that are
 * opened once. Of such a line this says "checked"; of anything else "not known", and the caller looks at it with jansson, which decides.
 * So nothing depends on what is refused here, only on what is let through:
 * Invariant: what entry_fast() lets through is canonical (a JSON library writes the same bytes again) and passes entry_check(). */
#include "common/entry.h"

#include <sodium.h>
#include <string.h>

#include "base/str.h"
#include "crypto/hash.h"

#define REPLACED_MAX		64	/* commitments in one leaf */
#define PATHS		4096	/* bytes of their paths */
#define DEEPEST		24	/* objects and arrays in each other */
#define DIGITS		18	/* of a number: fits an int64_t */
#define SALT_TEXT	24	/* ENTRY_SALT bytes in base64 */

struct replaced {
	const char	*path;
	size_t		 len;
	const uint8_t	*hex;		/* 64 digits in the leaf */
	int		 used;
};
struct scan {
	const uint8_t	*p, *end;
	char		 path[ENTRY_PATH_MAX];
	size_t		 path_len;
	struct replaced	 replaced[REPLACED_MAX];
	size_t		 n;
	char		 paths[PATHS];
	size_t		 paths_len;
	int64_t		 seq;		/* of the outermost object; -1: none */
};

static int scan_value(struct scan *s, int depth);

static int
take(struct scan *s, char c)
{
	if (s->p == s->end || *s->p != (uint8_t)c)
		return 0;
	s->p++;
	return 1;
}

/* A string; *ret is what stands between its quotes. */
static int
scan_string(struct scan *s, struct sp_view *ret, int *ret_escaped)
{
	const uint8_t *from;
	int wide = 0, escaped = 0;

	if (!take(s, '"'))
		return 0;
	for (from = s->p; s->p < s->end && *s->p != '"'; s->p++) {
		if (*s->p < 0x20)
			return 0;
		wide |= *s->p & 0x80;
		if (*s->p == '\\') {
			escaped = 1;
			if (++s->p == s->end || *s->p == '\0' || strchr("\"\\bfnrt", *s->p) == NULL)
				return 0;
		}
	}
	*ret = (struct sp_view){ from, (size_t)(s->p - from) };
	*ret_escaped = escaped;
	return take(s, '"') && (!wide || sp_utf8_valid(from, ret->len));
}

static int
scan_number(struct scan *s, int64_t *ret)
{
	int minus = take(s, '-');
	const uint8_t *from = s->p;
	int64_t v = 0;

	for (; s->p < s->end && *s->p >= '0' && *s->p <= '9' && s->p - from < DIGITS; s->p++)
		v = v * 10 + (*s->p - '0');
	if (s->p == from || (s->p < s->end && *s->p >= '0' && *s->p <= '9') || (*from == '0' && (minus || s->p - from > 1)) ||
	    (s->p < s->end && (*s->p == '.' || *s->p == 'e' || *s->p == 'E')))
		return 0;
	*ret = minus ? -v : v;
	return 1;
}

static int
scan_word(struct scan *s, const char *word)
{
	size_t n = strlen(word);

	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return 0;
	s->p += n;
	return 1;
}

static int
scan_array(struct scan *s, int depth)
{
	if (!take(s, '['))
		return 0;
	if (take(s, ']'))
		return 1;
	do {
		if (!scan_value(s, depth + 1))
			return 0;
	} while (take(s, ','));
	return take(s, ']');
}

/* A key, which comes after the one before. */
static int
scan_key(struct scan *s, struct sp_view *last, struct sp_view *ret)
{
	int escaped, order;

	if (!scan_string(s, ret, &escaped) || escaped || !take(s, ':'))
		return 0;
	if (last->p != NULL) {
		order = memcmp(last->p, ret->p, last->len < ret->len ? last->len : ret->len);
		if (order > 0 || (order == 0 && last->len >= ret->len))
			return 0;
	}
	*last = *ret;
	return 1;
}

/* An object in which nothing is looked for. */
static int
scan_object(struct scan *s, int depth)
{
	struct sp_view last = { NULL, 0 }, key;

	if (!take(s, '{'))
		return 0;
	if (take(s, '}'))
		return 1;
	do {
		if (!scan_key(s, &last, &key) || !scan_value(s, depth + 1))
			return 0;
	} while (take(s, ','));
	return take(s, '}');
}

static int
scan_value(struct scan *s, int depth)
{
	struct sp_view text;
	int64_t number;
	int escaped;

	if (s->p == s->end || depth > DEEPEST)
		return 0;
	switch (*s->p) {
	case '"':
		return scan_string(s, &text, &escaped);
	case '{':
		return scan_object(s, depth);
	case '[':
		return scan_array(s, depth);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		return scan_number(s, &number);
	}
}

/* ---- the leaf ---- */

/* Go on below a member. 0: its path is none that an opening can have. */
static int
path_down(struct scan *s, struct sp_view key)
{
	size_t slash = s->path_len > 0;

	if (memchr(key.p, '/', key.len) != NULL || s->path_len + slash + key.len >= sizeof(s->path))
		return 0;
	if (slash)
		s->path[s->path_len] = '/';
	memcpy(s->path + s->path_len + slash, key.p, key.len);
	s->path_len += slash + key.len;
	return 1;
}

static int
replaced_add(struct scan *s, struct sp_view hex)
{
	if (s->n == REPLACED_MAX || s->paths_len + s->path_len > sizeof(s->paths) || hex.len != (size_t)2 * SP_SHA256_LEN)
		return 0;
	memcpy(s->paths + s->paths_len, s->path, s->path_len);
	s->replaced[s->n++] = (struct replaced){ .path = s->paths + s->paths_len, .len = s->path_len, .hex = hex.p };
	s->paths_len += s->path_len;
	return 1;
}

/* An object at s->path: a commitment, or members that may be some. */
static int
scan_leaf(struct scan *s, int depth)
{
	struct sp_view last = { NULL, 0 }, key, hex = { NULL, 0 };
	int inside = 0, shortened = 0, escaped;
	int64_t number;

	if (depth > ENTRY_DEEP || !take(s, '{'))
		return 0;
	if (take(s, '}'))
		return 1;
	do {
		size_t up = s->path_len;

		if (!scan_key(s, &last, &key) || s->p == s->end)
			return 0;
		if (*s->p == '{') {
			inside = 1;
			if (key.len == 0 || !path_down(s, key) || !scan_leaf(s, depth + 1))
				return 0;
			s->path_len = up;
		} else if (sp_view_equal_str(key, "commitment") && *s->p == '"') {
			if (!scan_string(s, &hex, &escaped) || escaped)
				return 0;
		} else if (depth == 0 && sp_view_equal_str(key, "seq")) {
			if (!scan_number(s, &number))
				return 0;
			s->seq = number;
		} else {
			shortened |= sp_view_equal_str(key, "prefix");
			if (!scan_value(s, depth))
				return 0;
		}
	} while (take(s, ','));
	if (!take(s, '}') || shortened || (hex.p != NULL && (inside || depth == 0)))
		return 0;	/* rare forms: for jansson */
	return hex.p == NULL || replaced_add(s, hex);
}

/* ---- the openings ---- */

static struct replaced *
replaced_find(struct scan *s, struct sp_view path)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->replaced[i].len == path.len && memcmp(s->replaced[i].path, path.p, path.len) == 0 && !s->replaced[i].used)
			return &s->replaced[i];
	return NULL;
}

static int
is_personal_path(struct sp_view path)
{
	char key[ENTRY_PATH_MAX];
	const uint8_t *slash = memrchr(path.p, '/', path.len);
	size_t skip = slash != NULL ? (size_t)(slash - path.p) + 1 : 0;

	if (path.len - skip >= sizeof(key))
		return 0;
	memcpy(key, path.p + skip, path.len - skip);
	key[path.len - skip] = '\0';
	return entry_is_personal(key);
}

static int
opening_check(struct scan *s, struct sp_view path)
{
	static const uint8_t zero = 0;
	struct replaced *b = replaced_find(s, path);
	struct sp_view salt64, value;
	uint8_t salt[ENTRY_SALT], mac[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1];
	size_t n;
	int escaped;

	if (b == NULL || !take(s, '[') || !scan_string(s, &salt64, &escaped) || salt64.len != SALT_TEXT || !take(s, ',') ||
	    sodium_base642bin(salt, sizeof(salt), (const char *)salt64.p, salt64.len, NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    n != sizeof(salt))
		return 0;
	value.p = s->p;
	if (!scan_value(s, 0))
		return 0;
	value.len = (size_t)(s->p - value.p);
	if (*value.p == '{' && !is_personal_path(path))
		return 0;
	sp_hmac_sha256_parts((struct sp_view){ salt, sizeof(salt) }, (struct sp_view[]){ path, { &zero, 1 }, value }, 3, mac);
	sp_hex(mac, sizeof(mac), hex);
	b->used = 1;
	return memcmp(hex, b->hex, sizeof(mac) * 2) == 0 && take(s, ']');
}

static int
scan_openings(struct scan *s, size_t *ret_n)
{
	struct sp_view last = { NULL, 0 }, path;

	if (!take(s, '{'))
		return 0;
	if (take(s, '}'))
		return s->p == s->end;
	do {
		if (!scan_key(s, &last, &path) || !opening_check(s, path))
			return 0;
		(*ret_n)++;
	} while (take(s, ','));
	return take(s, '}') && s->p == s->end;
}

int
entry_fast(struct sp_view line, uint64_t seq, unsigned *ret_erased)
{
	struct sp_view leaf, open;
	struct scan s;
	size_t used = 0;

	entry_split(line, &leaf, &open);
	if (leaf.len == 0 || leaf.len > ENTRY_LEAF_MAX || line.len > ENTRY_LINE_MAX)
		return 0;
	s.p = leaf.p;
	s.end = leaf.p + leaf.len;
	s.path_len = s.n = s.paths_len = 0;
	s.seq = -1;
	if (!scan_leaf(&s, 0) || s.p != s.end || s.seq < 0 || (uint64_t)s.seq != seq)
		return 0;
	s.p = open.p;
	s.end = open.p + open.len;
	if (open.len > 0 && !scan_openings(&s, &used))
		return 0;
	if (ret_erased != NULL)
		*ret_erased = (unsigned)(s.n - used);
	return 1;
}
