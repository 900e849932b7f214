/* SPDX-License-Identifier: MIT */
/*
 * Callbacks of futures, and futures with a timer (<anysync/callback.h>).
 *
 * Promised                                          Tested by
 *   a timed future is done at its time, not early   a_timed_future_is_done_at_its_time
 *   FOREVER: only by hand; a passed time: soon      forever_is_by_hand, a_passed_time_is_soon
 *   set, fail, cancel before: the timer goes        a_timed_future_may_be_completed_before
 *                             also elsewhere        ... by_another_thread
 *   the loop ends: -ECANCELED                       a_loop_that_ends_fails_its_timed_futures
 *   J2: callbacks run on the loop that registers,   j2_a_callback_runs_on_the_loop_that_registered,
 *   or the global one's, once, never inside a call  j2_plain_threads_get_the_workers,
 *                                                   j2_a_callback_is_never_inside_a_call
 *   of any future, many of one, done already        j2_any_future_may_have_callbacks
 *   a callback may do all but wait                  a_callback_may_do_all_but_wait
 *   its loop has ended: called with NULL            j2_a_callback_of_a_loop_that_ended_gets_null,
 *                                                   j2_a_callback_of_an_earlier_loop_gets_null
 *   no memory, shut down, forked                    no_memory_is_an_error, a_shut_down_worker_...,
 *                                                   a_child_has_neither
 *   completion races with registration              stress_callbacks_and_completions_race
 *   a timer races with set elsewhere                stress_timers_and_completions_race
 */
#include "fault.h"
#include "worlds.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* What a callback saw. */
struct seen {
    atomic_int calls;
    int status;
    bool gone;
    unsigned thread;
    bool in_coroutine;
    struct anysync_future *done; /* set by the callback, for who waits */
};

static void look(struct anysync_future *future, void *argument)
{
    struct seen *seen = argument;

    seen->gone = !future;
    seen->status = future ? anysync_future_result(future, NULL) : 0;
    seen->thread = anysync_thread_serial();
    seen->in_coroutine = anysync_in_coroutine();
    atomic_fetch_add(&seen->calls, 1);
    if (seen->done)
        CHECK_EQ(anysync_future_set(seen->done, NULL), 0);
}

static struct seen new_seen(void)
{
    struct seen seen = {.status = 1};

    CHECK_EQ(anysync_future_new(0, &seen.done), 0);
    return seen;
}

static void wait_seen(struct seen *seen)
{
    CHECK_EQ(anysync_wait(seen->done, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&seen->calls), 1);
    seen->done = anysync_future_unref(seen->done);
}

/* --- time ------------------------------------------------------------------------------------- */

static void check_time(void)
{
    anysync_time deadline = anysync_in_ms(3);
    struct anysync_future *future;

    CHECK_EQ(anysync_future_at(deadline, &future), 0);
    CHECK_EQ(anysync_wait(future, NULL, ANYSYNC_FOREVER), 0);
    CHECK_GE(anysync_now(), deadline);
    CHECK(anysync_future_done(future));
    anysync_future_unref(future);
}

TEST(a_timed_future_is_done_at_its_time)
{
    in_worlds(EVERYWHERE_AND_POOL, check_time);
}

