/* tests/unit/src/vault/test_totp.c - second factors in the real vault: made, sealed to who enrols, checked once. */
#include "harness.h"

#include <string.h>

#include "base/clock.h"
#include "common/sealkind.h"
#include "crypto/sealbox.h"
#include "vault/otp.h"

static struct rig r;
static struct peer session;
static struct sp_uuid user;
static struct {
	struct sp_uuid	id;
	uint8_t		envelope[1024], recovery[OTP_RECOVERY_N][OTP_HASH], secret[OTP_SECRET];
	size_t		len;
	char		lines[512];
} kept;

/* The inverse of otp_base32, for what the person was shown. */
static void
from_base32(const char *s, uint8_t *ret)
{
	static const char a[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

	for (int g = 0; g < 4; g++, s += 8) {
		uint64_t v = 0;

		for (int i = 0; i < 8; i++) {
			const char *at = strchr(a, s[i]);

			assert_non_null(at);
			v = v << 5 | (uint64_t)(at - a);
		}
		for (int i = 4; i >= 0; i--)
			*ret++ = (uint8_t)(v >> (8 * i));
	}
}

static void
enrols_with_a_secret_that_only_the_caller_can_open(void **state)
{
	Sallyport__TotpNew m = SALLYPORT__TOTP_NEW__INIT;
	const Sallyport__TotpReply *a;
	struct sp_seal_context ctx = { .kind = SP_SEAL_TOTP };
	struct sp_secret sk = { 0 }, plain = { 0 };
	uint8_t pk[SP_SEALBOX_KEY];

	(void)state;
	sp_uuid_make(&user);
	sp_uuid_make(&kept.id);
	assert_int_equal(sp_sealbox_keypair(pk, &sk), SP_OK);
	m.secret_id = bytes_of(kept.id.b, 16);
	m.version = 1;
	m.user_id = bytes_of(user.b, 16);
	m.client_key = bytes_of(pk, sizeof(pk));
	a = peer_ask(&r.control, SP_MSG_TOTP_NEW, &m, SP_MSG_TOTP_REPLY);
	assert_int_equal(a->err, SP_OK);
	assert_int_equal(a->n_recovery, OTP_RECOVERY_N);
	assert_true(a->envelope.len <= sizeof(kept.envelope));
	memcpy(kept.envelope, a->envelope.data, kept.len = a->envelope.len);
	for (size_t i = 0; i < OTP_RECOVERY_N; i++)
		memcpy(kept.recovery[i], a->recovery[i].data, OTP_HASH);
	assert_int_equal(sp_sealbox_open(pk, &sk, &ctx, (struct sp_view){ a->sealed.data, a->sealed.len }, &plain), SP_OK);
	assert_true(plain.len < sizeof(kept.lines));
	memcpy(kept.lines, plain.p, plain.len);
	assert_int_equal(strcspn(kept.lines, "\n"), OTP_BASE32);
	from_base32(kept.lines, kept.secret);
	assert_null(memmem(kept.envelope, kept.len, kept.secret, OTP_SECRET));
	sp_secret_release(&sk);
	sp_secret_release(&plain);
}

static int64_t wall_off_us;	/* of control's time from the machine's */

static void
put(const struct sp_uuid *id, const struct sp_uuid *secret, uint64_t deadline_us)
{
	Sallyport__CodePut m = SALLYPORT__CODE_PUT__INIT;

	m.check_id = bytes_of(id->b, 16);
	m.conn_id = bytes_of(session.conn.b, 16);
	m.user_id = bytes_of(user.b, 16);
	m.secret_id = bytes_of(secret->b, 16);
	m.secret_version = 1;
	m.envelope = bytes_of(kept.envelope, kept.len);
	m.deadline_us = deadline_us;
	m.wall_us = sp_wall_us() + wall_off_us;
	peer_send(&r.control, SP_MSG_CODE_PUT, &m, -1);
}

static void
give(struct peer *p, const struct sp_uuid *id, const char *code)
{
	Sallyport__CodeCheck m = SALLYPORT__CODE_CHECK__INIT;

	m.check_id = bytes_of(id->b, 16);
	m.code = bytes_of(code, strlen(code));
	peer_send(p, SP_MSG_CODE_CHECK, &m, -1);
}

static const Sallyport__CodeResult *
check(const char *code)
{
	const Sallyport__CodeResult *m;
	struct sp_uuid id;

	sp_uuid_make(&id);
	put(&id, &kept.id, sp_now_us() + 60 * SP_US_PER_S);
	give(&session, &id, code);
	m = peer_wait(&r.control, SP_MSG_CODE_RESULT, 0);
	assert_non_null(m);
	assert_memory_equal(m->check_id.data, id.b, 16);
	return m;
}

/* A code that is right now, and its step; one that no step nearby has. */
static int64_t
right(char code[OTP_DIGITS + 1])
{
	int64_t step = sp_wall_us() / (int64_t)SP_US_PER_S / OTP_STEP_S;

	assert_int_equal(otp_code(kept.secret, (uint64_t)step, code), SP_OK);
	return step;
}

static void
names_the_step_of_a_right_code_and_nothing_of_a_wrong_one(void **state)
{
	char code[OTP_DIGITS + 1], wrong[OTP_DIGITS + 1] = "000000";
	int64_t step = right(code), now = sp_wall_us() / (int64_t)SP_US_PER_S, dummy;
	const Sallyport__CodeResult *m;

	(void)state;
	m = check(code);
	assert_int_equal(m->err, SP_OK);
	assert_int_equal(m->step, step);
	assert_int_equal(m->recovery.len, 0);
	while (otp_verify(kept.secret, wrong, now, &dummy) == SP_OK || otp_verify(kept.secret, wrong, now + 60, &dummy) == SP_OK)
		wrong[5]++;
	m = check(wrong);
	assert_int_equal(m->err, SP_EAUTH);
	assert_int_equal(m->step, 0);
	assert_int_equal(check("hello")->err, SP_EAUTH);
	assert_int_equal(check("")->err, SP_EAUTH);
}

/* Of the moment when the machine's clock was an hour ahead. */
static void
a_code_is_judged_by_the_word_of_control_and_not_by_the_machines_clock(void **state)
{
	char code[OTP_DIGITS + 1];
	int64_t step = right(code), later = step + 3600 / OTP_STEP_S;
	const Sallyport__CodeResult *m;

	(void)state;
	assert_int_equal(otp_code(kept.secret, (uint64_t)later, code), SP_OK);
	assert_int_equal(check(code)->err, SP_EAUTH);
	wall_off_us = INT64_C(3600) * (int64_t)SP_US_PER_S;
	m = check(code);
	assert_int_equal(m->err, SP_OK);
	assert_int_equal(m->step, later);
	wall_off_us = 0;
}

static void
hashes_a_recovery_code_as_it_was_listed(void **state)
{
	char shown[OTP_RECOVERY_TEXT] = "";
	const Sallyport__CodeResult *m;

	(void)state;
	for (size_t i = 0; i < OTP_RECOVERY_N; i++) {
		memcpy(shown, kept.lines + OTP_BASE32 + 1 + i * OTP_RECOVERY_TEXT, OTP_RECOVERY_TEXT - 1);
		m = check(shown);
		assert_int_equal(m->err, SP_OK);
		assert_int_equal(m->step, 0);
		assert_int_equal(m->recovery.len, OTP_HASH);
		assert_memory_equal(m->recovery.data, kept.recovery[i], OTP_HASH);
	}
}

static void
a_check_is_for_one_code_within_its_time_and_of_its_connection(void **state)
{
	char code[OTP_DIGITS + 1];
	const Sallyport__CodeResult *m;
	struct peer other = { 0 };
	struct sp_uuid id;

	(void)state;
	(void)right(code);
	sp_uuid_make(&id);
	put(&id, &kept.id, sp_now_us() + 60 * SP_US_PER_S);
	give(&session, &id, "000001");
	give(&session, &id, code);			/* no second chance: refused without an answer */
	m = peer_wait(&r.control, SP_MSG_CODE_RESULT, 0);
	assert_memory_equal(m->check_id.data, id.b, 16);
	sp_uuid_make(&id);
	put(&id, &kept.id, 1);
	give(&session, &id, code);
	m = peer_wait(&r.control, SP_MSG_CODE_RESULT, 0);
	assert_int_equal(m->err, SP_EEXPIRED);
	sp_uuid_make(&id);
	put(&id, &kept.id, sp_now_us() + 60 * SP_US_PER_S);
	peer_open(&r, &other, SP_PROC_SESSION);
	give(&other, &id, code);
	peer_expect_closed(&other);
	peer_close(&other);
}

static void
a_secret_of_another_row_or_kind_is_none(void **state)
{
	struct sp_uuid id, elsewhere;
	struct stored key;
	Sallyport__CodePut m = SALLYPORT__CODE_PUT__INIT;
	const Sallyport__CodeResult *a;

	(void)state;
	sp_uuid_make(&id);
	sp_uuid_make(&elsewhere);
	put(&id, &elsewhere, sp_now_us() + 60 * SP_US_PER_S);
	give(&session, &id, "123456");
	a = peer_wait(&r.control, SP_MSG_CODE_RESULT, 0);
	assert_int_equal(a->err, SP_ECORRUPT);
	assert_int_equal(secret_put(&r, "password", "twenty bytes of text", NULL, &key), SP_OK);
	sp_uuid_make(&id);
	m.check_id = bytes_of(id.b, 16);
	m.conn_id = bytes_of(session.conn.b, 16);
	m.user_id = bytes_of(user.b, 16);
	m.secret_id = bytes_of(key.id.b, 16);
	m.secret_version = 1;
	m.envelope = bytes_of(key.envelope.p, key.envelope.len);
	m.deadline_us = sp_now_us() + 60 * SP_US_PER_S;
	m.wall_us = sp_wall_us();
	peer_send(&r.control, SP_MSG_CODE_PUT, &m, -1);
	give(&session, &id, "123456");
	a = peer_wait(&r.control, SP_MSG_CODE_RESULT, 0);
	assert_int_equal(a->err, SP_EDENIED);
	stored_release(&key);
}

static void
a_code_may_come_sealed_by_a_client(void **state)
{
	char code[OTP_DIGITS + 1];
	Sallyport__CodePut m = SALLYPORT__CODE_PUT__INIT;
	int64_t step = right(code);
	const Sallyport__CodeResult *a;
	struct sp_buf box = sealed(&r, SP_SEAL_CODE, code, OTP_DIGITS), wrong = sealed(&r, SP_SEAL_USER_PASSWORD, code, OTP_DIGITS);
	struct sp_uuid id;

	(void)state;
	sp_uuid_make(&id);
	m.check_id = bytes_of(id.b, 16);
	m.user_id = bytes_of(user.b, 16);
	m.secret_id = bytes_of(kept.id.b, 16);
	m.secret_version = 1;
	m.envelope = bytes_of(kept.envelope, kept.len);
	m.sealed = bytes_of(box.p, box.len);
	m.wall_us = 0;
	a = peer_ask(&r.control, SP_MSG_CODE_PUT, &m, SP_MSG_CODE_RESULT);
	assert_int_equal(a->err, SP_EINVAL);	/* without a time there is no right code */
	m.wall_us = sp_wall_us();
	a = peer_ask(&r.control, SP_MSG_CODE_PUT, &m, SP_MSG_CODE_RESULT);
	assert_int_equal(a->err, SP_OK);
	assert_int_equal(a->step, step);
	m.sealed = bytes_of(wrong.p, wrong.len);
	a = peer_ask(&r.control, SP_MSG_CODE_PUT, &m, SP_MSG_CODE_RESULT);
	assert_int_equal(a->err, SP_EINVAL);
	sp_buf_release(&box);
	sp_buf_release(&wrong);
}

static void
a_sealed_vault_checks_no_code(void **state)
{
	(void)state;
	assert_int_equal(vault_simple(&r, SP_MSG_VAULT_SEAL), SP_OK);
	assert_int_equal(check("123456")->err, SP_ESEALED);
}

static int
setup(void **state)
{
	(void)state;
	rig_up(&r);
	peer_open(&r, &session, SP_PROC_SESSION);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	peer_close(&session);
	rig_down(&r);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(enrols_with_a_secret_that_only_the_caller_can_open),
		cmocka_unit_test(names_the_step_of_a_right_code_and_nothing_of_a_wrong_one),
		cmocka_unit_test(a_code_is_judged_by_the_word_of_control_and_not_by_the_machines_clock),
		cmocka_unit_test(hashes_a_recovery_code_as_it_was_listed),
		cmocka_unit_test(a_check_is_for_one_code_within_its_time_and_of_its_connection),
		cmocka_unit_test(a_secret_of_another_row_or_kind_is_none),
		cmocka_unit_test(a_code_may_come_sealed_by_a_client),
		cmocka_unit_test(a_sealed_vault_checks_no_code),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
