/* src/control/api_totp.c - second factors: enrol, confirm, remove, show.
 *	enrol:		check (reader) -> TOTP_NEW to the vault -> rows (writer); the answer carries what the vault sealed to the caller
 *	confirm:	check (reader) -> CODE_PUT with the sealed code -> the step is used up, the row confirmed (writer)
 *	remove:		the same for oneself, so that a stolen key or session does not take the second factor away; an
 *			administrator resets without a code, and never sees what was there
 * A secret that is not confirmed asks nobody for anything, and is replaced by the next enrolment. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/methods.h"
#include "control/mfa.h"
#include "control/wall.h"

#define SEALED_MAX	1024	/* bytes of a sealed code */
#define CLIENT_KEY_MAX	64
#define CODES_N		10

struct totp {			/* between the steps of a call */
	struct sp_uuid	secret_id;
	int		needs_code, guessed;
};

static enum sp_err
totp_state(struct api_call *c, struct totp **ret)
{
	if ((c->state = *ret = calloc(1, sizeof(**ret))) == NULL)
		return api_fail(c, SP_ENOMEM, "out of memory");
	return SP_OK;
}

/* ---- rows */

struct ids {
	struct sp_uuid	id[64];
	size_t		n;
};

static int
ids_add(const struct sp_store_recovery *row, void *arg)
{
	struct ids *i = arg;

	i->id[i->n++] = row->id;
	return i->n == SP_NELEMS(i->id);
}

enum sp_err
totp_erase(struct sp_store *s, const struct sp_uuid *user_id)
{
	struct sp_store_query q = { .of = *user_id };
	struct sp_store_totp t;
	struct ids ids;
	enum sp_err r;

	do {
		ids.n = 0;
		if ((r = sp_store_recovery_list(s, &q, ids_add, &ids)) != SP_OK)
			return r;
		for (size_t i = 0; i < ids.n; i++)
			if ((r = sp_store_recovery_delete(s, &ids.id[i], SP_STORE_ANY_VERSION)) != SP_OK)
				return r;
	} while (ids.n == SP_NELEMS(ids.id));
	if ((r = sp_store_totp_get(s, user_id, &t)) == SP_OK &&
	    (r = sp_store_totp_delete(s, user_id, SP_STORE_ANY_VERSION)) == SP_OK)
		r = sp_store_secret_delete(s, &t.secret_id, SP_STORE_ANY_VERSION);
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
totp_get(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, struct sp_store_totp *ret)
{
	enum sp_err r = sp_store_totp_get(s, &u->id, ret);

	if (r == SP_ENOENT)
		return api_fail(c, r, "%s has no second factor", u->login);
	return api_store(c, r, "the second factor");
}

/* ---- enrol */

static enum sp_err
enrol_recovery(struct api_call *c, struct sp_store *s, const Sallyport__TotpReply *a)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < a->n_recovery && r == SP_OK; i++) {
		struct sp_store_recovery row = { .user_id = c->user };

		if (a->recovery[i].len == 0 || a->recovery[i].len * 2 >= sizeof(row.hash))
			return api_fail(c, SP_EINTERNAL, "the vault answered something else");
		sp_hex(a->recovery[i].data, a->recovery[i].len, row.hash);
		r = api_store(c, sp_store_recovery_add(s, &row), "a recovery code");
	}
	return r;
}

static enum sp_err
enrol_secret(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, const Sallyport__TotpReply *a)
{
	const struct totp *t = c->state;
	struct sp_store_secret *k = calloc(1, sizeof(*k));
	enum sp_err r;

	if (k == NULL)
		return api_fail(c, SP_ENOMEM, "out of memory");
	k->id = t->secret_id;
	k->kind = SP_STORE_SECRET_TOTP;
	k->secret_version = 1;
	k->term = a->term;
	k->rotated_us = sp_wall_us();
	(void)sp_strlcpy(k->name, u->login, sizeof(k->name));
	if (a->envelope.len == 0 || a->envelope.len > sizeof(k->ciphertext.b)) {
		r = api_fail(c, SP_EINTERNAL, "the vault answered something else");
	} else {
		memcpy(k->ciphertext.b, a->envelope.data, a->envelope.len);
		k->ciphertext.len = (uint32_t)a->envelope.len;
		r = api_store(c, sp_store_secret_add(s, k), "the second factor");
	}
	free(k);
	return r;
}

