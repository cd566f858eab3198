/* lib/store/pgsql/servers.c - an ordered list of PostgreSQL servers: which of them answer, which is the primary, and which
 * one each handle should use. Process: control. One thread per server asks it four times a second; handles read the
 * verdict without waiting for anything.
 *
 * Why threads of its own: a server whose packets are dropped says nothing. Were each login to find that out for itself,
 * each would wait, and one server after the other would cost one time-out after the other. Asked side by side all of
 * the time, all silent ones are given up together, GIVE_UP of the time-out (2 s) after their last answer, and the logins
 * that come then do not wait at all. What is in flight to a server that was given up is stopped and asked again elsewhere.
 *
 * The verdict. Writing: the primary. Reading: the primary; while it is away, the first replica in the order of the list
 * (near ones before far ones). Invariants:
 *  (1) Nothing is written to a server that says it is in recovery, that belongs to another database cluster than the
 *	first of the list that answered when all were asked, or whose timeline is older than one already seen: after a
 *	promotion the old primary is refused for reading too, however alive it is. Two primaries on one timeline are both
 *	refused for writing.
 *  (2) A replica that has not replayed the last change of power committed through this list is not read: what was revoked
 *	here stays revoked. A newer timeline lifts that: what the promoted server has is the truth from then on.
 *  (3) A silent server is given up for another one only. With none to go to, its own time-outs apply, LAST_RESORT_US long. */
#include "store/pgsql/servers.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

#define PROBE_US	(250 * SP_US_PER_MS)
#define SLICE_MS	50			/* of waiting, between looks at the clock and at the verdict */
#define GIVE_UP(us)	((us) * 3 / 4)		/* silence after which a server is given up: the rest is for connecting elsewhere */
#define LAST_RESORT_US	(10 * SP_US_PER_S)

struct server {
	struct sp_store_servers	*of;
	int			 index, far, started;
	char			*url, name[160];
	pthread_t		 thread;
	PGconn			*conn;		/* the thread's */
	/* under of->mu: what it said last */
	int			 asked;		/* it answered, or failed, at least once */
	int			 failed;	/* it refused; else it is silent, or well */
	uint64_t		 answered_us;	/* 0: never */
	int			 standby;
	uint64_t		 cluster, lsn, timeline;
	enum sp_store_server_role role;		/* the verdict */
	char			 why[160];
	struct sp_netaddr	 at;
};
struct sp_store_servers {
	pthread_mutex_t		 mu;
	pthread_cond_t		 changed;
	uint64_t		 timeout_us;
	size_t			 n;
	uint64_t		 cluster, timeline;	/* of the cluster; 0: nobody answered yet */
	uint64_t		 floor_lsn;		/* the last change of power */
	atomic_int		 best[2];		/* [any]; -1: none */
	atomic_uint		 fresh, replicas;	/* bits: answered lately; in recovery */
	atomic_int		 closing;
	struct server		 server[SP_STORE_SERVERS_MAX];
};

static const char probe_sql[] = "SELECT pg_is_in_recovery()::int, (SELECT system_identifier FROM pg_control_system()),"
    " (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0'::pg_lsn)::bigint,"
    " CASE WHEN pg_is_in_recovery() THEN 0 ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END";

static unsigned
bit_of(size_t server)
{
	return 1u << server % SP_STORE_SERVERS_MAX;
}

/* ---- the verdict; under mu ---- */

static int
is_fresh(const struct sp_store_servers *v, const struct server *s, uint64_t now_us)
{
	return s->answered_us != 0 && !s->failed && now_us < s->answered_us + GIVE_UP(v->timeout_us);
}

static int
is_last_resort(const struct server *s, uint64_t now_us)
{
	return s->answered_us != 0 && !s->failed && now_us < s->answered_us + LAST_RESORT_US;
}

static void
refuse(struct server *s, const char *why)
{
	s->role = SP_STORE_SERVER_REFUSED;
	(void)sp_strlcpy(s->why, why, sizeof(s->why));
}

