/* lib/store/evidence.c - sessions and their events as an index of the audit log. Every write may be repeated: control
 * replays the log into it after a crash. Process: control. */
#include <string.h>

#include "store/db.h"

struct session_call {
	sp_store_session_fn	 fn;
	void			*arg;
};

static int
session_call(const void *row, void *arg)
{
	struct session_call *c = arg;

	return c->fn(row, c->arg);
}

static enum sp_err
put_sql(struct sp_buf *b)
{
	const struct sp_rowtype *t = &sp_rt_session;
	enum sp_err r;

	if ((r = sp_buf_append_str(b, "INSERT INTO sessions (")) != SP_OK || (r = sp_row_columns(b, t, "")) != SP_OK ||
	    (r = sp_buf_append_str(b, ") VALUES (")) != SP_OK)
		return r;
	for (int i = 0; i < t->n; i++)
		if ((r = sp_buf_append_str(b, i > 0 ? ", ?" : "?")) != SP_OK)
			return r;
	if ((r = sp_buf_append_str(b, ") ON CONFLICT (id) DO UPDATE SET ")) != SP_OK)
		return r;
	for (int i = 1; i < t->n; i++)
		if ((r = sp_buf_printf(b, "%s%s = excluded.%s", i > 1 ? ", " : "", t->field[i].col, t->field[i].col)) != SP_OK)
			return r;
	return sp_buf_append_str(b, " WHERE sessions.state = 1 OR excluded.state = 2");
}

