/* lib/store/load.c - the copy of a store (copy.c) put into an empty PostgreSQL database: a backup that is restored there.
 * Process: control, in the writer's thread.
 *
 * All of it is one transaction: foreign keys are taken off, every table is filled row by row by the columns that the copy has,
 * the keys are put back (PostgreSQL checks them all), and numbering goes on behind the highest number that was ever given.
 * What was restored is noted as a comment of the table `schema_main`, so that a crash behind the commit does not matter.
 *
 * Invariants: (1) a database with any row in it is left as it is. (2) After a failure it is as empty as before. (3) A column or
 * table that the database lacks fails the load. */
#include <stdlib.h>
#include <string.h>

#include "store/copy.h"

#define KEYS_MAX	256
#define KEY_SQL		512

struct key {			/* a foreign key */
	char	table[64], name[64], def[KEY_SQL];
};
struct load {
	struct sp_store	*src, *dst;
	struct key	*key;
	size_t		 key_n;
};

/* Anything in it? */
static enum sp_err
load_is_empty(void *arg, enum sp_store_part part, struct sp_copy_table *t)
{
	struct load *l = arg;
	char sql[128];
	struct sp_q q;
	int64_t one;
	enum sp_err r;

	sp_snprintf(sql, sizeof(sql), "SELECT 1 FROM %s LIMIT 1", t->name);
	sp_q_open(l->dst, part, sql, &q);
	r = sp_q_number(&q, &one);
	return r == SP_ENOENT ? SP_OK : r == SP_OK ? SP_EEXIST : r;
}

/* Names, not quoted: they are those of our own migrations. */
static enum sp_err
load_keys(struct load *l)
{
	sp_auto_q q;
	enum sp_err r;

	if ((l->key = calloc(KEYS_MAX, sizeof(*l->key))) == NULL)
		return SP_ENOMEM;
	sp_q_open(l->dst, SP_STORE_MAIN, "SELECT conrelid::regclass::text, conname::text, pg_get_constraintdef(oid) FROM pg_constraint"
	    " WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY conrelid, oid", &q);
	while ((r = sp_q_step(&q)) == SP_OK) {
		struct key *k = &l->key[l->key_n];

		if (l->key_n == KEYS_MAX)
			return SP_ESIZE;
		if ((r = sp_q_get_text(&q, 0, k->table, sizeof(k->table))) != SP_OK ||
		    (r = sp_q_get_text(&q, 1, k->name, sizeof(k->name))) != SP_OK ||
		    (r = sp_q_get_text(&q, 2, k->def, sizeof(k->def))) != SP_OK)
			return r;
		l->key_n++;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
load_keys_set(struct load *l, int on)
{
	char sql[KEY_SQL + 256];
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < l->key_n && r == SP_OK; i++) {
		const struct key *k = &l->key[i];

		sp_snprintf(sql, sizeof(sql), on ? "ALTER TABLE %s ADD CONSTRAINT %s %s" : "ALTER TABLE %s DROP CONSTRAINT %s",
		    k->table, k->name, k->def);
		r = l->dst->drv->exec(l->dst, SP_STORE_MAIN, sql);
	}
	return r;
}

/* The next number of a table that is numbered: behind what it has, and behind what the copy ever gave. */
static enum sp_err
load_numbers(struct load *l, enum sp_store_part part, const struct sp_copy_table *t)
{
	char sql[400];
	struct sp_q q;
	int64_t given = 0;
	enum sp_err r;

	sp_q_open(l->src, part, "SELECT seq FROM sqlite_sequence WHERE name = ?", &q);
	sp_q_text(&q, t->name);
	if ((r = sp_q_number(&q, &given)) == SP_ENOENT)
		return SP_OK;		/* not numbered, or never used */
	if (r != SP_OK)
		return r;
	sp_snprintf(sql, sizeof(sql), "SELECT setval(pg_get_serial_sequence('%s', 'id'),"
	    " greatest(coalesce((SELECT max(id) FROM %s), 0), ?) + 1, false)", t->name, t->name);
	sp_q_open(l->dst, part, sql, &q);
	sp_q_i64(&q, given);
	return sp_q_number(&q, &given);
}

static enum sp_err
load_table(void *arg, enum sp_store_part part, struct sp_copy_table *t)
{
	sp_auto(sp_buf_release) struct sp_buf put = { .max = SP_COPY_SQL_MAX }, get = { .max = SP_COPY_SQL_MAX };
	struct load *l = arg;
	sp_auto_q q = { 0 };
	enum sp_err r;

	if ((r = sp_copy_columns(l->src, part, t)) != SP_OK || (r = sp_copy_insert_sql(t, &put)) != SP_OK ||
	    (r = sp_buf_append_str(&get, "SELECT ")) != SP_OK || (r = sp_copy_list(t, &get)) != SP_OK ||
	    (r = sp_buf_printf(&get, " FROM %s", t->name)) != SP_OK)
		return r;
	sp_q_open(l->src, part, sp_buf_cstr(&get), &q);
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = sp_copy_row(&q, l->dst, part, t, sp_buf_cstr(&put))) != SP_OK)
			return r;
	return r == SP_ENOENT ? load_numbers(l, part, t) : r;
}

