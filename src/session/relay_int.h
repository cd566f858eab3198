/* src/session/relay_int.h - what the relay*.c files call of each other; struct relay is in session.h. Process: session. */
#ifndef SP_SESSION_RELAY_INT_H
#define SP_SESSION_RELAY_INT_H

#include "session/session.h"

/* ---- relay.c */
void		 relay_done(struct relay *r);	/* its end, at once; the memory goes in session_sweep */

/* ---- relay_request.c */
int		 relay_slot(struct relay *r, int want);	/* a place in the order of answers; -1: the user wants none */
void		 relay_slots_flush(struct relay *r);	/* answer all that wait: the start with yes, the others with no */
/* To the target, now or when its channel is open. slot: who waits for the answer; start: shell, exec or subsystem. */
void		 relay_request(struct relay *r, const char *name, int slot, int start, struct sp_view data);
void		 relay_requests_send(struct relay *r);	/* its channel is open */
void		 relay_requests_drop(struct relay *r);
void		 relay_requests_free(struct sp_list *l);	/* of struct request */
void		 relay_on_reply(struct relay *r, int ok);	/* the target's, to the oldest request that is unanswered */

/* ---- relay_flow.c */
void		 relay_push(struct relay *r, enum sp_rec_stream dir);	/* what waits: record it, then write it */
void		 relay_flow_drop(struct flow *f);
/* v goes on to the other side: recorded, written, or kept. paid: bytes of it whose sender was told already (relay_taken). */
void		 relay_emit(struct relay *r, enum sp_rec_stream dir, struct sp_view v, size_t paid);
/* n bytes from that side stay here: its window grows. */
void		 relay_taken(struct relay *r, enum sp_rec_stream dir, size_t n);
/* Words of our own, not recorded, behind what goes that way: OUT to the user, IN to the target. 0: not now: something is not
 * recorded yet, or more than max bytes wait. */
int		 relay_insert(struct relay *r, enum sp_rec_stream dir, struct sp_view v, size_t max);

/* What the user typed and nobody was told of yet is dropped. */
void		 relay_drop_typed(struct relay *r);
/* Keys of ours for the target, before what the user typed and nobody was told of yet: recorded and written like his. */
void		 relay_inject(struct relay *r, const char *keys, size_t n);

#endif
