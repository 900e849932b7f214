/* SPDX-License-Identifier: MIT */
/*
 * Context variables: the values of one task or thread.  (What they promise: <anysync/vars.h>.)
 *
 * A map is an array of bindings, sorted by variable, and constant while more than one shares it.
 * Taking it over is a reference.  Who changes a map that others share, or that came from another
 * task, makes a copy first.  Programs have few variables and set them seldom, so an array beats any
 * tree (docs/decisions/0022).
 *
 * A context that is let go where its values are those of the caller still stays with the thread,
 * for the next capture there: so a capture that comes and goes takes no atomic access.  The thread
 * lets it go as soon as a task of its own (any, it may be the caller) lets that map go, or wants to
 * change it.  So it never holds values longer than the thread's tasks do, and they are dropped when
 * they would be without.
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

/* The caller's values, borrowed; NULL when there are none. */
static inline struct asi_vars *asi_vars_here(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();
    struct anysync_task *task =
            scheduler && scheduler->current ? scheduler->current : asi_local.job;

    return task ? task->vars : asi_local.vars;
}

/* The same with one more reference, for a new task. */
static inline struct asi_vars *asi_vars_capture(void)
{
    struct asi_vars *vars = asi_vars_here();

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
