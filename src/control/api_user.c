/* src/control/api_user.c - departments, users, their keys and passwords. What takes power from a user raises his epoch in
 * the same transaction; his connections end before the caller reads the answer (api.c, conn.c). */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/breakglass.h"
#include "control/methods.h"
#include "control/wall.h"
#include "crypto/hash.h"
#include "wire/sshkey.h"

static const char *const states[] = { "", "active", "disabled", "expired" };
static const char *const roles[] = { "", "user", "auditor", "admin" };

/* ---- departments ---- */

static json_t *
department_json(const struct sp_store_department *d)
{
	return json_pack("{s:o, s:s, s:s, s:o}", "id", api_id(&d->id), "name", d->name, "description", d->description,
	    "created", api_at(d->created_us));
}

static int
department_row(const struct sp_store_department *d, void *arg)
{
	json_array_append_new(arg, department_json(d));
	return 0;
}

static enum sp_err
department_named(struct api_call *c, struct sp_store *s, struct sp_store_department *d)
{
	char name[SP_STORE_NAME_MAX + 1];
	enum sp_err r = api_str(c, "name", 1, name, sizeof(name));

	if (r != SP_OK)
		return r;
	if ((r = sp_store_department_by_name(s, name, d)) == SP_ENOENT && sp_uuid_parse(name, &d->id) == SP_OK)
		r = sp_store_department_get(s, &d->id, d);
	if (r != SP_OK)
		return api_fail(c, r == SP_EINVAL ? SP_ENOENT : r, "there is no department \"%s\"", name);
	c->object = d->id;
	return api_scope(c, s, &d->id);
}

/* The department above it; "" puts it at the top, which only an administrator of all may. */
static enum sp_err
department_parent(struct api_call *c, struct sp_store *s, struct sp_store_department *d)
{
	return json_object_get(c->params, "parent") == NULL ? SP_OK : api_department(c, s, "parent", &d->parent_id);
}

void
department_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_department d = { 0 };
	struct sp_uuid none = { 0 };

	if (api_scope(c, s, &none) != SP_OK || api_str(c, "name", 1, d.name, sizeof(d.name)) != SP_OK ||
	    api_str(c, "description", 0, d.description, sizeof(d.description)) != SP_OK || department_parent(c, s, &d) != SP_OK ||
	    api_store(c, sp_store_department_add(s, &d), d.name) != SP_OK)
		return;
	c->object = d.id;
	(void)sp_strlcpy(c->what, d.name, sizeof(c->what));
	c->out = department_json(&d);
}

void
department_list(struct api_call *c, struct sp_store *s)
{
	struct sp_store_query q = { 0 };
	enum sp_err r;

	c->out = json_array();
	API_PAGES(c, q, json_array_size(c->out), r, sp_store_department_list(s, &q, department_row, c->out));
	(void)api_store(c, r, "departments");
}

void
department_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_department d;

	if (department_named(c, s, &d) == SP_OK)
		c->out = department_json(&d);
}

void
department_update(struct api_call *c, struct sp_store *s)
{
	struct sp_store_department d;

	if (department_named(c, s, &d) != SP_OK || api_str(c, "description", 0, d.description, sizeof(d.description)) != SP_OK ||
	    api_str(c, "new_name", 0, d.name, sizeof(d.name)) != SP_OK || department_parent(c, s, &d) != SP_OK ||
	    api_store(c, sp_store_department_update(s, &d), d.name) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, d.name, sizeof(c->what));
	c->out = department_json(&d);
}

void
department_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_department d;
	struct sp_uuid none = { 0 };

	if (department_named(c, s, &d) != SP_OK || api_scope(c, s, &none) != SP_OK ||
	    api_store(c, sp_store_department_delete(s, &d.id, d.version), d.name) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, d.name, sizeof(c->what));
	c->out = department_json(&d);
}

/* ---- users ---- */

struct listing {
	struct sp_store	*s;
	json_t		*rows;
};

static json_t *
user_json(struct sp_store *s, const struct sp_store_user *u)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:o}", "id", api_id(&u->id), "login",
	    u->login, "full_name", u->full_name, "email", u->email, "role", roles[u->role & 3], "state", states[u->state & 3],
	    "valid_from", api_at(u->valid_from_us), "valid_until", api_at(u->valid_until_us), "created",
	    api_at(u->created_us), "has_password", *u->password_hash != '\0', "last_login", api_at(u->last_login_us));

	api_department_name(s, &u->department_id, o);
	json_object_set_new(o, "os_uid", u->os_uid >= 0 ? json_integer(u->os_uid) : json_null());
	return o;
}

