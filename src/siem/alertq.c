/* src/siem/alertq.c - see alertq.h. Process: siem. */
#include "siem/alertq.h"

#include <stdlib.h>

void
alertq_init(struct alertq *q)
{
	*q = (struct alertq){ .said = 0 };
	sp_list_init(&q->all);
}

static void
drop(struct alertq *q, struct open_alert *a)
{
	q->said -= a->said != 0;
	sp_list_remove(&a->link);
	free(a);
}

void
alertq_release(struct alertq *q)
{
	while (!sp_list_empty(&q->all))
		drop(q, sp_container(q->all.next, struct open_alert, link));
}

struct open_alert *
alertq_add(struct alertq *q, uint64_t number, size_t len)
{
	struct open_alert *a = malloc(sizeof(*a) + len);

	if (a == NULL)
		return NULL;
	a->number = number;
	a->said = 0;
	a->len = len;
	sp_list_init(&a->link);
	sp_list_add_tail(&q->all, &a->link);
	return a;
}

/* Those that are said stand in front, so the search is short. */
const struct open_alert *
alertq_next(struct alertq *q)
{
	if (q->said >= ALERTQ_SAID)
		return NULL;
	for (struct sp_list *l = q->all.next; l != &q->all; l = l->next) {
		struct open_alert *a = sp_container(l, struct open_alert, link);

		if (a->said)
			continue;
		a->said = 1;
		q->said++;
		return a;
	}
	return NULL;
}

void
alertq_taken(struct alertq *q, uint64_t number)
{
	for (struct sp_list *l = q->all.next; l != &q->all; l = l->next) {
		struct open_alert *a = sp_container(l, struct open_alert, link);

		if (!a->said)
			return;
		if (a->number == number) {
			drop(q, a);
			return;
		}
	}
}

void
alertq_again(struct alertq *q)
{
	for (struct sp_list *l = q->all.next; l != &q->all; l = l->next)
		sp_container(l, struct open_alert, link)->said = 0;
	q->said = 0;
}

int
alertq_is_empty(const struct alertq *q)
{
	return sp_list_empty(&q->all);
}
