/* src/vault/spend.c - SIGN_ASK, CERT_ASK, PASSWORD_ASK: a session uses a lease. Process: vault, loop thread.
 * A key signs nothing but a login request of the lease's user with that very key; an authority signs nothing but a
 * certificate whose every field but the subject key and the times comes from the lease; a password is handed out once. */
#include "vault/vault.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/netaddr.h"
#include "crypto/sign.h"
#include "wire/agent.h"
#include "wire/sshcert.h"
#include "wire/sshkey.h"
#include "wire/sshsig.h"
#include "wire/userauth.h"

#define CERT_REPLY_MAX	((size_t)15 * 1024)
#define SIG_REPLY_MAX	((size_t)3 * 1024)

static const char *const cert_extensions[] = { "permit-agent-forwarding", "permit-port-forwarding", "permit-pty" };

void
spend_catch_up(struct vault *v)
{
	if (v->control != NULL)
		sp_chan_on_io(v->control, 1, 0);
}

/* A use of the lease, or SP_EPEER with the session ejected: it is gone then. */
static enum sp_err
spend_lease(struct session *s, const ProtobufCBinaryData *id, enum lease_op op, struct lease **ret)
{
	struct vault *v = s->v;
	enum sp_err r;

	if (!v->unsealed)
		return SP_ESEALED;
	r = lease_spend(&v->leases, vault_view(id), &s->conn, op, sp_now_us(), ret);
	if (r == SP_ENOENT) {
		spend_catch_up(v);
		r = lease_spend(&v->leases, vault_view(id), &s->conn, op, sp_now_us(), ret);
	}
	if (r == SP_EPEER)
		session_eject(s, "asked for a lease of another connection");
	return r;
}

static const char *
spend_text(enum sp_err r, const char *why)
{
	return r == SP_OK ? "" : why != NULL ? why : r == SP_ENOENT ? "no such lease" : sp_err_text(r);
}

static void
spend_log(struct session *s, const char *what, enum sp_err r, const char *why)
{
	if (r != SP_OK)
		session_refuse(s, what, spend_text(r, why));
}

static enum sp_err
spend_secret(const struct vault *v, const struct lease *l, enum secret_kind kind, struct sp_secret *ret)
{
	struct secret_ref ref = { l->secret, l->terms->secret_version };

	return secret_open(v, &ref, kind, vault_view(&l->terms->sealed), NULL, ret);
}

/* ---- signatures */

/* Flags of the agent protocol name the hash of an RSA signature; they must say the same as the request. */
static int
sign_flags_fit(const struct sp_userauth *u, uint32_t flags)
{
	if (u->key_type != SP_SSHKEY_RSA || flags == 0)
		return 1;
	return sp_view_equal_str(u->algorithm, flags & SP_AGENT_RSA_SHA2_512 ? "rsa-sha2-512" : "rsa-sha2-256");
}

/* Is the login for the server that the lease names? Its key is in the request (hostbound), or it signed the session. */
static int
sign_is_for_host(const struct lease *l, const struct sp_userauth *u, struct sp_view bind)
{
	struct sp_view key = vault_view(&l->terms->host_key);

	if (key.len == 0)
		return 1;
	if (u->host_key.len > 0)
		return u->host_key.len == key.len && memcmp(u->host_key.p, key.p, key.len) == 0;
	return bind.len > 0 && sp_ssh_verify(key, bind, u->session_id) == SP_OK;
}

static enum sp_err
sign_check(const struct lease *l, struct sp_view blob, uint32_t flags, struct sp_view bind, struct sp_userauth *u,
    const char **why)
{
	enum sp_err r = l->terms->host_key.len > 0 ? sp_userauth_decode_any(blob, u) : sp_userauth_decode(blob, u);

	*why = "not a login request";
	if (r != SP_OK)
		return SP_EDENIED;
	*why = "a login request for another user";
	if (!sp_view_equal_str(u->user, l->terms->login))
		return SP_EDENIED;
	*why = "a login to another server";
	if (!sign_is_for_host(l, u, bind))
		return SP_EDENIED;
	*why = "signature flags do not fit";
	if (!sign_flags_fit(u, flags))
		return SP_EDENIED;
	*why = NULL;
	return SP_OK;
}

/* Sign a user-auth request with the secret of a lease, after all checks. Appends a signature blob. bind: the host key's
 * signature over the session. SP_EDENIED with *why (static): it is not what the lease is for. */
