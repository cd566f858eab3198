/* tests/unit/lib/base/test_htab.c - the intrusive hash table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/htab.h"

struct item {
	struct sp_hnode	node;
	uint32_t	key;
};
#define N 5000
static struct item items[N];

static void
remove_odd(struct sp_hnode *n, void *arg)
{
	struct item *it = sp_container(n, struct item, node);

	if (it->key % 2)
		sp_htab_remove(arg, n);
}

static void
finds_what_is_in_it_and_nothing_else(void **state)
{
	struct sp_htab t;
	struct item twin = { .key = 7 };
	uint32_t absent = N;

	(void)state;
	assert_int_equal(sp_htab_init(&t), SP_OK);
	for (uint32_t i = 0; i < N; i++) {
		items[i].key = i;
		assert_int_equal(sp_htab_insert(&t, &items[i].node, &items[i].key, sizeof(items[i].key)), SP_OK);
	}
	assert_int_equal(t.n, N);
	assert_int_equal(sp_htab_insert(&t, &twin.node, &twin.key, sizeof(twin.key)), SP_EEXIST);
	for (uint32_t i = 0; i < N; i++)
		assert_ptr_equal(sp_htab_find(&t, &i, sizeof(i)), &items[i].node);
	assert_null(sp_htab_find(&t, &absent, sizeof(absent)));
	assert_null(sp_htab_find(&t, &items[1].key, 2));	/* the length is part of the key */
	sp_htab_each(&t, remove_odd, &t);
	assert_int_equal(t.n, N / 2);
	for (uint32_t i = 0; i < N; i++)
		assert_ptr_equal(sp_htab_find(&t, &i, sizeof(i)), i % 2 ? NULL : &items[i].node);
	sp_htab_remove(&t, &twin.node);		/* never inserted */
	assert_int_equal(t.n, N / 2);
	sp_htab_release(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(finds_what_is_in_it_and_nothing_else) };

	return cmocka_run_group_tests_name("base_htab", tests, NULL, NULL);
}
