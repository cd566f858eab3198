/* src/scribe/replay.c - deliver the events that dead scribes left behind. Process: a child of the scribe parent, with the
 * parent's own channel to control; one at a time.
 * Invariants: (1) a spool whose scribe lives (its file is locked) is left alone. (2) A spool is removed only when its END
 * is acknowledged. (3) A recorder that died without END gets one, "recorder died"; control, which may have written its
 * own from GONE, knows it by (session, number). */
#include "scribe/scribe.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ipc/chan.h"
#include "sallyport.pb-c.h"
#include "common/jsonw.h"
#include "crypto/hash.h"
#include "scribe/spool.h"

#define ACK_WAIT_MS	30000
#define LEFT_MAX	65536		/* spools delivered by one replay child */

struct replay {
	struct sp_chan	*control;
	int		 spool_dir, closed, left;
	struct sp_spool	*cur;
};

static void
replay_on_msg(struct sp_chan *c, struct sp_msg *m, void *arg)
{
	struct replay *r = arg;
	const Sallyport__EventAck *a = (const Sallyport__EventAck *)m->body;

	(void)c;
	if (m->id == SP_MSG_EVENT_ACK && r->cur != NULL && a->session_id.len == SP_UUID_LEN &&
	    memcmp(a->session_id.data, r->cur->session.b, SP_UUID_LEN) == 0)
		sp_spool_ack(r->cur, a->seq);
}

static void
replay_on_close(struct sp_chan *c, enum sp_err why, const char *what, void *arg)
{
	struct replay *r = arg;

	(void)c;
	(void)why;
	(void)what;
	r->closed = 1;
}

/* SHA-256 of a file from an offset on. */
static enum sp_err
torn_hash(int fd, uint64_t from, char hex[2 * SP_SHA256_LEN + 1], uint64_t *ret_bytes)
{
	static uint8_t block[65536];
	uint8_t hash[SP_SHA256_LEN];
	struct sp_sha256 h;
	uint64_t at = from;
	ssize_t n;

	sp_sha256_begin(&h);
	while ((n = pread(fd, block, sizeof(block), (off_t)at)) > 0) {
		sp_sha256_add(&h, block, (size_t)n);
		at += (uint64_t)n;
	}
	sp_sha256_now(&h, hash);
	sp_hex(hash, sizeof(hash), hex);
	*ret_bytes = at - from;
	return n == 0 ? SP_OK : SP_EIO;
}

static size_t
torn_header(int fd)
{
	static uint8_t head[SP_AGE_HEADER_MAX];
	ssize_t n = pread(fd, head, sizeof(head), 0);
	size_t len = 0;

	return n > 0 && sp_age_header_len((struct sp_view){ head, (size_t)n }, &len) == SP_OK ? len : 0;
}

/* The last one that has something in it: files of the next may have been made when the recorder died. */
static unsigned
replay_segment(int recordings, const struct sp_uuid *id)
{
	unsigned last = 1;
	struct stat st;

	for (unsigned n = 2; n <= SP_REC_SEGMENTS_MAX; n++) {
		sp_auto(sp_closep) int fd = -1;

		if (sp_rec_segment_open(recordings, id, n, SP_REC_AGE, &fd) != SP_OK || fstat(fd, &st) == -1)
			break;
		if (st.st_size > 0)
			last = n;
	}
	return last;
}

/* What a recorder left that wrote no end: age file and tail files as they are now, so that nobody changes them later. */
static enum sp_err
replay_torn(int recordings, struct sp_spool *s)
{
	static const char *const sha[SP_REC_FILES] = { "payload_sha256", "tail0_sha256", "tail1_sha256" };
	static const char *const bytes[SP_REC_FILES] = { "payload_bytes", "tail0_bytes", "tail1_bytes" };
	unsigned segment = replay_segment(recordings, &s->session);
	char hex[2 * SP_SHA256_LEN + 1];
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	sp_buf_init(&b, 4096);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_int(&j, "segment", segment);
	for (int i = 0; i < SP_REC_FILES; i++) {
		sp_auto(sp_closep) int fd = -1;
		uint64_t n = 0;

		if (sp_rec_segment_open(recordings, &s->session, segment, (enum sp_rec_file)i, &fd) == SP_OK &&
		    torn_hash(fd, i == SP_REC_AGE ? torn_header(fd) : 0, hex, &n) == SP_OK) {
			sp_jsonw_int(&j, bytes[i], (int64_t)n);
			sp_jsonw_str(&j, sha[i], hex);
		}
	}
	{
		sp_auto(sp_closep) int fd = -1;
		uint64_t n = 0;

		if (sp_rec_kept_open(recordings, &s->session, &fd) == SP_OK && torn_hash(fd, torn_header(fd), hex, &n) == SP_OK && n > 0) {
			sp_jsonw_int(&j, "kept_payload_bytes", (int64_t)n);
			sp_jsonw_str(&j, "kept_payload_sha256", hex);
		}
	}
	if ((r = sp_jsonw_end(&j)) == SP_OK)
		r = sp_spool_append(s, "torn", sp_wall_us(), sp_now_us(), (struct sp_view){ b.p, b.len });
	sp_buf_release(&b);
	return r;
}

