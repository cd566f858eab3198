/* src/common/config.c - see config.h. Pure. */
#include "common/config.h"

#include <fnmatch.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/netaddr.h"
#include "base/str.h"
#include "common/copydest.h"
#include "common/delivery.h"

#define S(n) ((int64_t)(n) * 1000000)

const struct sp_conf_field sp_config_table[] = {
#define CONF(field, type, def, least, most, help) \
	{ #field, SP_CONF_##type, offsetof(struct sp_config, field), def, least, most, help },
#include "common/config.def"
#undef CONF
	{ NULL, SP_CONF_STR, 0, NULL, 0, 0, NULL },
};

/* Where a setting stands, for the message about it. */
struct place {
	const char	*name, *text;
	size_t		 len;
	char		*why;
	size_t		 why_size;
};

static enum sp_err config_bad(const struct place *p, const char *key, size_t nth, const char *fmt, ...) SP_PRINTF(4, 5);

static enum sp_err
config_bad(const struct place *p, const char *key, size_t nth, const char *fmt, ...)
{
	char reason[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	sp_snprintf(p->why, p->why_size, "%s:%zu: %s: %s", p->name, sp_conf_line_of(p->text, p->len, key, nth), key, reason);
	return SP_EFORMAT;
}

/* Words that a setting may have, separated by commas. A name that the SSH library does not know would keep everybody out, and
 * it knows some that nobody should use any more (SHA-1, CBC): those are not in these lists. */
static const struct words {
	const char	*key;
	size_t		 offset;
	int		 one;		/* a single word, not a list */
	const char	*may;		/* with a comma around each */
} words[] = {
	{ "log_level", offsetof(struct sp_config, log_level), 1, ",debug,info,warn,error," },
	{ "kex", offsetof(struct sp_config, kex), 0, ",curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,"
	  "ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group14-sha256,diffie-hellman-group16-sha512,"
	  "diffie-hellman-group18-sha512," },
	{ "ciphers", offsetof(struct sp_config, ciphers), 0, ",aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,"
	  "aes128-gcm@openssh.com,aes256-ctr,aes192-ctr,aes128-ctr," },
	{ "macs", offsetof(struct sp_config, macs), 0, ",hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,"
	  "hmac-sha2-256,hmac-sha2-512," },
	{ "host_key_algorithms", offsetof(struct sp_config, host_key_algorithms), 0, ",ssh-ed25519,ecdsa-sha2-nistp256,"
	  "ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256," },
	{ "user_key_algorithms", offsetof(struct sp_config, user_key_algorithms), 0, ",ssh-ed25519,ecdsa-sha2-nistp256,"
	  "ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256,sk-ssh-ed25519@openssh.com,"
	  "sk-ecdsa-sha2-nistp256@openssh.com," },
};

static int
word_may(const char *may, const char *word, size_t n)
{
	for (const char *at = may + 1; *at != '\0'; at += strcspn(at, ",") + 1)
		if (strcspn(at, ",") == n && memcmp(at, word, n) == 0)
			return 1;
	return 0;
}

static enum sp_err
config_check_words(const struct place *p, const struct sp_config *c)
{
	for (size_t i = 0; i < SP_NELEMS(words); i++) {
		const struct words *w = &words[i];
		const char *at = (const char *)c + w->offset, *end;
		int n = (int)strlen(w->may) - 2;

		do {
			end = at + strcspn(at, w->one ? "" : ",");
			if (!word_may(w->may, at, (size_t)(end - at)))
				return config_bad(p, w->key, 0, "\"%.*s\" is not one of %.*s", (int)(end - at > 40 ? 40 : end - at), at, n,
				    w->may + 1);
			at = end + 1;
		} while (*end != '\0');
	}
	return SP_OK;
}

static int
is_pgsql(const char *url)
{
	return strncmp(url, "postgresql://", 13) == 0;
}

static enum sp_err
config_check_store(const struct place *p, const struct sp_config *c)
{
	const char *key = "store";
	size_t bad = 0;
	int sqlite = c->store.n == 1 && c->store_far.n == 0 && strcmp(c->store.v[0], "sqlite") == 0, ok = c->store.n > 0;

	for (size_t i = 0; i < c->store.n && ok; i++)
		if (!(ok = is_pgsql(c->store.v[i])))
			bad = i;
	for (size_t i = 0; i < c->store_far.n && ok; i++)
		if (!(ok = is_pgsql(c->store_far.v[i]))) {
			bad = i;
			key = "store_far";
		}
	if (!sqlite && !ok)
		return config_bad(p, key, bad, "wants %s", *key == 's' && key[5] == '\0' ? "sqlite alone, or postgresql://... for each server" :
		    "postgresql://...");
	if (c->store.n + c->store_far.n > SP_CONF_LIST)
		return config_bad(p, "store", 0, "more than %d servers, those of store_far counted", SP_CONF_LIST);
	return SP_OK;
}

static enum sp_err
config_check(const struct place *p, const struct sp_config *c)
{
	struct sp_netaddr a;
	enum sp_err r;

	for (size_t i = 0; i < c->listen.n; i++)
		if (sp_netaddr_parse_hostport(c->listen.v[i], 22, &a) != SP_OK)
			return config_bad(p, "listen", i, "\"%.80s\" is not address:port, for example 0.0.0.0:2222 or [::]:2222", c->listen.v[i]);
	if (c->time_zone[strspn(c->time_zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/_+-")] != '\0' ||
	    c->time_zone[0] == '/')
		return config_bad(p, "time_zone", 0, "wants a name as Europe/Berlin");
	if ((r = config_check_words(p, c)) != SP_OK)
		return r;
	return config_check_store(p, c);
}

enum sp_err
sp_config_parse(const char *name, const char *text, size_t len, struct sp_config *ret, char *why, size_t why_size)
{
	sp_auto(sp_freep) struct sp_config *c = malloc(sizeof(*c));
	struct place p = { .name = name, .text = text, .len = len, .why = why, .why_size = why_size };
	enum sp_err r;

	if (c == NULL) {
		sp_snprintf(why, why_size, "%s: out of memory", name);
		return SP_ENOMEM;
	}
	sp_conf_defaults(sp_config_table, c);
	if ((r = sp_conf_parse(sp_config_table, name, text, len, c, sizeof(*c), why, why_size)) != SP_OK ||
	    (r = config_check(&p, c)) != SP_OK ||
	    (r = sp_copy_check(name, text, len, c, why, why_size)) != SP_OK ||
	    (r = sp_delivery_check(name, text, len, c, why, why_size)) != SP_OK)
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
