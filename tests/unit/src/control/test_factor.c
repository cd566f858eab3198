/* How long a one-time code counts, and how often one may be guessed at: on a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "control/factor.h"

#define ok(e)	assert_int_equal((e), SP_OK)
#define S	SP_US_PER_S
#define H	(3600 * S)

static struct factors f;
static const struct sp_uuid ann = { .b = { 1 } }, ben = { .b = { 2 } }, conn1 = { .b = { 8 } }, conn2 = { .b = { 9 } };
static uint64_t now;

static int
setup(void **state)
{
	(void)state;
	now = 1000 * H;
	ok(factors_init(&f));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	factors_release(&f);
	return 0;
}

static int
fresh(const struct sp_uuid *user, const char *source, const struct sp_uuid *conn, int64_t interval_s)
{
	return factors_fresh(&f, user, source, conn, interval_s, now);
}

static void
one_code_counts_for_the_user_and_source_until_its_interval_ends(void **state)
{
	(void)state;
	assert_false(fresh(&ann, "10.0.0.1", &conn1, 4 * 3600));
	factors_proved(&f, &ann, "10.0.0.1", &conn1, now);
	now += 4 * H - 1;
	assert_true(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
	assert_false(fresh(&ann, "10.0.0.2", &conn2, 4 * 3600));
	assert_false(fresh(&ben, "10.0.0.1", &conn2, 4 * 3600));
	now += 1;
	assert_false(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
	assert_false(fresh(&ann, "10.0.0.1", &conn1, 4 * 3600));	/* the connection that gave it, too */
	assert_true(fresh(&ann, "10.0.0.1", &conn2, 8 * 3600));
}

static void
every_login_means_this_connection_and_never_more_than_twelve_hours(void **state)
{
	(void)state;
	factors_proved(&f, &ann, "10.0.0.1", &conn1, now);
	assert_true(fresh(&ann, "10.0.0.1", &conn1, 0));
	assert_false(fresh(&ann, "10.0.0.1", &conn2, 0));
	assert_true(fresh(&ann, "10.0.0.9", &conn2, FACTOR_NEVER));
	now += 12 * H - 1;
	assert_true(fresh(&ann, "10.0.0.1", &conn1, 0));
	now += 1;
	assert_false(fresh(&ann, "10.0.0.1", &conn1, 0));
}

