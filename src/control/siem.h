/* src/control/siem.h - entries and rules to siem, alerts from it. See siem.c. */
#ifndef SP_CONTROL_SIEM_H
#define SP_CONTROL_SIEM_H

#include "control/ctl.h"

enum sp_err	siem_new(struct ctl *c, int audit_dir) SP_MUST_USE;	/* audit_dir: borrowed */
void		siem_free(struct ctl *c);
void		siem_peer(struct ctl *c, int fd);	/* there is a new one; fd is taken */
void		siem_grown(struct ctl *c);		/* entries are durable */
void		siem_reload(struct ctl *c);		/* a detection changed */
void		siem_tick(struct ctl *c, uint64_t now_us);
json_t		*siem_json(const struct ctl *c);
/* One line, and whether all is well. */
void		siem_doctor(const struct ctl *c, int *ret_ok, char *text, size_t n);

#endif
