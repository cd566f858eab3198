/* src/session/hold.c - Enter waits for the recorder's word on the line that it runs. The recorder answers when the echo has
 * settled, within 150 ms; should it be slower than HOLD_WAIT_US, Enter goes on without its word. */
#include "session/hold.h"

#include "base/clock.h"
#include "base/log.h"
#include "session/relay_int.h"
#include "term/track.h"

#define HOLD_WAIT_US	(500 * SP_US_PER_MS)

static void
hold_pass(struct relay *r)
{
	r->hold.asked = 0;
	r->hold.pass = 1;
	sp_timer_stop(r->hold.late);
	relay_push(r, SP_REC_IN);
	relay_settle(r);
}

static void
hold_on_late(struct sp_timer *t, void *arg)
{
	struct relay *r = arg;

	(void)t;
	if (!r->hold.asked)
		return;
	sp_warn("the recorder did not say in time which line is entered");
	hold_pass(r);
}

/* Ask; 0: it cannot be asked, and Enter goes on. */
static int
hold_ask(struct relay *r)
{
	Sallyport__LineAsk q = SALLYPORT__LINE_ASK__INIT;

	if (r->target->scribe == NULL ||
	    (r->hold.late == NULL && sp_timer_new(r->s->loop, hold_on_late, r, &r->hold.late) != SP_OK))
		return 0;
	r->hold.asked = 1;
	q.channel = r->number;
	q.number = ++r->hold.number;
	sp_timer_in(r->hold.late, HOLD_WAIT_US);
	target_scribe(r->target, SP_MSG_LINE_ASK, &q);
	return 1;
}

size_t
hold_take(struct relay *r, const uint8_t *p, size_t n)
{
	size_t run;

	if (!r->pty || r->kind != RELAY_SESSION || !r->recorded)
		return n;
	if ((run = sp_track_free_run(p, n)) > 0)
		return run;
	if (r->hold.pass)
		return 1;
	return r->hold.asked || hold_ask(r) ? 0 : 1;
}

void
hold_went(struct relay *r, size_t n)
{
	if (n > 0)
		r->hold.pass = 0;
}

/* May this line run? Rules over commands have their place here. */
static int
hold_judge(const Sallyport__LineReply *m)
{
	(void)m;
	return 1;
}

void
hold_answer(struct relay *r, const Sallyport__LineReply *m)
{
	if (!r->hold.asked || m->number != r->hold.number)
		return;			/* too late: it has gone on */
	if (hold_judge(m))
		hold_pass(r);
}

void
hold_reset(struct hold *h)
{
	h->asked = h->pass = 0;
	if (h->late != NULL)
		sp_timer_stop(h->late);
}

void
hold_release(struct hold *h)
{
	sp_timer_free(h->late);
	h->late = NULL;
}
