/* src/control/alarm.h - what operators must hear of leaves through the outbox. See alarm.c. */
#ifndef SP_CONTROL_ALARM_H
#define SP_CONTROL_ALARM_H

#include "control/ctl.h"

enum sp_err	alarm_new(struct ctl *c) SP_MUST_USE;		/* before the audit log is opened */
void		alarm_free(struct ctl *c);
/* An entry that was found in the log's tail at the start, or that has just become durable; line is borrowed. */
void		alarm_seen(struct ctl *c, const json_t *line);
int		alarm_is_one(const struct audit_entry *e);	/* is such an entry an alarm? Any thread */
void		alarm_store_ready(struct ctl *c);
void		alarm_courier_peer(struct ctl *c);		/* there is a new one: what it has not confirmed is sent again */
void		alarm_courier_done(struct ctl *c, const Sallyport__OutboxDone *d);
void		alarm_tick(struct ctl *c, uint64_t now_us);

#endif
