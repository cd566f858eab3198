/* bench/access.c - what one access decision costs: the indexed fetch (lib/store) and the judgement (lib/policy), with
 * 10,000 users, 50,000 assets and 1,000, 100,000 and 1,000,000 grants in the same store. Prints a table, or
 * with --json one JSON document and nothing else.
 *	bench/access [--pg] [--json] [--grants N] [--limit SECONDS]
 * "direct": a random user with a grant of his own on a random asset. "nested": a user in 20 groups and an asset under
 * 10 levels of asset groups, each of these groups carrying its share of all grants. Four grants of five are to a user,
 * four of five on an asset; one of a hundred is from group to group, so that a decision finds about as many rows at
 * every size ("rows" says how many) and the figures compare the store, not the length of the answer.
 * Grants are loaded in transactions of TX rows, as an import does. SIGINT, SIGTERM and the limit (SIGALRM; 900 s if not
 * given) end the run at its next operation, with the temporary directories removed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../tests/unit/lib/store/fixture.h"
#include "policy/access.h"

#define USERS		10000
#define ASSETS		50000
#define GROUPS		200
#define ASSET_GROUPS	500
#define IN_GROUPS	20
#define LEVELS		10
#define CHUNK		10000
#define TX		100000
#define LIMIT_S		900
#define SAMPLES		20000
#define FETCH_MAX	4096

struct world {
	struct fx		 fx;
	struct fx_server	 server;
	struct sp_uuid		*user, *asset, group[GROUPS], asset_group[ASSET_GROUPS], deep_user, deep_asset;
	struct sp_uuid		 level[LEVELS];
	struct { int user, asset; } *direct;		/* pairs that have a grant of their own */
	size_t			 grants, direct_n;
	unsigned		 seed;
};
struct result {
	size_t	grants;
	double	load_s, direct_p50, direct_p99, nested_p50, nested_p99, direct_rows, nested_rows;
};

static volatile sig_atomic_t stopped_by;

static void
on_signal(int sig)
{
	stopped_by = sig;
}

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The only way out: nothing of ours stays behind. */
static _Noreturn void
leave(struct world *w, int status)
{
	fx_close(&w->fx);
	fx_server_stop(&w->server);
	exit(status);
}

/* Every operation passes here, so a signal is heard at the next one. */
static void
must(struct world *w, enum sp_err e, const char *what)
{
	if (stopped_by != 0) {
		fprintf(stderr, "stopped by signal %d\n", (int)stopped_by);
		leave(w, 128 + stopped_by);
	}
	if (e == SP_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, sp_err_text(e), w->fx.s != NULL ? sp_store_detail(w->fx.s) : "");
	leave(w, 1);
}

static void *
need(struct world *w, size_t n, size_t size)
{
	void *p = calloc(n, size);

	must(w, p != NULL ? SP_OK : SP_ENOMEM, "memory");
	return p;
}

static int
pick(struct world *w, int n)
{
	return (int)(((unsigned)rand_r(&w->seed) * 32768u + (unsigned)rand_r(&w->seed)) % (unsigned)n);
}

static void
join(struct world *w, const struct sp_uuid *group, const struct sp_uuid *user)
{
	struct sp_store_member m = { .group_id = *group, .member_id = *user, .kind = SP_STORE_SUBJECT_USER };
	enum sp_err e = sp_store_group_member_add(w->fx.s, &m);

	must(w, e == SP_EEXIST ? SP_OK : e, "join");
}

static void
put_in(struct world *w, const struct sp_uuid *group, const struct sp_uuid *asset)
{
	struct sp_store_member m = { .group_id = *group, .member_id = *asset, .kind = SP_STORE_OBJECT_ASSET };

	must(w, sp_store_asset_member_add(w->fx.s, &m), "put asset in group");
}

