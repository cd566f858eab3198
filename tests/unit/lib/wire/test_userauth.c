/* tests/unit/lib/wire/test_userauth.c - what may be signed for a login, and signature blobs, and the agent protocol. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "wire/agent.h"
#include "wire/sshsig.h"
#include "wire/userauth.h"

static struct sp_buf key;	/* an Ed25519 public key blob */

static int
setup(void **state)
{
	static const uint8_t pk[32] = { 9, 9, 9 };

	(void)state;
	sp_buf_init(&key, 4096);
	return sp_buf_put_cstring(&key, "ssh-ed25519") != SP_OK || sp_buf_put_string(&key, pk, sizeof(pk)) != SP_OK;
}

static int
teardown(void **state)
{
	(void)state;
	sp_buf_release(&key);
	return 0;
}

/* The fields as separate values, so that each can be spoilt. */
struct fields {
	size_t		 sid;
	uint8_t		 type;
	const char	*user, *service, *method;
	uint8_t		 flag;
	const char	*algorithm;
	const char	*extra;
};
static const struct fields good = { 32, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", "" };

static struct sp_buf
build(const struct fields *f)
{
	static const uint8_t sid[80];
	struct sp_buf b;

	sp_buf_init(&b, 65536);
	assert_int_equal(sp_buf_put_string(&b, sid, f->sid), SP_OK);
	assert_int_equal(sp_buf_put_u8(&b, f->type), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, f->user), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, f->service), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, f->method), SP_OK);
	assert_int_equal(sp_buf_put_u8(&b, f->flag), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, f->algorithm), SP_OK);
	assert_int_equal(sp_buf_put_string(&b, key.p, key.len), SP_OK);
	assert_int_equal(sp_buf_append_str(&b, f->extra), SP_OK);
	return b;
}

static enum sp_err
decode(const struct fields *f)
{
	struct sp_buf b = build(f);
	struct sp_userauth u;
	enum sp_err r = sp_userauth_decode((struct sp_view){ b.p, b.len }, &u);

	sp_buf_release(&b);
	return r;
}

static void
reads_a_login_and_writes_the_same_bytes(void **state)
{
	struct sp_buf b = build(&good), again;
	struct sp_userauth u;

	(void)state;
	assert_int_equal(sp_userauth_decode((struct sp_view){ b.p, b.len }, &u), SP_OK);
	assert_true(sp_view_equal_str(u.user, "root"));
	assert_int_equal(u.session_id.len, 32);
	assert_int_equal(u.key_type, SP_SSHKEY_ED25519);
	sp_buf_init(&again, 65536);
	assert_int_equal(sp_userauth_encode(&u, &again), SP_OK);
	assert_int_equal(again.len, b.len);
	assert_memory_equal(again.p, b.p, b.len);
	for (size_t n = 0; n < b.len; n++)
		assert_int_not_equal(sp_userauth_decode((struct sp_view){ b.p, n }, &u), SP_OK);
	sp_buf_release(&again);
	sp_buf_release(&b);
}

