/* src/control/login.c - AUTH_ASK: who is it? Process: control, event loop; rows are read in a reader.
 * Every refusal reads the same; the reason is in the audit log only. An unknown user costs the same time as a known one:
 * a key is looked up either way, a password is hashed against an empty hash in the vault.
 * After the first factor a one-time code is asked for when the login names a target whose grant wants one (PARTIAL); where
 * the target is known only later, or the user has no second factor, TARGET_ASK sees to it (target.c).
 * A login is answered OK after its entry is durable (what a restarted control believes about this connection stands
 * there), and after one more look at the user's epoch: a disable that came meanwhile wins. */
#include "control/ctl.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/breakglass.h"
#include "control/judge.h"
#include "control/mfa.h"
#include "control/quarantine.h"
#include "control/snapshot.h"
#include "control/wall.h"
#include "crypto/hash.h"

#define CHECK_LIFE_US	(120 * SP_US_PER_S)	/* typing a password */
#define OFFERED_MAX	32			/* keys of an agent on one connection */
#define CHECKS_MAX	10000

struct auth {
	struct ctl_job		 job;
	struct sp_hnode		 node;		/* in logins.checks while a password is being typed or checked */
	struct conn		*conn;
	uint32_t		 corr;
	struct sp_uuid		 check_id;
	uint64_t		 deadline_us;
	int			 is_password, is_code, recheck, signature_ok, in_table;
	/* of the login's target, when it names one */
	char			 account_text[SP_STORE_NAME_MAX + 1], asset_text[SP_STORE_NAME_MAX + 1];
	char			 typed[SP_STORE_LOGIN_MAX + SP_STORE_NAME_MAX + 2];	/* see judge_typed() */
	struct sp_netaddr	 source;
	int64_t			 mfa_interval_s;	/* what its grant wants; SP_POLICY_MFA_NEVER too when that cannot be told yet */
	char			 login[SP_STORE_LOGIN_MAX + 1];
	char			 client[128];
	uint8_t			 key[SP_STORE_KEY_MAX];
	size_t			 key_len;
	char			 fingerprint[64 + 1];
	uint8_t			 sum[SP_SHA256_LEN];	/* of the hash that the password is checked against */
	int			 known;		/* the user exists */
	int			 sealed;	/* a break-glass account: this login opens it */
	struct sp_store_user	 user;
	const char		*refused;	/* for the audit log; NULL: may log in */
};
struct logins {
	struct sp_htab	checks;
};

static void
auth_free(struct auth *a)
{
	conn_unref(a->conn);
	explicit_bzero(a->user.password_hash, sizeof(a->user.password_hash));
	free(a);
}

static void
auth_methods(const struct ctl *c, Sallyport__AuthReply *r)
{
	static char publickey[] = "publickey", password[] = "password";
	static char *methods[] = { publickey, password };

	r->methods = methods;
	r->n_methods = c->child.conf.password_login ? 2 : 1;
}

static void
auth_fail(struct conn *cn, uint32_t corr)
{
	static char kbdint[] = "keyboard-interactive";
	static char *code[] = { kbdint };
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;

	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__FAIL;
	r.text = ctl_str("Permission denied");
	if (cn->failed >= (unsigned)cn->ctl->child.conf.auth_tries)
		r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__DISCONNECT;
	auth_methods(cn->ctl, &r);
	if (cn->first.passed) {
		r.methods = code;
		r.n_methods = 1;
	}
	conn_send(cn, SP_MSG_AUTH_REPLY, corr, &r);
}

static const char *
auth_method(const struct auth *a)
{
	return a->is_code ? "code" : a->is_password ? "password" : "publickey";
}

/* A counted failure. */
static void
auth_refuse(struct auth *a, const char *why)
{
	struct conn *cn = a->conn;

	cn->logging_in = 0;
	if (conn_alive(cn)) {
		cn->failed++;
		/* A key cannot be guessed: it counts towards no penalty. */
		failures_note(cn, a->login, auth_method(a), why, a->is_password || a->is_code);
		auth_fail(cn, a->corr);
	}
	auth_free(a);
}

/* ---- OK ---- */

struct seen_job {
	struct ctl_job	job;
	struct sp_uuid	user_id;
	int64_t		at_us;
};

static void
seen_work(struct ctl_job *j, struct sp_store *s)
{
	struct seen_job *k = sp_container(j, struct seen_job, job);

	j->err = ctl_bulk_has_turn(j->ctl) ? SP_EBUSY :		/* soon again, rather than to hold up rows of sessions */
	    sp_store_user_seen(s, &k->user_id, k->at_us);
}