/* What a server is by its own words, beside the others'. */
static void
judge_one(struct sp_store_servers *v, struct server *s, uint64_t now_us)
{
	if (!is_fresh(v, s, now_us)) {
		if (!s->failed)
			(void)sp_strlcpy(s->why, s->asked ? "it does not answer" : "not asked yet", sizeof(s->why));
		s->role = SP_STORE_SERVER_AWAY;
		return;
	}
	s->why[0] = '\0';
	s->role = SP_STORE_SERVER_AWAY;
	if (v->cluster == 0)
		(void)sp_strlcpy(s->why, "waiting for what the others say", sizeof(s->why));
	else if (s->cluster != v->cluster)
		refuse(s, "it belongs to another database cluster");
	else if (!s->standby && s->timeline < v->timeline)
		refuse(s, "an old primary: another server was promoted; rebuild it as a standby");
	else if (s->standby && s->lsn < v->floor_lsn)
		refuse(s, "it lacks a change of access that was made here");
	else
		s->role = s->standby ? SP_STORE_SERVER_REPLICA : SP_STORE_SERVER_PRIMARY;
}

/* Once all were asked: the first in the order of the list, not the quickest. */
static void
note_cluster(struct sp_store_servers *v, uint64_t now_us)
{
	for (size_t i = 0; i < v->n; i++)
		if (!v->server[i].asked)
			return;
	for (size_t i = 0; i < v->n && v->cluster == 0; i++)
		if (is_fresh(v, &v->server[i], now_us))
			v->cluster = v->server[i].cluster;
}

static void
note_timeline(struct sp_store_servers *v, uint64_t now_us)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct server *s = &v->server[i];

		if (is_fresh(v, s, now_us) && !s->standby && s->cluster == v->cluster && s->timeline > v->timeline) {
			if (v->timeline != 0)
				v->floor_lsn = 0;
			v->timeline = s->timeline;
		}
	}
}

/* The first with this role; last_resort: that had it when it answered last. */
static int
first_of(const struct sp_store_servers *v, int standby, int last_resort, uint64_t now_us)
{
	for (size_t i = 0; i < v->n; i++) {
		const struct server *s = &v->server[i];

		if (s->role == (standby ? SP_STORE_SERVER_REPLICA : SP_STORE_SERVER_PRIMARY))
			return (int)i;
		if (last_resort && s->role == SP_STORE_SERVER_AWAY && is_last_resort(s, now_us) && s->standby == standby &&
		    s->cluster == v->cluster && (standby ? s->lsn >= v->floor_lsn : s->timeline >= v->timeline))
			return (int)i;
	}
	return -1;
}

static void
say_two_primaries(struct sp_store_servers *v)
{
	for (size_t i = 0; i < v->n; i++) {
		struct server *s = &v->server[i];

		if (s->role == SP_STORE_SERVER_PRIMARY)
			(void)sp_strlcpy(s->why, "two primaries on one timeline: nothing is written until one is gone", sizeof(s->why));
	}
}

static void
judge(struct sp_store_servers *v, uint64_t now_us)
{
	unsigned fresh = 0, replicas = 0, primaries = 0;
	int write, read;

	if (v->cluster == 0)
		note_cluster(v, now_us);
	note_timeline(v, now_us);
	for (size_t i = 0; i < v->n; i++) {
		struct server *s = &v->server[i];

		judge_one(v, s, now_us);
		fresh |= is_fresh(v, s, now_us) ? bit_of(i) : 0;
		replicas |= s->standby ? bit_of(i) : 0;
		primaries += s->role == SP_STORE_SERVER_PRIMARY;
	}
	read = first_of(v, 0, 0, now_us);
	if (read == -1)
		read = first_of(v, 1, 0, now_us);
	if (read == -1 && (read = first_of(v, 0, 1, now_us)) == -1)
		read = first_of(v, 1, 1, now_us);
	write = primaries > 1 ? -1 : first_of(v, 0, 1, now_us);
	if (primaries > 1)
		say_two_primaries(v);
	atomic_store(&v->fresh, fresh);
	atomic_store(&v->replicas, replicas);
	if (atomic_exchange(&v->best[0], write) != write || atomic_exchange(&v->best[1], read) != read)
		pthread_cond_broadcast(&v->changed);
}

/* ---- asking one server; its thread ---- */

struct wait {
	struct sp_store_servers	*v;
	int			 at, any;	/* any -1: the asking thread itself, which never gives up for another */
	uint64_t		 deadline_us;
};

static enum sp_err
wait_for(const struct wait *w, int fd, short events)
{
	for (;;) {
		struct pollfd p = { .fd = fd, .events = events };

		if (fd < 0 || atomic_load(&w->v->closing) || sp_now_us() >= w->deadline_us ||
		    (w->any >= 0 && sp_servers_gave_up(w->v, w->any, w->at)))
			return SP_EUNAVAIL;
		if (w->any < 0) {	/* time passes for the others too, whichever of the threads still looks */
			pthread_mutex_lock(&w->v->mu);
			judge(w->v, sp_now_us());
			pthread_mutex_unlock(&w->v->mu);
		}
		if (poll(&p, 1, SLICE_MS) > 0)
			return SP_OK;
	}
}

