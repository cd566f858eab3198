/* tests/unit/src/control/test_erase_line.c - values of a person lose their salt in place; the leaf, the length and the rest stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/entry.h"
#include "control/erase.h"

#define WILLA	"0198f1c2-0000-7000-8000-000000000001"
#define OTTO	"0198f1c2-0000-7000-8000-000000000002"
#define SESSION	"0198f1c2-0000-7000-8000-000000000003"

/* A line as control writes it, with a number. */
static char *
line_of(json_t *o, int seq)
{
	json_t *leaf, *open;
	char *a, *b, *line;

	assert_int_equal(entry_seal(o, &leaf, &open), SP_OK);
	json_object_set_new(leaf, "seq", json_integer(seq));
	a = json_dumps(leaf, JSON_COMPACT | JSON_SORT_KEYS);
	b = json_dumps(open, JSON_COMPACT | JSON_SORT_KEYS);
	line = malloc(strlen(a) + strlen(b) + 2);
	assert_non_null(line);
	memcpy(line, a, strlen(a));
	line[strlen(a)] = '\t';
	memcpy(line + strlen(a) + 1, b, strlen(b) + 1);
	free(a), free(b);
	json_decref(o), json_decref(leaf), json_decref(open);
	return line;
}

/* How many values went; the line must still be good, and its leaf and length the same. */
static unsigned
erased(char *line, const char *what_text)
{
	json_t *what = json_loads(what_text, 0, NULL);
	size_t n = strlen(line), leaf = strcspn(line, "\t");
	char *before = strdup(line);
	unsigned gone = 0, missing = 0;

	assert_non_null(what);
	assert_int_equal(erase_line(line, n, what, &gone), SP_OK);
	assert_int_equal(strlen(line), n);
	assert_memory_equal(line, before, leaf + 1);
	assert_int_equal(entry_check((struct sp_view){ (uint8_t *)line, n }, &missing), SP_OK);
	assert_int_equal(missing, gone);
	assert_int_equal(erase_line(line, n, what, &gone), SP_OK);	/* again: nothing is left */
	assert_int_equal(missing, gone);
	free(before);
	json_decref(what);
	return gone;
}

static char *
session_line(void)
{
	return line_of(json_pack("{s:s, s:s, s:s, s:s, s:{s:s, s:{s:s, s:i}}}", "kind", "session.event", "actor", "willa", "user_id", WILLA, "session",
	    SESSION, "more", "event", "command", "body", "command", "echo words", "channel", 1), 7);
}

static void
all_that_is_said_of_a_user_goes(void **state)
{
	char *line = session_line();

	(void)state;
	assert_int_equal(erased(line, "{\"user\":\"" WILLA "\",\"login\":\"willa\"}"), 2);
	assert_null(strstr(line, "willa\""));
	assert_null(strstr(line, "words"));
	assert_non_null(strstr(line, WILLA));
	free(line);
}

static void
others_entries_lose_only_the_name(void **state)
{
	char *line = line_of(json_pack("{s:s, s:s, s:s, s:{s:s, s:s, s:{s:[s,s]}}}", "kind", "grant.create", "actor", "otto", "object_id", OTTO, "more",
	    "user", "willa", "reason", "because", "after", "names", "willa", "wanda"), 8);

	(void)state;
	assert_int_equal(erased(line, "{\"user\":\"" WILLA "\",\"login\":\"willa\"}"), 2);
	assert_null(strstr(line, "willa"));
	assert_non_null(strstr(line, "otto"));
	assert_non_null(strstr(line, "because"));
	free(line);
}

static void
sessions_and_numbers_are_found_and_nothing_else(void **state)
{
	static const struct { const char *what; unsigned gone; } rows[] = {
		{ "{\"session\":\"" SESSION "\"}", 2 }, { "{\"entries\":[7]}", 2 }, { "{\"entries\":[1,70,8]}", 0 }, { "{\"session\":\"" OTTO "\"}", 0 },
		{ "{\"user\":\"" OTTO "\",\"login\":\"otto\"}", 0 }, { "{\"user\":\"" OTTO "\",\"login\":\"will\"}", 0 }, { "{}", 0 }, { "{\"login\":\"\"}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char *line = session_line();

		assert_int_equal(erased(line, rows[i].what), rows[i].gone);
		free(line);
	}
}

static void
rows_of_an_import_that_tell_of_a_user_go(void **state)
{
	char *line = line_of(json_pack("{s:s, s:s, s:{s:s, s:s, s:[{s:s, s:s, s:{s:s}}]}}", "kind", "import.changes", "actor", "otto", "more", "of",
	    "users", "first", WILLA, "changes", "table", "users", "id", WILLA, "after", "email", "w@example.org"), 8), *grant = line_of(json_pack(
	    "{s:s, s:s, s:{s:[{s:s, s:s, s:{s:s}}]}}", "kind", "import.changes", "actor", "otto", "more", "changes", "table", "grants", "id", OTTO,
	    "after", "subject_id", WILLA), 9);

	(void)state;
	assert_int_equal(erased(line, "{\"user\":\"" OTTO "\",\"login\":\"\"}"), 0);
	assert_int_equal(erased(line, "{\"user\":\"" WILLA "\",\"login\":\"willa\"}"), 1);
	assert_null(strstr(line, "w@example.org"));
	assert_non_null(strstr(line, "otto"));
	assert_non_null(strstr(line, WILLA));		/* an id alone stays */
	assert_int_equal(erased(grant, "{\"user\":\"" WILLA "\",\"login\":\"willa\"}"), 0);
	free(line);
	free(grant);
}

/* Else the second erasing would hide the first. */
static void
what_was_erased_by_whom_and_why_stays(void **state)
{
	static const struct { const char *what; unsigned gone; } rows[] = {
		{ "{\"entries\":[9]}", 0 }, { "{\"user\":\"" OTTO "\",\"login\":\"otto\"}", 1 }, { "{\"user\":\"" OTTO "\",\"login\":\"\"}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int done = 0; done < 2; done++) {
			char *line = line_of(json_pack("{s:s, s:s, s:s, s:{s:s, s:[i]}}", "kind", done ? "evidence.erased" : "evidence.erase",
			    "actor", "otto", "object_id", OTTO, "more", "reason", "because", "erase_entries", 7), 9);

			assert_int_equal(erased(line, rows[i].what), rows[i].gone);
			assert_non_null(strstr(line, "because"));
			free(line);
		}
}

static void
what_is_no_entry_is_left_alone(void **state)
{
	char bad[] = "{\"user_id\":\"" WILLA "\"}\tnonsense", was[sizeof(bad)], plain[] = "{\"user_id\":\"" WILLA "\"}";
	json_t *what = json_loads("{\"user\":\"" WILLA "\"}", 0, NULL);
	unsigned n = 0;

	(void)state;
	memcpy(was, bad, sizeof(bad));
	assert_int_equal(erase_line(bad, sizeof(bad) - 1, what, &n), SP_EFORMAT);
	assert_memory_equal(was, bad, sizeof(bad));
	assert_int_equal(erase_line(plain, sizeof(plain) - 1, what, &n), SP_OK);
	assert_int_equal(n, 0);
	json_decref(what);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_is_said_of_a_user_goes), cmocka_unit_test(others_entries_lose_only_the_name),
		cmocka_unit_test(sessions_and_numbers_are_found_and_nothing_else), cmocka_unit_test(what_is_no_entry_is_left_alone),
		cmocka_unit_test(what_was_erased_by_whom_and_why_stays), cmocka_unit_test(rows_of_an_import_that_tell_of_a_user_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
