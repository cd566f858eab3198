/* src/control/recfiles.c - see recfiles.h. */
#include "control/recfiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "common/recpath.h"
#include "crypto/age.h"

#define DAY_MAX		1000000u	/* recordings of one day */
#define NAMES_MAX	10000u		/* years, months or days in one directory */
#define ID_LEN		(SP_UUID_SIZE - 1)

enum sp_err
recfiles_dir(const char *state_dir, int *ret)
{
	char path[4096];
	int fd;

	if (sp_snprintf(path, sizeof(path), "%s/recordings", state_dir) != 0)
		return SP_ESIZE;
	if ((fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return sp_err_errno(errno);
	*ret = fd;
	return SP_OK;
}

/* Opened anew, so that its position is nobody else's. */
static DIR *
dir_at(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;

	if (d == NULL)
		sp_closep(&fd);
	return d;
}

/* "<id>.more"; *ret_end: "more". */
static int
name_parse(const char *name, struct sp_uuid *ret, const char **ret_end)
{
	char id[SP_UUID_SIZE];

	if (strlen(name) <= SP_UUID_SIZE || name[ID_LEN] != '.')
		return 0;
	memcpy(id, name, ID_LEN);
	id[ID_LEN] = '\0';
	*ret_end = name + ID_LEN + 1;
	return sp_uuid_parse(id, ret) == SP_OK;
}

/* The time in a UUID of version 7. */
static int64_t
id_us(const struct sp_uuid *id)
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id->b[i];
	return ms * 1000;
}

static int
same_day(const struct sp_uuid *a, const struct sp_uuid *b)
{
	char pa[SP_REC_PATH], pb[SP_REC_PATH];

	sp_rec_path(a, SP_REC_AGE, pa);
	sp_rec_path(b, SP_REC_AGE, pb);
	return memcmp(pa, pb, SP_REC_DAY) == 0;
}

/* ---- a day ---- */

void
recday_release(struct recday *d)
{
	free(d->v);
	*d = (struct recday){ .n = 0 };
}

static void
files_count(struct recfiles *f, const char *end, const struct stat *st)
{
	size_t n = strlen(end);
	int64_t at = (int64_t)st->st_mtim.tv_sec * (int64_t)SP_US_PER_S + st->st_mtim.tv_nsec / 1000;

	if (strcmp(end, "hold") == 0) {
		f->held = 1;
		return;
	}
	f->files++;
	f->bytes += (uint64_t)st->st_size;
	f->at_us = at > f->at_us ? at : f->at_us;
	f->segments += n == 8 && strcmp(end + 4, ".age") == 0 && strspn(end, "0123456789") == 4 && st->st_size > 0;
	f->tails += n == 10 && strncmp(end + 4, ".tail", 5) == 0 && st->st_size > 0;
}

static enum sp_err
day_add(struct recday *d, const struct sp_uuid *id, const char *end, const struct stat *st)
{
	if (d->n == 0 || !sp_uuid_equal(&d->v[d->n - 1].id, id)) {
		if (d->n == DAY_MAX)
			return SP_ESIZE;
		if (d->n == d->cap) {
			size_t cap = d->cap == 0 ? 64 : d->cap * 2;
			struct recfiles *v = reallocarray(d->v, cap, sizeof(*v));

			if (v == NULL)
				return SP_ENOMEM;
			d->v = v;
			d->cap = cap;
		}
		d->v[d->n++] = (struct recfiles){ .id = *id, .at_us = id_us(id) };
	}
	files_count(&d->v[d->n - 1], end, st);
	return SP_OK;
}

static int
files_order(const void *a, const void *b)
{
	return memcmp(((const struct recfiles *)a)->id.b, ((const struct recfiles *)b)->id.b, SP_UUID_LEN);
}

/* Names come in any order: those of one session are put together. A hold alone is no recording. */
static void
day_merge(struct recday *d)
{
	size_t n = 0;

	if (d->n > 0)
		qsort(d->v, d->n, sizeof(*d->v), files_order);
	for (size_t i = 0; i < d->n; i++) {
		struct recfiles *to = n > 0 ? &d->v[n - 1] : NULL, *from = &d->v[i];

		if (to == NULL || !sp_uuid_equal(&to->id, &from->id)) {
			d->v[n++] = *from;
			continue;
		}
		to->bytes += from->bytes;
		to->at_us = from->at_us > to->at_us ? from->at_us : to->at_us;
		to->files += from->files;
		to->segments += from->segments;
		to->tails += from->tails;
		to->held |= from->held;
	}
	d->n = 0;
	for (size_t i = 0; i < n; i++)
		if (d->v[i].files > 0)
			d->v[d->n++] = d->v[i];
}

static enum sp_err
day_read(int fd, const struct sp_uuid *day, struct recday *d)
{
	DIR *dir = dir_at(fd, ".");
	enum sp_err r = SP_OK;
	struct sp_uuid id;
	struct dirent *de;
	const char *end;
	struct stat st;

	if (dir == NULL)
		return sp_err_errno(errno);
	while (r == SP_OK && (de = readdir(dir)) != NULL)
		if (name_parse(de->d_name, &id, &end) && (day == NULL || same_day(&id, day)) &&
		    fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			r = day_add(d, &id, end, &st);
	closedir(dir);
	if (r == SP_OK)
		day_merge(d);
	return r;
}

enum sp_err
recday_load(int recordings, const struct sp_uuid *id, struct recday *d)
{
	sp_auto(sp_closep) int fd = -1;
	enum sp_err r;

	recday_release(d);
	if ((r = sp_rec_day_open(recordings, id, &fd)) == SP_OK)
		r = day_read(fd, id, d);
	if (r != SP_OK && r != SP_ENOENT) {
		recday_release(d);
		return r;
	}
	d->day = *id;
	return SP_OK;
}

enum sp_err
recday_find(int recordings, const struct sp_uuid *id, struct recday *d, struct recfiles *ret)
{
	struct recfiles key = { .id = *id };
	const struct recfiles *f;
	enum sp_err r;

	if ((sp_uuid_is_null(&d->day) || !same_day(id, &d->day)) && (r = recday_load(recordings, id, d)) != SP_OK)
		return r;
	if (d->n == 0 || (f = bsearch(&key, d->v, d->n, sizeof(*d->v), files_order)) == NULL)
		return SP_ENOENT;
	*ret = *f;
	return SP_OK;
}

/* ---- all days ---- */

static int
number_order(const void *a, const void *b)
{
	const unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return x < y ? -1 : x > y;
}

/* The names of `digits` digits in a directory, as numbers in their order. */
static enum sp_err
numbers_read(int at, size_t digits, unsigned **ret, size_t *ret_n)
{
	DIR *dir = dir_at(at, ".");
	unsigned *v = NULL;
	struct dirent *de;
	size_t n = 0;

	if (dir == NULL)
		return sp_err_errno(errno);
	if ((v = calloc(NAMES_MAX, sizeof(*v))) == NULL) {
		closedir(dir);
		return SP_ENOMEM;
	}
	while (n < NAMES_MAX && (de = readdir(dir)) != NULL)
		if (strlen(de->d_name) == digits && strspn(de->d_name, "0123456789") == digits)
			v[n++] = (unsigned)strtoul(de->d_name, NULL, 10);
	closedir(dir);
	qsort(v, n, sizeof(*v), number_order);
	*ret = v;
	*ret_n = n;
	return SP_OK;
}

struct walk {
	recfiles_fn	*fn;
	void		*arg;
};

static enum sp_err
walk_day(int fd, const struct walk *w)
{
	struct recday d = { .n = 0 };
	enum sp_err r = day_read(fd, NULL, &d);

	for (size_t i = 0; r == SP_OK && i < d.n; i++)
		r = w->fn(&d.v[i], w->arg);
	recday_release(&d);
	return r;
}

/* depth: 0 years, 1 months, 2 days. What is in the wrong day's directory is not found by its session's id: it is left alone. */
static enum sp_err
walk_level(int at, int depth, const struct walk *w)
{
	static const size_t digits[3] = { 4, 2, 2 };
	sp_auto(sp_freep) unsigned *v = NULL;
	enum sp_err r;
	size_t n;

	if (depth == 3)
		return walk_day(at, w);
	if ((r = numbers_read(at, digits[depth], &v, &n)) != SP_OK)
		return r;
	for (size_t i = 0; r == SP_OK && i < n; i++) {
		char name[16];
		int fd;

		(void)sp_snprintf(name, sizeof(name), "%0*u", (int)digits[depth], v[i]);
		if ((fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) == -1)
			continue;	/* no directory */
		r = walk_level(fd, depth + 1, w);
		close(fd);
	}
	return r;
}

enum sp_err
recfiles_each(int recordings, recfiles_fn *fn, void *arg)
{
	return walk_level(recordings, 0, &(struct walk){ fn, arg });
}

/* ---- delete, hold ---- */

enum sp_err
recfiles_delete(int recordings, const struct sp_uuid *id, int *ret_n)
{
	sp_auto(sp_closep) int day = -1;
	struct sp_uuid found;
	struct dirent *de;
	const char *end;
	int n = 0;
	DIR *dir;
	enum sp_err r;

	if (recfiles_held(recordings, id))
		return SP_EDENIED;
	if ((r = sp_rec_day_open(recordings, id, &day)) != SP_OK)
		return r;
	if ((dir = dir_at(day, ".")) == NULL)
		return sp_err_errno(errno);
	while ((de = readdir(dir)) != NULL) {
		if (!name_parse(de->d_name, &found, &end) || !sp_uuid_equal(&found, id))
			continue;
		if (unlinkat(day, de->d_name, 0) == 0)
			n++;
		else if (errno != ENOENT)
			r = sp_err_errno(errno);
	}
	closedir(dir);
	if (fsync(day) == -1)
		r = SP_EIO;
	*ret_n = n;
	return r != SP_OK ? r : n == 0 ? SP_ENOENT : SP_OK;
}

enum sp_err
recfiles_hold(int recordings, const struct sp_uuid *id, int hold)
{
	sp_auto(sp_closep) int day = -1, fd = -1;
	char name[SP_UUID_SIZE + 8], text[SP_UUID_SIZE];
	enum sp_err r;

	if ((r = sp_rec_day_open(recordings, id, &day)) != SP_OK)
		return r;
	(void)sp_snprintf(name, sizeof(name), "%s.hold", sp_uuid_text(id, text));
	if (hold && (fd = openat(day, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640)) == -1)
		return sp_err_errno(errno);
	if (!hold && unlinkat(day, name, 0) == -1 && errno != ENOENT)
		return sp_err_errno(errno);
	return fsync(day) == -1 ? SP_EIO : SP_OK;
}

int
recfiles_held(int recordings, const struct sp_uuid *id)
{
	sp_auto(sp_closep) int day = -1;
	char name[SP_UUID_SIZE + 8], text[SP_UUID_SIZE];
	struct stat st;

	if (sp_rec_day_open(recordings, id, &day) != SP_OK)
		return 0;
	(void)sp_snprintf(name, sizeof(name), "%s.hold", sp_uuid_text(id, text));
	return fstatat(day, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

enum sp_err
recfiles_header(int fd, struct sp_buf *b)
{
	size_t len;
	ssize_t n;
	enum sp_err r;

	if ((r = sp_buf_reserve(b, SP_AGE_HEADER_MAX)) != SP_OK)
		return r;
	if ((n = pread(fd, b->p, SP_AGE_HEADER_MAX, 0)) == -1)
		return SP_EIO;
	if ((r = sp_age_header_len((struct sp_view){ b->p, (size_t)n }, &len)) != SP_OK)
		return r;
	b->len = len;
	return SP_OK;
}
