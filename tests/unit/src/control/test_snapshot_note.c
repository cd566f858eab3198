/* tests/unit/src/control/test_snapshot_note.c - the signed note beside a snapshot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "control/snapshot_note.h"

static const uint8_t key[SP_SHA256_LEN] = { 1, 2, 3 }, other[SP_SHA256_LEN] = { 1, 2, 4 };

static struct snapshot_note
a_note(char text[SNAPSHOT_NOTE_MAX])
{
	struct snapshot_note n = { .generation = 41, .made_us = 1000000000000000, .expires_us = 1000086400000000 };

	memset(n.sha256, 0x5a, sizeof(n.sha256));
	snapshot_note_sign(&n, key, text);
	return n;
}

static void
what_is_signed_is_read_back_and_accepted(void **state)
{
	char text[SNAPSHOT_NOTE_MAX];
	struct snapshot_note n = a_note(text), got;

	(void)state;
	assert_int_equal(snapshot_note_parse(text, strlen(text), &got), SP_OK);
	assert_memory_equal(&n, &got, sizeof(n));
	assert_int_equal(snapshot_note_check(&got, key, 41, n.made_us + 1), SP_OK);
}

static void
another_key_an_older_one_and_a_late_one_are_refused(void **state)
{
	char text[SNAPSHOT_NOTE_MAX];
	struct snapshot_note n = a_note(text);

	(void)state;
	assert_int_equal(snapshot_note_check(&n, other, 0, n.made_us), SP_EAUTH);
	assert_int_equal(snapshot_note_check(&n, key, 42, n.made_us), SP_ECONFLICT);
	assert_int_equal(snapshot_note_check(&n, key, 41, n.expires_us - 1), SP_OK);
	assert_int_equal(snapshot_note_check(&n, key, 41, n.expires_us), SP_EEXPIRED);
	assert_int_equal(snapshot_note_check(&n, key, 41, n.made_us - 61000000), SP_EEXPIRED);	/* the clock was set back */
}

static void
no_changed_byte_passes(void **state)
{
	char text[SNAPSHOT_NOTE_MAX];
	struct snapshot_note n = a_note(text), got;
	size_t len = strlen(text);

	(void)state;
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			got = (struct snapshot_note){ .generation = 77 };
			text[i] ^= (char)(1 << bit);
			if (snapshot_note_parse(text, len, &got) == SP_OK)
				assert_int_not_equal(snapshot_note_check(&got, key, 0, n.made_us), SP_OK);
			else
				assert_int_equal(got.generation, 77);	/* untouched on failure */
			text[i] ^= (char)(1 << bit);
		}
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(snapshot_note_parse(text, cut, &got), SP_EFORMAT);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_signed_is_read_back_and_accepted),
		cmocka_unit_test(another_key_an_older_one_and_a_late_one_are_refused),
		cmocka_unit_test(no_changed_byte_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
