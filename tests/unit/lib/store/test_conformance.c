/* tests/unit/lib/store/test_conformance.c - what store.h promises, asked of both drivers. The whole list runs once with
 * SQLite and once with a PostgreSQL that this program starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>

#include "fixture.h"

static struct fx_server server;

#define ok(e) assert_ok((e), #e, s, __LINE__)
static void
assert_ok(enum sp_err e, const char *what, struct sp_store *s, int line)
{
	if (e != SP_OK)
		fail_msg("line %d: %s: %s (%s)", line, what, sp_err_name(e), sp_store_detail(s));
}

static struct sp_store *
store_of(void **state)
{
	return ((struct fx *)*state)->s;
}

/* ---- rows that pass every bound ---- */

static struct sp_store_user
a_user(const char *login)
{
	struct sp_store_user u = { .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };

	sp_strlcpy(u.login, login, sizeof(u.login));
	return u;
}

static struct sp_store_asset
an_asset(const char *name, const char *address)
{
	struct sp_store_asset a = { .port = 22, .state = SP_STORE_ACTIVE };

	sp_strlcpy(a.name, name, sizeof(a.name));
	sp_strlcpy(a.address, address, sizeof(a.address));
	return a;
}

static struct sp_store_grant
a_grant(int64_t sk, const struct sp_uuid *subject, int64_t ok_, const struct sp_uuid *object)
{
	struct sp_store_grant g = { .subject_kind = sk, .subject_id = *subject, .object_kind = ok_, .object_id = *object,
	    .accounts = "*", .protocols = SP_STORE_P_SHELL, .effect = SP_STORE_ALLOW, .record_mode = SP_STORE_RECORD_STRICT };

	return g;
}

static struct sp_uuid
add_user(struct sp_store *s, const char *login)
{
	struct sp_store_user u = a_user(login);

	ok(sp_store_user_add(s, &u));
	return u.id;
}

static struct sp_uuid
add_asset(struct sp_store *s, const char *name)
{
	struct sp_store_asset a = an_asset(name, "192.0.2.1");

	ok(sp_store_asset_add(s, &a));
	return a.id;
}

static struct sp_uuid
add_group(struct sp_store *s, const char *name)
{
	struct sp_store_group g = { 0 };

	sp_strlcpy(g.name, name, sizeof(g.name));
	ok(sp_store_group_add(s, &g));
	return g.id;
}

static struct sp_uuid
add_asset_group(struct sp_store *s, const char *name, const struct sp_uuid *parent)
{
	struct sp_store_asset_group g = { 0 };

	sp_strlcpy(g.name, name, sizeof(g.name));
	if (parent != NULL)
		g.parent_id = *parent;
	ok(sp_store_asset_group_add(s, &g));
	return g.id;
}

static enum sp_err
join(struct sp_store *s, const struct sp_uuid *group, const struct sp_uuid *member, int64_t kind)
{
	struct sp_store_member m = { .group_id = *group, .member_id = *member, .kind = kind };

	return sp_store_group_member_add(s, &m);
}

static enum sp_err
put_in(struct sp_store *s, const struct sp_uuid *group, const struct sp_uuid *asset)
{
	struct sp_store_member m = { .group_id = *group, .member_id = *asset, .kind = SP_STORE_OBJECT_ASSET };

	return sp_store_asset_member_add(s, &m);
}

static struct sp_uuid
add_grant(struct sp_store *s, int64_t sk, const struct sp_uuid *subject, int64_t obk, const struct sp_uuid *object)
{
	struct sp_store_grant g = a_grant(sk, subject, obk, object);

	ok(sp_store_grant_add(s, &g));
	return g.id;
}

/* ---- collectors ---- */

struct seen {
	int		n;
	struct sp_uuid	id[64];
	char		text[1024];	/* names, each followed by a blank */
};

static void
see(struct seen *c, const struct sp_uuid *id, const char *name)
{
	size_t at = strlen(c->text);

	if (c->n < 64)
		c->id[c->n] = *id;
	c->n++;
	sp_snprintf(c->text + at, sizeof(c->text) - at, "%s ", name);
}

static int see_user(const struct sp_store_user *r, void *arg) { see(arg, &r->id, r->login); return 0; }
static int see_group(const struct sp_store_group *r, void *arg) { see(arg, &r->id, r->name); return 0; }
static int see_asset_group(const struct sp_store_asset_group *r, void *arg) { see(arg, &r->id, r->name); return 0; }
static int see_grant(const struct sp_store_grant *r, void *arg) { see(arg, &r->id, r->name); return 0; }
static int see_account(const struct sp_store_account *r, void *arg) { see(arg, &r->id, r->name); return 0; }
static int see_session(const struct sp_store_session *r, void *arg) { see(arg, &r->id, r->account); return 0; }
static int see_member(const struct sp_store_member *r, void *arg) { see(arg, &r->member_id, r->kind == 1 ? "leaf" : "group"); return 0; }
static int see_id(const struct sp_uuid *id, void *arg) { see(arg, id, ""); return 0; }
static int see_one(const struct sp_store_user *r, void *arg) { see(arg, &r->id, r->login); return 1; }

static int
grants_n(struct sp_store *s, const struct sp_uuid *user, const struct sp_uuid *asset)
{
	struct seen c = { 0 };

	ok(sp_store_grants_for(s, user, asset, see_grant, &c));
	return c.n;
}

static const char *
groups_text(struct sp_store *s, const struct sp_uuid *user, struct seen *c)
{
	*c = (struct seen){ 0 };
	ok(sp_store_groups_of_user(s, user, see_group, c));
	return c->text;
}

static const char *
asset_groups_text(struct sp_store *s, const struct sp_uuid *asset, struct seen *c)
{
	*c = (struct seen){ 0 };
	ok(sp_store_groups_of_asset(s, asset, see_asset_group, c));
	return c->text;
}

/* ---- rows ---- */

static void
every_member_of_a_user_comes_back_as_it_was_stored(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_department d = { .name = "研发部", .description = "two\nlines" };
	struct sp_store_user u = { .role = SP_STORE_ROLE_ADMIN, .state = SP_STORE_ACTIVE, .valid_from_us = 5, .valid_until_us = INT64_MAX,
	    .epoch = 7, .must_change_password = 1, .os_uid = 0, .login = "wang.wei", .full_name = "王伟", .email = "w@example.org",
	    .password_hash = "$argon2id$v=19$x", .mac = { .len = 3, .b = { 0, 1, 2 } } }, got = { .epoch = 99 };

	ok(sp_store_department_add(s, &d));
	u.department_id = u.role_department_id = d.id;
	ok(sp_store_user_add(s, &u));
	assert_false(sp_uuid_is_null(&u.id));
	assert_int_equal(u.version, 1);
	ok(sp_store_user_get(s, &u.id, &got));
	assert_memory_equal(&u, &got, sizeof(u));
	memset(&got, 0, sizeof(got));
	ok(sp_store_user_by_login(s, "wang.wei", &got));
	assert_memory_equal(&u, &got, sizeof(u));
	memset(&got, 0, sizeof(got));
	ok(sp_store_user_by_os_uid(s, 0, &got));
	assert_memory_equal(&u, &got, sizeof(u));
}

static void
every_member_of_a_grant_comes_back_as_it_was_stored(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid user = add_user(s, "u"), asset = add_asset(s, "a");
	struct sp_store_grant g = a_grant(SP_STORE_SUBJECT_USER, &user, SP_STORE_OBJECT_ASSET, &asset), got;

	sp_strlcpy(g.accounts, "root,deploy", sizeof(g.accounts));
	sp_strlcpy(g.hours, "mon-fri 08:00-18:00", sizeof(g.hours));
	sp_strlcpy(g.sources, "10.0.0.0/8", sizeof(g.sources));
	sp_strlcpy(g.forwards, "*.db:5432", sizeof(g.forwards));
	sp_strlcpy(g.name, "night shift", sizeof(g.name));
	sp_strlcpy(g.remark, "a\tb", sizeof(g.remark));
	g.protocols = SP_STORE_P_ALL;
	g.valid_from_us = 1, g.valid_until_us = 2, g.mfa_interval_s = -1, g.idle_s = 3, g.max_session_s = 4, g.concurrent_max = 5;
	g.reason_required = 1, g.agent_kinds = 3, g.file_direction = 2, g.record_mode = SP_STORE_RECORD_BEST_EFFORT;
	g.created_by = user;
	ok(sp_store_grant_add(s, &g));
	ok(sp_store_grant_get(s, &g.id, &got));
	assert_memory_equal(&g, &got, sizeof(g));
}

static int
take_host_key(const struct sp_store_host_key *k, void *arg)
{
	*(struct sp_store_host_key *)arg = *k;
	return 0;
}

