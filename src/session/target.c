/* src/session/target.c - one target of a connection: asked for, recorded, dialed, checked, logged in to, ended.
 * The order is that of docs/protocol/flows.md, "To a target"; what may overlap does (recording and dialing; key exchange
 * and lease), what must not does not: no lease is used before the recording is open and the host key is right.
 * Process: session. */
#include "session/session.h"
#include "session/jump.h"

#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define TARGET_SLACK_US	(UINT64_C(20) * SP_US_PER_S)	/* for everything between the answer of control and a login */
#define HOSTALGS_MAX	512

static void target_fail(struct target *t, const char *text, const char *detail);
static void target_go_on(struct target *t);
static void target_next_method(struct target *t);
static void target_no_lease(struct target *t, const char *text);
static void target_refused_lease(struct target *t, uint32_t err, const char *text);

/* A scribe's channel that arrived before control's answer. */
struct early {
	struct sp_list	link;
	struct sp_uuid	id;
	int		fd;
};

struct target *
target_find(struct session *s, const uint8_t *id, size_t n)
{
	sp_list_each(it, &s->targets) {
		struct target *t = sp_container(it, struct target, link);

		if (t->reply != NULL && t->state != TG_ENDED && n == SP_UUID_LEN && memcmp(t->id.b, id, n) == 0)
			return t;
	}
	return NULL;
}

static ProtobufCBinaryData
target_id(struct target *t)
{
	return (ProtobufCBinaryData){ SP_UUID_LEN, t->id.b };
}

/* What messages name the target, before and after control has answered. */
const char *
target_name(const struct target *t)
{
	return t->asset[0] != '\0' ? t->asset : t->want.asset;
}

int
target_allows(const struct target *t, const char *protocol)
{
	for (size_t i = 0; t->policy != NULL && i < t->policy->n_protocols; i++)
		if (strcmp(t->policy->protocols[i], protocol) == 0)
			return 1;
	return 0;
}

int
target_env_allowed(const struct session *s, const char *name)
{
	const struct target *only = NULL;

	sp_list_each(it, &s->targets) {
		const struct target *t = sp_container(it, struct target, link);

		if (t->state == TG_ENDED || t->policy == NULL)
			continue;
		if (only != NULL)
			return sp_config_env_allowed(s->conf, name);
		only = t;
	}
	if (only == NULL)
		return sp_config_env_allowed(s->conf, name);
	for (size_t i = 0; i < only->policy->n_env_allow; i++)
		if (fnmatch(only->policy->env_allow[i], name, 0) == 0)
			return 1;
	return 0;
}

int
target_proves(const struct target *t)
{
	return t->reply != NULL && t->reply->proof[0] != '\0';
}

/* ---- recording */

void
target_scribe(struct target *t, uint16_t id, const void *body)
{
	if (t->scribe != NULL && sp_chan_send(t->scribe, id, 0, body, NULL, 0) != SP_OK && t->state != TG_ENDED)
		target_end(t, "recording failed", "", "The recording failed, so the session ends");
}

static void
target_on_room(struct sp_source *src, uint32_t events, void *arg)
{
	struct target *t = arg;

	sp_source_events(src, 0);
	if (events & (EPOLLHUP | EPOLLERR)) {
		sp_source_remove(t->scribe_room);	/* the channel itself reports it */
		t->scribe_room = NULL;
		sp_closep(&t->scribe_fd);
	}
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t)
			relay_pump(r);
	}
}

static void
target_await_room(struct target *t)
{
	if (t->scribe_room == NULL && t->scribe_fd < 0 &&
	    ((t->scribe_fd = fcntl(sp_chan_fd(t->scribe), F_DUPFD_CLOEXEC, 0)) == -1 ||
	    sp_loop_add(t->s->loop, t->scribe_fd, EPOLLOUT, target_on_room, t, &t->scribe_room) != SP_OK)) {
		sp_closep(&t->scribe_fd);
		target_end(t, "recording failed", "", "The recording failed, so the session ends");
		return;
	}
	if (t->scribe_room != NULL)
		sp_source_events(t->scribe_room, EPOLLOUT);
}

size_t
target_record(struct target *t, uint32_t channel, enum sp_rec_stream stream, const uint8_t *p, size_t n)
{
	struct sp_recdata head = { .channel = channel, .stream = (uint8_t)stream, .at_us = sp_now_us() };
	size_t done = 0;

	while (done < n && t->scribe != NULL) {
		size_t len = n - done < SP_REC_CHUNK ? n - done : SP_REC_CHUNK;
		enum sp_err r = sp_chan_send_raw(t->scribe, SP_MSG_REC_DATA, &head, sizeof(head), p + done, len);

		if (r == SP_EAGAIN) {
			target_await_room(t);
			return done;
		}
		if (r != SP_OK) {
			target_end(t, "recording failed", "", "The recording failed, so the session ends");
			return done;
		}
		done += len;
	}
	return done;
}