static void
enrol_write(struct api_call *c, struct sp_store *s)
{
	const Sallyport__TotpReply *a = (Sallyport__TotpReply *)c->reply;
	const struct totp *t = c->state;
	struct sp_store_totp row = { .id = c->user, .secret_id = t->secret_id }, there;
	struct sp_store_user u;
	struct sp_config conf;

	if (c->reply_id != SP_MSG_TOTP_REPLY || a->err != SP_OK) {
		(void)api_fail(c, c->reply_id == SP_MSG_TOTP_REPLY ? (enum sp_err)a->err : SP_EINTERNAL,
		    "the vault made no second factor: %s", c->reply_id == SP_MSG_TOTP_REPLY ? a->text : "");
		return;
	}
	if (api_store(c, sp_store_user_get(s, &c->user, &u), "the user") != SP_OK)
		return;
	if (sp_store_totp_get(s, &c->user, &there) == SP_OK && there.confirmed) {
		(void)api_fail(c, SP_EEXIST, "%s has a second factor already: remove it first", u.login);
		return;
	}
	if (api_store(c, totp_erase(s, &c->user), "the second factor") != SP_OK || enrol_secret(c, s, &u, a) != SP_OK ||
	    api_store(c, sp_store_totp_add(s, &row), "the second factor") != SP_OK || enrol_recovery(c, s, a) != SP_OK)
		return;
	ctl_conf_copy(c->ctl, &conf);
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = json_pack("{s:s, s:s, s:o}", "login", u.login, "issuer", conf.bastion_name, "sealed",
	    api_base64(a->sealed.data, a->sealed.len));
}

void
user_totp_enrol(struct api_call *c, struct sp_store *s)
{
	Sallyport__TotpNew m = SALLYPORT__TOTP_NEW__INIT;
	struct sp_store_user u;
	struct sp_store_totp there;
	struct totp *t;
	struct sp_buf key;
	enum sp_err r;

	sp_buf_init(&key, CLIENT_KEY_MAX);
	if (user_self_or(c, s, SP_STORE_ROLE_ADMIN, &u) == SP_OK && api_bytes(c, c->params, "client_key", 1, &key) == SP_OK &&
	    totp_state(c, &t) == SP_OK) {
		c->user = u.id;
		if ((r = sp_store_totp_get(s, &u.id, &there)) == SP_OK && there.confirmed) {
			(void)api_fail(c, SP_EEXIST, "%s has a second factor already: remove it first", u.login);
		} else if (r != SP_OK && r != SP_ENOENT) {
			(void)api_store(c, r, "the second factor");
		} else {
			sp_uuid_make(&t->secret_id);
			m.secret_id = ctl_uuid_bytes(&t->secret_id);
			m.version = 1;
			m.user_id = ctl_uuid_bytes(&u.id);
			m.client_key = ctl_bytes(key.p, key.len);
			api_ask(c, SP_MSG_TOTP_NEW, &m, 0, enrol_write);
		}
	}
	sp_buf_release(&key);
}

/* ---- a code of the caller's */

/* Ask the vault about the sealed code for this user's secret. */
static void
code_ask(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, struct totp *t, api_fn *next)
{
	Sallyport__CodePut m = SALLYPORT__CODE_PUT__INIT;
	struct sp_store_secret *k = malloc(sizeof(*k));
	struct sp_store_totp row;
	struct sp_uuid id;
	struct sp_buf sealed;

	sp_buf_init(&sealed, SEALED_MAX);
	sp_uuid_make(&id);
	if (k == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
	} else if (totp_get(c, s, u, &row) == SP_OK && api_store(c, sp_store_secret_get(s, &row.secret_id, k), "the second factor") == SP_OK &&
	    api_bytes(c, c->params, "code_sealed", 1, &sealed) == SP_OK) {
		if (mfa_guess(c->ctl, &u->id, c->source) != SP_OK) {
			(void)api_fail(c, SP_EBUSY, "too many wrong codes: wait, and try again");
		} else {
			t->guessed = 1;
			t->secret_id = row.secret_id;
			m.check_id = ctl_uuid_bytes(&id);
			m.user_id = ctl_uuid_bytes(&u->id);
			m.secret_id = ctl_uuid_bytes(&k->id);
			m.secret_version = (uint32_t)k->secret_version;
			m.envelope = ctl_bytes(k->ciphertext.b, k->ciphertext.len);
			m.sealed = ctl_bytes(sealed.p, sealed.len);
			m.wall_us = ctl_wall_dating_us();
			api_ask(c, SP_MSG_CODE_PUT, &m, 0, next);
		}
	}
	sp_buf_release(&sealed);
	free(k);
}

