/* lib/ipc/chan.c - see chan.h. Header on the wire: u16 protocol, u16 id, u32 corr (same machine, native order). */
#include "ipc/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"

#define CHAN_BATCH	64	/* messages read per wake-up, so that one peer cannot starve the others */

struct chan_head {
	uint16_t	protocol, id;
	uint32_t	corr;
};
struct chan_out {		/* one queued message */
	struct sp_list	link;
	size_t		len;
	int		fds[SP_MSG_FDS];
	int		nfds;
	uint8_t		secret;
	uint8_t		bytes[];
};
struct sp_chan {
	int			 fd;
	enum sp_proc		 self, peer;
	enum sp_chan_state	 state;
	sp_chan_fn		*fn;
	sp_chan_close_fn	*on_close;
	void			*arg;
	struct sp_source	*source;
	struct sp_list		 out;
	size_t			 out_bytes;
	uint32_t		 corr;
	int			 closed;	/* on_close was called */
	int			 freed;		/* freed inside a handler: memory goes when the handler returns */
	int			 busy;		/* depth of calls into handlers */
};

/* One receive buffer per process: messages are handled one at a time. */
static uint8_t chan_rx[SP_MSG_MAX];

static void
chan_close_fds(int *fds, int nfds)
{
	for (int i = 0; i < nfds; i++)
		sp_closep(&fds[i]);
}

enum sp_err
sp_chan_pair(int ret[2])
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sv) == -1)
		return sp_err_errno(errno);
	ret[0] = sv[0];
	ret[1] = sv[1];
	return SP_OK;
}

enum sp_err
sp_chan_new(int fd, enum sp_proc self, enum sp_proc peer, sp_chan_fn *fn, sp_chan_close_fn *on_close, void *arg,
    struct sp_chan **ret)
{
	struct sp_chan *c;
	int on = 1;

	if (ioctl(fd, FIONBIO, &on) == -1 || fcntl(fd, F_SETFD, FD_CLOEXEC) == -1 ||
	    (c = calloc(1, sizeof(*c))) == NULL) {
		close(fd);
		return SP_ESYS;
	}
	*c = (struct sp_chan){ .fd = fd, .self = self, .peer = peer, .state = SP_ST_AUTHED, .fn = fn,
	    .on_close = on_close, .arg = arg };
	sp_list_init(&c->out);
	*ret = c;
	return SP_OK;
}

static void
chan_out_free(struct chan_out *o)
{
	chan_close_fds(o->fds, o->nfds);
	if (o->secret)
		explicit_bzero(o->bytes, o->len);
	free(o);
}

static void
chan_release(struct sp_chan *c)
{
	sp_source_remove(c->source);
	c->source = NULL;
	sp_closep(&c->fd);
	sp_list_each(it, &c->out) {
		sp_list_remove(it);
		chan_out_free(sp_container(it, struct chan_out, link));
	}
	c->out_bytes = 0;
}

void
sp_chan_free(struct sp_chan *c)
{
	if (c == NULL || c->freed)
		return;
	chan_release(c);
	c->closed = 1;
	if (c->busy > 0)
		c->freed = 1;
	else
		free(c);
}

/* Leaves a call into handlers; returns 1 if the channel was freed meanwhile (and is now gone). */
static int
chan_leave(struct sp_chan *c)
{
	if (--c->busy > 0 || !c->freed)
		return c->freed;
	free(c);
	return 1;
}

static void
chan_fail(struct sp_chan *c, enum sp_err why, const char *what)
{
	if (c->closed)
		return;
	c->closed = 1;
	chan_release(c);
	c->on_close(c, why, what, c->arg);
}

static void
chan_update(struct sp_chan *c)
{
	if (c->source != NULL)
		sp_source_events(c->source, EPOLLIN | (sp_list_empty(&c->out) ? 0 : (uint32_t)EPOLLOUT));
}

static void
chan_on_event(struct sp_source *s, uint32_t events, void *arg)
{
	sp_chan_on_io(arg, (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0, (events & EPOLLOUT) != 0);
}

enum sp_err
sp_chan_watch(struct sp_chan *c, struct sp_loop *l)
{
	enum sp_err r = sp_loop_add(l, c->fd, EPOLLIN, chan_on_event, c, &c->source);

	if (r == SP_OK)
		chan_update(c);
	return r;
}

void sp_chan_set_state(struct sp_chan *c, enum sp_chan_state s) { c->state = s; }
enum sp_chan_state sp_chan_state(const struct sp_chan *c) { return c->state; }
enum sp_proc sp_chan_peer(const struct sp_chan *c) { return c->peer; }
void sp_chan_set_arg(struct sp_chan *c, void *arg) { c->arg = arg; }
int sp_chan_fd(const struct sp_chan *c) { return c->fd; }
int sp_chan_want_write(const struct sp_chan *c) { return !sp_list_empty(&c->out); }
size_t sp_chan_queued(const struct sp_chan *c) { return c->out_bytes; }

uint32_t
sp_chan_corr(struct sp_chan *c)
{
	if (++c->corr == 0)
		c->corr = 1;
	return c->corr;
}

static enum sp_err
chan_sendmsg(int fd, struct iovec *iov, int iovcnt, const int *fds, int nfds)
{
	union {
		struct cmsghdr	align;
		char		space[CMSG_SPACE(sizeof(int) * SP_MSG_FDS)];
	} ctl;
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = (size_t)iovcnt };
	ssize_t n;

	if (nfds > 0) {
		struct cmsghdr *cm;

		memset(&ctl, 0, sizeof(ctl));
		mh.msg_control = ctl.space;
		mh.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)nfds);
		cm = CMSG_FIRSTHDR(&mh);
		cm->cmsg_level = SOL_SOCKET;
		cm->cmsg_type = SCM_RIGHTS;
		cm->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nfds);
		memcpy(CMSG_DATA(cm), fds, sizeof(int) * (size_t)nfds);
	}
	do
		n = sendmsg(fd, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n >= 0)
		return SP_OK;
	if (errno == ENOBUFS || errno == ETOOMANYREFS)
		return SP_EAGAIN;
	return sp_err_errno(errno);
}

