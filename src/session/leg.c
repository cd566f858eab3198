/* src/session/leg.c - see leg.h: one leg's life, its bytes in and out, its end. leg_server.c is the login of a user here,
 * leg_client.c ours at a target, leg_lib.c what libssh calls instead of its own. Process: session (and zygote).
 *
 * Bytes in: leg_on_readable() reads up to LEG_RX bytes and feeds them to libssh's packet layer, which decrypts and calls
 * leg_packet_*() for what we handle ourselves (everything but the key exchange) and its own code for the rest.
 * Bytes out: libssh encrypts into leg->out (leg_queue); one send(2) takes many packets. */
#include "session/leg_int.h"

#include <errno.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "wire/sshsig.h"

#define LEG_RX		(320u * 1024)	/* address space; touched only as far as bytes arrive */
#define LEG_READ	(128u * 1024)	/* most bytes in one recv(2) */
#define LEG_SLICE	(16u * 1024)	/* fed at once: libssh recurses once per packet, this bounds its stack */
#define LEG_OUT_MAX	((size_t)16 * 1024 * 1024)
#define LEG_OUT_KEEP	((size_t)64 * 1024)	/* memory kept by a quiet leg */
#define LEG_QUIET_US	SP_US_PER_S		/* a leg is quiet when nothing was queued for so long */
#define LEG_IN_MAX	((size_t)264 * 1024)	/* most bytes of one incomplete packet */

static uint8_t leg_rx[LEG_RX];	/* one for all: used between a recv(2) and the end of its packets */

/* ---- the end */

static void
leg_close_source(struct sp_leg *leg)
{
	sp_source_remove(leg->source);
	leg->source = NULL;
	sp_closep(&leg->fd);
}

/* What libssh says of some faults of the other side misleads, or is about its own insides. */
static const struct {
	const char	*begins, *better;
} leg_words[] = {
	{ "Can't verify server in known hosts", "malformed key exchange message" },	/* what was in its error text before */
	{ "Wrong state in callback_receive_banner", "no SSH version line" },
	{ "Failed to import next public key", "malformed host key" },
	{ "Failed to get next public key", "malformed host key" },
	{ "Packet filter: rejected packet", "a message that is not allowed in this state" },
	{ "read_packet(): Packet len too high", "malformed packet length" },
};

static const char *
leg_word(const char *why)
{
	for (size_t i = 0; i < SP_NELEMS(leg_words); i++)
		if (strncmp(why, leg_words[i].begins, strlen(leg_words[i].begins)) == 0)
			return leg_words[i].better;
	return why;
}

/* The end, from our side or theirs. */
void
leg_fail(struct sp_leg *leg, const char *why)
{
	why = leg_word(why);
	if (leg->closed)
		return;
	leg->closed = 1;
	leg_close_source(leg);
	if (leg->why[0] == '\0')
		(void)sp_escape(why, strlen(why), leg->why, sizeof(leg->why));
	if (!leg->freed)
		leg->ops->closed(leg->arg, leg->why);
}

/* ---- packets */

void
leg_send_buf(struct sp_leg *leg, struct sp_buf *b, enum sp_err r)
{
	if (r == SP_OK)
		sp_leg_send(leg, b->p, b->len, NULL, 0);
	sp_buf_release(b);
}

struct sp_view
leg_payload(ssh_buffer packet)
{
	return (struct sp_view){ ssh_buffer_get(packet), ssh_buffer_get_len(packet) };
}

int
leg_packet_connection(ssh_session session, uint8_t type, ssh_buffer packet, void *user)
{
	struct sp_leg *leg = user;
	struct sp_view v = leg_payload(packet);

	(void)session;
	if (leg->closed || leg->freed)
		return SSH_PACKET_USED;
	/* libssh has eaten the type byte; it is still in front of the rest. */
	v.p--;
	v.len++;
	if (v.p[0] != type || (leg->server && leg->state != LEG_UP))
		leg_fail(leg, "connection protocol before login");
	else
		leg->ops->packet(leg->arg, v);
	return SSH_PACKET_USED;
}

/* ---- reading and writing */

int
leg_queue(struct sp_leg *leg, const void *p, size_t n)
{
	if (leg->closed)
		return -1;
	if (leg->out.off > 0 && leg->out.off == leg->out.len)
		leg->out.off = leg->out.len = 0;
	if (leg->out.off > LEG_OUT_KEEP && leg->out.cap - leg->out.len < n) {
		memmove(leg->out.p, leg->out.p + leg->out.off, leg->out.len - leg->out.off);
		leg->out.len -= leg->out.off;
		leg->out.off = 0;
	}
	if (leg->out.cap - leg->out.len < n) {
		uint8_t *grown;
		size_t cap;

		for (cap = leg->out.cap ? leg->out.cap : 4096; cap - leg->out.len < n; cap *= 2)
			if (cap > LEG_OUT_MAX)
				return -1;
		if ((grown = realloc(leg->out.p, cap)) == NULL)
			return -1;
		if (leg->out.cap <= LEG_OUT_KEEP && cap > LEG_OUT_KEEP)
			sp_timer_in(leg->quiet, LEG_QUIET_US);
		leg->out.p = grown;
		leg->out.cap = cap;
	}
	memcpy(leg->out.p + leg->out.len, p, n);
	leg->out.len += n;
	leg->out.used = 1;
	return 0;
}

