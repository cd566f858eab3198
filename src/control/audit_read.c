/* src/control/audit_read.c - see audit_read.h. A segment is read whole: it is bounded by its rotation size plus the
 * largest entry. Invariant: entries of a segment are numbered without a gap, starting with the number in its name. */
#include "control/audit_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define SEGMENT_READ_MAX	(AUDIT_SEGMENT_BYTES + 2 * AUDIT_LINE_MAX + 64u * 1024 * 1024)	/* one batch may overshoot */

struct names {
	uint64_t	*seq;
	size_t		 n, cap;
};
struct text {
	char	*p;
	size_t	 len;
};

void
audit_segment_name(uint64_t first_seq, char dst[AUDIT_NAME_SIZE])
{
	(void)sp_snprintf(dst, AUDIT_NAME_SIZE, "audit-%016llx.log", (unsigned long long)first_seq);
}

static void names_release(struct names *n) { free(n->seq); }
static void text_release(struct text *t) { free(t->p); }

static int
name_parse(const char *s, uint64_t *ret)
{
	uint8_t b[8];
	char hex[17];

	if (strlen(s) != 26 || strncmp(s, "audit-", 6) != 0 || strcmp(s + 22, ".log") != 0)
		return 0;
	memcpy(hex, s + 6, 16);
	hex[16] = '\0';
	if (sp_hex_parse(hex, b, 8) != SP_OK)
		return 0;
	*ret = 0;
	for (int i = 0; i < 8; i++)
		*ret = *ret << 8 | b[i];
	return 1;
}

static int
names_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static enum sp_err
names_read(int dirfd, struct names *ret)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);
	struct dirent *de;
	enum sp_err r = SP_OK;

	if (d == NULL) {
		r = sp_err_errno(errno);
		sp_closep(&fd);
		return r;
	}
	while (r == SP_OK && (de = readdir(d)) != NULL) {
		uint64_t seq;

		if (!name_parse(de->d_name, &seq))
			continue;
		if (ret->n == ret->cap) {
			size_t cap = ret->cap ? ret->cap * 2 : 64;
			uint64_t *p = realloc(ret->seq, cap * sizeof(*p));

			if (p == NULL) {
				r = SP_ENOMEM;
				break;
			}
			ret->seq = p;
			ret->cap = cap;
		}
		ret->seq[ret->n++] = seq;
	}
	closedir(d);
	if (r == SP_OK && ret->n > 1)
		qsort(ret->seq, ret->n, sizeof(*ret->seq), names_cmp);
	return r;
}

static enum sp_err
segment_read(int fd, struct text *ret)
{
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st) == -1)
		return sp_err_errno(errno);
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > SEGMENT_READ_MAX)
		return SP_ESIZE;
	if ((ret->p = malloc((size_t)st.st_size + 1)) == NULL)
		return SP_ENOMEM;
	while (done < (size_t)st.st_size) {
		ssize_t n = pread(fd, ret->p + done, (size_t)st.st_size - done, (off_t)done);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return sp_err_errno(errno);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	ret->len = done;
	ret->p[done] = '\0';
	return SP_OK;
}