static void
target_rec_end(struct target *t, const char *reason, const char *by)
{
	Sallyport__RecEnd e = SALLYPORT__REC_END__INIT;

	if (t->rec_ended || !t->rec_asked)
		return;
	t->rec_ended = 1;
	e.reason = (char *)(uintptr_t)reason;
	e.by = (char *)(uintptr_t)by;
	if (t->scribe != NULL && sp_chan_send(t->scribe, SP_MSG_REC_END, 0, &e, NULL, 0) != SP_OK)
		sp_warn("the end of a recording could not be told to its scribe");
}

static void
target_on_scribe_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct target *t = arg;

	(void)c;
	if (m->id == SP_MSG_REC_OPENED) {
		Sallyport__RecOpened *o = (Sallyport__RecOpened *)m->body;

		if (o->err != SP_OK) {
			char line[SESSION_TEXT];

			(void)sp_snprintf(line, sizeof(line), "The recording cannot be opened, so there is no session: %s",
			    o->text[0] != '\0' ? o->text : sp_err_text((enum sp_err)o->err));
			target_fail(t, line, o->text);
		} else {
			t->recording = 1;
			target_go_on(t);
		}
	} else if (m->id == SP_MSG_REC_STATE) {
		Sallyport__RecState *st = (Sallyport__RecState *)m->body;

		if (st->err == SP_OK)
			return;
		if (t->policy != NULL && strcmp(t->policy->record_mode, "best-effort") == 0)
			sp_warn("recording failed, going on as configured: %s", st->text);
		else
			target_end(t, "recording failed", "", "The recording failed, so the session ends");
	}
}

static void
target_on_scribe_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct target *t = arg;

	(void)why;
	(void)what;
	sp_source_remove(t->scribe_room);
	t->scribe_room = NULL;
	sp_closep(&t->scribe_fd);
	t->scribe = NULL;
	sp_chan_free(c);
	if (t->state == TG_ENDED)
		session_sweep_soon(t->s);
	else
		target_end(t, "recording failed", "", "The recording failed, so the session ends");
}

static void
target_record_open(struct target *t, int fd)
{
	Sallyport__RecOpen o = SALLYPORT__REC_OPEN__INIT;
	enum sp_err r;

	if ((r = sp_chan_new(fd, SP_PROC_SESSION, SP_PROC_SCRIBE, target_on_scribe_msg, target_on_scribe_close, t,
	    &t->scribe)) != SP_OK || (r = sp_chan_watch(t->scribe, t->s->loop)) != SP_OK) {
		target_fail(t, "The recording cannot be opened, so there is no session", sp_err_text(r));
		return;
	}
	o.session_id = target_id(t);
	o.header = t->reply->header;
	o.record_mode = t->policy->record_mode;
	o.record_max_bytes = t->policy->record_max_bytes;
	t->rec_asked = 1;
	target_scribe(t, SP_MSG_REC_OPEN, &o);
}

void
target_on_scribe(struct session *s, const uint8_t *id, size_t n, int fd)
{
	struct target *t = target_find(s, id, n);
	struct early *e;

	if (t != NULL && !t->rec_asked) {
		target_record_open(t, fd);
		return;
	}
	if (t != NULL || n != SP_UUID_LEN || (e = calloc(1, sizeof(*e))) == NULL) {
		sp_closep(&fd);
		return;
	}
	memcpy(e->id.b, id, n);
	e->fd = fd;
	sp_list_init(&e->link);
	sp_list_add_tail(&s->links, &e->link);
}

static void
target_take_early(struct target *t)
{
	sp_list_each(it, &t->s->links) {
		struct early *e = sp_container(it, struct early, link);

		if (!sp_uuid_equal(&e->id, &t->id))
			continue;
		sp_list_remove(&e->link);
		target_record_open(t, e->fd);
		free(e);
		return;
	}
}

/* ---- the end */

/* shown: the line for the user; NULL when nobody is there to read it. */
void
target_end(struct target *t, const char *reason, const char *by, const char *shown)
{
	Sallyport__TargetState st = SALLYPORT__TARGET_STATE__INIT;
	char line[SESSION_TEXT];

	if (t->state == TG_ENDED)
		return;
	(void)sp_strlcpy(line, shown != NULL ? shown : "", sizeof(line));
	st.state = t->failed[0] != '\0' ? SALLYPORT__TARGET_STATE__STATE__FAILED : SALLYPORT__TARGET_STATE__STATE__ENDED;
	st.session_id = target_id(t);
	st.text = t->failed[0] != '\0' ? t->failed : line;
	st.detail = (char *)(uintptr_t)reason;
	t->state = TG_ENDED;
	sp_timer_stop(t->clock);
	sp_timer_stop(t->deadline);
	session_forget(t->s, t);
	forward_target_gone(t);
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target != t)
			continue;
		if (shown != NULL && t->proven)
			relay_conclude(r, line);
		else if (shown != NULL)
			relay_fail(r, line);
		else
			relay_finish(r);
	}
	if (t->reply != NULL) {
		target_rec_end(t, t->failed[0] != '\0' ? t->failed : reason, by);	/* the record says what the user reads */
		session_tell(t->s, SP_MSG_TARGET_STATE, &st);
	}
	if (t->leg != NULL)
		sp_leg_close(t->leg, "session ended");
	jump_close(t);
	session_sweep_soon(t->s);
}

