/* src/control/mfa.c - see mfa.h. Process: control, event loop; rows in worker threads.
 *	factors_try -> rows (reader) -> CODE_PUT to the vault -> [session: CODE_CHECK] -> CODE_RESULT -> use up (writer)
 *	-> the file of this machine (factor_keep.c) -> mfa.ok durable -> done
 * While there is a store to read and none to write (a replica alone, a file that somebody holds), a reader looks whether the code
 * was used, and the file alone has it until the store takes it: a job of the index lane, made anew after a restart.
 * Invariants: (1) a step or recovery code is used up durably, in the store or in the file, before done(NULL). (2) Of two checks
 * with the same code one is told yes: factors_use() and the store decide. (3) An attempt is counted before it is made. */
#include "control/mfa.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/factor.h"
#include "control/factor_keep.h"
#include "control/judge.h"
#include "control/snapshot.h"
#include "control/wall.h"

#define CHECK_LIFE_US	(30 * SP_US_PER_S)	/* the code is there already when it is asked for */
#define CHECKS_MAX	10000
#define ENVELOPE_MAX	1024
#define HASH_LEN	32
#define SWEEP_US	(30 * SP_US_PER_S)
#define TOLD_US		(60 * SP_US_PER_S)

struct mfa_check {
	struct ctl_job		 job;
	struct sp_hnode		 node;		/* in mfa.checks while the vault is asked */
	struct conn		*conn;
	struct sp_uuid		 id, user_id, secret_id;
	char			 login[SP_STORE_LOGIN_MAX + 1];
	const struct mfa_ops	*ops;
	void			*arg;
	uint64_t		 deadline_us;
	const char		*refused;
	int			 counted;	/* factors_try has it */
	int64_t			 secret_version, step, epoch;
	struct sp_uuid		 recovery;	/* which one; null: a step */
	int			 late;		/* the store is yet to hear of it */
	size_t			 envelope_len;
	uint8_t			 envelope[ENVELOPE_MAX], hash[HASH_LEN];
	int			 has_hash, left;
};
struct mfa {
	pthread_mutex_t	mu;		/* of factors: workers count the guesses of administration calls */
	struct factors	factors;
	struct sp_htab	checks;
	struct keep	*keep;
	uint64_t	sweep_us;	/* the next one */
	uint64_t	told_us;	/* of the last entry about guessing; 0: none */
};

/* ---- is one wanted */

int
mfa_wanted(const struct conn *cn, const struct sp_uuid *user_id, int64_t interval_s)
{
	struct mfa *m = cn->ctl->mfa;
	int fresh;

	pthread_mutex_lock(&m->mu);
	fresh = factors_fresh(&m->factors, user_id, cn->source_text, &cn->id, interval_s, sp_now_us());
	pthread_mutex_unlock(&m->mu);
	return !fresh;
}

void
mfa_forget(struct ctl *c, const struct sp_uuid *user_id)
{
	struct factorlog r = { .kind = FACTORLOG_FORGET, .user = *user_id };
	int had;

	pthread_mutex_lock(&c->mfa->mu);
	had = factors_forget(&c->mfa->factors, user_id);
	pthread_mutex_unlock(&c->mfa->mu);
	if (had)
		keep_put(c->mfa->keep, &r, NULL, NULL);
}

enum sp_err
mfa_guess(struct ctl *c, const struct sp_uuid *user_id, const char *source)
{
	enum sp_err r;

	pthread_mutex_lock(&c->mfa->mu);
	r = factors_try(&c->mfa->factors, user_id, source, sp_now_us());
	pthread_mutex_unlock(&c->mfa->mu);
	return r;
}

void
mfa_guess_back(struct ctl *c, const struct sp_uuid *user_id, const char *source, int right)
{
	pthread_mutex_lock(&c->mfa->mu);
	factors_untry(&c->mfa->factors, user_id, source, right);
	pthread_mutex_unlock(&c->mfa->mu);
}

enum sp_err
mfa_enrolled(struct sp_store *s, const struct sp_uuid *user_id, int *ret)
{
	struct sp_store_totp t;
	enum sp_err r = sp_store_totp_get(s, user_id, &t);

	if (r != SP_OK && r != SP_ENOENT)
		return r;
	*ret = r == SP_OK && t.confirmed;
	return SP_OK;
}

