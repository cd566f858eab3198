/* One-time and recovery codes by themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "vault/otp.h"

#define ok(e) assert_int_equal((e), SP_OK)

static const uint8_t *const rfc = (const uint8_t *)"12345678901234567890";	/* RFC 6238, appendix B, SHA-1 */

static void
codes_are_those_of_rfc_6238(void **state)
{
	/* The RFC shows eight digits; six are their end. */
	static const struct { int64_t at_s; const char *code; } vectors[] = {
		{ 59, "287082" }, { 1111111109, "081804" }, { 1111111111, "050471" }, { 1234567890, "005924" },
		{ 2000000000, "279037" }, { 20000000000, "353130" },
	};
	char code[OTP_DIGITS + 1];
	int64_t step;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(vectors); i++) {
		ok(otp_code(rfc, (uint64_t)vectors[i].at_s / OTP_STEP_S, code));
		assert_string_equal(code, vectors[i].code);
		ok(otp_verify(rfc, code, vectors[i].at_s, &step));
		assert_int_equal(step, vectors[i].at_s / OTP_STEP_S);
	}
}

static void
the_step_before_and_after_are_accepted_and_named_and_no_other(void **state)
{
	char code[OTP_DIGITS + 1];
	int64_t now = 1111111111, step;

	(void)state;
	for (int64_t d = -4; d <= 4; d++) {
		enum sp_err want = d >= -1 && d <= 1 ? SP_OK : SP_EAUTH;

		step = -7;
		ok(otp_code(rfc, (uint64_t)(now / OTP_STEP_S + d), code));
		assert_int_equal(otp_verify(rfc, code, now, &step), want);
		assert_int_equal(step, want == SP_OK ? now / OTP_STEP_S + d : -7);
	}
	ok(otp_code(rfc, 0, code));
	ok(otp_verify(rfc, code, 3, &step));	/* the first step has none before it */
	assert_int_equal(step, 0);
}

static enum otp_kind
kind(const char *typed, const char *want)
{
	char plain[OTP_RECOVERY + 1];
	enum otp_kind k = otp_read((struct sp_view){ (const uint8_t *)typed, strlen(typed) }, plain);

	if (want != NULL)
		assert_string_equal(plain, want);
	return k;
}

static void
what_is_typed_is_read_kindly_and_nothing_else_is_a_code(void **state)
{
	(void)state;
	assert_int_equal(kind("123456", "123456"), OTP_CODE);
	assert_int_equal(kind(" 123 456 ", "123456"), OTP_CODE);
	assert_int_equal(kind("ABCD-efgh-2345-mnop", "abcdefgh2345mnop"), OTP_RECOVERY_CODE);
	assert_int_equal(kind("abcdefgh2345mno1", NULL), OTP_NEITHER);
	assert_int_equal(kind("12345", NULL), OTP_NEITHER);
	assert_int_equal(kind("1234567", NULL), OTP_NEITHER);
	assert_int_equal(kind("12345a", NULL), OTP_NEITHER);
	assert_int_equal(kind("", NULL), OTP_NEITHER);
	assert_int_equal(kind("\xd9\xa1\xd9\xa2\xd9\xa3", NULL), OTP_NEITHER);
	assert_int_equal(kind("abcdefgh2345mnopq", NULL), OTP_NEITHER);
}

static void
base32_is_that_of_rfc_4648(void **state)
{
	char text[33];

	(void)state;
	otp_base32((const uint8_t *)"fooba", 1, 0, text);
	assert_string_equal(text, "MZXW6YTB");
	otp_base32(rfc, 4, 0, text);
	assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

static void
a_recovery_code_reads_back_and_its_hash_belongs_to_one_user(void **state)
{
	static const uint8_t random[10] = { 0, 68, 50, 20, 199, 66, 84, 182, 53, 207 };
	struct sp_uuid a = { .b = { 1 } }, b = { .b = { 2 } };
	char shown[OTP_RECOVERY_TEXT], plain[OTP_RECOVERY + 1];
	uint8_t h[3][OTP_HASH];

	(void)state;
	otp_recovery_text(random, shown, plain);
	assert_string_equal(shown, "abcd-efgh-ijkl-mnop");
	assert_int_equal(kind(shown, plain), OTP_RECOVERY_CODE);
	otp_recovery_hash(&a, plain, h[0]);
	otp_recovery_hash(&a, plain, h[1]);
	otp_recovery_hash(&b, plain, h[2]);
	assert_memory_equal(h[0], h[1], OTP_HASH);
	assert_memory_not_equal(h[0], h[2], OTP_HASH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_those_of_rfc_6238),
		cmocka_unit_test(the_step_before_and_after_are_accepted_and_named_and_no_other),
		cmocka_unit_test(what_is_typed_is_read_kindly_and_nothing_else_is_a_code),
		cmocka_unit_test(base32_is_that_of_rfc_4648),
		cmocka_unit_test(a_recovery_code_reads_back_and_its_hash_belongs_to_one_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
