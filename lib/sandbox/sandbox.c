/* lib/sandbox/sandbox.c - see sandbox.h. To be called while the process has one thread: Landlock binds the calling
 * thread and those that it makes. */
#include "sandbox/internal.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"

static enum sp_err
box_limit(int what, uint64_t want, struct sp_buf *say, const char *name)
{
	struct rlimit rl;

	if (getrlimit((__rlimit_resource_t)what, &rl) == -1)
		return sp_err_errno(errno);
	if (rl.rlim_max == RLIM_INFINITY || rl.rlim_max >= want) {
		rl.rlim_cur = rl.rlim_max = want;
		return setrlimit((__rlimit_resource_t)what, &rl) == 0 ? SP_OK : sp_err_errno(errno);
	}
	if (setrlimit((__rlimit_resource_t)what, &(struct rlimit){ want, want }) == 0)
		return SP_OK;
	/* An ordinary user, and root in a container, cannot raise it: take what there is, and say so. */
	rl.rlim_cur = rl.rlim_max;
	if (setrlimit((__rlimit_resource_t)what, &rl) == -1)
		return sp_err_errno(errno);
	return sp_buf_printf(say, ", %s only %llu", name, (unsigned long long)rl.rlim_max);
}

static enum sp_err
box_limits(const struct sp_sandbox *s, struct sp_buf *say)
{
	const struct rlimit none = { 0, 0 };
	enum sp_err r = SP_OK;

	if (setrlimit(RLIMIT_CORE, &none) == -1)
		return sp_err_errno(errno);
	if (s->files_n != 0)
		r = box_limit(RLIMIT_NOFILE, s->files_n, say, "open files");
	if (r == SP_OK && s->memlock_bytes != 0)
		r = box_limit(RLIMIT_MEMLOCK, s->memlock_bytes, say, "locked memory");
	if (r == SP_OK && s->memory_bytes > 0 && !SP_SANDBOX_REDUCED)	/* sanitizers map terabytes */
		r = box_limit(RLIMIT_AS, s->memory_bytes, say, "address space");
	return r;
}

static enum sp_err
box_become(const struct passwd *pw)
{
	if (setgroups(1, &pw->pw_gid) == -1 || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) == -1 ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) == -1)
		return SP_ESYS;
	/* There must be no way back. */
	return setuid(0) == -1 || pw->pw_uid == 0 ? SP_OK : SP_ESYS;
}

static enum sp_err
box_user(const struct sp_sandbox *s, struct sp_buf *say)
{
	const char *want = s->user != NULL && *s->user != '\0' ? s->user : "root";
	const struct passwd *pw;
	enum sp_err r;

	if (geteuid() != 0) {
		pw = getpwuid(geteuid());
		return sp_buf_printf(say, "user %s", pw != NULL ? pw->pw_name : "unnamed");
	}
	if (strcmp(want, "root") == 0)
		return sp_buf_append_str(say, "user root");
	if ((pw = getpwnam(want)) == NULL)
		return sp_buf_printf(say, "user stays root (no user %s)", want);
	if ((r = box_become(pw)) != SP_OK)
		return r;
	return sp_buf_printf(say, "user %s", want);
}

static enum sp_err
box_landlock(const struct sp_sandbox *s, int fd, int abi, struct sp_buf *say)
{
	enum sp_err r;

	if (fd == -1)
		return sp_buf_append_str(say, ", landlock unavailable");
	if ((r = sp_landlock_enter(fd)) != SP_OK)
		return r;
	return sp_buf_printf(say, ", landlock %d (%s)", abi,
	    s->may & (SP_MAY_FILES | SP_MAY_SQL) ? "own directories" : s->may & SP_MAY_CONNECT ? "name service" : "no files");
}

static enum sp_err
box_seccomp(const struct sp_sandbox *s, struct sp_buf *say)
{
	struct sp_seccomp f;
	enum sp_err r = sp_seccomp_compile(s->may, &f);
	int n;

	if (r != SP_OK)
		return r;
	n = f.calls_n;
	r = sp_seccomp_load(&f);
	sp_seccomp_release(&f);
	if (r == SP_EUNAVAIL)
		return sp_buf_append_str(say, ", seccomp unavailable");
	if (r != SP_OK)
		return r;
	return SP_SANDBOX_REDUCED ? sp_buf_printf(say, ", seccomp reduced (%d calls refused: sanitizer build)", n) :
	    sp_buf_printf(say, ", seccomp (%d calls)", n);
}

