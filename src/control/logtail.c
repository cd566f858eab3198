/* src/control/logtail.c - see logtail.h. */
#include "control/logtail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "control/audit_read.h"

#define BLOCK	((size_t)256 * 1024)

enum sp_err
logtail_init(struct logtail *t, int dirfd)
{
	*t = (struct logtail){ .dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3), .fd = -1 };
	sp_buf_init(&t->buf, BLOCK + AUDIT_LINE_MAX);
	return t->dirfd == -1 ? sp_err_errno(errno) : SP_OK;
}

void
logtail_release(struct logtail *t)
{
	sp_closep(&t->fd);
	sp_closep(&t->dirfd);
	sp_buf_release(&t->buf);
}

/* First number in the name of a segment; 0: not one. */
static uint64_t
name_first(const char *s)
{
	char again[AUDIT_NAME_SIZE];
	uint64_t n = 0;
	uint8_t b[8];
	char hex[17];

	if (strlen(s) < 22)
		return 0;
	memcpy(hex, s + 6, 16);
	hex[16] = '\0';
	if (sp_hex_parse(hex, b, sizeof(b)) != SP_OK)
		return 0;
	for (size_t i = 0; i < sizeof(b); i++)
		n = n << 8 | b[i];
	audit_segment_name(n, again);
	return strcmp(again, s) == 0 ? n : 0;
}

/* The segment that seq is in: the last one that begins at or before it. */
static enum sp_err
segment_of(int dirfd, uint64_t seq, uint64_t *ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	uint64_t best = 0;

	if (d == NULL) {
		enum sp_err r = sp_err_errno(errno);

		sp_closep(&fd);
		return r;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		uint64_t first = name_first(e->d_name);

		if (first != 0 && first <= seq && first > best)
			best = first;
	}
	closedir(d);
	if (best == 0)
		return SP_ENOENT;
	*ret = best;
	return SP_OK;
}

static enum sp_err
segment_open(struct logtail *t, uint64_t first)
{
	char name[AUDIT_NAME_SIZE];

	sp_closep(&t->fd);
	audit_segment_name(first, name);
	if ((t->fd = openat(t->dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return sp_err_errno(errno);
	sp_buf_reset(&t->buf);
	t->at = 0;
	t->offset = 0;
	t->next = first;
	return SP_OK;
}

/* Read on. SP_ENOENT: at the end of the segment. */
static enum sp_err
segment_more(struct logtail *t)
{
	enum sp_err r;
	ssize_t n;

	sp_buf_consume(&t->buf, t->at);
	t->at = 0;
	if ((r = sp_buf_reserve(&t->buf, BLOCK)) != SP_OK)
		return r == SP_ESIZE ? SP_ECORRUPT : r;		/* a line longer than any entry */
	while ((n = pread(t->fd, t->buf.p + t->buf.len, BLOCK, (off_t)t->offset)) == -1 && errno == EINTR)
		;
	if (n == -1)
		return sp_err_errno(errno);
	t->buf.len += (size_t)n;
	t->offset += (uint64_t)n;
	return n == 0 ? SP_ENOENT : SP_OK;
}

/* The line of entry t->next, borrowed. SP_ENOENT: the segment ends before it. */
static enum sp_err
line_next(struct logtail *t, struct sp_view *ret)
{
	for (;;) {
		uint8_t *p = t->buf.p + t->at;
		size_t n = t->buf.len - t->at;
		uint8_t *nl = n > 0 ? memchr(p, '\n', n) : NULL;
		enum sp_err r;

		if (nl != NULL) {
			*ret = (struct sp_view){ p, (size_t)(nl - p) };
			t->at += ret->len + 1;
			t->next++;
			return SP_OK;
		}
		if ((r = segment_more(t)) != SP_OK)
			return r;
	}
}

enum sp_err
logtail_get(struct logtail *t, uint64_t seq, json_t **ret)
{
	struct sp_view line = { 0 };
	uint64_t first = 0;
	enum sp_err r = SP_ENOENT;
	json_t *o;

	if (t->fd != -1 && t->next <= seq)
		while ((r = line_next(t, &line)) == SP_OK && t->next <= seq)
			;
	if (r == SP_ENOENT) {		/* in another segment */
		if ((r = segment_of(t->dirfd, seq, &first)) != SP_OK || (r = segment_open(t, first)) != SP_OK)
			return r;
		while ((r = line_next(t, &line)) == SP_OK && t->next <= seq)
			;
	}
	if (r != SP_OK)
		return r;
	o = json_loadb((const char *)line.p, line.len, 0, NULL);
	if (!json_is_object(o) || json_integer_value(json_object_get(o, "seq")) != (json_int_t)seq) {
		json_decref(o);
		sp_closep(&t->fd);
		return SP_ECORRUPT;
	}
	*ret = o;
	return SP_OK;
}
