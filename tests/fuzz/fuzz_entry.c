/* tests/fuzz/fuzz_entry.c - a line of the audit log never faults; what it opens to can be sealed again; what is let
 * through in place is right. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"

/* What is let through in place is what a JSON library lets through: canonical, with that number, with openings that fit. */
static void
fast(struct sp_view line)
{
	struct sp_view bytes, open;
	json_t *leaf;
	json_int_t seq;
	unsigned erased = 0, again = 0;
	char *text;

	entry_split(line, &bytes, &open);
	leaf = json_loadb((const char *)bytes.p, bytes.len, JSON_REJECT_DUPLICATES, NULL);
	seq = json_integer_value(json_object_get(leaf, "seq"));
	if (seq >= 0 && entry_fast(line, (uint64_t)seq, &erased)) {
		text = json_dumps(leaf, JSON_COMPACT | JSON_SORT_KEYS);
		if (text == NULL || strlen(text) != bytes.len || memcmp(text, bytes.p, bytes.len) != 0 || !json_object_get(leaf, "seq") ||
		    entry_check(line, &again) != SP_OK || again != erased)
			abort();
		free(text);
	}
	json_decref(leaf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_view line = { data, size };
	json_t *o = entry_parse(line), *leaf, *open;
	unsigned erased = 0;

	if (entry_check(line, &erased) == SP_OK && o == NULL)
		abort();
	fast(line);
	if (o == NULL)
		return 0;
	if (entry_seal(o, &leaf, &open) == SP_OK) {
		if (json_dumpb(leaf, NULL, 0, JSON_COMPACT) > ENTRY_LEAF_MAX)
			abort();
		json_decref(leaf);
		json_decref(open);
	}
	json_decref(o);
	return 0;
}
