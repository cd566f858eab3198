/* src/control/audit_read.c - see audit_read.h. A segment is read whole: it is bounded by its rotation size plus the
 * largest entry. Invariant: entries of a segment are numbered without a gap, starting with the number in its name. */
#include "control/audit_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/entry.h"
#include "common/logdir.h"

struct text {
	char	*p;
	size_t	 len;
};

static void text_release(struct text *t) { free(t->p); }

static enum sp_err
segment_read(int fd, struct text *ret)
{
	struct stat st;
	size_t done = 0;

	if (fstat(fd, &st) == -1)
		return sp_err_errno(errno);
	if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > LOGDIR_SEGMENT_MAX)
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
	char name[LOGDIR_NAME_SIZE];
	enum sp_err r;

	logdir_segment_name(first, name);
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
		json_t *o = entry_parse((struct sp_view){ (const uint8_t *)t->p + at, n });

		if (o == NULL || json_integer_value(json_object_get(o, "seq")) != (json_int_t)seq) {
			char name[LOGDIR_NAME_SIZE];

			logdir_segment_name(first, name);
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
	sp_auto(sp_freep) uint64_t *seg = NULL;
	sp_auto(text_release) struct text t = { 0 }, before = { 0 };
	sp_auto(sp_closep) int fd = -1;
	uint64_t first, next = 1;
	size_t whole, n = 0;
	enum sp_err r;

	sp_snprintf(why, why_size, "the audit directory cannot be read");
	if ((r = logdir_segments(dirfd, &seg, &n)) != SP_OK)
		return r;
	if (n == 0) {
		*ret_next_seq = 1;
		return SP_OK;
	}
	if (n > 1) {
		first = seg[n - 2];
		if ((r = segment_open_read(dirfd, first, O_RDONLY, NULL, &before)) != SP_OK ||
		    (r = segment_scan(&before, before.len, first, scan, arg, &next, why, why_size)) != SP_OK)
			return r;
		if (next != seg[n - 1]) {
			sp_snprintf(why, why_size, "segments do not follow each other: entry %llu is missing",
			    (unsigned long long)next);
			return SP_ECORRUPT;
		}
	}
	first = seg[n - 1];
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

/* ---- listing and searching: from the last line of the newest segment backwards. A segment holds the entries of some minutes or
 * days: those of another time are passed over by their first line, and of the others only lines are parsed that have the
 * bytes that are looked for. ---- */

#define FIRST_LINE	8192	/* bytes of a first line that are looked at for its time */

struct needle {
	char	*text;		/* as it stands in a line: escaped as JSON. Owned; NULL: none */
	size_t	 len;
};
static void needle_release(struct needle *n) { free(n->text); }

static enum sp_err
needle_make(const char *s, struct needle *ret)
{
	json_t *j = s != NULL ? json_string(s) : NULL;
	char *text = j != NULL ? json_dumps(j, JSON_ENCODE_ANY) : NULL;

	json_decref(j);
	if (s == NULL)
		return SP_OK;
	if (text == NULL)
		return SP_ENOMEM;
	ret->len = strlen(text) - 2;		/* without its quotes */
	memmove(text, text + 1, ret->len);
	ret->text = text;
	return SP_OK;
}

static int64_t
wall_of(const json_t *o)
{
	const char *wall = json_string_value(json_object_get(o, "wall"));
	int64_t at = 0;

	return wall != NULL && sp_rfc3339_parse(wall, &at) == SP_OK ? at : 0;
}

static int
is_text(const json_t *o, const char *key, const char *want)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL && strcmp(s, want) == 0;
}

static int
kind_matches(const json_t *o, const char *want)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));
	size_t n = strlen(want);

	if (kind == NULL || n == 0)
		return 0;
	return want[n - 1] == '.' ? strncmp(kind, want, n) == 0 : strcmp(kind, want) == 0;
}

static int
entry_matches(const json_t *o, const struct audit_query *q)
{
	int64_t at = wall_of(o);

	if ((q->since_us != 0 && at < q->since_us) || (q->until_us != 0 && at > q->until_us))
		return 0;
	if (q->session != NULL && !is_text(o, "session", q->session))
		return 0;
	if (q->actor != NULL && !is_text(o, "actor", q->actor))
		return 0;
	if (q->object != NULL && !is_text(o, "object_id", q->object) && !is_text(o, "user_id", q->object) &&
	    !is_text(o, "asset_id", q->object) && !is_text(o, "account_id", q->object) && !is_text(o, "conn", q->object))
		return 0;
	return q->kind == NULL || kind_matches(o, q->kind);
}

