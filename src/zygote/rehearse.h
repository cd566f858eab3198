/* rehearse.h - what every session would do first is done once before the fork: one login with ourselves per cipher, over a
 * socket pair. Process: zygote, before its sandbox. The TLS library looks each algorithm up at its first use and keeps what it
 * found; done here, sessions share the result instead of repeating it (docs/adr/0012-rehearsal.md). */
#ifndef SP_ZYGOTE_REHEARSE_H
#define SP_ZYGOTE_REHEARSE_H

#include "base/attr.h"
#include "base/err.h"

struct sp_config;
struct sp_leg_keys;

/* Leaves nothing behind but caches. SP_ESTATE: a login with these host keys and algorithms does not come about. */
enum sp_err	rehearse(const struct sp_config *conf, struct sp_leg_keys *keys) SP_MUST_USE;

#endif
