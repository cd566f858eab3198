/* src/monitor/monitor.h - the state of the monitor, passed to every file of this folder.
 * Everything that a new instance would need to take over is in struct mon: children, live connections, sockets. */
#ifndef SP_MONITOR_H
#define SP_MONITOR_H

#include <sys/types.h>

#include "base/htab.h"
#include "base/list.h"
#include "base/loop.h"
#include "base/str.h"
#include "common/config.h"
#include "ipc/chan.h"

#define MON_REASON	512	/* bytes of a kill reason, longer ones are cut */
#define MON_NAME	256	/* bytes of a name in a label */
#define MON_LIBEXEC	8	/* directories to look for executables in */
#define MON_HOSTKEYS	3

enum mon_phase {
	MON_RUN,	/* ordinary */
	MON_DRAIN,	/* no new connections, live ones may end by themselves */
	MON_CUT,	/* live ones are being ended; scribes finish */
	MON_STOP,	/* children are asked to go */
};
struct mon_proc {
	struct mon	*m;
	enum sp_proc	 what;
	pid_t		 pid;		/* 0: not running */
	int		 pidfd;
	struct sp_chan	*chan;
	struct sp_timer	*again;		/* armed while waiting to be started again */
	uint64_t	 started_us;
	unsigned	 deaths;	/* in a row, each soon after its start */
	int		 ready, ever;	/* READY arrived; was started before */
	int		 renew;		/* was asked to go so that a fresh one takes its place */
	int		 missing;	/* no executable: said once */
	int		 held;		/* is not started before mon_proc_unhold */
};
struct mon_upgrade {	/* SIGUSR2: upgrade.c */
	struct sp_timer	*timer;
	pid_t		 probe;		/* the new program reads our state, to see whether it could take over; 0: none */
	int		 asked;		/* again, while one was under way */
	unsigned	 step;		/* of replacing the children; 0: none */
	int		 begun;		/* the order of this step is given */
	uint64_t	 deadline_us;	/* of this step */
};
enum mon_dir { MON_STORE, MON_VAULT, MON_AUDIT, MON_RECORDINGS, MON_SPOOL, MON_OUTBOX, MON_KEYS, MON_SNAPSHOT, MON_SIEM, MON_DIRS };
struct mon {
	struct sp_loop		*loop;
	struct sp_config	 conf;
	char			*conf_text;		/* what conf was parsed from */
	const char		*conf_path;
	int			 conf_optional;		/* the default path: may be missing */
	char			 exe[SP_CONF_TEXT];	/* our own path, as it was when we were started */
	const char		*libexec_text;		/* as given with -l, or NULL */
	char			*libexec[MON_LIBEXEC];
	int			 n_libexec;
	struct sp_uuid		 boot_id;
	enum mon_phase		 phase;
	struct sp_timer		*phase_timer;
	int			 announced;		/* READY was told to the service manager */
	struct mon_upgrade	 upgrade;
	struct mon_proc		 proc[SP_PROC_N];
	/* live connections and scribes: conns*.c */
	struct sp_htab		 conns, scribes;
	struct sp_list		 conn_list, orphans;	/* orphans: scribes whose connection is gone */
	struct sp_list		 gone;			/* notices for control, kept until they are surely read */
	size_t			 n_gone;
	struct sp_list		 shells;		/* shells.c */
	size_t			 n_shells;
	unsigned		 born_n;		/* sessions forked by the present zygote */
	/* sockets and directories */
	int			 listen_fd[SP_CONF_LIST];
	size_t			 n_listen;
	int			 admin_fd;		/* run_dir/control.sock, listening, for control */
	int			 ask_fd;		/* run_dir/monitor.sock */
	struct sp_source	*ask_source;
	struct sp_list		 ask_clients;
	size_t			 n_ask_clients;
	int			 state_fd, dir_fd[MON_DIRS];
	char			 hostkey[MON_HOSTKEYS][SP_CONF_TEXT + 32];
};

