/* SPDX-License-Identifier: MIT */
/*
 * W8, W13: loops that live for one task.
 *
 *   W8   a coroutine on the worker runs a no-op with anysync_run(): a fresh thread does it.
 *        Floor: a thread created and joined.  By hand: the same thread with a loop that runs one
 *        event.
 *   W13  a plain thread runs a no-op on a loop of its own.
 *        Floor: a call through a pointer.  By hand: a loop that is kept; the other: a fresh loop.
 */
#include "bench.h"
#include "by_hand.h"
#include "calls.h"

#include <anysync.h>
#include <event2/event.h>
#include <pthread.h>

static int nested_body(void *argument, void *result)
{
    int64_t count = *(int64_t *)argument;
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run(&calls_noop, NULL, NULL, ANYSYNC_FOREVER), "a nested anysync_run");
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

static const struct anysync_function nested =
        ANYSYNC_FUNCTION(nested, nested_body, sizeof(int64_t), sizeof(int64_t));

static int64_t ours_nested(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&nested, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

static int64_t ours_here(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run_here(&calls_noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run_here");
    return bench_now_ns() - start;
}

/* --- by hand ---------------------------------------------------------------------------------- */

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
}

static void run_one(struct event_base *base)
{
    const struct timeval now = {0, 0};

    bench_check(event_base_once(base, -1, EV_TIMEOUT, on_event, NULL, &now), "event_base_once");
    event_base_loop(base, 0);
}

static int64_t hand_fresh(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++) {
        struct event_base *base = by_hand_base_new();

        run_one(base);
        event_base_free(base);
    }
    return bench_now_ns() - start;
}

static int64_t hand_kept(int64_t count)
{
    struct event_base *base = by_hand_base_new();
    struct event *event = event_new(base, -1, 0, on_event, NULL);
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++) {
        event_active(event, EV_TIMEOUT, 0);
        event_base_loop(base, 0);
    }
    start = bench_now_ns() - start;
    event_free(event);
    event_base_free(base);
    return start;
}

static int64_t threads(void *(*thread_main)(void *), int64_t count)
{
    int64_t start = bench_now_ns();
    pthread_t thread;

    for (int64_t i = 0; i < count; i++) {
        bench_check(pthread_create(&thread, NULL, thread_main, NULL), "pthread_create");
        pthread_join(thread, NULL);
    }
    return bench_now_ns() - start;
}

static void *loop_thread(void *unused)
{
    hand_fresh(1);
    return unused;
}

static void *empty_thread(void *unused)
{
    return unused;
}

static int64_t hand_nested(int64_t count)
{
    return threads(loop_thread, count);
}

static int64_t floor_nested(int64_t count)
{
    return threads(empty_thread, count);
}

static int64_t floor_here(int64_t count)
{
    int (*body)(void *argument, void *result) = calls_noop.body;
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++) {
        __asm__ __volatile__("" : "+r"(body)); /* the compiler must not know it */
        bench_check(body(NULL, NULL), "a no-op");
    }
    return bench_now_ns() - start;
}

static double create_and_join(const double *medians)
{
    return medians[BENCH_FLOOR] * 1.1;
}

const struct bench_row bench_rows[] = {
        {.key = "W8",
                .work = "W8 nested run",
                .run = {ours_nested, hand_nested, floor_nested},
                .target = "1.1 x create+join",
                .limit = create_and_join},
        {.key = "W13",
                .work = "W13 run_here",
                .run = {ours_here, hand_kept, floor_here, hand_fresh},
                .other = "a fresh loop",
                .target = "12",
                .bound = 12},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
