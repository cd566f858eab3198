/* bench/commands.c - the search over commands (lib/store/command.c): one day of 1,000,000, top 50, on either store. Prints JSON.
 *	commands [--pg] [N]
 * 2,000 users and 5,000 assets in N/50 sessions, lines of 10 to 200 bytes, spread over 24 hours. Each query below runs RUNS times; its
 * figure is the slowest. Queries for what is rare, is at the very beginning or is nowhere read most. Writes are measured in
 * transactions of TX rows, as control's evidence lane makes them: the first and the last tenth, because an index that grows must not
 * make them slower. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../tests/unit/lib/store/fixture.h"
#include "base/clock.h"
#include "base/str.h"

#define USERS		2000
#define ASSETS		5000
#define PER_SESSION	50
#define RUNS		7
#define TX		500
#define DAY_US		(86400 * (int64_t)SP_US_PER_S)
#define BEGIN_US	((int64_t)1760000000 * (int64_t)SP_US_PER_S)

static struct sp_uuid user[USERS], asset[ASSETS];
static struct fx fx;
static struct fx_server server;

static void
must(enum sp_err r, const char *what)
{
	if (r == SP_OK)
		return;
	fprintf(stderr, "commands: %s: %s\n", what, sp_err_text(r));
	fx_close(&fx);
	fx_server_stop(&server);
	exit(1);
}

static struct sp_uuid
session(size_t n)
{
	struct sp_store_session x = { .state = SP_STORE_LIVE, .user_id = user[n * 7919 % USERS], .asset_id = asset[n * 104729 % ASSETS],
	    .user_login = "u", .asset_name = "a", .account = "root", .protocol = "ssh", .source = "192.0.2.7", .started_us = BEGIN_US };

	sp_uuid_make(&x.id);
	must(sp_store_session_put(fx.s, &x), "a session");
	return x.id;
}

static const char *
line(size_t i, char dst[256])
{
	static const char *const form[][2] = { { "systemctl restart unit-", "" }, { "cd /srv/app-", "/releases && ls -la" },
		{ "tail -n 200 /var/log/app/", ".log" }, { "git -C /srv/repo-", " log --oneline --graph --decorate --all | head -40" },
		{ "docker exec -it web-", " bash" }, { "vi /etc/app/", ".conf" }, { "ps aux | grep worker-", "" },
		{ "mysql -h db-", " -u report -e 'select count(*) from orders where state = 3 and created_at > now() - interval 1 day'" },
		{ "grep -rn 'timeout' /etc/service-", "/ | sort | uniq -c | sort -rn | head" }, { "kubectl -n prod logs pod-", "" } };
	size_t k = i * 31 % SP_NELEMS(form);

	if (i == 3)
		return "echo the-only-one-4711";
	if (i == 5 || i == 400000)
		return "mysql -e \"select * from \xe8\xb4\xa6\xe5\x8a\xa1\"";		/* two characters, twice in the day */
	if (i % 1000 == 17)
		sp_snprintf(dst, 256, "tar czf /backup/\xe5\xa4\x87\xe4\xbb\xbd-%zu.tgz /srv/\xe6\x95\xb0\xe6\x8d\xae", i);
	else
		sp_snprintf(dst, 256, "%s%zu%s", form[k][0], i * 2654435761u % 100000, form[k][1]);
	return dst;
}

/* Returns the rate of the first and of the last tenth. */
static void
fill(size_t n, double rate[2])
{
	struct sp_uuid id = { 0 };
	uint64_t t0 = sp_now_us(), tenth = 0, last = 0;
	char text[256];

	for (size_t i = 0; i < n; i++) {
		const char *p = line(i, text);
		struct sp_store_command c = { .channel = 1, .number = (int64_t)(i % PER_SESSION) + 1, .how = "screen", .certainty = SP_STORE_CERTAIN,
		    .at_us = BEGIN_US + (int64_t)((double)i / (double)n * (double)DAY_US), .place = "root@a", .text = p, .text_len = (uint32_t)strlen(p) };

		if (i % TX == 0)
			must(sp_store_begin(fx.s, SP_STORE_EVIDENCE), "begin");
		if (i % PER_SESSION == 0)
			id = session(i / PER_SESSION);
		c.session_id = id;
		must(sp_store_command_put(fx.s, &c), "a command");
		if (i % TX == TX - 1 || i == n - 1)
			must(sp_store_commit(fx.s), "commit");
		if (i == n / 10)
			tenth = sp_now_us() - t0;
		if (i == n - n / 10)
			last = sp_now_us();
	}
	rate[0] = (double)(n / 10) * 1e6 / (double)tenth;
	rate[1] = (double)(n / 10) * 1e6 / (double)(sp_now_us() - last);
}

