/* src/siem/memory.c - see memory.h. Process: siem. One file, "counts": a line with form, entry, length, and
 * SHA-256 over these and the bytes; then the bytes.
 * Invariant: it is replaced as a whole, and the new one is on disk before it has the name. */
#include "siem/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/file.h"
#include "base/str.h"
#include "crypto/hash.h"

#define HEAD_SIZE	160

static void
head_make(uint64_t upto, const struct sp_buf *b, char dst[HEAD_SIZE])
{
	uint8_t sum[SP_SHA256_LEN];
	char hex[2 * SP_SHA256_LEN + 1], front[64];
	struct sp_sha256 h;

	sp_snprintf(front, sizeof(front), "sallyport-siem 1 %" PRIu64 " %zu", upto, b->len);
	sp_sha256_begin(&h);
	sp_sha256_add(&h, front, strlen(front));
	sp_sha256_add(&h, b->p, b->len);
	sp_sha256_now(&h, sum);
	sp_hex(sum, sizeof(sum), hex);
	sp_snprintf(dst, HEAD_SIZE, "%s %s\n", front, hex);
}

static enum sp_err
read_all(int fd, struct sp_buf *b)
{
	char part[65536];
	ssize_t n;

	while ((n = read(fd, part, sizeof(part))) > 0) {
		enum sp_err r = sp_buf_append(b, part, (size_t)n);

		if (r != SP_OK)
			return r;
	}
	return n == 0 ? SP_OK : sp_err_errno(errno);
}

enum sp_err
memory_read(int dirfd, uint64_t *ret_upto, struct sp_buf *ret)
{
	sp_auto(sp_buf_release) struct sp_buf all = { .max = MEMORY_MAX + HEAD_SIZE };
	sp_auto(sp_closep) int fd = openat(dirfd, "counts", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char head[HEAD_SIZE];
	struct sp_buf body;
	uint64_t upto;
	enum sp_err r;
	uint8_t *nl;
	size_t n;

	if (fd == -1)
		return sp_err_errno(errno);
	if ((r = read_all(fd, &all)) != SP_OK)
		return r;
	if ((nl = all.len > 0 ? memchr(all.p, '\n', all.len) : NULL) == NULL || (n = (size_t)(nl - all.p) + 1) >= sizeof(head))
		return SP_EFORMAT;
	memcpy(head, all.p, n);
	head[n] = '\0';
	if (sscanf(head, "sallyport-siem 1 %20" SCNu64 " ", &upto) != 1)
		return SP_EFORMAT;
	body = (struct sp_buf){ .p = all.p + n, .len = all.len - n };
	head_make(upto, &body, head);
	if (strlen(head) != n || memcmp(head, all.p, n) != 0)
		return SP_EFORMAT;
	if ((r = sp_buf_append(ret, body.p, body.len)) == SP_OK)
		*ret_upto = upto;
	return r;
}

enum sp_err
memory_write(int dirfd, uint64_t upto, const struct sp_buf *b)
{
	sp_auto(sp_closep) int fd = openat(dirfd, "counts.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	char head[HEAD_SIZE];
	enum sp_err r;

	if (fd == -1)
		return sp_err_errno(errno);
	head_make(upto, b, head);
	if ((r = sp_write_all(fd, head, strlen(head))) != SP_OK || (r = sp_write_all(fd, b->p, b->len)) != SP_OK)
		return r;
	if (fdatasync(fd) == -1 || renameat(dirfd, "counts.new", dirfd, "counts") == -1 || fsync(dirfd) == -1)
		return sp_err_errno(errno);
	return SP_OK;
}
