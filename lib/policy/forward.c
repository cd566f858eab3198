/* lib/policy/forward.c - see forward.h for syntax and rules. Pure: no I/O, no allocation. */
#include "policy/forward.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "policy/list.h"

enum host_kind { HOST_ANY, HOST_NAME, HOST_BELOW, HOST_ADDR, HOST_NET, HOST_RANGE };
struct pattern {
	enum host_kind		kind;
	char			name[SP_POLICY_ITEM_SIZE];	/* HOST_NAME, HOST_BELOW (without "*.") */
	struct sp_netaddr	from, to;
	struct sp_netnet	net;
	uint32_t		port_from, port_to;
};

static int
port_number(const char *s, size_t n, uint32_t *ret)
{
	uint32_t v = 0;

	if (n == 0 || n > 5)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (uint32_t)(s[i] - '0');
	}
	if (v == 0 || v > 65535)
		return -1;
	*ret = v;
	return 0;
}

static int
ports_parse(const char *s, struct pattern *p)
{
	size_t n = strcspn(s, "-");

	if (strcmp(s, "*") == 0) {
		p->port_from = 1;
		p->port_to = 65535;
		return 0;
	}
	if (port_number(s, n, &p->port_from) != 0)
		return -1;
	p->port_to = p->port_from;
	if (s[n] == '-' && port_number(s + n + 1, strlen(s + n + 1), &p->port_to) != 0)
		return -1;
	return p->port_to < p->port_from ? -1 : 0;
}

/* An address; one of version 6 stands in brackets. */
static int
addr_parse(const char *s, size_t n, struct sp_netaddr *ret)
{
	char text[SP_NETADDR_SIZE];
	int bracketed = n >= 2 && s[0] == '[' && s[n - 1] == ']';

	if (bracketed) {
		s++;
		n -= 2;
	}
	if (n >= sizeof(text) || (memchr(s, ':', n) != NULL) != bracketed)
		return -1;
	memcpy(text, s, n);
	text[n] = 0;
	return sp_netaddr_parse(text, ret) == SP_OK ? 0 : -1;
}

static int
net_parse(const char *s, const char *slash, struct pattern *p)
{
	char text[SP_NETADDR_SIZE + 8];
	struct sp_netaddr base;
	char ip[SP_NETADDR_SIZE];

	if (addr_parse(s, (size_t)(slash - s), &base) != 0 ||
	    sp_snprintf(text, sizeof(text), "%s%s", sp_netaddr_text(&base, ip), slash) != 0)
		return -1;
	p->kind = HOST_NET;
	return sp_netnet_parse(text, &p->net) == SP_OK ? 0 : -1;
}

static int
name_is_ok(const char *s)
{
	size_t n = strlen(s);
	int alpha = 0;

	if (n == 0 || n > SP_POLICY_HOST_MAX || s[0] == '.' || s[0] == '-' || strstr(s, "..") != NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');

		if (!letter && !(s[i] >= '0' && s[i] <= '9') && strchr("-_.", s[i]) == NULL)
			return 0;
		alpha |= letter;
	}
	return alpha;		/* "10.0.0" or "300.1.1.1" is a mistyped address, not a name */
}

static void
name_copy(const char *s, char *dst, size_t size)
{
	size_t n;

	sp_strlcpy(dst, s, size);
	n = strlen(dst);
	if (n > 1 && dst[n - 1] == '.')
		dst[n - 1] = 0;
	for (; *dst != 0; dst++)
		if (*dst >= 'A' && *dst <= 'Z')
			*dst = (char)(*dst + 32);
}

static int
host_parse(const char *s, struct pattern *p)
{
	const char *slash = strchr(s, '/'), *dash;

	if (strcmp(s, "*") == 0) {
		p->kind = HOST_ANY;
		return 0;
	}
	if (slash != NULL)
		return net_parse(s, slash, p);
	if (addr_parse(s, strlen(s), &p->from) == 0) {
		p->kind = HOST_ADDR;
		return 0;
	}
	if ((dash = strchr(s, '-')) != NULL && addr_parse(s, (size_t)(dash - s), &p->from) == 0 &&
	    addr_parse(dash + 1, strlen(dash + 1), &p->to) == 0) {
		p->kind = HOST_RANGE;
		return p->from.family == p->to.family && memcmp(p->from.addr, p->to.addr, sizeof(p->to.addr)) <= 0 ? 0 : -1;
	}
	p->kind = strncmp(s, "*.", 2) == 0 ? HOST_BELOW : HOST_NAME;
	s += p->kind == HOST_BELOW ? 2 : 0;
	name_copy(s, p->name, sizeof(p->name));
	return name_is_ok(p->name) ? 0 : -1;
}

static int
pattern_parse(const char *item, struct pattern *ret)
{
	char host[SP_POLICY_ITEM_SIZE];
	const char *colon = strrchr(item, ':'), *bracket = strrchr(item, ']');

	if (colon == NULL || (bracket != NULL && colon < bracket) || ports_parse(colon + 1, ret) != 0)
		return -1;
	memcpy(host, item, (size_t)(colon - item));
	host[colon - item] = 0;
	return host_parse(host, ret);
}

