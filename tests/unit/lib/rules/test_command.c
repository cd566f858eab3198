/* Command lines against rules (lib/rules/command.h): which rule decides, for whom, and what is refused when it is saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/attr.h"
#include "rules/command.h"

#define RULE(sel)	"title: t\nlogsource: {product: linux}\ndetection:\n  s: {" sel "}\n  condition: s\n"

static const struct sp_command_place place = { .user = "alice", .role = "user", .asset = "web1", .account = "ops", .login = "deploy",
	.source = "192.0.2.1", .port = 22, .group = (const char *const[]){ "dba", "shift" }, .groups = 2, .tag = (const char *const[]){ "env=prod" },
	.tags = 1, .mode = SP_COMMAND_BLACK };

static enum sp_err
add(struct sp_commands *c, const char *name, int action, int priority, const char *text, struct sp_rules_error *err)
{
	struct sp_command_rule r = { .name = name, .set = "set", .message = "", .priority = priority, .action = action, .text = text,
	    .len = strlen(text) };

	return sp_commands_add(c, &r, err);
}

static struct sp_commands *
begin(void)
{
	struct sp_commands *c = NULL;

	assert_int_equal(sp_commands_new(&c), SP_OK);
	return c;
}

static void
rule(struct sp_commands *c, const char *name, int action, int priority, const char *text)
{
	struct sp_rules_error err = { .why = "" };

	if (add(c, name, action, priority, text, &err) != SP_OK)
		fail_msg("%s: %s", name, err.why);
}

static void
ready(struct sp_commands *c, int mode, int refuse_uncertain)
{
	struct sp_command_place p = place;
	struct sp_rules_error err;

	p.mode = mode;
	p.refuse_uncertain = refuse_uncertain;
	assert_int_equal(sp_commands_place(c, &p), SP_OK);
	assert_int_equal(sp_commands_ready(c, &err), SP_OK);
}

static struct sp_command_verdict
judge_as(struct sp_commands *c, const char *text, int uncertain, const char *user, const char *dir, int64_t now_us)
{
	struct sp_command_line l = { .text = text, .len = strlen(text), .uncertain = uncertain, .protocol = "shell", .user = user,
	    .directory = dir, .now_us = now_us };
	struct sp_command_verdict v;

	sp_commands_judge(c, &l, &v);
	return v;
}

static int
judge(struct sp_commands *c, const char *text)
{
	return judge_as(c, text, 0, NULL, NULL, INT64_C(1767225600000000)).action;	/* 2026-01-01, a Thursday, 00:00 */
}

static void
the_lowest_number_decides_and_at_a_tie_the_strictest(void **state)
{
	struct sp_commands *c = begin();
	struct sp_command_verdict v;

	(void)state;
	rule(c, "deny-all", SP_COMMAND_DENY, 50, RULE("Command: rm"));
	rule(c, "allow-tmp", SP_COMMAND_ALLOW, 10, RULE("CommandLine: 'rm /tmp/x'"));
	rule(c, "alert", SP_COMMAND_ALERT, 50, RULE("Command: rm"));
	rule(c, "kill-root", SP_COMMAND_KILL, 5, RULE("CommandLine: 'rm -rf /'"));
	ready(c, SP_COMMAND_BLACK, 0);
	assert_int_equal(judge(c, "rm y"), SP_COMMAND_DENY);
	assert_int_equal(judge(c, "rm /tmp/x"), SP_COMMAND_ALLOW);
	assert_int_equal(judge(c, "rm -rf /"), SP_COMMAND_KILL);
	assert_int_equal(judge(c, "rm /tmp/x; rm y"), SP_COMMAND_DENY);		/* each command by itself, the strictest counts */
	assert_int_equal(judge(c, "ls"), SP_COMMAND_ALLOW);
	v = judge_as(c, "ls; sudo rm y", 0, NULL, NULL, 0);
	assert_int_equal(v.rule, 0);
	assert_string_equal(v.word, "rm");
	sp_commands_free(c);
}

static void
a_word_is_a_word(void **state)
{
	static const struct { const char *line; int hit; } rows[] = {
		{ "su", 1 }, { "\\su -", 1 }, { "'s'u", 1 }, { "/bin/su", 1 }, { "/usr/sbin/../bin/su", 1 }, { "ls;su", 1 }, { "sudo su", 1 },
		{ "sh -c 'exec su'", 1 }, { "x=$(su)", 1 }, { "SU=1 su", 1 }, { "/tmp/su", 0 }, { "./su", 0 }, { "ls /tmp/su", 0 },
		{ "cd su-dir", 0 }, { "echo su", 0 }, { "# su", 0 }, { "sudo -l", 0 }
	};
	struct sp_commands *c = begin();

	(void)state;
	rule(c, "su", SP_COMMAND_DENY, 50, RULE("Command: su"));
	ready(c, SP_COMMAND_BLACK, 0);
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		if ((judge(c, rows[i].line) == SP_COMMAND_DENY) != rows[i].hit)
			fail_msg("%s", rows[i].line);
	sp_commands_free(c);
}

