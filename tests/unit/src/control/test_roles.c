/* tests/unit/src/control/test_roles.c - every administration call, by every kind of caller: what is not listed here as
 * allowed must be refused. The real process; calls are made in the name of a user by the local root (as_user), and by an
 * account of the system that is bound to nobody.
 *
 * World: departments A and B; in each a user, group, asset, account, asset group and grant, named uA, gA, aA, root, hA,
 * rA. chief administers A; boss everything; bossA too, but he belongs to A. */
#include "harness.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum who { NOBODY, USER, AUDITOR, CHIEF_THERE, CHIEF_HERE, BOSS, WHO_N };
static const char *const who_login[] = { NULL, "uA", "watch", "chief", "chief", "boss" };
static const char *const who_text[] = { "an unknown account", "a user", "an auditor", "A's administrator in B",
	"A's administrator in A", "an administrator" };

#define N(w)	(1u << (w))
#define EVERY	(N(USER) | N(AUDITOR) | N(CHIEF_THERE) | N(CHIEF_HERE) | N(BOSS))
#define LOOK	(N(AUDITOR) | N(CHIEF_HERE) | N(BOSS))		/* things of a department */
#define LOOK_ANY (LOOK | N(CHIEF_THERE))			/* lists, which leave out what is elsewhere */
#define CHANGE	(N(CHIEF_HERE) | N(BOSS))
#define ALL	N(BOSS)
#define SELF	N(USER)			/* uA asks about himself */

