/* src/control/snapshot.c - see snapshot.h.
 *
 * Making one: a thread of its own copies the main part of the store (lib/store/copy.c) to <generation>.db and writes the
 * signed note `snapshot` beside it. Secrets in it are sealed by the vault as they are in the store.
 *
 * Going on with one: when the lanes cannot open the store, the note is checked (signature, expiry, generation), the file is
 * copied to live/ while it is hashed, and the lanes open that copy as their store. It is a store like any other: what is
 * written while it is in use (sessions, events, used one-time codes, outbox rows) goes there; administration is refused
 * in api.c. Its index of sessions begins empty.
 *
 * Coming back: the thread tries the store every second. Once it takes a write, the last job that the writer does with the
 * copy carries its evidence and outbox over and points the lanes to the store again: every write comes before or after.
 *
 * Invariants: (1) one task at a time, in one thread. (2) The lowest generation that is ever accepted is on disk before the
 * note is. (3) The copy in live/ is never believed after a restart: it is made anew from the signed file. (4) Epochs that
 * control knows of in memory (`floors`) outlive the switch, both ways. */
#include "control/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "control/breakglass.h"
#include "control/command.h"
#include "control/rowkey.h"
#include "control/snapshot_note.h"
#include "control/wall.h"
#include "control/filelog.h"

#define SNAPSHOT_SOON_US	SP_US_PER_S		/* after a change: others may follow */
#define SNAPSHOT_EVERY_US	(600 * SP_US_PER_S)	/* without one: sightings, pins, expiry */
#define SNAPSHOT_RETRY_US	(2 * SP_US_PER_S)
#define SNAPSHOT_PROBE_US	SP_US_PER_S
#define SNAPSHOT_SHARE		20			/* of the time, one part is spent on copying */
#define PATH_SIZE		(SP_CONF_TEXT + 96)

enum mode { MODE_STORE, MODE_SNAPSHOT, MODE_BACK };	/* back: the carrying job is under way */

struct snapshot {
	struct ctl		*ctl;
	struct sp_pool		*pool;
	/* the task that runs: filled by the loop before, read by it after */
	struct sp_job		 job;
	int			 running;
	void			(*task)(struct snapshot *s);
	void			(*then)(struct snapshot *s);
	enum sp_err		 err;
	char			 detail[256];
	uint8_t			 task_key[SP_SHA256_LEN];
	uint64_t		 task_least, task_life_us;
	struct snapshot_note	 note;			/* of the newest one on disk, once have is set */
	/* the loop's */
	char			 dir[SP_CONF_TEXT + 32];
	uint8_t			 key[SP_SHA256_LEN];
	int			 has_key, have, wanted, said;
	enum mode		 mode;
	uint64_t		 least;			/* highest generation seen */
	uint64_t		 make_at_us, began_us, took_us, load_at_us, probe_at_us;
	struct ctl_job		 back;
	uint64_t		 sessions_n, events_n;
};

/* ---- files: in the thread ---- */

static enum sp_err
path_of(const struct snapshot *s, char dst[PATH_SIZE], const char *name)
{
	return sp_snprintf(dst, PATH_SIZE, "%s/%s", s->dir, name) == 0 ? SP_OK : SP_ESIZE;
}

