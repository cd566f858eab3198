/* src/session/jump.c - jump servers: see jump.h.
 * Process: session.
 *
 *   target.c: leg ── socketpair ── pump ── channel ── conn ── leg ── [socketpair ── ... ── leg ──] socket to the first
 *
 * Each server is one struct hop: host key checked against its own pins, logged in to with the platform's credential for
 * the zone's account, then one direct-tcpip channel to the next server or the target. libssh wants a descriptor, so the
 * channel is pumped into a socketpair that the next leg takes for its socket.
 * Invariants: (1) the user never gets a channel of a hop, and the server none towards us: every open and request of it is
 * refused. (2) No lease of a hop is used before the recording is open and that hop's host key is right. (3) Bytes wait in
 * one place only: into the pair what the pair does not take is bounded by the channel's window, out of it nothing is
 * read that the channel has no room for. (4) All hops end with the target, and the target with the first hop lost. */
#include "session/jump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define JUMP_HOPS_MAX	3
#define JUMP_READ	(32u * 1024)
#define JUMP_ALGS_MAX	512
#define JUMP_NAME	288

enum hop_state { HOP_WAITS, HOP_KEX, HOP_LOGIN, HOP_OPENING, HOP_UP };
struct hop {
	struct jump			*jump;
	const Sallyport__Hop		*row;	/* in target->reply */
	enum hop_state			 state;
	struct sp_leg			*leg;
	struct sp_conn			*conn;
	struct sp_channel		*ch;
	int				 host_ok, leased, lease_again;
	struct sp_buf			 lease, key, sign;
	int				 fd;	/* our end of the pair */
	struct sp_source		*source;
	struct sp_buf			 wait;	/* from the channel, not yet taken by the pair */
	int				 far_eof, shut, near_eof;
};
struct jump {
	struct target	*t;
	int		 closed;
	size_t		 n;
	struct hop	 hop[JUMP_HOPS_MAX];
};

static void	hop_go_on(struct hop *h);
static void	hop_ask_lease(struct hop *h);
static void	hop_ask_signature(struct hop *h);
static void	hop_start(struct hop *h, int fd);

/* ---- what goes wrong */

static int
hop_over(const struct hop *h)
{
	return h->jump->closed || h->jump->t->state == TG_ENDED;
}

static uint32_t
hop_number(const struct hop *h)
{
	return (uint32_t)(h - h->jump->hop) + 1;
}

static const char *
hop_name(const struct hop *h, char dst[JUMP_NAME])
{
	(void)sp_snprintf(dst, JUMP_NAME, "ump server %.120s of zone %.120s", h->row->asset, h->row->zone);
	return dst;
}

/* "Jump server X of zone Y WHAT", what: of our own making, or escaped. */
static void
hop_fail(struct hop *h, const char *what, const char *detail)
{
	char line[SESSION_TEXT], name[JUMP_NAME];

	if (hop_over(h))
		return;
	(void)sp_snprintf(line, sizeof(line), "J%s %s", hop_name(h, name), what);
	target_lost(h->jump->t, line, detail);
}

static void
hop_no_lease(struct hop *h, const char *text)
{
	char line[SESSION_TEXT], name[JUMP_NAME];

	if (hop_over(h))
		return;
	(void)sp_snprintf(line, sizeof(line), "No credential for j%s: %s", hop_name(h, name),
	    text != NULL && text[0] != '\0' ? text : "Sallyport did not answer in time");
	target_lost(h->jump->t, line, "no credential for a jump server");
}

static void
hop_no_login(struct hop *h)
{
	char what[SESSION_TEXT];

	(void)sp_snprintf(what, sizeof(what), "refused the login of %.128s", h->row->login);
	hop_fail(h, what, "login refused by a jump server");
}

int
jump_late(const struct target *t, char *line, size_t size)
{
	char name[JUMP_NAME];

	for (size_t i = 0; t->jump != NULL && i < t->jump->n; i++)
		if (t->jump->hop[i].state != HOP_UP) {
			const struct hop *h = &t->jump->hop[i];

			if (h->state == HOP_OPENING && i + 1 == t->jump->n)
				(void)sp_snprintf(line, size, "%s did not answer j%s in time", t->asset, hop_name(h, name));
			else
				(void)sp_snprintf(line, size, "J%s cannot be reached: it did not answer in time",
				    hop_name(h->state == HOP_OPENING ? h + 1 : h, name));
			return 1;
		}
	return 0;
}

/* ---- bytes: channel and socketpair */

