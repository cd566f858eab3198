/* src/control/api_account.c - accounts of assets, their secrets, and certificate authorities. Secrets come sealed to the
 * vault and leave sealed to the caller: between the two, control stores what the vault wrapped.
 *	create, update:	check (reader) -> SECRET_PUT to the vault, when there is a secret -> rows (writer)
 * An authority is a secret of kind ssh-ca with a name; accounts refer to it. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/methods.h"
#include "crypto/hash.h"
#include "wire/sshcert.h"
#include "wire/sshkey.h"

static const char *const kinds[] = { "", "stored", "same", "typed" };
static const char *const secret_kinds[] = { "", "password", "ssh-key", "ssh-ca", "host-key", "totp" };
static const char *const states[] = { "", "active", "disabled", "expired" };

#define SEALED_MAX	49152

struct setting {			/* an account being made or changed */
	struct sp_store_account	 account;
	struct sp_store_secret	 secret;
	char			 asset_name[SP_STORE_NAME_MAX + 1];
	int			 is_new, has_secret, replaces;
	struct sp_uuid		 old_secret;
};

static int64_t
index_of(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 1; i < n; i++)
		if (strcmp(list[i], word) == 0)
			return (int64_t)i;
	return 0;
}

static void
secret_json(const struct sp_store_secret *k, json_t *o)
{
	char fp[SP_FINGERPRINT_SIZE];

	json_object_set_new(o, "secret_kind", json_string(secret_kinds[k->kind > 0 && k->kind < 6 ? k->kind : 0]));
	json_object_set_new(o, "secret_rotated", api_at(k->rotated_us));
	if (k->kind == SP_STORE_SECRET_SSH_CA)
		json_object_set_new(o, "ca", json_string(k->name));
	if (k->public_blob.len > 0) {
		sp_sshkey_fingerprint((struct sp_view){ k->public_blob.b, k->public_blob.len }, sp_sha256, fp);
		json_object_set_new(o, "fingerprint", json_string(fp));
		json_object_set_new(o, "public_key", api_pubkey(k->public_blob.b, k->public_blob.len, NULL));
	}
}

static json_t *
account_json(struct sp_store *s, const struct sp_store_account *a, const char *asset)
{
	json_t *o = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:o}", "id", api_id(&a->id), "name", a->name, "asset", asset,
	    "login", a->login, "kind", kinds[a->kind & 3], "state", states[a->state & 3], "created", api_at(a->created_us));
	struct sp_store_secret *k;

	if (*a->principals) {
		json_t *list = json_array();

		for (const char *p = a->principals, *e; *p; p = *e ? e + 1 : e) {
			e = strchrnul(p, ',');
			json_array_append_new(list, json_stringn(p, (size_t)(e - p)));
		}
		json_object_set_new(o, "principals", list);
	}
	if (!sp_uuid_is_null(&a->secret_id) && (k = malloc(sizeof(*k))) != NULL) {
		if (sp_store_secret_get(s, &a->secret_id, k) == SP_OK)
			secret_json(k, o);
		free(k);
	}
	return o;
}

/* ---- the vault's answer to SECRET_PUT ---- */

static enum sp_err
secret_take(struct api_call *c, struct sp_store_secret *k)
{
	const Sallyport__SecretReply *r = (Sallyport__SecretReply *)c->reply;

	if (c->reply_id != SP_MSG_SECRET_REPLY)
		return api_fail(c, SP_EINTERNAL, "the vault answered something else");
	if (r->err != SP_OK)
		return api_fail(c, (enum sp_err)r->err, "%s", *r->text ? r->text : sp_err_text((enum sp_err)r->err));
	if (r->envelope.len == 0 || r->envelope.len > sizeof(k->ciphertext.b) || r->public_key.len > sizeof(k->public_blob.b))
		return api_fail(c, SP_ESIZE, "the secret is too long");
	memcpy(k->ciphertext.b, r->envelope.data, r->envelope.len);
	k->ciphertext.len = (uint32_t)r->envelope.len;
	if (r->public_key.len > 0)
		memcpy(k->public_blob.b, r->public_key.data, r->public_key.len);
	k->public_blob.len = (uint32_t)r->public_key.len;
	k->term = r->term;
	k->rotated_us = sp_wall_us();
	return SP_OK;
}

