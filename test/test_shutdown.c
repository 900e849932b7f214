/* SPDX-License-Identifier: MIT */
/*
 * Life of an executor: shutdown, start again, executors of one's own (CONTRACT K1).
 *
 * Promised                                       Tested by (each name begins with k1_)
 *   K1 drain                                     drain_waits_for_all_tasks
 *                                                drain_lets_running_tasks_spawn_on_their_loop
 *                                                drain_lets_running_tasks_name_their_executor
 *   K1 cancel                                    cancel_ends_tasks_that_wait
 *                                                cancel_keeps_queued_tasks_from_beginning
 *                                                cancel_hardens_a_drain_that_waits
 *   K1 by the deadline it returns, with          the_deadline_returns_with_the_number_left
 *     the number left
 *   K1 from the worker itself it only asks       the_worker_itself_only_asks
 *                                                a_callback_of_the_worker_only_asks
 *   from a coroutine of another loop             a_coroutine_of_another_loop_suspends
 *                                                a_cancelled_shutdown_goes_on
 *                                                after_a_cancelled_shutdown_start_works
 *   K1 after it -ESHUTDOWN                       afterwards_submissions_say_eshutdown
 *                                                the_global_one_says_eshutdown_too
 *                                                what_never_ran_is_shut_down_at_once
 *   all that tasks did is visible; worker gone   afterwards_the_worker_is_gone
 *   K1 start again works, a hundred times        starts_again_a_hundred_times
 *   shutdowns at a bad moment                    test_shutdown_races.c
 *   executors of one's own                       test_executors.c
 */
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

enum { HELD = 3 };

/* A task that says it has begun and waits until it is let go. */
struct stage {
    struct anysync_future *begun[HELD];
    struct anysync_future *gate;
    struct anysync_executor *executor;
    atomic_int ended;
    int plain; /* not atomic: what a task did has to be visible after a shutdown */
};

ANYSYNC_COROUTINE(void, hold, (struct stage *, stage), (int, index))
{
    CHECK_EQ(anysync_future_set(stage->begun[index], NULL), 0);
    int error = anysync_future_wait(stage->gate, ANYSYNC_FOREVER);
    stage->plain++;
    atomic_fetch_add(&stage->ended, 1);
    return error;
}

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    *result = n + 1;
    return 0;
}

static void stage_open(struct stage *stage, hold_future *held)
{
    static const struct anysync_executor_options options = {.name = "stage"};

    memset(stage, 0, sizeof(*stage));
    CHECK_EQ(anysync_executor_new(&options, &stage->executor), 0);
    CHECK_EQ(anysync_future_new(0, &stage->gate), 0);
    for (int i = 0; i < HELD; i++)
        CHECK_EQ(anysync_future_new(0, &stage->begun[i]), 0);
    for (int i = 0; i < HELD; i++) {
        CHECK_EQ(hold_start_on(stage->executor, &held[i], stage, i), 0);
        CHECK_EQ(anysync_future_wait(stage->begun[i], ANYSYNC_FOREVER), 0);
    }
}

static void stage_close(struct stage *stage, hold_future *held)
{
    for (int i = 0; i < HELD; i++) {
        hold_drop(&held[i]);
        anysync_future_unref(stage->begun[i]);
    }
    anysync_future_unref(stage->gate);
    anysync_executor_unref(stage->executor);
}

static void check_held(hold_future *held, int status)
{
    for (int i = 0; i < HELD; i++)
        CHECK_EQ(hold_wait(&held[i], ANYSYNC_FOREVER), status);
}

/* Wait until EXECUTOR refuses: then its shutdown has begun. */
static void wait_until_refused(struct anysync_executor *executor)
{
    int error, sum;

    while ((error = add_one_run_on(executor, &sum, 1)) == 0)
        sched_yield();
    CHECK_EQ(error, -ESHUTDOWN);
}