enum sp_err
sp_store_session_put(struct sp_store *s, const struct sp_store_session *row)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	struct sp_q q;
	enum sp_err r;

	if ((r = sp_row_check(&sp_rt_session, row)) != SP_OK || (r = put_sql(&sql)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_EVIDENCE, sp_buf_cstr(&sql), &q);
	sp_row_bind(&q, &sp_rt_session, row, 0, 0);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

/* SELECT all columns FROM sessions WHERE where. */
static enum sp_err
select_open(struct sp_store *s, const char *where, struct sp_q *ret)
{
	sp_auto(sp_buf_release) struct sp_buf sql = { .max = SP_STORE_SQL_MAX };
	enum sp_err r;

	if ((r = sp_buf_append_str(&sql, "SELECT ")) != SP_OK || (r = sp_row_columns(&sql, &sp_rt_session, "")) != SP_OK ||
	    (r = sp_buf_printf(&sql, " FROM sessions WHERE %s", where)) != SP_OK)
		return r;
	sp_q_open(s, SP_STORE_EVIDENCE, sp_buf_cstr(&sql), ret);
	return SP_OK;
}

enum sp_err
sp_store_session_get(struct sp_store *s, const struct sp_uuid *id, struct sp_store_session *ret)
{
	struct sp_q q;
	enum sp_err r;

	if ((r = select_open(s, "id = ?", &q)) != SP_OK)
		return r;
	sp_q_uuid(&q, id);
	return sp_row_first(&q, &sp_rt_session, ret);
}

#define NEWEST	" ORDER BY started_us DESC, id DESC"

enum sp_err
sp_store_session_list(struct sp_store *s, const struct sp_store_session_query *f, sp_store_session_fn fn, void *arg)
{
	const struct sp_store_session_query all = { 0 };
	char where[512];
	struct sp_q q;
	enum sp_err r;

	f = f != NULL ? f : &all;
	sp_snprintf(where, sizeof(where), "1 = 1%s%s%s%s%s" NEWEST " LIMIT ?",
	    sp_uuid_is_null(&f->user_id) ? "" : " AND user_id = ?",
	    sp_uuid_is_null(&f->asset_id) ? "" : " AND asset_id = ?",
	    f->state == 0 ? "" : f->state == SP_STORE_LIVE ? " AND state = 1" : " AND state = 2",
	    f->since_us == 0 ? "" : " AND started_us >= ?",
	    f->before_us == 0 ? "" : sp_uuid_is_null(&f->before_id) ? " AND started_us < ?" : " AND (started_us, id) < (?, ?)");
	if ((r = select_open(s, where, &q)) != SP_OK)
		return r;
	if (!sp_uuid_is_null(&f->user_id))
		sp_q_uuid(&q, &f->user_id);
	if (!sp_uuid_is_null(&f->asset_id))
		sp_q_uuid(&q, &f->asset_id);
	if (f->since_us != 0)
		sp_q_i64(&q, f->since_us);
	if (f->before_us != 0)
		sp_q_i64(&q, f->before_us);
	if (f->before_us != 0 && !sp_uuid_is_null(&f->before_id))
		sp_q_uuid(&q, &f->before_id);
	sp_q_i64(&q, sp_page_limit(f->limit));
	return sp_row_each(&q, &sp_rt_session, session_call, &(struct session_call){ fn, arg });
}

enum sp_err
sp_store_sessions_live(struct sp_store *s, sp_store_session_fn fn, void *arg)
{
	struct sp_q q;
	enum sp_err r;

	if ((r = select_open(s, "state = 1" NEWEST, &q)) != SP_OK)
		return r;
	return sp_row_each(&q, &sp_rt_session, session_call, &(struct session_call){ fn, arg });
}

/* ---- events ---- */

enum sp_err
sp_store_event_put(struct sp_store *s, const struct sp_store_event *e)
{
	struct sp_q q;

	if (sp_uuid_is_null(&e->session_id) || e->seq < 0 || e->payload_len > SP_STORE_PAYLOAD_MAX ||
	    !sp_name_is_safe(e->kind, sizeof(e->kind) - 1))
		return SP_EINVAL;
	sp_q_open(s, SP_STORE_EVIDENCE, "INSERT INTO session_events (session_id, seq, at_us, channel, kind, payload)"
	    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (session_id, seq) DO NOTHING", &q);
	sp_q_uuid(&q, &e->session_id);
	sp_q_i64(&q, e->seq);
	sp_q_i64(&q, e->at_us);
	sp_q_i64(&q, e->channel);
	sp_q_text(&q, e->kind);
	sp_q_blob(&q, e->payload_len > 0 ? (const void *)e->payload : "", e->payload_len);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

static enum sp_err
event_read(struct sp_q *q, struct sp_store_event *ret)
{
	enum sp_err r;
	size_t n;

	ret->seq = sp_q_get_i64(q, 0);
	ret->at_us = sp_q_get_i64(q, 1);
	ret->channel = sp_q_get_i64(q, 2);
	if ((r = sp_q_get_text(q, 3, ret->kind, sizeof(ret->kind))) != SP_OK)
		return r;
	ret->payload = sp_q_get_bytes(q, 4, &n);
	ret->payload_len = (uint32_t)n;
	return n > SP_STORE_PAYLOAD_MAX ? SP_ECORRUPT : SP_OK;
}

enum sp_err
sp_store_event_list(struct sp_store *s, const struct sp_uuid *session_id, int64_t after_seq, uint32_t limit, sp_store_event_fn fn, void *arg)
{
	struct sp_store_event e = { .session_id = *session_id };
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_EVIDENCE, "SELECT seq, at_us, channel, kind, payload FROM session_events"
	    " WHERE session_id = ? AND seq > ? ORDER BY seq LIMIT ?", &q);
	sp_q_uuid(&q, session_id);
	sp_q_i64(&q, after_seq);
	sp_q_i64(&q, sp_page_limit(limit));
	while ((r = sp_q_step(&q)) == SP_OK)
		if ((r = event_read(&q, &e)) != SP_OK || fn(&e, arg) != 0)
			return r;
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_event_last(struct sp_store *s, const struct sp_uuid *session_id, int64_t *ret_seq)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_EVIDENCE, "SELECT coalesce(max(seq), -1) FROM session_events WHERE session_id = ?", &q);
	sp_q_uuid(&q, session_id);
	return sp_q_number(&q, ret_seq);
}