static void
seen_done(struct ctl_job *j)
{
	free(sp_container(j, struct seen_job, job));
}

static void
auth_seen(struct ctl *c, const struct sp_uuid *user_id)
{
	struct seen_job *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return;
	k->user_id = *user_id;
	k->at_us = sp_wall_us();
	k->job.work = seen_work;
	k->job.done = seen_done;
	k->job.bytes = sizeof(*k);
	ctl_job_run(c, CTL_INDEX, &k->job);
}

/* In what state they find us, a line each. */
static void
notice_add(const struct ctl *c, char *notice, size_t size)
{
	const char *no = quarantine_text(c);
	char text[192];
	size_t n = strlen(notice);

	snapshot_text(c, text, sizeof(text));
	sp_snprintf(notice + n, size - n, "%s%s%s%s", n > 0 && (*text || no != NULL) ? "\r\n" : "", text,
	    *text && no != NULL ? "\r\n" : "", no != NULL ? no : "");
}

static void
auth_durable(void *arg, enum sp_err err, uint64_t seq)
{
	static const char *const roles[] = { "user", "user", "auditor", "admin" };
	struct auth *a = arg;
	struct conn *cn = a->conn;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;
	char notice[640] = "", at[SP_RFC3339_SIZE];

	(void)seq;
	if (err != SP_OK || !conn_epoch_ok(cn->ctl, &a->user.id, a->user.epoch)) {
		auth_refuse(a, "the user was disabled or changed during the login");
		return;
	}
	cn->logging_in = 0;
	if (!conn_alive(cn)) {
		auth_free(a);
		return;
	}
	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__OK;
	r.user_id = ctl_uuid_bytes(&a->user.id);
	r.login = a->user.login;
	r.epoch = (uint64_t)a->user.epoch;
	r.full_name = a->user.full_name;
	r.role = ctl_str(roles[a->user.role & 3]);
	if (a->user.last_login_us != 0)
		sp_snprintf(notice, sizeof(notice), "Last login: %.10s %.8s UTC",
		    sp_rfc3339(a->user.last_login_us, at, sizeof(at)), at + 11);
	notice_add(cn->ctl, notice, sizeof(notice));
	r.notice = notice;
	r.typed = a->typed;
	/* AUTH_REPLY belongs to the state before the login: send, then change. */
	conn_send(cn, SP_MSG_AUTH_REPLY, a->corr, &r);
	if (conn_alive(cn)) {
		conn_logged_in(cn, &a->user);
		auth_seen(cn->ctl, &a->user.id);
	}
	auth_free(a);
}

/* The right password, which opens nothing before it was changed: a login has no place to change it. */
static void
auth_must_change(struct auth *a)
{
	struct conn *cn = a->conn;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;

	failures_note(cn, a->login, auth_method(a), "the password must be changed first", 0);
	cn->logging_in = 0;
	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__DISCONNECT;
	r.text = ctl_str("Your password must be changed before it lets you in: run 'sallyport user password' on the bastion, or log in "
	    "with a key, or ask an administrator");
	conn_send(cn, SP_MSG_AUTH_REPLY, a->corr, &r);
	auth_free(a);
}

/* The first factor is right; the second one is asked for. The attempts go on counting. */
static void
auth_partial(struct auth *a)
{
	struct conn *cn = a->conn;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;

	cn->first.passed = 1;
	cn->first.user_id = a->user.id;
	(void)sp_strlcpy(cn->first.login, a->login, sizeof(cn->first.login));
	(void)sp_strlcpy(cn->first.method, auth_method(a), sizeof(cn->first.method));
	(void)sp_strlcpy(cn->first.fingerprint, a->fingerprint, sizeof(cn->first.fingerprint));
	memcpy(cn->first.sum, a->sum, sizeof(cn->first.sum));
	cn->logging_in = 0;
	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__PARTIAL;
	conn_send(cn, SP_MSG_AUTH_REPLY, a->corr, &r);
	auth_free(a);
}

