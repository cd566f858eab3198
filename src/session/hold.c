/* src/session/hold.c - Enter waits for the recorder's word on the line that it runs. The recorder answers when the echo has
 * settled, within 150 ms; should it be slower than HOLD_WAIT_US, Enter goes on without its word (where rules judge commands: as
 * a line that is not known).
 *
 * A refused line: its Enter, and whatever was typed behind it, is dropped and never sent. Keys that clear a line go out (Ctrl-E Ctrl-U),
 * then the recorder is asked whether the line is off the screen; if it is not, Ctrl-C; if that does not help, or if something ran
 * meanwhile (readline can bind any key to accept-line), the session ends. What is typed meanwhile waits.
 * Invariant: between the refusal of a line and the sight of an empty one, no byte goes to the target but those of hold_clear(). */
#include "session/hold.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "session/commands.h"
#include "session/relay_int.h"
#include "term/track.h"

#define HOLD_WAIT_US	(500 * SP_US_PER_MS)
#define CLEAR_WAIT_US	(3 * SP_US_PER_S)	/* more than the recorder's SP_TRACK_CLEAR_US */
#define OPEN_MAX	(64u * 1024)		/* bytes of a command that goes on over lines */

static const char clear_keys[] = "\x05\x15";	/* Ctrl-E, Ctrl-U: to the end, and all of it away; in canonical mode KILL does it */
static const char break_key[] = "\x03";

static void	hold_judge(struct relay *r, const Sallyport__LineReply *m);

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
hold_stuck(struct relay *r, const char *why)
{
	sp_warn("a refused command line: %s", why);
	target_kill(r->target, "Sallyport", why);
}

static void
hold_on_late(struct sp_timer *t, void *arg)
{
	const Sallyport__LineReply nothing = SALLYPORT__LINE_REPLY__INIT;
	struct relay *r = arg;

	(void)t;
	if (!r->hold.asked)
		return;
	sp_warn("the recorder did not say in time which line is entered");
	r->hold.asked = 0;
	if (r->hold.clearing != HOLD_NOT)
		hold_stuck(r, "a refused command could not be taken off its line");
	else
		hold_judge(r, &nothing);
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
	q.cleared = r->hold.clearing != HOLD_NOT;
	sp_timer_in(r->hold.late, q.cleared ? CLEAR_WAIT_US : HOLD_WAIT_US);
	target_scribe(r->target, SP_MSG_LINE_ASK, &q);
	return 1;
}

size_t
hold_take(struct relay *r, const uint8_t *p, size_t n)
{
	size_t run;

	if (!r->pty || r->kind != RELAY_SESSION || !r->recorded)
		return n;
	if (r->hold.inject > 0)
		return n < r->hold.inject ? n : r->hold.inject;
	if (r->hold.clearing != HOLD_NOT)
		return 0;
	if ((run = sp_track_free_run(p, n)) > 0) {
		if (r->hold.open.len > 0 && memchr(p, *break_key, run) != NULL)
			sp_buf_reset(&r->hold.open);	/* given up */
		return run;
	}
	if (r->hold.pass)
		return 1;
	if (r->hold.asked || hold_ask(r))
		return 0;
	if (r->target->commands == NULL)
		return 1;
	hold_stuck(r, "commands cannot be judged without a recorder");
	return 0;
}

void
hold_went(struct relay *r, size_t n)
{
	if (r->hold.inject > 0)
		r->hold.inject -= n < r->hold.inject ? n : r->hold.inject;
	else if (n > 0)
		r->hold.pass = 0;
}

/* ---- a refused line */

static void
hold_clear(struct relay *r, enum hold_clearing how)
{
	const char *keys = how == HOLD_KEYS ? clear_keys : break_key;

	r->hold.clearing = how;
	r->hold.inject = strlen(keys);
	relay_inject(r, keys, strlen(keys));
	if (r->state != RL_RUN)
		return;			/* the recorder is gone, and with it the session */
	if (!hold_ask(r))
		hold_stuck(r, "a refused command could not be taken off its line");
}

