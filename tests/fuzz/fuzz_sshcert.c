/* tests/fuzz/fuzz_sshcert.c - a certificate that decodes encodes to the same signed bytes, and keeps the invariants. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sshcert.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf b = { .max = SP_SSHCERT_MAX };
	struct sp_sshcert c;

	if (sp_sshcert_decode((struct sp_view){ data, size }, &c) != SP_OK)
		return 0;
	if (c.principal_n == 0 || c.valid_before == UINT64_MAX || sp_sshkey_is_sk(c.key.type))
		abort();
	if (sp_sshcert_encode_body(&c, &b) != SP_OK || b.len != c.signed_part.len || memcmp(b.p, data, b.len) != 0 ||
	    b.len + 4 + c.signature.len != size)
		abort();
	sp_buf_release(&b);
	return 0;
}
