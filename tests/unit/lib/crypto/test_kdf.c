/* tests/unit/lib/crypto/test_kdf.c - published vectors, and bounds on stored cost parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/hash.h"
#include "crypto/kdf.h"
#include "crypto/sign.h"

static struct sp_view
text(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

static void
is_hex(const uint8_t *p, size_t n, const char *hex)
{
	char got[256];

	sp_hex(p, n, got);
	assert_string_equal(got, hex);
}

static void
sha256_gives_the_nist_example(void **state)
{
	uint8_t h[32];

	(void)state;	/* FIPS 180-4 examples, "abc" */
	sp_sha256("abc", 3, h);
	is_hex(h, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void
hmac_gives_rfc_4231_test_case_2(void **state)
{
	uint8_t h[32];

	(void)state;
	sp_hmac_sha256(text("Jefe"), text("what do ya want for nothing?"), h);
	is_hex(h, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void
hmac_with_a_key_longer_than_a_block_gives_rfc_4231_test_case_6(void **state)
{
	uint8_t h[32], key[131];
	const char *t = "Test Using Larger Than Block-Size Key - Hash Key First";

	(void)state;
	memset(key, 0xaa, sizeof(key));
	sp_hmac_sha256((struct sp_view){ key, sizeof(key) }, text(t), h);
	is_hex(h, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	for (size_t cut = 0; cut <= strlen(t); cut++) {
		sp_hmac_sha256_parts((struct sp_view){ key, sizeof(key) }, (struct sp_view[]){ { (const uint8_t *)t, cut },
		    { (const uint8_t *)t + cut, strlen(t) - cut } }, 2, h);
		is_hex(h, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	}
}

static void
hkdf_gives_rfc_5869_test_cases_1_2_and_3(void **state)
{
	uint8_t ikm[80], salt[80], info[80], out[82];

	(void)state;
	memset(ikm, 0x0b, 22);
	for (uint8_t i = 0; i < 80; i++) {
		salt[i] = i;
		info[i] = (uint8_t)(0xf0 + i);
	}
	assert_int_equal(sp_hkdf_sha256((struct sp_view){ ikm, 22 }, (struct sp_view){ salt, 13 }, (struct sp_view){ info, 10 },
	    out, 42), SP_OK);
	is_hex(out, 42, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	assert_int_equal(sp_hkdf_sha256((struct sp_view){ ikm, 22 }, (struct sp_view){ 0 }, (struct sp_view){ 0 }, out, 42), SP_OK);
	is_hex(out, 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
	for (uint8_t i = 0; i < 80; i++) {
		ikm[i] = i;
		salt[i] = (uint8_t)(0x60 + i);
		info[i] = (uint8_t)(0xb0 + i);
	}
	assert_int_equal(sp_hkdf_sha256((struct sp_view){ ikm, 80 }, (struct sp_view){ salt, 80 }, (struct sp_view){ info, 80 },
	    out, 82), SP_OK);
	is_hex(out, 82, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
	    "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
	assert_int_equal(sp_hkdf_sha256(text("x"), text(""), text(""), out, 0), SP_ESIZE);
}

static void
a_subkey_is_hkdf_with_label_and_context(void **state)
{
	static const uint8_t key[32] = { 7 };
	static const char info[] = "sallyport v1 rows\0ctx";
	uint8_t a[32], b[32], c[32];

	(void)state;
	sp_kdf_subkey(key, "rows", text("ctx"), a);
	assert_int_equal(sp_hkdf_sha256((struct sp_view){ key, 32 }, (struct sp_view){ 0 },
	    (struct sp_view){ (const uint8_t *)info, sizeof(info) - 1 }, b, 32), SP_OK);
	assert_memory_equal(a, b, 32);
	sp_kdf_subkey(key, "rowsc", text("tx"), c);	/* the border between label and context counts */
	assert_memory_not_equal(a, c, 32);
}

static void
argon2id_gives_what_the_reference_tool_gives(void **state)
{
	/* libargon2 20171227, argon2id_hash_raw(2, 65536, 1, "password", "somesaltsomesalt", 32 bytes out) */
	struct sp_argon2 a = { .ops = 2, .mem_bytes = (uint64_t)64 << 20 };
	struct sp_secret out;

	(void)state;
	memcpy(a.salt, "somesaltsomesalt", 16);
	assert_int_equal(sp_argon2id(text("password"), &a, &out), SP_OK);
	is_hex(out.p, out.len, "fc33b78139231d34b71626bd6245c1d72efa190ad605c3d8166a72adcedfa2c2");
	sp_secret_release(&out);
}

static void
refuses_costs_out_of_bounds_before_spending_them(void **state)
{
	static const struct sp_argon2 bad[] = {
		{ .ops = 0, .mem_bytes = 64 << 20 }, { .ops = 17, .mem_bytes = 64 << 20 },
		{ .ops = 1, .mem_bytes = ((uint64_t)1 << 30) + 1024 }, { .ops = 1, .mem_bytes = 1 << 20 },
		{ .ops = 1, .mem_bytes = (64 << 20) + 1 },
	};
	struct sp_secret out;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(sp_argon2id(text("password"), &bad[i], &out), SP_EINVAL);
}

static void
a_password_verifies_and_another_does_not(void **state)
{
	char h[SP_PWHASH_SIZE], again[SP_PWHASH_SIZE];

	(void)state;
	assert_int_equal(sp_pwhash_make(text("correct horse"), h), SP_OK);
	assert_int_equal(sp_pwhash_make(text("correct horse"), again), SP_OK);
	assert_string_not_equal(h, again);	/* salted */
	assert_int_equal(sp_pwhash_verify(h, text("correct horse")), SP_OK);
	assert_int_equal(sp_pwhash_verify(h, text("correct horsf")), SP_EAUTH);
	assert_int_equal(sp_pwhash_verify(h, text("")), SP_EAUTH);
	assert_int_equal(sp_pwhash_verify_nobody(text("correct horse")), SP_EAUTH);
}

static void
refuses_stored_hashes_that_are_foreign_or_too_costly(void **state)
{
	static const char *const bad[] = {
		"", "*", "$1$salt$hash", "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$aGFzaA",
		"$argon2id$v=16$m=65536,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaA",
		"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaA",	/* 4 GiB */
		"$argon2id$v=19$m=99999999999999999999,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaA",
		"$argon2id$v=19$m=65536,t=1000,p=1$c29tZXNhbHRzb21lc2FsdA$aGFzaA",
		"$argon2id$v=19$m=65536,t=2,p=64$c29tZXNhbHRzb21lc2FsdA$aGFzaA",
		"$argon2id$v=19$m=65536,t=2$c29tZXNhbHRzb21lc2FsdA$aGFzaA",
	};
	char lengthy[SP_PASSWORD_MAX + 2], h[SP_PWHASH_SIZE];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(sp_pwhash_verify(bad[i], text("x")), SP_ECORRUPT);
	memset(lengthy, 'x', sizeof(lengthy));
	assert_int_equal(sp_pwhash_make((struct sp_view){ (uint8_t *)lengthy, SP_PASSWORD_MAX + 1 }, h), SP_ESIZE);
}

static void
ed25519_gives_rfc_8032_test_3(void **state)
{
	uint8_t seed[32], pk[32], sig[64], msg[2] = { 0xaf, 0x82 };
	struct sp_view m = { msg, 2 };
	struct sp_secret sk;

	(void)state;
	assert_int_equal(sp_hex_parse("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", seed, 32), SP_OK);
	assert_int_equal(sp_ed25519_from_seed(seed, pk, &sk), SP_OK);
	is_hex(pk, 32, "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
	sp_ed25519_sign(&sk, m, sig);
	is_hex(sig, 64, "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
	    "4a7c15e9716ed28dc027beceea1ec40a");
	assert_int_equal(sp_ed25519_verify(pk, m, sig), SP_OK);
	msg[0] ^= 1;
	assert_int_equal(sp_ed25519_verify(pk, m, sig), SP_EAUTH);
	sp_secret_release(&sk);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_gives_the_nist_example),
		cmocka_unit_test(hmac_gives_rfc_4231_test_case_2),
		cmocka_unit_test(hmac_with_a_key_longer_than_a_block_gives_rfc_4231_test_case_6),
		cmocka_unit_test(hkdf_gives_rfc_5869_test_cases_1_2_and_3),
		cmocka_unit_test(a_subkey_is_hkdf_with_label_and_context),
		cmocka_unit_test(argon2id_gives_what_the_reference_tool_gives),
		cmocka_unit_test(refuses_costs_out_of_bounds_before_spending_them),
		cmocka_unit_test(a_password_verifies_and_another_does_not),
		cmocka_unit_test(refuses_stored_hashes_that_are_foreign_or_too_costly),
		cmocka_unit_test(ed25519_gives_rfc_8032_test_3),
	};

	return sp_crypto_init() == SP_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
