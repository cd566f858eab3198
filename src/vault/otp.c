/* src/vault/otp.c - see otp.h. Process: vault. */
#include "vault/otp.h"

#include <oath.h>
#include <string.h>

#include "crypto/hash.h"
#include "crypto/secret.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

enum sp_err
otp_code(const uint8_t secret[OTP_SECRET], uint64_t step, char ret[OTP_DIGITS + 1])
{
	char code[OTP_DIGITS + 1];

	if (oath_hotp_generate((const char *)secret, OTP_SECRET, step, OTP_DIGITS, false, OATH_HOTP_DYNAMIC_TRUNCATION,
	    code) != OATH_OK)
		return SP_EINTERNAL;
	memcpy(ret, code, sizeof(code));
	explicit_bzero(code, sizeof(code));
	return SP_OK;
}

enum sp_err
otp_verify(const uint8_t secret[OTP_SECRET], const char *code, int64_t now_s, int64_t *ret_step)
{
	int64_t now = now_s / OTP_STEP_S, found = -1;
	char want[OTP_DIGITS + 1];
	enum sp_err r;

	/* The latest first: of two steps with the same code the later one is taken, and both are used up. */
	for (int64_t step = now + OTP_WINDOW; step >= now - OTP_WINDOW; step--) {
		if (step < 0)
			continue;
		if ((r = otp_code(secret, (uint64_t)step, want)) != SP_OK)
			return r;
		if (sp_ct_equal(want, code, OTP_DIGITS) && found < 0)
			found = step;
	}
	explicit_bzero(want, sizeof(want));
	if (found < 0)
		return SP_EAUTH;
	*ret_step = found;
	return SP_OK;
}

enum otp_kind
otp_read(struct sp_view typed, char ret[OTP_RECOVERY + 1])
{
	size_t n = 0, digits = 0;

	ret[0] = '\0';
	for (size_t i = 0; i < typed.len; i++) {
		uint8_t c = typed.p[i];

		if (c == ' ' || c == '-')
			continue;
		if (c >= 'A' && c <= 'Z')
			c = (uint8_t)(c - 'A' + 'a');
		if (n == OTP_RECOVERY || !((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
			return OTP_NEITHER;
		digits += c >= '0' && c <= '9';
		ret[n++] = (char)c;
	}
	ret[n] = '\0';
	if (n == OTP_DIGITS && digits == n)
		return OTP_CODE;
	return n == OTP_RECOVERY && strpbrk(ret, "0189") == NULL ? OTP_RECOVERY_CODE : OTP_NEITHER;
}

void
otp_base32(const uint8_t *p, size_t n5, int small, char *ret)
{
	for (size_t g = 0; g < n5; g++, p += 5) {
		uint64_t v = (uint64_t)p[0] << 32 | (uint64_t)p[1] << 24 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 8 | p[4];

		for (int i = 0; i < 8; i++) {
			char c = alphabet[v >> (35 - 5 * i) & 31];

			*ret++ = small && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
		}
	}
	*ret = '\0';
}

void
otp_recovery_text(const uint8_t random[10], char shown[OTP_RECOVERY_TEXT], char plain[OTP_RECOVERY + 1])
{
	size_t at = 0;

	otp_base32(random, 2, 1, plain);
	for (size_t i = 0; i < OTP_RECOVERY; i++) {
		if (i > 0 && i % 4 == 0)
			shown[at++] = '-';
		shown[at++] = plain[i];
	}
	shown[at] = '\0';
}

void
otp_recovery_hash(const struct sp_uuid *user, const char plain[OTP_RECOVERY + 1], uint8_t ret[OTP_HASH])
{
	static const char what[] = "sallyport recovery code";
	uint8_t b[sizeof(what) + sizeof(user->b) + OTP_RECOVERY];

	memcpy(b, what, sizeof(what));
	memcpy(b + sizeof(what), user->b, sizeof(user->b));
	memcpy(b + sizeof(what) + sizeof(user->b), plain, OTP_RECOVERY);
	sp_sha256(b, sizeof(b), ret);
	explicit_bzero(b, sizeof(b));
}
