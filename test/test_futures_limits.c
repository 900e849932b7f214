/* SPDX-License-Identifier: MIT */
/*
 * Waiting for futures: what is refused, and what a wait leaves behind (include/anysync/future.h).
 *
 * Promised                                       Tested by
 *   -EDEADLK in a callback, unless it is done    a_callback_cannot_wait
 *   -EDEADLK for oneself                         a_task_cannot_wait_for_itself
 *                                                a_task_cannot_wait_for_any_of_only_itself
 *   -ENOMEM leaves the future untouched          a_wait_without_memory_says_so
 *                                                a_future_without_memory_is_not_made
 *   timed-out waits leave no memory (cell.c)     timed_out_waits_do_not_grow_a_future
 *                                                timed_out_waits_beside_live_ones_do_not_grow_it
 *                                                stress_timed_out_waits_of_many_threads
 *   completion races with deadlines (J4, J5)     stress_j4_a_timeout_never_loses_the_value
 *                                                stress_j4_any_of_several_under_a_deadline
 */
#include "fault.h"
#include "futures.h"
#include "sched/future.h"

#include <anysync/typed.h>

#include <anysync/io.h>

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <unistd.h>

/* --- refused ---------------------------------------------------------------------------------- */

static void wait_in_callback(evutil_socket_t fd, short what, void *argument)
{
    struct anysync_future *pending = new_future(), *done = new_future();
    size_t index;
    int value = 0;

    (void)fd;
    (void)what;
    set(done, 3);
    CHECK_EQ(anysync_future_wait(pending, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "callback");
    CHECK_EQ(anysync_wait(pending, &value, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_wait_any(&pending, 1, ANYSYNC_FOREVER, &index), -EDEADLK);
    CHECK_EQ(anysync_wait_all(&pending, 1, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_wait(done, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 3);
    anysync_future_unref(pending);
    anysync_future_unref(done);
    CHECK_EQ(anysync_future_set(argument, NULL), 0);
}

ANYSYNC_COROUTINE(void, have_callback)
{
    call_back(wait_in_callback);
    return 0;
}

TEST(a_callback_cannot_wait)
{
    CHECK_EQ(have_callback_run_here(), 0);
    CHECK_EQ(have_callback_run(), 0);
}

ANYSYNC_COROUTINE(void, narcissus, (struct anysync_future **, self), (bool, any))
{
    int error = anysync_yield();
    size_t index;

    CHECK_EQ(error, 0);
    error = any ? anysync_wait_any(self, 1, anysync_in_ms(1), &index)
                : anysync_future_wait(*self, ANYSYNC_FOREVER);
    CHECK_EQ(error, -EDEADLK);
    return 0;
}

ANYSYNC_COROUTINE(void, have_narcissus, (bool, any))
{
    narcissus_future task;

    CHECK_EQ(narcissus_start(&task, &task.future, any), 0);
    CHECK_EQ(narcissus_wait(&task, ANYSYNC_FOREVER), 0);
    narcissus_drop(&task);
    return 0;
}

TEST(a_task_cannot_wait_for_itself)
{
    CHECK_EQ(have_narcissus_run_here(false), 0);
    CHECK_EQ(have_narcissus_run(false), 0);
}

TEST(a_task_cannot_wait_for_any_of_only_itself)
{
    CHECK_EQ(have_narcissus_run_here(true), 0);
}

enum { MANY = 20 };

/* Walk through all allocations of a wait that would time out. */
static void check_no_memory(void)
{
    struct anysync_future *futures[MANY];
    bool reached;

    for (int i = 0; i < MANY; i++)
        futures[i] = new_future();
    (void)anysync_last_error(); /* the slot has its memory */
    int nth = 0;
    do {
        size_t index = 77;
        fault_fail("malloc", ++nth, true);
        int error = anysync_wait_any(futures, MANY, anysync_in_us(10), &index);
        reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK(error == -ENOMEM || error == -ETIMEDOUT);
        CHECK(reached || error == -ETIMEDOUT);
        CHECK_EQ(index, 77);
    } while (reached);
    for (int i = 0; i < MANY; i++) {
        int value = 0;
        set(futures[i], i);
        CHECK_EQ(anysync_wait(futures[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, i);
        anysync_future_unref(futures[i]);
    }
}

TEST(a_wait_without_memory_says_so)
{
    in_every_world(check_no_memory);
}

TEST(a_future_without_memory_is_not_made)
{
    struct anysync_future *future = NULL;

    CHECK_EQ(anysync_fail(-EIO, "so that this thread has room for its errors"), -EIO);
    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_future_new(100, &future), -ENOMEM);
    fault_clear();
    CHECK(future == NULL);
    CHECK_EQ(anysync_last_error()->code, -ENOMEM);
    CHECK_EQ(anysync_future_new(100, &future), 0);
    anysync_future_unref(future);
    CHECK_EQ(anysync_future_new(SIZE_MAX - 100, &future), -ENOMEM);
}

/* --- left behind ------------------------------------------------------------------------------ */

/* Links that hang on FUTURE.  Nobody joins or leaves meanwhile. */
static size_t count_links(struct anysync_future *future)
{
    size_t count = 0;

    CHECK(!anysync_future_done(future));
    /* acquire: what others did before they told us that they had ended */
    for (struct asi_link *link = asi_load(&future->cell.head, acquire); link; link = link->next)
        count++;
    return count;
}

static void time_out_often(struct anysync_future *future, long count)
{
    struct anysync_future *futures[] = {future, NULL, future};
    size_t index;

    for (long i = 0; i < count; i++) {
        anysync_time past = anysync_now() - 1;
        CHECK_EQ(anysync_future_wait(future, past), -ETIMEDOUT);
        if (i % 10 == 0)
            CHECK_EQ(anysync_wait_any(futures, 3, past, &index), -ETIMEDOUT);
    }
}

static void check_growth(void)
{
    struct anysync_future *future = new_future();

    time_out_often(future, 3000);
    CHECK_GE(8, count_links(future));
    set(future, 1);
    anysync_future_unref(future);
}

TEST(timed_out_waits_do_not_grow_a_future)
{
    in_every_world(check_growth);
}

enum { LIVE = 40 };

ANYSYNC_COROUTINE(int, live_waiter, (struct anysync_future *, future))
{
    return anysync_wait(future, result, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, grow_beside_live_ones)
{
    struct anysync_future *future = new_future();
    live_waiter_future waiters[LIVE];

    for (int i = 0; i < LIVE; i++)
        CHECK_EQ(live_waiter_start(&waiters[i], future), 0);
    time_out_often(future, 3000);
    CHECK_GE(count_links(future), LIVE);
    CHECK_GE(2 * LIVE, count_links(future));
    set(future, 9);
    for (int i = 0; i < LIVE; i++) {
        int value = 0;
        CHECK_EQ(live_waiter_wait(&waiters[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, 9);
        live_waiter_drop(&waiters[i]);
    }
    anysync_future_unref(future);
    return 0;
}

TEST(timed_out_waits_beside_live_ones_do_not_grow_it)
{
    CHECK_EQ(grow_beside_live_ones_run_here(), 0);
    CHECK_EQ(grow_beside_live_ones_run(), 0);
}

enum { THREADS = 4 };

static void time_out_on_thread(void *argument, int index)
{
    (void)index;
    time_out_often(argument, test_scaled(5000));
}

TEST(stress_timed_out_waits_of_many_threads)
{
    struct anysync_future *future = new_future();
    live_waiter_future waiters[LIVE];

    for (int i = 0; i < LIVE; i++)
        CHECK_EQ(live_waiter_start(&waiters[i], future), 0);
    test_together(THREADS, time_out_on_thread, future);
    CHECK_GE(2 * LIVE + 2 * 8, count_links(future));
    set(future, 9);
    for (int i = 0; i < LIVE; i++) {
        CHECK_EQ(live_waiter_wait(&waiters[i], NULL, ANYSYNC_FOREVER), 0);
        live_waiter_drop(&waiters[i]);
    }
    anysync_future_unref(future);
}

/* --- races ------------------------------------------------------------------------------------ */

/* Waiters time out again and again while the future is completed: each has the value in the end. */
static int insist(struct anysync_future *future, int want)
{
    int value = -1, error;

    do
        error = anysync_wait(future, &value, anysync_in_us(5));
    while (error == -ETIMEDOUT);
    CHECK_EQ(error, 0);
    CHECK_EQ(value, want);
    return anysync_wait(future, &value, ANYSYNC_POLL);
}

ANYSYNC_COROUTINE(void, insister, (struct anysync_future *, future), (int, want))
{
    return insist(future, want);
}

struct match {
    struct anysync_future *future;
    int want;
};

static void insist_or_set(void *argument, int index)
{
    const struct match *match = argument;

    if (index == 0) {
        for (int i = 0; i < match->want % 5; i++)
            sched_yield();
        set(match->future, match->want);
    } else if (index == 1) {
        CHECK_EQ(insister_run(match->future, match->want), 0);
    } else if (index == 2) {
        CHECK_EQ(insister_run_here(match->future, match->want), 0);
    } else {
        CHECK_EQ(insist(match->future, match->want), 0);
    }
}

TEST(stress_j4_a_timeout_never_loses_the_value)
{
    long rounds = test_scaled(300);

    for (long i = 0; i < rounds; i++) {
        struct match match = {new_future(), (int)i};
        test_together(5, insist_or_set, &match);
        anysync_future_unref(match.future);
    }
}

/* Takes all of MANY with deadlines that always are too short. */
static int take_all(struct anysync_future *const *all)
{
    struct anysync_future *left[MANY];
    int taken = 0;
    size_t index;

    for (int i = 0; i < MANY; i++)
        left[i] = all[i];
    for (;;) {
        int value, error = anysync_wait_any(left, MANY, anysync_in_us(2), &index);
        if (error == ANYSYNC_DONE)
            break;
        if (error == -ETIMEDOUT)
            continue;
        CHECK_EQ(error, 0);
        CHECK_EQ(anysync_wait(left[index], &value, ANYSYNC_POLL), 0);
        CHECK_EQ(value, (int)index);
        left[index] = NULL;
        taken++;
    }
    CHECK_EQ(taken, MANY);
    return 0;
}

ANYSYNC_COROUTINE(void, taker, (struct anysync_future *const *, all))
{
    return take_all(all);
}

static void take_or_set(void *argument, int index)
{
    struct anysync_future *const *all = argument;

    if (index < 2) {
        for (int i = index; i < MANY; i += 2)
            set(all[i], i);
    } else if (index == 2) {
        CHECK_EQ(taker_run(all), 0);
    } else {
        CHECK_EQ(take_all(all), 0);
    }
}

TEST(stress_j4_any_of_several_under_a_deadline)
{
    long rounds = test_scaled(300);

    for (long i = 0; i < rounds; i++) {
        struct anysync_future *all[MANY];
        for (int j = 0; j < MANY; j++)
            all[j] = new_future();
        test_together(4, take_or_set, all);
        for (int j = 0; j < MANY; j++)
            anysync_future_unref(all[j]);
    }
}

/* --- looking without waiting ------------------------------------------------------------------ */

ANYSYNC_COROUTINE(void, count, (int *, begun))
{
    ++*begun;
    return 0;
}

ANYSYNC_COROUTINE(void, look_only)
{
    ANYSYNC_SCOPED_FUTURE(count, child);
    int begun = 0, pair[2];
    int error = count_start(&child, &begun);

    CHECK_EQ(error, 0);
    CHECK_EQ(pipe(pair), 0);
    CHECK_EQ(count_wait(&child, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_future_wait(child.future, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(begun, 0); /* nobody else had a turn */
    error = count_wait(&child, ANYSYNC_FOREVER);
    CHECK_EQ(begun, 1);
    close(pair[0]);
    close(pair[1]);
    return error;
}

TEST(a_poll_in_a_coroutine_does_not_suspend)
{
    CHECK_EQ(look_only_run(), 0);
    CHECK_EQ(look_only_run_here(), 0);
}
