/* src/courier/cursor.h - how far a destination has been served, kept over restarts: "cursor-<hash of its name>" in the outbox
 * directory, "NUMBER NAME\n", replaced as a whole. Process: courier. */
#ifndef SP_COURIER_CURSOR_H
#define SP_COURIER_CURSOR_H

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* SP_ENOENT: there is none (or one of another name); SP_EFORMAT: not one of ours. */
enum sp_err	cursor_read(int dirfd, const char *name, uint64_t *ret) SP_MUST_USE;
/* Durable when it returns SP_OK. The old one stays otherwise. */
enum sp_err	cursor_write(int dirfd, const char *name, uint64_t at) SP_MUST_USE;

#endif
