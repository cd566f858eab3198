/* src/scribe/intake.c - bulk of the session comes through a ring in shared memory (lib/ipc/ring.h), everything else through its
 * channel. Process: scribe.
 *
 * While much comes, the ring is looked at every INTAKE_US, or when it is half full, so that a stream costs some wake-ups in a
 * second and not one for each packet. When nothing came for a while the session wakes us again for the next byte.
 * Invariants: (1) what the session wrote before a message is taken before that message, what it wrote after it not before:
 * one order. (2) What is in the ring when the session dies is taken. (3) While the spool is full nothing is taken, and the
 * ring fills up: that is the back pressure. */
#include "scribe/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "ipc/ring.h"

#define INTAKE_US	(2 * SP_US_PER_MS)
#define INTAKE_TURN	((size_t)256 * 1024)	/* bytes in one turn of the loop: terminals want theirs */
#define INTAKE_ALL	SP_RING_BYTES		/* however slow the disk: an honest session wrote no more before a message, or its end */
#define INTAKE_QUIET	10u			/* looks at an empty ring before we sleep */

/* Take records, up to about max bytes of the ring. all: whatever messages are missing. The bytes that were taken. A session that
 * writes meanwhile gets no more than max of our time: back in the loop the disk and the spool are asked again. */
static size_t
intake_take(struct scribe *s, size_t max, int all)
{
	struct sp_intake *in = &s->intake;
	const Sallyport__Empty none = SALLYPORT__EMPTY__INIT;
	struct sp_ring_head h;
	struct sp_view v;
	size_t n = 0;
	enum sp_err r = SP_EAGAIN;

	while (n < max && (max == INTAKE_ALL || !scribe_is_slow(s)) && s->state != S_ENDED && in->ring != NULL && (r = sp_ring_next(in->ring, &h, &v)) == SP_OK) {
		if (!all && h.after > in->heard) {
			in->ahead = 1;
			break;
		}
		if (!all || channel_find(s, h.data.channel) != NULL)
			said_bytes(s, &h.data, v, 1);
		if (in->ring == NULL)
			return n;		/* it was a lie, and the end */
		sp_ring_done(in->ring);
		n += sizeof(h) + v.len;
		if (!all && sp_ring_wanted(in->ring))
			scribe_tell(s, SP_MSG_REC_ROOM, &none);
	}
	if (r == SP_EFORMAT && !all)
		said_wrongly(s, "the ring");
	return n;
}

static void
intake_on_timer(struct sp_timer *t, void *arg)
{
	struct scribe *s = arg;
	struct sp_intake *in = &s->intake;
	size_t n;

	scribe_reading(s);
	if (s->paused || s->state != S_OPEN)
		return;
	n = intake_take(s, INTAKE_TURN, 0);
	if (in->ring == NULL || in->ahead)
		return;			/* a message comes first */
	in->quiet = n > 0 ? 0 : in->quiet + 1;
	if (n >= INTAKE_TURN || !sp_ring_sleep(in->ring, in->quiet < INTAKE_QUIET ? SP_RING_BYTES / 2 : 1))
		sp_timer_in(t, 0);
	else if (in->quiet < INTAKE_QUIET)
		sp_timer_in(t, INTAKE_US);
}

void
intake_bulk(struct scribe *s)
{
	const Sallyport__Empty none = SALLYPORT__EMPTY__INIT;
	struct sp_intake *in = &s->intake;
	enum sp_err r;
	int fd = -1;

	in->may = 0;
	if (s->session == NULL)
		return;
	if ((r = sp_timer_new(s->loop, intake_on_timer, s, &in->timer)) == SP_OK && (r = sp_ring_new(&in->ring, &fd)) == SP_OK)
		r = sp_chan_send(s->session, SP_MSG_REC_RING, 0, &none, &fd, 1);
	if (r != SP_OK) {	/* the channel does */
		sp_warn("no ring for a bulk stream: %s", sp_err_text(r));
		intake_close(s);
		return;
	}
	intake_look(s);
}

void
intake_before(struct scribe *s)
{
	(void)intake_take(s, INTAKE_ALL, 0);
	s->intake.heard++;
	if (s->intake.ahead)
		intake_look(s);
}

void
intake_look(struct scribe *s)
{
	if (s->intake.ring == NULL)
		return;
	s->intake.quiet = 0;
	s->intake.ahead = 0;
	sp_timer_in(s->intake.timer, 0);
}

int
intake_behind(struct scribe *s)
{
	struct sp_ring_head h;
	struct sp_view v;

	return s->intake.ring != NULL && sp_ring_next(s->intake.ring, &h, &v) == SP_OK && h.after <= s->intake.heard;
}

void
intake_rest(struct scribe *s)
{
	(void)intake_take(s, INTAKE_ALL, 1);
}

void
intake_close(struct scribe *s)
{
	sp_timer_free(s->intake.timer);
	s->intake.timer = NULL;
	sp_ring_free(s->intake.ring);
	s->intake.ring = NULL;
}
