/* lib/sandbox/seccomp.c - calls.def turned into a filter.
 * What is not allowed ends the process. The dangerous calls are killed by the kernel itself (SECCOMP_RET_KILL_PROCESS);
 * a call that nobody listed traps, so that one line can name it before the process dies of the same signal: without that
 * line an administrator whose C library grew a new call would learn nothing but "bad system call".
 * Filters add up: a forked child that enters a second, stricter sandbox keeps the first. */
#include "sandbox/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"

#define ALWAYS	(~0u)
#define WRITES	(SP_MAY_FILES | SP_MAY_SQL)
#define FILES	(SP_MAY_FILES | SP_MAY_SQL | SP_MAY_CONNECT)	/* the resolver reads /etc */
#define NET	(SP_MAY_CONNECT | SP_MAY_SQL)
/* Stands for the pid of who loads the filter. No pid (at most 2^22), no call number and no mask has this value. */
#define OWN_PID	0x7e57a11du

#ifndef PR_SET_VMA
#define PR_SET_VMA	0x53564d41
#endif

enum calls_else { ELSE_TRAP, ELSE_ERRNO, ELSE_KILL };
struct calls_row {
	const char	*name;
	unsigned	 may;
	enum calls_else	 otherwise;
	int		 errnum;
};
static const struct calls_row rows[] = {
#define CALL(name, may)		{ #name, may, ELSE_TRAP, 0 },
#define SOFT(name, may, e)	{ #name, may, ELSE_ERRNO, e },
#define HARD(name, may)		{ #name, may, ELSE_KILL, 0 },
#include "sandbox/calls.def"
#undef CALL
#undef SOFT
#undef HARD
};

static enum sp_err
calls_err(int rc)
{
	return rc == 0 ? SP_OK : sp_err_errno(-rc);
}

/* One row. Names that this architecture or library does not know are skipped: they cannot be called either. */
static enum sp_err
calls_add_row(scmp_filter_ctx ctx, const struct calls_row *row, unsigned may, int *n)
{
	int nr = seccomp_syscall_resolve_name(row->name);
	uint32_t action;

	if (nr < 0)
		return SP_OK;
	if (row->may == ALWAYS || (row->may & may) != 0) {
		(*n)++;
		return calls_err(seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0));
	}
	if (row->otherwise == ELSE_TRAP)
		return SP_OK;	/* the default */
	action = row->otherwise == ELSE_KILL ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_ERRNO((uint32_t)row->errnum);
	return calls_err(seccomp_rule_add(ctx, action, nr, 0));
}

static int
calls_allow_values(scmp_filter_ctx ctx, int nr, unsigned arg, const unsigned *values, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_CMP32(arg, SCMP_CMP_EQ, values[i]));
	return rc;
}

/* Threads are clone(2) with CLONE_THREAD; everything else is a new process. */
static int
calls_add_clone(scmp_filter_ctx ctx, unsigned may)
{
	if (may & SP_MAY_FORK)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0);
	if (may & SP_MAY_THREADS)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
	return seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 0);
}

/* abort(3) signals its own thread. A process that forks lets its children do so: their pid is not known yet. */
static int
calls_add_tgkill(scmp_filter_ctx ctx, unsigned may)
{
	if (may & (SP_MAY_FORK | SP_MAY_KILL))
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0);
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0_32(SCMP_CMP_EQ, OWN_PID));
}

/* New code only where libraries are loaded late: the name service, libpq, a program to be started. */
static int
calls_add_mmap(scmp_filter_ctx ctx, unsigned may)
{
	static const char *const names[] = { "mmap", "mprotect" };
	int any = (may & (NET | SP_MAY_EXEC)) != 0, rc = 0;

	for (size_t i = 0; i < SP_NELEMS(names) && rc == 0; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);

		if (any) {
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
			continue;
		}
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		if (rc == 0)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), nr, 1,
			    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
	}
	return rc;
}

/* A filter cannot say "all but these" for one call: the others of ioctl and prctl end the process like an unknown call.
 * What libraries ask of a terminal is listed, what could type into one (TIOCSTI) is not. */
