/* tests/unit/lib/crypto/test_privkey.c - private keys: made here and read by ssh-keygen, and the other way round. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "run.h"
#include "wire/sshkey.h"

static const char *const types[] = { "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
    "ssh-rsa" };
static char dir[] = "/tmp/sp-privkey-XXXXXX";
static const struct sp_view msg = { (const uint8_t *)"a message", 9 };

static int
setup(void **state)
{
	(void)state;
	return sp_crypto_init() != SP_OK || mkdtemp(dir) == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	remove_dir(dir);
	return 0;
}

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

static void
a_generated_key_signs_and_ssh_keygen_reads_its_export(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(types); i++) {
		char path[128], out[8192];
		char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-y" }, (char[]){ "-f" }, path, NULL };
		sp_auto(sp_buf_release) struct sp_buf pub = { .max = 8192 }, sig = { .max = 8192 }, text = { .max = 65536 };
		sp_auto(sp_buf_release) struct sp_buf line = { .max = 65536 };
		sp_auto_secret key = { 0 }, again = { 0 };

		assert_int_equal(sp_privkey_generate(types[i], &key), SP_OK);
		assert_int_equal(sp_privkey_public(&key, &pub), SP_OK);
		assert_int_equal(sp_privkey_sign(&key, NULL, msg, &sig), SP_OK);
		assert_int_equal(sp_ssh_verify(view(&pub), view(&sig), msg), SP_OK);
		assert_int_equal(sp_ssh_verify(view(&pub), view(&sig), (struct sp_view){ msg.p, 8 }), SP_EAUTH);

		assert_int_equal(sp_privkey_export(&key, "from the vault", &text), SP_OK);
		snprintf(path, sizeof(path), "%s/gen-%zu", dir, i);
		write_file(path, text.p, text.len);
		if (run_program(argv, out, sizeof(out)) != 0)
			fail_msg("%s: %s", types[i], out);
		assert_int_equal(sp_sshkey_line_print(NULL, view(&pub), "from the vault", &line), SP_OK);
		assert_int_equal(strncmp(out, sp_buf_cstr(&line), line.len), 0);
		assert_int_equal(sp_privkey_import(view(&text), (struct sp_view){ 0 }, NULL, &again), SP_OK);
		assert_true(sp_secret_equal(&key, &again));
	}
}

static void
imports_every_unencrypted_form_that_ssh_keygen_writes(void **state)
{
	static const struct { const char *type, *bits, *format; } rows[] = {
		{ "ed25519", "256", "RFC4716" }, { "ecdsa", "256", "RFC4716" }, { "ecdsa", "521", "RFC4716" },
		{ "rsa", "2048", "RFC4716" }, { "ecdsa", "256", "PEM" }, { "ecdsa", "384", "PKCS8" }, { "rsa", "2048", "PEM" },
		{ "rsa", "3072", "PKCS8" },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		char path[128], out[4096], t[16], b[16], m[16];
		char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-N" }, (char[]){ "" }, (char[]){ "-t" }, t,
		    (char[]){ "-b" }, b, (char[]){ "-m" }, m, (char[]){ "-f" }, path, NULL };
		sp_auto(sp_buf_release) struct sp_buf pub = { .max = 8192 };
		sp_auto_secret key = { 0 };
		struct sp_sshkey_line l;
		const char *why = "";
		char *text;
		size_t n;

		snprintf(path, sizeof(path), "%s/imp-%zu", dir, i);
		snprintf(t, sizeof(t), "%s", rows[i].type);
		snprintf(b, sizeof(b), "%s", rows[i].bits);
		snprintf(m, sizeof(m), "%s", rows[i].format);
		assert_int_equal(run_program(argv, out, sizeof(out)), 0);
		text = read_file(path, &n);
		if (sp_privkey_import((struct sp_view){ (uint8_t *)text, n }, (struct sp_view){ 0 }, &why, &key) != SP_OK)
			fail_msg("row %zu: %s", i, why);
		free(text);
		assert_int_equal(sp_privkey_public(&key, &pub), SP_OK);
		snprintf(path, sizeof(path), "%s/imp-%zu.pub", dir, i);
		text = read_file(path, &n);
		assert_int_equal(sp_sshkey_line_parse(text, n, NULL, &l), SP_OK);
		assert_int_equal(pub.len, l.blob.len);
		assert_memory_equal(pub.p, l.blob.p, pub.len);
		sp_sshkey_line_release(&l);
		free(text);
	}
}

/* Make a key file with the given format and passphrase and import it with another one. */
static enum sp_err
import_encrypted(const char *name, const char *format, const char *passphrase, const char **why)
{
	char path[128], out[4096], m[16];
	char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-N" }, (char[]){ "sesame" }, (char[]){ "-t" },
	    (char[]){ "ecdsa" }, (char[]){ "-m" }, m, (char[]){ "-f" }, path, NULL };
	sp_auto_secret key = { 0 };
	enum sp_err r;
	char *text;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(m, sizeof(m), "%s", format);
	assert_int_equal(run_program(argv, out, sizeof(out)), 0);
	text = read_file(path, &n);
	r = sp_privkey_import((struct sp_view){ (uint8_t *)text, n },
	    (struct sp_view){ (const uint8_t *)passphrase, strlen(passphrase) }, why, &key);
	free(text);
	return r;
}

