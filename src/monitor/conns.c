/* src/monitor/conns.c - live connections and their scribes: who was born, whom control and vault reach it through, what it
 * is called. conns_live.c watches their processes and tells of their end, conns_kill.c ends them. Process: monitor.
 *
 * A connection is one session process; each of its targets has one scribe process. The zygote (or the scribe parent)
 * forks them and may die before them: they are then our children (we are their subreaper).
 *
 * Invariants: (1) an id is in its table at most once. (2) A scribe outlives its connection, a label, a kill and a command
 * line do not. */
#include "monitor/conns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define CONN_LABELS	1024u			/* sessions on one connection */
#define BORN_RENEW	1000u			/* forks after which the zygote is replaced */

ProtobufCBinaryData
mon_id_bytes(struct sp_uuid *u)
{
	return (ProtobufCBinaryData){ sizeof(u->b), u->b };
}

enum sp_err
mon_id_of(const ProtobufCBinaryData *b, struct sp_uuid *ret)
{
	return b->data == NULL ? SP_EFORMAT : sp_uuid_from(b->data, b->len, ret);
}

struct conn *
conn_find(struct mon *m, const struct sp_uuid *id)
{
	struct sp_hnode *n = sp_htab_find(&m->conns, id->b, sizeof(id->b));

	return n == NULL ? NULL : live_conn(sp_container(n, struct live, node));
}

struct scribe *
scribe_find(struct mon *m, const struct sp_uuid *id)
{
	struct sp_hnode *n = sp_htab_find(&m->scribes, id->b, sizeof(id->b));

	return n == NULL ? NULL : live_scribe(sp_container(n, struct live, node));
}

/* ---- attachment */

static void
conn_tell_control(struct conn *c, int *fd, int again)
{
	Sallyport__Attach a = SALLYPORT__ATTACH__INIT;
	int fds[2];

	a.conn_id = mon_id_bytes(&c->l.id);
	a.pid = (uint32_t)c->l.pid;
	a.source_ip = c->source_ip;
	a.source_port = c->source_port;
	a.local_ip = c->local_ip;
	a.local_port = c->local_port;
	a.inner_token = (ProtobufCBinaryData){ c->inner_token_len, c->inner_token };
	a.born_us = c->born_us;
	a.again = again;
	fds[0] = fcntl(c->l.pidfd, F_DUPFD_CLOEXEC, 3);
	fds[1] = sp_steal_fd(fd);
	if (fds[0] == -1) {
		sp_error("no descriptor for a session: %s", strerror(errno));
		sp_closep(&fds[1]);
	} else if (mon_tell(c->l.m, SP_PROC_CONTROL, SP_MSG_ATTACH, &a, fds, 2) == SP_OK)
		c->l.known = 1;
}

static void
conn_tell_vault(struct conn *c, int *fd)
{
	Sallyport__Peer p = SALLYPORT__PEER__INIT;

	p.kind = SP_PROC_SESSION;
	p.conn_id = mon_id_bytes(&c->l.id);
	p.pid = (uint32_t)c->l.pid;
	(void)!mon_tell(c->l.m, SP_PROC_VAULT, SP_MSG_PEER, &p, fd, 1);	/* away: all are connected when it is back */
}

static void
scribe_tell_control(struct scribe *s, int *fd, int again)
{
	Sallyport__AttachScribe a = SALLYPORT__ATTACH_SCRIBE__INIT;

	a.conn_id = mon_id_bytes(&s->conn_id);
	a.session_id = mon_id_bytes(&s->l.id);
	a.pid = (uint32_t)s->l.pid;
	a.again = again;
	if (mon_tell(s->l.m, SP_PROC_CONTROL, SP_MSG_ATTACH_SCRIBE, &a, fd, 1) == SP_OK)
		s->l.known = 1;
}

static void
conn_reattach(struct conn *c, enum sp_proc what)
{
	int sv[2];

	if (sp_chan_pair(sv) != SP_OK) {
		sp_error("no socketpair for a session: %s", strerror(errno));
		return;
	}
	if (what == SP_PROC_CONTROL)
		conn_tell_control(c, &sv[0], 1);
	else
		conn_tell_vault(c, &sv[0]);
	live_tell_peer(&c->l, what, &sv[1]);
}

