/* tests/unit/lib/crypto/test_envelope.c - records that open for one object only: aead, envelope, sealbox. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sodium.h>

#include "crypto/aead.h"
#include "crypto/envelope.h"
#include "crypto/sealbox.h"
#include "crypto/slots.h"

static struct sp_slots file;
static struct sp_keyring keys;
static const struct sp_envelope_ad ad = { .object = { { 1, 2, 3 } }, .version = 5, .field = "password" };

static struct sp_view
text(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

static int
setup(void **state)
{
	(void)state;
	return sp_crypto_init() != SP_OK || sp_slots_create(&file, &keys) != SP_OK;
}

static int
teardown(void **state)
{
	(void)state;
	sp_slots_release(&file);
	sp_keyring_release(&keys);
	return 0;
}

static void
aead_opens_what_it_sealed(void **state)
{
	static const uint8_t key[32] = { 1 };
	static const size_t sizes[] = { 0, 1, 15, 16, 17, 4096, SP_AEAD_PLAIN_MAX };
	uint8_t *plain = calloc(1, SP_AEAD_PLAIN_MAX + 1);
	struct sp_secret s;
	struct sp_buf b;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(sizes); i++) {
		sp_buf_init(&b, SP_AEAD_PLAIN_MAX + SP_AEAD_OVERHEAD);
		assert_int_equal(sp_aead_seal(key, text("ad"), (struct sp_view){ plain, sizes[i] }, &b), SP_OK);
		assert_int_equal(b.len, sizes[i] + SP_AEAD_OVERHEAD);
		assert_int_equal(sp_aead_open(key, text("ad"), view(&b), &s), SP_OK);
		assert_int_equal(s.len, sizes[i]);
		sp_secret_release(&s);
		sp_buf_release(&b);
	}
	assert_int_equal(sp_aead_seal(key, text("ad"), (struct sp_view){ plain, SP_AEAD_PLAIN_MAX + 1 }, &b), SP_ESIZE);
	free(plain);
}

static void
aead_rejects_every_single_bit_flip_and_every_cut(void **state)
{
	static const uint8_t key[32] = { 1 };
	struct sp_secret s = { .len = 77 };
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, 1024);
	assert_int_equal(sp_aead_seal(key, text("ad"), text("secret"), &b), SP_OK);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_equal(sp_aead_open(key, text("ad"), view(&b), &s), SP_EAUTH);
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t n = 0; n < b.len; n++)
		assert_int_not_equal(sp_aead_open(key, text("ad"), (struct sp_view){ b.p, n }, &s), SP_OK);
	assert_int_equal(sp_aead_open(key, text("ae"), view(&b), &s), SP_EAUTH);
	assert_int_equal(s.len, 77);	/* untouched on failure */
	sp_buf_release(&b);
}

/* Swap in another key's commitment: the Poly1305 tag alone could be made to fit, the commitment decides first. */
static void
aead_checks_the_commitment_of_the_key(void **state)
{
	static const uint8_t k1[32] = { 1 }, k2[32] = { 2 };
	struct sp_secret s;
	struct sp_buf a, b;

	(void)state;
	sp_buf_init(&a, 1024);
	sp_buf_init(&b, 1024);
	assert_int_equal(sp_aead_seal(k1, text(""), text("secret"), &a), SP_OK);
	assert_int_equal(sp_aead_seal(k2, text(""), text("secret"), &b), SP_OK);
	assert_int_equal(sp_aead_open(k2, text(""), view(&a), &s), SP_EAUTH);
	memcpy(a.p + 24, b.p + 24, 32);
	assert_int_equal(sp_aead_open(k1, text(""), view(&a), &s), SP_EAUTH);
	assert_int_equal(sp_aead_open(k2, text(""), view(&a), &s), SP_EAUTH);
	sp_buf_release(&a);
	sp_buf_release(&b);
}

static struct sp_buf
sealed(const char *plain)
{
	struct sp_buf b;

	sp_buf_init(&b, SP_ENVELOPE_MAX);
	assert_int_equal(sp_envelope_seal(&keys, &ad, text(plain), &b), SP_OK);
	return b;
}

static void
a_record_opens_for_its_object_version_and_field_only(void **state)
{
	struct sp_envelope_ad other = ad;
	struct sp_buf b = sealed("hunter2");
	struct sp_secret s;

	(void)state;
	assert_int_equal(b.len, 7 + SP_ENVELOPE_OVERHEAD);
	assert_int_equal(sp_envelope_open(&keys, &ad, view(&b), &s), SP_OK);
	assert_memory_equal(s.p, "hunter2", 7);
	sp_secret_release(&s);
	other.object.b[0] ^= 1;
	assert_int_equal(sp_envelope_open(&keys, &other, view(&b), &s), SP_EAUTH);
	other = ad;
	other.version++;
	assert_int_equal(sp_envelope_open(&keys, &other, view(&b), &s), SP_EAUTH);
	other = ad;
	other.field = "passwore";
	assert_int_equal(sp_envelope_open(&keys, &other, view(&b), &s), SP_EAUTH);
	other.field = "";
	assert_int_equal(sp_envelope_open(&keys, &other, view(&b), &s), SP_EINVAL);
	sp_buf_release(&b);
}

