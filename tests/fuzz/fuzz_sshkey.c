/* tests/fuzz/fuzz_sshkey.c - a public key blob that decodes encodes to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sshkey.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf b = { .max = SP_SSHKEY_BLOB_MAX };
	struct sp_sshkey k;

	if (sp_sshkey_decode((struct sp_view){ data, size }, &k) != SP_OK)
		return 0;
	if (sp_sshkey_encode(&k, &b) != SP_OK || b.len != size || memcmp(b.p, data, size) != 0)
		abort();
	sp_buf_release(&b);
	return 0;
}
