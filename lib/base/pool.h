/* lib/base/pool.h - worker threads for what may block (disk, database, password hashes), with the result delivered in
 * the event loop of the owner. Invariants: jobs of one pool start in the order of submission; done() runs in the loop's
 * thread, once per accepted job; with one thread, work() calls never overlap. */
#ifndef SP_BASE_POOL_H
#define SP_BASE_POOL_H

#include "attr.h"
#include "err.h"
#include "list.h"
#include "loop.h"

struct sp_pool;
struct sp_job {
	struct sp_list	 link;
	void		(*work)(struct sp_job *);	/* in a worker thread */
	void		(*done)(struct sp_job *);	/* in the loop; owns the job from here */
};

/* n_threads workers; at most max_queued jobs wait (more: SP_EFULL from submit). The loop outlives the pool. */
enum sp_err	 sp_pool_new(struct sp_loop *l, unsigned n_threads, unsigned max_queued, struct sp_pool **ret) SP_MUST_USE;
enum sp_err	 sp_pool_submit(struct sp_pool *p, struct sp_job *j) SP_MUST_USE;	/* job taken on SP_OK only */
void		 sp_pool_free(struct sp_pool *p);	/* waits for running and queued jobs, delivers every done() */

#endif
