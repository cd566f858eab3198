/* tests/fuzz/fuzz_slots.c - a key file that parses formats to the same text, and opens only if nothing was changed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/slots.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t key[32] = { 1 };
	struct sp_slot_cred cred = { .kind = SP_SLOT_KEYFILE, .bytes = { key, sizeof(key) } };
	struct sp_buf b = { .max = SP_SLOTS_TEXT_MAX };
	struct sp_keyring kr = { 0 };
	struct sp_slots f;

	if (sp_slots_parse((const char *)data, size, NULL, &f) != SP_OK)
		return 0;
	if (sp_slots_format(&f, &b) != SP_OK || b.len != size || memcmp(b.p, data, size) != 0)
		abort();
	if (sp_slots_open(&f, &cred, NULL, &kr, NULL) == SP_OK)
		sp_keyring_release(&kr);
	sp_buf_release(&b);
	sp_slots_release(&f);
	return 0;
}
