/* tests/unit/lib/base/test_file.c - writing files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define BIG	((size_t)512 * 1024)	/* more than a pipe holds */

struct reader {
	int	fd;
	size_t	n;
	int	wrong;
};

static void *
read_all(void *arg)
{
	struct reader *r = arg;
	uint8_t buf[4099];
	ssize_t k;

	while ((k = read(r->fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < k; i++)
			r->wrong |= buf[i] != (uint8_t)(r->n++ % 251);
	return NULL;
}

static void
writes_all_over_short_writes(void **state)
{
	static uint8_t big[BIG];
	struct reader r = { 0 };
	pthread_t t;
	int p[2];

	(void)state;
	for (size_t i = 0; i < BIG; i++)
		big[i] = (uint8_t)(i % 251);
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	r.fd = p[0];
	assert_int_equal(pthread_create(&t, NULL, read_all, &r), 0);
	assert_int_equal(sp_write_all(p[1], big, BIG), SP_OK);
	assert_int_equal(sp_write_all(p[1], NULL, 0), SP_OK);
	close(p[1]);
	assert_int_equal(pthread_join(t, NULL), 0);
	close(p[0]);
	assert_int_equal(r.n, BIG);
	assert_false(r.wrong);
}

static void
says_why_it_cannot(void **state)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(sp_write_all(fd, "x", 1), SP_ENOSPC);
	close(fd);
	assert_int_not_equal(sp_write_all(-1, "x", 1), SP_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_all_over_short_writes),
		cmocka_unit_test(says_why_it_cannot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
