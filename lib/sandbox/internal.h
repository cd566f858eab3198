/* lib/sandbox/internal.h - the two halves behind sandbox.h. */
#ifndef SP_SANDBOX_INTERNAL_H
#define SP_SANDBOX_INTERNAL_H

#include <linux/filter.h>

#include "sandbox/sandbox.h"

/* Sanitizers map memory, open /proc and trace themselves at exit: only what they survive is put in force then. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SP_SANDBOX_REDUCED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SP_SANDBOX_REDUCED 1
#endif
#endif
#ifndef SP_SANDBOX_REDUCED
#define SP_SANDBOX_REDUCED 0
#endif

/* A ruleset descriptor for the paths of s, made while they can still be opened; -1: Landlock is not there (SP_OK).
 * ret_abi: the version of the kernel, 0 if none. */
enum sp_err	sp_landlock_prepare(const struct sp_sandbox *s, int *ret_fd, int *ret_abi) SP_MUST_USE;
enum sp_err	sp_landlock_enter(int fd) SP_MUST_USE;	/* fd: borrowed */
/* A filter for what `may` allows, for any process: the only thing in it that differs between two processes, the pid, is
 * put in by sp_seccomp_load(). */
struct sp_seccomp {
	struct sock_filter	*insn;
	unsigned short		 n;
	int			 calls_n;	/* calls that it allows; in a reduced one: that it refuses */
};
enum sp_err	sp_seccomp_compile(unsigned may, struct sp_seccomp *ret) SP_MUST_USE;
void		sp_seccomp_release(struct sp_seccomp *f);
/* Into every thread of this process. SP_EUNAVAIL if the kernel has no seccomp filters. */
enum sp_err	sp_seccomp_load(const struct sp_seccomp *f) SP_MUST_USE;

#endif
