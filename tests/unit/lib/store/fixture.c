/* tests/unit/lib/store/fixture.c - see fixture.h. */
#include "fixture.h"

#include <errno.h>
#include <ftw.h>
#include <glob.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX	32
#define START_TRIES	400	/* of 25 ms */

struct fx_server *fx_with;
_Atomic int64_t fx_now_us = 1000000;

int64_t
fx_clock(void)
{
	return fx_now_us++;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
fx_remove_tree(const char *dir)
{
	if (dir[0] != 0)
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int
find_bin(struct fx_server *p)
{
	glob_t g;
	int found = 0;

	if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &g) == 0) {
		sp_strlcpy(p->bin, g.gl_pathv[g.gl_pathc - 1], sizeof(p->bin));
		*strrchr(p->bin, '/') = 0;
		found = 1;
		globfree(&g);
	}
	if (!found)
		fprintf(stderr, "PostgreSQL's server programs are missing: apt-get install postgresql\n");
	return found ? 0 : -1;
}

/* Fork and exec a server program, as the user postgres when we are root (it refuses to run as root). */
static pid_t
spawn(struct fx_server *p, const char *prog, const char *const *args)
{
	char path[300];
	const char *argv[ARGS_MAX] = { "setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT", path };
	int n = 6;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", p->bin, prog);
	for (; *args != NULL && n < ARGS_MAX - 1; args++)
		argv[n++] = *args;
	fflush(NULL);
	if ((pid = fork()) != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (freopen("/dev/null", "w", stdout) == NULL || chdir("/") != 0)
		_exit(126);
	{
		char log[128];

		snprintf(log, sizeof(log), "%s/log", p->dir);
		if (freopen(log, "a", stderr) == NULL)
			_exit(126);
	}
	if (geteuid() == 0)
		execvp("setpriv", (char *const *)(void *)argv);
	else
		execv(path, (char *const *)(void *)(argv + 5));
	_exit(127);
}

static int
run_initdb(struct fx_server *p, const char *data)
{
	const char *const args[] = { "-D", data, "-A", "trust", "-U", "sp", "-E", "UTF8", "--locale=C.UTF-8", "-N", NULL };
	int status;
	pid_t pid = spawn(p, "initdb", args);

	if (pid <= 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		fprintf(stderr, "initdb failed, see %s/log\n", p->dir);
		return -1;
	}
	return 0;
}

static PGconn *
admin_connect(struct fx_server *p)
{
	char info[256];

	snprintf(info, sizeof(info), "host=%s user=sp dbname=postgres", p->dir);
	return PQconnectdb(info);
}

int
fx_server_boot(struct fx_server *p)
{
	char data[96];
	const char *const args[] = { "-D", data, "-k", p->dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=20",
	    "-c", "shared_buffers=64MB", "-c", "log_min_messages=fatal", NULL };

	snprintf(data, sizeof(data), "%s/data", p->dir);
	if ((p->pid = spawn(p, "postgres", args)) <= 0)
		return -1;
	for (int i = 0; i < START_TRIES; i++) {
		PGconn *c = admin_connect(p);
		int ok = PQstatus(c) == CONNECTION_OK;

		PQfinish(c);
		if (ok)
			return 0;
		if (waitpid(p->pid, NULL, WNOHANG) != 0)
			break;
		usleep(25000);
	}
	fprintf(stderr, "postgres does not answer, see %s/log\n", p->dir);
	return -1;
}

int
fx_server_start(struct fx_server *p)
{
	struct passwd *pw = getpwnam("postgres");
	char data[96];

	*p = (struct fx_server){ 0 };
	if (find_bin(p) != 0)
		return -1;
	sp_strlcpy(p->dir, "/tmp/sp-pg-XXXXXX", sizeof(p->dir));
	if (mkdtemp(p->dir) == NULL)
		return -1;
	if (geteuid() == 0 && (pw == NULL || chown(p->dir, pw->pw_uid, pw->pw_gid) != 0)) {
		fprintf(stderr, "no user postgres to run the server as\n");
		return -1;
	}
	snprintf(data, sizeof(data), "%s/data", p->dir);
	return run_initdb(p, data) != 0 ? -1 : fx_server_boot(p);
}

void
fx_server_kill(struct fx_server *p)
{
	if (p->pid <= 0)
		return;
	kill(p->pid, SIGQUIT);
	waitpid(p->pid, NULL, 0);
	p->pid = 0;
}

void
fx_server_stop(struct fx_server *p)
{
	fx_server_kill(p);
	fx_remove_tree(p->dir);
	p->dir[0] = 0;
}

static int
pg_run(struct fx_server *p, const char *db, const char *sql)
{
	char info[256];
	PGconn *c;
	PGresult *res;
	int ok;

	snprintf(info, sizeof(info), "host=%s user=sp dbname=%s", p->dir, db);
	c = PQconnectdb(info);
	res = PQexec(c, sql);
	ok = PQresultStatus(res) == PGRES_COMMAND_OK || PQresultStatus(res) == PGRES_TUPLES_OK;
	if (!ok)
		fprintf(stderr, "%s", PQerrorMessage(c));
	PQclear(res);
	PQfinish(c);
	return ok ? 0 : -1;
}

static int db_number;

int
fx_open(struct fx *f, struct fx_server *pg)
{
	struct sp_store_opts opts = { .wall_us = fx_clock, .busy_ms = 300 };
	char sql[64];

	*f = (struct fx){ .pg = pg };
	if (pg != NULL) {
		snprintf(sql, sizeof(sql), "CREATE DATABASE t%d", ++db_number);
		if (pg_run(pg, "postgres", sql) != 0)
			return -1;
		snprintf(f->url, sizeof(f->url), "pg:host=%s user=sp dbname=t%d", pg->dir, db_number);
	} else {
		sp_strlcpy(f->dir, "/tmp/sp-lite-XXXXXX", sizeof(f->dir));
		if (mkdtemp(f->dir) == NULL)
			return -1;
		snprintf(f->url, sizeof(f->url), "sqlite:%s", f->dir);
	}
	if (sp_store_open(f->url, &opts, &f->s) != SP_OK)
		return -1;
	if (sp_store_migrate(f->s) == SP_OK)
		return 0;
	fprintf(stderr, "migrate: %s\n", sp_store_detail(f->s));
	return -1;
}

void
fx_close(struct fx *f)
{
	sp_store_closep(&f->s);
	fx_remove_tree(f->dir);
}

int
fx_sql(struct fx *f, const char *sql)
{
	char path[128], db[16];
	sqlite3 *lite;
	int rc;

	if (f->pg != NULL) {
		sp_strlcpy(db, strstr(f->url, "dbname=") + strlen("dbname="), sizeof(db));
		return pg_run(f->pg, db, sql);
	}
	snprintf(path, sizeof(path), "%s/sallyport.db", f->dir);
	if (sqlite3_open(path, &lite) != SQLITE_OK)
		return -1;
	if ((rc = sqlite3_exec(lite, sql, NULL, NULL, NULL)) != SQLITE_OK)
		fprintf(stderr, "%s\n", sqlite3_errmsg(lite));
	sqlite3_close(lite);
	return rc == SQLITE_OK ? 0 : -1;
}

int
fx_setup(void **state)
{
	struct fx *f = calloc(1, sizeof(*f));

	*state = f;
	return f != NULL ? fx_open(f, fx_with) : -1;
}

int
fx_teardown(void **state)
{
	fx_close(*state);
	free(*state);
	return 0;
}
