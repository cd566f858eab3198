/* src/scribe/watch.h - one watcher of a live session: frames (docs/protocol/flows.md) to a stream socket. Process: scribe.
 * It begins with the screen as it is, a key frame, and then gets the output as it comes. A watcher that is slow loses what
 * waits for it and begins again with the screen of that moment: the session never waits for it, memory stays flat. */
#ifndef SP_SCRIBE_WATCH_H
#define SP_SCRIBE_WATCH_H

#include "base/buf.h"
#include "base/list.h"
#include "base/loop.h"

#define SP_WATCH_QUEUE	(256u * 1024)	/* bytes that may wait for a watcher */
#define SP_WATCH_MAX	16

/* The size of a terminal and the sequences that draw its screen, appended to *ret. 0: the terminal is gone. */
typedef int sp_watch_screen_fn(void *arg, uint32_t channel, uint32_t *ret_cols, uint32_t *ret_rows, struct sp_buf *ret);

struct sp_watch;
/* Takes fd, adds itself to list and leaves it when the watcher goes away. */
enum sp_err	sp_watch_new(struct sp_loop *l, int fd, sp_watch_screen_fn *screen, void *arg, struct sp_list *list) SP_MUST_USE;
void		sp_watch_free(struct sp_watch *w);
struct sp_watch	*sp_watch_of(struct sp_list *link);
/* Follow this channel from now on. Only the first call counts. These may free the watcher: */
void		sp_watch_attach(struct sp_watch *w, uint32_t channel);
/* What the channel printed; its new size. Of other channels: nothing. */
void		sp_watch_output(struct sp_watch *w, uint32_t channel, struct sp_view v);
void		sp_watch_resize(struct sp_watch *w, uint32_t channel, uint32_t cols, uint32_t rows);
void		sp_watch_channel_end(struct sp_watch *w, uint32_t channel);
/* Nothing more will come: show the rest, then the reason, then close. */
void		sp_watch_end(struct sp_watch *w, const char *reason);

#endif
