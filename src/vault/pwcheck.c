/* src/vault/pwcheck.c - login passwords: PWCHECK_PUT, PASSWORD_CHECK, HASH_PASSWORD. Process: vault.
 * Control names a check and the stored hash; the session of that connection brings the password; the result goes to
 * control alone. argon2id runs in the hash pool: at most VAULT_HASH_QUEUE wait there, the loop and its signatures never do.
 * A user that does not exist (empty hash) costs the same time and gives the same answer as a wrong password. */
#include "vault/vault.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/sealkind.h"
#include "crypto/kdf.h"

#define CHECKS_MAX		10000
#define LOGIN_PASSWORD_MIN	8	/* bytes */

struct pwcheck {		/* waiting for the password */
	struct sp_hnode	node;
	struct sp_uuid	id, conn;
	uint64_t	deadline_us;
	char		hash[SP_PWHASH_SIZE];	/* "": unknown user */
};
struct pwjob {			/* one argon2id, to verify or to make a hash */
	struct sp_job	 job;
	struct vault	*v;
	uint32_t	 corr;		/* of HASH_PASSWORD */
	uint64_t	 control_gen;
	struct sp_uuid	 id;
	struct sp_secret password;
	char		 hash[SP_PWHASH_SIZE];
	enum sp_err	 err;
};

static void
pwjob_free(struct pwjob *j)
{
	if (j == NULL)
		return;
	sp_secret_release(&j->password);
	free(j);
}

static void
pwcheck_free(struct vault *v, struct pwcheck *c)
{
	sp_htab_remove(&v->checks, &c->node);
	free(c);
}

static void
pwcheck_result(struct vault *v, const struct sp_uuid *id, enum sp_err err)
{
	Sallyport__PasswordCheckResult m = SALLYPORT__PASSWORD_CHECK_RESULT__INIT;

	if (v->control == NULL)
		return;
	m.check_id = vault_bytes(id->b, sizeof(id->b));
	m.ok = err == SP_OK;
	m.err = err;
	if (sp_chan_send(v->control, SP_MSG_PWCHECK_RESULT, 0, &m, NULL, 0) != SP_OK)
		sp_warn("the result of a password check was not sent to control");
}

static enum sp_err
pwcheck_new(const Sallyport__PasswordCheckPut *b, struct pwcheck **ret)
{
	struct pwcheck *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return SP_ENOMEM;
	c->deadline_us = b->deadline_us;
	if (sp_uuid_from(b->check_id.data, b->check_id.len, &c->id) != SP_OK ||
	    sp_uuid_from(b->conn_id.data, b->conn_id.len, &c->conn) != SP_OK ||
	    sp_strlcpy(c->hash, b->hash, sizeof(c->hash)) != 0) {
		free(c);
		return SP_EINVAL;
	}
	*ret = c;
	return SP_OK;
}

void
pwcheck_on_put(struct vault *v, struct sp_msg *m)
{
	struct pwcheck *c = NULL;
	enum sp_err r = v->checks.n < CHECKS_MAX ? pwcheck_new((const Sallyport__PasswordCheckPut *)m->body, &c) : SP_EFULL;

	if (r == SP_OK && (r = sp_htab_insert(&v->checks, &c->node, c->id.b, sizeof(c->id.b))) != SP_OK)
		free(c);
	if (r != SP_OK)
		sp_warn("a password check of control is refused: %s", sp_err_text(r));
}

/* ---- in a thread of the pool */

static void
check_work(struct sp_job *job)
{
	struct pwjob *j = sp_container(job, struct pwjob, job);
	struct sp_view pw = sp_secret_view(&j->password);

	j->err = j->hash[0] != 0 ? sp_pwhash_verify(j->hash, pw) : sp_pwhash_verify_nobody(pw);
	if (j->err == SP_ECORRUPT)
		(void)!sp_pwhash_verify_nobody(pw);	/* the same time for everybody */
	sp_secret_release(&j->password);
}

static void
hash_work(struct sp_job *job)
{
	struct pwjob *j = sp_container(job, struct pwjob, job);

	j->err = sp_pwhash_make(sp_secret_view(&j->password), j->hash);
	sp_secret_release(&j->password);
}

/* ---- in the loop */

static void
check_done(struct sp_job *job)
{
	struct pwjob *j = sp_container(job, struct pwjob, job);

	if (j->err == SP_ECORRUPT)
		sp_error("the stored hash of a login password is damaged");
	pwcheck_result(j->v, &j->id, j->err);
	pwjob_free(j);
}

/* Queue the hashing. */
static enum sp_err
check_start(struct vault *v, const struct pwcheck *c, const ProtobufCBinaryData *password)
{
	struct pwjob *j = calloc(1, sizeof(*j));
	enum sp_err r;

	if (j == NULL)
		return SP_ENOMEM;
	*j = (struct pwjob){ .job = { .work = check_work, .done = check_done }, .v = v, .id = c->id };
	memcpy(j->hash, c->hash, sizeof(j->hash));
	if ((r = sp_secret_from(password->data, password->len, &j->password)) == SP_OK &&
	    (r = sp_pool_submit(v->hash_pool, &j->job)) == SP_OK)
		return SP_OK;
	pwjob_free(j);
	return r == SP_EFULL ? SP_EBUSY : r;
}