static enum sp_err
replay_end(int recordings, struct sp_spool *s)
{
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	if (strcmp(s->last_kind, "end") == 0)
		return SP_OK;
	if (strcmp(s->last_kind, "torn") != 0 && (r = replay_torn(recordings, s)) != SP_OK)
		return r;
	sp_buf_init(&b, 1024);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "reason", "recorder died");
	sp_jsonw_str(&j, "by", "");
	if ((r = sp_jsonw_end(&j)) == SP_OK &&
	    (r = sp_spool_append(s, "end", sp_wall_us(), sp_now_us(), (struct sp_view){ b.p, b.len })) == SP_OK)
		r = sp_spool_sync(s);
	sp_buf_release(&b);
	return r;
}

/* SP_OK: everything of it is safe at control. */
static enum sp_err
replay_deliver(struct replay *r, int recordings, struct sp_spool *s)
{
	enum sp_err e;

	if (s->last_seq == 0)
		return SP_OK;	/* died before START: nobody heard of it */
	if ((e = replay_end(recordings, s)) != SP_OK)
		return e;
	r->cur = s;
	while (e == SP_OK && !sp_spool_settled(s) && !r->closed)
		if ((e = sp_spool_pump(s, r->control)) == SP_OK)
			e = sp_chan_wait(r->control, ACK_WAIT_MS);
	r->cur = NULL;
	return e != SP_OK ? e : sp_spool_settled(s) ? SP_OK : SP_ECLOSED;
}

/* A recording that lost its recorder gives back the disk space that was set aside for its end. */
static void
replay_trim(int recordings, const struct sp_uuid *id)
{
	char path[SP_REC_PATH];
	struct stat st;
	int fd;

	sp_rec_segment_path(id, replay_segment(recordings, id), SP_REC_AGE, path);
	if ((fd = openat(recordings, path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		(void)!ftruncate(fd, st.st_size);
	close(fd);
}

static void
replay_one(struct replay *r, int recordings, const char *name)
{
	struct sp_spool s;
	struct sp_uuid id;
	enum sp_err e;
	struct stat st;

	if (sp_uuid_parse(name, &id) != SP_OK)
		return;
	if (fstatat(r->spool_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_size == 0) {
		(void)unlinkat(r->spool_dir, name, 0);
		return;
	}
	if ((e = sp_spool_open(r->spool_dir, &id, &s)) == SP_OK) {
		if ((e = replay_deliver(r, recordings, &s)) == SP_OK && unlinkat(r->spool_dir, name, 0) == 0)
			replay_trim(recordings, &id);
		sp_spool_release(&s);
	} else if (e == SP_ECORRUPT) {
		char bad[SP_UUID_SIZE + 8];

		(void)sp_snprintf(bad, sizeof(bad), "%s.bad", name);
		(void)renameat(r->spool_dir, name, r->spool_dir, bad);
		sp_error("the spool of session %s cannot be read: kept as %s", name, bad);
		return;
	}
	if (e != SP_OK && e != SP_ENOENT)
		r->left++;
}

void
sp_replay_main(int control_fd, int recordings, int spool)
{
	struct replay r = { .spool_dir = spool };
	int dup_fd = dup(spool), n = 0;
	DIR *d = dup_fd >= 0 ? fdopendir(dup_fd) : NULL;

	if (d == NULL || sp_chan_new(control_fd, SP_PROC_SCRIBE, SP_PROC_CONTROL, replay_on_msg, replay_on_close, &r,
	    &r.control) != SP_OK)
		_exit(71);
	rewinddir(d);
	for (struct dirent *e; !r.closed && n < LEFT_MAX && (e = readdir(d)) != NULL; n++)
		replay_one(&r, recordings, e->d_name);
	closedir(d);
	_exit(r.left > 0 || r.closed ? 75 : 0);
}
