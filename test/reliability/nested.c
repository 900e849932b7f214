/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R17: nested runs, 64 deep and 1,000 wide, from wherever a nested run may come: a task, a
 * callback of the loop, the body of a generator, a context manager.  All complete, and the threads
 * they took are gone.
 *
 *   deep    each level runs the next in one of the four ways, or in all by turns: 64 threads at
 *           once
 *   wide    1,000 of them on one loop, one after the other, for each holds up the loop (A7)
 *   both    64 deep on 16 executors at the same time, held until all are there: 1,024 at once
 *
 *   DEEP, WIDE  how often
 */
#include "look.h"

#include <anysync.h>

#include <event2/event.h>
#include <stdatomic.h>

enum { DEPTH = 64, WIDTH = 1000, TREES = 16 };

/* Ways in which a level runs the next one.  MIXED: each level in another way. */
enum way { TASK, CALLBACK, GENERATOR, MANAGER, WAYS, MIXED = WAYS };

static const char *const way_names[] = {"task", "callback", "generator", "manager", "all by turns"};

static atomic_long runs;              /* nested ones */
static struct anysync_future *bottom; /* if there is one, who is at the bottom waits for it */
static atomic_int at_bottom;

/* The level below: counts how deep it is. */
ANYSYNC_COROUTINE_DECLARE(int, level, (enum way, way), (int, more));

static int run_next(int *result, enum way way, int more)
{
    atomic_fetch_add(&runs, 1);
    return level_run(result, way, more);
}

/* --- the ways --------------------------------------------------------------------------------- */

struct order {
    enum way way;
    int more, depth, error;
    struct anysync_future *done;
};

static void on_event(evutil_socket_t fd, short events, void *argument)
{
    struct order *order = argument;

    (void)fd;
    (void)events;
    order->error = run_next(&order->depth, order->way, order->more);
    CHECK_EQ(anysync_future_set(order->done, NULL), 0);
}

static int by_callback(int *result, enum way way, int more)
{
    struct order order = {.way = way, .more = more};

    CHECK_EQ(anysync_future_new(0, &order.done), 0);
    CHECK_EQ(event_base_once(anysync_event_base(), -1, EV_TIMEOUT, on_event, &order, NULL), 0);
    int error = anysync_future_wait(order.done, ANYSYNC_FOREVER);
    anysync_future_unref(order.done);
    *result = order.depth;
    return error ? error : order.error;
}

ANYSYNC_GENERATOR(int, give_depth, (enum way, way), (int, more))
{
    int depth = 0;
    int error = run_next(&depth, way, more);

    return error ? error : give_depth_yield(depth);
}

static int by_generator(int *result, enum way way, int more)
{
    int error = 0;

    ANYSYNC_FOR(give_depth, depth, &error, way, more)
    {
        *result = depth;
    }
    return error;
}

/* Runs in its set-up and in its clean-up. */
ANYSYNC_CONTEXT_MANAGER(int, lend_depth, (enum way, way), (int, more))
{
    int depth = 0, again = 0;
    int error = run_next(&depth, way, more);

    if (error == 0)
        error = lend_depth_yield(depth);
    return error ? error : run_next(&again, TASK, 0);
}

static int by_manager(int *result, enum way way, int more)
{
    int error = 0;

    ANYSYNC_WITH(lend_depth, depth, &error, way, more)
    {
        *result = depth;
    }
    return error;
}

ANYSYNC_COROUTINE_DEFINE(int, level, (enum way, way), (int, more))
{
    int error = 0, below = 0;

    if (more == 0 && bottom) {
        atomic_fetch_add(&at_bottom, 1);
        return anysync_future_wait(bottom, ANYSYNC_FOREVER);
    }
    if (more == 0)
        return anysync_yield();
    switch (way == MIXED ? (enum way)(more % WAYS) : way) {
    case TASK:
        error = run_next(&below, way, more - 1);
        break;
    case CALLBACK:
        error = by_callback(&below, way, more - 1);
        break;
    case GENERATOR:
        error = by_generator(&below, way, more - 1);
        break;
    default:
        error = by_manager(&below, way, more - 1);
        break;
    }
    *result = below + 1;
    return error;
}

