/* tests/fuzz/fuzz_sshsig.c - a signature blob that decodes encodes to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sshsig.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf b = { .max = SP_SSHSIG_MAX };
	struct sp_sshsig s;

	if (sp_sshsig_decode((struct sp_view){ data, size }, &s) != SP_OK)
		return 0;
	if (sp_sshsig_encode(&s, &b) != SP_OK || b.len != size || memcmp(b.p, data, size) != 0)
		abort();
	sp_buf_release(&b);
	return 0;
}
