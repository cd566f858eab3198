/* src/vault/totp.c - second factors: TOTP_NEW, CODE_PUT, CODE_CHECK. Process: vault.
 * The shared secret is made here and leaves once, sealed to the key of who enrols; a code comes from the session of the
 * connection that control named, or sealed by a client. The answer to control is the step that the code belongs to: that
 * no step is used twice is control's to see to, in the store. A recovery code is only hashed: which ones there are, and
 * which are used, control knows.
 * Nothing here waits: a check is three HMACs. */
#include "vault/vault.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/sealkind.h"
#include "vault/otp.h"

#define CODES_MAX	10000	/* checks that wait for their code */
#define CODE_MAX	64	/* bytes of what was typed */
#define CODE_ENVELOPE	1024

struct codecheck {		/* waiting for the code */
	struct sp_hnode		node;
	struct sp_uuid		id, conn, user;
	uint64_t		deadline_us;
	struct secret_ref	ref;
	int64_t			wall_us;	/* wall time at boottime 0, by the word of control */
	size_t			envelope_len;
	uint8_t			envelope[CODE_ENVELOPE];
};

static void
code_free(struct vault *v, struct codecheck *c)
{
	sp_htab_remove(&v->codes, &c->node);
	free(c);
}

static void
code_result(struct vault *v, uint32_t corr, const struct sp_uuid *id, enum sp_err err, int64_t step, const uint8_t *hash)
{
	Sallyport__CodeResult m = SALLYPORT__CODE_RESULT__INIT;
	char text[64];

	if (v->control == NULL)
		return;
	(void)sp_strlcpy(text, err != SP_OK ? sp_err_text(err) : "", sizeof(text));
	m.check_id = vault_bytes(id->b, sizeof(id->b));
	m.err = err;
	m.text = text;
	m.step = step;
	if (hash != NULL)
		m.recovery = vault_bytes(hash, OTP_HASH);
	if (sp_chan_send(v->control, SP_MSG_CODE_RESULT, corr, &m, NULL, 0) != SP_OK)
		sp_warn("the result of a code check was not sent to control");
}

/* Check and answer. The secret is opened whatever was typed: the time says nothing about its form. */
static void
code_verify(struct vault *v, uint32_t corr, const struct codecheck *c, struct sp_view typed)
{
	sp_auto_secret secret = { 0 };
	char plain[OTP_RECOVERY + 1];
	uint8_t hash[OTP_HASH];
	enum otp_kind kind = typed.len <= CODE_MAX ? otp_read(typed, plain) : OTP_NEITHER;
	int64_t step = 0;
	enum sp_err r = secret_open(v, &c->ref, SECRET_TOTP, (struct sp_view){ c->envelope, c->envelope_len }, NULL, &secret);

	if (r == SP_OK && secret.len != OTP_SECRET)
		r = SP_ECORRUPT;
	if (r != SP_OK) {
		code_result(v, corr, &c->id, r == SP_EAUTH ? SP_ECORRUPT : r, 0, NULL);
		return;
	}
	r = otp_verify(secret.p, kind == OTP_CODE ? plain : "xxxxxx", (c->wall_us + (int64_t)sp_now_us()) / (int64_t)SP_US_PER_S, &step);
	if (kind == OTP_RECOVERY_CODE) {
		otp_recovery_hash(&c->user, plain, hash);
		code_result(v, corr, &c->id, SP_OK, 0, hash);
	} else {
		code_result(v, corr, &c->id, r, step, NULL);
	}
	explicit_bzero(plain, sizeof(plain));
}

