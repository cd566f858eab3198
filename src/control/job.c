/* src/control/job.c - see job.h. One lane is one thread with one store handle, made and closed in that thread's turn.
 * A database that is away: the writer tries again once a second, jobs that waited control_wait fail with SP_EUNAVAIL.
 * Jobs of CTL_INDEX are handed to their lane in batches; what fails of a batch goes back to the front of the queue, in
 * order, and is tried again LATE_RETRY_US later. What is still kept when control ends is replayed from the audit log.
 * Before each job the store is asked whether it is still there. One that is not closes the lanes: jobs are parked, in
 * order, until a store is open, be it the same one or the copy that snapshot.c names. With PostgreSQL only a read tells
 * that: writes fail or wait by themselves while replicas are read. */
#include "control/ctl.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/mfa.h"
#include "control/rowkey.h"
#include "control/wall.h"

#define LANE_READERS	2
#define LANE_QUEUE	4096
#define LANE_WAITING	8192		/* jobs kept while the store is not open */
#define LANE_RETRY_US	SP_US_PER_S
#define LANE_KEY_US	(2 * SP_US_PER_S)	/* jobs wait so long for the first word of the vault, which brings the key of the rows */
#define LATE_BATCH	256
#define LATE_BYTES	((size_t)128 << 20)	/* kept in memory: about what 5,000 sessions leave */
#define LATE_RETRY_US	(500 * SP_US_PER_MS)

struct lane {
	struct ctl_lanes *of;
	struct sp_pool	 *pool;
	struct sp_store	 *store;	/* touched by the lane's thread only, while the pool lives */
	uint64_t	  key_gen;	/* of the row key that the handle has; see rowkey.h */
	unsigned	  gen;		/* of the URL that `store` was opened with; thread, like store */
	int		  stuck;	/* thread: a job was parked; so is every later one, to keep their order, until the next gen */
	size_t		  pending;	/* jobs submitted and not done */
};
struct opening {			/* the writer's first job: open, migrate, then the caller's */
	struct sp_job	 job;
	struct ctl_lanes *of;
	struct ctl_job	*first;
	enum sp_err	 err;
	char		 detail[256];
	int		 running, replayed, verify;
	int		 readable;	/* a replica answers and has our schema */
	uint64_t	 next_us;
};
struct ctl_lanes {
	struct ctl	*ctl;
	struct lane	 writer, index, bulk, reader[LANE_READERS];
	pthread_mutex_t	 turn;		/* to write to the main part: the writer's jobs, or one change of the bulk lane */
	atomic_int	 bulk_turn;	/* the bulk lane has it */
	pthread_mutex_t	 index_turn;	/* of the index lane's jobs, or of whoever carries the evidence elsewhere */
	struct opening	 opening;
	pthread_mutex_t	 mu;		/* url and gen */
	char		 url[SP_CONF_TEXT + 64];
	char		 mark[SP_CONF_TEXT + 32];	/* "": not an embedded store */
	unsigned	 gen;
	void		(*away)(struct ctl *c);
	int		 ready, open, writable, closing;	/* ready: there is a store to read; open: jobs run */
	int		 said;
	uint64_t	 key_by_us;
	struct sp_list	 late, again;		/* CTL_INDEX: waiting; of the running batch, failed */
	size_t		 late_n, late_bytes, again_n, index_out;	/* late_bytes: of both lists */
	uint64_t	 late_at_us;
	int		 late_said;
	struct sp_list	 waiting, refused;
	size_t		 waiting_n;
	struct sp_timer	*now;		/* delivers refused jobs outside of the caller */
};

static void lanes_try_open(struct ctl_lanes *l);

/* An empty file beside the snapshots says that there was a store. */
static int
store_marked(const struct ctl_lanes *l)
{
	return *l->mark && access(l->mark, F_OK) == 0;
}

