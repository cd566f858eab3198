/* Thousands of random changes to users, groups, assets, accounts and grants, made through lib/store; after each batch, through
 * another handle, as control's readers have one (what it keeps in memory must follow), and with row MACs, the decision about every user, asset and account, and every user's menu, are compared with what a model in memory says, which
 * shares no code with either: it walks the edges anew for each question.
 *	test_oracle [CHANGES [SEED]]	prints how many were compared and how many differed; the difference must be 0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../lib/store/fixture.h"
#include "control/judge.h"
#include "control/menu_list.h"

#define USERS	12
#define GROUPS	8
#define ASSETS	20
#define AGROUPS	10
#define ACCTS	3
#define GRANTS	60
#define BATCH	20
#define PROTOCOLS 4		/* bits that the model uses */

struct grant {
	int	alive, group, user, agroup, asset, deny;	/* group or agroup -1: user or asset */
	int	accounts;	/* bits; 0: all */
	uint32_t protocols;
	int64_t	from, until;
	struct sp_uuid id;
};
static struct {
	struct fx	 fx;
	struct sp_store	*reader;
	struct sp_store_user user[USERS];
	struct sp_store_group group[GROUPS];
	struct sp_store_asset asset[ASSETS];
	struct sp_store_asset_group agroup[AGROUPS];
	struct sp_store_account account[ASSETS][ACCTS];
	int		 user_in[USERS][GROUPS], group_in[GROUPS][GROUPS], asset_in[ASSETS][AGROUPS], agroup_up[AGROUPS];
	struct grant	 grant[GRANTS];
	int64_t		 now;
	uint64_t	 compared, differ;
	uint32_t	 seed;
} w;
static const char *const names[ACCTS] = { "root", "deploy", "app" };

static unsigned
pick(unsigned n)
{
	w.seed = w.seed * 1664525u + 1013904223u;
	return (w.seed >> 8) % n;
}

static void
must(enum sp_err r, const char *what)
{
	if (r == SP_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, sp_err_text(r), sp_store_detail(w.fx.s));
	exit(1);
}

/* ---- the model ---- */

static int
group_reaches(int from, int to, int depth)
{
	if (from == to)
		return 1;
	for (int g = 0; g < GROUPS && depth < GROUPS; g++)
		if (w.group_in[from][g] && group_reaches(g, to, depth + 1))
			return 1;
	return 0;
}

static int
user_reaches(int u, int to)
{
	for (int g = 0; g < GROUPS; g++)
		if (w.user_in[u][g] && group_reaches(g, to, 0))
			return 1;
	return 0;
}

static int
asset_reaches(int a, int to)
{
	for (int g = 0; g < AGROUPS; g++)
		for (int at = g, depth = 0; w.asset_in[a][g] && at >= 0 && depth < AGROUPS; at = w.agroup_up[at], depth++)
			if (at == to)
				return 1;
	return 0;
}

static uint32_t
model(int u, int a, int acct)
{
	uint32_t allow = 0, deny = 0;

	if (w.user[u].state != SP_STORE_ACTIVE || w.asset[a].state != SP_STORE_ACTIVE || w.account[a][acct].state != SP_STORE_ACTIVE)
		return 0;
	for (int i = 0; i < GRANTS; i++) {
		const struct grant *g = &w.grant[i];

		if (!g->alive || (g->from != 0 && w.now < g->from) || (g->until != 0 && w.now >= g->until) ||
		    (g->accounts != 0 && !(g->accounts >> acct & 1)) ||
		    !(g->group >= 0 ? user_reaches(u, g->group) : g->user == u) ||
		    !(g->agroup >= 0 ? asset_reaches(a, g->agroup) : g->asset == a))
			continue;
		*(g->deny ? &deny : &allow) |= g->protocols;
		if (!g->deny)		/* rule (5) of lib/policy/access.h */
			allow |= (g->protocols & SP_STORE_P_EXEC ? SP_STORE_P_SCP : 0) | (g->protocols & SP_STORE_P_SCP ? SP_STORE_P_SFTP : 0);
	}
	return allow & ~deny;
}

/* ---- changes ---- */

