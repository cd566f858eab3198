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
	{ "hours", "HOURS", .flags = CTL_COL_EXTRA },
	{ "sources", "FROM NETWORKS", .flags = CTL_COL_CARD },
	{ "idle_s", "IDLE (S)", .flags = CTL_COL_CARD },
	{ "max_session_s", "LONGEST (S)", .flags = CTL_COL_CARD },
	{ "concurrent_max", "SESSIONS", .flags = CTL_COL_CARD },
	{ "reason", "REASON", .flags = CTL_COL_CARD },
	{ "reason_pattern", "TICKET", .flags = CTL_COL_CARD },
	{ "agent", "AGENT", .flags = CTL_COL_CARD },
	{ "files", "FILES", .flags = CTL_COL_CARD },
	{ "file_paths", "FILE PATHS", .flags = CTL_COL_CARD },
	{ "keep_files", "KEEPS FILES", .flags = CTL_COL_CARD },
	{ "keep_output", "KEEPS OUTPUT", .flags = CTL_COL_CARD },
	{ "keep_max_mb", "EACH AT MOST (MiB)", .flags = CTL_COL_CARD },
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
	{ "hours", CTL_STR, .value = "HOURS", .help = "only then: \"mon-fri 08:00-18:00,sat 09:00-12:00\"" },
	{ "source", CTL_LIST, "sources", "NETWORK,...", .help = "only from there: 10.0.0.0/8, 2001:db8::/32" },
	{ "idle", CTL_DURATION, "idle_s", "TIME", .help = "end a session without activity after: 15m" },
	{ "max", CTL_DURATION, "max_session_s", "TIME", .help = "end a session after: 8h" },
	{ "concurrent", CTL_INT, "concurrent_max", "N", .help = "at most so many sessions of a user at once" },
	{ "reason", CTL_STR, .value = "text|ticket[:REGEX]", .flags = CTL_LOCAL, .help = "ask for a reason, or a ticket (default form: OPS-1234)" },
	{ "agent", CTL_LIST, .value = "KIND,...", .choices = "platform|own", .help = "agent channels: the platform's, the user's own" },
	{ "files", CTL_STR, .value = "WAY", .choices = "both|up|down|none", .help = "which way files may go: both (default), up (to the target), down, none" },
	{ "file-path", CTL_LIST, "file_paths", "RULE,...", .help = "where files may be moved, first fit decides: deny:write:/etc/**, allow:both:/srv/**" },
	{ "keep-files", CTL_STR, "keep_files", "WHICH", "none|uploads|downloads|both", .help = "keep what is in files that sftp and scp move, for auditors" },
	{ "keep-output", CTL_FLAG, .help = "keep the first 64 KiB that each command prints, readable in its record" },
	{ "keep-max", CTL_INT, "keep_max_mb", "MIB", .help = "of each file at most so much (default: all)" },
	{ "forward", CTL_LIST, "forward_to", "HOST:PORT,...", .help = "the same as --forward-to" },
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

/* text, or ticket, or ticket:REGEX, which may hold anything. */
static const struct ctl_opt grant_commands_opts[] = {
	{ "mode", CTL_STR, .value = "MODE", .choices = "black|white", .help = "black: what no rule names may run; white: it may not" },
	{ "uncertain", CTL_STR, .value = "WHAT", .choices = "allow|deny", .help = "lines of which it is not certain what they run (white: deny, black: allow)" },
	CTL_END
};
static enum sp_err
grant_fill_reason(struct ctl *c)
{
	const char *s = ctl_local_str(c, "reason"), *colon = s != NULL ? strchr(s, ':') : NULL;
	size_t n = colon != NULL ? (size_t)(colon - s) : s != NULL ? strlen(s) : 0;

	if (s == NULL)
		return SP_OK;
	if (!(n == 6 && strncmp(s, "ticket", n) == 0) && strcmp(s, "text") != 0)
		return ctl_fail(c, SP_EUSAGE, "--reason: \"%s\" is not text, ticket or ticket:REGEX", s);
	if (json_object_set_new(c->params, "reason", json_stringn(s, n)) != 0 ||
	    (colon != NULL && json_object_set_new(c->params, "reason_pattern", json_string(colon + 1)) != 0))
		return ctl_fail(c, SP_EINVAL, "--reason: not UTF-8: check it for stray bytes");
	return SP_OK;
}

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
	CTL_TRY(grant_fill_reason(c));
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
	  .more = "A grant is in force at the next login or channel; nothing has to be synchronised. Limits hold in live sessions, too: "
	    "when the hours are over, the grant ends or the longest time is reached, the session is warned 5 minutes before and then "
	    "ended with a line that says so. Hours are those of the setting time_zone. A ticket is the first word of what the user gives "
	    "on the terminal, or in the environment as SALLYPORT_REASON; REGEX (Perl-compatible) has to fit the whole of it. --files holds for sftp, scp and rsync; who may "
	    "open a shell or run any command moves files as he likes, so name --protocol sftp,scp with it. --file-path is a list of rules, "
	    "allow or deny, then read, write or both, then a path: * is part of a name, ** any folders. What no rule allows is refused. The target says "
	    "where a path leads, so links and .. do not get around a rule; rsync, git and scp -O cannot be checked and are refused." },
	{ "list", "list grants", .opts = grant_list_opts, .method = "grant.list", .show = CTL_ROWS, .cols = grant_cols,
	  .empty = "No grants." },
	{ "show", "show a grant", .args = grant_arg, .method = "grant.show", .show = CTL_OBJECT, .cols = grant_cols },
	{ "commands", "what it makes of commands that no rule names", .args = grant_arg, .opts = grant_commands_opts, .method = "grant.commands",
	  .done = "Grant {name}: a {mode} list, uncertain: {uncertain}.",
	  .more = "Of several grants that allow a session the strictest counts. On an interactive shell a black list prevents mistakes; who wants to "
	      "get around it, does. A white list is a control, and refuses much that is harmless: give it for few commands, best by exec." },
	{ "delete", "take a grant back; sessions that rest on it are ended", .args = grant_arg, .method = "grant.delete",
	  .done = "Grant {id} deleted." },
	{ NULL }
};
const struct ctl_noun ctl_noun_grant = { "grant", "who may use which account on which asset", grant_cmds };
