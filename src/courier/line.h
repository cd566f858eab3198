/* src/courier/line.h - one way to a collector: UDP, TCP or TLS, opened without blocking, with what the other side's kernel has
 * confirmed of it. Process: courier, event loop; names are resolved in threads.
 * Invariants: (1) no callback runs inside a call of the owner's, but for line_send(). (2) After down() nothing more comes of it until
 * line_open(). (3) TLS is 1.2 or later, and both the chain and the name (or address) of the collector are checked. */
#ifndef SP_COURIER_LINE_H
#define SP_COURIER_LINE_H

#include "base/loop.h"
#include "base/pool.h"
#include "wire/syslog.h"

struct line;
struct line_ops {
	void	(*up)(void *arg);			/* may send */
	void	(*writable)(void *arg);			/* may send again after SP_EAGAIN */
	void	(*down)(void *arg, const char *why);	/* broken, refused, or closed by the collector */
};
struct line_to {
	struct sp_syslog_dest	at;
	const char		*ca;		/* files; borrowed for life */
	const char		*cert, *key;	/* ours, for a collector that asks; "": none */
	uint64_t		 timeout_us;	/* to be up */
};

enum sp_err	 line_new(struct sp_loop *l, struct sp_pool *pool, const struct line_to *to, const struct line_ops *ops, void *arg,
		    struct line **ret) SP_MUST_USE;
void		 line_free(struct line *n);		/* NULL is fine */
enum sp_err	 line_open(struct line *n) SP_MUST_USE;	/* up() or down() follows. SP_EBUSY: a name is still being looked up */
void		 line_close(struct line *n);		/* no callback */
int		 line_is_up(const struct line *n);
/* As much as goes without blocking, at least a byte; a datagram whole. SP_EAGAIN: writable() will say. SP_ECLOSED: down() will say. */
enum sp_err	 line_send(struct line *n, const void *p, size_t len, size_t *ret_n) SP_MUST_USE;
/* Bytes handed to the kernel since it is up, and those of them that the collector's side has received (UDP: that left). Of TLS
 * both count what is on the wire. */
uint64_t	 line_sent(const struct line *n);
uint64_t	 line_received(const struct line *n);

#endif