/* What the server sent, into the pair. */
static void
pump_out(struct hop *h)
{
	size_t done = 0;

	while (done < h->wait.len) {
		ssize_t n = send(h->fd, h->wait.p + done, h->wait.len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			break;
		if (n == -1) {			/* the next leg closed its end: it has told why */
			done = h->wait.len;
			break;
		}
		done += (size_t)n;
	}
	sp_buf_consume(&h->wait, done);
	if (done > 0 && h->ch != NULL)
		sp_channel_consumed(h->ch, done);
	if (h->wait.len == 0 && h->far_eof && !h->shut) {
		h->shut = 1;
		(void)shutdown(h->fd, SHUT_WR);
	}
}

/* Out of the pair, as much as the channel takes. */
static void
pump_in(struct hop *h)
{
	uint8_t buf[JUMP_READ];
	size_t room;

	while (h->ch != NULL && !h->near_eof && (room = sp_channel_room(h->ch)) > 0) {
		ssize_t n = recv(h->fd, buf, room < sizeof(buf) ? room : sizeof(buf), MSG_DONTWAIT);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n <= 0) {
			h->near_eof = 1;
			sp_channel_eof(h->ch);
			return;
		}
		(void)sp_channel_write(h->ch, SP_STREAM_OUT, buf, (size_t)n);
	}
}

static void
hop_pump(struct hop *h)
{
	uint32_t want = 0;

	if (h->source == NULL || hop_over(h))
		return;
	pump_out(h);
	pump_in(h);
	if (h->ch != NULL && !h->near_eof && sp_channel_room(h->ch) > 0)
		want |= EPOLLIN;
	if (h->wait.len > 0)
		want |= EPOLLOUT;
	sp_source_events(h->source, want);
}

static void
hop_on_event(struct sp_source *src, uint32_t events, void *arg)
{
	struct hop *h = arg;

	/* The next leg is gone for good: a hang-up cannot be masked and would be told again and again. */
	if ((events & (EPOLLHUP | EPOLLERR)) && (h->near_eof || h->ch == NULL || sp_channel_room(h->ch) == 0)) {
		sp_source_remove(src);
		h->source = NULL;
		return;
	}
	hop_pump(h);
}

/* ---- the channel */

/* The way on is open: a pair, one end for the next leg. */
static void
channel_on_opened(void *arg)
{
	struct hop *h = arg;
	struct jump *j = h->jump;
	int sv[2];

	if (hop_over(h))
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) == -1) {
		hop_fail(h, "cannot be used: no more descriptors", "socketpair failed");
		return;
	}
	h->fd = sv[0];
	if (sp_loop_add(j->t->s->loop, h->fd, EPOLLIN, hop_on_event, h, &h->source) != SP_OK) {
		sp_closep(&sv[1]);
		hop_fail(h, "cannot be used: out of memory", "out of memory");
		return;
	}
	h->state = HOP_UP;
	if (hop_number(h) < j->n)
		hop_start(h + 1, sv[1]);
	else
		target_connected(j->t, sv[1]);
	hop_pump(h);
}

/* The text is the server's own: it is shown, but cannot do anything to a terminal. */
static void
channel_on_refused(void *arg, uint32_t code, const char *text)
{
	struct hop *h = arg;
	struct jump *j = h->jump;
	char line[SESSION_TEXT], name[JUMP_NAME], next[JUMP_NAME], why[160], cut[100];

	sp_channel_release(h->ch);
	h->ch = NULL;
	if (hop_over(h))
		return;
	(void)sp_strlcpy(cut, text, sizeof(cut));
	(void)sp_escape(cut, strlen(cut), why, sizeof(why));
	if (code == SP_OPEN_PROHIBITED) {
		hop_fail(h, "refused to open the way on (does its sshd allow forwarding?)", why);
		return;
	}
	if (why[0] == '\0')
		(void)sp_strlcpy(why, "it does not say why", sizeof(why));
	if (hop_number(h) < j->n)
		(void)sp_snprintf(line, sizeof(line), "J%s cannot be reached through %.80s: %s", hop_name(h + 1, next), h->row->asset, why);
	else
		(void)sp_snprintf(line, sizeof(line), "Cannot connect to %.120s through j%s: %s", j->t->asset, hop_name(h, name), why);
	target_lost(j->t, line, why);
}

