/* src/control/api_json.c - parameters in, values out. Pure, worker threads and loop. Every text from outside is bounded
 * and plain; what the store or the policy would refuse is refused here with a sentence. */
#include "control/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "wire/sshkey.h"

enum sp_err
api_fail(struct api_call *c, enum sp_err e, const char *fmt, ...)
{
	va_list ap;

	c->err = e;
	va_start(ap, fmt);
	(void)vsnprintf(c->text, sizeof(c->text), fmt, ap);
	va_end(ap);
	return e;
}

enum sp_err
api_bounded(struct api_call *c, size_t n)
{
	return n < API_ROWS_MAX ? SP_OK : api_fail(c, SP_ESIZE, "more than %d rows: narrow the question", API_ROWS_MAX - 1);
}

enum sp_err
api_store(struct api_call *c, enum sp_err e, const char *what)
{
	switch (e) {
	case SP_OK:
		return SP_OK;
	case SP_ENOENT:
		return api_fail(c, e, "%s: there is nothing of that name or id", what);
	case SP_EEXIST:
		return api_fail(c, e, "%s: is there already; choose another name", what);
	case SP_ESTATE:
		return api_fail(c, e, "%s: something still depends on it; delete that first", what);
	case SP_ECONFLICT:
		return api_fail(c, e, "%s: somebody else changed it at the same time; try again", what);
	case SP_EUNAVAIL:
		if (c->ctl->servers != NULL && c->m->lane != CTL_READ)
			return api_fail(c, e, "no database server takes changes just now; 'sallyport status' shows them");
		return api_fail(c, e, "%s: %s", what, sp_err_text(e));
	case SP_EINVAL:
		return api_fail(c, e, "%s: a value is not allowed; see the help of the command", what);
	case SP_ESEALED:
		return api_fail(c, e, "%s: nothing that gives power is written before the vault is open: run 'sallyport vault unseal'", what);
	case SP_ETAMPERED:
		return api_fail(c, e, "%s: the row was changed behind Sallyport's back: refused; see 'sallyport doctor --rows'", what);
	default:
		return api_fail(c, e, "%s: %s", what, sp_err_text(e));
	}
}

const char *
api_text(const struct api_call *c, const char *key)
{
	return json_string_value(json_object_get(c->params, key));
}

enum sp_err
api_str(struct api_call *c, const char *key, int required, char *ret, size_t size)
{
	const json_t *j = json_object_get(c->params, key);
	const char *s = json_string_value(j);

	if (j == NULL || json_is_null(j))
		return required ? api_fail(c, SP_EINVAL, "%s is missing", key) : SP_OK;
	if (s == NULL || !sp_text_is_plain(s, json_string_length(j)) || (required && *s == '\0'))
		return api_fail(c, SP_EINVAL, "%s is not a line of plain text", key);
	if (strlen(s) >= size)
		return api_fail(c, SP_ESIZE, "%s is longer than %zu bytes", key, size - 1);
	(void)sp_strlcpy(ret, s, size);
	return SP_OK;
}

enum sp_err
api_int(struct api_call *c, const char *key, int64_t least, int64_t most, int64_t *ret)
{
	const json_t *j = json_object_get(c->params, key);

	if (j == NULL || json_is_null(j))
		return SP_OK;
	if (!json_is_integer(j) || json_integer_value(j) < least || json_integer_value(j) > most)
		return api_fail(c, SP_EINVAL, "%s is not a number from %lld to %lld", key, (long long)least, (long long)most);
	*ret = json_integer_value(j);
	return SP_OK;
}

enum sp_err
api_time(struct api_call *c, const char *key, int64_t *ret_wall_us)
{
	const json_t *j = json_object_get(c->params, key);
	const char *s = json_string_value(j);

	if (j == NULL || json_is_null(j))
		return SP_OK;
	if (s != NULL && *s == '\0') {
		*ret_wall_us = 0;
		return SP_OK;
	}
	if (s == NULL || sp_rfc3339_parse(s, ret_wall_us) != SP_OK)
		return api_fail(c, SP_EINVAL, "%s is not a time such as 2026-09-01T08:00:00Z", key);
	return SP_OK;
}

