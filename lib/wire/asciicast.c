/* lib/wire/asciicast.c - see asciicast.h. */
#include "wire/asciicast.h"

#include <string.h>

#define US_PER_S	1000000u
#define TIME_MAX_S	1000000000u

/* Bytes of the character that begins at p; 0: none begins there; -1: it is cut. */
static int
utf8_char(const uint8_t *p, size_t n)
{
	uint8_t c = p[0], low = 0x80, high = 0xbf;
	int len;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : low;	/* no overlong forms, */
	high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : high;	/* no surrogates, nothing above U+10FFFF */
	for (int i = 1; i < len; i++) {
		if ((size_t)i >= n)
			return -1;
		if (p[i] < low || p[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
	}
	return len;
}

size_t
sp_cast_utf8(const uint8_t *p, size_t n, int *ret_cut)
{
	size_t at = 0;

	*ret_cut = 0;
	while (at < n) {
		int len;
		uint64_t eight;

		while (n - at >= sizeof(eight)) {	/* plain ASCII, the usual case */
			memcpy(&eight, p + at, sizeof(eight));
			if ((eight & 0x8080808080808080u) != 0)
				break;
			at += sizeof(eight);
		}
		if (at == n)
			break;
		if ((len = utf8_char(p + at, n - at)) <= 0) {
			*ret_cut = len == -1;
			break;
		}
		at += (size_t)len;
	}
	return at;
}

/* Escape into dst, which has room for 6 bytes of each. Returns the end. */
static uint8_t *
string_escape(uint8_t *dst, struct sp_view v)
{
	static const char hex[] = "0123456789abcdef";
	static const char shorts[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

	for (size_t i = 0; i < v.len; i++) {
		uint8_t c = v.p[i];

		if (c >= 0x20 && c != '"' && c != '\\') {
			*dst++ = c;
			continue;
		}
		*dst++ = '\\';
		if (c >= 0x20) {
			*dst++ = c;
		} else if (shorts[c] != 0) {
			*dst++ = (uint8_t)shorts[c];
		} else {
			memcpy(dst, "u00", 3);
			dst[3] = (uint8_t)hex[c >> 4];
			dst[4] = (uint8_t)hex[c & 15];
			dst += 5;
		}
	}
	return dst;
}

static enum sp_err
string_put(struct sp_buf *b, struct sp_view first, struct sp_view second, struct sp_view tail)
{
	enum sp_err r = sp_buf_reserve(b, 6 * (first.len + second.len) + 2 + tail.len);
	uint8_t *p;

	if (r != SP_OK)
		return r;
	p = b->p + b->len;
	*p++ = '"';
	p = string_escape(p, first);
	p = string_escape(p, second);
	*p++ = '"';
	memcpy(p, tail.p, tail.len);
	p += tail.len;
	*p = '\0';
	b->len = (size_t)(p - b->p);
	return SP_OK;
}

enum sp_err
sp_cast_string(struct sp_buf *b, struct sp_view text)
{
	return string_put(b, text, (struct sp_view){ 0 }, (struct sp_view){ (const uint8_t *)"", 0 });
}

enum sp_err
sp_cast_event2(struct sp_buf *b, uint64_t at_us, char code, struct sp_view first, struct sp_view second)
{
	size_t was = b->len;
	enum sp_err r = sp_buf_printf(b, "[%llu.%06llu, \"%c\", ", (unsigned long long)(at_us / US_PER_S),
	    (unsigned long long)(at_us % US_PER_S), code);

	if (r == SP_OK)
		r = string_put(b, first, second, (struct sp_view){ (const uint8_t *)"]\n", 2 });
	if (r != SP_OK)
		b->len = was;
	return r;
}

enum sp_err
sp_cast_event(struct sp_buf *b, uint64_t at_us, char code, struct sp_view text)
{
	return sp_cast_event2(b, at_us, code, text, (struct sp_view){ 0 });
}

/* ---- reading ---- */

static void
skip(struct sp_view *v)
{
	while (v->len > 0 && (*v->p == ' ' || *v->p == '\t' || *v->p == '\r')) {
		v->p++;
		v->len--;
	}
}

static int
take(struct sp_view *v, char c)
{
	skip(v);
	if (v->len == 0 || *v->p != (uint8_t)c)
		return 0;
	v->p++;
	v->len--;
	skip(v);
	return 1;
}

/* Seconds with at most six decimals that count. */
static enum sp_err
read_time(struct sp_view *v, uint64_t *ret_us)
{
	uint64_t s = 0, us = 0, unit = US_PER_S / 10;
	const uint8_t *from = v->p;

	for (; v->len > 0 && *v->p >= '0' && *v->p <= '9'; v->p++, v->len--)
		if ((s = s * 10 + (*v->p - '0')) > TIME_MAX_S)
			return SP_EFORMAT;
	if (v->p == from)
		return SP_EFORMAT;
	if (v->len > 0 && *v->p == '.')
		for (v->p++, v->len--; v->len > 0 && *v->p >= '0' && *v->p <= '9'; v->p++, v->len--, unit /= 10)
			us += unit * (uint64_t)(*v->p - '0');
	*ret_us = s * US_PER_S + us;
	return SP_OK;
}

static int
hex4(struct sp_view *v, uint32_t *ret)
{
	uint32_t n = 0;

	if (v->len < 4)
		return 0;
	for (int i = 0; i < 4; i++) {
		uint8_t c = v->p[i];
		int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

		if (d < 0)
			return 0;
		n = n << 4 | (uint32_t)d;
	}
	v->p += 4;
	v->len -= 4;
	*ret = n;
	return 1;
}

static size_t
encode(uint32_t c, uint8_t dst[4])
{
	if (c < 0x80) {
		dst[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		dst[0] = (uint8_t)(0xc0 | c >> 6);
		dst[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		dst[0] = (uint8_t)(0xe0 | c >> 12);
		dst[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		dst[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	dst[0] = (uint8_t)(0xf0 | c >> 18);
	dst[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	dst[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	dst[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* Behind "\u". A pair of surrogates is one character; a lone one is not a text. */
static enum sp_err
read_unicode(struct sp_view *v, uint8_t dst[4], size_t *ret_n)
{
	uint32_t c, low;

	if (!hex4(v, &c))
		return SP_EFORMAT;
	if (c >= 0xd800 && c <= 0xdfff) {
		if (c > 0xdbff || v->len < 2 || v->p[0] != '\\' || v->p[1] != 'u')
			return SP_EFORMAT;
		v->p += 2;
		v->len -= 2;
		if (!hex4(v, &low) || low < 0xdc00 || low > 0xdfff)
			return SP_EFORMAT;
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	*ret_n = encode(c, dst);
	return SP_OK;
}

static enum sp_err
read_escape(struct sp_view *v, struct sp_buf *text)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	uint8_t dst[4];
	const char *at;
	size_t n = 1;
	enum sp_err r;

	v->p++;
	v->len--;
	if (v->len == 0)
		return SP_EFORMAT;
	if (*v->p == 'u') {
		v->p++;
		v->len--;
		if ((r = read_unicode(v, dst, &n)) != SP_OK)
			return r;
	} else {
		if (*v->p == '\0' || (at = strchr(from, *v->p)) == NULL)
			return SP_EFORMAT;
		dst[0] = (uint8_t)to[at - from];
		v->p++;
		v->len--;
	}
	return sp_buf_append(text, dst, n);
}

static enum sp_err
read_string(struct sp_view *v, struct sp_buf *text)
{
	enum sp_err r;

	if (v->len == 0 || *v->p != '"')
		return SP_EFORMAT;
	v->p++;
	v->len--;
	for (;;) {
		size_t n = 0;
		int cut;

		while (n < v->len && v->p[n] >= 0x20 && v->p[n] != '"' && v->p[n] != '\\')
			n++;
		if (n == v->len || v->p[n] < 0x20 || sp_cast_utf8(v->p, n, &cut) != n)
			return SP_EFORMAT;
		if ((r = sp_buf_append(text, v->p, n)) != SP_OK)
			return r;
		v->p += n;
		v->len -= n;
		if (*v->p == '"')
			break;
		if ((r = read_escape(v, text)) != SP_OK)
			return r;
	}
	v->p++;
	v->len--;
	return SP_OK;
}

static enum sp_err
read_event(struct sp_view v, uint64_t *us, char *code, struct sp_buf *text)
{
	enum sp_err r;

	if (!take(&v, '['))
		return SP_EFORMAT;
	if ((r = read_time(&v, us)) != SP_OK)
		return r;
	if (!take(&v, ',') || v.len < 3 || v.p[0] != '"' || v.p[1] < 0x20 || v.p[1] > 0x7e || v.p[1] == '"' || v.p[1] == '\\' ||
	    v.p[2] != '"')
		return SP_EFORMAT;
	*code = (char)v.p[1];
	v.p += 3;
	v.len -= 3;
	if (!take(&v, ','))
		return SP_EFORMAT;
	if ((r = read_string(&v, text)) != SP_OK)
		return r;
	return take(&v, ']') && v.len == 0 ? SP_OK : SP_EFORMAT;
}

enum sp_err
sp_cast_read(struct sp_view line, uint64_t *ret_at_us, char *ret_code, struct sp_buf *text)
{
	size_t was = text->len;
	uint64_t us = 0;
	char code = 0;
	enum sp_err r;

	if (line.len > SP_CAST_LINE_MAX)
		return SP_ESIZE;
	if ((r = read_event(line, &us, &code, text)) != SP_OK) {
		text->len = was;
		return r;
	}
	*ret_at_us = us;
	*ret_code = code;
	return SP_OK;
}
