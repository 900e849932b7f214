/* SPDX-License-Identifier: MIT */
/*
 * Conditions (include/anysync/mutex.h).
 *
 * Promised                                       Tested by
 *   a signal wakes who waited longest              a_signal_wakes_who_waited_longest
 *   a broadcast wakes all                          a_broadcast_wakes_all
 *   a signal that nobody waits for is nothing      a_signal_without_waiters_is_nothing
 *   a wait can be given up, and holds the mutex    a_wait_that_is_given_up_holds_the_mutex
 *   a signal that was given counts                 a_cancel_after_the_signal_is_too_late
 *     and is handed on by who was abandoned        a_signal_does_not_go_with_who_was_abandoned
 *   who waits has to hold the mutex                who_waits_holds_the_mutex
 *   refusals                                       a_callback_is_refused
 *                                                  without_memory_there_is_none
 *                                                  a_forked_child_is_refused
 *                                                  a_mutex_of_the_parent_is_refused
 *   no signal is lost, none is for nothing         stress_a_queue_by_two_conditions
 *     nor between the unlock and the wait          stress_two_take_turns
 */
#include "abandoned.h"
#include "fault.h"
#include "futures.h"
#include "jobs.h"

#include <signal.h>

static struct anysync_mutex *mutex;
static struct anysync_condition *condition;

static void make_both(void)
{
    CHECK_EQ(anysync_mutex_new(&mutex), 0);
    CHECK_EQ(anysync_condition_new(&condition), 0);
}

static void drop_both(void)
{
    CHECK(anysync_condition_unref(anysync_condition_ref(condition)) == NULL);
    CHECK(anysync_condition_unref(condition) == NULL);
    CHECK(anysync_condition_unref(NULL) == NULL);
    anysync_mutex_unref(mutex);
}

static int place; /* under the mutex */

/* Its result: how many went on before. */
ANYSYNC_COROUTINE(int, wait_for_signal)
{
    int error = 0, status = 0;

    ANYSYNC_LOCKED(mutex, &error)
    {
        status = anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER);
        *result = place++;
    }
    return error ? error : status;
}

static void start_waiters(wait_for_signal_future *each, int count)
{
    place = 0;
    for (int i = 0; i < count; i++) {
        CHECK_EQ(wait_for_signal_start(&each[i]), 0);
        CHECK_EQ(anysync_yield(), 0);
    }
}

static void expect_places(wait_for_signal_future *each, int count)
{
    for (int i = 0; i < count; i++) {
        int got = -1;
        CHECK_EQ(wait_for_signal_wait(&each[i], &got, ANYSYNC_FOREVER), 0);
        CHECK_EQ(got, i);
        wait_for_signal_drop(&each[i]);
    }
}

ANYSYNC_COROUTINE(void, check_signals)
{
    wait_for_signal_future each[4];

    make_both();
    start_waiters(each, 4);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(place, i);
        anysync_condition_signal(condition);
        CHECK_EQ(wait_for_signal_wait(&each[i], NULL, ANYSYNC_FOREVER), 0);
    }
    expect_places(each, 4);
    drop_both();
    return 0;
}

TEST(a_signal_wakes_who_waited_longest)
{
    CHECK_EQ(check_signals_run(), 0);
    CHECK_EQ(check_signals_run_here(), 0);
}

ANYSYNC_COROUTINE(void, check_broadcast)
{
    wait_for_signal_future each[4];

    make_both();
    start_waiters(each, 4);
    anysync_condition_broadcast(condition);
    expect_places(each, 4);
    anysync_condition_broadcast(condition);
    drop_both();
    return 0;
}

TEST(a_broadcast_wakes_all)
{
    CHECK_EQ(check_broadcast_run(), 0);
    CHECK_EQ(check_broadcast_run_here(), 0);
}

static void check_no_waiter(void)
{
    make_both();
    anysync_condition_signal(condition);
    anysync_condition_broadcast(condition);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_condition_wait(condition, mutex, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_condition_wait(condition, mutex, ANYSYNC_POLL), -ETIMEDOUT);
    anysync_mutex_unlock(mutex); /* it was held: else the process ends here */
    drop_both();
}

TEST(a_signal_without_waiters_is_nothing)
{
    in_worlds((EVERYWHERE_AND_POOL) & ~(unsigned)FOREIGN, check_no_waiter);
}

