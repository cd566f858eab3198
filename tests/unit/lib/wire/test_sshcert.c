/* tests/unit/lib/wire/test_sshcert.c - certificates, read back by ourselves and by the real ssh-keygen, which checks the
 * signature. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/sign.h"
#include "run.h"
#include "wire/sshcert.h"

static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "ssh-rsa" };
#define TYPES	SP_NELEMS(types)

static char dir[] = "/tmp/sp-sshcert-XXXXXX";
static struct sp_secret priv[TYPES];
static struct sp_buf pub[TYPES];
static const uint8_t nonce[SP_SSHCERT_NONCE] = "fixed nonce of thirty-two bytes";

static int
setup(void **state)
{
	(void)state;
	if (mkdtemp(dir) == NULL || sp_crypto_init() != SP_OK)
		return -1;
	for (size_t i = 0; i < TYPES; i++) {
		sp_buf_init(&pub[i], SP_SSHKEY_BLOB_MAX);
		if (sp_privkey_generate(types[i], &priv[i]) != SP_OK || sp_privkey_public(&priv[i], &pub[i]) != SP_OK)
			return -1;
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < TYPES; i++) {
		sp_secret_release(&priv[i]);
		sp_buf_release(&pub[i]);
	}
	remove_dir(dir);
	return 0;
}

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

/* A good certificate, for the tests to spoil. */
static struct sp_sshcert
sample(size_t subject, size_t ca)
{
	struct sp_sshcert c = { .nonce = { nonce, sizeof(nonce) }, .serial = 77, .valid_after = 1700000000,
	    .valid_before = 1700000300, .ca_key = view(&pub[ca]) };

	c.key_id = (struct sp_view){ (const uint8_t *)"session 42 alice", 16 };
	assert_int_equal(sp_sshkey_decode(view(&pub[subject]), &c.key), SP_OK);
	assert_int_equal(sp_sshcert_add_principal(&c, "asset-web1"), SP_OK);
	assert_int_equal(sp_sshcert_add_principal(&c, "root@web1"), SP_OK);
	assert_int_equal(sp_sshcert_add_extension(&c, "permit-pty", NULL), SP_OK);
	assert_int_equal(sp_sshcert_add_extension(&c, "permit-X11-forwarding", NULL), SP_OK);	/* sorts first */
	assert_int_equal(sp_sshcert_add_critical(&c, "source-address", "10.0.0.1/32,::1/128"), SP_OK);
	assert_int_equal(sp_sshcert_add_critical(&c, "force-command", "id"), SP_OK);
	return c;
}

static enum sp_err
encode(const struct sp_sshcert *c, size_t ca, struct sp_buf *b)
{
	sp_buf_init(b, SP_SSHCERT_MAX);
	return sp_sshcert_encode(c, sp_privkey_sign_cb, &priv[ca], b);
}

static void
keygen_accepts(const struct sp_buf *cert, size_t subject, size_t ca)
{
	char path[128], out[8192];
	char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-L" }, (char[]){ "-f" }, path, NULL };
	struct sp_buf line;

	sp_buf_init(&line, SP_SSHCERT_MAX * 2);
	assert_int_equal(sp_buf_printf(&line, "%s ", sp_sshcert_type_name((enum sp_sshkey_type)(subject + 1))), SP_OK);
	assert_int_equal(sp_base64(&line, cert->p, cert->len), SP_OK);
	assert_int_equal(sp_buf_append_str(&line, " test\n"), SP_OK);
	snprintf(path, sizeof(path), "%s/%zu-%zu-cert.pub", dir, subject, ca);
	write_file(path, line.p, line.len);
	if (run_program(argv, out, sizeof(out)) != 0)
		fail_msg("subject %s, CA %s: %s", types[subject], types[ca], out);
	assert_non_null(strstr(out, "user certificate"));
	assert_non_null(strstr(out, "Serial: 77"));
	assert_non_null(strstr(out, "\"session 42 alice\""));
	assert_non_null(strstr(out, "root@web1"));
	assert_non_null(strstr(out, "source-address 10.0.0.1/32,::1/128"));
	assert_non_null(strstr(out, "force-command id"));
	assert_non_null(strstr(out, "permit-pty"));
	assert_non_null(strstr(out, ca == 4 ? "using rsa-sha2-512" : types[ca]));
	sp_buf_release(&line);
}

