/* src/control/wall.c - see wall.h. Process: control; state under a mutex, shared by the loop and the lanes.
 * The mark is the setting "clock.high": the state of the wall clock and the kernel's boot id, with a MAC like every setting
 * that gives power. It is written every WALL_SAVE_US while the key of the MACs is there, so a clock that is set back while
 * control is down revives no more than that. */
#include "control/wall.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/wallclock.h"

#define WALL_KEY	"clock.high"
#define WALL_SAVE_US	(5 * SP_US_PER_S)
#define WALL_SHIFT_US	(30 * (int64_t)SP_US_PER_S)	/* a jump beyond this: live sessions are judged anew */
#define WALL_BOOT_SIZE	40
#define WALL_TEXT_SIZE	200

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct sp_wallclock	w;
	int			loaded;
	char			boot[WALL_BOOT_SIZE];	/* of the kernel */
} shared;
static struct {				/* the loop's */
	struct ctl_job		job;
	int			saving;
	uint64_t		save_at_us;
	enum sp_wallclock_state	said;
	int64_t			shift_us;	/* judged wall time - boottime; 0: not known yet */
} loop;

/* What the clocks say now; the machine's own time while the mark is not loaded: it would be believed for good. */
static int64_t
wall_ask(struct sp_wallclock *ret, int64_t *ret_dating)
{
	int64_t wall, t;
	uint64_t boot;

	pthread_mutex_lock(&mu);
	wall = t = sp_wall_us();
	boot = sp_now_us();
	if (ret_dating != NULL)
		*ret_dating = wall;
	if (shared.loaded) {
		t = sp_wallclock_now(&shared.w, wall, boot);
		if (ret_dating != NULL)
			*ret_dating = sp_wallclock_dating(&shared.w, wall, boot);
	}
	if (ret != NULL)
		*ret = shared.w;
	pthread_mutex_unlock(&mu);
	return t;
}

int64_t
ctl_wall_us(void)
{
	return wall_ask(NULL, NULL);
}

int64_t
ctl_wall_dating_us(void)
{
	int64_t t;

	(void)wall_ask(NULL, &t);
	return t;
}

static int
is_loaded(void)
{
	int loaded;

	pthread_mutex_lock(&mu);
	loaded = shared.loaded;
	pthread_mutex_unlock(&mu);
	return loaded;
}

/* ---- the mark ---- */

/* Where it cannot be read, a mark counts as one of another boot: any time after it may be right. */
static void
boot_read(char *dst, size_t size)
{
	sp_auto(sp_closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, dst, size - 1);

	dst[n > 0 ? n : 0] = '\0';
	dst[strcspn(dst, "\n")] = '\0';
}

static void
mark_print(char *dst, size_t size)
{
	struct sp_wallclock w;

	(void)wall_ask(&w, NULL);
	sp_snprintf(dst, size, "%" PRId64 " %" PRIu64 " %d %" PRId64 " %" PRIu64 " %s", w.high_us, w.at_us, w.was_off, w.jump_us,
	    w.jumped_us, *shared.boot ? shared.boot : "-");
}

/* Text with a good MAC is what mark_print wrote. */
static void
mark_take(const char *text)
{
	struct sp_wallclock m = { 0 };
	char boot[WALL_BOOT_SIZE];

	if (sscanf(text, "%" SCNd64 " %" SCNu64 " %d %" SCNd64 " %" SCNu64 " %39s", &m.high_us, &m.at_us, &m.was_off, &m.jump_us,
	    &m.jumped_us, boot) == 6 && m.high_us > 0)
		sp_wallclock_restore(&shared.w, &m, *shared.boot != '\0' && strcmp(boot, shared.boot) == 0);
}

/* The row is read without the lock: the loop asks for the time and does not wait for a database. */
enum sp_err
wall_load(struct sp_store *s)
{
	char text[WALL_TEXT_SIZE], boot[WALL_BOOT_SIZE];
	enum sp_err r;

	if (is_loaded() || sp_store_mac_mode(s) == SP_STORE_MAC_SEALED)
		return SP_OK;
	r = sp_store_setting_get(s, WALL_KEY, text, sizeof(text));
	/* One that was changed is raised like any other row, and not believed: the next save makes it anew. */
	if (r != SP_OK && r != SP_ENOENT && r != SP_ETAMPERED && r != SP_ESIZE)
		return r;
	boot_read(boot, sizeof(boot));
	pthread_mutex_lock(&mu);
	if (!shared.loaded) {
		memcpy(shared.boot, boot, sizeof(boot));
		if (r == SP_OK)
			mark_take(text);
		shared.loaded = 1;
	}
	pthread_mutex_unlock(&mu);
	return SP_OK;
}

