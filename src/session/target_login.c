/* src/session/target_login.c - credentials for a target: leased by control one method after another, used at the vault, or
 * typed by the user. Process: session. Invariants: (1) a lease is used once, and not before target_go_on() says so. (2) No
 * private key is ever here, and a password only for as long as its login. */
#include "session/target_int.h"

#include <string.h>

#include "base/clock.h"

static const char *
target_method(const struct target *t)
{
	return t->method < t->reply->n_methods ? t->reply->methods[t->method]->kind : "";
}

static void
target_no_login(struct target *t)
{
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "%s refused the login of %s", target_name(t), t->login);
	target_fail(t, line, "login refused by the target");
}

static void
target_no_lease(struct target *t, const char *text)
{
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "No credential for %s: %s", target_name(t),
	    text != NULL && text[0] != '\0' ? text : "Sallyport did not answer in time");
	target_fail(t, line, "no credential");
}

static void target_ask_signature(struct target *t);

static int
target_on_lease(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__LeaseReply *r = m != NULL ? (const Sallyport__LeaseReply *)m->body : NULL;

	(void)s;
	if (r != NULL && r->err == SP_ECLOSED)
		return 0;		/* killed: the line that says by whom is on its way; else the deadline ends it */
	if (r == NULL || r->err != SP_OK) {
		target_no_lease(t, r != NULL ? r->text : NULL);
		return 0;
	}
	sp_buf_reset(&t->lease);
	if (sp_buf_append(&t->lease, r->lease.data, r->lease.len) != SP_OK) {
		target_no_lease(t, "out of memory");
		return 0;
	}
	if (strcmp(target_method(t), "key") == 0) {
		sp_buf_reset(&t->key);
		if (sp_buf_append(&t->key, r->public_key.data, r->public_key.len) != SP_OK) {
			target_no_lease(t, "out of memory");
			return 0;
		}
	}
	if (t->sign.len > 0) {		/* the login waits for this signature */
		target_ask_signature(t);
		return 0;
	}
	t->leased = 1;
	target_go_on(t);
	return 0;
}

void
target_ask_lease(struct target *t)
{
	static const struct { const char *method, *op; } ops[] = {
		{ "certificate", "certificate" }, { "key", "sign" }, { "password", "password" }
	};
	Sallyport__LeaseAsk q = SALLYPORT__LEASE_ASK__INIT;
	const char *op = NULL;

	for (size_t i = 0; i < SP_NELEMS(ops); i++)
		if (strcmp(ops[i].method, target_method(t)) == 0)
			op = ops[i].op;
	t->leased = 0;
	t->unleased = op == NULL;
	if (op == NULL)
		return;			/* typed by the user */
	q.session_id = target_id(t);
	q.op = (char *)(uintptr_t)op;
	if (strcmp(op, "certificate") == 0) {
		sp_buf_reset(&t->key);
		if (sp_leg_ephemeral(t->leg, &t->key) != SP_OK) {
			target_no_lease(t, "out of memory");
			return;
		}
		q.session_public_key = (ProtobufCBinaryData){ t->key.len, t->key.p };
	}
	session_ask(t->s, SP_PROC_CONTROL, SP_MSG_LEASE_ASK, &q, -1, t->s->conf->control_wait, target_on_lease, t);
}

void
target_next_method(struct target *t)
{
	t->method++;
	if (target_method(t)[0] == '\0') {
		target_no_login(t);
		return;
	}
	target_ask_lease(t);
	target_go_on(t);
}

/* The vault refused the lease. When it has none such, the session was killed meanwhile, or the vault is a new one: control
 * knows which, and is asked once more. */
static void
target_refused_lease(struct target *t, uint32_t err, const char *text)
{
	if (err == SP_ENOENT && !t->lease_again) {
		t->lease_again = 1;
		target_ask_lease(t);
	} else
		target_no_lease(t, text);
}

/* ---- a key of the vault */

static int
target_on_signature(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__SignReply *r = m != NULL ? (const Sallyport__SignReply *)m->body : NULL;
	struct sp_view v = { NULL, 0 };

	(void)s;
	if (r != NULL && r->err == SP_ENOENT) {
		target_refused_lease(t, r->err, r->text);
		return 0;
	}
	if (r != NULL && r->err == SP_OK)
		v = (struct sp_view){ r->signature.data, r->signature.len };
	sp_buf_reset(&t->sign);
	if (sp_leg_signed(t->leg, v) != SP_OK)
		target_next_method(t);
	return 0;
}

static void
target_ask_signature(struct target *t)
{
	Sallyport__SignAsk q = SALLYPORT__SIGN_ASK__INIT;

	q.lease = (ProtobufCBinaryData){ t->lease.len, t->lease.p };
	q.blob = (ProtobufCBinaryData){ t->sign.len, t->sign.p };
	session_ask(t->s, SP_PROC_VAULT, SP_MSG_SIGN_ASK, &q, -1, t->s->conf->control_wait, target_on_signature, t);
}

void
target_on_sign(void *arg, struct sp_view blob)
{
	struct target *t = arg;

	sp_buf_reset(&t->sign);
	if (sp_buf_append(&t->sign, blob.p, blob.len) != SP_OK)
		target_no_lease(t, "out of memory");
	else
		target_ask_signature(t);
}