static void check_works(struct anysync_executor *executor)
{
    int sum = 0;

    CHECK_EQ(add_one_run_on(executor, &sum, 41), 0);
    CHECK_EQ(sum, 42);
}

/* Threads that were joined may be listed for a moment longer, also when COUNT was taken: now there
 * may be fewer. */
static void wait_until_threads_are(int count)
{
    while (test_thread_count() > count)
        sched_yield();
}

struct shutdown {
    struct anysync_executor *executor;
    enum anysync_shutdown mode;
    size_t left;
    int status;
};

static void shut_down(void *argument, int index)
{
    struct shutdown *shutdown = argument;

    (void)index;
    shutdown->status = anysync_executor_shutdown(
            shutdown->executor, shutdown->mode, ANYSYNC_FOREVER, &shutdown->left);
}

/* --- modes ------------------------------------------------------------------------------------ */

TEST(k1_drain_waits_for_all_tasks)
{
    struct stage stage;
    hold_future held[HELD];

    stage_open(&stage, held);
    struct shutdown shutdown = {stage.executor, ANYSYNC_DRAIN, 99, 99};
    struct test_threads *thread = test_threads_start(1, shut_down, &shutdown);
    wait_until_refused(stage.executor);
    CHECK_EQ(atomic_load(&stage.ended), 0);
    CHECK_EQ(anysync_future_set(stage.gate, NULL), 0);
    test_threads_join(thread);
    CHECK_EQ(shutdown.status, 0);
    CHECK_EQ(shutdown.left, 0);
    CHECK_EQ(stage.plain, HELD);
    check_held(held, 0);
    stage_close(&stage, held);
}

ANYSYNC_COROUTINE(void, spawn_when_stopping, (struct stage *, stage), (bool, by_name))
{
    hold_future child;

    CHECK_EQ(anysync_future_set(stage->begun[0], NULL), 0);
    CHECK_EQ(anysync_future_wait(stage->gate, ANYSYNC_FOREVER), 0);
    int error = by_name ? hold_start_on(stage->executor, &child, stage, 1)
                        : hold_start(&child, stage, 1);
    hold_drop(&child);
    return error;
}

static void check_spawns_when_stopping(bool by_name)
{
    struct stage stage = {.plain = 0};
    spawn_when_stopping_future parent;

    CHECK_EQ(anysync_executor_new(NULL, &stage.executor), 0);
    CHECK_EQ(anysync_future_new(0, &stage.gate), 0);
    CHECK_EQ(anysync_future_new(0, &stage.begun[0]), 0);
    CHECK_EQ(anysync_future_new(0, &stage.begun[1]), 0);
    CHECK_EQ(spawn_when_stopping_start_on(stage.executor, &parent, &stage, by_name), 0);
    CHECK_EQ(anysync_future_wait(stage.begun[0], ANYSYNC_FOREVER), 0);
    struct shutdown shutdown = {stage.executor, ANYSYNC_DRAIN, 99, 99};
    struct test_threads *thread = test_threads_start(1, shut_down, &shutdown);
    wait_until_refused(stage.executor);
    CHECK_EQ(anysync_future_set(stage.gate, NULL), 0);
    test_threads_join(thread);
    CHECK_EQ(shutdown.status, 0);
    CHECK_EQ(spawn_when_stopping_wait(&parent, ANYSYNC_POLL), 0);
    CHECK_EQ(stage.plain, 1); /* the child ran, and was waited for */
    spawn_when_stopping_drop(&parent);
    for (int i = 0; i < 2; i++)
        anysync_future_unref(stage.begun[i]);
    anysync_future_unref(stage.gate);
    anysync_executor_unref(stage.executor);
}

TEST(k1_drain_lets_running_tasks_spawn_on_their_loop)
{
    check_spawns_when_stopping(false);
}

TEST(k1_drain_lets_running_tasks_name_their_executor)
{
    check_spawns_when_stopping(true);
}

