/* tests/unit/lib/wire/test_target.c - what people may type as a target. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "wire/target.h"

static const struct {
	const char		*text;
	enum sp_target_form	 form;
	enum sp_err		 err;
	const char		*user, *account, *asset;
} rows[] = {
	{ "web1", SP_TARGET_PLACE, SP_OK, "", "", "web1" },
	{ "root@web1", SP_TARGET_PLACE, SP_OK, "", "root", "web1" },
	{ "root#web1", SP_TARGET_PLACE, SP_OK, "", "root", "web1" },
	{ "root%web1", SP_TARGET_PLACE, SP_OK, "", "root", "web1" },
	{ "@web1", SP_TARGET_PLACE, SP_OK, "", "", "web1" },
	{ "alice@root@web1", SP_TARGET_PLACE, SP_OK, "alice", "root", "web1" },
	{ "alice@root#web1", SP_TARGET_LOGIN, SP_OK, "alice", "root", "web1" },
	{ "alice%root%web1", SP_TARGET_LOGIN, SP_OK, "alice", "root", "web1" },
	{ "alice@@web1", SP_TARGET_LOGIN, SP_OK, "alice", "", "web1" },
	{ "alice@web1", SP_TARGET_LOGIN, SP_OK, "alice", "", "web1" },
	{ "alice", SP_TARGET_LOGIN, SP_OK, "alice", "", "" },
	{ "\xe5\xbc\xa0\xe4\xb8\x89@root@\xe6\x95\xb0\xe6\x8d\xae\xe5\xba\x93", SP_TARGET_LOGIN, SP_OK,
	  "\xe5\xbc\xa0\xe4\xb8\x89", "root", "\xe6\x95\xb0\xe6\x8d\xae\xe5\xba\x93" },
	{ "", SP_TARGET_PLACE, SP_ESHORT, NULL, NULL, NULL },
	{ "root@", SP_TARGET_PLACE, SP_ESHORT, NULL, NULL, NULL },
	{ "alice@root@", SP_TARGET_LOGIN, SP_ESHORT, NULL, NULL, NULL },
	{ "@root@web1", SP_TARGET_LOGIN, SP_ESHORT, NULL, NULL, NULL },
	{ "@root@web1", SP_TARGET_PLACE, SP_ESHORT, NULL, NULL, NULL },
	{ "@web1", SP_TARGET_LOGIN, SP_ESHORT, NULL, NULL, NULL },
	{ "a@b@c@d", SP_TARGET_PLACE, SP_EUSAGE, NULL, NULL, NULL },
	{ "@@@", SP_TARGET_LOGIN, SP_EUSAGE, NULL, NULL, NULL },
	{ "root@../../etc", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
	{ "root@web/1", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
	{ "-oProxyCommand@web1", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
	{ "root@web1 ", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
	{ "root@we\x1b[2Jb", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
	{ "root@\xff\xfe", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
	{ "root@\xe2\x80\xae" "1bew", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },	/* right-to-left override */
	{ "root@web'1", SP_TARGET_PLACE, SP_EFORMAT, NULL, NULL, NULL },
};

static void
reads_every_row_as_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		struct sp_target t = { .user = "untouched" };
		const char *why = NULL;
		enum sp_err r = sp_target_parse(rows[i].text, strlen(rows[i].text), rows[i].form, &why, &t);

		if (r != rows[i].err)
			fail_msg("row %zu \"%s\": %s", i, rows[i].text, sp_err_name(r));
		if (r != SP_OK) {
			assert_non_null(why);
			assert_string_equal(t.user, "untouched");
			continue;
		}
		assert_string_equal(t.user, rows[i].user);
		assert_string_equal(t.account, rows[i].account);
		assert_string_equal(t.asset, rows[i].asset);
	}
}

static void
prints_what_parses_to_the_same_target(void **state)
{
	char text[SP_TARGET_MAX + 1];
	struct sp_target t, u;

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(rows); i++) {
		if (rows[i].err != SP_OK)
			continue;
		assert_int_equal(sp_target_parse(rows[i].text, strlen(rows[i].text), rows[i].form, NULL, &t), SP_OK);
		assert_int_equal(sp_target_format(&t, rows[i].form, text, sizeof(text)), SP_OK);
		assert_int_equal(sp_target_parse(text, strlen(text), rows[i].form, NULL, &u), SP_OK);
		assert_string_equal(t.user, u.user);
		assert_string_equal(t.account, u.account);
		assert_string_equal(t.asset, u.asset);
	}
}

static void
bounds_each_part_and_the_whole(void **state)
{
	char text[SP_TARGET_MAX + 2];
	struct sp_target t;

	(void)state;
	memset(text, 'a', sizeof(text));
	assert_int_equal(sp_target_parse(text, SP_TARGET_PART_MAX, SP_TARGET_PLACE, NULL, &t), SP_OK);
	assert_int_equal(sp_target_parse(text, SP_TARGET_PART_MAX + 1, SP_TARGET_PLACE, NULL, &t), SP_ESIZE);
	text[SP_TARGET_PART_MAX] = text[2 * SP_TARGET_PART_MAX + 1] = '@';
	assert_int_equal(sp_target_parse(text, SP_TARGET_MAX, SP_TARGET_PLACE, NULL, &t), SP_OK);
	assert_int_equal(sp_target_parse(text, SP_TARGET_MAX + 1, SP_TARGET_PLACE, NULL, &t), SP_ESIZE);
}

static void
refuses_a_nul_byte_inside_a_name(void **state)
{
	struct sp_target t;

	(void)state;
	assert_int_equal(sp_target_parse("root@we\0b", 9, SP_TARGET_PLACE, NULL, &t), SP_EFORMAT);
}

/* Any three good names with any separators come back; nothing that is accepted holds a separator. */
static void
random_texts_never_yield_a_name_that_names_do_not_allow(void **state)
{
	static const char alphabet[] = "ab.-_@#%/ \\:'\"\x01\xc3\xa9\xff";
	char text[24];
	uint32_t seed = 1;
	size_t accepted = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		struct sp_target t;
		size_t n = 1 + (size_t)i % sizeof(text);
		const char *parts[3] = { t.user, t.account, t.asset };

		for (size_t k = 0; k < n; k++) {
			seed = seed * 1664525u + 1013904223u;
			text[k] = alphabet[(seed >> 16) % (sizeof(alphabet) - 1)];
		}
		if (sp_target_parse(text, n, (enum sp_target_form)(i & 1), NULL, &t) != SP_OK)
			continue;
		accepted++;
		for (int p = 0; p < 3; p++)
			assert_true(parts[p][0] == 0 || sp_name_is_ok(parts[p], SP_TARGET_PART_MAX));
	}
	assert_true(accepted > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_every_row_as_written),
		cmocka_unit_test(prints_what_parses_to_the_same_target),
		cmocka_unit_test(bounds_each_part_and_the_whole),
		cmocka_unit_test(refuses_a_nul_byte_inside_a_name),
		cmocka_unit_test(random_texts_never_yield_a_name_that_names_do_not_allow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
