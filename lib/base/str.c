/* lib/base/str.c - see str.h. */
#include "str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "clock.h"

int
sp_strlcpy(char *dst, const char *src, size_t size)
{
	size_t n = strlen(src), c;

	if (size == 0)
		return -1;
	c = n < size ? n : size - 1;
	memcpy(dst, src, c);
	dst[c] = 0;
	return n < size ? 0 : -1;
}

int
sp_snprintf(char *dst, size_t size, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(dst, size, fmt, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < size ? 0 : -1;
}

size_t
sp_utf8_next(const uint8_t *p, size_t n, uint32_t *ret_cp)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t cp;
	size_t len;

	if (n == 0)
		return 0;
	if (p[0] < 0x80) {
		*ret_cp = p[0];
		return 1;
	}
	len = (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
	if (len == 0 || n < len)
		return 0;
	cp = p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3fu);
	}
	if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		return 0;
	*ret_cp = cp;
	return len;
}

int
sp_utf8_valid(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t cp;
	size_t len;

	for (; n > 0; p += len, n -= len)
		if ((len = sp_utf8_next(p, n, &cp)) == 0)
			return 0;
	return 1;
}

/* Characters that change how the rest of a line is shown: C0, DEL, C1, line separators, bidi controls, BOM. */
static int
str_is_control(uint32_t cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029 || cp == 0x061c ||
	    (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x202a && cp <= 0x202e) || (cp >= 0x2066 && cp <= 0x2069) ||
	    cp == 0xfeff;
}

int
sp_text_is_plain(const char *s, size_t n)
{
	const uint8_t *p = (const uint8_t *)s;
	uint32_t cp;
	size_t len;

	for (; n > 0; p += len, n -= len)
		if ((len = sp_utf8_next(p, n, &cp)) == 0 || str_is_control(cp))
			return 0;
	return 1;
}

char *
sp_escape(const char *src, size_t n, char *dst, size_t size)
{
	const uint8_t *p = (const uint8_t *)src;
	char *out = dst, *end = dst + size;
	char piece[20];

	if (size == 0)
		return dst;
	while (n > 0) {
		uint32_t cp = 0;
		size_t len = sp_utf8_next(p, n, &cp), plen;

		if (len == 0 || str_is_control(cp)) {
			len = len == 0 ? 1 : len;
			for (plen = 0; plen < 4 * len; plen += 4)
				snprintf(piece + plen, sizeof(piece) - plen, "\\x%02x", p[plen / 4]);
		} else if (cp == '\\') {
			memcpy(piece, "\\\\", plen = 2);
		} else {
			memcpy(piece, p, plen = len);
		}
		if ((size_t)(end - out) < plen + 4 && (size_t)(end - out) < plen + 1 + (n > len ? 3 : 0))
			break;
		memcpy(out, piece, plen);
		out += plen;
		p += len;
		n -= len;
	}
	if (n > 0 && end - out > 3) {
		memcpy(out, "...", 3);
		out += 3;
	}
	*out = 0;
	return dst;
}

int
sp_name_is_safe(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n == 0 || n > max || s[0] == '-' || s[0] == '.')
		return 0;
	return strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

int
sp_name_is_ok(const char *s, size_t max)
{
	size_t n = strnlen(s, max + 1);

	if (n == 0 || n > max || s[0] == '-' || s[0] == '.' || s[0] == ' ' || s[n - 1] == ' ')
		return 0;
	return strpbrk(s, "@#%:/\\\"'") == NULL && sp_text_is_plain(s, n);
}

void
sp_hex(const uint8_t *p, size_t n, char *dst)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		dst[2 * i] = digits[p[i] >> 4];
		dst[2 * i + 1] = digits[p[i] & 15];
	}
	dst[2 * n] = 0;
}