static void
auth_accept(struct auth *a)
{
	struct conn *cn = a->conn;
	struct audit_entry e = { .kind = "login.ok", .actor = a->user.login, .result = "ok", .source = cn->source_text,
	    .conn = &cn->id, .user = &a->user.id };
	json_t *more;

	if (a->is_password && a->user.must_change_password) {
		auth_must_change(a);
		return;
	}
	if (!a->is_code && mfa_wanted(cn, &a->user.id, a->mfa_interval_s)) {
		auth_partial(a);
		return;
	}
	more = json_pack("{s:I, s:s}", "epoch", (json_int_t)a->user.epoch, "method",
	    a->is_code ? cn->first.method : auth_method(a));
	if (a->is_code) {
		(void)sp_strlcpy(a->fingerprint, cn->first.fingerprint, sizeof(a->fingerprint));
		json_object_set_new(more, "second", json_string("code"));
	}
	e.more = more;
	if (*a->fingerprint)
		json_object_set_new(more, "key", json_string(a->fingerprint));
	if (*a->client)
		json_object_set_new(more, "client", json_string(a->client));
	audit_append(cn->ctl->audit, &e, auth_durable, a);
	json_decref(more);
}

/* ---- the rows ---- */

/* What the grant for the target that the login names wants, and whether its password is the person's own. */
static void
auth_work_target(struct ctl *c, struct sp_store *s, struct auth *a)
{
	struct judge *j = a->asset_text[0] != '\0' ? calloc(1, sizeof(*j)) : NULL;
	struct sp_config conf;
	int enrolled = 0;

	a->mfa_interval_s = SP_POLICY_MFA_NEVER;
	if (j == NULL)
		return;
	ctl_conf_copy(c, &conf);
	j->user_id = a->user.id;
	j->epoch = a->user.epoch;
	j->source = a->source;
	(void)sp_strlcpy(j->asset_text, a->asset_text, sizeof(j->asset_text));
	(void)sp_strlcpy(j->account_text, a->account_text, sizeof(j->account_text));
	judge_run(s, &conf, j);
	if (j->err == SP_OK && j->decision.mfa_interval_s != SP_POLICY_MFA_NEVER &&
	    mfa_enrolled(s, &a->user.id, &enrolled) == SP_OK && enrolled)
		a->mfa_interval_s = j->decision.mfa_interval_s;
	judge_typed(j, a->typed, sizeof(a->typed));
	free(j);
}

struct key_left {
	const char	*fingerprint;
	int64_t		 now_us;
	size_t		 looked;
	int		 there;
};

static int
key_left_one(const struct sp_store_user_key *k, void *arg)
{
	struct key_left *l = arg;

	l->looked++;
	if (strcmp(k->fingerprint, l->fingerprint) == 0 && k->state == SP_STORE_ACTIVE &&
	    (k->valid_until_us == 0 || l->now_us < k->valid_until_us))
		l->there = 1;
	return l->there;
}

/* A key that is taken away, or a password that is changed, while a person is being asked for something, opens nothing. */
static enum sp_err
auth_work_first(struct sp_store *s, struct auth *a, int64_t now)
{
	const struct conn_first *first = &a->conn->first;
	struct key_left l = { first->fingerprint, now, 0, 0 };
	struct sp_store_query q = { .of = a->user.id, .checked = 1 };
	uint8_t sum[SP_SHA256_LEN];
	size_t before;
	enum sp_err r;

	sp_sha256(a->user.password_hash, strlen(a->user.password_hash), sum);
	if (a->is_password && !a->recheck) {
		memcpy(a->sum, sum, sizeof(sum));
		return SP_OK;
	}
	if (a->is_password || strcmp(first->method, "password") == 0) {
		if (memcmp(a->is_password ? a->sum : first->sum, sum, sizeof(sum)) != 0)
			a->refused = "the password was changed during the login";
		return SP_OK;
	}
	do {
		before = l.looked;
		r = sp_store_user_key_list(s, &q, key_left_one, &l);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && !l.there && l.looked - before == SP_STORE_PAGE_MAX);
	if (r == SP_OK && !l.there)
		a->refused = "the key was taken away during the login";
	return r;
}

