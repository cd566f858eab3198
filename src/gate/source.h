/* src/gate/source.h - what counts as one source of connections: an IPv4 address, or the /64 of an IPv6 address, since
 * whoever has one address of it has all. Pure. */
#ifndef SP_GATE_SOURCE_H
#define SP_GATE_SOURCE_H

#include "base/netaddr.h"

struct gate_source {
	uint8_t	b[17];	/* family, then 4 or 8 bytes, rest zero */
};

void	gate_source_of(const struct sp_netaddr *a, struct gate_source *ret);

#endif
