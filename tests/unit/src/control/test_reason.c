/* tests/unit/src/control/test_reason.c - what does for a ticket and what does not, and patterns that would take for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/reason.h"

static void
a_ticket_is_the_first_word_and_fits_as_a_whole(void **state)
{
	static const struct { const char *pattern, *text; int fits; } row[] = {
		{ "", "OPS-1234", 1 }, { "", "OPS-1234 the disk is full", 1 }, { "", "X1-7\tmore", 1 },
		{ "", "ops-1234", 0 }, { "", "OPS-1234x", 0 }, { "", "see OPS-1234", 0 }, { "", "OPS-", 0 }, { "", "", 0 }, { "", " OPS-1", 0 },
		{ "INC[0-9]{7}", "INC0012345 why", 1 }, { "INC[0-9]{7}", "INC001234", 0 }, { "INC[0-9]{7}", "INC00123456", 0 },
		{ "a|ab", "ab", 1 }, { "#?[0-9]+", "#77", 1 }, { "\\p{Lu}+", "\xc3\x84", 1 }, { "x", "\xff", 0 },
		{ "(", "(", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (reason_is_ticket(row[i].pattern, row[i].text) != row[i].fits)
			fail_msg("row %zu: %s on %s", i, row[i].pattern, row[i].text);
}

static void
a_pattern_that_would_take_for_ever_fits_nothing(void **state)
{
	(void)state;
	assert_int_equal(reason_is_ticket("(a+)+(b+)+(a|aa)+z", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 0);
}

static void
a_pattern_that_does_not_compile_is_refused_when_saved(void **state)
{
	char why[160] = "", big[REASON_PATTERN_MAX + 2];

	(void)state;
	assert_int_equal(reason_check("", why, sizeof(why)), SP_OK);
	assert_int_equal(reason_check("[A-Z]+-[0-9]{1,6}", why, sizeof(why)), SP_OK);
	assert_int_equal(reason_check("(", why, sizeof(why)), SP_EINVAL);
	assert_true(strlen(why) > 5);
	assert_int_equal(reason_check("a\nb", why, sizeof(why)), SP_EINVAL);
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(reason_check(big, why, sizeof(why)), SP_EINVAL);
	assert_int_equal(reason_check("(((a{99}){99}){99})", why, sizeof(why)), SP_EINVAL);	/* compiles to megabytes */
}

static void
what_is_lacking_has_a_name(void **state)
{
	static struct sp_policy_decision d;

	(void)state;
	d.reason_required = SP_POLICY_REASON_NONE;
	assert_null(reason_lacks(&d, ""));
	d.reason_required = SP_POLICY_REASON_TEXT;
	assert_string_equal(reason_lacks(&d, "  "), "reason");
	assert_null(reason_lacks(&d, "disk full"));
	d.reason_required = SP_POLICY_REASON_TICKET;
	assert_string_equal(reason_lacks(&d, "disk full"), "ticket");
	assert_null(reason_lacks(&d, "OPS-1 disk full"));
	(void)sp_strlcpy(d.reason_patterns, "A-[0-9]+\n[A-Z]-1.*", sizeof(d.reason_patterns));
	assert_null(reason_lacks(&d, "A-17"));
	assert_string_equal(reason_lacks(&d, "A-27"), "ticket");
	assert_string_equal(reason_lacks(&d, "B-17"), "ticket");
	d.reason_cut = 1;
	assert_string_equal(reason_lacks(&d, "A-17"), "ticket");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ticket_is_the_first_word_and_fits_as_a_whole),
		cmocka_unit_test(a_pattern_that_would_take_for_ever_fits_nothing),
		cmocka_unit_test(a_pattern_that_does_not_compile_is_refused_when_saved),
		cmocka_unit_test(what_is_lacking_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
