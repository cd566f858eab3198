/* lib/base/file.c - see file.h. */
#include "base/file.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

enum sp_err
sp_write_all(int fd, const void *p, size_t n)
{
	for (const uint8_t *at = p; n > 0; ) {
		ssize_t k = write(fd, at, n);

		if (k == -1 && errno == EINTR)
			continue;
		if (k <= 0)
			return k == -1 ? sp_err_errno(errno) : SP_EIO;
		at += k;
		n -= (size_t)k;
	}
	return SP_OK;
}
