/* lib/base/str.h - text from outside, made safe to show, and small encodings. Pure. */
#ifndef SP_BASE_STR_H
#define SP_BASE_STR_H

#include <stddef.h>
#include <stdint.h>

#include "attr.h"
#include "buf.h"
#include "err.h"

/* Copy with a NUL, cut at size - 1 bytes; returns 0 when it fitted, -1 when cut. */
int		 sp_strlcpy(char *dst, const char *src, size_t size);
/* Print into dst; returns 0 when it fitted, -1 when cut (dst stays terminated). */
int		 sp_snprintf(char *dst, size_t size, const char *fmt, ...) SP_PRINTF(3, 4);
/* Escape for a log or a terminal: printable UTF-8 stays, control characters (C0, C1, DEL, bidi overrides) and bytes
 * that are not UTF-8 become \xNN, a backslash \\. Cut with "..." at size. Returns dst. */
char		*sp_escape(const char *src, size_t n, char *dst, size_t size);
/* Bytes of the valid UTF-8 sequence at p, 1..4; 0 if it is not valid (overlong, surrogate, cut, > U+10FFFF). */
size_t		 sp_utf8_next(const uint8_t *p, size_t n, uint32_t *ret_cp);
int		 sp_utf8_valid(const void *p, size_t n);
/* True if the text has no control character, no bidi override and is UTF-8. */
int		 sp_text_is_plain(const char *s, size_t n);
/* True if s is 1..max bytes of letters, digits and . _ - (a name that is safe in a path, a shell line, a principal),
 * not starting with '-' or '.'. */
int		 sp_name_is_safe(const char *s, size_t max);
/* True for the name of an object that people type: 1..max bytes of plain UTF-8 without blanks at the ends, without
 * the separators @ # % : / \ " ' and not starting with '-' or '.'. Chinese names pass. */
int		 sp_name_is_ok(const char *s, size_t max);

void		 sp_hex(const uint8_t *p, size_t n, char *dst);		/* dst: 2n + 1 bytes */
enum sp_err	 sp_hex_parse(const char *s, uint8_t *dst, size_t n) SP_MUST_USE;	/* exactly 2n digits */
enum sp_err	 sp_base64(struct sp_buf *dst, const void *p, size_t n) SP_MUST_USE;	/* standard, padded, one line */
enum sp_err	 sp_base64_parse(struct sp_buf *dst, const char *s, size_t n) SP_MUST_USE;	/* strict; SP_EFORMAT */

#define SP_UUID_LEN	16
#define SP_UUID_SIZE	37	/* text with NUL */
struct sp_uuid {
	uint8_t	b[SP_UUID_LEN];
};
void		 sp_uuid_make(struct sp_uuid *ret);		/* version 7: sorts by time; getrandom(2) */
int		 sp_uuid_is_null(const struct sp_uuid *u);
int		 sp_uuid_equal(const struct sp_uuid *a, const struct sp_uuid *b);
char		*sp_uuid_text(const struct sp_uuid *u, char dst[SP_UUID_SIZE]);	/* returns dst */
enum sp_err	 sp_uuid_parse(const char *s, struct sp_uuid *ret) SP_MUST_USE;
enum sp_err	 sp_uuid_from(const void *p, size_t n, struct sp_uuid *ret) SP_MUST_USE;	/* n must be 16 */

#endif
