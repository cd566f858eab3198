/* lib/base/buf.c - see buf.h. Pure; the only allocation is the buffer itself. */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void
sp_closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void
sp_freep(void *p)
{
	void **pp = p;

	free(*pp);
	*pp = NULL;
}

void
sp_buf_init(struct sp_buf *b, size_t max_bytes)
{
	*b = (struct sp_buf){ .max = max_bytes };
}

void
sp_buf_release(struct sp_buf *b)
{
	if (b->p != NULL) {
		explicit_bzero(b->p, b->cap);
		free(b->p);
	}
	*b = (struct sp_buf){ .max = b->max };
}

void
sp_buf_reset(struct sp_buf *b)
{
	if (b->len > 0)
		explicit_bzero(b->p, b->len);
	b->len = 0;
}

void
sp_buf_consume(struct sp_buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		if (b->p != NULL)
			b->p[0] = 0;
		return;
	}
	memmove(b->p, b->p + n, b->len - n + 1);
	b->len -= n;
}

/* Grow so that `more` bytes and a NUL fit. The old memory is wiped: it may have held a secret. */
enum sp_err
sp_buf_reserve(struct sp_buf *b, size_t more)
{
	size_t need, cap;
	uint8_t *p;

	if (more > b->max || b->len > b->max - more)
		return SP_ESIZE;
	need = b->len + more + 1;
	if (need <= b->cap)
		return SP_OK;
	for (cap = b->cap > 0 ? b->cap : 64; cap < need; cap *= 2)
		if (cap > b->max) {
			cap = b->max + 1;
			break;
		}
	if (cap < need)
		cap = need;
	if ((p = malloc(cap)) == NULL)
		return SP_ENOMEM;
	if (b->p != NULL) {
		memcpy(p, b->p, b->len);
		explicit_bzero(b->p, b->cap);
		free(b->p);
	}
	p[b->len] = 0;
	b->p = p;
	b->cap = cap;
	return SP_OK;
}

enum sp_err
sp_buf_append(struct sp_buf *b, const void *data, size_t n)
{
	enum sp_err r = sp_buf_reserve(b, n);

	if (r != SP_OK)
		return r;
	if (n > 0)
		memcpy(b->p + b->len, data, n);
	b->len += n;
	b->p[b->len] = 0;
	return SP_OK;
}

enum sp_err
sp_buf_append_str(struct sp_buf *b, const char *s)
{
	return sp_buf_append(b, s, strlen(s));
}

enum sp_err
sp_buf_printf(struct sp_buf *b, const char *fmt, ...)
{
	va_list ap;
	enum sp_err r;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return SP_EFORMAT;
	if ((r = sp_buf_reserve(b, (size_t)n)) != SP_OK)
		return r;
	va_start(ap, fmt);
	vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return SP_OK;
}

enum sp_err
sp_buf_put_u8(struct sp_buf *b, uint8_t v)
{
	return sp_buf_append(b, &v, 1);
}

enum sp_err
sp_buf_put_u32(struct sp_buf *b, uint32_t v)
{
	uint8_t d[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	return sp_buf_append(b, d, sizeof(d));
}

enum sp_err
sp_buf_put_u64(struct sp_buf *b, uint64_t v)
{
	uint8_t d[8];

	for (int i = 0; i < 8; i++)
		d[i] = (uint8_t)(v >> (56 - 8 * i));
	return sp_buf_append(b, d, sizeof(d));
}

enum sp_err
sp_buf_put_string(struct sp_buf *b, const void *data, size_t n)
{
	enum sp_err r;

	if (n > UINT32_MAX - 4)
		return SP_ESIZE;
	if ((r = sp_buf_reserve(b, n + 4)) != SP_OK || (r = sp_buf_put_u32(b, (uint32_t)n)) != SP_OK)
		return r;
	return sp_buf_append(b, data, n);
}

enum sp_err
sp_buf_put_cstring(struct sp_buf *b, const char *s)
{
	return sp_buf_put_string(b, s, strlen(s));
}

const char *
sp_buf_cstr(const struct sp_buf *b)
{
	return b->p != NULL ? (const char *)b->p : "";
}

enum sp_err
sp_view_bytes(struct sp_view *v, size_t n, struct sp_view *ret)
{
	if (v->len < n)
		return SP_ESHORT;
	*ret = (struct sp_view){ v->p, n };
	v->p += n;
	v->len -= n;
	return SP_OK;
}

enum sp_err
sp_view_u8(struct sp_view *v, uint8_t *ret)
{
	struct sp_view d;
	enum sp_err r = sp_view_bytes(v, 1, &d);

	if (r == SP_OK)
		*ret = d.p[0];
	return r;
}

enum sp_err
sp_view_u32(struct sp_view *v, uint32_t *ret)
{
	struct sp_view d;
	enum sp_err r = sp_view_bytes(v, 4, &d);

	if (r == SP_OK)
		*ret = (uint32_t)d.p[0] << 24 | (uint32_t)d.p[1] << 16 | (uint32_t)d.p[2] << 8 | d.p[3];
	return r;
}

enum sp_err
sp_view_u64(struct sp_view *v, uint64_t *ret)
{
	struct sp_view d;
	enum sp_err r = sp_view_bytes(v, 8, &d);
	uint64_t x = 0;

	if (r != SP_OK)
		return r;
	for (int i = 0; i < 8; i++)
		x = x << 8 | d.p[i];
	*ret = x;
	return SP_OK;
}

enum sp_err
sp_view_string(struct sp_view *v, struct sp_view *ret)
{
	struct sp_view saved = *v;
	uint32_t n;
	enum sp_err r;

	if ((r = sp_view_u32(v, &n)) == SP_OK)
		r = sp_view_bytes(v, n, ret);
	if (r != SP_OK)
		*v = saved;
	return r;
}

enum sp_err
sp_view_cstring(struct sp_view *v, char *dst, size_t dst_size)
{
	struct sp_view saved = *v, s;
	enum sp_err r;

	if ((r = sp_view_string(v, &s)) != SP_OK)
		return r;
	r = s.len >= dst_size ? SP_ESIZE : s.len > 0 && memchr(s.p, 0, s.len) != NULL ? SP_EFORMAT : SP_OK;
	if (r != SP_OK) {
		*v = saved;
		return r;
	}
	if (s.len > 0)
		memcpy(dst, s.p, s.len);
	dst[s.len] = 0;
	return SP_OK;
}

int
sp_view_equal_str(struct sp_view v, const char *s)
{
	return v.len == strlen(s) && (v.len == 0 || memcmp(v.p, s, v.len) == 0);
}
