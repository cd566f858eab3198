/* src/scribe/spool.h - events on their way to the audit log, on disk until they are acknowledged. One file per session,
 * spool/<session id>. Process: scribe (its own), a replay child (those that dead scribes left).
 * Invariants: (1) sequence numbers are 1, 2, 3... without a gap, in the file and on the channel. (2) An event is written
 * before it is sent. (3) Who holds the file's lock is the only one who sends from it. (4) SP_SPOOL_KEEP bytes of disk are
 * ours before the first event, so that the end fits on a full disk. Format: docs/protocol/recording.md. */
#ifndef SP_SCRIBE_SPOOL_H
#define SP_SCRIBE_SPOOL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"
#include "ipc/chan.h"

#define SP_SPOOL_KEEP	(64u * 1024)		/* bytes of disk set aside */
#define SP_SPOOL_MAX	(16u * 1024 * 1024)	/* beyond this the recorder stops taking input */
#define SP_SPOOL_BODY	180000u			/* most bytes of one event's body: it must fit its message */

struct sp_spool {
	int		fd;		/* owned, locked; -1: not open */
	struct sp_uuid	session;
	uint64_t	last_seq, acked_seq, sent_seq;
	uint64_t	write_off, send_off;
	char		last_kind[32];	/* of the event last_seq */
	int		dirty;
};

/* A new file. SP_EEXIST, SP_ENOSPC, SP_EIO. */
enum sp_err	sp_spool_create(int dirfd, const struct sp_uuid *session, struct sp_spool *ret) SP_MUST_USE;
/* One that a scribe left. SP_EBUSY: that scribe lives; SP_ENOENT; SP_ECORRUPT: not a spool file. What is cut at its end is
 * left out, that is no error. */
enum sp_err	sp_spool_open(int dirfd, const struct sp_uuid *session, struct sp_spool *ret) SP_MUST_USE;
void		sp_spool_release(struct sp_spool *s);	/* closes; the file stays */
/* Append one event; durable after sp_spool_sync. body: JSON, at most SP_SPOOL_BODY bytes. */
enum sp_err	sp_spool_append(struct sp_spool *s, const char *kind, int64_t wall_us, uint64_t mono_us, struct sp_view body)
		    SP_MUST_USE;
enum sp_err	sp_spool_sync(struct sp_spool *s) SP_MUST_USE;
int		sp_spool_full(const struct sp_spool *s);
/* Send what was not sent yet, as far as the channel's queue is short; call again when acknowledgements arrive. */
enum sp_err	sp_spool_pump(struct sp_spool *s, struct sp_chan *control) SP_MUST_USE;
/* Every event up to seq is safe elsewhere. A number beyond what was sent is cut to it. */
void		sp_spool_ack(struct sp_spool *s, uint64_t seq);
int		sp_spool_settled(const struct sp_spool *s);	/* nothing is waiting for an acknowledgement */
/* The channel was replaced: what is not acknowledged goes out again. */
void		sp_spool_rewind(struct sp_spool *s);
/* Everything is acknowledged and nothing will follow: an empty file says that nothing is left. */
void		sp_spool_finish(struct sp_spool *s);

#endif
