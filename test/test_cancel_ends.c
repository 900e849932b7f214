/* SPDX-License-Identifier: MIT */
/*
 * Cancelling by hand: anysync_cancel() (include/anysync/future.h), contract C3: how it ends.
 *
 * Promised                                        Tested by
 *   a finished task: DONE, nothing changes          c3_cancel_of_a_finished_task_says_so
 *                                                   c3_cancel_after_a_shutdown_says_so
 *   asked twice                                     c3_cancel_twice_is_fine
 *   a value that arrived stays                      c3_a_cancelled_task_may_still_have_a_value
 *                                                   stress_c3_a_cancel_loses_no_value
 *                                                   stress_c3_a_cut_wait_loses_no_wake
 *   many at once, from everywhere                   stress_c3_cancel_from_everywhere
 *   a future made by hand fails at once             c3_a_future_made_by_hand_fails_at_once
 *   -ECANCELED is nobody's uncollected error        c3_a_cancelled_task_is_not_reported
 *
 * What a cancel cuts: test_cancel.c.
 */
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>

static struct anysync_future *new_event(void)
{
    struct anysync_future *event;

    CHECK_EQ(anysync_future_new(0, &event), 0);
    return event;
}

ANYSYNC_COROUTINE(int, never, (int *, begun))
{
    ++*begun;
    *result = 1;
    return 0;
}

/* Blocks its loop's thread until it is let go. */
ANYSYNC_COROUTINE(void, block, (sem_t *, until))
{
    while (sem_wait(until) != 0)
        CHECK_EQ(errno, EINTR);
    return 0;
}

static int sleepers_begun, sleepers_ended; /* on the worker alone */

ANYSYNC_COROUTINE(void, child)
{
    sleepers_begun++;
    int error = anysync_sleep(ANYSYNC_FOREVER);
    int again = anysync_yield();
    CHECK_EQ(again, -ECANCELED);
    sleepers_ended++;
    return error;
}

/* --- the end ---------------------------------------------------------------------------------- */

