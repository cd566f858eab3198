/* tests/unit/src/scribe/rig.h - plays monitor, session and control against the real sallyport-scribe. */
#ifndef TEST_SCRIBE_RIG_H
#define TEST_SCRIBE_RIG_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/loop.h"
#include "base/str.h"
#include "crypto/age.h"
#include "ipc/chan.h"

#define RIG_EVENTS	512
#define RIG_WAIT_MS	10000

struct rig_event {
	struct sp_uuid	session;
	uint64_t	seq;
	char		kind[32], body[4096];
};
/* One end of a channel of control's, and what it heard. */
struct rig_control {
	struct sp_chan	*chan;
	struct rig_event ev[RIG_EVENTS];
	int		n, ack, closed;		/* ack: acknowledge at once */
};
struct rig_session {
	struct rig	*rig;
	struct sp_uuid	id;
	struct sp_chan	*session, *monitor;
	struct rig_control *control;
	pid_t		pid;
	int		rings;			/* set before rig_open: a ring may be offered */
	int		ring_fd, ringed, rooms;	/* it; it is there; how often there was room again */
	int		opened, opened_err, state_err, session_closed, monitor_closed;
	char		path[256], text[256];
};
struct rig {
	struct sp_loop	*loop;
	struct sp_chan	*monitor;
	pid_t		pid;
	char		dir[256];
	int		ready, died, died_status;
	pid_t		died_pid;
	struct rig_session *last_born;
	struct sp_secret auditor;	/* identity; every recording is encrypted to it */
	struct sp_age_recipient to;
	int		nobody;		/* give recorders no recipient */
};
struct rig_recording {			/* what a recording says, read with the auditor's key */
	struct sp_buf	stream;		/* of the channel and stream that was asked for */
	struct sp_buf	lines;		/* all of it */
	int		ended, torn;
	enum sp_err	err;		/* why reading ended; SP_ENOENT: at its end */
};

/* config: text for BOOT. dir: where recordings/ and spool/ are made ("" for a new one in /tmp). */
void	rig_start(struct rig *r, const char *config, const char *dir);
void	rig_stop(struct rig *r);			/* ends the parent, removes the directory */
void	rig_kill(struct rig *r);			/* the parent dies; the directory stays */
struct rig_control *rig_control_new(struct rig *r, int ack, int *ret_peer);
void	rig_control_free(struct rig_control *c);
/* PEER(CONTROL) on a monitor channel (the parent's, or a recorder's). */
struct rig_control *rig_give_control(struct rig *r, struct sp_chan *to, int ack);
struct rig_session *rig_session_new(struct rig *r, int ack);
void	rig_session_free(struct rig_session *s);
void	rig_open(struct rig_session *s, const char *mode, uint64_t max);
void	rig_channel(struct rig_session *s, uint32_t channel, const char *type, int pty, const char *detail);
void	rig_data(struct rig_session *s, uint32_t channel, int stream, const void *p, size_t n);	/* waits for room */
void	rig_end(struct rig_session *s, const char *reason, const char *by);
void	rig_data_at(struct rig_session *s, uint32_t channel, int stream, const void *p, size_t n, uint64_t at_us);
/* path: of the age file, below recordings; its tail files lie beside it. */
void	rig_read(struct rig *r, const char *path, uint32_t channel, int stream, struct rig_recording *ret);
void	rig_recording_release(struct rig_recording *v);
int	rig_wait(struct rig *r, const int *flag, int at_least);	/* true when *flag reached it in time */
int	rig_path(struct rig *r, const char *below, char *dst, size_t n);
const struct rig_event *rig_find(const struct rig_control *c, const char *kind);

#endif