void
mfa_text(const struct ctl *c, const char *asset, int is_enrolled, char *dst, size_t size)
{
	const char *host = c->child.conf.bastion_name;
	char e[200];

	sp_escape(asset, strlen(asset), e, sizeof(e));
	if (is_enrolled)
		sp_snprintf(dst, size, "%s wants a one-time code: use a terminal (ssh -t), or a new connection that names the target "
		    "(ssh USER@ACCOUNT@%s@%s) and may ask (no BatchMode).", e, e, host);
	else
		sp_snprintf(dst, size, "%s wants a one-time code and you have no second factor yet: 'ssh -t USER@%s totp enrol' sets one up, or "
		    "ask an administrator.", e, host);
}

/* ---- use it up */

struct recovery {
	const struct sp_view		*hash;
	struct sp_store_recovery	 row;
	int				 found, left;
	char				 text[SP_STORE_HASH_MAX + 1];
};

static int
recovery_row(const struct sp_store_recovery *row, void *arg)
{
	struct recovery *w = arg;

	if (row->used_us != 0)
		return 0;
	w->left++;
	if (strcmp(row->hash, w->text) == 0) {
		w->row = *row;
		w->found = 1;
	}
	return 0;
}

static enum sp_err
recovery_find(struct sp_store *s, const struct sp_uuid *user_id, const struct sp_view *hash, struct recovery *ret)
{
	struct recovery w = { .hash = hash };
	struct sp_store_query q = { .of = *user_id };
	enum sp_err r;

	if (hash->len * 2 >= sizeof(w.text))
		return SP_ESIZE;
	sp_hex(hash->p, hash->len, w.text);
	if ((r = sp_store_recovery_list(s, &q, recovery_row, &w)) != SP_OK)
		return r;
	*ret = w;
	return w.found ? SP_OK : SP_EDENIED;
}

static enum sp_err
recovery_spend(struct sp_store *s, struct sp_store_recovery *row)
{
	enum sp_err r;

	row->used_us = sp_wall_us();
	r = sp_store_recovery_update(s, row);
	return r == SP_ECONFLICT || r == SP_ENOENT ? SP_EDENIED : r;	/* somebody else was first */
}

enum sp_err
mfa_use(struct sp_store *s, const struct sp_uuid *user_id, int64_t step, const struct sp_view *hash, int *ret_left,
    struct sp_uuid *ret_id)
{
	struct recovery w;
	enum sp_err r;

	if (hash != NULL) {
		if ((r = recovery_find(s, user_id, hash, &w)) != SP_OK || (r = recovery_spend(s, &w.row)) != SP_OK)
			return r;
		*ret_left = w.left - 1;
		if (ret_id != NULL)
			*ret_id = w.row.id;
		return SP_OK;
	}
	if ((r = sp_store_totp_step(s, user_id, step)) != SP_OK)
		return r == SP_ENOENT ? SP_EDENIED : r;
	*ret_left = -1;
	return SP_OK;
}

/* ---- the store hears of it later */

struct late {
	struct ctl_job		job;
	struct factorlog	r;
};

/* Once written, twice is no harm. What the store does not have any more (the user, his factor) needs no word. */
static void
late_work(struct ctl_job *j, struct sp_store *s)
{
	const struct factorlog *r = &sp_container(j, struct late, job)->r;
	struct sp_store_recovery row;
	struct sp_store_totp t;

	if (!sp_uuid_is_null(&r->recovery)) {
		if ((j->err = sp_store_recovery_get(s, &r->recovery, &row)) == SP_OK && row.used_us == 0)
			j->err = recovery_spend(s, &row);
	} else if ((j->err = sp_store_totp_get(s, &r->user, &t)) == SP_OK && sp_uuid_equal(&t.secret_id, &r->secret)) {
		j->err = sp_store_totp_step(s, &r->user, r->step);
	}
	if (j->err == SP_EDENIED || j->err == SP_ENOENT)
		j->err = SP_OK;
}

