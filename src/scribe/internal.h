/* src/scribe/internal.h - one recorder, shared by its files: scribe.c (life, disk, events, end), said.c (what the session
 * says). Process: a child of the scribe parent. */
#ifndef SP_SCRIBE_INTERNAL_H
#define SP_SCRIBE_INTERNAL_H

#include "base/htab.h"
#include "base/loop.h"
#include "base/pool.h"
#include "ipc/chan.h"
#include "sallyport.pb-c.h"
#include "scribe/bulk.h"
#include "scribe/castlog.h"
#include "scribe/press.h"
#include "scribe/scribe.h"
#include "scribe/spool.h"
#include "scribe/track.h"
#include "scribe/transfer.h"
#include "scribe/watch.h"

#define SP_INTAKE_BULK	(256u * 1024)	/* bytes of a stream without a terminal: from here on it may have a ring */

enum scribe_state { S_WAIT, S_START, S_OPEN, S_ENDED };

struct channel {
	struct sp_hnode	node;
	uint32_t	id;
	int		pty, ended;
	struct sp_castchan cast;
	struct sp_scribe_track *track;		/* with a terminal; NULL: no memory for it, or ended */
	struct sp_outtext *out;			/* an exec request whose output is kept; no transfer */
	struct sp_transfer *files;		/* NULL: it transfers none that we know of */
	int		apart;			/* contents of its files are not in the hashes of its streams */
	struct sp_bulk	*bulk;			/* without a terminal: SP_REC_STREAMS of them */
	uint64_t	bytes[SP_REC_STREAMS];
	uint64_t	opened_us;
};
struct sp_intake {		/* bulk comes through a ring beside the session's channel (lib/ipc/ring.h) */
	struct sp_ring	*ring;
	struct sp_timer	*timer;
	uint64_t	heard;			/* messages of the session that were handled */
	unsigned	quiet;			/* looks in a row that found nothing */
	int		ahead;			/* the oldest record waits for a message */
	int		may;			/* the session knows rings, and has none */
};
struct scribe {
	uint64_t		 judged_n;	/* lines and requests that rules judged */
	struct sp_loop	*loop;
	struct sp_chan	*session, *control, *monitor;
	struct sp_source *session_io;
	enum scribe_state state;
	enum sp_err	open_err;		/* why there are no files */
	struct sp_uuid	id;
	char		path[SP_REC_PATH];
	struct sp_recwriter rec;
	struct sp_castlog log;
	int		output;			/* keep what commands print, in clear */
	struct sp_kept	kept;			/* contents of files, beside the recording */
	int		kept_told;		/* ... that they are no longer kept */
	struct sp_spool	spool;
	int		strict, reserved;
	struct sp_press	*press;		/* shared with the parent; NULL: not there */
	uint64_t	tick_bytes;	/* of the recording, at the last tick */
	uint64_t	begun_us;		/* boottime of the first segment */
	unsigned	segment;		/* that is written now, from 1 */
	uint64_t	segment_bytes, segment_us;	/* after which the next one begins */
	uint64_t	quota_bytes, done_bytes;	/* of all segments; in those before this one */
	int		ask, answer, answer_far;	/* segment.h */
	struct sp_chan	*answers;		/* on `answer`; NULL before the first question */
	uint64_t	ask_again_us;		/* no question before; 0: whenever it is due */
	int		turn_fd[SP_REC_FILES];	/* of the next segment, until nothing is being synced; -1 */
	uint64_t	reserve_bytes, channel_max;
	struct sp_age_recipient to[SP_AGE_RECIPIENTS_MAX];
	size_t		to_n;
	struct sp_htab	channels;
	struct channel	*newest_pty;		/* kept after its end, for watchers */
	uint64_t	bytes[SP_REC_STREAMS], lost_bytes;
	enum sp_err	failed;			/* the recording stands still */
	int		broken;			/* ... for good: fsync failed */
	struct sp_list	watchers;
	struct sp_timer	*flush, *sync, *strict_end, *linger;
	int		flush_on, sync_on, syncing, paused, slowed, hung_up;
	int		settle;			/* input waits for its echo */
	struct sp_intake intake;		/* intake.c */
	uint64_t	chunk_us, chunk_bytes;	/* when the last "chunk" event was, and what it covered */
	struct sp_pool	*pool;
	char		end_reason[512];
};

/* scribe.c */
void		 scribe_finish(struct scribe *s, const char *reason, const char *by);
void		 scribe_fail(struct scribe *s, enum sp_err why);
void		 scribe_wrote(struct scribe *s, enum sp_err r, size_t bytes);	/* after a line: flush later, or deal with the failure */
void		 scribe_kept_failed(struct scribe *s);
void		 scribe_event(struct scribe *s, const char *kind, const struct sp_buf *body);
void		 scribe_pump(struct scribe *s);
void		 scribe_tell(struct scribe *s, uint16_t id, const void *body);
int		 scribe_is_slow(const struct scribe *s);	/* the disk is nearly full: no more just now */
void		 scribe_reading(struct scribe *s);	/* ... of the session, or not: the spool may be full */
void		 scribe_note(struct scribe *s, const struct sp_buf *json);	/* into the recording */
void		 watchers_attach(struct scribe *s);		/* those that wait for a terminal */
void		 watchers_output(struct scribe *s, const struct channel *c, struct sp_view v);
void		 watchers_resize(struct scribe *s, const struct channel *c);
void		 watchers_channel_end(struct scribe *s, const struct channel *c);
/* A watcher of a terminal by its number, or of the newest one (0), now or as soon as there is one. fd is taken. */
void		 watchers_add(struct scribe *s, uint32_t channel, int fd);
/* said.c */
void		 scribe_opened(struct scribe *s, enum sp_err err, const char *text);	/* REC_OPENED */
void		 said(struct scribe *s, struct sp_msg *m);
struct channel	*channel_find(struct scribe *s, uint32_t id);
void		 channels_settle(struct scribe *s, uint64_t now_us);
void		 channels_end(struct scribe *s);		/* what they hold back is written */
/* Bytes of a channel. shared: they lie in memory that the session can write to. */
void		 said_bytes(struct scribe *s, const struct sp_recdata *d, struct sp_view v, int shared);
void		 said_wrongly(struct scribe *s, const char *what);	/* the session lies: the end */
/* intake.c */
void		 intake_bulk(struct scribe *s);		/* there is a bulk stream: offer a ring, if there is none */
void		 intake_before(struct scribe *s);	/* a message of the session comes: what was written before it */
void		 intake_look(struct scribe *s);		/* REC_WAKE, or reading goes on */
int		 intake_behind(struct scribe *s);	/* something is there that comes before the next message */
void		 intake_rest(struct scribe *s);		/* the session is gone: what it left */
void		 intake_close(struct scribe *s);

#endif