static void
says_what_to_do_with_encrypted_files(void **state)
{
	const char *why = "";

	(void)state;
	assert_int_equal(import_encrypted("e0", "RFC4716", "", &why), SP_EAUTH);
	assert_non_null(strstr(why, "needed"));
	assert_int_equal(import_encrypted("e1", "RFC4716", "Sesame", &why), SP_EAUTH);
	assert_non_null(strstr(why, "does not open"));
	assert_int_equal(import_encrypted("e2", "PKCS8", "sesame", &why), SP_OK);
	assert_int_equal(import_encrypted("e3", "PKCS8", "wrong", &why), SP_EAUTH);
	assert_int_equal(import_encrypted("e4", "PEM", "", &why), SP_EAUTH);
	assert_non_null(strstr(why, "needed"));
}

static void
opens_what_ssh_keygen_encrypts_with_every_cipher(void **state)
{
	static const char *const ciphers[] = { "aes256-ctr", "aes192-ctr", "aes128-ctr", "aes256-cbc", "aes192-cbc", "aes128-cbc",
	    "aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(ciphers); i++) {
		char path[128], out[4096], z[48], rounds[8];
		char *argv[] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-N" }, (char[]){ "sesame" }, (char[]){ "-t" },
		    (char[]){ "ed25519" }, (char[]){ "-Z" }, z, (char[]){ "-a" }, rounds, (char[]){ "-f" }, path, NULL };
		sp_auto(sp_buf_release) struct sp_buf pub = { .max = 8192 };
		struct sp_view good = { (const uint8_t *)"sesame", 6 }, bad = { (const uint8_t *)"sesam", 5 };
		sp_auto_secret key = { 0 };
		struct sp_sshkey_line l;
		const char *why = "";
		char *text;
		size_t n;

		snprintf(path, sizeof(path), "%s/z-%zu", dir, i);
		snprintf(z, sizeof(z), "%s", ciphers[i]);
		snprintf(rounds, sizeof(rounds), "%zu", i + 1);
		assert_int_equal(run_program(argv, out, sizeof(out)), 0);
		text = read_file(path, &n);
		if (i == SP_NELEMS(ciphers) - 1) {
			assert_int_equal(sp_privkey_import((struct sp_view){ (uint8_t *)text, n }, good, &why, &key), SP_EVERSION);
			assert_non_null(strstr(why, "ssh-keygen -p -Z"));
			free(text);
			continue;
		}
		assert_int_equal(sp_privkey_import((struct sp_view){ (uint8_t *)text, n }, bad, &why, &key), SP_EAUTH);
		assert_int_equal(sp_privkey_import((struct sp_view){ (uint8_t *)text, n }, good, &why, &key), SP_OK);
		free(text);
		snprintf(path, sizeof(path), "%s/z-%zu.pub", dir, i);
		text = read_file(path, &n);
		assert_int_equal(sp_sshkey_line_parse(text, n, NULL, &l), SP_OK);
		assert_int_equal(sp_privkey_public(&key, &pub), SP_OK);
		assert_int_equal(pub.len, l.blob.len);
		assert_memory_equal(pub.p, l.blob.p, pub.len);
		sp_sshkey_line_release(&l);
		free(text);
	}
}

