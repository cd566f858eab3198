/* What is kept of a session and how it is written: echo, bulk streams, and segments from writer to reader. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "scribe/bulk.h"
#include "scribe/castlog.h"
#include "scribe/recreader.h"

#define ok(e) assert_int_equal((e), SP_OK)
#define V(s) ((struct sp_view){ (const uint8_t *)(s), strlen(s) })

/* ---- echo ---- */

struct heard {
	char	kept[512];
	size_t	n, dropped;
};

static void
on_echo(void *arg, int keep, struct sp_view v)
{
	struct heard *h = arg;

	if (!keep) {
		h->dropped += v.len;
		return;
	}
	assert_true(h->n + v.len < sizeof(h->kept));
	memcpy(h->kept + h->n, v.p, v.len);
	h->n += v.len;
}

/* '>' is typed, '<' is printed; pieces of a script. settle: two quiet seconds at the end. */
static const struct {
	const char	*name;
	const char	*script[8];
	const char	*kept;
	size_t		 dropped;
} echoes[] = {
	{ "a command", { ">ls\r", "<ls\r\n", NULL }, "ls\r", 0 },
	{ "a command, key by key", { ">l", "<l", ">s", "<s", ">\r", "<\r\n", NULL }, "ls\r", 0 },
	{ "a password", { "<Password: ", ">abc\r", "<\r\nabc in the next line", NULL }, "\r", 3 },
	{ "a password, key by key, then a shell", { ">a", ">b", ">\r", "<\r\n$ ", ">id\r", "<id\r\n", NULL }, "\rid\r", 2 },
	{ "half of it came back", { ">abcd\r", "<ab\r\n", NULL }, "\r", 4 },
	{ "keys that print nothing", { ">\033[A\033OB\001\t", NULL }, "\033[A\033OB\001\t", 0 },
	{ "a line editor that paints", { ">ls", "<\033[32ml\033[0m\033[1;3Hs", ">\r", "<\r\n", NULL }, "ls\r", 0 },
	{ "keys of a full-screen program", { ">jjk", NULL }, "", 3 },
	{ "Chinese", { ">\xe4\xbd\xa0\r", "<\xe4\xbd\xa0\r\n", NULL }, "\xe4\xbd\xa0\r", 0 },
	{ "several lines at once", { ">a\rb\r", "<a\r\nb\r\n", NULL }, "a\rb\r", 0 },
};

static void
only_what_came_back_is_kept(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(echoes); i++) {
		struct heard h = { .n = 0 };
		struct sp_echo e;
		uint64_t now = 1;

		sp_echo_init(&e, on_echo, &h);
		for (const char *const *s = echoes[i].script; *s != NULL; s++, now += 1000)
			if ((*s)[0] == '>')
				sp_echo_typed(&e, V(*s + 1), now);
			else
				sp_echo_printed(&e, V(*s + 1));
		sp_echo_settle(&e, now + SP_ECHO_SETTLE_US);
		h.kept[h.n] = '\0';
		if (strcmp(h.kept, echoes[i].kept) != 0 || h.dropped != echoes[i].dropped || e.n != 0)
			fail_msg("%s: kept \"%s\", dropped %zu, waiting %zu", echoes[i].name, h.kept, h.dropped, e.n);
	}
}

static void
input_that_waits_is_bounded(void **state)
{
	struct heard h = { .n = 0 };
	struct sp_echo e;

	(void)state;
	sp_echo_init(&e, on_echo, &h);
	for (int i = 0; i < 100000; i++)
		sp_echo_typed(&e, V("x"), 1);
	sp_echo_end(&e);
	assert_int_equal(h.n, 0);
	assert_int_equal(h.dropped, 100000);
}

/* ---- bulk ---- */

static void
a_slow_stream_is_always_whole(void **state)
{
	static uint8_t block[60000];
	struct sp_bulk_gap over;
	struct sp_bulk b;
	uint64_t now = 0;

	(void)state;
	sp_bulk_init(&b, 1000, now);
	for (int s = 1; s < 1000; s++) {
		for (int i = 0; i < 100; i++)
			assert_int_equal(sp_bulk_take(&b, block, 600, now += 10000, &over), 600);
		assert_int_equal(over.bytes, 0);
	}
	assert_int_equal(b.total, 999 * 60000);
}

static void
a_fast_stream_is_cut_and_becomes_whole_again(void **state)
{
	static uint8_t block[100000];
	struct sp_bulk_gap over;
	struct sp_sha256 all;
	struct sp_bulk b;
	uint8_t want[SP_SHA256_LEN], got[SP_SHA256_LEN];
	uint64_t now = 1000000, whole = 0, left = 0;

	(void)state;
	sp_sha256_begin(&all);
	sp_bulk_init(&b, 150000, now);
	for (int i = 0; i < 50; i++, now += 100) {
		whole += sp_bulk_take(&b, block, sizeof(block), now, &over);
		sp_sha256_add(&all, block, sizeof(block));
	}
	assert_in_range(whole, 150000, 160000);
	assert_in_range(b.gap.from, 150000, 150100);
	assert_int_equal(b.gap.bytes, 50 * sizeof(block) - whole);
	/* Whoever goes on slowly is seen again, a second or so later. */
	now += 1500000;
	whole += sp_bulk_take(&b, (const uint8_t *)"id\n", 3, now, &over);
	left = over.bytes;
	assert_int_equal(whole + left, 50 * sizeof(block) + 3);
	sp_sha256_now(&all, want);
	sp_sha256_now(&b.over, got);
	assert_memory_equal(want, got, sizeof(want));
	assert_int_equal(b.gap.bytes, 0);
}

