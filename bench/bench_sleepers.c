/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* madvise */
/*
 * W6: 100 thousand or a million coroutines sleep at once: the time beyond that second, and resident
 * bytes each; and as futures that are done then, with a callback each, without stacks.
 *
 * By hand: as many libevent timers, without stacks.  Floor: as many stacks of which one page is
 * touched, switched to by hand, in the order of their deadlines; of callbacks: an array of
 * deadlines and functions.
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

#define DELAY_NS 1000000000
#define STACK_SIZE 16384

static int64_t sleepers;         /* how many there are */
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
    if (++begun == sleepers)
        bytes_all_asleep = resident_bytes();
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

static void on_done(struct anysync_future *future, void *unused)
{
    (void)unused;
    bench_check(anysync_future_result(future, NULL), "a timed future");
    if (++ended == sleepers)
        bench_check(anysync_future_set(finished, NULL), "anysync_future_set");
}

static int callbacks_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    for (int64_t i = 0; i < sleepers; i++) {
        struct anysync_future *future;

        bench_check(anysync_future_at(anysync_in_ns(DELAY_NS), &future), "anysync_future_at");
        bench_check(anysync_future_on_done(future, on_done, NULL), "anysync_future_on_done");
        anysync_future_unref(future);
        sleeper_begins();
    }
    return anysync_wait(finished, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function callbacks = ANYSYNC_FUNCTION(callbacks, callbacks_body, 0, 0);

static void run_callbacks(void)
{
    bench_check(anysync_future_new(0, &finished), "anysync_future_new");
    bench_check(anysync_run(&callbacks, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
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
    bench_check(ended != sleepers, "timers are missing");
}

/* --- floor ------------------------------------------------------------------------------------ */

#ifdef FLOOR_HAS_SWITCH
static void **tops;
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
    size_t size = (size_t)sleepers * STACK_SIZE;
    char *stacks = mmap(
            NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    bench_check(stacks == MAP_FAILED, "mmap");
    madvise(stacks, size, MADV_NOHUGEPAGE);
    tops = malloc((size_t)sleepers * sizeof(*tops));
    bench_check(tops == NULL, "malloc");
    for (current = 0; current < sleepers; current++) {
        tops[current] = floor_stack(stacks + current * STACK_SIZE, STACK_SIZE, stack_main);
        floor_switch(&home, tops[current]);
    }
    for (current = 0; current < sleepers; current++) {
        for (floor_switch(&home, tops[current]); wake_ns; floor_switch(&home, tops[current])) {
            struct timespec until = {wake_ns / 1000000000, (long)(wake_ns % 1000000000)};

            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        }
    }
}
#endif

struct due {
    int64_t when_ns;
    void (*call)(void *argument);
    void *argument;
};

static void count_ended(void *unused)
{
    (void)unused;
    ended++;
}

static void run_array(void)
{
    struct due *array = malloc((size_t)sleepers * sizeof(*array));

    bench_check(array == NULL, "malloc");
    for (int64_t i = 0; i < sleepers; i++) {
        array[i] = (struct due){bench_now_ns() + DELAY_NS, count_ended, NULL};
        sleeper_begins();
    }
    for (int64_t i = 0; i < sleepers; i++) {
        struct timespec until = {
                array[i].when_ns / 1000000000, (long)(array[i].when_ns % 1000000000)};

        while (bench_now_ns() < array[i].when_ns)
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        array[i].call(array[i].argument);
    }
    free(array);
}

/* --- the two things measured ------------------------------------------------------------------ */

static int64_t beyond(int64_t count, void (*run)(void))
{
    int64_t start = bench_now_ns();

    sleepers = count;
    run();
    return bench_now_ns() - start - DELAY_NS;
}

static int64_t bytes(int64_t count, void (*run)(void))
{
    bytes_at_start = resident_bytes();
    sleepers = count;
    run();
    return (bytes_all_asleep - bytes_at_start) / count;
}

/* The harness asks for one repetition of the whole. */
#define MEASURE(name, what, sleepers, run)                                                         \
    static int64_t name(int64_t count)                                                             \
    {                                                                                              \
        (void)count;                                                                               \
        return what(sleepers, run);                                                                \
    }
#define BOTH(side, run)                                                                            \
    MEASURE(side##_beyond_100k, beyond, 100000, run)                                               \
    MEASURE(side##_bytes_100k, bytes, 100000, run)                                                 \
    MEASURE(side##_beyond_1m, beyond, 1000000, run)                                                \
    MEASURE(side##_bytes_1m, bytes, 1000000, run)

BOTH(ours, run_ours)
BOTH(calls, run_callbacks)
BOTH(hand, run_timers)
BOTH(array, run_array)
#ifdef FLOOR_HAS_SWITCH
BOTH(floor, run_stacks)
#else
#define floor_beyond_100k NULL
#define floor_bytes_100k NULL
#define floor_beyond_1m NULL
#define floor_bytes_1m NULL
#endif

static double ms_beyond(const double *medians)
{
    (void)medians;
    return 600;
}

static double page_and_record(const double *medians)
{
    (void)medians;
    return 4200;
}

static double future_and_callback(const double *medians)
{
    (void)medians;
    return 200;
}

#define ROW(name, text, kind, what, number, side, least, gigabytes, asked, in_words, worst)        \
    {                                                                                              \
        .key = name, .work = text, .unit = kind, .count = 1, .fresh = true, .repetitions = 5,      \
        .run = {side##_##what##_##number, hand_##what##_##number, least##_##what##_##number},      \
        .memory_gb = gigabytes, .peer = asked, .target = in_words, .limit = worst                  \
    }
#define STACKS(name, text, kind, what, number, gigabytes, asked, in_words, worst)                  \
    ROW(name, text, kind, what, number, ours, floor, gigabytes, asked, in_words, worst)
#define CALLBACKS(name, text, kind, what, number, in_words, worst)                                 \
    ROW(name, text, kind, what, number, calls, array, 1, "-", in_words, worst)

const struct bench_row bench_rows[] = {
        STACKS("W6-time", "W6 100k sleepers, beyond 1 s", BENCH_MS, beyond, 100k, 1, NULL, "600",
                ms_beyond),
        STACKS("W6-bytes", "W6 resident bytes each", BENCH_BYTES, bytes, 100k, 1, NULL, NULL, NULL),
        STACKS("W6-1M-time", "W6 1M sleepers, beyond 1 s", BENCH_MS, beyond, 1m, 10,
                "W6-time-1000000", "600", ms_beyond),
        STACKS("W6-1M-bytes", "W6 1M, resident bytes each", BENCH_BYTES, bytes, 1m, 10,
                "W6-bytes-1000000", "4,200", page_and_record),
        CALLBACKS("W6-callbacks-time", "W6 100k callbacks, beyond", BENCH_MS, beyond, 100k, "600",
                ms_beyond),
        CALLBACKS("W6-callbacks-bytes", "W6 100k callbacks, bytes", BENCH_BYTES, bytes, 100k, NULL,
                NULL),
        CALLBACKS("W6-callbacks-1M-time", "W6 1M callbacks, beyond", BENCH_MS, beyond, 1m, "600",
                ms_beyond),
        CALLBACKS("W6-callbacks-1M-bytes", "W6 1M callbacks, bytes", BENCH_BYTES, bytes, 1m, "200",
                future_and_callback),
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
