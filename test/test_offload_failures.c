/* SPDX-License-Identifier: MIT */
/*
 * Contract K, for jobs: what the system refuses, forks, shutdowns, signals.
 *
 * Promised                                       Tested by
 *   K   no thread to be had                        k4_no_thread_is_an_error_that_says_so
 *                                                  k4_without_a_new_thread_a_busy_one_does_it
 *                                                  k4_a_job_in_line_without_a_thread_fails
 *       no memory                                  k4_whatever_is_refused_the_next_one_works
 *                                                  k4_a_job_without_memory_to_wait_makes_room
 *       fork                                       k2_a_child_has_a_fresh_pool
 *                                                  k2_stress_forks_while_jobs_run
 *       shutdown while jobs run                    k1_a_shutdown_waits_for_awaited_jobs
 *       a process ends while jobs run              k1_a_process_does_not_wait_for_jobs
 *       signals are blocked                        k3_pool_threads_block_signals
 */
#include "fault.h"
#include "jobs.h"

#include <signal.h>
#include <unistd.h>

TEST(k4_no_thread_is_an_error_that_says_so)
{
    struct anysync_future *soon = NULL;
    int sum = 0;

    fault_fail("thread", 1, true);
    CHECK_EQ(add_offload(NULL, &sum, 1, 2), -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "no thread left");
    CHECK_EQ(anysync_spawn(&where_function, NULL, &soon), -EAGAIN);
    fault_clear();
    CHECK_EQ(figures(NULL).borrowed, 0);
    CHECK_EQ(threads_of(NULL).threads, 0);
    CHECK_EQ(add_offload(NULL, &sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
}

TEST(k4_without_a_new_thread_a_busy_one_does_it)
{
    struct watched watched = {.begun = false};
    stubborn_future busy;
    add_future later[3];

    CHECK_EQ(stubborn_start(&busy, &watched, 0), 0);
    wait_for(&watched.begun);
    fault_fail("thread", 1, true);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(add_start(&later[i], i, 1), 0);
    CHECK_EQ(add_wait(&later[0], NULL, anysync_in_ms(5)), -ETIMEDOUT);
    atomic_store(&watched.go_on, true);
    for (int i = 0; i < 3; i++) {
        int sum = 0;
        CHECK_EQ(add_wait(&later[i], &sum, ANYSYNC_FOREVER), 0);
        CHECK_EQ(sum, i + 1);
        add_drop(&later[i]);
    }
    fault_clear();
    CHECK_EQ(stubborn_wait(&busy, NULL, ANYSYNC_FOREVER), 0);
    stubborn_drop(&busy);
}

/* One after the other, and not one within the other. */
TEST(k4_a_job_in_line_without_a_thread_fails)
{
    enum { JOBS = 20000 };
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_offload_options options = {.limiter = limiter};
    static add_future soon[JOBS];

    CHECK_EQ(anysync_limiter_try_acquire(limiter), 0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(add_start_with(&options, &soon[i], i, 1), 0);
    fault_fail("thread", 1, true);
    anysync_limiter_release(limiter);
    fault_clear();
    for (int i = 0; i < JOBS; i++) {
        CHECK_EQ(add_wait(&soon[i], NULL, ANYSYNC_POLL), -EAGAIN);
        add_drop(&soon[i]);
    }
    CHECK_EQ(figures(limiter).borrowed, 0);
    CHECK_EQ(add_offload(&options, NULL, 1, 1), 0);
    anysync_limiter_unref(limiter);
}

static void check_refused(void)
{
    for (int nth = 1;; nth++) {
        struct anysync_offload_options options = {.limiter = new_limiter(1), .pool = new_pool(0)};
        int sum = 0;
        fault_fail(FAULT_ANY, nth, false);
        int error = add_offload(&options, &sum, 1, 2);
        bool reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM || error == -EAGAIN);
        CHECK_EQ(sum, error ? 0 : 3);
        CHECK_EQ(add_offload(&options, &sum, 1, 2), 0);
        CHECK_EQ(figures(options.limiter).borrowed, 0);
        anysync_limiter_unref(options.limiter);
        anysync_pool_unref(options.pool);
        if (!reached)
            return;
    }
}

TEST(k4_whatever_is_refused_the_next_one_works)
{
    struct anysync_pool *pool = NULL;

    in_worlds(EVERYWHERE_AND_POOL, check_refused);
    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_pool_new(NULL, &pool), -ENOMEM);
    fault_clear();
    CHECK(!pool);
}

ANYSYNC_BLOCKING(int, offloads_add, (const struct anysync_offload_options *, options))
{
    return add_offload(options, result, 1, 2);
}

/* The only thread of the pool, with the only token, starts a job and has no memory to wait for it:
 * the job has to end all the same, at the least because it gets no thread. */
static void check_makes_room(void)
{
    for (int nth = 1;; nth++) {
        struct anysync_offload_options options = {.limiter = new_limiter(1), .pool = new_pool(0)};
        int sum = 0;
        fault_fail("malloc", nth, true);
        int error = offloads_add_offload(&options, &sum, &options);
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM || error == -EAGAIN);
        CHECK_EQ(sum, error ? 0 : 3);
        anysync_limiter_unref(options.limiter);
        anysync_pool_unref(options.pool);
        if (!reached)
            return;
    }
}

