/* src/session/proof.c - a pending asset, whose claimant proves that it is his: one command, named by control, is run on a channel
 * of our own; what it prints goes to control, which knows the token. Process: session.
 *
 *	target up -> CHANNEL_ASK exec -> REC_CHANNEL, open, exec -> output, recorded -> OWNER_ASK -> the verdict is shown, the end
 *
 * Invariants: (1) nobody writes to that channel, and nothing else is opened on that target (target_proves). (2) What is judged
 * was recorded before. (3) Whatever goes wrong ends the target with a line for the user. */
#include "session/session.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define PROOF_OUTPUT	4096		/* bytes; more is no token */
#define PROOF_WAIT_US	(20 * SP_US_PER_S)

struct proof {
	struct target		*t;
	struct sp_channel	*far;
	struct sp_timer		*timer;
	uint32_t		 number;
	int			 recorded, closed;
	uint64_t		 bytes_out, bytes_err;
	int32_t			 exit_status;
	struct sp_buf		 output;
};

static void
proof_fail(struct proof *p, const char *why)
{
	char line[SESSION_TEXT];

	(void)sp_snprintf(line, sizeof(line), "%s is not proven to be yours: %s", target_name(p->t), why);
	target_end(p->t, "proof of ownership failed", "", line);
}

static void
proof_on_timer(struct sp_timer *timer, void *arg)
{
	(void)timer;
	proof_fail(arg, "it did not answer in time");
}

static int
proof_on_verdict(struct session *s, struct sp_msg *m, void *arg)
{
	struct proof *p = arg;
	const Sallyport__OwnerReply *r = m != NULL ? (const Sallyport__OwnerReply *)m->body : NULL;

	(void)s;
	if (r == NULL) {
		proof_fail(p, "Sallyport did not answer in time: try again");
		return 0;
	}
	p->t->proven = r->err == SP_OK;
	target_end(p->t, r->err == SP_OK ? "ownership proven" : "proof of ownership failed", "", r->text);
	return 0;
}

static void
proof_judge(struct proof *p)
{
	Sallyport__RecChannelEnd e = SALLYPORT__REC_CHANNEL_END__INIT;
	Sallyport__OwnerAsk q = SALLYPORT__OWNER_ASK__INIT;

	if (p->closed || p->t->state == TG_ENDED)
		return;
	p->closed = 1;
	sp_timer_stop(p->timer);
	e.channel = p->number;
	e.bytes_out = p->bytes_out;
	e.bytes_err = p->bytes_err;
	e.exit_status = p->exit_status;
	target_scribe(p->t, SP_MSG_REC_CHANNEL_END, &e);
	if (p->t->state == TG_ENDED)
		return;			/* the scribe is gone */
	q.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, p->t->id.b };
	q.output = (ProtobufCBinaryData){ p->output.len, p->output.p };
	q.exit_status = p->exit_status;
	session_ask(p->t->s, SP_PROC_CONTROL, SP_MSG_OWNER_ASK, &q, -1, p->t->s->conf->control_wait, proof_on_verdict, p);
}

/* ---- the channel */

static void
far_opened(void *arg)
{
	struct proof *p = arg;
	struct sp_buf b;

	sp_buf_init(&b, 1024);
	if (sp_buf_put_cstring(&b, p->t->reply->proof) != SP_OK)
		proof_fail(p, "out of memory");
	else
		sp_channel_request(p->far, "exec", 1, b.p, b.len);
	sp_buf_release(&b);
}

static void
far_refused(void *arg, uint32_t code, const char *text)
{
	(void)code;
	(void)text;
	proof_fail(arg, "it refused the channel");
}

