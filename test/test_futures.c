/* SPDX-License-Identifier: MIT */
/*
 * Futures and those who wait for them (include/anysync/future.h), contract J1 and J4.
 *
 * Contract                                       Tested by
 *   J1 many waiters, threads and coroutines of   j1_every_waiter_is_woken_once
 *      several loops, each woken once            stress_j1_many_waiters_of_many_futures
 *      coroutines beside the task they wait for  j1_coroutines_wait_for_a_task_of_their_own_loop
 *   J4 wait_any: the first in the array          j4_wait_any_gives_the_first_that_is_done
 *      nothing left: DONE                        j4_wait_any_of_nothing_is_done
 *      as they complete                          j4_futures_are_taken_as_they_complete
 *      twice the same, more than a few           j4_wait_any_of_many_and_of_the_same
 *      wait_all: values and errors               j4_wait_all_waits_for_values_and_errors
 *      deadlines                                 j4_each_wait_ends_at_its_deadline
 *      a poll looks once                         j4_a_poll_never_waits
 *   future.h: wait, result, done, origin         a_wait_tells_of_the_wait_and_result_of_the_outcome
 *      a failure has code, sentence, origin      a_failed_future_tells_why_to_everybody
 *      results of any size                       a_result_may_have_any_size
 *
 * What a wait refuses and leaves behind: test_futures_limits.c.  Completing: test_completion.c.
 */
#include "futures.h"

#include <errno.h>
#include <stdatomic.h>

/* --- many waiters ----------------------------------------------------------------------------- */

enum { WAITERS = 8, ROUNDS = 3, SITES = 4 };

/* Each waiter waits for all futures in turn, and tells after each that it was woken. */
static struct anysync_future *gates[ROUNDS];
static struct anysync_future *finished[SITES * WAITERS][ROUNDS];
static atomic_int wakes[ROUNDS];

static int pass_gates(int index)
{
    for (int i = 0; i < ROUNDS; i++) {
        int value = 0;
        int error = anysync_wait(gates[i], &value, ANYSYNC_FOREVER);
        CHECK_EQ(error, 0);
        CHECK_EQ(value, 100 + i);
        atomic_fetch_add(&wakes[i], 1);
        set(finished[index][i], index);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, gate_passer, (int, index))
{
    return pass_gates(index);
}

ANYSYNC_COROUTINE(void, here_gate_passers, (int, first))
{
    gate_passer_future passers[WAITERS];

    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(gate_passer_start(&passers[i], first + i), 0);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(gate_passer_wait(&passers[i], ANYSYNC_FOREVER), 0);
        gate_passer_drop(&passers[i]);
    }
    return 0;
}

/* Thread 0 ... WAITERS - 1 waits itself, the next one runs a loop here. */
static void wait_on_thread(void *argument, int index)
{
    (void)argument;
    if (index < WAITERS)
        CHECK_EQ(pass_gates(index), 0);
    else
        CHECK_EQ(here_gate_passers_run_here(WAITERS), 0);
}

static void open_gates(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        CHECK_EQ(atomic_load(&wakes[i]), 0); /* nobody was woken before */
        set(gates[i], 100 + i);
        for (int j = 0; j < SITES * WAITERS; j++) {
            int value = -1;
            CHECK_EQ(anysync_wait(finished[j][i], &value, ANYSYNC_FOREVER), 0);
            CHECK_EQ(value, j);
        }
        CHECK_EQ(atomic_load(&wakes[i]), SITES * WAITERS);
    }
}

static void pass_gates_everywhere(struct anysync_executor *executor)
{
    gate_passer_future passers[2 * WAITERS];

    for (int i = 0; i < ROUNDS; i++) {
        gates[i] = new_future();
        atomic_store(&wakes[i], 0);
        for (int j = 0; j < SITES * WAITERS; j++)
            finished[j][i] = new_future();
    }
    struct test_threads *threads = test_threads_start(WAITERS + 1, wait_on_thread, NULL);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(gate_passer_start(&passers[i], 2 * WAITERS + i), 0);
        CHECK_EQ(gate_passer_start_on(executor, &passers[WAITERS + i], 3 * WAITERS + i), 0);
    }
    open_gates();
    test_threads_join(threads);
    for (int i = 0; i < 2 * WAITERS; i++) {
        CHECK_EQ(gate_passer_wait(&passers[i], ANYSYNC_FOREVER), 0);
        gate_passer_drop(&passers[i]);
    }
    for (int i = 0; i < ROUNDS; i++) {
        anysync_future_unref(gates[i]);
        for (int j = 0; j < SITES * WAITERS; j++)
            anysync_future_unref(finished[j][i]);
    }
}