static void
store_mark(const struct ctl_lanes *l)
{
	sp_auto(sp_closep) int fd = -1;

	if (*l->mark && (fd = open(l->mark, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) == -1)
		sp_warn("%s cannot be made", l->mark);
}

static void
lane_close(struct lane *ln)
{
	sp_store_close(ln->store);
	ln->store = NULL;
	ln->key_gen = 0;
}

/* The store of this moment's URL. One that was there once is never made anew: an empty one would let nobody in, and
 * would be taken for the truth. */
static enum sp_err
lane_open(struct lane *ln)
{
	struct ctl_lanes *l = ln->of;
	const struct ctl *c = l->ctl;
	struct sp_store_opts opts = { .existing = store_marked(l), .reader = ln != &l->writer && ln != &l->index && ln != &l->bulk };
	char url[sizeof(l->url)];
	unsigned gen;
	enum sp_err r;

	pthread_mutex_lock(&l->mu);
	gen = l->gen;
	memcpy(url, l->url, sizeof(url));
	pthread_mutex_unlock(&l->mu);
	if (ln->gen != gen) {
		lane_close(ln);
		ln->gen = gen;
		ln->stuck = 0;
	}
	if (c->servers != NULL && strcmp(url, c->store_url) == 0) {	/* not the copy of a snapshot */
		opts.servers = c->servers;
		opts.connect_ms = (uint32_t)(c->child.conf.store_timeout / SP_US_PER_MS);
	}
	if (ln->stuck)
		return SP_EUNAVAIL;
	if (ln->store == NULL && (r = sp_store_open(url, &opts, &ln->store)) != SP_OK)
		return r;
	return rowkey_apply(ln->store, &ln->key_gen);
}

/* Does this job tell whether there is a store at all? */
static int
lane_tells(const struct ctl_job *j)
{
	return j->kind == CTL_READ || j->ctl->servers == NULL;
}

static void
lane_run(struct ctl_job *j, struct lane *ln)
{
	j->parked = j->trouble = 0;
	if ((j->err = lane_open(ln)) == SP_OK && lane_tells(j))
		j->err = sp_store_check(ln->store);
	if (j->err != SP_OK) {
		j->parked = lane_tells(j);
		ln->stuck |= j->parked;
		return;
	}
	(void)sp_store_trouble(ln->store);
	if ((j->err = wall_load(ln->store)) == SP_OK) {
		mfa_load(j->ctl, ln->store);
		j->work(j, ln->store);
		rowkey_collect(ln->store);
	}
	j->trouble = sp_store_trouble(ln->store) != SP_OK && lane_tells(j);
}

static void
lane_work(struct sp_job *sj)
{
	struct ctl_job *j = sp_container(sj, struct ctl_job, job);
	struct lane *ln = j->lane;
	pthread_mutex_t *turn = j->kind == CTL_WRITE ? &ln->of->turn : j->kind == CTL_INDEX ? &ln->of->index_turn : NULL;

	if (turn != NULL)
		pthread_mutex_lock(turn);
	lane_run(j, ln);
	if (turn != NULL)
		pthread_mutex_unlock(turn);
}

void
ctl_bulk_turn(struct ctl *c, int take)
{
	struct ctl_lanes *l = c->lanes;

	if (take) {
		pthread_mutex_lock(&l->turn);
		atomic_store(&l->bulk_turn, 1);
	} else {
		atomic_store(&l->bulk_turn, 0);
		pthread_mutex_unlock(&l->turn);
	}
}

void
ctl_index_hold(struct ctl *c, int hold)
{
	if (hold)
		pthread_mutex_lock(&c->lanes->index_turn);
	else
		pthread_mutex_unlock(&c->lanes->index_turn);
}

/* In the order in which they were asked, whichever way they came here. */
static void
lanes_wait(struct ctl_lanes *l, struct ctl_job *j)
{
	struct sp_list *at = l->waiting.prev;

	while (at != &l->waiting && sp_container(at, struct ctl_job, wait)->asked_us > j->asked_us)
		at = at->prev;
	sp_list_add_tail(at->next, &j->wait);
	l->waiting_n++;
}

/* Every handle is opened anew before its next job. */
static void
lanes_renew(struct ctl_lanes *l)
{
	pthread_mutex_lock(&l->mu);
	l->gen++;
	pthread_mutex_unlock(&l->mu);
}

/* Jobs wait from here until a store is open. */
static void
lanes_lost(struct ctl_lanes *l, int verify)
{
	l->opening.verify |= verify;
	if (!l->open || l->closing)
		return;
	l->ready = l->open = l->writable = l->opening.readable = 0;
	l->opening.next_us = 0;
	lanes_renew(l);
	lanes_try_open(l);
}

int
ctl_bulk_has_turn(const struct ctl *c)
{
	return atomic_load(&c->lanes->bulk_turn);
}

static void lanes_submit(struct ctl_lanes *l, struct ctl_job *j);

/* ---- writes that may come late ---- */

static void
late_add(struct ctl_lanes *l, struct sp_list *list, size_t *n, struct ctl_job *j)
{
	sp_list_add_tail(list, &j->wait);
	(*n)++;
	l->late_bytes += j->bytes;
}

static struct ctl_job *
late_take(struct ctl_lanes *l, struct sp_list *list, size_t *n)
{
	struct ctl_job *j = sp_container(list->next, struct ctl_job, wait);

	sp_list_remove(&j->wait);
	(*n)--;
	l->late_bytes -= j->bytes;
	return j;
}

static void
late_run(struct ctl_lanes *l, uint64_t now_us)
{
	if (!l->writable || l->index_out > 0 || l->late_n == 0 || now_us < l->late_at_us)
		return;
	for (int i = 0; i < LATE_BATCH && l->late_n > 0; i++)
		lanes_submit(l, late_take(l, &l->late, &l->late_n));
}

static void
late_batch_done(struct ctl_lanes *l)
{
	if (l->again_n > 0) {
		if (!l->late_said)
			sp_warn("the store takes no writes: rows of sessions are kept until it does");
		l->late_said = 1;
		l->late_at_us = sp_now_us() + LATE_RETRY_US;
		while (l->again_n > 0) {	/* the last failed one first: to the front, in order */
			struct ctl_job *j = sp_container(l->again.prev, struct ctl_job, wait);

			sp_list_remove(&j->wait);
			sp_list_add_tail(l->late.next, &j->wait);
			l->again_n--;
			l->late_n++;
		}
	} else if (l->late_said && l->late_n == 0) {
		sp_info("the rows that were kept are written");
		l->late_said = 0;
	}
	late_run(l, sp_now_us());
}

static int
late_again(enum sp_err r)
{
	return r == SP_EUNAVAIL || r == SP_EBUSY || r == SP_ETIMEOUT;
}

static void
lane_done(struct sp_job *sj)
{
	struct ctl_job *j = sp_container(sj, struct ctl_job, job);
	struct ctl_lanes *l = ((struct lane *)j->lane)->of;
	int index = j->kind == CTL_INDEX;

	((struct lane *)j->lane)->pending--;
	if (j->parked || j->trouble)
		lanes_lost(l, j->trouble);
	if (index && (j->parked || late_again(j->err)) && !l->closing)
		late_add(l, &l->again, &l->again_n, j);
	else if (j->parked && !l->closing && l->waiting_n < LANE_WAITING)
		lanes_wait(l, j);
	else
		j->done(j);
	if (index && --l->index_out == 0)
		late_batch_done(l);
}

/* ---- lanes ---- */

static void
lanes_refuse(struct ctl_lanes *l, struct ctl_job *j, enum sp_err why)
{
	j->err = why;
	sp_list_add_tail(&l->refused, &j->wait);
	if (!l->closing)
		sp_timer_in(l->now, 0);
}

static void
lanes_deliver_refused(struct sp_timer *t, void *arg)
{
	struct ctl_lanes *l = arg;

	(void)t;
	while (!sp_list_empty(&l->refused)) {
		struct ctl_job *j = sp_container(l->refused.next, struct ctl_job, wait);

		sp_list_remove(&j->wait);
		j->done(j);
	}
}

static void
lanes_submit(struct ctl_lanes *l, struct ctl_job *j)
{
	struct lane *ln = j->kind == CTL_INDEX ? &l->index : j->kind == CTL_BULK ? &l->bulk : &l->writer;

	if (j->kind == CTL_READ) {
		ln = &l->reader[0];
		for (size_t i = 1; i < LANE_READERS; i++)
			if (l->reader[i].pending < ln->pending)
				ln = &l->reader[i];
	}
	j->lane = ln;
	j->job.work = lane_work;
	j->job.done = lane_done;
	if (sp_pool_submit(ln->pool, &j->job) == SP_OK) {
		ln->pending++;
		l->index_out += j->kind == CTL_INDEX;
	} else if (j->kind == CTL_INDEX) {
		late_add(l, &l->late, &l->late_n, j);
	} else {
		lanes_refuse(l, j, SP_EBUSY);
	}
}

static void
lanes_index(struct ctl_lanes *l, struct ctl_job *j)
{
	if (l->closing)
		lanes_refuse(l, j, SP_ECLOSED);
	else if (l->writable && l->late_n == 0 && l->again_n == 0)
		lanes_submit(l, j);
	else if (l->late_bytes + j->bytes > LATE_BYTES)
		lanes_refuse(l, j, SP_EUNAVAIL);	/* the audit log has it */
	else
		late_add(l, &l->late, &l->late_n, j);
}

void
ctl_job_run(struct ctl *c, enum ctl_lane kind, struct ctl_job *j)
{
	struct ctl_lanes *l = c->lanes;

	j->ctl = c;
	j->kind = kind;
	j->asked_us = sp_now_us();
	if (kind == CTL_INDEX) {
		lanes_index(l, j);
	} else if (l->open && kind == CTL_WRITE && !l->writable) {
		lanes_refuse(l, j, SP_EUNAVAIL);
	} else if (l->open) {
		lanes_submit(l, j);
	} else if (l->closing || l->waiting_n >= LANE_WAITING) {
		lanes_refuse(l, j, SP_EUNAVAIL);
	} else {
		lanes_wait(l, j);
	}
}

/* Is there a replica to read from, while there is no primary to open? */
static int
opening_is_readable(const struct opening *o)
{
	const struct ctl *c = o->of->ctl;
	struct sp_store_opts opts = { .servers = c->servers, .reader = 1 };
	struct sp_store *s = NULL;
	int current = 0;

	if (c->servers == NULL || sp_store_open(c->store_url, &opts, &s) != SP_OK)
		return 0;
	if (sp_store_is_current(s, &current) != SP_OK)
		current = 0;
	sp_store_close(s);
	return current;
}

static void
lanes_open(struct ctl_lanes *l)
{
	l->open = 1;
	while (!sp_list_empty(&l->waiting)) {
		struct ctl_job *j = sp_container(l->waiting.next, struct ctl_job, wait);

		sp_list_remove(&j->wait);
		l->waiting_n--;
		if (j->kind == CTL_WRITE && !l->writable)
			lanes_refuse(l, j, SP_EUNAVAIL);
		else
			lanes_submit(l, j);
	}
}

void
ctl_lanes_go(struct ctl_lanes *l)
{
	if (l != NULL && l->ready && !l->closing && (l->open || rowkey_known() || sp_now_us() >= l->key_by_us))
		lanes_open(l);
}

static void
lanes_ready(struct ctl_lanes *l)
{
	if (!l->ready)
		l->key_by_us = sp_now_us() + LANE_KEY_US;
	l->ready = 1;
	ctl_lanes_go(l);
}

/* After it broke under a job a file is read from end to end before it is believed again. */
static enum sp_err
opening_check(const struct opening *o, struct sp_store *s)
{
	enum sp_err r = sp_store_migrate(s);

	return r == SP_OK && o->verify ? sp_store_verify(s) : r;
}

/* A backup that was restored waits in the state directory for the database that the configuration names (src/ctl/backup.c). With
 * an embedded store it is in its place already. */
static enum sp_err
opening_load(const struct opening *o, struct sp_store *s)
{
	static const char *const file[] = { "snapshot/store.load", "store/sallyport.db", "store/sallyport.db-wal", "store/sallyport.db-shm",
		"store/evidence.db", "store/evidence.db-wal", "store/evidence.db-shm" };
	const struct ctl_lanes *l = o->of;
	char path[SP_CONF_TEXT + 64], text[SP_UUID_SIZE] = "";
	sp_auto(sp_closep) int fd = -1;
	struct sp_uuid id;
	enum sp_err r;

	sp_snprintf(path, sizeof(path), "%s/%s", l->ctl->child.conf.state_dir, file[0]);
	if (o->replayed || (fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) == -1)
		return SP_OK;
	if (l->ctl->servers == NULL) {
		(void)unlink(path);
		return SP_OK;
	}
	if (read(fd, text, sizeof(text) - 1) != SP_UUID_SIZE - 1 || sp_uuid_parse(text, &id) != SP_OK)
		return SP_ECORRUPT;
	sp_snprintf(path, sizeof(path), "%s/store", l->ctl->child.conf.state_dir);
	sp_info("the restored backup is put into the database");
	if ((r = sp_store_load(s, path, &id)) != SP_OK)
		return r;
	for (size_t i = SP_NELEMS(file); i-- > 0; ) {	/* the note goes last */
		sp_snprintf(path, sizeof(path), "%s/%s", l->ctl->child.conf.state_dir, file[i]);
		(void)unlink(path);
	}
	sp_info("the restored backup is in the database");
	return SP_OK;
}

static void
opening_work(struct sp_job *sj)
{
	struct opening *o = sp_container(sj, struct opening, job);
	struct lane *ln = &o->of->writer;

	o->detail[0] = '\0';
	if ((o->err = lane_open(ln)) == SP_OK && ((o->err = opening_check(o, ln->store)) != SP_OK ||
	    (o->err = opening_load(o, ln->store)) != SP_OK))
		(void)sp_strlcpy(o->detail, sp_store_detail(ln->store), sizeof(o->detail));
	if (o->err == SP_OK)
		store_mark(o->of);
	if (o->err == SP_OK && !o->replayed) {
		o->first->err = SP_OK;
		o->first->work(o->first, ln->store);
		if (o->first->err == SP_EUNAVAIL)
			o->err = SP_EUNAVAIL;
	}
	if (o->err != SP_OK)
		lane_close(ln);
	if (o->err == SP_EUNAVAIL && !o->readable)
		o->readable = opening_is_readable(o);
}

static void
opening_done(struct sp_job *sj)
{
	struct opening *o = sp_container(sj, struct opening, job);
	struct ctl_lanes *l = o->of;

	o->running = 0;
	if (!o->replayed && (o->err == SP_EVERSION || o->err == SP_EINVAL))
		sp_die(sp_err_exit(o->err), "the store cannot be used: %s %s", sp_err_text(o->err), o->detail);
	if (o->err != SP_OK) {
		o->next_us = sp_now_us() + LANE_RETRY_US;
		if (l->open)
			return;
		if (o->readable) {
			sp_warn("the store has no primary: people are served from a replica, changes wait");
			lanes_ready(l);
			return;
		}
		if (!l->said)
			sp_warn("the store is not available, trying again: %s %s", sp_err_text(o->err), o->detail);
		l->said = 1;
		if (l->away != NULL && !l->closing)
			l->away(l->ctl);
		return;
	}
	l->writable = 1;
	l->said = o->verify = 0;
	if (o->replayed)
		lanes_renew(l);		/* a lane may have been stuck meanwhile */
	else
		o->first->done(o->first);
	o->replayed = 1;
	lanes_ready(l);
	late_run(l, sp_now_us());
}

static void
lanes_try_open(struct ctl_lanes *l)
{
	struct opening *o = &l->opening;

	if (o->running)
		return;
	o->job.work = opening_work;
	o->job.done = opening_done;
	o->running = sp_pool_submit(l->writer.pool, &o->job) == SP_OK;
}

void
ctl_lanes_away(struct ctl_lanes *l, void (*away)(struct ctl *c))
{
	l->away = away;
}

void
ctl_lanes_switch(struct ctl_job *j, const char *url)
{
	struct ctl_lanes *l = j->ctl->lanes;

	pthread_mutex_lock(&l->mu);
	(void)sp_strlcpy(l->url, url, sizeof(l->url));
	l->gen++;
	pthread_mutex_unlock(&l->mu);
}

void
ctl_lanes_use(struct ctl_lanes *l, const char *url)
{
	pthread_mutex_lock(&l->mu);
	(void)sp_strlcpy(l->url, url, sizeof(l->url));
	l->gen++;
	pthread_mutex_unlock(&l->mu);
	l->ready = l->open = l->writable = l->opening.readable = 0;
	l->opening.next_us = 0;		/* with the next tick, if one is being opened just now */
	lanes_try_open(l);
}

int
ctl_lanes_open(const struct ctl_lanes *l)
{
	return l->open;
}

int
ctl_lanes_busy(const struct ctl_lanes *l)
{
	size_t n = l->waiting_n + l->writer.pending + l->index.pending + l->bulk.pending;

	for (size_t i = 0; i < LANE_READERS; i++)
		n += l->reader[i].pending;
	return n > 0 || !sp_list_empty(&l->refused);
}

size_t
ctl_lanes_late(const struct ctl_lanes *l)
{
	return l->late_n + l->again_n;
}

void
ctl_lanes_tick(struct ctl_lanes *l, uint64_t now_us)
{
	ctl_lanes_go(l);
	if (l->writable) {
		late_run(l, now_us);
		return;
	}
	if (!l->opening.running && now_us >= l->opening.next_us)
		lanes_try_open(l);
	sp_list_each(it, &l->waiting) {
		struct ctl_job *j = sp_container(it, struct ctl_job, wait);

		if (now_us < j->asked_us + l->ctl->child.conf.control_wait)
			break;
		sp_list_remove(&j->wait);
		l->waiting_n--;
		lanes_refuse(l, j, SP_EUNAVAIL);
	}
}

static enum sp_err
lane_init(struct ctl_lanes *l, struct lane *ln)
{
	ln->of = l;
	return sp_pool_new(l->ctl->child.loop, 1, LANE_QUEUE, &ln->pool);
}

enum sp_err
ctl_lanes_new(struct ctl *c, struct ctl_job *first, struct ctl_lanes **ret)
{
	struct ctl_lanes *l = calloc(1, sizeof(*l));
	enum sp_err r;

	if (l == NULL)
		return SP_ENOMEM;
	l->ctl = c;
	pthread_mutex_init(&l->turn, NULL);
	pthread_mutex_init(&l->mu, NULL);
	pthread_mutex_init(&l->index_turn, NULL);
	(void)sp_strlcpy(l->url, c->store_url, sizeof(l->url));
	if (c->servers == NULL)
		sp_snprintf(l->mark, sizeof(l->mark), "%s/snapshot/store.made", c->child.conf.state_dir);
	sp_list_init(&l->waiting);
	sp_list_init(&l->refused);
	sp_list_init(&l->late);
	sp_list_init(&l->again);
	first->ctl = c;
	l->opening.of = l;
	l->opening.first = first;
	r = sp_timer_new(c->child.loop, lanes_deliver_refused, l, &l->now);
	if (r == SP_OK)
		r = lane_init(l, &l->writer);
	if (r == SP_OK)
		r = lane_init(l, &l->index);
	if (r == SP_OK)
		r = lane_init(l, &l->bulk);
	for (size_t i = 0; i < LANE_READERS && r == SP_OK; i++)
		r = lane_init(l, &l->reader[i]);
	if (r != SP_OK) {
		ctl_lanes_free(l);
		return r;
	}
	lanes_try_open(l);
	*ret = l;
	return SP_OK;
}

void
ctl_lanes_free(struct ctl_lanes *l)
{
	if (l == NULL)
		return;
	l->closing = 1;
	l->open = l->writable = 0;
	while (!sp_list_empty(&l->waiting)) {
		struct ctl_job *j = sp_container(l->waiting.next, struct ctl_job, wait);

		sp_list_remove(&j->wait);
		lanes_refuse(l, j, SP_ECLOSED);
	}
	for (size_t i = 0; i < LANE_READERS; i++)
		sp_pool_free(l->reader[i].pool);
	sp_pool_free(l->bulk.pool);
	sp_pool_free(l->index.pool);
	sp_pool_free(l->writer.pool);
	while (l->late_n > 0)
		lanes_refuse(l, late_take(l, &l->late, &l->late_n), SP_ECLOSED);
	while (l->again_n > 0)
		lanes_refuse(l, late_take(l, &l->again, &l->again_n), SP_ECLOSED);
	lanes_deliver_refused(NULL, l);
	for (size_t i = 0; i < LANE_READERS; i++)
		sp_store_close(l->reader[i].store);
	sp_store_close(l->bulk.store);
	sp_store_close(l->index.store);
	sp_store_close(l->writer.store);
	pthread_mutex_destroy(&l->turn);
	sp_timer_free(l->now);
	pthread_mutex_destroy(&l->mu);
	pthread_mutex_destroy(&l->index_turn);
	free(l);
}