/* @ stands for the department, A or B. In this order: what is deleted is not needed any more. */
static const struct {
	const char	*method;
	const char	*params;
	unsigned	 allowed;
} table[] = {
	{ "system.status", "{}", EVERY },
	{ "known_hosts", "{}", EVERY },
	{ "vault.status", "{}", EVERY },
	{ "doctor", "{}", LOOK_ANY },
	{ "audit.list", "{}", N(AUDITOR) | N(BOSS) },
	{ "evidence.status", "{}", LOOK_ANY },
	{ "evidence.head", "{}", LOOK_ANY },
	{ "rows.check", "{}", ALL },
	{ "rows.accept", "{'table':'users','id':'x'}", 0 },	/* root of the machine only */
	{ "rows.remove", "{'table':'users','id':'x'}", 0 },
	{ "settings.get", "{'key':'x'}", ALL },
	{ "settings.set", "{'key':'x','value':'1'}", ALL },
	{ "outbox.list", "{}", ALL },
	{ "outbox.status", "{}", ALL },
	{ "outbox.test", "{'to':'mail'}", ALL },
	{ "outbox.secret", "{'to':'mail','sealed':'c2VhbGVk'}", ALL },
	{ "breakglass.create", "{'login':'bg-@'}", ALL },
	{ "detection.install", "{}", ALL },
	{ "detection.add", "{'name':'x','text':'x'}", ALL },
	{ "detection.list", "{}", LOOK_ANY },
	{ "detection.show", "{'name':'row-tampered'}", LOOK_ANY },
	{ "detection.disable", "{'name':'row-tampered'}", ALL },
	{ "detection.enable", "{'name':'row-tampered'}", ALL },
	{ "detection.delete", "{'name':'row-tampered'}", ALL },
	{ "siem.status", "{}", LOOK_ANY },
	{ "alert.list", "{}", LOOK_ANY },
	{ "offense.list", "{}", LOOK_ANY },
	{ "offense.categories", "{}", LOOK_ANY },
	{ "offense.show", "{'id':'x'}", LOOK_ANY },
	{ "offense.assign", "{'id':'x'}", CHANGE | N(CHIEF_THERE) },
	{ "offense.note", "{'id':'x'}", CHANGE | N(CHIEF_THERE) },
	{ "offense.protect", "{'id':'x'}", CHANGE | N(CHIEF_THERE) },
	{ "offense.close", "{'id':'x'}", CHANGE | N(CHIEF_THERE) },
	{ "offense.allow", "{'id':'x'}", CHANGE | N(CHIEF_THERE) },
	{ "breakglass.seal", "{'login':'bg-@'}", ALL },
	{ "breakglass.list", "{}", LOOK_ANY },
	{ "backup.begin", "{}", 0 },		/* root of the machine only */
	{ "backup.end", "{}", 0 },
	{ "quarantine.status", "{}", LOOK_ANY },
	{ "quarantine.release", "{}", ALL },
	{ "evidence.cosign", "{}", LOOK_ANY },
	{ "evidence.witness.add", "{}", ALL },
	{ "evidence.witness.remove", "{}", ALL },
	{ "evidence.erase", "{'user':'x','reason':'x'}", 0 },	/* root of the machine only */
	{ "evidence.new_origin", "{}", ALL },
	{ "vault.init", "{}", 0 },		/* root of the machine only */
	{ "vault.unseal", "{'credential_sealed':'c2VhbGVk'}", ALL },
	{ "vault.seal", "{}", ALL },
	{ "vault.rotate", "{}", ALL },
	{ "vault.slot.add", "{'slot':'passphrase'}", ALL },
	{ "vault.slot.remove", "{'slot':'1'}", ALL },
	{ "vault.rekey", "{'slot':'passphrase'}", ALL },
	{ "ca.create", "{'name':'ca-@'}", ALL },
	{ "ca.list", "{}", N(CHIEF_THERE) | CHANGE },
	{ "ca.show", "{'name':'ca'}", N(CHIEF_THERE) | CHANGE },
	{ "department.create", "{'name':'new-@'}", ALL },
	{ "department.list", "{}", LOOK_ANY },
	{ "department.show", "{'name':'@'}", LOOK },
	{ "department.update", "{'name':'@','description':'x'}", CHANGE },
	{ "department.delete", "{'name':'new-@'}", ALL },
	{ "user.create", "{'login':'new-@','department':'@'}", CHANGE },
	{ "user.list", "{}", LOOK_ANY },
	{ "user.show", "{'login':'u@'}", LOOK | SELF },
	{ "user.update", "{'login':'u@','full_name':'X'}", CHANGE },
	{ "user.update", "{'login':'boss@','full_name':'X'}", ALL },
	{ "user.update", "{'login':'u@','os_uid':4321}", ALL },
	{ "user.password", "{'login':'u@','password_sealed':'c2VhbGVk'}", CHANGE | SELF },
	{ "user.password", "{'login':'boss@','password_sealed':'c2VhbGVk'}", ALL },
	{ "user.totp.enrol", "{'login':'u@','client_key':'eA=='}", CHANGE | SELF },
	{ "user.totp.enrol", "{'login':'boss@','client_key':'eA=='}", ALL },
	{ "user.totp.confirm", "{'login':'u@','code_sealed':'eA=='}", CHANGE | SELF },
	{ "user.totp.remove", "{'login':'u@'}", CHANGE | SELF },
	{ "user.totp.remove", "{'login':'boss@'}", ALL },
	{ "user.totp.show", "{'login':'u@'}", LOOK | SELF },
	{ "user.key.add", "{'login':'u@','key':'x'}", CHANGE | SELF },
	{ "user.key.add", "{'login':'boss@','key':'x'}", ALL },
	{ "user.key.remove", "{'login':'u@','fingerprint':'x'}", CHANGE | SELF },
	{ "user.key.list", "{'login':'u@'}", LOOK | SELF },
	{ "user.disable", "{'login':'boss@'}", ALL },
	{ "user.disable", "{'login':'new-@'}", CHANGE },
	{ "user.enable", "{'login':'new-@'}", CHANGE },
	{ "group.create", "{'name':'new-@','department':'@'}", CHANGE },
	{ "group.list", "{}", LOOK_ANY },
	{ "group.show", "{'name':'g@'}", LOOK },
	{ "group.member.add", "{'name':'g@','user':'u@'}", CHANGE },
	{ "group.member.remove", "{'name':'g@','user':'u@'}", CHANGE },
	{ "asset.create", "{'name':'new-@','address':'192.0.2.9','department':'@'}", CHANGE },
	{ "asset.list", "{}", LOOK_ANY },
	{ "asset.show", "{'name':'a@'}", LOOK },
	{ "asset.update", "{'name':'a@','remark':'x'}", CHANGE },
	/* o@ is owned by u@, p@ claimed by him */
	{ "asset.show", "{'name':'o@'}", LOOK | SELF },
	{ "asset.update", "{'name':'o@','remark':'x','tags':['t']}", CHANGE | SELF },
	{ "asset.update", "{'name':'o@','address':'192.0.2.7'}", CHANGE },
	{ "asset.update", "{'name':'o@','groups':['h@']}", CHANGE },
	{ "asset.update", "{'name':'p@','remark':'x'}", CHANGE },
	{ "access.who", "{'asset':'o@'}", LOOK | SELF },
	{ "asset.claim", "{'name':'claim-@','address':'192.0.2.33'}", EVERY },
	{ "asset.claims", "{}", EVERY },
	{ "asset.show", "{'name':'p@'}", LOOK | SELF },
	{ "asset.prove", "{'name':'p@'}", SELF },
	{ "asset.confirm", "{'name':'p@'}", CHANGE },
	{ "asset.reject", "{'name':'p@'}", CHANGE | SELF },
	{ "asset.hostkey.list", "{'name':'a@'}", LOOK },
	{ "asset.hostkey.set", "{'name':'a@','line':'x'}", CHANGE },
	{ "asset.hostkey.remove", "{'name':'a@'}", CHANGE },
	{ "asset_group.create", "{'name':'new-@','department':'@'}", CHANGE },
	{ "asset_group.create", "{'name':'child-@','parent':'h@'}", CHANGE },
	{ "asset_group.list", "{}", LOOK_ANY },
	{ "asset_group.member.add", "{'name':'h@','asset':'new-@'}", CHANGE },
	{ "asset_group.member.add", "{'name':'hA','asset':'a@'}", CHANGE },
	{ "asset_group.member.remove", "{'name':'h@','asset':'new-@'}", CHANGE },
	{ "rule_set.add", "{'name':'s-@'}", ALL },
	{ "rule_set.install", "{}", ALL },
	{ "rule_set.list", "{}", LOOK_ANY },
	{ "rule_set.show", "{'name':'s-@'}", LOOK_ANY },
	{ "rule_set.apply", "{'name':'s-@','user':'u@'}", ALL },
	{ "command_rule.add", "{'set':'s-@','name':'r','rule':'x'}", ALL },
	{ "command_rule.list", "{}", LOOK_ANY },
	{ "command_rule.show", "{'set':'s-@','name':'r'}", LOOK_ANY },
	{ "command_rule.update", "{'set':'s-@','name':'r','priority':7}", ALL },
	{ "command_rule.test", "{'user':'u@','asset':'a@','account':'root','command':'ls'}", ALL },
	{ "command_rule.delete", "{'set':'s-@','name':'r'}", ALL },
	{ "rule_set.unapply", "{'name':'s-@','user':'u@'}", ALL },
	{ "rule_set.delete", "{'name':'s-@'}", ALL },
	{ "grant.commands", "{'id':'r@','mode':'black'}", ALL },
	{ "zone.create", "{'name':'z-@'}", ALL },
	{ "zone.list", "{}", LOOK_ANY },
	{ "zone.show", "{'name':'z-@'}", LOOK_ANY },
	{ "zone.update", "{'name':'z-@','remark':'x'}", ALL },
	{ "zone.delete", "{'name':'z-@'}", ALL },
	{ "account.create", "{'asset':'a@','name':'new','kind':'typed'}", CHANGE },
	/* An authority that no account of the department uses yet is not its administrator's to bring in. */
	{ "account.create", "{'asset':'a@','name':'x','secret':{'kind':'ssh-ca','ca':'ca'}}", ALL },
	{ "account.create", "{'asset':'a@','name':'y','secret':{'kind':'ssh-ca','ca':'ca'}}", CHANGE },
	{ "account.list", "{}", LOOK_ANY },
	{ "account.list", "{'asset':'a@'}", LOOK },
	{ "account.show", "{'asset':'a@','name':'root'}", LOOK },
	{ "account.update", "{'asset':'a@','name':'new','login':'x'}", CHANGE },
	{ "secret.reveal", "{'asset':'a@','account':'root','client_key':'c2VhbGVk'}", CHANGE },	/* both have may_reveal */
	{ "grant.create", "{'name':'new-@','user':'u@','asset':'a@','accounts':'*'}", CHANGE },
	{ "grant.create", "{'user':'uA','asset_group':'h@','accounts':'*'}", CHANGE },
	{ "grant.create", "{'user':'u@','asset':'aA','accounts':'*'}", CHANGE },
	{ "grant.list", "{}", LOOK_ANY },
	{ "grant.list", "{'asset':'a@'}", LOOK },
	{ "grant.show", "{'id':'r@'}", LOOK },
	{ "access.explain", "{'user':'u@','asset':'a@','account':'root'}", LOOK | SELF },
	{ "access.who", "{'asset':'a@'}", LOOK },
	{ "session.list", "{}", EVERY },
	{ "command.search", "{}", EVERY },
	{ "command.search", "{'asset':'a@'}", LOOK | SELF },
	{ "file.search", "{}", EVERY },
	{ "file.search", "{'asset':'a@'}", LOOK | SELF },
	{ "session.show", "{'id':'S@'}", LOOK | SELF },
	{ "session.message", "{'id':'S@','text':'x'}", CHANGE },
	{ "session.watch", "{'id':'S@'}", LOOK },
	{ "recording.open", "{'id':'S@'}", LOOK },
	{ "recording.list", "{}", LOOK_ANY },
	{ "recording.list", "{'asset':'a@'}", LOOK },
	{ "recording.header", "{'id':'S@'}", LOOK },
	{ "recording.rewrap", "{'id':'S@','header':'eA=='}", LOOK },
	{ "recording.unwrap", "{'id':'S@','client_key':'eA=='}", LOOK },
	{ "recording.vault.list", "{}", LOOK_ANY },
	{ "recording.vault.set", "{'department':'@'}", ALL },
	{ "recording.vault.remove", "{'department':'@'}", ALL },
	{ "recording.policy.list", "{}", LOOK_ANY },
	{ "recording.policy.set", "{'department':'@','keep_s':86400}", ALL },
	{ "recording.policy.remove", "{'department':'@'}", ALL },
	{ "recording.retention", "{'dry_run':true}", ALL },
	{ "recording.hold", "{'id':'S@','reason':'why'}", ALL },
	{ "recording.release", "{'id':'S@'}", ALL },
	{ "recording.delete", "{'id':'S@','reason':'why'}", ALL },
	{ "auditor.key.add", "{'name':'k-@','recipient':'age1htmzqfp8njah4q3qwq98wq6t5ws8cs7l2n5ua524h04pc29u3ufs8dznr3'}", ALL },
	{ "auditor.key.list", "{}", LOOK_ANY },
	{ "auditor.key.remove", "{'name':'k-@'}", ALL },
	{ "session.kill", "{'id':'S@'}", CHANGE },
	{ "session.lock", "{'id':'S@'}", CHANGE },
	/* Rows are judged one by one, as single calls; what is staged belongs to the connection. */
	{ "import.begin", "{'kind':'assets'}", N(CHIEF_THERE) | CHANGE },
	{ "import.rows", "{'import':'x','page':0,'rows':[]}", N(CHIEF_THERE) | CHANGE },
	{ "import.secret", "{'import':'x','line':1,'kind':'password','sealed':'c2VhbGVk'}", N(CHIEF_THERE) | CHANGE },
	{ "import.abort", "{'import':'x'}", N(CHIEF_THERE) | CHANGE },
	{ "import.commit", "{'import':'x'}", N(CHIEF_THERE) | CHANGE },
	{ "sweep.commit", "{'import':'x'}", N(CHIEF_THERE) | CHANGE },
	{ "export.rows", "{'kind':'assets'}", N(CHIEF_THERE) | CHANGE },
	{ "grant.delete", "{'id':'new-@'}", CHANGE },
	{ "grant.delete", "{'id':'cross-@'}", CHANGE },	/* for uA, to an asset group */
	{ "account.delete", "{'asset':'a@','name':'new'}", CHANGE },
	{ "asset_group.delete", "{'name':'new-@'}", CHANGE },
	{ "asset.delete", "{'name':'new-@'}", CHANGE },
	{ "group.delete", "{'name':'new-@'}", CHANGE },
	{ "user.delete", "{'login':'boss@'}", ALL },
	{ "user.delete", "{'login':'new-@'}", CHANGE },
};
static const char *const methods[] = {
#define M(name, work, lane, loop, who, audit)	name,
#include "control/methods.def"
#undef M
};