static void pass_gates_rounds(long rounds)
{
    struct anysync_executor *executor;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    for (long i = 0; i < rounds; i++)
        pass_gates_everywhere(executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

TEST(j1_every_waiter_is_woken_once)
{
    pass_gates_rounds(1);
}

TEST(stress_j1_many_waiters_of_many_futures)
{
    pass_gates_rounds(test_scaled(100));
}

ANYSYNC_COROUTINE(int, waits_for, (struct anysync_future *, future), (int *, woken))
{
    int error = anysync_wait(future, result, ANYSYNC_FOREVER);

    ++*woken;
    return error;
}

ANYSYNC_COROUTINE(void, neighbours_wait)
{
    struct anysync_future *gate = new_future();
    waits_for_future task, neighbours[WAITERS];
    int woken = 0, value = 0;

    CHECK_EQ(waits_for_start(&task, gate, &woken), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(waits_for_start(&neighbours[i], task.future, &woken), 0);
    CHECK_EQ(anysync_yield(), 0); /* now all are waiting */
    CHECK_EQ(woken, 0);
    set(gate, 9);
    for (int i = 0; i < WAITERS; i++) {
        CHECK_EQ(waits_for_wait(&neighbours[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, 9);
        waits_for_drop(&neighbours[i]);
    }
    CHECK_EQ(woken, 1 + WAITERS);
    waits_for_drop(&task);
    anysync_future_unref(gate);
    return 0;
}

TEST(j1_coroutines_wait_for_a_task_of_their_own_loop)
{
    CHECK_EQ(neighbours_wait_run(), 0);
    CHECK_EQ(neighbours_wait_run_here(), 0);
}

/* --- one, any, all ---------------------------------------------------------------------------- */

static void check_first_done(void)
{
    struct anysync_future *futures[] = {new_future(), NULL, new_future(), new_future()};
    size_t index = 77;

    set(futures[3], 3);
    CHECK_EQ(anysync_wait_any(futures, 4, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 3);
    set(futures[2], 2);
    CHECK_EQ(anysync_wait_any(futures, 4, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 2);
    CHECK(!anysync_future_done(futures[0]));
    for (int i = 0; i < 4; i++)
        anysync_future_unref(futures[i]);
}

TEST(j4_wait_any_gives_the_first_that_is_done)
{
    in_every_world(check_first_done);
}

static void check_nothing_left(void)
{
    struct anysync_future *futures[] = {NULL, NULL};
    size_t index = 77;

    CHECK_EQ(anysync_wait_any(futures, 2, ANYSYNC_FOREVER, &index), ANYSYNC_DONE);
    CHECK_EQ(anysync_wait_any(futures, 0, ANYSYNC_FOREVER, &index), ANYSYNC_DONE);
    CHECK_EQ(index, 77);
    CHECK_EQ(anysync_wait_all(futures, 2, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_wait_all(futures, 0, ANYSYNC_POLL), 0);
}

TEST(j4_wait_any_of_nothing_is_done)
{
    in_every_world(check_nothing_left);
}

enum { MANY = 20 };

/* Ends after all that come before it: they hand on a baton. */
ANYSYNC_COROUTINE(int, runner, (int, number), (struct anysync_future *, baton))
{
    int error = anysync_wait(baton, NULL, ANYSYNC_FOREVER);

    *result = number;
    return error;
}

static void check_as_completed(void)
{
    struct anysync_future *batons[MANY], *futures[MANY];
    size_t index;

    for (int i = 0; i < MANY; i++) {
        runner_future task;
        batons[i] = new_future();
        CHECK_EQ(runner_start(&task, i, batons[i]), 0);
        futures[i] = task.future;
    }
    for (int i = 0; i < MANY; i++) {
        int turn = (i * 7 + 3) % MANY, value = -1;
        set(batons[turn], 0);
        CHECK_EQ(anysync_wait_any(futures, MANY, ANYSYNC_FOREVER, &index), 0);
        CHECK_EQ(index, turn);
        CHECK_EQ(anysync_wait(futures[index], &value, ANYSYNC_POLL), 0);
        CHECK_EQ(value, turn);
        futures[index] = anysync_future_unref(futures[index]);
        anysync_future_unref(batons[turn]);
    }
    CHECK_EQ(anysync_wait_any(futures, MANY, ANYSYNC_FOREVER, &index), ANYSYNC_DONE);
}

TEST(j4_futures_are_taken_as_they_complete)
{
    in_every_world(check_as_completed);
}

static void check_many_and_same(void)
{
    struct anysync_future *futures[MANY], *last = new_future();
    runner_future task;
    size_t index;

    for (int i = 0; i < MANY; i++)
        futures[i] = last;
    CHECK_EQ(runner_start(&task, 5, last), 0);
    futures[MANY - 2] = task.future;
    CHECK_EQ(anysync_wait_any(futures, MANY, anysync_in_ns(100), &index), -ETIMEDOUT);
    set(last, 1);
    CHECK_EQ(anysync_wait_all(futures, MANY, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_wait_any(futures, MANY, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 0);
    runner_drop(&task);
    anysync_future_unref(last);
}

TEST(j4_wait_any_of_many_and_of_the_same)
{
    in_every_world(check_many_and_same);
}

/* The one that is not done yet stands at PLACE. */
static void check_all_but(int place)
{
    struct anysync_future *baton = new_future();
    struct anysync_future *futures[3] = {NULL};
    runner_future task;

    CHECK_EQ(runner_start(&task, 5, baton), 0);
    futures[place] = task.future;
    for (int i = 0; i < 3; i++)
        futures[i] = futures[i] ? futures[i] : new_future();
    CHECK_EQ(anysync_future_fail(futures[(place + 1) % 3], -ENOENT, NULL), 0);
    CHECK_EQ(anysync_cancel(futures[(place + 2) % 3]), 0);
    CHECK_EQ(anysync_wait_all(futures, 3, anysync_in_us(100)), -ETIMEDOUT);
    set(baton, 0);
    CHECK_EQ(anysync_wait_all(futures, 3, ANYSYNC_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(anysync_future_done(futures[i]));
        anysync_future_unref(futures[i]);
    }
    anysync_future_unref(baton);
}

static void check_all(void)
{
    for (int place = 0; place < 3; place++)
        check_all_but(place);
}

TEST(j4_wait_all_waits_for_values_and_errors)
{
    in_every_world(check_all);
}

static void check_deadlines(void)
{
    struct anysync_future *futures[] = {new_future(), new_future()};
    int value = 5;
    size_t index = 77;

    for (int i = 0; i < 4; i++) {
        anysync_time deadline = anysync_in_us(300);
        int error = i == 0   ? anysync_future_wait(futures[0], deadline)
                    : i == 1 ? anysync_wait(futures[0], &value, deadline)
                    : i == 2 ? anysync_wait_any(futures, 2, deadline, &index)
                             : anysync_wait_all(futures, 2, deadline);
        CHECK_EQ(error, -ETIMEDOUT);
        CHECK_GE(anysync_now(), deadline);
        CHECK_EQ(anysync_last_error()->code, -ETIMEDOUT);
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    }
    CHECK_EQ(value, 5);
    CHECK_EQ(index, 77);
    for (int i = 0; i < 2; i++) {
        CHECK(!anysync_future_done(futures[i]));
        set(futures[i], 8); /* untouched: it can still be completed */
        CHECK_EQ(anysync_wait(futures[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, 8);
        anysync_future_unref(futures[i]);
    }
}

TEST(j4_each_wait_ends_at_its_deadline)
{
    in_every_world(check_deadlines);
}

static void check_polls(void)
{
    struct anysync_future *future = new_future();
    int value = 0;
    size_t index;

    CHECK_EQ(anysync_future_wait(future, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(anysync_wait_any(&future, 1, ANYSYNC_POLL, &index), -ETIMEDOUT);
    CHECK_EQ(anysync_wait_all(&future, 1, ANYSYNC_POLL), -ETIMEDOUT);
    set(future, 4);
    CHECK_EQ(anysync_future_wait(future, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_wait_any(&future, 1, ANYSYNC_POLL, &index), 0);
    CHECK_EQ(anysync_wait_all(&future, 1, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_wait(future, &value, ANYSYNC_POLL), 0);
    CHECK_EQ(value, 4);
    anysync_future_unref(future);
}

TEST(j4_a_poll_never_waits)
{
    in_every_world(check_polls);
}

static void check_outcome(void)
{
    struct anysync_future *future = new_future();
    int value = 5;

    CHECK(!anysync_future_done(future));
    CHECK_EQ(anysync_future_result(future, &value), -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "wait for it first");
    CHECK_EQ(value, 5);
    set(future, 6);
    CHECK(anysync_future_done(future));
    CHECK_EQ(anysync_future_wait(future, ANYSYNC_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        value = 5;
        CHECK_EQ(anysync_future_result(future, &value), 0);
        CHECK_EQ(value, 6);
    }
    CHECK_EQ(anysync_future_result(future, NULL), 0);
    anysync_future_unref(anysync_future_ref(future));
    CHECK(anysync_future_unref(future) == NULL);
    CHECK(anysync_future_unref(NULL) == NULL);
}

TEST(a_wait_tells_of_the_wait_and_result_of_the_outcome)
{
    in_every_world(check_outcome);
}

static void check_failed(void)
{
    struct anysync_future *future = new_future();
    int value = 5;

    CHECK_EQ(anysync_future_fail(future, -ETIMEDOUT, "no page named %s", "a.html"), 0);
    CHECK_EQ(anysync_future_wait(future, ANYSYNC_FOREVER), 0); /* the wait itself went well */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_wait(future, &value, ANYSYNC_FOREVER), -ETIMEDOUT);
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
        CHECK_STR(anysync_last_error()->message, "no page named a.html");
    }
    CHECK_EQ(value, 5);
    anysync_future_unref(future);
}

TEST(a_failed_future_tells_why_to_everybody)
{
    in_every_world(check_failed);
}

/* From one that fits into what is used again, to one that does not by far. */
TEST(a_result_may_have_any_size)
{
    for (size_t size = 0; size < 2000; size = size * 2 + 1) {
        struct anysync_future *future = NULL;
        char put[2000], got[2000];

        memset(put, (int)size, size);
        memset(got, 0, size);
        CHECK_EQ(anysync_future_new(size, &future), 0);
        CHECK_EQ(anysync_future_set(future, put), 0);
        CHECK_EQ(anysync_wait(future, got, ANYSYNC_FOREVER), 0);
        CHECK_EQ(memcmp(put, got, size), 0);
        anysync_future_unref(future);
    }
}
