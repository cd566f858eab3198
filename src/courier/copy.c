/* src/courier/copy.c - sends the audit log to collectors, each at its own pace, from its own place. Process: courier, event loop.
 *
 *	COPY_ASK(after = what was sent) -> COPY_BATCH -> records -> line -> received -> settled -> cursor
 *
 * The log is the spool, so nothing is kept here but the batch that is being sent. Syslog has no acknowledgement: an entry counts as
 * confirmed when the collector's machine has received it and the connection has lived on for SETTLE_US; a connection that breaks
 * takes back what was not confirmed by then, and it is sent again. So nothing is lost with a collector that goes away, the order
 * is kept, and after a break some records may come twice (they carry their number). What a collector's machine has received and its
 * program never read for longer than that cannot be told from here; over UDP nothing but an ICMP error can.
 * Invariants: (1) one question, one batch at a time. (2) The cursor is never ahead of what is confirmed. (3) A batch is sent whole
 * and in order, or taken back to the cursor. */
#include "courier/copy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/copydest.h"
#include "courier/copyform.h"
#include "courier/cursor.h"
#include "courier/line.h"

#define TICK_US		(200 * SP_US_PER_MS)
#define SETTLE_US	(SP_US_PER_S)
#define SAVE_US		(SP_US_PER_S)		/* between two cursors on disk, of one collector */
#define OPEN_US		(10 * SP_US_PER_S)	/* for name, connection and handshake together, each */
#define BACK_OFF_US	(500 * SP_US_PER_MS)	/* after the first failure; doubles */
#define BACK_OFF_MAX_US	(15 * SP_US_PER_S)
#define PACE_US		(50 * SP_US_PER_MS)	/* between batches of datagrams: a receiver's buffer is small */
#define OUT_MAX		((size_t)4 << 20)	/* bytes of a batch as records */
#define AGAIN_US	(2 * SP_US_PER_S)	/* a question without an answer is repeated: control may not have known us yet */
#define RECORDS		1024u			/* of a batch; control gives fewer */
#define MARKS		64u

struct mark {			/* all entries up to seq are in the first `bytes` of the line */
	uint64_t	seq, bytes, at_us;
};
struct out {			/* one collector */
	struct copies		*all;
	int			 used;
	struct sp_copy_dest	 d;
	struct line		*line;
	uint64_t		 confirmed, saved, sent;	/* entries: saved <= confirmed <= sent */
	int			 first;		/* there was no cursor */
	uint32_t		 corr;		/* of the question that is open; 0: none */
	uint64_t		 asked_us;
	struct sp_buf		 out;		/* records of the batch */
	size_t			 at;		/* bytes of it that are sent */
	uint32_t		 len[RECORDS];	/* of the records, for datagrams */
	unsigned		 n, i;
	uint64_t		 upto;		/* of the batch; 0: there is none */
	struct mark		 marks[MARKS];
	unsigned		 marks_n;
	uint64_t		 back_off_us, not_before_us, saved_at_us;
	int			 away, is_opening;
	char			 text[200];
	/* what control was told */
	int			 told, told_away;
	uint64_t		 told_confirmed;
	char			 told_text[200];
};
struct copies {
	struct sp_child		*child;
	struct sp_pool		*pool;
	struct sp_chan		*control;
	struct sp_timer		*tick;
	int			 dirfd;
	char			 host[256];
	char			 ca[SP_CONF_TEXT], cert[SP_CONF_TEXT], key[SP_CONF_TEXT];
	struct out		 of[SP_COPY_DESTS];
};

static void	out_push(struct out *o);

static void
out_tell(struct out *o)
{
	Sallyport__CopyState m = SALLYPORT__COPY_STATE__INIT;

	if (o->all->control == NULL || (o->told && o->told_away == o->away && o->told_confirmed == o->confirmed &&
	    strcmp(o->told_text, o->text) == 0))
		return;
	m.dest = o->d.name;
	m.confirmed = o->confirmed;
	m.away = o->away;
	m.text = o->text;
	if (sp_chan_send(o->all->control, SP_MSG_COPY_STATE, 0, &m, NULL, 0) != SP_OK)
		return;		/* with the next tick */
	o->told = 1;
	o->told_away = o->away;
	o->told_confirmed = o->confirmed;
	(void)sp_strlcpy(o->told_text, o->text, sizeof(o->told_text));
}

