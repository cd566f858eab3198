/* tests/unit/lib/store/test_offense.c - detections, alerts, offenses and responses, asked of both drivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture.h"

static struct fx_server server;

#define ok(e) assert_ok((e), #e, s, __LINE__)
static void
assert_ok(enum sp_err e, const char *what, struct sp_store *s, int line)
{
	if (e != SP_OK)
		fail_msg("line %d: %s: %s (%s)", line, what, sp_err_name(e), sp_store_detail(s));
}

static struct sp_store *
store_of(void **state)
{
	return ((struct fx *)*state)->s;
}

static struct sp_store_offense
an_offense(const char *value, int64_t last_us)
{
	struct sp_store_offense o = { .property = "user_id", .title = "t", .category = "suspicious.other", .severity = 4,
	    .state = SP_STORE_OFFENSE_OPEN, .alerts = 1, .opened_us = 1, .last_us = last_us };

	sp_strlcpy(o.value, value, sizeof(o.value));
	return o;
}

static struct sp_store_alert
an_alert(const struct sp_uuid *offense, int64_t entry, const char *value)
{
	struct sp_store_alert a = { .offense_id = *offense, .rule = "r", .entry = entry, .property = "user_id", .title = "t", .severity = 4,
	    .at_us = 5, .events = "1,2,3" };

	sp_strlcpy(a.value, value, sizeof(a.value));
	return a;
}

static void
a_detection_is_known_by_its_name(void **state)
{
	struct sp_store *s = store_of(state);
	static struct sp_store_detection d = { .name = "one", .state = SP_STORE_ACTIVE, .text = "title: x\n\tlines, and \xe6\x9d\xa1\xe4\xbb\xb6\n" }, got;
	static struct sp_store_detection again = { .name = "one", .state = SP_STORE_ACTIVE, .text = "y" };

	ok(sp_store_detection_add(s, &d));
	ok(sp_store_detection_by_name(s, "one", &got));
	assert_string_equal(got.text, d.text);
	assert_int_equal(sp_store_detection_add(s, &again), SP_EEXIST);
	memset(d.text, 'x', SP_STORE_RULE_MAX);
	d.text[SP_STORE_RULE_MAX] = '\0';
	ok(sp_store_detection_update(s, &d));
	ok(sp_store_detection_get(s, &d.id, &got));
	assert_int_equal(strlen(got.text), SP_STORE_RULE_MAX);
	ok(sp_store_detection_delete(s, &d.id, d.version));
	assert_int_equal(sp_store_detection_by_name(s, "one", &got), SP_ENOENT);
}

static void
the_offense_about_something_is_the_one_that_is_not_closed(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_offense a = an_offense("alice", 10), b = an_offense("bob", 10), got;

	assert_int_equal(sp_store_offense_about(s, "user_id", "alice", &got), SP_ENOENT);
	ok(sp_store_offense_add(s, &a));
	ok(sp_store_offense_add(s, &b));
	ok(sp_store_offense_about(s, "user_id", "alice", &got));
	assert_true(sp_uuid_equal(&got.id, &a.id));
	assert_int_equal(sp_store_offense_about(s, "source", "alice", &got), SP_ENOENT);
	a.state = SP_STORE_OFFENSE_DORMANT;
	ok(sp_store_offense_update(s, &a));
	ok(sp_store_offense_about(s, "user_id", "alice", &got));
	a.state = SP_STORE_OFFENSE_CLOSED;
	ok(sp_store_offense_update(s, &a));
	assert_int_equal(sp_store_offense_about(s, "user_id", "alice", &got), SP_ENOENT);
}

static int
count(const struct sp_store_offense *o, void *arg)
{
	(void)o;
	++*(int *)arg;
	return 0;
}

static void
idle_are_those_of_a_state_that_nobody_protects(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_offense a = an_offense("a", 10), b = an_offense("b", 20), c = an_offense("c", 5);
	int n = 0;

	c.is_protected = 1;
	ok(sp_store_offense_add(s, &a));
	ok(sp_store_offense_add(s, &b));
	ok(sp_store_offense_add(s, &c));
	ok(sp_store_offenses_idle(s, SP_STORE_OFFENSE_OPEN, 20, 0, count, &n));
	assert_int_equal(n, 1);
	ok(sp_store_offenses_idle(s, SP_STORE_OFFENSE_OPEN, 21, 0, count, &n));
	assert_int_equal(n, 3);
	ok(sp_store_offenses_idle(s, SP_STORE_OFFENSE_DORMANT, 21, 0, count, &n));
	assert_int_equal(n, 3);
}

static int
last_response(const struct sp_store_response *r, void *arg)
{
	*(struct sp_store_response *)arg = *r;
	return 0;
}

static void
an_alert_is_there_once_and_its_responses_go_with_it(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_offense o = an_offense("x", 1);
	struct sp_store_alert a, again, got;
	struct sp_store_response r = { .action = "disable", .target = "x", .state = SP_STORE_RESPONSE_DONE, .done_us = 100 }, seen = { .action = "" };
	struct sp_store_query q = { 0 };
	int64_t n = 0;

	ok(sp_store_offense_add(s, &o));
	a = an_alert(&o.id, 7, "x");
	again = an_alert(&o.id, 7, "x");
	ok(sp_store_alert_add(s, &a));
	assert_int_equal(sp_store_alert_add(s, &again), SP_EEXIST);
	ok(sp_store_alert_of(s, "r", 7, "x", &got));
	assert_true(sp_uuid_equal(&got.id, &a.id));
	assert_string_equal(got.events, "1,2,3");
	assert_int_equal(sp_store_alert_of(s, "r", 8, "x", &got), SP_ENOENT);
	r.alert_id = a.id;
	r.offense_id = o.id;
	ok(sp_store_response_add(s, &r));
	q.of = o.id;
	ok(sp_store_response_list(s, &q, last_response, &seen));
	assert_string_equal(seen.action, "disable");
	ok(sp_store_responses_since(s, "disable", 100, &n));
	assert_int_equal(n, 1);
	ok(sp_store_responses_since(s, "disable", 101, &n));
	assert_int_equal(n, 0);
	ok(sp_store_responses_since(s, "kill", 0, &n));
	assert_int_equal(n, 0);
	r.state = SP_STORE_RESPONSE_ASKS;
	ok(sp_store_response_update(s, &r));
	ok(sp_store_responses_since(s, "disable", 0, &n));
	assert_int_equal(n, 0);
	ok(sp_store_offense_delete(s, &o.id, o.version));
	assert_int_equal(sp_store_alert_get(s, &a.id, &got), SP_ENOENT);
	assert_int_equal(sp_store_response_get(s, &r.id, &r), SP_ENOENT);
}

static int
logins(const struct sp_store_user *u, void *arg)
{
	sp_strlcpy(arg, u->login, 64);
	return 0;
}

static void
users_of_a_role(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user a = { .login = "a", .role = SP_STORE_ROLE_ADMIN, .state = SP_STORE_ACTIVE, .os_uid = -1 };
	struct sp_store_user b = { .login = "b", .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };
	char got[64] = "";

	ok(sp_store_user_add(s, &a));
	ok(sp_store_user_add(s, &b));
	ok(sp_store_users_of_role(s, SP_STORE_ROLE_ADMIN, logins, got));
	assert_string_equal(got, "a");
}

#define T(fn)	cmocka_unit_test_setup_teardown(fn, fx_setup, fx_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_detection_is_known_by_its_name),
		T(the_offense_about_something_is_the_one_that_is_not_closed),
		T(idle_are_those_of_a_state_that_nobody_protects),
		T(an_alert_is_there_once_and_its_responses_go_with_it),
		T(users_of_a_role),
	};
	int failed = cmocka_run_group_tests_name("offenses on sqlite", tests, NULL, NULL);

	if (fx_server_start(&server) != 0) {
		fx_server_stop(&server);
		return 1;
	}
	fx_with = &server;
	failed += cmocka_run_group_tests_name("offenses on postgresql", tests, NULL, NULL);
	fx_server_stop(&server);
	return failed > 0;
}
