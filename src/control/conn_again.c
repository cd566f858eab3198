/* src/control/conn_again.c - a session outlived the last control: is it still to be trusted, and with what?
 * The session names its user, epoch and targets. None of it is believed: the login must be in the audit log under this
 * connection's id or in session rows of this connection; the user must be active with that very epoch; the asset to
 * which a connection inside another one is bound is the one in the log; each target must
 * be a live row of this connection and user. Anything else ends it. Policy is judged again right after. */
#include "control/conn_again.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/judge.h"
#include "control/wall.h"
#include "control/zone.h"

#define AGAIN_TARGETS_MAX	64

struct again_target {
	struct sp_uuid		session_id, account_id;
	struct sp_store_session	row;
	struct judge_facts	facts;
	struct zone_path	*path;
	int64_t			last_seq;
	struct sp_policy_limit	limit[SP_POLICY_LIMITS];
	size_t			limit_n;
	int			good;
};
struct again {
	struct ctl_job		 job;
	struct conn		*conn;
	struct sp_uuid		 user_id;	/* claimed */
	int64_t			 epoch;
	int			 proven;	/* the audit log knows this login */
	struct sp_store_user	 user;
	const char		*refused;
	size_t			 n;
	struct again_target	 t[];
};

/* A session counts for the limits of its grants from the start; whether it may go on at all is judged right after. */
static void
again_limits_load(const struct again *a, struct sp_store *s, struct again_target *t)
{
	struct sp_policy_decision d;
	char why[300];

	if (judge_again(s, &a->user_id, a->epoch, &a->conn->source, &t->row.asset_id, t->row.account, 0, &d, NULL, why,
	    sizeof(why)) != SP_OK)
		return;
	memcpy(t->limit, d.limit, sizeof(t->limit));
	t->limit_n = d.limit_n;
}

static void
again_target_load(struct again *a, struct sp_store *s, struct again_target *t)
{
	char why[800];

	if (sp_store_session_get(s, &t->session_id, &t->row) != SP_OK || t->row.state != SP_STORE_LIVE ||
	    !sp_uuid_equal(&t->row.conn_id, &a->conn->id) || !sp_uuid_equal(&t->row.user_id, &a->user_id))
		return;
	a->proven = 1;
	/* The account's id is a claim too: with another one of the asset its credential would be leased under this name. */
	if (judge_facts_load(s, &a->user, &t->row.asset_id, &t->account_id, &t->facts) != SP_OK ||
	    strcmp(t->facts.account, t->row.account) != 0 ||
	    sp_store_event_last(s, &t->session_id, &t->last_seq) != SP_OK)
		return;
	if (zone_path_load(s, &t->facts.zone_id, &t->path, why, sizeof(why)) != SP_OK)
		sp_warn("the way to a live target is no longer what it was: %s", why);	/* it needs it no more */
	t->good = 1;
	again_limits_load(a, s, t);
}

static void
again_work(struct ctl_job *j, struct sp_store *s)
{
	struct again *a = sp_container(j, struct again, job);
	enum sp_err r = sp_store_user_get(s, &a->user_id, &a->user);

	if (r == SP_ENOENT)
		a->refused = "the user was deleted";
	else if (r != SP_OK)
		j->err = r;
	else if (judge_user_refused(&a->user, ctl_wall_us()) != NULL || a->user.epoch != a->epoch)
		a->refused = "the user was disabled or changed";
	for (size_t i = 0; i < a->n && a->refused == NULL && r == SP_OK; i++)
		again_target_load(a, s, &a->t[i]);
}

static void
again_target_bind(struct conn *cn, struct again_target *at)
{
	struct target *t = target_find(cn->ctl, &at->session_id);
	int64_t tail = boot_last_seq(cn->ctl, &at->session_id);

	if (t == NULL)
		t = target_new(cn->ctl, &at->session_id);
	if (t == NULL || t->conn != NULL)
		return;
	t->row = at->row;
	judge_facts_apply(&at->facts, t);
	free(t->path);
	t->path = at->path;
	at->path = NULL;
	if (t->seq_seen < at->last_seq)
		t->seq_seen = t->seq_durable = at->last_seq;
	if (t->seq_seen < tail)
		t->seq_seen = t->seq_durable = tail;
	t->lost_at_us = 0;
	target_limits(t, at->limit, at->limit_n);
	t->up = 1;
	target_bind(t, cn);
	target_label(t);
}