static void
channel_on_data(void *arg, int stream, struct sp_view v)
{
	struct hop *h = arg;

	if (hop_over(h) || stream != SP_STREAM_OUT || h->source == NULL)
		sp_channel_consumed(h->ch, v.len);
	else if (sp_buf_append(&h->wait, v.p, v.len) != SP_OK)
		hop_fail(h, "cannot be used: out of memory", "out of memory");
	else
		hop_pump(h);
}

static void
channel_on_eof(void *arg)
{
	struct hop *h = arg;

	h->far_eof = 1;
	hop_pump(h);
}

/* The target closed its connection, or the jump server did: what is left is delivered, then the next leg reads its end. */
static void
channel_on_closed(void *arg)
{
	struct hop *h = arg;

	sp_channel_release(h->ch);
	h->ch = NULL;
	h->far_eof = 1;
	hop_pump(h);
}

static void
channel_on_request(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct hop *h = arg;

	(void)name;
	(void)data;
	if (want_reply && h->ch != NULL)
		sp_channel_reply(h->ch, 0);
}

static void
channel_on_reply(void *arg, int ok)
{
	(void)arg;	/* we ask nothing */
	(void)ok;
}

static void
channel_on_writable(void *arg)
{
	hop_pump(arg);
}

static const struct sp_channel_ops channel_ops = {
	channel_on_opened, channel_on_refused, channel_on_data, channel_on_eof, channel_on_closed, channel_on_request,
	channel_on_reply, channel_on_writable
};

/* RFC 4254, 7.2: host and port to connect to, then where it comes from, which we keep to ourselves. */
static void
hop_open(struct hop *h)
{
	struct jump *j = h->jump;
	int last = hop_number(h) == j->n;
	const char *host = last ? j->t->reply->host : h[1].row->host;
	struct sp_buf b;
	enum sp_err r;

	h->state = HOP_OPENING;
	sp_buf_init(&b, 1024);
	if ((r = sp_buf_put_cstring(&b, host)) == SP_OK && (r = sp_buf_put_u32(&b, last ? j->t->reply->port : h[1].row->port)) == SP_OK &&
	    (r = sp_buf_put_cstring(&b, "127.0.0.1")) == SP_OK && (r = sp_buf_put_u32(&b, 65535)) == SP_OK)
		r = sp_channel_open(h->conn, "direct-tcpip", b.p, b.len, &channel_ops, h, &h->ch);
	sp_buf_release(&b);
	if (r != SP_OK)
		hop_fail(h, "cannot be used: out of memory", sp_err_text(r));
}

/* ---- the connection protocol with a jump server: it gets nothing from us but that channel */

static void
hop_send(void *arg, const void *head, size_t head_len, const void *data, size_t len)
{
	struct hop *h = arg;

	sp_leg_send(h->leg, head, head_len, data, len);
}

static void
conn_on_open(void *arg, struct sp_channel *ch, const char *type, struct sp_view extra)
{
	(void)arg;
	(void)type;
	(void)extra;
	sp_channel_refuse(ch, SP_OPEN_PROHIBITED, "not asked for");
}

static void
conn_on_global(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct hop *h = arg;

	(void)name;
	(void)data;
	if (want_reply)
		sp_conn_reply(h->conn, 0, NULL, 0);
}

static void
conn_on_global_reply(void *arg, int ok, struct sp_view data)
{
	(void)arg;
	(void)ok;
	(void)data;
}

static void
conn_on_broken(void *arg, const char *why)
{
	char what[SESSION_TEXT];

	(void)sp_snprintf(what, sizeof(what), "broke the protocol: %.160s", why);
	hop_fail(arg, what, why);
}

static int
conn_can_write(void *arg)
{
	struct hop *h = arg;

	return sp_leg_writable(h->leg);
}

static const struct sp_conn_ops conn_ops = { conn_on_open, conn_on_global, conn_on_global_reply, conn_on_broken, conn_can_write };

/* ---- host key */

static int
hop_on_hostkey(struct session *s, struct sp_msg *m, void *arg)
{
	struct hop *h = arg;
	const Sallyport__HostKeyReply *r = m != NULL ? (const Sallyport__HostKeyReply *)m->body : NULL;
	char line[SESSION_TEXT];

	(void)s;
	if (hop_over(h))
		return 0;
	if (r != NULL && r->accept) {
		h->host_ok = 1;
		h->state = HOP_LOGIN;
		hop_go_on(h);
	} else if (r != NULL && r->text[0] != '\0') {
		(void)sp_strlcpy(line, r->text, sizeof(line));
		target_lost(h->jump->t, line, "host key of a jump server refused");
	} else
		hop_fail(h, "showed a host key that could not be checked in time", "host key not checked");
	return 0;
}

