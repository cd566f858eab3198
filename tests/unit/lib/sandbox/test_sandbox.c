/* Each test forks a child that enters a sandbox and then tries something; the child's fate is the result. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/attr.h"
#include "sandbox/internal.h"
#include "sandbox/sandbox.h"

#define WORKED		0
#define REFUSED		1	/* with an errno */
#define NO_SANDBOX	2

typedef int act_fn(void);	/* in the child: WORKED or REFUSED */

/* Exit status of the child, or -signal. */
static int
try(const struct sp_sandbox *s, act_fn *act)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		char in_force[1024];
		int null = open("/dev/null", O_WRONLY);

		if (sp_sandbox_enter(s, in_force, sizeof(in_force)) != SP_OK)
			_exit(NO_SANDBOX);
		dup2(null, STDERR_FILENO);	/* the line that names the call */
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int
may(unsigned bits, act_fn *act)
{
	const struct sp_sandbox s = { .may = bits, .user = "root" };

	return try(&s, act);
}

static void
assert_stopped(int fate)
{
	assert_true(fate == REFUSED || fate == -SIGSYS);
}

static int
act_socket_and_connect(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd == -1)
		return REFUSED;
	return connect(fd, (struct sockaddr *)(void *)&in, sizeof(in)) == 0 || errno == ECONNREFUSED ? WORKED : REFUSED;
}

static int inherited = -1;

static int
act_connect_inherited(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	return connect(inherited, (struct sockaddr *)(void *)&in, sizeof(in)) == 0 || errno == ECONNREFUSED ? WORKED : REFUSED;
}

static int
act_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0 && waitpid(pid, NULL, 0) == pid ? WORKED : REFUSED;
}

static int
act_exec(void)
{
	char *argv[] = { NULL, NULL };
	char name[] = "true";

	argv[0] = name;
	execv("/bin/true", argv);
	return REFUSED;
}

static int
act_kill(void)
{
	return kill(getppid(), 0) == 0 ? WORKED : REFUSED;
}

static int
act_ptrace(void)
{
	return ptrace(PTRACE_SEIZE, getppid(), NULL, NULL) == 0 ? WORKED : REFUSED;
}

static int
act_write_parent(void)
{
	char b[1] = { 0 };
	struct iovec a = { b, 1 };

	return process_vm_writev(getppid(), &a, 1, &a, 1, 0) == 1 ? WORKED : REFUSED;
}

static int
act_open(void)
{
	int fd = open("/etc/passwd", O_RDONLY);

	return fd != -1 ? WORKED : REFUSED;
}

static int
act_new_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED ?
	    WORKED : REFUSED;
}

static int
act_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0) == -1 && errno == EPERM ? REFUSED : WORKED;
}

static void *
thread_body(void *arg)
{
	return arg;
}

static int
act_thread(void)
{
	pthread_t t;

	return pthread_create(&t, NULL, thread_body, NULL) == 0 && pthread_join(t, NULL) == 0 ? WORKED : REFUSED;
}

static int
act_ordinary(void)
{
	char b[16] = "x";
	struct stat st;
	int p[2];
	void *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return m != MAP_FAILED && pipe(p) == 0 && write(p[1], b, 1) == 1 && read(p[0], b, 1) == 1 && fstat(p[0], &st) == 0 &&
	    getrandom(b, sizeof(b), 0) == (ssize_t)sizeof(b) ? WORKED : REFUSED;
}

static int
act_abort(void)
{
	abort();
}

static int
act_dump(void)
{
	struct rlimit rl;

	return prctl(PR_GET_DUMPABLE) == 0 && getrlimit(RLIMIT_CORE, &rl) == 0 && rl.rlim_max == 0 &&
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? REFUSED : WORKED;
}

static void
nothing_but_the_ordinary_works_without_a_bit(void **state)
{
	(void)state;
	assert_int_equal(may(0, act_ordinary), WORKED);
	assert_stopped(may(0, act_socket_and_connect));
	assert_stopped(may(0, act_exec));
	assert_stopped(may(0, act_write_parent));
	assert_stopped(may(0, act_kill));
	if (SP_SANDBOX_REDUCED)
		return;		/* sanitizers do these themselves */
	assert_stopped(may(0, act_fork));
	assert_stopped(may(0, act_ptrace));
	assert_stopped(may(0, act_open));
	assert_stopped(may(0, act_thread));
	assert_stopped(may(0, act_new_code));
	assert_int_equal(may(0, act_dump), REFUSED);
}

