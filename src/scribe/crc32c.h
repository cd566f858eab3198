/* src/scribe/crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds torn and damaged records. Not a seal: who can
 * write the file can make it fit. Pure. */
#ifndef SP_SCRIBE_CRC32C_H
#define SP_SCRIBE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continue from crc (0 to begin). */
uint32_t	sp_crc32c(uint32_t crc, const void *p, size_t n);

#endif