/* Control compares with the pins: it has them, and is needed for the lease anyway. */
static void
leg_on_ready(void *arg)
{
	struct hop *h = arg;
	struct session *s = h->jump->t->s;
	Sallyport__HostKeyAsk q = SALLYPORT__HOST_KEY_ASK__INIT;
	struct sp_buf blob;
	char alg[64];

	sp_buf_init(&blob, 16384);
	if (sp_leg_host_key(h->leg, alg, sizeof(alg), &blob) != SP_OK)
		hop_fail(h, "showed a host key that makes no sense", "host key refused");
	else {
		q.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, h->jump->t->id.b };
		q.alg = alg;
		q.blob = (ProtobufCBinaryData){ blob.len, blob.p };
		q.hop = hop_number(h);
		session_ask(s, SP_PROC_CONTROL, SP_MSG_HOSTKEY_ASK, &q, -1, s->conf->control_wait, hop_on_hostkey, h);
	}
	sp_buf_release(&blob);
}

/* ---- credentials */

static int
hop_on_lease(struct session *s, struct sp_msg *m, void *arg)
{
	struct hop *h = arg;
	const Sallyport__LeaseReply *r = m != NULL ? (const Sallyport__LeaseReply *)m->body : NULL;

	(void)s;
	if (hop_over(h) || (r != NULL && r->err == SP_ECLOSED))
		return 0;		/* killed: who did it is told by the monitor */
	if (r == NULL || r->err != SP_OK) {
		hop_no_lease(h, r != NULL ? r->text : NULL);
		return 0;
	}
	sp_buf_reset(&h->lease);
	if (sp_buf_append(&h->lease, r->lease.data, r->lease.len) != SP_OK) {
		hop_no_lease(h, "out of memory");
		return 0;
	}
	if (strcmp(h->row->method, "key") == 0) {
		sp_buf_reset(&h->key);
		if (sp_buf_append(&h->key, r->public_key.data, r->public_key.len) != SP_OK) {
			hop_no_lease(h, "out of memory");
			return 0;
		}
	}
	if (h->sign.len > 0) {		/* the login waits for this signature */
		hop_ask_signature(h);
		return 0;
	}
	h->leased = 1;
	hop_go_on(h);
	return 0;
}

static void
hop_ask_lease(struct hop *h)
{
	static const struct { const char *method, *op; } ops[] = {
		{ "certificate", "certificate" }, { "key", "sign" }, { "password", "password" }
	};
	struct session *s = h->jump->t->s;
	Sallyport__LeaseAsk q = SALLYPORT__LEASE_ASK__INIT;
	const char *op = NULL;

	for (size_t i = 0; i < SP_NELEMS(ops); i++)
		if (strcmp(ops[i].method, h->row->method) == 0)
			op = ops[i].op;
	if (op == NULL) {
		hop_no_lease(h, "its account has none that is stored");
		return;
	}
	q.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, h->jump->t->id.b };
	q.op = (char *)(uintptr_t)op;
	q.hop = hop_number(h);
	if (strcmp(op, "certificate") == 0) {
		sp_buf_reset(&h->key);
		if (sp_leg_ephemeral(h->leg, &h->key) != SP_OK) {
			hop_no_lease(h, "out of memory");
			return;
		}
		q.session_public_key = (ProtobufCBinaryData){ h->key.len, h->key.p };
	}
	session_ask(s, SP_PROC_CONTROL, SP_MSG_LEASE_ASK, &q, -1, s->conf->control_wait, hop_on_lease, h);
}

/* As for the target: a vault that knows no such lease may be a new one, so control is asked once more. */
static void
hop_refused_lease(struct hop *h, uint32_t err, const char *text)
{
	if (err == SP_ENOENT && !h->lease_again) {
		h->lease_again = 1;
		hop_ask_lease(h);
	} else
		hop_no_lease(h, text);
}

static int
hop_on_cert(struct session *s, struct sp_msg *m, void *arg)
{
	struct hop *h = arg;
	const Sallyport__CertReply *r = m != NULL ? (const Sallyport__CertReply *)m->body : NULL;

	(void)s;
	if (hop_over(h))
		return 0;
	if (r == NULL)
		hop_no_lease(h, NULL);
	else if (r->err != SP_OK)
		hop_refused_lease(h, r->err, r->text);
	else if (sp_leg_login_cert(h->leg, (struct sp_view){ r->certificate.data, r->certificate.len }) != SP_OK)
		hop_no_login(h);
	return 0;
}

