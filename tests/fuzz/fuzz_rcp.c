/* tests/fuzz/fuzz_rcp.c - a conversation: blocks of u8 side (bit 0), u8 length, bytes. However the bytes are cut, the same
 * is decoded, and contents are never more than was announced. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/rcp.h"

struct seen {
	uint64_t sum;
	enum sp_err err;
};

static void
add(struct seen *s, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		s->sum = (s->sum ^ b[i]) * 0x100000001b3u;
}

static void
feed(struct sp_rcp *f, enum sp_rcp_side side, struct sp_view v, struct seen *s)
{
	struct sp_rcp_item it;

	while ((s->err = sp_rcp_next(f, side, &v, &it)) == SP_OK && it.what != SP_RCP_MORE) {
		if (it.what != SP_RCP_BYTES)
			add(s, &it.what, sizeof(it.what));
		add(s, it.name.p, it.name.len);
		add(s, it.bytes.p, it.bytes.len);
		add(s, it.text.p, it.text.len);
		if (f->line[0].len > SP_RCP_LINE_MAX || f->depth > SP_RCP_DEPTH_MAX)
			abort();
	}
}

static struct seen
run(const uint8_t *p, size_t n, size_t piece)
{
	struct seen s = { .sum = 1 };
	struct sp_rcp f;

	sp_rcp_init(&f);
	while (n >= 2 && s.err == SP_OK) {
		enum sp_rcp_side side = p[0] & 1 ? SP_RCP_SINK : SP_RCP_SOURCE;
		size_t len = p[1] < n - 2 ? p[1] : n - 2;

		for (size_t at = 0; at < len && s.err == SP_OK; at += piece)
			feed(&f, side, (struct sp_view){ p + 2 + at, len - at < piece ? len - at : piece }, &s);
		p += 2 + len;
		n -= 2 + len;
	}
	sp_rcp_release(&f);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seen a = run(data, size, 256), b = run(data, size, 1);

	if ((a.err == SP_OK) != (b.err == SP_OK) || (a.err == SP_OK && a.sum != b.sum))
		abort();
	return 0;
}
