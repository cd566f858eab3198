/* tests/unit/lib/base/test_wallclock.c - the wall time that is judged by: a day in the life of a clock that jumps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/wallclock.h"

#define S	((int64_t)SP_US_PER_S)
#define HOUR	(3600 * S)
#define DAY	(24 * HOUR)
#define NOW	(INT64_C(1800000000) * S)

/* A machine: true time passes, its wall clock is off by what was done to it. */
struct machine {
	struct sp_wallclock	w;
	int64_t			now, off;
	uint64_t		boot;
};

static int64_t
ask(struct machine *m)
{
	return sp_wallclock_now(&m->w, m->now + m->off, m->boot);
}

static int64_t
dating(const struct machine *m)
{
	return sp_wallclock_dating(&m->w, m->now + m->off, m->boot);
}

static void
pass(struct machine *m, int64_t us)
{
	m->now += us;
	m->boot += (uint64_t)us;
}

static void
settle(struct machine *m)
{
	*m = (struct machine){ .now = NOW, .boot = 1000 * SP_US_PER_S };
	assert_true(ask(m) == NOW);
	pass(m, HOUR);
	assert_true(ask(m) == m->now && m->w.state == SP_WALLCLOCK_AGREES && dating(m) == m->now);
}

static void
another_boot(struct machine *m, int64_t off_us, uint64_t boot_us)
{
	struct sp_wallclock mark = m->w;

	m->now += off_us;
	m->boot = boot_us;
	m->w = (struct sp_wallclock){ 0 };
	sp_wallclock_restore(&m->w, &mark, 0);
}

static void
a_clock_set_back_does_not_take_time_back_nor_stop_it(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	m.off = -DAY;
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_BEHIND && m.w.off_us == -DAY);
	pass(&m, HOUR);
	assert_true(ask(&m) == m.now);
	assert_true(dating(&m) == m.now);	/* nobody was ahead before: the machine is wrong, others are not */
	m.off = 0;
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AGREES);
}

static void
a_small_step_back_is_no_news_and_takes_no_time_back(void **state)
{
	struct machine m;
	int64_t before;

	(void)state;
	settle(&m);
	before = ask(&m);
	m.off = -30 * S;
	assert_true(ask(&m) == before && m.w.state == SP_WALLCLOCK_AGREES);
}

static void
a_jump_ahead_within_a_day_is_followed_and_stays(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	m.off = HOUR;
	assert_true(ask(&m) == m.now + HOUR && m.w.state == SP_WALLCLOCK_AGREES);
	m.off = 0;
	pass(&m, S);
	assert_true(ask(&m) == m.now + HOUR && m.w.state == SP_WALLCLOCK_BEHIND);
	assert_true(dating(&m) == m.now);	/* undone: others have the same time as this machine */
	m.off = -HOUR;
	assert_true(ask(&m) == m.now + HOUR && dating(&m) == m.now + HOUR);	/* never before where it was without the jump */
}

static void
a_jump_that_lasted_a_day_was_right(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	m.off = HOUR;
	(void)ask(&m);
	pass(&m, DAY);
	(void)ask(&m);
	m.off = 0;
	assert_true(ask(&m) == m.now + HOUR && dating(&m) == m.now + HOUR);
}

static void
a_jump_ahead_beyond_a_day_is_not_followed_until_somebody_says_so(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	m.off = 10 * DAY;
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AHEAD && dating(&m) == m.now);
	pass(&m, 3 * DAY);
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AHEAD);
	sp_wallclock_accept(&m.w, m.now + m.off, m.boot);
	assert_true(ask(&m) == m.now + 10 * DAY && m.w.state == SP_WALLCLOCK_AGREES);
	m.off = 0;
	assert_true(ask(&m) == m.now + 10 * DAY && m.w.state == SP_WALLCLOCK_BEHIND);
	sp_wallclock_accept(&m.w, m.now, m.boot);
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AGREES);
}

static void
another_process_of_the_same_boot_goes_on(void **state)
{
	static const int64_t offs[] = { -DAY, 10 * DAY };
	struct machine m;

	(void)state;
	for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
		struct sp_wallclock mark;

		settle(&m);
		mark = m.w;
		m.w = (struct sp_wallclock){ 0 };
		m.off = offs[i];
		pass(&m, HOUR);
		sp_wallclock_restore(&m.w, &mark, 1);
		assert_true(ask(&m) == m.now && m.w.state != SP_WALLCLOCK_AGREES);
	}
}

static void
after_a_reboot_any_later_time_may_be_right_and_no_earlier_one(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	another_boot(&m, 40 * DAY, 20 * SP_US_PER_S);
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AGREES);
	m.off = 2 * DAY;		/* from now on it is a jump like any other */
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AHEAD);
	settle(&m);
	m.off = -DAY;
	another_boot(&m, HOUR, 20 * SP_US_PER_S);
	assert_true(ask(&m) >= NOW + HOUR && m.w.state == SP_WALLCLOCK_BEHIND);
}

static void
a_machine_without_a_clock_of_its_own_is_followed_when_it_has_found_the_time(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	another_boot(&m, 5 * DAY, 20 * SP_US_PER_S);
	m.off = -NOW;
	assert_true(ask(&m) >= NOW + HOUR && m.w.state == SP_WALLCLOCK_BEHIND);
	pass(&m, 60 * S);
	m.off = 0;
	assert_true(ask(&m) == m.now && m.w.state == SP_WALLCLOCK_AGREES && dating(&m) == m.now);
}

static void
a_machine_that_starts_ahead_and_is_corrected_dates_right(void **state)
{
	struct machine m;

	(void)state;
	settle(&m);
	another_boot(&m, HOUR, 20 * SP_US_PER_S);
	m.off = 8 * HOUR;		/* a hardware clock in local time */
	assert_true(ask(&m) == m.now + 8 * HOUR);
	pass(&m, 60 * S);
	m.off = 0;
	assert_true(ask(&m) == m.now + 8 * HOUR && m.w.state == SP_WALLCLOCK_BEHIND && dating(&m) == m.now);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_clock_set_back_does_not_take_time_back_nor_stop_it),
		cmocka_unit_test(a_small_step_back_is_no_news_and_takes_no_time_back),
		cmocka_unit_test(a_jump_ahead_within_a_day_is_followed_and_stays),
		cmocka_unit_test(a_jump_that_lasted_a_day_was_right),
		cmocka_unit_test(a_jump_ahead_beyond_a_day_is_not_followed_until_somebody_says_so),
		cmocka_unit_test(another_process_of_the_same_boot_goes_on),
		cmocka_unit_test(after_a_reboot_any_later_time_may_be_right_and_no_earlier_one),
		cmocka_unit_test(a_machine_without_a_clock_of_its_own_is_followed_when_it_has_found_the_time),
		cmocka_unit_test(a_machine_that_starts_ahead_and_is_corrected_dates_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