static int
hop_on_password(struct session *s, struct sp_msg *m, void *arg)
{
	struct hop *h = arg;
	const Sallyport__PasswordReply *r = m != NULL ? (const Sallyport__PasswordReply *)m->body : NULL;
	struct sp_buf pw;

	(void)s;
	if (hop_over(h))
		return 0;
	if (r == NULL)
		hop_no_lease(h, NULL);
	else if (r->err != SP_OK)
		hop_refused_lease(h, r->err, r->text);
	else {
		sp_buf_init(&pw, 8192);
		if (memchr(r->password.data, '\0', r->password.len) != NULL ||
		    sp_buf_append(&pw, r->password.data, r->password.len) != SP_OK ||
		    sp_leg_login_password(h->leg, sp_buf_cstr(&pw)) != SP_OK)
			hop_no_login(h);
		sp_buf_release(&pw);
	}
	return 0;
}

static int
hop_on_signature(struct session *s, struct sp_msg *m, void *arg)
{
	struct hop *h = arg;
	const Sallyport__SignReply *r = m != NULL ? (const Sallyport__SignReply *)m->body : NULL;
	struct sp_view v = { NULL, 0 };

	(void)s;
	if (hop_over(h))
		return 0;
	if (r != NULL && r->err == SP_ENOENT) {
		hop_refused_lease(h, r->err, r->text);
		return 0;
	}
	if (r != NULL && r->err == SP_OK)
		v = (struct sp_view){ r->signature.data, r->signature.len };
	sp_buf_reset(&h->sign);
	if (sp_leg_signed(h->leg, v) != SP_OK)
		hop_no_login(h);
	return 0;
}

static void
hop_ask_signature(struct hop *h)
{
	struct session *s = h->jump->t->s;
	Sallyport__SignAsk q = SALLYPORT__SIGN_ASK__INIT;

	q.lease = (ProtobufCBinaryData){ h->lease.len, h->lease.p };
	q.blob = (ProtobufCBinaryData){ h->sign.len, h->sign.p };
	session_ask(s, SP_PROC_VAULT, SP_MSG_SIGN_ASK, &q, -1, s->conf->control_wait, hop_on_signature, h);
}

static void
leg_on_sign(void *arg, struct sp_view blob)
{
	struct hop *h = arg;

	sp_buf_reset(&h->sign);
	if (sp_buf_append(&h->sign, blob.p, blob.len) != SP_OK)
		hop_no_lease(h, "out of memory");
	else
		hop_ask_signature(h);
}

/* The login. Host key, recording and lease are checked here, in one place. */
static void
hop_go_on(struct hop *h)
{
	struct session *s = h->jump->t->s;

	if (hop_over(h) || h->state != HOP_LOGIN || !h->host_ok || !h->jump->t->recording || !h->leased)
		return;
	h->leased = 0;
	if (strcmp(h->row->method, "certificate") == 0) {
		Sallyport__CertAsk q = SALLYPORT__CERT_ASK__INIT;

		q.lease = (ProtobufCBinaryData){ h->lease.len, h->lease.p };
		q.public_key = (ProtobufCBinaryData){ h->key.len, h->key.p };
		session_ask(s, SP_PROC_VAULT, SP_MSG_CERT_ASK, &q, -1, s->conf->control_wait, hop_on_cert, h);
	} else if (strcmp(h->row->method, "key") == 0) {
		if (sp_leg_login_key(h->leg, (struct sp_view){ h->key.p, h->key.len }) != SP_OK)
			hop_no_login(h);
	} else {
		Sallyport__PasswordAsk q = SALLYPORT__PASSWORD_ASK__INIT;

		q.lease = (ProtobufCBinaryData){ h->lease.len, h->lease.p };
		session_ask(s, SP_PROC_VAULT, SP_MSG_PASSWORD_ASK, &q, -1, s->conf->control_wait, hop_on_password, h);
	}
}

static void
leg_on_login(void *arg, enum sp_leg_login r)
{
	struct hop *h = arg;

	if (hop_over(h) || h->state != HOP_LOGIN)
		return;
	if (r != SP_LEG_LOGIN_OK) {
		hop_no_login(h);
		return;
	}
	sp_buf_release(&h->lease);
	sp_buf_release(&h->sign);
	hop_open(h);
}

/* ---- the leg */

