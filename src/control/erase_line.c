/* src/control/erase_line.c - the openings of one line of the audit log; see erase.h. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "common/entry.h"
#include "control/erase.h"

static const char *
member(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static int
same(const char *a, const char *b)
{
	return *a != '\0' && strcmp(a, b) == 0;
}

/* Of a person: what he did, and what was done to him. */
static int
is_meant(const json_t *leaf, const json_t *open, const json_t *what)
{
	const char *user = member(what, "user"), *login = member(what, "login"), *session = member(what, "session");
	const char *actor = json_string_value(json_array_get(json_object_get(open, "actor"), 1));
	json_int_t seq = json_integer_value(json_object_get(leaf, "seq"));
	size_t i;
	json_t *v;

	if (same(user, member(leaf, "user_id")) || same(user, member(leaf, "object_id")) || same(session, member(leaf, "session")) ||
	    (actor != NULL && same(login, actor)))
		return 1;
	json_array_foreach(json_object_get(what, "entries"), i, v)
		if (json_integer_value(v) == seq)
			return 1;
	return 0;
}

/* What says who erased, what and why outlives every later erasing, but for a name. */
static int
is_erasing(const json_t *leaf)
{
	return strcmp(member(leaf, "kind"), "evidence.erase") == 0 || strcmp(member(leaf, "kind"), "evidence.erased") == 0;
}

/* Nothing of it is in the line: most are passed over so. */
static int
is_far(const char *line, size_t n, const json_t *what)
{
	static const char *const keys[] = { "user", "login", "session" };

	if (json_object_get(what, "entries") != NULL)
		return 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		const char *s = member(what, keys[i]);

		if (*s != '\0' && memmem(line, n, s, strlen(s)) != NULL)
			return 0;
	}
	return 1;
}

/* A value in somebody else's entry that is the login, or holds it as a value or key of its own; or that has a row of the person's, as the
 * pages of an import do. Where his id is a value only (a grant to him), it says nothing of him without the database. */
static int
names_person(const json_t *value, const char *login, const char *id)
{
	const char *key;
	json_t *v;
	size_t i;

	if (json_is_string(value))
		return same(login, json_string_value(value));
	json_array_foreach((json_t *)(uintptr_t)value, i, v)
		if (names_person(v, login, id))
			return 1;
	json_object_foreach((json_t *)(uintptr_t)value, key, v)
		if (same(login, key) || ((strcmp(key, "id") == 0 || strcmp(key, "user_id") == 0) && json_is_string(v) &&
		    same(id, json_string_value(v))) || names_person(v, login, id))
			return 1;
	return 0;
}

enum sp_err
erase_line(char *line, size_t n, const json_t *what, unsigned *ret_n)
{
	struct sp_view leaf_text, open_text;
	json_t *leaf, *open, *v;
	enum sp_err r = SP_OK;
	unsigned gone = 0;
	const char *key;
	void *tmp;
	char *text;
	size_t len;

	entry_split((struct sp_view){ (const uint8_t *)line, n }, &leaf_text, &open_text);
	if (open_text.len == 0 || is_far(line, n, what))
		return SP_OK;
	leaf = json_loadb((const char *)leaf_text.p, leaf_text.len, 0, NULL);
	open = json_loadb((const char *)open_text.p, open_text.len, 0, NULL);
	if (!json_is_object(leaf) || !json_is_object(open))
		r = SP_EFORMAT;
	else {
		int all = is_meant(leaf, open, what) && !is_erasing(leaf);

		json_object_foreach_safe(open, tmp, key, v)
			if (json_string_length(json_array_get(v, 0)) > 0 &&	/* without a salt it is nobody's */
			    (all || names_person(json_array_get(v, 1), member(what, "login"), member(what, "user")))) {
				json_object_del(open, key);
				gone++;
			}
		text = gone > 0 ? json_dumps(open, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
		len = text != NULL ? strlen(text) : 0;
		if (gone > 0 && (len == 0 || len > open_text.len))
			r = SP_ENOMEM;		/* it only became shorter */
		else if (gone > 0) {
			memcpy(line + (n - open_text.len), text, len);
			memset(line + (n - open_text.len) + len, ' ', open_text.len - len);
			*ret_n += gone;
		}
		free(text);
	}
	json_decref(leaf);
	json_decref(open);
	return r;
}