static void
secret_ask(struct api_call *c, const struct sp_store_secret *k, const json_t *param, const char *algorithm, api_fn *next)
{
	Sallyport__SecretPut m = SALLYPORT__SECRET_PUT__INIT;
	struct sp_buf b;

	sp_buf_init(&b, SEALED_MAX);
	m.secret_id = ctl_uuid_bytes(&k->id);
	m.version = (uint32_t)k->secret_version;
	m.kind = ctl_str(secret_kinds[k->kind]);
	m.algorithm = ctl_str(algorithm != NULL ? algorithm : "");
	m.generate = param == NULL || json_is_true(json_object_get(param, "generate"));
	if (m.generate || api_bytes(c, param, "sealed", 1, &b) == SP_OK) {
		m.sealed = ctl_bytes(b.p, b.len);
		api_ask(c, SP_MSG_SECRET_PUT, &m, 60 * SP_US_PER_S, next);
	}
	sp_buf_release(&b);
}

/* ---- authorities ---- */

static json_t *
ca_json(const struct sp_store_secret *k)
{
	json_t *o = json_pack("{s:o, s:s, s:o}", "id", api_id(&k->id), "name", k->name, "created", api_at(k->created_us));
	struct sp_sshkey key;

	secret_json(k, o);
	json_object_del(o, "ca");
	if (sp_sshkey_decode((struct sp_view){ k->public_blob.b, k->public_blob.len }, &key) == SP_OK)
		json_object_set_new(o, "algorithm", json_string(sp_sshkey_type_name(key.type)));
	return o;
}

static int
ca_row(const struct sp_store_secret *k, void *arg)
{
	json_array_append_new(arg, ca_json(k));
	return json_array_size(arg) >= API_ROWS_MAX;
}

static enum sp_err
ca_named(struct api_call *c, struct sp_store *s, const char *name, struct sp_store_secret *ret)
{
	enum sp_err r = sp_store_secret_by_name(s, SP_STORE_SECRET_SSH_CA, name, ret);

	return r == SP_ENOENT ? api_fail(c, r, "there is no authority \"%s\"", name) : api_store(c, r, name);
}

struct ca_use {
	struct api_call	*c;
	struct sp_store	*s;
	size_t		 seen;
	int		 found;
};

static int
ca_use_row(const struct sp_store_account *a, void *arg)
{
	struct ca_use *u = arg;
	struct sp_store_asset asset;

	u->seen++;
	u->found = sp_store_asset_get(u->s, &a->asset_id, &asset) == SP_OK && api_in_scope(u->c, u->s, &asset.department_id);
	return u->found;
}

/* Whoever may point an authority at an address of his choice reaches every host that trusts it. So an administrator of
 * one department uses an authority only where one of all departments has brought it in: some account there has it. */
static enum sp_err
ca_scope(struct api_call *c, struct sp_store *s, const struct sp_store_secret *ca)
{
	struct ca_use u = { c, s, 0, 0 };
	struct sp_store_query q = { .of = ca->id };
	enum sp_err r;

	if (c->local_root || sp_uuid_is_null(&c->caller.role_department_id))
		return SP_OK;
	API_PAGES(c, q, u.seen, r, u.found ? SP_OK : sp_store_account_list(s, &q, ca_use_row, &u));
	if (r != SP_OK)
		return c->err != SP_OK ? r : api_store(c, r, ca->name);
	return u.found ? SP_OK : api_fail(c, SP_EACCES, "authority \"%s\" is not used in your department: ask an administrator of all "
	    "departments for the first account", ca->name);
}

