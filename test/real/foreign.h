/* SPDX-License-Identifier: MIT */
/*
 * What is asked of every loop that is not ours, by a test that has one:
 *
 *   - code on that loop is told when futures are done: 50 tasks, each once, on the loop's thread;
 *   - our coroutines, threads and callbacks have that loop run a function, and get its result;
 *   - our coroutines wait for a callback of that loop;
 *   - it can be closed while futures are pending: all are told.
 *
 * The test opens a bridge, sets foreign.port, calls begin_foreign(), runs its loop until
 * foreign_is_over() says true (asked from time to time, or when its own callback has come), closes
 * the bridge, and calls end_foreign().
 */
#ifndef TEST_REAL_FOREIGN_H
#define TEST_REAL_FOREIGN_H

#include "futures.h"
#include "worlds.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum { FOREIGN_TASKS = 50 };

static struct {
    struct anysync_port *port;
    pthread_t thread;               /* of the loop */
    struct anysync_future *by_loop; /* what a callback of that loop completes */
    struct anysync_future *never;   /* pending at the end */
    int shown, gone;                /* on its thread */
    bool over;                      /* likewise */
    atomic_int calls;
    struct anysync_future *user; /* of the coroutine that uses the loop */
} foreign;

static inline bool foreign_is_over(void)
{
    return foreign.over && foreign.shown == FOREIGN_TASKS;
}

static void foreign_show(struct anysync_future *future, void *argument)
{
    int value = 0;

    CHECK(pthread_equal(pthread_self(), foreign.thread));
    CHECK_EQ(anysync_future_result(future, &value), 0);
    CHECK_EQ(value, (intptr_t)argument);
    foreign.shown++;
}

static void foreign_gone(struct anysync_future *future, void *argument)
{
    (void)argument;
    CHECK(future == NULL);
    foreign.gone++;
}

static int foreign_function(void *argument)
{
    CHECK(pthread_equal(pthread_self(), foreign.thread));
    atomic_fetch_add(&foreign.calls, 1);
    return *(int *)argument;
}

static int foreign_ends(void *argument)
{
    (void)argument;
    foreign.over = true;
    return 0;
}

static void foreign_check_calls(void)
{
    int good = 0, bad = -EIO;

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(anysync_port_call(foreign.port, foreign_function, &good, ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_port_call(foreign.port, foreign_function, &bad, ANYSYNC_FOREVER), -EIO);
    }
}

ANYSYNC_COROUTINE(int, foreign_task, (int, value))
{
    int error = anysync_sleep(anysync_in_us(value * 10));

    *result = value;
    return error;
}

ANYSYNC_COROUTINE(void, foreign_user)
{
    foreign_check_calls();
    pass_gate(foreign.by_loop);
    return anysync_port_call(foreign.port, foreign_ends, NULL, ANYSYNC_FOREVER);
}

/* On the loop's thread, once it is open. */
static void begin_foreign(void)
{
    foreign.thread = pthread_self();
    foreign.by_loop = new_gate();
    foreign.never = new_gate();
    for (int i = 0; i < FOREIGN_TASKS; i++) {
        foreign_task_future task;
        CHECK_EQ(foreign_task_start(&task, i), 0);
        CHECK_EQ(anysync_port_on_done(foreign.port, task.future, foreign_show, (void *)(intptr_t)i),
                0);
        foreign_task_drop(&task);
    }
    CHECK_EQ(anysync_port_on_done(foreign.port, foreign.never, foreign_gone, NULL), 0);
    foreign_user_future user;
    CHECK_EQ(foreign_user_start(&user), 0);
    foreign.user = user.future;
}

/* After the close. */
static void end_foreign(void)
{
    CHECK_EQ(anysync_wait(foreign.user, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(foreign.shown, FOREIGN_TASKS);
    CHECK_EQ(atomic_load(&foreign.calls), 40);
    open_gate(foreign.never);
    CHECK_EQ(foreign.gone, 1);
    anysync_future_unref(foreign.user);
    anysync_future_unref(foreign.by_loop);
    anysync_future_unref(foreign.never);
}

#endif
