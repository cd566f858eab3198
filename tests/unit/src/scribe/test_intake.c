/* Bulk comes to the real recorder through a ring in shared memory: nothing is lost, everything has its order, lies end it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rig.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "crypto/hash.h"
#include "ipc/ring.h"
#include "sallyport.pb-c.h"

#define ok(e) assert_int_equal((e), SP_OK)

struct bulk {				/* what a session does */
	struct rig_session *s;
	struct sp_ring	*ring;
	uint64_t	 told;
	struct sp_sha256 hash;		/* of stream out of channel 1 */
	uint64_t	 bytes;
};
static uint8_t block[SP_REC_CHUNK];

static int
setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	rig_start(r, "reserve_mb 1\n", "");
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (uint8_t)(i * 31 + (i >> 8));
	*state = r;
	return 0;
}

static int
teardown(void **state)
{
	rig_stop(*state);
	free(*state);
	return 0;
}

/* Through the ring, as the session does it. 0: it is full, and REC_ROOM will come. */
static int
put(struct bulk *b, uint32_t channel, const void *p, size_t n)
{
	const struct sp_recdata d = { .channel = channel, .stream = SP_REC_OUT, .at_us = sp_now_us() };
	const Sallyport__Empty none = SALLYPORT__EMPTY__INIT;
	int wake = 0;
	enum sp_err r;

	while ((r = sp_ring_put(b->ring, b->told, &d, p, n, &wake)) == SP_EAGAIN)
		if (sp_ring_await(b->ring))
			return 0;
	ok(r);
	if (wake) {
		b->told++;
		ok(sp_chan_send(b->s->session, SP_MSG_REC_WAKE, 0, &none, NULL, 0));
	}
	return 1;
}

static void
bulk(struct bulk *b, const void *p, size_t n)
{
	int rooms = b->s->rooms;

	while (!put(b, 1, p, n)) {
		assert_true(rig_wait(b->s->rig, &b->s->rooms, rooms + 1));
		rooms = b->s->rooms;
	}
	sp_sha256_add(&b->hash, p, n);
	b->bytes += n;
}

/* The recorder stands still when this returns. */
static void
stop(const struct bulk *b)
{
	uint64_t until = sp_now_us() + RIG_WAIT_MS * SP_US_PER_MS;
	char path[64], line[512] = "";
	const char *p;

	assert_int_equal(kill(b->s->pid, SIGSTOP), 0);
	(void)sp_snprintf(path, sizeof(path), "/proc/%d/stat", (int)b->s->pid);
	do {
		FILE *f = fopen(path, "re");

		assert_non_null(f);
		assert_non_null(fgets(line, sizeof(line), f));
		fclose(f);
		assert_true(sp_now_us() < until);
	} while ((p = strrchr(line, ')')) == NULL || p[2] != 'T');
}

static struct bulk
begin(struct rig *r, uint64_t max)
{
	struct bulk b = { .s = rig_session_new(r, 1) };

	b.s->rings = 1;
	rig_open(b.s, "strict", max);
	assert_true(rig_wait(r, &b.s->opened, 1));
	rig_channel(b.s, 1, "exec", 0, "cat big");
	sp_sha256_begin(&b.hash);
	for (int i = 0; i < 5; i++) {
		rig_data(b.s, 1, SP_REC_OUT, block, sizeof(block));
		sp_sha256_add(&b.hash, block, sizeof(block));
	}
	b.bytes = 5 * sizeof(block);
	b.told = 7;
	assert_true(rig_wait(r, &b.s->ringed, 1));
	ok(sp_ring_open(b.s->ring_fd, &b.ring));
	return b;
}

static void
end_channel(struct bulk *b, uint32_t channel)
{
	Sallyport__RecChannelEnd e = SALLYPORT__REC_CHANNEL_END__INIT;
	char none[] = "";

	e.channel = channel;
	e.exit_signal = none;
	b->told++;
	ok(sp_chan_send(b->s->session, SP_MSG_REC_CHANNEL_END, 0, &e, NULL, 0));
}

static void
done(struct bulk *b)
{
	sp_ring_free(b->ring);
	rig_session_free(b->s);
}

static void
assert_hash(const struct bulk *b, const char *body)
{
	char hex[2 * SP_SHA256_LEN + 1], want[128];
	uint8_t hash[SP_SHA256_LEN];

	sp_sha256_now(&b->hash, hash);
	sp_hex(hash, sizeof(hash), hex);
	(void)sp_snprintf(want, sizeof(want), "\"sha256_out\":\"%s\"", hex);
	assert_non_null(strstr(body, want));
	(void)sp_snprintf(want, sizeof(want), "\"bytes_out\":%llu,", (unsigned long long)b->bytes);
	assert_non_null(strstr(body, want));
}

