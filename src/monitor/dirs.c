/* src/monitor/dirs.c - the directories of an installation, with owner and mode, and the descriptors that children get of
 * them in BOOT. Process: monitor.
 * Invariants: nothing below state_dir is followed through a symbolic link; a directory that holds secrets is 0700. */
#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

static const struct {
	const char	*name;
	enum sp_proc	 owner;
	mode_t		 mode;
	int		 readers;	/* the group of control is that of what is in it: it hands out recordings, and deletes them by policy */
} dirs[MON_DIRS] = {
	[MON_STORE]      = { "store", SP_PROC_CONTROL, 0700, 0 },
	[MON_VAULT]      = { "vault", SP_PROC_VAULT, 0700, 0 },
	[MON_AUDIT]      = { "audit", SP_PROC_CONTROL, 0700, 0 },
	[MON_RECORDINGS] = { "recordings", SP_PROC_SCRIBE, 02770, 1 },
	[MON_SPOOL]      = { "spool", SP_PROC_SCRIBE, 0700, 0 },
	[MON_OUTBOX]     = { "outbox", SP_PROC_COURIER, 0700, 0 },
	[MON_KEYS]       = { "hostkeys", SP_PROC_MONITOR, 0700, 0 },
	[MON_SNAPSHOT]   = { "snapshot", SP_PROC_CONTROL, 0700, 0 },
	[MON_SIEM]       = { "siem", SP_PROC_SIEM, 0700, 0 },
};

/* The ids of a process's user; -1 (leave) when not root or when there is no such user. */
static void
dirs_ids(enum sp_proc p, uid_t *uid, gid_t *gid)
{
	const struct passwd *pw = geteuid() == 0 ? getpwnam(sp_proc_user(p)) : NULL;

	*uid = pw != NULL ? pw->pw_uid : (uid_t)-1;
	*gid = pw != NULL ? pw->pw_gid : (gid_t)-1;
}

/* mkdir -p; only directories that are made here get the mode. */
static int
dirs_make_path(const char *path, mode_t mode)
{
	char part[SP_CONF_TEXT];

	if (sp_strlcpy(part, path, sizeof(part)) != 0)
		return -1;
	for (char *p = part + 1; *p != '\0'; p++)
		if (*p == '/') {
			*p = '\0';
			if (mkdir(part, 0755) == -1 && errno != EEXIST)
				return -1;
			*p = '/';
		}
	return mkdir(part, mode) == -1 && errno != EEXIST ? -1 : 0;
}

static int
dirs_own(int fd, enum mon_dir d)
{
	uid_t uid, reader;
	gid_t gid, reader_gid;
	struct stat st;

	dirs_ids(dirs[d].owner, &uid, &gid);
	dirs_ids(SP_PROC_CONTROL, &reader, &reader_gid);
	if (dirs[d].readers)
		gid = reader_gid;
	if (fstat(fd, &st) == -1)
		return -1;
	if (uid != (uid_t)-1 && (st.st_uid != uid || st.st_gid != gid) && fchown(fd, uid, gid) == -1)
		return -1;
	return (st.st_mode & 07777) == dirs[d].mode ? 0 : fchmod(fd, dirs[d].mode);
}

