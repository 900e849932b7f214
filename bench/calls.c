/* SPDX-License-Identifier: MIT */
#include "calls.h"

#include "bench.h"
#include "by_hand.h"

static struct by_hand_loop by_hand;
static int64_t share; /* of one caller */

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

const struct anysync_function calls_noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);

static int by_hand_noop(void *unused)
{
    (void)unused;
    return 0;
}

void calls_ours(void)
{
    bench_check(anysync_run(&calls_noop, NULL, NULL, ANYSYNC_FOREVER), "anysync_run");
}

void calls_by_hand(void)
{
    by_hand_run(&by_hand, by_hand_noop, NULL, INT64_MAX);
}

void calls_set_up(void)
{
    by_hand_start(&by_hand);
}

static void ours_work(int index)
{
    (void)index;
    for (int64_t i = 0; i < share; i++)
        calls_ours();
}

static void by_hand_work(int index)
{
    (void)index;
    for (int64_t i = 0; i < share; i++)
        calls_by_hand();
}

static int64_t crew(int callers, void (*work)(int index), int64_t count)
{
    share = (count + callers - 1) / callers;
    return bench_crew(callers, work);
}

int64_t calls_crew_ours(int callers, int64_t count)
{
    return crew(callers, ours_work, count);
}

int64_t calls_crew_by_hand(int callers, int64_t count)
{
    return crew(callers, by_hand_work, count);
}
