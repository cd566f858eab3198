/* src/courier/cursor.c - see cursor.h. */
#include "courier/cursor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

#define FILE_SIZE	40
#define TEXT_SIZE	640

static void
file_name(const char *name, const char *end, char dst[FILE_SIZE])
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);	/* FNV-1a: only to be told apart, and the name is inside */

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	sp_snprintf(dst, FILE_SIZE, "cursor-%016llx%s", (unsigned long long)h, end);
}

enum sp_err
cursor_read(int dirfd, const char *name, uint64_t *ret)
{
	sp_auto(sp_closep) int fd = -1;
	char file[FILE_SIZE], text[TEXT_SIZE], *end;
	unsigned long long at;
	ssize_t n;

	file_name(name, "", file);
	if ((fd = openat(dirfd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return sp_err_errno(errno);
	if ((n = read(fd, text, sizeof(text) - 1)) <= 0)
		return SP_EFORMAT;
	text[n] = '\0';
	errno = 0;
	at = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != ' ' || text[n - 1] != '\n')
		return SP_EFORMAT;
	text[n - 1] = '\0';
	if (strcmp(end + 1, name) != 0)
		return SP_ENOENT;
	*ret = at;
	return SP_OK;
}

enum sp_err
cursor_write(int dirfd, const char *name, uint64_t at)
{
	sp_auto(sp_closep) int fd = -1;
	char file[FILE_SIZE], next[FILE_SIZE], text[TEXT_SIZE];
	ssize_t n;

	file_name(name, "", file);
	file_name(name, ".new", next);
	if (sp_snprintf(text, sizeof(text), "%llu %s\n", (unsigned long long)at, name) != 0)
		return SP_ESIZE;
	if ((fd = openat(dirfd, next, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1)
		return sp_err_errno(errno);
	n = write(fd, text, strlen(text));
	if (n != (ssize_t)strlen(text) || fdatasync(fd) == -1)
		return n == -1 ? sp_err_errno(errno) : SP_EIO;
	if (renameat(dirfd, next, dirfd, file) == -1 || fsync(dirfd) == -1)
		return sp_err_errno(errno);
	return SP_OK;
}