static void
every_subject_type_with_every_ca_type_is_accepted_by_ssh_keygen(void **state)
{
	(void)state;
	for (size_t s = 0; s < TYPES; s++)
		for (size_t ca = 0; ca < TYPES; ca++) {
			struct sp_sshcert c = sample(s, ca), d;
			struct sp_buf b, again;

			assert_int_equal(encode(&c, ca, &b), SP_OK);
			keygen_accepts(&b, s, ca);
			assert_int_equal(sp_sshcert_decode(view(&b), &d), SP_OK);
			assert_int_equal(d.key.type, s + 1);
			assert_int_equal(d.principal_n, 2);
			assert_int_equal(d.serial, 77);
			assert_int_equal(sp_ssh_verify(d.ca_key, d.signature, d.signed_part), SP_OK);
			/* what was decoded encodes to the signed bytes */
			sp_buf_init(&again, SP_SSHCERT_MAX);
			assert_int_equal(sp_sshcert_encode_body(&d, &again), SP_OK);
			assert_int_equal(again.len, d.signed_part.len);
			assert_memory_equal(again.p, d.signed_part.p, again.len);
			sp_buf_release(&again);
			sp_buf_release(&b);
		}
}

static void
rejects_every_single_bit_flip(void **state)
{
	struct sp_sshcert c = sample(0, 0), d;
	struct sp_buf b;

	(void)state;
	assert_int_equal(encode(&c, 0, &b), SP_OK);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (sp_sshcert_decode(view(&b), &d) == SP_OK)
			assert_int_not_equal(sp_ssh_verify(d.ca_key, d.signature, d.signed_part), SP_OK);
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	sp_buf_release(&b);
}

static void
refuses_to_encode_without_principals(void **state)
{
	struct sp_sshcert c = sample(0, 0);
	struct sp_buf b;

	(void)state;
	c.principal_n = 0;
	assert_int_equal(encode(&c, 0, &b), SP_EINVAL);
	assert_int_equal(b.len, 0);
	sp_buf_release(&b);
}

static void
refuses_principals_that_another_program_could_split_or_match(void **state)
{
	static const char *const bad[] = { "", "a,b", "*", "a b", "root\n", "ro\xc3\xb6t", "a/b", "a:b" };
	struct sp_sshcert c = sample(0, 0);

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(sp_sshcert_add_principal(&c, bad[i]), SP_EINVAL);
}

static void
refuses_endless_or_empty_validity(void **state)
{
	struct sp_sshcert c = sample(0, 0);
	struct sp_buf b;

	(void)state;
	c.valid_before = UINT64_MAX;
	assert_int_equal(encode(&c, 0, &b), SP_EINVAL);
	sp_buf_release(&b);
	c.valid_before = c.valid_after;
	assert_int_equal(encode(&c, 0, &b), SP_EINVAL);
	sp_buf_release(&b);
}

static void
refuses_unknown_critical_options_and_doubles(void **state)
{
	struct sp_sshcert c = sample(0, 0);

	(void)state;
	assert_int_equal(sp_sshcert_add_critical(&c, "x-unknown", "1"), SP_EINVAL);
	assert_int_equal(sp_sshcert_add_critical(&c, "verify-required", "1"), SP_EINVAL);
	assert_int_equal(sp_sshcert_add_critical(&c, "source-address", "::1"), SP_EEXIST);
	assert_int_equal(sp_sshcert_add_extension(&c, "permit-pty", NULL), SP_EEXIST);
}

static void
refuses_options_out_of_order(void **state)
{
	struct sp_sshcert c = sample(0, 0);
	struct sp_sshcert_option o = c.extension[0];
	struct sp_buf b;

	(void)state;
	c.extension[0] = c.extension[1];
	c.extension[1] = o;
	assert_int_equal(encode(&c, 0, &b), SP_EINVAL);
	sp_buf_release(&b);
}

/* CVE-2025-49825: a certificate as CA key inside a certificate was taken for an authority. */
static void
refuses_a_certificate_as_ca_key(void **state)
{
	struct sp_sshcert c = sample(0, 0), nested = sample(0, 0);
	struct sp_buf inner, b;

	(void)state;
	assert_int_equal(encode(&c, 0, &inner), SP_OK);
	nested.ca_key = view(&inner);
	assert_int_equal(encode(&nested, 0, &b), SP_EINVAL);
	sp_buf_release(&b);
	sp_buf_release(&inner);
}

