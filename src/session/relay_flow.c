/* src/session/relay_flow.c - bytes of a channel, both ways, with back pressure. Process: session.
 * Invariants: (1) a packet is recorded, then written. (2) What does not go out stays in a flow, and the sender's window grows
 * only by what went out: so a flow is bounded by the window that its sender was given. */
#include "session/relay_int.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void
flow_keep(struct flow *f, const uint8_t *p, size_t n, size_t recorded)
{
	if (f->off == f->len)
		f->off = f->len = 0;
	if (f->cap - f->len < n && f->off > 0 && f->len - f->off <= f->off) {
		memmove(f->p, f->p + f->off, f->len - f->off);
		f->len -= f->off;
		f->off = 0;
	}
	if (f->cap - f->len < n) {
		size_t cap = f->cap ? f->cap : 4096;
		uint8_t *q;

		while (cap - f->len < n)
			cap *= 2;
		if ((q = realloc(f->p, cap)) == NULL)
			sp_die(71, "out of memory");	/* bounded by the windows: this process is out of its limit */
		f->p = q;
		f->cap = cap;
	}
	memcpy(f->p + f->len, p, n);
	f->len += n;
	f->recorded += recorded;
}

void
relay_flow_drop(struct flow *f)
{
	free(f->p);
	f->p = NULL;
	f->off = f->len = f->cap = f->recorded = f->paid = 0;
}

/* n bytes of a flow went out: their sender may send as many more, but for those that it was told before. */
static void
flow_went(struct flow *f, struct sp_channel *src, size_t n)
{
	size_t paid = n < f->paid ? n : f->paid;

	f->paid -= paid;
	if (src != NULL && n > paid)
		sp_channel_consumed(src, n - paid);
}

/* Give bytes to the scribe, which decides what of them is kept; how many may go on. */
static size_t
flow_record(struct relay *r, enum sp_rec_stream dir, const uint8_t *p, size_t n)
{
	return target_record(r->target, r->number, dir, p, n, !r->pty);
}

void
relay_push(struct relay *r, enum sp_rec_stream dir)
{
	struct flow *f = &r->flow[dir];
	struct sp_channel *dst = dir == SP_REC_IN ? r->far : r->near, *src = dir == SP_REC_IN ? r->near : r->far;
	int stream = dir == SP_REC_ERR ? SP_STREAM_ERR : SP_STREAM_OUT;
	size_t wrote;

	while (f->off < f->len && r->state == RL_RUN && dst != NULL) {
		size_t wait = f->len - f->off;

		if (f->recorded < wait) {
			const uint8_t *p = f->p + f->off + f->recorded;
			size_t n = dir == SP_REC_IN ? hold_take(r, p, wait - f->recorded) : wait - f->recorded;
			size_t took = n > 0 ? flow_record(r, dir, p, n) : 0;

			f->recorded += took;
			if (dir == SP_REC_IN)
				hold_went(r, took);
		}
		if (r->state != RL_RUN || f->recorded == 0 ||
		    (wrote = sp_channel_write(dst, stream, f->p + f->off, f->recorded)) == 0)
			break;
		f->off += wrote;
		f->recorded -= wrote;
		flow_went(f, src, wrote);
	}
	if (f->off == f->len && f->cap > 0)
		relay_flow_drop(f);
}

/* "SSH-" from the far end of a forward: somebody wants a way around the recording. */
static int
relay_is_tunnel(struct relay *r, struct sp_view v)
{
	static const char ssh[4] = "SSH-";

	for (size_t i = 0; i < v.len && r->greeted >= 0 && r->greeted < 4; i++)
		r->greeted = v.p[i] == (uint8_t)ssh[r->greeted] ? r->greeted + 1 : -1;
	return r->greeted == 4;
}

void
relay_bytes(struct relay *r, enum sp_rec_stream dir, struct sp_view v)
{
	struct flow *f = &r->flow[dir];
	struct sp_channel *src = dir == SP_REC_IN ? r->near : r->far;

	f->bytes += v.len;
	limits_activity(r, dir);
	if (r->near_closed) {
		sp_channel_consumed(src, v.len);	/* nobody reads it any more */
		return;
	}
	if (r->agent != NULL) {
		agent_bytes(r, dir, v);
		return;
	}
	if (r->kind == RELAY_LOCAL && dir == SP_REC_OUT && relay_is_tunnel(r, v)) {
		relay_fail(r, "closed: the other side of this forward speaks SSH");
		return;
	}
	if (r->files != NULL && r->state == RL_RUN)
		files_bytes(r, dir, v);
	else
		relay_emit(r, dir, v, 0);
}

