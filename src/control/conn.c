/* src/control/conn.c - one object per user connection: birth, first words, re-attachment after control was away, kill,
 * end. Process: control, event loop.
 * Invariants: (1) who the peer is follows from the descriptor that the monitor passed with the id, never from what it
 * says; a re-attached session's user is the one that the audit log or its session rows name. (2) A killed connection
 * is granted nothing more, whatever was under way for it. (3) A bad message ends that connection only. */
#include "control/ctl.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/conn_again.h"
#include "control/mfa.h"
#include "control/shell.h"

#define CONN_WORK_MAX	(2u * SP_IPC_QUESTIONS)	/* under way for one connection: questions, and states of targets being written */

struct floor {			/* the least epoch at which a user's connections are good */
	struct sp_hnode	node;
	struct sp_uuid	user_id;
	int64_t		epoch;
};

ProtobufCBinaryData
ctl_bytes(const void *p, size_t n)
{
	ProtobufCBinaryData b = { .len = n };

	/* protobuf-c packs from the pointer and never writes through it. */
	memcpy(&b.data, &p, sizeof(p));
	return b;
}

ProtobufCBinaryData
ctl_uuid_bytes(const struct sp_uuid *u)
{
	return ctl_bytes(u->b, sizeof(u->b));
}

enum sp_err
ctl_uuid_of(const ProtobufCBinaryData *b, struct sp_uuid *ret)
{
	return sp_uuid_from(b->data, b->len, ret);
}

char *
ctl_str(const char *s)
{
	char *p;

	memcpy(&p, &s, sizeof(p));
	return p;
}

json_t *
ctl_json(const json_t *j)
{
	json_t *p;

	memcpy(&p, &j, sizeof(p));
	return p;
}

struct conn *
conn_find(struct ctl *c, const struct sp_uuid *id)
{
	struct sp_hnode *n = sp_htab_find(&c->conns, id->b, sizeof(id->b));

	return n != NULL ? sp_container(n, struct conn, node) : NULL;
}

struct conn *
conn_ref(struct conn *cn)
{
	cn->refs++;
	return cn;
}

static void
held_free(struct held_msg *h)
{
	for (int i = 0; i < h->nfds; i++)
		sp_closep(&h->fds[i]);
	explicit_bzero(h->raw, h->len);
	free(h);
}

static void
conn_drop_held(struct conn *cn)
{
	sp_list_each(it, &cn->held) {
		sp_list_remove(it);
		held_free(sp_container(it, struct held_msg, link));
	}
	cn->held_n = 0;
}

void
conn_unref(struct conn *cn)
{
	if (cn == NULL || --cn->refs > 0)
		return;
	conn_drop_held(cn);
	menu_drop(cn);
	sp_chan_free(cn->chan);
	sp_closep(&cn->pidfd);
	free(cn);
}

static int64_t
floor_of(const struct ctl *c, const struct sp_uuid *user_id)
{
	struct sp_hnode *n = sp_htab_find(&c->floors, user_id->b, sizeof(user_id->b));

	return n != NULL ? sp_container(n, struct floor, node)->epoch : INT64_MIN;
}

int
conn_epoch_ok(const struct ctl *c, const struct sp_uuid *user_id, int64_t epoch)
{
	return epoch >= floor_of(c, user_id);
}

int
conn_alive(const struct conn *cn)
{
	return cn->chan != NULL && !cn->dying && (!cn->authed || conn_epoch_ok(cn->ctl, &cn->user_id, cn->epoch));
}

static void
settling_one(struct sp_hnode *n, void *arg)
{
	const struct conn *cn = sp_container(n, struct conn, node);

	*(int *)arg |= cn->again && cn->chan != NULL && !cn->dying && (!cn->hello || cn->judging);
}

int
conn_settling(const struct ctl *c)
{
	struct sp_htab t = c->conns;	/* a shallow copy: looking changes nothing */
	int any = 0;

	if (sp_now_us() < c->started_us + CTL_LOST_US)
		sp_htab_each(&t, settling_one, &any);
	return any;
}

