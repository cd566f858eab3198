/* src/scribe/watch.h - one watcher of a live session: frames (docs/protocol/flows.md) to a stream socket.
 * Process: scribe. A watcher reads the recording itself, first what is there and then what is added, and holds no queue:
 * however slow it is, the session never waits for it and memory stays flat. One that falls SP_WATCH_LAG bytes further
 * behind than it began is told so and closed. */
#ifndef SP_SCRIBE_WATCH_H
#define SP_SCRIBE_WATCH_H

#include "base/list.h"
#include "base/loop.h"

#define SP_WATCH_REPLAY	(4u * 1024 * 1024)	/* bytes of output shown from before */
#define SP_WATCH_LAG	(16u * 1024 * 1024)
#define SP_WATCH_MAX	16

struct sp_watch;
struct sp_watch_at {		/* a place in the recording where one can begin */
	uint64_t	off;
	uint32_t	cols, rows;
};

/* Takes fd, adds itself to list and leaves it when the watcher goes away. rec_fd is borrowed. */
enum sp_err	sp_watch_new(struct sp_loop *l, int fd, int rec_fd, struct sp_list *list) SP_MUST_USE;
void		sp_watch_free(struct sp_watch *w);
struct sp_watch	*sp_watch_of(struct sp_list *link);
/* Follow this channel from there. end_off: where the recording ends now. Only the first call counts. */
void		sp_watch_attach(struct sp_watch *w, uint32_t channel, struct sp_watch_at at, uint64_t end_off);
/* The recording is on disk up to end_off. */
void		sp_watch_advance(struct sp_watch *w, uint64_t end_off);
/* Nothing more will come: show the rest, then the reason, then close. */
void		sp_watch_end(struct sp_watch *w, uint64_t end_off, const char *reason);

#endif
