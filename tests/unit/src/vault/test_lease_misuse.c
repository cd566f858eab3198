/* tests/unit/src/vault/test_lease_misuse.c - a lease does what it says, once, for whom it says; everything else is refused. */
#include "harness.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "crypto/sign.h"
#include "wire/userauth.h"

static struct rig r;
static struct peer session;
static struct stored key, ca, password;

static struct sp_buf
login_request(const char *user, const struct stored *s, const char *algorithm, size_t sid_len)
{
	static const uint8_t sid[64] = { 1, 2, 3 };
	struct sp_userauth u = { 0 };
	struct sp_buf out;

	sp_buf_init(&out, SP_USERAUTH_MAX);
	u.session_id = (struct sp_view){ sid, sid_len };
	u.user = (struct sp_view){ (const uint8_t *)user, strlen(user) };
	u.algorithm = (struct sp_view){ (const uint8_t *)algorithm, strlen(algorithm) };
	u.key_blob = (struct sp_view){ s->pub.p, s->pub.len };
	assert_int_equal(sp_userauth_encode(&u, &out), SP_OK);
	return out;
}

static enum sp_err
ask_sign(struct peer *p, const struct lease_msg *l, const struct sp_buf *blob, struct sp_buf *sig)
{
	Sallyport__SignAsk m = SALLYPORT__SIGN_ASK__INIT;
	const Sallyport__SignReply *reply;

	m.lease = bytes_of(l->id, sizeof(l->id));
	m.blob = bytes_of(blob->p, blob->len);
	if ((reply = peer_ask(p, SP_MSG_SIGN_ASK, &m, SP_MSG_SIGN_REPLY)) == NULL)
		return SP_ECLOSED;
	assert_true((reply->err == SP_OK) == (reply->signature.len > 0));
	if (sig != NULL)
		assert_int_equal(sp_buf_append(sig, reply->signature.data, reply->signature.len), SP_OK);
	return (enum sp_err)reply->err;
}

static enum sp_err
ask_cert(struct peer *p, const struct lease_msg *l, const struct stored *subject)
{
	Sallyport__CertAsk m = SALLYPORT__CERT_ASK__INIT;
	const Sallyport__CertReply *reply;

	m.lease = bytes_of(l->id, sizeof(l->id));
	m.public_key = bytes_of(subject->pub.p, subject->pub.len);
	reply = peer_ask(p, SP_MSG_CERT_ASK, &m, SP_MSG_CERT_REPLY);
	return reply == NULL ? SP_ECLOSED : (enum sp_err)reply->err;
}

static enum sp_err
ask_password(struct peer *p, const struct lease_msg *l, char ret[64])
{
	Sallyport__PasswordAsk m = SALLYPORT__PASSWORD_ASK__INIT;
	const Sallyport__PasswordReply *reply;

	m.lease = bytes_of(l->id, sizeof(l->id));
	if ((reply = peer_ask(p, SP_MSG_PASSWORD_ASK, &m, SP_MSG_PASSWORD_REPLY)) == NULL)
		return SP_ECLOSED;
	if (reply->err == SP_OK && ret != NULL)
		sp_snprintf(ret, 64, "%.*s", (int)reply->password.len, (const char *)reply->password.data);
	return (enum sp_err)reply->err;
}

/* ---- what works */

static void
signs_the_login_it_is_for_with_every_kind_of_key(void **state)
{
	static const struct { const char *make, *algorithm; } rows[] = {
		{ "ed25519", "ssh-ed25519" }, { "ecdsa", "ecdsa-sha2-nistp256" }, { "ecdsa-521", "ecdsa-sha2-nistp521" },
		{ "rsa", "rsa-sha2-256" }, { "rsa", "rsa-sha2-512" },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		sp_auto(sp_buf_release) struct sp_buf blob = { 0 }, sig = { .max = 4096 };
		struct lease_msg l;
		struct stored s;

		assert_int_equal(secret_put(&r, "ssh-key", NULL, rows[i].make, &s), SP_OK);
		blob = login_request("deploy", &s, rows[i].algorithm, 32);
		lease_make(&r, &session, &s, &l);
		lease_send(&r, &l);
		assert_int_equal(ask_sign(&session, &l, &blob, &sig), SP_OK);
		assert_int_equal(sp_ssh_verify((struct sp_view){ s.pub.p, s.pub.len }, (struct sp_view){ sig.p, sig.len },
		    (struct sp_view){ blob.p, blob.len }), SP_OK);
		stored_release(&s);
	}
}

