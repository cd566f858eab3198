/* lib/base/list.h - intrusive doubly linked list. A node is in at most one list; the list owns nothing.
 * A removed node points to itself, so that removing twice is harmless. */
#ifndef SP_BASE_LIST_H
#define SP_BASE_LIST_H

#include "attr.h"

struct sp_list {
	struct sp_list	*next, *prev;
};

static inline void sp_list_init(struct sp_list *l) { l->next = l->prev = l; }
static inline int sp_list_empty(const struct sp_list *l) { return l->next == l; }

static inline void
sp_list_add_tail(struct sp_list *head, struct sp_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

static inline void
sp_list_remove(struct sp_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	sp_list_init(n);
}

/* The body may remove the current node. */
#define sp_list_each(it, head) \
	for (struct sp_list *it = (head)->next, *sp__n_##it = it->next; it != (head); it = sp__n_##it, sp__n_##it = it->next)

#endif
