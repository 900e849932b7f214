/* SPDX-License-Identifier: MIT */
/* What tests of coroutines and their stacks share. */
#ifndef TEST_COROS_H
#define TEST_COROS_H

#include "harness.h"

#include "coro/coro.h"

enum { KIB = 1024, SIZE = 64 * KIB };

static struct asi_coro host;
static int steps;

static inline struct asi_coro *new_coro(size_t size)
{
    const char *why = "";
    struct asi_coro *coro = asi_coro_new(size, &why);

    if (!coro)
        test_fail(TEST_HERE, "no stack: %s", why);
    return coro;
}

static inline void resume(struct asi_coro *coro)
{
    asi_coro_switch(&host, coro);
}

static inline void back(void)
{
    asi_coro_switch(asi_coro_running, &host);
}

/* Adds *ARGUMENT to `steps` at each resume. */
static inline void count_steps(void *argument)
{
    for (;;) {
        steps += *(int *)argument;
        back();
    }
}

#endif
