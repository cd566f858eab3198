/* src/scribe/scribe.c - the recorder of one session: its life, the disk, events, the end. Process: a child of the scribe
 * parent. What the session says is in said.c.
 *
 * Bytes come from the session, become lines of the recording, and are written at the latest 100 ms after they came (in age
 * chunks, or in a tail file) and made durable a second after that, by a thread, so that the session never waits for the
 * disk while the disk keeps up. Events go to the audit log through the spool.
 * Invariants: (1) REC_OPENED is sent only after header and START are durable here and START is acknowledged. (2) END is
 * written once, whatever ends first: the session's word, the session, or the disk. (3) Memory is bounded: when the spool
 * is full, or the disk does not take a write, the session's socket is not read. (4) The session is not believed: data of
 * a channel that it never opened, or a second REC_OPEN, ends the recording. (5) After an fsync error nothing is written
 * to that recording but its end. */
#include "scribe/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/jsonw.h"
#include "common/keep.h"
#include "sandbox/sandbox.h"
#include "scribe/segment.h"

#define FLUSH_US	(100 * SP_US_PER_MS)
#define SYNC_US		SP_US_PER_S
#define CHUNK_US	(60 * SP_US_PER_S)	/* between two "chunk" events, */
#define CHUNK_BYTES	(16u * 1024 * 1024)	/* or after so much */
#define STRICT_US	(5 * SP_US_PER_S)	/* that a session may take to end after its recording failed */
#define TURN_AGAIN_US	(10 * SP_US_PER_S)	/* between two questions for a further segment */
#define LINGER_US	(2 * SP_US_PER_S)	/* for watchers to read the end */

struct sync_job {
	struct sp_job	 job;
	struct scribe	*s;
	int		 fd[SP_REC_FILES + 2];	/* -1: nothing to do */
	enum sp_err	 err;
};

/* ---- disk ---- */

static void flush_later(struct scribe *s);
static void turn_now(struct scribe *s);
static void turn_ask(struct scribe *s);

/* Members that say which bytes of which file these hashes are of. */
static void
scribe_hashes(const struct scribe *s, struct sp_jsonw *j)
{
	uint8_t hash[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1];

	sp_jsonw_int(j, "segment", s->segment);
	sp_hex(s->rec.header_hash, SP_SHA256_LEN, hex);
	sp_jsonw_str(j, "header_sha256", hex);
	sp_jsonw_int(j, "payload_bytes", (int64_t)s->rec.payload_bytes);
	sp_sha256_now(&s->rec.payload, hash);
	sp_hex(hash, SP_SHA256_LEN, hex);
	sp_jsonw_str(j, "payload_sha256", hex);
}

static void
sync_work(struct sp_job *j)
{
	struct sync_job *k = sp_container(j, struct sync_job, job);

	for (size_t i = 0; i < SP_NELEMS(k->fd); i++)
		if (k->fd[i] >= 0 && fdatasync(k->fd[i]) == -1)
			k->err = SP_EIO;
}

static void
sync_later(struct scribe *s)
{
	if ((s->rec.dirty || s->spool.dirty) && !s->sync_on && !s->syncing && s->state != S_ENDED) {
		s->sync_on = 1;
		sp_timer_in(s->sync, SYNC_US);
	}
}

static void
sync_done(struct sp_job *j)
{
	struct sync_job *k = sp_container(j, struct sync_job, job);
	struct scribe *s = k->s;
	enum sp_err r = k->err;

	free(k);
	s->syncing = 0;
	if (r != SP_OK) {
		s->broken = 1;
		scribe_fail(s, r);
	}
	turn_now(s);
	sync_later(s);
}

static void
scribe_resume(struct scribe *s)
{
	struct sp_jsonw j;
	struct sp_buf b;

	if (s->strict || s->broken || s->state != S_OPEN || s->failed == SP_EFULL || (s->press != NULL && atomic_load(&s->press->stop)) || sp_recwriter_retry(&s->rec) != SP_OK)
		return;
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "kind", "gap");
	sp_jsonw_int(&j, "bytes", (int64_t)s->lost_bytes);
	if (sp_jsonw_end(&j) == SP_OK) {
		struct sp_view v = { b.p, b.len };

		if (sp_castlog_note(&s->log, sp_now_us(), v, 0) == SP_OK &&
		    sp_spool_append(&s->spool, "resumed", sp_wall_us(), sp_now_us(), v) == SP_OK)
			s->failed = SP_OK;
	}
	sp_buf_release(&b);
	scribe_pump(s);
}

