/* SPDX-License-Identifier: MIT */
/*
 * W3: one and four producers submit 2 million no-op tasks without waiting for each, then wait for
 * all.
 *
 * By hand: jobs that exist already, on the list under the mutex, taken as a batch.  The other peer
 * is libevent's own way, event_base_once().  With a future each: bench_submit_futures.c.
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>
#include <event2/event.h>
#include <stdlib.h>

#define TASKS 2000000

static struct by_hand_loop by_hand;
static struct by_hand_job *jobs;        /* TASKS of them */
static int64_t share;                   /* of one producer */
static int64_t total;                   /* of all */
static int64_t ran;                     /* the worker's */
static struct anysync_future *finished; /* done when the last of ours has run */
static struct by_hand_call last;        /* done when the last by hand has run */

static int count_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    if (++ran == total)
        bench_check(anysync_future_set(finished, NULL), "anysync_future_set");
    return 0;
}

static const struct anysync_function count_one = ANYSYNC_FUNCTION(count, count_body, 0, 0);

static void ours_work(int index)
{
    (void)index;
    for (int64_t i = 0; i < share; i++)
        bench_check(anysync_spawn(&count_one, NULL, NULL), "anysync_spawn");
}

static int return_zero(void *unused)
{
    (void)unused;
    return 0;
}

static void count_job(struct by_hand_job *job)
{
    (void)job;
    if (++ran == total)
        last.job.run(&last.job);
}

static void count_event(evutil_socket_t fd, short events, void *argument)
{
    (void)fd;
    (void)events;
    count_job(argument);
}

static void hand_work(int index)
{
    struct by_hand_job *mine = jobs + index * share;

    for (int64_t i = 0; i < share; i++) {
        mine[i].run = count_job;
        by_hand_post(&by_hand, &mine[i]);
    }
}

static void once_work(int index)
{
    const struct timeval now = {0, 0};

    (void)index;
    for (int64_t i = 0; i < share; i++)
        bench_check(event_base_once(by_hand.base, -1, EV_TIMEOUT, count_event, NULL, &now),
                "event_base_once");
}

static int64_t produce(int producers, void (*work)(int index), int64_t count)
{
    share = count / producers;
    total = share * producers;
    ran = 0;
    return bench_crew(producers, work);
}

static int64_t ours(int producers, int64_t count)
{
    int64_t elapsed, start;

    bench_check(anysync_future_new(0, &finished), "anysync_future_new");
    elapsed = produce(producers, ours_work, count);
    start = bench_now_ns();
    bench_check(anysync_wait(finished, NULL, ANYSYNC_FOREVER), "anysync_wait");
    elapsed += bench_now_ns() - start;
    finished = anysync_future_unref(finished);
    return elapsed;
}

static int64_t hand(int producers, void (*work)(int index), int64_t count)
{
    int64_t elapsed, start;

    by_hand_call_init(&last, return_zero, NULL);
    elapsed = produce(producers, work, count);
    start = bench_now_ns();
    by_hand_wait(&last, INT64_MAX);
    elapsed += bench_now_ns() - start;
    by_hand_call_fini(&last);
    return elapsed;
}

static int64_t ours_1(int64_t count)
{
    return ours(1, count);
}

static int64_t ours_4(int64_t count)
{
    return ours(4, count);
}

static int64_t hand_1(int64_t count)
{
    return hand(1, hand_work, count);
}

static int64_t hand_4(int64_t count)
{
    return hand(4, hand_work, count);
}

static int64_t once_1(int64_t count)
{
    return hand(1, once_work, count);
}

static int64_t once_4(int64_t count)
{
    return hand(4, once_work, count);
}

static void set_up(void)
{
    by_hand_start(&by_hand);
    jobs = calloc(TASKS, sizeof(*jobs));
    bench_check(jobs == NULL, "memory for jobs");
}

const struct bench_row bench_rows[] = {
        {.key = "W3-1",
                .work = "W3 submit, 1 producer",
                .unit = BENCH_MILLIONS,
                .run = {ours_1, hand_1, floor_submit_1, once_1},
                .other = "event_base_once",
                .setup = set_up,
                .count = TASKS,
                .target = "30 M/s",
                .bound = 30},
        {.key = "W3-4",
                .work = "W3 submit, 4 producers",
                .unit = BENCH_MILLIONS,
                .run = {ours_4, hand_4, floor_submit_4, once_4},
                .other = "event_base_once",
                .setup = set_up,
                .count = TASKS,
                .target = "30 M/s",
                .bound = 30},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
