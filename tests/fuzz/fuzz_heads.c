/* tests/fuzz/fuzz_heads.c - a file of signed heads that parses is written with the same meaning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "vault/heads.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf b = { .max = HEADS_TEXT_MAX };
	struct heads h, again;

	if (heads_parse((const char *)data, size, &h) != SP_OK)
		return 0;
	if (heads_text(&h, &b) != SP_OK || heads_parse(sp_buf_cstr(&b), b.len, &again) != SP_OK || memcmp(&h, &again, sizeof(h)) != 0)
		abort();
	sp_buf_release(&b);
	return 0;
}
