/* tests/fuzz/fuzz_userauth.c - a login blob that decodes encodes to the same bytes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/userauth.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sp_buf b = { .max = SP_USERAUTH_MAX };
	struct sp_userauth u;

	if (sp_userauth_decode_any((struct sp_view){ data, size }, &u) == SP_OK && u.host_key.len > 0 &&
	    (u.host_key.p < data || u.host_key.p + u.host_key.len != data + size))
		abort();		/* it is the last field */
	if (sp_userauth_decode((struct sp_view){ data, size }, &u) != SP_OK)
		return 0;
	if (sp_userauth_encode(&u, &b) != SP_OK || b.len != size || memcmp(b.p, data, size) != 0)
		abort();
	sp_buf_release(&b);
	return 0;
}
