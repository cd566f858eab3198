/* src/control/deliver.h - what control knows of mail and webhooks: their secrets, and how far the courier is. See deliver.c. */
#ifndef SP_CONTROL_DELIVER_H
#define SP_CONTROL_DELIVER_H

#include "control/ctl.h"

enum sp_err	deliver_new(struct ctl *c) SP_MUST_USE;
void		deliver_free(struct ctl *c);
void		deliver_peer(struct ctl *c);		/* there is a new courier */
void		deliver_state(struct ctl *c, const Sallyport__DeliveryState *m);
void		deliver_secret_ask(struct ctl *c, const Sallyport__DeliverySecretAsk *m);
json_t		*deliver_json(const struct ctl *c);	/* one object for each receiver that the courier spoke of */

#endif
