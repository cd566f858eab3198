/* tests/unit/lib/crypto/test_slots.c - the key file of a vault: every slot opens it, nobody edits it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crypto/envelope.h"
#include "crypto/slots.h"

static const uint8_t keyfile[64] = "key file of sixty-four bytes, as the demo writes it at its init";
static struct sp_slots file;
static struct sp_keyring keys;
static struct sp_share shares[3];

static struct sp_slot_cred
cred_pass(const char *s)
{
	return (struct sp_slot_cred){ .kind = SP_SLOT_PASSPHRASE, .bytes = { (const uint8_t *)s, strlen(s) } };
}

static struct sp_slot_cred
cred_file(void)
{
	return (struct sp_slot_cred){ .kind = SP_SLOT_KEYFILE, .bytes = { keyfile, sizeof(keyfile) } };
}

static struct sp_slot_cred
cred_shares(size_t n)
{
	return (struct sp_slot_cred){ .kind = SP_SLOT_SHAMIR, .shares = shares, .share_n = n };
}

/* A vault with one slot of each kind: ids 1, 2, 3. */
static int
setup(void **state)
{
	struct sp_view pass = { (const uint8_t *)"open sesame", 11 }, kf = { keyfile, sizeof(keyfile) };

	(void)state;
	return sp_crypto_init() != SP_OK || sp_slots_create(&file, &keys) != SP_OK ||
	    sp_slots_add_passphrase(&file, &keys, "pass phrase", pass, SP_ARGON2_LIGHT, NULL) != SP_OK ||
	    sp_slots_add_keyfile(&file, &keys, "auto", kf, NULL) != SP_OK ||
	    sp_slots_add_shamir(&file, &keys, "board", 2, 3, shares, NULL) != SP_OK;
}

static int
teardown(void **state)
{
	(void)state;
	sp_slots_release(&file);
	sp_keyring_release(&keys);
	for (int i = 0; i < 3; i++)
		sp_share_release(&shares[i]);
	return 0;
}

static struct sp_buf
text_of(const struct sp_slots *f)
{
	struct sp_buf b;

	sp_buf_init(&b, SP_SLOTS_TEXT_MAX);
	assert_int_equal(sp_slots_format(f, &b), SP_OK);
	return b;
}

static void
same_keys(const struct sp_keyring *a, const struct sp_keyring *b)
{
	assert_true(sp_secret_equal(&a->base, &b->base));
	assert_true(sp_secret_equal(&a->seal_sk, &b->seal_sk));
	assert_int_equal(a->term_n, b->term_n);
	assert_memory_equal(a->terms.p, b->terms.p, a->term_n * SP_KEY_LEN);
	assert_memory_equal(a->seal_pk, b->seal_pk, SP_KEY_LEN);
}

static void
each_slot_opens_the_file_after_a_trip_through_text(void **state)
{
	struct sp_slot_cred creds[] = { cred_pass("open sesame"), cred_file(), cred_shares(2) };
	struct sp_buf b = text_of(&file);
	struct sp_slots f;

	(void)state;
	assert_int_equal(sp_slots_parse(sp_buf_cstr(&b), b.len, NULL, &f), SP_OK);
	for (uint32_t i = 0; i < 3; i++) {
		sp_auto_keyring kr = { 0 };
		uint32_t slot = 0;

		assert_int_equal(sp_slots_open(&f, &creds[i], NULL, &kr, &slot), SP_OK);
		assert_int_equal(slot, i + 1);
		same_keys(&kr, &keys);
	}
	sp_slots_release(&f);
	sp_buf_release(&b);
}

static void
wrong_credentials_open_nothing(void **state)
{
	struct sp_slot_cred pass = cred_pass("open sesamf"), kf = cred_file(), few = cred_shares(1);
	struct sp_keyring kr;
	const char *why = NULL;

	(void)state;
	assert_int_equal(sp_slots_open(&file, &pass, &why, &kr, NULL), SP_EAUTH);
	assert_non_null(why);
	kf.bytes.len--;
	assert_int_equal(sp_slots_open(&file, &kf, NULL, &kr, NULL), SP_EAUTH);
	kf.bytes.len = 31;
	assert_int_equal(sp_slots_open(&file, &kf, NULL, &kr, NULL), SP_ESIZE);
	assert_int_equal(sp_slots_open(&file, &few, &why, &kr, NULL), SP_ESHORT);
	assert_non_null(strstr(why, "fewer"));
}

/* Every bit of the file, with the key file as credential. Flips in other slots count, too: the mac covers them. */
static void
an_edited_file_does_not_open(void **state)
{
	struct sp_slot_cred kf = cred_file();
	struct sp_buf b = text_of(&file);
	size_t parsed = 0;

	(void)state;
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		sp_auto_slots f = { 0 };
		struct sp_keyring kr;

		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		if (sp_slots_parse(sp_buf_cstr(&b), b.len, NULL, &f) == SP_OK) {
			parsed++;
			assert_int_not_equal(sp_slots_open(&f, &kf, NULL, &kr, NULL), SP_OK);
		}
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_true(parsed > 100);	/* so the mac was asked, not the parser alone */
	sp_buf_release(&b);
}

