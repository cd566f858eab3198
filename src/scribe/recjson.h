/* src/scribe/recjson.h - the JSON bodies of events and records, written without a tree. Pure.
 * Texts come from a session, which may send any bytes: what is not UTF-8 becomes U+FFFD, and a second member
 * "<key>_base64" then keeps the bytes themselves. Use: begin, members, end; errors stick and are returned by end. */
#ifndef SP_SCRIBE_RECJSON_H
#define SP_SCRIBE_RECJSON_H

#include "base/buf.h"

struct sp_recjson {
	struct sp_buf	*b;		/* borrowed */
	enum sp_err	 err;
	int		 n;		/* members so far */
};

void		sp_recjson_begin(struct sp_recjson *j, struct sp_buf *b);
void		sp_recjson_str(struct sp_recjson *j, const char *key, const char *s);
void		sp_recjson_int(struct sp_recjson *j, const char *key, int64_t v);
void		sp_recjson_bool(struct sp_recjson *j, const char *key, int v);
void		sp_recjson_raw(struct sp_recjson *j, const char *key, const char *json);	/* a JSON value already */
enum sp_err	sp_recjson_end(struct sp_recjson *j) SP_MUST_USE;

#endif
