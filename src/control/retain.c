/* src/control/retain.c - recordings go when their policy says so. Process: control; plans in the bulk lane, deletions in the
 * writer, a few in each job, so that nobody waits long and a hold that was set before is always seen.
 *
 *	policies -> every recording on the disk, oldest first -> [its session, department, policy] -> plan -> clock?
 *	-> intent "recording.delete" durable -> files -> "recording.deleted"
 *
 * Invariants: (1) what is live or held is not deleted, and who cannot be asked (a row that does not open, a session that is
 * not known) is taken for held. (2) The age of a recording is that of its id or of its files, whichever is younger; the
 * database cannot make it older. (3) Nothing goes in quarantine, in containment, without the key of the row MACs, while the
 * clock does not agree with what was seen before, or when it went on by more than RETAIN_GAP_US since it was looked at
 * last: a clock that jumped may not empty the house; an administrator says that it is right. (4) By itself it deletes no more
 * than a quarter at once. (5) Size alone takes nothing younger than least_s, so that who fills the disk does not drive out
 * what was recorded before. */
#include "control/retain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/loghead.h"
#include "control/quarantine.h"
#include "control/recfiles.h"
#include "control/snapshot.h"
#include "control/wall.h"

#define KEY		"recording.keep."
#define CLOCK_KEY	"recording.clock"	/* setting: wall time of the last look at the clock that found it right */
#define RETAIN_GAP_US	(3 * 86400 * (int64_t)SP_US_PER_S)
#define FIRST_US	(60 * SP_US_PER_S)	/* after a start */
#define AT_ONCE		4			/* deletions in one job of the writer */
#define FREE_N		20			/* so many may always go at once: quarters of small numbers say nothing */
#define ITEMS_MAX	2000000u

struct retain {
	struct ctl_job		 job;
	struct ctl		*ctl;
	struct retain_plan	*plan;		/* being made, or being carried out */
	char			 actor[SP_STORE_LOGIN_MAX + 1];
	size_t			 at;
	int			 busy, save_clock;
	uint64_t		 last_us;	/* boottime of the last look; of the start */
	int			 looked;
	char			 refused[320];	/* said last */
	size_t			 gone, failed;
	enum sp_err		 err;
};

/* ---- policies ---- */

static void
policy_key(const struct sp_uuid *department, char dst[64])
{
	char id[SP_UUID_SIZE];

	(void)sp_snprintf(dst, 64, KEY "%s", sp_uuid_is_null(department) ? "all" : sp_uuid_text(department, id));
}

enum sp_err
retain_policy_get(struct sp_store *s, const struct sp_uuid *department, struct retain_policy *ret)
{
	struct retain_policy p = { .department = *department };
	char key[64], text[128];
	enum sp_err r;

	policy_key(department, key);
	if ((r = sp_store_setting_get(s, key, text, sizeof(text))) != SP_OK)
		return r;
	if (*text == '\0')
		return SP_ENOENT;
	if (sscanf(text, "%" SCNd64 " %" SCNd64 " %" SCNd64, &p.keep_s, &p.max_bytes, &p.least_s) != 3 || p.keep_s < 0 ||
	    p.max_bytes < 0 || p.least_s < 0)
		return SP_ECORRUPT;
	*ret = p;
	return SP_OK;
}

enum sp_err
retain_policy_set(struct sp_store *s, const struct sp_uuid *department, const struct retain_policy *p)
{
	char key[64], text[128] = "";

	policy_key(department, key);
	if (p != NULL)
		(void)sp_snprintf(text, sizeof(text), "%" PRId64 " %" PRId64 " %" PRId64, p->keep_s, p->max_bytes, p->least_s);
	return sp_store_setting_set(s, key, text);
}

/* ---- holds ---- */

