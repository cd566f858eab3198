/* src/control/factor_keep.c - see factor_keep.h. Process: control; one thread appends and syncs, a lane reads at the start.
 *
 * The file is `store/factors.log` of the state directory: records of one size (factorlog.h), appended. A torn last one is
 * written over; one whose MAC is not right is passed over. When it has grown, what is older than a day and known to the
 * store is left out of a new file, which takes its place.
 *
 * Invariants: (1) done(SP_OK) comes after fdatasync. (2) The file holds KEEP_MAX bytes at most: beyond it nothing is taken,
 * and mfa.c accepts no code that only this file would remember. (3) A record that the store is yet to hear of is never left out. */
#include "control/factor_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "control/rowkey.h"
#include "control/wall.h"

#define KEEP_MAX	(8u * 1024 * 1024)
#define KEEP_TIDY	(1024u * 1024)		/* the first size at which it is looked through */
#define KEEP_QUEUE	20000
#define KEEP_LABEL	"sallyport factor memory 1"
#define KEEP_US		(FACTOR_KNOWN_S * (int64_t)SP_US_PER_S)

struct keep {
	struct ctl	*ctl;
	struct sp_pool	*pool;
	char		 dir[SP_CONF_TEXT + 32], path[SP_CONF_TEXT + 64], tmp[SP_CONF_TEXT + 64];
	/* the thread's */
	int		 fd;			/* -1: not open */
	uint64_t	 size, tidy_at;
	/* the start */
	pthread_mutex_t	 load_mu;
	atomic_int	 loaded;
	struct factorlog *late;			/* under load_mu */
	size_t		 late_n;
};
struct putting {
	struct sp_job	 job;
	struct keep	*k;
	uint8_t		 raw[FACTORLOG_SIZE];
	enum sp_err	 err;
	keep_fn		*done;
	void		*arg;
};
struct all {			/* a file's records */
	struct factorlog *r;
	size_t		  n, bad;
};

static void all_release(struct all *a) { free(a->r); }

static int
same_code(const struct factorlog *a, const struct factorlog *b)
{
	return sp_uuid_equal(&a->secret, &b->secret) && sp_uuid_equal(&a->recovery, &b->recovery) && a->step == b->step;
}

/* ---- reading ---- */

