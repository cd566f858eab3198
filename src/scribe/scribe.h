/* src/scribe/scribe.h - the two kinds of children that the scribe parent forks. Neither returns. */
#ifndef SP_SCRIBE_SCRIBE_H
#define SP_SCRIBE_SCRIBE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/str.h"

#define SP_SCRIBE_PATH_MAX	96
#define SP_SCRIBE_KEPT_FDS	5

struct sp_sandbox_plan;

struct sp_scribe_birth {
	struct sp_uuid	session;
	int		session_fd, control_fd, monitor_fd;	/* given */
	int		recordings, spool;			/* directories, given */
	const struct sp_sandbox_plan *box;			/* from sp_scribe_plan(), borrowed */
	uint64_t	reserve_bytes;				/* that the file system must have left */
	char		path[SP_SCRIBE_PATH_MAX];		/* of the recording, below recordings; made by the parent */
};

/* The sandbox of every recorder, prepared once by the parent. */
enum sp_err sp_scribe_plan(struct sp_sandbox_plan **ret) SP_MUST_USE;
/* One session's recorder. */
void	sp_scribe_main(struct sp_scribe_birth *b) SP_NORETURN;
/* Deliver what dead scribes left in the spool, over the parent's channel to control, then exit: 0 if nothing is left,
 * 75 if something is (a scribe lives, control went away). */
void	sp_replay_main(int control_fd, int recordings, int spool) SP_NORETURN;
/* "2026/09/01/<id>.rec": the day is that of the wall clock in UTC. */
void	sp_scribe_path(const struct sp_uuid *session, int64_t wall_us, char dst[SP_SCRIBE_PATH_MAX]);

#endif
