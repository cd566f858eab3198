/* tests/unit/lib/base/test_loop.c - descriptors, timers and signals of the event loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

static struct sp_loop *loop;
static int order[16], n_order, calls;
static struct sp_source *src[2];

static int
setup(void **state)
{
	(void)state;
	n_order = calls = 0;
	return sp_loop_new(&loop) == SP_OK ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	sp_loop_free(loop);
	return 0;
}

static void
note(struct sp_timer *t, void *arg)
{
	(void)t;
	order[n_order++] = (int)(intptr_t)arg;
}

static void
timers_fire_in_the_order_of_their_deadlines_and_not_before(void **state)
{
	static const uint64_t in_ms[] = { 30, 10, 20, 10, 5 };
	struct sp_timer *t[5];
	uint64_t start = sp_now_us();

	(void)state;
	for (intptr_t i = 0; i < 5; i++) {
		assert_int_equal(sp_timer_new(loop, note, (void *)i, &t[i]), SP_OK);
		sp_timer_at(t[i], start + in_ms[i] * 1000);
	}
	sp_timer_stop(t[3]);
	while (n_order < 4) {
		int before = n_order;

		assert_int_equal(sp_loop_once(loop, 1000), SP_OK);
		for (int i = before; i < n_order; i++)
			assert_true(sp_now_us() >= start + in_ms[order[i]] * 1000);
	}
	assert_int_equal(order[0], 4);
	assert_int_equal(order[1], 1);
	assert_int_equal(order[2], 2);
	assert_int_equal(order[3], 0);
	for (int i = 0; i < 5; i++)
		sp_timer_free(t[i]);
}

static void
free_self(struct sp_timer *t, void *arg)
{
	(void)arg;
	calls++;
	sp_timer_free(t);
}

static void
a_timer_may_free_itself_and_be_armed_again(void **state)
{
	struct sp_timer *t, *u;

	(void)state;
	assert_int_equal(sp_timer_new(loop, free_self, NULL, &t), SP_OK);
	assert_int_equal(sp_timer_new(loop, note, NULL, &u), SP_OK);
	sp_timer_in(t, 0);
	sp_timer_in(u, 3600 * SP_US_PER_S);
	sp_timer_in(u, 1000);		/* moved, not doubled */
	while (n_order == 0)
		assert_int_equal(sp_loop_once(loop, 1000), SP_OK);
	assert_int_equal(sp_loop_once(loop, 5), SP_OK);
	assert_int_equal(calls, 1);
	assert_int_equal(n_order, 1);
}

static void
remove_both(struct sp_source *s, uint32_t events, void *arg)
{
	(void)s;
	(void)events;
	(void)arg;
	calls++;
	sp_source_remove(src[0]);
	sp_source_remove(src[1]);
}

static void
a_callback_may_remove_any_source_its_own_included(void **state)
{
	int p[2][2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pipe(p[i]), 0);
		assert_int_equal(write(p[i][1], "x", 1), 1);
		assert_int_equal(sp_loop_add(loop, p[i][0], EPOLLIN, remove_both, NULL, &src[i]), SP_OK);
	}
	assert_int_equal(sp_loop_once(loop, 1000), SP_OK);
	assert_int_equal(calls, 1);
	assert_int_equal(sp_loop_once(loop, 5), SP_OK);
	assert_int_equal(calls, 1);
	for (int i = 0; i < 2; i++) {
		close(p[i][0]);
		close(p[i][1]);
	}
}

static void
count(struct sp_source *s, uint32_t events, void *arg)
{
	(void)s;
	(void)events;
	(void)arg;
	calls++;
}

static void
events_that_are_switched_off_do_not_come(void **state)
{
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(sp_loop_add(loop, p[0], EPOLLIN, count, NULL, &src[0]), SP_OK);
	sp_source_events(src[0], 0);
	assert_int_equal(sp_loop_once(loop, 5), SP_OK);
	assert_int_equal(calls, 0);
	sp_source_events(src[0], EPOLLIN);
	assert_int_equal(sp_loop_once(loop, 1000), SP_OK);
	assert_int_equal(calls, 1);
	sp_source_remove(src[0]);
	close(p[0]);
	close(p[1]);
}

static void
on_signal(int signo, void *arg)
{
	(void)arg;
	order[n_order++] = signo;
	sp_loop_stop(loop);
}

static void
signals_arrive_as_calls(void **state)
{
	static const int set[] = { SIGUSR1, SIGUSR2, -1 };

	(void)state;
	assert_int_equal(sp_loop_signals(loop, set, on_signal, NULL), SP_OK);
	assert_int_equal(raise(SIGUSR2), 0);
	assert_int_equal(sp_loop_run(loop), SP_OK);
	assert_int_equal(n_order, 1);
	assert_int_equal(order[0], SIGUSR2);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(timers_fire_in_the_order_of_their_deadlines_and_not_before),
		T(a_timer_may_free_itself_and_be_armed_again),
		T(a_callback_may_remove_any_source_its_own_included),
		T(events_that_are_switched_off_do_not_come),
		T(signals_arrive_as_calls),
	};

	return cmocka_run_group_tests_name("base_loop", tests, NULL, NULL);
}
