/* tests/unit/lib/store/test_change.c - what an observer is told of: each column that a transaction changes, before and after; both drivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fixture.h"

struct heard {
	char	text[8192];	/* "table.column: before -> after" a line; "-" where there is no row */
	size_t	n;
};

static void
hear(const struct sp_store_change *c, void *arg)
{
	struct heard *h = arg;
	size_t at = strlen(h->text);

	h->n++;
	sp_snprintf(h->text + at, sizeof(h->text) - at, "%s.%s: %s -> %s\n", c->table, c->column, c->before != NULL ? c->before : "-",
	    c->after != NULL ? c->after : "-");
}

static void
ok(enum sp_err e)
{
	if (e != SP_OK)
		fail_msg("%s", sp_err_text(e));
}

static void
heard_is(struct heard *h, const char *want)
{
	assert_string_equal(h->text, want);
	*h = (struct heard){ 0 };
}

static void
has(const struct heard *h, const char *line)
{
	if (strstr(h->text, line) == NULL)
		fail_msg("%s is not in\n%s", line, h->text);
}

static void
each_column_that_changes_is_told_before_and_after(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct heard h = { 0 };
	struct sp_store_user u = { .login = "ann", .email = "a@example.org", .role = SP_STORE_ROLE_ADMIN, .state = SP_STORE_ACTIVE,
	    .os_uid = 1000, .password_hash = "$argon2id$..." }, stale;

	sp_store_observe(s, hear, &h);
	ok(sp_store_user_add(s, &u));
	heard_is(&h, "users.login: - -> ann\nusers.email: - -> a@example.org\nusers.role: - -> 3\nusers.state: - -> 1\n"
	    "users.password_hash: - -> (secret)\nusers.os_uid: - -> 1000\n");
	stale = u;
	sp_strlcpy(u.email, "b@example.org", sizeof(u.email));
	sp_strlcpy(u.password_hash, "$argon2id$other", sizeof(u.password_hash));
	u.os_uid = -1;
	ok(sp_store_user_update(s, &u));
	heard_is(&h, "users.email: a@example.org -> b@example.org\nusers.password_hash: (secret) -> (secret)\nusers.os_uid: 1000 -> \n");
	ok(sp_store_user_update(s, &u));	/* a new version, and else the same */
	heard_is(&h, "");
	assert_int_equal(sp_store_user_update(s, &stale), SP_ECONFLICT);
	assert_int_equal(sp_store_user_delete(s, &u.id, stale.version), SP_ECONFLICT);
	heard_is(&h, "");			/* what failed changed nothing */
	ok(sp_store_user_seen(s, &u.id, 77));	/* every login: no change that somebody made */
	heard_is(&h, "");
	ok(sp_store_user_delete(s, &u.id, SP_STORE_ANY_VERSION));
	has(&h, "users.email: b@example.org -> -\n");
	sp_store_observe(s, NULL, NULL);
	h = (struct heard){ 0 };
	u.id = (struct sp_uuid){ 0 };
	ok(sp_store_user_add(s, &u));
	assert_int_equal(h.n, 0);
}

static void
grants_tell_of_themselves_also_when_they_go_with_another_row(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct heard h = { 0 };
	struct sp_store_user u = { .login = "ann", .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };
	struct sp_store_asset a = { .name = "db1", .address = "192.0.2.1", .port = 22, .state = SP_STORE_ACTIVE };
	struct sp_store_grant g[3];

	ok(sp_store_user_add(s, &u));
	ok(sp_store_asset_add(s, &a));
	sp_store_observe(s, hear, &h);
	for (size_t i = 0; i < 3; i++) {
		g[i] = (struct sp_store_grant){ .subject_kind = SP_STORE_SUBJECT_USER, .subject_id = u.id, .object_kind = SP_STORE_OBJECT_ASSET,
		    .object_id = a.id, .protocols = SP_STORE_P_SHELL, .effect = SP_STORE_ALLOW, .record_mode = SP_STORE_RECORD_STRICT };
		sp_snprintf(g[i].accounts, sizeof(g[i].accounts), "account%zu", i);
	}
	ok(sp_store_grant_add(s, &g[0]));
	has(&h, "grants.accounts: - -> account0\n");
	ok(sp_store_grant_add_many(s, &g[1], 2, NULL));
	has(&h, "grants.accounts: - -> account1\n");
	has(&h, "grants.accounts: - -> account2\n");
	h = (struct heard){ 0 };
	ok(sp_store_grant_delete(s, &g[0].id, SP_STORE_ANY_VERSION));
	has(&h, "grants.accounts: account0 -> -\n");
	h = (struct heard){ 0 };
	ok(sp_store_asset_delete(s, &a.id, SP_STORE_ANY_VERSION));
	has(&h, "assets.name: db1 -> -\n");
	has(&h, "grants.accounts: account1 -> -\n");
	has(&h, "grants.accounts: account2 -> -\n");
	assert_null(strstr(h.text, "account0"));
}

static void
edges_tags_and_settings_tell_of_themselves(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct heard h = { 0 };
	struct sp_store_user u = { .login = "ann", .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };
	struct sp_store_group g = { .name = "ops" };
	struct sp_store_asset a = { .name = "db1", .address = "192.0.2.1", .port = 22, .state = SP_STORE_ACTIVE };
	struct sp_store_member m = { .kind = SP_STORE_SUBJECT_USER };

	ok(sp_store_user_add(s, &u));
	ok(sp_store_group_add(s, &g));
	ok(sp_store_asset_add(s, &a));
	m.group_id = g.id;
	m.member_id = u.id;
	sp_store_observe(s, hear, &h);
	ok(sp_store_group_member_add(s, &m));
	heard_is(&h, "user_edges.member: - -> yes\n");
	ok(sp_store_group_member_delete(s, &g.id, &u.id));
	heard_is(&h, "user_edges.member: yes -> -\n");
	assert_int_equal(sp_store_group_member_delete(s, &g.id, &u.id), SP_ENOENT);
	heard_is(&h, "");
	ok(sp_store_tag_set(s, &a.id, "tier", "gold"));
	ok(sp_store_tag_set(s, &a.id, "tier", "lead"));
	ok(sp_store_tag_set(s, &a.id, "tier", NULL));
	ok(sp_store_tag_set(s, &a.id, "tier", NULL));
	heard_is(&h, "asset_tags.tier: - -> gold\nasset_tags.tier: gold -> lead\nasset_tags.tier: lead -> -\n");
	ok(sp_store_setting_set(s, "a.setting", "1"));
	ok(sp_store_setting_set(s, "a.setting", "2"));
	heard_is(&h, "settings.value: - -> 1\nsettings.value: 1 -> 2\n");
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
	const struct CMUnitTest tests[] = {
		T(each_column_that_changes_is_told_before_and_after),
		T(grants_tell_of_themselves_also_when_they_go_with_another_row),
		T(edges_tags_and_settings_tell_of_themselves),
	};
	struct fx_server server;
	int failed = cmocka_run_group_tests_name("changes on sqlite", tests, NULL, NULL);

	if (fx_server_start(&server) != 0)
		return failed + 1;
	fx_with = &server;
	failed += cmocka_run_group_tests_name("changes on postgresql", tests, NULL, NULL);
	fx_server_stop(&server);
	return failed;
}