TEST(k1_cancel_ends_tasks_that_wait)
{
    struct stage stage;
    hold_future held[HELD];
    size_t left = 99;

    stage_open(&stage, held);
    CHECK_EQ(anysync_executor_shutdown(stage.executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, &left), 0);
    CHECK_EQ(left, 0);
    CHECK_EQ(stage.plain, HELD); /* each cleaned up */
    check_held(held, -ECANCELED);
    stage_close(&stage, held);
}

struct block {
    sem_t in, out;
};

ANYSYNC_COROUTINE(void, block_worker, (struct block *, block))
{
    sem_post(&block->in);
    while (sem_wait(&block->out) != 0)
        ;
    return 0;
}

TEST(k1_cancel_keeps_queued_tasks_from_beginning)
{
    struct anysync_executor *executor;
    struct block block;
    block_worker_future blocker;
    struct stage stage = {.plain = 0};
    hold_future queued[HELD];
    size_t left = 99;

    sem_init(&block.in, 0, 0);
    sem_init(&block.out, 0, 0);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(block_worker_start_on(executor, &blocker, &block), 0);
    while (sem_wait(&block.in) != 0)
        ;
    for (int i = 0; i < HELD; i++)
        CHECK_EQ(hold_start_on(executor, &queued[i], &stage, i), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_POLL, &left), -ETIMEDOUT);
    CHECK_GE(left, 1);
    sem_post(&block.out);
    check_held(queued, -ECANCELED); /* a body that began would crash: its stage is empty */
    CHECK_EQ(block_worker_wait(&blocker, ANYSYNC_FOREVER), 0);
    for (int i = 0; i < HELD; i++)
        hold_drop(&queued[i]);
    block_worker_drop(&blocker);
    anysync_executor_unref(executor);
}

