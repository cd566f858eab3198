/* src/session/target_rec.c - a target's recording: its scribe's channel, opened before anything else is done, fed, ended.
 * Process: session. Invariants: (1) a recording that fails ends the target, but for a mode that says otherwise. (2) A scribe
 * that is full makes its senders wait (target_record takes less): nothing is kept here, and nothing goes on unrecorded. */
#include "session/target_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/ring.h"

/* A scribe's channel that arrived before control's answer. */
struct early {
	struct sp_list	link;
	struct sp_uuid	id;
	int		fd;
};

void
target_scribe(struct target *t, uint16_t id, const void *body)
{
	if (t->scribe == NULL)
		return;
	t->told++;
	if (sp_chan_send(t->scribe, id, 0, body, NULL, 0) != SP_OK && t->state != TG_ENDED)
		target_end(t, "recording failed", "", "The recording failed, so the session ends");
}

static void
target_pump(struct target *t)
{
	sp_list_each(it, &t->s->relays) {
		struct relay *r = sp_container(it, struct relay, link);

		if (r->target == t)
			relay_pump(r);
	}
}

static void
target_on_room(struct sp_source *src, uint32_t events, void *arg)
{
	struct target *t = arg;

	sp_source_events(src, 0);
	if (events & (EPOLLHUP | EPOLLERR)) {
		sp_source_remove(t->scribe_room);	/* the channel itself reports it */
		t->scribe_room = NULL;
		sp_closep(&t->scribe_fd);
	}
	target_pump(t);
}

static void
target_await_room(struct target *t)
{
	if (t->scribe_room == NULL && t->scribe_fd < 0 &&
	    ((t->scribe_fd = fcntl(sp_chan_fd(t->scribe), F_DUPFD_CLOEXEC, 0)) == -1 ||
	    sp_loop_add(t->s->loop, t->scribe_fd, EPOLLOUT, target_on_room, t, &t->scribe_room) != SP_OK)) {
		sp_closep(&t->scribe_fd);
		target_end(t, "recording failed", "", "The recording failed, so the session ends");
		return;
	}
	if (t->scribe_room != NULL)
		sp_source_events(t->scribe_room, EPOLLOUT);
}

/* ---- the ring */

/* Memory of a burst goes back when the burst is over. */
static void
target_on_ring_quiet(struct sp_timer *tm, void *arg)
{
	struct target *t = arg;

	if (!t->ring_used) {
		sp_ring_trim(t->ring);
		return;
	}
	t->ring_used = 0;
	sp_timer_in(tm, SP_US_PER_S);
}

/* Without it the socket does. */
static void
target_ring_open(struct target *t, int fd)
{
	enum sp_err r;

	if (t->ring != NULL)
		return;
	if ((r = sp_timer_new(t->s->loop, target_on_ring_quiet, t, &t->ring_quiet)) == SP_OK)
		r = sp_ring_open(fd, &t->ring);
	if (r != SP_OK)
		sp_warn("the recorder's ring cannot be used: %s", sp_err_text(r));
}

void
target_ring_close(struct target *t)
{
	sp_timer_free(t->ring_quiet);
	t->ring_quiet = NULL;
	sp_ring_free(t->ring);
	t->ring = NULL;
}

/* SP_EAGAIN: REC_ROOM will come. */
static enum sp_err
target_ring_put(struct target *t, const struct sp_recdata *head, const uint8_t *p, size_t n)
{
	const Sallyport__Empty none = SALLYPORT__EMPTY__INIT;
	int wake = 0;
	enum sp_err r;

	while ((r = sp_ring_put(t->ring, t->told, head, p, n, &wake)) == SP_EAGAIN)
		if (sp_ring_await(t->ring))
			return r;
	if (r != SP_OK)
		return r;
	if (!t->ring_used && t->ring_quiet != NULL)
		sp_timer_in(t->ring_quiet, SP_US_PER_S);
	t->ring_used = 1;
	if (wake)
		target_scribe(t, SP_MSG_REC_WAKE, &none);
	return SP_OK;
}

size_t
target_record(struct target *t, uint32_t channel, enum sp_rec_stream stream, const uint8_t *p, size_t n, int bulk)
{
	struct sp_recdata head = { .channel = channel, .stream = (uint8_t)stream, .at_us = sp_now_us() };
	size_t done = 0;

	while (done < n && t->scribe != NULL) {
		size_t len = n - done < SP_REC_CHUNK ? n - done : SP_REC_CHUNK;
		int ring = bulk && t->ring != NULL;
		enum sp_err r = ring ? target_ring_put(t, &head, p + done, len) :
		    sp_chan_send_raw(t->scribe, SP_MSG_REC_DATA, &head, sizeof(head), p + done, len);

		if (r == SP_EAGAIN) {
			if (!ring)
				target_await_room(t);
			return done;
		}
		t->told += !ring;
		if (r != SP_OK) {
			target_end(t, "recording failed", "", "The recording failed, so the session ends");
			return done;
		}
		done += len;
	}
	return done;
}