static enum sp_err
code_parse(const Sallyport__CodePut *b, struct codecheck *c)
{
	if (sp_uuid_from(b->check_id.data, b->check_id.len, &c->id) != SP_OK ||
	    sp_uuid_from(b->user_id.data, b->user_id.len, &c->user) != SP_OK ||
	    (b->sealed.len == 0 && sp_uuid_from(b->conn_id.data, b->conn_id.len, &c->conn) != SP_OK) ||
	    secret_ref_parse(&b->secret_id, b->secret_version, &c->ref) != SP_OK || b->envelope.len == 0 ||
	    b->wall_us <= 0 || b->wall_us > LEASE_WALL_MAX_US)
		return SP_EINVAL;
	if (b->envelope.len > sizeof(c->envelope))
		return SP_ESIZE;
	memcpy(c->envelope, b->envelope.data, c->envelope_len = b->envelope.len);
	c->deadline_us = b->deadline_us;
	c->wall_us = b->wall_us - (int64_t)sp_now_us();
	return SP_OK;
}

/* The code is here already, sealed by who typed it. */
static void
code_sealed(struct vault *v, uint32_t corr, const struct codecheck *c, struct sp_view sealed)
{
	sp_auto_secret typed = { 0 };
	enum sp_err r = vault_open_box(v, SP_SEAL_CODE, sealed, &typed);

	if (r != SP_OK)
		code_result(v, corr, &c->id, SP_EINVAL, 0, NULL);
	else
		code_verify(v, corr, c, sp_secret_view(&typed));
}

void
totp_on_put(struct vault *v, struct sp_msg *m)
{
	const Sallyport__CodePut *b = (const Sallyport__CodePut *)m->body;
	struct codecheck *c = v->codes.n < CODES_MAX ? calloc(1, sizeof(*c)) : NULL;
	enum sp_err r = c != NULL ? code_parse(b, c) : SP_EFULL;

	if (r == SP_OK && b->sealed.len > 0) {
		code_sealed(v, m->corr, c, vault_view(&b->sealed));
		free(c);
		return;
	}
	if (r == SP_OK)
		r = sp_htab_insert(&v->codes, &c->node, c->id.b, sizeof(c->id.b));
	if (r != SP_OK) {
		struct sp_uuid none = { 0 };

		sp_warn("a code check of control is refused: %s", sp_err_text(r));
		if (b->sealed.len > 0)
			code_result(v, m->corr, &none, r, 0, NULL);
		free(c);
	}
}

static struct codecheck *
code_find(const struct vault *v, const ProtobufCBinaryData *id)
{
	struct sp_hnode *n = id->len == SP_UUID_LEN ? sp_htab_find(&v->codes, id->data, id->len) : NULL;

	return n != NULL ? sp_container(n, struct codecheck, node) : NULL;
}

void
totp_on_check(struct session *s, struct sp_msg *m)
{
	const Sallyport__CodeCheck *b = (const Sallyport__CodeCheck *)m->body;
	struct vault *v = s->v;
	struct codecheck *c = code_find(v, &b->check_id);

	if (c == NULL) {
		spend_catch_up(v);
		c = code_find(v, &b->check_id);
	}
	if (c == NULL) {
		session_refuse(s, "code check", "no such check");
		return;
	}
	if (!sp_uuid_equal(&c->conn, &s->conn)) {
		session_eject(s, "answered a code check of another connection");
		return;
	}
	if (c->deadline_us <= sp_now_us())
		code_result(v, 0, &c->id, SP_EEXPIRED, 0, NULL);
	else
		code_verify(v, 0, c, vault_view(&b->code));
	code_free(v, c);	/* one code for one check */
}

/* ---- enrolment */

struct enrolment {
	struct secret_ref	 ref;
	struct sp_uuid		 user;
	struct sp_secret	 secret, lines;		/* lines: what the person sees, once */
	uint8_t			 hash[OTP_RECOVERY_N][OTP_HASH];
};

#define LINES_MAX	(OTP_BASE32 + 1 + OTP_RECOVERY_N * OTP_RECOVERY_TEXT)

