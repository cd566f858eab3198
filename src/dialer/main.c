/* src/dialer/main.c - sallyport-dialer: answers DIAL_ASK of control with a connected socket or the reason why not. It sees
 * neither credentials nor content. Names are resolved in a few threads, so that a dead name server delays nobody else.
 * Invariants: at most DIALER_MAX questions at a time; each is answered once; answers to a control that died are dropped,
 * their sockets closed. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "common/child.h"
#include "dialer/dial.h"
#include "sallyport.pb-c.h"

#define DIALER_MAX	1024u	/* questions under way */
#define DIALER_THREADS	16u	/* names being resolved at once */
#define DIALER_QUEUED	512u	/* names waiting for a thread */
#define DIALER_FILES	4096
#define DIALER_TIMEOUT_MAX_US UINT64_C(120000000)

struct dialer {
	struct sp_child	 child;
	struct sp_pool	*pool;
	struct sp_chan	*control;
	unsigned	 round;		/* which control: answers go only to the one that asked */
	unsigned	 n;
};
struct question {
	struct dialer	*d;
	uint32_t	 corr;
	unsigned	 round;
	char		 what[DIAL_HOST + 16];
};

static struct dialer dialer;

static void
answer(struct dialer *d, uint32_t corr, const struct dial_result *r)
{
	Sallyport__DialResult m = SALLYPORT__DIAL_RESULT__INIT;
	char address[SP_NETADDR_SIZE] = "", text[512], all[DIAL_ADDRESSES][SP_NETADDR_SIZE];
	char *list[DIAL_ADDRESSES];
	int fd = r->fd;

	(void)sp_strlcpy(text, r->text, sizeof(text));
	m.err = (uint32_t)r->err;
	m.text = text;
	if (r->err == SP_OK) {
		m.address = sp_netaddr_text(&r->address, address);
		m.port = r->address.port;
		for (m.n_addresses = 0; m.n_addresses < r->n_addresses; m.n_addresses++)
			list[m.n_addresses] = sp_netaddr_text(&r->addresses[m.n_addresses], all[m.n_addresses]);
		m.addresses = list;
	}
	if (sp_chan_send(d->control, SP_MSG_DIAL_RESULT, corr, &m, &fd, fd != -1 ? 1 : 0) != SP_OK)
		sp_warn("control does not take an answer");
	sp_closep(&fd);
}

static void
question_done(const struct dial_result *r, void *arg)
{
	struct question *q = arg;
	struct dialer *d = q->d;
	char at[SP_NETADDR_SIZE];

	d->n--;
	if (r->err == SP_OK)
		sp_debug("%s: %s", q->what, sp_netaddr_text_port(&r->address, at));
	else
		sp_info("%s: %s", q->what, r->text);
	if (d->control != NULL && q->round == d->round)
		answer(d, q->corr, r);
	else if (r->fd != -1)
		close(r->fd);
	free(q);
}

static enum sp_err
question_start(struct dialer *d, uint32_t corr, const Sallyport__DialAsk *m)
{
	struct question *q = d->n < DIALER_MAX ? calloc(1, sizeof(*q)) : NULL;
	struct dial_ask ask = { .host = m->host, .port = (uint16_t)m->port, .refuse = m->refuse, .n_refuse = m->n_refuse,
	    .allow = m->allow, .n_allow = m->n_allow, .resolve_only = m->resolve_only,
	    .timeout_us = m->timeout_us < DIALER_TIMEOUT_MAX_US ? m->timeout_us : DIALER_TIMEOUT_MAX_US };
	enum sp_err r;

	if (q == NULL)
		return SP_EFULL;
	if (ask.timeout_us == 0)
		ask.timeout_us = d->child.conf.dial_timeout;
	*q = (struct question){ .d = d, .corr = corr, .round = d->round };
	sp_snprintf(q->what, sizeof(q->what), "%s port %u", m->host, m->port);
	if ((r = m->port > 65535 ? SP_EINVAL : dial_start(d->child.loop, d->pool, &ask, question_done, q)) != SP_OK) {
		free(q);
		return r;
	}
	d->n++;
	return SP_OK;
}

static void
dialer_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct dialer *d = arg;
	struct dial_result no = { .fd = -1 };

	(void)c;
	if (m->id != SP_MSG_DIAL_ASK)
		return;
	no.err = question_start(d, m->corr, (const Sallyport__DialAsk *)m->body);
	no.text = no.err == SP_EFULL ? "too many connections are being made: try again" :
	    no.err == SP_EINVAL ? "the address or port is not valid" : sp_err_text(no.err);
	if (no.err != SP_OK)
		answer(d, m->corr, &no);
}

static void
dialer_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct dialer *d = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s from control: %s", what, sp_err_text(why));
	if (d->control == c)
		d->control = NULL;
	sp_chan_free(c);
}

static void
dialer_peer(struct sp_child *child, const struct Sallyport__Peer *p, int fd)
{
	struct dialer *d = child->arg;

	if (p->kind != SP_PROC_CONTROL) {
		close(fd);
		return;
	}
	sp_chan_free(d->control);
	d->control = NULL;
	d->round++;
	if (sp_chan_new(fd, SP_PROC_DIALER, SP_PROC_CONTROL, dialer_on_msg, dialer_on_close, d, &d->control) != SP_OK ||
	    sp_chan_watch(d->control, child->loop) != SP_OK)
		sp_die(71, "cannot watch control");
}

static const struct sp_child_ops dialer_ops = { .peer = dialer_peer };

int
main(void)
{
	const struct sp_sandbox box = { .may = SP_MAY_CONNECT | SP_MAY_THREADS, .user = sp_proc_user(SP_PROC_DIALER),
	    .files_n = DIALER_FILES };
	struct dialer *d = &dialer;

	sp_child_init(&d->child, SP_PROC_DIALER, &dialer_ops, d);
	sp_child_ready(&d->child, &box);	/* before the threads: Landlock binds those that come after it */
	if (sp_pool_new(d->child.loop, DIALER_THREADS, DIALER_QUEUED, &d->pool) != SP_OK)
		sp_die(71, "cannot start threads");
	return sp_child_run(&d->child);
}