static void
auth_work(struct ctl_job *j, struct sp_store *s)
{
	struct auth *a = sp_container(j, struct auth, job);
	struct sp_store_user_key *k = calloc(1, sizeof(*k));
	enum sp_err r = k == NULL ? SP_ENOMEM : sp_store_user_by_login(s, a->login, &a->user), rk = SP_ENOENT;
	int64_t now = ctl_wall_us();

	a->known = r == SP_OK;
	if (r == SP_ETAMPERED) {
		a->refused = "the user's row was changed behind Sallyport's back";
		r = SP_OK;
	}
	if (r == SP_ENOENT || r == SP_EINVAL) {
		a->refused = "no such user";
		r = SP_OK;
	}
	if (r == SP_OK && !a->is_password && !a->is_code) {
		rk = sp_store_user_key_by_blob(s, a->key, a->key_len, k);	/* for unknown users too: same time */
		if (rk == SP_ETAMPERED)
			a->refused = "the key's row was changed behind Sallyport's back";
		else if (rk != SP_OK && rk != SP_ENOENT && rk != SP_EINVAL)
			r = rk;
		else if (a->refused == NULL && (rk != SP_OK || !sp_uuid_equal(&k->user_id, &a->user.id)))
			a->refused = "the key is not registered for this user";
		else if (a->refused == NULL && k->state != SP_STORE_ACTIVE)
			a->refused = "the key is disabled";
		else if (a->refused == NULL && k->valid_until_us != 0 && now >= k->valid_until_us)
			a->refused = "the key has expired";
		if (rk == SP_OK)
			(void)sp_strlcpy(a->fingerprint, k->fingerprint, sizeof(a->fingerprint));
	}
	if (r == SP_OK && a->refused == NULL && (a->is_password || a->is_code))
		r = auth_work_first(s, a, now);
	if (r == SP_OK && a->refused == NULL)
		a->refused = judge_user_refused(&a->user, now);
	if (r == SP_OK && a->refused == NULL) {
		struct breakglass b;
		enum sp_err rb = breakglass_get(s, &a->user.id, &b);

		a->sealed = rb == SP_OK;
		if (rb != SP_OK && rb != SP_ENOENT)
			r = rb;
		else if (a->sealed && !a->is_password)
			a->refused = "a break-glass account is opened with its envelopes";
	}
	if (r == SP_OK && a->refused == NULL && (a->is_password || a->is_code ? a->recheck : a->signature_ok))
		auth_work_target(j->ctl, s, a);
	j->err = r;
	free(k);
}

/* The envelopes were right: written down, and its time begins, before anybody is let in. */
static void
open_work(struct ctl_job *j, struct sp_store *s)
{
	struct auth *a = sp_container(j, struct auth, job);

	j->err = breakglass_open(j->ctl, s, &a->conn->id, a->conn->source_text, &a->user);
}

/* Loud at every login, not only at the one that opens it. */
static void
open_done(struct ctl_job *j)
{
	struct auth *a = sp_container(j, struct auth, job);
	char text[SP_STORE_LOGIN_MAX + 64], at[SP_RFC3339_SIZE];
	struct audit_entry e = { .kind = "breakglass.login", .actor = a->user.login, .result = "ok", .source = a->conn->source_text,
	    .conn = &a->conn->id, .user = &a->user.id, .text = text };

	if (j->err != SP_OK || !conn_alive(a->conn)) {
		auth_refuse(a, "the break-glass account could not be opened");
		return;
	}
	sp_snprintf(text, sizeof(text), "%s, until %s", a->user.login, sp_rfc3339(a->user.valid_until_us, at, sizeof(at)));
	audit_append(a->conn->ctl->audit, &e, NULL, NULL);
	auth_accept(a);
}

static void
auth_open(struct auth *a)
{
	a->job.work = open_work;
	a->job.done = open_done;
	ctl_job_run(a->conn->ctl, CTL_WRITE, &a->job);
}

static void
auth_key_done(struct auth *a)
{
	struct conn *cn = a->conn;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;

	if (a->refused == NULL && !conn_epoch_ok(cn->ctl, &a->user.id, a->user.epoch))
		a->refused = "the user was disabled or changed during the login";
	if (a->refused != NULL) {
		/* "Would this key do?" is asked for every key of an agent: not a failure to count, and never a lock. */
		if (a->signature_ok) {
			auth_refuse(a, a->refused);
		} else {
			int flood = ++cn->offered > OFFERED_MAX;

			if (flood)
				cn->failed = UINT_MAX;
			failures_note(cn, a->login, "publickey", a->refused, flood);
			cn->logging_in = 0;
			auth_fail(cn, a->corr);
			auth_free(a);
		}
		return;
	}
	if (a->signature_ok) {
		auth_accept(a);
		return;
	}
	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__PK_OK;
	auth_methods(cn->ctl, &r);
	cn->logging_in = 0;
	conn_send(cn, SP_MSG_AUTH_REPLY, a->corr, &r);
	auth_free(a);
}