static enum sp_err
sign_blob(const struct vault *v, const struct lease *l, struct sp_view blob, uint32_t flags, struct sp_view bind,
    const char **why, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = SP_SSHKEY_BLOB_MAX };
	char algorithm[SP_SSHSIG_ALG_SIZE];
	struct sp_userauth u;
	sp_auto_secret key = { 0 };
	enum sp_err r;

	if ((r = sign_check(l, blob, flags, bind, &u, why)) != SP_OK || (r = spend_secret(v, l, SECRET_SSH_KEY, &key)) != SP_OK ||
	    (r = sp_privkey_public(&key, &pub)) != SP_OK)
		return r;
	*why = "a login request with another key";
	if (u.key_blob.len != pub.len || memcmp(u.key_blob.p, pub.p, pub.len) != 0 ||
	    u.algorithm.len >= sizeof(algorithm))
		return SP_EDENIED;
	*why = NULL;
	memcpy(algorithm, u.algorithm.p, u.algorithm.len);
	algorithm[u.algorithm.len] = 0;
	return sp_privkey_sign(&key, algorithm, blob, ret);
}

void
spend_on_sign(struct session *s, struct sp_msg *m)
{
	const Sallyport__SignAsk *b = (const Sallyport__SignAsk *)m->body;
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = SIG_REPLY_MAX };
	Sallyport__SignReply reply = SALLYPORT__SIGN_REPLY__INIT;
	struct lease *l = NULL;
	const char *why = NULL;
	char text[128];
	enum sp_err r = spend_lease(s, &b->lease, LEASE_SIGN, &l);

	if (r == SP_EPEER)
		return;
	if (r == SP_OK) {
		r = sign_blob(s->v, l, vault_view(&b->blob), b->flags, vault_view(&b->bind_signature), &why, &sig);
		lease_settle(&s->v->leases, l);
	}
	spend_log(s, "signature", r, why);
	(void)sp_strlcpy(text, spend_text(r, why), sizeof(text));
	reply.err = r;
	reply.text = text;
	reply.signature = r == SP_OK ? vault_bytes(sig.p, sig.len) : (ProtobufCBinaryData){ 0 };
	if (sp_chan_send(s->chan, SP_MSG_SIGN_REPLY, m->corr, &reply, NULL, 0) != SP_OK)
		session_eject(s, "does not read its answers");
}

/* ---- certificates */

/* "10.0.0.1,10.1.0.0/16" into dst; each must be an address or a network. */
static enum sp_err
cert_sources(const Sallyport__LeasePut *t, struct sp_buf *dst)
{
	struct sp_netaddr a;
	struct sp_netnet n;
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < t->n_source_addresses && r == SP_OK; i++) {
		if (sp_netaddr_parse(t->source_addresses[i], &a) != SP_OK && sp_netnet_parse(t->source_addresses[i], &n) != SP_OK)
			return SP_EINVAL;
		if (i > 0)
			r = sp_buf_append_str(dst, ",");
		if (r == SP_OK)
			r = sp_buf_append_str(dst, t->source_addresses[i]);
	}
	return r;
}

/* What the lease fixes. Views borrow from t and sources. */
static enum sp_err
cert_fill(const struct lease *l, struct sp_buf *sources, struct sp_sshcert *c, const char **why)
{
	const Sallyport__LeasePut *t = l->terms;
	int64_t now_s = (l->wall_us + (int64_t)sp_now_us()) / (int64_t)SP_US_PER_S;
	enum sp_err r = SP_OK;

	*why = "the lease has an unusable principal, key id or source address";
	c->serial = t->serial;
	c->key_id = (struct sp_view){ (const uint8_t *)t->key_id, strlen(t->key_id) };
	c->valid_after = (uint64_t)(now_s - LEASE_CERT_BACK_S);
	c->valid_before = (uint64_t)now_s + t->valid_s;
	for (size_t i = 0; i < t->n_principals && r == SP_OK; i++)
		r = sp_sshcert_add_principal(c, t->principals[i]);
	for (size_t i = 0; i < SP_NELEMS(cert_extensions) && r == SP_OK; i++)
		if (!t->forward_only || strcmp(cert_extensions[i], "permit-port-forwarding") == 0)
			r = sp_sshcert_add_extension(c, cert_extensions[i], NULL);
	if (r == SP_OK && (r = cert_sources(t, sources)) == SP_OK && sources->len > 0)
		r = sp_sshcert_add_critical(c, "source-address", sp_buf_cstr(sources));
	if (r == SP_OK)
		*why = NULL;
	return r;
}

