/* lib/store/outbox.c - what must leave the house, kept until it has left. An entry is added in the transaction of the
 * change that causes it, so neither exists without the other. "Done" is marked per entry: a reader that keeps only a
 * number would miss entries of transactions that commit out of order. Process: control. */
#include <string.h>

#include "store/db.h"

enum sp_err
sp_store_outbox_add(struct sp_store *s, const char *kind, const void *payload, size_t n, int64_t *ret_id)
{
	struct sp_q q;
	int64_t id = 0;
	enum sp_err r;

	if (!sp_name_is_safe(kind, 64) || n > SP_STORE_PAYLOAD_MAX)
		return SP_EINVAL;
	if ((r = sp_op_begin_plain(s, SP_STORE_MAIN)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_MAIN, "INSERT INTO outbox (kind, payload, created_us, done_us) VALUES (?, ?, ?, 0) RETURNING id", &q);
	sp_q_text(&q, kind);
	sp_q_blob(&q, n > 0 ? payload : "", n);
	sp_q_i64(&q, sp_store_now(s));
	r = sp_op_end(s, SP_STORE_MAIN, sp_q_number(&q, &id));
	if (r == SP_OK)
		*ret_id = id;
	return r;
}

static enum sp_err
outbox_read(struct sp_q *q, struct sp_store_outbox *ret)
{
	enum sp_err r;
	size_t n;

	ret->id = sp_q_get_i64(q, 0);
	if ((r = sp_q_get_text(q, 1, ret->kind, sizeof(ret->kind))) != SP_OK)
		return r;
	ret->payload = sp_q_get_bytes(q, 2, &n);
	ret->payload_len = (uint32_t)n;
	ret->created_us = sp_q_get_i64(q, 3);
	ret->done_us = 0;
	return n > SP_STORE_PAYLOAD_MAX ? SP_ECORRUPT : SP_OK;
}

enum sp_err
sp_store_outbox_pending(struct sp_store *s, const char *kind, int64_t after, uint32_t limit, sp_store_outbox_fn fn, void *arg)
{
	struct sp_store_outbox o;
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_MAIN, kind != NULL ?
	    "SELECT id, kind, payload, created_us FROM outbox WHERE done_us = 0 AND id > ? AND kind = ? ORDER BY id LIMIT ?" :
	    "SELECT id, kind, payload, created_us FROM outbox WHERE done_us = 0 AND id > ? ORDER BY id LIMIT ?", &q);
	sp_q_i64(&q, after);
	if (kind != NULL)
		sp_q_text(&q, kind);
	sp_q_i64(&q, sp_page_limit(limit));
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = outbox_read(&q, &o)) != SP_OK || fn(&o, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_outbox_done(struct sp_store *s, int64_t id)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, "UPDATE outbox SET done_us = ? WHERE id = ? AND done_us = 0", &q);
	sp_q_i64(&q, sp_store_now(s));
	sp_q_i64(&q, id);
	return sp_op_single(s, SP_STORE_MAIN, &q, NULL);
}

enum sp_err
sp_store_outbox_purge(struct sp_store *s, int64_t done_before_us)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, "DELETE FROM outbox WHERE done_us > 0 AND done_us < ?", &q);
	sp_q_i64(&q, done_before_us);
	return sp_op_single(s, SP_STORE_MAIN, &q, NULL);
}