struct world {
	struct rig	r;
	struct peer	stranger;	/* connected as an account of the system that is bound to nobody */
	char		session[2][SP_UUID_SIZE];
};

static void
must(struct rig *r, const char *method, const char *params)
{
	json_error_t e;
	json_t *p = json_loads(params, 0, &e);

	if (p == NULL)
		fail_msg("%s: %s", params, e.text);
	json_decref(call(r, method, p, NULL));
}

static void
world_department(struct rig *r, char d)
{
	static const struct { const char *method, *params; } make[] = {
		{ "department.create", "{\"name\":\"@\"}" },
		{ "user.create", "{\"login\":\"u@\",\"department\":\"@\"}" },
		{ "user.create", "{\"login\":\"boss@\",\"department\":\"@\",\"role\":\"admin\"}" },
		{ "group.create", "{\"name\":\"g@\",\"department\":\"@\"}" },
		{ "asset.create", "{\"name\":\"a@\",\"address\":\"192.0.2.1\",\"department\":\"@\"}" },
		{ "asset.create", "{\"name\":\"o@\",\"address\":\"192.0.2.2\",\"department\":\"@\",\"owner\":\"u@\"}" },
		{ "account.create", "{\"asset\":\"a@\",\"name\":\"root\",\"secret\":{\"kind\":\"password\",\"sealed\":\"c2VhbGVk\"}}" },
		{ "asset_group.create", "{\"name\":\"h@\",\"department\":\"@\"}" },
		{ "grant.create", "{\"name\":\"r@\",\"user\":\"u@\",\"asset\":\"a@\",\"accounts\":\"*\"}" },
	};

	char login[8], name[8], address[32];

	for (size_t i = 0; i < SP_NELEMS(make); i++) {
		char p[256];

		(void)sp_strlcpy(p, make[i].params, sizeof(p));
		for (char *at = p; (at = strchr(at, '@')) != NULL; )
			*at = d;
		must(r, make[i].method, p);
	}
	sp_snprintf(login, sizeof(login), "u%c", d);
	sp_snprintf(name, sizeof(name), "p%c", d);
	sp_snprintf(address, sizeof(address), "192.0.2.%d", 40 + d - 'A');
	r->as_user = login;
	json_decref(call(r, "asset.claim", json_pack("{s:s, s:s}", "name", name, "address", address), NULL));
	r->as_user = NULL;
}

