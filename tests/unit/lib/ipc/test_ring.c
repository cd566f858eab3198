/* The ring between two processes: both ends in one process, and a writer that is another one. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/ring.h"

#define ok(e) assert_int_equal((e), SP_OK)

struct pair {
	struct sp_ring	*r, *w;
	int		 fd;
};

static struct pair
pair(void)
{
	struct pair p;

	ok(sp_ring_new(&p.r, &p.fd));
	ok(sp_ring_open(p.fd, &p.w));
	return p;
}

static void
unpair(struct pair *p)
{
	sp_ring_free(p->r);
	sp_ring_free(p->w);
	close(p->fd);
}

static uint8_t
pattern(uint64_t at)
{
	return (uint8_t)(at * 31 + (at >> 13));
}

static void
fill(uint8_t *p, size_t n, uint64_t at)
{
	for (size_t i = 0; i < n; i++)
		p[i] = pattern(at + i);
}

/* Pieces of every size, many times round the ring: the same bytes, the same sizes. */
static void
what_is_written_is_read(void **state)
{
	static uint8_t buf[SP_REC_CHUNK];
	struct pair p = pair();
	uint64_t wrote = 0, got = 0, after = 0, first = 0;
	int wake;

	(void)state;
	while (got < 8 * SP_RING_BYTES) {
		size_t n = 1 + (size_t)(after * 7919) % SP_REC_CHUNK;
		struct sp_recdata d = { .channel = (uint32_t)n, .stream = SP_REC_OUT, .at_us = after };
		struct sp_ring_head h;
		struct sp_view v;
		enum sp_err r;

		fill(buf, n, wrote);
		if ((r = sp_ring_put(p.w, after, &d, buf, n, &wake)) == SP_OK) {
			wrote += n;
			after++;
			continue;
		}
		assert_int_equal(r, SP_EAGAIN);
		for (unsigned k = 0; k < 1 + after % 20 && sp_ring_next(p.r, &h, &v) == SP_OK; k++) {
			assert_true(h.after == first && h.data.at_us == first && h.data.channel == h.len && v.len == h.len);
			first++;
			for (size_t i = 0; i < v.len; i++)
				assert_int_equal(v.p[i], pattern(got + i));
			got += v.len;
			sp_ring_done(p.r);
		}
	}
	unpair(&p);
}

static void
nobody_sleeps_over_what_is_there(void **state)
{
	static const uint8_t bytes[SP_REC_CHUNK];
	const struct sp_recdata d = { .channel = 1 };
	struct pair p = pair();
	struct sp_ring_head h;
	struct sp_view v;
	int wake = 7;

	(void)state;
	ok(sp_ring_put(p.w, 0, &d, bytes, 1, &wake));
	assert_int_equal(wake, 0);			/* the reader never said that it sleeps */
	assert_int_equal(sp_ring_sleep(p.r, 1), 0);	/* something is there */
	assert_int_equal(sp_ring_sleep(p.r, 1000), 1);
	ok(sp_ring_put(p.w, 0, &d, bytes, 500, &wake));
	assert_int_equal(wake, 0);			/* not enough */
	ok(sp_ring_put(p.w, 0, &d, bytes, 500, &wake));
	assert_int_equal(wake, 1);
	ok(sp_ring_put(p.w, 0, &d, bytes, 500, &wake));
	assert_int_equal(wake, 0);			/* once */
	/* the writer */
	assert_int_equal(sp_ring_await(p.w), 0);	/* there is room */
	while (sp_ring_put(p.w, 0, &d, bytes, sizeof(bytes), &wake) == SP_OK)
		;
	assert_int_equal(sp_ring_wanted(p.r), 0);
	assert_int_equal(sp_ring_await(p.w), 1);
	assert_int_equal(sp_ring_wanted(p.r), 0);	/* still full */
	for (int i = 0; i < 12; i++) {
		ok(sp_ring_next(p.r, &h, &v));
		sp_ring_done(p.r);
	}
	assert_int_equal(sp_ring_wanted(p.r), 1);
	assert_int_equal(sp_ring_wanted(p.r), 0);	/* once */
	unpair(&p);
}