static void
refuses_everything_that_is_not_a_plain_publickey_login(void **state)
{
	static const struct { struct fields f; enum sp_err err; } rows[] = {
		{ { 19, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 65, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 32, 51, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 32, 50, "", "ssh-connection", "publickey", 1, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 32, 50, "ro\not", "ssh-connection", "publickey", 1, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 32, 50, "root", "ssh-userauth", "publickey", 1, "ssh-ed25519", "" }, SP_EDENIED },
		{ { 32, 50, "root", "ssh-connection", "hostbased", 1, "ssh-ed25519", "" }, SP_EDENIED },
		{ { 32, 50, "root", "ssh-connection", "publickey-hostbound-v00@openssh.com", 1, "ssh-ed25519", "" }, SP_EDENIED },
		{ { 32, 50, "root", "ssh-connection", "publickey", 0, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 32, 50, "root", "ssh-connection", "publickey", 2, "ssh-ed25519", "" }, SP_EFORMAT },
		{ { 32, 50, "root", "ssh-connection", "publickey", 1, "rsa-sha2-512", "" }, SP_EDENIED },
		{ { 32, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519-cert-v01@openssh.com", "" }, SP_EDENIED },
		{ { 32, 50, "root", "ssh-connection", "publickey", 1, "ssh-ed25519", "x" }, SP_EFORMAT },
	};

	(void)state;
	assert_int_equal(decode(&good), SP_OK);
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		if (decode(&rows[i].f) != rows[i].err)
			fail_msg("row %zu: %s", i, sp_err_name(decode(&rows[i].f)));
}

static void
refuses_the_body_of_a_file_signature(void **state)
{
	/* PROTOCOL.sshsig: what ssh-keygen -Y sign has signed. A stored key must not sign it. */
	static const char sshsig[] = "SSHSIG\0\0\0\4file\0\0\0\0\0\0\0\6sha512\0\0\0\100";
	struct sp_userauth u;

	(void)state;
	assert_int_not_equal(sp_userauth_decode((struct sp_view){ (const uint8_t *)sshsig, sizeof(sshsig) - 1 }, &u), SP_OK);
}

static struct sp_buf
signature(const char *alg, const void *sig, size_t n, const char *tail, size_t tail_n)
{
	struct sp_buf b;

	sp_buf_init(&b, 65536);
	assert_int_equal(sp_buf_put_cstring(&b, alg), SP_OK);
	assert_int_equal(sp_buf_put_string(&b, sig, n), SP_OK);
	assert_int_equal(sp_buf_append(&b, tail, tail_n), SP_OK);
	return b;
}

static void
tells_whether_somebody_touched_the_security_key(void **state)
{
	static const uint8_t sig[64] = { 1 };
	struct sp_sshsig s;

	(void)state;
	for (int flags = 0; flags < 2; flags++) {
		struct sp_buf b = signature("sk-ssh-ed25519@openssh.com", sig, 64, flags ? "\x01\0\0\1\2" : "\x04\0\0\1\2", 5), c;

		assert_int_equal(sp_sshsig_decode((struct sp_view){ b.p, b.len }, &s), SP_OK);
		assert_int_equal(s.sk_counter, 258);
		assert_int_equal(sp_sshsig_sk_user_present(&s), flags);
		sp_buf_init(&c, 4096);
		assert_int_equal(sp_sshsig_encode(&s, &c), SP_OK);
		assert_memory_equal(c.p, b.p, b.len);
		sp_buf_release(&b);
		sp_buf_release(&c);
	}
}

static void
an_ordinary_signature_never_claims_presence(void **state)
{
	struct sp_sshsig s = { .type = SP_SSHKEY_ED25519, .sk_flags = SP_SK_USER_PRESENT };

	(void)state;
	assert_false(sp_sshsig_sk_user_present(&s));
}

static void
refuses_malformed_signatures(void **state)
{
	static const uint8_t sig[256] = { 1 };
	static const struct { const char *alg; const char *sig; size_t n; const char *tail; size_t tail_n; enum sp_err err; } rows[] = {
		{ "ssh-rsa", (const char *)sig, 256, "", 0, SP_EDENIED },
		{ "rsa-sha2-512", (const char *)sig, 256, "", 0, SP_OK },
		{ "rsa-sha2-512", (const char *)sig, 255, "", 0, SP_EFORMAT },
		{ "ssh-dss", (const char *)sig, 40, "", 0, SP_EVERSION },
		{ "ssh-ed25519", (const char *)sig, 63, "", 0, SP_EFORMAT },
		{ "ssh-ed25519", (const char *)sig, 64, "\x01\0\0\0\0", 5, SP_EFORMAT },
		{ "sk-ssh-ed25519@openssh.com", (const char *)sig, 64, "", 0, SP_ESHORT },
		{ "ecdsa-sha2-nistp256", "\0\0\0\1\1\0\0\0\1\2", 10, "", 0, SP_OK },
		{ "ecdsa-sha2-nistp256", "\0\0\0\1\1\0\0\0\0", 9, "", 0, SP_EFORMAT },		/* s = 0 */
		{ "ecdsa-sha2-nistp256", "\0\0\0\2\0\1\0\0\0\1\2", 11, "", 0, SP_EFORMAT },	/* leading zero */
		{ "ecdsa-sha2-nistp256", "\0\0\0\1\x80\0\0\0\1\2", 10, "", 0, SP_EFORMAT },	/* negative */
		{ "ecdsa-sha2-nistp256", "\0\0\0\1\1\0\0\0\1\2\0", 11, "", 0, SP_EFORMAT },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_buf b = signature(rows[i].alg, rows[i].sig, rows[i].n, rows[i].tail, rows[i].tail_n);
		struct sp_sshsig s;
		enum sp_err r = sp_sshsig_decode((struct sp_view){ b.p, b.len }, &s);

		if (r != rows[i].err)
			fail_msg("row %zu: %s", i, sp_err_name(r));
		sp_buf_release(&b);
	}
}

static void
agent_reads_list_and_sign_and_calls_the_rest_other(void **state)
{
	struct sp_agent_request q = { .kind = SP_AGENT_SIGN, .key_blob = { key.p, key.len },
	    .data = { (const uint8_t *)"data", 4 }, .flags = SP_AGENT_RSA_SHA2_512 }, got;
	struct sp_view stream, body;
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 65536);
	assert_int_equal(sp_agent_encode(&q, &b), SP_OK);
	q.kind = SP_AGENT_LIST;
	assert_int_equal(sp_agent_encode(&q, &b), SP_OK);
	assert_int_equal(sp_buf_append(&b, "\0\0\0\1\x11", 5), SP_OK);	/* add identity: not for us */
	stream = (struct sp_view){ b.p, b.len };
	assert_int_equal(sp_agent_next(&stream, &body), SP_OK);
	assert_int_equal(sp_agent_decode(body, &got), SP_OK);
	assert_int_equal(got.kind, SP_AGENT_SIGN);
	assert_int_equal(got.flags, SP_AGENT_RSA_SHA2_512);
	assert_true(sp_view_equal_str(got.data, "data"));
	assert_int_equal(sp_agent_next(&stream, &body), SP_OK);
	assert_int_equal(sp_agent_decode(body, &got), SP_OK);
	assert_int_equal(got.kind, SP_AGENT_LIST);
	assert_int_equal(sp_agent_next(&stream, &body), SP_OK);
	assert_int_equal(sp_agent_decode(body, &got), SP_OK);
	assert_int_equal(got.kind, SP_AGENT_OTHER);
	assert_int_equal(stream.len, 0);
	assert_int_equal(sp_agent_next(&stream, &body), SP_ESHORT);
	sp_buf_release(&b);
}

static void
agent_bounds_messages_and_flags(void **state)
{
	struct sp_view v = { (const uint8_t *)"\0\4\0\1", 4 }, body;
	struct sp_agent_request q;

	(void)state;
	assert_int_equal(sp_agent_next(&v, &body), SP_ESIZE);	/* 256 KiB + 1 announced */
	v = (struct sp_view){ (const uint8_t *)"\0\0\0\0", 4 };
	assert_int_equal(sp_agent_next(&v, &body), SP_EFORMAT);
	v = (struct sp_view){ (const uint8_t *)"\0\0\0\2\x0b", 5 };
	assert_int_equal(sp_agent_next(&v, &body), SP_ESHORT);
	assert_int_equal(v.len, 5);
	v = (struct sp_view){ (const uint8_t *)"\x0bx", 2 };
	assert_int_equal(sp_agent_decode(v, &q), SP_EFORMAT);
	v = (struct sp_view){ (const uint8_t *)"\x0d\0\0\0\1k\0\0\0\0\0\0\0\x08", 14 };
	assert_int_equal(sp_agent_decode(v, &q), SP_EINVAL);
}

static void
agent_answers_have_the_published_form(void **state)
{
	struct sp_agent_identity id = { .key_blob = { (const uint8_t *)"K", 1 }, .comment = "c" };
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 65536);
	assert_int_equal(sp_agent_put_failure(&b), SP_OK);
	assert_int_equal(sp_agent_put_identities(&id, 1, &b), SP_OK);
	assert_int_equal(sp_agent_put_signature((struct sp_view){ (const uint8_t *)"S", 1 }, &b), SP_OK);
	assert_int_equal(b.len, 5 + 19 + 10);
	assert_memory_equal(b.p, "\0\0\0\1\5" "\0\0\0\17\14\0\0\0\1\0\0\0\1K\0\0\0\1c" "\0\0\0\6\16\0\0\0\1S", b.len);
	sp_buf_release(&b);
}

