/* tests/unit/src/control/test_audit_read.c - searching the audit log: its segments are the partitions by time, and those of another time are
 * not read. Each test makes a directory of segments, a day each. To see whether one was read, it holds an entry that would be found if it
 * were: its line says a time that is asked for, though the segment begins on another day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "common/logdir.h"
#include "control/audit_read.h"

#define DAYS	6
#define LINES	40

static const int64_t day_us = 86400 * (int64_t)SP_US_PER_S, begin_us = 1760000000 * (int64_t)SP_US_PER_S;

struct dir {
	char	path[32];
	int	fd;
};

static void
put(FILE *f, uint64_t seq, int64_t at, const char *text)
{
	char wall[SP_RFC3339_SIZE];

	assert_true(fprintf(f, "{\"actor\":\"a\",\"kind\":\"test.day\",\"more\":{\"wall\":\"1999-01-01T00:00:00Z\"},\"result\":\"ok\",\"seq\":%llu,"
	    "\"text\":\"%s\",\"wall\":\"%s\"}\n", (unsigned long long)seq, text, sp_rfc3339(at, wall, sizeof(wall))) > 0);
}

/* Six days of LINES entries, the last of each a stray that says it is of noon of day `stray`. */
static int
setup(void **state)
{
	struct dir *d = calloc(1, sizeof(*d));

	(void)snprintf(d->path, sizeof(d->path), "/tmp/sp-audit-XXXXXX");
	assert_non_null(mkdtemp(d->path));
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int day = 0; day < DAYS; day++) {
		char name[LOGDIR_NAME_SIZE], path[96], text[32];
		uint64_t first = 1 + (uint64_t)day * LINES;
		FILE *f;

		logdir_segment_name(first, name);
		(void)snprintf(path, sizeof(path), "%s/%s", d->path, name);
		assert_non_null(f = fopen(path, "we"));
		for (int i = 0; i < LINES - 1; i++) {
			(void)snprintf(text, sizeof(text), "day %d line %d", day, i);
			put(f, first + (uint64_t)i, begin_us + day * day_us + (day_us / LINES) * i, text);
		}
		(void)snprintf(text, sizeof(text), "stray %d", day);
		put(f, first + LINES - 1, begin_us + 3 * day_us + day_us / 2, text);
		assert_int_equal(fclose(f), 0);
	}
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct dir *d = *state;
	char cmd[96];

	for (int day = 0; day < DAYS; day++) {
		char name[LOGDIR_NAME_SIZE];

		logdir_segment_name(1 + (uint64_t)day * LINES, name);
		(void)snprintf(cmd, sizeof(cmd), "%s/%s", d->path, name);
		(void)unlink(cmd);
	}
	(void)rmdir(d->path);
	close(d->fd);
	free(d);
	return 0;
}

static json_t *
search(void **state, struct audit_query q)
{
	json_t *out = json_array();

	q.limit = q.limit > 0 ? q.limit : 10000;
	assert_int_equal(audit_read_list(((struct dir *)*state)->fd, &q, out), SP_OK);
	return out;
}

static const char *
text_of(const json_t *out, size_t i)
{
	return json_string_value(json_object_get(json_array_get(out, i), "text"));
}

static void
a_search_in_a_time_reads_the_segments_of_that_time_only(void **state)
{
	int64_t noon = begin_us + 3 * day_us + day_us / 2;
	json_t *out = search(state, (struct audit_query){ .text = "stray", .since_us = noon - 60 * (int64_t)SP_US_PER_S,
	    .until_us = noon + 60 * (int64_t)SP_US_PER_S });

	/* All six strays say this minute; only the one of its own day is where such entries can be. */
	assert_int_equal(json_array_size(out), 1);
	assert_string_equal(text_of(out, 0), "stray 3");
	json_decref(out);
	out = search(state, (struct audit_query){ .text = "stray", .since_us = noon });
	assert_int_equal(json_array_size(out), 3);	/* its day and the two later ones */
	assert_string_equal(text_of(out, 2), "stray 3");
	json_decref(out);
	out = search(state, (struct audit_query){ .text = "stray", .until_us = noon });
	assert_int_equal(json_array_size(out), 4);
	assert_string_equal(text_of(out, 0), "stray 3");
	json_decref(out);
	out = search(state, (struct audit_query){ .text = "stray" });
	assert_int_equal(json_array_size(out), DAYS);
	json_decref(out);
}

/* Each of the days: every entry of a time is found, newest first, also over midnight and when the clock was an hour off. */
static void
a_search_in_a_time_misses_none_of_it(void **state)
{
	for (int t = 0; t < 300; t++) {
		int64_t since = begin_us + (int64_t)t * 7919 * 60 % 86400 * DAYS * (int64_t)SP_US_PER_S, until = since + day_us * (t % 3) + day_us / 5;
		json_t *out = search(state, (struct audit_query){ .text = "line", .since_us = since, .until_us = until });
		size_t n = 0;

		for (int day = DAYS - 1; day >= 0; day--)
			for (int i = LINES - 2; i >= 0; i--) {
				int64_t at = begin_us + day * day_us + (day_us / LINES) * i;
				char text[32];

				if (at < since || at > until)
					continue;
				(void)snprintf(text, sizeof(text), "day %d line %d", day, i);
				assert_non_null(text_of(out, n));
				assert_string_equal(text_of(out, n), text);
				n++;
			}
		assert_int_equal(json_array_size(out), n);
		json_decref(out);
	}
}

static void
a_limit_gives_the_newest(void **state)
{
	json_t *out = search(state, (struct audit_query){ .text = "line", .limit = 3, .until_us = begin_us + 2 * day_us - 1 });

	assert_int_equal(json_array_size(out), 3);
	assert_string_equal(text_of(out, 0), "day 1 line 38");
	assert_string_equal(text_of(out, 2), "day 1 line 36");
	json_decref(out);
}

int
main(void)
{
#define T(f)	cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_search_in_a_time_reads_the_segments_of_that_time_only),
		T(a_search_in_a_time_misses_none_of_it),
		T(a_limit_gives_the_newest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