static void
out_ask(struct out *o, uint64_t now_us)
{
	Sallyport__CopyAsk m = SALLYPORT__COPY_ASK__INIT;
	uint32_t corr;

	if (o->all->control == NULL || o->upto != 0 || now_us < o->not_before_us || o->marks_n == MARKS ||
	    (o->corr != 0 && now_us - o->asked_us < AGAIN_US))
		return;
	o->told &= o->corr == 0;	/* what it was told may have met the same */
	m.dest = o->d.name;
	m.after = o->sent;
	m.first = o->first;
	m.context = o->d.jumpserver;
	corr = sp_chan_corr(o->all->control);
	if (sp_chan_send(o->all->control, SP_MSG_COPY_ASK, corr, &m, NULL, 0) == SP_OK) {
		o->corr = corr;
		o->asked_us = now_us;
	}
}

static void
out_save(struct out *o, uint64_t now_us)
{
	enum sp_err r;

	if (o->confirmed == o->saved || (o->saved_at_us != 0 && now_us - o->saved_at_us < SAVE_US))
		return;
	o->saved_at_us = now_us;
	if ((r = cursor_write(o->all->dirfd, o->d.name, o->confirmed)) == SP_OK)
		o->saved = o->confirmed;
	else	/* the old one stays: what is behind it would be sent twice */
		sp_error("the place of %s in the audit log cannot be kept: %s", o->d.name, sp_err_text(r));
}

static void
out_confirm(struct out *o, uint64_t seq)
{
	o->confirmed = seq;
	o->first = 0;
	o->back_off_us = 0;
	o->away = 0;
	o->text[0] = '\0';
}

/* What was received long enough ago. */
static void
out_settle(struct out *o, uint64_t now_us, uint64_t settle_us)
{
	uint64_t received = line_received(o->line);
	unsigned k = 0;

	while (k < o->marks_n && o->marks[k].bytes <= received && now_us - o->marks[k].at_us >= settle_us)
		out_confirm(o, o->marks[k++].seq);
	o->marks_n -= k;
	memmove(o->marks, o->marks + k, o->marks_n * sizeof(o->marks[0]));
}

/* The batch is with the kernel. */
static void
out_batch_done(struct out *o, uint64_t now_us)
{
	o->sent = o->upto;
	o->upto = 0;
	o->at = 0;
	o->n = o->i = 0;
	if (o->out.len == 0 && o->marks_n == 0)
		out_confirm(o, o->sent);	/* nothing of it is for this collector */
	else
		o->marks[o->marks_n++] = (struct mark){ o->sent, line_sent(o->line), now_us };
	sp_buf_reset(&o->out);
	o->not_before_us = o->d.at.transport == SP_SYSLOG_UDP ? now_us + PACE_US : 0;
	if (o->not_before_us != 0)
		sp_timer_at(o->all->tick, o->not_before_us);
	out_ask(o, now_us);
}

static void
out_open(struct out *o, uint64_t now_us)
{
	enum sp_err r;

	if (o->is_opening || now_us < o->not_before_us)
		return;
	if ((r = line_open(o->line)) == SP_OK)
		o->is_opening = 1;
	else
		sp_warn("%s cannot be connected to now: %s", o->d.name, sp_err_text(r));
}

/* Send what there is of the batch. */
static void
out_push(struct out *o)
{
	uint64_t now = sp_now_us();

	if (o->upto == 0)
		return;
	if (o->at < o->out.len && !line_is_up(o->line)) {
		out_open(o, now);
		return;
	}
	while (o->at < o->out.len) {
		size_t left = o->d.at.transport == SP_SYSLOG_UDP ? o->len[o->i] : o->out.len - o->at, n = 0;

		if (line_send(o->line, o->out.p + o->at, left, &n) != SP_OK)
			return;		/* writable() or down() follows */
		o->at += n;
		o->i++;
	}
	out_batch_done(o, now);
}

