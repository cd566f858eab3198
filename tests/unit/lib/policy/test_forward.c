/* tests/unit/lib/policy/test_forward.c - where a forward may go, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/forward.h"

#define NO	SP_POLICY_FWD_NO
#define MAYBE	SP_POLICY_FWD_MAYBE
#define YES	SP_POLICY_FWD_YES

static const struct {
	const char		*list, *host, *addr;	/* addr NULL: not resolved */
	uint32_t		 port;
	enum sp_policy_forward	 want;
} rows[] = {
	{ NULL, "10.0.0.1", NULL, 22, NO },
	{ "", "10.0.0.1", NULL, 22, NO },
	{ "*:*", "10.0.0.1", NULL, 22, YES },
	{ "*:22", "10.0.0.1", NULL, 23, NO },
	{ "*:20-30", "10.0.0.1", NULL, 30, YES },
	{ "*:20-30", "10.0.0.1", NULL, 31, NO },
	{ "*:*", "10.0.0.1", NULL, 0, NO },
	{ "*:*", "10.0.0.1", NULL, 65536, NO },
	{ "*:*", "db.example.org", NULL, 22, MAYBE },
	{ "*:*", "db.example.org", "10.0.0.9", 22, YES },
	/* loopback and link-local: only by their very address */
	{ "*:*", "127.0.0.1", NULL, 22, NO },
	{ "*:*", "localhost", "127.0.0.1", 22, NO },
	{ "localhost:*", "localhost", "127.0.0.1", 22, NO },
	{ "db.example.org:*", "db.example.org", "127.0.0.1", 22, NO },	/* a rebinding name */
	{ "127.0.0.0/8:*", "127.0.0.1", NULL, 22, NO },
	{ "0.0.0.0/0:*", "127.0.0.1", NULL, 22, NO },
	{ "126.0.0.0-128.0.0.0:*", "127.0.0.1", NULL, 22, NO },
	{ "127.0.0.1:22", "127.0.0.1", NULL, 22, YES },
	{ "127.0.0.1:22", "localhost", "127.0.0.1", 22, YES },
	{ "127.0.0.1:22", "127.0.0.2", NULL, 22, NO },
	{ "*:*", "0.0.0.0", NULL, 22, NO },
	{ "*:*", "::1", NULL, 22, NO },
	{ "*:*", "[::1]", NULL, 22, NO },
	{ "*:*", "::ffff:127.0.0.1", NULL, 22, NO },
	{ "[::1]:22", "::1", NULL, 22, YES },
	{ "*:*", "169.254.169.254", NULL, 80, NO },
	{ "169.254.169.254:80", "169.254.169.254", NULL, 80, YES },
	{ "*:*", "fe80::1", NULL, 22, NO },
	{ "*:*", "64:ff9b::a9fe:a9fe", NULL, 80, NO },
	{ "*:*", "64:ff9b::7f00:1", NULL, 22, NO },
	{ "*:*", "::127.0.0.1", NULL, 22, NO },
	{ "*:*", "64:ff9b::a01:203", NULL, 22, YES },
	{ "*:*", "224.0.0.1", NULL, 22, NO },
	/* networks and ranges */
	{ "10.0.0.0/8:*", "10.255.0.1", NULL, 22, YES },
	{ "10.0.0.0/8:*", "11.0.0.1", NULL, 22, NO },
	{ "10.0.0.0/8:*", "db", NULL, 22, MAYBE },
	{ "10.0.0.0/8:*", "db", "10.1.1.1", 22, YES },
	{ "10.0.0.0/8:*", "db", "11.1.1.1", 22, NO },
	{ "[fd00::]/8:22", "fd12::1", NULL, 22, YES },
	{ "10.0.0.1-10.0.0.9:22", "10.0.0.1", NULL, 22, YES },
	{ "10.0.0.1-10.0.0.9:22", "10.0.0.9", NULL, 22, YES },
	{ "10.0.0.1-10.0.0.9:22", "10.0.0.10", NULL, 22, NO },
	{ "[fd00::1]-[fd00::9]:22", "fd00::5", NULL, 22, YES },
	{ "10.0.0.5:22", "10.0.0.5", "10.0.0.6", 22, NO },	/* the address that is connected to decides */
	/* names */
	{ "db1.example.org:5432", "DB1.Example.ORG", "10.0.0.1", 5432, YES },
	{ "db1.example.org:5432", "db1.example.org.", "10.0.0.1", 5432, YES },
	{ "db1.example.org:5432", "db2.example.org", "10.0.0.1", 5432, NO },
	{ "*.example.org:*", "a.b.example.org", "10.0.0.1", 1, YES },
	{ "*.example.org:*", "example.org", "10.0.0.1", 1, NO },
	{ "*.example.org:*", "badexample.org", "10.0.0.1", 1, NO },
	{ "my-host:22", "my-host", NULL, 22, MAYBE },
	{ "db:22", NULL, "10.0.0.1", 22, NO },			/* a name pattern speaks about what was typed */
	{ "*:22", "a b", NULL, 22, NO },
	{ "*:22", "", NULL, 22, NO },
	{ "*:22", NULL, NULL, 22, NO },
	/* several; a bad one permits nothing and spoils nothing */
	{ "bad, 10.0.0.1:22 ,x:0", "10.0.0.1", NULL, 22, YES },
	{ "10.0.0.1:22,10.0.0.2:23", "10.0.0.2", NULL, 22, NO }
};

static void
each_row_is_judged_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_netaddr addr;
		enum sp_policy_forward got;

		if (rows[i].addr != NULL)
			assert_int_equal(sp_netaddr_parse(rows[i].addr, &addr), SP_OK);
		got = sp_policy_forward_allowed(rows[i].list, rows[i].host, rows[i].addr != NULL ? &addr : NULL, rows[i].port);
		if (got != rows[i].want)
			fail_msg("row %zu: \"%s\" for %s (%s) port %u: got %d, want %d", i, rows[i].list, rows[i].host, rows[i].addr,
			    rows[i].port, got, rows[i].want);
	}
}

static void
an_overlong_host_or_item_is_refused(void **state)
{
	char host[400], list[800];

	(void)state;
	memset(host, 'a', sizeof(host) - 1);
	host[sizeof(host) - 1] = 0;
	assert_int_equal(sp_policy_forward_allowed("*:*", host, NULL, 22), NO);
	snprintf(list, sizeof(list), "%s:22", host);
	assert_int_equal(sp_policy_forward_check(list), SP_EINVAL);
}

static void
what_cannot_be_read_is_refused_when_saved(void **state)
{
	static const char *const good[] = { "", "*:*", "a.b:1,10.0.0.0/8:1-2,[::1]:22,[fd00::]/8:*", "*.x.org:443" };
	static const char *const bad[] = { "a", "a:", ":22", "a:0", "a:65536", "a:2-1", "a:1-", "*x:1", "a..b:1", "10.0.0.1/8:1", "10.0.0.0/33:1",
		"300.1.1.1:22", "10.0.0.9-10.0.0.1:1", "10.0.0.1-[::1]:1", "::1:22", "a b:1", "a:1,,b:1", "-x:1", "a:22x", "\xe4\xb8\xad:1" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(good); i++)
		assert_int_equal(sp_policy_forward_check(good[i]), SP_OK);
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		if (sp_policy_forward_check(bad[i]) != SP_EINVAL)
			fail_msg("accepted: %s", bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_row_is_judged_as_written),
		cmocka_unit_test(an_overlong_host_or_item_is_refused),
		cmocka_unit_test(what_cannot_be_read_is_refused_when_saved)
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