static void
keys_secrets_accounts_and_host_keys_come_back_as_they_were_stored(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid user = add_user(s, "u"), asset = add_asset(s, "a");
	struct sp_store_user_key k = { .user_id = user, .type = "ssh-ed25519", .fingerprint = "SHA256:x", .state = SP_STORE_ACTIVE }, k2;
	struct sp_store_secret *x = calloc(2, sizeof(*x));
	struct sp_store_account a = { .asset_id = asset, .name = "root", .login = "root", .kind = SP_STORE_ACCOUNT_STORED, .state = SP_STORE_ACTIVE }, a2;
	struct sp_store_host_key h = { .asset_id = asset, .type = "ssh-rsa", .state = SP_STORE_ACTIVE, .pinned_by = "first use by u" }, h2;

	assert_non_null(x);
	k.blob.len = sizeof(k.blob.b);
	memset(k.blob.b, 0xa5, sizeof(k.blob.b));
	for (size_t i = 0; i < sizeof(k.blob.b); i++)
		k.blob.b[i] = (uint8_t)(i * 7919 >> 3);	/* not compressible: PostgreSQL's index must hold it */
	ok(sp_store_user_key_add(s, &k));
	ok(sp_store_user_key_by_blob(s, k.blob.b, k.blob.len, &k2));
	assert_memory_equal(&k, &k2, sizeof(k));
	x->kind = SP_STORE_SECRET_SSH_KEY, x->secret_version = 2, x->term = 3, x->rotated_us = 4;
	x->ciphertext.len = SP_STORE_SECRET_MAX;
	memset(x->ciphertext.b, 0, SP_STORE_SECRET_MAX);	/* NUL bytes are bytes */
	ok(sp_store_secret_add(s, &x[0]));
	ok(sp_store_secret_get(s, &x[0].id, &x[1]));
	assert_memory_equal(&x[0], &x[1], sizeof(*x));
	a.secret_id = x->id;
	(void)sp_strlcpy(a.principals, "root.web1,ops", sizeof(a.principals));
	ok(sp_store_account_add(s, &a));
	ok(sp_store_account_by_name(s, &asset, "root", &a2));
	assert_memory_equal(&a, &a2, sizeof(a));
	h.blob = k.blob;
	ok(sp_store_host_key_add(s, &h));
	ok(sp_store_host_key_get(s, &h.id, &h2));
	assert_memory_equal(&h, &h2, sizeof(h));
	memset(&h2, 0, sizeof(h2));
	ok(sp_store_host_keys_by_blob(s, h.blob.b, h.blob.len, take_host_key, &h2));
	assert_memory_equal(&h, &h2, sizeof(h));
	assert_int_equal(sp_store_secret_delete(s, &x->id, 1), SP_ESTATE);	/* the account uses it */
	ok(sp_store_account_delete(s, &a.id, 1));
	assert_int_equal(sp_store_secret_delete(s, &x->id, 1), SP_ENOENT);	/* it went with its account */
	free(x);
}

static int
count_claims(const struct sp_store_asset_claim *cl, void *arg)
{
	(void)cl;
	++*(int *)arg;
	return 0;
}

static void
a_claim_comes_back_as_it_was_stored_and_goes_with_its_asset(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid user = add_user(s, "u"), other = add_user(s, "v"), asset = add_asset(s, "a"), none = add_asset(s, "b");
	struct sp_store_asset_claim c = { .id = asset, .user_id = user, .group_id = other, .token_hash = "abc", .expires_us = 7 }, got;
	struct sp_store_query q = { .of = user };
	int n = 0;

	ok(sp_store_asset_claim_add(s, &c));
	ok(sp_store_asset_claim_get(s, &asset, &got));
	assert_memory_equal(&c, &got, sizeof(c));
	assert_int_equal(sp_store_asset_claim_add(s, &(struct sp_store_asset_claim){ .id = asset, .user_id = other, .token_hash = "x" }), SP_EEXIST);
	assert_int_equal(sp_store_asset_claim_get(s, &none, &got), SP_ENOENT);
	ok(sp_store_asset_claim_list(s, &q, count_claims, &n));
	assert_int_equal(n, 1);
	q.of = other;
	ok(sp_store_asset_claim_list(s, &q, count_claims, &n));
	assert_int_equal(n, 1);
	ok(sp_store_asset_delete(s, &asset, 1));
	assert_int_equal(sp_store_asset_claim_get(s, &asset, &got), SP_ENOENT);
}

static int count_rules(const struct sp_store_command_rule *r, void *arg) { (void)r; ++*(int *)arg; return 0; }
static int count_uses(const struct sp_store_rule_use *u, void *arg) { (void)u; ++*(int *)arg; return 0; }

static void
command_rules_come_back_and_go_with_their_set_and_modes_with_their_grant(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid user = add_user(s, "u"), asset = add_asset(s, "a"), grant = add_grant(s, SP_STORE_SUBJECT_USER, &user, SP_STORE_OBJECT_ASSET, &asset);
	struct sp_store_rule_set set = { .name = "set", .remark = "what for" }, set_got;
	struct sp_store_command_rule r = { .name = "su", .priority = 1, .action = 4, .state = SP_STORE_RULE_SHADOW, .expires_us = 9, .message = "no",
	    .text = "title: x\ndetection:\n\t..." }, r_got;
	struct sp_store_rule_use u = { .kind = SP_STORE_USE_EVERYONE, .object_id = sp_store_everyone }, u_got;
	struct sp_store_grant_commands g = { .id = grant, .mode = 2, .refuse_uncertain = 1 }, g_got;
	struct sp_store_query q = { 0 };
	int n = 0;

	ok(sp_store_rule_set_add(s, &set));
	r.set_id = u.set_id = set.id;
	ok(sp_store_command_rule_add(s, &r));
	ok(sp_store_rule_use_add(s, &u));
	ok(sp_store_grant_commands_add(s, &g));
	ok(sp_store_rule_set_by_name(s, "set", &set_got));
	assert_memory_equal(&set, &set_got, sizeof(set));
	ok(sp_store_command_rule_get(s, &r.id, &r_got));
	assert_memory_equal(&r, &r_got, sizeof(r));
	ok(sp_store_rule_use_get(s, &u.id, &u_got));
	assert_memory_equal(&u, &u_got, sizeof(u));
	ok(sp_store_grant_commands_get(s, &grant, &g_got));
	assert_memory_equal(&g, &g_got, sizeof(g));
	r_got.id = (struct sp_uuid){ 0 };
	assert_int_equal(sp_store_command_rule_add(s, &r_got), SP_EEXIST);		/* a name twice in a set */
	u_got.id = (struct sp_uuid){ 0 };
	assert_int_equal(sp_store_rule_use_add(s, &u_got), SP_EEXIST);
	q.of = sp_store_everyone;
	ok(sp_store_rule_use_list(s, &q, count_uses, &n));
	assert_int_equal(n, 1);
	r.priority = 101;
	assert_int_equal(sp_store_command_rule_update(s, &r), SP_EINVAL);
	ok(sp_store_rule_set_delete(s, &set.id, set.version));
	q.of = set.id;
	n = 0;
	ok(sp_store_command_rule_list(s, &q, count_rules, &n));
	ok(sp_store_rule_use_list(s, &q, count_uses, &n));
	assert_int_equal(n, 0);
	ok(sp_store_grant_delete(s, &grant, 1));
	assert_int_equal(sp_store_grant_commands_get(s, &grant, &g_got), SP_ENOENT);
}

struct ids {
	struct sp_uuid	id[64];
	int		n, stop_at;
};

static int
take_id(const struct sp_uuid *id, void *arg)
{
	struct ids *t = arg;

	t->id[t->n++] = *id;
	return t->n == t->stop_at;
}

static int
take_secret_name(const struct sp_store_secret *x, void *arg)
{
	char *text = arg;

	(void)sp_strlcpy(text + strlen(text), x->name, 16);
	return 0;
}

static void
secrets_are_found_by_kind_and_name_and_by_the_age_of_their_key(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_secret *x = calloc(1, sizeof(*x));
	struct sp_uuid none = { 0 }, ca;
	struct ids t = { 0 };
	char names[64] = "";

	assert_non_null(x);
	for (int i = 0; i < 20; i++) {
		memset(x, 0, sizeof(*x));
		x->kind = i % 10 == 0 ? SP_STORE_SECRET_SSH_CA : SP_STORE_SECRET_PASSWORD;
		x->term = i % 4;
		/* "19", "18" ...: the order of names is not that of ids */
		sp_snprintf(x->name, sizeof(x->name), "%d", 19 - i);
		ok(sp_store_secret_add(s, x));
		if (i == 10)
			ca = x->id;
	}
	ok(sp_store_secret_by_name(s, SP_STORE_SECRET_SSH_CA, "9", x));
	assert_true(sp_uuid_equal(&x->id, &ca));
	assert_int_equal(sp_store_secret_by_name(s, SP_STORE_SECRET_SSH_CA, "8", x), SP_ENOENT);	/* a password's name */
	ok(sp_store_secrets_of_kind(s, SP_STORE_SECRET_SSH_CA, take_secret_name, names));
	assert_string_equal(names, "199");
	/* Pages of two, with a row deleted in front of the next page: nothing is skipped, nothing comes twice. */
	for (int before = -1; before != t.n; ) {
		before = t.n;
		ok(sp_store_secrets_below_term(s, 3, t.n > 0 ? &t.id[t.n - 1] : &none, 2, take_id, &t));
		if (t.n == 4)
			ok(sp_store_secret_delete(s, &t.id[0], SP_STORE_ANY_VERSION));
	}
	assert_int_equal(t.n, 15);
	for (int i = 1; i < t.n; i++)
		assert_true(memcmp(t.id[i - 1].b, t.id[i].b, SP_UUID_LEN) < 0);
	t = (struct ids){ .stop_at = 1 };
	ok(sp_store_secrets_below_term(s, 1, &none, 0, take_id, &t));
	assert_int_equal(t.n, 1);
	t = (struct ids){ 0 };
	ok(sp_store_secrets_below_term(s, 0, &none, 0, take_id, &t));
	assert_int_equal(t.n, 0);
	free(x);
}