static void
scribe_on_sync(struct sp_timer *t, void *arg)
{
	struct scribe *s = arg;
	struct sync_job *k;

	(void)t;
	s->sync_on = 0;
	if (s->failed != SP_OK)
		scribe_resume(s);
	if (s->failed != SP_OK && !s->strict && !s->broken && s->state == S_OPEN) {
		s->sync_on = 1;
		sp_timer_in(s->sync, SYNC_US);
	}
	if ((!s->rec.dirty && !s->spool.dirty) || s->state == S_ENDED)
		return;
	if ((s->pool == NULL && sp_pool_new(s->loop, 1, 2, &s->pool) != SP_OK) || (k = calloc(1, sizeof(*k))) == NULL) {
		scribe_fail(s, SP_ENOMEM);
		return;
	}
	*k = (struct sync_job){ .job = { .work = sync_work, .done = sync_done }, .s = s, .fd = { -1, -1, -1, -1, -1 } };
	if (s->rec.dirty) {	/* chunks before the tail that goes on behind them */
		k->fd[0] = s->rec.fd;
		k->fd[1] = s->rec.tail_fd[0];
		k->fd[2] = s->rec.tail_fd[1];
	}
	if (s->spool.dirty)
		k->fd[3] = s->spool.fd;
	if (s->kept.dirty)
		k->fd[4] = s->kept.fd;
	s->rec.dirty = s->spool.dirty = s->kept.dirty = 0;
	if (sp_pool_submit(s->pool, &k->job) != SP_OK) {
		free(k);
		scribe_fail(s, SP_EFULL);
		return;
	}
	s->syncing = 1;
}

/* What the audit log vouches for: the payload of the age file so far. */
static void
scribe_chunk(struct scribe *s)
{
	uint64_t now = sp_now_us(), more = s->rec.payload_bytes - s->chunk_bytes;
	struct sp_jsonw j;
	struct sp_buf b;

	if (more == 0 || (more < CHUNK_BYTES && now - s->chunk_us < CHUNK_US))
		return;
	s->chunk_us = now;
	s->chunk_bytes = s->rec.payload_bytes;
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	scribe_hashes(s, &j);
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_event(s, "chunk", &b);
	sp_buf_release(&b);
}

static void
scribe_flush(struct scribe *s)
{
	enum sp_err r = s->broken ? SP_OK : sp_recwriter_tick(&s->rec);

	if (r != SP_OK)
		scribe_fail(s, r);
	else
		scribe_chunk(s);
	sync_later(s);
}

/* What the recording is long, written or not. */
static uint64_t
scribe_length(const struct scribe *s)
{
	return s->rec.off + s->rec.packed.len;
}

static int
disk_is_low(const struct scribe *s)
{
	return s->rec.low || (s->press != NULL && atomic_load(&s->press->slow));
}

/* The disk is nearly full: slowly now (press.h). */
int
scribe_is_slow(const struct scribe *s)
{
	return disk_is_low(s) && s->failed == SP_OK && scribe_length(s) > s->tick_bytes + SP_PRESS_STEP;
}

static void
scribe_pressed(struct scribe *s)
{
	uint64_t avail;

	s->tick_bytes = scribe_length(s);
	if (s->rec.low && sp_fs_free(s->rec.fd, &avail) == SP_OK)
		s->rec.low = avail < s->rec.low_bytes;
	if (s->state == S_OPEN && s->press != NULL && atomic_load(&s->press->stop))
		scribe_fail(s, SP_ENOSPC);
	if (s->paused)
		flush_later(s);
	scribe_reading(s);
}

static void
scribe_on_flush(struct sp_timer *t, void *arg)
{
	struct scribe *s = arg;

	(void)t;
	s->flush_on = 0;
	if (s->state == S_ENDED)
		return;
	channels_settle(s, sp_now_us());
	scribe_flush(s);
	scribe_pressed(s);
	turn_ask(s);
	/* Input may wait for its echo, and zstd's memory for its end. */
	if (s->rec.zstd != NULL || s->settle)
		flush_later(s);
}

static void
flush_later(struct scribe *s)
{
	if (!s->flush_on) {
		s->flush_on = 1;
		sp_timer_in(s->flush, FLUSH_US);
	}
}

