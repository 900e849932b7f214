/* SPDX-License-Identifier: MIT */
/*
 * Mutexes (include/anysync/mutex.h) and tasks that their loop abandons in line.
 *
 * Promised                                       Tested by
 *   who was handed it and never ran hands it on    a_mutex_does_not_stay_with_who_was_abandoned
 *   who waits is passed over                       who_is_abandoned_in_line_is_not_served
 */
#include "abandoned.h"
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

static void work_for(long us)
{
    anysync_time end = anysync_in_us(us);

    while (anysync_now() < end)
        ;
}

ANYSYNC_COROUTINE(void, locks_in_shield, (struct anysync_mutex *, mutex))
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    lock(mutex);
    anysync_mutex_unlock(mutex); /* the loop did not look in time */
    anysync_scope_exit(&shield, 0);
    return 0;
}

/* Hands the mutex to a task just before the loop leaves all that is left on it. */
ANYSYNC_COROUTINE(void, unlocks_late, (struct anysync_mutex *, mutex))
{
    struct anysync_scope shield;
    locks_in_shield_future waiter;
    yields_in_shield_future other;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    for (int i = 0; i < 20; i++) /* who is handed the mutex is behind them, and never runs */
        CHECK_EQ(yields_in_shield_start(&other), 0);
    lock(mutex);
    CHECK_EQ(locks_in_shield_start(&waiter, mutex), 0);
    for (int i = 0; i < 60; i++) { /* past the deadline; and the loop learns to look often */
        work_for(200);
        CHECK_EQ(anysync_yield(), 0);
    }
    nanosleep(&(struct timespec){1, 100000000}, NULL); /* and past the grace time */
    anysync_mutex_unlock(mutex);
    yield_for_ever();
    return 0;
}

TEST(a_mutex_does_not_stay_with_who_was_abandoned)
{
    struct anysync_mutex *mutex = new_mutex();

    CHECK_EQ(unlocks_late_run_here_until(mutex, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_mutex_lock(mutex, anysync_in_ms(1)), 0);
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
}

ANYSYNC_COROUTINE(void, holds, (struct anysync_mutex *, mutex), (struct anysync_future *, held),
        (struct anysync_future *, over))
{
    lock(mutex);
    open_gate(held);
    pass_gate(over);
    anysync_mutex_unlock(mutex);
    return 0;
}

static void lock_it(void *mutex)
{
    (void)!anysync_mutex_lock(mutex, ANYSYNC_FOREVER);
}

static void do_nothing(void *mutex)
{
    (void)mutex;
}

TEST(who_is_abandoned_in_line_is_not_served)
{
    struct anysync_future *held = new_gate(), *over = new_gate();
    struct anysync_mutex *mutex = new_mutex();
    holds_future holder;

    CHECK_EQ(holds_start(&holder, mutex, held, over), 0);
    pass_gate(held);
    abandon_in_line(lock_it, do_nothing, mutex);
    open_gate(over);
    CHECK_EQ(holds_wait(&holder, ANYSYNC_FOREVER), 0);
    holds_drop(&holder);
    CHECK_EQ(locks_in_shield_run(mutex), 0);
    anysync_mutex_unref(mutex);
    anysync_future_unref(held);
    anysync_future_unref(over);
}