static enum sp_err
sync_dir(const char *path)
{
	sp_auto(sp_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd == -1 || fsync(fd) == -1 ? sp_err_errno(errno) : SP_OK;
}

/* A small file, whole or not at all. */
static enum sp_err
file_put(const struct snapshot *s, const char *name, const char *text)
{
	char path[PATH_SIZE], tmp[PATH_SIZE];
	sp_auto(sp_closep) int fd = -1;
	enum sp_err r;

	if ((r = path_of(s, path, name)) != SP_OK || (r = path_of(s, tmp, "new.txt")) != SP_OK)
		return r;
	if ((fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		return sp_err_errno(errno);
	if ((r = sp_write_all(fd, text, strlen(text))) != SP_OK)
		return r;
	if (fsync(fd) == -1 || rename(tmp, path) == -1)
		return sp_err_errno(errno);
	return sync_dir(s->dir);
}

static enum sp_err
file_get(const struct snapshot *s, const char *name, char *dst, size_t size, size_t *ret_n)
{
	char path[PATH_SIZE];
	sp_auto(sp_closep) int fd = -1;
	ssize_t n;
	enum sp_err r;

	if ((r = path_of(s, path, name)) != SP_OK)
		return r;
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return sp_err_errno(errno);
	if ((n = read(fd, dst, size - 1)) == -1)
		return sp_err_errno(errno);
	dst[n] = '\0';
	*ret_n = (size_t)n;
	return SP_OK;
}

/* Hash a file; `to` NULL: without a copy. What is hashed is what was copied. */
static enum sp_err
hash_file(const char *from, const char *to, uint8_t ret[SP_SHA256_LEN])
{
	sp_auto(sp_closep) int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	sp_auto(sp_closep) int out = -1;
	sp_auto(sp_freep) char *buf = malloc(1 << 16);
	crypto_hash_sha256_state h;
	enum sp_err r = SP_OK;
	ssize_t n = 0;

	if (in == -1)
		return sp_err_errno(errno);
	if (buf == NULL)
		return SP_ENOMEM;
	if (to != NULL && (out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		return sp_err_errno(errno);
	crypto_hash_sha256_init(&h);
	while (r == SP_OK && (n = read(in, buf, 1 << 16)) > 0) {
		crypto_hash_sha256_update(&h, (const uint8_t *)buf, (unsigned long long)n);
		if (out != -1)
			r = sp_write_all(out, buf, (size_t)n);
	}
	crypto_hash_sha256_final(&h, ret);
	return r != SP_OK ? r : n == -1 ? sp_err_errno(errno) : SP_OK;
}

/* An empty directory of that name below ours. Only files that a store has are removed. */
static enum sp_err
fresh_dir(const struct snapshot *s, const char *name, char path[PATH_SIZE])
{
	static const char *const file[] = { "sallyport.db", "sallyport.db-wal", "sallyport.db-shm", "sallyport.db-journal",
		"evidence.db", "evidence.db-wal", "evidence.db-shm", "evidence.db-journal" };
	char one[PATH_SIZE + 32];

	if (path_of(s, path, name) != SP_OK)
		return SP_ESIZE;
	for (size_t i = 0; i < SP_NELEMS(file); i++) {
		sp_snprintf(one, sizeof(one), "%s/%s", path, file[i]);
		if (unlink(one) == -1 && errno != ENOENT && errno != ENOTDIR)
			return sp_err_errno(errno);
	}
	return mkdir(path, 0700) == -1 && errno != EEXIST ? sp_err_errno(errno) : SP_OK;
}

/* Databases of other generations. */
static void
drop_others(const struct snapshot *s, const char *keep)
{
	DIR *d = opendir(s->dir);
	struct dirent *e;

	while (d != NULL && (e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		if (n > 3 && strspn(e->d_name, "0123456789") == n - 3 && strcmp(e->d_name + n - 3, ".db") == 0 &&
		    strcmp(e->d_name, keep) != 0)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d != NULL)
		(void)closedir(d);
}

/* ---- tasks ---- */

static void
task_work(struct sp_job *j)
{
	struct snapshot *s = sp_container(j, struct snapshot, job);

	s->detail[0] = '\0';
	s->task(s);
}

static void
task_done(struct sp_job *j)
{
	struct snapshot *s = sp_container(j, struct snapshot, job);

	s->running = 0;
	sodium_memzero(s->task_key, sizeof(s->task_key));
	s->then(s);
}

static void
task_start(struct snapshot *s, void (*task)(struct snapshot *), void (*then)(struct snapshot *))
{
	s->task = task;
	s->then = then;
	s->job.work = task_work;
	s->job.done = task_done;
	memcpy(s->task_key, s->key, sizeof(s->key));
	s->task_least = s->least;
	s->task_life_us = s->ctl->child.conf.snapshot_life;
	s->began_us = sp_now_us();
	s->running = sp_pool_submit(s->pool, &s->job) == SP_OK;
}

/* ---- making one ---- */

static enum sp_err
make_copy(struct snapshot *s, char path[PATH_SIZE])
{
	sp_auto(sp_store_closep) struct sp_store *st = NULL;
	struct sp_store_opts opts = { .existing = 1, .servers = s->ctl->servers };
	enum sp_err r = fresh_dir(s, "new", path);

	if (r == SP_OK && (r = sp_store_open(s->ctl->store_url, &opts, &st)) == SP_OK && (r = sp_store_check(st)) == SP_OK)
		r = sp_store_copy(st, path, 1 << SP_STORE_MAIN);
	if (r != SP_OK && st != NULL)
		(void)sp_strlcpy(s->detail, sp_store_detail(st), sizeof(s->detail));
	return r;
}

static void
make_task(struct snapshot *s)
{
	char from[PATH_SIZE], file[PATH_SIZE + 32], to[PATH_SIZE], name[40], text[SNAPSHOT_NOTE_MAX];
	struct snapshot_note n = { .generation = s->task_least + 1, .made_us = ctl_wall_us() };

	n.expires_us = n.made_us + (int64_t)s->task_life_us;
	sp_snprintf(name, sizeof(name), "%llu.db", (unsigned long long)n.generation);
	if ((s->err = make_copy(s, from)) != SP_OK || (s->err = path_of(s, to, name)) != SP_OK)
		return;
	sp_snprintf(file, sizeof(file), "%s/sallyport.db", from);
	if ((s->err = hash_file(file, NULL, n.sha256)) != SP_OK)
		return;
	if (rename(file, to) == -1) {
		s->err = sp_err_errno(errno);
		return;
	}
	snapshot_note_sign(&n, s->task_key, text);
	sp_snprintf(file, sizeof(file), "%llu\n", (unsigned long long)n.generation);
	if ((s->err = file_put(s, "generation", file)) != SP_OK || (s->err = file_put(s, "snapshot", text)) != SP_OK)
		return;
	drop_others(s, name);
	s->note = n;
}

static void
make_then(struct snapshot *s)
{
	uint64_t now = sp_now_us();

	s->took_us = now - s->began_us;
	if (s->err == SP_OK) {
		s->have = 1;
		s->least = s->note.generation;
		if (s->make_at_us == 0)
			s->make_at_us = now + SNAPSHOT_EVERY_US;
		s->said = 0;
		return;
	}
	if (!s->said)
		sp_warn("a snapshot of the store could not be made: %s %s", sp_err_text(s->err), s->detail);
	s->said = 1;
	s->make_at_us = now + 5 * SNAPSHOT_RETRY_US;
}

/* ---- going on with one ---- */

static void
load_task(struct snapshot *s)
{
	char text[SNAPSHOT_NOTE_MAX + 1], name[40], from[PATH_SIZE], live[PATH_SIZE], to[PATH_SIZE + 32];
	uint8_t sum[SP_SHA256_LEN];
	struct snapshot_note n;
	size_t len = 0;

	if ((s->err = file_get(s, "snapshot", text, sizeof(text), &len)) != SP_OK ||
	    (s->err = snapshot_note_parse(text, len, &n)) != SP_OK ||
	    (s->err = snapshot_note_check(&n, s->task_key, s->task_least, ctl_wall_us())) != SP_OK)
		return;
	sp_snprintf(name, sizeof(name), "%llu.db", (unsigned long long)n.generation);
	if ((s->err = path_of(s, from, name)) != SP_OK || (s->err = fresh_dir(s, "live", live)) != SP_OK)
		return;
	sp_snprintf(to, sizeof(to), "%s/sallyport.db", live);
	if ((s->err = hash_file(from, to, sum)) != SP_OK)
		return;
	s->err = sodium_memcmp(sum, n.sha256, sizeof(sum)) == 0 ? SP_OK : SP_EAUTH;
	if (s->err == SP_OK)
		s->note = n;
}

static void
load_then(struct snapshot *s)
{
	struct ctl *c = s->ctl;
	char url[PATH_SIZE + 32], text[256];
	struct audit_entry e = { .kind = "store.away", .actor = "system", .result = "failed", .text = text };

	s->load_at_us = sp_now_us() + SNAPSHOT_RETRY_US;
	if (c->stopping || !s->wanted || ctl_lanes_open(c->lanes))
		return;		/* it came back meanwhile */
	if (s->err != SP_OK) {
		if (!s->said)
			sp_error("the store is away and there is no snapshot to go on from: %s", sp_err_text(s->err));
		s->said = 1;
		return;
	}
	s->have = 1;
	s->said = 0;
	s->mode = MODE_SNAPSHOT;
	s->probe_at_us = sp_now_us() + SNAPSHOT_PROBE_US;
	atomic_store(&c->snapshot_made_us, s->note.made_us);
	snapshot_text(c, text, sizeof(text));
	sp_warn("%s", text);
	audit_append(c->audit, &e, NULL, NULL);
	sp_snprintf(url, sizeof(url), "sqlite:%s/live", s->dir);
	ctl_lanes_use(c->lanes, url);
}

/* ---- coming back ---- */

static void
probe_task(struct snapshot *s)
{
	sp_auto(sp_store_closep) struct sp_store *st = NULL;
	struct sp_store_opts opts = { .existing = 1, .busy_ms = 500, .servers = s->ctl->servers };

	if ((s->err = sp_store_open(s->ctl->store_url, &opts, &st)) != SP_OK || (s->err = sp_store_verify(st)) != SP_OK)
		return;
	for (int p = 0; p < 2 && s->err == SP_OK; p++)
		if ((s->err = sp_store_begin(st, (enum sp_store_part)p)) == SP_OK)
			sp_store_rollback(st);
}

struct carry {
	struct snapshot		*s;
	struct sp_store		*from, *to;
	enum sp_err		 err;
	int64_t			 last;		/* of the page */
	struct sp_uuid		 last_id;
	size_t			 n;
};

static int
carry_event(const struct sp_store_event *e, void *arg)
{
	struct carry *k = arg;

	k->err = filelog_event_put(k->to, e);
	if (k->err == SP_OK)
		k->err = command_index(k->to, &e->session_id, e->kind, e->at_us, e->payload, e->payload_len);
	k->last = e->seq;
	k->n++;
	k->s->events_n++;
	return k->err != SP_OK;
}

static int
carry_session(const struct sp_store_session *row, void *arg)
{
	struct carry *k = arg, ev = { .s = k->s, .from = k->from, .to = k->to };

	k->last = row->started_us;
	k->last_id = row->id;
	k->n++;
	k->s->sessions_n++;
	if ((k->err = sp_store_session_put(k->to, row)) != SP_OK)
		return 1;
	do {
		ev.n = 0;
		k->err = sp_store_event_list(k->from, &row->id, ev.last, SP_STORE_PAGE_MAX, carry_event, &ev);
		k->err = k->err != SP_OK ? k->err : ev.err;
	} while (k->err == SP_OK && ev.n == SP_STORE_PAGE_MAX);
	return k->err != SP_OK;
}

static enum sp_err
carry_evidence(struct carry *k)
{
	struct sp_store_session_query q = { .limit = SP_STORE_PAGE_MAX };
	enum sp_err r;

	do {
		k->n = 0;
		if ((r = sp_store_session_list(k->from, &q, carry_session, k)) == SP_OK)
			r = k->err;
		q.before_us = k->last;
		q.before_id = k->last_id;
	} while (r == SP_OK && k->n == SP_STORE_PAGE_MAX);
	return r;
}

static int
carry_outbox(const struct sp_store_outbox *o, void *arg)
{
	struct carry *k = arg;
	int64_t id;

	k->last = o->id;
	k->n++;
	if (o->created_us < k->s->note.made_us)
		return 0;
	k->err = sp_store_outbox_add(k->to, o->kind, o->payload, o->payload_len, &id);
	return k->err != SP_OK;
}

/* What a person may use only once, and used meanwhile: codes, recovery codes, envelopes. */
static int
carry_recovery(const struct sp_store_recovery *used, void *arg)
{
	struct carry *k = arg;
	struct sp_store_recovery row;

	k->n++;
	if (used->used_us == 0 || sp_store_recovery_get(k->to, &used->id, &row) != SP_OK || row.used_us != 0)
		return 0;
	row.used_us = used->used_us;
	k->err = sp_store_recovery_update(k->to, &row);
	return k->err != SP_OK;
}

static int
carry_user(const struct sp_store_user *u, void *arg)
{
	struct carry *k = arg, codes = { .s = k->s, .from = k->from, .to = k->to };
	struct sp_store_query q = { .of = u->id };
	struct sp_store_totp t;

	k->n++;
	if (sp_store_totp_get(k->from, &u->id, &t) == SP_OK && t.last_step > 0) {
		k->err = sp_store_totp_step(k->to, &u->id, t.last_step);
		if (k->err == SP_EDENIED || k->err == SP_ENOENT)	/* it knows of that one, or the factor is gone */
			k->err = SP_OK;
	}
	if (k->err == SP_OK) {
		k->err = sp_store_recovery_list(k->from, &q, carry_recovery, &codes);
		k->err = k->err != SP_OK ? k->err : codes.err;
	}
	if (k->err == SP_OK)
		k->err = breakglass_carry(k->from, k->to, &u->id);
	return k->err != SP_OK;
}

static enum sp_err
carry_users(struct carry *k)
{
	struct sp_store_query q = { .limit = SP_STORE_PAGE_MAX };
	enum sp_err r;

	do {
		k->n = 0;
		if ((r = sp_store_user_list(k->from, &q, carry_user, k)) == SP_OK)
			r = k->err;
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && k->n == SP_STORE_PAGE_MAX);
	return r;
}

/* Alarms that the courier did not get yet, and how far the audit log was looked through for them. What was pending when
 * the snapshot was made is in the store already. */
static enum sp_err
carry_main(struct carry *k)
{
	static const char alarm_seq[] = "internal.alarm_seq";
	char text[32] = "", mine[32] = "";
	enum sp_err r = sp_store_setting_get(k->from, alarm_seq, text, sizeof(text));

	enum sp_err users = carry_users(k);

	if (users != SP_OK)
		return users;
	if (r == SP_ENOENT)
		return SP_OK;	/* no alarm in all this time */
	if (r != SP_OK || ((r = sp_store_setting_get(k->to, alarm_seq, mine, sizeof(mine))) != SP_OK && r != SP_ENOENT))
		return r;
	if (strtoll(text, NULL, 10) <= strtoll(mine, NULL, 10))
		return SP_OK;
	k->last = 0;
	do {
		k->n = 0;
		r = sp_store_outbox_pending(k->from, NULL, k->last, SP_STORE_PAGE_MAX, carry_outbox, k);
		r = r != SP_OK ? r : k->err;
	} while (r == SP_OK && k->n == SP_STORE_PAGE_MAX);
	return r == SP_OK ? sp_store_setting_set(k->to, alarm_seq, text) : r;
}

static enum sp_err
carry_part(struct carry *k, enum sp_store_part part, enum sp_err (*body)(struct carry *))
{
	enum sp_err r = sp_store_begin(k->to, part);

	return r == SP_OK ? sp_store_end(k->to, body(k)) : r;
}

static void
back_work(struct ctl_job *j, struct sp_store *from)
{
	struct snapshot *s = sp_container(j, struct snapshot, back);
	sp_auto(sp_store_closep) struct sp_store *to = NULL;
	struct sp_store_opts opts = { .existing = 1, .servers = s->ctl->servers };
	struct carry k = { .s = s, .from = from };
	uint64_t key_gen = 0;

	s->sessions_n = s->events_n = 0;
	if ((j->err = sp_store_open(j->ctl->store_url, &opts, &to)) != SP_OK)
		return;
	k.to = to;
	if ((j->err = rowkey_apply(to, &key_gen)) == SP_OK && (j->err = sp_store_migrate(to)) == SP_OK &&
	    (j->err = carry_part(&k, SP_STORE_MAIN, carry_main)) == SP_OK) {
		ctl_index_hold(j->ctl, 1);	/* a row of a session comes before the carrying, or goes to the store */
		if ((j->err = carry_part(&k, SP_STORE_EVIDENCE, carry_evidence)) == SP_OK)
			ctl_lanes_switch(j, j->ctl->store_url);
		ctl_index_hold(j->ctl, 0);
	}
}

static void
back_done(struct ctl_job *j)
{
	struct snapshot *s = sp_container(j, struct snapshot, back);
	struct ctl *c = j->ctl;
	char text[160];
	struct audit_entry e = { .kind = "store.back", .actor = "system", .result = "ok", .text = text };

	s->probe_at_us = sp_now_us() + SNAPSHOT_PROBE_US;
	if (j->err != SP_OK) {
		if (!s->said)
			sp_warn("the store is back but does not take what happened meanwhile: %s", sp_err_text(j->err));
		s->said = 1;
		s->mode = MODE_SNAPSHOT;
		return;
	}
	s->mode = MODE_STORE;
	s->said = s->wanted = 0;
	atomic_store(&c->snapshot_made_us, 0);
	sp_snprintf(text, sizeof(text), "%llu sessions and %llu events of the meantime were written to it",
	    (unsigned long long)s->sessions_n, (unsigned long long)s->events_n);
	sp_info("the store is back: %s", text);
	audit_append(c->audit, &e, NULL, NULL);
	target_rejudge(c);
	snapshot_changed(c);
}

static void
probe_then(struct snapshot *s)
{
	s->probe_at_us = sp_now_us() + SNAPSHOT_PROBE_US;
	if (s->err != SP_OK || s->mode != MODE_SNAPSHOT || s->ctl->stopping)
		return;
	s->mode = MODE_BACK;
	s->back.work = back_work;
	s->back.done = back_done;
	ctl_job_run(s->ctl, CTL_WRITE, &s->back);
}

/* ---- what others ask ---- */

void
snapshot_away(struct ctl *c)
{
	c->snapshot->wanted = 1;
}

void
snapshot_changed(struct ctl *c)
{
	struct snapshot *s = c->snapshot;
	uint64_t at = sp_now_us() + SNAPSHOT_SOON_US;

	if (at < s->began_us + SNAPSHOT_SHARE * s->took_us)
		at = s->began_us + SNAPSHOT_SHARE * s->took_us;
	if (s->make_at_us == 0 || at < s->make_at_us)
		s->make_at_us = at;
}

void
snapshot_key(struct ctl *c, const void *key, size_t n)
{
	static const char label[] = "sallyport snapshot 1";
	struct snapshot *s = c->snapshot;

	if (n == 0)
		return;		/* sealed: what was derived stays, so that a sealed vault locks nobody out of the menu */
	sp_hmac_sha256((struct sp_view){ key, n }, (struct sp_view){ (const uint8_t *)label, sizeof(label) - 1 }, s->key);
	if (!s->has_key)
		snapshot_changed(c);
	s->has_key = 1;
}

int
snapshot_in_use(const struct ctl *c)
{
	return atomic_load(&c->snapshot_made_us) != 0;
}

void
snapshot_text(const struct ctl *c, char *dst, size_t size)
{
	int64_t at = atomic_load(&c->snapshot_made_us);
	char text[SP_RFC3339_SIZE];

	dst[0] = '\0';
	if (at != 0)
		sp_snprintf(dst, size, "Sallyport is running from a snapshot of %.10s %.8s UTC: changes made since are not known.",
		    sp_rfc3339(at, text, sizeof(text)), text + 11);
}

static const char *
snapshot_state(const struct snapshot *s)
{
	return s->mode != MODE_STORE ? "in use" : s->ctl->child.conf.snapshot_life == 0 ? "off" : s->have ? "ready" : "none yet";
}

json_t *
snapshot_json(const struct ctl *c)
{
	const struct snapshot *s = c->snapshot;
	char made[SP_RFC3339_SIZE], expires[SP_RFC3339_SIZE];
	json_t *o = json_pack("{s:s}", "state", snapshot_state(s));

	if (s->have) {
		json_object_set_new(o, "made", json_string(sp_rfc3339(s->note.made_us, made, sizeof(made))));
		json_object_set_new(o, "expires", json_string(sp_rfc3339(s->note.expires_us, expires, sizeof(expires))));
		json_object_set_new(o, "generation", json_integer((json_int_t)s->note.generation));
	}
	return o;
}

int
snapshot_doctor(const struct ctl *c, char *dst, size_t size)
{
	const struct snapshot *s = c->snapshot;
	char at[SP_RFC3339_SIZE];

	snapshot_text(c, dst, size);
	if (*dst != '\0')
		return 0;
	if (s->ctl->child.conf.snapshot_life == 0)
		sp_snprintf(dst, size, "off (snapshot_life 0): nobody reaches anything while the store is away");
	else if (!s->have)
		sp_snprintf(dst, size, "none yet: one is made once the vault is unsealed");
	else
		sp_snprintf(dst, size, "of %s, ready for the case that the store is away", sp_rfc3339(s->note.made_us, at, sizeof(at)));
	return 1;
}

/* ---- time, start and end ---- */

static void
tick_in_use(struct snapshot *s, uint64_t now_us)
{
	if (s->mode != MODE_SNAPSHOT || s->running)
		return;
	if (ctl_wall_us() >= s->note.expires_us) {
		sp_error("the snapshot has expired and the store is still away: no new sessions");
		s->mode = MODE_STORE;
		atomic_store(&s->ctl->snapshot_made_us, 0);
		ctl_lanes_use(s->ctl->lanes, s->ctl->store_url);
	} else if (now_us >= s->probe_at_us) {
		task_start(s, probe_task, probe_then);
	}
}

void
snapshot_tick(struct ctl *c, uint64_t now_us)
{
	struct snapshot *s = c->snapshot;

	if (c->stopping || c->leave_at_us != 0)
		return;
	if (s->mode != MODE_STORE) {
		tick_in_use(s, now_us);
		return;
	}
	if (ctl_lanes_open(c->lanes))
		s->wanted = 0;
	if (s->running || !s->has_key || c->child.conf.snapshot_life == 0)
		return;
	if (s->wanted && now_us >= s->load_at_us) {
		task_start(s, load_task, load_then);
	} else if (!s->wanted && c->store_open && s->make_at_us != 0 && now_us >= s->make_at_us) {
		s->make_at_us = 0;
		task_start(s, make_task, make_then);
	}
}

enum sp_err
snapshot_new(struct ctl *c)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	char text[32];
	size_t n;

	if (s == NULL)
		return SP_ENOMEM;
	c->snapshot = s;
	s->ctl = c;
	if (sp_snprintf(s->dir, sizeof(s->dir), "%s/snapshot", c->child.conf.state_dir) != 0)
		return SP_ESIZE;
	if (mkdir(s->dir, 0700) == -1 && errno != EEXIST)	/* the monitor made it */
		return sp_err_errno(errno);
	if (file_get(s, "generation", text, sizeof(text), &n) == SP_OK)
		s->least = strtoull(text, NULL, 10);
	return sp_pool_new(c->child.loop, 1, 4, &s->pool);
}

void
snapshot_stop(struct ctl *c)
{
	if (c->snapshot == NULL)
		return;
	sp_pool_free(c->snapshot->pool);
	c->snapshot->pool = NULL;
}

void
snapshot_free(struct ctl *c)
{
	struct snapshot *s = c->snapshot;

	if (s == NULL)
		return;
	sodium_memzero(s->key, sizeof(s->key));
	free(s);
	c->snapshot = NULL;
}
