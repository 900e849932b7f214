/* SPDX-License-Identifier: MIT */
/*
 * Who has nothing to do uses no processor.
 *
 * Promised                                        Tested by
 *   an idle worker takes no turn and no poll        an_idle_worker_takes_no_turn
 *     also one with a far timer and a descriptor    an_idle_worker_with_a_timer_takes_no_turn
 *     and its processor time stands still           an_idle_worker_uses_no_processor
 *   pool threads likewise                           an_idle_pool_thread_uses_no_processor
 *   a thread that waits likewise                    a_thread_that_waits_uses_no_processor
 *   all of it whatever is learned: spin = always    however_it_spins_an_idle_worker_rests
 */
#include "worlds.h"

#include <anysync.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { MS = 1000000, WATCH_MS = 200 };

static void nap(int64_t ms)
{
    struct timespec time = {.tv_nsec = (long)(ms * MS)};

    nanosleep(&time, NULL);
}

static int64_t used(clockid_t clock)
{
    struct timespec time;

    CHECK_EQ(clock_gettime(clock, &time), 0);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* EXECUTOR's worker takes no turn for a while.  On a busy machine it may take a last one late: then
 * this looks again.  If it never rests the test does not end. */
static void check_rests(struct anysync_executor *executor)
{
    struct anysync_stats before, now;

    anysync_executor_stats(executor, &now);
    do {
        before = now;
        nap(WATCH_MS);
        anysync_executor_stats(executor, &now);
    } while (now.turns != before.turns || now.sleeps != before.sleeps ||
             now.polls != before.polls || now.sleeps == 0);
}

/* The thread of CLOCK has nothing to do: of 200 ms it uses less than a tenth.  Likewise. */
static void check_stands_still(clockid_t clock)
{
    int64_t before, now = used(clock);

    do {
        before = now;
        nap(WATCH_MS);
        now = used(clock);
    } while (now - before > WATCH_MS / 10 * (int64_t)MS);
}

ANYSYNC_COROUTINE(clockid_t, clock_of_worker)
{
    return -pthread_getcpuclockid(pthread_self(), result);
}

ANYSYNC_BLOCKING(clockid_t, clock_of_job)
{
    return -pthread_getcpuclockid(pthread_self(), result);
}

ANYSYNC_COROUTINE(void, sleep_long)
{
    return anysync_sleep(anysync_in_seconds(3600));
}

TEST(an_idle_worker_takes_no_turn)
{
    clockid_t clock;

    for (int i = 0; i < 100; i++) /* it learns that looking pays */
        CHECK_EQ(clock_of_worker_run(&clock), 0);
    check_rests(NULL);
}

TEST(an_idle_worker_with_a_timer_takes_no_turn)
{
    struct anysync_future *sleeper;

    CHECK_EQ(anysync_spawn(&sleep_long_function, NULL, &sleeper), 0);
    check_rests(NULL);
    anysync_future_unref(sleeper);
}

TEST(an_idle_worker_uses_no_processor)
{
    clockid_t clock;

    for (int i = 0; i < 100; i++)
        CHECK_EQ(clock_of_worker_run(&clock), 0);
    check_stands_still(clock);
}

TEST(an_idle_pool_thread_uses_no_processor)
{
    clockid_t clock;

    for (int i = 0; i < 100; i++)
        CHECK_EQ(clock_of_job_offload(NULL, &clock), 0);
    check_stands_still(clock);
}

static void *wait_for_it(void *argument)
{
    struct anysync_future *gate = argument;

    CHECK_EQ(anysync_wait(gate, NULL, ANYSYNC_FOREVER), 0);
    return NULL;
}

TEST(a_thread_that_waits_uses_no_processor)
{
    struct anysync_future *gate = new_gate();
    pthread_t thread;
    clockid_t clock;

    CHECK_EQ(pthread_create(&thread, NULL, wait_for_it, gate), 0);
    CHECK_EQ(pthread_getcpuclockid(thread, &clock), 0);
    check_stands_still(clock);
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    anysync_future_unref(gate);
}

TEST(however_it_spins_an_idle_worker_rests)
{
    struct anysync_executor_options options = {.spin = ANYSYNC_SPIN_ALWAYS, .spin_ns = 1000 * 1000};
    struct anysync_executor *executor;
    clockid_t clock;

    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(clock_of_worker_run_on(executor, &clock), 0);
    check_rests(executor);
    check_stands_still(clock);
    anysync_executor_unref(executor);
}
