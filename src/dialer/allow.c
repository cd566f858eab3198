/* src/dialer/allow.c - see allow.h. */
#include "dialer/allow.h"

#include <string.h>

static const struct {
	const char	*word;
	int		(*is)(const struct sp_netaddr *);
} words[] = {
	{ "loopback", sp_netaddr_is_loopback },
	{ "linklocal", sp_netaddr_is_linklocal },
};

/* Whether the entry covers the address. SP_EFORMAT if it is no entry: nothing may be connected to then. */
static enum sp_err
entry_covers(const char *entry, const struct sp_netaddr *a, int *ret)
{
	struct sp_netaddr one;
	struct sp_netnet net;
	enum sp_err r;

	for (size_t i = 0; i < SP_NELEMS(words); i++)
		if (strcmp(words[i].word, entry) == 0) {
			*ret = words[i].is(a);
			return SP_OK;
		}
	if (sp_netaddr_parse(entry, &one) == SP_OK) {
		*ret = sp_netaddr_same_host(&one, a);
		return SP_OK;
	}
	if ((r = sp_netnet_parse(entry, &net)) != SP_OK)
		return r;
	*ret = sp_netnet_contains(&net, a);
	return SP_OK;
}

static enum sp_err
list_covers(const struct sp_netaddr *a, char *const *list, size_t n, int *ret)
{
	int any = 0, one = 0;

	for (size_t i = 0; i < n; i++) {
		enum sp_err r = entry_covers(list[i], a, &one);

		if (r != SP_OK)
			return SP_EFORMAT;
		any |= one;
	}
	*ret = any;
	return SP_OK;
}

enum sp_err
dial_check(const struct sp_netaddr *a, char *const *refuse, size_t n_refuse, char *const *allow, size_t n_allow)
{
	int refused = 0, allowed = 0;
	enum sp_err r;

	if (a->family == 0)
		return SP_EFORMAT;
	if ((r = list_covers(a, refuse, n_refuse, &refused)) != SP_OK ||
	    (r = list_covers(a, allow, n_allow, &allowed)) != SP_OK)
		return r;
	return refused && !allowed ? SP_EDENIED : SP_OK;
}