void
scribe_wrote(struct scribe *s, enum sp_err r, size_t bytes)
{
	if (r != SP_OK) {
		s->lost_bytes += bytes;
		scribe_fail(s, r);
	}
	flush_later(s);
}

void
scribe_note(struct scribe *s, const struct sp_buf *json)
{
	if (s->failed == SP_OK)
		scribe_wrote(s, sp_castlog_note(&s->log, sp_now_us(), (struct sp_view){ json->p, json->len }, 0), 0);
}

/* ---- a further segment ---- */

/* The lines of the new segment begin with a header of its own, and with what the terminal shows: it can be played alone. */
static enum sp_err
turn_header(struct scribe *s, uint64_t now)
{
	char id[SP_UUID_SIZE], hex[2 * SP_SHA256_LEN + 1], t[SP_RFC3339_SIZE], path[SP_REC_PATH], title[64];
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, 4096);
	sp_rec_segment_path(&s->id, s->segment, SP_REC_AGE, path);
	sp_hex(s->rec.header_hash, SP_SHA256_LEN, hex);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "version", SP_REC_VERSION);
	sp_jsonw_str(&j, "session", sp_uuid_text(&s->id, id));
	sp_jsonw_int(&j, "segment", s->segment);
	sp_jsonw_int(&j, "offset_us", (int64_t)(now - s->begun_us));
	sp_jsonw_str(&j, "started", sp_rfc3339(sp_wall_us(), t, sizeof(t)));
	sp_jsonw_str(&j, "recording", path);
	sp_jsonw_str(&j, "header_sha256", hex);
	(void)sp_snprintf(title, sizeof(title), "%s, segment %u", id, s->segment);
	if ((r = sp_jsonw_end(&j)) == SP_OK && (r = sp_castlog_header(&s->log, sp_wall_us(), title, (struct sp_view){ b.p, b.len })) == SP_OK)
		r = sp_castlog_again(&s->log, now);
	sp_buf_release(&b);
	return r;
}

/* The event that closes it says what the log vouches for. */
static enum sp_err
turn_close(struct scribe *s)
{
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "kind", "segment");
	sp_jsonw_int(&j, "next", s->segment + 1);
	if ((r = sp_jsonw_end(&j)) == SP_OK && (r = sp_castlog_note(&s->log, sp_now_us(), (struct sp_view){ b.p, b.len }, 0)) == SP_OK)
		r = sp_recwriter_finish(&s->rec);
	sp_buf_reset(&b);
	sp_jsonw_begin(&j, &b);
	scribe_hashes(s, &j);
	if (r == SP_OK && (r = sp_jsonw_end(&j)) == SP_OK)
		r = sp_spool_append(&s->spool, "segment", sp_wall_us(), sp_now_us(), (struct sp_view){ b.p, b.len });
	sp_buf_release(&b);
	return r;
}

static enum sp_err
turn_open(struct scribe *s)
{
	uint64_t now = sp_now_us(), low = s->rec.low_bytes, least = s->rec.min_free_bytes;
	int fd[SP_REC_FILES];
	enum sp_err r;

	memcpy(fd, s->turn_fd, sizeof(fd));
	for (int i = 0; i < SP_REC_FILES; i++)
		s->turn_fd[i] = -1;
	s->done_bytes += s->rec.off;
	sp_recwriter_release(&s->rec);
	s->segment++;
	if ((r = sp_recwriter_init(&s->rec, fd[SP_REC_AGE], &fd[SP_REC_TAIL0], s->to, s->to_n, now, least)) != SP_OK)
		return r;
	s->rec.low_bytes = low;
	if (s->quota_bytes > 0)
		s->rec.quota_bytes = s->quota_bytes > s->done_bytes ? s->quota_bytes - s->done_bytes : 1;
	s->chunk_us = now;
	s->chunk_bytes = s->rec.payload_bytes;
	s->tick_bytes = 0;
	if ((r = turn_header(s, now)) == SP_OK)
		r = sp_recwriter_tick(&s->rec);
	return r;
}

/* The files are here, and no thread has the old ones. */
static void
turn_now(struct scribe *s)
{
	enum sp_err r;

	if (s->turn_fd[0] < 0 || s->syncing)
		return;
	if (s->state != S_OPEN || s->failed != SP_OK || s->broken) {
		for (int i = 0; i < SP_REC_FILES; i++)
			sp_closep(&s->turn_fd[i]);	/* empty: the parent removes them */
		return;
	}
	if ((r = turn_close(s)) == SP_OK)
		r = turn_open(s);
	else
		s->broken = 1;		/* its end may be written already: nothing goes behind it */
	if (r != SP_OK)
		scribe_fail(s, r);
	scribe_pump(s);
}