/* ---- certificate, password */

static int
target_on_cert(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__CertReply *r = m != NULL ? (const Sallyport__CertReply *)m->body : NULL;

	(void)s;
	if (r == NULL)
		target_no_lease(t, NULL);
	else if (r->err != SP_OK)
		target_refused_lease(t, r->err, r->text);
	else if (sp_leg_login_cert(t->leg, (struct sp_view){ r->certificate.data, r->certificate.len }) != SP_OK)
		target_next_method(t);
	return 0;
}

static int
target_on_password(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__PasswordReply *r = m != NULL ? (const Sallyport__PasswordReply *)m->body : NULL;
	struct sp_buf pw;

	(void)s;
	if (r == NULL || r->err != SP_OK) {
		if (r != NULL)
			target_refused_lease(t, r->err, r->text);
		else
			target_no_lease(t, NULL);
		return 0;
	}
	sp_buf_init(&pw, 8192);
	if (memchr(r->password.data, '\0', r->password.len) != NULL ||
	    sp_buf_append(&pw, r->password.data, r->password.len) != SP_OK ||
	    sp_leg_login_password(t->leg, sp_buf_cstr(&pw)) != SP_OK)
		target_next_method(t);
	sp_buf_release(&pw);
	return 0;
}

/* ---- typed; the login itself */

/* It was typed in the login, for this very account. Used once. */
static int
target_typed_before(struct target *t)
{
	struct login *l = &t->s->login;
	char name[sizeof(l->typed_for)];

	(void)sp_snprintf(name, sizeof(name), "%s@%s", t->login, target_name(t));
	if (!t->lasting || l->typed.len == 0 || strcmp(name, l->typed_for) != 0)
		return 0;
	if (sp_leg_login_password(t->leg, sp_buf_cstr(&l->typed)) != SP_OK)
		target_no_login(t);
	sp_buf_release(&l->typed);
	return 1;
}

/* A password that only the user knows: typed in the login, or on a terminal, without echo. */
static void
target_ask_user(struct target *t)
{
	char line[SESSION_TEXT];

	if (target_typed_before(t))
		return;
	t->asking = NULL;
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t && r->pty && r->kind == RELAY_SESSION && r->state != RL_DONE && t->asking == NULL)
			t->asking = r;
	}
	if (t->asking == NULL) {
		(void)sp_snprintf(line, sizeof(line), "%.128s wants a password that only you know: name it in the login "
		    "(ssh %.64s@%.64s@%.128s@%.128s), or connect with a terminal (ssh -t)", target_name(t), t->s->login.user, t->account,
		    target_name(t), t->s->conf->bastion_name);
		target_fail(t, line, "no terminal to type a password on");
		return;
	}
	sp_timer_in(t->deadline, 120 * SP_US_PER_S);
	(void)sp_snprintf(line, sizeof(line), "%s@%s's password: ", t->login, target_name(t));
	(void)sp_channel_write(t->asking->near, SP_STREAM_OUT, line, strlen(line));
	relay_pump(t->asking);		/* what was typed ahead */
}

void
target_typed(struct target *t, struct relay *r, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && t->asking == r; i++) {
		if (p[i] == 3 || (p[i] == 4 && t->typed.len == 0)) {
			t->asking = NULL;
			target_fail(t, "Login given up", "typed password given up");
		} else if (p[i] == '\r' || p[i] == '\n') {
			t->asking = NULL;
			(void)sp_channel_write(r->near, SP_STREAM_OUT, "\r\n", 2);
			if (sp_leg_login_password(t->leg, sp_buf_cstr(&t->typed)) != SP_OK)
				target_no_login(t);
			sp_buf_release(&t->typed);
			sp_buf_init(&t->typed, 1024);
		} else if (p[i] == 127 || p[i] == 8) {
			if (t->typed.len > 0)
				t->typed.p[--t->typed.len] = '\0';
		} else if (sp_buf_put_u8(&t->typed, p[i]) != SP_OK)
			target_fail(t, "The password is too long", "typed password too long");
	}
}

void
target_login(struct target *t)
{
	const char *kind = target_method(t);

	if (strcmp(kind, "certificate") == 0) {
		Sallyport__CertAsk q = SALLYPORT__CERT_ASK__INIT;

		q.lease = (ProtobufCBinaryData){ t->lease.len, t->lease.p };
		q.public_key = (ProtobufCBinaryData){ t->key.len, t->key.p };
		session_ask(t->s, SP_PROC_VAULT, SP_MSG_CERT_ASK, &q, -1, t->s->conf->control_wait, target_on_cert, t);
	} else if (strcmp(kind, "key") == 0) {
		if (sp_leg_login_key(t->leg, (struct sp_view){ t->key.p, t->key.len }) != SP_OK)
			target_next_method(t);
	} else if (strcmp(kind, "password") == 0) {
		Sallyport__PasswordAsk q = SALLYPORT__PASSWORD_ASK__INIT;

		q.lease = (ProtobufCBinaryData){ t->lease.len, t->lease.p };
		session_ask(t->s, SP_PROC_VAULT, SP_MSG_PASSWORD_ASK, &q, -1, t->s->conf->control_wait, target_on_password, t);
	} else if (strcmp(kind, "typed") == 0)
		target_ask_user(t);
	else
		target_next_method(t);
}