/* A plain key of a kind that a session makes for itself. */
static enum sp_err
cert_subject(struct sp_view blob, struct sp_sshkey *ret, const char **why)
{
	*why = "only a plain ed25519 or ecdsa key is certified";
	if (sp_sshkey_decode(blob, ret) != SP_OK)
		return SP_EDENIED;
	if (ret->type != SP_SSHKEY_ED25519 && ret->type != SP_SSHKEY_ECDSA256 && ret->type != SP_SSHKEY_ECDSA384 &&
	    ret->type != SP_SSHKEY_ECDSA521)
		return SP_EDENIED;
	*why = NULL;
	return SP_OK;
}

static enum sp_err
cert_issue(const struct vault *v, const struct lease *l, struct sp_view subject, const char **why, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf ca = { .max = SP_SSHKEY_BLOB_MAX }, sources = { .max = SP_SSHCERT_VALUE_MAX };
	struct sp_sshcert c = { 0 };
	uint8_t nonce[SP_SSHCERT_NONCE];
	sp_auto_secret key = { 0 };
	enum sp_err r;

	if ((r = cert_subject(subject, &c.key, why)) != SP_OK || (r = cert_fill(l, &sources, &c, why)) != SP_OK ||
	    (r = spend_secret(v, l, SECRET_SSH_CA, &key)) != SP_OK || (r = sp_privkey_public(&key, &ca)) != SP_OK)
		return r;
	randombytes_buf(nonce, sizeof(nonce));
	c.nonce = (struct sp_view){ nonce, sizeof(nonce) };
	c.ca_key = (struct sp_view){ ca.p, ca.len };
	return sp_sshcert_encode(&c, sp_privkey_sign_cb, &key, ret);
}

void
spend_on_cert(struct session *s, struct sp_msg *m)
{
	const Sallyport__CertAsk *b = (const Sallyport__CertAsk *)m->body;
	sp_auto(sp_buf_release) struct sp_buf cert = { .max = CERT_REPLY_MAX };
	Sallyport__CertReply reply = SALLYPORT__CERT_REPLY__INIT;
	struct lease *l = NULL;
	const char *why = NULL;
	char text[128];
	enum sp_err r = spend_lease(s, &b->lease, LEASE_CERTIFICATE, &l);

	if (r == SP_EPEER)
		return;
	if (r == SP_OK) {
		r = cert_issue(s->v, l, vault_view(&b->public_key), &why, &cert);
		lease_settle(&s->v->leases, l);
	}
	spend_log(s, "certificate", r, why);
	(void)sp_strlcpy(text, spend_text(r, why), sizeof(text));
	reply.err = r;
	reply.text = text;
	reply.certificate = r == SP_OK ? vault_bytes(cert.p, cert.len) : (ProtobufCBinaryData){ 0 };
	if (sp_chan_send(s->chan, SP_MSG_CERT_REPLY, m->corr, &reply, NULL, 0) != SP_OK)
		session_eject(s, "does not read its answers");
}

/* ---- passwords */

void
spend_on_password(struct session *s, struct sp_msg *m)
{
	const Sallyport__PasswordAsk *b = (const Sallyport__PasswordAsk *)m->body;
	Sallyport__PasswordReply reply = SALLYPORT__PASSWORD_REPLY__INIT;
	sp_auto_secret password = { 0 };
	struct lease *l = NULL;
	char text[128];
	enum sp_err r = spend_lease(s, &b->lease, LEASE_PASSWORD, &l);

	if (r == SP_EPEER)
		return;
	if (r == SP_OK) {
		r = spend_secret(s->v, l, SECRET_PASSWORD, &password);
		l->uses = 0;	/* once, whatever control wrote */
		lease_settle(&s->v->leases, l);
	}
	spend_log(s, "password", r, NULL);
	(void)sp_strlcpy(text, spend_text(r, NULL), sizeof(text));
	reply.err = r;
	reply.text = text;
	reply.password = vault_bytes(password.p, password.len);
	if (sp_chan_send(s->chan, SP_MSG_PASSWORD_REPLY, m->corr, &reply, NULL, 0) != SP_OK)
		session_eject(s, "does not read its answers");
}
