/* src/courier/deliver.h - items of the outbox to their receivers: mail and webhooks. See deliver.c. Process: courier. */
#ifndef SP_COURIER_DELIVER_H
#define SP_COURIER_DELIVER_H

#include "common/child.h"
#include "courier/outbox.h"
#include "sallyport.pb-c.h"

struct deliveries;
/* dirfd and outbox: borrowed for life. To be called after the sandbox was entered: threads are started. */
enum sp_err	deliveries_new(struct sp_child *child, int dirfd, struct sp_outbox *outbox, struct deliveries **ret) SP_MUST_USE;
void		deliveries_free(struct deliveries *a);		/* waits for what is being sent; NULL is fine */
void		deliveries_reload(struct deliveries *a);
void		deliveries_retry(struct deliveries *a);		/* somebody waits: try now what is to be tried later */
void		deliveries_control(struct deliveries *a, struct sp_chan *control);	/* borrowed; NULL: it is gone */
void		deliveries_secret(struct deliveries *a, const Sallyport__DeliverySecret *m);

#endif
