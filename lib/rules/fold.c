/* lib/rules/fold.c - text without its case. ASCII takes a short way, eight bytes at a time. */
#include <string.h>

#include "base/attr.h"
#include "base/str.h"
#include "rules/fold.h"

static const struct range {
	uint32_t	first, last, step;
	int32_t		add;
} ranges[] = {
#define FOLD(f, l, s, a) { f, l, s, a },
#include "rules/fold.def"
#undef FOLD
};

static uint32_t
fold_cp(uint32_t c)
{
	size_t lo = 0, hi = SP_NELEMS(ranges);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c > ranges[mid].last)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == SP_NELEMS(ranges) || c < ranges[lo].first || (c - ranges[lo].first) % ranges[lo].step != 0)
		return c;
	return (uint32_t)((int32_t)c + ranges[lo].add);
}

static size_t
put_utf8(uint32_t c, uint8_t *d)
{
	if (c < 0x80) {
		d[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		d[0] = (uint8_t)(0xc0 | c >> 6);
		d[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		d[0] = (uint8_t)(0xe0 | c >> 12);
		d[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		d[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	d[0] = (uint8_t)(0xf0 | c >> 18);
	d[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	d[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	d[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* Lower-case the ASCII letters of eight bytes, none of which has its top bit set. */
static uint64_t
fold_eight(uint64_t w)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t ge_a = w + ones * (0x80 - 'A'), gt_z = w + ones * (0x7f - 'Z');

	return w | ((ge_a & ~gt_z & ones * 0x80) >> 2);
}

size_t
sp_fold(const void *p, size_t n, uint8_t *dst)
{
	const uint8_t *s = p, *end = s + n;
	uint8_t *d = dst;
	uint32_t c;
	uint64_t w;

	while (s < end) {
		if (end - s >= 8) {
			memcpy(&w, s, 8);
			if ((w & UINT64_C(0x8080808080808080)) == 0) {
				w = fold_eight(w);
				memcpy(d, &w, 8);
				s += 8;
				d += 8;
				continue;
			}
		}
		if (*s < 0x80) {
			*d++ = *s >= 'A' && *s <= 'Z' ? *s | 0x20 : *s;
			s++;
			continue;
		}
		size_t k = sp_utf8_next(s, (size_t)(end - s), &c);

		if (k == 0) {
			*d++ = *s++;
			continue;
		}
		d += put_utf8(fold_cp(c), d);
		s += k;
	}
	return (size_t)(d - dst);
}

int
sp_fold_is_stable(const void *p, size_t n)
{
	const uint8_t *s = p, *end = s + n;
	uint32_t c;

	while (s < end) {
		size_t k = sp_utf8_next(s, (size_t)(end - s), &c);

		if (k != 0 && (c < 0x80 ? c >= 'A' && c <= 'Z' : fold_cp(c) != c))
			return 0;
		s += k == 0 ? 1 : k;
	}
	return 1;
}
