/* lib/store/sqlite/driver.c - the embedded store: two files in one directory, each with a connection of its own, so
 * that a long import into sallyport.db never holds up the evidence index. WAL; a commit to sallyport.db is on the disk
 * when it returns (synchronous=FULL); evidence.db can be replayed from the audit log and syncs at checkpoints. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/db.h"

/* Most page cache of a connection's main part, taken as pages are read: it holds all indexes of a million grants, so that
 * a decision reads at most its own rows from the file. Not mmap_size, which would be shared and as fast: SQLite advises
 * against it for a file that an attacker may have written, and a read error would be a SIGBUS instead of SP_EIO. */
#define CACHE_KIB	196608
#define COPY_KIB	2048	/* while it is copied: no page is read twice */

struct lite {
	sqlite3	*db[2];
};

static const struct {
	int		code;	/* extended first, then primary */
	enum sp_err	err;
} codes[] = {
	{ SQLITE_CONSTRAINT_UNIQUE, SP_EEXIST }, { SQLITE_CONSTRAINT_PRIMARYKEY, SP_EEXIST },
	{ SQLITE_CONSTRAINT_ROWID, SP_EEXIST }, { SQLITE_CONSTRAINT_FOREIGNKEY, SP_ESTATE },
	{ SQLITE_CONSTRAINT, SP_EINVAL }, { SQLITE_BUSY, SP_EBUSY }, { SQLITE_LOCKED, SP_EBUSY },
	{ SQLITE_FULL, SP_ENOSPC }, { SQLITE_CORRUPT, SP_ECORRUPT }, { SQLITE_NOTADB, SP_ECORRUPT },
	{ SQLITE_IOERR_NOMEM, SP_ENOMEM }, { SQLITE_IOERR, SP_EIO }, { SQLITE_CANTOPEN, SP_EUNAVAIL },
	{ SQLITE_READONLY, SP_EUNAVAIL }, { SQLITE_PERM, SP_EUNAVAIL }, { SQLITE_NOMEM, SP_ENOMEM },
	{ SQLITE_TOOBIG, SP_ESIZE }, { SQLITE_INTERRUPT, SP_ETIMEOUT }
};

