/* src/scribe/scribe.c - the recorder of one session. Process: a child of the scribe parent.
 *
 * Bytes come from the session, go through a small buffer into the recording, and are written at the latest 100 ms after
 * they came and made durable a second after that, by a thread, so that the session never waits for the disk while the
 * disk keeps up. Events go to the audit log through the spool.
 * Invariants: (1) REC_OPENED is sent only after header and START are durable here and START is acknowledged. (2) END is
 * written once, whatever ends first: the session's word, the session, or the disk. (3) Memory is bounded: when the spool
 * is full, or the disk does not take a write, the session's socket is not read. (4) The session is not believed: data of
 * a channel that it never opened, or a second REC_OPEN, ends the recording. (5) After an fsync error nothing is written
 * to that recording but its end. */
#include "scribe/scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/htab.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/pool.h"
#include "ipc/chan.h"
#include "ipc/recdata.h"
#include "sallyport.pb-c.h"
#include "sandbox/sandbox.h"
#include "common/jsonw.h"
#include "scribe/recwriter.h"
#include "scribe/spool.h"
#include "scribe/watch.h"

#define FLUSH_US	(100 * SP_US_PER_MS)
#define SYNC_US		SP_US_PER_S
#define STRICT_US	(5 * SP_US_PER_S)	/* that a session may take to end after its recording failed */
#define LINGER_US	(2 * SP_US_PER_S)	/* for watchers to read the end */
#define CHANNELS_MAX	4096
#define MARKS		17			/* places in a terminal's output where a watcher can begin */
#define MARK_EVERY	(SP_WATCH_REPLAY / (MARKS - 1))
#define DETAIL_IN_EVENT	20000			/* bytes of a command that an event holds; the recording holds all */

enum scribe_state { S_WAIT, S_START, S_OPEN, S_ENDED };

struct channel {
	struct sp_hnode	node;
	uint32_t	id;
	int		pty, ended;
	uint32_t	cols, rows;
	uint64_t	bytes[SP_REC_STREAMS];
	uint8_t		cut[SP_REC_STREAMS];	/* the rest is only counted */
	uint64_t	since_mark;
	struct sp_watch_at *mark;		/* pty only: MARKS of them, a ring */
	unsigned	mark_n;
};
struct scribe {
	struct sp_loop	*loop;
	struct sp_chan	*session, *control, *monitor;
	struct sp_source *session_io;
	enum scribe_state state;
	enum sp_err	open_err;		/* why there are no files */
	struct sp_uuid	id;
	char		path[SP_SCRIBE_PATH_MAX];
	struct sp_recwriter rec;
	struct sp_spool	spool;
	int		strict;
	uint64_t	reserve_bytes, channel_max;
	struct sp_htab	channels;
	struct channel	*newest_pty;
	uint64_t	bytes[SP_REC_STREAMS], lost_bytes;
	enum sp_err	failed;			/* the recording stands still */
	int		broken;			/* ... for good: fsync failed */
	struct sp_list	watchers;
	struct sp_timer	*flush, *sync, *strict_end, *linger;
	int		flush_on, sync_on, syncing, paused, hung_up;
	struct sp_pool	*pool;
	char		end_reason[512];
};
struct sync_job {
	struct sp_job	 job;
	struct scribe	*s;
	int		 rec_fd, spool_fd;
	enum sp_err	 err;
};

static void scribe_finish(struct scribe *s, const char *reason, const char *by);
static void scribe_fail(struct scribe *s, enum sp_err why);
static void scribe_pump(struct scribe *s);

/* ---- files ---- */

void
sp_scribe_path(const struct sp_uuid *session, int64_t wall_us, char dst[SP_SCRIBE_PATH_MAX])
{
	char t[SP_RFC3339_SIZE], id[SP_UUID_SIZE];

	(void)sp_rfc3339(wall_us, t, sizeof(t));
	(void)sp_snprintf(dst, SP_SCRIBE_PATH_MAX, "%.4s/%.2s/%.2s/%s.rec", t, t + 5, t + 8, sp_uuid_text(session, id));
}

