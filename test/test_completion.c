/* SPDX-License-Identifier: MIT */
/*
 * Futures completed by hand (include/anysync/future.h), contract J5.
 *
 * Promised                                        Tested by
 *   J5 from any thread, task and callback         j5_anybody_can_complete_a_future
 *      a value of NULL is all zero                j5_no_value_is_all_zero
 *      done once: -EALREADY, nothing changes      j5_a_second_completion_is_refused
 *      among many, exactly one completes it       stress_j5_one_of_many_completes_it
 *      the future of a task: -EPERM               j5_the_future_of_a_task_is_not_set_by_hand
 *      what came before is visible (TSan)         stress_j5_what_came_before_is_visible
 *      a waiter may drop the last reference       stress_j5_a_waiter_drops_the_last_reference
 *   from a signal handler: set, refused           j5_set_from_a_signal_handler
 *      while a plain thread waits                 j5_a_signal_wakes_its_own_waiting_thread
 *      while this thread runs a loop              j5_a_signal_wakes_a_task_of_its_own_loop
 *      while this thread's loop polls             j5_a_signal_wakes_a_task_while_its_loop_polls
 *      a task of the worker                       j5_a_signal_wakes_a_task_of_the_worker
 *      at any moment                              stress_j5_signals_at_any_moment
 */
#include "futures.h"

#include <anysync/io.h>
#include <anysync/typed.h>

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static void check_value(struct anysync_future *future, int want)
{
    int value = -1;

    CHECK_EQ(anysync_wait(future, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, want);
}

/* --- by hand ---------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, setter, (struct anysync_future *, future), (int, value))
{
    set(future, value);
    return 0;
}

static void set_in_callback(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    set(argument, 4);
}

ANYSYNC_COROUTINE(void, have_callback, (struct anysync_future *, future))
{
    struct event_base *base = anysync_event_base();

    CHECK(base != NULL);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, set_in_callback, future, NULL), 0);
    check_value(future, 4);
    return 0;
}

TEST(j5_anybody_can_complete_a_future)
{
    struct anysync_future *futures[4];

    for (int i = 0; i < 4; i++)
        futures[i] = new_future();
    set(futures[0], 1);
    CHECK_EQ(setter_run(futures[1], 2), 0);
    CHECK_EQ(setter_run_here(futures[2], 3), 0);
    CHECK_EQ(have_callback_run(futures[3]), 0);
    for (int i = 0; i < 4; i++) {
        check_value(futures[i], i + 1);
        anysync_future_unref(futures[i]);
    }
}

TEST(j5_no_value_is_all_zero)
{
    struct anysync_future *future = new_future(), *empty;

    CHECK_EQ(anysync_future_set(future, NULL), 0);
    check_value(future, 0);
    anysync_future_unref(future);
    CHECK_EQ(anysync_future_new(0, &empty), 0);
    CHECK_EQ(anysync_future_set(empty, &empty), 0);
    CHECK_EQ(anysync_wait(empty, NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(empty);
}

TEST(j5_a_second_completion_is_refused)
{
    struct anysync_future *future = new_future(), *failed = new_future();
    int other = 2;

    set(future, 1);
    CHECK_EQ(anysync_future_set(future, &other), -EALREADY);
    CHECK_CONTAINS(anysync_last_error()->message, "done before");
    CHECK_EQ(anysync_future_fail(future, -EIO, "too late"), -EALREADY);
    CHECK_EQ(anysync_future_set_from_signal(future, &other), -EALREADY);
    CHECK_EQ(anysync_cancel(future), ANYSYNC_DONE);
    check_value(future, 1);
    CHECK_EQ(anysync_future_fail(failed, -EIO, NULL), 0);
    CHECK_EQ(anysync_future_set(failed, &other), -EALREADY);
    CHECK_EQ(anysync_wait(failed, NULL, ANYSYNC_FOREVER), -EIO);
    CHECK_STR(anysync_last_error()->message, anysync_error_text(-EIO));
    anysync_future_unref(future);
    anysync_future_unref(failed);
}

ANYSYNC_COROUTINE(int, waits_for, (struct anysync_future *, future))
{
    return anysync_wait(future, result, ANYSYNC_FOREVER);
}

TEST(j5_the_future_of_a_task_is_not_set_by_hand)
{
    struct anysync_future *future = new_future();
    waits_for_future task;
    int value = 2;

    CHECK_EQ(waits_for_start(&task, future), 0);
    for (int i = 0; i < 2; i++) { /* while it runs, and afterwards */
        CHECK_EQ(anysync_future_set(task.future, &value), -EPERM);
        CHECK_CONTAINS(anysync_last_error()->message, "waits_for");
        CHECK_EQ(anysync_future_fail(task.future, -EIO, NULL), -EPERM);
        CHECK_EQ(anysync_future_set_from_signal(task.future, &value), -EPERM);
        if (i == 0)
            set(future, 1);
        check_value(task.future, 1);
    }
    waits_for_drop(&task);
    anysync_future_unref(future);
}