static enum sp_err
dial(const struct wait *w, const char *url, PGconn **ret, char *why, size_t why_size)
{
	char ms[16];
	const char *const key[] = { "tcp_user_timeout", "keepalives_idle", "keepalives_interval", "keepalives_count",
	    "application_name", "dbname", NULL };
	const char *const value[] = { ms, "1", "1", "2", "sallyport", url, NULL };
	PostgresPollingStatusType next = PGRES_POLLING_WRITING;
	PGconn *conn;

	sp_snprintf(ms, sizeof(ms), "%llu", (unsigned long long)(w->v->timeout_us / SP_US_PER_MS));
	if ((conn = PQconnectStartParams(key, value, 1)) == NULL)
		return SP_ENOMEM;
	if (PQstatus(conn) == CONNECTION_BAD)
		next = PGRES_POLLING_FAILED;
	while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
		if (wait_for(w, PQsocket(conn), next == PGRES_POLLING_READING ? POLLIN : POLLOUT) != SP_OK) {
			(void)sp_strlcpy(why, "no answer in time", why_size);
			PQfinish(conn);
			return SP_ETIMEOUT;
		}
		next = PQconnectPoll(conn);
	}
	if (next == PGRES_POLLING_FAILED) {
		sp_snprintf(why, why_size, "%.*s", (int)strcspn(PQerrorMessage(conn), "\n"), PQerrorMessage(conn));
		PQfinish(conn);
		return SP_EUNAVAIL;
	}
	*ret = conn;
	return SP_OK;
}

static void
drop(struct server *s)
{
	if (s->conn == NULL)
		return;
	shutdown(PQsocket(s->conn), SHUT_RDWR);		/* no word of goodbye that could block */
	PQfinish(s->conn);
	s->conn = NULL;
}

static void
server_failed(struct server *s, enum sp_err r, const char *why)
{
	pthread_mutex_lock(&s->of->mu);
	s->asked = 1;
	if (r != SP_ETIMEOUT) {
		s->failed = 1;
		(void)sp_strlcpy(s->why, why, sizeof(s->why));
	}
	judge(s->of, sp_now_us());
	pthread_cond_broadcast(&s->of->changed);
	pthread_mutex_unlock(&s->of->mu);
}

static uint64_t
number_of(const PGresult *res, int col)
{
	return strtoull(PQgetvalue(res, 0, col), NULL, 10);
}

static void
server_answered(struct server *s, const PGresult *res)
{
	const char *host = PQhostaddr(s->conn);
	struct sp_netaddr a;
	unsigned long port = strtoul(PQport(s->conn), NULL, 10);

	pthread_mutex_lock(&s->of->mu);
	s->asked = 1;
	s->failed = 0;
	s->standby = number_of(res, 0) != 0;
	s->cluster = number_of(res, 1);
	s->lsn = number_of(res, 2);
	s->timeline = number_of(res, 3);
	s->answered_us = sp_now_us();
	if (sp_netaddr_parse(host != NULL && *host ? host : "127.0.0.1", &a) == SP_OK) {
		a.port = port > 0 && port < 65536 ? (uint16_t)port : 5432;
		s->at = a;
	}
	judge(s->of, s->answered_us);
	pthread_cond_broadcast(&s->of->changed);
	pthread_mutex_unlock(&s->of->mu);
}

static enum sp_err
ask(struct server *s, const struct wait *w, char *why, size_t why_size)
{
	PGresult *res = NULL, *next;
	enum sp_err r = SP_OK;

	if (!PQsendQuery(s->conn, probe_sql))
		r = SP_EUNAVAIL;
	while (r == SP_OK) {
		while (r == SP_OK && PQisBusy(s->conn)) {
			if ((r = wait_for(w, PQsocket(s->conn), POLLIN)) != SP_OK)
				r = SP_ETIMEOUT;
			else if (!PQconsumeInput(s->conn))
				r = SP_EUNAVAIL;
		}
		if (r != SP_OK || (next = PQgetResult(s->conn)) == NULL)
			break;
		PQclear(res);
		res = next;
	}
	if (r == SP_OK && (PQresultStatus(res) != PGRES_TUPLES_OK || PQntuples(res) != 1))
		r = SP_EUNAVAIL;
	if (r == SP_OK)
		server_answered(s, res);
	else if (r == SP_EUNAVAIL)
		sp_snprintf(why, why_size, "%.*s", (int)strcspn(PQerrorMessage(s->conn), "\n"), PQerrorMessage(s->conn));
	PQclear(res);
	return r;
}

