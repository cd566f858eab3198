/* src/monitor/listen.c - the listening sockets of the SSH gate. Process: monitor, which never accepts on them: the gate
 * inherits duplicates, so that a restart of the gate leaves waiting connections in the kernel's queue. */
#include "monitor/monitor.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/netaddr.h"
#include "base/str.h"
#include "common/copydest.h"

#define LISTEN_BACKLOG	1024
#define LISTEN_PORT	22

static int
listen_socket(const struct sp_netaddr *a)
{
	sp_auto(sp_closep) int fd = -1;
	struct sockaddr_storage ss;
	socklen_t len = sp_netaddr_to_sockaddr(a, &ss);
	const int on = 1;

	if ((fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    (ss.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == -1) ||
	    bind(fd, (struct sockaddr *)(void *)&ss, len) == -1 || listen(fd, LISTEN_BACKLOG) == -1)
		return -1;
	return sp_steal_fd(&fd);
}

static size_t
listen_find(const struct sp_config *c, const char *text)
{
	size_t i = 0;

	while (i < c->listen.n && strcmp(c->listen.v[i], text) != 0)
		i++;
	return i;
}

int
mon_listen_same(const struct sp_config *a, const struct sp_config *b)
{
	if (a->listen.n != b->listen.n)
		return 0;
	for (size_t i = 0; i < a->listen.n; i++)
		if (listen_find(b, a->listen.v[i]) == b->listen.n)
			return 0;
	return 1;
}

/* Sockets whose text did not change are kept. text: the configuration as it was read, for the message. On failure everything is
 * as before. */
enum sp_err
mon_listen_open(struct mon *m, const struct sp_config *conf, const char *text, char *why, size_t n)
{
	int fd[SP_CONF_LIST], fresh[SP_CONF_LIST];
	struct sp_netaddr a;
	size_t i;

	for (i = 0; i < conf->listen.n; i++) {
		size_t old = m->n_listen > 0 ? listen_find(&m->conf, conf->listen.v[i]) : 0;

		fresh[i] = old >= m->n_listen;
		fd[i] = fresh[i] ? -1 : m->listen_fd[old];
		if (!fresh[i])
			continue;
		if (sp_netaddr_parse_hostport(conf->listen.v[i], LISTEN_PORT, &a) == SP_OK && (fd[i] = listen_socket(&a)) != -1)
			continue;
		sp_snprintf(why, n, "%s:%zu: cannot listen on %s: %s", m->conf_path, sp_conf_line_of(text, strlen(text), "listen", i),
		    conf->listen.v[i], strerror(errno));
		while (i-- > 0)
			if (fresh[i])
				sp_closep(&fd[i]);
		return SP_ESYS;
	}
	for (size_t k = 0; k < m->n_listen; k++)
		if (listen_find(conf, m->conf.listen.v[k]) == conf->listen.n)
			sp_closep(&m->listen_fd[k]);
	memcpy(m->listen_fd, fd, sizeof(fd[0]) * conf->listen.n);
	m->n_listen = conf->listen.n;
	return SP_OK;
}

void
mon_listen_close(struct mon *m)
{
	for (size_t i = 0; i < m->n_listen; i++)
		sp_closep(&m->listen_fd[i]);
	m->n_listen = 0;
}