static void
check_put(struct auth *a)
{
	Sallyport__PasswordCheckPut p = SALLYPORT__PASSWORD_CHECK_PUT__INIT;
	int nobody = a->refused != NULL || *a->user.password_hash == '\0';
	uint64_t now = sp_now_us();

	p.check_id = ctl_uuid_bytes(&a->check_id);
	p.conn_id = ctl_uuid_bytes(&a->conn->id);
	p.hash = nobody ? ctl_str("") : a->user.password_hash;
	p.deadline_us = a->deadline_us;
	if (now < a->deadline_us)
		ctl_link_ask(a->conn->ctl->vault, SP_MSG_PWCHECK_PUT, &p, 0, a->deadline_us - now, NULL, NULL);
}

static void
auth_password_start(struct auth *a)
{
	struct ctl *c = a->conn->ctl;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;

	sp_uuid_make(&a->check_id);
	a->deadline_us = sp_now_us() + CHECK_LIFE_US;
	if (c->logins->checks.n >= CHECKS_MAX ||
	    sp_htab_insert(&c->logins->checks, &a->node, a->check_id.b, sizeof(a->check_id.b)) != SP_OK) {
		auth_refuse(a, "too many password checks at once");
		return;
	}
	a->in_table = 1;
	check_put(a);
	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__CHECK_PASSWORD;
	r.check_id = ctl_uuid_bytes(&a->check_id);
	conn_send(a->conn, SP_MSG_AUTH_REPLY, a->corr, &r);
}

/* ---- the one-time code ---- */

static void
code_asked(void *arg, const struct sp_uuid *check_id)
{
	struct auth *a = arg;
	Sallyport__AuthReply r = SALLYPORT__AUTH_REPLY__INIT;

	r.verdict = SALLYPORT__AUTH_REPLY__VERDICT__CHECK_CODE;
	r.check_id = ctl_uuid_bytes(check_id);
	conn_send(a->conn, SP_MSG_AUTH_REPLY, a->corr, &r);
}

static void
code_done(void *arg, const char *refused)
{
	struct auth *a = arg;

	if (refused != NULL) {
		auth_refuse(a, refused);
		return;
	}
	a->recheck = 1;
	ctl_job_run(a->conn->ctl, CTL_READ, &a->job);
}

static void
auth_code(struct auth *a)
{
	static const struct mfa_ops ops = { code_asked, code_done };

	if (a->refused == NULL && !sp_uuid_equal(&a->user.id, &a->conn->first.user_id))
		a->refused = "the user was changed during the login";
	if (a->refused != NULL)
		auth_refuse(a, a->refused);
	else if (a->recheck)
		auth_accept(a);
	else
		mfa_check(a->conn, &a->user.id, a->user.login, &ops, a);
}

static void
auth_done(struct ctl_job *j)
{
	struct auth *a = sp_container(j, struct auth, job);

	if (!conn_alive(a->conn)) {
		a->conn->logging_in = 0;
		auth_free(a);
	} else if (j->err != SP_OK) {
		sp_warn("a login could not be looked up: %s", sp_err_text(j->err));
		a->conn->logging_in = 0;
		auth_fail(a->conn, a->corr);
		auth_free(a);
	} else if (a->is_code) {
		auth_code(a);
	} else if (!a->is_password) {
		auth_key_done(a);
	} else if (!a->recheck) {
		/* Hashed against nothing, in the same time, with the same answer. */
		if (a->refused == NULL && failures_wait(j->ctl, a->login, a->conn->source_text))
			a->refused = "waits after wrong passwords from this address";
		auth_password_start(a);
	} else if (a->refused != NULL) {
		auth_refuse(a, a->refused);
	} else if (a->sealed) {
		auth_open(a);
	} else {
		auth_accept(a);		/* the password was right, and the rows still say yes */
	}
}

void
login_result(struct ctl *c, const Sallyport__PasswordCheckResult *r)
{
	struct sp_hnode *n = NULL;
	struct auth *a;
	struct sp_uuid id;

	if (ctl_uuid_of(&r->check_id, &id) == SP_OK)
		n = sp_htab_find(&c->logins->checks, id.b, sizeof(id.b));
	if (n == NULL)
		return;
	a = sp_container(n, struct auth, node);
	sp_htab_remove(&c->logins->checks, &a->node);
	a->in_table = 0;
	if (!r->ok) {
		auth_refuse(a, a->refused != NULL ? a->refused : r->err == SP_EAUTH ? "wrong password" :
		    sp_err_text((enum sp_err)r->err));
		return;
	}
	if (a->refused != NULL) {
		auth_refuse(a, a->refused);
		return;
	}
	a->recheck = 1;
	ctl_job_run(c, CTL_READ, &a->job);
}