static void
refuses_files_that_are_no_key_or_a_weak_one(void **state)
{
	static const struct { const char *args[8]; enum sp_err err; } rows[] = {
		{ { "-t", "rsa", "-b", "1024" }, SP_EDENIED },
		{ { "-t", "rsa", "-b", "1024", "-m", "PEM" }, SP_EDENIED },
		{ { "-t", "dsa" }, SP_EDENIED },
	};
	sp_auto_secret key = { 0 };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		char path[128], out[4096], words[8][16];
		char *argv[16] = { (char[]){ "ssh-keygen" }, (char[]){ "-q" }, (char[]){ "-N" }, (char[]){ "" }, (char[]){ "-f" }, path };
		const char *why = "";
		char *text;
		enum sp_err r;
		size_t n;

		for (size_t k = 0; k < 8 && rows[i].args[k] != NULL; k++) {
			snprintf(words[k], sizeof(words[k]), "%s", rows[i].args[k]);
			argv[6 + k] = words[k];
		}
		snprintf(path, sizeof(path), "%s/weak-%zu", dir, i);
		assert_int_equal(run_program(argv, out, sizeof(out)), 0);
		text = read_file(path, &n);
		r = sp_privkey_import((struct sp_view){ (uint8_t *)text, n }, (struct sp_view){ 0 }, &why, &key);
		if (r != rows[i].err)
			fail_msg("row %zu: %s, %s", i, sp_err_name(r), why);
		free(text);
	}
	assert_int_equal(sp_privkey_import((struct sp_view){ (const uint8_t *)"hello", 5 }, (struct sp_view){ 0 }, NULL, &key),
	    SP_EFORMAT);
	assert_int_equal(sp_privkey_import((struct sp_view){ 0 }, (struct sp_view){ 0 }, NULL, &key), SP_EFORMAT);
}

static void
signs_only_with_algorithms_that_fit_and_never_with_sha1(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = 8192 };
	sp_auto_secret rsa = { 0 }, ed = { 0 };

	(void)state;
	assert_int_equal(sp_privkey_generate("ssh-rsa", &rsa), SP_OK);
	assert_int_equal(sp_privkey_generate("ssh-ed25519", &ed), SP_OK);
	assert_int_equal(sp_privkey_sign(&rsa, "ssh-rsa", msg, &sig), SP_EINVAL);
	assert_int_equal(sp_privkey_sign(&ed, "rsa-sha2-512", msg, &sig), SP_EINVAL);
	assert_int_equal(sig.len, 0);
	assert_int_equal(sp_privkey_sign(&rsa, "rsa-sha2-256", msg, &sig), SP_OK);
	assert_int_equal(sp_privkey_generate("ssh-dss", &ed), SP_EINVAL);
	assert_int_equal(sp_privkey_generate("sk-ssh-ed25519@openssh.com", &ed), SP_EINVAL);
}