static void
target_fail(struct target *t, const char *text, const char *detail)
{
	if (t->state == TG_ENDED)
		return;
	if (t->failed[0] == '\0')
		(void)sp_strlcpy(t->failed, text, sizeof(t->failed));
	target_end(t, detail != NULL && detail[0] != '\0' ? detail : t->failed, "", t->failed);
}

void
target_give_up(struct target *t, const char *text)
{
	target_fail(t, text, NULL);
}

void
target_kill(struct target *t, const char *by, const char *reason)
{
	char line[SESSION_TEXT], safe[SESSION_TEXT - 32];

	if (t->state == TG_ENDED)
		return;
	(void)sp_snprintf(line, sizeof(line), "Terminated by %s%s%s", by, reason[0] != '\0' ? ": " : "", reason);
	(void)sp_escape(line, strlen(line), safe, sizeof(safe));
	/* What waits is not for them any more; the line is. */
	target_end(t, reason[0] != '\0' ? reason : "terminated", by, safe);
}

void
target_free(struct target *t)
{
	session_forget(t->s, t);
	forward_target_free(t);
	proof_free(t);
	sp_list_remove(&t->link);
	t->s->n_targets--;
	sp_source_remove(t->scribe_room);
	sp_closep(&t->scribe_fd);
	sp_chan_free(t->scribe);
	sp_closep(&t->dial_fd);
	sp_conn_free(t->conn);
	sp_leg_free(t->leg);
	jump_free(t);
	sp_timer_free(t->deadline);
	sp_timer_free(t->clock);
	sp_buf_release(&t->lease);
	sp_buf_release(&t->key);
	sp_buf_release(&t->sign);
	sp_buf_release(&t->typed);
	if (t->reply != NULL)
		sallyport__target_reply__free_unpacked(t->reply, NULL);
	if (t->policy != NULL)
		sallyport__policy__free_unpacked(t->policy, NULL);
	free(t);
}

/* A channel has ended: a target that was named for it alone ends with its last one. */
void
target_relay_gone(struct target *t)
{
	t->n_relays--;
	if (t->n_relays == 0 && t->state != TG_ENDED && !t->lasting && !forward_active(t))
		target_end(t, "closed", "", NULL);
	if (t->state == TG_ENDED)
		session_sweep_soon(t->s);
}

static void
target_on_deadline(struct sp_timer *timer, void *arg)
{
	struct target *t = arg;
	char line[SESSION_TEXT];

	(void)timer;
	if (t->state == TG_ASKING) {
		target_give_up(t, "Not connected: no reason was given in time");
		return;
	}
	if (!jump_late(t, line, sizeof(line)))
		(void)sp_snprintf(line, sizeof(line), "%s did not answer in time", target_name(t));
	target_fail(t, line, "time out while connecting");
}

/* ---- the target's leg */

static void
target_send(void *arg, const void *head, size_t head_len, const void *data, size_t len)
{
	struct target *t = arg;

	sp_leg_send(t->leg, head, head_len, data, len);
}

static void
target_on_open(void *arg, struct sp_channel *ch, const char *type, struct sp_view extra)
{
	forward_from_target(arg, ch, type, extra);
}

static void
target_on_global(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct target *t = arg;

	(void)name;	/* hostkeys-00@openssh.com and the like: nothing is taken from a target unasked */
	(void)data;
	if (want_reply)
		sp_conn_reply(t->conn, 0, NULL, 0);
}

static void
target_on_global_reply(void *arg, int ok, struct sp_view data)
{
	forward_global_reply(arg, ok, data);
}

static void
target_on_broken(void *arg, const char *why)
{
	struct target *t = arg;
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "%s broke the protocol: %s", target_name(t), why);
	target_end(t, line, "", line);
}

static int
target_can_write(void *arg)
{
	struct target *t = arg;

	return sp_leg_writable(t->leg);
}

static const struct sp_conn_ops target_conn_ops = {
	target_on_open, target_on_global, target_on_global_reply, target_on_broken, target_can_write
};

/* Is the key among the pins? 1 yes, 0 no pin at all, -1 another one is pinned. */
static int
target_pinned(const struct target *t, const struct sp_buf *blob)
{
	for (size_t i = 0; i < t->reply->n_pins; i++) {
		const Sallyport__HostKey *k = t->reply->pins[i];

		if (k->blob.len == blob->len && memcmp(k->blob.data, blob->p, blob->len) == 0)
			return 1;
	}
	return t->reply->n_pins > 0 ? -1 : 0;
}

