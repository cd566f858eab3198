/* src/courier/outbox.c - see outbox.h. */
#include "courier/outbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/htab.h"
#include "common/jsonw.h"

#define NAME_SIZE	SP_OUTBOX_NAME
#define NAME_LEN	16
#define LINE_MAX_BYTES	(1024u * 1024)
#define BLOCK		65536u
#define DAY_US		(86400 * (int64_t)SP_US_PER_S)
#define PREFIX		"{\"id\":\""		/* every line begins so: reading an id back needs no parser */
#define PREFIX_LEN	(sizeof(PREFIX) - 1)

struct known {
	struct sp_hnode	node;
	struct sp_uuid	id;
};
struct sp_outbox {
	int		dirfd, fd;		/* fd: of today's file, -1 */
	char		name[NAME_SIZE];
	uint64_t	size;
	int		dirty;
	char		newest[NAME_SIZE];	/* name of the newest file, "": none */
	struct sp_htab	by_id;
	struct known	*ring;			/* SP_OUTBOX_KNOWN, oldest overwritten */
	size_t		n;
};

static enum sp_err
known_add(struct sp_outbox *o, const struct sp_uuid *id)
{
	struct known *k = &o->ring[o->n % SP_OUTBOX_KNOWN];
	enum sp_err r;

	if (sp_htab_find(&o->by_id, id->b, SP_UUID_LEN) != NULL)
		return SP_EEXIST;
	if (o->n >= SP_OUTBOX_KNOWN)
		sp_htab_remove(&o->by_id, &k->node);
	*k = (struct known){ .id = *id };
	if ((r = sp_htab_insert(&o->by_id, &k->node, k->id.b, SP_UUID_LEN)) == SP_OK)
		o->n++;
	return r;
}

/* "2026-09-01.jsonl" and nothing else. */
int
sp_outbox_is_file(const char *s)
{
	if (strlen(s) != NAME_LEN || s[4] != '-' || s[7] != '-' || strcmp(s + 10, ".jsonl") != 0)
		return 0;
	for (int i = 0; i < 10; i++)
		if (i != 4 && i != 7 && (s[i] < '0' || s[i] > '9'))
			return 0;
	return 1;
}

/* The names of the last two files, the older first; "" where there is none. */
static enum sp_err
last_two(int dirfd, char older[NAME_SIZE], char newer[NAME_SIZE])
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

	older[0] = newer[0] = '\0';
	if (d == NULL) {
		sp_closep(&fd);
		return SP_EIO;
	}
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (!sp_outbox_is_file(e->d_name))
			continue;
		if (strcmp(e->d_name, newer) > 0) {
			memcpy(older, newer, NAME_SIZE);
			(void)sp_strlcpy(newer, e->d_name, NAME_SIZE);
		} else if (strcmp(e->d_name, older) > 0) {
			(void)sp_strlcpy(older, e->d_name, NAME_SIZE);
		}
	}
	closedir(d);
	return SP_OK;
}

static void
line_known(struct sp_outbox *o, const char *line, size_t n, enum sp_err *r)
{
	char text[SP_UUID_SIZE];
	struct sp_uuid id;

	if (n < PREFIX_LEN + SP_UUID_SIZE || memcmp(line, PREFIX, PREFIX_LEN) != 0)
		return;
	(void)sp_snprintf(text, sizeof(text), "%.36s", line + PREFIX_LEN);
	if (sp_uuid_parse(text, &id) == SP_OK && (*r = known_add(o, &id)) == SP_EEXIST)
		*r = SP_OK;
}

/* Learn the ids of a file; *ret_whole: its length without a line that was cut. Only the beginning of a line is kept. */
static enum sp_err
file_learn(struct sp_outbox *o, int fd, uint64_t *ret_whole)
{
	sp_auto(sp_freep) char *block = malloc(BLOCK);
	char head[PREFIX_LEN + SP_UUID_SIZE + 1];
	size_t head_n = 0;
	uint64_t at = 0, whole = 0;
	enum sp_err r = SP_OK;
	ssize_t n = 0;

	if (block == NULL)
		return SP_ENOMEM;
	while (r == SP_OK && (n = pread(fd, block, BLOCK, (off_t)at)) > 0) {
		for (ssize_t i = 0; i < n && r == SP_OK; i++) {
			if (block[i] == '\n') {
				line_known(o, head, head_n, &r);
				head_n = 0;
				whole = at + (uint64_t)i + 1;
			} else if (head_n < sizeof(head)) {
				head[head_n++] = block[i];
			}
		}
		at += (uint64_t)n;
	}
	if (n == -1)
		return SP_EIO;
	*ret_whole = whole;
	return r;
}

static enum sp_err
file_load(struct sp_outbox *o, const char *name)
{
	sp_auto(sp_closep) int fd = -1;
	uint64_t whole = 0;
	struct stat st;
	enum sp_err r;

	if (*name == '\0')
		return SP_OK;
	if ((fd = openat(o->dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC)) == -1)
		return sp_err_errno(errno);
	if ((r = file_learn(o, fd, &whole)) != SP_OK)
		return r;
	if (fstat(fd, &st) == -1)
		return SP_EIO;
	if ((uint64_t)st.st_size > whole && (ftruncate(fd, (off_t)whole) == -1 || fsync(fd) == -1))
		return SP_EIO;
	return SP_OK;
}

