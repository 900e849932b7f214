/* SPDX-License-Identifier: MIT */
/*
 * Mutexes and the wait-for graph (include/anysync/mutex.h, OWNERS).
 *
 * Promised                                       Tested by
 *   cycles are told, within a loop                 two_tasks_of_a_loop_that_cross_are_told
 *     between loops                                two_loops_that_cross_are_told
 *     with waits of other kinds                    a_wait_for_a_task_closes_a_cycle
 *   who is next in line is waited for then         a_hand_over_moves_the_edge
 *     and who had it no more                       who_gave_it_away_may_wait_for_the_next
 */
#include "jobs.h"

static struct anysync_mutex *new_mutex(void)
{
    struct anysync_mutex *mutex = NULL;

    CHECK_EQ(anysync_mutex_new(&mutex), 0);
    return mutex;
}

static void lock(struct anysync_mutex *mutex)
{
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
}

struct cross {
    struct anysync_mutex *first, *second;
    struct anysync_future *mine, *other; /* gates: who holds its first */
};

/* Lock first, then second; a deadlock is the return. */
ANYSYNC_COROUTINE(void, cross_over, (struct cross, way))
{
    int error = anysync_mutex_lock(way.first, ANYSYNC_FOREVER);

    if (error)
        return error;
    open_gate(way.mine);
    pass_gate(way.other);
    error = anysync_mutex_lock(way.second, ANYSYNC_FOREVER);
    if (!error)
        anysync_mutex_unlock(way.second);
    anysync_mutex_unlock(way.first);
    return error;
}

static void check_crossing(struct anysync_executor *left_on, struct anysync_executor *right_on)
{
    struct anysync_mutex *one = new_mutex(), *two = new_mutex();
    struct anysync_future *a = new_gate(), *b = new_gate();
    cross_over_future left, right;

    CHECK_EQ(cross_over_start_on(left_on, &left, (struct cross){one, two, a, b}), 0);
    CHECK_EQ(cross_over_start_on(right_on, &right, (struct cross){two, one, b, a}), 0);
    int l = cross_over_wait(&left, ANYSYNC_FOREVER);
    int r = cross_over_wait(&right, ANYSYNC_FOREVER);
    CHECK((l == -EDEADLK && r == 0) || (l == 0 && r == -EDEADLK) ||
            (l == -EDEADLK && r == -EDEADLK && left_on != right_on));
    cross_over_drop(&left);
    cross_over_drop(&right);
    anysync_future_unref(a);
    anysync_future_unref(b);
    anysync_mutex_unref(one);
    anysync_mutex_unref(two);
}

TEST(two_tasks_of_a_loop_that_cross_are_told)
{
    check_crossing(NULL, NULL);
}

TEST(two_loops_that_cross_are_told)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    for (int i = 0; i < 20; i++)
        check_crossing(NULL, executor);
    anysync_executor_unref(executor);
}

ANYSYNC_COROUTINE(void, only_locks, (struct anysync_mutex *, mutex))
{
    int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);

    if (!error)
        anysync_mutex_unlock(mutex);
    return error;
}

/* The caller holds the mutex, and waits for a task that wants it. */
ANYSYNC_COROUTINE(void, waits_for_one_that_locks, (struct anysync_executor *, where))
{
    struct anysync_mutex *mutex = new_mutex();
    only_locks_future child;

    lock(mutex);
    CHECK_EQ(only_locks_start_on(where, &child, mutex), 0);
    CHECK_EQ(only_locks_wait(&child, ANYSYNC_FOREVER), -EDEADLK); /* the call, or the child */
    anysync_mutex_unlock(mutex);
    CHECK(only_locks_wait(&child, ANYSYNC_FOREVER) <= 0);
    only_locks_drop(&child);
    anysync_mutex_unref(mutex);
    return 0;
}

TEST(a_wait_for_a_task_closes_a_cycle)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(waits_for_one_that_locks_run(NULL), 0);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(waits_for_one_that_locks_run(executor), 0);
    anysync_executor_unref(executor);
}

ANYSYNC_COROUTINE(void, locks_then_waits, (struct anysync_mutex *, mutex),
        (only_locks_future *, last), (int *, said))
{
    int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);

    if (error)
        return error;
    *said = only_locks_wait(last, ANYSYNC_FOREVER); /* who waits for the mutex behind this one */
    anysync_mutex_unlock(mutex);
    return 0;
}

/* Two wait for the caller; it hands over to the first, which waits for the second. */
ANYSYNC_COROUTINE(void, check_hand_over)
{
    struct anysync_mutex *mutex = new_mutex();
    locks_then_waits_future first;
    only_locks_future second;
    int said = 0;

    lock(mutex);
    CHECK_EQ(locks_then_waits_start(&first, mutex, &second, &said), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(only_locks_start(&second, mutex), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_mutex_unlock(mutex);
    /* With a deadline, so that this wait is no part of the cycle. */
    CHECK_EQ(locks_then_waits_wait(&first, anysync_in_seconds(600)), 0);
    CHECK_EQ(said, -EDEADLK);
    CHECK_EQ(only_locks_wait(&second, ANYSYNC_FOREVER), 0);
    locks_then_waits_drop(&first);
    only_locks_drop(&second);
    anysync_mutex_unref(mutex);
    return 0;
}

TEST(a_hand_over_moves_the_edge)
{
    CHECK_EQ(check_hand_over_run(), 0);
}

/* The first has it, and has not run yet, when the caller waits for the second. */
ANYSYNC_COROUTINE(void, check_given_away)
{
    struct anysync_mutex *mutex = new_mutex();
    only_locks_future first, second;

    lock(mutex);
    CHECK_EQ(only_locks_start(&first, mutex), 0);
    CHECK_EQ(only_locks_start(&second, mutex), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_mutex_unlock(mutex);
    CHECK_EQ(only_locks_wait(&second, ANYSYNC_FOREVER), 0);
    CHECK_EQ(only_locks_wait(&first, ANYSYNC_FOREVER), 0);
    only_locks_drop(&first);
    only_locks_drop(&second);
    anysync_mutex_unref(mutex);
    return 0;
}

TEST(who_gave_it_away_may_wait_for_the_next)
{
    CHECK_EQ(check_given_away_run(), 0);
    CHECK_EQ(check_given_away_run_here(), 0);
}
