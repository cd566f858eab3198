/* tests/unit/lib/crypto/test_age.c - age files: what stock age 1.1.1 wrote opens, what we write has the same form, and nothing
 * that was changed, cut or moved opens. The key text vectors are those of BIP 173. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "crypto/age.h"

static const char identity_text[] =
    "# a comment\r\n"
    "\n"
    "AGE-SECRET-KEY-1NK86K2M83GDTH8XLFTADCD98EQRWAPJ49L98HLHP7VDHYTRH6U0SX3MEAW\n";
static const char recipient_text[] = "age1fcy7dl8027r6cjwn2626l4ftduzk3mngcrylghejzkx03knl336sk7gv22";
/* echo "read by two auditors" | age -r SOMEBODY -r RECIPIENT */
static const char file_hex[] =
    "6167652d656e6372797074696f6e2e6f72672f76310a2d3e2058323535313920624263736c7972494c6f6734472b2f4b4846797861633261"
    "2b67614f35307538517444434b314a4a4677450a3248475a5237545057343839514c4a41655078527263437070355031786c637042663549"
    "636449647955630a2d3e2058323535313920343078444f52352f5576766446366d4d4a436445455679796634776b53784e766c7351475248"
    "59626552380a436b554f7534384f446d6757716e34796d4339314355655254734c634370327931656c4b72444254317a450a2d2d2d204b44"
    "4a4363476f4a5644626f5953774c735a765a67583245422b6f316b626c39516d5455727a50657272450aa4ff4832dec04a27f56419b7aeea"
    "26dddacc8086a50cc0e067aaa9323ec6393df3223b46db195ea472074a02703a589cf3dfb4bd73";
static const char file_plain[] = "read by two auditors\n";

static struct sp_secret identity;
static struct sp_age_recipient self;

static int
setup(void **state)
{
	(void)state;
	return sp_crypto_init() != SP_OK ||
	    sp_age_identity_parse((struct sp_view){ (const uint8_t *)identity_text, strlen(identity_text) }, &identity) != SP_OK ||
	    sp_age_identity_public(&identity, &self) != SP_OK;
}

static int
teardown(void **state)
{
	(void)state;
	sp_secret_release(&identity);
	return 0;
}

static struct sp_view
view(const struct sp_buf *b)
{
	return (struct sp_view){ b->p, b->len };
}

/* A whole file of one chunk. */
static enum sp_err
open_file(struct sp_view file, const struct sp_secret *id, struct sp_buf *ret)
{
	sp_auto_secret key = { 0 }, payload = { 0 };
	size_t n;
	enum sp_err r;

	if ((r = sp_age_header_len(file, &n)) != SP_OK ||
	    (r = sp_age_header_open((struct sp_view){ file.p, n }, id, &key)) != SP_OK)
		return r;
	if (file.len < n + SP_AGE_NONCE)
		return SP_ESHORT;
	if ((r = sp_age_payload_key(&key, file.p + n, &payload)) != SP_OK)
		return r;
	n += SP_AGE_NONCE;
	return sp_age_open(&payload, 0, 1, (struct sp_view){ file.p + n, file.len - n }, ret);
}

static void
stock_file(struct sp_buf *ret)
{
	sp_buf_init(ret, 4096);
	assert_int_equal(sp_buf_reserve(ret, strlen(file_hex) / 2), SP_OK);
	assert_int_equal(sp_hex_parse(file_hex, ret->p, strlen(file_hex) / 2), SP_OK);
	ret->len = strlen(file_hex) / 2;
}

