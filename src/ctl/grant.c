/* src/ctl/grant.c - sallyport grant: who may use which account on which asset, how and when. */
#include <string.h>

#include "ctl/nouns.h"

static const struct ctl_col grant_cols[] = {
	{ "name|id", "GRANT" },
	{ "effect", "EFFECT", .flags = CTL_COL_EXTRA },
	{ "user|group|subject", "WHO" },
	{ "asset|asset_group|object", "WHAT" },
	{ "accounts", "ACCOUNTS" },
	{ "protocols", "PROTOCOLS", .flags = CTL_COL_EXTRA },
	{ "valid_until", "UNTIL", CTL_FMT_TIME, CTL_COL_EXTRA },
	{ "forward_to", "FORWARDS TO", .flags = CTL_COL_EXTRA },
	{ "mfa", "CODE", .flags = CTL_COL_EXTRA },
	{ "valid_from", "FROM", CTL_FMT_TIME, CTL_COL_CARD },
	{ "id", "ID", .flags = CTL_COL_WHOLE | CTL_COL_CARD },
	{ NULL }
};
static const struct ctl_opt grant_create_opts[] = {
	{ "name", CTL_STR, .value = "NAME", .help = "name of the grant, for people" },
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "who: this user" },
	{ "group", CTL_STR, .value = "NAME", .complete = "group", .help = "who: this group of users" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "where: this asset" },
	{ "asset-group", CTL_STR, .value = "NAME", .complete = "asset-group", .help = "where: this group and the groups in it" },
	{ "account", CTL_LIST, "accounts", "NAME,...", .flags = CTL_REQUIRED, .help = "accounts, or '*' for all" },
	{ "protocol", CTL_LIST, "protocols", "NAME,...", CTL_PROTOCOLS, .help = "what may be opened (default: shell, exec, sftp, scp); scp includes the sftp subsystem" },
	{ "from", CTL_TIME, "valid_from", "TIME", .help = "not before: 2026-09-01, 2026-09-01T08:00:00Z or +8h" },
	{ "until", CTL_TIME, "valid_until", "TIME", .help = "not after" },
	{ "effect", CTL_STR, .value = "EFFECT", .choices = "allow|deny", .help = "allow (default) or deny; a deny wins" },
	{ "forward-to", CTL_LIST, .value = "HOST:PORT,...", .help = "destinations of port forwards: 10.0.0.0/8:5432" },
	{ "mfa", CTL_STR, .value = "WHEN", .help = "one-time code: never (default), every (login), or how long one counts: 4h, 8h, 12h" },
	{ "record", CTL_STR, "record_mode", "MODE", "strict|best-effort", .help = "strict (default): no recording, no session" },
	CTL_END
};
static const struct ctl_opt grant_list_opts[] = {
	{ "user", CTL_STR, .value = "LOGIN", .complete = "user", .help = "grants to this user" },
	{ "asset", CTL_STR, .value = "NAME", .complete = "asset", .help = "grants on this asset" },
	CTL_END
};
static const struct ctl_opt grant_arg[] = {
	{ "ID", CTL_STR, .complete = "grant", .help = "name or id of the grant" },
	CTL_END
};

static enum sp_err
grant_fill(struct ctl *c)
{
	const json_t *p = c->params, *accounts = json_object_get(p, "accounts");
	size_t i;
	json_t *v;

	if ((json_object_get(p, "user") != NULL) + (json_object_get(p, "group") != NULL) != 1)
		return ctl_fail(c, SP_EUSAGE, "say who gets it: --user LOGIN or --group NAME");
	if ((json_object_get(p, "asset") != NULL) + (json_object_get(p, "asset_group") != NULL) != 1)
		return ctl_fail(c, SP_EUSAGE, "say where: --asset NAME or --asset-group NAME");
	if (json_array_size(accounts) == 0)
		return ctl_fail(c, SP_EUSAGE, "--account is empty: name accounts, or '*' for all");
	json_array_foreach(accounts, i, v) {
		if (strcmp(json_string_value(v), "*") != 0)
			continue;
		if (json_array_size(accounts) > 1)
			return ctl_fail(c, SP_EUSAGE, "--account: '*' stands alone: it is every account already");
		return json_object_set_new(c->params, "accounts", json_string("*")) == 0 ? SP_OK :
		    ctl_fail(c, SP_ENOMEM, "out of memory");
	}
	return SP_OK;
}

static const struct ctl_cmd grant_cmds[] = {
	{ "create", "let a user or group use accounts on an asset or asset group", .opts = grant_create_opts,
	  .method = "grant.create", .fill = grant_fill, .done = "Grant {id} created.",
	  .more = "A grant is in force at the next login or channel; nothing has to be synchronised." },
	{ "list", "list grants", .opts = grant_list_opts, .method = "grant.list", .show = CTL_ROWS, .cols = grant_cols,
	  .empty = "No grants." },
	{ "show", "show a grant", .args = grant_arg, .method = "grant.show", .show = CTL_OBJECT, .cols = grant_cols },
	{ "delete", "take a grant back; sessions that rest on it are ended", .args = grant_arg, .method = "grant.delete",
	  .done = "Grant {id} deleted." },
	{ NULL }
};
const struct ctl_noun ctl_noun_grant = { "grant", "who may use which account on which asset", grant_cmds };
