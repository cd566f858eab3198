/* tests/fuzz/fuzz_sshkey_line.c - key lines: what is accepted prints to a line that is accepted with the same meaning. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/sshkey.h"

static void
round_trip(const struct sp_sshkey_line *l, int host)
{
	struct sp_buf b = { .max = 2 * SP_SSHKEY_LINE_MAX };
	struct sp_sshkey_line again;
	enum sp_err r;

	if (sp_sshkey_line_print(host ? l->hosts : NULL, l->key.blob, l->comment, &b) != SP_OK)
		abort();
	r = host ? sp_sshkey_hostline_parse(sp_buf_cstr(&b), b.len, NULL, &again) :
	    sp_sshkey_line_parse(sp_buf_cstr(&b), b.len, NULL, &again);
	if (r != SP_OK || strcmp(again.comment, l->comment) != 0 || strcmp(again.hosts, l->hosts) != 0 ||
	    again.blob.len != l->blob.len || memcmp(again.blob.p, l->blob.p, l->blob.len) != 0)
		abort();
	sp_sshkey_line_release(&again);
	sp_buf_release(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct sp_sshkey_line l;
	const char *why = NULL;

	if (sp_sshkey_line_parse(text, size, &why, &l) == SP_OK) {
		round_trip(&l, 0);
		sp_sshkey_line_release(&l);
	} else if (why == NULL) {
		abort();
	}
	if (sp_sshkey_hostline_parse(text, size, NULL, &l) == SP_OK) {
		round_trip(&l, 1);
		sp_sshkey_line_release(&l);
	}
	return 0;
}