ANYSYNC_COROUTINE(void, check_giving_up)
{
    wait_for_signal_future each[2];

    make_both();
    start_waiters(each, 2);
    CHECK_EQ(wait_for_signal_cancel(&each[0]), 0);
    CHECK_EQ(wait_for_signal_wait(&each[0], NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(place, 1); /* it went on with the mutex, which its block gave back */
    anysync_condition_signal(condition);
    CHECK_EQ(wait_for_signal_wait(&each[1], NULL, ANYSYNC_FOREVER), 0);
    wait_for_signal_drop(&each[0]);
    wait_for_signal_drop(&each[1]);
    drop_both();
    return 0;
}

TEST(a_wait_that_is_given_up_holds_the_mutex)
{
    CHECK_EQ(check_giving_up_run(), 0);
}

ANYSYNC_COROUTINE(void, check_too_late)
{
    wait_for_signal_future each[1];

    make_both();
    start_waiters(each, 1);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
    anysync_condition_signal(condition);
    CHECK_EQ(anysync_yield(), 0); /* now it wants the mutex */
    CHECK_EQ(wait_for_signal_cancel(&each[0]), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(place, 0);
    anysync_mutex_unlock(mutex);
    expect_places(each, 1);
    drop_both();
    return 0;
}

TEST(a_cancel_after_the_signal_is_too_late)
{
    CHECK_EQ(check_too_late_run(), 0);
}

/* --- who is abandoned ------------------------------------------------------------------------- */

static atomic_bool in_line;

ANYSYNC_BLOCKING(void, job_waits, (int, ms))
{
    int error = 0, status = 0;

    ANYSYNC_LOCKED(mutex, &error)
    {
        atomic_store(&in_line, true);
        status = anysync_condition_wait(condition, mutex, anysync_in_ms(ms));
    }
    return error ? error : status;
}

static job_waits_future job;

static void start_job(int ms)
{
    atomic_store(&in_line, false);
    CHECK_EQ(job_waits_start(&job, ms), 0);
    while (!atomic_load(&in_line))
        ;
    while (anysync_mutex_lock(mutex, ANYSYNC_POLL) != 0)
        ;
    anysync_mutex_unlock(mutex); /* so it waits */
}

static void expect_of_job(int status)
{
    CHECK_EQ(job_waits_wait(&job, ANYSYNC_FOREVER), status);
    job_waits_drop(&job);
}

static void wait_first(void *argument)
{
    (void)argument;
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
    (void)!anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER);
}

static void signal_first(void *argument)
{
    (void)argument;
    start_job(60000);
    anysync_condition_signal(condition);
}

static void broadcast_to_first(void *argument)
{
    (void)argument;
    anysync_condition_broadcast(condition);
    start_job(200); /* it comes after that */
}

TEST(a_signal_does_not_go_with_who_was_abandoned)
{
    make_both();
    abandon_in_line(wait_first, signal_first, NULL);
    expect_of_job(0);
    abandon_in_line(wait_first, broadcast_to_first, NULL);
    expect_of_job(-ETIMEDOUT);
    drop_both();
}

/* --- refusals --------------------------------------------------------------------------------- */

static int wait_without(void *argument)
{
    (void)argument;
    make_both();
    return anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER);
}

TEST(who_waits_holds_the_mutex)
{
    struct test_child child = test_child(wait_without, NULL);

    CHECK_EQ(child.signal, SIGABRT);
    CHECK_CONTAINS(child.errors, "has to hold the mutex");
    free(child.errors);
}

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    (void)fd, (void)events;
    make_both();
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn");
    anysync_mutex_unlock(mutex);
    drop_both();
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_is_refused)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(without_memory_there_is_none)
{
    fault_fail("malloc", 1, false);
    CHECK_EQ(anysync_condition_new(&condition), -ENOMEM);
    fault_clear();
    CHECK(condition == NULL);
    check_no_waiter();
}

static int wait_in_child(void *argument)
{
    (void)argument;
    CHECK_EQ(anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER), -EOWNERDEAD);
    anysync_condition_signal(condition);
    anysync_condition_broadcast(condition);
    drop_both();
    check_no_waiter();
    return 0;
}

TEST(a_forked_child_is_refused)
{
    make_both();
    struct test_child child = test_child(wait_in_child, NULL);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    drop_both();
}