static void check_forever(void)
{
    struct anysync_future *future;
    int error;

    CHECK_EQ(anysync_future_at(ANYSYNC_FOREVER, &future), 0);
    CHECK_EQ(anysync_wait(future, NULL, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_future_set(future, NULL), 0);
    CHECK_EQ(anysync_wait(future, NULL, ANYSYNC_POLL), 0);
    anysync_future_unref(future);
    CHECK_EQ(anysync_future_at(ANYSYNC_FOREVER, &future), 0);
    error = anysync_cancel(future);
    CHECK_EQ(error, 0);
    CHECK_EQ(anysync_wait(future, NULL, ANYSYNC_FOREVER), -ECANCELED);
    anysync_future_unref(future);
}

TEST(forever_is_by_hand)
{
    in_worlds(EVERYWHERE, check_forever);
}

static void check_passed(void)
{
    struct anysync_future *futures[2];

    CHECK_EQ(anysync_future_at(ANYSYNC_POLL, &futures[0]), 0);
    CHECK_EQ(anysync_future_at(anysync_now(), &futures[1]), 0);
    CHECK_EQ(anysync_wait_all(futures, 2, ANYSYNC_FOREVER), 0);
    anysync_future_unref(futures[0]);
    anysync_future_unref(futures[1]);
}

TEST(a_passed_time_is_soon)
{
    in_worlds(EVERYWHERE, check_passed);
}

static anysync_time in_an_hour(void)
{
    return anysync_in_ms(3600 * 1000);
}

/* One that ended before its time, which is soon: on a busy machine it may take more than one. */
static struct anysync_future *cancelled_before(anysync_time *ret_time)
{
    for (int ms = 5;; ms *= 2) {
        struct anysync_future *future;

        *ret_time = anysync_in_ms(ms);
        CHECK_EQ(anysync_future_at(*ret_time, &future), 0);
        if (anysync_cancel(future) == 0)
            return future;
        anysync_future_unref(future);
    }
}

static void check_before(void)
{
    struct anysync_future *futures[3];
    anysync_time time;

    for (int i = 0; i < 2; i++)
        CHECK_EQ(anysync_future_at(in_an_hour(), &futures[i]), 0);
    CHECK_EQ(anysync_future_set(futures[0], NULL), 0);
    CHECK_EQ(anysync_future_fail(futures[1], -EIO, "no %s", "luck"), 0);
    futures[2] = cancelled_before(&time);
    CHECK_EQ(anysync_future_set(futures[2], NULL), -EALREADY);
    CHECK_EQ(anysync_future_result(futures[0], NULL), 0);
    CHECK_EQ(anysync_future_result(futures[1], NULL), -EIO);
    CHECK_CONTAINS(anysync_last_error()->message, "no luck");
    CHECK_EQ(anysync_sleep(time + 5000000), 0); /* its timer would have fired */
    CHECK_EQ(anysync_future_result(futures[2], NULL), -ECANCELED);
    for (int i = 0; i < 3; i++)
        anysync_future_unref(futures[i]);
}

TEST(a_timed_future_may_be_completed_before)
{
    in_worlds(EVERYWHERE, check_before);
}

ANYSYNC_COROUTINE(void, make_timed, (int64_t, delay_ms), (struct anysync_future **, ret_future))
{
    CHECK_EQ(anysync_future_at(anysync_in_ms(delay_ms), ret_future), 0);
    return 0;
}

TEST(a_timed_future_may_be_completed_by_another_thread)
{
    struct anysync_future *futures[2];

    CHECK_EQ(make_timed_run(2, &futures[0]), 0);
    CHECK_EQ(make_timed_run(3600 * 1000, &futures[1]), 0);
    int first = anysync_future_set(futures[0], NULL); /* or its time has come */
    CHECK(first == 0 || first == -EALREADY);
    CHECK_EQ(anysync_future_set(futures[1], NULL), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_wait(futures[i], NULL, ANYSYNC_FOREVER), 0);
        anysync_future_unref(futures[i]);
    }
    CHECK_EQ(anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
}

ANYSYNC_COROUTINE(void, leave_timed, (struct anysync_future **, futures))
{
    static const int delays[] = {5000, 90 * 1000, 3600 * 1000 * 24};

    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_future_at(anysync_in_ms(delays[i]), &futures[i]), 0);
    CHECK_EQ(anysync_future_at(in_an_hour(), &futures[3]), 0);
    CHECK_EQ(anysync_future_set(futures[3], NULL), 0);
    return 0;
}

TEST(a_loop_that_ends_fails_its_timed_futures)
{
    struct anysync_future *futures[4];

    for (int how = 0; how < 3; how++) {
        if (how == 0) {
            CHECK_EQ(leave_timed_run_here(futures), 0);
        } else {
            CHECK_EQ(leave_timed_run(futures), 0);
            enum anysync_shutdown kind = how == 1 ? ANYSYNC_DRAIN : ANYSYNC_CANCEL;
            CHECK_EQ(anysync_executor_shutdown(NULL, kind, ANYSYNC_FOREVER, NULL), 0);
            CHECK_EQ(anysync_executor_start(NULL), 0);
        }
        for (int i = 0; i < 4; i++) {
            CHECK_EQ(anysync_wait(futures[i], NULL, ANYSYNC_FOREVER), i < 3 ? -ECANCELED : 0);
            if (i < 3)
                CHECK_CONTAINS(anysync_last_error()->message, "ended before its deadline");
            anysync_future_unref(futures[i]);
        }
    }
}