static enum sp_err
enrol_make(struct enrolment *e)
{
	sp_auto_secret random = { 0 };
	char plain[OTP_RECOVERY + 1];
	uint8_t *at;
	enum sp_err r;

	if ((r = sp_secret_random(OTP_SECRET, &e->secret)) != SP_OK || (r = sp_secret_alloc(LINES_MAX + 1, &e->lines)) != SP_OK ||
	    (r = sp_secret_random((size_t)OTP_RECOVERY_N * 10, &random)) != SP_OK)
		return r;
	at = e->lines.p;
	otp_base32(e->secret.p, OTP_SECRET / 5, 0, (char *)at);
	at[OTP_BASE32] = '\n';
	at += OTP_BASE32 + 1;
	for (size_t i = 0; i < OTP_RECOVERY_N; i++, at += OTP_RECOVERY_TEXT) {
		otp_recovery_text(random.p + 10 * i, (char *)at, plain);
		at[OTP_RECOVERY_TEXT - 1] = '\n';
		otp_recovery_hash(&e->user, plain, e->hash[i]);
	}
	explicit_bzero(plain, sizeof(plain));
	e->lines.len = LINES_MAX;
	return SP_OK;
}

static enum sp_err
enrol(struct vault *v, const Sallyport__TotpNew *b, struct enrolment *e, struct sp_buf *envelope, struct sp_buf *sealed)
{
	enum sp_err r;

	if (!v->unsealed)
		return SP_ESEALED;
	if (secret_ref_parse(&b->secret_id, b->version, &e->ref) != SP_OK ||
	    sp_uuid_from(b->user_id.data, b->user_id.len, &e->user) != SP_OK)
		return SP_EINVAL;
	if ((r = enrol_make(e)) != SP_OK ||
	    (r = secret_seal(v, &e->ref, SECRET_TOTP, SECRET_GENERATED, sp_secret_view(&e->secret), envelope)) != SP_OK)
		return r;
	return vault_seal_for(vault_view(&b->client_key), SP_SEAL_TOTP, sp_secret_view(&e->lines), sealed);
}

void
totp_on_new(struct vault *v, struct sp_msg *m)
{
	sp_auto(sp_buf_release) struct sp_buf envelope = { .max = CODE_ENVELOPE }, sealed = { .max = 4096 };
	Sallyport__TotpReply reply = SALLYPORT__TOTP_REPLY__INIT;
	ProtobufCBinaryData hash[OTP_RECOVERY_N];
	struct enrolment e = { 0 };
	char text[64];
	enum sp_err r = enrol(v, (const Sallyport__TotpNew *)m->body, &e, &envelope, &sealed);

	sp_secret_release(&e.secret);
	sp_secret_release(&e.lines);
	reply.err = r;
	(void)sp_strlcpy(text, r != SP_OK ? sp_err_text(r) : "", sizeof(text));
	reply.text = text;
	if (r == SP_OK) {
		reply.envelope = vault_bytes(envelope.p, envelope.len);
		reply.sealed = vault_bytes(sealed.p, sealed.len);
		reply.term = sp_keyring_term(&v->keys);
		for (size_t i = 0; i < OTP_RECOVERY_N; i++)
			hash[i] = vault_bytes(e.hash[i], OTP_HASH);
		reply.recovery = hash;
		reply.n_recovery = OTP_RECOVERY_N;
	}
	if (v->control != NULL && sp_chan_send(v->control, SP_MSG_TOTP_REPLY, m->corr, &reply, NULL, 0) != SP_OK)
		sp_warn("the answer to an enrolment was not sent to control");
}

/* ---- upkeep */

struct code_sweep {
	struct vault	*v;
	uint64_t	 now_us;
};

static void
code_sweep_one(struct sp_hnode *n, void *arg)
{
	struct code_sweep *w = arg;
	struct codecheck *c = sp_container(n, struct codecheck, node);

	if (c->deadline_us <= w->now_us)
		code_free(w->v, c);
}

void
totp_sweep(struct vault *v, uint64_t now_us)
{
	struct code_sweep w = { v, now_us };

	sp_htab_each(&v->codes, code_sweep_one, &w);
}

void
totp_clear(struct vault *v)
{
	totp_sweep(v, UINT64_MAX);
}