static void
a_taken_name_is_eexist_and_changes_nothing(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = a_user("dup");
	struct seen c = { 0 };

	add_user(s, "dup");
	assert_int_equal(sp_store_user_add(s, &u), SP_EEXIST);
	assert_true(sp_uuid_is_null(&u.id));
	assert_int_equal(u.version, 0);
	ok(sp_store_user_list(s, NULL, see_user, &c));
	assert_string_equal(c.text, "dup ");
	add_asset(s, "a");
	assert_int_equal(sp_store_asset_add(s, &(struct sp_store_asset){ .name = "a", .address = "x", .port = 1, .state = 1 }), SP_EEXIST);
}

static void
an_update_with_an_old_version_is_a_conflict_and_changes_nothing(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = a_user("u"), other, got;

	ok(sp_store_user_add(s, &u));
	other = u;
	sp_strlcpy(u.full_name, "first", sizeof(u.full_name));
	ok(sp_store_user_update(s, &u));
	assert_int_equal(u.version, 2);
	assert_true(u.updated_us > u.created_us);
	sp_strlcpy(other.full_name, "second", sizeof(other.full_name));
	assert_int_equal(sp_store_user_update(s, &other), SP_ECONFLICT);
	assert_int_equal(other.version, 1);
	ok(sp_store_user_get(s, &u.id, &got));
	assert_memory_equal(&u, &got, sizeof(u));
	assert_int_equal(sp_store_user_delete(s, &u.id, 1), SP_ECONFLICT);
	ok(sp_store_user_delete(s, &u.id, 2));
	assert_int_equal(sp_store_user_update(s, &u), SP_ENOENT);
	assert_int_equal(sp_store_user_delete(s, &u.id, SP_STORE_ANY_VERSION), SP_ENOENT);
	memset(&got, 7, sizeof(got));
	assert_int_equal(sp_store_user_get(s, &u.id, &got), SP_ENOENT);
	assert_int_equal(((uint8_t *)&got)[100], 7);	/* untouched */
}

static void
rows_out_of_bounds_are_refused_before_the_database_sees_them(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = a_user("x");
	struct sp_store_asset a = an_asset("a", "h");
	struct sp_uuid user = add_user(s, "u"), asset = add_asset(s, "as");
	struct sp_store_grant g = a_grant(SP_STORE_SUBJECT_USER, &user, SP_STORE_OBJECT_ASSET, &asset);
	static const char *const bad_names[] = { "", "a/b", "../x", "a@b", "-x", ".x", "a\nb", "\x1b[31m", "\xff\xfe", "a,b", "*", " a" };

	for (size_t i = 0; i < SP_NELEMS(bad_names); i++) {
		u = a_user(bad_names[i]);
		assert_int_equal(sp_store_user_add(s, &u), SP_EINVAL);
	}
	memset(u.login, 'a', sizeof(u.login));		/* no NUL at all */
	assert_int_equal(sp_store_user_add(s, &u), SP_EINVAL);
	u = a_user("x"), u.role = 0;
	assert_int_equal(sp_store_user_add(s, &u), SP_EINVAL);
	u = a_user("x"), u.valid_from_us = 10, u.valid_until_us = 10;
	assert_int_equal(sp_store_user_add(s, &u), SP_EINVAL);
	u = a_user("x"), u.mac.len = SP_STORE_MAC_MAX + 1;
	assert_int_equal(sp_store_user_add(s, &u), SP_EINVAL);
	a.port = 65536;
	assert_int_equal(sp_store_asset_add(s, &a), SP_EINVAL);
	a.port = 22;
	sp_strlcpy(a.remark, "hostile \x1b]0;x\x07", sizeof(a.remark));
	assert_int_equal(sp_store_asset_add(s, &a), SP_EINVAL);
	g.protocols = 0;
	assert_int_equal(sp_store_grant_add(s, &g), SP_EINVAL);
	g.protocols = SP_STORE_P_ALL + 1;
	assert_int_equal(sp_store_grant_add(s, &g), SP_EINVAL);
	g.protocols = 1, g.accounts[0] = 0;
	assert_int_equal(sp_store_grant_add(s, &g), SP_EINVAL);
}

static void
naming_a_row_that_is_not_there_is_enoent(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid user = add_user(s, "u"), asset = add_asset(s, "a"), nobody;
	struct sp_store_user u = a_user("v");
	struct sp_store_grant g = a_grant(SP_STORE_SUBJECT_USER, &user, SP_STORE_OBJECT_ASSET, &asset);
	struct sp_store_user_key k = { .type = "t", .fingerprint = "f", .state = 1, .blob = { .len = 1 } };
	struct sp_store_asset_group ag = { .name = "ag" };

	sp_uuid_make(&nobody);
	u.department_id = nobody;
	assert_int_equal(sp_store_user_add(s, &u), SP_ENOENT);
	g.subject_id = nobody;
	assert_int_equal(sp_store_grant_add(s, &g), SP_ENOENT);
	g.subject_id = user, g.subject_kind = SP_STORE_SUBJECT_GROUP;	/* the id of a user is not a group's */
	assert_int_equal(sp_store_grant_add(s, &g), SP_ENOENT);
	k.user_id = nobody;
	assert_int_equal(sp_store_user_key_add(s, &k), SP_ENOENT);
	ag.parent_id = nobody;
	assert_int_equal(sp_store_asset_group_add(s, &ag), SP_ENOENT);
	assert_int_equal(join(s, &nobody, &user, SP_STORE_SUBJECT_USER), SP_ENOENT);
	assert_int_equal(put_in(s, &nobody, &asset), SP_ENOENT);
	assert_int_equal(sp_store_tag_set(s, &nobody, "k", "v"), SP_ENOENT);
}

static void
lists_filter_by_text_department_and_parent_in_pages_and_order(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_department d = { .name = "ops" };
	struct sp_store_user u;
	struct seen c = { 0 };
	struct sp_uuid asset = add_asset(s, "host");
	static const char *const logins[] = { "bob", "Alice", "carol", "100%_x" };
	struct sp_store_department below = { .name = "below" };

	ok(sp_store_department_add(s, &d));
	for (size_t i = 0; i < SP_NELEMS(logins); i++) {
		u = a_user(logins[i] + 0);
		if (strchr(logins[i], '%') != NULL)
			sp_strlcpy(u.login, "percent", sizeof(u.login)), sp_strlcpy(u.full_name, logins[i], sizeof(u.full_name));
		if (i == 0)
			u.department_id = d.id, sp_strlcpy(u.full_name, "张三 Builder", sizeof(u.full_name));
		ok(sp_store_user_add(s, &u));
	}
	ok(sp_store_user_list(s, NULL, see_user, &c));
	assert_string_equal(c.text, "Alice bob carol percent ");	/* by bytes, in both */
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .limit = 2, .offset = 1 }, see_user, &c));
	assert_string_equal(c.text, "bob carol ");
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .text = " BUILD 三" }, see_user, &c));
	assert_string_equal(c.text, "bob ");
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .text = "0%_" }, see_user, &c));	/* no wildcards */
	assert_string_equal(c.text, "percent ");
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .text = "a_i" }, see_user, &c));
	assert_int_equal(c.n, 0);
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .department_id = d.id }, see_user, &c));
	assert_string_equal(c.text, "bob ");
	below.parent_id = d.id;
	ok(sp_store_department_add(s, &below));
	u = a_user("dora");
	u.department_id = below.id;
	ok(sp_store_user_add(s, &u));
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .department_id = d.id }, see_user, &c));
	assert_string_equal(c.text, "bob dora ");
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, &(struct sp_store_query){ .department_id = below.id }, see_user, &c));
	assert_string_equal(c.text, "dora ");
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, NULL, see_one, &c));		/* a callback can stop */
	assert_int_equal(c.n, 1);
	for (int i = 0; i < 3; i++) {
		struct sp_store_account a = { .asset_id = asset, .kind = SP_STORE_ACCOUNT_SAME, .state = SP_STORE_ACTIVE };

		sp_snprintf(a.name, sizeof(a.name), "acc%d", 2 - i);
		ok(sp_store_account_add(s, &a));
	}
	c = (struct seen){ 0 };
	ok(sp_store_account_list(s, &(struct sp_store_query){ .of = asset }, see_account, &c));
	assert_string_equal(c.text, "acc0 acc1 acc2 ");
	assert_int_equal(sp_store_user_list(s, &(struct sp_store_query){ .of = asset }, see_user, &c), SP_EINVAL);
	assert_int_equal(sp_store_user_list(s, &(struct sp_store_query){ .text = "a b c d e f g h i" }, see_user, &c), SP_EINVAL);
}