static void
ready_one(struct sp_hnode *n, void *arg)
{
	struct auth *a = sp_container(n, struct auth, node);

	(void)arg;
	check_put(a);
}

void
login_vault_ready(struct ctl *c)
{
	sp_htab_each(&c->logins->checks, ready_one, NULL);
}

struct tick {
	struct ctl	*ctl;
	uint64_t	 now_us;
};

static void
tick_one(struct sp_hnode *n, void *arg)
{
	struct auth *a = sp_container(n, struct auth, node);
	const struct tick *t = arg;

	if (t->now_us < a->deadline_us && conn_alive(a->conn))
		return;
	sp_htab_remove(&t->ctl->logins->checks, &a->node);
	a->in_table = 0;
	auth_refuse(a, "no answer to a password check");
}

void
login_tick(struct ctl *c, uint64_t now_us)
{
	struct tick t = { c, now_us };

	sp_htab_each(&c->logins->checks, tick_one, &t);
}


void
login_ask(struct conn *cn, uint32_t corr, const Sallyport__AuthAsk *q)
{
	int is_key = strcmp(q->method, "publickey") == 0;
	int is_password = strcmp(q->method, "password") == 0 || strcmp(q->method, "keyboard-interactive") == 0;
	int is_code = strcmp(q->method, "code") == 0;
	struct auth *a;

	if (cn->authed) {
		conn_misbehaved(cn, "a login on a connection that is logged in");
		return;
	}
	if (cn->logging_in) {
		conn_misbehaved(cn, "two logins at once");
		return;
	}
	if ((!is_key && !is_password && !is_code) || (is_password && !cn->ctl->child.conf.password_login) ||
	    is_code != cn->first.passed || (is_code && strcmp(q->login, cn->first.login) != 0) ||
	    cn->ctl->stopping || cn->failed >= (unsigned)cn->ctl->child.conf.auth_tries) {
		auth_fail(cn, corr);	/* "none" is how a client asks what there is */
		return;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL) {
		auth_fail(cn, corr);
		return;
	}
	a->conn = conn_ref(cn);
	a->corr = corr;
	a->is_password = is_password;
	a->is_code = is_code;
	a->source = cn->source;
	a->mfa_interval_s = SP_POLICY_MFA_NEVER;
	if (!sp_text_is_plain(q->asset, strlen(q->asset)) || !sp_text_is_plain(q->account, strlen(q->account)) ||
	    sp_strlcpy(a->asset_text, q->asset, sizeof(a->asset_text)) != 0 ||
	    sp_strlcpy(a->account_text, q->account, sizeof(a->account_text)) != 0)
		a->asset_text[0] = '\0';	/* names nothing, and is refused later */
	a->signature_ok = q->signature_ok;
	sp_escape(q->client_version, strlen(q->client_version), a->client, sizeof(a->client));
	a->job.work = auth_work;
	a->job.done = auth_done;
	cn->logging_in = 1;
	if (!sp_text_is_plain(q->login, strlen(q->login)) || sp_strlcpy(a->login, q->login, sizeof(a->login)) != 0 ||
	    q->key_blob.len > sizeof(a->key) || (is_key && q->key_blob.len == 0)) {
		a->login[0] = '\0';	/* looked up all the same, and not found */
		a->key_len = 0;
	} else if (is_key) {
		memcpy(a->key, q->key_blob.data, q->key_blob.len);
		a->key_len = q->key_blob.len;
	}
	ctl_job_run(cn->ctl, CTL_READ, &a->job);
}

enum sp_err
login_new(struct ctl *c)
{
	if ((c->logins = calloc(1, sizeof(*c->logins))) == NULL)
		return SP_ENOMEM;
	return sp_htab_init(&c->logins->checks);
}

static void
free_one(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	auth_free(sp_container(n, struct auth, node));
}

void
login_free(struct ctl *c)
{
	if (c->logins == NULL)
		return;
	sp_htab_each(&c->logins->checks, free_one, &c->logins->checks);
	sp_htab_release(&c->logins->checks);
	free(c->logins);
	c->logins = NULL;
}
