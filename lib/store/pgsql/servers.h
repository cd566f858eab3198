/* lib/store/pgsql/servers.h - inside lib/store only: which server of a list a handle should talk to. See servers.c. */
#ifndef SP_STORE_PGSQL_SERVERS_H
#define SP_STORE_PGSQL_SERVERS_H

#include <libpq-fe.h>

#include "store/store.h"

/* The server for this use now (any: reading; else the primary), waiting for the first answers and for a server to appear
 * until deadline_us at most; a writer waits only until every server has been asked. -1: there is none. */
int		 sp_servers_pick(struct sp_store_servers *v, int any, uint64_t deadline_us);
/* The server that a handle on `at` should move to before its next statement; `at` itself: stay. */
int		 sp_servers_better(const struct sp_store_servers *v, int any, int at);
/* 1: `at` does not answer and another one would: what waits for it should stop waiting. */
int		 sp_servers_gave_up(const struct sp_store_servers *v, int any, int at);
/* 1: `at` only follows another server. */
int		 sp_servers_is_replica(const struct sp_store_servers *v, int at);
/* Connect to one server, until deadline_us or until it is given up. Gives *ret, for PQfinish; in why what went wrong. */
enum sp_err	 sp_servers_connect(struct sp_store_servers *v, int at, int any, uint64_t deadline_us, PGconn **ret, char *why,
		    size_t why_size) SP_MUST_USE;
/* A change of what gives power was committed at this place of the log, on the primary `at`. */
void		 sp_servers_committed(struct sp_store_servers *v, int at, uint64_t lsn);

#endif
