/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* madvise */
/*
 * W6: 100 thousand coroutines sleep at once: the time beyond that second, and resident bytes each.
 *
 * By hand: as many libevent timers, without stacks.  Floor: as many stacks of which one page is
 * touched, switched to by hand, in the order of their deadlines.
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SLEEPERS 100000
#define DELAY_NS 1000000000
#define STACK_SIZE 16384

static int64_t begun, ended;     /* the loop's */
static int64_t bytes_at_start;   /* resident */
static int64_t bytes_all_asleep; /* likewise */
static struct anysync_future *finished;

static int64_t resident_bytes(void)
{
    long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%*s %lld", &pages) != 1)
        bench_check(-1, "/proc/self/statm");
    else
        fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

static void sleeper_begins(void)
{
    if (++begun == SLEEPERS)
        bytes_all_asleep = resident_bytes();
}

static int sleeper_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    sleeper_begins();
    bench_check(anysync_sleep(anysync_in_ns(DELAY_NS)), "anysync_sleep");
    if (++ended == SLEEPERS)
        bench_check(anysync_future_set(finished, NULL), "anysync_future_set");
    return 0;
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleeper, sleeper_body, 0, 0);

static int all_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    for (int i = 0; i < SLEEPERS; i++)
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

    for (int i = 0; i < SLEEPERS; i++) {
        struct event *timer = evtimer_new(base, on_timer, NULL);

        bench_check(timer == NULL || evtimer_add(timer, &delay), "evtimer_add");
        sleeper_begins();
    }
    event_base_loop(base, 0);
    bench_check(ended != SLEEPERS, "timers are missing");
}

/* --- floor ------------------------------------------------------------------------------------ */

#ifdef FLOOR_HAS_SWITCH
static void *tops[SLEEPERS];
static void *home;
static int64_t current;
static int64_t wake_ns; /* of the coroutine that has just gone to sleep */

static void stack_main(void)
{
    int64_t deadline_ns = bench_now_ns() + DELAY_NS;

    sleeper_begins();
    while (bench_now_ns() < deadline_ns) {
        wake_ns = deadline_ns;
        floor_switch(&tops[current], home);
    }
    ended++;
    wake_ns = 0;
    floor_switch(&tops[current], home);
}

static void run_stacks(void)
{
    char *stacks = mmap(NULL, (size_t)SLEEPERS * STACK_SIZE, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    bench_check(stacks == MAP_FAILED, "mmap");
    madvise(stacks, (size_t)SLEEPERS * STACK_SIZE, MADV_NOHUGEPAGE);
    for (current = 0; current < SLEEPERS; current++) {
        tops[current] = floor_stack(stacks + current * STACK_SIZE, STACK_SIZE, stack_main);
        floor_switch(&home, tops[current]);
    }
    for (current = 0; current < SLEEPERS; current++) {
        for (floor_switch(&home, tops[current]); wake_ns; floor_switch(&home, tops[current])) {
            struct timespec until = {wake_ns / 1000000000, (long)(wake_ns % 1000000000)};

            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        }
    }
}
#endif

/* --- the two things measured ------------------------------------------------------------------ */

static int64_t beyond(void (*run)(void))
{
    int64_t start = bench_now_ns();

    run();
    return bench_now_ns() - start - DELAY_NS;
}

static int64_t bytes(void (*run)(void))
{
    bytes_at_start = resident_bytes();
    run();
    return (bytes_all_asleep - bytes_at_start) / SLEEPERS;
}

static int64_t ours_beyond(int64_t count)
{
    (void)count;
    return beyond(run_ours);
}

static int64_t ours_bytes(int64_t count)
{
    (void)count;
    return bytes(run_ours);
}

static int64_t hand_beyond(int64_t count)
{
    (void)count;
    return beyond(run_timers);
}

static int64_t hand_bytes(int64_t count)
{
    (void)count;
    return bytes(run_timers);
}

#ifdef FLOOR_HAS_SWITCH
static int64_t floor_beyond(int64_t count)
{
    (void)count;
    return beyond(run_stacks);
}

static int64_t floor_bytes(int64_t count)
{
    (void)count;
    return bytes(run_stacks);
}
#else
#define floor_beyond NULL
#define floor_bytes NULL
#endif

static double whatever(const double *medians)
{
    (void)medians;
    return 1e12;
}

const struct bench_row bench_rows[] = {
        {.key = "W6-time",
                .work = "W6 100k sleepers, beyond 1 s",
                .unit = BENCH_MS,
                .count = 1,
                .run = {ours_beyond, hand_beyond, floor_beyond},
                .fresh = true,
                .repetitions = 7,
                .target = "runs",
                .limit = whatever},
        {.key = "W6-bytes",
                .work = "W6 resident bytes each",
                .unit = BENCH_BYTES,
                .count = 1,
                .run = {ours_bytes, hand_bytes, floor_bytes},
                .fresh = true,
                .repetitions = 7,
                .target = "runs",
                .limit = whatever},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
