/* src/ctl/castplay.h - the events of a recording, put in the order in which they are shown: what a terminal gets, its sizes,
 * markers. Reads the recorder's own codes (docs/protocol/recording.md). Process: the command line, in its sandbox.
 * A session without a terminal shows what its commands printed. */
#ifndef SP_CTL_CASTPLAY_H
#define SP_CTL_CASTPLAY_H

#include "ctl/segments.h"

enum cast_show { CAST_OUTPUT, CAST_SIZE, CAST_SCREEN, CAST_MARKER };
struct cast_event {
	enum cast_show	what;
	uint64_t	at_us;
	struct sp_view	bytes;		/* of output, a marker's text, or what draws a screen from nothing; borrowed for the call */
	unsigned	cols, rows;	/* of CAST_SIZE and CAST_SCREEN */
};
struct castplay {
	struct ctl_segments *r;		/* borrowed */
	struct sp_buf	text, raw;
	int		terminal;	/* one was seen */
	int		mended;		/* the next output shows bytes that were given already */
	int		after_seek;	/* key frames count until the first other event */
};
void		castplay_init(struct castplay *p, struct ctl_segments *r);
void		castplay_release(struct castplay *p);
/* Go on at or before this time: the first events may be older. */
enum sp_err	castplay_seek(struct castplay *p, uint64_t at_us) SP_MUST_USE;
/* The next event to be shown. SP_ENOENT: the end. SP_EFORMAT: a line that no recorder of ours writes; others as
 * sp_recreader_next(). */
enum sp_err	castplay_next(struct castplay *p, struct cast_event *ret) SP_MUST_USE;

#endif
