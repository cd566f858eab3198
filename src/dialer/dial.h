/* src/dialer/dial.h - one question of control: resolve a name, check every address, connect to one after the other until
 * one answers, before a deadline. Process: dialer. */
#ifndef SP_DIALER_DIAL_H
#define SP_DIALER_DIAL_H

#include "base/list.h"
#include "base/loop.h"
#include "base/netaddr.h"
#include "base/pool.h"

#define DIAL_ADDRESSES	16	/* of one name that are tried */
#define DIAL_HOST	256	/* bytes of a name with NUL: DNS has no longer one */
#define DIAL_LISTED	64u	/* entries of refuse and of allow */

struct dial;
struct dial_ask {		/* borrowed for the call of dial_start */
	const char	*host;
	uint16_t	 port;
	uint64_t	 timeout_us;
	char *const	*refuse, *const *allow;
	size_t		 n_refuse, n_allow;
	int		 resolve_only;
};
struct dial_result {
	enum sp_err		 err;
	const char		*text;		/* one line for people, "" on success; borrowed */
	int			 fd;		/* connected; -1 on failure and for resolve_only. The callee takes it */
	struct sp_netaddr	 address;
	const struct sp_netaddr	*addresses;	/* all that may be connected to; borrowed */
	size_t			 n_addresses;
};
typedef void dial_fn(const struct dial_result *r, void *arg);

/* Calls fn once, from the loop (never inside this call). SP_EFULL: too many names are being resolved; SP_EINVAL: the question cannot be
 * meant; SP_ENOMEM. fn is not called then. */
enum sp_err	dial_start(struct sp_loop *l, struct sp_pool *pool, const struct dial_ask *ask, dial_fn *fn, void *arg) SP_MUST_USE;

#endif