static int
look_up_each(const struct sp_store_user *row, void *arg)
{
	struct sp_store *s = arg;
	struct sp_store_user again;
	struct seen c = { 0 };

	ok(sp_store_user_get(s, &row->id, &again));
	assert_string_equal(again.login, row->login);
	ok(sp_store_user_list(s, NULL, see_user, &c));		/* even the very same statement */
	assert_int_equal(c.n, 3);
	return 0;
}

static void
a_callback_may_read_through_the_same_handle(void **state)
{
	struct sp_store *s = store_of(state);

	add_user(s, "a");
	add_user(s, "b");
	add_user(s, "c");
	ok(sp_store_user_list(s, NULL, look_up_each, s));
}

static void
an_address_finds_its_asset_unless_it_is_shared(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_asset a = an_asset("a", "Web1.Example.org"), b = an_asset("b", "web1.example.ORG"), got;

	ok(sp_store_asset_add(s, &a));
	ok(sp_store_asset_by_address(s, "web1.example.org", 0, &got));
	assert_string_equal(got.name, "a");
	b.port = 2222;
	ok(sp_store_asset_add(s, &b));
	assert_int_equal(sp_store_asset_by_address(s, "web1.example.org", 0, &got), SP_ECONFLICT);
	ok(sp_store_asset_by_address(s, "web1.example.org", 2222, &got));
	assert_string_equal(got.name, "b");
	assert_int_equal(sp_store_asset_by_address(s, "web2.example.org", 0, &got), SP_ENOENT);
	ok(sp_store_asset_by_name(s, "a", &got));
	assert_int_equal(sp_store_asset_by_name(s, "A", &got), SP_ENOENT);
}

static void
the_last_login_and_a_totp_step_do_not_touch_the_version(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = a_user("u"), got;
	struct sp_store_totp t = { .confirmed = 1 };

	ok(sp_store_user_add(s, &u));
	ok(sp_store_user_seen(s, &u.id, 77));
	ok(sp_store_user_get(s, &u.id, &got));
	assert_int_equal(got.last_login_us, 77);
	assert_int_equal(got.version, 1);
	ok(sp_store_user_update(s, &u));		/* with the old last_login_us in hand */
	ok(sp_store_user_get(s, &u.id, &got));
	assert_int_equal(got.last_login_us, 77);
	assert_int_equal(sp_store_totp_step(s, &u.id, 5), SP_ENOENT);
	t.id = u.id;
	ok(sp_store_totp_add(s, &t));
	ok(sp_store_totp_step(s, &u.id, 5));
	assert_int_equal(sp_store_totp_step(s, &u.id, 5), SP_EDENIED);
	assert_int_equal(sp_store_totp_step(s, &u.id, 4), SP_EDENIED);
	ok(sp_store_totp_step(s, &u.id, 6));
}

static void
the_canonical_form_tells_any_two_rows_apart(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = a_user("u"), v;
	struct sp_buf a, b;

	sp_buf_init(&a, 65536);
	sp_buf_init(&b, 65536);
	ok(sp_store_user_add(s, &u));
	v = u;
	ok(sp_store_user_canonical(&u, &a));
	v.mac.len = 4, v.last_login_us = 9, v.updated_us++;
	ok(sp_store_user_canonical(&v, &b));
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	v.role = SP_STORE_ROLE_ADMIN;
	sp_buf_reset(&b);
	ok(sp_store_user_canonical(&v, &b));
	assert_memory_not_equal(a.p, b.p, a.len);
	/* "ab" + "" and "a" + "b" differ */
	v = u, sp_strlcpy(v.full_name, "ab", sizeof(v.full_name));
	sp_buf_reset(&a);
	ok(sp_store_user_canonical(&v, &a));
	sp_strlcpy(v.full_name, "a", sizeof(v.full_name)), sp_strlcpy(v.email, "b", sizeof(v.email));
	sp_buf_reset(&b);
	ok(sp_store_user_canonical(&v, &b));
	assert_int_equal(a.len, b.len);
	assert_memory_not_equal(a.p, b.p, a.len);
	sp_buf_release(&a);
	sp_buf_release(&b);
}

/* ---- membership ---- */

static void
membership_reaches_through_groups_and_leaves_with_its_last_path(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u = add_user(s, "u"), v = add_user(s, "v"), low = add_group(s, "low"), left = add_group(s, "left"),
	    right = add_group(s, "right"), top = add_group(s, "top");
	struct seen c;

	ok(join(s, &low, &u, SP_STORE_SUBJECT_USER));
	ok(join(s, &low, &v, SP_STORE_SUBJECT_USER));
	ok(join(s, &left, &low, SP_STORE_SUBJECT_GROUP));
	ok(join(s, &top, &left, SP_STORE_SUBJECT_GROUP));
	ok(join(s, &top, &right, SP_STORE_SUBJECT_GROUP));
	assert_string_equal(groups_text(s, &u, &c), "left low top ");
	ok(join(s, &right, &low, SP_STORE_SUBJECT_GROUP));		/* a second path to top */
	assert_string_equal(groups_text(s, &v, &c), "left low right top ");
	ok(sp_store_group_member_delete(s, &left, &low));
	assert_string_equal(groups_text(s, &u, &c), "low right top ");
	ok(join(s, &top, &u, SP_STORE_SUBJECT_USER));		/* directly too */
	ok(sp_store_group_member_delete(s, &right, &low));
	assert_string_equal(groups_text(s, &u, &c), "low top ");
	assert_string_equal(groups_text(s, &v, &c), "low ");
	assert_int_equal(sp_store_group_member_delete(s, &right, &low), SP_ENOENT);
	assert_int_equal(join(s, &low, &u, SP_STORE_SUBJECT_USER), SP_EEXIST);
	c = (struct seen){ 0 };
	ok(sp_store_group_members(s, &top, see_member, &c));
	assert_string_equal(c.text, "leaf group group ");
	c = (struct seen){ 0 };
	ok(sp_store_users_of_group(s, &low, see_id, &c));
	assert_int_equal(c.n, 2);
}

static void
a_circle_of_groups_is_refused(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid a = add_group(s, "a"), b = add_group(s, "b"), c = add_group(s, "c");
	struct sp_store_asset_group top = { .name = "t" }, low = { .name = "l" };
	struct sp_store_department d = { .name = "d" }, e = { .name = "e" };

	assert_int_equal(join(s, &a, &a, SP_STORE_SUBJECT_GROUP), SP_EINVAL);
	ok(join(s, &a, &b, SP_STORE_SUBJECT_GROUP));
	ok(join(s, &b, &c, SP_STORE_SUBJECT_GROUP));
	assert_int_equal(join(s, &c, &a, SP_STORE_SUBJECT_GROUP), SP_EINVAL);
	ok(sp_store_asset_group_add(s, &top));
	low.parent_id = top.id;
	ok(sp_store_asset_group_add(s, &low));
	top.parent_id = low.id;
	assert_int_equal(sp_store_asset_group_update(s, &top), SP_EINVAL);
	top.parent_id = top.id;
	assert_int_equal(sp_store_asset_group_update(s, &top), SP_EINVAL);
	ok(sp_store_department_add(s, &d));
	e.parent_id = d.id;
	ok(sp_store_department_add(s, &e));
	d.parent_id = e.id;
	assert_int_equal(sp_store_department_update(s, &d), SP_EINVAL);
}

static void
groups_nest_to_the_stated_depth_and_not_deeper(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid g[SP_STORE_DEPTH_MAX + 1];
	struct sp_uuid u = add_user(s, "u");
	struct seen c;
	char name[16];

	for (int i = 0; i <= SP_STORE_DEPTH_MAX; i++) {
		sp_snprintf(name, sizeof(name), "g%02d", i);
		g[i] = add_group(s, name);
		if (i > 0 && i < SP_STORE_DEPTH_MAX)
			ok(join(s, &g[i - 1], &g[i], SP_STORE_SUBJECT_GROUP));
	}
	assert_int_equal(join(s, &g[SP_STORE_DEPTH_MAX - 1], &g[SP_STORE_DEPTH_MAX], SP_STORE_SUBJECT_GROUP), SP_EINVAL);
	assert_int_equal(join(s, &g[SP_STORE_DEPTH_MAX], &g[0], SP_STORE_SUBJECT_GROUP), SP_EINVAL);
	ok(join(s, &g[SP_STORE_DEPTH_MAX - 2], &u, SP_STORE_SUBJECT_USER));
	groups_text(s, &u, &c);
	assert_int_equal(c.n, SP_STORE_DEPTH_MAX - 1);
}

