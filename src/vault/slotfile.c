/* src/vault/slotfile.c - see slotfile.h. */
#include "vault/slotfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"

static enum sp_err
slotfile_read_all(int fd, struct sp_buf *ret)
{
	uint8_t chunk[4096];
	ssize_t n;
	enum sp_err r;

	for (;;) {
		if ((n = read(fd, chunk, sizeof(chunk))) == 0)
			return SP_OK;
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return sp_err_errno(errno);
		if ((r = sp_buf_append(ret, chunk, (size_t)n)) != SP_OK)
			return r;
	}
}

enum sp_err
vaultfile_read(int dirfd, const char *name, const char *temp, struct sp_buf *ret)
{
	sp_auto(sp_closep) int fd = -1;

	if (unlinkat(dirfd, temp, 0) == -1 && errno != ENOENT)
		return sp_err_errno(errno);
	if ((fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return sp_err_errno(errno);
	return slotfile_read_all(fd, ret);
}

enum sp_err
slotfile_read(int dirfd, struct sp_buf *ret)
{
	return vaultfile_read(dirfd, SLOTFILE_NAME, SLOTFILE_TEMP, ret);
}

static enum sp_err
slotfile_write_temp(int dirfd, const char *temp, struct sp_view text)
{
	sp_auto(sp_closep) int fd = -1;
	enum sp_err r;

	if (unlinkat(dirfd, temp, 0) == -1 && errno != ENOENT)
		return sp_err_errno(errno);
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd == -1)
		return sp_err_errno(errno);
	if ((r = sp_write_all(fd, text.p, text.len)) != SP_OK)
		return r;
	return fsync(fd) == 0 ? SP_OK : sp_err_errno(errno);
}

enum sp_err
vaultfile_write(int dirfd, const char *name, const char *temp, struct sp_view text)
{
	enum sp_err r = slotfile_write_temp(dirfd, temp, text);

	if (r == SP_OK && renameat(dirfd, temp, dirfd, name) == -1)
		r = sp_err_errno(errno);
	if (r != SP_OK) {
		unlinkat(dirfd, temp, 0);
		return r;
	}
	return fsync(dirfd) == 0 ? SP_OK : SP_ESYS;
}

enum sp_err
slotfile_write(int dirfd, struct sp_view text)
{
	return vaultfile_write(dirfd, SLOTFILE_NAME, SLOTFILE_TEMP, text);
}
