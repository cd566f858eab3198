/* src/control/link.h - questions from control to a neighbour that may be restarted at any moment (vault, dialer).
 * Invariants: every question is answered exactly once, in the loop, never from inside ctl_link_ask: by the peer's
 * message, or with SP_ETIMEOUT, SP_ECLOSED, SP_EFULL. A question asked with `again` is asked anew when a new peer is ready; one
 * without is answered SP_ECLOSED when the peer dies. */
#ifndef SP_CONTROL_LINK_H
#define SP_CONTROL_LINK_H

#include "ipc/chan.h"

struct ctl;
struct ctl_link;
/* m is NULL unless err is SP_OK; borrowed. */
typedef void ctl_link_fn(void *arg, enum sp_err err, struct sp_msg *m);

enum sp_err	 ctl_link_new(struct ctl *c, enum sp_proc peer, sp_chan_fn *other, struct ctl_link **ret) SP_MUST_USE;
void		 ctl_link_free(struct ctl_link *l);
void		 ctl_link_set(struct ctl_link *l, int fd);	/* a new peer; not ready before ctl_link_ready() */
void		 ctl_link_ready(struct ctl_link *l);		/* ask what waits */
int		 ctl_link_is_ready(const struct ctl_link *l);
/* wait_us: until the answer. fn NULL: a message without an answer, sent when the peer is ready (or dropped at the deadline). */
void		 ctl_link_ask(struct ctl_link *l, uint16_t id, const void *body, int again, uint64_t wait_us, ctl_link_fn *fn, void *arg);
/* A notice: SP_ECLOSED when there is no ready peer just now. */
enum sp_err	 ctl_link_tell(struct ctl_link *l, uint16_t id, const void *body) SP_MUST_USE;
void		 ctl_link_tick(struct ctl_link *l, uint64_t now_us);

#endif
