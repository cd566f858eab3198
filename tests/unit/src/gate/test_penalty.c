/* tests/unit/src/gate/test_penalty.c - sources that are refused, and until when. The test owns the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gate/penalty.h"

#define S(n) ((uint64_t)(n) * 1000000)

static struct penalty_table t;

static int
setup(void **state)
{
	(void)state;
	return penalty_init(&t) == SP_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	penalty_release(&t);
	return 0;
}

static struct gate_source
source(uint32_t n)
{
	struct sp_netaddr a = { .family = 4, .addr = { 10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
	struct gate_source s;

	gate_source_of(&a, &s);
	return s;
}

static int
refused(uint32_t n, uint64_t now)
{
	const struct gate_source s = source(n);

	return penalty_is_refused(&t, &s, now);
}

static void
add(uint32_t n, uint64_t for_us, uint64_t now)
{
	const struct gate_source s = source(n);

	penalty_add(&t, &s, for_us, now);
}

static void
a_source_is_refused_until_its_deadline(void **state)
{
	(void)state;
	assert_false(refused(1, 0));
	add(1, S(10), S(100));
	assert_true(refused(1, S(100)));
	assert_true(refused(1, S(110) - 1));
	assert_false(refused(1, S(110)));
	assert_false(refused(2, S(100)));
}

static void
a_longer_refusal_stays_and_appears_once(void **state)
{
	(void)state;
	add(1, S(100), 0);
	add(1, S(10), S(1));
	assert_true(refused(1, S(99)));
	add(1, S(200), S(1));
	assert_true(refused(1, S(200)));
	assert_int_equal(t.n, 1);
}

static void
forgiving_removes_it_and_nothing_else(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 5; i++)
		add(i, S(100), 0);
	add(1, 0, S(1));
	assert_int_equal(t.n, 4);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(refused(i, S(2)), i != 1);
	add(77, 0, S(1));
	assert_int_equal(t.n, 4);
}

static void
no_refusal_is_longer_than_a_day(void **state)
{
	(void)state;
	add(1, UINT64_MAX, S(1));
	assert_true(refused(1, PENALTY_LONGEST_US));
	assert_false(refused(1, S(1) + PENALTY_LONGEST_US));
}

static void
a_flood_of_short_refusals_cannot_free_a_long_one(void **state)
{
	(void)state;
	add(0, S(3600), 0);
	for (uint32_t i = 1; i <= 3 * PENALTY_MAX; i++)
		add(i, S(10) + i, 0);
	assert_int_equal(t.n, PENALTY_MAX);
	assert_true(refused(0, S(3599)));
	assert_true(refused(3 * PENALTY_MAX, S(5)));	/* the latest deadlines are kept */
	assert_false(refused(1, S(5)));
	add(999999, S(1), 0);				/* nearer than all that is there: not taken */
	assert_false(refused(999999, 0));
	assert_int_equal(t.n, PENALTY_MAX);
}

static void
one_ipv6_network_is_one_source(void **state)
{
	struct sp_netaddr a, b, c;
	struct gate_source sa, sb, sc;

	(void)state;
	assert_int_equal(sp_netaddr_parse("2001:db8:1:2::1", &a), SP_OK);
	assert_int_equal(sp_netaddr_parse("2001:db8:1:2:ffff::9", &b), SP_OK);
	assert_int_equal(sp_netaddr_parse("2001:db8:1:3::1", &c), SP_OK);
	gate_source_of(&a, &sa);
	gate_source_of(&b, &sb);
	gate_source_of(&c, &sc);
	penalty_add(&t, &sa, S(10), 0);
	assert_true(penalty_is_refused(&t, &sb, S(1)));
	assert_false(penalty_is_refused(&t, &sc, S(1)));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_source_is_refused_until_its_deadline),
		T(a_longer_refusal_stays_and_appears_once),
		T(forgiving_removes_it_and_nothing_else),
		T(no_refusal_is_longer_than_a_day),
		T(a_flood_of_short_refusals_cannot_free_a_long_one),
		T(one_ipv6_network_is_one_source),
	};

	return cmocka_run_group_tests_name("gate_penalty", tests, NULL, NULL);
}
