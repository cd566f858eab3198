/* src/control/logtail.h - entries of the audit log in order, from any number on, as far as they are durable. Process: control,
 * one reader in one worker thread at a time. Keeps its place, so going on costs one read. */
#ifndef SP_CONTROL_LOGTAIL_H
#define SP_CONTROL_LOGTAIL_H

#include <jansson.h>

#include "common/logdir.h"

struct logtail {
	int		 dirfd;		/* owned */
	int		 is_open;
	struct logread	 read;
};

enum sp_err	logtail_init(struct logtail *t, int dirfd) SP_MUST_USE;	/* dirfd: borrowed, duplicated */
void		logtail_release(struct logtail *t);
/* Entry number seq, which is durable, as far as it can be opened. *ret is the caller's. SP_ENOENT: no segment has it; SP_ECORRUPT. */
enum sp_err	logtail_get(struct logtail *t, uint64_t seq, json_t **ret) SP_MUST_USE;

#endif