/* The vault's answer, used up. The row is read again: it may have changed meanwhile. */
static enum sp_err
code_take(struct api_call *c, struct sp_store *s, const struct sp_store_user *u, int may_recover)
{
	const Sallyport__CodeResult *a = (Sallyport__CodeResult *)c->reply;
	const struct totp *t = c->state;
	struct sp_view hash;
	struct sp_store_totp row;
	int left;
	enum sp_err r;

	if (c->reply_id != SP_MSG_CODE_RESULT)
		return api_fail(c, SP_EINTERNAL, "the vault answered something else");
	if (a->err == SP_EAUTH || (a->err == SP_OK && a->recovery.len > 0 && !may_recover))
		return may_recover ? api_fail(c, SP_EAUTH, "that is neither the code of this moment nor a recovery code") :
		    api_fail(c, SP_EAUTH, "that is not the code of this moment: wait for the next, then 'user totp confirm %s'", u->login);
	if (a->err != SP_OK) {
		mfa_guess_back(c->ctl, &u->id, c->source, 0);
		return api_fail(c, (enum sp_err)a->err, "the code could not be checked: %s", a->text);
	}
	hash = (struct sp_view){ a->recovery.data, a->recovery.len };
	if ((r = totp_get(c, s, u, &row)) != SP_OK)
		return r;
	if (!sp_uuid_equal(&row.secret_id, &t->secret_id))
		return api_fail(c, SP_ECONFLICT, "the second factor was changed meanwhile");
	if ((r = mfa_use(s, &u->id, a->step, hash.len > 0 ? &hash : NULL, &left, NULL)) == SP_EDENIED)
		return api_fail(c, SP_EAUTH, "that code was used already: wait for the next one");
	if (r == SP_OK)
		mfa_guess_back(c->ctl, &u->id, c->source, 1);
	return api_store(c, r, "the second factor");
}

static void
confirm_write(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;
	struct sp_store_totp row;

	if (api_store(c, sp_store_user_get(s, &c->user, &u), "the user") != SP_OK || code_take(c, s, &u, 0) != SP_OK ||
	    totp_get(c, s, &u, &row) != SP_OK)
		return;
	row.confirmed = 1;
	if (api_store(c, sp_store_totp_update(s, &row), "the second factor") != SP_OK)
		return;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	c->out = json_pack("{s:s, s:b}", "login", u.login, "confirmed", 1);
}

void
user_totp_confirm(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;
	struct totp *t;

	if (user_self_or(c, s, SP_STORE_ROLE_ADMIN, &u) != SP_OK || totp_state(c, &t) != SP_OK)
		return;
	c->user = u.id;
	code_ask(c, s, &u, t, confirm_write);
}

/* ---- remove, show */

static void
remove_write(struct api_call *c, struct sp_store *s)
{
	const struct totp *t = c->state;
	struct sp_store_user u;
	struct sp_store_totp row;

	if (api_store(c, sp_store_user_get(s, &c->user, &u), "the user") != SP_OK || totp_get(c, s, &u, &row) != SP_OK ||
	    (t->needs_code && code_take(c, s, &u, 1) != SP_OK) || api_store(c, totp_erase(s, &u.id), "the second factor") != SP_OK)
		return;
	(void)sp_strlcpy(c->what, u.login, sizeof(c->what));
	api_more(c, "reset", json_boolean(!t->needs_code));
	c->out = json_pack("{s:s}", "login", u.login);
}

void
user_totp_remove(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;
	struct sp_store_totp row;
	struct totp *t;

	if (user_self_or(c, s, SP_STORE_ROLE_ADMIN, &u) != SP_OK || totp_state(c, &t) != SP_OK || totp_get(c, s, &u, &row) != SP_OK)
		return;
	c->user = u.id;
	t->needs_code = row.confirmed && !c->local_root && api_is_self(c, &u.id);
	if (!t->needs_code)
		c->next = remove_write;
	else if (api_text(c, "code_sealed") == NULL)
		(void)api_fail(c, SP_EAUTH, "a code is needed to remove one's own second factor: add --code; without one ask an administrator");
	else
		code_ask(c, s, &u, t, remove_write);
}

void
user_totp_changed(struct api_call *c)
{
	mfa_forget(c->ctl, &c->user);
}

static int
recovery_left(const struct sp_store_recovery *row, void *arg)
{
	json_int_t *n = arg;

	*n += row->used_us == 0;
	return 0;
}

void
user_totp_show(struct api_call *c, struct sp_store *s)
{
	struct sp_store_user u;
	struct sp_store_totp row = { 0 };
	struct sp_store_query q = { 0 };
	json_int_t left = 0;
	enum sp_err r;

	if (user_self_or(c, s, SP_STORE_ROLE_AUDITOR, &u) != SP_OK)
		return;
	q.of = u.id;
	if ((r = sp_store_totp_get(s, &u.id, &row)) == SP_ENOENT)
		r = SP_OK;
	if (api_store(c, r, "the second factor") != SP_OK ||
	    api_store(c, sp_store_recovery_list(s, &q, recovery_left, &left), "recovery codes") != SP_OK)
		return;
	c->out = json_pack("{s:s, s:s, s:o, s:I}", "login", u.login, "state", row.confirmed ? "active" :
	    sp_uuid_is_null(&row.secret_id) ? "none" : "not confirmed", "since", api_at(row.created_us), "recovery_left",
	    row.confirmed ? left : 0);
}
