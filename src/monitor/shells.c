/* src/monitor/shells.c - `ssh bastion -- WORDS`: one sallyport-shell for each, with the two descriptors that control sent.
 * Process: monitor.
 * Invariants: (1) a shell does not outlive its connection: it is killed with it. (2) At most SHELLS_MAX at a time; control
 * has limits below that. (3) No descriptor of a shell stays here: it ends, too, when control and session let go. */
#include "monitor/monitor.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

#define SHELLS_MAX	512

struct shell {
	struct sp_list	link;
	struct sp_uuid	conn_id;
	pid_t		pid;
	int		pidfd;
};

static void
shell_free(struct mon *m, struct shell *s)
{
	sp_list_remove(&s->link);
	m->n_shells--;
	sp_closep(&s->pidfd);
	free(s);
}

/* Descriptors of msg: the shell's channel to control, and talk. Without an executable or a process they just close, and
 * the session tells its user. */
enum sp_err
mon_shell_spawn(struct mon *m, const struct sp_uuid *conn_id, struct sp_msg *msg)
{
	char path[SP_CONF_TEXT * 2 + 128];
	struct shell *s;

	if (mon_exe_find(m, SP_PROC_SHELL, path, sizeof(path)) != 0) {
		sp_error("%s: no such executable in the directories given with -l", sp_proc_exe(SP_PROC_SHELL));
		return SP_OK;
	}
	if (m->n_shells >= SHELLS_MAX || (s = calloc(1, sizeof(*s))) == NULL) {
		sp_error("too many command lines at once");
		return SP_OK;
	}
	s->conn_id = *conn_id;
	s->pidfd = -1;
	if ((s->pid = fork()) == 0)
		mon_exec(path, sp_proc_exe(SP_PROC_SHELL), msg->fds, 2);
	sp_list_add_tail(&m->shells, &s->link);
	m->n_shells++;
	if (s->pid == -1) {
		sp_error("cannot start a command line: %s", strerror(errno));
		shell_free(m, s);
		return SP_OK;
	}
	s->pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	return SP_OK;
}

void
mon_shells_end(struct mon *m, const struct sp_uuid *conn_id)
{
	sp_list_each(it, &m->shells) {
		struct shell *s = sp_container(it, struct shell, link);

		if ((conn_id == NULL || sp_uuid_equal(conn_id, &s->conn_id)) && s->pidfd != -1)
			(void)syscall(SYS_pidfd_send_signal, s->pidfd, SIGKILL, NULL, 0);
	}
}

int
mon_shells_reaped(struct mon *m, pid_t pid, int status)
{
	char text[128];

	sp_list_each(it, &m->shells) {
		struct shell *s = sp_container(it, struct shell, link);

		if (s->pid != pid)
			continue;
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			sp_error("shell (pid %d) died: %s", (int)pid, mon_status_text(status, text, sizeof(text)));
		shell_free(m, s);
		return 1;
	}
	return 0;
}

void
mon_shells_release(struct mon *m)
{
	mon_shells_end(m, NULL);
	sp_list_each(it, &m->shells)
		shell_free(m, sp_container(it, struct shell, link));
}
