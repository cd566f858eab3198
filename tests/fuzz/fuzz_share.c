/* tests/fuzz/fuzz_share.c - the text of a share that parses formats to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/shamir.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_share s;
	struct sp_secret t;

	if (sp_share_parse((const char *)data, size, NULL, &s) != SP_OK)
		return 0;
	if (sp_share_format(&s, &t) != SP_OK || t.len != size || memcmp(t.p, data, size) != 0)
		abort();
	sp_secret_release(&t);
	sp_share_release(&s);
	return 0;
}
