/* src/control/own.c - is an address one of our own services? Nobody reaches the bastion's SSH port or its database
 * through the bastion. Process: control, event loop. Asked of the kernel each time, as addresses come and go: a datagram
 * socket that is "connected" (nothing is sent) to one of the machine's own addresses leaves from that very address. */
#include "control/ctl.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int
own_is_local(const struct sp_netaddr *a)
{
	struct sp_netaddr to = *a, from;
	struct sockaddr_storage ss;
	struct sockaddr *sa = (struct sockaddr *)(void *)&ss;
	sp_auto(sp_closep) int fd = -1;
	socklen_t n;

	if (sp_netaddr_is_loopback(a))
		return 1;
	if (to.port == 0)
		to.port = 9;		/* discard: any will do */
	n = sp_netaddr_to_sockaddr(&to, &ss);
	if ((fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1 || connect(fd, sa, n) == -1)
		return 0;		/* no route to it: not ours */
	n = sizeof(ss);
	return getsockname(fd, sa, &n) == 0 && sp_netaddr_from_sockaddr(sa, &from) == SP_OK && sp_netaddr_same_host(&from, a);
}

static int
own_is_any(const struct sp_netaddr *a)
{
	char text[SP_NETADDR_SIZE];

	sp_netaddr_text(a, text);
	return strcmp(text, "0.0.0.0") == 0 || strcmp(text, "::") == 0;
}

int
own_is_ours(const struct ctl *c, const struct sp_netaddr *a, uint32_t port, const struct sp_netaddr *database)
{
	const struct sp_config *conf = &c->child.conf;
	struct sp_netaddr listen;

	if (database->port != 0 && database->port == port &&
	    (sp_netaddr_same_host(database, a) || (sp_netaddr_is_loopback(database) && own_is_local(a))))
		return 1;
	if (c->servers != NULL && sp_store_servers_have(c->servers, a, port))
		return 1;
	for (size_t i = 0; i < conf->listen.n; i++)
		if (sp_netaddr_parse_hostport(conf->listen.v[i], 22, &listen) == SP_OK && listen.port == port &&
		    (sp_netaddr_same_host(&listen, a) || (own_is_any(&listen) && own_is_local(a))))
			return 1;
	return 0;
}
