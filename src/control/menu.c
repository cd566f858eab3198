/* src/control/menu.c - MENU_ASK: the assets that a user reaches, by page and search. Process: control; rows in a reader. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "control/judge.h"

#define MENU_ROWS_MAX		64
#define MENU_ACCOUNTS_MAX	16
#define MENU_QUERY_MAX		256

struct menu_row {
	struct sp_store_asset	asset;
	char			account[MENU_ACCOUNTS_MAX][SP_STORE_NAME_MAX + 1];
	size_t			account_n;
};
struct menu {
	struct ctl_job		 job;
	struct conn		*conn;
	uint32_t		 corr;
	char			 query[MENU_QUERY_MAX];
	uint32_t		 offset, limit;
	struct sp_uuid		 user_id;
	int64_t			 epoch;
	struct sp_netaddr	 source;
	uint64_t		 total;
	size_t			 n;
	struct menu_row		 row[MENU_ROWS_MAX];
};
struct menu_accounts {
	struct sp_policy_input	*in;
	struct menu_row		*row;
	size_t			 seen;
};

static int
menu_add(const struct sp_store_asset *a, void *arg)
{
	struct menu *m = arg;

	m->row[m->n++].asset = *a;
	return m->n == MENU_ROWS_MAX;
}

static int
menu_account(const struct sp_store_account *a, void *arg)
{
	struct menu_accounts *m = arg;
	struct sp_policy_decision d;

	m->seen++;
	m->in->account = a->name;
	if (a->state != SP_STORE_ACTIVE)
		return 0;
	sp_policy_access(m->in, &d, NULL, 0, NULL);
	if (d.allowed)
		(void)sp_strlcpy(m->row->account[m->row->account_n++], a->name, sizeof(m->row->account[0]));
	return m->row->account_n == MENU_ACCOUNTS_MAX;
}

static enum sp_err
menu_row_fill(struct sp_store *s, const struct menu *m, const struct sp_store_user *u, struct menu_row *row)
{
	sp_auto(judge_grants_release) struct judge_grants g = { 0 };
	struct sp_store_query q = { .of = row->asset.id };
	struct sp_policy_input in;
	struct menu_accounts ma = { &in, row, 0 };
	enum sp_err r = judge_grants_load(s, &m->user_id, &row->asset.id, &g);
	size_t before;

	if (r == SP_ETAMPERED)
		return SP_OK;	/* it is shown without an account: opening it is refused, and says why */
	if (r != SP_OK)
		return r;
	judge_input(u, &row->asset, &m->source, m->epoch, sp_wall_us(), &g, &in);
	do {
		before = ma.seen;
		r = sp_store_account_list(s, &q, menu_account, &ma);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && row->account_n < MENU_ACCOUNTS_MAX && ma.seen - before == SP_STORE_PAGE_MAX);
	return r;
}

static void
menu_work(struct ctl_job *j, struct sp_store *s)
{
	struct menu *m = sp_container(j, struct menu, job);
	struct sp_store_query q = { .text = m->query, .offset = m->offset, .limit = m->limit };
	struct sp_store_user u;
	enum sp_err r = sp_store_user_get(s, &m->user_id, &u);

	if (r == SP_OK)
		r = sp_store_reach_count(s, &m->user_id, sp_wall_us(), &q, &m->total);
	if (r == SP_OK)
		r = sp_store_reach(s, &m->user_id, sp_wall_us(), &q, menu_add, m);
	for (size_t i = 0; i < m->n && r == SP_OK; i++)
		r = menu_row_fill(s, m, &u, &m->row[i]);
	j->err = r;
}

static void
menu_done(struct ctl_job *j)
{
	struct menu *m = sp_container(j, struct menu, job);
	Sallyport__MenuReply r = SALLYPORT__MENU_REPLY__INIT;
	Sallyport__MenuRow row[MENU_ROWS_MAX], *rows[MENU_ROWS_MAX];
	char *accounts[MENU_ROWS_MAX][MENU_ACCOUNTS_MAX];
	size_t bytes = 0;

	if (j->err != SP_OK)
		r.text = ctl_str("The list is not available just now; try again.");
	for (size_t i = 0; i < m->n && j->err == SP_OK; i++) {
		struct menu_row *k = &m->row[i];

		sallyport__menu_row__init(&row[i]);
		row[i].asset_id = ctl_uuid_bytes(&k->asset.id);
		row[i].name = k->asset.name;
		row[i].address = k->asset.address;
		row[i].remark = k->asset.remark;
		for (size_t a = 0; a < k->account_n; a++)
			accounts[i][a] = k->account[a];
		row[i].accounts = accounts[i];
		row[i].n_accounts = k->account_n;
		bytes += protobuf_c_message_get_packed_size(&row[i].base) + 8;
		if (bytes > 60000)
			break;		/* the message is full: the next page begins here */
		rows[r.n_rows++] = &row[i];
	}
	r.rows = rows;
	r.total = m->total > UINT32_MAX ? UINT32_MAX : (uint32_t)m->total;
	if (conn_alive(m->conn))
		conn_send(m->conn, SP_MSG_MENU_REPLY, m->corr, &r);
	conn_unref(m->conn);
	free(m);
}

void
menu_ask(struct conn *cn, uint32_t corr, const Sallyport__MenuAsk *q)
{
	Sallyport__MenuReply r = SALLYPORT__MENU_REPLY__INIT;
	struct menu *m;

	if (!sp_text_is_plain(q->query, strlen(q->query)) || strlen(q->query) >= MENU_QUERY_MAX) {
		r.text = ctl_str("That is not a text to search for.");
		conn_send(cn, SP_MSG_MENU_REPLY, corr, &r);
		return;
	}
	if ((m = calloc(1, sizeof(*m))) == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	m->conn = conn_ref(cn);
	m->corr = corr;
	(void)sp_strlcpy(m->query, q->query, sizeof(m->query));
	m->offset = q->offset;
	m->limit = q->limit == 0 || q->limit > MENU_ROWS_MAX ? MENU_ROWS_MAX : q->limit;
	m->user_id = cn->user_id;
	m->epoch = cn->epoch;
	m->source = cn->source;
	m->job.work = menu_work;
	m->job.done = menu_done;
	ctl_job_run(cn->ctl, CTL_READ, &m->job);
}
