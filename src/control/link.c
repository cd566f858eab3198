/* src/control/link.c - see link.h. */
#include "control/ctl.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"

struct ask {
	struct sp_list	 link;
	uint32_t	 corr;		/* 0: not sent to this peer yet */
	uint16_t	 id;
	int		 again, sent_once;
	uint64_t	 deadline_us;
	ctl_link_fn	*fn;
	void		*arg;
	size_t		 len;
	uint8_t		 packed[];	/* wiped: some carry sealed credentials */
};
struct ctl_link {
	struct ctl	*ctl;
	enum sp_proc	 peer;
	struct sp_chan	*chan;
	int		 ready;
	sp_chan_fn	*other;		/* messages that answer no question */
	struct sp_list	 asks;		/* in order of asking */
	struct sp_timer	*now;		/* delivers failures outside of the caller */
	struct sp_list	 failed;
};

static void
ask_free(struct ask *a)
{
	explicit_bzero(a->packed, a->len);
	free(a);
}

static void
ask_finish(struct ask *a, enum sp_err err, struct sp_msg *m)
{
	sp_list_remove(&a->link);
	if (a->fn != NULL)
		a->fn(a->arg, err, m);
	ask_free(a);
}

static void
link_deliver_failed(struct sp_timer *t, void *arg)
{
	struct ctl_link *l = arg;

	(void)t;
	while (!sp_list_empty(&l->failed)) {
		struct ask *a = sp_container(l->failed.next, struct ask, link);

		ask_finish(a, a->corr == 0 && a->sent_once ? SP_ECLOSED : SP_EFULL, NULL);
	}
}

static void
ask_fail(struct ctl_link *l, struct ask *a)
{
	sp_list_remove(&a->link);
	sp_list_add_tail(&l->failed, &a->link);
	sp_timer_in(l->now, 0);
}

static void
ask_send(struct ctl_link *l, struct ask *a)
{
	const struct sp_msg_spec *spec = sp_msg_spec(a->id);
	ProtobufCMessage *m = protobuf_c_message_unpack(spec->body, NULL, a->len, a->packed);
	enum sp_err r = SP_ENOMEM;

	a->corr = sp_chan_corr(l->chan);
	if (m != NULL)
		r = sp_chan_send(l->chan, a->id, a->corr, m, NULL, 0);
	protobuf_c_message_free_unpacked(m, NULL);
	a->sent_once = 1;
	if (r == SP_OK && a->fn == NULL) {
		sp_list_remove(&a->link);
		ask_free(a);
	} else if (r != SP_OK && r != SP_ECLOSED) {
		ask_fail(l, a);
	}
}

void
ctl_link_ask(struct ctl_link *l, uint16_t id, const void *body, int again, uint64_t wait_us, ctl_link_fn *fn, void *arg)
{
	size_t len = protobuf_c_message_get_packed_size(body);
	struct ask *a = malloc(sizeof(*a) + len);

	if (a == NULL)
		sp_die(71, "out of memory");
	*a = (struct ask){ .id = id, .again = again, .deadline_us = sp_now_us() + wait_us, .fn = fn, .arg = arg, .len = len };
	protobuf_c_message_pack(body, a->packed);
	sp_list_add_tail(&l->asks, &a->link);
	if (l->ready)
		ask_send(l, a);
}

enum sp_err
ctl_link_tell(struct ctl_link *l, uint16_t id, const void *body)
{
	return l->ready ? sp_chan_send(l->chan, id, 0, body, NULL, 0) : SP_ECLOSED;
}

static void
link_on_msg(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct ctl_link *l = arg;

	if (m->corr != 0)
		sp_list_each(it, &l->asks) {
			struct ask *a = sp_container(it, struct ask, link);

			if (a->corr == m->corr && a->fn != NULL) {
				ask_finish(a, SP_OK, m);
				return;
			}
		}
	l->other(chan, m, l->ctl);	/* a notice, or an answer that came after its deadline */
}

/* The peer is gone: what may be asked again waits for the next one. */
static void
link_lost(struct ctl_link *l)
{
	l->ready = 0;
	sp_chan_free(l->chan);
	l->chan = NULL;
	sp_list_each(it, &l->asks) {
		struct ask *a = sp_container(it, struct ask, link);
		int was_sent = a->corr != 0;

		a->corr = 0;
		if (was_sent && !a->again)
			ask_fail(l, a);
	}
}

static void
link_on_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct ctl_link *l = arg;

	(void)chan;
	if (why != SP_ECLOSED)
		sp_error("bad message %s from %s: %s", what, sp_proc_name(l->peer), sp_err_text(why));
	else
		sp_info("%s is gone", sp_proc_name(l->peer));
	link_lost(l);
}

void
ctl_link_set(struct ctl_link *l, int fd)
{
	if (l->chan != NULL)
		link_lost(l);
	if (sp_chan_new(fd, SP_PROC_CONTROL, l->peer, link_on_msg, link_on_close, l, &l->chan) != SP_OK) {
		l->chan = NULL;
		return;
	}
	if (sp_chan_watch(l->chan, l->ctl->child.loop) != SP_OK)
		link_lost(l);
}

void
ctl_link_ready(struct ctl_link *l)
{
	if (l->chan == NULL)
		return;
	l->ready = 1;
	sp_list_each(it, &l->asks) {
		struct ask *a = sp_container(it, struct ask, link);

		if (a->corr == 0)
			ask_send(l, a);
	}
}

int
ctl_link_is_ready(const struct ctl_link *l)
{
	return l->ready;
}

void
ctl_link_tick(struct ctl_link *l, uint64_t now_us)
{
	for (;;) {
		struct ask *late = NULL;

		sp_list_each(it, &l->asks) {
			struct ask *a = sp_container(it, struct ask, link);

			if (now_us >= a->deadline_us) {
				late = a;
				break;
			}
		}
		if (late == NULL)
			return;
		ask_finish(late, SP_ETIMEOUT, NULL);
	}
}

enum sp_err
ctl_link_new(struct ctl *c, enum sp_proc peer, sp_chan_fn *other, struct ctl_link **ret)
{
	struct ctl_link *l = calloc(1, sizeof(*l));
	enum sp_err r;

	if (l == NULL)
		return SP_ENOMEM;
	*l = (struct ctl_link){ .ctl = c, .peer = peer, .other = other };
	sp_list_init(&l->asks);
	sp_list_init(&l->failed);
	if ((r = sp_timer_new(c->child.loop, link_deliver_failed, l, &l->now)) != SP_OK) {
		free(l);
		return r;
	}
	*ret = l;
	return SP_OK;
}

void
ctl_link_free(struct ctl_link *l)
{
	if (l == NULL)
		return;
	sp_chan_free(l->chan);
	l->chan = NULL;
	l->ready = 0;
	link_deliver_failed(NULL, l);
	while (!sp_list_empty(&l->asks))
		ask_finish(sp_container(l->asks.next, struct ask, link), SP_ECLOSED, NULL);
	sp_timer_free(l->now);
	free(l);
}
