/* bench/auditlog.c - the audit log by itself: control's own files (audit.c, logtree.c), with a slow disk and a key of its own.
 *	auditlog append DIR SECONDS	50 threads append and wait; each fsync takes 5 ms more. Prints JSON: waits, and what the syncs took.
 *	auditlog fill DIR N		a log of N entries with its signed head, DIR/key for verifiers
 * fsync and fdatasync are wrapped here, in this program only. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"
#include "base/str.h"
#include "control/audit.h"
#include "control/logtree.h"

#define SESSIONS	50
#define WAITS_MAX	2000000
#define SLOW_US		5000
#define SYNCS_MAX	200000

static atomic_int slow;
static uint64_t sync_us[SYNCS_MAX];	/* what the syncs of segments took; only the writing thread makes them */
static atomic_ulong syncs;

int
fsync(int fd)
{
	if (atomic_load(&slow))
		usleep(SLOW_US);
	return (int)syscall(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
	uint64_t t0 = sp_now_us(), i;
	int r;

	if (!atomic_load(&slow))
		return (int)syscall(SYS_fdatasync, fd);
	usleep(SLOW_US);
	r = (int)syscall(SYS_fdatasync, fd);
	if ((i = atomic_fetch_add(&syncs, 1)) < SYNCS_MAX)
		sync_us[i] = sp_now_us() - t0;
	return r;
}

struct bench {
	struct sp_loop		*loop;
	struct audit		*audit;
	struct sp_note_key	 key;
	struct sp_secret	 sk;
	uint64_t		 want;		/* fill: end with this size signed */
	uint64_t		 asked;
	atomic_int		 stop;
	atomic_ulong		 n;
	uint64_t		*wait_us;
	/* when which entry was durable, and the longest time until a head had it */
	pthread_mutex_t		 mu;
	uint64_t		 first_us, first_seq, lag_us;	/* the oldest durable entry that no head has */
};
static struct bench b;

static void
die(const char *what)
{
	fprintf(stderr, "auditlog: %s\n", what);
	exit(1);
}

/* Sign what the tree has, as the vault would. */
static void
on_grown(void *arg)
{
	sp_auto(sp_buf_release) struct sp_buf text = { .max = 4096 }, note = { .max = 4096 };
	struct sp_checkpoint c = { .size = 0 }, have = { .size = 0 };
	struct tree_head h;

	(void)arg;
	(void)tree_signed(audit_tree(b.audit), &have, NULL);
	pthread_mutex_lock(&b.mu);
	if (b.first_us != 0 && have.size >= b.first_seq) {
		uint64_t lag = sp_now_us() - b.first_us;

		if (lag > b.lag_us)
			b.lag_us = lag;
		b.first_us = 0;
	}
	pthread_mutex_unlock(&b.mu);
	if (b.want != 0 && have.size >= b.want) {
		sp_loop_stop(b.loop);
		return;
	}
	if (!tree_head(audit_tree(b.audit), &h) || h.size <= have.size || h.size <= b.asked)
		return;
	b.asked = h.size;
	(void)sp_strlcpy(c.origin, b.key.name, sizeof(c.origin));
	c.size = h.size;
	c.root = h.root;
	if (sp_checkpoint_text(&c, &text) != SP_OK || sp_buf_printf(&note, "%s\n", sp_buf_cstr(&text)) != SP_OK ||
	    sp_note_sign((struct sp_view){ text.p, text.len }, &b.key, &b.sk, 0, &note) != SP_OK ||
	    tree_put_signed(audit_tree(b.audit), (struct sp_view){ note.p, note.len }) != SP_OK)
		die("cannot sign");
}

static void
on_rotated(void *arg)
{
	(void)arg;
}

static struct audit_entry
sample(json_t *more, struct sp_uuid *session)
{
	return (struct audit_entry){ .kind = "session.event", .actor = "alice", .result = "ok", .source = "192.0.2.17", .text = "a command",
	    .session = session, .more = more };
}

static void *
session(void *arg)
{
	struct sp_uuid id;
	json_t *more = json_pack("{s:s, s:i, s:{s:s, s:i}}", "event", "command", "seq", 7, "body", "command", "systemctl restart nginx", "channel", 1);

	(void)arg;
	sp_uuid_make(&id);
	while (!atomic_load(&b.stop)) {
		struct audit_entry e = sample(more, &id);
		uint64_t t0 = sp_now_us(), i;

		if (audit_append_wait(b.audit, &e) != SP_OK)
			die("an entry was not taken");
		i = atomic_fetch_add(&b.n, 1);
		if (i < WAITS_MAX)
			b.wait_us[i] = sp_now_us() - t0;
		pthread_mutex_lock(&b.mu);
		if (b.first_us == 0) {
			b.first_us = sp_now_us();
			b.first_seq = audit_next(b.audit) - 1;
		}
		pthread_mutex_unlock(&b.mu);
	}
	json_decref(more);
	return NULL;
}

static void
open_log(const char *dir)
{
	static const uint8_t boot[16], seed[32] = { 1 };
	char text[SP_NOTE_VKEY_SIZE + 1], path[512];
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	FILE *f;

	b.key.kind = SP_NOTE_ED25519;
	(void)sp_strlcpy(b.key.name, "bench.example/log", sizeof(b.key.name));
	pthread_mutex_init(&b.mu, NULL);
	sp_snprintf(path, sizeof(path), "%s/key", dir);
	if (fd == -1 || sp_ed25519_from_seed(seed, b.key.pk, &b.sk) != SP_OK || sp_note_key_text(&b.key, text) != SP_OK ||
	    (f = fopen(path, "we")) == NULL || fprintf(f, "%s\n", text) < 0 || fclose(f) != 0 || sp_loop_new(&b.loop) != SP_OK ||
	    audit_open(b.loop, fd, boot, 1 << 20, NULL, on_rotated, on_grown, NULL, &b.audit) != SP_OK)
		die("cannot open the log");
}

static void
on_end(struct sp_timer *t, void *arg)
{
	(void)t;
	(void)arg;
	sp_loop_stop(b.loop);
}

static int
by_value(const void *x, const void *y)
{
	uint64_t a = *(const uint64_t *)x, c = *(const uint64_t *)y;

	return a < c ? -1 : a > c;
}

static void
append(uint64_t seconds)
{
	pthread_t t[SESSIONS];
	struct sp_timer *end;
	uint64_t t0, took, n, m;

	b.wait_us = calloc(WAITS_MAX, sizeof(*b.wait_us));
	atomic_store(&slow, 1);
	t0 = sp_now_us();
	for (size_t i = 0; i < SESSIONS; i++)
		if (pthread_create(&t[i], NULL, session, NULL) != 0)
			die("cannot start threads");
	if (sp_timer_new(b.loop, on_end, NULL, &end) != SP_OK)
		die("out of memory");
	sp_timer_in(end, seconds * SP_US_PER_S);
	if (sp_loop_run(b.loop) != SP_OK)
		die("the loop failed");
	atomic_store(&b.stop, 1);
	for (size_t i = 0; i < SESSIONS; i++)
		pthread_join(t[i], NULL);
	took = sp_now_us() - t0;
	n = atomic_load(&b.n);
	qsort(b.wait_us, n < WAITS_MAX ? n : WAITS_MAX, sizeof(*b.wait_us), by_value);
	m = atomic_load(&syncs) < SYNCS_MAX ? atomic_load(&syncs) : SYNCS_MAX;
	qsort(sync_us, m, sizeof(*sync_us), by_value);
	printf("{\"rate\": %.0f, \"wait_p50_ms\": %.2f, \"wait_p99_ms\": %.2f, \"sync_p50_ms\": %.2f, \"sync_p99_ms\": %.2f, "
	    "\"head_delay_max_ms\": %.0f, \"entries\": %llu}\n", (double)n * 1e6 / (double)took, (double)b.wait_us[n / 2] / 1000,
	    (double)b.wait_us[n * 99 / 100] / 1000, (double)sync_us[m / 2] / 1000, (double)sync_us[m * 99 / 100] / 1000,
	    (double)b.lag_us / 1000, (unsigned long long)n);
}

static void
fill(uint64_t n)
{
	struct sp_uuid id;
	json_t *more = json_pack("{s:s, s:i, s:{s:s, s:i}}", "event", "command", "seq", 7, "body", "command", "systemctl restart nginx", "channel", 1);

	sp_uuid_make(&id);
	b.want = n;
	for (uint64_t i = 0; i < n; i++) {
		struct audit_entry e = sample(more, &id);

		if (i % 4096 == 4095) {
			if (audit_append_wait(b.audit, &e) != SP_OK)	/* what waits is bounded */
				die("an entry was not taken");
			if (sp_loop_once(b.loop, 0) != SP_OK)
				die("the loop failed");
		} else {
			(void)audit_append(b.audit, &e, NULL, NULL);
		}
	}
	json_decref(more);
	if (sp_loop_run(b.loop) != SP_OK)
		die("the loop failed");
}

int
main(int argc, char **argv)
{
	if (argc != 4)
		die("append DIR SECONDS | fill DIR N");
	open_log(argv[2]);
	if (strcmp(argv[1], "append") == 0)
		append(strtoull(argv[3], NULL, 10));
	else
		fill(strtoull(argv[3], NULL, 10));
	audit_close(b.audit);
	return 0;
}
