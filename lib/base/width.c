/* lib/base/width.c - how many columns a character takes on a terminal (Unicode tables: width.def). */
#include "base/width.h"

#include <stdlib.h>

#include "base/attr.h"

struct width_range {
	uint32_t	first, last;
	unsigned	columns;
};
static const struct width_range width_ranges[] = {
#define RANGE(first, last, columns) { first, last, columns },
#include "base/width.def"
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
sp_width(uint32_t cp)
{
	const struct width_range *r;

	if (cp < 0x300)
		return 1;
	r = bsearch(&cp, width_ranges, SP_NELEMS(width_ranges), sizeof(width_ranges[0]), width_compare);
	return r != NULL ? r->columns : 1;
}
