/* tests/unit/lib/store/test_mac.c - rows that were changed behind the store's back are refused and named; both drivers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "fixture.h"

static const uint8_t key[SP_STORE_MAC_KEY] = "the key of the rows, for a test";
static struct fx_server server, *use_server;

struct world {
	struct fx		fx;
	struct sp_uuid		user, other, group, upper, asset, asset_group;
	struct sp_store_grant	direct, by_group;
};

#define ok(e) assert_int_equal((e), SP_OK)

static struct sp_uuid
add_user(struct sp_store *s, const char *login)
{
	struct sp_store_user u = { .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };

	sp_strlcpy(u.login, login, sizeof(u.login));
	ok(sp_store_user_add(s, &u));
	return u.id;
}

static struct sp_uuid
add_group(struct sp_store *s, const char *name)
{
	struct sp_store_group g = { 0 };

	sp_strlcpy(g.name, name, sizeof(g.name));
	ok(sp_store_group_add(s, &g));
	return g.id;
}

static struct sp_store_grant
add_grant(struct sp_store *s, int64_t kind, const struct sp_uuid *subject, int64_t okind, const struct sp_uuid *object, int64_t effect)
{
	struct sp_store_grant g = { .subject_kind = kind, .subject_id = *subject, .object_kind = okind, .object_id = *object,
	    .accounts = "*", .protocols = SP_STORE_P_SHELL, .effect = effect, .record_mode = SP_STORE_RECORD_STRICT };

	ok(sp_store_grant_add(s, &g));
	return g;
}

static void
join(struct sp_store *s, const struct sp_uuid *group, const struct sp_uuid *member, int64_t kind)
{
	struct sp_store_member m = { .group_id = *group, .member_id = *member, .kind = kind };

	ok(sp_store_group_member_add(s, &m));
}

/* alice in staff in everybody; web1 in servers; alice -> web1 directly, everybody -> servers. */
static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sp_store_asset a = { .name = "web1", .address = "10.0.0.1", .port = 22, .state = SP_STORE_ACTIVE };
	struct sp_store_asset_group ag = { .name = "servers" };
	struct sp_store_member m;
	struct sp_store *s;

	if (w == NULL || fx_open(&w->fx, use_server) != 0)
		return -1;
	*state = w;
	s = w->fx.s;
	ok(sp_store_mac_set(s, SP_STORE_MAC_ON, key));
	w->user = add_user(s, "alice");
	w->other = add_user(s, "mallory");
	w->group = add_group(s, "staff");
	w->upper = add_group(s, "everybody");
	join(s, &w->upper, &w->group, SP_STORE_SUBJECT_GROUP);
	join(s, &w->group, &w->user, SP_STORE_SUBJECT_USER);
	ok(sp_store_asset_add(s, &a));
	ok(sp_store_asset_group_add(s, &ag));
	w->asset = a.id;
	w->asset_group = ag.id;
	m = (struct sp_store_member){ .group_id = ag.id, .member_id = a.id, .kind = SP_STORE_OBJECT_ASSET };
	ok(sp_store_asset_member_add(s, &m));
	w->direct = add_grant(s, SP_STORE_SUBJECT_USER, &w->user, SP_STORE_OBJECT_ASSET, &a.id, SP_STORE_ALLOW);
	w->by_group = add_grant(s, SP_STORE_SUBJECT_GROUP, &w->upper, SP_STORE_OBJECT_ASSET_GROUP, &ag.id, SP_STORE_ALLOW);
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	fx_close(&w->fx);
	free(w);
	return 0;
}

/* A uuid as a literal of both dialects needs the driver's spelling. */
static const char *
lit(const struct world *w, const struct sp_uuid *u, char dst[64])
{
	size_t n = (size_t)sp_snprintf(dst, 64, "%s", w->fx.pg != NULL ? "'\\x" : "x'");

	n = strlen(dst);
	for (size_t i = 0; i < sizeof(u->b); i++, n += 2)
		sp_snprintf(dst + n, 64 - n, "%02x", u->b[i]);
	sp_snprintf(dst + n, 64 - n, "'");
	return dst;
}

