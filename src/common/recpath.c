/* src/common/recpath.c - see recpath.h. */
#include "common/recpath.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

void
sp_rec_path(const struct sp_uuid *session, enum sp_rec_file file, char dst[SP_REC_PATH])
{
	sp_rec_segment_path(session, 1, file, dst);
}

void
sp_rec_segment_path(const struct sp_uuid *session, unsigned segment, enum sp_rec_file file, char dst[SP_REC_PATH])
{
	static const char *const ends[SP_REC_FILES] = { "age", "tail0", "tail1" };
	char t[SP_RFC3339_SIZE], id[SP_UUID_SIZE];
	uint64_t ms = 0;

	for (int i = 0; i < 6; i++)	/* the time in a UUID of version 7 */
		ms = ms << 8 | session->b[i];
	(void)sp_rfc3339((int64_t)ms * 1000, t, sizeof(t));
	if (t[0] < '0' || t[0] > '9')
		(void)sp_strlcpy(t, "1970-01-01", sizeof(t));
	(void)sp_snprintf(dst, SP_REC_PATH, "%.4s/%.2s/%.2s/%s.%04u.%s", t, t + 5, t + 8, sp_uuid_text(session, id), segment % 10000,
	    ends[file]);
}

enum sp_err
sp_rec_day_open(int recordings, const struct sp_uuid *session, int *ret)
{
	char path[SP_REC_PATH];
	static const uint8_t begin[3] = { 0, 5, 8 }, end[3] = { 4, 7, 10 };
	int at = recordings;

	sp_rec_path(session, SP_REC_AGE, path);
	for (int i = 0; i < 3; i++) {
		int fd;

		path[end[i]] = '\0';
		fd = openat(at, path + begin[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (at != recordings)
			close(at);
		if (fd == -1)
			return errno == ENOTDIR || errno == ELOOP ? SP_ENOENT : sp_err_errno(errno);
		at = fd;
	}
	*ret = at;
	return SP_OK;
}

void
sp_rec_kept_path(const struct sp_uuid *session, char dst[SP_REC_PATH])
{
	size_t n;

	sp_rec_path(session, SP_REC_AGE, dst);
	n = SP_REC_DAY + SP_UUID_SIZE - 1;
	(void)sp_strlcpy(dst + n, ".files.age", SP_REC_PATH - n);
}

enum sp_err
sp_rec_kept_open(int recordings, const struct sp_uuid *session, int *ret)
{
	sp_auto(sp_closep) int day = -1, fd = -1;
	char path[SP_REC_PATH];
	struct stat st;
	enum sp_err r;

	if ((r = sp_rec_day_open(recordings, session, &day)) != SP_OK)
		return r;
	sp_rec_kept_path(session, path);
	if ((fd = openat(day, path + SP_REC_DAY, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) == -1)
		return errno == ELOOP ? SP_EFORMAT : sp_err_errno(errno);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return SP_EFORMAT;
	*ret = sp_steal_fd(&fd);
	return SP_OK;
}

enum sp_err
sp_rec_open(int recordings, const struct sp_uuid *session, enum sp_rec_file file, int *ret)
{
	return sp_rec_segment_open(recordings, session, 1, file, ret);
}

enum sp_err
sp_rec_segment_open(int recordings, const struct sp_uuid *session, unsigned segment, enum sp_rec_file file, int *ret)
{
	sp_auto(sp_closep) int day = -1, fd = -1;
	char path[SP_REC_PATH];
	struct stat st;
	enum sp_err r;

	if ((r = sp_rec_day_open(recordings, session, &day)) != SP_OK)
		return r;
	sp_rec_segment_path(session, segment, file, path);
	if ((fd = openat(day, path + SP_REC_DAY, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)) == -1)
		return errno == ELOOP ? SP_EFORMAT : sp_err_errno(errno);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return SP_EFORMAT;
	*ret = sp_steal_fd(&fd);
	return SP_OK;
}
