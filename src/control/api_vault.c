/* src/control/api_vault.c - calls about the vault, and the administrator that is made with it. Sealed bytes pass through:
 * clients seal to the vault, the vault seals to clients. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/methods.h"
#include "control/quarantine.h"

#define SEALED_MAX	4096
#define CEREMONY_US	(120 * SP_US_PER_S)	/* argon2id with a gigabyte takes seconds */

void
vault_status_loop(struct api_call *c)
{
	c->out = vaultlink_json(c->ctl);
}

static const Sallyport__VaultReply *
vault_answer(struct api_call *c)
{
	const Sallyport__VaultReply *r = (Sallyport__VaultReply *)c->reply;

	if (c->reply_id != SP_MSG_VAULT_REPLY) {
		(void)api_fail(c, SP_EINTERNAL, "the vault answered something else");
		return NULL;
	}
	if (r->err != SP_OK) {
		(void)api_fail(c, (enum sp_err)r->err, "%s", *r->text ? r->text : sp_err_text((enum sp_err)r->err));
		return NULL;
	}
	return r;
}

/* What the vault says after a step, as vault.status shows it. */
static void
vault_answer_state(struct api_call *c, struct sp_store *s)
{
	const Sallyport__VaultReply *r = vault_answer(c);
	struct sp_buf b;

	(void)s;
	if (r == NULL)
		return;
	c->out = json_object();
	if (r->state != NULL) {
		json_object_set_new(c->out, "initialised", json_boolean(r->state->initialised));
		json_object_set_new(c->out, "sealed", json_boolean(r->state->sealed));
		json_object_set_new(c->out, "term", json_integer(r->state->term));
	}
	if (*r->text)
		json_object_set_new(c->out, "text", json_string(r->text));
	sp_buf_init(&b, 256 * 1024);
	if (r->body.len > 0 && sp_base64(&b, r->body.data, r->body.len) == SP_OK)
		json_object_set_new(c->out, "shares_sealed", json_string(sp_buf_cstr(&b)));
	sp_buf_release(&b);
	(void)sp_strlcpy(c->what, r->text, sizeof(c->what));
}

/* ---- open, seal, rotate ---- */

void
vault_unseal(struct api_call *c, struct sp_store *s)
{
	Sallyport__VaultOpen m = SALLYPORT__VAULT_OPEN__INIT;
	char slot[32] = "passphrase";
	struct sp_buf b;

	(void)s;
	sp_buf_init(&b, SEALED_MAX);
	if (api_str(c, "slot", 0, slot, sizeof(slot)) == SP_OK && api_bytes(c, c->params, "credential_sealed", 1, &b) == SP_OK) {
		m.slot = slot;
		m.credential = ctl_bytes(b.p, b.len);
		m.sealed_to_vault = 1;
		api_more(c, "slot", json_string(slot));
		api_ask(c, SP_MSG_VAULT_OPEN, &m, CEREMONY_US, vault_answer_state);
	}
	sp_buf_release(&b);
}

void
vault_seal(struct api_call *c, struct sp_store *s)
{
	Sallyport__Empty m = SALLYPORT__EMPTY__INIT;

	(void)s;
	api_ask(c, SP_MSG_VAULT_SEAL, &m, 0, vault_answer_state);
}

void
vault_rotate(struct api_call *c, struct sp_store *s)
{
	Sallyport__Empty m = SALLYPORT__EMPTY__INIT;

	(void)s;
	if (quarantine_is(c->ctl)) {
		(void)api_fail(c, SP_ESTATE, "nothing is rotated in quarantine");
		return;
	}
	api_ask(c, SP_MSG_VAULT_ROTATE, &m, CEREMONY_US, vault_answer_state);
}

void
vault_rotated_loop(struct api_call *c)
{
	vaultlink_rewrap(c->ctl);
}

/* ---- slots ---- */

