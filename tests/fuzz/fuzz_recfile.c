/* tests/fuzz/fuzz_recfile.c - reading a recording never faults, and what is accepted encodes to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "scribe/recfile.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_view v = { data, size };
	struct sp_rec r;

	if (sp_rec_read_prefix(&v, &v) != SP_OK)
		return 0;
	for (;;) {
		uint8_t head[SP_REC_HEAD], crc[SP_REC_CRC];
		const uint8_t *at = v.p;
		uint32_t channel;
		uint8_t type;
		size_t len;

		if (sp_rec_next(&v, &r) != SP_OK)
			return 0;
		if (sp_rec_peek((struct sp_view){ at, size }, &len, &type, &channel) != SP_OK || len != r.data.len ||
		    type != r.type || channel != r.channel)
			abort();
		if (at[6] != 0 || at[7] != 0)
			continue;	/* reserved bytes: read by anyone, written as zero */
		sp_rec_encode(&r, head, crc);
		if (memcmp(head, at, sizeof(head)) != 0 || memcmp(crc, at + sizeof(head) + len, sizeof(crc)) != 0)
			abort();
	}
}
