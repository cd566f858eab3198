/* src/control/filelog.h - events of kind "file" in the index: what `file search` finds. Any thread; the store is the caller's. */
#ifndef SP_CONTROL_FILELOG_H
#define SP_CONTROL_FILELOG_H

#include "store/store.h"

/* Put an event where it belongs: what was done to files first, so that an event that is there has its row. */
enum sp_err	filelog_event_put(struct sp_store *s, const struct sp_store_event *e) SP_MUST_USE;

#endif