static void
a_session_cannot_connect_a_socket_that_it_was_given(void **state)
{
	(void)state;
	inherited = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_not_equal(inherited, -1);
	assert_stopped(may(SP_MAY_SOCKETPAIR, act_connect_inherited));
	assert_int_equal(may(SP_MAY_CONNECT, act_connect_inherited), WORKED);
	close(inherited);
}

static void
each_bit_allows_what_it_names(void **state)
{
	static const char *const programs[] = { "/bin", "/usr/bin", NULL };

	(void)state;
	assert_int_equal(may(SP_MAY_FORK, act_fork), WORKED);
	assert_int_equal(may(SP_MAY_THREADS, act_thread), WORKED);
	assert_int_equal(may(SP_MAY_CONNECT, act_socket_and_connect), WORKED);
	assert_int_equal(may(SP_MAY_KILL, act_kill), WORKED);
	assert_int_equal(try(&(struct sp_sandbox){ .may = SP_MAY_CONNECT | SP_MAY_EXEC, .user = "root", .ro = programs }, act_exec),
	    WORKED);
}

static void
threads_are_not_processes(void **state)
{
	(void)state;
	if (!SP_SANDBOX_REDUCED)
		assert_stopped(may(SP_MAY_THREADS, act_fork));
}

static void
calls_into_the_kernel_itself_end_the_process_whatever_the_bits(void **state)
{
	(void)state;
	if (!SP_SANDBOX_REDUCED)
		assert_int_equal(may(~0u, act_bpf), -SIGSYS);
}

static void
abort_still_ends_with_its_own_signal(void **state)
{
	(void)state;
	assert_int_equal(may(0, act_abort), -SIGABRT);
}

static char dir_in[64], dir_out[64];

static int
act_write_inside_only(void)
{
	char path[128];
	int in, out;

	snprintf(path, sizeof(path), "%s/f", dir_in);
	in = open(path, O_WRONLY | O_CREAT, 0600);
	snprintf(path, sizeof(path), "%s/f", dir_out);
	out = open(path, O_WRONLY | O_CREAT, 0600);
	return in != -1 && out == -1 && errno == EACCES ? WORKED : REFUSED;
}

static void
files_are_only_below_the_paths_given(void **state)
{
	const char *rw[] = { dir_in, NULL };
	const struct sp_sandbox s = { .may = SP_MAY_FILES, .user = "root", .rw = rw };
	char path[128];
	int fd, abi;

	(void)state;
	assert_int_equal(sp_landlock_prepare(&s, &fd, &abi), SP_OK);
	if (abi == 0)
		skip();		/* this kernel has no Landlock */
	close(fd);
	snprintf(dir_in, sizeof(dir_in), "/tmp/sp-sandbox-in-%d", (int)getpid());
	snprintf(dir_out, sizeof(dir_out), "/tmp/sp-sandbox-out-%d", (int)getpid());
	assert_int_equal(mkdir(dir_in, 0700), 0);
	assert_int_equal(mkdir(dir_out, 0700), 0);
	assert_int_equal(try(&s, act_write_inside_only), WORKED);
	snprintf(path, sizeof(path), "%s/f", dir_in);
	unlink(path);
	rmdir(dir_in);
	rmdir(dir_out);
}

static int
act_second_sandbox(void)
{
	const struct sp_sandbox s = { .may = 0, .user = "root" };
	char in_force[1024];
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (sp_sandbox_enter(&s, in_force, sizeof(in_force)) != SP_OK)
			_exit(NO_SANDBOX);
		_exit(act_ordinary() == WORKED && act_socket_and_connect() == REFUSED ? 0 : 1);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? WORKED : REFUSED;
}

static int
act_write_over_the_log(void)
{
	if (fcntl(inherited, F_SETFL, fcntl(inherited, F_GETFL) & ~O_APPEND) == 0)
		return pwrite(inherited, "gone", 4, 0) == 4 ? WORKED : REFUSED;
	return errno == EPERM && ftruncate(inherited, 0) == -1 && fcntl(inherited, F_SETFD, FD_CLOEXEC) == 0 ? REFUSED : WORKED;
}

static void
who_writes_no_files_cannot_change_what_a_log_holds(void **state)
{
	char name[] = "/tmp/sp-sandbox-XXXXXX", text[16] = "";

	(void)state;
	if (SP_SANDBOX_REDUCED)
		skip();
	inherited = mkstemp(name);
	assert_int_equal(fcntl(inherited, F_SETFL, O_APPEND), 0);
	assert_int_equal(write(inherited, "line", 4), 4);
	assert_int_equal(may(0, act_write_over_the_log), REFUSED);
	assert_int_equal(pread(inherited, text, sizeof(text) - 1, 0), 4);
	assert_string_equal(text, "line");
	assert_true(fcntl(inherited, F_GETFL) & O_APPEND);
	assert_int_equal(may(SP_MAY_FILES, act_write_over_the_log), WORKED);
	close(inherited);
	unlink(name);
}