enum sp_err
recording_held(struct sp_store *s, int recordings, const struct sp_uuid *session, char reason[RECORDING_REASON])
{
	char key[64], id[SP_UUID_SIZE];
	enum sp_err r;

	(void)sp_snprintf(key, sizeof(key), "recording.hold.%s", sp_uuid_text(session, id));
	reason[0] = '\0';
	if ((r = sp_store_setting_get(s, key, reason, RECORDING_REASON)) != SP_OK && r != SP_ENOENT)
		return r;
	if (*reason == '\0' && recordings >= 0 && recfiles_held(recordings, session))
		(void)sp_strlcpy(reason, "the store does not know why", RECORDING_REASON);
	return SP_OK;
}

/* ---- the plan ---- */

struct dept {
	struct sp_uuid	id, parent;
	int		policy;		/* -1: none of its own */
};
struct planning {
	struct sp_store		*s;
	struct retain_plan	*p;
	int			 recordings, all;	/* all: policy of those without one; -1 */
	struct dept		*dept;
	size_t			 dept_n, dept_cap;
	struct retain_item	*kept;		/* of policies with a size, oldest first */
	size_t			 kept_n, kept_cap;
	int64_t			 now_us;
	enum sp_err		 err;
};

static enum sp_err
items_add(struct retain_item **v, size_t *n, size_t *cap, const struct retain_item *i)
{
	if (*n == ITEMS_MAX)
		return SP_ESIZE;
	if (*n == *cap) {
		size_t more = *cap == 0 ? 64 : *cap * 2;
		struct retain_item *w = reallocarray(*v, more, sizeof(*w));

		if (w == NULL)
			return SP_ENOMEM;
		*v = w;
		*cap = more;
	}
	(*v)[(*n)++] = *i;
	return SP_OK;
}

