/* src/control/api_recording.c - the files of recordings: handed out as they are, encrypted to auditors. Process: control. */
#include "control/api.h"

#include <fcntl.h>
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