static enum sp_err
load_each(struct load *l, enum sp_err (*fn)(void *arg, enum sp_store_part part, struct sp_copy_table *t))
{
	sp_auto(sp_freep) struct sp_copy_table *t = calloc(1, sizeof(*t));
	enum sp_err r = t == NULL ? SP_ENOMEM : SP_OK;

	for (int p = 0; p < 2 && r == SP_OK; p++)
		r = sp_copy_tables(l->src, (enum sp_store_part)p, t, fn, l);
	return r;
}

static enum sp_err
load_body(struct load *l, const char *id)
{
	char sql[200];
	enum sp_err r;

	if ((r = load_each(l, load_is_empty)) != SP_OK)
		return r == SP_EEXIST ? sp_store_fail(l->dst, r, "the database is not empty: a backup is restored into an empty one only") : r;
	if ((r = load_keys(l)) != SP_OK || (r = load_keys_set(l, 0)) != SP_OK || (r = load_each(l, load_table)) != SP_OK ||
	    (r = load_keys_set(l, 1)) != SP_OK)
		return r;
	sp_snprintf(sql, sizeof(sql), "COMMENT ON TABLE schema_main IS 'restored %s'", id);
	return l->dst->drv->exec(l->dst, SP_STORE_MAIN, sql);
}

static enum sp_err
load_is_done(struct sp_store *s, const char *id, int *ret)
{
	char text[100] = "", want[100];
	sp_auto_q q;
	enum sp_err r;

	sp_snprintf(want, sizeof(want), "restored %s", id);
	sp_q_open(s, SP_STORE_MAIN, "SELECT coalesce(obj_description('schema_main'::regclass, 'pg_class'), '')", &q);
	if ((r = sp_q_step(&q)) != SP_OK || (r = sp_q_get_text(&q, 0, text, sizeof(text))) != SP_OK)
		return r == SP_ECORRUPT ? SP_OK : r;	/* somebody's comment, too long to be ours */
	*ret = strcmp(text, want) == 0;
	return SP_OK;
}

enum sp_err
sp_store_load(struct sp_store *s, const char *dir, const struct sp_uuid *id)
{
	sp_auto(sp_store_closep) struct sp_store *src = NULL;
	struct load l = { .dst = s };
	char url[1100], name[SP_UUID_SIZE];
	int done = 0;
	enum sp_err r, back;

	if (s->batch || s->drv != &sp_store_pgsql)
		return SP_ESTATE;
	(void)sp_uuid_text(id, name);
	if ((r = s->drv->ready(s)) != SP_OK || (r = load_is_done(s, name, &done)) != SP_OK || done)
		return r;
	if (sp_snprintf(url, sizeof(url), "sqlite:%s", dir) != 0)
		return SP_EINVAL;
	if ((r = sp_store_open(url, &(struct sp_store_opts){ .existing = 1 }, &src)) != SP_OK || (r = sp_store_migrate(src)) != SP_OK)
		return sp_store_fail(s, r, "the copy that is to be put into the database cannot be read");
	if ((r = s->drv->slow(s, 1)) != SP_OK)
		return r;
	l.src = src;
	if ((r = sp_store_begin(s, SP_STORE_MAIN)) == SP_OK)
		r = sp_store_end(s, load_body(&l, name));
	free(l.key);
	back = s->drv->slow(s, 0);
	return r != SP_OK ? r : back;
}