static void
rules_look_at_who_where_and_when(void **state)
{
	static const struct { const char *sel; const char *user, *dir; int hit; } rows[] = {
		{ "user.name: alice", NULL, NULL, 1 }, { "user.name: bob", NULL, NULL, 0 }, { "user.groups: shift", NULL, NULL, 1 },
		{ "asset.tags: env=prod", NULL, NULL, 1 }, { "account.login: deploy", NULL, NULL, 1 }, { "port: 22", NULL, NULL, 1 },
		{ "source.ip|cidr: 192.0.2.0/24", NULL, NULL, 1 }, { "protocol: shell", NULL, NULL, 1 }, { "protocol: exec", NULL, NULL, 0 },
		{ "User: root", "root", NULL, 1 }, { "User: root", "bob", NULL, 0 }, { "User: root", NULL, NULL, 0 },
		{ "CurrentDirectory|startswith: /etc", NULL, "/etc/ssh", 1 }, { "CurrentDirectory|startswith: /etc", NULL, NULL, 0 },
		{ "time.day: thu", NULL, NULL, 1 }, { "time.hour: 0", NULL, NULL, 1 }, { "time.clock: '00:00'", NULL, NULL, 1 },
		{ "Args: '-v'", NULL, NULL, 1 }, { "words: tool", NULL, NULL, 1 }, { "Writes: /tmp/o", NULL, NULL, 1 }, { "PipeTo: cat", NULL, NULL, 1 },
		{ "Assigns: A=1", NULL, NULL, 1 }, { "Image: /usr/bin/tool", NULL, NULL, 1 }, { "CommandLine: tool -v", NULL, NULL, 1 },
		{ "Line|endswith: '| cat'", NULL, NULL, 1 }, { "Given: 'true'", NULL, NULL, 0 }, { "certain: 'true'", NULL, NULL, 1 }
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_commands *c = begin();

		sp_snprintf(text, sizeof(text), RULE("%s"), rows[i].sel);
		rule(c, "r", SP_COMMAND_DENY, 50, text);
		ready(c, SP_COMMAND_BLACK, 0);
		if ((judge_as(c, "A=1 tool -v >/tmp/o | cat", 0, rows[i].user, rows[i].dir, INT64_C(1767225600000000)).action ==
		    SP_COMMAND_DENY) != rows[i].hit)
			fail_msg("%s", rows[i].sel);
		sp_commands_free(c);
	}
}

static void
what_is_unknown_is_what_the_rule_says(void **state)
{
	struct sp_commands *c = begin();

	(void)state;
	rule(c, "skips", SP_COMMAND_WARN, 50, RULE("Command: su"));
	rule(c, "matches", SP_COMMAND_DENY, 50, "title: t\nlogsource: {product: linux}\ndetection:\n  s: {Command: halt}\n  condition: s\n"
	    "sallyport: {unknown: match}\n");
	ready(c, SP_COMMAND_BLACK, 0);
	assert_int_equal(judge(c, "$x"), SP_COMMAND_DENY);
	assert_int_equal(judge(c, "su"), SP_COMMAND_WARN);
	assert_int_equal(judge(c, "ls"), SP_COMMAND_ALLOW);
	sp_commands_free(c);
}

static void
a_white_list_allows_what_a_rule_allows(void **state)
{
	static const struct { const char *line; int ok; } rows[] = {
		{ "ls", 1 }, { "ls -l | grep x", 1 }, { "", 1 }, { "  # nothing", 1 }, { "ls; id", 0 }, { "ls $(id)", 0 }, { "$x", 0 }, { "l?", 0 },
		{ "sudo ls", 0 }, { "for i in 1; do ls; done", 1 }, { "ls >/tmp/x", 1 }, { "> /tmp/x", 0 }
	};
	struct sp_commands *c = begin();

	(void)state;
	rule(c, "ls", SP_COMMAND_ALLOW, 50, RULE("Command: [ls, grep]"));
	ready(c, SP_COMMAND_WHITE, 1);
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		if ((judge(c, rows[i].line) == SP_COMMAND_ALLOW) != rows[i].ok)
			fail_msg("%s", rows[i].line);
	assert_int_equal(judge_as(c, "ls", 1, NULL, NULL, 0).action, SP_COMMAND_DENY);	/* uncertain */
	assert_int_equal(judge_as(c, "", 1, NULL, NULL, 0).action, SP_COMMAND_DENY);	/* not known at all */
	sp_commands_free(c);
}

static void
uncertain_lines_are_as_the_grant_says(void **state)
{
	struct sp_commands *c = begin(), *d = begin();

	(void)state;
	rule(c, "su", SP_COMMAND_DENY, 50, RULE("Command: su"));
	ready(c, SP_COMMAND_BLACK, 0);
	ready(d, SP_COMMAND_BLACK, 1);
	assert_int_equal(judge_as(c, "ls", 1, NULL, NULL, 0).action, SP_COMMAND_ALLOW);
	assert_int_equal(judge_as(c, "su", 1, NULL, NULL, 0).action, SP_COMMAND_DENY);
	assert_true(judge_as(c, "su", 1, NULL, NULL, 0).uncertain);
	assert_int_equal(judge_as(d, "ls", 1, NULL, NULL, 0).action, SP_COMMAND_DENY);
	assert_int_equal(judge(d, "ls"), SP_COMMAND_ALLOW);
	sp_commands_free(c);
	sp_commands_free(d);
}