static void
late_done(struct ctl_job *j)
{
	struct late *l = sp_container(j, struct late, job);
	struct mfa *m = j->ctl->mfa;

	if (m == NULL || snapshot_in_use(j->ctl)) {
		;	/* a copy has it; the next start asks the store itself */
	} else if (j->err == SP_OK) {
		pthread_mutex_lock(&m->mu);
		factors_written(&m->factors, &l->r.secret, l->r.step, sp_uuid_is_null(&l->r.recovery) ? NULL : &l->r.recovery);
		pthread_mutex_unlock(&m->mu);
		l->r.kind = FACTORLOG_WRITTEN;
		keep_put(m->keep, &l->r, NULL, NULL);
	} else if (j->err != SP_ECLOSED) {
		sp_error("a used one-time code could not be written to the store: %s; this machine remembers it", sp_err_text(j->err));
	}
	free(l);
}

static void
late_run(struct ctl *c, const struct factorlog *r)
{
	struct late *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return;		/* the next start tries again */
	l->r = *r;
	l->job.work = late_work;
	l->job.done = late_done;
	l->job.bytes = sizeof(*l);
	ctl_job_run(c, CTL_INDEX, &l->job);
}

/* ---- a check */

static void
check_free(struct mfa_check *k)
{
	conn_unref(k->conn);
	explicit_bzero(k->envelope, sizeof(k->envelope));
	free(k);
}

/* why NULL: right. wrong: it was a guess; else it was never looked at, and does not count. */
static void
check_end(struct mfa_check *k, const char *why, int wrong)
{
	struct mfa *m = k->conn->ctl->mfa;

	if (m == NULL) {		/* control ends */
		k->ops->done(k->arg, why);
		check_free(k);
		return;
	}
	if (k->counted && !wrong)
		mfa_guess_back(k->conn->ctl, &k->user_id, k->conn->source_text, why == NULL);
	if (why == NULL) {
		pthread_mutex_lock(&m->mu);
		factors_proved(&m->factors, &k->user_id, k->conn->source_text, &k->conn->id, sp_now_us());
		pthread_mutex_unlock(&m->mu);
	}
	k->ops->done(k->arg, why);
	check_free(k);
}

static void
check_durable(void *arg, enum sp_err err, uint64_t seq)
{
	(void)seq;
	check_end(arg, err != SP_OK ? "the audit log does not take the entry" : NULL, 0);
}

static void
check_log(struct mfa_check *k)
{
	json_t *more = json_pack("{s:s}", "method", k->has_hash ? "recovery" : "totp");
	struct audit_entry e = { .kind = "mfa.ok", .actor = k->login, .result = "ok", .source = k->conn->source_text,
	    .conn = &k->conn->id, .user = &k->user_id, .more = more };

	if (k->has_hash)
		json_object_set_new(more, "recovery_left", json_integer(k->left));
	audit_append(k->conn->ctl->audit, &e, check_durable, k);
	json_decref(more);
}

static void
check_record(const struct mfa_check *k, struct factorlog *ret)
{
	*ret = (struct factorlog){ .kind = k->late ? FACTORLOG_LATE : FACTORLOG_SHOWN, .user = k->user_id, .conn = k->conn->id,
	    .secret = k->secret_id, .step = k->has_hash ? 0 : k->step, .epoch = k->epoch };
	if (k->has_hash)
		ret->recovery = k->recovery;
	(void)sp_strlcpy(ret->source, k->conn->source_text, sizeof(ret->source));
}

static void
check_kept(void *arg, enum sp_err err)
{
	struct mfa_check *k = arg;
	struct factorlog r;

	if (err != SP_OK && k->late) {
		check_end(k, "the one-time code could not be used up", 0);
		return;
	}
	if (k->late && !snapshot_in_use(k->conn->ctl) && !k->conn->ctl->stopping) {
		check_record(k, &r);
		late_run(k->conn->ctl, &r);
	}
	check_log(k);	/* not kept and written by the store: after a restart he is asked again */
}

static void
check_used(struct mfa_check *k)
{
	check_end(k, k->has_hash ? "wrong or used recovery code" : "the one-time code was used already", 1);
}

/* Of this machine's own memory: whatever a replica has not heard of, and what is under way beside us. */
static enum sp_err
check_take(struct mfa_check *k)
{
	struct mfa *m = k->conn->ctl->mfa;
	enum sp_err r;

	pthread_mutex_lock(&m->mu);
	r = factors_use(&m->factors, &k->secret_id, k->step, k->has_hash ? &k->recovery : NULL, k->late, sp_now_us());
	pthread_mutex_unlock(&m->mu);
	return r;
}