struct race {
    struct anysync_future *future;
    atomic_int winners, winner;
};

enum { RUNNERS = 6 };

static void complete(void *argument, int index)
{
    struct race *race = argument;
    int won = index % 3 == 0 ? anysync_future_set(race->future, &index)
              : index % 3 == 1
                      ? anysync_future_fail(race->future, -1000 - index, "runner %d", index)
                      : anysync_cancel(race->future);

    if (won == 0) {
        atomic_fetch_add(&race->winners, 1);
        atomic_store(&race->winner, index);
    } else {
        CHECK_EQ(won, index % 3 == 2 ? ANYSYNC_DONE : -EALREADY);
    }
    CHECK_EQ(anysync_future_wait(race->future, ANYSYNC_FOREVER), 0);
}

TEST(stress_j5_one_of_many_completes_it)
{
    long rounds = test_scaled(500);

    for (long i = 0; i < rounds; i++) {
        struct race race = {.future = new_future()};
        int value = -1;
        test_together(RUNNERS, complete, &race);
        CHECK_EQ(atomic_load(&race.winners), 1);
        int winner = atomic_load(&race.winner);
        int status = anysync_wait(race.future, &value, ANYSYNC_POLL);
        CHECK_EQ(status, winner % 3 == 0 ? 0 : winner % 3 == 1 ? -1000 - winner : -ECANCELED);
        CHECK_EQ(value, winner % 3 == 0 ? winner : -1);
        anysync_future_unref(race.future);
    }
}

/* A plain counter goes to and fro between a thread and a coroutine, guarded by nothing but
 * futures. */
struct match {
    long rounds, count;
    struct anysync_future **there, **back;
};

ANYSYNC_COROUTINE(void, opponent, (struct match *, match))
{
    for (long i = 0; i < match->rounds; i++) {
        check_value(match->there[i], (int)i);
        match->count++;
        set(match->back[i], (int)i);
    }
    return 0;
}

TEST(stress_j5_what_came_before_is_visible)
{
    struct match match = {.rounds = test_scaled(3000)};
    size_t size = (size_t)match.rounds * sizeof(*match.there);
    opponent_future task;

    match.there = malloc(size);
    match.back = malloc(size);
    CHECK(match.there && match.back);
    for (long i = 0; i < match.rounds; i++) {
        match.there[i] = new_future();
        match.back[i] = new_future();
    }
    CHECK_EQ(opponent_start(&task, &match), 0);
    for (long i = 0; i < match.rounds; i++) {
        match.count++;
        set(match.there[i], (int)i);
        check_value(match.back[i], (int)i);
    }
    CHECK_EQ(match.count, 2 * match.rounds);
    CHECK_EQ(opponent_wait(&task, ANYSYNC_FOREVER), 0);
    opponent_drop(&task);
    for (long i = 0; i < match.rounds; i++) {
        anysync_future_unref(match.there[i]);
        anysync_future_unref(match.back[i]);
    }
    free(match.there);
    free(match.back);
}

/* Two hold it together: who waits drops it at once, who sets has none of its own. */
static void set_or_drop(void *argument, int index)
{
    struct anysync_future *future = argument;

    if (index == 0) {
        set(future, 1);
    } else {
        check_value(future, 1);
        anysync_future_unref(future);
    }
}

TEST(stress_j5_a_waiter_drops_the_last_reference)
{
    long rounds = test_scaled(2000);

    for (long i = 0; i < rounds; i++)
        test_together(2, set_or_drop, new_future());
}

/* --- from a signal handler -------------------------------------------------------------------- */

static _Atomic(struct anysync_future *) target;
static atomic_int handled;

static void on_signal(int number)
{
    static const int value = 77;
    int saved = errno;
    struct anysync_future *future = atomic_exchange(&target, NULL);

    (void)number;
    if (future && anysync_future_set_from_signal(future, &value) == 0)
        atomic_fetch_add(&handled, 1);
    errno = saved;
}

