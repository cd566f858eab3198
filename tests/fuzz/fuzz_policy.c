/* tests/fuzz/fuzz_policy.c - the texts of a grant: destinations, hours, sources, accounts, one per line, then a host.
 * Reading never faults; loopback is reached only through its own address; what was refused at saving never permits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/access.h"
#include "policy/forward.h"

#define LINES	5

static void
forward_holds(const char *list, const char *host)
{
	struct sp_netaddr loop;

	if (sp_netaddr_parse("127.0.0.1", &loop) != SP_OK)
		abort();
	if (sp_policy_forward_allowed(list, host, &loop, 22) == SP_POLICY_FWD_YES && strstr(list, "127.0.0.1") == NULL &&
	    strcasestr(list, "ffff") == NULL)	/* ::ffff:7f00:1 is that address too */
		abort();
	(void)sp_policy_forward_allowed(list, host, NULL, 22);
}

static void
grant_holds(char *const line[LINES])
{
	struct sp_policy_grant g = { .accounts = line[3], .protocols = SP_POLICY_ALL, .hours = line[1], .sources = line[2], .forwards = line[0] };
	struct sp_policy_input in = { .now_us = 1234567890123456, .user_state = SP_POLICY_ACTIVE, .asset_state = SP_POLICY_ACTIVE,
	    .account = "root", .grant = &g, .n = 1 };
	static struct sp_policy_decision d;
	int bad = sp_policy_hours_check(line[1]) != SP_OK || sp_policy_sources_check(line[2]) != SP_OK || sp_policy_accounts_check(line[3]) != SP_OK;

	if (sp_netaddr_parse("10.1.2.3", &in.source) != SP_OK)
		abort();
	sp_policy_access(&in, &d, NULL, 0, NULL);
	if ((bad && d.allowed) || (d.recheck_us != 0 && d.recheck_us <= in.now_us))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *line[LINES], *at;

	if (text == NULL)
		return 0;
	memcpy(text, data, size);
	text[size] = 0;
	at = text;
	for (int i = 0; i < LINES; i++) {
		line[i] = at;
		at += strcspn(at, "\n");
		if (*at == '\n')
			*at++ = 0;
	}
	forward_holds(line[0], line[4]);
	grant_holds(line);
	free(text);
	return 0;
}
