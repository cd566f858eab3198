/* src/control/api_system.c - calls about the installation: status, doctor, settings, outbox, known hosts, the audit log. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common/copydest.h"
#include "control/copy.h"
#include "control/methods.h"
#include "control/loghead.h"
#include "control/quarantine.h"
#include "control/retain.h"
#include "control/rowkey.h"
#include "control/servers.h"
#include "control/snapshot.h"
#include "control/wall.h"
#include "control/zone.h"
#include "control/siem.h"
#include "wire/sshkey.h"

struct sys_state {
	enum sp_err	ping;
	char		detail[128];
};

/* ---- status ---- */

void
sys_status(struct api_call *c, struct sp_store *s)
{
	struct sys_state *st = calloc(1, sizeof(*st));

	if ((c->state = st) != NULL)
		st->ping = sp_store_ping(s);
}

static void
live_target(struct sp_hnode *n, void *arg)
{
	*(size_t *)arg += !sp_container(n, struct target, node)->ended;
}

static size_t
live_sessions(struct ctl *c)
{
	size_t n = 0;

	sp_htab_each(&c->targets, live_target, &n);
	return n;
}

void
sys_status_loop(struct api_call *c)
{
	const struct sys_state *st = c->state;
	const char *store = c->ctl->servers == NULL ? "sqlite" : "postgresql";
	char text[640];
	int ok;

	c->out = json_pack("{s:s, s:o, s:s, s:s, s:o, s:I, s:I, s:I, s:b, s:I}", "version", SP_VERSION, "vault", vaultlink_json(c->ctl),
	    "store", store, "store_state", st != NULL ? sp_err_text(st->ping) : "unknown", "store_servers", servers_json(c->ctl),
	    "store_rows_waiting", (json_int_t)ctl_lanes_late(c->ctl->lanes), "sessions_live",
	    (json_int_t)live_sessions(c->ctl), "connections", (json_int_t)c->ctl->conns.n, "space_low",
	    audit_space_low(c->ctl->audit), "uptime_s", (json_int_t)((sp_now_us() - c->ctl->started_us) / SP_US_PER_S));
	if (c->out == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	json_object_set_new(c->out, "snapshot", snapshot_json(c->ctl));
	json_object_set_new(c->out, "copies", copy_json(c->ctl));
	siem_doctor(c->ctl, &ok, text, sizeof(text));
	json_object_set_new(c->out, "siem", json_string(text));
	if (loghead_contained(c->ctl) != NULL)
		json_object_set_new(c->out, "contained", json_string(loghead_contained(c->ctl)));
	if (quarantine_is(c->ctl))
		json_object_set_new(c->out, "quarantine", quarantine_json(c->ctl));
}

/* ---- doctor ---- */

static void
check(json_t *rows, const char *name, int ok, const char *text)
{
	json_array_append_new(rows, json_pack("{s:s, s:b, s:s}", "check", name, "ok", ok, "text", text));
}

void
sys_doctor(struct api_call *c, struct sp_store *s)
{
	struct sys_state *st = calloc(1, sizeof(*st));

	if ((c->state = st) == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	st->ping = sp_store_ping(s);
	if (st->ping != SP_OK)
		(void)sp_strlcpy(st->detail, sp_store_detail(s), sizeof(st->detail));
	else
		c->out = zone_doctor(s);
}

static void
check_row(const struct sp_store_finding *f, void *arg)
{
	char text[sizeof(*f) + 200];

	sp_snprintf(text, sizeof(text), "%s %s: %s. It is refused. Look at it in the database, then 'sallyport doctor --accept %s %s' or "
	    "'--remove %s %s'", f->table, f->id, f->what, f->table, f->id, f->table, f->id);
	check(arg, "rows", 0, text);
}

void
sys_doctor_loop(struct api_call *c)
{
	const struct sys_state *st = c->state;
	const struct vault_view *v = &c->ctl->vault_view;
	json_t *zones = c->out;
	char text[400], name[SP_COPY_NAME + 16];
	int agrees, ok;

	c->out = json_array();
	check(c->out, "store", st->ping == SP_OK, st->ping == SP_OK ? "answers" : sp_err_text(st->ping));
	check(c->out, "snapshot", snapshot_doctor(c->ctl, text, sizeof(text)), text);
	if (quarantine_is(c->ctl))
		check(c->out, "quarantine", 0, quarantine_text(c->ctl));
	check(c->out, "audit log", loghead_contained(c->ctl) == NULL,
	    loghead_contained(c->ctl) != NULL ? loghead_contained(c->ctl) : "agrees with what was signed");
	check(c->out, "retention", retain_text(c->ctl) == NULL, retain_text(c->ctl) != NULL ? retain_text(c->ctl) : "recordings go as their policies say");
	check(c->out, "vault process", v->known, v->known ? "answers" : "does not answer: see the log of the monitor");
	check(c->out, "vault initialised", v->known && v->initialised,
	    v->initialised ? "yes" : "run 'sallyport vault init'");
	check(c->out, "vault unsealed", v->known && !v->sealed, !v->sealed ? "yes" : "run 'sallyport vault unseal'");
	check(c->out, "dialer", ctl_link_is_ready(c->ctl->dialer),
	    ctl_link_is_ready(c->ctl->dialer) ? "answers" : "not there: targets cannot be reached");
	check(c->out, "gate", c->ctl->gate != NULL, c->ctl->gate != NULL ? "there" : "not there: nobody can connect");
	check(c->out, "disk space", !audit_space_low(c->ctl->audit),
	    audit_space_low(c->ctl->audit) ? "nearly full: new sessions are refused; make room in state_dir" : "enough");
	agrees = wall_agrees(text, sizeof(text));
	check(c->out, "wall clock", agrees, text);
	for (size_t i = 0; copy_doctor(c->ctl, i, &ok, name, sizeof(name), text, sizeof(text)); i++)
		check(c->out, name, ok, text);
	siem_doctor(c->ctl, &ok, text, sizeof(text));
	check(c->out, "siem", ok, text);
	rowkey_each(check_row, c->out);
	if (zones != NULL)
		json_array_extend(c->out, zones);
	json_decref(zones);
	sp_snprintf(text, sizeof(text), c->ctl->child.conf.trust_first_use ?
	    "unknown host keys of targets are pinned at first use" : "host keys of targets are pinned by administrators only");
	check(c->out, "host keys", 1, text);
}

/* ---- settings ---- */

void
sys_settings_get(struct api_call *c, struct sp_store *s)
{
	char key[128] = "", value[SP_STORE_VALUE_MAX + 1];
	enum sp_err r;

	if (api_str(c, "key", 1, key, sizeof(key)) != SP_OK)
		return;
	if ((r = sp_store_setting_get(s, key, value, sizeof(value))) != SP_OK) {
		(void)api_store(c, r, key);
		return;
	}
	c->out = json_pack("{s:s, s:s}", "key", key, "value", value);
}

void
sys_settings_set(struct api_call *c, struct sp_store *s)
{
	char key[128] = "", value[SP_STORE_VALUE_MAX + 1] = "";
	struct sp_uuid none = { 0 };

	if (api_str(c, "key", 1, key, sizeof(key)) != SP_OK || api_str(c, "value", 0, value, sizeof(value)) != SP_OK ||
	    api_scope(c, s, &none) != SP_OK)
		return;
	if (!sp_name_is_safe(key, 120)) {
		(void)api_fail(c, SP_EINVAL, "a key has letters, digits, '.', '_' and '-'");
		return;
	}
	if (strncmp(key, "internal.", 9) == 0 || strncmp(key, "clock.", 6) == 0 || strncmp(key, "breakglass.", 11) == 0 ||
	    strncmp(key, "auditor.", 8) == 0 || strncmp(key, "recording.", 10) == 0) {
		(void)api_fail(c, SP_EACCES, "internal..., clock..., breakglass..., auditor... and recording... are what control itself remembers");
		return;
	}
	if (strncmp(key, "may_", 4) == 0 && !c->owner) {
		(void)api_fail(c, SP_EACCES, "permissions (may_...) are given by root of this machine only: run this as root, without --as");
		return;
	}
	if (strcmp(key, API_ADMIN_MFA) == 0 && (strspn(value, "0123456789") != strlen(value) || *value == '\0' || strtoll(value, NULL, 10) > 43200)) {
		(void)api_fail(c, SP_EINVAL, API_ADMIN_MFA " is a number of seconds up to 43200 (12 h); 0: no code is asked for");
		return;
	}
	if (api_store(c, sp_store_setting_set(s, key, value), key) != SP_OK)
		return;
	(void)sp_strlcpy(c->what, key, sizeof(c->what));
	api_more(c, "value", json_string(value));
	c->out = json_pack("{s:s, s:s}", "key", key, "value", value);
}

/* ---- outbox ---- */

struct pending {
	json_t	*rows;
	int64_t	 last;
};

static int
outbox_row(const struct sp_store_outbox *o, void *arg)
{
	struct pending *p = arg;
	json_t *what = json_loadb((const char *)o->payload, o->payload_len, 0, NULL), *text = json_object_get(what, "text");

	p->last = o->id;
	json_array_append_new(p->rows, json_pack("{s:I, s:s, s:o, s:I, s:O}", "id", (json_int_t)o->id, "kind", o->kind, "created",
	    api_at(o->created_us), "bytes", (json_int_t)o->payload_len, "text", text != NULL ? text : json_null()));
	json_decref(what);
	return 0;
}

void
sys_outbox_list(struct api_call *c, struct sp_store *s)
{
	struct pending p = { c->out = json_array(), 0 };
	size_t before;
	enum sp_err r;

	do {
		before = json_array_size(c->out);
		r = sp_store_outbox_pending(s, NULL, p.last, SP_STORE_PAGE_MAX, outbox_row, &p);
	} while (r == SP_OK && json_array_size(c->out) - before == SP_STORE_PAGE_MAX &&
	    (r = api_bounded(c, json_array_size(c->out))) == SP_OK);
	if (c->err == SP_OK)
		(void)api_store(c, r, "the outbox");
}

/* ---- known hosts ---- */

struct hosts {
	struct api_call	*c;
	struct sp_buf	 text;
	int		 full;
	size_t		 seen;
};

/* The inner key of an asset under the names given. */
static void
hosts_add_as(struct hosts *h, const struct sp_store_asset *a, const char *names)
{
	struct sp_buf key, line;

	sp_buf_init(&key, 256);
	sp_buf_init(&line, SP_SSHKEY_LINE_MAX);
	if (inner_public(h->c->ctl, &a->id, &key) == SP_OK &&
	    sp_sshkey_line_print(names, (struct sp_view){ key.p, key.len }, NULL, &line) == SP_OK &&
	    (sp_buf_append(&h->text, line.p, line.len) != SP_OK || sp_buf_append_str(&h->text, "\n") != SP_OK))
		h->full = 1;
	sp_buf_release(&key);
	sp_buf_release(&line);
}

static int
hosts_add(const struct sp_store_asset *a, void *arg)
{
	struct hosts *h = arg;
	char names[SP_SSHKEY_HOSTS_MAX + 1];

	h->seen++;
	/* A name with blanks or commas cannot stand in a known_hosts file; its address still can. */
	if (strpbrk(a->name, " ,*?!") != NULL || a->name[0] == '@' || a->name[0] == '|' || a->name[0] == '#')
		(void)sp_strlcpy(names, a->address, sizeof(names));
	else if (strcmp(a->name, a->address) == 0)
		(void)sp_strlcpy(names, a->name, sizeof(names));
	else
		sp_snprintf(names, sizeof(names), "%s,%s", a->name, a->address);
	hosts_add_as(h, a, names);
	return h->full;
}

/* The bastion's own keys under a name that a client uses for it. The comment of a key file is dropped. */
static void
hosts_add_bastion(struct hosts *h, const char *name)
{
	for (size_t i = 0; i < h->c->ctl->hostkeys_n; i++) {
		const char *line = h->c->ctl->hostkeys[i];
		size_t n = strcspn(line, " ");

		n += line[n] == ' ' ? 1 + strcspn(line + n + 1, " ") : 0;
		if (sp_buf_printf(&h->text, "%s %.*s\n", name, (int)n, line) != SP_OK)
			h->full = 1;
	}
}

/* Under the bastion's name and every address that it listens on (a wildcard names nothing). */
static void
hosts_add_own_names(struct hosts *h)
{
	struct sp_config conf;
	char name[SP_CONF_TEXT + 16], ip[SP_NETADDR_SIZE];

	ctl_conf_copy(h->c->ctl, &conf);
	for (size_t i = 0; i < conf.listen.n; i++) {
		struct sp_netaddr a;

		if (sp_netaddr_parse_hostport(conf.listen.v[i], 22, &a) != SP_OK)
			continue;
		sp_snprintf(name, sizeof(name), a.port == 22 ? "%s" : "[%s]:%u", conf.bastion_name, a.port);
		hosts_add_bastion(h, name);
		sp_netaddr_text(&a, ip);
		if (strcmp(ip, "0.0.0.0") == 0 || strcmp(ip, "::") == 0)
			continue;
		sp_snprintf(name, sizeof(name), a.port == 22 ? "%s" : "[%s]:%u", ip, a.port);
		hosts_add_bastion(h, name);
	}
}

/* Does the bastion listen on this port? Without one it may be reached under any name that is no asset's. */
static int
hosts_is_own_port(const struct hosts *h, int64_t port)
{
	struct sp_config conf;
	struct sp_netaddr a;

	ctl_conf_copy(h->c->ctl, &conf);
	for (size_t i = 0; i < conf.listen.n; i++)
		if (sp_netaddr_parse_hostport(conf.listen.v[i], 22, &a) == SP_OK && a.port == port)
			return 1;
	return 0;
}

/* For one host, as known_hosts names it: the inner key of the asset of that name; else the bastion's keys, if the port
 * is one of its own; else the inner key of the asset with that address; else the bastion's, which may have any name. */
static enum sp_err
hosts_add_one(struct hosts *h, struct sp_store *s, const char *name, int64_t port, struct sp_store_asset *a)
{
	char shown[SP_STORE_NAME_MAX + 16];
	enum sp_err r;

	if (strpbrk(name, " ,*?!@|#[]") != NULL || !sp_text_is_plain(name, strlen(name)))
		return SP_OK;
	sp_snprintf(shown, sizeof(shown), port == 22 ? "%s" : "[%s]:%lld", name, (long long)port);
	r = sp_store_asset_by_name(s, name, a);
	if (r == SP_ENOENT && (port == 22 || !hosts_is_own_port(h, port)))
		r = sp_store_asset_by_address(s, name, 0, a);
	if (r == SP_OK)
		hosts_add_as(h, a, shown);
	else if (r == SP_ENOENT || r == SP_EINVAL || r == SP_ECONFLICT) {
		r = SP_OK;
		hosts_add_bastion(h, shown);
	}
	return r;
}

/* One line for each key of the bastion and for each asset, or those of the host that is named. Public keys only: anybody
 * may ask. */
void
sys_known_hosts(struct api_call *c, struct sp_store *s)
{
	struct hosts h = { .c = c };
	struct sp_store_query q = { .limit = SP_STORE_PAGE_MAX };
	struct sp_store_asset *a = malloc(sizeof(*a));
	char name[SP_STORE_NAME_MAX + 1] = "";
	int64_t port = 22;
	enum sp_err r = SP_OK;

	sp_buf_init(&h.text, 64u * 1024 * 1024);
	if (a == NULL || api_str(c, "name", 0, name, sizeof(name)) != SP_OK || api_int(c, "port", 1, 65535, &port) != SP_OK) {
		free(a);
		if (c->err == SP_OK)
			(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	if (*name != '\0') {
		r = hosts_add_one(&h, s, name, port, a);
	} else {
		hosts_add_own_names(&h);
		API_PAGES(c, q, h.seen, r, sp_store_asset_list(s, &q, hosts_add, &h));
	}
	if (r == SP_OK && h.full)
		r = api_fail(c, SP_ESIZE, "too many hosts: name one");
	if (api_store(c, r, "the assets") == SP_OK) {
		/* As rows, one line each: a long list is sent in parts like every other. */
		c->out = json_array();
		for (const char *p = sp_buf_cstr(&h.text), *nl; *p; p = nl + 1) {
			if ((nl = strchr(p, '\n')) == NULL)
				break;
			json_array_append_new(c->out, json_stringn(p, (size_t)(nl - p)));
		}
	}
	sp_buf_release(&h.text);
	free(a);
}

/* ---- the audit log ---- */

void
sys_audit_list(struct api_call *c, struct sp_store *s)
{
	struct audit_query q = { .limit = 100 };
	char kind[65] = "", session[SP_UUID_SIZE] = "", actor[SP_STORE_LOGIN_MAX + 1] = "", object[SP_UUID_SIZE] = "", text[256] = "";
	int64_t limit = 100;

	(void)s;
	if (api_int(c, "limit", 1, 10000, &limit) != SP_OK || api_time(c, "since", &q.since_us) != SP_OK ||
	    api_str(c, "kind", 0, kind, sizeof(kind)) != SP_OK || api_str(c, "session", 0, session, sizeof(session)) != SP_OK ||
	    api_time(c, "until", &q.until_us) != SP_OK || api_str(c, "actor", 0, actor, sizeof(actor)) != SP_OK ||
	    api_str(c, "object", 0, object, sizeof(object)) != SP_OK || api_str(c, "text", 0, text, sizeof(text)) != SP_OK)
		return;
	if (!sp_uuid_is_null(&c->caller.role_department_id) && !c->local_root) {
		(void)api_fail(c, SP_EACCES, "the audit log is not divided by departments: it needs a role for all of them");
		return;
	}
	q.limit = (size_t)limit;
	q.kind = *kind ? kind : NULL;
	q.session = *session ? session : NULL;
	q.actor = *actor ? actor : NULL;
	q.object = *object ? object : NULL;
	q.text = *text ? text : NULL;
	c->out = json_array();
	if (audit_list(c->ctl->audit, &q, c->out) != SP_OK)
		(void)api_fail(c, SP_EIO, "the audit log cannot be read");
}
