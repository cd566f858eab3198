/* src/session/code.c - see code.h. Process: session. */
#include "session/code.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "session/session.h"

#define CODE_MAX	64			/* bytes that are typed */
#define CODE_TRIES	3
#define CODE_WAIT_US	(120 * SP_US_PER_S)	/* for a person with a telephone in hand */

struct sp_code {
	struct relay	*r;
	char		 text[SP_ASK_TEXT_MAX];
	char		 typed[CODE_MAX + 1];
	unsigned	 tries;
	struct sp_timer	*timer;
	sp_code_fn	*fn;
	void		*arg;
};

static void
code_free(struct sp_code *c)
{
	session_forget(c->r->s, c);
	sp_timer_free(c->timer);
	explicit_bzero(c->typed, sizeof(c->typed));
	free(c);
}

static void
code_end(struct sp_code *c, const char *failed)
{
	struct relay *r = c->r;
	sp_code_fn *fn = c->fn;
	void *arg = c->arg;

	sp_ask_cancel(r);
	r->code = NULL;
	code_free(c);
	fn(r, failed, arg);
}

static void code_on_answer(struct relay *r, const char *answer, void *arg);

static enum sp_err
code_ask(struct sp_code *c)
{
	struct sp_question q = { .text = c->text, .echo = 0, .max = CODE_MAX, .fn = code_on_answer, .arg = c };

	return sp_ask_start(c->r, &q);
}

/* The code goes to the vault under this id; the verdict follows under the same number. Returns nonzero to wait for it. */
static int
code_to_vault(struct sp_code *c, const Sallyport__MfaReply *m)
{
	Sallyport__CodeCheck k = SALLYPORT__CODE_CHECK__INIT;
	struct session *s = c->r->s;
	enum sp_err e;

	k.check_id = m->check_id;
	k.code = (ProtobufCBinaryData){ strlen(c->typed), (uint8_t *)c->typed };
	e = s->vault != NULL ? sp_chan_send(s->vault, SP_MSG_CODE_CHECK, 0, &k, NULL, 0) : SP_ECLOSED;
	explicit_bzero(c->typed, sizeof(c->typed));
	if (e == SP_OK)
		return 1;
	code_end(c, "The code cannot be checked at the moment: try again");
	return 0;
}

static int
code_on_reply(struct session *s, struct sp_msg *msg, void *arg)
{
	struct sp_code *c = arg;
	const Sallyport__MfaReply *m = msg != NULL ? (const Sallyport__MfaReply *)msg->body : NULL;

	(void)s;
	if (m == NULL) {
		code_end(c, "The code cannot be checked at the moment: try again");
		return 0;
	}
	switch (m->verdict) {
	case SALLYPORT__MFA_REPLY__VERDICT__CHECK:
		return code_to_vault(c, m);
	case SALLYPORT__MFA_REPLY__VERDICT__OK:
		code_end(c, NULL);
		break;
	default:
		if (++c->tries >= CODE_TRIES) {
			code_end(c, "No right one-time code was given");
			break;
		}
		relay_show(c->r, m->text);
		if (code_ask(c) != SP_OK)
			code_end(c, "No right one-time code was given");
	}
	return 0;
}

static void
code_on_answer(struct relay *r, const char *answer, void *arg)
{
	struct sp_code *c = arg;
	Sallyport__MfaAsk q = SALLYPORT__MFA_ASK__INIT;

	if (answer == NULL) {
		code_end(c, "No one-time code was given");
		return;
	}
	(void)sp_strlcpy(c->typed, answer, sizeof(c->typed));
	session_ask(r->s, SP_PROC_CONTROL, SP_MSG_MFA_ASK, &q, -1, r->s->conf->control_wait, code_on_reply, c);
}

static void
code_on_time(struct sp_timer *t, void *arg)
{
	(void)t;
	code_end(arg, "No one-time code came in time");
}

enum sp_err
sp_code_start(struct relay *r, const char *what, sp_code_fn *fn, void *arg)
{
	struct sp_code *c;
	enum sp_err e;

	if (r->code != NULL || r->question != NULL || !sp_ask_possible(r))
		return SP_ESTATE;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return SP_ENOMEM;
	*c = (struct sp_code){ .r = r, .fn = fn, .arg = arg };
	(void)sp_snprintf(c->text, sizeof(c->text), "one-time code for %s", what);
	if ((e = sp_timer_new(r->s->loop, code_on_time, c, &c->timer)) == SP_OK)
		e = code_ask(c);
	if (e != SP_OK) {
		code_free(c);
		return e;
	}
	sp_timer_in(c->timer, CODE_WAIT_US);
	r->code = c;
	return SP_OK;
}

void
sp_code_cancel(struct relay *r)
{
	struct sp_code *c = r->code;

	r->code = NULL;
	if (c != NULL)
		code_free(c);
}