/* ---- segments ---- */

struct segment {
	int			 fd[3];
	struct sp_secret	 auditor;
	struct sp_recwriter	 w;
	struct sp_castlog	 log;
};

static void
segment_open(struct segment *g)
{
	struct sp_age_recipient to[2];
	sp_auto_secret other = { 0 };

	memset(g, 0, sizeof(*g));
	for (int i = 0; i < 3; i++)
		assert_true((g->fd[i] = memfd_create("segment", MFD_CLOEXEC)) >= 0);
	ok(sp_age_identity_new(&other, &to[0]));
	ok(sp_age_identity_new(&g->auditor, &to[1]));
	ok(sp_recwriter_init(&g->w, dup(g->fd[0]), (int[2]){ dup(g->fd[1]), dup(g->fd[2]) }, to, 2, 0, 0));
	sp_castlog_init(&g->log, &g->w);
	ok(sp_castlog_header(&g->log, 0, "test", V("{}")));
}

static void
segment_close(struct segment *g)
{
	sp_castlog_release(&g->log);
	sp_recwriter_release(&g->w);
	sp_secret_release(&g->auditor);
	for (int i = 0; i < 3; i++)
		close(g->fd[i]);
}

static void
any_second_of_ten_hours_is_found_by_reading_little(void **state)
{
	struct sp_castchan ch = { .id = 1 };
	struct sp_recreader *r;
	struct segment g;
	uint32_t x = 1;
	char text[200];

	(void)state;
	segment_open(&g);
	ok(sp_castchan_open(&ch, &g.log, 1, 80, 24, 0));
	for (uint64_t s = 0; s < 36000; s++) {	/* some text that compresses badly, once a second */
		size_t n = (size_t)snprintf(text, sizeof(text), "second %llu ", (unsigned long long)s);

		for (; n < 140; n++)
			text[n] = (char)(' ' + ((x = x * 1664525 + 1013904223) >> 24) % 90);
		ok(sp_castchan_data(&ch, SP_REC_OUT, (struct sp_view){ (const uint8_t *)text, n }, s * SP_US_PER_S));
		if (s % 60 == 0)
			ok(sp_recwriter_tick(&g.w));
	}
	ok(sp_castchan_close(&ch, 36000 * SP_US_PER_S));
	ok(sp_recwriter_finish(&g.w));
	assert_true(g.w.off > 4u << 20);
	for (uint64_t s = 17; s < 36000; s += 7001) {
		struct sp_view line;
		int found = 0, key = 0;

		ok(sp_recreader_new(g.fd[0], (int[2]){ g.fd[1], g.fd[2] }, &g.auditor, &r));
		assert_false(sp_recreader_is_torn(r));
		assert_int_equal(sp_recreader_duration(r), 35999 * SP_US_PER_S);
		ok(sp_recreader_seek(r, s * SP_US_PER_S));
		(void)snprintf(text, sizeof(text), "second %llu ", (unsigned long long)s);
		for (int n = 0; !found; n++) {
			ok(sp_recreader_next(r, &line));
			if (n == 0)
				key = memmem(line.p, line.len, ", \"k\", \"1 80x24 ", 16) != NULL;
			found = memmem(line.p, line.len, text, strlen(text)) != NULL;
		}
		assert_true(key || s == 17);
		assert_true(sp_recreader_bytes_read(r) < 1000000);
		sp_recreader_free(r);
	}
	segment_close(&g);
}

static void
a_flood_of_frames_keeps_the_index_small(void **state)
{
	static uint8_t line[60000];
	struct segment g;
	struct sp_recreader *r;
	struct sp_view v;
	size_t n = 0;

	(void)state;
	segment_open(&g);
	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (uint64_t i = 0; i < 9000; i++) {	/* two to a frame */
		ok(sp_recwriter_room(&g.w, sizeof(line), 0));
		ok(sp_recwriter_put(&g.w, i * 1000, (struct sp_view){ line, sizeof(line) }, 0));
	}
	ok(sp_recwriter_finish(&g.w));
	assert_true(g.w.index_n <= SP_REC_INDEX_MAX && g.w.index_n > SP_REC_INDEX_MAX / 2);
	ok(sp_recreader_new(g.fd[0], (int[2]){ -1, -1 }, &g.auditor, &r));
	ok(sp_recreader_seek(r, 8000000));
	while (sp_recreader_next(r, &v) == SP_OK)
		n++;
	assert_in_range(n, 1000, 1010);
	sp_recreader_free(r);
	segment_close(&g);
}

