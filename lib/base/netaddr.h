/* lib/base/netaddr.h - an IP address with its port, and networks in CIDR form. Pure.
 * IPv4-mapped IPv6 addresses are stored as IPv4, so that one source is one key. */
#ifndef SP_BASE_NETADDR_H
#define SP_BASE_NETADDR_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "attr.h"
#include "err.h"

struct sp_netaddr {
	uint8_t		family;		/* 4 or 6; 0: none */
	uint8_t		addr[16];	/* 4 or 16 bytes in use, rest zero */
	uint16_t	port;		/* host order */
};
struct sp_netnet {
	struct sp_netaddr	base;
	uint8_t			bits;	/* prefix length */
};

#define SP_HOST_MAX	253	/* bytes of a host name (RFC 1035) */
#define SP_NETADDR_SIZE	64	/* "[ipv6]:port" with NUL */

enum sp_err	 sp_netaddr_from_sockaddr(const struct sockaddr *sa, struct sp_netaddr *ret) SP_MUST_USE;
socklen_t	 sp_netaddr_to_sockaddr(const struct sp_netaddr *a, struct sockaddr_storage *ret);	/* length; 0 if none */
enum sp_err	 sp_netaddr_parse(const char *ip, struct sp_netaddr *ret) SP_MUST_USE;	/* a bare address, no port */
enum sp_err	 sp_netaddr_parse_hostport(const char *s, uint16_t default_port, struct sp_netaddr *ret) SP_MUST_USE;
char		*sp_netaddr_text(const struct sp_netaddr *a, char dst[SP_NETADDR_SIZE]);	/* address alone */
char		*sp_netaddr_text_port(const struct sp_netaddr *a, char dst[SP_NETADDR_SIZE]);
int		 sp_netaddr_same_host(const struct sp_netaddr *a, const struct sp_netaddr *b);
enum sp_err	 sp_netnet_parse(const char *cidr, struct sp_netnet *ret) SP_MUST_USE;	/* host bits must be zero */
int		 sp_netnet_contains(const struct sp_netnet *n, const struct sp_netaddr *a);
int		 sp_netaddr_is_loopback(const struct sp_netaddr *a);	/* 127/8, ::1, and the unspecified address */
int		 sp_host_is_ok(const char *s);	/* an IP address, or a text that a resolver may be asked for */
int		 sp_netaddr_is_linklocal(const struct sp_netaddr *a);	/* 169.254/16, fe80::/10, and multicast */

#endif