static void
target_wrong_key(struct target *t, const char *text)
{
	char line[SESSION_TEXT];

	if (text != NULL && text[0] != '\0')
		(void)sp_strlcpy(line, text, sizeof(line));
	else
		(void)sp_snprintf(line, sizeof(line), "The host key of %s is not the one that is known for it: not connected",
		    target_name(t));
	target_fail(t, line, "host key refused");
}

static void
target_host_ok(struct target *t)
{
	t->host_ok = 1;
	t->state = TG_LOGIN;
	if (target_proves(t)) {		/* no channel of the user goes there */
		target_go_on(t);
		return;
	}
	/* Control may decide about the channels while we log in. */
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t)
			relay_target_up(r);
	}
	if (t->state == TG_LOGIN)
		target_go_on(t);
}

static int
target_on_hostkey(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__HostKeyReply *r = m != NULL ? (const Sallyport__HostKeyReply *)m->body : NULL;

	(void)s;
	if (r == NULL || !r->accept)
		target_wrong_key(t, r != NULL ? r->text : NULL);
	else
		target_host_ok(t);
	return 0;
}

static void
target_on_ready(void *arg)
{
	struct target *t = arg;
	Sallyport__HostKeyAsk q = SALLYPORT__HOST_KEY_ASK__INIT;
	struct sp_buf blob;
	char alg[64];
	int known;

	t->kexed = 1;
	sp_buf_init(&blob, 16384);
	if (sp_leg_host_key(t->leg, alg, sizeof(alg), &blob) != SP_OK) {
		sp_buf_release(&blob);
		target_wrong_key(t, NULL);
		return;
	}
	if ((known = target_pinned(t, &blob)) == 1)
		target_host_ok(t);
	else {
		q.session_id = target_id(t);
		q.alg = alg;
		q.blob = (ProtobufCBinaryData){ blob.len, blob.p };
		q.mismatch = known < 0;
		session_ask(t->s, SP_PROC_CONTROL, SP_MSG_HOSTKEY_ASK, &q, -1, t->s->conf->control_wait, target_on_hostkey, t);
	}
	sp_buf_release(&blob);
}

static void
target_up(struct target *t)
{
	Sallyport__TargetState st = SALLYPORT__TARGET_STATE__INIT;
	char alg[128];

	t->state = TG_UP;
	t->up_us = t->busy_us = sp_now_us();
	sp_timer_stop(t->deadline);
	sp_buf_release(&t->lease);
	sp_buf_release(&t->sign);
	st.session_id = target_id(t);
	st.state = SALLYPORT__TARGET_STATE__STATE__UP;
	st.detail = (char *)(uintptr_t)sp_leg_algorithms(t->leg, alg, sizeof(alg));
	session_tell(t->s, SP_MSG_TARGET_STATE, &st);
	sp_timer_in(t->clock, 0);
	if (target_proves(t)) {
		proof_start(t);
		return;
	}
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t)
			relay_go_on(r);
	}
	forward_target_up(t);
}

static void
target_on_login(void *arg, enum sp_leg_login r)
{
	struct target *t = arg;

	if (t->state != TG_LOGIN)
		return;
	if (r == SP_LEG_LOGIN_OK)
		target_up(t);
	else
		target_next_method(t);
}

static int
target_on_signature(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__SignReply *r = m != NULL ? (const Sallyport__SignReply *)m->body : NULL;
	struct sp_view v = { NULL, 0 };

	(void)s;
	if (r != NULL && r->err == SP_ENOENT) {
		target_refused_lease(t, r->err, r->text);
		return 0;
	}
	if (r != NULL && r->err == SP_OK)
		v = (struct sp_view){ r->signature.data, r->signature.len };
	sp_buf_reset(&t->sign);
	if (sp_leg_signed(t->leg, v) != SP_OK)
		target_next_method(t);
	return 0;
}

static void
target_ask_signature(struct target *t)
{
	Sallyport__SignAsk q = SALLYPORT__SIGN_ASK__INIT;

	q.lease = (ProtobufCBinaryData){ t->lease.len, t->lease.p };
	q.blob = (ProtobufCBinaryData){ t->sign.len, t->sign.p };
	session_ask(t->s, SP_PROC_VAULT, SP_MSG_SIGN_ASK, &q, -1, t->s->conf->control_wait, target_on_signature, t);
}

static void
target_on_sign(void *arg, struct sp_view blob)
{
	struct target *t = arg;

	sp_buf_reset(&t->sign);
	if (sp_buf_append(&t->sign, blob.p, blob.len) != SP_OK)
		target_no_lease(t, "out of memory");
	else
		target_ask_signature(t);
}

static void
target_on_packet(void *arg, struct sp_view payload)
{
	struct target *t = arg;

	if (t->state != TG_ENDED)
		sp_conn_packet(t->conn, payload);
}

static void
target_on_drained(void *arg)
{
	struct target *t = arg;

	sp_conn_writable(t->conn);
}

