/* src/session/reason.c - the reason or ticket that a grant wants at connect, asked on the terminal of a channel that waits
 * for the target. Process: session. What does for an answer, control decides; the answer goes there with the question for
 * the target, asked again. Forms without a terminal give it in the environment, or are refused with that advice. */
#include <string.h>

#include "session/session.h"

#define REASON_TRIES	3u
#define REASON_WAIT_US	(UINT64_C(300) * 1000000)

static void
reason_answered(struct relay *r, const char *answer, void *arg)
{
	struct target *t = r->target;

	(void)arg;
	if (t == NULL || t->state != TG_ASKING)
		return;
	if (answer == NULL) {
		target_give_up(t, "Not connected: no reason was given");
		return;
	}
	sp_timer_stop(t->deadline);
	(void)sp_strlcpy(t->reason, answer, sizeof(t->reason));
	target_ask(t);
}

int
reason_ask(struct target *t, const char *what)
{
	char text[SP_ASK_TEXT_MAX];
	struct sp_question q = { .text = text, .echo = 1, .max = sizeof(((struct relay *)0)->reason) - 6, .fn = reason_answered };

	if (t->reason_asked >= REASON_TRIES)
		return 0;
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target != t || !sp_ask_possible(r))
			continue;
		(void)sp_snprintf(text, sizeof(text), "%s%s for %s", t->reason_asked > 0 ? "that will not do; " : "",
		    strcmp(what, "ticket") == 0 ? "ticket" : "reason", t->want.asset);
		if (sp_ask_start(r, &q) != SP_OK)
			continue;
		t->reason_asked++;
		sp_timer_in(t->deadline, REASON_WAIT_US);
		return 1;
	}
	return 0;
}