/* --- callbacks -------------------------------------------------------------------------------- */

static void check_loop(void)
{
    struct seen seen = new_seen();
    struct anysync_future *future;

    CHECK_EQ(anysync_future_at(anysync_in_ms(2), &future), 0);
    CHECK_EQ(anysync_future_on_done(future, look, &seen), 0);
    anysync_future_unref(future); /* it is called all the same */
    wait_seen(&seen);
    CHECK_EQ(seen.status, 0);
    CHECK_EQ(seen.thread, anysync_thread_serial());
    CHECK(!seen.in_coroutine);
    CHECK(!seen.gone);
}

TEST(j2_a_callback_runs_on_the_loop_that_registered)
{
    in_worlds(IN_COROUTINES, check_loop);
}

ANYSYNC_COROUTINE(unsigned, serial_of_worker)
{
    *result = anysync_thread_serial();
    return 0;
}

static void check_plain(void)
{
    struct seen seen = new_seen();
    struct anysync_future *future;
    unsigned worker = 0;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    CHECK_EQ(anysync_future_on_done(future, look, &seen), 0);
    CHECK_EQ(serial_of_worker_run(&worker), 0);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    CHECK_EQ(anysync_future_fail(future, -EIO, NULL), 0);
    anysync_future_unref(future);
    wait_seen(&seen);
    CHECK_EQ(seen.status, -EIO);
    CHECK_EQ(seen.thread, worker);
}

TEST(j2_plain_threads_get_the_workers)
{
    in_worlds(ON_THREADS, check_plain);
}

static void check_not_inside(void)
{
    struct seen before = new_seen(), after = new_seen();
    struct anysync_future *future;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    CHECK_EQ(anysync_future_on_done(future, look, &before), 0);
    CHECK_EQ(anysync_future_set(future, NULL), 0);
    CHECK_EQ(anysync_future_on_done(future, look, &after), 0);
    CHECK_EQ(atomic_load(&before.calls), 0); /* no other code has run on this loop */
    CHECK_EQ(atomic_load(&after.calls), 0);
    CHECK_EQ(anysync_yield(), 0);
    wait_seen(&before);
    wait_seen(&after);
    anysync_future_unref(future);
}

TEST(j2_a_callback_is_never_inside_a_call)
{
    in_worlds(IN_COROUTINES, check_not_inside);
}

ANYSYNC_COROUTINE(int, seven, (struct anysync_future *, gate))
{
    CHECK_EQ(anysync_wait(gate, NULL, ANYSYNC_FOREVER), 0);
    *result = 7;
    return 0;
}

static void look_for_seven(struct anysync_future *future, void *argument)
{
    int value = 0;

    CHECK_EQ(anysync_future_result(future, &value), 0);
    CHECK_EQ(value, 7);
    look(future, argument);
}

static void check_any(void)
{
    enum { COUNT = 20 };
    struct seen seen[COUNT];
    struct anysync_future *gate, *task, *timed;
    seven_future handle;

    CHECK_EQ(anysync_future_new(0, &gate), 0);
    CHECK_EQ(seven_start(&handle, gate), 0);
    task = handle.future;
    CHECK_EQ(anysync_future_at(in_an_hour(), &timed), 0);
    for (int i = 0; i < COUNT; i++) {
        seen[i] = new_seen();
        CHECK_EQ(i % 2 ? anysync_future_on_done(timed, look, &seen[i])
                       : anysync_future_on_done(task, look_for_seven, &seen[i]),
                0);
    }
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    CHECK_EQ(anysync_cancel(timed), 0);
    for (int i = 0; i < COUNT; i++) {
        wait_seen(&seen[i]);
        CHECK_EQ(seen[i].status, i % 2 ? -ECANCELED : 0);
    }
    anysync_future_unref(gate);
    seven_drop(&handle);
    anysync_future_unref(timed);
}

TEST(j2_any_future_may_have_callbacks)
{
    in_worlds(EVERYWHERE, check_any);
}

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

