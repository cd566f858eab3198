/* src/ctl/via.h - a call of the bastion from another machine: over ssh, as whoever --via names (options `via`, `ssh-option`). */
#ifndef SP_CTL_VIA_H
#define SP_CTL_VIA_H

#include "ctl/call.h"

#define CTL_VIA_OPTS \
	{ "via", CTL_STR, .value = "USER@HOST", .flags = CTL_LOCAL, .help = "ask over ssh, as an auditor of the bastion" }, \
	{ "ssh-option", CTL_LIST, .value = "OPTION", .flags = CTL_LOCAL, .help = "for ssh: -o OPTION; repeatable" }

/* Without --via: the method, of the control on this machine. With it: these words as a command line there, which must make the
 * same call and print JSON; they end with NULL, and none has a blank in it. Shows its errors. */
enum sp_err	ctl_via(struct ctl *c, const char *method, json_t *params, const char *const *words, json_t **ret) SP_MUST_USE;

#endif
