/* lib/store/erase.c - take back what the evidence index says in clear. The audit log is the owner of the facts: what is erased there first
 * does not come back when it is replayed. Process: control. Every statement may be repeated.
 * Not reached: pages that the database has freed (SQLite overwrites them: secure_delete; PostgreSQL until its next vacuum). */
#include <string.h>

#include "store/db.h"

#define OF_USER		"session_id IN (SELECT id FROM sessions WHERE user_id = ?)"
#define BLOCKS		32		/* bundles at a time */

/* One statement with one id. */
static enum sp_err
run_id(struct sp_store *s, const char *sql, const struct sp_uuid *id)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_EVIDENCE, sql, &q);
	sp_q_uuid(&q, id);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

static const char *const of_user[] = {
	"UPDATE session_files SET path = '" SP_STORE_ERASED "', to_path = '' WHERE " OF_USER,
	"UPDATE commands SET command = '" SP_STORE_ERASED "', place = '' WHERE " OF_USER,
	"DELETE FROM command_outputs WHERE " OF_USER,
	"UPDATE sessions SET user_login = '" SP_STORE_ERASED "', source = '', purpose = '', error = '', end_reason = '', ended_by = '' WHERE user_id = ?",
}, *const of_session[] = {
	"UPDATE session_files SET path = '" SP_STORE_ERASED "', to_path = '' WHERE session_id = ?",
	"UPDATE commands SET command = '" SP_STORE_ERASED "', place = '' WHERE session_id = ?",
	"DELETE FROM command_outputs WHERE session_id = ?",
	"UPDATE sessions SET user_login = '" SP_STORE_ERASED "', source = '', purpose = '', error = '', end_reason = '', ended_by = '' WHERE id = ?",
};

static enum sp_err
payloads(struct sp_store *s, const char *where, const struct sp_uuid *id)
{
	static const char gone[] = "{\"erased\":true}";
	char sql[256];
	struct sp_q q;

	sp_snprintf(sql, sizeof(sql), "UPDATE session_events SET payload = ? WHERE %s", where);
	sp_q_open(s, SP_STORE_EVIDENCE, sql, &q);
	sp_q_blob(&q, gone, sizeof(gone) - 1);
	sp_q_uuid(&q, id);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

/* The bundle's text as its rows are now. */
static enum sp_err
block_again(struct sp_store *s, int64_t first, int64_t last)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 64u << 20 };
	struct sp_q u;
	enum sp_err r;

	{
		sp_auto_q q;

		sp_q_open(s, SP_STORE_EVIDENCE, "SELECT command FROM commands WHERE id >= ? AND id <= ? ORDER BY id", &q);
		sp_q_i64(&q, first);
		sp_q_i64(&q, last);
		while ((r = sp_q_step(&q)) == SP_OK) {
			size_t n;
			const void *p = sp_q_get_bytes(&q, 0, &n);

			if ((r = sp_buf_append(&text, p, n)) != SP_OK || (r = sp_buf_append_str(&text, "\n")) != SP_OK)
				return r;
		}
		if (r != SP_ENOENT)
			return r;
	}
	sp_q_open(s, SP_STORE_EVIDENCE, "UPDATE command_blocks SET command = ? WHERE first_id = ?", &u);
	sp_q_blob(&u, text.p, text.len);
	sp_q_i64(&u, first);
	return sp_op_single(s, SP_STORE_EVIDENCE, &u, NULL);
}

/* Bundles that hold a command which is erased now: those whose rows say so. */
static enum sp_err
blocks_again(struct sp_store *s)
{
	int64_t span[BLOCKS][2], after = -1;
	int n;
	enum sp_err r;

	do {
		n = 0;
		{
			sp_auto_q q;

			sp_q_open(s, SP_STORE_EVIDENCE, "SELECT first_id, last_id FROM command_blocks WHERE first_id > ? AND EXISTS (SELECT 1 FROM"
			    " commands WHERE id >= first_id AND id <= last_id AND command = '" SP_STORE_ERASED "') ORDER BY first_id LIMIT ?", &q);
			sp_q_i64(&q, after);
			sp_q_i64(&q, BLOCKS);
			while (n < BLOCKS && (r = sp_q_step(&q)) == SP_OK) {
				span[n][0] = sp_q_get_i64(&q, 0);
				span[n++][1] = sp_q_get_i64(&q, 1);
			}
			if (n < BLOCKS && r != SP_ENOENT)
				return r;
		}
		for (int i = 0; i < n; i++)
			if ((r = block_again(s, after = span[i][0], span[i][1])) != SP_OK)
				return r;
	} while (n == BLOCKS);
	return SP_OK;
}

enum sp_err
sp_store_erase(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_uuid *session_id)
{
	const char *const *sql = user_id != NULL ? of_user : of_session;
	const struct sp_uuid *id = user_id != NULL ? user_id : session_id;
	enum sp_err r;

	if (id == NULL || sp_uuid_is_null(id))
		return SP_EINVAL;
	if ((r = payloads(s, user_id != NULL ? OF_USER : "session_id = ?", id)) != SP_OK)
		return r;
	for (size_t i = 0; i < SP_NELEMS(of_user); i++)
		if ((r = run_id(s, sql[i], id)) != SP_OK)
			return r;
	return blocks_again(s);
}

enum sp_err
sp_store_erase_event(struct sp_store *s, const struct sp_uuid *session_id, int64_t seq, int64_t channel, int64_t number)
{
	static const char *const by_seq[] = { "UPDATE session_events SET payload = '{\"erased\":true}' WHERE session_id = ? AND seq = ?",
		"UPDATE session_files SET path = '" SP_STORE_ERASED "', to_path = '' WHERE session_id = ? AND seq = ?" };
	static const char *const by_number[] = {
		"UPDATE commands SET command = '" SP_STORE_ERASED "', place = '' WHERE session_id = ? AND channel = ? AND number = ?",
		"DELETE FROM command_outputs WHERE session_id = ? AND channel = ? AND number = ?" };
	struct sp_q q;
	enum sp_err r;

	for (size_t i = 0; i < SP_NELEMS(by_seq); i++) {
		sp_q_open(s, SP_STORE_EVIDENCE, by_seq[i], &q);
		sp_q_uuid(&q, session_id);
		sp_q_i64(&q, seq);
		if ((r = sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL)) != SP_OK)
			return r;
	}
	for (size_t i = 0; i < SP_NELEMS(by_number); i++) {
		sp_q_open(s, SP_STORE_EVIDENCE, by_number[i], &q);
		sp_q_uuid(&q, session_id);
		sp_q_i64(&q, channel);
		sp_q_i64(&q, number);
		if ((r = sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL)) != SP_OK)
			return r;
	}
	return blocks_again(s);
}