enum sp_err
account_ca(struct api_call *c, struct sp_store *s, const char *name, struct sp_uuid *ret)
{
	struct sp_store_secret *ca = malloc(sizeof(*ca));
	enum sp_err r = ca == NULL ? api_fail(c, SP_ENOMEM, "out of memory") : ca_named(c, s, name, ca);

	if (r == SP_OK && (r = ca_scope(c, s, ca)) == SP_OK)
		*ret = ca->id;
	free(ca);
	return r;
}

static void
ca_write(struct api_call *c, struct sp_store *s)
{
	struct sp_store_secret *k = c->state;

	if (secret_take(c, k) != SP_OK || api_store(c, sp_store_secret_add(s, k), k->name) != SP_OK)
		return;
	c->object = k->id;
	(void)sp_strlcpy(c->what, k->name, sizeof(c->what));
	c->out = ca_json(k);
}

void
ca_create(struct api_call *c, struct sp_store *s)
{
	struct sp_store_secret *k = calloc(1, sizeof(*k)), *there = malloc(sizeof(*there));
	char algorithm[32] = "ed25519";
	struct sp_uuid none = { 0 };

	c->state = k;
	if (k == NULL || there == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	} else if (api_scope(c, s, &none) == SP_OK && api_str(c, "name", 1, k->name, sizeof(k->name)) == SP_OK &&
	    api_str(c, "algorithm", 0, algorithm, sizeof(algorithm)) == SP_OK) {
		enum sp_err r = sp_store_secret_by_name(s, SP_STORE_SECRET_SSH_CA, k->name, there);

		if (!sp_name_is_ok(k->name, 128)) {
			(void)api_fail(c, SP_EINVAL, "that is not a name");
		} else if (r == SP_OK) {
			(void)api_fail(c, SP_EEXIST, "there is an authority \"%s\" already", k->name);
		} else if (r != SP_ENOENT) {
			(void)api_store(c, r, k->name);
		} else {
			sp_uuid_make(&k->id);
			k->kind = SP_STORE_SECRET_SSH_CA;
			k->secret_version = 1;
			secret_ask(c, k, NULL, algorithm, ca_write);
		}
	}
	free(there);
}

void
ca_list(struct api_call *c, struct sp_store *s)
{
	(void)api_store(c, sp_store_secrets_of_kind(s, SP_STORE_SECRET_SSH_CA, ca_row, c->out = json_array()), "authorities");
	if (c->err == SP_OK)
		(void)!api_bounded(c, json_array_size(c->out));
}

void
ca_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_secret *k = malloc(sizeof(*k));
	char name[SP_STORE_NAME_MAX + 1];

	if (k == NULL)
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	else if (api_str(c, "name", 1, name, sizeof(name)) == SP_OK && ca_named(c, s, name, k) == SP_OK)
		c->out = ca_json(k);
	free(k);
}

/* ---- accounts ---- */

static void
account_write(struct api_call *c, struct sp_store *s)
{
	struct setting *w = c->state;
	struct sp_store_account *a = &w->account;
	enum sp_err r;

	if (w->has_secret) {
		if (c->reply != NULL && secret_take(c, &w->secret) != SP_OK)
			return;
		r = w->replaces ? sp_store_secret_update(s, &w->secret) : sp_store_secret_add(s, &w->secret);
		if (api_store(c, r, "the secret") != SP_OK)
			return;
		a->secret_id = w->secret.id;
	}
	if (api_store(c, w->is_new ? sp_store_account_add(s, a) : sp_store_account_update(s, a), a->name) != SP_OK)
		return;
	/* A secret that the account no longer uses goes, unless something else still does. */
	if (!sp_uuid_is_null(&w->old_secret) && !sp_uuid_equal(&w->old_secret, &a->secret_id)) {
		r = sp_store_secret_delete(s, &w->old_secret, SP_STORE_ANY_VERSION);
		if (r != SP_ESTATE && r != SP_ENOENT && api_store(c, r, "the old secret") != SP_OK)
			return;
	}
	c->account = a->id;
	c->rejudge = !w->is_new;
	sp_snprintf(c->what, sizeof(c->what), "%.100s@%.100s", a->name, w->asset_name);
	c->out = account_json(s, a, w->asset_name);
}

