/* lib/store/pgsql/driver.c - the cluster store, through libpq: binary parameters and results, prepared statements.
 * Both parts share one connection; the evidence tables live in a schema of their own, found by the search path.
 * A lost connection gives SP_EUNAVAIL once and is made anew by the next call outside a transaction.
 *
 * No call waits for ever. The server ends a statement after statement_ms; a server that cannot even do that (stopped,
 * hung, cut off by a network that still acknowledges) is given up GRACE_MS later by our own clock, with SP_EUNAVAIL, and
 * its connection is thrown away unread. So the socket is never waited on but in pg_wait(), with a deadline.
 *
 * With a list of servers (servers.c), a handle moves to the better server between statements, and a SELECT outside a
 * transaction is put again, elsewhere if need be, when its server goes away: a result is whole or not there at all. A
 * write is never repeated here: nobody knows what became of it.
 *
 * Fewer trips. What frames an operation inside a transaction (SAVEPOINT, RELEASE) has no answer that anybody waits for: it
 * is queued and travels with the next statement, in libpq's pipeline mode, as does the preparation of a statement with its
 * first use. So an import pays one trip for each statement that does something, and a decision is one trip from the start.
 *
 * Plans do not depend on statistics. A statement prepared on an empty table would be planned as a sequential scan and
 * kept for the life of the connection, a million rows later too. Each of our statements has an index to go by, so the
 * session plans once per statement, by index, nested loops, joins in the order in which they are written (as SQLite
 * does with CROSS JOIN). A test asks the server for its plans under hostile statistics. */
#include <endian.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "store/db.h"
#include "store/pgsql/servers.h"

#define OID_BYTEA	17
#define OID_INT8	20
#define OID_TEXT	25
#define PARAMS_MAX	8192
#define STEP_PARAMS	16
#define GRACE_MS	1000		/* for the server's own time-out to reach us */
#define SLOW_MS		3600000		/* a migration may take this long */
#define QUEUED_MAX	8		/* texts of at most 20 bytes */
#define SCRIPT_SIZE	512		/* them and a short script */
#define AGAIN_MS	20		/* between attempts at a server that may be going or coming */
#define SLICE_MS	50		/* of waiting for an answer, between looks at what is known of the server */

struct pg {
	PGconn		*conn;
	char		*url;
	uint64_t	 next_name;
	int		 broken;	/* it said that it is going, or cannot serve us: connect anew next time */
	int		 slow;		/* the server's statement time-out is lifted */
	const char	*queued[QUEUED_MAX];	/* static texts, to go before the next statement of the transaction */
	int		 queued_n;
	struct sp_store_servers *servers;	/* borrowed; NULL: the URL says where to */
	int		 reader;
	int		 at;		/* which of the servers; with a connection */
};
struct pg_stmt {
	char		 name[24];
	char		*sql;		/* with $n */
	int		 prepared;
	int		 n, cap;	/* parameters */
	Oid		*oid;
	const char	**value;
	int		*len, *format;
	uint64_t	*number;	/* where int8 values stay, in network order */
	PGresult	*res;
	int		 row, rows;
};

static const struct {
	char		state[6];	/* SQLSTATE, or its class of two characters */
	enum sp_err	err;
} states[] = {
	{ "23505", SP_EEXIST }, { "23503", SP_ESTATE }, { "23", SP_EINVAL }, { "22021", SP_EINVAL }, { "22", SP_EINVAL },
	{ "40", SP_EBUSY }, { "55P03", SP_EBUSY }, { "57014", SP_ETIMEOUT }, { "53100", SP_ENOSPC }, { "53200", SP_ENOMEM },
	{ "53", SP_EUNAVAIL }, { "57", SP_EUNAVAIL }, { "08", SP_EUNAVAIL }, { "25006", SP_EUNAVAIL }, { "25P02", SP_ESTATE },
	{ "28", SP_EUNAVAIL }, { "3D", SP_EUNAVAIL }, { "58030", SP_EIO }, { "XX001", SP_ECORRUPT }, { "XX002", SP_ECORRUPT },
	{ "54", SP_ESIZE }
};

