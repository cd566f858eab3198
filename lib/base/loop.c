/* lib/base/loop.c - see loop.h. Timers live in a binary heap ordered by deadline. */
#include "loop.h"
#include "attr.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "list.h"
#include "clock.h"

#define LOOP_EVENTS	64

struct sp_source {
	struct sp_list	 link;		/* in loop->sources, or loop->dead */
	struct sp_loop	*loop;
	int		 fd;
	uint32_t	 events;
	sp_source_fn	*fn;		/* NULL once removed */
	void		*arg;
};
struct sp_timer {
	struct sp_loop	*loop;
	uint64_t	 at_us;
	size_t		 pos;		/* 1-based place in the heap, 0 when idle */
	sp_timer_fn	*fn;
	void		*arg;
	struct sp_list	 link;
};
struct sp_loop {
	int		  epfd, sigfd;
	int		  stop;
	struct sp_list	  sources, dead, timers;
	struct sp_timer	**heap;
	size_t		  n, cap;
	sp_signal_fn	 *sig_fn;
	void		 *sig_arg;
	struct sp_source *sig_source;
};

enum sp_err
sp_loop_new(struct sp_loop **ret)
{
	struct sp_loop *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return SP_ENOMEM;
	l->sigfd = -1;
	sp_list_init(&l->sources);
	sp_list_init(&l->dead);
	sp_list_init(&l->timers);
	if ((l->epfd = epoll_create1(EPOLL_CLOEXEC)) == -1) {
		free(l);
		return SP_ESYS;
	}
	*ret = l;
	return SP_OK;
}

static void
loop_reap(struct sp_loop *l)
{
	sp_list_each(it, &l->dead) {
		struct sp_source *s = sp_container(it, struct sp_source, link);

		sp_list_remove(&s->link);
		free(s);
	}
}

void
sp_loop_free(struct sp_loop *l)
{
	if (l == NULL)
		return;
	sp_list_each(it, &l->sources)
		sp_source_remove(sp_container(it, struct sp_source, link));
	loop_reap(l);
	sp_list_each(jt, &l->timers)
		sp_timer_free(sp_container(jt, struct sp_timer, link));
	sp_closep(&l->sigfd);
	sp_closep(&l->epfd);
	free(l->heap);
	free(l);
}

enum sp_err
sp_loop_add(struct sp_loop *l, int fd, uint32_t events, sp_source_fn *fn, void *arg, struct sp_source **ret)
{
	struct sp_source *s = calloc(1, sizeof(*s));
	struct epoll_event ev = { .events = events };

	if (s == NULL)
		return SP_ENOMEM;
	*s = (struct sp_source){ .loop = l, .fd = fd, .events = events, .fn = fn, .arg = arg };
	ev.data.ptr = s;
	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) == -1) {
		free(s);
		return sp_err_errno(errno);
	}
	sp_list_add_tail(&l->sources, &s->link);
	*ret = s;
	return SP_OK;
}

void
sp_source_events(struct sp_source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (s->events == events || s->fn == NULL)
		return;
	if (epoll_ctl(s->loop->epfd, EPOLL_CTL_MOD, s->fd, &ev) == 0)
		s->events = events;
}

int
sp_source_fd(const struct sp_source *s)
{
	return s->fd;
}

void
sp_source_remove(struct sp_source *s)
{
	if (s == NULL || s->fn == NULL)
		return;
	epoll_ctl(s->loop->epfd, EPOLL_CTL_DEL, s->fd, NULL);
	s->fn = NULL;
	sp_list_remove(&s->link);
	sp_list_add_tail(&s->loop->dead, &s->link);
}

static void
heap_put(struct sp_loop *l, size_t i, struct sp_timer *t)
{
	l->heap[i - 1] = t;
	t->pos = i;
}

static void
heap_sift(struct sp_loop *l, size_t i, struct sp_timer *t)
{
	for (; i > 1 && l->heap[i / 2 - 1]->at_us > t->at_us; i /= 2)
		heap_put(l, i, l->heap[i / 2 - 1]);
	for (size_t c; (c = 2 * i) <= l->n; i = c) {
		if (c < l->n && l->heap[c]->at_us < l->heap[c - 1]->at_us)
			c++;
		if (l->heap[c - 1]->at_us >= t->at_us)
			break;
		heap_put(l, i, l->heap[c - 1]);
	}
	heap_put(l, i, t);
}