static int
user_row(const struct sp_store_user *u, void *arg)
{
	struct listing *l = arg;

	json_array_append_new(l->rows, user_json(l->s, u));
	return 0;
}

void
user_list(struct api_call *c, struct sp_store *s)
{
	struct listing l = { s, c->out = json_array() };
	char text[256] = "";
	struct sp_store_query q = { .text = text, .department_id = c->caller.role_department_id };
	enum sp_err r;

	if (api_str(c, "text", 0, text, sizeof(text)) != SP_OK)
		return;
	API_PAGES(c, q, json_array_size(c->out), r, sp_store_user_list(s, &q, user_row, &l));
	(void)api_store(c, r, "users");
}

/* Whose key or password one may set, as that one can log in: an administrator of a department is no match for somebody
 * whose power reaches further. */
enum sp_err
user_below(struct api_call *c, struct sp_store *s, const struct sp_store_user *u)
{
	if (u->role == SP_STORE_ROLE_USER || api_is_self(c, &u->id))
		return SP_OK;
	return api_scope(c, s, &u->role_department_id);
}

enum sp_err
user_self_or(struct api_call *c, struct sp_store *s, int64_t role, struct sp_store_user *u)
{
	char login[SP_STORE_NAME_MAX + 1] = "";
	enum sp_err r;

	if (api_text(c, "login") == NULL && !sp_uuid_is_null(&c->caller.id)) {
		*u = c->caller;
		c->user = u->id;
		return SP_OK;
	}
	if ((r = api_str(c, "login", 1, login, sizeof(login))) != SP_OK)
		return r;
	if (c->role < role && strcmp(login, c->caller.login) != 0)
		return api_fail(c, SP_EACCES, "you may do that for yourself only");
	if ((r = api_user(c, s, "login", u)) == SP_OK && role == SP_STORE_ROLE_ADMIN)
		r = user_below(c, s, u);
	return r;
}

/* A user who is to be changed: of the caller's department, and not above him. */
static enum sp_err
user_to_change(struct api_call *c, struct sp_store *s, struct sp_store_user *u)
{
	enum sp_err r = api_user(c, s, "login", u);

	return r == SP_OK ? user_below(c, s, u) : r;
}

void
user_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;

	if (user_self_or(c, s, SP_STORE_ROLE_AUDITOR, &u) == SP_OK)
		c->out = user_json(s, &u);
}

enum sp_err
user_fields(struct api_call *c, struct sp_store *s, struct sp_store_user *u)
{
	char role[16] = "", scope[SP_STORE_NAME_MAX + 1] = "";
	enum sp_err r;

	if ((r = api_str(c, "full_name", 0, u->full_name, sizeof(u->full_name))) != SP_OK ||
	    (r = api_str(c, "email", 0, u->email, sizeof(u->email))) != SP_OK ||
	    (r = api_department(c, s, "department", &u->department_id)) != SP_OK ||
	    (r = api_time(c, "valid_from", &u->valid_from_us)) != SP_OK ||
	    (r = api_time(c, "valid_until", &u->valid_until_us)) != SP_OK ||
	    (r = api_int(c, "os_uid", -1, 4294967294, &u->os_uid)) != SP_OK ||
	    (r = api_str(c, "role", 0, role, sizeof(role))) != SP_OK ||
	    (r = api_str(c, "role_department", 0, scope, sizeof(scope))) != SP_OK)
		return r;
	/* root of the machine is whoever is bound to his number: no matter of one department. */
	if (json_object_get(c->params, "os_uid") != NULL && !c->local_root && !sp_uuid_is_null(&c->caller.role_department_id))
		return api_fail(c, SP_EACCES, "os_uid is bound by an administrator of all departments");
	if (*role != '\0') {
		int64_t found = 0;

		for (int64_t i = 1; i < (int64_t)SP_NELEMS(roles); i++)
			if (strcmp(roles[i], role) == 0)
				found = i;
		if (found == 0)
			return api_fail(c, SP_EINVAL, "role is user, auditor or admin");
		u->role = found;
		/* An administrator of a department makes administrators of that department only. */
		if (found != SP_STORE_ROLE_USER && !c->local_root && !sp_uuid_is_null(&c->caller.role_department_id))
			u->role_department_id = c->caller.role_department_id;
	}
	return json_object_get(c->params, "role_department") == NULL ? SP_OK :
	    api_department(c, s, "role_department", &u->role_department_id);
}

