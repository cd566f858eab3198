/* tests/fuzz/fuzz_age.c - any bytes as an age file: the header reader stays inside its input, and what it says fits. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/age.h"


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sp_secret id;
	sp_auto_secret key = { 0 };
	struct sp_view all = { data, size };
	size_t n = 0;

	if (id.len == 0) {
		if (sp_crypto_init() != SP_OK || sp_secret_alloc(32, &id) != SP_OK)
			abort();
		memset(id.p, 7, id.len);
	}
	if (sp_age_identity_parse(all, &key) == SP_OK && key.len != 32)
		abort();
	sp_secret_release(&key);
	if (sp_age_header_len(all, &n) != SP_OK)
		return 0;
	if (n > size || n > SP_AGE_HEADER_MAX || data[n - 1] != '\n')
		abort();
	if (sp_age_header_open((struct sp_view){ data, n }, &id, &key) == SP_OK && key.len != SP_AGE_FILE_KEY)
		abort();
	return 0;
}
