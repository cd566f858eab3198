/* lib/store/command.c - commands that ran, and the search over them: substrings of any length, of any script, newest first.
 *
 * A search by text must not read a million rows, and neither store has an index over substrings of two Chinese characters. So
 * commands are bundled as they come: a row of command_blocks holds the texts of BLOCK_ROWS commands, one a line. The search reads
 * bundles, newest first, with memmem(3), and rows only of a bundle in which the text stands, or that is not bundled yet. Bundles also
 * know from when to when their commands are: a search in a time reads no others. bench/commands.c measures it.
 * Process: control. Every write may be repeated.
 * Invariants: (1) a bundle covers all rows from first_id to last_id, and bundles do not overlap. (2) It is made in one transaction
 * after its rows; rows behind the last bundle are searched one by one. */
#include <string.h>

#include "store/db.h"

#define BLOCK_ROWS	512
#define BLOCK_BYTES	(4u << 20)	/* a bundle of long commands ends earlier */
#define PAGE		16		/* bundles, rows read at a time: their texts are in memory */
#define PAGE_ROWS	256

/* ---- writing ---- */

static enum sp_err
block_add(struct sp_store *s, int64_t first, int64_t last, int64_t from_us, int64_t until_us, const struct sp_buf *text)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_EVIDENCE, "INSERT INTO command_blocks (first_id, last_id, from_us, until_us, command)"
	    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (first_id) DO NOTHING", &q);
	sp_q_i64(&q, first);
	sp_q_i64(&q, last);
	sp_q_i64(&q, from_us);
	sp_q_i64(&q, until_us);
	sp_q_blob(&q, text->p, text->len);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

static enum sp_err
blocks_end(struct sp_store *s, int64_t *ret_last)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_EVIDENCE, "SELECT coalesce(max(last_id), 0) FROM command_blocks WHERE first_id ="
	    " (SELECT max(first_id) FROM command_blocks)", &q);
	return sp_q_number(&q, ret_last);
}

/* Bundle the rows behind the last bundle, if there are enough. */
static enum sp_err
block_make(struct sp_store *s)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = BLOCK_BYTES + SP_STORE_COMMAND_MAX + 1 };
	int64_t after, first = 0, last = 0, from_us = INT64_MAX, until_us = 0;
	int n = 0;
	enum sp_err r;

	if ((r = blocks_end(s, &after)) != SP_OK)
		return r;
	{
		sp_auto_q q;

		sp_q_open(s, SP_STORE_EVIDENCE, "SELECT id, at_us, command FROM commands WHERE id > ? ORDER BY id LIMIT ?", &q);
		sp_q_i64(&q, after);
		sp_q_i64(&q, BLOCK_ROWS);
		while (text.len < BLOCK_BYTES && (r = sp_q_step(&q)) == SP_OK) {
			size_t len;
			const void *p = sp_q_get_bytes(&q, 2, &len);
			int64_t at = sp_q_get_i64(&q, 1);

			if ((r = sp_buf_append(&text, p, len)) != SP_OK || (r = sp_buf_append_str(&text, "\n")) != SP_OK)
				return r;
			last = sp_q_get_i64(&q, 0);
			first = n++ == 0 ? last : first;
			from_us = at < from_us ? at : from_us;
			until_us = at > until_us ? at : until_us;
		}
		if (r != SP_OK && r != SP_ENOENT)
			return r;
	}
	if (n < BLOCK_ROWS && text.len < BLOCK_BYTES)
		return SP_OK;
	return block_add(s, first, last, from_us, until_us, &text);
}