static void
hands_out_a_password_once_whatever_the_lease_says(void **state)
{
	struct lease_msg l;
	char got[64];

	(void)state;
	lease_make(&r, &session, &password, &l);
	l.m.uses = 3;
	lease_send(&r, &l);
	assert_int_equal(ask_password(&session, &l, got), SP_OK);
	assert_string_equal(got, "s3cret word");
	assert_int_equal(ask_password(&session, &l, got), SP_ENOENT);
}

/* ---- leases that control must not mint: each is dropped, the session reads "no such lease" */

static void bad_boot(struct lease_msg *l) { l->m.vault_boot = bytes_of(l->id, 16); }
static void bad_uses(struct lease_msg *l) { l->m.uses = 0; }
static void many_uses(struct lease_msg *l) { l->m.uses = 1000; }
static void bad_deadline(struct lease_msg *l) { l->m.deadline_us = 1; }
static void far_deadline(struct lease_msg *l) { l->m.deadline_us = sp_now_us() + 3600 * SP_US_PER_S; }
static void no_login(struct lease_msg *l) { static char none[] = ""; l->m.login = none; }
static void op_password(struct lease_msg *l) { static char op[] = "password"; l->m.op = op; }
static void op_unknown(struct lease_msg *l) { static char op[] = "dump"; l->m.op = op; }
static void kind_lie(struct lease_msg *l) { static char op[] = "password", k[] = "password"; l->m.op = op; l->m.secret_kind = k; }

static void
refuses_leases_that_are_out_of_order(void **state)
{
	static void (*const rows[])(struct lease_msg *) = { bad_boot, bad_uses, many_uses, bad_deadline, far_deadline,
	    no_login, op_password, op_unknown };
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct lease_msg l;

		lease_make(&r, &session, &key, &l);
		rows[i](&l);
		lease_send(&r, &l);
		assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_ENOENT);
	}
}

static void
a_key_is_not_handed_out_as_a_password(void **state)
{
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &key, &l);
	kind_lie(&l);
	lease_send(&r, &l);
	assert_int_equal(ask_password(&session, &l, NULL), SP_EDENIED);
}

/* ---- blobs that must not be signed */

static void
signs_nothing_but_the_login_request_of_its_lease(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf other_user = login_request("root", &key, "ssh-ed25519", 32),
	    other_key = login_request("deploy", &ca, "ssh-ed25519", 32), good = login_request("deploy", &key, "ssh-ed25519", 32),
	    longer = login_request("deploy", &key, "ssh-ed25519", 32), text = { .max = 64 };
	const struct sp_buf *rows[] = { &other_user, &other_key, &longer, &text };

	(void)state;
	assert_int_equal(sp_buf_put_u8(&longer, 0), SP_OK);
	assert_int_equal(sp_buf_append_str(&text, "SSHSIG, or anything at all"), SP_OK);
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct lease_msg l;

		lease_make(&r, &session, &key, &l);
		lease_send(&r, &l);
		assert_int_equal(ask_sign(&session, &l, rows[i], NULL), SP_EDENIED);
		assert_int_equal(ask_sign(&session, &l, &good, NULL), SP_ENOENT);	/* the attempt was the use */
	}
	for (size_t cut = 0; cut < good.len; cut += 11) {
		struct sp_buf part = good;
		struct lease_msg l;

		part.len = cut;
		lease_make(&r, &session, &key, &l);
		lease_send(&r, &l);
		assert_int_equal(ask_sign(&session, &l, &part, NULL), SP_EDENIED);
	}
}

static void
flags_of_another_hash_are_refused(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = { 0 };
	Sallyport__SignAsk m = SALLYPORT__SIGN_ASK__INIT;
	const Sallyport__SignReply *reply;
	struct lease_msg l;
	struct stored s;

	(void)state;
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "rsa", &s), SP_OK);
	blob = login_request("deploy", &s, "rsa-sha2-512", 32);
	lease_make(&r, &session, &s, &l);
	lease_send(&r, &l);
	m.lease = bytes_of(l.id, sizeof(l.id));
	m.blob = bytes_of(blob.p, blob.len);
	m.flags = 2;	/* SHA-256 */
	reply = peer_ask(&session, SP_MSG_SIGN_ASK, &m, SP_MSG_SIGN_REPLY);
	assert_int_equal(reply->err, SP_EDENIED);
	stored_release(&s);
}