static void
out_up(void *arg)
{
	struct out *o = arg;

	o->is_opening = 0;
	sp_info("%s is connected", o->d.name);
	out_push(o);
}

static void
out_writable(void *arg)
{
	out_push(arg);
}

static void
out_down(void *arg, const char *why)
{
	struct out *o = arg;
	uint64_t now = sp_now_us();
	int idle = !o->is_opening && o->upto == 0 && o->marks_n == 0;

	o->is_opening = 0;
	if (idle) {
		sp_info("%s: %s", o->d.name, why);	/* nothing was on its way: connected again when there is */
		return;
	}
	if (!o->away)
		sp_warn("%s: %s. The audit log goes on; entries from %llu on are sent when it is back", o->d.name, why,
		    (unsigned long long)o->confirmed + 1);
	o->away = 1;
	(void)sp_strlcpy(o->text, why, sizeof(o->text));
	o->sent = o->confirmed;
	o->upto = 0;
	o->at = 0;
	o->n = o->i = 0;
	o->marks_n = 0;
	o->corr = 0;		/* an answer to it is not for the new place */
	sp_buf_reset(&o->out);
	o->back_off_us = o->back_off_us == 0 ? BACK_OFF_US : o->back_off_us * 2 < BACK_OFF_MAX_US ? o->back_off_us * 2 : BACK_OFF_MAX_US;
	o->not_before_us = now + o->back_off_us;
}

static const struct line_ops out_ops = { .up = out_up, .writable = out_writable, .down = out_down };

static struct copy_form
out_form(const struct out *o)
{
	const struct copies *a = o->all;

	return (struct copy_form){ .jumpserver = o->d.jumpserver, .facility = o->d.facility, .host = a->host,
	    .bastion = a->child->conf.bastion_name, .frame = o->d.at.transport == SP_SYSLOG_UDP ? COPY_PLAIN : COPY_COUNTED,
	    .limit = o->d.at.transport == SP_SYSLOG_UDP ? (size_t)a->child->conf.syslog_udp_bytes : 0 };
}

static enum sp_err
out_encode(struct out *o, const struct copy_form *f, const Sallyport__CopyEntry *e)
{
	size_t was = o->out.len;
	enum sp_err r;

	if (o->n == RECORDS)
		return SP_EFULL;
	r = copy_form(f, (struct sp_view){ e->entry.data, e->entry.len }, (struct sp_view){ e->context.data, e->context.len }, &o->out);
	if (r == SP_OK)
		o->len[o->n++] = (uint32_t)(o->out.len - was);
	return r == SP_ENOENT ? SP_OK : r;
}

void
copies_batch(struct copies *a, uint32_t corr, const Sallyport__CopyBatch *m)
{
	struct out *o = NULL;
	struct copy_form f;
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < SP_COPY_DESTS && o == NULL; i++)
		if (a->of[i].used && a->of[i].corr == corr && corr != 0)
			o = &a->of[i];
	if (o == NULL || strcmp(o->d.name, m->dest) != 0 || m->upto < m->after)
		return;		/* to a question that was taken back */
	o->corr = 0;
	if (m->after != o->sent) {	/* control knows a better place to begin */
		o->marks_n = 0;
		o->confirmed = o->sent = m->after;
	}
	f = out_form(o);
	for (size_t i = 0; i < m->n_entries && r == SP_OK; i++)
		r = out_encode(o, &f, m->entries[i]);
	if (r != SP_OK) {
		sp_error("entries behind %llu cannot be written as records: %s", (unsigned long long)m->after, sp_err_text(r));
		out_down(o, sp_err_text(r));
		return;
	}
	o->upto = m->upto;
	out_push(o);
}

