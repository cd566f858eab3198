/* lib/store/db.c - statements, their cache, and transactions, above the two drivers. See db.h for the invariants.
 * Process: control and tools. One thread per handle. */
#include "store/db.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

static int
part_index(const struct sp_store *s, enum sp_store_part part)
{
	return s->drv->parts == 2 ? (int)part : 0;
}

enum sp_err
sp_store_fail(struct sp_store *s, enum sp_err e, const char *detail)
{
	sp_strlcpy(s->detail, detail, sizeof(s->detail));
	return e;
}

int64_t
sp_store_now(struct sp_store *s)
{
	return s->opts.wall_us != NULL ? s->opts.wall_us() : sp_wall_us();
}

/* ---- statements ---- */

static void
stmt_free(struct sp_stmt *st)
{
	if (st == NULL)
		return;
	st->s->drv->finalize(st);
	free(st->sql);
	free(st);
}

static struct sp_stmt *
stmt_new(struct sp_store *s, enum sp_store_part part, const char *sql)
{
	struct sp_stmt *st = calloc(1, sizeof(*st));

	if (st == NULL || (st->sql = strdup(sql)) == NULL) {
		free(st);
		return NULL;
	}
	st->s = s;
	st->part = part;
	return st;
}

static enum sp_err
stmt_get(struct sp_store *s, enum sp_store_part part, const char *sql, struct sp_stmt **ret)
{
	size_t n = strlen(sql);
	struct sp_hnode *node = sp_htab_find(&s->stmts, sql, n);
	struct sp_stmt *st;
	enum sp_err r;

	if (node != NULL) {
		st = sp_container(node, struct sp_stmt, node);
		if (!st->busy && st->part == part) {
			st->busy = 1;
			*ret = st;
			return SP_OK;
		}
	}
	if ((st = stmt_new(s, part, sql)) == NULL)
		return SP_ENOMEM;
	st->cached = node == NULL && s->stmts.n < SP_STORE_STMTS_MAX;
	if ((r = s->drv->prepare(st)) != SP_OK ||
	    (st->cached && (r = sp_htab_insert(&s->stmts, &st->node, st->sql, n)) != SP_OK)) {
		stmt_free(st);
		return r;
	}
	st->busy = 1;
	*ret = st;
	return SP_OK;
}

static void
stmt_forget(struct sp_hnode *node, void *arg)
{
	struct sp_store *s = arg;
	struct sp_stmt *st = sp_container(node, struct sp_stmt, node);

	sp_htab_remove(&s->stmts, node);
	if (st->busy)
		st->cached = 0;		/* its user frees it */
	else
		stmt_free(st);
}

void
sp_store_forget_statements(struct sp_store *s)
{
	sp_htab_each(&s->stmts, stmt_forget, s);
}

void
sp_q_open(struct sp_store *s, enum sp_store_part part, const char *sql, struct sp_q *ret)
{
	int in_tx = s->tx_depth[part_index(s, part)] > 0;

	*ret = (struct sp_q){ .s = s };
	if (in_tx && s->tx_bad[part_index(s, part)])
		ret->err = SP_ESTATE;
	else if (!in_tx)
		ret->err = s->drv->ready(s);
	if (ret->err == SP_OK)
		ret->err = stmt_get(s, part, sql, &ret->st);
}

void
sp_q_close(struct sp_q *q)
{
	struct sp_stmt *st = q->st;

	q->st = NULL;
	if (st == NULL)
		return;
	st->s->drv->reset(st);
	st->busy = 0;
	if (!st->cached)
		stmt_free(st);
}

void
sp_q_again(struct sp_q *q)
{
	if (q->st != NULL)
		q->s->drv->reset(q->st);
	q->n = 0;
}

void
sp_q_i64(struct sp_q *q, int64_t v)
{
	if (q->err == SP_OK)
		q->err = q->s->drv->bind_i64(q->st, q->n++, v);
}

void
sp_q_opt(struct sp_q *q, int64_t v)
{
	if (v != -1)
		sp_q_i64(q, v);
	else if (q->err == SP_OK)
		q->err = q->s->drv->bind_null_i64(q->st, q->n++);
}