/* A process that cannot be dumped cannot be traced by its leak sanitizer either. */
static enum sp_err
box_no_dump(struct sp_buf *say)
{
	if (SP_SANDBOX_REDUCED)
		return sp_buf_append_str(say, ", no core");
	if (prctl(PR_SET_DUMPABLE, 0) == -1)
		return sp_err_errno(errno);
	return sp_buf_append_str(say, ", no core, not traceable");
}

static enum sp_err
box_enter(const struct sp_sandbox *s, struct sp_buf *say, const char **step)
{
	sp_auto(sp_closep) int ruleset = -1;
	struct sp_buf limits;
	enum sp_err r;
	int abi = 0;

	sp_buf_init(&limits, 256);
	*step = "landlock";
	if ((r = sp_landlock_prepare(s, &ruleset, &abi)) != SP_OK)
		return r;
	*step = "limits";
	r = box_limits(s, &limits);
	*step = r == SP_OK ? "user" : *step;
	if (r == SP_OK && (r = box_user(s, say)) == SP_OK)
		r = sp_buf_append_str(say, sp_buf_cstr(&limits));
	sp_buf_release(&limits);
	if (r != SP_OK)
		return r;
	*step = "no new privileges";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return sp_err_errno(errno);
	if ((r = sp_buf_append_str(say, ", no new privileges")) != SP_OK)
		return r;
	*step = "dumpable";
	if ((r = box_no_dump(say)) != SP_OK)
		return r;
	*step = "landlock";
	if ((r = box_landlock(s, ruleset, abi, say)) != SP_OK)
		return r;
	sp_closep(&ruleset);
	*step = "seccomp";
	return box_seccomp(s, say);
}

enum sp_err
sp_sandbox_enter(const struct sp_sandbox *s, char *in_force, size_t size)
{
	const char *step = "";
	struct sp_buf say;
	enum sp_err r;

	sp_buf_init(&say, 1024);
	r = box_enter(s, &say, &step);
	if (r == SP_OK)
		(void)sp_snprintf(in_force, size, "%s", sp_buf_cstr(&say));
	else
		(void)sp_snprintf(in_force, size, "%s", step);
	sp_buf_release(&say);
	return r;
}

/* ---- prepared by a parent, entered by its children ---- */

struct sp_sandbox_plan {
	struct sp_sandbox	box;
	struct sp_seccomp	filter;
};

enum sp_err
sp_sandbox_plan_new(const struct sp_sandbox *s, struct sp_sandbox_plan **ret)
{
	struct sp_sandbox_plan *p;
	enum sp_err r;

	if (s->user != NULL && *s->user != '\0')
		return SP_EINVAL;
	if ((p = calloc(1, sizeof(*p))) == NULL)
		return SP_ENOMEM;
	p->box = *s;
	if ((r = sp_seccomp_compile(s->may, &p->filter)) != SP_OK) {
		free(p);
		return r;
	}
	*ret = p;
	return SP_OK;
}

void
sp_sandbox_plan_free(struct sp_sandbox_plan *p)
{
	if (p == NULL)
		return;
	sp_seccomp_release(&p->filter);
	free(p);
}

enum sp_err
sp_sandbox_enter_plan(const struct sp_sandbox_plan *p, const char **ret_step)
{
	sp_auto(sp_closep) int ruleset = -1;
	struct sp_buf said;		/* nobody reads it: the parent said what is in force */
	enum sp_err r;
	int abi = 0;

	*ret_step = "landlock";
	if ((r = sp_landlock_prepare(&p->box, &ruleset, &abi)) != SP_OK)
		return r;
	*ret_step = "limits";
	sp_buf_init(&said, 256);
	r = box_limits(&p->box, &said);
	sp_buf_release(&said);
	if (r != SP_OK)
		return r;
	*ret_step = "no new privileges";
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return sp_err_errno(errno);
	*ret_step = "dumpable";
	if (!SP_SANDBOX_REDUCED && prctl(PR_SET_DUMPABLE, 0) == -1)
		return sp_err_errno(errno);
	*ret_step = "landlock";
	if (ruleset != -1 && (r = sp_landlock_enter(ruleset)) != SP_OK)
		return r;
	sp_closep(&ruleset);
	*ret_step = "seccomp";
	r = sp_seccomp_load(&p->filter);
	return r == SP_EUNAVAIL ? SP_OK : r;
}