/* --- the shapes ------------------------------------------------------------------------------- */

static void go_deep(enum way way)
{
    int depth = 0;

    CHECK_EQ(level_run(&depth, way, DEPTH), 0);
    CHECK_EQ(depth, DEPTH);
}

ANYSYNC_COROUTINE(void, go_wide, (enum way, way))
{
    level_future soon[WIDTH] = {{NULL}};
    int error = 0, depth;

    for (int i = 0; i < WIDTH && error == 0; i++)
        error = level_start(&soon[i], way, 1);
    for (int i = 0; i < WIDTH; i++) {
        depth = 0;
        if (error == 0)
            error = level_wait(&soon[i], &depth, ANYSYNC_FOREVER);
        CHECK(error != 0 || depth == 1);
        level_drop(&soon[i]);
    }
    return error;
}

static struct anysync_executor *trees[TREES];

static void grow(void *argument, int index)
{
    int depth = 0;

    CHECK_EQ(level_run_on(trees[index], &depth, *(enum way *)argument, DEPTH), 0);
    CHECK_EQ(depth, DEPTH);
}

/* Returns how many threads there were at once. */
static int go_deep_and_wide(enum way way)
{
    CHECK_EQ(anysync_future_new(0, &bottom), 0);
    for (int i = 0; i < TREES; i++)
        CHECK_EQ(anysync_executor_new(NULL, &trees[i]), 0);
    struct test_threads *threads = test_threads_start(TREES, grow, &way);
    while (atomic_load(&at_bottom) < TREES)
        pause_us(1000);
    int there = test_thread_count();
    CHECK_EQ(anysync_future_set(bottom, NULL), 0);
    test_threads_join(threads);
    for (int i = 0; i < TREES; i++) {
        CHECK_EQ(anysync_executor_shutdown(trees[i], ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        anysync_executor_unref(trees[i]);
    }
    anysync_future_unref(bottom);
    bottom = NULL;
    atomic_store(&at_bottom, 0);
    return there;
}

/* --- the check -------------------------------------------------------------------------------- */

static int threads_left;   /* the main one, and the worker */
static int64_t longest_ns; /* until the threads were gone */

/* All nested threads have been joined. */
static void check_threads(const char *shape, enum way way)
{
    int64_t began = test_now_ns();
    int left = wait_for_threads(threads_left, 10000);
    int64_t took = test_now_ns() - began;

    if (left != threads_left)
        test_fail(TEST_HERE, "%s, %s: %d threads are left", shape, way_names[way], left);
    longest_ns = took > longest_ns ? took : longest_ns;
}

TEST(r17_nested_runs)
{
    long deep = asked_for("DEEP", 10), wide = asked_for("WIDE", 1);
    int most = 0;

    threads_left = threads_at_first() + 1;
    go_deep(TASK);
    for (int way = TASK; way <= MIXED; way++) {
        for (long i = 0; i < deep; i++)
            go_deep((enum way)way);
        check_threads("deep", (enum way)way);
    }
    for (int way = TASK; way < WAYS; way++) {
        for (long i = 0; i < wide; i++)
            CHECK_EQ(go_wide_run((enum way)way), 0);
        check_threads("wide", (enum way)way);
    }
    for (int way = TASK; way <= MIXED; way++) {
        int there = go_deep_and_wide((enum way)way);
        check_threads("deep and wide", (enum way)way);
        most = there > most ? there : most;
        CHECK_GE(there, TREES * (DEPTH + 1));
    }
    tell("nested runs", atomic_load(&runs));
    tell("threads at once", most);
    tell("us until the threads were gone", (long)(longest_ns / 1000));
}
