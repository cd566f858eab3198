/* lib/base/buf.h - growable bytes with a hard limit, and a cursor over borrowed bytes with RFC 4251 readers.
 * Invariants: len <= cap <= max; p[len] is always a NUL once anything was appended (so text can be printed);
 * a failed append leaves the buffer as it was. */
#ifndef SP_BASE_BUF_H
#define SP_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "err.h"

struct sp_buf {
	uint8_t	*p;
	size_t	 len, cap;
	size_t	 max;		/* bytes; never grows beyond */
};

void		 sp_buf_init(struct sp_buf *b, size_t max_bytes);
void		 sp_buf_release(struct sp_buf *b);	/* wipes, frees; safe twice and on zeroed memory */
void		 sp_buf_reset(struct sp_buf *b);	/* len = 0, memory kept, contents wiped */
void		 sp_buf_consume(struct sp_buf *b, size_t n);	/* drop n bytes from the front */
enum sp_err	 sp_buf_reserve(struct sp_buf *b, size_t more) SP_MUST_USE;
enum sp_err	 sp_buf_append(struct sp_buf *b, const void *data, size_t n) SP_MUST_USE;
enum sp_err	 sp_buf_append_str(struct sp_buf *b, const char *s) SP_MUST_USE;
enum sp_err	 sp_buf_printf(struct sp_buf *b, const char *fmt, ...) SP_PRINTF(2, 3) SP_MUST_USE;
enum sp_err	 sp_buf_put_u8(struct sp_buf *b, uint8_t v) SP_MUST_USE;
enum sp_err	 sp_buf_put_u32(struct sp_buf *b, uint32_t v) SP_MUST_USE;	/* big endian */
enum sp_err	 sp_buf_put_u64(struct sp_buf *b, uint64_t v) SP_MUST_USE;
enum sp_err	 sp_buf_put_string(struct sp_buf *b, const void *data, size_t n) SP_MUST_USE;	/* u32 length + bytes */
enum sp_err	 sp_buf_put_cstring(struct sp_buf *b, const char *s) SP_MUST_USE;
const char	*sp_buf_cstr(const struct sp_buf *b);	/* "" when empty; borrowed until the next append */

/* A reader over bytes that it borrows. On failure nothing is consumed and ret is untouched. */
struct sp_view {
	const uint8_t	*p;
	size_t		 len;
};

enum sp_err	 sp_view_u8(struct sp_view *v, uint8_t *ret) SP_MUST_USE;
enum sp_err	 sp_view_u32(struct sp_view *v, uint32_t *ret) SP_MUST_USE;
enum sp_err	 sp_view_u64(struct sp_view *v, uint64_t *ret) SP_MUST_USE;
enum sp_err	 sp_view_bytes(struct sp_view *v, size_t n, struct sp_view *ret) SP_MUST_USE;	/* borrowed */
enum sp_err	 sp_view_string(struct sp_view *v, struct sp_view *ret) SP_MUST_USE;		/* borrowed */
/* A string without NUL bytes, copied into dst with a NUL; SP_ESIZE if it does not fit, SP_EFORMAT on a NUL. */
enum sp_err	 sp_view_cstring(struct sp_view *v, char *dst, size_t dst_size) SP_MUST_USE;
int		 sp_view_equal_str(struct sp_view v, const char *s);

#endif
