/* tests/fuzz/fuzz_factorlog.c - a record that parses is written back to the same bytes. The MAC is made here, so that what is
 * behind it is reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/factorlog.h"

#define BODY	(FACTORLOG_SIZE - SP_SHA256_LEN)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[SP_SHA256_LEN];
	uint8_t raw[FACTORLOG_SIZE] = { 0 }, again[FACTORLOG_SIZE];
	struct factorlog r;

	memcpy(raw, data, size < BODY ? size : BODY);
	if (factorlog_parse(raw, key, &r) == SP_OK)
		abort();	/* no such MAC */
	sp_hmac_sha256((struct sp_view){ key, sizeof(key) }, (struct sp_view){ raw, BODY }, raw + BODY);
	if (factorlog_parse(raw, key, &r) != SP_OK)
		return 0;
	factorlog_pack(&r, key, again);
	if (memcmp(raw, again, sizeof(raw)) != 0)
		abort();
	return 0;
}
