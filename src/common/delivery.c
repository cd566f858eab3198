/* src/common/delivery.c - see delivery.h. */
#include "common/delivery.h"

#include <string.h>

#include "base/str.h"
#include "common/copydest.h"

int
sp_mail_address_is_ok(const char *s)
{
	const char *at = strchr(s, '@');
	size_t n = strlen(s);

	if (at == NULL || at == s || at[1] == '\0' || strchr(at + 1, '@') != NULL || n > 254)
		return 0;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= 32 || s[i] >= 127 || strchr("<>()[],;:\\\"", s[i]) != NULL)
			return 0;
	return 1;
}

/* SCHEME://host[:port] and, for a webhook, what follows; printable ASCII without blanks and without a user. */
static int
url_is_ok(const char *s, const char *const schemes[2], int path)
{
	const char *host = NULL, *end;

	for (int i = 0; i < 2; i++)
		if (strncmp(s, schemes[i], strlen(schemes[i])) == 0)
			host = s + strlen(schemes[i]);
	if (host == NULL)
		return 0;
	end = host + strcspn(host, "/?#");
	if (end == host || (*end != '\0' && !path) || *host == ':' || *host == '-')
		return 0;
	for (const char *p = host; *p != '\0'; p++)
		if (*p <= 32 || *p >= 127 || (p < end && strchr("@\\\"<>'", *p) != NULL))
			return 0;
	return 1;
}

enum sp_err
sp_delivery_check(const char *name, const char *text, size_t len, const struct sp_config *c, char *why, size_t n)
{
	static const char *const smtp[2] = { "smtp://", "smtps://" }, *const http[2] = { "http://", "https://" };
	const char *key = NULL, *reason = NULL;
	size_t nth = 0;

	if (*c->mail_server != '\0' && !url_is_ok(c->mail_server, smtp, 0)) {
		key = "mail_server";
		reason = "wants smtp://host:587 or smtps://host:465";
	} else if (*c->mail_from != '\0' && !sp_mail_address_is_ok(c->mail_from)) {
		key = "mail_from";
		reason = "wants an address as bastion@example.org";
	} else if (*c->mail_server != '\0' && (*c->mail_from == '\0' || c->mail_to.n == 0)) {
		key = "mail_server";
		reason = *c->mail_from == '\0' ? "mail_from is missing: who the mail comes from" : "mail_to is missing: who gets the mail";
	} else if (*c->mail_user != '\0' && !c->mail_tls && strncmp(c->mail_server, "smtps://", 8) != 0) {
		key = "mail_user";
		reason = "a password does not go over mail_tls no";
	}
	for (size_t i = 0; i < c->mail_to.n && key == NULL; i++)
		if (!sp_mail_address_is_ok(c->mail_to.v[i])) {
			key = "mail_to";
			nth = i;
			reason = "wants an address as ops@example.org";
		}
	for (size_t i = 0; i < c->webhook.n && key == NULL; i++)
		if (!url_is_ok(c->webhook.v[i], http, 1)) {
			key = "webhook";
			nth = i;
			reason = "wants https://host/path, without a user or password in it";
		}
	if (key == NULL && c->webhook.n > 4) {
		key = "webhook";
		nth = 4;
		reason = "more than 4 addresses";
	}
	if (key == NULL)
		return SP_OK;
	sp_snprintf(why, n, "%s:%zu: %s: %s", name, sp_conf_line_of(text, len, key, nth), key, reason);
	return SP_EFORMAT;
}
