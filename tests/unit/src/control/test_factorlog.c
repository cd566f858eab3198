/* A record of the file of second factors: what is read is what was written with that key, whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "control/factorlog.h"

static const uint8_t key[SP_SHA256_LEN] = { 1, 2, 3 }, other[SP_SHA256_LEN] = { 3, 2, 1 };

static struct factorlog
sample(void)
{
	return (struct factorlog){ .kind = FACTORLOG_LATE, .user.b = { 1 }, .conn.b = { 2 }, .secret.b = { 3 }, .recovery.b = { 4 },
	    .boot.b = { 5 }, .step = 59999999, .epoch = 7, .wall_us = 1790000000000000, .boot_us = 12345678901, .source = "2001:db8::1" };
}

static void
what_is_written_is_read(void **state)
{
	struct factorlog a = sample(), b = { 0 };
	uint8_t raw[FACTORLOG_SIZE];

	(void)state;
	factorlog_pack(&a, key, raw);
	assert_int_equal(factorlog_parse(raw, key, &b), SP_OK);
	assert_int_equal(b.kind, a.kind);
	assert_true(sp_uuid_equal(&a.user, &b.user) && sp_uuid_equal(&a.conn, &b.conn) && sp_uuid_equal(&a.secret, &b.secret));
	assert_true(sp_uuid_equal(&a.recovery, &b.recovery) && sp_uuid_equal(&a.boot, &b.boot));
	assert_true(a.step == b.step && a.epoch == b.epoch && a.wall_us == b.wall_us && a.boot_us == b.boot_us);
	assert_string_equal(a.source, b.source);
}

static void
no_flipped_bit_and_no_other_key_is_accepted(void **state)
{
	struct factorlog a = sample(), b = { .step = -1 };
	uint8_t raw[FACTORLOG_SIZE];

	(void)state;
	factorlog_pack(&a, key, raw);
	assert_int_equal(factorlog_parse(raw, other, &b), SP_EAUTH);
	for (size_t bit = 0; bit < sizeof(raw) * 8; bit++) {
		raw[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_int_not_equal(factorlog_parse(raw, key, &b), SP_OK);
		raw[bit / 8] ^= (uint8_t)(1u << (bit % 8));
	}
	assert_int_equal(b.step, -1);		/* untouched on failure */
	assert_int_equal(factorlog_parse(raw, key, &b), SP_OK);
}

static void
a_record_that_could_be_written_otherwise_is_none(void **state)
{
	struct factorlog a = sample(), b;
	uint8_t raw[FACTORLOG_SIZE];
	size_t body = FACTORLOG_SIZE - SP_SHA256_LEN;

	(void)state;
	factorlog_pack(&a, key, raw);
	raw[body - 1] = 1;		/* behind the last member */
	sp_hmac_sha256((struct sp_view){ key, sizeof(key) }, (struct sp_view){ raw, body }, raw + body);
	assert_int_equal(factorlog_parse(raw, key, &b), SP_EFORMAT);
	factorlog_pack(&a, key, raw);
	memset(raw + body - 24 - SP_NETADDR_SIZE, 'x', SP_NETADDR_SIZE);	/* a source without an end */
	sp_hmac_sha256((struct sp_view){ key, sizeof(key) }, (struct sp_view){ raw, body }, raw + body);
	assert_int_equal(factorlog_parse(raw, key, &b), SP_EFORMAT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(no_flipped_bit_and_no_other_key_is_accepted),
		cmocka_unit_test(a_record_that_could_be_written_otherwise_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
