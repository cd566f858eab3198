/* src/ctl/segments.h - the segments of a recording as one: lines in their order, times counted from the beginning of the first.
 * Process: the command line, in its sandbox. */
#ifndef SP_CTL_SEGMENTS_H
#define SP_CTL_SEGMENTS_H

#include "scribe/recreader.h"

#define CTL_SEGMENTS_MAX	512u

struct ctl_segments {
	struct sp_recreader *r[CTL_SEGMENTS_MAX];	/* owned */
	uint64_t	offset_us[CTL_SEGMENTS_MAX];	/* where each begins */
	unsigned	n, at;
};
/* Append one; taken. It begins where the one before it ends. SP_EFULL. */
enum sp_err	ctl_segments_add(struct ctl_segments *s, struct sp_recreader *taken) SP_MUST_USE;
void		ctl_segments_release(struct ctl_segments *s);
/* As sp_recreader_next(); the header of a later segment is left out. *ret_offset_us: to be added to the time in the line. */
enum sp_err	ctl_segments_next(struct ctl_segments *s, struct sp_view *ret, uint64_t *ret_offset_us) SP_MUST_USE;
enum sp_err	ctl_segments_seek(struct ctl_segments *s, uint64_t at_us) SP_MUST_USE;
uint64_t	ctl_segments_duration(const struct ctl_segments *s);
int		ctl_segments_torn(const struct ctl_segments *s);

#endif
