/* lib/sandbox/internal.h - the two halves behind sandbox.h. */
#ifndef SP_SANDBOX_INTERNAL_H
#define SP_SANDBOX_INTERNAL_H

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
/* Load the filter for s->may into every thread; ret_n: calls allowed. SP_EUNAVAIL if the kernel has no seccomp filters. */
enum sp_err	sp_seccomp_enter(unsigned may, int *ret_n) SP_MUST_USE;

#endif
