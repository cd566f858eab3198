/* lib/base/loop.h - a single-threaded event loop over epoll(7): descriptors, timers, signals.
 * Invariants: a callback may remove any source or timer, its own included (freed after the round);
 * timers fire in order of their deadline, never before it. */
#ifndef SP_BASE_LOOP_H
#define SP_BASE_LOOP_H

#include <stdint.h>
#include <sys/epoll.h>

#include "attr.h"
#include "err.h"

struct sp_loop;
struct sp_source;	/* a descriptor under watch; the descriptor stays the caller's */
struct sp_timer;

typedef void sp_source_fn(struct sp_source *s, uint32_t events, void *arg);	/* events: EPOLLIN ... */
typedef void sp_timer_fn(struct sp_timer *t, void *arg);

enum sp_err	 sp_loop_new(struct sp_loop **ret) SP_MUST_USE;
void		 sp_loop_free(struct sp_loop *l);	/* frees every source and timer that is left */
enum sp_err	 sp_loop_add(struct sp_loop *l, int fd, uint32_t events, sp_source_fn *fn, void *arg,
		    struct sp_source **ret) SP_MUST_USE;
void		 sp_source_events(struct sp_source *s, uint32_t events);	/* no system call if unchanged */
int		 sp_source_fd(const struct sp_source *s);
void		 sp_source_remove(struct sp_source *s);	/* NULL is fine; before the descriptor is closed */
/* One shot, at boottime `at_us`. The timer exists until sp_timer_free; arm it again with sp_timer_at. */
enum sp_err	 sp_timer_new(struct sp_loop *l, sp_timer_fn *fn, void *arg, struct sp_timer **ret) SP_MUST_USE;
void		 sp_timer_at(struct sp_timer *t, uint64_t at_us);
void		 sp_timer_in(struct sp_timer *t, uint64_t us);	/* from now */
void		 sp_timer_stop(struct sp_timer *t);
void		 sp_timer_free(struct sp_timer *t);	/* NULL is fine */
/* Block the signals (a -1 terminated list) and deliver them as calls of fn. */
typedef void	 sp_signal_fn(int signo, void *arg);
enum sp_err	 sp_loop_signals(struct sp_loop *l, const int *signals, sp_signal_fn *fn, void *arg) SP_MUST_USE;
enum sp_err	 sp_loop_run(struct sp_loop *l) SP_MUST_USE;	/* until sp_loop_stop; SP_ESYS if epoll fails */
enum sp_err	 sp_loop_once(struct sp_loop *l, int timeout_ms) SP_MUST_USE;
void		 sp_loop_stop(struct sp_loop *l);

#endif