static void
check_keep(struct mfa_check *k)
{
	struct factorlog r;

	k->late |= snapshot_in_use(k->conn->ctl);	/* what is carried back is carried by this process only */
	check_record(k, &r);
	keep_put(k->conn->ctl->mfa->keep, &r, check_kept, k);
}

/* No store takes it: was it used, as far as the one that can be read knows? */
static void
look_work(struct ctl_job *j, struct sp_store *s)
{
	struct mfa_check *k = sp_container(j, struct mfa_check, job);
	struct sp_view hash = { k->hash, sizeof(k->hash) };
	struct sp_store_totp t;
	struct recovery w;

	if (k->has_hash) {
		if ((j->err = recovery_find(s, &k->user_id, &hash, &w)) == SP_OK) {
			k->recovery = w.row.id;
			k->left = w.left - 1;
		}
	} else if ((j->err = sp_store_totp_get(s, &k->user_id, &t)) == SP_OK &&
	    (!t.confirmed || !sp_uuid_equal(&t.secret_id, &k->secret_id) || k->step <= t.last_step)) {
		j->err = SP_EDENIED;
	}
}

static void
look_done(struct ctl_job *j)
{
	struct mfa_check *k = sp_container(j, struct mfa_check, job);
	struct mfa *m = j->ctl->mfa;
	enum sp_err r = j->err;

	if (r == SP_OK && k->has_hash) {
		r = check_take(k);
	} else if (r == SP_OK) {	/* a step was taken before the store was asked */
		pthread_mutex_lock(&m->mu);
		factors_late(&m->factors, &k->secret_id, k->step, NULL);
		pthread_mutex_unlock(&m->mu);
	}
	if (r == SP_OK)
		check_keep(k);
	else if (r == SP_EDENIED)
		check_used(k);
	else
		check_end(k, "the one-time code could not be used up", 0);
}

static void
use_work(struct ctl_job *j, struct sp_store *s)
{
	struct mfa_check *k = sp_container(j, struct mfa_check, job);
	struct sp_view hash = { k->hash, sizeof(k->hash) };

	j->err = mfa_use(s, &k->user_id, k->step, k->has_hash ? &hash : NULL, &k->left, &k->recovery);
}

static void
use_done(struct ctl_job *j)
{
	struct mfa_check *k = sp_container(j, struct mfa_check, job);
	enum sp_err r = j->err;

	if (r == SP_EUNAVAIL || r == SP_EBUSY || r == SP_ETIMEOUT) {
		k->late = 1;
		k->job.work = look_work;
		k->job.done = look_done;
		ctl_job_run(j->ctl, CTL_READ, &k->job);
		return;
	}
	if (r == SP_OK && k->has_hash)
		r = check_take(k);
	if (r == SP_OK)
		check_keep(k);
	else if (r == SP_EDENIED)
		check_used(k);
	else
		check_end(k, "the one-time code could not be used up", 0);
}

void
mfa_vault_result(struct ctl *c, const Sallyport__CodeResult *r)
{
	struct sp_hnode *n = NULL;
	struct mfa_check *k;
	struct sp_uuid id;
	enum sp_err e;

	if (ctl_uuid_of(&r->check_id, &id) == SP_OK)
		n = sp_htab_find(&c->mfa->checks, id.b, sizeof(id.b));
	if (n == NULL)
		return;
	k = sp_container(n, struct mfa_check, node);
	sp_htab_remove(&c->mfa->checks, n);
	if (r->err != SP_OK) {
		check_end(k, r->err == SP_EAUTH ? "wrong one-time code" : sp_err_text((enum sp_err)r->err), r->err == SP_EAUTH);
		return;
	}
	k->has_hash = r->recovery.len == sizeof(k->hash);
	if (k->has_hash)
		memcpy(k->hash, r->recovery.data, sizeof(k->hash));
	k->step = r->step;
	if (!k->has_hash && k->step <= 0) {
		check_end(k, "the vault's answer makes no sense", 1);
		return;
	}
	if (!k->has_hash && (e = check_take(k)) != SP_OK) {
		if (e == SP_EDENIED)
			check_used(k);
		else
			check_end(k, "too many used codes to remember", 0);
		return;
	}
	k->job.work = use_work;
	k->job.done = use_done;
	ctl_job_run(c, CTL_WRITE, &k->job);
}

