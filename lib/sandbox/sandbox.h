/* lib/sandbox/sandbox.h - one call after start-up that takes away what a process does not need.
 * Invariants: a part that the kernel or the rights of an ordinary user do not allow is named in `in_force`; a part that
 * should have worked is an error; there is no way back. Order inside: rlimits, user switch (root only), no_new_privs,
 * dumpable 0, Landlock, seccomp. To be called while the process has one thread. */
#ifndef SP_SANDBOX_H
#define SP_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum sp_sandbox_may {		/* beyond read, write, poll, memory, time, and passing descriptors on inherited sockets */
	SP_MAY_ACCEPT	= 1 << 0,	/* accept4 on inherited listening sockets */
	SP_MAY_CONNECT	= 1 << 1,	/* socket and connect to the network, name resolution */
	SP_MAY_FORK	= 1 << 2,	/* fork, wait, pidfd_open */
	SP_MAY_FILES	= 1 << 3,	/* open, rename, unlink below the paths given */
	SP_MAY_THREADS	= 1 << 4,
	SP_MAY_SQL	= 1 << 5,	/* what SQLite and libpq need: file locks, mmap of files, local and network sockets */
	SP_MAY_EXEC	= 1 << 6,	/* programs below the paths of ro */
	SP_MAY_SOCKETPAIR = 1 << 7,
	SP_MAY_KILL	= 1 << 8,	/* pidfd_send_signal, kill */
};
struct sp_sandbox {
	unsigned	 may;		/* enum sp_sandbox_may */
	const char	*user;		/* become this user when root and it exists; "" or "root": stay */
	const char	*const *rw;	/* NULL-terminated absolute paths for SP_MAY_FILES */
	const char	*const *ro;	/* the same, to read only */
	uint64_t	 files_n;	/* RLIMIT_NOFILE; 0: leave */
	uint64_t	 memlock_bytes;	/* RLIMIT_MEMLOCK to ask for; 0: leave */
	uint64_t	 memory_bytes;	/* RLIMIT_AS; 0: leave */
};

/* in_force receives one line for people, e.g. "user sallyport-net, no new privileges, seccomp (57 calls), landlock (no
 * files), no core". Parts that the kernel lacks read "landlock unavailable". On failure it names the part, and the error says
 * what the system answered. */
enum sp_err	sp_sandbox_enter(const struct sp_sandbox *s, char *in_force, size_t size) SP_MUST_USE;

/* For a process that forks children into one sandbox each: the costly half is done once, before the first fork (and before
 * the parent's own sandbox). docs/adr/0011-prebuilt-filters.md. */
struct sp_sandbox_plan;
/* s is copied, the strings in it are borrowed. s->user must be "" : a forked child is who its parent is (SP_EINVAL). */
enum sp_err	sp_sandbox_plan_new(const struct sp_sandbox *s, struct sp_sandbox_plan **ret) SP_MUST_USE;
void		sp_sandbox_plan_free(struct sp_sandbox_plan *p);
/* In the child, as sp_sandbox_enter(). ret_step: which part failed; a static string. */
enum sp_err	sp_sandbox_enter_plan(const struct sp_sandbox_plan *p, const char **ret_step) SP_MUST_USE;

#endif
