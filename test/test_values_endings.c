/* SPDX-License-Identifier: MIT */
/*
 * Contract B6: however a task ends, the worker lives on.  (The rest of B: test_values.c.)
 *
 * Promised                                       Tested by
 *   B6  exit in a body: the worker lives on        b6_after_exit_in_a_body_the_worker_lives_on
 *       failed body                                b6_after_a_failed_body_the_worker_lives_on
 *       cancelled body                             b6_after_a_cancelled_body_the_worker_lives_on
 *       exit ends the task with result and status  b6_exit_ends_the_task_from_deep_in_its_calls
 *       for everybody                              b6_stress_a_worker_survives_every_end_of_a_task
 *       a stack that was left is not lost          b6_a_stack_that_was_left_is_used_again
 *                                                  b6_stress_a_stack_can_be_left_very_often
 */
#include "worlds.h"

#include <errno.h>

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

ANYSYNC_COROUTINE(void, wait_for, (struct anysync_future *, gate))
{
    return anysync_wait(gate, NULL, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, exit_with, (int, status), (bool, later))
{
    *result = 11;
    if (later)
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    anysync_exit(status);
}

ANYSYNC_COROUTINE(int, fail_with, (int, status), (bool, later))
{
    *result = 12;
    if (later)
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    return status;
}

/* Its neighbour on the loop went on while the task ended in its own way, and so does the loop. */
static void check_loop_lives_on(void (*end_tasks)(void))
{
    struct anysync_future *gate = new_gate();
    unsigned here = anysync_thread_serial(), serial = 0;
    unsigned workers = stats_of(NULL).workers;
    wait_for_future neighbour;

    CHECK_EQ(wait_for_start(&neighbour, gate), 0);
    CHECK_EQ(anysync_yield(), 0);
    end_tasks();
    open_gate(gate);
    CHECK_EQ(wait_for_wait(&neighbour, ANYSYNC_FOREVER), 0);
    wait_for_drop(&neighbour);
    anysync_future_unref(gate);
    if (anysync_in_coroutine()) {
        CHECK_EQ(where_await(&serial), 0);
        CHECK_EQ(serial, here);
    } else {
        CHECK_EQ(where_run(&serial), 0);
        CHECK_EQ(serial, stats_of(NULL).worker_serial);
        CHECK_EQ(stats_of(NULL).workers, 1);
    }
    if (workers > 0)
        CHECK_EQ(stats_of(NULL).workers, workers);
}

/* CALL(status, later) as a task of this loop; elsewhere of the worker. */
#define END(status_wanted, value_wanted, name)                                                     \
    for (int later = 0; later < 2; later++) {                                                      \
        int value = 0;                                                                             \
        int status = anysync_in_coroutine() ? name##_await(&value, status_wanted, later)           \
                                            : name##_run(&value, status_wanted, later);            \
        CHECK_EQ(status, status_wanted);                                                           \
        CHECK_EQ(value, value_wanted);                                                             \
    }

static void end_by_exit(void)
{
    END(0, 11, exit_with);
    END(-EIO, 0, exit_with);
}

static void check_after_exit(void)
{
    check_loop_lives_on(end_by_exit);
}

TEST(b6_after_exit_in_a_body_the_worker_lives_on)
{
    in_worlds(EVERYWHERE, check_after_exit);
}

static void end_by_failure(void)
{
    END(-EIO, 0, fail_with);
    END(-EINTR, 0, fail_with);
}

static void check_after_failure(void)
{
    check_loop_lives_on(end_by_failure);
}

TEST(b6_after_a_failed_body_the_worker_lives_on)
{
    in_worlds(EVERYWHERE, check_after_failure);
}

/* Cancelled before it began, and while it waits. */
static void end_by_cancel(void)
{
    struct anysync_future *gate = new_gate();

    for (int begun = 0; begun < 2; begun++) {
        wait_for_future soon;

        CHECK_EQ(wait_for_start(&soon, gate), 0);
        if (begun)
            CHECK_EQ(anysync_yield(), 0);
        CHECK_EQ(wait_for_cancel(&soon), 0);
        CHECK_EQ(wait_for_wait(&soon, ANYSYNC_FOREVER), -ECANCELED);
        wait_for_drop(&soon);
    }
    anysync_future_unref(gate);
}

static void check_after_cancel(void)
{
    check_loop_lives_on(end_by_cancel);
}

TEST(b6_after_a_cancelled_body_the_worker_lives_on)
{
    in_worlds(EVERYWHERE, check_after_cancel);
}

/* Goes down to DEPTH calls and ends the task there. */
__attribute__((noinline)) static int dive(int depth, int status)
{
    char water[200];

    memset(water, depth, sizeof(water));
    if (status > 0) /* not a way to end */
        return 0;
    if (depth == 0)
        anysync_exit(status);
    return dive(depth - 1, status) + water[depth % 200];
}

ANYSYNC_COROUTINE(int, dive_and_exit, (int, status), (bool, later))
{
    *result = 13;
    if (later)
        CHECK_EQ(anysync_yield(), 0);
    return dive(30, status);
}

static void check_deep_exit(void)
{
    for (int i = 0; i < 10; i++) {
        END(0, 13, dive_and_exit);
        END(-EPROTO, 0, dive_and_exit);
    }
}

TEST(b6_exit_ends_the_task_from_deep_in_its_calls)
{
    int value = 0;

    in_worlds(EVERYWHERE, check_deep_exit);
    CHECK_EQ(dive_and_exit_run_here(&value, 0, true), 0);
    CHECK_EQ(value, 13);
    CHECK_EQ(dive_and_exit_run_here(&value, -EPROTO, false), -EPROTO);
}

ANYSYNC_COROUTINE(uintptr_t, exit_from_stack)
{
    *result = (uintptr_t)__builtin_frame_address(0);
    anysync_exit(0);
}

TEST(b6_a_stack_that_was_left_is_used_again)
{
    uintptr_t first = 0, again = 0;

    CHECK_EQ(exit_from_stack_run(&first), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(exit_from_stack_run(&again), 0);
        CHECK_EQ(again, first);
    }
}

TEST(b6_stress_a_stack_can_be_left_very_often)
{
    for (long i = test_scaled(20000); i > 0; i--)
        CHECK_EQ(dive_and_exit_run(NULL, 0, false), 0);
}

static void end_in_every_way(void *argument, int index)
{
    struct anysync_future *gate = argument;

    for (int i = 0; i < (int)test_scaled(500); i++) {
        wait_for_future soon;

        switch ((i + index) % 4) {
        case 0:
            CHECK_EQ(exit_with_run(NULL, 0, i % 8 < 2), 0);
            break;
        case 1:
            CHECK_EQ(exit_with_run(NULL, -EIO, i % 8 < 2), -EIO);
            break;
        case 2:
            CHECK_EQ(fail_with_run(NULL, -EPROTO, i % 8 < 2), -EPROTO);
            break;
        default:
            CHECK_EQ(wait_for_start(&soon, gate), 0);
            CHECK_EQ(wait_for_cancel(&soon), 0);
            CHECK_EQ(wait_for_wait(&soon, ANYSYNC_FOREVER), -ECANCELED);
            wait_for_drop(&soon);
        }
    }
}

TEST(b6_stress_a_worker_survives_every_end_of_a_task)
{
    struct anysync_future *gate = new_gate();
    unsigned before = 0, after = 0;

    CHECK_EQ(where_run(&before), 0);
    test_together(4, end_in_every_way, gate);
    CHECK_EQ(where_run(&after), 0);
    CHECK_EQ(after, before);
    CHECK_EQ(stats_of(NULL).workers, 1);
    anysync_future_unref(gate);
}