static enum sp_err
floor_raise(struct ctl *c, const struct sp_uuid *user_id, int64_t epoch)
{
	struct sp_hnode *n = sp_htab_find(&c->floors, user_id->b, sizeof(user_id->b));
	struct floor *f;
	enum sp_err r;

	if (n != NULL) {
		f = sp_container(n, struct floor, node);
		if (epoch > f->epoch)
			f->epoch = epoch;
		return SP_OK;
	}
	if ((f = calloc(1, sizeof(*f))) == NULL)
		return SP_ENOMEM;
	f->user_id = *user_id;
	f->epoch = epoch;
	if ((r = sp_htab_insert(&c->floors, &f->node, f->user_id.b, sizeof(f->user_id.b))) != SP_OK)
		free(f);
	return r;
}

struct epoch_kill {
	const struct sp_uuid	*user_id;
	const char		*reason, *by;
};

static void
conn_epoch_one(struct sp_hnode *n, void *arg)
{
	struct conn *cn = sp_container(n, struct conn, node);
	const struct epoch_kill *k = arg;

	if (cn->authed && !cn->dying && sp_uuid_equal(&cn->user_id, k->user_id) &&
	    !conn_epoch_ok(cn->ctl, &cn->user_id, cn->epoch))
		conn_kill(cn, NULL, k->reason, k->by);
}

void
conn_epoch(struct ctl *c, const struct sp_uuid *user_id, int64_t epoch, const char *reason, const char *by)
{
	struct epoch_kill k = { user_id, reason, by };

	if (floor_raise(c, user_id, epoch) != SP_OK)
		sp_die(71, "out of memory");	/* going on would leave a disabled user connected */
	sp_htab_each(&c->conns, conn_epoch_one, &k);
	mfa_forget(c, user_id);
}

/* ---- talking ---- */

void
conn_send_fds(struct conn *cn, uint16_t id, uint32_t corr, const void *body, int *fds, int nfds)
{
	enum sp_err r;

	if (cn->chan == NULL) {
		for (int i = 0; i < nfds; i++)
			sp_closep(&fds[i]);
		return;
	}
	r = sp_chan_send(cn->chan, id, corr, body, fds, nfds);
	if (r != SP_OK && r != SP_ECLOSED)
		conn_kill(cn, NULL, "internal error: the session does not take its messages", "system");
}

void
conn_send(struct conn *cn, uint16_t id, uint32_t corr, const void *body)
{
	conn_send_fds(cn, id, corr, body, NULL, 0);
}

void
conn_kill(struct conn *cn, struct target *t, const char *reason, const char *by)
{
	Sallyport__Kill k = SALLYPORT__KILL__INIT;

	k.conn_id = ctl_uuid_bytes(&cn->id);
	if (t != NULL) {
		k.session_id = ctl_uuid_bytes(&t->row.id);
		t->killed = 1;
	} else {
		cn->dying = 1;	/* its command lines get no answer any more, and end with it (shell.c) */
	}
	k.reason = ctl_str(reason);
	k.by = ctl_str(by);
	if (sp_chan_send(cn->ctl->child.monitor, SP_MSG_KILL, 0, &k, NULL, 0) != SP_OK)
		sp_error("the monitor does not take a kill of connection by %s", by);
	lease_drop(cn->ctl, &cn->id, t != NULL ? &t->row.id : NULL);
}

void
conn_misbehaved(struct conn *cn, const char *what)
{
	struct audit_entry e = { .kind = "session.misbehaved", .actor = cn->login, .result = "failed", .text = what,
	    .source = cn->source_text, .conn = &cn->id, .user = &cn->user_id };

	if (cn->dying)
		return;
	sp_warn("session process %u misbehaved: %s", cn->pid, what);
	audit_append(cn->ctl->audit, &e, NULL, NULL);
	conn_kill(cn, NULL, "internal error: the session process sent what it may not", "system");
	sp_chan_free(cn->chan);
	cn->chan = NULL;
}

static void
conn_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct conn *cn = arg;
	char text[128];

	(void)chan;
	if (why != SP_ECLOSED) {
		sp_snprintf(text, sizeof(text), "message %s refused: %s", *what ? what : "(unknown)", sp_err_text(why));
		conn_misbehaved(cn, text);
		return;
	}
	sp_chan_free(cn->chan);
	cn->chan = NULL;	/* GONE tells the rest */
}