static void
world_up(struct world *w)
{
	char path[128];
	struct rig *r = &w->r;

	rig_create(r);
	sp_snprintf(path, sizeof(path), "%s/control.sock", r->dir);
	assert_int_equal(chmod(path, 0666), 0);
	rig_start(r);
	world_department(r, 'A');
	world_department(r, 'B');
	must(r, "grant.create", "{\"name\":\"cross-A\",\"user\":\"uA\",\"asset_group\":\"hA\",\"accounts\":\"*\"}");
	must(r, "grant.create", "{\"name\":\"cross-B\",\"user\":\"uA\",\"asset_group\":\"hB\",\"accounts\":\"*\"}");
	/* In A the table itself makes these. */
	must(r, "user.create", "{\"login\":\"new-B\",\"department\":\"B\"}");
	must(r, "group.create", "{\"name\":\"new-B\",\"department\":\"B\"}");
	must(r, "asset.create", "{\"name\":\"new-B\",\"address\":\"192.0.2.8\",\"department\":\"B\"}");
	must(r, "asset_group.create", "{\"name\":\"new-B\",\"department\":\"B\"}");
	must(r, "grant.create", "{\"name\":\"new-B\",\"user\":\"uB\",\"asset\":\"new-B\",\"accounts\":\"*\"}");
	must(r, "account.create", "{\"asset\":\"aB\",\"name\":\"new\",\"kind\":\"typed\"}");
	must(r, "user.create", "{\"login\":\"watch\",\"role\":\"auditor\"}");
	must(r, "user.create", "{\"login\":\"boss\",\"role\":\"admin\"}");
	must(r, "user.create", "{\"login\":\"chief\",\"role\":\"admin\",\"department\":\"A\",\"role_department\":\"A\"}");
	must(r, "settings.set", "{\"key\":\"may_reveal.chief\",\"value\":\"yes\"}");
	must(r, "settings.set", "{\"key\":\"may_reveal.boss\",\"value\":\"yes\"}");
	must(r, "ca.create", "{\"name\":\"ca\"}");
}

