/* src/ctl/simple.c - nouns that are one question each: access, audit, settings, outbox, known-hosts, status, version. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "ctl/call.h"
#include "ctl/nouns.h"

/* access */
static const struct ctl_col access_cols[] = {
	{ "allowed", "Allowed" },
	{ "grant", "Grant" },
	{ "path", "Path" },
	{ "reasons", "Reasons" },
	{ NULL }
};
static const struct ctl_col who_cols[] = {
	{ "user", "USER" },
	{ "accounts", "ACCOUNTS" },
	{ "grant", "GRANT" },
	{ "group", "THROUGH" },
	{ "asset_group", "ON" },
	{ "protocols", "PROTOCOLS", .flags = CTL_COL_EXTRA },
	{ "valid_from", "FROM", CTL_FMT_TIME, CTL_COL_EXTRA },
	{ "valid_until", "UNTIL", CTL_FMT_TIME, CTL_COL_EXTRA },
	{ "hours", "HOURS", .flags = CTL_COL_EXTRA },
	{ "sources", "SOURCES", .flags = CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt explain_args[] = {
	{ "USER", CTL_STR, .complete = "user", .help = "login name" },
	{ "ASSET", CTL_STR, .complete = "asset", .help = "name of the asset" },
	{ "ACCOUNT", CTL_STR, .help = "account on the asset" },
	CTL_END
};
static const struct ctl_opt explain_opts[] = {
	{ "protocol", CTL_STR, .value = "NAME", .choices = CTL_PROTOCOLS, .help = "what would be opened (default shell)" },
	CTL_END
};
static enum sp_err
explain_run(struct ctl *c)
{
	ctl_auto_json *body = NULL;

	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	c->failed = !json_is_true(json_object_get(body, "allowed"));
	return ctl_show(c, body);
}

static const struct ctl_opt who_args[] = {
	{ "ASSET", CTL_STR, .complete = "asset", .help = "name of the asset" },
	CTL_END
};
static const struct ctl_opt who_opts[] = {
	{ "account", CTL_STR, .value = "NAME", .help = "only who may use this account" },
	CTL_END
};
static const struct ctl_cmd access_cmds[] = {
	{ "explain", "say which grant allows it, or why not", .args = explain_args, .opts = explain_opts,
	  .method = "access.explain", .show = CTL_OBJECT, .cols = access_cols, .run = explain_run,
	  .more = "Exit status 1 if the answer is no; with --json the answer is \"allowed\" as well." },
	{ "who", "list who may reach an asset", .args = who_args, .opts = who_opts, .method = "access.who",
	  .show = CTL_ROWS, .cols = who_cols, .empty = "Nobody.",
	  .more = "One row for each user and grant: everybody who could, also at some hours, from some networks, or from a day to "
	      "come on. Left out are users who may not log in, accounts that are not in use, and what a deny takes away." },
	{ NULL }
};
const struct ctl_noun ctl_noun_access = { "access", "why somebody may or may not", access_cmds };

/* audit */
static const struct ctl_col audit_cols[] = {
	{ "index|seq", "INDEX", .flags = CTL_COL_RIGHT | CTL_COL_EXTRA },
	{ "time|at|wall", "TIME", CTL_FMT_TIME },
	{ "kind", "KIND" },
	{ "user|by|actor", "WHO" },
	{ "text|summary|detail|body", "WHAT" },
	{ "session|session_id", "SESSION", .flags = CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_opt audit_opts[] = {
	{ "limit", CTL_INT, .value = "N", .help = "at most so many entries" },
	{ "since", CTL_TIME, .value = "TIME", .help = "not older than this" },
	{ "kind", CTL_STR, .value = "KIND", .help = "entries of this kind" },
	{ "session", CTL_STR, .value = "ID", .complete = "session", .help = "entries of this session" },
	CTL_END
};
static const struct ctl_opt search_args[] = {
	{ "TEXT", CTL_STR, .param = "text", .flags = CTL_OPTIONAL, .help = "what stands in the entry, in any of its members" },
	CTL_END
};
static const struct ctl_opt search_opts[] = {
	{ "limit", CTL_INT, .value = "N", .help = "at most so many entries" },
	{ "since", CTL_TIME, .value = "TIME", .help = "not older than this" },
	{ "until", CTL_TIME, .value = "TIME", .help = "not younger than this" },
	{ "kind", CTL_STR, .value = "KIND", .help = "entries of this kind, or with a dot at its end of all that begin so" },
	{ "actor", CTL_STR, .value = "LOGIN", .complete = "user", .help = "what this user did" },
	{ "session", CTL_STR, .value = "ID", .complete = "session", .help = "entries of this session" },
	{ "object", CTL_STR, .value = "ID", .help = "entries about the user, asset, account, connection or other object of this id" },
	CTL_END
};
static const struct ctl_cmd audit_cmds[] = {
	{ "list", "list entries of the audit log, newest first", .opts = audit_opts, .method = "audit.list", .show = CTL_ROWS,
	  .cols = audit_cols, .empty = "No entries." },
	{ "search", "search the audit log, newest first", .args = search_args, .opts = search_opts, .method = "audit.list", .show = CTL_ROWS,
	  .cols = audit_cols, .empty = "Nothing found.",
	  .more = "The log itself is searched, not the database: it works with either store and while the store is away. Give a time "
	      "to leave out the parts of the log that are of another one." },
	{ NULL }
};
const struct ctl_noun ctl_noun_audit = { "audit", "the audit log", audit_cmds };

/* settings */
static const struct ctl_opt settings_get_args[] = {
	{ "KEY", CTL_STR, .flags = CTL_OPTIONAL, .help = "one setting (default: all)" },
	CTL_END
};
static const struct ctl_opt settings_set_args[] = {
	{ "KEY", CTL_STR, .help = "name of the setting" },
	{ "VALUE", CTL_STR, .help = "its new value" },
	CTL_END
};
static const struct ctl_cmd settings_cmds[] = {
	{ "get", "show settings kept in the database", .args = settings_get_args, .method = "settings.get", .show = CTL_OBJECT },
	{ "set", "change a setting", .args = settings_set_args, .method = "settings.set", .done = "{key} is now {value}." },
	{ NULL }
};
const struct ctl_noun ctl_noun_settings = { "settings", "settings that administrators change at run time", settings_cmds };

/* outbox */
static const struct ctl_col outbox_cols[] = {
	{ "id", "ID", .flags = CTL_COL_WHOLE },
	{ "kind", "KIND" },
	{ "created", "AGE", CTL_FMT_AGE },
	{ "text", "TEXT" },
	{ NULL }
};
static const struct ctl_col outbox_status_cols[] = {
	{ "to", "TO" },
	{ "state", "STATE" },
	{ "text", "WHY" },
	{ "last", "LAST", .flags = CTL_COL_EXTRA },
	{ NULL }
};
static const struct ctl_cmd outbox_cmds[] = {
	{ "status", "show what mail and webhooks took", .method = "outbox.status", .show = CTL_ROWS, .cols = outbox_status_cols,
	  .empty = "Neither mail nor a webhook is configured." },
	{ "list", "list messages that wait to be sent", .method = "outbox.list", .show = CTL_ROWS, .cols = outbox_cols,
	  .empty = "Nothing waits." },
	{ NULL }
};
const struct ctl_noun ctl_noun_outbox = { "outbox", "mail and messages on their way out", outbox_cmds };

/* known-hosts */
static const struct ctl_opt known_hosts_args[] = {
	{ "HOST", CTL_STR, "name", .complete = "asset", .flags = CTL_OPTIONAL, .help = "one host, as ssh writes it: name or [name]:port" },
	CTL_END
};

/* "[name]:port", as %H of KnownHostsCommand gives it, into name and port. */
static enum sp_err
known_hosts_fill(struct ctl *c)
{
	const char *host = json_string_value(json_object_get(c->params, "name")), *end;
	long port;

	if (host == NULL || host[0] != '[' || (end = strchr(host, ']')) == NULL || end[1] != ':')
		return SP_OK;
	port = strtol(end + 2, NULL, 10);
	if (port < 1 || port > 65535)
		return ctl_fail(c, SP_EUSAGE, "\"%s\" is not [name]:port", host);
	if (json_object_set_new(c->params, "port", json_integer(port)) != 0 ||
	    json_object_set_new(c->params, "name", json_stringn(host + 1, (size_t)(end - host - 1))) != 0)
		return ctl_fail(c, SP_EINVAL, "the name is not UTF-8");
	return SP_OK;
}

static const struct ctl_cmd known_hosts_cmds[] = {
	{ "", "print known_hosts lines of the bastion and of every asset's inner key", .args = known_hosts_args,
	  .method = "known_hosts", .show = CTL_TEXT, .fill = known_hosts_fill,
	  .more = "With 'ssh -J' the inner connection is terminated by Sallyport, under one host key for each asset. "
	    "Where this program can be run, ssh_config(5) finds these keys by itself with the line "
	    "'KnownHostsCommand /usr/bin/sallyport known-hosts %H'; elsewhere, append the output to ~/.ssh/known_hosts." },
	{ NULL }
};
const struct ctl_noun ctl_noun_known_hosts = { "known-hosts", "host keys for the users' ssh", known_hosts_cmds };

/* status */
static const char *
status_vault(const json_t *v)
{
	if (!json_is_true(json_object_get(v, "available")))
		return "does not answer: see 'sallyport doctor'";
	if (!json_is_true(json_object_get(v, "initialised")))
		return "not initialised: run 'sallyport vault init'";
	return json_is_true(json_object_get(v, "sealed")) ? "sealed: run 'sallyport vault unseal'" : "open";
}

/* One line for people: "tls://siem:6514 up to date, udp://10.0.0.5:514 away (12 behind)". */
static enum sp_err
status_copies(struct ctl *c, json_t *body)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 8192 };
	const json_t *copies = json_object_get(body, "copies"), *row;
	enum sp_err r = SP_OK;
	size_t i;

	json_array_foreach(copies, i, row) {
		const char *to = json_string_value(json_object_get(row, "collector")), *state = json_string_value(json_object_get(row, "state"));
		long long behind = (long long)json_integer_value(json_object_get(row, "behind"));

		if (to == NULL || state == NULL)
			continue;
		if ((r = sp_buf_printf(&b, "%s%s %s", i > 0 ? ", " : "", to, state)) == SP_OK && behind > 0)
			r = sp_buf_printf(&b, " (%lld behind)", behind);
		if (r != SP_OK)
			return ctl_fail(c, r, "the answer is too long");
	}
	if (b.len > 0)
		json_object_set_new(body, "copies", json_string(sp_buf_cstr(&b)));
	else
		json_object_del(body, "copies");
	return SP_OK;
}

/* For people the vault is one word here; 'vault status' has the rest. */
static enum sp_err
status_run(struct ctl *c)
{
	ctl_auto_json *body = NULL;

	CTL_TRY(ctl_call(c, c->cmd->method, c->params, &body));
	if (!c->json && json_is_object(json_object_get(body, "vault")))
		json_object_set_new(body, "vault", json_string(status_vault(json_object_get(body, "vault"))));
	if (!c->json)
		CTL_TRY(status_copies(c, body));
	if (!c->json && json_is_object(json_object_get(body, "snapshot")))
		json_object_set(body, "snapshot", json_object_get(json_object_get(body, "snapshot"), "state"));
	return ctl_show(c, body);
}

static const struct ctl_cmd status_cmds[] = {
	{ "", "show what runs: version, processes, vault, store, live sessions", .method = "system.status", .run = status_run,
	  .show = CTL_OBJECT },
	{ NULL }
};
const struct ctl_noun ctl_noun_status = { "status", "what runs", status_cmds };

/* version */
static enum sp_err
version_run(struct ctl *c)
{
	ctl_auto_json *v = NULL;

	if (!c->json) {
		fprintf(c->out, "sallyport %s\n", SP_VERSION);
		return SP_OK;
	}
	v = json_pack("{s:s, s:i}", "version", SP_VERSION, "protocol", (int)SP_IPC_PROTOCOL);
	return v != NULL ? ctl_print_json(c, v) : ctl_fail(c, SP_ENOMEM, "out of memory");
}

static const struct ctl_cmd version_cmds[] = {
	{ "", "show the version of this program", .run = version_run },
	{ NULL }
};
const struct ctl_noun ctl_noun_version = { "version", "version of this program", version_cmds };
