/* src/session/relay_request.c - requests on a channel: kept until the target is there, answered in their order.
 * Process: session.
 *
 * A client may wait for the answer to one request before it sends the next, and which target is meant is known only at
 * shell, exec or subsystem; so what comes before (pty-req, env) is answered at once and kept, and the answer to the start
 * itself is the target's. Answers leave in the order of the requests (slots). */
#include "session/relay_int.h"

#include <stdlib.h>
#include <string.h>

enum { SLOT_PENDING, SLOT_OK, SLOT_FAIL };
#define NO_SLOT		0xffu

struct request {		/* for the target, once its channel is open */
	struct sp_list	link;
	char		name[SP_CHANNEL_NAME_MAX];
	int		slot;		/* -1: the user wants no answer */
	int		start;
	size_t		len;
	uint8_t		data[];
};

/* ---- answers to the user, in order */

int
relay_slot(struct relay *r, int want)
{
	unsigned i;

	if (!want)
		return -1;
	if (r->slot_n == SP_NELEMS(r->slot)) {
		relay_fail(r, "too many requests without an answer");
		return -1;
	}
	i = (r->slot_head + r->slot_n++) % SP_NELEMS(r->slot);
	r->slot[i] = SLOT_PENDING;
	return (int)i;
}

void
relay_answer(struct relay *r, int slot, int ok)
{
	if (slot < 0)
		return;
	r->slot[slot] = ok ? SLOT_OK : SLOT_FAIL;
	while (r->slot_n > 0 && r->slot[r->slot_head] != SLOT_PENDING) {
		if (r->near != NULL)
			sp_channel_reply(r->near, r->slot[r->slot_head] == SLOT_OK);
		r->slot_head = (r->slot_head + 1) % SP_NELEMS(r->slot);
		r->slot_n--;
	}
}

void
relay_slots_flush(struct relay *r)
{
	if (r->start_slot >= 0 && r->slot[r->start_slot] == SLOT_PENDING)
		r->slot[r->start_slot] = SLOT_OK;	/* so that the client shows the line that follows */
	r->start_slot = -1;
	for (unsigned n = r->slot_n, i = r->slot_head; n > 0; n--, i = (i + 1) % SP_NELEMS(r->slot))
		if (r->slot[i] == SLOT_PENDING)
			r->slot[i] = SLOT_FAIL;
	if (r->slot_n > 0)
		relay_answer(r, (int)r->slot_head, r->slot[r->slot_head] == SLOT_OK);
}

/* ---- requests to the target */

static void
request_send(struct relay *r, const char *name, int slot, int start, const void *data, size_t len)
{
	int want = slot >= 0 || start;

	if (want && r->due_n == SP_NELEMS(r->due)) {
		relay_answer(r, slot, 0);
		return;
	}
	if (want)
		r->due[(r->due_head + r->due_n++) % SP_NELEMS(r->due)] = slot >= 0 ? (uint8_t)slot : (uint8_t)NO_SLOT;
	sp_channel_request(r->far, name, want, data, len);
}

/* Now, or when the target's channel is open. */
void
relay_request(struct relay *r, const char *name, int slot, int start, struct sp_view data)
{
	struct request *q;

	if (r->state == RL_RUN && r->far != NULL) {
		request_send(r, name, slot, start, data.p, data.len);
		return;
	}
	if (r->queued + data.len > SESSION_QUEUE_MAX || (q = malloc(sizeof(*q) + data.len)) == NULL) {
		relay_answer(r, slot, 0);
		relay_fail(r, "too many requests before the target is there");
		return;
	}
	(void)sp_strlcpy(q->name, name, sizeof(q->name));
	q->slot = slot;
	q->start = start;
	q->len = data.len;
	if (data.len > 0)
		memcpy(q->data, data.p, data.len);
	r->queued += data.len + sizeof(*q);
	sp_list_init(&q->link);
	sp_list_add_tail(&r->queue, &q->link);
}

void
relay_requests_free(struct sp_list *l)
{
	sp_list_each(it, l) {
		struct request *q = sp_container(it, struct request, link);

		sp_list_remove(&q->link);
		free(q);
	}
}

void
relay_requests_drop(struct relay *r)
{
	relay_requests_free(&r->queue);
	r->queued = 0;
}

void
relay_requests_send(struct relay *r)
{
	sp_list_each(it, &r->queue) {
		struct request *q = sp_container(it, struct request, link);

		sp_list_remove(&q->link);
		request_send(r, q->name, q->slot, q->start, q->data, q->len);
		free(q);
	}
	r->queued = 0;
}

void
relay_on_reply(struct relay *r, int ok)
{
	uint8_t slot;

	if (r->due_n == 0)
		return;
	slot = r->due[r->due_head];
	r->due_head = (r->due_head + 1) % SP_NELEMS(r->due);
	r->due_n--;
	/* The start is the first request that waits for an answer. */
	if (r->started == 1) {
		r->started = 2;
		if (!ok) {
			relay_fail(r, "the target refused to start this");
			return;
		}
		r->start_slot = -1;
		if (slot != NO_SLOT)
			relay_answer(r, slot, ok);
		limits_started(r);
		agent_tell(r);
		return;
	}
	if (slot != NO_SLOT)
		relay_answer(r, slot, ok);
}

/* Shell, exec or subsystem is known: keep the request for the target, to be answered by it. */
void
relay_start(struct relay *r, const char *type, const void *detail, size_t n, int slot)
{
	struct sp_buf b;

	r->started = 1;
	r->start_slot = slot;
	(void)sp_strlcpy(r->type, type, sizeof(r->type));
	sp_buf_reset(&r->detail);
	sp_buf_init(&b, SESSION_COMMAND_MAX + 8);
	if (sp_buf_append(&r->detail, detail, n) != SP_OK ||
	    (strcmp(type, "shell") != 0 && sp_buf_put_string(&b, detail, n) != SP_OK))
		relay_fail(r, "the command is too long");
	else
		relay_request(r, type, slot, 1, (struct sp_view){ b.p, b.len });
	sp_buf_release(&b);
}

/* ---- a channel with a menu */

void
relay_menu_hold(struct relay *r)
{
	sp_list_each(it, &r->queue) {
		struct request *q = sp_container(it, struct request, link);

		sp_list_remove(&q->link);
		if (q->start)
			free(q);
		else
			sp_list_add_tail(&r->held, &q->link);
	}
	r->queued = 0;
	relay_answer(r, r->start_slot, 1);
	r->start_slot = -1;
}

/* The pty of the menu, with the size that it has by now, the environment, and a shell. */
void
relay_menu_start(struct relay *r)
{
	r->started = 1;
	r->due_n = 0;
	sp_list_each(it, &r->held) {
		struct request *q = sp_container(it, struct request, link);

		relay_request(r, q->name, -1, 0, (struct sp_view){ q->data, q->len });
	}
	if (r->pty) {
		struct sp_buf b;

		sp_buf_init(&b, 16);
		if (sp_buf_put_u32(&b, r->cols) == SP_OK && sp_buf_put_u32(&b, r->rows) == SP_OK &&
		    sp_buf_put_u32(&b, 0) == SP_OK && sp_buf_put_u32(&b, 0) == SP_OK)
			relay_request(r, "window-change", -1, 0, (struct sp_view){ b.p, b.len });
		sp_buf_release(&b);
	}
	relay_request(r, "shell", -1, 1, (struct sp_view){ NULL, 0 });
}
