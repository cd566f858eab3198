/* tests/unit/lib/crypto/test_shamir.c - shares: any threshold of them, and a clear word for each way to get it wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "crypto/shamir.h"

static const uint8_t secret[32] = "a root key, thirty-two bytes it";
static struct sp_share five[5], other[5];	/* 3 of 5 */

static int
setup(void **state)
{
	(void)state;
	return sp_crypto_init() != SP_OK || sp_shamir_split((struct sp_view){ secret, 32 }, 3, 5, five) != SP_OK ||
	    sp_shamir_split((struct sp_view){ secret, 32 }, 3, 5, other) != SP_OK;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		sp_share_release(&five[i]);
		sp_share_release(&other[i]);
	}
	return 0;
}

static enum sp_err
combine(const struct sp_share *s, size_t n, const char *word)
{
	struct sp_secret got = { .len = 77 };
	const char *why = "";
	enum sp_err r = sp_shamir_combine(s, n, &why, &got);

	if (r != SP_OK) {
		assert_int_equal(got.len, 77);
		if (strstr(why, word) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", why, word);
		return r;
	}
	assert_int_equal(got.len, 32);
	assert_memory_equal(got.p, secret, 32);
	sp_secret_release(&got);
	return r;
}

static void
any_three_of_five_in_any_order_give_the_secret(void **state)
{
	(void)state;
	for (int a = 0; a < 5; a++)
		for (int b = 0; b < 5; b++)
			for (int c = 0; c < 5; c++)
				if (a != b && b != c && a != c)
					assert_int_equal(combine((struct sp_share[]){ five[a], five[b], five[c] }, 3, ""), SP_OK);
	assert_int_equal(combine(five, 5, ""), SP_OK);
}

static void
splits_of_many_sizes_come_back(void **state)
{
	static const unsigned sizes[][2] = { { 2, 2 }, { 2, 255 }, { 255, 255 }, { 128, 200 }, { 7, 9 } };
	static struct sp_share s[255];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(sizes); i++) {
		assert_int_equal(sp_shamir_split((struct sp_view){ secret, 32 }, sizes[i][0], sizes[i][1], s), SP_OK);
		assert_int_equal(combine(s + (sizes[i][1] - sizes[i][0]), sizes[i][0], ""), SP_OK);
		for (unsigned k = 0; k < sizes[i][1]; k++)
			sp_share_release(&s[k]);
	}
}

/* HashiCorp's implementation and ours use one field; a hand-made line y = s + a x over GF(2^8), a = 0x53, s = 0xca:
 * 0x53 * 0xca = 0x01 is the inverse pair printed in FIPS 197 section 4.2. So y(0xca) = 0xca ^ 0x01 = 0xcb. */
static void
arithmetic_is_that_of_the_aes_field(void **state)
{
	struct sp_share s[2] = { { .threshold = 2, .index = 0xca }, { .threshold = 2, .index = 1 } };
	struct sp_secret got;

	(void)state;
	assert_int_equal(sp_secret_from("\xcb", 1, &s[0].data), SP_OK);
	assert_int_equal(sp_secret_from("\x99", 1, &s[1].data), SP_OK);	/* 0xca ^ 0x53 */
	assert_int_equal(sp_shamir_combine(s, 2, NULL, &got), SP_OK);
	assert_int_equal(got.p[0], 0xca);
	sp_secret_release(&got);
	sp_share_release(&s[0]);
	sp_share_release(&s[1]);
}

