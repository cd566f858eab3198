/* src/scribe/press.c - see press.h. */
#include "scribe/press.h"

#include <stddef.h>
#include <sys/mman.h>

#define PAGE	4096u

struct sp_press *
sp_press_new(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void
sp_press_own(struct sp_press *p)
{
	if (p != NULL)
		(void)madvise(p, PAGE, MADV_DONTFORK);
}

void
sp_press_free(struct sp_press *p)
{
	if (p != NULL)
		(void)munmap(p, PAGE);
}
