/* lib/sandbox/landlock.c - which paths and networks a process may still name, by raw system calls (no C library has
 * wrappers). Works from Landlock 1 (Linux 5.13); Debian 12 has 2. The constants of newer versions are spelled out here,
 * so that a build on an old system uses all that the running kernel has. Source: Linux, Documentation/userspace-api. */
#include "sandbox/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

#define FS_EXECUTE	(UINT64_C(1) << 0)
#define FS_WRITE_FILE	(UINT64_C(1) << 1)
#define FS_READ_FILE	(UINT64_C(1) << 2)
#define FS_READ_DIR	(UINT64_C(1) << 3)
#define FS_ALL_1	((UINT64_C(1) << 13) - 1)
#define FS_REFER	(UINT64_C(1) << 13)	/* version 2 */
#define FS_TRUNCATE	(UINT64_C(1) << 14)	/* 3 */
#define FS_IOCTL_DEV	(UINT64_C(1) << 15)	/* 5 */
#define FS_MAKE_ODD	((UINT64_C(1) << 6) | (UINT64_C(1) << 11))	/* device nodes: never */
#define NET_BIND_TCP	(UINT64_C(1) << 0)	/* 4 */
#define NET_CONNECT_TCP	(UINT64_C(1) << 1)
#define SCOPE_ABSTRACT	(UINT64_C(1) << 0)	/* 6: abstract sockets of outsiders */
#define SCOPE_SIGNAL	(UINT64_C(1) << 1)

#define FS_READ		(FS_READ_FILE | FS_READ_DIR)
#define FS_FILE_ONLY	(FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attr {		/* grows with the version: the kernel is told how much of it counts */
	uint64_t	fs, net, scoped;
};

/* What the resolver, the C library and libpq read. Missing ones are skipped. */
static const char *const resolver_ro[] = { "/etc", "/usr/lib", "/lib", "/lib64", "/run/systemd/resolve", "/run/nscd",
	"/usr/share/zoneinfo", "/dev/urandom", NULL };
static const char *const files_ro[] = { "/etc/localtime", "/usr/share/zoneinfo", "/dev/urandom", "/dev/null", NULL };

static size_t
attr_size(int abi)
{
	return abi >= 6 ? sizeof(struct ruleset_attr) : abi >= 4 ? offsetof(struct ruleset_attr, scoped) :
	    offsetof(struct ruleset_attr, net);
}

static struct ruleset_attr
attr_of(unsigned may, int abi)
{
	struct ruleset_attr a = { .fs = FS_ALL_1 };

	if (abi >= 2)
		a.fs |= FS_REFER;
	if (abi >= 3)
		a.fs |= FS_TRUNCATE;
	if (abi >= 5)
		a.fs |= FS_IOCTL_DEV;
	if (abi >= 4)
		a.net = NET_BIND_TCP | (may & (SP_MAY_CONNECT | SP_MAY_SQL) ? 0 : NET_CONNECT_TCP);
	if (abi >= 6)
		a.scoped = SCOPE_ABSTRACT | (may & SP_MAY_KILL ? 0 : SCOPE_SIGNAL);
	if (may & SP_MAY_EXEC)
		a.fs &= ~FS_EXECUTE;
	return a;
}

/* A path that does not exist grants nothing, and is no error: lists name the places of several systems. */
static enum sp_err
rule_add(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	struct stat st;
	enum sp_err r = SP_OK;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd == -1)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? SP_OK : sp_err_errno(errno);
	if (fstat(fd, &st) == -1)
		r = sp_err_errno(errno);
	else if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_FILE_ONLY;
	rule.parent_fd = fd;
	if (r == SP_OK && rule.allowed_access != 0 &&
	    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == -1)
		r = sp_err_errno(errno);
	sp_closep(&fd);
	return r;
}

static enum sp_err
rules_add(int ruleset, const char *const *paths, uint64_t access)
{
	enum sp_err r = SP_OK;

	for (; paths != NULL && *paths != NULL && r == SP_OK; paths++)
		r = rule_add(ruleset, *paths, access);
	return r;
}

static const char *const sanitizer_ro[] = { "/proc", NULL };	/* the leak check at exit lists its own threads there */

static enum sp_err
rules_fill(int ruleset, const struct sp_sandbox *s, uint64_t handled)
{
	uint64_t read = FS_READ & handled, all = handled & ~(FS_EXECUTE | FS_MAKE_ODD | FS_IOCTL_DEV);
	enum sp_err r = SP_OK;

	if (s->may & (SP_MAY_CONNECT | SP_MAY_SQL))
		r = rules_add(ruleset, resolver_ro, read | (FS_EXECUTE & handled));	/* shared objects are mapped */
	if (r == SP_OK && (s->may & (SP_MAY_FILES | SP_MAY_SQL)) && (r = rules_add(ruleset, files_ro, read)) == SP_OK)
		r = rules_add(ruleset, s->rw, all);
	if (r == SP_OK && (s->may & (SP_MAY_FILES | SP_MAY_SQL | SP_MAY_EXEC)))
		r = rules_add(ruleset, s->ro, read);	/* programs are read by the kernel with our rights */
	if (r == SP_OK && SP_SANDBOX_REDUCED)
		r = rules_add(ruleset, sanitizer_ro, read);
	return r;
}

enum sp_err
sp_landlock_prepare(const struct sp_sandbox *s, int *ret_fd, int *ret_abi)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset_attr a;
	enum sp_err r;
	int fd;

	if (abi < 1) {		/* not built in, or not enabled at boot */
		*ret_fd = -1;
		*ret_abi = 0;
		return SP_OK;
	}
	a = attr_of(s->may, (int)abi);
	if ((fd = (int)syscall(SYS_landlock_create_ruleset, &a, attr_size((int)abi), 0)) == -1)
		return sp_err_errno(errno);
	if ((r = rules_fill(fd, s, a.fs)) != SP_OK) {
		sp_closep(&fd);
		return r;
	}
	*ret_fd = fd;
	*ret_abi = (int)abi;
	return SP_OK;
}

enum sp_err
sp_landlock_enter(int fd)
{
	return syscall(SYS_landlock_restrict_self, fd, 0) == 0 ? SP_OK : sp_err_errno(errno);
}
