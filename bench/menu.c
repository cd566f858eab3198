/* bench/menu.c - the menu of somebody with 10,000 servers, in a store of 3,000 users, 30,000 assets and 300,000 grants: from
 * opening the store (nothing cached in this process) to his whole list, to the first screen, and what each key costs.
 * Everything that control and the session do is in it, but for the messages between them.
 *	bench/menu [--json] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../tests/unit/lib/store/fixture.h"
#include "control/menu_list.h"
#include "session/menu.h"

#define USERS	3000
#define ASSETS	30000
#define GRANTS	300000
#define MINE	10000
#define CHUNK	10000
#define USERS_MEASURED 200

static struct fx fx;
static struct sp_store_user user[USERS];
static struct sp_uuid asset[ASSETS];
static unsigned seed = 1;

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
must(enum sp_err r, const char *what)
{
	if (r == SP_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, sp_err_text(r), fx.s != NULL ? sp_store_detail(fx.s) : "");
	fx_close(&fx);
	exit(1);
}

static int
by_value(const void *a, const void *b)
{
	return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double
percentile(double *v, size_t n, double p)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[(size_t)((double)(n - 1) * p)];
}

static unsigned
pick(unsigned n)
{
	return ((unsigned)rand_r(&seed) * 32768u + (unsigned)rand_r(&seed)) % n;
}

static struct sp_store_grant
grant(const struct sp_uuid *u, int64_t kind, const struct sp_uuid *object)
{
	return (struct sp_store_grant){ .subject_kind = SP_STORE_SUBJECT_USER, .subject_id = *u, .object_kind = kind, .object_id = *object,
	    .accounts = "*", .protocols = SP_STORE_P_SHELL | SP_STORE_P_EXEC, .effect = SP_STORE_ALLOW, .mfa_interval_s = -1,
	    .file_direction = 3, .record_mode = SP_STORE_RECORD_STRICT };
}

static void
make_grants(const struct sp_uuid *group)
{
	struct sp_store_grant *g = calloc(CHUNK, sizeof(*g)), mine;

	must(g != NULL ? SP_OK : SP_ENOMEM, "memory");
	for (int done = 0; done < GRANTS; done += CHUNK) {
		for (int i = 0; i < CHUNK; i++)
			g[i] = grant(&user[1 + pick(USERS - 1)].id, SP_STORE_OBJECT_ASSET, &asset[pick(ASSETS)]);
		must(sp_store_grant_add_many(fx.s, g, CHUNK, NULL), "grants");
	}
	mine = grant(&user[0].id, SP_STORE_OBJECT_ASSET_GROUP, group);
	must(sp_store_grant_add(fx.s, &mine), "grant");
	free(g);
}

static void
make_world(void)
{
	struct sp_store_asset_group group = { .name = "mine" };

	if (fx_open(&fx, NULL) != 0)
		exit(1);
	must(sp_store_begin(fx.s, SP_STORE_MAIN), "begin");
	must(sp_store_asset_group_add(fx.s, &group), "group");
	for (int i = 0; i < USERS; i++) {
		user[i] = (struct sp_store_user){ .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .epoch = 1, .os_uid = -1 };
		(void)sp_snprintf(user[i].login, sizeof(user[i].login), "user%d", i);
		must(sp_store_user_add(fx.s, &user[i]), "user");
	}
	for (int i = 0; i < ASSETS; i++) {
		struct sp_store_asset a = { .port = 22, .state = SP_STORE_ACTIVE, .platform = "linux" };
		struct sp_store_account c = { .name = "deploy", .kind = SP_STORE_ACCOUNT_TYPED, .state = SP_STORE_ACTIVE };
		struct sp_store_member m = { .group_id = group.id, .kind = SP_STORE_OBJECT_ASSET };

		(void)sp_snprintf(a.name, sizeof(a.name), "web-%05d.example.net", i);
		(void)sp_snprintf(a.address, sizeof(a.address), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		(void)sp_snprintf(a.remark, sizeof(a.remark), "application server %d, \xe6\x95\xb0\xe6\x8d\xae\xe5\xba\x93, rack %d", i, i % 40);
		must(sp_store_asset_add(fx.s, &a), "asset");
		asset[i] = m.member_id = c.asset_id = a.id;
		must(sp_store_account_add(fx.s, &c), "account");
		if (i % (ASSETS / MINE) == 0)
			must(sp_store_asset_member_add(fx.s, &m), "member");
	}
	must(sp_store_commit(fx.s), "commit");
	make_grants(&group.id);
}

/* A new connection to the store each time: no page of it is in this process's cache. */
static size_t
list(const struct sp_store_user *u, struct menu_list *l, double *ret_ms)
{
	struct sp_store *s = NULL;
	double from = now_ms();

	must(sp_store_open(fx.url, NULL, &s), "open");
	must(menu_list_load(s, u, NULL, 1, 1000, l), "list");
	*ret_ms = now_ms() - from;
	sp_store_close(s);
	return l->n;
}