static void
the_hostbound_variant_is_read_only_by_who_looks_at_its_host_key(void **state)
{
	struct fields f = good;
	struct sp_userauth u;
	struct sp_buf b;

	(void)state;
	f.method = "publickey-hostbound-v00@openssh.com";
	b = build(&f);
	assert_int_not_equal(sp_userauth_decode_any((struct sp_view){ b.p, b.len }, &u), SP_OK);	/* no host key */
	assert_int_equal(sp_buf_put_string(&b, key.p, key.len), SP_OK);
	assert_int_equal(sp_userauth_decode((struct sp_view){ b.p, b.len }, &u), SP_EDENIED);
	assert_int_equal(sp_userauth_decode_any((struct sp_view){ b.p, b.len }, &u), SP_OK);
	assert_int_equal(u.host_key.len, key.len);
	assert_memory_equal(u.host_key.p, key.p, key.len);
	assert_true(sp_view_equal_str(u.user, "root"));
	assert_int_equal(sp_buf_put_u8(&b, 0), SP_OK);
	assert_int_equal(sp_userauth_decode_any((struct sp_view){ b.p, b.len }, &u), SP_EFORMAT);
	sp_buf_release(&b);
	b = build(&good);
	assert_int_equal(sp_userauth_decode_any((struct sp_view){ b.p, b.len }, &u), SP_OK);
	assert_int_equal(u.host_key.len, 0);
	sp_buf_release(&b);
}

