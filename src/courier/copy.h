/* src/courier/copy.h - the copy of the audit log to collectors. See copy.c. Process: courier. */
#ifndef SP_COURIER_COPY_H
#define SP_COURIER_COPY_H

#include "base/pool.h"
#include "common/child.h"
#include "sallyport.pb-c.h"

struct copies;
/* dirfd: of the outbox, borrowed for life; it keeps the cursors. */
enum sp_err	copies_new(struct sp_child *child, struct sp_pool *pool, int dirfd, struct copies **ret) SP_MUST_USE;
void		copies_free(struct copies *a);		/* NULL is fine */
void		copies_reload(struct copies *a);	/* the configuration changed */
void		copies_control(struct copies *a, struct sp_chan *control);	/* a new one, borrowed; NULL: it is gone */
void		copies_batch(struct copies *a, uint32_t corr, const Sallyport__CopyBatch *m);

#endif
