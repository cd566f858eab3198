/* tests/unit/src/siem/test_judge.c - entries under rules: what fires, once, also over a restart and over other rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "siem/judge.h"
#include "siem/memory.h"

#define REFUSED								\
	"title: refused\nname: refused\nlogsource: {product: sallyport, service: audit}\n"	\
	"detection:\n  s: {kind: command.refused, more.body.certain: true}\n  condition: s\n"	\
	"---\n"								\
	"title: three\ncorrelation:\n  type: event_count\n  rules: [refused]\n  group-by: [user_id]\n"	\
	"  timespan: 24h\n  condition: {gte: 3}\nsallyport:\n  rearm: reset\n"
#define PLAIN								\
	"title: tampered\nlogsource: {product: sallyport}\ndetection:\n  s: {kind: row.tampered}\n  condition: s\n"	\
	"sallyport: {property: kind}\n"
#define HOST								\
	"title: shadow\nlogsource: {product: linux, category: process_creation}\n"	\
	"detection:\n  s: {CommandLine|contains: /etc/shadow}\n  condition: s\n"

#define OPEN								\
	"title: opened\nlogsource: {product: sallyport, service: audit}\n"	\
	"detection:\n  s: {kind: channel.open, more.detail|contains: /etc/shadow}\n  condition: s\n"

struct seen {
	int		 n;
	struct judge_alert last;
	char		 rule[64], property[64];
	uint64_t	 events[8];
};

static void
on_alert(const struct judge_alert *a, void *arg)
{
	struct seen *s = arg;

	s->n++;
	s->last = *a;
	sp_strlcpy(s->rule, a->rule, sizeof(s->rule));
	sp_strlcpy(s->property, a->n > 0 ? a->property[0] : "", sizeof(s->property));
	for (size_t i = 0; i < a->n_events && i < SP_NELEMS(s->events); i++)
		s->events[i] = a->events[i];
}

static struct judge *
judge_with(const char *name, const char *text, struct judge *j)
{
	struct sp_rules_error e = { 0 };
	size_t dropped;

	if (j == NULL)
		assert_int_equal(judge_new(&j), SP_OK);
	assert_int_equal(judge_begin(j), SP_OK);
	if (judge_rule(j, name, text, &e) != SP_OK || judge_ready(j, &e, &dropped) != SP_OK)
		fail_msg("%s:%u: %s", e.file, e.line, e.why);
	return j;
}

static void
entry(struct judge *j, uint64_t seq, const char *kind, const char *user, const char *more, struct seen *s)
{
	char text[1024], at[SP_RFC3339_SIZE];

	sp_snprintf(text, sizeof(text), "{\"kind\":\"%s\",\"user_id\":\"%s\",\"wall\":\"%s\",\"seq\":%llu,\"more\":%s}", kind, user,
	    sp_rfc3339((int64_t)(1700000000 + seq) * 1000000, at, sizeof(at)), (unsigned long long)seq, more);
	assert_int_equal(judge_entry(j, seq, text, strlen(text), on_alert, s), SP_OK);
}
#define CERTAIN		"{\"body\":{\"certain\":true}}"
#define UNCERTAIN	"{\"body\":{\"certain\":false}}"

static void
the_third_certain_refusal_of_one_user_fires_and_counting_begins_anew(void **state)
{
	struct judge *j = judge_with("loop", REFUSED, NULL);
	struct seen s = { 0 };

	(void)state;
	entry(j, 1, "command.refused", "u1", CERTAIN, &s);
	entry(j, 2, "command.refused", "u2", CERTAIN, &s);
	entry(j, 3, "command.refused", "u1", UNCERTAIN, &s);
	entry(j, 4, "command.refused", "u1", CERTAIN, &s);
	assert_int_equal(s.n, 0);
	entry(j, 5, "command.refused", "u1", CERTAIN, &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.rule, "loop");
	assert_string_equal(s.property, "user_id");
	assert_string_equal(s.last.value[0], "u1");
	assert_int_equal(s.last.entry, 5);
	assert_int_equal(s.last.n_events, 3);
	assert_int_equal(s.events[0], 1);
	assert_int_equal(s.events[2], 5);
	entry(j, 6, "command.refused", "u1", CERTAIN, &s);
	entry(j, 7, "command.refused", "u1", CERTAIN, &s);
	assert_int_equal(s.n, 1);
	entry(j, 8, "command.refused", "u1", CERTAIN, &s);
	assert_int_equal(s.n, 2);
	judge_free(j);
}

static void
what_was_counted_outlives_a_restart_and_other_rules(void **state)
{
	char dir[] = "/tmp/sp-siem-XXXXXX";
	sp_auto(sp_buf_release) struct sp_buf b = { .max = MEMORY_MAX }, back = { .max = MEMORY_MAX };
	struct judge *j = judge_with("loop", REFUSED, NULL);
	struct seen s = { 0 };
	uint64_t upto = 0;
	size_t dropped;
	int fd;

	(void)state;
	entry(j, 1, "command.refused", "u1", CERTAIN, &s);
	j = judge_with("loop", REFUSED "---\n" PLAIN, j);
	entry(j, 2, "command.refused", "u1", CERTAIN, &s);
	assert_non_null(mkdtemp(dir));
	assert_int_not_equal(fd = open(dir, O_RDONLY | O_DIRECTORY), -1);
	assert_int_equal(memory_read(fd, &upto, &back), SP_ENOENT);
	assert_int_equal(judge_save(j, &b), SP_OK);
	assert_int_equal(memory_write(fd, 2, &b), SP_OK);
	judge_free(j);
	assert_int_equal(memory_read(fd, &upto, &back), SP_OK);
	assert_int_equal(upto, 2);
	j = judge_with("loop", REFUSED "---\n" PLAIN, NULL);
	assert_int_equal(judge_load(j, back.p, back.len, &dropped), SP_OK);
	assert_int_equal(dropped, 0);
	entry(j, 3, "command.refused", "u1", CERTAIN, &s);
	assert_int_equal(s.n, 1);
	judge_free(j);
	unlinkat(fd, "counts", 0);
	close(fd);
	rmdir(dir);
}

static void
a_damaged_file_is_refused(void **state)
{
	char dir[] = "/tmp/sp-siem-XXXXXX", path[64];
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 100 }, back = { .max = MEMORY_MAX };
	uint64_t upto;
	int fd, f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_not_equal(fd = open(dir, O_RDONLY | O_DIRECTORY), -1);
	assert_int_equal(sp_buf_append_str(&b, "counts of rules"), SP_OK);
	assert_int_equal(memory_write(fd, 9, &b), SP_OK);
	sp_snprintf(path, sizeof(path), "%s/counts", dir);
	assert_int_not_equal(f = open(path, O_RDWR), -1);
	assert_int_equal(pwrite(f, "7", 1, 17), 1);		/* another entry than the one it was written for */
	assert_int_equal(memory_read(fd, &upto, &back), SP_EFORMAT);
	assert_int_equal(ftruncate(f, 20), 0);
	assert_int_equal(memory_read(fd, &upto, &back), SP_EFORMAT);
	assert_int_equal(ftruncate(f, 0), 0);
	assert_int_equal(memory_read(fd, &upto, &back), SP_EFORMAT);
	assert_int_equal(back.len, 0);
	close(f);
	unlinkat(fd, "counts", 0);
	close(fd);
	rmdir(dir);
}