static enum sp_err
segment_open_read(int dirfd, uint64_t first, int flags, int *ret_fd, struct text *ret)
{
	sp_auto(sp_closep) int fd = -1;
	char name[AUDIT_NAME_SIZE];
	enum sp_err r;

	audit_segment_name(first, name);
	if ((fd = openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return sp_err_errno(errno);
	if ((r = segment_read(fd, ret)) == SP_OK && ret_fd != NULL)
		*ret_fd = sp_steal_fd(&fd);
	return r;
}

/* Bytes up to and with the last newline; what follows is a line that was being written when the power went. */
static size_t
whole_lines(const struct text *t)
{
	size_t n = t->len;

	while (n > 0 && t->p[n - 1] != '\n')
		n--;
	return n;
}

static enum sp_err
segment_scan(const struct text *t, size_t len, uint64_t first, audit_scan_fn *scan, void *arg, uint64_t *ret_next,
    char *why, size_t why_size)
{
	uint64_t seq = first;

	for (size_t at = 0; at < len; ) {
		size_t n = (size_t)((char *)memchr(t->p + at, '\n', len - at) - (t->p + at));
		json_t *o = json_loadb(t->p + at, n, JSON_REJECT_DUPLICATES, NULL);

		if (!json_is_object(o) || json_integer_value(json_object_get(o, "seq")) != (json_int_t)seq) {
			char name[AUDIT_NAME_SIZE];

			audit_segment_name(first, name);
			sp_snprintf(why, why_size, "%s, byte %zu: entry %llu is damaged or missing", name, at,
			    (unsigned long long)seq);
			json_decref(o);
			return SP_ECORRUPT;
		}
		if (scan != NULL)
			scan(o, arg);
		json_decref(o);
		seq++;
		at += n + 1;
	}
	*ret_next = seq;
	return SP_OK;
}

enum sp_err
audit_read_tail(int dirfd, audit_scan_fn *scan, void *arg, int *ret_fd, uint64_t *ret_bytes, uint64_t *ret_next_seq,
    char *why, size_t why_size)
{
	sp_auto(names_release) struct names names = { 0 };
	sp_auto(text_release) struct text t = { 0 }, before = { 0 };
	sp_auto(sp_closep) int fd = -1;
	uint64_t first, next = 1;
	size_t whole;
	enum sp_err r;

	sp_snprintf(why, why_size, "the audit directory cannot be read");
	if ((r = names_read(dirfd, &names)) != SP_OK)
		return r;
	if (names.n == 0) {
		*ret_next_seq = 1;
		return SP_OK;
	}
	if (names.n > 1) {
		first = names.seq[names.n - 2];
		if ((r = segment_open_read(dirfd, first, O_RDONLY, NULL, &before)) != SP_OK ||
		    (r = segment_scan(&before, before.len, first, scan, arg, &next, why, why_size)) != SP_OK)
			return r;
		if (next != names.seq[names.n - 1]) {
			sp_snprintf(why, why_size, "segments do not follow each other: entry %llu is missing",
			    (unsigned long long)next);
			return SP_ECORRUPT;
		}
	}
	first = names.seq[names.n - 1];
	if ((r = segment_open_read(dirfd, first, O_RDWR | O_APPEND, &fd, &t)) != SP_OK)
		return r;
	whole = whole_lines(&t);
	if ((r = segment_scan(&t, whole, first, scan, arg, &next, why, why_size)) != SP_OK)
		return r;
	if (whole < t.len && (ftruncate(fd, (off_t)whole) == -1 || fdatasync(fd) == -1))
		return SP_EIO;
	*ret_fd = sp_steal_fd(&fd);
	*ret_bytes = whole;
	*ret_next_seq = next;
	return SP_OK;
}

static int
entry_matches(const json_t *o, const struct audit_query *q, int *ret_older)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	const char *session = json_string_value(json_object_get(o, "session"));
	const char *wall = json_string_value(json_object_get(o, "wall"));
	int64_t at;
	size_t n;

	if (q->since_us != 0 && wall != NULL && sp_rfc3339_parse(wall, &at) == SP_OK && at < q->since_us) {
		*ret_older = 1;
		return 0;
	}
	if (q->session != NULL && (session == NULL || strcmp(session, q->session) != 0))
		return 0;
	if (q->kind == NULL)
		return 1;
	n = strlen(q->kind);
	if (kind == NULL || n == 0)
		return 0;
	return q->kind[n - 1] == '.' ? strncmp(kind, q->kind, n) == 0 : strcmp(kind, q->kind) == 0;
}

/* From the last line backwards. Returns 1 when enough was found. */
static int
segment_list(const struct text *t, const struct audit_query *q, json_t *out)
{
	size_t end = whole_lines(t);
	int older = 0;

	while (end > 0 && !older && json_array_size(out) < q->limit) {
		size_t at = end - 1;
		json_t *o;

		while (at > 0 && t->p[at - 1] != '\n')
			at--;
		/* A cheap look before the parser: a session id is in the line as it is. */
		if (q->session == NULL || memmem(t->p + at, end - at, q->session, strlen(q->session)) != NULL) {
			o = json_loadb(t->p + at, end - 1 - at, 0, NULL);
			if (o != NULL && entry_matches(o, q, &older))
				json_array_append(out, o);
			json_decref(o);
		}
		end = at;
	}
	return older || json_array_size(out) >= q->limit;
}

enum sp_err
audit_read_list(int dirfd, const struct audit_query *q, json_t *out)
{
	sp_auto(names_release) struct names names = { 0 };
	enum sp_err r;

	if ((r = names_read(dirfd, &names)) != SP_OK)
		return r;
	for (size_t i = names.n; i-- > 0; ) {
		sp_auto(text_release) struct text t = { 0 };

		if ((r = segment_open_read(dirfd, names.seq[i], O_RDONLY, NULL, &t)) != SP_OK)
			return r;
		if (segment_list(&t, q, out))
			break;
	}
	return SP_OK;
}