static void
a_removed_line_is_noticed(void **state)
{
	struct sp_slot_cred kf = cred_file();
	struct sp_buf b = text_of(&file);
	char *line = strstr((char *)b.p, "slot 3 "), *end = strchr(line, '\n') + 1;
	const char *why = NULL;
	struct sp_slots f;
	struct sp_keyring kr;

	(void)state;
	memmove(line, end, strlen(end) + 1);
	assert_int_equal(sp_slots_parse((char *)b.p, strlen((char *)b.p), NULL, &f), SP_OK);
	assert_int_equal(sp_slots_open(&f, &kf, &why, &kr, NULL), SP_ECORRUPT);
	assert_non_null(strstr(why, "changed"));
	sp_slots_release(&f);
	sp_buf_release(&b);
}

static void
parses_only_what_it_writes(void **state)
{
	static const char *const edits[][2] = {
		{ "sallyport-keys 1\n", "sallyport-keys 2\n" }, { "generation 1\n", "generation 01\n" },
		{ "generation 1\n", "generation 0\n" }, { "\nvault ", "\n\nvault " }, { "slot 1 pass", "slot 2 pass" },
		{ " 67108864 ", " 2147483648 " },	/* 2 GiB of argon2 memory */
		{ "passphrase 2 ", "passphrase 17 " }, { "term 1 ", "term 0 " }, { "next 4\n", "next 3\n" },
		{ "shamir 2 3 ", "shamir 3 2 " }, { " board\n", " bo\tard\n" }, { " board\n", " \n" },
	};
	struct sp_buf b = text_of(&file);

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(edits); i++) {
		char *at = strstr((char *)b.p, edits[i][0]);
		struct sp_buf e;
		struct sp_slots f;
		const char *why = NULL;

		assert_non_null(at);
		sp_buf_init(&e, SP_SLOTS_TEXT_MAX);
		assert_int_equal(sp_buf_append(&e, b.p, (size_t)(at - (char *)b.p)), SP_OK);
		assert_int_equal(sp_buf_append_str(&e, edits[i][1]), SP_OK);
		assert_int_equal(sp_buf_append_str(&e, at + strlen(edits[i][0])), SP_OK);
		if (sp_slots_parse(sp_buf_cstr(&e), e.len, &why, &f) == SP_OK)
			fail_msg("edit %zu was accepted", i);
		assert_non_null(why);
		sp_buf_release(&e);
	}
	sp_buf_release(&b);
}

static void
the_last_slot_stays_and_ids_are_not_used_twice(void **state)
{
	struct sp_view kf = { keyfile, sizeof(keyfile) };
	sp_auto_slots f = { 0 };
	sp_auto_keyring kr = { 0 };
	uint32_t a, b;

	(void)state;
	assert_int_equal(sp_slots_create(&f, &kr), SP_OK);
	assert_int_equal(sp_slots_add_keyfile(&f, &kr, "one", kf, &a), SP_OK);
	assert_int_equal(sp_slots_remove(&f, &kr, a), SP_ESTATE);
	assert_int_equal(sp_slots_add_keyfile(&f, &kr, "two", kf, &b), SP_OK);
	assert_int_equal(sp_slots_remove(&f, &kr, b), SP_OK);
	assert_int_equal(sp_slots_remove(&f, &kr, b), SP_ENOENT);
	assert_int_equal(sp_slots_add_keyfile(&f, &kr, "three", kf, &a), SP_OK);
	assert_int_equal(a, 3);
	for (int i = 2; i < SP_SLOTS_MAX; i++)
		assert_int_equal(sp_slots_add_keyfile(&f, &kr, "more", kf, NULL), SP_OK);
	assert_int_equal(sp_slots_add_keyfile(&f, &kr, "17th", kf, NULL), SP_EFULL);
	assert_int_equal(sp_slots_add_keyfile(&f, &kr, "", kf, NULL), SP_EFULL);
}

static void
a_file_without_slots_is_never_written(void **state)
{
	sp_auto_slots f = { 0 };
	sp_auto_keyring kr = { 0 };
	struct sp_buf b;

	(void)state;
	assert_int_equal(sp_slots_create(&f, &kr), SP_OK);
	sp_buf_init(&b, SP_SLOTS_TEXT_MAX);
	assert_int_equal(sp_slots_format(&f, &b), SP_ESTATE);
	sp_buf_release(&b);
}

