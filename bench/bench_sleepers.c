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
#include "floor.h"
#include "sleepers.h"

#include <anysync.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#define DELAY_NS SLEEPERS_DELAY_NS
#define STACK_SIZE 16384

/* --- callbacks -------------------------------------------------------------------------------- */

static int64_t sleepers; /* how many there are */
static struct anysync_future *finished;

static void on_done(struct anysync_future *future, void *unused)
{
    (void)unused;
    bench_check(anysync_future_result(future, NULL), "a timed future");
    if (sleepers_end_one())
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
        sleepers_begin_one();
    }
    return anysync_wait(finished, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function callbacks = ANYSYNC_FUNCTION(callbacks, callbacks_body, 0, 0);

static void run_callbacks(int64_t count)
{
    sleepers = count;
    bench_check(anysync_future_new(0, &finished), "anysync_future_new");
    bench_check(anysync_run(&callbacks, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
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

    sleepers_begin_one();
    while (bench_now_ns() < deadline_ns) {
        wake_ns = deadline_ns;
        floor_switch(&tops[current], home);
    }
    (void)sleepers_end_one();
    wake_ns = 0;
    floor_switch(&tops[current], home);
}

static void run_stacks(int64_t count)
{
    size_t size = (size_t)count * STACK_SIZE;
    char *stacks = mmap(
            NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    bench_check(stacks == MAP_FAILED, "mmap");
    madvise(stacks, size, MADV_NOHUGEPAGE);
    tops = malloc((size_t)count * sizeof(*tops));
    bench_check(tops == NULL, "malloc");
    for (current = 0; current < count; current++) {
        tops[current] = floor_stack(stacks + current * STACK_SIZE, STACK_SIZE, stack_main);
        floor_switch(&home, tops[current]);
    }
    for (current = 0; current < count; current++) {
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
    (void)sleepers_end_one();
}

static void run_array(int64_t count)
{
    struct due *array = malloc((size_t)count * sizeof(*array));

    bench_check(array == NULL, "malloc");
    for (int64_t i = 0; i < count; i++) {
        array[i] = (struct due){bench_now_ns() + DELAY_NS, count_ended, NULL};
        sleepers_begin_one();
    }
    for (int64_t i = 0; i < count; i++) {
        struct timespec until = {
                array[i].when_ns / 1000000000, (long)(array[i].when_ns % 1000000000)};

        while (bench_now_ns() < array[i].when_ns)
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        array[i].call(array[i].argument);
    }
    free(array);
}

/* --- the two things measured ------------------------------------------------------------------ */

static int64_t beyond(int64_t count, void (*run)(int64_t count))
{
    int64_t each;

    return sleepers_run(count, run, &each);
}

static int64_t bytes(int64_t count, void (*run)(int64_t count))
{
    int64_t each;

    (void)sleepers_run(count, run, &each);
    return each;
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

BOTH(ours, sleepers_ours)
BOTH(calls, run_callbacks)
BOTH(hand, sleepers_timers)
BOTH(array, run_array)
#ifdef FLOOR_HAS_SWITCH
BOTH(floor, run_stacks)
#else
#define floor_beyond_100k NULL
#define floor_bytes_100k NULL
#define floor_beyond_1m NULL
#define floor_bytes_1m NULL
#endif

#define ROW(name, text, kind, what, number, side, least, gigabytes, asked, in_words, worst)        \
    {                                                                                              \
        .key = name, .work = text, .unit = kind, .count = 1, .fresh = true, .repetitions = 5,      \
        .run = {side##_##what##_##number, hand_##what##_##number, least##_##what##_##number},      \
        .memory_gb = gigabytes, .peer = asked, .target = in_words, .bound = worst                  \
    }
#define STACKS(name, text, kind, what, number, gigabytes, asked, in_words, worst)                  \
    ROW(name, text, kind, what, number, ours, floor, gigabytes, asked, in_words, worst)
#define CALLBACKS(name, text, kind, what, number, in_words, worst)                                 \
    ROW(name, text, kind, what, number, calls, array, 1, "-", in_words, worst)

const struct bench_row bench_rows[] = {
        STACKS("W6-time", "W6 100k sleepers, beyond 1 s", BENCH_MS, beyond, 100k, 1, NULL, "600",
                600),
        STACKS("W6-bytes", "W6 resident bytes each", BENCH_BYTES, bytes, 100k, 1, NULL, NULL, 0),
        STACKS("W6-1M-time", "W6 1M sleepers, beyond 1 s", BENCH_MS, beyond, 1m, 10,
                "W6-time-1000000", "600", 600),
        STACKS("W6-1M-bytes", "W6 1M, resident bytes each", BENCH_BYTES, bytes, 1m, 10,
                "W6-bytes-1000000", "4,200", 4200),
        CALLBACKS("W6-callbacks-time", "W6 100k callbacks, beyond", BENCH_MS, beyond, 100k, "600",
                600),
        CALLBACKS("W6-callbacks-bytes", "W6 100k callbacks, bytes", BENCH_BYTES, bytes, 100k, NULL,
                0),
        CALLBACKS("W6-callbacks-1M-time", "W6 1M callbacks, beyond", BENCH_MS, beyond, 1m, "600",
                600),
        CALLBACKS("W6-callbacks-1M-bytes", "W6 1M callbacks, bytes", BENCH_BYTES, bytes, 1m, "200",
                200),
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
