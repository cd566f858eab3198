/* src/control/servers.h - the database servers of the configuration, and what is said of their coming and going. */
#ifndef SP_CONTROL_SERVERS_H
#define SP_CONTROL_SERVERS_H

#include "control/ctl.h"

enum sp_err	 servers_new(struct ctl *c) SP_MUST_USE;	/* fills store_url and servers; before the lanes */
void		 servers_tick(struct ctl *c, uint64_t now_us);
void		 servers_free(struct ctl *c);			/* after the lanes */
json_t		*servers_json(const struct ctl *c);		/* a list; SQLite: empty. NULL: no memory */

#endif
