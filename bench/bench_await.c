/* SPDX-License-Identifier: MIT */
/*
 * W4, W5: work inside the loop.
 *
 *   W4  a coroutine spawns a no-op child and awaits it
 *   W5  two coroutines yield to one another: ns a yield
 *
 * By hand both are chains of libevent callbacks on a base of one thread: a parent that activates
 * its child which activates its parent; two that activate one another.
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>

#ifndef FLOOR_HAS_SWITCH
#define floor_awaits NULL
#define floor_yields NULL
#endif

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);

static int await_body(void *argument, void *result)
{
    int64_t count = *(int64_t *)argument;
    int64_t start = bench_now_ns();
    struct anysync_future *future;

    for (int64_t i = 0; i < count; i++) {
        bench_check(anysync_spawn(&noop, NULL, &future), "anysync_spawn");
        bench_check(anysync_wait(future, NULL, ANYSYNC_FOREVER), "anysync_wait");
        anysync_future_unref(future);
    }
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

static int yielder_body(void *argument, void *result)
{
    (void)result;
    for (int64_t i = *(int64_t *)argument; i > 0; i--)
        bench_check(anysync_yield(), "anysync_yield");
    return 0;
}

static const struct anysync_function yielder =
        ANYSYNC_FUNCTION(yielder, yielder_body, sizeof(int64_t), 0);

static int yield_body(void *argument, void *result)
{
    int64_t half = *(int64_t *)argument / 2;
    struct anysync_future *pair[2];
    int64_t start = bench_now_ns();

    for (int i = 0; i < 2; i++)
        bench_check(anysync_spawn(&yielder, &half, &pair[i]), "anysync_spawn");
    bench_check(anysync_wait_all(pair, 2, ANYSYNC_FOREVER), "anysync_wait_all");
    *(int64_t *)result = bench_now_ns() - start;
    for (int i = 0; i < 2; i++)
        anysync_future_unref(pair[i]);
    return 0;
}

static const struct anysync_function awaits =
        ANYSYNC_FUNCTION(awaits, await_body, sizeof(int64_t), sizeof(int64_t));
static const struct anysync_function yields =
        ANYSYNC_FUNCTION(yields, yield_body, sizeof(int64_t), sizeof(int64_t));

static int64_t ours_await(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&awaits, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

static int64_t ours_yield(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&yields, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

/* --- by hand ---------------------------------------------------------------------------------- */

static int64_t hand_await(int64_t count)
{
    return by_hand_callbacks(count * 2); /* the child, and the parent again */
}

static double twice_the_floor(const double *medians)
{
    return medians[BENCH_FLOOR] * 2;
}

const struct bench_row bench_rows[] = {
        {.key = "W4",
                .work = "W4 spawn and await",
                .run = {ours_await, hand_await, floor_awaits},
                .target = "20, 2 x floor",
                .bound = 20,
                .limit = twice_the_floor},
        {.key = "W5",
                .work = "W5 yield",
                .run = {ours_yield, by_hand_callbacks, floor_yields},
                .target = "8",
                .bound = 8},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
