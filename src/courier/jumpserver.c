/* src/courier/jumpserver.c - entries of the audit log as the records of JumpServer v4's six categories: the keys, the types and the
 * labels of its serializers, so that parsers written for it work unchanged. Pure. Source: JumpServer v4.10, audits/serializers.py,
 * terminal/serializers/session.py and command.py.
 * An id is made from the entry, so a record that is sent twice is one record for who keeps them by id. Times are UTC. */
#include "courier/internal.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define ORG_ID		"00000000-0000-0000-0000-000000000002"	/* its "Default" organization */
#define ORG_NAME	"Default"

struct ev {				/* everything borrowed */
	const struct copy_form	*f;
	const json_t		*e, *ctx, *more, *body, *header, *session;
	const char		*kind, *event, *actor, *result, *source, *text;
	int64_t			 wall_us;
};
typedef json_t *record_fn(const struct ev *v);

static const char *
get(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

/* The first of these members that is a text that says something. */
static const char *
get_any(const json_t *o, const char *const *keys)
{
	for (; *keys != NULL; keys++)
		if (*get(o, *keys) != '\0')
			return get(o, *keys);
	return "";
}

static const char *
first_of(const char *a, const char *b)
{
	return *a != '\0' ? a : b;
}

static json_t *
choice(const char *value, const char *label)
{
	return json_pack("{s:s, s:s}", "value", value, "label", label);
}

/* "Name(login)"; who has no other name has his login for one. */
static json_t *
named(const char *name, const char *login)
{
	return json_sprintf("%s(%s)", first_of(name, login), login);
}

/* "2026/08/21 18:22:42 +0000" */
static json_t *
when(int64_t wall_us)
{
	char t[SP_RFC3339_SIZE], out[40];

	sp_rfc3339(wall_us, t, sizeof(t));
	sp_snprintf(out, sizeof(out), "%.4s/%.2s/%.2s %.8s +0000", t, t + 5, t + 8, t + 11);
	return json_string(out);
}

static int64_t
time_of(const char *rfc3339, int64_t otherwise)
{
	int64_t us;

	return sp_rfc3339_parse(rfc3339, &us) == SP_OK ? us : otherwise;
}

/* Version 8: six bytes of the boot's id, ten of the entry's number, version and variant in their places. */
static json_t *
id_of(const struct ev *v)
{
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(v->e, "seq"));
	struct sp_uuid u = { { 0 } };
	char boot[13], t[SP_UUID_SIZE];

	sp_snprintf(boot, sizeof(boot), "%.12s", get(v->e, "boot"));
	if (sp_hex_parse(boot, u.b, 6) != SP_OK)
		memset(u.b, 0, 6);
	for (int i = 15; i > 8; i--, seq >>= 8)
		u.b[i] = (uint8_t)seq;
	u.b[6] = 0x80;
	u.b[8] = 0x80;
	return json_string(sp_uuid_text(&u, t));
}

static json_t *
actor_of(const struct ev *v)
{
	const json_t *u = json_object_get(v->ctx, "actor");

	return named(get(u, "name"), v->actor);
}

/* The user whose session it is. */
static json_t *
user_of(const struct ev *v)
{
	const json_t *u = json_object_get(v->ctx, "user");
	const char *login = first_of(get(v->session, "user"), first_of(get(v->header, "user"), v->actor));

	return named(strcmp(get(u, "login"), login) == 0 ? get(u, "name") : "", login);
}

static json_t *
asset_of(const struct ev *v)
{
	const json_t *a = json_object_get(v->ctx, "asset");
	const char *name = first_of(get(v->session, "asset"), first_of(get(v->header, "asset"), get(a, "name")));

	return json_sprintf("%s(%s)", name, first_of(get(a, "address"), name));
}

static json_t *
account_of(const struct ev *v)
{
	const char *name = first_of(get(v->session, "account"), get(v->header, "account"));

	return named(name, first_of(get(v->header, "login"), name));
}

static json_t *
or_null(const char *s)
{
	return *s != '\0' ? json_string(s) : json_null();
}

static void
add_org(json_t *o)
{
	json_object_set_new(o, "org_id", json_string(ORG_ID));
}

/* ---- login_log ---- */

static const struct {
	const char	*method, *backend;
} backends[] = { { "password", "Password" }, { "publickey", "SSH Key" } };

