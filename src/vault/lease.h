/* src/vault/lease.h - permissions to use one secret, a bounded number of times, until a deadline, on one connection.
 * Put in by control only, spent by the session with that connection. Process: vault. Pure: no I/O, no clock.
 * Invariants: (1) n <= LEASES_MAX and bytes <= LEASES_BYTES_MAX. (2) A lease in the table has uses >= 1. (3) A use is
 * spent before anything is checked or signed, so a refused attempt costs one, too. */
#ifndef SP_VAULT_LEASE_H
#define SP_VAULT_LEASE_H

#include "base/buf.h"
#include "base/htab.h"
#include "base/list.h"
#include "base/str.h"
#include "sallyport.pb-c.h"

#define LEASES_MAX		10000
#define LEASES_BYTES_MAX	((size_t)64 << 20)
#define LEASE_ID_MIN		16	/* bytes */
#define LEASE_ID_MAX		64
#define LEASE_USES_MAX		4
#define LEASE_LIFE_MAX_US	(UINT64_C(600) * 1000000)
#define LEASE_WALL_MAX_US	INT64_C(253402300799000000)	/* the end of year 9999 */
#define LEASE_CERT_BACK_S	60	/* a certificate is valid since then: clocks differ */
#define LEASE_CERT_MAX_S	300	/* validity of a certificate, seconds */

enum lease_op { LEASE_SIGN = 1, LEASE_CERTIFICATE, LEASE_PASSWORD };

struct lease {
	struct sp_hnode		 node;		/* by id */
	struct sp_list		 link;
	enum lease_op		 op;
	unsigned		 uses;		/* left */
	uint64_t		 deadline_us;
	int64_t			 wall_us;	/* wall time at boottime 0, by the word of control: dates certificates */
	size_t			 bytes;		/* what it counts for */
	struct sp_uuid		 conn, session, secret;
	Sallyport__LeasePut	*terms;		/* owned */
};
struct lease_table {
	struct sp_htab	by_id;
	struct sp_list	all;
	size_t		n, bytes;
};

enum sp_err	lease_table_init(struct lease_table *t) SP_MUST_USE;
void		lease_table_release(struct lease_table *t);	/* safe on zeroed memory */
/* Check the message and keep a copy of it. `packed` is the same message as it came.
 * SP_EINVAL (what is wrong is in *why, static), SP_EEXIST, SP_EFULL, SP_EEXPIRED, SP_ESTATE (another boot), SP_ENOMEM. */
enum sp_err	lease_put(struct lease_table *t, const Sallyport__LeasePut *m, struct sp_view packed,
		    const uint8_t boot[16], uint64_t now_us, const char **why) SP_MUST_USE;
/* Take one use. *ret is borrowed until lease_settle(), which has to follow.
 * SP_ENOENT; SP_EPEER: it belongs to another connection (no use is taken); SP_EDENIED: it is for something else;
 * SP_EEXPIRED. */
enum sp_err	lease_spend(struct lease_table *t, struct sp_view id, const struct sp_uuid *conn, enum lease_op op,
		    uint64_t now_us, struct lease **ret) SP_MUST_USE;
void		lease_settle(struct lease_table *t, struct lease *l);	/* forget it if no use is left */
/* All of a connection, or with session != NULL those of that session on it. Returns how many. */
unsigned	lease_drop(struct lease_table *t, const struct sp_uuid *conn, const struct sp_uuid *session);
unsigned	lease_sweep(struct lease_table *t, uint64_t now_us);	/* forget expired ones */
void		lease_clear(struct lease_table *t);

#endif