static void
turn_answer(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	const Sallyport__RecFiles *f = (const Sallyport__RecFiles *)m->body;
	struct scribe *s = arg;

	(void)c;
	if (m->id != SP_MSG_REC_FILES || f->segment != s->segment + 1 || s->turn_fd[0] >= 0)
		return;
	if (f->err != SP_OK || m->nfds != SP_REC_FILES) {
		sp_warn("no further segment: %s", sp_err_text((enum sp_err)f->err));
		return;
	}
	for (int i = 0; i < SP_REC_FILES; i++)
		s->turn_fd[i] = sp_steal_fd(&m->fds[i]);
	turn_now(s);
}

static void
turn_answer_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct scribe *s = arg;

	(void)why;
	(void)what;
	sp_chan_free(c);
	s->answers = NULL;
	s->ask_again_us = UINT64_MAX;
}

/* Is it time? */
static void
turn_ask(struct scribe *s)
{
	uint64_t now = sp_now_us();

	if (s->state != S_OPEN || s->failed != SP_OK || s->turn_fd[0] >= 0 || now < s->ask_again_us || s->segment >= SP_REC_SEGMENTS_MAX ||
	    (s->rec.off < s->segment_bytes && now - s->rec.start_us < s->segment_us))
		return;
	s->ask_again_us = now + TURN_AGAIN_US;
	if (s->answers == NULL && (sp_chan_new(s->answer, SP_PROC_SCRIBE, SP_PROC_SCRIBE, turn_answer, turn_answer_close, s, &s->answers) != SP_OK ||
	    sp_chan_watch(s->answers, s->loop) != SP_OK)) {
		s->ask_again_us = UINT64_MAX;
		return;
	}
	if (sp_segment_ask(s->ask, &s->id, s->segment + 1, s->answer_far, s->rec.fd) != SP_OK)
		sp_warn("nobody is there to ask for a further segment");
}

/* ---- events ---- */

void
scribe_pump(struct scribe *s)
{
	if (s->control != NULL && s->spool.fd >= 0) {
		enum sp_err r = sp_spool_pump(&s->spool, s->control);

		if (r != SP_OK && r != SP_ECLOSED && r != SP_EFULL)
			scribe_fail(s, r);
	}
	sync_later(s);
}

void
scribe_event(struct scribe *s, const char *kind, const struct sp_buf *body)
{
	enum sp_err r = sp_spool_append(&s->spool, kind, sp_wall_us(), sp_now_us(), (struct sp_view){ body->p, body->len });

	if (r != SP_OK)
		scribe_fail(s, r);
	scribe_pump(s);
}

void
scribe_tell(struct scribe *s, uint16_t id, const void *body)
{
	if (s->session != NULL && sp_chan_send(s->session, id, 0, body, NULL, 0) != SP_OK)
		sp_warn("cannot answer the session");
}

static void
fail_text(const struct scribe *s, char *dst, size_t size)
{
	if (s->failed == SP_EFULL && s->quota_bytes > 0)
		(void)sp_snprintf(dst, size, "recording failed: this session has reached its quota of %llu MiB",
		    (unsigned long long)(s->quota_bytes >> 20));
	else if (s->press != NULL && atomic_load(&s->press->stop))
		(void)sp_snprintf(dst, size, "recording failed: the disk is nearly full, and this session writes most");
	else
		(void)sp_snprintf(dst, size, "recording failed: %s", sp_err_text(s->failed));
}

/* The recording cannot go on. Strict: the session is told to end, and cut off if it does not. */
void
scribe_fail(struct scribe *s, enum sp_err why)
{
	Sallyport__RecState st = SALLYPORT__REC_STATE__INIT;
	char text[256];
	struct sp_jsonw j;
	struct sp_buf b;

	if (s->failed != SP_OK || s->state == S_ENDED)
		return;
	s->failed = why;
	fail_text(s, text, sizeof(text));
	sp_error("%s", text);
	if (s->state != S_OPEN) {
		scribe_finish(s, text, "");
		return;
	}
	st.err = why;
	st.text = text;
	scribe_tell(s, SP_MSG_REC_STATE, &st);
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "text", text);
	sp_jsonw_bool(&j, "session_ends", s->strict);
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_event(s, "error", &b);
	sp_buf_release(&b);
	if (s->strict) {
		sp_timer_in(s->strict_end, STRICT_US);
	} else if (!s->sync_on) {
		s->sync_on = 1;
		sp_timer_in(s->sync, SYNC_US);
	}
}