/* One ended session in each department, as the log would have left it in the index. */
static void
world_sessions(struct world *w)
{
	for (int d = 0; d < 2; d++) {
		json_t *p = json_pack("{s:s}", "login", d == 0 ? "uA" : "uB"), *u = call(&w->r, "user.show", p, NULL), *a;

		a = call(&w->r, "asset.show", json_pack("{s:s}", "name", d == 0 ? "aA" : "aB"), NULL);
		rig_session(&w->r, json_string_value(json_object_get(u, "id")), json_string_value(json_object_get(a, "id")),
		    w->session[d]);
		json_decref(u);
		json_decref(a);
	}
}

static json_t *
params_for(const struct world *w, const char *template, char d)
{
	char p[512];
	size_t n = 0;
	json_t *j;

	for (const char *s = template; *s != '\0'; s++) {
		if (s[0] == 'S' && s[1] == '@') {
			n += (size_t)snprintf(p + n, sizeof(p) - n, "%s", w->session[d - 'A']);
			s++;
		} else {
			p[n++] = *s == '\'' ? '"' : *s == '@' ? d : *s;
		}
		assert_true(n < sizeof(p) - SP_UUID_SIZE);
	}
	p[n] = '\0';
	j = json_loads(p, 0, NULL);
	assert_non_null(j);
	return j;
}

