/* lib/base/attr.h - compiler attributes and the ownership helpers that every file uses.
 * Invariant: sp_auto(fn) runs fn(&variable) at scope exit; sp_steal() moves a pointer out of such a variable. */
#ifndef SP_BASE_ATTR_H
#define SP_BASE_ATTR_H

#include <stddef.h>

#define SP_MUST_USE	__attribute__((warn_unused_result))
#define SP_PRINTF(a, b)	__attribute__((format(printf, a, b)))
#define SP_NORETURN	__attribute__((noreturn))
#define sp_auto(fn)	__attribute__((cleanup(fn)))

#define SP_NELEMS(a)	(sizeof(a) / sizeof((a)[0]))
#define sp_container(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Move the value out of *p, leaving NULL (or -1) behind, so that its cleanup does nothing. */
#define sp_steal(p) __extension__ ({ __typeof__(*(p)) sp__v = *(p); *(p) = NULL; sp__v; })
static inline int
sp_steal_fd(int *p)
{
	int fd = *p;

	*p = -1;
	return fd;
}

void	sp_closep(int *fd);	/* close if >= 0, leave -1 */
void	sp_freep(void *p);	/* free *(void **)p, leave NULL */

#endif
