/* src/common/entry.c - see entry.h. */
#include "common/entry.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "crypto/hash.h"

#define SEQ_ROOM	32	/* bytes that the member "seq" takes */
#define LONG_BYTES	4096	/* from here on a commitment says how long the value is */
#define PREFIX_CHARS	256
#define CANON		(JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY)

/* Members that name a person, are a person's words, or may hold either. By name, at any depth. */
static const char *const personal[] = {
	"actor", "source", "text", "actor_login", "login", "user", "user_login", "full_name", "email", "name", "by", "from", "person",
	"reason", "purpose", "ticket", "command", "input", "line", "path", "target", "names", "who", "before", "after", "changes",
	"remark", "description", "key", "fingerprint", "arg", "args", "env", "value", "old", "new", "message", "host", "refused",
	"report", "keys", "what", "principals", "label", "detail", "title", "subject", "query", "file", "from_path", "to_path", "settings",
};

int
entry_is_personal(const char *key)
{
	for (size_t i = 0; i < SP_NELEMS(personal); i++)
		if (strcmp(personal[i], key) == 0)
			return 1;
	return 0;
}

static int
is_replaced(const json_t *v)
{
	return json_is_object(v) && (json_is_string(json_object_get(v, "commitment")) ||
	    (json_is_string(json_object_get(v, "sha256")) && json_is_string(json_object_get(v, "prefix"))));
}

/* HMAC over the path, a zero byte and the value, under salt; with an empty salt the hash of the value. */
static void
commit(struct sp_view salt, const char *path, const char *value, uint8_t ret[SP_SHA256_LEN])
{
	if (salt.len == 0)
		sp_sha256(value, strlen(value), ret);
	else
		sp_hmac_sha256_parts(salt, (struct sp_view[]){ { (const uint8_t *)path, strlen(path) + 1 },
		    { (const uint8_t *)value, strlen(value) } }, 2, ret);
}

static enum sp_err
open_put(json_t *open, const char *path, struct sp_view salt, json_t *value)
{
	sp_auto(sp_buf_release) struct sp_buf b64 = { .max = 64 };
	enum sp_err r = salt.len > 0 ? sp_base64(&b64, salt.p, salt.len) : SP_OK;

	if (r != SP_OK)
		return r;
	return json_object_set_new(open, path, json_pack("[s, O]", sp_buf_cstr(&b64), value)) == 0 ? SP_OK : SP_ENOMEM;
}

/* What stands in the leaf for a value of a person. */
static json_t *
seal_personal(const char *path, json_t *value, json_t *open)
{
	uint8_t salt[ENTRY_SALT], mac[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1];
	char *text = json_dumps(value, CANON);
	struct sp_view s = { salt, sizeof(salt) };
	json_t *o = NULL;

	randombytes_buf(salt, sizeof(salt));
	if (text != NULL && open_put(open, path, s, value) == SP_OK) {
		commit(s, path, text, mac);
		sp_hex(mac, sizeof(mac), hex);
		o = json_pack("{s:s}", "commitment", hex);
		if (o != NULL && strlen(text) >= LONG_BYTES)
			json_object_set_new(o, "bytes", json_integer((json_int_t)strlen(text)));
	}
	free(text);
	return o;
}

static int
path_join(char *dst, size_t size, const char *path, const char *key)
{
	return strchr(key, '/') == NULL && sp_snprintf(dst, size, "%s%s%s", path, *path ? "/" : "", key) == 0;
}

static json_t *
seal_object(const json_t *o, const char *path, int depth, json_t *open)
{
	json_t *ret = json_object(), *v;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		char sub[ENTRY_PATH_MAX];
		json_t *put;

		if (!path_join(sub, sizeof(sub), path, key) || json_is_null(v))
			put = json_incref(v);
		else if (entry_is_personal(key))
			put = seal_personal(sub, v, open);
		else
			put = json_is_object(v) && depth < ENTRY_DEEP ? seal_object(v, sub, depth + 1, open) : json_incref(v);
		if (put == NULL || ret == NULL || json_object_set_new(ret, key, put) != 0) {
			json_decref(ret);
			return NULL;
		}
	}
	return ret;
}

/* ---- too long for a leaf ---- */

struct largest {
	json_t	*in;			/* borrowed */
	char	 key[ENTRY_PATH_MAX], path[ENTRY_PATH_MAX];
	size_t	 bytes;
};

