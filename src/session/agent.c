/* src/session/agent.c - see agent.h. Process: session.
 *
 *	target ── request ──► decoded, one at a time ──► control (AGENT_ASK): logged, decided
 *	                          platform: keys from control; a signature by the vault, against the lease that came with the answer
 *	                          own:      the request goes to the user's agent, its answer back
 *
 * Which server a client at the target talks to comes in session-bind@openssh.com, which OpenSSH sends before anything else
 * on each agent connection; it is kept per channel and shown with each request. What it claims, control checks.
 * Invariants: (1) one request at a time; the next is not looked at before the answer to this one was queued. (2) No byte of
 * the target reaches the user's agent before control said so. (3) No private key is here. */
#include "session/agent.h"

#include <stdlib.h>
#include <string.h>

#include "session/session.h"
#include "wire/agent.h"
#include "wire/userauth.h"

#define AGENT_BUF_MAX	((size_t)512 * 1024)	/* bytes in one direction */
#define AGENT_DATA_MAX	((size_t)16 * 1024)	/* bytes to be signed; a login has less than 17 KiB with its host key */

enum step { STEP_IDLE, STEP_ASKED, STEP_SIGNING, STEP_FORWARDED };
struct agent {
	enum agent_kind	kind;
	enum step	step;
	int		looping;		/* agent_next() is at work below: it takes the next one */
	struct sp_buf	in[2];			/* 0: from the target; 1: from the user's agent */
	struct sp_buf	out[2];			/* 0: to the target; 1: to the user's agent */
	struct sp_buf	host_key, session, sig;	/* as bound; empty: not */
	struct sp_buf	request;		/* the open one, whole */
};

static void agent_next(struct relay *r);

void
agent_free(struct agent *a)
{
	if (a == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		sp_buf_release(&a->in[i]);
		sp_buf_release(&a->out[i]);
	}
	sp_buf_release(&a->host_key);
	sp_buf_release(&a->session);
	sp_buf_release(&a->sig);
	sp_buf_release(&a->request);
	free(a);
}

int
agent_start(struct relay *r)
{
	struct agent *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return 0;
	a->kind = (enum agent_kind)r->target->agent;
	for (int i = 0; i < 2; i++) {
		sp_buf_init(&a->in[i], AGENT_BUF_MAX);
		sp_buf_init(&a->out[i], AGENT_BUF_MAX);
	}
	sp_buf_init(&a->host_key, AGENT_DATA_MAX);
	sp_buf_init(&a->session, SP_USERAUTH_SESSION_ID_MAX);
	sp_buf_init(&a->sig, AGENT_DATA_MAX);
	sp_buf_init(&a->request, SP_AGENT_MSG_MAX + 4);
	r->agent = a;
	return 1;
}

static void
flush(struct sp_channel *ch, struct sp_buf *b)
{
	size_t n = ch != NULL && b->len > 0 ? sp_channel_write(ch, SP_STREAM_OUT, b->p, b->len) : 0;

	if (n > 0)
		sp_buf_consume(b, n);
}

void
agent_pump(struct relay *r)
{
	flush(r->far, &r->agent->out[0]);
	flush(r->near, &r->agent->out[1]);
	if (r->near_eof && r->far != NULL && r->agent->out[0].len == 0)
		sp_channel_eof(r->far);
}

/* The answer to the open request is queued. */
static void
agent_answered(struct relay *r, enum sp_err queued)
{
	struct agent *a = r->agent;

	a->step = STEP_IDLE;
	sp_buf_reset(&a->request);
	if (queued != SP_OK) {
		relay_fail(r, "an answer of the agent is too large");
		return;
	}
	agent_pump(r);
	agent_next(r);
}

static int
agent_on_signature(struct session *s, struct sp_msg *m, void *arg)
{
	struct relay *r = arg;
	const Sallyport__SignReply *a = m != NULL ? (const Sallyport__SignReply *)m->body : NULL;

	(void)s;
	agent_answered(r, a == NULL || a->err != SP_OK ? sp_agent_put_failure(&r->agent->out[0]) :
	    sp_agent_put_signature((struct sp_view){ a->signature.data, a->signature.len }, &r->agent->out[0]));
	return 0;
}

static ProtobufCBinaryData
bytes(struct sp_view v)
{
	return (ProtobufCBinaryData){ v.len, (uint8_t *)(uintptr_t)v.p };
}

static ProtobufCBinaryData
kept(const struct sp_buf *b)
{
	return (ProtobufCBinaryData){ b->len, b->p };
}

