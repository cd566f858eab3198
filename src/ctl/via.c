/* src/ctl/via.c - see via.h. */
#include "ctl/via.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"

#define ANSWER_MAX	((size_t)64 << 20)
#define OPTIONS_MAX	16
#define WORDS_MAX	16

static enum sp_err
run_ssh(struct ctl *c, char *const argv[], struct sp_buf *ret)
{
	posix_spawn_file_actions_t fa;
	int p[2], status;
	pid_t pid;
	ssize_t n = 0;
	char part[4096];
	enum sp_err r = SP_OK;

	if (pipe2(p, O_CLOEXEC) == -1)
		return ctl_fail(c, SP_ESYS, "%s", strerror(errno));
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, p[1], STDOUT_FILENO);
	errno = posix_spawnp(&pid, "ssh", &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	close(p[1]);
	if (errno != 0) {
		close(p[0]);
		return ctl_fail(c, SP_ESYS, "ssh: %s", strerror(errno));
	}
	while (r == SP_OK && (n = read(p[0], part, sizeof(part))) > 0)
		r = sp_buf_append(ret, part, (size_t)n);
	close(p[0]);
	while (waitpid(pid, &status, 0) == -1 && errno == EINTR)
		;
	if (r != SP_OK)
		return ctl_fail(c, r, "the bastion's answer is too long");
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? SP_OK : ctl_fail(c, SP_EUNAVAIL, "the bastion did not answer over ssh");
}

/* argv wants what it does not change as writable. */
static char *
word(const char *s)
{
	return (char *)(uintptr_t)s;
}

enum sp_err
ctl_via(struct ctl *c, const char *method, json_t *params, const char *const *words, json_t **ret)
{
	const char *via = ctl_local_str(c, "via");
	sp_auto(sp_buf_release) struct sp_buf out = { .max = ANSWER_MAX };
	json_t *options = json_object_get(c->local, "ssh-option"), *v;
	char *argv[2 * OPTIONS_MAX + WORDS_MAX + 5];
	size_t n = 0, i;

	if (via == NULL)
		return ctl_call(c, method, params, ret);
	if (*via == '-')
		return ctl_fail(c, SP_EUSAGE, "--via is not understood");
	argv[n++] = word("ssh");
	argv[n++] = word("-T");
	json_array_foreach(options, i, v)
		if (i < OPTIONS_MAX) {
			argv[n++] = word("-o");
			argv[n++] = word(json_string_value(v));
		}
	argv[n++] = word("--");
	argv[n++] = word(via);
	for (i = 0; i < WORDS_MAX && words[i] != NULL; i++)
		argv[n++] = word(words[i]);
	argv[n] = NULL;
	CTL_TRY(run_ssh(c, argv, &out));
	*ret = json_loadb((const char *)out.p, out.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
	return *ret != NULL || out.len == 0 ? SP_OK : ctl_fail(c, SP_EFORMAT, "the bastion's answer is not understood");
}