static void
scribe_on_strict_end(struct sp_timer *t, void *arg)
{
	struct scribe *s = arg;
	char text[256];

	(void)t;
	fail_text(s, text, sizeof(text));
	scribe_finish(s, text, "");
}

/* ---- the end ---- */

static void
scribe_maybe_exit(struct scribe *s)
{
	if (s->state != S_ENDED || (!sp_list_empty(&s->watchers) && s->linger != NULL))
		return;
	if (s->spool.fd >= 0 && sp_spool_settled(&s->spool))
		sp_spool_finish(&s->spool);
	else if (s->spool.fd >= 0 && s->control != NULL)
		return;		/* acknowledgements will come, or control goes away */
	sp_loop_stop(s->loop);	/* what is left is delivered by the parent's replay child */
}

static void
scribe_on_linger(struct sp_timer *t, void *arg)
{
	struct scribe *s = arg;

	sp_timer_free(t);
	s->linger = NULL;
	sp_list_each(it, &s->watchers)
		sp_watch_free(sp_watch_of(it));
	scribe_maybe_exit(s);
}

/* with_hashes: for the audit log; the recording cannot hold its own. */
static void
end_json(struct scribe *s, const char *reason, const char *by, char t[SP_RFC3339_SIZE], struct sp_buf *b, int with_hashes)
{
	struct sp_jsonw j;

	sp_jsonw_begin(&j, b);
	if (!with_hashes)
		sp_jsonw_str(&j, "kind", "end");
	sp_jsonw_str(&j, "reason", reason);
	sp_jsonw_str(&j, "by", by);
	sp_jsonw_str(&j, "ended", sp_rfc3339(sp_wall_us(), t, SP_RFC3339_SIZE));
	sp_jsonw_int(&j, "bytes_in", (int64_t)s->bytes[SP_REC_IN]);
	sp_jsonw_int(&j, "bytes_out", (int64_t)s->bytes[SP_REC_OUT]);
	sp_jsonw_int(&j, "bytes_err", (int64_t)s->bytes[SP_REC_ERR]);
	if (s->lost_bytes > 0)
		sp_jsonw_int(&j, "bytes_not_recorded", (int64_t)s->lost_bytes);
	sp_jsonw_int(&j, "duration_us", (int64_t)(sp_now_us() - s->begun_us));
	sp_jsonw_str(&j, "recording", s->path);
	if (with_hashes)
		scribe_hashes(s, &j);
	if (sp_jsonw_end(&j) != SP_OK)
		sp_error("the end does not fit its place");
}

/* What the log vouches for of contents that were kept. */
static void
kept_end(struct scribe *s)
{
	uint8_t hash[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1];
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	if (s->kept.fd < 0 || s->kept.off == 0)
		return;
	if ((r = sp_kept_finish(&s->kept)) != SP_OK)
		sp_error("the end of the contents that were kept was not written: %s", sp_err_text(r));
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "files", s->kept.files);
	sp_hex(s->kept.header_hash, SP_SHA256_LEN, hex);
	sp_jsonw_str(&j, "header_sha256", hex);
	sp_jsonw_int(&j, "payload_bytes", (int64_t)s->kept.payload_bytes);
	sp_sha256_now(&s->kept.payload, hash);
	sp_hex(hash, SP_SHA256_LEN, hex);
	sp_jsonw_str(&j, "payload_sha256", hex);
	sp_jsonw_bool(&j, "whole", r == SP_OK);
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_event(s, "kept", &b);
	sp_buf_release(&b);
}

/* Contents cannot be kept any more. Strict: as if the recording had failed. */
void
scribe_kept_failed(struct scribe *s)
{
	char text[128];
	struct sp_jsonw j;
	struct sp_buf b;

	s->kept_told = 1;
	if (s->strict) {
		scribe_fail(s, s->kept.err);
		return;
	}
	(void)sp_snprintf(text, sizeof(text), "contents of files are no longer kept: %s", sp_err_text(s->kept.err));
	sp_error("%s", text);
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "text", text);
	sp_jsonw_bool(&j, "session_ends", 0);
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_event(s, "error", &b);
	sp_buf_release(&b);
}

