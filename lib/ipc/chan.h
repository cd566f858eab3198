/* lib/ipc/chan.h - one end of a SOCK_SEQPACKET pair between two processes: framing, descriptors, admission, a bounded
 * queue for what the socket does not take at once.
 * Invariants: a message is sent whole or not at all, in order; descriptors given to a send belong to the channel from
 * then on (closed once sent, or on failure); a received descriptor that the handler does not steal is closed;
 * a bad message closes the channel and reaches on_close with the reason; no handler runs after on_close.
 * Not thread-safe. A channel may be used with sp_loop (sp_chan_watch) or with any other loop (fd, want_write, on_io). */
#ifndef SP_IPC_CHAN_H
#define SP_IPC_CHAN_H

#include "base/loop.h"
#include "ipc/msg.h"

struct sp_chan;
struct sp_msg {
	uint16_t		 id;
	uint32_t		 corr;		/* copied into replies by who answers; 0: none */
	ProtobufCMessage	*body;		/* decoded, borrowed; cast to the type named in messages.def; NULL for RAW */
	const uint8_t		*raw;		/* payload bytes, borrowed */
	size_t			 raw_len;
	int			 fds[SP_MSG_FDS];	/* steal with sp_steal_fd */
	int			 nfds;
};
/* Called for every admitted message. The handler may close or free the channel. */
typedef void sp_chan_fn(struct sp_chan *c, struct sp_msg *m, void *arg);
/* Called once when the peer is gone (SP_ECLOSED) or misbehaved (SP_EPEER, SP_ESTATE, SP_ESIZE, SP_EFORMAT): the name of
 * the offending message or "" in what; SP_CHAN_UNREAD if the peer closed with our messages unread. The channel is still to be freed by its owner (allowed in the call). */
typedef void sp_chan_close_fn(struct sp_chan *c, enum sp_err why, const char *what, void *arg);

/* Takes fd (made non-blocking, close-on-exec). self and peer are fixed for life: identity is the descriptor. */
enum sp_err	 sp_chan_new(int fd, enum sp_proc self, enum sp_proc peer, sp_chan_fn *fn, sp_chan_close_fn *on_close,
		    void *arg, struct sp_chan **ret) SP_MUST_USE;
void		 sp_chan_free(struct sp_chan *c);	/* closes; queued messages are dropped; NULL is fine */
enum sp_err	 sp_chan_watch(struct sp_chan *c, struct sp_loop *l) SP_MUST_USE;
void		 sp_chan_set_state(struct sp_chan *c, enum sp_chan_state s);	/* starts as SP_ST_AUTHED */
enum sp_chan_state sp_chan_state(const struct sp_chan *c);
enum sp_proc	 sp_chan_peer(const struct sp_chan *c);
void		 sp_chan_set_arg(struct sp_chan *c, void *arg);
/* Body must be of the type that messages.def names for id. corr 0 for a notice; for a question use sp_chan_corr().
 * SP_EFULL when more than SP_CHAN_QUEUE bytes wait; SP_ECLOSED; SP_ESIZE. nfds descriptors are taken in any case. */
enum sp_err	 sp_chan_send(struct sp_chan *c, uint16_t id, uint32_t corr, const void *body, int *fds, int nfds) SP_MUST_USE;
/* The hot path: header and data as two parts, no copy unless the socket is full. SP_EAGAIN if it is full and nothing was
 * queued (the caller keeps its data and waits for writability). */
enum sp_err	 sp_chan_send_raw(struct sp_chan *c, uint16_t id, const void *head, size_t head_len, const void *data,
		    size_t len) SP_MUST_USE;
uint32_t	 sp_chan_corr(struct sp_chan *c);	/* a fresh number, never 0 */
/* For other loops: the descriptor, whether to poll for writing, and what to do when poll says so. */
int		 sp_chan_fd(const struct sp_chan *c);
int		 sp_chan_want_write(const struct sp_chan *c);
void		 sp_chan_on_io(struct sp_chan *c, int readable, int writable);
/* Wait (blocking, at most timeout_ms) for one message and hand it to the handler: for start-up code and simple clients.
 * SP_ETIMEOUT, SP_ECLOSED. */
enum sp_err	 sp_chan_wait(struct sp_chan *c, int timeout_ms) SP_MUST_USE;
size_t		 sp_chan_queued(const struct sp_chan *c);	/* bytes waiting */
/* For a process that is about to replace its own program: what waits to be sent, one call a message, oldest first, all of
 * it borrowed; and such a message put at the end of a channel's queue (fds are taken in any case). */
typedef void sp_chan_waiting_fn(const uint8_t *bytes, size_t len, const int *fds, int nfds, int secret, void *arg);
void		 sp_chan_waiting(const struct sp_chan *c, sp_chan_waiting_fn *fn, void *arg);
enum sp_err	 sp_chan_put_back(struct sp_chan *c, const uint8_t *bytes, size_t len, int *fds, int nfds, int secret) SP_MUST_USE;
/* A connected pair, non-blocking, close-on-exec. */
enum sp_err	 sp_chan_pair(int ret[2]) SP_MUST_USE;

#define SP_CHAN_QUEUE	(4u * 1024 * 1024)
#define SP_CHAN_UNREAD	"(unread)"

#endif