static void
moving_an_asset_group_moves_what_is_below_it(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid x = add_asset_group(s, "x", NULL), y = add_asset_group(s, "y", NULL), a = add_asset(s, "a"), kid_id;
	struct sp_store_asset_group mid = { .name = "mid", .parent_id = x };
	struct seen c;

	ok(sp_store_asset_group_add(s, &mid));
	kid_id = add_asset_group(s, "kid", &mid.id);
	ok(put_in(s, &kid_id, &a));
	assert_string_equal(asset_groups_text(s, &a, &c), "kid mid x ");
	mid.parent_id = y;
	ok(sp_store_asset_group_update(s, &mid));
	assert_string_equal(asset_groups_text(s, &a, &c), "kid mid y ");
	mid.parent_id = (struct sp_uuid){ 0 };
	ok(sp_store_asset_group_update(s, &mid));
	assert_string_equal(asset_groups_text(s, &a, &c), "kid mid ");
	mid.version = 1;
	mid.parent_id = x;
	assert_int_equal(sp_store_asset_group_update(s, &mid), SP_ECONFLICT);	/* and the tree is as before */
	assert_string_equal(asset_groups_text(s, &a, &c), "kid mid ");
	assert_int_equal(sp_store_asset_group_delete(s, &mid.id, SP_STORE_ANY_VERSION), SP_ESTATE);	/* kid is below */
	assert_int_equal(sp_store_asset_member_delete(s, &mid.id, &kid_id), SP_ENOENT);	/* not an asset's membership */
	c = (struct seen){ 0 };
	ok(sp_store_assets_of_group(s, &mid.id, see_id, &c));
	assert_int_equal(c.n, 1);
	assert_true(sp_uuid_equal(&c.id[0], &a));
	ok(sp_store_asset_member_delete(s, &kid_id, &a));
	assert_string_equal(asset_groups_text(s, &a, &c), "");
	ok(sp_store_asset_group_delete(s, &kid_id, SP_STORE_ANY_VERSION));
	ok(sp_store_asset_group_delete(s, &mid.id, SP_STORE_ANY_VERSION));
}

static void
deleting_takes_along_what_is_promised(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u = add_user(s, "u"), w = add_user(s, "w"), a = add_asset(s, "a"), g = add_group(s, "g"), up = add_group(s, "up"),
	    ag = add_asset_group(s, "ag", NULL), grant[4];
	struct sp_store_user_key k = { .user_id = u, .type = "t", .fingerprint = "f", .state = 1, .blob = { .len = 1 } };
	struct sp_store_grant got;
	struct sp_store_asset as;
	struct seen c;

	ok(sp_store_user_key_add(s, &k));
	ok(join(s, &g, &u, SP_STORE_SUBJECT_USER));
	ok(join(s, &g, &w, SP_STORE_SUBJECT_USER));
	ok(join(s, &up, &g, SP_STORE_SUBJECT_GROUP));
	ok(put_in(s, &ag, &a));
	grant[0] = add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &a);
	grant[1] = add_grant(s, SP_STORE_SUBJECT_GROUP, &g, SP_STORE_OBJECT_ASSET_GROUP, &ag);
	grant[2] = add_grant(s, SP_STORE_SUBJECT_GROUP, &up, SP_STORE_OBJECT_ASSET, &a);
	grant[3] = add_grant(s, SP_STORE_SUBJECT_USER, &w, SP_STORE_OBJECT_ASSET_GROUP, &ag);
	assert_int_equal(grants_n(s, &u, &a), 3);
	ok(sp_store_user_delete(s, &u, SP_STORE_ANY_VERSION));
	assert_int_equal(sp_store_user_key_get(s, &k.id, &k), SP_ENOENT);
	assert_int_equal(sp_store_grant_get(s, &grant[0], &got), SP_ENOENT);
	assert_int_equal(grants_n(s, &u, &a), 0);
	assert_int_equal(grants_n(s, &w, &a), 3);
	ok(sp_store_group_delete(s, &g, 1));
	assert_int_equal(sp_store_grant_get(s, &grant[1], &got), SP_ENOENT);
	assert_string_equal(groups_text(s, &w, &c), "");		/* up was reached through g only */
	assert_int_equal(grants_n(s, &w, &a), 1);
	ok(sp_store_grant_get(s, &grant[2], &got));
	ok(sp_store_asset_group_delete(s, &ag, 1));
	assert_int_equal(sp_store_grant_get(s, &grant[3], &got), SP_ENOENT);
	ok(sp_store_asset_get(s, &a, &as));
	as.owner_id = w;
	ok(sp_store_asset_update(s, &as));
	assert_int_equal(sp_store_user_delete(s, &w, SP_STORE_ANY_VERSION), SP_ESTATE);	/* owns an asset */
	ok(sp_store_asset_delete(s, &a, as.version));
	assert_int_equal(sp_store_grant_get(s, &grant[2], &got), SP_ENOENT);
	ok(sp_store_user_delete(s, &w, SP_STORE_ANY_VERSION));
}

static void
a_login_that_differs_only_in_case_is_refused(void **state)
{
	struct fx *f = *state;
	struct sp_store *s = f->s;
	struct sp_store_user a = a_user("alice"), b = a_user("Alice"), c = a_user("bob"), got;

	ok(sp_store_user_add(s, &a));
	assert_int_equal(sp_store_user_add(s, &b), SP_EEXIST);
	ok(sp_store_user_add(s, &c));
	sp_strlcpy(c.login, "ALICE", sizeof(c.login));
	assert_int_equal(sp_store_user_update(s, &c), SP_EEXIST);
	sp_strlcpy(a.login, "aLICE", sizeof(a.login));		/* his own, written otherwise */
	ok(sp_store_user_update(s, &a));
	ok(sp_store_user_by_login_any_case(s, "ALICE", &got));
	assert_true(sp_uuid_equal(&got.id, &a.id));
	assert_int_equal(sp_store_user_by_login(s, "ALICE", &got), SP_ENOENT);
	assert_int_equal(sp_store_user_by_login_any_case(s, "carol", &got), SP_ENOENT);
	/* Two that are there from before: each keeps working, and can be changed. */
	assert_int_equal(fx_sql(f, "UPDATE users SET login = 'Alice' WHERE login = 'bob'"), 0);
	ok(sp_store_user_by_login(s, "Alice", &c));
	sp_strlcpy(c.full_name, "The other", sizeof(c.full_name));
	ok(sp_store_user_update(s, &c));
	ok(sp_store_user_by_login_any_case(s, "Alice", &got));
	assert_true(sp_uuid_equal(&got.id, &c.id));
	assert_int_equal(sp_store_user_by_login_any_case(s, "alice", &got), SP_ECONFLICT);
}

static struct sp_uuid
add_secret(struct sp_store *s, int64_t kind, const char *name)
{
	struct sp_store_secret *k = calloc(1, sizeof(*k));
	struct sp_uuid id;

	assert_non_null(k);
	k->kind = kind;
	sp_strlcpy(k->name, name, sizeof(k->name));
	ok(sp_store_secret_add(s, k));
	id = k->id;
	free(k);
	return id;
}

static struct sp_store_account
account_with(struct sp_store *s, const struct sp_uuid *asset, const char *name, const struct sp_uuid *secret)
{
	struct sp_store_account a = { .asset_id = *asset, .kind = SP_STORE_ACCOUNT_STORED, .state = SP_STORE_ACTIVE, .secret_id = *secret };

	sp_strlcpy(a.name, name, sizeof(a.name));
	sp_strlcpy(a.login, name, sizeof(a.login));
	ok(sp_store_account_add(s, &a));
	return a;
}

static int
secret_is_there(struct sp_store *s, const struct sp_uuid *id)
{
	struct sp_store_secret *k = malloc(sizeof(*k));
	enum sp_err r;

	assert_non_null(k);
	r = sp_store_secret_get(s, id, k);
	free(k);
	assert_true(r == SP_OK || r == SP_ENOENT);
	return r == SP_OK;
}

static void
deleting_an_account_or_an_asset_erases_its_secrets(void **state)
{
	struct sp_store *s = ((struct fx *)*state)->s;
	struct sp_uuid web = add_asset(s, "web"), db = add_asset(s, "db");
	struct sp_uuid password = add_secret(s, SP_STORE_SECRET_PASSWORD, "root@web"), key = add_secret(s, SP_STORE_SECRET_SSH_KEY, "app@web");
	struct sp_uuid shared = add_secret(s, SP_STORE_SECRET_PASSWORD, "both"), ca = add_secret(s, SP_STORE_SECRET_SSH_CA, "authority");
	struct sp_uuid inner = add_secret(s, SP_STORE_SECRET_HOST_KEY, "inner");
	struct sp_store_account root = account_with(s, &web, "root", &password);
	struct sp_store_asset a;

	(void)account_with(s, &web, "app", &key);
	(void)account_with(s, &web, "both", &shared);
	(void)account_with(s, &db, "both", &shared);
	(void)account_with(s, &web, "cert", &ca);
	ok(sp_store_asset_get(s, &web, &a));
	a.inner_key_secret_id = inner;
	ok(sp_store_asset_update(s, &a));

	assert_int_equal(sp_store_account_delete(s, &root.id, 99), SP_ECONFLICT);	/* refused: nothing goes */
	assert_true(secret_is_there(s, &password));
	ok(sp_store_account_delete(s, &root.id, SP_STORE_ANY_VERSION));
	assert_false(secret_is_there(s, &password));
	assert_true(secret_is_there(s, &key));
	ok(sp_store_asset_delete(s, &web, SP_STORE_ANY_VERSION));
	assert_false(secret_is_there(s, &key));
	assert_false(secret_is_there(s, &inner));
	assert_true(secret_is_there(s, &shared));		/* something else uses it */
	assert_true(secret_is_there(s, &ca));			/* an authority outlives its accounts */
	ok(sp_store_asset_delete(s, &db, SP_STORE_ANY_VERSION));
	assert_false(secret_is_there(s, &shared));
}