static void
check_put(struct mfa_check *k)
{
	Sallyport__CodePut p = SALLYPORT__CODE_PUT__INIT;

	p.check_id = ctl_uuid_bytes(&k->id);
	p.conn_id = ctl_uuid_bytes(&k->conn->id);
	p.user_id = ctl_uuid_bytes(&k->user_id);
	p.secret_id = ctl_uuid_bytes(&k->secret_id);
	p.secret_version = (uint32_t)k->secret_version;
	p.envelope = ctl_bytes(k->envelope, k->envelope_len);
	p.deadline_us = k->deadline_us;
	p.wall_us = ctl_wall_dating_us();
	ctl_link_ask(k->conn->ctl->vault, SP_MSG_CODE_PUT, &p, 0, CHECK_LIFE_US, NULL, NULL);
}

static void
rows_work(struct ctl_job *j, struct sp_store *s)
{
	struct mfa_check *k = sp_container(j, struct mfa_check, job);
	struct sp_store_secret *sec = malloc(sizeof(*sec));
	struct sp_store_totp t;
	struct sp_store_user u;
	enum sp_err r = sec == NULL ? SP_ENOMEM : sp_store_totp_get(s, &k->user_id, &t);

	if (r == SP_OK && (r = sp_store_user_get(s, &k->user_id, &u)) == SP_OK)
		k->epoch = u.epoch;

	if (r == SP_ENOENT || (r == SP_OK && !t.confirmed)) {
		k->refused = "the user has no second factor";
		r = SP_OK;
	} else if (r == SP_OK && (r = sp_store_secret_get(s, &t.secret_id, sec)) == SP_OK) {
		if (sec->kind != SP_STORE_SECRET_TOTP || sec->ciphertext.len > sizeof(k->envelope))
			r = SP_ECORRUPT;
		else
			memcpy(k->envelope, sec->ciphertext.b, k->envelope_len = sec->ciphertext.len);
		k->secret_id = sec->id;
		k->secret_version = sec->secret_version;
	}
	free(sec);
	j->err = r;
}

static void
rows_done(struct ctl_job *j)
{
	struct mfa_check *k = sp_container(j, struct mfa_check, job);
	struct ctl *c = j->ctl;

	if (!conn_alive(k->conn)) {
		check_end(k, "the connection ended", 0);
	} else if (j->err != SP_OK) {
		check_end(k, "the second factor could not be looked up", 0);
	} else if (k->refused != NULL) {
		check_end(k, k->refused, 1);
	} else if (!c->vault_view.known || c->vault_view.sealed) {
		check_end(k, "the vault is sealed", 0);
	} else if (c->mfa->checks.n >= CHECKS_MAX || sp_htab_insert(&c->mfa->checks, &k->node, k->id.b, sizeof(k->id.b)) != SP_OK) {
		check_end(k, "too many code checks at once", 0);
	} else {
		check_put(k);
		k->ops->asked(k->arg, &k->id);
	}
}

/* Somebody who has a first factor guesses at the second one from many places: at most one alarm a minute. */
static void
guessing_log(struct mfa_check *k)
{
	struct ctl *c = k->conn->ctl;
	uint64_t now = sp_now_us();
	struct audit_entry e = { .kind = "mfa.guessing", .actor = k->login, .result = "refused", .source = k->conn->source_text,
	    .conn = &k->conn->id, .user = &k->user_id, .text = "too many wrong one-time codes from many addresses" };

	if (c->mfa->told_us != 0 && now - c->mfa->told_us < TOLD_US)
		return;
	c->mfa->told_us = now;
	audit_append(c->audit, &e, NULL, NULL);
}

static const char *
check_bound(struct mfa_check *k)
{
	switch (mfa_guess(k->conn->ctl, &k->user_id, k->conn->source_text)) {
	case SP_OK:
		k->counted = 1;
		return NULL;
	case SP_EBUSY:
		return "waits after wrong one-time codes from this address";
	default:
		guessing_log(k);
		return "waits after wrong one-time codes from many addresses";
	}
}

