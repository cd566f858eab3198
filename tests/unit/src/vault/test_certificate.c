/* tests/unit/src/vault/test_certificate.c - certificates: what OpenSSH reads in them, and what is never issued. */
#include "harness.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "crypto/sign.h"
#include "wire/sshcert.h"

static struct rig r;
static struct peer session;
static struct stored ca, subject;

static enum sp_err
ask(struct lease_msg *l, const void *blob, size_t n, struct sp_buf *cert)
{
	Sallyport__CertAsk m = SALLYPORT__CERT_ASK__INIT;
	const Sallyport__CertReply *reply;

	lease_send(&r, l);
	m.lease = bytes_of(l->id, sizeof(l->id));
	m.public_key = bytes_of(blob, n);
	reply = peer_ask(&session, SP_MSG_CERT_ASK, &m, SP_MSG_CERT_REPLY);
	assert_non_null(reply);
	assert_true((reply->err == SP_OK) == (reply->certificate.len > 0));
	if (cert != NULL) {
		sp_buf_reset(cert);
		assert_int_equal(sp_buf_append(cert, reply->certificate.data, reply->certificate.len), SP_OK);
	}
	return (enum sp_err)reply->err;
}

static enum sp_err
ask_subject(struct lease_msg *l, struct sp_buf *cert)
{
	return ask(l, subject.pub.p, subject.pub.len, cert);
}

/* What ssh-keygen -L says; it checks the signature. */
static void
openssh_reads(const char *type, const struct sp_buf *cert, struct sp_buf *out)
{
	sp_auto(sp_buf_release) struct sp_buf line = { .max = 65536 };
	char path[128];
	const char *const argv[] = { "ssh-keygen", "-L", "-f", path, NULL };
	int fd;

	sp_snprintf(path, sizeof(path), "%s/x-cert.pub", r.dir);
	assert_int_equal(sp_buf_printf(&line, "%s ", type), SP_OK);
	assert_int_equal(sp_base64(&line, cert->p, cert->len), SP_OK);
	assert_int_equal(sp_buf_append_str(&line, " x\n"), SP_OK);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(write(fd, line.p, line.len), (ssize_t)line.len);
	close(fd);
	sp_buf_reset(out);
	assert_int_equal(run(argv, out), 0);
}

static void
openssh_accepts_what_is_issued_by_each_kind_of_authority(void **state)
{
	static const char *const authorities[] = { "ed25519", "ecdsa", "ecdsa-384", "ecdsa-521", "rsa" };
	sp_auto(sp_buf_release) struct sp_buf cert = { .max = 65536 }, said = { .max = 65536 };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(authorities); i++) {
		struct lease_msg l;
		struct stored s;

		assert_int_equal(secret_put(&r, "ssh-ca", NULL, authorities[i], &s), SP_OK);
		lease_make(&r, &session, &s, &l);
		assert_int_equal(ask_subject(&l, &cert), SP_OK);
		openssh_reads("ssh-ed25519-cert-v01@openssh.com", &cert, &said);
		assert_non_null(strstr(sp_buf_cstr(&said), s.fingerprint));
		stored_release(&s);
	}
}

static void
every_field_comes_from_the_lease(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf cert = { .max = 65536 }, said = { .max = 65536 };
	static char second[] = "deploy.db-02", net[] = "192.0.2.7";
	uint64_t now = (uint64_t)sp_wall_us() / SP_US_PER_S;
	struct sp_sshcert c;
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &ca, &l);
	l.principal[1] = second;
	l.source[1] = net;
	l.m.n_principals = l.m.n_source_addresses = 2;
	assert_int_equal(ask_subject(&l, &cert), SP_OK);
	assert_int_equal(sp_sshcert_decode((struct sp_view){ cert.p, cert.len }, &c), SP_OK);
	assert_int_equal(sp_ssh_verify(c.ca_key, c.signature, c.signed_part), SP_OK);
	assert_int_equal(c.serial, 4711);
	assert_int_equal(c.principal_n, 2);
	assert_true(c.valid_after >= now - 61 && c.valid_after <= now - 59 + 2);
	assert_true(c.valid_before >= now + 299 && c.valid_before <= now + 303);
	assert_memory_equal(c.ca_key.p, ca.pub.p, ca.pub.len);
	openssh_reads("ssh-ed25519-cert-v01@openssh.com", &cert, &said);
	assert_non_null(strstr(sp_buf_cstr(&said), "Key ID: \"0190-alice\""));
	assert_non_null(strstr(sp_buf_cstr(&said), "deploy.web-01"));
	assert_non_null(strstr(sp_buf_cstr(&said), "source-address 10.0.0.0/8,192.0.2.7"));
	assert_non_null(strstr(sp_buf_cstr(&said), "permit-pty"));
	assert_non_null(strstr(sp_buf_cstr(&said), "permit-port-forwarding"));
	assert_non_null(strstr(sp_buf_cstr(&said), "permit-agent-forwarding"));
	assert_null(strstr(sp_buf_cstr(&said), "permit-user-rc"));
	assert_null(strstr(sp_buf_cstr(&said), "permit-X11-forwarding"));
}

static void
one_for_a_jump_server_permits_forwarding_only(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf cert = { .max = 65536 }, said = { .max = 65536 };
	struct sp_sshcert c;
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &ca, &l);
	l.m.forward_only = 1;
	assert_int_equal(ask_subject(&l, &cert), SP_OK);
	assert_int_equal(sp_sshcert_decode((struct sp_view){ cert.p, cert.len }, &c), SP_OK);
	assert_int_equal(c.extension_n, 1);
	openssh_reads("ssh-ed25519-cert-v01@openssh.com", &cert, &said);
	assert_non_null(strstr(sp_buf_cstr(&said), "permit-port-forwarding"));
	assert_null(strstr(sp_buf_cstr(&said), "permit-pty"));
	assert_null(strstr(sp_buf_cstr(&said), "permit-agent-forwarding"));
}

