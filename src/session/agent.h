/* src/session/agent.h - agent channels of a target: which kind, and what happens to each request. See agent.c.
 * Process: session. */
#ifndef SP_SESSION_AGENT_H
#define SP_SESSION_AGENT_H

#include "base/buf.h"
#include "ipc/recdata.h"

struct relay;
struct agent;
enum agent_kind { AGENT_NONE, AGENT_PLATFORM, AGENT_OWN };

/* The channel of a shell or command is open at the target: ask there for an agent channel, if the policy has one. */
void		 agent_offer(struct relay *r);
/* Its program runs: tell the user of an agent that was refused. */
void		 agent_tell(struct relay *r);
/* The target opened an agent channel and both sides are there (own), or ours is (platform). 0: out of memory. */
int		 agent_start(struct relay *r);
/* Bytes on it, from the target (SP_REC_OUT) or from the user's agent (SP_REC_IN). Taken; nothing of them is passed unread. */
void		 agent_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v);
void		 agent_pump(struct relay *r);		/* write what waits */
void		 agent_free(struct agent *a);		/* NULL is fine */

#endif
