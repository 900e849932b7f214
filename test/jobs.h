/* SPDX-License-Identifier: MIT */
/* Helpers for tests of jobs, limiters and pools. */
#ifndef TEST_JOBS_H
#define TEST_JOBS_H

#include "worlds.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

static inline void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

static inline struct anysync_limiter *new_limiter(size_t total)
{
    struct anysync_limiter *limiter = NULL;

    CHECK_EQ(anysync_limiter_new(total, &limiter), 0);
    return limiter;
}

static inline struct anysync_limiter_figures figures(struct anysync_limiter *limiter)
{
    struct anysync_limiter_figures now;

    anysync_limiter_stats(limiter, &now);
    return now;
}

static inline struct anysync_pool *new_pool(int64_t idle_ns)
{
    struct anysync_pool *pool = NULL;

    CHECK_EQ(anysync_pool_new(&(struct anysync_pool_options){.idle_ns = idle_ns}, &pool), 0);
    return pool;
}

static inline struct anysync_pool_figures threads_of(struct anysync_pool *pool)
{
    struct anysync_pool_figures now;

    anysync_pool_stats(pool, &now);
    return now;
}

/* Blocks its thread in a way that the library does not see. */
static inline void hold_until(atomic_bool *go_on)
{
    while (!atomic_load(go_on))
        nap();
}

static inline void wait_for(atomic_bool *flag)
{
    hold_until(flag);
}

ANYSYNC_BLOCKING(int, add, (int, a), (int, b))
{
    *result = a + b;
    return b < 0 ? anysync_fail(-EDOM, "%d is below zero", b) : 0;
}

struct watched {
    atomic_bool begun, go_on, asked, ended;
};

/* Runs until it is told to go on, asked or not. */
ANYSYNC_BLOCKING(int, stubborn, (struct watched *, watched), (int, status))
{
    atomic_store(&watched->begun, true);
    hold_until(&watched->go_on);
    atomic_store(&watched->asked, anysync_check_cancelled() == -ECANCELED);
    atomic_store(&watched->ended, true);
    *result = 42;
    return status;
}

ANYSYNC_COROUTINE(int, awaits_stubborn, (struct watched *, watched), (int, status))
{
    int error = stubborn(result, watched, status);

    CHECK(atomic_load(&watched->ended));
    return error;
}

ANYSYNC_BLOCKING(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

#endif