static void
scribe_reattach(struct scribe *s)
{
	int sv[2];

	if (s->l.pidfd == -1 || s->l.over)
		return;
	if (sp_chan_pair(sv) != SP_OK) {
		sp_error("no socketpair for a scribe: %s", strerror(errno));
		return;
	}
	scribe_tell_control(s, &sv[0], 1);
	live_tell_peer(&s->l, SP_PROC_CONTROL, &sv[1]);
}

/* ---- scribes */

void
scribe_free(struct scribe *s)
{
	sp_htab_remove(&s->l.m->scribes, &s->l.node);
	sp_list_remove(&s->link);
	live_release(&s->l);
	sp_closep(&s->end_session);
	sp_closep(&s->end_control);
	free(s);
}

struct scribe *
scribe_make(struct mon *m, const struct sp_uuid *id, const struct sp_uuid *conn_id, struct conn *c)
{
	struct scribe *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->l = (struct live){ .m = m, .id = *id, .is_scribe = 1, .pidfd = -1, .wait_status = STATUS_UNKNOWN };
	s->conn = c;
	s->conn_id = *conn_id;
	s->end_session = s->end_control = -1;
	sp_list_add_tail(c != NULL ? &c->scribes : &m->orphans, &s->link);
	if (sp_htab_insert(&m->scribes, &s->l.node, s->l.id.b, sizeof(s->l.id.b)) != SP_OK) {
		scribe_free(s);
		return NULL;
	}
	return s;
}

/* Three pairs: our ends of the first two wait until it is born. Also used again when the parent died before it forked. */
static enum sp_err
scribe_order(struct scribe *s)
{
	struct mon *m = s->l.m;
	Sallyport__ScribeNew n = SALLYPORT__SCRIBE_NEW__INIT;
	int theirs[3] = { -1, -1, -1 }, ours[3] = { -1, -1, -1 };
	enum sp_err r = SP_OK;

	for (int i = 0; i < 3 && r == SP_OK; i++) {
		int sv[2];

		if ((r = sp_chan_pair(sv)) == SP_OK) {
			ours[i] = sv[0];
			theirs[i] = sv[1];
		}
	}
	if (r != SP_OK) {
		for (int i = 0; i < 3; i++) {
			sp_closep(&ours[i]);
			sp_closep(&theirs[i]);
		}
		return r;
	}
	sp_closep(&s->end_session);
	sp_closep(&s->end_control);
	s->end_session = ours[0];
	s->end_control = ours[1];
	sp_chan_free(s->l.chan);
	s->l.chan = NULL;
	s->finished = 0;
	if ((r = live_open(&s->l, &ours[2], SP_PROC_SCRIBE)) != SP_OK) {
		for (int i = 0; i < 3; i++)
			sp_closep(&theirs[i]);
		return r;
	}
	n.conn_id = mon_id_bytes(&s->conn_id);
	n.session_id = mon_id_bytes(&s->l.id);
	n.recipients = (ProtobufCBinaryData){ s->recipients_n, s->recipients };
	n.reserved = s->reserved;
	n.keep = s->keep;
	n.keep_max = s->keep_max;
	r = mon_tell(m, SP_PROC_SCRIBE, SP_MSG_SCRIBE_NEW, &n, theirs, 3);
	return r == SP_ECLOSED ? SP_OK : r;	/* away: ordered again when it is back */
}

