/* SPDX-License-Identifier: MIT */
/*
 * Shutdowns of one executor that come at a bad moment, or race with submissions and with each other
 * (CONTRACT K1).
 *
 * Promised                                       Tested by (each name begins with k1_)
 *   K1 submissions: run or -ESHUTDOWN            stress_submissions_race_a_shutdown
 *   many shutdowns at once                       stress_shutdowns_race_each_other
 *   shutdowns that give up, and starts           stress_shutdowns_that_give_up
 *   cancel finds tasks that are ready            cancel_ends_tasks_that_are_ready
 *   a cancel reaches what a drain gave up        cancel_reaches_a_worker_left_behind
 *                                                dropping_an_executor_cancels_what_was_left_behind
 *   who gives up does not end others' waits      a_hasty_drain_leaves_the_others_waiting
 *   a destructor of its thread may call us       the_workers_last_breath_may_call_us
 */
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    *result = n + 1;
    return 0;
}

enum { SUBMITTERS = 4 };

struct race {
    struct anysync_executor *executor;
    atomic_int submitting; /* threads */
    atomic_long began, accepted;
    long rounds;
};

ANYSYNC_COROUTINE(void, take_part, (struct race *, race))
{
    atomic_fetch_add(&race->began, 1);
    return anysync_yield();
}

static void submit_until_done(void *argument, int index)
{
    struct race *race = argument;

    for (long i = 0; i < race->rounds; i++) {
        take_part_future future = {NULL};
        int error = (i + index) % 2 ? take_part_start_on(race->executor, &future, race)
                                    : take_part_run_on(race->executor, race);
        if (error == 0 && future.future)
            error = take_part_wait(&future, ANYSYNC_FOREVER);
        take_part_drop(&future);
        if (error == 0)
            atomic_fetch_add(&race->accepted, 1);
        else
            CHECK_EQ(error, -ESHUTDOWN);
    }
    atomic_fetch_sub(&race->submitting, 1);
}

TEST(k1_stress_submissions_race_a_shutdown)
{
    struct race race = {.submitting = SUBMITTERS, .rounds = test_scaled(20000)};

    CHECK_EQ(anysync_executor_new(NULL, &race.executor), 0);
    struct test_threads *threads = test_threads_start(SUBMITTERS, submit_until_done, &race);
    while (atomic_load(&race.submitting) > 0) {
        size_t left = 99;
        CHECK_EQ(
                anysync_executor_shutdown(race.executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left), 0);
        CHECK_EQ(left, 0);
        CHECK_EQ(anysync_executor_start(race.executor), 0);
        for (int i = 0; i < 10; i++)
            sched_yield();
    }
    test_threads_join(threads);
    CHECK_EQ(atomic_load(&race.began), atomic_load(&race.accepted));
    CHECK_EQ(take_part_run_on(race.executor, &race), 0); /* the last start holds */
    anysync_executor_unref(race.executor);
}

static void shut_down_and_start(void *argument, int index)
{
    struct race *race = argument;

    for (long i = 0; i < race->rounds; i++) {
        int error = anysync_executor_shutdown(
                race->executor, index % 2 ? ANYSYNC_DRAIN : ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL);
        CHECK_EQ(error, 0);
        error = anysync_executor_start(race->executor);
        CHECK(error == 0 || error == -ESHUTDOWN); /* another is shutting it down again */
        error = take_part_run_on(race->executor, race);
        CHECK(error == 0 || error == -ESHUTDOWN || error == -ECANCELED);
    }
}

TEST(k1_stress_shutdowns_race_each_other)
{
    struct race race = {.rounds = test_scaled(3000)};

    CHECK_EQ(anysync_executor_new(NULL, &race.executor), 0);
    test_together(SUBMITTERS, shut_down_and_start, &race);
    anysync_executor_unref(race.executor);
}

static void shut_down_hastily(void *argument, int index)
{
    struct race *race = argument;

    for (long i = 0; i < race->rounds; i++) {
        size_t left = 99;
        anysync_time deadline = (i + index) % 3 ? ANYSYNC_POLL : anysync_in_ns(20 * 1000);
        int error = anysync_executor_shutdown(race->executor, ANYSYNC_CANCEL, deadline, &left);
        CHECK(error == 0 || error == -ETIMEDOUT);
        CHECK(error != 0 || left == 0);
        error = anysync_executor_start(race->executor);
        CHECK(error == 0 || error == -ESHUTDOWN);
        error = take_part_run_on(race->executor, race);
        CHECK(error == 0 || error == -ESHUTDOWN || error == -ECANCELED);
    }
}