static void
target_on_closed(void *arg, const char *why)
{
	struct target *t = arg;
	char line[SESSION_TEXT];

	if (t->state == TG_ENDED)
		return;
	if (t->state == TG_UP) {
		(void)sp_snprintf(line, sizeof(line), "Connection to %s lost: %s", target_name(t), why);
		target_end(t, line, "", t->n_relays > 0 ? line : NULL);
		return;
	}
	if (!t->kexed)
		(void)sp_snprintf(line, sizeof(line), "No connection to %s: %s", target_name(t), why);
	else
		(void)sp_snprintf(line, sizeof(line), "%s ended the connection during login", target_name(t));
	target_fail(t, line, why);
}

static const struct sp_leg_ops target_leg_ops = {
	.ready = target_on_ready, .login = target_on_login, .sign = target_on_sign, .packet = target_on_packet,
	.drained = target_on_drained, .closed = target_on_closed
};

/* RSA keys sign with SHA-2. A list that is full goes without. */
void
target_alg_add(struct sp_buf *b, const char *type)
{
	const char *a = strcmp(type, "ssh-rsa") == 0 ? "rsa-sha2-512,rsa-sha2-256" : type;

	if (strstr(sp_buf_cstr(b), a) == NULL)
		(void)!sp_buf_printf(b, "%s%s", b->len > 0 ? "," : "", a);
}

/* Only key types that are pinned are negotiated: another one could not be compared. */
static const char *
target_host_algs(const struct target *t, char dst[HOSTALGS_MAX])
{
	struct sp_buf b;

	if (t->reply->n_pins == 0)
		return NULL;
	sp_buf_init(&b, HOSTALGS_MAX - 1);
	for (size_t i = 0; i < t->reply->n_pins; i++)
		target_alg_add(&b, t->reply->pins[i]->alg);
	(void)sp_strlcpy(dst, sp_buf_cstr(&b), HOSTALGS_MAX);
	sp_buf_release(&b);
	return dst[0] != '\0' ? dst : NULL;
}

/* ---- credentials */

static const char *
target_method(const struct target *t)
{
	return t->method < t->reply->n_methods ? t->reply->methods[t->method]->kind : "";
}

static void
target_no_login(struct target *t)
{
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "%s refused the login of %s", target_name(t), t->login);
	target_fail(t, line, "login refused by the target");
}

static void
target_no_lease(struct target *t, const char *text)
{
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "No credential for %s: %s", target_name(t),
	    text != NULL && text[0] != '\0' ? text : "Sallyport did not answer in time");
	target_fail(t, line, "no credential");
}

static int
target_on_lease(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__LeaseReply *r = m != NULL ? (const Sallyport__LeaseReply *)m->body : NULL;

	(void)s;
	if (r != NULL && r->err == SP_ECLOSED)
		return 0;		/* killed: the line that says by whom is on its way; else the deadline ends it */
	if (r == NULL || r->err != SP_OK) {
		target_no_lease(t, r != NULL ? r->text : NULL);
		return 0;
	}
	sp_buf_reset(&t->lease);
	if (sp_buf_append(&t->lease, r->lease.data, r->lease.len) != SP_OK) {
		target_no_lease(t, "out of memory");
		return 0;
	}
	if (strcmp(target_method(t), "key") == 0) {
		sp_buf_reset(&t->key);
		if (sp_buf_append(&t->key, r->public_key.data, r->public_key.len) != SP_OK) {
			target_no_lease(t, "out of memory");
			return 0;
		}
	}
	if (t->sign.len > 0) {		/* the login waits for this signature */
		target_ask_signature(t);
		return 0;
	}
	t->leased = 1;
	target_go_on(t);
	return 0;
}

static void
target_ask_lease(struct target *t)
{
	static const struct { const char *method, *op; } ops[] = {
		{ "certificate", "certificate" }, { "key", "sign" }, { "password", "password" }
	};
	Sallyport__LeaseAsk q = SALLYPORT__LEASE_ASK__INIT;
	const char *op = NULL;

	for (size_t i = 0; i < SP_NELEMS(ops); i++)
		if (strcmp(ops[i].method, target_method(t)) == 0)
			op = ops[i].op;
	t->leased = 0;
	t->unleased = op == NULL;
	if (op == NULL)
		return;			/* typed by the user */
	q.session_id = target_id(t);
	q.op = (char *)(uintptr_t)op;
	if (strcmp(op, "certificate") == 0) {
		sp_buf_reset(&t->key);
		if (sp_leg_ephemeral(t->leg, &t->key) != SP_OK) {
			target_no_lease(t, "out of memory");
			return;
		}
		q.session_public_key = (ProtobufCBinaryData){ t->key.len, t->key.p };
	}
	session_ask(t->s, SP_PROC_CONTROL, SP_MSG_LEASE_ASK, &q, -1, t->s->conf->control_wait, target_on_lease, t);
}

static void
target_next_method(struct target *t)
{
	t->method++;
	if (target_method(t)[0] == '\0') {
		target_no_login(t);
		return;
	}
	target_ask_lease(t);
	target_go_on(t);
}