static void
make_groups(struct world *w)
{
	for (int i = 0; i < GROUPS; i++) {
		struct sp_store_group g = { 0 };

		sp_snprintf(g.name, sizeof(g.name), "g%d", i);
		must(w, sp_store_group_add(w->fx.s, &g), "group");
		w->group[i] = g.id;
	}
	for (int i = 0; i < ASSET_GROUPS; i++) {
		struct sp_store_asset_group g = { 0 };

		sp_snprintf(g.name, sizeof(g.name), "ag%d", i);
		if (i > 0)		/* the first LEVELS form one deep line, the others a bush */
			g.parent_id = w->asset_group[i < LEVELS ? i - 1 : pick(w, i)];
		must(w, sp_store_asset_group_add(w->fx.s, &g), "asset group");
		w->asset_group[i] = g.id;
	}
}

static void
make_users(struct world *w)
{
	for (int i = 0; i < USERS; i++) {
		struct sp_store_user u = { .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };

		sp_snprintf(u.login, sizeof(u.login), "user%05d", i);
		must(w, sp_store_user_add(w->fx.s, &u), "user");
		w->user[i] = u.id;
		join(w, &w->group[pick(w, GROUPS)], &u.id);
		join(w, &w->group[pick(w, GROUPS)], &u.id);
	}
	w->deep_user = w->user[USERS / 2];
	for (int i = 0; i < IN_GROUPS; i++)
		join(w, &w->group[i * (GROUPS / IN_GROUPS)], &w->deep_user);
}