static void
shadow_and_expired_rules_decide_nothing(void **state)
{
	struct sp_command_rule r = { .name = "s", .set = "set", .message = "", .priority = 1, .action = SP_COMMAND_KILL, .shadow = 1,
	    .text = RULE("Command: su"), .len = strlen(RULE("Command: su")) };
	struct sp_commands *c = begin();
	struct sp_rules_error err;
	struct sp_command_verdict v;

	(void)state;
	assert_int_equal(sp_commands_add(c, &r, &err), SP_OK);
	r = (struct sp_command_rule){ .name = "e", .set = "set", .message = "", .priority = 2, .action = SP_COMMAND_ALLOW, .expires_us = 1000,
	    .text = r.text, .len = r.len };
	assert_int_equal(sp_commands_add(c, &r, &err), SP_OK);
	rule(c, "d", SP_COMMAND_DENY, 3, RULE("Command: su"));
	ready(c, SP_COMMAND_BLACK, 0);
	v = judge_as(c, "su", 0, NULL, NULL, 999);
	assert_int_equal(v.action, SP_COMMAND_ALLOW);
	assert_int_equal(v.shadow, 0);
	v = judge_as(c, "su", 0, NULL, NULL, 1000);
	assert_int_equal(v.action, SP_COMMAND_DENY);
	assert_int_equal(v.rule, 2);
	assert_int_equal(v.shadow, 0);
	sp_commands_free(c);
}

static void
what_cannot_be_meant_is_refused(void **state)
{
	static const struct { const char *text; int action, priority; const char *why; } rows[] = {
		{ "title: [", SP_COMMAND_DENY, 50, "" }, { "", SP_COMMAND_DENY, 50, "" },
		{ RULE("Command: x") "---\n" RULE("Command: y"), SP_COMMAND_DENY, 50, "exactly one" },
		{ RULE("Line|contains: x"), SP_COMMAND_ALLOW, 50, "CommandLine" },
		{ RULE("Command: x") "sallyport: {unknown: match}\n", SP_COMMAND_ALLOW, 50, "unknown" },
		{ RULE("Command: x"), SP_COMMAND_DENY, 0, "1 to 100" }, { RULE("Command: x"), SP_COMMAND_DENY, 101, "1 to 100" },
		{ RULE("Command: x"), 99, 50, "action" }, { RULE("Command|re: '(('"), SP_COMMAND_DENY, 50, "" }
	};
	struct sp_commands *c = begin();

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_rules_error err = { .why = "" };

		assert_int_not_equal(add(c, "r", rows[i].action, rows[i].priority, rows[i].text, &err), SP_OK);
		if (err.why[0] == '\0' || strstr(err.why, rows[i].why) == NULL)
			fail_msg("row %zu: %s", i, err.why);
	}
	ready(c, SP_COMMAND_BLACK, 0);			/* and nothing of them is kept */
	assert_int_equal(sp_commands_n(c), 0);
	assert_int_equal(judge(c, "x"), SP_COMMAND_ALLOW);
	sp_commands_free(c);
}

static void
what_cannot_be_judged_is_denied(void **state)
{
	struct sp_commands *c = begin(), *w = begin();
	char *p = malloc(SP_CMDLINE_MAX + 2);

	(void)state;
	assert_non_null(p);
	assert_int_equal(judge(c, "ls"), SP_COMMAND_DENY);		/* never made ready */
	ready(c, SP_COMMAND_BLACK, 0);
	memset(p, 'a', SP_CMDLINE_MAX + 1);
	p[SP_CMDLINE_MAX + 1] = '\0';
	assert_int_equal(judge(c, p), SP_COMMAND_DENY);			/* too long */
	rule(w, "a", SP_COMMAND_ALLOW, 50, RULE("Command: a"));
	ready(w, SP_COMMAND_WHITE, 0);
	for (size_t i = 0; i < 8000; i++)
		p[i] = i % 2 ? ';' : 'a';
	p[8000] = '\0';
	assert_int_equal(judge(w, p), SP_COMMAND_DENY);			/* more commands than are looked at */
	sp_commands_free(c);
	sp_commands_free(w);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_lowest_number_decides_and_at_a_tie_the_strictest),
		cmocka_unit_test(a_word_is_a_word),
		cmocka_unit_test(rules_look_at_who_where_and_when),
		cmocka_unit_test(what_is_unknown_is_what_the_rule_says),
		cmocka_unit_test(a_white_list_allows_what_a_rule_allows),
		cmocka_unit_test(uncertain_lines_are_as_the_grant_says),
		cmocka_unit_test(shadow_and_expired_rules_decide_nothing),
		cmocka_unit_test(what_cannot_be_meant_is_refused),
		cmocka_unit_test(what_cannot_be_judged_is_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
