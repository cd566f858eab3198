/* tests/unit/src/vault/test_secrets.c - put, reveal, rewrap. */
#include "harness.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/sealkind.h"
#include "wire/sshkey.h"

static struct rig r;

/* A key file made by OpenSSH, with its fingerprint. */
static void
make_key(const char *type, struct sp_buf *ret_text, char fp[64])
{
	char path[128];
	const char *const gen[] = { "ssh-keygen", "-q", "-t", type, "-N", "", "-C", "x", "-f", path, NULL };
	const char *const list[] = { "ssh-keygen", "-l", "-f", path, NULL };
	sp_auto(sp_buf_release) struct sp_buf out = { .max = 65536 };
	uint8_t bytes[16384];
	ssize_t n;
	int fd;

	sp_snprintf(path, sizeof(path), "%s/x", r.dir);
	unlink(path);
	assert_int_equal(run(gen, &out), 0);
	sp_buf_reset(&out);
	assert_int_equal(run(list, &out), 0);
	assert_non_null(strstr(sp_buf_cstr(&out), "SHA256:"));
	(void)sp_strlcpy(fp, strstr(sp_buf_cstr(&out), "SHA256:"), SP_FINGERPRINT_SIZE);
	fd = open(path, O_RDONLY);
	n = read(fd, bytes, sizeof(bytes));
	close(fd);
	assert_true(n > 0);
	sp_buf_init(ret_text, 65536);
	assert_int_equal(sp_buf_append(ret_text, bytes, (size_t)n), SP_OK);
}

static void
imports_keys_of_openssh_and_reveals_them_again(void **state)
{
	static const char *const types[] = { "ed25519", "ecdsa", "rsa" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(types); i++) {
		sp_auto(sp_buf_release) struct sp_buf text = { 0 }, shown = { 0 };
		char fp[64];
		struct stored s, again;

		make_key(types[i], &text, fp);
		assert_int_equal(secret_put(&r, "ssh-key", sp_buf_cstr(&text), NULL, &s), SP_OK);
		assert_string_equal(s.fingerprint, fp);
		assert_int_equal(secret_reveal(&r, &s, &shown), SP_OK);
		assert_int_equal(secret_put(&r, "ssh-key", sp_buf_cstr(&shown), NULL, &again), SP_OK);
		assert_string_equal(again.fingerprint, fp);
		stored_release(&s);
		stored_release(&again);
	}
}

static void
generates_each_algorithm(void **state)
{
	static const struct { const char *algorithm; enum sp_sshkey_type type; } rows[] = {
		{ "", SP_SSHKEY_ED25519 }, { "ed25519", SP_SSHKEY_ED25519 }, { "ecdsa", SP_SSHKEY_ECDSA256 },
		{ "ecdsa-384", SP_SSHKEY_ECDSA384 }, { "ecdsa-521", SP_SSHKEY_ECDSA521 }, { "rsa", SP_SSHKEY_RSA },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_sshkey k;
		struct stored s;

		assert_int_equal(secret_put(&r, "ssh-key", NULL, rows[i].algorithm, &s), SP_OK);
		assert_int_equal(sp_sshkey_decode((struct sp_view){ s.pub.p, s.pub.len }, &k), SP_OK);
		assert_int_equal(k.type, rows[i].type);
		stored_release(&s);
	}
}

static void
never_reveals_an_authority_or_a_generated_key(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf text = { 0 };
	static const char *const kinds[] = { "ssh-ca", "ssh-key" };
	struct sp_buf shown;
	struct stored s;
	char fp[64];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(kinds); i++) {
		assert_int_equal(secret_put(&r, kinds[i], NULL, "ed25519", &s), SP_OK);
		assert_int_equal(secret_reveal(&r, &s, &shown), SP_EDENIED);
		s.kind = "ssh-key";	/* calling it something else does not help */
		assert_int_equal(secret_reveal(&r, &s, &shown), SP_EDENIED);
		s.kind = "password";
		assert_int_equal(secret_reveal(&r, &s, &shown), SP_EDENIED);
		stored_release(&s);
	}
	make_key("ed25519", &text, fp);
	assert_int_equal(secret_put(&r, "ssh-ca", sp_buf_cstr(&text), NULL, &s), SP_OK);
	assert_int_equal(secret_reveal(&r, &s, &shown), SP_EDENIED);
	stored_release(&s);
}

