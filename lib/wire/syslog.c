/* lib/wire/syslog.c - see syslog.h. */
#include "wire/syslog.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static const struct {
	const char	*name;
	unsigned	 code;
} facilities[] = {
	{ "kern", 0 }, { "user", 1 }, { "mail", 2 }, { "daemon", 3 }, { "auth", 4 }, { "security", 4 }, { "syslog", 5 }, { "lpr", 6 },
	{ "news", 7 }, { "uucp", 8 }, { "cron", 9 }, { "authpriv", 10 }, { "ftp", 11 }, { "local0", 16 }, { "local1", 17 },
	{ "local2", 18 }, { "local3", 19 }, { "local4", 20 }, { "local5", 21 }, { "local6", 22 }, { "local7", 23 },
};
static const struct {
	const char	*scheme;
	uint16_t	 port;
} transports[] = {
	[SP_SYSLOG_UDP] = { "udp://", 514 }, [SP_SYSLOG_TCP] = { "tcp://", 514 }, [SP_SYSLOG_TLS] = { "tls://", 6514 },
};

enum sp_err
sp_syslog_facility(const char *name, unsigned *ret)
{
	for (size_t i = 0; i < SP_NELEMS(facilities); i++)
		if (strcmp(name, facilities[i].name) == 0) {
			*ret = facilities[i].code;
			return SP_OK;
		}
	return SP_EINVAL;
}

/* A header field: 1..max bytes of printable ASCII without blanks. */
static const char *
field(const char *s, char *dst, size_t size)
{
	size_t n = 0;

	for (; s != NULL && s[n] != '\0' && n < size - 1; n++)
		dst[n] = s[n] > 32 && s[n] < 127 ? s[n] : '_';
	dst[n] = '\0';
	return n > 0 ? dst : "-";
}

static enum sp_err
head_print(const struct sp_syslog_head *h, struct sp_buf *b)
{
	char host[256], app[49], msgid[33], at[SP_RFC3339_SIZE];
	enum sp_err r;

	if (h->facility > 23 || h->severity > 7)
		return SP_EINVAL;
	sp_rfc3339(h->wall_us, at, sizeof(at));
	r = sp_buf_printf(b, "<%u>1 %s %s %s - %s ", h->facility * 8 + h->severity, at[0] == 'i' ? "-" : at,
	    field(h->host, host, sizeof(host)), field(h->app, app, sizeof(app)), field(h->msgid, msgid, sizeof(msgid)));
	if (r != SP_OK)
		return r;
	if (h->seq == 0)
		return sp_buf_append_str(b, "- ");
	return sp_buf_printf(b, "[meta sequenceId=\"%llu\"] ", (unsigned long long)((h->seq - 1) % 2147483647 + 1));
}

static enum sp_err
record(const struct sp_syslog_head *h, struct sp_view msg, int counted, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf head = { .max = SP_SYSLOG_HEAD_MAX };
	char count[24] = "";
	size_t was = ret->len;
	enum sp_err r;

	if ((r = head_print(h, &head)) != SP_OK)
		return r;
	if (counted)
		(void)sp_snprintf(count, sizeof(count), "%zu ", head.len + msg.len);
	/* All or nothing: the room is there before the first byte. */
	if ((r = sp_buf_reserve(ret, strlen(count) + head.len + msg.len)) != SP_OK)
		return r;
	if ((r = sp_buf_append_str(ret, count)) != SP_OK || (r = sp_buf_append(ret, head.p, head.len)) != SP_OK ||
	    (r = sp_buf_append(ret, msg.p, msg.len)) != SP_OK)
		ret->len = was;
	return r;
}

enum sp_err
sp_syslog_5424(const struct sp_syslog_head *h, struct sp_view msg, struct sp_buf *ret)
{
	return record(h, msg, 0, ret);
}

enum sp_err
sp_syslog_5424_counted(const struct sp_syslog_head *h, struct sp_view msg, struct sp_buf *ret)
{
	return record(h, msg, 1, ret);
}

enum sp_err
sp_syslog_jumpserver(unsigned facility, const char *category, struct sp_view json, struct sp_buf *ret)
{
	char head[96];
	size_t was = ret->len;
	enum sp_err r;

	if (facility > 23 || *category == '\0' || category[strspn(category, "abcdefghijklmnopqrstuvwxyz_")] != '\0')
		return SP_EINVAL;
	if (sp_snprintf(head, sizeof(head), "<%u>jumpserver: %s - ", facility * 8 + SP_SYSLOG_INFO, category) != 0)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(ret, strlen(head) + json.len + 1)) != SP_OK)
		return r;
	if ((r = sp_buf_append_str(ret, head)) != SP_OK || (r = sp_buf_append(ret, json.p, json.len)) != SP_OK ||
	    (r = sp_buf_put_u8(ret, 0)) != SP_OK)
		ret->len = was;
	return r;
}

/* ---- where to ---- */

static int
host_is_ok(const char *s, size_t n)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:";

	if (n == 0 || n >= SP_SYSLOG_HOST || s[0] == '-')
		return 0;
	for (size_t i = 0; i < n; i++)
		if (strchr(allowed, s[i]) == NULL)
			return 0;
	return 1;
}

static enum sp_err
port_parse(const char *s, uint16_t *ret)
{
	size_t n = strspn(s, "0123456789");
	unsigned long v = strtoul(s, NULL, 10);

	if (n == 0 || n > 5 || s[n] != '\0' || v == 0 || v > 65535)
		return SP_EFORMAT;
	*ret = (uint16_t)v;
	return SP_OK;
}

enum sp_err
sp_syslog_addr_parse(const char *s, enum sp_syslog_transport t, struct sp_syslog_dest *ret)
{
	struct sp_syslog_dest d = { .transport = t, .port = transports[t].port };
	const char *end, *rest;

	if (*s == '[') {
		if ((end = strchr(++s, ']')) == NULL)
			return SP_EFORMAT;
		rest = end + 1;
	} else {
		rest = end = s + strcspn(s, ":");
	}
	if (!host_is_ok(s, (size_t)(end - s)) || (*rest != '\0' && (*rest != ':' || port_parse(rest + 1, &d.port) != SP_OK)))
		return SP_EFORMAT;
	memcpy(d.host, s, (size_t)(end - s));
	*ret = d;
	return SP_OK;
}

enum sp_err
sp_syslog_dest_parse(const char *s, struct sp_syslog_dest *ret)
{
	for (size_t i = 0; i < SP_NELEMS(transports); i++) {
		size_t n = strlen(transports[i].scheme);

		if (strncmp(s, transports[i].scheme, n) == 0)
			return sp_syslog_addr_parse(s + n, (enum sp_syslog_transport)i, ret);
	}
	return SP_EFORMAT;
}