/* Open dir/name below dirfd, make it if need be, durable in its parent. Closes dirfd. */
static enum sp_err
files_enter(int dirfd, const char *name, int *ret)
{
	enum sp_err r = SP_OK;
	int fd, made = mkdirat(dirfd, name, 0700) == 0;

	if (!made && errno != EEXIST)
		r = sp_err_errno(errno);
	else if (made && fsync(dirfd) == -1)
		r = SP_EIO;
	else if ((fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		r = sp_err_errno(errno);
	else
		*ret = fd;
	close(dirfd);
	return r;
}

/* Recording and spool are made, and their names durable, before the sandbox closes: from then on this process opens
 * nothing, and between REC_OPEN and REC_OPENED only contents are left to be synced. */
static enum sp_err
files_create(struct scribe *s, const struct sp_scribe_birth *b, int *ret_rec)
{
	sp_auto(sp_closep) int day = -1;
	char part[3][8];
	int fd = dup(b->recordings);
	uint64_t avail = 0;
	enum sp_err r;

	if (fd == -1)
		return sp_err_errno(errno);
	(void)sp_snprintf(part[0], sizeof(part[0]), "%.4s", b->path);
	(void)sp_snprintf(part[1], sizeof(part[1]), "%.2s", b->path + 5);
	(void)sp_snprintf(part[2], sizeof(part[2]), "%.2s", b->path + 8);
	for (int i = 0; i < 3; i++)
		if ((r = files_enter(fd, part[i], &fd)) != SP_OK)
			return r;
	day = fd;
	if ((r = sp_fs_free(day, &avail)) != SP_OK)
		return r;
	if (avail < b->reserve_bytes)
		return SP_ENOSPC;
	fd = openat(day, b->path + 11, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return sp_err_errno(errno);
	if ((r = sp_spool_create(b->spool, &s->id, &s->spool)) == SP_OK && (fsync(b->spool) == -1 || fsync(day) == -1))
		r = SP_EIO;
	if (r != SP_OK) {
		close(fd);
		return r;
	}
	*ret_rec = fd;
	return SP_OK;
}

/* ---- disk ---- */

static void
sync_work(struct sp_job *j)
{
	struct sync_job *k = sp_container(j, struct sync_job, job);

	if (k->rec_fd >= 0 && fdatasync(k->rec_fd) == -1)
		k->err = SP_EIO;
	if (k->spool_fd >= 0 && fdatasync(k->spool_fd) == -1)
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
	sync_later(s);
}

static void
scribe_resume(struct scribe *s)
{
	struct sp_rec rec = { .type = SP_REC_T_MARKER };
	struct sp_jsonw j;
	struct sp_buf b;

	if (s->strict || s->broken || s->state != S_OPEN || sp_recwriter_retry(&s->rec) != SP_OK)
		return;
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "marker", "gap");
	sp_jsonw_int(&j, "bytes", (int64_t)s->lost_bytes);
	if (sp_jsonw_end(&j) == SP_OK) {
		rec.data = (struct sp_view){ b.p, b.len };
		if (sp_recwriter_put(&s->rec, &rec, sp_now_us(), 0) == SP_OK &&
		    sp_spool_append(&s->spool, "resumed", sp_wall_us(), sp_now_us(), rec.data) == SP_OK)
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
	*k = (struct sync_job){ .job = { .work = sync_work, .done = sync_done }, .s = s,
	    .rec_fd = s->rec.dirty ? s->rec.fd : -1, .spool_fd = s->spool.dirty ? s->spool.fd : -1 };
	s->rec.dirty = s->spool.dirty = 0;
	if (sp_pool_submit(s->pool, &k->job) != SP_OK) {
		free(k);
		scribe_fail(s, SP_EFULL);
		return;
	}
	s->syncing = 1;
}

static void
scribe_flush(struct scribe *s)
{
	enum sp_err r = sp_recwriter_flush(&s->rec);

	if (r != SP_OK)
		scribe_fail(s, r);
	sync_later(s);
	sp_list_each(it, &s->watchers)
		sp_watch_advance(sp_watch_of(it), s->rec.off);
}

static void
scribe_on_flush(struct sp_timer *t, void *arg)
{
	struct scribe *s = arg;

	(void)t;
	s->flush_on = 0;
	if (s->state != S_ENDED)
		scribe_flush(s);
}

static void
flush_later(struct scribe *s)
{
	if (s->rec.n > 0 && !s->flush_on) {
		s->flush_on = 1;
		sp_timer_in(s->flush, FLUSH_US);
	}
}

/* Put one record; a failure is dealt with here. */
static void
scribe_put(struct scribe *s, struct sp_rec *rec, uint64_t at_us)
{
	enum sp_err r;

	if (s->failed != SP_OK) {
		s->lost_bytes += rec->data.len;
		return;
	}
	if ((r = sp_recwriter_put(&s->rec, rec, at_us, 0)) != SP_OK) {
		s->lost_bytes += rec->data.len;
		scribe_fail(s, r);
	}
	flush_later(s);
	sync_later(s);
}

static void
scribe_put_json(struct scribe *s, enum sp_rec_type type, uint32_t channel, const struct sp_buf *b)
{
	struct sp_rec rec = { .type = (uint8_t)type, .channel = channel, .data = { b->p, b->len } };

	scribe_put(s, &rec, sp_now_us());
}

/* ---- events ---- */

static void
scribe_pump(struct scribe *s)
{
	if (s->control != NULL && s->spool.fd >= 0) {
		enum sp_err r = sp_spool_pump(&s->spool, s->control);

		if (r != SP_OK && r != SP_ECLOSED && r != SP_EFULL)
			scribe_fail(s, r);
	}
	sync_later(s);
}

static void
scribe_event(struct scribe *s, const char *kind, const struct sp_buf *body)
{
	enum sp_err r = sp_spool_append(&s->spool, kind, sp_wall_us(), sp_now_us(), (struct sp_view){ body->p, body->len });

	if (r != SP_OK)
		scribe_fail(s, r);
	scribe_pump(s);
}

static void
scribe_tell(struct scribe *s, uint16_t id, const void *body)
{
	if (s->session != NULL && sp_chan_send(s->session, id, 0, body, NULL, 0) != SP_OK)
		sp_warn("cannot answer the session");
}

/* The recording cannot go on. Strict: the session is told to end, and cut off if it does not. */
static void
scribe_fail(struct scribe *s, enum sp_err why)
{
	Sallyport__RecState st = SALLYPORT__REC_STATE__INIT;
	char text[128];
	struct sp_jsonw j;
	struct sp_buf b;

	if (s->failed != SP_OK || s->state == S_ENDED)
		return;
	s->failed = why;
	(void)sp_snprintf(text, sizeof(text), "recording failed: %s", sp_err_text(why));
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
	char text[128];

	(void)t;
	(void)sp_snprintf(text, sizeof(text), "recording failed: %s", sp_err_text(s->failed));
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

static void
scribe_write_end(struct scribe *s, const char *reason, const char *by)
{
	struct sp_rec rec = { .type = SP_REC_T_END };
	char t[SP_RFC3339_SIZE];
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	sp_pool_free(s->pool);	/* waits for a running fdatasync */
	s->pool = NULL;
	sp_buf_init(&b, 65536);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "reason", reason);
	sp_jsonw_str(&j, "by", by);
	sp_jsonw_str(&j, "ended", sp_rfc3339(sp_wall_us(), t, sizeof(t)));
	sp_jsonw_int(&j, "bytes_in", (int64_t)s->bytes[SP_REC_IN]);
	sp_jsonw_int(&j, "bytes_out", (int64_t)s->bytes[SP_REC_OUT]);
	sp_jsonw_int(&j, "bytes_err", (int64_t)s->bytes[SP_REC_ERR]);
	if (s->lost_bytes > 0)
		sp_jsonw_int(&j, "bytes_not_recorded", (int64_t)s->lost_bytes);
	sp_jsonw_int(&j, "duration_us", (int64_t)(sp_now_us() - s->rec.start_us));
	sp_jsonw_str(&j, "recording", s->path);
	if ((r = sp_jsonw_end(&j)) == SP_OK) {
		if (sp_recwriter_flush(&s->rec) != SP_OK)
			sp_error("the last bytes before the end were not written");
		rec.data = (struct sp_view){ b.p, b.len };
		if ((r = sp_recwriter_put(&s->rec, &rec, sp_now_us(), 1)) == SP_OK)
			r = sp_recwriter_finish(&s->rec);
		if (r != SP_OK)
			sp_error("the end of the recording was not written: %s", sp_err_text(r));
		if ((r = sp_spool_append(&s->spool, "end", sp_wall_us(), sp_now_us(), rec.data)) == SP_OK)
			r = sp_spool_sync(&s->spool);
	}
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

static void
scribe_finish(struct scribe *s, const char *reason, const char *by)
{
	if (s->state == S_ENDED)
		return;
	if (s->state == S_WAIT) {
		/* There is nothing to tell; the parent removes empty files. */
		if (s->spool.fd >= 0)
			sp_spool_finish(&s->spool);
		if (s->rec.fd >= 0)
			(void)!ftruncate(s->rec.fd, 0);
		s->state = S_ENDED;
		sp_loop_stop(s->loop);
		return;
	}
	s->state = S_ENDED;
	scribe_write_end(s, reason, by);
	session_close(s);
	sp_chan_free(s->monitor);	/* tells the monitor that the end is on disk */
	s->monitor = NULL;
	(void)sp_snprintf(s->end_reason, sizeof(s->end_reason), "%s", reason);
	sp_list_each(it, &s->watchers)
		sp_watch_end(sp_watch_of(it), s->rec.off, s->end_reason);
	if (sp_list_empty(&s->watchers) || sp_timer_new(s->loop, scribe_on_linger, s, &s->linger) != SP_OK)
		s->linger = NULL;
	else
		sp_timer_in(s->linger, LINGER_US);
	scribe_pump(s);
	scribe_maybe_exit(s);
}

/* ---- what the session says ---- */

static void
scribe_misbehaved(struct scribe *s, const char *what)
{
	char text[128];

	(void)sp_snprintf(text, sizeof(text), "the session broke the recording protocol: %s", what);
	sp_error("%s", text);
	scribe_finish(s, text, "");
}

static void
scribe_opened(struct scribe *s, enum sp_err err, const char *text)
{
	Sallyport__RecOpened o = SALLYPORT__REC_OPENED__INIT;
	char t[256], p[SP_SCRIBE_PATH_MAX];

	(void)sp_strlcpy(t, text, sizeof(t));
	(void)sp_strlcpy(p, err == SP_OK ? s->path : "", sizeof(p));
	o.err = err;
	o.text = t;
	o.path = p;
	scribe_tell(s, SP_MSG_REC_OPENED, &o);
}

/* The header is the session's word for what control decided; it must at least be JSON. */
static enum sp_err
scribe_header(struct scribe *s, const Sallyport__RecOpen *o, struct sp_buf *b)
{
	json_t *doc = json_loadb((const char *)o->header.data, o->header.len, JSON_REJECT_DUPLICATES, NULL);
	char *text = json_is_object(doc) ? json_dumps(doc, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
	char t[SP_RFC3339_SIZE], id[SP_UUID_SIZE];
	struct sp_jsonw j;
	enum sp_err r = SP_EFORMAT;

	if (text != NULL) {
		sp_jsonw_begin(&j, b);
		sp_jsonw_int(&j, "version", SP_REC_VERSION);
		sp_jsonw_str(&j, "session", sp_uuid_text(&s->id, id));
		sp_jsonw_str(&j, "started", sp_rfc3339(sp_wall_us(), t, sizeof(t)));
		sp_jsonw_str(&j, "record_mode", s->strict ? "strict" : "best-effort");
		sp_jsonw_str(&j, "recording", s->path);
		sp_jsonw_raw(&j, "header", text);
		r = sp_jsonw_end(&j);
	}
	free(text);
	json_decref(doc);
	return r;
}

static enum sp_err
scribe_start(struct scribe *s, const Sallyport__RecOpen *o)
{
	struct sp_rec rec = { .type = SP_REC_T_HEADER };
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, SP_SPOOL_BODY);
	if ((r = scribe_header(s, o, &b)) == SP_OK) {
		rec.data = (struct sp_view){ b.p, b.len };
		r = sp_recwriter_put(&s->rec, &rec, s->rec.start_us, 0);
	}
	if (r == SP_OK && (r = sp_recwriter_flush(&s->rec)) == SP_OK && fsync(s->rec.fd) == -1)
		r = SP_EIO;
	if (r == SP_OK && (r = sp_spool_append(&s->spool, "start", sp_wall_us(), sp_now_us(), rec.data)) == SP_OK)
		r = sp_spool_sync(&s->spool);
	sp_buf_release(&b);
	s->rec.dirty = 0;
	return r;
}

static const char *
open_text(struct scribe *s, enum sp_err r, char *dst, size_t n)
{
	if (r == SP_ENOSPC)
		(void)sp_snprintf(dst, n, "no session without a recording: the disk for recordings has less than %llu MiB left",
		    (unsigned long long)(s->reserve_bytes >> 20));
	else
		(void)sp_snprintf(dst, n, "no session without a recording: %s", sp_err_text(r));
	return dst;
}

static void
session_open(struct scribe *s, const Sallyport__RecOpen *o)
{
	enum sp_err r = s->open_err;
	char text[256];

	if (s->state != S_WAIT || o->session_id.len != SP_UUID_LEN || memcmp(o->session_id.data, s->id.b, SP_UUID_LEN) != 0) {
		scribe_misbehaved(s, "REC_OPEN");
		return;
	}
	s->strict = strcmp(o->record_mode, "best-effort") != 0;
	s->channel_max = o->record_max_bytes;
	if (r == SP_OK && (r = scribe_start(s, o)) == SP_OK) {
		s->state = S_START;
		scribe_pump(s);
		return;
	}
	sp_error("cannot open the recording: %s", sp_err_text(r));
	scribe_opened(s, r, open_text(s, r, text, sizeof(text)));
	if (s->spool.fd >= 0 && s->spool.last_seq > 0)
		s->state = S_START;	/* a START that may be on disk is answered by its END */
	scribe_finish(s, "recording failed", "");
}

static struct channel *
channel_find(struct scribe *s, uint32_t id)
{
	struct sp_hnode *n = sp_htab_find(&s->channels, &id, sizeof(id));

	return n != NULL ? sp_container(n, struct channel, node) : NULL;
}

static void
channel_free(struct channel *c)
{
	if (c == NULL)
		return;
	free(c->mark);
	free(c);
}

static struct sp_watch_at
channel_watch_from(const struct channel *c)
{
	return c->mark[c->mark_n >= MARKS ? c->mark_n % MARKS : 0];
}

static void
channel_mark(struct scribe *s, struct channel *c)
{
	c->mark[c->mark_n++ % MARKS] = (struct sp_watch_at){ sp_recwriter_end(&s->rec), c->cols, c->rows };
	if (c->mark_n == 2 * MARKS)
		c->mark_n = MARKS;	/* the place in the ring is what counts */
	c->since_mark = 0;
}

static enum sp_err
channel_json(const Sallyport__RecChannel *m, size_t detail_max, struct sp_buf *b)
{
	struct sp_jsonw j;
	size_t n = strlen(m->detail);
	char keep = 0;

	sp_jsonw_begin(&j, b);
	sp_jsonw_int(&j, "channel", m->channel);
	sp_jsonw_str(&j, "type", m->type);
	if (n > detail_max) {
		keep = m->detail[detail_max];
		m->detail[detail_max] = '\0';
	}
	sp_jsonw_str(&j, "detail", m->detail);
	if (n > detail_max) {
		m->detail[detail_max] = keep;
		sp_jsonw_int(&j, "detail_bytes", (int64_t)n);
	}
	sp_jsonw_bool(&j, "pty", m->pty);
	if (m->pty) {
		sp_jsonw_int(&j, "cols", m->cols);
		sp_jsonw_int(&j, "rows", m->rows);
		sp_jsonw_str(&j, "term", m->term);
	}
	return sp_jsonw_end(&j);
}

static enum sp_err
channel_record(struct scribe *s, const Sallyport__RecChannel *m)
{
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, SP_REC_PAYLOAD_MAX);
	if ((r = channel_json(m, SIZE_MAX, &b)) == SP_OK)
		scribe_put_json(s, SP_REC_T_CHANNEL, m->channel, &b);
	if (r == SP_OK && b.len > SP_SPOOL_BODY / 2) {
		sp_buf_reset(&b);
		r = channel_json(m, DETAIL_IN_EVENT, &b);
	}
	if (r == SP_OK)
		scribe_event(s, "channel", &b);
	sp_buf_release(&b);
	return r;
}

static void
watchers_attach(struct scribe *s)
{
	sp_list_each(it, &s->watchers)
		if (s->newest_pty != NULL)
			sp_watch_attach(sp_watch_of(it), s->newest_pty->id, channel_watch_from(s->newest_pty), s->rec.off);
}

static enum sp_err
channel_new(struct scribe *s, const Sallyport__RecChannel *m)
{
	struct channel *c = calloc(1, sizeof(*c));
	enum sp_err r;

	if (c == NULL)
		return SP_ENOMEM;
	*c = (struct channel){ .id = m->channel, .pty = m->pty, .cols = m->cols, .rows = m->rows };
	if ((c->pty && (c->mark = calloc(MARKS, sizeof(*c->mark))) == NULL)) {
		free(c);
		return SP_ENOMEM;
	}
	if ((r = sp_htab_insert(&s->channels, &c->node, &c->id, sizeof(c->id))) != SP_OK) {
		channel_free(c);
		return r;
	}
	if (c->pty) {
		channel_mark(s, c);
		if (s->newest_pty != NULL && s->newest_pty->ended)
			channel_free(s->newest_pty);
		s->newest_pty = c;
	}
	return SP_OK;
}

static void
session_channel(struct scribe *s, const Sallyport__RecChannel *m)
{
	enum sp_err r;

	if (s->channels.n >= CHANNELS_MAX || (r = channel_new(s, m)) == SP_EEXIST) {
		scribe_misbehaved(s, "REC_CHANNEL");
		return;
	}
	if (r == SP_OK)
		r = channel_record(s, m);
	if (r != SP_OK)
		scribe_fail(s, r);
	else if (m->pty)
		watchers_attach(s);
}

static void
channel_cut(struct scribe *s, struct channel *c, uint8_t stream)
{
	static const char *const names[SP_REC_STREAMS] = { "in", "out", "err" };
	struct sp_jsonw j;
	struct sp_buf b;

	c->cut[stream] = 1;
	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "marker", "counted only from here");
	sp_jsonw_str(&j, "stream", names[stream]);
	sp_jsonw_int(&j, "recorded_bytes", (int64_t)s->channel_max);
	if (sp_jsonw_end(&j) == SP_OK)
		scribe_put_json(s, SP_REC_T_MARKER, c->id, &b);
	sp_buf_release(&b);
}

static void
session_data(struct scribe *s, const uint8_t *p, size_t n)
{
	struct sp_rec rec = { .type = SP_REC_T_DATA };
	struct sp_recdata d;
	struct channel *c;
	uint64_t now, had;

	if (n < sizeof(d) || n - sizeof(d) > SP_REC_CHUNK) {
		scribe_misbehaved(s, "REC_DATA");
		return;
	}
	memcpy(&d, p, sizeof(d));
	if (d.stream >= SP_REC_STREAMS || (c = channel_find(s, d.channel)) == NULL) {
		scribe_misbehaved(s, "REC_DATA of no channel");
		return;
	}
	rec.stream = d.stream;
	rec.channel = d.channel;
	rec.data = (struct sp_view){ p + sizeof(d), n - sizeof(d) };
	had = c->bytes[d.stream];
	c->bytes[d.stream] += rec.data.len;
	s->bytes[d.stream] += rec.data.len;
	if (c->cut[d.stream] || rec.data.len == 0)
		return;
	if (!c->pty && s->channel_max > 0 && rec.data.len > s->channel_max - had)
		rec.data.len = (size_t)(s->channel_max - had);
	if (c->pty && d.stream != SP_REC_IN && (c->since_mark += rec.data.len) >= MARK_EVERY)
		channel_mark(s, c);
	now = sp_now_us();
	if (rec.data.len > 0)
		scribe_put(s, &rec, d.at_us < now ? d.at_us : now);
	if (rec.data.len < n - sizeof(d))
		channel_cut(s, c, d.stream);
}

static void
put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void
session_resize(struct scribe *s, const Sallyport__RecResize *m)
{
	struct channel *c = channel_find(s, m->channel);
	struct sp_rec rec = { .type = SP_REC_T_RESIZE, .channel = m->channel };
	uint8_t size[8];

	if (c == NULL || !c->pty) {
		scribe_misbehaved(s, "REC_RESIZE");
		return;
	}
	c->cols = m->cols;
	c->rows = m->rows;
	put_le32(size, m->cols);
	put_le32(size + 4, m->rows);
	rec.data = (struct sp_view){ size, sizeof(size) };
	scribe_put(s, &rec, sp_now_us());
}

static int64_t
larger(uint64_t a, uint64_t b)
{
	return (int64_t)(a > b ? a : b);
}

static void
session_channel_end(struct scribe *s, const Sallyport__RecChannelEnd *m)
{
	struct channel *c = channel_find(s, m->channel);
	struct sp_jsonw j;
	struct sp_buf b;

	if (c == NULL) {
		scribe_misbehaved(s, "REC_CHANNEL_END");
		return;
	}
	sp_buf_init(&b, 65536);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "channel", m->channel);
	sp_jsonw_int(&j, "bytes_in", larger(m->bytes_in, c->bytes[SP_REC_IN]));
	sp_jsonw_int(&j, "bytes_out", larger(m->bytes_out, c->bytes[SP_REC_OUT]));
	sp_jsonw_int(&j, "bytes_err", larger(m->bytes_err, c->bytes[SP_REC_ERR]));
	sp_jsonw_int(&j, "exit_status", m->exit_status);
	sp_jsonw_str(&j, "exit_signal", m->exit_signal);
	if (sp_jsonw_end(&j) == SP_OK) {
		scribe_put_json(s, SP_REC_T_CHANNEL_END, m->channel, &b);
		scribe_event(s, "channel-end", &b);
	}
	sp_buf_release(&b);
	sp_htab_remove(&s->channels, &c->node);
	c->ended = 1;
	if (c != s->newest_pty)
		channel_free(c);
}

/* Stop reading the session while events cannot be kept. */
static void
session_update(struct scribe *s)
{
	int pause = !s->hung_up && s->spool.fd >= 0 && sp_spool_full(&s->spool);

	if (s->session_io == NULL)
		return;
	if (pause != s->paused)
		sp_info(pause ? "the spool is full: input waits" : "input goes on");
	s->paused = pause;
	sp_source_events(s->session_io, (pause ? 0 : (uint32_t)EPOLLIN) |
	    (sp_chan_want_write(s->session) ? (uint32_t)EPOLLOUT : 0));
}

static void
scribe_on_session(struct sp_chan *chan, struct sp_msg *m, void *arg)
{
	struct scribe *s = arg;

	(void)chan;
	if (s->state == S_ENDED)
		return;
	if (s->state != S_OPEN && m->id != SP_MSG_REC_OPEN && m->id != SP_MSG_REC_END) {
		scribe_misbehaved(s, "data before REC_OPENED");
		return;
	}
	switch (m->id) {
	case SP_MSG_REC_OPEN:
		session_open(s, (const Sallyport__RecOpen *)m->body);
		break;
	case SP_MSG_REC_CHANNEL:
		session_channel(s, (const Sallyport__RecChannel *)m->body);
		break;
	case SP_MSG_REC_DATA:
		session_data(s, m->raw, m->raw_len);
		break;
	case SP_MSG_REC_RESIZE:
		session_resize(s, (const Sallyport__RecResize *)m->body);
		break;
	case SP_MSG_REC_CHANNEL_END:
		session_channel_end(s, (const Sallyport__RecChannelEnd *)m->body);
		break;
	case SP_MSG_REC_END:
		scribe_finish(s, ((const Sallyport__RecEnd *)m->body)->reason, ((const Sallyport__RecEnd *)m->body)->by);
		break;
	default:
		break;
	}
}

static void
scribe_on_session_close(struct sp_chan *chan, enum sp_err why, const char *what, void *arg)
{
	struct scribe *s = arg;

	(void)chan;
	sp_source_remove(s->session_io);	/* the descriptor is closed, but its number is not used again yet */
	s->session_io = NULL;
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
	sp_chan_on_io(s->session, !s->paused || s->hung_up, (events & EPOLLOUT) != 0);
	if (!sp_list_empty(&s->watchers) && s->state == S_OPEN)
		scribe_flush(s);
	session_update(s);
}

/* ---- control and monitor ---- */

/* channel: a terminal by its number, or 0 for the newest one, now or as soon as there is one. */
static void
control_watch(struct scribe *s, uint32_t channel, int fd)
{
	struct channel *c = channel != 0 ? channel_find(s, channel) : NULL;
	unsigned n = 0;

	sp_list_each(it, &s->watchers)
		n++;
	if (s->rec.fd < 0 || s->state == S_ENDED || n >= SP_WATCH_MAX || (channel != 0 && (c == NULL || !c->pty))) {
		close(fd);
		return;
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) == -1 || sp_watch_new(s->loop, fd, s->rec.fd, &s->watchers) != SP_OK)
		return;
	scribe_flush(s);
	if (c != NULL)
		sp_watch_attach(sp_watch_of(s->watchers.prev), c->id, channel_watch_from(c), s->rec.off);
	watchers_attach(s);
}

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
	session_update(s);
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
		control_watch(s, ((const Sallyport__Watch *)m->body)->channel, sp_steal_fd(&m->fds[0]));
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

void
sp_scribe_main(struct sp_scribe_birth *b)
{
	struct scribe s = { .id = b->session, .rec = { .fd = -1 }, .spool = { .fd = -1 },
	    .reserve_bytes = b->reserve_bytes };
	const char *step = "channels";
	enum sp_err r;
	int fd = -1;

	sp_list_init(&s.watchers);
	(void)sp_strlcpy(s.path, b->path, sizeof(s.path));
	(void)mallopt(M_ARENA_MAX, 1);	/* the syncing thread needs no heap of its own */
	s.open_err = files_create(&s, b, &fd);
	/* A running recording may use up half of the reserve, so that it ends in order. */
	if (s.open_err == SP_OK)
		s.open_err = sp_recwriter_init(&s.rec, fd, sp_now_us(), b->reserve_bytes / 2);
	close(b->recordings);
	close(b->spool);
	if ((r = scribe_wire(&s, b)) != SP_OK || (r = sp_sandbox_enter_plan(b->box, &step)) != SP_OK)
		sp_die(71, "cannot start a recorder: %s: %s", step, sp_err_text(r));
	control_attach(&s, b->control_fd);
	(void)malloc_trim(0);
	r = sp_loop_run(s.loop);
	_exit(sp_err_exit(r));
}