static void
chan_flush(struct sp_chan *c)
{
	while (!sp_list_empty(&c->out)) {
		struct chan_out *o = sp_container(c->out.next, struct chan_out, link);
		struct iovec iov = { o->bytes, o->len };
		enum sp_err r = chan_sendmsg(c->fd, &iov, 1, o->fds, o->nfds);

		if (r != SP_OK)
			break;	/* full; or gone: the reading side reports the hang-up, once, and the queue goes with it */
		sp_list_remove(&o->link);
		c->out_bytes -= o->len;
		chan_out_free(o);
	}
	chan_update(c);
}

enum sp_err
sp_chan_send(struct sp_chan *c, uint16_t id, uint32_t corr, const void *body, int *fds, int nfds)
{
	const struct sp_msg_spec *spec = sp_msg_spec(id);
	struct chan_head h = { SP_IPC_PROTOCOL, id, corr };
	const ProtobufCMessage *pm = body;
	struct chan_out *o = NULL;
	size_t len = 0;
	enum sp_err r = SP_OK;

	if (c->closed)
		r = SP_ECLOSED;
	else if (spec == NULL || pm == NULL || pm->descriptor != spec->body)
		r = SP_EINVAL;
	else if ((len = protobuf_c_message_get_packed_size(pm)) > spec->max || nfds > SP_MSG_FDS ||
	    len + sizeof(h) > SP_MSG_MAX)
		r = SP_ESIZE;
	else if (c->out_bytes + len > SP_CHAN_QUEUE)
		r = SP_EFULL;
	else if ((o = malloc(sizeof(*o) + sizeof(h) + len)) == NULL)
		r = SP_ENOMEM;
	if (r != SP_OK) {
		chan_close_fds(fds, nfds);
		return r;
	}
	o->len = sizeof(h) + len;
	o->nfds = nfds;
	o->secret = spec->secret;
	memcpy(o->bytes, &h, sizeof(h));
	protobuf_c_message_pack(pm, o->bytes + sizeof(h));
	for (int i = 0; i < nfds; i++)
		o->fds[i] = sp_steal_fd(&fds[i]);
	sp_list_add_tail(&c->out, &o->link);
	c->out_bytes += o->len;
	if (c->out.next == &o->link)
		chan_flush(c);
	return SP_OK;
}

enum sp_err
sp_chan_send_raw(struct sp_chan *c, uint16_t id, const void *head, size_t head_len, const void *data, size_t len)
{
	struct chan_head h = { SP_IPC_PROTOCOL, id, 0 };
	struct iovec iov[3] = { { &h, sizeof(h) } };

	if (c->closed)
		return SP_ECLOSED;
	if (!sp_list_empty(&c->out))
		return SP_EAGAIN;
	/* sendmsg(2) does not write through iov_base. */
	memcpy(&iov[1].iov_base, &head, sizeof(head));
	iov[1].iov_len = head_len;
	memcpy(&iov[2].iov_base, &data, sizeof(data));
	iov[2].iov_len = len;
	return chan_sendmsg(c->fd, iov, 3, NULL, 0);
}

void
sp_chan_waiting(const struct sp_chan *c, sp_chan_waiting_fn *fn, void *arg)
{
	sp_list_each(it, &c->out) {
		const struct chan_out *o = sp_container(it, struct chan_out, link);

		fn(o->bytes, o->len, o->fds, o->nfds, o->secret, arg);
	}
}

enum sp_err
sp_chan_put_back(struct sp_chan *c, const uint8_t *bytes, size_t len, int *fds, int nfds, int secret)
{
	struct chan_out *o = len <= SP_MSG_MAX && nfds <= SP_MSG_FDS ? malloc(sizeof(*o) + len) : NULL;

	if (o == NULL) {
		chan_close_fds(fds, nfds);
		return SP_ENOMEM;
	}
	o->len = len;
	o->nfds = nfds;
	o->secret = secret != 0;
	memcpy(o->bytes, bytes, len);
	for (int i = 0; i < nfds; i++)
		o->fds[i] = sp_steal_fd(&fds[i]);
	sp_list_add_tail(&c->out, &o->link);
	c->out_bytes += len;
	chan_update(c);
	return SP_OK;
}

