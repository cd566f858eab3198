/* src/courier/copyform.h - an entry of the audit log as a syslog record: RFC 5424 with the entry itself as text, or one of the six
 * categories that JumpServer sends. Process: courier. Pure. */
#ifndef SP_COURIER_COPYFORM_H
#define SP_COURIER_COPYFORM_H

#include "base/buf.h"

enum copy_frame { COPY_PLAIN, COPY_COUNTED };	/* of RFC 5424; JumpServer's form always ends with a NUL */
struct copy_form {
	int		 jumpserver;
	enum copy_frame	 frame;
	unsigned	 facility;
	const char	*host;		/* of this machine; borrowed */
	const char	*bastion;	/* its name for people; borrowed */
	size_t		 limit;		/* bytes of a record; 0: as long as it is */
};

/* Append the record of an entry (JSON). context: what else is known (JSON object), may be empty. SP_ENOENT: there is none in this
 * form. SP_EFORMAT: not an entry. */
enum sp_err	copy_form(const struct copy_form *f, struct sp_view entry, struct sp_view context, struct sp_buf *ret) SP_MUST_USE;

#endif
