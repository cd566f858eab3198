/* tests/fuzz/fuzz_agent.c - a stream of agent messages: what is understood encodes to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/agent.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_view stream = { data, size }, body;

	while (sp_agent_next(&stream, &body) == SP_OK) {
		struct sp_buf b = { .max = SP_AGENT_MSG_MAX + 4 };
		struct sp_agent_request q;

		if (sp_agent_decode(body, &q) == SP_OK && q.kind != SP_AGENT_OTHER &&
		    (sp_agent_encode(&q, &b) != SP_OK || b.len != body.len + 4 || memcmp(b.p + 4, body.p, body.len) != 0))
			abort();
		sp_buf_release(&b);
	}
	return 0;
}