static void
probe(struct server *s)
{
	struct wait w = { s->of, s->index, -1, sp_now_us() + s->of->timeout_us };
	char why[160] = "no answer in time";
	enum sp_err r = SP_OK;

	if (s->conn == NULL)
		r = dial(&w, s->url, &s->conn, why, sizeof(why));
	if (r == SP_OK)
		r = ask(s, &w, why, sizeof(why));
	if (r != SP_OK) {
		drop(s);
		server_failed(s, r, why);
	}
}

static void
until(uint64_t us, struct timespec *ret)
{
	clock_gettime(CLOCK_MONOTONIC, ret);
	us += (uint64_t)ret->tv_nsec / 1000;
	ret->tv_sec += (time_t)(us / SP_US_PER_S);
	ret->tv_nsec = (long)(us % SP_US_PER_S) * 1000;
}

static void *
server_run(void *arg)
{
	struct server *s = arg;
	struct sp_store_servers *v = s->of;

	while (!atomic_load(&v->closing)) {
		uint64_t next_us = sp_now_us() + PROBE_US, now;

		probe(s);
		pthread_mutex_lock(&v->mu);
		while ((now = sp_now_us()) < next_us && !atomic_load(&v->closing)) {
			struct timespec t;

			until(next_us - now < SLICE_MS * SP_US_PER_MS ? next_us - now : SLICE_MS * SP_US_PER_MS, &t);
			pthread_cond_timedwait(&v->changed, &v->mu, &t);
			judge(v, sp_now_us());
		}
		pthread_mutex_unlock(&v->mu);
	}
	drop(s);
	return NULL;
}

/* ---- for handles ---- */

/* A replica is taken when it is known that there is no primary, not because it answered first. */
int
sp_servers_pick(struct sp_store_servers *v, int any, uint64_t deadline_us)
{
	int at;

	pthread_mutex_lock(&v->mu);
	for (;;) {
		int asked = 1;
		struct timespec t;

		judge(v, sp_now_us());
		for (size_t i = 0; i < v->n; i++)
			asked &= v->server[i].asked;
		if ((at = atomic_load(&v->best[any])) != -1 && (asked || !sp_servers_is_replica(v, at)))
			break;
		if ((!any && asked) || sp_now_us() >= deadline_us || atomic_load(&v->closing))
			break;
		until(SLICE_MS * SP_US_PER_MS, &t);
		pthread_cond_timedwait(&v->changed, &v->mu, &t);
	}
	pthread_mutex_unlock(&v->mu);
	return at;
}

int
sp_servers_better(const struct sp_store_servers *v, int any, int at)
{
	int best = atomic_load(&v->best[any]);

	return best != -1 ? best : at;
}

int
sp_servers_gave_up(const struct sp_store_servers *v, int any, int at)
{
	int best = atomic_load(&v->best[any]);

	return best != -1 && best != at && (atomic_load(&v->fresh) & bit_of((size_t)at)) == 0;
}

int
sp_servers_is_replica(const struct sp_store_servers *v, int at)
{
	return (atomic_load(&v->replicas) & bit_of((size_t)at)) != 0;
}

enum sp_err
sp_servers_connect(struct sp_store_servers *v, int at, int any, uint64_t deadline_us, PGconn **ret, char *why, size_t why_size)
{
	struct wait w = { v, at, any, deadline_us };
	enum sp_err r = dial(&w, v->server[at].url, ret, why, why_size);

	return r == SP_ETIMEOUT ? SP_EUNAVAIL : r;
}

void
sp_servers_committed(struct sp_store_servers *v, int at, uint64_t lsn)
{
	pthread_mutex_lock(&v->mu);
	if (lsn > v->floor_lsn && v->server[at].timeline == v->timeline)
		v->floor_lsn = lsn;
	pthread_mutex_unlock(&v->mu);
}

/* ---- life ---- */

