/* src/ctl/frames.h - the watch stream (docs/protocol/flows.md): u8 type, u8 zero, u16 cols, u16 rows, u16 zero, u32 length,
 * little endian, then the bytes. Pure.
 * Invariants: at most FRAMES_HEAD + CTL_FRAME_MAX bytes are kept; after an error nothing more is delivered. */
#ifndef SP_CTL_FRAMES_H
#define SP_CTL_FRAMES_H

#include "base/buf.h"

#define CTL_FRAME_HEAD	12
#define CTL_FRAME_MAX	(8u * 1024 * 1024)	/* bytes of one frame; a scribe sends 4 MiB at most */

enum ctl_frame_type {
	CTL_FRAME_OUTPUT = 1,
	CTL_FRAME_RESIZE = 2,
	CTL_FRAME_END = 3,
};
struct ctl_frame {
	enum ctl_frame_type	type;
	unsigned		cols, rows;
	struct sp_view		bytes;		/* borrowed for the call */
};
typedef void ctl_frame_fn(const struct ctl_frame *f, void *arg);

struct ctl_frames {
	struct sp_buf	 in;
	ctl_frame_fn	*fn;
	void		*arg;
	enum sp_err	 failed;
};
void		ctl_frames_init(struct ctl_frames *f, ctl_frame_fn *fn, void *arg);
void		ctl_frames_release(struct ctl_frames *f);
/* Take bytes as they come and deliver every whole frame. SP_EFORMAT (unknown type, bytes that must be zero), SP_ESIZE. */
enum sp_err	ctl_frames_feed(struct ctl_frames *f, const void *data, size_t n) SP_MUST_USE;

#endif