/* The open request, decoded again: it was before it was kept. */
static int
agent_open(const struct agent *a, struct sp_agent_request *ret)
{
	struct sp_view stream = { a->request.p, a->request.len }, body;

	return sp_agent_next(&stream, &body) == SP_OK && sp_agent_decode(body, ret) == SP_OK;
}

static void
agent_sign(struct relay *r, const ProtobufCBinaryData *lease)
{
	struct agent *a = r->agent;
	struct sp_agent_request q;
	Sallyport__SignAsk ask = SALLYPORT__SIGN_ASK__INIT;

	if (!agent_open(a, &q)) {
		agent_answered(r, sp_agent_put_failure(&a->out[0]));
		return;
	}
	a->step = STEP_SIGNING;
	ask.lease = *lease;
	ask.blob = bytes(q.data);
	ask.flags = q.flags;
	ask.bind_signature = kept(&a->sig);
	session_ask(r->s, SP_PROC_VAULT, SP_MSG_SIGN_ASK, &ask, -1, r->s->conf->control_wait, agent_on_signature, r);
}

static enum sp_err
put_keys(const Sallyport__AgentReply *m, struct sp_buf *out)
{
	struct sp_agent_identity ids[8];
	size_t n = 0;

	for (; n < m->n_keys && n < SP_NELEMS(ids); n++)
		ids[n] = (struct sp_agent_identity){ { m->keys[n]->blob.data, m->keys[n]->blob.len }, m->keys[n]->comment };
	return sp_agent_put_identities(ids, n, out);
}

static int
agent_on_reply(struct session *s, struct sp_msg *m, void *arg)
{
	struct relay *r = arg;
	struct agent *a = r->agent;
	const Sallyport__AgentReply *b = m != NULL ? (const Sallyport__AgentReply *)m->body : NULL;
	struct sp_agent_request q;

	(void)s;
	if (b == NULL || b->err != SP_OK || !agent_open(a, &q)) {
		agent_answered(r, sp_agent_put_failure(&a->out[0]));
	} else if (a->kind == AGENT_OWN) {
		a->step = STEP_FORWARDED;
		if (sp_buf_append(&a->out[1], a->request.p, a->request.len) != SP_OK)
			relay_fail(r, "out of memory");
		else
			agent_pump(r);
	} else if (q.kind == SP_AGENT_LIST) {
		agent_answered(r, put_keys(b, &a->out[0]));
	} else {
		agent_sign(r, &b->lease);
	}
	return 0;
}

/* Kept as the server that the client talks to; to the user's agent it goes on, which checks it as well. */
static int
agent_bind(struct relay *r, const struct sp_agent_request *q)
{
	struct agent *a = r->agent;

	sp_buf_reset(&a->host_key);
	sp_buf_reset(&a->session);
	sp_buf_reset(&a->sig);
	if (q->forwarding)		/* the key is that of a hop on the way: nothing may be signed for it */
		return 1;
	if (sp_buf_append(&a->host_key, q->host_key.p, q->host_key.len) != SP_OK ||
	    sp_buf_append(&a->session, q->session_id.p, q->session_id.len) != SP_OK ||
	    sp_buf_append(&a->sig, q->signature.p, q->signature.len) != SP_OK) {
		sp_buf_reset(&a->host_key);
		return 0;
	}
	return 1;
}

static void
agent_request(struct relay *r, const struct sp_agent_request *q)
{
	struct agent *a = r->agent;
	Sallyport__AgentAsk ask = SALLYPORT__AGENT_ASK__INIT;

	if (q->kind == SP_AGENT_BIND) {
		if (!agent_bind(r, q) || a->kind == AGENT_PLATFORM) {
			agent_answered(r, a->host_key.len > 0 || q->forwarding ? sp_agent_put_success(&a->out[0]) :
			    sp_agent_put_failure(&a->out[0]));
			return;
		}
	}
	if (q->data.len > AGENT_DATA_MAX || (a->kind == AGENT_PLATFORM && q->kind == SP_AGENT_OTHER)) {
		agent_answered(r, sp_agent_put_failure(&a->out[0]));
		return;
	}
	a->step = STEP_ASKED;
	ask.session_id = (ProtobufCBinaryData){ SP_UUID_LEN, r->target->id.b };
	ask.channel = r->number;
	ask.kind = (char *)(uintptr_t)(a->kind == AGENT_OWN ? "own" : "platform");
	ask.op = (char *)(uintptr_t)(q->kind == SP_AGENT_LIST ? "list" : q->kind == SP_AGENT_SIGN ? "sign" :
	    q->kind == SP_AGENT_BIND ? "bind" : "other");
	ask.type = q->type;
	ask.host_key = kept(&a->host_key);
	ask.bind_session = kept(&a->session);
	ask.bind_signature = kept(&a->sig);
	ask.key_blob = bytes(q->key_blob);
	ask.data = bytes(q->data);
	session_ask(r->s, SP_PROC_CONTROL, SP_MSG_AGENT_ASK, &ask, -1, r->s->conf->control_wait, agent_on_reply, r);
}