static void
find_largest(json_t *o, const char *path, int depth, struct largest *ret)
{
	const char *key;
	json_t *v;

	json_object_foreach(o, key, v) {
		char sub[ENTRY_PATH_MAX];
		size_t n;

		if (!path_join(sub, sizeof(sub), path, key))
			continue;
		if (is_replaced(v))
			continue;
		if (json_is_object(v) && depth < ENTRY_DEEP && json_object_size(v) > 0) {
			find_largest(v, sub, depth + 1, ret);
			continue;
		}
		if ((n = json_dumpb(v, NULL, 0, CANON)) > ret->bytes) {
			*ret = (struct largest){ .in = o, .bytes = n };
			(void)sp_strlcpy(ret->key, key, sizeof(ret->key));
			(void)sp_strlcpy(ret->path, sub, sizeof(ret->path));
		}
	}
}

static enum sp_err
shorten(json_t *o, json_t *open)
{
	struct largest l = { .bytes = 512 };
	char prefix[PREFIX_CHARS + 8], hex[2 * SP_SHA256_LEN + 1];
	uint8_t sum[SP_SHA256_LEN];
	json_t *v, *prefixed;
	enum sp_err r = SP_OK;
	char *text;

	find_largest(o, "", 0, &l);
	if (l.in == NULL)	/* many small ones: all of them at once */
		l = (struct largest){ .in = o, .key = "more", .path = "more" };
	if ((v = json_incref(json_object_get(l.in, l.key))) == NULL || is_replaced(v)) {
		json_decref(v);
		return SP_ESIZE;
	}
	if ((text = json_dumps(v, CANON)) == NULL) {
		json_decref(v);
		return SP_ENOMEM;
	}
	sp_escape(text, strlen(text), prefix, sizeof(prefix));
	sp_sha256(text, strlen(text), sum);
	sp_hex(sum, sizeof(sum), hex);
	prefixed = json_pack("{s:I, s:s, s:s}", "bytes", (json_int_t)strlen(text), "prefix", prefix, "sha256", hex);
	free(text);
	/* `more` as a whole is opened as it is: what was opened inside it stays opened there, below its own path. */
	if (prefixed == NULL || open_put(open, l.path, (struct sp_view){ NULL, 0 }, v) != SP_OK ||
	    json_object_set(l.in, l.key, prefixed) != 0)
		r = SP_ENOMEM;
	json_decref(prefixed);
	json_decref(v);
	return r;
}

enum sp_err
entry_seal(const json_t *o, json_t **ret, json_t **ret_open)
{
	json_t *open = json_object(), *leaf = open != NULL ? seal_object(o, "", 0, open) : NULL;
	enum sp_err r = leaf != NULL ? SP_OK : SP_ENOMEM;

	while (r == SP_OK && json_dumpb(leaf, NULL, 0, CANON) + SEQ_ROOM > ENTRY_LEAF_MAX)
		r = shorten(leaf, open);
	if (r != SP_OK) {
		json_decref(leaf);
		json_decref(open);
		return r;
	}
	*ret = leaf;
	*ret_open = open;
	return SP_OK;
}

/* ---- reading ---- */

void
entry_split(struct sp_view line, struct sp_view *ret_leaf, struct sp_view *ret_open)
{
	const uint8_t *tab = line.len > 0 ? memchr(line.p, '\t', line.len) : NULL;

	*ret_leaf = line;
	*ret_open = (struct sp_view){ line.p, 0 };
	if (tab != NULL) {
		ret_leaf->len = (size_t)(tab - line.p);
		*ret_open = (struct sp_view){ tab + 1, line.len - ret_leaf->len - 1 };
	}
}

/* Put the openings back. What was shortened may hold commitments itself: it is looked into after it was opened. */
static void
open_object(json_t *o, const char *path, int depth, const json_t *open)
{
	const char *key;
	void *tmp;
	json_t *v;

	json_object_foreach_safe(o, tmp, key, v) {
		char sub[ENTRY_PATH_MAX];
		json_t *with;

		if (!path_join(sub, sizeof(sub), path, key))
			continue;
		if (is_replaced(v)) {
			with = json_array_get(json_object_get(open, sub), 1);
			if (with == NULL && json_object_get(v, "commitment") == NULL)
				continue;
			with = with != NULL ? json_deep_copy(with) : json_string(ENTRY_ERASED);
			json_object_set_new(o, key, with);
			v = json_object_get(o, key);
			if (entry_is_personal(key))
				continue;	/* a person's own words: nothing in there is ours */
		}
		if (json_is_object(v) && depth < ENTRY_DEEP)
			open_object(v, sub, depth + 1, open);
	}
}

