/* lib/store/store.c - the handle: opening by URL, migrations, settings. See store.h. */
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#include "store/db.h"

static const struct {
	const char			*name, *create, *get, *set;
	const struct sp_store_script	*script;
	const int			*n;
} parts[] = {
	[SP_STORE_MAIN] = { "schema_main", "CREATE TABLE IF NOT EXISTS schema_main (version bigint NOT NULL)",
	    "SELECT max(version) FROM schema_main", "INSERT INTO schema_main (version) VALUES (?)",
	    sp_store_main_scripts, &sp_store_main_scripts_n },
	[SP_STORE_EVIDENCE] = { "schema_evidence", "CREATE TABLE IF NOT EXISTS schema_evidence (version bigint NOT NULL)",
	    "SELECT max(version) FROM schema_evidence", "INSERT INTO schema_evidence (version) VALUES (?)",
	    sp_store_evidence_scripts, &sp_store_evidence_scripts_n }
};

static enum sp_err
schema_version(struct sp_store *s, enum sp_store_part part, int64_t *ret)
{
	struct sp_q q;
	int64_t v = 0;
	enum sp_err r;

	sp_q_open(s, part, s->drv->has_table_sql, &q);
	sp_q_text(&q, parts[part].name);
	r = sp_q_number(&q, &v);
	if (r == SP_OK) {
		sp_q_open(s, part, parts[part].get, &q);
		r = sp_q_number(&q, &v);
	} else if (r == SP_ENOENT) {
		v = 0;		/* an empty database */
		r = SP_OK;
	}
	if (r == SP_OK)
		*ret = v;
	return r;
}

static enum sp_err
schema_not_newer(struct sp_store *s)
{
	int64_t v;
	enum sp_err r;

	for (int p = 0; p < 2; p++) {
		if ((r = schema_version(s, (enum sp_store_part)p, &v)) != SP_OK)
			return r;
		if (v > *parts[p].n)
			return sp_store_fail(s, SP_EVERSION, "the schema is newer than this program");
	}
	return SP_OK;
}

enum sp_err
sp_store_is_current(struct sp_store *s, int *ret)
{
	int64_t v[2];
	enum sp_err r;

	for (int p = 0; p < 2; p++)
		if ((r = schema_version(s, (enum sp_store_part)p, &v[p])) != SP_OK)
			return r;
	*ret = v[SP_STORE_MAIN] == *parts[SP_STORE_MAIN].n && v[SP_STORE_EVIDENCE] == *parts[SP_STORE_EVIDENCE].n;
	return SP_OK;
}

static const struct sp_store_driver *
driver_for(const char *url)
{
	static const struct {
		const char			*prefix;
		const struct sp_store_driver	*drv;
	} table[] = {
		{ "sqlite:", &sp_store_sqlite }, { "postgresql://", &sp_store_pgsql },
		{ "postgres://", &sp_store_pgsql }, { "pg:", &sp_store_pgsql }
	};

	for (size_t i = 0; i < SP_NELEMS(table); i++)
		if (strncmp(url, table[i].prefix, strlen(table[i].prefix)) == 0)
			return table[i].drv;
	return NULL;
}

enum sp_err
sp_store_open(const char *url, const struct sp_store_opts *opts, struct sp_store **ret)
{
	const struct sp_store_driver *drv = driver_for(url);
	sp_auto(sp_store_closep) struct sp_store *s = NULL;
	enum sp_err r;

	if (drv == NULL || drv->version != SP_STORE_DRIVER_VERSION)
		return SP_EINVAL;
	if ((s = calloc(1, sizeof(*s))) == NULL)
		return SP_ENOMEM;
	s->drv = drv;
	if (opts != NULL)
		s->opts = *opts;
	sp_buf_init(&s->mac_buf, SP_STORE_SQL_MAX);
	s->opts.busy_ms = s->opts.busy_ms != 0 ? s->opts.busy_ms : 2000;
	s->opts.statement_ms = s->opts.statement_ms != 0 ? s->opts.statement_ms : 5000;
	s->opts.connect_ms = s->opts.connect_ms != 0 ? s->opts.connect_ms : 2000;
	if ((r = sp_htab_init(&s->stmts)) != SP_OK || (r = drv->open(s, url)) != SP_OK || (r = schema_not_newer(s)) != SP_OK)
		return r;
	*ret = sp_steal(&s);
	return SP_OK;
}

void
sp_store_close(struct sp_store *s)
{
	if (s == NULL)
		return;
	sp_store_rollback(s);
	sp_store_forget_statements(s);
	sp_groups_release(s);
	s->drv->close(s);
	sp_htab_release(&s->stmts);
	sp_secret_release(&s->mac_key);
	sp_buf_release(&s->mac_buf);
	free(s->sql_grants_for);
	for (size_t i = 0; i < SP_NELEMS(s->sql_quick); i++)
		free(s->sql_quick[i]);
	free(s);
}

const char *
sp_store_detail(const struct sp_store *s)
{
	return s->detail;
}

