/* SPDX-License-Identifier: MIT */
/*
 * W14, W15: cancelling, and what limits and follows work.
 *
 *   W14          cancel a task that sleeps, and collect it (32 at a time)
 *   W15-group    open a group, spawn a child that does nothing, close the group
 *   W15-scope    enter a scope with a deadline, and exit it
 *   W15-capture  capture a context of 8 variables, and let it go
 *
 * By hand: a chain of libevent callbacks that counts the children that are left; a timer that is
 * added and deleted; a copy of 8 pointers in memory from malloc().  For W14 a timer of a record
 * that is deleted, and a callback that tells its owner.
 */
#include "bench.h"
#include "by_hand.h"

#include <anysync.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum { VARS = 8, BATCH = 32 };

static int noop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function noop = ANYSYNC_FUNCTION(noop, noop_body, 0, 0);

static int sleep_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_sleep(anysync_in_seconds(3600));
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleeper, sleep_body, 0, 0);

static int cancel_body(void *argument, void *result)
{
    struct anysync_future *sleepers[BATCH];
    int64_t elapsed = 0;

    for (int64_t left_over = *(int64_t *)argument; left_over > 0; left_over -= BATCH) {
        size_t count = left_over < BATCH ? (size_t)left_over : BATCH;
        for (size_t i = 0; i < count; i++)
            bench_check(anysync_spawn(&sleeper, NULL, &sleepers[i]), "anysync_spawn");
        bench_check(anysync_yield(), "anysync_yield"); /* they sleep now */
        int64_t start = bench_now_ns();
        for (size_t i = 0; i < count; i++)
            bench_check(anysync_cancel(sleepers[i]), "anysync_cancel");
        bench_check(anysync_wait_all(sleepers, count, ANYSYNC_FOREVER), "anysync_wait_all");
        for (size_t i = 0; i < count; i++)
            anysync_future_unref(sleepers[i]);
        elapsed += bench_now_ns() - start;
    }
    *(int64_t *)result = elapsed;
    return 0;
}

static int group_body(void *argument, void *result)
{
    int64_t start = bench_now_ns();

    for (int64_t i = *(int64_t *)argument; i > 0; i--) {
        struct anysync_group *group;
        bench_check(anysync_group_open(&group), "anysync_group_open");
        bench_check(anysync_group_spawn(group, &noop, NULL, NULL), "anysync_group_spawn");
        bench_check(anysync_group_close(group, 0, ANYSYNC_FOREVER), "anysync_group_close");
    }
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

static int scope_body(void *argument, void *result)
{
    anysync_time deadline = anysync_in_seconds(3600);
    int64_t start = bench_now_ns();

    for (int64_t i = *(int64_t *)argument; i > 0; i--) {
        struct anysync_scope scope;
        anysync_scope_enter(&scope, deadline);
        bench_check(anysync_scope_exit(&scope, 0), "anysync_scope_exit");
    }
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

static int capture_body(void *argument, void *result)
{
    static struct anysync_var vars[VARS];
    void *value = NULL;

    for (int i = 0; i < VARS; i++) {
        vars[i] = (struct anysync_var){"one of eight", sizeof(void *), NULL, NULL};
        bench_check(anysync_var_set(&vars[i], &value, NULL), "anysync_var_set");
    }
    int64_t start = bench_now_ns();
    for (int64_t i = *(int64_t *)argument; i > 0; i--) {
        struct anysync_context *context;
        bench_check(anysync_context_capture(&context), "anysync_context_capture");
        anysync_context_unref(context);
    }
    *(int64_t *)result = bench_now_ns() - start;
    return 0;
}

#define BODY(name)                                                                                 \
    static const struct anysync_function name##s =                                                 \
            ANYSYNC_FUNCTION(name##s, name##_body, sizeof(int64_t), sizeof(int64_t));              \
    static int64_t ours_##name(int64_t count)                                                      \
    {                                                                                              \
        int64_t elapsed;                                                                           \
        bench_check(anysync_run(&name##s, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");      \
        return elapsed;                                                                            \
    }
BODY(cancel)
BODY(group)
BODY(scope)
BODY(capture)

/* --- by hand ---------------------------------------------------------------------------------- */

static struct event *parent, *child;
static int children_left;
static int64_t left;

static void on_child(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    if (--children_left == 0)
        event_active(parent, EV_TIMEOUT, 0);
}

static void on_parent(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
    if (left-- == 0)
        return;
    children_left = 1;
    event_active(child, EV_TIMEOUT, 0);
}

static int64_t hand_group(int64_t count)
{
    struct event_base *base = by_hand_base_new();

    parent = event_new(base, -1, 0, on_parent, NULL);
    child = event_new(base, -1, 0, on_child, NULL);
    left = count;
    int64_t start = bench_now_ns();
    event_active(parent, EV_TIMEOUT, 0);
    event_base_loop(base, 0);
    start = bench_now_ns() - start;
    event_free(parent);
    event_free(child);
    event_base_free(base);
    return start;
}

static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    (void)argument;
}

static int64_t hand_scope(int64_t count)
{
    static const struct timeval hour = {3600, 0};
    struct event_base *base = by_hand_base_new();
    struct event *timer = evtimer_new(base, on_timer, NULL);
    int64_t start = bench_now_ns();

    for (int64_t i = count; i > 0; i--) {
        evtimer_add(timer, &hour);
        evtimer_del(timer);
    }
    start = bench_now_ns() - start;
    event_free(timer);
    event_base_free(base);
    return start;
}

static int64_t hand_capture(int64_t count)
{
    static void *values[VARS];
    int64_t start = bench_now_ns();

    for (int64_t i = count; i > 0; i--) {
        void **copy = malloc(sizeof(values));
        bench_check(!copy, "malloc");
        memcpy(copy, values, sizeof(values));
        __asm__ __volatile__("" : : "r"(copy) : "memory"); /* the copy is made */
        free(copy);
    }
    return bench_now_ns() - start;
}

static struct event *sleeping;

/* The owner deletes the timer, and the record's last callback tells it that all is over. */
static void on_owner(evutil_socket_t fd, short what, void *argument)
{
    static const struct timeval hour = {3600, 0};

    (void)fd;
    (void)what;
    (void)argument;
    if (left-- == 0)
        return;
    evtimer_add(sleeping, &hour);
    evtimer_del(sleeping);
    children_left = 1;
    event_active(child, EV_TIMEOUT, 0);
}

static int64_t hand_cancel(int64_t count)
{
    struct event_base *base = by_hand_base_new();

    parent = event_new(base, -1, 0, on_owner, NULL);
    child = event_new(base, -1, 0, on_child, NULL);
    sleeping = evtimer_new(base, on_timer, NULL);
    left = count;
    int64_t start = bench_now_ns();
    event_active(parent, EV_TIMEOUT, 0);
    event_base_loop(base, 0);
    start = bench_now_ns() - start;
    event_free(parent);
    event_free(child);
    event_free(sleeping);
    event_base_free(base);
    return start;
}

const struct bench_row bench_rows[] = {
        {.key = "W14",
                .work = "W14 cancel, collect",
                .run = {ours_cancel, hand_cancel},
                .target = "80",
                .bound = 80},
        {.key = "W15-group",
                .work = "W15 group of one",
                .run = {ours_group, hand_group},
                .target = "40",
                .bound = 40},
        {.key = "W15-scope",
                .work = "W15 scope",
                .run = {ours_scope, hand_scope},
                .target = "8",
                .bound = 8},
        {.key = "W15-capture",
                .work = "W15 capture",
                .run = {ours_capture, hand_capture},
                .target = "3",
                .bound = 3},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