/* The vault refused the lease. When it has none such, the session was killed meanwhile, or the vault is a new one: control
 * knows which, and is asked once more. */
static void
target_refused_lease(struct target *t, uint32_t err, const char *text)
{
	if (err == SP_ENOENT && !t->lease_again) {
		t->lease_again = 1;
		target_ask_lease(t);
	} else
		target_no_lease(t, text);
}

static int
target_on_cert(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__CertReply *r = m != NULL ? (const Sallyport__CertReply *)m->body : NULL;

	(void)s;
	if (r == NULL)
		target_no_lease(t, NULL);
	else if (r->err != SP_OK)
		target_refused_lease(t, r->err, r->text);
	else if (sp_leg_login_cert(t->leg, (struct sp_view){ r->certificate.data, r->certificate.len }) != SP_OK)
		target_next_method(t);
	return 0;
}

static int
target_on_password(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__PasswordReply *r = m != NULL ? (const Sallyport__PasswordReply *)m->body : NULL;
	struct sp_buf pw;

	(void)s;
	if (r == NULL || r->err != SP_OK) {
		if (r != NULL)
			target_refused_lease(t, r->err, r->text);
		else
			target_no_lease(t, NULL);
		return 0;
	}
	sp_buf_init(&pw, 8192);
	if (memchr(r->password.data, '\0', r->password.len) != NULL ||
	    sp_buf_append(&pw, r->password.data, r->password.len) != SP_OK ||
	    sp_leg_login_password(t->leg, sp_buf_cstr(&pw)) != SP_OK)
		target_next_method(t);
	sp_buf_release(&pw);
	return 0;
}

/* A password that only the user knows: typed on a terminal, without echo. */
static void
target_ask_user(struct target *t)
{
	char line[SESSION_TEXT];

	t->asking = NULL;
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t && r->pty && r->kind == RELAY_SESSION && r->state != RL_DONE && t->asking == NULL)
			t->asking = r;
	}
	if (t->asking == NULL) {
		(void)sp_snprintf(line, sizeof(line), "%s wants a password that only you know: connect with a terminal (ssh -t)",
		    target_name(t));
		target_fail(t, line, "no terminal to type a password on");
		return;
	}
	sp_timer_in(t->deadline, 120 * SP_US_PER_S);
	(void)sp_snprintf(line, sizeof(line), "%s@%s's password: ", t->login, target_name(t));
	(void)sp_channel_write(t->asking->near, SP_STREAM_OUT, line, strlen(line));
	relay_pump(t->asking);		/* what was typed ahead */
}

void
target_typed(struct target *t, struct relay *r, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n && t->asking == r; i++) {
		if (p[i] == 3 || (p[i] == 4 && t->typed.len == 0)) {
			t->asking = NULL;
			target_fail(t, "Login given up", "typed password given up");
		} else if (p[i] == '\r' || p[i] == '\n') {
			t->asking = NULL;
			(void)sp_channel_write(r->near, SP_STREAM_OUT, "\r\n", 2);
			if (sp_leg_login_password(t->leg, sp_buf_cstr(&t->typed)) != SP_OK)
				target_no_login(t);
			sp_buf_release(&t->typed);
			sp_buf_init(&t->typed, 1024);
		} else if (p[i] == 127 || p[i] == 8) {
			if (t->typed.len > 0)
				t->typed.p[--t->typed.len] = '\0';
		} else if (sp_buf_put_u8(&t->typed, p[i]) != SP_OK)
			target_fail(t, "The password is too long", "typed password too long");
	}
}

/* The login itself. Every condition is checked here, in one place: host key, recording, lease. */
static void
target_login(struct target *t)
{
	const char *kind = target_method(t);

	if (strcmp(kind, "certificate") == 0) {
		Sallyport__CertAsk q = SALLYPORT__CERT_ASK__INIT;

		q.lease = (ProtobufCBinaryData){ t->lease.len, t->lease.p };
		q.public_key = (ProtobufCBinaryData){ t->key.len, t->key.p };
		session_ask(t->s, SP_PROC_VAULT, SP_MSG_CERT_ASK, &q, -1, t->s->conf->control_wait, target_on_cert, t);
	} else if (strcmp(kind, "key") == 0) {
		if (sp_leg_login_key(t->leg, (struct sp_view){ t->key.p, t->key.len }) != SP_OK)
			target_next_method(t);
	} else if (strcmp(kind, "password") == 0) {
		Sallyport__PasswordAsk q = SALLYPORT__PASSWORD_ASK__INIT;

		q.lease = (ProtobufCBinaryData){ t->lease.len, t->lease.p };
		session_ask(t->s, SP_PROC_VAULT, SP_MSG_PASSWORD_ASK, &q, -1, t->s->conf->control_wait, target_on_password, t);
	} else if (strcmp(kind, "typed") == 0)
		target_ask_user(t);
	else
		target_next_method(t);
}