static void
leg_on_packet(void *arg, struct sp_view payload)
{
	struct hop *h = arg;

	if (!hop_over(h))
		sp_conn_packet(h->conn, payload);
}

static void
leg_on_drained(void *arg)
{
	struct hop *h = arg;

	sp_conn_writable(h->conn);
}

static void
leg_on_closed(void *arg, const char *why)
{
	struct hop *h = arg;
	char what[SESSION_TEXT];

	if (h->state >= HOP_OPENING)
		(void)sp_snprintf(what, sizeof(what), "closed the connection: %.160s", why);
	else if (h->state == HOP_KEX)
		(void)sp_snprintf(what, sizeof(what), "cannot be reached: %.160s", why);
	else
		(void)sp_snprintf(what, sizeof(what), "ended the connection during login");
	hop_fail(h, what, why);
}

static const struct sp_leg_ops leg_ops = {
	.ready = leg_on_ready, .login = leg_on_login, .sign = leg_on_sign, .packet = leg_on_packet, .drained = leg_on_drained,
	.closed = leg_on_closed
};

/* Only key types that are pinned for this server are negotiated. NULL: none is pinned. */
static const char *
hop_algs(const struct hop *h, struct sp_buf *b)
{
	char list[JUMP_ALGS_MAX], *next;

	(void)sp_strlcpy(list, h->row->host_algs, sizeof(list));
	for (char *a = list; a != NULL && *a != '\0'; a = next) {
		if ((next = strchr(a, ',')) != NULL)
			*next++ = '\0';
		target_alg_add(b, a);
	}
	return b->len > 0 ? sp_buf_cstr(b) : NULL;
}

static void
hop_start(struct hop *h, int fd)
{
	struct session *s = h->jump->t->s;
	struct sp_buf algs;
	enum sp_err r;

	h->state = HOP_KEX;
	sp_buf_init(&algs, JUMP_ALGS_MAX - 1);
	if ((r = sp_conn_new(&conn_ops, h, hop_send, h, &h->conn)) == SP_OK)
		r = sp_leg_client(s->loop, s->conf, sp_steal_fd(&fd), h->row->login, hop_algs(h, &algs), &leg_ops, h, &h->leg);
	sp_buf_release(&algs);
	sp_closep(&fd);
	if (r != SP_OK)
		hop_fail(h, "cannot be used: internal error", "cannot start the leg of a jump server");
	else
		hop_ask_lease(h);
}

/* ---- life */

void
jump_start(struct target *t, int fd)
{
	struct jump *j = t->reply->n_hops <= JUMP_HOPS_MAX ? calloc(1, sizeof(*j)) : NULL;

	if (j == NULL) {
		sp_closep(&fd);
		target_lost(t, "The jump servers on the way cannot be used: out of memory", "out of memory");
		return;
	}
	t->jump = j;
	j->t = t;
	j->n = t->reply->n_hops;
	for (size_t i = 0; i < j->n; i++) {
		struct hop *h = &j->hop[i];

		h->jump = j;
		h->row = t->reply->hops[i];
		h->fd = -1;
		sp_buf_init(&h->lease, 4096);
		sp_buf_init(&h->key, 16384);
		sp_buf_init(&h->sign, 16384);
		sp_buf_init(&h->wait, SP_CHANNEL_WINDOW + SP_CHANNEL_PACKET);
	}
	hop_start(&j->hop[0], fd);
}

void
jump_go_on(struct target *t)
{
	for (size_t i = 0; t->jump != NULL && i < t->jump->n; i++)
		hop_go_on(&t->jump->hop[i]);
}

void
jump_close(struct target *t)
{
	struct jump *j = t->jump;

	if (j == NULL || j->closed)
		return;
	j->closed = 1;
	for (size_t i = 0; i < j->n; i++) {
		struct hop *h = &j->hop[i];

		session_forget(t->s, h);
		sp_source_remove(h->source);
		h->source = NULL;
		if (h->leg != NULL)
			sp_leg_close(h->leg, "session ended");
	}
}

void
jump_free(struct target *t)
{
	struct jump *j = t->jump;

	if (j == NULL)
		return;
	jump_close(t);
	t->jump = NULL;
	for (size_t i = 0; i < j->n; i++) {
		struct hop *h = &j->hop[i];

		sp_conn_free(h->conn);
		sp_leg_free(h->leg);
		sp_closep(&h->fd);
		sp_buf_release(&h->lease);
		sp_buf_release(&h->key);
		sp_buf_release(&h->sign);
		sp_buf_release(&h->wait);
	}
	free(j);
}
