/* src/vault/agent.c - AGENT_OPEN: a stream on which the vault is an ssh-agent that holds one key, for one lease.
 * Process: vault, loop thread. Peer: the SSH library inside a session (which speaks the agent protocol better than it
 * lets its user sign), hence the bytes are as hostile as the session.
 * Invariants: (1) the stream owns the lease, which is in no table any more. (2) At most AGENT_SIGS signatures, refused
 * attempts counted, then the stream ends. (3) At most AGENT_IN_MAX bytes wait on the way in and one answer on the way out. */
#include "vault/vault.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "wire/agent.h"
#include "wire/sshkey.h"

#define AGENTS_MAX	4096
#define AGENT_SIGS	2
#define AGENT_ASKS	16			/* requests of any kind on one stream */
#define AGENT_IN_MAX	((size_t)32 * 1024)	/* bytes; a login request has at most 9 KiB */
#define AGENT_OUT_MAX	((size_t)64 * 1024)

struct agent {
	struct sp_list		 link;		/* in vault.agents */
	struct vault		*v;
	struct lease		*lease;		/* owned */
	int			 fd;
	struct sp_source	*source;
	struct sp_buf		 in, out;
	unsigned		 sigs, asks;
};

static void
agent_free(struct agent *a)
{
	if (a == NULL)
		return;
	if (a->link.next != NULL) {
		sp_list_remove(&a->link);
		a->v->agents_n--;
	}
	sp_source_remove(a->source);
	sp_closep(&a->fd);
	lease_free(a->lease);
	sp_buf_release(&a->in);
	sp_buf_release(&a->out);
	free(a);
}

static void
agent_log(const struct agent *a, const char *why)
{
	char id[SP_UUID_SIZE];

	sp_warn("connection %s: agent signature refused: %s", sp_uuid_text(&a->lease->conn, id), why);
}

/* ---- answers; each appends one message to a->out */

static enum sp_err
agent_list(struct agent *a)
{
	sp_auto(sp_buf_release) struct sp_buf pub = { .max = SP_SSHKEY_BLOB_MAX };
	struct sp_agent_identity id = { .comment = "sallyport" };

	if (spend_public(a->v, a->lease, &pub) != SP_OK)
		return sp_agent_put_failure(&a->out);
	id.key_blob = (struct sp_view){ pub.p, pub.len };
	return sp_agent_put_identities(&id, 1, &a->out);
}

static enum sp_err
agent_sign(struct agent *a, const struct sp_agent_request *q)
{
	sp_auto(sp_buf_release) struct sp_buf sig = { .max = AGENT_OUT_MAX / 2 };
	const char *why = NULL;
	enum sp_err r;

	a->sigs++;
	/* The key that the request names needs no look of its own: that of the login request inside is compared. */
	r = spend_sign_blob(a->v, a->lease, q->data, q->flags, (struct sp_view){ NULL, 0 }, &why, &sig);
	if (r != SP_OK) {
		agent_log(a, why != NULL ? why : sp_err_text(r));
		return sp_agent_put_failure(&a->out);
	}
	return sp_agent_put_signature((struct sp_view){ sig.p, sig.len }, &a->out);
}

static enum sp_err
agent_answer(struct agent *a, struct sp_view body)
{
	struct sp_agent_request q;

	if (++a->asks > AGENT_ASKS)
		return SP_EFULL;
	if (sp_agent_decode(body, &q) != SP_OK || q.kind == SP_AGENT_OTHER || !a->v->unsealed)
		return sp_agent_put_failure(&a->out);
	return q.kind == SP_AGENT_LIST ? agent_list(a) : agent_sign(a, &q);
}

/* ---- the stream */

/* SP_EAGAIN: the rest waits for the peer to read. */
static enum sp_err
agent_flush(struct agent *a)
{
	while (a->out.len > 0) {
		ssize_t n = send(a->fd, a->out.p, a->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			sp_source_events(a->source, EPOLLOUT);
			return SP_EAGAIN;
		}
		if (n == -1)
			return SP_ECLOSED;
		sp_buf_consume(&a->out, (size_t)n);
	}
	sp_source_events(a->source, EPOLLIN);
	return SP_OK;
}