/* The next whole request of the target; 0: there is none. */
static int
agent_one(struct relay *r)
{
	struct agent *a = r->agent;
	struct sp_view stream = { a->in[0].p, a->in[0].len }, body;
	struct sp_agent_request q;
	enum sp_err e;

	if (a->in[0].len == 0 || (e = sp_agent_next(&stream, &body)) == SP_ESHORT)
		return 0;
	if (e != SP_OK) {
		relay_fail(r, "the target broke the protocol of agents");
		return 0;
	}
	sp_buf_reset(&a->request);
	if (sp_buf_append(&a->request, a->in[0].p, a->in[0].len - stream.len) != SP_OK) {
		relay_fail(r, "out of memory");
		return 0;
	}
	sp_buf_consume(&a->in[0], a->request.len);
	if (agent_open(a, &q))
		agent_request(r, &q);
	else
		agent_answered(r, sp_agent_put_failure(&a->out[0]));
	return 1;
}

/* As many as can be answered at once; from wherever, one loop only. */
static void
agent_next(struct relay *r)
{
	struct agent *a = r->agent;

	if (a->looping)
		return;
	a->looping = 1;
	while (r->state == RL_RUN && a->step == STEP_IDLE && agent_one(r))
		;
	a->looping = 0;
}

/* The user's agent: one whole answer to the one request that it was given. */
static void
agent_back(struct relay *r)
{
	struct agent *a = r->agent;
	struct sp_view stream = { a->in[1].p, a->in[1].len }, body;
	enum sp_err e = a->step == STEP_FORWARDED ? sp_agent_next(&stream, &body) : SP_EFORMAT;
	size_t n = a->in[1].len - stream.len;

	if (e == SP_ESHORT)
		return;
	if (e != SP_OK) {
		relay_fail(r, "the agent broke its protocol");
		return;
	}
	e = sp_buf_append(&a->out[0], a->in[1].p, n);
	sp_buf_consume(&a->in[1], n);
	agent_answered(r, e);
}

void
agent_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v)
{
	int user = dir == SP_REC_IN;
	struct sp_channel *src = user ? r->near : r->far;

	if (src != NULL)
		sp_channel_consumed(src, v.len);
	if (sp_buf_append(&r->agent->in[user], v.p, v.len) != SP_OK)
		relay_fail(r, "too many requests to an agent at once");
	else if (user)
		agent_back(r);
	else
		agent_next(r);
}

/* ---- asking the target for the channel */

static int
agent_has(const struct target *t, const char *kind)
{
	for (size_t i = 0; target_allows(t, "agent") && i < t->policy->n_agent; i++)
		if (strcmp(t->policy->agent[i], kind) == 0)
			return 1;
	return 0;
}

/* One target asks for one kind only: when it opens the channel, it does not say whose shell it is for. */
void
agent_offer(struct relay *r)
{
	struct target *t = r->target;
	enum agent_kind kind = AGENT_NONE;

	r->agent_refused = 0;
	if (r->kind != RELAY_SESSION || (strcmp(r->type, "shell") != 0 && strcmp(r->type, "exec") != 0))
		return;
	if (r->agent_asked && agent_has(t, "own") && t->agent != AGENT_PLATFORM)
		kind = AGENT_OWN;
	else if (agent_has(t, "platform") && t->agent != AGENT_OWN)
		kind = AGENT_PLATFORM;
	r->agent_refused = r->agent_asked && kind != AGENT_OWN;
	if (kind == AGENT_NONE)
		return;
	t->agent = kind;
	sp_channel_request(r->far, "auth-agent-req@openssh.com", 0, NULL, 0);
}

void
agent_tell(struct relay *r)
{
	static const char line[] = "sallyport: agent forwarding (ssh -A) is not allowed by your grant\n";

	if (!r->agent_refused || r->near == NULL)
		return;
	r->agent_refused = 0;
	if (r->pty)
		relay_show(r, "agent forwarding (ssh -A) is not allowed by your grant");
	else
		(void)sp_channel_write(r->near, SP_STREAM_ERR, line, sizeof(line) - 1);
}
