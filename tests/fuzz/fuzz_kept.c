/* tests/fuzz/fuzz_kept.c - the plain text of kept contents. Reading never faults, always moves on, and stays inside. */
#include <stdint.h>
#include <stdlib.h>

#include "scribe/kept.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_view v = { data, size };
	struct sp_kept_record r;

	for (size_t was = v.len; sp_kept_next(&v, &r) == SP_OK; was = v.len)
		if (v.len >= was || r.file == 0 || r.body.p < data || r.body.p + r.body.len != v.p || r.offset > UINT64_MAX / 2)
			abort();
	return 0;
}
