/* lib/store/offense.c - alerts and offenses, asked for by what they are about rather than by id. Process: control. */
#include "store/db.h"

enum sp_err
sp_store_offense_about(struct sp_store *s, const char *property, const char *value, struct sp_store_offense *ret)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_offense, "property = ? AND value = ? AND state <> ? ORDER BY created_us DESC LIMIT 1", &q);

	if (r != SP_OK)
		return r;
	sp_q_text(&q, property);
	sp_q_text(&q, value);
	sp_q_i64(&q, SP_STORE_OFFENSE_CLOSED);
	return sp_row_first(&q, &sp_rt_offense, ret);
}

struct each {
	sp_store_offense_fn	 fn;
	void			*arg;
};

static int
each_offense(const void *row, void *arg)
{
	const struct each *e = arg;

	return e->fn(row, e->arg);
}

struct each_user {
	sp_store_user_fn	 fn;
	void			*arg;
};

static int
each_user(const void *row, void *arg)
{
	const struct each_user *e = arg;

	return e->fn(row, e->arg);
}

enum sp_err
sp_store_users_of_role(struct sp_store *s, int64_t role, sp_store_user_fn fn, void *arg)
{
	struct each_user u = { fn, arg };
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_user, "role = ? ORDER BY login", &q);

	if (r != SP_OK)
		return r;
	sp_q_i64(&q, role);
	return sp_row_each(&q, &sp_rt_user, each_user, &u);
}

enum sp_err
sp_store_offenses_idle(struct sp_store *s, int64_t state, int64_t before_us, uint32_t limit, sp_store_offense_fn fn, void *arg)
{
	struct each e = { fn, arg };
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_offense, "state = ? AND last_us < ? AND protected = 0 ORDER BY last_us, id LIMIT ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_i64(&q, state);
	sp_q_i64(&q, before_us);
	sp_q_i64(&q, sp_page_limit(limit));
	return sp_row_each(&q, &sp_rt_offense, each_offense, &e);
}

enum sp_err
sp_store_alert_of(struct sp_store *s, const char *rule, int64_t entry, const char *value, struct sp_store_alert *ret)
{
	struct sp_q q;
	enum sp_err r = sp_row_by(s, &sp_rt_alert, "rule = ? AND entry = ? AND value = ?", &q);

	if (r != SP_OK)
		return r;
	sp_q_text(&q, rule);
	sp_q_i64(&q, entry);
	sp_q_text(&q, value);
	return sp_row_first(&q, &sp_rt_alert, ret);
}

enum sp_err
sp_store_responses_since(struct sp_store *s, const char *action, int64_t since_us, int64_t *ret)
{
	struct sp_q q;

	sp_q_open(s, SP_STORE_MAIN, "SELECT count(*) FROM responses WHERE action = ? AND state = ? AND done_us >= ?", &q);
	sp_q_text(&q, action);
	sp_q_i64(&q, SP_STORE_RESPONSE_DONE);
	sp_q_i64(&q, since_us);
	return sp_q_number(&q, ret);
}
