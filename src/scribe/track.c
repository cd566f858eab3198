/* src/scribe/track.c - commands of a terminal channel into events; the answer to the session's question at Enter. */
#include "scribe/track.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "common/jsonw.h"

#define SETTLE_US	4000u		/* while a question waits, look this often */
#define TICK_US		50000u		/* while a command runs */

#define JUDGED_MAX	8u
#define JUDGED_NAME	520u

struct sp_scribe_track {
	struct sp_track		*line;
	struct sp_scribe_track_host host;
	uint32_t		 channel;
	struct sp_timer		*settle, *tick;
	int			 tick_on, failed;
	uint64_t		 ask, asked_us;		/* the question that waits; 0: none */
	/* with host.output: the command that prints now */
	unsigned		 cols, rows;
	struct sp_outtext	*out;
	uint64_t		 out_number;
	char			 prompt[2][SP_TRACK_PROMPT_MAX + 1];	/* before it, and before the one before: without a line feed they differ */
	int			 clearing;		/* it is whether the line is gone */
	struct judged {		/* a line that runs although a rule looked at it, until its record comes */
		char		*text, rule[JUDGED_NAME], rule_id[SP_UUID_SIZE], action[16], risk[16];
		size_t		 len;
	}			 judged[JUDGED_MAX];	/* oldest first */
	unsigned		 judged_n;
};

/* ---- events */

static void
put_offset(struct sp_jsonw *j, const struct sp_scribe_track_host *h, uint64_t at_us)
{
	sp_jsonw_int(j, "offset_us", at_us > h->start_us ? (int64_t)(at_us - h->start_us) : 0);
}

void
sp_scribe_put_text(struct sp_jsonw *j, const char *p, size_t n)
{
	static char text[SP_TRACK_EVENT_TEXT + 1];
	size_t cut = n;

	if (cut > SP_TRACK_EVENT_TEXT)
		for (cut = SP_TRACK_EVENT_TEXT; cut > 0 && ((uint8_t)p[cut] & 0xc0) == 0x80;)
			cut--;			/* not inside a character */
	if (cut > 0)
		memcpy(text, p, cut);
	text[cut] = '\0';
	sp_jsonw_str(j, "text", text);
	if (cut < n)
		sp_jsonw_int(j, "text_bytes", (int64_t)n);
}

/* ---- output */

void
sp_scribe_output_told(const struct sp_scribe_track_host *h, uint32_t channel, uint64_t number, struct sp_outtext *o,
    const char *const prompts[2])
{
	struct sp_jsonw j;
	const char *text;
	struct sp_buf b;
	uint64_t bytes;
	int cut;

	sp_buf_init(&b, 4 * SP_OUTTEXT_MAX);
	if (o != NULL && sp_outtext_end(o, prompts, &text, &bytes, &cut) == SP_OK && bytes > 0) {
		sp_jsonw_begin(&j, &b);
		sp_jsonw_int(&j, "channel", channel);
		sp_jsonw_int(&j, "number", (int64_t)number);
		sp_jsonw_str(&j, "text", text);
		sp_jsonw_int(&j, "bytes", (int64_t)bytes);
		if (cut)
			sp_jsonw_bool(&j, "cut", 1);
		if (sp_jsonw_end(&j) == SP_OK)
			h->event(h->arg, "command-output", &b);
	}
	sp_buf_release(&b);
	sp_outtext_free(o);
}

static void
out_end(struct sp_scribe_track *t)
{
	const char *const prompts[2] = { t->prompt[0], t->prompt[1] };

	sp_scribe_output_told(&t->host, t->channel, t->out_number, sp_steal(&t->out), prompts);
}

/* A command of that number begins to print. Without memory its output is not kept: the recording has it. */
static void
out_begin(struct sp_scribe_track *t, const struct sp_track_record *r)
{
	out_end(t);
	t->out_number = r->number;
	memcpy(t->prompt[1], t->prompt[0], sizeof(t->prompt[0]));
	(void)sp_strlcpy(t->prompt[0], r->prompt, sizeof(t->prompt[0]));
	if (sp_outtext_new(t->cols, t->rows, &t->out) != SP_OK)
		t->out = NULL;
}

static void
event_end(const struct sp_scribe_track_host *h, uint32_t channel, uint64_t number, uint64_t at_us)
{
	struct sp_jsonw j;
	struct sp_buf b;

	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "channel", channel);
	sp_jsonw_int(&j, "number", (int64_t)number);
	put_offset(&j, h, at_us);
	if (sp_jsonw_end(&j) == SP_OK)
		h->event(h->arg, "command-end", &b);
	sp_buf_release(&b);
}

static void
judged_drop(struct sp_scribe_track *t, unsigned i)
{
	free(t->judged[i].text);
	t->judged_n--;
	memmove(&t->judged[i], &t->judged[i + 1], (t->judged_n - i) * sizeof(t->judged[0]));
}