static void
leg_flush(struct sp_leg *leg)
{
	while (!leg->closed && leg->out.off < leg->out.len) {
		ssize_t n = send(leg->fd, leg->out.p + leg->out.off, leg->out.len - leg->out.off, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n == -1) {
			leg_fail(leg, strerror(errno));
			return;
		}
		leg->out.off += (size_t)n;
	}
	if (leg->closed)
		return;
	if (leg->out.off == leg->out.len) {
		leg->out.off = leg->out.len = 0;
		if (leg->closing) {
			leg_fail(leg, "closed");
			return;
		}
	}
	if (leg->broken) {
		leg_fail(leg, "out of memory for packets");
		return;
	}
	sp_source_events(leg->source, (leg->closing ? 0 : EPOLLIN) | (leg->out.len > 0 ? (uint32_t)EPOLLOUT : 0));
	if (leg->starved && leg->out.len - leg->out.off <= SP_LEG_LOW) {
		leg->starved = 0;
		leg->ops->drained(leg->arg);
	}
}

/* Memory of a burst goes back when the burst is over, not between its packets: fresh pages cost more than the copy. */
static void
leg_on_quiet(struct sp_timer *t, void *arg)
{
	struct sp_leg *leg = arg;

	if (leg->out.used || leg->out.len > 0) {
		leg->out.used = 0;
		sp_timer_in(t, LEG_QUIET_US);
		return;
	}
	free(leg->out.p);
	leg->out.p = NULL;
	leg->out.cap = leg->out.off = 0;
	(void)malloc_trim(0);
}

/* Where the key exchange stands, after bytes were fed. */
void
leg_advance(struct sp_leg *leg)
{
	int r;

	if (leg->closed || leg->freed)
		return;
	if (ssh_get_status(leg->ssh) & (SSH_CLOSED | SSH_CLOSED_ERROR)) {
		leg_flush(leg);
		leg_fail(leg, ssh_get_error(leg->ssh));
		return;
	}
	if (leg->state == LEG_KEX) {
		r = leg->server ? ssh_handle_key_exchange(leg->ssh) : ssh_connect(leg->ssh);
		if (r == SSH_ERROR) {
			leg_flush(leg);
			leg_fail(leg, ssh_get_error(leg->ssh));
		} else if (r == SSH_OK) {
			leg->state = LEG_AUTH;
			leg->ops->ready(leg->arg);
		}
	} else if (leg->server && leg->state == LEG_AUTH)
		leg_auth_verified(leg);
	else if (!leg->server && leg->login != LOGIN_NONE)
		leg_login_step(leg);
}

/* Feed bytes to libssh; returns how many it took. */
static size_t
leg_feed(struct sp_leg *leg, uint8_t *p, size_t n)
{
	size_t used = 0;

	while (used < n && !leg->closed && !leg->freed) {
		size_t slice = n - used < LEG_SLICE ? n - used : LEG_SLICE;
		size_t took = leg->cb->data(p + used, slice, leg->cb->userdata);

		if (took == 0 && slice < n - used)
			took = leg->cb->data(p + used, n - used, leg->cb->userdata);
		/* Signed logins are judged one by one, and the state must follow before the next packet is looked at. */
		if (leg->state != LEG_UP)
			leg_advance(leg);
		if (took == 0 || took > n - used)
			break;
		used += took;
	}
	return used;
}