/* After each of many random changes, the closure equals what a walk over the edges finds. */
#define RND_USERS	6
#define RND_GROUPS	8
struct model {
	struct sp_uuid	node[RND_USERS + RND_GROUPS];	/* users, then groups */
	int		edge[RND_USERS + RND_GROUPS][RND_GROUPS];	/* child, parent group */
};

static void
model_walk(const struct model *m, int child, int *seen)
{
	for (int g = 0; g < RND_GROUPS; g++)
		if (m->edge[child][g] && !seen[g]) {
			seen[g] = 1;
			model_walk(m, RND_USERS + g, seen);
		}
}

static void
model_compare(struct sp_store *s, const struct model *m)
{
	struct seen c;
	char want[256];

	for (int u = 0; u < RND_USERS; u++) {
		int seen[RND_GROUPS] = { 0 };

		want[0] = 0;
		model_walk(m, u, seen);
		for (int g = 0; g < RND_GROUPS; g++)
			if (seen[g])
				sp_snprintf(want + strlen(want), sizeof(want) - strlen(want), "g%d ", g);
		assert_string_equal(groups_text(s, &m->node[u], &c), want);
	}
}

static void
random_membership_changes_keep_the_closure_right(void **state)
{
	struct sp_store *s = store_of(state);
	struct model m = { 0 };
	char name[8];
	unsigned seed = 42;

	for (int i = 0; i < RND_USERS + RND_GROUPS; i++) {
		sp_snprintf(name, sizeof(name), "%c%d", i < RND_USERS ? 'u' : 'g', i < RND_USERS ? i : i - RND_USERS);
		m.node[i] = i < RND_USERS ? add_user(s, name) : add_group(s, name);
	}
	for (int step = 0; step < 150; step++) {
		int child = rand_r(&seed) % (RND_USERS + RND_GROUPS), g = rand_r(&seed) % RND_GROUPS;
		int seen[RND_GROUPS] = { 0 };
		enum sp_err want, got;

		if (m.edge[child][g]) {
			ok(sp_store_group_member_delete(s, &m.node[RND_USERS + g], &m.node[child]));
			m.edge[child][g] = 0;
		} else {
			model_walk(&m, RND_USERS + g, seen);
			want = child >= RND_USERS && (child - RND_USERS == g || seen[child - RND_USERS]) ? SP_EINVAL : SP_OK;
			got = join(s, &m.node[RND_USERS + g], &m.node[child], child < RND_USERS ? SP_STORE_SUBJECT_USER : SP_STORE_SUBJECT_GROUP);
			assert_int_equal(got, want);
			m.edge[child][g] = got == SP_OK;
		}
		model_compare(s, &m);
	}
}

/* ---- access ---- */

static void
the_access_fetch_gives_exactly_the_grants_that_touch_both(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u = add_user(s, "u"), v = add_user(s, "v"), a = add_asset(s, "a"), b = add_asset(s, "b"), g = add_group(s, "g"),
	    up = add_group(s, "up"), root = add_asset_group(s, "root", NULL), leaf = add_asset_group(s, "leaf", &root);
	struct seen c = { 0 };
	struct sp_store_grant deny;

	ok(join(s, &g, &u, SP_STORE_SUBJECT_USER));
	ok(join(s, &up, &g, SP_STORE_SUBJECT_GROUP));
	ok(put_in(s, &leaf, &a));
	assert_int_equal(grants_n(s, &u, &a), 0);
	add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &a);
	add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET_GROUP, &root);
	add_grant(s, SP_STORE_SUBJECT_GROUP, &up, SP_STORE_OBJECT_ASSET_GROUP, &leaf);
	add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &b);		/* another asset */
	add_grant(s, SP_STORE_SUBJECT_USER, &v, SP_STORE_OBJECT_ASSET, &a);		/* another user */
	deny = a_grant(SP_STORE_SUBJECT_GROUP, &g, SP_STORE_OBJECT_ASSET, &a);
	deny.effect = SP_STORE_DENY, deny.valid_until_us = 1;		/* denies and expired ones are given too */
	ok(sp_store_grant_add(s, &deny));
	assert_int_equal(grants_n(s, &u, &a), 4);
	assert_int_equal(grants_n(s, &v, &a), 1);
	assert_int_equal(grants_n(s, &v, &b), 0);
	ok(sp_store_grants_of_user(s, &u, see_grant, &c));
	assert_int_equal(c.n, 5);
	c = (struct seen){ 0 };
	ok(sp_store_grants_of_asset(s, &a, see_grant, &c));
	assert_int_equal(c.n, 5);
	ok(sp_store_group_member_delete(s, &g, &u));		/* at once */
	assert_int_equal(grants_n(s, &u, &a), 2);
	c = (struct seen){ 0 };
	ok(sp_store_grant_list(s, &(struct sp_store_query){ .of = u }, see_grant, &c));
	assert_int_equal(c.n, 3);
}

static int
see_reach(const struct sp_store_reach_row *r, void *arg)
{
	struct seen *c = arg;

	see(c, &r->asset_id, r->name);
	assert_string_equal(r->account, "root");
	return 0;
}

/* How many rows there are; each name of the list is among them. */
static size_t
reach_n(struct sp_store *s, const struct sp_uuid *u, int64_t now_us, const char *const *names, size_t n)
{
	struct seen c = { 0 };

	ok(sp_store_reach_rows(s, u, now_us, see_reach, &c));
	for (size_t i = 0; i < n; i++)
		assert_non_null(strstr(c.text, names[i]));
	return c.n;
}

static void
the_menu_shows_what_is_reachable_now(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u = add_user(s, "u"), root = add_asset_group(s, "root", NULL), leaf = add_asset_group(s, "leaf", &root), ids[5];
	static const char *const names[] = { "web-2", "数据库", "web-1", "late", "off" };
	struct sp_store_grant g;

	for (int i = 0; i < 5; i++) {
		struct sp_store_asset a = an_asset(names[i], "h.example.org");
		struct sp_store_account acc = { .kind = SP_STORE_ACCOUNT_SAME, .state = SP_STORE_ACTIVE, .name = "root" };

		a.state = i == 4 ? SP_STORE_DISABLED : SP_STORE_ACTIVE;
		ok(sp_store_asset_add(s, &a));
		acc.asset_id = ids[i] = a.id;
		ok(sp_store_account_add(s, &acc));
	}
	for (int i = 0; i < 3; i++)
		ok(put_in(s, i == 2 ? &root : &leaf, &ids[i]));
	add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET_GROUP, &root);
	add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &ids[0]);	/* twice granted, once shown */
	add_grant(s, SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &ids[4]);
	g = a_grant(SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &ids[3]);
	g.valid_from_us = 1000, g.valid_until_us = 2000;
	ok(sp_store_grant_add(s, &g));
	assert_int_equal(reach_n(s, &u, 999, names, 3), 3);
	assert_int_equal(reach_n(s, &u, 1000, names, 4), 4);
	assert_int_equal(reach_n(s, &u, 1999, names, 4), 4);
	assert_int_equal(reach_n(s, &u, 2000, names, 3), 3);
}

static void
many_grants_are_added_all_or_none_and_the_refused_one_is_named(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u = add_user(s, "u"), a = add_asset(s, "a");
	size_t n = 300, bad = 0;
	struct sp_store_grant *g = calloc(n, sizeof(*g));

	assert_non_null(g);
	for (size_t i = 0; i < n; i++)
		g[i] = a_grant(SP_STORE_SUBJECT_USER, &u, SP_STORE_OBJECT_ASSET, &a);
	sp_uuid_make(&g[277].object_id);
	assert_int_equal(sp_store_grant_add_many(s, g, n, &bad), SP_ENOENT);
	assert_int_equal(bad, 277);
	assert_int_equal(grants_n(s, &u, &a), 0);
	g[277].object_id = a, g[5].protocols = 0;
	assert_int_equal(sp_store_grant_add_many(s, g, n, &bad), SP_EINVAL);
	assert_int_equal(bad, 5);
	g[5].protocols = 1;
	ok(sp_store_grant_add_many(s, g, n, NULL));
	assert_int_equal(grants_n(s, &u, &a), 300);
	free(g);
}

/* ---- transactions, settings, outbox, evidence ---- */

static void
a_batch_is_all_or_nothing_and_survives_a_refused_row(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = a_user("dup");
	struct sp_uuid g = add_group(s, "g"), h;
	struct seen c = { 0 };

	ok(sp_store_begin(s, SP_STORE_MAIN));
	assert_int_equal(sp_store_begin(s, SP_STORE_MAIN), SP_ESTATE);
	h = add_user(s, "kept");
	ok(sp_store_user_add(s, &u));
	u = a_user("dup");
	assert_int_equal(sp_store_user_add(s, &u), SP_EEXIST);
	assert_int_equal(join(s, &g, &g, SP_STORE_SUBJECT_GROUP), SP_EINVAL);
	ok(join(s, &g, &h, SP_STORE_SUBJECT_USER));
	ok(sp_store_setting_set(s, "k", "v"));
	ok(sp_store_commit(s));
	ok(sp_store_user_list(s, NULL, see_user, &c));
	assert_string_equal(c.text, "dup kept ");
	ok(sp_store_begin(s, SP_STORE_MAIN));
	add_user(s, "gone");
	sp_store_rollback(s);
	sp_store_rollback(s);
	assert_int_equal(sp_store_commit(s), SP_ESTATE);
	ok(sp_store_begin(s, SP_STORE_MAIN));
	add_user(s, "gone too");
	assert_int_equal(sp_store_end(s, SP_EDENIED), SP_EDENIED);
	assert_int_equal(sp_store_end(s, SP_OK), SP_ESTATE);
	ok(sp_store_begin(s, SP_STORE_MAIN));
	ok(sp_store_end(s, SP_OK));
	c = (struct seen){ 0 };
	ok(sp_store_user_list(s, NULL, see_user, &c));
	assert_string_equal(c.text, "dup kept ");
}

