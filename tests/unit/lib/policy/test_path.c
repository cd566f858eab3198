/* tests/unit/lib/policy/test_path.c - rules for paths, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/attr.h"
#include "policy/access.h"
#include "policy/command.h"
#include "policy/path.h"

#define U	SP_POLICY_FILE_UP
#define D	SP_POLICY_FILE_DOWN
#define B	SP_POLICY_FILE_BOTH

static struct sp_path
path(const char *s)
{
	return (struct sp_path){ s, strlen(s) };
}

static void
a_pattern_fits_what_it_says(void **state)
{
	static const struct { const char *pattern, *path; int fits; } rows[] = {
		{ "/srv/app", "/srv/app", 1 }, { "/srv/app", "/srv/app/x", 0 }, { "/srv/app", "/srv/apple", 0 }, { "/srv/app", "/srv", 0 },
		{ "/srv/**", "/srv", 1 }, { "/srv/**", "/srv/a", 1 }, { "/srv/**", "/srv/a/b/c", 1 }, { "/srv/**", "/srvx", 0 }, { "/srv/**", "/", 0 },
		{ "/**", "/", 1 }, { "/**", "/a/b", 1 }, { "/", "/", 1 }, { "/", "/a", 0 },
		{ "/srv/*", "/srv/a", 1 }, { "/srv/*", "/srv/a/b", 0 }, { "/srv/*", "/srv", 0 }, { "/srv/*.log", "/srv/x.log", 1 },
		{ "/srv/*.log", "/srv/.log", 1 }, { "/srv/*.log", "/srv/x.log.gz", 0 }, { "/srv/a*b*c", "/srv/axbxbc", 1 }, { "/srv/a*b*c", "/srv/axbx", 0 },
		{ "/srv/**/x", "/srv/x", 1 }, { "/srv/**/x", "/srv/a/b/x", 1 }, { "/srv/**/x", "/srv/a/b/y", 0 }, { "/srv/**/x", "/srv/x/y", 0 },
		{ "/**/a/**/b", "/x/a/y/a/z/b", 1 }, { "/**/a/**/b", "/x/b/y/a", 0 }, { "/**/.ssh/**", "/home/u/.ssh/id", 1 }, { "/**/.ssh/**", "/home/u/.sshx/id", 0 },
		{ "/srv/?", "/srv/a", 1 }, { "/srv/?", "/srv/\xe4\xb8\xad", 1 }, { "/srv/?", "/srv/ab", 0 }, { "/srv/\\*", "/srv/*", 1 }, { "/srv/\\*", "/srv/a", 0 },
		{ "/srv/App", "/srv/app", 0 }, { "/C:/Data/**", "/c:/data/x", 1 }, { "/C:/Data/**", "/D:/data/x", 0 },
		{ "/a/**/b/**/c/**/d/**/e", "/a/b/c/d/b/c/d/b/c/d/x", 0 },
	};
	char rules[200];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		(void)snprintf(rules, sizeof(rules), "both\nallow:both:%s", rows[i].pattern);
		if (sp_policy_paths_check(rules + 5) != SP_OK || (sp_policy_paths_at(rules, path(rows[i].path)) == B) != rows[i].fits)
			fail_msg("%s and %s", rows[i].pattern, rows[i].path);
	}
}

