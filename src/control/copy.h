/* src/control/copy.h - the copy of the audit log that leaves the house as syslog. See copy.c. */
#ifndef SP_CONTROL_COPY_H
#define SP_CONTROL_COPY_H

#include "control/ctl.h"

enum sp_err	copy_new(struct ctl *c, int audit_dir) SP_MUST_USE;	/* audit_dir: borrowed */
void		copy_free(struct ctl *c);
void		copy_peer(struct ctl *c);		/* there is a new courier: it asks again */
void		copy_ask(struct ctl *c, uint32_t corr, const Sallyport__CopyAsk *m);
void		copy_state(struct ctl *c, const Sallyport__CopyState *m);
void		copy_tick(struct ctl *c, uint64_t now_us);
json_t		*copy_json(struct ctl *c);		/* one object for each collector */
/* One line for the nth collector and whether all is well; 0: there is none. */
int		copy_doctor(struct ctl *c, size_t i, int *ret_ok, char *name, size_t name_n, char *text, size_t n);

#endif