enum sp_err
api_bytes(struct api_call *c, const json_t *o, const char *key, int required, struct sp_buf *ret)
{
	const json_t *j = json_object_get(o, key);
	const char *s = json_string_value(j);

	if (j == NULL || json_is_null(j))
		return required ? api_fail(c, SP_EINVAL, "%s is missing", key) : SP_OK;
	if (s == NULL || sp_base64_parse(ret, s, json_string_length(j)) != SP_OK)
		return api_fail(c, SP_EINVAL, "%s is not base64, or too long", key);
	return SP_OK;
}

enum sp_err
api_names(struct api_call *c, const char *key, char *ret, size_t size)
{
	const json_t *j = json_object_get(c->params, key);
	size_t n = 0, i;
	json_t *v;

	if (json_is_string(j))
		return api_str(c, key, 0, ret, size);
	if (j == NULL || json_is_null(j))
		return SP_OK;
	if (!json_is_array(j))
		return api_fail(c, SP_EINVAL, "%s is not a list of names", key);
	*ret = '\0';
	json_array_foreach(j, i, v) {
		const char *s = json_string_value(v);

		if (s == NULL || *s == '\0' || !sp_text_is_plain(s, strlen(s)) || strchr(s, ',') != NULL)
			return api_fail(c, SP_EINVAL, "%s is not a list of names", key);
		if (n + strlen(s) + 2 > size)
			return api_fail(c, SP_ESIZE, "%s is too long", key);
		n += (size_t)snprintf(ret + n, size - n, "%s%s", i > 0 ? "," : "", s);
	}
	return SP_OK;
}

json_t *
api_id(const struct sp_uuid *u)
{
	char t[SP_UUID_SIZE];

	return sp_uuid_is_null(u) ? json_null() : json_string(sp_uuid_text(u, t));
}

json_t *
api_at(int64_t wall_us)
{
	char t[SP_RFC3339_SIZE];

	return wall_us == 0 ? json_null() : json_string(sp_rfc3339(wall_us, t, sizeof(t)));
}

json_t *
api_base64(const void *p, size_t n)
{
	struct sp_buf b;
	json_t *j = NULL;

	sp_buf_init(&b, n * 2 + 16);
	if (sp_base64(&b, p, n) == SP_OK)
		j = json_string(sp_buf_cstr(&b));
	sp_buf_release(&b);
	return j != NULL ? j : json_null();
}

json_t *
api_pubkey(const void *blob, size_t n, const char *comment)
{
	struct sp_buf b;
	json_t *j = NULL;

	sp_buf_init(&b, SP_SSHKEY_LINE_MAX);
	if (sp_sshkey_line_print(NULL, (struct sp_view){ blob, n }, comment, &b) == SP_OK)
		j = json_string(sp_buf_cstr(&b));
	sp_buf_release(&b);
	return j != NULL ? j : json_null();
}

void
api_more(struct api_call *c, const char *key, json_t *taken)
{
	if (c->audit_more == NULL)
		c->audit_more = json_object();
	json_object_set_new(c->audit_more, key, taken);
}

void
api_department_name(struct sp_store *s, const struct sp_uuid *id, json_t *o)
{
	struct sp_store_department d;

	if (!sp_uuid_is_null(id) && sp_store_department_get(s, id, &d) == SP_OK)
		json_object_set_new(o, "department", json_string(d.name));
	else
		json_object_set_new(o, "department", json_null());
}

/* ---- objects ---- */

