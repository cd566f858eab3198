/* src/courier/mailtext.h - alarms as one mail (RFC 5322, MIME). Process: courier. Pure. */
#ifndef SP_COURIER_MAILTEXT_H
#define SP_COURIER_MAILTEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct mail_item {			/* texts borrowed, UTF-8 from anybody */
	const char	*id, *created, *text;
	const char	*details;	/* one JSON object, or "" */
};
struct mail {
	const char		*from, *const *to;	/* addresses that sp_mail_address_is_ok */
	size_t			 to_n;
	const char		*bastion;
	int64_t			 wall_us;
	const struct mail_item	*items;			/* at least one */
	size_t			 items_n;
};
/* Append the whole message, lines ended by CR LF. Nothing of an item reaches a header but in base64. SP_ENOMEM, SP_ESIZE. */
enum sp_err	mail_text(const struct mail *m, struct sp_buf *ret) SP_MUST_USE;

#endif
