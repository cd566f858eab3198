/* lib/policy/forward.h - where a port forward may go. Pure. Process: control, and session for a sealed snapshot.
 *
 * A list of destinations separated by ',', each HOST:PORTS.
 *	HOST	*			any host (rule 2 below)
 *		db1.example.org		that name, ASCII case ignored
 *		*.example.org		any name below, not the name itself
 *		10.1.2.3, [2001:db8::1]	that address
 *		10.0.0.0/8, [fd00::]/8	that network
 *		10.0.0.1-10.0.0.9	addresses from..to (IPv4 and, in brackets, [a]-[b])
 *	PORTS	* or 22 or 8000-8100
 *
 * Rules:
 * (1) A request names a host as the user typed it and, once resolved, an address. A name pattern speaks about the
 *     typed name, an address pattern about the address; either permits.
 * (2) Loopback, link-local, multicast and the unspecified address are permitted only by a single-address pattern
 *     with that very address (or by a range or network, never: it would be by accident), whatever name was typed.
 * (3) Before resolution the answer for a name is only "perhaps": ask again with the address, always. */
#ifndef SP_POLICY_FORWARD_H
#define SP_POLICY_FORWARD_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/netaddr.h"

#define SP_POLICY_HOST_MAX	255

enum sp_policy_forward { SP_POLICY_FWD_NO, SP_POLICY_FWD_MAYBE, SP_POLICY_FWD_YES };

/*
 * May a forward go there?
 *   list   destinations as above; NULL or "" permits nothing. An entry that cannot be read permits nothing.
 *   host   as typed: a name or an address, brackets allowed; NULL if only the address is known
 *   addr   the address that will be connected to (its port member is not looked at), NULL before resolution
 *   port   1..65535
 * MAYBE is given only when addr is NULL and host is a name that some entry may still permit.
 */
enum sp_policy_forward	sp_policy_forward_allowed(const char *list, const char *host, const struct sp_netaddr *addr, uint32_t port);
/* SP_EINVAL if an entry cannot be read. "" is fine. */
enum sp_err		sp_policy_forward_check(const char *list) SP_MUST_USE;

#endif
