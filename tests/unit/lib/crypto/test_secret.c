/* tests/unit/lib/crypto/test_secret.c - what a secret promises: locked, fenced, not in forks, wiped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/secret.h"

/* The sanitizers replace mlock(2) by nothing: what depends on it is skipped under them. */
#ifdef __SANITIZE_ADDRESS__
#define MLOCK_WORKS	0
#else
#define MLOCK_WORKS	1
#endif

/* Run fn in a child; its wait status. */
static int
in_child(void (*fn)(void *), void *arg)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
		fn(arg);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The line of /proc/self/smaps called `name` for the mapping at p, as text. */
static void
smaps_line(const void *p, const char *name, char *dst, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	unsigned long from, to;
	int inside = 0;

	assert_non_null(f);
	dst[0] = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from <= (unsigned long)p && (unsigned long)p < to;
		else if (inside && strncmp(line, name, strlen(name)) == 0)
			snprintf(dst, size, "%s", line);
	}
	fclose(f);
}

static void
is_locked_and_left_out_of_core_dumps_and_forks(void **state)
{
	char flags[512];
	struct sp_secret s;

	(void)state;
	if (!MLOCK_WORKS)
		skip();
	assert_int_equal(sp_secret_from("hunter2", 7, &s), SP_OK);
	smaps_line(s.p, "VmFlags:", flags, sizeof(flags));
	assert_non_null(strstr(flags, " lo"));	/* locked */
	assert_non_null(strstr(flags, " dd"));	/* do not dump */
	assert_non_null(strstr(flags, " wf"));	/* wipe on fork */
	sp_secret_release(&s);
}

static void
exit_with_first_byte(void *arg)
{
	const struct sp_secret *s = arg;

	_exit(s->p[0]);
}

static void
a_forked_child_sees_zeros(void **state)
{
	struct sp_secret s;

	(void)state;
	assert_int_equal(sp_secret_from("AAAA", 4, &s), SP_OK);
	assert_int_equal(WEXITSTATUS(in_child(exit_with_first_byte, &s)), 0);
	assert_int_equal(s.p[0], 'A');
	sp_secret_release(&s);
}

static void
touch(void *arg)
{
	*(volatile uint8_t *)arg = 1;
}

static void
a_write_beyond_either_end_is_fatal(void **state)
{
	struct sp_secret s;

	(void)state;
	assert_int_equal(sp_secret_alloc(10, &s), SP_OK);
	assert_int_equal(in_child(touch, s.p + s.cap), SIGSEGV);
	assert_int_equal(in_child(touch, s.p - 1), SIGSEGV);
	assert_int_equal(WEXITSTATUS(in_child(touch, s.p + s.cap - 1)), 99);
	sp_secret_release(&s);
}

static void
alloc_without_locked_memory(void *arg)
{
	struct sp_secret s = { .len = 77 };

	(void)arg;
	if (setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ 0, 0 }) != 0 || (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0))
		_exit(1);
	_exit(sp_secret_alloc(1, &s) == SP_ENOMEM && s.len == 77 ? 42 : 2);
}

static void
is_refused_and_says_so_when_memory_cannot_be_locked(void **state)
{
	(void)state;
	if (!MLOCK_WORKS)
		skip();
	assert_int_equal(WEXITSTATUS(in_child(alloc_without_locked_memory, NULL)), 42);
}

static void
release_is_safe_twice_and_unmaps(void **state)
{
	struct sp_secret s, none = { 0 };
	unsigned char vec;
	void *p;

	(void)state;
	assert_int_equal(sp_secret_alloc(5000, &s), SP_OK);
	assert_int_equal(s.cap, 8192);
	p = s.p;
	sp_secret_release(&s);
	assert_null(s.p);
	assert_int_equal(mincore(p, 1, &vec), -1);
	sp_secret_release(&s);
	sp_secret_release(&none);
}

static void
take_wipes_its_source_and_move_leaves_nothing_behind(void **state)
{
	char source[] = "swordfish";
	struct sp_secret a, b = { 0 };

	(void)state;
	assert_int_equal(sp_secret_take(source, sizeof(source), &a), SP_OK);
	assert_memory_equal(source, "\0\0\0\0\0\0\0\0\0", sizeof(source));
	sp_secret_move(&b, &a);
	assert_null(a.p);
	assert_string_equal((char *)b.p, "swordfish");
	sp_secret_release(&b);
}

static void
equal_compares_contents_and_length(void **state)
{
	struct sp_secret a, b, c;

	(void)state;
	assert_int_equal(sp_secret_from("abc", 3, &a), SP_OK);
	assert_int_equal(sp_secret_from("abc", 3, &b), SP_OK);
	assert_int_equal(sp_secret_from("abcd", 4, &c), SP_OK);
	assert_true(sp_secret_equal(&a, &b));
	assert_false(sp_secret_equal(&a, &c));
	b.p[2] ^= 1;
	assert_false(sp_secret_equal(&a, &b));
	sp_secret_release(&a);
	sp_secret_release(&b);
	sp_secret_release(&c);
}

static void
has_a_largest_size(void **state)
{
	struct sp_secret s;

	(void)state;
	assert_int_equal(sp_secret_alloc(SP_SECRET_MAX + 1, &s), SP_ESIZE);
	assert_int_equal(sp_secret_alloc(SIZE_MAX, &s), SP_ESIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_locked_and_left_out_of_core_dumps_and_forks),
		cmocka_unit_test(a_forked_child_sees_zeros),
		cmocka_unit_test(a_write_beyond_either_end_is_fatal),
		cmocka_unit_test(is_refused_and_says_so_when_memory_cannot_be_locked),
		cmocka_unit_test(release_is_safe_twice_and_unmaps),
		cmocka_unit_test(take_wipes_its_source_and_move_leaves_nothing_behind),
		cmocka_unit_test(equal_compares_contents_and_length),
		cmocka_unit_test(has_a_largest_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