static int
calls_add_by_value(scmp_filter_ctx ctx, unsigned may)
{
	static const unsigned ioctls[] = { FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ, TIOCOUTQ };
	static const unsigned prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA, PR_GET_NO_NEW_PRIVS,
		PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, PR_GET_SECCOMP };
	int rc = calls_allow_values(ctx, SCMP_SYS(ioctl), 1, ioctls, SP_NELEMS(ioctls));

	if (rc == 0)
		rc = calls_allow_values(ctx, SCMP_SYS(prctl), 0, prctls, SP_NELEMS(prctls));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 2,
		    SCMP_A0_32(SCMP_CMP_EQ, PR_SET_DUMPABLE), SCMP_A1(SCMP_CMP_EQ, 0));
	if (rc == 0 && (may & SP_MAY_FORK))
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0_32(SCMP_CMP_EQ, PR_SET_SECCOMP));
	return rc;
}

/* Reading a limit is harmless, setting one is for a process that forks and restricts its children. */
static int
calls_add_limits(scmp_filter_ctx ctx, unsigned may)
{
	int rc;

	if (may & SP_MAY_FORK)
		return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 0);
	rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_EQ, 0));
	return rc != 0 ? rc : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(prlimit64), 1, SCMP_A2(SCMP_CMP_NE, 0));
}

/* fstat(3) is newfstatat(fd, "", AT_EMPTY_PATH) or statx in newer C libraries; with a name it is for those with files. */
static int
calls_add_stat(scmp_filter_ctx ctx, unsigned may)
{
	static const struct {
		const char	*name;
		unsigned	 flags_arg;
	} stats[] = { { "newfstatat", 3 }, { "statx", 2 } };
	int rc = 0;

	for (size_t i = 0; i < SP_NELEMS(stats) && rc == 0; i++) {
		int nr = seccomp_syscall_resolve_name(stats[i].name);

		if (nr < 0)
			continue;
		if (may & FILES) {
			rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 0);
			continue;
		}
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, nr, 1,
		    SCMP_CMP(stats[i].flags_arg, SCMP_CMP_MASKED_EQ, 0x1000, 0x1000));
		if (rc == 0)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), nr, 1,
			    SCMP_CMP(stats[i].flags_arg, SCMP_CMP_MASKED_EQ, 0x1000, 0));
	}
	return rc;
}

/* Who writes no files holds a log file as standard error at most, shared with everybody: without F_SETFL it stays opened for
 * appending, so what is there cannot be written over. Values are compared whole: the kernel reads only 32 bits of them, a
 * value with more is in no row and traps. Non-blocking sockets are made with ioctl(FIONBIO). */
static int
calls_add_fcntl(scmp_filter_ctx ctx, unsigned may)
{
	static const unsigned commands[] = { F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_ADD_SEALS, F_GET_SEALS };
	int rc;

	if (may & WRITES)
		return 0;
	rc = calls_allow_values(ctx, SCMP_SYS(fcntl), 1, commands, SP_NELEMS(commands));
	return rc != 0 ? rc : seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), 1, SCMP_A1_32(SCMP_CMP_EQ, F_SETFL));
}

static enum sp_err
calls_add_special(scmp_filter_ctx ctx, unsigned may, int *n)
{
	static int (*const add[])(scmp_filter_ctx, unsigned) = { calls_add_clone, calls_add_tgkill, calls_add_mmap,
		calls_add_by_value, calls_add_limits, calls_add_stat, calls_add_fcntl };

	for (size_t i = 0; i < SP_NELEMS(add); i++) {
		int rc = add[i](ctx, may);

		if (rc != 0)
			return calls_err(rc);
		(*n)++;
	}
	return SP_OK;
}

/* Async-signal-safe: names the number, then dies of the default action as soon as the handler returns. */
static void
calls_on_trap(int signo, siginfo_t *si, void *uc)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	char line[] = "sandbox: system call 0000 is not allowed in this process\n";
	unsigned nr = (unsigned)si->si_syscall % 10000;

	(void)uc;
	for (int i = 3; i >= 0; i--, nr /= 10)
		line[21 + i] = (char)('0' + nr % 10);
	(void)!write(STDERR_FILENO, line, sizeof(line) - 1);
	(void)sigaction(signo, &dfl, NULL);
	(void)syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), signo);
}

static enum sp_err
calls_catch_trap(void)
{
	struct sigaction sa = { .sa_sigaction = calls_on_trap, .sa_flags = SA_SIGINFO };

	sigemptyset(&sa.sa_mask);
	return sigaction(SIGSYS, &sa, NULL) == 0 ? SP_OK : SP_ESYS;
}