static void
pg_disconnect(struct sp_store *s)
{
	struct pg *pg = s->conn;

	if (pg->conn != NULL) {
		if (pg->broken && PQsocket(pg->conn) >= 0)
			shutdown(PQsocket(pg->conn), SHUT_RDWR);	/* no word of goodbye that could block */
		PQfinish(pg->conn);
	}
	pg->conn = NULL;
	pg->queued_n = 0;
	pg->broken = 0;
	pg->slow = 0;
	sp_store_tx_lost(s);
}

/* One line of the server's words; then what they mean for the caller. */
static enum sp_err
pg_err(struct sp_store *s, const PGresult *res)
{
	struct pg *pg = s->conn;
	const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
	const char *text = res != NULL ? PQresultErrorMessage(res) : PQerrorMessage(pg->conn);

	sp_snprintf(s->detail, sizeof(s->detail), "postgresql %s: %.*s", state != NULL ? state : "-", (int)strcspn(text, "\n"), text);
	if (state != NULL && PQstatus(pg->conn) == CONNECTION_OK) {
		for (size_t i = 0; i < SP_NELEMS(states); i++)
			if (strncmp(state, states[i].state, strlen(states[i].state)) == 0) {
				pg->broken |= states[i].err == SP_EUNAVAIL;
				return states[i].err;
			}
		return SP_EINTERNAL;
	}
	pg->broken = 1;
	return SP_EUNAVAIL;
}

static uint64_t
pg_deadline(const struct sp_store *s)
{
	const struct pg *pg = s->conn;

	return sp_now_us() + 1000 * (uint64_t)(pg->slow ? SLOW_MS : s->opts.statement_ms + GRACE_MS);
}

/* Until PQgetResult() would not block. SP_EUNAVAIL: the deadline has passed; a lost connection is told by the result. */
static enum sp_err
pg_wait(struct pg *pg, uint64_t deadline_us)
{
	for (;;) {
		int ms;

		struct pollfd p = { .fd = PQsocket(pg->conn), .events = POLLIN };
		int unsent = PQflush(pg->conn);
		uint64_t now = sp_now_us();

		if (unsent == -1 || p.fd < 0 || (unsent == 0 && !PQisBusy(pg->conn)))
			return SP_OK;
		if (now >= deadline_us || (pg->servers != NULL && sp_servers_gave_up(pg->servers, pg->reader, pg->at)))
			return SP_EUNAVAIL;
		if (unsent == 1)
			p.events |= POLLOUT;
		ms = (int)((deadline_us - now) / 1000) + 1;
		if (pg->servers != NULL && ms > SLICE_MS)
			ms = SLICE_MS;
		if (poll(&p, 1, ms) == -1 && errno != EINTR)
			return SP_EUNAVAIL;
		if ((p.revents & (POLLIN | POLLERR | POLLHUP)) != 0 && !PQconsumeInput(pg->conn))
			return SP_OK;
	}
}

/* The last result of what was sent (sent is 0 if sending failed), in *ret, which is NULL or for PQclear(). */
static enum sp_err
pg_answer(struct sp_store *s, int sent, uint64_t deadline_us, PGresult **ret)
{
	struct pg *pg = s->conn;
	PGresult *res;

	*ret = NULL;
	while (sent) {
		if (pg_wait(pg, deadline_us) != SP_OK) {
			PQclear(*ret);
			*ret = NULL;
			pg->broken = 1;
			return sp_store_fail(s, SP_EUNAVAIL, "postgresql: no answer in time");
		}
		if ((res = PQgetResult(pg->conn)) == NULL)
			break;
		PQclear(*ret);
		*ret = res;
	}
	if (PQresultStatus(*ret) == PGRES_COMMAND_OK || PQresultStatus(*ret) == PGRES_TUPLES_OK)
		return SP_OK;
	return pg_err(s, *ret);
}