/* The request of a client that names the server inside. */
static struct sp_buf
hostbound_request(const char *user, const struct stored *s, const struct stored *host)
{
	static const uint8_t sid[32] = { 1 };
	struct sp_buf b;

	sp_buf_init(&b, 16384);
	assert_int_equal(sp_buf_put_string(&b, sid, sizeof(sid)), SP_OK);
	assert_int_equal(sp_buf_put_u8(&b, 50), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, user), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, "ssh-connection"), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, "publickey-hostbound-v00@openssh.com"), SP_OK);
	assert_int_equal(sp_buf_put_u8(&b, 1), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, "ssh-ed25519"), SP_OK);
	assert_int_equal(sp_buf_put_string(&b, s->pub.p, s->pub.len), SP_OK);
	assert_int_equal(sp_buf_put_string(&b, host->pub.p, host->pub.len), SP_OK);
	return b;
}

static void
a_lease_for_one_server_signs_for_no_other(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf plain = login_request("deploy", &key, "ssh-ed25519", 32);
	sp_auto(sp_buf_release) struct sp_buf here = { 0 }, there = { 0 }, other_user = { 0 };
	struct stored host;
	const struct { const struct sp_buf *blob; int bound; enum sp_err want; } rows[] = {
		{ &here, 1, SP_OK }, { &there, 1, SP_EDENIED }, { &other_user, 1, SP_EDENIED },
		{ &plain, 1, SP_EDENIED },	/* names no server, and none has signed for the session */
		{ &here, 0, SP_EDENIED },	/* a session's own login is never of this kind */
	};

	(void)state;
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &host), SP_OK);
	here = hostbound_request("deploy", &key, &host);
	there = hostbound_request("deploy", &key, &key);
	other_user = hostbound_request("root", &key, &host);
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct lease_msg l;

		lease_make(&r, &session, &key, &l);
		if (rows[i].bound)
			l.m.host_key = bytes_of(host.pub.p, host.pub.len);
		lease_send(&r, &l);
		if (ask_sign(&session, &l, rows[i].blob, NULL) != rows[i].want)
			fail_msg("row %zu", i);
	}
	stored_release(&host);
}

/* ---- who and when */

static void
is_spent_after_its_uses(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &key, &l);
	l.m.uses = 2;
	lease_send(&r, &l);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_OK);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_OK);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_ENOENT);
}

static void
another_connection_loses_its_channel_and_the_lease_stays(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	struct peer thief;
	struct lease_msg l;

	(void)state;
	peer_open(&r, &thief, SP_PROC_SESSION);
	lease_make(&r, &session, &key, &l);
	lease_send(&r, &l);
	assert_int_equal(ask_sign(&thief, &l, &blob, NULL), SP_ECLOSED);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_OK);
	peer_close(&thief);
}

static void
is_good_for_its_operation_only(void **state)
{
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &key, &l);
	lease_send(&r, &l);
	assert_int_equal(ask_password(&session, &l, NULL), SP_EDENIED);
	lease_make(&r, &session, &password, &l);
	lease_send(&r, &l);
	assert_int_equal(ask_cert(&session, &l, &key), SP_EDENIED);
}

static void
expires(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &key, &l);
	l.m.deadline_us = sp_now_us() + 30 * SP_US_PER_MS;
	lease_send(&r, &l);
	while (sp_now_us() <= l.m.deadline_us)
		usleep(1000);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_EEXPIRED);
}

static void
ends_when_control_drops_it(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	Sallyport__LeaseDrop d = SALLYPORT__LEASE_DROP__INIT;
	struct lease_msg l, kept;

	(void)state;
	lease_make(&r, &session, &key, &l);
	lease_send(&r, &l);
	lease_make(&r, &session, &key, &kept);
	lease_send(&r, &kept);
	d.conn_id = l.m.conn_id;
	d.session_id = l.m.session_id;
	peer_send(&r.control, SP_MSG_LEASE_DROP, &d, -1);
	/* An answer of control's channel: the drop before it was read. */
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_ROTATE), SP_OK);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_ENOENT);
	assert_int_equal(ask_sign(&session, &kept, &blob, NULL), SP_OK);
}

static void
ends_when_the_vault_is_sealed(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	struct lease_msg l;
	char text[200];

	(void)state;
	lease_make(&r, &session, &key, &l);
	lease_send(&r, &l);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_ESEALED);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_OK);
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_ENOENT);
}

static void
ends_with_the_channel_of_its_session(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	struct peer p = { 0 };
	struct lease_msg l;

	(void)state;
	peer_open(&r, &p, SP_PROC_SESSION);
	lease_make(&r, &p, &key, &l);
	lease_send(&r, &l);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_ROTATE), SP_OK);
	peer_close(&p);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_ROTATE), SP_OK);
	peer_attach(&r, &p, SP_PROC_SESSION);
	assert_int_equal(ask_sign(&p, &l, &blob, NULL), SP_ENOENT);
	peer_close(&p);
}

/* ---- a session that lies in every message */