static void
the_first_rule_that_fits_decides(void **state)
{
	static const char rules[] = "both\ndeny:both:/srv/app/secret/**\nallow:read:/srv/app/ro/**\ndeny:write:/srv/app/ro/**\nallow:both:/srv/app/**\n"
	    "allow:write:/drop/*";
	static const struct { const char *path; uint32_t open; } rows[] = {
		{ "/srv/app", B }, { "/srv/app/x", B }, { "/srv/app/secret", 0 }, { "/srv/app/secret/k", 0 }, { "/srv/app/ro/x", D }, { "/drop/x", U },
		{ "/drop", 0 }, { "/etc/passwd", 0 }, { "/srv", 0 }, { "/", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		if (sp_policy_paths_at(rules, path(rows[i].path)) != rows[i].open)
			fail_msg("%s", rows[i].path);
}

static void
what_is_no_resolved_path_is_refused(void **state)
{
	static const char *const bad[] = { "", "srv", "srv/app", ".", "/srv/", "//srv", "/srv//app", "/srv/./app", "/srv/../etc", "/srv/app/..", "~/x",
	    "/C:/a:b", "/C:/PROGRA~1", "/C:/a.", "/C:/a ", "/C:/a\\b", "/c:/x/y::$DATA" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		if (sp_policy_paths_at("both\nallow:both:/**", path(bad[i])) != 0)
			fail_msg("%s", bad[i]);
	assert_int_equal(sp_policy_paths_at("both\nallow:both:/**", (struct sp_path){ "/a\0b", 4 }), 0);
	assert_int_equal(sp_policy_paths_at("both\nallow:both:/**", path("/a~b/c:d/e. ")), B);	/* fine where there are no drives */
}

static void
below_is_certain_and_perhaps_misses_nothing(void **state)
{
	static const struct { const char *rules, *path; uint32_t below, perhaps; } rows[] = {
		{ "allow:both:/**", "/", B, B }, { "allow:both:/srv/**", "/srv/a", B, B }, { "allow:both:/srv/**", "/", 0, B },
		{ "allow:both:/srv/*", "/srv/a", 0, B }, { "allow:both:/srv/*", "/srv/a/b", 0, 0 }, { "deny:write:/etc/**\nallow:both:/**", "/", D, B },
		{ "deny:write:/etc/**\nallow:both:/**", "/srv", B, B }, { "deny:read:/**/.ssh/**\nallow:both:/**", "/srv", U, B },
		{ "deny:read:/srv/a/k\nallow:both:/srv/**", "/srv/a", U, B }, { "deny:read:/srv/a/k\nallow:both:/srv/**", "/srv/b", B, B },
		{ "deny:both:/srv/**\nallow:both:/**", "/srv/a", 0, 0 }, { "allow:read:/srv/a/b\ndeny:both:/srv/**\nallow:both:/**", "/srv/a", 0, D },
	};
	char rules[200];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		(void)snprintf(rules, sizeof(rules), "both\n%s", rows[i].rules);
		if (sp_policy_paths_below(rules, path(rows[i].path)) != rows[i].below || sp_policy_paths_perhaps(rules, path(rows[i].path)) != rows[i].perhaps)
			fail_msg("%s: %s", rows[i].rules, rows[i].path);
	}
}

static void
grants_unite_each_in_its_own_direction(void **state)
{
	static const char rules[] = "down\nallow:both:/a/**\nup\nallow:both:/b/**\nnone\nallow:both:/c/**\nboth\ndeny:both:/a/**\nallow:both:/d/**";

	(void)state;
	assert_int_equal(sp_policy_paths_at(rules, path("/a/x")), D);
	assert_int_equal(sp_policy_paths_at(rules, path("/b/x")), U);
	assert_int_equal(sp_policy_paths_at(rules, path("/c/x")), 0);
	assert_int_equal(sp_policy_paths_at(rules, path("/d/x")), B);
	assert_int_equal(sp_policy_paths_at("allow:both:/**", path("/x")), 0);		/* no grant's block */
}

static void
what_cannot_be_read_is_not_saved_and_opens_nothing(void **state)
{
	static const char *const bad[] = { "allow", "allow:both", "allow:both:", "allow:both:srv", "permit:both:/srv", "allow:all:/srv", "allow:both:/srv/",
	    "allow:both:/srv//a", "allow:both:/srv/../a", "allow:both:/srv/a**", "allow:both:/srv/**b", "allow:both:/srv/\x1b", "allow:both:/a\\", "\nallow:both:/**",
	    "deny:both:/etc/**", "allow:both:/\xff", "ALLOW:both:/" };
	static char big[3000] = "allow:both:/";
	char rules[400];

	(void)state;
	memset(big + 12, 'x', 2000);
	assert_int_equal(sp_policy_paths_check(""), SP_OK);
	assert_int_equal(sp_policy_paths_check(big), SP_EINVAL);
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		assert_int_equal(sp_policy_paths_check(bad[i]), SP_EINVAL);
		(void)snprintf(rules, sizeof(rules), "both\n%s\nallow:both:/**", bad[i]);
		if (i < 13 && sp_policy_paths_at(rules, path("/x")) != 0)
			fail_msg("%s opens", bad[i]);
	}
}

static void
what_the_target_cannot_be_asked_about_is_refused(void **state)
{
	static const char some[] = "both\nallow:both:/srv/**", reads[] = "both\ndeny:write:/etc/**\nallow:both:/**";
	static const struct { const char *line; int some, reads; } rows[] = {
		{ "scp -f /srv/x", 0, 1 }, { "scp -f *.log", 0, 1 }, { "scp -t /srv/x", 0, 0 }, { "scp -f x; sh", 0, 0 },
		{ "rsync --server --sender -e.iLsfxC . /srv/x", 0, 0 }, { "rsync x", 0, 0 }, { "git-upload-pack '/srv/r.git'", 0, 0 },
		{ "/usr/bin/git-receive-pack x", 0, 0 }, { "git upload-archive x", 0, 0 }, { "/usr/lib/openssh/sftp-server -R", 0, 0 },
		{ "sftp-server", 1, 1 }, { "/usr/lib/openssh/sftp-server", 1, 1 }, { "uptime", 1, 1 }, { "cat /etc/passwd", 1, 1 }, { "gitk", 1, 1 },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		if ((sp_policy_command_unruled(rows[i].line, strlen(rows[i].line), some) == NULL) != rows[i].some ||
		    (sp_policy_command_unruled(rows[i].line, strlen(rows[i].line), reads) == NULL) != rows[i].reads)
			fail_msg("%s", rows[i].line);
}

static void
a_decision_has_the_paths_of_all_grants(void **state)
{
	struct sp_policy_grant g[3] = {
		{ .name = "a", .accounts = "*", .protocols = SP_POLICY_SFTP, .mfa_interval_s = -1, .file_direction = B, .file_paths = "allow:both:/a/**" },
		{ .name = "b", .accounts = "*", .protocols = SP_POLICY_SFTP, .mfa_interval_s = -1, .file_direction = D },
		{ .name = "c", .accounts = "*", .protocols = SP_POLICY_SHELL, .mfa_interval_s = -1, .file_direction = B, .file_paths = "allow:both:/c/**" } };
	struct sp_policy_input in = { .now_us = 1, .user_state = SP_POLICY_ACTIVE, .asset_state = SP_POLICY_ACTIVE, .account = "root", .grant = g, .n = 3 };
	static struct sp_policy_decision d;

	(void)state;
	sp_policy_access(&in, &d, NULL, 0, NULL);
	assert_true(d.paths_ruled);
	assert_string_equal(d.file_paths, "both\nallow:both:/a/**\ndown\nallow:both:/**");	/* c moves no files */
	g[0].file_paths = "nonsense";
	sp_policy_access(&in, &d, NULL, 0, NULL);
	assert_true(d.paths_ruled);
	assert_string_equal(d.file_paths, "down\nallow:both:/**");
	g[0].file_paths = "";
	sp_policy_access(&in, &d, NULL, 0, NULL);
	assert_false(d.paths_ruled);
	assert_string_equal(d.file_paths, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pattern_fits_what_it_says), cmocka_unit_test(the_first_rule_that_fits_decides),
		cmocka_unit_test(what_is_no_resolved_path_is_refused), cmocka_unit_test(below_is_certain_and_perhaps_misses_nothing),
		cmocka_unit_test(grants_unite_each_in_its_own_direction), cmocka_unit_test(what_cannot_be_read_is_not_saved_and_opens_nothing),
		cmocka_unit_test(what_the_target_cannot_be_asked_about_is_refused), cmocka_unit_test(a_decision_has_the_paths_of_all_grants),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