static void
what_is_not_allowed_is_refused(void **state)
{
	struct world w = { 0 };
	int wrong = 0;

	(void)state;
	world_up(&w);
	rig_stop(&w.r, 0);
	rig_start(&w.r);
	world_sessions(&w);
	rig_connect_as(&w.r, &w.stranger, 65534);
	for (size_t i = 0; i < SP_NELEMS(table); i++)
		for (int who = 0; who < WHO_N; who++) {
			char d = who == CHIEF_THERE ? 'B' : 'A';
			json_t *p = params_for(&w, table[i].params, d);
			uint32_t err = 0;
			int allowed;

			w.r.as_user = who_login[who];
			json_decref(call_by(&w.r, who == NOBODY ? &w.stranger : &w.r.ctl, table[i].method, p, &err));
			allowed = err != SP_EACCES && err != SP_EDENIED;
			if (allowed != (int)((table[i].allowed >> who) & 1)) {
				fprintf(stderr, "%s %s by %s: %s (%s)\n", table[i].method, table[i].params, who_text[who],
				    allowed ? "allowed" : "refused", sp_err_text((enum sp_err)err));
				wrong++;
			}
		}
	w.r.as_user = NULL;
	assert_int_equal(wrong, 0);
	peer_close(&w.stranger);
	rig_down(&w.r);
}

