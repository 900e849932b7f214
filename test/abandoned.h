/* SPDX-License-Identifier: MIT */
/* A task that is handed what it waits for, and abandoned by its loop before it runs again. */
#ifndef TEST_ABANDONED_H
#define TEST_ABANDONED_H

#include "harness.h"

#include <anysync.h>

#include <errno.h>
#include <time.h>

typedef void abandoned_fn(void *object);

ANYSYNC_COROUTINE(void, waits_in_shield, (abandoned_fn *, wait), (void *, object))
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    wait(object);
    CHECK(false); /* the loop did not look in time */
    anysync_scope_exit(&shield, 0);
    return 0;
}

static inline void yield_for_ever(void)
{
    for (int error = 0;; error = anysync_yield())
        CHECK_EQ(error, 0);
}

ANYSYNC_COROUTINE(void, yields_in_shield)
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    yield_for_ever();
    return 0;
}

ANYSYNC_COROUTINE(
        void, hands_over_late, (abandoned_fn *, wait), (abandoned_fn *, hand), (void *, object))
{
    struct anysync_scope shield;
    waits_in_shield_future waiter;
    yields_in_shield_future other;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    for (int i = 0; i < 20; i++) /* who is handed it is behind them, and never runs */
        CHECK_EQ(yields_in_shield_start(&other), 0);
    CHECK_EQ(waits_in_shield_start(&waiter, wait, object), 0);
    for (int i = 0; i < 60; i++) { /* past the deadline; and the loop learns to look often */
        anysync_time end = anysync_in_us(200);
        while (anysync_now() < end)
            ;
        CHECK_EQ(anysync_yield(), 0);
    }
    nanosleep(&(struct timespec){1, 100000000}, NULL); /* and past the grace time */
    hand(object);
    yield_for_ever();
    return 0;
}

/* Run a loop on which a task calls WAIT of OBJECT; then HAND gives it what it waits for, and the
 * loop leaves both. */
static inline void abandon_in_line(abandoned_fn *wait, abandoned_fn *hand, void *object)
{
    CHECK_EQ(hands_over_late_run_here_until(wait, hand, object, anysync_in_ms(1)), -ETIMEDOUT);
}

#endif
