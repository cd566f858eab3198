/* src/common/child.h - what every process started by the monitor has in common: the channel on descriptor 3, the
 * configuration, named descriptors, sandbox, orderly end when the monitor goes away. */
#ifndef SP_COMMON_CHILD_H
#define SP_COMMON_CHILD_H

#include "base/loop.h"
#include "base/str.h"
#include "common/config.h"
#include "ipc/chan.h"
#include "sandbox/sandbox.h"

struct Sallyport__Peer;

#define SP_CHILD_FD	3	/* the monitor's end is inherited here */

struct sp_child;
struct sp_child_ops {
	/* A socketpair end to another process arrived (PEER). fd is given. Identity is p->kind, p->conn_id, p->session_id. */
	void	(*peer)(struct sp_child *, const struct Sallyport__Peer *p, int fd);
	/* A new configuration was put in child->conf (already parsed). May be NULL. */
	void	(*reload)(struct sp_child *);
	/* The monitor asks to finish within grace_us. NULL: stop the loop at once. */
	void	(*shutdown)(struct sp_child *, uint64_t grace_us);
	/* Any other message from the monitor. NULL: ignored. */
	void	(*message)(struct sp_child *, struct sp_msg *m);
};
struct sp_child {
	enum sp_proc		 self;
	struct sp_loop		*loop;
	struct sp_chan		*monitor;
	struct sp_config	 conf;
	const struct sp_child_ops *ops;
	void			*arg;		/* the process's own state */
	uint8_t			 boot_id[16];
	int			 restarted;
	struct { char name[64]; int fd; } fd[SP_MSG_FDS];
	int			 n_fds;
};

/* Blocks until BOOT arrived on descriptor 3; then the loop, log, configuration and descriptors are ready. Exits the
 * process with a message on failure. The structure is the caller's, usually static in main.c. */
void	sp_child_init(struct sp_child *c, enum sp_proc self, const struct sp_child_ops *ops, void *arg);
int	sp_child_take_fd(struct sp_child *c, const char *name);	/* -1 if there is none; the descriptor is the caller's */
/* Enter the sandbox, tell the monitor READY with what is in force, log it. Exits the process on failure. */
void	sp_child_ready(struct sp_child *c, const struct sp_sandbox *box);
/* Runs the loop until shutdown or until the monitor is gone; returns the exit status. */
int	sp_child_run(struct sp_child *c);

#endif
