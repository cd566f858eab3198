/* src/courier/shorten.c - makes a JSON object fit a number of bytes and stay JSON. Pure.
 * First the members named "output", then the longest text that is left, and so on; each says how long it was. What is long by the
 * number of its members ("more", "diff") is left out as a whole. */
#include "courier/internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define DEEP	16	/* objects in each other */
#define ROUNDS	64
#define LEAST	64	/* bytes of a text that is worth cutting */

struct place {			/* of a text */
	json_t		*in;	/* borrowed; an object or an array */
	const char	*key;	/* of an object */
	size_t		 index;	/* of an array */
	size_t		 len;
};

static void
look(json_t *in, const char *key, size_t index, json_t *v, const char *only, struct place *best, unsigned depth)
{
	const char *k;
	json_t *m;
	void *tmp;
	size_t i;

	if (json_is_string(v) && json_string_length(v) > best->len && (only == NULL || (key != NULL && strcmp(key, only) == 0)))
		*best = (struct place){ in, key, index, json_string_length(v) };
	if (depth == DEEP)
		return;
	if (json_is_object(v)) {
		json_object_foreach_safe(v, tmp, k, m)
			look(v, k, 0, m, only, best, depth + 1);
	} else {
		json_array_foreach(v, i, m)
			look(v, NULL, i, m, only, best, depth + 1);
	}
}

/* Cut the text there by at least `excess` bytes if it has them; a character is never cut in two. Returns 0 if that gained nothing. */
static int
cut(const struct place *p, size_t excess)
{
	const json_t *v = p->key != NULL ? json_object_get(p->in, p->key) : json_array_get(p->in, p->index);
	const char *s = json_string_value(v);
	char mark[64];
	size_t n, mark_n;
	json_t *cut;

	sp_snprintf(mark, sizeof(mark), "...[shortened from %zu bytes]", p->len);
	mark_n = strlen(mark);
	if (p->len < LEAST || p->len <= mark_n + 4)
		return 0;
	n = p->len > excess + mark_n ? p->len - excess - mark_n : 0;
	while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	cut = json_sprintf("%.*s%s", (int)n, s, mark);
	if (cut == NULL)
		return 0;
	return p->key != NULL ? json_object_set_new(p->in, p->key, cut) == 0 : json_array_set_new(p->in, p->index, cut) == 0;
}

static int
leave_out(json_t *o, size_t bytes)
{
	if (json_array_size(json_object_get(o, "diff")) > 1) {
		json_object_set_new(o, "diff", json_pack("[{s:s, s:s, s:s}]", "field", "shortened", "before", "", "after",
		    "too many fields for a record of this size"));
		return 1;
	}
	if (json_object_size(json_object_get(o, "more")) > 1) {
		json_object_set_new(o, "more", json_pack("{s:I}", "left_out_bytes", (json_int_t)bytes));
		return 1;
	}
	return 0;
}

enum sp_err
copy_fit(json_t *o, size_t room, size_t json_flags, char **ret)
{
	for (int i = 0; i < ROUNDS; i++) {
		char *s = json_dumps(o, json_flags);
		size_t n = s != NULL ? strlen(s) : 0;
		struct place p = { .len = LEAST - 1 };

		if (s == NULL)
			return SP_ENOMEM;
		if (room == 0 || n <= room) {
			*ret = s;
			return SP_OK;
		}
		free(s);
		look(NULL, NULL, 0, o, "output", &p, 0);
		if (p.in != NULL && cut(&p, n - room))
			continue;
		p = (struct place){ .len = LEAST - 1 };
		look(NULL, NULL, 0, o, NULL, &p, 0);
		if (p.in != NULL && cut(&p, n - room))
			continue;
		if (!leave_out(o, n))
			break;
	}
	return SP_ESIZE;
}
