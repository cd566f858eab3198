/* src/control/api_recording.c - the files of recordings: handed out as they are, encrypted to auditors; held, and
 * deleted by name. Process: control. Invariant: nothing is deleted before its entry is durable. */
#include "control/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/recpath.h"
#include "control/methods.h"

static enum sp_err
recordings_dir(struct api_call *c, int *ret)
{
	struct sp_config conf;
	char path[SP_CONF_TEXT + 16];
	int fd;

	ctl_conf_copy(c->ctl, &conf);
	if (sp_snprintf(path, sizeof(path), "%s/recordings", conf.state_dir) != 0 ||
	    (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return api_fail(c, SP_EIO, "the directory of recordings cannot be opened");
	*ret = fd;
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
	struct stat st;
	enum sp_err r;

	if (session_named(c, s, &row) != SP_OK || api_str(c, "part", 0, part, sizeof(part)) != SP_OK)
		return;
	for (int i = 0; i < SP_REC_FILES; i++)
		if (strcmp(part, parts[i]) == 0)
			file = i;
	if (file == -1) {
		(void)api_fail(c, SP_EINVAL, "part is age, tail0 or tail1");
		return;
	}
	if (recordings_dir(c, &dir) != SP_OK)
		return;
	if ((r = sp_rec_open(dir, &row.id, (enum sp_rec_file)file, &fd)) != SP_OK || fstat(fd, &st) == -1) {
		sp_closep(&fd);
		if (r == SP_ENOENT && file == SP_REC_AGE)
			(void)api_fail(c, r, "this session has no recording here: it was never recorded, or it was deleted ('audit list --session ...' tells)");
		else
			(void)api_fail(c, r == SP_OK ? SP_EIO : r, "%s", sp_err_text(r == SP_OK ? SP_EIO : r));
		return;
	}
	sp_rec_path(&row.id, (enum sp_rec_file)file, path);
	(void)sp_snprintf(c->what, sizeof(c->what), "%s", part);
	c->fd = fd;
	c->out = json_pack("{s:o, s:s, s:I, s:s, s:s, s:s}", "id", api_id(&row.id), "path", path, "bytes", (json_int_t)st.st_size,
	    "user", row.user_login, "account", row.account, "asset", row.asset_name);
}

/* ---- keeping and deleting ---- */

#define HOLD_SIZE	(SP_UUID_SIZE + 32)
#define REASON_SIZE	257

static void
hold_key(const struct sp_uuid *session, char dst[HOLD_SIZE])
{
	char id[SP_UUID_SIZE];

	(void)sp_snprintf(dst, HOLD_SIZE, "recording.hold.%s", sp_uuid_text(session, id));
}

/* Why it is held: "" when it is not. */
static enum sp_err
hold_get(struct api_call *c, struct sp_store *s, const struct sp_uuid *session, char reason[REASON_SIZE])
{
	char key[HOLD_SIZE];
	enum sp_err r;

	hold_key(session, key);
	reason[0] = '\0';
	if ((r = sp_store_setting_get(s, key, reason, REASON_SIZE)) == SP_ENOENT)
		r = SP_OK;
	return api_store(c, r, "the hold");
}

static enum sp_err
hold_set(struct api_call *c, struct sp_store *s, const struct sp_uuid *session, const char *reason)
{
	char key[HOLD_SIZE];

	hold_key(session, key);
	if (api_store(c, sp_store_setting_set(s, key, reason), "the hold") != SP_OK)
		return c->err;
	c->out = json_pack("{s:o, s:s}", "id", api_id(session), "hold", reason);
	return SP_OK;
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
	if (*held != '\0')
		(void)api_fail(c, SP_ESTATE, "the recording is held (%s): 'recording release' first", held);
	else if (row.state == SP_STORE_LIVE)
		(void)api_fail(c, SP_ESTATE, "the session is live: end it first");
	else if (*row.recording == '\0')
		(void)api_fail(c, SP_ENOENT, "that session was never recorded");
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

static enum sp_err
delete_files(const char *state_dir, const struct sp_uuid *session, int *ret_gone)
{
	sp_auto(sp_closep) int dir = -1, day = -1;
	char path[SP_CONF_TEXT + 16], name[SP_REC_PATH];
	enum sp_err r;

	(void)sp_snprintf(path, sizeof(path), "%s/recordings", state_dir);
	if ((dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return SP_EIO;
	if ((r = sp_rec_day_open(dir, session, &day)) != SP_OK)
		return r;
	for (int i = 0; i < SP_REC_FILES; i++) {
		sp_rec_path(session, (enum sp_rec_file)i, name);
		if (unlinkat(day, name + SP_REC_DAY, 0) == 0)
			++*ret_gone;
		else if (errno != ENOENT)
			r = sp_err_errno(errno);
	}
	return r != SP_OK ? r : *ret_gone == 0 ? SP_ENOENT : fsync(day) == -1 ? SP_EIO : SP_OK;
}

static void
deleting_work(struct ctl_job *j, struct sp_store *s)
{
	struct deleting *d = sp_container(j, struct deleting, job);
	struct sp_config conf;

	(void)s;
	ctl_conf_copy(d->ctl, &conf);
	d->err = delete_files(conf.state_dir, &d->session, &d->gone);
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

/* The entry "recording.delete" is durable; what came of it follows as "recording.deleted". */
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
	ctl_job_run(c->ctl, CTL_READ, &d->job);
}