void
target_rec_end(struct target *t, const char *reason, const char *by)
{
	Sallyport__RecEnd e = SALLYPORT__REC_END__INIT;

	if (t->rec_ended || !t->rec_asked)
		return;
	t->rec_ended = 1;
	e.reason = (char *)(uintptr_t)reason;
	e.by = (char *)(uintptr_t)by;
	t->told++;
	if (t->scribe != NULL && sp_chan_send(t->scribe, SP_MSG_REC_END, 0, &e, NULL, 0) != SP_OK)
		sp_warn("the end of a recording could not be told to its scribe");
}

/* text: as the recorder says it, "recording failed: why". */
static void
target_failed_recording(struct target *t, const char *text)
{
	const char *why = strncmp(text, "recording failed: ", 18) == 0 ? text + 18 : "";
	char line[SESSION_TEXT], reason[256];

	(void)sp_strlcpy(reason, *why != '\0' ? text : "recording failed", sizeof(reason));
	(void)sp_snprintf(line, sizeof(line), "The recording failed%s%s, so the session ends", *why != '\0' ? ": " : "", why);
	target_end(t, reason, "", line);
}

static void
target_on_scribe_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct target *t = arg;

	(void)c;
	if (m->id == SP_MSG_REC_OPENED) {
		Sallyport__RecOpened *o = (Sallyport__RecOpened *)m->body;

		if (o->err != SP_OK) {
			char line[SESSION_TEXT];

			(void)sp_snprintf(line, sizeof(line), "The recording cannot be opened, so there is no session: %s",
			    o->text[0] != '\0' ? o->text : sp_err_text((enum sp_err)o->err));
			target_fail(t, line, o->text);
		} else {
			t->recording = 1;
			target_go_on(t);
		}
	} else if (m->id == SP_MSG_REC_RING) {
		target_ring_open(t, m->fds[0]);
	} else if (m->id == SP_MSG_REC_ROOM) {
		target_pump(t);
	} else if (m->id == SP_MSG_LINE_REPLY) {
		const Sallyport__LineReply *l = (Sallyport__LineReply *)m->body;

		sp_list_each(it, &t->s->relays) {
			struct relay *r = sp_container(it, struct relay, link);

			if (r->target == t && r->number == l->channel && r->state == RL_RUN)
				hold_answer(r, l);
		}
	} else if (m->id == SP_MSG_REC_STATE) {
		Sallyport__RecState *st = (Sallyport__RecState *)m->body;

		if (st->err == SP_OK)
			return;
		if (t->policy != NULL && strcmp(t->policy->record_mode, "best-effort") == 0)
			sp_warn("recording failed, going on as configured: %s", st->text);
		else
			target_failed_recording(t, st->text);
	}
}

static void
target_on_scribe_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct target *t = arg;

	(void)why;
	(void)what;
	sp_source_remove(t->scribe_room);
	t->scribe_room = NULL;
	sp_closep(&t->scribe_fd);
	target_ring_close(t);
	t->scribe = NULL;
	sp_chan_free(c);
	if (t->state == TG_ENDED)
		session_sweep_soon(t->s);
	else
		target_end(t, "recording failed", "", "The recording failed, so the session ends");
}

static void
target_record_open(struct target *t, int fd)
{
	Sallyport__RecOpen o = SALLYPORT__REC_OPEN__INIT;
	enum sp_err r;

	if ((r = sp_chan_new(fd, SP_PROC_SESSION, SP_PROC_SCRIBE, target_on_scribe_msg, target_on_scribe_close, t,
	    &t->scribe)) != SP_OK || (r = sp_chan_watch(t->scribe, t->s->loop)) != SP_OK) {
		target_fail(t, "The recording cannot be opened, so there is no session", sp_err_text(r));
		return;
	}
	o.session_id = target_id(t);
	o.header = t->reply->header;
	o.record_mode = t->policy->record_mode;
	o.record_max_bytes = t->policy->record_max_bytes;
	o.ring = 1;
	t->rec_asked = 1;
	target_scribe(t, SP_MSG_REC_OPEN, &o);
}

void
target_on_scribe(struct session *s, const uint8_t *id, size_t n, int fd)
{
	struct target *t = target_find(s, id, n);
	struct early *e;

	if (t != NULL && !t->rec_asked) {
		target_record_open(t, fd);
		return;
	}
	if (t != NULL || n != SP_UUID_LEN || (e = calloc(1, sizeof(*e))) == NULL) {
		sp_closep(&fd);
		return;
	}
	memcpy(e->id.b, id, n);
	e->fd = fd;
	sp_list_init(&e->link);
	sp_list_add_tail(&s->links, &e->link);
}

void
target_take_early(struct target *t)
{
	sp_list_each(it, &t->s->links) {
		struct early *e = sp_container(it, struct early, link);

		if (!sp_uuid_equal(&e->id, &t->id))
			continue;
		sp_list_remove(&e->link);
		target_record_open(t, e->fd);
		free(e);
		return;
	}
}