static void
refuses_what_is_no_secret(void **state)
{
	struct stored s;

	(void)state;
	assert_int_equal(secret_put(&r, "password", "", NULL, &s), SP_EINVAL);
	assert_int_equal(secret_put(&r, "password", NULL, "ed25519", &s), SP_EINVAL);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "dsa", &s), SP_EINVAL);
	assert_int_equal(secret_put(&r, "token", "x", NULL, &s), SP_EINVAL);
	assert_int_not_equal(secret_put(&r, "ssh-key", "-----BEGIN NOTHING-----", NULL, &s), SP_OK);
}

static void
a_record_opens_only_as_the_object_and_version_that_it_was_made_for(void **state)
{
	struct stored a, b;
	struct sp_buf shown;

	(void)state;
	assert_int_equal(secret_put(&r, "password", "first", NULL, &a), SP_OK);
	assert_int_equal(secret_put(&r, "password", "second", NULL, &b), SP_OK);
	b.id = a.id;
	assert_int_equal(secret_reveal(&r, &b, &shown), SP_EAUTH);
	a.envelope.p[a.envelope.len - 1] ^= 1;
	assert_int_equal(secret_reveal(&r, &a, &shown), SP_EAUTH);
	stored_release(&a);
	stored_release(&b);
}

static enum sp_err
rewrap(struct stored *s)
{
	Sallyport__SecretRewrap m = SALLYPORT__SECRET_REWRAP__INIT;
	const Sallyport__SecretReply *reply;

	m.secret_id = bytes_of(s->id.b, 16);
	m.version = 1;
	m.envelope = bytes_of(s->envelope.p, s->envelope.len);
	reply = peer_ask(&r.control, SP_MSG_SECRET_REWRAP, &m, SP_MSG_SECRET_REPLY);
	assert_non_null(reply);
	if (reply->err == SP_OK) {
		sp_buf_reset(&s->envelope);
		assert_int_equal(sp_buf_append(&s->envelope, reply->envelope.data, reply->envelope.len), SP_OK);
		s->term = reply->term;
	}
	return (enum sp_err)reply->err;
}

static void
rewraps_an_old_record_for_the_new_term(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf shown = { 0 };
	struct stored s;
	unsigned term = r.term;

	(void)state;
	assert_int_equal(secret_put(&r, "password", "lasting", NULL, &s), SP_OK);
	assert_int_equal(s.term, term);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_ROTATE), SP_OK);
	assert_int_equal(r.term, term + 1);
	assert_int_equal(rewrap(&s), SP_OK);
	assert_int_equal(s.term, term + 1);
	assert_int_equal(secret_reveal(&r, &s, &shown), SP_OK);
	assert_string_equal(sp_buf_cstr(&shown), "lasting");
	sp_uuid_make(&s.id);
	assert_int_equal(rewrap(&s), SP_EAUTH);
	stored_release(&s);
}

static void
does_nothing_while_sealed(void **state)
{
	struct stored s, t;
	struct sp_buf shown;
	char text[200];

	(void)state;
	assert_int_equal(secret_put(&r, "password", "x", NULL, &s), SP_OK);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(secret_put(&r, "password", "x", NULL, &t), SP_ESEALED);
	assert_int_equal(secret_put(&r, "ssh-key", NULL, "ed25519", &t), SP_ESEALED);
	assert_int_equal(secret_reveal(&r, &s, &shown), SP_ESEALED);
	assert_int_equal(rewrap(&s), SP_ESEALED);
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_ROTATE), SP_ESEALED);
	assert_int_equal(vault_open(&r, "keyfile", r.keyfile, 32, text), SP_OK);
	stored_release(&s);
}

static int
setup(void **state)
{
	(void)state;
	rig_up(&r);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	rig_down(&r);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(imports_keys_of_openssh_and_reveals_them_again),
		cmocka_unit_test(generates_each_algorithm),
		cmocka_unit_test(never_reveals_an_authority_or_a_generated_key),
		cmocka_unit_test(refuses_what_is_no_secret),
		cmocka_unit_test(a_record_opens_only_as_the_object_and_version_that_it_was_made_for),
		cmocka_unit_test(rewraps_an_old_record_for_the_new_term),
		cmocka_unit_test(does_nothing_while_sealed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