static void
behind(struct world *w, const char *before, const struct sp_uuid *u, const char *between, const struct sp_uuid *v, const char *after)
{
	char sql[512], a[64] = "", b[64] = "";

	sp_snprintf(sql, sizeof(sql), "%s%s%s%s%s", before, u != NULL ? lit(w, u, a) : "", between, v != NULL ? lit(w, v, b) : "", after);
	assert_int_equal(fx_sql(&w->fx, sql), 0);
}

static int
count_grant(const struct sp_store_grant *g, void *arg)
{
	(void)g;
	++*(int *)arg;
	return 0;
}

static int
grants(struct world *w, const struct sp_uuid *user, enum sp_err want)
{
	int n = 0;

	assert_int_equal(sp_store_grants_for(w->fx.s, user, &w->asset, count_grant, &n), want);
	return n;
}

static void
found(struct world *w, const char *table, size_t want)
{
	struct sp_store_finding f[SP_STORE_FINDINGS_MAX];
	size_t n = sp_store_findings(w->fx.s, f), hits = 0;

	for (size_t i = 0; i < n; i++)
		hits += strcmp(f[i].table, table) == 0;
	assert_int_equal(hits, want);
}

struct named {
	struct sp_store_finding	f[8];
	size_t			n;
};

static int
name_one(const struct sp_store_finding *f, void *arg)
{
	struct named *k = arg;

	if (k->n < SP_NELEMS(k->f))
		k->f[k->n++] = *f;
	return 0;
}

static struct named
scan(struct world *w, uint32_t page)
{
	struct sp_store_scan at = { 0 };
	struct named k = { .n = 0 };

	while (!at.done)
		ok(sp_store_rows_scan(w->fx.s, &at, page, name_one, &k));
	return k;
}

static void
rows_that_the_store_wrote_are_believed(void **state)
{
	struct world *w = *state;
	struct sp_store *s = w->fx.s;
	struct sp_store_user u;

	assert_int_equal(grants(w, &w->user, SP_OK), 2);
	ok(sp_store_user_get(s, &w->user, &u));
	sp_strlcpy(u.full_name, "Alice", sizeof(u.full_name));
	ok(sp_store_user_update(s, &u));
	ok(sp_store_user_seen(s, &w->user, 77));
	ok(sp_store_user_get(s, &w->user, &u));
	assert_string_equal(u.full_name, "Alice");
	ok(sp_store_setting_set(s, "may_reveal.alice", "yes"));
	assert_int_equal(scan(w, 1).n, 0);
	assert_int_equal(scan(w, 1000).n, 0);
}

static void
a_changed_member_of_a_row_is_refused_and_named(void **state)
{
	struct world *w = *state;
	struct sp_store_user u = { .epoch = 99 };
	struct sp_store_asset a;
	struct named k;

	behind(w, "UPDATE users SET role = 3 WHERE id = ", &w->user, "", NULL, "");
	assert_int_equal(sp_store_user_get(w->fx.s, &w->user, &u), SP_ETAMPERED);
	assert_int_equal(sp_store_user_by_login(w->fx.s, "alice", &u), SP_ETAMPERED);
	assert_int_equal(u.epoch, 99);
	found(w, "users", 1);
	behind(w, "UPDATE assets SET address = '10.6.6.6' WHERE id = ", &w->asset, "", NULL, "");
	assert_int_equal(sp_store_asset_by_name(w->fx.s, "web1", &a), SP_ETAMPERED);
	k = scan(w, 1);
	assert_int_equal(k.n, 2);
	assert_string_equal(k.f[0].table, "users");
	assert_string_equal(k.f[1].table, "assets");
}

static void
an_accepted_row_is_believed_and_a_removed_one_is_gone(void **state)
{
	struct world *w = *state;
	char id[SP_UUID_SIZE];
	struct sp_store_user u;

	behind(w, "UPDATE users SET full_name = 'x' WHERE id = ", &w->user, "", NULL, "");
	assert_int_equal(sp_store_user_get(w->fx.s, &w->user, &u), SP_ETAMPERED);
	ok(sp_store_row_accept(w->fx.s, "users", sp_uuid_text(&w->user, id)));
	ok(sp_store_user_get(w->fx.s, &w->user, &u));
	assert_string_equal(u.full_name, "x");
	behind(w, "UPDATE grants SET valid_until_us = 0, mac = NULL WHERE id = ", &w->direct.id, "", NULL, "");
	ok(sp_store_row_remove(w->fx.s, "grants", sp_uuid_text(&w->direct.id, id)));
	assert_int_equal(scan(w, 0).n, 0);
	assert_int_equal(sp_store_row_accept(w->fx.s, "grants", id), SP_ENOENT);
	assert_int_equal(sp_store_row_accept(w->fx.s, "grants; --", id), SP_EINVAL);
	assert_int_equal(sp_store_row_accept(w->fx.s, "user_edges", id), SP_EINVAL);
}