static void
far_data(void *arg, int stream, struct sp_view v)
{
	struct proof *p = arg;
	enum sp_rec_stream dir = stream == SP_STREAM_ERR ? SP_REC_ERR : SP_REC_OUT;

	*(dir == SP_REC_ERR ? &p->bytes_err : &p->bytes_out) += v.len;
	if (p->closed || p->t->state == TG_ENDED)
		return;
	if (p->bytes_err + p->bytes_out > PROOF_OUTPUT || (dir == SP_REC_OUT && sp_buf_append(&p->output, v.p, v.len) != SP_OK))
		proof_fail(p, "the file is too long");
	else if (target_record(p->t, p->number, dir, v.p, v.len, 0) != v.len)
		proof_fail(p, "what it answered could not be recorded");
	else
		sp_channel_consumed(p->far, v.len);
}

static void
far_eof(void *arg)
{
	(void)arg;		/* the exit status is still to come */
}

static void
far_closed(void *arg)
{
	proof_judge(arg);
}

static void
far_request(void *arg, const char *name, int want_reply, struct sp_view data)
{
	struct proof *p = arg;
	uint32_t status;

	if (strcmp(name, "exit-status") == 0 && sp_view_u32(&data, &status) == SP_OK)
		p->exit_status = (int32_t)status;
	if (want_reply)
		sp_channel_reply(p->far, 0);
}

static void
far_reply(void *arg, int ok)
{
	struct proof *p = arg;

	if (!ok)
		proof_fail(p, "it does not run commands for this account");
	else
		sp_channel_eof(p->far);		/* there is nothing to read */
}

static void
far_writable(void *arg)
{
	(void)arg;
}

static const struct sp_channel_ops far_ops = {
	far_opened, far_refused, far_data, far_eof, far_closed, far_request, far_reply, far_writable
};

/* ---- from up to open */

static int
proof_on_allowed(struct session *s, struct sp_msg *m, void *arg)
{
	struct proof *p = arg;
	const Sallyport__ChannelReply *a = m != NULL ? (const Sallyport__ChannelReply *)m->body : NULL;
	Sallyport__RecChannel c = SALLYPORT__REC_CHANNEL__INIT;

	(void)s;
	if (p->t->state == TG_ENDED)
		return 0;
	if (a == NULL || a->err != SP_OK) {
		proof_fail(p, a == NULL ? "Sallyport did not answer in time: try again" : a->text[0] != '\0' ? a->text : "not allowed");
		return 0;
	}
	c.channel = p->number;
	c.type = (char *)(uintptr_t)"exec";
	c.detail = p->t->reply->proof;
	target_scribe(p->t, SP_MSG_REC_CHANNEL, &c);
	if (p->t->state == TG_ENDED)
		return 0;
	if (sp_channel_open(p->t->conn, "session", NULL, 0, &far_ops, p, &p->far) != SP_OK)
		proof_fail(p, "no channel can be opened");
	return 0;
}

void
proof_start(struct target *t)
{
	Sallyport__ChannelAsk q = SALLYPORT__CHANNEL_ASK__INIT;
	struct proof *p = calloc(1, sizeof(*p));

	if (p == NULL) {
		target_end(t, "out of memory", "", "Out of memory");
		return;
	}
	p->t = t;
	t->proof = p;
	sp_buf_init(&p->output, PROOF_OUTPUT);
	if (sp_timer_new(t->s->loop, proof_on_timer, p, &p->timer) != SP_OK) {
		proof_fail(p, "out of memory");
		return;
	}
	sp_timer_in(p->timer, PROOF_WAIT_US);
	p->number = ++t->numbers;
	q.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, t->id.b };
	q.channel = p->number;
	q.type = (char *)(uintptr_t)"exec";
	q.detail = t->reply->proof;
	session_ask(t->s, SP_PROC_CONTROL, SP_MSG_CHANNEL_ASK, &q, -1, t->s->conf->control_wait, proof_on_allowed, p);
}

void
proof_free(struct target *t)
{
	struct proof *p = t->proof;

	if (p == NULL)
		return;
	t->proof = NULL;
	session_forget(t->s, p);
	sp_channel_release(p->far);
	sp_timer_free(p->timer);
	sp_buf_release(&p->output);
	free(p);
}
