/* SPDX-License-Identifier: MIT */
/* What several scenes begin with, or have threads do. */
#ifndef VIRTUAL_SCENES_H
#define VIRTUAL_SCENES_H

#include "virtual.h"

#include <anysync.h>

/* Small stacks, no looking before a sleep, and GRACE_NS for those who have to end. */
static inline void scene_configure(int64_t grace_ns)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = grace_ns};

    VIRTUAL_CHECK(anysync_configure(&options) == 0);
}

/* Set FUTURE, a reference of the caller's (consumed), to VALUE; nobody else has. */
static inline void scene_set(struct anysync_future *future, int value)
{
    VIRTUAL_CHECK(anysync_future_set(future, &value) == 0);
    anysync_future_unref(future);
}

/* The same without a value. */
static inline void scene_set_done(struct anysync_future *future)
{
    VIRTUAL_CHECK(anysync_future_set(future, NULL) == 0);
    anysync_future_unref(future);
}

#endif
