/* More alerts than control is told at once: they wait, in order, and none is told twice or forgotten. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "siem/alertq.h"

#define MANY	(100 * ALERTQ_SAID)

static void
fill(struct alertq *q)
{
	alertq_init(q);
	for (uint64_t i = 1; i <= MANY; i++) {
		struct open_alert *a = alertq_add(q, i, 1);

		assert_non_null(a);
		a->packed[0] = (uint8_t)i;
	}
}

static void
test_a_flood_waits_here_and_goes_on_in_order(void **state)
{
	const struct open_alert *a;
	struct alertq q;
	uint64_t said = 0;

	(void)state;
	fill(&q);
	for (uint64_t taken = 0; taken < MANY;) {
		while ((a = alertq_next(&q)) != NULL) {
			assert_int_equal(a->number, ++said);
			assert_int_equal(a->packed[0], (uint8_t)said);
			assert_true(said - taken <= ALERTQ_SAID);
		}
		assert_int_equal(said, taken + ALERTQ_SAID > MANY ? MANY : taken + ALERTQ_SAID);
		alertq_taken(&q, ++taken);
	}
	assert_true(alertq_is_empty(&q));
}

static void
test_only_what_was_taken_leaves(void **state)
{
	const struct open_alert *a;
	struct alertq q;

	(void)state;
	fill(&q);
	for (uint64_t i = 1; i <= 3; i++)
		assert_non_null(alertq_next(&q));
	alertq_taken(&q, 3);		/* its rule had gone; those before it are still being written */
	alertq_taken(&q, MANY);		/* was never said */
	alertq_again(&q);
	for (uint64_t i = 1; i <= ALERTQ_SAID + 1; i++)
		if (i != 3) {
			assert_non_null(a = alertq_next(&q));
			assert_int_equal(a->number, i);
		}
	assert_null(alertq_next(&q));
	alertq_release(&q);
	assert_true(alertq_is_empty(&q));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_flood_waits_here_and_goes_on_in_order),
		cmocka_unit_test(test_only_what_was_taken_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