static void
a_changed_grant_ends_the_decision(void **state)
{
	struct world *w = *state;

	behind(w, "UPDATE grants SET valid_until_us = valid_until_us + 1 WHERE id = ", &w->direct.id, "", NULL, "");
	(void)grants(w, &w->user, SP_ETAMPERED);
	found(w, "grants", 1);
}

static void
a_row_moved_to_another_id_is_refused(void **state)
{
	struct world *w = *state;
	struct sp_store_user u;

	behind(w, "UPDATE users SET mac = (SELECT mac FROM users WHERE id = ", &w->user, ") WHERE id = ", &w->other, "");
	assert_int_equal(sp_store_user_get(w->fx.s, &w->other, &u), SP_ETAMPERED);
}

static void
an_inserted_closure_row_gives_nothing(void **state)
{
	struct world *w = *state;
	struct named k;

	assert_int_equal(grants(w, &w->other, SP_OK), 0);
	behind(w, "INSERT INTO user_closure (leaf_id, node_id) VALUES (", &w->other, ", ", &w->upper, ")");
	assert_int_equal(grants(w, &w->other, SP_OK), 0);
	found(w, "user_closure", 1);
	k = scan(w, 1);
	assert_int_equal(k.n, 1);
	assert_string_equal(k.f[0].table, "user_closure");
	ok(sp_store_row_accept(w->fx.s, k.f[0].table, k.f[0].id));	/* made anew from the edges */
	assert_int_equal(scan(w, 0).n, 0);
}

/* A handle keeps what is between groups in memory: every write of another one is seen by the next question. */
static void
what_a_reader_keeps_of_groups_follows_every_write(void **state)
{
	struct world *w = *state;
	struct sp_store *s = w->fx.s, *reader = NULL;
	struct sp_store_asset_group top = { .name = "all servers" }, ag;
	struct sp_store_grant g = w->by_group, more;
	int n;

	ok(sp_store_open(w->fx.url, NULL, &reader));
	ok(sp_store_mac_set(reader, SP_STORE_MAC_ON, key));
#define SEES(want)	(n = 0, ok(sp_store_grants_for(reader, &w->user, &w->asset, count_grant, &n)), assert_int_equal(n, want))
	SEES(2);
	ok(sp_store_group_member_delete(s, &w->upper, &w->group));	/* a group leaves a group */
	SEES(1);
	join(s, &w->upper, &w->group, SP_STORE_SUBJECT_GROUP);
	SEES(2);
	more = add_grant(s, SP_STORE_SUBJECT_GROUP, &w->group, SP_STORE_OBJECT_ASSET_GROUP, &w->asset_group, SP_STORE_ALLOW);
	SEES(3);
	ok(sp_store_grant_delete(s, &more.id, SP_STORE_ANY_VERSION));
	SEES(2);
	ok(sp_store_asset_group_add(s, &top));
	g.object_id = top.id;						/* now on a group above, where the asset is not yet */
	ok(sp_store_grant_update(s, &g));
	SEES(1);
	ok(sp_store_asset_group_get(s, &w->asset_group, &ag));
	ag.parent_id = top.id;
	ok(sp_store_asset_group_update(s, &ag));
	SEES(2);
	more.id = (struct sp_uuid){ { 0 } };
	ok(sp_store_begin(s, SP_STORE_MAIN));				/* what is undone is not kept by its writer either */
	ok(sp_store_grant_add_many(s, &more, 1, NULL));
	assert_int_equal(grants(w, &w->user, SP_OK), 3);
	sp_store_rollback(s);
	assert_int_equal(grants(w, &w->user, SP_OK), 2);
	SEES(2);
	more.id = (struct sp_uuid){ { 0 } };
	ok(sp_store_grant_add_many(s, &more, 1, NULL));
	SEES(3);
	ok(sp_store_group_delete(s, &w->upper, SP_STORE_ANY_VERSION));
	SEES(2);
#undef SEES
	sp_store_close(reader);
}

