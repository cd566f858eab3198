/* src/ctl/watch.h - show a live session, read-only. */
#ifndef SP_CTL_WATCH_H
#define SP_CTL_WATCH_H

#include "ctl/cmd.h"

/* Until the session ends or the watcher presses q. fd is the stream (taken); title: "alice on root@web1", for the last line. */
enum sp_err	ctl_watch(struct ctl *c, int fd, const char *title) SP_MUST_USE;

#endif