/* A private part that does not belong to the public one would give away the key (Ed25519) or be useless: refuse. */
static void
refuses_a_stored_key_with_any_bit_changed(void **state)
{
	static const size_t kinds[] = { 0, 1, 4 };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(kinds); i++) {
		sp_auto(sp_buf_release) struct sp_buf sig = { .max = 8192 };
		sp_auto_secret key = { 0 };
		size_t step = kinds[i] == 4 ? 37 : 1;

		assert_int_equal(sp_privkey_generate(types[kinds[i]], &key), SP_OK);
		for (size_t bit = 0; bit < key.len * 8; bit += step) {
			key.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			if (sp_privkey_sign(&key, NULL, msg, &sig) == SP_OK)
				fail_msg("%s: bit %zu", types[kinds[i]], bit);
			key.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		}
		assert_int_equal(sp_privkey_sign(&key, NULL, msg, &sig), SP_OK);
	}
}

static void
verification_rejects_a_flipped_bit_in_any_kind_of_signature(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(types); i++) {
		sp_auto(sp_buf_release) struct sp_buf pub = { .max = 8192 }, sig = { .max = 8192 };
		sp_auto_secret key = { 0 };
		size_t step = i == 4 ? 61 : i == 3 ? 7 : 1;

		assert_int_equal(sp_privkey_generate(types[i], &key), SP_OK);
		assert_int_equal(sp_privkey_public(&key, &pub), SP_OK);
		assert_int_equal(sp_privkey_sign(&key, NULL, msg, &sig), SP_OK);
		for (size_t bit = 0; bit < sig.len * 8; bit += step) {
			sig.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
			assert_int_not_equal(sp_ssh_verify(view(&pub), view(&sig), msg), SP_OK);
			sig.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		}
	}
}

/* A software security key: the signature is made as PROTOCOL.u2f says, with a plain Ed25519 key. */
static void
verifies_a_security_key_signature_over_flags_and_counter(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = 8192 }, sig = { .max = 8192 };
	uint8_t pk[32], m[69] = { 0 }, s[64];
	sp_auto_secret sk = { 0 };

	(void)state;
	assert_int_equal(sp_ed25519_keypair(pk, &sk), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&pub, "sk-ssh-ed25519@openssh.com"), SP_OK);
	assert_int_equal(sp_buf_put_string(&pub, pk, 32), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&pub, "ssh:"), SP_OK);
	sp_sha256("ssh:", 4, m);
	m[32] = 1;
	m[36] = 5;
	sp_sha256(msg.p, msg.len, m + 37);
	sp_ed25519_sign(&sk, (struct sp_view){ m, sizeof(m) }, s);
	assert_int_equal(sp_buf_put_cstring(&sig, "sk-ssh-ed25519@openssh.com"), SP_OK);
	assert_int_equal(sp_buf_put_string(&sig, s, 64), SP_OK);
	assert_int_equal(sp_buf_append(&sig, "\1\0\0\0\5", 5), SP_OK);
	assert_int_equal(sp_ssh_verify(view(&pub), view(&sig), msg), SP_OK);
	sig.p[sig.len - 1]++;
	assert_int_equal(sp_ssh_verify(view(&pub), view(&sig), msg), SP_EAUTH);
	sig.p[sig.len - 1]--;
	sig.p[sig.len - 5] ^= 4;
	assert_int_equal(sp_ssh_verify(view(&pub), view(&sig), msg), SP_EAUTH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_generated_key_signs_and_ssh_keygen_reads_its_export),
		cmocka_unit_test(imports_every_unencrypted_form_that_ssh_keygen_writes),
		cmocka_unit_test(says_what_to_do_with_encrypted_files),
		cmocka_unit_test(opens_what_ssh_keygen_encrypts_with_every_cipher),
		cmocka_unit_test(refuses_files_that_are_no_key_or_a_weak_one),
		cmocka_unit_test(signs_only_with_algorithms_that_fit_and_never_with_sha1),
		cmocka_unit_test(refuses_a_stored_key_with_any_bit_changed),
		cmocka_unit_test(verification_rejects_a_flipped_bit_in_any_kind_of_signature),
		cmocka_unit_test(verifies_a_security_key_signature_over_flags_and_counter),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
