/* tests/unit/lib/base/test_conf.c - the configuration reader names file and line, and takes a text whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/conf.h"

struct conf {
	char			name[SP_CONF_TEXT], path[SP_CONF_TEXT];
	struct sp_conf_list	list;
	int64_t			number, yes;
	uint64_t		wait;
};
static const struct sp_conf_field table[] = {
	{ "name", SP_CONF_STR, offsetof(struct conf, name), "nobody", 0, 0, "" },
	{ "path", SP_CONF_PATH, offsetof(struct conf, path), "/tmp", 0, 0, "" },
	{ "list", SP_CONF_STRLIST, offsetof(struct conf, list), "one", 0, 0, "" },
	{ "number", SP_CONF_INT, offsetof(struct conf, number), "5", 1, 10, "" },
	{ "yes", SP_CONF_BOOL, offsetof(struct conf, yes), "no", 0, 0, "" },
	{ "wait", SP_CONF_DURATION, offsetof(struct conf, wait), "1s", 0, 60000000, "" },
	{ NULL, SP_CONF_STR, 0, NULL, 0, 0, NULL },
};
static char why[256];

static enum sp_err
parse(const char *text, struct conf *c)
{
	sp_conf_defaults(table, c);
	why[0] = '\0';
	return sp_conf_parse(table, "f.conf", text, strlen(text), c, sizeof(*c), why, sizeof(why));
}

static void
an_empty_text_leaves_the_defaults(void **state)
{
	struct conf c;

	(void)state;
	assert_int_equal(parse("", &c), SP_OK);
	assert_string_equal(c.name, "nobody");
	assert_int_equal(c.number, 5);
	assert_int_equal(c.list.n, 1);
	assert_true(c.wait == 1000000);
}

static void
reads_values_comments_and_lists(void **state)
{
	struct conf c;

	(void)state;
	assert_int_equal(parse("# words\n\nname  two words \nnumber 10\nyes yes\nwait 1m\nlist a\nlist b\npath /x/y\n", &c), SP_OK);
	assert_string_equal(c.name, "two words");
	assert_int_equal(c.number, 10);
	assert_int_equal(c.yes, 1);
	assert_true(c.wait == 60000000);
	assert_int_equal(c.list.n, 2);	/* the default is replaced, not extended */
	assert_string_equal(c.list.v[0], "a");
	assert_string_equal(c.list.v[1], "b");
	assert_string_equal(c.path, "/x/y");
}

static void
an_error_names_file_and_line_and_changes_nothing(void **state)
{
	static const struct {
		const char	*text, *where;
	} bad[] = {
		{ "name a\nnosuch 1\n", "f.conf:2:" }, { "number 11\n", "f.conf:1:" }, { "number 0\n", "f.conf:1:" },
		{ "\n\nnumber x\n", "f.conf:3:" }, { "number 5x\n", "f.conf:1:" }, { "yes maybe\n", "f.conf:1:" },
		{ "wait 2m\n", "f.conf:1:" }, { "wait soon\n", "f.conf:1:" }, { "path relative\n", "f.conf:1:" },
		{ "path /a/../b\n", "f.conf:1:" }, { "path /a/..\n", "f.conf:1:" }, { "name a\nname b\n", "f.conf:2:" },
		{ "name\n", "f.conf:1:" },
	};

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		struct conf c, before;

		memset(&before, 0, sizeof(before));
		memset(&c, 0, sizeof(c));
		sp_conf_defaults(table, &before);
		assert_int_not_equal(parse(bad[i].text, &c), SP_OK);
		assert_true(strncmp(why, bad[i].where, strlen(bad[i].where)) == 0);
		assert_memory_equal(&c, &before, sizeof(c));
	}
}

static void
sizes_are_bounded(void **state)
{
	static char text[SP_CONF_FILE + 64];
	struct conf c;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "name ", 5);
	text[5 + SP_CONF_TEXT] = '\0';
	assert_int_not_equal(parse(text, &c), SP_OK);
	text[5 + SP_CONF_TEXT - 1] = '\0';
	assert_int_equal(parse(text, &c), SP_OK);
	memset(text, '\n', sizeof(text));
	sp_conf_defaults(table, &c);
	assert_int_not_equal(sp_conf_parse(table, "f", text, SP_CONF_FILE + 1, &c, sizeof(c), why, sizeof(why)), SP_OK);
	text[0] = '\0';
	for (int i = 0; i <= SP_CONF_LIST; i++)
		memcpy(text + 7 * i, "list x\n", 8);
	assert_int_not_equal(parse(text, &c), SP_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_text_leaves_the_defaults),
		cmocka_unit_test(reads_values_comments_and_lists),
		cmocka_unit_test(an_error_names_file_and_line_and_changes_nothing),
		cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests_name("base_conf", tests, NULL, NULL);
}
