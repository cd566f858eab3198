/* tests/unit/lib/wire/test_sshkey.c - public keys, against keys and fingerprints made by the real ssh-keygen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/hash.h"
#include "run.h"
#include "wire/sshkey.h"

/* The Ed25519 user key of the OpenSSH regression tests' style; a security key line made with the same point. */
static const char ed_line[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS me@host";

static char dir[] = "/tmp/sp-sshkey-XXXXXX";

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int
drop_dir(void **state)
{
	(void)state;
	remove_dir(dir);
	return 0;
}

static void
keygen(const char *name, const char *type, const char *bits)
{
	char path[128], out[4096], t[16], b[16];
	char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-N" }, (char[]){ "" }, (char[]){ "-t" }, t,
	    (char[]){ "-b" }, b, (char[]){ "-C" }, (char[]){ "a comment" }, (char[]){ "-f" }, path, NULL };

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(t, sizeof(t), "%s", type);
	snprintf(b, sizeof(b), "%s", bits);
	if (run_program(argv, out, sizeof(out)) != 0)
		fail_msg("ssh-keygen: %s", out);
}

static void
agrees_with_ssh_keygen_about_keys_and_fingerprints(void **state)
{
	static const struct { const char *type, *bits; enum sp_sshkey_type t; unsigned n; } rows[] = {
		{ "ed25519", "256", SP_SSHKEY_ED25519, 256 }, { "ecdsa", "256", SP_SSHKEY_ECDSA256, 256 },
		{ "ecdsa", "384", SP_SSHKEY_ECDSA384, 384 }, { "ecdsa", "521", SP_SSHKEY_ECDSA521, 521 },
		{ "rsa", "2048", SP_SSHKEY_RSA, 2048 },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		char name[32], pub[160], out[4096], fp[SP_FINGERPRINT_SIZE];
		char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-lf" }, pub, NULL };
		struct sp_sshkey_line l;
		struct sp_buf b;
		size_t n;
		char *text;

		snprintf(name, sizeof(name), "k%zu", i);
		keygen(name, rows[i].type, rows[i].bits);
		snprintf(pub, sizeof(pub), "%s/%s.pub", dir, name);
		text = read_file(pub, &n);
		assert_int_equal(sp_sshkey_line_parse(text, n, NULL, &l), SP_OK);
		assert_int_equal(l.key.type, rows[i].t);
		assert_int_equal(l.key.bits, rows[i].n);
		assert_string_equal(l.comment, "a comment");
		sp_sshkey_fingerprint(l.key.blob, sp_sha256, fp);
		assert_int_equal(run_program(argv, out, sizeof(out)), 0);
		assert_non_null(strstr(out, fp));

		/* print gives the line back, encode the blob */
		sp_buf_init(&b, SP_SSHKEY_LINE_MAX);
		assert_int_equal(sp_sshkey_line_print(NULL, l.key.blob, l.comment, &b), SP_OK);
		assert_int_equal(b.len, n - 1);
		assert_memory_equal(b.p, text, b.len);
		sp_buf_reset(&b);
		assert_int_equal(sp_sshkey_encode(&l.key, &b), SP_OK);
		assert_int_equal(b.len, l.key.blob.len);
		assert_memory_equal(b.p, l.key.blob.p, b.len);
		sp_buf_release(&b);
		sp_sshkey_line_release(&l);
		free(text);
	}
}

static void
refuses_rsa_below_2048_bits(void **state)
{
	char pub[160];
	struct sp_sshkey_line l;
	const char *why = NULL;
	size_t n;
	char *text;

	(void)state;
	keygen("weak", "rsa", "1024");
	snprintf(pub, sizeof(pub), "%s/weak.pub", dir);
	text = read_file(pub, &n);
	assert_int_equal(sp_sshkey_line_parse(text, n, &why, &l), SP_EDENIED);
	assert_non_null(strstr(why, "2048"));
	free(text);
}

/* A blob of the given strings. */
static struct sp_buf
blob_of(size_t n, const char *const *s, const size_t *len)
{
	struct sp_buf b;

	sp_buf_init(&b, 65536);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(sp_buf_put_string(&b, s[i], len[i]), SP_OK);
	return b;
}

