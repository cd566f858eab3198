/* src/courier/internal.h - between copyform.c, jumpserver.c and shorten.c. */
#ifndef SP_COURIER_INTERNAL_H
#define SP_COURIER_INTERNAL_H

#include <jansson.h>

#include "base/attr.h"
#include "base/err.h"
#include "courier/copyform.h"

/* The record's object in JumpServer's form, the caller's, and its category (static). NULL: this entry has none there. */
json_t		*jumpserver_record(const struct copy_form *f, const json_t *entry, const json_t *ctx, const char **ret_category);
/* The text of o, at most `room` bytes (0: any): what is too long in it is cut, members named "output" first, and says so. o is
 * changed. *ret is the caller's. SP_ESIZE: not even without its texts. */
enum sp_err	 copy_fit(json_t *o, size_t room, size_t json_flags, char **ret) SP_MUST_USE;

#endif
