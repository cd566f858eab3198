/* tests/unit/src/vault/test_heads.c - which heads of the audit log may follow which: never back, never aside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "vault/heads.h"

#define SIZE_MAX_TEST	70

/* Two logs that differ from entry 20 on: their leaf hashes, and the head of each size. */
static struct sp_tlog_hash leaf[2][SIZE_MAX_TEST];

static enum sp_err
read_node(void *arg, unsigned level, uint64_t index, struct sp_tlog_hash *ret)
{
	struct sp_tlog_edge e = { 0 };
	int which = *(int *)arg;

	for (uint64_t i = index << level; i < (index + 1) << level; i++)
		assert_int_equal(sp_tlog_edge_add(&e, &leaf[which][i], NULL, NULL), SP_OK);
	sp_tlog_edge_root(&e, ret);
	return SP_OK;
}

static struct heads_ask
ask(int which, uint64_t from, uint64_t size, const char *origin)
{
	struct heads_ask a = { .from = from, .want.size = size };
	struct sp_tlog_edge e = { 0 };

	(void)sp_strlcpy(a.want.origin, origin, sizeof(a.want.origin));
	for (uint64_t i = 0; i < size; i++)
		assert_int_equal(sp_tlog_edge_add(&e, &leaf[which][i], NULL, NULL), SP_OK);
	sp_tlog_edge_root(&e, &a.want.root);
	if (from > 0 && from < size)
		assert_int_equal(sp_tlog_prove_growth(from, size, read_node, &which, &a.proof), SP_OK);
	return a;
}

static enum sp_err
grow(struct heads *h, int which, uint64_t from, uint64_t size, const char *origin)
{
	struct heads_ask a = ask(which, from, size, origin);
	const char *why = NULL;
	enum sp_err r = heads_grow(h, &a, &why);

	if (r != SP_OK)
		assert_non_null(why);
	return r;
}

static int
setup(void **state)
{
	(void)state;
	for (int w = 0; w < 2; w++)
		for (size_t i = 0; i < SIZE_MAX_TEST; i++) {
			uint8_t entry[2] = { (uint8_t)i, (uint8_t)(i >= 20 ? w : 0) };

			sp_tlog_leaf((struct sp_view){ entry, 2 }, &leaf[w][i]);
		}
	return 0;
}

static void
a_log_grows_and_never_goes_back_or_aside(void **state)
{
	struct heads h = { 0 }, before;

	(void)state;
	assert_int_equal(grow(&h, 0, 0, 10, "log"), SP_OK);
	assert_int_equal(grow(&h, 0, 10, 33, "log"), SP_OK);
	assert_int_equal(grow(&h, 0, 33, 33, "log"), SP_OK);
	before = h;
	assert_int_equal(grow(&h, 0, 10, 32, "log"), SP_ESTATE);
	assert_int_equal(grow(&h, 1, 33, 33, "log"), SP_EAUTH);	/* as many entries, others */
	assert_int_equal(grow(&h, 1, 33, 50, "log"), SP_EAUTH);	/* a fork that goes on */
	assert_int_equal(grow(&h, 0, 10, 50, "log"), SP_EAGAIN);
	assert_int_equal(grow(&h, 0, 0, 50, "log"), SP_EAGAIN);
	assert_int_equal(grow(&h, 0, 33, 50, "other"), SP_EPEER);
	assert_memory_equal(&before, &h, sizeof(h));
	assert_int_equal(grow(&h, 0, 33, 50, "log"), SP_OK);
}

static void
a_new_origin_leaves_the_old_one_for_ever_and_says_whether_it_contains_it(void **state)
{
	struct heads h = { 0 };
	struct heads_ask a;
	const char *why = NULL;
	int grew = -1;

	(void)state;
	assert_int_equal(grow(&h, 0, 0, 33, "first"), SP_OK);
	a = ask(0, 33, 40, "second");
	assert_int_equal(heads_bridge(&h, &a, &grew, &why), SP_OK);
	assert_int_equal(grew, 1);
	a = ask(1, 0, 30, "third");
	assert_int_equal(heads_bridge(&h, &a, &grew, &why), SP_OK);
	assert_int_equal(grew, 0);
	assert_int_equal(grow(&h, 1, 30, 31, "third"), SP_OK);
	a = ask(0, 33, 40, "first");
	assert_int_equal(heads_bridge(&h, &a, &grew, &why), SP_EEXIST);
	assert_int_equal(grow(&h, 0, 33, 60, "first"), SP_EPEER);
}

static void
the_file_reads_back_and_damage_is_refused(void **state)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = HEADS_TEXT_MAX }, none = { .max = HEADS_TEXT_MAX };
	struct heads h = { 0 }, again;
	struct heads_ask a = ask(0, 33, 40, "second");
	const char *why = NULL;
	int grew;

	(void)state;
	assert_int_equal(heads_text(&h, &none), SP_OK);
	assert_int_equal(heads_parse(sp_buf_cstr(&none), none.len, &again), SP_OK);
	assert_int_equal(grow(&h, 0, 0, 33, "first"), SP_OK);
	assert_int_equal(heads_bridge(&h, &a, &grew, &why), SP_OK);
	assert_int_equal(heads_text(&h, &b), SP_OK);
	assert_int_equal(heads_parse(sp_buf_cstr(&b), b.len, &again), SP_OK);
	assert_memory_equal(&h, &again, sizeof(h));
	for (size_t n = 1; n < b.len; n++)	/* cut anywhere but between lines */
		if (b.p[n - 1] != '\n')
			assert_int_not_equal(heads_parse(sp_buf_cstr(&b), n, &again), SP_OK);
	for (size_t i = 0; i < b.len; i++) {
		uint8_t was = b.p[i];

		b.p[i] = ' ';
		if (was != ' ')
			assert_int_not_equal(heads_parse(sp_buf_cstr(&b), b.len, &again), SP_OK);
		b.p[i] = was;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_log_grows_and_never_goes_back_or_aside),
		cmocka_unit_test(a_new_origin_leaves_the_old_one_for_ever_and_says_whether_it_contains_it),
		cmocka_unit_test(the_file_reads_back_and_damage_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
