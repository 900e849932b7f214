/* SPDX-License-Identifier: MIT */
/*
 * W1 once more, with each call timed: the distribution of its latency, for the plot.  The figure
 * holds a look at the clock for each call.
 */
#include "bench.h"
#include "by_hand.h"

#include <anysync.h>

static struct by_hand_loop by_hand;

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);

static int by_hand_noop(void *unused)
{
    (void)unused;
    return 0;
}

static void call_ours(void)
{
    bench_check(anysync_run(&noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
}

static void call_by_hand(void)
{
    by_hand_run(&by_hand, by_hand_noop, NULL, INT64_MAX);
}

static int64_t timed(void (*call)(void), int64_t count)
{
    int64_t begin = bench_now_ns();
    int64_t start = begin, now = begin;

    for (int64_t i = 0; i < count; i++, start = now) {
        call();
        now = bench_now_ns();
        bench_record((double)(now - start));
    }
    return now - begin;
}

static int64_t ours(int64_t count)
{
    return timed(call_ours, count);
}

static int64_t hand(int64_t count)
{
    return timed(call_by_hand, count);
}

static void set_up(void)
{
    by_hand_start(&by_hand);
}

const struct bench_row bench_rows[] = {
        {.key = "W1-latency",
                .work = "W1 run, each call timed",
                .run = {ours, hand},
                .cores = 2,
                .count = 20000,
                .records = "ns",
                .setup = set_up},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
