/* lib/rules/arena.c - memory that is freed all at once. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rules/arena.h"

#define CHUNK	((size_t)64 << 10)

struct arena_chunk {
	struct arena_chunk	*next;
	size_t			 used, size;
	_Alignas(16) char	 data[];
};

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_chunk *c = a->head;
	void *p;

	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + 15) & ~(size_t)15;
	if (c == NULL || c->size - c->used < n) {
		size_t size = n > CHUNK ? n : CHUNK;

		if ((c = calloc(1, sizeof(*c) + size)) == NULL)
			return NULL;
		c->size = size;
		if (n > CHUNK / 4 && a->head != NULL) {	/* a large one of its own: keep filling the other */
			c->next = a->head->next;
			a->head->next = c;
		} else {
			c->next = a->head;
			a->head = c;
		}
	}
	p = c->data + c->used;
	c->used += n;
	a->bytes += n;
	return p;
}

char *
arena_strndup(struct arena *a, const void *p, size_t n)
{
	char *s = arena_alloc(a, n + 1);

	if (s != NULL && n > 0)
		memcpy(s, p, n);
	return s;
}

void *
arena_grow(struct arena *a, void *array, size_t n, size_t size)
{
	void *p;

	if (array != NULL && (n < 4 || (n & (n - 1)) != 0))
		return array;
	if ((p = arena_alloc(a, (n < 4 ? 4 : n * 2) * size)) != NULL && n > 0)
		memcpy(p, array, n * size);
	return p;
}

void
arena_release(struct arena *a)
{
	for (struct arena_chunk *c = a->head, *next; c != NULL; c = next) {
		next = c->next;
		free(c);
	}
	*a = (struct arena){ 0 };
}
