/* tests/unit/lib/store/test_copy.c - a copy of the store, from both drivers, and noticing that a store is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"

static struct fx_server server;

static struct sp_store_user
add_user(struct sp_store *s, const char *login)
{
	struct sp_store_user u = { .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1, .epoch = 7 };

	sp_strlcpy(u.login, login, sizeof(u.login));
	sp_strlcpy(u.full_name, "\xe6\x95\xb0 ?'\"", sizeof(u.full_name));
	assert_int_equal(sp_store_user_add(s, &u), SP_OK);
	return u;
}

static struct sp_store *
copy_of(struct sp_store *s, char dir[64])
{
	struct sp_store *to;
	char url[128];

	sp_strlcpy(dir, "/tmp/sp-copy-XXXXXX", 64);
	assert_non_null(mkdtemp(dir));
	if (sp_store_copy(s, dir, 1 << SP_STORE_MAIN | 1 << SP_STORE_EVIDENCE) != SP_OK)
		fail_msg("%s", sp_store_detail(s));
	sp_snprintf(url, sizeof(url), "sqlite:%s", dir);
	assert_int_equal(sp_store_open(url, &(struct sp_store_opts){ .existing = 1 }, &to), SP_OK);
	assert_int_equal(sp_store_verify(to), SP_OK);
	return to;
}

static void
a_copy_has_every_row_and_answers_like_the_store(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s, *to;
	struct sp_store_user u, again;
	struct sp_store_asset a = { .port = 22, .state = SP_STORE_ACTIVE, .name = "web1", .address = "10.0.0.1" }, b;
	struct sp_store_secret k = { .name = "k", .kind = SP_STORE_SECRET_SSH_KEY, .secret_version = 1, .term = 1 }, k2;
	struct sp_store_session row = { .state = SP_STORE_LIVE, .user_login = "u1", .asset_name = "web1", .started_us = 5 }, row2;
	char dir[64], name[32], value[32];

	for (int i = 0; i < 2500; i++) {	/* more than one page of a cursor */
		sp_snprintf(name, sizeof(name), "u%d", i);
		u = add_user(s, name);
	}
	assert_int_equal(sp_store_asset_add(s, &a), SP_OK);
	k.ciphertext.len = 3;
	memcpy(k.ciphertext.b, "a\0b", 3);
	assert_int_equal(sp_store_secret_add(s, &k), SP_OK);
	sp_uuid_make(&row.id);
	assert_int_equal(sp_store_session_put(s, &row), SP_OK);
	assert_int_equal(sp_store_setting_set(s, "some.key", "some value"), SP_OK);
	to = copy_of(s, dir);
	for (int i = 0; i < 2500; i += 499) {
		sp_snprintf(name, sizeof(name), "u%d", i);
		assert_int_equal(sp_store_user_by_login(s, name, &u), SP_OK);
		assert_int_equal(sp_store_user_by_login(to, name, &again), SP_OK);
		assert_memory_equal(&u, &again, sizeof(u));
	}
	assert_int_equal(sp_store_asset_by_address(to, "10.0.0.1", 22, &b), SP_OK);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(sp_store_secret_get(to, &k.id, &k2), SP_OK);
	assert_memory_equal(&k, &k2, sizeof(k));
	assert_int_equal(sp_store_session_get(to, &row.id, &row2), SP_OK);
	assert_memory_equal(&row, &row2, sizeof(row));
	assert_int_equal(sp_store_setting_get(to, "some.key", value, sizeof(value)), SP_OK);
	assert_string_equal(value, "some value");
	(void)add_user(to, "written-to-the-copy");
	assert_int_equal(sp_store_user_by_login(s, "written-to-the-copy", &again), SP_ENOENT);
	sp_store_close(to);
	fx_remove_tree(dir);
}

static void
a_copy_is_never_made_inside_a_batch(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;

	assert_int_equal(sp_store_begin(s, SP_STORE_MAIN), SP_OK);
	assert_int_equal(sp_store_copy(s, "/nonexistent", 1), SP_ESTATE);
	sp_store_rollback(s);
	assert_int_not_equal(sp_store_copy(s, "/nonexistent", 1), SP_OK);
	assert_int_equal(sp_store_check(s), SP_OK);	/* the source is as it was */
	(void)add_user(s, "u");
}