static int
see(const struct sp_store_command *c, void *arg)
{
	(void)c;
	(*(unsigned *)arg)++;
	return 0;
}

struct query {
	const char	*name, *text;
	int		 user, asset;		/* 1: one of them */
	double		 from, until;		/* parts of the day; 0: any */
};
static const struct query queries[] = {
	{ "a common word", .text = "systemctl" },
	{ "a word that stands in one line, the oldest", .text = "only-one-4711" },
	{ "a word that stands nowhere", .text = "not there at all" },
	{ "two Chinese characters, in two lines", .text = "\xe8\xb4\xa6\xe5\x8a\xa1" },
	{ "two Chinese characters, in a thousand lines", .text = "\xe5\xa4\x87\xe4\xbb\xbd" },
	{ "two Chinese characters, nowhere", .text = "\xe5\xaf\x86\xe7\xa0\x81" },
	{ "one user", .user = 1 },
	{ "a common word of one user", .text = "systemctl", .user = 1 },
	{ "a rare word of one user", .text = "\xe5\xa4\x87\xe4\xbb\xbd", .user = 1 },
	{ "a common word on one asset", .text = "kubectl", .asset = 1 },
	{ "a common word of one user on one asset", .text = "git", .user = 1, .asset = 1 },
	{ "a quarter of an hour in the morning", .from = 0.25, .until = 0.26 },
	{ "a common word in it", .text = "docker", .from = 0.25, .until = 0.26 },
	{ "a word that is not in it", .text = "only-one-4711", .from = 0.25, .until = 0.26 },
	{ "one user in the morning", .user = 1, .until = 0.3 },
	{ "one asset in it", .asset = 1, .from = 0.25, .until = 0.26 },
};

static int
run(const struct query *k)
{
	struct sp_store_command_query q = { .text = k->text, .limit = 50 };
	uint64_t worst = 0;
	unsigned found = 0;

	if (k->user)
		q.user_id = user[42];
	if (k->asset)
		q.asset_id = asset[42];
	if (k->from > 0)
		q.since_us = BEGIN_US + (int64_t)(k->from * (double)DAY_US);
	if (k->until > 0)
		q.until_us = BEGIN_US + (int64_t)(k->until * (double)DAY_US);
	for (int i = 0; i < RUNS; i++) {
		uint64_t t0 = sp_now_us();

		found = 0;
		must(sp_store_command_search(fx.s, &q, see, &found), k->name);
		if (sp_now_us() - t0 > worst)
			worst = sp_now_us() - t0;
	}
	printf("{\"query\": \"%s\", \"found\": %u, \"worst_ms\": %.1f}", k->name, found, (double)worst / 1000);
	return 0;
}

int
main(int argc, char **argv)
{
	int pg = argc > 1 && strcmp(argv[1], "--pg") == 0;
	size_t n = argc > 1 + pg ? strtoul(argv[1 + pg], NULL, 10) : 1000000;
	double rate[2];

	if (n < 100 || (pg && fx_server_start(&server) != 0) || fx_open(&fx, pg ? &server : NULL) != 0) {
		fprintf(stderr, "commands [--pg] [N]: no store\n");
		return 1;
	}
	for (size_t i = 0; i < USERS; i++)
		sp_uuid_make(&user[i]);
	for (size_t i = 0; i < ASSETS; i++)
		sp_uuid_make(&asset[i]);
	fill(n, rate);
	printf("{\"store\": \"%s\", \"commands\": %zu, \"first_per_s\": %.0f, \"last_per_s\": %.0f, \"queries\": [", pg ? "postgresql" : "sqlite", n,
	    rate[0], rate[1]);
	for (size_t i = 0; i < SP_NELEMS(queries); i++) {
		printf(i == 0 ? "\n" : ",\n");
		(void)run(&queries[i]);
	}
	printf("\n]}\n");
	fx_close(&fx);
	if (pg)
		fx_server_stop(&server);
	return 0;
}
