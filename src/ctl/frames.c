/* src/ctl/frames.c - see frames.h. */
#include "ctl/frames.h"

void
ctl_frames_init(struct ctl_frames *f, ctl_frame_fn *fn, void *arg)
{
	*f = (struct ctl_frames){ .fn = fn, .arg = arg };
	sp_buf_init(&f->in, CTL_FRAME_HEAD + CTL_FRAME_MAX);
}

void
ctl_frames_release(struct ctl_frames *f)
{
	sp_buf_release(&f->in);
}

static unsigned
frames_u16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t
frames_u32(const uint8_t *p)
{
	return frames_u16(p) | (uint32_t)frames_u16(p + 2) << 16;
}

/* Check the header at the front. *ret_len: bytes behind it. */
static enum sp_err
frames_head(const uint8_t *p, uint32_t *ret_len)
{
	uint32_t len = frames_u32(p + 8);

	if (p[0] < CTL_FRAME_OUTPUT || p[0] > CTL_FRAME_END || p[1] != 0 || frames_u16(p + 6) != 0)
		return SP_EFORMAT;
	if (len > CTL_FRAME_MAX)
		return SP_ESIZE;
	*ret_len = len;
	return SP_OK;
}

/* Deliver the frame at the front if it is whole. *ret_used: its bytes; 0: more are needed. */
static enum sp_err
frames_one(struct ctl_frames *f, const uint8_t *p, size_t n, size_t *ret_used)
{
	struct ctl_frame one;
	uint32_t len = 0;
	enum sp_err r;

	*ret_used = 0;
	if (n < CTL_FRAME_HEAD)
		return SP_OK;
	if ((r = frames_head(p, &len)) != SP_OK)
		return r;
	if (n < CTL_FRAME_HEAD + (size_t)len)
		return SP_OK;
	one.type = (enum ctl_frame_type)p[0];
	one.cols = frames_u16(p + 2);
	one.rows = frames_u16(p + 4);
	one.bytes = (struct sp_view){ p + CTL_FRAME_HEAD, len };
	f->fn(&one, f->arg);
	*ret_used = CTL_FRAME_HEAD + (size_t)len;
	return SP_OK;
}

/* What fits into the buffer is added, whole frames are taken out, until all is in. */
enum sp_err
ctl_frames_feed(struct ctl_frames *f, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n > 0 && f->failed == SP_OK) {
		size_t room = f->in.max - f->in.len, take = n < room ? n : room, at = 0, used = 0;

		if ((f->failed = sp_buf_append(&f->in, p, take)) != SP_OK)
			break;
		p += take;
		n -= take;
		while ((f->failed = frames_one(f, f->in.p + at, f->in.len - at, &used)) == SP_OK && used > 0)
			at += used;
		sp_buf_consume(&f->in, at);
	}
	return f->failed;
}