static void
closing_and_recovery_forget_but_time_does_not(void **state)
{
	static const struct {
		const char	*kind, *more;
		int		 forgets;
	} t[] = {
		{ "offense.close", "{\"property\":\"user_id\",\"value\":\"u1\",\"reason\":\"resolved\"}", 1 },
		{ "offense.close", "{\"property\":\"user_id\",\"value\":\"u1\",\"reason\":\"time\"}", 0 },
		{ "offense.close", "{\"property\":\"user_id\",\"value\":\"u2\",\"reason\":\"resolved\"}", 0 },
		{ "user.enable", "{}", 1 },
		{ "user.recover", "{}", 1 },
		{ "user.update", "{}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(t); i++) {
		struct judge *j = judge_with("loop", REFUSED, NULL);
		struct seen s = { 0 };

		entry(j, 1, "command.refused", "u1", CERTAIN, &s);
		entry(j, 2, "command.refused", "u1", CERTAIN, &s);
		entry(j, 3, t[i].kind, "u1", t[i].more, &s);
		entry(j, 4, "command.refused", "u1", CERTAIN, &s);
		assert_int_equal(s.n, !t[i].forgets);
		judge_free(j);
	}
}

static void
a_rule_alone_fires_about_what_it_names_and_nothing_feeds_itself(void **state)
{
	struct judge *j = judge_with("plain", PLAIN "---\n" "title: own\nlogsource: {product: sallyport}\ndetection:\n"
	    "  s: {kind|startswith: alert.}\n  condition: s\n", NULL);
	struct seen s = { 0 };

	(void)state;
	entry(j, 1, "row.tampered", "u1", "{}", &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.property, "kind");
	assert_string_equal(s.last.value[0], "row.tampered");
	entry(j, 2, "alert.raised", "u1", "{}", &s);
	assert_int_equal(s.n, 1);
	judge_free(j);
}

static void
a_command_of_a_session_is_a_process_on_a_host(void **state)
{
	struct judge *j = judge_with("host", HOST, NULL);
	struct seen s = { 0 };

	(void)state;
	entry(j, 1, "session.event", "u1", "{\"event\":\"command\",\"body\":{\"text\":\"cat /etc/shadow\"}}", &s);
	assert_int_equal(s.n, 1);
	assert_string_equal(s.property, "user_id");
	entry(j, 2, "session.event", "u1", "{\"event\":\"chunk\",\"body\":{\"text\":\"cat /etc/shadow\"}}", &s);
	assert_int_equal(s.n, 1);
	entry(j, 3, "session.event", "u1", "{\"event\":\"channel\",\"body\":{\"type\":\"exec\",\"detail\":\"cat /etc/shadow\"}}", &s);
	assert_int_equal(s.n, 2);
	entry(j, 4, "session.event", "u1", "{\"event\":\"channel\",\"body\":{\"type\":\"shell\",\"detail\":\"cat /etc/shadow\"}}", &s);
	assert_int_equal(s.n, 2);
	judge_free(j);
}

/* ssh host $'cat /etc/shadow #\xff': the log has its bytes in base64. */
static void
a_byte_that_is_no_text_hides_no_command(void **state)
{
	struct judge *j = judge_with("open", OPEN, NULL);
	struct seen s = { 0 };

	(void)state;
	entry(j, 1, "channel.open", "u1", "{\"detail\":\"cat /etc/shadow\"}", &s);
	assert_int_equal(s.n, 1);
	entry(j, 2, "channel.open", "u1", "{\"detail\":{\"base64\":\"Y2F0IC9ldGMvc2hhZG93ICP/\"}}", &s);
	assert_int_equal(s.n, 2);
	entry(j, 3, "channel.open", "u1", "{\"detail\":{\"base64\":\"not base64\"}}", &s);
	assert_int_equal(s.n, 2);
	judge_free(j);
}

static void
what_is_no_entry_is_refused_and_counts_nothing(void **state)
{
	static const char *const bad[] = { "", "[]", "{}", "{\"kind\":1,\"wall\":\"x\"}", "{\"kind\":\"a\",\"wall\":\"yesterday\"}", "{\"kind\":\"a\"", "null" };
	struct judge *j = judge_with("loop", REFUSED, NULL);
	struct seen s = { 0 };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(judge_entry(j, i + 1, bad[i], strlen(bad[i]), on_alert, &s), SP_EFORMAT);
	assert_int_equal(s.n, 0);
	judge_free(j);
}

static void
rules_that_do_not_load_leave_the_others_in_force(void **state)
{
	struct judge *j = judge_with("plain", PLAIN, NULL);
	struct sp_rules_error e = { 0 };
	struct seen s = { 0 };

	(void)state;
	assert_int_equal(judge_begin(j), SP_OK);
	assert_int_equal(judge_rule(j, "bad", "title: x\ndetection: {a: {b: c}, condition: nothing}\nlogsource: {}\n", &e), SP_EFORMAT);
	assert_string_equal(e.file, "bad");
	entry(j, 1, "row.tampered", "u1", "{}", &s);
	assert_int_equal(s.n, 1);
	judge_free(j);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_third_certain_refusal_of_one_user_fires_and_counting_begins_anew),
		cmocka_unit_test(what_was_counted_outlives_a_restart_and_other_rules),
		cmocka_unit_test(a_damaged_file_is_refused),
		cmocka_unit_test(closing_and_recovery_forget_but_time_does_not),
		cmocka_unit_test(a_rule_alone_fires_about_what_it_names_and_nothing_feeds_itself),
		cmocka_unit_test(a_command_of_a_session_is_a_process_on_a_host),
		cmocka_unit_test(a_byte_that_is_no_text_hides_no_command),
		cmocka_unit_test(what_is_no_entry_is_refused_and_counts_nothing),
		cmocka_unit_test(rules_that_do_not_load_leave_the_others_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
