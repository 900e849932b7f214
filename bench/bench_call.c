/* SPDX-License-Identifier: MIT */
/*
 * W1, W12: a plain thread runs a no-op coroutine on the worker and blocks for its result.
 *
 *   hot       wherever the scheduler puts the two threads
 *   one core  the whole process on one processor, before the library looks
 *   across    caller on the first processor, worker on the second
 *   parked    2 ms apart, so that the worker sleeps; the call alone is timed
 */
#include "bench.h"
#include "by_hand.h"
#include "calls.h"
#include "floor.h"

#include <anysync.h>
#include <math.h>

static struct by_hand_loop by_hand;

static int pin_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    bench_pin(1);
    return 0;
}

static const struct anysync_function pin = ANYSYNC_FUNCTION(pin, pin_body, 0, 0);

static int by_hand_noop(void *unused)
{
    (void)unused;
    return 0;
}

static int by_hand_pin(void *unused)
{
    (void)unused;
    bench_pin(1);
    return 0;
}

static int64_t ours(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run(&calls_noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
    return bench_now_ns() - start;
}

static int64_t ours_deadline(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run(&calls_noop, NULL, NULL, anysync_in_seconds(10)), "anysync_run");
    return bench_now_ns() - start;
}

static int64_t ours_parked(int64_t count)
{
    int64_t elapsed = 0;

    for (int64_t i = 0; i < count; i++) {
        bench_sleep_ns(FLOOR_PARKED_GAP_NS);
        elapsed += ours(1);
    }
    return elapsed;
}

static int64_t hand(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        by_hand_run(&by_hand, by_hand_noop, NULL, INT64_MAX);
    return bench_now_ns() - start;
}

static int64_t hand_deadline(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        by_hand_run(&by_hand, by_hand_noop, NULL, bench_now_ns() + 10000000000);
    return bench_now_ns() - start;
}

static int64_t hand_parked(int64_t count)
{
    int64_t elapsed = 0;

    for (int64_t i = 0; i < count; i++) {
        bench_sleep_ns(FLOOR_PARKED_GAP_NS);
        elapsed += hand(1);
    }
    return elapsed;
}

static int64_t ours_across(int64_t count)
{
    bench_pin(0);
    return ours(count);
}

static int64_t hand_across(int64_t count)
{
    bench_pin(0);
    return hand(count);
}

static void set_up(void)
{
    by_hand_start(&by_hand);
}

static void set_up_one_core(void)
{
    bench_pin(0);
    set_up();
}

static void set_up_across(void)
{
    set_up();
    by_hand_run(&by_hand, by_hand_pin, NULL, INT64_MAX);
    if (bench_wanted(&bench_rows[2], BENCH_OURS))
        bench_check(anysync_run(&pin, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
}

/* A tenth of the best peer; without peers only the first half of it. */
static double near_the_spin(const double *medians)
{
    return fmin(fmax(400, medians[BENCH_FLOOR] * 3.5), medians[BENCH_BEST_PEER] / 10);
}

static double below_the_futex(const double *medians)
{
    return medians[BENCH_FLOOR] * 0.9;
}

static double near_the_wake(const double *medians)
{
    return medians[BENCH_FLOOR] * 1.1;
}

static double as_without_deadline(const double *medians)
{
    return medians[BENCH_OTHER] + 30;
}

const struct bench_row bench_rows[] = {
        {.key = "W1-hot",
                .work = "W1 run, hot",
                .run = {ours, hand, floor_spin},
                .cores = 2,
                .setup = set_up,
                .target = "400 or 3.5 floor, peer / 10",
                .limit = near_the_spin},
        {.key = "W1-one-core",
                .work = "W1 run, one core",
                .run = {ours, hand, floor_futex},
                .setup = set_up_one_core,
                .target = "0.9 x floor",
                .limit = below_the_futex},
        {.key = "W1-across",
                .work = "W1 run, pinned across",
                .cores = 2,
                .setup = set_up_across,
                .run = {ours_across, hand_across, floor_spin}},
        {.key = "W1-parked",
                .work = "W1 run, parked",
                .setup = set_up,
                .count = 50,
                .run = {ours_parked, hand_parked, floor_parked},
                .target = "1.1 x floor",
                .limit = near_the_wake},
        {.key = "W12",
                .work = "W12 run, 10 s deadline",
                .cores = 2,
                .setup = set_up,
                .run = {ours_deadline, hand_deadline, floor_spin_deadline, ours},
                .target = "W1 + 30",
                .limit = as_without_deadline},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