enum sp_err
sp_policy_forward_check(const char *list)
{
	char item[SP_POLICY_ITEM_SIZE];
	struct pattern p;
	int got;

	while ((got = sp_policy_item(&list, item)) != 0)
		if (got < 0 || pattern_parse(item, &p) != 0)
			return SP_EINVAL;
	return SP_OK;
}

/* ---- asking ---- */

struct target {
	char			 name[SP_POLICY_ITEM_SIZE];	/* lower case, "" if an address was typed or nothing */
	struct sp_netaddr	 addr;				/* family 0: not known yet */
	int			 special;			/* only its own address pattern reaches it */
};

static int
is_special(const struct sp_netaddr *a)
{
	static const uint8_t prefixes[][12] = { { 0 }, { 0x00, 0x64, 0xff, 0x9b } };
	struct sp_netaddr v4 = { .family = 4 };

	if (sp_netaddr_is_loopback(a) || sp_netaddr_is_linklocal(a))
		return 1;
	/* What a translator at the target's side makes of it: 64:ff9b::/96 (RFC 6052), and the old ::/96. */
	memcpy(v4.addr, a->addr + 12, 4);
	for (size_t i = 0; a->family == 6 && i < SP_NELEMS(prefixes); i++)
		if (memcmp(a->addr, prefixes[i], sizeof(prefixes[i])) == 0)
			return sp_netaddr_is_loopback(&v4) || sp_netaddr_is_linklocal(&v4);
	return 0;
}

static int
target_make(const char *host, const struct sp_netaddr *addr, struct target *ret)
{
	char ip[SP_NETADDR_SIZE];
	size_t n = host != NULL ? strlen(host) : 0;

	*ret = (struct target){ 0 };
	if (n > SP_POLICY_HOST_MAX)
		return -1;
	/* A typed address may stand in brackets or not. */
	if (n > 0 && addr_parse(host, n, &ret->addr) != 0 &&
	    !(n < sizeof(ip) && sp_strlcpy(ip, host, sizeof(ip)) == 0 && sp_netaddr_parse(ip, &ret->addr) == SP_OK)) {
		name_copy(host, ret->name, sizeof(ret->name));
		if (!name_is_ok(ret->name) && addr == NULL)
			return -1;
	}
	if (addr != NULL)
		ret->addr = *addr;
	if (ret->addr.family == 0 && ret->name[0] == 0)
		return -1;
	ret->special = ret->addr.family != 0 && is_special(&ret->addr);
	return 0;
}

static int
name_matches(const struct pattern *p, const char *name)
{
	size_t n = strlen(name), k = strlen(p->name);

	if (p->kind == HOST_NAME)
		return strcmp(name, p->name) == 0;
	return n > k + 1 && name[n - k - 1] == '.' && strcmp(name + n - k, p->name) == 0;
}

static enum sp_policy_forward
pattern_ask(const struct pattern *p, const struct target *t)
{
	int known = t->addr.family != 0;
	int yes = 0;

	switch (p->kind) {
	case HOST_ANY:
		yes = 1;
		break;
	case HOST_NAME:
	case HOST_BELOW:
		if (t->name[0] == 0 || !name_matches(p, t->name))
			return SP_POLICY_FWD_NO;
		yes = 1;
		break;
	case HOST_ADDR:
		if (known)
			return sp_netaddr_same_host(&p->from, &t->addr) ? SP_POLICY_FWD_YES : SP_POLICY_FWD_NO;
		break;
	case HOST_NET:
		yes = known && sp_netnet_contains(&p->net, &t->addr);
		break;
	case HOST_RANGE:
		yes = known && p->from.family == t->addr.family && memcmp(p->from.addr, t->addr.addr, sizeof(t->addr.addr)) <= 0 &&
		    memcmp(t->addr.addr, p->to.addr, sizeof(t->addr.addr)) <= 0;
		break;
	}
	if (!known)
		return SP_POLICY_FWD_MAYBE;
	return yes && !t->special ? SP_POLICY_FWD_YES : SP_POLICY_FWD_NO;
}

enum sp_policy_forward
sp_policy_forward_allowed(const char *list, const char *host, const struct sp_netaddr *addr, uint32_t port)
{
	enum sp_policy_forward best = SP_POLICY_FWD_NO, one;
	char item[SP_POLICY_ITEM_SIZE];
	struct pattern p;
	struct target t;
	int got;

	if (port < 1 || port > 65535 || target_make(host, addr, &t) != 0)
		return SP_POLICY_FWD_NO;
	while ((got = sp_policy_item(&list, item)) != 0) {
		if (got < 0 || pattern_parse(item, &p) != 0 || port < p.port_from || port > p.port_to)
			continue;
		one = pattern_ask(&p, &t);
		best = one > best ? one : best;
	}
	return best;
}