static void
a_later_code_begins_the_interval_anew_and_a_clock_set_back_ends_it(void **state)
{
	(void)state;
	factors_proved(&f, &ann, "10.0.0.1", &conn1, now);
	now += 3 * H;
	factors_proved(&f, &ann, "10.0.0.1", &conn2, now);
	now += 3 * H;
	assert_true(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
	now -= 4 * H;
	assert_false(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
}

static void
what_is_forgotten_counts_no_more_for_that_user_only(void **state)
{
	(void)state;
	factors_proved(&f, &ann, "10.0.0.1", &conn1, now);
	factors_proved(&f, &ben, "10.0.0.1", &conn2, now);
	factors_forget(&f, &ann);
	assert_false(fresh(&ann, "10.0.0.1", &conn1, 3600));
	assert_false(fresh(&ann, "10.0.0.1", &conn1, 0));
	assert_true(fresh(&ben, "10.0.0.1", &conn2, 0));
}

static void
what_was_shown_before_this_start_counts_for_the_rest_of_its_time(void **state)
{
	(void)state;
	now = 1 * H;				/* the machine has started since, too */
	factors_restore(&f, &ann, "10.0.0.1", &conn1, 3 * H, now);
	assert_true(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
	assert_true(fresh(&ann, "10.0.0.1", &conn1, 0));
	now += 1 * H;
	assert_false(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
	factors_proved(&f, &ann, "10.0.0.1", &conn2, now);
	factors_restore(&f, &ann, "10.0.0.1", &conn2, 3 * H, now);	/* older than what is known */
	now += 3 * H;
	assert_true(fresh(&ann, "10.0.0.1", &conn2, 4 * 3600));
	factors_restore(&f, &ben, "10.0.0.1", &conn1, FACTOR_KNOWN_S * S, now);
	assert_false(fresh(&ben, "10.0.0.1", &conn1, 24 * 3600));
}

static void
a_code_is_used_up_once_and_known_until_the_store_has_it(void **state)
{
	(void)state;
	ok(factors_use(&f, &ann, 100, NULL, 1, now));
	assert_int_equal(factors_use(&f, &ann, 100, NULL, 0, now), SP_EDENIED);
	assert_int_equal(factors_use(&f, &ann, 99, NULL, 0, now), SP_EDENIED);
	ok(factors_use(&f, &ben, 100, NULL, 0, now));
	ok(factors_use(&f, &ann, 0, &conn1, 1, now));
	assert_int_equal(factors_use(&f, &ann, 0, &conn1, 0, now), SP_EDENIED);
	ok(factors_use(&f, &ann, 0, &conn2, 0, now));
	now += 48 * H;
	factors_sweep(&f, now);
	assert_int_equal(f.used.n, 2);		/* ann's step and her first recovery code: no store has them */
	factors_written(&f, &ann, 99, NULL);
	factors_sweep(&f, now);
	assert_int_equal(factors_use(&f, &ann, 100, NULL, 0, now), SP_EDENIED);
	factors_written(&f, &ann, 100, NULL);
	factors_written(&f, &ann, 0, &conn1);
	factors_sweep(&f, now);
	assert_int_equal(f.used.n, 0);
	ok(factors_use(&f, &ann, 101, NULL, 0, now));
	factors_late(&f, &ann, 101, NULL);
	now += 48 * H;
	factors_sweep(&f, now);
	assert_int_equal(factors_use(&f, &ann, 101, NULL, 0, now), SP_EDENIED);
}

static void
what_finds_no_room_is_not_accepted(void **state)
{
	struct sp_uuid u = { 0 };

	(void)state;
	for (uint32_t i = 0; i < FACTOR_USED_MAX; i++) {
		memcpy(u.b, &i, sizeof(i));
		ok(factors_use(&f, &u, 1, NULL, 0, now));
	}
	u.b[15] = 1;
	assert_int_equal(factors_use(&f, &u, 1, NULL, 0, now), SP_EFULL);
}

static enum sp_err
guess(const struct sp_uuid *user, const char *source)
{
	return factors_try(&f, user, source, now);
}

static void
a_source_waits_longer_each_time_and_a_right_code_ends_it(void **state)
{
	static const unsigned waits[] = { 10, 20, 40, 80, 160, 320, 640, 900 };

	(void)state;
	for (int i = 0; i < FACTOR_FREE; i++)
		ok(guess(&ann, "10.0.0.1"));
	for (size_t i = 0; i < SP_NELEMS(waits); i++) {
		now += waits[i] * S - 1;
		assert_int_equal(guess(&ann, "10.0.0.1"), SP_EBUSY);
		ok(guess(&ben, "10.0.0.1"));		/* that user from there, nobody else */
		factors_untry(&f, &ben, "10.0.0.1", 1);
		now += 1;
		ok(guess(&ann, "10.0.0.1"));
	}
	factors_untry(&f, &ann, "10.0.0.1", 1);
	ok(guess(&ann, "10.0.0.1"));
}

static void
guesses_from_everywhere_are_bounded_by_the_hour(void **state)
{
	char source[32];
	int n = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		sp_snprintf(source, sizeof(source), "10.1.0.%d", i);
		n += guess(&ann, source) == SP_OK;
	}
	assert_int_equal(n, FACTOR_USER_MAX);
	ok(guess(&ben, "10.1.0.99"));
	now += H;
	ok(guess(&ann, "10.1.0.99"));
	for (int day = 0; day < 24; day++) {		/* a day of guessing from ever new places */
		now += H;
		for (int i = 0; i < 20; i++) {
			sp_snprintf(source, sizeof(source), "10.2.%d.%d", day, i);
			n += guess(&ann, source) == SP_OK;
		}
	}
	assert_true(n <= FACTOR_USER_MAX * 26);
}

static void
a_source_that_has_shown_a_right_code_is_not_shut_out_from_elsewhere(void **state)
{
	char source[32];

	(void)state;
	ok(guess(&ann, "10.0.0.1"));
	factors_untry(&f, &ann, "10.0.0.1", 1);
	factors_proved(&f, &ann, "10.0.0.1", &conn1, now);
	for (int i = 0; i < 100; i++) {
		sp_snprintf(source, sizeof(source), "10.1.0.%d", i);
		(void)!guess(&ann, source);
	}
	assert_int_equal(guess(&ann, "10.9.9.9"), SP_EFULL);
	now += 30 * 60 * S;
	ok(guess(&ann, "10.0.0.1"));
	factors_untry(&f, &ann, "10.0.0.1", 1);
	assert_int_equal(guess(&ann, "10.9.9.9"), SP_EFULL);	/* what he got right gives nothing to others */
}

/* Somebody with a network of addresses, and a check begun and given up from each: others still have room. */
static void
one_user_does_not_fill_the_table(void **state)
{
	char source[32];

	(void)state;
	for (int i = 0; i < 5000; i++) {
		sp_snprintf(source, sizeof(source), "2001:db8::%x", i);
		if (guess(&ann, source) == SP_OK)
			factors_untry(&f, &ann, source, 0);
	}
	assert_int_equal(f.guesses.n, 0);
	for (int i = 0; i < 5000; i++) {
		sp_snprintf(source, sizeof(source), "2001:db8::%x", i);
		(void)!guess(&ann, source);
	}
	assert_int_equal(f.guesses.n, FACTOR_USER_MAX + 1);	/* those that were tried, and the user himself */
	assert_int_equal(guess(&ann, "2001:db8::1"), SP_EFULL);
	ok(guess(&ben, "10.0.0.1"));
}

static void
tables_are_bounded_and_emptied(void **state)
{
	struct sp_uuid u = { .b = { 0 } };

	(void)state;
	for (uint32_t i = 0; i < FACTOR_PROOFS_MAX; i++) {
		memcpy(u.b, &i, sizeof(i));
		factors_proved(&f, &u, "10.0.0.1", &conn1, now);
		(void)!factors_try(&f, &u, "10.0.0.1", now);
	}
	assert_int_equal(f.proofs.n, FACTOR_PROOFS_MAX);
	assert_int_equal(f.guesses.n, FACTOR_GUESSES_MAX);
	factors_sweep(&f, now + 23 * H);
	assert_int_equal(f.guesses.n, 0);
	factors_sweep(&f, now + 24 * H);
	assert_int_equal(f.proofs.n, 0);
}

#define T(fn)	cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(one_code_counts_for_the_user_and_source_until_its_interval_ends),
		T(every_login_means_this_connection_and_never_more_than_twelve_hours),
		T(a_later_code_begins_the_interval_anew_and_a_clock_set_back_ends_it),
		T(what_is_forgotten_counts_no_more_for_that_user_only),
		T(what_was_shown_before_this_start_counts_for_the_rest_of_its_time),
		T(a_code_is_used_up_once_and_known_until_the_store_has_it),
		T(what_finds_no_room_is_not_accepted),
		T(a_source_waits_longer_each_time_and_a_right_code_ends_it),
		T(guesses_from_everywhere_are_bounded_by_the_hour),
		T(a_source_that_has_shown_a_right_code_is_not_shut_out_from_elsewhere),
		T(one_user_does_not_fill_the_table),
		T(tables_are_bounded_and_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
