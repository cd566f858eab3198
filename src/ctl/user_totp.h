/* src/ctl/user_totp.h - the functions behind 'sallyport user totp', for the table in user.c. */
#ifndef SP_CTL_USER_TOTP_H
#define SP_CTL_USER_TOTP_H

#include "ctl/cmd.h"

enum sp_err	user_run_totp_enrol(struct ctl *c);
enum sp_err	user_fill_totp_confirm(struct ctl *c);
enum sp_err	user_run_totp_remove(struct ctl *c);

#endif
