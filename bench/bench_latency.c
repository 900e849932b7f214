/* SPDX-License-Identifier: MIT */
/*
 * W1 once more, with each call timed: the distribution of its latency, for the plot.  The figure
 * holds a look at the clock for each call.
 */
#include "bench.h"
#include "calls.h"

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
    return timed(calls_ours, count);
}

static int64_t hand(int64_t count)
{
    return timed(calls_by_hand, count);
}

const struct bench_row bench_rows[] = {
        {.key = "W1-latency",
                .work = "W1 run, each call timed",
                .run = {ours, hand},
                .cores = 2,
                .count = 20000,
                .records = "ns",
                .setup = calls_set_up},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