/* Answer what is whole. SP_OK: go on reading. */
static enum sp_err
agent_serve(struct agent *a)
{
	enum sp_err r;

	while ((r = agent_flush(a)) == SP_OK) {
		struct sp_view stream = { a->in.p, a->in.len }, body;

		if (a->sigs >= AGENT_SIGS)
			return SP_ECLOSED;
		if ((r = sp_agent_next(&stream, &body)) != SP_OK)
			return r == SP_ESHORT && a->in.len < AGENT_IN_MAX ? SP_OK : SP_ESIZE;
		if ((r = agent_answer(a, body)) != SP_OK)
			return r;
		sp_buf_consume(&a->in, a->in.len - stream.len);
	}
	return r;
}

static enum sp_err
agent_read(struct agent *a)
{
	uint8_t chunk[4096];
	size_t room = AGENT_IN_MAX - a->in.len;
	ssize_t n = recv(a->fd, chunk, room < sizeof(chunk) ? room : sizeof(chunk), MSG_DONTWAIT);

	if (n == -1)
		return errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK ? SP_OK : SP_ECLOSED;
	return n == 0 ? SP_ECLOSED : sp_buf_append(&a->in, chunk, (size_t)n);
}

static void
agent_on_io(struct sp_source *src, uint32_t events, void *arg)
{
	struct agent *a = arg;
	enum sp_err r = SP_OK;

	(void)src;
	if (a->lease->deadline_us <= sp_now_us())
		r = SP_EEXPIRED;
	if (r == SP_OK && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && a->out.len == 0)
		r = agent_read(a);
	if (r == SP_OK)
		r = agent_serve(a);
	if (r != SP_OK && r != SP_EAGAIN)
		agent_free(a);
	else if ((events & (EPOLLHUP | EPOLLERR)) && a->out.len > 0)
		agent_free(a);		/* nobody will read it */
}

static enum sp_err
agent_new(struct vault *v, struct lease *l, int fd)
{
	struct agent *a = calloc(1, sizeof(*a));
	enum sp_err r;

	if (a == NULL) {
		lease_free(l);
		close(fd);
		return SP_ENOMEM;
	}
	*a = (struct agent){ .v = v, .lease = l, .fd = fd };
	sp_buf_init(&a->in, AGENT_IN_MAX);
	sp_buf_init(&a->out, AGENT_OUT_MAX);
	if ((r = sp_loop_add(v->child.loop, fd, EPOLLIN, agent_on_io, a, &a->source)) != SP_OK) {
		agent_free(a);
		return r;
	}
	sp_list_add_tail(&v->agents, &a->link);
	v->agents_n++;
	return SP_OK;
}

static int
agent_is_stream(int fd)
{
	int type = 0;
	socklen_t n = sizeof(type);

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM;
}

void
agent_on_open(struct session *s, struct sp_msg *m)
{
	const Sallyport__AgentOpen *b = (const Sallyport__AgentOpen *)m->body;
	struct vault *v = s->v;
	struct lease *l = NULL;
	enum sp_err r = v->unsealed ? SP_OK : SP_ESEALED;

	if (!agent_is_stream(m->fds[0])) {
		session_eject(s, "passed something else than a stream socket");
		return;
	}
	if (r == SP_OK && v->agents_n >= AGENTS_MAX)
		r = SP_EFULL;
	if (r == SP_OK && (r = lease_take(&v->leases, vault_view(&b->lease), &s->conn, LEASE_SIGN, sp_now_us(), &l)) == SP_ENOENT) {
		spend_catch_up(v);
		r = lease_take(&v->leases, vault_view(&b->lease), &s->conn, LEASE_SIGN, sp_now_us(), &l);
	}
	if (r == SP_EPEER) {
		session_eject(s, "asked for a lease of another connection");
		return;
	}
	if (r == SP_OK)
		r = agent_new(v, l, sp_steal_fd(&m->fds[0]));
	if (r != SP_OK)		/* the stream is closed: that is the answer */
		session_refuse(s, "agent", sp_err_text(r));
}

void
agent_drop(struct vault *v, const struct sp_uuid *conn, const struct sp_uuid *session)
{
	sp_list_each(it, &v->agents) {
		struct agent *a = sp_container(it, struct agent, link);

		if ((conn == NULL || sp_uuid_equal(&a->lease->conn, conn)) &&
		    (session == NULL || sp_uuid_equal(&a->lease->session, session)))
			agent_free(a);
	}
}

void
agent_sweep(struct vault *v, uint64_t now_us)
{
	sp_list_each(it, &v->agents) {
		struct agent *a = sp_container(it, struct agent, link);

		if (a->lease->deadline_us <= now_us)
			agent_free(a);
	}
}