/* Positions and heads that cannot be: an error on both sides, whatever the other one wrote. */
static void
a_lie_is_an_error(void **state)
{
	static const struct { size_t at; uint64_t value; } lies[] = {
		{ 0, UINT64_MAX }, { 0, 1u << 30 }, { 0, 33 },		/* head */
		{ 65536, 0 }, { 65536 + 8, 0 }, { 65536 + 8, UINT32_MAX }, { 65536 + 8, SP_REC_CHUNK + 1 }, { 65536 + 8, 101 * 32 },
	};
	static const uint8_t bytes[SP_REC_CHUNK];
	const struct sp_recdata d = { .channel = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		struct pair p = pair();
		struct sp_ring_head h;
		struct sp_view v;
		int wake;
		uint8_t *m = mmap(NULL, 2 * 65536, PROT_READ | PROT_WRITE, MAP_SHARED, p.fd, 0);

		assert_ptr_not_equal(m, MAP_FAILED);
		ok(sp_ring_put(p.w, 0, &d, bytes, 100 * 32, &wake));
		memcpy(m + lies[i].at, &lies[i].value, sizeof(lies[i].value));
		assert_int_equal(sp_ring_next(p.r, &h, &v), i == 3 ? SP_OK : SP_EFORMAT);	/* `after` may be anything */
		memcpy(m + 64, &(uint64_t){ UINT64_MAX / 2 }, 8);	/* tail */
		for (int k = 0; k < 20; k++)
			if (sp_ring_put(p.w, 0, &d, bytes, sizeof(bytes), &wake) == SP_EFORMAT)
				k = 100;
			else
				assert_true(k < 19);
		munmap(m, 2 * 65536);
		unpair(&p);
	}
}

static void
its_size_is_for_ever(void **state)
{
	struct pair p = pair();
	struct sp_ring *w;
	int fd;

	(void)state;
	assert_int_equal(ftruncate(p.fd, 0), -1);
	assert_int_equal(ftruncate(p.fd, 1 << 24), -1);
	assert_true((fd = memfd_create("other", MFD_CLOEXEC)) >= 0);
	assert_int_equal(sp_ring_open(fd, &w), SP_EFORMAT);
	close(fd);
	unpair(&p);
}

static void
memory_goes_back_when_all_was_read(void **state)
{
	static const uint8_t bytes[SP_REC_CHUNK] = { 1 };
	const struct sp_recdata d = { .channel = 1 };
	struct pair p = pair();
	struct sp_ring_head h;
	struct sp_view v;
	int wake;

	(void)state;
	for (int i = 0; i < 3; i++) {
		ok(sp_ring_put(p.w, 0, &d, bytes, sizeof(bytes), &wake));
		ok(sp_ring_next(p.r, &h, &v));
		sp_ring_trim(p.w);		/* not yet */
		assert_int_equal(v.p[0], 1);
		sp_ring_done(p.r);
		sp_ring_trim(p.w);
		assert_int_equal(lseek(p.fd, 65536, SEEK_DATA), -1);
	}
	unpair(&p);
}

/* The writer is killed: what it published is all there. */
static void
what_a_dead_writer_wrote_is_there(void **state)
{
	struct pair p = pair();
	struct sp_ring_head h;
	struct sp_view v;
	uint64_t got = 0;
	pid_t pid;
	int st;

	(void)state;
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		static uint8_t buf[1000];
		const struct sp_recdata d = { .channel = 1 };
		int wake;

		for (uint64_t at = 0; at < 300 * sizeof(buf); at += sizeof(buf)) {
			fill(buf, sizeof(buf), at);
			if (sp_ring_put(p.w, 0, &d, buf, sizeof(buf), &wake) != SP_OK)
				_exit(1);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
	while (sp_ring_next(p.r, &h, &v) == SP_OK) {
		for (size_t i = 0; i < v.len; i++)
			assert_int_equal(v.p[i], pattern(got + i));
		got += v.len;
		sp_ring_done(p.r);
	}
	assert_int_equal(got, 300000);
	unpair(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(nobody_sleeps_over_what_is_there),
		cmocka_unit_test(a_lie_is_an_error),
		cmocka_unit_test(its_size_is_for_ever),
		cmocka_unit_test(memory_goes_back_when_all_was_read),
		cmocka_unit_test(what_a_dead_writer_wrote_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