static void
on_tick(struct sp_timer *t, void *arg)
{
	struct copies *a = arg;
	uint64_t now = sp_now_us();

	sp_timer_in(t, TICK_US);
	for (size_t i = 0; i < SP_COPY_DESTS; i++) {
		struct out *o = &a->of[i];

		if (!o->used)
			continue;
		if (o->marks_n > 0)
			out_settle(o, now, SETTLE_US);
		out_save(o, now);
		out_tell(o);
		out_push(o);
		out_ask(o, now);
	}
}

void
copies_control(struct copies *a, struct sp_chan *control)
{
	a->control = control;
	for (size_t i = 0; i < SP_COPY_DESTS; i++) {
		struct out *o = &a->of[i];

		o->corr = 0;
		o->told = 0;
		if (!o->used)
			continue;
		out_tell(o);
		out_ask(o, sp_now_us());
	}
}

static void
out_release(struct out *o)
{
	if (!o->used)
		return;
	out_settle(o, sp_now_us(), 0);
	o->saved_at_us = 0;
	out_save(o, sp_now_us());
	line_free(o->line);
	sp_buf_release(&o->out);
	o->used = 0;
}

static enum sp_err
out_start(struct copies *a, struct out *o, const struct sp_copy_dest *d)
{
	const struct line_to to = { .at = d->at, .ca = a->ca, .cert = a->cert, .key = a->key, .timeout_us = OPEN_US };
	enum sp_err r;

	*o = (struct out){ .all = a, .d = *d };
	if ((r = cursor_read(a->dirfd, d->name, &o->saved)) == SP_ENOENT)
		o->first = 1;
	else if (r != SP_OK)
		sp_error("the place of %s in the audit log cannot be read (%s): it begins anew", d->name, sp_err_text(r));
	o->confirmed = o->sent = o->saved;
	sp_buf_init(&o->out, OUT_MAX);
	if ((r = line_new(a->child->loop, a->pool, &to, &out_ops, o, &o->line)) != SP_OK)
		return r;
	o->used = 1;
	return SP_OK;
}

void
copies_reload(struct copies *a)
{
	struct sp_copy_dest d[SP_COPY_DESTS];
	size_t n = sp_copy_dests(&a->child->conf, d);
	int is_there[SP_COPY_DESTS] = { 0 };

	(void)sp_strlcpy(a->ca, a->child->conf.syslog_ca, sizeof(a->ca));
	(void)sp_strlcpy(a->cert, a->child->conf.syslog_cert, sizeof(a->cert));
	(void)sp_strlcpy(a->key, a->child->conf.syslog_key, sizeof(a->key));
	for (size_t i = 0; i < SP_COPY_DESTS; i++) {
		int named = 0;

		for (size_t k = 0; k < n; k++)
			if (a->of[i].used && strcmp(a->of[i].d.name, d[k].name) == 0) {
				named = is_there[k] = 1;
				a->of[i].d.facility = d[k].facility;
			}
		if (!named)
			out_release(&a->of[i]);
	}
	for (size_t k = 0; k < n; k++) {
		size_t i = 0;

		while (!is_there[k] && i < SP_COPY_DESTS && a->of[i].used)
			i++;
		if (!is_there[k] && out_start(a, &a->of[i], &d[k]) != SP_OK)
			sp_error("out of memory: nothing is sent to %s", d[k].name);
	}
	sp_timer_in(a->tick, 0);
}

enum sp_err
copies_new(struct sp_child *child, struct sp_pool *pool, int dirfd, struct copies **ret)
{
	struct copies *a = calloc(1, sizeof(*a));
	enum sp_err r;

	if (a == NULL)
		return SP_ENOMEM;
	a->child = child;
	a->pool = pool;
	a->dirfd = dirfd;
	if (gethostname(a->host, sizeof(a->host) - 1) == -1)
		a->host[0] = '\0';
	if ((r = sp_timer_new(child->loop, on_tick, a, &a->tick)) != SP_OK) {
		free(a);
		return r;
	}
	copies_reload(a);
	*ret = a;
	return SP_OK;
}

void
copies_free(struct copies *a)
{
	if (a == NULL)
		return;
	for (size_t i = 0; i < SP_COPY_DESTS; i++)
		out_release(&a->of[i]);
	sp_timer_free(a->tick);
	free(a);
}
