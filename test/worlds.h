/* SPDX-License-Identifier: MIT */
/*
 * The worlds that callers live in, for the tests of the contract: run a check in each of them.
 *
 *      static void check_it(void) { CHECK(...); }      world_now tells where it runs
 *
 *      in_worlds(EVERYWHERE, check_it);                one after the other
 */
#ifndef TEST_WORLDS_H
#define TEST_WORLDS_H

#include "harness.h"

#include <anysync.h>

#include <event2/event.h>

enum world {
    PLAIN = 1,    /* a thread without a loop */
    WORKER = 2,   /* a coroutine on the global worker */
    HERE = 4,     /* a coroutine on a loop of this thread */
    OWN = 8,      /* a coroutine on the worker of an executor of one's own */
    NESTED = 16,  /* a coroutine on the fresh thread of a nested run */
    FOREIGN = 32, /* a callback of a libevent base that is not the library's */
    POOL = 64,    /* a job on a pool thread, started by a coroutine on the global worker */
};

#define ON_WORKERS (WORKER | OWN | NESTED)
#define IN_COROUTINES (ON_WORKERS | HERE)
#define ON_THREADS (PLAIN | FOREIGN)
#define EVERYWHERE (IN_COROUTINES | ON_THREADS)
#define EVERYWHERE_AND_POOL (EVERYWHERE | POOL)

typedef void world_check_fn(void);

/* The world the check runs in now. */
static enum world world_now;

ANYSYNC_COROUTINE(void, world_body, (world_check_fn *, check))
{
    CHECK(anysync_in_coroutine());
    check();
    return 0;
}

ANYSYNC_COROUTINE(void, world_outer, (world_check_fn *, check))
{
    return world_body_run(check);
}

ANYSYNC_BLOCKING(void, world_job, (world_check_fn *, check))
{
    CHECK(!anysync_in_coroutine());
    check();
    return 0;
}

ANYSYNC_COROUTINE(void, world_offloads, (world_check_fn *, check))
{
    return world_job(check);
}

static inline void world_callback(evutil_socket_t fd, short events, void *argument)
{
    world_check_fn **check = argument;

    (void)fd;
    (void)events;
    (*check)();
}

static inline void world_foreign(world_check_fn *check)
{
    struct event_base *base = event_base_new();

    CHECK(base);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, world_callback, &check, NULL), 0);
    CHECK_EQ(event_base_loop(base, 0), 1); /* 1: nothing is left */
    event_base_free(base);
}

static inline void world_own(world_check_fn *check)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(world_body_run_on(executor, check), 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

/* Run CHECK in each of WORLDS, and wait for it each time. */
static inline void in_worlds(unsigned worlds, world_check_fn *check)
{
    for (unsigned world = PLAIN; world <= POOL; world <<= 1) {
        if (!(worlds & world))
            continue;
        world_now = (enum world)world;
        switch (world_now) {
        case PLAIN:
            check();
            break;
        case WORKER:
            CHECK_EQ(world_body_run(check), 0);
            break;
        case HERE:
            CHECK_EQ(world_body_run_here(check), 0);
            break;
        case OWN:
            world_own(check);
            break;
        case NESTED:
            CHECK_EQ(world_outer_run(check), 0);
            break;
        case FOREIGN:
            world_foreign(check);
            break;
        case POOL:
            CHECK_EQ(world_offloads_run(check), 0);
            break;
        }
    }
}

/* A future that is completed by hand, to hold somebody until something has happened. */
static inline struct anysync_future *new_gate(void)
{
    struct anysync_future *gate = NULL;

    CHECK_EQ(anysync_future_new(0, &gate), 0);
    return gate;
}

static inline void open_gate(struct anysync_future *gate)
{
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
}

static inline void pass_gate(struct anysync_future *gate)
{
    CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), 0);
}

static inline struct anysync_stats stats_of(struct anysync_executor *executor)
{
    struct anysync_stats stats;

    anysync_executor_stats(executor, &stats);
    return stats;
}

#endif