static int
dirs_make_one(struct mon *m, enum mon_dir d)
{
	if (mkdirat(m->state_fd, dirs[d].name, 0700) == -1 && errno != EEXIST)
		return -1;
	m->dir_fd[d] = openat(m->state_fd, dirs[d].name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return m->dir_fd[d] == -1 ? -1 : dirs_own(m->dir_fd[d], d);
}

enum sp_err
mon_dirs_make(struct mon *m, char *why, size_t n)
{
	if (dirs_make_path(m->conf.run_dir, 0755) == -1) {
		sp_snprintf(why, n, "cannot make run_dir %s: %s", m->conf.run_dir, strerror(errno));
		return SP_ESYS;
	}
	if (dirs_make_path(m->conf.state_dir, 0711) == -1 ||
	    (m->state_fd = open(m->conf.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1) {
		sp_snprintf(why, n, "cannot make state_dir %s: %s", m->conf.state_dir, strerror(errno));
		return SP_ESYS;
	}
	for (int d = 0; d < MON_DIRS; d++)
		if (dirs_make_one(m, (enum mon_dir)d) == -1) {
			sp_snprintf(why, n, "cannot make %s/%s: %s", m->conf.state_dir, dirs[d].name, strerror(errno));
			return SP_ESYS;
		}
	return SP_OK;
}

void
mon_dirs_release(struct mon *m)
{
	for (int d = 0; d < MON_DIRS; d++)
		sp_closep(&m->dir_fd[d]);
	sp_closep(&m->state_fd);
}

static void
fds_give(struct mon_fds *f, int fd, const char *name)
{
	if (fd == -1)
		sp_error("descriptor %s for a child: %s", name, strerror(errno));
	else if (f->n == SP_MSG_FDS)
		sp_closep(&fd);
	else {
		(void)sp_strlcpy(f->name[f->n], name, sizeof(f->name[0]));
		f->fd[f->n++] = fd;
	}
}

static void
fds_give_dup(struct mon_fds *f, int fd, const char *name)
{
	fds_give(f, fcntl(fd, F_DUPFD_CLOEXEC, 3), name);
}

static void
fds_give_file(struct mon_fds *f, const char *path, const char *name)
{
	int fd;

	if (*path == '\0')
		return;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) == -1)
		sp_error("cannot read %s: %s", path, strerror(errno));
	else
		fds_give(f, fd, name);
}

static void
fds_of_gate(struct mon *m, struct mon_fds *f)
{
	char name[32];

	for (size_t i = 0; i < m->n_listen; i++) {
		sp_snprintf(name, sizeof(name), "listen:%zu", i);
		fds_give_dup(f, m->listen_fd[i], name);
	}
}

static void
fds_of_zygote(struct mon *m, struct mon_fds *f)
{
	char name[32];

	for (size_t i = 0; i < MON_HOSTKEYS; i++) {
		sp_snprintf(name, sizeof(name), "hostkey:%zu", i);
		fds_give_file(f, m->hostkey[i], name);
	}
	fds_give_file(f, m->conf.banner, "banner");
	fds_give_file(f, m->conf.consent, "consent");
}

/* The public halves of the host keys: control publishes them as known_hosts lines. */
static void
fds_of_public_keys(struct mon *m, struct mon_fds *ret)
{
	for (size_t i = 0; i < MON_HOSTKEYS; i++) {
		char path[sizeof(m->hostkey[i]) + 8], name[32];

		sp_snprintf(path, sizeof(path), "%s.pub", m->hostkey[i]);
		sp_snprintf(name, sizeof(name), "hostkey.pub:%zu", i);
		fds_give_file(ret, path, name);
	}
}

void
mon_boot_fds(struct mon *m, enum sp_proc what, struct mon_fds *ret)
{
	ret->n = 0;
	if (what == SP_PROC_GATE)
		fds_of_gate(m, ret);
	else if (what == SP_PROC_ZYGOTE)
		fds_of_zygote(m, ret);
	else if (what == SP_PROC_VAULT) {
		fds_give(ret, openat(m->state_fd, "vault", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "vault-dir");
		fds_give_file(ret, m->conf.vault_keyfile, "keyfile");
	} else if (what == SP_PROC_CONTROL) {
		fds_give_dup(ret, m->admin_fd, "admin-socket");
		fds_give_dup(ret, m->state_fd, "state-dir");
		fds_give_dup(ret, m->dir_fd[MON_AUDIT], "audit-dir");
		fds_of_public_keys(m, ret);
	} else if (what == SP_PROC_SCRIBE) {
		fds_give_dup(ret, m->dir_fd[MON_RECORDINGS], "recordings");
		fds_give_dup(ret, m->dir_fd[MON_SPOOL], "spool");
	} else if (what == SP_PROC_COURIER)
		fds_give_dup(ret, m->dir_fd[MON_OUTBOX], "outbox");
	else if (what == SP_PROC_SIEM)
		fds_give_dup(ret, m->dir_fd[MON_SIEM], "siem");
}