static void
a_record_rejects_every_single_bit_flip_and_every_cut(void **state)
{
	struct sp_buf b = sealed("hunter2");
	struct sp_secret s = { .len = 77 };

	(void)state;
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(sp_envelope_open(&keys, &ad, view(&b), &s), SP_OK);
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t n = 0; n < b.len; n++)
		assert_int_not_equal(sp_envelope_open(&keys, &ad, (struct sp_view){ b.p, n }, &s), SP_OK);
	assert_int_equal(s.len, 77);
	sp_buf_release(&b);
}

static void
rewrap_changes_the_term_and_not_the_payload(void **state)
{
	struct sp_buf b = sealed("hunter2"), c;
	uint32_t before, after, term;
	struct sp_secret s;

	(void)state;
	assert_int_equal(sp_envelope_term(view(&b), &before), SP_OK);
	assert_int_equal(sp_slots_add_term(&file, &keys, &term), SP_OK);
	sp_buf_init(&c, SP_ENVELOPE_MAX);
	assert_int_equal(sp_envelope_rewrap(&keys, &ad, view(&b), &c), SP_OK);
	assert_int_equal(sp_envelope_term(view(&c), &after), SP_OK);
	assert_int_equal(after, term);
	assert_int_not_equal(before, after);
	assert_int_equal(b.len, c.len);
	assert_memory_equal(b.p + 112, c.p + 112, b.len - 112);
	/* both open while both terms are there; after the old one is dropped only the new record does */
	assert_int_equal(sp_envelope_open(&keys, &ad, view(&b), &s), SP_OK);
	sp_secret_release(&s);
	assert_int_equal(sp_slots_drop_term(&file, &keys, before), SP_OK);
	assert_int_equal(sp_envelope_open(&keys, &ad, view(&b), &s), SP_ENOENT);
	assert_int_equal(sp_envelope_open(&keys, &ad, view(&c), &s), SP_OK);
	assert_memory_equal(s.p, "hunter2", 7);
	sp_secret_release(&s);
	sp_buf_release(&b);
	sp_buf_release(&c);
}

static void
rewrap_refuses_a_record_of_another_object(void **state)
{
	struct sp_envelope_ad other = { .object = { { 9 } }, .version = 5, .field = "password" };
	struct sp_buf b = sealed("hunter2"), c;

	(void)state;
	sp_buf_init(&c, SP_ENVELOPE_MAX);
	assert_int_equal(sp_envelope_rewrap(&keys, &other, view(&b), &c), SP_EAUTH);
	assert_int_equal(c.len, 0);
	sp_buf_release(&b);
	sp_buf_release(&c);
}

static void
a_sealed_blob_opens_for_its_context_only(void **state)
{
	struct sp_seal_context ctx = { "account.password", { { 7 } } }, id = ctx, kind = ctx;
	uint8_t pk[32], other_pk[32];
	sp_auto_secret sk = { 0 }, other_sk = { 0 };
	struct sp_secret s = { .len = 77 };
	struct sp_buf b;

	(void)state;
	assert_int_equal(sp_sealbox_keypair(pk, &sk), SP_OK);
	assert_int_equal(sp_sealbox_keypair(other_pk, &other_sk), SP_OK);
	sp_buf_init(&b, SP_SEALBOX_MAX);
	assert_int_equal(sp_sealbox_seal(pk, &ctx, text("hunter2"), &b), SP_OK);
	id.id.b[15] ^= 1;
	kind.kind = "account.key";
	assert_int_equal(sp_sealbox_open(pk, &sk, &id, view(&b), &s), SP_EAUTH);
	assert_int_equal(sp_sealbox_open(pk, &sk, &kind, view(&b), &s), SP_EAUTH);
	assert_int_equal(sp_sealbox_open(other_pk, &other_sk, &ctx, view(&b), &s), SP_EAUTH);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		/* the top bit of an X25519 key is not used (RFC 7748 section 5), but the nonce covers it */
		assert_int_equal(sp_sealbox_open(pk, &sk, &ctx, view(&b), &s), SP_EAUTH);
		b.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_int_equal(s.len, 77);
	assert_int_equal(sp_sealbox_open(pk, &sk, &ctx, view(&b), &s), SP_OK);
	assert_int_equal(s.len, 7);
	assert_memory_equal(s.p, "hunter2", 7);
	sp_secret_release(&s);
	sp_buf_release(&b);
}

static void
sealing_refuses_a_public_key_of_small_order(void **state)
{
	static const uint8_t zero[32];
	struct sp_seal_context ctx = { "reveal", { { 7 } } };
	struct sp_buf b;

	(void)state;
	sp_buf_init(&b, SP_SEALBOX_MAX);
	assert_int_equal(sp_sealbox_seal(zero, &ctx, text("hunter2"), &b), SP_EINVAL);
	assert_int_equal(b.len, 0);
	sp_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aead_opens_what_it_sealed),
		cmocka_unit_test(aead_rejects_every_single_bit_flip_and_every_cut),
		cmocka_unit_test(aead_checks_the_commitment_of_the_key),
		cmocka_unit_test(a_record_opens_for_its_object_version_and_field_only),
		cmocka_unit_test(a_record_rejects_every_single_bit_flip_and_every_cut),
		cmocka_unit_test(rewrap_changes_the_term_and_not_the_payload),
		cmocka_unit_test(rewrap_refuses_a_record_of_another_object),
		cmocka_unit_test(a_sealed_blob_opens_for_its_context_only),
		cmocka_unit_test(sealing_refuses_a_public_key_of_small_order),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
