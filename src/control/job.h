/* src/control/job.h - an operation on the store: work() in a worker thread with a handle of its own, then done() in the
 * event loop. Invariants: done() is called exactly once for every job, never from inside ctl_job_run; jobs of WRITE (and of
 * INDEX) run one after another in the order of their submission; a read that is submitted after a write's done() sees the write. */
#ifndef SP_CONTROL_JOB_H
#define SP_CONTROL_JOB_H

#include "base/pool.h"
#include "store/store.h"

struct ctl;
struct ctl_lanes;

/* CTL_INDEX: a write of what the audit log has already, in a lane of its own, so that sessions are never behind a change of
 * the main part. It may come late: while the store takes no writes it is kept, in order, and written when it does. Its work()
 * may therefore run more than once, and must bear a repeat.
 * CTL_BULK: one long thing at a time, with a handle of its own; it reads, and writes the main part only in its turn. */
enum ctl_lane { CTL_READ, CTL_WRITE, CTL_INDEX, CTL_BULK };
struct ctl_job {
	struct sp_job	 job;
	struct sp_list	 wait;		/* until the store is open */
	struct ctl	*ctl;
	void		*lane;
	enum ctl_lane	 kind;
	uint64_t	 asked_us;
	size_t		 bytes;		/* CTL_INDEX: what it holds in memory while it waits */
	int		 parked;	/* the store was away: work() did not run, the job waits for the next one */
	int		 trouble;	/* the store broke under it */
	enum sp_err	 err;		/* SP_OK: work() ran; else why it could not */
	void		(*work)(struct ctl_job *j, struct sp_store *s);
	void		(*done)(struct ctl_job *j);	/* owns the job */
};

/* Lanes start closed: jobs wait, at most control_wait. `first` runs in the writer with an open, migrated store, in
 * `opened` (loop) the caller learns of it; then the lanes open. Where only a replica answers, with the schema of this
 * program, the lanes open for reading, and writes are refused until there is a primary  and `first` has run.
 * A store that is found away closes the lanes again: jobs wait as at the start, `first` does not run a second time. While
 * they are closed away() is called in the loop after every vain attempt; it may name another store. */
enum sp_err	 ctl_lanes_new(struct ctl *c, struct ctl_job *first, struct ctl_lanes **ret) SP_MUST_USE;
void		 ctl_lanes_free(struct ctl_lanes *l);		/* waits for what runs; closes the handles */
void		 ctl_job_run(struct ctl *c, enum ctl_lane kind, struct ctl_job *j);
void		 ctl_lanes_go(struct ctl_lanes *l);	/* the vault has spoken: jobs need not wait for the row key. NULL is fine */
void		 ctl_bulk_turn(struct ctl *c, int take);	/* bulk lane's thread only: waits for the writer, holds it back */
int		 ctl_bulk_has_turn(const struct ctl *c);	/* any thread: the main part would not take a write now */
void		 ctl_lanes_away(struct ctl_lanes *l, void (*away)(struct ctl *c));
void		 ctl_lanes_use(struct ctl_lanes *l, const char *url);	/* loop: open this store now, whatever was open */
void		 ctl_index_hold(struct ctl *c, int hold);	/* writer thread: no job of the index lane runs meanwhile */
/* Writer thread, from inside a job: what comes after this job goes to that store. */
void		 ctl_lanes_switch(struct ctl_job *j, const char *url);
int		 ctl_lanes_open(const struct ctl_lanes *l);
int		 ctl_lanes_busy(const struct ctl_lanes *l);	/* a job is not done yet; those that wait for a primary do not count */
size_t		 ctl_lanes_late(const struct ctl_lanes *l);	/* CTL_INDEX jobs that wait */
void		 ctl_lanes_tick(struct ctl_lanes *l, uint64_t now_us);

#endif
