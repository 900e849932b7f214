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
#include "by_hand.h"

#include <anysync.h>
#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

#define DELAY_NS 1000000000

static struct by_hand_loop by_hand;
static int64_t share;    /* of one caller */
static int64_t sleepers; /* how many there are */
static int64_t begun, ended;
static int64_t bytes_asleep; /* resident when the last has gone to sleep */
static struct anysync_future *finished;

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

/* --- callers ---------------------------------------------------------------------------------- */

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
    share = (count + callers - 1) / callers;
    return bench_crew(callers, work);
}

static void set_up(void)
{
    by_hand_start(&by_hand);
}

/* --- sleepers --------------------------------------------------------------------------------- */

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    bench_check(file == NULL || fscanf(file, "%*s %lld", &pages) != 1, "/proc/self/statm");
    fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void sleeper_begins(void)
{
    if (++begun == sleepers)
        bytes_asleep = resident_bytes();
}

static int sleeper_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    sleeper_begins();
    bench_check(anysync_sleep(anysync_in_ns(DELAY_NS)), "anysync_sleep");
    if (++ended == sleepers)
        bench_check(anysync_future_set(finished, NULL), "anysync_future_set");
    return 0;
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleeper, sleeper_body, 0, 0);

static int all_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    for (int64_t i = 0; i < sleepers; i++)
        bench_check(anysync_spawn(&sleeper, NULL, NULL), "anysync_spawn");
    return anysync_wait(finished, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function all = ANYSYNC_FUNCTION(all, all_body, 0, 0);

static void run_ours(void)
{
    bench_check(anysync_future_new(0, &finished), "anysync_future_new");
    bench_check(anysync_run(&all, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    ended++;
}

static void run_timers(void)
{
    const struct timeval delay = {DELAY_NS / 1000000000, 0};
    struct event_base *base = by_hand_base_new();

    for (int64_t i = 0; i < sleepers; i++) {
        struct event *timer = evtimer_new(base, on_timer, NULL);

        bench_check(timer == NULL || evtimer_add(timer, &delay), "evtimer_add");
        sleeper_begins();
    }
    event_base_loop(base, 0);
}

static int64_t sleep_all(int64_t count, void (*run)(void))
{
    int64_t before = resident_bytes();
    int64_t start = bench_now_ns();

    sleepers = count;
    run();
    start = bench_now_ns() - start - DELAY_NS;
    bench_check(ended != count, "sleepers are missing");
    bench_record((double)(bytes_asleep - before) / (double)count);
    return start;
}

/* --- points ----------------------------------------------------------------------------------- */

#define CALLERS(n)                                                                                 \
    static int64_t ours_##n(int64_t count)                                                         \
    {                                                                                              \
        return crew(n, ours_work, count);                                                          \
    }                                                                                              \
    static int64_t hand_##n(int64_t count)                                                         \
    {                                                                                              \
        return crew(n, hand_work, count);                                                          \
    }
#define SLEEPERS(n)                                                                                \
    static int64_t ours_##n(int64_t count)                                                         \
    {                                                                                              \
        (void)count;                                                                               \
        return sleep_all(n, run_ours);                                                             \
    }                                                                                              \
    static int64_t hand_##n(int64_t count)                                                         \
    {                                                                                              \
        (void)count;                                                                               \
        return sleep_all(n, run_timers);                                                           \
    }
#define CALLERS_ROW(n)                                                                             \
    {                                                                                              \
        .key = "callers-" #n, .work = #n " callers", .unit = BENCH_THOUSANDS, .setup = set_up,     \
        .run = {ours_##n, hand_##n}, .peer = "W2-" #n, .repetitions = 5                            \
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