static void
a_lying_session_loses_its_channel_and_nobody_else_does(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	static const uint16_t ids[] = { SP_MSG_VAULT_SEAL, SP_MSG_LEASE_PUT, SP_MSG_BOOT, SP_MSG_PEER, SP_MSG_SIGN_REPLY, 0x7777 };
	static const uint8_t junk[64] = { 0xff, 0xff, 0xff };
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &key, &l);
	lease_send(&r, &l);
	for (size_t i = 0; i < SP_NELEMS(ids) + 2; i++) {
		struct peer liar;

		peer_open(&r, &liar, SP_PROC_SESSION);
		assert_int_equal(sp_chan_send_raw(liar.chan, i < SP_NELEMS(ids) ? ids[i] : SP_MSG_SIGN_ASK, NULL, 0, junk,
		    i == SP_NELEMS(ids) ? sizeof(junk) : i > SP_NELEMS(ids) ? 1 : 0), SP_OK);
		peer_expect_closed(&liar);
		peer_close(&liar);
	}
	assert_int_equal(ask_sign(&session, &l, &blob, NULL), SP_OK);
}

static void
a_session_that_keeps_guessing_loses_its_channel(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf blob = login_request("deploy", &key, "ssh-ed25519", 32);
	struct lease_msg l;
	struct peer p;
	int n = 0;

	(void)state;
	peer_open(&r, &p, SP_PROC_SESSION);
	lease_make(&r, &p, &key, &l);	/* never sent */
	while (ask_sign(&p, &l, &blob, NULL) == SP_ENOENT)
		assert_true(++n < 100);
	assert_int_equal(n, 32);
	peer_close(&p);
}

/* A control that is started anew uses the numbers of its predecessor: it must not read answers that were not asked by it. */
static void
an_answer_goes_to_the_control_that_asked(void **state)
{
	Sallyport__SecretPut m = SALLYPORT__SECRET_PUT__INIT;
	Sallyport__SecretRewrap junk = SALLYPORT__SECRET_REWRAP__INIT;
	static char kind[] = "ssh-key", rsa[] = "rsa";
	struct sp_uuid id;
	struct stored s;

	(void)state;
	sp_uuid_make(&id);
	m.secret_id = bytes_of(id.b, 16);
	m.kind = kind;
	m.generate = 1;
	m.algorithm = rsa;
	peer_send(&r.control, SP_MSG_SECRET_PUT, &m, -1);
	/* This one is answered at once: the vault has read the one before, whose key takes its time. */
	(void)peer_ask(&r.control, SP_MSG_SECRET_REWRAP, &junk, SP_MSG_SECRET_REPLY);
	assert_int_equal(r.control.n, 0);
	peer_close(&r.control);
	peer_open(&r, &r.control, SP_PROC_CONTROL);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &s), SP_OK);
	assert_int_equal(s.pub.p[8], 'e');	/* "ssh-ed25519", not the late "ssh-rsa" */
	assert_int_equal(r.control.n, 0);
	stored_release(&s);
}

static int
open_session(void **state)
{
	(void)state;
	peer_open(&r, &session, SP_PROC_SESSION);
	return 0;
}

static int
close_session(void **state)
{
	(void)state;
	peer_close(&session);
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	rig_up(&r);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &key), SP_OK);
	assert_int_equal(secret_put(&r, "ssh-ca", NULL, "ed25519", &ca), SP_OK);
	assert_int_equal(secret_put(&r, "password", "s3cret word", NULL, &password), SP_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	stored_release(&key);
	stored_release(&ca);
	stored_release(&password);
	rig_down(&r);
	return 0;
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, open_session, close_session)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		fresh(signs_the_login_it_is_for_with_every_kind_of_key),
		fresh(hands_out_a_password_once_whatever_the_lease_says),
		fresh(refuses_leases_that_are_out_of_order),
		fresh(a_key_is_not_handed_out_as_a_password),
		fresh(signs_nothing_but_the_login_request_of_its_lease),
		fresh(flags_of_another_hash_are_refused),
		fresh(a_lease_for_one_server_signs_for_no_other),
		fresh(is_spent_after_its_uses),
		fresh(another_connection_loses_its_channel_and_the_lease_stays),
		fresh(is_good_for_its_operation_only),
		fresh(expires),
		fresh(ends_when_control_drops_it),
		fresh(ends_when_the_vault_is_sealed),
		fresh(ends_with_the_channel_of_its_session),
		fresh(a_session_that_keeps_guessing_loses_its_channel),
		fresh(an_answer_goes_to_the_control_that_asked),
		fresh(a_lying_session_loses_its_channel_and_nobody_else_does),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
