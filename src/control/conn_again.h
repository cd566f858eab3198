/* src/control/conn_again.h - the parts of a connection's start that conn.c and conn_again.c share. */
#ifndef SP_CONTROL_CONN_AGAIN_H
#define SP_CONTROL_CONN_AGAIN_H

#include "control/ctl.h"

/* A session that is older than this control says who it is: check against the audit log and the store, then go on or kill. */
void	conn_again(struct conn *cn, const Sallyport__Hello *h);
void	conn_welcome(struct conn *cn);
void	conn_release_held(struct conn *cn);	/* handle what arrived meanwhile */

#endif
