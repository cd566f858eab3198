/* lib/base/netaddr.c - see netaddr.h. */
#include "netaddr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
netaddr_unmap(struct sp_netaddr *a)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (a->family == 6 && memcmp(a->addr, mapped, sizeof(mapped)) == 0) {
		memmove(a->addr, a->addr + 12, 4);
		memset(a->addr + 4, 0, 12);
		a->family = 4;
	}
}

enum sp_err
sp_netaddr_from_sockaddr(const struct sockaddr *sa, struct sp_netaddr *ret)
{
	struct sp_netaddr a = { 0 };

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		a.family = 4;
		memcpy(a.addr, &in.sin_addr, 4);
		a.port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		a.family = 6;
		memcpy(a.addr, &in6.sin6_addr, 16);
		a.port = ntohs(in6.sin6_port);
	} else {
		return SP_EFORMAT;
	}
	netaddr_unmap(&a);
	*ret = a;
	return SP_OK;
}

socklen_t
sp_netaddr_to_sockaddr(const struct sp_netaddr *a, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (a->family == 4) {
		struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

		memcpy(&in.sin_addr, a->addr, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	if (a->family == 6) {
		struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(a->port) };

		memcpy(&in6.sin6_addr, a->addr, 16);
		memcpy(ret, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

enum sp_err
sp_netaddr_parse(const char *ip, struct sp_netaddr *ret)
{
	struct sp_netaddr a = { 0 };

	if (inet_pton(AF_INET, ip, a.addr) == 1)
		a.family = 4;
	else if (inet_pton(AF_INET6, ip, a.addr) == 1)
		a.family = 6;
	else
		return SP_EFORMAT;
	netaddr_unmap(&a);
	*ret = a;
	return SP_OK;
}

static enum sp_err
netaddr_port(const char *s, uint16_t *ret)
{
	char *end;
	long v;

	if (*s < '0' || *s > '9')
		return SP_EFORMAT;
	v = strtol(s, &end, 10);
	if (*end != 0 || v < 0 || v > 65535)
		return SP_EFORMAT;
	*ret = (uint16_t)v;
	return SP_OK;
}

enum sp_err
sp_netaddr_parse_hostport(const char *s, uint16_t default_port, struct sp_netaddr *ret)
{
	char host[SP_NETADDR_SIZE];
	const char *colon = strrchr(s, ':'), *end;
	struct sp_netaddr a;
	uint16_t port = default_port;
	size_t n;
	enum sp_err r;

	if (s[0] == '[') {
		if ((end = strchr(s, ']')) == NULL)
			return SP_EFORMAT;
		s++;
		if (end[1] == ':')
			r = netaddr_port(end + 2, &port);
		else
			r = end[1] == 0 ? SP_OK : SP_EFORMAT;
		if (r != SP_OK)
			return r;
	} else if (colon != NULL && strchr(s, ':') == colon) {
		end = colon;
		if ((r = netaddr_port(colon + 1, &port)) != SP_OK)
			return r;
	} else {
		end = s + strlen(s);
	}
	n = (size_t)(end - s);
	if (n >= sizeof(host))
		return SP_EFORMAT;
	memcpy(host, s, n);
	host[n] = 0;
	if ((r = sp_netaddr_parse(host, &a)) != SP_OK)
		return r;
	a.port = port;
	*ret = a;
	return SP_OK;
}

char *
sp_netaddr_text(const struct sp_netaddr *a, char dst[SP_NETADDR_SIZE])
{
	if (a->family == 0 || inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->addr, dst, SP_NETADDR_SIZE) == NULL)
		snprintf(dst, SP_NETADDR_SIZE, "-");
	return dst;
}

char *
sp_netaddr_text_port(const struct sp_netaddr *a, char dst[SP_NETADDR_SIZE])
{
	char ip[SP_NETADDR_SIZE];

	sp_netaddr_text(a, ip);
	snprintf(dst, SP_NETADDR_SIZE, a->family == 6 ? "[%.46s]:%u" : "%.46s:%u", ip, a->port);
	return dst;
}

int
sp_netaddr_same_host(const struct sp_netaddr *a, const struct sp_netaddr *b)
{
	return a->family == b->family && memcmp(a->addr, b->addr, sizeof(a->addr)) == 0;
}

enum sp_err
sp_netnet_parse(const char *cidr, struct sp_netnet *ret)
{
	char ip[SP_NETADDR_SIZE];
	const char *slash = strchr(cidr, '/');
	size_t n = slash != NULL ? (size_t)(slash - cidr) : strlen(cidr);
	struct sp_netnet net;
	uint16_t bits;
	enum sp_err r;

	if (n >= sizeof(ip))
		return SP_EFORMAT;
	memcpy(ip, cidr, n);
	ip[n] = 0;
	if ((r = sp_netaddr_parse(ip, &net.base)) != SP_OK)
		return r;
	bits = net.base.family == 4 ? 32 : 128;
	if (slash != NULL) {
		uint16_t given;

		if ((r = netaddr_port(slash + 1, &given)) != SP_OK)
			return r;
		if (given > bits)
			return SP_EFORMAT;
		bits = given;
	}
	net.bits = (uint8_t)bits;
	for (unsigned i = bits; i < 128; i++)
		if (net.base.addr[i / 8] & (0x80u >> (i % 8)))
			return SP_EFORMAT;
	*ret = net;
	return SP_OK;
}

int
sp_netnet_contains(const struct sp_netnet *n, const struct sp_netaddr *a)
{
	if (n->base.family != a->family)
		return 0;
	for (unsigned i = 0; i < n->bits; i++)
		if ((n->base.addr[i / 8] ^ a->addr[i / 8]) & (0x80u >> (i % 8)))
			return 0;
	return 1;
}

int
sp_netaddr_is_loopback(const struct sp_netaddr *a)
{
	static const uint8_t zero[16], one[16] = { [15] = 1 };

	if (a->family == 4)
		return a->addr[0] == 127 || a->addr[0] == 0;
	return a->family == 6 && (memcmp(a->addr, zero, 16) == 0 || memcmp(a->addr, one, 16) == 0);
}

int
sp_netaddr_is_linklocal(const struct sp_netaddr *a)
{
	if (a->family == 4)
		return (a->addr[0] == 169 && a->addr[1] == 254) || a->addr[0] >= 224;
	return a->family == 6 && ((a->addr[0] == 0xfe && (a->addr[1] & 0xc0) == 0x80) || a->addr[0] == 0xff);
}

int
sp_host_is_ok(const char *s)
{
	struct sp_netaddr a;

	if (sp_netaddr_parse(s, &a) == SP_OK)
		return 1;
	return s[0] != '\0' && s[0] != '-' && s[0] != '.' && strlen(s) <= SP_HOST_MAX &&
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] == '\0';
}