static void
test_bech32_vectors(void **state)
{
	static const uint8_t all[20] = { 0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf, 0x84, 0x65, 0x3a, 0x56,
	    0xd7, 0xc6, 0x75, 0xbe, 0x77, 0xdf };
	static const char good[] = "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw";
	static const char *const bad[] = { "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxx",
	    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqx", "Abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
	    "abcdeg1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw", "abcdef1", "", "1qpzry9x8" };
	char text[SP_BECH32_SIZE];
	uint8_t got[20];

	(void)state;
	assert_int_equal(sp_bech32_decode(good, strlen(good), "abcdef", got, sizeof(got)), SP_OK);
	assert_memory_equal(got, all, sizeof(all));
	assert_int_equal(sp_bech32_encode("abcdef", all, sizeof(all), text), SP_OK);
	assert_string_equal(text, good);
	for (char *p = text; *p; p++)
		*p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
	assert_int_equal(sp_bech32_decode(text, strlen(text), "abcdef", got, sizeof(got)), SP_OK);
	assert_int_equal(sp_bech32_decode(good, strlen(good), "abcdef", got, 19), SP_ESIZE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(sp_bech32_decode(bad[i], strlen(bad[i]), "abcdef", got, sizeof(got)), SP_EFORMAT);
	assert_int_equal(sp_bech32_encode("", all, 1, text), SP_EINVAL);
	assert_int_equal(sp_bech32_encode("Age", all, 1, text), SP_EINVAL);
}

static void
test_keys_read_and_write_the_text_of_age(void **state)
{
	char text[SP_BECH32_SIZE];
	sp_auto_secret line = { 0 };
	struct sp_age_recipient r;

	(void)state;
	assert_int_equal(sp_age_recipient_text(&self, text), SP_OK);
	assert_string_equal(text, recipient_text);
	assert_int_equal(sp_age_recipient_parse(recipient_text, strlen(recipient_text), &r), SP_OK);
	assert_memory_equal(r.pk, self.pk, 32);
	assert_int_equal(sp_age_identity_text(&identity, &line), SP_OK);
	assert_int_equal(line.len, 74);
	assert_non_null(strstr(identity_text, "AGE-SECRET-KEY-1"));
	assert_memory_equal(line.p, strstr(identity_text, "AGE-SECRET-KEY-1"), 74);
	assert_int_equal(sp_age_recipient_parse("ssh-ed25519 AAAA", 16, &r), SP_EFORMAT);
	assert_int_equal(sp_age_identity_parse((struct sp_view){ (const uint8_t *)"# only\n", 7 }, &line), SP_EFORMAT);
}

static void
test_a_recipient_of_small_order_is_refused(void **state)
{
	struct sp_age_recipient zero = { { 0 } }, r;
	char text[SP_BECH32_SIZE];

	(void)state;
	assert_int_equal(sp_age_recipient_text(&zero, text), SP_OK);
	assert_int_equal(sp_age_recipient_parse(text, strlen(text), &r), SP_EINVAL);
}

static void
test_a_file_of_stock_age_opens(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf file, plain = { .max = 4096 };

	(void)state;
	stock_file(&file);
	assert_int_equal(open_file(view(&file), &identity, &plain), SP_OK);
	assert_int_equal(plain.len, strlen(file_plain));
	assert_memory_equal(plain.p, file_plain, plain.len);
}

static void
test_no_changed_byte_opens(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf file;

	(void)state;
	stock_file(&file);
	for (size_t i = 0; i < file.len; i++) {
		sp_auto(sp_buf_release) struct sp_buf plain = { .max = 4096 };

		file.p[i] ^= 1;
		assert_int_not_equal(open_file(view(&file), &identity, &plain), SP_OK);
		assert_int_equal(plain.len, 0);
		file.p[i] ^= 1;
	}
	for (size_t n = 0; n < file.len; n++) {
		sp_auto(sp_buf_release) struct sp_buf plain = { .max = 4096 };

		assert_int_not_equal(open_file((struct sp_view){ file.p, n }, &identity, &plain), SP_OK);
	}
}

static void
test_who_is_no_recipient_reads_nothing(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf file, plain = { .max = 4096 };
	struct sp_age_recipient pk;
	sp_auto_secret other = { 0 };

	(void)state;
	stock_file(&file);
	assert_int_equal(sp_age_identity_new(&other, &pk), SP_OK);
	assert_int_equal(open_file(view(&file), &other, &plain), SP_EDENIED);
}

static void
test_a_header_is_made_anew_and_the_payload_stays(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf file, head = { .max = SP_AGE_HEADER_MAX }, plain = { .max = 4096 };
	sp_auto_secret key = { 0 }, other = { 0 }, again = { 0 };
	struct sp_age_recipient to[2] = { self };
	size_t n, m;

	(void)state;
	stock_file(&file);
	assert_int_equal(sp_age_identity_new(&other, &to[1]), SP_OK);
	assert_int_equal(sp_age_header_len(view(&file), &n), SP_OK);
	assert_int_equal(sp_age_header_open((struct sp_view){ file.p, n }, &identity, &key), SP_OK);
	assert_int_equal(sp_age_header_write(&key, to, 2, &head), SP_OK);
	assert_int_equal(sp_age_header_len(view(&head), &m), SP_OK);
	assert_int_equal(m, head.len);
	assert_int_equal(sp_buf_append(&head, file.p + n, file.len - n), SP_OK);
	assert_int_equal(open_file(view(&head), &other, &plain), SP_OK);
	assert_memory_equal(plain.p, file_plain, strlen(file_plain));
	assert_int_equal(sp_age_header_write(&key, to, 0, &head), SP_EINVAL);
	assert_int_equal(sp_age_header_write(&key, to, SP_AGE_RECIPIENTS_MAX + 1, &head), SP_ESIZE);
}

static void
test_chunks_are_bound_to_their_place_and_end(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf c = { .max = 2 * SP_AGE_SEALED_CHUNK }, plain = { .max = 2 * SP_AGE_CHUNK };
	sp_auto_secret file_key = { 0 }, key = { 0 };
	static uint8_t full[SP_AGE_CHUNK], nonce[SP_AGE_NONCE];
	struct sp_view whole = { full, sizeof(full) }, none = { full, 0 };

	(void)state;
	memset(full, 'x', sizeof(full));
	assert_int_equal(sp_secret_random(SP_AGE_FILE_KEY, &file_key), SP_OK);
	assert_int_equal(sp_age_payload_key(&file_key, nonce, &key), SP_OK);
	assert_int_equal(sp_age_seal(&key, 7, 0, whole, &c), SP_OK);
	assert_int_equal(c.len, SP_AGE_SEALED_CHUNK);
	assert_int_equal(sp_age_open(&key, 6, 0, view(&c), &plain), SP_EAUTH);
	assert_int_equal(sp_age_open(&key, 7, 1, view(&c), &plain), SP_EAUTH);
	assert_int_equal(sp_age_open(&key, 7, 0, view(&c), &plain), SP_OK);
	assert_memory_equal(plain.p, full, sizeof(full));
	assert_int_equal(sp_age_seal(&key, 7, 0, (struct sp_view){ full, 5 }, &c), SP_EINVAL);
	assert_int_equal(sp_age_seal(&key, 1, 1, none, &c), SP_EINVAL);
	sp_buf_reset(&c);
	assert_int_equal(sp_age_seal(&key, 0, 1, none, &c), SP_OK);
	assert_int_equal(sp_age_open(&key, 0, 1, view(&c), &plain), SP_OK);
	assert_int_equal(plain.len, SP_AGE_CHUNK);
}

static void
test_hostile_headers_are_refused(void **state)
{
	static const struct { const char *text; enum sp_err want; } cases[] = {
		{ "", SP_ESHORT }, { "age-encryption.org/v1", SP_ESHORT }, { "age-encryption.org/v2\n", SP_EVERSION },
		{ "age-encryption.org/v1\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n", SP_EFORMAT },
		{ "age-encryption.org/v1\n-> X25519 AAAA\nAAAA\n", SP_ESHORT },
		{ "age-encryption.org/v1\n->X25519 AAAA\nAAAA\n", SP_EFORMAT },
		{ "age-encryption.org/v1\r\n", SP_EFORMAT }, { "hello\n", SP_EFORMAT },
		{ "age-encryption.org/v1\n-> a\n-> b\n\n--- x\n", SP_EFORMAT },
	};
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 4 * SP_AGE_HEADER_MAX };
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(sp_age_header_len((struct sp_view){ (const uint8_t *)cases[i].text, strlen(cases[i].text) }, &n),
		    cases[i].want);
	/* A header without end is given up at its limit. */
	assert_int_equal(sp_buf_append_str(&b, "age-encryption.org/v1\n-> long\n"), SP_OK);
	while (b.len < 2 * SP_AGE_HEADER_MAX)
		assert_int_equal(sp_buf_append_str(&b, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"), SP_OK);
	assert_int_equal(sp_age_header_len(view(&b), &n), SP_ESIZE);
	sp_buf_reset(&b);
	assert_int_equal(sp_buf_append_str(&b, "age-encryption.org/v1\n"), SP_OK);
	for (int i = 0; i <= SP_AGE_STANZAS_MAX; i++)
		assert_int_equal(sp_buf_append_str(&b, "-> g\n\n"), SP_OK);
	assert_int_equal(sp_age_header_len(view(&b), &n), SP_ESIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bech32_vectors),
		cmocka_unit_test(test_keys_read_and_write_the_text_of_age),
		cmocka_unit_test(test_a_recipient_of_small_order_is_refused),
		cmocka_unit_test(test_a_file_of_stock_age_opens),
		cmocka_unit_test(test_no_changed_byte_opens),
		cmocka_unit_test(test_who_is_no_recipient_reads_nothing),
		cmocka_unit_test(test_a_header_is_made_anew_and_the_payload_stays),
		cmocka_unit_test(test_chunks_are_bound_to_their_place_and_end),
		cmocka_unit_test(test_hostile_headers_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