static struct pwcheck *
pwcheck_find(const struct vault *v, const ProtobufCBinaryData *id)
{
	struct sp_hnode *n = id->len == SP_UUID_LEN ? sp_htab_find(&v->checks, id->data, id->len) : NULL;

	return n != NULL ? sp_container(n, struct pwcheck, node) : NULL;
}

void
pwcheck_on_check(struct session *s, struct sp_msg *m)
{
	const Sallyport__PasswordCheck *b = (const Sallyport__PasswordCheck *)m->body;
	struct vault *v = s->v;
	struct pwcheck *c = pwcheck_find(v, &b->check_id);
	enum sp_err r;

	if (c == NULL) {
		spend_catch_up(v);
		c = pwcheck_find(v, &b->check_id);
	}
	if (c == NULL) {
		session_refuse(s, "password check", "no such check");
		return;
	}
	if (!sp_uuid_equal(&c->conn, &s->conn)) {
		session_eject(s, "answered a password check of another connection");
		return;
	}
	r = c->deadline_us <= sp_now_us() ? SP_EEXPIRED : b->password.len > SP_PASSWORD_MAX ? SP_EAUTH :
	    check_start(v, c, &b->password);
	if (r != SP_OK)
		pwcheck_result(v, &c->id, r);
	pwcheck_free(v, c);	/* one password for one check */
}

static void
hash_reply(struct vault *v, uint32_t corr, enum sp_err err, const char *why, char *hash)
{
	Sallyport__HashReply m = SALLYPORT__HASH_REPLY__INIT;
	char text[128];

	if (v->control == NULL)
		return;
	(void)sp_strlcpy(text, err == SP_OK ? "" : why != NULL ? why : sp_err_text(err), sizeof(text));
	m.err = err;
	m.text = text;
	if (err == SP_OK)
		m.hash = hash;
	if (sp_chan_send(v->control, SP_MSG_HASH_REPLY, corr, &m, NULL, 0) != SP_OK)
		sp_warn("a password hash was not sent to control");
}

static void
hash_done(struct sp_job *job)
{
	struct pwjob *j = sp_container(job, struct pwjob, job);

	if (j->control_gen == j->v->control_gen)
		hash_reply(j->v, j->corr, j->err, NULL, j->hash);
	pwjob_free(j);
}

static enum sp_err
hash_start(struct vault *v, const Sallyport__HashPassword *b, struct pwjob *j, const char **why)
{
	enum sp_err r;

	*why = "unknown context";
	if (b->context[0] != 0 && strcmp(b->context, SP_SEAL_USER_PASSWORD) != 0)
		return SP_EINVAL;
	*why = "the password was not sealed to this vault's present key";
	if ((r = vault_open_box(v, SP_SEAL_USER_PASSWORD, vault_view(&b->sealed), &j->password)) != SP_OK)
		return r;
	*why = "a login password has 8 to 1024 bytes";
	if (j->password.len < LOGIN_PASSWORD_MIN || j->password.len > SP_PASSWORD_MAX)
		return SP_EINVAL;
	*why = NULL;
	return sp_pool_submit(v->hash_pool, &j->job) == SP_OK ? SP_OK : SP_EBUSY;
}

void
pwcheck_on_hash(struct vault *v, struct sp_msg *m)
{
	struct pwjob *j = calloc(1, sizeof(*j));
	const char *why = NULL;
	enum sp_err r = SP_ENOMEM;

	if (j != NULL) {
		*j = (struct pwjob){ .job = { .work = hash_work, .done = hash_done }, .v = v, .corr = m->corr,
		    .control_gen = v->control_gen };
		if ((r = hash_start(v, (const Sallyport__HashPassword *)m->body, j, &why)) == SP_OK)
			return;
	}
	pwjob_free(j);
	hash_reply(v, m->corr, r, why, NULL);
}

/* ---- upkeep */

struct pwcheck_sweep {
	struct vault	*v;
	uint64_t	 now_us;
};

static void
pwcheck_sweep_one(struct sp_hnode *n, void *arg)
{
	struct pwcheck_sweep *w = arg;
	struct pwcheck *c = sp_container(n, struct pwcheck, node);

	if (c->deadline_us <= w->now_us)
		pwcheck_free(w->v, c);
}

void
pwcheck_sweep(struct vault *v, uint64_t now_us)
{
	struct pwcheck_sweep w = { v, now_us };

	sp_htab_each(&v->checks, pwcheck_sweep_one, &w);
}

void
pwcheck_clear(struct vault *v)
{
	pwcheck_sweep(v, UINT64_MAX);
}
