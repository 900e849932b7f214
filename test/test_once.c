/* SPDX-License-Identifier: MIT */
/*
 * What is done once (include/anysync/event.h).
 *
 * Promised                                       Tested by
 *   once, by one of all                            once_is_done_once
 *                                                  stress_once_from_everywhere
 *   after a failure the next one tries             a_failure_lets_the_next_one_try
 *   the wait for another one can be given up       a_wait_for_another_one_ends_early
 *   within itself                                  once_within_itself_is_told
 *   the end of who was at it                       one_that_ended_at_it_is_told
 *   refusals                                       without_memory_nothing_is_done
 *                                                  once_in_a_forked_child
 */
#include "fault.h"
#include "jobs.h"

static struct anysync_once once;
static atomic_int calls;

static int count_call(void *status)
{
    atomic_fetch_add(&calls, 1);
    if (anysync_in_coroutine())
        CHECK_EQ(anysync_yield(), 0);
    return *(int *)status;
}

static void check_once(void)
{
    int good = 0, bad = -EIO;

    atomic_store(&calls, 0);
    CHECK_EQ(anysync_once_run(&once, count_call, &bad, ANYSYNC_FOREVER), -EIO);
    CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_once_run(&once, count_call, &bad, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&calls), 2);
    anysync_once_reset(&once);
    CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&calls), 3);
    anysync_once_reset(&once);
}

TEST(once_is_done_once)
{
    in_worlds(EVERYWHERE_AND_POOL, check_once);
}

ANYSYNC_COROUTINE(void, run_once, (int, status))
{
    return anysync_once_run(&once, count_call, &status, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, check_next)
{
    run_once_future fails, tries, finds;

    CHECK_EQ(run_once_start(&fails, -EIO), 0);
    CHECK_EQ(run_once_start(&tries, 0), 0);
    CHECK_EQ(run_once_start(&finds, -EIO), 0);
    CHECK_EQ(run_once_wait(&fails, ANYSYNC_FOREVER), -EIO);
    CHECK_EQ(run_once_wait(&tries, ANYSYNC_FOREVER), 0);
    CHECK_EQ(run_once_wait(&finds, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&calls), 2);
    run_once_drop(&fails);
    run_once_drop(&tries);
    run_once_drop(&finds);
    anysync_once_reset(&once);
    return 0;
}

TEST(a_failure_lets_the_next_one_try)
{
    CHECK_EQ(check_next_run(), 0);
}

static int pass(void *gate)
{
    pass_gate(gate);
    return 0;
}

ANYSYNC_COROUTINE(void, passes_once, (struct anysync_future *, gate))
{
    return anysync_once_run(&once, pass, gate, ANYSYNC_FOREVER);
}

static void check_gives_up(void)
{
    struct anysync_future *gate = new_gate();
    passes_once_future first;
    run_once_future second;

    CHECK_EQ(passes_once_start(&first, gate), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_time deadline = anysync_in_us(200);
    CHECK_EQ(anysync_once_run(&once, count_call, NULL, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_once_run(&once, count_call, NULL, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(run_once_start(&second, 0), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(run_once_cancel(&second), 0);
    CHECK_EQ(run_once_wait(&second, ANYSYNC_FOREVER), -ECANCELED);
    open_gate(gate);
    CHECK_EQ(passes_once_wait(&first, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_once_run(&once, count_call, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&calls), 0);
    passes_once_drop(&first);
    run_once_drop(&second);
    anysync_once_reset(&once);
    anysync_future_unref(gate);
}

TEST(a_wait_for_another_one_ends_early)
{
    in_worlds(IN_COROUTINES, check_gives_up);
}

static int run_within(void *argument)
{
    return anysync_once_run(&once, run_within, argument, ANYSYNC_FOREVER);
}

static void check_within(void)
{
    CHECK_EQ(anysync_once_run(&once, run_within, NULL, ANYSYNC_FOREVER), -EDEADLK);
    anysync_once_reset(&once);
}

TEST(once_within_itself_is_told)
{
    in_worlds(EVERYWHERE_AND_POOL, check_within);
}

static int ends(void *argument)
{
    (void)argument;
    anysync_exit(0);
}

ANYSYNC_COROUTINE(void, ends_at_it)
{
    return anysync_once_run(&once, ends, NULL, ANYSYNC_FOREVER);
}

TEST(one_that_ended_at_it_is_told)
{
    int good = 0;

    CHECK_EQ(ends_at_it_run(), 0);
    CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), -ENOTRECOVERABLE);
    CHECK_CONTAINS(anysync_last_error()->message, "ends_at_it ended");
    anysync_once_reset(&once);
}

TEST(without_memory_nothing_is_done)
{
    int good = 0;

    for (int nth = 1; nth <= 2; nth++) { /* the state, its mutex */
        fault_fail("malloc", nth, false);
        CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), -ENOMEM);
        fault_clear();
    }
    CHECK_EQ(atomic_load(&calls), 0);
    CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), 0);
    anysync_once_reset(&once);
}

static void expect_child(int (*function)(void *))
{
    struct test_child child = test_child(function, NULL);

    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
}

static int once_done(void *argument)
{
    int bad = -EIO;

    (void)argument;
    CHECK_EQ(anysync_once_run(&once, count_call, &bad, ANYSYNC_FOREVER), 0);
    return 0;
}

static int once_not_done(void *argument)
{
    int good = 0;

    (void)argument;
    CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&calls), 2);
    return 0;
}

static int once_in_the_middle(void *argument)
{
    int good = 0;

    (void)argument;
    CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), -EOWNERDEAD);
    CHECK_CONTAINS(anysync_last_error()->message, "half done");
    return 0;
}

static int fork_within(void *argument)
{
    (void)argument;
    expect_child(once_in_the_middle);
    return 0;
}

TEST(once_in_a_forked_child)
{
    int bad = -EIO;

    CHECK_EQ(anysync_once_run(&once, count_call, &bad, ANYSYNC_FOREVER), -EIO);
    expect_child(once_not_done);
    CHECK_EQ(anysync_once_run(&once, fork_within, NULL, ANYSYNC_FOREVER), 0);
    expect_child(once_done);
    anysync_once_reset(&once);
}

enum { USERS = 6 };

static void run_once_on_thread(void *argument, int index)
{
    int good = 0;

    (void)argument;
    if (index < 2)
        CHECK_EQ(anysync_once_run(&once, count_call, &good, ANYSYNC_FOREVER), 0);
    else if (index < 4)
        CHECK_EQ(run_once_run(0), 0);
    else
        CHECK_EQ(run_once_run_here(0), 0);
}

TEST(stress_once_from_everywhere)
{
    for (int i = 0; i < test_scaled(50); i++) {
        atomic_store(&calls, 0);
        test_together(USERS, run_once_on_thread, NULL);
        CHECK_EQ(atomic_load(&calls), 1);
        anysync_once_reset(&once);
    }
}
