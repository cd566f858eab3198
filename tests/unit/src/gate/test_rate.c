/* tests/unit/src/gate/test_rate.c - how many connections a source may make. The test owns the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/rate.h"

#define S(n) ((uint64_t)(n) * 1000000)

static struct rate_table t;

static int
setup(void **state)
{
	(void)state;
	return rate_init(&t, 10, 20) == SP_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	rate_release(&t);
	return 0;
}

/* How many of `tries` connections of source n pass at that time. */
static int
passed(uint32_t n, int tries, uint64_t now)
{
	struct gate_source s = { { 4, 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
	int got = 0;

	while (tries-- > 0)
		got += rate_take(&t, &s, now);
	return got;
}

static void
a_burst_passes_and_then_the_rate(void **state)
{
	(void)state;
	assert_int_equal(passed(1, 100, S(1)), 20);
	assert_int_equal(passed(1, 100, S(1)), 0);
	assert_int_equal(passed(1, 100, S(2)), 10);
	assert_int_equal(passed(1, 100, S(1000)), 20);	/* no more than the burst however long it was quiet */
}

static void
sources_do_not_share_a_bucket(void **state)
{
	(void)state;
	assert_int_equal(passed(1, 100, S(1)), 20);
	assert_int_equal(passed(2, 100, S(1)), 20);
}

static void
a_clock_that_stands_still_gives_nothing(void **state)
{
	(void)state;
	assert_int_equal(passed(1, 100, S(5)), 20);
	assert_int_equal(passed(1, 100, S(4)), 0);
	assert_int_equal(passed(1, 100, S(5)), 0);
}

static void
the_table_forgets_the_source_that_was_quiet_longest(void **state)
{
	(void)state;
	assert_int_equal(passed(0, 100, S(1)), 20);
	assert_int_equal(passed(1, 100, S(1)), 20);
	for (uint32_t i = 2; i < RATE_MAX; i++)
		assert_int_equal(passed(i, 1, S(1)), 1);
	assert_int_equal(passed(0, 1, S(1)), 0);		/* used again: 1 is now the oldest */
	assert_int_equal(passed(RATE_MAX, 1, S(1)), 1);
	assert_int_equal(t.n, RATE_MAX);
	assert_int_equal(passed(0, 1, S(1)), 0);
	assert_int_equal(passed(1, 1, S(1)), 1);		/* it came back with a full bucket */
}

static void
new_settings_hold_from_the_next_connection(void **state)
{
	(void)state;
	assert_int_equal(passed(1, 5, S(1)), 5);
	rate_set(&t, 1, 2);
	assert_int_equal(passed(1, 100, S(1)), 2);
	assert_int_equal(passed(1, 100, S(2)), 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_burst_passes_and_then_the_rate),
		T(sources_do_not_share_a_bucket),
		T(a_clock_that_stands_still_gives_nothing),
		T(the_table_forgets_the_source_that_was_quiet_longest),
		T(new_settings_hold_from_the_next_connection),
	};

	return cmocka_run_group_tests_name("gate_rate", tests, NULL, NULL);
}