TEST(k1_cancel_hardens_a_drain_that_waits)
{
    struct stage stage;
    hold_future held[HELD];

    stage_open(&stage, held);
    struct shutdown drain = {stage.executor, ANYSYNC_DRAIN, 99, 99};
    struct test_threads *thread = test_threads_start(1, shut_down, &drain);
    wait_until_refused(stage.executor);
    CHECK_EQ(anysync_executor_shutdown(stage.executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    test_threads_join(thread);
    CHECK_EQ(drain.status, 0);
    CHECK_EQ(drain.left, 0);
    check_held(held, -ECANCELED);
    stage_close(&stage, held);
}

TEST(k1_the_deadline_returns_with_the_number_left)
{
    struct stage stage;
    hold_future held[HELD];
    size_t left = 99;

    stage_open(&stage, held);
    anysync_time deadline = anysync_in_ms(20);
    CHECK_EQ(anysync_executor_shutdown(stage.executor, ANYSYNC_DRAIN, deadline, &left), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(left, HELD);
    CHECK_CONTAINS(anysync_last_error()->message, "\"stage\"");
    CHECK_CONTAINS(anysync_last_error()->message, "3 tasks");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(atomic_load(&stage.ended), 0);
    CHECK_EQ(anysync_future_set(stage.gate, NULL), 0); /* they go on, and nothing waits for them */
    check_held(held, 0);
    CHECK_EQ(anysync_executor_start(stage.executor), 0);
    check_works(stage.executor);
    stage_close(&stage, held);
}

/* --- who asks --------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, shut_own_worker_down, (struct anysync_executor *, executor))
{
    size_t left = 99;

    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left),
            -EINPROGRESS);
    CHECK_EQ(left, 1);
    CHECK_EQ(anysync_last_error()->code, -EINPROGRESS);
    return anysync_sleep(anysync_in_ms(1)); /* drained, not cancelled */
}

static void check_ends_by_itself(struct anysync_executor *executor)
{
    size_t left = 99;

    wait_until_refused(executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left), 0);
    CHECK_EQ(left, 0);
    CHECK_EQ(anysync_executor_start(executor), 0);
    check_works(executor);
}

TEST(k1_the_worker_itself_only_asks)
{
    struct anysync_executor *executor;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(shut_own_worker_down_run_on(executor, executor), 0);
    check_ends_by_itself(executor);
    anysync_executor_unref(executor);
}

struct callback {
    struct anysync_executor *executor;
    struct anysync_future *called;
};

static void shut_down_in_callback(evutil_socket_t fd, short what, void *argument)
{
    struct callback *callback = argument;

    (void)fd;
    (void)what;
    CHECK_EQ(anysync_executor_shutdown(callback->executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL),
            -EINPROGRESS);
    CHECK_EQ(anysync_future_set(callback->called, NULL), 0);
}

ANYSYNC_COROUTINE(void, have_it_called, (struct callback *, callback))
{
    struct timeval soon = {0, 0};

    CHECK(anysync_event_base() != NULL);
    CHECK_EQ(event_base_once(
                     anysync_event_base(), -1, EV_TIMEOUT, shut_down_in_callback, callback, &soon),
            0);
    return anysync_future_wait(callback->called, ANYSYNC_FOREVER);
}

TEST(k1_a_callback_of_the_worker_only_asks)
{
    struct callback callback;

    CHECK_EQ(anysync_executor_new(NULL, &callback.executor), 0);
    CHECK_EQ(anysync_future_new(0, &callback.called), 0);
    CHECK_EQ(have_it_called_run_on(callback.executor, &callback), 0);
    check_ends_by_itself(callback.executor);
    anysync_future_unref(callback.called);
    anysync_executor_unref(callback.executor);
}

ANYSYNC_COROUTINE(void, open_gate, (struct stage *, stage))
{
    return anysync_future_set(stage->gate, NULL);
}

ANYSYNC_COROUTINE(void, shut_down_and_go_on, (struct stage *, stage))
{
    size_t left = 99;

    CHECK_EQ(open_gate_start(NULL, stage), 0); /* runs only when this coroutine suspends */
    CHECK_EQ(anysync_executor_shutdown(stage->executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left), 0);
    CHECK_EQ(left, 0);
    return 0;
}

TEST(k1_a_coroutine_of_another_loop_suspends)
{
    struct stage stage;
    hold_future held[HELD];

    stage_open(&stage, held);
    CHECK_EQ(shut_down_and_go_on_run_here(&stage), 0);
    check_held(held, 0);
    stage_close(&stage, held);
}

ANYSYNC_COROUTINE(void, shut_down_until_cancelled, (struct stage *, stage))
{
    return anysync_executor_shutdown(stage->executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL);
}

/* Leave STAGE as a shutdown that was cancelled leaves it: stopping. */
static void cancel_a_shutdown(struct stage *stage)
{
    shut_down_until_cancelled_future asking;

    CHECK_EQ(shut_down_until_cancelled_start(&asking, stage), 0);
    wait_until_refused(stage->executor);
    CHECK_EQ(shut_down_until_cancelled_cancel(&asking), 0);
    CHECK_EQ(shut_down_until_cancelled_wait(&asking, ANYSYNC_FOREVER), -ECANCELED);
    shut_down_until_cancelled_drop(&asking);
}

TEST(k1_a_cancelled_shutdown_goes_on)
{
    struct stage stage;
    hold_future held[HELD];

    stage_open(&stage, held);
    cancel_a_shutdown(&stage);
    wait_until_refused(stage.executor);
    CHECK_EQ(anysync_future_set(stage.gate, NULL), 0);
    check_held(held, 0);
    CHECK_EQ(anysync_executor_shutdown(stage.executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_executor_start(stage.executor), 0);
    check_works(stage.executor);
    stage_close(&stage, held);
}

TEST(k1_after_a_cancelled_shutdown_start_works)
{
    struct stage stage;
    hold_future held[HELD];
    int error;

    stage_open(&stage, held);
    cancel_a_shutdown(&stage);
    CHECK_EQ(anysync_future_set(stage.gate, NULL), 0);
    check_held(held, 0);
    while ((error = anysync_executor_start(stage.executor)) == -ESHUTDOWN)
        sched_yield(); /* the worker is about to end */
    CHECK_EQ(error, 0);
    check_works(stage.executor);
    stage_close(&stage, held);
}

/* --- afterwards ------------------------------------------------------------------------------- */

static void check_refuses(struct anysync_executor *executor)
{
    int sum = 7;
    add_one_future future;

    CHECK_EQ(add_one_run_on(executor, &sum, 1), -ESHUTDOWN);
    CHECK_EQ(sum, 7);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_executor_start()");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(add_one_start_on(executor, &future, 1), -ESHUTDOWN);
    CHECK(future.future == NULL);
    CHECK_EQ(add_one_start_on(executor, NULL, 1), -ESHUTDOWN);
}

TEST(k1_afterwards_submissions_say_eshutdown)
{
    struct anysync_executor *executor;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    check_works(executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    check_refuses(executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_POLL, NULL), 0);
    CHECK_EQ(anysync_executor_start(executor), 0);
    CHECK_EQ(anysync_executor_start(executor), 0); /* it runs */
    check_works(executor);
    check_works(NULL); /* the global one is another */
    anysync_executor_unref(executor);
}

TEST(k1_the_global_one_says_eshutdown_too)
{
    int sum;

    check_works(NULL);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    check_refuses(NULL);
    CHECK_EQ(add_one(&sum, 1), -ESHUTDOWN);
    CHECK_EQ(add_one_run(&sum, 1), -ESHUTDOWN);
    CHECK_EQ(add_one_run_here(&sum, 1), 0); /* needs no worker */
    CHECK_EQ(anysync_executor_start(NULL), 0);
    check_works(NULL);
    CHECK_EQ(add_one(&sum, 1), 0);
}

TEST(k1_what_never_ran_is_shut_down_at_once)
{
    struct anysync_executor *executor;
    int threads = test_thread_count();
    size_t left = 99;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_POLL, &left), 0);
    CHECK_EQ(left, 0);
    check_refuses(executor);
    CHECK_EQ(test_thread_count(), threads);
    CHECK_EQ(anysync_executor_start(executor), 0);
    check_works(executor);
    anysync_executor_unref(executor);
}

