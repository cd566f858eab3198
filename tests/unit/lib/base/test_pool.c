/* tests/unit/lib/base/test_pool.c - worker threads whose results come back in the loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/pool.h"

#define JOBS 200
struct job {
	struct sp_job	job;
	int		number, worked, done;
};
static struct job jobs[JOBS];
static struct sp_loop *loop;
static struct sp_pool *pool;
static atomic_int started[JOBS], n_started, gate_open;
static int n_done;
static pthread_t loop_thread;

static void
work(struct sp_job *j)
{
	struct job *b = sp_container(j, struct job, job);

	while (!atomic_load(&gate_open))
		usleep(1000);
	started[atomic_fetch_add(&n_started, 1)] = b->number;
	b->worked++;
	assert_false(pthread_equal(pthread_self(), loop_thread));
}

static void
done(struct sp_job *j)
{
	struct job *b = sp_container(j, struct job, job);

	assert_true(pthread_equal(pthread_self(), loop_thread));
	assert_int_equal(b->worked, 1);
	b->done++;
	n_done++;
}

static void
start(unsigned threads, unsigned queued)
{
	n_done = 0;
	atomic_store(&n_started, 0);
	atomic_store(&gate_open, 0);
	loop_thread = pthread_self();
	for (int i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){ .job = { .work = work, .done = done }, .number = i };
		sp_list_init(&jobs[i].job.link);
	}
	assert_int_equal(sp_loop_new(&loop), SP_OK);
	assert_int_equal(sp_pool_new(loop, threads, queued, &pool), SP_OK);
}

static void
every_job_is_worked_once_and_done_once_in_the_loop(void **state)
{
	(void)state;
	start(4, JOBS);
	atomic_store(&gate_open, 1);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(sp_pool_submit(pool, &jobs[i].job), SP_OK);
	while (n_done < JOBS)
		assert_int_equal(sp_loop_once(loop, 5000), SP_OK);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(jobs[i].done, 1);
	sp_pool_free(pool);
	sp_loop_free(loop);
}

static void
one_thread_keeps_the_order(void **state)
{
	(void)state;
	start(1, JOBS);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(sp_pool_submit(pool, &jobs[i].job), SP_OK);
	atomic_store(&gate_open, 1);
	while (n_done < JOBS)
		assert_int_equal(sp_loop_once(loop, 5000), SP_OK);
	for (int i = 0; i < JOBS; i++)
		assert_int_equal(started[i], i);
	sp_pool_free(pool);
	sp_loop_free(loop);
}

static void
refuses_more_than_may_wait_and_freeing_delivers_the_rest(void **state)
{
	int taken = 0;

	(void)state;
	start(1, 10);
	while (taken < JOBS && sp_pool_submit(pool, &jobs[taken].job) == SP_OK)
		taken++;
	assert_in_range(taken, 10, 11);		/* one may be in the thread already */
	assert_int_equal(sp_pool_submit(pool, &jobs[JOBS - 1].job), SP_EFULL);
	atomic_store(&gate_open, 1);
	sp_pool_free(pool);
	assert_int_equal(n_done, taken);
	assert_int_equal(jobs[JOBS - 1].done, 0);
	sp_loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_job_is_worked_once_and_done_once_in_the_loop),
		cmocka_unit_test(one_thread_keeps_the_order),
		cmocka_unit_test(refuses_more_than_may_wait_and_freeing_delivers_the_rest),
	};

	return cmocka_run_group_tests_name("base_pool", tests, NULL, NULL);
}