static json_t *
login_log(const struct ev *v)
{
	int ok = strcmp(v->kind, "login.ok") == 0, second = *get(v->more, "second") != '\0';
	const char *method = get(v->more, "method"), *backend = method;
	json_t *o = json_object();

	for (size_t i = 0; i < SP_NELEMS(backends); i++)
		if (strcmp(method, backends[i].method) == 0)
			backend = backends[i].backend;
	json_object_set_new(o, "id", id_of(v));
	json_object_set_new(o, "username", ok ? actor_of(v) : json_string(v->actor));
	json_object_set_new(o, "type", choice("T", "Terminal"));
	json_object_set_new(o, "ip", json_string(v->source));
	json_object_set_new(o, "city", json_string(""));
	json_object_set_new(o, "user_agent", json_string(get(v->more, "client")));
	json_object_set_new(o, "mfa", json_pack("{s:i, s:s}", "value", !ok ? 2 : second, "label",
	    !ok ? "-" : second ? "Enabled" : "Disabled"));
	json_object_set_new(o, "reason", json_string(ok ? "" : v->text));
	json_object_set_new(o, "reason_display", json_string(ok ? "" : v->text));
	json_object_set_new(o, "backend", json_string(backend));
	json_object_set_new(o, "backend_display", json_string(backend));
	json_object_set_new(o, "status", json_pack("{s:b, s:s}", "value", ok, "label", ok ? "Success" : "Failed"));
	json_object_set_new(o, "datetime", when(v->wall_us));
	return o;
}

/* ---- password_change_log ---- */

static json_t *
password_change_log(const struct ev *v)
{
	const json_t *u = json_object_get(v->ctx, "user");
	json_t *o = json_object();

	json_object_set_new(o, "id", id_of(v));
	json_object_set_new(o, "user", u != NULL ? named(get(u, "name"), get(u, "login")) : json_string(first_of(v->text, v->actor)));
	json_object_set_new(o, "change_by", actor_of(v));
	json_object_set_new(o, "remote_addr", json_string(v->source));
	json_object_set_new(o, "datetime", when(v->wall_us));
	return o;
}

/* ---- operation_log ---- */

static const struct {
	const char	*noun, *type;
} resources[] = {
	{ "user", "User" }, { "group", "User group" }, { "department", "Organization" }, { "asset", "Asset" }, { "asset_group", "Node" },
	{ "account", "Account" }, { "secret", "Account" }, { "ca", "Account" }, { "grant", "Asset permission" }, { "zone", "Zone" },
	{ "hostkey", "Host key" }, { "settings", "Setting" }, { "config", "Setting" }, { "vault", "Vault" }, { "import", "Import" },
	{ "sweep", "Import" }, { "export", "Export" }, { "rows", "Row" }, { "breakglass", "Account" }, { "backup", "Backup" },
	{ "quarantine", "Setting" }, { "session", "Session" },
};
static const struct {
	const char	*verb, *action, *label;		/* verb: how the last part of the kind begins */
} actions[] = {
	{ "create", "create", "Create" }, { "add", "create", "Create" }, { "delete", "delete", "Delete" },
	{ "remove", "delete", "Delete" }, { "reveal", "view", "View" }, { "export", "export", "Export" },
	{ "confirm", "accept", "Accept" }, { "reject", "reject", "Reject" }, { "", "update", "Update" },
};

static json_t *
diff_of(const struct ev *v)
{
	json_t *diff = json_array(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t)v->more, key, value) {
		char *s = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);

		json_array_append_new(diff, json_pack("{s:s, s:s, s:s}", "field", key, "before", "", "after",
		    s != NULL ? s : json_is_string(value) ? json_string_value(value) : ""));
		sp_freep(&s);
	}
	return diff;
}

static json_t *
operation_log(const struct ev *v)
{
	const char *type = NULL, *verb = strrchr(v->kind, '.');
	size_t noun_n = strcspn(v->kind, "."), a = 0;
	json_t *o;

	verb = verb != NULL ? verb + 1 : v->kind;
	for (size_t i = 0; i < SP_NELEMS(resources); i++)
		if (strlen(resources[i].noun) == noun_n && strncmp(v->kind, resources[i].noun, noun_n) == 0)
			type = resources[i].type;
	if (type == NULL || strcmp(v->actor, "system") == 0 || strcmp(v->result, "ok") != 0)
		return NULL;
	while (strncmp(verb, actions[a].verb, strlen(actions[a].verb)) != 0)
		a++;
	o = json_object();
	json_object_set_new(o, "id", id_of(v));
	json_object_set_new(o, "user", actor_of(v));
	json_object_set_new(o, "action", choice(actions[a].action, actions[a].label));
	json_object_set_new(o, "resource_type", json_string(type));
	json_object_set_new(o, "resource", json_string(v->text));
	json_object_set_new(o, "remote_addr", json_string(v->source));
	json_object_set_new(o, "datetime", when(v->wall_us));
	json_object_set_new(o, "diff", diff_of(v));
	add_org(o);
	json_object_set_new(o, "org_name", json_string(ORG_NAME));
	return o;
}

/* ---- host_session_log ---- */

