/* src/control/changes.h - what a transaction does to rows, for the audit log: [{"table", "id", "before": {...}, "after": {...}}, ...], columns
 * that differ only; "before" is missing of a row that was made, "after" of one that went. Bounded: what is beyond is counted. Any thread,
 * one at a time. */
#ifndef SP_CONTROL_CHANGES_H
#define SP_CONTROL_CHANGES_H

#include <jansson.h>

#include "store/store.h"

#define CHANGES_BYTES	((size_t)48 * 1024)	/* of one entry, about */

struct changes {
	json_t	*rows;			/* owned; NULL: none */
	size_t	 bytes;
	uint64_t left_out;		/* columns that found no room */
	void	(*full)(void *arg);	/* before a row beyond CHANGES_BYTES: take what there is. NULL: the row is left out */
	void	*arg;
};

/* Observe the store, which tells c; c starts empty. */
void	 changes_begin(struct changes *c, struct sp_store *s);
/* No more. What was seen stays. */
void	 changes_end(struct sp_store *s);
/* What was seen since, as an array; NULL: nothing. Owned by the caller. *ret_left_out may be NULL. */
json_t	*changes_take(struct changes *c, uint64_t *ret_left_out);
void	 changes_drop(struct changes *c);

#endif
