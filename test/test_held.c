/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pthread_mutex_clocklock() */
/*
 * Pthread mutexes that coroutines hold while they suspend (lib/thread/held.h): reported in debug
 * builds (make DEBUG=1, which test_debug.sh makes), and in no other.
 *
 * Promised                                       Tested by
 *   each way to suspend, each way to lock          every_way_to_suspend_is_reported
 *                                                  every_way_to_lock_is_reported
 *   name, mutex and place are said, once           a_place_is_reported_once
 *   an end with it is reported as well             an_end_with_a_mutex_is_reported
 *   nothing else is                                what_is_no_bug_is_not_reported
 */
#include "worlds.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef ASI_DEBUG
enum { DEBUG_BUILD = true };
#else
enum { DEBUG_BUILD = false };
#endif

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static int lock(void)
{
    return pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
}

/* What SCENE made the library say, on standard error, in a process of its own.  Free it. */
static char *said_by(int (*scene)(void *argument), void *argument)
{
    struct test_child child = test_child(scene, argument);

    CHECK(child.exited);
    if (child.status != 0)
        test_fail(TEST_HERE, "the scene failed: %s", child.errors);
    return child.errors;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;

    while ((text = strstr(text, part))) {
        count++;
        text += strlen(part);
    }
    return count;
}

static void expect_said(int (*scene)(void *argument), void *argument, int times, const char *what)
{
    char *said = said_by(scene, argument);

    if (!DEBUG_BUILD)
        times = 0;
    if (count_of(said, what) != times || count_of(said, "\n") != times)
        test_fail(TEST_HERE, "said \"%s\", not %d times \"%s\"", said, times, what);
    free(said);
}

/* --- ways to suspend -------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

enum { WARM = 3 }; /* rounds after which two coroutines go straight to one another */

ANYSYNC_COROUTINE(void, sends, (struct anysync_channel *, channel))
{
    for (int i = 0; i <= WARM; i++) {
        CHECK_EQ(anysync_yield(), 0); /* it is ready, and has not sent yet */
        CHECK_EQ(anysync_channel_send(channel, &i, ANYSYNC_FOREVER), 0);
    }
    return 0;
}

static void by_sleep(void)
{
    CHECK_EQ(anysync_sleep(anysync_in_us(10)), 0);
}

static void by_yield(void)
{
    CHECK_EQ(anysync_yield(), 0);
}

static void by_await(void)
{
    CHECK_EQ(nothing_await(), 0);
}

static void by_channel(void)
{
    struct anysync_channel *channel = NULL;
    sends_future task;
    int value = 0;

    CHECK_EQ(anysync_channel_new(0, sizeof(value), &channel), 0);
    CHECK_EQ(sends_start(&task, channel), 0);
    unlock();
    for (int i = 0; i < WARM; i++)
        CHECK_EQ(anysync_channel_recv(channel, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(lock(), 0);
    CHECK_EQ(anysync_channel_recv(channel, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, WARM);
    unlock();
    CHECK_EQ(sends_wait(&task, ANYSYNC_FOREVER), 0);
    sends_drop(&task);
    anysync_channel_unref(channel);
    CHECK_EQ(lock(), 0);
}

static void by_descriptor(void)
{
    int pair[2];

    CHECK_EQ(pipe(pair), 0);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, anysync_in_us(10)), -ETIMEDOUT);
    close(pair[0]);
    close(pair[1]);
}

typedef void way_fn(void);

ANYSYNC_COROUTINE(void, suspends_holding, (way_fn *, way))
{
    CHECK_EQ(lock(), 0);
    way();
    unlock();
    return 0;
}

static int suspend_by(void *argument)
{
    return suspends_holding_run(*(way_fn **)argument);
}

ANYSYNC_GENERATOR(int, yields_holding)
{
    for (int i = 0; i < WARM; i++)
        CHECK_EQ(yields_holding_yield(0), 0);
    CHECK_EQ(lock(), 0);
    int error = yields_holding_yield(1);
    unlock();
    return error;
}

ANYSYNC_COROUTINE(void, takes_items)
{
    int error = 0, count = 0;

    ANYSYNC_FOR(yields_holding, item, &error)
    {
        count += item;
    }
    CHECK_EQ(count, 1);
    return error;
}

static int suspend_by_item(void *argument)
{
    (void)argument;
    return takes_items_run_here();
}

TEST(every_way_to_suspend_is_reported)
{
    way_fn *const ways[] = {by_sleep, by_yield, by_await, by_channel, by_descriptor};

    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        way_fn *way = ways[i];
        expect_said(suspend_by, &way, 1, "task \"suspends_holding\" suspends while it holds");
    }
    expect_said(suspend_by_item, NULL, 1, "task \"yields_holding\" suspends while it holds");
}