TEST(k1_afterwards_the_worker_is_gone)
{
    struct anysync_stats stats;
    int threads;

    check_works(NULL); /* a sanitizer may have started a thread of its own by now */
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_stats(NULL, &stats);
    CHECK_EQ(stats.worker_serial, 0);
    CHECK_EQ(stats.live, 0);
    threads = test_thread_count();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(anysync_executor_start(NULL), 0);
        check_works(NULL);
        CHECK_GE(test_thread_count(), 2);
        CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    }
    wait_until_threads_are(threads);
}

TEST(k1_starts_again_a_hundred_times)
{
    struct anysync_executor *executor;
    struct anysync_stats stats;
    int threads = 0, fds = 0;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    for (int i = 0; i < 100; i++) {
        enum anysync_shutdown mode = i % 2 ? ANYSYNC_CANCEL : ANYSYNC_DRAIN;
        for (int both = 0; both < 2; both++) {
            struct anysync_executor *which = both ? NULL : executor;
            CHECK_EQ(anysync_executor_start(which), 0);
            check_works(which);
            CHECK_EQ(anysync_executor_shutdown(which, mode, ANYSYNC_FOREVER, NULL), 0);
            anysync_executor_stats(which, &stats);
            CHECK_EQ(stats.workers, i + 1);
        }
        if (i == 0) {
            threads = test_thread_count();
            fds = test_fd_count();
        }
    }
    wait_until_threads_are(threads);
    CHECK_EQ(test_fd_count(), fds);
    anysync_executor_unref(executor);
}