static enum sp_err
on_scribe_spawn(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__ScribeSpawn *b = (const Sallyport__ScribeSpawn *)msg->body;
	struct sp_uuid conn_id, session_id;
	struct scribe *s;
	struct conn *c;
	enum sp_err r;

	if ((r = mon_id_of(&b->conn_id, &conn_id)) != SP_OK || (r = mon_id_of(&b->session_id, &session_id)) != SP_OK)
		return r;
	if ((c = conn_find(m, &conn_id)) == NULL)
		return SP_OK;	/* it ended while control decided */
	if (scribe_find(m, &session_id) != NULL)
		return SP_EEXIST;
	if (b->recipients.len > MON_RECIPIENTS)
		return SP_ESIZE;
	if ((s = scribe_make(m, &session_id, &conn_id, c)) == NULL) {
		sp_error("cannot order a scribe: no memory");
		return SP_OK;
	}
	if (b->recipients.len > 0)
		memcpy(s->recipients, b->recipients.data, b->recipients.len);
	s->recipients_n = b->recipients.len;
	s->reserved = b->reserved;
	s->keep = b->keep;
	s->keep_max = b->keep_max;
	if (scribe_order(s) != SP_OK) {
		sp_error("cannot order a scribe: %s", strerror(errno));
		scribe_free(s);
	}
	return SP_OK;
}

static enum sp_err
on_scribe_born(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__Born *b = (const Sallyport__Born *)msg->body;
	Sallyport__ScribeLink link = SALLYPORT__SCRIBE_LINK__INIT;
	struct sp_uuid id;
	struct scribe *s;
	enum sp_err r;

	if ((r = mon_id_of(&b->session_id, &id)) != SP_OK)
		return r;
	if ((s = scribe_find(m, &id)) == NULL)
		return SP_OK;	/* its connection ended first; without channels it leaves by itself */
	if (s->l.pid != 0)
		return SP_EEXIST;
	if ((r = live_watch(&s->l, m, b->pid, &msg->fds[0])) != SP_OK)
		return r;
	link.session_id = mon_id_bytes(&s->l.id);
	scribe_tell_control(s, &s->end_control, 0);
	if (s->conn != NULL && s->conn->l.chan != NULL &&
	    sp_chan_send(s->conn->l.chan, SP_MSG_SCRIBE_LINK, 0, &link, &s->end_session, 1) != SP_OK)
		sp_warn("session %d does not take its scribe", (int)s->conn->l.pid);
	sp_closep(&s->end_session);
	return SP_OK;
}

/* ---- connections */

void
label_free(struct conn *c, struct label *b)
{
	sp_list_remove(&b->link);
	c->n_labels--;
	free(b);
}

struct label *
label_find(struct conn *c, const struct sp_uuid *id)
{
	sp_list_each(it, &c->labels) {
		struct label *b = sp_container(it, struct label, link);

		if (sp_uuid_equal(&b->session_id, id))
			return b;
	}
	return NULL;
}

struct label *
label_make(struct conn *c, const struct sp_uuid *session_id)
{
	struct label *b = c->n_labels < CONN_LABELS ? calloc(1, sizeof(*b)) : NULL;

	if (b == NULL)
		return NULL;
	b->session_id = *session_id;
	sp_list_add_tail(&c->labels, &b->link);
	c->n_labels++;
	return b;
}

/* Scribes finish their recording by themselves; those that were not even born have nothing to finish. */
void
conn_free(struct conn *c)
{
	struct mon *m = c->l.m;

	sp_list_each(it, &c->scribes) {
		struct scribe *s = sp_container(it, struct scribe, link);

		s->conn = NULL;
		if (s->l.pid == 0)
			scribe_free(s);
		else {
			sp_list_remove(&s->link);
			sp_list_add_tail(&m->orphans, &s->link);
		}
	}
	sp_list_each(jt, &c->labels)
		label_free(c, sp_container(jt, struct label, link));
	sp_list_each(kt, &c->kills)
		kill_free(sp_container(kt, struct kill, link));
	mon_shells_end(m, &c->l.id);
	sp_htab_remove(&m->conns, &c->l.node);
	sp_list_remove(&c->link);
	live_release(&c->l);
	free(c);
}

struct conn *
conn_make(struct mon *m, const struct sp_uuid *id)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->l = (struct live){ .m = m, .id = *id, .pidfd = -1, .wait_status = STATUS_UNKNOWN };
	sp_list_init(&c->link);
	sp_list_init(&c->scribes);
	sp_list_init(&c->labels);
	sp_list_init(&c->kills);
	if (sp_htab_insert(&m->conns, &c->l.node, c->l.id.b, sizeof(c->l.id.b)) != SP_OK) {
		free(c);
		return NULL;
	}
	sp_list_add_tail(&m->conn_list, &c->link);
	return c;
}