static void
slots_ask(struct api_call *c, const char *action)
{
	Sallyport__VaultSlots m = SALLYPORT__VAULT_SLOTS__INIT;
	char slot[64] = "", label[256] = "";
	int64_t shares = 0, threshold = 0;
	struct sp_buf b, k;

	sp_buf_init(&b, SEALED_MAX);
	sp_buf_init(&k, 64);
	if (api_str(c, "slot", 1, slot, sizeof(slot)) == SP_OK && api_str(c, "keyfile", 0, label, sizeof(label)) == SP_OK &&
	    api_int(c, "shares", 1, 255, &shares) == SP_OK && api_int(c, "threshold", 1, 255, &threshold) == SP_OK &&
	    api_bytes(c, c->params, "credential_sealed", 0, &b) == SP_OK &&
	    api_bytes(c, c->params, "client_key", 0, &k) == SP_OK) {
		m.action = ctl_str(action);
		m.slot = slot;
		m.keyfile = label;
		m.shares = (uint32_t)shares;
		m.threshold = (uint32_t)threshold;
		m.credential = ctl_bytes(b.p, b.len);
		m.client_key = ctl_bytes(k.p, k.len);
		api_more(c, "slot", json_string(slot));
		api_ask(c, SP_MSG_VAULT_SLOTS, &m, CEREMONY_US, vault_answer_state);
	}
	sp_buf_release(&b);
	sp_buf_release(&k);
}

void vault_slot_add(struct api_call *c, struct sp_store *s) { (void)s; slots_ask(c, "add"); }
void vault_slot_remove(struct api_call *c, struct sp_store *s) { (void)s; slots_ask(c, "remove"); }
void vault_rekey(struct api_call *c, struct sp_store *s) { (void)s; slots_ask(c, "rekey"); }

/* ---- init: VAULT_INIT, then the administrator's password is hashed, then his rows are written ---- */

struct init_state {
	char	shares[256 * 1024];	/* base64, sealed to the client */
};

static int
count_user(const struct sp_store_user *u, void *arg)
{
	(void)u;
	++*(int *)arg;
	return 1;
}

static void
init_admin(struct api_call *c, struct sp_store *s, const char *hash)
{
	const json_t *admin = json_object_get(c->params, "admin"), *keys = json_object_get(admin, "keys");
	const char *login = json_string_value(json_object_get(admin, "login"));
	const struct init_state *st = c->state;
	struct sp_store_user u = { .role = SP_STORE_ROLE_ADMIN, .state = SP_STORE_ACTIVE, .epoch = 1, .os_uid = c->uid };
	uint64_t accepted = 0;
	size_t i;
	json_t *k;

	/* What was written before there was a key: from here on nothing is believed without its MAC. */
	if (api_store(c, sp_store_rows_accept_all(s, &accepted), "rows") != SP_OK)
		return;
	if (accepted > 0)
		api_more(c, "rows_accepted", json_integer((json_int_t)accepted));
	(void)sp_strlcpy(u.login, login, sizeof(u.login));
	(void)sp_strlcpy(u.password_hash, hash, sizeof(u.password_hash));
	if (api_store(c, sp_store_user_add(s, &u), login) != SP_OK)
		return;
	c->user = u.id;
	json_array_foreach(keys, i, k)
		if (user_add_key(c, s, &u, json_string_value(k)) != SP_OK)
			return;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = json_pack("{s:o, s:s}", "user", api_id(&u.id), "login", u.login);
	if (*st->shares)
		json_object_set_new(c->out, "shares_sealed", json_string(st->shares));
}

static void
init_hashed(struct api_call *c, struct sp_store *s)
{
	const Sallyport__HashReply *r = (Sallyport__HashReply *)c->reply;

	if (c->reply_id != SP_MSG_HASH_REPLY || r->err != SP_OK)
		(void)api_fail(c, c->reply_id == SP_MSG_HASH_REPLY ? (enum sp_err)r->err : SP_EINTERNAL,
		    "the vault is ready, but the administrator's password was not accepted: %s; run vault init again",
		    c->reply_id == SP_MSG_HASH_REPLY ? r->text : "");
	else
		init_admin(c, s, r->hash);
}

