/* How much one user's connections may append to the audit log: on a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "control/volume.h"

#define S	SP_US_PER_S
#define RATE	10
#define BURST	20

static struct volume v;
static const struct sp_uuid ann = { .b = { 1 } }, ben = { .b = { 2 } };
static uint64_t now;
static struct said {
	struct sp_uuid		user;
	char			login[16];
	enum volume_kind	kind;
	uint64_t		n;
} said[8];
static size_t said_n;

static int
setup(void **state)
{
	(void)state;
	now = 1000 * S;
	said_n = 0;
	assert_int_equal(volume_init(&v, RATE, BURST), SP_OK);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	volume_release(&v);
	return 0;
}

static int
take(const struct sp_uuid *user, size_t bytes)
{
	return volume_take(&v, user, user == &ann ? "ann" : "ben", VOLUME_CHANNEL, bytes, now);
}

static int
take_all(const struct sp_uuid *user)
{
	int n = 0;

	while (take(user, 0))
		n++;
	return n;
}

static void
say(const struct sp_uuid *user, const char *login, enum volume_kind kind, uint64_t n, void *arg)
{
	(void)arg;
	assert_true(said_n < SP_NELEMS(said));
	said[said_n] = (struct said){ .user = *user, .kind = kind, .n = n };
	(void)sp_strlcpy(said[said_n].login, login, sizeof(said[0].login));
	said_n++;
}

static void
a_burst_is_taken_whole_and_then_so_many_a_second(void **state)
{
	(void)state;
	assert_int_equal(take_all(&ann), BURST);
	now += S / 2;
	assert_int_equal(take_all(&ann), RATE / 2);
	now += 3600 * S;
	assert_int_equal(take_all(&ann), BURST);
}

static void
one_user_takes_nothing_from_another(void **state)
{
	(void)state;
	assert_int_equal(take_all(&ann), BURST);
	assert_int_equal(take_all(&ben), BURST);
}

static void
long_words_cost_more_and_one_entry_is_always_possible(void **state)
{
	(void)state;
	assert_true(take(&ann, 10 * VOLUME_UNIT));		/* 11 */
	assert_false(take(&ann, 10 * VOLUME_UNIT));
	assert_int_equal(take_all(&ann), BURST - 11);
	now += 3600 * S;
	assert_true(take(&ann, 1000 * VOLUME_UNIT));		/* more than the bucket holds: all of it */
	assert_false(take(&ann, 0));
}

static void
what_was_not_written_is_said_in_one_line_of_each_kind(void **state)
{
	(void)state;
	(void)take_all(&ann);		/* the last one was refused */
	for (int i = 0; i < 41; i++)
		assert_false(take(&ann, 0));
	assert_false(volume_take(&v, &ann, "ann", VOLUME_TARGET, 0, now));
	now += VOLUME_SAY_US - 1;
	volume_tick(&v, now, say, NULL);
	assert_int_equal(said_n, 0);
	now += S;
	volume_tick(&v, now, say, NULL);
	assert_int_equal(said_n, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(sp_uuid_equal(&said[i].user, &ann));
		assert_string_equal(said[i].login, "ann");
		assert_int_equal(said[i].n, said[i].kind == VOLUME_CHANNEL ? 42 : 1);
	}
	now += VOLUME_SAY_US;
	volume_tick(&v, now, say, NULL);
	assert_int_equal(said_n, 2);
}

static void
an_end_says_everything_at_once(void **state)
{
	(void)state;
	(void)take_all(&ann);
	(void)take_all(&ben);
	volume_tick(&v, UINT64_MAX, say, NULL);
	assert_int_equal(said_n, 2);
}

static void
who_is_quiet_is_forgotten_and_a_clock_set_back_gives_nothing(void **state)
{
	(void)state;
	(void)take_all(&ann);
	now += 60 * S;
	volume_tick(&v, now, say, NULL);
	assert_int_equal(v.users.n, 0);
	assert_int_equal(take_all(&ann), BURST);
	assert_int_equal(v.users.n, 1);
	now -= 30 * S;
	assert_int_equal(take_all(&ann), 0);
}

static void
a_smaller_bucket_is_in_force_at_once(void **state)
{
	(void)state;
	assert_true(take(&ann, 0));
	volume_set(&v, 1, 5);
	assert_int_equal(take_all(&ann), 5);
}

static void
every_kind_has_a_name(void **state)
{
	(void)state;
	for (int k = 0; k < VOLUME_KINDS; k++)
		assert_non_null(volume_kind_name((enum volume_kind)k));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_burst_is_taken_whole_and_then_so_many_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(one_user_takes_nothing_from_another, setup, teardown),
		cmocka_unit_test_setup_teardown(long_words_cost_more_and_one_entry_is_always_possible, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_not_written_is_said_in_one_line_of_each_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(an_end_says_everything_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_quiet_is_forgotten_and_a_clock_set_back_gives_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_smaller_bucket_is_in_force_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(every_kind_has_a_name, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
