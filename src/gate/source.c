/* src/gate/source.c - see source.h. */
#include "gate/source.h"

#include <string.h>

void
gate_source_of(const struct sp_netaddr *a, struct gate_source *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->b[0] = a->family;
	memcpy(ret->b + 1, a->addr, a->family == 4 ? 4 : 8);
}
