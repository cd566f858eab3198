/* src/control/erase.c - see erase.h. The files are done in the bulk lane, the index in its own; the loop only goes from step to step. */
#include "control/erase.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "common/entry.h"
#include "common/logdir.h"
#include "control/audit.h"
#include "control/ctl.h"

#define PENDING		"erase-pending"
#define PENDING_NEW	"erase-pending.new"
#define SCRATCH		"erase-scratch"
#define PENDING_MAX	((size_t)64 * 1024)

struct erasing {
	struct ctl_job	 job;
	struct ctl	*ctl;
	json_t		*what;		/* with "actor" */
	json_t		*touched;	/* of single entries: [{"session", "seq", "channel", "number"}] */
	unsigned	 values, segments;
	int		 resumed, kept;	/* kept: it stands in PENDING */
	enum sp_err	 err;
	char		 why[128];
};

/* One at a time: PENDING holds one. left: it holds one that failed. looked: an earlier control left none, or it runs. */
static atomic_int running, left, looked;

/* ---- files ---- */

static enum sp_err
file_write(int dirfd, const char *name, const void *data, size_t n)
{
	sp_auto(sp_closep) int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	const char *p = data;

	if (fd == -1)
		return sp_err_errno(errno);
	while (n > 0) {
		ssize_t w = write(fd, p, n);

		if (w == -1 && errno == EINTR)
			continue;
		if (w <= 0)
			return w == -1 ? sp_err_errno(errno) : SP_EIO;
		p += w;
		n -= (size_t)w;
	}
	return fsync(fd) == -1 ? SP_EIO : SP_OK;
}

static enum sp_err
pending_write(int dirfd, const json_t *what)
{
	char *text = json_dumps(what, JSON_COMPACT);
	enum sp_err r = text != NULL ? file_write(dirfd, PENDING_NEW, text, strlen(text)) : SP_ENOMEM;

	free(text);
	if (r != SP_OK)
		return r;
	return renameat(dirfd, PENDING_NEW, dirfd, PENDING) == -1 || fsync(dirfd) == -1 ? SP_EIO : SP_OK;
}

/* Which row of the index a single entry became. */
static void
touch(struct erasing *e, const char *line, size_t n)
{
	json_t *o = entry_parse((struct sp_view){ (const uint8_t *)line, n }), *more = json_object_get(o, "more"), *body = json_object_get(more, "body");
	const char *session = json_string_value(json_object_get(o, "session"));

	if (session != NULL && json_is_integer(json_object_get(more, "seq")))
		json_array_append_new(e->touched, json_pack("{s:s, s:I, s:I, s:I}", "session", session, "seq",
		    json_integer_value(json_object_get(more, "seq")), "channel", json_integer_value(json_object_get(body, "channel")), "number",
		    json_integer_value(json_object_get(body, "number"))));
	json_decref(o);
}

static enum sp_err
segment_erase(struct erasing *e, int dirfd, uint64_t first)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = LOGDIR_SEGMENT_MAX };
	int single = json_object_get(e->what, "entries") != NULL;
	char name[LOGDIR_NAME_SIZE];
	unsigned was = e->values;
	enum sp_err r;

	logdir_segment_name(first, name);
	if ((r = logdir_file(dirfd, name, LOGDIR_SEGMENT_MAX, &b)) != SP_OK)
		return r;
	for (char *at = (char *)b.p, *end = at + b.len, *lf; at < end && (lf = memchr(at, '\n', (size_t)(end - at))) != NULL; at = lf + 1) {
		sp_auto(sp_buf_release) struct sp_buf copy = { .max = ENTRY_LINE_MAX };
		unsigned before = e->values;

		if (single && sp_buf_append(&copy, at, (size_t)(lf - at)) != SP_OK)
			return SP_ENOMEM;
		if ((r = erase_line(at, (size_t)(lf - at), e->what, &e->values)) != SP_OK)
			return r;
		if (single && e->values != before)
			touch(e, (const char *)copy.p, copy.len);
	}
	if (e->values == was)
		return SP_OK;
	e->segments++;
	if ((r = file_write(dirfd, SCRATCH, b.p, b.len)) != SP_OK)
		return r;
	return renameat(dirfd, SCRATCH, dirfd, name) == -1 || fsync(dirfd) == -1 ? SP_EIO : SP_OK;
}

static void
files_work(struct ctl_job *j, struct sp_store *s)
{
	struct erasing *e = sp_container(j, struct erasing, job);
	int dirfd = audit_dirfd(e->ctl->audit);
	sp_auto(sp_freep) uint64_t *seg = NULL;
	size_t n = 0;

	(void)s;
	e->values = e->segments = 0;
	json_array_clear(e->touched);
	if ((e->err = e->resumed ? SP_OK : pending_write(dirfd, e->what)) == SP_OK) {
		e->kept = 1;
		e->err = logdir_segments(dirfd, &seg, &n);
	}
	for (size_t i = 0; i + 1 < n && e->err == SP_OK; i++)		/* all but the newest */
		e->err = segment_erase(e, dirfd, seg[i]);
	if (e->err != SP_OK)
		(void)sp_snprintf(e->why, sizeof(e->why), "the segments of the audit log: %s", sp_err_text(e->err));
}

/* ---- the index ---- */