static struct conn *
conn_new(struct mon *m, const struct sp_uuid *id, const Sallyport__Born *b)
{
	struct conn *c = conn_make(m, id);

	if (c == NULL)
		return NULL;
	(void)sp_strlcpy(c->source_ip, b->source_ip, sizeof(c->source_ip));
	(void)sp_strlcpy(c->local_ip, b->local_ip, sizeof(c->local_ip));
	c->source_port = b->source_port;
	c->local_port = b->local_port;
	c->born_us = b->born_us;
	if (b->inner_token.len > 0 && b->inner_token.len <= sizeof(c->inner_token)) {
		memcpy(c->inner_token, b->inner_token.data, b->inner_token.len);
		c->inner_token_len = b->inner_token.len;
	}
	return c;
}

/* Descriptors: pidfd, and the session's far ends to monitor, control and vault. */
static enum sp_err
on_born(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__Born *b = (const Sallyport__Born *)msg->body;
	struct sp_uuid id;
	struct conn *c;
	enum sp_err r;

	if ((r = mon_id_of(&b->conn_id, &id)) != SP_OK)
		return r;
	if (conn_find(m, &id) != NULL)
		return SP_EEXIST;
	if ((c = conn_new(m, &id, b)) == NULL)
		return SP_ENOMEM;
	if ((r = live_watch(&c->l, m, b->pid, &msg->fds[0])) != SP_OK ||
	    (r = live_open(&c->l, &msg->fds[1], SP_PROC_SESSION)) != SP_OK) {
		conn_free(c);
		return r;
	}
	conn_tell_control(c, &msg->fds[2], 0);
	conn_tell_vault(c, &msg->fds[3]);
	if (m->phase == MON_CUT)
		kill_begin(c, NULL, "Sallyport is stopping", "system");
	if (++m->born_n == BORN_RENEW && m->phase == MON_RUN)
		mon_proc_renew(m, SP_PROC_ZYGOTE);
	return SP_OK;
}

static enum sp_err
on_died(struct mon *m, enum sp_proc from, struct sp_msg *msg)
{
	const Sallyport__Died *b = (const Sallyport__Died *)msg->body;
	struct live *l = NULL;
	struct scribe *s;
	struct conn *c;
	struct sp_uuid id;

	if (from == SP_PROC_ZYGOTE && mon_id_of(&b->conn_id, &id) == SP_OK && (c = conn_find(m, &id)) != NULL)
		l = &c->l;
	else if (from == SP_PROC_SCRIBE && mon_id_of(&b->session_id, &id) == SP_OK && (s = scribe_find(m, &id)) != NULL)
		l = &s->l;
	if (l == NULL || l->pid != (pid_t)b->pid)
		return SP_OK;	/* told before, or a replay child of the scribe parent */
	if (from == SP_PROC_ZYGOTE && WIFSIGNALED(b->wait_status) && WTERMSIG(b->wait_status) != SIGKILL &&
	    m->phase == MON_RUN && !m->proc[from].renew)
		mon_proc_renew(m, from);	/* a crash may have been an attempt at the address space that they share */
	if (from == SP_PROC_SCRIBE)
		live_scribe(l)->told = 1;
	live_status(l, b->wait_status);
	return SP_OK;
}

static enum sp_err
on_label(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__Label *b = (const Sallyport__Label *)msg->body;
	struct sp_uuid conn_id, id;
	struct label *l;
	struct conn *c;
	enum sp_err r;

	if ((r = mon_id_of(&b->conn_id, &conn_id)) != SP_OK || (r = mon_id_of(&b->session_id, &id)) != SP_OK)
		return r;
	if ((c = conn_find(m, &conn_id)) == NULL)
		return SP_OK;
	l = label_find(c, &id);
	if (b->ended) {
		if (l != NULL)
			label_free(c, l);
		return SP_OK;
	}
	if (l == NULL && (l = label_make(c, &id)) == NULL)
		return SP_OK;
	(void)sp_strlcpy(l->user, b->user, sizeof(l->user));
	(void)sp_strlcpy(l->account, b->account, sizeof(l->account));
	(void)sp_strlcpy(l->asset, b->asset, sizeof(l->asset));
	(void)sp_strlcpy(l->protocol, b->protocol, sizeof(l->protocol));
	(void)sp_strlcpy(l->source_ip, b->source_ip, sizeof(l->source_ip));
	l->started_wall_us = b->started_wall_us;
	return SP_OK;
}