void
sp_q_text(struct sp_q *q, const char *v)
{
	if (q->err == SP_OK)
		q->err = q->s->drv->bind_text(q->st, q->n++, v, strlen(v));
}

void
sp_q_blob(struct sp_q *q, const void *v, size_t n)
{
	if (q->err == SP_OK)
		q->err = q->s->drv->bind_blob(q->st, q->n++, v, n);
}

void
sp_q_uuid(struct sp_q *q, const struct sp_uuid *v)
{
	sp_q_blob(q, sp_uuid_is_null(v) ? NULL : v->b, SP_UUID_LEN);
}

enum sp_err
sp_q_step(struct sp_q *q)
{
	enum sp_err r;

	if (q->err != SP_OK)
		return q->err;
	r = q->s->drv->step(q->st);
	if (r != SP_OK && r != SP_ENOENT)
		q->err = r;
	if (r == SP_EUNAVAIL || r == SP_EIO || r == SP_ECORRUPT)
		q->s->trouble = r;
	return r;
}

enum sp_err
sp_q_run(struct sp_q *q, uint64_t *ret_changes)
{
	enum sp_err r;

	while ((r = sp_q_step(q)) == SP_OK)
		;
	if (r == SP_ENOENT) {
		if (ret_changes != NULL)
			*ret_changes = q->s->drv->changes(q->st);
		r = SP_OK;
	}
	sp_q_close(q);
	return r;
}

enum sp_err
sp_q_number(struct sp_q *q, int64_t *ret)
{
	enum sp_err r = sp_q_step(q);

	if (r == SP_OK)
		*ret = sp_q_get_i64(q, 0);
	sp_q_close(q);
	return r;
}

int64_t
sp_q_get_i64(struct sp_q *q, int col)
{
	return q->s->drv->col_i64(q->st, col);
}

const void *
sp_q_get_bytes(struct sp_q *q, int col, size_t *ret_n)
{
	return q->s->drv->col_bytes(q->st, col, ret_n);
}

enum sp_err
sp_q_get_uuid(struct sp_q *q, int col, struct sp_uuid *ret)
{
	size_t n;
	const void *p;

	if (q->s->drv->is_null(q->st, col)) {
		*ret = (struct sp_uuid){ 0 };
		return SP_OK;
	}
	p = sp_q_get_bytes(q, col, &n);
	return sp_uuid_from(p, n, ret) == SP_OK ? SP_OK : sp_store_fail(q->s, SP_ECORRUPT, "a uuid of the wrong length");
}

enum sp_err
sp_q_get_text(struct sp_q *q, int col, char *dst, size_t size)
{
	size_t n;
	const void *p = sp_q_get_bytes(q, col, &n);

	if (n >= size || memchr(p, 0, n) != NULL)
		return sp_store_fail(q->s, SP_ECORRUPT, "a text longer than its bound");
	memcpy(dst, p, n);
	dst[n] = 0;
	return SP_OK;
}

/* ---- transactions ---- */

/* After these the database has, or may have, thrown the transaction away. */
static int
tx_spoils(enum sp_err r)
{
	return r == SP_EUNAVAIL || r == SP_ENOSPC || r == SP_EIO || r == SP_ECORRUPT || r == SP_ENOMEM;
}

void
sp_store_tx_lost(struct sp_store *s)
{
	for (int i = 0; i < 2; i++)
		s->tx_bad[i] = s->tx_depth[i] > 0;
}

static enum sp_err
tx_begin(struct sp_store *s, enum sp_store_part part, const char *sql)
{
	int i = part_index(s, part);
	enum sp_err r;

	if ((r = s->drv->ready(s)) != SP_OK || (r = s->drv->exec(s, part, sql)) != SP_OK)
		return r;
	s->tx_depth[i] = 1;
	s->tx_bad[i] = 0;
	s->tx_power = 0;
	s->tx_stamped = 0;
	return SP_OK;
}

static void
tx_rollback(struct sp_store *s, enum sp_store_part part)
{
	char keep[sizeof(s->detail)];

	memcpy(keep, s->detail, sizeof(keep));
	(void)!s->drv->exec(s, part, "ROLLBACK");	/* may be rolled back already */
	memcpy(s->detail, keep, sizeof(keep));
	s->tx_depth[part_index(s, part)] = 0;
	s->tx_bad[part_index(s, part)] = 0;
}