/* Whoever writes past the store moves nothing that says so: what is kept ends by its age. */
static void
a_change_among_groups_behind_our_back_is_found_soon(void **state)
{
	struct world *w = *state;
	int n = 0;

	assert_int_equal(grants(w, &w->user, SP_OK), 2);
	behind(w, "UPDATE grants SET protocols = protocols + 1 WHERE id = ", &w->by_group.id, "", NULL, "");
	for (int i = 0; i < 200; i++) {
		enum sp_err r = sp_store_grants_for(w->fx.s, &w->user, &w->asset, count_grant, &n);

		if (r == SP_ETAMPERED)
			break;
		assert_int_equal(r, SP_OK);
		usleep(50000);
	}
	found(w, "grants", 1);
	behind(w, "UPDATE grants SET protocols = protocols - 1 WHERE id = ", &w->by_group.id, "", NULL, "");
	assert_int_equal(grants(w, &w->user, SP_OK), 2);
	behind(w, "UPDATE user_edges SET created_us = 7 WHERE child_id = ", &w->group, " AND parent_id = ", &w->upper, "");
	for (n = 2; n == 2; n = grants(w, &w->user, SP_OK))
		usleep(50000);
	assert_int_equal(n, 1);
	found(w, "user_edges", 1);
}

static void
a_closure_row_to_another_user_gives_nothing(void **state)
{
	struct world *w = *state;

	behind(w, "INSERT INTO user_closure (leaf_id, node_id) VALUES (", &w->other, ", ", &w->user, ")");
	assert_int_equal(grants(w, &w->other, SP_OK), 0);
	found(w, "user_closure", 1);
}

static void
an_inserted_edge_gives_nothing_and_can_be_removed(void **state)
{
	struct world *w = *state;
	struct named k;

	behind(w, "INSERT INTO user_edges (child_id, parent_id, child_kind, created_us) VALUES (", &w->other, ", ", &w->group, ", 1, 1)");
	behind(w, "INSERT INTO user_closure (leaf_id, node_id) VALUES (", &w->other, ", ", &w->group, ")");
	behind(w, "INSERT INTO user_closure (leaf_id, node_id) VALUES (", &w->other, ", ", &w->upper, ")");
	assert_int_equal(grants(w, &w->other, SP_OK), 0);
	found(w, "user_edges", 1);
	k = scan(w, 2);
	assert_int_equal(k.n, 1);
	assert_string_equal(k.f[0].table, "user_edges");
	ok(sp_store_row_remove(w->fx.s, k.f[0].table, k.f[0].id));
	assert_int_equal(scan(w, 0).n, 0);
	assert_int_equal(grants(w, &w->user, SP_OK), 2);
}

static void
a_deny_that_no_edge_proves_still_denies(void **state)
{
	struct world *w = *state;

	(void)add_grant(w->fx.s, SP_STORE_SUBJECT_GROUP, &w->group, SP_STORE_OBJECT_ASSET, &w->asset, SP_STORE_DENY);
	behind(w, "UPDATE user_edges SET mac = NULL WHERE child_id = ", &w->user, "", NULL, "");
	assert_int_equal(grants(w, &w->user, SP_OK), 2);	/* the direct one and the deny; everybody's is not proven */
}

static void
a_totp_step_put_back_is_refused(void **state)
{
	struct world *w = *state;
	struct sp_store_totp t = { .id = w->user };

	ok(sp_store_totp_add(w->fx.s, &t));
	ok(sp_store_totp_step(w->fx.s, &w->user, 1000));
	assert_int_equal(sp_store_totp_step(w->fx.s, &w->user, 1000), SP_EDENIED);
	t.confirmed = 1;
	ok(sp_store_totp_update(w->fx.s, &t));
	assert_int_equal(sp_store_totp_step(w->fx.s, &w->user, 999), SP_EDENIED);
	behind(w, "UPDATE user_totp SET last_step = 5 WHERE id = ", &w->user, "", NULL, "");
	assert_int_equal(sp_store_totp_step(w->fx.s, &w->user, 1000), SP_ETAMPERED);
}

