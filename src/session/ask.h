/* src/session/ask.h - a question to the person at the terminal of a channel, before the channel belongs to a target: a
 * one-time code, a reason, a ticket. Process: session.
 * On the terminal it reads "Sallyport: TEXT: "; the answer is one edited line.
 * Invariants: (1) neither question nor answer reaches a scribe or a target: the keys of a channel with a question go
 * nowhere else, and what was typed ahead of it is thrown away, as login(1) does. (2) One question per channel at a time.
 * (3) fn is called exactly once, unless the channel ends first (sp_ask_cancel): with the answer, or NULL when the person
 * gave up (Ctrl-C, Ctrl-D on an empty line, end of input). It may ask again at once. (4) Answers are wiped. */
#ifndef SP_SESSION_ASK_H
#define SP_SESSION_ASK_H

#include <stddef.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

#define SP_ASK_TEXT_MAX		400	/* bytes of a question; more is cut */
#define SP_ASK_ANSWER_MAX	256	/* bytes of an answer */

struct relay;
struct sp_ask;
typedef void sp_ask_fn(struct relay *r, const char *answer, void *arg);	/* answer is borrowed and wiped afterwards */
struct sp_question {
	const char	*text;		/* one line without colon; shown escaped */
	int		 echo;		/* 0: nothing of the answer is shown */
	size_t		 max;		/* bytes of the answer, at most SP_ASK_ANSWER_MAX; more keys are ignored */
	sp_ask_fn	*fn;
	void		*arg;
};

/* Has this channel a person who can be asked: a session channel with a terminal that is still open? */
int		sp_ask_possible(const struct relay *r);
/* SP_ESTATE: a question is open, or nobody can be asked; SP_ENOMEM. */
enum sp_err	sp_ask_start(struct relay *r, const struct sp_question *q) SP_MUST_USE;
/* Keys. Returns how many bytes the question took: after the answer the rest belongs to whoever is next. */
size_t		sp_ask_input(struct relay *r, struct sp_view v);
void		sp_ask_give_up(struct relay *r);	/* no more input: fn(NULL) */
void		sp_ask_cancel(struct relay *r);		/* the channel ends: nobody is told. Without a question: nothing */
void		sp_ask_redraw(struct relay *r);		/* another line was written to the terminal */

#endif