/* What was judged of the line that ran: the one with its text, else, when the record is uncertain, the oldest. */
static void
put_judged(struct sp_jsonw *j, struct sp_scribe_track *t, const struct sp_track_record *r)
{
	unsigned i = 0;

	while (i < t->judged_n && (t->judged[i].len != r->text.len || memcmp(t->judged[i].text, r->text.p, r->text.len) != 0))
		i++;
	if (i == t->judged_n && r->certain)
		return;
	if (i == t->judged_n)
		i = 0;
	if (t->judged_n == 0)
		return;
	sp_jsonw_str(j, "rule", t->judged[i].rule);
	sp_jsonw_str(j, "rule_id", t->judged[i].rule_id);
	sp_jsonw_str(j, "action", t->judged[i].action);
	sp_jsonw_str(j, "risk", t->judged[i].risk);
	judged_drop(t, i);
}

void
sp_scribe_track_judged(struct sp_scribe_track *t, struct sp_view text, const char *rule, const char *rule_id, const char *action,
    const char *risk)
{
	struct judged g = { .len = text.len };

	if (t->judged_n == JUDGED_MAX)
		judged_drop(t, 0);
	if ((g.text = malloc(text.len + 1)) == NULL)
		return;			/* the event of its own has it */
	if (text.len > 0)
		memcpy(g.text, text.p, text.len);
	(void)sp_strlcpy(g.rule, rule, sizeof(g.rule));
	(void)sp_strlcpy(g.rule_id, rule_id, sizeof(g.rule_id));
	(void)sp_strlcpy(g.action, action, sizeof(g.action));
	(void)sp_strlcpy(g.risk, risk, sizeof(g.risk));
	t->judged[t->judged_n++] = g;
}

static void
on_record(const struct sp_track_record *r, void *arg)
{
	struct sp_scribe_track *t = arg;
	char user[SP_TRACK_NAME_MAX], host[SP_TRACK_NAME_MAX];
	struct sp_jsonw j;
	struct sp_buf b;

	sp_buf_init(&b, 8 * SP_TRACK_EVENT_TEXT);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "channel", t->channel);
	sp_jsonw_int(&j, "number", (int64_t)r->number);
	sp_jsonw_str(&j, "how", "screen");
	sp_scribe_put_text(&j, (const char *)r->text.p, r->text.len);
	sp_jsonw_bool(&j, "certain", r->certain);
	if (r->hidden)
		sp_jsonw_bool(&j, "hidden", 1);
	if (r->no_enter)
		sp_jsonw_bool(&j, "no_enter", 1);
	if (r->cut)
		sp_jsonw_bool(&j, "cut", 1);
	put_offset(&j, &t->host, r->at_us);
	sp_jsonw_str(&j, "prompt", r->prompt);
	if (sp_track_place(r->prompt, user, host)) {	/* as the prompt says: a target can print what it likes */
		sp_jsonw_str(&j, "prompt_user", user);
		sp_jsonw_str(&j, "prompt_host", host);
	}
	put_judged(&j, t, r);
	if (sp_jsonw_end(&j) == SP_OK)
		t->host.event(t->host.arg, "command", &b);
	sp_buf_release(&b);
	if (t->host.output)
		out_begin(t, r);
}

static void
on_end(uint64_t number, uint64_t end_us, void *arg)
{
	struct sp_scribe_track *t = arg;

	if (t->out != NULL && t->out_number == number)
		out_end(t);
	event_end(&t->host, t->channel, number, end_us);
}

/* ---- the question */

/* What the prompt says: whose it is, and where he is. */
static void
answer_place(Sallyport__LineReply *r, const char *prompt, char user[SP_TRACK_NAME_MAX], char host[SP_TRACK_NAME_MAX],
    char dir[SP_TRACK_PROMPT_MAX])
{
	r->prompt = (char *)(uintptr_t)prompt;
	if (!sp_track_place(prompt, user, host))
		return;
	r->user = user;
	sp_track_directory(prompt, dir);
	r->directory = dir;
}

static void
answer(struct sp_scribe_track *t, const struct sp_track_answer *a, int ran)
{
	Sallyport__LineReply r = SALLYPORT__LINE_REPLY__INIT;
	char user[SP_TRACK_NAME_MAX], host[SP_TRACK_NAME_MAX], dir[SP_TRACK_PROMPT_MAX];

	r.channel = t->channel;
	r.number = t->ask;
	r.ran = ran != 0;
	if (a != NULL) {
		answer_place(&r, a->prompt != NULL && sp_utf8_valid(a->prompt, strlen(a->prompt)) ? a->prompt : "", user, host, dir);
		r.certain = a->certain != 0;
		r.hidden = a->hidden != 0;
		r.text.data = (uint8_t *)(uintptr_t)a->text.p;
		r.text.len = a->text.len < SP_TRACK_EVENT_TEXT ? a->text.len : SP_TRACK_EVENT_TEXT;
	}
	t->ask = 0;
	sp_timer_stop(t->settle);
	t->host.answer(t->host.arg, &r);
}

