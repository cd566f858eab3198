/* lib/wire/rcp.c - see rcp.h. The order of things is that of source() and sink() in OpenSSH's scp.c. */
#include "wire/rcp.h"

#include <string.h>

#define EARLY_MAX	16u

void
sp_rcp_init(struct sp_rcp *s)
{
	*s = (struct sp_rcp){ .state = SP_RCP_WAIT, .asked = SP_RCP_MORE };	/* the sink speaks first */
	for (int i = 0; i < 2; i++)
		sp_buf_init(&s->line[i], SP_RCP_LINE_MAX);
}

void
sp_rcp_release(struct sp_rcp *s)
{
	for (int i = 0; i < 2; i++)
		sp_buf_release(&s->line[i]);
}

/* Digits of this base up to the byte `end`, which is taken, too. */
static enum sp_err
take_number(struct sp_view *v, unsigned base, char end, size_t max_digits, uint64_t *ret)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < v->len && i < max_digits && v->p[i] >= '0' && v->p[i] < '0' + (int)base; i++) {
		if (n > (INT64_MAX - 9) / base)
			return SP_EFORMAT;
		n = n * base + (unsigned)(v->p[i] - '0');
	}
	if (i == 0 || i == v->len || v->p[i] != (uint8_t)end)
		return SP_EFORMAT;
	v->p += i + 1;
	v->len -= i + 1;
	*ret = n;
	return SP_OK;
}

/* "0644 123 name" */
static enum sp_err
read_entry(struct sp_view v, struct sp_rcp_item *ret)
{
	uint64_t mode, size;

	if (take_number(&v, 8, ' ', 6, &mode) != SP_OK || take_number(&v, 10, ' ', 19, &size) != SP_OK || v.len == 0 ||
	    memchr(v.p, '/', v.len) != NULL || memchr(v.p, '\0', v.len) != NULL || sp_view_equal_str(v, ".") ||
	    sp_view_equal_str(v, ".."))
		return SP_EFORMAT;
	ret->mode = (uint32_t)mode;
	ret->size = size;
	ret->name = v;
	return SP_OK;
}

/* "mtime 0 atime 0" */
static enum sp_err
read_times(struct sp_view v)
{
	uint64_t n;

	if (take_number(&v, 10, ' ', 19, &n) != SP_OK || take_number(&v, 10, ' ', 6, &n) != SP_OK ||
	    take_number(&v, 10, ' ', 19, &n) != SP_OK || v.len == 0 || v.len > 6)
		return SP_EFORMAT;
	for (size_t i = 0; i < v.len; i++)
		if (v.p[i] < '0' || v.p[i] > '9')
			return SP_EFORMAT;
	return SP_OK;
}

/* A line of the source without its end. */
static enum sp_err
source_line(struct sp_rcp *s, struct sp_view v, struct sp_rcp_item *ret)
{
	struct sp_view rest = { v.p + 1, v.len - 1 };
	enum sp_err r = SP_OK;

	switch (v.p[0]) {
	case 1:
	case 2:
		ret->what = s->state == SP_RCP_AFTER ? SP_RCP_STATUS : SP_RCP_MESSAGE;
		ret->text = rest;
		if (s->state == SP_RCP_AFTER) {
			s->state = SP_RCP_WAIT;
			s->asked = SP_RCP_STATUS;
		}
		return SP_OK;
	case 'C':
		ret->what = SP_RCP_FILE;
		if ((r = read_entry(rest, ret)) == SP_OK) {
			s->left = ret->size;
			s->offset = 0;
		}
		break;
	case 'D':
		ret->what = SP_RCP_DIR;
		r = s->depth < SP_RCP_DEPTH_MAX ? read_entry(rest, ret) : SP_ESIZE;
		break;
	case 'E':
		ret->what = SP_RCP_UP;
		if (rest.len != 0 || s->depth == 0)
			return SP_EFORMAT;
		s->depth--;
		break;
	case 'T':
		ret->what = SP_RCP_TIMES;
		r = read_times(rest);
		break;
	default:
		return SP_EFORMAT;
	}
	if (s->state == SP_RCP_AFTER)
		return SP_EFORMAT;
	s->state = SP_RCP_WAIT;
	s->asked = ret->what;
	return r;
}

