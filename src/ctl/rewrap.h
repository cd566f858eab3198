/* src/ctl/rewrap.h - sallyport recording rewrap. */
#ifndef SP_CTL_REWRAP_H
#define SP_CTL_REWRAP_H

#include "ctl/cmd.h"

extern const struct ctl_opt ctl_rewrap_args[], ctl_rewrap_opts[];
enum sp_err	ctl_rewrap(struct ctl *c) SP_MUST_USE;

#endif
