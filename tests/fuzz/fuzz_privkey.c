/* tests/fuzz/fuzz_privkey.c - a key file that imports exports to a file that imports to the same key. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sign.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf b = { .max = 4 * SP_PRIVKEY_TEXT_MAX };
	struct sp_secret key, again;
	const char *why = NULL;

	if (sp_privkey_import((struct sp_view){ data, size }, (struct sp_view){ (const uint8_t *)"sesame", 6 }, &why, &key) !=
	    SP_OK) {
		if (why == NULL)
			abort();
		return 0;
	}
	if (sp_privkey_export(&key, "", &b) != SP_OK ||
	    sp_privkey_import((struct sp_view){ b.p, b.len }, (struct sp_view){ 0 }, NULL, &again) != SP_OK ||
	    !sp_secret_equal(&key, &again))
		abort();
	sp_secret_release(&key);
	sp_secret_release(&again);
	sp_buf_release(&b);
	return 0;
}
