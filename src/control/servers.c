/* src/control/servers.c - see servers.h. Process: control, event loop. Which server is used for what is decided in
 * lib/store; here it is told: a change that lasts SAY_AFTER_US is one line in the log and one entry in the audit log, so
 * that a server that comes and goes many times a second fills neither. */
#include "control/servers.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

#define SAY_AFTER_US	SP_US_PER_S

struct said {
	enum sp_store_server_role role;	/* as last told */
	int			 told;
	enum sp_store_server_role now;	/* as last seen */
	uint64_t		 since_us;
};
struct servers {
	struct said	s[SP_STORE_SERVERS_MAX];
};

static const char *const roles[] = {
	[SP_STORE_SERVER_AWAY] = "away", [SP_STORE_SERVER_PRIMARY] = "primary", [SP_STORE_SERVER_REPLICA] = "replica",
	[SP_STORE_SERVER_REFUSED] = "refused"
};

enum sp_err
servers_new(struct ctl *c)
{
	const struct sp_config *conf = &c->child.conf;
	struct sp_store_server list[SP_STORE_SERVERS_MAX];
	size_t n = 0;

	if (strcmp(conf->store.v[0], "sqlite") == 0) {
		sp_snprintf(c->store_url, sizeof(c->store_url), "sqlite:%s/store", conf->state_dir);
		return SP_OK;
	}
	for (size_t i = 0; i < conf->store.n && n < SP_STORE_SERVERS_MAX; i++)
		list[n++] = (struct sp_store_server){ conf->store.v[i], 0 };
	for (size_t i = 0; i < conf->store_far.n && n < SP_STORE_SERVERS_MAX; i++)
		list[n++] = (struct sp_store_server){ conf->store_far.v[i], 1 };
	(void)sp_strlcpy(c->store_url, "pg:", sizeof(c->store_url));
	if ((c->said = calloc(1, sizeof(*c->said))) == NULL)
		return SP_ENOMEM;
	return sp_store_servers_new(list, n, (uint32_t)(conf->store_timeout / SP_US_PER_MS), &c->servers);
}

static void
servers_tell(struct ctl *c, const struct sp_store_server_status *s)
{
	char text[512];
	struct audit_entry e = { .kind = "store.server", .actor = "system", .text = text,
	    .result = s->role == SP_STORE_SERVER_PRIMARY || s->role == SP_STORE_SERVER_REPLICA ? "ok" : "failed" };

	sp_snprintf(text, sizeof(text), "%s%s: %s%s%s", s->name, s->far ? " (other site)" : "", roles[s->role],
	    *s->why ? ": " : "", s->why);
	if (strcmp(e.result, "ok") == 0)
		sp_info("database server %s", text);
	else
		sp_warn("database server %s", text);
	audit_append(c->audit, &e, NULL, NULL);
}

void
servers_tick(struct ctl *c, uint64_t now_us)
{
	struct sp_store_server_status s[SP_STORE_SERVERS_MAX];
	size_t n;

	if (c->servers == NULL)
		return;
	n = sp_store_servers_status(c->servers, s, SP_NELEMS(s));
	for (size_t i = 0; i < n; i++) {
		struct said *d = &c->said->s[i];

		if (!s[i].asked)
			continue;
		if (s[i].role != d->now || d->since_us == 0) {
			d->now = s[i].role;
			d->since_us = now_us;
		}
		if ((!d->told || d->now != d->role) && now_us >= d->since_us + SAY_AFTER_US) {
			d->role = d->now;
			d->told = 1;
			servers_tell(c, &s[i]);
		}
	}
}

json_t *
servers_json(const struct ctl *c)
{
	struct sp_store_server_status s[SP_STORE_SERVERS_MAX];
	json_t *list = json_array();
	size_t n = c->servers != NULL ? sp_store_servers_status(c->servers, s, SP_NELEMS(s)) : 0;

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:s}", "name", s[i].name, "site",
		    s[i].far ? "far" : "near", "role", roles[s[i].role], "reading", s[i].reading, "writing", s[i].writing,
		    "why", s[i].why));
	return list;
}

void
servers_free(struct ctl *c)
{
	sp_store_servers_free(c->servers);
	c->servers = NULL;
	free(c->said);
	c->said = NULL;
}
