/* tests/fuzz/fuzz_entry.c - a line of the audit log never faults; what it opens to can be sealed again and reads back the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/entry.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_view line = { data, size };
	json_t *o = entry_parse(line), *leaf, *open;
	unsigned erased = 0;

	if (entry_check(line, &erased) == SP_OK && o == NULL)
		abort();
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
