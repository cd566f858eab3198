/* src/control/api_backup.c - backup.begin: a copy of the store, as at one moment, that the caller (root or the owner of the
 * installation) puts into his backup together with the audit log up to a stated entry; backup.end: the copy goes.
 * Process: control; the copy is made in a reader. Invariant: the audit log holds every change of the copy, because a change
 * is committed only after its entry is durable and the stated entry is written after the copy. */
#include "control/api.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/methods.h"
#include "control/snapshot.h"

#define BACKUP_DIR	"snapshot/backup"

static int
backup_path(const struct api_call *c, char *dst, size_t size)
{
	struct sp_config conf;

	ctl_conf_copy(c->ctl, &conf);
	return sp_snprintf(dst, size, "%s/" BACKUP_DIR, conf.state_dir);
}

/* Whatever an earlier one left. */
static enum sp_err
backup_clear(const char *dir)
{
	static const char *const file[] = { "sallyport.db", "evidence.db", "sallyport.db-journal", "evidence.db-journal",
		"sallyport.db-wal", "evidence.db-wal", "sallyport.db-shm", "evidence.db-shm" };
	char path[SP_CONF_TEXT + 64];

	for (size_t i = 0; i < SP_NELEMS(file); i++) {
		sp_snprintf(path, sizeof(path), "%s/%s", dir, file[i]);
		if (unlink(path) == -1 && errno != ENOENT)
			return sp_err_errno(errno);
	}
	return rmdir(dir) == -1 && errno != ENOENT ? sp_err_errno(errno) : SP_OK;
}

void
backup_begin(struct api_call *c, struct sp_store *s)
{
	char dir[SP_CONF_TEXT + 32];
	enum sp_err r;

	if (snapshot_in_use(c->ctl)) {
		(void)api_fail(c, SP_EUNAVAIL, "the store is away: there is nothing to back up");
		return;
	}
	if (backup_path(c, dir, sizeof(dir)) != 0 || (r = backup_clear(dir)) != SP_OK || mkdir(dir, 0700) == -1) {
		(void)api_fail(c, SP_EIO, "%s cannot be made", dir);
		return;
	}
	if ((r = sp_store_copy(s, dir, 1 << SP_STORE_MAIN | 1 << SP_STORE_EVIDENCE)) != SP_OK) {
		(void)api_fail(c, r, "the store cannot be copied: %s", sp_store_detail(s));
		(void)backup_clear(dir);
		return;
	}
	c->out = json_pack("{s:s}", "dir", dir);
}

/* The entry that closes it: the log up to here belongs to the copy. */
void
backup_begin_loop(struct api_call *c)
{
	char at[SP_RFC3339_SIZE];
	struct audit_entry e = { .kind = "backup.point", .actor = api_actor(c), .result = "ok" };

	json_object_set_new(c->out, "made", json_string(sp_rfc3339(sp_wall_us(), at, sizeof(at))));
	json_object_set_new(c->out, "audit_seq", json_integer((json_int_t)audit_append(c->ctl->audit, &e, NULL, NULL)));
}

void
backup_end(struct api_call *c, struct sp_store *s)
{
	char dir[SP_CONF_TEXT + 32];

	(void)s;
	if (backup_path(c, dir, sizeof(dir)) != 0 || backup_clear(dir) != SP_OK)
		(void)api_fail(c, SP_EIO, "%s cannot be removed", dir);
}
