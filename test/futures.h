/* SPDX-License-Identifier: MIT */
/* What tests of futures share: a future of an int, and a check made in each world. */
#ifndef TEST_FUTURES_H
#define TEST_FUTURES_H

#include "harness.h"

#include <anysync/typed.h>

#include <event2/event.h>

static inline struct anysync_future *new_future(void)
{
    struct anysync_future *future;

    CHECK_EQ(anysync_future_new(sizeof(int), &future), 0);
    return future;
}

static inline void set(struct anysync_future *future, int value)
{
    CHECK_EQ(anysync_future_set(future, &value), 0);
}

typedef void check_fn(void);

ANYSYNC_COROUTINE(void, in_coroutine, (check_fn *, check))
{
    check();
    return 0;
}

/* CHECK is called on a plain thread, on the worker and here. */
static inline void in_every_world(check_fn *check)
{
    check();
    CHECK_EQ(in_coroutine_run(check), 0);
    CHECK_EQ(in_coroutine_run_here(check), 0);
}

/* In a coroutine: have CALLBACK called by the loop, and wait until it has set the future that is
 * its argument. */
static inline void call_back(event_callback_fn callback)
{
    struct anysync_future *called = new_future();
    struct event_base *base = anysync_event_base();

    CHECK(base != NULL);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, callback, called, NULL), 0);
    CHECK_EQ(anysync_wait(called, NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(called);
}

#endif