/* A stream inside a connection becomes a connection of its own. */
static enum sp_err
on_inner(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__Inner *b = (const Sallyport__Inner *)msg->body;
	Sallyport__Conn conn = SALLYPORT__CONN__INIT;
	struct sp_uuid id, outer;
	struct conn *c;
	enum sp_err r;

	if ((r = mon_id_of(&b->outer_conn_id, &outer)) != SP_OK)
		return r;
	if (b->inner_token.len == 0)
		return SP_EFORMAT;
	if ((c = conn_find(m, &outer)) == NULL || m->phase != MON_RUN)
		return SP_OK;
	sp_uuid_make(&id);
	conn.conn_id = mon_id_bytes(&id);
	conn.source_ip = b->source_ip;
	conn.source_port = b->source_port;
	conn.local_ip = c->local_ip;
	conn.local_port = c->local_port;
	conn.inner_token = b->inner_token;
	conn.accepted_us = sp_now_us();
	if (mon_tell(m, SP_PROC_ZYGOTE, SP_MSG_CONN, &conn, &msg->fds[0], 1) != SP_OK)
		sp_warn("an inner connection found no zygote");
	return SP_OK;
}

/* A command line for the user of a connection that is still there. */
static enum sp_err
on_shell_spawn(struct mon *m, struct sp_msg *msg)
{
	const Sallyport__ShellSpawn *b = (const Sallyport__ShellSpawn *)msg->body;
	struct sp_uuid id;
	enum sp_err r;

	if ((r = mon_id_of(&b->conn_id, &id)) != SP_OK)
		return r;
	if (conn_find(m, &id) == NULL || m->phase == MON_CUT || m->phase == MON_STOP)
		return SP_OK;
	return mon_shell_spawn(m, &id, msg);
}

/* ---- the rest of the interface */

static enum sp_err
on_died_of_zygote(struct mon *m, struct sp_msg *msg)
{
	return on_died(m, SP_PROC_ZYGOTE, msg);
}

static enum sp_err
on_died_of_scribe(struct mon *m, struct sp_msg *msg)
{
	return on_died(m, SP_PROC_SCRIBE, msg);
}

static const struct {
	uint16_t	 id;
	enum sp_proc	 from;
	enum sp_err	(*fn)(struct mon *, struct sp_msg *);
} handlers[] = {
	{ SP_MSG_BORN, SP_PROC_ZYGOTE, on_born },
	{ SP_MSG_DIED, SP_PROC_ZYGOTE, on_died_of_zygote },
	{ SP_MSG_DIED, SP_PROC_SCRIBE, on_died_of_scribe },
	{ SP_MSG_SCRIBE_BORN, SP_PROC_SCRIBE, on_scribe_born },
	{ SP_MSG_SCRIBE_SPAWN, SP_PROC_CONTROL, on_scribe_spawn },
	{ SP_MSG_LABEL, SP_PROC_CONTROL, on_label },
	{ SP_MSG_INNER, SP_PROC_CONTROL, on_inner },
	{ SP_MSG_SHELL_SPAWN, SP_PROC_CONTROL, on_shell_spawn },
	{ SP_MSG_KILL, SP_PROC_CONTROL, kill_on_msg },
};

enum sp_err
mon_conns_message(struct mon *m, enum sp_proc from, struct sp_msg *msg)
{
	for (size_t i = 0; i < SP_NELEMS(handlers); i++)
		if (handlers[i].id == msg->id && handlers[i].from == from)
			return handlers[i].fn(m, msg);
	return SP_EPEER;
}