static void do_much(struct anysync_future *future, void *argument)
{
    struct anysync_future *other, *task;

    CHECK_EQ(anysync_future_new(0, &other), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), -EDEADLK);
    CHECK_EQ(anysync_wait(other, NULL, anysync_in_ms(1)), -EDEADLK);
    CHECK_EQ(nothing_start(NULL), 0);
    CHECK_EQ(anysync_future_at(anysync_in_ms(1), &task), 0); /* and the next timer */
    CHECK_EQ(anysync_future_on_done(task, look, argument), 0);
    anysync_future_unref(task);
    CHECK_EQ(anysync_future_set(other, NULL), 0);
    anysync_future_unref(other);
    CHECK(anysync_future_done(future));
}

static void check_all_but_wait(void)
{
    struct seen seen = new_seen();
    struct anysync_future *future;

    CHECK_EQ(anysync_future_at(anysync_in_ms(1), &future), 0);
    CHECK_EQ(anysync_future_on_done(future, do_much, &seen), 0);
    wait_seen(&seen);
    anysync_future_unref(future);
}

TEST(a_callback_may_do_all_but_wait)
{
    in_worlds(EVERYWHERE, check_all_but_wait);
}

ANYSYNC_COROUTINE(void, register_look, (struct anysync_future *, future), (struct seen *, seen))
{
    return anysync_future_on_done(future, look, seen);
}