static void
every_method_is_in_the_table(void **state)
{
	(void)state;
	for (size_t m = 0; m < SP_NELEMS(methods); m++) {
		int found = 0;

		for (size_t i = 0; i < SP_NELEMS(table); i++)
			found |= strcmp(table[i].method, methods[m]) == 0;
		if (!found)
			fail_msg("%s: who may call it?", methods[m]);
	}
}

/* What the lists of A's administrator show. */
static void
lists_leave_out_what_belongs_to_others(void **state)
{
	static const struct { const char *method; size_t n; } lists[] = {
		{ "user.list", 3 }, { "group.list", 1 }, { "asset.list", 3 }, { "asset_group.list", 1 }, { "account.list", 2 },
		{ "grant.list", 3 }, { "session.list", 1 }, { "asset.claims", 1 } };	/* cross-B is for a user of A: he may look */
	struct world w = { 0 };

	(void)state;
	world_up(&w);
	rig_stop(&w.r, 0);
	rig_start(&w.r);
	world_sessions(&w);
	w.r.as_user = "chief";
	for (size_t i = 0; i < SP_NELEMS(lists); i++) {
		json_t *rows = call(&w.r, lists[i].method, json_object(), NULL);

		if (json_array_size(rows) != lists[i].n)
			fail_msg("%s: %zu rows", lists[i].method, json_array_size(rows));
		json_decref(rows);
	}
	w.r.as_user = NULL;
	rig_down(&w.r);
}

static void
a_claimed_server_is_enabled_by_a_decision_on_the_claim_alone(void **state)
{
	struct world w = { 0 };
	uint32_t err;
	json_t *a;

	(void)state;
	world_up(&w);
	json_decref(call(&w.r, "asset.update", json_pack("{s:s, s:s}", "name", "pA", "state", "active"), &err));
	assert_int_equal(err, SP_ESTATE);
	must(&w.r, "asset.confirm", "{\"name\":\"pA\"}");
	a = call(&w.r, "asset.show", json_pack("{s:s}", "name", "pA"), NULL);
	assert_string_equal(json_string_value(json_object_get(a, "state")), "active");
	json_decref(a);
	must(&w.r, "asset.update", "{\"name\":\"pA\",\"state\":\"disabled\"}");
	must(&w.r, "asset.update", "{\"name\":\"pA\",\"state\":\"active\"}");
	rig_down(&w.r);
}

static void
nobody_raises_himself(void **state)
{
	struct world w = { 0 };
	uint32_t err;
	json_t *u;

	(void)state;
	world_up(&w);
	w.r.as_user = "chief";
	json_decref(call(&w.r, "user.update", json_pack("{s:s, s:s}", "login", "chief", "role_department", ""), &err));
	assert_int_equal(err, SP_EACCES);
	json_decref(call(&w.r, "user.update", json_pack("{s:s, s:s}", "login", "chief", "role_department", "B"), &err));
	assert_int_equal(err, SP_EACCES);
	/* Whom he makes an administrator administers A, no more. */
	json_decref(call(&w.r, "user.create", json_pack("{s:s, s:s}", "login", "second", "role", "admin"), NULL));
	w.r.as_user = "second";
	json_decref(call(&w.r, "asset.show", json_pack("{s:s}", "name", "aB"), &err));
	assert_int_equal(err, SP_EACCES);
	json_decref(call(&w.r, "asset.show", json_pack("{s:s}", "name", "aA"), NULL));
	w.r.as_user = "watch";
	json_decref(call(&w.r, "user.update", json_pack("{s:s, s:s}", "login", "watch", "role", "admin"), &err));
	assert_int_equal(err, SP_EACCES);
	w.r.as_user = NULL;
	u = call(&w.r, "user.show", json_pack("{s:s}", "login", "watch"), NULL);
	assert_string_equal(json_string_value(json_object_get(u, "role")), "auditor");
	json_decref(u);
	rig_down(&w.r);
}

