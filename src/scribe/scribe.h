/* src/scribe/scribe.h - the two kinds of children that the scribe parent forks. Neither returns. */
#ifndef SP_SCRIBE_SCRIBE_H
#define SP_SCRIBE_SCRIBE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"
#include "common/recpath.h"
#include "crypto/age.h"

#define SP_SCRIBE_KEPT_FDS	6

struct sp_sandbox_plan;
struct sp_press;

struct sp_scribe_birth {
	struct sp_uuid	session;
	int		session_fd, control_fd, monitor_fd;	/* given */
	int		recordings, spool;			/* directories, given */
	const struct sp_sandbox_plan *box;			/* from sp_scribe_plan(), borrowed */
	uint64_t	reserve_bytes;				/* that the file system must have left: see press.h */
	uint64_t	quota_bytes;				/* of this recording; 0: none */
	uint64_t	segment_bytes, segment_us;		/* after which it goes on in a further segment */
	int		ask;					/* to the parent (segment.h), given */
	int		reserved;				/* of an administrator */
	struct sp_press	*press;					/* shared with the parent; NULL: not there */
	struct sp_age_recipient to[SP_AGE_RECIPIENTS_MAX];	/* auditors, as control named them */
	size_t		to_n;
	uint32_t	keep;					/* beside the recording: common/keep.h */
	uint64_t	keep_max;				/* bytes of one file; 0: all */
};

/* The sandbox of every recorder, prepared once by the parent. */
enum sp_err sp_scribe_plan(struct sp_sandbox_plan **ret) SP_MUST_USE;
/* One session's recorder. */
void	sp_scribe_main(struct sp_scribe_birth *b) SP_NORETURN;
/* Deliver what dead scribes left in the spool, over the parent's channel to control, then exit: 0 if nothing is left,
 * 75 if something is (a scribe lives, control went away). */
void	sp_replay_main(int control_fd, int recordings, int spool) SP_NORETURN;
/* The files of a recording. */
struct sp_scribe_files {
	int	fd[SP_REC_FILES];
};
/* Make them, empty, their names durable. SP_ENOSPC: the file system has less than reserve_bytes left. SP_EEXIST, SP_EIO. */
enum sp_err sp_scribe_files(int recordings, const struct sp_uuid *session, unsigned segment, uint64_t reserve_bytes, struct sp_scribe_files *ret)
	SP_MUST_USE;

/* The file for contents that are kept, empty, its name durable; after sp_scribe_files. */
enum sp_err sp_scribe_kept_file(int recordings, const struct sp_uuid *session, int *ret) SP_MUST_USE;

#endif
