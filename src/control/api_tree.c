/* src/control/api_tree.c - which callers are refused for where they come from: our own process tree.
 * Process: control. A process that was taken over must not become an administrator by connecting to the local socket:
 * every process below the monitor (our parent) is refused, however deep. */
#include "control/api_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/str.h"

#define TREE_DEPTH_MAX	64

/* Field 4 of stat(5) of proc; the name in field 2 may hold anything, so look behind its last bracket. */
static int
parent_of(int proc_fd, pid_t pid, pid_t *ret)
{
	char path[32], text[512], *p, *end;
	sp_auto(sp_closep) int fd = -1;
	ssize_t n;
	long v;

	sp_snprintf(path, sizeof(path), "%d/stat", (int)pid);
	if ((fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC)) == -1 || (n = read(fd, text, sizeof(text) - 1)) <= 0)
		return -1;
	text[n] = '\0';
	if ((p = strrchr(text, ')')) == NULL || strlen(p) < 5)
		return -1;
	v = strtol(p + 4, &end, 10);
	if (end == p + 4 || v < 0)
		return -1;
	*ret = (pid_t)v;
	return 0;
}

int
api_tree_is_ours(int proc_fd, pid_t caller, pid_t monitor)
{
	pid_t at = caller;

	if (proc_fd == -1 || monitor <= 1)
		return 0;	/* started by init: that is no monitor's tree to tell apart */
	for (int depth = 0; depth < TREE_DEPTH_MAX && at > 1; depth++) {
		pid_t up;

		if (parent_of(proc_fd, at, &up) == -1)
			return at == caller ? -1 : 0;
		if (up == monitor)
			return 1;
		at = up;
	}
	return 0;
}
