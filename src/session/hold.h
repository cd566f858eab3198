/* src/session/hold.h - Enter on a terminal waits until the recorder knows what it will run, and rules allow it. Process: session.
 * Invariants: (1) only bytes that may run a line, and what is behind them, wait. (2) Each such byte goes through by itself, after
 * the answer to its own LINE_ASK or HOLD_WAIT_US. (3) What was typed before it is recorded before the question. */
#ifndef SP_SESSION_HOLD_H
#define SP_SESSION_HOLD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "sallyport.pb-c.h"

struct relay;
struct sp_timer;

enum hold_clearing { HOLD_NOT, HOLD_KEYS, HOLD_BREAK };	/* a refused line: clearing keys went out; Ctrl-C did */
struct hold {
	uint64_t	 number;	/* of the question, counting */
	int		 asked, pass;	/* it waits; it was answered: one byte may go */
	struct sp_timer	*late;		/* NULL: never needed yet */
	enum hold_clearing clearing;
	size_t		 inject;	/* bytes of ours at the head of what waits: they go through */
	char		 refusal[300];	/* for the user, when the line is gone */
	struct sp_buf	 open;		/* lines that the next one goes on with */
};

/* How many of n bytes (>= 1) typed by the user may go to the target now. 0: they wait, and hold_answer or the clock pushes
 * them on. */
size_t	hold_take(struct relay *r, const uint8_t *p, size_t n);
/* Bytes that hold_take() let through were recorded. */
void	hold_went(struct relay *r, size_t n);
/* LINE_REPLY for this channel. */
void	hold_answer(struct relay *r, const Sallyport__LineReply *m);
void	hold_reset(struct hold *h);	/* the target is gone: nothing waits */
void	hold_release(struct hold *h);

#endif
