/* src/session/limits.h - see limits.c. Process: session. */
#ifndef SP_SESSION_LIMITS_H
#define SP_SESSION_LIMITS_H

#include "base/loop.h"
#include "ipc/recdata.h"

enum limit_kind { LIMIT_GRANT, LIMIT_HOURS, LIMIT_MAX, LIMIT_IDLE, LIMITS_N };

struct relay;
struct target;
/* The timer of a target that is up: looks at every limit, warns, ends, keeps the connection alive, sets itself again. */
void		 limits_on_clock(struct sp_timer *timer, void *arg);
/* Bytes came on this channel. */
void		 limits_activity(struct relay *r, enum sp_rec_stream dir);
/* Its program runs: it is told what others were told before it was there. */
void		 limits_started(struct relay *r);
/* The policy of a target changed: what it does not carry any more is closed, and the limits are looked at anew. */
void		 limits_policy(struct target *t);

#endif
