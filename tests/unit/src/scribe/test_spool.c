/* The spool on a real directory: what a crash may leave of it. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scribe/spool.h"

#define ok(e) assert_int_equal((e), SP_OK)
#define HEAD	32

static int
dir_new(char *name, size_t n)
{
	int fd;

	(void)sp_strlcpy(name, "/tmp/sp-spool-XXXXXX", n);
	assert_non_null(mkdtemp(name));
	fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static void
dir_drop(int fd, const char *name, const struct sp_uuid *id)
{
	char t[SP_UUID_SIZE];

	(void)unlinkat(fd, sp_uuid_text(id, t), 0);
	close(fd);
	assert_int_equal(rmdir(name), 0);
}

static void
add(struct sp_spool *s, const char *kind)
{
	ok(sp_spool_append(s, kind, 1, 2, (struct sp_view){ (const uint8_t *)"{\"a\":1}", 7 }));
}

static void
a_spool_cut_anywhere_keeps_the_events_before_the_cut(void **state)
{
	char name[64], t[SP_UUID_SIZE];
	struct sp_spool s, again;
	struct sp_uuid id;
	uint64_t ends[4];
	int dir = dir_new(name, sizeof(name));

	(void)state;
	sp_uuid_make(&id);
	ok(sp_spool_create(dir, &id, &s));
	ends[0] = s.write_off;
	for (int i = 1; i <= 3; i++) {
		add(&s, i == 1 ? "start" : "channel");
		ends[i] = s.write_off;
	}
	sp_spool_release(&s);
	for (uint64_t cut = ends[3]; cut >= HEAD; cut--) {
		uint64_t whole = 0;
		int fd = openat(dir, sp_uuid_text(&id, t), O_WRONLY);

		assert_int_equal(ftruncate(fd, (off_t)cut), 0);
		close(fd);
		while (whole < 3 && ends[whole + 1] <= cut)
			whole++;
		ok(sp_spool_open(dir, &id, &again));
		assert_int_equal(again.last_seq, whole);
		assert_int_equal(again.write_off, ends[whole]);
		sp_spool_release(&again);
	}
	dir_drop(dir, name, &id);
}

static void
numbers_go_on_after_everything_was_acknowledged(void **state)
{
	char name[64];
	struct sp_spool s, again;
	struct sp_uuid id;
	int dir = dir_new(name, sizeof(name));

	(void)state;
	sp_uuid_make(&id);
	ok(sp_spool_create(dir, &id, &s));
	for (int i = 0; i < 5; i++)
		add(&s, "channel");
	s.sent_seq = 5;		/* as if a channel had taken them */
	sp_spool_ack(&s, 99);	/* more than was sent counts as what was sent */
	assert_true(sp_spool_settled(&s));
	add(&s, "error");
	assert_int_equal(s.last_seq, 6);
	sp_spool_release(&s);
	/* The older events that still lie behind the new one are not taken for newer ones. */
	ok(sp_spool_open(dir, &id, &again));
	assert_int_equal(again.acked_seq, 5);
	assert_int_equal(again.last_seq, 6);
	assert_string_equal(again.last_kind, "error");
	sp_spool_release(&again);
	dir_drop(dir, name, &id);
}

static void
one_holder_at_a_time(void **state)
{
	char name[64];
	struct sp_spool s, other;
	struct sp_uuid id;
	int dir = dir_new(name, sizeof(name));

	(void)state;
	sp_uuid_make(&id);
	ok(sp_spool_create(dir, &id, &s));
	assert_int_equal(sp_spool_create(dir, &id, &other), SP_EEXIST);
	assert_int_equal(sp_spool_open(dir, &id, &other), SP_EBUSY);
	sp_spool_release(&s);
	ok(sp_spool_open(dir, &id, &other));
	sp_spool_release(&other);
	dir_drop(dir, name, &id);
}

static void
refuses_a_file_of_another_session(void **state)
{
	char name[64], t[SP_UUID_SIZE], u[SP_UUID_SIZE];
	struct sp_spool s;
	struct sp_uuid id, other;
	int dir = dir_new(name, sizeof(name));

	(void)state;
	sp_uuid_make(&id);
	sp_uuid_make(&other);
	ok(sp_spool_create(dir, &id, &s));
	add(&s, "start");
	sp_spool_release(&s);
	assert_int_equal(renameat(dir, sp_uuid_text(&id, t), dir, sp_uuid_text(&other, u)), 0);
	assert_int_equal(sp_spool_open(dir, &other, &s), SP_ECORRUPT);
	dir_drop(dir, name, &other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_spool_cut_anywhere_keeps_the_events_before_the_cut),
		cmocka_unit_test(numbers_go_on_after_everything_was_acknowledged),
		cmocka_unit_test(one_holder_at_a_time),
		cmocka_unit_test(refuses_a_file_of_another_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
