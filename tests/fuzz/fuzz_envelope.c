/* tests/fuzz/fuzz_envelope.c - records and sealed blobs from a hostile store: they may be refused, never more. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/envelope.h"
#include "crypto/sealbox.h"
#include "crypto/slots.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sp_envelope_ad ad = { .object = { { 1 } }, .version = 1, .field = "password" };
	static const struct sp_seal_context ctx = { "account.password", { { 1 } } };
	static struct sp_slots file;
	static struct sp_keyring keys;		/* fresh keys: nothing of the corpus can open */
	struct sp_buf b = { .max = SP_ENVELOPE_MAX };
	struct sp_secret s;

	if (keys.term_n == 0 && sp_slots_create(&file, &keys) != SP_OK)
		abort();
	if (sp_envelope_open(&keys, &ad, (struct sp_view){ data, size }, &s) == SP_OK ||
	    sp_envelope_rewrap(&keys, &ad, (struct sp_view){ data, size }, &b) == SP_OK || b.len != 0 ||
	    sp_sealbox_open(keys.seal_pk, &keys.seal_sk, &ctx, (struct sp_view){ data, size }, &s) == SP_OK)
		abort();
	sp_buf_release(&b);
	return 0;
}
