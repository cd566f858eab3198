/* src/common/copydest.c - see copydest.h. */
#include "common/copydest.h"

#include <string.h>

#include "base/str.h"

static const char *const schemes[] = { [SP_SYSLOG_UDP] = "udp", [SP_SYSLOG_TCP] = "tcp", [SP_SYSLOG_TLS] = "tls" };

/* JumpServer's own files say true and 1 as well. */
static int
is_on(const char *s, int *ret)
{
	static const char *const on[] = { "yes", "true", "1", "True" }, *const off[] = { "", "no", "false", "0", "False" };

	for (size_t i = 0; i < SP_NELEMS(on); i++)
		if (strcmp(s, on[i]) == 0)
			return *ret = 1;
	*ret = 0;
	for (size_t i = 0; i < SP_NELEMS(off); i++)
		if (strcmp(s, off[i]) == 0)
			return 1;
	return 0;
}

static void
dest_name(struct sp_copy_dest *d)
{
	sp_snprintf(d->name, sizeof(d->name), strchr(d->at.host, ':') != NULL ? "%s%s://[%s]:%u" : "%s%s://%s:%u",
	    d->jumpserver ? "jumpserver+" : "", schemes[d->at.transport], d->at.host, d->at.port);
}

static size_t
dest_add(struct sp_copy_dest *all, size_t n, struct sp_copy_dest *d)
{
	dest_name(d);
	for (size_t i = 0; i < n; i++)
		if (strcmp(all[i].name, d->name) == 0)
			return n;
	if (n < SP_COPY_DESTS)
		all[n++] = *d;
	return n;
}

static enum sp_syslog_transport
jumpserver_transport(const struct sp_config *c)
{
	return c->SYSLOG_SOCKTYPE == 1 ? SP_SYSLOG_TCP : SP_SYSLOG_UDP;
}

size_t
sp_copy_dests(const struct sp_config *c, struct sp_copy_dest ret[SP_COPY_DESTS])
{
	struct sp_copy_dest d;
	size_t n = 0;
	int on;

	for (size_t i = 0; i < c->syslog.n; i++) {
		memset(&d, 0, sizeof(d));
		if (sp_syslog_dest_parse(c->syslog.v[i], &d.at) == SP_OK && sp_syslog_facility(c->syslog_facility, &d.facility) == SP_OK)
			n = dest_add(ret, n, &d);
	}
	memset(&d, 0, sizeof(d));
	d.jumpserver = 1;
	if (is_on(c->SYSLOG_ENABLE, &on) && on && sp_syslog_facility(c->SYSLOG_FACILITY, &d.facility) == SP_OK &&
	    sp_syslog_addr_parse(c->SYSLOG_ADDR, jumpserver_transport(c), &d.at) == SP_OK)
		n = dest_add(ret, n, &d);
	return n;
}

size_t
sp_conf_line_of(const char *text, size_t len, const char *key, size_t nth)
{
	size_t line = 1, klen = strlen(key);

	for (size_t at = 0; at < len; line++) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t end = nl != NULL ? (size_t)(nl - text) : len, p = at;

		while (p < end && (text[p] == ' ' || text[p] == '\t'))
			p++;
		if (end - p > klen && memcmp(text + p, key, klen) == 0 && (text[p + klen] == ' ' || text[p + klen] == '\t') && nth-- == 0)
			return line;
		at = end + 1;
	}
	return 1;
}

enum sp_err
sp_copy_check(const char *name, const char *text, size_t len, const struct sp_config *c, char *why, size_t n)
{
	struct sp_syslog_dest d;
	const char *key = NULL, *reason = NULL;
	size_t nth = 0;
	unsigned f;
	int on = 0;

	for (size_t i = 0; i < c->syslog.n && key == NULL; i++)
		if (sp_syslog_dest_parse(c->syslog.v[i], &d) != SP_OK) {
			key = "syslog";
			nth = i;
			reason = "wants udp://host:port, tcp://host:port or tls://host:port";
		}
	if (key == NULL && c->syslog.n >= SP_COPY_DESTS) {
		key = "syslog";
		nth = SP_COPY_DESTS - 1;
		reason = "more than 7 collectors";
	} else if (key == NULL && sp_syslog_facility(c->syslog_facility, &f) != SP_OK) {
		key = "syslog_facility";
		reason = "wants a facility such as authpriv, user or local0";
	} else if (key == NULL && strcmp(c->syslog_from, "start") != 0 && strcmp(c->syslog_from, "now") != 0) {
		key = "syslog_from";
		reason = "wants start or now";
	} else if (key == NULL && (*c->syslog_cert != '\0') != (*c->syslog_key != '\0')) {
		key = *c->syslog_cert != '\0' ? "syslog_cert" : "syslog_key";
		reason = *c->syslog_cert != '\0' ? "syslog_key is missing: the certificate's private key" :
		    "syslog_cert is missing: the certificate of this key";
	} else if (key == NULL && !is_on(c->SYSLOG_ENABLE, &on)) {
		key = "SYSLOG_ENABLE";
		reason = "wants yes or no";
	} else if (key == NULL && sp_syslog_facility(c->SYSLOG_FACILITY, &f) != SP_OK) {
		key = "SYSLOG_FACILITY";
		reason = "wants a facility such as user or local0";
	} else if (key == NULL && (on || *c->SYSLOG_ADDR != '\0') &&
	    sp_syslog_addr_parse(c->SYSLOG_ADDR, jumpserver_transport(c), &d) != SP_OK) {
		key = *c->SYSLOG_ADDR != '\0' ? "SYSLOG_ADDR" : "SYSLOG_ENABLE";
		reason = *c->SYSLOG_ADDR != '\0' ? "wants host:port" : "SYSLOG_ADDR is missing: it wants host:port";
	}
	if (key == NULL)
		return SP_OK;
	sp_snprintf(why, n, "%s:%zu: %s: %s", name, sp_conf_line_of(text, len, key, nth), key, reason);
	return SP_EFORMAT;
}