enum sp_err
user_key_parse(struct api_call *c, const struct sp_store_user *u, const char *line, struct sp_store_user_key *ret)
{
	sp_auto(sp_sshkey_line_release) struct sp_sshkey_line l = { 0 };
	struct sp_store_user_key k = { .user_id = u->id, .state = SP_STORE_ACTIVE };
	const char *why = "not a public key";
	enum sp_err r;

	if (line == NULL || strlen(line) > SP_SSHKEY_LINE_MAX)
		return api_fail(c, SP_EINVAL, "a key is not a line of authorized_keys");
	if ((r = sp_sshkey_line_parse(line, strlen(line), &why, &l)) != SP_OK)
		return api_fail(c, r, "that key is not accepted: %s", why);
	if (l.blob.len > sizeof(k.blob.b))
		return api_fail(c, SP_ESIZE, "that key is too long");
	k.blob.len = (uint32_t)l.blob.len;
	memcpy(k.blob.b, l.blob.p, l.blob.len);
	(void)sp_strlcpy(k.type, sp_sshkey_type_name(l.key.type), sizeof(k.type));
	(void)sp_strlcpy(k.comment, l.comment, sizeof(k.comment));
	sp_sshkey_fingerprint((struct sp_view){ l.blob.p, l.blob.len }, sp_sha256, k.fingerprint);
	k.require_touch = sp_sshkey_is_sk(l.key.type);
	*ret = k;
	return SP_OK;
}

enum sp_err
user_add_key(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, const char *line)
{
	struct sp_store_user_key k;
	enum sp_err r;

	if ((r = user_key_parse(c, u, line, &k)) != SP_OK)
		return r;
	if ((r = sp_store_user_key_add(s, &k)) == SP_EEXIST)
		return api_fail(c, r, "the key %s is registered already: remove it from its user first", k.fingerprint);
	if (r == SP_OK) {
		c->object = k.id;
		api_more(c, "fingerprint", json_string(k.fingerprint));
	}
	return api_store(c, r, "the key");
}

enum sp_err
user_login_free(struct api_call *c, struct sp_store *s, const char *login)
{
	struct sp_store_user u = { 0 };
	enum sp_err r = sp_store_user_by_login_any_case(s, login, &u);

	if (r == SP_OK && strcmp(u.login, login) != 0)
		return api_fail(c, SP_EEXIST, "%s: the login %s is there already, and logins that differ only in case are taken for each other",
		    login, u.login);
	return SP_OK;		/* whatever else there is, the store says */
}

void
user_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u = { .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .epoch = 1, .os_uid = -1 };
	const json_t *keys = json_object_get(c->params, "keys");
	size_t i;
	json_t *k;

	if (api_str(c, "login", 1, u.login, sizeof(u.login)) != SP_OK)
		return;
	if (!sp_name_is_safe(u.login, SP_STORE_LOGIN_MAX)) {
		(void)api_fail(c, SP_EINVAL, "a login has letters, digits, '.', '_' and '-'");
		return;
	}
	if (user_fields(c, s, &u) != SP_OK || api_scope(c, s, &u.department_id) != SP_OK || user_login_free(c, s, u.login) != SP_OK ||
	    api_store(c, sp_store_user_add(s, &u), u.login) != SP_OK)
		return;
	c->user = u.id;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	json_array_foreach(keys, i, k)
		if (user_add_key(c, s, &u, json_string_value(k)) != SP_OK)
			return;
	c->out = user_json(s, &u);
}

/* What root gave to a login ("may_..."), not to a person. */
static const char *const permissions[] = { "may_reveal.", "may_replay." };

enum sp_err
user_permissions(struct sp_store *s, const char *login, int erase, int *ret_n)
{
	char key[SP_STORE_LOGIN_MAX + 16], value[SP_STORE_VALUE_MAX + 1];

	*ret_n = 0;
	for (size_t i = 0; i < SP_NELEMS(permissions); i++) {
		enum sp_err r;

		(void)sp_snprintf(key, sizeof(key), "%s%s", permissions[i], login);
		if ((r = sp_store_setting_get(s, key, value, sizeof(value))) == SP_ENOENT || (r == SP_OK && *value == '\0'))
			continue;
		if (r != SP_OK && r != SP_ETAMPERED)
			return r;
		++*ret_n;
		if (erase && (r = sp_store_setting_set(s, key, "")) != SP_OK)
			return r;
	}
	return SP_OK;
}