enum sp_err
sp_store_command_put(struct sp_store *s, const struct sp_store_command *c)
{
	struct sp_q q;
	uint64_t changes = 0;
	int64_t newest = 0;
	enum sp_err r;

	if (sp_uuid_is_null(&c->session_id) || c->text_len > SP_STORE_COMMAND_MAX ||
	    c->certainty < 0 || c->certainty > SP_STORE_HIDDEN || c->risk < 0 || c->risk > SP_STORE_RISK_CRITICAL)
		return SP_EINVAL;
	sp_q_open(s, SP_STORE_EVIDENCE, "INSERT INTO commands (session_id, channel, number, at_us, ended_us, offset_us, how, certainty,"
	    " place, risk, user_id, asset_id, command, rule_id, rule_name, action) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
	    " (SELECT user_id FROM sessions WHERE id = ?), (SELECT asset_id FROM sessions WHERE id = ?), ?, ?, ?, ?)"
	    " ON CONFLICT (session_id, channel, number) DO NOTHING", &q);
	sp_q_uuid(&q, &c->session_id);
	sp_q_i64(&q, c->channel);
	sp_q_i64(&q, c->number);
	sp_q_i64(&q, c->at_us);
	sp_q_i64(&q, c->ended_us);
	sp_q_i64(&q, c->offset_us);
	sp_q_text(&q, c->how);
	sp_q_i64(&q, c->certainty);
	sp_q_text(&q, c->place);
	sp_q_i64(&q, c->risk);
	sp_q_uuid(&q, &c->session_id);
	sp_q_uuid(&q, &c->session_id);
	sp_q_text(&q, c->text != NULL ? c->text : "");
	sp_q_uuid(&q, &c->rule_id);
	sp_q_text(&q, c->rule_name);
	sp_q_i64(&q, c->action);
	if ((r = sp_op_single(s, SP_STORE_EVIDENCE, &q, &changes)) != SP_OK || changes == 0)
		return r;
	sp_q_open(s, SP_STORE_EVIDENCE, "SELECT max(id) FROM commands", &q);
	if ((r = sp_q_number(&q, &newest)) != SP_OK || newest % (BLOCK_ROWS / 8) != 0)
		return r;			/* look now and then only */
	return block_make(s);
}

enum sp_err
sp_store_command_ended(struct sp_store *s, const struct sp_uuid *session_id, int64_t channel, int64_t number, int64_t ended_us)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_EVIDENCE, "UPDATE commands SET ended_us = ? WHERE session_id = ? AND channel = ? AND number = ?"
	    " AND ended_us = 0", &q);
	sp_q_i64(&q, ended_us);
	sp_q_uuid(&q, session_id);
	sp_q_i64(&q, channel);
	sp_q_i64(&q, number);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

enum sp_err
sp_store_command_output_put(struct sp_store *s, const struct sp_uuid *session_id, int64_t channel, int64_t number, const char *text,
    int64_t bytes, int cut)
{
	struct sp_q q;

	if (sp_uuid_is_null(session_id) || strlen(text) > SP_STORE_COMMAND_MAX)
		return SP_EINVAL;
	sp_q_open(s, SP_STORE_EVIDENCE, "INSERT INTO command_outputs (session_id, channel, number, output, bytes, cut) VALUES (?, ?, ?, ?, ?, ?)"
	    " ON CONFLICT (session_id, channel, number) DO NOTHING", &q);
	sp_q_uuid(&q, session_id);
	sp_q_i64(&q, channel);
	sp_q_i64(&q, number);
	sp_q_text(&q, text);
	sp_q_i64(&q, bytes);
	sp_q_i64(&q, cut != 0);
	return sp_op_single(s, SP_STORE_EVIDENCE, &q, NULL);
}

enum sp_err
sp_store_command_output(struct sp_store *s, const struct sp_uuid *session_id, int64_t channel, int64_t number, struct sp_buf *dst,
    int64_t *ret_bytes, int *ret_cut)
{
	sp_auto_q q;
	const void *p;
	size_t n;
	enum sp_err r;

	sp_q_open(s, SP_STORE_EVIDENCE, "SELECT output, bytes, cut FROM command_outputs WHERE session_id = ? AND channel = ? AND number = ?", &q);
	sp_q_uuid(&q, session_id);
	sp_q_i64(&q, channel);
	sp_q_i64(&q, number);
	if ((r = sp_q_step(&q)) != SP_OK)
		return r;
	p = sp_q_get_bytes(&q, 0, &n);
	if (n > 0 && (r = sp_buf_append(dst, p, n)) != SP_OK)
		return r;
	*ret_bytes = sp_q_get_i64(&q, 1);
	*ret_cut = sp_q_get_i64(&q, 2) != 0;
	return SP_OK;
}

enum sp_err
sp_store_command_hits(struct sp_store *s, const struct sp_uuid *rule_id, int64_t *ret_n, int64_t *ret_last_us)
{
	sp_auto_q q;
	enum sp_err r;

	sp_q_open(s, SP_STORE_EVIDENCE, "SELECT count(*), coalesce(max(at_us), 0) FROM commands WHERE rule_id = ?", &q);
	sp_q_uuid(&q, rule_id);
	if ((r = sp_q_step(&q)) != SP_OK)
		return r;
	*ret_n = sp_q_get_i64(&q, 0);
	*ret_last_us = sp_q_get_i64(&q, 1);
	return SP_OK;
}

/* ---- searching ---- */