static enum sp_err
lite_err(struct sp_store *s, sqlite3 *db, int rc)
{
	sp_snprintf(s->detail, sizeof(s->detail), "sqlite %d: %s", rc, db != NULL ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	for (size_t i = 0; i < SP_NELEMS(codes); i++)
		if (codes[i].code == rc)
			return codes[i].err;
	for (size_t i = 0; i < SP_NELEMS(codes); i++)
		if (codes[i].code == (rc & 0xff))
			return codes[i].err;
	return SP_EINTERNAL;
}

static enum sp_err
lite_exec(struct sp_store *s, enum sp_store_part part, const char *script)
{
	struct lite *l = s->conn;
	int rc = sqlite3_exec(l->db[part], script, NULL, NULL, NULL);

	return rc == SQLITE_OK ? SP_OK : lite_err(s, l->db[part], rc);
}

/* A file that was moved away, or replaced by another one, would be read and written on for ever. */
static enum sp_err
lite_check(struct sp_store *s)
{
	struct lite *l = s->conn;

	for (int i = 0; i < 2; i++) {
		int moved = 0;

		if (sqlite3_file_control(l->db[i], "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved)
			return sp_store_fail(s, SP_EUNAVAIL, "the database file was moved away or replaced");
	}
	return SP_OK;
}

static enum sp_err lite_create(const char *path, int existing);

static enum sp_err
lite_cache(struct sp_store *s, enum sp_store_part part, int kib)
{
	char sql[64];

	sp_snprintf(sql, sizeof(sql), "PRAGMA cache_size=-%d", kib);
	return lite_exec(s, part, sql);
}

static enum sp_err
lite_copy_part(struct sp_store *s, const char *path, enum sp_store_part part)
{
	struct lite *l = s->conn;
	sqlite3 *to = NULL;
	sqlite3_backup *b;
	enum sp_err r = lite_cache(s, part, COPY_KIB), back;
	int rc;

	if (r != SP_OK)
		return r;
	rc = sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc == SQLITE_OK && (b = sqlite3_backup_init(to, "main", l->db[part], "main")) != NULL) {
		rc = sqlite3_backup_step(b, -1);	/* all in one step: one moment; readers and writers of a WAL go on */
		(void)sqlite3_backup_finish(b);
		rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
	} else if (rc == SQLITE_OK) {
		rc = sqlite3_errcode(to);
	}
	/* One file, without a log beside it. */
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		r = lite_err(s, to, rc);
	sqlite3_close_v2(to);
	back = lite_cache(s, part, part == SP_STORE_MAIN ? CACHE_KIB : CACHE_KIB / 8);
	return r != SP_OK ? r : back;
}

static enum sp_err
lite_copy(struct sp_store *s, const char *dir, int parts)
{
	static const char *const file[] = { "sallyport.db", "evidence.db" };
	char path[1100];
	enum sp_err r = SP_OK;

	for (int p = 0; p < 2 && r == SP_OK; p++) {
		if ((parts & (1 << p)) == 0)
			continue;
		if (sp_snprintf(path, sizeof(path), "%s/%s", dir, file[p]) != 0)
			return SP_EINVAL;
		if ((r = lite_create(path, 0)) == SP_OK)
			r = lite_copy_part(s, path, (enum sp_store_part)p);
	}
	return r;
}

/* The file is made by us, for its owner only; SQLite gives its -wal and -shm the same mode. One that is there is not
 * opened here: closing any descriptor of it would drop the POSIX locks that this process's other handles hold, and
 * whoever closes the database next elsewhere would take himself for the last one and delete the log under them. */
static enum sp_err
lite_create(const char *path, int existing)
{
	struct stat st;
	int fd;

	if (stat(path, &st) == 0)
		return SP_OK;
	if (existing || errno != ENOENT)
		return SP_EUNAVAIL;
	if ((fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) == -1)
		return errno == EEXIST ? SP_OK : SP_EUNAVAIL;
	sp_closep(&fd);
	return SP_OK;
}

static enum sp_err
lite_open_part(struct sp_store *s, const char *dir, enum sp_store_part part)
{
	static const char *const file[] = { "sallyport.db", "evidence.db" };
	struct lite *l = s->conn;
	char path[1024], pragmas[512];
	enum sp_err r;
	int rc;

	if (sp_snprintf(path, sizeof(path), "%s/%s", dir, file[part]) != 0)
		return sp_store_fail(s, SP_EINVAL, "the directory's name is too long");
	if ((r = lite_create(path, s->opts.existing && part == SP_STORE_MAIN)) != SP_OK)	/* the index can be made anew */
		return sp_store_fail(s, r, s->opts.existing ? "the database file is not there" : "cannot open or make the database file");
	rc = sqlite3_open_v2(path, &l->db[part], SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return lite_err(s, l->db[part], rc);
	sqlite3_busy_timeout(l->db[part], (int)s->opts.busy_ms);
	sqlite3_db_config(l->db[part], SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sp_snprintf(pragmas, sizeof(pragmas),
	    "PRAGMA trusted_schema=OFF; PRAGMA secure_delete=FAST; PRAGMA foreign_keys=ON; PRAGMA journal_mode=WAL; PRAGMA synchronous=%s;"
	    "PRAGMA cache_size=-%d; PRAGMA cell_size_check=ON; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=8192;",
	    part == SP_STORE_MAIN ? "FULL" : "NORMAL", part == SP_STORE_MAIN ? CACHE_KIB : CACHE_KIB / 8);
	return lite_exec(s, part, pragmas);
}

static enum sp_err
lite_open(struct sp_store *s, const char *url)
{
	enum sp_err r;

	if ((s->conn = calloc(1, sizeof(struct lite))) == NULL)
		return SP_ENOMEM;
	if ((r = lite_open_part(s, url + strlen("sqlite:"), SP_STORE_MAIN)) != SP_OK)
		return r;
	return lite_open_part(s, url + strlen("sqlite:"), SP_STORE_EVIDENCE);
}

static void
lite_close(struct sp_store *s)
{
	struct lite *l = s->conn;

	if (l == NULL)
		return;
	for (int i = 0; i < 2; i++)
		sqlite3_close_v2(l->db[i]);
	free(l);
	s->conn = NULL;
}

static enum sp_err
lite_ready(struct sp_store *s)
{
	(void)s;
	return SP_OK;
}

static enum sp_err
lite_slow(struct sp_store *s, int on)
{
	(void)s;
	(void)on;
	return SP_OK;
}

static enum sp_err
lite_prepare(struct sp_stmt *st)
{
	struct lite *l = st->s->conn;
	sqlite3_stmt *native;
	int rc = sqlite3_prepare_v3(l->db[st->part], st->sql, -1, st->cached ? SQLITE_PREPARE_PERSISTENT : 0, &native, NULL);

	if (rc != SQLITE_OK)
		return lite_err(st->s, l->db[st->part], rc);
	st->native = native;
	return SP_OK;
}

static void
lite_finalize(struct sp_stmt *st)
{
	sqlite3_finalize(st->native);
}

static enum sp_err
lite_bound(struct sp_stmt *st, int rc)
{
	return rc == SQLITE_OK ? SP_OK : lite_err(st->s, sqlite3_db_handle(st->native), rc);
}

static enum sp_err
lite_bind_i64(struct sp_stmt *st, int i, int64_t v)
{
	return lite_bound(st, sqlite3_bind_int64(st->native, i + 1, v));
}

static enum sp_err
lite_bind_text(struct sp_stmt *st, int i, const char *v, size_t n)
{
	return lite_bound(st, sqlite3_bind_text64(st->native, i + 1, v, n, SQLITE_STATIC, SQLITE_UTF8));
}

static enum sp_err
lite_bind_blob(struct sp_stmt *st, int i, const void *v, size_t n)
{
	if (v == NULL)
		return lite_bound(st, sqlite3_bind_null(st->native, i + 1));
	return lite_bound(st, n == 0 ? sqlite3_bind_zeroblob(st->native, i + 1, 0) :
	    sqlite3_bind_blob64(st->native, i + 1, v, n, SQLITE_STATIC));
}

static enum sp_err
lite_bind_null(struct sp_stmt *st, int i)
{
	return lite_bound(st, sqlite3_bind_null(st->native, i + 1));
}

static enum sp_err
lite_step(struct sp_stmt *st)
{
	int rc = sqlite3_step(st->native);

	if (rc == SQLITE_ROW)
		return SP_OK;
	return rc == SQLITE_DONE ? SP_ENOENT : lite_err(st->s, sqlite3_db_handle(st->native), rc);
}

static void
lite_reset(struct sp_stmt *st)
{
	sqlite3_reset(st->native);
	sqlite3_clear_bindings(st->native);
}

static uint64_t
lite_changes(struct sp_stmt *st)
{
	return (uint64_t)sqlite3_changes64(sqlite3_db_handle(st->native));
}

static int
lite_is_null(struct sp_stmt *st, int i)
{
	return sqlite3_column_type(st->native, i) == SQLITE_NULL;
}

static int64_t
lite_col_i64(struct sp_stmt *st, int i)
{
	return sqlite3_column_int64(st->native, i);
}

static const void *
lite_col_bytes(struct sp_stmt *st, int i, size_t *ret_n)
{
	const void *p = sqlite3_column_blob(st->native, i);

	*ret_n = p != NULL ? (size_t)sqlite3_column_bytes(st->native, i) : 0;
	return p != NULL ? p : "";
}

const struct sp_store_driver sp_store_sqlite = {
	.version = SP_STORE_DRIVER_VERSION,
	.parts = 2,
	.savepoints = 0,
	.lateral = 0,
	.bulk_rows = 1,
	.read_sql = "BEGIN",
	.begin_sql = "BEGIN IMMEDIATE",		/* a read that turns into a write could only fail */
	.has_table_sql = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?",
	.script_offset = offsetof(struct sp_store_script, sqlite),
	.open = lite_open,
	.close = lite_close,
	.ready = lite_ready,
	.exec = lite_exec,
	.slow = lite_slow,
	.prepare = lite_prepare,
	.finalize = lite_finalize,
	.bind_i64 = lite_bind_i64,
	.bind_text = lite_bind_text,
	.bind_blob = lite_bind_blob,
	.bind_null_i64 = lite_bind_null,
	.step = lite_step,
	.reset = lite_reset,
	.changes = lite_changes,
	.is_null = lite_is_null,
	.col_i64 = lite_col_i64,
	.col_bytes = lite_col_bytes,
	.check = lite_check,
	.copy = lite_copy
};
