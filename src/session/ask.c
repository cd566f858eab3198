/* src/session/ask.c - see ask.h. Process: session. */
#include "session/ask.h"

#include <stdlib.h>
#include <string.h>

#include "session/lineedit.h"
#include "session/session.h"

#define ASK_OUT_MAX	4096	/* bytes of one redraw */

struct sp_ask {
	char		 prompt[SP_ASK_TEXT_MAX + 16];
	int		 echo;
	size_t		 max;
	sp_ask_fn	*fn;
	void		*arg;
	struct sp_keys	 keys;
	struct sp_line	 line;
};

static void
ask_write(struct relay *r, const char *s, size_t n)
{
	if (r->near != NULL)
		(void)sp_channel_write(r->near, SP_STREAM_OUT, s, n);
}

static void
ask_draw(struct relay *r, struct sp_ask *a)
{
	struct sp_buf b;

	if (!a->echo)
		return;
	sp_buf_init(&b, ASK_OUT_MAX);
	if (sp_line_draw(&a->line, a->prompt, r->cols > 0 ? r->cols : 80, &b) == SP_OK)
		ask_write(r, sp_buf_cstr(&b), b.len);
	sp_buf_release(&b);
}

static void
ask_drop(struct sp_ask *a)
{
	sp_line_release(&a->line);
	explicit_bzero(a, sizeof(*a));
	free(a);
}

int
sp_ask_possible(const struct relay *r)
{
	return r->kind == RELAY_SESSION && r->pty && r->near != NULL && r->state != RL_DONE && !r->near_eof && !r->s->ending;
}

enum sp_err
sp_ask_start(struct relay *r, const struct sp_question *q)
{
	char text[SP_ASK_TEXT_MAX];
	struct sp_ask *a;

	if (r->question != NULL || !sp_ask_possible(r))
		return SP_ESTATE;
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return SP_ENOMEM;
	a->echo = q->echo;
	a->max = q->max < SP_ASK_ANSWER_MAX ? q->max : SP_ASK_ANSWER_MAX;
	a->fn = q->fn;
	a->arg = q->arg;
	(void)sp_escape(q->text, strlen(q->text), text, sizeof(text));
	(void)sp_snprintf(a->prompt, sizeof(a->prompt), "Sallyport: %s: ", text);
	r->question = a;
	relay_discard_typed(r);
	ask_write(r, "\r\n", 2);
	ask_write(r, a->prompt, strlen(a->prompt));
	return SP_OK;
}

/* The question is over before its function runs, so that this may ask the next one. */
static void
ask_end(struct relay *r, const char *answer)
{
	struct sp_ask *a = r->question;

	r->question = NULL;
	ask_write(r, "\r\n", 2);
	a->fn(r, answer, a->arg);
	ask_drop(a);
}

/* Returns nonzero when the question is over. */
static int
ask_key(struct relay *r, enum sp_key key)
{
	struct sp_ask *a = r->question;

	switch (key) {
	case SP_KEY_ENTER:
		ask_end(r, a->line.text);
		return 1;
	case SP_KEY_CANCEL:
		ask_end(r, NULL);
		return 1;
	case SP_KEY_EOF:
		if (a->line.len > 0)
			return 0;
		ask_end(r, NULL);
		return 1;
	case SP_KEY_CHAR:
		if (a->line.len + a->keys.ch_len <= a->max && sp_line_insert(&a->line, a->keys.ch, a->keys.ch_len))
			ask_draw(r, a);
		return 0;
	case SP_KEY_REDRAW:
		ask_draw(r, a);
		return 0;
	case SP_KEY_UP:
	case SP_KEY_DOWN:
		return 0;
	default:
		if (sp_line_key(&a->line, key))
			ask_draw(r, a);
		return 0;
	}
}

size_t
sp_ask_input(struct relay *r, struct sp_view v)
{
	struct sp_ask *a = r->question;

	for (size_t i = 0; i < v.len; i++)
		if (a != NULL && ask_key(r, sp_keys_feed(&a->keys, v.p[i]))) {
			/* The line feed of a pair that ends the line belongs to it. */
			if (v.p[i] == '\r' && i + 1 < v.len && v.p[i + 1] == '\n')
				i++;
			return i + 1;
		}
	return v.len;
}

void
sp_ask_give_up(struct relay *r)
{
	if (r->question != NULL)
		ask_end(r, NULL);
}

void
sp_ask_cancel(struct relay *r)
{
	struct sp_ask *a = r->question;

	r->question = NULL;
	if (a != NULL)
		ask_drop(a);
}

void
sp_ask_redraw(struct relay *r)
{
	if (r->question == NULL)
		return;
	ask_write(r, r->question->prompt, strlen(r->question->prompt));
	ask_draw(r, r->question);
}
