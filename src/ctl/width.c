/* src/ctl/width.c - how many columns text takes on a terminal, without asking the locale: the same answer everywhere. */
#include <stdlib.h>

#include "base/str.h"
#include "ctl/table.h"

struct width_range {
	uint32_t	first, last;
	unsigned	columns;
};
static const struct width_range width_ranges[] = {
#define RANGE(first, last, columns) { first, last, columns },
#include "ctl/width.def"
#undef RANGE
};

static int
width_compare(const void *key, const void *element)
{
	uint32_t cp = *(const uint32_t *)key;
	const struct width_range *r = element;

	return cp < r->first ? -1 : cp > r->last;
}

unsigned
ctl_width_cp(uint32_t cp)
{
	const struct width_range *r;

	if (cp < 0x80)
		return 1;
	r = bsearch(&cp, width_ranges, SP_NELEMS(width_ranges), sizeof(width_ranges[0]), width_compare);
	return r != NULL ? r->columns : 1;
}

size_t
ctl_width_fit(const char *s, size_t n, size_t width, size_t *ret_width)
{
	const uint8_t *p = (const uint8_t *)s;
	size_t at = 0, used = 0;

	while (at < n) {
		uint32_t cp = 0;
		size_t len = sp_utf8_next(p + at, n - at, &cp);
		unsigned w = len == 0 ? 1 : ctl_width_cp(cp);

		if (used + w > width)
			break;
		used += w;
		at += len == 0 ? 1 : len;
	}
	*ret_width = used;
	return at;
}

size_t
ctl_width(const char *s, size_t n)
{
	size_t w;

	(void)ctl_width_fit(s, n, SIZE_MAX, &w);
	return w;
}