/* By name first: a name may look like an id. */
#define API_FIND(noun, get_by_name)										\
	char text[SP_STORE_NAME_MAX + 1];									\
	struct sp_uuid id;											\
	enum sp_err r = api_str(c, key, 1, text, sizeof(text));							\
														\
	if (r != SP_OK)												\
		return r;											\
	if ((r = get_by_name(s, text, ret)) == SP_EINVAL)							\
		r = SP_ENOENT;											\
	if (r == SP_ENOENT && sp_uuid_parse(text, &id) == SP_OK)						\
		r = sp_store_##noun##_get(s, &id, ret);								\
	if (r == SP_ENOENT)											\
		return api_fail(c, r, "there is no " #noun " \"%s\"", text)

enum sp_err
api_user(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_user *ret)
{
	API_FIND(user, sp_store_user_by_login);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->user = ret->id;
	return api_is_self(c, &ret->id) ? SP_OK : api_scope(c, s, &ret->department_id);
}

enum sp_err
api_group(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_group *ret)
{
	API_FIND(group, sp_store_group_by_name);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->object = ret->id;
	return api_scope(c, s, &ret->department_id);
}

enum sp_err
api_asset(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_asset *ret)
{
	API_FIND(asset, sp_store_asset_by_name);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->asset = ret->id;
	return api_scope(c, s, &ret->department_id);
}

enum sp_err
api_asset_group(struct api_call *c, struct sp_store *s, const char *key, struct sp_store_asset_group *ret)
{
	API_FIND(asset_group, sp_store_asset_group_by_name);
	if (r != SP_OK)
		return api_store(c, r, text);
	c->object = ret->id;
	return api_scope(c, s, &ret->department_id);
}

/* A department that an object is to be put into: "" takes it out. Without the parameter: the caller's own, if bound. */
enum sp_err
api_department(struct api_call *c, struct sp_store *s, const char *key, struct sp_uuid *ret)
{
	char text[SP_STORE_NAME_MAX + 1] = "";
	struct sp_store_department d = { 0 };
	enum sp_err r = api_str(c, key, 0, text, sizeof(text));

	if (r != SP_OK)
		return r;
	if (json_object_get(c->params, key) == NULL) {
		if (sp_uuid_is_null(ret) && !c->local_root)
			*ret = c->caller.role_department_id;
		return SP_OK;
	}
	if (*text != '\0') {
		if ((r = sp_store_department_by_name(s, text, &d)) == SP_ENOENT && sp_uuid_parse(text, &d.id) == SP_OK)
			r = sp_store_department_get(s, &d.id, &d);
		if (r != SP_OK)
			return api_fail(c, r, r == SP_ENOENT ? "there is no department \"%s\"" : "department \"%s\" cannot be read", text);
	}
	if ((r = api_scope(c, s, &d.id)) == SP_OK)
		*ret = d.id;
	return r;
}

enum sp_err
api_account(struct api_call *c, struct sp_store *s, const struct sp_store_asset *a, const char *key, struct sp_store_account *ret)
{
	char text[SP_STORE_NAME_MAX + 1];
	enum sp_err r = api_str(c, key, 1, text, sizeof(text));

	if (r != SP_OK)
		return r;
	r = sp_store_account_by_name(s, &a->id, text, ret);
	if (r != SP_OK)
		return api_fail(c, r == SP_EINVAL ? SP_ENOENT : r, "there is no account \"%s\" on %s", text, a->name);
	c->account = ret->id;
	return SP_OK;
}

int
api_is_self(const struct api_call *c, const struct sp_uuid *user)
{
	return !sp_uuid_is_null(&c->caller.id) && sp_uuid_equal(&c->caller.id, user);
}

int
api_in_scope(const struct api_call *c, struct sp_store *s, const struct sp_uuid *department)
{
	struct sp_uuid at = *department;
	struct sp_store_department d;

	if (c->local_root || sp_uuid_is_null(&c->caller.role_department_id))
		return 1;
	for (int depth = 0; depth < SP_STORE_DEPTH_MAX && !sp_uuid_is_null(&at); depth++) {
		if (sp_uuid_equal(&at, &c->caller.role_department_id))
			return 1;
		if (sp_store_department_get(s, &at, &d) != SP_OK)
			break;
		at = d.parent_id;
	}
	return 0;
}

enum sp_err
api_scope(struct api_call *c, struct sp_store *s, const struct sp_uuid *department)
{
	if (api_in_scope(c, s, department))
		return SP_OK;
	return api_fail(c, SP_EACCES, "that belongs to another department than the one that you administer");
}

void
api_epoch(struct api_call *c, const struct sp_store_user *u, const char *reason)
{
	c->epoch_user = u->id;
	c->epoch = u->epoch;
	c->epoch_reason = reason;
}