/* Channels come and go in messages while their bytes and a bulk stream's are in the ring: one order. */
static void
messages_and_ring_have_one_order(void **state)
{
	struct rig *r = *state;
	struct bulk b = begin(r, 4096);
	int before = r->died;
	unsigned ends = 0;

	for (uint32_t ch = 2; ch < 42; ch++) {
		bulk(&b, block, 1 + (ch * 7001) % sizeof(block));
		rig_channel(b.s, ch, "exec", 0, "true");
		b.told++;
		while (!put(&b, ch, "hello", 5))
			ok(sp_loop_once(r->loop, 20));
		end_channel(&b, ch);
		bulk(&b, block, sizeof(block));
	}
	end_channel(&b, 1);
	rig_end(b.s, "logout", "");
	assert_true(rig_wait(r, &r->died, before + 1));
	for (int i = 0; i < b.s->control->n; i++) {
		const struct rig_event *e = &b.s->control->ev[i];

		if (strcmp(e->kind, "channel-end") == 0 && strstr(e->body, "\"channel\":1,") != NULL)
			assert_hash(&b, e->body);
		else if (strcmp(e->kind, "channel-end") == 0)
			assert_non_null(strstr(e->body, "\"bytes_out\":5,"));
		ends += strcmp(e->kind, "channel-end") == 0;
	}
	assert_int_equal(ends, 41);
	assert_non_null(strstr(rig_find(b.s->control, "end")->body, "\"reason\":\"logout\""));
	done(&b);
}

/* A recording that keeps everything: what comes through the ring is in it, byte for byte. */
static void
what_is_recorded_whole_is_whole(void **state)
{
	struct rig *r = *state;
	struct bulk b = begin(r, 0);
	struct rig_recording v;
	int before = r->died;

	for (int i = 0; i < 40; i++)
		bulk(&b, block, sizeof(block) - (size_t)i);
	end_channel(&b, 1);
	rig_end(b.s, "logout", "");
	assert_true(rig_wait(r, &r->died, before + 1));
	rig_read(r, b.s->path, 1, SP_REC_OUT, &v);
	assert_true(v.ended);
	assert_int_equal(v.stream.len, b.bytes);
	for (size_t i = 0, at = 5 * sizeof(block); i < 40; at += sizeof(block) - i, i++)
		assert_memory_equal(v.stream.p + at, block, sizeof(block) - i);
	rig_recording_release(&v);
	done(&b);
}

static void
what_a_dead_session_left_is_taken(void **state)
{
	struct rig *r = *state;
	struct bulk b = begin(r, 4096);
	int before = r->died;
	char want[64];

	stop(&b);
	for (int i = 0; i < 12; i++)
		assert_true(put(&b, 1, block, sizeof(block)));
	b.told++;			/* a message that never left */
	assert_true(put(&b, 1, block, 100));
	sp_chan_free(b.s->session);
	b.s->session = NULL;
	assert_int_equal(kill(b.s->pid, SIGCONT), 0);
	assert_true(rig_wait(r, &r->died, before + 1));
	(void)sp_snprintf(want, sizeof(want), "\"bytes_out\":%zu,", 17 * sizeof(block) + 100);
	assert_non_null(strstr(rig_find(b.s->control, "end")->body, want));
	assert_non_null(strstr(rig_find(b.s->control, "end")->body, "session process died"));
	done(&b);
}

static void
a_full_ring_makes_the_session_wait(void **state)
{
	struct rig *r = *state;
	struct bulk b = begin(r, 4096);
	int before = r->died, n = 0, rooms;

	stop(&b);
	rooms = b.s->rooms;
	while (put(&b, 1, block, sizeof(block))) {
		sp_sha256_add(&b.hash, block, sizeof(block));
		b.bytes += sizeof(block);
		assert_true(++n < 20);
	}
	assert_int_equal(kill(b.s->pid, SIGCONT), 0);
	assert_true(rig_wait(r, &b.s->rooms, rooms + 1));
	bulk(&b, block, sizeof(block));
	end_channel(&b, 1);
	rig_end(b.s, "logout", "");
	assert_true(rig_wait(r, &r->died, before + 1));
	assert_hash(&b, rig_find(b.s->control, "channel-end")->body);
	done(&b);
}