static void
a_forked_child_can_take_more_away_from_itself(void **state)
{
	(void)state;
	if (SP_SANDBOX_REDUCED)
		skip();
	assert_int_equal(may(SP_MAY_FORK | SP_MAY_SOCKETPAIR, act_second_sandbox), WORKED);
}

/* Exit status, or -signal, of a child that enters what its parent prepared. */
static int
try_plan(const struct sp_sandbox_plan *p, act_fn *act)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		const char *step;
		int null = open("/dev/null", O_WRONLY);

		if (sp_sandbox_enter_plan(p, &step) != SP_OK)
			_exit(NO_SANDBOX);
		dup2(null, STDERR_FILENO);
		_exit(act());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int
act_signal_parent(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) == 0 ? WORKED : REFUSED;
}

static void
what_a_parent_prepared_holds_in_each_of_its_children(void **state)
{
	const struct sp_sandbox s = { .may = SP_MAY_SOCKETPAIR, .files_n = 64 };
	struct sp_sandbox_plan *p;

	(void)state;
	assert_int_equal(sp_sandbox_plan_new(&s, &p), SP_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(try_plan(p, act_ordinary), WORKED);
		assert_stopped(try_plan(p, act_socket_and_connect));
		/* The pid in the filter is the child's own, neither the parent's nor a brother's. */
		assert_int_equal(try_plan(p, act_abort), -SIGABRT);
		if (!SP_SANDBOX_REDUCED)
			assert_stopped(try_plan(p, act_signal_parent));
	}
	sp_sandbox_plan_free(p);
}

static void
a_plan_changes_no_user(void **state)
{
	const struct sp_sandbox s = { .user = "nobody" };
	struct sp_sandbox_plan *p;

	(void)state;
	assert_int_equal(sp_sandbox_plan_new(&s, &p), SP_EINVAL);
}

static int
act_is_nobody(void)
{
	return getuid() != 0 && geteuid() != 0 && getgid() != 0 && setuid(0) == -1 ? WORKED : REFUSED;
}

static void
root_becomes_the_user_named_without_a_way_back(void **state)
{
	const struct sp_sandbox s = { .user = "nobody" };
	int fate;

	(void)state;
	if (geteuid() != 0)
		skip();
	fate = try(&s, act_is_nobody);
	assert_true(fate == WORKED || fate == -SIGSYS);	/* setuid itself may be what ends it */
}

static void
says_what_is_in_force(void **state)
{
	const struct sp_sandbox s = { .user = "no-such-user-here", .files_n = 64 };
	char line[1024] = "";
	int p[2], status;
	pid_t pid;
	ssize_t n;

	(void)state;
	assert_int_equal(pipe(p), 0);
	if ((pid = fork()) == 0) {
		if (sp_sandbox_enter(&s, line, sizeof(line)) != SP_OK)
			_exit(1);
		_exit(write(p[1], line, strlen(line)) > 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	n = read(p[0], line, sizeof(line) - 1);
	assert_true(n > 0);
	line[n] = '\0';
	assert_non_null(strstr(line, "user "));
	if (geteuid() == 0)
		assert_non_null(strstr(line, "stays root (no user no-such-user-here)"));
	assert_non_null(strstr(line, "no new privileges"));
	assert_non_null(strstr(line, "seccomp"));
	assert_non_null(strstr(line, "landlock"));
	close(p[0]);
	close(p[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_but_the_ordinary_works_without_a_bit),
		cmocka_unit_test(a_session_cannot_connect_a_socket_that_it_was_given),
		cmocka_unit_test(each_bit_allows_what_it_names),
		cmocka_unit_test(threads_are_not_processes),
		cmocka_unit_test(calls_into_the_kernel_itself_end_the_process_whatever_the_bits),
		cmocka_unit_test(abort_still_ends_with_its_own_signal),
		cmocka_unit_test(files_are_only_below_the_paths_given),
		cmocka_unit_test(who_writes_no_files_cannot_change_what_a_log_holds),
		cmocka_unit_test(a_forked_child_can_take_more_away_from_itself),
		cmocka_unit_test(what_a_parent_prepared_holds_in_each_of_its_children),
		cmocka_unit_test(a_plan_changes_no_user),
		cmocka_unit_test(root_becomes_the_user_named_without_a_way_back),
		cmocka_unit_test(says_what_is_in_force),
	};

	return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