/* The thread sanitizer holds a signal back until the thread next calls into it.  From a system
 * call that the kernel starts again by itself it would never come back to do so. */
static void handle_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = TEST_TSAN ? 0 : SA_RESTART};

    sigemptyset(&action.sa_mask);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    CHECK_EQ(atomic_load(&handled), 0);
}

TEST(j5_set_from_a_signal_handler)
{
    struct anysync_future *future = new_future();

    handle_signals();
    atomic_store(&target, future);
    CHECK_EQ(raise(SIGUSR1), 0);
    check_value(future, 77);
    CHECK_EQ(atomic_load(&handled), 1);
    anysync_future_unref(future);
}

/* Sends the signal to the thread that plays the part of the victim, over and over, until it is
 * told to stop; so one arrives while that thread waits, whenever that is. */
struct sniper {
    pthread_t victim;
    atomic_bool stop;
};

static void shoot(void *argument, int index)
{
    struct sniper *sniper = argument;

    (void)index;
    while (!atomic_load(&sniper->stop)) {
        CHECK_EQ(pthread_kill(sniper->victim, SIGUSR1), 0);
        sched_yield();
    }
}

/* WAIT for COUNT futures, one by one, on this thread under fire. */
static void under_fire(long count, void (*wait)(struct anysync_future *future))
{
    struct sniper sniper = {.victim = pthread_self()};

    handle_signals();
    struct test_threads *threads = test_threads_start(1, shoot, &sniper);
    for (long i = 0; i < count; i++) {
        struct anysync_future *future = new_future();
        atomic_store(&target, future);
        wait(future);
        anysync_future_unref(future);
    }
    CHECK_EQ(atomic_load(&handled), count);
    atomic_store(&sniper.stop, true);
    test_threads_join(threads);
}

static void wait_plainly(struct anysync_future *future)
{
    check_value(future, 77);
}

static void wait_here(struct anysync_future *future)
{
    int value = 0;

    CHECK_EQ(waits_for_run_here(&value, future), 0);
    CHECK_EQ(value, 77);
}

static void wait_by_worker(struct anysync_future *future)
{
    int value = 0;

    CHECK_EQ(waits_for_run(&value, future), 0);
    CHECK_EQ(value, 77);
}

/* With a descriptor to watch, the loop sleeps in its poll. */
ANYSYNC_COROUTINE(void, watch, (int, fd))
{
    int ready = anysync_wait_fd(fd, ANYSYNC_READABLE, ANYSYNC_FOREVER);

    return ready < 0 ? ready : 0;
}

ANYSYNC_COROUTINE(int, waits_polling, (struct anysync_future *, future), (int, fd))
{
    watch_future watcher;
    int error = watch_start(&watcher, fd);

    CHECK_EQ(error, 0);
    error = anysync_wait(future, result, ANYSYNC_FOREVER);
    CHECK_EQ(watch_cancel(&watcher), 0);
    CHECK_EQ(watch_wait(&watcher, ANYSYNC_FOREVER), -ECANCELED);
    watch_drop(&watcher);
    return error;
}

static int fds[2];

static void wait_polling(struct anysync_future *future)
{
    int value = 0;

    CHECK_EQ(waits_polling_run_here(&value, future, fds[0]), 0);
    CHECK_EQ(value, 77);
}

TEST(j5_a_signal_wakes_its_own_waiting_thread)
{
    under_fire(20, wait_plainly);
}

TEST(j5_a_signal_wakes_a_task_of_its_own_loop)
{
    under_fire(20, wait_here);
}

TEST(j5_a_signal_wakes_a_task_while_its_loop_polls)
{
    CHECK_EQ(pipe(fds), 0);
    under_fire(20, wait_polling);
}

TEST(j5_a_signal_wakes_a_task_of_the_worker)
{
    under_fire(20, wait_by_worker);
}

static void wait_anyhow(struct anysync_future *future)
{
    static int turn;
    static void (*const waits[])(struct anysync_future *) = {
            wait_plainly, wait_here, wait_polling, wait_by_worker};

    waits[turn++ % 4](future);
}

TEST(stress_j5_signals_at_any_moment)
{
    CHECK_EQ(pipe(fds), 0);
    under_fire(test_scaled(2000), wait_anyhow);
}
