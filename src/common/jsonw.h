/* src/common/jsonw.h - JSON objects written without a tree: bodies of events, records, outbox lines. Pure.
 * Texts come from outside and may be any bytes: what is not UTF-8 becomes U+FFFD, and a second member
 * "<key>_base64" then keeps the bytes themselves. Use: begin, members, end; errors stick and are returned by end. */
#ifndef SP_COMMON_JSONW_H
#define SP_COMMON_JSONW_H

#include "base/buf.h"

struct sp_jsonw {
	struct sp_buf	*b;		/* borrowed */
	enum sp_err	 err;
	int		 n;		/* members so far */
};

void		sp_jsonw_begin(struct sp_jsonw *j, struct sp_buf *b);
void		sp_jsonw_str(struct sp_jsonw *j, const char *key, const char *s);
void		sp_jsonw_int(struct sp_jsonw *j, const char *key, int64_t v);
void		sp_jsonw_bool(struct sp_jsonw *j, const char *key, int v);
void		sp_jsonw_raw(struct sp_jsonw *j, const char *key, const char *json);	/* a JSON value already */
enum sp_err	sp_jsonw_end(struct sp_jsonw *j) SP_MUST_USE;

#endif