TEST(k4_a_job_without_memory_to_wait_makes_room)
{
    in_worlds(EVERYWHERE_AND_POOL, check_makes_room);
}

static stubborn_future inherited;

static int use_child(void *argument)
{
    unsigned serial = 0;

    (void)argument;
    CHECK_EQ(threads_of(NULL).threads, 0);
    CHECK_EQ(where_offload(NULL, &serial), 0);
    CHECK_EQ(threads_of(NULL).threads, 1);
    CHECK_EQ(stubborn_wait(&inherited, NULL, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_EQ(stubborn_cancel(&inherited), -EOWNERDEAD);
    _exit(0);
}

TEST(k2_a_child_has_a_fresh_pool)
{
    struct watched watched = {.begun = false};

    test_forks_among_threads();
    CHECK_EQ(where_offload(NULL, NULL), 0);
    CHECK_EQ(stubborn_start(&inherited, &watched, 0), 0);
    wait_for(&watched.begun);
    struct test_child child = test_child(use_child, NULL);
    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
    atomic_store(&watched.go_on, true);
    CHECK_EQ(stubborn_wait(&inherited, NULL, ANYSYNC_FOREVER), 0);
    stubborn_drop(&inherited);
}

static atomic_bool enough;

static void offload_meanwhile(void *argument, int index)
{
    struct anysync_offload_options options = {.limiter = argument};

    for (int i = 0; !atomic_load(&enough); i++) {
        int sum = 0;
        CHECK_EQ(add_offload(index % 2 ? &options : NULL, &sum, i, 1), 0);
        CHECK_EQ(sum, i + 1);
    }
}

static int offload_in_child(void *argument)
{
    struct anysync_offload_options options = {.limiter = argument};
    int sum = 0;

    CHECK_EQ(add_offload(&options, &sum, 1, 1), 0);
    CHECK_EQ(add_offload(NULL, &sum, 1, 1), 0);
    _exit(0);
}

TEST(k2_stress_forks_while_jobs_run)
{
    test_forks_among_threads();
    struct anysync_limiter *limiter = new_limiter(1);
    struct test_threads *threads = test_threads_start(3, offload_meanwhile, limiter);

    for (long i = test_scaled(100); i > 0; i--) {
        struct test_child child = test_child(offload_in_child, limiter);
        CHECK_STR(child.errors, "");
        CHECK(child.exited && child.status == 0);
        free(child.errors);
    }
    atomic_store(&enough, true);
    test_threads_join(threads);
    CHECK_EQ(figures(limiter).borrowed, 0);
    anysync_limiter_unref(limiter);
}

ANYSYNC_COROUTINE(void, awaits_watched, (struct watched *, watched))
{
    return awaits_stubborn(NULL, watched, -EIO);
}

TEST(k1_a_shutdown_waits_for_awaited_jobs)
{
    struct watched watched = {.begun = false};
    ANYSYNC_SCOPED_FUTURE(awaits_watched, soon);
    size_t left = 0;

    CHECK_EQ(awaits_watched_start(&soon, &watched), 0);
    wait_for(&watched.begun);
    CHECK_EQ(anysync_shutdown(ANYSYNC_CANCEL, anysync_in_ms(5), &left), -ETIMEDOUT);
    CHECK_EQ(left, 1);
    atomic_store(&watched.go_on, true);
    CHECK_EQ(anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, &left), 0);
    CHECK(atomic_load(&watched.asked));
    CHECK_EQ(awaits_watched_wait(&soon, ANYSYNC_POLL), -ECANCELED);
    CHECK_EQ(where_offload(NULL, NULL), 0); /* the pool is no executor's */
}

static int leave_a_job(void *argument)
{
    static struct watched watched;

    (void)argument;
    CHECK_EQ(stubborn_start(NULL, &watched, 0), 0);
    wait_for(&watched.begun);
    return 0;
}

TEST(k1_a_process_does_not_wait_for_jobs)
{
    struct test_child child = test_child(leave_a_job, NULL);

    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
}

ANYSYNC_BLOCKING(void, look_at_mask)
{
    sigset_t mask;

    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK_EQ(sigismember(&mask, SIGTERM), 1);
    CHECK_EQ(sigismember(&mask, SIGSEGV), 0);
    return 0;
}

TEST(k3_pool_threads_block_signals)
{
    CHECK_EQ(look_at_mask_offload(NULL), 0);
}