static void
terms_are_added_kept_and_dropped(void **state)
{
	struct sp_view kf = { keyfile, sizeof(keyfile) };
	struct sp_slot_cred cred = cred_file();
	sp_auto_slots f = { 0 };
	sp_auto_keyring kr = { 0 }, again = { 0 };
	uint32_t t;

	(void)state;
	assert_int_equal(sp_slots_create(&f, &kr), SP_OK);
	assert_int_equal(sp_slots_add_keyfile(&f, &kr, "auto", kf, NULL), SP_OK);
	for (uint32_t i = 2; i <= 150; i++) {	/* beyond one page of keys */
		assert_int_equal(sp_slots_add_term(&f, &kr, &t), SP_OK);
		assert_int_equal(t, i);
		assert_int_equal(sp_keyring_term(&kr), i);
	}
	assert_int_equal(sp_slots_drop_term(&f, &kr, 150), SP_ESTATE);
	assert_int_equal(sp_slots_drop_term(&f, &kr, 77), SP_OK);
	assert_int_equal(sp_slots_drop_term(&f, &kr, 77), SP_ENOENT);
	assert_null(sp_keyring_key(&kr, 77));
	assert_int_equal(sp_slots_open(&f, &cred, NULL, &again, NULL), SP_OK);
	same_keys(&kr, &again);
	assert_memory_equal(sp_keyring_key(&kr, 78), sp_keyring_key(&again, 78), SP_KEY_LEN);
}

static void
rekey_carries_slots_and_keeps_the_secrets_readable(void **state)
{
	struct sp_slot_cred pass = cred_pass("open sesame"), wrong = cred_pass("wrong"), board = cred_shares(3), kf = cred_file();
	const struct sp_envelope_ad ad = { .object = { { 1 } }, .version = 1, .field = "password" };
	sp_auto_slots next = { 0 };
	sp_auto_keyring nk = { 0 }, opened = { 0 }, none = { 0 };
	sp_auto_secret s = { 0 };
	uint8_t before[32], after[32];
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, SP_ENVELOPE_MAX);
	assert_int_equal(sp_envelope_seal(&keys, &ad, (struct sp_view){ (const uint8_t *)"pw", 2 }, &b), SP_OK);
	assert_int_equal(sp_rekey_begin(&file, &keys, &next, &nk), SP_OK);
	assert_false(sp_secret_equal(&nk.root, &keys.root));
	assert_int_equal(sp_rekey_carry(&file, 1, &wrong, &next, &nk), SP_EAUTH);
	assert_int_equal(sp_rekey_carry(&file, 9, &pass, &next, &nk), SP_ENOENT);
	assert_int_equal(sp_rekey_carry(&file, 3, &board, &next, &nk), SP_OK);
	assert_int_equal(sp_rekey_carry(&file, 1, &pass, &next, &nk), SP_OK);
	assert_int_equal(sp_rekey_carry(&file, 1, &pass, &next, &nk), SP_EEXIST);
	/* slot 2 is neither carried nor dropped; then it is named, once rightly */
	assert_int_equal(sp_rekey_finish(&file, &next, NULL, 0), SP_ESTATE);
	assert_int_equal(sp_rekey_finish(&file, &next, (uint32_t[]){ 1, 2 }, 2), SP_ESTATE);
	assert_int_equal(sp_rekey_finish(&file, &next, (uint32_t[]){ 2 }, 1), SP_OK);
	assert_int_equal(next.generation, file.generation + 1);
	assert_int_equal(next.slot[0].id, 1);
	assert_int_equal(next.slot[1].id, 3);
	assert_int_equal(sp_slots_open(&next, &kf, NULL, &none, NULL), SP_ENOENT);
	assert_int_equal(sp_slots_open(&next, &board, NULL, &opened, NULL), SP_OK);
	assert_int_equal(sp_envelope_open(&opened, &ad, (struct sp_view){ b.p, b.len }, &s), SP_OK);
	sp_keyring_derive(&keys, "row mac", before);
	sp_keyring_derive(&opened, "row mac", after);
	assert_memory_equal(before, after, 32);
	sp_buf_release(&b);
}

static void
a_slot_taken_from_the_file_before_a_rekey_does_not_fit(void **state)
{
	struct sp_slot_cred pass = cred_pass("open sesame"), kf = cred_file();
	sp_auto_slots next = { 0 };
	sp_auto_keyring nk = { 0 }, none = { 0 };

	(void)state;
	assert_int_equal(sp_rekey_begin(&file, &keys, &next, &nk), SP_OK);
	assert_int_equal(sp_rekey_carry(&file, 1, &pass, &next, &nk), SP_OK);
	next.slot[next.slot_n++] = file.slot[1];
	assert_int_equal(sp_slots_open(&next, &kf, NULL, &none, NULL), SP_EAUTH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_slot_opens_the_file_after_a_trip_through_text),
		cmocka_unit_test(wrong_credentials_open_nothing),
		cmocka_unit_test(an_edited_file_does_not_open),
		cmocka_unit_test(a_removed_line_is_noticed),
		cmocka_unit_test(parses_only_what_it_writes),
		cmocka_unit_test(the_last_slot_stays_and_ids_are_not_used_twice),
		cmocka_unit_test(a_file_without_slots_is_never_written),
		cmocka_unit_test(terms_are_added_kept_and_dropped),
		cmocka_unit_test(rekey_carries_slots_and_keeps_the_secrets_readable),
		cmocka_unit_test(a_slot_taken_from_the_file_before_a_rekey_does_not_fit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
