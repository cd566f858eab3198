/* src/control/targets.c - the live targets: table, their place in a connection, their row in the evidence index, the
 * label that the monitor keeps. Process: control, event loop.
 * Invariants: (1) a target is in the table from TARGET_ASK until it has ended and neither session nor scribe is attached.
 * (2) END is written exactly once: by the scribe's event, or by control when no scribe can. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/wall.h"

#define RECHECK_LATE_US	(500 * (int64_t)SP_US_PER_MS)	/* the session ends itself in time, and says why */

struct target *
target_find(struct ctl *c, const struct sp_uuid *session_id)
{
	struct sp_hnode *n = sp_htab_find(&c->targets, session_id->b, sizeof(session_id->b));

	return n != NULL ? sp_container(n, struct target, node) : NULL;
}

struct target *
target_of(struct conn *cn, const ProtobufCBinaryData *session_id)
{
	struct sp_uuid id;
	struct target *t;

	if (ctl_uuid_of(session_id, &id) != SP_OK || (t = target_find(cn->ctl, &id)) == NULL || t->conn != cn) {
		conn_misbehaved(cn, "it named a session that is not its own");
		return NULL;
	}
	return t;
}

struct target *
target_new(struct ctl *c, const struct sp_uuid *session_id)
{
	struct target *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->ctl = c;
	t->refs = 1;
	t->row.id = *session_id;
	t->row.state = SP_STORE_LIVE;
	t->seq_seen = t->seq_durable = 0;
	sp_list_init(&t->of_conn);
	if (sp_htab_insert(&c->targets, &t->node, t->row.id.b, sizeof(t->row.id.b)) != SP_OK) {
		free(t);
		return NULL;
	}
	return t;
}

struct target *
target_ref(struct target *t)
{
	t->refs++;
	return t;
}

void
target_unref(struct target *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	sp_chan_free(t->scribe);
	free(t->path);
	free(t->shown);
	free(t);
}

void
target_bind(struct target *t, struct conn *cn)
{
	t->conn = cn;
	t->row.conn_id = cn->id;
	sp_list_add_tail(&cn->targets, &t->of_conn);
	cn->targets_n++;
}

void
target_unbind(struct target *t)
{
	if (t->conn == NULL)
		return;
	t->conn->targets_n--;
	sp_list_remove(&t->of_conn);
	t->conn = NULL;
	target_forget(t);
}

void
target_forget(struct target *t)
{
	if (!t->ended || t->scribe != NULL || t->loading || t->node.key == NULL)
		return;
	if (t->conn != NULL) {
		t->conn->targets_n--;
		sp_list_remove(&t->of_conn);
		t->conn = NULL;
	}
	sp_htab_remove(&t->ctl->targets, &t->node);
	t->node.key = NULL;
	target_unref(t);
}

struct index_job {
	struct ctl_job		job;
	struct sp_store_session	row;
};

static void
index_work(struct ctl_job *j, struct sp_store *s)
{
	struct index_job *i = sp_container(j, struct index_job, job);

	j->err = sp_store_session_put(s, &i->row);
}

static void
index_done(struct ctl_job *j)
{
	/* The audit log has it; the index is filled from there at the next start. */
	if (j->err != SP_OK && j->err != SP_ECLOSED)
		sp_error("a session could not be written to the index: %s", sp_err_text(j->err));
	free(sp_container(j, struct index_job, job));
}

void
target_index(struct target *t)
{
	struct index_job *i = calloc(1, sizeof(*i));

	if (i == NULL)
		return;
	i->row = t->row;
	i->job.work = index_work;
	i->job.done = index_done;
	i->job.bytes = sizeof(*i);
	ctl_job_run(t->ctl, CTL_INDEX, &i->job);
}

void
target_label(const struct target *t)
{
	Sallyport__Label l = SALLYPORT__LABEL__INIT;

	l.conn_id = ctl_uuid_bytes(&t->row.conn_id);
	l.session_id = ctl_uuid_bytes(&t->row.id);
	l.user = ctl_str(t->row.user_login);
	l.account = ctl_str(t->row.account);
	l.asset = ctl_str(t->row.asset_name);
	l.protocol = ctl_str(t->row.protocol);
	l.source_ip = ctl_str(t->row.source);
	l.started_wall_us = t->row.started_us;
	l.ended = t->ended != 0;
	if (sp_chan_send(t->ctl->child.monitor, SP_MSG_LABEL, 0, &l, NULL, 0) != SP_OK)
		sp_warn("the monitor does not take a label");
}

struct count {
	const struct sp_uuid	*user_id, *grant_id;
	size_t			 n;
};

static void
count_one(struct sp_hnode *n, void *arg)
{
	const struct target *t = sp_container(n, struct target, node);
	struct count *k = arg;

	if (t->ended || t->closed || t->killed || t->conn == NULL || !sp_uuid_equal(&t->row.user_id, k->user_id))
		return;
	for (size_t i = 0; i < t->limit_n; i++)
		if (sp_uuid_equal(&t->limit[i], k->grant_id)) {
			k->n++;
			return;
		}
}

void
target_limits(struct target *t, const struct sp_policy_limit *limit, size_t n)
{
	for (t->limit_n = 0; t->limit_n < n; t->limit_n++)
		t->limit[t->limit_n] = limit[t->limit_n].id;
}

size_t
target_count(const struct ctl *c, const struct sp_uuid *user_id, const struct sp_uuid *grant_id)
{
	struct count k = { user_id, grant_id, 0 };
	struct sp_htab t = c->targets;	/* a shallow copy: counting changes nothing */

	sp_htab_each(&t, count_one, &k);
	return k.n;
}

struct target_now {
	struct ctl	*ctl;
	uint64_t	 now_us;
	int64_t		 wall_us;
	int		 rejudge;
};

static void
tick_one(struct sp_hnode *n, void *arg)
{
	struct target *t = sp_container(n, struct target, node);
	struct target_now *k = arg;

	if (t->recheck_us != 0 && k->wall_us >= t->recheck_us + RECHECK_LATE_US && !t->ended) {
		t->recheck_us = 0;
		k->rejudge = 1;
	}
	if (t->lost_at_us == 0 || k->now_us < t->lost_at_us || t->ended)
		return;
	t->lost_at_us = 0;
	event_write_end(t, t->lost_reason, "system");
	target_forget(t);
}

void
target_tick(struct ctl *c, uint64_t now_us)
{
	struct target_now k = { c, now_us, ctl_wall_us(), 0 };

	sp_htab_each(&c->targets, tick_one, &k);
	if (k.rejudge)
		target_rejudge(c);
}

static void
release_one(struct sp_hnode *n, void *arg)
{
	struct target *t = sp_container(n, struct target, node);

	(void)arg;
	sp_htab_remove(&t->ctl->targets, n);
	if (t->conn != NULL)
		sp_list_remove(&t->of_conn);
	t->conn = NULL;
	target_unref(t);
}

void
target_release_all(struct ctl *c)
{
	sp_htab_each(&c->targets, release_one, NULL);
	sp_htab_release(&c->targets);
}
