/* lib/rules/arena.h - memory that is freed all at once: a set of rules lives in one. Zeroed; nothing is freed singly. */
#ifndef SP_RULES_ARENA_H
#define SP_RULES_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
	struct arena_chunk	*head;
	size_t			 bytes;		/* handed out */
};

void	*arena_alloc(struct arena *a, size_t n);		/* zeroed, aligned to 16; NULL: no memory */
char	*arena_strndup(struct arena *a, const void *p, size_t n);	/* with a NUL */
/* Room for one more in an array of n elements that was grown by this only. Returns the array (maybe moved), NULL: no memory. */
void	*arena_grow(struct arena *a, void *array, size_t n, size_t size);
void	 arena_release(struct arena *a);

#endif