/* Which it holds, as the thread that forked did; the condition is its own. */
static int wait_with_parents_mutex(void *argument)
{
    (void)argument;
    CHECK_EQ(anysync_condition_new(&condition), 0);
    CHECK_EQ(anysync_condition_wait(condition, mutex, anysync_in_ms(1)), -EOWNERDEAD);
    drop_both();
    return 0;
}

TEST(a_mutex_of_the_parent_is_refused)
{
    CHECK_EQ(anysync_mutex_new(&mutex), 0);
    CHECK_EQ(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), 0);
    struct test_child child = test_child(wait_with_parents_mutex, NULL);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    anysync_mutex_unlock(mutex);
    anysync_mutex_unref(mutex);
}

/* --- a queue ---------------------------------------------------------------------------------- */

enum { PAIRS = 3, ROOM = 4 };

static struct {
    struct anysync_condition *room, *items;
    long ring[ROOM], first, count; /* under the mutex */
    long each, sum;                /* likewise */
} queue;

static int put_all(long from)
{
    for (long i = 0; i < queue.each; i++) {
        int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);
        while (!error && queue.count == ROOM)
            error = anysync_condition_wait(queue.room, mutex, ANYSYNC_FOREVER);
        if (error)
            return error;
        queue.ring[(queue.first + queue.count++) % ROOM] = from * queue.each + i;
        anysync_condition_signal(queue.items);
        anysync_mutex_unlock(mutex);
    }
    return 0;
}

static int get_all(void)
{
    for (long i = 0; i < queue.each; i++) {
        int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);
        while (!error && queue.count == 0)
            error = anysync_condition_wait(queue.items, mutex, ANYSYNC_FOREVER);
        if (error)
            return error;
        queue.sum += queue.ring[queue.first++ % ROOM];
        queue.count--;
        anysync_condition_signal(queue.room);
        anysync_mutex_unlock(mutex);
    }
    return 0;
}

ANYSYNC_COROUTINE(void, put_all_body, (long, from))
{
    return put_all(from);
}

ANYSYNC_COROUTINE(void, get_all_body)
{
    return get_all();
}

/* Each pair: one of the four ways to have a thread or a coroutine at either end. */
static void use_queue(void *argument, int index)
{
    int pair = index / 2;

    (void)argument;
    if (index % 2 == 0)
        CHECK_EQ(pair & 1 ? put_all(pair) : put_all_body_run(pair), 0);
    else
        CHECK_EQ(pair & 2 ? get_all() : get_all_body_run(), 0);
}

TEST(stress_a_queue_by_two_conditions)
{
    make_both();
    CHECK_EQ(anysync_condition_new(&queue.room), 0);
    CHECK_EQ(anysync_condition_new(&queue.items), 0);
    queue.each = test_scaled(2000);
    test_together(2 * PAIRS, use_queue, NULL);
    long total = PAIRS * queue.each;
    CHECK_EQ(queue.sum, total * (total - 1) / 2);
    anysync_condition_unref(queue.room);
    anysync_condition_unref(queue.items);
    drop_both();
}

/* --- turns ------------------------------------------------------------------------------------ */

static struct {
    int whose; /* under the mutex */
    long rounds;
} turns;

/* Each signal is the only one that the other may wait for, and comes as soon as that has let go of
 * the mutex. */
static int take_turns(int me)
{
    int error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);

    if (error)
        return error;
    for (long i = 0; i < turns.rounds && !error; i++) {
        while (turns.whose != me && !error)
            error = anysync_condition_wait(condition, mutex, ANYSYNC_FOREVER);
        turns.whose = !me;
        anysync_condition_signal(condition);
    }
    anysync_mutex_unlock(mutex);
    return error;
}

ANYSYNC_COROUTINE(void, take_turns_body, (int, me))
{
    return take_turns(me);
}

static void take_turns_together(void *argument, int index)
{
    bool thread = (index + 1) & *(int *)argument;

    CHECK_EQ(thread ? take_turns(index) : take_turns_body_run_here(index), 0);
}

TEST(stress_two_take_turns)
{
    turns.rounds = test_scaled(2000);
    for (int threads = 0; threads <= 3; threads++) { /* bits: which of them is no coroutine */
        make_both();
        test_together(2, take_turns_together, &threads);
        drop_both();
    }
}