/* The vault takes its time; an administrator who is disabled meanwhile has changed nothing. */
static void
a_call_that_waits_for_the_vault_ends_with_its_callers_role(void **state)
{
	char method[] = "user.password", as_user[] = "chief", params[] = "{\"login\":\"uA\",\"password_sealed\":\"AAAA\"}", hash[] = "$late$";
	Sallyport__CallAsk q = SALLYPORT__CALL_ASK__INIT;
	Sallyport__HashReply a = SALLYPORT__HASH_REPLY__INIT;
	Sallyport__CallReply *reply;
	struct world w = { 0 };
	uint32_t corr, asked;
	json_t *u;

	(void)state;
	world_up(&w);
	w.r.vault_plays = 0;
	q.method = method;
	q.as_user = as_user;
	q.params = (ProtobufCBinaryData){ strlen(params), (uint8_t *)params };
	corr = peer_send(&w.r.ctl, SP_MSG_CALL_ASK, 0, &q);
	(void)peer_wait(&w.r.vault, SP_MSG_HASH_PASSWORD, 0);
	asked = w.r.vault.last_corr;
	json_decref(call(&w.r, "user.disable", json_pack("{s:s}", "login", "chief"), NULL));
	a.hash = hash;
	(void)peer_send(&w.r.vault, SP_MSG_HASH_REPLY, asked, &a);
	reply = peer_wait(&w.r.ctl, SP_MSG_CALL_REPLY, corr);
	assert_int_equal(reply->err, SP_EACCES);
	u = call(&w.r, "user.show", json_pack("{s:s}", "login", "uA"), NULL);
	assert_true(json_is_false(json_object_get(u, "has_password")));
	json_decref(u);
	rig_down(&w.r);
}

/* Secrets of an import wait in memory: as many as are allowed, each as long as one may be, is more than they may take. */
static void
staged_secrets_are_bounded_in_bytes(void **state)
{
	static uint8_t envelope[16000];
	Sallyport__SecretReply a = SALLYPORT__SECRET_REPLY__INIT;
	Sallyport__CallAsk q = SALLYPORT__CALL_ASK__INIT;
	char method[] = "import.secret", params[160];
	const uint32_t fit = (64 << 20) / sizeof(envelope);
	struct world w = { 0 };
	uint32_t n = 0, err = 0;
	json_t *im;

	(void)state;
	world_up(&w);
	im = call(&w.r, "import.begin", json_pack("{s:s}", "kind", "accounts"), NULL);
	w.r.vault_plays = 0;
	a.envelope = (ProtobufCBinaryData){ sizeof(envelope), envelope };
	q.method = method;
	while (err == SP_OK && n <= fit) {
		uint32_t corr;

		(void)snprintf(params, sizeof(params), "{\"import\":\"%s\",\"line\":%u,\"kind\":\"password\",\"sealed\":\"AAAA\"}",
		    json_string_value(json_object_get(im, "import")), ++n);
		q.params = (ProtobufCBinaryData){ strlen(params), (uint8_t *)params };
		corr = peer_send(&w.r.ctl, SP_MSG_CALL_ASK, 0, &q);
		(void)peer_wait(&w.r.vault, SP_MSG_SECRET_PUT, 0);
		(void)peer_send(&w.r.vault, SP_MSG_SECRET_REPLY, w.r.vault.last_corr, &a);
		err = ((Sallyport__CallReply *)peer_wait(&w.r.ctl, SP_MSG_CALL_REPLY, corr))->err;
	}
	assert_int_equal(err, SP_ESIZE);
	assert_true(n <= fit && n > fit - 100);
	json_decref(im);
	rig_down(&w.r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_method_is_in_the_table),
		cmocka_unit_test(what_is_not_allowed_is_refused),
		cmocka_unit_test(lists_leave_out_what_belongs_to_others),
		cmocka_unit_test(a_claimed_server_is_enabled_by_a_decision_on_the_claim_alone),
		cmocka_unit_test(nobody_raises_himself),
		cmocka_unit_test(a_call_that_waits_for_the_vault_ends_with_its_callers_role),
		cmocka_unit_test(staged_secrets_are_bounded_in_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