struct search {
	struct sp_store			*s;
	const struct sp_store_command_query *f;
	sp_store_command_fn		 fn;
	void				*arg;
	size_t				 text_len;
	uint32_t			 left;		/* rows still wanted */
	int				 stop;
};

static enum sp_err
command_read(struct sp_q *q, struct sp_store_command *c)
{
	size_t n;
	enum sp_err r;

	*c = (struct sp_store_command){ .id = sp_q_get_i64(q, 0), .channel = sp_q_get_i64(q, 2), .number = sp_q_get_i64(q, 3),
	    .at_us = sp_q_get_i64(q, 4), .ended_us = sp_q_get_i64(q, 5), .offset_us = sp_q_get_i64(q, 6),
	    .certainty = sp_q_get_i64(q, 8) };
	if ((r = sp_q_get_uuid(q, 1, &c->session_id)) != SP_OK || (r = sp_q_get_text(q, 7, c->how, sizeof(c->how))) != SP_OK ||
	    (r = sp_q_get_text(q, 9, c->place, sizeof(c->place))) != SP_OK || (r = sp_q_get_uuid(q, 10, &c->user_id)) != SP_OK ||
	    (r = sp_q_get_uuid(q, 11, &c->asset_id)) != SP_OK || (r = sp_q_get_uuid(q, 14, &c->rule_id)) != SP_OK ||
	    (r = sp_q_get_text(q, 15, c->rule_name, sizeof(c->rule_name))) != SP_OK)
		return r;
	c->action = sp_q_get_i64(q, 16);
	c->text = sp_q_get_bytes(q, 12, &n);
	c->risk = sp_q_get_i64(q, 13);
	c->text_len = (uint32_t)n;
	return n > SP_STORE_COMMAND_MAX ? SP_ECORRUPT : SP_OK;
}

/* Rows with first <= id <= last, newest first, that fit; at most PAGE_ROWS of them are looked at. *ret_low: the lowest id looked
 * at; *ret_n: how many. */
static enum sp_err
search_rows(struct search *k, int64_t first, int64_t last, int64_t *ret_low, uint32_t *ret_n)
{
	const struct sp_store_command_query *f = k->f;
	struct sp_store_command c;
	char sql[768];
	sp_auto_q q;
	enum sp_err r;

	sp_snprintf(sql, sizeof(sql), "SELECT id, session_id, channel, number, at_us, ended_us, offset_us, how, certainty, place, user_id,"
	    " asset_id, command, risk, rule_id, rule_name, action FROM commands WHERE id >= ? AND id <= ?%s%s%s%s%s%s ORDER BY id DESC LIMIT ?",
	    sp_uuid_is_null(&f->user_id) ? "" : " AND user_id = ?", sp_uuid_is_null(&f->asset_id) ? "" : " AND asset_id = ?",
	    sp_uuid_is_null(&f->session_id) ? "" : " AND session_id = ?", f->since_us == 0 ? "" : " AND at_us >= ?",
	    f->until_us == 0 ? "" : " AND at_us <= ?", f->risk == 0 ? "" : " AND risk > 0 AND risk >= ?");
	sp_q_open(k->s, SP_STORE_EVIDENCE, sql, &q);
	sp_q_i64(&q, first);
	sp_q_i64(&q, last);
	if (!sp_uuid_is_null(&f->user_id))
		sp_q_uuid(&q, &f->user_id);
	if (!sp_uuid_is_null(&f->asset_id))
		sp_q_uuid(&q, &f->asset_id);
	if (!sp_uuid_is_null(&f->session_id))
		sp_q_uuid(&q, &f->session_id);
	if (f->since_us != 0)
		sp_q_i64(&q, f->since_us);
	if (f->until_us != 0)
		sp_q_i64(&q, f->until_us);
	if (f->risk != 0)
		sp_q_i64(&q, f->risk);
	sp_q_i64(&q, PAGE_ROWS);
	*ret_n = 0;
	while (!k->stop && (r = sp_q_step(&q)) == SP_OK) {
		if ((r = command_read(&q, &c)) != SP_OK)
			return r;
		*ret_low = c.id;
		(*ret_n)++;
		if (k->text_len > 0 && memmem(c.text, c.text_len, f->text, k->text_len) == NULL)
			continue;
		k->stop = k->fn(&c, k->arg) != 0 || --k->left == 0;
	}
	return k->stop || r == SP_ENOENT ? SP_OK : r;
}