/* ---- several commands in one trip ---- */

static enum sp_err
pg_next(struct sp_store *s, uint64_t deadline_us, PGresult **ret)
{
	struct pg *pg = s->conn;

	if (pg_wait(pg, deadline_us) != SP_OK) {
		pg->broken = 1;
		return sp_store_fail(s, SP_EUNAVAIL, "postgresql: no answer in time");
	}
	*ret = PQgetResult(pg->conn);
	return SP_OK;
}

/* The answers to n commands and the sync behind them: the last command's result in *ret, NULL or for PQclear(). The first
 * error counts; the server has skipped what followed it. *ret_done: how many commands went well. */
static enum sp_err
pg_pipeline_answers(struct sp_store *s, int n, uint64_t deadline_us, PGresult **ret, int *ret_done)
{
	struct pg *pg = s->conn;
	enum sp_err r = SP_OK, e;
	PGresult *res = NULL;

	*ret = NULL;
	*ret_done = 0;
	for (int i = 0; i <= n && !pg->broken; ) {
		ExecStatusType is;

		if ((e = pg_next(s, deadline_us, &res)) != SP_OK)
			return e;
		is = res != NULL ? PQresultStatus(res) : PGRES_EMPTY_QUERY;
		if (res == NULL || is == PGRES_PIPELINE_SYNC) {
			i++;		/* each command's answers end with NULL; the sync is an answer of its own */
		} else if (is == PGRES_COMMAND_OK || is == PGRES_TUPLES_OK) {
			PQclear(*ret);
			*ret = sp_steal(&res);
			(*ret_done)++;
		} else if (is != PGRES_PIPELINE_ABORTED && r == SP_OK) {
			r = pg_err(s, res);
		}
		PQclear(res);
	}
	if (!pg->broken && !PQexitPipelineMode(pg->conn))
		pg->broken = 1;
	return pg->broken ? SP_EUNAVAIL : r;
}

/* Text before a script that goes by simple query. Room for it is a matter of QUEUED_MAX. */
static void
pg_queued_text(struct pg *pg, const char *script, char *dst, size_t size)
{
	size_t at = 0;

	dst[0] = '\0';
	for (int i = 0; i < pg->queued_n; i++) {
		sp_snprintf(dst + at, size - at, "%s; ", pg->queued[i]);
		at += strlen(dst + at);
	}
	sp_snprintf(dst + at, size - at, "%s", script);
	pg->queued_n = 0;
}

/* 1: the script only frames operations, and waits for the next statement. */
static int
pg_queue(struct pg *pg, const char *script)
{
	static const char *const framing[] = { "SAVEPOINT op", "RELEASE SAVEPOINT op" };

	for (size_t i = 0; i < SP_NELEMS(framing); i++)
		if (strcmp(script, framing[i]) == 0 && pg->queued_n < QUEUED_MAX) {
			if (i == 1 && pg->queued_n > 0 && pg->queued[pg->queued_n - 1] == framing[0])
				pg->queued_n--;		/* nothing happened in between */
			else
				pg->queued[pg->queued_n++] = framing[i];
			return 1;
		}
	return 0;
}

static enum sp_err pg_connect(struct sp_store *s);

/* COMMIT, and in the same trip where in the log that was: a replica that has not come so far is not read (servers.c). */
static enum sp_err
pg_commit_power(struct sp_store *s)
{
	struct pg *pg = s->conn;
	char script[SCRIPT_SIZE];
	uint64_t deadline_us = pg_deadline(s);
	PGresult *res = NULL;
	enum sp_err r;
	int done;

	pg_queued_text(pg, "COMMIT; SELECT (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint", script, sizeof(script));
	if (!PQsendQuery(pg->conn, script))
		return pg_err(s, NULL);
	do {	/* what was queued, then COMMIT */
		if ((r = pg_next(s, deadline_us, &res)) != SP_OK)
			return r;
		if (PQresultStatus(res) != PGRES_COMMAND_OK)
			r = pg_err(s, res);
		else
			r = strcmp(PQcmdStatus(res), "ROLLBACK") != 0 ? SP_OK : SP_ESTATE;
		done = r != SP_OK || strcmp(PQcmdStatus(res), "COMMIT") == 0;
		PQclear(res);
	} while (!done);
	if (pg_answer(s, 1, deadline_us, &res) == SP_OK && PQntuples(res) == 1)
		sp_servers_committed(pg->servers, pg->at, strtoull(PQgetvalue(res, 0, 0), NULL, 10));
	else if (r == SP_OK)
		pg->broken = 1;		/* committed: only the place is not known */
	PQclear(res);
	return r;
}

