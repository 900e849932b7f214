/* SPDX-License-Identifier: MIT */
/*
 * Context variables: the values of one task or thread.  (What they promise: <anysync/vars.h>.)
 *
 * A map is an array of bindings, sorted by variable, and constant while more than one shares it.
 * Taking it over is a reference.  Who changes a map that others share, or that came from another
 * task, makes a copy first.  Programs have few variables and set them seldom, so an array beats any
 * tree (docs/decisions/0022).
 *
 * A map carries the number of the context it belongs to, for tokens.  A task that took over a map
 * has no number yet (vars_own is false): it gets one with its first change.
 */
#ifndef ASI_SCHED_VARS_H
#define ASI_SCHED_VARS_H

#include "base/assert.h"
#include "sched/scheduler.h"
#include "thread/local.h"
#include "thread/refs.h"

#include <anysync/vars.h>

#include <stddef.h>
#include <stdint.h>

struct asi_binding {
    struct asi_refs refs;
    const struct anysync_var *var;
    _Alignas(16) char value[];
};

struct asi_vars {
    struct asi_refs refs; /* one of each task, thread or context that has it */
    size_t count;
    uint64_t number; /* of the context that may change it */
    struct asi_binding *bindings[];
};

/* One more reference to the caller's values, for a new task; NULL when there are none. */
static inline struct asi_vars *asi_vars_capture(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();
    struct anysync_task *task =
            scheduler && scheduler->current ? scheduler->current : asi_local.job;
    struct asi_vars *vars = task ? task->vars : asi_local.vars;

    if (ASI_UNLIKELY(vars))
        asi_refs_add(&vars->refs);
    return vars;
}

/* Drop a reference.  NULL is fine. */
void asi_vars_unref(struct asi_vars *vars);

/* The values of TASK, which does not run now, are VARS (consumed; may be NULL) from here on. */
void asi_vars_start_with(struct anysync_task *task, struct asi_vars *vars);

/* Once in a process, and around fork(). */
void asi_vars_prepare(void);
void asi_vars_before_fork(void);
void asi_vars_after_fork(void);

#endif