static enum sp_err
index_erase(struct erasing *e, struct sp_store *s)
{
	struct sp_uuid id = { 0 };
	const char *user = json_string_value(json_object_get(e->what, "user")), *session = json_string_value(json_object_get(e->what, "session"));
	enum sp_err r = SP_OK;
	size_t i;
	json_t *v;

	if (user != NULL)
		return sp_uuid_parse(user, &id) == SP_OK ? sp_store_erase(s, &id, NULL) : SP_EFORMAT;
	if (session != NULL)
		return sp_uuid_parse(session, &id) == SP_OK ? sp_store_erase(s, NULL, &id) : SP_EFORMAT;
	json_array_foreach(e->touched, i, v)
		if (r == SP_OK && (r = sp_uuid_parse(json_string_value(json_object_get(v, "session")), &id)) == SP_OK)
			r = sp_store_erase_event(s, &id, json_integer_value(json_object_get(v, "seq")), json_integer_value(json_object_get(v, "channel")),
			    json_integer_value(json_object_get(v, "number")));
	return r;
}

static void
index_work(struct ctl_job *j, struct sp_store *s)
{
	struct erasing *e = sp_container(j, struct erasing, job);

	if ((e->err = index_erase(e, s)) != SP_OK)
		(void)sp_snprintf(e->why, sizeof(e->why), "the index: %s", sp_err_text(e->err));
}

/* ---- from step to step ---- */

static void
erasing_end(struct erasing *e)
{
	json_t *more = json_pack("{s:I, s:I, s:b}", "erased_values", (json_int_t)e->values, "segments", (json_int_t)e->segments, "resumed", e->resumed);
	const char *user = json_string_value(json_object_get(e->what, "user"));
	struct sp_uuid id = { 0 };
	struct audit_entry a = { .kind = "evidence.erased", .actor = json_string_value(json_object_get(e->what, "actor")), .result = e->err == SP_OK ?
	    "ok" : "failed", .text = e->err == SP_OK ? NULL : e->why, .more = more };

	if (user != NULL && sp_uuid_parse(user, &id) == SP_OK)
		a.object = &id;
	if (e->err != SP_OK)
		sp_error("erasing is not done%s: %s", e->kept ? " and goes on at the next start, or before the next erasing" : "", e->why);
	audit_append(e->ctl->audit, &a, NULL, NULL);
	json_decref(more);
	json_decref(e->what);
	json_decref(e->touched);
	atomic_store(&left, e->err != SP_OK && e->kept);
	free(e);
	atomic_store(&running, 0);
}

static void
index_done(struct ctl_job *j)
{
	struct erasing *e = sp_container(j, struct erasing, job);

	if (j->err != SP_OK && e->err == SP_OK) {
		e->err = j->err;
		(void)sp_snprintf(e->why, sizeof(e->why), "the index: %s", sp_err_text(j->err));
	}
	if (e->err == SP_OK && unlinkat(audit_dirfd(e->ctl->audit), PENDING, 0) == -1 && errno != ENOENT)
		e->err = SP_EIO;
	erasing_end(e);
}

static void
files_done(struct ctl_job *j)
{
	struct erasing *e = sp_container(j, struct erasing, job);

	if (j->err != SP_OK && e->err == SP_OK) {
		e->err = j->err;
		(void)sp_snprintf(e->why, sizeof(e->why), "%s", sp_err_text(j->err));
	}
	if (e->err != SP_OK) {
		erasing_end(e);
		return;
	}
	e->job = (struct ctl_job){ .work = index_work, .done = index_done };
	ctl_job_run(e->ctl, CTL_INDEX, &e->job);
}

static void
erasing_run(struct ctl *c, json_t *what, int resumed)
{
	struct erasing *e = calloc(1, sizeof(*e));

	if (e == NULL || (e->touched = json_array()) == NULL) {
		sp_error("cannot erase: no memory");
		json_decref(what);
		free(e);
		return;
	}
	atomic_store(&running, 1);
	e->ctl = c;
	e->what = what;
	e->resumed = e->kept = resumed;
	e->job = (struct ctl_job){ .work = files_work, .done = files_done };
	ctl_job_run(c, CTL_BULK, &e->job);
}

int
erase_busy(void)
{
	if (atomic_load(&left))
		atomic_store(&looked, 0);	/* erase_tick goes on with it */
	return atomic_load(&left) || atomic_load(&running);
}

enum sp_err
erase_start(struct ctl *c, const json_t *what, const char *actor)
{
	json_t *copy;

	erase_tick(c);		/* nobody looked yet */
	if (erase_busy())
		return SP_EBUSY;
	if ((copy = json_deep_copy(what)) == NULL || json_object_set_new(copy, "actor", json_string(actor)) != 0) {
		json_decref(copy);
		return SP_ENOMEM;
	}
	erasing_run(c, copy, 0);
	return SP_OK;
}

void
erase_tick(struct ctl *c)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = PENDING_MAX };
	json_t *what;
	enum sp_err r;

	if (atomic_load(&looked) || atomic_load(&running) || c->audit == NULL || audit_damage(c->audit) != NULL || c->lanes == NULL ||
	    !ctl_lanes_open(c->lanes))
		return;
	atomic_store(&looked, 1);
	if ((r = logdir_file(audit_dirfd(c->audit), PENDING, PENDING_MAX, &b)) == SP_ENOENT) {
		atomic_store(&left, 0);
		return;
	}
	if (r != SP_OK || (what = json_loadb((const char *)b.p, b.len, 0, NULL)) == NULL) {
		sp_error("what is still to be erased cannot be read (" PENDING " in the directory of the audit log): look at the last entry "
		    "evidence.erase, and say it again without that file");
		return;
	}
	sp_warn("erasing goes on where it stopped");
	erasing_run(c, what, 1);
}
