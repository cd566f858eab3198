/* src/monitor/hostkeys.c - the SSH host keys of the bastion, made at first start with ssh-keygen(1): the file format is
 * then exactly what OpenSSH's tools read. Process: monitor, before it starts anything else.
 * Invariant: a key file appears under its name only when it is complete. */
#include "monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

static const struct {
	const char	*name, *type, *bits;
} keys[MON_HOSTKEYS] = {
	{ "ssh_host_ed25519_key", "ed25519", NULL },
	{ "ssh_host_ecdsa_key", "ecdsa", "256" },
	{ "ssh_host_rsa_key", "rsa", "3072" },
};
static const char *const keygen_paths[] = { "/usr/bin/ssh-keygen", "/usr/local/bin/ssh-keygen", "/bin/ssh-keygen" };

static void
keygen_exec(const char *path, const char *type, const char *bits)
{
	static char *const env[] = { NULL };
	const char *argv[] = { "ssh-keygen", "-q", "-N", "", "-C", "sallyport", "-t", type, "-f", path,
		bits != NULL ? "-b" : NULL, bits, NULL };
	int null = open("/dev/null", O_RDWR);

	if (null != -1) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	for (size_t i = 0; i < SP_NELEMS(keygen_paths); i++)
		execve(keygen_paths[i], (char *const *)(uintptr_t)argv, env);
	_exit(127);
}

static int
keygen_run(const char *path, const char *type, const char *bits)
{
	int status;
	pid_t pid = fork();

	if (pid == -1)
		return -1;
	if (pid == 0)
		keygen_exec(path, type, bits);
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR)
			return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static enum sp_err
hostkey_make(const char *path, const char *type, const char *bits, char *why, size_t n)
{
	char tmp[SP_CONF_TEXT + 64], pub[SP_CONF_TEXT + 64], pub_to[SP_CONF_TEXT + 64];

	sp_snprintf(tmp, sizeof(tmp), "%s.new", path);
	sp_snprintf(pub, sizeof(pub), "%s.new.pub", path);
	sp_snprintf(pub_to, sizeof(pub_to), "%s.pub", path);
	(void)unlink(tmp);	/* left by a start that was interrupted */
	if (keygen_run(tmp, type, bits) != 0) {
		sp_snprintf(why, n, "cannot make the host key %s: is ssh-keygen installed (openssh-client)?", path);
		return SP_ESYS;
	}
	if (rename(pub, pub_to) == -1 || rename(tmp, path) == -1) {
		sp_snprintf(why, n, "cannot write the host key %s: %s", path, strerror(errno));
		return SP_ESYS;
	}
	sp_info("made the host key %s", path);
	return SP_OK;
}

enum sp_err
mon_hostkeys_make(struct mon *m, char *why, size_t n)
{
	for (size_t i = 0; i < MON_HOSTKEYS; i++) {
		enum sp_err r;

		sp_snprintf(m->hostkey[i], sizeof(m->hostkey[i]), "%s/hostkeys/%s", m->conf.state_dir, keys[i].name);
		if (access(m->hostkey[i], F_OK) == 0)
			continue;
		if ((r = hostkey_make(m->hostkey[i], keys[i].type, keys[i].bits, why, n)) != SP_OK)
			return r;
	}
	return SP_OK;
}