static const struct {
	const char	*protocol, *type, *label;
} types[] = {
	{ "exec", "command", "Command" }, { "sftp", "sftp", "SFTP" }, { "scp", "sftp", "SFTP" }, { "forward", "tunnel", "Tunnel" },
	{ "", "normal", "Normal" },
};

static json_t *
duration_of(int64_t us)
{
	long long s = us > 0 ? (long long)(us / (int64_t)SP_US_PER_S) : 0, d = s / 86400;

	if (d == 0)
		return json_sprintf("%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
	return json_sprintf("%lld day%s, %lld:%02lld:%02lld", d, d == 1 ? "" : "s", s % 86400 / 3600, s / 60 % 60, s % 60);
}

static json_t *
host_session_log(const struct ev *v)
{
	int over = strcmp(v->kind, "session.end") == 0, failed = over && *get(v->session, "error") != '\0';
	const char *protocol = get(v->session, "protocol");
	int64_t from = time_of(first_of(get(v->session, "started"), get(v->header, "started")), v->wall_us);
	size_t t = 0;
	json_t *o = json_object();

	while (strncmp(protocol, types[t].protocol, strlen(types[t].protocol)) != 0)
		t++;
	json_object_set_new(o, "id", json_string(get(v->e, "session")));
	json_object_set_new(o, "user", user_of(v));
	json_object_set_new(o, "user_id", json_string(get(v->e, "user_id")));
	json_object_set_new(o, "asset", asset_of(v));
	json_object_set_new(o, "asset_id", json_string(get(v->e, "asset_id")));
	json_object_set_new(o, "account", account_of(v));
	json_object_set_new(o, "account_id", json_string(get(v->e, "account_id")));
	json_object_set_new(o, "protocol", json_string(strcmp(types[t].type, "sftp") == 0 ? "sftp" : "ssh"));
	json_object_set_new(o, "type", choice(types[t].type, types[t].label));
	json_object_set_new(o, "login_from", choice("ST", "SSH Terminal"));
	json_object_set_new(o, "remote_addr", or_null(v->source));
	json_object_set_new(o, "comment", over ? or_null(v->text) : json_null());
	json_object_set_new(o, "terminal_display", json_string(v->f->bastion));
	json_object_set_new(o, "terminal", json_pack("{s:s, s:s}", "id", "00000000-0000-0000-0000-000000000000", "name", v->f->bastion));
	json_object_set_new(o, "is_success", json_boolean(!failed));
	json_object_set_new(o, "is_finished", json_boolean(over));
	json_object_set_new(o, "is_locked", json_false());
	json_object_set_new(o, "has_replay", json_boolean(over));
	json_object_set_new(o, "can_replay", json_boolean(over));
	json_object_set_new(o, "has_command", json_boolean(over));
	json_object_set_new(o, "can_join", json_boolean(!over));
	json_object_set_new(o, "can_terminate", json_boolean(!over));
	json_object_set_new(o, "date_start", when(from));
	json_object_set_new(o, "date_end", over ? when(v->wall_us) : json_null());
	json_object_set_new(o, "duration", duration_of(over ? v->wall_us - from : 0));
	json_object_set_new(o, "command_amount", json_integer(0));
	json_object_set_new(o, "replay_size", json_integer(0));
	json_object_set_new(o, "error_reason", failed ? choice("connect_failed", "Connect failed") : choice("", ""));
	add_org(o);
	json_object_set_new(o, "org_name", json_string(ORG_NAME));
	return o;
}

/* ---- session_command_log ---- */

/* A command record, and until those say it of themselves, the opening of an exec channel. */
static json_t *
session_command_log(const struct ev *v)
{
	static const char *const inputs[] = { "command", "input", "text", "line", "detail", NULL };
	int64_t at = json_integer_value(json_object_get(v->more, "wall_us"));
	json_t *o, *risk = json_object_get(v->body, "risk_level");

	if (strcmp(v->event, "channel") == 0 && strcmp(get(v->body, "type"), "exec") != 0)
		return NULL;
	if (at == 0)
		at = v->wall_us;
	o = json_object();
	json_object_set_new(o, "id", id_of(v));
	json_object_set_new(o, "user", user_of(v));
	json_object_set_new(o, "asset", asset_of(v));
	json_object_set_new(o, "account", account_of(v));
	json_object_set_new(o, "session", json_string(get(v->e, "session")));
	json_object_set_new(o, "input", json_string(get_any(v->body, inputs)));
	json_object_set_new(o, "output", json_string(get(v->body, "output")));
	json_object_set_new(o, "risk_level", json_is_object(risk) ? json_incref(risk) : json_pack("{s:i, s:s}", "value", 0, "label", "Accept"));
	json_object_set_new(o, "remote_addr", or_null(first_of(v->source, get(v->session, "source"))));
	json_object_set_new(o, "timestamp", json_integer((json_int_t)(at / (int64_t)SP_US_PER_S)));
	json_object_set_new(o, "timestamp_display", when(at));
	add_org(o);
	return o;
}

/* ---- ftp_log ---- */

static const struct {
	const char	*op, *operate;
} operates[] = {
	{ "put", "upload" }, { "upload", "upload" }, { "write", "upload" }, { "up", "upload" }, { "get", "download" },
	{ "download", "download" }, { "read", "download" }, { "down", "download" }, { "mkdir", "mkdir" }, { "rmdir", "rmdir" },
	{ "remove", "delete" }, { "delete", "delete" }, { "rename", "rename" }, { "posix-rename@openssh.com", "rename" }, { "symlink", "symlink" },
	{ "link", "symlink" }, { "hardlink@openssh.com", "symlink" },
};

static json_t *
ftp_log(const struct ev *v)
{
	static const char *const ops[] = { "operate", "op", "direction", "what", NULL };
	static const char *const names[] = { "path", "filename", "name", "detail", NULL };
	const char *op = get_any(v->body, ops), *operate = NULL, *result = get(v->body, "result");
	int64_t at = json_integer_value(json_object_get(v->more, "wall_us"));
	json_t *o;

	for (size_t i = 0; i < SP_NELEMS(operates); i++)
		if (strcmp(op, operates[i].op) == 0)
			operate = operates[i].operate;
	if (operate == NULL)
		return NULL;		/* no such thing there: setstat, extended requests */
	o = json_object();
	json_object_set_new(o, "id", id_of(v));
	json_object_set_new(o, "user", user_of(v));
	json_object_set_new(o, "remote_addr", json_string(first_of(v->source, get(v->session, "source"))));
	json_object_set_new(o, "asset", asset_of(v));
	json_object_set_new(o, "account", account_of(v));
	json_object_set_new(o, "operate", choice(operate, operate));
	json_object_set_new(o, "filename", json_string(get_any(v->body, names)));
	json_object_set_new(o, "date_start", when(at != 0 ? at : v->wall_us));
	json_object_set_new(o, "is_success", json_boolean(*result == '\0' || strcmp(result, "ok") == 0));
	json_object_set_new(o, "has_file", json_false());
	json_object_set_new(o, "session", json_string(get(v->e, "session")));
	add_org(o);
	return o;
}

/* ---- which entry is what; the first row that fits ---- */

static const struct {
	const char	*kind;		/* "" at the end: whatever is left */
	const char	*event;		/* of the recorder; NULL: none is asked for */
	const char	*category;	/* NULL: no record */
	record_fn	*record;
} rows[] = {
	{ "login.ok", NULL, "login_log", login_log },
	{ "login.failed", NULL, "login_log", login_log },
	{ "user.password", NULL, "password_change_log", password_change_log },
	{ "session.start", NULL, "host_session_log", host_session_log },
	{ "session.end", NULL, "host_session_log", host_session_log },
	{ "session.event", "command", "session_command_log", session_command_log },
	{ "session.event", "channel", "session_command_log", session_command_log },
	{ "session.event", "file", "ftp_log", ftp_log },
	{ "command", NULL, "session_command_log", session_command_log },
	{ "file", NULL, "ftp_log", ftp_log },
	{ "session.kill", NULL, "operation_log", operation_log },
	{ "session.lock", NULL, "operation_log", operation_log },
	{ "session.message", NULL, "operation_log", operation_log },
	{ "session.", NULL, NULL, NULL },
	{ "hostkey.mismatch", NULL, NULL, NULL },
	{ "", NULL, "operation_log", operation_log },
};

static int
row_fits(size_t i, const struct ev *v)
{
	size_t n = strlen(rows[i].kind);
	int kind = n == 0 || rows[i].kind[n - 1] == '.' ? strncmp(v->kind, rows[i].kind, n) == 0 : strcmp(v->kind, rows[i].kind) == 0;

	return kind && (rows[i].event == NULL || strcmp(v->event, rows[i].event) == 0);
}

json_t *
jumpserver_record(const struct copy_form *f, const json_t *e, const json_t *ctx, const char **ret_category)
{
	const json_t *more = json_object_get(e, "more"), *body = json_object_get(more, "body");
	const struct ev v = { .f = f, .e = e, .ctx = ctx, .more = more, .body = body != NULL ? body : more,
	    .header = json_object_get(body, "header"), .session = json_object_get(ctx, "session"), .kind = get(e, "kind"),
	    .event = get(more, "event"), .actor = get(e, "actor"), .result = get(e, "result"), .source = get(e, "source"),
	    .text = get(e, "text"), .wall_us = time_of(get(e, "wall"), 0) };
	size_t i = 0;

	while (!row_fits(i, &v))
		i++;
	*ret_category = rows[i].category;
	return rows[i].record != NULL ? rows[i].record(&v) : NULL;
}
