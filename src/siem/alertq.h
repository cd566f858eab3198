/* src/siem/alertq.h - alerts that control did not take yet, oldest first. Process: siem.
 *
 * One batch of entries may raise more alerts than a channel holds: somebody who knows the rules writes commands that fit all of them.
 * Invariants: (1) at most ALERTQ_SAID are said and not taken; the rest wait here. (2) An alert leaves when control took it itself. */
#ifndef SP_SIEM_ALERTQ_H
#define SP_SIEM_ALERTQ_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define ALERTQ_SAID	64u

struct open_alert {
	struct sp_list	 link;
	uint64_t	 number;
	int		 said;		/* to the control that is there now */
	size_t		 len;
	uint8_t		 packed[];
};
struct alertq {
	struct sp_list	 all;
	size_t		 said;
};

void		 alertq_init(struct alertq *q);
void		 alertq_release(struct alertq *q);
struct open_alert *alertq_add(struct alertq *q, uint64_t number, size_t len);	/* the newest; packed is to be filled. NULL: no memory */
const struct open_alert *alertq_next(struct alertq *q);	/* to be said now, and counted as said; NULL: none, or enough are said */
void		 alertq_taken(struct alertq *q, uint64_t number);
void		 alertq_again(struct alertq *q);	/* another control: none was said to it */
int		 alertq_is_empty(const struct alertq *q);

#endif