enum sp_err
sp_outbox_open(int dirfd, struct sp_outbox **ret)
{
	struct sp_outbox *o = calloc(1, sizeof(*o));
	char older[NAME_SIZE], newer[NAME_SIZE];
	enum sp_err r;

	if (o == NULL) {
		close(dirfd);
		return SP_ENOMEM;
	}
	o->dirfd = dirfd;
	o->fd = -1;
	if ((r = sp_htab_init(&o->by_id)) == SP_OK && (o->ring = calloc(SP_OUTBOX_KNOWN, sizeof(*o->ring))) == NULL)
		r = SP_ENOMEM;
	if (r == SP_OK && (r = last_two(dirfd, older, newer)) == SP_OK && (r = file_load(o, older)) == SP_OK)
		r = file_load(o, newer);
	if (r == SP_OK)
		(void)sp_strlcpy(o->newest, newer, sizeof(o->newest));
	if (r != SP_OK) {
		sp_outbox_free(o);
		return r;
	}
	*ret = o;
	return SP_OK;
}

void
sp_outbox_free(struct sp_outbox *o)
{
	if (o == NULL)
		return;
	sp_closep(&o->fd);
	sp_closep(&o->dirfd);
	sp_htab_release(&o->by_id);
	free(o->ring);
	free(o);
}

/* Today's file is open, and durable in its directory; with a clock that went back, the newest one. */
static enum sp_err
file_of_day(struct sp_outbox *o, int64_t wall_us)
{
	char t[SP_RFC3339_SIZE], name[NAME_SIZE];
	struct stat st;
	enum sp_err r;

	(void)sp_snprintf(name, sizeof(name), "%.10s.jsonl", sp_rfc3339(wall_us, t, sizeof(t)));
	if (strcmp(name, o->newest) < 0)
		(void)sp_strlcpy(name, o->newest, sizeof(name));
	if (o->fd >= 0 && strcmp(name, o->name) == 0)
		return SP_OK;
	if ((r = sp_outbox_sync(o)) != SP_OK)
		return r;
	sp_closep(&o->fd);
	if ((o->fd = openat(o->dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)) == -1)
		return sp_err_errno(errno);
	if (fstat(o->fd, &st) == -1 || fsync(o->dirfd) == -1) {
		sp_closep(&o->fd);
		return SP_EIO;
	}
	o->size = (uint64_t)st.st_size;
	(void)sp_strlcpy(o->name, name, sizeof(o->name));
	(void)sp_strlcpy(o->newest, name, sizeof(o->newest));
	return SP_OK;
}

static enum sp_err
file_append(struct sp_outbox *o, const struct sp_buf *line)
{
	for (size_t done = 0; done < line->len;) {
		ssize_t n = pwrite(o->fd, line->p + done, line->len - done, (off_t)(o->size + done));
		int e = errno;

		if (n == -1 && e == EINTR)
			continue;
		if (n <= 0) {
			if (ftruncate(o->fd, (off_t)o->size) == -1)
				return SP_EIO;
			return n == -1 && (e == ENOSPC || e == EDQUOT || e == EFBIG) ? SP_ENOSPC : SP_EIO;
		}
		done += (size_t)n;
	}
	o->size += line->len;
	o->dirty = 1;
	return SP_OK;
}

enum sp_err
sp_outbox_append(struct sp_outbox *o, const struct sp_uuid *id, const char *kind, const char *payload,
    int64_t created_wall_us, int64_t wall_us)
{
	char text[SP_UUID_SIZE], t[SP_RFC3339_SIZE];
	struct sp_jsonw j;
	struct sp_buf b;
	enum sp_err r;

	if (sp_htab_find(&o->by_id, id->b, SP_UUID_LEN) != NULL)
		return SP_EEXIST;
	if ((r = file_of_day(o, wall_us)) != SP_OK)
		return r;
	sp_buf_init(&b, LINE_MAX_BYTES);
	sp_jsonw_begin(&j, &b);
	sp_jsonw_str(&j, "id", sp_uuid_text(id, text));
	sp_jsonw_str(&j, "created", sp_rfc3339(created_wall_us, t, sizeof(t)));
	sp_jsonw_str(&j, "kind", kind);
	sp_jsonw_str(&j, "payload", payload);
	if ((r = sp_jsonw_end(&j)) == SP_OK && (r = sp_buf_put_u8(&b, '\n')) == SP_OK && (r = file_append(o, &b)) == SP_OK)
		r = known_add(o, id);
	sp_buf_release(&b);
	return r;
}

enum sp_err
sp_outbox_sync(struct sp_outbox *o)
{
	if (!o->dirty)
		return SP_OK;
	if (fdatasync(o->fd) == -1)
		return SP_EIO;
	o->dirty = 0;
	return SP_OK;
}

int
sp_outbox_is_dirty(const struct sp_outbox *o)
{
	return o->dirty;
}

enum sp_err
sp_outbox_prune(struct sp_outbox *o, const char *before, int64_t wall_us, size_t *ret_n)
{
	char older[NAME_SIZE], newer[NAME_SIZE], t[SP_RFC3339_SIZE], last[NAME_SIZE];
	int fd = openat(o->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	size_t n = 0;
	enum sp_err r;

	if (d == NULL) {
		sp_closep(&fd);
		return SP_EIO;
	}
	(void)sp_snprintf(last, sizeof(last), "%.10s.jsonl", sp_rfc3339(wall_us - SP_OUTBOX_KEEP * DAY_US, t, sizeof(t)));
	r = last_two(o->dirfd, older, newer);
	for (struct dirent *e; r == SP_OK && (e = readdir(d)) != NULL;) {
		if (!sp_outbox_is_file(e->d_name) || strcmp(e->d_name, before) >= 0 || strcmp(e->d_name, last) >= 0 ||
		    strcmp(e->d_name, older) >= 0)
			continue;
		if (unlinkat(o->dirfd, e->d_name, 0) == -1 && errno != ENOENT)
			r = sp_err_errno(errno);
		else
			n++;
	}
	closedir(d);
	if (ret_n != NULL)
		*ret_n = n;
	return r;
}