int
user_loses(const struct sp_store_user *before, const struct sp_store_user *after)
{
	int narrower = !sp_uuid_is_null(&after->role_department_id) &&
	    !sp_uuid_equal(&before->role_department_id, &after->role_department_id);

	if (after->role < before->role || (narrower && before->role != SP_STORE_ROLE_USER))
		return 1;
	if (after->valid_until_us != 0 && (before->valid_until_us == 0 || after->valid_until_us < before->valid_until_us))
		return 1;
	return after->valid_from_us > before->valid_from_us && after->valid_from_us > ctl_wall_us();
}

void
user_update(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u, before;

	if (user_to_change(c, s, &u) != SP_OK)
		return;
	before = u;
	if (user_fields(c, s, &u) != SP_OK)
		return;
	if (api_is_self(c, &u.id) && u.role != before.role) {
		(void)api_fail(c, SP_EDENIED, "nobody changes his own role");
		return;
	}
	if (user_loses(&before, &u)) {
		u.epoch++;
		api_epoch(c, &u, "your account was changed");
	}
	if (api_store(c, sp_store_user_update(s, &u), u.login) != SP_OK)
		return;
	c->rejudge = 1;		/* live sessions learn when they end now */
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	api_more(c, "role", json_string(roles[u.role & 3]));
	c->out = user_json(s, &u);
}

static void
user_state(struct api_call *c, struct sp_store *s, int64_t state, const char *reason)
{
	struct sp_store_user u;

	if (user_to_change(c, s, &u) != SP_OK)
		return;
	if (api_is_self(c, &u.id) && state != SP_STORE_ACTIVE) {
		(void)api_fail(c, SP_EDENIED, "nobody disables himself");
		return;
	}
	u.state = state;
	if (reason != NULL) {
		u.epoch++;
		api_epoch(c, &u, reason);
	}
	if (api_store(c, sp_store_user_update(s, &u), u.login) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = user_json(s, &u);
}

void
user_disable(struct api_call *c, struct sp_store *s)
{
	user_state(c, s, SP_STORE_DISABLED, "your account was disabled");
}

void
user_enable(struct api_call *c, struct sp_store *s)
{
	user_state(c, s, SP_STORE_ACTIVE, NULL);
}

void
user_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;
	int n;

	if (user_to_change(c, s, &u) != SP_OK)
		return;
	if (api_is_self(c, &u.id)) {
		(void)api_fail(c, SP_EDENIED, "nobody deletes himself");
		return;
	}
	if (api_store(c, totp_erase(s, &u.id), u.login) != SP_OK || api_store(c, user_permissions(s, u.login, 1, &n), u.login) != SP_OK ||
	    api_store(c, sp_store_user_delete(s, &u.id, u.version), u.login) != SP_OK)
		return;
	c->epoch_user = u.id;
	c->epoch = INT64_MAX;	/* no epoch of a deleted user is good */
	c->epoch_reason = "your account was deleted";
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = user_json(s, &u);
}

/* ---- passwords: hashed by the vault from what the client sealed ---- */