static void
settings_are_replaced_and_bounded(void **state)
{
	struct sp_store *s = store_of(state);
	char v[16], big[SP_STORE_VALUE_MAX + 2];

	assert_int_equal(sp_store_setting_get(s, "host-key.first-use", v, sizeof(v)), SP_ENOENT);
	ok(sp_store_setting_set(s, "host-key.first-use", "on"));
	ok(sp_store_setting_set(s, "host-key.first-use", "off"));
	ok(sp_store_setting_get(s, "host-key.first-use", v, sizeof(v)));
	assert_string_equal(v, "off");
	assert_int_equal(sp_store_setting_get(s, "host-key.first-use", v, 3), SP_ESIZE);
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(sp_store_setting_set(s, "k", big), SP_EINVAL);
	assert_int_equal(sp_store_setting_set(s, "bad key", "v"), SP_EINVAL);
	assert_int_equal(sp_store_setting_set(s, "k", "\xff"), SP_EINVAL);
}

static int
see_tag(const char *key, const char *value, void *arg)
{
	char t[600];
	struct sp_uuid none = { 0 };

	sp_snprintf(t, sizeof(t), "%s=%s", key, value);
	see(arg, &none, t);
	return 0;
}

static void
tags_are_set_replaced_and_removed(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid a = add_asset(s, "a");
	struct seen c = { 0 };

	ok(sp_store_tag_set(s, &a, "env", "test"));
	ok(sp_store_tag_set(s, &a, "env", "生产"));
	ok(sp_store_tag_set(s, &a, "app", "x"));
	ok(sp_store_tag_set(s, &a, "gone", "x"));
	ok(sp_store_tag_set(s, &a, "gone", NULL));
	ok(sp_store_tags(s, &a, see_tag, &c));
	assert_string_equal(c.text, "app=x env=生产 ");
}

static int
see_outbox(const struct sp_store_outbox *o, void *arg)
{
	struct seen *c = arg;
	struct sp_uuid none = { 0 };
	char t[128];

	sp_snprintf(t, sizeof(t), "%s:%.*s", o->kind, (int)o->payload_len, (const char *)o->payload);
	see(c, &none, t);
	return 0;
}

static void
an_outbox_entry_is_shown_until_it_is_done(void **state)
{
	struct sp_store *s = store_of(state);
	int64_t id[3];
	struct seen c = { 0 };

	ok(sp_store_outbox_add(s, "syslog", "one", 3, &id[0]));
	ok(sp_store_begin(s, SP_STORE_MAIN));
	ok(sp_store_outbox_add(s, "mail", "lost", 4, &id[1]));
	sp_store_rollback(s);
	ok(sp_store_outbox_add(s, "mail", "", 0, &id[1]));
	ok(sp_store_outbox_add(s, "syslog", "two", 3, &id[2]));
	assert_true(id[0] < id[1] && id[1] < id[2]);
	ok(sp_store_outbox_pending(s, NULL, 0, 0, see_outbox, &c));
	assert_string_equal(c.text, "syslog:one mail: syslog:two ");
	ok(sp_store_outbox_done(s, id[0]));
	ok(sp_store_outbox_done(s, id[0]));
	c = (struct seen){ 0 };
	ok(sp_store_outbox_pending(s, "syslog", 0, 10, see_outbox, &c));
	assert_string_equal(c.text, "syslog:two ");
	c = (struct seen){ 0 };
	ok(sp_store_outbox_pending(s, NULL, id[1], 10, see_outbox, &c));
	assert_string_equal(c.text, "syslog:two ");
	ok(sp_store_outbox_purge(s, INT64_MAX));
	c = (struct seen){ 0 };
	ok(sp_store_outbox_pending(s, NULL, 0, 0, see_outbox, &c));
	assert_int_equal(c.n, 2);
	assert_int_equal(sp_store_outbox_add(s, "x y", "", 0, id), SP_EINVAL);
}

static struct sp_store_session
a_session(const struct sp_uuid *user, const struct sp_uuid *asset, const char *account, int64_t started)
{
	struct sp_store_session x = { .state = SP_STORE_LIVE, .user_id = *user, .asset_id = *asset, .user_login = "u", .asset_name = "a",
	    .protocol = "ssh", .source = "192.0.2.7", .started_us = started };

	sp_uuid_make(&x.id);
	sp_strlcpy(x.account, account, sizeof(x.account));
	return x;
}

static void
sessions_are_put_idempotently_and_never_come_back_to_life(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u, a;
	struct sp_store_session x, ended, got;

	sp_uuid_make(&u);
	sp_uuid_make(&a);
	x = a_session(&u, &a, "root", 10);
	ok(sp_store_session_put(s, &x));
	ok(sp_store_session_put(s, &x));
	ok(sp_store_session_get(s, &x.id, &got));
	assert_memory_equal(&x, &got, sizeof(x));
	ended = x;
	ended.state = SP_STORE_ENDED, ended.ended_us = 20, ended.bytes_in = 1, ended.bytes_out = INT64_MAX;
	sp_strlcpy(ended.end_reason, "killed", sizeof(ended.end_reason));
	sp_strlcpy(ended.ended_by, "admin", sizeof(ended.ended_by));
	ok(sp_store_session_put(s, &ended));
	ok(sp_store_session_put(s, &x));		/* late */
	ok(sp_store_session_get(s, &x.id, &got));
	assert_memory_equal(&ended, &got, sizeof(got));
	x.state = 0;
	assert_int_equal(sp_store_session_put(s, &x), SP_EINVAL);
}

static void
sessions_are_listed_newest_first_with_filters_and_pages(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_uuid u[2], a[2], last;
	struct sp_store_session x;
	struct seen c = { 0 };
	char name[8];

	for (int i = 0; i < 2; i++) {
		sp_uuid_make(&u[i]);
		sp_uuid_make(&a[i]);
	}
	ok(sp_store_begin(s, SP_STORE_EVIDENCE));
	for (int i = 0; i < 8; i++) {
		sp_snprintf(name, sizeof(name), "n%d", i);
		x = a_session(&u[i % 2], &a[i / 4], name, 100 + i / 2);		/* two in each microsecond */
		x.id = (struct sp_uuid){ .b = { [0] = 1, [15] = (uint8_t)i } };
		x.state = i < 6 ? SP_STORE_ENDED : SP_STORE_LIVE;
		ok(sp_store_session_put(s, &x));
	}
	ok(sp_store_commit(s));
	ok(sp_store_session_list(s, NULL, see_session, &c));
	assert_string_equal(c.text, "n7 n6 n5 n4 n3 n2 n1 n0 ");
	c = (struct seen){ 0 };
	ok(sp_store_session_list(s, &(struct sp_store_session_query){ .limit = 3 }, see_session, &c));
	assert_string_equal(c.text, "n7 n6 n5 ");
	last = c.id[2];
	c = (struct seen){ 0 };
	ok(sp_store_session_list(s, &(struct sp_store_session_query){ .before_us = 102, .before_id = last, .limit = 3 }, see_session, &c));
	assert_string_equal(c.text, "n4 n3 n2 ");
	c = (struct seen){ 0 };
	ok(sp_store_session_list(s, &(struct sp_store_session_query){ .user_id = u[0], .asset_id = a[1], .state = SP_STORE_ENDED }, see_session, &c));
	assert_string_equal(c.text, "n4 ");
	c = (struct seen){ 0 };
	ok(sp_store_session_list(s, &(struct sp_store_session_query){ .since_us = 101, .before_us = 103 }, see_session, &c));
	assert_string_equal(c.text, "n5 n4 n3 n2 ");
	c = (struct seen){ 0 };
	ok(sp_store_sessions_live(s, see_session, &c));
	assert_string_equal(c.text, "n7 n6 ");
}

static int
see_event(const struct sp_store_event *e, void *arg)
{
	struct sp_uuid none = { 0 };
	char t[64];

	sp_snprintf(t, sizeof(t), "%lld%s", (long long)e->seq, (const char *)(e->payload_len > 0 ? "+" : ""));
	see(arg, &none, t);
	return 0;
}

