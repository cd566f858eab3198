/* src/control/confdiff.h - settings for the audit log: which ones a reload changed, and which ones are not at their defaults. Of an
 * address with a user, a password or a path in it (store, webhook) only scheme, host and the beginning of a SHA-256 are told. Pure. */
#ifndef SP_CONTROL_CONFDIFF_H
#define SP_CONTROL_CONFDIFF_H

#include <jansson.h>

#include "common/config.h"

/* [{"setting", "before", "after"}, ...] in the order of the table; NULL: nothing differs. Owned. */
json_t	*confdiff(const struct sp_config *before, const struct sp_config *after);
/* The same against the defaults, without "before". */
json_t	*confdiff_defaults(const struct sp_config *now);

#endif