static enum sp_err
mark_save(struct sp_store *s)
{
	char text[WALL_TEXT_SIZE];

	if (!is_loaded() || sp_store_mac_mode(s) != SP_STORE_MAC_ON)
		return SP_OK;
	mark_print(text, sizeof(text));
	return sp_store_setting_set(s, WALL_KEY, text);
}

enum sp_err
wall_accept(struct sp_store *s)
{
	if (!is_loaded())
		return SP_ESTATE;
	pthread_mutex_lock(&mu);
	sp_wallclock_accept(&shared.w, sp_wall_us(), sp_now_us());
	pthread_mutex_unlock(&mu);
	return mark_save(s);
}

static void
save_work(struct ctl_job *j, struct sp_store *s)
{
	j->err = mark_save(s);
}

static void
save_done(struct ctl_job *j)
{
	(void)j;		/* no primary, a busy database: in five seconds again */
	loop.saving = 0;
}

/* ---- what is said of it ---- */

static void
wall_text(const struct sp_wallclock *w, int64_t now_us, char *text, size_t size)
{
	char as_of[SP_RFC3339_SIZE];
	int64_t off_s = w->off_us / (int64_t)SP_US_PER_S;

	if (w->state == SP_WALLCLOCK_AGREES)
		sp_snprintf(text, size, "agrees with what was seen before");
	else
		sp_snprintf(text, size, "the machine's clock is %lld s %s what was seen before: access is judged as of %s; set the clock "
		    "right or, if it is right, run 'sallyport doctor --accept clock now'", (long long)(off_s < 0 ? -off_s : off_s),
		    w->state == SP_WALLCLOCK_BEHIND ? "behind" : "ahead of", sp_rfc3339(now_us, as_of, sizeof(as_of)));
}

int
wall_agrees(char *text, size_t size)
{
	struct sp_wallclock w;
	int64_t now = wall_ask(&w, NULL);

	wall_text(&w, now, text, size);
	return w.state == SP_WALLCLOCK_AGREES;
}

static void
wall_say(struct ctl *c, const struct sp_wallclock *w, int64_t now_us)
{
	static const char *const kinds[] = { [SP_WALLCLOCK_AGREES] = "clock.agrees", [SP_WALLCLOCK_BEHIND] = "clock.behind",
	    [SP_WALLCLOCK_AHEAD] = "clock.ahead" };
	char text[400];
	struct audit_entry e = { .kind = kinds[w->state], .actor = "system", .result = "ok", .text = text };

	if (w->state == loop.said)
		return;
	loop.said = w->state;
	wall_text(w, now_us, text, sizeof(text));
	sp_warn("clock: %s", text);
	audit_append(c->audit, &e, NULL, NULL);
}

/* Sessions carry their end as boottime, from a judged time that was another one then. */
static void
wall_shift(struct ctl *c, int64_t shift_us)
{
	int64_t by = shift_us - loop.shift_us;

	if (loop.shift_us != 0 && (by > WALL_SHIFT_US || by < -WALL_SHIFT_US))
		target_rejudge(c);
	loop.shift_us = shift_us;
}

void
wall_tick(struct ctl *c, uint64_t now_us)
{
	struct sp_wallclock w;
	int64_t wall;

	if (!is_loaded())
		return;
	wall = wall_ask(&w, NULL);
	wall_say(c, &w, wall);
	wall_shift(c, w.high_us - (int64_t)w.at_us);
	if (loop.saving || now_us < loop.save_at_us)
		return;
	loop.save_at_us = now_us + WALL_SAVE_US;
	loop.saving = 1;
	loop.job.work = save_work;
	loop.job.done = save_done;
	ctl_job_run(c, CTL_WRITE, &loop.job);
}
