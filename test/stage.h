/* SPDX-License-Identifier: MIT */
/* Tasks that go on after their cancel, for the tests of deadlines. */
#ifndef TEST_STAGE_H
#define TEST_STAGE_H

#include "harness.h"

#include <anysync.h>

#include <stdatomic.h>
#include <stdlib.h>

/* What a task that stays needs of the outside.  It lives longer than the call, and as tasks may
 * come late to it, as long as the process. */
static struct stage {
    struct stage *before;
    atomic_bool began, release;
    struct anysync_future *ended;
} * stage;

static inline void open_stage(void)
{
    struct stage *next = calloc(1, sizeof(*next));

    CHECK(next != NULL);
    CHECK_EQ(anysync_future_new(0, &next->ended), 0);
    next->before = stage;
    stage = next;
}

/* Let the task go, and wait until it has written all it ever writes. */
static inline void close_stage(void)
{
    atomic_store(&stage->release, true);
    CHECK_EQ(anysync_wait(stage->ended, NULL, ANYSYNC_FOREVER), 0);
}

static inline void go_on_regardless(void)
{
    int ignored = anysync_yield();

    (void)ignored;
}

/* Say that a task began on MINE, and go on until it is released. */
static inline void stay(struct stage *mine)
{
    atomic_store(&mine->began, true);
    while (!atomic_load(&mine->release))
        go_on_regardless();
}

#endif