static void
settle(struct sp_scribe_track *t)
{
	struct sp_track_answer a;
	int ran = 0;

	if (t->ask == 0)
		return;
	if (t->failed)
		answer(t, NULL, 0);
	else if (t->clearing ? sp_track_cleared(t->line, t->asked_us, sp_now_us(), &a, &ran) :
	    sp_track_settled(t->line, t->asked_us, sp_now_us(), &a))
		answer(t, &a, ran);
	else
		sp_timer_in(t->settle, SETTLE_US);
}

static void
on_settle(struct sp_timer *timer, void *arg)
{
	(void)timer;
	settle(arg);
}

static void
tick_arm(struct sp_scribe_track *t)
{
	if (t->tick_on || t->failed || !sp_track_busy(t->line))
		return;
	t->tick_on = 1;
	sp_timer_in(t->tick, TICK_US);
}

static void
on_tick(struct sp_timer *timer, void *arg)
{
	struct sp_scribe_track *t = arg;

	(void)timer;
	t->tick_on = 0;
	sp_track_tick(t->line, sp_now_us());
	tick_arm(t);
}

/* Where output is kept, a line at a time: the one that tells of a command is the echo of its Enter, what follows is its output. */
static void
track_lines(struct sp_scribe_track *t, struct sp_view v, uint64_t at_us)
{
	while (v.len > 0) {
		const uint8_t *lf = memchr(v.p, '\n', v.len);
		size_t n = lf != NULL ? (size_t)(lf - v.p) + 1 : v.len;

		if (t->out != NULL)
			sp_outtext_feed(t->out, (struct sp_view){ v.p, n });
		sp_track_output(t->line, v.p, n, at_us);
		v.p += n;
		v.len -= n;
	}
}

/* ---- what the recorder calls */

void
sp_scribe_track_ask(struct sp_scribe_track *t, uint64_t number, int cleared)
{
	if (t->ask != 0)
		answer(t, NULL, 0);		/* a session that asks twice does not want the first answer */
	t->ask = number;
	t->clearing = cleared;
	if (cleared && !t->failed)
		sp_track_clear(t->line);
	t->asked_us = sp_now_us();
	settle(t);
}

void
sp_scribe_track_data(struct sp_scribe_track *t, enum sp_rec_stream stream, struct sp_view v, uint64_t at_us)
{
	if (t->failed)
		return;
	if (stream == SP_REC_IN)
		sp_track_input(t->line, v.p, v.len, at_us);
	else if (t->host.output)
		track_lines(t, v, at_us);
	else
		sp_track_output(t->line, v.p, v.len, at_us);
	settle(t);
	tick_arm(t);
}

void
sp_scribe_track_resize(struct sp_scribe_track *t, unsigned cols, unsigned rows)
{
	struct sp_jsonw j;
	struct sp_buf b;

	t->cols = cols;
	t->rows = rows;
	if (t->failed || sp_track_resize(t->line, cols, rows) == SP_OK)
		return;
	t->failed = 1;
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "channel", t->channel);
	sp_jsonw_str(&j, "reason", "out of memory");
	if (sp_jsonw_end(&j) == SP_OK)
		t->host.event(t->host.arg, "untracked", &b);
	sp_buf_release(&b);
	settle(t);
}

void
sp_scribe_track_end(struct sp_scribe_track *t)
{
	if (t->ask != 0)
		answer(t, NULL, 0);
	sp_track_finish(t->line, sp_now_us());
	out_end(t);
}

enum sp_err
sp_scribe_track_new(struct sp_loop *loop, const struct sp_scribe_track_host *host, uint32_t channel, unsigned cols,
    unsigned rows, struct sp_scribe_track **ret)
{
	struct sp_scribe_track *t = calloc(1, sizeof(*t));
	enum sp_err r;

	if (t == NULL)
		return SP_ENOMEM;
	t->host = *host;
	t->channel = channel;
	t->cols = cols;
	t->rows = rows;
	if ((r = sp_track_new(cols, rows, on_record, on_end, t, &t->line)) != SP_OK ||
	    (r = sp_timer_new(loop, on_settle, t, &t->settle)) != SP_OK ||
	    (r = sp_timer_new(loop, on_tick, t, &t->tick)) != SP_OK) {
		sp_scribe_track_free(t);
		return r;
	}
	*ret = t;
	return SP_OK;
}

void
sp_scribe_track_free(struct sp_scribe_track *t)
{
	if (t == NULL)
		return;
	sp_timer_free(t->settle);
	sp_timer_free(t->tick);
	while (t->judged_n > 0)
		judged_drop(t, t->judged_n - 1);
	sp_track_free(t->line);
	sp_outtext_free(t->out);
	free(t);
}