/* Which secret the parameters mean. Asks the vault, or points to an authority, or leaves all as it is. */
static enum sp_err
account_secret(struct api_call *c, struct sp_store *s, struct setting *w)
{
	const json_t *p = json_object_get(c->params, "secret");
	const char *kind = json_string_value(json_object_get(p, "kind")), *ca = json_string_value(json_object_get(p, "ca"));
	const char *algorithm = json_string_value(json_object_get(p, "algorithm"));
	int64_t k = kind != NULL ? index_of(secret_kinds, 4, kind) : 0;

	if (p == NULL)
		return SP_OK;
	if (w->account.kind == SP_STORE_ACCOUNT_TYPED)
		return api_fail(c, SP_EINVAL, "an account that the user types has no secret");
	if (k == 0)
		return api_fail(c, SP_EINVAL, "secret.kind is password, ssh-key or ssh-ca");
	if (ca != NULL)
		return account_ca(c, s, ca, &w->account.secret_id);
	if (k == SP_STORE_SECRET_SSH_CA)
		return api_fail(c, SP_EINVAL, "secret.ca names the authority");
	sp_uuid_make(&w->secret.id);
	w->secret.kind = k;
	w->secret.secret_version = 1;
	sp_snprintf(w->secret.name, sizeof(w->secret.name), "%.100s@%.100s", w->account.name, w->asset_name);
	w->has_secret = 1;
	secret_ask(c, &w->secret, p, algorithm, account_write);
	return c->err;
}

/* Names for certificates instead of the login; an empty list takes them away. What the vault would refuse to sign is
 * refused here. */