static enum sp_err
all_read(const char *path, const uint8_t key[SP_SHA256_LEN], struct all *ret)
{
	sp_auto(sp_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint8_t raw[FACTORLOG_SIZE];
	struct stat st;
	uint64_t n;

	if (fd == -1)
		return errno == ENOENT ? SP_OK : sp_err_errno(errno);
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return SP_EIO;
	n = ((uint64_t)st.st_size < KEEP_MAX ? (uint64_t)st.st_size : KEEP_MAX) / FACTORLOG_SIZE;
	if (n > 0 && (ret->r = calloc(n, sizeof(ret->r[0]))) == NULL)
		return SP_ENOMEM;
	for (uint64_t i = 0; i < n; i++) {
		if (pread(fd, raw, sizeof(raw), (off_t)(i * FACTORLOG_SIZE)) != (ssize_t)sizeof(raw))
			return SP_EIO;
		if (factorlog_parse(raw, key, &ret->r[ret->n]) == SP_OK)
			ret->n++;
		else
			ret->bad++;
	}
	return SP_OK;
}

/* Is the code of this record still only here? */
static int
is_late(const struct all *a, size_t at)
{
	if (a->r[at].kind != FACTORLOG_LATE)
		return 0;
	for (size_t i = at + 1; i < a->n; i++)
		if (a->r[i].kind == FACTORLOG_WRITTEN && same_code(&a->r[i], &a->r[at]))
			return 0;
	return 1;
}

/* ---- writing: in the thread ---- */

static enum sp_err
dir_sync(const struct keep *k)
{
	sp_auto(sp_closep) int fd = open(k->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd == -1 || fsync(fd) == -1 ? sp_err_errno(errno) : SP_OK;
}

static enum sp_err
file_open(struct keep *k)
{
	struct stat st;
	enum sp_err r;

	if (k->fd != -1)
		return SP_OK;
	if ((k->fd = open(k->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		return sp_err_errno(errno);
	if (fstat(k->fd, &st) == -1 || (r = dir_sync(k)) != SP_OK) {
		sp_closep(&k->fd);
		return SP_EIO;
	}
	k->size = (uint64_t)st.st_size / FACTORLOG_SIZE * FACTORLOG_SIZE;
	k->tidy_at = k->tidy_at > 0 ? k->tidy_at : KEEP_TIDY;
	return SP_OK;
}

static enum sp_err
tidy_write(const struct all *a, const uint8_t key[SP_SHA256_LEN], int fd, uint64_t *ret_size)
{
	int64_t now = ctl_wall_us();
	uint8_t raw[FACTORLOG_SIZE];
	enum sp_err r;

	*ret_size = 0;
	for (size_t i = 0; i < a->n; i++) {
		if (now - a->r[i].wall_us >= KEEP_US && !is_late(a, i))
			continue;
		factorlog_pack(&a->r[i], key, raw);
		if ((r = sp_write_all(fd, raw, sizeof(raw))) != SP_OK)
			return r;
		*ret_size += sizeof(raw);
	}
	return fdatasync(fd) == -1 ? sp_err_errno(errno) : SP_OK;
}

/* Leave out what says nothing any more. On failure the file stays as it was. */
static enum sp_err
file_tidy(struct keep *k)
{
	sp_auto(all_release) struct all a = { 0 };
	sp_auto(sp_closep) int fd = -1;
	uint8_t key[SP_SHA256_LEN];
	uint64_t size = 0;
	enum sp_err r;

	if ((r = rowkey_derive(KEEP_LABEL, key)) != SP_OK)
		return r;
	if ((r = all_read(k->path, key, &a)) == SP_OK) {
		if ((fd = open(k->tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
			r = sp_err_errno(errno);
		else if ((r = tidy_write(&a, key, fd, &size)) == SP_OK && rename(k->tmp, k->path) == -1)
			r = sp_err_errno(errno);
	}
	explicit_bzero(key, sizeof(key));
	if (r != SP_OK || (r = dir_sync(k)) != SP_OK)
		return r;
	sp_closep(&k->fd);
	k->fd = sp_steal_fd(&fd);
	k->size = size;
	k->tidy_at = size * 2 > KEEP_TIDY ? size * 2 : KEEP_TIDY;
	return SP_OK;
}

static enum sp_err
file_append(struct keep *k, const uint8_t raw[FACTORLOG_SIZE])
{
	enum sp_err r;

	if ((r = file_open(k)) != SP_OK)
		return r;
	if (k->size >= k->tidy_at && (r = file_tidy(k)) != SP_OK)
		return r;
	if (k->size + FACTORLOG_SIZE > KEEP_MAX)
		return SP_EFULL;
	if (pwrite(k->fd, raw, FACTORLOG_SIZE, (off_t)k->size) != (ssize_t)FACTORLOG_SIZE || fdatasync(k->fd) == -1) {
		sp_closep(&k->fd);	/* what is there is read again before the next one */
		return SP_EIO;
	}
	k->size += FACTORLOG_SIZE;
	return SP_OK;
}

static void
putting_work(struct sp_job *j)
{
	struct putting *p = sp_container(j, struct putting, job);

	if (p->err == SP_OK)
		p->err = file_append(p->k, p->raw);
}

static void
putting_done(struct sp_job *j)
{
	struct putting *p = sp_container(j, struct putting, job);

	if (p->err != SP_OK && p->err != SP_ESTATE)
		sp_error("%s does not take what was shown of a second factor: %s", p->k->path, sp_err_text(p->err));
	if (p->done != NULL)
		p->done(p->arg, p->err);
	free(p);
}

static void
boot_of(struct sp_uuid *ret)
{
	sp_auto(sp_closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[SP_UUID_SIZE + 8] = "";
	ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (sp_uuid_parse(text, ret) != SP_OK)
		*ret = (struct sp_uuid){ 0 };		/* then the wall clock says how old a record is */
}

void
keep_put(struct keep *k, struct factorlog *r, keep_fn *done, void *arg)
{
	struct putting *p = calloc(1, sizeof(*p));
	uint8_t key[SP_SHA256_LEN];

	if (p == NULL) {
		if (done != NULL)
			done(arg, SP_ENOMEM);
		return;
	}
	*p = (struct putting){ .job = { .work = putting_work, .done = putting_done }, .k = k, .done = done, .arg = arg };
	r->wall_us = ctl_wall_us();
	r->boot_us = sp_now_us();
	boot_of(&r->boot);
	if ((p->err = rowkey_derive(KEEP_LABEL, key)) == SP_OK)
		factorlog_pack(r, key, p->raw);
	explicit_bzero(key, sizeof(key));
	if (sp_pool_submit(k->pool, &p->job) != SP_OK) {
		free(p);
		if (done != NULL)
			done(arg, SP_EFULL);
	}
}

/* ---- the start: in a lane ---- */

static int
proof_holds(struct sp_store *s, const struct factorlog *r)
{
	struct sp_store_user u;
	struct sp_store_totp t;

	return sp_store_user_get(s, &r->user, &u) == SP_OK && u.epoch == r->epoch &&
	    sp_store_totp_get(s, &r->user, &t) == SP_OK && t.confirmed && sp_uuid_equal(&t.secret_id, &r->secret);
}

/* How long ago; -1: nobody can say. */
static int64_t
age_of(const struct factorlog *r, const struct sp_uuid *boot, uint64_t now_us, int64_t wall_us)
{
	if (!sp_uuid_is_null(boot) && sp_uuid_equal(&r->boot, boot) && now_us >= r->boot_us)
		return (int64_t)(now_us - r->boot_us);
	return wall_us >= r->wall_us ? wall_us - r->wall_us : -1;
}

static int
is_forgotten(const struct all *a, size_t at)
{
	for (size_t i = at + 1; i < a->n; i++)
		if (a->r[i].kind == FACTORLOG_FORGET && sp_uuid_equal(&a->r[i].user, &a->r[at].user))
			return 1;
	return 0;
}

static void
load_one(struct keep *k, struct sp_store *s, const struct all *a, size_t at, const struct sp_uuid *boot, struct factors *f,
    pthread_mutex_t *mu)
{
	const struct factorlog *r = &a->r[at];
	const struct sp_uuid *recovery = sp_uuid_is_null(&r->recovery) ? NULL : &r->recovery;
	uint64_t now = sp_now_us();
	int64_t age = age_of(r, boot, now, ctl_wall_us());
	int late = is_late(a, at), holds;

	if (r->kind != FACTORLOG_SHOWN && r->kind != FACTORLOG_LATE)
		return;
	holds = age >= 0 && age < KEEP_US && !is_forgotten(a, at) && proof_holds(s, r);
	pthread_mutex_lock(mu);
	(void)!factors_use(f, &r->secret, r->step, recovery, late, now);	/* a later one is there already: as good */
	if (holds)
		factors_restore(f, &r->user, r->source, &r->conn, (uint64_t)age, now);
	pthread_mutex_unlock(mu);
	if (late)
		k->late[k->late_n++] = *r;
}

static void
load(struct keep *k, struct sp_store *s, struct factors *f, pthread_mutex_t *mu)
{
	sp_auto(all_release) struct all a = { 0 };
	uint8_t key[SP_SHA256_LEN];
	struct sp_uuid boot;
	enum sp_err r;

	if (rowkey_derive(KEEP_LABEL, key) != SP_OK)
		return;		/* no code can be checked before there is one */
	r = all_read(k->path, key, &a);
	explicit_bzero(key, sizeof(key));
	if (r == SP_OK && a.n > 0 && (k->late = calloc(a.n, sizeof(k->late[0]))) == NULL)
		r = SP_ENOMEM;
	if (r != SP_OK)
		sp_error("%s cannot be read: %s; people are asked for codes again", k->path, sp_err_text(r));
	boot_of(&boot);
	for (size_t i = 0; r == SP_OK && i < a.n; i++)
		load_one(k, s, &a, i, &boot, f, mu);
	if (a.bad > 0)
		sp_warn("%zu records of %s are not ours and count for nothing", a.bad, k->path);
	atomic_store(&k->loaded, 1);
}

void
keep_load(struct keep *k, struct sp_store *s, struct factors *f, pthread_mutex_t *mu)
{
	if (atomic_load(&k->loaded))
		return;
	pthread_mutex_lock(&k->load_mu);
	if (!atomic_load(&k->loaded))
		load(k, s, f, mu);
	pthread_mutex_unlock(&k->load_mu);
}

int
keep_late(struct keep *k, struct factorlog *ret)
{
	int any = 0;

	if (!atomic_load(&k->loaded))
		return 0;
	pthread_mutex_lock(&k->load_mu);
	if ((any = k->late_n > 0))
		*ret = k->late[--k->late_n];
	pthread_mutex_unlock(&k->load_mu);
	return any;
}

enum sp_err
keep_new(struct ctl *c, struct keep **ret)
{
	struct keep *k = calloc(1, sizeof(*k));
	enum sp_err r;

	if (k == NULL)
		return SP_ENOMEM;
	k->ctl = c;
	k->fd = -1;
	if (sp_snprintf(k->dir, sizeof(k->dir), "%s/store", c->child.conf.state_dir) != 0 ||
	    sp_snprintf(k->path, sizeof(k->path), "%s/factors.log", k->dir) != 0 ||
	    sp_snprintf(k->tmp, sizeof(k->tmp), "%s/factors.new", k->dir) != 0) {
		free(k);
		return SP_ESIZE;
	}
	if (pthread_mutex_init(&k->load_mu, NULL) != 0) {
		free(k);
		return SP_ENOMEM;
	}
	if ((r = sp_pool_new(c->child.loop, 1, KEEP_QUEUE, &k->pool)) != SP_OK) {
		pthread_mutex_destroy(&k->load_mu);
		free(k);
		return r;
	}
	*ret = k;
	return SP_OK;
}

void
keep_free(struct keep *k)
{
	if (k == NULL)
		return;
	sp_pool_free(k->pool);
	pthread_mutex_destroy(&k->load_mu);
	sp_closep(&k->fd);
	free(k->late);
	free(k);
}