static void
a_repeated_event_changes_nothing(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_event e = { .channel = -1, .kind = "exec", .at_us = 5 };
	struct sp_uuid other;
	struct seen c = { 0 };
	int64_t last;

	sp_uuid_make(&e.session_id);
	sp_uuid_make(&other);
	ok(sp_store_event_last(s, &e.session_id, &last));
	assert_int_equal(last, -1);
	for (int seq = 4; seq >= 0; seq--) {
		e.seq = seq;
		ok(sp_store_event_put(s, &e));
	}
	e.payload = (const uint8_t *)"x", e.payload_len = 1;
	ok(sp_store_event_put(s, &e));
	e.seq = 5;
	ok(sp_store_event_put(s, &e));
	ok(sp_store_event_list(s, &e.session_id, 2, 0, see_event, &c));
	assert_string_equal(c.text, "3 4 5+ ");
	ok(sp_store_event_last(s, &e.session_id, &last));
	assert_int_equal(last, 5);
	c = (struct seen){ 0 };
	ok(sp_store_event_list(s, &other, -1, 0, see_event, &c));
	assert_int_equal(c.n, 0);
	c = (struct seen){ 0 };
	ok(sp_store_event_list(s, &e.session_id, -1, 1, see_event, &c));
	assert_string_equal(c.text, "0 ");
}

/* ---- the handle ---- */

static void
migrating_again_changes_nothing_and_a_newer_schema_is_refused(void **state)
{
	struct fx *f = *state;
	struct sp_store *s = f->s, *other = NULL;

	add_user(s, "kept");
	ok(sp_store_migrate(s));
	ok(sp_store_open(f->url, NULL, &other));
	ok(sp_store_ping(other));
	sp_store_close(other);
	assert_int_equal(fx_sql(f, "INSERT INTO schema_main (version) VALUES (999)"), 0);
	other = NULL;
	assert_int_equal(sp_store_open(f->url, NULL, &other), SP_EVERSION);
	assert_null(other);
	assert_int_equal(sp_store_open("mysql:x", NULL, &other), SP_EINVAL);
}

static void
a_second_writer_waits_a_bounded_time_and_is_told_busy(void **state)
{
	struct fx *f = *state;
	struct sp_store *s = f->s, *other;
	struct sp_store_user u = a_user("u"), mine;

	ok(sp_store_user_add(s, &u));
	ok(sp_store_open(f->url, &(struct sp_store_opts){ .busy_ms = 100 }, &other));
	ok(sp_store_begin(s, SP_STORE_MAIN));
	mine = u;
	ok(sp_store_user_update(s, &mine));
	assert_int_equal(sp_store_user_update(other, &u), SP_EBUSY);
	ok(sp_store_user_get(other, &u.id, &u));			/* reading does not wait */
	assert_int_equal(u.version, 1);
	ok(sp_store_commit(s));
	ok(sp_store_user_get(other, &u.id, &u));
	assert_int_equal(u.version, 2);
	ok(sp_store_user_update(other, &u));
	sp_store_close(other);
}

static void
bytes_that_break_a_bound_in_the_database_are_called_damage(void **state)
{
	struct fx *f = *state;
	struct sp_store *s = f->s;
	struct sp_store_user u = a_user("u"), got = { .epoch = 3 };
	char sql[600], big[400];

	ok(sp_store_user_add(s, &u));
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	sp_snprintf(sql, sizeof(sql), "UPDATE users SET email = '%s'", big);
	assert_int_equal(fx_sql(f, sql), 0);
	assert_int_equal(sp_store_user_get(s, &u.id, &got), SP_ECORRUPT);
	assert_int_equal(got.epoch, 3);
}

/* ---- several threads, each with a handle of its own ---- */

#define WRITES	60
struct crowd {
	const char	*url;
	struct sp_uuid	 user, asset;
	_Atomic int	 committed, done;	/* grants that a writer's commit has made visible; the writer is through */
};
struct worker {
	struct crowd	*crowd;
	enum sp_err	 err;
	int		 reads, behind;		/* fetches; those that saw fewer than were committed before they began */
};

/* cmocka's asserts are for the main thread: a worker says what happened, and the test judges it. */
static void *
crowd_write(void *arg)
{
	struct worker *w = arg;
	struct sp_store *s = NULL;

	w->err = sp_store_open(w->crowd->url, NULL, &s);
	for (int i = 0; i < WRITES && w->err == SP_OK; i++) {
		struct sp_store_grant g = { .subject_kind = SP_STORE_SUBJECT_USER, .object_kind = SP_STORE_OBJECT_ASSET,
		    .subject_id = w->crowd->user, .object_id = w->crowd->asset, .accounts = "*", .protocols = SP_STORE_P_ALL,
		    .effect = SP_STORE_ALLOW, .mfa_interval_s = -1, .file_direction = SP_STORE_FILE_UP,
		    .record_mode = SP_STORE_RECORD_STRICT };

		if ((w->err = sp_store_grant_add(s, &g)) == SP_OK)
			w->crowd->committed++;
	}
	w->crowd->done = 1;
	sp_store_close(s);
	return NULL;
}

static int
crowd_count(const struct sp_store_grant *g, void *arg)
{
	(void)g;
	++*(int *)arg;
	return 0;
}

static void *
crowd_read(void *arg)
{
	struct worker *w = arg;
	struct sp_store *s = NULL;
	int last;

	w->err = sp_store_open(w->crowd->url, NULL, &s);
	do {
		int before = w->crowd->committed, seen = 0;

		last = w->crowd->done;
		if (w->err != SP_OK || (w->err = sp_store_grants_for(s, &w->crowd->user, &w->crowd->asset, crowd_count, &seen)) != SP_OK)
			break;
		w->reads++;
		w->behind += seen < before;
	} while (!last);
	sp_store_close(s);
	return NULL;
}

static void
readers_in_other_threads_see_each_commit_and_are_never_held_up(void **state)
{
	struct sp_store *s = store_of(state);
	struct sp_store_user u = { .login = "crowd", .role = SP_STORE_ROLE_USER, .state = SP_STORE_ACTIVE, .os_uid = -1 };
	struct sp_store_asset a = { .name = "crowded", .address = "h", .port = 22, .state = SP_STORE_ACTIVE };
	struct crowd c = { .url = ((struct fx *)*state)->url };
	struct worker w[3] = { { .crowd = &c }, { .crowd = &c }, { .crowd = &c } };
	pthread_t t[3];

	ok(sp_store_user_add(s, &u));
	ok(sp_store_asset_add(s, &a));
	c.user = u.id;
	c.asset = a.id;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, i == 0 ? crowd_write : crowd_read, &w[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 3; i++)
		ok(w[i].err);
	assert_int_equal(c.committed, WRITES);
	for (int i = 1; i < 3; i++) {
		assert_true(w[i].reads > 0);
		assert_int_equal(w[i].behind, 0);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, fx_setup, fx_teardown)
static const struct CMUnitTest tests[] = {
	T(every_member_of_a_user_comes_back_as_it_was_stored),
	T(every_member_of_a_grant_comes_back_as_it_was_stored),
	T(keys_secrets_accounts_and_host_keys_come_back_as_they_were_stored),
	T(a_claim_comes_back_as_it_was_stored_and_goes_with_its_asset), T(command_rules_come_back_and_go_with_their_set_and_modes_with_their_grant),
	T(secrets_are_found_by_kind_and_name_and_by_the_age_of_their_key),
	T(a_taken_name_is_eexist_and_changes_nothing),
	T(an_update_with_an_old_version_is_a_conflict_and_changes_nothing),
	T(rows_out_of_bounds_are_refused_before_the_database_sees_them),
	T(naming_a_row_that_is_not_there_is_enoent),
	T(lists_filter_by_text_department_and_parent_in_pages_and_order),
	T(a_callback_may_read_through_the_same_handle),
	T(an_address_finds_its_asset_unless_it_is_shared),
	T(the_last_login_and_a_totp_step_do_not_touch_the_version),
	T(the_canonical_form_tells_any_two_rows_apart),
	T(membership_reaches_through_groups_and_leaves_with_its_last_path),
	T(a_circle_of_groups_is_refused),
	T(groups_nest_to_the_stated_depth_and_not_deeper),
	T(moving_an_asset_group_moves_what_is_below_it),
	T(deleting_takes_along_what_is_promised),
	T(a_login_that_differs_only_in_case_is_refused),
	T(deleting_an_account_or_an_asset_erases_its_secrets),
	T(random_membership_changes_keep_the_closure_right),
	T(the_access_fetch_gives_exactly_the_grants_that_touch_both),
	T(the_menu_shows_what_is_reachable_now),
	T(many_grants_are_added_all_or_none_and_the_refused_one_is_named),
	T(a_batch_is_all_or_nothing_and_survives_a_refused_row),
	T(settings_are_replaced_and_bounded),
	T(tags_are_set_replaced_and_removed),
	T(an_outbox_entry_is_shown_until_it_is_done),
	T(sessions_are_put_idempotently_and_never_come_back_to_life),
	T(sessions_are_listed_newest_first_with_filters_and_pages),
	T(a_repeated_event_changes_nothing),
	T(migrating_again_changes_nothing_and_a_newer_schema_is_refused),
	T(a_second_writer_waits_a_bounded_time_and_is_told_busy),
	T(readers_in_other_threads_see_each_commit_and_are_never_held_up),
	T(bytes_that_break_a_bound_in_the_database_are_called_damage)
};

int
main(void)
{
	int failed = cmocka_run_group_tests_name("store on sqlite", tests, NULL, NULL);

	if (fx_server_start(&server) != 0) {
		fx_server_stop(&server);
		return 1;
	}
	fx_with = &server;
	failed += cmocka_run_group_tests_name("store on postgresql", tests, NULL, NULL);
	fx_server_stop(&server);
	return failed > 0;
}