static void
scribe_write_end(struct scribe *s, const char *reason, const char *by)
{
	struct sp_view v;
	char t[SP_RFC3339_SIZE];
	struct sp_buf b;
	enum sp_err r;

	sp_pool_free(s->pool);	/* waits for a running fdatasync */
	s->pool = NULL;
	channels_end(s);
	kept_end(s);
	sp_buf_init(&b, 65536);
	end_json(s, reason, by, t, &b, 0);
	v = (struct sp_view){ b.p, b.len };
	if ((r = s->broken ? SP_EIO : sp_castlog_note(&s->log, sp_now_us(), v, 1)) == SP_OK)
		r = sp_recwriter_finish(&s->rec);
	if (r != SP_OK)
		sp_error("the end of the recording was not written: %s", sp_err_text(r));
	sp_buf_reset(&b);
	end_json(s, reason, by, t, &b, 1);
	v = (struct sp_view){ b.p, b.len };
	if ((r = sp_spool_append(&s->spool, "end", sp_wall_us(), sp_now_us(), v)) == SP_OK)
		r = sp_spool_sync(&s->spool);
	if (r != SP_OK)
		sp_error("END is not durable: %s", sp_err_text(r));
	sp_buf_release(&b);
}

static void
session_close(struct scribe *s)
{
	sp_source_remove(s->session_io);
	s->session_io = NULL;
	sp_chan_free(s->session);
	s->session = NULL;
}

/* Nothing was recorded: the parent removes empty files. */
static void
files_forget(struct scribe *s)
{
	int fd[SP_REC_FILES] = { s->rec.fd, s->rec.tail_fd[0], s->rec.tail_fd[1] };

	for (int i = 0; i < SP_REC_FILES; i++)
		if (fd[i] >= 0)
			(void)!ftruncate(fd[i], 0);
}

void
scribe_finish(struct scribe *s, const char *reason, const char *by)
{
	if (s->state == S_ENDED)
		return;
	if (s->state == S_WAIT) {
		/* There is nothing to tell; the parent removes empty files. */
		if (s->spool.fd >= 0)
			sp_spool_finish(&s->spool);
		files_forget(s);
		s->state = S_ENDED;
		sp_loop_stop(s->loop);
		return;
	}
	s->state = S_ENDED;
	scribe_write_end(s, reason, by);
	session_close(s);
	intake_close(s);
	sp_chan_free(s->monitor);	/* tells the monitor that the end is on disk */
	s->monitor = NULL;
	(void)sp_snprintf(s->end_reason, sizeof(s->end_reason), "%s", reason);
	sp_list_each(it, &s->watchers)
		sp_watch_end(sp_watch_of(it), s->end_reason);
	if (sp_list_empty(&s->watchers) || sp_timer_new(s->loop, scribe_on_linger, s, &s->linger) != SP_OK)
		s->linger = NULL;
	else
		sp_timer_in(s->linger, LINGER_US);
	scribe_pump(s);
	scribe_maybe_exit(s);
}

/* Stop reading the session while events cannot be kept. */
void
scribe_reading(struct scribe *s)
{
	int full = s->spool.fd >= 0 && sp_spool_full(&s->spool), slow = scribe_is_slow(s), pause = !s->hung_up && (full || slow);

	if (s->session_io == NULL)
		return;
	if (slow)
		flush_later(s);
	else if (pause != s->paused && (full || !s->slowed))
		sp_info(pause ? "the spool is full: input waits" : "input goes on");
	if (s->paused && !pause)
		intake_look(s);
	s->paused = pause;
	s->slowed = slow;
	sp_source_events(s->session_io, (pause ? 0 : (uint32_t)EPOLLIN) |
	    (sp_chan_want_write(s->session) ? (uint32_t)EPOLLOUT : 0));
}

static void
scribe_on_session(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct scribe *s = arg;

	(void)chan;
	if (s->state != S_ENDED)
		intake_before(s);
	if (s->state != S_ENDED)
		said(s, m);
}

static void
scribe_on_session_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct scribe *s = arg;

	(void)chan;
	sp_source_remove(s->session_io);	/* the descriptor is closed, but its number is not used again yet */
	s->session_io = NULL;
	if (s->state != S_ENDED)
		intake_rest(s);
	if (why != SP_ECLOSED) {
		sp_error("bad message %s from the session: %s", what, sp_err_text(why));
		scribe_finish(s, "the session broke the recording protocol", "");
	} else {
		scribe_finish(s, "session process died", "");
	}
}