static void
a_file_that_was_moved_away_or_replaced_is_noticed(void **state)
{
	struct fx *f = *state;
	FILE *fp;
	char from[128], to[128];
	struct sp_store *second;

	assert_int_equal(sp_store_check(f->s), SP_OK);
	sp_snprintf(from, sizeof(from), "%s/sallyport.db", f->dir);
	sp_snprintf(to, sizeof(to), "%s/gone.db", f->dir);
	assert_int_equal(rename(from, to), 0);
	assert_int_equal(sp_store_check(f->s), SP_EUNAVAIL);
	assert_int_equal(sp_store_open(f->url, &(struct sp_store_opts){ .existing = 1 }, &second), SP_EUNAVAIL);
	assert_int_not_equal(access(from, F_OK), 0);	/* and no empty one was made */
	assert_non_null(fp = fopen(from, "w"));
	assert_int_equal(fclose(fp), 0);
	assert_int_equal(sp_store_check(f->s), SP_EUNAVAIL);	/* another file in its place */
	assert_int_equal(rename(to, from), 0);
	assert_int_equal(sp_store_check(f->s), SP_OK);
}

static void
damage_is_found_by_reading_every_page(void **state)
{
	struct fx *f = *state;
	char path[128];
	uint8_t junk[2048];
	FILE *fp;

	for (int i = 0; i < 300; i++) {
		char name[32];

		sp_snprintf(name, sizeof(name), "u%d", i);
		(void)add_user(f->s, name);
	}
	sp_store_close(f->s);
	f->s = NULL;
	sp_snprintf(path, sizeof(path), "%s/sallyport.db", f->dir);
	memset(junk, 0xa5, sizeof(junk));
	assert_non_null(fp = fopen(path, "r+b"));
	assert_int_equal(fseek(fp, 0, SEEK_END), 0);
	assert_int_equal(fseek(fp, ftell(fp) / 4096 * 4096 - 3 * 4096, SEEK_SET), 0);	/* the newest pages */
	assert_int_equal(fwrite(junk, sizeof(junk), 1, fp), 1);
	assert_int_equal(fclose(fp), 0);
	assert_int_equal(sp_store_open(f->url, NULL, &f->s), SP_OK);
	assert_int_equal(sp_store_check(f->s), SP_OK);
	assert_int_equal(sp_store_verify(f->s), SP_ECORRUPT);
}

/* ---- the copy of either driver in an empty database */

static const struct sp_uuid restore1 = { .b = { 1 } }, restore2 = { .b = { 2 } };

