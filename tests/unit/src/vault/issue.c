/* tests/unit/src/vault/issue.c - certificates out of the real vault, for tests with a real sshd (tests/e2e/test_certificates.py).
 *     vault_issue DIR KEY.pub NAME PRINCIPAL SOURCE SECONDS ...
 * writes DIR/ca.pub, and DIR/NAME-cert.pub for the key for every four words. A session never lets go of its own. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sshkey.h"

static int words_n;
static char **words;

static void
put_line(const char *path, const char *type, const void *blob, size_t n)
{
	sp_auto(sp_buf_release) struct sp_buf b64 = { .max = 65536 };
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_int_equal(sp_base64(&b64, blob, n), SP_OK);
	assert_true(fprintf(f, "%s %s\n", type, sp_buf_cstr(&b64)) > 0);
	assert_int_equal(fclose(f), 0);
}

static void
issue(struct rig *r, struct peer *session, const struct stored *ca, const struct sp_sshkey_line *key, char **w)
{
	Sallyport__CertAsk m = SALLYPORT__CERT_ASK__INIT;
	const Sallyport__CertReply *reply;
	struct lease_msg l;
	char path[256];

	lease_make(r, session, ca, &l);
	l.principal[0] = w[1];
	l.source[0] = w[2];
	l.m.valid_s = (uint32_t)atoi(w[3]);
	lease_send(r, &l);
	m.lease = bytes_of(l.id, sizeof(l.id));
	m.public_key = bytes_of(key->blob.p, key->blob.len);
	reply = peer_ask(session, SP_MSG_CERT_ASK, &m, SP_MSG_CERT_REPLY);
	assert_int_equal(reply->err, SP_OK);
	assert_int_equal(sp_snprintf(path, sizeof(path), "%s/%s-cert.pub", words[1], w[0]), 0);
	put_line(path, "ssh-ed25519-cert-v01@openssh.com", reply->certificate.data, reply->certificate.len);
}

static void
issues_what_is_asked_for(void **state)
{
	struct sp_sshkey_line key;
	struct peer session;
	struct stored ca;
	struct rig r;
	char path[256], text[8192];
	FILE *f = fopen(words[2], "re");
	size_t n;

	(void)state;
	assert_non_null(f);
	n = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(sp_sshkey_line_parse(text, n, NULL, &key), SP_OK);
	rig_up(&r);
	peer_open(&r, &session, SP_PROC_SESSION);
	assert_int_equal(secret_put(&r, "ssh-ca", NULL, "ed25519", &ca), SP_OK);
	assert_int_equal(sp_snprintf(path, sizeof(path), "%s/ca.pub", words[1]), 0);
	put_line(path, "ssh-ed25519", ca.pub.p, ca.pub.len);
	for (int i = 3; i + 3 < words_n; i += 4)
		issue(&r, &session, &ca, &key, words + i);
	peer_close(&session);
	stored_release(&ca);
	sp_sshkey_line_release(&key);
	rig_down(&r);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(issues_what_is_asked_for) };

	words = argv;
	words_n = argc;
	return argc >= 7 ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
