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

static enum sp_err
replay_end(struct sp_spool *s)
{
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	if (strcmp(s->last_kind, "end") == 0)
		return SP_OK;
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
replay_deliver(struct replay *r, struct sp_spool *s)
{
	enum sp_err e;

	if (s->last_seq == 0)
		return SP_OK;	/* died before START: nobody heard of it */
	if ((e = replay_end(s)) != SP_OK)
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
	char path[SP_SCRIBE_PATH_MAX];
	uint64_t ms = 0;
	struct stat st;
	int fd;

	for (int i = 0; i < 6; i++)	/* the id's own time; a recording made around midnight UTC keeps its space */
		ms = ms << 8 | id->b[i];
	sp_scribe_path(id, (int64_t)ms * 1000, path);
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
		if ((e = replay_deliver(r, &s)) == SP_OK && unlinkat(r->spool_dir, name, 0) == 0)
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