static enum sp_err
line_load(struct sp_view line, json_t **ret_leaf, json_t **ret_open)
{
	struct sp_view leaf, open;
	json_t *l, *o = NULL;

	entry_split(line, &leaf, &open);
	if (leaf.len == 0 || leaf.len > ENTRY_LEAF_MAX || line.len > ENTRY_LINE_MAX)
		return SP_ESIZE;
	l = json_loadb((const char *)leaf.p, leaf.len, JSON_REJECT_DUPLICATES, NULL);
	if (open.len > 0)
		o = json_loadb((const char *)open.p, open.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(l) || (open.len > 0 && !json_is_object(o))) {
		json_decref(l);
		json_decref(o);
		return SP_EFORMAT;
	}
	*ret_leaf = l;
	*ret_open = o;
	return SP_OK;
}

json_t *
entry_parse(struct sp_view line)
{
	json_t *leaf, *open;

	if (line_load(line, &leaf, &open) != SP_OK)
		return NULL;
	open_object(leaf, "", 0, open);
	json_decref(open);
	return leaf;
}

struct check {
	const json_t	*open;
	unsigned	 used, erased;
	enum sp_err	 err;
};

static void check_object(struct check *k, const json_t *o, const char *path, int depth);

static void
check_one(struct check *k, const json_t *replaced, const char *path, const char *key, int depth)
{
	const json_t *pair = json_object_get(k->open, path);
	const char *salt = json_string_value(json_array_get(pair, 0));
	const char *hmac = json_string_value(json_object_get(replaced, "commitment"));
	const char *want = hmac != NULL ? hmac : json_string_value(json_object_get(replaced, "sha256"));
	sp_auto(sp_buf_release) struct sp_buf s = { .max = 64 };
	char hex[2 * SP_SHA256_LEN + 1];
	uint8_t mac[SP_SHA256_LEN];
	json_t *value = json_array_get(pair, 1);
	char *text;

	if (pair == NULL) {
		k->erased++;
		return;
	}
	k->used++;
	if (salt == NULL || value == NULL || sp_base64_parse(&s, salt, strlen(salt)) != SP_OK ||
	    (hmac != NULL) != (s.len > 0) || (text = json_dumps(value, CANON)) == NULL) {
		k->err = SP_EAUTH;
		return;
	}
	commit((struct sp_view){ s.p, s.len }, path, text, mac);
	sp_hex(mac, sizeof(mac), hex);
	if (strcmp(hex, want) != 0)
		k->err = SP_EAUTH;
	free(text);
	if (json_is_object(value) && !entry_is_personal(key))
		check_object(k, value, path, depth + 1);
}

static void
check_object(struct check *k, const json_t *o, const char *path, int depth)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)o, key, v) {
		char sub[ENTRY_PATH_MAX];

		if (!path_join(sub, sizeof(sub), path, key))
			continue;
		if (is_replaced(v))
			check_one(k, v, sub, key, depth);
		else if (json_is_object(v) && depth < ENTRY_DEEP)
			check_object(k, v, sub, depth + 1);
	}
}

enum sp_err
entry_check(struct sp_view line, unsigned *ret_erased)
{
	json_t *leaf, *open;
	struct check k = { .err = SP_OK };

	if (line_load(line, &leaf, &open) != SP_OK)
		return SP_EFORMAT;
	k.open = open;
	check_object(&k, leaf, "", 0);
	if (k.err == SP_OK && k.used != json_object_size(open))
		k.err = SP_EAUTH;	/* an opening of nothing */
	if (k.err == SP_OK && ret_erased != NULL)
		*ret_erased = k.erased;
	json_decref(leaf);
	json_decref(open);
	return k.err;
}

/* Does a JSON library write the same bytes again? */
static int
is_canonical(const json_t *leaf, struct sp_view bytes)
{
	char *text = json_dumps(leaf, CANON);
	int same = text != NULL && strlen(text) == bytes.len && memcmp(text, bytes.p, bytes.len) == 0;

	free(text);
	return same;
}

enum sp_err
entry_verify(struct sp_view line, uint64_t seq, unsigned *ret_erased)
{
	json_t *leaf, *open;
	struct sp_view bytes, rest;
	enum sp_err r;

	if (entry_fast(line, seq, ret_erased))
		return SP_OK;
	if ((r = line_load(line, &leaf, &open)) != SP_OK)
		return SP_EFORMAT;
	entry_split(line, &bytes, &rest);
	if (!is_canonical(leaf, bytes) || json_integer_value(json_object_get(leaf, "seq")) != (json_int_t)seq)
		r = SP_EFORMAT;
	json_decref(leaf);
	json_decref(open);
	return r == SP_OK ? entry_check(line, ret_erased) : r;
}