static void
target_go_on(struct target *t)
{
	char algs[HOSTALGS_MAX];
	char line[SESSION_TEXT];

	jump_go_on(t);
	if (t->state == TG_PREPARING && t->dialed) {
		t->state = TG_KEX;
		if (sp_conn_new(&target_conn_ops, t, target_send, t, &t->conn) != SP_OK ||
		    sp_leg_client(t->s->loop, t->s->conf, sp_steal_fd(&t->dial_fd), t->login, target_host_algs(t, algs),
		    &target_leg_ops, t, &t->leg) != SP_OK) {
			(void)sp_snprintf(line, sizeof(line), "No connection to %s: internal error", target_name(t));
			target_fail(t, line, "cannot start the target's leg");
			return;
		}
		target_ask_lease(t);
	}
	if (t->state == TG_LOGIN && t->host_ok && t->recording && (t->leased || t->unleased)) {
		t->leased = t->unleased = 0;	/* once per method */
		target_login(t);
	}
}

/* ---- control's answers */

static Sallyport__Policy *
policy_copy(const Sallyport__Policy *p)
{
	struct sp_buf b;
	Sallyport__Policy *copy = NULL;
	size_t n = p != NULL ? protobuf_c_message_get_packed_size(&p->base) : 0;

	sp_buf_init(&b, SP_MSG_MAX);
	if (p != NULL && sp_buf_reserve(&b, n + 1) == SP_OK) {
		(void)protobuf_c_message_pack(&p->base, b.p);
		copy = sallyport__policy__unpack(NULL, n, b.p);
	}
	sp_buf_release(&b);
	return copy;
}

static int
target_take_reply(struct target *t, const struct sp_msg *m)
{
	Sallyport__TargetReply *r = sallyport__target_reply__unpack(NULL, m->raw_len, m->raw);

	if (r == NULL || sp_uuid_from(r->session_id.data, r->session_id.len, &t->id) != SP_OK ||
	    (t->policy = policy_copy(r->policy)) == NULL) {
		if (r != NULL)
			sallyport__target_reply__free_unpacked(r, NULL);
		return 0;
	}
	t->reply = r;
	(void)sp_strlcpy(t->asset, r->asset, sizeof(t->asset));
	(void)sp_strlcpy(t->account, r->account, sizeof(t->account));
	(void)sp_strlcpy(t->login, r->login, sizeof(t->login));
	return 1;
}

static void
target_choices(struct target *t, const Sallyport__TargetReply *r)
{
	struct sp_buf b;

	sp_buf_init(&b, SESSION_TEXT - 1);
	(void)!sp_buf_printf(&b, "Name the account: %s", r->n_choices > 0 ? "" : "none");
	for (size_t i = 0; i < r->n_choices; i++)
		if (sp_buf_printf(&b, "%s%s@%s", i > 0 ? ", " : "", r->choices[i], target_name(t)) != SP_OK)
			break;
	target_fail(t, sp_buf_cstr(&b), NULL);
	sp_buf_release(&b);
}

static void
target_on_code(struct relay *r, const char *failed, void *arg)
{
	struct target *t = arg;

	(void)r;
	if (failed != NULL)
		target_fail(t, failed, "no one-time code");
	else
		target_ask(t);
}

/* A terminal among those that wait for this target, for a one-time code. */
static int
target_ask_code(struct target *t)
{
	char what[sizeof(t->want.account) + sizeof(t->want.asset) + 2];

	(void)sp_snprintf(what, sizeof(what), "%s%s%s", t->want.account, t->want.account[0] != '\0' ? "@" : "", t->want.asset);
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t && sp_code_start(r, what, target_on_code, t) == SP_OK)
			return 1;
	}
	return 0;
}

static int
target_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	struct target *t = arg;
	const Sallyport__TargetReply *r = m != NULL ? (const Sallyport__TargetReply *)m->body : NULL;

	(void)s;
	if (r == NULL)
		target_fail(t, "Sallyport did not answer in time: try again", NULL);
	else if (r->err == SP_OK && r->n_choices > 0 && r->session_id.len == 0) {
		sp_list_each(it, &t->s->relays) {
			struct relay *w = sp_container(it, struct relay, link);

			if (w->target == t && w->menu != NULL) {
				front_menu_choices(w, r);
				return 0;
			}
		}
		target_choices(t, r);
	} else if (r->err != SP_OK && r->mfa && target_ask_code(t))
		return 0;
	else if (r->err != SP_OK && r->ask[0] != '\0' && reason_ask(t, r->ask))
		return 0;
	else if (r->err != SP_OK)
		target_fail(t, r->text[0] != '\0' ? r->text : sp_err_text((enum sp_err)r->err), NULL);
	else if (!target_take_reply(t, m))
		target_fail(t, "Sallyport gave an answer that makes no sense", NULL);
	else {
		t->state = TG_PREPARING;
		sp_timer_in(t->deadline, t->s->conf->dial_timeout * (1 + t->reply->n_hops) + TARGET_SLACK_US);
		target_take_early(t);
	}
	return 0;
}