static enum sp_err
tx_commit(struct sp_store *s, enum sp_store_part part)
{
	enum sp_err r = SP_ESTATE;

	if (!s->tx_bad[part_index(s, part)])
		r = s->drv->exec(s, part, "COMMIT");
	if (r != SP_OK) {
		tx_rollback(s, part);
		return r;
	}
	s->tx_depth[part_index(s, part)] = 0;
	return SP_OK;
}

enum sp_err
sp_op_begin(struct sp_store *s, enum sp_store_part part)
{
	enum sp_err r = sp_op_begin_plain(s, part);

	if (r == SP_OK && part == SP_STORE_MAIN)
		s->tx_power = 1;
	return r;
}

enum sp_err
sp_op_begin_plain(struct sp_store *s, enum sp_store_part part)
{
	int i = part_index(s, part);
	enum sp_err r;

	if (s->tx_depth[i] == 0)
		return tx_begin(s, part, s->drv->begin_sql);
	if (s->tx_bad[i])
		return SP_ESTATE;
	if ((r = s->drv->exec(s, part, "SAVEPOINT op")) == SP_OK)
		s->tx_depth[i]++;
	return r;
}

enum sp_err
sp_op_begin_read(struct sp_store *s, enum sp_store_part part)
{
	return s->drv->read_sql == NULL || s->tx_depth[part_index(s, part)] > 0 ? SP_ESTATE : tx_begin(s, part, s->drv->read_sql);
}

enum sp_err
sp_op_end(struct sp_store *s, enum sp_store_part part, enum sp_err r)
{
	int i = part_index(s, part);
	enum sp_err undone;

	if (s->tx_depth[i] == 1) {
		if (r == SP_OK)
			return tx_commit(s, part);
		tx_rollback(s, part);
		return r;
	}
	s->tx_depth[i]--;
	if (r != SP_OK)
		s->tx_stamped = 0;	/* undone with the rest, perhaps */
	if (tx_spoils(r)) {
		s->tx_bad[i] = 1;
		return r;
	}
	undone = s->drv->exec(s, part, r == SP_OK ? "RELEASE SAVEPOINT op" : "ROLLBACK TO SAVEPOINT op; RELEASE SAVEPOINT op");
	if (undone != SP_OK)
		s->tx_bad[i] = 1;
	return r != SP_OK ? r : undone;
}

enum sp_err
sp_op_single(struct sp_store *s, enum sp_store_part part, struct sp_q *q, uint64_t *ret_changes)
{
	int nested = s->tx_depth[part_index(s, part)] > 0 && s->drv->savepoints;
	enum sp_err r;

	if (!nested) {
		r = sp_q_run(q, ret_changes);
		if (tx_spoils(r) && s->tx_depth[part_index(s, part)] > 0)
			s->tx_bad[part_index(s, part)] = 1;
		return r;
	}
	if ((r = sp_op_begin_plain(s, part)) != SP_OK) {
		sp_q_close(q);
		return r;
	}
	return sp_op_end(s, part, sp_q_run(q, ret_changes));
}

enum sp_err
sp_store_begin(struct sp_store *s, enum sp_store_part part)
{
	enum sp_err r;

	if (s->batch)
		return SP_ESTATE;
	if ((r = tx_begin(s, part, s->drv->begin_sql)) != SP_OK)
		return r;
	s->batch = 1;
	s->batch_part = part;
	return SP_OK;
}

enum sp_err
sp_store_commit(struct sp_store *s)
{
	if (!s->batch)
		return SP_ESTATE;
	s->batch = 0;
	return tx_commit(s, s->batch_part);
}

void
sp_store_rollback(struct sp_store *s)
{
	if (!s->batch)
		return;
	s->batch = 0;
	tx_rollback(s, s->batch_part);
}

enum sp_err
sp_store_end(struct sp_store *s, enum sp_err r)
{
	if (r == SP_OK)
		return sp_store_commit(s);
	sp_store_rollback(s);
	return r;
}