static void
agent_reads_a_binding_and_no_other_extension(void **state)
{
	struct sp_agent_request q = { .kind = SP_AGENT_BIND, .host_key = { key.p, key.len },
	    .session_id = { (const uint8_t *)"SESSION", 7 }, .signature = { (const uint8_t *)"SIG", 3 }, .forwarding = 1 }, got;
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 4096);
	assert_int_equal(sp_agent_encode(&q, &b), SP_OK);
	assert_int_equal(sp_agent_decode((struct sp_view){ b.p + 4, b.len - 4 }, &got), SP_OK);
	assert_int_equal(got.kind, SP_AGENT_BIND);
	assert_int_equal(got.forwarding, 1);
	assert_true(sp_view_equal_str(got.session_id, "SESSION") && sp_view_equal_str(got.signature, "SIG"));
	b.p[b.len - 1] = 2;		/* no boolean */
	assert_int_equal(sp_agent_decode((struct sp_view){ b.p + 4, b.len - 4 }, &got), SP_EFORMAT);
	assert_int_not_equal(sp_agent_decode((struct sp_view){ b.p + 4, b.len - 5 }, &got), SP_OK);
	sp_buf_reset(&b);
	assert_int_equal(sp_buf_put_u8(&b, 27), SP_OK);
	assert_int_equal(sp_buf_put_cstring(&b, "query"), SP_OK);
	assert_int_equal(sp_agent_decode((struct sp_view){ b.p, b.len }, &got), SP_OK);
	assert_int_equal(got.kind, SP_AGENT_OTHER);
	sp_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_login_and_writes_the_same_bytes),
		cmocka_unit_test(refuses_everything_that_is_not_a_plain_publickey_login),
		cmocka_unit_test(refuses_the_body_of_a_file_signature),
		cmocka_unit_test(tells_whether_somebody_touched_the_security_key),
		cmocka_unit_test(an_ordinary_signature_never_claims_presence),
		cmocka_unit_test(refuses_malformed_signatures),
		cmocka_unit_test(agent_reads_list_and_sign_and_calls_the_rest_other),
		cmocka_unit_test(agent_bounds_messages_and_flags),
		cmocka_unit_test(the_hostbound_variant_is_read_only_by_who_looks_at_its_host_key),
		cmocka_unit_test(agent_reads_a_binding_and_no_other_extension),
		cmocka_unit_test(agent_answers_have_the_published_form),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
