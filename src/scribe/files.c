/* src/scribe/files.c - the files of a recording are made. Process: scribe, before its sandbox closes. */
#include "scribe/scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "scribe/recwriter.h"

/* Open dir/name below dirfd, make it if need be, durable in its parent. Closes dirfd. */
static enum sp_err
files_enter(int dirfd, const char *name, int *ret)
{
	enum sp_err r = SP_OK;
	int fd, made = mkdirat(dirfd, name, 0770) == 0;

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

/* The directory of the day, made if need be. */
static enum sp_err
files_day(int recordings, const char *path, int *ret)
{
	char part[3][8];
	int fd = dup(recordings);
	enum sp_err r;

	if (fd == -1)
		return sp_err_errno(errno);
	(void)sp_snprintf(part[0], sizeof(part[0]), "%.4s", path);
	(void)sp_snprintf(part[1], sizeof(part[1]), "%.2s", path + 5);
	(void)sp_snprintf(part[2], sizeof(part[2]), "%.2s", path + 8);
	for (int i = 0; i < 3; i++)
		if ((r = files_enter(fd, part[i], &fd)) != SP_OK)
			return r;
	*ret = fd;
	return SP_OK;
}

enum sp_err
sp_scribe_files(int recordings, const struct sp_uuid *session, unsigned segment, uint64_t reserve_bytes, struct sp_scribe_files *ret)
{
	sp_auto(sp_closep) int day = -1;
	struct sp_scribe_files f = { { -1, -1, -1 } };
	char path[SP_REC_PATH];
	uint64_t avail = 0;
	enum sp_err r;

	sp_rec_path(session, SP_REC_AGE, path);
	if ((r = files_day(recordings, path, &day)) != SP_OK || (r = sp_fs_free(day, &avail)) != SP_OK)
		return r;
	if (avail < reserve_bytes)
		return SP_ENOSPC;
	for (int i = 0; i < SP_REC_FILES && r == SP_OK; i++) {
		sp_rec_segment_path(session, segment, (enum sp_rec_file)i, path);
		f.fd[i] = openat(day, path + SP_REC_DAY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
		if (f.fd[i] == -1)
			r = sp_err_errno(errno);
	}
	if (r == SP_OK && fsync(day) == -1)
		r = SP_EIO;
	if (r != SP_OK) {
		for (int i = 0; i < SP_REC_FILES; i++)
			sp_closep(&f.fd[i]);
		return r;
	}
	*ret = f;
	return SP_OK;
}

enum sp_err
sp_scribe_kept_file(int recordings, const struct sp_uuid *session, int *ret)
{
	sp_auto(sp_closep) int day = -1, fd = -1;
	char path[SP_REC_PATH];
	enum sp_err r;

	if ((r = sp_rec_day_open(recordings, session, &day)) != SP_OK)
		return r;
	sp_rec_kept_path(session, path);
	if ((fd = openat(day, path + SP_REC_DAY, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640)) == -1)
		return sp_err_errno(errno);
	if (fsync(day) == -1)
		return SP_EIO;
	*ret = sp_steal_fd(&fd);
	return SP_OK;
}