static int
str_hexval(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum sp_err
sp_hex_parse(const char *s, uint8_t *dst, size_t n)
{
	if (strnlen(s, 2 * n + 1) != 2 * n)
		return SP_EFORMAT;
	for (size_t i = 0; i < 2 * n; i++)
		if (str_hexval(s[i]) < 0)
			return SP_EFORMAT;
	for (size_t i = 0; i < n; i++)
		dst[i] = (uint8_t)(str_hexval(s[2 * i]) << 4 | str_hexval(s[2 * i + 1]));
	return SP_OK;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum sp_err
sp_base64(struct sp_buf *dst, const void *data, size_t n)
{
	const uint8_t *p = data;
	enum sp_err r = sp_buf_reserve(dst, (n + 2) / 3 * 4);
	char *out;

	if (r != SP_OK)
		return r;
	out = (char *)dst->p + dst->len;
	for (; n > 0; p += 3, n -= n < 3 ? n : 3) {
		uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);

		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = n > 1 ? base64_digits[v >> 6 & 63] : '=';
		*out++ = n > 2 ? base64_digits[v & 63] : '=';
	}
	*out = 0;
	dst->len = (size_t)((uint8_t *)out - dst->p);
	return SP_OK;
}

enum sp_err
sp_base64_parse(struct sp_buf *dst, const char *s, size_t n)
{
	size_t len0 = dst->len;
	enum sp_err r;

	if (n % 4 != 0)
		return SP_EFORMAT;
	if ((r = sp_buf_reserve(dst, n / 4 * 3)) != SP_OK)
		return r;
	for (size_t i = 0; i < n; i += 4) {
		uint32_t v = 0;
		int pad = i + 4 == n ? (s[i + 3] == '=') + (s[i + 2] == '=' && s[i + 3] == '=') : 0;

		for (int k = 0; k < 4; k++) {
			const char *d = k < 4 - pad && s[i + (size_t)k] != 0 ? strchr(base64_digits, s[i + (size_t)k]) : NULL;

			if (k < 4 - pad && d == NULL)
				goto bad;
			v = v << 6 | (d != NULL ? (uint32_t)(d - base64_digits) : 0);
		}
		if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
			goto bad;	/* non-canonical: bits that encode nothing */
		for (int k = 0; k < 3 - pad; k++)
			dst->p[dst->len++] = (uint8_t)(v >> (16 - 8 * k));
	}
	if (dst->p != NULL)
		dst->p[dst->len] = 0;
	return SP_OK;
bad:
	dst->len = len0;
	return SP_EFORMAT;
}

void
sp_uuid_make(struct sp_uuid *ret)
{
	uint64_t ms = (uint64_t)sp_wall_us() / 1000;

	while (getrandom(ret->b, sizeof(ret->b), 0) != (ssize_t)sizeof(ret->b))
		;
	for (int i = 0; i < 6; i++)
		ret->b[i] = (uint8_t)(ms >> (40 - 8 * i));
	ret->b[6] = (uint8_t)((ret->b[6] & 0x0f) | 0x70);
	ret->b[8] = (uint8_t)((ret->b[8] & 0x3f) | 0x80);
}

int
sp_uuid_is_null(const struct sp_uuid *u)
{
	static const struct sp_uuid null;

	return memcmp(u, &null, sizeof(null)) == 0;
}

int
sp_uuid_equal(const struct sp_uuid *a, const struct sp_uuid *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

char *
sp_uuid_text(const struct sp_uuid *u, char dst[SP_UUID_SIZE])
{
	char hex[33];

	sp_hex(u->b, sizeof(u->b), hex);
	snprintf(dst, SP_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	return dst;
}

enum sp_err
sp_uuid_parse(const char *s, struct sp_uuid *ret)
{
	char hex[33];
	size_t n = 0;

	if (strnlen(s, SP_UUID_SIZE) != SP_UUID_SIZE - 1)
		return SP_EFORMAT;
	for (size_t i = 0; i < SP_UUID_SIZE - 1; i++) {
		int dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash != (s[i] == '-'))
			return SP_EFORMAT;
		if (!dash)
			hex[n++] = s[i];
	}
	hex[n] = 0;
	return sp_hex_parse(hex, ret->b, sizeof(ret->b));
}

enum sp_err
sp_uuid_from(const void *p, size_t n, struct sp_uuid *ret)
{
	if (n != sizeof(ret->b))
		return SP_EFORMAT;
	memcpy(ret->b, p, sizeof(ret->b));
	return SP_OK;
}