static enum sp_err
decode(const struct sp_buf *b)
{
	struct sp_sshkey k;

	return sp_sshkey_decode((struct sp_view){ b->p, b->len }, &k);
}

static void
reads_security_keys_with_their_application(void **state)
{
	static const char point[32] = "0123456789abcdef0123456789abcde";
	const char *s[] = { "sk-ssh-ed25519@openssh.com", point, "ssh:" };
	struct sp_buf b = blob_of(3, s, (size_t[]){ 26, 32, 4 });
	struct sp_sshkey k;

	(void)state;
	assert_int_equal(sp_sshkey_decode((struct sp_view){ b.p, b.len }, &k), SP_OK);
	assert_int_equal(k.type, SP_SSHKEY_SK_ED25519);
	assert_true(sp_sshkey_is_sk(k.type));
	assert_true(sp_view_equal_str(k.application, "ssh:"));
	sp_buf_release(&b);
}

static void
refuses_certificates_wherever_a_key_is_expected(void **state)
{
	static const char point[32] = "0123456789abcdef0123456789abcde";
	const char *s[] = { "ssh-ed25519-cert-v01@openssh.com", point };
	struct sp_buf b = blob_of(2, s, (size_t[]){ 32, 32 });
	struct sp_sshkey_line l;

	(void)state;
	assert_int_equal(decode(&b), SP_EDENIED);
	assert_int_equal(sp_sshkey_line_parse("ssh-ed25519-cert-v01@openssh.com AAAA", 37, NULL, &l), SP_EDENIED);
	sp_buf_release(&b);
}

static void
refuses_dsa_trailing_bytes_wrong_points_and_wrong_curves(void **state)
{
	static const char zeros[133];
	char p256[65] = { 4 }, compressed[65] = { 2 };
	struct {
		size_t n;
		const char *s[4];
		size_t len[4];
		enum sp_err err;
	} rows[] = {
		{ 2, { "ssh-dss", "x" }, { 7, 1 }, SP_EVERSION },
		{ 2, { "ssh-ed25519", zeros }, { 11, 31 }, SP_EFORMAT },
		{ 2, { "ssh-ed25519", zeros }, { 11, 33 }, SP_EFORMAT },
		{ 3, { "ssh-ed25519", zeros, "" }, { 11, 32, 0 }, SP_EFORMAT },
		{ 1, { "ssh-ed25519" }, { 11 }, SP_ESHORT },
		{ 3, { "ecdsa-sha2-nistp256", "nistp256", p256 }, { 19, 8, 65 }, SP_OK },
		{ 3, { "ecdsa-sha2-nistp256", "nistp384", p256 }, { 19, 8, 65 }, SP_EFORMAT },
		{ 3, { "ecdsa-sha2-nistp256", "nistp256", compressed }, { 19, 8, 65 }, SP_EFORMAT },
		{ 3, { "sk-ssh-ed25519@openssh.com", zeros, "" }, { 26, 32, 0 }, SP_EFORMAT },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_buf b = blob_of(rows[i].n, rows[i].s, rows[i].len);

		if (decode(&b) != rows[i].err)
			fail_msg("row %zu: %s", i, sp_err_name(decode(&b)));
		sp_buf_release(&b);
	}
}

static void
refuses_rsa_numbers_that_are_not_canonical_or_even(void **state)
{
	uint8_t n[258] = { 0, 0x80 }, even[257] = { 0, 0x80 }, negative[256] = { 0x80 };
	const char *e3 = "\x03";
	struct { const uint8_t *n; size_t nlen; const char *e; size_t elen; enum sp_err err; } rows[] = {
		{ n, 257, "\x01\x00\x01", 3, SP_OK }, { n, 257, e3, 1, SP_OK },
		{ n, 257, "\x00\x03", 2, SP_EFORMAT }, { n, 257, "\x02", 1, SP_EFORMAT }, { n, 257, "\x01", 1, SP_EFORMAT },
		{ n, 257, "", 0, SP_EFORMAT }, { even, 257, e3, 1, SP_EFORMAT }, { negative, 256, e3, 1, SP_EFORMAT },
		{ n + 1, 255, e3, 1, SP_EFORMAT },	/* negative, too */
	};

	(void)state;
	n[256] = 1;
	negative[255] = 1;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		const char *s[] = { "ssh-rsa", rows[i].e, (const char *)rows[i].n };
		struct sp_buf b = blob_of(3, s, (size_t[]){ 7, rows[i].elen, rows[i].nlen });

		if (decode(&b) != rows[i].err)
			fail_msg("row %zu: %s", i, sp_err_name(decode(&b)));
		sp_buf_release(&b);
	}
}