static uint32_t asked;

static void
on_ask(void *arg, uint32_t ask, enum sp_menu_what what, const uint8_t *id, const char *text)
{
	asked = ask;
}

static void on_choose(void *arg, const char *account, const char *name) { }
static void on_quit(void *arg) { }

static void
give(struct sp_menu *m, const struct menu_list *l, size_t from, size_t to, struct sp_buf *out)
{
	for (size_t i = from; i < to; i++) {
		const char *account = menu_list_text(l, l->account[l->row[i].account]);
		struct sp_menu_row row = { .id = l->row[i].id.b, .name = menu_list_text(l, l->row[i].name),
		    .address = menu_list_text(l, l->row[i].address), .remark = menu_list_text(l, l->row[i].remark),
		    .accounts = &account, .n_accounts = 1 };

		must(sp_menu_row(m, asked, &row), "row");
	}
	must(sp_menu_reply(m, asked, (uint32_t)l->n, to < l->n, "", 0, out), "reply");
}

static size_t
type_keys(struct sp_menu *m, double *ms)
{
	static const char *const words[] = { "web-00", "rack 17", "10.0.3", "\xe6\x95\xb0\xe6\x8d\xae", "zzzz", "server 299", "e", "application 9 rack" };
	struct sp_buf out;
	size_t n = 0;

	sp_buf_init(&out, SP_MENU_OUT_MAX);
	for (size_t w = 0; w < SP_NELEMS(words); w++) {
		for (const char *k = words[w]; *k != '\0'; k++) {
			double from = now_ms();

			must(sp_menu_input(m, k, 1, &out), "key");
			ms[n++] = now_ms() - from;
			sp_buf_reset(&out);
		}
		for (size_t i = strlen(words[w]); i > 0; i--) {	/* and back: each takes away what the filter had */
			double from = now_ms();

			must(sp_menu_input(m, "\177", 1, &out), "key");
			ms[n++] = now_ms() - from;
			sp_buf_reset(&out);
		}
	}
	sp_buf_release(&out);
	return n;
}

int
main(int argc, char **argv)
{
	static const struct sp_menu_ops ops = { on_ask, on_choose, on_quit };
	double one[USERS_MEASURED], mine, screen, whole, key[1024], from;
	struct menu_list l = { 0 };
	struct sp_menu *m = NULL;
	struct sp_buf out;
	size_t n, keys;

	(void)argv;
	make_world();
	for (int i = 0; i < USERS_MEASURED; i++) {
		struct menu_list k = { 0 };

		if (list(&user[1 + i], &k, &one[i]) == 0)
			must(SP_ENOENT, "a user without servers");
		menu_list_release(&k);
	}
	from = now_ms();
	n = list(&user[0], &l, &mine);
	sp_buf_init(&out, SP_MENU_OUT_MAX);
	must(sp_menu_new(&ops, NULL, "sallyport", 80, 24, &m), "menu");
	sp_menu_terminal(m, "xterm", 0);
	must(sp_menu_start(m, NULL, &out), "start");
	give(m, &l, 0, 64, &out);
	screen = now_ms() - from;
	give(m, &l, 64, n, &out);
	whole = now_ms() - from;
	keys = type_keys(m, key);
	printf(argc > 1 ? "{\"servers\": %zu, \"list_p50_ms\": %.2f, \"list_p99_ms\": %.2f, \"list_of_10000_ms\": %.2f, \"first_screen_ms\": %.2f, "
	    "\"whole_list_ms\": %.2f, \"key_p50_ms\": %.3f, \"key_p99_ms\": %.3f, \"keys\": %zu}\n" :
	    "%zu servers\nlist of one of 3,000 users, store just opened: p50 %.2f ms, p99 %.2f ms\nlist of 10,000 servers: %.2f ms\n"
	    "first screen: %.2f ms, whole list in the session: %.2f ms\neach key: p50 %.3f ms, p99 %.3f ms (%zu keys)\n",
	    n, percentile(one, USERS_MEASURED, 0.5), percentile(one, USERS_MEASURED, 0.99), mine, screen, whole,
	    percentile(key, keys, 0.5), percentile(key, keys, 0.99), keys);
	sp_menu_free(m);
	sp_buf_release(&out);
	menu_list_release(&l);
	fx_close(&fx);
	return n == MINE ? 0 : 1;
}