/* Room in the heap is reserved when a timer is made, so that arming one cannot fail. */
enum sp_err
sp_timer_new(struct sp_loop *l, sp_timer_fn *fn, void *arg, struct sp_timer **ret)
{
	struct sp_timer *t;
	size_t live = 1;

	sp_list_each(it, &l->timers)
		live++;
	if (live > l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct sp_timer **h = realloc(l->heap, cap * sizeof(*h));

		if (h == NULL)
			return SP_ENOMEM;
		l->heap = h;
		l->cap = cap;
	}
	if ((t = calloc(1, sizeof(*t))) == NULL)
		return SP_ENOMEM;
	*t = (struct sp_timer){ .loop = l, .fn = fn, .arg = arg };
	sp_list_add_tail(&l->timers, &t->link);
	*ret = t;
	return SP_OK;
}

void
sp_timer_at(struct sp_timer *t, uint64_t at_us)
{
	t->at_us = at_us;
	heap_sift(t->loop, t->pos ? t->pos : ++t->loop->n, t);
}

void
sp_timer_in(struct sp_timer *t, uint64_t us)
{
	sp_timer_at(t, sp_now_us() + us);
}

void
sp_timer_stop(struct sp_timer *t)
{
	struct sp_loop *l = t->loop;
	size_t i = t->pos;
	struct sp_timer *last;

	if (i == 0)
		return;
	t->pos = 0;
	last = l->heap[--l->n];
	if (last != t)
		heap_sift(l, i, last);
}

void
sp_timer_free(struct sp_timer *t)
{
	if (t == NULL)
		return;
	sp_timer_stop(t);
	sp_list_remove(&t->link);
	free(t);
}

static void
loop_on_signal(struct sp_source *s, uint32_t events, void *arg)
{
	struct sp_loop *l = arg;
	struct signalfd_siginfo si;

	(void)events;
	while (read(s->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		l->sig_fn((int)si.ssi_signo, l->sig_arg);
}

enum sp_err
sp_loop_signals(struct sp_loop *l, const int *signals, sp_signal_fn *fn, void *arg)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *signals != -1; signals++)
		sigaddset(&set, *signals);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1 ||
	    (l->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) == -1)
		return SP_ESYS;
	l->sig_fn = fn;
	l->sig_arg = arg;
	return sp_loop_add(l, l->sigfd, EPOLLIN, loop_on_signal, l, &l->sig_source);
}

static void
loop_fire_timers(struct sp_loop *l)
{
	uint64_t now = sp_now_us();

	while (l->n > 0 && l->heap[0]->at_us <= now) {
		struct sp_timer *t = l->heap[0];

		sp_timer_stop(t);
		t->fn(t, t->arg);
	}
}

enum sp_err
sp_loop_once(struct sp_loop *l, int timeout_ms)
{
	struct epoll_event ev[LOOP_EVENTS];
	int n;

	if (l->n > 0) {
		uint64_t now = sp_now_us(), at = l->heap[0]->at_us;
		uint64_t ms = at <= now ? 0 : (at - now + 999) / 1000;

		if (timeout_ms < 0 || ms < (uint64_t)timeout_ms)
			timeout_ms = ms > 3600000 ? 3600000 : (int)ms;
	}
	n = epoll_wait(l->epfd, ev, LOOP_EVENTS, timeout_ms);
	if (n == -1 && errno != EINTR)
		return SP_ESYS;
	for (int i = 0; i < n; i++) {
		struct sp_source *s = ev[i].data.ptr;

		if (s->fn != NULL)
			s->fn(s, ev[i].events, s->arg);
	}
	loop_fire_timers(l);
	loop_reap(l);
	return SP_OK;
}

enum sp_err
sp_loop_run(struct sp_loop *l)
{
	enum sp_err r = SP_OK;

	l->stop = 0;
	while (!l->stop && r == SP_OK)
		r = sp_loop_once(l, -1);
	return r;
}

void
sp_loop_stop(struct sp_loop *l)
{
	l->stop = 1;
}