static void
control_back(struct mon *m)
{
	sp_list_each(it, &m->conn_list) {
		struct conn *c = sp_container(it, struct conn, link);

		if (!c->l.over)
			conn_reattach(c, SP_PROC_CONTROL);
		sp_list_each(jt, &c->scribes)
			scribe_reattach(sp_container(jt, struct scribe, link));
	}
	sp_list_each(kt, &m->orphans)
		scribe_reattach(sp_container(kt, struct scribe, link));
	gone_prune(m);
	sp_list_each(gt, &m->gone)
		gone_send(m, sp_container(gt, struct gone, link));
}

static void
scribe_parent_back(struct mon *m)
{
	sp_list_each(it, &m->conn_list)
		sp_list_each(jt, &sp_container(it, struct conn, link)->scribes) {
			struct scribe *s = sp_container(jt, struct scribe, link);

			if (s->l.pid == 0 && scribe_order(s) != SP_OK)
				sp_error("cannot order a scribe again: %s", strerror(errno));
		}
}

void
mon_conns_back(struct mon *m, enum sp_proc what)
{
	if (what == SP_PROC_CONTROL)
		control_back(m);
	else if (what == SP_PROC_SCRIBE)
		scribe_parent_back(m);
	else if (what == SP_PROC_VAULT)
		sp_list_each(it, &m->conn_list)
			if (!sp_container(it, struct conn, link)->l.over)
				conn_reattach(sp_container(it, struct conn, link), SP_PROC_VAULT);
}

static struct live *
live_by_pid(struct mon *m, pid_t pid)
{
	sp_list_each(it, &m->conn_list) {
		struct conn *c = sp_container(it, struct conn, link);

		if (c->l.pid == pid)
			return &c->l;
		sp_list_each(jt, &c->scribes)
			if (sp_container(jt, struct scribe, link)->l.pid == pid)
				return &sp_container(jt, struct scribe, link)->l;
	}
	sp_list_each(kt, &m->orphans)
		if (sp_container(kt, struct scribe, link)->l.pid == pid)
			return &sp_container(kt, struct scribe, link)->l;
	return NULL;
}

int
mon_conns_reaped(struct mon *m, pid_t pid, int status)
{
	struct live *l = live_by_pid(m, pid);

	if (l == NULL)
		return 0;
	live_status(l, status);
	return 1;
}

size_t mon_conns_n(const struct mon *m) { return m->conns.n; }
size_t mon_scribes_n(const struct mon *m) { return m->scribes.n; }

void
mon_sessions_each(struct mon *m, void (*fn)(const struct mon_row *, void *), void *arg)
{
	sp_list_each(it, &m->conn_list) {
		struct conn *c = sp_container(it, struct conn, link);

		sp_list_each(jt, &c->labels) {
			struct label *b = sp_container(jt, struct label, link);
			const struct scribe *s = scribe_find(m, &b->session_id);
			const struct mon_row row = { b->session_id, b->user, b->asset, b->account, b->protocol, b->source_ip,
			    b->started_wall_us };

			if (s == NULL || !s->finished)	/* control may not be there to say that it ended */
				fn(&row, arg);
		}
	}
}

enum sp_err
mon_conns_init(struct mon *m)
{
	enum sp_err r = sp_htab_init(&m->conns);

	sp_list_init(&m->conn_list);
	sp_list_init(&m->orphans);
	sp_list_init(&m->gone);
	sp_list_init(&m->shells);
	return r == SP_OK ? sp_htab_init(&m->scribes) : r;
}

void
mon_conns_release(struct mon *m)
{
	sp_list_each(it, &m->conn_list)
		conn_free(sp_container(it, struct conn, link));
	mon_shells_release(m);
	sp_list_each(jt, &m->orphans)
		scribe_free(sp_container(jt, struct scribe, link));
	sp_list_each(kt, &m->gone)
		gone_free(m, sp_container(kt, struct gone, link));
	sp_htab_release(&m->conns);
	sp_htab_release(&m->scribes);
}