static void
leg_on_readable(struct sp_leg *leg)
{
	size_t have = leg->in.len, used;
	ssize_t n;

	if (have > 0)
		memcpy(leg_rx, leg->in.p, have);
	do
		n = recv(leg->fd, leg_rx + have, sizeof(leg_rx) - have < LEG_READ ? sizeof(leg_rx) - have : LEG_READ, MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return;
	if (n <= 0) {
		leg_fail(leg, n == 0 ? "connection closed by the other side" : strerror(errno));
		return;
	}
	leg->heard_us = sp_now_us();
	leg_enter(leg);
	used = leg_feed(leg, leg_rx, have + (size_t)n);
	leg_advance(leg);
	leg_enter(NULL);
	if (leg->closed || leg->freed)
		return;
	if (have + (size_t)n - used > LEG_IN_MAX) {
		leg_fail(leg, "packet too large");
		return;
	}
	leg->in.len = 0;
	if (used < have + (size_t)n && sp_buf_append(&leg->in, leg_rx + used, have + (size_t)n - used) != SP_OK)
		leg_fail(leg, "out of memory");
	else if (used == have + (size_t)n && leg->in.cap > 0)
		sp_buf_release(&leg->in), sp_buf_init(&leg->in, LEG_IN_MAX);
}

static void
leg_on_event(struct sp_source *s, uint32_t events, void *arg)
{
	struct sp_leg *leg = arg;

	(void)s;
	if (events & EPOLLOUT)
		leg_flush(leg);
	if (!leg->closed && !leg->freed && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		leg_on_readable(leg);
}

/* ---- life */

enum sp_err
leg_new(struct sp_loop *l, int fd, int server, const struct sp_leg_ops *ops, void *arg, struct sp_leg **ret)
{
	struct sp_leg *leg = calloc(1, sizeof(*leg));
	int one = 1;
	enum sp_err r;

	if (leg == NULL) {
		close(fd);
		return SP_ENOMEM;
	}
	*leg = (struct sp_leg){ .loop = l, .fd = fd, .server = server, .ops = ops, .arg = arg, .heard_us = sp_now_us() };
	leg->packets.user = leg;
	sp_buf_init(&leg->in, LEG_IN_MAX);
	sp_buf_init(&leg->pk.blob, SP_SSHKEY_BLOB_MAX);
	sp_buf_init(&leg->pk.query, SP_SSHKEY_BLOB_MAX);
	sp_buf_init(&leg->sign_blob, 16384);
	sp_buf_init(&leg->signature, SP_SSHSIG_MAX);
	sp_list_init(&leg->link);
	sp_list_add_tail(leg_all(), &leg->link);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));	/* inner connections are no TCP */
	if ((leg->ssh = ssh_new()) == NULL || (r = sp_timer_new(l, leg_on_quiet, leg, &leg->quiet)) != SP_OK ||
	    (r = sp_loop_add(l, fd, EPOLLIN, leg_on_event, leg, &leg->source)) != SP_OK) {
		leg_destroy(leg);
		return SP_ENOMEM;
	}
	ssh_set_blocking(leg->ssh, 0);
	sp_timer_in(leg->quiet, LEG_QUIET_US);	/* key exchange and login leave much that is never used again */
	*ret = leg;
	return SP_OK;
}

void
leg_destroy(struct sp_leg *leg)
{
	sp_list_remove(&leg->link);
	leg_close_source(leg);
	ssh_message_free(leg->kbdint);
	leg_enter(leg);
	if (leg->ssh != NULL)
		ssh_free(leg->ssh);
	leg_enter(NULL);
	ssh_key_free(leg->key);
	leg_password_wipe(leg);
	free(leg->out.p);
	sp_timer_free(leg->quiet);
	sp_buf_release(&leg->in);
	sp_buf_release(&leg->pk.blob);
	sp_buf_release(&leg->pk.query);
	sp_buf_release(&leg->sign_blob);
	sp_buf_release(&leg->signature);
	free(leg);
}

void
sp_leg_free(struct sp_leg *leg)
{
	if (leg == NULL)
		return;
	leg->freed = 1;		/* sp_leg_flush_all() does the rest, outside every callback */
	if (!leg->closed)
		leg_close_source(leg);
	leg->closed = 1;
}

void
sp_leg_close(struct sp_leg *leg, const char *why)
{
	struct sp_buf b;
	enum sp_err r;

	if (leg->closed || leg->closing)
		return;
	(void)sp_strlcpy(leg->why, why, sizeof(leg->why));
	sp_buf_init(&b, 1024);
	if ((r = sp_buf_put_u8(&b, MSG_DISCONNECT)) == SP_OK && (r = sp_buf_put_u32(&b, 11)) == SP_OK &&
	    (r = sp_buf_put_cstring(&b, leg->why)) == SP_OK)
		r = sp_buf_put_cstring(&b, "");
	leg_send_buf(leg, &b, leg->state == LEG_KEX ? SP_ESTATE : r);
	leg->closing = 1;
}

void
sp_leg_flush_all(void)
{
	sp_list_each(it, leg_all()) {
		struct sp_leg *leg = sp_container(it, struct sp_leg, link);

		if (leg->freed)
			leg_destroy(leg);
		else if (!leg->closed)
			leg_flush(leg);
	}
	/* What drained() or closed() of one leg queued for another. */
	sp_list_each(jt, leg_all()) {
		struct sp_leg *leg = sp_container(jt, struct sp_leg, link);

		if (!leg->closed && leg->out.len > 0)
			leg_flush(leg);
	}
}

/* ---- questions */

int
sp_leg_writable(struct sp_leg *leg)
{
	if (leg->out.len - leg->out.off >= SP_LEG_HIGH)
		leg->starved = 1;
	return !leg->starved;
}

int
sp_leg_is_closed(const struct sp_leg *leg)
{
	return leg->closed || leg->closing;
}

const char *
sp_leg_peer_version(const struct sp_leg *leg)
{
	const char *v = leg->server ? ssh_get_clientbanner(leg->ssh) : ssh_get_serverbanner(leg->ssh);

	return v != NULL ? v : "";
}

const char *
sp_leg_algorithms(struct sp_leg *leg, char *dst, size_t size)
{
	const char *kex = ssh_get_kex_algo(leg->ssh), *in = ssh_get_cipher_in(leg->ssh);

	(void)sp_snprintf(dst, size, "%s %s", kex != NULL ? kex : "", in != NULL ? in : "");
	return dst;
}

uint64_t
sp_leg_heard_us(const struct sp_leg *leg)
{
	return leg->heard_us;
}