int
conn_may_log(struct conn *cn, enum volume_kind kind, size_t bytes)
{
	return volume_take(&cn->ctl->volume, &cn->user_id, cn->login, kind, bytes, sp_now_us());
}

/* ---- login state ---- */

void
conn_logged_in(struct conn *cn, const struct sp_store_user *u)
{
	cn->authed = 1;
	cn->user_id = u->id;
	cn->epoch = u->epoch;
	cn->role = u->role;
	(void)sp_strlcpy(cn->login, u->login, sizeof(cn->login));
	sp_chan_set_state(cn->chan, SP_ST_AUTHED);
}

void
conn_welcome(struct conn *cn)
{
	Sallyport__Welcome w = SALLYPORT__WELCOME__INIT;
	struct sp_buf key;

	sp_buf_init(&key, 4096);
	w.login = cn->login;
	if (cn->authed) {
		w.user_id = ctl_uuid_bytes(&cn->user_id);
		w.epoch = (uint64_t)cn->epoch;
	}
	if (cn->inner) {
		w.inner = 1;
		w.asset = cn->inner_asset_name;
		w.asset_id = ctl_uuid_bytes(&cn->inner_asset);
		if (inner_private(cn->ctl, &cn->inner_asset, &key) != SP_OK) {
			conn_kill(cn, NULL, "internal error: no host key for the inner connection", "system");
			sp_buf_release(&key);
			return;
		}
		w.inner_host_key = ctl_bytes(key.p, key.len);
	}
	conn_send(cn, SP_MSG_WELCOME, 0, &w);
	sp_buf_release(&key);
}

static void
conn_hello(struct conn *cn, const Sallyport__Hello *h)
{
	struct sp_uuid id;

	if (cn->hello || ctl_uuid_of(&h->conn_id, &id) != SP_OK || !sp_uuid_equal(&id, &cn->id)) {
		conn_misbehaved(cn, "HELLO does not fit the connection");
		return;
	}
	cn->hello = 1;
	if (h->protocol != SP_IPC_PROTOCOL) {
		conn_kill(cn, NULL, "the bastion was upgraded to a version that this session does not know", "system");
		return;
	}
	if (cn->again && (h->user_id.len > 0 || cn->born_inner)) {
		conn_again(cn, h);
		return;
	}
	if (h->user_id.len > 0 || h->n_targets > 0) {
		conn_misbehaved(cn, "HELLO of a new connection names a user");
		return;
	}
	if (cn->again)
		sp_chan_set_state(cn->chan, SP_ST_PREAUTH);	/* nobody had logged in */
	conn_welcome(cn);
}

/* ---- messages ---- */

static void
conn_dispatch(struct conn *cn, struct sp_msg *m)
{
	switch (m->id) {
	case SP_MSG_AUTH_ASK:
		login_ask(cn, m->corr, (Sallyport__AuthAsk *)m->body);
		break;
	case SP_MSG_MENU_ASK:
		menu_ask(cn, m->corr, (Sallyport__MenuAsk *)m->body);
		break;
	case SP_MSG_TARGET_ASK:
		target_ask(cn, m->corr, (Sallyport__TargetAsk *)m->body);
		break;
	case SP_MSG_HOSTKEY_ASK:
		hostkey_ask(cn, m->corr, (Sallyport__HostKeyAsk *)m->body);
		break;
	case SP_MSG_LEASE_ASK:
		lease_ask(cn, m->corr, (Sallyport__LeaseAsk *)m->body);
		break;
	case SP_MSG_AGENT_ASK:
		agent_ask(cn, m->corr, (Sallyport__AgentAsk *)m->body);
		break;
	case SP_MSG_TARGET_STATE:
		target_state(cn, (Sallyport__TargetState *)m->body);
		break;
	case SP_MSG_CHANNEL_ASK:
		channel_ask(cn, m->corr, (Sallyport__ChannelAsk *)m->body);
		break;
	case SP_MSG_CHANNEL_REFUSED:
		channel_refused(cn, m->corr, (Sallyport__ChannelRefused *)m->body);
		break;
	case SP_MSG_INNER_ASK:
		inner_ask(cn, m);
		break;
	case SP_MSG_OWNER_ASK:
		owner_ask(cn, m->corr, (Sallyport__OwnerAsk *)m->body);
		break;
	case SP_MSG_MFA_ASK:
		mfa_ask(cn, m->corr, (Sallyport__MfaAsk *)m->body);
		break;
	case SP_MSG_SHELL_ASK:
		shell_ask(cn, m);
		break;
	case SP_MSG_CALL_ASK:
		api_session_call(cn, m->corr, (Sallyport__CallAsk *)m->body);
		break;
	default:
		conn_misbehaved(cn, "a message that control does not handle");
	}
}

