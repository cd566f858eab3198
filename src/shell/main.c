/* src/shell/main.c - sallyport-shell: one command line that somebody gave over SSH (`ssh bastion -- user list`): its words,
 * then the same program as `sallyport` (src/ctl) in a sandbox without files, sockets or other processes.
 * Process: shell, one for each command, started by the monitor with two descriptors: the channel to control, which control
 * bound to the user who is logged in, and talk (talk.h) to the session. What it is told and what it answers never passes
 * through control as text, and nothing of it is recorded: control writes each change to the audit log. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "common/child.h"
#include "crypto/secret.h"
#include "ctl/call.h"
#include "shell/talk.h"
#include "shell/words.h"

#define CALL_FD		SP_CHILD_FD
#define TALK_FD		(SP_CHILD_FD + 1)
#define CPU_S		60
#define FILES_N		32
#define NO_START	125	/* exit status, to the monitor */

struct shell {
	struct ctl	 c;
	struct ctl_place place;
	char		 line[SP_TALK_PACKET + 1];
	char		 program[sizeof("sallyport")];
	char		*argv[SHELL_WORDS_N + 2];
};

static void
shell_say(char what, const void *p, size_t n)
{
	char packet[SP_TALK_TEXT_MAX + 1];

	packet[0] = what;
	if (n > SP_TALK_TEXT_MAX)
		n = SP_TALK_TEXT_MAX;
	memcpy(packet + 1, p, n);
	while (send(TALK_FD, packet, n + 1, MSG_NOSIGNAL) == -1 && errno == EINTR)
		;
}

/* The session asks on the person's terminal. */
static enum sp_err
shell_prompt(struct ctl *c, const char *prompt, struct sp_secret *ret)
{
	sp_auto_secret s = { 0 };
	size_t len = strlen(prompt);
	ssize_t n;

	if (!c->is_tty)
		return ctl_fail(c, SP_EUSAGE, "there is no terminal to ask \"%.*s\" on: use ssh -t, or the option that reads standard input",
		    (int)strcspn(prompt, ":"), prompt);
	if (sp_secret_alloc(SP_TALK_TEXT_MAX + 1, &s) != SP_OK)
		return ctl_fail(c, SP_ENOMEM, "cannot lock memory for a secret");
	fflush(c->out);
	fflush(c->err);
	while (len > 0 && (prompt[len - 1] == ' ' || prompt[len - 1] == ':'))
		len--;
	shell_say(SP_TALK_PROMPT, prompt, len);
	do
		n = recv(TALK_FD, s.p, SP_TALK_TEXT_MAX + 1, 0);
	while (n == -1 && errno == EINTR);
	if (n < 1 || s.p[0] != SP_TALK_ANSWER || n == 1)
		return ctl_fail(c, SP_ESHORT, "nothing was typed");
	memmove(s.p, s.p + 1, (size_t)n - 1);
	s.p[n - 1] = 0;
	s.len = (size_t)n - 1;
	*ret = sp_secret_steal(&s);
	return SP_OK;
}

static enum sp_err
shell_code(struct ctl *c)
{
	char answer[2];
	ssize_t n;

	fflush(c->out);
	fflush(c->err);
	shell_say(SP_TALK_CODE, "", 0);
	do
		n = recv(TALK_FD, answer, sizeof(answer), 0);
	while (n == -1 && errno == EINTR);
	return n >= 1 && answer[0] == SP_TALK_ANSWER ? SP_OK : SP_EAUTH;
}

/* The first packet: the words, and the streams, which become ours. Returns the bytes of the packet. */
static size_t
shell_receive(struct shell *sh)
{
	union {
		struct cmsghdr	h;
		char		space[CMSG_SPACE(2 * sizeof(int))];
	} u;
	struct iovec iov = { sh->line, SP_TALK_PACKET };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
	struct cmsghdr *h;
	int fds[2];
	ssize_t n;

	do
		n = recvmsg(TALK_FD, &m, 0);
	while (n == -1 && errno == EINTR);
	h = CMSG_FIRSTHDR(&m);
	if (n < 5 || sh->line[0] != SP_TALK_WORDS || (m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || h == NULL ||
	    h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(sizeof(fds)))
		_exit(NO_START);	/* the session went away again */
	memcpy(fds, CMSG_DATA(h), sizeof(fds));
	if (dup2(fds[0], STDIN_FILENO) == -1 || dup2(fds[0], STDOUT_FILENO) == -1 || dup2(fds[1], STDERR_FILENO) == -1)
		_exit(NO_START);
	close(fds[0]);
	close(fds[1]);
	return (size_t)n;
}

static void
shell_enclose(void)
{
	static const char *const none[] = { NULL };
	static const struct rlimit cpu = { CPU_S, CPU_S };
	const struct sp_sandbox box = { .user = sp_proc_user(SP_PROC_SHELL), .rw = none, .ro = none, .files_n = FILES_N };
	char in_force[1024] = "";

	signal(SIGPIPE, SIG_IGN);
	json_object_seed(0);
	if (setrlimit(RLIMIT_CPU, &cpu) == -1 || sp_sandbox_enter(&box, in_force, sizeof(in_force)) != SP_OK)
		sp_die(71, "cannot enter the sandbox: %s", in_force);
}

/* "sallyport" in front is welcome and means nothing. */
static int
shell_run(struct shell *sh, size_t n)
{
	struct ctl *c = &sh->c;
	struct sp_view v = { (const uint8_t *)sh->line + 1, n - 1 };
	const char *why = "";
	uint32_t cols = 0;
	int argc = 0;
	enum sp_err r = sp_view_u32(&v, &cols);

	c->out = stdout;
	c->err = stderr;
	c->place = &sh->place;
	c->is_tty = cols > 0;
	c->width = cols;
	if (r == SP_OK && (r = shell_words(sh->line + 5, v.len, sh->argv + 1, &argc, &why)) != SP_OK)
		return sp_err_exit(ctl_fail(c, SP_EUSAGE, "%s", why));
	(void)sp_strlcpy(sh->program, "sallyport", sizeof(sh->program));
	sh->argv[0] = sh->program;
	if (argc > 0 && strcmp(sh->argv[1], sh->program) == 0)
		return ctl_main(c, argc, sh->argv + 1);
	return ctl_main(c, argc + 1, sh->argv);
}

int
main(void)
{
	static struct shell sh;
	uint8_t status;
	size_t n;

	sp_log_init(sp_proc_name(SP_PROC_SHELL), SP_LOG_WARN);
	if (ctl_place_chan(CALL_FD, &sh.place.chan) != SP_OK)
		sp_die(64, "this program is started by sallyport-monitor, not by hand");
	shell_enclose();
	sh.place.prompt = shell_prompt;
	sh.place.code = shell_code;
	n = shell_receive(&sh);
	status = (uint8_t)shell_run(&sh, n);
	fflush(stdout);
	fflush(stderr);
	explicit_bzero(&sh.line, sizeof(sh.line));
	shell_say(SP_TALK_EXIT, &status, 1);
	sp_chan_free(sh.place.chan);
	return 0;
}
