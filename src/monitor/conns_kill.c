/* src/monitor/conns_kill.c - kill a connection, or one session on it: tell the process, then make sure. Process: monitor.
 * Works without control. Invariants: (1) a kill that is not done when its time is over ends the whole process, by its pidfd.
 * (2) Scribes learn who did it before their session's channel breaks. (3) The first kill counts: its words are in GONE. */
#include "monitor/conns.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define CONN_KILLS	64u			/* kills under way on one connection */

void
kill_free(struct kill *k)
{
	sp_list_remove(&k->link);
	k->conn->n_kills--;
	sp_timer_free(k->timer);
	free(k);
}

static void
kill_tell(struct live *l, struct kill *k)
{
	Sallyport__Kill msg = SALLYPORT__KILL__INIT;

	msg.conn_id = mon_id_bytes(&k->conn->l.id);
	if (!sp_uuid_is_null(&k->session_id))
		msg.session_id = mon_id_bytes(&k->session_id);
	msg.reason = k->reason;
	msg.by = k->by;
	if (l->chan != NULL && sp_chan_send(l->chan, SP_MSG_KILL, 0, &msg, NULL, 0) != SP_OK)
		live_signal_kill(l);
}

static void
kill_mark(struct live *l, const struct kill *k)
{
	if (l->killed)
		return;		/* the first one counts */
	l->killed = 1;
	(void)sp_strlcpy(l->reason, k->reason, sizeof(l->reason));
	(void)sp_strlcpy(l->by, k->by, sizeof(l->by));
}

static int
kill_concerns(const struct kill *k, const struct scribe *s)
{
	return sp_uuid_is_null(&k->session_id) || sp_uuid_equal(&k->session_id, &s->l.id);
}

/* Its recording has its end, or there never was one. */
static int
kill_is_done(const struct kill *k)
{
	struct scribe *s;

	if (sp_uuid_is_null(&k->session_id))
		return 0;	/* the process lives, or the kill would be gone with it */
	s = scribe_find(k->conn->l.m, &k->session_id);
	return s == NULL ? label_find(k->conn, &k->session_id) == NULL : s->finished;
}

/* Scribes learn who did it before their session's channel breaks. */
static void
kill_on_timer(struct sp_timer *t, void *arg)
{
	struct kill *k = arg;
	struct conn *c = k->conn;

	(void)t;
	if (!kill_is_done(k)) {
		sp_list_each(it, &c->scribes)
			kill_tell(&sp_container(it, struct scribe, link)->l, k);
		kill_mark(&c->l, k);
		live_signal_kill(&c->l);
	}
	kill_free(k);
}

struct kill *
kill_make(struct conn *c, const struct sp_uuid *session_id, const char *reason, const char *by, uint64_t at_us)
{
	struct kill *k = c->n_kills < CONN_KILLS ? calloc(1, sizeof(*k)) : NULL;

	if (k == NULL || sp_timer_new(c->l.m->loop, kill_on_timer, k, &k->timer) != SP_OK) {
		free(k);
		return NULL;
	}
	k->conn = c;
	if (session_id != NULL)
		k->session_id = *session_id;
	(void)sp_strlcpy(k->reason, reason, sizeof(k->reason));
	(void)sp_strlcpy(k->by, by, sizeof(k->by));
	sp_list_add_tail(&c->kills, &k->link);
	c->n_kills++;
	k->at_us = at_us;
	sp_timer_at(k->timer, at_us);
	return k;
}

void
kill_begin(struct conn *c, const struct sp_uuid *session, const char *reason, const char *by)
{
	struct kill *k = kill_make(c, session, reason, by, sp_now_us() + (uint64_t)c->l.m->conf.kill_after_ms * SP_US_PER_MS);

	if (k == NULL) {
		live_signal_kill(&c->l);	/* no room to be polite */
		return;
	}
	if (session == NULL)
		kill_mark(&c->l, k);
	sp_list_each(it, &c->scribes)
		if (kill_concerns(k, sp_container(it, struct scribe, link)))
			kill_mark(&sp_container(it, struct scribe, link)->l, k);
	kill_tell(&c->l, k);
}

enum sp_err
kill_on_msg(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__Kill *b = (const Sallyport__Kill *)msg->body;
	struct sp_uuid conn_id, session_id;
	struct conn *c;
	enum sp_err r;

	if ((r = mon_id_of(&b->conn_id, &conn_id)) != SP_OK)
		return r;
	if (b->session_id.len != 0 && (r = mon_id_of(&b->session_id, &session_id)) != SP_OK)
		return r;
	if ((c = conn_find(m, &conn_id)) != NULL)
		kill_begin(c, b->session_id.len != 0 ? &session_id : NULL, b->reason, b->by);
	return SP_OK;
}

enum sp_err
mon_kill_id(struct mon *m, const struct sp_uuid *id, const char *reason, const char *by)
{
	struct conn *c = conn_find(m, id);

	if (c != NULL) {
		kill_begin(c, NULL, reason, by);
		return SP_OK;
	}
	sp_list_each(it, &m->conn_list) {
		c = sp_container(it, struct conn, link);
		if (label_find(c, id) != NULL) {
			kill_begin(c, id, reason, by);
			return SP_OK;
		}
	}
	return SP_ENOENT;
}

void
mon_conns_kill_all(struct mon *m, const char *reason, const char *by)
{
	sp_list_each(it, &m->conn_list)
		kill_begin(sp_container(it, struct conn, link), NULL, reason, by);
}
