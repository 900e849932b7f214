/* SPDX-License-Identifier: MIT */
/*
 * Points of the two curves of the plots; no rows of the table.
 *
 *   callers-N    the work of W2 from 1 to 64 plain threads: thousands of calls a second
 *   sleepers-N   the work of W6 with 1,000 to a million: ms beyond the second, and bytes recorded
 *
 * A million sleepers with a stack each take 5 GB, and are left out where there are not twice as
 * many.
 */
#include "bench.h"
#include "calls.h"
#include "sleepers.h"

static int64_t sleep_all(int64_t count, void (*run)(int64_t count))
{
    int64_t bytes;
    int64_t beyond = sleepers_run(count, run, &bytes);

    bench_record((double)bytes);
    return beyond;
}

/* --- points ----------------------------------------------------------------------------------- */

#define CALLERS(n)                                                                                 \
    static int64_t ours_##n(int64_t count)                                                         \
    {                                                                                              \
        return calls_crew_ours(n, count);                                                          \
    }                                                                                              \
    static int64_t hand_##n(int64_t count)                                                         \
    {                                                                                              \
        return calls_crew_by_hand(n, count);                                                       \
    }
#define SLEEPERS(n)                                                                                \
    static int64_t ours_##n(int64_t count)                                                         \
    {                                                                                              \
        (void)count;                                                                               \
        return sleep_all(n, sleepers_ours);                                                        \
    }                                                                                              \
    static int64_t hand_##n(int64_t count)                                                         \
    {                                                                                              \
        (void)count;                                                                               \
        return sleep_all(n, sleepers_timers);                                                      \
    }
#define CALLERS_ROW(n)                                                                             \
    {                                                                                              \
        .key = "callers-" #n, .work = #n " callers", .unit = BENCH_THOUSANDS,                      \
        .setup = calls_set_up, .run = {ours_##n, hand_##n}, .peer = "W2-" #n, .repetitions = 5     \
    }
#define SLEEPERS_ROW(n, gigabytes)                                                                 \
    {                                                                                              \
        .key = "sleepers-" #n, .work = #n " sleepers", .unit = BENCH_MS, .count = 1,               \
        .run = {ours_##n, hand_##n}, .fresh = true, .repetitions = 3, .peer = "W6-time-" #n,       \
        .records = "bytes", .memory_gb = gigabytes                                                 \
    }

CALLERS(1)
CALLERS(2)
CALLERS(4)
CALLERS(8)
CALLERS(16)
CALLERS(32)
CALLERS(64)
SLEEPERS(1000)
SLEEPERS(10000)
SLEEPERS(100000)
SLEEPERS(1000000)

const struct bench_row bench_rows[] = {
        CALLERS_ROW(1),
        CALLERS_ROW(2),
        CALLERS_ROW(4),
        CALLERS_ROW(8),
        CALLERS_ROW(16),
        CALLERS_ROW(32),
        CALLERS_ROW(64),
        SLEEPERS_ROW(1000, 0),
        SLEEPERS_ROW(10000, 0),
        SLEEPERS_ROW(100000, 1),
        SLEEPERS_ROW(1000000, 10),
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