static void
make_assets(struct world *w)
{
	for (int i = 0; i < ASSETS; i++) {
		struct sp_store_asset a = { .port = 22, .state = SP_STORE_ACTIVE };

		sp_snprintf(a.name, sizeof(a.name), "host%05d", i);
		sp_snprintf(a.address, sizeof(a.address), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		must(w, sp_store_asset_add(w->fx.s, &a), "asset");
		w->asset[i] = a.id;
		put_in(w, &w->asset_group[i == ASSETS / 2 ? LEVELS - 1 : pick(w, ASSET_GROUPS)], &a.id);
	}
	w->deep_asset = w->asset[ASSETS / 2];
}

/* Fills *g, which is zeroed. */
static void
make_grant(struct world *w, struct sp_store_grant *g)
{
	int kind = pick(w, 100), to_group = kind < 20, on_group = kind < 1 || kind >= 81, user = pick(w, USERS), asset = pick(w, ASSETS);

	sp_strlcpy(g->accounts, "root,deploy", sizeof(g->accounts));
	g->protocols = SP_STORE_P_SHELL | SP_STORE_P_EXEC | SP_STORE_P_SFTP;
	g->effect = SP_STORE_ALLOW;
	g->record_mode = SP_STORE_RECORD_STRICT;
	g->mfa_interval_s = -1;
	g->file_direction = SP_STORE_FILE_UP | SP_STORE_FILE_DOWN;
	g->subject_kind = to_group ? SP_STORE_SUBJECT_GROUP : SP_STORE_SUBJECT_USER;
	g->subject_id = to_group ? w->group[pick(w, GROUPS)] : w->user[user];
	g->object_kind = on_group ? SP_STORE_OBJECT_ASSET_GROUP : SP_STORE_OBJECT_ASSET;
	g->object_id = on_group ? w->asset_group[LEVELS + pick(w, ASSET_GROUPS - LEVELS)] : w->asset[asset];
	if (!to_group && !on_group) {
		w->direct[w->direct_n].user = user;
		w->direct[w->direct_n++].asset = asset;
	}
}

/* A few grants that the nested decision finds, spread over its groups; the same few at every size. */
static void
nested_grants(struct world *w)
{
	for (int i = 0; i < IN_GROUPS; i++) {
		struct sp_store_grant g = { 0 };

		make_grant(w, &g);
		g.subject_kind = SP_STORE_SUBJECT_GROUP;
		g.subject_id = w->group[i * (GROUPS / IN_GROUPS)];
		g.object_kind = SP_STORE_OBJECT_ASSET_GROUP;
		g.object_id = w->asset_group[i % LEVELS];
		must(w, sp_store_grant_add(w->fx.s, &g), "nested grant");
	}
	w->direct_n = 0;
}

static void
load_grants(struct world *w, size_t upto)
{
	struct sp_store_grant *g = need(w, CHUNK, sizeof(*g));

	for (size_t done = 0; w->grants < upto; ) {
		size_t n = upto - w->grants < CHUNK ? upto - w->grants : CHUNK;

		if (done % TX == 0)
			must(w, sp_store_begin(w->fx.s, SP_STORE_MAIN), "begin");
		for (size_t i = 0; i < n; i++) {
			g[i].id = (struct sp_uuid){ 0 };	/* all else is the same in every row, or written */
			make_grant(w, &g[i]);
		}
		must(w, sp_store_grant_add_many(w->fx.s, g, n, NULL), "grants");
		w->grants += n;
		done += n;
		if (done % TX == 0 || w->grants == upto)
			must(w, sp_store_commit(w->fx.s), "commit");
	}
	free(g);
}

/* ---- one decision, as control makes it ---- */

struct fetch {
	struct sp_policy_grant	g[FETCH_MAX];
	char			text[FETCH_MAX][32];
	size_t			n;
};

static int
take(const struct sp_store_grant *row, void *arg)
{
	struct fetch *f = arg;
	struct sp_policy_grant *g = &f->g[f->n];

	if (f->n == FETCH_MAX)
		return 1;
	sp_strlcpy(f->text[f->n], row->accounts, sizeof(f->text[f->n]));
	*g = (struct sp_policy_grant){ .id = row->id, .deny = row->effect == SP_STORE_DENY, .accounts = f->text[f->n],
	    .protocols = (uint32_t)row->protocols, .valid_from_us = row->valid_from_us, .valid_until_us = row->valid_until_us,
	    .mfa_interval_s = row->mfa_interval_s };
	f->n++;
	return 0;
}

static double
decide(struct world *w, struct fetch *f, const struct sp_uuid *user, const struct sp_uuid *asset)
{
	struct sp_policy_decision d;
	struct sp_policy_input in = { .now_us = 1, .user_state = SP_POLICY_ACTIVE, .asset_state = SP_POLICY_ACTIVE, .account = "root",
	    .wanted = SP_POLICY_SHELL, .grant = f->g };
	double t = now_s();

	f->n = 0;
	must(w, sp_store_grants_for(w->fx.s, user, asset, take, f), "fetch");
	in.n = f->n;
	sp_policy_access(&in, &d, NULL, 0, NULL);
	t = now_s() - t;
	if (!d.allowed) {
		fprintf(stderr, "a granted access was refused\n");
		leave(w, 1);
	}
	return t * 1e6;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void
percentiles(double *us, size_t n, double *p50, double *p99)
{
	qsort(us, n, sizeof(*us), by_value);
	*p50 = us[n / 2];
	*p99 = us[n * 99 / 100];
}

static void
measure(struct world *w, struct result *r)
{
	double *us = need(w, SAMPLES, sizeof(*us));
	struct fetch *f = need(w, 1, sizeof(*f));
	size_t rows = 0;

	r->grants = w->grants;
	for (int i = 0; i < SAMPLES; i++) {
		size_t k = (size_t)pick(w, (int)w->direct_n);

		us[i] = decide(w, f, &w->user[w->direct[k].user], &w->asset[w->direct[k].asset]);
		rows += f->n;
	}
	r->direct_rows = (double)rows / SAMPLES;
	percentiles(us, SAMPLES, &r->direct_p50, &r->direct_p99);
	for (int i = 0; i < SAMPLES / 4; i++)
		us[i] = decide(w, f, &w->deep_user, &w->deep_asset);
	r->nested_rows = (double)f->n;
	percentiles(us, SAMPLES / 4, &r->nested_p50, &r->nested_p99);
	free(us);
	free(f);
}

static void
print_table(const char *driver, const struct result *r, int n)
{
	printf("access decision, %s: %d users, %d assets, microseconds\n", driver, USERS, ASSETS);
	printf("%10s %8s %12s %12s %6s %12s %12s %6s\n", "grants", "load s", "direct p50", "direct p99", "rows", "20x10 p50", "20x10 p99",
	    "rows");
	for (int i = 0; i < n; i++)
		printf("%10zu %8.1f %12.1f %12.1f %6.1f %12.1f %12.1f %6.0f\n", r[i].grants, r[i].load_s, r[i].direct_p50,
		    r[i].direct_p99, r[i].direct_rows, r[i].nested_p50, r[i].nested_p99, r[i].nested_rows);
}

static void
print_json(const char *driver, const struct result *r, int n)
{
	printf("{\"bench\":\"access\",\"driver\":\"%s\",\"users\":%d,\"assets\":%d,\"results\":[", driver, USERS, ASSETS);
	for (int i = 0; i < n; i++)
		printf("%s{\"grants\":%zu,\"load_s\":%.2f,\"direct_p50_us\":%.1f,\"direct_p99_us\":%.1f,\"direct_rows\":%.2f,"
		    "\"nested_p50_us\":%.1f,\"nested_p99_us\":%.1f,\"nested_rows\":%.0f}", i > 0 ? "," : "", r[i].grants, r[i].load_s,
		    r[i].direct_p50, r[i].direct_p99, r[i].direct_rows, r[i].nested_p50, r[i].nested_p99, r[i].nested_rows);
	printf("]}\n");
}

struct options {
	int		pg, json;
	unsigned	limit_s;
	size_t		max;
};

static int
parse(int argc, char **argv, struct options *o)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--pg") == 0)
			o->pg = 1;
		else if (strcmp(argv[i], "--json") == 0)
			o->json = 1;
		else if (strcmp(argv[i], "--grants") == 0 && i + 1 < argc)
			o->max = strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--limit") == 0 && i + 1 < argc)
			o->limit_s = (unsigned)strtoul(argv[++i], NULL, 10);
		else
			return fprintf(stderr, "usage: access [--pg] [--json] [--grants N] [--limit SECONDS]\n"), -1;
	return 0;
}

static void
listen_to_signals(unsigned limit_s)
{
	static const int sigs[] = { SIGINT, SIGTERM, SIGHUP, SIGALRM };
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	for (size_t i = 0; i < SP_NELEMS(sigs); i++)
		sigaction(sigs[i], &sa, NULL);
	alarm(limit_s);
}

static void
make_world(struct world *w, size_t max)
{
	w->seed = 7;
	w->user = need(w, USERS, sizeof(*w->user));
	w->asset = need(w, ASSETS, sizeof(*w->asset));
	w->direct = need(w, max + IN_GROUPS + CHUNK, sizeof(*w->direct));
	must(w, sp_store_begin(w->fx.s, SP_STORE_MAIN), "begin");
	make_groups(w);
	make_users(w);
	make_assets(w);
	nested_grants(w);
	must(w, sp_store_commit(w->fx.s), "commit");
}

int
main(int argc, char **argv)
{
	static const size_t steps[] = { 1000, 100000, 1000000 };
	struct result r[SP_NELEMS(steps)] = { 0 };
	struct world *w = calloc(1, sizeof(*w));
	struct options o = { .limit_s = LIMIT_S, .max = steps[SP_NELEMS(steps) - 1] };
	int n = 0;

	if (parse(argc, argv, &o) != 0)
		return 2;
	if (w == NULL)
		return 1;
	listen_to_signals(o.limit_s);
	if ((o.pg && fx_server_start(&w->server) != 0) || fx_open(&w->fx, o.pg ? &w->server : NULL) != 0)
		leave(w, stopped_by != 0 ? 128 + stopped_by : 1);
	must(w, sp_store_mac_set(w->fx.s, SP_STORE_MAC_ON, "a key of thirty-two bytes, no more"), "the row key");	/* as control has it */
	make_world(w, o.max);
	for (size_t i = 0; i < SP_NELEMS(steps) && steps[i] <= o.max; i++, n++) {
		double t = now_s();

		load_grants(w, steps[i]);
		r[i].load_s = now_s() - t;
		measure(w, &r[i]);
	}
	(o.json ? print_json : print_table)(o.pg ? "postgresql" : "sqlite", r, n);
	leave(w, 0);
}