static enum sp_err
search_range(struct search *k, int64_t first, int64_t last)
{
	uint32_t n = PAGE_ROWS;
	enum sp_err r = SP_OK;

	while (r == SP_OK && n == PAGE_ROWS && !k->stop && last >= first) {
		int64_t low = first;

		r = search_rows(k, first, last, &low, &n);
		last = low - 1;
	}
	return r;
}

/* Ids of the bundles that may hold commands of the time that is asked for, of those up to `end`. Bundles are in order of arrival, so
 * this is as exact as recorders are punctual; *ret_first > *ret_last: none. */
static enum sp_err
search_window(struct search *k, int64_t end, int64_t *ret_first, int64_t *ret_last)
{
	struct sp_q q;
	enum sp_err r;

	*ret_first = 0;
	*ret_last = end;
	if (k->f->since_us != 0) {
		sp_q_open(k->s, SP_STORE_EVIDENCE, "SELECT coalesce(min(first_id), ?) FROM command_blocks WHERE until_us >= ?", &q);
		sp_q_i64(&q, end + 1);
		sp_q_i64(&q, k->f->since_us);
		if ((r = sp_q_number(&q, ret_first)) != SP_OK)
			return r;
	}
	if (k->f->until_us != 0) {
		sp_q_open(k->s, SP_STORE_EVIDENCE, "SELECT coalesce(max(last_id), 0) FROM command_blocks WHERE from_us <= ?", &q);
		sp_q_i64(&q, k->f->until_us);
		if ((r = sp_q_number(&q, ret_last)) != SP_OK)
			return r;
	}
	return SP_OK;
}

/* The bundles from `first` on, below `before`, newest first, a page of them. Those in which the text stands go into hit; neighbours
 * are one range: a common word costs a query a page. */
static enum sp_err
search_blocks(struct search *k, int64_t first, int64_t before, int64_t hit[PAGE][2], int *ret_hits, int *ret_n, int64_t *ret_low)
{
	sp_auto_q q;
	int is_neighbour = 0;
	enum sp_err r;

	*ret_hits = *ret_n = 0;
	sp_q_open(k->s, SP_STORE_EVIDENCE, "SELECT first_id, last_id, from_us, until_us, command FROM command_blocks WHERE first_id >= ?"
	    " AND first_id < ? ORDER BY first_id DESC LIMIT ?", &q);
	sp_q_i64(&q, first);
	sp_q_i64(&q, before);
	sp_q_i64(&q, PAGE);
	while ((r = sp_q_step(&q)) == SP_OK) {
		size_t n;
		const void *p = sp_q_get_bytes(&q, 4, &n);

		(*ret_n)++;
		*ret_low = sp_q_get_i64(&q, 0);
		if ((k->f->since_us != 0 && sp_q_get_i64(&q, 3) < k->f->since_us) ||
		    (k->f->until_us != 0 && sp_q_get_i64(&q, 2) > k->f->until_us) ||
		    memmem(p, n, k->f->text, k->text_len) == NULL) {
			is_neighbour = 0;
			continue;
		}
		if (!is_neighbour)
			hit[(*ret_hits)++][1] = sp_q_get_i64(&q, 1);
		hit[*ret_hits - 1][0] = *ret_low;
		is_neighbour = 1;
	}
	return r == SP_ENOENT ? SP_OK : r;
}

enum sp_err
sp_store_command_search(struct sp_store *s, const struct sp_store_command_query *f, sp_store_command_fn fn, void *arg)
{
	struct search k = { .s = s, .f = f, .fn = fn, .arg = arg, .left = f->limit > 0 ? f->limit : 50,
	    .text_len = f->text != NULL ? strlen(f->text) : 0 };
	int64_t end, first, last, before, hit[PAGE][2];
	int hits = 0, n = PAGE;
	enum sp_err r;

	if (!sp_uuid_is_null(&f->session_id))
		return search_range(&k, 0, INT64_MAX);
	if ((r = blocks_end(s, &end)) != SP_OK || (r = search_range(&k, end + 1, INT64_MAX)) != SP_OK || k.stop ||
	    (r = search_window(&k, end, &first, &last)) != SP_OK)
		return r;
	if (k.text_len == 0)
		return search_range(&k, first, last);
	before = last < INT64_MAX ? last + 1 : last;
	while (r == SP_OK && n == PAGE && !k.stop) {
		r = search_blocks(&k, first, before, hit, &hits, &n, &before);
		for (int i = 0; i < hits && r == SP_OK && !k.stop; i++)
			r = search_range(&k, hit[i][0], hit[i][1]);
	}
	return r;
}
