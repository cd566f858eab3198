/* src/ctl/castplay.c - see castplay.h. */
#include "ctl/castplay.h"

#include <string.h>

#include "base/str.h"
#include "wire/asciicast.h"

#define SIZE_MOST	10000u

void
castplay_init(struct castplay *p, struct ctl_segments *r)
{
	*p = (struct castplay){ .r = r };
	sp_buf_init(&p->text, SP_REC_LINE_MAX);
	sp_buf_init(&p->raw, 2 * SP_REC_LINE_MAX);
}

void
castplay_release(struct castplay *p)
{
	sp_buf_release(&p->text);
	sp_buf_release(&p->raw);
}

enum sp_err
castplay_seek(struct castplay *p, uint64_t at_us)
{
	p->mended = 0;
	p->after_seek = at_us > 0;
	return ctl_segments_seek(p->r, at_us);
}

/* A decimal number and the byte behind it. */
static int
take_number(struct sp_view *v, char behind, unsigned *ret)
{
	unsigned n = 0;
	size_t i = 0;

	for (; i < v->len && v->p[i] >= '0' && v->p[i] <= '9' && n <= 100000000; i++)
		n = n * 10 + (unsigned)(v->p[i] - '0');
	if (i == 0 || (behind != 0 && (i == v->len || v->p[i] != (uint8_t)behind)))
		return 0;
	i += behind != 0;
	v->p += i;
	v->len -= i;
	*ret = n;
	return 1;
}

static int
take_size(struct sp_view *v, char behind, struct cast_event *ret)
{
	return take_number(v, 'x', &ret->cols) && take_number(v, behind, &ret->rows) && ret->cols > 0 && ret->rows > 0 &&
	    ret->cols <= SIZE_MOST && ret->rows <= SIZE_MOST;
}

/* "channel stream rest": *ret_stream is i, o or e. */
static int
take_stream(struct sp_view *v, unsigned *ret_channel, char *ret_stream)
{
	if (!take_number(v, ' ', ret_channel) || v->len < 2 || v->p[1] != ' ')
		return 0;
	*ret_stream = (char)v->p[0];
	v->p += 2;
	v->len -= 2;
	return 1;
}

/* Lines of a command as a terminal shows them. */
static enum sp_err
put_lines(struct castplay *p, struct sp_view v)
{
	enum sp_err r = SP_OK;

	for (size_t i = 0; i < v.len && r == SP_OK; i++)
		r = v.p[i] == '\n' ? sp_buf_append(&p->raw, "\r\n", 2) : sp_buf_put_u8(&p->raw, v.p[i]);
	return r;
}

static enum sp_err
decode(struct castplay *p, struct sp_view v)
{
	sp_buf_reset(&p->raw);
	return sp_base64_parse(&p->raw, (const char *)v.p, v.len);
}

/* x and y: another channel's bytes. Shown when there is no terminal. */
static enum sp_err
read_other(struct castplay *p, struct sp_view v, int base64, struct cast_event *ret, int *ret_shown)
{
	sp_auto(sp_buf_release) struct sp_buf raw = { .max = SP_REC_LINE_MAX };
	unsigned channel;
	char stream;
	enum sp_err r;

	if (!take_stream(&v, &channel, &stream))
		return SP_EFORMAT;
	if (p->terminal || stream == 'i')
		return SP_OK;
	if (base64) {
		if ((r = sp_base64_parse(&raw, (const char *)v.p, v.len)) != SP_OK)
			return r;
		v = (struct sp_view){ raw.p, raw.len };
	}
	sp_buf_reset(&p->raw);
	if ((r = put_lines(p, v)) != SP_OK)
		return r;
	ret->what = CAST_OUTPUT;
	ret->bytes = (struct sp_view){ p->raw.p, p->raw.len };
	*ret_shown = 1;
	return SP_OK;
}

/* k: the first one behind a seek is the terminal on the air. */
static enum sp_err
read_key(struct castplay *p, struct sp_view v, struct cast_event *ret, int *ret_shown)
{
	unsigned channel;

	if (!take_number(&v, ' ', &channel) || !take_size(&v, ' ', ret))
		return SP_EFORMAT;
	if (!p->after_seek)
		return SP_OK;
	p->after_seek = 0;
	p->terminal = 1;
	ret->what = CAST_SCREEN;
	ret->bytes = v;
	*ret_shown = 1;
	return SP_OK;
}

static enum sp_err
read_raw(struct castplay *p, struct sp_view v, struct cast_event *ret, int *ret_shown)
{
	unsigned channel;
	char stream;
	enum sp_err r;

	if (!take_stream(&v, &channel, &stream))
		return SP_EFORMAT;
	if (stream == 'i')
		return SP_OK;
	p->mended = 1;
	if ((r = decode(p, v)) != SP_OK)
		return r;
	ret->what = CAST_OUTPUT;
	ret->bytes = (struct sp_view){ p->raw.p, p->raw.len };
	*ret_shown = 1;
	return SP_OK;
}

static enum sp_err
read_line(struct castplay *p, struct sp_view line, struct cast_event *ret, int *ret_shown)
{
	struct sp_view v;
	char code;
	enum sp_err r;

	*ret_shown = 0;
	if (line.len > 0 && line.p[0] == '{')
		return SP_OK;	/* the header */
	sp_buf_reset(&p->text);
	if ((r = sp_cast_read(line, &ret->at_us, &code, &p->text)) != SP_OK)
		return r;
	v = (struct sp_view){ p->text.p, p->text.len };
	switch (code) {
	case 'k':
		return read_key(p, v, ret, ret_shown);
	case 'b':
		return read_raw(p, v, ret, ret_shown);
	case 'x':
	case 'y':
		return read_other(p, v, code == 'y', ret, ret_shown);
	case 'o':
		*ret_shown = !p->mended;
		p->mended = 0;
		ret->what = CAST_OUTPUT;
		break;
	case 'r':
		if (!take_size(&v, 0, ret))
			return SP_EFORMAT;
		p->terminal = *ret_shown = 1;
		ret->what = CAST_SIZE;
		break;
	case 'm':
		*ret_shown = 1;
		ret->what = CAST_MARKER;
		break;
	default:
		return SP_OK;
	}
	p->after_seek = 0;
	ret->bytes = v;
	return SP_OK;
}

enum sp_err
castplay_next(struct castplay *p, struct cast_event *ret)
{
	int shown = 0;

	while (!shown) {
		struct sp_view line;
		uint64_t offset_us = 0;
		enum sp_err r = ctl_segments_next(p->r, &line, &offset_us);

		if (r == SP_OK)
			r = read_line(p, line, ret, &shown);
		ret->at_us += offset_us;
		if (r != SP_OK)
			return r;
	}
	return SP_OK;
}
