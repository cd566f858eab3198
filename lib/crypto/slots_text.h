/* lib/crypto/slots_text.h - what slots.c and slots_text.c share; not for others. */
#ifndef SP_CRYPTO_SLOTS_TEXT_H
#define SP_CRYPTO_SLOTS_TEXT_H

#include "crypto/hash.h"
#include "crypto/slots.h"

/* All lines above "mac". */
enum sp_err	sp_slots_format_body(const struct sp_slots *f, struct sp_buf *ret) SP_MUST_USE;
/* Associated data of a wrapped key: purpose, vault, generation, number. */
enum sp_err	sp_slots_place(const struct sp_slots *f, const char *place, uint32_t no, struct sp_buf *ret) SP_MUST_USE;

#endif
