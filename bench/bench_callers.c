/* SPDX-License-Identifier: MIT */
/*
 * W2: the work of W1 from 4, 16 and 64 plain threads at once.
 *
 * A repetition begins when all threads stand at a barrier, and ends with the last of them.
 *
 *   W2-fair   64 threads take calls from one heap, sixteen at a time, until it is empty:
 *             thousands a second if all were as slow as the slowest; the other: all together
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>
#include <stdatomic.h>

static struct by_hand_loop by_hand;
static int64_t share; /* of one thread */

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

static void ours_work(int index)
{
    (void)index;
    for (int64_t i = 0; i < share; i++)
        bench_check(anysync_run(&noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
}

static void hand_work(int index)
{
    (void)index;
    for (int64_t i = 0; i < share; i++)
        by_hand_run(&by_hand, by_hand_noop, NULL, INT64_MAX);
}

static int64_t crew(int callers, void (*work)(int index), int64_t count)
{
    share = count / callers + 1;
    return bench_crew(callers, work);
}

static int64_t ours_4(int64_t count)
{
    return crew(4, ours_work, count);
}

static int64_t ours_16(int64_t count)
{
    return crew(16, ours_work, count);
}

static int64_t ours_64(int64_t count)
{
    return crew(64, ours_work, count);
}

static int64_t hand_4(int64_t count)
{
    return crew(4, hand_work, count);
}

static int64_t hand_16(int64_t count)
{
    return crew(16, hand_work, count);
}

static int64_t hand_64(int64_t count)
{
    return crew(64, hand_work, count);
}

/* --- fairness --------------------------------------------------------------------------------- */

enum { CALLERS = 64, HANDFUL = 16 };

static _Atomic int64_t heap;
static int64_t done[CALLERS]; /* of each thread */

static void from_heap(int index)
{
    while (atomic_fetch_sub(&heap, HANDFUL) > 0) {
        for (int i = 0; i < HANDFUL; i++)
            bench_check(anysync_run(&noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
        done[index] += HANDFUL;
    }
}

static int64_t ours_together(int64_t count)
{
    for (int i = 0; i < CALLERS; i++)
        done[i] = 0;
    atomic_store(&heap, count);
    return bench_crew(CALLERS, from_heap);
}

static int64_t ours_slowest(int64_t count)
{
    int64_t elapsed = ours_together(count), least = count, all = 0;

    for (int i = 0; i < CALLERS; i++) {
        least = done[i] < least ? done[i] : least;
        all += done[i];
    }
    return least > 0 ? (int64_t)((double)elapsed * (double)all / CALLERS / (double)least)
                     : elapsed * CALLERS;
}

static double half_the_mean(const double *medians)
{
    return medians[BENCH_OTHER] / 2;
}

static void set_up(void)
{
    by_hand_start(&by_hand);
}

static double a_million(const double *medians)
{
    (void)medians;
    return 1000;
}

const struct bench_row bench_rows[] = {
        {.key = "W2-4",
                .work = "W2 4 callers",
                .unit = BENCH_THOUSANDS,
                .setup = set_up,
                .run = {ours_4, hand_4, floor_calls_4}},
        {.key = "W2-16",
                .work = "W2 16 callers",
                .unit = BENCH_THOUSANDS,
                .setup = set_up,
                .run = {ours_16, hand_16, floor_calls_16}},
        {.key = "W2-64",
                .work = "W2 64 callers",
                .unit = BENCH_THOUSANDS,
                .setup = set_up,
                .run = {ours_64, hand_64, floor_calls_64},
                .target = "1 M/s",
                .limit = a_million},
        {.key = "W2-fair",
                .work = "W2 64 callers, the slowest x 64",
                .unit = BENCH_THOUSANDS,
                .run = {ours_slowest, NULL, NULL, ours_together},
                .count = 500000,
                .other = "all together",
                .target = "half the mean",
                .limit = half_the_mean},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
