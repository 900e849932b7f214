/* SPDX-License-Identifier: MIT */
/*
 * W9: items of a generator, ns an item.
 *
 *   W9       a plain thread iterates, the body runs on the worker, in lock step
 *   W9-64    the same, and the body reads 64 items ahead
 *   W9-loop  a coroutine iterates over a generator of its own loop
 *
 * By hand: a job for the loop of a thread for each item, and a condition variable to wait for it; a
 * bounded queue of 64 under a mutex, with two condition variables; two libevent callbacks that
 * activate one another.  The other side of W9 is anysync_run() of a no-op, for its target.
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>

#ifdef FLOOR_HAS_SWITCH
static int64_t floor_item(int64_t count)
{
    return floor_switches(count * 2); /* there and back */
}
#else
#define floor_item NULL
#endif

static int numbers_body(struct anysync_generator *self, void *argument)
{
    int error = 0;

    for (int64_t i = 0; i < *(int64_t *)argument && !error; i++)
        error = anysync_generator_yield(self, &i, NULL);
    return error;
}

static const struct anysync_generator_function numbers =
        ANYSYNC_GENERATOR_FUNCTION(numbers, numbers_body, sizeof(int64_t), sizeof(int64_t), 0);

static int64_t take(int64_t count, uint32_t read_ahead)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};
    struct anysync_generator *generator;
    int64_t item, sum = 0, start;

    bench_check(anysync_generator_new(&numbers, &count, &options, &generator), "open");
    start = bench_now_ns();
    while (anysync_generator_step(generator, &item, ANYSYNC_FOREVER) == 0)
        sum += item;
    start = bench_now_ns() - start;
    bench_check(sum != count * (count - 1) / 2, "the sum");
    anysync_generator_unref(generator);
    return start;
}

static int64_t ours(int64_t count)
{
    return take(count, 0);
}

static int64_t ours_ahead(int64_t count)
{
    return take(count, 64);
}

static int take_body(void *argument, void *result)
{
    *(int64_t *)result = take(*(int64_t *)argument, 0);
    return 0;
}

static const struct anysync_function take_inside =
        ANYSYNC_FUNCTION(take_inside, take_body, sizeof(int64_t), sizeof(int64_t));

static int64_t ours_loop(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&take_inside, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);

static int64_t run(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++)
        bench_check(anysync_run(&noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
    return bench_now_ns() - start;
}

/* --- by hand ---------------------------------------------------------------------------------- */

static struct by_hand_loop loop;
static int64_t last_item;

static void set_up(void)
{
    by_hand_start(&loop);
}

static int next_item(void *argument)
{
    (void)argument;
    last_item++;
    return 0;
}

static int64_t hand(int64_t count)
{
    int64_t start = bench_now_ns();

    last_item = 0;
    for (int64_t i = 0; i < count; i++)
        by_hand_run(&loop, next_item, NULL, INT64_MAX);
    bench_check(last_item != count, "the items");
    return bench_now_ns() - start;
}

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t items[64];
    int64_t in, out; /* under lock */
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *fill_queue(void *argument)
{
    int64_t count = *(int64_t *)argument;

    for (int64_t i = 0; i < count; i++) {
        pthread_mutex_lock(&queue.lock);
        while (queue.in - queue.out == 64)
            pthread_cond_wait(&queue.changed, &queue.lock);
        queue.items[queue.in++ % 64] = i;
        if (queue.in - queue.out == 1)
            pthread_cond_broadcast(&queue.changed);
        pthread_mutex_unlock(&queue.lock);
    }
    return NULL;
}

static int64_t hand_ahead(int64_t count)
{
    pthread_t thread;
    int64_t start, sum = 0;

    queue.in = queue.out = 0;
    bench_check(pthread_create(&thread, NULL, fill_queue, &count), "pthread_create");
    start = bench_now_ns();
    for (int64_t i = 0; i < count; i++) {
        pthread_mutex_lock(&queue.lock);
        while (queue.in == queue.out)
            pthread_cond_wait(&queue.changed, &queue.lock);
        sum += queue.items[queue.out++ % 64];
        if (queue.in - queue.out == 32)
            pthread_cond_broadcast(&queue.changed);
        pthread_mutex_unlock(&queue.lock);
    }
    start = bench_now_ns() - start;
    pthread_join(thread, NULL);
    bench_check(sum != count * (count - 1) / 2, "the sum");
    return start;
}

static int64_t hand_loop(int64_t count)
{
    return by_hand_callbacks(count * 2); /* one side, and the other */
}

static double runs_and_a_third(const double *medians)
{
    return medians[BENCH_OTHER] * 1.3;
}

const struct bench_row bench_rows[] = {
        {.key = "W9",
                .work = "W9 generator, lock step",
                .run = {ours, hand, NULL, run},
                .setup = set_up,
                .cores = 2,
                .target = "W1 x 1.3",
                .limit = runs_and_a_third},
        {.key = "W9-64",
                .work = "W9 generator, 64 ahead",
                .run = {ours_ahead, hand_ahead},
                .cores = 2,
                .target = "15",
                .bound = 15},
        {.key = "W9-loop",
                .work = "W9 generator, in the loop",
                .run = {ours_loop, hand_loop, floor_item},
                .target = "12",
                .bound = 12},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
