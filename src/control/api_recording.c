/* src/control/api_recording.c - the files of recordings: handed out as they are, encrypted to auditors; held, and
 * deleted by name. Process: control. Invariant: nothing is deleted before its entry is durable. */
#include "control/api.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/recpath.h"
#include "control/methods.h"
#include "control/quarantine.h"
#include "control/recfiles.h"
#include "control/retain.h"

#define KEPT	SP_REC_FILES		/* "files": contents that were kept */

static enum sp_err
recordings_dir(struct api_call *c, int *ret)
{
	struct sp_config conf;
	enum sp_err r;

	ctl_conf_copy(c->ctl, &conf);
	if ((r = recfiles_dir(conf.state_dir, ret)) != SP_OK)
		return api_fail(c, r, "the directory of recordings cannot be opened");
	return SP_OK;
}

/* Descriptor of one file: "age", or one of the two tail files that a recorder which died left. */
void
recording_open(struct api_call *c, struct sp_store *s)
{
	static const char *const parts[SP_REC_FILES] = { "age", "tail0", "tail1" };
	sp_auto(sp_closep) int dir = -1;
	struct sp_store_session row;
	char part[8] = "age", path[SP_REC_PATH];
	int file = -1, fd = -1;
	struct recday day = { .n = 0 };
	struct recfiles all = { .segments = 1 };
	struct stat st;
	enum sp_err r;

	int64_t segment = 1;

	if (session_named(c, s, &row) != SP_OK || api_str(c, "part", 0, part, sizeof(part)) != SP_OK ||
	    api_int(c, "segment", 1, SP_REC_SEGMENTS_MAX, &segment) != SP_OK)
		return;
	for (int i = 0; i < SP_REC_FILES; i++)
		if (strcmp(part, parts[i]) == 0)
			file = i;
	if (strcmp(part, "files") == 0)
		file = KEPT;
	if (file == -1) {
		(void)api_fail(c, SP_EINVAL, "part is age, tail0, tail1 or files");
		return;
	}
	if (recordings_dir(c, &dir) != SP_OK)
		return;
	if ((r = file == KEPT ? sp_rec_kept_open(dir, &row.id, &fd) : sp_rec_segment_open(dir, &row.id, (unsigned)segment, (enum sp_rec_file)file, &fd)) != SP_OK || fstat(fd, &st) == -1) {
		sp_closep(&fd);
		if (r == SP_ENOENT && file == SP_REC_AGE)
			(void)api_fail(c, r, "this session has no recording here: it was never recorded, or it was deleted ('audit list --session ...' tells)");
		else
			(void)api_fail(c, r == SP_OK ? SP_EIO : r, "%s", sp_err_text(r == SP_OK ? SP_EIO : r));
		return;
	}
	if (file == KEPT)
		sp_rec_kept_path(&row.id, path);
	else
		sp_rec_segment_path(&row.id, (unsigned)segment, (enum sp_rec_file)file, path);
	if (recday_find(dir, &row.id, &day, &all) != SP_OK)
		all.segments = 1;
	recday_release(&day);
	(void)sp_snprintf(c->what, sizeof(c->what), "%s", part);
	c->fd = fd;
	c->out = json_pack("{s:o, s:s, s:I, s:s, s:s, s:s, s:i}", "id", api_id(&row.id), "path", path, "bytes", (json_int_t)st.st_size,
	    "user", row.user_login, "account", row.account, "asset", row.asset_name,
	    "segments", (int)all.segments);
}

/* ---- keeping and deleting ---- */

#define REASON_SIZE	RECORDING_REASON

/* Two marks: the setting, which says why, and a file beside the recording, which outlives a store that was put back. */
static enum sp_err
hold_set(struct api_call *c, struct sp_store *s, const struct sp_uuid *session, const char *reason)
{
	sp_auto(sp_closep) int dir = -1;
	char key[SP_UUID_SIZE + 32], id[SP_UUID_SIZE];
	enum sp_err r;

	(void)sp_snprintf(key, sizeof(key), "recording.hold.%s", sp_uuid_text(session, id));
	if (api_store(c, sp_store_setting_set(s, key, reason), "the hold") != SP_OK || recordings_dir(c, &dir) != SP_OK)
		return c->err;
	if ((r = recfiles_hold(dir, session, *reason != '\0')) != SP_OK && r != SP_ENOENT)
		return api_fail(c, r, "the mark beside the recording: %s", sp_err_text(r));
	c->out = json_pack("{s:o, s:s}", "id", api_id(session), "hold", reason);
	return SP_OK;
}