static void
change_grant(void)
{
	struct grant *g = &w.grant[pick(GRANTS)];
	struct sp_store_grant row = { .effect = SP_STORE_ALLOW, .mfa_interval_s = -1, .file_direction = 3, .record_mode = SP_STORE_RECORD_STRICT };

	if (g->alive) {
		must(sp_store_grant_delete(w.fx.s, &g->id, SP_STORE_ANY_VERSION), "grant delete");
		g->alive = 0;
		return;
	}
	*g = (struct grant){ .alive = 1, .group = pick(2) ? (int)pick(GROUPS) : -1, .user = (int)pick(USERS),
	    .agroup = pick(2) ? (int)pick(AGROUPS) : -1, .asset = (int)pick(ASSETS), .deny = pick(5) == 0,
	    .accounts = pick(2) ? 0 : 1 + (int)pick(7), .protocols = 1 + pick((1 << PROTOCOLS) - 1),
	    .from = pick(4) == 0 ? w.now + (int64_t)pick(20) * 10 - 100 : 0, .until = pick(4) == 0 ? w.now + (int64_t)pick(20) * 10 - 50 : 0 };
	if (g->from < 0 || g->until < 0 || (g->until != 0 && g->from >= g->until))
		g->from = g->until = 0;
	row.subject_kind = g->group >= 0 ? SP_STORE_SUBJECT_GROUP : SP_STORE_SUBJECT_USER;
	row.subject_id = g->group >= 0 ? w.group[g->group].id : w.user[g->user].id;
	row.object_kind = g->agroup >= 0 ? SP_STORE_OBJECT_ASSET_GROUP : SP_STORE_OBJECT_ASSET;
	row.object_id = g->agroup >= 0 ? w.agroup[g->agroup].id : w.asset[g->asset].id;
	row.effect = g->deny ? SP_STORE_DENY : SP_STORE_ALLOW;
	row.protocols = g->protocols;
	row.valid_from_us = g->from;
	row.valid_until_us = g->until;
	(void)sp_strlcpy(row.accounts, g->accounts == 0 ? "*" : "", sizeof(row.accounts));
	for (int i = 0; i < ACCTS; i++)
		if (g->accounts >> i & 1) {
			size_t n = strlen(row.accounts);

			(void)sp_snprintf(row.accounts + n, sizeof(row.accounts) - n, "%s%s", n > 0 ? "," : "", names[i]);
		}
	must(sp_store_grant_add(w.fx.s, &row), "grant add");
	g->id = row.id;
}

static void
change_member(int of_group)
{
	int g = (int)pick(GROUPS), k = (int)pick(of_group ? GROUPS : USERS), *edge = of_group ? &w.group_in[k][g] : &w.user_in[k][g];
	struct sp_store_member m = { .group_id = w.group[g].id, .member_id = of_group ? w.group[k].id : w.user[k].id,
	    .kind = of_group ? SP_STORE_SUBJECT_GROUP : SP_STORE_SUBJECT_USER };

	if (*edge) {
		must(sp_store_group_member_delete(w.fx.s, &m.group_id, &m.member_id), "member delete");
		*edge = 0;
	} else if (of_group && group_reaches(g, k, 0)) {	/* a circle must be refused */
		must(sp_store_group_member_add(w.fx.s, &m) == SP_EINVAL ? SP_OK : SP_ESTATE, "a circle of groups");
	} else {
		must(sp_store_group_member_add(w.fx.s, &m), "member add");
		*edge = 1;
	}
}

static void
change_place(void)
{
	int g = (int)pick(AGROUPS), a = (int)pick(ASSETS);
	struct sp_store_member m = { .group_id = w.agroup[g].id, .member_id = w.asset[a].id, .kind = SP_STORE_OBJECT_ASSET };

	if (w.asset_in[a][g])
		must(sp_store_asset_member_delete(w.fx.s, &m.group_id, &m.member_id), "place delete");
	else
		must(sp_store_asset_member_add(w.fx.s, &m), "place add");
	w.asset_in[a][g] = !w.asset_in[a][g];
}

static void
change_tree(void)
{
	int g = (int)pick(AGROUPS), up = (int)pick(AGROUPS + 1) - 1;
	struct sp_store_asset_group row = w.agroup[g];

	for (int at = up, depth = 0; at >= 0 && depth < AGROUPS; at = w.agroup_up[at], depth++)
		if (at == g)
			return;		/* below itself */
	row.parent_id = up >= 0 ? w.agroup[up].id : (struct sp_uuid){ { 0 } };
	must(sp_store_asset_group_update(w.fx.s, &row), "asset group update");
	w.agroup[g] = row;
	w.agroup_up[g] = up;
}

static void
change_state(void)
{
	int u = (int)pick(USERS), a = (int)pick(ASSETS), k = (int)pick(ACCTS);

	switch (pick(3)) {
	case 0:
		w.user[u].state = w.user[u].state == SP_STORE_ACTIVE ? SP_STORE_DISABLED : SP_STORE_ACTIVE;
		must(sp_store_user_update(w.fx.s, &w.user[u]), "user update");
		break;
	case 1:
		w.asset[a].state = w.asset[a].state == SP_STORE_ACTIVE ? SP_STORE_DISABLED : SP_STORE_ACTIVE;
		must(sp_store_asset_update(w.fx.s, &w.asset[a]), "asset update");
		break;
	default:
		w.account[a][k].state = w.account[a][k].state == SP_STORE_ACTIVE ? SP_STORE_DISABLED : SP_STORE_ACTIVE;
		must(sp_store_account_update(w.fx.s, &w.account[a][k]), "account update");
	}
}

static void
change(void)
{
	static void (*const seldom[])(void) = { change_place, change_tree, change_state };
	unsigned k = pick(8);

	if (k < 3)
		change_grant();
	else if (k < 5)
		change_member(k == 3);
	else
		seldom[k - 5]();
}

/* ---- the comparison ---- */

static void
differs(int u, int a, int k, const char *what)
{
	if (w.differ++ < 10)
		fprintf(stderr, "%s: user %d, asset %d, account %s: the model says %x\n", what, u, a, names[k], model(u, a, k));
}

