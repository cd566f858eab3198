/* src/ctl/own.h - what the words about oneself (own.c) share with `sallyport user`. */
#ifndef SP_CTL_OWN_H
#define SP_CTL_OWN_H

#include "ctl/cmd.h"

extern const struct ctl_col ctl_key_cols[], ctl_user_cols[], ctl_totp_cols[];
extern const struct ctl_opt ctl_password_opts[], ctl_totp_enrol_opts[], ctl_totp_confirm_opts[], ctl_totp_remove_opts[];
enum sp_err	ctl_fill_password(struct ctl *c);
/* Lines of the local option FILE, one call each. */
enum sp_err	ctl_run_key_add(struct ctl *c);

#endif