void
target_connected(struct target *t, int fd)
{
	t->dial_fd = fd;
	t->dialed = 1;
	target_go_on(t);
}

void
target_lost(struct target *t, const char *line, const char *detail)
{
	if (t->state == TG_UP)
		target_end(t, line, "", t->n_relays > 0 ? line : NULL);
	else
		target_fail(t, line, detail);
}

static void
target_on_dial(struct target *t, const Sallyport__DialReply *d, struct sp_msg *m)
{
	char line[SESSION_TEXT];

	if (t->dialed || t->state != TG_PREPARING)
		return;
	if (d->err != SP_OK || m->nfds < 1) {
		if (d->text[0] != '\0')	/* a whole sentence, by control */
			(void)sp_strlcpy(line, d->text, sizeof(line));
		else
			(void)sp_snprintf(line, sizeof(line), "Cannot connect to %s: %s.", target_name(t),
			    sp_err_text((enum sp_err)d->err));
		target_fail(t, line, d->text);
		return;
	}
	if (t->reply->n_hops == 0)
		target_connected(t, sp_steal_fd(&m->fds[0]));
	else if (t->jump == NULL)
		jump_start(t, sp_steal_fd(&m->fds[0]));
}

static void
target_on_policy(struct target *t, const Sallyport__PolicyUpdate *u)
{
	Sallyport__Policy *p = policy_copy(u->policy);

	if (p == NULL)
		return;
	sallyport__policy__free_unpacked(t->policy, NULL);
	t->policy = p;
	limits_policy(t);
}

int
target_on_control(struct session *s, struct sp_msg *m)
{
	struct target *t;
	char line[SESSION_TEXT * 2], safe[SESSION_TEXT * 2];

	switch (m->id) {
	case SP_MSG_DIAL_REPLY: {
		Sallyport__DialReply *d = (Sallyport__DialReply *)m->body;

		if ((t = target_find(s, d->session_id.data, d->session_id.len)) != NULL)
			target_on_dial(t, d, m);
		return 1;
	}
	case SP_MSG_POLICY: {
		Sallyport__PolicyUpdate *u = (Sallyport__PolicyUpdate *)m->body;

		if ((t = target_find(s, u->session_id.data, u->session_id.len)) != NULL)
			target_on_policy(t, u);
		return 1;
	}
	case SP_MSG_NOTIFY: {
		Sallyport__Notify *n = (Sallyport__Notify *)m->body;

		t = target_find(s, n->session_id.data, n->session_id.len);
		(void)sp_escape(n->text, strlen(n->text), safe, sizeof(safe));
		(void)sp_snprintf(line, sizeof(line), "*** message from %s: %s ***", n->by, safe);
		sp_list_each(it, &s->relays) {
			struct relay *r = sp_container(it, struct relay, link);

			if (r->pty && (t == NULL || r->target == t))
				relay_show(r, line);
		}
		return 1;
	}
	default:
		return 0;
	}
}

void
target_ask(struct target *t)
{
	Sallyport__TargetAsk q = SALLYPORT__TARGET_ASK__INIT;

	q.account = t->want.account;
	q.asset = t->want.asset;
	q.form = t->form;
	q.protocol = t->protocol;
	q.reason = t->reason;
	session_ask(t->s, SP_PROC_CONTROL, SP_MSG_TARGET_ASK, &q, -1, t->s->conf->control_wait, target_on_reply, t);
}

struct target *
target_get(struct session *s, const struct sp_target *want, const char *form, const char *protocol, int lasting,
    const char *reason)
{
	struct target *t;

	sp_list_each(it, &s->targets) {
		t = sp_container(it, struct target, link);
		if (t->state != TG_ENDED && t->lasting == lasting && memcmp(&t->want, want, sizeof(*want)) == 0)
			return t;
	}
	if (s->n_targets >= SESSION_TARGETS || (t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	*t = (struct target){ .s = s, .want = *want, .lasting = lasting, .scribe_fd = -1, .dial_fd = -1 };
	if (sp_timer_new(s->loop, target_on_deadline, t, &t->deadline) != SP_OK ||
	    sp_timer_new(s->loop, limits_on_clock, t, &t->clock) != SP_OK) {
		sp_timer_free(t->deadline);
		free(t);
		return NULL;
	}
	sp_buf_init(&t->lease, 4096);
	sp_buf_init(&t->sign, 16384);
	sp_buf_init(&t->key, 16384);
	sp_buf_init(&t->typed, 1024);
	sp_list_init(&t->awaited);
	sp_list_init(&t->forwards);
	sp_list_init(&t->link);
	sp_list_add_tail(&s->targets, &t->link);
	s->n_targets++;
	(void)sp_strlcpy(t->form, form, sizeof(t->form));
	(void)sp_strlcpy(t->protocol, protocol, sizeof(t->protocol));
	(void)sp_strlcpy(t->reason, reason, sizeof(t->reason));
	target_ask(t);
	return t;
}
