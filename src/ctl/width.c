/* src/ctl/width.c - how many columns text takes on a terminal, without asking the locale: the same answer everywhere. */
#include "base/str.h"
#include "base/width.h"
#include "ctl/table.h"

unsigned
ctl_width_cp(uint32_t cp)
{
	return sp_width(cp);
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