TEST(k1_stress_shutdowns_that_give_up)
{
    struct race race = {.rounds = test_scaled(2000)};

    CHECK_EQ(anysync_executor_new(NULL, &race.executor), 0);
    test_together(SUBMITTERS, shut_down_hastily, &race);
    int error = anysync_executor_shutdown(race.executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL);
    CHECK_EQ(error, 0);
    CHECK_EQ(anysync_executor_start(race.executor), 0); /* whatever came before */
    CHECK_EQ(take_part_run_on(race.executor, &race), 0);
    anysync_executor_unref(race.executor);
}

/* --- at the same moment ----------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, never_waits, (struct anysync_future *, begun))
{
    int error = anysync_future_set(begun, NULL);

    while (!error)
        error = anysync_yield(); /* always ready, never suspended for long */
    return error;
}

TEST(k1_cancel_ends_tasks_that_are_ready)
{
    struct anysync_executor *executor;
    struct anysync_future *begun;
    never_waits_future task;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(anysync_future_new(0, &begun), 0);
    CHECK_EQ(never_waits_start_on(executor, &task, begun), 0);
    CHECK_EQ(anysync_future_wait(begun, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(never_waits_wait(&task, ANYSYNC_POLL), -ECANCELED);
    never_waits_drop(&task);
    anysync_future_unref(begun);
    anysync_executor_unref(executor);
}

static pthread_key_t key;
static struct anysync_executor *used_late;
static int late_status = 99;

/* A thread-specific destructor of the user's, which runs when the worker is about to go. */
static void call_at_the_end(void *value)
{
    int sum;

    (void)value;
    late_status = add_one_run_on(used_late, &sum, 1);
}

ANYSYNC_COROUTINE(void, leave_a_value)
{
    return -pthread_setspecific(key, &key);
}

TEST(k1_the_workers_last_breath_may_call_us)
{
    CHECK_EQ(pthread_key_create(&key, call_at_the_end), 0);
    CHECK_EQ(anysync_executor_new(NULL, &used_late), 0);
    CHECK_EQ(leave_a_value_run(), 0);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(late_status, 0); /* it came before the shutdown returned */
    CHECK_EQ(anysync_executor_shutdown(used_late, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(used_late);
}

/* --- left behind ------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(void, wait_for_ever, (struct anysync_future *, begun))
{
    int error = anysync_future_set(begun, NULL);

    return error ? error : anysync_sleep(ANYSYNC_FOREVER);
}

static struct anysync_executor *executor_that_waits(wait_for_ever_future *task)
{
    struct anysync_executor *executor;
    struct anysync_future *begun;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(anysync_future_new(0, &begun), 0);
    CHECK_EQ(wait_for_ever_start_on(executor, task, begun), 0);
    CHECK_EQ(anysync_future_wait(begun, ANYSYNC_FOREVER), 0);
    anysync_future_unref(begun);
    return executor;
}

TEST(k1_cancel_reaches_a_worker_left_behind)
{
    wait_for_ever_future task;
    struct anysync_executor *executor = executor_that_waits(&task);
    size_t left = 0;

    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_POLL, &left), -ETIMEDOUT);
    CHECK_EQ(left, 1);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, &left), 0);
    CHECK_EQ(left, 0);
    CHECK_EQ(wait_for_ever_wait(&task, ANYSYNC_POLL), -ECANCELED);
    wait_for_ever_drop(&task);
    anysync_executor_unref(executor);
}

static void drain(void *executor, int index)
{
    (void)index;
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
}

TEST(k1_a_hasty_drain_leaves_the_others_waiting)
{
    wait_for_ever_future task;
    struct anysync_executor *executor = executor_that_waits(&task);
    int sum, error;

    struct test_threads *patient = test_threads_start(1, drain, executor);
    while ((error = add_one_run_on(executor, &sum, 1)) == 0)
        sched_yield();
    CHECK_EQ(error, -ESHUTDOWN);
    for (int i = 0; i < 100; i++)
        CHECK_EQ(
                anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_POLL, NULL), -ETIMEDOUT);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    test_threads_join(patient);
    CHECK_EQ(wait_for_ever_wait(&task, ANYSYNC_POLL), -ECANCELED);
    wait_for_ever_drop(&task);
    anysync_executor_unref(executor);
}

TEST(k1_dropping_an_executor_cancels_what_was_left_behind)
{
    wait_for_ever_future task;
    struct anysync_executor *executor = executor_that_waits(&task);

    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_POLL, NULL), -ETIMEDOUT);
    anysync_executor_unref(executor);
    CHECK_EQ(wait_for_ever_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    wait_for_ever_drop(&task);
}
