/* tests/unit/lib/crypto/test_note.c - signed notes: the example note of golang.org/x/mod/sumdb/note is read and made, wrong
 * and foreign signatures are told apart, checkpoints have one spelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/note.h"

static const char text[] = "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
static const char vkey[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char seed_b64[] = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";	/* kind, seed */
static const char signature[] =
    "\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

static struct sp_note_key peter;
static struct sp_secret peter_sk;

static int
setup(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf seed = { .max = 64 };
	uint8_t pk[SP_ED25519_PK];

	(void)state;
	return sp_crypto_init() != SP_OK || sp_note_key_parse(vkey, strlen(vkey), &peter) != SP_OK ||
	    sp_base64_parse(&seed, seed_b64, strlen(seed_b64)) != SP_OK ||
	    sp_ed25519_from_seed(seed.p + 1, pk, &peter_sk) != SP_OK || memcmp(pk, peter.pk, sizeof(pk)) != 0;
}

static int
teardown(void **state)
{
	(void)state;
	sp_secret_release(&peter_sk);
	return 0;
}

static struct sp_view
view(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

static struct sp_view
whole(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

static void
note_of(const char *body, const char *sigs, struct sp_buf *ret)
{
	sp_buf_init(ret, SP_NOTE_MAX);
	assert_int_equal(sp_buf_printf(ret, "%s\n%s", body, sigs), SP_OK);
}

static void
test_the_example_is_read_and_made(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf note, sig = { .max = 1024 };
	char again[SP_NOTE_VKEY_SIZE];
	struct sp_view t;

	(void)state;
	assert_string_equal(peter.name, "PeterNeumann");
	assert_int_equal(sp_note_key_text(&peter, again), SP_OK);
	assert_string_equal(again, vkey);
	note_of(text, signature, &note);
	assert_int_equal(sp_note_verify(whole(&note), &peter, NULL), SP_OK);
	assert_int_equal(sp_note_text(whole(&note), &t), SP_OK);
	assert_true(sp_view_equal_str(t, text));
	assert_int_equal(sp_note_sign(view(text), &peter, &peter_sk, 0, &sig), SP_OK);
	assert_string_equal(sp_buf_cstr(&sig), signature);
}

static void
test_wrong_and_foreign_signatures_are_told_apart(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf changed, foreign, two, many;
	struct sp_note_key other = peter;

	(void)state;
	note_of("another text\n", signature, &changed);
	assert_int_equal(sp_note_verify(whole(&changed), &peter, NULL), SP_EAUTH);
	(void)sp_strlcpy(other.name, "somebody", sizeof(other.name));
	note_of(text, signature, &foreign);
	assert_int_equal(sp_note_verify(whole(&foreign), &other, NULL), SP_ENOENT);
	/* A good one does not make up for a wrong one of the same key. */
	note_of(text, signature, &two);
	assert_int_equal(sp_buf_printf(&two, "\xe2\x80\x94 PeterNeumann x08gowAA\n"), SP_OK);
	assert_int_equal(sp_note_verify(whole(&two), &peter, NULL), SP_EAUTH);
	note_of(text, "", &many);
	for (int i = 0; i <= SP_NOTE_SIGS_MAX; i++)
		assert_int_equal(sp_buf_append_str(&many, "\xe2\x80\x94 x AAAAAAAA\n"), SP_OK);
	assert_int_equal(sp_note_verify(whole(&many), &peter, NULL), SP_ESIZE);
}

static void
test_a_cosignature_carries_its_time(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf note, sig = { .max = 1024 };
	struct sp_note_key k = peter;
	uint64_t at = 0;

	(void)state;
	k.kind = SP_NOTE_COSIGNATURE;
	assert_int_equal(sp_note_sign(view(text), &k, &peter_sk, 1700000001, &sig), SP_OK);
	note_of(text, sp_buf_cstr(&sig), &note);
	assert_int_equal(sp_note_verify(whole(&note), &k, &at), SP_OK);
	assert_int_equal(at, 1700000001);
	assert_int_equal(sp_note_verify(whole(&note), &peter, NULL), SP_ENOENT);
}

static void
test_what_is_no_note_is_refused(void **state)
{
	static const char *const bad[] = { "", "a\n", "a\n\n", "a\n\nb\n", "a\n\n\xe2\x80\x94 x\n", "a\n\n\xe2\x80\x94  AAAA\n",
	    "a\r\n\n\xe2\x80\x94 x AAAAAAAA\n", "a\n\n\xe2\x80\x94 x AAAAAAAA", "\xff\n\n\xe2\x80\x94 x AAAAAAAA\n" };
	static const char *const keys[] = { "", "a", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
	    "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "PeterNeumann+c74f20a3+AR" };
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = 1024 };
	struct sp_note_key k;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sp_note_verify(view(bad[i]), &peter, NULL), SP_EFORMAT);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_int_equal(sp_note_key_parse(keys[i], strlen(keys[i]), &k), SP_EFORMAT);
	assert_int_equal(sp_note_sign(view("no newline"), &peter, &peter_sk, 0, &sig), SP_EINVAL);
	assert_int_equal(sp_note_sign(view("bell\a\n"), &peter, &peter_sk, 0, &sig), SP_EINVAL);
}

static void
test_checkpoints_have_one_spelling(void **state)
{
	static const char *const bad[] = { "o\n1\n", "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	    "o\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	    "o\n1\nAAAA\n", "o\n1234567890123456789\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	    "o o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" };
	struct sp_checkpoint c = { "sallyport.example/audit", 70000, { { 1, 2, 3 } } }, got;
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 1024 };

	(void)state;
	assert_int_equal(sp_checkpoint_text(&c, &b), SP_OK);
	assert_string_equal(sp_buf_cstr(&b), "sallyport.example/audit\n70000\nAQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
	assert_int_equal(sp_checkpoint_parse(whole(&b), &got), SP_OK);
	assert_string_equal(got.origin, c.origin);
	assert_int_equal(got.size, c.size);
	assert_true(sp_tlog_equal(&got.root, &c.root));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sp_checkpoint_parse(view(bad[i]), &got), SP_EFORMAT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_example_is_read_and_made),
		cmocka_unit_test(test_wrong_and_foreign_signatures_are_told_apart),
		cmocka_unit_test(test_a_cosignature_carries_its_time),
		cmocka_unit_test(test_what_is_no_note_is_refused),
		cmocka_unit_test(test_checkpoints_have_one_spelling),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