static void
scribe_on_session_io(struct sp_source *src, uint32_t events, void *arg)
{
	struct scribe *s = arg;

	(void)src;
	/* The rest of a dead session is bounded by its socket: take it even when the spool is full. */
	if (events & (EPOLLHUP | EPOLLERR))
		s->hung_up = 1;
	if (!disk_is_low(s) || s->hung_up) {
		sp_chan_on_io(s->session, !s->paused || s->hung_up, (events & EPOLLOUT) != 0);
	} else {	/* one by one: a batch would be megabytes */
		sp_chan_on_io(s->session, 0, (events & EPOLLOUT) != 0);
		for (int i = 0; i < 64 && !s->paused && s->session != NULL && !scribe_is_slow(s) && !intake_behind(s); i++)
			if (sp_chan_wait(s->session, 0) != SP_OK)
				break;
	}
	scribe_reading(s);
}

/* ---- control and monitor ---- */

static void
control_ack(struct scribe *s, const Sallyport__EventAck *a)
{
	if (a->session_id.len != SP_UUID_LEN || memcmp(a->session_id.data, s->id.b, SP_UUID_LEN) != 0 || s->spool.fd < 0)
		return;
	sp_spool_ack(&s->spool, a->seq);
	if (s->state == S_START && s->spool.acked_seq >= 1) {
		s->state = S_OPEN;
		scribe_opened(s, SP_OK, "");
	}
	scribe_pump(s);
	scribe_reading(s);
	scribe_maybe_exit(s);
}

static void
scribe_on_control(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct scribe *s = arg;

	(void)chan;
	if (m->id == SP_MSG_EVENT_ACK)
		control_ack(s, (const Sallyport__EventAck *)m->body);
	else if (m->id == SP_MSG_WATCH)
		watchers_add(s, ((const Sallyport__Watch *)m->body)->channel, sp_steal_fd(&m->fds[0]));
}

static void
scribe_on_control_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct scribe *s = arg;

	if (why != SP_ECLOSED)
		sp_error("bad message %s from control: %s", what, sp_err_text(why));
	if (chan == s->control)
		s->control = NULL;
	sp_chan_free(chan);
	scribe_maybe_exit(s);
}

static void
control_attach(struct scribe *s, int fd)
{
	sp_chan_free(s->control);
	s->control = NULL;
	if (sp_chan_new(fd, SP_PROC_SCRIBE, SP_PROC_CONTROL, scribe_on_control, scribe_on_control_close, s, &s->control) != SP_OK)
		return;
	if (sp_chan_watch(s->control, s->loop) != SP_OK) {
		sp_chan_free(s->control);
		s->control = NULL;
		return;
	}
	sp_spool_rewind(&s->spool);
	scribe_pump(s);
}

static void
scribe_on_monitor(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct scribe *s = arg;

	(void)chan;
	if (m->id == SP_MSG_PEER && ((const Sallyport__Peer *)m->body)->kind == SP_PROC_CONTROL)
		control_attach(s, sp_steal_fd(&m->fds[0]));
	else if (m->id == SP_MSG_KILL)
		scribe_finish(s, ((const Sallyport__Kill *)m->body)->reason, ((const Sallyport__Kill *)m->body)->by);
}

/* Sessions outlive the monitor. */
static void
scribe_on_monitor_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct scribe *s = arg;

	(void)why;
	(void)what;
	sp_chan_free(chan);
	s->monitor = NULL;
}

/* ---- birth ---- */

static enum sp_err
scribe_wire(struct scribe *s, struct sp_scribe_birth *b)
{
	enum sp_err r;

	if ((r = sp_loop_new(&s->loop)) != SP_OK || (r = sp_htab_init(&s->channels)) != SP_OK ||
	    (r = sp_timer_new(s->loop, scribe_on_flush, s, &s->flush)) != SP_OK ||
	    (r = sp_timer_new(s->loop, scribe_on_sync, s, &s->sync)) != SP_OK ||
	    (r = sp_timer_new(s->loop, scribe_on_strict_end, s, &s->strict_end)) != SP_OK ||
	    (r = sp_chan_new(b->session_fd, SP_PROC_SCRIBE, SP_PROC_SESSION, scribe_on_session, scribe_on_session_close, s,
	    &s->session)) != SP_OK ||
	    (r = sp_chan_new(b->monitor_fd, SP_PROC_SCRIBE, SP_PROC_MONITOR, scribe_on_monitor, scribe_on_monitor_close, s,
	    &s->monitor)) != SP_OK || (r = sp_chan_watch(s->monitor, s->loop)) != SP_OK)
		return r;
	return sp_loop_add(s->loop, sp_chan_fd(s->session), EPOLLIN, scribe_on_session_io, s, &s->session_io);
}