void
relay_taken(struct relay *r, enum sp_rec_stream dir, size_t n)
{
	struct sp_channel *src = dir == SP_REC_IN ? r->near : r->far;

	if (src != NULL && n > 0)
		sp_channel_consumed(src, n);
}

void
relay_drop_typed(struct relay *r)
{
	struct flow *f = &r->flow[SP_REC_IN];
	size_t n = f->len - f->off - f->recorded;

	f->len -= n;
	flow_went(f, r->near, n);
}

void
relay_inject(struct relay *r, const char *keys, size_t n)
{
	struct flow *f = &r->flow[SP_REC_IN];
	size_t at, rest;

	flow_keep(f, (const uint8_t *)keys, n, 0);
	f->paid += n;
	at = f->off + f->recorded;
	rest = f->len - n - at;
	memmove(f->p + at + n, f->p + at, rest);
	memcpy(f->p + at, keys, n);
	relay_push(r, SP_REC_IN);
}

int
relay_insert(struct relay *r, enum sp_rec_stream dir, struct sp_view v, size_t max)
{
	struct flow *f = &r->flow[dir];

	if (f->recorded != f->len - f->off || f->len - f->off > max || (dir == SP_REC_IN ? r->far : r->near) == NULL)
		return 0;
	flow_keep(f, v.p, v.len, v.len);
	f->paid += v.len;
	relay_push(r, dir);
	return 1;
}

void
relay_emit(struct relay *r, enum sp_rec_stream dir, struct sp_view v, size_t paid)
{
	struct flow *f = &r->flow[dir];
	struct sp_channel *dst = dir == SP_REC_IN ? r->far : r->near, *src = dir == SP_REC_IN ? r->near : r->far;
	int stream = dir == SP_REC_ERR ? SP_STREAM_ERR : SP_STREAM_OUT;
	size_t rec, wrote = 0;

	f->paid += paid;
	if (f->off < f->len || r->state != RL_RUN || dst == NULL || r->kind == RELAY_INNER ||
	    (dir == SP_REC_IN && r->pty)) {
		flow_keep(f, v.p, v.len, 0);
		if (r->kind == RELAY_INNER)
			forward_inner_pump(r);
		else
			relay_push(r, dir);
		return;
	}
	rec = flow_record(r, dir, v.p, v.len);
	if (r->state != RL_RUN)
		return;
	if (rec > 0 && (wrote = sp_channel_write(dst, stream, v.p, rec)) > 0)
		flow_went(f, src, wrote);
	if (wrote < v.len)
		flow_keep(f, v.p + wrote, v.len - wrote, rec - wrote);
}

void
relay_pump(struct relay *r)
{
	if (r->kind == RELAY_INNER) {
		forward_inner_pump(r);
		return;
	}
	if (r->target != NULL && r->target->asking == r) {
		struct flow *f = &r->flow[SP_REC_IN];
		size_t n = f->len - f->off;

		if (n > 0) {
			target_typed(r->target, r, f->p + f->off, n);
			sp_channel_consumed(r->near, n);
			relay_flow_drop(f);
		}
		return;
	}
	for (int dir = 0; dir < SP_REC_STREAMS && r->agent == NULL; dir++)
		relay_push(r, (enum sp_rec_stream)dir);
	files_pump(r);
	relay_settle(r);
}

void
relay_discard_typed(struct relay *r)
{
	struct flow *f = &r->flow[SP_REC_IN];

	if (r->near != NULL && f->len > f->off)
		sp_channel_consumed(r->near, f->len - f->off);
	relay_flow_drop(f);
	f->bytes = 0;
	if (r->menu != NULL)
		front_menu_discard(r);
}

void
relay_menu_early(struct relay *r)
{
	struct flow *f = &r->flow[SP_REC_IN];
	size_t n = f->len - f->off;
	uint8_t *p = f->p;
	struct sp_view v = { p != NULL ? p + f->off : NULL, n };

	f->p = NULL;
	f->off = f->len = f->cap = f->recorded = 0;
	f->bytes = 0;
	if (n > 0) {
		sp_channel_consumed(r->near, n);
		front_menu_input(r, v);
	}
	free(p);
}
