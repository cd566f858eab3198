/* tests/unit/lib/policy/test_command.c - what counts as the server half of scp, as a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/access.h"
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

#define U SP_POLICY_FILE_UP
#define D SP_POLICY_FILE_DOWN
#define R "rsync --server -vlogDtpre.iLsfxCIvu "
#define RS "rsync --server --sender -vlogDtpre.iLsfxCIvu "

/* What may run under a grant of which directions, beside both, which lets everything run. */
static const struct {
	const char	*line;
	uint32_t	 allowed[2];	/* under up, under down: 1 if it may */
} rows[] = {
	{ "scp -t /tmp/x", { 1, 0 } }, { "scp -r -p -f /tmp/x", { 0, 1 } }, { "scp -f '*'", { 0, 1 } },
	{ "scp -f *.log", { 0, 0 } }, { "scp -f ~/x", { 0, 0 } }, { "scp -t ~", { 0, 0 } }, { "scp -t x[ab]", { 0, 0 } },
	{ "scp -f x; sh", { 0, 0 } }, { "scp -f $(sh)", { 0, 0 } }, { "/usr/bin/scp -f x", { 0, 0 } }, { "scp x y", { 0, 0 } },
	{ R ". /tmp/x", { 1, 0 } }, { RS ". /tmp/x", { 0, 1 } }, { RS ". a b 'c d'", { 0, 1 } }, { RS ". *.log", { 0, 0 } },
	{ "rsync --server -logDtpre.iLsfxCIvu --delete --partial --timeout=30 . x", { 1, 0 } },
	{ "rsync --server --sender -logDtpre.iLsfxCIvu --bwlimit=100 --numeric-ids . x", { 0, 1 } },
	/* arguments from the stream, files named by options, options that write or run something */
	{ "rsync --server --sender -slogDtpre.iLsfxCIvu . x", { 0, 0 } }, { "rsync --server -s", { 0, 0 } },
	{ "rsync --server --sender -lte.iLsfxCIvu --remove-source-files . x", { 0, 0 } },
	{ "rsync --server --sender -lte.iLsfxCIvu --log-file=/etc/x . x", { 0, 0 } },
	{ "rsync --server --sender -lte.iLsfxCIvu --files-from=x . /", { 0, 0 } },
	{ "rsync --server -lte.iLsfxCIvu --compare-dest=/etc . x", { 0, 0 } }, { "rsync --server --daemon .", { 0, 0 } },
	{ "rsync --server -lte.iLsfxCIvu --sender . x", { 0, 0 } }, { "rsync --server --sender . --x", { 0, 0 } },
	{ "rsync --server --sender -e sh . x", { 0, 0 } }, { "rsync -e sh x y", { 0, 0 } }, { RS ".", { 0, 0 } }, { RS ". ", { 0, 0 } },
	{ RS ". x ", { 0, 0 } }, { RS ". x; sh", { 0, 0 } }, { "rsync --server --sender -lt=x . x", { 0, 0 } },
	/* judged by their requests */
	{ "sftp-server", { 1, 1 } }, { "/usr/lib/openssh/sftp-server", { 1, 1 } }, { "internal-sftp", { 1, 1 } },
	{ "sftp-server -R", { 0, 0 } }, { "sftp-server;sh", { 0, 0 } }, { " sftp-server", { 0, 0 } },
	/* other commands are not the direction's business */
	{ "ls", { 1, 1 } }, { "cat scp", { 1, 1 } }, { "", { 1, 1 } }, { "scpx -t x", { 1, 1 } },
};

static void
directions_of_files_hold_for_transfers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const char *s = rows[i].line;
		size_t n = strlen(s);
		struct sp_policy_command c;

		sp_policy_command(s, n, &c);
		if ((sp_policy_command_refused(s, n, U) == NULL) != rows[i].allowed[0] ||
		    (sp_policy_command_refused(s, n, D) == NULL) != rows[i].allowed[1] || sp_policy_command_refused(s, n, U | D) != NULL)
			fail_msg("%s: up %s, down %s", s, sp_policy_command_refused(s, n, U), sp_policy_command_refused(s, n, D));
		if ((c.kind != SP_POLICY_NO_TRANSFER || strncmp(s, "rsync ", 6) == 0) && sp_policy_command_refused(s, n, 0) == NULL)
			fail_msg("%s: allowed in no direction", s);
	}
}

static void
paths_lose_their_quotes(void **state)
{
	static const struct { const char *word, *path; } words[] = { { "/tmp/x", "/tmp/x" }, { "'a b'", "a b" }, { "my\\ file", "my file" },
	    { "'it'\"'\"'s'", "it's" }, { "\"a b\"c", "a bc" } };
	char dst[32];

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		sp_policy_command_path(words[i].word, strlen(words[i].word), dst);
		assert_string_equal(dst, words[i].path);
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
		cmocka_unit_test(directions_of_files_hold_for_transfers),
		cmocka_unit_test(paths_lose_their_quotes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
