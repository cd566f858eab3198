/* tests/unit/lib/store/fixture.h - a fresh store for each test: SQLite in a directory of its own, or a database of its
 * own in a real PostgreSQL that the test program starts (unix socket only) and stops. */
#ifndef TESTS_STORE_FIXTURE_H
#define TESTS_STORE_FIXTURE_H

#include <sys/types.h>

#include "store/store.h"

struct fx_server {
	char	dir[64];	/* data and socket; "" when not running */
	char	bin[256];
	pid_t	pid;
};
struct fx {
	struct fx_server *pg;		/* NULL: SQLite */
	char		  dir[64];	/* SQLite's */
	char		  url[512];
	struct sp_store	 *s;
};

/* 0 or -1 with a message on stderr (missing programs included). The server dies with this process. */
int	fx_server_start(struct fx_server *p);
int	fx_server_boot(struct fx_server *p);	/* start again after fx_server_kill, same data */
void	fx_server_kill(struct fx_server *p);	/* SIGQUIT: connections drop */
void	fx_server_stop(struct fx_server *p);	/* and remove its files */
/* A new empty store, open and migrated, with a clock that the test owns. */
int	fx_open(struct fx *f, struct fx_server *pg);
void	fx_close(struct fx *f);
/* Of one test: a struct fx as its state, with the server that fx_with says (NULL: SQLite). */
int	fx_setup(void **state);
int	fx_teardown(void **state);
extern struct fx_server *fx_with;
/* Run SQL behind the store's back, main part: 0 or -1. */
int	fx_sql(struct fx *f, const char *sql);
void	fx_remove_tree(const char *dir);
extern _Atomic int64_t	fx_now_us;			/* what the store's clock says; rises by 1 each time */
int64_t	fx_clock(void);

#endif
