/* tests/unit/lib/policy/test_command.c - what counts as the server half of scp, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/command.h"

static const char *const good[] = {
	/* OpenSSH */
	"scp -t /tmp/", "scp -f big", "scp -v -r -p -d -t -- -name", "scp -p -t m.bin", "scp -r -f .", "scp -f *.log", "scp -f ~/x",
	"scp -f dir/[ab]?.txt",
	/* PuTTY, libssh2, WinSCP, paramiko's scp */
	"scp -v -r -t m.bin", "scp -pt '/tmp/a b'", "scp -pf '/tmp/a b'", "scp -r -p -d -t \"/home/a b\"", "scp -t 'it'\"'\"'s'",
	"scp -t my\\ file", "scp -q -t x", "scp -f '\xe4\xb8\xad\xe6\x96\x87 (1).txt'", "scp -f a=b,c:d@e+f_g-h",
	"scp -f '*'", "scp -t ''x", "scp -t \\(1\\)",
};
static const char *const bad[] = {
	"", "scp", "scp ", "scp -t", "scp -f", "scp -f ", "scp -t -f x", "scp -tt x", "scp x", "scp -p x", "scp -- x", "scp - x",
	"scp  -t x", " scp -t x", "scp -t x ", "scp -t  x", "scp -t x y", "scp\t-t x", "scp -t\tx", "scp -t x\n", "scp -t x\nsh",
	"/usr/bin/scp -t x", "Scp -t x", "scpx -t x", "sh -t x", "sudo scp -t x", "rsync --server . x", "FOO=1 scp -t x",
	/* options that run or read something else */
	"scp -S sh -t x", "scp -oProxyCommand=sh -t x", "scp -t -S sh", "scp --t x", "scp -F x -t y", "scp -t -x", "scp -t --y",
	"scp -D sh -f x",
	/* more than one command */
	"scp -f x; sh", "scp -f x;sh", "scp -f x&sh", "scp -f x&&sh", "scp -f x|sh", "scp -f x||sh", "scp -f `sh`", "scp -f $(sh)",
	"scp -f ${IFS}", "scp -f $HOME", "scp -f x>y", "scp -f x<y", "scp -f x #", "scp -f (sh)", "scp -f {a,b}", "scp -f !1", "scp -f x^y",
	"scp -f \"$(sh)\"", "scp -f \"`sh`\"", "scp -f \"a\\\"b\"", "scp -f %LC_X%", "scp -f '%LC_X%'", "scp -f 'x & calc'", "scp -f 'a;b'",
	"scp -f 'a\\'\\''; sh '\\'''", "scp -f 'open", "scp -f \"open", "scp -f x\\", "scp -f x\\;sh", "scp -f x\\\\", "scp -f \\$x",
	"scp -f 'a'; sh 'b'", "scp -f 'a' 'b'", "scp -f \x1b[2J", "scp -f \xff", "scp -f a\xe2\x80\xae" "b",
};

static void
what_scp_clients_send_is_scp(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (!sp_policy_command_is_scp(good[i], strlen(good[i])))
			fail_msg("refused: %s", good[i]);
}

static void
everything_else_is_a_command(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (sp_policy_command_is_scp(bad[i], strlen(bad[i])))
			fail_msg("taken for scp: %s", bad[i]);
}

static void
a_null_byte_and_a_huge_path_are_refused(void **state)
{
	static char big[10000] = "scp -t ";

	(void)state;
	assert_false(sp_policy_command_is_scp("scp -t x\0sh", 11));
	memset(big + 7, 'a', sizeof(big) - 7);
	assert_false(sp_policy_command_is_scp(big, sizeof(big)));
	assert_true(sp_policy_command_is_scp(big, 4000));
}

/* One more byte anywhere in a good line never smuggles in a sign that a shell acts upon. */
static void
no_inserted_sign_of_a_shell_is_taken(void **state)
{
	static const char signs[] = "&|<>;$`%^!\n\r\t";
	char line[128];

	(void)state;
	for (size_t g = 0; g < sizeof(good) / sizeof(*good); g++)
		for (size_t at = 0; at <= strlen(good[g]); at++)
			for (const char *c = signs; *c; c++) {
				int n = snprintf(line, sizeof(line), "%.*s%c%s", (int)at, good[g], *c, good[g] + at);

				if (sp_policy_command_is_scp(line, (size_t)n))
					fail_msg("taken for scp: %s", line);
			}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_scp_clients_send_is_scp),
		cmocka_unit_test(everything_else_is_a_command),
		cmocka_unit_test(a_null_byte_and_a_huge_path_are_refused),
		cmocka_unit_test(no_inserted_sign_of_a_shell_is_taken),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
