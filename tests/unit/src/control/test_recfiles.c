/* tests/unit/src/control/test_recfiles.c - deleting the files of a recording: all of them, nobody else's, and none that is held. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "control/recfiles.h"

#define MINE	"01930000-0000-7000-8000-000000000001"	/* of 2024-11-06 */
#define OTHER	"01930000-0000-7000-8000-000000000002"

static void
put(int day, const char *name)
{
	int fd = openat(day, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static int
there(int day, const char *name)
{
	return faccessat(day, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
what_is_held_stays_whole(void **state)
{
	static const char *const way[] = { "2024", "2024/11", "2024/11/06" };
	char dir[] = "/tmp/recfiles-XXXXXX";
	struct sp_uuid id;
	int root, day, n = -1;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_true((root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	for (size_t i = 0; i < sizeof(way) / sizeof(*way); i++)
		assert_int_equal(mkdirat(root, way[i], 0700), 0);
	assert_true((day = openat(root, way[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) >= 0);
	assert_int_equal(sp_uuid_parse(MINE, &id), SP_OK);
	put(day, MINE ".0001.age");
	put(day, MINE ".0001.tail0");
	put(day, OTHER ".0001.age");
	assert_int_equal(recfiles_hold(root, &id, 1), SP_OK);
	assert_int_equal(recfiles_delete(root, &id, &n), SP_EDENIED);
	assert_true(there(day, MINE ".0001.age") && there(day, MINE ".0001.tail0") && there(day, MINE ".hold"));
	assert_int_equal(recfiles_hold(root, &id, 0), SP_OK);
	assert_int_equal(recfiles_delete(root, &id, &n), SP_OK);
	assert_int_equal(n, 2);
	assert_false(there(day, MINE ".0001.age") || there(day, MINE ".0001.tail0"));
	assert_true(there(day, OTHER ".0001.age"));
	assert_int_equal(recfiles_delete(root, &id, &n), SP_ENOENT);
	assert_int_equal(unlinkat(day, OTHER ".0001.age", 0), 0);
	for (size_t i = sizeof(way) / sizeof(*way); i-- > 0;)
		assert_int_equal(unlinkat(root, way[i], AT_REMOVEDIR), 0);
	close(day);
	close(root);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(what_is_held_stays_whole) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
