/* tests/fuzz/fuzz_recfile.c - reading an index or a tail file never faults; an index that is accepted is in order. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scribe/recfile.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sp_rec_index v[SP_REC_INDEX_MAX];
	struct sp_view bytes = { data, size };
	sp_auto_secret key = { 0 }, plain = { 0 };
	uint64_t duration, generation, number;
	struct sp_tail t;
	size_t n;

	if (sp_rec_index_count(bytes, &n, &duration) == SP_OK && sp_rec_index_read(bytes, v, n) == SP_OK)
		for (size_t i = 1; i < n; i++)
			if (v[i].at_us < v[i - 1].at_us || v[i].packed_off <= v[i - 1].packed_off)
				abort();
	if (sp_crypto_init() != SP_OK || sp_secret_alloc(SP_TAIL_KEY, &key) != SP_OK || sp_tail_read_head(&bytes, &generation) != SP_OK)
		return 0;
	while (sp_tail_next(&key, generation, &bytes, &number, &plain, &t) == SP_OK)
		;
	return 0;
}