/* --- ways to lock ----------------------------------------------------------------------------- */

static int lock_in_some_way(int way)
{
    struct timespec soon;

    switch (way) {
    case 0:
        return pthread_mutex_trylock(&mutex);
    case 1:
        CHECK_EQ(clock_gettime(CLOCK_REALTIME, &soon), 0);
        soon.tv_sec += 60;
        return pthread_mutex_timedlock(&mutex, &soon);
    default:
        CHECK_EQ(clock_gettime(CLOCK_MONOTONIC, &soon), 0);
        soon.tv_sec += 60;
        return pthread_mutex_clocklock(&mutex, CLOCK_MONOTONIC, &soon);
    }
}

ANYSYNC_COROUTINE(void, locks_in_some_way, (int, way))
{
    CHECK_EQ(lock_in_some_way(way), 0);
    by_yield();
    unlock();
    return 0;
}

static int lock_by(void *way)
{
    return locks_in_some_way_run(*(int *)way);
}

TEST(every_way_to_lock_is_reported)
{
    int ways = TEST_TSAN ? 2 : 3; /* the last one is a lock that clang's sanitizer does not see */

    for (int way = 0; way < ways; way++)
        expect_said(lock_by, &way, 1, "task \"locks_in_some_way\" suspends while it holds");
}

/* --- once ------------------------------------------------------------------------------------- */

static int hold_often(void *argument)
{
    (void)argument;
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(suspends_holding_run(by_yield), 0);
        CHECK_EQ(suspends_holding_run_here(by_sleep), 0);
    }
    return locks_in_some_way_run(0); /* another place */
}

TEST(a_place_is_reported_once)
{
    char *said = said_by(hold_often, NULL), address[40];

    snprintf(address, sizeof(address), "the pthread mutex %p, locked by ", (void *)&mutex);
    CHECK_EQ(count_of(said, address), DEBUG_BUILD ? 2 : 0);
    CHECK_EQ(count_of(said, "/test/test_held(+0x"), DEBUG_BUILD ? 2 : 0);
    free(said);
}

/* --- ends ------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, ends_holding)
{
    CHECK_EQ(lock(), 0);
    return 0;
}

static int end_holding(void *argument)
{
    (void)argument;
    CHECK_EQ(ends_holding_run(), 0);
    return nothing_run(); /* which holds nothing, though perhaps in the same memory */
}

TEST(an_end_with_a_mutex_is_reported)
{
    expect_said(end_holding, NULL, 1, "task \"ends_holding\" ends while it holds");
}

/* --- no bugs ---------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, is_careful)
{
    struct anysync_mutex *ours = NULL;

    CHECK_EQ(anysync_mutex_new(&ours), 0);
    CHECK_EQ(anysync_mutex_lock(ours, ANYSYNC_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(lock(), 0);
        CHECK_EQ(pthread_mutex_trylock(&mutex), EBUSY);
        unlock();
        by_sleep();
        by_await();
    }
    anysync_mutex_unlock(ours);
    anysync_mutex_unref(ours);
    return 0;
}

ANYSYNC_COROUTINE(void, yields)
{
    by_yield();
    return 0;
}

ANYSYNC_BLOCKING(void, locks_in_a_job)
{
    CHECK_EQ(lock(), 0);
    unlock();
    return 0;
}

static int be_careful(void *argument)
{
    (void)argument;
    CHECK_EQ(is_careful_run(), 0);
    CHECK_EQ(is_careful_run_here(), 0);
    return locks_in_a_job();
}

/* A thread may hold one while coroutines work for it, also on this thread. */
static int let_others_work(void *argument)
{
    (void)argument;
    CHECK_EQ(lock(), 0);
    CHECK_EQ(nothing_run(), 0);
    CHECK_EQ(yields_run_here(), 0);
    unlock();
    return 0;
}

TEST(what_is_no_bug_is_not_reported)
{
    expect_said(be_careful, NULL, 0, "anysync:");
    expect_said(let_others_work, NULL, 0, "anysync:");
}