/* Under a sanitizer: everything passes but what a session must never do, and that only reads EPERM. */
static enum sp_err
calls_fill_reduced(scmp_filter_ctx ctx, unsigned may, int *n)
{
	static const struct calls_row no[] = { { "connect", NET, ELSE_ERRNO, EPERM }, { "bind", NET, ELSE_ERRNO, EPERM },
		{ "listen", 0, ELSE_ERRNO, EPERM }, { "execve", SP_MAY_EXEC, ELSE_ERRNO, EPERM },
		{ "process_vm_writev", 0, ELSE_ERRNO, EPERM }, { "kill", SP_MAY_KILL, ELSE_ERRNO, EPERM },
		{ "pidfd_send_signal", SP_MAY_KILL, ELSE_ERRNO, EPERM } };
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < SP_NELEMS(no) && r == SP_OK; i++)
		if ((no[i].may & may) == 0)
			r = calls_add_row(ctx, &no[i], may, n);
	return r;
}

static enum sp_err
calls_fill(scmp_filter_ctx ctx, unsigned may, int *n)
{
	enum sp_err r = SP_OK;

	if (SP_SANDBOX_REDUCED)
		return calls_fill_reduced(ctx, may, n);
	for (size_t i = 0; i < SP_NELEMS(rows) && r == SP_OK; i++)
		r = calls_add_row(ctx, &rows[i], may, n);
	return r == SP_OK ? calls_add_special(ctx, may, n) : r;
}

/* libseccomp's program, read back through a memory file: it can only write to a descriptor. */
static enum sp_err
calls_export(scmp_filter_ctx ctx, struct sp_seccomp *f)
{
	sp_auto(sp_closep) int fd = memfd_create("seccomp", MFD_CLOEXEC);
	int rc = fd == -1 ? -errno : seccomp_export_bpf(ctx, fd);
	off_t size;

	if (rc != 0)
		return calls_err(rc);
	if ((size = lseek(fd, 0, SEEK_END)) <= 0 || size % (off_t)sizeof(*f->insn) != 0 ||
	    size / (off_t)sizeof(*f->insn) > BPF_MAXINSNS)
		return SP_ESIZE;
	if ((f->insn = malloc((size_t)size)) == NULL)
		return SP_ENOMEM;
	if (pread(fd, f->insn, (size_t)size, 0) != size) {
		sp_seccomp_release(f);
		return SP_EIO;
	}
	f->n = (unsigned short)(size / (off_t)sizeof(*f->insn));
	return SP_OK;
}

enum sp_err
sp_seccomp_compile(unsigned may, struct sp_seccomp *ret)
{
	scmp_filter_ctx ctx = seccomp_init(SP_SANDBOX_REDUCED ? SCMP_ACT_ALLOW : SCMP_ACT_TRAP);
	struct sp_seccomp f = { 0 };
	enum sp_err r;

	if (ctx == NULL)
		return SP_ENOMEM;
	if ((r = calls_fill(ctx, may, &f.calls_n)) == SP_OK) {
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
		(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);	/* a search tree: many calls, few steps */
		r = calls_export(ctx, &f);
	}
	seccomp_release(ctx);
	if (r == SP_OK)
		*ret = f;
	return r;
}

void
sp_seccomp_release(struct sp_seccomp *f)
{
	free(f->insn);
	*f = (struct sp_seccomp){ 0 };
}

/* A kernel without filters answers EINVAL, and so does one that does not like this filter: only the first is excused. */
static int
calls_kernel_has_filters(void)
{
	uint32_t action = SECCOMP_RET_TRAP;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

enum sp_err
sp_seccomp_load(const struct sp_seccomp *f)
{
	sp_auto(sp_freep) struct sock_filter *own = malloc(f->n * sizeof(*own));
	struct sock_fprog prog = { .len = f->n, .filter = own };
	long rc;

	if (own == NULL)
		return SP_ENOMEM;
	memcpy(own, f->insn, f->n * sizeof(*own));
	for (unsigned i = 0; i < f->n; i++)
		if (own[i].code == (BPF_JMP | BPF_JEQ | BPF_K) && own[i].k == OWN_PID)
			own[i].k = (uint32_t)getpid();
	if (calls_catch_trap() != SP_OK)
		return SP_ESYS;
	rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
	if (rc > 0)
		return SP_ESYS;		/* the number of a thread that could not follow */
	if (rc == 0)
		return SP_OK;
	if ((errno == EINVAL || errno == ENOSYS) && !calls_kernel_has_filters())
		return SP_EUNAVAIL;
	return sp_err_errno(errno);
}