TEST(j2_a_callback_of_a_loop_that_ended_gets_null)
{
    struct seen here = {.calls = 0}, worker = {.calls = 0};
    struct anysync_future *future;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    CHECK_EQ(register_look_run_here(future, &here), 0);
    CHECK_EQ(register_look_run(future, &worker), 0);
    CHECK_EQ(anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(atomic_load(&here.calls) + atomic_load(&worker.calls), 0);
    CHECK_EQ(anysync_future_set(future, NULL), 0);
    CHECK_EQ(atomic_load(&here.calls), 1);
    CHECK_EQ(atomic_load(&worker.calls), 1);
    CHECK(here.gone && worker.gone);
    CHECK_EQ(worker.thread, anysync_thread_serial());
    anysync_future_unref(future);
}

TEST(j2_a_callback_of_an_earlier_loop_gets_null)
{
    struct seen seen = new_seen();
    struct anysync_future *future;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    CHECK_EQ(register_look_run(future, &seen), 0);
    CHECK_EQ(anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_executor_start(NULL), 0); /* on the same scheduler */
    CHECK_EQ(anysync_future_set(future, NULL), 0);
    wait_seen(&seen);
    CHECK(seen.gone);
    anysync_future_unref(future);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void check_no_memory(void)
{
    struct seen seen = new_seen();
    struct anysync_future *future, *untouched = NULL;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    for (int i = 1; i < 4; i++) { /* a recycled record may need none */
        fault_fail("malloc", i, true);
        int error = anysync_future_at(in_an_hour(), &untouched);
        fault_clear();
        CHECK(error == -ENOMEM ? !untouched : error == 0);
        if (error == 0)
            CHECK_EQ(anysync_cancel(untouched), 0);
        untouched = anysync_future_unref(untouched);
    }
    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_future_on_done(future, look, &seen), -ENOMEM);
    fault_clear();
    CHECK_EQ(anysync_future_on_done(future, look, &seen), 0);
    CHECK_EQ(anysync_future_set(future, NULL), 0);
    wait_seen(&seen);
    anysync_future_unref(future);
}

TEST(no_memory_is_an_error)
{
    CHECK_EQ(anysync_executor_start(NULL), 0);
    in_worlds(PLAIN | WORKER | HERE, check_no_memory);
}

TEST(a_shut_down_worker_is_an_error)
{
    struct seen seen = {.calls = 0};
    struct anysync_future *future, *timed;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    CHECK_EQ(anysync_executor_start(NULL), 0);
    CHECK_EQ(anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_future_at(anysync_in_ms(1), &timed), -ESHUTDOWN);
    CHECK_EQ(anysync_future_on_done(future, look, &seen), -ESHUTDOWN);
    CHECK_EQ(anysync_future_set(future, NULL), 0);
    CHECK_EQ(atomic_load(&seen.calls), 0);
    anysync_future_unref(future);
}

static struct seen seen_in_child;
enum { TOO_LATE = 3 };

static int in_child(void *argument)
{
    struct anysync_future **futures = argument;
    struct seen seen = new_seen();
    int before = atomic_load(&seen_in_child.calls); /* in the parent, for one that was too late */

    CHECK_EQ(anysync_future_on_done(futures[0], look, &seen_in_child), -EOWNERDEAD);
    int error = anysync_wait(futures[1], NULL, anysync_in_ms(20));
    if (error == 0)
        return TOO_LATE;
    CHECK_EQ(error, -EOWNERDEAD);
    CHECK_EQ(atomic_load(&seen_in_child.calls), before);
    CHECK_EQ(anysync_future_at(anysync_in_ms(1), &futures[2]), 0);
    CHECK_EQ(anysync_future_on_done(futures[2], look, &seen), 0);
    wait_seen(&seen);
    return 0;
}

/* A child while FUTURES wait, one of them for DELAY_MS.  Returns whether that was long enough. */
static bool has_a_child_in_time(int64_t delay_ms)
{
    struct anysync_future *futures[3];

    if (TEST_MSAN)
        test_forks_among_threads();
    CHECK_EQ(anysync_future_new(0, &futures[0]), 0);
    CHECK_EQ(make_timed_run(delay_ms, &futures[1]), 0);
    CHECK_EQ(anysync_future_on_done(futures[1], look, &seen_in_child), 0);
    struct test_child child = test_child(in_child, futures);
    if (!child.exited || (child.status != 0 && child.status != TOO_LATE))
        test_fail(TEST_HERE, "%d, %d: %s", child.status, child.signal, child.errors);
    free(child.errors); /* a leak checker may have printed something */
    CHECK_EQ(anysync_wait(futures[1], NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(futures[0]);
    anysync_future_unref(futures[1]);
    return child.status == 0;
}

TEST(a_child_has_neither)
{
    int64_t delay_ms = 5;

    while (!has_a_child_in_time(delay_ms))
        delay_ms *= 2; /* it was over before the fork: this machine is slow today */
}

/* --- races ------------------------------------------------------------------------------------ */

static struct anysync_future *shared;
static atomic_int round_of_setter;

static void *set_each(void *argument)
{
    int rounds = *(int *)argument;

    for (int i = 1; i <= rounds; i++) {
        while (atomic_load(&round_of_setter) < i)
            sched_yield();
        int error = anysync_future_set(shared, NULL);
        CHECK(error == 0 || error == -EALREADY);
        anysync_future_unref(shared);
        atomic_store(&round_of_setter, -i);
        while (atomic_load(&round_of_setter) < 0)
            sched_yield();
    }
    return NULL;
}

ANYSYNC_COROUTINE(void, register_some, (struct seen *, seen), (int, count))
{
    for (int i = 0; i < count; i++)
        CHECK_EQ(anysync_future_on_done(shared, look, &seen[i]), 0);
    return 0;
}

enum { SOME = 4 };

static void race_with_setter(int rounds, struct anysync_future *(*make)(void))
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, set_each, &rounds), 0);
    for (int i = 1; i <= rounds; i++) {
        struct seen seen[2 * SOME];
        shared = make();
        for (int k = 0; k < 2 * SOME; k++)
            seen[k] = new_seen();
        struct anysync_future *mine = anysync_future_ref(shared);
        atomic_store(&round_of_setter, i);
        for (int k = 0; k < SOME; k++)
            CHECK_EQ(anysync_future_on_done(mine, look, &seen[k]), 0);
        CHECK_EQ(register_some_run(&seen[SOME], SOME), 0);
        for (int k = 0; k < 2 * SOME; k++)
            wait_seen(&seen[k]);
        anysync_future_unref(mine);
        while (atomic_load(&round_of_setter) != -i)
            sched_yield();
        atomic_store(&round_of_setter, 0);
    }
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static struct anysync_future *make_plain(void)
{
    struct anysync_future *future;

    CHECK_EQ(anysync_future_new(0, &future), 0);
    return future;
}

TEST(stress_callbacks_and_completions_race)
{
    race_with_setter((int)test_scaled(2000), make_plain);
}

static struct anysync_future *make_due_soon(void)
{
    static int count;
    struct anysync_future *future;

    if (++count % 2) /* half of them belong to the worker as its own */
        CHECK_EQ(make_timed_run(0, &future), 0);
    else
        CHECK_EQ(anysync_future_at(anysync_now() + count % 16 * 1000, &future), 0);
    return future;
}

TEST(stress_timers_and_completions_race)
{
    race_with_setter((int)test_scaled(2000), make_due_soon);
}
