/* src/control/offense.h - what follows when a rule fired: an alert, its offense, responses. See offense.c. */
#ifndef SP_CONTROL_OFFENSE_H
#define SP_CONTROL_OFFENSE_H

#include "control/ctl.h"
#include "control/detect.h"

struct alert {				/* a rule fired */
	char			name[SP_STORE_NAME_MAX + 1];	/* of the detection, with the line for its second rule on */
	struct detect_rule	rule;
	int64_t			entry, at_us;
	char			property[64 + 1], value[SP_STORE_NAME_MAX + 1];	/* "": it is about nothing */
	char			events[SP_STORE_VALUE_MAX + 1];
};
/* Into the store, with all that follows; taken(arg) in the loop once it is there, and live sessions are cut. Tried until it is. */
void		offense_take(struct ctl *c, const struct alert *a, void (*taken)(void *arg), void *arg);
void		offense_tick(struct ctl *c, uint64_t now_us);
enum sp_err	offense_new(struct ctl *c) SP_MUST_USE;
void		offense_free(struct ctl *c);
/* Carry out a response that waited for somebody's word. u and r are changed; SP_EDENIED: it may not be, why says so. Any thread,
 * in a transaction; the caller tells the loop of u's epoch. */
enum sp_err	offense_respond(struct sp_store *s, struct sp_store_user *u, struct sp_store_response *r) SP_MUST_USE;

#endif