static enum sp_err
pg_exec_plain(struct sp_store *s, const char *script)
{
	struct pg *pg = s->conn;
	char text[SCRIPT_SIZE];
	int commits = strcmp(script, "COMMIT") == 0;
	PGresult *res;
	enum sp_err r;

	if (pg->queued_n > 0) {
		int fits = strlen(script) < SCRIPT_SIZE / 2;

		pg_queued_text(pg, fits ? script : "", text, sizeof(text));
		if (!fits) {
			r = pg_answer(s, PQsendQuery(pg->conn, text), pg_deadline(s), &res);
			PQclear(res);
			if (r != SP_OK)
				return r;
		} else {
			script = text;
		}
	}
	r = pg_answer(s, PQsendQuery(pg->conn, script), pg_deadline(s), &res);
	/* COMMIT of a spoiled transaction says ROLLBACK and no error. */
	if (r == SP_OK && commits && strcmp(PQcmdStatus(res), "COMMIT") != 0)
		r = SP_ESTATE;
	PQclear(res);
	return r;
}

static enum sp_err
pg_exec(struct sp_store *s, enum sp_store_part part, const char *script)
{
	struct pg *pg = s->conn;
	enum sp_err r;

	(void)part;
	if (pg->conn == NULL || pg->broken)
		return SP_EUNAVAIL;
	if (pg_queue(pg, script))
		return SP_OK;
	if (strcmp(script, "ROLLBACK") == 0)
		pg->queued_n = 0;
	if (pg->servers != NULL && s->tx_power && strcmp(script, "COMMIT") == 0)
		r = pg_commit_power(s);
	else
		r = pg_exec_plain(s, script);
	/* A connection that died while idle: nothing was begun yet. */
	if (r == SP_EUNAVAIL && pg->servers != NULL && script == s->drv->begin_sql && (r = pg_connect(s)) == SP_OK)
		r = pg_exec_plain(s, script);
	if (pg->broken)
		sp_store_tx_lost(s);
	return r;
}