void
mfa_check(struct conn *cn, const struct sp_uuid *user_id, const char *login, const struct mfa_ops *ops, void *arg)
{
	struct mfa_check *k = calloc(1, sizeof(*k));
	const char *why;

	if (k == NULL) {
		ops->done(arg, "out of memory");
		return;
	}
	k->conn = conn_ref(cn);
	k->user_id = *user_id;
	k->ops = ops;
	k->arg = arg;
	k->deadline_us = sp_now_us() + CHECK_LIFE_US;
	(void)sp_strlcpy(k->login, login, sizeof(k->login));
	sp_uuid_make(&k->id);
	if ((why = check_bound(k)) != NULL) {
		check_end(k, why, 1);
		return;
	}
	k->job.work = rows_work;
	k->job.done = rows_done;
	ctl_job_run(cn->ctl, CTL_READ, &k->job);
}

/* ---- MFA_ASK: a session that is logged in */

struct asking {
	struct ctl_job	 job;
	struct conn	*conn;
	uint32_t	 corr;
	int		 enrolled;
	struct judge	 j;
};

static void
answer(struct conn *cn, uint32_t corr, Sallyport__MfaReply__Verdict v, const char *text, const struct sp_uuid *check_id)
{
	Sallyport__MfaReply r = SALLYPORT__MFA_REPLY__INIT;

	if (!conn_alive(cn))
		return;
	r.verdict = v;
	r.text = ctl_str(text);
	if (check_id != NULL)
		r.check_id = ctl_uuid_bytes(check_id);
	conn_send(cn, SP_MSG_MFA_REPLY, corr, &r);
}

static void
asking_asked(void *arg, const struct sp_uuid *check_id)
{
	struct asking *a = arg;

	answer(a->conn, a->corr, SALLYPORT__MFA_REPLY__VERDICT__CHECK, "", check_id);
}

static void
asking_free(struct asking *a)
{
	conn_unref(a->conn);
	free(a);
}

static void
asking_checked(void *arg, const char *refused)
{
	struct asking *a = arg;
	struct conn *cn = a->conn;

	cn->coding = 0;
	if (refused == NULL) {
		answer(cn, a->corr, SALLYPORT__MFA_REPLY__VERDICT__OK, "", NULL);
	} else if (conn_alive(cn)) {
		failures_note(cn, cn->login, "code", refused, 1);
		answer(cn, a->corr, SALLYPORT__MFA_REPLY__VERDICT__FAIL, "That code was not accepted.", NULL);
		if (++cn->failed >= (unsigned)cn->ctl->child.conf.auth_tries)
			conn_kill(cn, NULL, "too many wrong one-time codes", "system");
	}
	asking_free(a);
}

static void
probe_work(struct ctl_job *cj, struct sp_store *s)
{
	struct asking *a = sp_container(cj, struct asking, job);
	struct sp_config conf;

	ctl_conf_copy(cj->ctl, &conf);
	judge_run(s, &conf, &a->j);
	cj->err = mfa_enrolled(s, &a->j.user_id, &a->enrolled);
}

/* What is refused anyway, or cannot be judged now, wants no code: the question for the target says why. */
static void
probe_done(struct ctl_job *cj)
{
	struct asking *a = sp_container(cj, struct asking, job);
	struct conn *cn = a->conn;
	int wanted = cj->err == SP_OK && a->j.err == SP_OK && a->enrolled &&
	    mfa_wanted(cn, &cn->user_id, a->j.decision.mfa_interval_s);
	char typed[SP_STORE_LOGIN_MAX + SP_STORE_NAME_MAX + 2];
	Sallyport__MfaReply r = SALLYPORT__MFA_REPLY__INIT;

	cn->coding = 0;
	judge_typed(&a->j, typed, sizeof(typed));
	r.verdict = wanted ? SALLYPORT__MFA_REPLY__VERDICT__NEEDED : SALLYPORT__MFA_REPLY__VERDICT__OK;
	r.typed = typed;
	if (conn_alive(cn))
		conn_send(cn, SP_MSG_MFA_REPLY, a->corr, &r);
	asking_free(a);
}