int
sp_store_server(const struct sp_store *s, struct sp_netaddr *ret)
{
	return s->drv->server != NULL && s->drv->server(s, ret);
}

enum sp_err
sp_store_ping(struct sp_store *s)
{
	struct sp_q q;
	int64_t one;

	sp_q_open(s, SP_STORE_MAIN, "SELECT 1", &q);
	return sp_q_number(&q, &one);
}

/* ---- migrations ---- */

static const char *
script_text(const struct sp_store *s, const struct sp_store_script *script)
{
	return *(const char *const *)(const void *)((const char *)script + s->drv->script_offset);
}

static enum sp_err
migrate_body(struct sp_store *s, enum sp_store_part part)
{
	struct sp_q q;
	int64_t v = 0;
	enum sp_err r;

	if (s->drv->lock_sql != NULL && (r = s->drv->exec(s, part, s->drv->lock_sql)) != SP_OK)
		return r;
	if (part == SP_STORE_EVIDENCE && s->drv->evidence_setup_sql != NULL &&
	    (r = s->drv->exec(s, part, s->drv->evidence_setup_sql)) != SP_OK)
		return r;
	if ((r = s->drv->exec(s, part, parts[part].create)) != SP_OK)
		return r;
	sp_q_open(s, part, parts[part].get, &q);
	if ((r = sp_q_number(&q, &v)) != SP_OK)
		return r;
	for (; v < *parts[part].n; v++) {
		if ((r = s->drv->exec(s, part, script_text(s, &parts[part].script[v]))) != SP_OK)
			return r;
		sp_q_open(s, part, parts[part].set, &q);
		sp_q_i64(&q, v + 1);
		if ((r = sp_q_run(&q, NULL)) != SP_OK)
			return r;
	}
	return SP_OK;
}

enum sp_err
sp_store_migrate(struct sp_store *s)
{
	enum sp_err r, back;

	if (s->batch)
		return SP_ESTATE;
	if ((r = s->drv->ready(s)) != SP_OK || (r = s->drv->slow(s, 1)) != SP_OK)
		return r;
	for (int p = 0; p < 2 && r == SP_OK; p++)
		if ((r = sp_op_begin(s, (enum sp_store_part)p)) == SP_OK)
			r = sp_op_end(s, (enum sp_store_part)p, migrate_body(s, (enum sp_store_part)p));
	back = s->drv->slow(s, 0);
	return r != SP_OK ? r : back;
}

/* ---- settings ---- */

enum sp_err
sp_store_setting_get(struct sp_store *s, const char *key, char *dst, size_t size)
{
	sp_auto_q q;
	struct sp_store_mac mac = { 0 };
	char value[SP_STORE_VALUE_MAX + 1];
	size_t n;
	const void *p;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT value, mac FROM settings WHERE key = ?", &q);
	sp_q_text(&q, key);
	if ((r = sp_q_step(&q)) != SP_OK || (r = sp_q_get_text(&q, 0, value, sizeof(value))) != SP_OK)
		return r;
	p = sp_q_get_bytes(&q, 1, &n);
	if (n <= sizeof(mac.b)) {
		mac.len = (uint32_t)n;
		memcpy(mac.b, p, n);
	}
	if ((r = sp_mac_setting_check(s, key, value, &mac)) != SP_OK)
		return r;
	return sp_strlcpy(dst, value, size) == 0 ? SP_OK : SP_ESIZE;
}

/* As it stands there: it is about to be replaced, whoever wrote it. */
static enum sp_err
setting_raw(struct sp_store *s, const char *key, char ret[SP_STORE_VALUE_MAX + 1])
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, "SELECT value FROM settings WHERE key = ?", &q);
	sp_q_text(&q, key);
	return (r = sp_q_step(&q)) == SP_OK ? sp_q_get_text(&q, 0, ret, SP_STORE_VALUE_MAX + 1) : r;
}

enum sp_err
sp_store_setting_set(struct sp_store *s, const char *key, const char *value)
{
	struct sp_store_mac mac;
	struct sp_q q;
	size_t n = strlen(value);
	char was[SP_STORE_VALUE_MAX + 1];
	int had;
	enum sp_err r;

	if (!sp_name_is_safe(key, SP_STORE_NAME_MAX) || n > SP_STORE_VALUE_MAX || !sp_utf8_valid(value, n))
		return SP_EINVAL;
	if ((r = sp_mac_setting_make(s, key, value, &mac)) != SP_OK)
		return r;
	had = s->on_change != NULL && setting_raw(s, key, was) == SP_OK;
	sp_q_open(s, SP_STORE_MAIN, "INSERT INTO settings (key, value, mac) VALUES (?, ?, ?)"
	    " ON CONFLICT (key) DO UPDATE SET value = excluded.value, mac = excluded.mac", &q);
	sp_q_text(&q, key);
	sp_q_text(&q, value);
	sp_q_blob(&q, mac.len > 0 ? mac.b : NULL, mac.len);
	if ((r = sp_op_single(s, SP_STORE_MAIN, &q, NULL)) == SP_OK)
		sp_change_value(s, "settings", key, "value", had ? was : NULL, value);
	return r;
}
