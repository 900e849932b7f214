/* SPDX-License-Identifier: MIT */
/*
 * What looking before sleeping costs in processor time.
 *
 *   W16-0 ... W16-1000   W1 with 0, 20, 100, 1000 us between the end of a call and the next, during
 *       which the caller computes: processor time of a call, less that of the caller's computing;
 *       ours with the option spin as it is, the other with ANYSYNC_SPIN_NEVER
 *   W16-idle              processor time of the process in a second in which nothing is called,
 *       after calls back to back
 *
 * Each repetition is a process of its own, as the option is set once.
 */
#include "bench.h"
#include "calls.h"

#include <anysync.h>
#include <time.h>

static int64_t processor_time(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void compute(int64_t delay_ns)
{
    int64_t end = bench_now_ns() + delay_ns;

    while (bench_now_ns() < end)
        ;
}

static int64_t calls(int64_t count, int64_t pause_ns, enum anysync_spin spin)
{
    struct anysync_executor_options options = {.spin = spin};
    int64_t computing = 0;

    bench_check(anysync_configure(&options), "anysync_configure");
    for (int i = 0; i < 1000; i++)
        calls_ours();
    int64_t start = processor_time(CLOCK_PROCESS_CPUTIME_ID);
    for (int64_t i = 0; i < count; i++) {
        if (pause_ns > 0) {
            int64_t begin = processor_time(CLOCK_THREAD_CPUTIME_ID);
            compute(pause_ns);
            computing += processor_time(CLOCK_THREAD_CPUTIME_ID) - begin;
        }
        calls_ours();
    }
    return processor_time(CLOCK_PROCESS_CPUTIME_ID) - start - computing;
}

#define MEASURE(us)                                                                                \
    static int64_t ours_##us(int64_t count)                                                        \
    {                                                                                              \
        return calls(count, us * 1000, ANYSYNC_SPIN_ADAPTIVE);                                     \
    }                                                                                              \
    static int64_t never_##us(int64_t count)                                                       \
    {                                                                                              \
        return calls(count, us * 1000, ANYSYNC_SPIN_NEVER);                                        \
    }

MEASURE(0)
MEASURE(20)
MEASURE(100)
MEASURE(1000)

/* COUNT hundredths of a second in which nothing happens. */
static int64_t idle(int64_t count)
{
    for (int i = 0; i < 1000; i++)
        calls_ours();
    bench_sleep_ns(2 * 1000 * 1000); /* looking is over */
    int64_t start = processor_time(CLOCK_PROCESS_CPUTIME_ID);
    bench_sleep_ns(count * 10 * 1000 * 1000);
    return processor_time(CLOCK_PROCESS_CPUTIME_ID) - start;
}

static double twice_never(const double *medians)
{
    return 2 * medians[BENCH_OTHER];
}

/* This process's own sleep and the readings take some microseconds in a second. */
#define CALLS(key_, work_, ours_, never_, count_)                                                  \
    {                                                                                              \
        .key = key_, .work = work_, .run = {ours_, NULL, NULL, never_}, .other = "never spins",    \
        .count = count_, .fresh = true, .repetitions = 5, .target = "2 x never",                   \
        .limit = twice_never                                                                       \
    }

const struct bench_row bench_rows[] = {
        CALLS("W16-0", "W16 CPU a call, back to back", ours_0, never_0, 20000),
        CALLS("W16-20", "W16 CPU a call, every 20 us", ours_20, never_20, 5000),
        CALLS("W16-100", "W16 CPU a call, every 100 us", ours_100, never_100, 2000),
        CALLS("W16-1000", "W16 CPU a call, every 1 ms", ours_1000, never_1000, 300),
        {.key = "W16-idle",
                .work = "W16 CPU in 10 ms idle",
                .run = {idle},
                .count = 100,
                .fresh = true,
                .repetitions = 3,
                .target = "none (1 us)",
                .bound = 1000},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
