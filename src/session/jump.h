/* src/session/jump.h - the way to a target in a network zone: one SSH leg to each jump server, and through the last one a
 * channel whose bytes become the target's leg. Process: session. */
#ifndef SP_SESSION_JUMP_H
#define SP_SESSION_JUMP_H

#include "session/session.h"

struct jump;
/* Start with the socket to the first jump server (taken in any case). Ends in target_connected() or target_lost(). */
void		 jump_start(struct target *t, int fd);
void		 jump_go_on(struct target *t);			/* the recording is open; NULL jump: nothing */
/* Where it stands when time is up: a line for the user. 0: the jump servers have done their part. */
int		 jump_late(const struct target *t, char *line, size_t size);
void		 jump_close(struct target *t);			/* every leg on the way, at once; nothing is told afterwards */
void		 jump_free(struct target *t);

/* target.c: the way is open, fd leads to the target (taken) / it is not, or not any more. */
void		 target_connected(struct target *t, int fd);
void		 target_lost(struct target *t, const char *line, const char *detail);
/* Of pinned key types, those that may be negotiated. */
void		 target_alg_add(struct sp_buf *b, const char *type);

#endif