TEST(c3_cancel_of_a_finished_task_says_so)
{
    int begun = 0, value = 0;
    never_future task;

    CHECK_EQ(never_start(&task, &begun), 0);
    CHECK_EQ(never_wait(&task, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(never_cancel(&task), ANYSYNC_DONE);
    CHECK_EQ(never_wait(&task, &value, ANYSYNC_POLL), 0);
    CHECK_EQ(value, 1);
    never_drop(&task);
}

TEST(c3_cancel_after_a_shutdown_says_so)
{
    int begun = 0, value = 0;
    never_future task;

    CHECK_EQ(never_start(&task, &begun), 0);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(never_cancel(&task), ANYSYNC_DONE);
    CHECK_EQ(never_wait(&task, &value, ANYSYNC_POLL), 0);
    CHECK_EQ(value, 1);
    never_drop(&task);
}

TEST(c3_cancel_twice_is_fine)
{
    sem_t until;
    block_future blocker;
    child_future task;

    CHECK_EQ(sem_init(&until, 0, 0), 0);
    CHECK_EQ(block_start(&blocker, &until), 0);
    CHECK_EQ(child_start(&task), 0);
    CHECK_EQ(child_cancel(&task), 0);
    CHECK_EQ(child_cancel(&task), 0);
    CHECK_EQ(child_cancel(&task), 0);
    sem_post(&until);
    CHECK_EQ(child_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(child_cancel(&task), ANYSYNC_DONE);
    child_drop(&task);
    block_drop(&blocker);
}

/* Returns a value in spite of the cancel. */
ANYSYNC_COROUTINE(int, insists, (struct anysync_future *, begun))
{
    int error = anysync_future_set(begun, NULL);

    CHECK_EQ(error, 0);
    error = anysync_sleep(ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    *result = 11;
    return 0;
}

TEST(c3_a_cancelled_task_may_still_have_a_value)
{
    struct anysync_future *begun = new_event();
    insists_future task;
    int value = 0;

    CHECK_EQ(insists_start(&task, begun), 0);
    CHECK_EQ(anysync_wait(begun, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(insists_cancel(&task), 0);
    CHECK_EQ(insists_wait(&task, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 11);
    insists_drop(&task);
    anysync_future_unref(begun);
}

static atomic_int reports;

static void count_reports(const char *task, const struct anysync_error *error, void *context)
{
    (void)task;
    (void)error;
    (void)context;
    atomic_fetch_add(&reports, 1);
}

TEST(c3_a_cancelled_task_is_not_reported)
{
    child_future task;

    anysync_set_error_hook(count_reports, NULL);
    CHECK_EQ(child_start(&task), 0);
    CHECK_EQ(child_cancel(&task), 0);
    child_drop(&task);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(atomic_load(&reports), 0);
}

TEST(c3_a_future_made_by_hand_fails_at_once)
{
    struct anysync_future *future;
    int value = 5;

    CHECK_EQ(anysync_future_new(sizeof(int), &future), 0);
    CHECK_EQ(anysync_cancel(future), 0);
    CHECK(anysync_future_done(future));
    CHECK_EQ(anysync_wait(future, &value, ANYSYNC_POLL), -ECANCELED);
    CHECK_EQ(value, 5);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(anysync_cancel(future), ANYSYNC_DONE);
    CHECK_EQ(anysync_future_set(future, &value), -EALREADY);
    anysync_future_unref(future);
}

/* --- races ------------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(long, short_nap, (long, value), (anysync_time, until))
{
    int error = anysync_sleep(until);

    *result = value;
    return error;
}

static void cancel_around_the_end(void *argument, int index)
{
    long rounds = test_scaled(1000);

    (void)argument;
    for (long i = 0; i < rounds; i++) {
        long value = -1;
        short_nap_future task;
        CHECK_EQ(short_nap_start(&task, i, anysync_in_us(i % 50)), 0);
        if ((i + index) % 2) {
            int slept = short_nap_wait(&task, NULL, anysync_in_us(i % 50));
            CHECK(slept == 0 || slept == -ETIMEDOUT);
        }
        int asked = short_nap_cancel(&task);
        if (asked == ANYSYNC_DONE)
            CHECK_EQ(short_nap_wait(&task, &value, ANYSYNC_POLL), 0);
        else
            CHECK_EQ(asked, 0);
        int status = short_nap_wait(&task, &value, ANYSYNC_FOREVER);
        CHECK(status == 0 || status == -ECANCELED);
        CHECK_EQ(value, status == 0 ? i : -1);
        short_nap_drop(&task);
    }
}

TEST(stress_c3_a_cancel_loses_no_value)
{
    test_together(4, cancel_around_the_end, NULL);
}

/* One side sets a future while the other cancels its waiter: a wait that says 0 has the value, one
 * that was cut leaves it there. */
ANYSYNC_COROUTINE(int, waits_for, (struct anysync_future *, future))
{
    int error = anysync_wait(future, result, ANYSYNC_FOREVER);

    if (error == -ECANCELED)
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    return error;
}

struct duel {
    waits_for_future task;
    struct anysync_future *future;
};

static void fight(void *argument, int index)
{
    struct duel *duel = argument;
    static const int value = 42;

    if (index == 0)
        CHECK_EQ(anysync_future_set(duel->future, &value), 0);
    else
        CHECK_GE(waits_for_cancel(&duel->task), 0);
}

TEST(stress_c3_a_cut_wait_loses_no_wake)
{
    long rounds = test_scaled(1000);

    for (long i = 0; i < rounds; i++) {
        struct duel duel;
        int value = 0;
        CHECK_EQ(anysync_future_new(sizeof(int), &duel.future), 0);
        CHECK_EQ(waits_for_start(&duel.task, duel.future), 0);
        test_together(2, fight, &duel);
        int status = waits_for_wait(&duel.task, &value, ANYSYNC_FOREVER);
        CHECK(status == -ECANCELED || (status == 0 && value == 42));
        CHECK_EQ(anysync_wait(duel.future, &value, ANYSYNC_POLL), 0);
        CHECK_EQ(value, 42);
        waits_for_drop(&duel.task);
        anysync_future_unref(duel.future);
    }
}

enum { TASKS = 64, THREADS = 4 };

static child_future crowd[TASKS];

static void cancel_all(void *argument, int index)
{
    (void)argument;
    for (int i = 0; i < TASKS; i++) {
        int status = child_cancel(&crowd[(i * (index + 1)) % TASKS]);
        CHECK(status == 0 || status == ANYSYNC_DONE);
    }
    for (int i = 0; i < TASKS; i++)
        CHECK_GE(child_cancel(&crowd[i]), 0);
}

TEST(stress_c3_cancel_from_everywhere)
{
    long rounds = test_scaled(100);

    for (long i = 0; i < rounds; i++) {
        for (int j = 0; j < TASKS; j++)
            CHECK_EQ(child_start(&crowd[j]), 0);
        test_together(THREADS, cancel_all, NULL);
        for (int j = 0; j < TASKS; j++) {
            CHECK_EQ(child_wait(&crowd[j], ANYSYNC_FOREVER), -ECANCELED);
            child_drop(&crowd[j]);
        }
    }
    CHECK_EQ(sleepers_begun, sleepers_ended);
}