static void
probe_start(struct asking *a, const Sallyport__MfaAsk *q)
{
	const struct conn *cn = a->conn;

	a->j.user_id = cn->user_id;
	a->j.epoch = cn->epoch;
	a->j.source = cn->source;
	a->j.only_asset = cn->inner ? cn->inner_asset : (struct sp_uuid){ 0 };
	if (!sp_text_is_plain(q->asset, strlen(q->asset)) || !sp_text_is_plain(q->account, strlen(q->account)) ||
	    sp_strlcpy(a->j.asset_text, q->asset, sizeof(a->j.asset_text)) != 0 ||
	    sp_strlcpy(a->j.account_text, q->account, sizeof(a->j.account_text)) != 0)
		a->j.asset_text[0] = '\0';		/* names nothing, and is refused later */
	a->job.work = probe_work;
	a->job.done = probe_done;
	ctl_job_run(cn->ctl, CTL_READ, &a->job);
}

void
mfa_ask(struct conn *cn, uint32_t corr, const Sallyport__MfaAsk *q)
{
	static const struct mfa_ops ops = { asking_asked, asking_checked };
	struct asking *a;

	if (cn->coding) {		/* on another channel */
		answer(cn, corr, SALLYPORT__MFA_REPLY__VERDICT__FAIL, "Another code is being checked: try again.", NULL);
		return;
	}
	if ((a = calloc(1, sizeof(*a))) == NULL) {
		conn_kill(cn, NULL, "out of memory", "system");
		return;
	}
	a->conn = conn_ref(cn);
	a->corr = corr;
	cn->coding = 1;
	if (q->probe)
		probe_start(a, q);
	else
		mfa_check(cn, &cn->user_id, cn->login, &ops, a);
}

/* ---- upkeep */

struct tick {
	struct ctl	*ctl;
	uint64_t	 now_us;
};

static void
tick_one(struct sp_hnode *n, void *arg)
{
	struct mfa_check *k = sp_container(n, struct mfa_check, node);
	const struct tick *t = arg;

	if (t->now_us < k->deadline_us && conn_alive(k->conn))
		return;
	sp_htab_remove(&t->ctl->mfa->checks, n);
	check_end(k, "no answer to a code check", 0);
}

void
mfa_tick(struct ctl *c, uint64_t now_us)
{
	struct tick t = { c, now_us };
	struct factorlog r;

	sp_htab_each(&c->mfa->checks, tick_one, &t);
	while (keep_late(c->mfa->keep, &r))
		late_run(c, &r);
	if (now_us >= c->mfa->sweep_us) {
		c->mfa->sweep_us = now_us + SWEEP_US;
		pthread_mutex_lock(&c->mfa->mu);
		factors_sweep(&c->mfa->factors, now_us);
		pthread_mutex_unlock(&c->mfa->mu);
	}
}

enum sp_err
mfa_new(struct ctl *c)
{
	enum sp_err r;

	if ((c->mfa = calloc(1, sizeof(*c->mfa))) == NULL)
		return SP_ENOMEM;
	if (pthread_mutex_init(&c->mfa->mu, NULL) != 0)
		return SP_ENOMEM;
	if ((r = sp_htab_init(&c->mfa->checks)) != SP_OK)
		return r;
	if ((r = factors_init(&c->mfa->factors)) != SP_OK)
		return r;
	return keep_new(c, &c->mfa->keep);
}

void
mfa_load(struct ctl *c, struct sp_store *s)
{
	keep_load(c->mfa->keep, s, &c->mfa->factors, &c->mfa->mu);
}

static void
free_one(struct sp_hnode *n, void *arg)
{
	struct mfa *m = arg;
	struct mfa_check *k = sp_container(n, struct mfa_check, node);

	sp_htab_remove(&m->checks, n);
	k->ops->done(k->arg, "control ends");
	check_free(k);
}

void
mfa_free(struct ctl *c)
{
	if (c->mfa == NULL)
		return;
	keep_free(c->mfa->keep);	/* first: it hands out what was put */
	sp_htab_each(&c->mfa->checks, free_one, c->mfa);
	sp_htab_release(&c->mfa->checks);
	factors_release(&c->mfa->factors);
	pthread_mutex_destroy(&c->mfa->mu);
	free(c->mfa);
	c->mfa = NULL;
}