static void
again_done(struct ctl_job *j)
{
	struct again *a = sp_container(j, struct again, job);
	struct conn *cn = a->conn;

	cn->judging = 0;
	if (j->err != SP_OK) {
		conn_kill(cn, NULL, "the session could not be checked after a restart", "system");
	} else if (a->refused != NULL || !a->proven || !conn_epoch_ok(cn->ctl, &a->user.id, a->user.epoch)) {
		struct audit_entry e = { .kind = "conn.refused", .result = "refused", .source = cn->source_text,
		    .conn = &cn->id, .user = &a->user_id,
		    .text = a->refused != NULL ? a->refused : "the log knows no such login on this connection" };

		audit_append(cn->ctl->audit, &e, NULL, NULL);
		conn_kill(cn, NULL, a->refused != NULL ? a->refused : "the login could not be verified after a restart", "system");
	} else if (!cn->dying && cn->chan != NULL) {
		conn_logged_in(cn, &a->user);
		for (size_t i = 0; i < a->n; i++) {
			if (a->t[i].good)
				again_target_bind(cn, &a->t[i]);
			else
				sp_warn("a session named a target that is not its own or has ended");
		}
		conn_welcome(cn);
		conn_release_held(cn);
		target_rejudge(cn->ctl);
	}
	for (size_t i = 0; i < a->n; i++)
		free(a->t[i].path);
	conn_unref(cn);
	free(a);
}

void
conn_again(struct conn *cn, const Sallyport__Hello *h)
{
	struct again *a;
	struct boot_login known = { .epoch = -1 };
	int logged = boot_login_of(cn->ctl, &cn->id, &known) == SP_OK;
	size_t n = h->n_targets;

	if (n > AGAIN_TARGETS_MAX || (a = calloc(1, sizeof(*a) + n * sizeof(a->t[0]))) == NULL) {
		conn_misbehaved(cn, "HELLO names too many targets");
		return;
	}
	if (cn->born_inner && !(logged && known.inner)) {
		/* It may reach one asset, and nothing says which: not even a live session of its user makes up for that. */
		free(a);
		conn_kill(cn, NULL, "the connection inside another one could not be verified after a restart", "system");
		return;
	}
	if (logged && known.inner) {
		cn->inner = 1;
		cn->inner_asset = known.asset_id;
		(void)sp_strlcpy(cn->inner_asset_name, known.asset_name, sizeof(cn->inner_asset_name));
	}
	if (h->user_id.len == 0 && n == 0) {	/* inside another one, and never told who it is */
		a->user_id = known.user_id;
		a->epoch = known.epoch;
	} else if (ctl_uuid_of(&h->user_id, &a->user_id) != SP_OK) {
		free(a);
		conn_misbehaved(cn, "HELLO names a malformed user");
		return;
	}
	if (h->user_id.len > 0)
		a->epoch = (int64_t)h->epoch;
	a->n = n;
	for (size_t i = 0; i < n; i++)
		if (ctl_uuid_of(&h->targets[i]->session_id, &a->t[i].session_id) != SP_OK ||
		    ctl_uuid_of(&h->targets[i]->account_id, &a->t[i].account_id) != SP_OK) {
			free(a);
			conn_misbehaved(cn, "HELLO names a malformed target");
			return;
		}
	a->proven = logged && sp_uuid_equal(&known.user_id, &a->user_id) && known.epoch == a->epoch;
	a->conn = conn_ref(cn);
	a->job.work = again_work;
	a->job.done = again_done;
	cn->judging = 1;
	ctl_job_run(cn->ctl, CTL_READ, &a->job);
}