static void
is_dated_by_the_word_of_control_and_not_by_the_machines_clock(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf cert = { .max = 65536 };
	struct sp_sshcert c;
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &ca, &l);
	l.m.wall_us = INT64_C(4102444800) * (int64_t)SP_US_PER_S;
	assert_int_equal(ask_subject(&l, &cert), SP_OK);
	assert_int_equal(sp_sshcert_decode((struct sp_view){ cert.p, cert.len }, &c), SP_OK);
	assert_true(c.valid_after >= UINT64_C(4102444800) - 60 && c.valid_after < UINT64_C(4102444800) + 60);
	assert_int_equal(c.valid_before - c.valid_after, 360);
}

static char bad_text[160];
static void principal(struct lease_msg *l) { l->principal[0] = bad_text; }
static void source(struct lease_msg *l) { l->source[0] = bad_text; }
static void key_id(struct lease_msg *l) { l->m.key_id = bad_text; }
static void no_principal(struct lease_msg *l) { l->m.n_principals = 0; }
static void too_long(struct lease_msg *l) { l->m.valid_s = 301; }
static void no_time(struct lease_msg *l) { l->m.valid_s = 0; }
static void no_date(struct lease_msg *l) { l->m.wall_us = 0; }
static void before_dates(struct lease_msg *l) { l->m.wall_us = 60 * (int64_t)SP_US_PER_S; }
static void beyond_dates(struct lease_msg *l) { l->m.wall_us = INT64_MAX; }

static void
issues_nothing_with_a_doubtful_field(void **state)
{
	static const struct { void (*make)(struct lease_msg *); const char *text; enum sp_err err; } rows[] = {
		{ principal, "", SP_EINVAL }, { principal, "a,b", SP_EINVAL }, { principal, "*", SP_EINVAL },
		{ principal, "a b", SP_EINVAL }, { principal, "a\nb", SP_EINVAL }, { principal, "root\xc3\xa9", SP_EINVAL },
		{ source, "0.0.0.0/33", SP_EINVAL }, { source, "10.0.0.1,10.0.0.2", SP_EINVAL }, { source, "host", SP_EINVAL },
		{ source, "", SP_EINVAL }, { key_id, "a\033[2J", SP_EINVAL },
		{ key_id, "", SP_ENOENT }, { no_principal, "", SP_ENOENT }, { too_long, "", SP_ENOENT }, { no_time, "", SP_ENOENT },
		{ no_date, "", SP_ENOENT }, { before_dates, "", SP_ENOENT }, { beyond_dates, "", SP_ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct lease_msg l;

		(void)sp_strlcpy(bad_text, rows[i].text, sizeof(bad_text));
		lease_make(&r, &session, &ca, &l);
		rows[i].make(&l);
		assert_int_equal(ask_subject(&l, NULL), rows[i].err);
	}
}

static void
certifies_plain_session_keys_only(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf cert = { .max = 65536 };
	struct lease_msg l;
	struct stored rsa;

	(void)state;
	lease_make(&r, &session, &ca, &l);
	assert_int_equal(ask_subject(&l, &cert), SP_OK);
	lease_make(&r, &session, &ca, &l);
	assert_int_equal(ask(&l, cert.p, cert.len, NULL), SP_EDENIED);		/* a certificate */
	lease_make(&r, &session, &ca, &l);
	assert_int_equal(ask(&l, "x", 1, NULL), SP_EDENIED);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "rsa", &rsa), SP_OK);
	lease_make(&r, &session, &ca, &l);
	assert_int_equal(ask(&l, rsa.pub.p, rsa.pub.len, NULL), SP_EDENIED);
	stored_release(&rsa);
}

static void
issues_one_for_one_lease(void **state)
{
	Sallyport__CertAsk m = SALLYPORT__CERT_ASK__INIT;
	const Sallyport__CertReply *reply;
	struct lease_msg l;

	(void)state;
	lease_make(&r, &session, &ca, &l);
	assert_int_equal(ask_subject(&l, NULL), SP_OK);
	m.lease = bytes_of(l.id, sizeof(l.id));
	m.public_key = bytes_of(subject.pub.p, subject.pub.len);
	reply = peer_ask(&session, SP_MSG_CERT_ASK, &m, SP_MSG_CERT_REPLY);
	assert_int_equal(reply->err, SP_ENOENT);
}

static int
setup(void **state)
{
	(void)state;
	rig_up(&r);
	peer_open(&r, &session, SP_PROC_SESSION);
	assert_int_equal(secret_put(&r, "ssh-ca", NULL, "ed25519", &ca), SP_OK);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &subject), SP_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	peer_close(&session);
	stored_release(&ca);
	stored_release(&subject);
	rig_down(&r);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(openssh_accepts_what_is_issued_by_each_kind_of_authority),
		cmocka_unit_test(every_field_comes_from_the_lease),
		cmocka_unit_test(one_for_a_jump_server_permits_forwarding_only),
		cmocka_unit_test(is_dated_by_the_word_of_control_and_not_by_the_machines_clock),
		cmocka_unit_test(issues_nothing_with_a_doubtful_field),
		cmocka_unit_test(certifies_plain_session_keys_only),
		cmocka_unit_test(issues_one_for_one_lease),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
