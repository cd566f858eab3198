/* lib/policy/list.h - inside lib/policy: walk the items of a text list separated by ','. Pure. */
#ifndef SP_POLICY_LIST_H
#define SP_POLICY_LIST_H

#include <stddef.h>
#include <string.h>

#define SP_POLICY_ITEM_SIZE	320	/* the longest item that can mean anything: a name, a port range */

/* Copy the next item, blanks around it removed, into dst and move *p behind it. Returns 1 for an item, 0 at the end,
 * -1 for an empty or overlong item (which is passed over). */
static inline int
sp_policy_item(const char **p, char dst[SP_POLICY_ITEM_SIZE])
{
	const char *at = *p;
	size_t n, skip;

	if (at == NULL || *at == 0)
		return 0;
	n = strcspn(at, ",");
	*p = at + n + (at[n] == ',');
	skip = strspn(at, " \t");
	skip = skip < n ? skip : n;
	at += skip;
	n -= skip;
	while (n > 0 && (at[n - 1] == ' ' || at[n - 1] == '\t'))
		n--;
	if (n == 0 || n >= SP_POLICY_ITEM_SIZE)
		return -1;
	memcpy(dst, at, n);
	dst[n] = 0;
	return 1;
}

#endif
