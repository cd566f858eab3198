/* tests/unit/lib/store/test_drivers.c - what only one driver can show: SQLite's query plan, a full disk, a damaged
 * file; PostgreSQL's query plan, and its server going away, coming back, and standing still. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "fixture.h"
#include "store/db.h"

static struct fx_server server;

static struct sp_store_user
a_user(const char *login)
{
	struct sp_store_user u = { .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };

	sp_strlcpy(u.login, login, sizeof(u.login));
	return u;
}

static int
ignore(const struct sp_store_grant *g, void *arg)
{
	(void)g;
	(void)arg;
	return 0;
}

/* Every table of the decision is searched by an index; none is scanned, and none is sorted into by a full read. */
static void
plan_check(sqlite3 *db, const char *select, const char *index, int want)
{
	char sql[8192];
	sqlite3_stmt *st;
	int searches = 0, pair = 0;

	snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", select);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		const char *line = (const char *)sqlite3_column_text(st, 3);

		if (strncmp(line, "SCAN", 4) == 0)
			fail_msg("the decision scans: %s", line);
		searches += strncmp(line, "SEARCH", 6) == 0;
		pair += strstr(line, index) != NULL;
	}
	sqlite3_finalize(st);
	assert_int_equal(searches, want);
	assert_int_equal(pair, 1);
}

/* Both ways: the plain one, inside a transaction, and the statements of the quick one. */
static void
plans_check(sqlite3 *db, const struct sp_store *s)
{
	plan_check(db, s->sql_grants_for, "grants_pair (subject_id=? AND object_id=?)", 3);
	plan_check(db, s->sql_quick[0], "grants_pair (subject_id=? AND object_id=?)", 2);
	plan_check(db, s->sql_quick[1], "grants_object (object_id=? AND subject_id=?)", 2);
	plan_check(db, SP_GROUPS_PAIRS_SQL, "COVERING INDEX grants_groups (subject_id=?)", 1);
}

