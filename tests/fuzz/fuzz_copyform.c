/* tests/fuzz/fuzz_copyform.c - whatever an entry says, its record is within the limit and its text is JSON, in both forms. The first
 * byte chooses the form, the rest is the entry, and what follows a newline is what is known besides. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "courier/copyform.h"

#define LIMIT	480

static void
check(const struct copy_form *f, struct sp_view e, struct sp_view ctx)
{
	sp_auto(sp_buf_release) struct sp_buf b = { .max = 16 << 20 };
	const char *p, *end;
	json_t *o;

	if (copy_form(f, e, ctx, &b) != SP_OK) {
		if (b.len != 0)
			abort();
		return;
	}
	if (f->limit != 0 && b.len > f->limit)
		abort();
	end = (const char *)b.p + b.len - f->jumpserver;
	if ((p = memchr(b.p, '{', b.len)) == NULL || (o = json_loadb(p, (size_t)(end - p), 0, NULL)) == NULL)
		abort();
	json_decref(o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct copy_form f = { .facility = 1, .host = "h", .bastion = "b" };
	struct sp_view e, ctx = { 0 };
	const uint8_t *nl;

	if (size < 2 || size > 100000)
		return 0;
	f.jumpserver = data[0] & 1;
	f.limit = data[0] & 2 ? LIMIT : 0;
	f.frame = data[0] & 4 ? COPY_COUNTED : COPY_PLAIN;
	if (f.frame == COPY_COUNTED)
		f.limit = 0;	/* only datagrams have one */
	e = (struct sp_view){ data + 1, size - 1 };
	if ((nl = memchr(e.p, '\n', e.len)) != NULL) {
		ctx = (struct sp_view){ nl + 1, (size_t)(e.p + e.len - nl - 1) };
		e.len = (size_t)(nl - e.p);
	}
	check(&f, e, ctx);
	return 0;
}