enum sp_err
account_principals(struct api_call *c, struct sp_store_account *a)
{
	const json_t *list = json_object_get(c->params, "principals");
	enum sp_err r;
	size_t i;
	json_t *v;

	if (list == NULL)
		return SP_OK;
	if (json_is_array(list) && json_array_size(list) > SP_SSHCERT_PRINCIPALS_MAX)
		return api_fail(c, SP_ESIZE, "a certificate names at most %d principals", SP_SSHCERT_PRINCIPALS_MAX);
	if (!json_is_array(list))
		return api_fail(c, SP_EINVAL, "principals is a list of names");
	json_array_foreach(list, i, v) {
		const char *s = json_string_value(v);

		if (s == NULL || *s == '\0' || strlen(s) > SP_SSHCERT_PRINCIPAL_MAX ||
		    strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") != strlen(s))
			return api_fail(c, SP_EINVAL, "a principal has letters, digits, '.', '_', '@' and '-', at most %d",
			    SP_SSHCERT_PRINCIPAL_MAX);
	}
	a->principals[0] = '\0';
	if ((r = api_names(c, "principals", a->principals, sizeof(a->principals))) == SP_OK)
		api_more(c, "principals", json_deep_copy(list));
	return r;
}

/* Without a question to the vault the write follows all the same, in the writer. */
static void
account_go(struct api_call *c, struct setting *w)
{
	if (w->account.kind == SP_STORE_ACCOUNT_STORED && sp_uuid_is_null(&w->account.secret_id) && !w->has_secret)
		(void)api_fail(c, SP_EINVAL, "a stored account needs a secret");
	else if (c->ask_id == 0)
		c->next = account_write;
}

void
account_create(struct api_call *c, struct sp_store *s)
{
	struct setting *w = c->state = calloc(1, sizeof(*w));
	struct sp_store_asset asset;
	char kind[16] = "stored";

	if (w == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (api_asset(c, s, "asset", &asset) != SP_OK ||
	    api_str(c, "name", 1, w->account.name, sizeof(w->account.name)) != SP_OK ||
	    api_str(c, "login", 0, w->account.login, sizeof(w->account.login)) != SP_OK ||
	    api_str(c, "kind", 0, kind, sizeof(kind)) != SP_OK)
		return;
	if (!sp_name_is_ok(w->account.name, 128) || strpbrk(w->account.name, ",*") != NULL) {
		(void)api_fail(c, SP_EINVAL, "\"%s\" is not a name for an account", w->account.name);
		return;
	}
	w->is_new = 1;
	w->account.asset_id = asset.id;
	w->account.state = SP_STORE_ACTIVE;
	(void)sp_strlcpy(w->asset_name, asset.name, sizeof(w->asset_name));
	if ((w->account.kind = index_of(kinds, SP_NELEMS(kinds), kind)) == 0) {
		(void)api_fail(c, SP_EINVAL, "kind is stored, same or typed");
		return;
	}
	if (*w->account.login == '\0' && w->account.kind == SP_STORE_ACCOUNT_STORED)
		(void)sp_strlcpy(w->account.login, w->account.name, sizeof(w->account.login));
	if (account_principals(c, &w->account) == SP_OK && account_secret(c, s, w) == SP_OK)
		account_go(c, w);
}

void
account_update(struct api_call *c, struct sp_store *s)
{
	struct setting *w = c->state = calloc(1, sizeof(*w));
	struct sp_store_asset asset;
	char state[16] = "";

	if (w == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (api_asset(c, s, "asset", &asset) != SP_OK || api_account(c, s, &asset, "name", &w->account) != SP_OK ||
	    api_str(c, "login", 0, w->account.login, sizeof(w->account.login)) != SP_OK ||
	    api_str(c, "state", 0, state, sizeof(state)) != SP_OK)
		return;
	if (*state != '\0') {
		if (strcmp(state, "active") != 0 && strcmp(state, "disabled") != 0) {
			(void)api_fail(c, SP_EINVAL, "state is active or disabled");
			return;
		}
		w->account.state = *state == 'a' ? SP_STORE_ACTIVE : SP_STORE_DISABLED;
	}
	w->old_secret = w->account.secret_id;
	(void)sp_strlcpy(w->asset_name, asset.name, sizeof(w->asset_name));
	if (account_principals(c, &w->account) == SP_OK && account_secret(c, s, w) == SP_OK)
		account_go(c, w);
}

struct account_rows {
	struct api_call	*c;
	struct sp_store	*s;
	const char	*asset;
	size_t		 assets;
	enum sp_err	 err;		/* of the accounts of one asset */
};

static int
account_row(const struct sp_store_account *a, void *arg)
{
	struct account_rows *r = arg;

	json_array_append_new(r->c->out, account_json(r->s, a, r->asset));
	return 0;
}

static int
account_asset(const struct sp_store_asset *a, void *arg)
{
	struct account_rows *r = arg;
	struct sp_store_query q = { .of = a->id };

	r->asset = a->name;
	r->assets++;
	API_PAGES(r->c, q, json_array_size(r->c->out), r->err, sp_store_account_list(r->s, &q, account_row, r));
	if (r->err == SP_OK)
		r->err = api_bounded(r->c, json_array_size(r->c->out));
	return r->err != SP_OK;
}

void
account_list(struct api_call *c, struct sp_store *s)
{
	struct account_rows r = { c, s, "", 0, SP_OK };
	struct sp_store_query q = { .department_id = c->caller.role_department_id };
	struct sp_store_asset a;
	enum sp_err e = SP_OK;

	c->out = json_array();
	if (json_object_get(c->params, "asset") == NULL)
		API_PAGES(c, q, r.assets, e, sp_store_asset_list(s, &q, account_asset, &r) != SP_OK ? SP_EIO : r.err);
	else if (api_asset(c, s, "asset", &a) == SP_OK)
		(void)account_asset(&a, &r);
	if (c->err == SP_OK && (e != SP_OK || r.err != SP_OK))
		(void)api_store(c, e != SP_OK ? e : r.err, "accounts");
}

void
account_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset asset;
	struct sp_store_account a;

	if (api_asset(c, s, "asset", &asset) == SP_OK && api_account(c, s, &asset, "name", &a) == SP_OK)
		c->out = account_json(s, &a, asset.name);
}

void
account_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_asset asset;
	struct sp_store_account a;

	if (api_asset(c, s, "asset", &asset) != SP_OK || api_account(c, s, &asset, "name", &a) != SP_OK ||
	    api_store(c, sp_store_account_delete(s, &a.id, a.version), a.name) != SP_OK)
		return;
	c->rejudge = 1;
	sp_snprintf(c->what, sizeof(c->what), "%.100s@%.100s", a.name, asset.name);
	c->out = json_pack("{s:s, s:s}", "name", a.name, "asset", asset.name);
}

/* ---- reveal ---- */

static void
reveal_done(struct api_call *c, struct sp_store *s)
{
	const Sallyport__SecretReply *r = (Sallyport__SecretReply *)c->reply;

	(void)s;
	if (c->reply_id != SP_MSG_SECRET_REPLY || r->err != SP_OK) {
		(void)api_fail(c, c->reply_id == SP_MSG_SECRET_REPLY ? (enum sp_err)r->err : SP_EINTERNAL,
		    "the vault does not reveal it: %s", c->reply_id == SP_MSG_SECRET_REPLY ? r->text : "");
		return;
	}
	c->out = json_pack("{s:o}", "sealed", api_base64(r->envelope.data, r->envelope.len));
}

/* A permission of its own, beside the role: the setting "may_reveal.LOGIN" is "yes"; root of this machine sets it. */
static enum sp_err
reveal_permitted(struct api_call *c, struct sp_store *s)
{
	char key[SP_STORE_LOGIN_MAX + 16], value[16] = "";

	sp_snprintf(key, sizeof(key), "may_reveal.%s", c->caller.login);
	if (c->local_root || (sp_store_setting_get(s, key, value, sizeof(value)) == SP_OK && strcmp(value, "yes") == 0))
		return SP_OK;
	return api_fail(c, SP_EACCES, "you do not have the permission to reveal secrets: root gives it with 'sallyport settings set may_reveal.%s yes'",
	    c->caller.login);
}

void
secret_reveal(struct api_call *c, struct sp_store *s)
{
	Sallyport__SecretReveal m = SALLYPORT__SECRET_REVEAL__INIT;
	struct sp_store_asset asset;
	struct sp_store_account a;
	struct sp_store_secret *k = malloc(sizeof(*k));
	struct sp_buf b;

	sp_buf_init(&b, 64);
	if (k == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	} else if (reveal_permitted(c, s) == SP_OK && api_asset(c, s, "asset", &asset) == SP_OK &&
	    api_account(c, s, &asset, "account", &a) == SP_OK && api_bytes(c, c->params, "client_key", 1, &b) == SP_OK) {
		sp_snprintf(c->what, sizeof(c->what), "%.100s@%.100s", a.name, asset.name);
		if (sp_uuid_is_null(&a.secret_id) || sp_store_secret_get(s, &a.secret_id, k) != SP_OK) {
			(void)api_fail(c, SP_ENOENT, "that account has no stored secret");
		} else {
			c->object = k->id;
			m.secret_id = ctl_uuid_bytes(&k->id);
			m.version = (uint32_t)k->secret_version;
			m.kind = ctl_str(secret_kinds[k->kind > 0 && k->kind < 6 ? k->kind : 0]);
			m.envelope = ctl_bytes(k->ciphertext.b, k->ciphertext.len);
			m.client_key = ctl_bytes(b.p, b.len);
			api_ask(c, SP_MSG_SECRET_REVEAL, &m, 0, reveal_done);
		}
	}
	sp_buf_release(&b);
	free(k);
}