static void
a_copy_put_into_a_database_is_the_store_again(void **state)
{
	struct fx *f = *state, to;
	struct sp_store_user u = { 0 }, again;
	struct sp_store_asset a = { .port = 22, .state = SP_STORE_ACTIVE, .name = "web1", .address = "10.0.0.1" }, b;
	struct sp_store_session row = { .state = SP_STORE_LIVE, .user_login = "u1", .asset_name = "web1", .started_us = 5 }, row2;
	char dir[64], name[32];
	int64_t first, next, last;

	for (int i = 0; i < 50; i++) {
		sp_snprintf(name, sizeof(name), "u%d", i);
		u = add_user(f->s, name);
	}
	a.owner_id = u.id;			/* NULLs, and references both ways round */
	assert_int_equal(sp_store_asset_add(f->s, &a), SP_OK);
	sp_uuid_make(&row.id);
	assert_int_equal(sp_store_session_put(f->s, &row), SP_OK);
	assert_int_equal(sp_store_outbox_add(f->s, "alarm.test", "x", 1, &first), SP_OK);
	assert_int_equal(sp_store_outbox_add(f->s, "alarm.test", "y", 1, &last), SP_OK);
	sp_store_close(copy_of(f->s, dir));
	assert_int_equal(fx_open(&to, &server), 0);
	if (sp_store_load(to.s, dir, &restore1) != SP_OK)
		fail_msg("%s", sp_store_detail(to.s));
	assert_int_equal(sp_store_user_by_login(to.s, "u7", &again), SP_OK);
	assert_int_equal(sp_store_user_by_login(f->s, "u7", &u), SP_OK);
	assert_memory_equal(&u, &again, sizeof(u));
	assert_int_equal(sp_store_asset_get(to.s, &a.id, &b), SP_OK);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(sp_store_session_get(to.s, &row.id, &row2), SP_OK);
	assert_memory_equal(&row, &row2, sizeof(row));
	assert_int_equal(sp_store_user_delete(to.s, &a.owner_id, u.version), SP_ESTATE);	/* the keys are in force: he owns an asset */
	assert_int_equal(sp_store_outbox_add(to.s, "alarm.test", "z", 1, &next), SP_OK);
	assert_int_equal(next, last + 1);
	/* The same restore once more changes nothing; another one finds a database that is not empty. */
	assert_int_equal(sp_store_load(to.s, dir, &restore1), SP_OK);
	assert_int_equal(sp_store_load(to.s, dir, &restore2), SP_EEXIST);
	assert_int_equal(sp_store_load(f->s, "/nonexistent", &restore2), f->pg != NULL ? SP_EUNAVAIL : SP_ESTATE);
	fx_close(&to);
	fx_remove_tree(dir);
}

static void
what_does_not_fit_leaves_the_database_empty(void **state)
{
	struct fx *f = *state, to, copy = { 0 };
	struct sp_store_user u;
	char dir[64];

	u = add_user(f->s, "u1");
	sp_store_close(copy_of(f->s, dir));
	sp_snprintf(copy.url, sizeof(copy.url), "sqlite:%s", dir);
	(void)sp_strlcpy(copy.dir, dir, sizeof(copy.dir));
	assert_int_equal(fx_sql(&copy, "PRAGMA foreign_keys=OFF; INSERT INTO user_recovery (id, user_id, hash, used_us, created_us, updated_us,"
	    " version) VALUES (x'00112233445566778899aabbccddeeff', x'ffffffffffffffffffffffffffffffff', 'h', 0, 1, 1, 1)"), 0);
	assert_int_equal(fx_open(&to, &server), 0);
	assert_int_not_equal(sp_store_load(to.s, dir, &restore1), SP_OK);	/* a recovery code of nobody */
	assert_int_equal(sp_store_user_by_login(to.s, "u1", &u), SP_ENOENT);
	assert_int_equal(fx_sql(&copy, "DELETE FROM user_recovery"), 0);
	assert_int_equal(sp_store_load(to.s, dir, &restore1), SP_OK);
	assert_int_equal(sp_store_user_by_login(to.s, "u1", &u), SP_OK);
	fx_close(&to);
	fx_remove_tree(dir);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
static const struct CMUnitTest both[] = {
	T(a_copy_has_every_row_and_answers_like_the_store),
	T(a_copy_is_never_made_inside_a_batch),
};
static const struct CMUnitTest embedded[] = {
	T(a_file_that_was_moved_away_or_replaced_is_noticed),
	T(damage_is_found_by_reading_every_page),
};

static const struct CMUnitTest loads[] = {
	T(a_copy_put_into_a_database_is_the_store_again),
	T(what_does_not_fit_leaves_the_database_empty),
};

int
main(void)
{
	int failed = cmocka_run_group_tests_name("copies of sqlite", both, NULL, NULL);

	failed += cmocka_run_group_tests_name("a file", embedded, NULL, NULL);
	if (fx_server_start(&server) != 0) {
		fx_server_stop(&server);
		return 1;
	}
	failed += cmocka_run_group_tests_name("copies of sqlite into postgresql", loads, NULL, NULL);
	fx_with = &server;
	failed += cmocka_run_group_tests_name("copies of postgresql into postgresql", loads, NULL, NULL);
	failed += cmocka_run_group_tests_name("copies of postgresql", both, NULL, NULL);
	fx_server_stop(&server);
	return failed > 0;
}
