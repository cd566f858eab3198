/* src/scribe/bulk.c - see bulk.h. */
#include "scribe/bulk.h"

void
sp_bulk_init(struct sp_bulk *b, uint64_t max, uint64_t now_us)
{
	*b = (struct sp_bulk){ .max = max, .at_us = now_us, .left = (int64_t)max };
	sp_sha256_begin(&b->hash);
}

static void
bulk_fill(struct sp_bulk *b, uint64_t now_us)
{
	uint64_t past = now_us > b->at_us ? now_us - b->at_us : 0;
	uint64_t most = (uint64_t)((int64_t)b->max - b->left);	/* that still fits */
	uint64_t add = past > 1000000ull * 1000000 ? most : past * SP_BULK_SLOW / 1000000;

	if (add > 0) {
		b->left += (int64_t)(add < most ? add : most);
		b->at_us = now_us;
	}
}

int
sp_bulk_counts_only(const struct sp_bulk *b, uint64_t now_us)
{
	struct sp_bulk then = *b;

	if (b->max == 0 || b->gap.bytes == 0)
		return 0;
	bulk_fill(&then, now_us);
	return then.left <= 0;
}

size_t
sp_bulk_take(struct sp_bulk *b, const uint8_t *p, size_t n, uint64_t now_us, struct sp_bulk_gap *ret_over)
{
	size_t take = n;

	ret_over->bytes = 0;
	b->total += n;
	if (b->max == 0)
		return n;
	bulk_fill(b, now_us);
	if (b->left <= 0)
		take = 0;
	else if ((uint64_t)b->left < n)
		take = (size_t)b->left;
	b->left = b->left - (int64_t)n < -(int64_t)SP_BULK_SLOW ? -(int64_t)SP_BULK_SLOW : b->left - (int64_t)n;
	if (take > 0 && b->gap.bytes > 0) {
		*ret_over = b->gap;
		b->over = b->hash;
		b->gap.bytes = 0;
	}
	if (p != NULL)
		sp_sha256_add(&b->hash, p, n);
	if (take == n)
		return n;
	if (b->gap.bytes == 0) {
		b->gap.from = b->total - (n - take);
		b->gap.at_us = now_us;
	}
	b->gap.bytes += n - take;
	return take;
}
