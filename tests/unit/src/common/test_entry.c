/* tests/unit/src/common/test_entry.c - entries: what of them is in the tree, what is opened beside it, what erasing leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "common/entry.h"

#define CANON	(JSON_COMPACT | JSON_SORT_KEYS)

struct line {
	char	*leaf, *text;		/* text: leaf, tab, openings */
};

static struct line
seal(json_t *o)
{
	struct line l;
	json_t *leaf, *open;
	char *t;

	assert_int_equal(entry_seal(o, &leaf, &open), SP_OK);
	json_object_set_new(leaf, "seq", json_integer(INT64_MAX));
	l.leaf = json_dumps(leaf, CANON);
	t = json_dumps(open, CANON);
	l.text = malloc(strlen(l.leaf) + strlen(t) + 2);
	memcpy(l.text, l.leaf, strlen(l.leaf));
	l.text[strlen(l.leaf)] = '\t';
	memcpy(l.text + strlen(l.leaf) + 1, t, strlen(t) + 1);
	free(t);
	json_decref(leaf);
	json_decref(open);
	assert_true(strlen(l.leaf) <= ENTRY_LEAF_MAX);
	return l;
}

static struct sp_view
view(const char *s)
{
	return (struct sp_view){ (const uint8_t *)s, strlen(s) };
}

static void
line_free(struct line *l)
{
	free(l->leaf);
	free(l->text);
}

static json_t *
sample(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:{s:i, s:s, s:{s:s, s:i}}}", "actor", "alice", "kind", "session.event", "source", "192.0.2.7",
	    "session", "01a2", "more", "seq", 4, "event", "exec", "body", "command", "cat /home/alice/letter", "channel", 2);
}

static void
what_tells_of_a_person_is_in_the_leaf_as_a_commitment_only(void **state)
{
	json_t *o = sample(), *again;
	struct line l = seal(o);
	unsigned erased = 9;

	(void)state;
	assert_null(strstr(l.leaf, "alice"));
	assert_null(strstr(l.leaf, "192.0.2.7"));
	assert_non_null(strstr(l.leaf, "\"kind\":\"session.event\""));
	assert_non_null(strstr(l.leaf, "\"channel\":2"));
	assert_int_equal(entry_check(view(l.text), &erased), SP_OK);
	assert_int_equal(erased, 0);
	again = entry_parse(view(l.text));
	json_object_del(again, "seq");
	assert_true(json_equal(o, again));
	json_decref(again);
	json_decref(o);
	line_free(&l);
}

static void
two_entries_of_the_same_person_have_nothing_in_common(void **state)
{
	json_t *o = sample();
	struct line a = seal(o), b = seal(o);

	(void)state;
	assert_string_not_equal(a.leaf, b.leaf);
	json_decref(o);
	line_free(&a);
	line_free(&b);
}

static void
without_its_openings_an_entry_says_that_it_was_erased(void **state)
{
	json_t *o = sample(), *again;
	struct line l = seal(o);
	unsigned erased = 0;

	(void)state;
	assert_int_equal(entry_check(view(l.leaf), &erased), SP_OK);
	assert_int_equal(erased, 3);
	again = entry_parse(view(l.leaf));
	assert_string_equal(json_string_value(json_object_get(again, "actor")), ENTRY_ERASED);
	assert_string_equal(json_string_value(json_object_get(again, "kind")), "session.event");
	json_decref(again);
	json_decref(o);
	line_free(&l);
}

static void
an_opening_that_was_changed_added_or_moved_is_refused(void **state)
{
	json_t *o = sample();
	struct line l = seal(o);
	char *at = strchr(l.text, '\t'), *p, *more;

	(void)state;
	for (char *q = at + 1; *q; q++) {
		char was = *q;

		*q = (char)(was ^ 1);
		assert_int_not_equal(entry_check(view(l.text), NULL), SP_OK);
		*q = was;
	}
	assert_int_equal(entry_check(view(l.text), NULL), SP_OK);
	more = malloc(strlen(l.text) + 64);
	p = stpcpy(more, l.text) - 1;
	memcpy(p, ",\"more/x\":[\"AAAA\",1]}", 22);
	assert_int_equal(entry_check(view(more), NULL), SP_EAUTH);
	free(more);
	json_decref(o);
	line_free(&l);
}

