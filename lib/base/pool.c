/* lib/base/pool.c - see pool.h. */
#include "pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct sp_pool {
	struct sp_loop	 *loop;
	struct sp_source *source;
	int		  evfd;
	pthread_mutex_t	  mu;
	pthread_cond_t	  cv;
	struct sp_list	  todo, finished;	/* under mu */
	unsigned	  queued, max_queued;	/* under mu */
	int		  closing;		/* under mu */
	unsigned	  n_threads;
	pthread_t	 *threads;
};

static void *
pool_worker(void *arg)
{
	struct sp_pool *p = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&p->mu);
	for (;;) {
		struct sp_job *j;

		while (sp_list_empty(&p->todo) && !p->closing)
			pthread_cond_wait(&p->cv, &p->mu);
		if (sp_list_empty(&p->todo))
			break;
		j = sp_container(p->todo.next, struct sp_job, link);
		sp_list_remove(&j->link);
		p->queued--;
		pthread_mutex_unlock(&p->mu);
		j->work(j);
		pthread_mutex_lock(&p->mu);
		sp_list_add_tail(&p->finished, &j->link);
		if (write(p->evfd, &one, sizeof(one)) != (ssize_t)sizeof(one))
			abort();	/* an eventfd write fails only at 2^64 - 2 */
	}
	pthread_mutex_unlock(&p->mu);
	return NULL;
}

static void
pool_deliver(struct sp_pool *p)
{
	struct sp_list ready;

	sp_list_init(&ready);
	pthread_mutex_lock(&p->mu);
	while (!sp_list_empty(&p->finished)) {
		struct sp_list *n = p->finished.next;

		sp_list_remove(n);
		sp_list_add_tail(&ready, n);
	}
	pthread_mutex_unlock(&p->mu);
	while (!sp_list_empty(&ready)) {
		struct sp_job *j = sp_container(ready.next, struct sp_job, link);

		sp_list_remove(&j->link);
		j->done(j);
	}
}

static void
pool_on_event(struct sp_source *s, uint32_t events, void *arg)
{
	uint64_t n;

	(void)events;
	if (read(sp_source_fd(s), &n, sizeof(n)) == (ssize_t)sizeof(n))
		pool_deliver(arg);
}

enum sp_err
sp_pool_new(struct sp_loop *l, unsigned n_threads, unsigned max_queued, struct sp_pool **ret)
{
	struct sp_pool *p = calloc(1, sizeof(*p));
	sigset_t all, old;
	enum sp_err r;

	if (p == NULL)
		return SP_ENOMEM;
	p->loop = l;
	p->max_queued = max_queued;
	sp_list_init(&p->todo);
	sp_list_init(&p->finished);
	pthread_mutex_init(&p->mu, NULL);
	pthread_cond_init(&p->cv, NULL);
	p->evfd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	p->threads = calloc(n_threads, sizeof(*p->threads));
	if (p->evfd == -1 || p->threads == NULL ||
	    (r = sp_loop_add(l, p->evfd, EPOLLIN, pool_on_event, p, &p->source)) != SP_OK) {
		sp_pool_free(p);
		return SP_ENOMEM;
	}
	/* Signals belong to the loop's thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (; p->n_threads < n_threads; p->n_threads++)
		if (pthread_create(&p->threads[p->n_threads], NULL, pool_worker, p) != 0)
			break;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (p->n_threads < n_threads) {
		sp_pool_free(p);
		return SP_ESYS;
	}
	*ret = p;
	return SP_OK;
}

enum sp_err
sp_pool_submit(struct sp_pool *p, struct sp_job *j)
{
	enum sp_err r = SP_EFULL;

	pthread_mutex_lock(&p->mu);
	if (p->queued < p->max_queued && !p->closing) {
		sp_list_add_tail(&p->todo, &j->link);
		p->queued++;
		pthread_cond_signal(&p->cv);
		r = SP_OK;
	}
	pthread_mutex_unlock(&p->mu);
	return r;
}

void
sp_pool_free(struct sp_pool *p)
{
	if (p == NULL)
		return;
	pthread_mutex_lock(&p->mu);
	p->closing = 1;
	pthread_cond_broadcast(&p->cv);
	pthread_mutex_unlock(&p->mu);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	pool_deliver(p);
	sp_source_remove(p->source);
	sp_closep(&p->evfd);
	pthread_mutex_destroy(&p->mu);
	pthread_cond_destroy(&p->cv);
	free(p->threads);
	free(p);
}
