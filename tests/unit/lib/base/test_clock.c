/* tests/unit/lib/base/test_clock.c - times at the edge: RFC 3339 and durations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static void
prints_and_reads_back_times(void **state)
{
	static const struct {
		int64_t		 us;
		const char	*text;
	} v[] = { { 0, "1970-01-01T00:00:00.000000Z" }, { INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z" },
		{ INT64_C(4107542399999999), "2100-02-28T23:59:59.999999Z" } };
	char t[SP_RFC3339_SIZE];
	int64_t back;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(v); i++) {
		assert_string_equal(sp_rfc3339(v[i].us, t, sizeof(t)), v[i].text);
		assert_int_equal(sp_rfc3339_parse(t, &back), SP_OK);
		assert_true(back == v[i].us);
	}
}

static void
reads_offsets_and_plain_dates(void **state)
{
	int64_t a, b;

	(void)state;
	assert_int_equal(sp_rfc3339_parse("2026-09-01T14:00:00+02:00", &a), SP_OK);
	assert_int_equal(sp_rfc3339_parse("2026-09-01T12:00:00Z", &b), SP_OK);
	assert_true(a == b);
	assert_int_equal(sp_rfc3339_parse("2026-09-01", &a), SP_OK);
	assert_true(b - a == 12 * INT64_C(3600000000));
}

static void
refuses_times_that_do_not_exist(void **state)
{
	static const char *const bad[] = { "", "2026", "2026-13-01", "2026-02-30", "2025-02-29", "2026-09-01T24:00:00Z",
		"2026-09-01T12:60:00Z", "2026-09-01T12:00:00", "2026-09-01T12:00:00Zx", "2026-09-01 ", "2026-9-1", "tomorrow" };
	int64_t v = 5;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_not_equal(sp_rfc3339_parse(bad[i], &v), SP_OK);
	assert_true(v == 5);
}

static void
reads_durations_and_refuses_the_rest(void **state)
{
	static const struct {
		const char	*text;
		uint64_t	 s;
	} good[] = { { "90", 90 }, { "90s", 90 }, { "15m", 900 }, { "4h", 14400 }, { "7d", 604800 }, { "0", 0 } };
	static const char *const bad[] = { "", "s", "-1", "1y", "1.5h", "1h30m", "99999999999999999999", "1000000d", " 1" };
	uint64_t v = 5;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_not_equal(sp_duration_parse(bad[i], &v), SP_OK);
	assert_true(v == 5);
	for (size_t i = 0; i < SP_NELEMS(good); i++) {
		assert_int_equal(sp_duration_parse(good[i].text, &v), SP_OK);
		assert_true(v == good[i].s * SP_US_PER_S);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_and_reads_back_times),
		cmocka_unit_test(reads_offsets_and_plain_dates),
		cmocka_unit_test(refuses_times_that_do_not_exist),
		cmocka_unit_test(reads_durations_and_refuses_the_rest),
	};

	return cmocka_run_group_tests_name("base_clock", tests, NULL, NULL);
}