/* *ret: its place; -1: there is none. */
static enum sp_err
policy_add(struct planning *k, const struct sp_uuid *department, const char *name, int *ret)
{
	struct retain_policy p, *v;
	enum sp_err r;

	*ret = -1;
	if ((r = retain_policy_get(k->s, department, &p)) != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	if (k->p->policy_n == RETAIN_POLICIES_MAX || (v = reallocarray(k->p->policy, k->p->policy_n + 1, sizeof(*v))) == NULL)
		return SP_EFULL;
	(void)sp_strlcpy(p.name, name, sizeof(p.name));
	k->p->policy = v;
	*ret = (int)k->p->policy_n;
	v[k->p->policy_n++] = p;
	return SP_OK;
}

static int
dept_row(const struct sp_store_department *d, void *arg)
{
	struct planning *k = arg;
	struct dept *v;

	if (k->dept_n == k->dept_cap) {
		if ((v = reallocarray(k->dept, k->dept_cap + 256, sizeof(*v))) == NULL) {
			k->err = SP_ENOMEM;
			return 1;
		}
		k->dept = v;
		k->dept_cap += 256;
	}
	k->dept[k->dept_n++] = (struct dept){ d->id, d->parent_id, -1 };
	return 0;
}

static enum sp_err
policies_load(struct planning *k)
{
	const struct sp_uuid none = { 0 };
	struct sp_store_query q = { .checked = 1 };
	struct sp_store_department d;
	size_t before;
	enum sp_err r = policy_add(k, &none, "", &k->all);

	do {
		before = k->dept_n;
		if (r == SP_OK)
			r = sp_store_department_list(k->s, &q, dept_row, k);
		q.offset += SP_STORE_PAGE_MAX;
	} while (r == SP_OK && k->err == SP_OK && k->dept_n - before == SP_STORE_PAGE_MAX);
	for (size_t i = 0; r == SP_OK && k->err == SP_OK && i < k->dept_n; i++)
		if ((r = sp_store_department_get(k->s, &k->dept[i].id, &d)) == SP_OK)
			r = policy_add(k, &k->dept[i].id, d.name, &k->dept[i].policy);
	return r != SP_OK ? r : k->err;
}

/* The nearest one going up from the department; -1: kept for ever. */
static int
policy_of(const struct planning *k, const struct sp_uuid *department)
{
	struct sp_uuid at = *department;

	for (size_t depth = 0; depth <= k->dept_n && !sp_uuid_is_null(&at); depth++) {
		const struct dept *d = NULL;

		for (size_t i = 0; i < k->dept_n && d == NULL; i++)
			if (sp_uuid_equal(&k->dept[i].id, &at))
				d = &k->dept[i];
		if (d == NULL)
			break;
		if (d->policy >= 0)
			return d->policy;
		at = d->parent;
	}
	return k->all;
}

/* As for looking at it: the department of its asset, or of its user once the asset is gone. SP_ENOENT never. */
static enum sp_err
department_of(struct sp_store *s, const struct sp_store_session *row, struct sp_uuid *ret)
{
	struct sp_store_asset a;
	struct sp_store_user u;
	enum sp_err r;

	*ret = (struct sp_uuid){ 0 };
	if ((r = sp_store_asset_get(s, &row->asset_id, &a)) == SP_OK)
		*ret = a.department_id;
	else if (r == SP_ENOENT && (r = sp_store_user_get(s, &row->user_id, &u)) == SP_OK)
		*ret = u.department_id;
	return r == SP_ENOENT ? SP_OK : r;
}

/* What is not known of it keeps it. */
static enum sp_err
plan_look(struct planning *k, const struct recfiles *f, struct retain_item *i)
{
	struct sp_store_session row;
	char reason[RECORDING_REASON];
	struct sp_uuid department;
	enum sp_err r;

	*i = (struct retain_item){ .id = f->id, .bytes = f->bytes, .at_us = f->at_us, .policy = -1, .fixed = f->held };
	if ((r = sp_store_session_get(k->s, &f->id, &row)) != SP_OK || (r = department_of(k->s, &row, &department)) != SP_OK ||
	    (r = recording_held(k->s, -1, &f->id, reason)) != SP_OK) {
		k->p->doubtful++;
		return r == SP_ENOENT || r == SP_ETAMPERED ? SP_OK : r;
	}
	k->p->held += f->held || *reason != '\0';
	i->fixed |= *reason != '\0' || row.state == SP_STORE_LIVE;
	i->policy = policy_of(k, &department);
	return SP_OK;
}

static enum sp_err
plan_go(struct planning *k, struct retain_item *i, int by_size)
{
	i->by_size = by_size;
	k->p->go_bytes += i->bytes;
	return items_add(&k->p->go, &k->p->go_n, &k->p->go_cap, i);
}

static int
older(const struct planning *k, const struct retain_item *i, int64_t s)
{
	return i->at_us < k->now_us - s * (int64_t)SP_US_PER_S;
}

static enum sp_err
plan_one(const struct recfiles *f, void *arg)
{
	struct planning *k = arg;
	const struct retain_policy *p;
	struct retain_item i;
	enum sp_err r = plan_look(k, f, &i);

	k->p->seen++;
	if (r != SP_OK || i.policy < 0)
		return r;
	p = &k->p->policy[i.policy];
	if (p->keep_s > 0 && !i.fixed && older(k, &i, p->keep_s))
		return plan_go(k, &i, 0);
	i.fixed |= !older(k, &i, p->least_s);
	return p->max_bytes > 0 ? items_add(&k->kept, &k->kept_n, &k->kept_cap, &i) : SP_OK;
}

/* What age left and is too much all the same, oldest first. */
static enum sp_err
plan_sizes(struct planning *k)
{
	enum sp_err r = SP_OK;

	for (size_t n = 0; r == SP_OK && n < k->p->policy_n; n++) {
		uint64_t all = 0, most = (uint64_t)k->p->policy[n].max_bytes;

		for (size_t i = 0; i < k->kept_n; i++)
			all += k->kept[i].policy == (int)n ? k->kept[i].bytes : 0;
		for (size_t i = 0; r == SP_OK && i < k->kept_n && all > most; i++)
			if (k->kept[i].policy == (int)n && !k->kept[i].fixed) {
				all -= k->kept[i].bytes;
				r = plan_go(k, &k->kept[i], 1);
			}
	}
	return r;
}

/* Why the clock is not believed; "" when it is. */
static enum sp_err
clock_check(struct sp_store *s, int64_t now_us, int accept, char *why, size_t size)
{
	char text[64], clock[400];
	long long last = 0;
	enum sp_err r;

	if (!wall_agrees(clock, sizeof(clock))) {
		(void)sp_snprintf(why, size, "%.300s", clock);
		return SP_OK;
	}
	if ((r = sp_store_setting_get(s, CLOCK_KEY, text, sizeof(text))) == SP_ENOENT)
		return SP_OK;
	if (r != SP_OK)
		return r;
	last = strtoll(text, NULL, 10);
	if (!accept && now_us - last > RETAIN_GAP_US)
		(void)sp_snprintf(why, size, "the clock went on by %lld days since it was looked at last: if it is right, say 'sallyport "
		    "recording retention --accept-clock'", (long long)((now_us - last) / (86400 * (int64_t)SP_US_PER_S)));
	return SP_OK;
}

static enum sp_err
plan_fill(struct planning *k, struct ctl *c)
{
	struct sp_config conf;
	enum sp_err r;

	if ((r = policies_load(k)) != SP_OK || k->p->policy_n == 0)
		return r;
	ctl_conf_copy(c, &conf);
	if ((r = recfiles_dir(conf.state_dir, &k->recordings)) != SP_OK)
		return r == SP_ENOENT ? SP_OK : r;
	if ((r = recfiles_each(k->recordings, plan_one, k)) == SP_OK)
		r = plan_sizes(k);
	sp_closep(&k->recordings);
	return r;
}

static enum sp_err
plan_check(struct planning *k, struct ctl *c, int by_hand, int accept_clock)
{
	struct retain_plan *p = k->p;
	enum sp_err r = clock_check(k->s, k->now_us, accept_clock, p->refused, sizeof(p->refused));

	if (quarantine_is(c))
		(void)sp_snprintf(p->refused, sizeof(p->refused), "nothing is deleted in quarantine");
	else if (loghead_contained(c) != NULL)
		(void)sp_snprintf(p->refused, sizeof(p->refused), "nothing is deleted in containment");
	else if (*p->refused == '\0' && !by_hand && p->go_n > FREE_N && p->go_n > p->seen / 4)
		(void)sp_snprintf(p->refused, sizeof(p->refused), "%zu of %zu recordings would go at once: look at 'sallyport recording "
		    "retention --dry-run', then say 'sallyport recording retention'", p->go_n, p->seen);
	return r;
}

enum sp_err
retain_plan_make(struct ctl *c, struct sp_store *s, int by_hand, int accept_clock, struct retain_plan **ret)
{
	struct planning k = { .s = s, .recordings = -1, .all = -1, .now_us = ctl_wall_us() };
	enum sp_err r;

	if (sp_store_mac_mode(s) == SP_STORE_MAC_SEALED)
		return SP_ESEALED;
	if ((k.p = calloc(1, sizeof(*k.p))) == NULL)
		return SP_ENOMEM;
	if ((r = plan_fill(&k, c)) == SP_OK)
		r = plan_check(&k, c, by_hand, accept_clock);
	free(k.dept);
	free(k.kept);
	if (r != SP_OK) {
		retain_plan_free(k.p);
		return r;
	}
	*ret = k.p;
	return SP_OK;
}

void
retain_plan_free(struct retain_plan *p)
{
	if (p == NULL)
		return;
	free(p->policy);
	free(p->go);
	free(p);
}

void
retain_why(const struct retain_plan *p, const struct retain_item *i, char *dst, size_t size)
{
	const struct retain_policy *y = &p->policy[i->policy];
	char of[SP_STORE_NAME_MAX + 32];

	(void)sp_snprintf(of, sizeof(of), "%s%s", *y->name != '\0' ? "policy of " : "policy", y->name);
	if (i->by_size)
		(void)sp_snprintf(dst, size, "more than %lld MiB (%s)", (long long)(y->max_bytes >> 20), of);
	else if (y->keep_s % 86400 == 0)
		(void)sp_snprintf(dst, size, "older than %lld days (%s)", (long long)(y->keep_s / 86400), of);
	else
		(void)sp_snprintf(dst, size, "older than %lld s (%s)", (long long)y->keep_s, of);
}

/* ---- carrying it out ---- */

/* Writer. Looked at once more: a hold, or anything else that keeps it, may be newer than the plan. */
static enum sp_err
go_one(struct retain *k, struct sp_store *s, int recordings, const struct retain_item *i)
{
	struct sp_store_session row;
	char reason[RECORDING_REASON], why[320];
	json_t *more;
	struct audit_entry e = { .kind = "recording.delete", .actor = k->actor, .result = "ok", .text = why, .session = &row.id,
	    .user = &row.user_id, .asset = &row.asset_id };
	enum sp_err r;
	int files = 0;

	if ((r = sp_store_session_get(s, &i->id, &row)) != SP_OK || (r = recording_held(s, recordings, &i->id, reason)) != SP_OK)
		return r;
	if (*reason != '\0' || row.state == SP_STORE_LIVE)
		return SP_OK;
	retain_why(k->plan, i, why, sizeof(why));
	e.more = more = json_pack("{s:s, s:I}", "by", "retention", "bytes", (json_int_t)i->bytes);
	r = audit_append_wait(k->ctl->audit, &e);
	json_decref(more);
	if (r != SP_OK)
		return r;
	if ((r = recfiles_delete(recordings, &i->id, &files)) == SP_OK)
		k->gone++;
	e.kind = "recording.deleted";
	e.result = r == SP_OK ? "ok" : "failed";
	e.text = r == SP_OK ? NULL : sp_err_text(r);
	e.more = more = json_pack("{s:i}", "files", files);
	if (audit_append_wait(k->ctl->audit, &e) != SP_OK)
		r = SP_EIO;
	json_decref(more);
	return r;
}

static enum sp_err
clock_save(struct sp_store *s)
{
	char text[32];

	(void)sp_snprintf(text, sizeof(text), "%" PRId64, ctl_wall_us());
	return sp_store_setting_set(s, CLOCK_KEY, text);
}

static void
go_work(struct ctl_job *j, struct sp_store *s)
{
	struct retain *k = sp_container(j, struct retain, job);
	struct sp_config conf;
	int recordings = -1;

	if (sp_store_mac_mode(s) == SP_STORE_MAC_SEALED || snapshot_in_use(k->ctl) || quarantine_is(k->ctl)) {
		k->err = SP_ESTATE;
		return;
	}
	if (k->save_clock && (k->err = clock_save(s)) != SP_OK)
		return;
	k->save_clock = 0;
	ctl_conf_copy(k->ctl, &conf);
	if (k->at == k->plan->go_n || (k->err = recfiles_dir(conf.state_dir, &recordings)) != SP_OK)
		return;
	for (int n = 0; n < AT_ONCE && k->at < k->plan->go_n; n++, k->at++) {
		enum sp_err r = go_one(k, s, recordings, &k->plan->go[k->at]);

		k->failed += r != SP_OK && r != SP_ENOENT;
	}
	sp_closep(&recordings);
}

static void
retain_end(struct retain *k)
{
	if (k->err != SP_OK || k->failed > 0)
		sp_warn("recordings that their policy deletes: %zu could not be (%s)", k->failed + k->plan->go_n - k->at,
		    sp_err_text(k->err != SP_OK ? k->err : SP_EIO));
	if (k->gone > 0)
		sp_info("%zu recordings were deleted as their policy says", k->gone);
	retain_plan_free(sp_steal(&k->plan));
	k->busy = 0;
}

static void
go_done(struct ctl_job *j)
{
	struct retain *k = sp_container(j, struct retain, job);

	if (j->err != SP_OK)
		k->err = j->err;
	if (k->err == SP_OK && !k->ctl->stopping && k->at < k->plan->go_n)
		ctl_job_run(k->ctl, CTL_WRITE, &k->job);
	else
		retain_end(k);
}

static void
go_begin(struct retain *k, const char *actor)
{
	(void)sp_strlcpy(k->actor, actor, sizeof(k->actor));
	k->at = k->gone = k->failed = 0;
	k->err = SP_OK;
	k->busy = k->save_clock = 1;
	k->job = (struct ctl_job){ .work = go_work, .done = go_done };
	ctl_job_run(k->ctl, CTL_WRITE, &k->job);
}

enum sp_err
retain_go(struct ctl *c, struct retain_plan *taken, const char *actor)
{
	struct retain *k = c->retain;

	if (k->busy) {
		retain_plan_free(taken);
		return SP_EBUSY;
	}
	k->plan = taken;
	k->refused[0] = '\0';
	go_begin(k, actor);
	return SP_OK;
}

/* ---- by itself ---- */

static void
look_work(struct ctl_job *j, struct sp_store *s)
{
	struct retain *k = sp_container(j, struct retain, job);

	k->err = retain_plan_make(k->ctl, s, 0, 0, &k->plan);
}

/* Each reason is said once. */
static void
refused_say(struct retain *k, const char *text)
{
	struct audit_entry e = { .kind = "recording.retention", .actor = "system", .result = "refused", .text = text };

	if (strcmp(k->refused, text) == 0)
		return;
	(void)sp_strlcpy(k->refused, text, sizeof(k->refused));
	if (*text == '\0')
		return;
	sp_warn("no recording is deleted: %s", text);
	audit_append(k->ctl->audit, &e, NULL, NULL);
}

static void
look_done(struct ctl_job *j)
{
	struct retain *k = sp_container(j, struct retain, job);

	if (j->err != SP_OK || k->err != SP_OK || k->ctl->stopping) {
		if (k->err != SP_OK && k->err != SP_ESEALED)
			sp_warn("what the policies of recordings come to cannot be found: %s", sp_err_text(k->err));
		retain_plan_free(sp_steal(&k->plan));
		k->busy = 0;
		return;
	}
	refused_say(k, k->plan->refused);
	if (*k->plan->refused == '\0') {
		go_begin(k, "system");
		return;
	}
	retain_plan_free(sp_steal(&k->plan));
	k->busy = 0;
}

void
retain_tick(struct ctl *c, uint64_t now_us)
{
	uint64_t every = c->child.conf.retention_every;
	struct retain *k = c->retain;

	if (!k->looked && every > FIRST_US)
		every = FIRST_US;
	if (k->busy || now_us < k->last_us + every || !c->store_open || c->stopping || c->leave_at_us != 0 || quarantine_is(c) ||
	    snapshot_in_use(c) || loghead_contained(c) != NULL)
		return;
	k->last_us = now_us;
	k->looked = k->busy = 1;
	k->err = SP_OK;
	k->job = (struct ctl_job){ .work = look_work, .done = look_done };
	ctl_job_run(c, CTL_BULK, &k->job);
}

const char *
retain_text(const struct ctl *c)
{
	return *c->retain->refused != '\0' ? c->retain->refused : NULL;
}

enum sp_err
retain_new(struct ctl *c)
{
	if ((c->retain = calloc(1, sizeof(*c->retain))) == NULL)
		return SP_ENOMEM;
	c->retain->ctl = c;
	c->retain->last_us = sp_now_us();
	return SP_OK;
}

/* The lanes are gone: nothing of it runs any more. */
void
retain_free(struct ctl *c)
{
	if (c->retain == NULL)
		return;
	retain_plan_free(c->retain->plan);
	free(c->retain);
	c->retain = NULL;
}
