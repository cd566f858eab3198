/* src/siem/memory.h - what the rules counted, and up to which entry, on disk. See memory.c. */
#ifndef SP_SIEM_MEMORY_H
#define SP_SIEM_MEMORY_H

#include <stdint.h>

#include "base/buf.h"

#define MEMORY_MAX	((size_t)1 << 30)

/* SP_ENOENT: there is none. SP_EFORMAT: it is not what was written. */
enum sp_err	memory_read(int dirfd, uint64_t *ret_upto, struct sp_buf *ret) SP_MUST_USE;
enum sp_err	memory_write(int dirfd, uint64_t upto, const struct sp_buf *b) SP_MUST_USE;

#endif
