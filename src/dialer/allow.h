/* src/dialer/allow.h - which addresses may be connected to: refused networks, with exceptions. Pure.
 * An entry is an address, a network (10.0.0.0/8), or one of the words "loopback" (127/8, ::1, the unspecified address)
 * and "linklocal" (169.254/16, fe80::/10, multicast). */
#ifndef SP_DIALER_ALLOW_H
#define SP_DIALER_ALLOW_H

#include "base/netaddr.h"

/* SP_OK: may be connected to. SP_EDENIED: refused. SP_EFORMAT: a list cannot be understood. An exception wins. */
enum sp_err	dial_check(const struct sp_netaddr *a, char *const *refuse, size_t n_refuse, char *const *allow,
		    size_t n_allow) SP_MUST_USE;

#endif