/* Positions that cannot be, a record of no channel, of no stream: the end, in order, with END. */
static void
a_session_that_lies_in_the_ring_is_ended(void **state)
{
	static const struct { size_t at; uint64_t value; } lies[] = {
		{ 0, UINT64_MAX }, { 65536 + 8, UINT64_MAX }, { 65536 + 16, 99 }, { 65536 + 16, 1 | (uint64_t)77 << 32 } };
	struct rig *r = *state;

	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct bulk b = begin(r, 4096);
		int before = r->died;
		const Sallyport__Empty none = SALLYPORT__EMPTY__INIT;
		uint8_t *m = mmap(NULL, 2 * 65536, PROT_READ | PROT_WRITE, MAP_SHARED, b.s->ring_fd, 0);

		assert_ptr_not_equal(m, MAP_FAILED);
		stop(&b);
		assert_true(put(&b, 1, block, 100));
		memcpy(m + lies[i].at, &lies[i].value, 8);
		ok(sp_chan_send(b.s->session, SP_MSG_REC_WAKE, 0, &none, NULL, 0));
		assert_int_equal(kill(b.s->pid, SIGCONT), 0);
		assert_true(rig_wait(r, &r->died, before + 1));
		assert_non_null(strstr(rig_find(b.s->control, "end")->body, "broke the recording protocol"));
		munmap(m, 2 * 65536);
		done(&b);
	}
}

/* Another process that puts the head of a full ring forward as fast as it is read. */
static pid_t
flood(const struct bulk *b)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	_Atomic int *runs = page;
	_Atomic uint64_t *head;
	pid_t pid;

	assert_ptr_not_equal(page, MAP_FAILED);
	assert_int_not_equal(pid = fork(), -1);
	if (pid == 0) {
		head = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, b->s->ring_fd, 0);
		if (head == MAP_FAILED || close_range(3, ~0u, 0) == -1 || prctl(PR_SET_PDEATHSIG, SIGKILL) == -1)
			_exit(1);
		for (;; atomic_store(runs, 1))
			atomic_store(head, atomic_load(head + 8) + SP_RING_BYTES);
	}
	while (!atomic_load(runs))
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	munmap(page, 4096);
	return pid;
}

/* Neither a message nor its own end lets a session keep its recorder at the ring. */
static void
a_session_that_never_stops_writing_is_left(void **state)
{
	struct rig *r = *state;

	for (int ends = 0; ends < 2; ends++) {
		struct bulk b = begin(r, 4096);
		int before = r->died;
		const char *p;
		cpu_set_t cpu;
		pid_t pid;

		/* In turns on one processor, in smaller ones than a full ring takes: so it is full whenever the recorder looks. */
		CPU_ZERO(&cpu);
		CPU_SET(sched_getcpu(), &cpu);
		rig_channel(b.s, 2, "shell", 1, "");
		b.told++;
		stop(&b);
		while (put(&b, 2, "x", 1))
			;
		pid = flood(&b);
		assert_int_equal(sched_setaffinity(pid, sizeof(cpu), &cpu), 0);
		assert_int_equal(sched_setaffinity(b.s->pid, sizeof(cpu), &cpu), 0);
		if (ends) {
			rig_end(b.s, "logout", "");
		} else {
			sp_chan_free(b.s->session);
			b.s->session = NULL;
		}
		assert_int_equal(kill(b.s->pid, SIGCONT), 0);
		assert_true(rig_wait(r, &r->died, before + 1));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_non_null(strstr(rig_find(b.s->control, "end")->body, ends ? "logout" : "session process died"));
		assert_non_null(p = strstr(rig_find(b.s->control, "end")->body, "\"bytes_out\":"));
		assert_true(strtoull(p + 12, NULL, 10) < 5 * sizeof(block) + 8 * SP_RING_BYTES / (2 * sizeof(struct sp_ring_head)));
		done(&b);
	}
}

/* One that does not know rings is not given one. */
static void
an_older_session_goes_on_without(void **state)
{
	struct rig *r = *state;
	struct rig_session *s = rig_session_new(r, 1);
	int before = r->died;

	rig_open(s, "strict", 4096);
	assert_true(rig_wait(r, &s->opened, 1));
	rig_channel(s, 1, "exec", 0, "cat big");
	for (int i = 0; i < 40; i++)
		rig_data(s, 1, SP_REC_OUT, block, sizeof(block));
	rig_end(s, "logout", "");
	assert_true(rig_wait(r, &r->died, before + 1));
	assert_int_equal(s->ringed, 0);
	assert_non_null(strstr(rig_find(s->control, "end")->body, "\"bytes_out\":2621440,"));
	rig_session_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(messages_and_ring_have_one_order, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_recorded_whole_is_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(what_a_dead_session_left_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_ring_makes_the_session_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_that_lies_in_the_ring_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(a_session_that_never_stops_writing_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(an_older_session_goes_on_without, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