enum sp_err
sp_scribe_plan(struct sp_sandbox_plan **ret)
{
	static const char *const none[] = { NULL };
	/* Files for the sake of fallocate(2); no directory, so nothing can be opened. */
	const struct sp_sandbox box = { .may = SP_MAY_FILES | SP_MAY_THREADS, .user = "", .rw = none, .ro = none,
	    .files_n = 64 };

	return sp_sandbox_plan_new(&box, ret);
}

/* Recording and spool are made, and their names durable, before the sandbox closes: from then on this process opens
 * nothing, and between REC_OPEN and REC_OPENED only contents are left to be synced. */
static enum sp_err
birth_files(struct scribe *s, const struct sp_scribe_birth *b)
{
	struct sp_scribe_files f;
	enum sp_err r;

	if (b->to_n == 0)
		return SP_EINVAL;	/* nobody could ever read it */
	if ((r = sp_scribe_files(b->recordings, &s->id, 1, b->reserve_bytes * (b->reserved ? 1 : SP_PRESS_HARD), &f)) != SP_OK)
		return r;
	/* A running recording may use up half of the reserve, so that it ends in order. */
	if ((r = sp_recwriter_init(&s->rec, f.fd[SP_REC_AGE], &f.fd[SP_REC_TAIL0], b->to, b->to_n, sp_now_us(),
	    b->reserve_bytes / 2)) != SP_OK || (r = sp_spool_create(b->spool, &s->id, &s->spool)) != SP_OK)
		return r;
	s->rec.quota_bytes = s->quota_bytes = b->quota_bytes;
	s->begun_us = s->rec.start_us;
	s->rec.low_bytes = b->reserve_bytes * SP_PRESS_LOW;
	s->output = (b->keep & SP_KEEP_OUTPUT) != 0;
	if ((b->keep & SP_KEEP_FILES) != 0) {
		int fd = -1;

		if ((r = sp_scribe_kept_file(b->recordings, &s->id, &fd)) != SP_OK)
			return r;
		sp_kept_init(&s->kept, fd, b->keep & SP_KEEP_FILES, b->keep_max, b->reserve_bytes / 2);
	}
	return fsync(b->spool) == -1 ? SP_EIO : SP_OK;
}

void
sp_scribe_main(struct sp_scribe_birth *b)
{
	static struct scribe s;
	const char *step = "channels";
	int pair[2];
	enum sp_err r;

	s = (struct scribe){ .id = b->session, .rec = { .fd = -1, .tail_fd = { -1, -1 } }, .spool = { .fd = -1 }, .kept = { .fd = -1 },
	    .reserve_bytes = b->reserve_bytes, .reserved = b->reserved, .press = b->press, .to_n = b->to_n,
	    .segment = 1, .segment_bytes = b->segment_bytes, .segment_us = b->segment_us, .ask = b->ask, .answer = -1, .answer_far = -1,
	    .turn_fd = { -1, -1, -1 } };
	memcpy(s.to, b->to, sizeof(s.to));
	sp_list_init(&s.watchers);
	sp_rec_path(&s.id, SP_REC_AGE, s.path);
	sp_castlog_init(&s.log, &s.rec);
	(void)mallopt(M_ARENA_MAX, 1);	/* the syncing thread needs no heap of its own */
	s.open_err = birth_files(&s, b);
	if (sp_chan_pair(pair) != SP_OK)
		sp_die(71, "cannot start a recorder: no socket");
	s.answer = pair[0];
	s.answer_far = pair[1];
	close(b->recordings);
	close(b->spool);
	if ((r = scribe_wire(&s, b)) != SP_OK || (r = sp_sandbox_enter_plan(b->box, &step)) != SP_OK)
		sp_die(71, "cannot start a recorder: %s: %s", step, sp_err_text(r));
	control_attach(&s, b->control_fd);
	(void)malloc_trim(0);
	r = sp_loop_run(s.loop);
	_exit(sp_err_exit(r));
}