static void
explains_lines_that_it_refuses(void **state)
{
	static const struct { const char *line; enum sp_err err; const char *word; } rows[] = {
		{ "command=\"id\" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS", SP_EDENIED,
		  "options" },
		{ "", SP_ESHORT, "no key" }, { "# comment", SP_ESHORT, "no key" }, { "ssh-ed25519", SP_ESHORT, "base64" },
		{ "ssh-dss AAAA", SP_EVERSION, "not supported" },
		{ "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS", SP_EFORMAT, "match" },
		{ "ssh-ed25519 AAAA!", SP_EFORMAT, "damaged" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----", SP_EDENIED, ".pub" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS a\nssh-rsa b", SP_EFORMAT,
		  "one key" },
		{ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS \x1b[31m", SP_EFORMAT,
		  "comment" },
	};
	struct sp_sshkey_line l;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		const char *why = "";
		enum sp_err r = sp_sshkey_line_parse(rows[i].line, strlen(rows[i].line), &why, &l);

		if (r != rows[i].err || strstr(why, rows[i].word) == NULL)
			fail_msg("row %zu: %s, %s", i, sp_err_name(r), why);
	}
}

static void
reads_known_hosts_lines_and_prints_them_again(void **state)
{
	char line[512];
	struct sp_sshkey_line l;
	struct sp_buf b;

	(void)state;
	snprintf(line, sizeof(line), "web1,[10.0.0.1]:2222 %s", ed_line);
	assert_int_equal(sp_sshkey_hostline_parse(line, strlen(line), NULL, &l), SP_OK);
	assert_string_equal(l.hosts, "web1,[10.0.0.1]:2222");
	assert_string_equal(l.comment, "me@host");
	sp_buf_init(&b, SP_SSHKEY_LINE_MAX);
	assert_int_equal(sp_sshkey_line_print(l.hosts, l.key.blob, l.comment, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), line);
	sp_buf_release(&b);
	sp_sshkey_line_release(&l);
	snprintf(line, sizeof(line), "|1|abc= %s", ed_line);
	assert_int_equal(sp_sshkey_hostline_parse(line, strlen(line), NULL, &l), SP_EDENIED);
	snprintf(line, sizeof(line), "@revoked * %s", ed_line);
	assert_int_equal(sp_sshkey_hostline_parse(line, strlen(line), NULL, &l), SP_EDENIED);
}

static void
never_lets_an_rsa_key_sign_with_sha1(void **state)
{
	(void)state;
	assert_false(sp_sshkey_signs(SP_SSHKEY_RSA, (struct sp_view){ (const uint8_t *)"ssh-rsa", 7 }));
	assert_true(sp_sshkey_signs(SP_SSHKEY_RSA, (struct sp_view){ (const uint8_t *)"rsa-sha2-512", 12 }));
	assert_false(sp_sshkey_signs(SP_SSHKEY_ED25519, (struct sp_view){ (const uint8_t *)"rsa-sha2-512", 12 }));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_ssh_keygen_about_keys_and_fingerprints),
		cmocka_unit_test(refuses_rsa_below_2048_bits),
		cmocka_unit_test(reads_security_keys_with_their_application),
		cmocka_unit_test(refuses_certificates_wherever_a_key_is_expected),
		cmocka_unit_test(refuses_dsa_trailing_bytes_wrong_points_and_wrong_curves),
		cmocka_unit_test(refuses_rsa_numbers_that_are_not_canonical_or_even),
		cmocka_unit_test(explains_lines_that_it_refuses),
		cmocka_unit_test(reads_known_hosts_lines_and_prints_them_again),
		cmocka_unit_test(never_lets_an_rsa_key_sign_with_sha1),
	};

	return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