static void
conn_hold(struct conn *cn, struct sp_msg *m)
{
	struct held_msg *h;

	if (cn->held_n >= CTL_HELD_MAX || (h = malloc(sizeof(*h) + m->raw_len)) == NULL) {
		conn_misbehaved(cn, "too many messages before re-attachment was judged");
		return;
	}
	*h = (struct held_msg){ .id = m->id, .corr = m->corr, .len = m->raw_len, .nfds = m->nfds };
	memcpy(h->raw, m->raw, m->raw_len);
	for (int i = 0; i < m->nfds; i++)
		h->fds[i] = sp_steal_fd(&m->fds[i]);
	sp_list_add_tail(&cn->held, &h->link);
	cn->held_n++;
}

void
conn_release_held(struct conn *cn)
{
	while (!sp_list_empty(&cn->held) && conn_alive(cn)) {
		struct held_msg *h = sp_container(cn->held.next, struct held_msg, link);
		struct sp_msg m = { .id = h->id, .corr = h->corr, .raw = h->raw, .raw_len = h->len, .nfds = h->nfds };

		sp_list_remove(&h->link);
		cn->held_n--;
		memcpy(m.fds, h->fds, sizeof(m.fds));
		h->nfds = 0;
		if ((m.body = protobuf_c_message_unpack(sp_msg_spec(m.id)->body, NULL, m.raw_len, m.raw)) != NULL)
			conn_dispatch(cn, &m);
		protobuf_c_message_free_unpacked(m.body, NULL);
		for (int i = 0; i < m.nfds; i++)
			sp_closep(&m.fds[i]);
		held_free(h);
	}
	conn_drop_held(cn);
}

static void
conn_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct conn *cn = arg;

	(void)chan;
	conn_ref(cn);
	if (cn->dying)
		;
	else if (m->id == SP_MSG_HELLO)
		conn_hello(cn, (Sallyport__Hello *)m->body);
	else if (!cn->hello)
		conn_misbehaved(cn, "a message before HELLO");
	else if (cn->judging)
		conn_hold(cn, m);
	else if (cn->refs > CONN_WORK_MAX)
		conn_misbehaved(cn, "too many questions at once");	/* our memory, and everybody's place in the queue */
	else if (conn_alive(cn))
		conn_dispatch(cn, m);
	conn_unref(cn);
}

/* ---- birth and end ---- */

static enum sp_err
conn_new(struct ctl *c, const Sallyport__Attach *a, int *pidfd, struct conn **ret)
{
	struct conn *cn = calloc(1, sizeof(*cn));
	struct conn *old;
	enum sp_err r;

	if (cn == NULL)
		return SP_ENOMEM;
	cn->ctl = c;
	cn->refs = 1;
	cn->pid = a->pid;
	cn->pidfd = sp_steal_fd(pidfd);
	cn->again = a->again;
	cn->born_inner = a->inner_token.len > 0;
	cn->source_port = (uint16_t)a->source_port;
	sp_list_init(&cn->targets);
	sp_list_init(&cn->held);
	sp_list_init(&cn->shells);
	if (sp_netaddr_parse(a->source_ip, &cn->source) == SP_OK)
		sp_netaddr_text(&cn->source, cn->source_text);
	else
		(void)sp_strlcpy(cn->source_text, "unknown", sizeof(cn->source_text));
	r = ctl_uuid_of(&a->conn_id, &cn->id);
	if (r == SP_OK && (old = conn_find(c, &cn->id)) != NULL)
		r = SP_EEXIST;
	if (r == SP_OK)
		r = sp_htab_insert(&c->conns, &cn->node, cn->id.b, sizeof(cn->id.b));
	if (r != SP_OK) {
		conn_unref(cn);
		return r;
	}
	*ret = cn;
	return SP_OK;
}