static void
says_what_is_wrong_with_a_set_of_shares(void **state)
{
	struct sp_share forged = five[2];
	uint8_t saved = five[4].data.p[0];

	(void)state;
	assert_int_equal(combine(NULL, 0, "no share"), SP_ESHORT);
	assert_int_equal(combine(five, 2, "fewer"), SP_ESHORT);
	assert_int_equal(combine((struct sp_share[]){ five[0], five[1], other[2] }, 3, "different sets"), SP_ECONFLICT);
	assert_int_equal(combine((struct sp_share[]){ five[0], five[1], five[0] }, 3, "twice"), SP_EEXIST);
	forged.threshold = 2;
	assert_int_equal(combine((struct sp_share[]){ five[0], five[1], forged }, 3, "fit"), SP_EFORMAT);
	five[4].data.p[0] ^= 1;
	assert_int_equal(combine(five, 5, "contradicts"), SP_ECORRUPT);
	five[4].data.p[0] = saved;
}

static void
the_text_of_a_share_comes_back(void **state)
{
	struct sp_secret t;
	struct sp_share s;

	(void)state;
	assert_int_equal(sp_share_format(&five[3], &t), SP_OK);
	assert_int_equal(strncmp((char *)t.p, "sps1-3-4-", 9), 0);
	assert_int_equal(sp_share_parse((char *)t.p, t.len, NULL, &s), SP_OK);
	assert_int_equal(s.index, 4);
	assert_int_equal(s.threshold, 3);
	assert_true(sp_secret_equal(&s.data, &five[3].data));
	sp_share_release(&s);
	sp_secret_release(&t);
}

static void
a_text_rejects_every_changed_character_and_every_cut(void **state)
{
	struct sp_share s = { .index = 77 };
	struct sp_secret t;

	(void)state;
	assert_int_equal(sp_share_format(&five[3], &t), SP_OK);
	for (size_t bit = 0; bit < t.len * 8; bit++) {
		t.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(sp_share_parse((char *)t.p, t.len, NULL, &s), SP_OK);
		t.p[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	for (size_t n = 0; n < t.len; n++)
		assert_int_not_equal(sp_share_parse((char *)t.p, n, NULL, &s), SP_OK);
	assert_int_equal(s.index, 77);
	sp_secret_release(&t);
}

static void
tells_a_mistyped_share_from_something_else(void **state)
{
	struct sp_secret t;
	struct sp_share s;
	const char *why = NULL;

	(void)state;
	assert_int_equal(sp_share_format(&five[0], &t), SP_OK);
	t.p[40] = t.p[40] == 'a' ? 'b' : 'a';
	assert_int_equal(sp_share_parse((char *)t.p, t.len, &why, &s), SP_ECORRUPT);
	assert_non_null(strstr(why, "mistyped"));
	assert_int_equal(sp_share_parse("sps2-3-4-00", 11, &why, &s), SP_EVERSION);
	assert_int_equal(sp_share_parse("hello", 5, &why, &s), SP_EFORMAT);
	sp_secret_release(&t);
}

static void
refuses_numbers_that_make_no_sense(void **state)
{
	static const unsigned bad[][2] = { { 0, 5 }, { 1, 5 }, { 6, 5 }, { 2, 256 }, { 2, 1 } };
	struct sp_share s[5];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(sp_shamir_split((struct sp_view){ secret, 32 }, bad[i][0], bad[i][1], s), SP_EINVAL);
	assert_int_equal(sp_shamir_split((struct sp_view){ secret, 0 }, 2, 3, s), SP_ESIZE);
}

/* With two shares of three every value of the secret byte is equally likely: here, that shares of equal secrets differ. */
static void
a_share_alone_is_random(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		assert_false(sp_secret_equal(&five[i].data, &other[i].data));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_three_of_five_in_any_order_give_the_secret),
		cmocka_unit_test(splits_of_many_sizes_come_back),
		cmocka_unit_test(arithmetic_is_that_of_the_aes_field),
		cmocka_unit_test(says_what_is_wrong_with_a_set_of_shares),
		cmocka_unit_test(the_text_of_a_share_comes_back),
		cmocka_unit_test(a_text_rejects_every_changed_character_and_every_cut),
		cmocka_unit_test(tells_a_mistyped_share_from_something_else),
		cmocka_unit_test(refuses_numbers_that_make_no_sense),
		cmocka_unit_test(a_share_alone_is_random),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
