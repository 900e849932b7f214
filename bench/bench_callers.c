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
#include "calls.h"
#include "floor.h"

#include <anysync.h>
#include <stdatomic.h>

static int64_t ours_4(int64_t count)
{
    return calls_crew_ours(4, count);
}

static int64_t ours_16(int64_t count)
{
    return calls_crew_ours(16, count);
}

static int64_t ours_64(int64_t count)
{
    return calls_crew_ours(64, count);
}

static int64_t hand_4(int64_t count)
{
    return calls_crew_by_hand(4, count);
}

static int64_t hand_16(int64_t count)
{
    return calls_crew_by_hand(16, count);
}

static int64_t hand_64(int64_t count)
{
    return calls_crew_by_hand(64, count);
}

/* --- fairness --------------------------------------------------------------------------------- */

enum { CALLERS = 64, HANDFUL = 16 };

static _Atomic int64_t heap;
static int64_t done[CALLERS]; /* of each thread */

static void from_heap(int index)
{
    while (atomic_fetch_sub(&heap, HANDFUL) > 0) {
        for (int i = 0; i < HANDFUL; i++)
            calls_ours();
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

const struct bench_row bench_rows[] = {
        {.key = "W2-4",
                .work = "W2 4 callers",
                .unit = BENCH_THOUSANDS,
                .setup = calls_set_up,
                .run = {ours_4, hand_4, floor_calls_4}},
        {.key = "W2-16",
                .work = "W2 16 callers",
                .unit = BENCH_THOUSANDS,
                .setup = calls_set_up,
                .run = {ours_16, hand_16, floor_calls_16}},
        {.key = "W2-64",
                .work = "W2 64 callers",
                .unit = BENCH_THOUSANDS,
                .setup = calls_set_up,
                .run = {ours_64, hand_64, floor_calls_64},
                .target = "1 M/s",
                .bound = 1000},
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