struct search {
	const struct audit_query	*q;
	struct needle			 has[4];	/* a line without one of these is not what is looked for */
	json_t				*out;
};

static int
line_may(const struct search *k, const char *p, size_t n)
{
	for (size_t i = 0; i < SP_NELEMS(k->has); i++)
		if (k->has[i].text != NULL && memmem(p, n, k->has[i].text, k->has[i].len) == NULL)
			return 0;
	return 1;
}

/* Returns 1 when enough was found. */
static int
segment_list(const struct text *t, const struct search *k)
{
	size_t end = whole_lines(t);

	while (end > 0 && json_array_size(k->out) < k->q->limit) {
		const char *nl = memrchr(t->p, '\n', end - 1);
		size_t at = nl != NULL ? (size_t)(nl - t->p) + 1 : 0;
		json_t *o;

		if (line_may(k, t->p + at, end - 1 - at)) {
			o = entry_parse((struct sp_view){ (const uint8_t *)t->p + at, end - 1 - at });
			if (o != NULL && entry_matches(o, k->q))
				json_array_append(k->out, o);
			json_decref(o);
		}
		end = at;
	}
	return json_array_size(k->out) >= k->q->limit;
}

/* Wall time of the first entry of a segment; 0: not to be told. */
static int64_t
segment_begin(int dirfd, uint64_t first)
{
	static const char key[] = "\"wall\":\"";
	sp_auto(sp_closep) int fd = -1;
	char name[LOGDIR_NAME_SIZE], buf[FIRST_LINE], *p, *q;
	int64_t at = 0;
	ssize_t n;

	logdir_segment_name(first, name);
	if ((fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1 || (n = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return 0;
	buf[n] = '\0';
	buf[strcspn(buf, "\n\t")] = '\0';
	/* The last one: members are sorted, and `more` stands before it. */
	for (p = NULL, q = buf; (q = strstr(q, key)) != NULL; q++)
		p = q + sizeof(key) - 1;
	if (p == NULL)
		return 0;
	p[strcspn(p, "\"")] = '\0';
	return sp_rfc3339_parse(p, &at) == SP_OK ? at : 0;
}

/* May the segment hold entries of the time that is asked for? The clock may have been set, hence an hour on both sides. */
static int
segment_in_time(int dirfd, const uint64_t *seg, size_t i, size_t n, const struct audit_query *q)
{
	const int64_t slack = 3600 * (int64_t)SP_US_PER_S;
	int64_t begin, end;

	if (q->until_us != 0 && (begin = segment_begin(dirfd, seg[i])) != 0 && begin > q->until_us + slack)
		return 0;
	if (q->since_us != 0 && i + 1 < n && (end = segment_begin(dirfd, seg[i + 1])) != 0 && end < q->since_us - slack)
		return 0;
	return 1;
}

enum sp_err
audit_read_list(int dirfd, const struct audit_query *q, json_t *out)
{
	struct search k = { .q = q, .out = out };
	const char *want[SP_NELEMS(k.has)] = { q->session, q->actor, q->object, q->text };
	sp_auto(sp_freep) uint64_t *seg = NULL;
	size_t n = 0;
	enum sp_err r = logdir_segments(dirfd, &seg, &n);

	for (size_t i = 0; i < SP_NELEMS(want) && r == SP_OK; i++)
		r = needle_make(want[i], &k.has[i]);
	for (size_t i = n; i-- > 0 && r == SP_OK; ) {
		sp_auto(text_release) struct text t = { 0 };

		if (!segment_in_time(dirfd, seg, i, n, q))
			continue;
		if ((r = segment_open_read(dirfd, seg[i], O_RDONLY, NULL, &t)) == SP_OK && segment_list(&t, &k))
			break;
	}
	for (size_t i = 0; i < SP_NELEMS(k.has); i++)
		needle_release(&k.has[i]);
	return r;
}