static enum sp_err
hold_get(struct api_call *c, struct sp_store *s, const struct sp_uuid *session, char reason[REASON_SIZE])
{
	sp_auto(sp_closep) int dir = -1;

	if (recordings_dir(c, &dir) != SP_OK)
		return c->err;
	return api_store(c, recording_held(s, dir, session, reason), "the hold");
}

void
recording_hold(struct api_call *c, struct sp_store *s)
{
	struct sp_store_session row;
	char reason[REASON_SIZE] = "";

	if (session_named(c, s, &row) != SP_OK || api_str(c, "reason", 1, reason, sizeof(reason)) != SP_OK)
		return;
	if (*reason == '\0') {
		(void)api_fail(c, SP_EUSAGE, "a hold wants a reason: who asked for it, and why");
		return;
	}
	api_more(c, "reason", json_string(reason));
	(void)hold_set(c, s, &row.id, reason);
}

void
recording_release(struct api_call *c, struct sp_store *s)
{
	struct sp_store_session row;
	char was[REASON_SIZE];

	if (session_named(c, s, &row) != SP_OK || hold_get(c, s, &row.id, was) != SP_OK)
		return;
	if (*was == '\0') {
		(void)api_fail(c, SP_ESTATE, "that recording is not held");
		return;
	}
	api_more(c, "reason", json_string(was));
	(void)hold_set(c, s, &row.id, "");
}

/* Looks only: the files go when the entry about it is durable. */
void
recording_delete(struct api_call *c, struct sp_store *s)
{
	struct sp_store_session row;
	char reason[REASON_SIZE] = "", held[REASON_SIZE];

	if (session_named(c, s, &row) != SP_OK || api_str(c, "reason", 1, reason, sizeof(reason)) != SP_OK ||
	    hold_get(c, s, &row.id, held) != SP_OK)
		return;
	if (quarantine_is(c->ctl))
		(void)api_fail(c, SP_ESTATE, "nothing is deleted in quarantine");
	else if (*held != '\0')
		(void)api_fail(c, SP_ESTATE, "the recording is held (%s): 'recording release' first", held);
	else if (row.state == SP_STORE_LIVE)
		(void)api_fail(c, SP_ESTATE, "the session is live: end it first");
	api_more(c, "reason", json_string(reason));
	c->out = json_pack("{s:o}", "id", api_id(&row.id));
}

struct deleting {
	struct ctl_job	job;
	struct ctl	*ctl;
	struct sp_uuid	session;
	char		actor[SP_STORE_NAME_MAX + 1];
	int		gone;
	enum sp_err	err;
};

static void
deleting_work(struct ctl_job *j, struct sp_store *s)
{
	struct deleting *d = sp_container(j, struct deleting, job);
	char held[REASON_SIZE];
	struct sp_config conf;
	int dir = -1;

	ctl_conf_copy(d->ctl, &conf);
	if ((d->err = recfiles_dir(conf.state_dir, &dir)) == SP_OK && (d->err = recording_held(s, dir, &d->session, held)) == SP_OK)
		d->err = *held != '\0' ? SP_EDENIED : recfiles_delete(dir, &d->session, &d->gone);
	sp_closep(&dir);
}

static void
deleting_done(struct ctl_job *j)
{
	struct deleting *d = sp_container(j, struct deleting, job);
	json_t *more = json_pack("{s:i}", "files", d->gone);
	enum sp_err r = j->err != SP_OK ? j->err : d->err;
	struct audit_entry e = { .kind = "recording.deleted", .actor = d->actor, .result = r == SP_OK ? "ok" : "failed",
	    .text = r == SP_OK ? NULL : sp_err_text(r), .session = &d->session, .more = more };

	audit_append(d->ctl->audit, &e, NULL, NULL);
	json_decref(more);
	free(d);
}

/* The entry "recording.delete" is durable; what came of it follows as "recording.deleted". In the writer, as a hold is: one that was set
 * meanwhile is seen. */
void
recording_delete_loop(struct api_call *c)
{
	struct deleting *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		(void)api_fail(c, SP_ENOMEM, "out of memory");
		return;
	}
	d->ctl = c->ctl;
	d->session = c->session;
	(void)sp_strlcpy(d->actor, api_actor(c), sizeof(d->actor));
	d->job.work = deleting_work;
	d->job.done = deleting_done;
	ctl_job_run(c->ctl, CTL_WRITE, &d->job);
}
