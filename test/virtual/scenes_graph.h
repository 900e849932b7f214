/* SPDX-License-Identifier: MIT */
/*
 * What scenes of the wait-for graph begin and end with: A is a task of `other`, B one of the global
 * executor.  What they wait for, and when, is the scene's: `gate` lets them.
 */
#ifndef VIRTUAL_SCENES_GRAPH_H
#define VIRTUAL_SCENES_GRAPH_H

#include "scenes.h"

#include <errno.h>

static struct anysync_executor *other;
static struct anysync_future *a, *b; /* the tasks' */
static struct anysync_future *gate;
static int told[2]; /* how the waits of A and B ended */

enum { A, B };

static inline struct anysync_executor *open_executor(void)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};
    struct anysync_executor *executor;

    VIRTUAL_CHECK(anysync_executor_new(&options, &executor) == 0);
    return executor;
}

static inline void set_up(void)
{
    scene_configure(ANYSYNC_FOREVER);
    other = open_executor();
    VIRTUAL_CHECK(anysync_future_new(0, &gate) == 0);
}

static inline void open_gate(void)
{
    VIRTUAL_CHECK(anysync_future_set(gate, NULL) == 0);
}

/* All have to end. */
static inline void tear_down(void)
{
    VIRTUAL_CHECK(anysync_future_wait(a, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_future_wait(b, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    VIRTUAL_CHECK(anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    anysync_executor_unref(other);
    anysync_future_unref(a);
    anysync_future_unref(b);
    anysync_future_unref(gate);
}

static inline int wait_for_gate(void)
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

#endif