static void
init_user(struct api_call *c, struct sp_store *s)
{
	const json_t *admin = json_object_get(c->params, "admin");
	struct sp_buf b;

	sp_buf_init(&b, SEALED_MAX);
	if (json_object_get(admin, "password_sealed") == NULL) {
		init_admin(c, s, "");
	} else if (api_bytes(c, admin, "password_sealed", 1, &b) == SP_OK) {
		Sallyport__HashPassword m = SALLYPORT__HASH_PASSWORD__INIT;

		m.sealed = ctl_bytes(b.p, b.len);
		m.context = ctl_str("user.password");
		api_ask(c, SP_MSG_HASH_PASSWORD, &m, CEREMONY_US, init_hashed);
	}
	sp_buf_release(&b);
}

static void
init_done(struct api_call *c, struct sp_store *s)
{
	const Sallyport__VaultReply *r = vault_answer(c);
	struct init_state *st = c->state;
	struct sp_buf b;

	if (r == NULL && c->err != SP_ESTATE)
		return;
	if (r == NULL) {	/* initialised by an earlier attempt that made no administrator */
		c->err = SP_OK;
		c->text[0] = '\0';
		init_user(c, s);
		return;
	}
	sp_buf_init(&b, sizeof(st->shares) - 1);
	if (r->body.len > 0 && sp_base64(&b, r->body.data, r->body.len) == SP_OK)
		(void)sp_strlcpy(st->shares, sp_buf_cstr(&b), sizeof(st->shares));
	sp_buf_release(&b);
	init_user(c, s);
}

/* Once: as long as there is no user. A vault that was made by an attempt whose second half failed is kept. */
void
vault_init(struct api_call *c, struct sp_store *s)
{
	Sallyport__VaultInit m = SALLYPORT__VAULT_INIT__INIT;
	const json_t *admin = json_object_get(c->params, "admin");
	const char *login = json_string_value(json_object_get(admin, "login"));
	char slot[32] = "", keyfile[SP_CONF_TEXT] = "";
	struct sp_store_query one = { .limit = 1 };
	int64_t shares = 0, threshold = 0;
	struct sp_buf b, k;
	int users = 0;

	if (api_store(c, sp_store_user_list(s, &one, count_user, &users), "users") != SP_OK)
		return;
	if (users > 0) {
		(void)api_fail(c, SP_EEXIST, "this installation has an administrator already");
		return;
	}
	if (login == NULL || !sp_name_is_safe(login, SP_STORE_LOGIN_MAX)) {
		(void)api_fail(c, SP_EINVAL, "admin.login: a login has letters, digits, '.', '_' and '-'");
		return;
	}
	if ((c->state = calloc(1, sizeof(struct init_state))) == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	sp_buf_init(&b, SEALED_MAX);
	sp_buf_init(&k, 64);
	if (api_str(c, "slot", 1, slot, sizeof(slot)) == SP_OK && api_str(c, "keyfile", 0, keyfile, sizeof(keyfile)) == SP_OK &&
	    api_int(c, "shares", 1, 255, &shares) == SP_OK && api_int(c, "threshold", 1, 255, &threshold) == SP_OK &&
	    api_bytes(c, c->params, "sealed_passphrase", 0, &b) == SP_OK &&
	    api_bytes(c, c->params, "client_key", 0, &k) == SP_OK) {
		m.slot = slot;
		m.keyfile = keyfile;
		m.shares = (uint32_t)shares;
		m.threshold = (uint32_t)threshold;
		m.sealed_passphrase = ctl_bytes(b.p, b.len);
		m.client_key = ctl_bytes(k.p, k.len);
		api_more(c, "slot", json_string(slot));
		api_ask(c, SP_MSG_VAULT_INIT, &m, CEREMONY_US, init_done);
	}
	sp_buf_release(&b);
	sp_buf_release(&k);
}