static void
compare_decision(int u, int a, int k)
{
	struct judge_grants g = { 0 };
	struct sp_policy_decision d;
	struct sp_policy_input in;
	uint32_t got;

	must(judge_grants_load(w.reader, &w.user[u].id, &w.asset[a].id, &g), "grants");
	judge_input(&w.user[u], &w.asset[a], NULL, w.user[u].epoch, w.now, &g, &in);
	in.account = names[k];
	sp_policy_access(&in, &d, NULL, 0, NULL);
	got = d.allowed && w.account[a][k].state == SP_STORE_ACTIVE ? d.protocols : 0;
	w.compared++;
	if (got != model(u, a, k))
		differs(u, a, k, "decision");
	judge_grants_release(&g);
}

static void
compare_menu(int u)
{
	struct menu_list l = { 0 };
	int seen[ASSETS][ACCTS] = { { 0 } };

	must(menu_list_load(w.reader, &w.user[u], NULL, w.user[u].epoch, w.now, &l), "menu");
	for (size_t i = 0; i < l.n; i++)
		for (uint32_t j = 0; j < l.row[i].account_n; j++)
			for (int a = 0; a < ASSETS; a++)
				for (int k = 0; k < ACCTS; k++)
					seen[a][k] += strcmp(w.asset[a].name, menu_list_text(&l, l.row[i].name)) == 0 &&
					    strcmp(names[k], menu_list_text(&l, l.account[l.row[i].account + j])) == 0;
	for (int a = 0; a < ASSETS; a++)
		for (int k = 0; k < ACCTS; k++) {
			w.compared++;
			if (seen[a][k] != (model(u, a, k) != 0))
				differs(u, a, k, "menu");
		}
	menu_list_release(&l);
}

static void
world_make(void)
{
	static const char key[] = "a key of thirty-two bytes, no more";

	if (fx_open(&w.fx, NULL) != 0)
		exit(1);
	must(sp_store_open(w.fx.url, NULL, &w.reader), "second handle");
	must(sp_store_mac_set(w.fx.s, SP_STORE_MAC_ON, key), "key");
	must(sp_store_mac_set(w.reader, SP_STORE_MAC_ON, key), "key");
	must(sp_store_begin(w.fx.s, SP_STORE_MAIN), "begin");
	for (int i = 0; i < USERS; i++) {
		w.user[i] = (struct sp_store_user){ .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .epoch = 1, .os_uid = -1 };
		(void)sp_snprintf(w.user[i].login, sizeof(w.user[i].login), "u%d", i);
		must(sp_store_user_add(w.fx.s, &w.user[i]), "user");
	}
	for (int i = 0; i < GROUPS; i++) {
		(void)sp_snprintf(w.group[i].name, sizeof(w.group[i].name), "g%d", i);
		must(sp_store_group_add(w.fx.s, &w.group[i]), "group");
	}
	for (int i = 0; i < AGROUPS; i++) {
		(void)sp_snprintf(w.agroup[i].name, sizeof(w.agroup[i].name), "ag%d", i);
		must(sp_store_asset_group_add(w.fx.s, &w.agroup[i]), "asset group");
		w.agroup_up[i] = -1;
	}
	for (int i = 0; i < ASSETS; i++) {
		w.asset[i] = (struct sp_store_asset){ .port = 22, .state = SP_STORE_ACTIVE, .address = "10.0.0.1", .platform = "linux" };
		(void)sp_snprintf(w.asset[i].name, sizeof(w.asset[i].name), "a%d", i);
		must(sp_store_asset_add(w.fx.s, &w.asset[i]), "asset");
		for (int k = 0; k < ACCTS; k++) {
			w.account[i][k] = (struct sp_store_account){ .asset_id = w.asset[i].id, .kind = SP_STORE_ACCOUNT_TYPED,
			    .state = SP_STORE_ACTIVE };
			(void)sp_strlcpy(w.account[i][k].name, names[k], sizeof(w.account[i][k].name));
			must(sp_store_account_add(w.fx.s, &w.account[i][k]), "account");
		}
	}
	must(sp_store_commit(w.fx.s), "commit");
}

int
main(int argc, char **argv)
{
	long changes = argc > 1 ? strtol(argv[1], NULL, 10) : 2000;

	w.seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 1;
	w.now = 1000;
	world_make();
	for (long done = 0; done < changes; done += BATCH) {
		must(sp_store_begin(w.fx.s, SP_STORE_MAIN), "begin");
		for (int i = 0; i < BATCH; i++)
			change();
		must(sp_store_commit(w.fx.s), "commit");
		w.now += 10;
		for (int i = 0; i < 40; i++)
			compare_decision((int)pick(USERS), (int)pick(ASSETS), (int)pick(ACCTS));
		for (int u = 0; u < USERS; u++)
			compare_menu(u);
	}
	sp_store_close(w.reader);
	fx_close(&w.fx);
	printf("{\"changes\": %ld, \"compared\": %llu, \"difference\": %llu}\n", changes, (unsigned long long)w.compared,
	    (unsigned long long)w.differ);
	return w.differ == 0 && w.compared > 0 ? 0 : 1;
}