static void
conn_remove(struct conn *cn)
{
	sp_list_each(it, &cn->targets)
		target_unbind(sp_container(it, struct target, of_conn));
	sp_htab_remove(&cn->ctl->conns, &cn->node);
	sp_chan_free(cn->chan);
	cn->chan = NULL;
	cn->dying = 1;
	shell_conn_gone(cn);
	conn_unref(cn);
}

void
conn_attach(struct ctl *c, struct sp_msg *m)
{
	const Sallyport__Attach *a = (Sallyport__Attach *)m->body;
	struct conn *cn;

	if (conn_new(c, a, &m->fds[0], &cn) != SP_OK) {
		sp_error("a session could not be attached");
		return;
	}
	if (sp_chan_new(sp_steal_fd(&m->fds[1]), SP_PROC_CONTROL, SP_PROC_SESSION, conn_on_msg, conn_on_close, cn,
	    &cn->chan) != SP_OK) {
		cn->chan = NULL;
		conn_kill(cn, NULL, "internal error: the session cannot be attached", "system");
		return;
	}
	/* An older session speaks as it did before control went away; until it is judged, its words are held. */
	if (!cn->again)
		sp_chan_set_state(cn->chan, SP_ST_PREAUTH);
	if (!cn->again && cn->born_inner && inner_redeem(cn, &a->inner_token) != SP_OK) {
		conn_kill(cn, NULL, "the connection around this one has ended", "system");
		return;
	}
	if (sp_chan_watch(cn->chan, c->child.loop) != SP_OK)
		conn_kill(cn, NULL, "internal error: the session cannot be attached", "system");
}

void
conn_gone(struct ctl *c, const Sallyport__Gone *g)
{
	struct sp_uuid id, session;
	struct conn *cn;

	if (ctl_uuid_of(&g->conn_id, &id) != SP_OK)
		return;
	if (g->session_id.len > 0) {
		struct target *t = ctl_uuid_of(&g->session_id, &session) == SP_OK ? target_find(c, &session) : NULL;

		if (t != NULL)
			event_scribe_gone(t, g);
		return;
	}
	if ((cn = conn_find(c, &id)) == NULL)
		return;
	sp_list_each(it, &cn->targets)
		event_session_gone(sp_container(it, struct target, of_conn), g);
	if (cn->authed || g->killed || g->wait_status != 0) {
		json_t *more = json_pack("{s:i, s:I}", "wait_status", g->wait_status, "pid", (json_int_t)g->pid);
		struct audit_entry e = { .kind = "conn.gone", .actor = cn->login, .source = cn->source_text, .conn = &cn->id,
		    .user = &cn->user_id, .result = g->wait_status == 0 ? "ok" : "failed", .more = more,
		    .text = g->killed ? g->kill_reason : NULL };

		audit_append(c->audit, &e, NULL, NULL);
		json_decref(more);
	}
	lease_drop(c, &cn->id, NULL);
	conn_remove(cn);
}

static void
conn_hush_one(struct sp_hnode *n, void *arg)
{
	struct conn *cn = sp_container(n, struct conn, node);

	(void)arg;
	sp_chan_free(cn->chan);
	cn->chan = NULL;
}

void
conn_hush_all(struct ctl *c)
{
	sp_htab_each(&c->conns, conn_hush_one, NULL);
}

static void
conn_release_one(struct sp_hnode *n, void *arg)
{
	(void)arg;
	conn_remove(sp_container(n, struct conn, node));
}

static void
floor_release_one(struct sp_hnode *n, void *arg)
{
	sp_htab_remove(arg, n);
	free(sp_container(n, struct floor, node));
}

void
conn_release_all(struct ctl *c)
{
	sp_htab_each(&c->conns, conn_release_one, NULL);
	sp_htab_each(&c->floors, floor_release_one, &c->floors);
	sp_htab_release(&c->conns);
	sp_htab_release(&c->floors);
}