static void
pg_notice(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

static enum sp_err
pg_settings(struct sp_store *s)
{
	char sql[1024];

	sp_snprintf(sql, sizeof(sql), "SET client_min_messages = warning; SET client_encoding = 'UTF8';"
	    "SET statement_timeout = %u; SET lock_timeout = %u; SET idle_in_transaction_session_timeout = 60000;"
	    "SET standard_conforming_strings = on; SET synchronous_commit = on;"
	    "SET plan_cache_mode = force_generic_plan; SET join_collapse_limit = 1; SET jit = off; SET enable_seqscan = off;"
	    "SET enable_hashjoin = off; SET enable_mergejoin = off;"
	    "SELECT set_config('search_path', current_setting('search_path') || ', sallyport_evidence', false)",
	    s->opts.statement_ms, s->opts.busy_ms);
	return pg_exec(s, SP_STORE_MAIN, sql);
}

/* A peer that is silently gone is noticed in about the connect time: by keepalives while we wait for an answer, by
 * the TCP user time-out while we send. What stands in the URL goes first. */
static enum sp_err
pg_connect_url(struct sp_store *s)
{
	struct pg *pg = s->conn;
	char seconds[16], ms[16];
	const char *const key[] = { "connect_timeout", "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
	    "keepalives_count", "application_name", "dbname", NULL };
	const char *const value[] = { seconds, ms, "1", "1", "2", "sallyport", pg->url, NULL };
	enum sp_err r;

	sp_snprintf(seconds, sizeof(seconds), "%u", (s->opts.connect_ms + 999) / 1000);
	sp_snprintf(ms, sizeof(ms), "%u", s->opts.connect_ms);
	pg_disconnect(s);
	sp_store_forget_statements(s);
	if ((pg->conn = PQconnectdbParams(key, value, 1)) == NULL)
		return SP_ENOMEM;
	PQsetNoticeProcessor(pg->conn, pg_notice, NULL);	/* not to stderr: a library does not log */
	if (PQstatus(pg->conn) == CONNECTION_OK && PQsetnonblocking(pg->conn, 1) == 0) {
		if ((r = pg_settings(s)) == SP_OK)
			return SP_OK;
	} else {
		r = pg_err(s, NULL);
	}
	pg_disconnect(s);
	return r;
}

/* Within connect_ms, to whichever server of the list is the one now: it may change meanwhile. */
static enum sp_err
pg_connect_servers(struct sp_store *s)
{
	struct pg *pg = s->conn;
	uint64_t deadline_us = sp_now_us() + (uint64_t)s->opts.connect_ms * SP_US_PER_MS;
	char why[160];
	enum sp_err r;

	pg_disconnect(s);
	sp_store_forget_statements(s);
	for (;;) {
		if ((pg->at = sp_servers_pick(pg->servers, pg->reader, deadline_us)) == -1)
			return sp_store_fail(s, SP_EUNAVAIL, pg->reader ? "no server of the list answers" :
			    "no primary among the servers of the list");
		r = sp_servers_connect(pg->servers, pg->at, pg->reader, deadline_us, &pg->conn, why, sizeof(why));
		if (r == SP_OK) {
			PQsetNoticeProcessor(pg->conn, pg_notice, NULL);
			if (PQsetnonblocking(pg->conn, 1) == 0 && (r = pg_settings(s)) == SP_OK)
				return SP_OK;
			pg->broken = 1;
			pg_disconnect(s);
		} else {
			(void)sp_strlcpy(s->detail, why, sizeof(s->detail));
		}
		if (r == SP_ENOMEM || sp_now_us() >= deadline_us)
			return r == SP_ENOMEM ? r : SP_EUNAVAIL;
		poll(NULL, 0, AGAIN_MS);
	}
}

static enum sp_err
pg_connect(struct sp_store *s)
{
	const struct pg *pg = s->conn;

	return pg->servers != NULL ? pg_connect_servers(s) : pg_connect_url(s);
}

static enum sp_err
pg_ready(struct sp_store *s)
{
	struct pg *pg = s->conn;

	if (pg->servers != NULL && pg->conn != NULL && sp_servers_better(pg->servers, pg->reader, pg->at) != pg->at)
		pg->broken = 1;		/* the verdict moved */
	return pg->conn != NULL && !pg->broken ? SP_OK : pg_connect(s);
}

static enum sp_err
pg_open(struct sp_store *s, const char *url)
{
	struct pg *pg = calloc(1, sizeof(*pg));

	if ((s->conn = pg) == NULL)
		return SP_ENOMEM;
	pg->servers = s->opts.servers;
	pg->reader = s->opts.reader != 0;
	if ((pg->url = strdup(strncmp(url, "pg:", 3) == 0 ? url + 3 : url)) == NULL)
		return SP_ENOMEM;
	return pg_connect(s);
}

static void
pg_close(struct sp_store *s)
{
	struct pg *pg = s->conn;

	if (pg == NULL)
		return;
	pg_disconnect(s);
	if (pg->url != NULL)
		explicit_bzero(pg->url, strlen(pg->url));	/* it may hold a password */
	free(pg->url);
	free(pg);
	s->conn = NULL;
}

static enum sp_err
pg_slow(struct sp_store *s, int on)
{
	struct pg *pg = s->conn;
	char sql[64];

	sp_snprintf(sql, sizeof(sql), "SET statement_timeout = %u", on ? 0 : s->opts.statement_ms);
	pg->slow = on;
	return pg_exec(s, SP_STORE_MAIN, sql);
}

/* '?' outside quotes becomes $1, $2, ... */
static char *
pg_number_params(const char *sql)
{
	size_t n = strlen(sql), marks = 0, at = 0;
	unsigned number = 0;
	int quoted = 0;
	char *out;

	for (size_t i = 0; i < n; i++)
		marks += sql[i] == '?';
	if ((out = malloc(n + marks * 5 + 1)) == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		quoted ^= sql[i] == '\'';
		if (sql[i] != '?' || quoted)
			out[at++] = sql[i];
		else
			at += (size_t)snprintf(out + at, 7, "$%u", ++number);
	}
	out[at] = 0;
	return out;
}

static void
pg_stmt_free(struct pg_stmt *p)
{
	if (p == NULL)
		return;
	PQclear(p->res);
	free(p->sql);
	free(p->oid);
	free(p->value);
	free(p->len);
	free(p->format);
	free(p->number);
	free(p);
}

static enum sp_err
pg_prepare(struct sp_stmt *st)
{
	struct pg *pg = st->s->conn;
	struct pg_stmt *p = calloc(1, sizeof(*p));

	if (p == NULL || (p->sql = pg_number_params(st->sql)) == NULL) {
		free(p);
		return SP_ENOMEM;
	}
	if (st->cached)
		sp_snprintf(p->name, sizeof(p->name), "s%llu", (unsigned long long)pg->next_name++);
	st->native = p;
	return SP_OK;	/* the server hears of it when the parameters' types are known */
}

static void
pg_finalize(struct sp_stmt *st)
{
	pg_stmt_free(st->native);	/* cached ones end with the connection: there are few, and they are named anew */
}

static enum sp_err
pg_room(struct pg_stmt *p, int i)
{
	int cap = p->cap;
	Oid *oid;
	const char **value;
	int *len, *format;
	uint64_t *number;

	if (i < cap)
		return SP_OK;
	if (i >= PARAMS_MAX)
		return SP_ESIZE;
	while (cap <= i)
		cap = cap == 0 ? STEP_PARAMS : cap * 2;
	oid = reallocarray(p->oid, (size_t)cap, sizeof(*oid));
	p->oid = oid != NULL ? oid : p->oid;
	value = reallocarray(p->value, (size_t)cap, sizeof(*value));
	p->value = value != NULL ? value : p->value;
	len = reallocarray(p->len, (size_t)cap, sizeof(*len));
	p->len = len != NULL ? len : p->len;
	format = reallocarray(p->format, (size_t)cap, sizeof(*format));
	p->format = format != NULL ? format : p->format;
	number = reallocarray(p->number, (size_t)cap, sizeof(*number));
	p->number = number != NULL ? number : p->number;
	if (oid == NULL || value == NULL || len == NULL || format == NULL || number == NULL)
		return SP_ENOMEM;
	p->cap = cap;
	return SP_OK;
}

static enum sp_err
pg_bind(struct sp_stmt *st, int i, Oid oid, const void *v, size_t n)
{
	struct pg_stmt *p = st->native;
	enum sp_err r = pg_room(p, i);

	if (r != SP_OK)
		return r;
	p->oid[i] = oid;
	p->value[i] = v;
	p->len[i] = (int)n;
	p->format[i] = 1;
	if (i >= p->n)
		p->n = i + 1;
	return SP_OK;
}

static enum sp_err
pg_bind_i64(struct sp_stmt *st, int i, int64_t v)
{
	struct pg_stmt *p = st->native;
	enum sp_err r = pg_room(p, i);

	if (r != SP_OK)
		return r;
	p->number[i] = htobe64((uint64_t)v);
	return pg_bind(st, i, OID_INT8, "", sizeof(p->number[i]));	/* the address is known when no more is bound */
}

static enum sp_err
pg_bind_text(struct sp_stmt *st, int i, const char *v, size_t n)
{
	return pg_bind(st, i, OID_TEXT, v, n);
}

static enum sp_err
pg_bind_blob(struct sp_stmt *st, int i, const void *v, size_t n)
{
	return pg_bind(st, i, OID_BYTEA, v, n);
}

static enum sp_err
pg_bind_null(struct sp_stmt *st, int i)
{
	return pg_bind(st, i, OID_INT8, NULL, 0);
}

/* With what is queued before it, and its preparation, in one trip. */
static enum sp_err
pg_send_pipeline(struct sp_stmt *st, uint64_t deadline_us, PGresult **ret)
{
	struct pg *pg = st->s->conn;
	struct pg_stmt *p = st->native;
	int n = 0, done = 0, sent = PQenterPipelineMode(pg->conn), prepares = !p->prepared;
	enum sp_err r;

	*ret = NULL;
	for (; sent && n < pg->queued_n; n++)
		sent = PQsendQueryParams(pg->conn, pg->queued[n], 0, NULL, NULL, NULL, NULL, 1);
	pg->queued_n = 0;
	if (sent && prepares) {
		sent = PQsendPrepare(pg->conn, p->name, p->sql, p->n, p->oid);
		n++;
	}
	if (!sent || !PQsendQueryPrepared(pg->conn, p->name, p->n, p->value, p->len, p->format, 1) || !PQpipelineSync(pg->conn)) {
		pg->broken = 1;
		return pg_err(st->s, NULL);
	}
	r = pg_pipeline_answers(st->s, n + 1, deadline_us, ret, &done);
	if (prepares && done >= n)
		p->prepared = p->name[0] != 0;	/* also when its use failed: the preparation outlives the transaction */
	return r;
}

static enum sp_err
pg_send_once(struct sp_stmt *st)
{
	struct pg *pg = st->s->conn;
	struct pg_stmt *p = st->native;
	uint64_t deadline_us = pg_deadline(st->s);	/* of both trips */
	PGresult *res;
	enum sp_err r;

	if (pg->conn == NULL || pg->broken)
		return SP_EUNAVAIL;
	for (int i = 0; i < p->n; i++)
		if (p->oid[i] == OID_INT8 && p->value[i] != NULL)
			p->value[i] = (const char *)&p->number[i];
	if (!p->prepared || pg->queued_n > 0)
		r = pg_send_pipeline(st, deadline_us, &res);
	else
		r = pg_answer(st->s, PQsendQueryPrepared(pg->conn, p->name, p->n, p->value, p->len, p->format, 1), deadline_us, &res);
	if (r != SP_OK) {
		PQclear(res);
		return r;
	}
	p->res = res;
	p->rows = PQntuples(res);
	return SP_OK;
}

/* A question outside a transaction, whose server goes away or had to stop it for the sake of its replay, is put again. */
static enum sp_err
pg_send(struct sp_stmt *st)
{
	struct pg *pg = st->s->conn;
	struct pg_stmt *p = st->native;
	uint64_t until_us = sp_now_us() + 2 * (uint64_t)st->s->opts.connect_ms * SP_US_PER_MS;
	enum sp_err r;

	for (;;) {
		r = pg_send_once(st);
		if (pg->servers == NULL || strncmp(p->sql, "SELECT", 6) != 0 || st->s->tx_depth[0] > 0 || sp_now_us() >= until_us ||
		    (r != SP_EUNAVAIL && (r != SP_EBUSY || !sp_servers_is_replica(pg->servers, pg->at))))
			return r;
		if (r == SP_EUNAVAIL) {
			p->prepared = 0;
			p->name[0] = '\0';	/* the cache forgets it when the connection is made anew */
		} else {
			poll(NULL, 0, AGAIN_MS);
		}
		if ((r = pg_ready(st->s)) != SP_OK)
			return r;
	}
}

static enum sp_err
pg_step(struct sp_stmt *st)
{
	struct pg *pg = st->s->conn;
	struct pg_stmt *p = st->native;
	enum sp_err r;

	if (p->res == NULL) {
		if ((r = pg_send(st)) != SP_OK) {
			if (pg->conn == NULL || pg->broken)
				sp_store_tx_lost(st->s);
			return r;
		}
		p->row = -1;
	}
	if (p->row < p->rows)
		p->row++;
	return p->row < p->rows ? SP_OK : SP_ENOENT;
}

static void
pg_reset(struct sp_stmt *st)
{
	struct pg_stmt *p = st->native;

	PQclear(p->res);
	p->res = NULL;
}

static uint64_t
pg_changes(struct sp_stmt *st)
{
	struct pg_stmt *p = st->native;

	return strtoull(PQcmdTuples(p->res), NULL, 10);
}

static int
pg_is_null(struct sp_stmt *st, int i)
{
	struct pg_stmt *p = st->native;

	return PQgetisnull(p->res, p->row, i);
}

static int64_t
pg_col_i64(struct sp_stmt *st, int i)
{
	struct pg_stmt *p = st->native;
	const char *v = PQgetvalue(p->res, p->row, i);
	uint64_t wide;
	uint32_t narrow;

	switch (PQgetlength(p->res, p->row, i)) {
	case sizeof(wide):
		memcpy(&wide, v, sizeof(wide));
		return (int64_t)be64toh(wide);
	case sizeof(narrow):
		memcpy(&narrow, v, sizeof(narrow));
		return (int32_t)be32toh(narrow);
	default:
		return 0;	/* NULL */
	}
}

static const void *
pg_col_bytes(struct sp_stmt *st, int i, size_t *ret_n)
{
	struct pg_stmt *p = st->native;

	*ret_n = (size_t)PQgetlength(p->res, p->row, i);
	return PQgetvalue(p->res, p->row, i);
}

static int
pg_server(const struct sp_store *s, struct sp_netaddr *ret)
{
	const struct pg *pg = s->conn;
	const char *host = pg->conn != NULL ? PQhostaddr(pg->conn) : NULL;
	struct sp_netaddr a;
	unsigned long port;

	if (pg->conn == NULL || sp_netaddr_parse(host != NULL && *host ? host : "127.0.0.1", &a) != SP_OK)
		return 0;
	port = strtoul(PQport(pg->conn), NULL, 10);
	a.port = port > 0 && port < 65536 ? (uint16_t)port : 5432;
	*ret = a;
	return 1;
}

const struct sp_store_driver sp_store_pgsql = {
	.version = SP_STORE_DRIVER_VERSION,
	.parts = 1,
	.savepoints = 1,
	.lateral = 1,
	.bulk_rows = 128,
	.begin_sql = "BEGIN",
	.has_table_sql = "SELECT 1 WHERE to_regclass(?) IS NOT NULL",
	.lock_sql = "SELECT pg_advisory_xact_lock(1396786256)",
	.evidence_setup_sql = "CREATE SCHEMA IF NOT EXISTS sallyport_evidence; SET LOCAL search_path TO sallyport_evidence",
	.script_offset = offsetof(struct sp_store_script, pgsql),
	.open = pg_open,
	.close = pg_close,
	.ready = pg_ready,
	.exec = pg_exec,
	.slow = pg_slow,
	.prepare = pg_prepare,
	.finalize = pg_finalize,
	.bind_i64 = pg_bind_i64,
	.bind_text = pg_bind_text,
	.bind_blob = pg_bind_blob,
	.bind_null_i64 = pg_bind_null,
	.step = pg_step,
	.reset = pg_reset,
	.changes = pg_changes,
	.is_null = pg_is_null,
	.col_i64 = pg_col_i64,
	.col_bytes = pg_col_bytes,
	.server = pg_server
};