/* The sink has answered what the source waits for. */
static void
take_reply(struct sp_rcp *s, int ok, struct sp_rcp_item *ret)
{
	ret->what = SP_RCP_REPLY;
	ret->to = s->asked;
	ret->ok = ok;
	s->state = SP_RCP_LINE;
	if (ok && s->asked == SP_RCP_FILE)
		s->state = s->left > 0 ? SP_RCP_DATA : SP_RCP_AFTER;
	else if (ok && s->asked == SP_RCP_DIR)
		s->depth++;
}

static enum sp_err
sink_reply(struct sp_rcp *s, int ok, struct sp_view text, struct sp_rcp_item *ret)
{
	ret->text = text;
	if (s->state == SP_RCP_WAIT) {
		take_reply(s, ok, ret);
		return SP_OK;
	}
	if (s->early_n == EARLY_MAX)
		return SP_EFORMAT;
	s->early |= (uint32_t)(ok != 0) << s->early_n++;
	return SP_OK;		/* MORE: nothing to tell yet */
}

/* One line into its buffer; 1 when it is whole. */
static int
collect(struct sp_rcp *s, enum sp_rcp_side side, struct sp_view *in, enum sp_err *err)
{
	struct sp_buf *b = &s->line[side];
	const uint8_t *end = memchr(in->p, '\n', in->len);
	size_t n = end != NULL ? (size_t)(end - in->p) : in->len;

	if (b->len + n > SP_RCP_LINE_MAX) {
		*err = SP_ESIZE;
		return 0;
	}
	if ((*err = sp_buf_append(b, in->p, n)) != SP_OK)
		return 0;
	n += end != NULL;
	in->p += n;
	in->len -= n;
	if (end == NULL)
		return 0;
	s->given[side] = 1;
	return 1;
}

static enum sp_err
next_source(struct sp_rcp *s, struct sp_view *in, struct sp_rcp_item *ret)
{
	struct sp_buf *b = &s->line[SP_RCP_SOURCE];
	enum sp_err r = SP_OK;

	if (s->state == SP_RCP_WAIT)
		return SP_EFORMAT;	/* it does not wait for the answer: this is something else */
	if (s->state == SP_RCP_DATA) {
		size_t n = in->len < s->left ? in->len : (size_t)s->left;

		*ret = (struct sp_rcp_item){ .what = SP_RCP_BYTES, .bytes = { in->p, n }, .offset = s->offset };
		s->offset += n;
		if ((s->left -= n) == 0)
			s->state = SP_RCP_AFTER;
		in->p += n;
		in->len -= n;
		return SP_OK;
	}
	if (s->state == SP_RCP_AFTER && b->len == 0 && in->p[0] == 0) {
		in->p++;
		in->len--;
		ret->what = SP_RCP_STATUS;
		ret->ok = 1;
		s->state = SP_RCP_WAIT;
		s->asked = SP_RCP_STATUS;
		return SP_OK;
	}
	if (!collect(s, SP_RCP_SOURCE, in, &r))
		return r;
	return b->len > 0 ? source_line(s, (struct sp_view){ b->p, b->len }, ret) : SP_EFORMAT;
}

static enum sp_err
next_sink(struct sp_rcp *s, struct sp_view *in, struct sp_rcp_item *ret)
{
	struct sp_buf *b = &s->line[SP_RCP_SINK];
	enum sp_err r = SP_OK;

	if (b->len == 0 && in->p[0] == 0) {
		in->p++;
		in->len--;
		return sink_reply(s, 1, (struct sp_view){ NULL, 0 }, ret);
	}
	if (b->len == 0 && in->p[0] != 1 && in->p[0] != 2)
		return SP_EFORMAT;
	if (!collect(s, SP_RCP_SINK, in, &r))
		return r;
	return sink_reply(s, 0, (struct sp_view){ b->p + 1, b->len - 1 }, ret);
}

enum sp_err
sp_rcp_next(struct sp_rcp *s, enum sp_rcp_side side, struct sp_view *in, struct sp_rcp_item *ret)
{
	if (s->broken != SP_OK)
		return s->broken;
	*ret = (struct sp_rcp_item){ .what = SP_RCP_MORE };
	if (s->state == SP_RCP_WAIT && s->early_n > 0) {
		take_reply(s, s->early & 1, ret);
		s->early >>= 1;
		s->early_n--;
		return SP_OK;
	}
	while (in->len > 0 && ret->what == SP_RCP_MORE && s->broken == SP_OK) {
		if (s->given[side]) {	/* the line of the item before */
			s->given[side] = 0;
			s->line[side].len = 0;
		}
		s->broken = side == SP_RCP_SOURCE ? next_source(s, in, ret) : next_sink(s, in, ret);
	}
	return s->broken;
}