static void
refuses_a_signature_of_another_kind_of_key(void **state)
{
	struct sp_sshcert c = sample(0, 0);
	struct sp_buf b;

	(void)state;
	assert_int_equal(encode(&c, 1, &b), SP_EINTERNAL);	/* says ed25519, signed with ecdsa */
	assert_int_equal(b.len, 0);
	sp_buf_release(&b);
}

static void
is_valid_from_its_first_second_to_before_its_last(void **state)
{
	struct sp_sshcert c = sample(0, 0);

	(void)state;
	assert_int_equal(sp_sshcert_check_time(&c, 1699999999), SP_EEXPIRED);
	assert_int_equal(sp_sshcert_check_time(&c, 1700000000), SP_OK);
	assert_int_equal(sp_sshcert_check_time(&c, 1700000299), SP_OK);
	assert_int_equal(sp_sshcert_check_time(&c, 1700000300), SP_EEXPIRED);
}

/* ssh-keygen makes certificates, too: ours must read them, and refuse a host certificate. */
static void
reads_certificates_made_by_ssh_keygen(void **state)
{
	char ca[128], key[128], certpath[160], out[4096];
	char *gen[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-N" }, (char[]){ "" }, (char[]){ "-t" },
	    (char[]){ "ed25519" }, (char[]){ "-f" }, ca, NULL };
	char *sign[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-s" }, ca, (char[]){ "-I" },
	    (char[]){ "some id" }, (char[]){ "-n" }, (char[]){ "root,web" }, (char[]){ "-V" }, (char[]){ "+5m" },
	    (char[]){ "-O" }, (char[]){ "source-address=127.0.0.1/32" }, key, NULL, NULL };
	sp_auto(sp_buf_release) struct sp_buf b = { .max = SP_SSHCERT_MAX };
	struct sp_sshcert c;
	size_t n;
	char *text, *b64, *end;

	(void)state;
	snprintf(ca, sizeof(ca), "%s/kg-key", dir);
	assert_int_equal(run_program(gen, out, sizeof(out)), 0);
	snprintf(key, sizeof(key), "%s/kg-key.pub", dir);
	snprintf(ca, sizeof(ca), "%s/kg-ca", dir);
	assert_int_equal(run_program(gen, out, sizeof(out)), 0);
	assert_int_equal(run_program(sign, out, sizeof(out)), 0);
	snprintf(certpath, sizeof(certpath), "%s/kg-key-cert.pub", dir);
	for (int host = 0; host < 2; host++) {
		text = read_file(certpath, &n);
		assert_non_null(b64 = strchr(text, ' '));
		assert_non_null(end = strchr(++b64, ' '));
		sp_buf_reset(&b);
		assert_int_equal(sp_base64_parse(&b, b64, (size_t)(end - b64)), SP_OK);
		if (host == 0) {
			assert_int_equal(sp_sshcert_decode(view(&b), &c), SP_OK);
			assert_int_equal(c.principal_n, 2);
			assert_true(sp_view_equal_str(c.principal[1], "web"));
			assert_int_equal(c.critical_n, 1);
			assert_true(sp_view_equal_str(c.critical[0].value, "127.0.0.1/32"));
			assert_int_equal(c.extension_n, 5);
			assert_int_equal(sp_ssh_verify(c.ca_key, c.signature, c.signed_part), SP_OK);
			sign[1] = (char[]){ "-h" };
			sign[10] = key;
			sign[11] = NULL;
			assert_int_equal(run_program(sign, out, sizeof(out)), 0);
		} else {
			assert_int_equal(sp_sshcert_decode(view(&b), &c), SP_EDENIED);
		}
		free(text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_subject_type_with_every_ca_type_is_accepted_by_ssh_keygen),
		cmocka_unit_test(rejects_every_single_bit_flip),
		cmocka_unit_test(refuses_to_encode_without_principals),
		cmocka_unit_test(refuses_principals_that_another_program_could_split_or_match),
		cmocka_unit_test(refuses_endless_or_empty_validity),
		cmocka_unit_test(refuses_unknown_critical_options_and_doubles),
		cmocka_unit_test(refuses_options_out_of_order),
		cmocka_unit_test(refuses_a_certificate_as_ca_key),
		cmocka_unit_test(refuses_a_signature_of_another_kind_of_key),
		cmocka_unit_test(is_valid_from_its_first_second_to_before_its_last),
		cmocka_unit_test(reads_certificates_made_by_ssh_keygen),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