static void
password_write(struct api_call *c, struct sp_store *s)
{
	const Sallyport__HashReply *r = (Sallyport__HashReply *)c->reply;
	struct sp_store_user u;

	if (c->reply_id != SP_MSG_HASH_REPLY || r->err != SP_OK) {
		(void)api_fail(c, c->reply_id == SP_MSG_HASH_REPLY ? (enum sp_err)r->err : SP_EINTERNAL,
		    "the password was not accepted: %s", c->reply_id == SP_MSG_HASH_REPLY ? r->text : "");
		return;
	}
	if (api_store(c, sp_store_user_get(s, &c->user, &u), "the user") != SP_OK)
		return;
	if (sp_strlcpy(u.password_hash, r->hash, sizeof(u.password_hash)) != 0) {
		(void)api_fail(c, SP_EINTERNAL, "the hash is too long");
		return;
	}
	u.must_change_password = json_is_true(json_object_get(c->params, "must_change")) && !api_is_self(c, &u.id);
	if (api_store(c, sp_store_user_update(s, &u), u.login) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = json_pack("{s:s}", "login", u.login);
}

/* A sealed account has the credential in its envelopes and no other. */
static enum sp_err
user_unsealed(struct api_call *c, struct sp_store *s, const struct sp_store_user *u)
{
	struct breakglass b;
	enum sp_err r = breakglass_get(s, &u->id, &b);

	if (r == SP_OK)
		return api_fail(c, SP_EACCES, "%s is a break-glass account: it has its envelopes only; 'breakglass seal' makes new ones", u->login);
	return r == SP_ENOENT ? SP_OK : api_store(c, r, u->login);
}

void
user_password(struct api_call *c, struct sp_store *s)
{
	Sallyport__HashPassword m = SALLYPORT__HASH_PASSWORD__INIT;
	struct sp_store_user u;
	struct sp_buf b;

	sp_buf_init(&b, 3000);
	if (user_self_or(c, s, SP_STORE_ROLE_ADMIN, &u) == SP_OK && user_unsealed(c, s, &u) == SP_OK &&
	    api_bytes(c, c->params, "password_sealed", 1, &b) == SP_OK) {
		c->user = u.id;
		m.sealed = ctl_bytes(b.p, b.len);
		m.context = ctl_str("user.password");
		api_ask(c, SP_MSG_HASH_PASSWORD, &m, 0, password_write);
	}
	sp_buf_release(&b);
}

/* ---- keys ---- */

void
user_key_add(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;

	if (user_self_or(c, s, SP_STORE_ROLE_ADMIN, &u) != SP_OK || user_unsealed(c, s, &u) != SP_OK || user_add_key(c, s, &u, api_text(c, "key")) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = json_pack("{s:s, s:O}", "login", u.login, "fingerprint", json_object_get(c->audit_more, "fingerprint"));
}

static int
key_row(const struct sp_store_user_key *k, void *arg)
{
	json_array_append_new(arg, json_pack("{s:o, s:s, s:s, s:s, s:s, s:o}", "id", api_id(&k->id), "type", k->type,
	    "fingerprint", k->fingerprint, "comment", k->comment, "state", states[k->state & 3], "created",
	    api_at(k->created_us)));
	return 0;
}

void
user_key_list(struct api_call *c, struct sp_store *s)
{
	struct sp_store_query q = { 0 };
	struct sp_store_user u;
	enum sp_err r;

	if (user_self_or(c, s, SP_STORE_ROLE_AUDITOR, &u) != SP_OK)
		return;
	q.of = u.id;
	c->out = json_array();
	API_PAGES(c, q, json_array_size(c->out), r, sp_store_user_key_list(s, &q, key_row, c->out));
	(void)api_store(c, r, "keys");
}

struct key_find {
	const char	*fingerprint;
	struct sp_uuid	 id;
	int		 found;
	size_t		 seen;
};

static int
key_match(const struct sp_store_user_key *k, void *arg)
{
	struct key_find *f = arg;

	f->seen++;
	if (strcmp(k->fingerprint, f->fingerprint) == 0) {
		f->id = k->id;
		f->found = 1;
	}
	return 0;
}

void
user_key_remove(struct api_call *c, struct sp_store *s)
{
	char fingerprint[80];
	struct key_find f = { fingerprint };
	struct sp_store_query q = { 0 };
	struct sp_store_user u;
	enum sp_err r;

	if (user_self_or(c, s, SP_STORE_ROLE_ADMIN, &u) != SP_OK ||
	    api_str(c, "fingerprint", 1, fingerprint, sizeof(fingerprint)) != SP_OK)
		return;
	q.of = u.id;
	API_PAGES(c, q, f.seen, r, sp_store_user_key_list(s, &q, key_match, &f));
	if (api_store(c, r, "keys") != SP_OK)
		return;
	if (!f.found) {
		(void)api_fail(c, SP_ENOENT, "%s has no key %s", u.login, fingerprint);
		return;
	}
	if (f.seen == 1 && api_is_self(c, &u.id) && *u.password_hash == '\0') {
		(void)api_fail(c, SP_ECONFLICT, "that is your only key and you have no password, so you could not log in again: "
		    "add another key first");
		return;
	}
	if (api_store(c, sp_store_user_key_delete(s, &f.id, SP_STORE_ANY_VERSION), "the key") != SP_OK)
		return;
	c->object = f.id;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	api_more(c, "fingerprint", json_string(fingerprint));
	c->out = json_pack("{s:s, s:s}", "login", u.login, "fingerprint", fingerprint);
}