/* host:port of a URL, without what may be secret in it. SP_EINVAL: libpq does not take the URL. */
static enum sp_err
name_of(const char *url, char *dst, size_t size)
{
	PQconninfoOption *all = PQconninfoParse(url, NULL);
	const char *host = "", *port = "";

	if (all == NULL)
		return SP_EINVAL;
	for (const PQconninfoOption *o = all; o->keyword != NULL; o++) {
		if (o->val != NULL && (strcmp(o->keyword, "host") == 0 || (strcmp(o->keyword, "hostaddr") == 0 && *host == '\0')))
			host = o->val;
		if (o->val != NULL && strcmp(o->keyword, "port") == 0)
			port = o->val;
	}
	sp_snprintf(dst, size, "%s:%s", *host ? host : "local socket", *port ? port : "5432");
	PQconninfoFree(all);
	return SP_OK;
}

enum sp_err
sp_store_servers_new(const struct sp_store_server *list, size_t n, uint32_t timeout_ms, struct sp_store_servers **ret)
{
	struct sp_store_servers *v;
	pthread_condattr_t attr;
	enum sp_err r = SP_OK;

	if (n == 0 || n > SP_STORE_SERVERS_MAX)
		return SP_EINVAL;
	if ((v = calloc(1, sizeof(*v))) == NULL)
		return SP_ENOMEM;
	pthread_mutex_init(&v->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&v->changed, &attr);
	pthread_condattr_destroy(&attr);
	v->timeout_us = (uint64_t)(timeout_ms != 0 ? timeout_ms : 2000) * SP_US_PER_MS;
	v->n = n;
	atomic_store(&v->best[0], -1);
	atomic_store(&v->best[1], -1);
	for (size_t i = 0; i < n && r == SP_OK; i++) {
		struct server *s = &v->server[i];

		s->of = v;
		s->index = (int)i;
		s->far = list[i].far;
		(void)sp_strlcpy(s->why, "not asked yet", sizeof(s->why));
		if ((s->url = strdup(strncmp(list[i].url, "pg:", 3) == 0 ? list[i].url + 3 : list[i].url)) == NULL)
			r = SP_ENOMEM;
		else
			r = name_of(s->url, s->name, sizeof(s->name));
	}
	for (size_t i = 0; i < n && r == SP_OK; i++)
		if (pthread_create(&v->server[i].thread, NULL, server_run, &v->server[i]) != 0)
			r = SP_ENOMEM;
		else
			v->server[i].started = 1;
	if (r != SP_OK) {
		sp_store_servers_free(v);
		return r;
	}
	*ret = v;
	return SP_OK;
}

void
sp_store_servers_free(struct sp_store_servers *v)
{
	if (v == NULL)
		return;
	atomic_store(&v->closing, 1);
	pthread_mutex_lock(&v->mu);
	pthread_cond_broadcast(&v->changed);
	pthread_mutex_unlock(&v->mu);
	for (size_t i = 0; i < v->n; i++) {
		if (v->server[i].started)
			pthread_join(v->server[i].thread, NULL);
		if (v->server[i].url != NULL)
			explicit_bzero(v->server[i].url, strlen(v->server[i].url));	/* it may hold a password */
		free(v->server[i].url);
	}
	pthread_cond_destroy(&v->changed);
	pthread_mutex_destroy(&v->mu);
	free(v);
}

size_t
sp_store_servers_status(struct sp_store_servers *v, struct sp_store_server_status *ret, size_t max)
{
	size_t n = v->n < max ? v->n : max;

	pthread_mutex_lock(&v->mu);
	judge(v, sp_now_us());
	for (size_t i = 0; i < n; i++) {
		const struct server *s = &v->server[i];

		ret[i] = (struct sp_store_server_status){ .role = s->role, .far = s->far, .at = s->at,
		    .asked = s->asked, .reading = atomic_load(&v->best[1]) == (int)i, .writing = atomic_load(&v->best[0]) == (int)i };
		(void)sp_strlcpy(ret[i].why, s->why, sizeof(ret[i].why));
		(void)sp_strlcpy(ret[i].name, s->name, sizeof(ret[i].name));
	}
	pthread_mutex_unlock(&v->mu);
	return n;
}

int
sp_store_servers_have(struct sp_store_servers *v, const struct sp_netaddr *a, uint32_t port)
{
	int found = 0;

	pthread_mutex_lock(&v->mu);
	for (size_t i = 0; i < v->n; i++)
		found |= v->server[i].at.port != 0 && v->server[i].at.port == port && sp_netaddr_same_host(&v->server[i].at, a);
	pthread_mutex_unlock(&v->mu);
	return found;
}
