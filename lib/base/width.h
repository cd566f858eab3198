/* lib/base/width.h - columns of a character on a terminal, without asking the locale: the same answer everywhere. Pure. */
#ifndef SP_BASE_WIDTH_H
#define SP_BASE_WIDTH_H

#include <stdint.h>

/* 0 (combining), 1 or 2. Control characters count as 1: the caller has dealt with them. */
unsigned	sp_width(uint32_t cp);

#endif
