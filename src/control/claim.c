/* src/control/claim.c - see claim.h. */
#include "control/claim.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "crypto/hash.h"

enum sp_err
claim_pending(struct sp_store *s, const struct sp_store_asset *a, struct sp_store_asset_claim *ret)
{
	return a->state != SP_STORE_DISABLED ? SP_ENOENT : sp_store_asset_claim_get(s, &a->id, ret);
}

enum sp_err
claim_provable(struct sp_store *s, const struct sp_uuid *user, const struct sp_store_asset *a, int64_t now_us, int *ret)
{
	struct sp_store_asset_claim cl;
	enum sp_err r = claim_pending(s, a, &cl);

	if (r != SP_OK && r != SP_ENOENT)
		return r;
	*ret = r == SP_OK && sp_uuid_equal(&cl.user_id, user) && sp_uuid_equal(&a->owner_id, user) && now_us < cl.expires_us;
	return SP_OK;
}

/* One run of a command: recorded without fail, short, one at a time. It has no id: it is no row. */
enum sp_err
claim_grants(struct sp_store_asset *a, struct judge_grants *ret)
{
	struct sp_store_grant *g = calloc(1, sizeof(*g));
	struct judge_grants one = { 0 };
	enum sp_err r;

	if (g == NULL)
		return SP_ENOMEM;
	*g = (struct sp_store_grant){ .accounts = "*", .name = "proof of ownership", .protocols = SP_STORE_P_EXEC,
	    .effect = SP_STORE_ALLOW, .mfa_interval_s = SP_POLICY_MFA_NEVER, .max_session_s = CLAIM_MAX_S, .concurrent_max = 1,
	    .record_mode = SP_STORE_RECORD_STRICT };
	(void)judge_grants_add(g, &one);
	free(g);
	if ((r = one.err) != SP_OK) {
		judge_grants_release(&one);
		return r;
	}
	a->state = SP_STORE_ACTIVE;
	*ret = one;
	return SP_OK;
}

/* ---- tokens ---- */

void
claim_token_make(char dst[CLAIM_TOKEN_SIZE])
{
	uint8_t raw[20];
	char hex[2 * sizeof(raw) + 1];

	randombytes_buf(raw, sizeof(raw));
	sp_hex(raw, sizeof(raw), hex);
	sp_snprintf(dst, CLAIM_TOKEN_SIZE, "sallyport-owner-%s", hex);
}

void
claim_token_hash(const char *token, size_t n, char dst[64 + 1])
{
	uint8_t h[SP_SHA256_LEN];

	sp_sha256(token, n, h);
	sp_hex(h, sizeof(h), dst);
}

int
claim_token_among(const char *text, size_t n, const char *hash)
{
	char h[64 + 1];

	for (size_t from = 0, end, to; from < n; from = end + 1) {
		for (end = from; end < n && text[end] != '\n'; end++)
			;
		for (to = end; to > from && strchr(" \t\r", text[to - 1]) != NULL; to--)
			;
		while (from < to && strchr(" \t", text[from]) != NULL)
			from++;
		if (from == to)
			continue;
		claim_token_hash(text + from, to - from, h);
		if (strcmp(h, hash) == 0)
			return 1;
	}
	return 0;
}

/* ---- addresses ---- */

static int
host_is_localhost(const char *s)
{
	size_t n = strlen(s), k = strlen("localhost");

	n -= n > 0 && s[n - 1] == '.';
	return n >= k && strncasecmp(s + n - k, "localhost", k) == 0 && (n == k || s[n - k - 1] == '.');
}

/* What a name leads to is seen when it is dialled: the dialer and target.c look at the address then. */
const char *
claim_address_refused(const struct ctl *c, struct sp_store *s, const char *address, uint32_t port)
{
	static const char ours[] = "the bastion itself is never an asset: name another address, port or name";
	struct sp_netaddr at, database;
	struct sp_config conf;
	int literal = sp_netaddr_parse(address, &at) == SP_OK;

	ctl_conf_copy(c, &conf);
	if (!sp_host_is_ok(address))
		return "the address is neither a host name nor an IP address";
	if (inner_is_bastion(&conf, address, port) || (literal && c->servers != NULL && sp_store_servers_have(c->servers, &at, port)) ||
	    (literal && sp_store_server(s, &database) && database.port == port && sp_netaddr_same_host(&database, &at)))
		return ours;
	if (!conf.claim_local && (literal ? sp_netaddr_is_linklocal(&at) || own_is_local(&at) : host_is_localhost(address)))
		return "addresses of this machine, loopback and link-local ones cannot be claimed: an administrator adds such a host";
	return NULL;
}
