/* lib/base/clock.h - the two clocks. Inside, time is CLOCK_BOOTTIME microseconds; UTC only at the edge.
 * Library functions take `now` as an argument, so that tests own the clock; processes read it here. */
#ifndef SP_BASE_CLOCK_H
#define SP_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "attr.h"

#define SP_US_PER_S	UINT64_C(1000000)
#define SP_US_PER_MS	UINT64_C(1000)

uint64_t	sp_now_us(void);		/* CLOCK_BOOTTIME, microseconds */
int64_t		sp_wall_us(void);		/* CLOCK_REALTIME, microseconds since 1970 UTC */
#define SP_RFC3339_SIZE	32
/* "2026-09-01T12:00:00.123456Z" into dst (>= SP_RFC3339_SIZE); returns dst. Out-of-range years read "invalid-time". */
char		*sp_rfc3339(int64_t wall_us, char *dst, size_t size);
/* Strict RFC 3339 with Z or an offset, or a plain date "2026-09-01" (midnight UTC). SP_EFORMAT. */
enum sp_err	 sp_rfc3339_parse(const char *s, int64_t *ret_wall_us) SP_MUST_USE;
/* "90", "90s", "15m", "4h", "7d": seconds by default. SP_EFORMAT, SP_ESIZE beyond 100 years. */
enum sp_err	 sp_duration_parse(const char *s, uint64_t *ret_us) SP_MUST_USE;

#endif
