/* tests/unit/src/dialer/test_allow.c - which addresses may be connected to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dialer/allow.h"

static char loopback[] = "loopback", linklocal[] = "linklocal", ten[] = "10.0.0.0/8", one[] = "192.0.2.1", v6[] = "2001:db8::/32",
    junk[] = "everything";

static enum sp_err
check(const char *ip, char *const *refuse, size_t n_refuse, char *const *allow, size_t n_allow)
{
	struct sp_netaddr a;

	assert_int_equal(sp_netaddr_parse(ip, &a), SP_OK);
	return dial_check(&a, refuse, n_refuse, allow, n_allow);
}

static void
refuses_what_an_entry_covers_in_every_spelling(void **state)
{
	char *const refuse[] = { loopback, linklocal, ten, one, v6 };
	static const char *const no[] = { "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "169.254.169.254",
		"fe80::1", "10.1.2.3", "::ffff:10.1.2.3", "192.0.2.1", "2001:db8::5" };
	static const char *const yes[] = { "11.0.0.1", "192.0.2.2", "2001:db9::1", "172.16.0.1" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(no); i++)
		assert_int_equal(check(no[i], refuse, SP_NELEMS(refuse), NULL, 0), SP_EDENIED);
	for (size_t i = 0; i < SP_NELEMS(yes); i++)
		assert_int_equal(check(yes[i], refuse, SP_NELEMS(refuse), NULL, 0), SP_OK);
}

static void
an_exception_wins_for_that_address_only(void **state)
{
	char exact[] = "127.0.0.1";
	char *const refuse[] = { loopback }, *const allow[] = { exact };

	(void)state;
	assert_int_equal(check("127.0.0.1", refuse, 1, allow, 1), SP_OK);
	assert_int_equal(check("127.0.0.2", refuse, 1, allow, 1), SP_EDENIED);
	assert_int_equal(check("::1", refuse, 1, allow, 1), SP_EDENIED);
}

static void
a_list_that_cannot_be_read_allows_nothing(void **state)
{
	char *const refuse[] = { ten, junk };
	char host_bits[] = "10.0.0.1/8", empty[] = "";
	char *const more[] = { host_bits }, *const none[] = { empty };

	(void)state;
	assert_int_equal(check("192.0.2.1", refuse, 2, NULL, 0), SP_EFORMAT);
	assert_int_equal(check("192.0.2.1", more, 1, NULL, 0), SP_EFORMAT);
	assert_int_equal(check("192.0.2.1", none, 1, NULL, 0), SP_EFORMAT);
	assert_int_equal(check("10.0.0.1", refuse, 1, refuse + 1, 1), SP_EFORMAT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refuses_what_an_entry_covers_in_every_spelling),
		cmocka_unit_test(an_exception_wins_for_that_address_only),
		cmocka_unit_test(a_list_that_cannot_be_read_allows_nothing),
	};

	return cmocka_run_group_tests_name("dialer_allow", tests, NULL, NULL);
}
