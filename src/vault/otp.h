/* src/vault/otp.h - one-time codes (RFC 6238: SHA-1, 6 digits, 30 s) and recovery codes. Process: vault. Pure: no clock,
 * no I/O. The shared secret is OTP_SECRET bytes; a recovery code is OTP_RECOVERY_BITS of chance in base32, so that a plain
 * hash of it cannot be searched. */
#ifndef SP_VAULT_OTP_H
#define SP_VAULT_OTP_H

#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define OTP_SECRET	20	/* bytes; RFC 4226 recommends 160 bits */
#define OTP_DIGITS	6
#define OTP_STEP_S	30
#define OTP_WINDOW	1	/* steps before and after the present one that are accepted */
#define OTP_BASE32	32	/* characters of a secret in base32, without NUL */
#define OTP_RECOVERY	16	/* characters of a recovery code, without the dashes */
#define OTP_RECOVERY_N	10
#define OTP_RECOVERY_TEXT 20	/* "abcd-efgh-ijkl-mnop" with NUL */
#define OTP_HASH	32

/* The code of one step. SP_EINTERNAL when the library fails. */
enum sp_err	otp_code(const uint8_t secret[OTP_SECRET], uint64_t step, char ret[OTP_DIGITS + 1]) SP_MUST_USE;
/* Which step within the window around now_s (seconds since 1970) has this code of OTP_DIGITS digits? Every step is
 * looked at, whatever the answer. SP_EAUTH: none. */
enum sp_err	otp_verify(const uint8_t secret[OTP_SECRET], const char *code, int64_t now_s, int64_t *ret_step) SP_MUST_USE;

/* What a person typed: blanks and dashes dropped, letters small. OTP_CODE: text has six digits; OTP_RECOVERY_CODE: it has
 * the form of a recovery code; OTP_NEITHER. */
enum otp_kind { OTP_NEITHER, OTP_CODE, OTP_RECOVERY_CODE };
enum otp_kind	otp_read(struct sp_view typed, char ret[OTP_RECOVERY + 1]);

/* Base32 of RFC 4648 without padding, for 5 n bytes: 8 n characters and a NUL. */
void		otp_base32(const uint8_t *p, size_t n5, int small, char *ret);
/* From 10 random bytes: the code as it is shown, and as otp_read gives it. */
void		otp_recovery_text(const uint8_t random[10], char shown[OTP_RECOVERY_TEXT], char plain[OTP_RECOVERY + 1]);
/* What the store keeps of it, bound to the user. */
void		otp_recovery_hash(const struct sp_uuid *user, const char plain[OTP_RECOVERY + 1], uint8_t ret[OTP_HASH]);

#endif