/* proc.c */
void		 mon_procs_init(struct mon *m);
void		 mon_procs_start(struct mon *m);
void		 mon_procs_release(struct mon *m);
int		 mon_procs_reaped(struct mon *m, pid_t pid, int status);	/* 1 if it was one of ours */
int		 mon_procs_alive(const struct mon *m);
void		 mon_proc_renew(struct mon *m, enum sp_proc what);	/* replace it by a fresh instance */
/* Ask it to go within grace_us and leave it away until unhold. */
void		 mon_proc_hold(struct mon *m, enum sp_proc what, uint64_t grace_us);
void		 mon_proc_unhold(struct mon *m, enum sp_proc what);
int		 mon_proc_fresh(const struct mon *m, enum sp_proc what);	/* the replaced one is gone, the new one is ready */
void		 mon_procs_reload(struct mon *m);
void		 mon_proc_shutdown(struct mon *m, enum sp_proc what, uint64_t grace_us);
void		 mon_procs_kill(struct mon *m);
/* Sends body to a child; descriptors are taken in any case. SP_ECLOSED while it is away. */
enum sp_err	 mon_tell(struct mon *m, enum sp_proc what, uint16_t id, const void *body, int *fds, int nfds) SP_MUST_USE;
/* Where the executable of a process is; nonzero if nowhere. */
int		 mon_exe_find(const struct mon *m, enum sp_proc what, char *dst, size_t size);
/* In a forked child: become it, with these descriptors from SP_CHILD_FD on. Does not come back. */
void		 mon_exec(const char *path, const char *name, const int *fds, int nfds);
void		 mon_announce(struct mon *m);	/* main.c: called when every child is ready */
void		 mon_ended(struct mon *m);	/* main.c: called when a connection or scribe is no more */
const char	*mon_status_text(int wait_status, char *dst, size_t size);

/* conns.c, conns_kill.c */
enum sp_err	 mon_conns_init(struct mon *m) SP_MUST_USE;
void		 mon_conns_release(struct mon *m);
/* Messages of zygote, scribe parent and control about connections. SP_EFORMAT and the like: the sender lies. */
enum sp_err	 mon_conns_message(struct mon *m, enum sp_proc from, struct sp_msg *msg) SP_MUST_USE;
void		 mon_conns_back(struct mon *m, enum sp_proc what);	/* control, vault or scribe parent is there again */
int		 mon_conns_reaped(struct mon *m, pid_t pid, int status);
size_t		 mon_conns_n(const struct mon *m);
size_t		 mon_scribes_n(const struct mon *m);
void		 mon_conns_kill_all(struct mon *m, const char *reason, const char *by);
/* Kill the session (or the connection) with that id. SP_ENOENT. */
enum sp_err	 mon_kill_id(struct mon *m, const struct sp_uuid *id, const char *reason, const char *by) SP_MUST_USE;
struct mon_row {	/* one live session, for a listing; texts are borrowed for the call */
	struct sp_uuid	 id;
	const char	*user, *asset, *account, *protocol, *source;
	int64_t		 started_wall_us;
};
void		 mon_sessions_each(struct mon *m, void (*fn)(const struct mon_row *, void *), void *arg);

/* shells.c: command lines that run for a connection. A new instance of this program does not take them over: they end by
 * themselves when their descriptors close. */
enum sp_err	 mon_shell_spawn(struct mon *m, const struct sp_uuid *conn_id, struct sp_msg *msg) SP_MUST_USE;
void		 mon_shells_end(struct mon *m, const struct sp_uuid *conn_id);	/* NULL: all */
int		 mon_shells_reaped(struct mon *m, pid_t pid, int status);
void		 mon_shells_release(struct mon *m);

/* upgrade.c */
enum sp_err	 mon_upgrade_init(struct mon *m) SP_MUST_USE;
void		 mon_upgrade(struct mon *m);			/* SIGUSR2 */
int		 mon_upgrade_reaped(struct mon *m, pid_t pid, int status);	/* 1 if it was the probe */
void		 mon_upgrade_step(struct mon *m);		/* a child is ready or gone */
void		 mon_upgrade_children(struct mon *m);		/* start to replace them, after a take-over */

/* dirs.c, listen.c, hostkeys.c, ask.c, notify.c */
enum sp_err	 mon_dirs_make(struct mon *m, char *why, size_t n) SP_MUST_USE;
void		 mon_dirs_release(struct mon *m);
/* Descriptors for BOOT of one child: at most SP_MSG_FDS, given; names are static or in the buffers of ret. */
struct mon_fds {
	int	 fd[SP_MSG_FDS];
	char	 name[SP_MSG_FDS][32];
	int	 n;
};
void		 mon_boot_fds(struct mon *m, enum sp_proc what, struct mon_fds *ret);
enum sp_err	 mon_listen_open(struct mon *m, const struct sp_config *conf, const char *text, char *why,
		    size_t n) SP_MUST_USE;
int		 mon_listen_same(const struct sp_config *a, const struct sp_config *b);
void		 mon_listen_close(struct mon *m);
enum sp_err	 mon_hostkeys_make(struct mon *m, char *why, size_t n) SP_MUST_USE;
enum sp_err	 mon_ask_open(struct mon *m, char *why, size_t n) SP_MUST_USE;
void		 mon_ask_close(struct mon *m);
void		 mon_notify(const char *text);	/* to the service manager; nothing without NOTIFY_SOCKET */
void		 mon_notify_reloading(void);	/* until the next READY=1 */
void		 mon_notify_ready(void);

#endif
