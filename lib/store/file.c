/* lib/store/file.c - what was done to files, as an index of events of kind "file". Process: control. */
#include <string.h>

#include "store/db.h"

enum sp_err
sp_store_file_put(struct sp_store *s, const struct sp_store_file *f)
{
	struct sp_q q;

	if (sp_uuid_is_null(&f->session_id) || f->seq <= 0)
		return SP_EINVAL;
	sp_q_open(s, SP_STORE_EVIDENCE, "INSERT INTO session_files (session_id, seq, at_us, op, path, to_path, result)"
	    " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (session_id, seq) DO NOTHING", &q);
	sp_q_uuid(&q, &f->session_id);
	sp_q_i64(&q, f->seq);
	sp_q_i64(&q, f->at_us);
	sp_q_text(&q, f->op);
	sp_q_text(&q, f->path);
	sp_q_text(&q, f->to);
	sp_q_text(&q, f->result);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

static enum sp_err
search_open(struct sp_store *s, const struct sp_store_file_query *f, struct sp_q *ret)
{
	char sql[1024], like[SP_STORE_FILE_TEXT_MAX * 2 + 3];

	if (strlen(f->text) > SP_STORE_FILE_TEXT_MAX || !sp_utf8_valid(f->text, strlen(f->text)))
		return SP_EINVAL;
	(void)sp_snprintf(sql, sizeof(sql), "SELECT f.session_id, f.seq, f.at_us, e.payload, s.user_id, s.user_login, s.asset_id,"
	    " s.asset_name, s.account, s.source FROM session_files f JOIN session_events e ON e.session_id = f.session_id AND e.seq = f.seq"
	    " JOIN sessions s ON s.id = f.session_id WHERE 1 = 1%s%s%s%s%s%s%s ORDER BY f.at_us DESC, f.session_id DESC, f.seq DESC LIMIT ?",
	    sp_uuid_is_null(&f->session_id) ? "" : " AND f.session_id = ?", sp_uuid_is_null(&f->user_id) ? "" : " AND s.user_id = ?",
	    sp_uuid_is_null(&f->asset_id) ? "" : " AND s.asset_id = ?", f->since_us == 0 ? "" : " AND f.at_us >= ?",
	    f->until_us == 0 ? "" : " AND f.at_us < ?", f->op[0] == '\0' ? "" : " AND f.op = ?",
	    f->text[0] == '\0' ? "" : " AND lower(f.path || ' ' || f.to_path) LIKE ? ESCAPE '\\'");
	sp_q_open(s, SP_STORE_EVIDENCE, sql, ret);
	if (!sp_uuid_is_null(&f->session_id))
		sp_q_uuid(ret, &f->session_id);
	if (!sp_uuid_is_null(&f->user_id))
		sp_q_uuid(ret, &f->user_id);
	if (!sp_uuid_is_null(&f->asset_id))
		sp_q_uuid(ret, &f->asset_id);
	if (f->since_us != 0)
		sp_q_i64(ret, f->since_us);
	if (f->until_us != 0)
		sp_q_i64(ret, f->until_us);
	if (f->op[0] != '\0')
		sp_q_text(ret, f->op);
	if (f->text[0] != '\0') {
		sp_word_pattern(f->text, strlen(f->text), like);
		sp_q_text(ret, like);
	}
	sp_q_i64(ret, sp_page_limit(f->limit));
	return SP_OK;
}

enum sp_err
sp_store_file_search(struct sp_store *s, const struct sp_store_file_query *f, sp_store_file_fn fn, void *arg)
{
	sp_auto_q q = { 0 };
	enum sp_err r = search_open(s, f, &q);

	if (r != SP_OK)
		return r;
	while ((r = sp_q_step(&q)) == SP_OK) {
		struct sp_store_file_found row = { 0 };
		size_t n;

		row.seq = sp_q_get_i64(&q, 1);
		row.at_us = sp_q_get_i64(&q, 2);
		row.payload = sp_q_get_bytes(&q, 3, &n);
		row.payload_len = (uint32_t)n;
		if (n > SP_STORE_PAYLOAD_MAX)
			return SP_ECORRUPT;
		if ((r = sp_q_get_uuid(&q, 0, &row.session_id)) != SP_OK || (r = sp_q_get_uuid(&q, 4, &row.user_id)) != SP_OK ||
		    (r = sp_q_get_text(&q, 5, row.user_login, sizeof(row.user_login))) != SP_OK ||
		    (r = sp_q_get_uuid(&q, 6, &row.asset_id)) != SP_OK ||
		    (r = sp_q_get_text(&q, 7, row.asset_name, sizeof(row.asset_name))) != SP_OK ||
		    (r = sp_q_get_text(&q, 8, row.account, sizeof(row.account))) != SP_OK ||
		    (r = sp_q_get_text(&q, 9, row.source, sizeof(row.source))) != SP_OK)
			return r;
		if (fn(&row, arg) != 0)
			return SP_OK;
	}
	return r == SP_ENOENT ? SP_OK : r;
}
