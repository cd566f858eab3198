/* src/common/config.c - see config.h. Pure. */
#include "common/config.h"

#include <fnmatch.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/netaddr.h"
#include "base/str.h"
#include "common/copydest.h"

#define S(n) ((int64_t)(n) * 1000000)

const struct sp_conf_field sp_config_table[] = {
#define CONF(field, type, def, least, most, help) \
	{ #field, SP_CONF_##type, offsetof(struct sp_config, field), def, least, most, help },
#include "common/config.def"
#undef CONF
	{ NULL, SP_CONF_STR, 0, NULL, 0, 0, NULL },
};

static int
is_pgsql(const char *url)
{
	return strncmp(url, "postgresql://", 13) == 0;
}

static enum sp_err
config_check_store(const char *name, const struct sp_config *c, char *why, size_t n)
{
	int sqlite = c->store.n == 1 && c->store_far.n == 0 && strcmp(c->store.v[0], "sqlite") == 0, ok = c->store.n > 0;

	for (size_t i = 0; i < c->store.n; i++)
		ok &= is_pgsql(c->store.v[i]);
	for (size_t i = 0; i < c->store_far.n; i++)
		ok &= is_pgsql(c->store_far.v[i]);
	if (!sqlite && !ok) {
		sp_snprintf(why, n, "%s: store: wants sqlite alone, or postgresql://... for each server; store_far: postgresql://...", name);
		return SP_EFORMAT;
	}
	if (c->store.n + c->store_far.n > SP_CONF_LIST) {
		sp_snprintf(why, n, "%s: store and store_far: more than %d servers together", name, SP_CONF_LIST);
		return SP_EFORMAT;
	}
	return SP_OK;
}

static enum sp_err
config_check(const char *name, const struct sp_config *c, char *why, size_t n)
{
	struct sp_netaddr a;

	for (size_t i = 0; i < c->listen.n; i++)
		if (sp_netaddr_parse_hostport(c->listen.v[i], 22, &a) != SP_OK) {
			sp_snprintf(why, n, "%s: listen: \"%s\" is not address:port, for example 0.0.0.0:2222 or [::]:2222",
			    name, c->listen.v[i]);
			return SP_EFORMAT;
		}
	if (c->time_zone[strspn(c->time_zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_+-")] != '\0' ||
	    c->time_zone[0] == '/') {
		sp_snprintf(why, n, "%s: time_zone: wants a name as Europe/Berlin", name);
		return SP_EFORMAT;
	}
	return config_check_store(name, c, why, n);
}

enum sp_err
sp_config_parse(const char *name, const char *text, size_t len, struct sp_config *ret, char *why, size_t why_size)
{
	sp_auto(sp_freep) struct sp_config *c = malloc(sizeof(*c));
	enum sp_err r;

	if (c == NULL) {
		sp_snprintf(why, why_size, "%s: out of memory", name);
		return SP_ENOMEM;
	}
	sp_conf_defaults(sp_config_table, c);
	if ((r = sp_conf_parse(sp_config_table, name, text, len, c, sizeof(*c), why, why_size)) != SP_OK ||
	    (r = config_check(name, c, why, why_size)) != SP_OK ||
	    (r = sp_copy_check(name, text, len, c, why, why_size)) != SP_OK)
		return r;
	*ret = *c;
	return SP_OK;
}

int
sp_config_env_allowed(const struct sp_config *c, const char *name)
{
	static const char *const always[] = { "LANG", "LC_*", "TERM", "COLORTERM" };

	for (size_t i = 0; i < SP_NELEMS(always); i++)
		if (fnmatch(always[i], name, 0) == 0)
			return 1;
	for (size_t i = 0; i < c->env_allow.n; i++)
		if (fnmatch(c->env_allow.v[i], name, 0) == 0)
			return 1;
	return 0;
}