/* A command of 200 kB, a list of 100,000 names, a thousand small members: each fits, and nothing is lost. */
static void
however_long_an_entry_is_its_leaf_fits_and_nothing_is_lost(void **state)
{
	char *big = malloc(200001);
	json_t *o[3] = { sample(), sample(), sample() }, *list = json_array(), *many = json_object();

	(void)state;
	memset(big, 'x', 200000);
	big[200000] = '\0';
	json_object_set_new(json_object_get(json_object_get(o[0], "more"), "body"), "output", json_string(big));
	json_object_set_new(json_object_get(o[0], "more"), "reason", json_string(big));
	for (int i = 0; i < 100000; i++)
		json_array_append_new(list, json_integer(i));
	json_object_set_new(json_object_get(o[1], "more"), "numbers", list);
	for (int i = 0; i < 3000; i++) {
		char key[16];

		(void)snprintf(key, sizeof(key), "k%d", i);
		json_object_set_new(many, key, json_string("a value of some length that is nobody's"));
	}
	json_object_set_new(o[2], "more", many);
	for (size_t i = 0; i < SP_NELEMS(o); i++) {
		struct line l = seal(o[i]);
		json_t *again = entry_parse(view(l.text));

		assert_int_equal(entry_check(view(l.text), NULL), SP_OK);
		json_object_del(again, "seq");
		assert_true(json_equal(o[i], again));
		json_decref(again);
		json_decref(o[i]);
		line_free(&l);
	}
	free(big);
}

static void
what_is_no_entry_is_refused(void **state)
{
	static const char *const bad[] = { "", "\t", "{}\t[]", "[]", "{\"a\":1", "{\"a\":1,\"a\":2}", "{\"a\":1}\t{\"x\"", "x\t{}" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++) {
		assert_int_not_equal(entry_check(view(bad[i]), NULL), SP_OK);
		assert_null(entry_parse(view(bad[i])));
	}
}

/* At the limit a leaf goes from whole to shortened, and is never longer. */
static void
around_the_limit_of_a_leaf_every_length_fits_and_opens(void **state)
{
	char *text = malloc(ENTRY_LEAF_MAX + 64);
	size_t plain = 0, longest = 0;
	int was_shortened = 0;

	(void)state;
	memset(text, 'x', ENTRY_LEAF_MAX + 64);
	{
		json_t *o = json_pack("{s:s, s:{s:s}}", "kind", "session.event", "more", "blob", "");

		plain = json_dumpb(o, NULL, 0, CANON);
		json_decref(o);
	}
	for (size_t n = ENTRY_LEAF_MAX - plain - 48; n <= ENTRY_LEAF_MAX - plain + 16; n++) {
		json_t *o = json_pack("{s:s, s:{s:s%}}", "kind", "session.event", "more", "blob", text, n), *again;
		struct line l = seal(o);
		int shortened = strstr(l.leaf, "\"prefix\"") != NULL;

		assert_true(shortened || !was_shortened);
		was_shortened = shortened;
		longest = !shortened && strlen(l.leaf) > longest ? strlen(l.leaf) : longest;
		assert_int_equal(entry_verify(view(l.text), INT64_MAX, NULL), SP_OK);
		again = entry_parse(view(l.text));
		json_object_del(again, "seq");
		assert_true(json_equal(o, again));
		json_decref(again);
		json_decref(o);
		line_free(&l);
	}
	assert_true(was_shortened && longest > ENTRY_LEAF_MAX - 16 && longest <= ENTRY_LEAF_MAX);
	free(text);
}

static void
a_leaf_of_one_byte_more_than_the_limit_is_refused(void **state)
{
	char *line = malloc(ENTRY_LEAF_MAX + 2);

	(void)state;
	memset(line, 'x', ENTRY_LEAF_MAX + 2);
	memcpy(line, "{\"a\":\"", 6);
	memcpy(line + ENTRY_LEAF_MAX - 10, "\",\"seq\":1}", 10);
	line[ENTRY_LEAF_MAX] = '\0';
	assert_int_equal(entry_verify(view(line), 1, NULL), SP_OK);
	memset(line + ENTRY_LEAF_MAX - 10, 'x', 10);
	memcpy(line + ENTRY_LEAF_MAX - 9, "\",\"seq\":1}", 10);
	line[ENTRY_LEAF_MAX + 1] = '\0';
	assert_int_equal(entry_verify(view(line), 1, NULL), SP_EFORMAT);
	assert_int_equal(entry_check(view(line), NULL), SP_EFORMAT);
	assert_null(entry_parse(view(line)));
	free(line);
}

/* The line of entry 9: nineteen digits are too many to be looked at in place. */
static void
make_nine(struct line *l)
{
	char *seq = strstr(l->text, "9223372036854775807");

	assert_non_null(seq);
	memmove(seq + 1, seq + 19, strlen(seq + 19) + 1);
}

