/* SPDX-License-Identifier: MIT */
/*
 * W3 with a future each: as bench_submit.c, and every producer waits for each of its tasks at the
 * end.
 *
 * By hand: a heap-allocated job with its own mutex and condition variable.
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>
#include <stdlib.h>

#define TASKS 2000000

static struct by_hand_loop by_hand;
static struct by_hand_call **calls;     /* TASKS of them */
static struct anysync_future **futures; /* TASKS of them */
static int64_t share;                   /* of one producer */

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);

static void ours_work(int index)
{
    struct anysync_future **mine = futures + index * share;

    for (int64_t i = 0; i < share; i++)
        bench_check(anysync_spawn(&noop, NULL, &mine[i]), "anysync_spawn");
    for (int64_t i = 0; i < share; i++) {
        bench_check(anysync_wait(mine[i], NULL, ANYSYNC_FOREVER), "anysync_wait");
        anysync_future_unref(mine[i]);
    }
}

static int return_zero(void *unused)
{
    (void)unused;
    return 0;
}

static void hand_work(int index)
{
    struct by_hand_call **mine = calls + index * share;

    for (int64_t i = 0; i < share; i++) {
        mine[i] = malloc(sizeof(*mine[i]));
        bench_check(mine[i] == NULL, "malloc");
        by_hand_call_init(mine[i], return_zero, NULL);
        by_hand_post(&by_hand, &mine[i]->job);
    }
    for (int64_t i = 0; i < share; i++) {
        by_hand_wait(mine[i], INT64_MAX);
        by_hand_call_fini(mine[i]);
        free(mine[i]);
    }
}

static int64_t produce(int producers, void (*work)(int index), int64_t count)
{
    share = count / producers;
    return bench_crew(producers, work);
}

static int64_t ours_1(int64_t count)
{
    return produce(1, ours_work, count);
}

static int64_t ours_4(int64_t count)
{
    return produce(4, ours_work, count);
}

static int64_t hand_1(int64_t count)
{
    return produce(1, hand_work, count);
}

static int64_t hand_4(int64_t count)
{
    return produce(4, hand_work, count);
}

static void set_up(void)
{
    by_hand_start(&by_hand);
    calls = calloc(TASKS, sizeof(struct by_hand_call *));
    futures = calloc(TASKS, sizeof(struct anysync_future *));
    bench_check(calls == NULL || futures == NULL, "memory for pointers");
}

const struct bench_row bench_rows[] = {
        {.key = "W3-1-futures",
                .work = "W3 1 producer, futures",
                .unit = BENCH_MILLIONS,
                .run = {ours_1, hand_1, floor_submit_futures_1},
                .setup = set_up,
                .count = TASKS,
                .target = "15 M/s",
                .bound = 15},
        {.key = "W3-4-futures",
                .work = "W3 4 producers, futures",
                .unit = BENCH_MILLIONS,
                .run = {ours_4, hand_4, floor_submit_futures_4},
                .setup = set_up,
                .count = TASKS,
                .target = "15 M/s",
                .bound = 15},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
