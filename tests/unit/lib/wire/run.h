/* tests/unit/lib/wire/run.h - for tests: a temporary folder, files in it, and a real program's output. */
#ifndef TEST_RUN_H
#define TEST_RUN_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run argv, its stdout and stderr into out (NUL-terminated, cut at size); returns the exit status, -1 on a signal. */
static inline int
run_program(char *const argv[], char *out, size_t size)
{
	int p[2], status;
	size_t n = 0;
	ssize_t got;
	pid_t pid;

	if (pipe(p) != 0 || (pid = fork()) == -1)
		abort();
	if (pid == 0) {
		dup2(open("/dev/null", O_RDONLY), 0);
		dup2(p[1], 1);
		dup2(p[1], 2);
		close(p[0]);
		execvp(argv[0], argv);
		_exit(127);
	}
	close(p[1]);
	while (n + 1 < size && (got = read(p[0], out + n, size - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = 0;
	close(p[0]);
	if (waitpid(pid, &status, 0) != pid)
		abort();
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline void
write_file(const char *path, const void *data, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd == -1 || write(fd, data, n) != (ssize_t)n || close(fd) != 0)
		abort();
}

/* NUL-terminated; freed by the caller. */
static inline char *
read_file(const char *path, size_t *ret_n)
{
	char *p = calloc(1, 65536);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (p == NULL || fd == -1 || (n = read(fd, p, 65535)) < 0)
		abort();
	close(fd);
	*ret_n = (size_t)n;
	return p;
}

static inline void
remove_dir(const char *dir)
{
	char *argv[] = { (char[]){ "rm" }, (char[]){ "-rf" }, NULL, NULL }, out[256], path[256];

	snprintf(path, sizeof(path), "%s", dir);
	argv[2] = path;
	run_program(argv, out, sizeof(out));
}

#endif
