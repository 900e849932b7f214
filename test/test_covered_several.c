/* SPDX-License-Identifier: MIT */
/*
 * Several at once, and too late.  (More corners: test_covered_corners.c.)
 *
 * Promised                                                Tested by
 *   what a task makes after its loop was cancelled          a_late_generator_never_begins
 *   of several who wait for a task any may leave            the_last_waiter_leaves_first
 *     also of another loop, and the first one first         many_wait_for_another_loop
 *   coroutines of a loop in a job all run back              two_coroutines_in_a_job_run_back
 *   an error for whose additions there is no memory         an_error_without_memory_stays_as_it_is
 *   a child that has a mutex says that it has started       a_child_with_a_mutex_starts
 */
#include "fault.h"
#include "worlds.h"

#include "sched/error.h"

#include <errno.h>

ANYSYNC_GENERATOR(int, count, (int, to))
{
    int error = 0;

    for (int i = 0; i < to && !error; i++)
        error = count_yield(i);
    return error;
}

ANYSYNC_COROUTINE(void, open_late, (struct anysync_future *, waits))
{
    struct anysync_generator *generator = NULL;
    int to = 3, item = 7;

    open_gate(waits);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_generator_new(&count_function, &to, NULL, &generator), 0);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        CHECK_EQ(anysync_generator_next(generator, &item, ANYSYNC_FOREVER), -ECANCELED);
    }
    CHECK_EQ(item, 7);
    anysync_generator_unref(generator);
    return 0;
}

TEST(a_late_generator_never_begins)
{
    struct anysync_executor *executor = NULL;
    struct anysync_future *waits = new_gate();
    ANYSYNC_SCOPED_FUTURE(open_late, opening);

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(open_late_start_on(executor, &opening, waits), 0);
    pass_gate(waits);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(open_late_wait(&opening, ANYSYNC_POLL), 0);
    anysync_executor_unref(executor);
    anysync_future_unref(waits);
}

ANYSYNC_COROUTINE(int, wait_gate, (struct anysync_future *, gate))
{
    *result = 42;
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, wait_task, (struct anysync_future *, task))
{
    return anysync_wait(task, result, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, leave_one, (int, which))
{
    enum { WAITERS = 3 };
    struct anysync_future *gate = new_gate();
    ANYSYNC_SCOPED_FUTURE(wait_gate, task);
    wait_task_future waiters[WAITERS];

    CHECK_EQ(wait_gate_start(&task, gate), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(wait_task_start(&waiters[i], task.future), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(wait_task_cancel(&waiters[which]), 0);
    CHECK_EQ(wait_task_wait(&waiters[which], NULL, ANYSYNC_FOREVER), -ECANCELED);
    open_gate(gate);
    for (int i = 0; i < WAITERS; i++) {
        int value = 0;
        CHECK_EQ(wait_task_wait(&waiters[i], &value, ANYSYNC_FOREVER), i == which ? -ECANCELED : 0);
        CHECK_EQ(value, i == which ? 0 : 42);
        wait_task_drop(&waiters[i]);
    }
    anysync_future_unref(gate);
    return 0;
}

TEST(the_last_waiter_leaves_first)
{
    for (int which = 0; which < 3; which++) {
        CHECK_EQ(leave_one_run(which), 0);
        CHECK_EQ(leave_one_run_here(which), 0);
    }
}

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

/* More than the graph of waits has lists: some are in one list, and end in the order they began. */
TEST(many_wait_for_another_loop)
{
    enum { WAITERS = 600 };
    static wait_task_future waiters[WAITERS];
    struct anysync_executor *executor = NULL, *other = NULL;
    struct anysync_future *gate = new_gate();
    ANYSYNC_SCOPED_FUTURE(wait_gate, task);

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    CHECK_EQ(wait_gate_start_on(other, &task, gate), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(wait_task_start_on(executor, &waiters[i], task.future), 0);
    CHECK_EQ(nothing_run_on(executor), 0); /* they wait */
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(wait_task_cancel(&waiters[i]), 0);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(wait_task_wait(&waiters[i], NULL, ANYSYNC_FOREVER), -ECANCELED);
        wait_task_drop(&waiters[i]);
    }
    open_gate(gate);
    CHECK_EQ(wait_gate_wait(&task, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
    anysync_executor_unref(other);
    anysync_future_unref(gate);
}

ANYSYNC_COROUTINE(int, run_back_after, (struct anysync_future *, gate))
{
    CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), 0);
    *result = 1;
    return 0;
}

ANYSYNC_COROUTINE(int, go_back, (struct anysync_future *, gate))
{
    return run_back_after_run_back(result, gate);
}

ANYSYNC_COROUTINE(void, two_go_back)
{
    struct anysync_future *gates[2] = {new_gate(), new_gate()};
    go_back_future going[2];
    int one = 0;

    for (int i = 0; i < 2; i++)
        CHECK_EQ(go_back_start(&going[i], gates[i]), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_yield(), 0);
    for (int i = 0; i < 2; i++) {
        open_gate(gates[i]);
        CHECK_EQ(go_back_wait(&going[i], &one, ANYSYNC_FOREVER), 0);
        CHECK_EQ(one, 1);
        go_back_drop(&going[i]);
        anysync_future_unref(gates[i]);
    }
    return 0;
}

ANYSYNC_BLOCKING(void, job_with_a_loop)
{
    return two_go_back_run_here();
}

ANYSYNC_COROUTINE(void, start_job_with_a_loop)
{
    return job_with_a_loop();
}

TEST(two_coroutines_in_a_job_run_back)
{
    CHECK_EQ(start_job_with_a_loop_run(), 0);
}

/* What is added to an error that others hold, too, is added to a copy.  This thread has no memory
 * in store for it. */
static void add_to_error(void *argument, int index)
{
    struct asi_error **errors = argument, *error = errors[0];

    (void)index;
    fault_fail("malloc", 1, true);
    bool same = asi_error_add_text(error, " and more") == error;
    same = asi_error_add_next(error, errors[1]) == error && same;
    fault_clear();
    CHECK(same);
}

TEST(an_error_without_memory_stays_as_it_is)
{
    struct asi_error *error = asi_error_new(-EIO, ANYSYNC_ORIGIN_TASK, "first");
    struct asi_error *other = asi_error_ref(error);
    struct asi_error *errors[] = {error, asi_error_new(-EDOM, ANYSYNC_ORIGIN_TASK, "next")};

    test_together(1, add_to_error, errors);
    CHECK_STR(error->shown.message, "first");
    CHECK(error->shown.next == NULL);
    asi_error_unref(other);
    asi_error_unref(error);
}

/* It has a mutex when it says that it has started: the group is found behind that. */
ANYSYNC_COROUTINE(void, starts_with_a_mutex, (struct anysync_mutex *, mutex))
{
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_started(NULL, 0), 0);
    anysync_mutex_unlock(mutex);
    return 0;
}

static void check_started_with_a_mutex(void)
{
    struct anysync_group *group = NULL;
    struct anysync_mutex *mutex = NULL;

    CHECK_EQ(anysync_mutex_new(&mutex), 0);
    CHECK_EQ(anysync_group_open(&group), 0);
    CHECK_EQ(anysync_group_start(
                     group, &starts_with_a_mutex_function, &mutex, NULL, 0, NULL, ANYSYNC_FOREVER),
            0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    anysync_mutex_unref(mutex);
}

TEST(a_child_with_a_mutex_starts)
{
    in_worlds(EVERYWHERE_AND_POOL, check_started_with_a_mutex);
}