static void
one_access_decision_reads_indexes_whatever_the_statistics_say(void **state)
{
	struct fx f;
	struct sp_uuid none;
	char path[128];
	sqlite3 *db;

	(void)state;
	assert_int_equal(fx_open(&f, NULL), 0);
	sp_uuid_make(&none);
	assert_int_equal(sp_store_grants_for(f.s, &none, &none, ignore, NULL), SP_OK);
	assert_int_equal(sp_store_begin(f.s, SP_STORE_MAIN), SP_OK);
	assert_int_equal(sp_store_grants_for(f.s, &none, &none, ignore, NULL), SP_OK);
	sp_store_rollback(f.s);
	assert_non_null(f.s->sql_grants_for);
	snprintf(path, sizeof(path), "%s/sallyport.db", f.dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	plans_check(db, f.s);
	/* statistics that would tempt a planner to begin with grants */
	assert_int_equal(sqlite3_exec(db, "ANALYZE; DELETE FROM sqlite_stat1; INSERT INTO sqlite_stat1 VALUES ('grants', 'grants_pair', '1 1 1'),"
	    " ('user_closure', 'user_closure', '10000000 100000 1'), ('asset_closure', 'asset_closure', '10000000 100000 1')", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	plans_check(db, f.s);
	sqlite3_close(db);
	fx_close(&f);
}

static void
a_file_that_is_no_database_is_called_damage(void **state)
{
	char dir[] = "/tmp/sp-lite-XXXXXX", path[64], url[64];
	static const char junk[8192] = "this is not a database, and never was one";
	struct sp_store *s = NULL;
	FILE *f;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sallyport.db", dir);
	snprintf(url, sizeof(url), "sqlite:%s", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(junk, sizeof(junk), 1, f), 1);
	fclose(f);
	assert_int_equal(sp_store_open(url, NULL, &s), SP_ECORRUPT);
	assert_null(s);
	fx_remove_tree(dir);
	assert_int_equal(sp_store_open(url, NULL, &s), SP_EUNAVAIL);	/* no directory at all */
}

static void
the_database_files_are_for_their_owner_only(void **state)
{
	static const char *const names[] = { "sallyport.db", "sallyport.db-wal", "sallyport.db-shm", "evidence.db" };
	struct fx f;
	struct stat st;
	char path[128];

	(void)state;
	assert_int_equal(fx_open(&f, NULL), 0);
	for (size_t i = 0; i < SP_NELEMS(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", f.dir, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	fx_close(&f);
}

/* In a child with a mount namespace of its own: 0 when all was as it should be, else the number of the step. */
static int
on_a_small_disk(void)
{
	char dir[] = "/tmp/sp-full-XXXXXX", url[64], login[32];
	int flags = geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER;
	struct sp_store *s;
	struct sp_store_user u, kept = a_user("kept");
	enum sp_err r = SP_OK;
	int added = 0;

	if (mkdtemp(dir) == NULL || unshare(flags) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
	    mount("tmpfs", dir, "tmpfs", 0, "size=2m") != 0)
		return 1;
	snprintf(url, sizeof(url), "sqlite:%s", dir);
	if (sp_store_open(url, NULL, &s) != SP_OK || sp_store_migrate(s) != SP_OK || sp_store_user_add(s, &kept) != SP_OK)
		return 2;
	for (; r == SP_OK && added < 100000; added++) {
		snprintf(login, sizeof(login), "u%d", added);
		u = a_user(login);
		r = sp_store_user_add(s, &u);
	}
	if (r != SP_ENOSPC)
		return 3;
	if (sp_store_user_by_login(s, "kept", &u) != SP_OK || sp_store_user_by_login(s, login, &u) != SP_ENOENT)
		return 4;	/* reading goes on, and the failed one left nothing */
	sp_store_close(s);
	umount2(dir, MNT_DETACH);
	rmdir(dir);
	return 0;
}

static void
a_full_disk_is_enospc_and_reading_goes_on(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	if ((pid = fork()) == 0)
		_exit(on_a_small_disk());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
a_server_that_goes_away_is_unavailable_and_found_again_when_it_returns(void **state)
{
	struct fx f;
	struct sp_store_user u = a_user("kept"), lost = a_user("lost");

	(void)state;
	assert_int_equal(fx_open(&f, &server), 0);
	assert_int_equal(sp_store_user_add(f.s, &u), SP_OK);
	assert_int_equal(sp_store_begin(f.s, SP_STORE_MAIN), SP_OK);
	assert_int_equal(sp_store_user_add(f.s, &lost), SP_OK);
	fx_server_kill(&server);
	assert_int_equal(sp_store_user_get(f.s, &u.id, &u), SP_EUNAVAIL);
	assert_int_equal(sp_store_ping(f.s), SP_ESTATE);		/* in a lost transaction: only rollback */
	assert_int_not_equal(sp_store_commit(f.s), SP_OK);		/* never silently lost */
	assert_int_equal(sp_store_ping(f.s), SP_EUNAVAIL);
	assert_int_equal(fx_server_boot(&server), 0);
	assert_int_equal(sp_store_user_get(f.s, &u.id, &u), SP_OK);	/* with statements prepared anew */
	assert_int_equal(sp_store_user_by_login(f.s, "lost", &lost), SP_ENOENT);
	fx_server_kill(&server);
	assert_int_equal(fx_server_boot(&server), 0);
	assert_int_equal(sp_store_ping(f.s), SP_EUNAVAIL);		/* the old connection is noticed once */
	assert_int_equal(sp_store_ping(f.s), SP_OK);
	fx_close(&f);
}

static void
opening_without_a_server_is_unavailable_in_bounded_time(void **state)
{
	struct sp_store *s = NULL;

	(void)state;
	assert_int_equal(sp_store_open("postgresql:///x?host=/nonexistent", NULL, &s), SP_EUNAVAIL);
	assert_int_equal(sp_store_open("postgresql://127.0.0.1:1/x", NULL, &s), SP_EUNAVAIL);
	assert_null(s);
}

/* The planner is asked through the store's own session, so under the settings that real statements get. */
static void
pg_plan_check(struct fx *f, const char *select)
{
	char sql[8192], line[512];
	struct sp_uuid id = { .b = { 1 } };
	struct sp_q q;
	int nodes = 0, pair = 0;
	enum sp_err r;

	snprintf(sql, sizeof(sql), "EXPLAIN (COSTS OFF) %s", select);
	sp_q_open(f->s, SP_STORE_MAIN, sql, &q);
	for (int i = 0; i < 2; i++)
		sp_q_uuid(&q, &id);	/* borrowed until the step */
	while ((r = sp_q_step(&q)) == SP_OK) {
		assert_int_equal(sp_q_get_text(&q, 0, line, sizeof(line)), SP_OK);
		if (strstr(line, "Seq Scan") != NULL || strstr(line, "Hash") != NULL || strstr(line, "Merge") != NULL)
			fail_msg("the decision reads a whole table: %s", line);
		nodes += strstr(line, "Scan using") != NULL || strstr(line, "Bitmap Index Scan on") != NULL;
		pair += strstr(line, "Index Cond: ((subject_id = u.node_id) AND (object_id = a.node_id))") != NULL ||
		    strstr(line, "Index Cond: ((object_id = a.node_id) AND (subject_id = u.node_id))") != NULL;
	}
	sp_q_close(&q);
	assert_int_equal(r, SP_ENOENT);
	assert_int_equal(nodes, 3);
	assert_int_equal(pair, 1);
}

static void
one_decision_on_postgresql_reads_indexes_whatever_the_statistics_say(void **state)
{
	/* every row the same to the planner, tables that seem tiny, then closures that seem huge beside few grants */
	static const char *const lies[] = {
		"SELECT 1",
		"UPDATE pg_class SET reltuples = 1, relpages = 1 WHERE relname IN ('grants', 'user_closure', 'asset_closure')",
		"UPDATE pg_class SET reltuples = 1e9, relpages = 1 WHERE relname IN ('user_closure', 'asset_closure')",
		"UPDATE pg_class SET reltuples = 1e9, relpages = 10000000 WHERE relname = 'grants'"
	};
	struct fx f;
	struct sp_uuid none;

	(void)state;
	assert_int_equal(fx_open(&f, &server), 0);
	sp_uuid_make(&none);
	assert_int_equal(sp_store_grants_for(f.s, &none, &none, ignore, NULL), SP_OK);
	for (size_t i = 0; i < SP_NELEMS(lies); i++) {
		assert_int_equal(fx_sql(&f, lies[i]), 0);
		pg_plan_check(&f, f.s->sql_grants_for);
	}
	fx_close(&f);
}

#define STOPPED_MS	700	/* statement time-out of the next test */
static void
a_server_that_stands_still_is_unavailable_within_the_stated_bound(void **state)
{
	struct sp_store_opts opts = { .statement_ms = STOPPED_MS };
	struct sp_store *s = NULL;
	struct sp_store_user u = a_user("kept");
	struct sp_q q;
	int64_t backend;
	uint64_t t;
	struct fx f;

	(void)state;
	assert_int_equal(fx_open(&f, &server), 0);
	assert_int_equal(sp_store_open(f.url, &opts, &s), SP_OK);
	sp_q_open(s, SP_STORE_MAIN, "SELECT pg_backend_pid()", &q);
	assert_int_equal(sp_q_number(&q, &backend), SP_OK);
	assert_int_equal(sp_store_begin(s, SP_STORE_MAIN), SP_OK);
	assert_int_equal(sp_store_user_add(s, &u), SP_OK);
	assert_int_equal(kill(server.pid, SIGSTOP), 0);		/* accepts no more */
	assert_int_equal(kill((pid_t)backend, SIGSTOP), 0);
	t = sp_now_us();
	assert_int_equal(sp_store_ping(s), SP_EUNAVAIL);
	t = sp_now_us() - t;
	assert_true(t >= STOPPED_MS * SP_US_PER_MS && t < (STOPPED_MS + 1500) * SP_US_PER_MS);
	t = sp_now_us();
	assert_int_equal(sp_store_commit(s), SP_ESTATE);	/* at once: it is known to be lost */
	assert_true(sp_now_us() - t < 200 * SP_US_PER_MS);
	t = sp_now_us();
	assert_int_equal(sp_store_ping(s), SP_EUNAVAIL);	/* connecting is bounded too */
	assert_true(sp_now_us() - t < 3 * SP_US_PER_S);
	assert_int_equal(kill((pid_t)backend, SIGCONT), 0);
	assert_int_equal(kill(server.pid, SIGCONT), 0);
	assert_int_equal(sp_store_ping(s), SP_OK);
	assert_int_equal(sp_store_user_by_login(s, "kept", &u), SP_ENOENT);	/* the transaction did not survive */
	sp_store_close(s);
	fx_close(&f);
}

static enum sp_store_server_role
role_within(struct sp_store_servers *v, size_t i, enum sp_store_server_role wanted)
{
	struct sp_store_server_status s[SP_STORE_SERVERS_MAX];
	uint64_t until_us = sp_now_us() + 20 * SP_US_PER_S;

	do {
		assert_true(sp_store_servers_status(v, s, SP_NELEMS(s)) > i);
		if (s[i].asked && s[i].role == wanted)
			break;
		usleep(10000);
	} while (sp_now_us() < until_us);
	return s[i].role;
}

/* A reader beside a list of one live server, one that nobody runs, and one that is no copy of the first. */
static void
a_reader_goes_on_with_its_server_and_never_to_another_database(void **state)
{
	struct fx_server stranger;
	struct fx f;
	char urls[3][160];
	struct sp_store_server list[3] = { { urls[0], 0 }, { urls[1], 0 }, { urls[2], 1 } };
	struct sp_store_servers *v = NULL;
	struct sp_store_opts opts = { .reader = 1 };
	struct sp_store *reader = NULL, *writer = NULL;
	struct sp_store_user u = a_user("kept");
	uint64_t until_us;
	int current = 0;

	(void)state;
	assert_int_equal(fx_open(&f, &server), 0);
	assert_int_equal(fx_server_start(&stranger), 0);
	sp_snprintf(urls[0], sizeof(urls[0]), "pg:host=/nonexistent dbname=x");
	sp_snprintf(urls[1], sizeof(urls[1]), "%s", f.url);
	sp_snprintf(urls[2], sizeof(urls[2]), "pg:host=%s user=sp dbname=postgres", stranger.dir);
	assert_int_equal(sp_store_servers_new(list, 0, 0, &v), SP_EINVAL);
	assert_int_equal(sp_store_servers_new(list, 2, 0, &v), SP_OK);
	assert_int_equal(role_within(v, 1, SP_STORE_SERVER_PRIMARY), SP_STORE_SERVER_PRIMARY);
	assert_int_equal(role_within(v, 0, SP_STORE_SERVER_AWAY), SP_STORE_SERVER_AWAY);
	sp_store_servers_free(v);
	assert_int_equal(sp_store_servers_new(list + 1, 2, 0, &v), SP_OK);
	assert_int_equal(role_within(v, 0, SP_STORE_SERVER_PRIMARY), SP_STORE_SERVER_PRIMARY);
	opts.servers = v;
	assert_int_equal(sp_store_open("pg:", &opts, &reader), SP_OK);
	opts.reader = 0;
	assert_int_equal(sp_store_open("pg:", &opts, &writer), SP_OK);
	assert_int_equal(sp_store_user_add(writer, &u), SP_OK);
	assert_int_equal(sp_store_user_get(reader, &u.id, &u), SP_OK);
	assert_int_equal(sp_store_is_current(reader, &current), SP_OK);
	assert_int_equal(current, 1);
	assert_int_equal(role_within(v, 1, SP_STORE_SERVER_REFUSED), SP_STORE_SERVER_REFUSED);
	fx_server_kill(&server);
	assert_int_equal(role_within(v, 0, SP_STORE_SERVER_AWAY), SP_STORE_SERVER_AWAY);
	assert_int_equal(sp_store_ping(reader), SP_EUNAVAIL);	/* the stranger is alive, and not asked */
	assert_int_equal(sp_store_begin(writer, SP_STORE_MAIN), SP_EUNAVAIL);
	assert_int_equal(fx_server_boot(&server), 0);
	assert_int_equal(role_within(v, 0, SP_STORE_SERVER_PRIMARY), SP_STORE_SERVER_PRIMARY);
	assert_int_equal(sp_store_user_get(reader, &u.id, &u), SP_OK);
	/* a connection that dies while it is idle is made anew */
	fx_server_kill(&server);
	assert_int_equal(fx_server_boot(&server), 0);
	until_us = sp_now_us() + 20 * SP_US_PER_S;
	while (sp_store_user_get(reader, &u.id, &u) != SP_OK && sp_now_us() < until_us)
		usleep(10000);		/* whoever looks after the servers may have seen it away, and not yet back */
	assert_int_equal(sp_store_user_get(reader, &u.id, &u), SP_OK);
	while (sp_store_begin(writer, SP_STORE_MAIN) != SP_OK && sp_now_us() < until_us)
		usleep(10000);
	assert_int_equal(sp_store_commit(writer), SP_OK);
	sp_store_close(reader);
	sp_store_close(writer);
	sp_store_servers_free(v);
	fx_server_stop(&stranger);
	fx_close(&f);
}

static int
start(void **state)
{
	(void)state;
	return fx_server_start(&server);
}

static int
stop(void **state)
{
	(void)state;
	fx_server_stop(&server);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_access_decision_reads_indexes_whatever_the_statistics_say),
		cmocka_unit_test(a_file_that_is_no_database_is_called_damage),
		cmocka_unit_test(the_database_files_are_for_their_owner_only),
		cmocka_unit_test(a_full_disk_is_enospc_and_reading_goes_on),
		cmocka_unit_test(a_server_that_goes_away_is_unavailable_and_found_again_when_it_returns),
		cmocka_unit_test(one_decision_on_postgresql_reads_indexes_whatever_the_statistics_say),
		cmocka_unit_test(a_server_that_stands_still_is_unavailable_within_the_stated_bound),
		cmocka_unit_test(a_reader_goes_on_with_its_server_and_never_to_another_database),
		cmocka_unit_test(opening_without_a_server_is_unavailable_in_bounded_time)
	};

	return cmocka_run_group_tests(tests, start, stop);
}