/* What can be read after every tick, when the files are taken away at that moment. */
static void
whatever_a_tick_wrote_is_read_back(void **state)
{
	struct segment g;
	char text[3000];
	uint32_t x = 7;
	size_t wrote = 0;

	(void)state;
	segment_open(&g);
	for (int i = 0; i < 400; i++) {
		struct sp_recreader *r;
		struct sp_view v;
		size_t n = 0;
		enum sp_err e;

		for (int k = 0; k < 1 + i % 7; k++, wrote++) {
			for (size_t at = 0; at < sizeof(text) - 1; at++)
				text[at] = (char)(' ' + ((x = x * 1664525 + 1013904223) >> 24) % 90);
			text[sizeof(text) - 1] = '\n';
			ok(sp_recwriter_room(&g.w, sizeof(text), 0));
			ok(sp_recwriter_put(&g.w, wrote, (struct sp_view){ (const uint8_t *)text, sizeof(text) }, 0));
		}
		ok(sp_recwriter_tick(&g.w));
		if (i % 3 != 0)
			continue;
		ok(sp_recreader_new(g.fd[0], (int[2]){ g.fd[1], g.fd[2] }, &g.auditor, &r));
		assert_true(sp_recreader_is_torn(r));
		while ((e = sp_recreader_next(r, &v)) == SP_OK)
			n++;
		assert_int_equal(e, SP_ENOENT);
		assert_int_equal(n, wrote + 1);
		sp_recreader_free(r);
	}
	assert_true(g.w.chunk_n > 10);
	segment_close(&g);
}

static void
a_tail_record_that_is_taken_out_is_noticed(void **state)
{
	struct sp_recreader *r = NULL;
	struct segment g;
	uint8_t tail[65536];
	ssize_t n;
	size_t first;

	(void)state;
	segment_open(&g);
	for (int i = 0; i < 5; i++) {
		ok(sp_castlog_marker(&g.log, 1, "some text"));
		ok(sp_recwriter_tick(&g.w));
	}
	n = pread(g.fd[2], tail, sizeof(tail), 0);
	assert_true(n > 500);
	first = SP_TAIL_HEAD + SP_TAIL_RECORD_HEAD + (tail[16] | (size_t)tail[17] << 8);
	first += SP_TAIL_RECORD_HEAD + (tail[first] | (size_t)tail[first + 1] << 8) - 0;
	/* the second record goes: the third one comes behind the first */
	{
		size_t one = SP_TAIL_HEAD + SP_TAIL_RECORD_HEAD + (tail[16] | (size_t)tail[17] << 8);

		assert_int_equal(ftruncate(g.fd[2], 0), 0);
		assert_int_equal(pwrite(g.fd[2], tail, one, 0), (ssize_t)one);
		assert_int_equal(pwrite(g.fd[2], tail + first, (size_t)n - first, (off_t)one), n - (ssize_t)first);
	}
	assert_int_equal(sp_recreader_new(g.fd[0], (int[2]){ g.fd[1], g.fd[2] }, &g.auditor, &r), SP_ECORRUPT);
	segment_close(&g);
}

static void
characters_that_are_cut_anywhere_are_whole_again(void **state)
{
	static const char text[] = "a\xe4\xbd\xa0\xf0\x9f\x98\x80 b\xc3\xa9\xff" "c\xe4\xbd" "d";
	struct sp_recreader *r;
	struct sp_view v;

	(void)state;
	for (size_t step = 1; step < 7; step++) {
		struct sp_castchan ch = { .id = 1 };
		struct segment g;
		int whole = 0;

		segment_open(&g);
		ok(sp_castchan_open(&ch, &g.log, 1, 80, 24, 0));
		for (size_t at = 0; at < sizeof(text) - 1; at += step)
			ok(sp_castchan_data(&ch, SP_REC_OUT, (struct sp_view){ (const uint8_t *)text + at,
			    sizeof(text) - 1 - at < step ? sizeof(text) - 1 - at : step }, 5));
		ok(sp_castchan_close(&ch, 6));
		ok(sp_recwriter_finish(&g.w));
		ok(sp_recreader_new(g.fd[0], (int[2]){ -1, -1 }, &g.auditor, &r));
		while (sp_recreader_next(r, &v) == SP_OK) {
			assert_true(sp_utf8_valid(v.p, v.len));
			whole |= memmem(v.p, v.len, "\xf0\x9f\x98\x80", 4) != NULL;
		}
		assert_true(whole);
		sp_recreader_free(r);
		segment_close(&g);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_came_back_is_kept),
		cmocka_unit_test(input_that_waits_is_bounded),
		cmocka_unit_test(a_slow_stream_is_always_whole),
		cmocka_unit_test(a_fast_stream_is_cut_and_becomes_whole_again),
		cmocka_unit_test(any_second_of_ten_hours_is_found_by_reading_little),
		cmocka_unit_test(a_flood_of_frames_keeps_the_index_small),
		cmocka_unit_test(whatever_a_tick_wrote_is_read_back),
		cmocka_unit_test(a_tail_record_that_is_taken_out_is_noticed),
		cmocka_unit_test(characters_that_are_cut_anywhere_are_whole_again),
	};

	ok(sp_crypto_init());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
