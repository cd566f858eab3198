/* src/common/delivery.h - where alarms are delivered to, as the configuration says. Pure. */
#ifndef SP_COMMON_DELIVERY_H
#define SP_COMMON_DELIVERY_H

#include "common/config.h"

/* What the table of settings cannot say of these settings; why is "NAME:LINE: reason". SP_EFORMAT. */
enum sp_err	sp_delivery_check(const char *name, const char *text, size_t len, const struct sp_config *c, char *why, size_t n) SP_MUST_USE;
/* An address as it may stand in a header and in SMTP: local part, '@', domain; no blanks, brackets, quotes or control characters. */
int		sp_mail_address_is_ok(const char *s);

#endif