/* Collect descriptors; more than SP_MSG_FDS cannot arrive, the control buffer has no room for them. */
static int
chan_take_fds(struct msghdr *mh, int *fds)
{
	int n = 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(mh); cm != NULL; cm = CMSG_NXTHDR(mh, cm))
		if (cm->cmsg_level == SOL_SOCKET && cm->cmsg_type == SCM_RIGHTS) {
			size_t k = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

			memcpy(fds, CMSG_DATA(cm), k * sizeof(int));
			n = (int)k;
		}
	return n;
}

static void
chan_dispatch(struct sp_chan *c, struct sp_msg *m, size_t len)
{
	const struct sp_msg_spec *spec;
	struct chan_head h;
	enum sp_err r;

	if (len < sizeof(h)) {
		chan_fail(c, SP_EFORMAT, "");
		return;
	}
	memcpy(&h, chan_rx, sizeof(h));
	if (h.protocol != SP_IPC_PROTOCOL) {
		chan_fail(c, SP_EVERSION, "");
		return;
	}
	spec = sp_msg_spec(h.id);
	if ((r = sp_msg_admit(h.id, c->peer, c->self, c->state, len - sizeof(h), m->nfds)) != SP_OK) {
		chan_fail(c, r, spec != NULL ? spec->name : "");
		return;
	}
	m->id = h.id;
	m->corr = h.corr;
	m->raw = chan_rx + sizeof(h);
	m->raw_len = len - sizeof(h);
	if (!spec->raw && (m->body = protobuf_c_message_unpack(spec->body, NULL, m->raw_len, m->raw)) == NULL) {
		chan_fail(c, SP_EFORMAT, spec->name);
		return;
	}
	c->fn(c, m, c->arg);
	if (spec->secret)
		explicit_bzero(chan_rx, len);
}

/* Wipe the byte fields of a secret message before its memory goes back. */
static void
chan_free_body(struct sp_msg *m)
{
	const struct sp_msg_spec *spec = sp_msg_spec(m->id);

	if (m->body == NULL)
		return;
	if (spec->secret)
		for (unsigned i = 0; i < spec->body->n_fields; i++) {
			const ProtobufCFieldDescriptor *f = &spec->body->fields[i];

			if (f->type == PROTOBUF_C_TYPE_BYTES && f->label != PROTOBUF_C_LABEL_REPEATED) {
				ProtobufCBinaryData *d = (ProtobufCBinaryData *)(void *)((uint8_t *)m->body + f->offset);

				if (d->data != NULL)
					explicit_bzero(d->data, d->len);
			}
		}
	protobuf_c_message_free_unpacked(m->body, NULL);
}

/* One message. Returns 1 to go on, 0 when there is nothing more or the channel is done. Called with busy > 0. */
static int
chan_read_one(struct sp_chan *c)
{
	union {
		struct cmsghdr	align;
		char		space[CMSG_SPACE(sizeof(int) * SP_MSG_FDS)];
	} ctl;
	struct iovec iov = { chan_rx, sizeof(chan_rx) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.space,
	    .msg_controllen = sizeof(ctl.space) };
	struct sp_msg m = { 0 };
	ssize_t n;

	do
		n = recvmsg(c->fd, &mh, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (n <= 0) {
		chan_fail(c, SP_ECLOSED, n == -1 && errno == ECONNRESET ? SP_CHAN_UNREAD : "");
		return 0;
	}
	m.nfds = chan_take_fds(&mh, m.fds);
	if (mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
		chan_fail(c, SP_ESIZE, "");
	else
		chan_dispatch(c, &m, (size_t)n);
	chan_free_body(&m);
	chan_close_fds(m.fds, m.nfds);
	return !c->closed;
}

void
sp_chan_on_io(struct sp_chan *c, int readable, int writable)
{
	if (c->closed)
		return;
	c->busy++;
	if (writable)
		chan_flush(c);
	if (readable)
		for (int i = 0; i < CHAN_BATCH && !c->closed && chan_read_one(c); i++)
			;
	chan_leave(c);
}

enum sp_err
sp_chan_wait(struct sp_chan *c, int timeout_ms)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	int n;

	if (c->closed)
		return SP_ECLOSED;
	c->busy++;
	chan_flush(c);
	p.events = (short)(POLLIN | (sp_list_empty(&c->out) ? 0 : POLLOUT));
	do
		n = poll(&p, 1, timeout_ms);
	while (n == -1 && errno == EINTR);
	if (n > 0 && (p.revents & POLLOUT))
		chan_flush(c);
	if (n > 0 && (p.revents & (POLLIN | POLLHUP | POLLERR)))
		chan_read_one(c);
	if (c->closed) {
		chan_leave(c);
		return SP_ECLOSED;
	}
	chan_leave(c);
	return n > 0 ? SP_OK : SP_ETIMEOUT;
}
