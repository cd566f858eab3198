/* lib/base/file.h - descriptors of files. */
#ifndef SP_BASE_FILE_H
#define SP_BASE_FILE_H

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

/* Write all of it, over signals and short writes; p is borrowed, fd blocks. On failure some of it may be written. */
enum sp_err	sp_write_all(int fd, const void *p, size_t n) SP_MUST_USE;

#endif
