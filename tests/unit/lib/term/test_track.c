/* tests/unit/lib/term/test_track.c - which line ran, told from keys and output. What real shells do is in
 * tests/e2e/test_lines.py; here are the rules that no shell shows on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "term/track.h"

struct seen {
	struct sp_track	*line;
	uint64_t	 now;
	char		 text[4096];	/* of all records: text, ! if certain, ? if not, * if hidden, ^ without Enter */
	unsigned	 ended;
};

static void
on_record(const struct sp_track_record *r, void *arg)
{
	struct seen *s = arg;

	size_t had = strlen(s->text);

	assert_int_equal(sp_snprintf(s->text + had, sizeof(s->text) - had, "%.*s%s%s|", (int)r->text.len,
	    r->text.len > 0 ? (const char *)r->text.p : "", r->hidden ? "*" : r->certain ? "!" : "?", r->no_enter ? "^" : ""), 0);
}

static void
on_end(uint64_t number, uint64_t end_us, void *arg)
{
	struct seen *s = arg;

	s->ended++;
	assert_true(end_us <= s->now);
}

static void
begin(struct seen *s)
{
	*s = (struct seen){ .now = 1000000 };
	assert_int_equal(sp_track_new(80, 24, on_record, on_end, s, &s->line), SP_OK);
}

static void
keys(struct seen *s, const char *p)
{
	s->now += 1000;
	sp_track_input(s->line, p, strlen(p), s->now);
}

static void
out(struct seen *s, const char *p)
{
	s->now += 1000;
	sp_track_output(s->line, p, strlen(p), s->now);
}

static void
pass(struct seen *s, uint64_t us)
{
	s->now += us;
	sp_track_tick(s->line, s->now);
}

static void
expect(struct seen *s, const char *text)
{
	sp_track_finish(s->line, s->now);
	assert_string_equal(s->text, text);
	sp_track_free(s->line);
}

static void
a_line_is_certain_when_screen_and_keys_agree(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "ls -l");
	out(&s, "ls -l");
	keys(&s, "\r");
	assert_string_equal(s.text, "");
	out(&s, "\r\n");
	expect(&s, "ls -l!|");
}

static void
what_was_typed_without_echo_has_no_text(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "Password: ");
	keys(&s, "hunter2\r");
	out(&s, "\r\n$ ");
	expect(&s, "*|");
}

static void
a_screen_that_disagrees_with_the_keys_is_uncertain(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "ls");
	out(&s, "rm -rf /");
	keys(&s, "\r");
	out(&s, "\r\n");
	expect(&s, "rm -rf /?|");
}

static void
one_blank_more_on_the_screen_is_a_disagreement(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "rm /x");
	out(&s, "rm / x");
	keys(&s, "\r");
	out(&s, "\r\n");
	expect(&s, "rm / x?|");
}

static void
a_tab_recalled_from_history_is_uncertain(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "\x1b[A");
	out(&s, "echo a   b");
	keys(&s, "\r");
	out(&s, "\r\n");
	expect(&s, "echo a   b?|");
}

static void
a_faked_prompt_does_not_move_the_start(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "x");
	out(&s, "x");
	keys(&s, "\r");
	out(&s, "\r\nroot@other:/# su\r\n$ ");	/* printed by a program: nobody typed it */
	keys(&s, "id");
	out(&s, "id");
	keys(&s, "\r");
	out(&s, "\r\n");
	expect(&s, "x!|id!|");
}

static void
a_line_that_never_shows_is_given_up_in_time(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "sleep 9");
	out(&s, "sleep 9");
	keys(&s, "\r");
	out(&s, "\r\n");
	keys(&s, "abc\r");
	pass(&s, SP_TRACK_LATE_US - 1);
	assert_string_equal(s.text, "sleep 9!|");
	pass(&s, 1);
	assert_string_equal(s.text, "sleep 9!|*|");
	expect(&s, "sleep 9!|*|");
}

static void
a_command_ends_when_its_prompt_is_back(void **state)
{
	struct seen s;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "ls");
	out(&s, "ls");
	keys(&s, "\r");
	out(&s, "\r\nfile\r\n");
	pass(&s, 500000);
	assert_int_equal(s.ended, 0);
	out(&s, "$ ");
	pass(&s, 500000);
	assert_int_equal(s.ended, 1);
	assert_false(sp_track_busy(s.line));
	expect(&s, "ls!|");
}

static void
enter_waits_for_the_echo_and_no_longer_than_it_may(void **state)
{
	struct sp_track_answer a = { 0 };
	struct seen s;
	uint64_t asked;

	begin(&s);
	out(&s, "$ ");
	keys(&s, "ls");
	asked = s.now;
	assert_false(sp_track_settled(s.line, asked, asked + SP_TRACK_WAIT_US - 1, &a));
	assert_true(sp_track_settled(s.line, asked, asked + SP_TRACK_WAIT_US, &a));
	assert_false(a.certain);
	out(&s, "ls");
	assert_true(sp_track_settled(s.line, asked, s.now, &a));
	assert_true(a.certain);
	assert_int_equal(a.text.len, 2);
	assert_memory_equal(a.text.p, "ls", 2);
	expect(&s, "");
}

static void
a_full_screen_program_is_never_waited_for(void **state)
{
	struct sp_track_answer a = { 0 };
	struct seen s;

	begin(&s);
	out(&s, "$ \x1b[?1049h\x1b[H\x1b[2J~\r\n~\x1b[H");
	keys(&s, "some text");
	assert_true(sp_track_settled(s.line, s.now, s.now, &a));
	keys(&s, "\r");
	out(&s, "some text\r\n\x1b[?1049l");
	keys(&s, "ls");
	out(&s, "ls");
	keys(&s, "\r");
	out(&s, "\r\n");
	expect(&s, "ls!|");
}