/* What entry_verify() means, with a JSON library alone. */
static int
is_right(const char *line, json_int_t seq)
{
	size_t n = strcspn(line, "\t");
	json_t *o = json_loadb(line, n, JSON_REJECT_DUPLICATES, NULL);
	char *text = o != NULL ? json_dumps(o, CANON) : NULL;
	int right = text != NULL && strlen(text) == n && memcmp(text, line, n) == 0 &&
	    json_integer_value(json_object_get(o, "seq")) == seq && entry_check(view(line), NULL) == SP_OK;

	free(text);
	json_decref(o);
	return right;
}

/* Lines of every shape, and each with every byte changed in three ways: in place and over a JSON library the answer is the same. */
static void
in_place_and_through_a_json_library_the_same_lines_are_right(void **state)
{
	json_t *o[] = { sample(), sample(), sample(), sample(), sample(), json_object() };
	static const uint8_t change[] = { 1, 0x20, 0x80 };
	int fast = 0;

	(void)state;
	json_object_set_new(o[1], "text", json_string("\xe6\x95\xb0\xe6\x8d\xae\xe5\xba\x93 \"quoted\" back\\slash \t tab"));
	json_object_set_new(o[2], "text", json_string("escape \x1b[31m"));			/* \u001B: over the library */
	json_object_set_new(o[3], "more", json_pack("{s:[i,b,n,{s:s}], s:f, s:I, s:{}}", "list", -4, 1, "x", "y", "real", 0.5, "big",
	    (json_int_t)INT64_MIN, "none"));						/* a fraction: over the library */
	json_object_set_new(o[4], "more", json_pack("{s:{s:{s:{s:s, s:o}}}}", "a", "b", "c", "path", "/etc/passwd", "after", json_pack("{s:i}", "x", 1)));
	for (size_t i = 0; i < SP_NELEMS(o); i++) {
		struct line l = seal(o[i]);
		unsigned erased = 9;

		make_nine(&l);
		assert_int_equal(entry_verify(view(l.text), 9, &erased), SP_OK);
		assert_int_equal(erased, 0);
		assert_int_equal(entry_verify(view(l.text), 8, NULL), SP_EFORMAT);
		fast += entry_fast(view(l.text), 9, NULL);
		for (char *p = l.text; *p; p++)
			for (size_t k = 0; k < SP_NELEMS(change); k++) {
				char was = *p;

				*p = (char)((uint8_t)was ^ change[k]);
				if (entry_fast(view(l.text), 9, NULL))
					assert_true(is_right(l.text, 9));
				*p = was;
			}
		json_decref(o[i]);
		line_free(&l);
	}
	assert_int_equal(fast, 4);	/* the ordinary ones do go in place: a log is checked in seconds */
}

static void
a_leaf_that_is_not_canonical_is_refused(void **state)
{
	static const char *const bad[] = { "{\"a\": 1,\"seq\":1}", "{\"b\":1,\"a\":1,\"seq\":1}", "{\"a\":01,\"seq\":1}", "{\"a\":-0,\"seq\":1}",
		"{\"a\":\"\\/\",\"seq\":1}", "{\"a\":\"\\u0041\",\"seq\":1}", "{\"a\":1.50,\"seq\":1}", "{\"a\":1,\"a\":1,\"seq\":1}",
		"{\"a\":\"\xc0\xaf\",\"seq\":1}", "{\"a\":1,\"seq\":1} ", "{\"a\":1}", "{\"a\":1,\"seq\":2}", "{\"a\":1,\"seq\":\"1\"}", "" };

	(void)state;
	for (size_t i = 0; i < SP_NELEMS(bad); i++)
		assert_int_equal(entry_verify(view(bad[i]), 1, NULL), SP_EFORMAT);
	assert_int_equal(entry_verify(view("{\"a\":-1,\"seq\":1}"), 1, NULL), SP_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_tells_of_a_person_is_in_the_leaf_as_a_commitment_only),
		cmocka_unit_test(two_entries_of_the_same_person_have_nothing_in_common),
		cmocka_unit_test(without_its_openings_an_entry_says_that_it_was_erased),
		cmocka_unit_test(an_opening_that_was_changed_added_or_moved_is_refused),
		cmocka_unit_test(however_long_an_entry_is_its_leaf_fits_and_nothing_is_lost),
		cmocka_unit_test(what_is_no_entry_is_refused),
		cmocka_unit_test(around_the_limit_of_a_leaf_every_length_fits_and_opens),
		cmocka_unit_test(a_leaf_of_one_byte_more_than_the_limit_is_refused),
		cmocka_unit_test(in_place_and_through_a_json_library_the_same_lines_are_right),
		cmocka_unit_test(a_leaf_that_is_not_canonical_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