static void
a_changed_setting_is_refused(void **state)
{
	struct world *w = *state;
	char v[16];

	behind(w, "INSERT INTO settings (key, value) VALUES ('may_reveal.mallory', 'yes')", NULL, "", NULL, "");
	assert_int_equal(sp_store_setting_get(w->fx.s, "may_reveal.mallory", v, sizeof(v)), SP_ETAMPERED);
	found(w, "settings", 1);
	ok(sp_store_row_remove(w->fx.s, "settings", "may_reveal.mallory"));
	assert_int_equal(sp_store_setting_get(w->fx.s, "may_reveal.mallory", v, sizeof(v)), SP_ENOENT);
}

static void
without_the_key_nothing_that_gives_power_is_written(void **state)
{
	struct world *w = *state;
	struct sp_store *s = w->fx.s;
	struct sp_store_group g = { .name = "new" };
	struct sp_store_member m = { .group_id = w->upper, .member_id = w->other, .kind = SP_STORE_SUBJECT_USER };
	struct sp_store_user u;

	ok(sp_store_mac_set(s, SP_STORE_MAC_SEALED, NULL));
	assert_int_equal(sp_store_group_add(s, &g), SP_ESEALED);
	assert_int_equal(sp_store_group_member_add(s, &m), SP_ESEALED);
	assert_int_equal(sp_store_setting_set(s, "may_reveal.x", "yes"), SP_ESEALED);
	ok(sp_store_setting_set(s, "internal.x", "1"));
	ok(sp_store_user_get(s, &w->user, &u));
	assert_int_equal(sp_store_user_update(s, &u), SP_ESEALED);
	assert_int_equal(sp_store_mac_set(s, SP_STORE_MAC_ON, NULL), SP_EINVAL);
}

static void
what_was_written_before_the_key_is_accepted_once_and_whole(void **state)
{
	struct world *w = *state;
	struct sp_store *s = w->fx.s;
	uint64_t n = 0;

	ok(sp_store_mac_set(s, SP_STORE_MAC_OFF, NULL));
	for (int i = 0; i < 40; i++) {
		char login[16];

		sp_snprintf(login, sizeof(login), "early%d", i);
		join(s, &w->group, (struct sp_uuid[]){ add_user(s, login) }, SP_STORE_SUBJECT_USER);
	}
	ok(sp_store_mac_set(s, SP_STORE_MAC_ON, key));
	assert_int_equal(scan(w, 7).n, 8);	/* as many as the test keeps */
	ok(sp_store_rows_accept_all(s, &n));
	assert_int_equal(n, 80);
	assert_int_equal(scan(w, 7).n, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
static const struct CMUnitTest tests[] = {
	T(rows_that_the_store_wrote_are_believed),
	T(a_changed_member_of_a_row_is_refused_and_named),
	T(an_accepted_row_is_believed_and_a_removed_one_is_gone),
	T(a_changed_grant_ends_the_decision),
	T(a_row_moved_to_another_id_is_refused),
	T(an_inserted_closure_row_gives_nothing),
	T(what_a_reader_keeps_of_groups_follows_every_write),
	T(a_change_among_groups_behind_our_back_is_found_soon),
	T(a_closure_row_to_another_user_gives_nothing),
	T(an_inserted_edge_gives_nothing_and_can_be_removed),
	T(a_deny_that_no_edge_proves_still_denies),
	T(a_totp_step_put_back_is_refused),
	T(a_changed_setting_is_refused),
	T(without_the_key_nothing_that_gives_power_is_written),
	T(what_was_written_before_the_key_is_accepted_once_and_whole),
};

int
main(void)
{
	int failed = cmocka_run_group_tests_name("row MACs on sqlite", tests, NULL, NULL);

	if (fx_server_start(&server) != 0) {
		fx_server_stop(&server);
		return 1;
	}
	use_server = &server;
	failed += cmocka_run_group_tests_name("row MACs on postgresql", tests, NULL, NULL);
	fx_server_stop(&server);
	return failed > 0;
}