static void
only_bytes_that_may_run_a_line_are_held(void **state)
{
	assert_int_equal(sp_track_free_run("abc\rdef", 7), 3);
	assert_int_equal(sp_track_free_run("\n", 1), 0);
	assert_int_equal(sp_track_free_run("\x0f", 1), 0);
	assert_int_equal(sp_track_free_run("a\x1b[A\t\x7f", 6), 6);
}

static void
prompts_tell_login_and_host(void **state)
{
	static const struct { const char *prompt, *user, *host; } rows[] = {
		{ "root@web1:~# ", "root", "web1" }, { "[alice@db-2 ~]$ ", "alice", "db-2" }, { "mysql> ", NULL, NULL },
		{ "$ ", NULL, NULL }, { "@x ", NULL, NULL }, { "a@ ", NULL, NULL },
	};

	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		char user[SP_TRACK_NAME_MAX] = "", host[SP_TRACK_NAME_MAX] = "";

		assert_int_equal(sp_track_place(rows[i].prompt, user, host), rows[i].user != NULL);
		if (rows[i].user != NULL) {
			assert_string_equal(user, rows[i].user);
			assert_string_equal(host, rows[i].host);
		}
	}
}

static int
gone(struct seen *s, uint64_t asked_us, int *ret_ran)
{
	struct sp_track_answer a = { .certain = -1 };

	return sp_track_cleared(s->line, asked_us, s->now, &a, ret_ran) ? a.certain : -1;
}

/* "reboot" is typed and refused, and the keys that clear it went out. */
static uint64_t
refuse(struct seen *s)
{
	begin(s);
	out(s, "host:~$ ");
	keys(s, "reboot");
	out(s, "reboot");
	sp_track_clear(s->line);
	keys(s, "\x05\x15");
	return s->now;
}

static void
a_refused_line_is_gone_when_the_screen_shows_it(void **state)
{
	struct seen s;
	uint64_t asked = refuse(&s);
	int ran;

	(void)state;
	assert_int_equal(gone(&s, asked, &ran), -1);		/* still there: wait */
	out(&s, "\b\b\b\b\b\b\033[K");
	assert_int_equal(gone(&s, asked, &ran), 1);
	assert_int_equal(ran, 0);
	expect(&s, "");
}

static void
a_refused_line_that_stays_is_said_to_be_there(void **state)
{
	struct seen s;
	uint64_t asked = refuse(&s);
	int ran;

	(void)state;
	pass(&s, SP_TRACK_CLEAR_US);
	assert_int_equal(gone(&s, asked, &ran), 0);
	sp_track_free(s.line);
}

static void
a_refused_line_that_a_clearing_key_ran_is_noticed(void **state)
{
	struct seen s;
	uint64_t asked = refuse(&s);
	int ran;

	(void)state;
	out(&s, "\r\ngoing down\r\n");
	assert_int_equal(gone(&s, asked, &ran), 0);
	assert_int_equal(ran, 1);
	sp_track_free(s.line);
}

static void
a_refused_line_typed_before_its_prompt_is_gone_when_the_prompt_stands_alone(void **state)
{
	struct seen s;
	uint64_t asked;
	int ran;

	(void)state;
	begin(&s);
	out(&s, "$ ");
	keys(&s, "first\r");
	keys(&s, "reboot");
	out(&s, "first\r\nreboot$ reboot");
	sp_track_clear(s.line);
	keys(&s, "\x05\x15");
	asked = s.now;
	out(&s, "\r\033[Kx");
	assert_int_equal(gone(&s, asked, &ran), -1);
	out(&s, "\r$ \033[K");
	assert_int_equal(gone(&s, asked, &ran), 1);
	sp_track_free(s.line);
}

static void
a_prompt_says_the_directory(void **state)
{
	static const struct { const char *prompt, *dir; } rows[] = {
		{ "root@web1:/etc/ssh# ", "/etc/ssh" }, { "root@web1:~$ ", "~" }, { "[root@web1 ~]# ", "~" }, { "[a@b /x y]$ ", "/x y" },
		{ "web1> ", "" }, { "a@b", "" }, { "a@b: $ ", "" }, { "", "" }
	};
	char dir[SP_TRACK_PROMPT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		sp_track_directory(rows[i].prompt, dir);
		assert_string_equal(dir, rows[i].dir);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_certain_when_screen_and_keys_agree),
		cmocka_unit_test(what_was_typed_without_echo_has_no_text),
		cmocka_unit_test(a_screen_that_disagrees_with_the_keys_is_uncertain),
		cmocka_unit_test(one_blank_more_on_the_screen_is_a_disagreement),
		cmocka_unit_test(a_tab_recalled_from_history_is_uncertain),
		cmocka_unit_test(a_faked_prompt_does_not_move_the_start),
		cmocka_unit_test(a_line_that_never_shows_is_given_up_in_time),
		cmocka_unit_test(a_command_ends_when_its_prompt_is_back),
		cmocka_unit_test(enter_waits_for_the_echo_and_no_longer_than_it_may),
		cmocka_unit_test(a_full_screen_program_is_never_waited_for),
		cmocka_unit_test(only_bytes_that_may_run_a_line_are_held),
		cmocka_unit_test(prompts_tell_login_and_host),
		cmocka_unit_test(a_refused_line_is_gone_when_the_screen_shows_it),
		cmocka_unit_test(a_refused_line_that_stays_is_said_to_be_there),
		cmocka_unit_test(a_refused_line_that_a_clearing_key_ran_is_noticed),
		cmocka_unit_test(a_refused_line_typed_before_its_prompt_is_gone_when_the_prompt_stands_alone),
		cmocka_unit_test(a_prompt_says_the_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