/* The answer to whether it is gone. */
static void
hold_cleared(struct relay *r, const Sallyport__LineReply *m)
{
	struct hold *h = &r->hold;
	char text[1024];

	if (m->ran) {
		hold_stuck(r, "a refused command ran all the same");
		return;
	}
	if (!m->certain) {
		if (h->clearing == HOLD_KEYS)
			hold_clear(r, HOLD_BREAK);
		else
			hold_stuck(r, "a refused command could not be taken off its line");
		return;
	}
	h->clearing = HOLD_NOT;
	(void)sp_snprintf(text, sizeof(text), "\r\n\033[31m%s\033[0m\r\n%s", h->refusal, m->prompt);
	if (!relay_insert(r, SP_REC_OUT, (struct sp_view){ (const uint8_t *)text, strlen(text) }, SIZE_MAX))
		(void)sp_channel_write(r->near, SP_STREAM_OUT, text, strlen(text));
	relay_push(r, SP_REC_IN);
	relay_settle(r);
}

static void
hold_refuse(struct relay *r, const struct sp_command_verdict *v)
{
	commands_text(r->target, v, r->hold.refusal);
	sp_buf_reset(&r->hold.open);
	relay_drop_typed(r);
	hold_clear(r, HOLD_KEYS);
}

/* ---- judging */

/* A line that begins where others were left open is judged with them, too: the stricter word counts. */
static void
hold_judge_open(struct relay *r, const struct sp_command_line *line, struct sp_command_verdict *v)
{
	struct hold *h = &r->hold;
	struct sp_command_line whole = *line;
	struct sp_command_verdict w;
	int open = v->incomplete;

	if (h->open.max == 0)
		sp_buf_init(&h->open, OPEN_MAX);
	if (h->open.len == 0 && !open)
		return;
	if (sp_buf_append(&h->open, line->text, line->len) != SP_OK || sp_buf_append(&h->open, "\n", 1) != SP_OK) {
		sp_buf_reset(&h->open);		/* longer than we keep */
		v->uncertain = 1;
		return;
	}
	whole.text = sp_buf_cstr(&h->open);
	whole.len = h->open.len;
	(void)commands_judge(r, &whole, &w);
	if (w.action > v->action || (w.action == v->action && v->rule < 0))
		*v = w;
	if (!w.incomplete)
		sp_buf_reset(&h->open);
}

static void
hold_warn(struct relay *r, const struct sp_command_verdict *v)
{
	char text[400], said[COMMANDS_TEXT];

	commands_text(r->target, v, said);
	(void)sp_snprintf(text, sizeof(text), "\r\n\033[33m%s\033[0m", said);
	if (!relay_insert(r, SP_REC_OUT, (struct sp_view){ (const uint8_t *)text, strlen(text) }, SIZE_MAX))
		(void)sp_channel_write(r->near, SP_STREAM_OUT, text, strlen(text));
}

/* May this line run? A reply without text and certainty is a line that nobody knows. */
static void
hold_judge(struct relay *r, const Sallyport__LineReply *m)
{
	struct sp_command_line line = { .text = m->text.len > 0 ? (const char *)m->text.data : "", .len = m->text.len,
	    .uncertain = !m->certain, .protocol = "shell", .user = m->user, .directory = m->directory };
	struct sp_command_verdict v;

	if (!commands_judge(r, &line, &v)) {
		hold_pass(r);
		return;
	}
	hold_judge_open(r, &line, &v);
	commands_tell(r, &line, &v, "screen", 0);
	if (r->state != RL_RUN)
		return;
	if (v.action == SP_COMMAND_KILL)
		commands_kill(r->target, &v);
	else if (v.action == SP_COMMAND_DENY)
		hold_refuse(r, &v);
	else {
		if (v.action == SP_COMMAND_WARN)
			hold_warn(r, &v);
		hold_pass(r);
	}
}

void
hold_answer(struct relay *r, const Sallyport__LineReply *m)
{
	if (!r->hold.asked || m->number != r->hold.number)
		return;			/* too late: it has gone on */
	r->hold.asked = 0;
	sp_timer_stop(r->hold.late);
	if (r->hold.clearing != HOLD_NOT)
		hold_cleared(r, m);
	else
		hold_judge(r, m);
}

void
hold_reset(struct hold *h)
{
	h->asked = h->pass = 0;
	h->clearing = HOLD_NOT;
	h->inject = 0;
	if (h->open.len > 0)
		sp_buf_reset(&h->open);
	if (h->late != NULL)
		sp_timer_stop(h->late);
}

void
hold_release(struct hold *h)
{
	sp_timer_free(h->late);
	h->late = NULL;
	sp_buf_release(&h->open);
}
